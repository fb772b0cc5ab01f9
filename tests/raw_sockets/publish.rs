//! Publishers and subscribers: test_mock_pub_sub, test_xpub_topic, [D1], [D12], [D20], section 2.5,
//! and what hostile subscribers and publishers may do.

use scale0::socket::{Message, Socket, SocketType};

use crate::alone::{alone, peak, resident};
use crate::oracle::{Good, try_recv};
use crate::peer::{
    Peer, bound, cancel, command, listener, message, peers, ready, recv, soon, subscribe, until,
};
use crate::raw;

const PUBLISHERS: [SocketType; 2] = [SocketType::Pub, SocketType::Xpub];
const SUBSCRIBERS: [SocketType; 2] = [SocketType::Sub, SocketType::Xsub];

/// Says greeting (of that minor version) and READY, and reads the socket's.
async fn shake(peer: &mut Peer, minor: u8, kind: SocketType) {
    let mut greeting = raw::greeting();
    greeting[11] = minor;
    peer.write(&greeting).await;
    peer.write(&ready(kind, b"")).await;
    peer.greeted().await;
}

/// test_mock_pub_sub: sub_command, sub_legacy.
#[tokio::test]
async fn xpub_tells_a_subscription_in_either_form_and_publishes_to_it() {
    for (minor, said) in [(1, &b"\x04\x0b\x09SUBSCRIBEA"[..]), (0, b"\0\x02\x01A")] {
        let (xpub, at) = bound(SocketType::Xpub, |_| {}).await;
        let mut peer = Peer::dial(&at).await;
        shake(&mut peer, minor, SocketType::Sub).await;
        peer.write(said).await;
        assert_eq!(recv(&xpub).await, [b"\x01A"]);
        soon(xpub.send("ALOL")).await.unwrap();
        peer.expect(b"\0\x04ALOL").await;
    }
}

/// test_mock_pub_sub: pub_command, pub_legacy.
#[tokio::test]
async fn subscribers_speak_the_form_that_their_publisher_understands() {
    for kind in SUBSCRIBERS {
        for (minor, on, off) in [
            (
                1,
                &b"\x04\x0b\x09SUBSCRIBEA"[..],
                &b"\x04\x08\x06CANCELA"[..],
            ),
            (0, b"\0\x02\x01A", b"\0\x02\0A"),
        ] {
            let (listener, at) = listener().await;
            let sub = Socket::new(kind);
            sub.subscribe("A").unwrap();
            sub.connect(at.as_str()).unwrap();
            let mut peer = Peer::accept(&listener).await;
            shake(&mut peer, minor, SocketType::Xpub).await;
            peer.expect(on).await;
            peer.write(b"\0\x04ALOL").await;
            assert_eq!(recv(&sub).await, [b"ALOL"]);
            sub.unsubscribe("A").unwrap();
            peer.expect(off).await;
        }
    }
}

/// [D20]: both forms, from any minor, short frames or long, to PUB and XPUB.
#[tokio::test]
async fn both_forms_of_subscriptions_are_taken_from_every_version() {
    for kind in PUBLISHERS {
        let (socket, at) = bound(kind, |_| {}).await;
        for minor in [0, 1, 2] {
            let long =
                |flags, body: &[u8]| [raw::long(flags, body.len() as u64), body.to_vec()].concat();
            let forms = [
                (subscribe(b"T"), cancel(b"T")),
                (message(&["\u{1}T"]), message(&["\0T"])),
                (long(4, b"\x09SUBSCRIBET"), long(4, b"\x06CANCELT")),
                (long(0, b"\x01T"), long(0, b"\0T")),
                (subscribe(b"T"), message(&["\0T"])),
                (message(&["\u{1}T"]), cancel(b"T")),
            ];
            for (on, off) in forms {
                let mut peer = Peer::dial(&at).await;
                shake(&mut peer, minor, SocketType::Sub).await;
                peer.write(&on).await;
                peer.ping().await;
                soon(socket.send("Twice")).await.unwrap();
                peer.expect(b"\0\x05Twice").await;
                peer.write(&off).await;
                peer.ping().await;
                soon(socket.send("Twice")).await.unwrap();
                peer.ping().await;
                peer.finish().await;
                peer.closed().await;
            }
        }
    }
}

