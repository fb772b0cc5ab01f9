//! One peer's whole conversation, as a state machine without a socket:
//!
//! ```text
//! Greeting ──64 bytes──▶ Handshake ──READY──▶ Open ──▶ Closed
//!     └──────────┴──────── any error, any deadline ────────┘
//! ```
//!
//! Bytes go in with [`Session::receive`] and come out of [`Session::chunks`]; time goes in with
//! every call. It is a pull parser: what is not asked for is not decoded, so bytes have
//! back-pressure. What a message means is for others to say.

mod error;
mod inbox;
mod outbox;
mod pulse;
mod spare;

pub use error::Error;
pub use pulse::Heartbeat;

use std::io::IoSlice;
use std::sync::Arc;

use bytes::Bytes;

use crate::limits::Limits;
use crate::security::{self, Credentials, Mechanism, Security, Step, User, Verdict};
use crate::time::{Time, earliest};
use crate::wire::{Command, Greeting, Message, Metadata, Piece, SocketType};
use inbox::{Inbox, Rules, Unit};
use outbox::Outbox;
use pulse::Pulse;

/// What all sessions of one socket have in common.
#[derive(Clone, Debug)]
pub struct Config {
    /// Our socket type.
    pub kind: SocketType,
    /// Our identity; empty for none.
    pub identity: Bytes,
    /// Further properties for READY.
    pub properties: Vec<(Bytes, Bytes)>,
    /// The mechanism, and our side of it.
    pub security: Security,
    /// Heartbeats from the first moment; more can be asked for later with [`Session::watch`].
    pub heartbeat: Option<Heartbeat>,
    /// Bounds.
    pub limits: Limits,
}

impl Config {
    /// A socket of type `kind` without identity and heartbeats, with default limits.
    #[must_use]
    pub fn new(kind: SocketType) -> Self {
        Self {
            kind,
            identity: Bytes::new(),
            properties: Vec::new(),
            security: Security::Null,
            heartbeat: None,
            limits: Limits::default(),
        }
    }
}

/// What a session makes of the bytes it is given.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Heard {
    /// May such a peer come in? [`Session::judge`] goes on with the handshake; until then nothing
    /// more may come, and the handshake's deadline stands.
    Asks(Credentials),
    /// The handshake is done; messages may flow.
    Open(Peer),
    /// A whole message, of one part at least.
    Message(Message),
    /// A subscriber (to a PUB or XPUB, nobody else) wants a topic from now on, or no more. Comes
    /// from the commands only; ZMTP 3.0 says the same with messages of one part.
    Subscription {
        /// SUBSCRIBE rather than CANCEL.
        on: bool,
        /// The topic.
        topic: Bytes,
    },
    /// Another command after the handshake: nothing to act on, but a sign of life.
    Sign,
}

/// Who the peer says it is.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Peer {
    /// Its minor version: 0 knows no PING.
    pub minor: u8,
    /// Socket type, identity and further properties.
    pub metadata: Metadata,
    /// As whom it was let in, if anybody was asked.
    pub user: Option<User>,
}

/// See the [module's description](self).
#[derive(Debug)]
pub struct Session {
    config: Arc<Config>,
    state: State,
    inbox: Inbox,
    outbox: Outbox,
    pulse: Pulse,
    ignored: u64,
}

#[derive(Debug)]
enum State {
    Greeting {
        bytes: [u8; Greeting::LEN],
        have: usize,
        mechanism: Box<dyn Mechanism>,
        until: Time,
    },
    Handshake {
        minor: u8,
        mechanism: Box<dyn Mechanism>,
        used: usize,
        until: Time,
        /// Nobody has said yet whether the peer may come in.
        asked: bool,
        user: Option<User>,
    },
    Open {
        minor: u8,
    },
    Closed,
}

