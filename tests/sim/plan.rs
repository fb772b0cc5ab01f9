//! What happens in one run: who takes part, with what on its line, and a script of happenings in
//! their time. All of it follows from the seed. The script alone is cut down when a run fails: the
//! cast and the settings stay, and so does the meaning of every happening that is left.

use std::fmt;
use std::time::Duration;

use scale0::broker::{Config, Overflow};
use scale0::limits::Limits;
use scale0::time::Time;

use crate::dice::{Dice, about};
use crate::speech::Tongue;

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
    pub(crate) offers: Vec<(String, bool)>,
    pub(crate) capacity: u16,
    pub(crate) promise_ms: u32,
    pub(crate) deep: bool,
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
        let mut writer = Writer {
            dice,
            cast: &cast,
            end,
            serial: 0,
            script: Vec::new(),
        };
        writer.write();
        let mut script = writer.script;
        script.sort_by_key(|happening| happening.at);
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
        ..Config::default()
    };
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

fn cast(dice: &mut Dice) -> Vec<Cast> {
    let clients = dice.between(1, 6);
    let workers = dice.between(1, 6);
    let services = dice.between(1, SERVICES.len() as u64);
    let mut cast = Vec::new();
    for _ in 0..clients {
        // A proxy may stand for many.
        let tongue = *dice.pick(&CLIENTS);
        let both = tongue == Tongue::S0 && dice.percent(20);
        let hands = both.then(|| hands(dice, tongue, services));
        cast.push(member(dice, tongue, hands));
    }
    for _ in 0..workers {
        let tongue = *dice.pick(&WORKERS);
        let hands = hands(dice, tongue, services);
        cast.push(member(dice, tongue, Some(hands)));
    }
    cast
}

fn member(dice: &mut Dice, tongue: Tongue, hands: Option<Stated>) -> Cast {
    let slow = dice.percent(15);
    Cast {
        tongue,
        hands,
        line: Line {
            latency_us: dice.between(50, if slow { 80_000 } else { 3_000 }),
            jitter_us: dice.between(1, if slow { 60_000 } else { 2_000 }),
            slowness: if slow { dice.between(1, 200) } else { 0 },
            window: if slow { 300 } else { 2_000 },
        },
        mood: *dice.pick(&[
            Mood::Prompt,
            Mood::Prompt,
            Mood::Human,
            Mood::Human,
            Mood::Human,
            Mood::Late,
            Mood::Never,
        ]),
    }
}

pub(crate) fn hands(dice: &mut Dice, tongue: Tongue, services: u64) -> Stated {
    if !tongue.is_s0() {
        // Majordomo: one service, one task, idempotent by its RFC.
        return Stated {
            offers: vec![(service(dice, services), true)],
            capacity: 1,
            promise_ms: 0,
            deep: false,
        };
    }
    let mut offers: Vec<(String, bool)> = Vec::new();
    for _ in 0..dice.between(1, 3) {
        let name = service(dice, services);
        if offers.iter().all(|(known, _)| *known != name) {
            offers.push((name, dice.percent(30)));
        }
    }
    Stated {
        offers,
        capacity: *dice.pick(&[1, 1, 2, 3, 5, 20]),
        promise_ms: *dice.pick(&[0, 0, 300, 1_000, 2_500]),
        deep: dice.percent(15),
    }
}

fn service(dice: &mut Dice, services: u64) -> String {
    // The first ones more often, so that peers have to do with each other.
    let n = dice.below(services).min(dice.below(services));
    SERVICES[n as usize].to_owned()
}

struct Writer<'a> {
    dice: Dice,
    cast: &'a [Cast],
    end: Time,
    serial: u64,
    script: Vec<Happening>,
}

