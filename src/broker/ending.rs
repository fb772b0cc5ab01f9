//! How tasks end: the final answer, once; the worker's place, freed by the worker alone; the
//! memory, given back when nobody needs it.

use std::time::Duration;

use bytes::Bytes;

use super::task::{Asker, Stage};
use super::{Action, Broker, Due, Fact, PeerId};
use crate::protocol::{Answer, Name, Return, Status, Wants};
use crate::time::Time;
use crate::wire::Message;

impl Broker {
    /// Gives up on a task for a reason of the broker's. Whether a worker has begun with it decides
    /// what the client may do next.
    pub(super) fn give_up(&mut self, number: u32, status: Status, text: &str) {
        let Some(task) = self.tasks.get(number) else {
            return;
        };
        let not_executed = task.attempt == 0;
        let retry = not_executed && status == Status::DRAINING;
        let retry_after = if retry {
            self.config.retry_after
        } else {
            Duration::ZERO
        };
        let answer = Answer::Error {
            status,
            not_executed,
            retry_after,
            text: text.to_owned(),
        };
        match task.stage {
            Stage::Queued | Stage::Parked => {
                self.dequeue(number);
                self.conclude(number, answer);
                self.discard(number);
            }
            Stage::Assigned(_) => {
                self.conclude(number, answer);
                self.abandon(number);
            }
        }
    }

    /// Gives a task its final answer. The task itself stays where it is; nobody waits for it now.
    pub(super) fn conclude(&mut self, number: u32, answer: Answer) {
        let Some(task) = self.tasks.get_mut(number) else {
            return;
        };
        let Some(asker) = task.asker.take() else {
            return;
        };
        let service = self.task_name(number);
        self.open -= 1;
        match &answer {
            Answer::Error { status, .. } if asker.told => {
                self.oneway_failed(&asker, &service, *status);
            }
            Answer::Error { status, .. } => self.failed(&service, *status),
            Answer::Reply { .. } if asker.told => self.counters.oneway_done += 1,
            Answer::Reply { .. } => self.counters.replies += 1,
        }
        self.forget_key(&asker, number);
        let Asker {
            peer, back, told, ..
        } = asker;
        if !told {
            self.reach(peer, back, service, answer);
        }
        self.resume_client(peer);
    }

    /// A one-way task is in good hands: its client is told so, once, and hears no more of it.
    pub(super) fn receipt(&mut self, number: u32) {
        let Some(task) = self.tasks.get_mut(number) else {
            return;
        };
        let Some(asker) = task
            .asker
            .as_mut()
            .filter(|asker| asker.wants == Wants::Receipt && !asker.told)
        else {
            return;
        };
        let former = asker.key(number);
        asker.told = true;
        let (key, peer, back) = (asker.key(number), asker.peer, asker.back.clone());
        if let Some(client) = self.peer_mut(peer) {
            client.tasks.remove(&former);
            client.tasks.insert(key, number);
        }
        self.counters.receipts += 1;
        let service = self.task_name(number);
        let answer = Answer::Reply {
            code: Status::ACCEPTED.code(),
            partial: false,
            ms: 0,
            properties: Bytes::new(),
            body: Message::default(),
        };
        self.reach(peer, back, service, answer);
    }

    pub(super) fn reach(&mut self, peer: PeerId, back: Return, service: Name, answer: Answer) {
        if self.peer(peer).is_some_and(|peer| !peer.closing) {
            self.say(Action::Answer {
                peer,
                back,
                service,
                answer,
            });
        }
    }

    /// Counts and notes a refusal.
    pub(super) fn failed(&mut self, service: &Name, status: Status) {
        *self.counters.errors.entry(status.code()).or_default() += 1;
        self.note(Fact::TaskFailed {
            service: service.clone(),
            status,
        });
    }

    /// Counts and notes the end of a task that was accepted, and whose client will not hear of it.
    fn oneway_failed(&mut self, asker: &Asker, service: &Name, status: Status) {
        *self
            .counters
            .oneway_failed
            .entry(status.code())
            .or_default() += 1;
        self.note(Fact::OnewayFailed {
            peer: asker.peer,
            back: asker.back.clone(),
            service: service.clone(),
            status,
        });
    }

    fn forget_key(&mut self, asker: &Asker, number: u32) {
        if let Some(peer) = self.peer_mut(asker.peer) {
            peer.tasks.remove(&asker.key(number));
            peer.bytes -= asker.bytes;
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

    /// Forgets a task that is in no chain and has no asker.
    pub(super) fn discard(&mut self, number: u32) {
        let Some(task) = self.tasks.get(number) else {
            return;
        };
        let service = task.service;
        self.held -= task.cost;
        if let Some(timer) = task.timer {
            self.deadlines.clear(timer);
        }
        self.tasks.discard(number);
        self.tidy(service);
    }

    pub(super) fn drop_body(&mut self, number: u32) {
        let Some(task) = self.tasks.get_mut(number) else {
            return;
        };
        let size = task.body.take().map_or(0, |body| body.wire().len());
        task.cost -= size;
        self.held -= size;
    }

    /// What is kept of an attempt's reply.
    pub(super) fn drop_gathered(&mut self, number: u32) {
        self.drop_parts(number);
        let Some(task) = self.tasks.get_mut(number) else {
            return;
        };
        let size = task.gathered.take().map_or(0, |gathered| gathered.len());
        task.cost -= size;
        self.held -= size;
    }

    /// Forgets a service that nobody needs.
    pub(super) fn tidy(&mut self, number: u32) {
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

    /// What a task's client asked for.
    pub(super) fn task_name(&self, number: u32) -> Name {
        let task = self.tasks.get(number);
        match task.map(|task| (&task.asked, task.service)) {
            Some((Some(asked), _)) => Name::clone(asked),
            Some((None, service)) => self.service_name(service),
            None => Name::default(),
        }
    }

    pub(super) fn service_name(&self, number: u32) -> Name {
        self.services
            .get(number)
            .map(|service| service.name.clone())
            .unwrap_or_default()
    }

    pub(super) fn set_task_timer(&mut self, number: u32, at: Time) {
        let timer = self.deadlines.set(at, Due::Task(number));
        let former = self
            .tasks
            .get_mut(number)
            .and_then(|task| task.timer.replace(timer));
        if let Some(former) = former {
            self.deadlines.clear(former);
        }
    }
}
