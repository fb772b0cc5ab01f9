//! What workers offer: announcements, seats in services, and what happens to the tasks of a worker
//! that is gone.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use super::peer::{Seat, Worker};
use super::post::Post;
use super::task::Stage;
use super::{Action, Broker, Fact, Leaving, PeerId};
use crate::chain::Chain;
use crate::protocol::scale0::Settings;
use crate::protocol::{Announcement, Answer, Dialect, Id, Name, Notice, Offer, Return, Status};
use crate::wire::Message;

impl Broker {
    /// A worker says what it does: the complete set, taken whole or not at all.
    pub(super) fn announced(&mut self, id: PeerId, announcement: Announcement) {
        let Some(worker) = self.worker_mut(id) else {
            return self.join(id, announcement);
        };
        if worker.announcement == announcement {
            // It takes back what it may have said since.
            worker.next = None;
            return;
        }
        if worker.dialect() != Dialect::Scale0 || announcement.dialect != Dialect::Scale0 {
            // RFC 7 and 18: READY comes once. A connection does not change its language either.
            let dialect = worker.dialect();
            self.remove_worker(id, Leaving::Confused);
            return self.tell(id, dialect, Notice::Unknown);
        }
        let due = worker.announced + RECONNECT_INTERVAL;
        if due > self.now {
            if let Some(worker) = self.worker_mut(id) {
                worker.next = Some(announcement);
            }
            return self.look_after(id.place);
        }
        self.apply(id, announcement);
    }

    /// A worker's first announcement.
    fn join(&mut self, id: PeerId, announcement: Announcement) {
        let dialect = announcement.dialect;
        let (allowed, refused) = self.sift(id, &announcement);
        if let Err((status, text)) = self.acceptable(&announcement.offers, &allowed, &[], dialect) {
            return self.reject(id, dialect, status, text);
        }
        // Majordomo's workers have one service, and nothing to be without it.
        if dialect.is_majordomo() && !refused.is_empty() {
            return self.refuse_offers(id, dialect, &refused);
        }
        let services = allowed.iter().map(|offer| offer.service.clone()).collect();
        let (name, capacity) = (announcement.name.clone(), announcement.capacity);
        let now = self.now;
        let Some(peer) = self.peer_mut(id) else {
            return;
        };
        peer.worker = Some(Box::new(Worker {
            announcement: Announcement {
                offers: Vec::new(),
                ..announcement.clone()
            },
            seats: Vec::new(),
            tasks: Chain::default(),
            sent_away: false,
            suspect: None,
            spoke: now,
            told: now,
            beats: 0,
            announced: now,
            next: None,
            done: 0,
            turns: HashMap::new(),
        }));
        self.counters.workers_joined += 1;
        self.note(Fact::WorkerJoined {
            peer: id,
            dialect,
            name,
            services,
            capacity,
        });
        self.seat(id, announcement, &allowed, &refused);
    }

    /// A worker's later announcement, which may come.
    pub(super) fn apply(&mut self, id: PeerId, announcement: Announcement) {
        let Some(worker) = self.worker(id) else {
            return;
        };
        let former = worker.seats.clone();
        let (allowed, refused) = self.sift(id, &announcement);
        if let Err((status, text)) = self.acceptable(
            &announcement.offers,
            &allowed,
            &former,
            announcement.dialect,
        ) {
            return self.reject(id, announcement.dialect, status, text);
        }
        let services = allowed.iter().map(|offer| offer.service.clone()).collect();
        self.note(Fact::WorkerChanged {
            peer: id,
            services,
            capacity: announcement.capacity,
        });
        self.seat(id, announcement, &allowed, &refused);
    }

