//! test_heartbeats with a peer made by hand, and [D5], [D6], [D10], [D11], [H1] to [H4].

use std::task::{Context, Waker};
use std::time::{Duration, Instant};

use scale0::socket::{Event, Heartbeat, Socket, SocketType};

use crate::oracle::{Good, partner};
use crate::peer::{Peer, bound, command, event, message, parts, peers, recv, soon};
use crate::raw;

fn ping(ttl: u16, context: &[u8]) -> Vec<u8> {
    command(&[b"\x04PING", &ttl.to_be_bytes()[..], context].concat())
}

/// test_heartbeats: mock_ping, for every type. The bytes are those of libzmq's own test.
#[tokio::test]
async fn pong_gives_the_context_back_cut_to_16_bytes_for_every_type() {
    for kind in SocketType::ALL {
        let (_socket, at) = bound(kind, |_| {}).await;
        let mut peer = Peer::open(&at, partner(kind)).await;
        if matches!(kind, SocketType::Sub | SocketType::Xsub) {
            peer.ping().await;
        }
        peer.write(b"\x04\x0a\x04PING\0\0LOL").await;
        peer.expect(b"\x04\x08\x04PONGLOL").await;
        let long = [&b"\x04\x41\x04PING\0\0LOL"[..], &[b'z'; 55]].concat();
        peer.write(&long).await;
        peer.expect(b"\x04\x15\x04PONGLOLzzzzzzzzzzzzz").await;
        peer.write(&ping(0, b"")).await;
        peer.expect(b"\x04\x05\x04PONG").await;
    }
}

/// A `select!` keeps what it does not poll while one of its arms is at work.
#[tokio::test]
async fn a_future_that_was_woken_and_is_not_polled_keeps_no_peer_waiting() {
    let (socket, at) = bound(SocketType::Pull, |_| {}).await;
    let mut monitor = socket.monitor();
    let mut peer = Peer::open(&at, SocketType::Push).await;
    let opened = |event: &Event| matches!(event, Event::Opened { .. }).then_some(());
    event(&mut monitor, opened).await;
    let mut kept = std::pin::pin!(socket.recv());
    let mut nobody = Context::from_waker(Waker::noop());
    assert!(kept.as_mut().poll(&mut nobody).is_pending());
    let since = Instant::now();
    peer.ping().await;
    assert!(since.elapsed() < Duration::from_secs(5));
    peer.ping().await;
    // And those who come meanwhile are let in.
    let mut other = Peer::open(&at, SocketType::Push).await;
    other.ping().await;
    other.send(&["message"]).await;
    let message = soon(kept).await.unwrap();
    assert_eq!(message.first(), Some(&b"message"[..]));
}

/// [C1]: what is not known is no mistake, but it can be seen.
#[tokio::test]
async fn commands_that_mean_nothing_are_counted_and_do_no_harm() {
    for kind in SocketType::ALL {
        let (socket, at) = bound(kind, |_| {}).await;
        let mut monitor = socket.monitor();
        let mut peer = Peer::open(&at, partner(kind)).await;
        peer.write(&command(b"\x04JOINgroup")).await;
        peer.write(&command(b"\x05BOGUS")).await;
        peer.ping().await;
        assert_eq!(socket.counters().commands_ignored, 2, "{kind}");
        drop(peer);
        event(&mut monitor, |event| {
            matches!(event, Event::Disconnected { .. }).then_some(())
        })
        .await;
        assert_eq!(socket.counters().commands_ignored, 2, "{kind}");
    }
}

/// test_heartbeats: timeout_router. PING is seen, and without any answer DISCONNECTED.
#[tokio::test]
async fn a_peer_that_does_not_answer_ping_is_cut() {
    for kind in SocketType::ALL {
        let (socket, at) = bound(kind, |options| {
            options.set("heartbeat_ivl", "50").unwrap();
        })
        .await;
        let mut monitor = socket.monitor();
        let mut peer = Peer::open(&at, partner(kind)).await;
        peer.expect(b"\x04\x07\x04PING\0\0").await;
        let reason = event(&mut monitor, |event| match event {
            Event::Disconnected { reason, .. } => Some(reason.clone()),
            _ => None,
        })
        .await;
        assert_eq!(reason.to_string(), "no answer to PING", "{kind}");
        peer.closed().await;
    }
}

