//! S0/1: a header frame and body frames.

use super::{Meaning, Question, Role};
use crate::load::PROMISE;
use crate::load::zmtp::{self, MORE, Message};

const TASK: u8 = 1;
const REPLY: u8 = 2;
const ERROR: u8 = 3;
const CONNECT: u8 = 4;
const CONFIG: u8 = 5;
const PING: u8 = 6;
const PONG: u8 = 7;
const CANCEL: u8 = 8;
const BYE: u8 = 9;
const HEAD: usize = 20;
const ID: usize = 12;
/// Long enough that no task runs out of it while others are measured.
const TTL: u32 = 600_000;

fn head(command: u8, code: u16, ms: u32) -> [u8; HEAD] {
    let mut head = [0; HEAD];
    head[..4].copy_from_slice(&[b'S', b'0', 1, command]);
    head[6..8].copy_from_slice(&code.to_be_bytes());
    head[8..12].copy_from_slice(&ms.to_be_bytes());
    head
}

pub fn hello(capacity: u16, services: &[&[u8]]) -> Vec<u8> {
    let head = head(CONNECT, capacity, PROMISE.as_millis() as u32);
    let mut out = Vec::new();
    zmtp::message(&mut out, &[&[&head[..]], services].concat());
    out
}

pub fn beat() -> Vec<u8> {
    let mut out = Vec::new();
    zmtp::put(&mut out, 0, &head(PING, 0, PROMISE.as_millis() as u32));
    out
}

pub fn question(service: &[u8], body: &[u8]) -> Question {
    let mut head = head(TASK, 0, TTL).to_vec();
    head[5] = service.len() as u8;
    head.extend_from_slice(service);
    let mut wire = Vec::new();
    zmtp::message(&mut wire, &[&head, body]);
    // Behind the two bytes of the frame's own header.
    Question::new(wire, Some(2 + ID), body.len(), 0)
}

pub fn hear<'a>(role: Role, message: &Message<'a>, out: &mut Vec<u8>) -> Meaning<'a> {
    let heard = message.frame(0);
    if heard.len() < HEAD || !heard.starts_with(b"S0\x01") {
        return Meaning::Odd;
    }
    let (command, flags) = (heard[3], heard[4]);
    let code = u16::from_be_bytes([heard[6], heard[7]]);
    let id = Some(&heard[ID..HEAD]);
    match (role, command) {
        (Role::Worker, TASK) => {
            let mut reply = head(REPLY, 200, 0);
            reply[ID..].copy_from_slice(&heard[ID..HEAD]);
            let more = if message.count() > 1 { MORE } else { 0 };
            zmtp::put(out, more, &reply);
            out.extend_from_slice(message.from(1));
            Meaning::Task
        }
        (Role::Worker, CONNECT | BYE) => Meaning::Stranger,
        (Role::Worker, CONFIG | PONG | CANCEL) => Meaning::Nothing,
        (_, PING) => {
            let mut pong = head(PONG, 0, 0);
            pong[ID..].copy_from_slice(&heard[ID..HEAD]);
            zmtp::put(out, 0, &pong);
            Meaning::Nothing
        }
        (Role::Client, REPLY) if flags & 1 == 0 && code < 400 => Meaning::Reply {
            id,
            body: message.last(),
        },
        (_, ERROR) | (Role::Client, REPLY) => Meaning::Refused { id },
        _ => Meaning::Odd,
    }
}

#[cfg(test)]
mod tests {
    use super::{Question, hear, question};
    use crate::load::tongue::{Meaning, Role};
    use crate::load::zmtp::{message, read};

    #[test]
    fn a_task_is_answered_with_its_token_and_body() {
        let Question { mut wire, id, .. } = question(b"echo", b"hello");
        wire[id.unwrap()..][..8].copy_from_slice(b"12345678");
        let mut out = Vec::new();
        assert_eq!(hear(Role::Worker, &read(&wire), &mut out), Meaning::Task);
        let reply = read(&out);
        let meaning = hear(Role::Client, &reply, &mut Vec::new());
        let (id, body) = (Some(&b"12345678"[..]), &b"hello"[..]);
        assert_eq!(meaning, Meaning::Reply { id, body });
    }

    #[test]
    fn an_error_names_the_task_that_it_refuses() {
        let mut head = super::head(super::ERROR, 503, 0);
        head[12..].copy_from_slice(b"abcdefgh");
        let mut wire = Vec::new();
        message(&mut wire, &[&head, b"later"]);
        let id = Some(&b"abcdefgh"[..]);
        let meaning = hear(Role::Client, &read(&wire), &mut Vec::new());
        assert_eq!(meaning, Meaning::Refused { id });
    }
}
