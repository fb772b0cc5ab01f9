//! Why a session ends.

use crate::security;
use crate::wire::{self, MechanismName, SocketType};

/// The end of a session. All but [`NotOpen`](Self::NotOpen) are the peer's doing.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Bytes that are not ZMTP, or beyond the limits.
    #[error(transparent)]
    Wire(#[from] wire::Error),
    /// A handshake that failed.
    #[error(transparent)]
    Security(#[from] security::Error),
    /// The peer wants another mechanism. RFC 23: close without a word.
    #[error("the peer wants mechanism {theirs}")]
    Mechanism {
        /// What it named in its greeting.
        theirs: MechanismName,
    },
    /// Socket types that do not go together.
    #[error("{theirs} cannot talk to {ours}")]
    Incompatible {
        /// Our type.
        ours: SocketType,
        /// The peer's.
        theirs: SocketType,
    },
    /// A message frame before READY.
    #[error("message before READY")]
    Early,
    /// More bytes before READY than any honest handshake needs.
    #[error("handshake of more than {limit} bytes")]
    HandshakeTooLong {
        /// What is allowed.
        limit: usize,
    },
    /// READY did not come in time.
    #[error("handshake not finished in time")]
    HandshakeTimeout,
    /// The peer went on before it was let in.
    #[error("the peer did not wait to be let in")]
    Impatient,
    /// READY after READY.
    #[error("READY a second time")]
    ReadyTwice,
    /// ERROR after the handshake.
    #[error("the peer gave up: {reason:?}")]
    Refused {
        /// The peer's own words.
        reason: bytes::Bytes,
    },
    /// Our PING was not answered, by anything.
    #[error("no answer to PING")]
    Silent,
    /// The peer broke the time to live that it stated in its own PING.
    #[error("the peer's own TTL ran out")]
    Expired,
    /// A begun message that does not grow.
    #[error("unfinished message grew by only {bytes} bytes")]
    Trickle {
        /// Growth in the last period.
        bytes: usize,
    },
    /// The peer takes nothing, or next to nothing, of what waits for it.
    #[error("the peer does not read, {waiting} bytes wait")]
    Stalled {
        /// Bytes in the outbox.
        waiting: usize,
    },
    /// The peer takes less than it is sent.
    #[error("more than {limit} bytes wait for the peer")]
    OutboxFull {
        /// What is allowed.
        limit: usize,
    },
    /// A message was to be sent before the handshake was done.
    #[error("the session is not open")]
    NotOpen,
    /// The session is over already.
    #[error("the session is closed")]
    Closed,
}

impl Error {
    /// What the peer is told in an ERROR command, if anything. Only misconfiguration deserves
    /// it: a libzmq peer gives the endpoint up for good.
    pub(super) fn for_peer(&self) -> Option<&'static str> {
        match self {
            Self::Incompatible { .. } => Some("Invalid socket type"),
            Self::Security(security::Error::Denied) => Some("400"),
            Self::Security(security::Error::Failed) => Some("500"),
            Self::Security(security::Error::Wire(
                wire::Error::NoSocketType | wire::Error::UnknownSocketType,
            )) => Some("Invalid socket type"),
            Self::Security(security::Error::Wire(wire::Error::BadIdentity { .. })) => {
                Some("Invalid identity")
            }
            _ => None,
        }
    }
}
