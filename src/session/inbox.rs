//! Bytes to messages and commands. Remembers what a read has cut in two.

use bytes::BufMut;
use bytes::buf::Limit;

use super::Error;
use super::spare;
use crate::limits::Limits;
use crate::security;
use crate::security::curve::{Flags, Opener};
use crate::wire::{self, Header, Message};

/// What stands on the wire between two decisions.
#[derive(Debug)]
pub(super) enum Unit {
    Message(Message),
    /// A command frame's body.
    Command(Vec<u8>),
}

/// What is allowed at present.
#[derive(Debug)]
pub(super) struct Rules<'a> {
    limits: &'a Limits,
    /// Before READY: bytes that the handshake may still take, and no messages.
    handshake: Option<usize>,
}

impl<'a> Rules<'a> {
    pub(super) fn open(limits: &'a Limits) -> Self {
        Self {
            limits,
            handshake: None,
        }
    }

    pub(super) fn handshake(limits: &'a Limits, left: usize) -> Self {
        Self {
            limits,
            handshake: Some(left),
        }
    }
}

/// At rest it owns no memory; in the middle of a message about as much as has arrived of it.
#[derive(Debug, Default)]
pub(super) struct Inbox {
    header: [u8; Header::MAX],
    header_len: usize,
    frame: Option<Frame>,
    command: Vec<u8>,
    /// The message so far, in wire form.
    message: Vec<u8>,
    parts: usize,
    payload: usize,
    /// What opens all that comes, if it is sealed.
    opener: Option<Box<Opener>>,
    /// A sealed frame's body so far.
    sealed: Vec<u8>,
}

#[derive(Clone, Copy, Debug)]
struct Frame {
    header: Header,
    /// Bytes of its body still to come.
    left: usize,
}

impl Inbox {
    /// From now on all that comes is sealed.
    pub(super) fn opened(&mut self, opener: Option<Opener>) {
        self.opener = opener.map(Box::new);
    }

    /// The message at the front of `input` if none has begun and all of this one is there, which
    /// is how small ones mostly come.
    pub(super) fn whole(
        &self,
        input: &mut &[u8],
        limits: &Limits,
    ) -> Result<Option<Message>, Error> {
        if self.opener.is_some() || self.is_partial() {
            return Ok(None);
        }
        let Some(len) = whole_message(input, limits)? else {
            return Ok(None);
        };
        let (wire, rest) = input.split_at(len);
        *input = rest;
        Ok(Some(Message::copy_of_wire(wire)))
    }

    /// The next whole message or command at the front of `input`; `None` when all bytes have
    /// been taken and none is complete.
    pub(super) fn next(
        &mut self,
        input: &mut &[u8],
        rules: &Rules<'_>,
    ) -> Result<Option<Unit>, Error> {
        if let Some(mut opener) = self.opener.take() {
            let unit = self.next_sealed(input, rules.limits, &mut opener);
            self.opener = Some(opener);
            return unit;
        }
        let offered = input.len();
        loop {
            if self.frame.is_none() {
                let Some(header) = self.header(input)? else {
                    return Ok(None);
                };
                self.admit(header, offered - input.len(), rules)?;
            }
            let Some(frame) = &mut self.frame else {
                return Ok(None);
            };
            let (head, tail) = input.split_at(frame.left.min(input.len()));
            *input = tail;
            frame.left -= head.len();
            let frame = *frame;
            if frame.header.command {
                self.command.extend_from_slice(head);
            } else {
                if self.message.capacity() - self.message.len() < head.len() {
                    spare::grow(&mut self.message, frame.left + head.len());
                }
                self.message.extend_from_slice(head);
            }
            if frame.left > 0 {
                return Ok(None);
            }
            self.frame = None;
            if frame.header.command {
                return Ok(Some(Unit::Command(std::mem::take(&mut self.command))));
            }
            if !frame.header.more {
                return Ok(Some(Unit::Message(self.finish())));
            }
        }
    }

    /// The same for a peer whose every frame is a MESSAGE (RFC 26).
    fn next_sealed(
        &mut self,
        input: &mut &[u8],
        limits: &Limits,
        opener: &mut Opener,
    ) -> Result<Option<Unit>, Error> {
        loop {
            let unit = if let Some(body) = self.whole_sealed(input, limits)? {
                self.open_copy(body, limits, opener)?
            } else {
                if self.frame.is_none() {
                    let Some(header) = self.header(input)? else {
                        return Ok(None);
                    };
                    let left = admit_sealed(header, limits)?;
                    self.frame = Some(Frame { header, left });
                }
                let Some(frame) = &mut self.frame else {
                    return Ok(None);
                };
                let (head, tail) = input.split_at(frame.left.min(input.len()));
                *input = tail;
                frame.left -= head.len();
                let left = frame.left;
                if self.sealed.capacity() - self.sealed.len() < head.len() {
                    spare::grow(&mut self.sealed, left + head.len());
                }
                self.sealed.extend_from_slice(head);
                if left > 0 {
                    return Ok(None);
                }
                self.frame = None;
                self.open_kept(limits, opener)?
            };
            if unit.is_some() {
                return Ok(unit);
            }
        }
    }

