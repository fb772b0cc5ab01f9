//! The workers' side: announcements, turns, replies, and what happens to the tasks of a worker
//! that is gone.

use std::collections::BTreeSet;
use std::time::Duration;

use super::peer::{Seat, Worker};
use super::task::Stage;
use super::{Action, Broker, Due, Fact, Leaving, PeerId};
use crate::protocol::scale0::Settings;
use crate::protocol::{
    Announcement, Answer, Assignment, Dialect, Name, Notice, Reply, Return, Status,
};
use crate::wire::{Builder, Message};

impl Broker {
    /// A worker says what it does: the complete set, taken whole or not at all.
    pub(super) fn announced(&mut self, id: PeerId, announcement: Announcement) {
        let Some(worker) = self.peer(id).and_then(|peer| peer.worker.as_deref()) else {
            return self.join(id, announcement);
        };
        if worker.announcement == announcement {
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
        if let Err((status, text)) = self.acceptable(&announcement, &[]) {
            return self.reject(id, dialect, status, text);
        }
        let services = announcement
            .offers
            .iter()
            .map(|offer| offer.service.clone())
            .collect();
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
            tasks: super::chain::Chain::default(),
            ready: false,
            suspect: None,
            full: false,
            spoke: now,
            told: now,
            beats: 0,
            announced: now,
            next: None,
            done: 0,
        }));
        self.counters.workers_joined += 1;
        self.note(Fact::WorkerJoined {
            peer: id,
            dialect,
            name,
            services,
            capacity,
        });
        self.seat(id, announcement);
    }

    /// A worker's later announcement, which may come.
    pub(super) fn apply(&mut self, id: PeerId, announcement: Announcement) {
        let Some(worker) = self.worker(id) else {
            return;
        };
        let former = worker.seats.clone();
        if let Err((status, text)) = self.acceptable(&announcement, &former) {
            return self.reject(id, announcement.dialect, status, text);
        }
        let services = announcement
            .offers
            .iter()
            .map(|offer| offer.service.clone())
            .collect();
        self.note(Fact::WorkerChanged {
            peer: id,
            services,
            capacity: announcement.capacity,
        });
        self.seat(id, announcement);
    }

    /// Whether the services' number and names allow it. `former` are the seats it would replace.
    fn acceptable(
        &self,
        announcement: &Announcement,
        former: &[Seat],
    ) -> Result<(), (Status, String)> {
        let limit = self.config.limits.services;
        let mut room = limit.saturating_sub(self.services.offered());
        for offer in &announcement.offers {
            if offer.service.is_reserved() {
                let text = format!(
                    "service {}: names beginning with s0. or mmi. are the broker's own",
                    offer.service
                );
                return Err((Status::MALFORMED, text));
            }
            let known = self.services.find(&offer.service);
            let held = known.is_some_and(|known| former.iter().any(|seat| seat.service == known));
            let offered = known
                .and_then(|known| self.services.get(known))
                .is_some_and(|service| service.workers > 0);
            if !held && !offered {
                let Some(left) = room.checked_sub(1) else {
                    let text = format!(
                        "service {} is one too many for this broker, limit {limit}",
                        offer.service
                    );
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
                id: crate::protocol::Id::ZERO,
                whole: false,
            };
            self.tell(id, dialect, Notice::Error { back, status, text });
        } else {
            self.tell(id, dialect, Notice::Unknown);
        }
    }

    /// Replaces a worker's seats by those of its announcement.
    fn seat(&mut self, id: PeerId, announcement: Announcement) {
        let now = self.now;
        let Some(worker) = self.worker(id) else {
            return;
        };
        let former = worker.seats.clone();
        self.stand_down(id.place);
        let mut seats = Vec::with_capacity(announcement.offers.len());
        for offer in &announcement.offers {
            let service = self.services.find_or_add(&offer.service, now);
            let node = match former.iter().find(|seat| seat.service == service) {
                Some(seat) => seat.node,
                None => {
                    self.services.worker_joined(service);
                    self.seats.insert(id.place)
                }
            };
            seats.push(Seat {
                service,
                node,
                idempotent: offer.idempotent,
            });
        }
        let kept: BTreeSet<u32> = seats.iter().map(|seat| seat.service).collect();
        let promise = announcement
            .promise
            .map_or(self.config.majordomo_promise, clamp_promise);
        let dialect = announcement.dialect;
        if let Some(peer) = self.peer_mut(id) {
            peer.promise = promise;
            if let Some(worker) = &mut peer.worker {
                worker.announcement = announcement;
                worker.seats = seats;
                worker.announced = now;
                worker.next = None;
            }
        }
        for seat in former.iter().filter(|seat| !kept.contains(&seat.service)) {
            self.vacate(*seat);
        }
        if dialect == Dialect::Scale0 {
            let settings = Settings {
                promise: self.config.heartbeat,
                broker: self.config.name.clone(),
                max_message: self.config.limits.message,
                max_frames: self.config.limits.parts,
            };
            self.tell(id, dialect, Notice::Config(settings));
        }
        self.look_after(id.place);
        self.settle(id.place);
    }

    /// Gives up a seat that is in no ready list.
    fn vacate(&mut self, seat: Seat) {
        self.seats.remove(seat.node);
        if self.services.worker_left(seat.service, self.now) {
            self.await_workers(seat.service);
        }
        self.tidy(seat.service);
    }

    /// A worker is gone, by whatever way: its tasks go to others where that is allowed.
    pub(super) fn remove_worker(&mut self, id: PeerId, why: Leaving) {
        if self.worker(id).is_none() {
            return;
        }
        self.stand_down(id.place);
        let Some(worker) = self.peer_mut(id).and_then(|peer| {
            peer.promise = Duration::ZERO;
            peer.worker.take()
        }) else {
            return;
        };
        self.counters.workers_left += 1;
        self.note(Fact::WorkerLeft {
            peer: id,
            why,
            tasks: worker.tasks.len(),
        });
        let mut tasks: Vec<u32> = self.lines.iter(&worker.tasks).collect();
        let mut chain = worker.tasks;
        for &task in &tasks {
            self.lines.remove(&mut chain, task);
        }
        if !tasks.is_empty() && why != Leaving::Lost {
            self.say(Action::Watch {
                peer: id,
                on: false,
            });
        }
        // Each goes to the head of its queue: the oldest last, so that it is first again.
        tasks.reverse();
        let mut waiting = BTreeSet::new();
        for number in tasks {
            let Some(task) = self.tasks.get(number) else {
                continue;
            };
            let idempotent = worker
                .seat(task.service)
                .is_some_and(|seat| seat.idempotent);
            let service = task.service;
            if self.orphan(number, idempotent || worker.dialect().is_majordomo()) {
                waiting.insert(service);
            }
        }
        for seat in &worker.seats {
            self.vacate(*seat);
        }
        for service in waiting {
            self.dispatch(service);
        }
    }

    /// A task whose worker is gone, and which is in no chain, is put at the head of its queue
    /// (then this is true) or comes to its end.
    fn orphan(&mut self, number: u32, idempotent: bool) -> bool {
        let most = self.config.max_attempts;
        let Some(task) = self.tasks.get_mut(number) else {
            return false;
        };
        if let Some(service) = self.services.get_mut(task.service) {
            service.in_flight -= 1;
        }
        let (attempt, service) = (task.attempt, task.service);
        if task.asker.is_none() {
            self.discard(number);
            return false;
        }
        let repeatable = (task.idempotent || idempotent) && !task.streamed && task.body.is_some();
        if repeatable && attempt < most && task.deadline > self.now {
            task.stage = Stage::Queued;
            self.drop_gathered(number);
            self.counters.retried += 1;
            let name = self.service_name(service);
            self.note(Fact::TaskRetried {
                service: name,
                attempt: attempt + 1,
            });
            self.line_up(number, true);
            return true;
        }
        if attempt >= most {
            self.counters.poisoned += 1;
            let name = self.service_name(service);
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

    /// Gives a task, which is in no chain, to the worker at `place`, which has room.
    pub(super) fn assign(&mut self, number: u32, place: u32) {
        let token = self.tasks.renew_token(number);
        let (now, most) = (self.now, self.config.max_attempts);
        let Some(peer) = self.peers.get_mut(place as usize).and_then(Option::as_mut) else {
            return;
        };
        let (id, Some(worker)) = (peer.id, &mut peer.worker) else {
            return;
        };
        let Some(task) = self.tasks.get_mut(number) else {
            return;
        };
        let Some(service) = self.services.get_mut(task.service) else {
            return;
        };
        task.stage = Stage::Assigned(place);
        task.attempt += 1;
        service.in_flight += 1;
        worker.told = now;
        self.lines.push_back(&mut worker.tasks, number);
        let dialect = worker.dialect();
        let begins = worker.tasks.len() == 1;
        let idempotent = task.idempotent
            || worker
                .seat(task.service)
                .is_some_and(|seat| seat.idempotent);
        let again = task.attempt < most && (idempotent || dialect.is_majordomo());
        // A body that can never be needed again is handed on, not kept.
        let body = if again {
            task.body.clone()
        } else {
            let body = task.body.take();
            let size = body.as_ref().map_or(0, |body| body.wire().len());
            task.cost -= size;
            self.held -= size;
            body
        };
        let assignment = Assignment {
            token,
            attempt: task.attempt,
            ttl: now.until(task.deadline),
            idempotent: task.idempotent,
            priority: task.priority,
            service: service.name.clone(),
            properties: task.properties.clone(),
            body: body.unwrap_or_default(),
        };
        self.counters.assigned += 1;
        if begins {
            self.say(Action::Watch { peer: id, on: true });
        }
        self.say(Action::Assign {
            peer: id,
            dialect,
            task: assignment,
        });
    }

    /// After a task given out of the ready list: to the end of it, or off it.
    pub(super) fn take_turn(&mut self, place: u32) {
        self.stand_down(place);
        let most = self.config.limits.worker_tasks;
        if self
            .peer_at(place)
            .and_then(|peer| peer.worker.as_deref())
            .is_some_and(|worker| worker.has_room(most))
        {
            self.stand_ready(place);
        }
    }

    /// A worker's room may have changed: it takes what waits for it, the longest waiting first,
    /// and then stands ready if there is room left.
    pub(super) fn settle(&mut self, place: u32) {
        let most = self.config.limits.worker_tasks;
        loop {
            let Some(worker) = self.peer_at(place).and_then(|peer| peer.worker.as_deref()) else {
                return;
            };
            if !worker.has_room(most) {
                return self.stand_down(place);
            }
            let Some(number) = self.longest_waiting(worker) else {
                return self.stand_ready(place);
            };
            if self
                .tasks
                .get(number)
                .is_some_and(|task| task.deadline <= self.now)
            {
                self.expire(number);
                continue;
            }
            self.dequeue(number);
            self.assign(number, place);
        }
    }

    /// Among the first tasks of the worker's queues the one that came first.
    fn longest_waiting(&self, worker: &Worker) -> Option<u32> {
        let heads = worker
            .seats
            .iter()
            .filter_map(|seat| self.services.get(seat.service)?.queue.first());
        heads.min_by_key(|number| self.tasks.get(*number).map(|task| (task.arrived, *number)))
    }

    /// Puts a worker at the end of its services' ready lists.
    fn stand_ready(&mut self, place: u32) {
        let Some(worker) = self
            .peers
            .get_mut(place as usize)
            .and_then(|peer| peer.as_mut()?.worker.as_deref_mut())
        else {
            return;
        };
        if std::mem::replace(&mut worker.ready, true) {
            return;
        }
        for seat in &worker.seats {
            if let Some(service) = self.services.get_mut(seat.service) {
                self.ready.push_back(&mut service.ready, seat.node);
            }
        }
    }

    /// Takes a worker off its services' ready lists.
    fn stand_down(&mut self, place: u32) {
        let Some(worker) = self
            .peers
            .get_mut(place as usize)
            .and_then(|peer| peer.as_mut()?.worker.as_deref_mut())
        else {
            return;
        };
        if !std::mem::replace(&mut worker.ready, false) {
            return;
        }
        for seat in &worker.seats {
            if let Some(service) = self.services.get_mut(seat.service) {
                self.ready.remove(&mut service.ready, seat.node);
            }
        }
    }

    /// A reply counts only if its token names an attempt of this very worker.
    pub(super) fn replied(&mut self, id: PeerId, reply: Reply) {
        if self.worker(id).is_none() {
            self.counters.late_replies += 1;
            self.note(Fact::StrayReply {
                peer: id,
                forged: false,
            });
            return self.hint(id, reply.dialect);
        }
        let number = match self.tasks.find(reply.token) {
            Some((number, task)) if task.stage == Stage::Assigned(id.place) => number,
            found => {
                let forged = found.is_some();
                let count = if forged {
                    &mut self.counters.forged_replies
                } else {
                    &mut self.counters.late_replies
                };
                *count += 1;
                return self.note(Fact::StrayReply { peer: id, forged });
            }
        };
        if reply.partial {
            return self.partial(number, reply);
        }
        self.finish(id, number, reply);
    }

    /// The final reply of an attempt: the worker has room again.
    fn finish(&mut self, id: PeerId, number: u32, reply: Reply) {
        let Reply {
            code,
            ms,
            properties,
            body,
            ..
        } = reply;
        let body = match self.gather(number, &body) {
            Gathered::Nothing => Some(body),
            Gathered::Whole(whole) => Some(whole),
            Gathered::TooLarge => None,
        };
        match body {
            Some(body) => self.conclude(
                number,
                Answer::Reply {
                    code,
                    partial: false,
                    ms,
                    properties,
                    body,
                },
            ),
            None => self.conclude(number, too_large()),
        }
        let Some(task) = self.tasks.get(number) else {
            return;
        };
        let service = task.service;
        if let Some(service) = self.services.get_mut(service) {
            service.in_flight -= 1;
            service.done += 1;
        }
        let mut idle = false;
        if let Some(worker) = self
            .peers
            .get_mut(id.place as usize)
            .and_then(|peer| peer.as_mut()?.worker.as_deref_mut())
        {
            self.lines.remove(&mut worker.tasks, number);
            worker.done += 1;
            idle = worker.tasks.is_empty();
        }
        self.discard(number);
        self.settle(id.place);
        if idle
            && self
                .worker(id)
                .is_some_and(|worker| worker.tasks.is_empty())
        {
            self.say(Action::Watch {
                peer: id,
                on: false,
            });
        }
    }

    /// A partial reply: passed on, or gathered for a client that can take one answer only.
    fn partial(&mut self, number: u32, reply: Reply) {
        let Some(task) = self.tasks.get_mut(number) else {
            return;
        };
        let Some(asker) = &task.asker else {
            return;
        };
        self.counters.partials += 1;
        if !asker.back.whole {
            task.streamed = true;
            let (peer, back, service) = (asker.peer, asker.back.clone(), task.service);
            let service = self.service_name(service);
            self.drop_body(number);
            let Reply {
                code,
                ms,
                properties,
                body,
                ..
            } = reply;
            let answer = Answer::Reply {
                code,
                partial: true,
                ms,
                properties,
                body,
            };
            return self.reach(peer, back, service, answer);
        }
        let limits = &self.config.limits;
        let size = reply.body.wire().len();
        let before = task.gathered.as_ref().map_or(0, Builder::len);
        if before + size > limits.message || self.held + size > limits.held {
            self.conclude(number, too_large());
            return self.abandon(number);
        }
        task.gathered.get_or_insert_default().parts(&reply.body);
        let grown = task.gathered.as_ref().map_or(0, Builder::len) - before;
        task.cost += grown;
        self.held += grown;
    }

    /// The partial replies gathered so far, and the final one behind them.
    fn gather(&mut self, number: u32, last: &Message) -> Gathered {
        let limits = &self.config.limits;
        let Some(mut builder) = self
            .tasks
            .get_mut(number)
            .and_then(|task| task.gathered.take())
        else {
            return Gathered::Nothing;
        };
        let size = builder.len();
        if let Some(task) = self.tasks.get_mut(number) {
            task.cost -= size;
        }
        self.held -= size;
        if size + last.wire().len() > limits.message {
            return Gathered::TooLarge;
        }
        builder.parts(last);
        let whole = builder.finish();
        if whole.count() > limits.parts {
            Gathered::TooLarge
        } else {
            Gathered::Whole(whole)
        }
    }

    /// Nobody waits for an assigned task any more. Its worker is told, and keeps its place until
    /// it answers or dies: a zombie, so that no credit is lost or doubled.
    pub(super) fn abandon(&mut self, number: u32) {
        self.drop_body(number);
        self.drop_gathered(number);
        let token = self.tasks.token(number);
        let Some(task) = self.tasks.get(number) else {
            return;
        };
        let Stage::Assigned(place) = task.stage else {
            return;
        };
        let judgement = self.now.max(task.deadline) + self.config.suspect_after;
        self.set_task_timer(number, judgement);
        let Some(peer) = self.peer_at(place) else {
            return;
        };
        let (id, Some(worker)) = (peer.id, &peer.worker) else {
            return;
        };
        let dialect = worker.dialect();
        if !peer.closing {
            self.say(Action::Cancel {
                peer: id,
                dialect,
                token,
            });
        }
    }

    /// Puts a task that is in no chain at the end of its service's queue. There is no worker
    /// with room for it.
    pub(super) fn enqueue(&mut self, number: u32) {
        self.line_up(number, false);
        if let Some(service) = self.tasks.get(number).map(|task| task.service) {
            self.await_workers(service);
        }
    }

    fn line_up(&mut self, number: u32, at_head: bool) {
        let Some(task) = self.tasks.get(number) else {
            return;
        };
        let Some(service) = self.services.get_mut(task.service) else {
            return;
        };
        if at_head {
            self.lines.push_front(&mut service.queue, number);
        } else {
            self.lines.push_back(&mut service.queue, number);
        }
        service.queued_bytes += task.cost;
    }

    /// Lets ready workers take what waits, each in its turn.
    fn dispatch(&mut self, number: u32) {
        while let Some(service) = self.services.get(number)
            && !service.queue.is_empty()
            && let Some(seat) = service.ready.first()
            && let Some(&place) = self.seats.get(seat)
        {
            self.stand_down(place);
            self.settle(place);
        }
    }

    /// Takes a task out of its queue.
    pub(super) fn dequeue(&mut self, number: u32) {
        let Some(task) = self.tasks.get(number) else {
            return;
        };
        let (cost, index) = (task.cost, task.service);
        if let Some(service) = self.services.get_mut(index) {
            self.lines.remove(&mut service.queue, number);
            service.queued_bytes -= cost;
        }
        self.resume_for_service(index);
    }

    /// Forgets a task that is in no chain and has no asker.
    pub(super) fn discard(&mut self, number: u32) {
        let Some(task) = self.tasks.remove(number) else {
            return;
        };
        if let Some(timer) = task.timer {
            self.deadlines.clear(timer);
        }
        self.held -= task.cost;
        self.tidy(task.service);
    }

    fn drop_body(&mut self, number: u32) {
        let Some(task) = self.tasks.get_mut(number) else {
            return;
        };
        let size = task.body.take().map_or(0, |body| body.wire().len());
        task.cost -= size;
        self.held -= size;
    }

    fn drop_gathered(&mut self, number: u32) {
        let Some(task) = self.tasks.get_mut(number) else {
            return;
        };
        let size = task.gathered.take().map_or(0, |gathered| gathered.len());
        task.cost -= size;
        self.held -= size;
    }

    /// Forgets a service that nobody needs.
    fn tidy(&mut self, number: u32) {
        let Some(service) = self.services.remove_unused(number) else {
            return;
        };
        if let Some(timer) = service.timer {
            self.deadlines.clear(timer);
        }
        for peer in service.paused {
            self.resume(peer);
        }
    }

    pub(super) fn service_name(&self, number: u32) -> Name {
        self.services
            .get(number)
            .map(|service| service.name.clone())
            .unwrap_or_default()
    }

    pub(super) fn set_task_timer(&mut self, number: u32, at: crate::time::Time) {
        let timer = self.deadlines.set(at, Due::Task(number));
        let former = self
            .tasks
            .get_mut(number)
            .and_then(|task| task.timer.replace(timer));
        if let Some(former) = former {
            self.deadlines.clear(former);
        }
    }

    pub(super) fn worker(&self, id: PeerId) -> Option<&Worker> {
        self.peer(id)?.worker.as_deref()
    }

    pub(super) fn worker_mut(&mut self, id: PeerId) -> Option<&mut Worker> {
        self.peer_mut(id)?.worker.as_deref_mut()
    }
}

/// What became of partial replies.
enum Gathered {
    Nothing,
    Whole(Message),
    TooLarge,
}

fn too_large() -> Answer {
    Answer::Error {
        status: Status::TOO_LARGE,
        not_executed: false,
        retry_after: Duration::ZERO,
        text: "the partial replies are too large to be put together".to_owned(),
    }
}

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
