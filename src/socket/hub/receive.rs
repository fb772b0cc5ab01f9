//! Messages on their way in: from the stream to the program, in one call if it waits for them.

use std::task::{Context, Poll};

use tokio::io::ReadBuf;

use super::{Next, Received, State};
use crate::pattern::{In, Taken, row};
use crate::session::Heard;
use crate::socket::error::RecvError;
use crate::socket::inproc::{self, Item};
use crate::socket::monitor::Reason;
use crate::socket::pipe::Link;
use crate::wire::SocketType;

impl State {
    /// The next message for the program.
    pub(super) fn receive(&mut self) -> Result<Option<Received>, RecvError> {
        if self.ready.any() {
            self.attend_all();
        }
        if let Some(received) = self.left_over() {
            return Ok(Some(self.give(received)));
        }
        self.pattern.may_receive()?;
        if let Some(body) = self.pattern.notice() {
            return Ok(Some(self.give(Received { from: None, body })));
        }
        for _ in 0..PATIENCE {
            let Some(slot) = self.turns.front() else {
                return Ok(None);
            };
            match self.next(slot) {
                Next::Nothing => {
                    self.turns.remove(slot);
                    // What happened to the pipe may have left something.
                    if let Some(received) = self.left_over() {
                        return Ok(Some(self.give(received)));
                    }
                    self.pattern.may_receive()?;
                }
                Next::Subscription => {
                    self.turns.pass();
                    if let Some(body) = self.pattern.notice() {
                        return Ok(Some(self.give(Received { from: None, body })));
                    }
                }
                Next::Message(message) => {
                    self.turns.pass();
                    match self.pattern.hear(slot, message) {
                        Taken::Message { from, body } => {
                            return Ok(Some(self.give(Received { from, body })));
                        }
                        Taken::Subscription => {}
                        Taken::Ignored(_) => self.counters.ignored += 1,
                        Taken::Close(_) => {
                            self.lose(slot, Reason::NoReply);
                            // It may have been the one that was asked.
                            self.pattern.may_receive()?;
                        }
                    }
                }
            }
        }
        Ok(None)
    }

    /// REQ is about to ask: what peers have said before that is no answer.
    pub(super) fn forget_stale(&mut self) {
        if self.kind != SocketType::Req || !self.pattern.begin_to_ask() {
            return;
        }
        for _ in 0..STALE {
            let Some(slot) = self.turns.front() else {
                return;
            };
            match self.next(slot) {
                Next::Nothing => {
                    self.turns.remove(slot);
                }
                Next::Subscription => {}
                Next::Message(message) => {
                    self.turns.pass();
                    self.counters.ignored += 1;
                    if let Taken::Close(_) = self.pattern.hear(slot, message) {
                        self.lose(slot, Reason::NoReply);
                    }
                }
            }
        }
    }

    pub(super) fn give(&mut self, received: Received) -> Received {
        self.counters.received += 1;
        self.taken = self.taken.wrapping_add(1);
        if !self.turns.is_empty() && !self.unattended {
            self.unattended = true;
            self.ready.wake_driver();
        }
        received
    }

    /// The next message of one pipe.
    pub(super) fn next(&mut self, slot: u32) -> Next {
        if let Some(pipe) = self.pipes.get_mut(slot)
            && let Some(message) = pipe.kept()
        {
            return Next::Message(message);
        }
        self.wire(slot)
    }

