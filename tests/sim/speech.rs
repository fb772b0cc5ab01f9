//! The languages as peers speak and hear them, written by hand from the specifications: nothing
//! here comes from `scale0::protocol`, so that a slip in a codec does not hide itself.

use std::fmt;

use crate::offer::Offer;

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
    Pong(Way, Option<Caps>),
    /// A worker may send so many parts more.
    Credit(Token, More),
    /// Which other brokers there are, and whether to go there.
    ChangeBroker {
        id: u64,
        go: bool,
        others: usize,
    },
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
    pub(crate) oneway: Option<bool>,
    pub(crate) properties: Option<Vec<u8>>,
    pub(crate) body: Frames,
}

/// An answer as a client hears it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Said {
    pub(crate) way: Way,
    /// Where the language tells it.
    pub(crate) service: Option<String>,
    pub(crate) partial: bool,
    /// The status of a reply, where the language has one.
    pub(crate) code: Option<u16>,
    /// The broker's own refusal, by its status.
    pub(crate) error: Option<Refusal>,
    pub(crate) body: Frames,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Refusal {
    pub(crate) code: u16,
    /// Majordomo does not tell.
    pub(crate) not_executed: Option<bool>,
    /// It is the word for a broker that ends.
    pub(crate) draining: Option<bool>,
}

/// A question, whatever the language.
#[derive(Clone, Debug)]
pub(crate) struct Question<'a> {
    pub(crate) way: Way,
    pub(crate) service: &'a str,
    pub(crate) ttl_ms: u32,
    pub(crate) idempotent: bool,
    pub(crate) priority: u8,
    pub(crate) wants: Wants,
    pub(crate) properties: &'a [u8],
    pub(crate) body: Frames,
}

/// What a client wants to hear of its task.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) enum Wants {
    #[default]
    Answer,
    /// That the broker has taken charge of it.
    Receipt,
    Nothing,
}

/// So many parts of a reply more.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct More {
    pub(crate) messages: u16,
    pub(crate) kib: u32,
}

/// What a peer names in `Caps`.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Caps {
    pub(crate) deep: bool,
    pub(crate) credit: bool,
}

impl Caps {
    fn property(self) -> Vec<u8> {
        let words = [(self.deep, "deep"), (self.credit, "credit")];
        let named: Vec<&str> = words.iter().filter(|w| w.0).map(|w| w.1).collect();
        property("Caps", &named.join(" "))
    }
}

/// How a worker's reply goes on.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Kind {
    Part,
    Final,
    /// Another is to have the task.
    Refusal,
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
            Self::S0 | Self::S0Req | Self::S0Proxy => vec![s0_task(&question)],
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
        offers: &[Offer],
        capacity: u16,
        promise_ms: u32,
        caps: Caps,
    ) -> Frames {
        let first = || offers.first().map(|offer| offer.name.clone().into_bytes());
        match self {
            Self::S0 | Self::S0Req | Self::S0Proxy => {
                let mut head = header(word::CONNECT, 0, capacity, promise_ms, [0; 8], b"");
                if caps != Caps::default() {
                    head.extend(caps.property());
                }
                let mut frames = vec![head];
                frames.extend(offers.iter().map(|offer| offer.text().into_bytes()));
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
    pub(crate) fn reply(self, token: Token, code: u16, kind: Kind, body: Frames) -> Frames {
        let partial = kind == Kind::Part;
        let mut frames = match self {
            Self::S0 | Self::S0Req | Self::S0Proxy => {
                let flags = match kind {
                    Kind::Part => 1,
                    Kind::Refusal => 2,
                    Kind::Final => 0,
                };
                vec![header(word::REPLY, flags, code, 0, token, b"")]
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
                vec![header(word::PONG, 0, 0, 0, [0; 8], b"")]
            }
            Self::Zproto => vec![b"\xaa\xa4\x08\x06MDPW02\x05".to_vec()],
            Self::Mdp01 | Self::Mdp01Proxy => self.majordomo(4, None),
            _ => self.majordomo(5, None),
        }
    }

    /// BYE or DISCONNECT.
    pub(crate) fn bye(self) -> Frames {
        match self {
            Self::S0 | Self::S0Req | Self::S0Proxy => vec![header(word::BYE, 0, 0, 0, [0; 8], b"")],
            Self::Zproto => vec![b"\xaa\xa4\x09\x06MDPW02\x06".to_vec()],
            Self::Mdp01 | Self::Mdp01Proxy => self.majordomo(5, None),
            _ => self.majordomo(6, None),
        }
    }

    pub(crate) fn ping(
        id: u64,
        promise_ms: u32,
        capacity: Option<u16>,
        caps: Option<Caps>,
    ) -> Frames {
        let flags = u8::from(capacity.is_some());
        let code = capacity.unwrap_or(0);
        let mut head = header(word::PING, flags, code, promise_ms, id.to_be_bytes(), b"");
        if let Some(caps) = caps {
            head.extend(caps.property());
        }
        vec![head]
    }

    pub(crate) fn credit(id: u64, more: More) -> Frames {
        let id = id.to_be_bytes();
        vec![header(word::CREDIT, 0, more.messages, more.kib, id, b"")]
    }

    pub(crate) fn need_broker(id: u64) -> Frames {
        vec![header(word::NEEDBROKER, 0, 0, 0, id.to_be_bytes(), b"")]
    }

    pub(crate) fn cancel(self, way: Way) -> Frames {
        let mut frames = self.envelope(way.via);
        frames.push(header(word::CANCEL, 0, 0, 0, way.id.to_be_bytes(), b""));
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
}

fn s0_task(question: &Question<'_>) -> Vec<u8> {
    let wants = match question.wants {
        Wants::Answer => 0,
        Wants::Receipt => ONEWAY,
        Wants::Nothing => ONEWAY | QUIET,
    };
    let mut head = header(
        word::TASK,
        u8::from(question.idempotent) << 1 | wants | question.priority << 5,
        0,
        question.ttl_ms,
        question.way.id.to_be_bytes(),
        question.service.as_bytes(),
    );
    head.extend_from_slice(question.properties);
    head
}

/// Properties, as they end a header.
pub(crate) fn property(name: &str, value: &str) -> Vec<u8> {
    let mut out = vec![name.len() as u8];
    out.extend(name.as_bytes());
    out.extend((value.len() as u32).to_be_bytes());
    out.extend(value.as_bytes());
    out
}

fn header(command: u8, flags: u8, code: u16, ms: u32, id: Token, name: &[u8]) -> Vec<u8> {
    let mut out = vec![b'S', b'0', 1, command, flags, name.len() as u8];
    out.extend(code.to_be_bytes());
    out.extend(ms.to_be_bytes());
    out.extend(id);
    out.extend(name);
    out
}

const ONEWAY: u8 = 4;
const QUIET: u8 = 8;

/// The commands of S0.
pub(crate) mod word {
    pub(crate) const TASK: u8 = 1;
    pub(crate) const REPLY: u8 = 2;
    pub(crate) const ERROR: u8 = 3;
    pub(crate) const CONNECT: u8 = 4;
    pub(crate) const CONFIG: u8 = 5;
    pub(crate) const PING: u8 = 6;
    pub(crate) const PONG: u8 = 7;
    pub(crate) const CANCEL: u8 = 8;
    pub(crate) const BYE: u8 = 9;
    pub(crate) const NEEDBROKER: u8 = 0x0a;
    pub(crate) const CHANGEBROKER: u8 = 0x0b;
    pub(crate) const CREDIT: u8 = 0x0d;
}