/// [D1]: a set per connection, not a count; and XPUB tells the first and the last only, also when
/// a subscriber just goes [S4]. A CANCEL of what was not subscribed to tells nothing [D20].
#[tokio::test]
async fn one_cancel_ends_any_number_of_subscriptions() {
    let (xpub, at) = bound(SocketType::Xpub, |_| {}).await;
    let mut one = Peer::open(&at, SocketType::Sub).await;
    let mut two = Peer::open(&at, SocketType::Sub).await;
    one.write(&[cancel(b"Z"), subscribe(b"A").repeat(3)].concat())
        .await;
    one.ping().await;
    two.write(&subscribe(b"A")).await;
    two.ping().await;
    one.write(&cancel(b"A")).await;
    one.ping().await;
    soon(xpub.send("A1")).await.unwrap();
    two.expect(b"\0\x02A1").await;
    one.ping().await;
    two.finish().await;
    assert_eq!(recv(&xpub).await, [b"\x01A"]);
    assert_eq!(recv(&xpub).await, [b"\0A"]);
    assert_eq!(try_recv(&xpub), None);
}

/// test_xpub_topic and [D12]: every length of a topic, over the edges of frames and commands, on
/// both sides, there and back.
#[tokio::test]
async fn topics_of_every_length_are_subscribed_to_and_cancelled() {
    let (xpub, at) = bound(SocketType::Xpub, |_| {}).await;
    let (listener, sub_at) = listener().await;
    let sub = Socket::new(SocketType::Sub);
    sub.connect(sub_at.as_str()).unwrap();
    let mut publisher = Peer::accept(&listener).await;
    publisher.shake(SocketType::Pub, b"").await;
    peers(&sub, 1).await;
    // And a second connection, to a publisher of 3.0.
    sub.connect(sub_at.as_str()).unwrap();
    let mut old = Peer::accept(&listener).await;
    shake(&mut old, 0, SocketType::Pub).await;
    peers(&sub, 2).await;
    let mut peer = Peer::open(&at, SocketType::Sub).await;
    for len in (1..=300).chain([4095, 4096]) {
        let topic = vec![b't'; len];
        peer.write(&subscribe(&topic)).await;
        assert_eq!(recv(&xpub).await, [[&[1], &topic[..]].concat()]);
        peer.write(&cancel(&topic)).await;
        assert_eq!(recv(&xpub).await, [[&[0], &topic[..]].concat()]);
        sub.subscribe(&topic).unwrap();
        publisher.expect(&subscribe(&topic)).await;
        old.expect(&message(&[[&[1], &topic[..]].concat()])).await;
        sub.unsubscribe(&topic).unwrap();
        publisher.expect(&cancel(&topic)).await;
        old.expect(&message(&[[&[0], &topic[..]].concat()])).await;
    }
}

/// [S7]: to PUB it is nothing, to XPUB a message for the program; neither disturbs anybody.
#[tokio::test]
async fn messages_of_subscribers_reach_xpub_and_nobody_behind_pub() {
    let (xpub, at) = bound(SocketType::Xpub, |_| {}).await;
    let mut peer = Peer::open(&at, SocketType::Xsub).await;
    for words in [&["hello"][..], &["\u{2}", "more"], &[""]] {
        peer.send(words).await;
        assert_eq!(
            recv(&xpub).await,
            words.iter().map(|w| w.as_bytes()).collect::<Vec<_>>()
        );
    }

    let (socket, at) = bound(SocketType::Pub, |_| {}).await;
    let mut good = Good::new(&socket, &at).await;
    let mut peer = Peer::open(&at, SocketType::Xsub).await;
    peer.send(&["hello", "you"]).await;
    peer.ping().await;
    assert_eq!(socket.counters().ignored, 1);
    good.is_served(&socket).await;
}

/// CVE-2021-20236 and section 4: bounds of topics; who breaks them is not heard, and others are.
#[tokio::test]
async fn a_topic_that_is_too_long_is_not_kept_and_one_beyond_a_command_is_closed() {
    for kind in PUBLISHERS {
        let (socket, at) = bound(kind, |_| {}).await;
        let mut good = Good::new(&socket, &at).await;
        let mut peer = Peer::open(&at, SocketType::Sub).await;
        let long = vec![b'g'; 4097];
        peer.write(&subscribe(&long)).await;
        peer.write(&message(&[[&[1], &long[..]].concat()])).await;
        peer.ping().await;
        assert_eq!(socket.counters().ignored, 2);
        peer.write(&subscribe(&long[..4096])).await;
        peer.ping().await;
        assert_eq!(socket.counters().ignored, 2);
        peer.write(&subscribe(&vec![b'g'; 8 << 10])).await;
        peer.closed().await;
        good.is_served(&socket).await;
    }
}

