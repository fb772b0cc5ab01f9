//! Long-term and short-term keys of X25519 (RFC 26).

use std::fmt;
use std::str::FromStr;

use x25519_dalek::{StaticSecret, x25519};
use zeroize::Zeroizing;

use crate::security::z85;

/// What others may know of a key pair. Written and read as 40 characters of Z85.
#[derive(Clone, Copy, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct PublicKey([u8; 32]);

/// What nobody else may know. It is wiped when it is dropped, and never printed by accident.
#[derive(Clone)]
pub struct SecretKey(Zeroizing<[u8; 32]>);

/// Both halves.
#[derive(Clone, Debug)]
pub struct KeyPair {
    /// For everybody.
    pub public: PublicKey,
    /// For its owner.
    pub secret: SecretKey,
}

/// Text that is no key.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("a key is 40 characters of Z85")]
pub struct NotAKey;

impl PublicKey {
    /// Bytes as they stand on the wire.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Bytes as they stand on the wire.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl SecretKey {
    /// 32 bytes that nobody can guess.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// The public key that belongs to it.
    #[must_use]
    pub fn public(&self) -> PublicKey {
        // By the table of multiples of the base point: a third of what the ladder takes.
        PublicKey(x25519_dalek::PublicKey::from(&StaticSecret::from(*self.0)).to_bytes())
    }

    /// 40 characters of Z85, wiped when they are dropped.
    #[must_use]
    pub fn to_z85(&self) -> Zeroizing<String> {
        z85::encode(&self.0)
    }

    /// What both sides know and nobody else; `None` for a public key that gives everybody the
    /// same (all zero, or of low order).
    #[must_use]
    pub(super) fn agree(&self, theirs: &PublicKey) -> Option<Zeroizing<[u8; 32]>> {
        let shared = Zeroizing::new(x25519(*self.0, theirs.0));
        (*shared != [0; 32]).then_some(shared)
    }
}

impl KeyPair {
    /// The pair that a secret key makes.
    #[must_use]
    pub fn new(secret: SecretKey) -> Self {
        Self {
            public: secret.public(),
            secret,
        }
    }
}

impl FromStr for PublicKey {
    type Err = NotAKey;

    fn from_str(text: &str) -> Result<Self, NotAKey> {
        z85::decode(text).map(|bytes| Self(*bytes)).ok_or(NotAKey)
    }
}

impl FromStr for SecretKey {
    type Err = NotAKey;

    fn from_str(text: &str) -> Result<Self, NotAKey> {
        z85::decode(text).map(Self).ok_or(NotAKey)
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&z85::encode(&self.0))
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({self})")
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretKey(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_pair_of_libzmqs_manual_belongs_together() {
        let secret: SecretKey = "D:)Q[IlAW!ahhC2ac:9*A}h:p?([4%wOTJ%JR%cs".parse().unwrap();
        let public: PublicKey = "Yne@$w-vo<fVvi]a<NY6T1ed:M$fCG*[IaLV{hID".parse().unwrap();
        assert_eq!(secret.public(), public);
        assert_eq!(public.to_string().parse(), Ok(public));
        assert_eq!(
            format!("{:?}", KeyPair::new(secret)),
            format!("KeyPair {{ public: {public:?}, secret: SecretKey(..) }}")
        );
    }

    #[test]
    fn a_public_key_without_strength_agrees_with_nobody() {
        let secret = SecretKey::from_bytes([7; 32]);
        assert!(secret.agree(&PublicKey([0; 32])).is_none());
        let mut one = [0; 32];
        one[0] = 1;
        assert!(secret.agree(&PublicKey(one)).is_none());
        assert!(
            secret
                .agree(&SecretKey::from_bytes([8; 32]).public())
                .is_some()
        );
    }
}
