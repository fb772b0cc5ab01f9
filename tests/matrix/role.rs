//! Sockets of other implementations, one process each, that play a role.
//!
//! A role is told in words `name=value`, which every program under `tests/support/peer` that
//! plays roles understands (those that it needs):
//!
//! - `type=PUSH`, and `bind=ENDPOINT` or `connect=ENDPOINT`; it says `bound ENDPOINT` with the
//!   real port, or `connecting`.
//! - `mode=echo`: answers each message with itself, until it is killed.
//! - `mode=ask`: sends each of `shapes=SIZExPARTS,…`, and says what came back (with a REQ one by
//!   one, else all at once). `delimiter=1` puts an empty part in front, `to=ID` a routing id.
//! - `mode=send`: sends the shapes; a publisher first sends `sync` until a line comes in.
//! - `mode=take`: says what came, as many messages as there are shapes; the first `sync` is
//!   `synced`.
//! - `mode=stream`: sends numbered messages, until a line comes in; one of `topic=A,B` in turn
//!   stands before each number, `from=` is the first.
//! - `mode=watch`: says the number of each of these; until it is killed.
//! - `mode=idle`: does nothing, until a line comes in.
//! - `identity=`, `topics=A,B`, `heartbeat_ivl=` and such; `mechanism=`.
//!
//! Part `n` of a message with a shape is the pattern from byte `n` on; byte `i` of the pattern is
//! `i * 31 + (i >> 8) * 7` modulo 256, and after 64 KiB it begins again. Whoever says that a
//! message of some shape has come has compared every byte of it.

use std::sync::OnceLock;

use scale0::socket::Message;

use crate::peers::{Node, Python};
use crate::process::Process;

/// Another implementation.
pub(crate) enum Implementation {
    Python(Python),
    Node(Node),
    /// A program that understands roles, with its first arguments.
    Program(Vec<String>),
}

impl Implementation {
    pub(crate) fn start(&self, words: &[String]) -> Process {
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        match self {
            Self::Python(python) => python.start("role.py", &words),
            Self::Node(node) => node.start("role.js", &words),
            Self::Program(program) => {
                let mut command = std::process::Command::new(&program[0]);
                Process::start(command.args(&program[1..]).args(words))
            }
        }
    }
}

/// A message's look: so many parts of so many bytes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Shape {
    pub(crate) size: usize,
    pub(crate) parts: usize,
}

impl Shape {
    pub(crate) fn message(self) -> Message {
        (0..self.parts).map(|n| part(n, self.size)).collect()
    }
}

impl std::fmt::Display for Shape {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}x{}", self.size, self.parts)
    }
}

/// What a message looks like: a shape, or what is wrong with it.
pub(crate) fn describe(message: &Message) -> String {
    let size = message.first().map_or(0, <[u8]>::len);
    let right = |(n, body)| body == part(n, size);
    if message.parts().enumerate().all(right) {
        let parts = message.count();
        return Shape { size, parts }.to_string();
    }
    let lens: Vec<usize> = message.parts().map(<[u8]>::len).collect();
    format!("BAD {lens:?}")
}

fn part(n: usize, size: usize) -> &'static [u8] {
    static PATTERN: OnceLock<Vec<u8>> = OnceLock::new();
    let pattern = PATTERN.get_or_init(|| {
        let byte = |i: usize| u8::try_from((i * 31 + (i >> 8) * 7) & 255).unwrap();
        (0..1 << 16).map(byte).collect::<Vec<u8>>().repeat(81)
    });
    &pattern[n..n + size]
}

/// The shapes of the matrix: every edge of framing and of libzmq's buffers, and one large part.
pub(crate) fn all() -> Vec<Shape> {
    let sizes = [0, 1, 255, 256, 8191, 8192, 8193, 64 << 10];
    let cross = sizes
        .iter()
        .flat_map(|&size| [1, 3, 100].map(|parts| Shape { size, parts }));
    let large = Shape {
        size: 5 << 20,
        parts: 1,
    };
    cross.chain([large]).collect()
}

/// Fewer, for implementations whose framing is not what is in question.
pub(crate) fn some() -> Vec<Shape> {
    let few = [(0, 1), (5, 1), (255, 3), (256, 2), (8193, 1), (70_000, 3)];
    few.map(|(size, parts)| Shape { size, parts }).to_vec()
}
