//! The rows of section 2 of `spec/zmtp.md` (and D1, D13, D20), as far as a pattern alone decides
//! them. What queues, connections and time decide is tested with sockets.

use bytes::Bytes;
use scale0::pattern::{
    Change, Config, Dropped, Handover, Ignored, Interests, Pattern, Refusal, Subscriptions, Taken,
    Unwelcome, Verbose, Violation, Way,
};
use scale0::wire::{Message, SocketType};

/// A socket of that type and its first peers, all with room.
fn pattern(kind: SocketType, peers: u32, config: Config) -> Pattern {
    let mut pattern = Pattern::new(kind, config, 7);
    for peer in 0..peers {
        join(&mut pattern, peer);
    }
    pattern
}

fn plain(kind: SocketType, peers: u32) -> Pattern {
    pattern(kind, peers, Config::default())
}

fn join(pattern: &mut Pattern, peer: u32) {
    pattern.join(peer, &Bytes::new(), None).unwrap();
}

fn send<const N: usize>(pattern: &mut Pattern, parts: [&[u8]; N]) -> Way {
    pattern.send(Message::new(parts), |_| false)
}

fn hear<const N: usize>(pattern: &mut Pattern, peer: u32, parts: [&[u8]; N]) -> Taken {
    pattern.hear(peer, Message::new(parts))
}

/// To whom a message went that is no publication.
fn receiver(way: Way) -> u32 {
    match way {
        Way::To { peer, .. } => peer,
        other => panic!("{other:?}"),
    }
}

/// Who gets a publication with that first part.
fn audience(pattern: &mut Pattern, first: &[u8]) -> Vec<u32> {
    let way = send(pattern, [first, b"rest"]);
    assert_eq!(way, Way::Each(Message::new([first, b"rest"])));
    let mut targets = pattern.targets().to_vec();
    targets.sort_unstable();
    targets
}

fn notices(pattern: &mut Pattern) -> Vec<Vec<u8>> {
    let next = || pattern.notice();
    std::iter::from_fn(next)
        .map(|notice| {
            assert_eq!(notice.count(), 1);
            notice.first().unwrap().to_vec()
        })
        .collect()
}

fn to(peer: u32, head: Option<Message>, body: Message) -> Way {
    Way::To { peer, head, body }
}

fn received<const N: usize>(parts: [&[u8]; N]) -> Taken {
    Taken::Message {
        from: None,
        body: Message::new(parts),
    }
}

fn named(name: &str) -> Bytes {
    Bytes::copy_from_slice(name.as_bytes())
}

// [R1]
#[test]
fn a_peer_without_a_name_gets_a_new_one_each_time() {
    let mut router = Pattern::new(SocketType::Router, Config::default(), 0xfffe);
    let mut given = Vec::new();
    for turn in 0..4u32 {
        let peer = turn % 2;
        router.leave(peer);
        let name = router.join(peer, &Bytes::new(), None).unwrap().name;
        given.extend(name);
    }
    let due = [
        &b"\0\0\0\xff\xfe"[..],
        b"\0\0\0\xff\xff",
        b"\0\0\x01\0\0",
        b"\0\0\x01\0\x01",
    ];
    assert_eq!(given, due);
    assert!(!router.knows(due[0]) && !router.knows(due[1]));
    assert!(router.knows(due[2]) && router.knows(due[3]));
}

// [R2]
#[test]
fn a_name_is_bound_on_arrival_and_free_at_the_end() {
    let mut router = plain(SocketType::Router, 0);
    router.join(1, &named("ann"), None).unwrap();
    assert_eq!(router.name(1), Some(&named("ann")));
    router.leave(1);
    assert_eq!((router.name(1), router.knows(b"ann")), (None, false));
    // The same place, connected again.
    router.join(1, &named("bob"), None).unwrap();
    assert_eq!(receiver(send(&mut router, [b"bob", b"x"])), 1);
    assert_eq!(
        send(&mut router, [b"ann", b"x"]),
        Way::Dropped(Dropped::Unroutable)
    );
}

