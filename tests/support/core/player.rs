//! Plays a script to a broker: gives its numbers a meaning, keeps to what a caller of the broker
//! keeps to (nothing is read of a connection that is held back or lost), and at the end lets
//! everything come to rest.

use std::time::Duration;

use bytes::Bytes;
use scale0::broker::{Action, Config, Event, PeerId};
use scale0::protocol::{
    Announcement, Ask, Credit, Dialect, Id, Name, Offer, Ping, Portion, Reading, Refusal, Reply,
    Return, Status, Wants, Word,
};
use scale0::time::Time;
use scale0::wire::{Message, push_property};

use super::checker::{Broken, Promise};
use super::script::{How, PEERS, PLAIN, Step, Traits, service};
use super::{Rig, back, id};

pub(crate) struct Player {
    pub(crate) rig: Rig,
    peers: Vec<Station>,
    /// Every token the broker ever gave.
    tokens: Vec<Id>,
    bodies: u32,
}

/// The caller's end of a connection.
#[derive(Default)]
struct Station {
    generation: u32,
    spoke: bool,
    held: bool,
    full: bool,
    worker: Option<Dialect>,
    holding: Vec<Id>,
}

impl Player {
    pub(crate) fn new(config: Config) -> Self {
        Self {
            rig: Rig::new(config),
            peers: (0..PEERS).map(|_| Station::default()).collect(),
            tokens: Vec::new(),
            bodies: 0,
        }
    }

    /// The whole script, and then the end of everything that is still going on.
    pub(crate) fn play(&mut self, script: &[Step]) -> Result<(), Broken> {
        for step in script {
            self.step(step)?;
        }
        self.come_to_rest()
    }

