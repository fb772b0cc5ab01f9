//! Between the threads: letters in pieces, a turn's worth each; streams that are dealt out or move;
//! and numbers that all of them see.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::mpsc::UnboundedSender;

use crate::broker::PeerId;
use crate::net::{Address, Carried};
use crate::protocol::Reading;
use crate::security::User;
use crate::session::Session;
use crate::spread::{Arrival, Letter, Shard};
use crate::wire::SocketType;

/// What one thread hands to another.
#[derive(Debug)]
pub(super) enum Parcel {
    /// All that was posted in one turn. What is under way is bounded where it is posted.
    Letters(Shard, Vec<Letter>),
    /// A stream that was let in.
    Stream(Carried, Address),
    /// A connection comes over.
    Moved(Box<Moved>),
    /// Something panicked over a letter about a connection of yours.
    Broken(PeerId),
    /// Stop at once.
    End,
}

/// A connection between two threads.
#[derive(Debug)]
pub(super) struct Moved {
    pub(super) stream: Carried,
    pub(super) address: Address,
    pub(super) session: Session,
    pub(super) kind: SocketType,
    pub(super) user: Option<User>,
    /// What was read and not looked at.
    pub(super) rest: Vec<u8>,
    /// Commands that its session ignored.
    pub(super) ignored: u64,
    pub(super) arrival: Arrival,
    /// What it said when it left.
    pub(super) reading: Reading,
}

/// Where a connection goes, once its own task lets it.
#[derive(Debug)]
pub(super) struct Leaving {
    pub(super) to: Shard,
    pub(super) reading: Reading,
}

/// One thread's ends of all that.
#[derive(Clone, Debug)]
pub(super) struct Wires {
    pub(super) me: Shard,
    pub(super) to: Vec<UnboundedSender<Parcel>>,
    pub(super) gauges: Arc<Vec<Gauge>>,
}

/// What one thread holds, as it was at the end of its last turn.
#[derive(Debug, Default)]
pub(super) struct Gauge {
    bytes: AtomicUsize,
    tasks: AtomicUsize,
}

impl Wires {
    /// Hands something over; it is gone if that thread has ended.
    pub(super) fn hand(&self, to: Shard, parcel: Parcel) -> bool {
        self.to
            .get(to)
            .is_some_and(|wire| wire.send(parcel).is_ok())
    }

    /// Tells the others what this thread holds; returns what they do, in bytes and tasks. A number
    /// is late by a turn, and nothing else depends on it: no order between them is needed.
    pub(super) fn gauge(&self, bytes: usize, tasks: usize) -> (usize, usize) {
        let mut others = (0, 0);
        for (shard, gauge) in self.gauges.iter().enumerate() {
            if shard == self.me {
                gauge.bytes.store(bytes, Ordering::Relaxed);
                gauge.tasks.store(tasks, Ordering::Relaxed);
            } else {
                others.0 += gauge.bytes.load(Ordering::Relaxed);
                others.1 += gauge.tasks.load(Ordering::Relaxed);
            }
        }
        others
    }
}
