//! MESSAGE: what flows once both sides know each other (RFC 26, "The MESSAGE command").
//!
//! The frame around it carries no flags: those of the peer's frame are inside, where nobody can
//! change them (bit 0 MORE, bit 1 COMMAND, the latter as libzmq has it).

use zeroize::Zeroizing;

use super::cipher::{Cipher, TAG};
use super::{MESSAGE_OF_CLIENT, MESSAGE_OF_SERVER};
use crate::security::Error;
use crate::wire::Header;

/// Seals one direction of a connection.
#[derive(Debug)]
pub struct Sealer {
    cipher: Cipher,
    next: u64,
}

/// Opens the other one.
#[derive(Debug)]
pub struct Opener {
    cipher: Cipher,
    /// The greatest nonce so far.
    last: u64,
}

/// What a seal protects besides the bytes.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Flags {
    /// More parts of the message follow.
    pub more: bool,
    /// A command's body rather than a message's part.
    pub command: bool,
}

/// Both directions as the client has them: `next` is its next nonce, `last` the server's latest.
pub(super) fn of_client(shared: &Zeroizing<[u8; 32]>, next: u64, last: u64) -> (Sealer, Opener) {
    let sealer = Sealer {
        cipher: Cipher::agreed(shared, MESSAGE_OF_CLIENT),
        next,
    };
    let opener = Opener {
        cipher: Cipher::agreed(shared, MESSAGE_OF_SERVER),
        last,
    };
    (sealer, opener)
}

/// Both directions as the server has them.
pub(super) fn of_server(shared: &Zeroizing<[u8; 32]>, next: u64, last: u64) -> (Sealer, Opener) {
    let sealer = Sealer {
        cipher: Cipher::agreed(shared, MESSAGE_OF_SERVER),
        next,
    };
    let opener = Opener {
        cipher: Cipher::agreed(shared, MESSAGE_OF_CLIENT),
        last,
    };
    (sealer, opener)
}

impl Sealer {
    /// Whether a message of so many parts would use up the nonces.
    #[must_use]
    pub fn is_spent(&self, parts: usize) -> bool {
        self.next.checked_add(parts as u64).is_none()
    }

    /// Appends a whole frame with `data`, which may come in two pieces. Without a nonce left it
    /// appends nothing; ask [`is_spent`](Self::is_spent) before.
    pub fn seal(&mut self, flags: Flags, data: [&[u8]; 2], out: &mut Vec<u8>) {
        let nonce = self.next;
        let Some(next) = nonce.checked_add(1) else {
            return;
        };
        self.next = next;
        let len = data.iter().map(|piece| piece.len()).sum::<usize>();
        let size = Opener::OVERHEAD + len;
        out.reserve(Header::MAX + size);
        Header {
            more: false,
            command: false,
            size: size as u64,
        }
        .write(out);
        out.extend_from_slice(NAME);
        out.extend_from_slice(&nonce.to_be_bytes());
        let tag_at = out.len();
        out.extend_from_slice(&[0; TAG]);
        let from = out.len();
        out.push((u8::from(flags.more) * MORE) | (u8::from(flags.command) * COMMAND));
        for piece in data {
            out.extend_from_slice(piece);
        }
        let sealed = out.get_mut(from..).unwrap_or_default();
        let tag = self.cipher.seal(nonce.to_be_bytes(), sealed);
        if let Some(place) = out.get_mut(tag_at..from) {
            place.copy_from_slice(&tag);
        }
    }
}

impl Opener {
    /// Bytes of a frame's body that are not the data.
    pub const OVERHEAD: usize = 8 + 8 + TAG + 1;

    /// The first of them, which are not sealed themselves.
    pub const HEAD: usize = Self::OVERHEAD - 1;

    /// Opens a frame's body in place. What was sealed stands behind its first
    /// [`OVERHEAD`](Self::OVERHEAD) bytes.
    ///
    /// # Errors
    /// It is no MESSAGE, its nonce is not greater than all before, or the key does not open it.
    /// The connection is over then.
    pub fn open(&mut self, body: &mut [u8]) -> Result<Flags, Error> {
        let (head, sealed) = body.split_at_mut(body.len().min(Self::HEAD));
        self.open_behind(head, sealed)
    }

