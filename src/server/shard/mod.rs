//! One thread's share of the server: the broker and the connections it talks to. All of it is
//! reached from one stack frame; nothing here waits, except the task that ends each turn.

mod acts;
mod others;
mod place;
mod spin;
mod turn;

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Waker;
use std::time::Duration;

use super::door::Door;
use super::wires::{Leaving, Moved, Wires};
use super::{Config, descriptors, log};
use crate::auth::{Authenticator, Request};
use crate::broker::{Access, Action, Event, PeerId, Query};
use crate::limits::Limits;
use crate::net::{Address, Clock, Pending, WriteHalf, entropy};
use crate::protocol;
use crate::security::{Credentials, Security, Verdict};
use crate::session::{self, Heard, Session};
use crate::spread::{Shard as Number, Spread, Totals};
use crate::time::Time;
use crate::wire::{Message, SocketType};

use place::Place;
pub(super) use place::{Connection, End};
use spin::Spin;
pub(super) use turn::turns;

/// See the [module's description](self).
#[derive(Debug)]
pub(super) struct Shard {
    spread: Spread,
    /// To the other threads, if there are any.
    wires: Option<Wires>,
    door: Arc<Mutex<Door>>,
    clock: Clock,
    limits: Limits,
    session: Arc<session::Config>,
    authenticator: Option<Arc<dyn Authenticator>>,
    /// When those who are in are looked at again.
    review_at: Option<Time>,
    majordomo_error_body: Option<String>,
    connections: Vec<Place>,
    free: Vec<u32>,
    pending: Pending<PeerId>,
    /// Streams that are open, those whose session is over included.
    open: usize,
    /// Connections with something to write.
    dirty: Vec<PeerId>,
    timers: BinaryHeap<Reverse<(Time, PeerId)>>,
    actions: Vec<Action>,
    /// Answers about the broker itself that were given in this turn: whoever asks a thousand
    /// times in one breath makes it look once.
    reports: Vec<(Query, Message)>,
    /// Buffer space for whoever reads at the moment.
    scratch: Vec<u8>,
    /// Something has come in this turn.
    stirred: bool,
    spin: Spin,
    /// Wakes the task that ends the turn.
    turn: Option<Waker>,
    /// Bytes in all connections' buffers.
    buffered: usize,
    /// What the other threads hold, tasks included.
    beside: usize,
    totals: Totals,
    gate: log::Gate,
    /// The connection that the broker is just told of as lost, for the log.
    lost: Option<(PeerId, Address)>,
    /// All is decided: connections close as soon as nothing waits for them, from then on whatever
    /// waits.
    drained: Option<Time>,
}

impl Shard {
    /// A shard of a server. `wires` lead to its others.
    pub(super) fn new(config: Config, seed: [u8; 32], common: Common) -> Self {
        let Common { clock, door, wires } = common;
        let (me, shards) = wires
            .as_ref()
            .map_or((0, 1), |wires| (wires.me, wires.to.len()));
        let mut deciding = config.broker;
        deciding.drain_time = config.drain_timeout;
        if let Some(file) = &config.access {
            deciding.access = Some(Arc::clone(file.access()));
        }
        let spread = Spread::new(deciding, seed, me, shards);
        let mut limits = spread.broker().config().limits.clone();
        limits.pending_handshakes = limits.pending_handshakes.div_ceil(shards);
        let session = session::Config {
            limits: limits.clone(),
            security: config.security,
            ..session::Config::new(SocketType::Router)
        };
        Self {
            spread,
            wires,
            door,
            clock,
            session: Arc::new(session),
            review_at: config.authenticator.is_some().then_some(Time::ZERO),
            authenticator: config.authenticator,
            majordomo_error_body: config.majordomo_error_body,
            connections: Vec::new(),
            free: Vec::new(),
            pending: Pending::new(limits.pending_handshakes),
            limits,
            open: 0,
            dirty: Vec::new(),
            timers: BinaryHeap::new(),
            actions: Vec::new(),
            reports: Vec::new(),
            scratch: vec![0; READ],
            stirred: false,
            spin: Spin::new(config.spin),
            turn: None,
            buffered: 0,
            beside: 0,
            totals: Totals::default(),
            gate: log::Gate::default(),
            lost: None,
            drained: None,
        }
    }

