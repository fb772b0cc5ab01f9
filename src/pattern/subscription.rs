//! Who wants what: the topics of a publisher's peers.
//!
//! A topic is a prefix of a message's first part; the empty one wants everything. Nothing is sent
//! or refused here: a bound that is hit, and a topic that came or went, are told to the caller.

use std::collections::BTreeMap;

use super::trie::{Trie, give_back};

/// What [`Subscriptions`] may keep. A topic costs about 200 bytes besides its own, each further peer
/// that wants it about 25, and a peer with any topic about 120.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Bounds {
    /// Bytes of one topic.
    pub topic: usize,
    /// Topics of one peer.
    pub per_peer: usize,
    /// Topics of all peers together; one that two peers want counts twice.
    pub total: usize,
    /// Bytes of all topics; one that two peers want counts once. At most twice as much is kept.
    pub bytes: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            topic: 4 << 10,
            per_peer: 10_000,
            total: 1_000_000,
            bytes: 64 << 20,
        }
    }
}

/// A bound is hit, and the subscription is not kept. The peer that sent it has its fault, or at
/// least no right to it.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Full {
    /// One topic is too long.
    #[error("topic of {len} bytes, limit {limit}")]
    Topic {
        /// Of the topic, in bytes.
        len: usize,
        /// [`Bounds::topic`].
        limit: usize,
    },
    /// The peer has as many topics as it may.
    #[error("more than {limit} topics of one peer")]
    Peer {
        /// [`Bounds::per_peer`].
        limit: usize,
    },
    /// All peers together have as many topics as they may.
    #[error("more than {limit} topics of all peers")]
    Total {
        /// [`Bounds::total`].
        limit: usize,
    },
    /// The topics have as many bytes as they may.
    #[error("topics of more than {limit} bytes")]
    Bytes {
        /// [`Bounds::bytes`].
        limit: usize,
    },
}

/// What a subscription, or a cancellation, has changed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Change {
    /// Nobody wanted the topic before, or nobody wants it any more.
    Topic,
    /// The peer wants it now, or no more; so do others.
    Peer,
    /// Nothing: the peer had subscribed already, or had not at all.
    Nothing,
}

/// What each peer of a publisher wants: a set of topics, not a count. RFC 29 lets subscriptions
/// add up, but libzmq says each SUBSCRIBE and only the last CANCEL, so one cancellation takes the
/// topic back however often it was subscribed to.
///
/// A peer is a small number that may be used again once it has left: memory grows with the highest
/// one. Below, `depth` is the number of topics, or of places where topics part, that begin one
/// text: at most its length, rarely more than a few.
#[derive(Debug)]
pub struct Subscriptions {
    bounds: Bounds,
    /// Who wants a topic, in no order; nobody twice.
    wanted: Trie<Vec<u32>>,
    peers: Vec<Seats>,
    /// The last round of [`matching`](Self::matching) that came upon the peer twice.
    stamps: Vec<u32>,
    round: u32,
    len: usize,
    bytes: usize,
}

/// A peer's topics, as nodes, and its place in the list of each. With it nobody has to look
/// through the list of a popular topic.
type Seats = BTreeMap<u32, u32>;

impl Subscriptions {
    /// Nobody wants anything.
    pub fn new(bounds: Bounds) -> Self {
        Self {
            bounds,
            wanted: Trie::new(),
            peers: Vec::new(),
            stamps: Vec::new(),
            round: 0,
            len: 0,
            bytes: 0,
        }
    }

