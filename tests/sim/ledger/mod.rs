//! The books of a run, kept at the broker's door: what peers told it and meant, what it said to
//! them as they read it, and what was promised. It knows nothing of how a broker works inside.
//!
//! Each turn is one event and all that came of it. `begin` books the event, `said`, `noted` and
//! the others book the actions, `end` looks at what is left undone. The first broken promise ends
//! the run.

mod meaning;
mod order;
mod refusing;
mod said;
mod turn;

use meaning::promised;
pub(crate) use turn::After;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};
use std::time::Duration;

use scale0::broker::Config;
use scale0::time::Time;

use crate::plan::Stated;
use crate::speech::{Frames, Token, Tongue, Way};
use crate::told::{Asked, Meant};

/// What is held, by name.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum Promise {
    /// Each task gets one final answer, by its deadline; nothing after it.
    OneFinal,
    /// Nothing is said to a connection that is gone.
    NothingAfterLost,
    /// No answer reaches whom it is not for.
    RightClient,
    /// Bodies, parts and numbers arrive as they were sent; replies are those of the attempt.
    Faithful,
    /// A worker is given no more than it can take, and only what it offers.
    Capacity,
    /// Of those with room the one idle longest is chosen.
    LongestIdle,
    /// Tasks of one client, service and priority are begun in their order, and what is important
    /// before what is not, unless that has waited.
    InOrder,
    /// Clients that wait for one service take turns.
    FairTurns,
    /// No task is started again unless it may be; every attempt has a token of its own.
    OneStart,
    /// A worker is told how much of a task's time is left.
    TimeTold,
    /// A worker is told when nobody wants its result any more.
    CancelTold,
    /// No task waits while a worker has room for it.
    IdleHands,
    /// What a worker announces holds from then on, and is confirmed.
    Announced,
    /// The living are heard and kept, the dead are given up.
    Alive,
    /// A refusal says what is true.
    HonestRefusal,
    Limits,
    /// The broker's numbers are those of the ledger; at rest nothing is left.
    Books,
    /// After a wake the next deadline lies ahead.
    DeadlineAhead,
    /// Draining takes no new tasks, and ends when it should.
    Drain,
    /// Everybody understands what is said.
    Language,
    /// Who is held back is read again.
    Released,
    /// The same seed, the same story.
    SameStory,
    /// A promise of `tests/broker.rs`, seen by its checker.
    Core,
}

#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Broken {
    pub(crate) promise: Promise,
    pub(crate) why: String,
}

pub(crate) type Checked = Result<(), Broken>;

pub(crate) fn broken(promise: Promise, why: impl Into<String>) -> Checked {
    Err(Broken {
        promise,
        why: why.into(),
    })
}

macro_rules! must {
    ($holds:expr, $promise:ident, $($why:tt)+) => {
        if !$holds {
            return $crate::ledger::broken($crate::ledger::Promise::$promise, format!($($why)+));
        }
    };
}
pub(crate) use must;

/// A connection, by its number in the run; numbers are never used again.
pub(crate) type Conn = usize;

#[derive(Debug)]
struct Party {
    tongue: Tongue,
    lost: bool,
    closed: bool,
    held: bool,
    full: bool,
    strikes: u32,
    /// It promised to be heard this often.
    promise: Duration,
    /// Its last sign of life.
    heard: Time,
    /// Its last message.
    spoke: Time,
    /// When it last had a task, or was no worker.
    busy: Time,
    hand: Option<Hand>,
    /// The newest announcement, until it is applied.
    stated: Option<(Time, Stated)>,
}

/// The worker's side of a connection.
#[derive(Debug)]
struct Hand {
    stated: Stated,
    /// Since when it is not trusted.
    suspect: Option<Time>,
    holding: BTreeMap<Token, u64>,
    /// When it last became ready or was given a task, as a rank.
    since: u64,
    room: bool,
    /// From when on a beat is expected at the latest after its interval.
    told: Time,
    beats: u32,
    applied: Time,
}

