//! What a peer may say before it is one: greetings, READY, and how long it takes.

use std::time::{Duration, Instant};

use scale0::socket::{Event, Reason, Socket, SocketType};

use crate::oracle::Good;
use crate::peer::{Peer, bound, command, event, listener, message, peers, ready, recv, soon};
use crate::raw;

/// A socket of that type which would wait for a handshake for ever.
async fn patient(kind: SocketType) -> (Socket, scale0::socket::Endpoint, Good) {
    let (socket, at) = bound(kind, |options| {
        options.limits.handshake_time = Duration::MAX;
    })
    .await;
    let good = Good::new(&socket, &at).await;
    (socket, at, good)
}

/// [W4], test_stream: libzmq tells its version only after ten bytes of ours, so all 64 have to go
/// out unasked.
#[tokio::test]
async fn the_greeting_is_said_unasked_and_ready_is_byte_exact_for_every_type() {
    for kind in SocketType::ALL {
        let (_socket, at) = bound(kind, |_| {}).await;
        let mut peer = Peer::dial(&at).await;
        peer.expect(b"\xff\0\0\0\0\0\0\0\x01\x7f\x03\x01NULL").await;
        assert_eq!(peer.take(48).await, [0; 48], "as-server and filler [D19]");
        peer.write(&raw::greeting()).await;
        let name = kind.to_string();
        let mut ready = b"\x05READY\x0bSocket-Type\0\0\0".to_vec();
        ready.push(u8::try_from(name.len()).unwrap());
        ready.extend_from_slice(name.as_bytes());
        if ["REQ", "DEALER", "ROUTER"].contains(&name.as_str()) {
            ready.extend_from_slice(b"\x08Identity\0\0\0\0");
        }
        peer.expect(&command(&ready)).await;
    }
}

/// [D18]: READY needs the peer's greeting and nothing else, so the two cross.
#[tokio::test]
async fn ready_waits_for_the_greeting_alone_on_both_sides() {
    let (_socket, at) = bound(SocketType::Pull, |_| {}).await;
    let mut peer = Peer::dial(&at).await;
    peer.write(&raw::greeting()).await;
    peer.greeted().await;

    let (listener, at) = listener().await;
    let push = Socket::new(SocketType::Push);
    push.connect(at.as_str()).unwrap();
    let mut peer = Peer::accept(&listener).await;
    peer.write(&raw::greeting()).await;
    peer.greeted().await;
}

/// [D16], [D17], [W1] to [W6], test_security: null and plain clients, vanilla. No handshake timer
/// is left for what is not ZMTP 3.
#[tokio::test]
async fn other_protocols_and_older_versions_are_closed_without_a_word_however_patient_we_are() {
    let (socket, at, mut good) = patient(SocketType::Pull).await;
    let revision = |major: u8| {
        let mut bytes = raw::greeting();
        bytes[10] = major;
        bytes[..11].to_vec()
    };
    let mechanism = |name: &[u8]| {
        let mut bytes = raw::greeting();
        bytes[12..12 + name.len()].copy_from_slice(name);
        bytes.to_vec()
    };
    let mut long_identity = raw::greeting()[..10].to_vec();
    long_identity[9] = 0;
    let strangers = [
        b"GET / HTTP/1.1\r\n\r\n".to_vec(),
        b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03".to_vec(),
        // ZMTP 1.0, and its sneaky message (unauthenticated_message).
        b"\x01\0\0sneaky".to_vec(),
        b"\0".to_vec(),
        long_identity,
        revision(0),
        revision(1),
        revision(2),
        mechanism(b"PLAIN"),
        mechanism(b"CURVE"),
        mechanism(b"null"),
        mechanism(b"NULL\0x"),
    ];
    for bytes in strangers {
        let mut peer = Peer::dial(&at).await;
        peer.write(&bytes).await;
        let said = peer.closed().await;
        // Bytes unread when we close are answered by a reset, which may eat our greeting.
        assert!(said.len() <= 64, "{said:?}");
        good.is_served(&socket).await;
    }
    assert_eq!(socket.counters().handshakes_failed, 12);
}