/// test_heartbeats: the TTL that we say, in tenths of a second and cut to 65.5 s [D11].
#[tokio::test]
async fn our_ping_states_the_ttl_in_deciseconds() {
    for (ms, wire) in [
        ("99", &b"\0\0"[..]),
        ("100", &b"\0\x01"[..]),
        ("30000", &b"\x01\x2c"[..]),
        ("65500", &b"\x02\x8f"[..]),
        ("6553599", &b"\x02\x8f"[..]),
    ] {
        let (_socket, at) = bound(SocketType::Router, |options| {
            options.set("heartbeat_ivl", "20").unwrap();
            options.set("heartbeat_timeout", "60000").unwrap();
            options.set("heartbeat_ttl", ms).unwrap();
        })
        .await;
        let mut peer = Peer::open(&at, SocketType::Dealer).await;
        peer.expect(&[b"\x04\x07\x04PING", wire].concat()).await;
    }
}

/// test_heartbeats: setsockopt_ttl.
#[test]
fn a_ttl_beyond_what_the_wire_can_say_is_no_option() {
    let mut options = scale0::socket::Options::default();
    assert!(options.set("heartbeat_ttl", "6553599").is_ok());
    assert!(options.set("heartbeat_ttl", "6553600").is_err());
}

/// test_heartbeats: ttl. The peer's own promise, for each pair of types; data voids it [H1], [H2].
#[tokio::test]
async fn a_peer_that_breaks_its_own_ttl_is_cut_and_one_that_talks_is_not() {
    for kind in SocketType::ALL {
        let (socket, at) = bound(kind, |_| {}).await;
        let mut monitor = socket.monitor();
        let mut peer = Peer::open(&at, partner(kind)).await;
        let since = Instant::now();
        peer.write(&ping(1, b"")).await;
        let reason = event(&mut monitor, |event| match event {
            Event::Disconnected { reason, .. } => Some(reason.clone()),
            _ => None,
        })
        .await;
        assert_eq!(reason.to_string(), "the peer's own TTL ran out", "{kind}");
        assert!(since.elapsed() >= Duration::from_millis(100));
        peer.closed().await;
    }
}

/// [D11]: in 16 bits, 656 deciseconds would be 64 ms. And [H2]: zero is none, any byte voids it.
#[tokio::test]
async fn a_long_ttl_does_not_wrap_and_zero_is_none() {
    let (socket, at) = bound(SocketType::Pull, |_| {}).await;
    let mut monitor = socket.monitor();
    let mut stay = Vec::new();
    for bytes in [
        ping(656, b""),
        ping(1311, b""),
        ping(u16::MAX, b""),
        ping(0, b""),
        [ping(1, b""), message(&["voids it"])].concat(),
    ] {
        let mut peer = Peer::open(&at, SocketType::Push).await;
        peer.write(&bytes).await;
        stay.push(peer);
    }
    assert_eq!(recv(&socket).await, [b"voids it"]);
    // The clock: longer than all that wraps.
    let mut short = Peer::open(&at, SocketType::Push).await;
    short.write(&ping(3, b"")).await;
    event(&mut monitor, |event| {
        matches!(event, Event::Disconnected { .. }).then_some(())
    })
    .await;
    assert_eq!(socket.counters().peers, 5);
    for peer in &mut stay {
        peer.ping().await;
    }
}

/// test_heartbeats: notimeout. Two seconds of mutual silence but for PING and PONG.
#[tokio::test]
async fn two_sockets_that_heartbeat_stay_connected() {
    let options = || scale0::socket::Options {
        heartbeat: Some(Heartbeat {
            interval: Duration::from_millis(50),
            timeout: Duration::from_secs(10),
            ttl: Duration::from_secs(20),
        }),
        ..scale0::socket::Options::default()
    };
    let router = Socket::with(SocketType::Router, options());
    let at = router.bind("tcp://127.0.0.1:*").await.unwrap();
    let dealer = Socket::with(SocketType::Dealer, options());
    dealer.connect(&at).unwrap();
    peers(&router, 1).await;
    let mut monitor = router.monitor();
    // As the test's own clock: a peer whose TTL runs out after two seconds.
    let mut clock = Peer::open(&at, SocketType::Dealer).await;
    clock.write(&ping(20, b"")).await;
    // It is pinged; to answer would void its promise.
    let connection = event(&mut monitor, |event| match event {
        Event::Opened { connection, .. } => Some(*connection),
        _ => None,
    })
    .await;
    let gone = event(&mut monitor, |event| match event {
        Event::Disconnected { connection, .. } => Some(*connection),
        _ => None,
    })
    .await;
    assert_eq!(gone, connection, "the clock's own");
    assert_eq!(router.counters().peers, 1);
}

