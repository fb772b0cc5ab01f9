//! The end of each turn: what time demands, and all that is to be written, in one call per
//! connection.

use std::cell::RefCell;
use std::cmp::Reverse;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use super::{End, LINGER, READ, Shard};
use crate::auth::{self, REVIEW};
use crate::broker::{Event, PeerId};
use crate::time::{Time, earliest};

/// The task that ends each turn: it runs after the connections that were ready, does what time
/// demands, and writes. Done when the broker is drained and all streams are closed.
pub(in super::super) async fn turns(shard: Rc<RefCell<Shard>>) {
    let clock = shard.borrow().clock;
    let sleep = tokio::time::sleep(Duration::ZERO);
    tokio::pin!(sleep);
    let mut armed = None;
    // When there was to be a turn at the latest, whether the thread slept meanwhile or not.
    let mut due = None;
    let mut looked = false;
    let mut turn = |cx: &mut Context<'_>| {
        loop {
            let mut shard = shard.borrow_mut();
            let now = shard.clock.now();
            if !looked && due.is_some_and(|at: Time| at + OVERSLEPT <= now) {
                looked = true;
                return Poll::Ready(Turn::Overslept);
            }
            looked = false;
            shard.wake_due(now);
            shard.flush(now);
            shard.relieve();
            let more = shard.correspond(now);
            let mut next = shard.looks_for_room(now);
            if let Some(at) = shard.drained {
                let over = at + LINGER * 2;
                shard.close_all(at <= now);
                if shard.open == 0 || over <= now {
                    return Poll::Ready(Turn::Drained);
                }
                next = earliest(next, Some(if now < at { at } else { over }));
            }
            let next = earliest(next, shard.next_wake());
            due = next;
            let stirred = std::mem::take(&mut shard.stirred);
            if shard.spin.looks_on(now, stirred) {
                return Poll::Ready(Turn::Spins);
            }
            shard.turn = Some(cx.waker().clone());
            drop(shard);
            if more {
                cx.waker().wake_by_ref();
            }
            let Some(at) = next else {
                return Poll::Pending;
            };
            if armed != Some(at) {
                armed = Some(at);
                sleep.as_mut().reset(clock.instant(at));
            }
            if sleep.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
            armed = None;
        }
    };
    // After a process was stopped, its timers come before its streams are looked at, and everybody
    // would be found silent whose words lie there unread.
    while !matches!(poll_fn(&mut turn).await, Turn::Drained) {
        tokio::task::yield_now().await;
    }
}

/// Why a turn was the last one for now.
enum Turn {
    Drained,
    /// The timer comes so late that the streams have to be looked at first.
    Overslept,
    /// More may come at once: the streams are looked at before the thread sleeps.
    Spins,
}

impl Shard {
    /// Does what time demands.
    fn wake_due(&mut self, now: Time) {
        self.review(now);
        if self.spread.deadline().is_some_and(|at| at <= now) {
            self.decide(now, Event::Woke);
        }
        while let Some(&Reverse((at, id))) = self.timers.peek()
            && at <= now
        {
            self.timers.pop();
            let Some(connection) = self.connection(id) else {
                continue;
            };
            if connection.scheduled != Some(at) {
                continue;
            }
            connection.scheduled = None;
            let before = connection.session.waiting();
            // A peer is not to be cut for what its system's buffers do.
            let offered = match connection.blocked {
                true => connection.writer.offer(now, &mut connection.session),
                false => Ok(()),
            };
            let taken = before - connection.session.waiting();
            let woken = offered
                .map_err(End::Io)
                .and_then(|()| connection.session.wake(now).map_err(End::Session));
            self.totals.bytes_out += taken as u64;
            match woken {
                Ok(()) => self.touched(id),
                Err(end) => self.finish(id, end),
            }
        }
    }

