//! The orderly end: no new tasks, what is there may finish, everybody is told.

use std::time::Duration;

use super::{Action, Broker, Due, Fact, PeerId};
use crate::protocol::{Dialect, Notice, Status};

/// How far it has come.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Drain {
    /// Tasks are still without an answer.
    Waiting,
    /// All is said.
    Done,
}

impl Broker {
    pub(super) fn begin_drain(&mut self, limit: Duration) {
        if self.drain.is_some() {
            return;
        }
        self.drain = Some(Drain::Waiting);
        self.deadlines.set(self.now + limit, Due::Drain);
        self.note(Fact::Draining { tasks: self.open });
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
                Status::UNAVAILABLE
            };
            self.give_up(number, status, "the broker is shutting down");
        }
    }

    /// Once every task has its answer, the workers are told and the end is announced.
    pub(super) fn end_drain(&mut self) {
        if self.drain != Some(Drain::Waiting) || self.open > 0 {
            return;
        }
        self.drain = Some(Drain::Done);
        let workers: Vec<(PeerId, Dialect)> = self
            .peers
            .iter()
            .flatten()
            .filter_map(|peer| Some((peer.id, peer.worker.as_ref()?.dialect())))
            .collect();
        for (peer, dialect) in workers {
            self.tell(peer, dialect, Notice::Bye);
        }
        self.say(Action::Drained);
    }
}