    /// The body of the sealed frame at the front of `input` if none has begun and all of this one
    /// is there.
    fn whole_sealed<'a>(
        &self,
        input: &mut &'a [u8],
        limits: &Limits,
    ) -> Result<Option<&'a [u8]>, Error> {
        if self.frame.is_some() || self.header_len > 0 {
            return Ok(None);
        }
        let Some((header, len)) = Header::read(input)? else {
            return Ok(None);
        };
        let size = admit_sealed(header, limits)?;
        let rest = input.get(len..).unwrap_or_default();
        let Some((body, rest)) = rest.split_at_checked(size) else {
            return Ok(None);
        };
        *input = rest;
        Ok(Some(body))
    }

    /// Opens a frame's body by one copy, to where a message keeps it.
    fn open_copy(
        &mut self,
        body: &[u8],
        limits: &Limits,
        opener: &mut Opener,
    ) -> Result<Option<Unit>, Error> {
        let (head, sealed) = body.split_at(body.len().min(Opener::HEAD));
        let size = sealed.len().saturating_sub(1);
        let from = self.message.len();
        let at = from + Header::len_for(size);
        match at + size {
            // Most messages have one part, and need no more room than this.
            all if from == 0 && all < spare::LEAST => self.message.reserve_exact(all),
            all if all < spare::LEAST => self.message.reserve(all - from),
            all => spare::grow(&mut self.message, all - from),
        }
        // The flags are opened where the header's last byte comes to stand.
        self.message.resize(at - 1, 0);
        self.message.extend_from_slice(sealed);
        let place = self.message.get_mut(at - 1..).unwrap_or_default();
        let flags = opener.open_behind(head, place).map_err(Error::Security)?;
        if flags.command {
            admit_command(flags, size, limits)?;
            let command = self.message.split_off(at);
            self.message.truncate(from);
            if from == 0 {
                self.message = Vec::new();
            }
            return Ok(Some(Unit::Command(command)));
        }
        let header = part_header(flags, size);
        (self.parts, self.payload) = admit_part(self.parts, self.payload, header, limits)?;
        header.write_over(self.message.get_mut(from..at).unwrap_or_default());
        Ok((!header.more).then(|| Unit::Message(self.finish())))
    }

    /// Opens the frame that has been kept until it was complete. A large one stays where it is:
    /// in front of it there is room for the header that a message keeps.
    fn open_kept(&mut self, limits: &Limits, opener: &mut Opener) -> Result<Option<Unit>, Error> {
        let mut body = std::mem::take(&mut self.sealed);
        if body.len() < LARGE || !self.message.is_empty() {
            let unit = self.open_copy(&body, limits, opener);
            spare::give_large(body);
            return unit;
        }
        let flags = opener.open(&mut body).map_err(Error::Security)?;
        let size = body.len() - Opener::OVERHEAD;
        if flags.command {
            admit_command(flags, size, limits)?;
            return Ok(Some(Unit::Command(body.split_off(Opener::OVERHEAD))));
        }
        let header = part_header(flags, size);
        (self.parts, self.payload) = admit_part(self.parts, self.payload, header, limits)?;
        let from = Opener::OVERHEAD - Header::len_for(size);
        header.write_over(body.get_mut(from..Opener::OVERHEAD).unwrap_or_default());
        if header.more {
            let part = body.get(from..).unwrap_or_default();
            spare::grow(&mut self.message, part.len());
            self.message.extend_from_slice(part);
            spare::give_large(body);
            return Ok(None);
        }
        (self.parts, self.payload) = (0, 0);
        let message = Message::from_wire(spare::lend(body).slice(from..));
        Ok(Some(Unit::Message(message)))
    }

    /// The message, now that it is complete.
    fn finish(&mut self) -> Message {
        (self.parts, self.payload) = (0, 0);
        Message::from_wire(spare::lend(std::mem::take(&mut self.message)))
    }

    /// Where the rest of a large frame may be read to without a copy, if one has begun.
    pub(super) fn large(&mut self) -> Option<Limit<&mut Vec<u8>>> {
        let frame = self.frame.filter(|frame| frame.left >= LARGE)?;
        let kept = match self.opener {
            Some(_) => &mut self.sealed,
            None if frame.header.command => return None,
            None => &mut self.message,
        };
        spare::grow(kept, frame.left);
        Some(kept.limit(frame.left))
    }

    /// So many bytes were read there; what they have completed, if anything.
    pub(super) fn read_large(&mut self, n: usize, limits: &Limits) -> Result<Option<Unit>, Error> {
        let Some(frame) = &mut self.frame else {
            return Ok(None);
        };
        frame.left = frame.left.saturating_sub(n);
        if frame.left > 0 {
            return Ok(None);
        }
        let more = frame.header.more;
        self.frame = None;
        if let Some(mut opener) = self.opener.take() {
            let unit = self.open_kept(limits, &mut opener);
            self.opener = Some(opener);
            return unit;
        }
        Ok((!more).then(|| Unit::Message(self.finish())))
    }

    /// Completes a header from `input`.
    fn header(&mut self, input: &mut &[u8]) -> Result<Option<Header>, Error> {
        loop {
            let have = self.header.get(..self.header_len).unwrap_or_default();
            if let Some((header, _)) = Header::read(have)? {
                self.header_len = 0;
                return Ok(Some(header));
            }
            let Some((&byte, rest)) = input.split_first() else {
                return Ok(None);
            };
            // A header that is not complete is shorter than the array.
            if let Some(place) = self.header.get_mut(self.header_len) {
                *place = byte;
            }
            self.header_len += 1;
            *input = rest;
        }
    }

    /// Checks a frame by its header alone: nothing is allocated for what may not come. `taken`
    /// bytes of the input are gone already.
    fn admit(&mut self, header: Header, taken: usize, rules: &Rules<'_>) -> Result<(), Error> {
        let size = usize::try_from(header.size).unwrap_or(usize::MAX);
        match (rules.handshake, header.command) {
            (Some(_), false) => return Err(Error::Early),
            (Some(left), true) if size > left.saturating_sub(taken) => {
                return Err(Error::HandshakeTooLong {
                    limit: rules.limits.handshake,
                });
            }
            (None, true) if size > rules.limits.command => {
                return Err(wire::Error::FrameTooLong {
                    size: header.size,
                    limit: rules.limits.command,
                }
                .into());
            }
            (_, true) => {}
            (None, false) => {
                (self.parts, self.payload) =
                    admit_part(self.parts, self.payload, header, rules.limits)?;
                header.write(&mut self.message);
            }
        }
        self.frame = Some(Frame { header, left: size });
        Ok(())
    }

    /// Whether a frame or a message has begun and not ended.
    pub(super) fn is_partial(&self) -> bool {
        self.frame.is_some() || self.header_len > 0 || !self.message.is_empty()
    }

    /// Bytes kept.
    pub(super) fn len(&self) -> usize {
        self.message.len() + self.command.len() + self.sealed.len() + self.header_len
    }
}

