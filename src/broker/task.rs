//! Tasks in flight, and the tokens by which workers name them.

use bytes::Bytes;
use chacha20::ChaCha8Rng;
use chacha20::rand_core::{Rng, SeedableRng};

use super::PeerId;
use super::credit::Flow;
use super::deadline::Handle;
use crate::protocol::{Ask, Id, Name, Return, Wants};
use crate::table::Table;
use crate::time::Time;
use crate::wire::{Builder, Message};

/// A client's request inside the broker.
#[derive(Debug)]
pub(super) struct Task {
    /// Whom to answer. `None` once the client has its answer or is gone; a one-way task has an
    /// asker until it is done or given up, whether somebody is there or not.
    pub(super) asker: Option<Asker>,
    /// Number of the service in whose queue it stands or stood last.
    pub(super) service: u32,
    /// What was asked for, where that service is a wildcard.
    pub(super) asked: Option<Box<Name>>,
    pub(super) stage: Stage,
    /// Half of the token; the other half is the task's place in the table.
    secret: u32,
    /// Attempts so far, those aside that a worker refused.
    pub(super) attempt: u16,
    /// When it was given to its worker, and for what post.
    pub(super) given: Time,
    pub(super) post: (u32, u64),
    /// May be started again if its worker is lost.
    pub(super) again: bool,
    /// Who refused it, and until when they are not asked again.
    pub(super) refusals: Vec<(PeerId, Time)>,
    /// When to look again for somebody who takes it.
    pub(super) look: Option<Handle>,
    pub(super) idempotent: bool,
    pub(super) priority: u8,
    pub(super) arrived: Time,
    pub(super) deadline: Time,
    pub(super) timer: Option<Handle>,
    pub(super) properties: Bytes,
    /// Kept while the task may be given to a worker (again); `None` when that is out of the
    /// question.
    pub(super) body: Option<Message>,
    /// Part of a reply has reached the client: from here there is no second attempt.
    pub(super) streamed: bool,
    /// Partial replies for a client that can take one answer only.
    pub(super) gathered: Option<Builder>,
    /// The client gives credit for partial replies.
    pub(super) counted: bool,
    /// Its worker sends them by credit only.
    pub(super) paced: bool,
    /// Partial replies under way, from the first one or the first credit on.
    pub(super) flow: Option<Box<Flow>>,
    /// Bytes it counts for in every bound.
    pub(super) cost: usize,
}

/// The client's end of a task.
#[derive(Clone, Debug)]
pub(super) struct Asker {
    pub(super) peer: PeerId,
    pub(super) back: Return,
    pub(super) wants: Wants,
    /// What the task counts for among its client's.
    pub(super) bytes: usize,
    /// It has heard of its one-way task all that it will hear.
    pub(super) told: bool,
}

impl Asker {
    /// Where the task stands among its client's. One whose client hears no more of it has given
    /// its number back.
    pub(super) fn key(&self, task: u32) -> Key {
        if self.told {
            Key::Unnumbered(task)
        } else {
            Key::of(&self.back, task)
        }
    }
}

/// Where a task stands.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Stage {
    /// Waits for a worker.
    Queued,
    /// Waits for a worker that has not refused it.
    Parked,
    /// With the worker at this place; a zombie if nobody waits for its answer any more.
    Assigned(u32),
}

/// How a client names its task: by its number where it gave one.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub(super) enum Key {
    Numbered(Id, Message),
    Unnumbered(u32),
}

impl Key {
    pub(super) fn of(back: &Return, task: u32) -> Self {
        if back.id == Id::ZERO {
            Self::Unnumbered(task)
        } else {
            Self::Numbered(back.id, back.envelope.clone())
        }
    }
}

