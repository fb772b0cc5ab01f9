//! CURVE: both sides prove who they are, and nobody else reads or changes what they say (RFC 25,
//! RFC 26).

mod cipher;
mod keys;

pub use keys::{KeyPair, NotAKey, PublicKey, SecretKey};