/// Checks a sealed frame by its header, which nothing protects: it may say no more than a length,
/// which is returned. A COMMAND flag is tolerated, for the RFC's prose asks for it.
fn admit_sealed(header: Header, limits: &Limits) -> Result<usize, Error> {
    if header.more {
        return Err(security::Error::Clear.into());
    }
    let limit = limits.frame.max(limits.command) + Opener::OVERHEAD;
    if header.size > limit as u64 {
        return Err(wire::Error::FrameTooLong {
            size: header.size,
            limit,
        }
        .into());
    }
    Ok(usize::try_from(header.size).unwrap_or(usize::MAX))
}

/// Checks a command that was sealed, of so many bytes.
fn admit_command(flags: Flags, size: usize, limits: &Limits) -> Result<(), wire::Error> {
    if flags.more {
        return Err(wire::Error::CommandWithMore);
    }
    if size > limits.command {
        return Err(wire::Error::FrameTooLong {
            size: size as u64,
            limit: limits.command,
        });
    }
    Ok(())
}

/// The header of a part that was sealed, of so many bytes.
fn part_header(flags: Flags, size: usize) -> Header {
    Header {
        more: flags.more,
        command: false,
        size: size as u64,
    }
}

/// The length of the message at the front of `input`, if all of it is there in canonical form
/// and no command interrupts it: then it can be taken by one copy.
fn whole_message(input: &[u8], limits: &Limits) -> Result<Option<usize>, Error> {
    let (mut end, mut parts, mut payload) = (0, 0, 0);
    loop {
        let rest = input.get(end..).unwrap_or_default();
        let Some((header, len)) = Header::read(rest)? else {
            return Ok(None);
        };
        let size = usize::try_from(header.size).unwrap_or(usize::MAX);
        let reserved = rest.first().is_some_and(|flags| flags & !0b11 != 0);
        if reserved || len != Header::len_for(size) {
            return Ok(None);
        }
        (parts, payload) = admit_part(parts, payload, header, limits)?;
        if rest.len() - len < size {
            return Ok(None);
        }
        end += len + size;
        if !header.more {
            return Ok(Some(end));
        }
    }
}

/// The counts with one more part, if the limits allow it.
fn admit_part(
    parts: usize,
    payload: usize,
    header: Header,
    limits: &Limits,
) -> Result<(usize, usize), wire::Error> {
    let size = header.size;
    if size > limits.frame as u64 {
        return Err(wire::Error::FrameTooLong {
            size,
            limit: limits.frame,
        });
    }
    let total = payload as u64 + size;
    if total > limits.message as u64 {
        return Err(wire::Error::MessageTooLong {
            size: total,
            limit: limits.message,
        });
    }
    if parts == limits.parts {
        return Err(wire::Error::TooManyParts {
            limit: limits.parts,
        });
    }
    let total = usize::try_from(total).unwrap_or(usize::MAX);
    Ok((parts + 1, total))
}

/// A frame of which so much is to come is read to where it stays.
const LARGE: usize = 8 << 10;
