//! The heart of a socket: its pipes, its pattern, and what moves messages between them.
//!
//! Whoever has something to do does it here, under one lock and without a hop: the program's own
//! `send` and `recv` read and write streams themselves, and the driver does it while they are
//! elsewhere.

mod arrive;
mod close;
mod depart;
mod enter;
mod local;
mod receive;
mod send;

pub(super) use local::{connect_inproc, join_inproc};

use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll};

use bytes::Bytes;
use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use super::error::{RecvError, SendError};
use super::monitor::{Event, Reason, Reporter};
use super::options::Options;
use super::pipe::{Link, Pipe};
use super::ready::{Ready, Side};
use crate::net::{Allowance, Clock, Pending, ReadHalf};
use crate::pattern::{Pattern, Turns};
use crate::session;
use crate::table::Table;
use crate::time::Time;
use crate::wire::{Endpoint, Message, SocketType};

/// What a socket and its tasks share.
#[derive(Debug)]
pub(super) struct Hub {
    pub(super) ready: Arc<Ready>,
    state: Mutex<State>,
}

/// See the [module's description](self).
#[derive(Debug)]
pub(super) struct State {
    /// Itself, as those know it who wait for an inproc name.
    hub: Weak<Hub>,
    pub(super) kind: SocketType,
    pub(super) options: Options,
    session: Arc<session::Config>,
    pub(super) clock: Clock,
    /// When the clock was last read.
    now: Time,
    /// When something was last written.
    wrote_at: Time,
    pub(super) pattern: Pattern,
    pub(super) pipes: Table<Pipe>,
    /// Pipes that may have a message for the program.
    turns: Turns,
    /// Received from peers that are gone, or made up on their behalf.
    leftover: VecDeque<Received>,
    leftover_bytes: usize,
    /// Pipes that the end of the turn has to write to.
    dirty: Vec<u32>,
    ready: Arc<Ready>,
    scratch: Vec<u8>,
    spare: Vec<Vec<u8>>,
    ring: Vec<u32>,
    monitors: Vec<Reporter>,
    pub(super) counters: Counters,
    pub(super) bound: Vec<Bound>,
    /// Listeners that are ending.
    pub(super) unbound: Vec<JoinHandle<()>>,
    next_connection: u64,
    pending: Pending<u32>,
    allowance: Allowance,
    addresses: BTreeMap<IpAddr, usize>,
    accepted: usize,
    /// The driver has to look at the clock then, at the latest.
    pub(super) wake_at: Option<Time>,
    /// Messages that the program has received; tells the driver whether it is there.
    taken: u64,
    /// The driver has been told that messages wait which nobody looks at.
    unattended: bool,
    /// Inproc pipes whose other side is gone, and when to connect them again.
    pub(super) astray: Vec<(u32, Time)>,
    pub(super) closing: Option<Closing>,
    /// Streams that say farewell: their readers.
    pub(super) parting: Vec<ReadHalf>,
    /// Where those run who find out who may come in.
    pub(super) runtime: Option<Handle>,
    /// When those who are in were last looked at.
    reviewed_at: Time,
    steps: u32,
    /// How often a pipe has got room or lost its link: what was true before may not be any more.
    changes: u64,
}

/// A bound endpoint.
#[derive(Debug)]
pub(super) struct Bound {
    pub(super) endpoint: Endpoint,
    /// Accepts; none for inproc.
    pub(super) task: Option<JoinHandle<()>>,
}

/// The socket is being closed.
#[derive(Debug)]
pub(super) struct Closing {
    pub(super) until: Option<Time>,
    pub(super) over: bool,
    pub(super) unsent: usize,
    pub(super) done: Arc<Notify>,
}

/// A message for the program.
#[derive(Debug)]
pub(super) struct Received {
    pub(super) from: Option<Bytes>,
    pub(super) body: Message,
}

/// What a socket has counted since it was made.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct Counters {
    /// Messages that a peer's queue has taken; one to several peers counts for each.
    pub sent: u64,
    /// Messages that the program received.
    pub received: u64,
    /// Messages dropped because a peer had no room: PUB, XPUB and XSUB for that peer only, ROUTER
    /// without `mandatory`, REP, and what `conflate` replaced.
    pub dropped_full: u64,
    /// Messages for a name that nobody has (ROUTER without `mandatory`), and answers to a peer
    /// that is gone (REP).
    pub dropped_unroutable: u64,
    /// Messages that were lost with the connection on which they waited, requests that REP had not
    /// received from a peer that is gone among them.
    pub dropped_lost: u64,
    /// Messages from peers that nobody gets: stale replies, requests without delimiter, topics
    /// that are not wanted, messages to a type that does not receive, subscriptions beyond the
    /// bounds.
    pub ignored: u64,
    /// Commands from peers that mean nothing here, such as JOIN: they do no harm, and come from a
    /// peer that expects more than there is.
    pub commands_ignored: u64,
    /// Connections that were turned away: by a limit, or because their name is taken.
    pub rejected: u64,
    /// Handshakes that failed.
    pub handshakes_failed: u64,
    /// Peers that are connected now, their handshakes done.
    pub peers: u64,
}

/// What stands next on a pipe.
enum Next {
    Message(Message),
    /// A subscription. There may be more, and a message.
    Subscription,
    /// Nothing at present, or nothing any more.
    Nothing,
}

