//! Majordomo 0.2 in the framing of the zeromq/majordomo library: all scalars in one frame,
//! `AA A4`, a message number, then strings as one length octet and bytes.

use super::{
    Assignment, Command, Dialect, Name, Reading, Word, majordomo_ask, majordomo_body,
    majordomo_ready, majordomo_reply,
};
use crate::wire::{Message, Piece};

/// Reads a message whose first frame begins with `AA A4`.
pub(super) fn read(mut message: Message) -> Reading {
    let Some([0xaa, 0xa4, rest @ ..]) = message.first() else {
        return Reading::UNKNOWN;
    };
    match rest {
        [1, 6, b'M', b'D', b'P', b'C', b'0', b'2', 1, string @ ..] => {
            match text(string).map(Name::majordomo) {
                Some(service) => {
                    message.skip(1);
                    majordomo_ask(Dialect::Zproto, Message::default(), false, service, message)
                }
                None => Reading::UNKNOWN,
            }
        }
        [4, 6, b'M', b'D', b'P', b'W', b'0', b'2', 1, string @ ..] => text(string)
            .map_or(Reading::UNKNOWN, |service| {
                majordomo_ready(Dialect::Zproto, service)
            }),
        [
            number @ (6 | 7),
            6,
            b'M',
            b'D',
            b'P',
            b'W',
            b'0',
            b'2',
            command,
        ] if *command == number - 3 => {
            let partial = *number == 6;
            message.skip(1);
            majordomo_reply(Dialect::Zproto, partial, message)
        }
        b"\x08\x06MDPW02\x05" => Reading::Word(Word::Beat(Dialect::Zproto)),
        b"\x09\x06MDPW02\x06" => Reading::Word(Word::Bye(Dialect::Zproto)),
        _ => Reading::UNKNOWN,
    }
}

/// A string that reaches exactly to the end.
fn text(string: &[u8]) -> Option<&[u8]> {
    let (&len, text) = string.split_first()?;
    (text.len() == usize::from(len)).then_some(text)
}

/// `[AA A4 05 MDPW02 02] [token] [] [body]+`
pub(super) fn assign<R>(task: &Assignment, send: impl FnOnce(&[Piece<'_>]) -> R) -> R {
    send(&[
        Piece::Part(b"\xaa\xa4\x05\x06MDPW02\x02"),
        Piece::Part(&task.token.0),
        Piece::Part(b""),
        majordomo_body(&task.body),
    ])
}

/// `[AA A4 02|03 MDPC02 02|03 service] [body]+`
pub(super) fn answer<R>(
    service: &Name,
    body: &Message,
    partial: bool,
    send: impl FnOnce(&[Piece<'_>]) -> R,
) -> R {
    let number = if partial { 2 } else { 3 };
    let mut head = vec![
        0xaa, 0xa4, number, 6, b'M', b'D', b'P', b'C', b'0', b'2', number,
    ];
    head.push(service.len_octet());
    head.extend_from_slice(service.as_bytes());
    send(&[Piece::Part(&head), majordomo_body(body)])
}

/// HEARTBEAT or DISCONNECT, one frame.
pub(super) fn command<R>(command: Command, send: impl FnOnce(&[Piece<'_>]) -> R) -> R {
    let frame: &[u8] = match command {
        Command::Heartbeat => b"\xaa\xa4\x08\x06MDPW02\x05",
        Command::Disconnect => b"\xaa\xa4\x09\x06MDPW02\x06",
    };
    send(&[Piece::Part(frame)])
}
