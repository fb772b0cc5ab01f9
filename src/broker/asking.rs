//! The clients' side: taking tasks on, refusing them, cancelling them, and the broker's own
//! services.

use std::time::Duration;

use super::access::Right;
use super::peer::Bound;
use super::queue::Owner;
use super::task::{Key, Stage, Task, cost};
use super::{Action, Broker, Due, Fact, Overflow, PeerId, Query, peer_mut, text_body};
use crate::protocol::{Answer, Ask, Dialect, Id, Name, Notice, Refusal, Return, Status, Wants};

impl Bound {
    fn status(self) -> Status {
        match self {
            Self::Client => Status::QUOTA,
            Self::Service(_) | Self::Everything => Status::UNAVAILABLE,
        }
    }

    fn text(self) -> &'static str {
        match self {
            Self::Client => "too many tasks of this client, or too large ones, are under way",
            Self::Service(_) => "the service's queue is full",
            Self::Everything => "the broker holds as much as it may",
        }
    }
}

impl Broker {
    pub(super) fn asked(&mut self, id: PeerId, mut ask: Ask) {
        if ask.service.is_reserved() {
            self.counters.own += 1;
            return self.own_service(id, ask);
        }
        self.counters.tasks += 1;
        if !self.may(id, Right::Call, &ask.service) {
            return self.forbid(id, Right::Call, ask);
        }
        if !self.sign(id, &mut ask) {
            let text = "the header has no room for the property User";
            return self.refuse(id, ask, Status::MALFORMED, text);
        }
        if self.drain.is_some() {
            let text = self.draining_text();
            return self.refuse(id, ask, Status::DRAINING, &text);
        }
        let duplicate = self.peer(id).is_some_and(|peer| {
            let numbered = ask.back.id != Id::ZERO && ask.wants != Wants::Nothing;
            numbered && peer.tasks.get(&Key::of(&ask.back, 0)).is_some()
        });
        if duplicate {
            return self.refuse(id, ask, Status::DUPLICATE, "a task of this id is under way");
        }
        let known = self.resolve(id, &ask.service);
        if known.is_none() && self.services.awaited() >= self.config.limits.awaited_names {
            return self.refuse(
                id,
                ask,
                Status::NO_SERVICE,
                "too many names without a worker are waited for",
            );
        }
        let bound = self.bound(id, &ask, known);
        if let Some(bound) = bound {
            // Majordomo has no word for "not now": what has been read is taken on, and no more
            // is read. A worker's connection must be read, for its replies.
            let is_worker = self.peer(id).is_none_or(|peer| peer.worker.is_some());
            let can_be_told = ask.back.dialect == Dialect::Scale0;
            if can_be_told && (is_worker || self.config.overflow == Overflow::Refuse) {
                return self.refuse(id, ask, bound.status(), bound.text());
            }
            if is_worker {
                self.counters.dropped += 1;
                return;
            }
        }
        self.take_on(id, ask, known);
        if let Some(bound) = bound {
            self.pause(id, bound);
        }
    }

    /// Which bound the task would break, if any.
    fn bound(&self, id: PeerId, ask: &Ask, service: Option<u32>) -> Option<Bound> {
        let limits = &self.config.limits;
        let cost = cost(ask);
        if self.peer(id).is_some_and(|peer| {
            peer.tasks.len() >= limits.client_tasks || peer.bytes + cost > limits.client_bytes
        }) {
            return Some(Bound::Client);
        }
        if self.open + self.beside >= limits.tasks || self.held + self.outside + cost > limits.held
        {
            return Some(Bound::Everything);
        }
        let Some(number) = service else {
            // A new queue takes no more than an old one.
            return (cost > limits.queue_bytes).then_some(Bound::Everything);
        };
        let service = self.services.get(number)?;
        let owner = Owner {
            client: id,
            priority: ask.priority,
        };
        let (most, most_bytes) = (limits.queue_tasks, limits.queue_bytes);
        let full = service.waiting() >= most
            || service.queue.bytes() + cost > most_bytes
            || (service.queue).is_crowded(&self.lines, owner, cost, most, most_bytes);
        (full && service.ready.is_empty()).then_some(Bound::Service(number))
    }

    /// Where a task for this name belongs. A client mostly asks for the same service again.
    fn resolve(&mut self, id: PeerId, name: &Name) -> Option<u32> {
        let usual = self.peer(id).map(|peer| peer.usual);
        if usual.is_some_and(|service| self.services.is_at(service, name)) {
            return usual;
        }
        let service = self.services.resolve(name);
        if let (Some(peer), Some(service)) = (self.peer_mut(id), service) {
            peer.usual = service;
        }
        service
    }