// [R3]
#[test]
fn without_handover_the_second_of_a_name_is_turned_away_visibly() {
    let mut router = plain(SocketType::Router, 0);
    router.join(1, &named("ann"), None).unwrap();
    let user = named("ann");
    assert_eq!(
        router.join(2, &named("ann"), Some(&user)),
        Err(Unwelcome::NameTaken)
    );
    // Its end takes nothing from the first.
    router.leave(2);
    assert_eq!(receiver(send(&mut router, [b"ann", b"x"])), 1);
}

// [R4]
#[test]
fn with_handover_the_newcomer_has_the_name_at_once_and_keeps_it() {
    let mut router = pattern(
        SocketType::Router,
        0,
        Config {
            handover: Handover::Any,
            ..Config::default()
        },
    );
    router.join(1, &named("ann"), None).unwrap();
    let welcome = router.join(2, &named("ann"), None).unwrap();
    assert_eq!(welcome.displaced, Some(1));
    assert_eq!(receiver(send(&mut router, [b"ann", b"x"])), 2);
    // What the old one still says is nobody's, and not the newcomer's.
    assert_eq!(
        hear(&mut router, 1, [b"forged", b"x"]),
        Taken::Ignored(Ignored::Stale)
    );
    router.leave(1);
    assert_eq!(receiver(send(&mut router, [b"ann", b"x"])), 2);
}

// [R4]
#[test]
fn a_name_can_be_bound_to_the_user_who_has_authenticated() {
    let config = Config {
        handover: Handover::SameUser,
        ..Config::default()
    };
    let [ann, eve] = ["ann", "eve"].map(named);
    let mut router = pattern(SocketType::Router, 0, config);
    router.join(1, &named("worker"), Some(&ann)).unwrap();
    for thief in [None, Some(&eve)] {
        assert_eq!(
            router.join(2, &named("worker"), thief),
            Err(Unwelcome::NameTaken)
        );
    }
    let welcome = router.join(2, &named("worker"), Some(&ann)).unwrap();
    assert_eq!(welcome.displaced, Some(1));
    // Nobody is not the same user as nobody.
    router.join(3, &named("open"), None).unwrap();
    assert!(router.join(4, &named("open"), None).is_err());
}

// [R5]
#[test]
fn what_router_cannot_route_is_dropped_or_told_if_that_is_mandatory() {
    for mandatory in [false, true] {
        let config = Config {
            mandatory,
            ..Config::default()
        };
        let mut router = pattern(SocketType::Router, 0, config);
        router.join(1, &named("ann"), None).unwrap();
        let [unknown, full] = [["bob", "x"], ["ann", "x"]].map(Message::new);
        let ways = [
            router.send(unknown.clone(), |_| false),
            router.send(full.clone(), |_| true),
        ];
        if mandatory {
            let refused = Way::Refused(unknown, Refusal::Unroutable);
            assert_eq!(ways, [refused, Way::Wait(full)]);
        } else {
            assert_eq!(ways, [Dropped::Unroutable, Dropped::Full].map(Way::Dropped));
        }
        // A name and nothing for its bearer, whether it has room or not.
        for full in [false, true] {
            let lone = Message::from("ann");
            assert_eq!(
                router.send(lone.clone(), |_| full),
                Way::Refused(lone, Refusal::Empty)
            );
        }
        // No failed send leaves anything behind.
        assert_eq!(
            send(&mut router, [b"ann", b"", b"x"]),
            to(1, None, Message::new(["", "x"]))
        );
    }
}

// [R6]
#[test]
fn router_may_always_be_written_to_when_it_may_drop() {
    let mut router = plain(SocketType::Router, 1);
    router.full(0);
    assert!(router.has_room());
}

// [R7], [R8]
#[test]
fn router_tells_who_sent_each_message_and_changes_nothing_in_it() {
    let mut router = plain(SocketType::Router, 0);
    for (peer, name) in [(1, "ann"), (2, "bob")] {
        router.join(peer, &named(name), None).unwrap();
    }
    for (peer, name) in [(1, "ann"), (2, "bob"), (1, "ann")] {
        // An empty one is a probe, and is received as well.
        for parts in [&["", "x"][..], &[""]] {
            let due = Taken::Message {
                from: Some(named(name)),
                body: Message::new(parts),
            };
            assert_eq!(router.hear(peer, Message::new(parts)), due);
        }
    }
}