#[derive(Debug)]
struct Task {
    asked: Asked,
    conn: Conn,
    /// In which order.
    rank: u64,
    arrived: Time,
    deadline: Time,
    at: At,
    attempts: u16,
    /// It may be started again if its worker is lost.
    again: bool,
    /// A part of its answer has reached the client.
    streamed: bool,
    /// Parts for a client that takes one answer only.
    parts: Frames,
    /// Parts that the worker has said and the client has not been sent.
    unsent: VecDeque<Frames>,
    /// Tasks of others that were begun while it was the first of its client.
    passed: BTreeMap<Conn, u32>,
    /// It has its final answer, or nobody to give it to.
    done: bool,
    /// Since when.
    since: Time,
    /// Since when it is the first that waits of its client, service and priority.
    first: Option<Time>,
    /// Another task of its number was under way.
    twin: bool,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum At {
    /// Came in this turn.
    Door,
    Queue,
    Worker(Conn, Token),
    /// Its worker was lost in this turn.
    Orphaned,
    Over,
}

/// What this turn's event allows or demands.
#[derive(Debug, Default)]
struct Due {
    lost: Option<Conn>,
    bye: Option<Conn>,
    fresh: Option<u64>,
    /// A question to the broker itself.
    own: Option<(Conn, Way)>,
    reply: Option<(u64, Frames)>,
    partial: Option<u64>,
    must_end: Option<u64>,
    cancelled: Option<u64>,
    pong: Option<(Conn, Way)>,
    complaint: Option<Conn>,
    close: BTreeSet<Conn>,
    trusted: Option<Conn>,
    /// It says again who it is, which its language does not allow.
    confused: Option<Conn>,
    config: BTreeSet<Conn>,
    cancels: BTreeMap<Token, Conn>,
}

#[derive(Debug)]
pub(crate) struct Ledger {
    config: Config,
    tight: bool,
    now: Time,
    parties: BTreeMap<Conn, Party>,
    tasks: BTreeMap<u64, Task>,
    /// Tasks that are not over.
    active: BTreeSet<u64>,
    by_way: HashMap<(Conn, Way), u64>,
    ended: HashSet<(Conn, Way)>,
    tokens: HashSet<Token>,
    /// Services that somebody offers.
    offers: BTreeSet<String>,
    /// When the last worker of a service left.
    left: BTreeMap<String, Time>,
    rank: u64,
    /// When what is left is told that time is up.
    draining: Option<Time>,
    drained: bool,
    due: Due,
}

impl Ledger {
    pub(crate) fn new(config: Config, tight: bool) -> Self {
        Self {
            config,
            tight,
            now: Time::ZERO,
            parties: BTreeMap::new(),
            tasks: BTreeMap::new(),
            active: BTreeSet::new(),
            by_way: HashMap::new(),
            ended: HashSet::new(),
            tokens: HashSet::new(),
            offers: BTreeSet::new(),
            left: BTreeMap::new(),
            rank: 0,
            draining: None,
            drained: false,
            due: Due::default(),
        }
    }

    /// The broker has died: nobody owes anything any more.
    pub(crate) fn restart(&mut self) {
        *self = Self::new(self.config.clone(), self.tight);
    }

    /// Every token that was ever given, in an order of their own.
    pub(crate) fn tokens(&self) -> Vec<Token> {
        let mut tokens: Vec<Token> = self.tokens.iter().copied().collect();
        tokens.sort_unstable();
        tokens
    }

    /// How many more tasks of a service workers have room for.
    pub(crate) fn room(&self, service: &str) -> usize {
        self.eligible(service)
            .filter_map(|(_, party)| {
                let hand = party.hand.as_ref()?;
                Some(self.capacity(hand).saturating_sub(hand.holding.len()))
            })
            .sum()
    }

    fn party(&mut self, conn: Conn) -> &mut Party {
        self.parties.get_mut(&conn).expect("it has been opened")
    }

    /// The worker's side, if that is still there.
    fn hand(&mut self, conn: Conn) -> Option<&mut Hand> {
        self.parties.get_mut(&conn)?.hand.as_mut()
    }

    fn begin(&mut self, now: Time) {
        self.now = now;
        self.due = Due::default();
    }

    pub(crate) fn opened(&mut self, now: Time, conn: Conn, tongue: Tongue) {
        self.begin(now);
        self.parties.insert(
            conn,
            Party {
                tongue,
                lost: false,
                closed: false,
                held: false,
                full: false,
                strikes: 0,
                promise: Duration::ZERO,
                heard: now,
                spoke: now,
                busy: now,
                hand: None,
                stated: None,
            },
        );
    }

    pub(crate) fn woke(&mut self, now: Time) {
        self.begin(now);
    }

    pub(crate) fn sign(&mut self, now: Time, conn: Conn) {
        self.begin(now);
        self.party(conn).heard = now;
    }

    pub(crate) fn full(&mut self, now: Time, conn: Conn, full: bool) {
        self.begin(now);
        self.party(conn).full = full;
        if let Some(hand) = self.hand(conn) {
            hand.told = now;
        }
        self.look_for_room();
    }

    pub(crate) fn lost(&mut self, now: Time, conn: Conn) {
        self.begin(now);
        self.due.lost = Some(conn);
        self.party(conn).lost = true;
        self.drop_client(conn);
        self.drop_hand(conn);
        self.look_for_room();
    }

    pub(crate) fn drain(&mut self, now: Time, limit: Duration) {
        self.begin(now);
        self.draining.get_or_insert(now + limit);
    }

