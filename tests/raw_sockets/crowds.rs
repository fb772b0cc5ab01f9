//! Crowds: half-open connections, limits by address and in all, and a process that has no
//! descriptors left. CVE-2020-15166 and the limits of section 4.

use std::time::Duration;

use scale0::socket::{Event, Limit, Reason, Socket, SocketType};

use crate::alone::{alone, descriptors, resident};
use crate::oracle::Good;
use crate::peer::{Peer, bound, event, listener, recv, soon, until};
use crate::raw;

/// Half-open connections beyond the limit push out the oldest of their own kind; who is connected
/// stays, and who comes is let in.
#[tokio::test]
async fn a_crowd_of_half_open_connections_keeps_nobody_out() {
    for kind in [
        SocketType::Router,
        SocketType::Pub,
        SocketType::Rep,
        SocketType::Push,
    ] {
        let (socket, at) = bound(kind, |options| {
            options.limits.pending_handshakes = 10;
            options.limits.handshake_time = Duration::MAX;
        })
        .await;
        let mut good = Good::new(&socket, &at).await;
        let mut monitor = socket.monitor();
        let mut crowd = Vec::new();
        for n in 0..50 {
            let mut peer = Peer::dial(&at).await;
            if n % 2 == 0 {
                peer.write(&raw::greeting()).await;
            }
            crowd.push(peer);
        }
        for n in 0..40 {
            let reason = event(&mut monitor, |event| match event {
                Event::HandshakeFailed { reason, .. } => Some(reason.clone()),
                _ => None,
            })
            .await;
            assert_eq!(reason, Reason::Crowd, "{kind}: {n}");
        }
        good.is_served(&socket).await;
        let mut late = Peer::open(&at, crate::oracle::partner(kind)).await;
        late.ping().await;
        good.is_served(&socket).await;
        for mut peer in crowd.drain(..39) {
            peer.closed().await;
        }
        assert_eq!(socket.counters().handshakes_failed, 41);
    }
}

/// So many connections from one address, handshake or not; a place is free again when one goes.
#[tokio::test]
async fn one_address_has_so_many_connections_and_no_more() {
    let (socket, at) = bound(SocketType::Pull, |options| {
        options.limits.connections_per_address = Some(3);
    })
    .await;
    let mut good = Good::new(&socket, &at).await;
    let mut monitor = socket.monitor();
    let mut held = vec![
        Peer::open(&at, SocketType::Push).await,
        Peer::dial(&at).await,
    ];
    for n in 1..=5 {
        let mut peer = Peer::dial(&at).await;
        assert!(peer.closed().await.is_empty(), "not even a greeting");
        let limit = event(&mut monitor, |event| match event {
            Event::Rejected { limit, .. } => Some(*limit),
            _ => None,
        })
        .await;
        assert_eq!(limit, Limit::Address);
        assert_eq!(socket.counters().rejected, n);
        good.is_served(&socket).await;
    }
    for mut peer in held.drain(..) {
        peer.finish().await;
        peer.closed().await;
    }
    let mut peer = Peer::open(&at, SocketType::Push).await;
    peer.send(&["a free place"]).await;
    assert_eq!(recv(&socket).await, [b"a free place"]);
}

/// The same for all addresses together.
#[tokio::test]
async fn a_socket_has_so_many_connections_and_no_more() {
    let (socket, at) = bound(SocketType::Router, |options| {
        options.limits.connections = 2;
    })
    .await;
    let mut good = Good::new(&socket, &at).await;
    for _ in 0..3 {
        let mut last = Peer::open(&at, SocketType::Dealer).await;
        let mut beyond = Peer::dial(&at).await;
        assert!(beyond.closed().await.is_empty());
        good.is_served(&socket).await;
        last.finish().await;
        last.closed().await;
        until(|| socket.counters().peers == 1).await;
    }
    assert_eq!(socket.counters().rejected, 3);
}

