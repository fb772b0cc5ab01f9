//! One direction of a connection: messages arrive whole and in order, after a while, and wait with
//! their sender when too much is under way. Nothing is lost but with the connection.

use std::collections::VecDeque;
use std::time::Duration;

use scale0::time::Time;

use crate::dice::{Dice, about};
use crate::plan::Line;
use crate::speech::Frames;
use crate::told::Meant;

/// A message, and what its sender means by it: that is for the ledger, not for the receiver.
#[derive(Clone, Debug)]
pub(crate) struct Parcel {
    pub(crate) frames: Frames,
    pub(crate) meant: Meant,
}

impl Parcel {
    fn size(&self) -> usize {
        self.frames.iter().map(|frame| frame.len() + 2).sum()
    }
}

#[derive(Debug)]
pub(crate) struct Pipe {
    line: Line,
    seed: u64,
    number: u64,
    count: u64,
    waiting: VecDeque<Parcel>,
    waiting_bytes: usize,
    flying: VecDeque<(Time, Parcel)>,
    flying_bytes: usize,
    /// When the last one arrives that has left.
    last: Time,
}

impl Pipe {
    /// Nothing leaves before `opens`.
    pub(crate) fn new(seed: u64, number: u64, line: Line, opens: Time) -> Self {
        Self {
            line,
            seed,
            number,
            count: 0,
            waiting: VecDeque::new(),
            waiting_bytes: 0,
            flying: VecDeque::new(),
            flying_bytes: 0,
            last: opens,
        }
    }

    pub(crate) fn put(&mut self, parcel: Parcel) {
        self.waiting_bytes += parcel.size();
        self.waiting.push_back(parcel);
    }

    /// What has room leaves; when it arrives.
    pub(crate) fn pump(&mut self, now: Time) -> Vec<Time> {
        let mut arrivals = Vec::new();
        while let Some(parcel) = self.waiting.front() {
            let size = parcel.size();
            if self.flying_bytes + size > self.line.window && !self.flying.is_empty() {
                break;
            }
            let mut dice = Dice::of(self.seed, &[about::DELAY, self.number, self.count]);
            self.count += 1;
            let delay = self.line.latency_us
                + dice.below(self.line.jitter_us)
                + self.line.slowness * size as u64;
            let at = (now + Duration::from_micros(delay)).max(self.last);
            self.last = at;
            self.waiting_bytes -= size;
            self.flying_bytes += size;
            let parcel = self.waiting.pop_front().expect("there is one");
            self.flying.push_back((at, parcel));
            arrivals.push(at);
        }
        arrivals
    }

    /// The first one, if it has arrived.
    pub(crate) fn take(&mut self, now: Time) -> Option<Parcel> {
        if self.flying.front()?.0 > now {
            return None;
        }
        let (_, parcel) = self.flying.pop_front()?;
        self.flying_bytes -= parcel.size();
        Some(parcel)
    }

    /// Bytes that wait with the sender.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting_bytes
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.is_empty() && self.flying.is_empty()
    }

    /// Everything under way is lost.
    pub(crate) fn clear(&mut self) {
        self.waiting.clear();
        self.flying.clear();
        (self.waiting_bytes, self.flying_bytes) = (0, 0);
    }
}
