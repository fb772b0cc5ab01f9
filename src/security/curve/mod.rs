//! CURVE: both sides prove who they are, and nobody else reads or changes what they say (RFC 25,
//! RFC 26).
//!
//! ```text
//! client                                             server
//! c', C' for this connection                         S is known to the client
//!   HELLO     C', Box[zeros](C' -> S)         ──▶
//!             ◀──  WELCOME   Box[S', cookie](S -> C')     s', S' for this connection
//!   INITIATE  cookie, Box[C, vouch, metadata](C' -> S')  ──▶
//!             vouch = Box[C', S](C -> S')            may C come in?
//!             ◀──  READY     Box[metadata](S' -> C')
//!   MESSAGE   Box[flags, data](C' <-> S'), in both directions
//! ```
//!
//! The keys of the connection die with it: who steals a long-term key later reads nothing of what
//! was said before.

mod channel;
mod cipher;
mod client;
mod keys;
mod server;
#[cfg(test)]
mod tests;

pub use channel::{Flags, Opener, Sealer};
pub use client::CurveClient;
pub use keys::{KeyPair, NotAKey, PublicKey, SecretKey};
pub use server::CurveServer;

use chacha20::ChaCha20Rng;
use chacha20::rand_core::{Rng, SeedableRng};
use zeroize::Zeroizing;

use super::Error;
use cipher::{Cipher, TAG};

/// Version 1.0 of CURVE, in HELLO.
const VERSION: [u8; 2] = [1, 0];
/// HELLO's padding, so that WELCOME is no larger than what it answers.
const PADDING: usize = 72;
const COOKIE: usize = 96;
/// A vouch: 16 bytes of nonce and a box with two keys.
const VOUCH: usize = 16 + TAG + 64;

const HELLO: &[u8; 16] = b"CurveZMQHELLO---";
const INITIATE: &[u8; 16] = b"CurveZMQINITIATE";
const READY: &[u8; 16] = b"CurveZMQREADY---";
const MESSAGE_OF_CLIENT: &[u8; 16] = b"CurveZMQMESSAGEC";
const MESSAGE_OF_SERVER: &[u8; 16] = b"CurveZMQMESSAGES";
const WELCOME: &[u8; 8] = b"WELCOME-";
const VOUCHED: &[u8; 8] = b"VOUCH---";

/// What both sides draw for one connection.
struct Entropy(ChaCha20Rng);

impl Entropy {
    fn new(seed: [u8; 32]) -> Self {
        Self(ChaCha20Rng::from_seed(seed))
    }

    fn bytes<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        self.0.fill_bytes(&mut bytes);
        bytes
    }

    fn pair(&mut self) -> KeyPair {
        KeyPair::new(SecretKey::from_bytes(self.bytes()))
    }
}

impl std::fmt::Debug for Entropy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Entropy(..)")
    }
}

/// What two keys agree on, or nothing worth having.
fn agree(own: &SecretKey, theirs: &PublicKey) -> Result<Zeroizing<[u8; 32]>, Error> {
    own.agree(theirs).ok_or(Error::WorthlessKey)
}

/// Appends `nonce`, and a box with `data`, whose nonces begin with `prefix`.
fn seal_short(shared: &[u8; 32], prefix: &[u8; 16], nonce: u64, data: &[u8], out: &mut Vec<u8>) {
    let nonce = nonce.to_be_bytes();
    let mut data = Zeroizing::new(data.to_vec());
    let tag = Cipher::agreed(shared, prefix).seal(nonce, &mut data);
    out.extend_from_slice(&nonce);
    out.extend_from_slice(&tag);
    out.extend_from_slice(&data);
}

/// The same with 16 bytes of a nonce that is drawn.
fn seal_long(shared: &[u8; 32], prefix: &[u8; 8], nonce: [u8; 16], data: &[u8], out: &mut Vec<u8>) {
    let (prefix, last) = long_nonce(prefix, nonce);
    let mut data = Zeroizing::new(data.to_vec());
    let tag = Cipher::agreed(shared, &prefix).seal(last, &mut data);
    out.extend_from_slice(&nonce);
    out.extend_from_slice(&tag);
    out.extend_from_slice(&data);
}

/// Opens what [`seal_short`] makes: the nonce and what was in the box.
fn open_short(
    shared: &[u8; 32],
    prefix: &[u8; 16],
    sealed: &[u8],
) -> Option<(u64, Zeroizing<Vec<u8>>)> {
    let (nonce, rest) = sealed.split_first_chunk()?;
    let (tag, data) = rest.split_first_chunk()?;
    let mut data = Zeroizing::new(data.to_vec());
    Cipher::agreed(shared, prefix)
        .open(*nonce, tag, &mut data)
        .then(|| (u64::from_be_bytes(*nonce), data))
}

/// Opens what [`seal_long`] makes.
fn open_long(shared: &[u8; 32], prefix: &[u8; 8], sealed: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let (nonce, rest) = sealed.split_first_chunk()?;
    let (tag, data) = rest.split_first_chunk()?;
    let (prefix, last) = long_nonce(prefix, *nonce);
    let mut data = Zeroizing::new(data.to_vec());
    Cipher::agreed(shared, &prefix)
        .open(last, tag, &mut data)
        .then_some(data)
}

/// 8 and 16 bytes, cut where the cipher wants it.
fn long_nonce(prefix: &[u8; 8], nonce: [u8; 16]) -> ([u8; 16], [u8; 8]) {
    let mut first = [0; 16];
    let mut last = [0; 8];
    let (head, tail) = nonce.split_at(8);
    let (front, back) = first.split_at_mut(8);
    front.copy_from_slice(prefix);
    back.copy_from_slice(head);
    last.copy_from_slice(tail);
    (first, last)
}