/// [D16]: later revisions promise to speak 3.1 to us.
#[tokio::test]
async fn later_versions_are_spoken_to_and_filler_is_nobodys_business() {
    let (socket, at, _good) = patient(SocketType::Pull).await;
    for (major, minor) in [(3, 0), (3, 1), (3, 2), (3, 255), (4, 0), (255, 255)] {
        let mut greeting = raw::greeting();
        greeting[1..9].fill(0xaa);
        greeting[9] = 1;
        (greeting[10], greeting[11]) = (major, minor);
        // [D19]: as-server is told by nobody reliably.
        greeting[32] = 7;
        greeting[33..].fill(0xaa);
        let mut peer = Peer::dial(&at).await;
        peer.write(&greeting).await;
        peer.write(&ready(SocketType::Push, b"")).await;
        peer.greeted().await;
        peer.send(&[[major, minor]]).await;
        assert_eq!(recv(&socket).await, [[major, minor]]);
    }
}

/// [D7], [C1], [N3]: of a handshake's frames only the reserved bits are ignored.
#[tokio::test]
async fn handshake_frames_need_the_command_bit_and_no_more() {
    let (socket, at, mut good) = patient(SocketType::Pull).await;
    let flagged = |flags: u8| {
        let mut frame = ready(SocketType::Push, b"");
        frame[0] = flags;
        frame
    };
    for flags in [0x04, 0x0c, 0xf4] {
        let mut peer = Peer::dial(&at).await;
        peer.write(&[&raw::greeting()[..], &flagged(flags)].concat())
            .await;
        peer.greeted().await;
        peer.send(&[[flags]]).await;
        assert_eq!(recv(&socket).await, [[flags]]);
    }
    let wrong = [
        flagged(0x00),
        flagged(0x05),
        flagged(0x01),
        message(&[b"a message before READY"]),
        command(b"\x04PING\0\0"),
        command(b"\x09SUBSCRIBEx"),
        command(b"\x05HELLO"),
        command(b""),
        command(b"\0"),
        command(b"\x06READY"),
        command(b"\x05READY\x01"),
        command(b"\x05READY\0\0\0\0\0"),
        command(b"\x05READY\x0bSocket-Type\xff\xff\xff\xffPUSH"),
        // Far beyond what a handshake may take: closed by the header alone.
        raw::long(4, 1 << 40),
        raw::long(4, u64::MAX),
    ];
    let many = wrong.len();
    for frame in wrong {
        let mut peer = Peer::dial(&at).await;
        peer.write(&[&raw::greeting()[..], &frame].concat()).await;
        peer.closed().await;
        good.is_served(&socket).await;
    }
    assert_eq!(socket.counters().handshakes_failed, many as u64);
}

/// [D14], [D8]: a wrong type is told so, and the stream closed soon.
#[tokio::test]
async fn a_wrong_type_is_told_with_an_error_and_closed() {
    let (socket, at, mut good) = patient(SocketType::Pull).await;
    let mut twice = ready(SocketType::Push, b"")[2..].to_vec();
    twice.extend_from_slice(b"\x0bsocket-type\0\0\0\x04PUSH");
    let wrong = [
        ready(SocketType::Sub, b""),
        ready(SocketType::Pull, b""),
        command(b"\x05READY\x0bsocket-type\0\0\0\x03SUB"),
        command(b"\x05READY\x0bSocket-Type\0\0\0\x06STREAM"),
        command(b"\x05READY\x0bSocket-Type\0\0\0\x04push"),
        command(b"\x05READY\x08Identity\0\0\0\x01x"),
        command(b"\x05READY"),
    ];
    for frame in wrong {
        let mut peer = Peer::dial(&at).await;
        let since = Instant::now();
        peer.write(&[&raw::greeting()[..], &frame].concat()).await;
        peer.greeted().await;
        let said = peer.closed().await;
        let told = command(b"\x05ERROR\x13Invalid socket type");
        assert_eq!(
            said.escape_ascii().to_string(),
            told.escape_ascii().to_string()
        );
        assert!(since.elapsed() < Duration::from_secs(5));
        good.is_served(&socket).await;
    }
    let mut peer = Peer::dial(&at).await;
    peer.write(&[&raw::greeting()[..], &command(&twice)].concat())
        .await;
    peer.closed().await;
    let mut peer = Peer::dial(&at).await;
    let lower = command(b"\x05READY\x0bSOCKET-type\0\0\0\x04PUSH");
    peer.write(&[&raw::greeting()[..], &lower].concat()).await;
    peer.greeted().await;
    peer.send(&["names of properties have no case"]).await;
    assert_eq!(recv(&socket).await, [b"names of properties have no case"]);
    good.is_served(&socket).await;
}

