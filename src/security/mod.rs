//! Security mechanisms: a command in, commands out (RFC 23, "Security Mechanisms").
//!
//! NULL is here; PLAIN and CURVE become neighbours of `null` when they are built.

pub mod curve;
mod null;
mod user;
pub mod z85;

pub use null::Null;
pub use user::{Credentials, User, Verdict};

use crate::wire::{self, Command, MechanismName, Metadata};

/// One side of a handshake. Learns of commands only; what the frames around them may look like
/// is the session's business.
pub trait Mechanism: std::fmt::Debug + Send {
    /// The name for the greeting.
    fn name(&self) -> MechanismName;

    /// Both greetings agree: append the frames that this side sends unasked, if any.
    fn begin(&mut self, out: &mut Vec<u8>);

    /// The peer's next command; append the frames that answer it, if any.
    ///
    /// # Errors
    /// Anything that does not belong there ends the connection.
    fn hear(&mut self, command: &Command<'_>, out: &mut Vec<u8>) -> Result<Step, Error>;
}

/// Where a handshake stands after a command.
#[derive(Debug, Eq, PartialEq)]
pub enum Step {
    /// More commands are needed.
    Continue,
    /// The peer is who it has to be, and says this of itself.
    Done(Metadata),
}

/// Why a handshake failed.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Bytes that mean nothing.
    #[error(transparent)]
    Wire(#[from] wire::Error),
    /// A command that does not come at this point.
    #[error("unexpected command {name:?} in the handshake")]
    Unexpected {
        /// Its name, cut to 32 bytes.
        name: bytes::Bytes,
    },
    /// The peer refused us.
    #[error("refused by the peer: {reason:?}")]
    Refused {
        /// The peer's own words.
        reason: bytes::Bytes,
    },
}

impl Error {
    fn unexpected(command: &Command<'_>) -> Self {
        let name = command.name.get(..32).unwrap_or(command.name);
        Self::Unexpected {
            name: bytes::Bytes::copy_from_slice(name),
        }
    }
}