/// [H1]: no PONG, but data.
#[tokio::test]
async fn data_answers_ping_as_well() {
    let (socket, at) = bound(SocketType::Pull, |options| {
        options.set("heartbeat_ivl", "50").unwrap();
        options.set("heartbeat_timeout", "2000").unwrap();
    })
    .await;
    let mut peer = Peer::open(&at, SocketType::Push).await;
    for n in 0..5_u8 {
        peer.expect(b"\x04\x07\x04PING\0\0").await;
        peer.send(&[[n]]).await;
        assert_eq!(recv(&socket).await, [[n]]);
    }
}

/// [D5]: 3.0 has no PING: it is not sent there, and answered all the same.
#[tokio::test]
async fn a_peer_of_3_0_is_not_pinged_and_its_ping_is_answered() {
    let (_socket, at) = bound(SocketType::Pull, |options| {
        options.set("heartbeat_ivl", "20").unwrap();
        options.set("heartbeat_timeout", "20").unwrap();
    })
    .await;
    let mut old = Peer::dial(&at).await;
    let mut greeting = raw::greeting();
    greeting[11] = 0;
    old.write(&greeting).await;
    old.write(&crate::peer::ready(SocketType::Push, b"")).await;
    old.greeted().await;
    // Another one is pinged and cut meanwhile.
    let mut new = Peer::open(&at, SocketType::Push).await;
    new.expect(b"\x04\x07\x04PING\0\0").await;
    new.closed().await;
    old.write(&ping(0, b"x")).await;
    old.expect(b"\x04\x06\x04PONGx").await;
}

/// [D10]: libzmq answers a PING that is too short with bytes that were never sent.
#[tokio::test]
async fn a_short_ping_is_closed_without_pong() {
    let (socket, at) = bound(SocketType::Router, |_| {}).await;
    let mut good = Good::new(&socket, &at).await;
    for body in [&b"\x04PING"[..], b"\x04PING\0"] {
        let mut peer = Peer::open(&at, SocketType::Dealer).await;
        peer.write(&command(body)).await;
        let said = peer.closed().await;
        assert!(said.is_empty(), "{said:?}");
        good.is_served(&socket).await;
    }
}

/// [D6]: a command may stand between the parts of a message, and changes nothing.
#[tokio::test]
async fn commands_between_the_parts_of_a_message_do_not_disturb_it() {
    let (socket, at) = bound(SocketType::Router, |_| {}).await;
    let mut peer = Peer::open_as(&at, SocketType::Dealer, b"me").await;
    let mut bytes = Vec::new();
    for part in [&b"\x01\x01a"[..], b"\x01\x00", b"\x00\x01c"] {
        bytes.extend_from_slice(part);
        bytes.extend(ping(0, b"mid"));
        bytes.extend(command(b"\x05UNHRD"));
    }
    peer.write(&bytes).await;
    assert_eq!(recv(&socket).await, [&b"me"[..], b"a", b"", b"c"]);
    peer.expect(b"\x04\x08\x04PONGmid").await;
}

/// [H4]: a flood of PINGs costs a PONG in line, no queue; and a good peer does not wait for it.
#[tokio::test]
async fn a_flood_of_pings_neither_fills_memory_nor_keeps_others_waiting() {
    for kind in [SocketType::Router, SocketType::Pub, SocketType::Pull] {
        let (socket, at) = bound(kind, |_| {}).await;
        let mut good = Good::new(&socket, &at).await;
        let mut peer = Peer::open(&at, partner(kind)).await;
        let flood = ping(0, b"0123456789abcdef").repeat(1000);
        let flooding = tokio::spawn(async move {
            // It never reads; the socket goes on taking its bytes.
            for _ in 0..400 {
                peer.write(&flood).await;
                tokio::task::yield_now().await;
            }
            peer
        });
        while !flooding.is_finished() {
            good.is_served(&socket).await;
        }
        let mut peer = soon(flooding).await.unwrap();
        peer.write(&ping(0, b"last")).await;
        loop {
            let (_, body) = peer.frame().await;
            if body == b"\x04PONGlast" {
                break;
            }
        }
        good.is_served(&socket).await;
    }
}

/// While the program does not receive, PINGs behind its messages are answered all the same.
#[tokio::test]
async fn pings_behind_messages_that_nobody_receives_are_answered() {
    for kind in [
        SocketType::Pull,
        SocketType::Router,
        SocketType::Sub,
        SocketType::Rep,
    ] {
        let (socket, at) = bound(kind, |_| {}).await;
        let mut peer = Peer::open_as(&at, partner(kind), b"me").await;
        peer.write(&message(&["", "wait"]).repeat(10)).await;
        peer.ping().await;
        let got = socket.try_recv().unwrap();
        assert_eq!(
            got.is_some(),
            kind != SocketType::Sub,
            "{:?}",
            got.map(|m| parts(&m))
        );
    }
}
