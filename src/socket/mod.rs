//! The general ZeroMQ sockets: all eleven types over tcp, ipc and inproc, as one [`Socket`] or as
//! types that offer just what theirs can do ([`Req`], [`Rep`], [`Dealer`], [`Router`], [`Pub`],
//! [`Sub`], [`Xpub`], [`Xsub`], [`Push`], [`Pull`], [`Pair`]).
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use scale0::socket::{Pull, Push};
//!
//! let pull = Pull::new();
//! let endpoint = pull.bind("tcp://127.0.0.1:*").await?;
//! let push = Push::new();
//! push.connect(&endpoint)?;
//! push.send("hello").await?;
//! assert_eq!(pull.recv().await?.first(), Some(&b"hello"[..]));
//! # Ok(())
//! # }
//! ```
//!
//! A socket connects and reconnects in the background, to peers that need not be there yet. What
//! it sends goes out at once if the last message to that peer is a while ago, and together with
//! what follows if not. Messages are read by the task that receives them: nothing stands between
//! it and the stream.
//!
//! Who comes from libzmq finds every call, option and event of it in [`libzmq`].
//!
//! # Cancel safety
//!
//! Every async function here may be dropped at any time. A `recv` that is dropped has taken
//! nothing; a `send` that is dropped has sent nothing (its message goes with it); a `bind` that is
//! dropped has bound nothing; a `close` that is dropped goes on in the background.
//!
//! A future of `recv` or `send` may also be kept without being polled, as `select!` over pinned
//! futures does while one of its arms is at work. Within half a second PINGs of peers are answered
//! then, those who come are let in, and others that wait get what this one was woken for.
//!
//! # Runtime
//!
//! `bind` and `connect` are called within a tokio runtime, of either kind, and the socket lives as
//! long as that runtime does. `send` and `recv` may be awaited anywhere.

mod driver;
mod error;
mod hub;
mod inproc;
mod monitor;
mod options;
mod pipe;
mod ready;
mod typed;
pub mod zap;

#[doc = include_str!("libzmq.md")]
pub mod libzmq {}

pub use error::{Error, RecvError, SendError, Unsent};
pub use hub::Counters;
pub use monitor::{Event, Limit, Monitor, Reason};
pub use options::{OptionError, Options, Reconnect, Stop, Tap};
pub use typed::{Dealer, Pair, Pub, Pull, Push, Rep, Req, Router, Sub, Xpub, Xsub};
pub use zap::Zap;

pub use crate::net::{Keepalive, Transport};
pub use crate::pattern::{Bounds, Config as PatternConfig, Handover, Refusal, Verbose};
pub use crate::session::Heartbeat;
pub use crate::wire::{Endpoint, Message, SocketType};

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_core::Stream;
use tokio::runtime::Handle;

use crate::net::Listener;
use crate::wire::Host;
use hub::{Bound, Hub, Received};
use pipe::Origin;
use ready::Side;

/// A socket of any type. See the [module's description](self).
///
/// Dropping it closes it: what waits is still sent within the time to
/// [linger](Options::linger), for as long as the runtime is there.
#[derive(Debug)]
pub struct Socket {
    hub: Arc<Hub>,
    driven: std::sync::atomic::AtomicBool,
}

impl Socket {
    /// A socket with default options.
    #[must_use]
    pub fn new(kind: SocketType) -> Self {
        Self::with(kind, Options::default())
    }

    /// A socket with these options.
    #[must_use]
    pub fn with(kind: SocketType, options: Options) -> Self {
        let [first @ .., _, _, _, _] = driver::random().to_be_bytes();
        Self {
            hub: Hub::new(kind, options, u32::from_be_bytes(first)),
            driven: std::sync::atomic::AtomicBool::new(false),
        }
    }

    /// Its type.
    #[must_use]
    pub fn kind(&self) -> SocketType {
        self.hub.lock().kind
    }