// [L1]
#[test]
fn whole_messages_go_round_and_who_is_full_is_passed_over() {
    for kind in [SocketType::Push, SocketType::Dealer] {
        let mut socket = plain(kind, 3);
        let turn = |socket: &mut Pattern| {
            let message = Message::new(["a", "b"]);
            match socket.send(message.clone(), |_| false) {
                Way::To {
                    peer,
                    head: None,
                    body,
                } if body == message => peer,
                other => panic!("{other:?}"),
            }
        };
        let turns: Vec<u32> = (0..6).map(|_| turn(&mut socket)).collect();
        assert_eq!(turns, [0, 1, 2, 0, 1, 2], "{kind:?}");
        socket.full(1);
        let turns: Vec<u32> = (0..4).map(|_| turn(&mut socket)).collect();
        assert_eq!(turns, [0, 2, 0, 2]);
        socket.room(1);
        let mut turns: Vec<u32> = (0..3).map(|_| turn(&mut socket)).collect();
        turns.sort_unstable();
        assert_eq!(turns, [0, 1, 2]);
        // Gone, and back in the same place.
        socket.leave(1);
        socket.room(1);
        assert!((0..4).all(|_| turn(&mut socket) != 1));
        join(&mut socket, 1);
        assert!((0..3).any(|_| turn(&mut socket) == 1));
    }
}

// [L2]
#[test]
fn without_a_peer_with_room_a_message_waits_and_is_never_dropped() {
    for kind in [
        SocketType::Push,
        SocketType::Dealer,
        SocketType::Pair,
        SocketType::Req,
    ] {
        let mut socket = plain(kind, 0);
        let message = Message::new(["a", "b"]);
        let waits = |socket: &mut Pattern| {
            assert!(!socket.has_room());
            let way = socket.send(message.clone(), |_| false);
            assert_eq!(way, Way::Wait(message.clone()), "{kind:?}");
        };
        waits(&mut socket);
        join(&mut socket, 0);
        socket.full(0);
        waits(&mut socket);
        socket.room(0);
        assert!(socket.has_room());
        assert_eq!(receiver(send(&mut socket, [b"a"])), 0);
        socket.leave(0);
        if kind != SocketType::Req {
            waits(&mut socket);
        }
    }
}

// [Q1]
#[test]
fn a_request_has_a_delimiter_in_front_and_an_id_if_that_is_asked_for() {
    let mut req = plain(SocketType::Req, 1);
    assert_eq!(
        send(&mut req, [b"a", b"b"]),
        to(0, Some(Message::from("")), Message::new(["a", "b"]))
    );
    let config = Config {
        correlate: true,
        relaxed: true,
        ..Config::default()
    };
    let mut req = pattern(SocketType::Req, 1, config);
    for id in [7u32, 8, 9] {
        let head = Message::new([&id.to_be_bytes()[..], b""]);
        assert_eq!(
            send(&mut req, [b"a"]),
            to(0, Some(head), Message::from("a"))
        );
    }
}

// [Q2]
#[test]
fn req_alternates_strictly() {
    let mut req = plain(SocketType::Req, 2);
    assert_eq!(req.may_receive(), Err(Refusal::SendFirst));
    assert_eq!(receiver(send(&mut req, [b"a"])), 0);
    assert_eq!(req.asked(), Some(0));
    assert_eq!(
        send(&mut req, [b"b"]),
        Way::Refused(Message::from("b"), Refusal::ReceiveFirst)
    );
    assert_eq!(req.may_receive(), Ok(()));
    assert_eq!(hear(&mut req, 0, [b"", b"x"]), received([b"x"]));
    assert_eq!(req.may_receive(), Err(Refusal::SendFirst));
    // The next request goes to the next peer.
    assert_eq!(receiver(send(&mut req, [b"b"])), 1);
}

// [Q2]
#[test]
fn a_relaxed_req_abandons_its_old_request() {
    for correlate in [false, true] {
        let config = Config {
            relaxed: true,
            correlate,
            ..Config::default()
        };
        let mut req = pattern(SocketType::Req, 1, config);
        let heads = [b"a", b"b"].map(|body| match send(&mut req, [body]) {
            Way::To {
                head: Some(head), ..
            } => head,
            other => panic!("{other:?}"),
        });
        let [late, right] = heads.map(|head| Message::new(head.parts().chain([&b"x"[..]])));
        // Only an id tells a late answer from the right one.
        if correlate {
            assert_eq!(req.hear(0, late), Taken::Ignored(Ignored::Stale));
        }
        assert_eq!(req.hear(0, right), received([b"x"]));
    }
}

