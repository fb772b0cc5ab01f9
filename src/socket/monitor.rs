//! What happens to a socket's connections, for those who want to know.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use futures_core::Stream;

use crate::security::User;
use crate::session;
use crate::wire::{Endpoint, SocketType};

/// Something has happened. The comments name libzmq's event.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Event {
    /// An endpoint is bound (LISTENING).
    Listening {
        /// With its real port.
        endpoint: Endpoint,
    },
    /// An endpoint could not be bound (BIND_FAILED).
    BindFailed {
        /// As it was given.
        endpoint: Endpoint,
        /// The system's words.
        reason: String,
    },
    /// An endpoint is bound no more (CLOSED).
    Unbound {
        /// The endpoint.
        endpoint: Endpoint,
    },
    /// A stream has come in (ACCEPTED); its handshake begins.
    Accepted {
        /// A number for what follows about it.
        connection: u64,
        /// The endpoint it came to.
        endpoint: Endpoint,
        /// Where it comes from.
        address: String,
    },
    /// No stream can be taken, mostly for want of descriptors (ACCEPT_FAILED). Told once, until one
    /// is taken again.
    AcceptFailed {
        /// The endpoint.
        endpoint: Endpoint,
        /// The system's words.
        reason: String,
    },
    /// A stream was closed at once, because a limit is reached.
    Rejected {
        /// The endpoint it came to.
        endpoint: Endpoint,
        /// Where it came from.
        address: String,
        /// Which limit.
        limit: Limit,
    },
    /// An attempt to connect begins (CONNECT_DELAYED).
    Connecting {
        /// Whereto.
        endpoint: Endpoint,
    },
    /// The stream is there (CONNECTED); its handshake begins.
    Connected {
        /// A number for what follows about it.
        connection: u64,
        /// Whereto.
        endpoint: Endpoint,
    },
    /// There is no connection, and another attempt is made later (CONNECT_RETRIED).
    Retrying {
        /// Whereto.
        endpoint: Endpoint,
        /// How much later.
        after: Duration,
        /// Why there is none.
        reason: String,
    },
    /// There is no connection, and none is sought any more: [`Options`](super::Options) say so
    /// with `reconnect` or `stop`. What waited for it is dropped.
    GivenUp {
        /// Whereto.
        endpoint: Endpoint,
        /// Why there is none.
        reason: String,
    },
    /// The handshake is done: messages flow (HANDSHAKE_SUCCEEDED).
    Opened {
        /// Its number.
        connection: u64,
        /// The endpoint.
        endpoint: Endpoint,
        /// The peer's type.
        peer: SocketType,
        /// The name that the peer gives itself, or ROUTER gave it; empty for none.
        identity: bytes::Bytes,
        /// What else it says of itself: `X-` properties and the like, as they came (METADATA).
        /// Nobody has checked them.
        properties: Vec<(bytes::Bytes, bytes::Bytes)>,
        /// As whom it was let in, if the mechanism asks.
        user: Option<User>,
    },
    /// The handshake failed (HANDSHAKE_FAILED_NO_DETAIL, _PROTOCOL, _AUTH). It is the
    /// connection's end.
    HandshakeFailed {
        /// Its number.
        connection: u64,
        /// The endpoint.
        endpoint: Endpoint,
        /// Why.
        reason: Reason,
    },
    /// A connection whose handshake was done is gone (DISCONNECTED).
    Disconnected {
        /// Its number.
        connection: u64,
        /// The endpoint.
        endpoint: Endpoint,
        /// Why.
        reason: Reason,
    },
    /// The monitor was read too slowly, and so many events are missing here.
    Missed(u64),
}

/// Why a connection ended.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Reason {
    /// The peer closed it.
    #[error("the peer closed the connection")]
    Closed,
    /// The stream broke.
    #[error("{0}")]
    Io(String),
    /// The peer broke the protocol, ran out of time, or refused us.
    #[error(transparent)]
    Session(session::Error),
    /// The peer may not join.
    #[error(transparent)]
    Unwelcome(crate::pattern::Unwelcome),
    /// Another peer took over its name.
    #[error("another peer took over its identity")]
    HandedOver,
    /// It sent a reply that is none.
    #[error("a malformed reply")]
    NoReply,
    /// We closed it: `disconnect`, or the socket's end.
    #[error("closed by this side")]
    Local,
    /// Whoever let it in would not do so any more.
    #[error("not allowed in any more")]
    Revoked,
    /// Too many handshakes were under way.
    #[error("too many handshakes under way")]
    Crowd,
}

/// A limit on connections.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Limit {
    /// Of all of the socket's.
    #[error("too many connections")]
    Connections,
    /// From one address.
    #[error("too many connections from one address")]
    Address,
    /// More handshakes from one address than there is processor time for.
    #[error("too many handshakes from one address")]
    Handshakes,
}

/// A stream of [`Event`]s, from [`Socket::monitor`](super::Socket::monitor) on. It never holds
/// the socket up: of more than 1000 events that wait, the oldest go, and [`Event::Missed`] stands
/// in their place.
#[derive(Debug)]
pub struct Monitor {
    shared: Arc<Mutex<Shared>>,
}

#[derive(Debug, Default)]
struct Shared {
    events: VecDeque<Event>,
    missed: u64,
    over: bool,
    waker: Option<Waker>,
}

/// The socket's side of a monitor.
#[derive(Debug)]
pub(super) struct Reporter {
    shared: Arc<Mutex<Shared>>,
}

pub(super) fn monitor() -> (Reporter, Monitor) {
    let shared = Arc::new(Mutex::new(Shared::default()));
    let reporter = Reporter {
        shared: Arc::clone(&shared),
    };
    (reporter, Monitor { shared })
}

impl Monitor {
    /// The next event; `None` when the socket is closed and all are told.
    ///
    /// Cancel safe: nothing is lost when the future is dropped.
    pub async fn next(&mut self) -> Option<Event> {
        poll_fn(|cx| self.poll(cx)).await
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Event>> {
        let mut shared = lock(&self.shared);
        if shared.missed > 0 {
            return Poll::Ready(Some(Event::Missed(std::mem::take(&mut shared.missed))));
        }
        if let Some(event) = shared.events.pop_front() {
            return Poll::Ready(Some(event));
        }
        if shared.over {
            return Poll::Ready(None);
        }
        shared.waker = Some(cx.waker().clone());
        Poll::Pending
    }
}

impl Stream for Monitor {
    type Item = Event;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Event>> {
        self.poll(cx)
    }
}

impl Reporter {
    /// False if nobody listens any more.
    pub(super) fn tell(&self, event: &Event) -> bool {
        if Arc::strong_count(&self.shared) == 1 {
            return false;
        }
        let mut shared = lock(&self.shared);
        if shared.events.len() >= MOST {
            shared.events.pop_front();
            shared.missed += 1;
        }
        shared.events.push_back(event.clone());
        wake(shared);
        true
    }
}

impl Drop for Reporter {
    fn drop(&mut self) {
        let mut shared = lock(&self.shared);
        shared.over = true;
        wake(shared);
    }
}

fn wake(mut shared: MutexGuard<'_, Shared>) {
    let waker = shared.waker.take();
    drop(shared);
    if let Some(waker) = waker {
        waker.wake();
    }
}

fn lock(shared: &Mutex<Shared>) -> MutexGuard<'_, Shared> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

const MOST: usize = 1000;
