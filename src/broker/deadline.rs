//! Deadlines by the hundred thousand: a wheel of wheels, each 64 times as coarse as the one
//! below. Setting and clearing one costs the same however many there are.
//!
//! The unit is a millisecond, rounded up: a deadline never comes early.

use crate::chain::{Chain, Chains};
use crate::table::Table;
use crate::time::Time;

/// Names a deadline that is set.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Handle(u32);

/// Deadlines, each with what is due then.
#[derive(Debug)]
pub(super) struct Deadlines<T> {
    /// Everything up to and including this tick has come due.
    now: u64,
    entries: Table<Entry<T>>,
    chains: Chains,
    levels: [Level; LEVELS],
    due: Chain,
}

#[derive(Debug)]
struct Entry<T> {
    tick: u64,
    what: T,
    place: Place,
}

#[derive(Clone, Copy, Debug)]
enum Place {
    Due,
    Slot { level: usize, slot: usize },
}

#[derive(Clone, Copy, Debug)]
struct Level {
    slots: [Chain; SLOTS],
    /// One bit per slot that is not empty.
    used: u64,
}

impl<T> Default for Deadlines<T> {
    fn default() -> Self {
        let level = Level {
            slots: [Chain::default(); SLOTS],
            used: 0,
        };
        Self {
            now: 0,
            entries: Table::default(),
            chains: Chains::default(),
            levels: [level; LEVELS],
            due: Chain::default(),
        }
    }
}

impl<T: Copy> Deadlines<T> {
    /// Sets a deadline.
    pub(super) fn set(&mut self, at: Time, what: T) -> Handle {
        let tick = at.as_micros().div_ceil(TICK).min(LAST_TICK);
        let handle = self.entries.insert(Entry {
            tick,
            what,
            place: Place::Due,
        });
        self.file(handle, tick);
        Handle(handle)
    }

    /// Clears one that has not been told as due.
    pub(super) fn clear(&mut self, Handle(handle): Handle) {
        let Some(entry) = self.entries.remove(handle) else {
            return;
        };
        match entry.place {
            Place::Due => self.chains.remove(&mut self.due, handle),
            Place::Slot { level, slot } => {
                if let Some(level) = self.levels.get_mut(level)
                    && let Some(chain) = level.slots.get_mut(slot)
                {
                    self.chains.remove(chain, handle);
                    if chain.is_empty() {
                        level.used &= !(1 << slot);
                    }
                }
            }
        }
    }

    /// A time not after the earliest deadline, and after all that is past.
    pub(super) fn next(&self) -> Option<Time> {
        if !self.due.is_empty() {
            return Some(Time::from_micros(self.now * TICK));
        }
        let (_, _, tick) = self.next_slot()?;
        Some(Time::from_micros(tick * TICK))
    }

    /// One deadline that has come, and no longer is set; those of an earlier tick come first.
    pub(super) fn pop(&mut self, now: Time) -> Option<T> {
        let now = now.as_micros() / TICK;
        loop {
            if let Some(handle) = self.chains.pop_front(&mut self.due) {
                return self.entries.remove(handle).map(|entry| entry.what);
            }
            match self.next_slot() {
                Some((level, slot, tick)) if tick <= now => {
                    self.now = tick;
                    self.spill(level, slot);
                }
                _ => {
                    self.now = self.now.max(now);
                    return None;
                }
            }
        }
    }

    /// Files a slot's entries anew: they have come due, or belong to a finer level now.
    fn spill(&mut self, level: usize, slot: usize) {
        let Some(level) = self.levels.get_mut(level) else {
            return;
        };
        level.used &= !(1 << slot);
        let mut chain = level
            .slots
            .get_mut(slot)
            .map(std::mem::take)
            .unwrap_or_default();
        while let Some(handle) = self.chains.pop_front(&mut chain) {
            if let Some(tick) = self.entries.get(handle).map(|entry| entry.tick) {
                self.file(handle, tick);
            }
        }
    }

    fn file(&mut self, handle: u32, tick: u64) {
        let place = if tick <= self.now {
            Place::Due
        } else {
            place_of(self.now, tick)
        };
        if let Some(entry) = self.entries.get_mut(handle) {
            entry.place = place;
        }
        match place {
            Place::Due => self.chains.push_back(&mut self.due, handle),
            Place::Slot { level, slot } => {
                if let Some(level) = self.levels.get_mut(level)
                    && let Some(chain) = level.slots.get_mut(slot)
                {
                    self.chains.push_back(chain, handle);
                    level.used |= 1 << slot;
                }
            }
        }
    }

