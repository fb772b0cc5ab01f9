//! What passes on a connection, explained for people: bytes in, lines out.
//!
//! This reads along and judges nothing: what a session would refuse is explained all the same, as
//! far as it can be read. It keeps no more than a few kilobytes, whatever arrives.

mod command;
mod text;

pub use text::{hex, printable};

use command::Context;
use text::bytes;

/// Explains one direction of one connection, from its first byte on.
///
/// Each line says what something is, then ` | `, then its bytes in hex; a line that begins with two
/// spaces goes into the one before it. Passwords are never in them, neither as text nor as hex.
#[derive(Debug, Default)]
pub struct Explainer {
    state: State,
    /// What of the current piece has come, as far as it is kept.
    kept: Vec<u8>,
    context: Context,
}

/// Where the stream stands.
#[derive(Debug)]
enum State {
    /// So many pieces of the greeting are through.
    Greeting(Stage),
    /// Between two frames, or within a frame's header.
    Header,
    /// Within a frame, until as much is there as is shown of it.
    Body { flags: u8, size: u64 },
    /// In what is not shown of a frame: so many bytes of so many are still to come.
    Rest { left: u64, size: u64 },
    /// This is not ZMTP, or no longer: so many lines of it have been shown.
    Foreign { lines: u8, more: u64 },
}

/// The pieces of the greeting, each told as soon as it is there: a peer may stop after any.
#[derive(Clone, Copy, Debug)]
enum Stage {
    Signature,
    Version,
    Mechanism,
    Filler,
}

impl Default for State {
    fn default() -> Self {
        Self::Greeting(Stage::Signature)
    }
}