    /// Lets a new stream in, if there is room for it.
    pub(super) fn lets_in(&mut self, address: Address) -> bool {
        let now = self.clock.now();
        let enters = self.drained.is_none() && self.door().enter(now, ip_of(address));
        self.totals.refused += u64::from(!enters);
        enters
    }

    fn door(&self) -> std::sync::MutexGuard<'_, Door> {
        // Whoever panicked there left numbers that are no worse for it.
        self.door.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes on a stream that was let in; its task is to say first that it is there
    /// ([`touched`](Self::touched)).
    pub(super) fn admit(&mut self, writer: WriteHalf, address: Address) -> Option<PeerId> {
        let ip = ip_of(address);
        let now = self.clock.now();
        let Ok(seed) = entropy() else {
            self.door().leave(ip);
            return None;
        };
        self.open += 1;
        self.totals.accepted += 1;
        let id = self.make_place();
        let (ticket, evicted) = self.pending.add(id, ip);
        let session = Session::new(now, Arc::clone(&self.session), seed);
        let mut connection = Connection::new(id, address, session, writer);
        connection.pending = Some(ticket);
        self.seat(connection);
        if let Some(evicted) = evicted {
            self.totals.evicted += 1;
            self.finish(evicted, End::Evicted);
        }
        Some(id)
    }

    fn make_place(&mut self) -> PeerId {
        let place = self.free.pop().unwrap_or_else(|| {
            self.connections.push(Place::default());
            u32::try_from(self.connections.len() - 1).unwrap_or(u32::MAX)
        });
        let generation = self
            .connections
            .get(place as usize)
            .map_or(0, |place| place.generation);
        PeerId { place, generation }
    }

    fn seat(&mut self, connection: Connection) {
        if let Some(place) = self.connections.get_mut(connection.id.place as usize) {
            place.connection = Some(Box::new(connection));
        }
    }

    /// Its stream is closed: another may come.
    pub(super) fn released(&mut self, address: Address) {
        self.open -= 1;
        self.door().leave(ip_of(address));
        // It may have been the last that was waited for.
        if self.drained.is_some() {
            self.wake_turn();
        }
    }

    pub(super) fn connection(&mut self, id: PeerId) -> Option<&mut Connection> {
        self.connections
            .get_mut(id.place as usize)?
            .connection
            .as_deref_mut()
            .filter(|connection| connection.id == id)
    }

    pub(super) fn take_scratch(&mut self) -> Vec<u8> {
        let scratch = std::mem::take(&mut self.scratch);
        // Whoever had it last panicked. Without room to read into, a stream looks ended.
        if scratch.is_empty() {
            return vec![0; READ];
        }
        scratch
    }

    pub(super) fn give_scratch(&mut self, scratch: Vec<u8>) {
        self.scratch = scratch;
    }

    pub(super) fn now(&self) -> Time {
        self.clock.now()
    }

    /// Bytes have arrived on a connection.
    pub(super) fn received(&mut self, id: PeerId, mut input: &[u8]) {
        let now = self.clock.now();
        self.totals.bytes_in += input.len() as u64;
        self.stirred = true;
        loop {
            let Some(connection) = self.connection(id) else {
                return;
            };
            // Over already: what comes behind the reason for it does not count.
            if connection.end.is_some() {
                break;
            }
            if connection.held || connection.leaving.is_some() {
                connection.rest.extend_from_slice(input);
                break;
            }
            match connection.session.receive(now, &mut input) {
                Ok(None) => break,
                Ok(Some(heard)) => self.heard(now, id, heard),
                Err(error) => {
                    self.finish(id, End::Session(error));
                    break;
                }
            }
        }
        self.touched(id);
    }

    /// Bytes of a large message have arrived where the session wanted them.
    pub(super) fn received_large(&mut self, id: PeerId, read: usize) {
        let now = self.clock.now();
        self.totals.bytes_in += read as u64;
        self.stirred = true;
        let Some(connection) = self.connection(id) else {
            return;
        };
        connection.behind_large = true;
        match connection.session.read_large(now, read) {
            Ok(None) => {}
            Ok(Some(heard)) => self.heard(now, id, heard),
            Err(error) => self.finish(id, End::Session(error)),
        }
        self.touched(id);
    }

