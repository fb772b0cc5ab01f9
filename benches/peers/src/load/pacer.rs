//! When the next question is due, whatever has been answered.

/// Evenly spaced times. A question that the generator is late with counts from when it was due.
pub struct Pacer {
    start: u64,
    gap: f64,
    asked: u64,
}

impl Pacer {
    /// So many per second, from now on.
    pub fn new(pace: u64, now: u64) -> Self {
        Self {
            start: now,
            gap: 1e9 / pace.max(1) as f64,
            asked: 0,
        }
    }

    /// When the next one was due, if that is not later than now.
    pub fn due(&self, now: u64) -> Option<u64> {
        let due = self.start + (self.asked as f64 * self.gap) as u64;
        (due <= now).then_some(due)
    }

    pub fn asked(&mut self) {
        self.asked += 1;
    }

    /// Whose turn it is, of so many.
    pub fn turn(&self, clients: usize) -> usize {
        (self.asked % clients.max(1) as u64) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::Pacer;

    #[test]
    fn who_is_late_asks_for_all_that_was_due() {
        let mut pacer = Pacer::new(1000, 5);
        let mut times = Vec::new();
        while let Some(due) = pacer.due(3_000_000) {
            times.push((due, pacer.turn(2)));
            pacer.asked();
        }
        assert_eq!(times, [(5, 0), (1_000_005, 1), (2_000_005, 0)]);
        assert_eq!(pacer.due(3_000_005), Some(3_000_005));
    }
}
