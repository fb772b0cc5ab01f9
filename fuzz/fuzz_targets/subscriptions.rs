//! Who wants what, against a list of pairs: any history of subscriptions, cancellations and
//! departures, within narrow bounds.
#![cfg_attr(fuzzing, no_main)]

use std::collections::BTreeSet;

use scale0::pattern::{Bounds, Change, Full, Interests, Subscriptions};

pub fn run(data: &[u8]) {
    let mut model = Model {
        all: Subscriptions::new(BOUNDS),
        own: Interests::new(),
        pairs: Vec::new(),
        counted: Vec::new(),
    };
    let mut bytes = Script(data);
    while !bytes.0.is_empty() {
        model.step(&mut bytes);
    }
    for peer in 0..PEERS {
        model.leave(peer);
    }
    assert!(model.all.is_empty());
}

/// Reads past its end as zeros.
struct Script<'a>(&'a [u8]);

impl<'a> Script<'a> {
    fn next(&mut self) -> u8 {
        let (first, rest) = self.0.split_first().unwrap_or((&0, &[]));
        self.0 = rest;
        *first
    }

    /// One byte of length, and as many as there are.
    fn topic(&mut self) -> &'a [u8] {
        let len = usize::from(self.next() % 32).min(self.0.len());
        let (topic, rest) = self.0.split_at(len);
        self.0 = rest;
        topic
    }
}

struct Model {
    all: Subscriptions,
    own: Interests,
    pairs: Vec<(u32, Vec<u8>)>,
    /// What `own` was given, as often as it was.
    counted: Vec<Vec<u8>>,
}

impl Model {
    fn step(&mut self, bytes: &mut Script<'_>) {
        let what = bytes.next();
        let peer = u32::from(what >> 4) % PEERS;
        match what % 16 {
            0..=5 => self.subscribe(peer, bytes.topic()),
            6..=8 => self.cancel(peer, bytes.topic()),
            9 => self.leave(peer),
            10 | 11 => self.want(bytes.topic()),
            12 | 13 => self.want_no_more(bytes.topic()),
            _ => self.look(bytes.topic()),
        }
        assert_eq!(self.all.len(), self.pairs.len());
    }

    fn has(&self, peer: u32, topic: &[u8]) -> bool {
        self.pairs
            .iter()
            .any(|(its, wanted)| *its == peer && wanted == topic)
    }

    fn subscribe(&mut self, peer: u32, topic: &[u8]) {
        let known = self.pairs.iter().any(|(_, wanted)| wanted == topic);
        let kept: BTreeSet<&[u8]> = self.pairs.iter().map(|(_, topic)| &topic[..]).collect();
        let kept: usize = kept.iter().map(|topic| topic.len()).sum();
        let due = if topic.len() > BOUNDS.topic {
            Err(Full::Topic {
                len: topic.len(),
                limit: BOUNDS.topic,
            })
        } else if self.has(peer, topic) {
            Ok(Change::Nothing)
        } else if self.topics(peer).len() == BOUNDS.per_peer {
            Err(Full::Peer {
                limit: BOUNDS.per_peer,
            })
        } else if self.pairs.len() == BOUNDS.total {
            Err(Full::Total {
                limit: BOUNDS.total,
            })
        } else if known {
            Ok(Change::Peer)
        } else if kept + topic.len() > BOUNDS.bytes {
            Err(Full::Bytes {
                limit: BOUNDS.bytes,
            })
        } else {
            Ok(Change::Topic)
        };
        assert_eq!(self.all.subscribe(peer, topic), due);
        if matches!(due, Ok(Change::Peer | Change::Topic)) {
            self.pairs.push((peer, topic.to_vec()));
        }
    }

    fn cancel(&mut self, peer: u32, topic: &[u8]) {
        let due = if self.has(peer, topic) {
            self.pairs
                .retain(|(its, wanted)| (*its, &wanted[..]) != (peer, topic));
            match self.pairs.iter().any(|(_, wanted)| wanted == topic) {
                true => Change::Peer,
                false => Change::Topic,
            }
        } else {
            Change::Nothing
        };
        assert_eq!(self.all.cancel(peer, topic), due);
    }

    fn leave(&mut self, peer: u32) {
        let mut due = self.topics(peer);
        self.pairs.retain(|(its, _)| *its != peer);
        due.retain(|topic| !self.pairs.iter().any(|(_, wanted)| wanted == topic));
        let mut gone = Vec::new();
        self.all.leave(peer, |topic| gone.push(topic.to_vec()));
        assert_eq!(gone, due);
        assert_eq!(self.all.topics(peer).count(), 0);
    }

    fn topics(&self, peer: u32) -> Vec<Vec<u8>> {
        let its = self.pairs.iter().filter(|(its, _)| *its == peer);
        let mut topics: Vec<Vec<u8>> = its.map(|(_, topic)| topic.clone()).collect();
        topics.sort();
        topics
    }

    fn want(&mut self, topic: &[u8]) {
        let known = self.counted.iter().any(|wanted| wanted == topic);
        self.counted.push(topic.to_vec());
        assert_eq!(self.own.subscribe(topic), !known);
    }

    fn want_no_more(&mut self, topic: &[u8]) {
        let before = self.counted.iter().filter(|own| *own == topic).count();
        if let Some(place) = self.counted.iter().position(|own| own == topic) {
            self.counted.swap_remove(place);
        }
        assert_eq!(self.own.cancel(topic), before == 1);
    }

    fn look(&mut self, first: &[u8]) {
        let mut out = vec![77];
        self.all.matching(first, &mut out);
        out.sort_unstable();
        let wanting = self.pairs.iter().filter(|(_, t)| first.starts_with(t));
        let due: BTreeSet<u32> = wanting.map(|(peer, _)| *peer).collect();
        assert!(out.iter().eq(&due), "{out:?}, not {due:?}");
        for peer in 0..PEERS {
            assert_eq!(self.all.wants(peer, first), due.contains(&peer));
            assert!(self.all.topics(peer).eq(self.topics(peer)));
        }
        let due: BTreeSet<&Vec<u8>> = self.counted.iter().collect();
        assert!(self.own.topics().eq(due.iter().map(|topic| &topic[..])));
        let wanted = due.iter().any(|topic| first.starts_with(topic));
        assert_eq!(self.own.wants(first), wanted);
    }
}

const PEERS: u32 = 5;
const BOUNDS: Bounds = Bounds {
    topic: 24,
    per_peer: 12,
    total: 30,
    bytes: 150,
};

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|data: &[u8]| run(data));
