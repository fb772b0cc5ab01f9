//! Virtual time: what happens when, until nothing is left to happen.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, VecDeque};
use std::time::Duration;

use scale0::broker::{Event, PeerId};
use scale0::time::Time;

use crate::cast::SERVICES;
use crate::faults::Fault;
use crate::host::core;
use crate::ledger::{Broken, Checked, Conn, Ledger, Promise, broken};
use crate::links::Link;
use crate::mind::Mind;
use crate::peers::Peer;
use crate::plan::{Appetite, Cast, Line, Mood, Plan, Wish, clock};
use crate::rig::checker::Checker;
use crate::speech::{Token, Tongue, Wants, Way};
use crate::told::Meant;

/// What time brings.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum Act {
    /// The script's happening of this number.
    Happen(usize),
    Dial(usize, u64),
    /// A connection reaches the broker.
    Open(Conn),
    ToBroker(Conn),
    ToPeer(Conn),
    BrokerLoses(Conn),
    PeerLoses(Conn),
    Announce(usize, u64),
    Beat(usize, u64),
    Work(usize, Token),
    /// A client gives credit for the parts that it has taken.
    Credit(usize, u64, Way),
    Thaw(usize),
    /// Whether the far end still answers below the level of messages.
    Pulse(Conn),
    /// The broker has drained and ends.
    Stop,
    /// The broker is there again.
    Reborn,
}

/// How a run is watched.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Watching {
    /// Keep the whole story.
    pub(crate) story: bool,
    /// The checker of `tests/broker.rs` judges every turn as well.
    pub(crate) core: bool,
    pub(crate) fault: Option<Fault>,
}

#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) broken: Option<Broken>,
    pub(crate) story: Vec<String>,
    pub(crate) turns: u64,
}

pub(crate) struct World<'a> {
    pub(crate) plan: &'a Plan,
    pub(crate) now: Time,
    pub(crate) peers: Vec<Peer>,
    pub(crate) ledger: Ledger,
    pub(crate) resting: bool,
    pub(crate) nonce: u64,
    acts: BinaryHeap<Reverse<(Time, u64, Act)>>,
    pub(crate) number: u64,
    pub(crate) links: Vec<Link>,
    pub(crate) mind: Mind,
    /// How often the broker was started.
    pub(crate) births: u64,
    pub(crate) down: bool,
    pub(crate) draining: bool,
    pub(crate) places: Vec<Option<Conn>>,
    pub(crate) generations: Vec<u32>,
    pub(crate) free: Vec<u32>,
    pub(crate) by_id: HashMap<PeerId, Conn>,
    pub(crate) pending: VecDeque<(Event, Told)>,
    pub(crate) dirty: Vec<Conn>,
    pub(crate) watching: Watching,
    pub(crate) checker: Option<Checker>,
    story: Vec<String>,
    pub(crate) turns: u64,
    wakes: u64,
}

/// An event as the ledger is told it.
#[derive(Debug)]
pub(crate) enum Told {
    Opened(Conn),
    Heard(Conn, Meant),
    Sign(Conn),
    Lost(Conn),
    Full(Conn, bool),
    Drain(Duration),
    Woke,
}

/// Plays a plan to its end.
pub(crate) fn run(plan: &Plan, watching: Watching) -> Outcome {
    let mut world = World::new(plan, watching);
    let broken = world.play().err();
    Outcome {
        broken,
        story: world.story,
        turns: world.turns,
    }
}

impl<'a> World<'a> {
    fn new(plan: &'a Plan, watching: Watching) -> Self {
        let mut peers: Vec<Peer> = plan.cast.iter().map(Peer::new).collect();
        // One more who asks at the end whether everybody who can work does.
        peers.push(Peer::new(&Cast {
            tongue: Tongue::S0,
            hands: None,
            line: Line {
                latency_us: 100,
                jitter_us: 1,
                slowness: 0,
                window: 100_000,
            },
            mood: Mood::Prompt,
            appetite: Appetite::Boundless,
        }));
        let mut world = Self {
            plan,
            now: Time::ZERO,
            peers,
            ledger: Ledger::new(plan.config.clone(), plan.tight),
            resting: false,
            nonce: 0,
            acts: BinaryHeap::new(),
            number: 0,
            links: Vec::new(),
            mind: Mind::new(plan.config.clone(), plan.seed, watching.fault),
            births: 0,
            down: false,
            draining: false,
            places: Vec::new(),
            generations: Vec::new(),
            free: Vec::new(),
            by_id: HashMap::new(),
            pending: VecDeque::new(),
            dirty: Vec::new(),
            checker: watching.core.then(|| Checker::new(plan.config.clone())),
            watching,
            story: Vec::new(),
            turns: 0,
            wakes: 0,
        };
        for (index, happening) in plan.script.iter().enumerate() {
            world.at(happening.at, Act::Happen(index));
        }
        world
    }

    fn play(&mut self) -> Checked {
        self.run_until(self.plan.end)?;
        self.come_to_rest()?;
        self.probe()?;
        // Who may ask one at a time only, over a slow line, takes a while.
        for _ in 0..10 {
            self.run_until(self.now + Duration::from_secs(3))?;
            let asked = self
                .links
                .iter()
                .all(|link| !link.known || link.up.is_empty());
            if self.mind.open() == 0 && asked {
                break;
            }
        }
        self.at_rest()
    }

