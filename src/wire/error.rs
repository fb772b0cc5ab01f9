//! What can be wrong with bytes from a peer.

use super::metadata::PropertyError;

/// The peer broke ZMTP. Always the peer's fault and always the end of its connection.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The first byte is not FF: HTTP, TLS, or ZMTP 1.0, none of which is spoken here.
    #[error("not ZMTP: the first byte is {first:#04x}")]
    NotZmtp {
        /// That byte.
        first: u8,
    },
    /// Bit 0 of the signature's last byte is clear: the long identity header of ZMTP 1.0.
    #[error("ZMTP 1.0 is not spoken here")]
    Unversioned,
    /// Revisions below 3. There is no downgrade (RFC 23; CVE-2014-7202, CVE-2014-9721).
    #[error("ZMTP revision {major} is not spoken here, 3 is the first")]
    OldRevision {
        /// The revision byte.
        major: u8,
    },
    /// A frame longer than allowed; nothing of it was stored.
    #[error("frame of {size} bytes, limit {limit}")]
    FrameTooLong {
        /// Its length field.
        size: u64,
        /// What is allowed.
        limit: usize,
    },
    /// The frames of one message are longer than allowed together.
    #[error("message of at least {size} bytes, limit {limit}")]
    MessageTooLong {
        /// What it would have been with the frame that broke the limit.
        size: u64,
        /// What is allowed.
        limit: usize,
    },
    /// A message of too many frames.
    #[error("message of more than {limit} parts")]
    TooManyParts {
        /// What is allowed.
        limit: usize,
    },
    /// A command that claims to go on in the next frame.
    #[error("command frame with the MORE bit")]
    CommandWithMore,
    /// A command frame without a name, or with a name longer than the frame.
    #[error("malformed command of {len} bytes")]
    MalformedCommand {
        /// Length of the frame's body.
        len: usize,
    },
    /// PING whose body is too short to hold a TTL.
    #[error("PING of {len} bytes, at least 7 are needed")]
    ShortPing {
        /// Length of the frame's body.
        len: usize,
    },
    /// ERROR whose reason does not fit its frame.
    #[error("malformed ERROR of {len} bytes")]
    MalformedError {
        /// Length of the frame's body.
        len: usize,
    },
    /// Metadata that cannot be read.
    #[error(transparent)]
    Property(#[from] PropertyError),
    /// READY without a Socket-Type.
    #[error("no Socket-Type in the metadata")]
    NoSocketType,
    /// A Socket-Type that no RFC names.
    #[error("unknown Socket-Type")]
    UnknownSocketType,
    /// An identity that is too long, or begins with a zero byte, which is ours to use.
    #[error("identity of {len} bytes refused")]
    BadIdentity {
        /// Its length.
        len: usize,
    },
}