    /// Listens at an endpoint: `tcp://127.0.0.1:5555`, `tcp://*:*` (every IPv4 address, a port of
    /// the system's choice), `tcp://[::1]:0`, `ipc:///path`, `ipc://@name`, `inproc://name`.
    /// Returns the endpoint as it is bound, with its real port.
    ///
    /// # Errors
    /// The text is no endpoint, the system refuses, or another socket listens there.
    pub async fn bind<E>(&self, endpoint: E) -> Result<Endpoint, Error>
    where
        E: TryInto<Endpoint>,
        Error: From<E::Error>,
    {
        let endpoint = endpoint.try_into()?;
        let runtime = self.drive()?;
        if let Endpoint::Inproc { name } = &endpoint {
            let Some(waiting) = inproc::bind(name, &self.hub) else {
                let error = Error::InUse {
                    endpoint: endpoint.clone(),
                };
                self.bind_failed(endpoint, error.to_string());
                return Err(error);
            };
            self.listening(&endpoint, None);
            for (hub, slot) in waiting {
                if let Some(hub) = hub.upgrade() {
                    hub::join_inproc(&hub, slot, &self.hub, name);
                }
            }
            return Ok(endpoint);
        }
        // An endpoint that was given up a moment ago may be bound again.
        self.unbound().await;
        let transport = self.hub.lock().options.transport;
        let listener = match Listener::bind(&endpoint, &transport).await {
            Ok(listener) => listener,
            Err(error) => {
                self.bind_failed(endpoint, error.to_string());
                return Err(error.into());
            }
        };
        let endpoint = listener.endpoint().clone();
        let task = runtime.spawn(driver::accept(Arc::clone(&self.hub), listener));
        self.listening(&endpoint, Some(task));
        Ok(endpoint)
    }

    /// Waits until what was unbound is free.
    async fn unbound(&self) {
        let ending = std::mem::take(&mut self.hub.lock().unbound);
        for task in ending {
            // It was aborted, and says so.
            let _ = task.await;
        }
    }

    fn listening(&self, endpoint: &Endpoint, task: Option<tokio::task::JoinHandle<()>>) {
        let mut state = self.hub.lock();
        state.report(&Event::Listening {
            endpoint: endpoint.clone(),
        });
        state.bound.push(Bound {
            endpoint: endpoint.clone(),
            task,
        });
    }

    fn bind_failed(&self, endpoint: Endpoint, reason: String) {
        let event = Event::BindFailed { endpoint, reason };
        self.hub.lock().report(&event);
    }

    /// Connects to an endpoint, now and whenever the connection is lost, until
    /// [`disconnect`](Self::disconnect). Returns at once; the peer need not be there yet.
    ///
    /// # Errors
    /// The text is no endpoint, or one that can only be bound.
    pub fn connect<E>(&self, endpoint: E) -> Result<(), Error>
    where
        E: TryInto<Endpoint>,
        Error: From<E::Error>,
    {
        let name = std::mem::take(&mut self.hub.lock().options.connect_as);
        self.connect_to(endpoint.try_into()?, name)
    }

    /// Connects to an endpoint as [`connect`](Self::connect) does. To a ROUTER the peer there has
    /// the routing id `name`, whatever it calls itself, on this connection and those that replace
    /// it (`CONNECT_ROUTING_ID`). Other types have no use for the name.
    ///
    /// # Errors
    /// As there; or no peer can have that name, or another one has it.
    pub fn connect_as<E>(&self, endpoint: E, name: impl AsRef<[u8]>) -> Result<(), Error>
    where
        E: TryInto<Endpoint>,
        Error: From<E::Error>,
    {
        let name = name.as_ref();
        if name.is_empty() || name.len() > 255 || name.starts_with(&[0]) {
            return Err(Error::BadName);
        }
        self.connect_to(endpoint.try_into()?, Bytes::copy_from_slice(name))
    }

    fn connect_to(&self, endpoint: Endpoint, name: Bytes) -> Result<(), Error> {
        if matches!(
            endpoint,
            Endpoint::Tcp { port: 0, .. }
                | Endpoint::Tcp {
                    host: Host::Any,
                    ..
                }
        ) {
            return Err(Error::NotForConnecting { endpoint });
        }
        let runtime = self.drive()?;
        let added = self.hub.lock().add_connected(endpoint.clone(), name);
        let (slot, lost) = added.ok_or(Error::NameTaken)?;
        if let Endpoint::Inproc { name } = &endpoint {
            hub::connect_inproc(&self.hub, slot, name);
            return Ok(());
        }
        let task = driver::connect(Arc::clone(&self.hub), slot, endpoint, lost);
        let handle = runtime.spawn(task).abort_handle();
        let mut state = self.hub.lock();
        if let Some(pipe) = state.pipes.get_mut(slot)
            && let Origin::Connected { task, .. } = &mut pipe.origin
        {
            *task = Some(handle);
        }
        Ok(())
    }

