//! Rate and latency of many calls.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use scale0::net::Clock;
use scale0::sdk::{CallError, Reply};
use scale0::time::Time;

use crate::exit::Outcome;

/// What is learned from calls as they end.
#[derive(Debug)]
pub(crate) struct Measure {
    clock: Clock,
    /// Latencies of good answers in microseconds, counted in classes 1.6 % wide.
    classes: BTreeMap<u32, u64>,
    good: u64,
    longest: Duration,
    failures: BTreeMap<String, u64>,
    first: Option<CallError>,
}

impl Measure {
    pub(crate) fn begin() -> Self {
        Self {
            clock: Clock::start(),
            classes: BTreeMap::new(),
            good: 0,
            longest: Duration::ZERO,
            failures: BTreeMap::new(),
            first: None,
        }
    }

    pub(crate) fn now(&self) -> Time {
        self.clock.now()
    }

    /// A call that began then has ended so.
    pub(crate) fn add(&mut self, began: Time, answer: &Result<Reply, CallError>) {
        match answer {
            Ok(_) => {
                let latency = self.clock.now().since(began);
                *self.classes.entry(class(latency)).or_default() += 1;
                self.good += 1;
                self.longest = self.longest.max(latency);
            }
            Err(error) => {
                *self.failures.entry(error.to_string()).or_default() += 1;
                self.first.get_or_insert_with(|| error.clone());
            }
        }
    }

    /// The latency that `percent` of the good answers did not exceed.
    pub(crate) fn percentile(&self, percent: f64) -> Duration {
        let wanted = self.good as f64 * percent / 100.0;
        let mut seen = 0;
        for (class, count) in &self.classes {
            seen += count;
            if seen as f64 >= wanted {
                return upper_end(*class).min(self.longest);
            }
        }
        self.longest
    }

    /// Good if every call was.
    pub(crate) fn outcome(&self) -> Outcome {
        match &self.first {
            None => Ok(()),
            Some(error) => Err(error.clone().into()),
        }
    }
}

impl fmt::Display for Measure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let took = self.now().since(Time::ZERO).as_secs_f64();
        let failed: u64 = self.failures.values().sum();
        write!(
            f,
            "{} calls in {took:.2} s: {:.0} per second, {failed} failed",
            self.good + failed,
            self.good as f64 / took
        )?;
        if self.good > 0 {
            write!(f, "\nlatency")?;
            for percent in [50.0, 90.0, 99.0, 99.9] {
                write!(f, "  p{percent} {}", short(self.percentile(percent)))?;
            }
            write!(f, "  max {}", short(self.longest))?;
        }
        for (text, count) in &self.failures {
            write!(f, "\n{count} times: {text}")?;
        }
        Ok(())
    }
}

fn short(span: Duration) -> String {
    let micros = span.as_micros();
    if micros < 10_000 {
        format!("{micros} µs")
    } else {
        format!("{:.1} ms", micros as f64 / 1000.0)
    }
}

/// The class of a latency: below 128 µs each microsecond is one, above each power of two has 64.
fn class(latency: Duration) -> u32 {
    let micros = u32::try_from(latency.as_micros()).unwrap_or(u32::MAX);
    let shift = (u32::BITS - micros.leading_zeros()).saturating_sub(7);
    (shift << 6) + (micros >> shift)
}

/// The longest latency of a class.
fn upper_end(class: u32) -> Duration {
    let shift = (class >> 6).saturating_sub(1);
    let lead = u64::from(class - (shift << 6));
    Duration::from_micros(((lead + 1) << shift) - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_are_narrow_and_in_order() {
        let mut before = 0;
        for micros in (0..2000).chain((2000..40_000_000).step_by(997)) {
            let class = class(Duration::from_micros(micros));
            assert!(class >= before);
            before = class;
            let end = u64::try_from(upper_end(class).as_micros()).unwrap();
            assert!(
                end >= micros && end <= micros + micros / 60 + 1,
                "{micros} {end}"
            );
        }
    }

    #[test]
    fn percentiles_are_those_of_the_calls() {
        let mut measure = Measure::begin();
        for micros in 1..=100 {
            *measure
                .classes
                .entry(class(Duration::from_micros(micros)))
                .or_default() += 1;
            measure.good += 1;
            measure.longest = Duration::from_micros(micros);
        }
        assert_eq!(measure.percentile(50.0), Duration::from_micros(50));
        assert_eq!(measure.percentile(99.0), Duration::from_micros(99));
        assert_eq!(measure.percentile(99.9), Duration::from_micros(100));
    }
}