impl Writer<'_> {
    fn write(&mut self) {
        for peer in 0..self.cast.len() {
            let early = self.dice.percent(70);
            let most = if early {
                20
            } else {
                self.end.as_micros() / 2_000
            };
            let at = Time::from_millis(self.dice.below(most));
            self.put(at, What::Join(peer));
        }
        let clients: Vec<usize> = (0..self.cast.len())
            .filter(|peer| {
                let cast = &self.cast[*peer];
                cast.hands.is_none() || (cast.tongue == Tongue::S0 && *peer < 6)
            })
            .collect();
        let asks = self.dice.between(5, 60);
        for _ in 0..asks {
            let peer = *self.dice.pick(&clients);
            let at = self.moment();
            let burst = match self.dice.below(100) {
                0..3 => self.dice.between(5, 40),
                3..15 => self.dice.between(2, 5),
                _ => 1,
            };
            for n in 0..burst {
                self.ask(at + Duration::from_micros(n), peer);
            }
        }
        let trouble = self.dice.below(40);
        for _ in 0..trouble {
            let at = self.moment();
            let peer = self.dice.below(self.cast.len() as u64) as usize;
            let what = self.trouble(peer);
            self.put(at, what);
        }
    }

    fn moment(&mut self) -> Time {
        // Things like to happen together.
        let span = self.end.as_micros();
        let at = self.dice.below(span);
        if self.dice.percent(40) {
            let beat = span / 8 + 1;
            Time::from_micros(at / beat * beat + self.dice.below(3_000))
        } else {
            Time::from_micros(at)
        }
    }

    fn put(&mut self, at: Time, what: What) {
        self.script.push(Happening { at, what });
    }

    fn ask(&mut self, at: Time, peer: usize) {
        let cast = &self.cast[peer];
        let tongue = cast.tongue;
        self.serial += 1;
        let serial = self.serial;
        let dice = &mut self.dice;
        let repeat = dice.percent(10);
        let unnumbered = dice.percent(20);
        let (id, via) = match tongue {
            // Ids are few now and then, so that they meet.
            Tongue::S0 if repeat => (dice.between(1, 3), 0),
            Tongue::S0 | Tongue::S0Req => (1_000 + serial, 0),
            Tongue::S0Proxy if unnumbered => (0, 10_000 + serial as u32),
            Tongue::S0Proxy if repeat => (dice.between(1, 2), dice.between(1, 3) as u32),
            Tongue::S0Proxy => (1_000 + serial, dice.between(1, 3) as u32),
            proxied if proxied.proxied() => (0, 10_000 + serial as u32),
            _ => (0, 0),
        };
        let nobodys = dice.percent(5);
        let service = if nobodys {
            let own = ["mmi.service", "mmi.service", "s0.info", "s0.nothing"];
            match dice.below(8) {
                n @ 0..4 => format!("nobody.{n}"),
                n => own[n as usize - 4].to_owned(),
            }
        } else {
            let n = dice
                .below(SERVICES.len() as u64)
                .min(dice.below(SERVICES.len() as u64))
                .min(dice.below(SERVICES.len() as u64));
            SERVICES[n as usize].to_owned()
        };
        let ours = tongue.is_s0();
        let wish = Wish {
            serial,
            peer,
            service,
            id,
            via,
            ttl_ms: if ours {
                *dice.pick(&[0, 0, 0, 30, 200, 1_000, 4_000, 30_000])
            } else {
                0
            },
            idempotent: ours && dice.percent(40),
            priority: if ours && dice.percent(20) {
                dice.between(1, 7) as u8
            } else {
                4
            },
            bytes: match dice.below(20) {
                0 => dice.between(500, 3_000) as usize,
                1..6 => dice.between(20, 300) as usize,
                _ => dice.below(20) as usize,
            },
        };
        if ours && id != 0 && dice.percent(12) {
            let later = Duration::from_micros(dice.below(400_000));
            self.put(at + later, What::Cancel(serial));
        }
        self.put(at, What::Ask(wish));
    }

    fn trouble(&mut self, peer: usize) -> What {
        let cast = &self.cast[peer];
        let (tongue, works) = (cast.tongue, cast.hands.is_some());
        let s0 = tongue == Tongue::S0;
        let dice = &mut self.dice;
        match dice.below(100) {
            0..14 if works && s0 => What::Announce(peer, {
                let mut stated = hands(dice, tongue, SERVICES.len() as u64);
                match dice.below(5) {
                    0 => stated.offers.clear(),
                    1 => stated.capacity = 0,
                    _ => {}
                }
                stated
            }),
            14..20 if works && s0 => What::Capacity(peer, dice.below(5) as u16),
            20..23 if works && s0 => What::AnnounceBadly(peer),
            0..8 if s0 => What::Ping(peer),
            23..29 if works => What::Bye(peer),
            29..42 => What::Cut(peer),
            42..52 => What::Crash(peer),
            52..58 => What::Vanish(peer),
            58..70 => What::Freeze(peer, *dice.pick(&[50, 400, 3_000, 9_000])),
            70..82 if works => What::Mood(
                peer,
                *dice.pick(&[Mood::Prompt, Mood::Human, Mood::Late, Mood::Never]),
            ),
            82..90 if works => What::Forge(peer, dice.below(40)),
            90..94 => What::Garbage(peer),
            94..97 => What::Restart,
            97..100 => What::Drain(*dice.pick(&[0, 300, 3_000])),
            _ => What::Cut(peer),
        }
    }
}

const CLIENTS: [Tongue; 15] = [
    Tongue::S0,
    Tongue::S0,
    Tongue::S0,
    Tongue::S0,
    Tongue::S0Req,
    Tongue::S0Proxy,
    Tongue::S0Proxy,
    Tongue::Mdp01,
    Tongue::Mdp01Proxy,
    Tongue::Mdp02,
    Tongue::Delimited,
    Tongue::DelimitedProxy,
    Tongue::Majortomo,
    Tongue::MajortomoProxy,
    Tongue::Zproto,
];

const WORKERS: [Tongue; 9] = [
    Tongue::S0,
    Tongue::S0,
    Tongue::S0,
    Tongue::S0,
    Tongue::S0,
    Tongue::Mdp01,
    Tongue::Mdp02,
    Tongue::Delimited,
    Tongue::Zproto,
];

pub(crate) const SERVICES: [&str; 4] = ["resize", "echo", "sum", "a.rather.long.name.of.a.service"];