/// Without descriptors nobody is accepted, and nobody spins: it is told once, the good peer is
/// served, and the next one is let in as soon as there is a descriptor.
#[test]
fn without_descriptors_those_who_are_connected_are_served_and_later_all() {
    alone(
        "crowds::without_descriptors_those_who_are_connected_are_served_and_later_all",
        || async {
            let (socket, at) = bound(SocketType::Router, |_| {}).await;
            let mut good = Good::new(&socket, &at).await;
            let mut monitor = socket.monitor();
            let limits = rustix::process::getrlimit(rustix::process::Resource::Nofile);
            let most = descriptors() as u64 + 8;
            let small = rustix::process::Rlimit {
                current: Some(most),
                maximum: limits.maximum,
            };
            rustix::process::setrlimit(rustix::process::Resource::Nofile, small).unwrap();
            // Whatever is free is filled: these are both ends of connections.
            let mut crowd = Vec::new();
            loop {
                let address = at.to_string();
                let address = address.strip_prefix("tcp://").unwrap().to_owned();
                match soon(tokio::net::TcpStream::connect(address)).await {
                    Ok(stream) => crowd.push(stream),
                    Err(_) => break,
                }
            }
            event(&mut monitor, |event| {
                matches!(event, Event::AcceptFailed { .. }).then_some(())
            })
            .await;
            for _ in 0..5 {
                good.is_served(&socket).await;
            }
            crowd.clear();
            let mut late = Peer::open_as(&at, SocketType::Dealer, b"late").await;
            late.send(&["in"]).await;
            assert_eq!(recv(&socket).await, [&b"late"[..], b"in"]);
            good.is_served(&socket).await;
            // That it happened is told once, however often it was tried.
            while let Ok(Some(event)) =
                tokio::time::timeout(Duration::from_millis(1), monitor.next()).await
            {
                assert!(!matches!(event, Event::AcceptFailed { .. }));
            }
        },
    );
}

/// Those who are refused and do not hang up cost a descriptor for a moment, and in a crowd not
/// even that.
#[test]
fn refused_peers_that_do_not_hang_up_do_not_pile_up() {
    alone(
        "crowds::refused_peers_that_do_not_hang_up_do_not_pile_up",
        || async {
            let (socket, at) = bound(SocketType::Router, |_| {}).await;
            let mut good = Good::new(&socket, &at).await;
            let before = descriptors();
            let mut crowd = Vec::new();
            let mut most = 0;
            for n in 0..400 {
                let mut peer = Peer::dial(&at).await;
                peer.write(b"GET / HTTP/1.1\r\n\r\n").await;
                crowd.push(peer);
                if n % 20 == 0 {
                    good.is_served(&socket).await;
                }
                most = most.max(descriptors() - before - crowd.len());
            }
            assert!(most < 200, "{most} descriptors for peers that are refused");
            // Our end is closed whatever they do.
            until(|| descriptors() <= before + crowd.len()).await;
            good.is_served(&socket).await;
        },
    );
}

/// Memory of peers that are connected and idle, and what is left when they have gone.
#[test]
fn idle_peers_cost_little_and_nothing_when_they_are_gone() {
    alone(
        "crowds::idle_peers_cost_little_and_nothing_when_they_are_gone",
        || async {
            let (socket, at) = bound(SocketType::Router, |_| {}).await;
            let mut good = Good::new(&socket, &at).await;
            let mut settled = 0;
            for round in 0..5 {
                let before = resident();
                let mut crowd = Vec::new();
                for _ in 0..300 {
                    let mut peer = Peer::open(&at, SocketType::Dealer).await;
                    peer.ping().await;
                    crowd.push(peer);
                }
                let each = resident().saturating_sub(before) / 300;
                // Both ends are in this process, and the program is not optimised.
                assert!(each < 32, "{each} KiB per idle peer");
                drop(crowd);
                until(|| socket.counters().peers == 1).await;
                good.is_served(&socket).await;
                if round == 1 {
                    settled = resident();
                }
            }
            let grown = resident().saturating_sub(settled);
            assert!(grown < 1 << 10, "{grown} KiB left by peers that are gone");
        },
    );
}

/// A server that accepts and closes, for ever: the client does not spin, and comes in when it can.
#[tokio::test]
async fn a_server_that_always_closes_is_not_hammered() {
    let (listener, at) = listener().await;
    let mut options = scale0::socket::Options::default();
    options.set("reconnect_ivl", "20").unwrap();
    options.set("reconnect_ivl_max", "200").unwrap();
    let push = Socket::with(SocketType::Push, options);
    push.connect(at.as_str()).unwrap();
    let since = std::time::Instant::now();
    for _ in 0..6 {
        let peer = Peer::accept(&listener).await;
        drop(peer);
    }
    // 20 + 40 + 80 + 160 + 200, each 30 % less at most.
    assert!(
        since.elapsed() >= Duration::from_millis(350),
        "{:?}",
        since.elapsed()
    );
    let mut peer = Peer::accept(&listener).await;
    peer.shake(SocketType::Pull, b"").await;
    soon(push.send("at last")).await.unwrap();
    assert_eq!(peer.recv().await, [b"at last"]);
}
