//! Peers that come: streams that are accepted or made, and their handshakes.

use std::net::IpAddr;
use std::sync::Arc;
use std::task::Waker;

use bytes::Bytes;
use tokio::sync::Notify;

use super::State;
use crate::net::{Address, ReadHalf, WriteHalf, entropy};
use crate::pattern::{In, Out, row};
use crate::security::Security;
use crate::session::Session;
use crate::socket::inproc::Item;
use crate::socket::monitor::{Event, Limit, Reason};
use crate::socket::pipe::{Link, Origin, Pipe, Stream};
use crate::socket::ready::{Bell, Side};
use crate::wire::{Endpoint, Message, Metadata, Piece, SocketType};

impl State {
    /// A pipe to an endpoint that this side connects to; there is no link yet. `name` is what a
    /// ROUTER wants to call the peer there; empty if the peer may say it. `None` if another one
    /// has that name.
    pub(in crate::socket) fn add_connected(
        &mut self,
        endpoint: Endpoint,
        name: Bytes,
    ) -> Option<(u32, Arc<Notify>)> {
        if !name.is_empty() && self.is_named(&name) {
            return None;
        }
        let lost = Arc::new(Notify::new());
        let origin = Origin::Connected {
            name,
            lost: Arc::clone(&lost),
            task: None,
            refused: false,
            opened: false,
        };
        let slot = self.add(endpoint, origin);
        if self.joins_early() {
            self.join_early(slot);
        }
        Some((slot, lost))
    }

    /// Whether a peer has that name, or will have it.
    fn is_named(&self, wanted: &[u8]) -> bool {
        let promised = |pipe: &Pipe| matches!(&pipe.origin, Origin::Connected { name, .. } if pipe.leaving.is_none() && name == wanted);
        self.pattern.knows(wanted) || self.pipes.iter().any(|(_, pipe)| promised(pipe))
    }

    pub(super) fn add(&mut self, endpoint: Endpoint, origin: Origin) -> u32 {
        let ready = Arc::clone(&self.ready);
        // The bell has to know the number, which the table gives.
        let placeholder = Pipe::new(&ready, u32::MAX, endpoint, origin);
        let slot = self.pipes.insert(placeholder);
        if self.pipes.len() == 1 {
            // The driver makes its rounds while there are any.
            self.ready.wake_driver();
        }
        if let Some(pipe) = self.pipes.get_mut(slot) {
            let bell = Bell::new(&ready, slot);
            pipe.waker = Waker::from(Arc::clone(&bell));
            pipe.bell = bell;
        }
        slot
    }

    /// Whether messages may wait for a peer that is not connected yet.
    pub(super) fn joins_early(&self) -> bool {
        !self.options.immediate && matches!(row(self.kind).0, Out::Balance | Out::Ask)
    }

    pub(super) fn join_early(&mut self, slot: u32) {
        let joined = self.pattern.join(slot, &Bytes::new(), None).is_ok();
        if let Some(pipe) = self.pipes.get_mut(slot)
            && joined
        {
            pipe.member = true;
            pipe.full = false;
            if pipe.is_full(&self.options) {
                self.fill(slot);
            } else {
                self.ready.wake_all(Side::Send);
            }
        }
    }

    /// A stream to the endpoint of a connected pipe. False if the pipe is gone.
    pub(in crate::socket) fn attach(
        &mut self,
        slot: u32,
        reader: ReadHalf,
        writer: WriteHalf,
    ) -> bool {
        let connection = self.number();
        let Some(pipe) = self.pipes.get_mut(slot) else {
            return false;
        };
        pipe.connection = connection;
        let endpoint = pipe.endpoint.clone();
        self.report(&Event::Connected {
            connection,
            endpoint,
        });
        self.start(slot, reader, writer);
        true
    }

    /// A stream that has come in at an endpoint.
    pub(in crate::socket) fn admit(
        &mut self,
        endpoint: Endpoint,
        reader: ReadHalf,
        writer: WriteHalf,
        address: Address,
    ) {
        let limits = &self.options.limits;
        let ip = match address {
            Address::Tcp(address) => Some(address.ip()),
            Address::Ipc => None,
        };
        let same = ip.and_then(|ip| self.addresses.get(&ip)).copied();
        let limit = if self.accepted >= limits.connections {
            Some(Limit::Connections)
        } else if limits
            .connections_per_address
            .is_some_and(|most| same.unwrap_or(0) >= most)
        {
            Some(Limit::Address)
        } else if self.is_flood(ip) {
            Some(Limit::Handshakes)
        } else {
            None
        };
        if let Some(limit) = limit {
            self.counters.rejected += 1;
            return self.report(&Event::Rejected {
                endpoint,
                address: address.to_string(),
                limit,
            });
        }
        let connection = self.number();
        self.report(&Event::Accepted {
            connection,
            endpoint: endpoint.clone(),
            address: address.to_string(),
        });
        let slot = self.add(
            endpoint,
            Origin::Accepted {
                address: ip,
                ticket: None,
            },
        );
        let (ticket, evicted) = self.pending.add(slot, ip);
        if let Some(pipe) = self.pipes.get_mut(slot) {
            pipe.connection = connection;
            pipe.origin = Origin::Accepted {
                address: ip,
                ticket: Some(ticket),
            };
        }
        self.accepted += 1;
        if let Some(ip) = ip {
            *self.addresses.entry(ip).or_default() += 1;
        }
        if let Some(evicted) = evicted {
            self.lose(evicted, Reason::Crowd);
        }
        self.start(slot, reader, writer);
    }