    /// `peer` wants `topic`. Subscribing again is free, even when a bound is reached. Costs the
    /// depth, and the logarithm of the peer's topics.
    pub fn subscribe(&mut self, peer: u32, topic: &[u8]) -> Result<Change, Full> {
        let limit = self.bounds.topic;
        if topic.len() > limit {
            let len = topic.len();
            return Err(Full::Topic { len, limit });
        }
        let known = self.wanted.find(topic);
        let seats = self.peers.get(peer as usize);
        if known.is_some_and(|node| seats.is_some_and(|seats| seats.contains_key(&node))) {
            return Ok(Change::Nothing);
        }
        let limit = self.bounds.per_peer;
        if seats.map_or(0, BTreeMap::len) >= limit {
            return Err(Full::Peer { limit });
        }
        let limit = self.bounds.total;
        if self.len >= limit {
            return Err(Full::Total { limit });
        }
        let limit = self.bounds.bytes;
        if known.is_none() && topic.len() > limit - self.bytes {
            return Err(Full::Bytes { limit });
        }
        self.seat(peer, topic, known).ok_or(Full::Total {
            limit: self.bounds.total,
        })
    }

    /// `None` if no number is left for a node or a seat, which no memory allows.
    fn seat(&mut self, peer: u32, topic: &[u8], known: Option<u32>) -> Option<Change> {
        let (node, seat) = match known {
            Some(node) => {
                let list = self.wanted.value_mut(node)?;
                let seat = u32::try_from(list.len()).ok()?;
                list.push(peer);
                (node, seat)
            }
            None => (self.wanted.insert(topic, vec![peer])?, 0),
        };
        let place = peer as usize;
        if self.peers.len() <= place {
            self.peers.resize_with(place + 1, BTreeMap::new);
            self.stamps.resize(place + 1, 0);
        }
        self.peers.get_mut(place)?.insert(node, seat);
        self.len += 1;
        if known.is_some() {
            return Some(Change::Peer);
        }
        self.bytes += topic.len();
        Some(Change::Topic)
    }

    /// `peer` wants `topic` no more, however often it subscribed. Costs what
    /// [`subscribe`](Self::subscribe) does, however many others want it.
    pub fn cancel(&mut self, peer: u32, topic: &[u8]) -> Change {
        let Some(node) = self.wanted.find(topic) else {
            return Change::Nothing;
        };
        let seats = self.peers.get_mut(peer as usize);
        let Some(seat) = seats.and_then(|seats| seats.remove(&node)) else {
            return Change::Nothing;
        };
        if !self.vacate(node, seat) {
            return Change::Peer;
        }
        self.forget(node);
        Change::Topic
    }

    /// `peer` is gone, and its number free. Calls `gone` with each topic that nobody wants any
    /// more, ordered as bytes. Costs what cancelling each of its topics does, and their sorting.
    pub fn leave(&mut self, peer: u32, mut gone: impl FnMut(&[u8])) {
        let Some(seats) = self.peers.get_mut(peer as usize) else {
            return;
        };
        let seats = std::mem::take(seats);
        let mut empty: Vec<u32> = Vec::new();
        for (node, seat) in seats {
            if self.vacate(node, seat) {
                empty.push(node);
            }
        }
        empty.sort_unstable_by(|a, b| self.wanted.topic(*a).cmp(&self.wanted.topic(*b)));
        for node in empty {
            if let Some(topic) = self.wanted.topic(node) {
                gone(topic);
            }
            self.forget(node);
        }
    }

    /// Takes a seat out of a topic's list; the last one moves there. Tells whether nobody is left.
    fn vacate(&mut self, node: u32, seat: u32) -> bool {
        let place = seat as usize;
        let Some(list) = self.wanted.value_mut(node) else {
            debug_assert!(false, "a seat in a topic that nobody wants");
            return false;
        };
        if place >= list.len() {
            debug_assert!(false, "a seat behind the last");
            return false;
        }
        list.swap_remove(place);
        give_back(list);
        self.len -= 1;
        if let Some(moved) = list.get(place)
            && let Some(seats) = self.peers.get_mut(*moved as usize)
        {
            seats.insert(node, seat);
        }
        list.is_empty()
    }

    fn forget(&mut self, node: u32) {
        self.bytes -= self.wanted.topic(node).map_or(0, <[u8]>::len);
        self.wanted.remove(node);
    }

