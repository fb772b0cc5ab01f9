//! Peers that go, and what they leave behind.

use std::collections::VecDeque;
use std::sync::Weak;
use std::time::Duration;

use super::{Received, State};
use crate::pattern::{In, Taken, row};
use crate::security;
use crate::session;
use crate::socket::driver::LOST;
use crate::socket::inproc::{self, Item};
use crate::socket::monitor::{Event, Reason};
use crate::socket::pipe::{Link, Origin};
use crate::socket::ready::Side;
use crate::time::earliest;
use crate::wire::{Endpoint, Message, SocketType};

impl State {
    /// A stream has ended. Its last messages stay with it as long as too many of other peers that
    /// are gone wait already: so they are bounded, and none is lost.
    pub(super) fn end(&mut self, slot: u32, reason: Reason) {
        let crowded = self.is_left_over(1) && row(self.kind).1 != In::Request;
        if let Some(pipe) = self.pipes.get_mut(slot)
            && crowded
            && !pipe.inbox.is_empty()
        {
            pipe.ended = Some(reason);
            return;
        }
        self.lose(slot, reason);
    }

    /// Whether the dead have left so many times what one peer may send ahead.
    fn is_left_over(&self, times: usize) -> bool {
        let most = self.options.receive_messages.saturating_mul(times);
        let bytes = self.options.receive_bytes.saturating_mul(times);
        most > 0 && self.leftover.len() >= most || self.leftover_bytes >= bytes
    }

    /// The next message of a peer that is gone.
    pub(super) fn left_over(&mut self) -> Option<Received> {
        let received = self.leftover.pop_front()?;
        self.leftover_bytes -= received.body.wire().len();
        if self.leftover.is_empty() {
            self.leftover = VecDeque::new();
        }
        Some(received)
    }

    /// A link is over: what is left is saved or dropped, and the pipe goes or waits for another.
    pub(super) fn lose(&mut self, slot: u32, reason: Reason) {
        let Some(pipe) = self.pipes.get_mut(slot) else {
            return;
        };
        let Some(link) = pipe.link.take() else {
            return;
        };
        self.changes += 1;
        let (was_open, was_member) = (pipe.open, pipe.member);
        let (connection, endpoint) = (pipe.connection, pipe.endpoint.clone());
        let connected = pipe.is_connected();
        match link {
            Link::Stream(mut stream) => {
                // Possibly an ERROR for the peer, as far as it goes without waiting.
                let _ = stream.writer.flush(self.now, &mut stream.session);
                self.counters.commands_ignored += stream.session.ignored();
                self.counters.dropped_lost +=
                    pipe.in_outbox as u64 * u64::from(was_open && stream.session.waiting() > 0);
                if !matches!(reason, Reason::Closed | Reason::Io(_)) {
                    drop(stream.writer);
                    self.parting.push(stream.reader);
                    self.ready.wake_driver();
                }
            }
            // What the peer has put in is ours already.
            Link::Inproc(end) => {
                while let Ok(Some(item)) = end.pull() {
                    if let Item::Message(message) = item {
                        pipe.keep(message);
                    }
                }
            }
        }
        if let Some(asking) = pipe.asking.take() {
            asking.abort();
        }
        pipe.user = None;
        pipe.open = false;
        pipe.member = false;
        (pipe.in_outbox, pipe.blocked, pipe.dirty) = (0, false, false);
        (pipe.ended, pipe.broken) = (None, None);
        pipe.rest = Vec::new();
        (pipe.at, pipe.end) = (0, 0);
        let inbox: Vec<Message> = std::iter::from_fn(|| pipe.kept()).collect();
        let leaving = pipe.leaving.is_some();
        self.turns.remove(slot);
        for body in inbox {
            self.leave_over(slot, body);
        }
        if was_open {
            self.counters.peers -= 1;
            if let Some(body) = self.options.disconnect.clone() {
                self.leave_over(slot, body);
            }
        }
        let reason_told = reason.clone();
        let event = if was_open {
            Event::Disconnected {
                connection,
                endpoint,
                reason: reason_told,
            }
        } else {
            self.counters.handshakes_failed += 1;
            Event::HandshakeFailed {
                connection,
                endpoint,
                reason: reason_told,
            }
        };
        self.report(&event);
        if was_open || !connected {
            let hiccup = (was_open && connected && !leaving)
                .then(|| self.options.hiccup.clone())
                .flatten();
            if let Some(body) = hiccup {
                self.leave_over(slot, body);
            }
            if was_member {
                self.pattern.leave(slot);
            }
        }
        if connected && !leaving && self.closing.as_ref().is_none_or(|closing| !closing.over) {
            self.wait_for_link(slot, was_open, was_member, &reason);
        } else {
            self.remove(slot);
        }
        // REQ has to hear that its answer will not come, XPUB of the end of subscriptions.
        self.ready.wake_receiver();
        if was_member {
            self.ready.wake_all(Side::Send);
        }
    }

