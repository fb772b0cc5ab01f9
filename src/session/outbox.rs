//! What waits to be written to one peer.
//!
//! Small things are copied one behind the other, large bodies are shared and gathered by the
//! system. A PONG overtakes what is queued, but never cuts a message in two.

use std::collections::VecDeque;
use std::io::IoSlice;

use bytes::Bytes;

use super::spare;
use crate::security::curve::{Flags, Opener, Sealer};
use crate::time::Time;
use crate::wire::{Command, Header, Piece};

/// First the line, then the tail. At rest it owns next to no memory.
#[derive(Default)]
pub(super) struct Outbox {
    line: VecDeque<Chunk>,
    /// Copied frames behind the line, open for more.
    tail: Vec<u8>,
    /// Bytes of the first chunk (the tail, if there is no line) that have been written.
    front: usize,
    /// Bytes waiting.
    len: usize,
    /// Bytes ever written.
    written: u64,
    /// The newest PONG, not yet in line; and where the one in line ends (or the handshake).
    pong: Option<Vec<u8>>,
    pong_end: u64,
    /// Where the newest PING ends.
    ping_end: u64,
    /// When something began to wait, or the peer had last taken `PROGRESS` of it.
    since: Time,
    /// Bytes taken since then.
    taken: usize,
    /// What seals all that is appended, if anything does.
    sealer: Option<Box<Sealer>>,
}

enum Chunk {
    /// Whole frames.
    Frames(Vec<u8>),
    /// Frames that are shared with others.
    Shared(Bytes),
    /// The same, but the message began in the chunk before: nothing may come between.
    Rest(Bytes),
}

impl std::fmt::Debug for Outbox {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // PLAIN's password may be among what waits.
        f.debug_struct("Outbox")
            .field("len", &self.len)
            .field("written", &self.written)
            .finish_non_exhaustive()
    }
}

impl Chunk {
    fn bytes(&self) -> &[u8] {
        match self {
            Self::Frames(bytes) => bytes,
            Self::Shared(bytes) | Self::Rest(bytes) => bytes,
        }
    }
}

impl Outbox {
    /// Appends whole frames.
    pub(super) fn bytes(&mut self, now: Time, frames: &[u8]) {
        self.begin(now);
        self.tail.extend_from_slice(frames);
        self.len += frames.len();
    }

    /// Appends a command.
    pub(super) fn command(&mut self, now: Time, name: &[u8], data: &[u8]) {
        self.begin(now);
        let before = self.tail.len();
        match &mut self.sealer {
            None => Command::write(name, data, &mut self.tail),
            Some(sealer) => {
                // Names are our own constants, far below 255 bytes.
                let mut head = vec![u8::try_from(name.len()).unwrap_or(u8::MAX)];
                head.extend_from_slice(name);
                sealer.seal(COMMAND, [&head, data], &mut self.tail);
            }
        }
        self.len += self.tail.len() - before;
    }

    /// Appends a PING and remembers where it ends.
    pub(super) fn ping(&mut self, now: Time, data: &[u8]) {
        self.command(now, Command::PING, data);
        // A PONG that is not in line yet counts when it gets there.
        let pong = self.pong.as_ref().map_or(0, Vec::len);
        self.ping_end = self.written + (self.len - pong) as u64;
    }

    /// Whether the newest PING, or a part of it, still waits.
    pub(super) fn ping_waits(&self) -> bool {
        self.written < self.ping_end
    }

    /// The handshake is done: no PONG goes ahead of what waits of it, and all that is appended from
    /// now on is sealed if there is a sealer.
    pub(super) fn opened(&mut self, sealer: Option<Sealer>) {
        self.pong_end = self.written + self.len as u64;
        self.sealer = sealer.map(Box::new);
    }

    /// Whether nothing more can be sealed.
    pub(super) fn is_spent(&self) -> bool {
        self.sealer
            .as_ref()
            .is_some_and(|sealer| sealer.is_spent(SPARE_NONCES))
    }

