//! What a peer of each language understands of what the broker says.

use crate::speech::{Caps, Given, Heard, More, Refusal, Said, Token, Tongue, Way, word};

impl Tongue {
    /// What a peer of this tongue understands; the error says what it cannot.
    pub(crate) fn hear(self, frames: &[Vec<u8>]) -> Result<Heard, String> {
        let lost = || Err(format!("{self:?} does not understand {frames:?}"));
        let mut via = 0;
        let mut rest = frames;
        if self.proxied() {
            let [way, empty, inner @ ..] = frames else {
                return lost();
            };
            let number = std::str::from_utf8(way)
                .ok()
                .and_then(|way| way.strip_prefix("way ")?.parse().ok());
            let Some(number) = number.filter(|_| empty.is_empty()) else {
                return lost();
            };
            (via, rest) = (number, inner);
        } else if !matches!(self, Self::S0 | Self::Mdp02 | Self::Zproto) {
            let [empty, inner @ ..] = frames else {
                return lost();
            };
            if !empty.is_empty() {
                return lost();
            }
            rest = inner;
        }
        let heard = match self {
            Self::S0 | Self::S0Req | Self::S0Proxy => hear_s0(via, rest),
            Self::Zproto => hear_zproto(rest),
            Self::Majortomo | Self::MajortomoProxy => hear_majortomo(via, rest),
            Self::Mdp01 | Self::Mdp01Proxy => hear_mdp01(via, rest),
            Self::Mdp02 | Self::Delimited | Self::DelimitedProxy => hear_mdp02(via, rest),
        };
        heard.map_or_else(lost, Ok)
    }
}

fn hear_s0(via: u32, frames: &[Vec<u8>]) -> Option<Heard> {
    let (head, body) = frames.split_first()?;
    if head.len() < 20 || !head.starts_with(b"S0\x01") {
        return None;
    }
    let (command, flags, name_len) = (head[3], head[4], usize::from(head[5]));
    let code = u16::from_be_bytes([head[6], head[7]]);
    let ms = u32::from_be_bytes(head[8..12].try_into().ok()?);
    let token: Token = head[12..20].try_into().ok()?;
    let id = u64::from_be_bytes(token);
    let name = head.get(20..20 + name_len)?;
    let way = Way { id, via };
    let body = body.to_vec();
    Some(match command {
        word::TASK => Heard::Task(Given {
            token,
            attempt: Some(code),
            ttl_ms: Some(ms),
            service: Some(String::from_utf8(name.to_vec()).ok()?),
            idempotent: Some(flags & 2 != 0),
            priority: Some(flags >> 5),
            oneway: Some(flags & 4 != 0),
            properties: Some(head.get(20 + name_len..)?.to_vec()),
            body,
        }),
        word::REPLY => Heard::Answer(Said {
            way,
            service: None,
            partial: flags & 1 != 0,
            code: Some(code),
            error: None,
            body,
        }),
        word::ERROR if way == Way::default() => Heard::Complaint(code),
        word::ERROR => Heard::Answer(Said {
            way,
            service: None,
            partial: false,
            code: None,
            error: Some(Refusal {
                code,
                not_executed: Some(flags & 1 != 0),
                draining: (code == 503).then_some(name == b"draining"),
            }),
            body,
        }),
        word::CONNECT => Heard::Unknown,
        word::CONFIG => Heard::Config { promise_ms: ms },
        word::PING => Heard::Beat,
        word::PONG => Heard::Pong(way, caps(head.get(20 + name_len..)?)?),
        word::CREDIT => Heard::Credit(
            token,
            More {
                messages: code,
                kib: ms,
            },
        ),
        word::CHANGEBROKER if matches!(code, 200 | 301) => Heard::ChangeBroker {
            id,
            go: code == 301,
            others: body.len(),
        },
        word::CANCEL => Heard::Cancel(token),
        word::BYE => Heard::Bye,
        _ => return None,
    })
}