/// [D12]: what libzmq 4.3.4 makes of a topic of 246 bytes: nine bytes of length without the flag
/// that says so.
#[tokio::test]
async fn the_broken_long_subscription_of_libzmq_does_no_harm() {
    for kind in PUBLISHERS {
        for at_byte in [0, 4] {
            let (socket, at) = bound(kind, |_| {}).await;
            let mut good = Good::new(&socket, &at).await;
            let mut peer = Peer::open(&at, SocketType::Sub).await;
            let body = [&b"\x09SUBSCRIBE"[..], &[b't'; 246]].concat();
            let mut bytes = raw::long(at_byte, body.len() as u64);
            bytes[0] = at_byte;
            bytes.extend(&body);
            // It is desynchronised, or closed; what follows is anybody's guess.
            let _ = peer.try_write(&bytes).await;
            peer.finish().await;
            peer.closed().await;
            good.is_served(&socket).await;
        }
    }
}

/// Floods of subscriptions, of both forms: so many are kept, and not one more.
#[test]
fn a_flood_of_subscriptions_is_bounded_and_forgotten_with_its_peer() {
    alone(
        "publish::a_flood_of_subscriptions_is_bounded_and_forgotten_with_its_peer",
        || async {
            for kind in PUBLISHERS {
                let (socket, at) = bound(kind, |_| {}).await;
                let mut good = Good::new(&socket, &at).await;
                let before = resident();
                let mut peer = Peer::open(&at, SocketType::Sub).await;
                for round in 0..100_u32 {
                    let mut bytes = Vec::new();
                    for n in 0..1000 {
                        let topic = format!("{:0>200}", round * 1000 + n);
                        bytes.extend(match n % 2 {
                            0 => subscribe(topic.as_bytes()),
                            _ => message(&[[&[1], topic.as_bytes()].concat()]),
                        });
                    }
                    peer.write(&bytes).await;
                    good.is_served(&socket).await;
                }
                // XPUB is not read ahead of its program, which has to take the notices.
                let answered = tokio::spawn(async move {
                    peer.ping().await;
                    peer
                });
                while !answered.is_finished() {
                    good.is_served(&socket).await;
                }
                let mut peer = soon(answered).await.unwrap();
                assert_eq!(
                    socket.counters().ignored,
                    90_000,
                    "{kind}: 10 000 of them are kept"
                );
                let grown = peak() - before;
                assert!(grown < 48 << 10, "{kind}: {grown} KiB");
                peer.finish().await;
                peer.closed().await;
                good.is_served(&socket).await;
            }
        },
    );
}

/// A subscriber that changes its mind for ever: XPUB's program, which does not receive, is not
/// told without end.
#[test]
fn notices_that_nobody_receives_are_bounded() {
    alone(
        "publish::notices_that_nobody_receives_are_bounded",
        || async {
            let (socket, at) = bound(SocketType::Xpub, |_| {}).await;
            let mut good = Good::new(&socket, &at).await;
            good.is_served(&socket).await;
            let before = peak();
            let mut peer = Peer::open(&at, SocketType::Sub).await;
            let flood = [subscribe(&[b'a'; 100]), cancel(&[b'a'; 100])]
                .concat()
                .repeat(1000);
            let flooding = tokio::spawn(async move {
                for _ in 0..300 {
                    if tokio::time::timeout(
                        std::time::Duration::from_millis(300),
                        peer.try_write(&flood),
                    )
                    .await
                    .is_err()
                    {
                        // Held up: that is as it should be.
                        break;
                    }
                }
                peer
            });
            let _peer = soon(flooding).await.unwrap();
            let grown = peak() - before;
            assert!(grown < 8 << 10, "{grown} KiB of notices");
            // The program comes back, and all goes on.
            good.is_served(&socket).await;
        },
    );
}

