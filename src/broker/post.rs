//! A worker's post: its place in one service, with all that the choice among the service's
//! workers depends on.

use std::time::Duration;

use super::PeerId;
use super::deadline::Handle;
use crate::protocol::{Name, Offer};
use crate::time::Time;

/// Exists while the worker has the service.
#[derive(Debug)]
pub(super) struct Post {
    /// Whose it is.
    pub(super) peer: PeerId,
    pub(super) service: u32,
    /// Unlike that of any post before: numbers of posts are used again.
    pub(super) serial: u64,
    pub(super) weight: u16,
    /// Tasks of the service that the worker takes at once.
    pub(super) max: u32,
    /// Tasks of the service that were given to it at this post.
    pub(super) held: u32,
    /// What the worker is for whoever hashes keys.
    pub(super) identity: u64,
    /// The worker's share of turns grows for so long.
    slow_start: Duration,
    /// When its share began to grow.
    since: Time,
    /// What it has of a turn, in millionths.
    share: u64,
    /// It stands in the ready list.
    pub(super) ready: bool,
    /// Its place in the order of the ready list: the lower, the longer idle.
    pub(super) stamp: u64,
    /// By what it is sorted there where the policy sorts.
    pub(super) rank: u64,
    /// Where it stands there where the policy does not sort.
    pub(super) position: usize,
    /// How far its turns have come, where they follow weights.
    pub(super) pass: u64,
    pub(super) standing: Standing,
    /// Failures since the last success.
    pub(super) fails: u32,
    /// How often it was ejected, without having been good for long.
    pub(super) ejections: u32,
    /// Its last pause, and when it came back from it.
    pub(super) last_pause: Duration,
    pub(super) returned: Time,
}

/// Whether a worker is trusted with the tasks of a service.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Standing {
    Good,
    /// It failed too often, and gets none until then.
    Ejected {
        until: Time,
        timer: Handle,
    },
    /// It gets one task, and is judged by it.
    Probing {
        until: Time,
        task: Option<u32>,
    },
}

impl Post {
    pub(super) fn new(peer: PeerId, service: u32, serial: u64, worker: &Name, now: Time) -> Self {
        Self {
            peer,
            service,
            serial,
            weight: 1,
            max: u32::MAX,
            held: 0,
            identity: identity(peer, worker),
            slow_start: Duration::ZERO,
            since: now,
            share: 0,
            ready: false,
            stamp: 0,
            rank: 0,
            position: 0,
            pass: 0,
            standing: Standing::Good,
            fails: 0,
            ejections: 0,
            last_pause: Duration::ZERO,
            returned: now,
        }
    }

    /// Whether it has another weight than those that state none.
    pub(super) fn is_weighted(&self) -> bool {
        self.weight != 1
    }

    /// Makes it what the worker announces.
    pub(super) fn set(&mut self, offer: &Offer, worker: &Name) {
        let weight = offer.weight.max(1);
        if std::mem::replace(&mut self.weight, weight) != weight {
            // Turns that were counted by another weight mean nothing now.
            self.pass = 0;
        }
        self.max = offer.max.map_or(u32::MAX, u32::from);
        self.slow_start = offer.slow_start;
        self.identity = identity(self.peer, worker);
    }

    /// Whether it may be given a task of the service, as far as this post is concerned.
    pub(super) fn is_open(&self) -> bool {
        let trusted = match self.standing {
            Standing::Good => true,
            Standing::Ejected { .. } => false,
            Standing::Probing { task, .. } => task.is_none(),
        };
        trusted && self.held < self.max
    }

    /// What it would have to do with one task more, for its weight.
    pub(super) fn load(&self, tasks: usize) -> u64 {
        ((tasks as u64 + 1) << 32) / u64::from(self.weight)
    }

    /// Its share grows from nothing, from now on.
    pub(super) fn start_slowly(&mut self, now: Time) {
        (self.since, self.share) = (now, 0);
    }

    /// It is its turn: whether it takes it. A worker that starts slowly takes as many of its turns
    /// as it has come of its time.
    pub(super) fn takes_turn(&mut self, now: Time) -> bool {
        let gone = now.since(self.since);
        if gone >= self.slow_start {
            return true;
        }
        let part = gone.as_micros() * u128::from(WHOLE) / self.slow_start.as_micros().max(1);
        self.share += u64::try_from(part).unwrap_or(WHOLE).max(LEAST_SHARE);
        let takes = self.share >= WHOLE;
        if takes {
            self.share -= WHOLE;
        }
        takes
    }
}

/// The worker's name, so that it keeps its keys when it comes back, or its connection.
fn identity(peer: PeerId, worker: &Name) -> u64 {
    if worker.is_empty() {
        mix(u64::from(peer.place) << 32 | u64::from(peer.generation))
    } else {
        digest(worker.as_bytes())
    }
}

/// FNV-1a, then mixed. Not a secret: whoever finds keys that all fall on one worker is stopped by
/// the bound on its load.
pub(super) fn digest(bytes: &[u8]) -> u64 {
    let fold = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
    mix(bytes.iter().fold(0xcbf2_9ce4_8422_2325, fold))
}

/// Each bit of the result depends on each bit of the number (the last step of splitmix64).
pub(super) fn mix(number: u64) -> u64 {
    let number = (number ^ number >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ number >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ number >> 31
}

/// A turn.
const WHOLE: u64 = 1_000_000;
/// The share of a turn that a worker has at its very start: it must show what it can.
const LEAST_SHARE: u64 = WHOLE / 100;
