//! Pipes within the process.

use std::sync::Arc;

use super::{Hub, State};
use crate::session;
use crate::socket::inproc::{self, End};
use crate::socket::monitor::{Event, Reason};
use crate::socket::pipe::{Link, Origin, Pipe};
use crate::socket::ready::Bell;
use crate::wire::{Endpoint, Metadata};

impl State {
    /// The other end of an inproc pipe. `slot` is that of a connected pipe, or none if the other
    /// side connects. False if the pipe is gone.
    pub(super) fn attach_inproc(&mut self, slot: u32, end: End) -> bool {
        let connection = self.number();
        let Some(pipe) = self.pipes.get_mut(slot) else {
            return false;
        };
        pipe.connection = connection;
        let endpoint = pipe.endpoint.clone();
        let peer = end.peer.clone();
        if !self.kind.talks_to(peer.kind) {
            self.counters.handshakes_failed += 1;
            self.report(&Event::HandshakeFailed {
                connection,
                endpoint,
                reason: Reason::Session(session::Error::Incompatible {
                    ours: self.kind,
                    theirs: peer.kind,
                }),
            });
            if !self.pipes.get(slot).is_some_and(Pipe::is_connected) {
                self.remove(slot);
            }
            return true;
        }
        if let Some(pipe) = self.pipes.get_mut(slot) {
            pipe.link = Some(Link::Inproc(end));
        }
        self.report(&if self.pipes.get(slot).is_some_and(Pipe::is_connected) {
            Event::Connected {
                connection,
                endpoint,
            }
        } else {
            Event::Accepted {
                connection,
                endpoint,
                address: "inproc".to_owned(),
            }
        });
        self.opened(slot, &peer);
        self.attend(slot);
        if self.closing.is_some() {
            // What was waited for has just left.
            self.ready.wake_driver();
        }
        true
    }

    /// A pipe for a socket that connects to an inproc name of ours.
    pub(super) fn add_inproc(&mut self, endpoint: Endpoint) -> (u32, Arc<Bell>) {
        self.accepted += 1;
        let slot = self.add(
            endpoint,
            Origin::Accepted {
                address: None,
                ticket: None,
            },
        );
        let bell = self.pipes.get(slot).map(|pipe| Arc::clone(&pipe.bell));
        (slot, bell.unwrap_or_else(|| Bell::new(&self.ready, slot)))
    }

    /// What the other side of an inproc pipe has to know of this one.
    pub(super) fn inproc_side(&self) -> (Metadata, [usize; 4], bool) {
        let options = &self.options;
        let room = [
            options.send_messages,
            options.receive_messages,
            options.send_bytes,
            options.receive_bytes,
        ];
        (options.says(self.kind), room, options.conflate)
    }
}

/// Connects a pipe of `hub` to whoever is bound to an inproc name, or has it wait for that.
pub(in crate::socket) fn connect_inproc(hub: &Arc<Hub>, slot: u32, name: &str) {
    let who = (Arc::downgrade(hub), slot);
    if let Some(bound) = inproc::find(name, &who) {
        join_inproc(hub, slot, &bound, name);
    }
}

/// Makes the pipe between a socket that connects and one that is bound.
pub(in crate::socket) fn join_inproc(hub: &Arc<Hub>, slot: u32, bound: &Arc<Hub>, name: &str) {
    let endpoint = Endpoint::Inproc {
        name: name.to_owned(),
    };
    // One lock at a time: a socket may connect to itself.
    let (own_bell, own) = {
        let state = hub.lock();
        let Some(pipe) = state.pipes.get(slot) else {
            return;
        };
        (Arc::clone(&pipe.bell), state.inproc_side())
    };
    let (other_slot, other_bell, other) = {
        let mut state = bound.lock();
        let (other_slot, bell) = state.add_inproc(endpoint);
        (other_slot, bell, state.inproc_side())
    };
    let room = |from: &[usize; 4], to: &[usize; 4], conflate| inproc::Room {
        messages: match (from[0], to[1]) {
            (0, _) | (_, 0) => 0,
            (send, receive) => send.saturating_add(receive),
        },
        bytes: from[2].saturating_add(to[3]),
        conflate,
    };
    let conflate = own.2 || other.2;
    let to_own = room(&other.1, &own.1, conflate);
    let to_other = room(&own.1, &other.1, conflate);
    let (end, other_end) = inproc::pair((own_bell, own.0, to_own), (other_bell, other.0, to_other));
    bound.lock().attach_inproc(other_slot, other_end);
    hub.lock().attach_inproc(slot, end);
}