/// However many notices wait for XPUB's program: whoever comes is greeted, and gets its turn when
/// the program does its part.
#[tokio::test]
async fn a_newcomer_is_let_in_while_notices_wait_for_the_program() {
    let (xpub, at) = bound(SocketType::Xpub, |_| {}).await;
    let mut crowd = Vec::new();
    for n in 0..2 {
        let mut peer = Peer::open(&at, SocketType::Sub).await;
        let topics = (0..6000).flat_map(|topic| subscribe(format!("{n} {topic}").as_bytes()));
        peer.write(&topics.collect::<Vec<u8>>()).await;
        crowd.push(peer);
    }
    // They are beyond the bound, and the program is elsewhere.
    tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    let mut late = Peer::open(&at, SocketType::Sub).await;
    late.write(&subscribe(b"late")).await;
    peers(&xpub, 3).await;
    while recv(&xpub).await != [b"\x01late"] {}
    soon(xpub.send("late, but in")).await.unwrap();
    assert_eq!(late.recv().await, [b"late, but in"]);
}

/// [D20], commands where none belong: to everyone but a publisher, SUBSCRIBE is nothing.
#[tokio::test]
async fn commands_where_none_belong_are_never_received_as_messages() {
    for kind in SocketType::ALL {
        if PUBLISHERS.contains(&kind) || kind == SocketType::Push {
            continue;
        }
        let (socket, at) = bound(kind, |options| {
            options.pattern.relaxed = true;
        })
        .await;
        if SUBSCRIBERS.contains(&kind) {
            socket.subscribe("").unwrap();
        }
        let mut peer = Peer::open_as(&at, crate::oracle::partner(kind), b"me").await;
        let odd = [
            subscribe(b"foo"),
            cancel(b"foo"),
            command(b"\x04PONG"),
            command(b"\x04JOINgroup"),
            command(b"\x05LEAVEgroup"),
            command(b"\x05HELLO"),
            command(b"\x07MESSAGE\x01\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"),
            command(b"\x03\0\0\0"),
            command(b"\x04ping\0\0"),
        ]
        .concat();
        peer.write(&odd).await;
        if kind == SocketType::Req {
            soon(socket.send("question")).await.unwrap();
        }
        peer.send(&["", "first"]).await;
        let mut got = recv(&socket).await;
        assert_eq!(got.pop().unwrap(), b"first", "{kind}");
        assert!(
            got.iter().all(|part| part.is_empty() || part == b"me"),
            "{kind}: {got:?}"
        );
    }
}

/// A peer of PUB, PUSH and the like may say what it wants: nobody has to hear it.
#[tokio::test]
async fn messages_to_types_that_do_not_receive_are_counted_and_forgotten() {
    let (socket, at) = bound(SocketType::Push, |_| {}).await;
    let mut peer = Peer::open(&at, SocketType::Pull).await;
    let flood = message(&["", "x", "y"]).repeat(1000);
    for _ in 0..50 {
        peer.write(&flood).await;
    }
    peer.ping().await;
    assert_eq!(socket.counters().ignored, 50_000);
    soon(socket.send("still")).await.unwrap();
    assert_eq!(peer.recv().await, [b"still"]);
}

/// [S2]: only the subscriber that does not read loses messages, and they are counted; memory is
/// bounded by its high-water mark.
#[test]
fn a_subscriber_that_never_reads_loses_its_own_messages_and_nobody_elses() {
    alone(
        "publish::a_subscriber_that_never_reads_loses_its_own_messages_and_nobody_elses",
        || async {
            for kind in PUBLISHERS {
                let (socket, at) = bound(kind, |options| {
                    options.send_messages = 100;
                })
                .await;
                let mut good = Good::new(&socket, &at).await;
                let mut slow = Peer::open(&at, SocketType::Sub).await;
                slow.write(&subscribe(b"flood")).await;
                slow.ping().await;
                let mut quick = Peer::open(&at, SocketType::Sub).await;
                quick.write(&subscribe(b"flood")).await;
                quick.ping().await;
                let before = peak();
                let body = vec![b'x'; 64 << 10];
                for n in 0..1000_u32 {
                    let words = [&b"flood"[..], &n.to_be_bytes(), &body];
                    soon(socket.send(Message::new(words))).await.unwrap();
                    let got = quick.recv().await;
                    assert_eq!(got[1], n.to_be_bytes(), "in order and without a gap");
                }
                good.is_served(&socket).await;
                let dropped = socket.counters().dropped_full;
                assert!((500..1000).contains(&dropped), "{kind}: {dropped} dropped");
                let grown = peak() - before;
                assert!(grown < 32 << 10, "{kind}: {grown} KiB");
                // What it gets when it reads at last: whole messages, in order, the oldest first.
                let mut last = None;
                for _ in 0..1000 - dropped {
                    let got = slow.recv().await;
                    assert_eq!((got.len(), got[2].len()), (3, body.len()));
                    let n = u32::from_be_bytes(got[1][..].try_into().unwrap());
                    assert!(last.is_none_or(|last| last < n));
                    last = Some(n);
                }
            }
        },
    );
}

