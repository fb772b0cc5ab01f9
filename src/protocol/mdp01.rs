//! Majordomo 0.1 (RFC 7). Every message begins with an empty frame or, from clients behind
//! proxies, with a longer envelope.

use super::{
    Assignment, Command, Dialect, Name, Reading, Word, majordomo_ask, majordomo_body,
    majordomo_ready, majordomo_reply,
};
use crate::wire::{Message, Piece};

/// `[MDPC01] [service] [body]+`, the envelope taken off.
pub(super) fn read_client(mut message: Message, envelope: Message) -> Reading {
    let Some(service) = message.parts().nth(1).map(Name::majordomo) else {
        return Reading::UNKNOWN;
    };
    message.skip(2);
    majordomo_ask(Dialect::Mdp01, envelope, true, service, message)
}

/// `[MDPW01] [command] …`, the empty frame taken off.
pub(super) fn read_worker(mut message: Message) -> Reading {
    let mut parts = message.parts();
    let command = parts.nth(1);
    let argument = parts.next();
    match (command, argument) {
        (Some(&[READY]), Some(service)) => majordomo_ready(Dialect::Mdp01, service),
        (Some(&[REPLY]), Some(_)) => {
            message.skip(2);
            majordomo_reply(Dialect::Mdp01, false, message)
        }
        (Some(&[HEARTBEAT]), None) => Reading::Word(Word::Beat(Dialect::Mdp01)),
        (Some(&[DISCONNECT]), None) => Reading::Word(Word::Bye(Dialect::Mdp01)),
        _ => Reading::UNKNOWN,
    }
}

/// `[] [MDPW01] [02] [token] [] [body]+`
pub(super) fn assign<R>(task: &Assignment, send: impl FnOnce(&[Piece<'_>]) -> R) -> R {
    send(&[
        Piece::Part(b""),
        Piece::Part(WORKER),
        Piece::Part(&[REQUEST]),
        Piece::Part(&task.token.0),
        Piece::Part(b""),
        majordomo_body(&task.body),
    ])
}

/// `envelope [MDPC01] [service] [body]+`
pub(super) fn answer<R>(
    envelope: &Message,
    service: &Name,
    body: &Message,
    send: impl FnOnce(&[Piece<'_>]) -> R,
) -> R {
    send(&[
        Piece::Parts(envelope),
        Piece::Part(b"MDPC01"),
        Piece::Part(service.as_bytes()),
        majordomo_body(body),
    ])
}

/// `[] [MDPW01] [command]`
pub(super) fn command<R>(command: Command, send: impl FnOnce(&[Piece<'_>]) -> R) -> R {
    let octet = match command {
        Command::Heartbeat => HEARTBEAT,
        Command::Disconnect => DISCONNECT,
    };
    send(&[Piece::Part(b""), Piece::Part(WORKER), Piece::Part(&[octet])])
}

const WORKER: &[u8] = b"MDPW01";
const READY: u8 = 1;
const REQUEST: u8 = 2;
const REPLY: u8 = 3;
const HEARTBEAT: u8 = 4;
const DISCONNECT: u8 = 5;