impl Session {
    /// A conversation that begins now, with our greeting already in the outbox. `seed` is for this
    /// one alone, and nobody may guess it (CURVE draws its keys from it; others leave it alone).
    #[must_use]
    pub fn new(now: Time, config: Arc<Config>, seed: [u8; 32]) -> Self {
        let ours = Metadata {
            kind: config.kind,
            identity: config.identity.clone(),
            others: config.properties.clone(),
        };
        let mechanism = config.security.mechanism(ours, &config.limits, seed);
        let mut outbox = Outbox::default();
        let greeting = Greeting {
            minor: 1,
            mechanism: mechanism.name(),
            as_server: config.security.is_server(),
        };
        outbox.bytes(now, &greeting.write());
        Self {
            state: State::Greeting {
                bytes: [0; Greeting::LEN],
                have: 0,
                mechanism,
                until: now + config.limits.handshake_time,
            },
            inbox: Inbox::default(),
            outbox,
            pulse: Pulse::new(now),
            ignored: 0,
            config,
        }
    }

    /// Takes bytes off `input` until there is something to tell, or until there are none left.
    /// Call it again with what remains; bytes it leaves are the caller's to keep.
    ///
    /// # Errors
    /// The peer broke the protocol. The session is over; what is left in the outbox (possibly an
    /// ERROR for the peer) should still be written before the stream is closed.
    pub fn receive(&mut self, now: Time, input: &mut &[u8]) -> Result<Option<Heard>, Error> {
        if input.is_empty() {
            return match self.state {
                State::Closed => Err(Error::Closed),
                _ => Ok(None),
            };
        }
        self.pulse.heard(now);
        // The common case first, without the bookkeeping that unfinished messages need.
        if matches!(self.state, State::Open { .. }) {
            match self.inbox.whole(input, &self.config.limits) {
                Ok(None) => {}
                Ok(Some(message)) => {
                    self.pulse.grew(now, None);
                    return Ok(Some(Heard::Message(message)));
                }
                Err(error) => {
                    self.fail(now, &error);
                    return Err(error);
                }
            }
        }
        let before = self.inbox.len();
        let heard = self.step(now, input);
        match &heard {
            Ok(_) => {
                // Only a message that goes on grows: commands between its parts do not feed it,
                // and the next one begins anew.
                let grown = self.inbox.len().saturating_sub(before);
                let unfinished = self.inbox.is_partial();
                self.pulse.grew(now, unfinished.then_some(grown));
            }
            Err(error) => self.fail(now, error),
        }
        heard
    }

    /// Where the rest of a large part may be read to directly, if one has begun: it saves
    /// [`receive`](Self::receive) a copy. Tell [`read_large`](Self::read_large) of what was read.
    pub fn large(&mut self) -> Option<bytes::buf::Limit<&mut Vec<u8>>> {
        match self.state {
            State::Open { .. } => self.inbox.large(),
            _ => None,
        }
    }

    /// So many bytes were put to where [`large`](Self::large) said; what they have completed, if
    /// anything.
    ///
    /// # Errors
    /// As [`receive`](Self::receive): what is sealed may not open.
    pub fn read_large(&mut self, now: Time, n: usize) -> Result<Option<Heard>, Error> {
        self.pulse.heard(now);
        let unit = self.inbox.read_large(n, &self.config.limits);
        let heard = unit.and_then(|unit| self.tell(now, unit));
        match &heard {
            Ok(heard) => self.pulse.grew(now, heard.is_none().then_some(n)),
            Err(error) => self.fail(now, error),
        }
        heard
    }

    fn step(&mut self, now: Time, input: &mut &[u8]) -> Result<Option<Heard>, Error> {
        loop {
            match &mut self.state {
                State::Greeting { .. } => {
                    if !self.greet(now, input)? {
                        return Ok(None);
                    }
                }
                State::Handshake { .. } => {
                    return self.shake(now, input);
                }
                State::Open { .. } => {
                    let unit = self.inbox.next(input, &Rules::open(&self.config.limits))?;
                    return self.tell(now, unit);
                }
                State::Closed => return Err(Error::Closed),
            }
        }
    }

