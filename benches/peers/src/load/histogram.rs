//! Latencies, counted in steps of three percent.

/// Nanoseconds: one counter for each up to 64, then 32 for each power of two.
pub struct Histogram {
    counts: Vec<u64>,
}

const STEPS: u64 = 32;

impl Default for Histogram {
    fn default() -> Self {
        Self {
            counts: vec![0; place(u64::MAX) + 1],
        }
    }
}

impl Histogram {
    pub fn add(&mut self, nanos: u64) {
        self.counts[place(nanos)] += 1;
    }

    /// Nanoseconds within which this share of all was.
    pub fn at(&self, share: f64) -> f64 {
        let all: u64 = self.counts.iter().sum();
        let wanted = (all as f64 * share).ceil().max(1.0);
        let mut sum = 0.0;
        for (place, count) in self.counts.iter().enumerate() {
            sum += *count as f64;
            if sum >= wanted {
                return middle(place);
            }
        }
        0.0
    }
}

fn place(nanos: u64) -> usize {
    let place = match nanos.checked_ilog2() {
        Some(power) if power > 5 => {
            let power = u64::from(power);
            (power - 4) * STEPS + ((nanos >> (power - 5)) & (STEPS - 1))
        }
        _ => nanos,
    };
    place as usize
}

/// A value in the middle of those that are counted at this place.
fn middle(place: usize) -> f64 {
    let (power, step) = (place as u64 / STEPS, place as u64 % STEPS);
    match power {
        0 | 1 => place as f64,
        _ => (STEPS as f64 + step as f64 + 0.5) * 2_f64.powf(power as f64 - 1.0),
    }
}

#[cfg(test)]
mod tests {
    use super::{Histogram, middle, place};

    #[test]
    fn a_value_is_found_again_within_three_percent() {
        for nanos in (0..63).map(|bit| 1_u64 << bit).flat_map(|n| [n, n + n / 3]) {
            let found = middle(place(nanos));
            assert!(
                (found / nanos as f64 - 1.0).abs() < 0.032,
                "{nanos} {found}"
            );
        }
    }

    #[test]
    fn places_are_without_gaps() {
        for nanos in 1..100_000_u64 {
            let step = place(nanos) - place(nanos - 1);
            assert!(step <= 1, "{nanos}");
        }
    }

    #[test]
    fn percentiles_are_those_of_a_sorted_list() {
        let mut histogram = Histogram::default();
        (1..=1000).for_each(|n| histogram.add(n * 1000));
        assert!((histogram.at(0.5) / 500_000.0 - 1.0).abs() < 0.032);
        assert!((histogram.at(0.99) / 990_000.0 - 1.0).abs() < 0.032);
        assert_eq!(Histogram::default().at(0.5), 0.0);
    }
}
