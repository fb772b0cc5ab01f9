//! The languages on the broker's port: messages to words and back.
//!
//! Each message is told apart by its own first frames ([`read`]); the same connection may carry
//! several dialects, for a proxy mixes its clients. Whatever a peer speaks becomes the same
//! [`Word`], so any client reaches any worker. What a word means to the broker is not known here.

mod credit;
mod mdp01;
mod mdp02;
mod name;
mod offer;
mod offered;
pub mod scale0;
mod status;
mod zproto;

pub use credit::{Allowance, Credit, Portion, Taken, Window};
pub use name::{Name, NameError};
pub(crate) use offer::some_time;
pub use offer::{ATTRIBUTES, MAX_WEIGHT, NoPolicy, Offer, Policy};
pub use status::Status;

use std::time::Duration;

use bytes::Bytes;

use crate::limits::Limits;
use crate::wire::{Endpoint, Message, Piece, SocketType};

/// The dialects that are served.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Dialect {
    /// S0/1, our own (`spec/scale0.md`).
    Scale0,
    /// Majordomo 0.1 (RFC 7).
    Mdp01,
    /// Majordomo 0.2 as RFC 18 writes it.
    Mdp02,
    /// Majordomo 0.2 with an empty frame in front, as several ports of it speak it.
    Mdp02Delimited,
    /// Majordomo 0.2 as clients of the Python package majortomo speak it: an empty frame in
    /// front, the worker's numbers for the client's commands, no service name in replies. Its
    /// workers speak [`Mdp02Delimited`](Self::Mdp02Delimited).
    Majortomo,
    /// Majordomo 0.2 as the zeromq/majordomo library packs it.
    Zproto,
}

impl Dialect {
    /// Whether it is one of the Majordomo family: no ids, no errors, workers idempotent and with
    /// one task at a time.
    #[must_use]
    pub fn is_majordomo(self) -> bool {
        self != Self::Scale0
    }
}

impl std::fmt::Display for Dialect {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Scale0 => "S0/1",
            Self::Mdp01 => "MDP/0.1",
            Self::Mdp02 => "MDP/0.2",
            Self::Mdp02Delimited => "MDP/0.2 delimited",
            Self::Majortomo => "MDP/0.2 majortomo",
            Self::Zproto => "MDP/0.2 zproto",
        })
    }
}

/// Eight opaque bytes: a client's number for its task, or the broker's token for an attempt.
#[derive(Clone, Copy, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Id(pub [u8; 8]);

impl Id {
    /// Unnumbered.
    pub const ZERO: Self = Self([0; 8]);
}

impl std::fmt::Debug for Id {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:016x}", u64::from_be_bytes(self.0))
    }
}

/// How an answer finds its way over a connection, and in which form.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Return {
    /// The language it was asked in.
    pub dialect: Dialect,
    /// The frames before and including the first empty one, put back in front of every answer;
    /// empty where there is no such frame.
    pub envelope: Message,
    /// The client's number for the task; zero where it has none.
    pub id: Id,
    /// The asker can take one answer only, so partial replies are gathered for it.
    pub whole: bool,
}

/// What a peer says.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Word {
    /// A client wants a task done.
    Ask(Ask),
    /// A client no longer wants it.
    Cancel(Return),
    /// A client takes more parts of a reply.
    Credit(Credit),
    /// A worker says what it does.
    Announce(Announcement),
    /// A worker answers.
    Reply(Reply),
    /// "I am there, are you?"
    Ping(Ping),
    /// A sign of life that wants no answer: PONG, and Majordomo's HEARTBEAT.
    Beat(Dialect),
    /// "Which broker should I use?"
    NeedBroker(Return),
    /// An orderly end.
    Bye(Dialect),
}

/// A task as it is asked for.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Ask {
    /// Where the answer goes.
    pub back: Return,
    /// The service.
    pub service: Name,
    /// Time to live; zero for the broker's default.
    pub ttl: Duration,
    /// May be started again after a worker's death.
    pub idempotent: bool,
    /// What the client wants to hear of it.
    pub wants: Wants,
    /// 1 (low) to 7 (high).
    pub priority: u8,
    /// Properties for the worker, as they stand on the wire, `User` removed.
    pub properties: Bytes,
    /// The body, untouched.
    pub body: Message,
}

/// What a client wants to hear of its task.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Wants {
    /// Its answer.
    #[default]
    Answer,
    /// That the broker has taken charge of it, or why not; its result is dropped.
    Receipt,
    /// Nothing at all, not even a refusal.
    Nothing,
}

