//! The connections of this shard: which brokers know each of them, where its words go, and what
//! comes of all that these brokers want of it.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use super::home::{best, is_anywhere};
use super::slots::Word as Said;
use super::slots::{Move, Slots, Stake};
use super::{Introduction, Letter, Shard, Shards, Spread, addressee, home, homes, is_guest, outer};
use crate::broker::{Action, Broker, Event, Fact, PeerId};
use crate::protocol::{
    Announcement, Answer, Ask, Id, Name, Notice, Offer, Ping, Reading, Reply, Status, Word,
};
use crate::time::Time;

/// All of them, by their place.
#[derive(Debug, Default)]
pub(super) struct Owned {
    places: Vec<Option<Box<Own>>>,
}

/// One of them.
#[derive(Debug)]
struct Own {
    id: PeerId,
    who: Introduction,
    /// Brokers of other shards that know it.
    known: Shards,
    /// Brokers that want it held back, and shards to which too much is under way.
    held: Shards,
    crowded: Shards,
    /// Brokers whose tasks it has.
    watched: Shards,
    /// Brokers that have asked whether it lives: they are told when it speaks.
    suspected: Shards,
    spoke: Time,
    /// It has not named a service yet.
    fresh: bool,
    work: Work,
}

/// What it is as a worker, as far as other shards are concerned.
#[derive(Debug)]
enum Work {
    /// Nothing, or the own broker's alone.
    None,
    /// A Majordomo worker of another shard.
    Majordomo(Shard),
    /// A worker with services of other shards.
    Shared(Box<Shared>),
}

#[derive(Debug)]
struct Shared {
    announced: Announcement,
    slots: Slots,
    /// Shards other than this one that were told what it offers there.
    told: Shards,
    /// Brokers that have sent it to another process.
    away: Shards,
}

impl Owned {
    pub(super) fn insert(&mut self, now: Time, id: PeerId, who: Introduction) {
        let place = id.place as usize;
        if place >= self.places.len() {
            self.places.resize_with(place + 1, || None);
        }
        if let Some(place) = self.places.get_mut(place) {
            *place = Some(Box::new(Own {
                id,
                who,
                known: Shards::default(),
                held: Shards::default(),
                crowded: Shards::default(),
                watched: Shards::default(),
                suspected: Shards::default(),
                spoke: now,
                fresh: true,
                work: Work::None,
            }));
        }
    }

    fn get(&self, id: PeerId) -> Option<&Own> {
        let own = self.places.get(id.place as usize)?.as_deref();
        own.filter(|own| own.id == id)
    }

    fn get_mut(&mut self, id: PeerId) -> Option<&mut Own> {
        let own = self.places.get_mut(id.place as usize)?.as_deref_mut();
        own.filter(|own| own.id == id)
    }

    fn remove(&mut self, id: PeerId) -> Option<Box<Own>> {
        self.get(id)?;
        self.places.get_mut(id.place as usize)?.take()
    }

    fn shared(&mut self, id: PeerId) -> Option<&mut Shared> {
        match &mut self.get_mut(id)?.work {
            Work::Shared(shared) => Some(shared),
            _ => None,
        }
    }

    pub(super) fn address(&self, id: PeerId) -> Option<SocketAddr> {
        self.get(id)?.who.address
    }

    /// What a worker states, all its shares together.
    pub(super) fn capacity(&self, id: PeerId) -> Option<usize> {
        match &self.get(id)?.work {
            Work::Shared(shared) => Some(shared.slots.total()),
            _ => None,
        }
    }

    pub(super) fn introduce(&self, id: PeerId) -> Option<Introduction> {
        Some(self.get(id)?.who.clone())
    }

    /// It does not move again.
    pub(super) fn settle_down(&mut self, id: PeerId) {
        if let Some(own) = self.get_mut(id) {
            own.fresh = false;
        }
    }