    /// Fills `out`, whatever it held, with every peer that wants a message whose first part is
    /// `first`: each once, and in the same order until a subscription changes.
    ///
    /// Costs the depth and the peers of the topics on it, and allocates only if `out` has no room.
    pub fn matching(&mut self, first: &[u8], out: &mut Vec<u32>) {
        out.clear();
        let mut lists = self.wanted.along(first).map(|(_, list)| list);
        let Some(list) = lists.next() else {
            return;
        };
        // Nobody is in one list twice: only a second one needs marks.
        out.extend_from_slice(list);
        let Some(second) = lists.next() else {
            return;
        };
        self.round = self.round.wrapping_add(1);
        if self.round == 0 {
            self.stamps.fill(0);
            self.round = 1;
        }
        let (stamps, round) = (&mut self.stamps, self.round);
        for peer in &*out {
            if let Some(stamp) = stamps.get_mut(*peer as usize) {
                *stamp = round;
            }
        }
        for list in std::iter::once(second).chain(lists) {
            for peer in list {
                if let Some(stamp) = stamps.get_mut(*peer as usize)
                    && *stamp != round
                {
                    *stamp = round;
                    out.push(*peer);
                }
            }
        }
    }

    /// Whether `peer` wants a message whose first part is `first`. Costs the depth times the
    /// logarithm of the peer's topics.
    pub fn wants(&self, peer: u32, first: &[u8]) -> bool {
        let Some(seats) = self.peers.get(peer as usize) else {
            return false;
        };
        self.wanted
            .along(first)
            .any(|(node, _)| seats.contains_key(&node))
    }

    /// What `peer` wants, ordered as bytes. Sorts and allocates.
    pub fn topics(&self, peer: u32) -> impl Iterator<Item = &[u8]> {
        let seats = self.peers.get(peer as usize).into_iter().flatten();
        let mut topics: Vec<&[u8]> = seats
            .filter_map(|(node, _)| self.wanted.topic(*node))
            .collect();
        topics.sort_unstable();
        topics.into_iter()
    }

    /// Topics of all peers; one that two peers want counts twice, as in [`Bounds::total`].
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether nobody wants anything.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open() -> Subscriptions {
        Subscriptions::new(Bounds::default())
    }

    fn with(pairs: &[(u32, &str)]) -> Subscriptions {
        let mut all = open();
        for (peer, topic) in pairs {
            assert_ne!(all.subscribe(*peer, topic.as_bytes()), Ok(Change::Nothing));
        }
        all.wanted.check();
        all
    }

    fn matching(all: &mut Subscriptions, first: &str) -> Vec<u32> {
        let mut out = vec![99];
        all.matching(first.as_bytes(), &mut out);
        out.sort_unstable();
        out
    }

    fn leaves(all: &mut Subscriptions, peer: u32) -> Vec<String> {
        let mut gone = Vec::new();
        all.leave(peer, |topic| {
            gone.push(String::from_utf8(topic.to_vec()).unwrap());
        });
        all.wanted.check();
        gone
    }

    /// The same numbers each time.
    struct Dice(u64);

    impl Dice {
        fn roll(&mut self, sides: u32) -> u32 {
            self.0 = self
                .0
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            u32::try_from(self.0 >> 33).unwrap() % sides
        }

        fn topic(&mut self) -> Vec<u8> {
            let len = self.roll(9);
            (0..len)
                .map(|_| b"abc\xff"[self.roll(4) as usize])
                .collect()
        }
    }

    #[test]
    fn nobody_wants_anything_at_first() {
        let mut all = open();
        assert!(all.is_empty());
        assert_eq!(matching(&mut all, ""), [0; 0]);
        assert_eq!(matching(&mut all, "foo"), [0; 0]);
        assert!(!all.wants(0, b"foo"));
        assert_eq!(all.topics(0).count(), 0);
        assert_eq!(all.cancel(0, b""), Change::Nothing);
        assert_eq!(all.cancel(0, b"foo"), Change::Nothing);
        assert!(leaves(&mut all, 0).is_empty());
    }

