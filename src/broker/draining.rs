//! The orderly end: no new tasks, what is there may finish, everybody is told. Where other brokers
//! are known, clients are sent to them at once, and each worker when no task waits for it here.

use std::time::Duration;

use super::deadline::Handle;
use super::peer::Worker;
use super::{Action, Broker, Due, Fact, PeerId};
use crate::protocol::{Dialect, Id, Notice, Return, Status};
use crate::time::Time;
use crate::wire::{Endpoint, Message};

/// How far it has come.
#[derive(Clone, Copy, Debug)]
pub(super) struct Drain {
    /// What is left then is given up.
    until: Time,
    timer: Handle,
    /// It cannot be called off.
    for_good: bool,
    /// All is said.
    done: bool,
}

impl Broker {
    pub(super) fn begin_drain(&mut self, limit: Duration, for_good: bool) {
        if let Some(drain) = &mut self.drain {
            drain.for_good |= for_good;
            return;
        }
        let until = self.now + limit;
        self.drain = Some(Drain {
            until,
            timer: self.deadlines.set(until, Due::Drain),
            for_good,
            done: false,
        });
        self.note(Fact::Draining { tasks: self.open });
        let peers: Vec<PeerId> = self.peers.iter().flatten().map(|peer| peer.id).collect();
        for id in peers {
            self.redirect(id);
        }
    }

    /// Takes new tasks again; false if it is too late for that. Workers that were sent away and are
    /// still there have their seats again.
    pub(super) fn call_off_drain(&mut self) -> bool {
        match self.drain {
            None => return true,
            Some(drain) if drain.for_good || drain.done => return false,
            Some(drain) => self.deadlines.clear(drain.timer),
        }
        self.drain = None;
        self.note(Fact::DrainCalledOff);
        let mut workers = Vec::new();
        for peer in self.peers.iter_mut().flatten() {
            peer.redirected = false;
            if let Some(worker) = peer.worker.as_deref_mut()
                && std::mem::take(&mut worker.sent_away)
            {
                workers.push(peer.id);
            }
        }
        for id in workers {
            self.restore(id);
        }
        true
    }

    /// Tells a peer that understands it to go to another broker: a worker only when no task waits
    /// for it here, for it gets none afterwards.
    pub(super) fn redirect(&mut self, id: PeerId) {
        let Some(within) = self.time_to_move() else {
            return;
        };
        let Some(peer) = self.peer(id).filter(|peer| !peer.closing) else {
            return;
        };
        let worker = peer.worker.as_deref();
        if let Some(worker) = worker.filter(|worker| worker.dialect() == Dialect::Scale0) {
            if !worker.sent_away && self.nothing_waits_for(worker) {
                self.send_away(id, within);
            }
            return;
        }
        if let Some(peer) = self.peer_mut(id)
            && peer.capable
            && !std::mem::replace(&mut peer.redirected, true)
        {
            self.change_broker(id, unasked(), Some(within));
        }
    }

    fn nothing_waits_for(&self, worker: &Worker) -> bool {
        let services = worker.seats.iter().map(|seat| seat.service);
        services
            .filter_map(|service| self.services.get(service))
            .all(|service| service.waiting() == 0)
    }

    /// A worker has room, and nothing waits for it.
    pub(super) fn stand_ready_or_go(&mut self, place: u32) {
        if self.drain.is_some()
            && let Some(id) = self.peer_at(place).map(|peer| peer.id)
        {
            self.redirect(id);
        }
        // Without seats it stands nowhere.
        self.stand_ready(place);
    }

    fn send_away(&mut self, id: PeerId, within: Duration) {
        self.change_broker(id, unasked(), Some(within));
        let Some(worker) = self.worker_mut(id) else {
            return;
        };
        worker.sent_away = true;
        if !worker.seats.is_empty() {
            self.place(id, &[]);
            self.note_change(id);
            self.serve_all(&[]);
        }
    }

    /// A NEEDBROKER.
    pub(super) fn need_broker(&mut self, id: PeerId, back: Return) {
        let within = self.time_to_move();
        self.change_broker(id, back, within);
    }

    fn change_broker(&mut self, id: PeerId, back: Return, within: Option<Duration>) {
        let endpoints = self.config.failover.clone();
        let notice = Notice::ChangeBroker {
            back,
            within,
            endpoints,
        };
        self.tell(id, Dialect::Scale0, notice);
    }

    /// How long those may take who go to another broker; none if nobody need go, or it is not known
    /// where to.
    fn time_to_move(&self) -> Option<Duration> {
        let draining = self.drain.filter(|drain| !drain.done)?;
        (!self.config.failover.is_empty()).then(|| self.now.until(draining.until))
    }

    /// What is left of the time to drain.
    pub(super) fn drain_left(&self) -> Duration {
        self.drain
            .map(|drain| self.now.until(drain.until))
            .unwrap_or_default()
    }

    /// What refused clients are told, for people.
    pub(super) fn draining_text(&self) -> String {
        let mut text = "the broker is draining".to_owned();
        let others: Vec<String> = self
            .config
            .failover
            .iter()
            .map(Endpoint::to_string)
            .collect();
        if !others.is_empty() {
            text = format!("{text}, ask {}", others.join(" or "));
        }
        text
    }

    /// Time is up: what is left is told so.
    pub(super) fn drain_due(&mut self) {
        let open: Vec<u32> = self
            .tasks
            .iter()
            .filter(|(_, task)| task.asker.is_some())
            .map(|(number, _)| number)
            .collect();
        if !open.is_empty() {
            self.note(Fact::DrainOver { tasks: open.len() });
        }
        for number in open {
            let started = self.tasks.get(number).is_some_and(|task| task.attempt > 0);
            let status = if started {
                Status::WORKER_LOST
            } else {
                Status::DRAINING
            };
            self.give_up(number, status, "the broker is shutting down");
        }
    }

    /// Once every task has its answer, the workers are told and the end is announced.
    pub(super) fn end_drain(&mut self) {
        if self.open > 0 || self.waits_for_others {
            return;
        }
        let Some(drain) = self.drain.as_mut().filter(|drain| !drain.done) else {
            return;
        };
        drain.done = true;
        let until = drain.until;
        let workers: Vec<(PeerId, Dialect)> = self
            .peers
            .iter()
            .flatten()
            .filter_map(|peer| Some((peer.id, peer.worker.as_ref()?.dialect())))
            .collect();
        for (peer, dialect) in workers {
            self.tell(peer, dialect, Notice::Bye);
        }
        self.say(Action::Drained { until });
    }
}

/// The way to a peer that did not ask.
fn unasked() -> Return {
    Return {
        dialect: Dialect::Scale0,
        envelope: Message::default(),
        id: Id::ZERO,
        whole: false,
    }
}
