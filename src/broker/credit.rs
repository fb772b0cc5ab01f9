//! Partial replies on their way: no more of them go to a client than it, or its connection, takes,
//! and its worker is told how much more it may send.
//!
//! Credit is counted for each of the two hops, and only where both of its ends name it. A worker
//! that counts is given as much as its client has room for. What another sends all the same waits
//! here, up to a limit (`Limits::ahead`); a worker that is further ahead of its client than that
//! loses the task. A client that does not count, or that is held back and cannot be heard, is held
//! to what waits to be written to it.
//!
//! The final reply needs no credit, and takes along what waits before it: it may be larger than
//! all of that by itself.

use std::collections::VecDeque;
use std::time::Duration;

use super::task::Stage;
use super::{Action, Broker, PeerId};
use crate::protocol::{
    Allowance, Answer, Credit, Dialect, Id, Notice, Portion, Reply, Status, Window,
};

/// The parts of one task's reply.
#[derive(Debug)]
pub(super) struct Flow {
    /// What the client still takes; none if it does not count.
    down: Option<Window>,
    /// What the worker has been told that it may still send in this attempt.
    up: Window,
    /// Parts that may not be sent yet.
    waiting: VecDeque<Reply>,
    /// What they count for.
    size: usize,
}

impl Flow {
    /// Before the first part. `counted` tells whether the client gives credit.
    pub(super) fn new(counted: bool) -> Self {
        Self {
            down: counted.then_some(Window::INITIAL),
            up: Window::INITIAL,
            waiting: VecDeque::new(),
            size: 0,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }
}

impl Broker {
    /// A client takes more parts. An id that is not in flight has its final on the way already.
    pub(super) fn credited(&mut self, id: PeerId, credit: &Credit) {
        if credit.back.id == Id::ZERO {
            return;
        }
        let Some(number) = self.task_of(id, &credit.back) else {
            return;
        };
        let Some(task) = self.tasks.get_mut(number).filter(|task| task.counted) else {
            return;
        };
        if let Some(down) = &mut task.flow_mut().down {
            down.widen(credit.more);
        }
        self.let_go(number);
    }

    /// A part of a reply for a client that takes parts.
    pub(super) fn pass_on(&mut self, number: u32, reply: Reply) {
        let goes = self.takes_parts(number);
        let Some(task) = self.tasks.get_mut(number) else {
            return;
        };
        let paced = task.paced;
        let flow = task.flow_mut();
        let allowed = paced && flow.up.is_open();
        flow.up.take(reply.body.payload());
        if goes && flow.waiting.is_empty() {
            self.forward(number, reply);
        } else if !self.keep(number, reply, allowed) {
            self.conclude(number, too_far_ahead());
            return self.abandon(number);
        }
        self.allow_more(number, false);
    }

    /// A part was gathered, or is of no use to its client: that makes room at once.
    pub(super) fn swallow(&mut self, number: u32, bytes: usize) {
        if let Some(task) = self.tasks.get_mut(number) {
            task.flow_mut().up.take(bytes);
            self.allow_more(number, false);
        }
    }

    /// All that waits goes ahead of the final reply.
    pub(super) fn let_all_go(&mut self, number: u32) {
        while let Some(reply) = self.next_part(number) {
            self.forward(number, reply);
        }
    }

    /// The parts of an attempt that is over: nobody is to see them.
    pub(super) fn drop_parts(&mut self, number: u32) {
        let Some(task) = self.tasks.get_mut(number) else {
            return;
        };
        let Some(flow) = &mut task.flow else {
            return;
        };
        let size = std::mem::take(&mut flow.size);
        self.counters.parts_dropped += flow.waiting.len() as u64;
        flow.waiting = VecDeque::new();
        flow.up = Window::INITIAL;
        task.cost -= size;
        self.held -= size;
    }

    /// There is room again in what waits to be written to a client: its streams go on, in turns.
    pub(super) fn go_on(&mut self, id: PeerId) {
        let Some(peer) = self.peer(id) else {
            return;
        };
        let streams = |number: &u32| self.tasks.get(*number).is_some_and(|t| t.flow.is_some());
        let mut numbers: Vec<u32> = peer.tasks.tasks().into_iter().filter(streams).collect();
        let last = numbers.iter().position(|number| *number == peer.served);
        numbers.rotate_left(last.map_or(0, |last| last + 1));
        for number in numbers {
            let Some(peer) = self.peer_mut(id).filter(|peer| !peer.full) else {
                return;
            };
            peer.served = number;
            self.let_go(number);
        }
    }

    /// Sends what waits as far as the client takes it, and lets the worker send as much more.
    fn let_go(&mut self, number: u32) {
        while self.takes_parts(number)
            && let Some(reply) = self.next_part(number)
        {
            self.forward(number, reply);
        }
        self.allow_more(number, true);
    }

