//! Workers with services of several homes: each home has a part of what they offer and of their
//! slots. What their owner does about it, and what is looked at where a part of one is.

use std::collections::BTreeSet;
use std::time::Duration;

use super::owned::{Owned, Work};
use super::slots::Word as Said;
use super::slots::{Move, Slots, Stake};
use super::{Letter, Shard, Shards, Spread, home, homes, is_guest, outer};
use crate::broker::{Action, PeerId};
use crate::protocol::{Announcement, Offer, Ping, Reading, Word};
use crate::time::Time;

/// What its owner knows of such a worker.
#[derive(Debug)]
pub(super) struct Shared {
    announced: Announcement,
    slots: Slots,
    /// Shards other than this one that were told what it offers there.
    told: Shards,
    /// Brokers that have sent it to another process.
    away: Shards,
}

impl Shared {
    /// A broker sends it to another process. True if with this one all do that have to.
    pub(super) fn sent_away(&mut self, by: Shard, me: Shard) -> bool {
        let all = self.slots.homes().or(Shards::one(me));
        let before = self.away.and(all) == all;
        self.away.set(by, true);
        !before && self.away.and(all) == all
    }
}

impl Owned {
    fn shared(&mut self, id: PeerId) -> Option<&mut Shared> {
        match &mut self.get_mut(id)?.work {
            Work::Shared(shared) => Some(shared),
            _ => None,
        }
    }

    /// What a worker states, all its shares together.
    pub(super) fn capacity(&self, id: PeerId) -> Option<usize> {
        match &self.get(id)?.work {
            Work::Shared(shared) => Some(shared.slots.total()),
            _ => None,
        }
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

    /// It has said goodbye to all.
    pub(super) fn forget_told(&mut self, id: PeerId) {
        if let Some(shared) = self.shared(id) {
            shared.told = Shards::default();
        }
    }

    /// A drain was called off: nobody is away any more.
    pub(super) fn come_back(&mut self) {
        for own in self.iter_mut() {
            if let Work::Shared(shared) = &mut own.work {
                shared.away = Shards::default();
            }
        }
    }
}

impl Spread {
    /// It has said goodbye. It may announce itself again while its slots are still on their way
    /// back.
    pub(super) fn call_all_back(&mut self, now: Time, peer: PeerId, out: &mut Vec<Action>) {
        if let Some(shared) = self.owned.shared(peer) {
            shared.slots.state(0, Shards::default());
            self.deal(now, peer, out);
        }
    }

    /// Takes what it states of its capacity out of a PING: the own broker knows its own part of it
    /// only.
    pub(super) fn take_capacity(&mut self, peer: PeerId, ping: &mut Ping) {
        let most = self.broker.config().limits.worker_tasks;
        let Some(shared) = self.owned.shared(peer) else {
            return;
        };
        if let Some(capacity) = ping.capacity.take() {
            shared.announced.capacity = capacity;
            let homes = shared.slots.homes();
            let total = clip(&shared.announced, most);
            shared.slots.state(total, homes);
        }
    }

    pub(super) fn announce(
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

    /// The own broker does not take it for a worker any more: the others give it no new tasks.
    pub(super) fn worker_left(&mut self, peer: PeerId) {
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