    pub(super) fn moves_to(
        &mut self,
        id: PeerId,
        reading: &Reading,
        me: Shard,
        shards: usize,
    ) -> Option<Shard> {
        let own = self.get_mut(id).filter(|own| own.fresh)?;
        let Reading::Word(word) = reading else {
            return None;
        };
        let to = match word {
            // These leave nothing behind that is not taken along.
            Word::Ping(_) | Word::Beat(_) | Word::NeedBroker(_) => return None,
            Word::Ask(ask) => match asked(ask) {
                Asked::At(name) => home(name, shards),
                Asked::Of(name) => home(&name, shards),
                Asked::Here | Asked::First | Asked::All => me,
            },
            Word::Announce(announcement) => best(announcement, me, shards),
            _ => me,
        };
        own.fresh = false;
        (to != me).then_some(to)
    }

    pub(super) fn returned(&mut self, id: PeerId, by: Shard, slots: u16) {
        if let Some(shared) = self.shared(id) {
            shared.slots.give_back(by, slots);
        }
    }

    pub(super) fn hunger(&mut self, id: PeerId, shard: Shard, on: bool) {
        if let Some(shared) = self.shared(id) {
            shared.slots.hunger(shard, on);
        }
    }

    /// A drain was called off: nobody is away any more.
    pub(super) fn come_back(&mut self) {
        for own in self.places.iter_mut().flatten() {
            if let Work::Shared(shared) = &mut own.work {
                shared.away = Shards::default();
            }
        }
    }
}

/// Who answers a question.
enum Asked<'a> {
    /// The home of this service.
    At(&'a Name),
    /// The same, of a service that the question is about.
    Of(Name),
    /// Whoever is asked.
    Here,
    /// The first shard, for all.
    First,
    /// Whoever is asked, and all others have to know.
    All,
}

fn asked(ask: &Ask) -> Asked<'_> {
    if !ask.service.is_reserved() {
        return Asked::At(&ask.service);
    }
    let about = || ask.body.first().map(Name::new).unwrap_or_default();
    match ask.service.as_bytes() {
        b"s0.drain" | b"s0.undrain" => Asked::First,
        b"mmi.service" => Asked::Of(about()),
        b"s0.set" => match about() {
            name if is_anywhere(&name) => Asked::All,
            name => Asked::Of(name),
        },
        _ => Asked::Here,
    }
}

impl Spread {
    pub(super) fn heard(
        &mut self,
        now: Time,
        peer: PeerId,
        reading: Reading,
        out: &mut Vec<Action>,
    ) {
        let Some(own) = self.owned.get_mut(peer) else {
            return;
        };
        own.spoke = now;
        let suspected = std::mem::take(&mut own.suspected);
        for shard in suspected.iter() {
            self.forward(peer, shard, Reading::Nothing);
        }
        match reading {
            Reading::Word(word) => self.word(now, peer, word, out),
            other => self.here(now, peer, other, out),
        }
        self.hold_if_crowded(peer, out);
    }

    /// Too much must not be under way: who is heard while it is waits, whatever it said.
    fn hold_if_crowded(&mut self, peer: PeerId, out: &mut Vec<Action>) {
        let room = self.room;
        let mut crowded = Shards::default();
        for (shard, outbox) in self.outboxes.iter_mut().enumerate() {
            if outbox.under_way() > room {
                outbox.waiting.insert(peer);
                crowded.set(shard, true);
            }
        }
        if !crowded.is_empty() {
            self.change_hold(peer, out, |own| own.crowded = own.crowded.or(crowded));
        }
    }

