//! Argon2id hashes in their usual text form, within bounds that a file cannot lift.
//!
//! The form is that of the PHC string format: `$argon2id$v=19$m=19456,t=2,p=1$salt$hash`, both in
//! Base64 without padding. Hashes of other programs fit, too: those of the command `argon2 -id` and
//! of Python's argon2-cffi are within the bounds as they come.

use std::fmt;

use argon2::{Algorithm, Argon2, Block, Params, Version};
use base64ct::{Base64Unpadded, Encoding};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

/// One password's hash.
#[derive(Clone, Eq, PartialEq)]
pub(super) struct Hash {
    cost: Cost,
    salt: Vec<u8>,
    output: Vec<u8>,
}

/// What it takes to compute one.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Cost {
    /// KiB.
    memory: u32,
    passes: u32,
    /// Computed one after the other, all the same.
    lanes: u32,
}

/// Why text is no hash that is taken.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub(super) enum HashError {
    #[error("not `$argon2id$v=19$m=…,t=…,p=…$salt$hash`, as `scale0 passwd` writes it")]
    Form,
    #[error(
        "a hash that takes more than {MAX_MEMORY} KiB (m), {MAX_PASSES} passes (t) or {MAX_LANES} lanes (p) to check"
    )]
    Cost,
}

/// The hash could not be computed: there is no memory.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct NoMemory;

impl Hash {
    /// Reads a hash.
    pub(super) fn parse(text: &str) -> Result<Self, HashError> {
        let fields: Vec<&str> = text.splitn(7, '$').collect();
        let &["", "argon2id", "v=19", cost, salt, output] = fields.as_slice() else {
            return Err(HashError::Form);
        };
        let cost = Cost::parse(cost)?;
        let salt = decode(salt, 8..=64).ok_or(HashError::Form)?;
        let output = decode(output, 16..=64).ok_or(HashError::Form)?;
        Ok(Self { cost, salt, output })
    }

    /// Hashes a password. The salt is as random as can be.
    pub(super) fn make(password: &[u8], salt: [u8; 16]) -> Result<Self, NoMemory> {
        let mut hash = Self {
            cost: Cost::USUAL,
            salt: salt.to_vec(),
            output: vec![0; 32],
        };
        hash.output = hash.compute(password)?.to_vec();
        Ok(hash)
    }

    /// A hash that takes as long to check as one that [`make`](Self::make) makes, and fits nothing.
    pub(super) fn usual() -> Self {
        Self {
            cost: Cost::USUAL,
            salt: vec![0; 16],
            output: vec![0; 32],
        }
    }

    /// Whether this is the hash of a password. Takes the processor for some 20 ms, and as much
    /// memory as its cost says.
    pub(super) fn fits(&self, password: &[u8]) -> Result<bool, NoMemory> {
        let output = self.compute(password)?;
        Ok(output.ct_eq(&self.output).into())
    }

    fn compute(&self, password: &[u8]) -> Result<Zeroizing<Vec<u8>>, NoMemory> {
        let Cost {
            memory,
            passes,
            lanes,
        } = self.cost;
        let mut output = Zeroizing::new(vec![0; self.output.len()]);
        let params =
            Params::new(memory, passes, lanes, Some(output.len())).map_err(|_| NoMemory)?;
        let blocks = params.block_count();
        // Wiped afterwards: whoever finds its end finds the password sooner.
        let mut room: Zeroizing<Vec<Block>> = Zeroizing::default();
        room.try_reserve_exact(blocks).map_err(|_| NoMemory)?;
        room.resize(blocks, Block::new());
        Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
            .hash_password_into_with_memory(password, &self.salt, &mut output, &mut room[..])
            .map_err(|_| NoMemory)?;
        Ok(output)
    }
}

impl Cost {
    /// What OWASP recommends at least: 19 MiB and two passes.
    const USUAL: Self = Self {
        memory: 19 * 1024,
        passes: 2,
        lanes: 1,
    };

