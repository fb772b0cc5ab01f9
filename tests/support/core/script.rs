//! Scripts for proptest: steps in small numbers, so that a failing one shrinks to something a
//! person can read. What a number means is the player's to say.

use proptest::prelude::*;
use scale0::broker::{Access, Config, Overflow};
use scale0::limits::Limits;
use scale0::protocol::{Name, Policy, Wants};
use scale0::security::User;
use scale0::wire::Endpoint;
use std::sync::Arc;
use std::time::Duration;

use super::rights::{any_rules, any_user};

/// One thing that happens. Peers are numbered by [`PEERS`]; each may be client and worker.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    Ask {
        peer: usize,
        service: u8,
        /// The client's number; zero is none.
        id: u64,
        ttl_ms: u64,
        idempotent: bool,
        priority: u8,
        /// What workers may be chosen by.
        key: Option<u8>,
        wants: Wants,
        bytes: usize,
    },
    Cancel {
        peer: usize,
        id: u64,
    },
    Announce {
        peer: usize,
        /// Service, whether it is declared idempotent, and how it is to be used.
        offers: Vec<(u8, bool, Traits)>,
        capacity: u16,
        promise_ms: u64,
        /// It counts credit.
        credit: bool,
    },
    /// A client says what it can do; credit or nothing.
    Caps(usize, bool),
    /// It takes so many parts and KiB more of its task's reply.
    Credit {
        peer: usize,
        id: u64,
        messages: u16,
        kib: u32,
    },
    /// So many parts to the n-th task that the worker has, as fast as it can.
    Burst {
        peer: usize,
        nth: usize,
        parts: usize,
        bytes: usize,
    },
    /// A part that only shows progress.
    Progress {
        peer: usize,
        nth: usize,
    },
    /// A reply to the n-th task that the worker has.
    Reply {
        peer: usize,
        nth: usize,
        partial: bool,
        how: How,
        bytes: usize,
    },
    /// A reply with the n-th token that the broker ever gave to anybody.
    Stray {
        peer: usize,
        nth: usize,
    },
    Ping {
        peer: usize,
        promise_ms: u64,
        capacity: Option<u16>,
        /// The n-th token ever, as a lease.
        token: Option<usize>,
        /// It understands what it did not ask for.
        capable: bool,
    },
    NeedBroker(usize),
    Beat(usize),
    Bye(usize),
    Lost(usize),
    Full(usize, bool),
    Sign(usize),
    /// An operator sets how a service is run; see the player for the words.
    Set(usize, u8, u8),
    /// A question to the broker itself.
    Own(usize, u8),
    Malformed(usize, bool),
    Unknown(usize, bool),
    Dead(usize),
    /// Bytes in the caller's buffers.
    Outside(usize),
    Drain(u64),
    /// Time passes, from deadline to deadline.
    Wait(u64),
    /// To the next deadline.
    Doze,
    /// A connection opens, if it has not said anything yet.
    Open(usize, Option<User>, bool),
    Rules(Option<Arc<Access>>),
}

/// How a worker says that it is done.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum How {
    Well,
    Badly,
    /// Another may have it.
    NotAtAll,
    /// Not yet: this only shows how far it is.
    Soon,
}

/// Attributes of an offer.
#[derive(Clone, Copy, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct Traits {
    /// One less than the weight.
    pub(crate) weight: u16,
    pub(crate) policy: Option<Policy>,
    pub(crate) slow_ms: u64,
    pub(crate) max: Option<u16>,
    pub(crate) ttl_ms: Option<u64>,
}

fn traits() -> impl Strategy<Value = Traits> {
    let policy = prop::sample::select(vec![
        Policy::Idle,
        Policy::Least,
        Policy::Weighted,
        Policy::Hash,
        Policy::TwoChoices,
    ]);
    let any = (
        0..4u16,
        proptest::option::of(policy),
        prop_oneof![4 => Just(0u64), 1 => Just(2000)],
        proptest::option::weighted(0.2, 1..3u16),
        proptest::option::weighted(0.1, 500..3000u64),
    )
        .prop_map(|(weight, policy, slow_ms, max, ttl_ms)| Traits {
            weight,
            policy,
            slow_ms,
            max,
            ttl_ms,
        });
    prop_oneof![1 => Just(Traits::default()), 1 => any]
}