/// A publisher that floods a SUB which does not receive: it is held up, not kept; one that floods
/// what nobody wants does not keep another from being heard.
#[test]
fn a_publisher_that_floods_a_slow_subscriber_has_to_wait() {
    alone(
        "publish::a_publisher_that_floods_a_slow_subscriber_has_to_wait",
        || async {
            for kind in SUBSCRIBERS {
                let (socket, at) = bound(kind, |options| {
                    options.receive_messages = 100;
                    options.receive_bytes = 1 << 20;
                })
                .await;
                let mut good = Good::new(&socket, &at).await;
                socket.subscribe("flood").unwrap();
                let before = peak();
                let mut loud = Peer::open(&at, SocketType::Pub).await;
                let wanted = message(&[&b"flood"[..], &[b'x'; 8 << 10]]).repeat(10);
                let wrote = tokio::spawn(async move {
                    let mut wrote = 0;
                    // Until nothing is taken for a while, or far too much was.
                    while wrote < 64 << 20
                        && tokio::time::timeout(
                            std::time::Duration::from_millis(500),
                            loud.try_write(&wanted),
                        )
                        .await
                        .is_ok()
                    {
                        wrote += wanted.len();
                    }
                    wrote
                });
                let wrote = soon(wrote).await.unwrap();
                assert!(wrote < 64 << 20, "{kind}: it took all {wrote} bytes");
                let grown = peak() - before;
                assert!(grown < 24 << 10, "{kind}: {grown} KiB");
                good.is_served(&socket).await;

                let mut noise = Peer::open(&at, SocketType::Pub).await;
                let unwanted = message(&[&b"noise"[..], &[b'x'; 100]]).repeat(100);
                let noise = tokio::spawn(async move {
                    for _ in 0..300 {
                        if noise.try_write(&unwanted).await.is_err() {
                            break;
                        }
                        tokio::task::yield_now().await;
                    }
                });
                while !noise.is_finished() {
                    good.is_served(&socket).await;
                }
            }
        },
    );
}

/// [S8]: SUB filters again: what comes late, or unasked, is not received. XSUB does not.
#[tokio::test]
async fn what_was_not_subscribed_to_is_received_by_xsub_alone() {
    for kind in SUBSCRIBERS {
        let (socket, at) = bound(kind, |_| {}).await;
        socket.subscribe("a").unwrap();
        let mut peer = Peer::open(&at, SocketType::Pub).await;
        for words in [&["b"][..], &["", "a"], &["A"], &["ab", "b"]] {
            peer.send(words).await;
        }
        if kind == SocketType::Xsub {
            assert_eq!(recv(&socket).await, [b"b"]);
            continue;
        }
        assert_eq!(recv(&socket).await, [b"ab", &b"b"[..]]);
        assert_eq!(socket.counters().ignored, 3);
    }
}

/// All subscriptions are said again after every reconnect, and once each.
#[tokio::test]
async fn subscriptions_are_said_again_after_each_reconnect() {
    let (listener, at) = listener().await;
    let mut options = scale0::socket::Options::default();
    options.set("reconnect_ivl", "1").unwrap();
    options.set("reconnect_ivl_max", "0").unwrap();
    let sub = Socket::with(SocketType::Sub, options);
    for topic in ["a", "b", "b"] {
        sub.subscribe(topic).unwrap();
    }
    sub.connect(at.as_str()).unwrap();
    for _ in 0..5 {
        let mut peer = Peer::accept(&listener).await;
        peer.shake(SocketType::Pub, b"").await;
        let mut said = [peer.frame().await.1, peer.frame().await.1];
        said.sort();
        assert_eq!(said, [b"\x09SUBSCRIBEa", b"\x09SUBSCRIBEb"]);
        peer.finish().await;
        peer.closed().await;
    }
    until(|| sub.counters().peers == 0).await;
}
