//! Where a service is at home: every shard computes the same from its name alone.
//!
//! The first level of the name counts, without a version: `image`, `image@2`, `image.cut`,
//! `image.*` and `image.>` have one home, so whoever may serve a task stands where it waits. Only
//! a wildcard whose first level stands for any other is offered at every shard.

use super::{Shard, Shards};
use crate::protocol::{Announcement, Dialect, Name};

/// Which of so many shards decides about a service.
#[must_use]
pub fn home(service: &Name, shards: usize) -> Shard {
    let level = service.as_bytes().split(|byte| matches!(byte, b'.' | b'@'));
    let level = level.into_iter().next().unwrap_or_default();
    // FNV-1a, and its halves together: names often differ in their last letter only.
    let hash = level.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3)
    });
    let mixed = (hash ^ hash >> 29).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let shards = shards.max(1) as u64;
    // Below the number of shards.
    usize::try_from((mixed >> 32) % shards).unwrap_or(0)
}

/// Where a worker that offers this has to be known.
#[must_use]
pub fn homes(dialect: Dialect, offered: &Name, shards: usize) -> Shards {
    if dialect == Dialect::Scale0 && is_anywhere(offered) {
        return Shards::all(shards);
    }
    Shards::one(home(offered, shards))
}

/// Whether tasks of any home may fit this wildcard.
pub(super) fn is_anywhere(offered: &Name) -> bool {
    matches!(
        offered.as_bytes().split(|byte| *byte == b'.').next(),
        Some(b"*" | b">")
    )
}

/// Where the connection of a worker is best: where it has to do with the most of its services.
pub(super) fn best(announcement: &Announcement, me: Shard, shards: usize) -> Shard {
    let at = |shard: Shard| {
        let offers = announcement.offers.iter();
        let here = offers
            .filter(|offer| homes(announcement.dialect, &offer.service, shards).contains(shard));
        // Among equals it stays where it is.
        (here.count(), shard == me, std::cmp::Reverse(shard))
    };
    (0..shards).max_by_key(|shard| at(*shard)).unwrap_or(me)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_its_versions_and_its_wildcards_have_one_home() {
        for shards in 1..=64 {
            let first = home(&Name::from("image"), shards);
            assert!(first < shards);
            for name in ["image@2", "image.cut", "image.cut@1", "image.*", "image.>"] {
                assert_eq!(home(&Name::from(name), shards), first, "{name}");
                let all = homes(Dialect::Scale0, &Name::from(name), shards);
                assert_eq!(all, Shards::one(first), "{name}");
            }
        }
    }

    #[test]
    fn a_wildcard_for_any_first_level_is_at_home_everywhere() {
        for name in ["*", ">", "*.cut"] {
            let all = homes(Dialect::Scale0, &Name::from(name), 3);
            assert_eq!(all, Shards::all(3), "{name}");
            // Majordomo's names mean themselves.
            let one = homes(Dialect::Mdp02, &Name::from(name), 3);
            assert_eq!(one.count(), 1, "{name}");
        }
    }

    #[test]
    fn names_spread_evenly() {
        for shards in [2, 3, 4, 8] {
            let mut counts = vec![0; shards];
            for n in 0..8000 {
                let name = Name::from(format!("service-{n}").as_str());
                if let Some(count) = counts.get_mut(home(&name, shards)) {
                    *count += 1;
                }
            }
            let (least, most) = (counts.iter().min(), counts.iter().max());
            let fair = 8000 / shards;
            assert!(
                least.is_some_and(|least| *least > fair * 9 / 10)
                    && most.is_some_and(|most| *most < fair * 11 / 10),
                "{counts:?}"
            );
        }
    }
}
