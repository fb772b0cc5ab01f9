//! NATS' text protocol: requests with an inbox, workers in one queue group.

use super::{Meaning, Question, Role};
use crate::load::SERVICE;

const CONNECT: &str = "CONNECT {\"verbose\":false,\"pedantic\":false,\"lang\":\"rust\",\"version\":\"0\",\"protocol\":1}\r\n";

/// Everything up to the PING whose PONG says that all of it has been taken.
pub fn opening(role: Role, number: usize) -> Vec<u8> {
    let service = String::from_utf8_lossy(SERVICE);
    let subscription = match role {
        Role::Client => format!("SUB _INBOX.{number} 1\r\n"),
        Role::Worker => format!("SUB {service} workers 1\r\n"),
    };
    format!("{CONNECT}{subscription}PING\r\n").into_bytes()
}

pub fn question(service: &[u8], body: &[u8], number: usize) -> Question {
    let service = String::from_utf8_lossy(service);
    let mut wire = format!("PUB {service} _INBOX.{number} {}\r\n", body.len()).into_bytes();
    wire.extend_from_slice(body);
    wire.extend_from_slice(b"\r\n");
    Question::new(wire, None, body.len(), 2)
}

pub fn next<'a>(role: Role, bytes: &'a [u8], out: &mut Vec<u8>) -> Option<(Meaning<'a>, usize)> {
    let end = bytes.iter().position(|byte| *byte == b'\n')? + 1;
    let line = &bytes[..end];
    let Some(rest) = line.strip_prefix(b"MSG ") else {
        let meaning = match line {
            b"PONG\r\n" => Meaning::Ready,
            b"PING\r\n" => {
                out.extend_from_slice(b"PONG\r\n");
                Meaning::Nothing
            }
            line if line.starts_with(b"INFO ") => Meaning::Nothing,
            line if line.starts_with(b"-ERR") => Meaning::Refused { id: None },
            _ => Meaning::Odd,
        };
        return Some((meaning, end));
    };
    // MSG subject sid [reply-to] bytes
    let mut words = rest.trim_ascii_end().split(|byte| *byte == b' ').skip(2);
    let (first, second) = (words.next()?, words.next());
    let (reply_to, digits) = match second {
        Some(digits) => (Some(first), digits),
        None => (None, first),
    };
    let len = digits.iter().fold(0_usize, |len, digit| {
        len * 10 + usize::from(digit.wrapping_sub(b'0'))
    });
    let body = bytes.get(end..end + len)?;
    let used = end + len + 2;
    bytes.get(end + len..used)?;
    let meaning = match (role, reply_to) {
        (Role::Client, _) => Meaning::Reply { id: None, body },
        (Role::Worker, Some(inbox)) => {
            for piece in [b"PUB ", inbox, b" ", digits, b"\r\n"] {
                out.extend_from_slice(piece);
            }
            // With its line's end.
            out.extend_from_slice(&bytes[end..used]);
            Meaning::Task
        }
        (Role::Worker, None) => Meaning::Odd,
    };
    Some((meaning, used))
}

#[cfg(test)]
mod tests {
    use super::{next, question};
    use crate::load::tongue::{Meaning, Role};

    #[test]
    fn a_request_cut_anywhere_waits_for_its_rest() {
        let wire = b"MSG echo 1 _INBOX.7 5\r\nhe\nlo\r\n";
        let mut out = Vec::new();
        for cut in 0..wire.len() {
            assert_eq!(next(Role::Worker, &wire[..cut], &mut out), None, "{cut}");
        }
        let all = next(Role::Worker, wire, &mut out);
        assert_eq!(all, Some((Meaning::Task, wire.len())));
        assert_eq!(out, b"PUB _INBOX.7 5\r\nhe\nlo\r\n");
    }

    #[test]
    fn a_reply_has_no_inbox() {
        let body = &b"hello"[..];
        let wire = b"MSG _INBOX.7 1 5\r\nhello\r\nPING\r\n";
        let reply = next(Role::Client, wire, &mut Vec::new());
        assert_eq!(reply, Some((Meaning::Reply { id: None, body }, 25)));
        assert_eq!(
            question(b"echo", body, 7).wire,
            b"PUB echo _INBOX.7 5\r\nhello\r\n"
        );
    }

    #[test]
    fn pings_are_answered_and_errors_told() {
        let mut out = Vec::new();
        let ping = next(Role::Client, b"PING\r\n", &mut out);
        assert_eq!(ping, Some((Meaning::Nothing, 6)));
        assert_eq!(out, b"PONG\r\n");
        let error = next(Role::Client, b"-ERR 'no'\r\n", &mut out);
        assert_eq!(error, Some((Meaning::Refused { id: None }, 11)));
    }
}