    /// Whether the names that are announced allow it, and the number of those that rules allow.
    /// `former` are the seats that they would replace.
    pub(super) fn acceptable(
        &self,
        announced: &[Offer],
        allowed: &[Offer],
        former: &[Seat],
        dialect: Dialect,
    ) -> Result<(), (Status, String)> {
        let limit = self.config.limits.services;
        // How many others offer a service besides the one who speaks.
        let others = |number: u32| {
            let held = former.iter().any(|seat| seat.service == number);
            let workers = self.services.get(number).map_or(0, |found| found.workers);
            workers - u32::from(held)
        };
        let given_up = former
            .iter()
            .filter(|seat| others(seat.service) == 0)
            .count();
        let mut room = (limit + given_up).saturating_sub(self.services.offered());
        let mut seen = BTreeSet::new();
        for offer in announced {
            if !seen.insert(&offer.service) {
                let text = format!("service {} is offered twice", offer.service);
                return Err((Status::MALFORMED, text));
            }
            if offer.service.is_reserved() {
                let text = format!(
                    "service {}: names beginning with s0. or mmi. are the broker's own",
                    offer.service
                );
                return Err((Status::MALFORMED, text));
            }
        }
        for Wanted { name, .. } in wanted(dialect, allowed) {
            let wildcard = is_wildcard(dialect, &name);
            let known = match wildcard {
                true => self.services.find_wildcard(&name),
                false => self.services.find(&name),
            };
            if wildcard && known.is_none() && self.services.wildcards() >= WILDCARDS {
                let text = format!(
                    "service {name} is one wildcard too many for this broker, limit {WILDCARDS}"
                );
                return Err((Status::TOO_LARGE, text));
            }
            if known.is_none_or(|known| others(known) == 0) {
                let Some(left) = room.checked_sub(1) else {
                    let text =
                        format!("service {name} is one too many for this broker, limit {limit}");
                    return Err((Status::TOO_LARGE, text));
                };
                room = left;
            }
        }
        Ok(())
    }

    fn reject(&mut self, id: PeerId, dialect: Dialect, status: Status, text: String) {
        self.counters.malformed += 1;
        self.note(Fact::Malformed {
            peer: id,
            text: text.clone(),
        });
        if dialect == Dialect::Scale0 {
            let back = Return {
                dialect,
                envelope: Message::default(),
                id: Id::ZERO,
                whole: false,
            };
            self.tell(id, dialect, Notice::Error { back, status, text });
        } else {
            self.tell(id, dialect, Notice::Unknown);
        }
    }

    /// Makes a worker what it announces, as far as rules allow.
    fn seat(&mut self, id: PeerId, announced: Announcement, allowed: &[Offer], refused: &[Name]) {
        let now = self.now;
        let promise = announced
            .promise
            .map_or(self.config.majordomo_promise, clamp_promise);
        let dialect = announced.dialect;
        if let Some(peer) = self.peer_mut(id) {
            peer.promise = promise;
            if let Some(worker) = &mut peer.worker {
                // Who offers something after all has changed its mind.
                worker.sent_away &= announced.offers.is_empty();
                worker.announcement = announced;
                worker.announced = now;
                worker.next = None;
            }
        }
        self.place(id, allowed);
        self.refuse_offers(id, dialect, refused);
        if dialect == Dialect::Scale0 {
            let settings = Settings {
                promise: self.config.heartbeat,
                broker: self.config.name.clone(),
                max_message: self.config.limits.message,
                max_frames: self.config.limits.parts,
                failover: self.config.failover.clone(),
            };
            self.tell(id, dialect, Notice::Config(settings));
        }
        self.look_after(id.place);
        self.serve_all(&[id.place]);
        self.settle(id.place);
    }

