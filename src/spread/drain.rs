//! The orderly end of all shards together. Shard 0 begins it, calls it off and ends it.
//!
//! 1. Each tells shard 0 when no task is left in it ([`Letter::Done`]).
//! 2. When all are done shard 0 says so ([`Letter::Finish`]); from then on it cannot be called off,
//!    and nobody sends anything more to others that wants an answer.
//! 3. What was sent before that is answered, or under way: each asks all others for a last sign
//!    ([`Letter::Last`]) that they give behind their answers ([`Letter::Seen`]).
//! 4. Who has all that it waited for tells the others ([`Letter::Ready`]). Who has heard that of all
//!    of them closes its connections.

use std::time::Duration;

use super::{Letter, Shard, Shards, Spread};
use crate::broker::{Action, Event};
use crate::time::Time;

/// How far it has come, by the numbers of drains.
#[derive(Debug)]
pub(super) struct Drain {
    /// The last one that began.
    number: u64,
    /// It was not called off.
    on: bool,
    /// What it was begun with, if a signal began it.
    limit: Option<Duration>,
    /// The own broker is done, and has said so.
    told: bool,
    /// Who is done: shard 0 counts them.
    done: Vec<u64>,
    /// Nothing more is sent to others that wants an answer.
    finishing: bool,
    seen: Vec<u64>,
    /// Who waits for a last sign.
    asking: Shards,
    ready: Vec<u64>,
    told_ready: bool,
    ended: bool,
}

impl Drain {
    pub(super) fn new(shards: usize) -> Self {
        Self {
            number: 0,
            on: false,
            limit: None,
            told: false,
            done: vec![0; shards],
            finishing: false,
            seen: vec![0; shards],
            asking: Shards::default(),
            ready: vec![0; shards],
            told_ready: false,
            ended: false,
        }
    }

    fn begin(&mut self, number: u64) {
        (self.number, self.on, self.told) = (number, true, false);
    }

    pub(super) fn done(&mut self, shard: Shard, number: u64) {
        note(&mut self.done, shard, number);
    }

    pub(super) fn seen(&mut self, shard: Shard, number: u64) {
        note(&mut self.seen, shard, number);
    }

    pub(super) fn ready(&mut self, shard: Shard, number: u64) {
        note(&mut self.ready, shard, number);
    }

    pub(super) fn asks(&mut self, shard: Shard) {
        self.asking.set(shard, true);
    }

    /// Whether the end has come so near that nothing new begins.
    pub(super) fn is_finishing(&self) -> bool {
        self.finishing
    }

    fn all(&self, side: &[u64]) -> bool {
        side.iter().all(|number| *number == self.number)
    }
}

fn note(side: &mut [u64], shard: Shard, number: u64) {
    if let Some(place) = side.get_mut(shard) {
        *place = number;
    }
}

impl Spread {
    /// A signal: told to shard 0.
    pub(super) fn begin_drain(&mut self, now: Time, limit: Duration, out: &mut Vec<Action>) {
        self.drain.limit = Some(limit);
        self.decide(now, Event::Drain { limit }, false, out);
        // If it had begun before, it cannot be called off from now on.
        self.tell_all_to_drain(limit, true);
    }

    /// The own broker has begun to drain: because of a signal, or somebody asked for it.
    pub(super) fn drain_begun(&mut self) {
        if self.me != 0 {
            return;
        }
        self.drain.begin(self.drain.number + 1);
        if self.drain.limit.is_none() {
            let limit = self.broker.config().drain_time;
            self.tell_all_to_drain(limit, false);
        }
    }

    fn tell_all_to_drain(&mut self, limit: Duration, for_good: bool) {
        let number = self.drain.number;
        self.post_all(|| Letter::Drain {
            number,
            limit,
            for_good,
        });
    }

    pub(super) fn drain_called_off(&mut self) {
        self.drain.on = false;
        if self.me == 0 {
            let number = self.drain.number;
            self.post_all(|| Letter::Undrain { number });
        }
    }

    pub(super) fn told_to_drain(
        &mut self,
        now: Time,
        number: u64,
        limit: Duration,
        for_good: bool,
        out: &mut Vec<Action>,
    ) {
        if self.drain.number != number {
            self.drain.begin(number);
        }
        if for_good {
            self.decide(now, Event::Drain { limit }, false, out);
        } else {
            self.step(out, |broker, out| {
                broker.follow_drain(now, Some(limit), out);
            });
        }
    }

    pub(super) fn told_to_go_on(&mut self, now: Time, number: u64, out: &mut Vec<Action>) {
        if self.drain.number == number {
            self.step(out, |broker, out| broker.follow_drain(now, None, out));
        }
    }

    /// Nobody has tasks any more.
    pub(super) fn told_to_finish(&mut self, number: u64) {
        if self.drain.number != number || self.drain.finishing {
            return;
        }
        self.drain.finishing = true;
        self.drain.seen(self.me, number);
        self.post_all(|| Letter::Last { number });
    }

    /// At the end of a turn.
    pub(super) fn look_at_drain(&mut self, now: Time, out: &mut Vec<Action>) {
        if !self.drain.on || self.drain.ended {
            return;
        }
        let number = self.drain.number;
        if !self.drain.told && self.broker.open_tasks() == 0 {
            self.drain.told = true;
            match self.me {
                0 => self.drain.done(0, number),
                _ => self.post(0, Letter::Done { number }),
            }
        }
        if self.me == 0 && !self.drain.finishing && self.drain.all(&self.drain.done) {
            // From here on it cannot be called off.
            let limit = Duration::ZERO;
            self.decide(now, Event::Drain { limit }, false, out);
            self.post_all(|| Letter::Finish { number });
            self.told_to_finish(number);
        }
        // Questions of others are among those that it waits for.
        if !self.surveys.is_idle() {
            return;
        }
        for shard in std::mem::take(&mut self.drain.asking).iter() {
            self.post(shard, Letter::Seen { number });
        }
        let drain = &mut self.drain;
        if drain.finishing && !drain.told_ready && drain.all(&drain.seen) {
            drain.told_ready = true;
            drain.ready(self.me, number);
            self.post_all(|| Letter::Ready { number });
        }
        if self.drain.told_ready && self.drain.all(&self.drain.ready) {
            self.drain.ended = true;
            self.step(out, |broker, out| broker.let_end(now, out));
        }
    }
}
