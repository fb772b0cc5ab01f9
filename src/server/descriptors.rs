//! File descriptors: each connection takes one.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Raises the soft limit of open files to the hard one. Returns the limit now in force.
pub fn raise_descriptor_limit() -> u64 {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    match setrlimit(Resource::Nofile, raised) {
        Ok(()) => raised.current,
        Err(_) => limit.current,
    }
    .unwrap_or(u64::MAX)
}

/// How many connections the limit leaves room for; the rest, half of a small limit, is for
/// listeners, files and logs.
pub(super) fn room(limit: u64) -> usize {
    usize::try_from(limit - RESERVE.min(limit / 2)).unwrap_or(usize::MAX)
}

const RESERVE: u64 = 256;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_limit_leaves_room_for_some() {
        assert_eq!(room(65_536), 65_280);
        assert_eq!(room(512), 256);
        assert_eq!(room(64), 32);
    }
}
