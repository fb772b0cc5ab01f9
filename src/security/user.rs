//! Who a peer is, and who says so.

use bytes::Bytes;

use super::curve::PublicKey;

/// What a peer shows of itself in a handshake. Whether that lets it in is for others to say.
#[derive(Clone, Eq, PartialEq)]
pub enum Credentials {
    /// NULL: nothing.
    Nothing,
    /// PLAIN (RFC 24): a name and a password, up to 255 bytes each.
    Plain {
        /// The name.
        user: Bytes,
        /// The password, wiped when it is dropped.
        password: zeroize::Zeroizing<Vec<u8>>,
    },
    /// CURVE (RFC 26): a key, of which the peer has proved that it has the secret half.
    Curve {
        /// The public half.
        key: PublicKey,
    },
}

/// Who a peer has proved to be.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct User {
    /// A name for people and for rules: PLAIN's name, the name of the file with a CURVE key, what
    /// a ZAP handler calls it (its `User-Id`). Empty for nobody in particular.
    pub name: Bytes,
    /// The CURVE key, if that is how it came in.
    pub key: Option<PublicKey>,
}

/// What becomes of a handshake.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Verdict {
    /// The peer may come in, as this user.
    Admit(User),
    /// It may not, and is told with ERROR `400`: a wrong password, an unknown user, an unknown key.
    Deny,
    /// Nobody can say at present: the connection ends without a word (RFC 27, status 300), and the
    /// peer may try again.
    Later,
    /// The authenticator has failed: the peer is told with ERROR `500`.
    Fail,
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Nothing => f.write_str("Nothing"),
            Self::Plain { user, .. } => f
                .debug_struct("Plain")
                .field("user", user)
                .finish_non_exhaustive(),
            Self::Curve { key } => f.debug_struct("Curve").field("key", key).finish(),
        }
    }
}