    /// Replaces a worker's seats by those of these offers. It stands in no ready list then, until
    /// it is settled.
    pub(super) fn place(&mut self, id: PeerId, offers: &[Offer]) {
        let now = self.now;
        let Some(worker) = self.worker(id) else {
            return;
        };
        let former = worker.seats.clone();
        let dialect = worker.dialect();
        let called = worker.announcement.name.clone();
        let shared = self.peer(id).is_some_and(|peer| peer.shared);
        self.stand_down(id.place);
        let wanted = wanted(dialect, offers);
        let mut seats = Vec::with_capacity(wanted.len());
        let mut first = Vec::new();
        for Wanted {
            offer,
            name,
            by_version,
        } in wanted
        {
            let service = match is_wildcard(dialect, &name) {
                true => self.services.find_or_add_wildcard(&name, now),
                false => self.services.find_or_add(&name, now),
            };
            let held = former.iter().find(|seat| seat.service == service);
            let node = match held {
                Some(seat) => seat.node,
                None => {
                    if self.services.worker_joined(service) {
                        first.push(service);
                    }
                    self.serials += 1;
                    let post = Post::new(id, service, self.serials, &called, now);
                    self.posts.insert(post)
                }
            };
            if let Some(found) = self.services.get_mut(service).filter(|_| shared) {
                found.sharers.insert(id);
            }
            self.set_post(node, offer, &called);
            let alone = (self.services.get(service)).is_some_and(|found| found.workers == 1);
            self.hear_offer(service, id, offer, held.is_none() && alone);
            seats.push(Seat {
                service,
                node,
                idempotent: offer.idempotent,
                by_version,
            });
        }
        let kept: BTreeSet<u32> = seats.iter().map(|seat| seat.service).collect();
        if let Some(worker) = self.worker_mut(id) {
            worker.seats = seats;
        }
        for service in first {
            self.gather_waiting(service);
        }
        let mut former = former;
        former.retain(|seat| !kept.contains(&seat.service));
        self.vacate(&former);
    }

    /// Makes a post what its worker announces.
    fn set_post(&mut self, node: u32, offer: &Offer, worker: &Name) {
        let Some(post) = self.posts.get_mut(node) else {
            return;
        };
        let before = post.is_weighted();
        post.set(offer, worker);
        let (after, service) = (post.is_weighted(), post.service);
        if before == after {
            return;
        }
        if let Some(found) = self.services.get_mut(service) {
            found.weighted = match after {
                true => found.weighted + 1,
                false => found.weighted - 1,
            };
        }
        self.adopt(service);
    }

    /// Gives up seats that are in no ready list. What waits for them is not moved to one that goes
    /// at the same time.
    fn vacate(&mut self, seats: &[Seat]) {
        let mut empty = Vec::new();
        for seat in seats {
            self.forget_post(seat.node);
            if self.services.worker_left(seat.service, self.now) {
                empty.push(seat.service);
            }
        }
        for &service in &empty {
            self.adopt(service);
            self.queue_all_parked(service);
            // What nobody waits for counts for no name below.
            self.tidy(service);
        }
        for service in empty {
            self.move_on(service);
            self.await_workers(service);
        }
        for seat in seats {
            self.keep_half(seat.service);
            self.tidy(seat.service);
        }
    }

    /// A worker is gone, by whatever way: its tasks go to others where that is allowed.
    pub(super) fn remove_worker(&mut self, id: PeerId, why: Leaving) {
        if self.worker(id).is_none() {
            return;
        }
        self.stand_down(id.place);
        let Some(peer) = self.peer_mut(id) else {
            return;
        };
        peer.promise = Duration::ZERO;
        let (stays, Some(worker)) = (!peer.closing, peer.worker.take()) else {
            return;
        };
        self.counters.workers_left += 1;
        self.note(Fact::WorkerLeft {
            peer: id,
            why,
            tasks: worker.tasks.len(),
        });
        let mut tasks: Vec<u32> = self.loads.iter(&worker.tasks).collect();
        let mut chain = worker.tasks;
        for &task in &tasks {
            self.loads.remove(&mut chain, task);
        }
        if !tasks.is_empty() && stays {
            self.say(Action::Watch {
                peer: id,
                on: false,
            });
        }
        // Each goes to the head of its queue: the oldest last, so that it is first again.
        tasks.reverse();
        let mut waiting = BTreeSet::new();
        let mut parked = Vec::new();
        for number in tasks {
            let Some(task) = self.tasks.get(number) else {
                continue;
            };
            let service = task.service;
            self.lay_down(number);
            if self.orphan(number) {
                waiting.insert(service);
                parked.push(number);
            }
        }
        self.vacate(&worker.seats);
        for service in waiting {
            // Its last worker may have left it before this one did.
            if self.services.get(service).is_some_and(|s| s.workers == 0) {
                self.queue_all_parked(service);
                self.move_on(service);
            }
            self.unserved.insert(service);
            self.await_workers_anew(service);
        }
        for number in parked {
            self.seek(number);
        }
        self.serve_all(&[]);
    }

