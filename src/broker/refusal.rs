//! Workers may refuse a task before they have said anything of it: another gets it at once, and no
//! attempt is counted. A task that all who are ready have refused is parked beside its queue until
//! somebody else has room, or one of them may be asked again.

use std::time::Duration;

use super::post::Standing;
use super::service::Service;
use super::task::{Stage, Task};
use super::{Broker, Due, Fact, PeerId};
use crate::protocol::{Answer, Status};

impl Broker {
    /// Whether a worker may still hand its task on: nothing of a reply has been said, and somebody
    /// wants it.
    pub(super) fn may_refuse(&self, number: u32) -> bool {
        self.tasks.get(number).is_some_and(|task| {
            let parts = task.gathered.is_some() || task.has_parts();
            let untouched = !task.streamed && !parts;
            untouched && task.asker.is_some() && task.body.is_some()
        })
    }

    /// A worker refuses a task that it has.
    pub(super) fn refused(&mut self, id: PeerId, number: u32) {
        self.counters.refused += 1;
        let now = self.now;
        let Some(task) = self.tasks.get_mut(number) else {
            return;
        };
        task.attempt -= 1;
        task.refusals.push((id, now + SKIP_TIME));
        let (service, times) = (task.service, task.refusals.len());
        let name = self.task_name(number);
        self.note(Fact::TaskRefused {
            peer: id,
            service: name,
        });
        self.drop_parts(number);
        let idle = self.take_from(id, number);
        if times < MOST_REFUSALS {
            self.park(number);
        } else {
            self.refused_by_all(number);
        }
        // Its last worker may have left the service before.
        if self.services.get(service).is_some_and(|s| s.workers == 0) {
            self.queue_all_parked(service);
            self.move_on(service);
            self.await_workers(service);
            self.serve_all(&[id.place]);
        }
        // The worker has been idle for longer than the one that is chosen now.
        self.settle(id.place);
        self.seek(number);
        self.unwatch(id, idle);
    }

    fn refused_by_all(&mut self, number: u32) {
        let Some(task) = self.tasks.get(number) else {
            return;
        };
        let answer = Answer::Error {
            status: Status::UNAVAILABLE,
            // An attempt before these may have begun with it.
            not_executed: task.attempt == 0,
            retry_after: self.config.retry_after,
            text: format!("{MOST_REFUSALS} workers refused it"),
        };
        self.conclude(number, answer);
        self.discard(number);
    }

    /// Puts a task that is in no chain beside its service's queue.
    pub(super) fn park(&mut self, number: u32) {
        let Some(task) = self.tasks.get_mut(number) else {
            return;
        };
        task.stage = Stage::Parked;
        let index = task.service;
        if let Some(service) = self.services.get_mut(index) {
            self.loads.push_back(&mut service.parked, number);
        }
        self.stir_service(index);
    }

    pub(super) fn is_parked(&self, number: u32) -> bool {
        (self.tasks.get(number)).is_some_and(|task| task.stage == Stage::Parked)
    }

    /// Takes a parked task away.
    pub(super) fn unpark(&mut self, number: u32) {
        let Some(task) = self.tasks.get_mut(number) else {
            return;
        };
        let (look, index) = (task.look.take(), task.service);
        if let Some(service) = self.services.get_mut(index) {
            self.loads.remove(&mut service.parked, number);
        }
        self.stir_service(index);
        if let Some(look) = look {
            self.deadlines.clear(look);
        }
    }

    /// Gives a parked task to somebody who is ready and has not refused it. If there is nobody, it
    /// waits for the next of those who have, or, if none of them is to be left aside any more, in
    /// its queue.
    pub(super) fn seek(&mut self, number: u32) {
        let parked = |task: &&Task| task.stage == Stage::Parked;
        let Some(task) = self.tasks.get(number).filter(parked) else {
            return;
        };
        let service = task.service;
        let place = self
            .choose(service, number)
            .and_then(|node| Some(self.posts.get(node)?.peer.place));
        if let Some(place) = place {
            if self.hand_over(number, place) {
                self.take_turn(place);
            }
            return;
        }
        let now = self.now;
        let Some(task) = self.tasks.get_mut(number) else {
            return;
        };
        let left = task.refusals.iter().map(|(_, until)| *until);
        match left.filter(|until| *until > now).min() {
            Some(next) => task.look = Some(self.deadlines.set(next, Due::Parked(number))),
            None => self.queue_parked(number),
        }
    }

    /// One who refused a parked task may be asked again.
    pub(super) fn parked_due(&mut self, number: u32) {
        if let Some(task) = self.tasks.get_mut(number) {
            task.look = None;
            let service = task.service;
            self.stir_service(service);
            self.seek(number);
        }
    }

    fn queue_parked(&mut self, number: u32) {
        self.unpark(number);
        let now = self.now;
        if let Some(task) = self.tasks.get_mut(number) {
            task.stage = Stage::Queued;
            // Nobody is left aside in a queue: it would hold up all that stand behind it.
            for (_, until) in &mut task.refusals {
                *until = now.min(*until);
            }
        }
        self.line_up(number);
    }

    /// The last worker has left: its service's parked tasks wait like all others for the next.
    pub(super) fn queue_all_parked(&mut self, service: u32) {
        let Some(found) = self.services.get(service) else {
            return;
        };
        let mut parked: Vec<u32> = self.loads.iter(&found.parked).collect();
        // Each goes to the head: the oldest last, so that it is first again.
        parked.reverse();
        for number in parked {
            self.queue_parked(number);
        }
    }

    /// The first parked task that a worker may have. Of many that it has refused it sees a few:
    /// none of them is parked for long.
    pub(super) fn parked_for(&self, service: &Service, peer: PeerId) -> Option<u32> {
        self.loads
            .iter(&service.parked)
            .take(PARKED_LOOKS)
            .find(|number| !self.refused_by(*number, peer))
    }

    /// Whether the worker at a post has refused a task a moment ago.
    pub(super) fn has_refused(&self, number: u32, node: u32) -> bool {
        self.posts
            .get(node)
            .is_none_or(|post| self.refused_by(number, post.peer))
    }

    /// Whether anybody has.
    pub(super) fn is_refused(&self, number: u32) -> bool {
        self.tasks.get(number).is_some_and(|task| {
            let mut refusals = task.refusals.iter();
            refusals.any(|(_, until)| *until > self.now)
        })
    }

    fn refused_by(&self, number: u32, peer: PeerId) -> bool {
        self.tasks.get(number).is_none_or(|task| {
            let mut refusals = task.refusals.iter();
            refusals.any(|(by, until)| *by == peer && *until > self.now)
        })
    }

    /// Whether a worker may be given a task of the service of this post.
    pub(super) fn is_open(&self, node: u32) -> bool {
        self.posts.get(node).is_some_and(super::post::Post::is_open)
    }

    /// Whether a worker is out of a service, or comes back to it.
    pub(super) fn is_out(&self, node: u32) -> bool {
        self.posts
            .get(node)
            .is_some_and(|post| post.standing != Standing::Good)
    }
}

/// For so long a worker is not asked again to take a task that it refused.
const SKIP_TIME: Duration = Duration::from_secs(1);
/// A task that was refused so often is refused to its client.
const MOST_REFUSALS: usize = 32;
/// Parked tasks that a worker with room looks at.
const PARKED_LOOKS: usize = 64;