    /// Whether an address causes more handshakes than there is processor time for. Only CURVE's
    /// cost any before the peer has shown who it is.
    fn is_flood(&mut self, ip: Option<IpAddr>) -> bool {
        let costly = matches!(self.options.security, Security::CurveServer { .. });
        let now = self.clock.now();
        costly && ip.is_some_and(|ip| !self.allowance.take(now, ip))
    }

    pub(super) fn start(&mut self, slot: u32, reader: ReadHalf, writer: WriteHalf) {
        self.now = self.clock.now();
        let Ok(seed) = entropy() else {
            return;
        };
        let session = Session::new(self.now, Arc::clone(&self.session), seed);
        let Some(pipe) = self.pipes.get_mut(slot) else {
            return;
        };
        pipe.link = Some(Link::Stream(Box::new(Stream {
            session,
            reader,
            writer,
        })));
        (pipe.in_outbox, pipe.blocked, pipe.dirty) = (0, false, false);
        self.soon(slot);
        self.flush(slot);
        self.attend(slot);
    }

    /// A handshake is done.
    pub(super) fn opened(&mut self, slot: u32, peer: &Metadata) {
        let Some(pipe) = self.pipes.get_mut(slot) else {
            return;
        };
        if let Origin::Accepted { ticket, .. } = &mut pipe.origin
            && let Some(ticket) = ticket.take()
        {
            self.pending.remove(ticket);
        }
        let (early, leaving) = (pipe.member, pipe.leaving.is_some());
        let user = pipe.user.clone();
        let bearer = user.as_ref().map(|user| &user.name);
        let bearer = bearer.filter(|name| !name.is_empty());
        let mut name = match &pipe.origin {
            Origin::Connected { name, .. } if !name.is_empty() => name.clone(),
            _ => peer.identity.clone(),
        };
        if !early && !leaving {
            // What the old bearer of a name has sent still comes under it.
            let heir = self.pattern.displaces(slot, &name, bearer);
            if let Some(old) = heir {
                self.lose(old, Reason::HandedOver);
            }
            match self.pattern.join(slot, &name, bearer) {
                Ok(welcome) => {
                    if let Some(displaced) = welcome.displaced {
                        self.lose(displaced, Reason::HandedOver);
                    }
                    name = welcome.name.unwrap_or(name);
                }
                Err(unwelcome) => {
                    self.counters.rejected += 1;
                    return self.lose(slot, Reason::Unwelcome(unwelcome));
                }
            }
        }
        let Some(pipe) = self.pipes.get_mut(slot) else {
            return;
        };
        // Who is on the way out gets what waits, and nothing new.
        (pipe.open, pipe.member) = (true, !leaving);
        self.counters.peers += 1;
        let (connection, endpoint) = (pipe.connection, pipe.endpoint.clone());
        self.report(&Event::Opened {
            connection,
            endpoint,
            peer: peer.kind,
            identity: name,
            properties: peer.others.clone(),
            user,
        });
        self.soon(slot);
        if self.reviews() {
            self.review_soon();
        }
        if matches!(row(self.kind).0, Out::Upstream) || matches!(row(self.kind).1, In::Filter) {
            let topics: Vec<Bytes> = self
                .pattern
                .interests()
                .topics()
                .map(Bytes::copy_from_slice)
                .collect();
            for topic in topics {
                self.tell(slot, true, &topic);
            }
        }
        let greetings = [
            (self.options.probe && probes(self.kind)).then(|| Message::single(b"")),
            self.options.hello.clone(),
            (self.kind == SocketType::Xpub)
                .then(|| self.options.welcome.clone())
                .flatten(),
        ];
        for message in greetings.into_iter().flatten() {
            self.put_first(slot, &message);
        }
        self.refill(slot);
        self.touch(slot);
        if let Some(pipe) = self.pipes.get(slot)
            && (!early || pipe.full && pipe.has_room(&self.options))
        {
            self.make_room(slot);
        }
    }

    /// Sends a message ahead of those that wait for the peer.
    pub(super) fn put_first(&mut self, slot: u32, message: &Message) {
        if let Some(pipe) = self.pipes.get_mut(slot) {
            match &mut pipe.link {
                Some(Link::Stream(stream)) => {
                    let sent = stream.session.send(self.now, &[Piece::Parts(message)]);
                    debug_assert!(sent.is_ok(), "the session has just opened");
                    pipe.in_outbox += 1;
                }
                Some(Link::Inproc(end)) => end.push(Item::Message(message.clone())),
                None => {}
            }
        }
    }
}

/// Types whose peers may be ROUTERs; to others an empty message is one like any other.
const fn probes(kind: SocketType) -> bool {
    matches!(
        kind,
        SocketType::Req | SocketType::Dealer | SocketType::Router
    )
}
