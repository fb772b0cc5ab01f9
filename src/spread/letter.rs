//! What shards say to each other. Between two of them letters arrive in the order in which they
//! were posted; between three nothing is promised.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use super::survey::Report;
use crate::broker::{Access, Action, PeerId};
use crate::protocol::{Answer, Ping, Reading, Word};
use crate::security::User;

/// One word of one shard to another. A peer is named as the shard with its connection names it.
#[derive(Clone, Debug)]
pub enum Letter {
    /// A connection has to do with a service of yours. Before everything else about it.
    Opened {
        /// Whose.
        peer: PeerId,
        /// Who that is.
        guest: Box<Introduction>,
    },
    /// It said something that is yours to decide.
    Heard {
        /// Who.
        peer: PeerId,
        /// What.
        reading: Reading,
        /// Another shard answers.
        mute: bool,
    },
    /// It gave a sign of life below the level of messages.
    Sign {
        /// Who.
        peer: PeerId,
    },
    /// It has ended. Nothing about it comes after this.
    Lost {
        /// Which.
        peer: PeerId,
    },
    /// Much waits to be written to it, or no longer does.
    Full {
        /// Whom.
        peer: PeerId,
        /// Whether it does.
        full: bool,
    },
    /// Of this worker's slots you have so many more.
    Lend {
        /// Whose.
        peer: PeerId,
        /// How many.
        slots: u16,
    },
    /// Of this worker's slots give so many back, as soon as no task is in them.
    Recall {
        /// Whose.
        peer: PeerId,
        /// How many.
        slots: u16,
    },
    /// So many slots of your worker are free and yours again.
    Return {
        /// Whose.
        peer: PeerId,
        /// How many.
        slots: u16,
    },
    /// Tasks wait here for your worker, and it has no slot free here; or no longer.
    Hungry {
        /// For whom.
        peer: PeerId,
        /// Whether they do.
        on: bool,
    },
    /// Your worker let a deadline pass, and has said nothing here since: has it spoken?
    Suspects {
        /// Who.
        peer: PeerId,
    },
    /// What is to be done with a connection of yours.
    Act(Box<Action>),
    /// Other rules hold.
    Access(Option<Arc<Access>>),
    /// Drain: the so-manieth time that anybody was told to.
    Drain {
        /// Which.
        number: u64,
        /// How long.
        limit: Duration,
        /// It cannot be called off.
        for_good: bool,
    },
    /// Go on: the drain of this number is called off.
    Undrain {
        /// Which.
        number: u64,
    },
    /// No task is left here.
    Done {
        /// Of which drain.
        number: u64,
    },
    /// No task is left anywhere: ask for nothing more.
    Finish {
        /// Of which drain.
        number: u64,
    },
    /// I ask for nothing more. Tell me when all before this has its answer.
    Last {
        /// Of which drain.
        number: u64,
    },
    /// It has.
    Seen {
        /// Of which drain.
        number: u64,
    },
    /// I need nothing more of anybody.
    Ready {
        /// Of which drain.
        number: u64,
    },
    /// How do you do?
    Survey {
        /// Which question it is.
        number: u64,
    },
    /// So.
    Surveyed {
        /// Which question it answers.
        number: u64,
        /// The answer.
        report: Box<Report>,
    },
    /// Tell when you have read up to here.
    Mark {
        /// What was posted up to here.
        weight: usize,
    },
    /// That is read.
    Marked {
        /// What the mark said.
        weight: usize,
    },
}

/// A peer, told to a shard that does not have its connection.
#[derive(Clone, Debug)]
pub struct Introduction {
    /// Who that has proved to be.
    pub user: Option<User>,
    /// It is on this machine.
    pub local: bool,
    /// Where it is; none for a path of this machine.
    pub address: Option<SocketAddr>,
    /// Much waits to be written to it.
    pub full: bool,
    /// The last PING that told something of it.
    pub said: Option<Ping>,
}

impl Letter {
    /// What it counts for while it is under way.
    #[must_use]
    pub fn weight(&self) -> usize {
        let body = match self {
            Self::Heard {
                reading: Reading::Word(Word::Ask(ask)),
                ..
            } => ask.body.wire().len() + ask.properties.len(),
            Self::Heard {
                reading: Reading::Word(Word::Reply(reply)),
                ..
            } => reply.body.wire().len() + reply.properties.len(),
            Self::Heard {
                reading: Reading::Word(Word::Announce(announcement)),
                ..
            } => size_of_val(&*announcement.offers),
            Self::Act(action) => match &**action {
                Action::Assign { task, .. } => task.body.wire().len() + task.properties.len(),
                Action::Answer {
                    answer:
                        Answer::Reply {
                            body, properties, ..
                        },
                    ..
                } => body.wire().len() + properties.len(),
                _ => 0,
            },
            _ => 0,
        };
        size_of::<Self>() + body
    }
}