    /// Cuts those off who would not be let in any more.
    fn review(&mut self, now: Time) {
        let Some(authenticator) = self.authenticator.clone() else {
            return;
        };
        if self.review_at.is_none_or(|at| at > now) {
            return;
        }
        self.review_at = Some(now + REVIEW);
        let revoked: Vec<PeerId> = self
            .connections
            .iter()
            .filter_map(|place| place.connection.as_deref())
            .filter(|connection| {
                let user = connection.user.as_ref();
                user.is_some_and(|user| !auth::stays(&*authenticator, user))
            })
            .map(|connection| connection.id)
            .collect();
        for id in revoked {
            self.totals.revoked += 1;
            self.finish(id, End::Revoked);
        }
    }

    /// Throws timers away that do not count any more, once there are many: a peer whose every PING
    /// states a shorter TTL leaves one behind each time.
    pub(super) fn weed(&mut self) {
        let live = self.connections.len() - self.free.len();
        if self.timers.len() <= live * 4 + SPARE_TIMERS {
            return;
        }
        let mut timers = std::mem::take(&mut self.timers);
        timers.retain(|Reverse((at, id))| {
            let connection = self.connection(*id);
            connection.is_some_and(|connection| connection.scheduled == Some(*at))
        });
        self.timers = timers;
    }

    /// Writes what has come together in this turn, one call per connection.
    pub(super) fn flush(&mut self, now: Time) {
        while !self.dirty.is_empty() {
            for id in std::mem::take(&mut self.dirty) {
                self.write(now, id);
            }
        }
        self.reports.clear();
        self.publish();
    }

    fn write(&mut self, now: Time, id: PeerId) {
        let most = self.limits.worker_outbox;
        let Some(connection) = self.connection(id) else {
            return;
        };
        connection.dirty = false;
        if connection.end.is_some() {
            return;
        }
        let before = connection.session.waiting();
        let flushed = connection.writer.flush(now, &mut connection.session);
        let waiting = connection.session.waiting();
        let full = if connection.full {
            waiting > most / 2
        } else {
            waiting > most
        };
        let changed = std::mem::replace(&mut connection.full, full) != full;
        match flushed {
            Ok(done) => {
                connection.blocked = !done;
                if !done && let Some(waker) = &connection.waker {
                    waker.wake_by_ref();
                }
            }
            Err(error) => self.finish(id, End::Io(error)),
        }
        self.totals.bytes_out += before.saturating_sub(waiting) as u64;
        if changed {
            self.decide(now, Event::Full { peer: id, full });
        }
        self.touched(id);
    }

    /// Over the bound of everything, the connection with the largest unfinished message goes;
    /// small ones would not help, and are most likely good.
    fn relieve(&mut self) {
        let held = self.buffered + self.spread.broker().held() + self.beside;
        if held <= self.limits.held {
            return;
        }
        let sizes = self.connections.iter().filter_map(|place| {
            let connection = place.connection.as_deref()?;
            connection
                .end
                .is_none()
                .then(|| (connection.session.partial(), connection.id))
        });
        if let Some((size, id)) = sizes.max_by_key(|(size, _)| *size)
            && size >= READ
        {
            self.finish(id, End::Memory);
        }
    }

    fn next_wake(&self) -> Option<Time> {
        let review = self.review_at.filter(|_| self.open > 0);
        let due = earliest(self.spread.deadline(), review);
        earliest(due, self.timers.peek().map(|Reverse((at, _))| *at))
    }

    /// Ends every connection to which everything is written, or at once all of them. Whoever takes
    /// what is left is served meanwhile as before: its PINGs are answered, and if it takes nothing
    /// it is cut for that.
    fn close_all(&mut self, at_once: bool) {
        let all: Vec<PeerId> = self
            .connections
            .iter()
            .filter_map(|place| place.connection.as_deref())
            .filter(|connection| at_once || connection.session.waiting() == 0)
            .map(|connection| connection.id)
            .collect();
        for id in all {
            self.finish(id, End::Shutdown);
        }
    }
}

/// A timer that is so late did not wait for its turn: this process, or its machine, did not run.
const OVERSLEPT: Duration = Duration::from_millis(100);
/// Timers that do not count are not looked for below this.
const SPARE_TIMERS: usize = 64;