    /// A task whose worker is gone, and which is in no chain, is put at the head of its queue
    /// (then this is true) or comes to its end.
    fn orphan(&mut self, number: u32) -> bool {
        let most = self.config.max_attempts;
        let name = self.task_name(number);
        let Some(task) = self.tasks.get_mut(number) else {
            return false;
        };
        if let Some(service) = self.services.get_mut(task.service) {
            service.in_flight -= 1;
        }
        let attempt = task.attempt;
        if task.asker.is_none() {
            self.discard(number);
            return false;
        }
        // Whether it may be repeated was known when the worker got it.
        let repeatable = task.again && task.body.is_some() && !task.streamed;
        if repeatable && attempt < most && task.deadline > self.now {
            task.stage = Stage::Queued;
            self.drop_gathered(number);
            self.counters.retried += 1;
            self.note(Fact::TaskRetried {
                service: name,
                attempt: attempt + 1,
            });
            // Those who refused it before are still left aside.
            if self.is_refused(number) {
                self.park(number);
            } else {
                self.line_up(number);
            }
            return true;
        }
        if attempt >= most {
            self.counters.poisoned += 1;
            self.note(Fact::TaskPoisoned {
                service: name,
                attempts: attempt,
            });
        }
        let answer = Answer::Error {
            status: Status::WORKER_LOST,
            not_executed: false,
            retry_after: Duration::ZERO,
            text: "the worker was lost while it worked on the task".to_owned(),
        };
        self.conclude(number, answer);
        self.discard(number);
        false
    }

    pub(super) fn worker(&self, id: PeerId) -> Option<&Worker> {
        self.peer(id)?.worker.as_deref()
    }

    pub(super) fn worker_mut(&mut self, id: PeerId) -> Option<&mut Worker> {
        self.peer_mut(id)?.worker.as_deref_mut()
    }
}

/// A seat that follows from an offer.
struct Wanted<'a> {
    offer: &'a Offer,
    name: Name,
    /// It is not offered by its name, but by that of a version of it.
    by_version: bool,
}

/// What a worker that offers this serves: whoever offers a version serves the bare name too.
fn wanted(dialect: Dialect, offers: &[Offer]) -> Vec<Wanted<'_>> {
    let named = offers.iter().map(|offer| Wanted {
        offer,
        name: offer.service.clone(),
        by_version: false,
    });
    let mut wanted: Vec<Wanted<'_>> = named.collect();
    if dialect != Dialect::Scale0 {
        return wanted;
    }
    let mut seen: BTreeSet<Name> = offers.iter().map(|offer| offer.service.clone()).collect();
    for offer in offers {
        if let Some(name) = offer.service.bare()
            && seen.insert(name.clone())
        {
            wanted.push(Wanted {
                offer,
                name,
                by_version: true,
            });
        }
    }
    wanted
}

/// Majordomo's names mean themselves, whatever characters are in them.
pub(super) fn is_wildcard(dialect: Dialect, name: &Name) -> bool {
    dialect == Dialect::Scale0 && name.is_wildcard()
}

/// Each task for a name that nobody offers is compared with all of them.
const WILDCARDS: usize = 1000;

/// A promise that can be kept and watched; zero is none.
pub(super) fn clamp_promise(stated: Duration) -> Duration {
    if stated.is_zero() {
        stated
    } else {
        stated.clamp(Duration::from_millis(100), Duration::from_secs(60))
    }
}

/// Announcements that come faster are applied when this time is over, the newest of them.
pub(super) const RECONNECT_INTERVAL: Duration = Duration::from_millis(100);
