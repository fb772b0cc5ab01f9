//! The broker's mind: events and time in, actions out. It knows peers by number, holds no socket,
//! reads no clock and rolls no dice (the seed of its tokens is given).
//!
//! Its promises, which `tests/broker.rs` holds it to:
//! 1. every task gets exactly one final answer, by its deadline;
//! 2. nothing is sent to a peer after [`Event::Lost`];
//! 3. a worker is never given more tasks than the capacity then known, and of those with room
//!    the one is chosen that the service's policy names, the one idle longest by default;
//! 4. after [`Event::Woke`] at t, [`Broker::deadline`] lies after t;
//! 5. the same script brings the same actions;
//! 6. sizes never exceed [`Limits`](crate::limits::Limits);
//! 7. no task is started a second time unless it may be;
//! 8. no answer reaches a client that did not ask for it;
//! 9. once there are rules ([`Access`]), no task comes from or goes to whom none of them allows it;
//! 10. where credit is counted, no client gets more parts of a reply than it has given credit for,
//!     and no worker waits for credit that its client has given.

mod access;
mod asked;
mod asking;
mod choice;
mod config;
mod credit;
mod deadline;
mod draining;
mod ejection;
mod ending;
mod expiry;
mod fact;
mod lease;
mod moving;
mod offering;
mod peer;
mod post;
mod queue;
mod refusal;
mod replying;
mod rights;
mod service;
mod setting;
mod share;
mod snapshot;
mod task;
mod turn;

pub use access::{Access, Right, Rule, Who, Wildcard, WildcardError, is_anonymous};
pub use config::{Config, Overflow};
pub use fact::{Counters, Fact, Leaving};
pub use peer::PeerId;
pub use snapshot::{ServiceState, Snapshot, WorkerState};

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use foldhash::fast::FixedState;

use crate::chain::Chains;
use crate::table::Table;
use choice::Dice;
use deadline::Deadlines;
use draining::Drain;
use peer::Peer;
use post::Post;
use queue::Lines;
use service::Services;
use setting::Settings;
use share::Stirred;
use task::Tasks;

use crate::protocol::{Answer, Assignment, Dialect, Id, Name, Notice, Reading, Return, Word};
use crate::security::User;
use crate::time::Time;
use crate::wire::Message;

/// What the broker is told.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Event {
    /// A connection is open. One that speaks without this is nobody in particular.
    Opened {
        /// Who.
        peer: PeerId,
        /// Who that has proved to be; none if it need not prove anything.
        user: Option<User>,
        /// It comes from this machine, as far as can be seen: whatever a proxy brings does too.
        local: bool,
    },
    /// A peer said something, understood or not.
    Heard {
        /// Who.
        peer: PeerId,
        /// What.
        reading: Reading,
    },
    /// A peer gave a sign of life below the level of messages (a ZMTP command).
    Sign {
        /// Who.
        peer: PeerId,
    },
    /// A connection has ended; its number may be used again, with another generation.
    Lost {
        /// Who.
        peer: PeerId,
    },
    /// Much waits to be written to a peer, or no longer does.
    Full {
        /// Who.
        peer: PeerId,
        /// Whether it does.
        full: bool,
    },
    /// Other rules hold from now on: for tasks that arrive, and for what workers offer. Tasks that
    /// were taken on already are not judged again.
    Access {
        /// The rules; none lets everybody do everything.
        access: Option<Arc<Access>>,
    },
    /// Finish, for good: no new tasks; what is there may take so long. Draining also begins when
    /// an administrator asks for it, and can be called off then.
    Drain {
        /// How long.
        limit: Duration,
    },
    /// The time told by [`Broker::deadline`] has come.
    Woke,
}

