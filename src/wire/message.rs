//! A message as a value: its parts in wire form, one behind the other in one buffer.
//!
//! A broker passes most of what it reads straight on. Parts that keep their frame headers can be
//! sent again by one copy (or none), cost one allocation for all of them, and pin nothing but
//! themselves.

use std::sync::Arc;

use bytes::Bytes;

use super::Header;

/// Zero or more parts, each with its canonical frame header, the last without MORE.
///
/// A message on a socket has at least one part; none is what remains of a task without a body.
#[derive(Clone, Default)]
pub struct Message {
    wire: Wire,
}

/// Where the frames are.
#[derive(Clone)]
enum Wire {
    /// In one allocation with their count of owners, the first of them so far behind its beginning.
    /// Most messages are small, and shared at least once: that must not cost another allocation.
    Small(Arc<[u8]>, u32),
    /// Wherever they came to be.
    Large(Bytes),
}

impl Default for Wire {
    fn default() -> Self {
        Self::Large(Bytes::new())
    }
}

/// What is sent as one message: parts made on the spot, and parts that came from elsewhere.
#[derive(Clone, Copy, Debug)]
pub enum Piece<'a> {
    /// One part with this body.
    Part(&'a [u8]),
    /// All parts of a message, possibly none.
    Parts(&'a Message),
}

impl Message {
    /// A message of the given parts.
    pub fn new<P: AsRef<[u8]>>(parts: impl IntoIterator<Item = P>) -> Self {
        let mut builder = Builder::default();
        for part in parts {
            builder.part(part.as_ref());
        }
        builder.finish()
    }

    /// One part.
    #[must_use]
    pub fn single(part: &[u8]) -> Self {
        Self::default().behind(part)
    }

    /// Takes bytes that are known to be canonical frames of one message.
    pub(crate) fn from_wire(wire: Bytes) -> Self {
        Self {
            wire: Wire::Large(wire),
        }
    }

    /// Copies bytes that are known to be canonical frames of one message.
    pub(crate) fn copy_of_wire(wire: &[u8]) -> Self {
        let wire = match wire.len() {
            0..=SMALL => Wire::Small(Arc::from(wire), 0),
            _ => Wire::Large(Bytes::copy_from_slice(wire)),
        };
        Self { wire }
    }

    /// The frames as they stand on the wire.
    #[must_use]
    pub fn wire(&self) -> &[u8] {
        match &self.wire {
            Wire::Small(bytes, from) => bytes.get(*from as usize..).unwrap_or_default(),
            Wire::Large(bytes) => bytes,
        }
    }

    /// The same as a value that shares this message's buffer.
    #[must_use]
    pub fn share_wire(&self) -> Bytes {
        match &self.wire {
            Wire::Small(bytes, from) => {
                let mut bytes = Bytes::from_owner(Arc::clone(bytes));
                bytes::Buf::advance(&mut bytes, *from as usize);
                bytes
            }
            Wire::Large(bytes) => bytes.clone(),
        }
    }

    /// Whether there is no part at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.wire().is_empty()
    }

    /// The bodies of the parts, in order.
    #[must_use]
    pub fn parts(&self) -> Parts<'_> {
        Parts { rest: self.wire() }
    }

    /// The number of parts; walks them.
    #[must_use]
    pub fn count(&self) -> usize {
        self.parts().count()
    }

    /// The first part.
    #[must_use]
    pub fn first(&self) -> Option<&[u8]> {
        self.parts().next()
    }

    /// The bodies' bytes together.
    #[must_use]
    pub fn payload(&self) -> usize {
        self.parts().map(<[u8]>::len).sum()
    }

    /// Drops the first `n` parts (or all there are), without copying the rest.
    pub fn skip(&mut self, n: usize) {
        let mut parts = self.parts();
        for _ in parts.by_ref().take(n) {}
        let gone = self.wire().len() - parts.rest.len();
        match &mut self.wire {
            // Not longer than SMALL.
            Wire::Small(_, from) => *from += u32::try_from(gone).unwrap_or_default(),
            Wire::Large(bytes) => bytes::Buf::advance(bytes, gone),
        }
    }

    /// This message with one more part in front.
    #[must_use]
    pub fn behind(&self, first: &[u8]) -> Self {
        let rest = self.wire();
        let len = Header::len_for(first.len()) + first.len() + rest.len();
        let mut wire = Vec::with_capacity(len);
        Header {
            more: !rest.is_empty(),
            command: false,
            size: first.len() as u64,
        }
        .write(&mut wire);
        wire.extend_from_slice(first);
        wire.extend_from_slice(rest);
        Self::from_wire(Bytes::from(wire))
    }

    /// Each part as a value of its own that shares this message's buffer.
    #[must_use]
    pub fn into_parts(self) -> Vec<Bytes> {
        let wire = self.share_wire();
        self.parts().map(|part| wire.slice_ref(part)).collect()
    }
}

impl PartialEq for Message {
    fn eq(&self, other: &Self) -> bool {
        self.wire() == other.wire()
    }
}

impl Eq for Message {}

impl Ord for Message {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.wire().cmp(other.wire())
    }
}

