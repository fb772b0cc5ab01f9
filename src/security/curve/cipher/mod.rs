//! XSalsa20 and Poly1305 as `NaCl` puts them together: `crypto_box`.
//!
//! Both halves are our own, for speed without `unsafe` (`spec/decisions/0007-ciphers.md`).
//! Nothing here branches on a secret or finds its way in memory by one.

mod poly1305;
mod salsa20;

use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use self::poly1305::Poly1305;
use self::salsa20::{Block, Key, Stream};

/// A box's proof that it is whole and from whom it should be. It stands before the box.
pub(super) const TAG: usize = 16;

/// What seals and opens boxes whose nonces begin with the same 16 bytes.
pub(super) struct Cipher {
    key: Key,
}

impl Cipher {
    /// For `crypto_box`: `shared` is what two key pairs agree on.
    pub(super) fn agreed(shared: &[u8; 32], prefix: &[u8; 16]) -> Self {
        Self {
            key: Key::new(shared).extract(&[0; 16]).extract(prefix),
        }
    }

    /// Encrypts in place, under the last 8 bytes of the nonce; returns what proves it.
    pub(super) fn seal(&self, nonce: [u8; 8], data: &mut [u8]) -> [u8; TAG] {
        fn with<const N: usize>(key: &Key, nonce: [u8; 8], data: &mut [u8]) -> [u8; TAG] {
            let (proof, pad) = Pad::<N>::begin(key, nonce);
            pad.mix(data);
            proof.tag(data)
        }
        match blocks(32 + data.len()) {
            0..=2 => with::<2>(&self.key, nonce, data),
            3..=4 => with::<4>(&self.key, nonce, data),
            _ => with::<8>(&self.key, nonce, data),
        }
    }

    /// Decrypts in place if the tag proves it; else leaves the data alone and says false.
    pub(super) fn open(&self, nonce: [u8; 8], tag: &[u8; TAG], data: &mut [u8]) -> bool {
        fn with<const N: usize>(
            key: &Key,
            nonce: [u8; 8],
            tag: &[u8; TAG],
            data: &mut [u8],
        ) -> bool {
            let (proof, pad) = Pad::<N>::begin(key, nonce);
            let whole = bool::from(proof.tag(data).ct_eq(tag));
            if whole {
                pad.mix(data);
            }
            whole
        }
        match blocks(32 + data.len()) {
            0..=2 => with::<2>(&self.key, nonce, tag, data),
            3..=4 => with::<4>(&self.key, nonce, tag, data),
            _ => with::<8>(&self.key, nonce, tag, data),
        }
    }
}

impl std::fmt::Debug for Cipher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Cipher(..)")
    }
}

/// A box's key stream, `N` blocks at a time. The first half of its first block is the key of the
/// proof, the rest is mixed with the message.
struct Pad<'a, const N: usize> {
    stream: Stream<'a>,
    blocks: Zeroizing<[Block; N]>,
}

impl<'a, const N: usize> Pad<'a, N> {
    fn begin(key: &'a Key, nonce: [u8; 8]) -> (Poly1305, Self) {
        let mut pad = Self {
            stream: key.stream(nonce),
            blocks: Zeroizing::new([[0; 8]; N]),
        };
        pad.stream.fill(&mut *pad.blocks);
        let mut proof = Zeroizing::new([0; 4]);
        for (to, from) in proof.iter_mut().zip(pad.blocks.as_flattened()) {
            *to = *from;
        }
        (Poly1305::new(&proof), pad)
    }

    fn mix(mut self, data: &mut [u8]) {
        let (head, tail) = data.split_at_mut(data.len().min(N * 64 - 32));
        let (_, rest_of_first) = self.blocks.as_flattened().split_at(4);
        mix(head, rest_of_first);
        for piece in tail.chunks_mut(N * 64) {
            let needed = blocks(piece.len()).next_power_of_two().max(2);
            let (needed, _) = self.blocks.split_at_mut(needed.min(N));
            self.stream.fill(needed);
            mix(piece, needed.as_flattened());
        }
    }
}

/// How many blocks have so many bytes.
const fn blocks(bytes: usize) -> usize {
    bytes.div_ceil(64)
}

/// As many bytes as there are, each with its own of the pad, which is as long or longer.
fn mix(data: &mut [u8], pad: &[u64]) {
    let (words, tail) = data.as_chunks_mut::<8>();
    for (word, key) in words.iter_mut().zip(pad) {
        *word = (u64::from_le_bytes(*word) ^ key).to_le_bytes();
    }
    if let Some(key) = pad.get(words.len()) {
        for (byte, key) in tail.iter_mut().zip(key.to_le_bytes()) {
            *byte ^= key;
        }
    }
}

#[cfg(test)]
mod tests;