// [Q3]
#[test]
fn only_the_peer_that_was_asked_can_answer_and_only_after_that() {
    let mut req = plain(SocketType::Req, 2);
    let stale = Taken::Ignored(Ignored::Stale);
    assert_eq!(hear(&mut req, 0, [b"", b"early"]), stale);
    assert_eq!(receiver(send(&mut req, [b"a"])), 0);
    assert_eq!(hear(&mut req, 1, [b"", b"other's"]), stale);
    assert_eq!(hear(&mut req, 0, [b"", b"x", b""]), received([b"x", b""]));
    assert_eq!(hear(&mut req, 0, [b"", b"again"]), stale);
}

// [Q3]
#[test]
fn an_answer_whose_peer_is_gone_is_not_waited_for() {
    let mut req = plain(SocketType::Req, 1);
    send(&mut req, [b"a"]);
    req.leave(0);
    join(&mut req, 0);
    assert_eq!(req.may_receive(), Err(Refusal::Lost));
    assert_eq!(req.may_receive(), Err(Refusal::SendFirst), "told once");
    assert_eq!(
        hear(&mut req, 0, [b"", b"late"]),
        Taken::Ignored(Ignored::Stale)
    );
    assert_eq!(receiver(send(&mut req, [b"b"])), 0);
    assert_eq!(req.may_receive(), Ok(()));
    // Who asks again at once need not hear of it.
    req.leave(0);
    join(&mut req, 0);
    assert_eq!(receiver(send(&mut req, [b"c"])), 0);
    assert_eq!(req.may_receive(), Ok(()));
}

// [Q4]
#[test]
fn what_is_no_reply_closes_and_a_foreign_id_is_only_stale() {
    let cases: [(&[&str], Taken); 6] = [
        (&["x"], Taken::Close(Violation::NoReply)),
        (&["x", "", "y"], Taken::Close(Violation::NoReply)),
        (&[""], Taken::Close(Violation::NoReply)),
        (&["1234", ""], Taken::Close(Violation::NoReply)),
        (&["12345", "", "y"], Taken::Close(Violation::NoReply)),
        (&["1234", "", "y"], Taken::Ignored(Ignored::Stale)),
    ];
    for (parts, due) in cases {
        let mut req = plain(SocketType::Req, 1);
        send(&mut req, [b"a"]);
        assert_eq!(req.hear(0, Message::new(parts)), due, "{parts:?}");
        assert_eq!(req.asked(), Some(0), "the answer may still come");
    }
}

// [Q5]
#[test]
fn rep_keeps_an_envelope_of_bounded_depth_and_puts_it_back() {
    let mut rep = plain(SocketType::Rep, 2);
    assert_eq!(
        send(&mut rep, [b"early"]),
        Way::Refused(Message::from("early"), Refusal::ReceiveFirst)
    );
    let ignored = Taken::Ignored(Ignored::NoRequest);
    assert_eq!(hear(&mut rep, 0, [b"x"]), ignored);
    assert_eq!(hear(&mut rep, 0, [b"x", b""]), ignored);
    assert_eq!(rep.may_receive(), Ok(()));
    assert_eq!(
        hear(&mut rep, 1, [b"x", b"y", b"", b"body", b"", b"z"]),
        received([b"body", b"", b"z"])
    );
    assert_eq!(
        send(&mut rep, [b"answer"]),
        to(
            1,
            Some(Message::new(["x", "y", ""])),
            Message::from("answer")
        )
    );
    let config = Config {
        envelope: 3,
        ..Config::default()
    };
    let mut rep = pattern(SocketType::Rep, 1, config);
    assert_eq!(hear(&mut rep, 0, [b"1", b"2", b"3", b"", b"x"]), ignored);
    assert_eq!(hear(&mut rep, 0, [b"1", b"2", b"", b"x"]), received([b"x"]));
}

