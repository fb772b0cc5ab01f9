//! Chance, all of it from one number. A die is thrown for one question ("the delay of message 7 of
//! peer 3") and owes nothing to the dice before it: when a script loses a piece, everything else
//! falls as it did.

/// A stream of numbers (SplitMix64), small and good enough for scripts.
#[derive(Clone, Debug)]
pub(crate) struct Dice(u64);

impl Dice {
    /// The dice for one question, named by numbers.
    pub(crate) fn of(seed: u64, question: &[u64]) -> Self {
        let mut state = seed;
        for part in question {
            state = mix(state ^ part.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        }
        Self(mix(state))
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }

    /// Below `n`, which is not zero.
    pub(crate) fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }

    /// From `low` to `high`, both included.
    pub(crate) fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.below(high - low + 1)
    }

    /// True so often in a hundred times.
    pub(crate) fn percent(&mut self, chance: u64) -> bool {
        self.below(100) < chance
    }

    pub(crate) fn pick<'a, T>(&mut self, among: &'a [T]) -> &'a T {
        &among[self.below(among.len() as u64) as usize]
    }
}

fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// What is asked of the dice; keeps questions apart that have the same numbers.
pub(crate) mod about {
    pub(crate) const PLAN: u64 = 1;
    pub(crate) const DELAY: u64 = 2;
    pub(crate) const BACKOFF: u64 = 3;
    pub(crate) const WORK: u64 = 4;
    pub(crate) const CANCELLED: u64 = 5;
    pub(crate) const END: u64 = 6;
    pub(crate) const CREDIT: u64 = 7;
}