    /// What is to be asked about a peer, of whom, and how long that may take.
    pub(super) fn question(
        &mut self,
        id: PeerId,
        credentials: Credentials,
    ) -> (Option<Arc<dyn Authenticator>>, Request, Duration) {
        let address = self.connection(id).and_then(|c| ip_of(c.address));
        let request = Request {
            credentials,
            address,
        };
        let limit = self.limits.handshake_time;
        (self.authenticator.clone(), request, limit)
    }

    /// Somebody has said whether a peer may come in.
    pub(super) fn judged(&mut self, id: PeerId, verdict: Verdict) {
        let now = self.clock.now();
        let Some(connection) = self.connection(id) else {
            return;
        };
        let admitted = matches!(verdict, Verdict::Admit(_));
        let judged = connection.session.judge(now, verdict);
        self.totals.denied += u64::from(!admitted);
        match judged {
            Ok(Some(heard)) => self.heard(now, id, heard),
            Ok(None) => {}
            Err(error) => self.finish(id, End::Session(error)),
        }
        self.touched(id);
    }

    fn heard(&mut self, now: Time, id: PeerId, heard: Heard) {
        match heard {
            Heard::Asks(credentials) => {
                if let Some(connection) = self.connection(id) {
                    connection.asks = Some(credentials);
                }
            }
            Heard::Open(peer) => {
                tracing::debug!(peer = id.place, kind = %peer.metadata.kind, "connection open");
                if let Some(connection) = self.connection(id) {
                    connection.kind = peer.metadata.kind;
                    connection.user.clone_from(&peer.user);
                    if let Some(ticket) = connection.pending.take() {
                        self.pending.remove(ticket);
                    }
                }
                let address = self.connection(id).map(|connection| connection.address);
                let local = address.is_some_and(|address| address.is_local());
                let place = address.and_then(place_of);
                self.act_on(now, |spread, out| {
                    spread.opened(now, id, peer.user, local, place, out);
                });
            }
            Heard::Message(message) => {
                self.totals.messages_in += 1;
                let kind = self
                    .connection(id)
                    .map_or(SocketType::Dealer, |connection| connection.kind);
                let reading = protocol::read(message, kind, &self.limits);
                if self.wires.is_some()
                    && let Some(to) = self.spread.moves_to(id, &reading)
                {
                    return self.sends_away(id, to, reading);
                }
                self.decide(now, Event::Heard { peer: id, reading });
            }
            Heard::Sign | Heard::Subscription { .. } => {
                if let Some(connection) = self.connection(id) {
                    let ignored = connection.session.ignored();
                    let before = std::mem::replace(&mut connection.ignored, ignored);
                    self.totals.commands_ignored += ignored - before;
                }
                self.decide(now, Event::Sign { peer: id });
            }
        }
    }

    /// Lets the broker decide and does what it wants.
    fn decide(&mut self, now: Time, event: Event) {
        self.act_on(now, |spread, out| spread.handle(now, event, out));
    }

    fn act_on(&mut self, now: Time, decide: impl FnOnce(&mut Spread, &mut Vec<Action>)) {
        let mut actions = std::mem::take(&mut self.actions);
        decide(&mut self.spread, &mut actions);
        for action in actions.drain(..) {
            self.act(now, action);
        }
        self.actions = actions;
    }

    /// What was read of a connection before it was held back.
    pub(super) fn take_rest(&mut self, id: PeerId) -> Vec<u8> {
        self.connection(id)
            .map(|connection| std::mem::take(&mut connection.rest))
            .unwrap_or_default()
    }

    /// Something about a connection has changed: sees to its output, its timer and its share of
    /// the memory.
    pub(super) fn touched(&mut self, id: PeerId) {
        let most = self.limits.worker_outbox;
        let Some(connection) = self.connection(id) else {
            return;
        };
        let waiting = connection.session.waiting();
        // What is written to a full stream tells how much waits, and the broker has to know. Last
        // words are for the connection's own task: a broken stream is not written to again.
        let crowded = waiting > most && !connection.full;
        let becomes_dirty = waiting > 0
            && !connection.dirty
            && (!connection.blocked || crowded)
            && connection.end.is_none();
        connection.dirty |= becomes_dirty;
        let deadline = connection.session.deadline();
        let sooner =
            deadline.filter(|at| connection.scheduled.is_none_or(|scheduled| *at < scheduled));
        if sooner.is_some() {
            connection.scheduled = sooner;
        }
        let bytes = waiting + connection.session.partial() + connection.rest.len();
        let before = std::mem::replace(&mut connection.counted, bytes);
        self.buffered = self.buffered + bytes - before;
        if becomes_dirty {
            self.dirty.push(id);
        }
        if let Some(at) = sooner {
            self.timers.push(Reverse((at, id)));
            self.weed();
        }
        self.wake_turn();
    }

