//! Who may come in at all, of all threads together: so many connections, so many from one address,
//! so many handshakes.

use std::collections::BTreeMap;
use std::net::IpAddr;

use crate::limits::Limits;
use crate::net::Allowance;
use crate::time::Time;

/// Streams that are open, wherever they are read.
#[derive(Debug)]
pub(super) struct Door {
    most: usize,
    most_per_address: Option<usize>,
    /// A handshake costs something before anything is known of the peer.
    costly: bool,
    open: usize,
    by_address: BTreeMap<IpAddr, usize>,
    allowance: Allowance,
}

impl Door {
    pub(super) fn new(limits: &Limits, costly: bool) -> Self {
        Self {
            most: limits.connections,
            most_per_address: limits.connections_per_address,
            costly,
            open: 0,
            by_address: BTreeMap::new(),
            allowance: Allowance::default(),
        }
    }

    /// Lets a stream in, if there is room for it.
    pub(super) fn enter(&mut self, now: Time, ip: Option<IpAddr>) -> bool {
        let here = ip.and_then(|ip| self.by_address.get(&ip)).copied();
        let here = here.unwrap_or(0);
        let crowded = self
            .most_per_address
            .is_some_and(|limit| ip.is_some() && here >= limit);
        let flood = self.costly && ip.is_some_and(|ip| !self.allowance.take(now, ip));
        if self.open >= self.most || crowded || flood {
            return false;
        }
        self.open += 1;
        if let Some(ip) = ip {
            *self.by_address.entry(ip).or_default() += 1;
        }
        true
    }

    /// A stream is closed: another may come.
    pub(super) fn leave(&mut self, ip: Option<IpAddr>) {
        self.open = self.open.saturating_sub(1);
        if let Some(ip) = ip
            && let Some(count) = self.by_address.get_mut(&ip)
        {
            *count -= 1;
            if *count == 0 {
                self.by_address.remove(&ip);
            }
        }
    }
}
