//! S0/1, scale0's own protocol: one header frame, then the body frames, which nobody touches.
//! Normative text: `spec/scale0.md`.

mod header;

use std::collections::BTreeSet;
use std::time::Duration;

use bytes::Bytes;

use super::{
    Announcement, Answer, Ask, Assignment, Credit, Dialect, Id, Name, Notice, Offer, Ping, Portion,
    Reading, Refusal, Reply, Return, Status, Wants, Word,
};
use crate::limits::Limits;
use crate::time::millis;
use crate::wire::{Endpoint, Message, Piece, Properties, push_property};
pub use header::{CAPS, CREDIT, Header, HeaderError, command, flag};

/// What the broker says of itself in CONFIG.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Settings {
    /// It will be heard at least this often.
    pub promise: Duration,
    /// Its name.
    pub broker: Name,
    /// Bytes of a message's parts together.
    pub max_message: usize,
    /// Parts of a message.
    pub max_frames: usize,
    /// Other brokers, the best first.
    pub failover: Vec<Endpoint>,
}

/// The frame of a CREDIT for the stream of this id.
#[must_use]
pub fn credit(id: Id, more: Portion) -> Vec<u8> {
    let header = Header {
        code: more.messages,
        ms: more.kib,
        id,
        ..Header::of(command::CREDIT)
    };
    header.frame()
}

/// Reads a message that begins with an S0 header; its envelope has been taken off.
pub(super) fn read(mut message: Message, envelope: Message, limits: &Limits) -> Reading {
    let frame = message.first().unwrap_or_default();
    let whole = !envelope.is_empty();
    let id = frame
        .get(12..Header::FIXED)
        .and_then(|id| id.try_into().ok())
        .unwrap_or_default();
    let back = Return {
        dialect: Dialect::Scale0,
        envelope,
        id: Id(id),
        whole,
    };
    let header = match Header::read(frame, limits) {
        Ok(header) => header,
        // Bytes 0 to 3 stand in every version: an error is never answered by an error.
        Err(_) if frame.get(3) == Some(&command::ERROR) => return Reading::Nothing,
        Err(error) => {
            let status = match error {
                HeaderError::Version { .. } => Status::VERSION,
                _ => Status::MALFORMED,
            };
            let command = frame.get(3).copied().unwrap_or_default();
            return refuse(command, back, status, error.to_string());
        }
    };
    let for_worker = matches!(
        header.command,
        command::CONNECT | command::REPLY | command::PONG | command::BYE
    );
    if for_worker && whole {
        return refuse(
            header.command,
            back,
            Status::MALFORMED,
            "a worker's words carry no envelope",
        );
    }
    match header.command {
        command::TASK => match task(&header, back) {
            Ok(mut ask) => {
                message.skip(1);
                ask.body = message;
                Reading::Word(Word::Ask(ask))
            }
            Err(refusal) => Reading::Refused(refusal),
        },
        command::REPLY => {
            let mut reply = reply(&header);
            message.skip(1);
            reply.body = message;
            Reading::Word(Word::Reply(reply))
        }
        command::CONNECT => match announcement(&header, &message, limits) {
            Ok(announcement) => Reading::Word(Word::Announce(announcement)),
            Err((status, text)) => refuse(header.command, back, status, text),
        },
        command::PING => Reading::Word(Word::Ping(Ping {
            back,
            promise: header.promise(),
            capacity: header.has(flag::CAP).then_some(header.code),
            capable: header.properties.find(CAPS).is_some(),
            credit: header.is_capable_of(CREDIT),
        })),
        command::PONG => Reading::Word(Word::Beat(Dialect::Scale0)),
        command::CANCEL => Reading::Word(Word::Cancel(back)),
        command::NEEDBROKER => Reading::Word(Word::NeedBroker(back)),
        command::CREDIT => Reading::Word(Word::Credit(Credit {
            back,
            more: header.portion(),
        })),
        command::BYE => Reading::Word(Word::Bye(Dialect::Scale0)),
        // Nor is one that can be read; the other two are a broker's own words.
        command::ERROR | command::CONFIG | command::CHANGEBROKER => Reading::Nothing,
        other => refuse(
            other,
            back,
            Status::NOT_IMPLEMENTED,
            format!("command {other:#04x} is not implemented"),
        ),
    }
}

fn refuse(command: u8, mut back: Return, status: Status, text: impl Into<String>) -> Reading {
    // These name a task in flight, whose id is kept for its one final.
    if matches!(command, command::CANCEL | command::CHUNK | command::CREDIT) {
        back.id = Id::ZERO;
    }
    Reading::Refused(Refusal {
        back,
        status,
        text: text.into(),
        task: command == command::TASK,
    })
}

