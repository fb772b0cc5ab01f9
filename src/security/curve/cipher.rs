//! XSalsa20 and Poly1305 as `NaCl` puts them together: `crypto_box` and `crypto_secretbox`.

use poly1305::Poly1305;
use poly1305::universal_hash::KeyInit;
use salsa20::cipher::consts::U10;
use salsa20::cipher::{KeyIvInit, StreamCipher};
use salsa20::{Salsa20, hsalsa};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

/// A box's proof that it is whole and from whom it should be. It stands before the box.
pub(super) const TAG: usize = 16;

/// What seals and opens boxes whose nonces begin with the same 16 bytes.
pub(super) struct Cipher {
    subkey: Zeroizing<[u8; 32]>,
}

impl Cipher {
    /// For `crypto_box`: `shared` is what two key pairs agree on.
    pub(super) fn agreed(shared: &[u8; 32], prefix: &[u8; 16]) -> Self {
        Self::new(&extract(shared, &[0; 16]), prefix)
    }

    /// For `crypto_secretbox`: `key` is known to whoever may open the box.
    pub(super) fn new(key: &[u8; 32], prefix: &[u8; 16]) -> Self {
        Self {
            subkey: extract(key, prefix),
        }
    }

    /// Encrypts in place, under the last 8 bytes of the nonce; returns what proves it.
    pub(super) fn seal(&self, nonce: [u8; 8], data: &mut [u8]) -> [u8; TAG] {
        let (mut stream, first, key) = self.stream(nonce);
        let (head, tail) = data.split_at_mut(data.len().min(32));
        mix(head, &first);
        stream.apply_keystream(tail);
        tag(&key, data)
    }

    /// Decrypts in place if the tag proves it; else leaves the data alone and says false.
    pub(super) fn open(&self, nonce: [u8; 8], tag_given: &[u8; TAG], data: &mut [u8]) -> bool {
        let (mut stream, first, key) = self.stream(nonce);
        if !bool::from(tag(&key, data).ct_eq(tag_given)) {
            return false;
        }
        let (head, tail) = data.split_at_mut(data.len().min(32));
        mix(head, &first);
        stream.apply_keystream(tail);
        true
    }

    /// The key stream behind its first block, that block's second half, and the tag's key, which
    /// is its first.
    fn stream(&self, nonce: [u8; 8]) -> (Salsa20, Zeroizing<[u8; 32]>, Zeroizing<[u8; 32]>) {
        let mut stream = Salsa20::new((&*self.subkey).into(), (&nonce).into());
        let mut key = Zeroizing::new([0; 32]);
        stream.apply_keystream(&mut *key);
        let mut first = Zeroizing::new([0; 32]);
        stream.apply_keystream(&mut *first);
        (stream, first, key)
    }
}

impl std::fmt::Debug for Cipher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Cipher(..)")
    }
}

fn extract(key: &[u8; 32], input: &[u8; 16]) -> Zeroizing<[u8; 32]> {
    Zeroizing::new(hsalsa::<U10>(key.into(), input.into()).into())
}

fn mix(data: &mut [u8], stream: &[u8; 32]) {
    for (byte, key) in data.iter_mut().zip(stream) {
        *byte ^= key;
    }
}

fn tag(key: &[u8; 32], data: &[u8]) -> [u8; TAG] {
    Poly1305::new(key.into()).compute_unpadded(data).into()
}
