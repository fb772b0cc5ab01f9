//! Hostile handshakes against CURVE sockets, and what our own clients do when they are refused.
//! Whatever strangers do, who is in is served, and who is known gets in.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use scale0::security::{self, Security};
use scale0::session;
use scale0::socket::{
    Endpoint, Event, Limit, Message, Monitor, Options, Reason, Socket, SocketType,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::alone::{alone, descriptors, resident};
use crate::guest::{
    ANN, BOB, End, Guard, Guest, Mood, STRANGER, curve_client, curve_server, dial_from, hello,
    plain_client,
};
use crate::peer::{bound, event, recv, soon, until};

/// A CURVE ROUTER with a guard.
pub(crate) async fn host(
    guard: &Arc<Guard>,
    change: impl FnOnce(&mut Options),
) -> (Socket, Endpoint) {
    let guard = Arc::clone(guard);
    bound(SocketType::Router, |options| {
        options.security = curve_server();
        options.authenticator = Some(guard);
        change(options);
    })
    .await
}

pub(crate) fn address(at: &Endpoint) -> SocketAddr {
    at.to_string()
        .strip_prefix("tcp://")
        .unwrap()
        .parse()
        .unwrap()
}

/// A socket of ours that is let in.
pub(crate) struct Regular {
    socket: Socket,
    name: &'static str,
    n: u32,
}

impl Regular {
    pub(crate) fn new(at: &Endpoint, name: &'static str, security: Security) -> Self {
        let options = Options {
            identity: name.into(),
            security,
            ..Options::default()
        };
        let socket = Socket::with(SocketType::Dealer, options);
        socket.connect(at.clone()).unwrap();
        Self { socket, name, n: 0 }
    }

    pub(crate) fn ann(at: &Endpoint, name: &'static str) -> Self {
        Self::new(at, name, curve_client(ANN))
    }

    /// A question and its answer, in about the time that it always takes.
    pub(crate) async fn is_served(&mut self, host: &Socket) {
        let since = Instant::now();
        self.n += 1;
        let body = self.n.to_string();
        soon(self.socket.send(body.as_str())).await.unwrap();
        let asked = [self.name.as_bytes(), body.as_bytes()];
        assert_eq!(recv(host).await, asked);
        soon(host.send(Message::new(asked))).await.unwrap();
        assert_eq!(recv(&self.socket).await, [body.as_bytes()]);
        let took = since.elapsed();
        assert!(took < USUAL, "{} waited {took:?}", self.name);
    }
}

/// Somebody new who is known gets in and is served, and goes.
pub(crate) async fn another_gets_in(host: &Socket, at: &Endpoint) {
    Regular::ann(at, "another").is_served(host).await;
}

// ---- half of a handshake

#[tokio::test]
async fn a_curve_handshake_broken_off_anywhere_leaves_nothing() {
    let guard = Guard::new(Mood::Deny);
    let (socket, at) = host(&guard, |_| {}).await;
    let mut good = Regular::ann(&at, "good");
    good.is_served(&socket).await;
    let hello = hello(STRANGER);
    assert_eq!(hello.len(), 64 + 202);
    for cut in 0..=hello.len() {
        let mut stream = dial_from(Ipv4Addr::LOCALHOST, address(&at)).await.unwrap();
        stream.write_all(&hello[..cut]).await.unwrap();
        stream.shutdown().await.unwrap();
        let mut said = Vec::new();
        soon(stream.read_to_end(&mut said)).await.unwrap();
        let welcomed = said.len() > 64;
        assert_eq!(welcomed, cut == hello.len(), "cut at {cut}");
    }
    until(|| socket.counters().handshakes_failed == 267).await;
    assert_eq!((socket.counters().peers, guard.asked()), (1, 0));
    good.is_served(&socket).await;
    another_gets_in(&socket, &at).await;
}

#[tokio::test]
async fn a_curve_handshake_may_come_in_single_bytes_but_not_for_ever() {
    let guard = Guard::new(Mood::Deny);
    let time = Duration::from_secs(3);
    let (socket, at) = host(&guard, |options| options.limits.handshake_time = time).await;
    let mut good = Regular::ann(&at, "good");
    let mut guest = Guest::dial(address(&at), curve_client(BOB)).await.unwrap();
    guest.shake_in_steps(1).await.unwrap();
    good.is_served(&socket).await;

    let since = Instant::now();
    let mut slow = dial_from(Ipv4Addr::LOCALHOST, address(&at)).await.unwrap();
    let mut pace = tokio::time::interval(Duration::from_millis(20));
    for byte in hello(STRANGER) {
        pace.tick().await;
        if slow.write_all(&[byte]).await.is_err() {
            break;
        }
    }
    // Its last bytes may have found nobody; either way it is over.
    let mut said = Vec::new();
    let _ = soon(slow.read_to_end(&mut said)).await;
    assert_eq!(said.len(), 64, "no WELCOME");
    let took = since.elapsed();
    assert!(took >= time && took < time + USUAL, "{took:?}");
    good.is_served(&socket).await;
    another_gets_in(&socket, &at).await;
}

/// CVE-2020-15166 with CURVE: as many as the descriptors of this process allow, up to 10,000, from
/// a hundred addresses.
#[test]
fn ten_thousand_half_open_handshakes_keep_nobody_out() {
    alone(
        "secure::ten_thousand_half_open_handshakes_keep_nobody_out",
        || async {
            let most = scale0::server::raise_descriptor_limit();
            let guard = Guard::new(Mood::Deny);
            let (socket, at) = host(&guard, |options| {
                options.limits.handshake_time = Duration::MAX;
            })
            .await;
            // The socket's own ends of the pending ones are of this process, too.
            let count = most.saturating_sub(4096 + 512).min(10_000);
            assert!(count > 500, "no crowd with {most} descriptors");
            println!("{count} half-open connections");
            let mut good = Regular::ann(&at, "good");
            good.is_served(&socket).await;
            let before = resident();
            let whole = hello(STRANGER);
            let mut crowd = Vec::new();
            for n in 0..count {
                let last = u8::try_from(n % 100).unwrap();
                let from = Ipv4Addr::new(127, 0, 9, last);
                let mut stream = dial_from(from, address(&at)).await.unwrap();
                let said = match n / 100 % 8 {
                    0 => 0,
                    1 => 10,
                    2 | 3 => 64,
                    4 => 65,
                    5 | 6 => whole.len() - 1,
                    _ => whole.len(),
                };
                stream.write_all(&whole[..said]).await.unwrap();
                crowd.push(stream);
                if n % 500 == 0 {
                    good.is_served(&socket).await;
                }
            }
            good.is_served(&socket).await;
            another_gets_in(&socket, &at).await;
            let grown = resident().saturating_sub(before) >> 10;
            assert!(grown < 128, "{grown} MiB for {count} half-open connections");
            drop(crowd);
            until(|| socket.counters().handshakes_failed == count).await;
            good.is_served(&socket).await;
            another_gets_in(&socket, &at).await;
        },
    );
}

/// Each HELLO costs work before anybody is known, so an address has a bound; others have their own.
#[tokio::test]
async fn a_flood_of_hellos_from_one_address_is_bounded_and_others_get_in() {
    let guard = Guard::new(Mood::Deny);
    let (socket, at) = host(&guard, |_| {}).await;
    let mut good = Regular::ann(&at, "good");
    good.is_served(&socket).await;
    let from = Ipv4Addr::new(127, 0, 0, 9);
    let mut monitor = socket.monitor();
    // What it may do at once is soon used up.
    let mut before = 0;
    while socket.counters().rejected == 0 {
        drop(dial_from(from, address(&at)).await.unwrap());
        before += 1;
        assert!(before < 10_000, "nobody counts");
        tokio::task::yield_now().await;
    }
    let limit = event(&mut monitor, |event| match event {
        Event::Rejected { limit, .. } => Some(*limit),
        _ => None,
    })
    .await;
    assert_eq!(limit, Limit::Handshakes);
    let since = Instant::now();
    let flood: Vec<_> = (0..8)
        .map(|_| {
            let at = address(&at);
            tokio::spawn(async move {
                let hello = hello(STRANGER);
                let (mut tried, mut welcomed) = (0_u32, 0_u32);
                while since.elapsed() < Duration::from_secs(2) {
                    let mut stream = dial_from(from, at).await.unwrap();
                    tried += 1;
                    let mut bytes = [0; 64 + 170];
                    let told = async {
                        stream.write_all(&hello).await?;
                        stream.read_exact(&mut bytes).await
                    };
                    welcomed += u32::from(soon(told).await.is_ok());
                }
                (tried, welcomed)
            })
        })
        .collect();
    for _ in 0..5 {
        another_gets_in(&socket, &at).await;
        good.is_served(&socket).await;
    }
    let (mut tried, mut welcomed) = (0, 0);
    for one in flood {
        let (more, of_them) = one.await.unwrap();
        (tried, welcomed) = (tried + more, welcomed + of_them);
    }
    let most = since.elapsed().as_millis() / 2 + 20;
    println!("{welcomed} WELCOMEs for {tried} HELLOs, {most} are allowed");
    assert!(u128::from(welcomed) <= most, "{welcomed} of {most}");
    another_gets_in(&socket, &at).await;
}

#[test]
fn without_descriptors_curve_peers_are_served_and_later_all() {
    alone(
        "secure::without_descriptors_curve_peers_are_served_and_later_all",
        || async {
            let guard = Guard::new(Mood::Deny);
            let (socket, at) = host(&guard, |_| {}).await;
            let mut good = Regular::ann(&at, "good");
            good.is_served(&socket).await;
            let mut monitor = socket.monitor();
            let limits = rustix::process::getrlimit(rustix::process::Resource::Nofile);
            let small = rustix::process::Rlimit {
                current: Some(descriptors() as u64 + 8),
                maximum: limits.maximum,
            };
            rustix::process::setrlimit(rustix::process::Resource::Nofile, small).unwrap();
            let mut crowd = Vec::new();
            while let Ok(stream) = dial_from(Ipv4Addr::LOCALHOST, address(&at)).await {
                crowd.push(stream);
            }
            event(&mut monitor, |event| {
                matches!(event, Event::AcceptFailed { .. }).then_some(())
            })
            .await;
            for _ in 0..5 {
                good.is_served(&socket).await;
            }
            crowd.clear();
            another_gets_in(&socket, &at).await;
            good.is_served(&socket).await;
        },
    );
}

// ---- who decides

/// [T14]
#[tokio::test]
async fn an_authenticator_that_hangs_breaks_or_is_late_lets_nobody_in_and_keeps_nobody_out() {
    let time = Duration::from_secs(1);
    for mood in [
        Mood::Never,
        Mood::Panic,
        Mood::PanicAtOnce,
        Mood::Late(time * 3),
        Mood::Later,
    ] {
        let guard = Guard::new(mood);
        let (socket, at) = host(&guard, |options| options.limits.handshake_time = time).await;
        let mut good = Regular::ann(&at, "good");
        good.is_served(&socket).await;
        let since = Instant::now();
        let mut strangers = Vec::new();
        for _ in 0..20 {
            let mut guest = Guest::dial(address(&at), curve_client(STRANGER))
                .await
                .unwrap();
            strangers.push(tokio::spawn(async move { guest.shake().await }));
        }
        another_gets_in(&socket, &at).await;
        for stranger in strangers {
            let end = soon(stranger).await.unwrap();
            assert!(matches!(end, Err(End::Closed)), "{mood:?}: {end:?}");
        }
        let took = since.elapsed();
        assert!(took < time + USUAL, "{mood:?}: {took:?}");
        until(|| guard.asked() == 20).await;
        if mood != Mood::PanicAtOnce {
            until(|| guard.left() == 20).await;
        }
        until(|| socket.counters().peers == 1).await;
        good.is_served(&socket).await;
        another_gets_in(&socket, &at).await;
    }
}

#[tokio::test]
async fn a_question_about_a_peer_that_has_gone_is_dropped() {
    let guard = Guard::new(Mood::Never);
    let (socket, at) = host(&guard, |_| {}).await;
    let mut guest = Guest::dial(address(&at), curve_client(STRANGER))
        .await
        .unwrap();
    while guard.asked() == 0 {
        let turn = tokio::time::timeout(Duration::from_millis(10), guest.turn(usize::MAX)).await;
        assert!(!matches!(turn, Ok(Err(_))), "{turn:?}");
    }
    drop(guest);
    until(|| guard.left() == 1).await;
    another_gets_in(&socket, &at).await;
}

/// [D8]: told, and closed within a second, though the peer itself does not hang up.
#[test]
fn who_is_refused_is_told_why_and_closed_within_a_second() {
    alone(
        "secure::who_is_refused_is_told_why_and_closed_within_a_second",
        || async {
            for (mood, words) in [(Mood::Deny, "400"), (Mood::Fail, "500")] {
                let guard = Guard::new(mood);
                let (socket, at) = host(&guard, |_| {}).await;
                let mut good = Regular::ann(&at, "good");
                good.is_served(&socket).await;
                let before = descriptors();
                let at_address = address(&at);
                let mut guest = Guest::dial(at_address, curve_client(STRANGER))
                    .await
                    .unwrap();
                let end = guest.shake().await;
                let told = security::Error::Refused {
                    reason: words.into(),
                };
                match end {
                    Err(End::Session(session::Error::Security(error))) => assert_eq!(error, told),
                    end => panic!("{end:?}"),
                }
                let since = Instant::now();
                guest.closed().await;
                assert!(since.elapsed() < Duration::from_secs(1));
                // The guest's own is left.
                until(|| descriptors() == before + 1).await;
                let took = since.elapsed();
                assert!(took < Duration::from_millis(1500), "{took:?}");
                good.is_served(&socket).await;
                another_gets_in(&socket, &at).await;
            }
        },
    );
}

#[tokio::test]
async fn without_an_authenticator_nobody_comes_in() {
    let (socket, at) = bound(SocketType::Router, |options| {
        options.security = curve_server();
    })
    .await;
    let mut guest = Guest::dial(address(&at), curve_client(ANN)).await.unwrap();
    let end = guest.shake().await;
    assert!(matches!(end, Err(End::Session(_))), "{end:?}");
    assert_eq!(socket.counters().peers, 0);
}

// ---- our own clients

/// How often a client of ours is heard of within three seconds of its first attempt.
async fn tries(monitor: &mut Monitor) -> u32 {
    let accepted = |event: &Event| matches!(event, Event::Accepted { .. }).then_some(());
    event(monitor, accepted).await;
    let mut tries = 1;
    let more = async {
        loop {
            event(monitor, accepted).await;
            tries += 1;
        }
    };
    let over = tokio::time::timeout(Duration::from_secs(3), more).await;
    assert!(over.is_err(), "it goes on for ever");
    tries
}

#[tokio::test]
async fn a_socket_that_is_refused_tries_four_times_in_three_seconds_at_most() {
    let curve = (curve_server(), curve_client(STRANGER));
    let plain = (Security::PlainServer, plain_client("ann", "Secret"));
    let mut running = Vec::new();
    for (server, client) in [curve, plain] {
        running.push(tokio::spawn(async move {
            let guard = Guard::new(Mood::Deny);
            let (socket, at) = host(&guard, |options| options.security = server).await;
            let mut monitor = socket.monitor();
            let _client = Regular::new(&at, "refused", client);
            let tries = tries(&mut monitor).await;
            assert!((2..=4).contains(&tries), "{tries} tries");
            assert!(guard.asked() >= 2, "each time it is asked about");
        }));
    }
    for one in running {
        soon(one).await.unwrap();
    }
}

/// How long the client waits after each of its first attempts.
async fn waits(monitor: &mut Monitor) -> Vec<Duration> {
    let mut waits = Vec::new();
    for _ in 0..5 {
        let wait = event(monitor, |event| match event {
            Event::Retrying { after, .. } => Some(*after),
            _ => None,
        });
        waits.push(wait.await);
    }
    waits
}

/// [W6]: an operator may switch the mechanism on and off; nobody is stranded, nobody hammers.
#[tokio::test]
async fn a_mechanism_that_does_not_match_is_tried_again_with_jitter() {
    let guard = Guard::new(Mood::Deny);
    let (_socket, at) = host(&guard, |_| {}).await;
    let mut all = Vec::new();
    for security in [
        Security::Null,
        Security::Null,
        plain_client("ann", "secret"),
    ] {
        let client = Regular::new(&at, "other", security);
        let mut monitor = client.socket.monitor();
        all.push(tokio::spawn(async move {
            let waits = waits(&mut monitor).await;
            drop(client);
            waits
        }));
    }
    let mut seen = Vec::new();
    for one in all {
        let waits = soon(one).await.unwrap();
        for (nth, wait) in waits.iter().enumerate() {
            let middle = Duration::from_millis(100 << nth);
            let jitter = middle * 7 / 10..=middle * 13 / 10;
            assert!(jitter.contains(wait), "{nth}: {wait:?}");
        }
        seen.push(waits);
    }
    assert!(
        seen[0] != seen[1] && seen[1] != seen[2],
        "in step: {seen:?}"
    );
    assert_eq!(guard.asked(), 0);
}

// ---- who may stay

#[tokio::test]
async fn who_is_not_admitted_any_more_is_cut_within_about_a_second() {
    let guard = Guard::new(Mood::Deny);
    let (socket, at) = host(&guard, |_| {}).await;
    let mut good = Regular::ann(&at, "good");
    good.is_served(&socket).await;
    for breaks in [false, true] {
        let mut monitor = socket.monitor();
        let mut guest = Guest::dial(address(&at), curve_client(BOB)).await.unwrap();
        guest.shake().await.unwrap();
        let since = Instant::now();
        match breaks {
            // Who cannot be asked about any more is treated the same.
            true => guard.breaks_later.store(true, Ordering::Relaxed),
            false => guard.revoke("bob"),
        }
        guest.closed().await;
        let took = since.elapsed();
        assert!(took < Duration::from_secs(4), "{took:?}");
        // Others come and go meanwhile.
        event(&mut monitor, |event| match event {
            Event::Disconnected { reason, .. } => (*reason == Reason::Revoked).then_some(()),
            _ => None,
        })
        .await;
        guard.pardon();
        good.is_served(&socket).await;
        another_gets_in(&socket, &at).await;
    }
}

/// Far beyond what a round trip or a handshake takes even when the machine is busy.
const USUAL: Duration = Duration::from_secs(5);
