//! What a worker answers.

use std::borrow::Cow;

use bytes::Bytes;

use crate::protocol::Status;
use crate::wire::{Message, Properties};

/// A worker's answer, or one part of it.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Reply {
    pub(super) code: u16,
    pub(super) partial: bool,
    pub(super) properties: Bytes,
    pub(super) body: Message,
}

impl Reply {
    /// Whether no other reply follows.
    #[must_use]
    pub fn is_final(&self) -> bool {
        !self.partial
    }

    /// Whether it only shows how far the work has come (status 102), and is no part of the answer.
    #[must_use]
    pub fn is_progress(&self) -> bool {
        self.partial && self.code == Status::PROGRESS.code()
    }

    /// 200 and up as in HTTP; 102 for progress.
    #[must_use]
    pub fn code(&self) -> u16 {
        self.code
    }

    /// The body: zero or more parts.
    #[must_use]
    pub fn body(&self) -> &Message {
        &self.body
    }

    /// The body's parts as values of their own.
    #[must_use]
    pub fn into_parts(self) -> Vec<Bytes> {
        self.body.into_parts()
    }

    /// The first part as text, what is not UTF-8 replaced; empty if there is none.
    #[must_use]
    pub fn text(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(self.body.first().unwrap_or_default())
    }

    /// A property that the worker sent along; case does not count in names.
    #[must_use]
    pub fn property(&self, name: &str) -> Option<&[u8]> {
        Properties::trusted(&self.properties).find(name)
    }
}

/// What a handler makes of a task: anything that can be a body, with 200, or a code and a body.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Outcome {
    pub(super) code: u16,
    pub(super) body: Message,
}

impl Outcome {
    /// An outcome with a code of its own.
    pub fn new(code: u16, body: impl Into<Message>) -> Self {
        Self {
            code,
            body: body.into(),
        }
    }
}

impl<T: Into<Message>> From<T> for Outcome {
    /// 200 and the body.
    fn from(body: T) -> Self {
        Self {
            code: 200,
            body: body.into(),
        }
    }
}
