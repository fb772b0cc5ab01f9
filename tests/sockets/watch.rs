//! What a program is told: monitor, counters, limits, heartbeats (zmtp.md 1.8, 2.9).

use std::time::Duration;

use scale0::session;
use scale0::socket::{
    Event, Heartbeat, Limit, Message, Monitor, Options, Reason, Socket, SocketType,
};

use crate::{
    Via, bound, ended, eventually, joined, named, opened, over, quick, recv, send, settle, socket,
    until, within, words,
};

over! { tcp ipc inproc:
    events_come_in_order_on_both_sides
    what_a_peer_says_of_itself_is_told
}
over! { tcp inproc:
    a_peer_of_the_wrong_type_is_turned_away_and_counted
    a_monitor_that_is_not_read_misses_the_oldest
    each_monitor_hears_everything
    counters_count
}
over! { tcp ipc:
    an_idle_connection_with_heartbeats_stays
    a_program_that_does_not_receive_still_answers_heartbeats
    a_time_to_live_ends_a_connection_that_falls_silent
    a_limit_on_connections_turns_the_next_one_away
    a_mute_stream_is_closed_when_its_time_is_over
    the_oldest_of_too_many_handshakes_goes
    another_limit_on_handshakes_holds_at_once
}

macro_rules! name {
    ($monitor:expr, $pattern:pat) => {
        match within($monitor.next()).await.unwrap() {
            event @ $pattern => event,
            other => panic!("{other:?} instead of {}", stringify!($pattern)),
        }
    };
}

fn number(event: &Event) -> u64 {
    match event {
        Event::Accepted { connection, .. }
        | Event::Connected { connection, .. }
        | Event::Opened { connection, .. }
        | Event::Disconnected { connection, .. }
        | Event::HandshakeFailed { connection, .. } => *connection,
        other => panic!("{other:?}"),
    }
}

async fn events_come_in_order_on_both_sides(via: Via) {
    let pull = socket(SocketType::Pull);
    let mut inward = pull.monitor();
    let endpoint = pull.bind(via.any().as_str()).await.unwrap();
    let listening = name!(inward, Event::Listening { .. });
    assert_eq!(
        listening,
        Event::Listening {
            endpoint: endpoint.clone()
        }
    );
    let push = socket(SocketType::Push);
    let mut outward = push.monitor();
    push.connect(endpoint.clone()).unwrap();
    if via != Via::Inproc {
        name!(outward, Event::Connecting { .. });
    }
    let connected = name!(outward, Event::Connected { .. });
    let opened = name!(
        outward,
        Event::Opened {
            peer: SocketType::Pull,
            ..
        }
    );
    assert_eq!(number(&connected), number(&opened));
    let accepted = name!(inward, Event::Accepted { .. });
    let opened = name!(
        inward,
        Event::Opened {
            peer: SocketType::Push,
            ..
        }
    );
    assert_eq!(number(&accepted), number(&opened));
    within(pull.close()).await.unwrap();
    name!(inward, Event::Unbound { .. });
    let gone = name!(
        inward,
        Event::Disconnected {
            reason: Reason::Local,
            ..
        }
    );
    assert_eq!(number(&accepted), number(&gone));
    assert_eq!(within(inward.next()).await, None);
    let gone = name!(
        outward,
        Event::Disconnected {
            reason: Reason::Closed,
            ..
        }
    );
    assert_eq!(number(&connected), number(&gone));
    if via != Via::Inproc {
        name!(outward, Event::Retrying { .. });
    }
    let pull = socket(SocketType::Pull);
    pull.bind(endpoint).await.unwrap();
    let again = until(&mut outward, |event| {
        matches!(event, Event::Connected { .. })
    })
    .await;
    assert_ne!(number(&connected), number(&again));
    name!(outward, Event::Opened { .. });
    drop(push);
    until(&mut outward, |event| {
        matches!(
            event,
            Event::Disconnected {
                reason: Reason::Local,
                ..
            }
        )
    })
    .await;
    assert_eq!(within(outward.next()).await, None);
}

async fn what_a_peer_says_of_itself_is_told(via: Via) {
    let (router, endpoint) = bound(via, SocketType::Router, quick()).await;
    let mut monitor = router.monitor();
    let mut options = named("ann");
    options.set("metadata", "X-Colour:blue").unwrap();
    let _dealer = joined(SocketType::Dealer, options, &endpoint).await;
    match opened(&mut monitor).await {
        Event::Opened {
            identity,
            properties,
            ..
        } => {
            assert_eq!(identity, "ann");
            assert!(
                properties.contains(&("X-Colour".into(), "blue".into())),
                "{properties:?}"
            );
        }
        other => panic!("{other:?}"),
    }
    let _other = joined(SocketType::Dealer, quick(), &endpoint).await;
    match opened(&mut monitor).await {
        Event::Opened { identity, .. } => assert_eq!((identity.len(), identity[0]), (5, 0)),
        other => panic!("{other:?}"),
    }
}

