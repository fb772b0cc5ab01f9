//! How long to wait before the next attempt to connect. Jitter keeps a crowd from coming back in
//! step after a broker's restart.

use std::time::Duration;

use chacha20::ChaCha8Rng;
use chacha20::rand_core::{Rng, SeedableRng};

/// Doubling waits with jitter.
#[derive(Debug)]
pub struct Backoff {
    first: Duration,
    longest: Duration,
    failures: u32,
    random: ChaCha8Rng,
}

impl Backoff {
    /// The first wait, before jitter.
    pub const FIRST: Duration = Duration::from_millis(100);
    /// The longest wait, before jitter.
    pub const LONGEST: Duration = Duration::from_secs(5);

    /// No failures yet.
    #[must_use]
    pub fn new(seed: [u8; 32]) -> Self {
        Self::between(Self::FIRST, Self::LONGEST, seed)
    }

    /// No failures yet, with other waits.
    #[must_use]
    pub fn between(first: Duration, longest: Duration, seed: [u8; 32]) -> Self {
        Self {
            first,
            longest: longest.max(first),
            failures: 0,
            random: ChaCha8Rng::from_seed(seed),
        }
    }

    /// Another attempt has failed: how long to wait. The first wait (100 ms), doubled each time up
    /// to the longest (5 s), each 30 % more or less.
    pub fn failed(&mut self) -> Duration {
        let wait = self
            .first
            .saturating_mul(1 << self.failures.min(16))
            .min(self.longest);
        self.failures += 1;
        let percent = 70 + self.random.next_u32() % 61;
        wait * percent / 100
    }

    /// The peer has said that it does not want us: as [`failed`](Self::failed), but from 1.6 s on.
    pub fn refused(&mut self) -> Duration {
        self.failures = self.failures.max(SLOW);
        self.failed()
    }

    /// How many attempts have failed since the last success.
    #[must_use]
    pub fn failures(&self) -> u32 {
        self.failures
    }

    /// An attempt has succeeded.
    pub fn succeeded(&mut self) {
        self.failures = 0;
    }
}

/// As many failures in a row as a refusal counts for.
const SLOW: u32 = 4;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_to_five_seconds_with_jitter() {
        let mut backoff = Backoff::new([1; 32]);
        for expected in [100, 200, 400, 800, 1600, 3200, 5000, 5000] {
            let wait = backoff.failed().as_millis();
            assert!(
                (expected * 70 / 100..=expected * 130 / 100).contains(&wait),
                "{wait} for {expected}"
            );
        }
        backoff.succeeded();
        assert!(backoff.failed() <= Duration::from_millis(130));
    }

    #[test]
    fn whoever_is_refused_comes_back_slowly() {
        for seed in 0..100 {
            let mut backoff = Backoff::new([seed; 32]);
            let (mut tries, mut now) = (0, Duration::ZERO);
            while now < Duration::from_secs(3) {
                tries += 1;
                now += backoff.refused();
            }
            assert!(tries <= 4, "{tries} tries");
        }
    }

    #[test]
    fn two_crowds_do_not_keep_step() {
        let waits = |seed| {
            let mut backoff = Backoff::new([seed; 32]);
            (0..6).map(|_| backoff.failed()).collect::<Vec<_>>()
        };
        assert_ne!(waits(1), waits(2));
    }
}