// [Q6]
#[test]
fn the_answer_to_a_vanished_peer_is_dropped_and_the_turn_goes_on() {
    let mut rep = plain(SocketType::Rep, 1);
    hear(&mut rep, 0, [b"", b"x"]);
    assert_eq!(rep.may_receive(), Err(Refusal::SendFirst));
    rep.leave(0);
    // Another one in the same place has not asked.
    join(&mut rep, 0);
    assert_eq!(send(&mut rep, [b"y"]), Way::Dropped(Dropped::Gone));
    assert_eq!(
        send(&mut rep, [b"z"]),
        Way::Refused(Message::from("z"), Refusal::ReceiveFirst)
    );
    assert_eq!(rep.may_receive(), Ok(()));
    // So is what the peer has no room for; REP does not wait for it.
    hear(&mut rep, 0, [b"", b"x"]);
    assert_eq!(
        rep.send(Message::from("y"), |_| true),
        Way::Dropped(Dropped::Full)
    );
    assert_eq!(rep.may_receive(), Ok(()));
}

// [Q7]
#[test]
fn dealer_pull_and_pair_take_any_parts_as_they_are() {
    for kind in [SocketType::Dealer, SocketType::Pull, SocketType::Pair] {
        let mut socket = plain(kind, 1);
        for parts in [&[""][..], &["", ""], &["\0"], &["\u{1}a"], &["x", "", "y"]] {
            let due = Taken::Message {
                from: None,
                body: Message::new(parts),
            };
            assert_eq!(socket.hear(0, Message::new(parts)), due);
        }
    }
}

// [S1]
#[test]
fn a_topic_is_a_prefix_of_the_first_part() {
    let mut publisher = plain(SocketType::Pub, 3);
    for (peer, topic) in [(0, &b""[..]), (1, b"a"), (2, b"ab")] {
        publisher.subscription(peer, true, topic);
    }
    assert_eq!(audience(&mut publisher, b""), [0]);
    assert_eq!(audience(&mut publisher, b"a"), [0, 1]);
    assert_eq!(audience(&mut publisher, b"abc"), [0, 1, 2]);
    assert_eq!(audience(&mut publisher, b"rest"), [0]);
    let mut sub = plain(SocketType::Sub, 1);
    assert_eq!(hear(&mut sub, 0, [b"a"]), Taken::Ignored(Ignored::Unwanted));
    assert!(sub.interest(true, b"a"));
    assert_eq!(hear(&mut sub, 0, [b"ab", b"c"]), received([b"ab", b"c"]));
    assert_eq!(
        hear(&mut sub, 0, [b"b", b"a"]),
        Taken::Ignored(Ignored::Unwanted)
    );
}

// [S1]
#[test]
fn inverted_topics_say_what_is_not_wanted() {
    let config = Config {
        invert: true,
        ..Config::default()
    };
    let mut publisher = pattern(SocketType::Pub, 3, config);
    publisher.subscription(1, true, b"a");
    assert_eq!(audience(&mut publisher, b"ab"), [0, 2]);
    assert_eq!(audience(&mut publisher, b"b"), [0, 1, 2]);
    publisher.leave(2);
    assert_eq!(audience(&mut publisher, b"b"), [0, 1]);
    let mut sub = pattern(SocketType::Sub, 1, config);
    sub.interest(true, b"a");
    assert_eq!(
        hear(&mut sub, 0, [b"ab"]),
        Taken::Ignored(Ignored::Unwanted)
    );
    assert_eq!(hear(&mut sub, 0, [b"b"]), received([b"b"]));
}

// [S2]
#[test]
fn a_publisher_never_waits_unless_nothing_may_be_dropped() {
    for no_drop in [false, true] {
        let config = Config {
            no_drop,
            ..Config::default()
        };
        let mut xpub = pattern(SocketType::Xpub, 2, config);
        xpub.subscription(0, true, b"a");
        xpub.subscription(1, true, b"b");
        let message = Message::from("a");
        let way = xpub.send(message.clone(), |peer| peer == 0);
        if no_drop {
            assert_eq!(way, Way::Wait(message));
        } else {
            assert_eq!(way, Way::Each(message));
        }
        // Who does not want it, holds nobody up.
        let message = Message::from("b");
        let way = xpub.send(message.clone(), |peer| peer == 0);
        assert_eq!((way, xpub.targets()), (Way::Each(message), &[1][..]));
    }
}

