//! Who wants what, against a list of pairs.

use std::collections::BTreeMap;

use proptest::prelude::*;
use scale0::pattern::{Bounds, Change, Full, Interests, Subscriptions};

type Topic = Vec<u8>;

#[derive(Clone, Debug)]
enum Step {
    Subscribe(u32, Topic),
    Cancel(u32, Topic),
    Leave(u32),
}

/// Few letters, so that topics begin each other often, and part late.
fn topic() -> impl Strategy<Value = Topic> {
    prop_oneof![
        8 => prop::collection::vec(prop::sample::select(&b"ab\xff"[..]), 0..6),
        1 => (250..260usize, 0..3u8).prop_map(|(len, end)| {
            let mut long = vec![b'a'; len];
            long.push(end);
            long
        }),
    ]
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => (0..5u32, topic()).prop_map(|(peer, topic)| Step::Subscribe(peer, topic)),
        3 => (0..5u32, topic()).prop_map(|(peer, topic)| Step::Cancel(peer, topic)),
        1 => (0..5u32).prop_map(Step::Leave),
    ];
    prop::collection::vec(step, 0..80)
}

#[derive(Default)]
struct Model(Vec<(u32, Topic)>);

impl Model {
    fn has(&self, peer: u32, topic: &[u8]) -> bool {
        self.0
            .iter()
            .any(|(its, wanted)| *its == peer && wanted == topic)
    }

    fn anybody(&self, topic: &[u8]) -> bool {
        self.0.iter().any(|(_, wanted)| wanted == topic)
    }

    fn subscribe(&mut self, peer: u32, topic: &[u8]) -> Change {
        if self.has(peer, topic) {
            return Change::Nothing;
        }
        let known = self.anybody(topic);
        self.0.push((peer, topic.to_vec()));
        if known { Change::Peer } else { Change::Topic }
    }

    fn cancel(&mut self, peer: u32, topic: &[u8]) -> Change {
        if !self.has(peer, topic) {
            return Change::Nothing;
        }
        self.0
            .retain(|(its, wanted)| (*its, &wanted[..]) != (peer, topic));
        if self.anybody(topic) {
            Change::Peer
        } else {
            Change::Topic
        }
    }

    fn leave(&mut self, peer: u32) -> Vec<Topic> {
        let mut gone = self.topics(peer);
        self.0.retain(|(its, _)| *its != peer);
        gone.retain(|topic| !self.anybody(topic));
        gone
    }

    fn topics(&self, peer: u32) -> Vec<Topic> {
        let its = self.0.iter().filter(|(its, _)| *its == peer);
        let mut topics: Vec<Topic> = its.map(|(_, topic)| topic.clone()).collect();
        topics.sort();
        topics
    }

    fn matching(&self, first: &[u8]) -> Vec<u32> {
        let wanting = self.0.iter().filter(|(_, topic)| first.starts_with(topic));
        let mut peers: Vec<u32> = wanting.map(|(peer, _)| *peer).collect();
        peers.sort_unstable();
        peers.dedup();
        peers
    }
}

fn play(all: &mut Subscriptions, model: &mut Model, step: &Step) -> Result<(), TestCaseError> {
    match step {
        Step::Subscribe(peer, topic) => {
            let said = all.subscribe(*peer, topic);
            prop_assert_eq!(said, Ok(model.subscribe(*peer, topic)));
        }
        Step::Cancel(peer, topic) => {
            prop_assert_eq!(all.cancel(*peer, topic), model.cancel(*peer, topic));
        }
        Step::Leave(peer) => {
            let mut gone = Vec::new();
            all.leave(*peer, |topic| gone.push(topic.to_vec()));
            prop_assert_eq!(gone, model.leave(*peer));
        }
    }
    prop_assert_eq!(all.len(), model.0.len());
    prop_assert_eq!(all.is_empty(), model.0.is_empty());
    Ok(())
}

proptest! {
    #[test]
    fn any_history_is_told_as_a_list_of_pairs_tells_it(steps in steps(), firsts in prop::collection::vec(topic(), 1..10)) {
        let (mut all, mut model) = (Subscriptions::new(Bounds::default()), Model::default());
        for step in &steps {
            play(&mut all, &mut model, step)?;
        }
        let (mut out, mut again) = (Vec::new(), Vec::new());
        for first in &firsts {
            all.matching(first, &mut out);
            all.matching(first, &mut again);
            prop_assert_eq!(&out, &again);
            out.sort_unstable();
            prop_assert_eq!(&out, &model.matching(first));
            for peer in 0..6 {
                prop_assert_eq!(all.wants(peer, first), out.contains(&peer));
            }
        }
        for peer in 0..6 {
            let topics: Vec<Topic> = all.topics(peer).map(<[u8]>::to_vec).collect();
            prop_assert_eq!(topics, model.topics(peer));
        }
    }

    #[test]
    fn what_one_peer_does_changes_nothing_for_another(steps in steps(), first in topic()) {
        let mut all = Subscriptions::new(Bounds::default());
        let mut alone = Subscriptions::new(Bounds::default());
        for step in &steps {
            for (who, is_alone) in [(&mut all, false), (&mut alone, true)] {
                match step {
                    Step::Subscribe(peer, _) | Step::Cancel(peer, _) | Step::Leave(peer) if is_alone && *peer != 0 => {}
                    Step::Subscribe(peer, topic) => _ = who.subscribe(*peer, topic),
                    Step::Cancel(peer, topic) => _ = who.cancel(*peer, topic),
                    Step::Leave(peer) => who.leave(*peer, |_| ()),
                }
            }
        }
        prop_assert!(all.topics(0).eq(alone.topics(0)));
        prop_assert_eq!(all.wants(0, &first), alone.wants(0, &first));
    }

    #[test]
    fn a_subscriber_counts_as_a_map_counts(steps in prop::collection::vec((any::<bool>(), topic()), 0..80), first in topic()) {
        let (mut own, mut model) = (Interests::new(), BTreeMap::<Topic, u32>::new());
        for (wanted, topic) in &steps {
            let times = model.entry(topic.clone()).or_default();
            if *wanted {
                *times += 1;
                prop_assert_eq!(own.subscribe(topic), *times == 1);
            } else {
                prop_assert_eq!(own.cancel(topic), *times == 1);
                *times = times.saturating_sub(1);
            }
            model.retain(|_, times| *times > 0);
            prop_assert_eq!(own.len(), model.len());
        }
        prop_assert!(own.topics().eq(model.keys().map(Vec::as_slice)));
        prop_assert_eq!(own.wants(&first), model.keys().any(|topic| first.starts_with(topic)));
    }
}

#[test]
fn a_stranger_that_nests_topics_to_the_limit_is_bounded_and_forgotten() {
    let bounds = Bounds::default();
    let text = vec![b'x'; bounds.topic];
    let mut all = Subscriptions::new(bounds);
    let mut bytes = 0;
    for len in 0..=bounds.topic {
        bytes += len;
        assert_eq!(all.subscribe(0, &text[..len]), Ok(Change::Topic));
    }
    assert!(bytes <= bounds.bytes);
    assert_eq!(
        all.subscribe(0, &vec![b'x'; bounds.topic + 1]),
        Err(Full::Topic {
            len: bounds.topic + 1,
            limit: bounds.topic
        })
    );
    let mut out = Vec::new();
    all.matching(&text, &mut out);
    assert_eq!(out, [0]);
    let mut gone = 0;
    all.leave(0, |topic| {
        assert_eq!(topic.len(), gone);
        gone += 1;
    });
    assert_eq!(gone, bounds.topic + 1);
    assert!(all.is_empty());
}
