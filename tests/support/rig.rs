//! Sessions without streams: bytes carried by hand, time that stands still until it is moved.

use std::io::IoSlice;
use std::sync::Arc;
use std::time::Duration;

use scale0::security::Verdict;
use scale0::session::{Config, Error, Heard, Session};
use scale0::time::Time;
use scale0::wire::{Command, Greeting, Header, MechanismName, Message, Metadata, SocketType};

/// A session, and everything it has said so far.
#[derive(Debug)]
pub(crate) struct End {
    pub(crate) session: Session,
    pub(crate) heard: Vec<Heard>,
    pub(crate) error: Option<Error>,
    pub(crate) now: Time,
    /// What it is told when it asks about its peer; without one it waits.
    pub(crate) verdict: Option<Verdict>,
}

impl End {
    pub(crate) fn new(config: Config) -> Self {
        Self::seeded(config, [0; 32])
    }

    pub(crate) fn seeded(config: Config, seed: [u8; 32]) -> Self {
        Self {
            session: Session::new(Time::ZERO, Arc::new(config), seed),
            heard: Vec::new(),
            error: None,
            now: Time::ZERO,
            verdict: None,
        }
    }

    /// A session of `config` whose peer, of `kind` and `minor`, has shaken hands; what it said
    /// until then is written and forgotten.
    pub(crate) fn open(config: Config, minor: u8, kind: SocketType) -> Self {
        let mut end = Self::new(config);
        end.feed(&opening(minor, kind));
        assert_eq!(end.error, None);
        end.drain();
        end.heard.clear();
        end
    }

    /// Gives bytes to the session until it has taken all or fails.
    pub(crate) fn feed(&mut self, mut bytes: &[u8]) {
        if self.error.is_some() {
            return;
        }
        loop {
            let before = bytes.len();
            match self.session.receive(self.now, &mut bytes) {
                Ok(Some(heard)) => {
                    assert!(bytes.len() < before, "something from nothing");
                    let asks = matches!(heard, Heard::Asks(_));
                    self.heard.push(heard);
                    if asks && let Some(verdict) = self.verdict.clone() {
                        self.judge(verdict);
                        if self.error.is_some() {
                            return;
                        }
                    }
                }
                Ok(None) => break assert!(bytes.is_empty(), "bytes left without a reason"),
                Err(error) => break self.error = Some(error),
            }
        }
    }

    /// Tells the session what it has asked for.
    pub(crate) fn judge(&mut self, verdict: Verdict) {
        match self.session.judge(self.now, verdict) {
            Ok(heard) => self.heard.extend(heard),
            Err(error) => self.error = Some(error),
        }
    }

    pub(crate) fn feed_in_pieces(&mut self, bytes: &[u8], lens: &[usize]) {
        let mut rest = bytes;
        for &len in lens {
            let (head, tail) = rest.split_at(len.min(rest.len()));
            self.feed(head);
            rest = tail;
        }
        self.feed(rest);
    }

    /// Writes at most `n` bytes; returns those written.
    pub(crate) fn write(&mut self, n: usize) -> Vec<u8> {
        let mut out = Vec::new();
        while out.len() < n {
            let mut slices = [IoSlice::new(&[]); 3];
            let filled = self.session.chunks(&mut slices);
            let mut once = Vec::new();
            for slice in &slices[..filled] {
                let room = n - out.len() - once.len();
                once.extend_from_slice(&slice[..slice.len().min(room)]);
            }
            if once.is_empty() {
                break;
            }
            self.session.wrote(self.now, once.len());
            out.extend(once);
        }
        out
    }

    /// Writes all that waits.
    pub(crate) fn drain(&mut self) -> Vec<u8> {
        let out = self.write(usize::MAX);
        assert_eq!(self.session.waiting(), 0);
        out
    }

    /// Lets time pass; the session is woken at each of its deadlines.
    pub(crate) fn pass(&mut self, span: Duration) {
        let end = self.now + span;
        while self.error.is_none()
            && let Some(at) = self.session.deadline()
            && at <= end
        {
            self.now = at.max(self.now);
            self.wake();
        }
        self.now = end;
    }

    /// Wakes the session now.
    pub(crate) fn wake(&mut self) {
        match self.session.wake(self.now) {
            Err(error) => self.error = Some(error),
            Ok(()) => {
                if let Some(next) = self.session.deadline() {
                    assert!(next > self.now, "woken at {:?}, due at {next:?}", self.now);
                }
            }
        }
    }

    pub(crate) fn messages(&self) -> Vec<Message> {
        let message = |heard: &Heard| match heard {
            Heard::Message(message) => Some(message.clone()),
            _ => None,
        };
        self.heard.iter().filter_map(message).collect()
    }
}

/// Two sessions back to back.
#[derive(Debug)]
pub(crate) struct Pair {
    pub(crate) a: End,
    pub(crate) b: End,
}

impl Pair {
    pub(crate) fn new(a: Config, b: Config) -> Self {
        Self {
            a: End::seeded(a, [1; 32]),
            b: End::seeded(b, [2; 32]),
        }
    }

    /// Carries bytes to and fro, at most `step` at a time, until both are quiet.
    pub(crate) fn settle(&mut self, step: usize) {
        loop {
            let (ab, ba) = (self.a.write(step), self.b.write(step));
            if ab.is_empty() && ba.is_empty() {
                return;
            }
            self.b.feed(&ab);
            self.a.feed(&ba);
        }
    }
}

/// The greeting of a peer that speaks NULL.
pub(crate) fn greeting(minor: u8) -> Vec<u8> {
    let greeting = Greeting {
        minor,
        mechanism: MechanismName::NULL,
        as_server: false,
    };
    greeting.write().to_vec()
}

pub(crate) fn ready(kind: SocketType) -> Vec<u8> {
    command(Command::READY, &Metadata::of(kind).write())
}

/// All that a peer says before its first message.
pub(crate) fn opening(minor: u8, kind: SocketType) -> Vec<u8> {
    [greeting(minor), ready(kind)].concat()
}

pub(crate) fn command(name: &[u8], data: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    Command::write(name, data, &mut out);
    out
}

/// A PING with a TTL in tenths of a second.
pub(crate) fn ping(ttl: u16, context: &[u8]) -> Vec<u8> {
    command(Command::PING, &[&ttl.to_be_bytes(), context].concat())
}

pub(crate) fn pong(context: &[u8]) -> Vec<u8> {
    command(Command::PONG, context)
}

pub(crate) fn frame(more: bool, body: &[u8]) -> Vec<u8> {
    let mut out = header(more, false, body.len() as u64);
    out.extend_from_slice(body);
    out
}

pub(crate) fn header(more: bool, command: bool, size: u64) -> Vec<u8> {
    let mut out = Vec::new();
    Header {
        more,
        command,
        size,
    }
    .write(&mut out);
    out
}

/// Frames on the wire, one by one; the bytes must end with a whole one.
pub(crate) fn frames(mut bytes: &[u8]) -> Vec<(Header, Vec<u8>)> {
    let mut out = Vec::new();
    while !bytes.is_empty() {
        let (header, len) = Header::read(bytes).unwrap().expect("a whole header");
        let end = len + usize::try_from(header.size).unwrap();
        out.push((header, bytes[len..end].to_vec()));
        bytes = &bytes[end..];
    }
    out
}
