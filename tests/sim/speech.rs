//! The languages as peers speak and hear them, written by hand from the specifications: nothing
//! here comes from `scale0::protocol`, so that a slip in a codec does not hide itself.

use std::fmt;

/// The parts of a message.
pub(crate) type Frames = Vec<Vec<u8>>;

/// A language together with the kind of socket that speaks it.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum Tongue {
    /// S0 from a DEALER: no envelope, ids.
    S0,
    /// S0 from a REQ: an empty frame, one question at a time.
    S0Req,
    /// S0 from clients behind a proxy: a routing id and an empty frame.
    S0Proxy,
    /// RFC 7 from a REQ, or a DEALER that puts the empty frame itself.
    Mdp01,
    /// RFC 7 behind a proxy.
    Mdp01Proxy,
    /// RFC 18 as it is written.
    Mdp02,
    /// RFC 18 behind an empty frame.
    Delimited,
    /// The same behind a proxy.
    DelimitedProxy,
    /// The clients of the package majortomo.
    Majortomo,
    /// The same behind a proxy.
    MajortomoProxy,
    /// The library zeromq/majordomo.
    Zproto,
}

/// How an answer finds its asker on one connection: the client's number, and which client behind
/// a proxy.
#[derive(Clone, Copy, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(crate) struct Way {
    pub(crate) id: u64,
    /// Zero where there is no proxy.
    pub(crate) via: u32,
}

impl fmt::Debug for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.via {
            0 => write!(f, "#{}", self.id),
            via => write!(f, "#{} via {via}", self.id),
        }
    }
}

pub(crate) type Token = [u8; 8];

/// What a peer hears from the broker.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Heard {
    Task(Given),
    /// A reply, or an error that belongs to a question.
    Answer(Said),
    /// A worker's attempt is not wanted any more.
    Cancel(Token),
    /// "Announce yourself"; DISCONNECT in Majordomo, which means goodbye as well.
    Unknown,
    Config {
        promise_ms: u32,
    },
    Beat,
    Pong(Way),
    Bye,
    /// An ERROR that belongs to no question.
    Complaint(u16),
}

/// A task as a worker hears it. What a language does not tell is `None`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Given {
    pub(crate) token: Token,
    pub(crate) attempt: Option<u16>,
    pub(crate) ttl_ms: Option<u32>,
    pub(crate) service: Option<String>,
    pub(crate) idempotent: Option<bool>,
    pub(crate) priority: Option<u8>,
    pub(crate) body: Frames,
}

/// An answer as a client hears it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Said {
    pub(crate) way: Way,
    /// Where the language tells it.
    pub(crate) service: Option<String>,
    pub(crate) partial: bool,
    /// The broker's own refusal, by its status.
    pub(crate) error: Option<Refusal>,
    pub(crate) body: Frames,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Refusal {
    pub(crate) code: u16,
    /// Majordomo does not tell.
    pub(crate) not_executed: Option<bool>,
}

/// A question, whatever the language.
#[derive(Clone, Debug)]
pub(crate) struct Question<'a> {
    pub(crate) way: Way,
    pub(crate) service: &'a str,
    pub(crate) ttl_ms: u32,
    pub(crate) idempotent: bool,
    pub(crate) priority: u8,
    pub(crate) body: Frames,
}

impl Tongue {
    pub(crate) fn is_s0(self) -> bool {
        matches!(self, Self::S0 | Self::S0Req | Self::S0Proxy)
    }

    /// Its clients must wait for each answer: nothing tells two of their questions apart.
    pub(crate) fn one_at_a_time(self) -> bool {
        !matches!(self, Self::S0) && !self.proxied()
    }

    pub(crate) fn proxied(self) -> bool {
        matches!(
            self,
            Self::S0Proxy | Self::Mdp01Proxy | Self::DelimitedProxy | Self::MajortomoProxy
        )
    }

    /// Partial replies are put together for it.
    pub(crate) fn whole(self) -> bool {
        !matches!(
            self,
            Self::S0 | Self::Mdp02 | Self::Delimited | Self::Majortomo | Self::Zproto
        )
    }

    pub(crate) fn ask(self, question: Question<'_>) -> Frames {
        let service = question.service.as_bytes().to_vec();
        let head = match self {
            Self::S0 | Self::S0Req | Self::S0Proxy => vec![header(
                TASK,
                u8::from(question.idempotent) << 1 | question.priority << 5,
                0,
                question.ttl_ms,
                question.way.id.to_be_bytes(),
                &service,
            )],
            Self::Mdp01 | Self::Mdp01Proxy => vec![b"MDPC01".to_vec(), service],
            Self::Mdp02 | Self::Delimited | Self::DelimitedProxy => {
                vec![b"MDPC02".to_vec(), vec![1], service]
            }
            Self::Majortomo | Self::MajortomoProxy => vec![b"MDPC02".to_vec(), vec![2], service],
            Self::Zproto => {
                let mut frame = b"\xaa\xa4\x01\x06MDPC02\x01".to_vec();
                frame.push(service.len() as u8);
                frame.extend(service);
                vec![frame]
            }
        };
        let mut frames = self.envelope(question.way.via);
        frames.extend(head);
        frames.extend(question.body);
        frames
    }

    fn envelope(self, via: u32) -> Frames {
        match self {
            Self::S0 | Self::Mdp02 | Self::Zproto => Vec::new(),
            _ if self.proxied() => vec![format!("way {via}").into_bytes(), Vec::new()],
            _ => vec![Vec::new()],
        }
    }