/// [D8]: ERROR at any time is the end.
#[tokio::test]
async fn a_peer_that_says_error_is_closed_at_once() {
    let (socket, at, mut good) = patient(SocketType::Dealer).await;
    let error = command(b"\x05ERROR\x03no!");
    let mut early = Peer::dial(&at).await;
    early.write(&[&raw::greeting()[..], &error].concat()).await;
    early.closed().await;
    let mut late = Peer::open(&at, SocketType::Router).await;
    late.write(&error).await;
    late.closed().await;
    good.is_served(&socket).await;
}

/// [D13]: identities on the socket.
#[tokio::test]
async fn identities_end_at_255_bytes_and_strangers_do_not_choose_automatic_ones() {
    let (socket, at, mut good) = patient(SocketType::Router).await;
    let longest = [b'x'; 255];
    let mut peer = Peer::open_as(&at, SocketType::Dealer, &longest).await;
    peer.send(&["hello"]).await;
    assert_eq!(recv(&socket).await, [&longest[..], b"hello"]);
    for identity in [&[b'x'; 256][..], &[0], b"\0abcd", &[0; 5]] {
        let mut peer = Peer::dial(&at).await;
        let frame = ready(SocketType::Dealer, identity);
        peer.write(&[&raw::greeting()[..], &frame].concat()).await;
        peer.greeted().await;
        assert_eq!(
            peer.closed().await,
            command(b"\x05ERROR\x10Invalid identity")
        );
        good.is_served(&socket).await;
    }
    let mut twice = ready(SocketType::Dealer, b"one")[2..].to_vec();
    twice.extend_from_slice(b"\x08Identity\0\0\0\x03two");
    let mut peer = Peer::dial(&at).await;
    peer.write(&[&raw::greeting()[..], &command(&twice)].concat())
        .await;
    peer.closed().await;
    good.is_served(&socket).await;
}

/// [R1]: another ROUTER's automatic ids say nothing about this one's.
#[tokio::test]
async fn automatic_ids_differ_and_their_beginning_is_not_guessed() {
    let mut firsts = Vec::new();
    for _ in 0..3 {
        let (socket, at) = bound(SocketType::Router, |_| {}).await;
        let mut ids = Vec::new();
        for _ in 0..3 {
            let mut peer = Peer::open(&at, SocketType::Dealer).await;
            peer.send(&["hello"]).await;
            let id = recv(&socket).await.swap_remove(0);
            assert_eq!((id.len(), id[0]), (5, 0));
            ids.push(id);
        }
        ids.dedup();
        assert_eq!(ids.len(), 3);
        firsts.push(ids.swap_remove(0));
    }
    firsts.sort();
    firsts.dedup();
    assert_eq!(firsts.len(), 3, "{firsts:?}");
}

/// [N4], [W5]: what follows READY in the same write is kept; test_stream_exceeds_buffer: across
/// any boundary of buffers.
#[tokio::test]
async fn a_message_right_behind_the_greeting_arrives_whole_at_every_size() {
    let (socket, at) = bound(SocketType::Pull, |_| {}).await;
    for size in [
        0,
        1,
        255,
        256,
        8191,
        8192,
        8193,
        65_535,
        65_536,
        70_000,
        1 << 20,
    ] {
        let body: Vec<u8> = (0..size).map(|n| u8::try_from(n % 251).unwrap()).collect();
        let mut bytes = raw::greeting().to_vec();
        bytes.extend(ready(SocketType::Push, b""));
        bytes.extend(message(&[&body[..], b"end"]));
        let mut peer = Peer::dial(&at).await;
        let (arrived, ()) = tokio::join!(recv(&socket), peer.write(&bytes));
        assert!(arrived == [&body[..], b"end"], "{size} bytes");
    }
}

/// test_stream_timeout, accepting: ACCEPTED, then the end at HANDSHAKE_IVL. The time is absolute:
/// dripping does not prolong it.
#[tokio::test]
async fn mute_and_dripping_strangers_are_cut_when_the_time_for_handshakes_is_over() {
    let limit = Duration::from_millis(200);
    let (socket, at) = bound(SocketType::Pull, |options| {
        options.set("handshake_ivl", "200").unwrap();
    })
    .await;
    let mut good = Good::new(&socket, &at).await;
    let mut monitor = socket.monitor();
    let since = Instant::now();
    let mut mute = Peer::dial(&at).await;
    let mut greeted = Peer::dial(&at).await;
    greeted.write(&raw::greeting()).await;
    let mut drip = Peer::dial(&at).await;
    let dripping = tokio::spawn(async move {
        for byte in raw::greeting() {
            if drip.try_write(&[byte]).await.is_err() {
                break;
            }
            tokio::time::sleep(limit / 20).await;
        }
        drip.closed().await;
    });
    mute.closed().await;
    greeted.closed().await;
    soon(dripping).await.unwrap();
    assert!(since.elapsed() >= limit);
    for _ in 0..3 {
        let reason = event(&mut monitor, |event| match event {
            Event::HandshakeFailed { reason, .. } => Some(reason.clone()),
            _ => None,
        })
        .await;
        assert_eq!(reason.to_string(), "handshake not finished in time");
    }
    good.is_served(&socket).await;
}