    fn word(&mut self, now: Time, peer: PeerId, word: Word, out: &mut Vec<Action>) {
        match word {
            Word::Ask(ask) => self.ask(now, peer, ask, out),
            // Which of them has the task is not known here.
            Word::Cancel(_) | Word::Credit(_) => {
                for shard in self.known(peer).iter() {
                    self.forward(peer, shard, Reading::Word(word.clone()));
                }
                self.here(now, peer, Reading::Word(word), out);
            }
            Word::Announce(announcement) => self.announce(now, peer, announcement, out),
            Word::Reply(reply) => self.reply(now, peer, reply, out),
            Word::Ping(ping) => self.ping(now, peer, ping, out),
            Word::Beat(_) => match self.majordomo(peer) {
                Some(shard) => self.forward(peer, shard, Reading::Word(word)),
                None => self.here(now, peer, Reading::Word(word), out),
            },
            Word::NeedBroker(_) => self.here(now, peer, Reading::Word(word), out),
            Word::Bye(_) => {
                for shard in self.known(peer).iter() {
                    self.forward(peer, shard, Reading::Word(word.clone()));
                }
                if let Some(own) = self.owned.get_mut(peer)
                    && let Work::Majordomo(_) = own.work
                {
                    own.work = Work::None;
                }
                if let Some(shared) = self.owned.shared(peer) {
                    shared.told = Shards::default();
                }
                self.here(now, peer, Reading::Word(word), out);
                // It may announce itself again while its slots are still on their way back.
                if let Some(shared) = self.owned.shared(peer) {
                    shared.slots.state(0, Shards::default());
                    self.deal(now, peer, out);
                }
            }
        }
    }

    /// The own broker is told.
    fn here(&mut self, now: Time, peer: PeerId, reading: Reading, out: &mut Vec<Action>) {
        let peer = self.inner(peer);
        self.decide(now, Event::Heard { peer, reading }, false, out);
    }

    /// Another one is told, and of whom that is, if it does not know.
    fn forward(&mut self, peer: PeerId, to: Shard, reading: Reading) {
        self.forward_as(peer, to, reading, false);
    }

    fn forward_as(&mut self, peer: PeerId, to: Shard, reading: Reading, mute: bool) {
        let Some(own) = self.owned.get_mut(peer) else {
            return;
        };
        if !own.known.contains(to) {
            own.known.set(to, true);
            let guest = Box::new(own.who.clone());
            self.post(to, Letter::Opened { peer, guest });
        }
        self.post(
            to,
            Letter::Heard {
                peer,
                reading,
                mute,
            },
        );
    }

    /// Another shard has read what was posted to it.
    pub(super) fn marked(&mut self, from: Shard, weight: usize, out: &mut Vec<Action>) {
        let room = self.room;
        let Some(outbox) = self.outboxes.get_mut(from) else {
            return;
        };
        outbox.read(weight);
        if outbox.under_way() > room / 2 {
            return;
        }
        let waiting: BTreeSet<PeerId> = std::mem::take(&mut outbox.waiting);
        for peer in waiting {
            self.change_hold(peer, out, |own| own.crowded.set(from, false));
        }
    }

    fn change_hold(&mut self, peer: PeerId, out: &mut Vec<Action>, change: impl FnOnce(&mut Own)) {
        let Some(own) = self.owned.get_mut(peer) else {
            return;
        };
        let held = |own: &Own| !own.held.or(own.crowded).is_empty();
        let before = held(own);
        change(own);
        let on = held(own);
        if on != before {
            out.push(Action::Hold { peer, on });
        }
    }

    fn known(&self, peer: PeerId) -> Shards {
        self.owned.get(peer).map_or(Shards::default(), |o| o.known)
    }

    fn majordomo(&self, peer: PeerId) -> Option<Shard> {
        match self.owned.get(peer)?.work {
            Work::Majordomo(shard) => Some(shard),
            _ => None,
        }
    }