    /// CONNECT or READY.
    pub(crate) fn announce(
        self,
        offers: &[(String, bool)],
        capacity: u16,
        promise_ms: u32,
        deep: bool,
    ) -> Frames {
        let first = || offers.first().map(|(name, _)| name.clone().into_bytes());
        match self {
            Self::S0 | Self::S0Req | Self::S0Proxy => {
                let mut head = header(CONNECT, 0, capacity, promise_ms, [0; 8], b"");
                if deep {
                    head.extend(b"\x04Caps\x00\x00\x00\x04deep");
                }
                let mut frames = vec![head];
                for (name, idempotent) in offers {
                    let attribute = if *idempotent { ";idempotent" } else { "" };
                    frames.push(format!("{name}{attribute}").into_bytes());
                }
                frames
            }
            Self::Zproto => {
                let name = first().unwrap_or_default();
                let mut frame = b"\xaa\xa4\x04\x06MDPW02\x01".to_vec();
                frame.push(name.len() as u8);
                frame.extend(name);
                vec![frame]
            }
            _ => self.majordomo(1, first()),
        }
    }

    /// A worker's reply. RFC 7 knows no partial ones.
    pub(crate) fn reply(self, token: Token, code: u16, partial: bool, body: Frames) -> Frames {
        let mut frames = match self {
            Self::S0 | Self::S0Req | Self::S0Proxy => {
                vec![header(REPLY, u8::from(partial), code, 0, token, b"")]
            }
            Self::Zproto => {
                let number = if partial { 6 } else { 7 };
                let mut head = vec![0xaa, 0xa4, number, 6];
                head.extend(b"MDPW02");
                head.push(number - 3);
                vec![head, token.to_vec(), Vec::new()]
            }
            Self::Mdp01 | Self::Mdp01Proxy => {
                let mut frames = self.majordomo(3, None);
                frames.extend([token.to_vec(), Vec::new()]);
                frames
            }
            _ => {
                let mut frames = self.majordomo(if partial { 3 } else { 4 }, None);
                frames.extend([token.to_vec(), Vec::new()]);
                frames
            }
        };
        frames.extend(body);
        frames
    }

    /// A sign of life that wants no answer.
    pub(crate) fn beat(self) -> Frames {
        match self {
            Self::S0 | Self::S0Req | Self::S0Proxy => {
                vec![header(PONG, 0, 0, 0, [0; 8], b"")]
            }
            Self::Zproto => vec![b"\xaa\xa4\x08\x06MDPW02\x05".to_vec()],
            Self::Mdp01 | Self::Mdp01Proxy => self.majordomo(4, None),
            _ => self.majordomo(5, None),
        }
    }

    /// BYE or DISCONNECT.
    pub(crate) fn bye(self) -> Frames {
        match self {
            Self::S0 | Self::S0Req | Self::S0Proxy => vec![header(BYE, 0, 0, 0, [0; 8], b"")],
            Self::Zproto => vec![b"\xaa\xa4\x09\x06MDPW02\x06".to_vec()],
            Self::Mdp01 | Self::Mdp01Proxy => self.majordomo(5, None),
            _ => self.majordomo(6, None),
        }
    }

    pub(crate) fn ping(id: u64, promise_ms: u32, capacity: Option<u16>) -> Frames {
        let flags = u8::from(capacity.is_some());
        let code = capacity.unwrap_or(0);
        vec![header(PING, flags, code, promise_ms, id.to_be_bytes(), b"")]
    }

    pub(crate) fn cancel(self, way: Way) -> Frames {
        let mut frames = self.envelope(way.via);
        frames.push(header(CANCEL, 0, 0, 0, way.id.to_be_bytes(), b""));
        frames
    }

    fn majordomo(self, command: u8, argument: Option<Vec<u8>>) -> Frames {
        let name: &[u8] = match self {
            Self::Mdp01 | Self::Mdp01Proxy => b"MDPW01",
            _ => b"MDPW02",
        };
        let mut frames = match self {
            Self::Mdp02 => Vec::new(),
            _ => vec![Vec::new()],
        };
        frames.extend([name.to_vec(), vec![command]]);
        frames.extend(argument);
        frames
    }

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

fn header(command: u8, flags: u8, code: u16, ms: u32, id: Token, name: &[u8]) -> Vec<u8> {
    let mut out = vec![b'S', b'0', 1, command, flags, name.len() as u8];
    out.extend(code.to_be_bytes());
    out.extend(ms.to_be_bytes());
    out.extend(id);
    out.extend(name);
    out
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
        TASK => Heard::Task(Given {
            token,
            attempt: Some(code),
            ttl_ms: Some(ms),
            service: Some(String::from_utf8(name.to_vec()).ok()?),
            idempotent: Some(flags & 2 != 0),
            priority: Some(flags >> 5),
            body,
        }),
        REPLY => Heard::Answer(Said {
            way,
            service: None,
            partial: flags & 1 != 0,
            error: None,
            body,
        }),
        ERROR if way == Way::default() => Heard::Complaint(code),
        ERROR => Heard::Answer(Said {
            way,
            service: None,
            partial: false,
            error: Some(Refusal {
                code,
                not_executed: Some(flags & 1 != 0),
            }),
            body,
        }),
        CONNECT => Heard::Unknown,
        CONFIG => Heard::Config { promise_ms: ms },
        PING => Heard::Beat,
        PONG => Heard::Pong(way),
        CANCEL => Heard::Cancel(token),
        BYE => Heard::Bye,
        _ => return None,
    })
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

const TASK: u8 = 1;
const REPLY: u8 = 2;
const ERROR: u8 = 3;
const CONNECT: u8 = 4;
const CONFIG: u8 = 5;
const PING: u8 = 6;
const PONG: u8 = 7;
const CANCEL: u8 = 8;
const BYE: u8 = 9;
