//! No words: an empty frame and the body, and all of it back.

use super::{Meaning, Question, Role};
use crate::load::zmtp::{Message, message};

pub fn question(body: &[u8]) -> Question {
    let mut wire = Vec::new();
    message(&mut wire, &[b"", body]);
    Question::new(wire, None, body.len(), 0)
}

pub fn hear<'a>(role: Role, message: &Message<'a>, out: &mut Vec<u8>) -> Meaning<'a> {
    match role {
        Role::Worker => {
            out.extend_from_slice(message.from(0));
            Meaning::Task
        }
        Role::Client if message.count() == 2 => Meaning::Reply {
            id: None,
            body: message.last(),
        },
        Role::Client => Meaning::Odd,
    }
}
