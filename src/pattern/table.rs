//! The table: what each socket type does with a message that leaves and with one that comes.

use crate::wire::SocketType;

/// Where a message that leaves goes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Out {
    /// To one peer with room, in turns; waits for room.
    Balance,
    /// The same, and then for the answer of that peer.
    Ask,
    /// Back to the peer whose request was received last.
    Answer,
    /// To the peer that the first part names.
    Route,
    /// To every peer that subscribed to the beginning of the first part.
    Publish,
    /// To every peer; subscriptions among them.
    Upstream,
    /// Nowhere: the type only receives.
    Nothing,
}

/// What becomes of a message that comes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum In {
    /// It is received as it is, peers in turns.
    Turns,
    /// The same, with the peer's name in front.
    Named,
    /// If it is the answer that is waited for.
    Reply,
    /// Without its envelope, which the answer gets.
    Request,
    /// If it begins with a topic that was subscribed to.
    Filter,
    /// It may be a subscription; what is none is received (XPUB).
    Subscriptions,
    /// It may be a subscription; what is none is dropped (PUB).
    Quiet,
    /// It is dropped: the type only sends.
    Nothing,
}

/// The row of one type: RFC 28 (request-reply), 29 (publish-subscribe), 30 (pipeline), 31
/// (exclusive pair). Everything else about a socket type follows from these two words, except that
/// PAIR has one peer at a time.
#[must_use]
pub const fn row(kind: SocketType) -> (Out, In) {
    match kind {
        SocketType::Req => (Out::Ask, In::Reply),
        SocketType::Rep => (Out::Answer, In::Request),
        SocketType::Dealer => (Out::Balance, In::Turns),
        SocketType::Router => (Out::Route, In::Named),
        SocketType::Pub => (Out::Publish, In::Quiet),
        SocketType::Sub => (Out::Nothing, In::Filter),
        SocketType::Xpub => (Out::Publish, In::Subscriptions),
        SocketType::Xsub => (Out::Upstream, In::Turns),
        SocketType::Push => (Out::Balance, In::Nothing),
        SocketType::Pull => (Out::Nothing, In::Turns),
        SocketType::Pair => (Out::Balance, In::Turns),
    }
}