    /// The same where the body's first [`HEAD`](Self::HEAD) bytes stand elsewhere. What was
    /// sealed stands behind the first byte of `sealed`.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_behind(&mut self, head: &[u8], sealed: &mut [u8]) -> Result<Flags, Error> {
        let (name, rest) = head.split_first_chunk().ok_or(Error::Clear)?;
        if name != NAME {
            return Err(Error::Clear);
        }
        let malformed = || Error::Malformed {
            command: "MESSAGE",
            len: rest.len() + sealed.len(),
        };
        let (nonce, tag) = rest.split_first_chunk().ok_or_else(malformed)?;
        let tag = tag.try_into().map_err(|_| malformed())?;
        if sealed.is_empty() {
            return Err(malformed());
        }
        // Before the cipher does any work; and kept only if the seal holds.
        let number = u64::from_be_bytes(*nonce);
        if number <= self.last {
            return Err(Error::Replayed);
        }
        if !self.cipher.open(*nonce, tag, sealed) {
            return Err(Error::Sealed { command: "MESSAGE" });
        }
        if number == u64::MAX {
            // Nothing may follow it, and an honest peer would not get there.
            return Err(Error::Exhausted);
        }
        self.last = number;
        let flags = sealed.first().copied().unwrap_or_default();
        Ok(Flags {
            more: flags & MORE != 0,
            command: flags & COMMAND != 0,
        })
    }
}

const NAME: &[u8; 8] = b"\x07MESSAGE";
const MORE: u8 = 1;
const COMMAND: u8 = 2;

#[cfg(test)]
mod tests {
    use super::*;

    fn pair() -> (Sealer, Opener) {
        let shared = Zeroizing::new([7; 32]);
        (of_client(&shared, 3, 1).0, of_server(&shared, 2, 2).1)
    }

    fn sealed(sealer: &mut Sealer, flags: Flags, data: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        sealer.seal(flags, [data, b""], &mut out);
        let (_, len) = Header::read(&out).unwrap().unwrap();
        out.split_off(len)
    }

    #[test]
    fn what_was_sealed_opens_once_and_in_order_only() {
        let (mut sealer, mut opener) = pair();
        let more = Flags {
            more: true,
            command: false,
        };
        let first = sealed(&mut sealer, more, b"hello");
        let second = sealed(&mut sealer, Flags::default(), b"");
        let third = sealed(
            &mut sealer,
            Flags {
                more: false,
                command: true,
            },
            b"\x04PING\0\0",
        );
        let mut body = first.clone();
        assert_eq!(opener.open(&mut body), Ok(more));
        assert_eq!(&body[Opener::OVERHEAD..], b"hello");
        assert_eq!(opener.open(&mut first.clone()), Err(Error::Replayed));
        // A gap is legal, going back is not.
        assert_eq!(
            opener.open(&mut third.clone()).map(|flags| flags.command),
            Ok(true)
        );
        assert_eq!(opener.open(&mut second.clone()), Err(Error::Replayed));
    }

    #[test]
    fn no_bit_can_be_changed_and_a_failure_does_not_use_the_nonce_up() {
        let (mut sealer, mut opener) = pair();
        let body = sealed(&mut sealer, Flags::default(), b"hello");
        for bit in 0..body.len() * 8 {
            let mut changed = body.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert!(opener.open(&mut changed).is_err(), "bit {bit}");
        }
        for cut in 0..body.len() {
            assert!(
                opener.open(&mut body[..cut].to_vec()).is_err(),
                "cut at {cut}"
            );
        }
        assert_eq!(opener.open(&mut body.clone()), Ok(Flags::default()));
    }

    #[test]
    fn the_last_nonce_is_never_used() {
        let shared = Zeroizing::new([7; 32]);
        let (mut sealer, _) = of_client(&shared, u64::MAX - 1, 1);
        let (_, mut opener) = of_server(&shared, 2, 2);
        assert!(!sealer.is_spent(1) && sealer.is_spent(2));
        let mut body = sealed(&mut sealer, Flags::default(), b"last");
        assert_eq!(opener.open(&mut body), Ok(Flags::default()));
        assert!(sealer.is_spent(1));
        let mut out = Vec::new();
        sealer.seal(Flags::default(), [b"too late", b""], &mut out);
        assert_eq!(out, b"");
    }
}
