//! The books of a run, kept at the broker's door: what peers told it and meant, what it said to
//! them as they read it, and what was promised. It knows nothing of how a broker works inside.
//!
//! Each turn is one event and all that came of it. `begin` books the event, `said`, `noted` and
//! the others book the actions, `end` looks at what is left undone. The first broken promise ends
//! the run.

mod choice;
mod draining;
mod given;
mod meaning;
mod oneway;
mod order;
mod posts;
mod refusing;
mod said;
mod standing;
mod stream;
mod turn;

use meaning::promised;
use oneway::Counted;
use posts::{Announced, Post};
use stream::Window;
pub(crate) use turn::After;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};
use std::time::Duration;

use scale0::broker::Config;
use scale0::time::Time;

use crate::offer::Policy;
use crate::plan::Stated;
use crate::speech::{Frames, Token, Tongue, Wants, Way};
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
    /// Of those with room the one idle longest is chosen, where nothing else is said.
    LongestIdle,
    /// Of those with room the one is chosen that the service's policy names.
    Choice,
    /// A task goes to those who offer its name, or the most specific wildcard that it fits.
    Names,
    /// Who fails again and again is left out for a while, and comes back; never more than half.
    Ejection,
    /// Who refuses a task is not asked again at once, and no attempt is counted.
    Refusals,
    /// A one-way task has one receipt, or none if it wants none, and is done or counted as failed.
    OneWay,
    /// No more parts are sent than there is credit for, and nobody waits for credit that is given.
    Credit,
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
    /// The longest interval that it ever promised.
    slowest: Duration,
    /// Its last sign of life.
    heard: Time,
    /// Its last message.
    spoke: Time,
    /// When it last had a task, or was no worker.
    busy: Time,
    /// It takes parts of replies by credit.
    counts: bool,
    /// It understands what it did not ask for.
    capable: bool,
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
    /// What it serves, by name.
    posts: BTreeMap<String, Post>,
    /// It was sent to another broker.
    away: bool,
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
    /// Whose queue it stands or stood in.
    line: String,
    /// It stood in another one before.
    moved: bool,
    /// Its client hears no more of it.
    told: bool,
    /// Who refused it, and until when they are left aside.
    refusals: Vec<(Conn, Time)>,
    /// For what post it was given to its worker, and when.
    post: (String, u64),
    given: Time,
    /// What its client still takes, if it counts.
    down: Option<Window>,
    /// What its worker may still send, if it counts.
    up: Option<Window>,
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
    /// A question to the broker itself, and the refusal that it must get.
    own: Option<(Conn, Way, Option<u16>)>,
    /// It has been refused too often.
    exhausted: Option<u64>,
    /// A question for other brokers.
    broker: Option<(Conn, u64)>,
    /// Workers that are sent to another broker, or called back.
    sent: BTreeSet<Conn>,
    restored: BTreeSet<Conn>,
    /// Tasks that have changed their queue.
    moved: BTreeSet<u64>,
    reply: Option<(u64, Frames)>,
    partial: Option<u64>,
    must_end: Option<u64>,
    cancelled: Option<u64>,
    pong: Option<(Conn, Way, bool)>,
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
    /// How services are run, by those who offer them and by operators.
    announced: BTreeMap<String, Announced>,
    set: BTreeMap<String, Policy>,
    /// Where keys fell, by who could have had them.
    homes: HashMap<(String, Vec<u8>, Vec<Conn>), Conn>,
    /// Quiet tasks there were.
    quiet: HashSet<(Conn, Way)>,
    counted: Counted,
    /// Until when more refused tasks wait for a service than are looked at.
    crowded: BTreeMap<String, Time>,
    /// Somebody refused a task where turns follow weights.
    declined: bool,
    posts: u64,
    rank: u64,
    /// When what is left is told that time is up.
    draining: Option<Time>,
    for_good: bool,
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
            announced: BTreeMap::new(),
            set: BTreeMap::new(),
            homes: HashMap::new(),
            quiet: HashSet::new(),
            counted: Counted::default(),
            crowded: BTreeMap::new(),
            declined: false,
            posts: 0,
            rank: 0,
            draining: None,
            for_good: false,
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
        let line = self.resolve(service);
        let room = |(_, party, _): (Conn, &Party, &Post)| {
            let hand = party.hand.as_ref()?;
            Some(self.capacity(hand).saturating_sub(hand.holding.len()))
        };
        self.eligible(&line).filter_map(room).sum()
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
                slowest: Duration::ZERO,
                heard: now,
                spoke: now,
                busy: now,
                counts: false,
                capable: false,
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
        self.for_good = true;
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
            let task = self.tasks.get_mut(&serial).expect("it is active");
            if task.asked.wants == Wants::Answer || task.at == At::Door {
                self.conclude(serial);
            } else {
                // It outlives its client.
                self.hears_no_more(serial);
            }
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
            task.unsent.clear();
            if task.done {
                task.at = At::Over;
                self.active.remove(&serial);
            } else {
                task.at = At::Orphaned;
            }
        }
        self.note_offers();
    }

    /// When a task that finds no worker has waited long enough for one.
    fn patience_ends(&self, task: &Task) -> Time {
        let left = self.left.get(&task.line).copied();
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
        if self.stated.caps.deep {
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
            && !self.comes_again()
            && !self.moved
            && !other.moved
            && self.line == other.line
            && self.asked.priority == other.asked.priority
    }

    /// It was started before, or would have been.
    fn comes_again(&self) -> bool {
        self.attempts > 0 || !self.refusals.is_empty()
    }

    fn refused_by(&self, conn: Conn, now: Time) -> bool {
        let aside = |(by, until): &(Conn, Time)| *by == conn && *until > now;
        self.refusals.iter().any(aside)
    }

    /// The same, or he was left aside a moment ago.
    fn refused_since(&self, conn: Conn, now: Time, moment: Duration) -> bool {
        let aside = |(by, until): &(Conn, Time)| *by == conn && *until + moment > now;
        self.refusals.iter().any(aside)
    }

    fn may_restart(&self, most: u16) -> bool {
        self.again && !self.streamed && self.attempts < most
    }
}