/// What the broker wants done, in this order.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Action {
    /// Give a task to a worker.
    Assign {
        /// The worker.
        peer: PeerId,
        /// Its language.
        dialect: Dialect,
        /// The task.
        task: Assignment,
    },
    /// Answer a client.
    Answer {
        /// The client.
        peer: PeerId,
        /// The way back to it.
        back: Return,
        /// The service it asked for.
        service: Name,
        /// The answer.
        answer: Answer,
    },
    /// Tell a worker that nobody wants this attempt's result any more.
    Cancel {
        /// The worker.
        peer: PeerId,
        /// Its language.
        dialect: Dialect,
        /// The attempt.
        token: Id,
    },
    /// Say something else.
    Tell {
        /// To whom.
        peer: PeerId,
        /// In which language.
        dialect: Dialect,
        /// What.
        notice: Notice,
    },
    /// Answer a question about the broker itself, from [`Broker::snapshot`].
    Query {
        /// The client.
        peer: PeerId,
        /// The way back to it.
        back: Return,
        /// The service it asked for.
        service: Name,
        /// What it wants to know.
        query: Query,
    },
    /// Demand signs of life of a connection (it is busy), or no more.
    Watch {
        /// Whose.
        peer: PeerId,
        /// Whether to.
        on: bool,
    },
    /// Much has been given to a worker or a client at once: tell with [`Event::Full`] when little of it waits.
    /// Until then it counts as full.
    Gauge {
        /// Whom.
        peer: PeerId,
    },
    /// Read no more from a connection for the time being, or read again.
    Hold {
        /// Whose.
        peer: PeerId,
        /// Whether to hold it back.
        on: bool,
    },
    /// Close a connection, after what has been said to it.
    Close {
        /// Whose.
        peer: PeerId,
    },
    /// Draining is done: connections are closed as soon as what waits for them is written.
    Drained {
        /// When the drain's time is up, and they are closed whatever waits.
        until: Time,
    },
    /// For the log.
    Note(Fact),
}

/// The peer that an action is about, borrowed as the action is: one list for reading and for
/// writing. `$of_fact` is what a fact is asked for it.
macro_rules! peer_of {
    ($action:expr, $of_fact:ident) => {
        match $action {
            Action::Assign { peer, .. }
            | Action::Answer { peer, .. }
            | Action::Cancel { peer, .. }
            | Action::Tell { peer, .. }
            | Action::Query { peer, .. }
            | Action::Watch { peer, .. }
            | Action::Gauge { peer }
            | Action::Hold { peer, .. }
            | Action::Close { peer } => Some(peer),
            Action::Note(fact) => fact.$of_fact(),
            Action::Drained { .. } => None,
        }
    };
}

impl Action {
    /// Whom it is about; nobody in particular for what concerns the broker as a whole.
    #[must_use]
    pub fn peer(&self) -> Option<PeerId> {
        peer_of!(self, peer_ref).copied()
    }

    /// The same action, about another.
    pub(crate) fn set_peer(&mut self, other: PeerId) {
        if let Some(peer) = peer_of!(self, peer_mut) {
            *peer = other;
        }
    }
}

/// A question that one of the broker's own services answers.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Query {
    /// `s0.info`: totals and counters.
    Info,
    /// `s0.services`
    Services,
    /// `s0.workers`
    Workers,
    /// `s0.queues`
    Queues,
    /// `s0.drain` and `s0.undrain`: what is waited for, once that is done.
    Drain,
}

/// See the [module's description](self).
#[derive(Debug)]
pub struct Broker {
    config: Config,
    peers: Vec<Option<Peer>>,
    services: Services,
    /// How peers' names and numbers are hashed.
    hash: FixedState,
    tasks: Tasks,
    /// Places of tasks in their services' queues.
    lines: Lines,
    /// Places of tasks with their workers, or beside a queue.
    loads: Chains,
    /// The workers' posts, one for each of their seats.
    posts: Table<Post>,
    /// Posts there ever were, and times that one entered a ready list.
    serials: u64,
    stamps: u64,
    /// Places of posts in the ready lists.
    ready: Chains,
    /// Services to whose queues tasks have come that nobody has had a chance to take.
    unserved: BTreeSet<u32>,
    /// Turns that clients have had.
    turns: u64,
    dice: Dice,
    /// What operators set.
    overrides: Settings,
    /// Services that have too many of their workers out.
    recalled: Vec<u32>,
    deadlines: Deadlines<Due>,
    /// Tasks without an answer.
    open: usize,
    /// What all tasks cost.
    held: usize,
    /// What the caller holds besides, in buffers.
    outside: usize,
    /// Tasks without an answer that other brokers have.
    beside: usize,
    /// A drain ends when other brokers have no tasks either.
    waits_for_others: bool,
    /// What has changed about workers that other brokers have a part of.
    stirred: Stirred,
    /// Connections held back until there is room.
    paused: VecDeque<PeerId>,
    /// A deadline is set to let one of them go on.
    resuming: bool,
    counters: Counters,
    drain: Option<Drain>,
    now: Time,
    out: Vec<Action>,
}