async fn a_peer_of_the_wrong_type_is_turned_away_and_counted(via: Via) {
    let (pull, endpoint) = bound(via, SocketType::Pull, quick()).await;
    let mut inward = pull.monitor();
    let dealer = socket(SocketType::Dealer);
    let mut outward = dealer.monitor();
    dealer.connect(endpoint.clone()).unwrap();
    let is = |event: &Event| {
        matches!(
            event,
            Event::HandshakeFailed {
                reason: Reason::Session(_),
                ..
            }
        )
    };
    until(&mut inward, is).await;
    until(&mut outward, is).await;
    eventually("counted", || pull.counters().handshakes_failed == 1).await;
    assert_eq!((pull.counters().peers, dealer.counters().peers), (0, 0));
    // Others are served.
    let push = joined(SocketType::Push, quick(), &endpoint).await;
    send(&push, "x").await;
    assert_eq!(words(&pull).await, ["x"]);
}

async fn a_monitor_that_is_not_read_misses_the_oldest(via: Via) {
    let (pull, endpoint) = bound(via, SocketType::Pull, quick()).await;
    let mut monitor = pull.monitor();
    for _ in 0..400 {
        joined(SocketType::Push, quick(), &endpoint)
            .await
            .close()
            .await
            .unwrap();
    }
    eventually("all gone", || pull.counters().peers == 0).await;
    within(pull.close()).await.unwrap();
    let Some(Event::Missed(missed)) = monitor.next().await else {
        panic!("the gap comes first")
    };
    let mut rest = 0;
    while monitor.next().await.is_some() {
        rest += 1;
    }
    assert_eq!(rest, 1000);
    assert_eq!(missed, 400 * 3 + 1 - 1000);
}

async fn each_monitor_hears_everything(via: Via) {
    let (pull, endpoint) = bound(via, SocketType::Pull, quick()).await;
    let mut monitors: Vec<Monitor> = (0..3).map(|_| pull.monitor()).collect();
    drop(monitors.remove(0));
    let _push = joined(SocketType::Push, quick(), &endpoint).await;
    for monitor in &mut monitors {
        opened(monitor).await;
    }
}

async fn counters_count(via: Via) {
    let (pull, endpoint) = bound(via, SocketType::Pull, quick()).await;
    let push = joined(SocketType::Push, quick(), &endpoint).await;
    for _ in 0..10 {
        send(&push, Message::new(["a", "b"])).await;
    }
    for _ in 0..10 {
        recv(&pull).await;
    }
    assert_eq!((push.counters().sent, push.counters().received), (10, 0));
    assert_eq!((pull.counters().sent, pull.counters().received), (0, 10));
    assert_eq!((push.counters().peers, pull.counters().peers), (1, 1));
    within(push.close()).await.unwrap();
    eventually("gone", || pull.counters().peers == 0).await;
}

fn beating(interval: u64, timeout: u64, ttl: u64) -> Options {
    Options {
        heartbeat: Some(Heartbeat {
            interval: Duration::from_millis(interval),
            timeout: Duration::from_millis(timeout),
            ttl: Duration::from_millis(ttl),
        }),
        ..quick()
    }
}

async fn quiet(monitor: &mut Monitor, time: u64) {
    let event = tokio::time::timeout(Duration::from_millis(time), ended(monitor)).await;
    assert!(event.is_err(), "{event:?}");
}

async fn an_idle_connection_with_heartbeats_stays(via: Via) {
    let (pull, endpoint) = bound(via, SocketType::Pull, beating(50, 150, 0)).await;
    let push = joined(SocketType::Push, beating(50, 150, 300), &endpoint).await;
    quiet(&mut push.monitor(), 1000).await;
    assert_eq!((push.counters().peers, pull.counters().peers), (1, 1));
}

async fn a_program_that_does_not_receive_still_answers_heartbeats(via: Via) {
    let options = Options {
        receive_messages: 10,
        ..quick()
    };
    let (pull, endpoint) = bound(via, SocketType::Pull, options).await;
    let push = joined(SocketType::Push, beating(50, 250, 0), &endpoint).await;
    let mut monitor = push.monitor();
    for number in 0..5 {
        send(&push, number.to_string()).await;
    }
    quiet(&mut monitor, 1000).await;
    for number in 0..5 {
        assert_eq!(words(&pull).await, [number.to_string()]);
    }
}

async fn a_time_to_live_ends_a_connection_that_falls_silent(via: Via) {
    // It tells its peer to expect something every 100 ms, and then says nothing for 400.
    for (ours, theirs) in [
        (SocketType::Router, SocketType::Dealer),
        (SocketType::Rep, SocketType::Req),
        (SocketType::Push, SocketType::Pull),
        (SocketType::Xpub, SocketType::Sub),
        (SocketType::Pair, SocketType::Pair),
    ] {
        let (own, endpoint) = bound(via, ours, quick()).await;
        let mut monitor = own.monitor();
        let _peer = joined(theirs, beating(400, 5000, 100), &endpoint).await;
        opened(&mut monitor).await;
        let reason = ended(&mut monitor).await;
        assert!(matches!(reason, Reason::Session(_)), "{reason}");
    }
}

