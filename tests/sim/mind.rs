//! The broker as the simulation meets it: honest, or falsified in one systematic way.

use scale0::broker::{Action, Broker, Config, Event, Snapshot};
use scale0::time::Time;

use crate::faults::Fault;
use crate::liar::Liar;

#[derive(Debug)]
pub(crate) struct Mind {
    broker: Broker,
    liar: Option<Liar>,
}

impl Mind {
    pub(crate) fn new(config: Config, seed: u64, fault: Option<Fault>) -> Self {
        let mut tokens = [0; 32];
        tokens[..8].copy_from_slice(&seed.to_be_bytes());
        let liar = fault.map(Liar::new);
        let config = match &liar {
            Some(liar) => liar.config(config),
            None => config,
        };
        Self {
            broker: Broker::new(config, tokens),
            liar,
        }
    }

    pub(crate) fn handle(&mut self, now: Time, event: Event) -> Vec<Action> {
        let mut actions = Vec::new();
        let Some(liar) = &mut self.liar else {
            self.broker.handle(now, event, &mut actions);
            return actions;
        };
        let mut told = Vec::new();
        for event in liar.hear(event) {
            self.broker.handle(now, event, &mut actions);
            for action in actions.drain(..) {
                liar.speak(action, &mut told);
            }
        }
        told
    }

    pub(crate) fn set_outside(&mut self, bytes: usize) {
        self.broker.set_outside(bytes);
    }

    pub(crate) fn deadline(&self) -> Option<Time> {
        let at = self.broker.deadline();
        match &self.liar {
            Some(liar) => liar.deadline(at),
            None => at,
        }
    }

    pub(crate) fn open(&self) -> usize {
        self.broker.open_tasks()
    }

    pub(crate) fn held(&self) -> usize {
        self.broker.held()
    }

    pub(crate) fn snapshot(&self) -> Snapshot {
        self.broker.snapshot()
    }
}
