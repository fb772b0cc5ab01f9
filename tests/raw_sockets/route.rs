//! ROUTER: names forged, taken over and storming; probes; peers that do not read. [D13], [R1] to
//! [R8], test_probe_router, test_router_mandatory_hwm, test_router_handover.

use scale0::socket::{Event, Handover, Message, Reason, SendError, Socket, SocketType};

use crate::alone::{alone, descriptors, peak, resident};
use crate::oracle::Good;
use crate::peer::{Peer, bound, event, listener, message, peers, ready, recv, soon, until};
use crate::raw;

/// test_probe_router, both ways: an empty message is the first that is sent, and ROUTER shows it.
#[tokio::test]
async fn a_probe_is_an_empty_message_and_comes_first() {
    for kind in [SocketType::Req, SocketType::Dealer, SocketType::Router] {
        let (listener, at) = listener().await;
        let mut options = scale0::socket::Options::default();
        options.set("probe_router", "1").unwrap();
        options.set("routing_id", "X").unwrap();
        let socket = Socket::with(kind, options);
        socket.connect(at.as_str()).unwrap();
        let mut peer = Peer::accept(&listener).await;
        peer.shake(SocketType::Router, b"Y").await;
        peer.expect(b"\0\0").await;
    }
    let (router, at) = bound(SocketType::Router, |_| {}).await;
    let mut peer = Peer::open_as(&at, SocketType::Dealer, b"X").await;
    peer.write(b"\0\0").await;
    peer.send(&["hello"]).await;
    assert_eq!(recv(&router).await, [&b"X"[..], b""]);
    assert_eq!(recv(&router).await, [&b"X"[..], b"hello"]);
}

/// [R3]: the second bearer of a name is turned away where libzmq leaves it in the dark; nothing of
/// it is received.
#[tokio::test]
async fn a_name_in_use_is_refused_and_its_bearer_keeps_its_messages() {
    for policy in [Handover::Refuse, Handover::SameUser] {
        let (router, at) = bound(SocketType::Router, |options| {
            options.pattern.handover = policy;
        })
        .await;
        let mut monitor = router.monitor();
        let mut good = Good::new(&router, &at).await;
        let mut forger = Peer::dial(&at).await;
        let mut bytes = raw::greeting().to_vec();
        bytes.extend(ready(SocketType::Dealer, b"good"));
        bytes.extend(message(&["forged"]));
        forger.write(&bytes).await;
        let reason = event(&mut monitor, |event| match event {
            Event::HandshakeFailed { reason, .. } => Some(reason.clone()),
            _ => None,
        })
        .await;
        assert!(matches!(reason, Reason::Unwelcome(_)), "{reason:?}");
        forger.closed().await;
        soon(router.send(Message::new(["good", "secret"])))
            .await
            .unwrap();
        assert_eq!(router.counters().rejected, 1);
        assert!(router.try_recv().unwrap().is_none(), "the forger is heard");
        good.next_is(&["secret"]).await;
        good.is_served(&router).await;
    }
}

/// [R4], test_router_handover.
#[tokio::test]
async fn with_handover_the_newcomer_has_the_name_and_the_old_peer_is_cut() {
    let (router, at) = bound(SocketType::Router, |options| {
        options.set("router_handover", "1").unwrap();
    })
    .await;
    let mut monitor = router.monitor();
    let mut old = Peer::open_as(&at, SocketType::Dealer, b"X").await;
    old.send(&["from the old one"]).await;
    // Half of a message: it goes with the old connection.
    old.write(b"\x01\x04half").await;
    assert_eq!(recv(&router).await, [&b"X"[..], b"from the old one"]);
    let mut new = Peer::open_as(&at, SocketType::Dealer, b"X").await;
    let reason = event(&mut monitor, |event| match event {
        Event::Disconnected { reason, .. } => Some(reason.clone()),
        _ => None,
    })
    .await;
    assert_eq!(reason, Reason::HandedOver);
    soon(router.send(Message::new(["X", "to the new one"])))
        .await
        .unwrap();
    new.expect(b"\0\x0eto the new one").await;
    assert!(old.closed().await.is_empty());
    new.send(&["whole"]).await;
    assert_eq!(recv(&router).await, [&b"X"[..], b"whole"]);
}

