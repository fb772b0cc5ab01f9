//! Socket types and who may talk to whom (RFC 23, "The Socket-Type Property"; RFC 28 to 31).

/// The eleven socket types with a stable RFC.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[allow(missing_docs, reason = "the names are the RFCs' own")]
pub enum SocketType {
    Req,
    Rep,
    Dealer,
    Router,
    Pub,
    Sub,
    Xpub,
    Xsub,
    Push,
    Pull,
    Pair,
}

impl SocketType {
    /// All of them.
    pub const ALL: [Self; 11] = [
        Self::Req,
        Self::Rep,
        Self::Dealer,
        Self::Router,
        Self::Pub,
        Self::Sub,
        Self::Xpub,
        Self::Xsub,
        Self::Push,
        Self::Pull,
        Self::Pair,
    ];

    /// The name in the Socket-Type property.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Req => "REQ",
            Self::Rep => "REP",
            Self::Dealer => "DEALER",
            Self::Router => "ROUTER",
            Self::Pub => "PUB",
            Self::Sub => "SUB",
            Self::Xpub => "XPUB",
            Self::Xsub => "XSUB",
            Self::Push => "PUSH",
            Self::Pull => "PULL",
            Self::Pair => "PAIR",
        }
    }

    /// The type of that name; case counts.
    #[must_use]
    pub fn read(name: &[u8]) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|kind| kind.name().as_bytes() == name)
    }

    /// Whether the two may be connected; symmetric.
    #[must_use]
    pub const fn talks_to(self, peer: Self) -> bool {
        use SocketType::{Dealer, Pair, Pub, Pull, Push, Rep, Req, Router, Sub, Xpub, Xsub};
        matches!(
            (self, peer),
            (Req, Rep | Router)
                | (Rep, Req | Dealer)
                | (Dealer, Rep | Dealer | Router)
                | (Router, Req | Dealer | Router)
                | (Pub | Xpub, Sub | Xsub)
                | (Sub | Xsub, Pub | Xpub)
                | (Push, Pull)
                | (Pull, Push)
                | (Pair, Pair)
        )
    }

    /// Whether READY carries an Identity even when it is empty.
    pub const fn states_identity(self) -> bool {
        matches!(self, Self::Req | Self::Dealer | Self::Router)
    }
}

impl std::fmt::Display for SocketType {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn compatibility_is_the_rfcs_table_and_symmetric() {
        let pairs = "REQ-REP REQ-ROUTER REP-DEALER DEALER-DEALER DEALER-ROUTER ROUTER-ROUTER PUB-SUB PUB-XSUB XPUB-SUB XPUB-XSUB PUSH-PULL PAIR-PAIR";
        let legal: Vec<_> = pairs
            .split(' ')
            .filter_map(|pair| pair.split_once('-'))
            .collect();
        for a in SocketType::ALL {
            for b in SocketType::ALL {
                let expected =
                    legal.contains(&(a.name(), b.name())) || legal.contains(&(b.name(), a.name()));
                assert_eq!(a.talks_to(b), expected, "{a}-{b}");
            }
        }
    }

    #[test]
    fn names_are_read_back_and_case_counts() {
        for kind in SocketType::ALL {
            assert_eq!(SocketType::read(kind.name().as_bytes()), Some(kind));
        }
        assert_eq!(SocketType::read(b"dealer"), None);
    }
}
