//! Random histories of every socket type.

use proptest::prelude::*;
use scale0::pattern::{Bounds, Config, Handover, Pattern, Verbose};
use scale0::wire::{Message, SocketType};

use crate::model::{PEERS, Parts, Step, Topic, play};

/// Few letters, so that topics begin each other often, and some are too long.
fn topic() -> impl Strategy<Value = Topic> {
    let text = |len| prop::collection::vec(prop::sample::select(&b"ab"[..]), len);
    prop_oneof![4 => text(0..3), 1 => text(0..6)]
}

/// Parts that mean something to some type: delimiters, request ids, subscriptions, names.
fn part() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        3 => Just(vec![]),
        3 => topic(),
        2 => (0..4u8).prop_map(|id| vec![0, 0, 0, id]),
        1 => name(),
        3 => (0..3u8, topic()).prop_map(|(on, topic)| [&[on], &topic[..]].concat()),
    ]
}

fn parts() -> impl Strategy<Value = Parts> {
    prop_oneof![
        3 => prop::collection::vec(part(), 0..5),
        1 => part().prop_map(|part| vec![part]),
        2 => part().prop_map(|part| vec![vec![], part]),
    ]
}

/// Also such as a ROUTER gives away itself.
fn name() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        3 => Just(vec![]),
        2 => prop::sample::select(&["ann", "bob"][..]).prop_map(Vec::from),
        1 => (0..6u8).prop_map(|last| vec![0, 0, 0, 0, last]),
    ]
}

fn config() -> impl Strategy<Value = Config> {
    let handover = prop::sample::select(&[Handover::Refuse, Handover::SameUser, Handover::Any]);
    let verbose = prop::sample::select(&[Verbose::No, Verbose::Subscriptions, Verbose::All]);
    (any::<[bool; 8]>(), handover, verbose, 1..5usize).prop_map(
        |(flags, handover, verbose, envelope)| Config {
            mandatory: flags[0],
            handover,
            relaxed: flags[1],
            correlate: flags[2],
            verbose,
            manual: flags[3],
            last_value: flags[4],
            no_drop: flags[5],
            invert: flags[6],
            verbose_unsubscribe: flags[7],
            envelope,
            bounds: BOUNDS,
        },
    )
}

/// Mostly what means something to the type, and the rest as well.
fn step(kind: SocketType) -> impl Strategy<Value = Step> {
    use SocketType::{Pub, Rep, Req, Router, Sub, Xpub, Xsub};
    let peer = || 0..PEERS;
    let on = any::<bool>;
    let often = |when: bool| if when { 12 } else { 1 };
    prop_oneof![
        6 => (peer(), name(), prop::option::of(0..2u8)).prop_map(|(a, b, c)| Step::Join(a, b, c)),
        2 => peer().prop_map(Step::Leave),
        2 => peer().prop_map(Step::Full),
        2 => peer().prop_map(Step::Room),
        8 => parts().prop_map(Step::Send),
        often(kind == Router) => (peer(), parts()).prop_map(|(a, b)| Step::SendTo(a, b)),
        6 => (peer(), parts()).prop_map(|(a, b)| Step::Hear(a, b)),
        often(matches!(kind, Req | Rep)) => (peer(), parts()).prop_map(|(a, b)| Step::Reply(a, b)),
        often(matches!(kind, Pub | Xpub)) => (peer(), prop::bool::weighted(0.7), topic())
            .prop_map(|(a, b, c)| Step::Subscription(a, b, c)),
        often(matches!(kind, Sub | Xsub)) => (on(), topic()).prop_map(|(a, b)| Step::Interest(a, b)),
        often(kind == Xpub) => Just(Step::Notice),
        often(kind == Xpub) => (on(), topic()).prop_map(|(a, b)| Step::Decide(a, b)),
        2 => Just(Step::MayReceive),
        1 => config().prop_map(Step::Configure),
    ]
}

fn steps(kind: SocketType) -> impl Strategy<Value = Vec<Step>> {
    prop::collection::vec(step(kind), 0..120)
}

/// Automatic names and ids begin anywhere, also right before the numbers begin anew.
fn first() -> impl Strategy<Value = u32> {
    prop_oneof![Just(0), Just(u32::MAX - 1), any::<u32>()]
}

macro_rules! as_the_model_tells {
    ($($name:ident $kind:ident,)*) => {
        proptest! {
            $(#[test]
            fn $name(config in config(), first in first(), steps in steps(SocketType::$kind)) {
                play(SocketType::$kind, config, first, steps);
            })*
        }
    };
}

as_the_model_tells! {
    req_asks_in_turns_and_takes_only_the_answer_of_whom_it_asked Req,
    rep_answers_whom_it_heard_last_with_its_envelope Rep,
    dealer_takes_turns_and_receives_all Dealer,
    router_knows_its_peers_by_name Router,
    pub_sends_each_subscriber_one_copy_and_receives_nothing Pub,
    sub_receives_what_it_wants Sub,
    xpub_hears_of_the_first_and_the_last_of_each_topic Xpub,
    xsub_passes_subscriptions_up_and_receives_all Xsub,
    push_takes_turns_and_receives_nothing Push,
    pull_receives_all_and_sends_nothing Pull,
    pair_has_one_peer Pair,
}

proptest! {
    /// Whatever its order: also what no caller should do, and peers that never joined.
    #[test]
    fn no_bytes_and_no_order_of_calls_make_a_pattern_panic(
        (kind, steps) in prop::sample::select(&SocketType::ALL[..])
            .prop_flat_map(|kind| (Just(kind), steps(kind))),
        config in config(),
        wild in prop::collection::vec(any::<Vec<Vec<u8>>>(), 0..40),
    ) {
        let mut pattern = Pattern::new(kind, config, u32::MAX);
        let mut wild = wild.into_iter().cycle();
        for step in steps {
            match step {
                Step::Join(peer, name, _) => _ = pattern.join(peer, &name.into(), None),
                Step::Leave(peer) => pattern.leave(peer),
                Step::Full(peer) => pattern.full(peer),
                Step::Room(peer) => pattern.room(peer),
                Step::Send(parts) | Step::SendTo(_, parts) => {
                    _ = pattern.send(Message::new(parts), |peer| peer % 2 == 0);
                    _ = pattern.send(wild.next().unwrap_or_default().into_iter().collect(), |_| true);
                }
                Step::Hear(peer, parts) | Step::Reply(peer, parts) => {
                    _ = pattern.hear(peer, Message::new(parts));
                    _ = pattern.hear(peer, wild.next().unwrap_or_default().into_iter().collect());
                }
                Step::Subscription(peer, on, topic) => _ = pattern.subscription(peer, on, &topic),
                Step::Interest(on, topic) => _ = pattern.interest(on, &topic),
                Step::Notice => _ = pattern.notice(),
                Step::Decide(on, topic) => _ = pattern.decide(on, &topic),
                Step::MayReceive => _ = pattern.may_receive(),
                Step::Configure(config) => pattern.configure(config),
            }
        }
        for peer in 0..PEERS {
            pattern.leave(peer);
        }
        prop_assert_eq!(pattern.subscriptions(), 0);
    }
}

const BOUNDS: Bounds = Bounds {
    topic: 4,
    per_peer: 4,
    total: 10,
    bytes: 1000,
};
