//! Connections whose handshake is not done. A crowd of half-open ones must not keep good ones
//! out, so when it is too large the oldest goes.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

/// Pending handshakes, in the order in which they came.
#[derive(Debug)]
pub struct Pending<T> {
    limit: usize,
    next: u64,
    by_age: BTreeMap<u64, (T, Option<IpAddr>)>,
    by_address: BTreeMap<IpAddr, BTreeSet<u64>>,
}

/// Names one pending handshake.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Ticket(u64);

impl<T> Pending<T> {
    /// Nothing pending, and at most `limit` at a time from now on.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self {
            limit,
            next: 0,
            by_age: BTreeMap::new(),
            by_address: BTreeMap::new(),
        }
    }

    /// Takes a connection on. If there are too many then, also tells which one has to go: of an
    /// address that holds more than an eighth while others wait, its own oldest; else the oldest
    /// of all.
    pub fn add(&mut self, peer: T, address: Option<IpAddr>) -> (Ticket, Option<T>) {
        let ticket = self.next;
        self.next += 1;
        let victim = self.victim(address);
        let evicted = victim.and_then(|victim| self.remove(Ticket(victim)));
        self.by_age.insert(ticket, (peer, address));
        if let Some(address) = address {
            self.by_address.entry(address).or_default().insert(ticket);
        }
        (Ticket(ticket), evicted)
    }

    /// At most `limit` from now on. Tells who has to go for it, the oldest first.
    pub fn limit(&mut self, limit: usize) -> Vec<T> {
        self.limit = limit;
        let many = self.by_age.len().saturating_sub(limit);
        let oldest: Vec<u64> = self.by_age.keys().take(many).copied().collect();
        oldest
            .into_iter()
            .filter_map(|ticket| self.remove(Ticket(ticket)))
            .collect()
    }

    fn victim(&self, address: Option<IpAddr>) -> Option<u64> {
        let own = address.and_then(|address| self.by_address.get(&address));
        if let Some(own) = own
            && own.len() >= (self.limit / 8).max(1)
            && own.len() < self.by_age.len()
        {
            return own.first().copied();
        }
        let full = self.by_age.len() >= self.limit;
        full.then(|| self.by_age.keys().next().copied()).flatten()
    }

    /// A handshake is done, or its connection gone.
    pub fn remove(&mut self, Ticket(ticket): Ticket) -> Option<T> {
        let (peer, address) = self.by_age.remove(&ticket)?;
        if let Some(address) = address
            && let Some(own) = self.by_address.get_mut(&address)
        {
            own.remove(&ticket);
            if own.is_empty() {
                self.by_address.remove(&address);
            }
        }
        Some(peer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(last: u8) -> Option<IpAddr> {
        Some(IpAddr::from([10, 0, 0, last]))
    }

    #[test]
    fn the_oldest_goes_when_all_places_are_taken() {
        let mut pending = Pending::new(3);
        for place in 0..3 {
            assert_eq!(pending.add(place, None).1, None);
        }
        assert_eq!(pending.add(3, None).1, Some(0));
        assert_eq!(pending.add(4, None).1, Some(1));
    }

    #[test]
    fn one_address_holds_an_eighth_while_others_wait() {
        let mut pending = Pending::new(16);
        for place in 0..8 {
            assert_eq!(
                pending.add(place, address(1)).1,
                None,
                "alone it may hold more"
            );
        }
        assert_eq!(pending.add(8, address(2)).1, None);
        assert_eq!(pending.add(9, address(1)).1, Some(0), "its own oldest");
        assert_eq!(pending.add(10, address(2)).1, None);
    }

    #[test]
    fn another_limit_holds_at_once() {
        let mut pending = Pending::new(4);
        for place in 0..4 {
            pending.add(place, address(1));
        }
        assert_eq!(pending.limit(2), [0, 1]);
        assert_eq!(pending.add(4, None).1, Some(2));
        assert_eq!(pending.limit(3), [0; 0]);
        assert_eq!(pending.add(5, None).1, None);
        assert_eq!(pending.add(6, None).1, Some(3));
    }

    #[test]
    fn a_finished_handshake_makes_room() {
        let mut pending = Pending::new(2);
        let (first, _) = pending.add(0, address(1));
        pending.add(1, address(2));
        assert_eq!(pending.remove(first), Some(0));
        assert_eq!(pending.remove(first), None);
        assert_eq!(pending.add(2, address(3)).1, None);
    }
}