    /// The next message that a pipe's stream brings, decoded from what was read, else read now.
    pub(super) fn wire(&mut self, slot: u32) -> Next {
        loop {
            let Some(pipe) = self.pipes.get_mut(slot) else {
                return Next::Nothing;
            };
            if let Some(reason) = &pipe.ended {
                if pipe.inbox.is_empty() {
                    let reason = reason.clone();
                    self.lose(slot, reason);
                }
                return Next::Nothing;
            }
            let heard = match &mut pipe.link {
                None => return Next::Nothing,
                Some(Link::Inproc(end)) => match end.pull() {
                    Ok(None) => return Next::Nothing,
                    Ok(Some(Item::Message(message))) => return Next::Message(message),
                    Ok(Some(Item::Subscription { on, topic })) => {
                        Ok(Some(Heard::Subscription { on, topic }))
                    }
                    Err(inproc::Closed) => {
                        self.lose(slot, Reason::Closed);
                        return Next::Nothing;
                    }
                },
                Some(Link::Stream(stream)) if pipe.at < pipe.end => {
                    let mut input = pipe.rest.get(pipe.at..pipe.end).unwrap_or_default();
                    let heard = stream.session.receive(self.now, &mut input);
                    pipe.at = pipe.end - input.len();
                    heard
                }
                Some(Link::Stream(stream)) => {
                    if pipe.rest.capacity() > 0 {
                        let rest = std::mem::take(&mut pipe.rest);
                        if rest.len() == READ && self.spare.len() < SPARE {
                            self.spare.push(rest);
                        }
                        (pipe.at, pipe.end) = (0, 0);
                    }
                    if std::mem::take(&mut pipe.held) {
                        stream.session.reading(self.clock.now(), true);
                    }
                    let large = match self.options.tap {
                        None => stream.session.large(),
                        Some(_) => None,
                    };
                    if let Some(mut buf) = large {
                        let mut cx = Context::from_waker(&pipe.waker);
                        let heard = match stream.reader.poll_read_buf(&mut cx, &mut buf) {
                            Poll::Pending => return Next::Nothing,
                            Poll::Ready(Ok(read)) if read > 0 => {
                                self.now = self.clock.now();
                                pipe.large = true;
                                Ok(stream.session.read_large(self.now, read))
                            }
                            Poll::Ready(Ok(_)) => Err(Reason::Closed),
                            Poll::Ready(Err(error)) => Err(Reason::Io(error.to_string())),
                        };
                        match heard {
                            Ok(heard) => heard,
                            Err(reason) => {
                                self.lose(slot, reason);
                                return Next::Nothing;
                            }
                        }
                    } else {
                        if self.scratch.is_empty() {
                            self.scratch = self.spare.pop().unwrap_or_else(|| vec![0; READ]);
                        }
                        // Behind a large message the next one's header, and little that is copied.
                        let room = if std::mem::take(&mut pipe.large) {
                            self.scratch.get_mut(..HEADERS).unwrap_or_default()
                        } else {
                            &mut self.scratch[..]
                        };
                        let mut buf = ReadBuf::new(room);
                        let mut cx = Context::from_waker(&pipe.waker);
                        let filled = match stream.reader.poll_read(&mut cx, &mut buf) {
                            Poll::Pending => {
                                // What has come may have led to an answer: READY, PONG.
                                self.touch(slot);
                                return Next::Nothing;
                            }
                            Poll::Ready(Ok(())) => buf.filled().len(),
                            Poll::Ready(Err(error)) => {
                                self.end(slot, Reason::Io(error.to_string()));
                                return Next::Nothing;
                            }
                        };
                        if filled == 0 {
                            self.end(slot, Reason::Closed);
                            return Next::Nothing;
                        }
                        self.now = self.clock.now();
                        let mut input = self.scratch.get(..filled).unwrap_or_default();
                        if let Some(tap) = &self.options.tap {
                            tap.bytes(pipe.connection, true, input);
                        }
                        let heard = stream.session.receive(self.now, &mut input);
                        let left = input.len();
                        if left > SMALL_REST {
                            pipe.rest = std::mem::take(&mut self.scratch);
                            (pipe.at, pipe.end) = (filled - left, filled);
                        } else if left > 0 {
                            pipe.rest = input.to_vec();
                            (pipe.at, pipe.end) = (0, left);
                        }
                        heard
                    }
                }
            };
            match heard {
                Ok(None) => {}
                Ok(Some(Heard::Message(message))) => return Next::Message(message),
                Ok(Some(Heard::Open(peer))) => {
                    // Of PLAIN, which has more to say between the verdict and the end.
                    if let Some(pipe) = self.pipes.get_mut(slot) {
                        pipe.user = peer.user;
                    }
                    self.opened(slot, &peer.metadata);
                }
                Ok(Some(Heard::Asks(credentials))) => {
                    self.touch(slot);
                    self.ask(slot, credentials);
                }
                Ok(Some(Heard::Subscription { on, topic })) => {
                    self.counters.ignored += u64::from(
                        self.pattern.subscription(slot, on, &topic) != Taken::Subscription,
                    );
                    if self.pattern.notices() > 0 {
                        self.ready.wake_receiver();
                    }
                    return Next::Subscription;
                }
                Ok(Some(Heard::Sign)) => self.soon(slot),
                Err(error) => {
                    self.lose(slot, Reason::Session(error));
                    return Next::Nothing;
                }
            }
        }
    }

    /// Serves every pipe that has rung its bell.
    pub(in crate::socket) fn attend_all(&mut self) {
        let mut ring = std::mem::take(&mut self.ring);
        self.ready.take(&mut ring);
        for slot in ring.drain(..) {
            if let Some(pipe) = self.pipes.get(slot) {
                pipe.bell.heard();
                self.attend(slot);
            }
        }
        self.ring = ring;
    }

    pub(super) fn attend(&mut self, slot: u32) {
        let Some(pipe) = self.pipes.get_mut(slot) else {
            return;
        };
        if pipe.blocked {
            self.flush(slot);
        } else if pipe.full && pipe.has_room(&self.options) {
            self.make_room(slot);
        }
        let Some(pipe) = self.pipes.get(slot) else {
            return;
        };
        if pipe.leaving.is_some() {
            self.drop_input(slot);
        } else if self.is_eager() || !pipe.open {
            self.read_ahead(slot);
        } else if pipe.link.is_some() {
            self.turns.add(slot);
            self.ready.wake_receiver();
        }
    }