    /// Appends one message.
    pub(super) fn message(&mut self, now: Time, pieces: &[Piece<'_>]) {
        let Some((last, heads)) = pieces.split_last() else {
            return;
        };
        // A body without parts leaves the last frame to the piece before it.
        if matches!(last, Piece::Parts(body) if body.is_empty()) {
            return self.message(now, heads);
        }
        self.begin(now);
        if let Some(sealer) = self.sealer.take() {
            self.sealer = Some(self.seal(sealer, pieces));
            return;
        }
        let before = self.tail.len();
        if self.tail.capacity() < KEEP {
            // Whoever gets one message gets more: growing step by step costs as much as sending.
            self.tail.reserve_exact(KEEP - before);
        }
        for piece in heads {
            write_more(piece, &mut self.tail);
        }
        let shared = match last {
            Piece::Part(body) => {
                Header {
                    more: false,
                    command: false,
                    size: body.len() as u64,
                }
                .write(&mut self.tail);
                self.tail.extend_from_slice(body);
                None
            }
            Piece::Parts(body) if body.wire().len() < SHARE => {
                self.tail.extend_from_slice(body.wire());
                None
            }
            Piece::Parts(body) => Some(body.share_wire()),
        };
        let begun = self.tail.len() - before;
        self.len += begun;
        self.widen();
        if let Some(body) = shared {
            self.len += body.len();
            self.close_tail();
            self.line.push_back(match begun {
                0 => Chunk::Shared(body),
                _ => Chunk::Rest(body),
            });
        } else if self.tail.len() >= FULL {
            self.close_tail();
        }
    }

    /// Appends one message, part by part, each sealed by itself.
    fn seal(&mut self, mut sealer: Box<Sealer>, pieces: &[Piece<'_>]) -> Box<Sealer> {
        let mut left = pieces.len();
        for piece in pieces {
            left -= 1;
            match piece {
                Piece::Part(part) => self.seal_part(&mut sealer, left > 0, part),
                Piece::Parts(message) => {
                    let mut parts = message.parts().peekable();
                    while let Some(part) = parts.next() {
                        let more = left > 0 || parts.peek().is_some();
                        self.seal_part(&mut sealer, more, part);
                    }
                }
            }
        }
        sealer
    }

    fn seal_part(&mut self, sealer: &mut Sealer, more: bool, part: &[u8]) {
        let frame = Header::MAX + Opener::OVERHEAD + part.len();
        if self.tail.len() + frame > spare::SIZE {
            self.close_tail();
        }
        let room = self.tail.len() + frame;
        if room > KEEP && self.tail.capacity() < room.min(spare::SIZE) {
            let mut wide = spare::take();
            wide.extend_from_slice(&self.tail);
            self.tail = wide;
        }
        let before = self.tail.len();
        let flags = Flags {
            more,
            command: false,
        };
        sealer.seal(flags, [part, &[]], &mut self.tail);
        self.len += self.tail.len() - before;
        if self.tail.len() >= FULL {
            self.close_tail();
        }
    }

    /// Queues a PONG ahead of everything that has not begun. At most one waits in line and one
    /// behind it: a flood of PINGs costs the last context only.
    pub(super) fn pong(&mut self, now: Time, frame: Vec<u8>) {
        self.begin(now);
        self.len -= self.pong.as_ref().map_or(0, Vec::len);
        self.len += frame.len();
        self.pong = Some(frame);
    }

    fn line_up_pong(&mut self) {
        if self.written < self.pong_end {
            return;
        }
        let Some(pong) = self.pong.take() else {
            return;
        };
        if let Some(sealer) = &mut self.sealer {
            // Sealed frames cannot change places: their nonces count upwards. The one PONG that
            // waits still costs a flood of PINGs its effect.
            let before = self.tail.len();
            let body = pong.get(2..).unwrap_or_default();
            sealer.seal(COMMAND, [body, &[]], &mut self.tail);
            self.len = self.len - pong.len() + self.tail.len() - before;
            self.pong_end = self.written + self.len as u64;
            return;
        }
        if self.line.is_empty() && self.front > 0 {
            self.close_tail();
        }
        // The first place where no message is cut: the front itself if nothing of it is written.
        let mut place = usize::from(self.front > 0);
        while matches!(self.line.get(place), Some(Chunk::Rest(_))) {
            place += 1;
        }
        let ahead: usize = self
            .line
            .iter()
            .take(place)
            .map(|chunk| chunk.bytes().len())
            .sum();
        let begins = self.written + (ahead - self.front) as u64;
        self.pong_end = begins + pong.len() as u64;
        if self.ping_end > begins {
            self.ping_end += pong.len() as u64;
        }
        self.line.insert(place, Chunk::Frames(pong));
    }

    /// Fills `slices` with the next bytes to write; returns how many were filled.
    pub(super) fn chunks<'a>(&'a mut self, slices: &mut [IoSlice<'a>]) -> usize {
        self.line_up_pong();
        let tail = (!self.tail.is_empty()).then_some(&self.tail[..]);
        let mut skip = self.front;
        let mut filled = 0;
        for (slice, chunk) in slices
            .iter_mut()
            .zip(self.line.iter().map(Chunk::bytes).chain(tail))
        {
            *slice = IoSlice::new(chunk.get(skip..).unwrap_or_default());
            skip = 0;
            filled += 1;
        }
        filled
    }

    /// The first `n` bytes are written.
    pub(super) fn advance(&mut self, now: Time, n: usize) {
        if n == 0 {
            return;
        }
        self.len -= n.min(self.len);
        self.taken += n;
        if self.taken >= PROGRESS {
            (self.since, self.taken) = (now, 0);
        }
        self.written += n as u64;
        self.front += n;
        while let Some(len) = self.line.front().map(|chunk| chunk.bytes().len())
            && self.front >= len
        {
            self.front -= len;
            if let Some(Chunk::Frames(frames)) = self.line.pop_front() {
                spare::give(frames);
            }
        }
        if self.line.is_empty() && self.front >= self.tail.len() {
            self.front = 0;
            self.tail.clear();
            if self.tail.capacity() > KEEP || self.line.capacity() > 0 {
                spare::give(std::mem::take(&mut self.tail));
                self.line = VecDeque::new();
            }
        }
    }

    /// Bytes waiting.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Since when next to nothing of what waits has been taken.
    pub(super) fn stalled_since(&self) -> Option<Time> {
        (self.len > 0).then_some(self.since)
    }

    fn begin(&mut self, now: Time) {
        if self.len == 0 {
            (self.since, self.taken) = (now, 0);
        }
    }

    /// A tail that outgrows what an idle peer may keep moves to a buffer that is large enough for
    /// all that it can take.
    fn widen(&mut self) {
        if self.tail.len() > KEEP && self.tail.capacity() < spare::SIZE {
            let mut wide = spare::take();
            wide.extend_from_slice(&self.tail);
            self.tail = wide;
        }
    }

    fn close_tail(&mut self) {
        if !self.tail.is_empty() {
            let tail = std::mem::take(&mut self.tail);
            self.line.push_back(Chunk::Frames(tail));
        }
    }
}

/// Frames of a piece behind which more follows.
fn write_more(piece: &Piece<'_>, out: &mut Vec<u8>) {
    let mut part = |body: &[u8]| {
        Header {
            more: true,
            command: false,
            size: body.len() as u64,
        }
        .write(out);
        out.extend_from_slice(body);
    };
    match piece {
        Piece::Part(body) => part(body),
        Piece::Parts(message) => message.parts().for_each(part),
    }
}

/// Bodies from here on are shared, not copied: below, one buffer is cheaper than two slices.
const SHARE: usize = 4 << 10;
/// A tail beyond this is closed: a PONG waits for one chunk at most.
const FULL: usize = 64 << 10;
/// So much must be taken before a peer counts as reading: one that takes a byte now and then would
/// hold all that waits for it for ever.
const PROGRESS: usize = 1 << 10;
/// An idle peer keeps a buffer up to this size.
const KEEP: usize = 512;
const COMMAND: Flags = Flags {
    more: false,
    command: true,
};
/// A connection ends before its last nonces are used: no message must end in its middle.
const SPARE_NONCES: usize = 1 << 20;
