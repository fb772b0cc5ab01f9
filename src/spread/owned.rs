//! The connections of this shard: which brokers know each of them, where its words go, and what
//! comes of all that these brokers want of it.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use super::home::{best, is_anywhere};
use super::shared::Shared;
use super::{Introduction, Letter, Shard, Shards, Spread, home};
use crate::broker::{Action, Broker, Event, Fact, PeerId};
use crate::protocol::{Answer, Ask, Id, Name, Notice, Ping, Reading, Reply, Status, Word};
use crate::time::Time;

/// All of them, by their place.
#[derive(Debug, Default)]
pub(super) struct Owned {
    places: Vec<Option<Box<Own>>>,
}

/// One of them.
#[derive(Debug)]
pub(super) struct Own {
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
    pub(super) work: Work,
}

/// What it is as a worker, as far as other shards are concerned.
#[derive(Debug)]
pub(super) enum Work {
    /// Nothing, or the own broker's alone.
    None,
    /// A Majordomo worker of another shard.
    Majordomo(Shard),
    /// A worker with services of other shards.
    Shared(Box<Shared>),
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

    pub(super) fn get(&self, id: PeerId) -> Option<&Own> {
        let own = self.places.get(id.place as usize)?.as_deref();
        own.filter(|own| own.id == id)
    }

    pub(super) fn get_mut(&mut self, id: PeerId) -> Option<&mut Own> {
        let own = self.places.get_mut(id.place as usize)?.as_deref_mut();
        own.filter(|own| own.id == id)
    }

    fn remove(&mut self, id: PeerId) -> Option<Box<Own>> {
        self.get(id)?;
        self.places.get_mut(id.place as usize)?.take()
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Own> {
        self.places.iter_mut().flatten().map(|own| &mut **own)
    }

    pub(super) fn address(&self, id: PeerId) -> Option<SocketAddr> {
        self.get(id)?.who.address
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
                if let Some(own) = self.owned.get_mut(peer) {
                    if let Work::Majordomo(_) = own.work {
                        own.work = Work::None;
                    }
                    if let Some(said) = &mut own.who.said {
                        (said.promise, said.credit) = (Duration::ZERO, false);
                    }
                }
                self.owned.forget_told(peer);
                self.here(now, peer, Reading::Word(word), out);
                self.call_all_back(now, peer, out);
            }
        }
    }

    /// The own broker is told.
    pub(super) fn here(
        &mut self,
        now: Time,
        peer: PeerId,
        reading: Reading,
        out: &mut Vec<Action>,
    ) {
        let peer = self.inner(peer);
        self.decide(now, Event::Heard { peer, reading }, false, out);
    }

    /// Another one is told, and of whom that is, if it does not know.
    pub(super) fn forward(&mut self, peer: PeerId, to: Shard, reading: Reading) {
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

    pub(super) fn known(&self, peer: PeerId) -> Shards {
        self.owned.get(peer).map_or(Shards::default(), |o| o.known)
    }

    pub(super) fn majordomo(&self, peer: PeerId) -> Option<Shard> {
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
        let mut said = Ping {
            capacity: None,
            ..ping.clone()
        };
        let Some(own) = self.owned.get_mut(peer) else {
            return;
        };
        // One that says nothing of what the client understands takes nothing of it back.
        if let Some(before) = own.who.said.as_ref().filter(|_| !ping.capable) {
            (said.capable, said.credit) = (before.capable, before.credit);
        }
        own.who.said = Some(said.clone());
        let known = own.known;
        if ping.capable {
            for shard in known.iter() {
                self.forward(peer, shard, Reading::Word(Word::Ping(quiet(&said))));
            }
        }
        self.take_capacity(peer, &mut ping);
        self.here(now, peer, Reading::Word(Word::Ping(ping)), out);
        self.deal(now, peer, out);
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
        let Some(peer) = action.peer() else {
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
    let asked = back.id != Id::ZERO || !back.envelope.is_empty();
    asked || shared.sent_away(from, me)
}

/// A PING that says what a client takes, and no more.
pub(super) fn quiet(ping: &Ping) -> Ping {
    Ping {
        promise: Duration::ZERO,
        capacity: None,
        ..ping.clone()
    }
}
