//! Gearman's binary protocol: twelve bytes of header, and arguments with zeros between them.

use super::{Meaning, Question};

const CAN_DO: u32 = 1;
const PRE_SLEEP: u32 = 4;
const NOOP: u32 = 6;
const SUBMIT_JOB: u32 = 7;
const JOB_CREATED: u32 = 8;
const NO_JOB: u32 = 10;
const WORK_COMPLETE: u32 = 13;
const WORK_FAIL: u32 = 14;
const ERROR: u32 = 19;
const GRAB_JOB_UNIQ: u32 = 30;
const JOB_ASSIGN_UNIQ: u32 = 31;
const HEAD: usize = 12;

fn packet(out: &mut Vec<u8>, kind: u32, arguments: &[&[u8]]) {
    let len = arguments
        .iter()
        .map(|argument| argument.len() + 1)
        .sum::<usize>();
    out.extend_from_slice(b"\0REQ");
    out.extend_from_slice(&kind.to_be_bytes());
    out.extend_from_slice(&(len.saturating_sub(1) as u32).to_be_bytes());
    for (place, argument) in arguments.iter().enumerate() {
        if place > 0 {
            out.push(0);
        }
        out.extend_from_slice(argument);
    }
}

pub fn hello(services: &[&[u8]]) -> Vec<u8> {
    let mut out = Vec::new();
    for service in services {
        packet(&mut out, CAN_DO, &[service]);
    }
    packet(&mut out, GRAB_JOB_UNIQ, &[]);
    out
}

pub fn question(service: &[u8], body: &[u8]) -> Question {
    let mut wire = Vec::new();
    // Without a key of its own: with one, gearmand would take equal ones for the same job.
    packet(&mut wire, SUBMIT_JOB, &[service, b"", body]);
    Question::new(wire, None, body.len(), 0)
}

pub fn next<'a>(bytes: &'a [u8], out: &mut Vec<u8>) -> Option<(Meaning<'a>, usize)> {
    let head = bytes.get(..HEAD)?;
    let number =
        |at: usize| u32::from_be_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
    let end = HEAD + number(8) as usize;
    let arguments = bytes.get(HEAD..end)?;
    let meaning = match number(4) {
        NOOP => {
            packet(out, GRAB_JOB_UNIQ, &[]);
            Meaning::Nothing
        }
        NO_JOB => {
            packet(out, PRE_SLEEP, &[]);
            Meaning::Nothing
        }
        JOB_CREATED => Meaning::Nothing,
        JOB_ASSIGN_UNIQ => {
            // Handle, function, unique id, body.
            let mut parts = arguments.splitn(4, |byte| *byte == 0);
            match (parts.next(), parts.nth(2)) {
                (Some(handle), Some(body)) => {
                    packet(out, WORK_COMPLETE, &[handle, body]);
                    packet(out, GRAB_JOB_UNIQ, &[]);
                    Meaning::Task
                }
                _ => Meaning::Odd,
            }
        }
        WORK_COMPLETE => match arguments.splitn(2, |byte| *byte == 0).nth(1) {
            Some(body) => Meaning::Reply { id: None, body },
            None => Meaning::Odd,
        },
        WORK_FAIL | ERROR => Meaning::Refused { id: None },
        _ => Meaning::Odd,
    };
    Some((meaning, end))
}

#[cfg(test)]
mod tests {
    use super::{JOB_ASSIGN_UNIQ, NO_JOB, next, packet, question};
    use crate::load::tongue::Meaning;

    #[test]
    fn a_job_cut_anywhere_waits_for_its_rest() {
        let mut wire = Vec::new();
        packet(&mut wire, JOB_ASSIGN_UNIQ, &[b"H:1", b"echo", b"", b"a\0b"]);
        let mut out = Vec::new();
        for cut in 0..wire.len() {
            assert_eq!(next(&wire[..cut], &mut out), None, "{cut}");
        }
        assert_eq!(next(&wire, &mut out), Some((Meaning::Task, wire.len())));
        let (meaning, used) = next(&out, &mut Vec::new()).unwrap();
        let body = &b"a\0b"[..];
        assert_eq!(meaning, Meaning::Reply { id: None, body });
        assert_eq!(&out[used..], b"\0REQ\0\0\0\x1e\0\0\0\0");
    }

    #[test]
    fn who_finds_no_job_sleeps() {
        let (mut wire, mut out) = (Vec::new(), Vec::new());
        packet(&mut wire, NO_JOB, &[]);
        assert_eq!(next(&wire, &mut out), Some((Meaning::Nothing, 12)));
        assert_eq!(out, b"\0REQ\0\0\0\x04\0\0\0\0");
    }

    #[test]
    fn a_request_has_three_arguments() {
        let wire = question(b"echo", b"hi").wire;
        assert_eq!(wire, b"\0REQ\0\0\0\x07\0\0\0\x08echo\0\0hi");
    }
}