/// What a deadline is for.
#[derive(Clone, Copy, Debug)]
enum Due {
    Task(u32),
    Service(u32),
    Peer(u32),
    Post(u32),
    Parked(u32),
    Room,
    Drain,
}

impl Broker {
    /// A broker without peers. The seed feeds the tokens and must not be guessable.
    #[must_use]
    pub fn new(mut config: Config, seed: [u8; 32]) -> Self {
        // A worker that is given all it may be given must not be cut for it.
        let limits = &mut config.limits;
        limits.worker_outbox = limits.worker_outbox.min(limits.outbox / 2);
        let hash = FixedState::with_seed(Dice::hash_seed(seed));
        Self {
            config,
            peers: Vec::new(),
            services: Services::new(hash.clone()),
            hash,
            tasks: Tasks::new(seed),
            lines: Lines::default(),
            loads: Chains::default(),
            posts: Table::default(),
            serials: 0,
            stamps: 0,
            ready: Chains::default(),
            unserved: BTreeSet::new(),
            turns: 0,
            dice: Dice::new(seed),
            overrides: Settings::new(),
            recalled: Vec::new(),
            deadlines: Deadlines::default(),
            open: 0,
            held: 0,
            outside: 0,
            beside: 0,
            waits_for_others: false,
            stirred: Stirred::default(),
            paused: VecDeque::new(),
            resuming: false,
            counters: Counters::default(),
            drain: None,
            now: Time::ZERO,
            out: Vec::new(),
        }
    }

    /// One event in, all its consequences out, appended in order. Time never runs backwards:
    /// an earlier `now` counts as the latest one told.
    pub fn handle(&mut self, now: Time, event: Event, out: &mut Vec<Action>) {
        self.now = self.now.max(now);
        std::mem::swap(&mut self.out, out);
        match event {
            Event::Opened { peer, user, local } => self.opened(peer, user, local),
            Event::Heard { peer, reading } => self.heard(peer, reading),
            Event::Sign { peer } => {
                let now = self.now;
                if let Some(peer) = self.peer_mut(peer) {
                    peer.heard = now;
                }
            }
            Event::Lost { peer } => self.lost(peer),
            Event::Full { peer, full } => self.full(peer, full),
            Event::Access { access } => self.replace_access(access),
            Event::Drain { limit } => self.begin_drain(limit, true),
            Event::Woke => self.woke(),
        }
        self.recall();
        self.resume_for_room();
        self.end_drain();
        std::mem::swap(&mut self.out, out);
    }

    /// When to send [`Event::Woke`], if ever.
    #[must_use]
    pub fn deadline(&self) -> Option<Time> {
        self.deadlines.next()
    }

    /// Tells how many bytes the caller holds for all connections together: unfinished messages
    /// and what waits to be written. They count against the same bound as the tasks, from the
    /// next event on.
    pub fn set_outside(&mut self, bytes: usize) {
        self.outside = bytes;
        self.await_room();
    }

    /// What all tasks cost together, in bytes.
    #[must_use]
    pub fn held(&self) -> usize {
        self.held
    }