async fn a_limit_on_connections_turns_the_next_one_away(via: Via) {
    let limits: [fn(&mut Options); 2] = [
        |options| options.limits.connections = 2,
        |options| options.limits.connections_per_address = Some(2),
    ];
    for (place, limit) in limits.into_iter().enumerate() {
        if place == 1 && via == Via::Ipc {
            continue;
        }
        let mut options = quick();
        limit(&mut options);
        let (pull, endpoint) = bound(via, SocketType::Pull, options).await;
        let mut monitor = pull.monitor();
        let first = joined(SocketType::Push, quick(), &endpoint).await;
        let second = joined(SocketType::Push, quick(), &endpoint).await;
        let third = socket(SocketType::Push);
        third.connect(endpoint).unwrap();
        let event = until(&mut monitor, |event| {
            matches!(event, Event::Rejected { .. })
        })
        .await;
        let expected = [Limit::Connections, Limit::Address][place];
        assert!(matches!(event, Event::Rejected { limit, .. } if limit == expected));
        assert!(pull.counters().rejected >= 1);
        send(&first, "1").await;
        assert_eq!(words(&pull).await, ["1"]);
        // A place that is free is given to who keeps trying.
        drop(second);
        send(&third, "3").await;
        assert_eq!(words(&pull).await, ["3"]);
    }
}

/// A stream that says nothing.
async fn mute(endpoint: &scale0::socket::Endpoint) -> Box<dyn std::any::Any> {
    let text = endpoint.to_string();
    match text.strip_prefix("tcp://") {
        Some(address) => Box::new(tokio::net::TcpStream::connect(address).await.unwrap()),
        None => {
            use std::os::linux::net::SocketAddrExt;
            let name = text.strip_prefix("ipc://@").unwrap();
            let address = std::os::unix::net::SocketAddr::from_abstract_name(name).unwrap();
            Box::new(std::os::unix::net::UnixStream::connect_addr(&address).unwrap())
        }
    }
}

async fn a_mute_stream_is_closed_when_its_time_is_over(via: Via) {
    let mut options = quick();
    options.set("handshake_ivl", "100").unwrap();
    let (pull, endpoint) = bound(via, SocketType::Pull, options).await;
    let mut monitor = pull.monitor();
    let _stream = mute(&endpoint).await;
    let failed = until(&mut monitor, |event| {
        matches!(event, Event::HandshakeFailed { .. })
    })
    .await;
    let Event::HandshakeFailed {
        reason: Reason::Session(error),
        ..
    } = failed
    else {
        panic!("{failed:?}")
    };
    assert!(
        matches!(error, session::Error::HandshakeTimeout),
        "{error:?}"
    );
    assert_eq!(pull.counters().handshakes_failed, 1);
}

async fn the_oldest_of_too_many_handshakes_goes(via: Via) {
    let mut options = quick();
    options.limits.pending_handshakes = 3;
    let (pull, endpoint) = bound(via, SocketType::Pull, options).await;
    let mut monitor = pull.monitor();
    let mut streams = Vec::new();
    for _ in 0..4 {
        streams.push(mute(&endpoint).await);
        until(&mut monitor, |event| {
            matches!(event, Event::Accepted { .. })
        })
        .await;
    }
    assert_eq!(ended(&mut monitor).await, Reason::Crowd);
    // A good peer is served in the midst of them.
    let push = joined(SocketType::Push, quick(), &endpoint).await;
    send(&push, "x").await;
    assert_eq!(words(&pull).await, ["x"]);
}

async fn another_limit_on_handshakes_holds_at_once(via: Via) {
    let (pull, endpoint) = bound(via, SocketType::Pull, quick()).await;
    let mut monitor = pull.monitor();
    let mut streams = Vec::new();
    for _ in 0..4 {
        streams.push(mute(&endpoint).await);
        until(&mut monitor, |event| {
            matches!(event, Event::Accepted { .. })
        })
        .await;
    }
    pull.configure(|options| options.limits.pending_handshakes = 3);
    assert_eq!(ended(&mut monitor).await, Reason::Crowd);
    assert_eq!(pull.counters().handshakes_failed, 1);
    streams.push(mute(&endpoint).await);
    assert_eq!(ended(&mut monitor).await, Reason::Crowd);
    assert_eq!(pull.counters().handshakes_failed, 2);
}

#[tokio::test]
async fn a_monitor_ends_with_a_socket_that_was_never_used() {
    let socket = Socket::new(SocketType::Pull);
    let mut monitor = socket.monitor();
    drop(socket);
    assert_eq!(within(monitor.next()).await, None);
    settle().await;
}