    /// Stops listening at an endpoint, as [`bind`](Self::bind) returned it. Connections that came
    /// in there stay.
    ///
    /// # Errors
    /// The socket is not bound to it.
    pub fn unbind(&self, endpoint: &Endpoint) -> Result<(), Error> {
        let mut state = self.hub.lock();
        let place = state.bound.iter().position(|b| b.endpoint == *endpoint);
        let Some(place) = place else {
            return Err(Error::Unknown {
                endpoint: endpoint.clone(),
            });
        };
        let bound = state.bound.remove(place);
        state.unlisten(bound);
        Ok(())
    }

    /// Ends the connection to an endpoint and connects no more. What waits for it is still sent
    /// within the time to linger.
    ///
    /// # Errors
    /// The socket does not connect to it.
    pub fn disconnect(&self, endpoint: &Endpoint) -> Result<(), Error> {
        if self.hub.lock().disconnect(endpoint) {
            return Ok(());
        }
        Err(Error::Unknown {
            endpoint: endpoint.clone(),
        })
    }

    /// The endpoints it is bound to, in the order in which they were bound.
    #[must_use]
    pub fn endpoints(&self) -> Vec<Endpoint> {
        let state = self.hub.lock();
        state.bound.iter().map(|b| b.endpoint.clone()).collect()
    }

    /// Sends a message. Waits until a peer has room for it if the type balances (REQ, DEALER,
    /// PUSH, PAIR), and with ROUTER's `mandatory` and XPUB's `no_drop`; the other types drop what
    /// has no room, for that peer only.
    ///
    /// ROUTER takes the peer's routing id as the first part.
    ///
    /// Cancel safe: a future that is dropped has not sent.
    ///
    /// # Errors
    /// The pattern does not allow it now, or (ROUTER with `mandatory`) nobody has that id. The
    /// message is in the error.
    pub async fn send(&self, message: impl Into<Message>) -> Result<(), SendError> {
        let mut message = Some(message.into());
        let mut seat = Seat::new(&self.hub, Side::Send);
        poll_fn(|cx| self.hub.poll_send(cx, &mut seat.key, &mut message)).await
    }

    /// Sends a message if that is possible without waiting.
    ///
    /// # Errors
    /// As [`send`](Self::send), and [`SendError::Full`].
    pub fn try_send(&self, message: impl Into<Message>) -> Result<(), SendError> {
        self.hub.try_send(message.into())
    }

    /// Receives the next message, peers in turns. ROUTER's has the peer's routing id as its first
    /// part; XPUB's may be a subscription (one part: 1 or 0 and the topic).
    ///
    /// Cancel safe: a future that is dropped has not received.
    ///
    /// # Errors
    /// The type does not receive, or not now (REQ before it has sent, REP before it has answered);
    /// or REQ's peer is gone with the request ([`Refusal::Lost`]), which is told once.
    pub async fn recv(&self) -> Result<Message, RecvError> {
        self.received().await.map(whole)
    }

    async fn received(&self) -> Result<Received, RecvError> {
        let mut seat = Seat::new(&self.hub, Side::Receive);
        poll_fn(|cx| self.hub.poll_recv(cx, &mut seat.key)).await
    }

    /// Receives a message if one is there.
    ///
    /// # Errors
    /// As [`recv`](Self::recv).
    pub fn try_recv(&self) -> Result<Option<Message>, RecvError> {
        Ok(self.hub.try_recv()?.map(whole))
    }

