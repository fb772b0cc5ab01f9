//! How much work strangers may cause: so many handshakes per address and second, for each of them
//! costs processor time before anything is known of the peer (CURVE: some 150 µs).

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use crate::time::Time;

/// What each address has used up. An IPv6 network of 64 bits counts as one address.
#[derive(Debug, Default)]
pub struct Allowance {
    /// When all that an address has caused will be paid off.
    paid: BTreeMap<IpAddr, Time>,
}

impl Allowance {
    /// Whether an address may cause a handshake now; if so, it counts.
    pub fn take(&mut self, now: Time, address: IpAddr) -> bool {
        if self.paid.len() >= MOST {
            self.paid.retain(|_, paid| *paid > now);
        }
        let address = network(address);
        let paid = self.paid.get(&address).map_or(now, |paid| (*paid).max(now));
        if paid > now + PRICE * BURST {
            return false;
        }
        if self.paid.len() < MOST || self.paid.contains_key(&address) {
            self.paid.insert(address, paid + PRICE);
        }
        true
    }
}

/// What counts as one address: IPv4's as they are, networks of 64 bits of IPv6.
#[must_use]
pub fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & u128::MAX << 64)),
        address @ IpAddr::V4(_) => address,
    }
}

/// 500 handshakes a second take less than a tenth of a processor.
const PRICE: Duration = Duration::from_millis(2);
/// So many at once: everybody behind one address comes back after a broker's restart.
const BURST: u32 = 2000;
/// Addresses that are remembered. Whoever has more of them is not stopped here, but by the bound
/// on pending handshakes.
const MOST: usize = 16 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn an_address_may_cause_a_burst_and_then_so_much_a_second() {
        let mut allowance = Allowance::default();
        let now = Time::ZERO + Duration::from_secs(1);
        let taken = |allowance: &mut Allowance, now, address| {
            (0..10_000)
                .take_while(|_| allowance.take(now, address))
                .count()
        };
        assert_eq!(taken(&mut allowance, now, address("127.0.0.1")), 2001);
        assert_eq!(taken(&mut allowance, now, address("127.0.0.1")), 0);
        assert_eq!(
            taken(&mut allowance, now, address("127.0.0.2")),
            2001,
            "each by itself"
        );
        let later = now + Duration::from_secs(1);
        assert_eq!(taken(&mut allowance, later, address("127.0.0.1")), 500);
    }

    #[test]
    fn a_network_of_ipv6_counts_as_one_address() {
        let mut allowance = Allowance::default();
        for last in 0..2001_u32 {
            assert!(allowance.take(Time::ZERO, address(&format!("2001:db8::{last:x}"))));
        }
        assert!(!allowance.take(Time::ZERO, address("2001:db8::ffff:1")));
        assert!(allowance.take(Time::ZERO, address("2001:db8:0:1::1")));
    }

    #[test]
    fn it_remembers_no_more_than_so_many_addresses() {
        let mut allowance = Allowance::default();
        for bits in 0..40_000_u32 {
            assert!(allowance.take(Time::ZERO, IpAddr::V4(bits.into())));
        }
        assert!(allowance.paid.len() <= MOST);
    }
}
