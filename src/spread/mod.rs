//! Several brokers in one process, each on a thread of its own with connections of its own: which
//! of them decides what, and what they tell each other. Values in, values out: the threads and
//! channels between them are the [server](crate::server)'s.
//!
//! Each **shard** has a [`Broker`]. A service has its [`home`] in one of them, and only the broker
//! there queues and gives out its tasks. A connection belongs to the shard that reads it, its
//! **owner**; what it says about a service elsewhere goes there in a [`Letter`], and what is
//! decided there about it comes back in one. To a broker a peer of another shard is a peer like
//! any other, a **guest**; brokers do not know of each other.
//!
//! A worker with services of several homes is known as a worker in each of them, with a part of
//! what it offers and of its capacity (`slots`). Its owner alone looks after it: beats, promises
//! and CONFIG are between the two of them. A Majordomo worker has one service, and is its home's.
//!
//! What holds for one broker holds for all of them together, with these exceptions, which time
//! between shards brings with it: of two that could be chosen for a task the one chosen is the
//! best that its home knows; a client is held back a few messages late; a second task of the same
//! number of one client is noticed only where the first one is.

mod drain;
mod guests;
mod home;
mod letter;
mod owned;
mod post;
mod shared;
mod slots;
mod survey;

pub use home::{home, homes};
pub use letter::{Introduction, Letter};
pub use survey::{Answered, Joined, Report, Totals};

use std::collections::BTreeMap;
use std::net::SocketAddr;

use crate::broker::{Action, Broker, Config, Event, Fact, PeerId};
use crate::protocol::{Notice, Reading, Word};
use crate::security::User;
use crate::time::Time;
use drain::Drain;
use guests::Guests;
use owned::Owned;
use post::Outbox;
use slots::Stake;
use survey::Surveys;

/// One of the shards, from 0.
pub type Shard = usize;

/// Shards in one process at most.
pub const MOST_SHARDS: usize = 64;

/// Some of the shards.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Shards(u64);

impl Shards {
    /// One of them.
    #[must_use]
    pub fn one(shard: Shard) -> Self {
        Self(1 << (shard % MOST_SHARDS))
    }

    /// The first so many.
    #[must_use]
    pub fn all(count: usize) -> Self {
        Self(u64::MAX >> (MOST_SHARDS - count.clamp(1, MOST_SHARDS)))
    }

    /// Whether it is among them.
    #[must_use]
    pub fn contains(self, shard: Shard) -> bool {
        self.0 & Self::one(shard).0 != 0
    }

    /// Those of both.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Those that are in both.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// Takes one in, or out.
    pub fn set(&mut self, shard: Shard, on: bool) {
        if on {
            self.0 |= Self::one(shard).0;
        } else {
            self.0 &= !Self::one(shard).0;
        }
    }

    /// These without one.
    #[must_use]
    pub fn without(mut self, shard: Shard) -> Self {
        self.set(shard, false);
        self
    }

    /// None of them.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// How many.
    #[must_use]
    pub fn count(self) -> usize {
        self.0.count_ones() as usize
    }

    /// From the lowest.
    pub fn iter(self) -> impl Iterator<Item = Shard> {
        (0..MOST_SHARDS).filter(move |shard| self.contains(*shard))
    }
}

/// One shard's broker, and what it has to do with the others. With one shard it is that broker.
#[derive(Debug)]
pub struct Spread {
    broker: Broker,
    me: Shard,
    shards: usize,
    owned: Owned,
    guests: Guests,
    /// What this broker has of workers that others have a part of, by its own number for them.
    stakes: BTreeMap<PeerId, Stake>,
    outboxes: Vec<Outbox>,
    /// What may be under way to another shard.
    room: usize,
    drain: Drain,
    surveys: Surveys,
    totals: Totals,
    raw: Vec<Action>,
}

/// What a connection takes along when it moves to another shard.
#[derive(Debug)]
pub struct Arrival {
    who: Introduction,
}

