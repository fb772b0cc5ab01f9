//! What the broker notes: numbers for the operator, and events worth a line in a log.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{PeerId, Right};
use crate::protocol::{Dialect, Name, Policy, Return, Status};

/// Something that happened, for logs. Nothing decides by it.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
#[allow(missing_docs, reason = "the fields repeat what the variant says")]
pub enum Fact {
    /// A worker announced itself.
    WorkerJoined {
        peer: PeerId,
        dialect: Dialect,
        name: Name,
        services: Vec<Name>,
        capacity: u16,
    },
    /// A worker replaced its announcement.
    WorkerChanged {
        peer: PeerId,
        services: Vec<Name>,
        capacity: u16,
    },
    /// A worker is gone.
    WorkerLeft {
        peer: PeerId,
        why: Leaving,
        tasks: usize,
    },
    /// A worker let a deadline pass and says nothing.
    WorkerSuspect { peer: PeerId },
    /// It spoke again.
    WorkerTrusted { peer: PeerId },
    /// A worker has failed too often in a row: it gets no tasks of the service for a while.
    WorkerEjected {
        peer: PeerId,
        service: Name,
        pause: Duration,
    },
    /// The while is over: it gets one.
    WorkerProbed { peer: PeerId, service: Name },
    /// It gets tasks like all others.
    WorkerReturned { peer: PeerId, service: Name },
    /// A worker refuses a task: another is to have it.
    TaskRefused { peer: PeerId, service: Name },
    /// An operator has said how a service is run; this is how its workers are chosen now.
    ServiceSet { service: Name, policy: Policy },
    /// A task is given to another worker.
    TaskRetried { service: Name, attempt: u16 },
    /// A task has lost as many workers as it may.
    TaskPoisoned { service: Name, attempts: u16 },
    /// A task was refused or given up by the broker.
    TaskFailed { service: Name, status: Status },
    /// A one-way task that was taken on came to nothing; nobody is told.
    OnewayFailed {
        /// Its client, that may be gone.
        peer: PeerId,
        /// Its number, and through which proxies it came.
        back: Return,
        service: Name,
        status: Status,
    },
    /// A reply that belongs to no task: late, repeated or made up.
    StrayReply { peer: PeerId, forged: bool },
    /// A message that could not be understood.
    Malformed { peer: PeerId, text: String },
    /// A peer wants what no rule allows; told once for each service, and so often per connection.
    Forbidden {
        peer: PeerId,
        /// Its name, or its key.
        user: Name,
        right: Right,
        service: Name,
    },
    /// A peer speaks a Majordomo dialect of 2012 that is not served; told once per connection.
    DeadDialect { peer: PeerId },
    /// A connection is not read for the time being.
    Paused { peer: PeerId },
    /// Draining has begun.
    Draining { tasks: usize },
    /// Draining was called off: there are new tasks again.
    DrainCalledOff,
    /// The time to drain is over: tasks without an answer are given up.
    DrainOver { tasks: usize },
}

/// The peer that a fact is about, borrowed as the fact is: one list for reading and for writing.
macro_rules! peer_of {
    ($fact:expr) => {
        match $fact {
            Fact::WorkerJoined { peer, .. }
            | Fact::WorkerChanged { peer, .. }
            | Fact::WorkerLeft { peer, .. }
            | Fact::WorkerSuspect { peer }
            | Fact::WorkerTrusted { peer }
            | Fact::WorkerEjected { peer, .. }
            | Fact::WorkerProbed { peer, .. }
            | Fact::WorkerReturned { peer, .. }
            | Fact::TaskRefused { peer, .. }
            | Fact::OnewayFailed { peer, .. }
            | Fact::StrayReply { peer, .. }
            | Fact::Malformed { peer, .. }
            | Fact::Forbidden { peer, .. }
            | Fact::DeadDialect { peer }
            | Fact::Paused { peer } => Some(peer),
            Fact::ServiceSet { .. }
            | Fact::TaskRetried { .. }
            | Fact::TaskPoisoned { .. }
            | Fact::TaskFailed { .. }
            | Fact::Draining { .. }
            | Fact::DrainCalledOff
            | Fact::DrainOver { .. } => None,
        }
    };
}

impl Fact {
    /// Whom it is about, if it is about a connection.
    #[must_use]
    pub fn peer(&self) -> Option<PeerId> {
        self.peer_ref().copied()
    }