    fn ask(&mut self, now: Time, peer: PeerId, ask: Ask, out: &mut Vec<Action>) {
        // A broker that drains refuses them all alike, and the own one does so at once: nothing
        // is to be under way when the end is near.
        let draining = self.broker.is_draining();
        if self.drain.is_finishing() && ask.service.is_reserved() {
            return self.refuse_own(peer, ask, out);
        }
        let to = match asked(&ask) {
            Asked::At(_) if draining => self.me,
            Asked::At(name) => home(name, self.shards),
            Asked::Of(name) => home(&name, self.shards),
            Asked::Here => self.me,
            Asked::First => 0,
            Asked::All => {
                for shard in Shards::all(self.shards).without(self.me).iter() {
                    self.forward_as(peer, shard, Reading::Word(Word::Ask(ask.clone())), true);
                }
                self.me
            }
        };
        if to == self.me {
            return self.here(now, peer, Reading::Word(Word::Ask(ask)), out);
        }
        self.forward(peer, to, Reading::Word(Word::Ask(ask)));
    }

    /// The broker ends, and the other shards cannot be asked any more.
    fn refuse_own(&self, peer: PeerId, ask: Ask, out: &mut Vec<Action>) {
        let Ask { back, service, .. } = ask;
        let answer = Answer::Error {
            status: Status::DRAINING,
            not_executed: true,
            retry_after: self.broker.config().retry_after,
            text: "the broker ends".to_owned(),
        };
        out.push(Action::Answer {
            peer,
            back,
            service,
            answer,
        });
    }

    fn reply(&mut self, now: Time, peer: PeerId, reply: Reply, out: &mut Vec<Action>) {
        if let Some(shard) = self.majordomo(peer) {
            return self.forward(peer, shard, Reading::Word(Word::Reply(reply)));
        }
        let shards = u32::try_from(self.shards).unwrap_or(1);
        let shard = Broker::shard_of(reply.token, shards) as usize;
        if shard == self.me || !self.known(peer).contains(shard) {
            return self.here(now, peer, Reading::Word(Word::Reply(reply)), out);
        }
        self.forward(peer, shard, Reading::Word(Word::Reply(reply)));
        // Here it has shown that it lives.
        self.here(now, peer, Reading::Nothing, out);
    }

    fn ping(&mut self, now: Time, peer: PeerId, mut ping: Ping, out: &mut Vec<Action>) {
        // What comes through an envelope is a proxy's, and says nothing about the connection.
        if !ping.back.envelope.is_empty() {
            return self.here(now, peer, Reading::Word(Word::Ping(ping)), out);
        }
        let said = Ping {
            capacity: None,
            ..ping.clone()
        };
        let Some(own) = self.owned.get_mut(peer) else {
            return;
        };
        own.who.said = Some(said.clone());
        let known = own.known;
        if ping.capable {
            for shard in known.iter() {
                self.forward(peer, shard, Reading::Word(Word::Ping(quiet(&said))));
            }
        }
        let stated = ping.capacity;
        let most = self.broker.config().limits.worker_tasks;
        if let Some(shared) = self.owned.shared(peer) {
            // The own broker knows its own part of it only.
            ping.capacity = None;
            if let Some(capacity) = stated {
                shared.announced.capacity = capacity;
                let homes = shared.slots.homes();
                let total = clip(&shared.announced, most);
                shared.slots.state(total, homes);
            }
        }
        self.here(now, peer, Reading::Word(Word::Ping(ping)), out);
        self.deal(now, peer, out);
    }

    fn announce(
        &mut self,
        now: Time,
        peer: PeerId,
        announcement: Announcement,
        out: &mut Vec<Action>,
    ) {
        let word = |announcement| Reading::Word(Word::Announce(announcement));
        if let Some(shard) = self.majordomo(peer) {
            return self.forward(peer, shard, word(announcement));
        }
        let dialect = announcement.dialect;
        let shared = matches!(
            self.owned.get(peer).map(|own| &own.work),
            Some(Work::Shared(_))
        );
        if dialect.is_majordomo() {
            let offered = announcement.offers.first();
            let to = offered.map_or(self.me, |offer| home(&offer.service, self.shards));
            if to == self.me || self.broker.capacity_of(self.inner(peer)).is_some() {
                return self.here(now, peer, word(announcement), out);
            }
            if let Some(own) = self.owned.get_mut(peer) {
                own.work = Work::Majordomo(to);
            }
            return self.forward(peer, to, word(announcement));
        }
        let at = |offer: &Offer| homes(dialect, &offer.service, self.shards);
        let all = announcement.offers.iter().map(at);
        let all = all.fold(Shards::default(), Shards::or);
        let alone = all.without(self.me).is_empty();
        if is_wrong(&announcement) || (alone && !shared) {
            return self.here(now, peer, word(announcement), out);
        }
        self.announce_shared(now, peer, announcement, all, out);
    }

