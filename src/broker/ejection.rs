//! Workers that fail again and again get no tasks of that service for a while, then one to show
//! that they can do it. Never more than half of a service's workers are out: if all fail, it is
//! not the workers.

use std::time::Duration;

use super::post::Standing;
use super::{Broker, Due, Fact};
use crate::time::Time;

/// What the end of a task says of its worker.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Verdict {
    Good,
    Bad,
}

impl Verdict {
    /// By the code of a reply that somebody waited for.
    pub(super) fn by(code: u16) -> Self {
        if code >= 500 { Self::Bad } else { Self::Good }
    }
}

impl Broker {
    /// A worker is given a task of a service. Tells for what post.
    pub(super) fn take_up(&mut self, number: u32, node: u32) -> (u32, u64) {
        let Some(post) = self.posts.get_mut(node) else {
            return (node, 0);
        };
        post.held += 1;
        if let Standing::Probing { task, .. } = &mut post.standing {
            *task = Some(number);
        }
        (node, post.serial)
    }

    /// It has the task no more. That this may change where it stands is the caller's to see to.
    pub(super) fn lay_down(&mut self, number: u32) {
        let Some(post) = self
            .post_of(number)
            .and_then(|node| self.posts.get_mut(node))
        else {
            return;
        };
        post.held = post.held.saturating_sub(1);
        if let Standing::Probing { task, .. } = &mut post.standing
            && *task == Some(number)
        {
            *task = None;
        }
    }

    /// The post for which a task was given to its worker, if that still is the same.
    fn post_of(&self, number: u32) -> Option<u32> {
        let (node, serial) = self.tasks.get(number)?.post;
        let post = self.posts.get(node)?;
        (post.serial == serial).then_some(node)
    }

    /// A task's deadline passed while a worker had it. Of a client in a hurry only its haste is
    /// known then, unless the task was there to show something.
    pub(super) fn judge_late(&mut self, number: u32) {
        let Some(task) = self.tasks.get(number) else {
            return;
        };
        let probe = self.post_of(number).is_some_and(|node| {
            let standing = self.posts.get(node).map(|post| post.standing);
            matches!(standing, Some(Standing::Probing { task, .. }) if task == Some(number))
        });
        if probe || self.now.since(task.given) >= FAIR_TIME {
            self.judge_worker(number, Verdict::Bad);
        }
    }

    /// What the end of a task says of the worker that has it.
    pub(super) fn judge_worker(&mut self, number: u32, verdict: Verdict) {
        let Some(node) = self.post_of(number) else {
            return;
        };
        let Some(post) = self.posts.get_mut(node) else {
            return;
        };
        match (verdict, post.standing) {
            (Verdict::Good, Standing::Good) => post.fails = 0,
            (Verdict::Bad, Standing::Good) => {
                post.fails = post.fails.saturating_add(1);
                if post.fails >= self.config.eject_after && self.may_eject(node) {
                    self.eject(node);
                }
            }
            (_, Standing::Probing { until, task }) if task == Some(number) => {
                if verdict == Verdict::Good {
                    return self.readmit(node, until);
                }
                let service = post.service;
                if let Some(service) = self.services.get_mut(service) {
                    service.outcasts.remove(&(until, node));
                }
                self.eject(node);
            }
            // Begun before it was ejected: judged with the others then.
            (_, Standing::Ejected { .. } | Standing::Probing { .. }) => {}
        }
    }

    /// Whether one more of the service's workers may be out.
    fn may_eject(&self, node: u32) -> bool {
        let service = self.posts.get(node).map(|post| post.service);
        let Some(service) = service.and_then(|service| self.services.get(service)) else {
            return false;
        };
        let out = service.outcasts.len() + 1;
        !self.config.eject_time.is_zero() && out * 2 <= service.workers as usize
    }