    pub(super) fn peer_ref(&self) -> Option<&PeerId> {
        peer_of!(self)
    }

    pub(super) fn peer_mut(&mut self) -> Option<&mut PeerId> {
        peer_of!(self)
    }
}

/// Why a worker is gone.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Leaving {
    /// It said so.
    Bye,
    /// Its connection ended.
    Lost,
    /// It broke its promise to be heard.
    Silent,
    /// It was suspect for too long.
    Suspect,
    /// It said what a registered worker must not say.
    Confused,
    /// It may not offer its service any more.
    Forbidden,
}

impl std::fmt::Display for Leaving {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Bye => "said goodbye",
            Self::Lost => "connection lost",
            Self::Silent => "silent for longer than it promised",
            Self::Suspect => "let a deadline pass and stayed silent",
            Self::Forbidden => "may not offer its service any more",
            Self::Confused => "said what a worker must not say",
        })
    }
}

/// Numbers since the start.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Counters {
    /// Tasks asked for.
    pub tasks: u64,
    /// Tasks given to workers, repeats included.
    pub assigned: u64,
    /// Final replies passed on from workers.
    pub replies: u64,
    /// Partial replies passed on or gathered.
    pub partials: u64,
    /// Questions to the broker's own services.
    pub own: u64,
    /// Refusals by status, said or (to Majordomo clients, and of tasks that want no word) kept
    /// silent.
    pub errors: BTreeMap<u16, u64>,
    /// One-way tasks whose client was told that the broker has taken charge of them.
    pub receipts: u64,
    /// Final replies to one-way tasks, dropped.
    pub oneway_done: u64,
    /// Partial replies to one-way tasks, dropped.
    pub oneway_parts: u64,
    /// Partial replies that came, or waited, when nobody wanted them any more.
    pub parts_dropped: u64,
    /// One-way tasks that were taken on and came to nothing, by the status that others are told.
    pub oneway_failed: BTreeMap<u16, u64>,
    /// What no rule allowed: tasks, questions to the broker itself, and each service that was
    /// offered.
    pub forbidden: u64,
    /// Tasks that a worker refused so that another might have them.
    pub refused: u64,
    /// Workers left out of a service because they failed too often in a row.
    pub ejected: u64,
    /// Attempts after the first.
    pub retried: u64,
    /// Tasks that lost as many workers as they may.
    pub poisoned: u64,
    /// Tasks whose client was gone before their answer.
    pub orphaned: u64,
    /// Replies to no task of anybody.
    pub late_replies: u64,
    /// Replies to another worker's task.
    pub forged_replies: u64,
    /// Majordomo messages dropped because the connection, a worker's, may not be held back.
    pub dropped: u64,
    /// Messages in a known language that were refused.
    pub malformed: u64,
    /// Messages in no known language.
    pub unknown: u64,
    /// Messages in a dead dialect.
    pub dead_dialect: u64,
    /// Workers that announced themselves.
    pub workers_joined: u64,
    /// Workers that were lost, by whatever way.
    pub workers_left: u64,
}

impl Counters {
    /// Counts what another broker has counted.
    pub(crate) fn add(&mut self, other: &Self) {
        self.tasks += other.tasks;
        self.assigned += other.assigned;
        self.replies += other.replies;
        self.partials += other.partials;
        self.own += other.own;
        self.receipts += other.receipts;
        self.oneway_done += other.oneway_done;
        self.oneway_parts += other.oneway_parts;
        self.parts_dropped += other.parts_dropped;
        self.forbidden += other.forbidden;
        self.refused += other.refused;
        self.ejected += other.ejected;
        self.retried += other.retried;
        self.poisoned += other.poisoned;
        self.orphaned += other.orphaned;
        self.late_replies += other.late_replies;
        self.forged_replies += other.forged_replies;
        self.dropped += other.dropped;
        self.malformed += other.malformed;
        self.unknown += other.unknown;
        self.dead_dialect += other.dead_dialect;
        self.workers_joined += other.workers_joined;
        self.workers_left += other.workers_left;
        for (status, times) in &other.errors {
            *self.errors.entry(*status).or_default() += times;
        }
        for (status, times) in &other.oneway_failed {
            *self.oneway_failed.entry(*status).or_default() += times;
        }
    }
}
