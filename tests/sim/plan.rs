//! What happens in one run: who takes part, with what on its line, and a script of happenings in
//! their time. All of it follows from the seed. The script alone is cut down when a run fails: the
//! cast and the settings stay, and so does the meaning of every happening that is left.

use std::fmt;
use std::time::Duration;

use scale0::broker::{Config, Overflow};
use scale0::limits::Limits;
use scale0::time::Time;

use crate::cast::cast;
use crate::dice::{Dice, about};
use crate::offer::{Offer, Policy};
use crate::script::script;
use crate::speech::{Caps, Tongue, Wants};

#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) seed: u64,
    pub(crate) config: Config,
    /// The limits are low enough to be met.
    pub(crate) tight: bool,
    pub(crate) cast: Vec<Cast>,
    pub(crate) script: Vec<Happening>,
    /// From here on nothing more goes wrong.
    pub(crate) end: Time,
}

/// One who takes part.
#[derive(Clone, Debug)]
pub(crate) struct Cast {
    pub(crate) tongue: Tongue,
    pub(crate) hands: Option<Stated>,
    pub(crate) line: Line,
    pub(crate) mood: Mood,
    pub(crate) appetite: Appetite,
}

/// How a client takes the parts of a reply.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Appetite {
    /// It does not count them.
    Boundless,
    /// It gives credit for what it has taken, within so many milliseconds.
    Counting(u64),
    /// It counts them, and gives no credit.
    Sated,
}

/// What a connection is like, in both directions.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Line {
    pub(crate) latency_us: u64,
    /// Added at random.
    pub(crate) jitter_us: u64,
    /// Microseconds for each byte.
    pub(crate) slowness: u64,
    /// Bytes that may be under way; the rest waits with its sender.
    pub(crate) window: usize,
}

/// What a worker says of itself.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Stated {
    pub(crate) offers: Vec<Offer>,
    pub(crate) capacity: u16,
    pub(crate) promise_ms: u32,
    pub(crate) caps: Caps,
}

/// How a worker treats its tasks.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Mood {
    /// At once, whole, once.
    Prompt,
    /// Mostly well; now and then late, in parts, twice, never, or it dies of it.
    Human,
    /// Within seconds.
    Late,
    /// Not before the end.
    Never,
    /// It fails at everything.
    Sick,
    /// It refuses most of it.
    Unwilling,
    /// In many parts.
    Talkative,
}

#[derive(Clone, Debug)]
pub(crate) struct Happening {
    pub(crate) at: Time,
    pub(crate) what: What,
}

#[derive(Clone, Debug)]
pub(crate) enum What {
    Join(usize),
    Ask(Wish),
    /// The task of this number is not wanted any more.
    Cancel(u64),
    Announce(usize, Stated),
    /// An announcement that must be refused: it names a service twice.
    AnnounceBadly(usize),
    /// A PING with another capacity.
    Capacity(usize, u16),
    Ping(usize),
    NeedBroker(usize),
    Bye(usize),
    /// The connection breaks; both ends are told.
    Cut(usize),
    /// The process dies and is started again.
    Crash(usize),
    /// The host is gone; the broker is told nothing.
    Vanish(usize),
    /// The process stands still so many milliseconds; its connection stays.
    Freeze(usize, u64),
    Mood(usize, Mood),
    /// A reply with the n-th token that anybody was ever given.
    Forge(usize, u64),
    /// A message in no language.
    Garbage(usize),
    /// The broker dies and is started again.
    Restart,
    /// The broker is told to finish within so many milliseconds, and started again then.
    Drain(u64),
}

/// A task that somebody wants done.
#[derive(Clone, Debug)]
pub(crate) struct Wish {
    pub(crate) serial: u64,
    pub(crate) peer: usize,
    pub(crate) service: String,
    pub(crate) id: u64,
    pub(crate) via: u32,
    pub(crate) ttl_ms: u32,
    pub(crate) idempotent: bool,
    pub(crate) priority: u8,
    pub(crate) bytes: usize,
    pub(crate) wants: Wants,
    /// The property by which a worker may be chosen.
    pub(crate) key: Option<u64>,
    /// A service, and what an operator sets for it.
    pub(crate) order: Option<(String, Option<Policy>)>,
}

impl Wish {
    /// A question to the broker itself.
    pub(crate) fn own(serial: u64, peer: usize, service: &str) -> Self {
        Self {
            serial,
            peer,
            service: service.to_owned(),
            id: 1_000 + serial,
            via: 0,
            ttl_ms: 0,
            idempotent: false,
            priority: 4,
            bytes: 0,
            wants: Wants::Answer,
            key: None,
            order: None,
        }
    }
}

impl fmt::Display for Happening {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:?}", clock(self.at), self.what)
    }
}

/// Seconds with six digits.
pub(crate) fn clock(at: Time) -> String {
    let at = at.as_micros();
    format!("{:>5}.{:06}", at / 1_000_000, at % 1_000_000)
}

impl Plan {
    pub(crate) fn of(seed: u64) -> Self {
        let mut dice = Dice::of(seed, &[about::PLAN]);
        let tight = dice.percent(45);
        let config = config(&mut dice, tight);
        let cast = cast(&mut dice);
        let end = Time::from_millis(dice.between(1_000, 16_000));
        let script = script(dice, &cast, end);
        Self {
            seed,
            config,
            tight,
            cast,
            script,
            end,
        }
    }
}

fn config(dice: &mut Dice, tight: bool) -> Config {
    let mut config = Config {
        default_ttl: Duration::from_secs(5),
        max_ttl: Duration::from_secs(8),
        suspect_after: Duration::from_secs(1),
        suspect_time: Duration::from_secs(10),
        max_attempts: dice.between(1, 3) as u16,
        overflow: *dice.pick(&[Overflow::Refuse, Overflow::Refuse, Overflow::Block]),
        eject_after: *dice.pick(&[1, 2, 2, 3, 5]),
        eject_time: Duration::from_millis(*dice.pick(&[0, 200, 700, 700, 2_000])),
        drain_time: Duration::from_millis(*dice.pick(&[100, 800, 3_000])),
        ..Config::default()
    };
    if dice.percent(40) {
        config.failover = vec!["tcp://10.0.0.2:5555".parse().expect("it is one")];
    }
    config.limits = if tight {
        let held = dice.between(4_000, 40_000) as usize;
        Limits {
            queue_tasks: dice.between(1, 8) as usize,
            client_tasks: dice.between(1, 8) as usize,
            held,
            queue_bytes: held / 2,
            awaited_names: dice.between(1, 3) as usize,
            worker_tasks: dice.between(1, 4) as usize,
            worker_outbox: dice.between(100, 2_000) as usize,
            ahead: dice.between(500, 6_000) as usize,
            message: 2_000,
            parts: 12,
            ..Limits::default()
        }
    } else {
        Limits {
            worker_outbox: dice.between(200, 8_000) as usize,
            outbox: 200_000,
            ..Limits::default()
        }
    };
    config
}
