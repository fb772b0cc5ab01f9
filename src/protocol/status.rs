//! Status codes: numbers shaped like HTTP's, and a word for each (`spec/scale0.md`).

/// A status and its reason word.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Status {
    code: u16,
    /// A 503 with a word of its own.
    draining: bool,
}

impl Status {
    /// A part of a reply that only shows how far the work has come.
    pub const PROGRESS: Self = Self::new(102);
    /// Done.
    pub const OK: Self = Self::new(200);
    /// The broker has taken charge of a one-way task.
    pub const ACCEPTED: Self = Self::new(202);
    /// Go to another broker.
    pub const MOVED: Self = Self::new(301);
    /// Malformed.
    pub const MALFORMED: Self = Self::new(400);
    /// No rule allows it.
    pub const FORBIDDEN: Self = Self::new(403);
    /// No worker offers the service.
    pub const NO_SERVICE: Self = Self::new(404);
    /// The time to live ran out in the queue.
    pub const EXPIRED: Self = Self::new(408);
    /// The id is in flight already on this connection.
    pub const DUPLICATE: Self = Self::new(409);
    /// Too large.
    pub const TOO_LARGE: Self = Self::new(413);
    /// Another protocol version is spoken here.
    pub const VERSION: Self = Self::new(426);
    /// This client has too many tasks under way.
    pub const QUOTA: Self = Self::new(429);
    /// Too many malformed messages; the connection is closed.
    pub const BANNED: Self = Self::new(444);
    /// Cancelled by the client.
    pub const CANCELLED: Self = Self::new(499);
    /// Not built (yet).
    pub const NOT_IMPLEMENTED: Self = Self::new(501);
    /// The worker was lost while it worked on the task.
    pub const WORKER_LOST: Self = Self::new(502);
    /// Overloaded, or queue full.
    pub const UNAVAILABLE: Self = Self::new(503);
    /// The same code with another word: the broker takes no more tasks, another one may.
    pub const DRAINING: Self = Self {
        code: 503,
        draining: true,
    };
    /// The deadline passed while a worker had the task.
    pub const TIMEOUT: Self = Self::new(504);

    /// The status of that number, known or not.
    #[must_use]
    pub const fn new(code: u16) -> Self {
        Self {
            code,
            draining: false,
        }
    }

    /// The status that an ERROR says with this number and this reason word.
    #[must_use]
    pub fn read(code: u16, word: &[u8]) -> Self {
        let draining = Self::DRAINING;
        if code == draining.code && word == draining.word().as_bytes() {
            draining
        } else {
            Self::new(code)
        }
    }

    /// The number.
    #[must_use]
    pub const fn code(self) -> u16 {
        self.code
    }

    /// The reason word that an ERROR carries in its name field.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self.code {
            503 if self.draining => "draining",
            200 => "ok",
            202 => "accepted",
            301 => "moved",
            400 => "malformed",
            403 => "forbidden",
            404 => "no-service",
            408 => "expired",
            409 => "duplicate-id",
            413 => "too-large",
            426 => "version",
            429 => "quota",
            444 => "banned",
            499 => "cancelled",
            501 => "not-implemented",
            502 => "worker-lost",
            503 => "unavailable",
            504 => "timeout",
            _ => "error",
        }
    }
}

impl std::fmt::Display for Status {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.code, self.word())
    }
}
