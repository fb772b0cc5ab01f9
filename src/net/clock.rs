//! The one place that reads a clock.

use std::time::Duration;

use crate::time::Time;

/// Counts from its own making, with the system's monotonic clock.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    start: std::time::Instant,
}

#[allow(clippy::disallowed_methods, reason = "this is that place")]
impl Clock {
    /// A clock that begins now.
    #[must_use]
    pub fn start() -> Self {
        Self {
            start: std::time::Instant::now(),
        }
    }

    /// The time.
    #[must_use]
    pub fn now(&self) -> Time {
        Time::ZERO + self.start.elapsed()
    }

    /// The moment at which this clock shows `time`, for a timer.
    #[must_use]
    pub fn instant(&self, time: Time) -> tokio::time::Instant {
        let at = self
            .start
            .checked_add(Duration::from_micros(time.as_micros()));
        at.unwrap_or_else(|| self.start + FAR).into()
    }
}

/// A moment that does not come.
const FAR: Duration = Duration::from_secs(100 * 365 * 24 * 3600);