pub(crate) fn steps(most: usize) -> impl Strategy<Value = Vec<Step>> {
    proptest::collection::vec(step(), 1..most)
}

/// The same with users and rules that change.
pub(crate) fn steps_under_rules(most: usize) -> impl Strategy<Value = Vec<Step>> {
    let open = (0..PEERS, any_user(), any::<bool>())
        .prop_map(|(peer, user, local)| Step::Open(peer, user, local));
    let rules = proptest::option::weighted(0.9, any_rules().prop_map(Arc::new));
    let opened = proptest::collection::vec(any_user(), PEERS).prop_map(|users| {
        let each = users.into_iter().enumerate();
        each.map(|(peer, user)| Step::Open(peer, user, peer % 2 == 0))
            .collect::<Vec<Step>>()
    });
    let later = prop_oneof![20 => step(), 1 => open, 2 => rules.prop_map(Step::Rules)];
    (opened, proptest::collection::vec(later, 1..most))
        .prop_map(|(opened, later)| opened.into_iter().chain(later).collect())
}

fn step() -> impl Strategy<Value = Step> {
    // Mostly a few peers and services, so that they have to do with each other.
    let peer = || prop_oneof![3 => 0..4usize, 1 => 0..PEERS];
    let service = || prop_oneof![4 => 0..2u8, 1 => 0..SERVICES];
    let offered = || prop_oneof![4 => 0..2u8, 2 => 0..OFFERS];
    let bytes = || prop_oneof![4 => 0..20usize, 1 => 100..900usize];
    prop_oneof![
        12 => (
            peer(), service(), 0..4u64, ttl(), any::<bool>(), priority(),
            proptest::option::of(0..3u8), wants(), bytes()
        ).prop_map(
            |(peer, service, id, ttl_ms, idempotent, priority, key, wants, bytes)| Step::Ask {
                peer, service, id, ttl_ms, idempotent, priority, key, wants, bytes
            }
        ),
        2 => (peer(), 0..4u64).prop_map(|(peer, id)| Step::Cancel { peer, id }),
        6 => (
            peer(),
            proptest::collection::vec((offered(), any::<bool>(), traits()), 0..4),
            0..6u16,
            prop_oneof![3 => Just(0), 1 => Just(100), 1 => Just(2000)],
            any::<bool>(),
        )
            .prop_map(|(peer, offers, capacity, promise_ms, credit)| Step::Announce {
                peer, offers, capacity, promise_ms, credit
            }),
        2 => (peer(), prop::bool::weighted(0.8)).prop_map(|(peer, credit)| Step::Caps(peer, credit)),
        3 => (peer(), 0..4u64, more(), prop_oneof![Just(0u32), 1..5u32, Just(u32::MAX)]).prop_map(
            |(peer, id, messages, kib)| Step::Credit { peer, id, messages, kib }
        ),
        3 => burst(peer().boxed()),
        1 => (peer(), 0..4usize).prop_map(|(peer, nth)| Step::Progress { peer, nth }),
        12 => (peer(), 0..4usize, prop::bool::weighted(0.2), how(), bytes()).prop_map(
            |(peer, nth, partial, how, bytes)| Step::Reply { peer, nth, partial, how, bytes }
        ),
        2 => (peer(), 0..30usize).prop_map(|(peer, nth)| Step::Stray { peer, nth }),
        2 => (
            peer(),
            prop_oneof![Just(0u64), Just(200), Just(3000)],
            proptest::option::of(0..6u16),
            proptest::option::of(0..30usize),
            any::<bool>(),
        )
            .prop_map(|(peer, promise_ms, capacity, token, capable)| Step::Ping {
                peer, promise_ms, capacity, token, capable
            }),
        1 => peer().prop_map(Step::NeedBroker),
        1 => (peer(), any::<bool>()).prop_map(|(peer, local)| Step::Open(peer, None, local)),
        2 => peer().prop_map(Step::Beat),
        1 => peer().prop_map(Step::Bye),
        3 => peer().prop_map(Step::Lost),
        2 => (peer(), any::<bool>()).prop_map(|(peer, full)| Step::Full(peer, full)),
        1 => peer().prop_map(Step::Sign),
        1 => (peer(), 0..8u8).prop_map(|(peer, name)| Step::Own(peer, name)),
        1 => (peer(), service(), 0..9u8).prop_map(|(peer, service, what)| Step::Set(peer, service, what)),
        1 => (peer(), any::<bool>()).prop_map(|(peer, task)| Step::Malformed(peer, task)),
        1 => (peer(), any::<bool>()).prop_map(|(peer, proxied)| Step::Unknown(peer, proxied)),
        1 => peer().prop_map(Step::Dead),
        1 => (0..9000usize).prop_map(Step::Outside),
        1 => prop_oneof![Just(0u64), Just(900), Just(20_000)].prop_map(Step::Drain),
        4 => prop_oneof![Just(1u64), 1..300u64, 300..9000u64].prop_map(Step::Wait),
        4 => Just(Step::Doze),
    ]
}

