//! Whose turn it is: the queues of waiting tasks, the lists of ready workers, and how the two
//! meet. While tasks wait for a service, no worker stands ready for it.

use super::peer::Seat;
use super::post::Post;
use super::queue::Owner;
use super::task::Stage;
use super::{Action, Broker};
use crate::protocol::Assignment;

impl Broker {
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
        let seat = worker.seat(task.service).copied();
        task.stage = Stage::Assigned(place);
        task.attempt += 1;
        task.given = now;
        task.paced = worker.announcement.credit;
        service.in_flight += 1;
        worker.told = now;
        self.loads.push_back(&mut worker.tasks, number);
        let dialect = worker.dialect();
        let begins = worker.tasks.len() == 1;
        if begins && dialect.is_majordomo() {
            worker.beats = 0;
        }
        let idempotent = task.idempotent || seat.is_some_and(|seat| seat.idempotent);
        task.again = task.attempt < most && (idempotent || dialect.is_majordomo());
        // A body that can never be needed again is handed on, not kept: Majordomo's workers have
        // no word to refuse a task.
        let body = if task.again || !dialect.is_majordomo() {
            task.body.clone()
        } else {
            let body = task.body.take();
            let size = body.as_ref().map_or(0, |body| body.wire().len());
            task.cost -= size;
            self.held -= size;
            body
        };
        let body = body.unwrap_or_default();
        peer.given += body.wire().len();
        let much = peer.given > self.config.limits.worker_outbox;
        if much {
            (peer.full, peer.given) = (true, 0);
        }
        let asked = task.asked.as_deref();
        let asker = task.asker.as_ref();
        let oneway = asker.is_some_and(|asker| asker.wants.is_oneway());
        if let Some(asker) = asker {
            self.turns += 1;
            worker.note_turn(asker.peer, self.turns);
        }
        let assignment = Assignment {
            token,
            attempt: task.attempt,
            ttl: now.until(task.deadline),
            idempotent: task.idempotent,
            oneway,
            priority: task.priority,
            service: asked.unwrap_or(&service.name).clone(),
            properties: task.properties.clone(),
            body,
        };
        self.counters.assigned += 1;
        if let Some(seat) = seat {
            let post = self.take_up(number, seat.node);
            if let Some(task) = self.tasks.get_mut(number) {
                task.post = post;
            }
        }
        if begins {
            self.say(Action::Watch { peer: id, on: true });
        }
        self.say(Action::Assign {
            peer: id,
            dialect,
            task: assignment,
        });
        if much {
            self.say(Action::Gauge { peer: id });
        }
        if oneway {
            self.receipt(number);
        }
    }

    /// After a task given out of the ready list: to the end of it, or off it.
    pub(super) fn take_turn(&mut self, place: u32) {
        self.stand_down(place);
        let most = self.config.limits.worker_tasks;
        if self
            .peer_at(place)
            .is_some_and(|peer| peer.with_room(most).is_some())
        {
            self.stand_ready(place);
        }
    }

    /// A worker's room may have changed: it takes what waits for it, each task in its turn,
    /// and then stands ready if there is room left.
    pub(super) fn settle(&mut self, place: u32) {
        self.stir(place);
        let most = self.config.limits.worker_tasks;
        loop {
            if self
                .peer_at(place)
                .is_none_or(|peer| peer.with_room(most).is_none())
            {
                return self.stand_down(place);
            }
            let Some(number) = self.next_for(place) else {
                return self.stand_ready_or_go(place);
            };
            self.hand_over(number, place);
        }
    }

    /// Gives a waiting task to the worker at `place`, which has room, unless its time is up.
    pub(super) fn hand_over(&mut self, number: u32, place: u32) -> bool {
        if self
            .tasks
            .get(number)
            .is_some_and(|task| task.deadline <= self.now)
        {
            self.expire(number);
            return false;
        }
        // It may stand ready for other tasks than this one, which it had refused.
        self.stand_down(place);
        self.leave_queue(number, true);
        self.assign(number, place);
        true
    }

    /// A task that others refused. If there is none: among the tasks whose turn it is in the
    /// worker's queues one of the highest level, and of those one of the client that had its last
    /// turn with this worker longest ago.
    pub(super) fn next_for(&mut self, place: u32) -> Option<u32> {
        let peer = self.peers.get(place as usize)?.as_ref()?;
        let (id, worker) = (peer.id, peer.worker.as_ref()?);
        let waits =
            |seat: &Seat| (self.services.get(seat.service)).is_some_and(|s| s.waiting() > 0);
        if !worker.seats.iter().any(waits) {
            return None;
        }
        let posts = &self.posts;
        let is_open = |seat: &&Seat| posts.get(seat.node).is_some_and(Post::is_open);
        let parked = (worker.seats.iter().filter(is_open))
            .filter_map(|seat| self.parked_for(self.services.get(seat.service)?, id))
            .min_by_key(|number| self.tasks.get(*number).map(|task| (task.arrived, *number)));
        if parked.is_some() {
            return parked;
        }
        let last = |client| worker.turns.get(&client).copied().unwrap_or(0);
        let (now, lines, services) = (self.now, &mut self.lines, &mut self.services);
        let turns = (worker.seats.iter().filter(is_open)).filter_map(|seat| {
            services
                .get_mut(seat.service)?
                .queue
                .turn_by(lines, now, last)
        });
        turns
            .min_by_key(|turn| turn.order(last(turn.client)))
            .map(|turn| turn.task)
    }

    /// Puts a worker at the end of its services' ready lists, where it does not stand in them
    /// already and may have tasks of the service.
    pub(super) fn stand_ready(&mut self, place: u32) {
        self.for_each_seat(place, |broker, seat| {
            if broker.is_open(seat.node) {
                broker.enter_line(seat.node);
                broker.weigh(seat.node);
            } else {
                broker.leave_line(seat.node);
            }
        });
    }

    /// Takes a worker off its services' ready lists.
    pub(super) fn stand_down(&mut self, place: u32) {
        self.stir(place);
        self.for_each_seat(place, |broker, seat| broker.leave_line(seat.node));
    }

    fn for_each_seat(&mut self, place: u32, see: impl Fn(&mut Self, Seat)) {
        let seat = |broker: &Self, nth: usize| {
            let worker = broker.peer_at(place)?.worker.as_deref()?;
            worker.seats.get(nth).copied()
        };
        let mut nth = 0;
        while let Some(found) = seat(self, nth) {
            see(self, found);
            nth += 1;
        }
    }

    /// Puts a task that is in no chain into its service's queue. There is no worker with room
    /// for it.
    pub(super) fn enqueue(&mut self, number: u32) {
        self.line_up(number);
        if let Some(service) = self.tasks.get(number).map(|task| task.service) {
            self.await_workers(service);
        }
    }

    /// The same, whoever has room. A task that was started before, or was to be and was
    /// refused, comes first.
    pub(super) fn line_up(&mut self, number: u32) {
        let Some(task) = self.tasks.get(number) else {
            return;
        };
        let Some(service) = self.services.get_mut(task.service) else {
            return;
        };
        let Some(asker) = &task.asker else {
            return;
        };
        let owner = Owner {
            client: asker.peer,
            priority: task.priority,
        };
        let (queue, lines, now) = (&mut service.queue, &mut self.lines, self.now);
        if task.attempt > 0 || !task.refusals.is_empty() {
            queue.push_again(lines, now, owner, number, task.cost);
        } else {
            queue.push(lines, now, owner, number, task.cost);
        }
        if queue.len() == 1 {
            let service = task.service;
            self.stir_service(service);
        }
    }

    /// Takes a task out of its queue that waits no longer.
    pub(super) fn dequeue(&mut self, number: u32) {
        self.leave_queue(number, false);
    }

    fn leave_queue(&mut self, number: u32, served: bool) {
        let Some(index) = self.tasks.get(number).map(|task| task.service) else {
            return;
        };
        if self.is_parked(number) {
            self.unpark(number);
            return self.resume_for_service(index);
        }
        if let Some(service) = self.services.get_mut(index) {
            let (queue, lines, now) = (&mut service.queue, &mut self.lines, self.now);
            if served {
                queue.serve(lines, now, number);
            } else {
                queue.remove(lines, now, number);
            }
            if queue.is_empty() {
                self.stir_service(index);
            }
        }
        self.resume_for_service(index);
    }
}
