//! What a generator says and hears, language by language: bytes in, bytes and a meaning out.

mod bare;
mod gearman;
mod majordomo;
mod nats;
mod scale0;

use super::zmtp::{self, Unit};
use crate::Failure;

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Tongue {
    /// S0/1.
    Scale0,
    /// MDP/0.1.
    Mdp01,
    /// MDP/0.2 as majortomo frames it.
    Majortomo,
    /// A DEALER's envelope through a forwarder that knows nothing.
    Bare,
    /// NATS: a queue group of workers, and an inbox for each client.
    Nats,
    /// Gearman's binary protocol.
    Gearman,
    /// No frames at all: messages are told apart by their length, which all know.
    Raw,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Role {
    Client,
    Worker,
}

/// What a peer has said.
#[derive(Debug, PartialEq)]
pub enum Meaning<'a> {
    /// The handshake is over: say what you like.
    Ready,
    /// Something to do; the answer is in the output already.
    Task,
    /// An answer; those who number them say to what.
    Reply {
        id: Option<&'a [u8]>,
        body: &'a [u8],
    },
    /// An error instead of an answer.
    Refused { id: Option<&'a [u8]> },
    /// The broker does not know this worker.
    Stranger,
    /// A sign of life, or what needs no attention.
    Nothing,
    /// Not what was agreed.
    Odd,
}

/// A request, ready but for its numbers.
pub struct Question {
    pub wire: Vec<u8>,
    /// Where a tongue that numbers its requests has the number.
    pub id: Option<usize>,
    /// Where the body begins.
    pub body: usize,
}

impl Question {
    fn new(wire: Vec<u8>, id: Option<usize>, body: usize, tail: usize) -> Self {
        let body = wire.len() - tail - body;
        Self { wire, id, body }
    }
}

impl Tongue {
    pub const ALL: [(&'static str, Self); 7] = [
        ("s0", Self::Scale0),
        ("mdp01", Self::Mdp01),
        ("majortomo", Self::Majortomo),
        ("bare", Self::Bare),
        ("nats", Self::Nats),
        ("gearman", Self::Gearman),
        ("raw", Self::Raw),
    ];

    pub fn parse(name: &str) -> Result<Self, Failure> {
        let found = Self::ALL.iter().find(|(known, _)| *known == name);
        Ok(found.ok_or_else(|| format!("no tongue {name}"))?.1)
    }

    pub fn name(self) -> &'static str {
        Self::ALL
            .iter()
            .find(|(_, tongue)| *tongue == self)
            .map_or("", |(name, _)| name)
    }

    /// Whether it goes over ZMTP.
    pub fn is_zmtp(self) -> bool {
        !matches!(self, Self::Nats | Self::Gearman | Self::Raw)
    }

    /// Whether workers get no more tasks at once than they take; others are handed them blindly.
    pub fn is_patient(self) -> bool {
        !matches!(self, Self::Bare | Self::Nats | Self::Raw)
    }

    /// What is on the wire before anything has been heard. `None`: nothing, and nothing need be
    /// heard either before requests may go.
    pub fn opening(self, role: Role, number: usize) -> Option<Vec<u8>> {
        match self {
            Self::Nats => Some(nats::opening(role, number)),
            Self::Gearman | Self::Raw => None,
            _ => Some([&zmtp::greeting()[..], &zmtp::ready()].concat()),
        }
    }

    /// A worker's announcement, of so many tasks at once, that it offers these services.
    pub fn hello(self, capacity: u16, services: &[&[u8]]) -> Vec<u8> {
        match self {
            Self::Scale0 => scale0::hello(capacity, services),
            Self::Mdp01 => majordomo::hello(majordomo::ZERO_ONE, services),
            Self::Majortomo => majordomo::hello(majordomo::MAJORTOMO, services),
            Self::Gearman => gearman::hello(services),
            Self::Bare | Self::Nats | Self::Raw => Vec::new(),
        }
    }

    /// A worker's sign of life, where one is wanted.
    pub fn beat(self) -> Vec<u8> {
        match self {
            Self::Scale0 => scale0::beat(),
            Self::Mdp01 => majordomo::beat(majordomo::ZERO_ONE),
            Self::Majortomo => majordomo::beat(majordomo::MAJORTOMO),
            _ => Vec::new(),
        }
    }

    /// A request of this client.
    pub fn question(self, service: &[u8], body: &[u8], number: usize) -> Question {
        match self {
            Self::Scale0 => scale0::question(service, body),
            Self::Mdp01 => majordomo::question(majordomo::ZERO_ONE, service, body),
            Self::Majortomo => majordomo::question(majordomo::MAJORTOMO, service, body),
            Self::Bare => bare::question(body),
            Self::Nats => nats::question(service, body, number),
            Self::Gearman => gearman::question(service, body),
            Self::Raw => Question::new(body.to_vec(), None, body.len(), 0),
        }
    }

    /// The first whole unit in these bytes, what it means, and how many of them it takes. Answers
    /// that the peer wants at once are put to `out`. `size` is that of all bodies.
    pub fn next<'a>(
        self,
        role: Role,
        bytes: &'a [u8],
        size: usize,
        out: &mut Vec<u8>,
    ) -> Result<Option<(Meaning<'a>, usize)>, Failure> {
        match self {
            Self::Nats => return Ok(nats::next(role, bytes, out)),
            Self::Gearman => return Ok(gearman::next(bytes, out)),
            Self::Raw => return Ok(raw(role, bytes, size, out)),
            _ => {}
        }
        let Some((unit, used)) = zmtp::next(bytes)? else {
            return Ok(None);
        };
        let meaning = match unit {
            Unit::Command(body) if body.starts_with(b"\x05READY") => Meaning::Ready,
            Unit::Command(body) if body.starts_with(b"\x05ERROR") => {
                return Err("the broker refused the handshake".into());
            }
            Unit::Command(body) => {
                zmtp::pong(out, body);
                Meaning::Nothing
            }
            Unit::Message(message) => match self {
                Self::Scale0 => scale0::hear(role, &message, out),
                Self::Mdp01 => majordomo::hear(majordomo::ZERO_ONE, role, &message, out),
                Self::Majortomo => majordomo::hear(majordomo::MAJORTOMO, role, &message, out),
                _ => bare::hear(role, &message, out),
            },
        };
        Ok(Some((meaning, used)))
    }
}

