//! Tasks whose time is up, and what they are told: what a client may do next depends on whether
//! a worker may have begun.

use std::time::Duration;

use super::peer::patience;
use super::task::Stage;
use super::{Broker, Due, Fact, PeerId};
use crate::protocol::Status;

impl Broker {
    pub(super) fn task_due(&mut self, number: u32) {
        let Some(task) = self.tasks.get_mut(number) else {
            return;
        };
        task.timer = None;
        match (task.stage, &task.asker) {
            (Stage::Assigned(place), None) => self.judge(number, place),
            _ => self.expire(number),
        }
    }

    /// A task's time to live has run out.
    pub(super) fn expire(&mut self, number: u32) {
        let Some(task) = self.tasks.get(number) else {
            return;
        };
        let offered = self
            .services
            .get(task.service)
            .is_some_and(|service| service.workers > 0);
        let (status, text) = match (task.stage, task.attempt) {
            (Stage::Queued | Stage::Parked, 0) if offered => {
                (Status::EXPIRED, "no worker had time for it")
            }
            (Stage::Queued | Stage::Parked, 0) => {
                (Status::NO_SERVICE, "no worker offers this service")
            }
            _ => (Status::TIMEOUT, "no answer before the deadline"),
        };
        let with_worker = matches!(task.stage, Stage::Assigned(_));
        self.give_up(number, status, text);
        if with_worker {
            self.judge_late(number);
        }
    }

    /// A service without workers has let its first tasks wait long enough.
    pub(super) fn service_due(&mut self, number: u32) {
        if let Some(service) = self.services.get_mut(number) {
            service.timer = None;
        }
        while let Some(service) = self.services.get(number)
            && service.workers == 0
            && let Some(first) = service.queue.oldest()
            && let Some(task) = self.tasks.get(first)
            && task.arrived.max(service.empty_since) + self.config.wait_for_worker <= self.now
        {
            self.desert(first);
        }
        self.await_workers(number);
    }

    /// Gives up a waiting task that nobody offers to do.
    pub(super) fn desert(&mut self, number: u32) {
        if self.tasks.get(number).is_some_and(|task| task.attempt > 0) {
            let text = "the worker was lost, and no other offers this service";
            return self.give_up(number, Status::WORKER_LOST, text);
        }
        let text = "no worker offers this service";
        self.give_up(number, Status::NO_SERVICE, text);
    }

    /// Sees to it that the tasks of a service without workers do not wait for ever.
    pub(super) fn await_workers(&mut self, number: u32) {
        let Some(service) = self.services.get(number) else {
            return;
        };
        if service.workers > 0 || service.timer.is_some() {
            return;
        }
        let Some(first) = service
            .queue
            .oldest()
            .and_then(|first| self.tasks.get(first))
        else {
            return;
        };
        let at = first.arrived.max(service.empty_since) + self.config.wait_for_worker;
        let timer = self.deadlines.set(at, Due::Service(number));
        if let Some(service) = self.services.get_mut(number) {
            service.timer = Some(timer);
        }
    }

    /// The same when tasks have come back: they may have waited longer than those for which the timer
    /// is set.
    pub(super) fn await_workers_anew(&mut self, number: u32) {
        let timer = self
            .services
            .get_mut(number)
            .and_then(|service| service.timer.take());
        if let Some(timer) = timer {
            self.deadlines.clear(timer);
        }
        self.await_workers(number);
    }

    /// A zombie's worker has had its time. If it says nothing at all, it is not trusted with new
    /// tasks: a program that loops keeps its I/O thread, and its connection, alive.
    fn judge(&mut self, number: u32, place: u32) {
        let now = self.now;
        let grace = self.config.suspect_after;
        let Some(peer) = self.peer_at_mut(place) else {
            return;
        };
        let (id, promise) = (peer.id, peer.promise);
        let Some(worker) = &mut peer.worker else {
            return;
        };
        let silence = if promise.is_zero() {
            grace
        } else {
            grace.max(patience(promise))
        };
        let end = worker.spoke + silence;
        if end <= now && worker.suspect.is_none() {
            worker.suspect = Some(now);
            self.suspect(id);
        }
        // If it speaks but does not answer, it is judged anew.
        let again = if end > now {
            end
        } else {
            now + silence.max(LEAST_SILENCE)
        };
        self.set_task_timer(number, again);
    }

    fn suspect(&mut self, id: PeerId) {
        self.note(Fact::WorkerSuspect { peer: id });
        self.settle(id.place);
        self.look_after(id.place);
    }
}

/// A suspect's zombies are judged no more often than this.
const LEAST_SILENCE: Duration = Duration::from_secs(1);
