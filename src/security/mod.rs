//! Security mechanisms: a command in, commands out (RFC 23, "Security Mechanisms").

pub mod curve;
mod null;
mod plain;
mod user;
pub mod z85;
pub mod zap;

pub use null::Null;
pub use plain::{PlainClient, PlainServer};
pub use user::{Credentials, User, Verdict};

use bytes::Bytes;
use zeroize::Zeroizing;

use crate::limits::Limits;
use crate::wire::{self, Command, MechanismName, Metadata};
use curve::{CurveClient, CurveServer, KeyPair, Opener, PublicKey, Sealer};

/// Which mechanism a socket speaks, and on which side of it. As in libzmq that does not depend on
/// who connects to whom.
#[derive(Clone, Default)]
pub enum Security {
    /// NULL: whoever can reach us is a friend.
    #[default]
    Null,
    /// NULL, but whoever connects to us is asked about by its address before it may come in.
    NullAsked,
    /// PLAIN, and we show these.
    PlainClient {
        /// Up to 255 bytes.
        user: Bytes,
        /// Up to 255 bytes.
        password: Zeroizing<Vec<u8>>,
    },
    /// PLAIN, and the peer's name and password are asked about.
    PlainServer,
    /// CURVE, towards a server whose key we know.
    CurveClient {
        /// Ours; the server may want to know it.
        own: KeyPair,
        /// The server's.
        server: PublicKey,
    },
    /// CURVE, and the peer's key is asked about.
    CurveServer {
        /// Ours; clients know its public half.
        own: KeyPair,
    },
}

impl Security {
    /// Whether handshakes ask about the peer: without somebody who answers, nobody comes in.
    #[must_use]
    pub fn asks(&self) -> bool {
        matches!(
            self,
            Self::NullAsked | Self::PlainServer | Self::CurveServer { .. }
        )
    }

    /// Whether the greeting says that we are the server.
    #[must_use]
    pub fn is_server(&self) -> bool {
        matches!(self, Self::PlainServer | Self::CurveServer { .. })
    }

    /// One side of a handshake that says `ours`. `seed` is for this handshake alone, and nobody
    /// may guess it; only CURVE needs it.
    #[must_use]
    pub fn mechanism(&self, ours: Metadata, limits: &Limits, seed: [u8; 32]) -> Box<dyn Mechanism> {
        let limits = limits.clone();
        match self {
            Self::Null => Box::new(Null::new(ours, limits)),
            Self::NullAsked => Box::new(Null::asking(ours, limits)),
            Self::PlainClient { user, password } => {
                Box::new(PlainClient::new(user, password, ours, limits))
            }
            Self::PlainServer => Box::new(PlainServer::new(ours, limits)),
            Self::CurveClient { own, server } => {
                Box::new(CurveClient::new(own.clone(), *server, ours, limits, seed))
            }
            Self::CurveServer { own } => {
                Box::new(CurveServer::new(own.clone(), ours, limits, seed))
            }
        }
    }
}

impl std::fmt::Debug for Security {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Null => f.write_str("Null"),
            Self::NullAsked => f.write_str("NullAsked"),
            // No password is ever printed.
            Self::PlainClient { user, .. } => f
                .debug_struct("PlainClient")
                .field("user", user)
                .finish_non_exhaustive(),
            Self::PlainServer => f.write_str("PlainServer"),
            Self::CurveClient { own, server } => f
                .debug_struct("CurveClient")
                .field("own", own)
                .field("server", server)
                .finish(),
            Self::CurveServer { own } => f.debug_struct("CurveServer").field("own", own).finish(),
        }
    }
}

/// One side of a handshake. Learns of commands only; what the frames around them may look like
/// is the session's business.
pub trait Mechanism: std::fmt::Debug + Send {
    /// The name for the greeting.
    fn name(&self) -> MechanismName;

    /// Both greetings agree: append the frames that this side sends unasked, if any.
    ///
    /// # Errors
    /// The handshake cannot begin.
    fn begin(&mut self, out: &mut Vec<u8>) -> Result<(), Error>;

    /// The peer's next command; append the frames that answer it, if any.
    ///
    /// # Errors
    /// Anything that does not belong there ends the connection.
    fn hear(&mut self, command: &Command<'_>, out: &mut Vec<u8>) -> Result<Step, Error>;

    /// The answer to [`Step::Ask`]: the peer may come in. Append the frames that tell it so.
    ///
    /// # Errors
    /// Nothing was asked.
    fn admit(&mut self, out: &mut Vec<u8>) -> Result<Step, Error>;

    /// After [`Step::Done`], once: what seals and opens all that follows, if anything does.
    fn channel(&mut self) -> Option<(Sealer, Opener)> {
        None
    }
}

/// Where a handshake stands after a command.
#[derive(Debug, Eq, PartialEq)]
pub enum Step {
    /// More commands are needed.
    Continue,
    /// Somebody has to say whether such a peer may come in.
    Ask(Credentials),
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
        name: Bytes,
    },
    /// The peer refused us.
    #[error("refused by the peer: {reason:?}")]
    Refused {
        /// The peer's own words.
        reason: Bytes,
    },
    /// A command whose size or layout its mechanism does not know.
    #[error("malformed {command} of {len} bytes")]
    Malformed {
        /// Which.
        command: &'static str,
        /// The length of what follows its name.
        len: usize,
    },
    /// A box that its key does not open: it was changed on the way, or meant for somebody else.
    #[error("{command} does not open with our keys")]
    Sealed {
        /// Which command held it.
        command: &'static str,
    },
    /// A public key with which everybody agrees on the same secret.
    #[error("the peer's key is worthless")]
    WorthlessKey,
    /// A nonce that is not greater than the one before: something was said twice.
    #[error("a nonce was used twice, or came out of order")]
    Replayed,
    /// All nonces of the connection are used up.
    #[error("no nonce is left on this connection")]
    Exhausted,
    /// Something in the clear where all has to be sealed, or flags that are outside of the seal.
    #[error("unsealed bytes on a sealed connection")]
    Clear,
    /// We do not want the peer.
    #[error("not allowed in")]
    Denied,
    /// Nobody could say whether the peer may come in.
    #[error("nobody could say whether the peer may come in")]
    Undecided,
    /// The authenticator failed.
    #[error("the authenticator failed")]
    Failed,
}

impl Error {
    fn unexpected(command: &Command<'_>) -> Self {
        let name = command.name.get(..32).unwrap_or(command.name);
        Self::Unexpected {
            name: Bytes::copy_from_slice(name),
        }
    }

    /// The verdict was that the peer does not come in.
    #[must_use]
    pub fn of(verdict: &Verdict) -> Option<Self> {
        match verdict {
            Verdict::Admit(_) => None,
            Verdict::Deny => Some(Self::Denied),
            Verdict::Later => Some(Self::Undecided),
            Verdict::Fail => Some(Self::Failed),
        }
    }
}

/// The peer said ERROR.
fn refused(command: &Command<'_>) -> Error {
    match command.reason() {
        Ok(reason) => Error::Refused {
            reason: Bytes::copy_from_slice(reason),
        },
        Err(error) => error.into(),
    }
}