    /// Each shard is told of what it is the home of.
    fn announce_shared(
        &mut self,
        now: Time,
        peer: PeerId,
        announcement: Announcement,
        all: Shards,
        out: &mut Vec<Action>,
    ) {
        let most = self.broker.config().limits.worker_tasks;
        let inner = self.inner(peer);
        let (me, shards) = (self.me, self.shards);
        let before = self.broker.capacity_of(inner);
        let Some(own) = self.owned.get_mut(peer) else {
            return;
        };
        if !matches!(own.work, Work::Shared(_)) {
            let deep = Announcement {
                capacity: before.unwrap_or(0),
                ..announcement.clone()
            };
            // What is in use is lent, whatever it has stated since.
            let load = u16::try_from(self.broker.load_of(inner)).unwrap_or(u16::MAX);
            let has = clip(&deep, most).max(load);
            own.work = Work::Shared(Box::new(Shared {
                announced: announcement.clone(),
                slots: Slots::new(shards, me, has),
                told: Shards::default(),
                away: Shards::default(),
            }));
            self.stakes.insert(inner, Stake::of(has));
            self.broker.share(inner);
        }
        let Some(shared) = self.owned.shared(peer) else {
            return;
        };
        shared.slots.state(clip(&announcement, most), all);
        shared.announced = announcement.clone();
        if !announcement.offers.is_empty() {
            shared.away = Shards::default();
        }
        let told = shared.told.or(all).without(me);
        shared.told = told;
        for shard in told.iter() {
            let mut part = part(&announcement, shard, shards);
            // The owner alone looks after it, and lends its slots.
            (part.promise, part.capacity) = (Some(Duration::ZERO), 0);
            self.forward(peer, shard, Reading::Word(Word::Announce(part)));
        }
        let mut ours = part(&announcement, me, shards);
        ours.capacity = self.stakes.get(&inner).map_or(0, Stake::capacity);
        self.here(now, peer, Reading::Word(Word::Announce(ours)), out);
        self.deal(now, peer, out);
    }

    /// Lends and calls back what can be.
    pub(super) fn deal(&mut self, now: Time, peer: PeerId, out: &mut Vec<Action>) {
        let Some(shared) = self.owned.shared(peer) else {
            return;
        };
        for step in shared.slots.deal() {
            match step {
                Move::Lend(shard, slots) if shard == self.me => {
                    self.stake_changed(now, self.inner(peer), |stake| stake.lend(slots), out);
                }
                Move::Recall(shard, slots) if shard == self.me => {
                    self.stake_changed(now, self.inner(peer), |stake| stake.recall(slots), out);
                }
                Move::Lend(shard, slots) => self.post(shard, Letter::Lend { peer, slots }),
                Move::Recall(shard, slots) => self.post(shard, Letter::Recall { peer, slots }),
            }
        }
    }

    pub(super) fn stake_changed(
        &mut self,
        now: Time,
        peer: PeerId,
        change: impl FnOnce(&mut Stake),
        out: &mut Vec<Action>,
    ) {
        let Some(stake) = self.stakes.get_mut(&peer) else {
            return;
        };
        change(stake);
        let capacity = stake.capacity();
        self.step(out, |broker, out| {
            broker.allot(now, peer, capacity, out);
        });
    }