impl Spread {
    /// The shard `me` of so many. Bounds of the whole that are not counted together are split
    /// evenly: services, names that are waited for, and what may be given to one connection at
    /// once.
    #[must_use]
    pub fn new(mut config: Config, seed: [u8; 32], me: Shard, shards: usize) -> Self {
        let shards = shards.clamp(1, MOST_SHARDS);
        if shards > 1 {
            let limits = &mut config.limits;
            limits.services = limits.services.div_ceil(shards);
            limits.awaited_names = limits.awaited_names.div_ceil(shards);
            limits.worker_outbox = limits.worker_outbox.min(limits.outbox / (2 * shards));
        }
        let number = |shard: usize| u32::try_from(shard).unwrap_or(0);
        Self {
            broker: Broker::one_of(config, seed, number(me), number(shards)),
            me,
            shards,
            owned: Owned::default(),
            guests: Guests::default(),
            stakes: BTreeMap::new(),
            outboxes: (0..shards).map(|_| Outbox::default()).collect(),
            room: ROOM,
            drain: Drain::new(shards),
            surveys: Surveys::default(),
            totals: Totals::default(),
            raw: Vec::new(),
        }
    }

    /// Sets how many bytes may be under way to another shard before connections are held back.
    pub fn set_room(&mut self, bytes: usize) {
        self.room = bytes;
    }

    /// The broker.
    #[must_use]
    pub fn broker(&self) -> &Broker {
        &self.broker
    }

    /// Whether there are others.
    #[must_use]
    pub fn is_alone(&self) -> bool {
        self.shards == 1
    }

    /// See [`Broker::deadline`].
    #[must_use]
    pub fn deadline(&self) -> Option<Time> {
        self.broker.deadline()
    }

    /// See [`Broker::set_outside`]; `outside` and `tasks` are those of the other shards too.
    pub fn set_outside(&mut self, outside: usize, tasks: usize) {
        self.broker.set_outside(outside);
        if self.shards > 1 {
            self.broker.set_beside(tasks);
        }
    }

    /// An event of a connection of this shard, or of time: see [`Broker::handle`].
    /// [`Event::Access`] and [`Event::Drain`] are told to shard 0, which tells the others.
    pub fn handle(&mut self, now: Time, event: Event, out: &mut Vec<Action>) {
        if self.shards == 1 {
            return self.broker.handle(now, event, out);
        }
        match event {
            Event::Opened { peer, user, local } => {
                self.opened(now, peer, user, local, None, out);
            }
            Event::Heard { peer, reading } => self.heard(now, peer, reading, out),
            Event::Sign { peer } => self.signed(now, peer, out),
            Event::Lost { peer } => self.lost(now, peer, out),
            Event::Full { peer, full } => self.filled(now, peer, full, out),
            Event::Access { access } => {
                self.post_all(|| Letter::Access(access.clone()));
                self.decide(now, Event::Access { access }, false, out);
            }
            Event::Drain { limit } => self.begin_drain(now, limit, out),
            Event::Woke => self.decide(now, Event::Woke, false, out),
        }
    }

    /// The same as [`Event::Opened`], with the place where the peer is.
    pub fn opened(
        &mut self,
        now: Time,
        peer: PeerId,
        user: Option<User>,
        local: bool,
        address: Option<SocketAddr>,
        out: &mut Vec<Action>,
    ) {
        if self.shards > 1 {
            let who = Introduction {
                user: user.clone(),
                local,
                address,
                full: false,
                said: None,
            };
            self.owned.insert(now, peer, who);
        }
        let peer = self.inner(peer);
        self.decide(now, Event::Opened { peer, user, local }, false, out);
    }

    /// Lets the own broker decide, and sees to what it wants.
    fn decide(&mut self, now: Time, event: Event, mute: bool, out: &mut Vec<Action>) {
        if self.shards == 1 {
            return self.broker.handle(now, event, out);
        }
        let mut raw = std::mem::take(&mut self.raw);
        self.broker.handle(now, event, &mut raw);
        self.emit(&mut raw, mute, out);
        self.raw = raw;
    }

