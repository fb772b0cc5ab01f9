//! The capacity of a worker that several shards have services for, in slots: each is lent to one
//! shard, or to none. What is lent is never more than the worker has stated, unless it has stated
//! less since: then all is called back, and nothing is lent before it fits.
//!
//! A slot comes back only when the shard that has it says so, which it does when no task is in it.
//! Who is hungry (tasks wait there, and no slot is free) gets what is free, in turns; what others
//! have more of than they need is called back for it.

use super::{Shard, Shards};

/// What is to be told to a shard.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Move {
    /// It has so many slots more.
    Lend(Shard, u16),
    /// It is to give so many back, when they are free.
    Recall(Shard, u16),
}

/// The slots of one worker.
#[derive(Debug)]
pub(super) struct Slots {
    total: usize,
    /// Shards with services of the worker.
    homes: Shards,
    lent: Vec<u16>,
    /// Of these, called back.
    called: Vec<u16>,
    hungry: Shards,
    /// Who was lent one last.
    last: Shard,
}

impl Slots {
    /// For so many shards; `lent` are what one of them has already.
    pub(super) fn new(shards: usize, holder: Shard, lent: u16) -> Self {
        let mut slots = Self {
            total: 0,
            homes: Shards::default(),
            lent: vec![0; shards],
            called: vec![0; shards],
            hungry: Shards::default(),
            last: shards - 1,
        };
        if let Some(place) = slots.lent.get_mut(holder) {
            *place = lent;
        }
        slots
    }

    /// What the worker states now.
    pub(super) fn state(&mut self, total: u16, homes: Shards) {
        (self.total, self.homes) = (usize::from(total), homes);
    }

    pub(super) fn total(&self) -> usize {
        self.total
    }

    pub(super) fn homes(&self) -> Shards {
        self.homes
    }

    /// A shard has tasks for the worker and no slot free, or no longer.
    pub(super) fn hunger(&mut self, shard: Shard, on: bool) {
        self.hungry.set(shard, on);
    }

    /// A shard gives slots back.
    pub(super) fn give_back(&mut self, shard: Shard, count: u16) {
        for side in [&mut self.lent, &mut self.called] {
            if let Some(slots) = side.get_mut(shard) {
                *slots = slots.saturating_sub(count);
            }
        }
    }

    /// All that is to be told now.
    pub(super) fn deal(&mut self) -> Vec<Move> {
        let mut moves = Vec::new();
        let lent: usize = self.lent.iter().copied().map(usize::from).sum();
        let mut free = self.total.saturating_sub(lent);
        while free > 0
            && let Some(shard) = self.next()
        {
            // The more there are the more go at once: a worker may state 65,535 again and again.
            let some = (free / (PORTIONS * self.homes.count())).max(1);
            free -= some;
            self.last = shard;
            // It is no more than what was stated, which is a u16.
            let some = u16::try_from(some).unwrap_or(u16::MAX);
            change(&mut self.lent, shard, some, &mut moves, Move::Lend);
        }
        for shard in 0..self.lent.len() {
            if lent > self.total || !self.homes.contains(shard) {
                let all = self.has(shard);
                change(&mut self.called, shard, all, &mut moves, Move::Recall);
            }
        }
        self.call_for_the_hungry(&mut moves);
        moves
    }

    /// Who gets the next free slot: of the hungry, or else of all, those with the fewest; of these
    /// the first behind who had the last one.
    fn next(&self) -> Option<Shard> {
        let count = self.lent.len();
        let eligible = match self.hungry.and(self.homes) {
            none if none.is_empty() => self.homes,
            hungry => hungry,
        };
        let behind = |shard: Shard| (shard + count - self.last - 1) % count;
        eligible
            .iter()
            .min_by_key(|shard| (self.has(*shard), behind(*shard)))
    }

    fn call_for_the_hungry(&mut self, moves: &mut Vec<Move>) {
        let hungry = self.hungry.and(self.homes);
        for poor in hungry.iter() {
            for rich in 0..self.lent.len() {
                let asked = self.called.get(rich).is_some_and(|called| *called > 0);
                let spare = self.has(rich);
                if rich == poor || asked || spare == 0 {
                    continue;
                }
                // Who needs them too gives only from more, or its only ones in turn.
                let starving = self.has(poor) == 0 && self.called.iter().all(|c| *c == 0);
                if !hungry.contains(rich) || spare > self.has(poor) + 1 || starving {
                    change(&mut self.called, rich, 1, moves, Move::Recall);
                }
            }
        }
    }

    /// What a shard has, and may keep.
    fn has(&self, shard: Shard) -> u16 {
        let at = |side: &[u16]| side.get(shard).copied().unwrap_or(0);
        at(&self.lent).saturating_sub(at(&self.called))
    }
}

/// So many slots more on a side, and said so: once for each shard.
fn change(
    side: &mut [u16],
    shard: Shard,
    more: u16,
    moves: &mut Vec<Move>,
    word: fn(Shard, u16) -> Move,
) {
    let Some(slots) = side.get_mut(shard).filter(|_| more > 0) else {
        return;
    };
    *slots += more;
    match moves.iter_mut().find(|one| same(**one, word(shard, 0))) {
        Some(Move::Lend(_, count) | Move::Recall(_, count)) => *count += more,
        None => moves.push(word(shard, more)),
    }
}

