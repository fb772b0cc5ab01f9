//! What clients and workers say and hear, in each dialect.

use std::time::Duration;

use bytes::Bytes;

use super::error::CallError;
use super::ledger::Question;
use super::reply::Reply;
use crate::limits::Limits;
use crate::protocol::scale0::{self, CAPS, CREDIT, Header, command, flag};
use crate::protocol::{Id, Name, Portion, Status, Wants};
use crate::time::millis;
use crate::wire::{Endpoint, Message, Piece, Properties, PropertyError, push_property};

/// The language to speak to the broker.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub enum Dialect {
    /// S0/1, to a scale0 broker.
    #[default]
    Scale0,
    /// Majordomo 0.1 (RFC 7), to any other broker.
    Mdp01,
    /// Majordomo 0.2 (RFC 18).
    Mdp02,
    /// Majordomo 0.2 with an empty frame in front, for brokers that want it.
    Mdp02Delimited,
    /// Majordomo 0.2 to the broker of the Python package majortomo: an empty frame in front, the
    /// worker's numbers for the client's commands, no service name in replies.
    Majortomo,
}

impl Dialect {
    /// Whether it has no numbers for tasks, no deadlines, and one task at a time.
    #[must_use]
    pub fn is_majordomo(self) -> bool {
        self != Self::Scale0
    }

    /// Frames in front of the header.
    fn prefix(self) -> &'static [Piece<'static>] {
        match self {
            Self::Mdp01 | Self::Mdp02Delimited | Self::Majortomo => &[Piece::Part(b"")],
            Self::Scale0 | Self::Mdp02 => &[],
        }
    }
}

/// What a client hears.
#[derive(Debug)]
pub(super) enum ToClient {
    Reply {
        /// `None` where the dialect has no numbers.
        id: Option<u64>,
        reply: Reply,
    },
    Refused {
        id: u64,
        status: Status,
        not_executed: bool,
        retry_after: Option<Duration>,
        text: String,
    },
    /// Which other brokers there are.
    ChangeBroker(Others),
    /// The broker's answer to our introduction.
    Pong {
        /// It counts credit.
        credit: bool,
    },
    /// Nothing that matters.
    Nothing,
}

/// What a worker hears.
#[derive(Debug)]
pub(super) enum ToWorker {
    Task(Job),
    Cancel(Bytes),
    /// More parts of a task's reply may be sent.
    Credit(Bytes, Portion),
    /// A sign of life.
    Beat,
    /// The answer to the PING of this number.
    Pong(Id),
    /// One that wants an answer.
    Ping(Id),
    /// The broker does not know us.
    Unknown,
    Config {
        /// The broker's own promise.
        promise: Duration,
        /// It counts credit.
        credit: bool,
        /// Others that do its work.
        others: Others,
    },
    /// Which other brokers there are.
    ChangeBroker(Others),
    Refused {
        status: Status,
        text: String,
    },
    /// The session is over.
    Bye,
    Nothing,
}

/// Other brokers, as a broker tells of them.
#[derive(Debug)]
pub(super) struct Others {
    /// We are to go there.
    pub(super) go: bool,
    pub(super) endpoints: Vec<Endpoint>,
}

/// A task as it arrives at a worker.
#[derive(Debug)]
pub(super) struct Job {
    /// Goes back with every reply.
    pub(super) token: Bytes,
    /// `None` where the dialect leaves it to the connection.
    pub(super) service: Option<Name>,
    pub(super) ttl: Option<Duration>,
    pub(super) attempt: u16,
    pub(super) idempotent: bool,
    pub(super) oneway: bool,
    pub(super) properties: Bytes,
    pub(super) body: Message,
}

/// What a worker says of itself.
#[derive(Clone, Debug)]
pub(super) struct Presence {
    pub(super) name: Name,
    pub(super) capacity: u16,
    pub(super) promise: Duration,
    /// Offers as they stand on the wire, `name;attribute…`.
    pub(super) offers: Vec<Bytes>,
}