/// TASK, without its body.
fn task(header: &Header<'_>, back: Return) -> Result<Ask, Refusal> {
    let refuse = |back, status, text| Refusal {
        back,
        status,
        text,
        task: true,
    };
    let service = match Name::service(header.name) {
        Ok(service) => service,
        Err(error) => return Err(refuse(back, Status::MALFORMED, error.to_string())),
    };
    if header.has(flag::MORE | flag::DURABLE) {
        let text = "TASK with MORE or DURABLE is not implemented".to_owned();
        return Err(refuse(back, Status::NOT_IMPLEMENTED, text));
    }
    let priority = match header.flags >> flag::PRIORITY_SHIFT {
        0 => 4,
        priority => priority,
    };
    Ok(Ask {
        back,
        service,
        ttl: header.promise(),
        idempotent: header.has(flag::IDEMPOTENT),
        wants: match (header.has(flag::ONEWAY), header.has(flag::QUIET)) {
            (false, _) => Wants::Answer,
            (true, false) => Wants::Receipt,
            (true, true) => Wants::Nothing,
        },
        priority,
        properties: without_user(header.properties),
        body: Message::default(),
    })
}

/// REPLY, without its body. A worker's slip in the code must not cost the client its answer.
fn reply(header: &Header<'_>) -> Reply {
    let code = match header.code {
        0 => Status::OK.code(),
        code @ 100..=599 => code,
        _ => 500,
    };
    Reply {
        dialect: Dialect::Scale0,
        token: header.id,
        code,
        partial: header.has(flag::MORE),
        refuses: header.has(flag::REQUEUE)
            && !header.has(flag::MORE)
            && code == Status::UNAVAILABLE.code(),
        ms: header.ms,
        properties: without_user(header.properties),
        body: Message::default(),
    }
}

/// CONNECT with its offers, one per body frame: taken whole or not at all.
fn announcement(
    header: &Header<'_>,
    message: &Message,
    limits: &Limits,
) -> Result<Announcement, (Status, String)> {
    let mut offers = Vec::new();
    let mut seen = BTreeSet::new();
    for frame in message.parts().skip(1) {
        let offer = offer(frame).map_err(|why| (Status::MALFORMED, why))?;
        if !seen.insert(offer.service.clone()) {
            return Err((
                Status::MALFORMED,
                format!("service {} is offered twice", offer.service),
            ));
        }
        if offers.len() == limits.services_per_worker {
            let text = format!(
                "service {} is one too many, limit {}",
                offer.service, limits.services_per_worker
            );
            return Err((Status::TOO_LARGE, text));
        }
        offers.push(offer);
    }
    Ok(Announcement {
        dialect: Dialect::Scale0,
        name: Name::new(header.name),
        capacity: header.code,
        promise: Some(header.promise()),
        deep: header.is_capable_of(DEEP),
        credit: header.is_capable_of(CREDIT),
        offers,
    })
}

/// `name;attribute;attribute=value`.
fn offer(frame: &[u8]) -> Result<Offer, String> {
    let mut fields = frame.split(|b| *b == b';');
    let name = fields.next().unwrap_or_default();
    let service = Name::offer(name).map_err(|error| format!("{error}: {}", Name::new(name)))?;
    if service.is_reserved() {
        return Err(format!(
            "service {service}: names beginning with s0. or mmi. are the broker's own"
        ));
    }
    Offer::with_attributes(service, fields)
}

/// The properties to pass on. `User` is the broker's to say; whoever else says it is not heard.
fn without_user(properties: Properties<'_>) -> Bytes {
    if properties.is_empty() {
        return Bytes::new();
    }
    if properties.find(USER).is_none() {
        return Bytes::copy_from_slice(properties.wire());
    }
    let mut kept = Vec::new();
    for (name, value) in properties
        .iter()
        .filter(|(name, _)| !name.eq_ignore_ascii_case(USER.as_bytes()))
    {
        kept.push(u8::try_from(name.len()).unwrap_or(u8::MAX));
        kept.extend_from_slice(name);
        kept.extend_from_slice(&u32::try_from(value.len()).unwrap_or(u32::MAX).to_be_bytes());
        kept.extend_from_slice(value);
    }
    kept.into()
}

/// Says to the worker who asks: puts `User` behind the other properties of a task. False if a
/// worker that keeps to the limits could not read the header then; the task stays as it was.
#[must_use]
pub fn add_user(ask: &mut Ask, user: &[u8], limits: &Limits) -> bool {
    let count = Properties::trusted(&ask.properties).iter().count();
    let mut properties = ask.properties.to_vec();
    push_property(USER, user, &mut properties);
    let header = Header::FIXED + ask.service.as_bytes().len() + properties.len();
    let fits = count < limits.properties && header <= limits.header;
    if fits {
        ask.properties = properties.into();
    }
    fits
}