    #[test]
    fn the_first_and_the_last_of_a_topic_are_told() {
        let mut all = open();
        assert_eq!(all.subscribe(1, b"foo"), Ok(Change::Topic));
        assert_eq!(all.subscribe(2, b"foo"), Ok(Change::Peer));
        assert_eq!(all.subscribe(1, b"foo"), Ok(Change::Nothing));
        assert_eq!(all.len(), 2);
        assert_eq!(matching(&mut all, "foo"), [1, 2]);
        assert_eq!(all.cancel(1, b"foo"), Change::Peer);
        assert_eq!(all.cancel(1, b"foo"), Change::Nothing);
        assert_eq!(all.cancel(3, b"foo"), Change::Nothing);
        assert_eq!(matching(&mut all, "foo"), [2]);
        assert_eq!(all.cancel(2, b"foo"), Change::Topic);
        assert!(all.is_empty());
    }

    #[test]
    fn one_cancellation_takes_back_a_topic_subscribed_to_often() {
        let mut all = open();
        for _ in 0..3 {
            all.subscribe(1, b"foo").unwrap();
        }
        assert_eq!(all.cancel(1, b"foo"), Change::Topic);
        assert_eq!(matching(&mut all, "foo"), [0; 0]);
    }

    #[test]
    fn a_topic_is_a_prefix_and_the_empty_one_wants_everything() {
        let mut all = with(&[(1, "foo"), (2, "foobar"), (3, ""), (4, "fox")]);
        assert_eq!(matching(&mut all, ""), [3]);
        assert_eq!(matching(&mut all, "fo"), [3]);
        assert_eq!(matching(&mut all, "foo"), [1, 3]);
        assert_eq!(matching(&mut all, "foobarbaz"), [1, 2, 3]);
        assert_eq!(matching(&mut all, "fox"), [3, 4]);
        assert_eq!(matching(&mut all, "bar"), [3]);
        assert!(all.wants(2, b"foobar") && !all.wants(2, b"foo"));
        assert_eq!(all.cancel(3, b""), Change::Topic);
        assert_eq!(matching(&mut all, ""), [0; 0]);
    }

    #[test]
    fn a_peer_is_named_once_however_many_of_its_topics_match() {
        let mut all = with(&[
            (1, ""),
            (1, "f"),
            (1, "foo"),
            (2, "f"),
            (2, "fo"),
            (0, "foo"),
        ]);
        let mut out = Vec::new();
        for _ in 0..3 {
            all.matching(b"foo", &mut out);
            assert_eq!(out, [1, 2, 0], "or not in the same order");
        }
    }

    #[test]
    fn marks_of_old_rounds_hide_nobody() {
        let mut all = with(&[(1, "a"), (2, "ab"), (1, "ab")]);
        assert_eq!(matching(&mut all, "ab"), [1, 2]);
        // The numbers of rounds begin anew: this one is again the first.
        all.round = u32::MAX;
        assert_eq!(matching(&mut all, "ab"), [1, 2]);
        assert_eq!(all.round, 1);
        assert_eq!(matching(&mut all, "ab"), [1, 2]);
    }

    #[test]
    fn cancelling_what_lies_between_or_beside_changes_nothing() {
        let mut all = with(&[(1, "foo1"), (1, "foo2"), (2, "abcdef")]);
        for absent in ["", "f", "foo", "foo3", "foo11", "abc", "abcdefg", "x"] {
            assert_eq!(all.cancel(1, absent.as_bytes()), Change::Nothing);
        }
        assert_eq!(all.cancel(1, b"abcdef"), Change::Nothing);
        assert_eq!(all.len(), 3);
        assert_eq!(all.cancel(1, b"foo1"), Change::Topic);
        all.wanted.check();
        assert_eq!(matching(&mut all, "foo2"), [1]);
        assert_eq!(matching(&mut all, "foo1"), [0; 0]);
    }