/// The property `Caps`, if it is there alone; `None` if it cannot be read.
fn caps(properties: &[u8]) -> Option<Option<Caps>> {
    if properties.is_empty() {
        return Some(None);
    }
    let words = properties.strip_prefix(b"\x04Caps")?.get(4..)?;
    let words = std::str::from_utf8(words).ok()?;
    let names = |word: &str| words.split(' ').any(|other| other == word);
    Some(Some(Caps {
        deep: names("deep"),
        credit: names("credit"),
    }))
}

/// Errors come to Majordomo clients as a body that this simulation's broker is told to send.
fn majordomo_answer(
    via: u32,
    service: Option<&[u8]>,
    partial: bool,
    body: &[Vec<u8>],
) -> Option<Heard> {
    let error = match body {
        [text] => text
            .strip_prefix(b"error ")
            .and_then(|code| std::str::from_utf8(code).ok()?.parse().ok())
            .map(|code| Refusal {
                code,
                not_executed: None,
                draining: None,
            }),
        [] => return None,
        _ => None,
    };
    Some(Heard::Answer(Said {
        way: Way { id: 0, via },
        service: match service {
            Some(name) => Some(String::from_utf8(name.to_vec()).ok()?),
            None => None,
        },
        partial,
        code: None,
        error,
        body: body.to_vec(),
    }))
}

fn majordomo_task(rest: &[Vec<u8>]) -> Option<Heard> {
    let [token, empty, body @ ..] = rest else {
        return None;
    };
    if !empty.is_empty() || body.is_empty() {
        return None;
    }
    Some(Heard::Task(Given {
        token: token.as_slice().try_into().ok()?,
        attempt: None,
        ttl_ms: None,
        service: None,
        idempotent: None,
        priority: None,
        oneway: None,
        properties: None,
        body: body.to_vec(),
    }))
}

fn hear_mdp01(via: u32, frames: &[Vec<u8>]) -> Option<Heard> {
    match frames {
        [head, service, body @ ..] if head == b"MDPC01" => {
            majordomo_answer(via, Some(service), false, body)
        }
        [head, command, rest @ ..] if head == b"MDPW01" => match (command.as_slice(), rest) {
            ([2], rest) => majordomo_task(rest),
            ([4], []) => Some(Heard::Beat),
            ([5], []) => Some(Heard::Unknown),
            _ => None,
        },
        _ => None,
    }
}

fn hear_mdp02(via: u32, frames: &[Vec<u8>]) -> Option<Heard> {
    match frames {
        [head, command, service, body @ ..] if head == b"MDPC02" => match command.as_slice() {
            [2] => majordomo_answer(via, Some(service), true, body),
            [3] => majordomo_answer(via, Some(service), false, body),
            _ => None,
        },
        [head, command, rest @ ..] if head == b"MDPW02" => match (command.as_slice(), rest) {
            ([2], rest) => majordomo_task(rest),
            ([5], []) => Some(Heard::Beat),
            ([6], []) => Some(Heard::Unknown),
            _ => None,
        },
        _ => None,
    }
}

fn hear_majortomo(via: u32, frames: &[Vec<u8>]) -> Option<Heard> {
    match frames {
        [head, command, body @ ..] if head == b"MDPC02" => match command.as_slice() {
            [3] => majordomo_answer(via, None, true, body),
            [4] => majordomo_answer(via, None, false, body),
            _ => None,
        },
        _ => None,
    }
}

fn hear_zproto(frames: &[Vec<u8>]) -> Option<Heard> {
    let (head, rest) = frames.split_first()?;
    match head.strip_prefix(b"\xaa\xa4")? {
        [
            number @ (2 | 3),
            6,
            b'M',
            b'D',
            b'P',
            b'C',
            b'0',
            b'2',
            command,
            len,
            service @ ..,
        ] if number == command && usize::from(*len) == service.len() => {
            majordomo_answer(0, Some(service), *number == 2, rest)
        }
        b"\x05\x06MDPW02\x02" => majordomo_task(rest),
        b"\x08\x06MDPW02\x05" if rest.is_empty() => Some(Heard::Beat),
        b"\x09\x06MDPW02\x06" if rest.is_empty() => Some(Heard::Unknown),
        _ => None,
    }
}