pub(super) fn assign<R>(task: &Assignment, send: impl FnOnce(&[Piece<'_>]) -> R) -> R {
    let idempotent = if task.idempotent { flag::IDEMPOTENT } else { 0 };
    let oneway = if task.oneway { flag::ONEWAY } else { 0 };
    let header = Header {
        command: command::TASK,
        flags: idempotent | oneway | task.priority << flag::PRIORITY_SHIFT,
        code: task.attempt,
        ms: millis(task.ttl).max(1),
        id: task.token,
        name: task.service.as_bytes(),
        properties: Properties::trusted(&task.properties),
    };
    header.with_frame(|frame| send(&[Piece::Part(frame), Piece::Parts(&task.body)]))
}

pub(super) fn answer<R>(back: &Return, answer: &Answer, send: impl FnOnce(&[Piece<'_>]) -> R) -> R {
    match answer {
        Answer::Reply {
            code,
            partial,
            ms,
            properties,
            body,
        } => {
            let header = Header {
                command: command::REPLY,
                flags: if *partial { flag::MORE } else { 0 },
                code: *code,
                ms: *ms,
                id: back.id,
                name: b"",
                properties: Properties::trusted(properties),
            };
            header.with_frame(|frame| {
                send(&[
                    Piece::Parts(&back.envelope),
                    Piece::Part(frame),
                    Piece::Parts(body),
                ])
            })
        }
        Answer::Error {
            status,
            not_executed,
            retry_after,
            text,
        } => {
            let flags = if *not_executed { flag::NOT_EXECUTED } else { 0 };
            let header = Header {
                flags,
                ms: millis(*retry_after),
                ..error(back, *status)
            };
            with_text(back, &header, text, send)
        }
    }
}

fn error(back: &Return, status: Status) -> Header<'static> {
    Header {
        code: status.code(),
        id: back.id,
        name: status.word().as_bytes(),
        ..Header::of(command::ERROR)
    }
}

fn with_text<R>(
    back: &Return,
    header: &Header<'_>,
    text: &str,
    send: impl FnOnce(&[Piece<'_>]) -> R,
) -> R {
    let frame = header.frame();
    let pieces = [
        Piece::Parts(&back.envelope),
        Piece::Part(&frame),
        Piece::Part(text.as_bytes()),
    ];
    match pieces.split_last() {
        Some((_, without_text)) if text.is_empty() => send(without_text),
        _ => send(&pieces),
    }
}

pub(super) fn cancel<R>(token: Id, send: impl FnOnce(&[Piece<'_>]) -> R) -> R {
    send(&[Piece::Part(
        &Header {
            id: token,
            ..Header::of(command::CANCEL)
        }
        .frame(),
    )])
}

pub(super) fn notify<R>(notice: &Notice, send: impl FnOnce(&[Piece<'_>]) -> R) -> R {
    match notice {
        Notice::Unknown => send(&[Piece::Part(&Header::of(command::CONNECT).frame())]),
        Notice::Bye => send(&[Piece::Part(&Header::of(command::BYE).frame())]),
        Notice::Beat { promise } => send(&[Piece::Part(
            &Header {
                ms: millis(*promise),
                ..Header::of(command::PING)
            }
            .frame(),
        )]),
        Notice::Pong { back, capable } => {
            let mut properties = Vec::new();
            if *capable {
                push_property(CAPS, OUR_CAPS, &mut properties);
            }
            let header = Header {
                id: back.id,
                properties: Properties::trusted(&properties),
                ..Header::of(command::PONG)
            };
            send(&[Piece::Parts(&back.envelope), Piece::Part(&header.frame())])
        }
        Notice::Credit(allowance) => send(&[Piece::Part(&credit(allowance.token, allowance.more))]),
        Notice::Error { back, status, text } => with_text(back, &error(back, *status), text, send),
        Notice::Config(settings) => {
            let mut properties = Vec::new();
            push_property("Broker", settings.broker.as_bytes(), &mut properties);
            push_property(
                "Max-Message",
                settings.max_message.to_string().as_bytes(),
                &mut properties,
            );
            push_property(
                "Max-Frames",
                settings.max_frames.to_string().as_bytes(),
                &mut properties,
            );
            push_property(CAPS, OUR_CAPS, &mut properties);
            let header = Header {
                code: Status::OK.code(),
                ms: millis(settings.promise),
                properties: Properties::trusted(&properties),
                ..Header::of(command::CONFIG)
            };
            let others = frames(&settings.failover);
            send(&[Piece::Part(&header.frame()), Piece::Parts(&others)])
        }
        Notice::ChangeBroker {
            back,
            within,
            endpoints,
        } => {
            let status = within.map_or(Status::OK, |_| Status::MOVED);
            let header = Header {
                code: status.code(),
                ms: millis(within.unwrap_or_default()),
                id: back.id,
                ..Header::of(command::CHANGEBROKER)
            };
            send(&[
                Piece::Parts(&back.envelope),
                Piece::Part(&header.frame()),
                Piece::Parts(&frames(endpoints)),
            ])
        }
    }
}

/// One frame for each endpoint.
fn frames(endpoints: &[Endpoint]) -> Message {
    Message::new(endpoints.iter().map(Endpoint::to_string))
}

const USER: &str = "User";
const DEEP: &str = "deep";
/// What the broker names in CONFIG, and in PONG to those who name theirs.
const OUR_CAPS: &[u8] = b"credit deep";
