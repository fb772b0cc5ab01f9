//! PUSH, PULL, DEALER and PAIR: peers that never read, messages cut short, floods.
//! test_spec_pushpull, test_spec_dealer, test_hwm, [L1] to [L6], [F1] to [F7].

use std::time::Duration;

use scale0::socket::{Message, SendError, SocketType};

use crate::alone::{alone, peak};
use crate::oracle::{Good, partner, try_recv};
use crate::peer::{Peer, bound, message, peers, recv, soon, until};
use crate::raw;

/// [L1], [L2]: back-pressure without loss. What a peer that never reads has not taken goes to
/// others, and when there are none, the sender waits.
#[test]
fn a_worker_that_never_reads_holds_its_share_and_no_more() {
    alone(
        "queue::a_worker_that_never_reads_holds_its_share_and_no_more",
        || async {
            for kind in [SocketType::Push, SocketType::Dealer] {
                let (socket, at) = bound(kind, |options| {
                    options.send_messages = 10;
                })
                .await;
                let before = peak();
                let mut slow = Peer::open(&at, partner(kind)).await;
                slow.ping().await;
                let body = vec![b'x'; 256 << 10];
                let numbered = |n: u32| Message::new([&n.to_be_bytes()[..], &body]);
                let mut next = 0_u32;
                while let Ok(()) = socket.try_send(numbered(next)) {
                    next += 1;
                    assert!(next < 200, "{kind}: it takes all");
                    tokio::task::yield_now().await;
                }
                // Nobody has room: a send waits, and nothing is dropped.
                let waiting =
                    tokio::time::timeout(Duration::from_millis(50), socket.send(numbered(next)));
                assert!(waiting.await.is_err());
                assert!(matches!(socket.try_send("full"), Err(SendError::Full(_))));
                let share = next;

                let mut quick = Peer::open(&at, partner(kind)).await;
                for n in share..share + 100 {
                    soon(socket.send(numbered(n))).await.unwrap();
                    let got = quick.recv().await;
                    assert_eq!(got[0], n.to_be_bytes(), "{kind}: it alone has room");
                }
                for n in 0..share {
                    let got = slow.recv().await;
                    assert_eq!(
                        (&got[0][..], got[1].len()),
                        (&n.to_be_bytes()[..], body.len())
                    );
                }
                let counters = socket.counters();
                assert_eq!((counters.dropped_full, counters.dropped_lost), (0, 0));
                let grown = peak() - before;
                assert!(grown < 24 << 10, "{kind}: {grown} KiB");
            }
        },
    );
}

/// [L5]: what waits for a peer that came to us goes with it, and is counted.
#[tokio::test]
async fn what_waited_for_an_accepted_peer_goes_with_it_and_is_counted() {
    let (push, at) = bound(SocketType::Push, |_| {}).await;
    let mut peer = Peer::open(&at, SocketType::Pull).await;
    peer.ping().await;
    let body = vec![b'x'; 1 << 20];
    let mut sent = 0;
    while push.try_send(&body[..]).is_ok() {
        sent += 1;
        assert!(sent < 1000);
        tokio::task::yield_now().await;
    }
    drop(peer);
    until(|| push.counters().peers == 0).await;
    let lost = push.counters().dropped_lost;
    assert!(lost > 0 && lost <= sent, "{lost} of {sent}");
    assert!(matches!(push.try_send("nobody"), Err(SendError::Full(_))));
    let mut good = Good::new(&push, &at).await;
    good.is_served(&push).await;
}

/// [F7]: a message that is cut by the end of its stream, anywhere, is never received, by any type.
#[tokio::test]
async fn an_incomplete_message_is_never_received() {
    for kind in [
        SocketType::Pull,
        SocketType::Dealer,
        SocketType::Router,
        SocketType::Rep,
        SocketType::Sub,
        SocketType::Xsub,
        SocketType::Xpub,
        SocketType::Pair,
    ] {
        let (socket, at) = bound(kind, |_| {}).await;
        if matches!(kind, SocketType::Sub | SocketType::Xsub) {
            socket.subscribe("").unwrap();
        }
        let whole = message(&[&b""[..], b"part", &[b'x'; 300], b"last"]);
        for cut in [1, 2, 3, 7, 8, 9, 100, 200, whole.len() - 5, whole.len() - 1] {
            let mut peer = Peer::open(&at, partner(kind)).await;
            peer.write(&whole[..cut]).await;
            peer.finish().await;
            peer.closed().await;
            until(|| socket.counters().peers == 0).await;
            assert_eq!(try_recv(&socket), None, "{kind} cut at {cut}");
        }
        let mut peer = Peer::open(&at, partner(kind)).await;
        peer.write(&whole).await;
        assert_eq!(recv(&socket).await.last().unwrap(), b"last", "{kind}");
    }
}