/// test_stream_timeout, connecting: CONNECTED, the end at HANDSHAKE_IVL, and another attempt.
#[tokio::test]
async fn a_mute_server_is_left_when_the_time_is_over_and_tried_again() {
    let (listener, at) = listener().await;
    let mut options = scale0::socket::Options::default();
    options.set("handshake_ivl", "100").unwrap();
    options.set("reconnect_ivl", "10").unwrap();
    let push = Socket::with(SocketType::Push, options);
    let mut monitor = push.monitor();
    push.connect(at.as_str()).unwrap();
    let mut mute = Peer::accept(&listener).await;
    let names = ["Connected", "HandshakeFailed", "Retrying"];
    for name in names {
        event(&mut monitor, |event| {
            format!("{event:?}").starts_with(name).then_some(())
        })
        .await;
    }
    mute.closed().await;
    let mut peer = Peer::accept(&listener).await;
    peer.shake(SocketType::Pull, b"").await;
    soon(push.send("at last")).await.unwrap();
    assert_eq!(peer.recv().await, [b"at last"]);
}

/// The defaults of the table in section 2.6.
#[test]
fn the_time_for_handshakes_is_half_a_minute() {
    let options = scale0::socket::Options::default();
    assert_eq!(options.limits.handshake_time, Duration::from_secs(30));
}

/// [D9], 2.7: no mistake of a server's makes a client give up for good.
#[tokio::test]
async fn a_client_comes_back_after_every_kind_of_failure() {
    let (listener, at) = listener().await;
    let mut options = scale0::socket::Options::default();
    options.set("reconnect_ivl", "1").unwrap();
    options.set("reconnect_ivl_max", "0").unwrap();
    let dealer = Socket::with(SocketType::Dealer, options);
    let mut monitor = dealer.monitor();
    dealer.connect(at.as_str()).unwrap();
    let mut curve = raw::greeting();
    curve[12..17].copy_from_slice(b"CURVE");
    let failures = [
        b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec(),
        curve.to_vec(),
        [&raw::greeting()[..], &command(b"\x05BOGUS")].concat(),
        [&raw::greeting()[..], &raw::long(0, u64::MAX)].concat(),
        Vec::new(),
    ];
    for bytes in failures {
        let mut peer = Peer::accept(&listener).await;
        peer.write(&bytes).await;
        peer.finish().await;
        peer.closed().await;
    }
    // Refused, and a type that does not fit: later, but not never.
    for bytes in [command(b"\x05ERROR\x03400"), ready(SocketType::Pub, b"")] {
        let mut peer = Peer::accept(&listener).await;
        peer.write(&[&raw::greeting()[..], &bytes].concat()).await;
        peer.closed().await;
        let after = event(&mut monitor, |event| match event {
            Event::Retrying { after, .. } if *after >= Duration::from_millis(500) => Some(*after),
            _ => None,
        })
        .await;
        assert!(after < Duration::from_secs(5), "{after:?}");
    }
    let mut peer = Peer::accept(&listener).await;
    peer.shake(SocketType::Router, b"").await;
    peers(&dealer, 1).await;
}

/// PAIR has one peer; whoever comes second is turned away and hears of it by the close.
#[tokio::test]
async fn a_second_peer_of_pair_is_turned_away_and_the_first_stays() {
    let (socket, at) = bound(SocketType::Pair, |_| {}).await;
    let mut monitor = socket.monitor();
    let mut first = Peer::open(&at, SocketType::Pair).await;
    first.ping().await;
    let mut second = Peer::open(&at, SocketType::Pair).await;
    second.closed().await;
    let reason = event(&mut monitor, |event| match event {
        Event::HandshakeFailed { reason, .. } => Some(reason.clone()),
        _ => None,
    })
    .await;
    assert!(matches!(reason, Reason::Unwelcome(_)), "{reason:?}");
    first.send(&["still here"]).await;
    assert_eq!(recv(&socket).await, [b"still here"]);
}