impl Wants {
    /// Whether nobody wants the result.
    #[must_use]
    pub fn is_oneway(self) -> bool {
        self != Self::Answer
    }
}

/// The complete set of what a worker offers.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Announcement {
    /// The worker's language.
    pub dialect: Dialect,
    /// What it calls itself; may be empty.
    pub name: Name,
    /// Tasks it takes at once; zero while it pauses.
    pub capacity: u16,
    /// It will be heard at least this often; zero is no promise, `None` the dialect's habit.
    pub promise: Option<Duration>,
    /// It wants more tasks at once than others may hold.
    pub deep: bool,
    /// It sends parts of replies only as far as it has credit.
    pub credit: bool,
    /// The services; none means that it wants no more tasks.
    pub offers: Vec<Offer>,
}

/// A worker's answer to one attempt.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Reply {
    /// The worker's language.
    pub dialect: Dialect,
    /// Names the attempt.
    pub token: Id,
    /// 200 and up as in HTTP; 200 from Majordomo workers.
    pub code: u16,
    /// More replies follow.
    pub partial: bool,
    /// It refuses the task: another worker is to have it. Only with 503, and before any part.
    pub refuses: bool,
    /// Milliseconds that go with some codes.
    pub ms: u32,
    /// Properties for the client, `User` removed.
    pub properties: Bytes,
    /// The body.
    pub body: Message,
}

/// An S0 PING.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Ping {
    /// Where the PONG goes; its id is echoed, and names a task if it is a token.
    pub back: Return,
    /// The sender will be heard at least this often; zero is no promise.
    pub promise: Duration,
    /// A new capacity.
    pub capacity: Option<u16>,
    /// It names capabilities: a client that understands unasked messages.
    pub capable: bool,
    /// One of them: it gives credit for parts of replies.
    pub credit: bool,
}

/// What [`read`] finds in a message.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Reading {
    /// A word.
    Word(Word),
    /// Nothing to act on: a probe, or an error that a peer reports.
    Nothing,
    /// The language is known, but this cannot be said in it, or not to us.
    Refused(Refusal),
    /// One of the two Majordomo dialects of 2012 that nobody speaks any more.
    Dead,
    /// No language that is known.
    Unknown {
        /// It came through a proxy, whose other clients are not to blame.
        proxied: bool,
    },
}

impl Reading {
    const UNKNOWN: Self = Self::Unknown { proxied: false };
}

/// A message that is answered with an ERROR where its language has one.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Refusal {
    /// Where the ERROR goes.
    pub back: Return,
    /// Why.
    pub status: Status,
    /// In words.
    pub text: String,
    /// It was a task: nothing of it has been done.
    pub task: bool,
}

/// Tells the dialects apart and reads the message in its own. `kind` is the peer's socket type.
#[must_use]
pub fn read(message: Message, kind: SocketType, limits: &Limits) -> Reading {
    let Some(first) = message.first() else {
        return Reading::Nothing;
    };
    match first {
        // Behind a proxy the first frame is a routing id, which may well be text like `S0-7` or
        // random bytes like `AA A4`: a little more than the magic has to fit.
        [b'S', b'0', 0..0x20, ..] => scale0::read(message, Message::default(), limits),
        b"MDPC02" | b"MDPW02" => mdp02::read(message, Dialect::Mdp02, Message::default(), false),
        [0xaa, 0xa4, _, 6, b'M', b'D', b'P', ..] => zproto::read(message),
        b"" if message.wire().len() == EMPTY_FRAME => Reading::Nothing, // ZMQ_PROBE_ROUTER
        _ => read_enveloped(message, kind, limits),
    }
}

fn read_enveloped(mut message: Message, kind: SocketType, limits: &Limits) -> Reading {
    let Some(last) = message
        .parts()
        .take(limits.envelope)
        .position(<[u8]>::is_empty)
    else {
        // More frames than an envelope may have: a proxy's message, if it is anybody's.
        return match dead_or_unknown(message.first()) {
            Reading::Unknown { .. } => Reading::Unknown {
                proxied: message.parts().nth(limits.envelope).is_some(),
            },
            dead => dead,
        };
    };
    let envelope = if last == 0 {
        delimiter()
    } else {
        // Routing ids are at most 255 bytes long (RFC 28). What is longer is nobody's.
        if message.parts().take(last).any(|id| id.len() > 255) {
            return Reading::Unknown { proxied: true };
        }
        message.parts().take(last + 1).collect()
    };
    message.skip(last + 1);
    // Behind a proxy there may be a REQ socket, of which only its envelope tells.
    let whole = kind == SocketType::Req || last > 0;
    let reading = match message.first() {
        Some([b'S', b'0', 0..0x20, ..]) => scale0::read(message, envelope, limits),
        Some(b"MDPC01") => mdp01::read_client(message, envelope),
        Some(b"MDPW01") if last == 0 => mdp01::read_worker(message),
        Some(b"MDPC02") => mdp02::read(message, Dialect::Mdp02Delimited, envelope, whole),
        Some(b"MDPW02") if last == 0 => {
            mdp02::read(message, Dialect::Mdp02Delimited, envelope, whole)
        }
        other => dead_or_unknown(other),
    };
    match reading {
        Reading::Unknown { .. } => Reading::Unknown { proxied: last > 0 },
        known => known,
    }
}

