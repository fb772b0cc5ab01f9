//! Where the replies to one call go: to who waits for one answer, or part by part to who reads a
//! stream.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::{mpsc, oneshot};

use super::super::error::CallError;
use super::super::reply::Reply;
use crate::limits::Limits;
use crate::protocol::{Portion, Status, Taken};
use crate::wire::{Builder, Message};

/// Where a call's replies go.
#[derive(Debug)]
pub(in crate::sdk) enum Sink {
    /// One answer, partial replies in front of it.
    Whole {
        answer: oneshot::Sender<Result<Reply, CallError>>,
        gathered: Vec<Message>,
        size: usize,
        taken: Taken,
    },
    /// Each as it comes, within a bound of bytes that are not read yet.
    Stream {
        replies: mpsc::UnboundedSender<Result<Reply, CallError>>,
        unread: Arc<AtomicUsize>,
    },
}

impl Sink {
    /// Takes a partial reply; an error if that is too much. Tells what credit to give for it.
    pub(super) fn partial(
        &mut self,
        reply: Reply,
        limits: &Limits,
        counted: bool,
    ) -> Result<Portion, Overrun> {
        let bytes = cost(&reply);
        match self {
            Self::Whole {
                gathered,
                size,
                taken,
                ..
            } => {
                let more = taken.add(reply.body.payload()).unwrap_or_default();
                if reply.code != Status::PROGRESS.code() {
                    *size += bytes;
                    gathered.push(reply.body);
                }
                let limit = limits.message;
                let fits = *size <= limit;
                fits.then_some(more).ok_or(Overrun { limit })
            }
            Self::Stream { replies, unread } => {
                let before = unread.fetch_add(bytes, Ordering::Relaxed);
                // Whoever does not listen any more has cancelled, and that is on its way to us.
                let _ = replies.send(Ok(reply));
                // A broker that keeps to our credit is a large message ahead of it at most, and
                // so is a worker that does not.
                let limit = if counted {
                    limits.message.saturating_mul(2).saturating_add(AHEAD)
                } else {
                    limits.message
                };
                let fits = before + bytes <= limit;
                // Credit is given when they are read.
                fits.then(Portion::default).ok_or(Overrun { limit })
            }
        }
    }

    /// The end, good or bad.
    pub(super) fn finish(self, result: Result<Reply, CallError>) {
        match self {
            Self::Whole {
                answer, gathered, ..
            } => {
                let result = result.map(|reply| Reply {
                    body: join(gathered, reply.body),
                    ..reply
                });
                // Whoever does not listen any more has cancelled.
                let _ = answer.send(result);
            }
            Self::Stream { replies, unread } => {
                if let Ok(reply) = &result {
                    unread.fetch_add(cost(reply), Ordering::Relaxed);
                }
                let _ = replies.send(result);
            }
        }
    }
}

/// More replies than may be kept.
pub(super) struct Overrun {
    pub(super) limit: usize,
}

/// What keeping a reply takes, in bytes: an empty one is not free.
pub(in crate::sdk) fn cost(reply: &Reply) -> usize {
    reply.body.wire().len() + reply.properties.len() + size_of::<Reply>()
}

fn join(gathered: Vec<Message>, last: Message) -> Message {
    if gathered.is_empty() {
        return last;
    }
    let mut builder = Builder::default();
    for message in gathered.iter().chain([&last]) {
        builder.parts(message);
    }
    builder.finish()
}

/// What a stream may have unread besides two large messages.
const AHEAD: usize = 4 << 20;