// [S3]
#[test]
fn one_copy_goes_to_a_peer_with_many_matching_topics() {
    let mut publisher = plain(SocketType::Pub, 2);
    for topic in ["", "a", "ab", "ab", "abc"] {
        publisher.subscription(0, true, topic.as_bytes());
        publisher.subscription(1, true, topic.as_bytes());
    }
    assert_eq!(audience(&mut publisher, b"abcd"), [0, 1]);
}

// [S4]
#[test]
fn xpub_hears_what_its_verbosity_says_whatever_form_it_came_in() {
    let cases: [(Verbose, &[&[u8]]); 3] = [
        (Verbose::No, &[b"\x01a", b"\x00a"]),
        (
            Verbose::Subscriptions,
            &[b"\x01a", b"\x01a", b"\x01a", b"\x00a"],
        ),
        (
            Verbose::All,
            &[b"\x01a", b"\x01a", b"\x01a", b"\x00a", b"\x00a", b"\x00x"],
        ),
    ];
    for (verbose, due) in cases {
        let config = Config {
            verbose,
            ..Config::default()
        };
        let mut xpub = pattern(SocketType::Xpub, 2, config);
        assert_eq!(xpub.subscription(0, true, b"a"), Taken::Subscription);
        assert_eq!(hear(&mut xpub, 1, [b"\x01a"]), Taken::Subscription);
        xpub.subscription(1, true, b"a");
        hear(&mut xpub, 0, [b"\0a"]);
        // The last one does not say that it goes.
        xpub.leave(1);
        join(&mut xpub, 1);
        hear(&mut xpub, 1, [b"\0x"]);
        assert_eq!(xpub.notices(), due.len(), "{verbose:?}");
        assert_eq!(notices(&mut xpub), due, "{verbose:?}");
        assert_eq!(audience(&mut xpub, b"a"), [0; 0]);
    }
}

// [S4]
#[test]
fn verboser_hears_of_all_that_a_peer_wanted_which_is_gone() {
    let config = Config {
        verbose: Verbose::All,
        ..Config::default()
    };
    let mut xpub = pattern(SocketType::Xpub, 2, config);
    for topic in [b"b", b"a"] {
        xpub.subscription(0, true, topic);
        xpub.subscription(1, true, topic);
    }
    notices(&mut xpub);
    xpub.leave(0);
    assert_eq!(notices(&mut xpub), [b"\0a", b"\0b"]);
}

// [S5]
#[test]
fn with_manual_the_program_decides_for_whom_it_heard_last() {
    let config = Config {
        manual: true,
        ..Config::default()
    };
    let mut xpub = pattern(SocketType::Xpub, 2, config);
    assert_eq!(xpub.decide(true, b"x"), Ok(false));
    xpub.subscription(0, true, b"a");
    xpub.subscription(1, true, b"a");
    assert_eq!(audience(&mut xpub, b"a"), [0; 0]);
    assert_eq!(xpub.notice(), Some(Message::from(b"\x01a")));
    assert_eq!(xpub.decide(true, b"x"), Ok(true));
    assert_eq!(xpub.notice(), Some(Message::from(b"\x01a")));
    assert_eq!(xpub.decide(true, b"xy"), Ok(true));
    assert_eq!(audience(&mut xpub, b"a"), [0; 0]);
    assert_eq!(audience(&mut xpub, b"xyz"), [0, 1]);
    assert_eq!(xpub.decide(false, b"xy"), Ok(true));
    assert_eq!(audience(&mut xpub, b"xyz"), [0]);
    // The end tells what was asked for, not what was given; and of nobody can be decided.
    xpub.leave(0);
    assert_eq!(notices(&mut xpub), [b"\0a"]);
    assert_eq!(xpub.decide(true, b"x"), Ok(false));
    assert_eq!(audience(&mut xpub, b"xyz"), [0; 0]);
    // Nor for who comes in the place of one whose notice still waits.
    xpub.subscription(1, true, b"b");
    xpub.leave(1);
    join(&mut xpub, 1);
    assert_eq!(xpub.notice(), Some(Message::from(b"\x01b")));
    assert_eq!(xpub.decide(true, b"x"), Ok(false));
    assert_eq!(audience(&mut xpub, b"xyz"), [0; 0]);
}

