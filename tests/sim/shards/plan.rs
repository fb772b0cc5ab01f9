//! Who takes part over several shards, and what befalls them. All of it follows from the seed.

use std::time::Duration;

use scale0::broker::{Config, Overflow};
use scale0::limits::Limits;
use scale0::protocol::Wants;
use scale0::time::Time;

use crate::dice::{Dice, about};

#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) seed: u64,
    pub(crate) shards: usize,
    pub(crate) config: Config,
    /// What may be under way between two shards.
    pub(crate) room: usize,
    /// The longest that a letter takes, in microseconds.
    pub(crate) delay: u64,
    pub(crate) peers: Vec<Cast>,
    pub(crate) script: Vec<(Time, What)>,
    pub(crate) end: Time,
}

#[derive(Clone, Debug)]
pub(crate) struct Cast {
    pub(crate) majordomo: bool,
    /// It works: what it offers, how many at once.
    pub(crate) offers: Vec<&'static str>,
    pub(crate) capacity: u16,
    pub(crate) promise: u64,
    /// Of a hundred tasks so many are not answered in time; a client gives credit late.
    pub(crate) lazy: u64,
    /// It gives credit for parts of replies, or sends them by credit.
    pub(crate) credit: bool,
}

#[derive(Clone, Debug)]
pub(crate) enum What {
    Join(usize),
    Ask(usize, &'static str, Way),
    Cancel(usize),
    Announce(usize, Vec<&'static str>, u16),
    Capacity(usize, u16),
    Ping(usize),
    Bye(usize),
    Cut(usize),
    /// Much waits to be written to it for so many milliseconds.
    Clog(usize, u64),
    /// The broker is asked about itself.
    Info(usize),
    Set(usize, &'static str),
    Drain(usize),
    Undrain(usize),
    Signal,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Way {
    pub(crate) idempotent: bool,
    pub(crate) ttl_ms: u64,
    pub(crate) bytes: usize,
    pub(crate) wants: Wants,
}

pub(crate) const SERVICES: [&str; 8] = [
    "resize",
    "echo",
    "image.cut",
    "image.turn",
    "sum",
    "log.read",
    "mail",
    "a.rather.long.name.of.a.service",
];
/// What operators say something about.
const SET: [&str; 3] = ["echo", "image.cut", ">"];
const OTHERS: [&str; 5] = ["image.*", "echo@1", ">", "*.read", "image.cut@2"];

impl Plan {
    pub(crate) fn of(seed: u64) -> Self {
        let mut dice = Dice::of(seed, &[about::PLAN, 77]);
        let shards = dice.between(1, 4) as usize;
        let tight = dice.percent(40);
        let mut config = Config {
            default_ttl: Duration::from_secs(3),
            max_ttl: Duration::from_secs(5),
            wait_for_worker: Duration::from_millis(700),
            suspect_after: Duration::from_secs(1),
            overflow: *dice.pick(&[Overflow::Refuse, Overflow::Block]),
            eject_after: *dice.pick(&[u32::MAX, u32::MAX, u32::MAX, 2]),
            drain_time: Duration::from_secs(2),
            ..Config::default()
        };
        if tight {
            config.limits = Limits {
                queue_tasks: dice.between(2, 10) as usize,
                client_tasks: dice.between(2, 10) as usize,
                // Now and then all shards are full at once.
                tasks: match dice.percent(50) {
                    true => dice.between(3, 12) as usize,
                    false => Limits::default().tasks,
                },
                ..Limits::default()
            };
        }
        let services = dice.between(2, SERVICES.len() as u64) as usize;
        let mut peers = Vec::new();
        for _ in 0..dice.between(2, 5) {
            peers.push(Cast {
                majordomo: dice.percent(30),
                offers: Vec::new(),
                capacity: 0,
                promise: 0,
                lazy: *dice.pick(&[0, 0, 10]),
                credit: dice.percent(60),
            });
        }
        let clients = peers.len();
        for _ in 0..dice.between(1, 5) {
            let majordomo = dice.percent(25);
            peers.push(Cast {
                majordomo,
                offers: offers(&mut dice, majordomo, services),
                capacity: if majordomo {
                    1
                } else {
                    *dice.pick(&[1, 1, 2, 3, 8])
                },
                promise: *dice.pick(&[0, 0, 300, 1000]),
                lazy: *dice.pick(&[0, 0, 0, 10]),
                credit: dice.percent(60),
            });
        }
        let end = Time::from_millis(dice.between(2_000, 8_000));
        let script = script(&mut dice, &peers, clients, services, end);
        Self {
            seed,
            shards,
            config,
            room: *dice.pick(&[1_500, 6_000, 1 << 20]),
            delay: *dice.pick(&[1, 200, 5_000, 30_000]),
            peers,
            script,
            end,
        }
    }
}

fn offers(dice: &mut Dice, majordomo: bool, services: usize) -> Vec<&'static str> {
    let mut offers = Vec::new();
    let count = if majordomo { 1 } else { dice.between(1, 4) };
    for _ in 0..count {
        let name = if !majordomo && dice.percent(15) {
            *dice.pick(&OTHERS)
        } else {
            *dice.pick(&SERVICES[..services])
        };
        if !offers.contains(&name) {
            offers.push(name);
        }
    }
    offers
}

fn script(
    dice: &mut Dice,
    peers: &[Cast],
    clients: usize,
    services: usize,
    end: Time,
) -> Vec<(Time, What)> {
    let mut script: Vec<(Time, What)> = Vec::new();
    let span = end.as_micros();
    for peer in 0..peers.len() {
        let late = dice.percent(25);
        let at = Time::from_micros(dice.below(if late { span } else { 50_000 }));
        script.push((at, What::Join(peer)));
    }
    for _ in 0..dice.between(10, 80) {
        let at = Time::from_micros(dice.below(span));
        let peer = dice.below(clients as u64) as usize;
        let burst = if dice.percent(15) {
            dice.between(3, 25)
        } else {
            1
        };
        let service = *dice.pick(&SERVICES[..services]);
        for n in 0..burst {
            let way = Way {
                idempotent: dice.percent(40),
                ttl_ms: *dice.pick(&[0, 0, 0, 200, 1_000]),
                bytes: *dice.pick(&[0, 10, 10, 900]),
                wants: match dice.below(100) {
                    0..6 if !peers[peer].majordomo => Wants::Receipt,
                    6..12 if !peers[peer].majordomo => Wants::Nothing,
                    _ => Wants::Answer,
                },
            };
            let at = at + Duration::from_micros(n * 3);
            script.push((at, What::Ask(peer, service, way)));
        }
        if dice.percent(10) {
            let later = Duration::from_micros(dice.below(60_000));
            script.push((at + later, What::Cancel(peer)));
        }
    }
    for _ in 0..dice.below(25) {
        let at = Time::from_micros(dice.below(span));
        let client = dice.below(clients as u64) as usize;
        let worker = clients + dice.below((peers.len() - clients) as u64) as usize;
        let s0 = !peers[worker].majordomo;
        let what = match dice.below(100) {
            0..18 if s0 => What::Announce(
                worker,
                offers(dice, false, services),
                *dice.pick(&[0, 1, 1, 2, 5]),
            ),
            18..30 if s0 => What::Capacity(worker, dice.below(4) as u16),
            30..36 if s0 => What::Ping(worker),
            36..40 => What::Ping(client),
            40..46 => What::Bye(worker),
            46..56 => What::Cut(worker),
            56..64 => What::Cut(client),
            64..72 => What::Clog(worker, dice.between(1, 400)),
            72..85 => What::Info(client),
            85..90 => {
                let service: &&str = dice.pick(&SET);
                What::Set(client, service)
            }
            90..93 => What::Signal,
            _ => {
                let later = Duration::from_micros(dice.below(300_000));
                script.push((at + later, What::Undrain(client)));
                What::Drain(client)
            }
        };
        // A signal is the end of it all: once, and late.
        let at = match what {
            What::Signal => end + Duration::from_micros(dice.below(10_000)),
            _ => at,
        };
        script.push((at, what));
    }
    script.sort_by_key(|(at, _)| *at);
    script
}