    fn parse(text: &str) -> Result<Self, HashError> {
        let fields: Vec<&str> = text.splitn(4, ',').collect();
        let &[memory, passes, lanes] = fields.as_slice() else {
            return Err(HashError::Form);
        };
        let cost = Self {
            memory: number(memory, "m=")?,
            passes: number(passes, "t=")?,
            lanes: number(lanes, "p=")?,
        };
        // RFC 9106: no lane has less than eight blocks.
        if cost.passes == 0 || cost.lanes == 0 || cost.memory / 8 < cost.lanes {
            return Err(HashError::Form);
        }
        if cost.memory > MAX_MEMORY || cost.passes > MAX_PASSES || cost.lanes > MAX_LANES {
            return Err(HashError::Cost);
        }
        Ok(cost)
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Cost {
            memory,
            passes,
            lanes,
        } = self.cost;
        let (mut salt, mut output) = ([0; 88], [0; 88]);
        let salt = Base64Unpadded::encode(&self.salt, &mut salt).map_err(|_| fmt::Error)?;
        let output = Base64Unpadded::encode(&self.output, &mut output).map_err(|_| fmt::Error)?;
        write!(
            f,
            "$argon2id$v=19$m={memory},t={passes},p={lanes}${salt}${output}"
        )
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Hash").field(&self.cost).finish()
    }
}

/// A decimal number behind its name: digits and nothing else.
fn number(text: &str, name: &str) -> Result<u32, HashError> {
    let digits = text.strip_prefix(name).ok_or(HashError::Form)?;
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(HashError::Form);
    }
    // Nothing but its size can be wrong.
    digits.parse().map_err(|_| HashError::Cost)
}

fn decode(text: &str, lens: std::ops::RangeInclusive<usize>) -> Option<Vec<u8>> {
    let mut bytes = [0; 64];
    let decoded = Base64Unpadded::decode(text, &mut bytes).ok()?;
    lens.contains(&decoded.len()).then(|| decoded.to_vec())
}

const MAX_MEMORY: u32 = 64 * 1024;
const MAX_PASSES: u32 = 8;
const MAX_LANES: u32 = 8;

#[cfg(test)]
mod tests {
    use super::*;

    // The known answers of the reference implementation for `password` and `somesalt`.
    const REFERENCE: &str =
        "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc";
    const SMALL: &str =
        "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4";

    #[test]
    fn hashes_of_the_reference_implementation_fit() {
        for text in [REFERENCE, SMALL] {
            let hash = Hash::parse(text).unwrap();
            assert_eq!(hash.to_string(), text);
            assert_eq!(hash.fits(b"password"), Ok(true), "{text}");
            assert_eq!(hash.fits(b"passwore"), Ok(false), "{text}");
        }
    }

    #[test]
    fn a_hash_that_is_made_fits_its_password_only() {
        let hash = Hash::make(b"secret", [7; 16]).unwrap();
        let read = Hash::parse(&hash.to_string()).unwrap();
        assert_eq!(read, hash);
        assert_eq!(read.fits(b"secret"), Ok(true));
        assert_eq!(read.fits(b""), Ok(false));
        assert_eq!(Hash::usual().fits(b"secret"), Ok(false));
        let printed = format!("{hash:?}");
        assert!(
            !printed.contains('$') && !printed.contains("salt"),
            "{printed}"
        );
    }

    #[test]
    fn costs_are_taken_up_to_their_limits() {
        let with = |cost: &str| SMALL.replace("m=256,t=2,p=1", cost);
        for cost in ["m=65536,t=8,p=8", "m=8,t=1,p=1", "m=64,t=1,p=8"] {
            assert!(Hash::parse(&with(cost)).is_ok(), "{cost}");
        }
        for cost in [
            "m=65537,t=2,p=1",
            "m=256,t=9,p=1",
            "m=256,t=2,p=9",
            "m=99999999999999999999,t=2,p=1",
        ] {
            assert_eq!(Hash::parse(&with(cost)), Err(HashError::Cost), "{cost}");
        }
        for cost in [
            "m=7,t=1,p=1",
            "m=63,t=1,p=8",
            "m=256,t=0,p=1",
            "m=256,t=1,p=0",
            "m=+256,t=2,p=1",
            "m=256,t=2",
            "m=256,t=2,p=1,data=AAAA",
            "t=2,m=256,p=1",
            "",
        ] {
            assert_eq!(Hash::parse(&with(cost)), Err(HashError::Form), "{cost}");
        }
    }

    #[test]
    fn what_is_no_hash_is_refused() {
        for text in [
            "",
            "secret",
            "$",
            "$2b$12$abcdefghijklmnopqrstuv",
            &SMALL.replace("argon2id", "argon2i"),
            &SMALL.replace("v=19", "v=16"),
            &SMALL.replace("c29tZXNhbHQ", "c2Fs"),
            &SMALL.replace("c29tZXNhbHQ", &"A".repeat(100)),
            &SMALL.replace("c29tZXNhbHQ", "c29tZXNhbHQ="),
            &format!("{SMALL}$"),
            &format!("{SMALL} "),
            &SMALL[..SMALL.len() - 30],
        ] {
            assert_eq!(Hash::parse(text), Err(HashError::Form), "{text}");
        }
    }
}