// [S5]
#[test]
fn a_last_value_goes_only_to_the_last_subscriber() {
    let config = Config {
        manual: true,
        last_value: true,
        ..Config::default()
    };
    let mut xpub = pattern(SocketType::Xpub, 2, config);
    for peer in [0, 1] {
        xpub.subscription(peer, true, b"a");
        xpub.notice();
        assert_eq!(xpub.decide(true, b"a"), Ok(true));
        assert_eq!(audience(&mut xpub, b"a"), [peer]);
    }
    assert_eq!(audience(&mut xpub, b"a"), [0, 1]);
    // Not what it does not want, and not to who comes in its place.
    xpub.decide(true, b"b").unwrap();
    assert_eq!(audience(&mut xpub, b"c"), [0; 0]);
    xpub.decide(true, b"b").unwrap();
    xpub.leave(1);
    join(&mut xpub, 1);
    assert_eq!(audience(&mut xpub, b"a"), [0]);
}

// [S7]
#[test]
fn other_messages_of_a_subscriber_reach_xpub_and_not_pub() {
    let others: [&[&str]; 4] = [&["x"], &[""], &["\u{2}a"], &["\u{1}a", "b"]];
    for parts in others {
        let message = Message::new(parts);
        let mut xpub = plain(SocketType::Xpub, 1);
        let due = Taken::Message {
            from: None,
            body: message.clone(),
        };
        assert_eq!(xpub.hear(0, message.clone()), due);
        let mut publisher = plain(SocketType::Pub, 1);
        let due = Taken::Ignored(Ignored::NoReceiver);
        assert_eq!(publisher.hear(0, message), due);
        assert_eq!(xpub.subscriptions() + publisher.subscriptions(), 0);
    }
    assert_eq!(
        plain(SocketType::Pub, 1).may_receive(),
        Err(Refusal::NoReceiver)
    );
}

// [S8]
#[test]
fn xsub_sends_subscriptions_as_messages_and_all_else_to_all() {
    let tells = |xsub: &mut Pattern, part: &[u8]| match send(xsub, [part]) {
        Way::Subscription { on, topic, tell } => {
            assert_eq!((u8::from(on), &topic[..]), (part[0], &part[1..]));
            tell
        }
        other => panic!("{other:?}"),
    };
    for verbose in [false, true] {
        let config = Config {
            verbose_unsubscribe: verbose,
            ..Config::default()
        };
        let mut xsub = pattern(SocketType::Xsub, 2, config);
        assert_eq!(tells(&mut xsub, b"\0a"), verbose);
        assert!(tells(&mut xsub, b"\x01a"));
        assert!(!tells(&mut xsub, b"\x01a"));
        assert_eq!(tells(&mut xsub, b"\0a"), verbose);
        assert!(xsub.interests().wants(b"ab"));
        assert!(tells(&mut xsub, b"\0a"));
        assert!(xsub.interests().is_empty());
        assert_eq!(audience(&mut xsub, b"\x01a"), [0, 1]);
        assert_eq!(audience(&mut xsub, b""), [0, 1]);
        // It filters nothing itself: a forwarder's other side does.
        assert_eq!(hear(&mut xsub, 0, [b"any"]), received([b"any"]));
    }
}

// [S8]
#[test]
fn sub_drops_what_comes_late_and_does_not_send() {
    let mut sub = plain(SocketType::Sub, 1);
    sub.interest(true, b"a");
    sub.interest(false, b"a");
    assert_eq!(hear(&mut sub, 0, [b"a"]), Taken::Ignored(Ignored::Unwanted));
    assert_eq!(
        send(&mut sub, [b"\x01a"]),
        Way::Refused(Message::from(b"\x01a"), Refusal::NoSender)
    );
}