impl Explainer {
    /// For a connection of which nothing has been seen.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the next bytes, and tells each line that they complete. However the stream is cut,
    /// the lines are the same.
    pub fn hear(&mut self, mut bytes: &[u8], line: &mut dyn FnMut(&str)) {
        while let Some((&next, rest)) = bytes.split_first() {
            match self.state {
                State::Greeting(stage) => {
                    self.kept.push(next);
                    self.greeting(stage, line);
                    bytes = rest;
                }
                State::Header => {
                    self.kept.push(next);
                    self.header(line);
                    bytes = rest;
                }
                State::Body { flags, size } => {
                    let wanted = shown(flags, size).saturating_sub(self.kept.len());
                    let (now, later) = bytes.split_at(wanted.min(bytes.len()));
                    self.kept.extend_from_slice(now);
                    bytes = later;
                    self.body(flags, size, line);
                }
                State::Rest { left, size } => {
                    let skip = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len());
                    bytes = bytes.get(skip..).unwrap_or_default();
                    self.state = match left.saturating_sub(skip as u64) {
                        0 => State::Header,
                        left => State::Rest { left, size },
                    };
                }
                State::Foreign { lines: MOST, more } => {
                    let more = more.saturating_add(bytes.len() as u64);
                    self.state = State::Foreign { lines: MOST, more };
                    return;
                }
                State::Foreign { .. } => {
                    self.kept.push(next);
                    if next == b'\n' || self.kept.len() == SHOWN {
                        self.foreign(line);
                    }
                    bytes = rest;
                }
            }
        }
    }

    /// Tells what the end of the stream has cut off, if anything.
    pub fn end(&mut self, line: &mut dyn FnMut(&str)) {
        let cut = match self.state {
            State::Foreign { more, .. } => {
                if !self.kept.is_empty() {
                    self.foreign(line);
                }
                (more > 0).then(|| format!("and {more} bytes more"))
            }
            State::Greeting(Stage::Signature) | State::Header if self.kept.is_empty() => None,
            State::Greeting(_) => Some("ends within the greeting".to_owned()),
            State::Header => Some("ends within a frame's header".to_owned()),
            State::Body { size, .. } => {
                let come = self.kept.len();
                Some(format!("ends within a frame, after {come} of {size} bytes"))
            }
            State::Rest { left, size } => {
                let come = size.saturating_sub(left);
                Some(format!("ends within a frame, after {come} of {size} bytes"))
            }
        };
        if let Some(cut) = cut {
            // What has come of a command may be half a password.
            let show = !matches!(self.state, State::Body { .. }) && !self.kept.is_empty();
            match show {
                true => line(&format!("{cut} | {}", hex(&self.kept))),
                false => line(&cut),
            }
        }
        *self = Self::default();
    }

    fn greeting(&mut self, stage: Stage, line: &mut dyn FnMut(&str)) {
        let piece = &self.kept;
        let next = match (stage, piece.as_slice()) {
            (Stage::Signature, &[first]) if first != 0xff => {
                line("not ZMTP: it would begin with ff");
                self.state = State::Foreign { lines: 0, more: 0 };
                return;
            }
            (Stage::Signature, &[.., last]) if piece.len() == 10 => {
                line(&format!("greeting: signature | {}", hex(piece)));
                if last & 1 == 0 {
                    line("not ZMTP 2 or later: the signature's last byte is even");
                    self.fall();
                    return;
                }
                Stage::Version
            }
            (Stage::Version, &[major]) if major < 3 => {
                let version = match major {
                    0 => "1.0",
                    _ => "2.0",
                };
                line(&format!("greeting: ZMTP {version} | {major:02x}"));
                line("the framing of ZMTP before 3.0 is not explained");
                self.fall();
                return;
            }
            (Stage::Version, &[major, minor]) => {
                let version = format!("greeting: ZMTP {major}.{minor} | {}", hex(piece));
                line(&version);
                Stage::Mechanism
            }
            (Stage::Mechanism, name) if name.len() == 20 => {
                let end = name.iter().rposition(|byte| *byte != 0);
                let name = end.and_then(|end| name.get(..=end)).unwrap_or_default();
                line(&format!(
                    "greeting: mechanism {} | {}",
                    name.escape_ascii(),
                    bytes(piece, SHOWN)
                ));
                self.context.mechanism = name.to_vec();
                Stage::Filler
            }
            (Stage::Filler, &[role, ..]) if piece.len() == 32 => {
                let role = match role {
                    0 => "as client",
                    _ => "as server",
                };
                line(&format!("greeting: {role}, filler | {}", hex(piece)));
                self.kept.clear();
                self.state = State::Header;
                return;
            }
            _ => return,
        };
        self.kept.clear();
        self.state = State::Greeting(next);
    }

    fn header(&mut self, line: &mut dyn FnMut(&str)) {
        let (flags, size) = match (self.kept.first(), self.kept.get(1..)) {
            (Some(&flags), Some(size)) if flags & LONG != 0 => {
                let Some(size) = size.first_chunk::<8>() else {
                    return;
                };
                (flags, u64::from_be_bytes(*size))
            }
            (Some(&flags), Some(&[size, ..])) => (flags, u64::from(size)),
            _ => return,
        };
        if size > i64::MAX as u64 {
            let header = hex(&self.kept);
            line(&format!(
                "no frame can have {size} bytes: this is not ZMTP any more | {header}"
            ));
            self.fall();
            return;
        }
        self.state = State::Body { flags, size };
        self.kept.clear();
        // A frame without a body is complete.
        self.body(flags, size, line);
    }

    fn body(&mut self, flags: u8, size: u64, line: &mut dyn FnMut(&str)) {
        if self.kept.len() < shown(flags, size) {
            return;
        }
        let frame = command::Frame {
            flags,
            header: &header(flags, size),
            size,
            body: &self.kept,
        };
        frame.explain(&mut self.context, line);
        let come = self.kept.len() as u64;
        self.kept.clear();
        self.state = match size.saturating_sub(come) {
            0 => State::Header,
            left => State::Rest { left, size },
        };
    }

    fn foreign(&mut self, line: &mut dyn FnMut(&str)) {
        line(&format!(
            "  {} | {}",
            self.kept.escape_ascii(),
            hex(&self.kept)
        ));
        self.kept.clear();
        if let State::Foreign { lines, .. } = &mut self.state {
            *lines += 1;
        }
    }

    /// From here on the stream is shown as what it may be.
    fn fall(&mut self) {
        self.kept.clear();
        // Somewhere in it may be the password that should have come in a sound HELLO.
        let lines = if self.context.may_be_secret() {
            MOST
        } else {
            0
        };
        self.state = State::Foreign { lines, more: 0 };
    }
}

/// As much of a frame's body as is needed to explain it.
fn shown(flags: u8, size: u64) -> usize {
    let most = if flags & COMMAND != 0 {
        SHOWN_COMMAND
    } else {
        SHOWN
    };
    usize::try_from(size).unwrap_or(most).min(most)
}

/// The header's bytes again.
fn header(flags: u8, size: u64) -> Vec<u8> {
    let mut bytes = vec![flags];
    match (flags & LONG, u8::try_from(size)) {
        (0, Ok(size)) => bytes.push(size),
        _ => bytes.extend_from_slice(&size.to_be_bytes()),
    }
    bytes
}

const MORE: u8 = 1;
const LONG: u8 = 2;
const COMMAND: u8 = 4;
/// Bytes of one value that a line shows.
const SHOWN: usize = 64;
/// Of a command, all that a sound one of the handshake has, and more than that.
const SHOWN_COMMAND: usize = 4096;
/// Lines of what is not ZMTP.
const MOST: u8 = 4;

#[cfg(test)]
mod tests;