    /// The next slot that is not empty, and the tick at which it begins. Finer levels come first:
    /// what they hold lies before anything in the coarser ones.
    fn next_slot(&self) -> Option<(usize, usize, u64)> {
        self.levels
            .iter()
            .enumerate()
            .find(|(_, level)| level.used != 0)
            .map(|(depth, level)| {
                let shift = BITS * depth;
                let here = (self.now >> shift) & SLOT_MASK;
                let ahead = u64::from(level.used.rotate_right(here as u32 & 63).trailing_zeros());
                let slot = (here + ahead) & SLOT_MASK;
                let turn = (self.now >> shift) & !SLOT_MASK;
                let tick = (turn | slot) << shift;
                (depth, slot as usize, tick.max(self.now))
            })
    }
}

/// The level whose slots tell `tick` from `now`: that of the highest bit in which they differ.
fn place_of(now: u64, tick: u64) -> Place {
    let differ = (now ^ tick) | SLOT_MASK;
    let highest = (u64::BITS - 1 - differ.leading_zeros()) as usize;
    let depth = (highest / BITS).min(LEVELS - 1);
    let slot = (tick >> (BITS * depth)) & SLOT_MASK;
    Place::Slot {
        level: depth,
        slot: slot as usize,
    }
}

/// Microseconds in a tick.
const TICK: u64 = 1000;
const BITS: usize = 6;
const SLOTS: usize = 1 << BITS;
const SLOT_MASK: u64 = SLOTS as u64 - 1;
const LEVELS: usize = 7;
/// 2^42 ms are 139 years; what is later never comes.
const LAST_TICK: u64 = (1 << 42) - 1;

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    #[derive(Clone, Debug)]
    enum Step {
        Set(u64),
        Clear(usize),
        Go(u64),
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        // Spans of every magnitude, so that every level is used.
        let span = (0..36u32, any::<u64>()).prop_map(|(bits, n)| n & ((1 << bits) - 1));
        let step = prop_oneof![
            4 => span.clone().prop_map(Step::Set),
            1 => (0..20usize).prop_map(Step::Clear),
            3 => span.prop_map(Step::Go),
        ];
        proptest::collection::vec(step, 0..80)
    }

    proptest! {
        #[test]
        fn every_deadline_comes_once_in_its_time(steps in steps()) {
            let mut wheel = Deadlines::default();
            let mut model = BTreeMap::new();
            let mut now = 0;
            for (key, step) in steps.into_iter().enumerate() {
                match step {
                    Step::Set(span) => {
                        let at = Time::from_micros(now + span);
                        model.insert(key, (at, wheel.set(at, key)));
                    }
                    Step::Clear(n) => {
                        if let Some(key) = model.keys().nth(n).copied() {
                            let (_, handle) = model.remove(&key).unwrap();
                            wheel.clear(handle);
                        }
                    }
                    Step::Go(span) => {
                        now += span;
                        while let Some(key) = wheel.pop(Time::from_micros(now)) {
                            let (at, _) = model.remove(&key).unwrap();
                            prop_assert!(at <= Time::from_micros(now), "early");
                        }
                        let next = wheel.next();
                        for (at, _) in model.values() {
                            prop_assert!(at.as_micros().div_ceil(TICK) > now / TICK, "late");
                            prop_assert!(next.unwrap().as_micros() <= at.as_micros().div_ceil(TICK) * TICK);
                        }
                        prop_assert_eq!(next.is_none(), model.is_empty());
                        if let Some(next) = next {
                            prop_assert!(next > Time::from_micros(now), "a deadline that is past");
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn time_may_jump_from_deadline_to_deadline() {
        let mut wheel = Deadlines::default();
        for at in [5, 70, 5_000, 400_000, 30_000_000] {
            wheel.set(Time::from_millis(at), at);
        }
        let mut came = Vec::new();
        while let Some(next) = wheel.next() {
            while let Some(at) = wheel.pop(next) {
                assert_eq!(next, Time::from_millis(at));
                came.push(at);
            }
        }
        assert_eq!(came, [5, 70, 5_000, 400_000, 30_000_000]);
    }
}