    /// Whether what comes is looked at whether the program asks for it or not.
    pub(super) fn is_eager(&self) -> bool {
        self.options.conflate
            || matches!(
                row(self.kind).1,
                In::Nothing | In::Quiet | In::Subscriptions
            )
    }

    /// Reads what there is, as far ahead of the program as may be.
    pub(super) fn read_ahead(&mut self, slot: u32) {
        for _ in 0..AHEAD {
            let Some(pipe) = self.pipes.get_mut(slot) else {
                return;
            };
            if pipe.is_ahead(&self.options) || pipe.open && self.pattern.notices() > NOTICES {
                // The stream is not read, so its silence is our own doing.
                if let Some(Link::Stream(stream)) = &mut pipe.link {
                    pipe.held = true;
                    stream.session.reading(self.now, false);
                }
                self.turns.add(slot);
                return;
            }
            let was_open = pipe.open;
            let next = self.wire(slot);
            if matches!(next, Next::Subscription) {
                continue;
            }
            let Next::Message(message) = next else {
                // A handshake may have just ended, and there may be more.
                let opened = !was_open && self.pipes.get(slot).is_some_and(|pipe| pipe.open);
                if opened && !self.is_eager() {
                    self.turns.add(slot);
                    self.ready.wake_receiver();
                }
                return;
            };
            let for_program = match row(self.kind).1 {
                In::Nothing | In::Quiet | In::Subscriptions => {
                    match self.pattern.hear(slot, message) {
                        Taken::Message { body, .. } => Some(body),
                        Taken::Subscription => {
                            if self.pattern.notices() > 0 {
                                self.ready.wake_receiver();
                            }
                            None
                        }
                        Taken::Ignored(_) => {
                            self.counters.ignored += 1;
                            None
                        }
                        Taken::Close(_) => {
                            self.lose(slot, Reason::NoReply);
                            return;
                        }
                    }
                }
                _ => Some(message),
            };
            if let Some(message) = for_program
                && let Some(pipe) = self.pipes.get_mut(slot)
            {
                if self.options.conflate {
                    self.counters.dropped_full += pipe.inbox.len() as u64;
                    while pipe.kept().is_some() {}
                }
                pipe.keep(message);
                self.turns.add(slot);
                self.ready.wake_receiver();
            }
        }
        // Others have waited; this one goes on after them.
        if let Some(pipe) = self.pipes.get(slot) {
            pipe.bell.ring();
        }
    }

    /// A pipe on its way out is read only so that the stream does not break.
    pub(super) fn drop_input(&mut self, slot: u32) {
        for _ in 0..AHEAD {
            if let Next::Nothing = self.wire(slot) {
                return;
            }
        }
        if let Some(pipe) = self.pipes.get(slot) {
            pipe.bell.ring();
        }
    }

    /// What the driver does for pipes that the program has left alone for a while: PINGs behind
    /// messages are answered, and the end of a stream is noticed.
    pub(in crate::socket) fn look_after(&mut self, taken: &mut u64) -> bool {
        self.unattended = false;
        if self.turns.is_empty() {
            return false;
        }
        if std::mem::replace(taken, self.taken) != self.taken || self.ready.receiving() {
            // The program is there.
            self.unattended = true;
            return true;
        }
        let slots: Vec<u32> = self.turns.iter().collect();
        for slot in slots {
            // Nothing but messages comes through the process, and they have their bound.
            let idle = self.pipes.get(slot).is_some_and(
                |pipe| matches!(&pipe.link, Some(Link::Inproc(end)) if !end.is_closed()),
            );
            if !idle {
                self.read_ahead(slot);
            }
        }
        false
    }

    /// Messages wait, and the program does not: somebody has to look after them.
    pub(in crate::socket) fn note_unattended(&mut self) {
        self.unattended |= !self.turns.is_empty() && !self.ready.receiving();
    }

    pub(in crate::socket) fn is_unattended(&self) -> bool {
        self.unattended
    }
}

/// Bytes of a read that looks for a header.
const HEADERS: usize = 4 << 10;
/// Bytes per read.
const READ: usize = 64 << 10;
/// What a read has left over is copied if it is no more than this; else its buffer is kept.
const SMALL_REST: usize = 8 << 10;
/// Buffers kept for the next reads.
const SPARE: usize = 4;
/// Messages that nobody wants, looked at in one go.
const PATIENCE: usize = 256;
/// Stale answers that are looked for before REQ asks. A peer that sends more of them is no better
/// than one that lies.
const STALE: usize = 16 << 10;
/// Messages read ahead of the program in one go.
const AHEAD: usize = 1024;
/// Subscriptions that XPUB's program has not heard of, beyond which no more are read.
const NOTICES: usize = 10_000;