    /// Nothing more goes wrong, and everybody finishes.
    fn come_to_rest(&mut self) -> Checked {
        self.tell(|| "   * from here on nothing goes wrong".to_owned());
        self.resting = true;
        for peer in 0..self.peers.len() {
            self.make_up(peer);
        }
        for conn in 0..self.links.len() {
            if self.links[conn].gone && self.links[conn].known {
                self.at(self.now, Act::BrokerLoses(conn));
            }
        }
        let longest = self.plan.config.max_ttl + Duration::from_secs(2);
        for _ in 0..40 {
            self.run_until(self.now + longest)?;
            let quiet = |link: &Link| !link.known || (link.up.is_empty() && link.down.is_empty());
            if self.mind.open() == 0 && self.links.iter().all(quiet) && !self.draining {
                break;
            }
        }
        let prober = self.peers.len() - 1;
        self.dial(prober);
        self.run_until(self.now + Duration::from_secs(7))?;
        self.at_rest()
    }

    fn at_rest(&mut self) -> Checked {
        self.ledger.at_rest(&self.mind.snapshot())?;
        if let Some(checker) = &self.checker {
            core(checker.at_rest(&self.mind.snapshot()))?;
        }
        for (number, peer) in self.peers.iter().enumerate() {
            if peer.conn.is_some() && !peer.open.is_empty() {
                return broken(
                    Promise::OneFinal,
                    format!("peer {number} has heard nothing of {:?}", peer.open),
                );
            }
        }
        Ok(())
    }

    /// As many tasks as there is room for: all must be begun at once.
    fn probe(&mut self) -> Checked {
        self.tell(|| "   * all workers are tried".to_owned());
        let prober = self.peers.len() - 1;
        let mut serial = 1_000_000;
        for service in SERVICES {
            for _ in 0..self.ledger.room(service).min(30) {
                serial += 1;
                self.wish(Wish {
                    serial,
                    peer: prober,
                    service: service.to_owned(),
                    id: serial,
                    via: 0,
                    ttl_ms: 2_000,
                    idempotent: true,
                    priority: 4,
                    bytes: 0,
                    wants: Wants::Answer,
                    key: None,
                    order: None,
                });
            }
        }
        Ok(())
    }

    fn run_until(&mut self, end: Time) -> Checked {
        loop {
            let next = self.acts.peek().map(|Reverse((at, ..))| *at);
            let wake = self.mind.deadline().filter(|_| !self.down);
            let wakes = wake.is_some_and(|wake| next.is_none_or(|next| wake <= next));
            let Some(at) = (if wakes { wake } else { next }).filter(|at| *at <= end) else {
                self.now = end;
                return Ok(());
            };
            self.wakes = if at > self.now { 0 } else { self.wakes + 1 };
            if self.wakes > 50_000 {
                return broken(Promise::DeadlineAhead, "time does not pass");
            }
            self.now = self.now.max(at);
            if wakes {
                self.decide(Event::Woke, Told::Woke)?;
            } else if let Some(Reverse((_, _, act))) = self.acts.pop() {
                self.act(act)?;
            }
        }
    }

    fn act(&mut self, act: Act) -> Checked {
        match act {
            Act::Happen(index) => self.happen(index),
            Act::Dial(peer, life) => {
                if self.peers[peer].life == life {
                    self.dial(peer);
                }
            }
            Act::Open(conn) => self.open(conn)?,
            Act::ToBroker(conn) => self.reach_broker(conn)?,
            Act::ToPeer(conn) => self.reach_peer(conn)?,
            Act::BrokerLoses(conn) => self.broker_loses(conn)?,
            Act::PeerLoses(conn) => {
                let peer = self.links[conn].peer;
                if self.peers[peer].conn == Some(conn) {
                    self.peers[peer].forget();
                    self.dial_again(peer);
                }
            }
            Act::Announce(peer, life) => {
                if self.peers[peer].life == life {
                    self.announce(peer);
                }
            }
            Act::Beat(peer, life) => self.beat(peer, life),
            Act::Work(peer, token) => self.work(peer, token),
            Act::Credit(peer, life, way) => self.give_credit(peer, life, way),
            Act::Thaw(peer) => {
                if let Some(conn) = self.peers[peer].conn
                    && self.peers[peer].frozen_until <= self.now
                {
                    self.links[conn].mute = None;
                    self.at(self.now, Act::ToPeer(conn));
                }
            }
            Act::Pulse(conn) => self.pulse(conn)?,
            Act::Stop => {
                if self.draining {
                    self.stop_broker();
                }
            }
            Act::Reborn => self.down = false,
        }
        // What was decided may wait for deeds of peers.
        self.drain_pending()
    }

    pub(crate) fn at(&mut self, at: Time, act: Act) {
        self.number += 1;
        self.acts.push(Reverse((at, self.number, act)));
    }

    pub(crate) fn after_ms(&mut self, ms: u64, act: Act) {
        self.at(self.now + Duration::from_millis(ms), act);
    }

    /// A line of the story, if anybody wants it.
    pub(crate) fn tell(&mut self, line: impl FnOnce() -> String) {
        if self.watching.story {
            self.story.push(format!("{} {}", clock(self.now), line()));
        }
    }
}