    /// The same for what is no event.
    fn step(&mut self, out: &mut Vec<Action>, deed: impl FnOnce(&mut Broker, &mut Vec<Action>)) {
        let mut raw = std::mem::take(&mut self.raw);
        deed(&mut self.broker, &mut raw);
        self.emit(&mut raw, false, out);
        self.raw = raw;
    }

    /// What the own broker wants done, each thing where it can be.
    fn emit(&mut self, raw: &mut Vec<Action>, mute: bool, out: &mut Vec<Action>) {
        for mut action in raw.drain(..) {
            if mute && matches!(action, Action::Answer { .. }) {
                continue;
            }
            let Some(peer) = action.peer() else {
                if let Action::Note(fact) = &action
                    && !self.noted(fact)
                {
                    continue;
                }
                out.push(action);
                continue;
            };
            if is_guest(peer) {
                self.for_guest(peer, action);
            } else {
                action.set_peer(outer(peer));
                self.perform(self.me, action, out);
            }
        }
    }

    /// What the own broker notes about nobody. False if it is not for the log.
    fn noted(&mut self, fact: &Fact) -> bool {
        match fact {
            Fact::Draining { .. } => {
                self.drain_begun();
                self.me == 0
            }
            Fact::DrainCalledOff => {
                self.drain_called_off();
                self.owned.come_back();
                self.me == 0
            }
            _ => true,
        }
    }

    /// A letter of another shard.
    pub fn hear(&mut self, now: Time, from: Shard, letter: Letter, out: &mut Vec<Action>) {
        match letter {
            Letter::Opened { peer, guest } => self.meet_guest(now, from, peer, *guest, out),
            Letter::Heard {
                peer,
                reading,
                mute,
            } => self.guest_said(now, from, peer, reading, mute, out),
            Letter::Sign { peer } => {
                if let Some(peer) = self.guests.find(from, peer) {
                    self.decide(now, Event::Sign { peer }, false, out);
                }
            }
            Letter::Lost { peer } => self.lose_guest(now, from, peer, out),
            Letter::Full { peer, full } => {
                if let Some(peer) = self.guests.find(from, peer) {
                    self.decide(now, Event::Full { peer, full }, false, out);
                }
            }
            Letter::Lend { peer, slots } => {
                if let Some(peer) = self.guests.find(from, peer) {
                    self.stake_changed(now, peer, |stake| stake.lend(slots), out);
                }
            }
            Letter::Recall { peer, slots } => {
                if let Some(peer) = self.guests.find(from, peer) {
                    self.stake_changed(now, peer, |stake| stake.recall(slots), out);
                }
            }
            Letter::Return { peer, slots } => {
                self.owned.returned(peer, from, slots);
                self.deal(now, peer, out);
            }
            Letter::Hungry { peer, on } => {
                self.owned.hunger(peer, from, on);
                self.deal(now, peer, out);
            }
            Letter::Suspects { peer } => self.suspected(now, from, peer),
            Letter::Act(action) => self.perform(from, *action, out),
            Letter::Access(access) => self.decide(now, Event::Access { access }, false, out),
            Letter::Drain {
                number,
                limit,
                for_good,
            } => self.told_to_drain(now, number, limit, for_good, out),
            Letter::Undrain { number } => self.told_to_go_on(now, number, out),
            Letter::Done { number } => self.drain.done(from, number),
            Letter::Finish { number } => self.told_to_finish(number),
            Letter::Last { .. } => self.drain.asks(from),
            Letter::Seen { number } => self.drain.seen(from, number),
            Letter::Ready { number } => self.drain.ready(from, number),
            Letter::Survey { number } => {
                let report = Box::new(self.report());
                self.post(from, Letter::Surveyed { number, report });
            }
            Letter::Surveyed { number, report } => self.surveyed(from, number, *report),
            Letter::Mark { weight } => self.post(from, Letter::Marked { weight }),
            Letter::Marked { weight } => self.marked(from, weight, out),
        }
    }