    /// What became free or is missed in this turn.
    pub(super) fn look_at_stakes(&mut self, now: Time, out: &mut Vec<Action>) {
        // What one shard gives back to itself may be dealt at once.
        for _ in 0..ROUNDS {
            let stirred = self.broker.take_stirred();
            if stirred.is_empty() {
                break;
            }
            for inner in stirred {
                let (load, hungry) = (self.broker.load_of(inner), self.broker.is_hungry(inner));
                let Some(stake) = self.stakes.get_mut(&inner) else {
                    continue;
                };
                let word = stake.look(load, hungry);
                if word == Said::default() {
                    continue;
                }
                if is_guest(inner) {
                    self.tell_owner(inner, word);
                    continue;
                }
                let peer = outer(inner);
                self.owned.returned(peer, self.me, word.returned);
                if let Some(on) = word.hungry {
                    self.owned.hunger(peer, self.me, on);
                }
                self.deal(now, peer, out);
            }
        }
    }

    /// A worker that would have to be looked at, and is not among those that will be: there is
    /// none, at any time. It takes a look at all of them.
    #[must_use]
    pub fn overlooked(&self) -> Option<PeerId> {
        let mut stakes = self.stakes.iter().filter(|(inner, stake)| {
            let (load, hungry) = (self.broker.load_of(**inner), self.broker.is_hungry(**inner));
            let mut seen = **stake;
            seen.look(load, hungry) != Said::default() && !self.broker.is_stirred(**inner)
        });
        stakes.next().map(|(inner, _)| *inner)
    }

    pub(super) fn signed(&mut self, now: Time, peer: PeerId, out: &mut Vec<Action>) {
        if let Some(shard) = self.majordomo(peer) {
            self.post(shard, Letter::Sign { peer });
        }
        let peer = self.inner(peer);
        self.decide(now, Event::Sign { peer }, false, out);
    }

    pub(super) fn filled(&mut self, now: Time, peer: PeerId, full: bool, out: &mut Vec<Action>) {
        if let Some(own) = self.owned.get_mut(peer) {
            own.who.full = full;
        }
        for shard in self.known(peer).iter() {
            self.post(shard, Letter::Full { peer, full });
        }
        let peer = self.inner(peer);
        self.decide(now, Event::Full { peer, full }, false, out);
    }

    pub(super) fn lost(&mut self, now: Time, peer: PeerId, out: &mut Vec<Action>) {
        let inner = self.inner(peer);
        if let Some(own) = self.owned.get(peer) {
            let (known, crowded) = (own.known, own.crowded);
            for shard in known.iter() {
                self.post(shard, Letter::Lost { peer });
            }
            for shard in crowded.iter() {
                if let Some(outbox) = self.outboxes.get_mut(shard) {
                    outbox.waiting.remove(&peer);
                }
            }
        }
        self.decide(now, Event::Lost { peer: inner }, false, out);
        self.stakes.remove(&inner);
        self.owned.remove(peer);
        self.surveys.forget(None, peer);
    }

    /// A broker that has given it a task has not heard of it for long.
    pub(super) fn suspected(&mut self, now: Time, by: Shard, peer: PeerId) {
        let recent = self.broker.config().suspect_after;
        let Some(own) = self.owned.get_mut(peer) else {
            return;
        };
        if now.since(own.spoke) < recent {
            self.forward(peer, by, Reading::Nothing);
        } else {
            own.suspected.set(by, true);
        }
    }