    #[test]
    fn who_leaves_takes_all_its_topics_and_only_its_own() {
        let mut all = with(&[
            (1, "b"),
            (1, "abc"),
            (2, "abc"),
            (1, ""),
            (1, "ab"),
            (2, "x"),
            (1, "a"),
        ]);
        assert_eq!(
            all.topics(1).collect::<Vec<_>>(),
            ["", "a", "ab", "abc", "b"].map(str::as_bytes)
        );
        assert_eq!(leaves(&mut all, 1), ["", "a", "ab", "b"]);
        assert_eq!(all.topics(1).count(), 0);
        assert_eq!(matching(&mut all, "abc"), [2]);
        assert!(leaves(&mut all, 1).is_empty());
        assert_eq!(leaves(&mut all, 2), ["abc", "x"]);
        assert!(all.is_empty());
        // The number is somebody else's now.
        assert_eq!(all.subscribe(1, b"b"), Ok(Change::Topic));
        assert_eq!(matching(&mut all, "bcd"), [1]);
    }

    #[test]
    fn every_bound_is_kept() {
        let mut all = Subscriptions::new(Bounds {
            topic: 4,
            per_peer: 3,
            total: 5,
            bytes: 10,
        });
        assert_eq!(
            all.subscribe(1, b"12345"),
            Err(Full::Topic { len: 5, limit: 4 })
        );
        for topic in [&b"1234"[..], b"1235", b""] {
            assert_eq!(all.subscribe(1, topic), Ok(Change::Topic));
        }
        assert_eq!(all.subscribe(1, b"x"), Err(Full::Peer { limit: 3 }));
        assert_eq!(all.subscribe(1, b"1234"), Ok(Change::Nothing));
        assert_eq!(all.subscribe(2, b"123"), Err(Full::Bytes { limit: 10 }));
        assert_eq!(all.subscribe(2, b"12"), Ok(Change::Topic));
        assert_eq!(all.subscribe(2, b"1234"), Ok(Change::Peer));
        assert_eq!(all.subscribe(3, b""), Err(Full::Total { limit: 5 }));
        // What is refused leaves nothing, and what goes makes room.
        assert_eq!(all.len(), 5);
        assert_eq!(leaves(&mut all, 1), ["", "1235"]);
        assert_eq!(all.subscribe(3, b"5678"), Ok(Change::Topic));
        assert_eq!(all.subscribe(3, b"9"), Err(Full::Bytes { limit: 10 }));
        all.wanted.check();
    }

    #[test]
    fn coming_and_going_leaves_nothing_behind() {
        let (mut all, mut dice) = (open(), Dice(1));
        for turn in 0..100_000 {
            let (peer, topic) = (dice.roll(20), dice.topic());
            match dice.roll(100) {
                0 => all.leave(peer, |_| ()),
                1..50 => _ = all.cancel(peer, &topic),
                _ => _ = all.subscribe(peer, &topic),
            }
            if turn % 1000 == 0 {
                all.wanted.check();
            }
        }
        let mut left: Vec<(u32, Vec<u8>)> = Vec::new();
        for peer in 0..20 {
            left.extend(all.topics(peer).map(|topic| (peer, topic.to_vec())));
        }
        assert!(left.len() > 100);
        assert_eq!(left.len(), all.len());
        while !left.is_empty() {
            let some = usize::try_from(dice.roll(1 << 30)).unwrap() % left.len();
            let (peer, topic) = left.swap_remove(some);
            assert_ne!(all.cancel(peer, &topic), Change::Nothing);
        }
        assert!(all.is_empty());
        assert_eq!((all.wanted.size(), all.bytes), (0, 0));
    }

    #[test]
    fn a_popular_topic_is_left_by_all_its_peers_in_any_order() {
        let mut all = open();
        for peer in 0..10_000 {
            all.subscribe(peer, b"popular").unwrap();
        }
        for peer in (0..10_000).step_by(2) {
            assert!(leaves(&mut all, peer).is_empty());
        }
        let odd: Vec<u32> = (1..10_000).step_by(2).collect();
        assert_eq!(matching(&mut all, "popular"), odd);
        for peer in odd.iter().rev() {
            all.cancel(*peer, b"popular");
        }
        assert!(all.is_empty());
        assert_eq!(all.wanted.size(), 0);
    }
}
