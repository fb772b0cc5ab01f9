//! The peers of other shards that this one's broker knows, because they have to do with services
//! that are at home here.

use std::collections::HashMap;
use std::net::SocketAddr;

use super::slots::Word as Said;
use super::{Introduction, Letter, Shard, Spread, owned};
use crate::broker::{Action, Event, Fact, PeerId};
use crate::protocol::{Dialect, Notice, Reading, Word};
use crate::table::Table;
use crate::time::Time;

/// All of them, by the numbers that the broker knows them by.
#[derive(Debug, Default)]
pub(super) struct Guests {
    table: Table<Guest>,
    numbers: HashMap<(Shard, PeerId), PeerId>,
    met: u32,
    /// Workers whose coming and going their owners count as well.
    pub(super) joined: u64,
    pub(super) left: u64,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Guest {
    pub(super) owner: Shard,
    /// As its owner names it.
    pub(super) peer: PeerId,
    pub(super) address: Option<SocketAddr>,
    /// A Majordomo worker: this broker alone looks after it.
    ours: bool,
    generation: u32,
}

impl Guests {
    pub(super) fn len(&self) -> usize {
        self.numbers.len()
    }

    pub(super) fn find(&self, owner: Shard, peer: PeerId) -> Option<PeerId> {
        self.numbers.get(&(owner, peer)).copied()
    }

    pub(super) fn get(&self, inner: PeerId) -> Option<&Guest> {
        let guest = self.table.get(inner.place / 2);
        guest.filter(|guest| guest.generation == inner.generation)
    }

    fn get_mut(&mut self, inner: PeerId) -> Option<&mut Guest> {
        self.table.get_mut(inner.place / 2)
    }

    fn insert(&mut self, mut guest: Guest) -> PeerId {
        self.met = self.met.wrapping_add(1);
        guest.generation = self.met;
        let number = self.table.insert(guest);
        let inner = PeerId {
            place: number * 2 + 1,
            generation: self.met,
        };
        self.numbers.insert((guest.owner, guest.peer), inner);
        inner
    }

    fn remove(&mut self, owner: Shard, peer: PeerId) {
        if let Some(inner) = self.numbers.remove(&(owner, peer)) {
            self.table.remove(inner.place / 2);
        }
    }
}

impl Spread {
    pub(super) fn meet_guest(
        &mut self,
        now: Time,
        owner: Shard,
        peer: PeerId,
        who: Introduction,
        out: &mut Vec<Action>,
    ) {
        let inner = self.guests.insert(Guest {
            owner,
            peer,
            address: who.address,
            ours: false,
            generation: 0,
        });
        let (user, local) = (who.user, who.local);
        let opened = Event::Opened {
            peer: inner,
            user,
            local,
        };
        self.decide(now, opened, false, out);
        if let Some(ping) = who.said.filter(|ping| ping.capable) {
            let reading = Reading::Word(Word::Ping(owned::quiet(&ping)));
            let heard = Event::Heard {
                peer: inner,
                reading,
            };
            self.decide(now, heard, false, out);
        }
        if who.full {
            let full = true;
            self.decide(now, Event::Full { peer: inner, full }, false, out);
        }
    }

    pub(super) fn guest_said(
        &mut self,
        now: Time,
        owner: Shard,
        peer: PeerId,
        mut reading: Reading,
        mute: bool,
        out: &mut Vec<Action>,
    ) {
        let Some(inner) = self.guests.find(owner, peer) else {
            return;
        };
        if let Reading::Word(Word::Announce(announcement)) = &mut reading {
            if announcement.dialect == Dialect::Scale0 {
                self.broker.share(inner);
                announcement.capacity = self.stakes.entry(inner).or_default().capacity();
            } else if let Some(guest) = self.guests.get_mut(inner) {
                guest.ours = true;
            }
        }
        let heard = Event::Heard {
            peer: inner,
            reading,
        };
        self.decide(now, heard, mute, out);
    }

    pub(super) fn lose_guest(
        &mut self,
        now: Time,
        owner: Shard,
        peer: PeerId,
        out: &mut Vec<Action>,
    ) {
        let Some(inner) = self.guests.find(owner, peer) else {
            return;
        };
        self.decide(now, Event::Lost { peer: inner }, false, out);
        self.stakes.remove(&inner);
        self.guests.remove(owner, peer);
        self.surveys.forget(Some(owner), peer);
    }

    pub(super) fn tell_owner(&mut self, inner: PeerId, said: Said) {
        let Some(&Guest { owner, peer, .. }) = self.guests.get(inner) else {
            return;
        };
        if said.returned > 0 {
            let slots = said.returned;
            self.post(owner, Letter::Return { peer, slots });
        }
        if let Some(on) = said.hungry {
            self.post(owner, Letter::Hungry { peer, on });
        }
    }

    /// What the own broker wants of a guest goes to its owner, except what its owner says itself.
    pub(super) fn for_guest(&mut self, inner: PeerId, mut action: Action) {
        let Some(&Guest {
            owner, peer, ours, ..
        }) = self.guests.get(inner)
        else {
            return;
        };
        let passes = match &action {
            Action::Tell {
                dialect, notice, ..
            } => match notice {
                // A worker that is looked after here is told all that it is told.
                _ if ours && dialect.is_majordomo() => true,
                Notice::ChangeBroker { .. } => self.stakes.contains_key(&inner),
                Notice::Credit(_) | Notice::Error { .. } => true,
                _ => false,
            },
            Action::Note(fact) if !ours => match fact {
                Fact::WorkerJoined { .. } => {
                    self.guests.joined += 1;
                    false
                }
                Fact::WorkerLeft { .. } => {
                    self.guests.left += 1;
                    false
                }
                Fact::WorkerSuspect { .. } => {
                    self.post(owner, Letter::Suspects { peer });
                    false
                }
                Fact::WorkerChanged { .. } | Fact::WorkerTrusted { .. } => false,
                _ => true,
            },
            Action::Query { .. } => {
                if let Action::Query {
                    back,
                    service,
                    query,
                    ..
                } = action
                {
                    let mut unsaid = Vec::new();
                    self.survey(Some(owner), peer, back, service, query, &mut unsaid);
                }
                return;
            }
            _ => true,
        };
        if passes {
            action.set_peer(peer);
            self.post(owner, Letter::Act(Box::new(action)));
        }
    }
}
