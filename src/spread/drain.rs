//! The orderly end of all shards together. Shard 0 begins it, calls it off and ends it; a shard is
//! done when no task is left in it.
//!
//! Before a shard closes its connections, every other one has told it that it is done, behind all
//! that it had to say to them ([`Letter::Done`]); and that it has read all that had been posted to
//! it, and has answered ([`Letter::Seen`]).

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
    done: Vec<u64>,
    seen: Vec<u64>,
    finish: u64,
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
            seen: vec![0; shards],
            finish: 0,
            ended: false,
        }
    }

    fn begin(&mut self, number: u64) {
        (self.number, self.on, self.told) = (number, true, false);
    }

    pub(super) fn done(&mut self, shard: Shard, number: u64) {
        if let Some(done) = self.done.get_mut(shard) {
            *done = number;
        }
    }

    pub(super) fn seen(&mut self, shard: Shard, number: u64) {
        if let Some(seen) = self.seen.get_mut(shard) {
            *seen = number;
        }
    }

    pub(super) fn finish(&mut self, number: u64) {
        self.finish = number;
    }

    fn all_are_done(&self) -> bool {
        let mut all = self.done.iter().zip(&self.seen);
        all.all(|(done, seen)| *done == self.number && *seen == self.number)
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

    /// At the end of a turn.
    pub(super) fn look_at_drain(&mut self, now: Time, out: &mut Vec<Action>) {
        if !self.drain.on || self.drain.ended {
            return;
        }
        let number = self.drain.number;
        if !self.drain.told && self.broker.open_tasks() == 0 && self.surveys.is_idle() {
            self.drain.told = true;
            self.drain.done(self.me, number);
            self.drain.seen(self.me, number);
            self.post_all(|| Letter::Done { number });
        }
        if !self.drain.told || !self.drain.all_are_done() {
            return;
        }
        if self.me == 0 {
            for shard in Shards::all(self.shards).without(0).iter() {
                self.post(shard, Letter::Finish { number });
            }
        } else if self.drain.finish != number {
            return;
        }
        self.drain.ended = true;
        self.step(out, |broker, out| broker.let_end(now, out));
    }
}
