//! What fitted before: who connects again is not hashed again.

use std::collections::{BTreeSet, VecDeque};
use std::fmt;
use std::sync::{Mutex, PoisonError};

use blake2::Blake2bMac;
use blake2::digest::consts::U32;
use blake2::digest::{KeyInit, Mac};
use zeroize::Zeroizing;

/// The last successes. A user, its password and its stored hash stand in it as one number, which
/// means nothing without a key that dies with the process.
pub(super) struct Memory {
    key: Zeroizing<[u8; 64]>,
    room: usize,
    fitted: Mutex<Fitted>,
}

#[derive(Default)]
struct Fitted {
    all: BTreeSet<Digest>,
    /// The oldest first.
    by_age: VecDeque<Digest>,
}

/// Stands for a user with its password and its stored hash.
pub(super) type Digest = [u8; 32];

impl Memory {
    /// With room for so many. The key is as random as can be.
    pub(super) fn new(key: Zeroizing<[u8; 64]>, room: usize) -> Self {
        Self {
            key,
            room,
            fitted: Mutex::default(),
        }
    }

    /// A number that nobody else can compute, for fields in this order.
    pub(super) fn digest(&self, fields: &[&[u8]]) -> Digest {
        let key: &[u8; 64] = &self.key;
        let mut mac = Blake2bMac::<U32>::new(key.into());
        for field in fields {
            // With its length, so that no two lists of fields are the same bytes.
            mac.update(&u64::try_from(field.len()).unwrap_or(u64::MAX).to_be_bytes());
            mac.update(field);
        }
        mac.finalize().into_bytes().into()
    }

    pub(super) fn knows(&self, digest: &Digest) -> bool {
        let fitted = self.fitted.lock().unwrap_or_else(PoisonError::into_inner);
        fitted.all.contains(digest)
    }

    /// The oldest makes room for it.
    pub(super) fn learn(&self, digest: Digest) {
        let mut fitted = self.fitted.lock().unwrap_or_else(PoisonError::into_inner);
        if !fitted.all.insert(digest) {
            return;
        }
        fitted.by_age.push_back(digest);
        if fitted.by_age.len() > self.room
            && let Some(oldest) = fitted.by_age.pop_front()
        {
            fitted.all.remove(&oldest);
        }
    }
}

impl fmt::Debug for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Memory").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn memory(key: u8, room: usize) -> Memory {
        Memory::new(Zeroizing::new([key; 64]), room)
    }

    #[test]
    fn a_digest_depends_on_the_key_and_on_every_field() {
        let one = memory(1, 9);
        let digest = one.digest(&[b"ab", b"c"]);
        assert_eq!(digest, one.digest(&[b"ab", b"c"]));
        for other in [
            one.digest(&[b"a", b"bc"]),
            one.digest(&[b"ab", b"c", b""]),
            one.digest(&[b"c", b"ab"]),
            memory(2, 9).digest(&[b"ab", b"c"]),
        ] {
            assert_ne!(digest, other);
        }
    }

    #[test]
    fn the_oldest_is_forgotten_first() {
        let memory = memory(1, 2);
        for digest in [1, 2, 1, 3] {
            memory.learn([digest; 32]);
        }
        let known = [1, 2, 3].map(|digest| memory.knows(&[digest; 32]));
        assert_eq!(known, [false, true, true]);
        let fitted = memory.fitted.lock().unwrap();
        assert_eq!((fitted.all.len(), fitted.by_age.len()), (2, 2));
    }
}
