//! What the sender of a message means by it, told to the ledger beside the bytes that the broker
//! reads.

use crate::plan::Stated;
use crate::speech::{Frames, Token, Tongue, Way};

#[derive(Clone, Debug)]
pub(crate) enum Meant {
    /// From the broker, whose words are judged by their bytes.
    Nothing,
    Ask(Box<Asked>),
    Cancel(Way),
    Announce(Stated),
    /// An announcement that must be refused.
    AnnounceBadly,
    Reply {
        token: Token,
        partial: bool,
        body: Frames,
    },
    Ping {
        id: u64,
        promise_ms: u32,
        capacity: Option<u16>,
    },
    Beat,
    Bye,
    Garbage,
}

/// A task as its client means it.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) serial: u64,
    pub(crate) tongue: Tongue,
    pub(crate) way: Way,
    pub(crate) service: String,
    pub(crate) ttl_ms: u32,
    pub(crate) idempotent: bool,
    pub(crate) priority: u8,
    pub(crate) body: Frames,
}