fn priority() -> impl Strategy<Value = u8> {
    prop_oneof![3 => Just(4u8), 1 => 1..8u8]
}

fn how() -> impl Strategy<Value = How> {
    prop_oneof![3 => Just(How::Well), 2 => Just(How::Badly), 2 => Just(How::NotAtAll)]
}

fn wants() -> impl Strategy<Value = Wants> {
    prop_oneof![
        6 => Just(Wants::Answer),
        2 => Just(Wants::Receipt),
        1 => Just(Wants::Nothing),
    ]
}

fn more() -> impl Strategy<Value = u16> {
    prop_oneof![1 => Just(0u16), 4 => 1..20u16, 1 => Just(u16::MAX)]
}

fn burst(peer: BoxedStrategy<usize>) -> impl Strategy<Value = Step> {
    let parts = prop_oneof![3 => 1..25usize, 1 => 1..4usize];
    let bytes = prop_oneof![4 => 0..20usize, 1 => 100..900usize, 1 => 400_000..600_000usize];
    (peer, 0..4usize, parts, bytes).prop_map(|(peer, nth, parts, bytes)| Step::Burst {
        peer,
        nth,
        // Large ones are few, for the sake of the test's time.
        parts: if bytes > 1000 { parts % 4 + 1 } else { parts },
        bytes,
    })
}