    fn step(&mut self, step: &Step) -> Result<(), Broken> {
        match step.clone() {
            Step::Ask {
                peer,
                service: asked,
                id,
                ttl_ms,
                idempotent,
                priority,
                key,
                wants,
                bytes,
            } => {
                let mut properties = Vec::new();
                if let Some(key) = key {
                    push_property("Key", &[b'a' + key], &mut properties);
                }
                let mut back = way_back(peer, id);
                if back.id == Id::ZERO {
                    // The checker must tell unnumbered tasks apart, so each comes by a way of
                    // its own.
                    let way = (self.bodies + 1).to_string();
                    back.envelope = Message::new([way.as_str(), ""]);
                }
                let ours = back.dialect == Dialect::Scale0;
                let ask = Ask {
                    back,
                    service: service(if ours { asked } else { asked % PLAIN }),
                    ttl: Duration::from_millis(if ours { ttl_ms } else { 0 }),
                    idempotent: idempotent && ours,
                    wants: if ours { wants } else { Wants::Answer },
                    priority: if ours { priority } else { 4 },
                    properties: if ours {
                        properties.into()
                    } else {
                        Bytes::new()
                    },
                    body: self.body("task", bytes),
                };
                self.word(peer, Word::Ask(ask))
            }
            Step::Cancel { peer, id } => self.word(peer, Word::Cancel(way_back(peer, id))),
            Step::Announce {
                peer,
                offers,
                capacity,
                promise_ms,
                credit,
            } => {
                let mut announcement = announcement(peer, offers, capacity, promise_ms);
                announcement.credit = credit && announcement.dialect == Dialect::Scale0;
                self.word(peer, Word::Announce(announcement))
            }
            Step::Caps(peer, credit) => {
                let ping = Ping {
                    back: way_back(peer, 0),
                    promise: Duration::ZERO,
                    capacity: None,
                    capable: true,
                    credit,
                };
                match ping.back.dialect {
                    Dialect::Scale0 => self.word(peer, Word::Ping(ping)),
                    _ => Ok(()),
                }
            }
            Step::Credit {
                peer,
                id,
                messages,
                kib,
            } => {
                let back = way_back(peer, id);
                let more = Portion { messages, kib };
                match back.dialect {
                    Dialect::Scale0 => self.word(peer, Word::Credit(Credit { back, more })),
                    _ => Ok(()),
                }
            }
            Step::Burst {
                peer,
                nth,
                parts,
                bytes,
            } => {
                let Some(token) = self.nth(peer, nth) else {
                    return Ok(());
                };
                for _ in 0..parts {
                    self.reply(peer, token, true, How::Well, bytes)?;
                }
                Ok(())
            }
            Step::Progress { peer, nth } => match self.nth(peer, nth) {
                Some(token) => self.reply(peer, token, true, How::Soon, 0),
                None => Ok(()),
            },
            Step::Reply {
                peer,
                nth,
                partial,
                how,
                bytes,
            } => match self.nth(peer, nth) {
                Some(token) => self.reply(peer, token, partial, how, bytes),
                None => Ok(()),
            },
            Step::Stray { peer, nth } => {
                let token = self.tokens.get(nth).copied().unwrap_or(id(nth as u64));
                self.reply(peer, token, nth % 3 == 0, How::Well, 1)
            }
            Step::Ping {
                peer,
                promise_ms,
                capacity,
                token,
                capable,
            } => {
                let token = token.and_then(|nth| self.tokens.get(nth).copied());
                let ping = Ping {
                    back: Return {
                        id: token.unwrap_or_default(),
                        ..way_back(peer, 0)
                    },
                    promise: Duration::from_millis(promise_ms),
                    capacity,
                    capable,
                    credit: false,
                };
                if ping.back.dialect == Dialect::Scale0 {
                    self.word(peer, Word::Ping(ping))
                } else {
                    self.word(peer, Word::Beat(ping.back.dialect))
                }
            }
            Step::NeedBroker(peer) if dialect(peer) != Dialect::Scale0 => Ok(()),
            Step::NeedBroker(peer) => self.word(peer, Word::NeedBroker(way_back(peer, 1))),
            Step::Beat(peer) => self.word(peer, Word::Beat(dialect(peer))),
            Step::Bye(peer) => self.word(peer, Word::Bye(dialect(peer))),
            Step::Lost(peer) => self.lose(peer),
            Step::Full(peer, full) => {
                if !self.peers[peer].spoke || self.peers[peer].full == full {
                    return Ok(());
                }
                self.peers[peer].full = full;
                let peer = self.id(peer);
                self.turn(Event::Full { peer, full })
            }
            Step::Sign(peer) => {
                let peer = self.id(peer);
                self.turn(Event::Sign { peer })
            }
            Step::Set(peer, name, what) => {
                let what = SETTINGS[usize::from(what)];
                let name = service(name);
                let ask = Ask {
                    body: Message::new([name.as_bytes(), what.as_bytes()]),
                    ..question(peer, "s0.set")
                };
                self.word(peer, Word::Ask(ask))
            }
            Step::Own(peer, name) => {
                let name = OWN[usize::from(name)];
                self.word(peer, Word::Ask(question(peer, name)))
            }
            Step::Malformed(peer, task) => {
                let refusal = Refusal {
                    back: way_back(peer, 3),
                    status: Status::MALFORMED,
                    text: "no header".to_owned(),
                    task,
                };
                self.heard(peer, Reading::Refused(refusal))
            }
            Step::Unknown(peer, proxied) => self.heard(peer, Reading::Unknown { proxied }),
            Step::Dead(peer) => self.heard(peer, Reading::Dead),
            Step::Outside(bytes) => {
                self.rig.set_outside(bytes);
                Ok(())
            }
            Step::Drain(ms) => self.turn(Event::Drain {
                limit: Duration::from_millis(ms),
            }),
            Step::Open(peer, ..) if self.peers[peer].spoke => Ok(()),
            Step::Open(peer, user, local) => {
                let peer = self.id(peer);
                self.turn(Event::Opened { peer, user, local })
            }
            Step::Rules(access) => self.turn(Event::Access { access }),
            Step::Wait(ms) => self.wait_until(self.rig.now + Duration::from_millis(ms)),
            Step::Doze => match self.rig.broker.deadline() {
                Some(at) => self.wait_until(at.max(self.rig.now)),
                None => Ok(()),
            },
        }
    }

