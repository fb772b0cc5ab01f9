//! Messages on their way out: from the program to the stream, at once or at the end of the turn.

use std::collections::VecDeque;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;

use super::State;
use crate::pattern::{Dropped, Refusal, Way};
use crate::socket::error::SendError;
use crate::socket::inproc::Item;
use crate::socket::monitor::Reason;
use crate::socket::pipe::{Link, Pipe, Stream};
use crate::socket::ready::Side;
use crate::wire::{Message, Piece};

impl State {
    pub(super) fn send(&mut self, message: Message) -> Result<(), SendError> {
        if self.ready.any() {
            self.attend_all();
            if !self.unattended && !self.turns.is_empty() && !self.ready.receiving() {
                // Who only sends does not see what comes: PINGs, and the end of a stream.
                self.unattended = true;
                self.ready.wake_driver();
            }
        }
        self.forget_stale();
        let Self {
            pattern,
            pipes,
            options,
            ..
        } = self;
        let full = |slot| {
            pipes
                .get(slot)
                .is_none_or(|pipe: &Pipe| pipe.is_full(options))
        };
        match pattern.send(message, full) {
            Way::To { peer, head, body } => self.push(peer, head.as_ref(), &body),
            Way::Each(message) => {
                for place in 0.. {
                    let Some(&slot) = self.pattern.targets().get(place) else {
                        break;
                    };
                    let full = self
                        .pipes
                        .get(slot)
                        .is_none_or(|pipe| pipe.is_full(&self.options));
                    if full && !self.write_to_make_room(slot) {
                        self.counters.dropped_full += 1;
                    } else {
                        self.push(slot, None, &message);
                    }
                }
            }
            Way::Subscription { on, topic, tell } => {
                if tell {
                    self.tell_all(on, &topic);
                }
            }
            Way::Wait(message) => {
                let before = self.changes;
                self.write_dirty();
                if self.changes != before {
                    return self.send(message);
                }
                return Err(SendError::Full(message));
            }
            Way::Dropped(Dropped::Full) => self.counters.dropped_full += 1,
            Way::Dropped(Dropped::Unroutable | Dropped::Gone) => {
                self.counters.dropped_unroutable += 1;
            }
            Way::Refused(message, Refusal::Unroutable) => {
                return Err(SendError::Unroutable(message));
            }
            Way::Refused(message, reason) => return Err(SendError::Refused { message, reason }),
        }
        Ok(())
    }

    /// Gives a message to a pipe that has room for it.
    pub(super) fn push(&mut self, slot: u32, head: Option<&Message>, body: &Message) {
        self.counters.sent += 1;
        let Some(pipe) = self.pipes.get_mut(slot) else {
            return;
        };
        let most = self.options.send_messages;
        let mut write = false;
        match &mut pipe.link {
            Some(Link::Stream(stream))
                if pipe.open
                    && pipe.queue.is_empty()
                    && stream.session.waiting() < WINDOW
                    && (most == 0 || pipe.in_outbox < most) =>
            {
                let waiting = stream.session.waiting();
                let sent = match head {
                    Some(head) => stream
                        .session
                        .send(self.now, &[Piece::Parts(head), Piece::Parts(body)]),
                    None => stream.session.send(self.now, &[Piece::Parts(body)]),
                };
                debug_assert!(sent.is_ok(), "an open session without bounds takes all");
                pipe.in_outbox += 1;
                if waiting == 0 {
                    self.now = self.clock.now();
                    write = self.wrote_at + BURST <= self.now;
                    if !write {
                        self.touch(slot);
                    }
                } else {
                    write = !pipe.blocked && stream.session.waiting() >= WINDOW;
                }
            }
            Some(Link::Inproc(end)) if pipe.open => {
                end.push(Item::Message(joined(head, body)));
            }
            _ => {
                if self.options.conflate {
                    self.counters.dropped_full += pipe.queue.len() as u64;
                    while pipe.unqueue().is_some() {}
                }
                pipe.queue(joined(head, body));
            }
        }
        if write {
            self.flush(slot);
        }
        let Some(pipe) = self.pipes.get(slot) else {
            return;
        };
        if pipe.is_full(&self.options) && !self.write_to_make_room(slot) {
            self.fill(slot);
        }
    }

    /// Writes to a pipe that is full, unless its stream takes nothing; true if it has room now.
    pub(super) fn write_to_make_room(&mut self, slot: u32) -> bool {
        match self.pipes.get(slot) {
            Some(pipe) if pipe.open && !pipe.blocked => self.flush(slot),
            _ => return false,
        }
        self.pipes
            .get(slot)
            .is_some_and(|pipe| !pipe.is_full(&self.options))
    }

    pub(super) fn fill(&mut self, slot: u32) {
        if let Some(pipe) = self.pipes.get_mut(slot) {
            pipe.full = true;
            self.pattern.full(slot);
        }
    }

    pub(super) fn make_room(&mut self, slot: u32) {
        if let Some(pipe) = self.pipes.get_mut(slot) {
            pipe.full = false;
            self.changes += 1;
            if pipe.member {
                self.pattern.room(slot);
            }
            self.ready.wake_all(Side::Send);
        }
    }

    /// Something waits in a pipe's outbox that the end of the turn has to write.
    pub(super) fn touch(&mut self, slot: u32) {
        let Some(pipe) = self.pipes.get_mut(slot) else {
            return;
        };
        let waits =
            matches!(&pipe.link, Some(Link::Stream(stream)) if stream.session.waiting() > 0);
        if !waits || pipe.dirty || pipe.blocked {
            return;
        }
        pipe.dirty = true;
        if self.dirty.is_empty() {
            self.ready.wake_driver();
        }
        self.dirty.push(slot);
    }

