//! Status codes: numbers shaped like HTTP's, and a word for each (`spec/scale0.md`).

/// A status and its reason word.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Status(u16);

impl Status {
    /// Done.
    pub const OK: Self = Self(200);
    /// Malformed.
    pub const MALFORMED: Self = Self(400);
    /// No rule allows it.
    pub const FORBIDDEN: Self = Self(403);
    /// No worker offers the service.
    pub const NO_SERVICE: Self = Self(404);
    /// The time to live ran out in the queue.
    pub const EXPIRED: Self = Self(408);
    /// The id is in flight already on this connection.
    pub const DUPLICATE: Self = Self(409);
    /// Too large.
    pub const TOO_LARGE: Self = Self(413);
    /// Another protocol version is spoken here.
    pub const VERSION: Self = Self(426);
    /// This client has too many tasks under way.
    pub const QUOTA: Self = Self(429);
    /// Too many malformed messages; the connection is closed.
    pub const BANNED: Self = Self(444);
    /// Cancelled by the client.
    pub const CANCELLED: Self = Self(499);
    /// Not built (yet).
    pub const NOT_IMPLEMENTED: Self = Self(501);
    /// The worker was lost while it worked on the task.
    pub const WORKER_LOST: Self = Self(502);
    /// Overloaded, queue full, or draining.
    pub const UNAVAILABLE: Self = Self(503);
    /// The deadline passed while a worker had the task.
    pub const TIMEOUT: Self = Self(504);

    /// The status of that number, known or not.
    #[must_use]
    pub const fn new(code: u16) -> Self {
        Self(code)
    }

    /// The number.
    #[must_use]
    pub const fn code(self) -> u16 {
        self.0
    }

    /// The reason word that an ERROR carries in its name field.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self.0 {
            200 => "ok",
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
        write!(f, "{} {}", self.0, self.word())
    }
}