    /// Workers fall silent until every task has its answer; then they answer what they have.
    fn come_to_rest(&mut self) -> Result<(), Broken> {
        self.rig.set_outside(0);
        let longest = self.rig.config.max_ttl + Duration::from_secs(1);
        self.wait_until(self.rig.now + longest)?;
        for peer in 0..PEERS {
            while let Some(token) = self.peers[peer].holding.first().copied() {
                self.reply(peer, token, false, How::Well, 0)?;
            }
        }
        self.wait_until(self.rig.now + Duration::from_secs(1))?;
        self.rig.checker.at_rest(&self.rig.broker.snapshot())
    }

    fn wait_until(&mut self, end: Time) -> Result<(), Broken> {
        let mut wakes = 0;
        while let Some(at) = self.rig.broker.deadline()
            && at <= end
        {
            self.rig.now = self.rig.now.max(at);
            self.turn(Event::Woke)?;
            wakes += 1;
            if wakes > 100_000 {
                return Err(Broken {
                    promise: Promise::DeadlineAhead,
                    why: "time does not pass".to_owned(),
                });
            }
        }
        self.rig.now = self.rig.now.max(end);
        Ok(())
    }

    /// The n-th of the tasks that a worker has.
    fn nth(&self, peer: usize, nth: usize) -> Option<Id> {
        let holding = &self.peers[peer].holding;
        holding.get(nth % holding.len().max(1)).copied()
    }

    fn reply(
        &mut self,
        peer: usize,
        token: Id,
        partial: bool,
        how: How,
        bytes: usize,
    ) -> Result<(), Broken> {
        let dialect = self.peers[peer].worker.unwrap_or(dialect(peer));
        let partial = partial && dialect != Dialect::Mdp01;
        if !partial {
            self.peers[peer].holding.retain(|held| *held != token);
        }
        let how = if dialect == Dialect::Scale0 {
            how
        } else {
            How::Well
        };
        let reply = Reply {
            dialect,
            token,
            code: match how {
                How::Well => 200,
                How::Badly => 500,
                How::NotAtAll => 503,
                How::Soon => 102,
            },
            partial,
            refuses: how == How::NotAtAll && !partial,
            ms: 0,
            properties: Bytes::new(),
            body: self.body("reply", bytes),
        };
        self.word(peer, Word::Reply(reply))
    }

    fn word(&mut self, peer: usize, word: Word) -> Result<(), Broken> {
        self.heard(peer, Reading::Word(word))
    }

    fn heard(&mut self, peer: usize, reading: Reading) -> Result<(), Broken> {
        if self.peers[peer].held {
            self.peers[peer].holding.clear();
            return Ok(());
        }
        self.peers[peer].spoke = true;
        let peer = self.id(peer);
        self.turn(Event::Heard { peer, reading })
    }

    fn lose(&mut self, peer: usize) -> Result<(), Broken> {
        let lost = self.id(peer);
        self.peers[peer] = Station {
            generation: lost.generation + 1,
            ..Station::default()
        };
        self.turn(Event::Lost { peer: lost })
    }

    fn turn(&mut self, event: Event) -> Result<(), Broken> {
        for action in self.rig.turn(event)? {
            match action {
                Action::Assign {
                    peer,
                    dialect,
                    task,
                } => {
                    self.tokens.push(task.token);
                    let station = &mut self.peers[peer.place as usize];
                    station.worker = Some(dialect);
                    station.holding.push(task.token);
                }
                Action::Gauge { peer } => self.peers[peer.place as usize].full = true,
                Action::Hold { peer, on } => self.peers[peer.place as usize].held = on,
                _ => {}
            }
        }
        Ok(())
    }

