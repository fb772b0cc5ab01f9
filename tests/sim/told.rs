//! What the sender of a message means by it, told to the ledger beside the bytes that the broker
//! reads.

use crate::offer::Policy;
use crate::plan::Stated;
use crate::speech::{Caps, Frames, Kind, More, Token, Tongue, Wants, Way};

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
        code: u16,
        kind: Kind,
        body: Frames,
    },
    /// A client takes so many parts more.
    Credit(Way, More),
    NeedBroker(u64),
    Ping {
        id: u64,
        promise_ms: u32,
        capacity: Option<u16>,
        caps: Option<Caps>,
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
    pub(crate) wants: Wants,
    pub(crate) properties: Vec<u8>,
    /// What is to be set, and for which service.
    pub(crate) order: Option<(String, Option<Policy>)>,
    pub(crate) body: Frames,
}
