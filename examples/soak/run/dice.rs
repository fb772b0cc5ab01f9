//! Chance that can be had again: SplitMix64 (Steele, Lea and Flood, 2014).

use std::time::Duration;

#[derive(Debug)]
pub(super) struct Dice(u64);

impl Dice {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Others, for somebody else.
    pub(super) fn fork(&mut self) -> Self {
        Self(self.roll())
    }

    pub(super) fn below(&mut self, n: usize) -> usize {
        (self.roll() % n as u64) as usize
    }

    pub(super) fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    pub(super) fn span(&mut self, least: Duration, most: Duration) -> Duration {
        least + (most - least).mul_f64(self.below(1000) as f64 / 1000.0)
    }

    pub(super) fn of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.below(all.len())]
    }

    /// The size of a body: mostly small, 1 MiB at most.
    pub(super) fn size(&mut self) -> usize {
        match self.below(100) {
            0..10 => 0,
            10..60 => self.below(200),
            60..88 => self.below(8 << 10),
            88..99 => self.below(100 << 10),
            _ => self.below((1 << 20) + 1),
        }
    }
}
