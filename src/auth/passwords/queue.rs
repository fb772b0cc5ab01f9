//! Who may wait for a check: few in total, and fewer from one address.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError};

/// Counts those who wait or are checked.
#[derive(Debug)]
pub(super) struct Queue {
    total: usize,
    per_address: usize,
    counts: Mutex<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    all: usize,
    /// `None` for those without an address.
    by_address: BTreeMap<Option<IpAddr>, usize>,
}

/// A place in the queue, free again when it is dropped.
#[derive(Debug)]
pub(super) struct Place {
    queue: Arc<Queue>,
    address: Option<IpAddr>,
}

impl Queue {
    pub(super) fn new(total: usize, per_address: usize) -> Arc<Self> {
        Arc::new(Self {
            total,
            per_address,
            counts: Mutex::default(),
        })
    }

    /// A place, or `None` if the queue is full for this address or altogether. Peers without an
    /// address share one. Of IPv6 the upper half counts: the lower one costs nothing.
    pub(super) fn enter(self: &Arc<Self>, address: Option<IpAddr>) -> Option<Place> {
        let address = address.map(|address| match address.to_canonical() {
            IpAddr::V6(address) => {
                let network = address.to_bits() >> 64 << 64;
                IpAddr::V6(Ipv6Addr::from_bits(network))
            }
            v4 @ IpAddr::V4(_) => v4,
        });
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let from_there = counts.by_address.get(&address).copied().unwrap_or(0);
        if counts.all >= self.total || from_there >= self.per_address {
            return None;
        }
        counts.all += 1;
        counts.by_address.insert(address, from_there + 1);
        drop(counts);
        Some(Place {
            queue: Arc::clone(self),
            address,
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let counts = self.queue.counts.lock();
        let mut counts = counts.unwrap_or_else(PoisonError::into_inner);
        counts.all = counts.all.saturating_sub(1);
        match counts.by_address.get_mut(&self.address) {
            Some(from_there) if *from_there > 1 => *from_there -= 1,
            _ => {
                counts.by_address.remove(&self.address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> Option<IpAddr> {
        Some(text.parse().unwrap())
    }

    #[test]
    fn places_are_counted_by_address_and_in_total() {
        let queue = Queue::new(5, 2);
        let enter = |text: &str| queue.enter(address(text));
        let mut held = vec![
            enter("127.0.0.1").unwrap(),
            enter("::ffff:127.0.0.1").unwrap(),
        ];
        assert!(enter("127.0.0.1").is_none());
        held.push(enter("127.0.0.2").unwrap());
        held.push(enter("2001:db8::1").unwrap());
        held.push(enter("2001:db8::ffff:1").unwrap());
        assert!(enter("10.0.0.1").is_none(), "six in all");
        held.pop();
        assert!(enter("10.0.0.1").is_some(), "and free again");
        held.push(enter("2001:db8::2").unwrap());
        held.remove(0);
        assert!(enter("2001:db8::3").is_none());
        assert!(enter("2001:db8:0:1::3").is_some());
        assert!(enter("127.0.0.1").is_some());
        held.clear();
        let counts = queue.counts.lock().unwrap();
        assert!(
            counts.all == 0 && counts.by_address.is_empty(),
            "{counts:?}"
        );
    }

    #[test]
    fn those_without_an_address_share_one() {
        let queue = Queue::new(5, 2);
        let _held = [queue.enter(None).unwrap(), queue.enter(None).unwrap()];
        assert!(queue.enter(None).is_none());
        assert!(queue.enter(address("10.0.0.1")).is_some());
    }
}