    pub(crate) fn heard(&mut self, now: Time, conn: Conn, meant: &Meant) {
        self.begin(now);
        let party = self.party(conn);
        if party.lost || party.closed {
            return;
        }
        (party.heard, party.spoke) = (now, now);
        let majordomo = !party.tongue.is_s0();
        if let Some(hand) = &mut party.hand {
            hand.beats = if majordomo && !hand.holding.is_empty() {
                hand.beats.saturating_sub(1)
            } else {
                hand.told = hand.told.max(if hand.beats > 0 { now } else { hand.told });
                0
            };
            if hand.suspect.take().is_some() {
                self.due.trusted = Some(conn);
            }
        }
        self.meant(conn, meant);
        self.look_for_room();
    }

    /// Nobody waits for its answers any more.
    fn drop_client(&mut self, conn: Conn) {
        let open: Vec<u64> = self
            .active
            .iter()
            .copied()
            .filter(|serial| {
                let task = &self.tasks[serial];
                task.conn == conn && !task.done
            })
            .collect();
        for serial in open {
            self.conclude(serial);
        }
    }

    /// A task has its answer or needs none.
    fn conclude(&mut self, serial: u64) {
        let task = self.tasks.get_mut(&serial).expect("it is active");
        task.done = true;
        task.since = self.now;
        task.unsent.clear();
        let (conn, way) = (task.conn, task.asked.way);
        if self.by_way.get(&(conn, way)) == Some(&serial) {
            self.by_way.remove(&(conn, way));
        }
        self.ended.insert((conn, way));
        if let At::Worker(worker, token) = task.at {
            let s0 = self.parties[&worker].tongue.is_s0();
            let held = self
                .hand(worker)
                .is_some_and(|hand| hand.holding.contains_key(&token));
            if held {
                if s0 {
                    self.due.cancels.insert(token, worker);
                }
                return;
            }
        }
        if let Some(task) = self.tasks.get_mut(&serial) {
            task.at = At::Over;
        }
        self.active.remove(&serial);
    }

    /// A worker is gone; its tasks have nobody who works on them.
    fn drop_hand(&mut self, conn: Conn) {
        let party = self.party(conn);
        party.stated = None;
        party.promise = Duration::ZERO;
        let Some(hand) = party.hand.take() else {
            return;
        };
        for serial in hand.holding.into_values() {
            let task = self.tasks.get_mut(&serial).expect("it was held");
            if task.done {
                task.at = At::Over;
                self.active.remove(&serial);
            } else {
                task.at = At::Orphaned;
            }
        }
    }

    /// A worker that has gained room stands behind all others.
    fn look_for_room(&mut self) {
        let most = self.config.limits.worker_tasks;
        for party in self.parties.values_mut() {
            let full = party.full;
            if let Some(hand) = &mut party.hand {
                let room = hand.has_room(most) && !full;
                if room && !hand.room {
                    self.rank += 1;
                    hand.since = self.rank;
                }
                hand.room = room;
            }
        }
    }

    /// Workers that can take a task of a service now.
    fn eligible<'a>(&'a self, service: &'a str) -> impl Iterator<Item = (Conn, &'a Party)> {
        self.parties
            .iter()
            .filter(move |(_, party)| {
                let fits = |hand: &Hand| hand.room && hand.stated.offers(service).is_some();
                party.hand.as_ref().is_some_and(fits)
            })
            .map(|(conn, party)| (*conn, party))
    }

    fn offered(&self, service: &str) -> bool {
        self.parties
            .values()
            .filter_map(|party| party.hand.as_ref())
            .any(|hand| hand.stated.offers(service).is_some())
    }

    /// When a task that finds no worker has waited long enough for one.
    fn patience_ends(&self, task: &Task) -> Time {
        let left = self.left.get(&task.asked.service).copied();
        task.arrived.max(left.unwrap_or(Time::ZERO)) + self.config.wait_for_worker
    }

    fn capacity(&self, hand: &Hand) -> usize {
        hand.capacity(self.config.limits.worker_tasks)
    }

    /// Tasks that have no answer yet.
    fn open(&self) -> usize {
        let waits = |serial: &&u64| !self.tasks[serial].done;
        self.active.iter().filter(waits).count()
    }
}

impl Hand {
    fn capacity(&self, most: usize) -> usize {
        let capacity = usize::from(self.stated.capacity);
        if self.stated.deep {
            capacity
        } else {
            capacity.min(most)
        }
    }

    fn has_room(&self, most: usize) -> bool {
        self.suspect.is_none() && self.holding.len() < self.capacity(most)
    }
}

impl Task {
    /// Whether it stands in one line with another that has not been begun.
    fn same_line(&self, other: &Self) -> bool {
        self.conn == other.conn
            && self.attempts == 0
            && self.asked.service == other.asked.service
            && self.asked.priority == other.asked.priority
    }

    fn may_restart(&self, most: u16) -> bool {
        self.again && !self.streamed && self.attempts < most
    }
}

impl Stated {
    /// Whether a service is offered, and if so, as one whose tasks may be repeated.
    fn offers(&self, service: &str) -> Option<bool> {
        let found = self.offers.iter().find(|(name, _)| name == service);
        found.map(|(_, idempotent)| *idempotent)
    }
}
