//! Replies of workers: matched by token, passed on, or gathered for clients that can take one
//! answer only.

use std::time::Duration;

use super::ejection::Verdict;
use super::task::Stage;
use super::{Action, Broker, Fact, PeerId};
use crate::protocol::{Answer, Reply, Status};
use crate::wire::{Builder, Message};

impl Broker {
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
        if reply.refuses && self.may_refuse(number) {
            return self.refused(id, number);
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
        // Of a task that nobody waits for any more it was known before how it went.
        if (self.tasks.get(number)).is_some_and(|task| task.asker.is_some()) {
            self.judge_worker(number, Verdict::by(code));
        }
        self.let_all_go(number);
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
            service.done += 1;
        }
        if let Some(worker) = self.worker_mut(id) {
            worker.done += 1;
        }
        let idle = self.take_from(id, number);
        self.discard(number);
        self.settle(id.place);
        self.unwatch(id, idle);
    }

    /// Takes a task from its worker, which has room again; true if it was its last one.
    pub(super) fn take_from(&mut self, id: PeerId, number: u32) -> bool {
        self.lay_down(number);
        let service = self.tasks.get(number).map(|task| task.service);
        if let Some(service) = service.and_then(|service| self.services.get_mut(service)) {
            service.in_flight -= 1;
        }
        let Some(worker) = self
            .peers
            .get_mut(id.place as usize)
            .and_then(|peer| peer.as_mut()?.worker.as_deref_mut())
        else {
            return false;
        };
        self.loads.remove(&mut worker.tasks, number);
        worker.tasks.is_empty()
    }

    /// A worker that has become idle, and was given nothing since, need give no signs of life.
    pub(super) fn unwatch(&mut self, id: PeerId, idle: bool) {
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
            self.counters.parts_dropped += 1;
            return;
        };
        let bytes = reply.body.payload();
        if asker.wants.is_oneway() {
            self.counters.oneway_parts += 1;
            return self.swallow(number, bytes);
        }
        self.counters.partials += 1;
        let back = &asker.back;
        // Where a status is not seen, or answers are put together, it would be taken for a part.
        let progress = reply.code == Status::PROGRESS.code();
        if progress && (back.whole || back.dialect.is_majordomo()) {
            return self.swallow(number, bytes);
        }
        if !back.whole {
            return self.pass_on(number, reply);
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
        self.swallow(number, bytes);
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
