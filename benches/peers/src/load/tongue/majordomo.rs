//! MDP/0.1, and MDP/0.2 as majortomo frames it: an empty frame first.

use super::{Meaning, Question, Role};
use crate::load::zmtp::{self, Message};

/// How the two differ.
#[derive(Clone, Copy)]
pub struct Words {
    client: &'static [u8],
    worker: &'static [u8],
    /// What a client's request has between the header and the service.
    ask: Option<&'static [u8]>,
    answer: u8,
    beat: u8,
    disconnect: u8,
}

pub const ZERO_ONE: Words = Words {
    client: b"MDPC01",
    worker: b"MDPW01",
    ask: None,
    answer: 3,
    beat: 4,
    disconnect: 5,
};

pub const MAJORTOMO: Words = Words {
    client: b"MDPC02",
    worker: b"MDPW02",
    ask: Some(b"\x02"),
    answer: 4,
    beat: 5,
    disconnect: 6,
};

const READY: u8 = 1;
const REQUEST: u8 = 2;

pub fn hello(words: Words, services: &[&[u8]]) -> Vec<u8> {
    let mut out = Vec::new();
    zmtp::message(
        &mut out,
        &[&[b"", words.worker, &[READY]], &services[..1]].concat(),
    );
    out
}

pub fn beat(words: Words) -> Vec<u8> {
    let mut out = Vec::new();
    zmtp::message(&mut out, &[b"", words.worker, &[words.beat]]);
    out
}

pub fn question(words: Words, service: &[u8], body: &[u8]) -> Question {
    let mut frames = vec![b"", words.client];
    frames.extend(words.ask);
    frames.extend([service, body]);
    let mut wire = Vec::new();
    zmtp::message(&mut wire, &frames);
    Question::new(wire, None, body.len(), 0)
}

pub fn hear<'a>(words: Words, role: Role, message: &Message<'a>, out: &mut Vec<u8>) -> Meaning<'a> {
    let body = message.last();
    if role == Role::Client {
        return match message.frame(1) == words.client && message.count() >= 4 {
            true => Meaning::Reply { id: None, body },
            false => Meaning::Odd,
        };
    }
    match *message.frame(2) {
        _ if message.frame(1) != words.worker => Meaning::Odd,
        [REQUEST] if message.count() >= 6 => {
            zmtp::put(out, zmtp::MORE, b"");
            zmtp::put(out, zmtp::MORE, words.worker);
            zmtp::put(out, zmtp::MORE, &[words.answer]);
            // Address, empty frame and body go back as they came.
            out.extend_from_slice(message.from(3));
            Meaning::Task
        }
        [command] if command == words.beat => Meaning::Nothing,
        [command] if command == words.disconnect => Meaning::Stranger,
        _ => Meaning::Odd,
    }
}

#[cfg(test)]
mod tests {
    use super::{MAJORTOMO, ZERO_ONE, beat, hear, question};
    use crate::load::tongue::{Meaning, Role};
    use crate::load::zmtp::{message, read};

    #[test]
    fn requests_are_what_rfc_7_and_majortomo_say() {
        let wire = question(ZERO_ONE, b"echo", b"hi").wire;
        let frames: Vec<_> = read(&wire).bodies().collect();
        assert_eq!(frames, [&b""[..], b"MDPC01", b"echo", b"hi"]);
        let wire = question(MAJORTOMO, b"echo", b"hi").wire;
        let frames: Vec<_> = read(&wire).bodies().collect();
        assert_eq!(frames, [&b""[..], b"MDPC02", b"\x02", b"echo", b"hi"]);
    }

    #[test]
    fn a_request_goes_back_to_the_address_it_came_from() {
        let mut wire = Vec::new();
        message(&mut wire, &[b"", b"MDPW01", b"\x02", b"ann", b"", b"hi"]);
        let mut out = Vec::new();
        let meaning = hear(ZERO_ONE, Role::Worker, &read(&wire), &mut out);
        assert_eq!(meaning, Meaning::Task);
        let frames: Vec<_> = read(&out).bodies().collect();
        assert_eq!(frames, [&b""[..], b"MDPW01", b"\x03", b"ann", b"", b"hi"]);
    }

    #[test]
    fn beats_are_heard_and_strangers_told() {
        let mut out = Vec::new();
        let wire = beat(MAJORTOMO);
        let meaning = hear(MAJORTOMO, Role::Worker, &read(&wire), &mut out);
        assert_eq!(meaning, Meaning::Nothing);
        let mut wire = Vec::new();
        message(&mut wire, &[b"", b"MDPW01", b"\x05"]);
        let meaning = hear(ZERO_ONE, Role::Worker, &read(&wire), &mut out);
        assert_eq!(meaning, Meaning::Stranger);
        assert!(out.is_empty());
    }
}