fn dead_or_unknown(header: Option<&[u8]>) -> Reading {
    match header {
        Some(b"MDPC0X" | b"MDPW0X") => Reading::Dead,
        _ => Reading::UNKNOWN,
    }
}

/// The envelope of a REQ socket: one empty frame. Shared, for it is the commonest.
fn delimiter() -> Message {
    Message::from_wire(Bytes::from_static(&[0, 0]))
}

const EMPTY_FRAME: usize = 2;

/// A task on its way to a worker.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Assignment {
    /// Names this attempt.
    pub token: Id,
    /// Which attempt this is, from 1.
    pub attempt: u16,
    /// What is left of the task's time; never zero.
    pub ttl: Duration,
    /// As asked.
    pub idempotent: bool,
    /// Its reply gives the worker's place back, and is dropped.
    pub oneway: bool,
    /// As asked.
    pub priority: u8,
    /// As asked.
    pub service: Name,
    /// As asked.
    pub properties: Bytes,
    /// As asked.
    pub body: Message,
}

/// What a client gets.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Answer {
    /// A worker's (or one of the broker's own services') words.
    Reply {
        /// As the worker said it.
        code: u16,
        /// More follow.
        partial: bool,
        /// As the worker said it.
        ms: u32,
        /// As the worker said it.
        properties: Bytes,
        /// As the worker said it.
        body: Message,
    },
    /// The broker's own refusal.
    Error {
        /// Why.
        status: Status,
        /// No worker has begun with it: it is safe to ask again.
        not_executed: bool,
        /// When it makes sense to ask again; zero where that is not known.
        retry_after: Duration,
        /// In words; may be empty.
        text: String,
    },
}

/// What the broker says to a peer of its own accord.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Notice {
    /// "I do not know you: announce yourself."
    Unknown,
    /// The broker's own settings, after an announcement.
    Config(scale0::Settings),
    /// A sign of life, with the broker's own promise.
    Beat {
        /// The broker will be heard at least this often.
        promise: Duration,
    },
    /// The answer to a PING.
    Pong {
        /// The way back.
        back: Return,
        /// The PING named capabilities: the answer names ours.
        capable: bool,
    },
    /// A worker may send more parts of a reply.
    Credit(Allowance),
    /// Which other brokers there are.
    ChangeBroker {
        /// The way back, where it was asked for.
        back: Return,
        /// Move to one of them within this time; `None`: only to know.
        within: Option<Duration>,
        /// The best first.
        endpoints: Vec<Endpoint>,
    },
    /// An ERROR that belongs to no task.
    Error {
        /// The way back.
        back: Return,
        /// Why.
        status: Status,
        /// In words.
        text: String,
    },
    /// The session is over.
    Bye,
}