    fn take_on(&mut self, id: PeerId, ask: Ask, known: Option<u32>) {
        let now = self.now;
        let service = match known {
            Some(service) => service,
            None => self.services.find_or_add(&ask.service, now),
        };
        if !self.overrides.is_empty() {
            self.adopt(service);
        }
        let said = (self.services.get(service)).and_then(|service| service.ttl);
        let ttl = match ask.ttl {
            Duration::ZERO => said.unwrap_or(self.config.default_ttl),
            stated => stated,
        };
        let deadline = now + ttl.min(self.config.max_ttl).max(Duration::from_millis(1));
        let wildcard = self.services.get(service).is_some_and(|s| s.wildcard);
        let asked = wildcard.then(|| Box::new(ask.service.clone()));
        // Only a number names a stream.
        let counted = ask.back.dialect == Dialect::Scale0
            && ask.back.id != Id::ZERO
            && !ask.back.whole
            && !ask.wants.is_oneway()
            && self.peer(id).is_some_and(|peer| peer.credit);
        let mut task = Task::new(ask, id, service, now, deadline);
        (task.asked, task.counted) = (asked, counted);
        self.held += task.cost;
        self.open += 1;
        let number = self.tasks.insert(task);
        let timer = self.deadlines.set(deadline, Due::Task(number));
        if let Some(task) = self.tasks.get_mut(number) {
            task.timer = Some(timer);
            let asker = task.asker.as_ref();
            if let (Some(asker), Some(peer)) = (asker, peer_mut(&mut self.peers, id)) {
                peer.tasks.insert(asker.key(number), number);
                peer.bytes += asker.bytes;
            }
        }
        let chosen = self.choose(service, number);
        match chosen.and_then(|node| self.posts.get(node)) {
            Some(post) => {
                let place = post.peer.place;
                self.assign(number, place);
                self.take_turn(place);
            }
            None => self.enqueue(number),
        }
        // For a service that nobody offers it may still be a 404 like any other task.
        if self
            .services
            .get(service)
            .is_some_and(|service| service.workers > 0)
        {
            self.receipt(number);
        }
    }

    /// Refuses a task that has not been taken on.
    fn refuse(&mut self, id: PeerId, ask: Ask, status: Status, text: &str) {
        let retry = matches!(
            status,
            Status::UNAVAILABLE | Status::DRAINING | Status::QUOTA
        );
        let retry_after = if retry {
            self.config.retry_after
        } else {
            Duration::ZERO
        };
        let answer = Answer::Error {
            status,
            not_executed: true,
            retry_after,
            text: text.to_owned(),
        };
        self.decline(id, ask, status, answer);
    }

    /// Counts a refusal of a task that has not been taken on, and says it to whoever wants to
    /// hear of it.
    pub(super) fn decline(&mut self, id: PeerId, ask: Ask, status: Status, answer: Answer) {
        self.failed(&ask.service, status);
        if ask.wants != Wants::Nothing {
            self.reach(id, ask.back, ask.service, answer);
        }
    }

    /// A CANCEL from a client. An id that is not in flight has its answer on the way already.
    pub(super) fn cancelled(&mut self, id: PeerId, back: &Return) {
        if back.id == Id::ZERO {
            return;
        }
        if let Some(number) = self.task_of(id, back) {
            self.give_up(number, Status::CANCELLED, "");
        }
    }

    /// A client's task by its number, which is not zero.
    pub(super) fn task_of(&self, id: PeerId, back: &Return) -> Option<u32> {
        self.peer(id)?.tasks.get(&Key::of(back, 0))
    }

    /// The client is gone: what waits is dropped, what runs is cancelled. One-way tasks are done
    /// all the same.
    pub(super) fn drop_client(&mut self, id: PeerId) {
        let Some(peer) = self.peer_mut(id) else {
            return;
        };
        let tasks = peer.tasks.take();
        peer.bytes = 0;
        for number in tasks {
            let Some(task) = self.tasks.get_mut(number) else {
                continue;
            };
            if let Some(asker) = task.asker.as_mut()
                && asker.wants.is_oneway()
            {
                asker.told = true;
                // If it only said goodbye, they still count as its own.
                let (key, bytes) = (asker.key(number), asker.bytes);
                if let Some(peer) = self.peer_mut(id) {
                    peer.tasks.insert(key, number);
                    peer.bytes += bytes;
                }
                continue;
            }
            task.asker = None;
            let stage = task.stage;
            self.open -= 1;
            self.counters.orphaned += 1;
            match stage {
                Stage::Queued | Stage::Parked => {
                    self.dequeue(number);
                    self.discard(number);
                }
                Stage::Assigned(_) => self.abandon(number),
            }
        }
    }

