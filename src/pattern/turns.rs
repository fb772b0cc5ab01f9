//! Taking turns: who is served next, out of those that can be (RFC 28 and 30, "round-robin" and
//! "fair-queuing").

use crate::chain::{Chain, Chains};

/// Peers in a ring; each is in it once at most. All operations take constant time.
#[derive(Debug, Default)]
pub struct Turns {
    chains: Chains,
    line: Chain,
    inside: Vec<bool>,
}

impl Turns {
    /// Puts a peer at the end of the line, if it does not stand in it already.
    pub fn add(&mut self, peer: u32) {
        let index = peer as usize;
        if index >= self.inside.len() {
            self.inside.resize(index + 1, false);
        }
        if let Some(inside) = self.inside.get_mut(index)
            && !std::mem::replace(inside, true)
        {
            self.chains.push_back(&mut self.line, peer);
        }
    }

    /// Takes a peer out of the line; true if it stood in it.
    pub fn remove(&mut self, peer: u32) -> bool {
        let inside = self.inside.get_mut(peer as usize);
        let was = inside.is_some_and(std::mem::take);
        if was {
            self.chains.remove(&mut self.line, peer);
        }
        was
    }

    /// Whose turn it is; stays the same until [`pass`](Self::pass).
    #[must_use]
    pub fn front(&self) -> Option<u32> {
        self.line.first()
    }

    /// The front has had its turn and goes to the end.
    pub fn pass(&mut self) {
        if self.line.len() > 1
            && let Some(front) = self.chains.pop_front(&mut self.line)
        {
            self.chains.push_back(&mut self.line, front);
        }
    }

    /// Whether a peer stands in the line.
    #[must_use]
    pub fn contains(&self, peer: u32) -> bool {
        self.inside.get(peer as usize).copied().unwrap_or(false)
    }

    /// Whether nobody does.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.line.is_empty()
    }

    /// All in the line, the next one first.
    pub fn iter(&self) -> impl Iterator<Item = u32> {
        self.chains.iter(&self.line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everyone_has_a_turn_before_anyone_has_two() {
        let mut turns = Turns::default();
        for peer in [4, 2, 9] {
            turns.add(peer);
            turns.add(peer);
        }
        let mut served = Vec::new();
        for _ in 0..6 {
            served.extend(turns.front());
            turns.pass();
        }
        assert_eq!(served, [4, 2, 9, 4, 2, 9]);
    }

    #[test]
    fn who_leaves_is_passed_over_and_comes_back_at_the_end() {
        let mut turns = Turns::default();
        [1, 2, 3].into_iter().for_each(|peer| turns.add(peer));
        assert!(turns.remove(2));
        assert!(!turns.remove(2));
        assert_eq!(turns.iter().collect::<Vec<_>>(), [1, 3]);
        turns.add(2);
        assert_eq!(turns.iter().collect::<Vec<_>>(), [1, 3, 2]);
        assert!([1, 2, 3].into_iter().all(|peer| turns.remove(peer)));
        assert_eq!(turns.front(), None);
    }
}