    /// The end of the turn: writes all that was put off.
    pub(in crate::socket) fn write_dirty(&mut self) {
        if self.dirty.is_empty() {
            return;
        }
        let mut dirty = std::mem::take(&mut self.dirty);
        for slot in dirty.drain(..) {
            if self.pipes.get(slot).is_some_and(|pipe| pipe.dirty) {
                self.flush(slot);
            }
        }
        if self.dirty.is_empty() {
            self.dirty = dirty;
        }
    }

    /// Writes what waits for a pipe, as far as its stream takes it.
    pub(super) fn flush(&mut self, slot: u32) {
        loop {
            let Some(pipe) = self.pipes.get_mut(slot) else {
                return;
            };
            pipe.dirty = false;
            let Some(Link::Stream(stream)) = &mut pipe.link else {
                break;
            };
            let Stream {
                session, writer, ..
            } = &mut **stream;
            self.wrote_at = self.now;
            let flushed = match &self.options.tap {
                None => writer.flush(self.now, session),
                Some(tap) => writer.flush_seen(self.now, session, |bytes| {
                    tap.bytes(pipe.connection, false, bytes);
                }),
            };
            match flushed {
                Ok(true) => {
                    pipe.blocked = false;
                    pipe.in_outbox = 0;
                    if !pipe.open || !self.refill(slot) {
                        break;
                    }
                }
                Ok(false) => {
                    let mut cx = Context::from_waker(&pipe.waker);
                    match writer.poll_ready(&mut cx) {
                        Poll::Pending => {
                            pipe.blocked = true;
                            break;
                        }
                        Poll::Ready(Ok(())) => {}
                        Poll::Ready(Err(error)) => return self.broke(slot, &error),
                    }
                }
                Err(error) => return self.broke(slot, &error),
            }
        }
        if let Some(pipe) = self.pipes.get(slot)
            && pipe.full
            && pipe.has_room(&self.options)
        {
            self.make_room(slot);
        }
    }

    /// A stream takes nothing more. What the peer had sent before its end is still there, though
    /// perhaps the runtime has not heard of it: the reader finds the end, behind all of it.
    fn broke(&mut self, slot: u32, error: &std::io::Error) {
        let Some(pipe) = self.pipes.get_mut(slot) else {
            return;
        };
        if !pipe.open {
            return self.lose(slot, Reason::Io(error.to_string()));
        }
        pipe.blocked = true;
        let until = *pipe.broken.get_or_insert(self.now + LAST_WORDS);
        if pipe.member && !pipe.full {
            self.fill(slot);
        }
        self.read_ahead(slot);
        let Some(pipe) = self.pipes.get(slot) else {
            return;
        };
        if pipe.link.is_none() || pipe.held {
            return;
        }
        if until <= self.now {
            self.lose(slot, Reason::Io(error.to_string()));
        } else if self.wake_at.is_none_or(|at| until < at) {
            self.wake_at = Some(until);
            self.ready.wake_driver();
        }
    }

    /// Moves queued messages to where they are written from; true if there were any.
    pub(super) fn refill(&mut self, slot: u32) -> bool {
        let Some(pipe) = self.pipes.get_mut(slot) else {
            return false;
        };
        let mut moved = false;
        while let Some(link) = &mut pipe.link {
            let room = match link {
                Link::Stream(stream) => stream.session.waiting() < WINDOW,
                Link::Inproc(end) => !end.is_full(),
            };
            let Some(message) = room.then(|| pipe.queue.pop_front()).flatten() else {
                break;
            };
            pipe.queue_bytes -= message.wire().len();
            match link {
                Link::Stream(stream) => {
                    let sent = stream.session.send(self.now, &[Piece::Parts(&message)]);
                    debug_assert!(sent.is_ok(), "an open session without bounds takes all");
                    pipe.in_outbox += 1;
                    moved = true;
                }
                Link::Inproc(end) => end.push(Item::Message(message)),
            }
        }
        if pipe.queue.is_empty() {
            pipe.queue = VecDeque::new();
        }
        moved
    }

    /// Tells every publisher that a topic is wanted, or no more.
    pub(in crate::socket) fn tell_all(&mut self, on: bool, topic: &Bytes) {
        let slots: Vec<u32> = self.pipes.iter().map(|(slot, _)| slot).collect();
        for slot in slots {
            self.tell(slot, on, topic);
        }
    }

    pub(super) fn tell(&mut self, slot: u32, on: bool, topic: &Bytes) {
        let Some(pipe) = self.pipes.get_mut(slot).filter(|pipe| pipe.open) else {
            return;
        };
        match &mut pipe.link {
            Some(Link::Stream(stream)) => {
                // Only an open session is told, and that cannot fail.
                let _ = stream.session.subscribe(self.now, on, topic);
                self.touch(slot);
            }
            Some(Link::Inproc(end)) => end.push(Item::Subscription {
                on,
                topic: topic.clone(),
            }),
            None => {}
        }
    }
}

fn joined(head: Option<&Message>, body: &Message) -> Message {
    let Some(head) = head else {
        return body.clone();
    };
    let parts: Vec<&[u8]> = head.parts().collect();
    parts
        .into_iter()
        .rev()
        .fold(body.clone(), |message, part| message.behind(part))
}

/// Bytes that stand encoded for one peer; what is beyond waits as messages, which peers share.
const WINDOW: usize = 64 << 10;
/// A message that follows the socket's last write more closely than this waits for the end of the
/// turn: more may follow, to the same peer or to others.
const BURST: Duration = Duration::from_micros(50);
/// How long the end of a stream that takes nothing more may take to be read. One that only stops
/// reading does not keep its place by that.
const LAST_WORDS: Duration = Duration::from_secs(1);