    fn id(&self, place: usize) -> PeerId {
        PeerId {
            place: place as u32,
            generation: self.peers[place].generation,
        }
    }

    /// A body like no other.
    fn body(&mut self, what: &str, bytes: usize) -> Message {
        self.bodies += 1;
        let mut text = format!("{what} {}", self.bodies);
        text.extend(std::iter::repeat_n('.', bytes));
        Message::from(text)
    }
}

/// The same languages in every script: S0 on five sockets, one of them a REQ and one behind a
/// proxy, and the Majordomo family.
fn dialect(peer: usize) -> Dialect {
    [
        Dialect::Scale0,
        Dialect::Scale0,
        Dialect::Scale0,
        Dialect::Scale0,
        Dialect::Mdp01,
        Dialect::Mdp02,
        Dialect::Mdp02Delimited,
        Dialect::Zproto,
        Dialect::Mdp01,
    ][peer]
}

fn way_back(peer: usize, n: u64) -> Return {
    let plain = back(
        dialect(peer),
        if dialect(peer) == Dialect::Scale0 {
            n
        } else {
            0
        },
    );
    match peer {
        2 => Return {
            envelope: Message::single(b""),
            whole: true,
            ..plain
        },
        // Two clients behind one proxy: even and odd numbers.
        3 => Return {
            envelope: Message::new([&[b'a' + (n % 2) as u8][..], b""]),
            id: id(n / 2 + 1),
            whole: true,
            ..plain
        },
        _ => plain,
    }
}

/// A question to the broker itself.
fn question(peer: usize, service: &str) -> Ask {
    Ask {
        back: way_back(peer, 0),
        service: Name::from(service),
        ttl: Duration::ZERO,
        idempotent: false,
        wants: Wants::Answer,
        priority: 4,
        properties: Bytes::new(),
        body: Message::from("echo"),
    }
}

fn announcement(
    peer: usize,
    mut offers: Vec<(u8, bool, Traits)>,
    capacity: u16,
    promise_ms: u64,
) -> Announcement {
    let dialect = dialect(peer);
    let ours = dialect == Dialect::Scale0;
    if !ours {
        for (name, ..) in &mut offers {
            *name %= PLAIN;
        }
    }
    offers.sort();
    offers.dedup_by_key(|(service, ..)| *service);
    if !ours {
        offers.truncate(1);
        if offers.is_empty() {
            offers.push((0, true, Traits::default()));
        }
    }
    Announcement {
        dialect,
        name: Name::default(),
        capacity: if ours { capacity } else { 1 },
        promise: ours.then(|| Duration::from_millis(promise_ms)),
        deep: peer == 1,
        credit: false,
        offers: offers
            .into_iter()
            .map(|(name, idempotent, traits)| match ours {
                true => Offer {
                    service: service(name),
                    idempotent,
                    weight: traits.weight + 1,
                    policy: traits.policy,
                    slow_start: Duration::from_millis(traits.slow_ms),
                    max: traits.max,
                    ttl: traits.ttl_ms.map(Duration::from_millis),
                },
                false => Offer {
                    service: service(name),
                    idempotent: true,
                    ..Offer::default()
                },
            })
            .collect(),
    }
}

const OWN: [&str; 8] = [
    "s0.info",
    "s0.workers",
    "s0.nothing",
    "mmi.service",
    "mmi.other",
    "s0.queues",
    "s0.drain",
    "s0.undrain",
];

/// What operators say, some of it wrong.
const SETTINGS: [&str; 9] = [
    "policy=lru",
    "policy=least",
    "policy=weighted",
    "policy=hash",
    "policy=p2c",
    "policy=-",
    "ttl=900ms",
    "ttl=-",
    "policy=best",
];