    /// The end of a turn: what many events may have changed is looked at once.
    pub fn settle(&mut self, now: Time, out: &mut Vec<Action>) {
        if self.shards == 1 {
            return;
        }
        self.look_at_stakes(now, out);
        self.look_at_drain(now, out);
    }

    /// What is to be handed over to other shards, in one piece each.
    pub fn take_post(&mut self) -> Vec<(Shard, Vec<Letter>)> {
        let room = self.room;
        let full = |outbox: &Outbox| !outbox.is_empty() || outbox.wants_mark(room);
        if !self.outboxes.iter().any(full) {
            return Vec::new();
        }
        let boxes = self.outboxes.iter_mut().enumerate();
        boxes
            .map(|(shard, outbox)| (shard, outbox.take(room)))
            .filter(|(_, letters)| !letters.is_empty())
            .collect()
    }

    /// What is under way to another shard, for all that is known here.
    #[must_use]
    pub fn under_way(&self, to: Shard) -> usize {
        self.outboxes.get(to).map_or(0, Outbox::under_way)
    }

    /// Peers of other shards that this one knows.
    #[must_use]
    pub fn guests(&self) -> usize {
        self.guests.len()
    }

    /// Where a connection is better off, now that it says this for the first time. It takes along
    /// what [`leave`](Self::leave) gives.
    #[must_use]
    pub fn moves_to(&mut self, peer: PeerId, reading: &Reading) -> Option<Shard> {
        if self.shards == 1 {
            return None;
        }
        if self.broker.is_draining() {
            // What it says now is answered here.
            self.owned.settle_down(peer);
            return None;
        }
        self.owned.moves_to(peer, reading, self.me, self.shards)
    }

    /// A connection leaves for another shard.
    pub fn leave(&mut self, now: Time, peer: PeerId, out: &mut Vec<Action>) -> Option<Arrival> {
        let who = self.owned.introduce(peer)?;
        self.lost(now, peer, out);
        Some(Arrival { who })
    }

    /// A connection has come from another shard.
    pub fn arrive(&mut self, now: Time, peer: PeerId, arrival: Arrival, out: &mut Vec<Action>) {
        let Introduction {
            user,
            local,
            address,
            said,
            ..
        } = arrival.who;
        self.opened(now, peer, user, local, address, out);
        self.owned.settle_down(peer);
        if let Some(ping) = said {
            let mut said_again = Vec::new();
            self.heard(now, peer, Reading::Word(Word::Ping(ping)), &mut said_again);
            // It has its answer. What this leads to for others has to happen.
            let answered = |action: &Action| {
                let answer =
                    |notice: &Notice| matches!(notice, Notice::Pong { .. } | Notice::Unknown);
                matches!(action, Action::Tell { peer: to, notice, .. } if *to == peer && answer(notice))
            };
            out.extend(said_again.into_iter().filter(|action| !answered(action)));
        }
    }

    fn post(&mut self, to: Shard, letter: Letter) {
        if let Some(outbox) = self.outboxes.get_mut(to) {
            outbox.put(letter);
        }
    }

    fn post_all(&mut self, letter: impl Fn() -> Letter) {
        for shard in Shards::all(self.shards).without(self.me).iter() {
            self.post(shard, letter());
        }
    }

    /// As the own broker names a connection of this shard.
    fn inner(&self, peer: PeerId) -> PeerId {
        if self.shards == 1 {
            return peer;
        }
        PeerId {
            place: peer.place * 2,
            ..peer
        }
    }
}

/// As the shard names a connection of its own.
fn outer(peer: PeerId) -> PeerId {
    PeerId {
        place: peer.place / 2,
        ..peer
    }
}

fn is_guest(peer: PeerId) -> bool {
    peer.place % 2 == 1
}

/// Bytes of letters that may be under way from one shard to another. One that is busy takes what
/// has come once in a turn, so this is what it has to take at once.
const ROOM: usize = 8 << 20;