impl PartialOrd for Message {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl std::hash::Hash for Message {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.wire().hash(state);
    }
}

impl<P: AsRef<[u8]>> FromIterator<P> for Message {
    fn from_iter<I: IntoIterator<Item = P>>(parts: I) -> Self {
        Self::new(parts)
    }
}

impl From<&[u8]> for Message {
    /// One part.
    fn from(part: &[u8]) -> Self {
        Self::single(part)
    }
}

impl<const N: usize> From<&[u8; N]> for Message {
    /// One part.
    fn from(part: &[u8; N]) -> Self {
        Self::single(part)
    }
}

impl From<&str> for Message {
    /// One part.
    fn from(part: &str) -> Self {
        Self::single(part.as_bytes())
    }
}

impl From<String> for Message {
    /// One part.
    fn from(part: String) -> Self {
        Self::single(part.as_bytes())
    }
}

impl From<Vec<u8>> for Message {
    /// One part.
    fn from(part: Vec<u8>) -> Self {
        Self::single(&part)
    }
}

impl From<Bytes> for Message {
    /// One part.
    fn from(part: Bytes) -> Self {
        Self::single(&part)
    }
}

impl From<Vec<Bytes>> for Message {
    /// As many parts as there are values.
    fn from(parts: Vec<Bytes>) -> Self {
        Self::new(parts)
    }
}

impl From<()> for Message {
    /// No part at all.
    fn from((): ()) -> Self {
        Self::default()
    }
}

impl std::fmt::Debug for Message {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Long parts are cut: a log line shows what a message is, not all of it.
        let short = |part: &[u8]| Bytes::copy_from_slice(part.get(..64).unwrap_or(part));
        f.debug_list().entries(self.parts().map(short)).finish()
    }
}

/// Iterator over the bodies of a message's parts.
#[derive(Clone, Debug)]
pub struct Parts<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Parts<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        // A Message holds whole, canonical frames only, so this reads every part.
        let (header, len) = Header::read(self.rest).ok()??;
        let end = len + usize::try_from(header.size).ok()?;
        let frame = self.rest.get(..end)?;
        self.rest = self.rest.get(end..)?;
        frame.get(len..)
    }
}

/// Puts a message together part by part.
#[derive(Debug, Default)]
pub struct Builder {
    wire: Vec<u8>,
    /// Where the flags of the last part stand: it gets MORE when another part follows.
    last: usize,
}

impl Builder {
    /// Appends one part.
    pub fn part(&mut self, body: &[u8]) {
        if let Some(flags) = self.wire.get_mut(self.last) {
            *flags |= MORE;
        }
        self.last = self.wire.len();
        Header {
            more: false,
            command: false,
            size: body.len() as u64,
        }
        .write(&mut self.wire);
        self.wire.extend_from_slice(body);
    }

    /// Appends all parts of a message.
    pub fn parts(&mut self, message: &Message) {
        for part in message.parts() {
            self.part(part);
        }
    }

    /// Bytes so far, frame headers included.
    #[must_use]
    pub fn len(&self) -> usize {
        self.wire.len()
    }

    /// Whether there is no part yet.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.wire.is_empty()
    }

    /// The message, in a buffer of exactly its size.
    #[must_use]
    pub fn finish(self) -> Message {
        Message::from_wire(Bytes::from(self.wire.into_boxed_slice()))
    }
}

const MORE: u8 = 1;
/// Up to here a copy is cheaper than anything else.
const SMALL: usize = 4 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_come_back_as_they_went_in() {
        let long = vec![7; 300];
        let parts: [&[u8]; 4] = [b"", b"one", &long, b""];
        let message = Message::new(parts);
        assert_eq!(message.parts().collect::<Vec<_>>(), parts);
        assert_eq!(message.count(), 4);
        assert_eq!(message.payload(), 303);
    }

    #[test]
    fn only_the_last_part_has_no_more() {
        let message = Message::new(["a", "b"]);
        assert_eq!(message.wire(), [1, 1, b'a', 0, 1, b'b']);
    }

    #[test]
    fn skipping_leaves_the_rest_untouched() {
        let mut message = Message::new(["a", "b", "c"]);
        message.skip(2);
        assert_eq!(message, Message::single(b"c"));
        message.skip(5);
        assert!(message.is_empty());
    }

    #[test]
    fn a_part_in_front_makes_the_same_message_as_one_from_the_start() {
        let body = Message::new(["b", ""]);
        assert_eq!(body.behind(b"a"), Message::new(["a", "b", ""]));
        assert_eq!(Message::default().behind(b"a"), Message::single(b"a"));
        let long = [1; 300];
        assert_eq!(body.behind(&long), Message::new([&long[..], b"b", b""]));
    }

    #[test]
    fn parts_taken_out_share_the_buffer() {
        let message = Message::new(["head", "body", "tail"]);
        for mut message in [Message::copy_of_wire(message.wire()), message] {
            message.skip(1);
            let wire = message.wire().as_ptr_range();
            let parts = message.clone().into_parts();
            assert_eq!(parts, ["body", "tail"]);
            assert!(wire.contains(&parts[0].as_ptr()));
        }
    }
}