    /// Does what a broker, this one's or another, wants done with a connection of this shard. One
    /// that is gone wants nothing any more.
    pub(super) fn perform(&mut self, from: Shard, action: Action, out: &mut Vec<Action>) {
        let Some(peer) = addressee(&action) else {
            return out.push(action);
        };
        let (me, here) = (self.me, self.inner(peer));
        let Some(own) = self.owned.get_mut(peer) else {
            // What is noted is about those too who are gone.
            if matches!(action, Action::Note(_)) {
                out.push(action);
            }
            return;
        };
        match action {
            Action::Hold { on, .. } => {
                self.change_hold(peer, out, |own| own.held.set(from, on));
            }
            Action::Watch { on, .. } => {
                let before = own.watched;
                own.watched.set(from, on);
                let after = own.watched;
                if before.is_empty() != after.is_empty() {
                    out.push(Action::Watch { peer, on });
                }
                let busy = !after.without(me).is_empty();
                if busy == before.without(me).is_empty() {
                    self.broker.busy_elsewhere(here, busy);
                }
            }
            Action::Query {
                back,
                service,
                query,
                ..
            } => self.survey(None, peer, back, service, query, out),
            Action::Tell { ref notice, .. } => {
                if passes(own, from, me, notice) {
                    out.push(action);
                }
            }
            Action::Note(ref fact) => {
                if let Fact::WorkerLeft { .. } = fact
                    && from == me
                {
                    self.worker_left(peer);
                }
                out.push(action);
            }
            _ => out.push(action),
        }
    }

    /// The own broker does not take it for a worker any more: the others give it no new tasks.
    fn worker_left(&mut self, peer: PeerId) {
        let Some(shared) = self.owned.shared(peer) else {
            return;
        };
        shared.slots.state(0, Shards::default());
        let mut nothing = shared.announced.clone();
        nothing.offers.clear();
        (nothing.promise, nothing.capacity) = (Some(Duration::ZERO), 0);
        for shard in shared.told.iter() {
            let reading = Reading::Word(Word::Announce(nothing.clone()));
            self.forward(peer, shard, reading);
        }
    }
}

/// Whether what a broker wants to say is to be said. Of two brokers that send a worker away both
/// have to.
fn passes(own: &mut Own, from: Shard, me: Shard, notice: &Notice) -> bool {
    if let (Notice::Unknown, Work::Majordomo(shard)) = (notice, &own.work) {
        if *shard == from {
            // Whatever it announces then goes to its own home.
            own.work = Work::None;
        }
        return true;
    }
    let Notice::ChangeBroker {
        within: Some(_),
        back,
        ..
    } = notice
    else {
        return true;
    };
    let Work::Shared(shared) = &mut own.work else {
        return from == me;
    };
    // A NEEDBROKER has a number, or comes through an envelope, or is answered like this.
    if back.id != Id::ZERO || !back.envelope.is_empty() {
        return true;
    }
    let all = shared.slots.homes().or(Shards::one(me));
    let before = shared.away.and(all) == all;
    shared.away.set(from, true);
    !before && shared.away.and(all) == all
}

/// A PING that says what a client takes, and no more.
pub(super) fn quiet(ping: &Ping) -> Ping {
    Ping {
        promise: Duration::ZERO,
        capacity: None,
        ..ping.clone()
    }
}

/// What it offers in one shard.
fn part(announcement: &Announcement, shard: Shard, shards: usize) -> Announcement {
    let dialect = announcement.dialect;
    let mut part = announcement.clone();
    part.offers
        .retain(|offer| homes(dialect, &offer.service, shards).contains(shard));
    part
}

/// Tasks that it may have, all shards together.
fn clip(announcement: &Announcement, most: usize) -> u16 {
    if announcement.deep {
        return announcement.capacity;
    }
    let most = u16::try_from(most).unwrap_or(u16::MAX);
    announcement.capacity.min(most)
}

/// A worker's announcement is taken whole or not at all: what is wrong whoever looks at it, the
/// own broker sees whole.
fn is_wrong(announcement: &Announcement) -> bool {
    let mut seen = BTreeSet::new();
    let mut offers = announcement.offers.iter();
    offers.any(|offer| offer.service.is_reserved() || !seen.insert(&offer.service))
}

/// A slot may be given back and lent so often within one look.
const ROUNDS: usize = 4;