/// [L6]: a sender that floods a program which does not receive has to wait, nothing is lost, and
/// memory is bounded, by messages and by bytes.
#[test]
fn a_sender_that_floods_a_slow_program_has_to_wait_and_loses_nothing() {
    alone(
        "queue::a_sender_that_floods_a_slow_program_has_to_wait_and_loses_nothing",
        || async {
            for kind in [
                SocketType::Pull,
                SocketType::Dealer,
                SocketType::Router,
                SocketType::Pair,
            ] {
                for size in [100, 100 << 10] {
                    let (socket, at) = bound(kind, |options| {
                        options.receive_messages = 1000;
                        options.receive_bytes = 4 << 20;
                    })
                    .await;
                    let before = peak();
                    let mut peer = Peer::open_as(&at, partner(kind), b"loud").await;
                    let body = vec![b'x'; size];
                    let writing = tokio::spawn(async move {
                        let mut n = 0_u32;
                        let all = u32::try_from((64 << 20) / size).unwrap().min(50_000);
                        while n < all {
                            let burst: Vec<u8> = (n..n + 10)
                                .flat_map(|n| message(&[&n.to_be_bytes()[..], &body]))
                                .collect();
                            peer.write(&burst).await;
                            n += 10;
                        }
                        (peer, n)
                    });
                    // The program is elsewhere for a while: what it has not asked for is not kept.
                    tokio::time::sleep(Duration::from_millis(300)).await;
                    let stuck = size > 100;
                    assert!(!stuck || !writing.is_finished(), "{kind}: all was taken");
                    let grown = peak() - before;
                    assert!(grown < 24 << 10, "{kind}: {grown} KiB");
                    let mut next = 0_u32;
                    while !writing.is_finished() || try_peek(&socket, &mut next) {
                        if !try_peek(&socket, &mut next) {
                            tokio::task::yield_now().await;
                        }
                    }
                    let (_, all) = soon(writing).await.unwrap();
                    while next < all {
                        assert!(
                            soon(async {
                                let got = recv(&socket).await;
                                let number = &got[got.len() - 2];
                                let right = number[..] == next.to_be_bytes();
                                next += 1;
                                right
                            })
                            .await
                        );
                    }
                }
            }
        },
    );
}

/// Takes the next message if there is one, and sees that it is the right one.
fn try_peek(socket: &scale0::socket::Socket, next: &mut u32) -> bool {
    let Some(got) = try_recv(socket) else {
        return false;
    };
    assert_eq!(got[got.len() - 2], next.to_be_bytes());
    *next += 1;
    true
}

/// [F1] to [F3]: frames that are longer in the header than they need to be, and reserved bits.
#[tokio::test]
async fn long_headers_and_reserved_bits_are_taken() {
    let (socket, at) = bound(SocketType::Pull, |_| {}).await;
    let mut peer = Peer::open(&at, SocketType::Push).await;
    let mut bytes = raw::long(1, 1);
    bytes.extend(b"a");
    bytes.extend(raw::long(0, 0));
    bytes.extend(b"\xf8\x01b");
    bytes.extend([&raw::long(0x80, 2)[..], b"cd"].concat());
    peer.write(&bytes).await;
    assert_eq!(recv(&socket).await, [&b"a"[..], b""]);
    assert_eq!(recv(&socket).await, [b"b"]);
    assert_eq!(recv(&socket).await, [b"cd"]);
}

/// [F2], [F4], [F5], CVE-2019-6250: what no limit allows is closed by its header alone, for every
/// type, and costs nobody else anything.
#[tokio::test]
async fn frames_that_are_illegal_or_too_long_close_their_own_connection_only() {
    for kind in SocketType::ALL {
        let (socket, at) = bound(kind, |options| {
            options.limits.frame = 1000;
            options.limits.message = 3000;
            options.limits.parts = 10;
        })
        .await;
        let mut good = Good::new(&socket, &at).await;
        let parts = |many: usize, size: usize| message(&vec![vec![b'x'; size]; many]);
        let bad = [
            raw::long(0, 1001),
            raw::long(0, u64::MAX),
            raw::long(0, u64::MAX >> 1),
            raw::long(0, 1 << 63),
            raw::long(1, u64::MAX),
            raw::long(4, u64::MAX),
            b"\x05\x05\x04PONG".to_vec(),
            b"\x04\0".to_vec(),
            b"\x04\x01\0".to_vec(),
            b"\x04\x02\x05x".to_vec(),
            parts(4, 1000),
            parts(11, 1),
            crate::peer::ready(partner(kind), b""),
        ];
        for bytes in bad {
            let mut peer = Peer::open(&at, partner(kind)).await;
            // It may be closed before it is all said.
            let _ = peer.try_write(&bytes).await;
            peer.closed().await;
        }
        good.is_served(&socket).await;
    }
}

/// [L1]: turns are by whole messages, whatever their number of parts.
#[tokio::test]
async fn messages_go_round_by_whole_messages() {
    for kind in [SocketType::Push, SocketType::Dealer] {
        let (socket, at) = bound(kind, |_| {}).await;
        let mut workers = Vec::new();
        for _ in 0..3 {
            let mut peer = Peer::open(&at, partner(kind)).await;
            peer.ping().await;
            workers.push(peer);
        }
        peers(&socket, 3).await;
        for n in 0..30_u8 {
            let parts = vec![vec![n]; usize::from(n % 4) + 1];
            soon(socket.send(Message::new(&parts))).await.unwrap();
        }
        for (place, worker) in workers.iter_mut().enumerate() {
            for round in 0..10 {
                let got = worker.recv().await;
                let n = round * 3 + place;
                assert_eq!(got.len(), n % 4 + 1);
                assert!(got.iter().all(|part| usize::from(part[0]) == n));
            }
        }
    }
}