/// Storms of one name and of many: memory, descriptors and the good peer's route are as before.
#[test]
fn ten_thousand_reconnects_leave_memory_and_routes_intact() {
    alone(
        "route::ten_thousand_reconnects_leave_memory_and_routes_intact",
        || async {
            for policy in [Handover::Refuse, Handover::Any] {
                let (router, at) = bound(SocketType::Router, |options| {
                    options.pattern.handover = policy;
                })
                .await;
                let mut good = Good::new(&router, &at).await;
                let mut settled = 0;
                for n in 0..5000_u32 {
                    let name = match n % 3 {
                        0 => b"storm".to_vec(),
                        1 => format!("storm {n}").into_bytes(),
                        _ => Vec::new(),
                    };
                    let mut peer = Peer::dial(&at).await;
                    let mut bytes = raw::greeting().to_vec();
                    bytes.extend(ready(SocketType::Dealer, &name));
                    bytes.extend(b"\x01\x04half");
                    peer.write(&bytes).await;
                    if n % 2 == 0 {
                        peer.greeted().await;
                    }
                    drop(peer);
                    if n % 250 == 0 {
                        good.is_served(&router).await;
                    }
                    if n == 1000 {
                        until(|| router.counters().peers == 1).await;
                        settled = resident();
                    }
                }
                until(|| router.counters().peers == 1).await;
                good.is_served(&router).await;
                let grown = resident().saturating_sub(settled);
                assert!(grown < 4 << 10, "{policy:?}: {grown} KiB after 4000 more");
                let open = descriptors();
                assert!(open < 64, "{open} descriptors are open");
                drop(good);
            }
        },
    );
}

/// [D13] under handover: who hands a name on for ever harms only those who share it.
#[tokio::test]
async fn a_storm_of_take_overs_leaves_others_alone() {
    let (router, at) = bound(SocketType::Router, |options| {
        options.pattern.handover = Handover::Any;
    })
    .await;
    let mut good = Good::new(&router, &at).await;
    let mut held = Vec::new();
    for n in 0..200_u32 {
        let mut peer = Peer::open_as(&at, SocketType::Dealer, b"X").await;
        peer.send(&[n.to_be_bytes()]).await;
        while recv(&router).await != [&b"X"[..], &n.to_be_bytes()] {}
        held.push(peer);
    }
    soon(router.send(Message::new(["X", "to the last"])))
        .await
        .unwrap();
    held.pop().unwrap().expect(b"\0\x0bto the last").await;
    for mut peer in held {
        assert!(peer.closed().await.is_empty());
    }
    good.is_served(&router).await;
}

/// [R5]: whom nobody knows; automatic names of others are as good as any, and no more.
#[tokio::test]
async fn unknown_names_are_dropped_or_told_and_leave_nothing_behind() {
    for mandatory in [false, true] {
        let (router, at) = bound(SocketType::Router, |options| {
            options.pattern.mandatory = mandatory;
        })
        .await;
        let mut good = Good::new(&router, &at).await;
        for name in [&b""[..], b"\0", b"nobody", &[b'x'; 256], b"\0\0\0\0\0"] {
            let sent = router.try_send(Message::new([name, b"lost"]));
            assert_eq!(sent.is_ok(), !mandatory);
            if let Err(error) = sent {
                assert!(matches!(error, SendError::Unroutable(_)), "{error:?}");
            }
            good.is_served(&router).await;
        }
        assert_eq!(
            router.counters().dropped_unroutable,
            if mandatory { 0 } else { 5 }
        );
    }
}

/// [R5], test_router_mandatory_hwm: a peer that never reads. Without MANDATORY its messages are
/// dropped, with it they are refused; when it reads, it gets whole messages without a gap.
#[test]
fn a_routed_peer_that_never_reads_is_dropped_for_or_full() {
    alone(
        "route::a_routed_peer_that_never_reads_is_dropped_for_or_full",
        || async {
            for mandatory in [false, true] {
                let (router, at) = bound(SocketType::Router, |options| {
                    options.pattern.mandatory = mandatory;
                    options.send_messages = 10;
                })
                .await;
                let mut good = Good::new(&router, &at).await;
                let mut slow = Peer::open_as(&at, SocketType::Dealer, b"slow").await;
                peers(&router, 2).await;
                let before = peak();
                let body = vec![b'x'; 256 << 10];
                let mut went = 0_u32;
                for n in 0..200_u32 {
                    match router.try_send(Message::new([b"slow", &n.to_be_bytes()[..], &body])) {
                        Ok(()) => went += 1,
                        Err(SendError::Full(message)) if mandatory => {
                            assert_eq!(message.count(), 3, "the message comes back whole");
                        }
                        Err(error) => panic!("{error}"),
                    }
                    if n % 20 == 0 {
                        good.is_served(&router).await;
                    }
                }
                let dropped = u32::try_from(router.counters().dropped_full).unwrap();
                let passed = if mandatory { went } else { 200 - dropped };
                assert!(
                    (10..150).contains(&passed),
                    "{passed} passed, {dropped} dropped"
                );
                assert_eq!(dropped == 0, mandatory);
                let grown = peak() - before;
                assert!(grown < 24 << 10, "{grown} KiB");
                for n in 0..passed {
                    let got = slow.recv().await;
                    assert_eq!(got[0], n.to_be_bytes());
                    assert!(got[1] == body);
                }
                // There is room again.
                let last = Message::new(["slow", "again"]);
                soon(router.send(last)).await.unwrap();
                while slow.recv().await != [b"again"] {}
            }
        },
    );
}