    fn eject(&mut self, node: u32) {
        self.leave_line(node);
        let (now, unit) = (self.now, self.config.eject_time);
        let Some(post) = self.posts.get_mut(node) else {
            return;
        };
        // Who was good for as long as it was out begins anew.
        if post.standing == Standing::Good && post.returned + post.last_pause <= now {
            post.ejections = 0;
        }
        post.ejections = (post.ejections + 1).min(MOST_EJECTIONS);
        let pause = unit * post.ejections;
        let until = now + pause;
        post.last_pause = pause;
        post.fails = 0;
        let timer = self.deadlines.set(until, Due::Post(node));
        post.standing = Standing::Ejected { until, timer };
        let (peer, service) = (post.peer, post.service);
        self.stir(peer.place);
        if let Some(service) = self.services.get_mut(service) {
            service.outcasts.insert((until, node));
        }
        self.counters.ejected += 1;
        let service = self.service_name(service);
        self.note(Fact::WorkerEjected {
            peer,
            service,
            pause,
        });
    }

    /// An ejected worker's pause is over: it gets one task.
    pub(super) fn post_due(&mut self, node: u32) {
        let Some(post) = self.posts.get_mut(node) else {
            return;
        };
        let Standing::Ejected { until, .. } = post.standing else {
            return;
        };
        post.standing = Standing::Probing { until, task: None };
        let (peer, service) = (post.peer, post.service);
        let service = self.service_name(service);
        self.note(Fact::WorkerProbed { peer, service });
        self.settle(peer.place);
    }

    /// A worker that was out is one of many again.
    fn readmit(&mut self, node: u32, until: Time) {
        let now = self.now;
        let Some(post) = self.posts.get_mut(node) else {
            return;
        };
        (post.standing, post.fails, post.returned) = (Standing::Good, 0, now);
        post.start_slowly(now);
        let (peer, service) = (post.peer, post.service);
        self.stir(peer.place);
        if let Some(service) = self.services.get_mut(service) {
            service.outcasts.remove(&(until, node));
        }
        let service = self.service_name(service);
        self.note(Fact::WorkerReturned { peer, service });
    }

    /// A post is given up: nothing is to be heard of it any more.
    pub(super) fn forget_post(&mut self, node: u32) {
        let Some(post) = self.posts.remove(node) else {
            return;
        };
        if let Some(service) = self.services.get_mut(post.service) {
            service.sharers.remove(&post.peer);
        }
        if post.is_weighted()
            && let Some(service) = self.services.get_mut(post.service)
        {
            service.weighted -= 1;
            self.adopt(post.service);
        }
        if let Some(service) = self.services.get_mut(post.service)
            && service.announcer == Some(post.peer)
        {
            // What it said holds on, but its word is one of many when it comes back.
            service.announcer = None;
        }
        let until = match post.standing {
            Standing::Good => return,
            Standing::Ejected { until, timer } => {
                self.deadlines.clear(timer);
                until
            }
            Standing::Probing { until, .. } => until,
        };
        if let Some(service) = self.services.get_mut(post.service) {
            service.outcasts.remove(&(until, node));
        }
    }

    /// Workers have left: if more than half of those that stay are out now, whose pause would end
    /// first is back at the end of this event.
    pub(super) fn keep_half(&mut self, service: u32) {
        if self
            .services
            .get(service)
            .is_some_and(|service| service.outcasts.len() * 2 > service.workers as usize)
        {
            self.recalled.push(service);
        }
    }

    /// See [`keep_half`](Self::keep_half).
    pub(super) fn recall(&mut self) {
        while let Some(number) = self.recalled.pop() {
            while let Some(service) = self.services.get(number)
                && service.outcasts.len() * 2 > service.workers as usize
                && let Some(&(until, node)) = service.outcasts.first()
            {
                let Some(post) = self.posts.get_mut(node) else {
                    break;
                };
                if let Standing::Ejected { timer, .. } = post.standing {
                    self.deadlines.clear(timer);
                }
                let place = post.peer.place;
                self.readmit(node, until);
                self.settle(place);
            }
        }
    }
}

/// A deadline that passes sooner says nothing of the worker.
const FAIR_TIME: Duration = Duration::from_secs(1);
/// From here on the pause grows no more.
const MOST_EJECTIONS: u32 = 30;