    /// What a unit of the open session means.
    fn tell(&mut self, now: Time, unit: Option<Unit>) -> Result<Option<Heard>, Error> {
        match unit {
            None => Ok(None),
            Some(Unit::Message(message)) => Ok(Some(Heard::Message(message))),
            Some(Unit::Command(body)) => self.obey(now, &Command::read(&body)?).map(Some),
        }
    }

    /// Collects the greeting; true when it is complete and agrees with ours.
    fn greet(&mut self, now: Time, input: &mut &[u8]) -> Result<bool, Error> {
        let State::Greeting {
            bytes,
            have,
            mechanism,
            until,
        } = &mut self.state
        else {
            return Ok(true);
        };
        let room = bytes.get_mut(*have..).unwrap_or_default();
        let (head, tail) = input.split_at(room.len().min(input.len()));
        for (to, from) in room.iter_mut().zip(head) {
            *to = *from;
        }
        *have += head.len();
        *input = tail;
        let Some(theirs) = Greeting::read(bytes.get(..*have).unwrap_or_default())? else {
            return Ok(false);
        };
        if theirs.mechanism != mechanism.name() {
            return Err(Error::Mechanism {
                theirs: theirs.mechanism,
            });
        }
        let (minor, until) = (theirs.minor, *until);
        let State::Greeting { mut mechanism, .. } =
            std::mem::replace(&mut self.state, State::Closed)
        else {
            return Ok(true);
        };
        let mut out = Vec::new();
        mechanism.begin(&mut out)?;
        self.outbox.bytes(now, &out);
        self.state = State::Handshake {
            minor,
            mechanism,
            used: Greeting::LEN,
            until,
            asked: false,
            user: None,
        };
        Ok(true)
    }

    /// One command of the handshake after the other, until the peer is known, or somebody has to
    /// say whether it may come in.
    fn shake(&mut self, now: Time, input: &mut &[u8]) -> Result<Option<Heard>, Error> {
        let State::Handshake {
            mechanism,
            used,
            asked,
            ..
        } = &mut self.state
        else {
            return Ok(None);
        };
        if *asked {
            // Every mechanism is in lock-step there.
            return Err(Error::Impatient);
        }
        loop {
            let before = input.len();
            let left = self.config.limits.handshake.saturating_sub(*used);
            let unit = self
                .inbox
                .next(input, &Rules::handshake(&self.config.limits, left))?;
            *used += before - input.len();
            let Some(Unit::Command(body)) = unit else {
                return Ok(None);
            };
            let mut out = Vec::new();
            match mechanism.hear(&handshake_command(&body)?, &mut out)? {
                Step::Continue => self.outbox.bytes(now, &out),
                Step::Ask(credentials) => {
                    *asked = true;
                    self.outbox.bytes(now, &out);
                    return Ok(Some(Heard::Asks(credentials)));
                }
                Step::Done(metadata) => return self.open(now, metadata, &out).map(Some),
            }
        }
    }

    /// The answer to [`Heard::Asks`]; possibly the handshake is done with it.
    ///
    /// # Errors
    /// The peer may not come in, or nothing was asked: the session is over. What is left in the
    /// outbox (an ERROR for the peer) should still be written before the stream is closed.
    pub fn judge(&mut self, now: Time, verdict: Verdict) -> Result<Option<Heard>, Error> {
        let judged = self.judged(now, verdict);
        if let Err(error) = &judged {
            self.fail(now, error);
        }
        judged
    }

    fn judged(&mut self, now: Time, verdict: Verdict) -> Result<Option<Heard>, Error> {
        let State::Handshake {
            mechanism,
            asked,
            user,
            ..
        } = &mut self.state
        else {
            return Err(Error::Closed);
        };
        if let Some(error) = security::Error::of(&verdict) {
            return Err(error.into());
        }
        let mut out = Vec::new();
        let step = mechanism.admit(&mut out)?;
        *asked = false;
        if let Verdict::Admit(admitted) = verdict {
            *user = Some(admitted);
        }
        match step {
            Step::Done(metadata) => self.open(now, metadata, &out).map(Some),
            Step::Continue | Step::Ask(_) => {
                self.outbox.bytes(now, &out);
                Ok(None)
            }
        }
    }

