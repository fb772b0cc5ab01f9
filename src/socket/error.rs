//! What a socket tells its program when something cannot be done.

use crate::net::BindError;
use crate::pattern::Refusal;
use crate::wire::{Endpoint, EndpointError, Message};

/// Why a socket cannot be set up so.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The text is no endpoint.
    #[error(transparent)]
    Endpoint(#[from] EndpointError),
    /// The endpoint cannot be bound.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// The name is bound by another socket of this process.
    #[error("{endpoint} is bound by another socket: bind another name")]
    InUse {
        /// The endpoint.
        endpoint: Endpoint,
    },
    /// `tcp://*` and port 0 are for binding only.
    #[error("{endpoint} is for binding only: connect to a host and a port")]
    NotForConnecting {
        /// The endpoint.
        endpoint: Endpoint,
    },
    /// Not an endpoint of this socket.
    #[error("the socket is not bound or connected to {endpoint}")]
    Unknown {
        /// The endpoint.
        endpoint: Endpoint,
    },
    /// Subscriptions are for SUB and XSUB, decisions about them for XPUB with `manual`.
    #[error("this socket type has no subscriptions of its own")]
    NoSubscriptions,
    /// The subscriber whose subscription was received last is gone, or none was received.
    #[error("there is no subscriber to decide about")]
    NoSubscriber,
    /// ROUTER: another peer has the routing id that the peer was to have.
    #[error("another peer has that routing id")]
    NameTaken,
    /// ROUTER: no peer can have the routing id.
    #[error("a routing id has 1 to 255 bytes, the first not zero")]
    BadName,
    /// Too many subscriptions, or too long a topic.
    #[error(transparent)]
    Full(#[from] crate::pattern::Full),
    /// There is no runtime: streams need tokio's.
    #[error("no tokio runtime: call this from within one")]
    NoRuntime,
}

impl From<std::convert::Infallible> for Error {
    fn from(never: std::convert::Infallible) -> Self {
        match never {}
    }
}

/// Why a message was not sent. It is in the error, so nothing is lost.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SendError {
    /// No peer has room now ([`try_send`](super::Socket::try_send) only; `send` waits).
    #[error("no peer has room for the message")]
    Full(Message),
    /// ROUTER with `mandatory`: nobody has that routing id.
    #[error("no peer with that routing id is connected")]
    Unroutable(Message),
    /// The pattern does not allow it now.
    #[error("{reason}")]
    Refused {
        /// The message.
        message: Message,
        /// Why.
        reason: Refusal,
    },
}

impl SendError {
    /// The message that was not sent.
    #[must_use]
    pub fn into_message(self) -> Message {
        match self {
            Self::Full(message) | Self::Unroutable(message) | Self::Refused { message, .. } => {
                message
            }
        }
    }
}

/// Why nothing can be received.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum RecvError {
    /// The pattern does not allow it now. [`Refusal::Lost`] says that REQ's peer went away with
    /// the request: another one may be sent.
    #[error(transparent)]
    Refused(#[from] Refusal),
}

/// The socket is closed, and some messages never left it.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{messages} messages were not sent within the time to linger")]
pub struct Unsent {
    /// How many; one for several peers counts for each.
    pub messages: usize,
}