// D1
#[test]
fn one_cancel_ends_what_many_subscribes_began_and_a_subscriber_says_only_the_last() {
    let mut publisher = plain(SocketType::Pub, 1);
    for _ in 0..3 {
        publisher.subscription(0, true, b"a");
    }
    publisher.subscription(0, false, b"a");
    assert_eq!(audience(&mut publisher, b"a"), [0; 0]);
    let mut set = Subscriptions::new(Config::default().bounds);
    assert_eq!(set.subscribe(0, b"a"), Ok(Change::Topic));
    assert_eq!(set.subscribe(0, b"a"), Ok(Change::Nothing));
    assert_eq!(set.cancel(0, b"a"), Change::Topic);

    let mut sub = plain(SocketType::Sub, 1);
    let told = [true, true, false, false, false].map(|on| sub.interest(on, b"a"));
    assert_eq!(told, [true, false, false, true, false]);
    let mut own = Interests::new();
    assert_eq!((own.subscribe(b"a"), own.subscribe(b"a")), (true, false));
}

// D13
#[test]
fn automatic_names_pass_over_those_that_peers_have_chosen() {
    let mut router = Pattern::new(SocketType::Router, Config::default(), u32::MAX);
    for (peer, name) in [(7, b"\0\xff\xff\xff\xff"), (8, b"\0\0\0\0\0")] {
        router.join(peer, &Bytes::from_static(name), None).unwrap();
    }
    let name = router.join(0, &Bytes::new(), None).unwrap().name;
    assert_eq!(name.as_deref(), Some(&b"\0\0\0\0\x01"[..]));
}

// D13
#[test]
fn a_name_means_nothing_where_nobody_is_routed_to() {
    for kind in SocketType::ALL {
        if matches!(kind, SocketType::Router | SocketType::Pair) {
            continue;
        }
        let mut socket = plain(kind, 0);
        for peer in [0, 1] {
            let welcome = socket.join(peer, &named("same"), None).unwrap();
            assert_eq!((welcome.name, welcome.displaced), (None, None));
        }
    }
}

// D20
#[test]
fn subscriptions_where_none_belong_are_dropped_and_not_kept() {
    for kind in SocketType::ALL {
        let mut socket = plain(kind, 1);
        let taken = socket.subscription(0, true, b"foo");
        if matches!(kind, SocketType::Pub | SocketType::Xpub) {
            assert_eq!((taken, socket.subscriptions()), (Taken::Subscription, 1));
        } else {
            assert_eq!(taken, Taken::Ignored(Ignored::NoReceiver), "{kind:?}");
            assert_eq!(socket.subscriptions(), 0);
        }
        assert_eq!(socket.notices(), usize::from(kind == SocketType::Xpub));
    }
}

// D20: libzmq delivers it.
#[test]
fn the_end_of_an_unknown_topic_is_no_news() {
    let mut xpub = plain(SocketType::Xpub, 1);
    assert_eq!(hear(&mut xpub, 0, [b"\0foo"]), Taken::Subscription);
    assert_eq!(xpub.notices(), 0);
}

// RFC 31
#[test]
fn pair_has_one_peer_and_then_another() {
    let mut pair = plain(SocketType::Pair, 1);
    assert_eq!(pair.join(1, &Bytes::new(), None), Err(Unwelcome::Taken));
    assert_eq!(receiver(send(&mut pair, [b"a"])), 0);
    pair.leave(0);
    join(&mut pair, 1);
    assert_eq!(receiver(send(&mut pair, [b"a"])), 1);
}

#[test]
fn a_message_without_parts_is_never_sent() {
    for kind in SocketType::ALL {
        let mut socket = plain(kind, 1);
        assert_eq!(
            send(&mut socket, []),
            Way::Refused(Message::default(), Refusal::Empty)
        );
        assert_eq!(socket.asked(), None);
    }
}

#[test]
fn a_peer_that_subscribes_beyond_a_bound_keeps_what_it_has() {
    let mut config = Config::default();
    config.bounds.per_peer = 2;
    let mut publisher = pattern(SocketType::Pub, 2, config);
    publisher.subscription(0, true, b"a");
    publisher.subscription(0, true, b"b");
    assert_eq!(
        publisher.subscription(0, true, b"c"),
        Taken::Ignored(Ignored::Full)
    );
    assert_eq!(publisher.subscription(1, true, b"c"), Taken::Subscription);
    assert_eq!(audience(&mut publisher, b"b"), [0]);
    assert_eq!(audience(&mut publisher, b"c"), [1]);
}