impl Task {
    /// A task that has just been taken on.
    pub(super) fn new(ask: Ask, peer: PeerId, service: u32, now: Time, deadline: Time) -> Self {
        let cost = cost(&ask);
        Self {
            cost,
            asker: Some(Asker {
                peer,
                back: ask.back,
                wants: ask.wants,
                bytes: cost,
                told: ask.wants == Wants::Nothing,
            }),
            service,
            asked: None,
            stage: Stage::Queued,
            secret: 0,
            attempt: 0,
            given: now,
            post: (0, 0),
            again: false,
            refusals: Vec::new(),
            look: None,
            idempotent: ask.idempotent,
            priority: ask.priority,
            arrived: now,
            deadline,
            timer: None,
            properties: ask.properties,
            body: Some(ask.body),
            streamed: false,
            gathered: None,
            counted: false,
            paced: false,
            flow: None,
        }
    }

    /// Whether a part of its reply waits to be sent.
    pub(super) fn has_parts(&self) -> bool {
        self.flow.as_ref().is_some_and(|flow| !flow.is_empty())
    }

    pub(super) fn flow_mut(&mut self) -> &mut Flow {
        let counted = self.counted;
        self.flow
            .get_or_insert_with(|| Box::new(Flow::new(counted)))
    }
}

/// What a task counts for: its bytes, and what the table itself spends on it.
pub(super) fn cost(ask: &Ask) -> usize {
    ask.body.wire().len()
        + ask.properties.len()
        + ask.back.envelope.wire().len()
        + size_of::<Task>()
}

/// All tasks, by their place.
#[derive(Debug)]
pub(super) struct Tasks {
    table: Table<Task>,
    /// Numbers in tokens are those of the table times this, and a little: so they tell whose they
    /// are.
    stride: u32,
    offset: u32,
    random: ChaCha8Rng,
}

impl Tasks {
    pub(super) fn new(seed: [u8; 32]) -> Self {
        Self {
            table: Table::default(),
            stride: 1,
            offset: 0,
            random: ChaCha8Rng::from_seed(seed),
        }
    }

    /// The tokens' numbers are those that leave `offset` when they are divided by `stride`.
    pub(super) fn number_from(&mut self, offset: u32, stride: u32) {
        (self.stride, self.offset) = (stride.max(1), offset);
    }

    pub(super) fn insert(&mut self, task: Task) -> u32 {
        self.table.insert(task)
    }

    pub(super) fn get(&self, task: u32) -> Option<&Task> {
        self.table.get(task)
    }

    pub(super) fn get_mut(&mut self, task: u32) -> Option<&mut Task> {
        self.table.get_mut(task)
    }

    pub(super) fn discard(&mut self, task: u32) {
        self.table.discard(task);
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (u32, &Task)> {
        self.table.iter()
    }

    /// A fresh token for the task's next attempt; the one before is void.
    pub(super) fn renew_token(&mut self, task: u32) -> Id {
        let Some(place) = self.table.get_mut(task) else {
            return Id::ZERO;
        };
        // Never the same twice in a row, and never a token of eight zeros.
        let mut secret = self.random.next_u32();
        while secret == place.secret || secret == 0 {
            secret = self.random.next_u32();
        }
        place.secret = secret;
        self.token(task)
    }

    /// The current token of a task.
    pub(super) fn token(&self, task: u32) -> Id {
        let secret = self.get(task).map_or(0, |task| task.secret);
        let number = task.wrapping_mul(self.stride).wrapping_add(self.offset);
        Id((u64::from(number) << 32 | u64::from(secret)).to_be_bytes())
    }

    /// The task whose current attempt has this token: an index, no search, and 32 bits to guess.
    pub(super) fn find(&self, token: Id) -> Option<(u32, &Task)> {
        let [a, b, c, d, e, f, g, h] = token.0;
        let number = u32::from_be_bytes([a, b, c, d]);
        // Another's is found by its secret not to be ours.
        let number = number.wrapping_sub(self.offset) / self.stride;
        let secret = u32::from_be_bytes([e, f, g, h]);
        let task = self.get(number)?;
        let assigned = matches!(task.stage, Stage::Assigned(_));
        (assigned && task.secret == secret).then_some((number, task))
    }
}