/// How many bytes and parts a message has, if that is more than the other side takes.
pub(super) fn excess(pieces: &[Piece<'_>], limits: &Limits) -> Option<(usize, usize)> {
    let (mut bytes, mut parts) = (0, 0);
    for piece in pieces {
        match piece {
            Piece::Part(part) => (bytes, parts) = (bytes + part.len(), parts + 1),
            Piece::Parts(message) => {
                (bytes, parts) = (bytes + message.payload(), parts + message.count());
            }
        }
    }
    (bytes > limits.message || parts > limits.parts).then_some((bytes, parts))
}

/// Whether a broker would take a task: one that is too much for it would cost the connection, and
/// other calls their answers.
pub(super) fn check(
    dialect: Dialect,
    question: &Question,
    limits: &Limits,
) -> Result<(), CallError> {
    if dialect.is_majordomo() && question.wants.is_oneway() {
        return Err(CallError::NoOneWay);
    }
    let header = HEADER + question.service.as_bytes().len() + question.properties.len();
    if dialect == Dialect::Scale0 && header > limits.header {
        return Err(CallError::Property(PropertyError::TooLong {
            size: question.properties.len(),
            limit: limits
                .header
                .saturating_sub(header - question.properties.len()),
        }));
    }
    let excess = |pieces: &[Piece<'_>]| excess(pieces, limits);
    match ask(dialect, 0, question, Duration::ZERO, excess) {
        None => Ok(()),
        Some((size, _)) if size > limits.message => Err(CallError::TooLarge {
            size,
            limit: limits.message,
        }),
        Some((_, parts)) => Err(CallError::TooManyParts {
            parts,
            limit: limits.parts,
        }),
    }
}

/// A client's task.
pub(super) fn ask<R>(
    dialect: Dialect,
    id: u64,
    question: &Question,
    ttl: Duration,
    send: impl FnOnce(&[Piece<'_>]) -> R,
) -> R {
    if dialect == Dialect::Scale0 {
        let idempotent = if question.idempotent {
            flag::IDEMPOTENT
        } else {
            0
        };
        let oneway = match question.wants {
            Wants::Answer => 0,
            Wants::Receipt => flag::ONEWAY,
            Wants::Nothing => flag::ONEWAY | flag::QUIET,
        };
        let header = Header {
            flags: idempotent | oneway | question.priority << flag::PRIORITY_SHIFT,
            ms: millis(ttl).max(1),
            id: Id(id.to_be_bytes()),
            name: question.service.as_bytes(),
            properties: Properties::trusted(&question.properties),
            ..Header::of(command::TASK)
        };
        return send(&[Piece::Part(&header.frame()), Piece::Parts(&question.body)]);
    }
    let mut pieces = dialect.prefix().to_vec();
    match dialect {
        Dialect::Mdp01 => pieces.push(Piece::Part(b"MDPC01")),
        Dialect::Majortomo => pieces.extend([Piece::Part(b"MDPC02"), Piece::Part(&[REQUEST])]),
        _ => pieces.extend([Piece::Part(b"MDPC02"), Piece::Part(&[CLIENT_REQUEST])]),
    }
    pieces.extend([
        Piece::Part(question.service.as_bytes()),
        body(&question.body),
    ]);
    send(&pieces)
}

/// A client's CANCEL; `None` where the dialect has none.
pub(super) fn cancel<R>(
    dialect: Dialect,
    id: u64,
    send: impl FnOnce(&[Piece<'_>]) -> R,
) -> Option<R> {
    (dialect == Dialect::Scale0).then(|| {
        let header = Header {
            id: Id(id.to_be_bytes()),
            ..Header::of(command::CANCEL)
        };
        send(&[Piece::Part(&header.frame())])
    })
}

/// A client's first word in S0/1: what it can do, so that the broker knows before it has tasks,
/// and that it understands what it did not ask for.
pub(super) fn introduce<R>(send: impl FnOnce(&[Piece<'_>]) -> R) -> R {
    let caps = caps();
    let header = Header {
        properties: Properties::trusted(&caps),
        ..Header::of(command::PING)
    };
    send(&[Piece::Part(&header.frame())])
}

/// A client takes more parts of a reply, in S0/1.
pub(super) fn credit<R>(id: u64, more: Portion, send: impl FnOnce(&[Piece<'_>]) -> R) -> R {
    let frame = scale0::credit(Id(id.to_be_bytes()), more);
    send(&[Piece::Part(&frame)])
}

/// What clients and workers can do.
fn caps() -> Vec<u8> {
    let mut caps = Vec::new();
    push_property(CAPS, CREDIT.as_bytes(), &mut caps);
    caps
}

/// What a message says to a client.
pub(super) fn hear_as_client(dialect: Dialect, mut message: Message, limits: &Limits) -> ToClient {
    if dialect == Dialect::Scale0 {
        return hear_scale0_as_client(message, limits);
    }
    let mut parts = message.parts().skip(dialect.prefix().len());
    let (header, used) = match dialect {
        Dialect::Mdp01 => (parts.next() == Some(b"MDPC01"), 1),
        _ => (parts.next() == Some(b"MDPC02"), 2),
    };
    let partial = match (dialect, header) {
        (_, false) => return ToClient::Nothing,
        (Dialect::Mdp01, true) => false,
        (Dialect::Majortomo, true) => match parts.next() {
            Some(&[PARTIAL]) => true,
            Some(&[FINAL]) => false,
            _ => return ToClient::Nothing,
        },
        (_, true) => match parts.next() {
            Some(&[CLIENT_PARTIAL]) => true,
            Some(&[CLIENT_FINAL]) => false,
            _ => return ToClient::Nothing,
        },
    };
    // majortomo leaves the service's name out.
    let named = dialect != Dialect::Majortomo;
    message.skip(dialect.prefix().len() + used + usize::from(named));
    ToClient::Reply {
        id: None,
        reply: Reply {
            code: 200,
            partial,
            properties: Bytes::new(),
            body: message,
        },
    }
}

fn hear_scale0_as_client(mut message: Message, limits: &Limits) -> ToClient {
    let Some(frame) = message.first().filter(|frame| frame.starts_with(b"S0")) else {
        return ToClient::Nothing;
    };
    let Ok(header) = Header::read(frame, limits) else {
        return ToClient::Nothing;
    };
    let id = u64::from_be_bytes(header.id.0);
    match header.command {
        command::REPLY => {
            let (code, partial) = (header.code, header.has(flag::MORE));
            let properties = Bytes::copy_from_slice(header.properties.wire());
            message.skip(1);
            ToClient::Reply {
                id: Some(id),
                reply: Reply {
                    code,
                    partial,
                    properties,
                    body: message,
                },
            }
        }
        command::ERROR => ToClient::Refused {
            id,
            status: Status::read(header.code, header.name),
            not_executed: header.has(flag::NOT_EXECUTED),
            retry_after: (header.ms > 0).then(|| Duration::from_millis(u64::from(header.ms))),
            text: text_of(&message),
        },
        command::CHANGEBROKER => ToClient::ChangeBroker(others_of(header.code, &message)),
        command::PONG => ToClient::Pong {
            credit: header.is_capable_of(CREDIT),
        },
        _ => ToClient::Nothing,
    }
}

/// The endpoints in the body of CONFIG and CHANGEBROKER; what is none is passed over.
fn others_of(code: u16, message: &Message) -> Others {
    let texts = message.parts().skip(1).take(MOST_OTHERS);
    Others {
        go: code == Status::MOVED.code(),
        endpoints: texts
            .filter_map(|text| std::str::from_utf8(text).ok()?.parse().ok())
            .collect(),
    }
}

/// The text in an ERROR's first body frame.
fn text_of(message: &Message) -> String {
    String::from_utf8_lossy(message.parts().nth(1).unwrap_or_default()).into_owned()
}

/// A worker announces itself.
pub(super) fn announce<R>(
    dialect: Dialect,
    presence: &Presence,
    send: impl FnOnce(&[Piece<'_>]) -> R,
) -> R {
    if dialect == Dialect::Scale0 {
        let caps = caps();
        let header = Header {
            code: presence.capacity,
            ms: millis(presence.promise),
            name: presence.name.as_bytes(),
            properties: Properties::trusted(&caps),
            ..Header::of(command::CONNECT)
        };
        let offers = Message::new(&presence.offers);
        return send(&[Piece::Part(&header.frame()), Piece::Parts(&offers)]);
    }
    // A Majordomo worker has one service, and no attributes.
    let offer = presence
        .offers
        .first()
        .and_then(|offer| offer.split(|b| *b == b';').next())
        .unwrap_or_default();
    worker_says(dialect, READY, &[Piece::Part(offer)], send)
}

/// A worker's sign of life.
pub(super) fn beat<R>(
    dialect: Dialect,
    promise: Duration,
    send: impl FnOnce(&[Piece<'_>]) -> R,
) -> R {
    match dialect {
        Dialect::Scale0 => send(&[Piece::Part(
            &Header {
                ms: millis(promise),
                ..Header::of(command::PING)
            }
            .frame(),
        )]),
        Dialect::Mdp01 => worker_says(dialect, 4, &[], send),
        _ => worker_says(dialect, 5, &[], send),
    }
}

/// A worker wants no more tasks, in S0/1: a PING with a capacity of 0. Its PONG carries `id`.
pub(super) fn pause<R>(id: Id, promise: Duration, send: impl FnOnce(&[Piece<'_>]) -> R) -> R {
    let header = Header {
        flags: flag::CAP,
        ms: millis(promise),
        id,
        ..Header::of(command::PING)
    };
    send(&[Piece::Part(&header.frame())])
}

/// A worker answers PING; `None` where the dialect has none.
pub(super) fn pong<R>(dialect: Dialect, id: Id, send: impl FnOnce(&[Piece<'_>]) -> R) -> Option<R> {
    (dialect == Dialect::Scale0).then(|| {
        send(&[Piece::Part(
            &Header {
                id,
                ..Header::of(command::PONG)
            }
            .frame(),
        )])
    })
}

/// A worker's goodbye.
pub(super) fn bye<R>(dialect: Dialect, send: impl FnOnce(&[Piece<'_>]) -> R) -> R {
    match dialect {
        Dialect::Scale0 => send(&[Piece::Part(&Header::of(command::BYE).frame())]),
        Dialect::Mdp01 => worker_says(dialect, 5, &[], send),
        _ => worker_says(dialect, 6, &[], send),
    }
}

/// A worker's reply. Majordomo carries no code, and 0.1 no partial replies: the caller gathers
/// them.
pub(super) fn reply<R>(
    dialect: Dialect,
    token: &[u8],
    code: u16,
    partial: bool,
    answer: &Message,
    send: impl FnOnce(&[Piece<'_>]) -> R,
) -> R {
    match dialect {
        Dialect::Scale0 => {
            let id = Id(token.try_into().unwrap_or_default());
            let flags = if partial { flag::MORE } else { 0 };
            let header = Header {
                flags,
                code,
                id,
                ..Header::of(command::REPLY)
            };
            send(&[Piece::Part(&header.frame()), Piece::Parts(answer)])
        }
        _ => {
            let number = match (dialect, partial) {
                (Dialect::Mdp01, _) => 3,
                (_, true) => PARTIAL,
                (_, false) => FINAL,
            };
            worker_says(
                dialect,
                number,
                &[Piece::Part(token), Piece::Part(b""), body(answer)],
                send,
            )
        }
    }
}

/// A worker does not take a task; `None` where the dialect has no such word. A broker that has had
/// a part of the reply, or does not know the word, passes it on as the reply that it is.
pub(super) fn refuse<R>(
    dialect: Dialect,
    token: &[u8],
    answer: &Message,
    send: impl FnOnce(&[Piece<'_>]) -> R,
) -> Option<R> {
    (dialect == Dialect::Scale0).then(|| {
        let header = Header {
            flags: flag::REQUEUE,
            code: Status::UNAVAILABLE.code(),
            id: Id(token.try_into().unwrap_or_default()),
            ..Header::of(command::REPLY)
        };
        send(&[Piece::Part(&header.frame()), Piece::Parts(answer)])
    })
}

fn worker_says<R>(
    dialect: Dialect,
    number: u8,
    rest: &[Piece<'_>],
    send: impl FnOnce(&[Piece<'_>]) -> R,
) -> R {
    let octet = [number];
    let mut pieces = dialect.prefix().to_vec();
    pieces.push(Piece::Part(if dialect == Dialect::Mdp01 {
        b"MDPW01"
    } else {
        b"MDPW02"
    }));
    pieces.push(Piece::Part(&octet));
    pieces.extend_from_slice(rest);
    send(&pieces)
}

/// What a message says to a worker.
pub(super) fn hear_as_worker(dialect: Dialect, mut message: Message, limits: &Limits) -> ToWorker {
    if dialect == Dialect::Scale0 {
        return hear_scale0_as_worker(message, limits);
    }
    let prefix = dialect.prefix().len();
    let mut parts = message.parts().skip(prefix);
    let header: &[u8] = if dialect == Dialect::Mdp01 {
        b"MDPW01"
    } else {
        b"MDPW02"
    };
    if parts.next() != Some(header) {
        return ToWorker::Nothing;
    }
    let (heartbeat, disconnect) = if dialect == Dialect::Mdp01 {
        (4, 5)
    } else {
        (5, 6)
    };
    match parts.next() {
        Some(&[REQUEST]) => {
            let (Some(address), Some(b"")) = (parts.next(), parts.next()) else {
                return ToWorker::Nothing;
            };
            let token = Bytes::copy_from_slice(address);
            message.skip(prefix + 4);
            ToWorker::Task(Job {
                token,
                service: None,
                ttl: None,
                attempt: 1,
                idempotent: true,
                oneway: false,
                properties: Bytes::new(),
                body: message,
            })
        }
        Some(&[number]) if number == heartbeat => ToWorker::Beat,
        Some(&[number]) if number == disconnect => ToWorker::Bye,
        _ => ToWorker::Nothing,
    }
}

fn hear_scale0_as_worker(mut message: Message, limits: &Limits) -> ToWorker {
    let Some(frame) = message.first().filter(|frame| frame.starts_with(b"S0")) else {
        return ToWorker::Nothing;
    };
    let Ok(header) = Header::read(frame, limits) else {
        return ToWorker::Nothing;
    };
    let ms = Duration::from_millis(u64::from(header.ms));
    match header.command {
        command::TASK => {
            let job = Job {
                token: Bytes::copy_from_slice(&header.id.0),
                service: Some(Name::new(header.name)),
                ttl: Some(ms),
                attempt: header.code,
                idempotent: header.has(flag::IDEMPOTENT),
                oneway: header.has(flag::ONEWAY),
                properties: Bytes::copy_from_slice(header.properties.wire()),
                body: Message::default(),
            };
            message.skip(1);
            ToWorker::Task(Job {
                body: message,
                ..job
            })
        }
        command::CANCEL => ToWorker::Cancel(Bytes::copy_from_slice(&header.id.0)),
        command::CONNECT => ToWorker::Unknown,
        command::CREDIT => ToWorker::Credit(Bytes::copy_from_slice(&header.id.0), header.portion()),
        command::CONFIG => ToWorker::Config {
            promise: ms,
            credit: header.is_capable_of(CREDIT),
            others: others_of(header.code, &message),
        },
        command::CHANGEBROKER => ToWorker::ChangeBroker(others_of(header.code, &message)),
        command::PING => ToWorker::Ping(header.id),
        command::PONG => ToWorker::Pong(header.id),
        command::BYE => ToWorker::Bye,
        command::ERROR => ToWorker::Refused {
            status: Status::new(header.code),
            text: text_of(&message),
        },
        _ => ToWorker::Nothing,
    }
}

/// Majordomo knows no message without a body.
fn body(message: &Message) -> Piece<'_> {
    if message.is_empty() {
        Piece::Part(b"")
    } else {
        Piece::Parts(message)
    }
}

/// Endpoints that are looked at.
const MOST_OTHERS: usize = 64;
/// An S0 header without name and properties.
const HEADER: usize = 20;
const CLIENT_REQUEST: u8 = 1;
const CLIENT_PARTIAL: u8 = 2;
const CLIENT_FINAL: u8 = 3;
const READY: u8 = 1;
const REQUEST: u8 = 2;
const PARTIAL: u8 = 3;
const FINAL: u8 = 4;
