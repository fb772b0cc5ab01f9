//! A connection as the broker knows it: a client, a worker, or both.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use foldhash::fast::FixedState;

use super::access::Right;
use super::asked::Asked;
use super::deadline::Handle;
use crate::chain::Chain;
use crate::protocol::{Announcement, Dialect, Name};
use crate::security::User;
use crate::time::Time;

/// Names a connection. The caller gives the numbers: a place, used again when the connection is
/// gone, and a generation that tells its users apart.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct PeerId {
    /// A small number.
    pub place: u32,
    /// Differs from one user of the place to the next.
    pub generation: u32,
}

/// Exists from its opening on, or from its first word.
#[derive(Debug)]
pub(super) struct Peer {
    pub(super) id: PeerId,
    /// Who it has proved to be; none for nobody in particular.
    pub(super) user: Option<Box<User>>,
    /// It is on this machine.
    pub(super) local: bool,
    /// It understands what it did not ask for, though it is no worker.
    pub(super) capable: bool,
    /// It knows that it should go elsewhere.
    pub(super) redirected: bool,
    /// Refusals that the log knows of.
    pub(super) forbidden: BTreeSet<(Right, Name)>,
    /// Its tasks that have no answer yet.
    pub(super) tasks: Asked,
    /// The service it asked for last.
    pub(super) usual: u32,
    /// What these count for.
    pub(super) bytes: usize,
    pub(super) worker: Option<Box<Worker>>,
    /// It is not read for the time being, because this is full.
    pub(super) paused: Option<Bound>,
    /// Last sign of life.
    pub(super) heard: Time,
    /// It promised to be heard this often; zero if it did not.
    pub(super) promise: Duration,
    /// When to look after it again.
    pub(super) timer: Option<Handle>,
    /// Malformed messages.
    pub(super) strikes: u32,
    /// When it was last told to announce itself.
    pub(super) hinted: Option<Time>,
    /// It speaks a dead dialect, and the log knows.
    pub(super) dead: bool,
    /// Too much waits to be written to it, for all that is known.
    pub(super) full: bool,
    /// It gives credit for partial replies.
    pub(super) credit: bool,
    /// The task whose partial replies went on last when there was room again.
    pub(super) served: u32,
    /// Bytes of tasks, or of partial replies, given to it since it was last known how much waits.
    pub(super) given: usize,
    /// It has tasks of other brokers.
    pub(super) elsewhere: bool,
    /// It has a part of its capacity here, and others elsewhere: what changes about it as a worker
    /// is noted.
    pub(super) shared: bool,
    /// It is being closed: nothing more is said to it.
    pub(super) closing: bool,
}

impl Peer {
    pub(super) fn new(id: PeerId, now: Time, hash: FixedState) -> Self {
        Self {
            id,
            user: None,
            local: false,
            capable: false,
            redirected: false,
            forbidden: BTreeSet::new(),
            tasks: Asked::new(hash),
            usual: u32::MAX,
            bytes: 0,
            worker: None,
            paused: None,
            heard: now,
            promise: Duration::ZERO,
            timer: None,
            strikes: 0,
            hinted: None,
            dead: false,
            full: false,
            credit: false,
            served: u32::MAX,
            given: 0,
            elsewhere: false,
            shared: false,
            closing: false,
        }
    }

    /// The worker, if it may be given a task now.
    pub(super) fn with_room(&self, most: usize) -> Option<&Worker> {
        self.worker
            .as_deref()
            .filter(|worker| !self.full && worker.has_room(most))
    }

    /// When its silence is its end: after three times its own promise and a little. A peer that
    /// promised nothing, or is busy with a task, may be silent.
    pub(super) fn silence_ends(&self) -> Option<Time> {
        let busy = self
            .worker
            .as_ref()
            .is_some_and(|worker| !worker.tasks.is_empty());
        let busy = busy || self.elsewhere;
        (!self.promise.is_zero() && !busy).then(|| self.heard + patience(self.promise))
    }
}

/// What can be full.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Bound {
    /// The client's own share.
    Client,
    /// A service's queue.
    Service(u32),
    /// Everything.
    Everything,
}

/// How long a peer may be silent that promised to be heard every `promise`.
pub(super) fn patience(promise: Duration) -> Duration {
    promise * 3 + Duration::from_millis(500)
}

/// The worker's side of a peer.
#[derive(Debug)]
pub(super) struct Worker {
    /// What it last said of itself, with the offers that it may not make.
    pub(super) announcement: Announcement,
    /// One for each of the services that it may offer.
    pub(super) seats: Vec<Seat>,
    /// Tasks it has, oldest first, zombies included.
    pub(super) tasks: Chain,
    /// It was told to go elsewhere, and has lost its seats.
    pub(super) sent_away: bool,
    /// Since when it is not trusted with new tasks.
    pub(super) suspect: Option<Time>,
    /// When its last message came; signs of its I/O thread do not count.
    pub(super) spoke: Time,
    /// When something was last said to it.
    pub(super) told: Time,
    /// Beats since it was last heard.
    pub(super) beats: u32,
    pub(super) announced: Time,
    /// An announcement that came too soon after the one before.
    pub(super) next: Option<Announcement>,
    /// Final replies.
    pub(super) done: u64,
    /// When clients had their last turns with it, the greater the later, if it has several
    /// services.
    pub(super) turns: HashMap<PeerId, u64>,
}

/// A worker's place in one service.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Seat {
    pub(super) service: u32,
    /// Its post there, by its number.
    pub(super) node: u32,
    pub(super) idempotent: bool,
    /// It is not offered by its name, but by that of a version of it.
    pub(super) by_version: bool,
}

impl Worker {
    pub(super) fn dialect(&self) -> Dialect {
        self.announcement.dialect
    }

    /// A client has had its turn, the nth of all.
    pub(super) fn note_turn(&mut self, client: PeerId, nth: u64) {
        if self.seats.len() > 1 {
            // A crowd is forgotten: then all are equal for a while.
            if self.turns.len() >= REMEMBERED {
                self.turns.clear();
            }
            self.turns.insert(client, nth);
        }
    }

    /// Tasks it may hold.
    pub(super) fn capacity(&self, most: usize) -> usize {
        let stated = usize::from(self.announcement.capacity);
        if self.announcement.deep {
            stated
        } else {
            stated.min(most)
        }
    }

    /// Whether it is trusted with another task.
    fn has_room(&self, most: usize) -> bool {
        self.suspect.is_none() && self.tasks.len() < self.capacity(most)
    }

    pub(super) fn seat(&self, service: u32) -> Option<&Seat> {
        self.seats.iter().find(|seat| seat.service == service)
    }
}

/// Clients whose last turn a worker remembers.
const REMEMBERED: usize = 1024;