    /// The handshake is done, if both types go together. `last` is what it still has to say.
    fn open(&mut self, now: Time, metadata: Metadata, last: &[u8]) -> Result<Heard, Error> {
        let ours = self.config.kind;
        if !ours.talks_to(metadata.kind) {
            return Err(Error::Incompatible {
                ours,
                theirs: metadata.kind,
            });
        }
        let State::Handshake {
            minor,
            mut mechanism,
            user,
            ..
        } = std::mem::replace(&mut self.state, State::Closed)
        else {
            return Err(Error::Closed);
        };
        self.outbox.bytes(now, last);
        self.state = State::Open { minor };
        let (sealer, opener) = mechanism.channel().unzip();
        self.inbox.opened(opener);
        self.outbox.opened(sealer);
        self.pulse
            .watch(now, self.config.heartbeat.filter(|_| minor > 0));
        Ok(Heard::Open(Peer {
            minor,
            metadata,
            user,
        }))
    }

    /// A command of the open session. Names that mean nothing here are ignored, as the RFC asks.
    fn obey(&mut self, now: Time, command: &Command<'_>) -> Result<Heard, Error> {
        let publishes = matches!(self.config.kind, SocketType::Pub | SocketType::Xpub);
        match command.name {
            Command::PING => {
                let ping = command.ping()?;
                self.pulse.promised(now, ping.ttl);
                let mut pong = Vec::new();
                Command::write(Command::PONG, ping.context, &mut pong);
                self.outbox.pong(now, pong);
                Ok(Heard::Sign)
            }
            Command::SUBSCRIBE | Command::CANCEL if publishes => Ok(Heard::Subscription {
                on: command.name == Command::SUBSCRIBE,
                topic: Bytes::copy_from_slice(command.data),
            }),
            Command::READY => Err(Error::ReadyTwice),
            Command::ERROR => Err(Error::Refused {
                reason: Bytes::copy_from_slice(command.reason()?),
            }),
            Command::PONG => Ok(Heard::Sign),
            _ => {
                self.ignored += 1;
                Ok(Heard::Sign)
            }
        }
    }

    /// Queues a subscription to `topic`, or its end, in the form that the peer understands: a
    /// command, or a message of one part for a peer of ZMTP 3.0 (RFC 37, RFC 29).
    ///
    /// # Errors
    /// [`Error::NotOpen`] before the peer's READY has been read.
    pub fn subscribe(&mut self, now: Time, on: bool, topic: &[u8]) -> Result<(), Error> {
        let State::Open { minor } = self.state else {
            return Err(Error::NotOpen);
        };
        if minor == 0 {
            let mut part = vec![u8::from(on)];
            part.extend_from_slice(topic);
            self.outbox.message(now, &[Piece::Part(&part)]);
            return Ok(());
        }
        let name = if on {
            Command::SUBSCRIBE
        } else {
            Command::CANCEL
        };
        self.outbox.command(now, name, topic);
        Ok(())
    }

