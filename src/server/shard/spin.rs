//! Whether to look for more before going to sleep.
//!
//! Waking a thread that sleeps costs both sides tens of microseconds. Who is likely to be needed
//! again at once does better to keep looking for a moment. Where that never helps (the others
//! answer later, or need this very processor), it is hardly tried any more.

use std::time::Duration;

use crate::time::Time;

/// The choice at the end of each turn.
#[derive(Debug)]
pub(super) struct Spin {
    /// For how long to look; zero for never.
    limit: Duration,
    /// Since when it looks.
    since: Option<Time>,
    /// Times in a row that nothing came while it looked.
    misses: u32,
    /// So many times it goes to sleep without a look.
    skip: u32,
}

impl Spin {
    pub(super) fn new(limit: Duration) -> Self {
        Self {
            limit,
            since: None,
            misses: 0,
            skip: 0,
        }
    }

    /// A turn has ended in which something came or did not: whether to look again at once.
    pub(super) fn looks_on(&mut self, now: Time, came: bool) -> bool {
        if self.limit.is_zero() {
            return false;
        }
        if came {
            if self.since.take().is_some() {
                self.misses = 0;
            }
            if self.skip > 0 {
                self.skip -= 1;
                return false;
            }
            self.since = Some(now);
            return true;
        }
        let Some(since) = self.since else {
            return false;
        };
        if since + self.limit > now {
            return true;
        }
        self.since = None;
        self.misses = self.misses.saturating_add(1).min(MOST_MISSES);
        self.skip = (1 << self.misses) - 2;
        false
    }
}

/// After so many misses in a row it looks once in 1024 turns.
const MOST_MISSES: u32 = 10;

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_micros(50);

    fn at(micros: u64) -> Time {
        Time::from_micros(micros)
    }

    #[test]
    fn it_looks_for_as_long_as_it_may_after_something_came() {
        let mut spin = Spin::new(LIMIT);
        assert!(!spin.looks_on(at(0), false), "nothing has come yet");
        assert!(spin.looks_on(at(0), true));
        assert!(spin.looks_on(at(49), false));
        assert!(!spin.looks_on(at(50), false));
        assert!(!spin.looks_on(at(51), false));
    }

    #[test]
    fn whoever_answers_in_time_keeps_it_looking() {
        let mut spin = Spin::new(LIMIT);
        for round in 0..10_000 {
            assert!(spin.looks_on(at(round * 40), true));
            assert!(spin.looks_on(at(round * 40 + 20), false));
        }
    }

    #[test]
    fn where_it_never_helps_it_is_hardly_tried_and_where_it_helps_again_it_is() {
        let mut spin = Spin::new(LIMIT);
        let mut looks = 0;
        for round in 0..10_240 {
            let now = round * 1000;
            if spin.looks_on(at(now), true) {
                looks += 1;
                assert!(!spin.looks_on(at(now + 60), false));
            }
        }
        assert!((10..=20).contains(&looks), "{looks}");
        let mut now = 20_000_000;
        while !spin.looks_on(at(now), true) {
            now += 10;
        }
        for _ in 0..100 {
            now += 10;
            assert!(spin.looks_on(at(now), true));
        }
    }

    #[test]
    fn without_a_limit_it_never_looks() {
        let mut spin = Spin::new(Duration::ZERO);
        assert!(!spin.looks_on(at(0), true));
        assert!(!spin.looks_on(at(0), false));
    }
}
