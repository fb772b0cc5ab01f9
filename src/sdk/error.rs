//! What can go wrong, and whether asking again is safe then.

use std::time::Duration;

use bytes::Bytes;

use super::reply::Reply;
use crate::protocol::{NameError, Status};
use crate::wire::{EndpointError, PropertyError};

/// Why a call has no good answer.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CallError {
    /// The worker answered with a code of 400 or more.
    #[error("the worker answered {}{}", .0.code(), after_colon(.0.text().trim_end()))]
    Failed(Reply),
    /// The broker refused the task or gave it up.
    #[error("{status}{}", after_colon(text))]
    Refused {
        /// Why.
        status: Status,
        /// The broker's words; may be empty.
        text: String,
        /// No worker has begun with it.
        not_executed: bool,
        /// When it makes sense to ask again, if the broker knows.
        retry_after: Option<Duration>,
    },
    /// No answer came in time. Tasks that were never sent are safe to repeat.
    #[error("no answer within {ttl:?}{}", if *sent { String::new() } else { unsent(trouble) })]
    Timeout {
        /// The task's time to live.
        ttl: Duration,
        /// It was sent to a broker; a worker may have begun with it.
        sent: bool,
        /// What was wrong with the connection when the time was up, for people: the endpoint and
        /// the last failure there. `None` if there was a connection.
        trouble: Option<String>,
    },
    /// No broker lets this client in, so the task was not sent: only with
    /// [`ClientBuilder::give_up_when_refused`](super::ClientBuilder::give_up_when_refused).
    #[error("{endpoint} does not let us in: {reason}")]
    NotAdmitted {
        /// The broker that refused last.
        endpoint: String,
        /// Its words, and what they mean where they are a status.
        reason: String,
    },
    /// The connection was lost after the task was sent. Whether it was or will be done is not
    /// known; it was not sent again because it is not idempotent.
    #[error("the connection was lost: the task may have been done")]
    Unknown,
    /// The replies came faster than they were read, and no more of them may be kept.
    #[error("more than {limit} bytes of replies wait to be read")]
    Overrun {
        /// What may be kept.
        limit: usize,
    },
    /// The message is more than a broker takes.
    #[error("task of {size} bytes, limit {limit}")]
    TooLarge {
        /// Bytes of all its parts, the header's among them.
        size: usize,
        /// What is allowed.
        limit: usize,
    },
    /// The body has more parts than a broker takes.
    #[error("task of {parts} parts, limit {limit}")]
    TooManyParts {
        /// Its parts, the header among them.
        parts: usize,
        /// What is allowed.
        limit: usize,
    },
    /// Majordomo has no word for a one-way task.
    #[error("one-way tasks are not known in Majordomo: speak S0/1")]
    NoOneWay,
    /// Properties that cannot be sent.
    #[error(transparent)]
    Property(#[from] PropertyError),
    /// The service's name cannot be one.
    #[error(transparent)]
    Name(#[from] NameError),
    /// The client was closed, or its runtime is gone.
    #[error("the client is closed")]
    Closed,
}

impl CallError {
    /// Whether the same call can be made again without the risk that the task is done twice.
    #[must_use]
    pub fn is_safe_to_repeat(&self) -> bool {
        match self {
            Self::Refused { not_executed, .. } => *not_executed,
            Self::Timeout { sent, .. } => !sent,
            Self::NotAdmitted { .. }
            | Self::TooLarge { .. }
            | Self::TooManyParts { .. }
            | Self::NoOneWay
            | Self::Property(_)
            | Self::Name(_) => true,
            Self::Failed(_) | Self::Unknown | Self::Overrun { .. } | Self::Closed => false,
        }
    }

    /// The status that the worker or the broker gave.
    #[must_use]
    pub fn code(&self) -> Option<u16> {
        match self {
            Self::Failed(reply) => Some(reply.code()),
            Self::Refused { status, .. } => Some(status.code()),
            _ => None,
        }
    }

    /// When it makes sense to ask again, if the broker knows.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Refused { retry_after, .. } => *retry_after,
            _ => None,
        }
    }
}

/// What to say of a task that was not sent.
fn unsent(trouble: &Option<String>) -> String {
    let trouble = trouble.as_deref().unwrap_or_default();
    format!(": it was not sent to a broker{}", after_colon(trouble))
}

/// The text behind a colon, if there is one.
fn after_colon(text: &str) -> String {
    match text {
        "" => String::new(),
        text => format!(": {text}"),
    }
}

/// A handler's way to say that it could not do the task: a status of 400 or more and a body.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{code}: {}", String::from_utf8_lossy(.body))]
pub struct Failure {
    /// 400 to 599; 422 for a bad argument, 500 for trouble of the worker's own. Any other is sent
    /// as 500: a failure must not look like an answer.
    pub code: u16,
    /// For the client.
    pub body: Bytes,
    /// See [`refuse`](Self::refuse).
    pub(super) refuses: bool,
}

impl Failure {
    /// A failure with a code, 400 to 599 (500 for any other), and a text.
    pub fn new(code: u16, body: impl Into<Bytes>) -> Self {
        let fails = (400..600).contains(&code);
        Self {
            code: if fails { code } else { 500 },
            body: body.into(),
            refuses: false,
        }
    }

    /// The worker does not take the task: the broker gives it to another one at once, and asks
    /// this one again after a second at the earliest. Nothing may have been done of it, and no part
    /// of a reply sent; after one, and where the dialect has no such word, the client gets 503.
    #[must_use]
    pub fn refuse() -> Self {
        Self {
            refuses: true,
            ..Self::new(503, "the worker refused it")
        }
    }
}

impl From<String> for Failure {
    /// 500 and the text.
    fn from(text: String) -> Self {
        Self::new(500, text)
    }
}

impl From<&str> for Failure {
    /// 500 and the text.
    fn from(text: &str) -> Self {
        Self::new(500, text.to_owned())
    }
}

impl From<std::io::Error> for Failure {
    /// 500 and the error's text.
    fn from(error: std::io::Error) -> Self {
        error.to_string().into()
    }
}

/// Why a client or worker cannot be built.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// A text that is no endpoint.
    #[error(transparent)]
    Endpoint(#[from] EndpointError),
    /// A service's name that cannot be one.
    #[error(transparent)]
    Name(#[from] NameError),
    /// A worker without services.
    #[error("a worker needs at least one service")]
    NoService,
    /// The same service twice.
    #[error("service {0} has two handlers")]
    Twice(String),
    /// An attribute of a service that the worker does not have, or more than one at once.
    #[error(
        "attribute {attribute} of service {service}: add the service first, and attributes one by one"
    )]
    Attribute {
        /// The service's name.
        service: String,
        /// The attribute.
        attribute: String,
    },
    /// An attribute with a value that no broker takes.
    #[error("{0}")]
    Offer(String),
    /// A name that only the broker itself may use.
    #[error("service {0}: names beginning with s0. or mmi. are the broker's own, choose another")]
    Reserved(String),
    /// The system has no randomness.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// Not called inside a tokio runtime.
    #[error("a client needs a tokio runtime around it")]
    NoRuntime,
}