    /// Queues one message of the given pieces.
    ///
    /// # Errors
    /// [`Error::NotOpen`] before the peer's READY has been read: a peer that gets a message too
    /// early may close and never return. [`Error::OutboxFull`] when the peer takes less than it
    /// is sent; nothing is queued then, and the connection should be given up.
    pub fn send(&mut self, now: Time, pieces: &[Piece<'_>]) -> Result<(), Error> {
        if !matches!(self.state, State::Open { .. }) {
            return Err(Error::NotOpen);
        }
        if self.outbox.is_spent() {
            return Err(security::Error::Exhausted.into());
        }
        if self.outbox.len() > self.config.limits.outbox {
            return Err(Error::OutboxFull {
                limit: self.config.limits.outbox,
            });
        }
        self.outbox.message(now, pieces);
        Ok(())
    }

    /// Does what is due at `now`: sends a PING, or finds that the peer has run out of time.
    ///
    /// # Errors
    /// A deadline has passed: the session is over.
    pub fn wake(&mut self, now: Time) -> Result<(), Error> {
        let due = self.due(now);
        if let Err(error) = &due {
            self.fail(now, error);
        }
        due
    }

    fn due(&mut self, now: Time) -> Result<(), Error> {
        match self.state {
            State::Greeting { until, .. } | State::Handshake { until, .. } if until <= now => {
                return Err(Error::HandshakeTimeout);
            }
            State::Closed => return Ok(()),
            _ => {}
        }
        let open = self.is_open();
        if self
            .outbox
            .stalled_since()
            .is_some_and(|since| since + self.config.limits.stall_time <= now)
        {
            return Err(Error::Stalled {
                waiting: self.outbox.len(),
            });
        }
        if open && self.pulse.wake(now, &self.config.limits)? {
            self.outbox.ping(now, &Command::ttl(self.pulse.ttl()));
            self.pulse.pinged();
        }
        Ok(())
    }

    /// When [`wake`](Self::wake) has something to do, if ever.
    #[must_use]
    pub fn deadline(&self) -> Option<Time> {
        let own = match self.state {
            State::Greeting { until, .. } | State::Handshake { until, .. } => Some(until),
            State::Open { .. } => self.pulse.deadline(&self.config.limits),
            State::Closed => return None,
        };
        earliest(
            own,
            self.outbox
                .stalled_since()
                .map(|since| since + self.config.limits.stall_time),
        )
    }

    /// Demands signs of life from now on, or no more. A peer of ZMTP 3.0 cannot give them and is
    /// not asked; the caller has other means (TCP keepalive).
    pub fn watch(&mut self, now: Time, heartbeat: Option<Heartbeat>) {
        let able = matches!(self.state, State::Open { minor } if minor > 0);
        self.pulse.watch(now, heartbeat.filter(|_| able));
    }

    /// Says whether the caller reads from the stream at present. While it does not, silence is
    /// its own doing and counts against nobody.
    pub fn reading(&mut self, now: Time, reading: bool) {
        self.pulse.reading(now, reading);
    }

    /// Fills `slices` with what is to be written next; returns how many it filled, zero if
    /// nothing waits.
    pub fn chunks<'a>(&'a mut self, slices: &mut [IoSlice<'a>]) -> usize {
        self.outbox.chunks(slices)
    }

    /// The stream took the first `n` bytes of [`chunks`](Self::chunks).
    pub fn wrote(&mut self, now: Time, n: usize) {
        self.outbox.advance(now, n);
        if !self.outbox.ping_waits() {
            self.pulse.ping_left(now);
        }
    }

    /// Bytes waiting to be written.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.outbox.len()
    }

    /// Bytes kept of a message that is not complete yet.
    #[must_use]
    pub fn partial(&self) -> usize {
        self.inbox.len()
    }

    /// Commands of the open session so far that mean nothing here.
    #[must_use]
    pub fn ignored(&self) -> u64 {
        self.ignored
    }

    /// Whether messages may be sent.
    #[must_use]
    pub fn is_open(&self) -> bool {
        matches!(self.state, State::Open { .. })
    }

    /// Ends the session. Only a peer that can learn something from it is told why: libzmq never
    /// comes back after an ERROR.
    fn fail(&mut self, now: Time, error: &Error) {
        if let Some(reason) = error.for_peer() {
            let mut out = Vec::new();
            Command::write_error(reason, &mut out);
            self.outbox.bytes(now, &out);
        }
        // The last words may take a while; what was begun needs no memory until then.
        self.inbox = Inbox::default();
        self.state = State::Closed;
    }
}

/// A command of the handshake. libzmq's PLAIN server writes ERROR with its first two octets as
/// one (`^RROR`), which is no command at all; it means the same.
fn handshake_command(body: &[u8]) -> Result<Command<'_>, Error> {
    const MISSPELT: &[u8] = b"^RROR";
    match body.strip_prefix(MISSPELT) {
        Some(data) => Ok(Command {
            name: Command::ERROR,
            data,
        }),
        None => Ok(Command::read(body)?),
    }
}