/// [R7], [F7], CVE-2021-20234: halves of messages are never received, whatever they are halves of,
/// and leave no memory.
#[test]
fn unfinished_messages_are_not_received_and_leave_no_memory() {
    alone(
        "route::unfinished_messages_are_not_received_and_leave_no_memory",
        || leave_unfinished(10_000),
    );
}

/// The same, as often as the row asks for it.
#[test]
#[ignore = "takes a minute and more"]
fn a_hundred_thousand_unfinished_messages_leave_no_memory() {
    alone(
        "route::a_hundred_thousand_unfinished_messages_leave_no_memory",
        || leave_unfinished(100_000),
    );
}

async fn leave_unfinished(many: u32) {
    let (router, at) = bound(SocketType::Router, |_| {}).await;
    let mut good = Good::new(&router, &at).await;
    let mut settled = 0;
    for n in 0..many {
        let mut peer = Peer::dial(&at).await;
        let mut bytes = raw::greeting().to_vec();
        bytes.extend(ready(SocketType::Dealer, b""));
        for part in 0..10_u8 {
            bytes.extend([1, 100]);
            bytes.extend([part; 100]);
        }
        bytes.extend(b"\x04\x07\x04PING\0\0");
        // Cut in the length, in the body, or between parts.
        let tail: &[u8] = match n % 4 {
            0 => &[],
            1 => &[3, 0, 0, 0],
            2 => &[2, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 1, 2, 3],
            _ => &[1],
        };
        bytes.extend(tail);
        peer.write(&bytes).await;
        // Our end hears the PING, so all of it has been read, and the program nothing.
        let heard = async {
            peer.greeted().await;
            peer.expect(b"\x04\x05\x04PONG").await;
        };
        tokio::select! {
            biased;
            received = router.recv() => panic!("{received:?}"),
            () = heard => {}
        }
        // Without the wait that would use up the system's ports.
        socket2::SockRef::from(&peer.stream)
            .set_linger(Some(std::time::Duration::ZERO))
            .unwrap();
        drop(peer);
        if n % 1000 == 0 {
            good.is_served(&router).await;
        }
        if n == many / 10 {
            settled = resident();
        }
    }
    until(|| router.counters().peers == 1).await;
    assert_eq!(router.counters().dropped_lost, 0);
    let grown = resident().saturating_sub(settled);
    assert!(grown < 2 << 10, "{grown} KiB after nine tenths of {many}");
    good.is_served(&router).await;
}

/// What was received ahead from peers that went is bounded, in bytes too, and not lost.
#[test]
fn what_dead_peers_leave_to_a_slow_program_is_bounded_and_none_is_lost() {
    alone(
        "route::what_dead_peers_leave_to_a_slow_program_is_bounded_and_none_is_lost",
        || async {
            for (size, many) in [(64 << 10, 15_usize), (10, 900)] {
                let (router, at) = bound(SocketType::Router, |options| {
                    options.receive_bytes = 1 << 20;
                })
                .await;
                let before = peak();
                // Each a little less than is taken ahead of the program from one peer.
                let flood = message(&[vec![b'x'; size]]).repeat(many);
                let mut crowd = Vec::new();
                for _ in 0..50 {
                    let mut peer = Peer::open(&at, SocketType::Dealer).await;
                    peer.write(&flood).await;
                    peer.finish().await;
                    crowd.push(peer);
                }
                for mut peer in crowd.drain(..2) {
                    peer.closed().await;
                }
                let grown = peak() - before;
                // 1 MiB from each peer that is held, and what all those that are forgotten have left.
                assert!(grown < 80 << 10, "{grown} KiB of what the dead have said");
                let mut good = Peer::open_as(&at, SocketType::Dealer, b"good").await;
                good.send(&["last"]).await;
                let (mut heard, mut last) = (0, 0);
                while heard < 50 * many || last == 0 {
                    match recv(&router).await[0] == b"good" {
                        true => last += 1,
                        false => heard += 1,
                    }
                }
                assert_eq!((heard, last), (50 * many, 1));
                peers(&router, 1).await;
                assert_eq!(router.counters().dropped_lost, 0);
            }
        },
    );
}

/// Fair queueing under a flood: the good DEALER's message is not behind the others'.
#[tokio::test]
async fn floods_of_many_peers_do_not_push_one_back() {
    let (router, at) = bound(SocketType::Router, |_| {}).await;
    let mut loud = Vec::new();
    for n in 0..10_u8 {
        let mut peer = Peer::open_as(&at, SocketType::Dealer, &[b'L', n]).await;
        peer.write(&message(&["loud"]).repeat(200)).await;
        peer.ping().await;
        loud.push(peer);
    }
    let mut quiet = Peer::open_as(&at, SocketType::Dealer, b"quiet").await;
    for _ in 0..10 {
        quiet.send(&["hello"]).await;
        quiet.ping().await;
        let mut before = 0;
        while recv(&router).await[0] != b"quiet" {
            before += 1;
        }
        assert!(before <= loud.len(), "{before} before it");
    }
}