    /// A connected pipe has lost its link; another one will come.
    pub(super) fn wait_for_link(
        &mut self,
        slot: u32,
        was_open: bool,
        was_member: bool,
        reason: &Reason,
    ) {
        let early = self.joins_early();
        let asks = self.kind == SocketType::Req;
        let Some(pipe) = self.pipes.get_mut(slot) else {
            return;
        };
        if was_open && (!early || asks) {
            // A request is lost with the peer that had it; others wait for connected peers only.
            self.counters.dropped_lost += pipe.queue.len() as u64;
            while pipe.unqueue().is_some() {}
            pipe.full = false;
        }
        if !was_open {
            pipe.member = was_member;
        }
        if let Origin::Connected {
            lost,
            refused,
            opened,
            ..
        } = &mut pipe.origin
        {
            (*refused, *opened) = (is_refusal(reason), was_open);
            lost.notify_one();
        }
        if matches!(pipe.endpoint, Endpoint::Inproc { .. }) {
            let Some(reconnect) = self.options.reconnect else {
                return self.give_up(slot, LOST);
            };
            // Not at once: who has cut us would only have to do so again and again.
            let wait = reconnect.first.max(SHORTEST);
            self.astray.push((slot, self.clock.now() + wait));
            self.ready.wake_driver();
        }
        if was_open && early {
            self.join_early(slot);
        }
    }

    /// Keeps a message of a peer that is gone, as if it had been received in time.
    pub(super) fn leave_over(&mut self, slot: u32, body: Message) {
        if self.is_left_over(4) || row(self.kind).1 == In::Request {
            self.counters.dropped_lost += 1;
            return;
        }
        match self.pattern.hear(slot, body) {
            Taken::Message { from, body } => {
                self.leftover_bytes += body.wire().len();
                self.leftover.push_back(Received { from, body });
            }
            Taken::Subscription => {}
            Taken::Ignored(_) | Taken::Close(_) => self.counters.ignored += 1,
        }
    }

    pub(super) fn remove(&mut self, slot: u32) {
        let Some(pipe) = self.pipes.remove(slot) else {
            return;
        };
        if let Endpoint::Inproc { name } = &pipe.endpoint {
            inproc::forget(name, &(Weak::clone(&self.hub), slot));
        }
        self.turns.remove(slot);
        self.counters.dropped_lost += pipe.queue.len() as u64;
        if pipe.member {
            self.pattern.leave(slot);
        }
        match pipe.origin {
            Origin::Connected { task, .. } => {
                if let Some(task) = task {
                    task.abort();
                }
            }
            Origin::Accepted { address, ticket } => {
                self.accepted -= 1;
                if let Some(ticket) = ticket {
                    self.pending.remove(ticket);
                }
                if let Some(address) = address
                    && let Some(count) = self.addresses.get_mut(&address)
                {
                    *count -= 1;
                    if *count == 0 {
                        self.addresses.remove(&address);
                    }
                }
            }
        }
    }

    /// A connected endpoint is given up: the options say so. What waits for it goes with it.
    pub(in crate::socket) fn give_up(&mut self, slot: u32, reason: &str) {
        if let Some(pipe) = self.pipes.get(slot)
            && pipe.link.is_none()
        {
            let endpoint = pipe.endpoint.clone();
            self.remove(slot);
            self.report(&Event::GivenUp {
                endpoint,
                reason: reason.to_owned(),
            });
            // REQ has to hear that its answer will not come.
            self.ready.wake_receiver();
            self.ready.wake_all(Side::Send);
        }
    }

    /// The program gives a connected endpoint up. What waits for it may still be written.
    pub(in crate::socket) fn disconnect(&mut self, endpoint: &Endpoint) -> bool {
        let found = self
            .pipes
            .iter()
            .find(|(_, pipe)| {
                pipe.is_connected() && pipe.leaving.is_none() && pipe.endpoint == *endpoint
            })
            .map(|(slot, _)| slot);
        let Some(slot) = found else {
            return false;
        };
        self.now = self.clock.now();
        let linger = self.options.linger.unwrap_or(Duration::MAX);
        if let Some(pipe) = self.pipes.get_mut(slot) {
            pipe.leaving = Some(self.now + linger);
            if std::mem::take(&mut pipe.member) {
                self.pattern.leave(slot);
            }
            self.turns.remove(slot);
        }
        self.flush(slot);
        self.part_from(slot);
        self.ready.wake_driver();
        true
    }

    /// Ends a pipe on its way out once nothing waits for it, or its time is over.
    pub(super) fn part_from(&mut self, slot: u32) {
        let Some(pipe) = self.pipes.get(slot) else {
            return;
        };
        let Some(until) = pipe.leaving else {
            return;
        };
        if pipe.unsent() > 0 && until > self.now {
            self.wake_at = earliest(self.wake_at, Some(until.min(self.now + LEAVING)));
            return;
        }
        if pipe.link.is_some() {
            self.lose(slot, Reason::Local);
        } else {
            self.remove(slot);
        }
    }
}

/// Whether the peer has said that it does not want us, or is none for us: asking again soon would
/// only disturb it.
fn is_refusal(reason: &Reason) -> bool {
    matches!(
        reason,
        Reason::Session(
            session::Error::Refused { .. }
                | session::Error::Security(security::Error::Refused { .. })
                | session::Error::Incompatible { .. }
        )
    )
}

/// Before a lost inproc pipe is connected again, at least.
const SHORTEST: Duration = Duration::from_millis(1);
/// How often it looks at a pipe that is on its way out.
const LEAVING: Duration = Duration::from_millis(20);