/// What happens to a few tasks in quick succession: two clients, one that counts credit and one
/// that does not, three workers of all kinds, and everything that can end or delay an answer.
pub(crate) fn races(most: usize) -> impl Strategy<Value = Vec<Step>> {
    let client = || 0..3usize;
    let plain = Traits::default();
    let worker = || prop_oneof![0..2usize, Just(4usize), Just(5usize)];
    let id = || 1..4u64;
    let ask = (
        client(),
        0..2u8,
        id(),
        prop_oneof![Just(50u64), Just(5000)],
        any::<bool>(),
        wants(),
    );
    let ask = ask.prop_map(|(peer, service, id, ttl_ms, idempotent, wants)| Step::Ask {
        peer,
        service,
        id,
        ttl_ms,
        idempotent,
        priority: 4,
        key: None,
        wants,
        bytes: 0,
    });
    let announce = (worker(), 1..4u16, any::<bool>(), any::<bool>());
    let announce = announce.prop_map(move |(peer, capacity, idempotent, credit)| Step::Announce {
        peer,
        offers: vec![(0, idempotent, plain), (1, false, plain)],
        capacity,
        promise_ms: 0,
        credit,
    });
    let credit = (client(), id(), 1..20u16).prop_map(|(peer, id, messages)| Step::Credit {
        peer,
        id,
        messages,
        kib: 1,
    });
    let step = prop_oneof![
        6 => ask,
        3 => announce,
        2 => (client(), prop::bool::weighted(0.8)).prop_map(|(peer, credit)| Step::Caps(peer, credit)),
        6 => (client(), id()).prop_map(|(peer, id)| Step::Cancel { peer, id }),
        6 => (worker(), 0..3usize, any::<bool>(), how()).prop_map(|(peer, nth, partial, how)| Step::Reply {
            peer, nth, partial, how, bytes: 0
        }),
        4 => burst(worker().boxed()),
        4 => credit,
        1 => (worker(), 0..9usize).prop_map(|(peer, nth)| Step::Stray { peer, nth }),
        2 => (0..6usize).prop_map(Step::Lost),
        1 => (0..6usize).prop_map(Step::Bye),
        3 => (client(), any::<bool>()).prop_map(|(peer, full)| Step::Full(peer, full)),
        3 => Just(Step::Doze),
        2 => (1..60u64).prop_map(Step::Wait),
    ];
    let opening = [
        Step::Caps(0, true),
        Step::Caps(1, true),
        Step::Announce {
            peer: 1,
            offers: vec![(0, true, plain)],
            capacity: 2,
            promise_ms: 0,
            credit: true,
        },
    ];
    proptest::collection::vec(step, 1..most)
        .prop_map(move |steps| opening.iter().cloned().chain(steps).collect())
}

fn ttl() -> impl Strategy<Value = u64> {
    prop_oneof![2 => Just(0u64), 1 => 1..200u64, 2 => 200..9000u64]
}

/// A configuration whose limits a short script reaches.
pub(crate) fn tight() -> impl Strategy<Value = Config> {
    let limits = (
        1..5usize,
        1..5usize,
        1500..9000usize,
        1..4usize,
        1..5usize,
        1..6usize,
    );
    let overflow = prop_oneof![Just(Overflow::Refuse), Just(Overflow::Block)];
    (limits, 1..4u16, overflow, any::<bool>()).prop_map(
        |((queue, client, bytes, names, services, at_once), max_attempts, overflow, alone)| {
            Config {
                max_attempts,
                overflow,
                failover: if alone { Vec::new() } else { others() },
                limits: Limits {
                    queue_tasks: queue,
                    queue_bytes: bytes / 2,
                    client_tasks: client,
                    held: bytes,
                    awaited_names: names,
                    services,
                    worker_tasks: at_once,
                    // A few small bodies.
                    worker_outbox: bytes / 100,
                    ahead: bytes / 20,
                    message: 1000,
                    parts: 4,
                    ..Limits::default()
                },
                ..quick()
            }
        },
    )
}

/// The default with shorter times, so that a short script sees them pass.
pub(crate) fn quick() -> Config {
    Config {
        default_ttl: Duration::from_secs(5),
        max_ttl: Duration::from_secs(8),
        suspect_after: Duration::from_secs(1),
        suspect_time: Duration::from_secs(10),
        eject_after: 2,
        eject_time: Duration::from_millis(700),
        drain_time: Duration::from_secs(2),
        failover: others(),
        ..Config::default()
    }
}

/// Another broker.
pub(crate) fn others() -> Vec<Endpoint> {
    vec!["tcp://other:5555".parse().unwrap()]
}

pub(crate) fn service(n: u8) -> Name {
    Name::from(
        [
            "resize",
            "echo",
            "sum",
            "a name of some length, longer than most",
            "echo@2",
            "img.small",
            "echo@1",
            "img.*",
            "*",
            ">",
        ][usize::from(n)],
    )
}

/// What is asked for: the first of them.
const SERVICES: u8 = 6;
/// What S0 workers offer.
const OFFERS: u8 = 10;
/// What Majordomo peers ask for and offer.
pub(crate) const PLAIN: u8 = 4;
/// See the player for the language of each.
pub(crate) const PEERS: usize = 9;