    /// Whether the client takes a part now. One that is held back can give no credit, and must not
    /// wait for what its own silence keeps from it: then only what it reads counts.
    fn takes_parts(&self, number: u32) -> bool {
        let Some(task) = self.tasks.get(number) else {
            return false;
        };
        let client = (task.asker.as_ref()).and_then(|asker| self.peer(asker.peer));
        let reads = client.is_some_and(|peer| !peer.full);
        if client.is_some_and(|peer| peer.paused.is_some()) {
            return reads;
        }
        let down = match &task.flow {
            Some(flow) => flow.down,
            None => task.counted.then_some(Window::INITIAL),
        };
        reads && down.is_none_or(|down| down.is_open())
    }

    /// Keeps a part until it may be sent; false if that would be too much. What a worker had
    /// credit for (`allowed`) is no more than its credit.
    fn keep(&mut self, number: u32, reply: Reply, allowed: bool) -> bool {
        let weight = weight(&reply);
        let (most, ahead) = (self.config.limits.held, self.config.limits.ahead);
        let Some(task) = self.tasks.get_mut(number) else {
            return false;
        };
        let flow = task.flow_mut();
        if (!allowed && flow.size >= ahead) || self.held + weight > most {
            return false;
        }
        flow.waiting.push_back(reply);
        flow.size += weight;
        task.cost += weight;
        self.held += weight;
        true
    }

    /// The first part that waits, taken out.
    fn next_part(&mut self, number: u32) -> Option<Reply> {
        let task = self.tasks.get_mut(number)?;
        let flow = task.flow.as_deref_mut()?;
        let reply = flow.waiting.pop_front()?;
        let weight = weight(&reply);
        flow.size -= weight;
        task.cost -= weight;
        self.held -= weight;
        Some(reply)
    }

    /// Sends a part to the client. From here there is no second attempt.
    fn forward(&mut self, number: u32, reply: Reply) {
        let weight = weight(&reply);
        let Some(task) = self.tasks.get_mut(number) else {
            return;
        };
        let Some(asker) = &task.asker else {
            return;
        };
        let (peer, back) = (asker.peer, asker.back.clone());
        task.streamed = true;
        if let Some(down) = &mut task.flow_mut().down {
            down.take(reply.body.payload());
        }
        self.drop_body(number);
        let service = self.task_name(number);
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
        self.reach(peer, back, service, answer);
        self.burden(peer, weight);
    }

    /// Much may have been given to a client in one turn: then it counts as full until its
    /// connection says otherwise.
    fn burden(&mut self, id: PeerId, bytes: usize) {
        let most = self.config.limits.worker_outbox;
        let Some(peer) = self.peer_mut(id).filter(|peer| !peer.closing) else {
            return;
        };
        peer.given += bytes;
        if peer.given > most {
            (peer.full, peer.given) = (true, 0);
            self.say(Action::Gauge { peer: id });
            // It may be a worker as well, and is given nothing then either.
            self.stand_down(id.place);
        }
    }

    /// Tells the worker how much more it may send. Small amounts are saved up, as long as it has
    /// something left and nobody waits for them (`at_once`).
    fn allow_more(&mut self, number: u32, at_once: bool) {
        let token = self.tasks.token(number);
        let Some(task) = self.tasks.get(number).filter(|task| task.paced) else {
            return;
        };
        let (Stage::Assigned(place), Some(asker)) = (task.stage, &task.asker) else {
            return;
        };
        let client = self.peer(asker.peer);
        let full = client.is_none_or(|peer| peer.full);
        let held = client.is_some_and(|peer| peer.paused.is_some());
        // What no client is sent as it comes is taken at once.
        let taken = asker.back.whole || asker.wants.is_oneway();
        if full && !taken {
            return;
        }
        let Some(worker) = self.peer_at(place).map(|peer| peer.id) else {
            return;
        };
        let Some(flow) = self
            .tasks
            .get_mut(number)
            .and_then(|task| task.flow.as_deref_mut())
        else {
            return;
        };
        let room = match flow.down {
            Some(down) if !taken && !held => down.lesser(MOST),
            _ => Window::INITIAL,
        };
        // What waits here has been sent, but not been taken.
        if !flow.waiting.is_empty() {
            return;
        }
        let more = flow.up.short_of(room);
        let worth = more.messages >= Window::HALF.messages || more.kib >= Window::HALF.kib;
        if more == Portion::default() || !(worth || at_once || !flow.up.is_open()) {
            return;
        }
        flow.up.widen(more);
        let allowance = Allowance { token, more };
        self.tell(worker, Dialect::Scale0, Notice::Credit(allowance));
    }
}

/// What a part counts for: an empty one is not free.
fn weight(reply: &Reply) -> usize {
    reply.body.wire().len() + reply.properties.len() + size_of::<Reply>()
}

fn too_far_ahead() -> Answer {
    Answer::Error {
        status: Status::TOO_LARGE,
        not_executed: false,
        retry_after: Duration::ZERO,
        text: "the worker sends parts faster than they are taken, and takes no credit for them"
            .to_owned(),
    }
}

/// No worker is told more at once, however much its client would take.
const MOST: Window = Window::new(1024, 4 << 20);
