//! As much of ZMTP 3.1 as a generator needs: what it says is prepared once, and what it hears is
//! walked where it lies.

use crate::Failure;

pub const MORE: u8 = 1;
const LONG: u8 = 2;
const COMMAND: u8 = 4;
/// No message of a tongue here has more.
const MOST: usize = 12;

/// The first thing that is on the wire, with the NULL mechanism.
pub fn greeting() -> [u8; 64] {
    let mut greeting = [0; 64];
    greeting[0] = 0xff;
    greeting[9] = 0x7f;
    greeting[10] = 3;
    greeting[11] = 1;
    greeting[12..16].copy_from_slice(b"NULL");
    greeting
}

/// The second: a DEALER.
pub fn ready() -> Vec<u8> {
    let mut out = Vec::new();
    put(
        &mut out,
        COMMAND,
        b"\x05READY\x0bSocket-Type\0\0\0\x06DEALER",
    );
    out
}

/// Appends a frame.
pub fn put(out: &mut Vec<u8>, flags: u8, body: &[u8]) {
    if let Ok(short) = u8::try_from(body.len()) {
        out.extend_from_slice(&[flags, short]);
    } else {
        out.push(flags | LONG);
        out.extend_from_slice(&(body.len() as u64).to_be_bytes());
    }
    out.extend_from_slice(body);
}

/// Appends a message.
pub fn message(out: &mut Vec<u8>, frames: &[&[u8]]) {
    for (place, frame) in frames.iter().enumerate() {
        let flags = if place + 1 < frames.len() { MORE } else { 0 };
        put(out, flags, frame);
    }
}

/// The PONG that a PING wants, if this is one.
pub fn pong(out: &mut Vec<u8>, command: &[u8]) {
    if let Some(context) = command
        .strip_prefix(b"\x04PING")
        .and_then(|rest| rest.get(2..))
    {
        put(out, COMMAND, &[b"\x04PONG", context].concat());
    }
}

#[allow(
    clippy::large_enum_variant,
    reason = "lives on the stack until it is looked at, which is at once"
)]
pub enum Unit<'a> {
    Message(Message<'a>),
    Command(&'a [u8]),
}

/// A message where it lies.
pub struct Message<'a> {
    wire: &'a [u8],
    /// Where each frame begins, its body begins and it ends.
    frames: [(usize, usize, usize); MOST],
    count: usize,
}

impl<'a> Message<'a> {
    pub fn count(&self) -> usize {
        self.count
    }

    /// The body of frame `n`; nothing if there is none.
    pub fn frame(&self, n: usize) -> &'a [u8] {
        match self.frames[..self.count].get(n) {
            Some((_, body, end)) => &self.wire[*body..*end],
            None => &[],
        }
    }

    pub fn last(&self) -> &'a [u8] {
        self.frame(self.count - 1)
    }

    /// Frame `n` and all behind it, as they are on the wire.
    pub fn from(&self, n: usize) -> &'a [u8] {
        match self.frames[..self.count].get(n) {
            Some((start, ..)) => &self.wire[*start..],
            None => &[],
        }
    }

    pub fn bodies(&self) -> impl Iterator<Item = &'a [u8]> {
        (0..self.count).map(|n| self.frame(n))
    }
}

/// The first whole message or command in these bytes, and how many of them it takes.
pub fn next(bytes: &[u8]) -> Result<Option<(Unit<'_>, usize)>, Failure> {
    let mut message = Message {
        wire: bytes,
        frames: [(0, 0, 0); MOST],
        count: 0,
    };
    let mut at = 0;
    loop {
        let Some((flags, body, end)) = frame(bytes, at) else {
            return Ok(None);
        };
        if flags & COMMAND != 0 {
            return Ok(Some((Unit::Command(&bytes[body..end]), end)));
        }
        let Some(place) = message.frames.get_mut(message.count) else {
            return Err("a message of too many frames".into());
        };
        *place = (at, body, end);
        message.count += 1;
        at = end;
        if flags & MORE == 0 {
            message.wire = &bytes[..end];
            return Ok(Some((Unit::Message(message), end)));
        }
    }
}

/// Flags, and where the body of the frame at `at` begins and ends, if all of it is there.
fn frame(bytes: &[u8], at: usize) -> Option<(u8, usize, usize)> {
    let flags = *bytes.get(at)?;
    let (body, len) = if flags & LONG == 0 {
        (at + 2, usize::from(*bytes.get(at + 1)?))
    } else {
        let len = bytes.get(at + 1..at + 9)?;
        let len = u64::from_be_bytes(len.try_into().ok()?);
        (at + 9, usize::try_from(len).ok()?)
    };
    let end = body.checked_add(len)?;
    (end <= bytes.len()).then_some((flags, body, end))
}

/// The message that these bytes begin with.
#[cfg(test)]
pub fn read(wire: &[u8]) -> Message<'_> {
    match next(wire) {
        Ok(Some((Unit::Message(message), _))) => message,
        _ => panic!("no message"),
    }
}

#[cfg(test)]
mod tests {
    use super::{Unit, message, next, pong, put, ready};

    #[test]
    fn a_message_cut_anywhere_waits_for_its_rest() {
        let large = vec![9; 300];
        let mut wire = Vec::new();
        message(&mut wire, &[b"", b"MDPC01", &large]);
        let whole = wire.len();
        message(&mut wire, &[b"next"]);
        for cut in 0..whole {
            assert!(next(&wire[..cut]).unwrap().is_none(), "{cut}");
        }
        let Some((Unit::Message(first), used)) = next(&wire).unwrap() else {
            panic!("no message");
        };
        assert_eq!(used, whole);
        let bodies: Vec<_> = first.bodies().collect();
        assert_eq!(bodies, [&b""[..], b"MDPC01", &large]);
        assert_eq!(first.from(2).len(), 309);
        assert_eq!(first.from(3), b"");
        assert_eq!(first.frame(3), b"");
    }

    #[test]
    fn a_command_is_told_from_a_message() {
        let wire = ready();
        let Ok(Some((Unit::Command(body), _))) = next(&wire) else {
            panic!("no command");
        };
        assert!(body.starts_with(b"\x05READY"));
    }

    #[test]
    fn a_ping_is_answered_with_its_context() {
        let mut out = Vec::new();
        pong(&mut out, b"\x04PING\0\x0aabc");
        assert_eq!(out, b"\x04\x08\x04PONGabc");
        out.clear();
        pong(&mut out, b"\x04PONGabc");
        assert!(out.is_empty());
    }

    #[test]
    fn too_many_frames_are_refused() {
        let mut wire = Vec::new();
        (0..100).for_each(|_| put(&mut wire, super::MORE, b"x"));
        assert!(next(&wire).is_err());
    }
}