    /// Messages as a stream. It ends with the first error, and holds no message back: dropping it
    /// loses nothing.
    pub fn messages(&self) -> Messages<'_> {
        Messages {
            seat: Seat::new(&self.hub, Side::Receive),
        }
    }

    /// SUB and XSUB: receives from now on also messages whose first part begins with `topic`;
    /// every message for an empty one. Subscribing twice takes two
    /// [`unsubscribe`](Self::unsubscribe)s to end.
    ///
    /// XPUB with `manual`: gives `topic` to the subscriber whose subscription was received last.
    ///
    /// # Errors
    /// The type has no subscriptions, there is no such subscriber, or a bound is reached.
    pub fn subscribe(&self, topic: impl AsRef<[u8]>) -> Result<(), Error> {
        self.interest(true, topic.as_ref())
    }

    /// Takes one [`subscribe`](Self::subscribe) back.
    ///
    /// # Errors
    /// As there.
    pub fn unsubscribe(&self, topic: impl AsRef<[u8]>) -> Result<(), Error> {
        self.interest(false, topic.as_ref())
    }

    fn interest(&self, on: bool, topic: &[u8]) -> Result<(), Error> {
        let mut state = self.hub.lock();
        match state.kind {
            SocketType::Sub | SocketType::Xsub => {
                if state.pattern.interest(on, topic) {
                    state.tell_all(on, &Bytes::copy_from_slice(topic));
                    state.write_dirty();
                }
                Ok(())
            }
            SocketType::Xpub if state.options.pattern.manual => {
                if state.pattern.decide(on, topic)? {
                    Ok(())
                } else {
                    Err(Error::NoSubscriber)
                }
            }
            _ => Err(Error::NoSubscriptions),
        }
    }

    /// What happens to its connections, from now on.
    #[must_use]
    pub fn monitor(&self) -> Monitor {
        let (reporter, monitor) = monitor::monitor();
        self.hub.lock().watch(reporter);
        monitor
    }

    /// What it has counted. It takes a look at each connection.
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.hub.lock().counted()
    }

    /// Changes options of a socket in use. Bounds of messages and bytes, the pattern's rules, the
    /// time to linger and the messages made up on occasion change at once; identity, metadata,
    /// heartbeats and limits for the connections that come; `transport` for the next attempt to
    /// connect and the next `bind`, `reconnect` for the next `connect`. Of more handshakes under way
    /// than are allowed now the oldest end at once. The pattern's `bounds` stay as they were made,
    /// and so does the room of each inproc pipe, which the two sides have agreed on.
    pub fn configure(&self, change: impl FnOnce(&mut Options)) {
        self.hub.lock().configure(change);
    }

    /// Closes it: nothing more comes in, and what waits is sent within the time to
    /// [linger](Options::linger). Peers that are not connected yet count, too. Afterwards others
    /// may bind where it was bound.
    ///
    /// Cancel safe: a future that is dropped leaves the closing to the background.
    ///
    /// # Errors
    /// That time was not enough.
    pub async fn close(self) -> Result<(), Unsent> {
        let done = self.shut();
        if self.driven.load(std::sync::atomic::Ordering::Acquire) {
            loop {
                let notified = done.notified();
                if self.hub.lock().is_over() {
                    break;
                }
                notified.await;
            }
        }
        self.unbound().await;
        let messages = self.hub.lock().closing.as_ref().map_or(0, |c| c.unsent);
        if messages == 0 {
            return Ok(());
        }
        Err(Unsent { messages })
    }

    fn shut(&self) -> Arc<tokio::sync::Notify> {
        self.hub.lock().close()
    }

    /// Sees to it that somebody looks after the socket.
    fn drive(&self) -> Result<Handle, Error> {
        use std::sync::atomic::Ordering;
        let runtime = Handle::try_current().map_err(|_| Error::NoRuntime)?;
        if !self.driven.swap(true, Ordering::AcqRel) {
            self.hub.lock().runtime = Some(runtime.clone());
            runtime.spawn(driver::drive(Arc::clone(&self.hub), runtime.clone()));
        }
        Ok(runtime)
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        self.shut();
    }
}

/// [`Socket::messages`].
#[derive(Debug)]
pub struct Messages<'a> {
    seat: Seat<'a>,
}

impl Stream for Messages<'_> {
    type Item = Result<Message, RecvError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let hub = self.seat.hub;
        let received = hub.poll_recv(cx, &mut self.seat.key);
        if received.is_ready() {
            // It may be long until somebody asks again: what else there is, others may have.
            hub.ready.leave(Side::Receive, self.seat.key.take());
        }
        received.map(|received| Some(received.map(whole)))
    }
}

/// A place among those who wait; given up when the waiting ends, however it does.
#[derive(Debug)]
struct Seat<'a> {
    hub: &'a Hub,
    side: Side,
    key: Option<u64>,
}

impl<'a> Seat<'a> {
    fn new(hub: &'a Hub, side: Side) -> Self {
        Self {
            hub,
            side,
            key: None,
        }
    }
}

impl Drop for Seat<'_> {
    fn drop(&mut self) {
        self.hub.ready.leave(self.side, self.key);
    }
}

fn whole(received: Received) -> Message {
    match received.from {
        None => received.body,
        Some(from) => received.body.behind(&from),
    }
}