/// Writes an assignment in the worker's dialect: one call of `send`.
pub fn assign<R>(dialect: Dialect, task: &Assignment, send: impl FnOnce(&[Piece<'_>]) -> R) -> R {
    match dialect {
        Dialect::Scale0 => scale0::assign(task, send),
        Dialect::Mdp01 => mdp01::assign(task, send),
        Dialect::Mdp02 | Dialect::Mdp02Delimited | Dialect::Majortomo => {
            mdp02::assign(dialect, task, send)
        }
        Dialect::Zproto => zproto::assign(task, send),
    }
}

/// Writes an answer in the asker's dialect: one call of `send`, or `None` where the dialect is
/// silent. `silence` replaces that silence by a body of one part.
pub fn answer<R>(
    back: &Return,
    service: &Name,
    answer: &Answer,
    silence: Option<&[u8]>,
    send: impl FnOnce(&[Piece<'_>]) -> R,
) -> Option<R> {
    let substitute;
    let (body, partial) = match answer {
        _ if back.dialect == Dialect::Scale0 => return Some(scale0::answer(back, answer, send)),
        Answer::Reply { body, partial, .. } => (body, *partial),
        Answer::Error { .. } => {
            substitute = Message::single(silence?);
            (&substitute, false)
        }
    };
    Some(match back.dialect {
        Dialect::Scale0 | Dialect::Mdp01 => mdp01::answer(&back.envelope, service, body, send),
        Dialect::Mdp02 | Dialect::Mdp02Delimited => {
            mdp02::answer(&back.envelope, service, body, partial, send)
        }
        Dialect::Majortomo => mdp02::answer_majortomo(&back.envelope, body, partial, send),
        Dialect::Zproto => zproto::answer(service, body, partial, send),
    })
}

/// Writes a CANCEL for an attempt; `None` where the dialect has no such word.
pub fn cancel<R>(dialect: Dialect, token: Id, send: impl FnOnce(&[Piece<'_>]) -> R) -> Option<R> {
    (dialect == Dialect::Scale0).then(|| scale0::cancel(token, send))
}

/// Writes a notice; `None` where the dialect has no such word.
pub fn notify<R>(
    dialect: Dialect,
    notice: &Notice,
    send: impl FnOnce(&[Piece<'_>]) -> R,
) -> Option<R> {
    match (dialect, notice) {
        (Dialect::Scale0, _) => Some(scale0::notify(notice, send)),
        (_, Notice::Beat { .. }) => Some(majordomo_command(dialect, Command::Heartbeat, send)),
        (_, Notice::Unknown | Notice::Bye) => {
            Some(majordomo_command(dialect, Command::Disconnect, send))
        }
        (
            _,
            Notice::Config(_)
            | Notice::Pong { .. }
            | Notice::Credit(_)
            | Notice::ChangeBroker { .. }
            | Notice::Error { .. },
        ) => None,
    }
}

/// The two Majordomo commands that carry nothing.
#[derive(Clone, Copy, Debug)]
enum Command {
    Heartbeat,
    Disconnect,
}

fn majordomo_command<R>(
    dialect: Dialect,
    command: Command,
    send: impl FnOnce(&[Piece<'_>]) -> R,
) -> R {
    match dialect {
        Dialect::Scale0 | Dialect::Mdp01 => mdp01::command(command, send),
        Dialect::Mdp02 | Dialect::Mdp02Delimited | Dialect::Majortomo => {
            mdp02::command(dialect, command, send)
        }
        Dialect::Zproto => zproto::command(command, send),
    }
}

/// Majordomo knows no message without a body: none becomes one empty frame.
fn majordomo_body(body: &Message) -> Piece<'_> {
    if body.is_empty() {
        Piece::Part(b"")
    } else {
        Piece::Parts(body)
    }
}

/// A Majordomo client's request.
fn majordomo_ask(
    dialect: Dialect,
    envelope: Message,
    whole: bool,
    service: Result<Name, NameError>,
    body: Message,
) -> Reading {
    let Ok(service) = service else {
        return Reading::UNKNOWN;
    };
    Reading::Word(Word::Ask(Ask {
        back: Return {
            dialect,
            envelope,
            id: Id::ZERO,
            whole,
        },
        service,
        ttl: Duration::ZERO,
        idempotent: false,
        wants: Wants::Answer,
        priority: 4,
        properties: Bytes::new(),
        body,
    }))
}

/// A Majordomo worker's READY.
fn majordomo_ready(dialect: Dialect, service: &[u8]) -> Reading {
    let Ok(service) = Name::majordomo(service) else {
        return Reading::UNKNOWN;
    };
    Reading::Word(Word::Announce(Announcement {
        dialect,
        name: Name::default(),
        capacity: 1,
        promise: None,
        deep: false,
        credit: false,
        // RFC 7: "Workers are idempotent".
        offers: vec![Offer {
            service,
            idempotent: true,
            ..Offer::default()
        }],
    }))
}

/// A Majordomo worker's reply; `rest` begins at the client address, which is our token.
fn majordomo_reply(dialect: Dialect, partial: bool, mut rest: Message) -> Reading {
    let mut parts = rest.parts();
    let (Some(address), Some(b"")) = (parts.next(), parts.next()) else {
        return Reading::UNKNOWN;
    };
    // An address that we never gave out is a token that is in no table.
    let token = Id(address.try_into().unwrap_or_default());
    rest.skip(2);
    Reading::Word(Word::Reply(Reply {
        dialect,
        token,
        code: Status::OK.code(),
        partial,
        refuses: false,
        ms: 0,
        properties: Bytes::new(),
        body: rest,
    }))
}
