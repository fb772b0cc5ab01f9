//! One broker of several that share a process: what it is told of the others, and what may be
//! asked of it so that they can share workers. Who tells and asks is [`spread`](crate::spread).

use std::collections::BTreeSet;
use std::time::Duration;

use super::{Action, Broker, Config, PeerId};
use crate::time::Time;

/// Workers that other brokers have a part of, as far as something about them has changed: their
/// tasks, whether they may have more, whether any wait for them.
#[derive(Debug, Default)]
pub(super) struct Stirred {
    workers: BTreeSet<PeerId>,
    /// Tasks have begun to wait there, or do so no more: it concerns all of its workers.
    services: BTreeSet<u32>,
}

impl Broker {
    /// The broker of this shard of so many. Its tokens tell whose they are ([`shard_of`](Self::shard_of)),
    /// and it does not end a drain before it [may](Self::let_end).
    #[must_use]
    pub fn one_of(config: Config, seed: [u8; 32], shard: u32, shards: u32) -> Self {
        let mut broker = Self::new(config, seed);
        broker.tasks.number_from(shard, shards);
        broker.waits_for_others = shards > 1;
        broker
    }

    /// Which of so many brokers has given out a token, if any of them has.
    #[must_use]
    pub fn shard_of(token: crate::protocol::Id, shards: u32) -> u32 {
        let [a, b, c, d, ..] = token.0;
        u32::from_be_bytes([a, b, c, d]) % shards.max(1)
    }

    /// Tells how many tasks without an answer the other brokers have: they count against the same
    /// bound, from the next event on.
    pub fn set_beside(&mut self, tasks: usize) {
        self.beside = tasks;
        self.await_room();
    }

    /// Whether connections are held back until there is room for everybody.
    #[must_use]
    pub fn waits_for_room(&self) -> bool {
        !self.paused.is_empty()
    }

    /// Tasks that a worker has.
    #[must_use]
    pub fn load_of(&self, peer: PeerId) -> usize {
        self.worker(peer).map_or(0, |worker| worker.tasks.len())
    }

    /// The capacity that a worker stated last, or was allotted; none for who is no worker.
    #[must_use]
    pub fn capacity_of(&self, peer: PeerId) -> Option<u16> {
        Some(self.worker(peer)?.announcement.capacity)
    }

    /// Whether a task waits that a worker without room would be given if it had some.
    #[must_use]
    pub fn is_hungry(&self, peer: PeerId) -> bool {
        let most = self.config.limits.worker_tasks;
        let Some((there, worker)) = self
            .peer(peer)
            .and_then(|peer| Some((peer, peer.worker.as_deref()?)))
        else {
            return false;
        };
        let able = !there.full && !there.closing && worker.suspect.is_none();
        if !able || worker.tasks.len() < worker.capacity(most) {
            return false;
        }
        let mut open = worker.seats.iter().filter(|seat| self.is_open(seat.node));
        open.any(|seat| {
            self.services.get(seat.service).is_some_and(|service| {
                !service.queue.is_empty() || self.parked_for(service, peer).is_some()
            })
        })
    }

    /// Other brokers have a part of this worker, or will: from now on what changes about it is
    /// [told](Self::take_stirred).
    pub fn share(&mut self, peer: PeerId) {
        let Some(there) = self.peer_mut(peer) else {
            return;
        };
        there.shared = true;
        let worker = there.worker.as_deref();
        let seats = worker.map_or(Vec::new(), |worker| worker.seats.clone());
        for seat in seats {
            if let Some(service) = self.services.get_mut(seat.service) {
                service.sharers.insert(peer);
            }
        }
        self.stir(peer.place);
    }

    /// The shared workers for which [`load_of`](Self::load_of), [`capacity_of`](Self::capacity_of)
    /// or [`is_hungry`](Self::is_hungry) may say something else than when this was called last.
    pub fn take_stirred(&mut self) -> BTreeSet<PeerId> {
        let Stirred {
            mut workers,
            services,
        } = std::mem::take(&mut self.stirred);
        for service in services {
            if let Some(service) = self.services.get(service) {
                workers.extend(&service.sharers);
            }
        }
        workers
    }

    /// Whether this worker is among them.
    #[must_use]
    pub fn is_stirred(&self, peer: PeerId) -> bool {
        let Stirred { workers, services } = &self.stirred;
        let mut services = services
            .iter()
            .filter_map(|service| self.services.get(*service));
        workers.contains(&peer) || services.any(|service| service.sharers.contains(&peer))
    }

    /// Something has changed about a worker.
    pub(super) fn stir(&mut self, place: u32) {
        if let Some(peer) = self.peer_at(place).filter(|peer| peer.shared) {
            let id = peer.id;
            self.stirred.workers.insert(id);
        }
    }

    /// Something has changed about what waits for a service's workers.
    pub(super) fn stir_service(&mut self, service: u32) {
        if self
            .services
            .get(service)
            .is_some_and(|service| !service.sharers.is_empty())
        {
            self.stirred.services.insert(service);
        }
    }

    /// Gives a worker another capacity than it has stated: its share of that.
    pub fn allot(&mut self, now: Time, peer: PeerId, capacity: u16, out: &mut Vec<Action>) {
        self.step(now, out, |broker| {
            // Who does not work any more has slots to give back.
            broker.stir(peer.place);
            let Some(worker) = broker.worker_mut(peer) else {
                return;
            };
            for announcement in std::iter::once(&mut worker.announcement).chain(&mut worker.next) {
                announcement.capacity = capacity;
            }
            broker.settle(peer.place);
        });
    }

    /// A worker has tasks of other brokers, or no longer: while it has, it may be silent.
    pub fn busy_elsewhere(&mut self, peer: PeerId, on: bool) {
        if let Some(there) = self.peer_mut(peer) {
            there.elsewhere = on;
            self.look_after(peer.place);
        }
    }

    /// An administrator has asked another broker for a drain, or called it off (`None`).
    pub fn follow_drain(&mut self, now: Time, limit: Option<Duration>, out: &mut Vec<Action>) {
        self.step(now, out, |broker| match limit {
            Some(limit) => broker.begin_drain(limit, false),
            None => {
                // If it was called off, it can be.
                let _ = broker.call_off_drain();
            }
        });
    }

    /// The other brokers have no tasks left either: when this one has none, its drain is done.
    pub fn let_end(&mut self, now: Time, out: &mut Vec<Action>) {
        self.step(now, out, |broker| broker.waits_for_others = false);
    }

    /// Whether new tasks are refused, for a drain.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.drain.is_some()
    }

    /// What [`handle`](Self::handle) does around an event.
    fn step(&mut self, now: Time, out: &mut Vec<Action>, deed: impl FnOnce(&mut Self)) {
        self.now = self.now.max(now);
        std::mem::swap(&mut self.out, out);
        deed(self);
        self.recall();
        self.resume_for_room();
        self.end_drain();
        std::mem::swap(&mut self.out, out);
    }
}
