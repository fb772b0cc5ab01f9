//! What goes out to the other shards: collected during a turn, handed over at its end. How much is
//! under way to each of them is known by marks, and bounded: beyond that connections are held back
//! whose words would add to it.

use std::collections::BTreeSet;

use super::Letter;
use crate::broker::PeerId;

/// Letters to one other shard.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    letters: Vec<Letter>,
    /// What was posted and may not have been read.
    under_way: usize,
    /// A mark is under way.
    marked: bool,
    /// Connections that are held back until there is room.
    pub(super) waiting: BTreeSet<PeerId>,
}

impl Outbox {
    pub(super) fn put(&mut self, letter: Letter) {
        self.under_way += letter.weight();
        self.letters.push(letter);
    }

    /// What is to be handed over now. A mark follows as soon as a good part of the room is used.
    pub(super) fn take(&mut self, most: usize) -> Vec<Letter> {
        if self.wants_mark(most) {
            self.marked = true;
            self.letters.push(Letter::Mark {
                weight: self.under_way,
            });
        }
        std::mem::take(&mut self.letters)
    }

    /// All up to a mark has been read.
    pub(super) fn read(&mut self, weight: usize) {
        self.under_way = self.under_way.saturating_sub(weight);
        self.marked = false;
    }

    pub(super) fn under_way(&self) -> usize {
        self.under_way
    }

    /// Whether a mark must follow though nothing else does.
    pub(super) fn wants_mark(&self, most: usize) -> bool {
        !self.marked && self.under_way > most / 2
    }

    pub(super) fn is_empty(&self) -> bool {
        self.letters.is_empty()
    }
}