fn raw<'a>(
    role: Role,
    bytes: &'a [u8],
    size: usize,
    out: &mut Vec<u8>,
) -> Option<(Meaning<'a>, usize)> {
    let body = bytes.get(..size)?;
    match role {
        Role::Client => Some((Meaning::Reply { id: None, body }, size)),
        Role::Worker => {
            out.extend_from_slice(body);
            Some((Meaning::Task, size))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Role, Tongue};

    #[test]
    fn every_question_has_its_body_where_it_says() {
        let body: Vec<u8> = (0..=255).cycle().take(300).collect();
        for (name, tongue) in Tongue::ALL {
            for size in [64, 300] {
                let question = tongue.question(b"echo", &body[..size], 3);
                let found = &question.wire[question.body..][..size];
                assert_eq!(found, &body[..size], "{name}");
            }
        }
    }

    #[test]
    fn names_are_read_as_they_are_written() {
        for (_, tongue) in Tongue::ALL {
            assert_eq!(Tongue::parse(tongue.name()).unwrap(), tongue);
        }
        assert!(Tongue::parse("latin").is_err());
    }

    #[test]
    fn raw_messages_are_told_apart_by_length() {
        let mut out = Vec::new();
        let mut next = |bytes: &[u8]| {
            let next = Tongue::Raw.next(Role::Worker, bytes, 4, &mut out).unwrap();
            next.map(|(_, used)| used)
        };
        assert_eq!(next(b"abc"), None);
        assert_eq!(next(b"abcdef"), Some(4));
        assert_eq!(out, b"abcd");
    }
}