    #[cfg(test)]
    pub(super) fn timers(&self) -> usize {
        self.timers.len()
    }

    #[cfg(test)]
    pub(super) fn take_turn(&mut self) -> Option<Waker> {
        self.turn.take()
    }

    #[cfg(test)]
    pub(super) fn set_turn(&mut self, waker: Waker) {
        self.turn = Some(waker);
    }

    /// Streams that are open, and connections that are talked to.
    #[cfg(test)]
    pub(super) fn connections(&self) -> (usize, usize) {
        (self.open, self.connections.len() - self.free.len())
    }

    fn wake_turn(&mut self) {
        if let Some(turn) = self.turn.take() {
            turn.wake();
        }
    }

    /// Ends a connection: its task does the rest.
    pub(super) fn finish(&mut self, id: PeerId, end: End) {
        if let Some(connection) = self.connection(id) {
            connection.end.get_or_insert(end);
            if let Some(waker) = &connection.waker {
                waker.wake_by_ref();
            }
        }
    }

    fn unseat(&mut self, id: PeerId) -> Option<Box<Connection>> {
        self.connection(id)?;
        let place = self.connections.get_mut(id.place as usize)?;
        let connection = place.connection.take()?;
        place.generation = place.generation.wrapping_add(1);
        self.free.push(id.place);
        self.buffered -= connection.counted;
        Some(connection)
    }

    /// Forgets a connection that is over, and tells the broker.
    pub(super) fn remove(&mut self, id: PeerId) -> Option<Box<Connection>> {
        let connection = self.unseat(id)?;
        if let Some(ticket) = connection.pending {
            self.pending.remove(ticket);
        }
        let now = self.clock.now();
        if connection.end.as_ref().is_some_and(End::is_cut) {
            self.totals.cut += 1;
        }
        log::end(connection.address, &connection.end);
        self.lost = Some((id, connection.address));
        self.decide(now, Event::Lost { peer: id });
        self.lost = None;
        self.wake_turn();
        Some(connection)
    }

    /// Other rules hold from now on.
    pub(super) fn replace_access(&mut self, access: Arc<Access>) {
        let now = self.clock.now();
        let access = Some(access);
        self.decide(now, Event::Access { access });
        self.wake_turn();
    }

    /// Begins the orderly end.
    pub(super) fn drain(&mut self, limit: Duration) {
        let now = self.clock.now();
        self.decide(now, Event::Drain { limit });
        self.wake_turn();
    }
}

/// What all shards of a server have in common, and the wires between them.
#[derive(Clone, Debug)]
pub(super) struct Common {
    pub(super) clock: Clock,
    pub(super) door: Arc<Mutex<Door>>,
    pub(super) wires: Option<Wires>,
}

impl Common {
    /// Of a server with this configuration.
    pub(super) fn new(config: &Config) -> Self {
        let mut limits = config.broker.limits.clone();
        limits.connections = limits
            .connections
            .min(descriptors::room(super::raise_descriptor_limit()));
        // Others cost nothing before they have shown who they are.
        let costly = matches!(config.security, Security::CurveServer { .. });
        Self {
            clock: Clock::start(),
            door: Arc::new(Mutex::new(Door::new(&limits, costly))),
            wires: None,
        }
    }
}

fn place_of(address: Address) -> Option<std::net::SocketAddr> {
    match address {
        Address::Tcp(address) => Some(address),
        Address::Ipc => None,
    }
}

fn ip_of(address: Address) -> Option<IpAddr> {
    match address {
        Address::Tcp(address) => Some(address.ip()),
        Address::Ipc => None,
    }
}

/// Bytes per read: a message of 64 KiB comes with its headers.
pub(super) const READ: usize = 72 << 10;
/// How long a connection that is over may take for its last words.
pub(super) const LINGER: Duration = Duration::from_secs(1);
