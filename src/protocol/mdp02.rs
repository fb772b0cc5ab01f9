//! Majordomo 0.2: as RFC 18 writes it, and with an empty frame in front of everything.
//!
//! The second form shares its first frames with a dialect of 2012 that was 0.1 under another
//! name. A worker's READY is the same in both; a lone 04, HEARTBEAT there and a FINAL without
//! its frames here, gives the old one away.
//!
//! Clients of the package majortomo number their commands like workers: REQUEST is 02. No service
//! of the old dialect can have that name.

use super::{
    Assignment, Command, Dialect, Name, Reading, Word, majordomo_ask, majordomo_body,
    majordomo_ready, majordomo_reply,
};
use crate::wire::{Message, Piece};

/// `[MDPC02 or MDPW02] [command] …`, an envelope taken off.
pub(super) fn read(
    mut message: Message,
    dialect: Dialect,
    envelope: Message,
    whole: bool,
) -> Reading {
    let delimited = dialect == Dialect::Mdp02Delimited;
    let mut parts = message.parts();
    let is_client = parts.next() == Some(b"MDPC02");
    let command = parts.next();
    let argument = parts.next();
    match (command, argument) {
        (Some(&[CLIENT_REQUEST]), Some(service)) if is_client => {
            let service = Name::majordomo(service);
            message.skip(3);
            majordomo_ask(dialect, envelope, whole, service, message)
        }
        (Some(&[REQUEST]), Some(service)) if is_client && delimited => {
            let service = Name::majordomo(service);
            message.skip(3);
            majordomo_ask(Dialect::Majortomo, envelope, whole, service, message)
        }
        // The old client has no command: its service and body stand here.
        _ if is_client => {
            if delimited {
                Reading::Dead
            } else {
                Reading::UNKNOWN
            }
        }
        (Some(&[READY]), Some(service)) => majordomo_ready(dialect, service),
        (Some(&[PARTIAL]), Some(_)) => {
            message.skip(2);
            majordomo_reply(dialect, true, message)
        }
        (Some(&[FINAL]), Some(_)) => {
            message.skip(2);
            majordomo_reply(dialect, false, message)
        }
        (Some(&[FINAL]), None) if delimited => Reading::Dead,
        (Some(&[HEARTBEAT]), None) => Reading::Word(Word::Beat(dialect)),
        (Some(&[DISCONNECT]), None) => Reading::Word(Word::Bye(dialect)),
        _ => Reading::UNKNOWN,
    }
}

/// `[MDPW02] [02] [token] [] [body]+`
pub(super) fn assign<R>(
    dialect: Dialect,
    task: &Assignment,
    send: impl FnOnce(&[Piece<'_>]) -> R,
) -> R {
    let frames = [
        Piece::Part(b""),
        Piece::Part(WORKER),
        Piece::Part(&[REQUEST]),
        Piece::Part(&task.token.0),
        Piece::Part(b""),
        majordomo_body(&task.body),
    ];
    send(delimited(dialect, &frames))
}

/// `envelope [MDPC02] [02 or 03] [service] [body]+`
pub(super) fn answer<R>(
    envelope: &Message,
    service: &Name,
    body: &Message,
    partial: bool,
    send: impl FnOnce(&[Piece<'_>]) -> R,
) -> R {
    send(&[
        Piece::Parts(envelope),
        Piece::Part(b"MDPC02"),
        Piece::Part(&[if partial {
            CLIENT_PARTIAL
        } else {
            CLIENT_FINAL
        }]),
        Piece::Part(service.as_bytes()),
        majordomo_body(body),
    ])
}

/// `envelope [MDPC02] [03 or 04] [body]+`, as majortomo's own broker answers its clients.
pub(super) fn answer_majortomo<R>(
    envelope: &Message,
    body: &Message,
    partial: bool,
    send: impl FnOnce(&[Piece<'_>]) -> R,
) -> R {
    send(&[
        Piece::Parts(envelope),
        Piece::Part(b"MDPC02"),
        Piece::Part(&[if partial { PARTIAL } else { FINAL }]),
        majordomo_body(body),
    ])
}

/// `[MDPW02] [command]`
pub(super) fn command<R>(
    dialect: Dialect,
    command: Command,
    send: impl FnOnce(&[Piece<'_>]) -> R,
) -> R {
    let octet = [match command {
        Command::Heartbeat => HEARTBEAT,
        Command::Disconnect => DISCONNECT,
    }];
    let frames = [Piece::Part(b""), Piece::Part(WORKER), Piece::Part(&octet)];
    send(delimited(dialect, &frames))
}

/// The frames with their leading empty one, or without it.
fn delimited<'a, 'b>(dialect: Dialect, frames: &'a [Piece<'b>]) -> &'a [Piece<'b>] {
    match frames {
        [_, rest @ ..] if dialect == Dialect::Mdp02 => rest,
        all => all,
    }
}

const WORKER: &[u8] = b"MDPW02";
const CLIENT_REQUEST: u8 = 1;
const CLIENT_PARTIAL: u8 = 2;
const CLIENT_FINAL: u8 = 3;
const READY: u8 = 1;
const REQUEST: u8 = 2;
const PARTIAL: u8 = 3;
const FINAL: u8 = 4;
const HEARTBEAT: u8 = 5;
const DISCONNECT: u8 = 6;
