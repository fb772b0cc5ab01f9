//! A pipe: what a socket knows of one peer, or of one endpoint that it connects to.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::Arc;
use std::task::Waker;

use bytes::Bytes;
use tokio::sync::Notify;
use tokio::task::AbortHandle;

use super::inproc;
use super::monitor::Reason;
use super::options::Options;
use super::ready::{Bell, Ready};
use crate::net::{ReadHalf, Ticket, WriteHalf};
use crate::security::User;
use crate::session::Session;
use crate::time::Time;
use crate::wire::{Endpoint, Message};

/// See the [module's description](self).
#[derive(Debug)]
pub(super) struct Pipe {
    pub(super) bell: Arc<Bell>,
    pub(super) waker: Waker,
    pub(super) endpoint: Endpoint,
    pub(super) origin: Origin,
    /// The connection's number, for the monitor; the newest one's.
    pub(super) connection: u64,
    pub(super) link: Option<Link>,
    /// The handshake is done.
    pub(super) open: bool,
    /// As whom the peer was let in.
    pub(super) user: Option<User>,
    /// Finds out whether it may come in.
    pub(super) asking: Option<AbortHandle>,
    /// The pattern knows it.
    pub(super) member: bool,
    /// The pattern holds it for full.
    pub(super) full: bool,
    /// Messages behind those that the session has.
    pub(super) queue: VecDeque<Message>,
    pub(super) queue_bytes: usize,
    /// Messages in the session's outbox, those included that are written in part or have been
    /// written since it was empty.
    pub(super) in_outbox: usize,
    /// The stream takes no more for now.
    pub(super) blocked: bool,
    /// It will never take more; until then its end has to be read.
    pub(super) broken: Option<Time>,
    /// Something was queued that the end of the turn has to write.
    pub(super) dirty: bool,
    /// Received ahead of the program.
    pub(super) inbox: VecDeque<Message>,
    pub(super) inbox_bytes: usize,
    /// Read and not decoded: `rest[at..end]`.
    pub(super) rest: Vec<u8>,
    pub(super) at: usize,
    pub(super) end: usize,
    /// Large messages come, so little is read ahead of each.
    pub(super) large: bool,
    /// It is not read until the program has caught up.
    pub(super) held: bool,
    /// Its stream has ended, and why; what it brought is still to be received.
    pub(super) ended: Option<Reason>,
    /// It is on its way out and only writes what waits, until then.
    pub(super) leaving: Option<Time>,
}

/// How a pipe came to be.
#[derive(Debug)]
pub(super) enum Origin {
    /// This side connects, again and again.
    Connected {
        /// What a ROUTER calls the peer; empty if the peer says it itself.
        name: Bytes,
        /// Tells the task that connects that the link is lost.
        lost: Arc<Notify>,
        task: Option<AbortHandle>,
        /// Why the last link was lost: the peer does not want us.
        refused: bool,
        /// Its handshake was done.
        opened: bool,
    },
    /// The other side did.
    Accepted {
        address: Option<IpAddr>,
        ticket: Option<Ticket>,
    },
}

/// What a pipe's messages go through.
#[derive(Debug)]
pub(super) enum Link {
    Stream(Box<Stream>),
    Inproc(inproc::End),
}

#[derive(Debug)]
pub(super) struct Stream {
    pub(super) session: Session,
    pub(super) reader: ReadHalf,
    pub(super) writer: WriteHalf,
}

impl Pipe {
    pub(super) fn new(ready: &Arc<Ready>, slot: u32, endpoint: Endpoint, origin: Origin) -> Self {
        let bell = Bell::new(ready, slot);
        Self {
            waker: Waker::from(Arc::clone(&bell)),
            bell,
            endpoint,
            origin,
            connection: 0,
            link: None,
            open: false,
            user: None,
            asking: None,
            member: false,
            full: false,
            queue: VecDeque::new(),
            queue_bytes: 0,
            in_outbox: 0,
            large: false,
            blocked: false,
            broken: None,
            dirty: false,
            inbox: VecDeque::new(),
            inbox_bytes: 0,
            rest: Vec::new(),
            at: 0,
            end: 0,
            held: false,
            ended: None,
            leaving: None,
        }
    }

    pub(super) fn is_connected(&self) -> bool {
        matches!(self.origin, Origin::Connected { .. })
    }

    /// Messages that wait to be sent.
    pub(super) fn unsent(&self) -> usize {
        let inside = match &self.link {
            Some(Link::Stream(stream)) if stream.session.waiting() > 0 => self.in_outbox,
            _ => 0,
        };
        self.queue.len() + inside
    }

    /// Whether another message has no room.
    pub(super) fn is_full(&self, options: &Options) -> bool {
        if options.conflate {
            return false;
        }
        match &self.link {
            Some(Link::Inproc(end)) => end.is_full(),
            Some(Link::Stream(stream)) => {
                let most = options.send_messages;
                most > 0 && self.queue.len() + self.in_outbox >= most
                    || self.queue_bytes + stream.session.waiting() >= options.send_bytes
            }
            None => {
                let most = options.send_messages;
                most > 0 && self.queue.len() >= most || self.queue_bytes >= options.send_bytes
            }
        }
    }

    /// Whether so much of what waited is gone that the pipe may take its turns again.
    pub(super) fn has_room(&self, options: &Options) -> bool {
        match &self.link {
            Some(Link::Stream(stream)) => {
                let most = options.send_messages;
                (most == 0 || self.queue.len() + self.in_outbox <= most / 2)
                    && self.queue_bytes + stream.session.waiting() <= options.send_bytes / 2
            }
            _ => !self.is_full(options),
        }
    }

    pub(super) fn queue(&mut self, message: Message) {
        self.queue_bytes += message.wire().len();
        self.queue.push_back(message);
    }

    pub(super) fn unqueue(&mut self) -> Option<Message> {
        let message = self.queue.pop_front()?;
        self.queue_bytes -= message.wire().len();
        if self.queue.is_empty() {
            self.queue = VecDeque::new();
        }
        Some(message)
    }

    pub(super) fn keep(&mut self, message: Message) {
        self.inbox_bytes += message.wire().len();
        self.inbox.push_back(message);
    }

    pub(super) fn kept(&mut self) -> Option<Message> {
        let message = self.inbox.pop_front()?;
        self.inbox_bytes -= message.wire().len();
        if self.inbox.is_empty() {
            self.inbox = VecDeque::new();
        }
        Some(message)
    }

    /// Whether as much has been received ahead as may be.
    pub(super) fn is_ahead(&self, options: &Options) -> bool {
        let most = options.receive_messages;
        !options.conflate
            && (most > 0 && self.inbox.len() >= most || self.inbox_bytes >= options.receive_bytes)
    }
}