impl Hub {
    pub(super) fn new(kind: SocketType, options: Options, first: u32) -> Arc<Self> {
        let ready = Arc::new(Ready::default());
        let clock = Clock::start();
        let mut state = State {
            hub: Weak::new(),
            kind,
            session: options.session(kind),
            now: clock.now(),
            wrote_at: Time::ZERO,
            clock,
            pattern: Pattern::new(kind, options.pattern, first),
            pipes: Table::default(),
            turns: Turns::default(),
            leftover: VecDeque::new(),
            leftover_bytes: 0,
            dirty: Vec::new(),
            ready: Arc::clone(&ready),
            scratch: Vec::new(),
            spare: Vec::new(),
            ring: Vec::new(),
            monitors: Vec::new(),
            counters: Counters::default(),
            bound: Vec::new(),
            unbound: Vec::new(),
            next_connection: 0,
            pending: Pending::new(options.limits.pending_handshakes),
            allowance: Allowance::default(),
            addresses: BTreeMap::new(),
            accepted: 0,
            wake_at: None,
            taken: 0,
            unattended: false,
            astray: Vec::new(),
            closing: None,
            parting: Vec::new(),
            runtime: None,
            reviewed_at: Time::ZERO,
            steps: 0,
            changes: 0,
            options,
        };
        Arc::new_cyclic(|hub| {
            state.hub = Weak::clone(hub);
            Self {
                ready,
                state: Mutex::new(state),
            }
        })
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next message for the program, or a place among those who wait.
    pub(super) fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        key: &mut Option<u64>,
    ) -> Poll<Result<Received, RecvError>> {
        let mut state = self.lock();
        if state.is_tired(cx) {
            return Poll::Pending;
        }
        loop {
            if let Some(received) = state.receive()? {
                return Poll::Ready(Ok(received));
            }
            let before = state.changes;
            state.write_dirty();
            if state.changes != before {
                continue;
            }
            if state.has_more() {
                // A flood of what nobody wants: others have to have their turn.
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            if self.ready.wait(Side::Receive, key, cx.waker()) || is_spent(cx) {
                return Poll::Pending;
            }
        }
    }

    pub(super) fn try_recv(&self) -> Result<Option<Received>, RecvError> {
        let mut state = self.lock();
        let received = state.receive();
        state.write_dirty();
        received
    }

    /// Takes the message if it can leave, or be dropped as the pattern has it.
    pub(super) fn poll_send(
        &self,
        cx: &mut Context<'_>,
        key: &mut Option<u64>,
        message: &mut Option<Message>,
    ) -> Poll<Result<(), SendError>> {
        let mut state = self.lock();
        if state.is_tired(cx) {
            return Poll::Pending;
        }
        loop {
            let Some(given) = message.take() else {
                return Poll::Ready(Ok(()));
            };
            match state.send(given) {
                Err(SendError::Full(given)) => *message = Some(given),
                sent => return Poll::Ready(sent),
            }
            if self.ready.wait(Side::Send, key, cx.waker()) || is_spent(cx) {
                return Poll::Pending;
            }
        }
    }

    pub(super) fn try_send(&self, message: Message) -> Result<(), SendError> {
        self.lock().send(message)
    }
}

/// Whether the runtime gives this task nothing more in this turn: then its streams say that they
/// are not ready, and ring at once, for ever. The task comes back with its next turn.
fn is_spent(cx: &mut Context<'_>) -> bool {
    let spent = !tokio::task::coop::has_budget_remaining();
    if spent {
        cx.waker().wake_by_ref();
    }
    spent
}

impl State {
    /// Lets others on the runtime have their turn now and then: what is there already costs no
    /// waiting, so a busy program would never yield.
    fn is_tired(&mut self, cx: &mut Context<'_>) -> bool {
        self.steps = self.steps.wrapping_add(1);
        if !self.steps.is_multiple_of(STEPS) {
            return false;
        }
        match tokio::task::coop::poll_proceed(cx) {
            Poll::Ready(proceed) => {
                proceed.made_progress();
                false
            }
            Poll::Pending => true,
        }
    }

    fn has_more(&self) -> bool {
        !self.turns.is_empty() || !self.leftover.is_empty() || self.pattern.notices() > 0
    }

    pub(super) fn configure(&mut self, change: impl FnOnce(&mut Options)) {
        change(&mut self.options);
        self.session = self.options.session(self.kind);
        self.pattern.configure(self.options.pattern);
        let crowd = self.pending.limit(self.options.limits.pending_handshakes);
        for slot in crowd {
            self.lose(slot, Reason::Crowd);
        }
        let slots: Vec<u32> = self.pipes.iter().map(|(slot, _)| slot).collect();
        for slot in slots {
            let Some(pipe) = self.pipes.get(slot) else {
                continue;
            };
            let full = pipe.is_full(&self.options);
            if pipe.full && !full {
                self.make_room(slot);
            } else if pipe.member && full && !pipe.full {
                self.fill(slot);
            }
        }
        // Rules have changed, and with them perhaps what a waiting message may do.
        self.ready.wake_all(Side::Send);
    }

    /// What was counted up to now, by those who are still connected, too.
    pub(super) fn counted(&self) -> Counters {
        let ignored = self.pipes.iter().map(|(_, pipe)| match &pipe.link {
            Some(Link::Stream(stream)) => stream.session.ignored(),
            _ => 0,
        });
        Counters {
            commands_ignored: self.counters.commands_ignored + ignored.sum::<u64>(),
            ..self.counters
        }
    }

    pub(super) fn watch(&mut self, reporter: Reporter) {
        self.monitors.push(reporter);
    }

    pub(super) fn report(&mut self, event: &Event) {
        if !self.monitors.is_empty() {
            self.monitors.retain(|monitor| monitor.tell(event));
        }
    }

    fn number(&mut self) -> u64 {
        self.next_connection += 1;
        self.next_connection
    }
}

/// Messages between two looks at the runtime's budget.
const STEPS: u32 = 8;
