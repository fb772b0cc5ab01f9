//! One connection, as the shard keeps it.

use std::task::Waker;

use super::super::wires::Leaving;
use crate::broker::PeerId;
use crate::net::{Address, Ticket, WriteHalf};
use crate::security::{Credentials, User};
use crate::session::{self, Session};
use crate::time::Time;
use crate::wire::SocketType;

/// A place for a connection. Its number is used again, with another generation.
#[derive(Debug, Default)]
pub(super) struct Place {
    pub(super) generation: u32,
    pub(super) connection: Option<Box<Connection>>,
}

/// A connection that the shard talks to.
#[derive(Debug)]
pub(in super::super) struct Connection {
    pub(super) id: PeerId,
    pub(super) address: Address,
    pub(in super::super) session: Session,
    pub(in super::super) writer: WriteHalf,
    pub(super) kind: SocketType,
    /// As whom the peer was let in.
    pub(super) user: Option<User>,
    /// What it has shown, until somebody says whether it may come in.
    pub(in super::super) asks: Option<Credentials>,
    pub(super) pending: Option<Ticket>,
    /// Stands in the list of those to write.
    pub(super) dirty: bool,
    /// The stream takes no more for now.
    pub(in super::super) blocked: bool,
    /// Not to be read for now; what was read already is kept here.
    pub(in super::super) held: bool,
    pub(super) rest: Vec<u8>,
    /// It has just read a large message: the next one may be large too.
    pub(in super::super) behind_large: bool,
    /// The broker knows that too much waits for it.
    pub(super) full: bool,
    /// Commands that its session ignored, as far as they are in the totals.
    pub(super) ignored: u64,
    /// The timer that counts.
    pub(super) scheduled: Option<Time>,
    /// Its part of `buffered`.
    pub(super) counted: usize,
    /// Wakes its task.
    pub(in super::super) waker: Option<Waker>,
    pub(in super::super) end: Option<End>,
    /// It is better off in another shard.
    pub(in super::super) leaving: Option<Box<Leaving>>,
}

impl Connection {
    pub(super) fn new(id: PeerId, address: Address, session: Session, writer: WriteHalf) -> Self {
        Self {
            id,
            address,
            session,
            writer,
            kind: SocketType::Dealer,
            user: None,
            asks: None,
            pending: None,
            dirty: false,
            blocked: false,
            held: false,
            rest: Vec::new(),
            behind_large: false,
            full: false,
            ignored: 0,
            scheduled: None,
            counted: 0,
            waker: None,
            end: None,
            leaving: None,
        }
    }
}

/// Why a connection is over.
#[derive(Debug)]
pub(in super::super) enum End {
    /// The peer closed it.
    Eof,
    /// The stream broke.
    Io(std::io::Error),
    /// The session found a reason.
    Session(session::Error),
    /// The broker wants it closed.
    Broker,
    /// It made place for newer ones before its handshake was done.
    Evicted,
    /// Whoever let it in would not do so any more.
    Revoked,
    /// It held the most of what there was too much of.
    Memory,
    /// The server is done.
    Shutdown,
    /// Its task panicked.
    Panic,
}

impl End {
    /// Whether the peer was cut for taking too little, giving no sign, or holding too much.
    pub(super) fn is_cut(&self) -> bool {
        use session::Error::{OutboxFull, Silent, Stalled, Trickle};
        match self {
            Self::Memory => true,
            Self::Session(error) => {
                matches!(
                    error,
                    Stalled { .. } | OutboxFull { .. } | Silent | Trickle { .. }
                )
            }
            _ => false,
        }
    }

    /// Whether there is something left to say.
    pub(in super::super) fn lingers(&self) -> bool {
        matches!(self, Self::Session(_) | Self::Broker | Self::Shutdown)
    }
}