    /// Something in a known language that cannot be accepted.
    pub(super) fn malformed(&mut self, id: PeerId, refusal: Refusal) {
        let Refusal {
            back,
            status,
            text,
            task,
        } = refusal;
        self.counters.malformed += 1;
        self.note(Fact::Malformed {
            peer: id,
            text: text.clone(),
        });
        let proxied = back.envelope.count() > 1;
        if task {
            let answer = Answer::Error {
                status,
                not_executed: true,
                retry_after: Duration::ZERO,
                text,
            };
            *self.counters.errors.entry(status.code()).or_default() += 1;
            self.reach(id, back.clone(), Name::default(), answer);
        } else {
            self.tell(
                id,
                Dialect::Scale0,
                Notice::Error {
                    back: back.clone(),
                    status,
                    text,
                },
            );
        }
        if status == Status::MALFORMED && !proxied && self.strike(id) {
            let text = "too many malformed messages".to_owned();
            // The message has its answer already; this one is about the connection.
            let back = Return {
                id: Id::ZERO,
                ..back
            };
            self.tell(
                id,
                Dialect::Scale0,
                Notice::Error {
                    back,
                    status: Status::BANNED,
                    text,
                },
            );
            self.close(id);
        }
    }

    /// Something in no known language. There is no way to answer it.
    pub(super) fn unknown(&mut self, id: PeerId, proxied: bool) {
        self.counters.unknown += 1;
        self.note(Fact::Malformed {
            peer: id,
            text: "a message in no known language".to_owned(),
        });
        if !proxied && self.strike(id) {
            self.close(id);
        }
    }

    /// True if it was one too many.
    fn strike(&mut self, id: PeerId) -> bool {
        let most = self.config.limits.strikes;
        self.peer_mut(id).is_some_and(|peer| {
            peer.strikes += 1;
            peer.strikes >= most
        })
    }

    fn own_service(&mut self, id: PeerId, ask: Ask) {
        // MMI is for those who call and offer, and answers by itself.
        if !ask.service.as_bytes().starts_with(b"mmi.")
            && !self.may(id, Right::Administer, &ask.service)
        {
            return self.forbid(id, Right::Administer, ask);
        }
        if ask.service.as_bytes() == b"s0.set" {
            return self.set(id, ask);
        }
        let changes = matches!(ask.service.as_bytes(), b"s0.drain" | b"s0.undrain");
        if changes && !self.may_change(id, &ask.service) {
            return self.forbid(id, Right::Administer, ask);
        }
        let Ask {
            back,
            service,
            body,
            ..
        } = ask;
        let query = match service.as_bytes() {
            b"s0.info" => Query::Info,
            b"s0.services" => Query::Services,
            b"s0.workers" => Query::Workers,
            b"s0.queues" => Query::Queues,
            b"s0.drain" => {
                self.begin_drain(self.config.drain_time, false);
                Query::Drain
            }
            b"s0.undrain" => {
                if !self.call_off_drain() {
                    let status = Status::UNAVAILABLE;
                    let answer = Answer::Error {
                        status,
                        not_executed: true,
                        retry_after: Duration::ZERO,
                        text: "a signal has told the broker to end".to_owned(),
                    };
                    self.failed(&service, status);
                    return self.reach(id, back, service, answer);
                }
                Query::Drain
            }
            b"mmi.service" => {
                let asked = body.first().map(Name::new).unwrap_or_default();
                if !self.may(id, Right::Call, &asked) && !self.may(id, Right::Offer, &asked) {
                    self.forbidden(id, Right::Call, &asked);
                    return self.mmi(id, back, service, "403");
                }
                let offered = self
                    .services
                    .resolve(&asked)
                    .and_then(|service| self.services.get(service));
                let there = offered.is_some_and(|service| service.workers > 0);
                return self.mmi(id, back, service, if there { "200" } else { "404" });
            }
            name if name.starts_with(b"mmi.") => return self.mmi(id, back, service, "501"),
            _ => {
                let status = Status::NOT_IMPLEMENTED;
                let text = format!("{service} is not a service of this broker");
                let answer = Answer::Error {
                    status,
                    not_executed: true,
                    retry_after: Duration::ZERO,
                    text,
                };
                self.failed(&service, status);
                return self.reach(id, back, service, answer);
            }
        };
        if self.peer(id).is_some_and(|peer| !peer.closing) {
            self.say(Action::Query {
                peer: id,
                back,
                service,
                query,
            });
        }
    }

