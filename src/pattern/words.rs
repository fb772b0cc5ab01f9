//! What a pattern says: where a message goes, what became of one that came, and why not.

use bytes::Bytes;

use crate::wire::Message;

/// A message that leaves, and what is to be done with it.
#[derive(Debug, PartialEq)]
pub enum Way {
    /// It goes to one peer, with `head` in front.
    To {
        /// The peer.
        peer: u32,
        /// Parts that the pattern adds.
        head: Option<Message>,
        /// The program's own.
        body: Message,
    },
    /// It goes to each of [`Pattern::targets`](super::Pattern::targets) that has room.
    Each(Message),
    /// It changes what all peers are told we want (XSUB).
    Subscription {
        /// From now on, or no more.
        on: bool,
        /// What.
        topic: Bytes,
        /// Whether the peers do not know already.
        tell: bool,
    },
    /// It waits until a peer has room.
    Wait(Message),
    /// It is dropped, as the pattern has it.
    Dropped(Dropped),
    /// The program may not send it now.
    Refused(Message, Refusal),
}

/// Why a message was dropped on its way out.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Dropped {
    /// Nobody has that name.
    Unroutable,
    /// The peer has no room.
    Full,
    /// The peer that asked is gone.
    Gone,
}

/// Why the program may not do that.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// The type does not send.
    #[error("this socket type does not send")]
    NoSender,
    /// The type does not receive.
    #[error("this socket type does not receive")]
    NoReceiver,
    /// REQ has to receive the answer first, REP the next request.
    #[error("it is the peer's turn: receive first")]
    ReceiveFirst,
    /// REQ has to send a request first, REP the answer.
    #[error("it is this socket's turn: send first")]
    SendFirst,
    /// The peer that was asked is gone, and so is its answer. Another request may be sent.
    #[error("the peer that had the request is gone")]
    Lost,
    /// No peer has that name.
    #[error("no peer of that name is connected")]
    Unroutable,
    /// A message without any part; or a name, and nothing for its bearer.
    #[error("a message needs at least one part")]
    Empty,
}

/// What becomes of a message that has come.
#[derive(Debug, PartialEq)]
pub enum Taken {
    /// The program receives it.
    Message {
        /// The peer's name, if the type tells it.
        from: Option<Bytes>,
        /// What is left of the message.
        body: Message,
    },
    /// It was a subscription, or the end of one. There may be a [notice](super::Pattern::notice).
    Subscription,
    /// Nobody gets it.
    Ignored(Ignored),
    /// The peer is to be cut.
    Close(Violation),
}

/// Why a message was not received.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Ignored {
    /// An answer that nobody waits for, or from a peer that is gone or, for ROUTER, has
    /// lost its name to another.
    Stale,
    /// A request without delimiter or body, or with too deep an envelope.
    NoRequest,
    /// Not what was subscribed to.
    Unwanted,
    /// The type does not receive.
    NoReceiver,
    /// A subscription beyond a bound.
    Full,
}

/// What a peer is cut for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Violation {
    /// A reply without delimiter or body.
    NoReply,
}

/// A new peer is not let in.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Unwelcome {
    /// Its name is another one's.
    #[error("another connected peer has the same identity")]
    NameTaken,
    /// PAIR has its one peer already.
    #[error("a PAIR socket has one peer at a time")]
    Taken,
}

/// A new peer is let in.
#[derive(Debug, Default, Eq, PartialEq)]
pub struct Welcome {
    /// The name under which ROUTER knows it.
    pub name: Option<Bytes>,
    /// A peer that had that name and is to be cut.
    pub displaced: Option<u32>,
}
