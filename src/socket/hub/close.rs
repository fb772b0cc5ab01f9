//! Deadlines, and the socket's own end.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;

use super::{Bound, Closing, State};
use crate::auth::REVIEW;
use crate::socket::inproc;
use crate::socket::monitor::{Event, Reason};
use crate::socket::pipe::Link;
use crate::time::{Time, earliest};
use crate::wire::Endpoint;

impl State {
    /// A pipe's session has a deadline that may be earlier than all others.
    pub(super) fn soon(&mut self, slot: u32) {
        if let Some(pipe) = self.pipes.get(slot)
            && let Some(Link::Stream(stream)) = &pipe.link
            && let Some(at) = stream.session.deadline()
            && self.wake_at.is_none_or(|wake| at < wake)
        {
            self.wake_at = Some(at);
            self.ready.wake_driver();
        }
    }

    /// Does what is due; [`wake_at`](Self::wake_at) tells when there is more.
    pub(in crate::socket) fn tick(&mut self) {
        self.now = self.clock.now();
        if self.wake_at.is_none_or(|at| at > self.now) {
            return;
        }
        self.wake_at = None;
        self.review();
        let slots: Vec<u32> = self.pipes.iter().map(|(slot, _)| slot).collect();
        let look = if self.reviews() { REVIEW } else { LOOK };
        let mut next = (!slots.is_empty()).then_some(self.now + look);
        for slot in slots {
            self.part_from(slot);
            let Some(pipe) = self.pipes.get_mut(slot) else {
                continue;
            };
            let Some(Link::Stream(stream)) = &mut pipe.link else {
                continue;
            };
            if pipe.broken.is_some() {
                self.flush(slot);
            } else if stream.session.deadline().is_some_and(|at| at <= self.now) {
                if let Err(error) = stream.session.wake(self.now) {
                    self.lose(slot, Reason::Session(error));
                    continue;
                }
                self.flush(slot);
            }
            if let Some(pipe) = self.pipes.get(slot)
                && let Some(Link::Stream(stream)) = &pipe.link
            {
                let broken = pipe.broken.filter(|_| !pipe.held);
                next = earliest(next, earliest(stream.session.deadline(), broken));
            }
        }
        // Not more often than this, however many sessions there are.
        let next = next.map(|at| at.max(self.now + PAUSE));
        self.wake_at = earliest(self.wake_at, next);
    }

    // ---- the end

    /// Begins to close: nothing new comes in, what waits goes out within the time to linger.
    pub(in crate::socket) fn close(&mut self) -> Arc<Notify> {
        if let Some(closing) = &self.closing {
            return Arc::clone(&closing.done);
        }
        self.now = self.clock.now();
        let done = Arc::new(Notify::new());
        self.closing = Some(Closing {
            until: self.options.linger.map(|linger| self.now + linger),
            over: false,
            unsent: 0,
            done: Arc::clone(&done),
        });
        self.unbind_all();
        self.write_dirty();
        self.ready.wake_driver();
        done
    }

    pub(super) fn unbind_all(&mut self) {
        for bound in std::mem::take(&mut self.bound) {
            self.unlisten(bound);
        }
    }

    /// Listens there no more. The address is free when its task has ended, which is soon.
    pub(in crate::socket) fn unlisten(&mut self, bound: Bound) {
        let Bound { endpoint, task } = bound;
        if let Some(task) = task {
            task.abort();
            self.unbound.retain(|task| !task.is_finished());
            self.unbound.push(task);
        }
        if let Endpoint::Inproc { name } = &endpoint {
            inproc::unbind(name, &self.hub);
        }
        self.report(&Event::Unbound { endpoint });
    }

    /// Whether a closing socket has nothing left to do; when it has, by when it must be done.
    pub(in crate::socket) fn finish(&mut self) -> Option<Time> {
        let unsent: usize = self
            .pipes
            .iter()
            .filter(|(_, pipe)| pipe.open || pipe.is_connected())
            .map(|(_, pipe)| pipe.unsent())
            .sum();
        let Some(closing) = &mut self.closing else {
            return None;
        };
        let time_is_up = closing.until.is_some_and(|until| until <= self.now);
        if unsent > 0 && !time_is_up {
            return Some(closing.until.unwrap_or(Time::ZERO + Duration::MAX));
        }
        if !closing.over {
            closing.over = true;
            closing.unsent = unsent;
            let slots: Vec<u32> = self.pipes.iter().map(|(slot, _)| slot).collect();
            for slot in slots {
                if self.pipes.get(slot).is_some_and(|pipe| pipe.link.is_some()) {
                    self.lose(slot, Reason::Local);
                }
                self.remove(slot);
            }
            self.monitors.clear();
        }
        None
    }

    pub(in crate::socket) fn is_over(&self) -> bool {
        self.closing.as_ref().is_some_and(|closing| closing.over)
    }
}

/// The driver looks at all pipes at least this often.
const LOOK: Duration = Duration::from_secs(10);
/// And never more often than this.
const PAUSE: Duration = Duration::from_millis(5);