    /// The settings.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.config
    }

    #[inline]
    fn heard(&mut self, id: PeerId, reading: Reading) {
        self.meet(id);
        // What was read before the connection could be closed comes too late.
        if self.peer(id).is_none_or(|peer| peer.closing) {
            return;
        }
        let trusted = self.listen(id);
        match reading {
            Reading::Nothing => {}
            Reading::Word(word) => self.word(id, word),
            Reading::Refused(refusal) => self.malformed(id, refusal),
            Reading::Dead => self.dead(id),
            Reading::Unknown { proxied } => self.unknown(id, proxied),
        }
        if trusted {
            // Not before it has spoken: it may have said goodbye.
            self.settle(id.place);
        }
    }

    #[inline]
    fn word(&mut self, id: PeerId, word: Word) {
        match word {
            Word::Ask(ask) => self.asked(id, ask),
            Word::Cancel(back) => self.cancelled(id, &back),
            Word::Credit(credit) => self.credited(id, &credit),
            Word::Announce(announcement) => self.announced(id, announcement),
            Word::Reply(reply) => self.replied(id, reply),
            Word::Ping(ping) => self.pinged(id, ping),
            Word::Beat(dialect) => self.beat(id, dialect),
            Word::NeedBroker(back) => self.need_broker(id, back),
            Word::Bye(_) => self.bye(id),
        }
    }

    fn woke(&mut self) {
        while let Some(due) = self.deadlines.pop(self.now) {
            match due {
                Due::Task(task) => self.task_due(task),
                Due::Service(service) => self.service_due(service),
                Due::Peer(place) => self.peer_due(place),
                Due::Post(node) => self.post_due(node),
                Due::Parked(task) => self.parked_due(task),
                Due::Room => self.resuming = false,
                Due::Drain => self.drain_due(),
            }
        }
    }

    fn say(&mut self, action: Action) {
        self.out.push(action);
    }

    fn note(&mut self, fact: Fact) {
        self.out.push(Action::Note(fact));
    }

    fn tell(&mut self, peer: PeerId, dialect: Dialect, notice: Notice) {
        let now = self.now;
        if let Some(there) = self.peer_mut(peer).filter(|peer| !peer.closing) {
            if let Some(worker) = &mut there.worker {
                worker.told = now;
            }
            self.say(Action::Tell {
                peer,
                dialect,
                notice,
            });
        }
    }

    /// Closes a connection, once. Its tasks and its place as a worker do not wait for the end.
    fn close(&mut self, id: PeerId) {
        let Some(peer) = self.peer_mut(id).filter(|peer| !peer.closing) else {
            return;
        };
        peer.closing = true;
        peer.paused = None;
        self.say(Action::Close { peer: id });
        self.drop_client(id);
        self.remove_worker(id, Leaving::Confused);
    }

    fn peer(&self, id: PeerId) -> Option<&Peer> {
        self.peers
            .get(id.place as usize)?
            .as_ref()
            .filter(|peer| peer.id == id)
    }

    fn peer_mut(&mut self, id: PeerId) -> Option<&mut Peer> {
        peer_mut(&mut self.peers, id)
    }

    fn peer_at(&self, place: u32) -> Option<&Peer> {
        self.peers.get(place as usize)?.as_ref()
    }

    fn peer_at_mut(&mut self, place: u32) -> Option<&mut Peer> {
        self.peers.get_mut(place as usize)?.as_mut()
    }

    /// Makes room for a peer that speaks for the first time.
    fn meet(&mut self, id: PeerId) {
        let place = id.place as usize;
        if place >= self.peers.len() {
            self.peers.resize_with(place + 1, || None);
        }
        let (now, hash) = (self.now, self.hash.clone());
        if let Some(peer) = self.peers.get_mut(place) {
            peer.get_or_insert_with(|| Peer::new(id, now, hash));
        }
    }

    /// A message came: a sign of life, and of more than the I/O thread's. True if a worker is
    /// trusted again.
    fn listen(&mut self, id: PeerId) -> bool {
        let now = self.now;
        let Some(peer) = self.peer_mut(id) else {
            return false;
        };
        peer.heard = now;
        let Some(worker) = &mut peer.worker else {
            return false;
        };
        worker.spoke = now;
        // A busy Majordomo worker earns its further beats one by one.
        worker.beats = if worker.dialect().is_majordomo() && !worker.tasks.is_empty() {
            worker.beats.saturating_sub(1)
        } else {
            0
        };
        let trusted = worker.suspect.take().is_some();
        if trusted {
            self.note(Fact::WorkerTrusted { peer: id });
        }
        trusted
    }

    /// A connection has ended, both sides of it.
    fn lost(&mut self, id: PeerId) {
        let Some(peer) = self.peer_mut(id) else {
            return;
        };
        // It may be its own worker: nothing is said to either side of it.
        peer.closing = true;
        self.drop_client(id);
        self.remove_worker(id, Leaving::Lost);
        let gone = self.peers.get_mut(id.place as usize).and_then(Option::take);
        if let Some(timer) = gone.and_then(|peer| peer.timer) {
            self.deadlines.clear(timer);
        }
    }

    fn full(&mut self, id: PeerId, full: bool) {
        if let Some(peer) = self.peer_mut(id) {
            peer.full = full;
            peer.given = 0;
            self.settle(id.place);
            if !full {
                self.go_on(id);
            }
        }
    }
}

/// The peer, where the rest of the broker is in use.
fn peer_mut(peers: &mut [Option<Peer>], id: PeerId) -> Option<&mut Peer> {
    let peer = peers.get_mut(id.place as usize)?.as_mut();
    peer.filter(|peer| peer.id == id)
}

/// A body of one part.
fn text_body(text: &str) -> Message {
    Message::single(text.as_bytes())
}