fn same(one: Move, other: Move) -> bool {
    match (one, other) {
        (Move::Lend(a, _), Move::Lend(b, _)) | (Move::Recall(a, _), Move::Recall(b, _)) => a == b,
        _ => false,
    }
}

/// The other side of it: what one shard has of a worker's slots.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Stake {
    slots: u16,
    called: u16,
    hungry: bool,
}

/// What the shard that holds a stake has to say.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Word {
    pub(super) returned: u16,
    pub(super) hungry: Option<bool>,
}

impl Stake {
    pub(super) fn of(slots: u16) -> Self {
        Self {
            slots,
            ..Self::default()
        }
    }

    pub(super) fn lend(&mut self, count: u16) {
        self.slots = self.slots.saturating_add(count);
    }

    pub(super) fn recall(&mut self, count: u16) {
        self.called = self.called.saturating_add(count);
    }

    /// So many tasks the worker may have here.
    pub(super) fn capacity(&self) -> u16 {
        self.slots.saturating_sub(self.called)
    }

    /// With so many tasks in them: what is free goes back where it is called for. `hungry` tells
    /// whether a task waits for one more.
    pub(super) fn look(&mut self, load: usize, hungry: bool) -> Word {
        let load = u16::try_from(load).unwrap_or(u16::MAX);
        let returned = self.called.min(self.slots.saturating_sub(load));
        self.slots -= returned;
        self.called -= returned;
        let changed = hungry != self.hungry;
        self.hungry = hungry;
        Word {
            returned,
            hungry: changed.then_some(hungry),
        }
    }
}

/// What is free goes in portions of this part of everybody's share, down to one slot.
const PORTIONS: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;

    fn slots(total: u16, homes: &[Shard], shards: usize) -> Slots {
        let mut slots = Slots::new(shards, 0, 0);
        let mut at = Shards::default();
        homes.iter().for_each(|home| at.set(*home, true));
        slots.state(total, at);
        slots
    }

    #[test]
    fn what_is_free_is_lent_evenly_to_where_the_services_are() {
        let mut slots = slots(5, &[1, 2], 4);
        slots.deal();
        assert_eq!(slots.lent, [0, 3, 2, 0]);
        assert_eq!(slots.deal(), []);
    }

    #[test]
    fn many_slots_are_lent_evenly_too_and_in_one_word_each() {
        let mut slots = slots(u16::MAX, &[0, 1, 2], 4);
        let moves = slots.deal();
        assert_eq!(moves.len(), 3, "{moves:?}");
        assert_eq!(slots.lent, [21_845, 21_845, 21_845, 0]);
        slots.state(0, slots.homes);
        assert_eq!(slots.deal().len(), 3);
    }

    #[test]
    fn one_slot_alternates_between_two_that_are_hungry() {
        let mut slots = slots(1, &[0, 1], 2);
        assert_eq!(slots.deal(), [Move::Lend(0, 1)]);
        slots.hunger(0, true);
        assert_eq!(slots.deal(), []);
        slots.hunger(1, true);
        assert_eq!(slots.deal(), [Move::Recall(0, 1)]);
        for turn in 0..10 {
            let (from, to) = (turn % 2, (turn + 1) % 2);
            slots.give_back(from, 1);
            // It is called back at once, for the other one waits.
            assert_eq!(slots.deal(), [Move::Lend(to, 1), Move::Recall(to, 1)]);
        }
    }

    #[test]
    fn nothing_is_lent_twice_and_less_is_called_back() {
        let mut slots = slots(4, &[0, 1], 2);
        slots.deal();
        slots.state(1, slots.homes);
        assert_eq!(slots.deal(), [Move::Recall(0, 2), Move::Recall(1, 2)]);
        slots.give_back(1, 2);
        assert_eq!(slots.deal(), [], "two are still lent");
        slots.give_back(0, 1);
        assert_eq!(slots.deal(), [], "one, which is in use");
        slots.give_back(0, 1);
        assert_eq!(slots.deal().len(), 1);
    }

    #[test]
    fn who_has_no_service_of_it_any_more_gives_all_back() {
        let mut slots = slots(4, &[0, 1], 2);
        slots.deal();
        slots.state(4, Shards::one(0));
        assert_eq!(slots.deal(), [Move::Recall(1, 2)]);
        slots.give_back(1, 2);
        assert_eq!(slots.deal(), [Move::Lend(0, 2)]);
    }

    #[test]
    fn a_slot_goes_back_only_when_no_task_is_in_it() {
        let mut stake = Stake::of(2);
        stake.recall(1);
        assert_eq!(stake.capacity(), 1);
        assert_eq!(stake.look(2, true).returned, 0);
        let word = stake.look(1, true);
        assert_eq!((word.returned, word.hungry), (1, None));
        assert_eq!(stake.capacity(), 1);
        assert_eq!(stake.look(1, false).hungry, Some(false));
    }

    #[test]
    fn two_that_are_hungry_with_enough_leave_each_other_alone() {
        let mut slots = slots(4, &[0, 1], 2);
        slots.deal();
        slots.hunger(0, true);
        slots.hunger(1, true);
        assert_eq!(slots.deal(), []);
    }
}
