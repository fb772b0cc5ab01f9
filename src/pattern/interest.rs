//! What a subscriber wants itself: what it tells publishers, and what it takes from them.

use super::trie::Trie;

/// What a subscriber wants: topics, each as often as it subscribed to it. A publisher is told of
/// the first time and of the last, for it keeps a set (see [`Subscriptions`](super::Subscriptions)).
///
/// The topics are the program's own, and have no bound.
#[derive(Debug)]
pub struct Interests {
    topics: Trie<u64>,
    len: usize,
}

impl Default for Interests {
    fn default() -> Self {
        Self::new()
    }
}

impl Interests {
    /// Wants nothing.
    pub fn new() -> Self {
        Self {
            topics: Trie::new(),
            len: 0,
        }
    }

    /// Wants `topic`, once more. Tells whether the publishers have to be told.
    pub fn subscribe(&mut self, topic: &[u8]) -> bool {
        let known = self.topics.find(topic);
        if let Some(times) = known.and_then(|node| self.topics.value_mut(node)) {
            *times += 1;
            return false;
        }
        let new = self.topics.insert(topic, 1).is_some();
        self.len += usize::from(new);
        new
    }

    /// Takes one subscription back, if there is one. Tells whether it was the last, so that the
    /// publishers have to be told.
    pub fn cancel(&mut self, topic: &[u8]) -> bool {
        let Some(node) = self.topics.find(topic) else {
            return false;
        };
        if let Some(times) = self.topics.value_mut(node)
            && *times > 1
        {
            *times -= 1;
            return false;
        }
        self.topics.remove(node);
        self.len -= 1;
        true
    }

    /// Whether a message whose first part is `first` is wanted.
    pub fn wants(&self, first: &[u8]) -> bool {
        self.topics.along(first).next().is_some()
    }

    /// Each topic once, ordered as bytes: what a publisher has to be told after a reconnect.
    pub fn topics(&self) -> impl Iterator<Item = &[u8]> {
        self.topics.topics()
    }

    /// Topics, each counted once.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether nothing is wanted.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subscriber_tells_of_the_first_time_and_the_last() {
        let mut own = Interests::new();
        assert!(!own.cancel(b"foo"));
        assert!(own.subscribe(b"foo"));
        assert!(!own.subscribe(b"foo"));
        assert_eq!(own.len(), 1);
        assert!(!own.cancel(b"foo"));
        assert!(own.wants(b"foo"));
        assert!(own.cancel(b"foo"));
        assert!(!own.wants(b"foo"));
        assert!(!own.cancel(b"foo"));
        assert!(own.is_empty());
        assert_eq!(own.topics.size(), 0);
    }

    #[test]
    fn a_subscriber_wants_what_one_of_its_topics_begins() {
        let mut own = Interests::new();
        assert!(!own.wants(b""));
        for topic in ["foobar", "foo", "f\0o"] {
            own.subscribe(topic.as_bytes());
        }
        for (first, wanted) in [
            ("foo", true),
            ("foobarbaz", true),
            ("fo", false),
            ("", false),
        ] {
            assert_eq!(own.wants(first.as_bytes()), wanted, "{first}");
        }
        assert!(own.wants(b"f\0oo") && !own.wants(b"f"));
        assert!(own.cancel(b"foo"));
        assert!(own.wants(b"foobar") && !own.wants(b"foo"));
        own.subscribe(b"");
        assert!(own.wants(b"") && own.wants(b"anything"));
        assert!(!own.cancel(b"fo"));
        assert_eq!(
            own.topics().collect::<Vec<_>>(),
            [&b""[..], b"f\0o", b"foobar"]
        );
        own.topics.check();
    }
}