    /// RFC 8: the answer is a code in three digits, in the asker's own dialect.
    fn mmi(&mut self, id: PeerId, back: Return, service: Name, code: &str) {
        let answer = Answer::Reply {
            code: Status::OK.code(),
            partial: false,
            ms: 0,
            properties: bytes::Bytes::new(),
            body: text_body(code),
        };
        self.reach(id, back, service, answer);
    }

    /// Reads no more from a connection until there is room.
    fn pause(&mut self, id: PeerId, bound: Bound) {
        let Some(peer) = self.peer_mut(id) else {
            return;
        };
        if peer.paused.is_some() {
            return;
        }
        peer.paused = Some(bound);
        self.say(Action::Hold { peer: id, on: true });
        self.note(Fact::Paused { peer: id });
        // Its credit will not be heard: what waits for that goes on without.
        self.go_on(id);
        let service = match bound {
            Bound::Client => return,
            Bound::Service(number) => self.services.get_mut(number),
            Bound::Everything => None,
        };
        let waiting = service.map_or(&mut self.paused, |service| &mut service.paused);
        // Who is gone keeps its place until its turn comes, but the line is no longer than there
        // are peers.
        if waiting.len() > self.peers.len() {
            let there = |id: &PeerId| {
                let peer = self.peers.get(id.place as usize)?.as_ref()?;
                Some(peer.id == *id && peer.paused.is_some())
            };
            waiting.retain(|id| there(id).unwrap_or(false));
        }
        waiting.push_back(id);
    }

    /// Reads again; true if the connection was held back.
    pub(super) fn resume(&mut self, id: PeerId) -> bool {
        let paused = self
            .peer_mut(id)
            .filter(|peer| !peer.closing)
            .and_then(|peer| peer.paused.take())
            .is_some();
        if paused {
            self.say(Action::Hold {
                peer: id,
                on: false,
            });
        }
        paused
    }

    /// A client held back for its own number of tasks goes on when half of them are done.
    pub(super) fn resume_client(&mut self, id: PeerId) {
        let (most, bytes) = (
            self.config.limits.client_tasks,
            self.config.limits.client_bytes,
        );
        if self.peer(id).is_some_and(|peer| {
            let room = peer.tasks.len() <= most / 2 && peer.bytes <= bytes / 2;
            peer.paused == Some(Bound::Client) && room
        }) {
            // What it said last may have been too much for everybody as well.
            let limits = &self.config.limits;
            if self.open + self.beside > limits.tasks || self.held + self.outside > limits.held {
                return self.wait_for_room(id);
            }
            self.resume(id);
        }
    }

    /// A connection that is held back stays so until there is room for everybody.
    fn wait_for_room(&mut self, id: PeerId) {
        if let Some(peer) = self.peer_mut(id) {
            peer.paused = Some(Bound::Everything);
            self.paused.push_back(id);
        }
    }

    /// There is room in a service's queue: one of the connections that wait for it goes on.
    pub(super) fn resume_for_service(&mut self, number: u32) {
        let most = self.config.limits.queue_tasks;
        let bytes = self.config.limits.queue_bytes;
        while let Some(service) = self.services.get_mut(number)
            && service.waiting() <= most - most / 4
            && service.queue.bytes() <= bytes - bytes / 4
            && let Some(id) = service.paused.pop_front()
        {
            if self.resume(id)
                && !self
                    .services
                    .get(number)
                    .is_some_and(|service| service.queue.is_empty())
            {
                return;
            }
        }
    }

    /// There is room again for everybody: one of the connections that wait for it goes on, the
    /// next one a moment later.
    pub(super) fn resume_for_room(&mut self) {
        while self.has_room()
            && let Some(id) = self.paused.pop_front()
        {
            if self.resume(id) {
                break;
            }
        }
        self.await_room();
    }

    /// Sees to it that connections do not wait for an event when there is room for them.
    pub(super) fn await_room(&mut self) {
        if !self.paused.is_empty() && !self.resuming && self.has_room() {
            self.resuming = true;
            self.deadlines.set(self.now + A_MOMENT, Due::Room);
        }
    }

    fn has_room(&self) -> bool {
        let (most, tasks) = (self.config.limits.held, self.config.limits.tasks);
        self.open + self.beside <= tasks - tasks / 4 && self.held + self.outside <= most - most / 4
    }
}

/// Between two connections that go on because there is room.
const A_MOMENT: Duration = Duration::from_millis(1);
