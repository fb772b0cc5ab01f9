//! From bind and connect to the end: order, restarts, lingering (zmtp.md 2.6 and 2.7).

use std::time::{Duration, Instant};

use scale0::socket::{
    Endpoint, Error, Event, Message, Options, Reason, RecvError, Refusal, SendError, Socket,
    SocketType, Unsent,
};

use crate::{
    Via, bound, ended, eventually, joined, opened, over, quick, recv, send, settle, socket, until,
    within, words,
};

over! { tcp ipc inproc:
    whoever_binds_later_is_found
    every_type_comes_back_after_its_peers_restart
    the_bound_side_serves_who_comes_back
    closing_sends_what_waits
    unbound_endpoints_keep_their_connections_and_take_no_more
    an_endpoint_can_be_bound_again_at_once
    disconnected_endpoints_are_not_sought_again
}
over! { tcp inproc:
    without_lingering_what_waits_is_counted_as_unsent
    lingering_ends_in_time_and_counts_what_is_left
    what_waits_for_an_unconnected_peer_is_sent_when_it_comes
    disconnecting_sends_what_waits_and_nothing_new
    a_dropped_socket_still_sends_what_waits
    what_was_sent_before_the_senders_end_is_received
    an_endpoint_has_one_socket
    a_socket_may_bind_and_connect_several_times
    without_reconnect_a_lost_connection_is_not_made_again
}

async fn whoever_binds_later_is_found(via: Via) {
    let endpoint = via.free();
    let push = socket(SocketType::Push);
    push.connect(endpoint.clone()).unwrap();
    send(&push, "early").await;
    settle().await;
    let pull = socket(SocketType::Pull);
    assert_eq!(pull.bind(endpoint.clone()).await.unwrap(), endpoint);
    assert_eq!(words(&pull).await, ["early"]);
}

/// One message, or one round, from the connected socket to the bound one.
async fn talk(bound: &Socket, connected: &Socket) {
    use SocketType as T;
    match connected.kind() {
        T::Req => {
            send(connected, "ask").await;
            assert_eq!(words(bound).await, ["ask"]);
            send(bound, "answer").await;
            assert_eq!(words(connected).await, ["answer"]);
        }
        T::Rep | T::Pull | T::Sub => {
            let message = match connected.kind() {
                T::Sub => {
                    recv(bound).await;
                    Message::single(b"to you")
                }
                T::Rep => Message::new(["", "to you"]),
                _ => Message::single(b"to you"),
            };
            send(bound, message).await;
            assert_eq!(words(connected).await, ["to you"]);
            if connected.kind() == T::Rep {
                send(connected, "x").await;
                assert_eq!(words(bound).await, ["", "x"]);
            }
        }
        T::Pub | T::Xpub => {
            let mark = async {
                loop {
                    send(connected, "news").await;
                    tokio::time::sleep(Duration::from_millis(2)).await;
                }
            };
            tokio::select! {
                () = mark => {}
                news = words(bound) => assert_eq!(news, ["news"]),
            }
        }
        T::Xsub => {
            send(connected, "up").await;
            while words(bound).await != ["up"] {}
        }
        T::Router => {
            send(bound, "who").await;
            let id = recv(connected).await.into_parts().remove(0);
            send(connected, Message::new([&id[..], b"you"])).await;
            assert_eq!(words(bound).await, ["you"]);
        }
        _ => {
            send(connected, "x").await;
            assert_eq!(words(bound).await, ["x"]);
        }
    }
}

const PAIRS: [(SocketType, SocketType); 11] = {
    use SocketType as T;
    [
        (T::Req, T::Rep),
        (T::Rep, T::Dealer),
        (T::Dealer, T::Dealer),
        (T::Router, T::Dealer),
        (T::Pub, T::Sub),
        (T::Xpub, T::Sub),
        (T::Sub, T::Xpub),
        (T::Xsub, T::Xpub),
        (T::Push, T::Pull),
        (T::Pull, T::Push),
        (T::Pair, T::Pair),
    ]
};

fn subscribed(socket: Socket) -> Socket {
    if socket.kind() == SocketType::Sub {
        socket.subscribe("").unwrap();
    }
    socket
}

async fn every_type_comes_back_after_its_peers_restart(via: Via) {
    for (ours, theirs) in PAIRS {
        let peer = subscribed(socket(theirs));
        let endpoint = peer.bind(via.any().as_str()).await.unwrap();
        let own = subscribed(socket(ours));
        let mut monitor = own.monitor();
        own.connect(endpoint.clone()).unwrap();
        opened(&mut monitor).await;
        talk(&peer, &own).await;
        within(peer.close()).await.unwrap();
        ended(&mut monitor).await;
        let peer = subscribed(socket(theirs));
        peer.bind(endpoint).await.unwrap();
        opened(&mut monitor).await;
        talk(&peer, &own).await;
    }
}

async fn the_bound_side_serves_who_comes_back(via: Via) {
    for (theirs, ours) in PAIRS {
        let own = subscribed(socket(ours));
        let endpoint = own.bind(via.any().as_str()).await.unwrap();
        let mut monitor = own.monitor();
        for _ in 0..2 {
            let peer = subscribed(joined_as(theirs, &endpoint).await);
            opened(&mut monitor).await;
            talk(&own, &peer).await;
            within(peer.close()).await.unwrap();
            ended(&mut monitor).await;
            // XPUB hears of the end of what was subscribed to.
            while ours == SocketType::Xpub && own.try_recv().unwrap().is_some() {}
        }
    }
}

async fn joined_as(kind: SocketType, endpoint: &Endpoint) -> Socket {
    joined(kind, quick(), endpoint).await
}

async fn closing_sends_what_waits(via: Via) {
    let (pull, endpoint) = bound(via, SocketType::Pull, quick()).await;
    let push = socket(SocketType::Push);
    push.connect(endpoint).unwrap();
    for number in 0..500 {
        push.try_send(number.to_string()).unwrap();
    }
    let receiving = async {
        for number in 0..500 {
            assert_eq!(words(&pull).await, [number.to_string()]);
        }
    };
    let (closed, ()) = within(async { tokio::join!(push.close(), receiving) }).await;
    closed.unwrap();
}

async fn unbound_endpoints_keep_their_connections_and_take_no_more(via: Via) {
    let (pull, endpoint) = bound(via, SocketType::Pull, quick()).await;
    let mut told = pull.monitor();
    let push = joined(SocketType::Push, quick(), &endpoint).await;
    assert_eq!(pull.endpoints(), std::slice::from_ref(&endpoint));
    pull.unbind(&endpoint).unwrap();
    assert_eq!(pull.endpoints(), []);
    assert!(matches!(pull.unbind(&endpoint), Err(Error::Unknown { .. })));
    let unbound = until(&mut told, |event| matches!(event, Event::Unbound { .. })).await;
    assert_eq!(
        unbound,
        Event::Unbound {
            endpoint: endpoint.clone()
        }
    );
    settle().await;
    let late = socket(SocketType::Push);
    let mut monitor = late.monitor();
    late.connect(endpoint.clone()).unwrap();
    if via == Via::Inproc {
        settle().await;
    } else {
        until(&mut monitor, |event| {
            matches!(event, Event::Retrying { .. })
        })
        .await;
    }
    late.try_send("late").unwrap();
    send(&push, "still here").await;
    assert_eq!(words(&pull).await, ["still here"]);
    assert_eq!(pull.counters().peers, 1);
    // Bound again, it takes all who wait.
    pull.bind(endpoint).await.unwrap();
    assert_eq!(words(&pull).await, ["late"]);
}

async fn an_endpoint_can_be_bound_again_at_once(via: Via) {
    let (pull, endpoint) = bound(via, SocketType::Pull, quick()).await;
    for _ in 0..20 {
        pull.unbind(&endpoint).unwrap();
        pull.bind(endpoint.clone()).await.unwrap();
    }
    let mut pull = pull;
    for _ in 0..20 {
        within(pull.close()).await.unwrap();
        pull = socket(SocketType::Pull);
        pull.bind(endpoint.clone()).await.unwrap();
    }
    let push = joined(SocketType::Push, quick(), &endpoint).await;
    send(&push, "x").await;
    assert_eq!(words(&pull).await, ["x"]);
}

async fn disconnected_endpoints_are_not_sought_again(via: Via) {
    let (pull, endpoint) = bound(via, SocketType::Pull, quick()).await;
    let push = joined(SocketType::Push, quick(), &endpoint).await;
    let mut monitor = push.monitor();
    send(&push, "one").await;
    push.disconnect(&endpoint).unwrap();
    assert_eq!(ended(&mut monitor).await, Reason::Local);
    assert_eq!(words(&pull).await, ["one"]);
    assert!(matches!(
        push.disconnect(&endpoint),
        Err(Error::Unknown { .. })
    ));
    assert!(matches!(push.try_send("two"), Err(SendError::Full(_))));
    within(pull.close()).await.unwrap();
    let pull = socket(SocketType::Pull);
    pull.bind(endpoint.clone()).await.unwrap();
    let mut told = pull.monitor();
    let mark = joined(SocketType::Push, quick(), &endpoint).await;
    send(&mark, "mark").await;
    assert_eq!(words(&pull).await, ["mark"]);
    opened(&mut told).await;
    assert_eq!(pull.counters().peers, 1);
    push.connect(endpoint).unwrap();
    send(&push, "three").await;
    assert_eq!(words(&pull).await, ["three"]);
}

fn lingering(linger: Duration) -> Options {
    Options {
        linger: Some(linger),
        ..quick()
    }
}

async fn without_lingering_what_waits_is_counted_as_unsent(via: Via) {
    let push = Socket::with(SocketType::Push, lingering(Duration::ZERO));
    push.connect(via.free()).unwrap();
    for _ in 0..7 {
        push.try_send("x").unwrap();
    }
    let since = Instant::now();
    let closed = within(push.close()).await;
    assert_eq!(closed, Err(Unsent { messages: 7 }));
    assert!(since.elapsed() < Duration::from_millis(500));
}

async fn lingering_ends_in_time_and_counts_what_is_left(via: Via) {
    let push = Socket::with(SocketType::Push, lingering(Duration::from_millis(150)));
    push.connect(via.free()).unwrap();
    push.try_send("x").unwrap();
    let since = Instant::now();
    let closed = within(push.close()).await;
    assert_eq!(closed, Err(Unsent { messages: 1 }));
    let took = since.elapsed().as_millis();
    assert!((140..1500).contains(&took), "{took} ms");
}

async fn what_waits_for_an_unconnected_peer_is_sent_when_it_comes(via: Via) {
    let endpoint = via.free();
    let push = Socket::with(
        SocketType::Push,
        Options {
            linger: None,
            ..quick()
        },
    );
    push.connect(endpoint.clone()).unwrap();
    for number in 0..3 {
        push.try_send(number.to_string()).unwrap();
    }
    let pull = socket(SocketType::Pull);
    let later = async {
        settle().await;
        pull.bind(endpoint).await.unwrap();
        for number in 0..3 {
            assert_eq!(words(&pull).await, [number.to_string()]);
        }
    };
    let (closed, ()) = within(async { tokio::join!(push.close(), later) }).await;
    closed.unwrap();
}

async fn disconnecting_sends_what_waits_and_nothing_new(via: Via) {
    let endpoint = via.free();
    let (other, live) = bound(via, SocketType::Pull, quick()).await;
    let push = socket(SocketType::Push);
    push.connect(endpoint.clone()).unwrap();
    let large = vec![0; 1 << 20];
    for _ in 0..20 {
        push.try_send(large.clone()).unwrap();
    }
    push.disconnect(&endpoint).unwrap();
    let mut monitor = push.monitor();
    push.connect(live).unwrap();
    opened(&mut monitor).await;
    let pull = socket(SocketType::Pull);
    pull.bind(endpoint).await.unwrap();
    opened(&mut monitor).await;
    // Both are there now; what is new goes to one of them only.
    for number in 0..10 {
        send(&push, number.to_string()).await;
    }
    for number in 0..10 {
        assert_eq!(words(&other).await, [number.to_string()]);
    }
    for _ in 0..20 {
        assert_eq!(recv(&pull).await.payload(), large.len());
    }
    ended(&mut monitor).await;
    assert_eq!(pull.try_recv(), Ok(None));
}

async fn a_dropped_socket_still_sends_what_waits(via: Via) {
    let endpoint = via.free();
    {
        let push = socket(SocketType::Push);
        push.connect(endpoint.clone()).unwrap();
        push.try_send("last will").unwrap();
    }
    let pull = socket(SocketType::Pull);
    pull.bind(endpoint).await.unwrap();
    assert_eq!(words(&pull).await, ["last will"]);
    eventually("the end", || pull.counters().peers == 0).await;
}

async fn what_was_sent_before_the_senders_end_is_received(via: Via) {
    let (pull, endpoint) = bound(via, SocketType::Pull, quick()).await;
    for round in 0..5 {
        let push = joined(SocketType::Push, quick(), &endpoint).await;
        for number in 0..200 {
            send(&push, Message::new([round.to_string(), number.to_string()])).await;
        }
        within(push.close()).await.unwrap();
    }
    let mut next = [0; 5];
    for _ in 0..1000 {
        let message = words(&pull).await;
        let round: usize = message[0].parse().unwrap();
        assert_eq!(message[1], next[round].to_string());
        next[round] += 1;
    }
}

async fn an_endpoint_has_one_socket(via: Via) {
    let (pull, endpoint) = bound(via, SocketType::Pull, quick()).await;
    let other = socket(SocketType::Pull);
    let mut monitor = other.monitor();
    let error = other.bind(endpoint.clone()).await.unwrap_err();
    match via {
        Via::Inproc => assert!(matches!(error, Error::InUse { .. })),
        _ => assert!(matches!(error, Error::Bind(_))),
    }
    let failed = monitor.next().await.unwrap();
    assert!(matches!(failed, Event::BindFailed { .. }), "{failed:?}");
    assert!(
        pull.bind(endpoint.clone()).await.is_err(),
        "twice by itself"
    );
    let push = joined(SocketType::Push, quick(), &endpoint).await;
    send(&push, "x").await;
    assert_eq!(words(&pull).await, ["x"]);
}

async fn a_socket_may_bind_and_connect_several_times(via: Via) {
    let router = socket(SocketType::Dealer);
    let first = router.bind(via.any().as_str()).await.unwrap();
    let second = router.bind(via.any().as_str()).await.unwrap();
    assert_eq!(router.endpoints(), [first.clone(), second.clone()]);
    for endpoint in [&first, &second, &first] {
        let peer = joined(SocketType::Dealer, quick(), endpoint).await;
        send(&peer, "x").await;
        assert_eq!(words(&router).await, ["x"]);
    }
    let peer = socket(SocketType::Dealer);
    peer.connect(first.clone()).unwrap();
    peer.connect(first).unwrap();
    peer.connect(second).unwrap();
    for _ in 0..6 {
        send(&peer, "y").await;
    }
    for _ in 0..6 {
        assert_eq!(words(&router).await, ["y"]);
    }
    eventually("those who went are gone", || router.counters().peers == 3).await;
}

async fn without_reconnect_a_lost_connection_is_not_made_again(via: Via) {
    let (pull, endpoint) = bound(via, SocketType::Pull, quick()).await;
    let options = Options {
        reconnect: None,
        ..quick()
    };
    let push = joined(SocketType::Push, options, &endpoint).await;
    let mut monitor = push.monitor();
    within(pull.close()).await.unwrap();
    ended(&mut monitor).await;
    until(
        &mut monitor,
        |event| matches!(event, Event::GivenUp { endpoint: gone, .. } if *gone == endpoint),
    )
    .await;
    let pull = socket(SocketType::Pull);
    pull.bind(endpoint.clone()).await.unwrap();
    let mark = joined(SocketType::Push, quick(), &endpoint).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    send(&mark, "mark").await;
    assert_eq!(words(&pull).await, ["mark"]);
    assert_eq!(pull.counters().peers, 1);
    push.configure(|options| options.linger = Some(Duration::ZERO));
}

#[tokio::test]
async fn a_wildcard_becomes_a_port_that_can_be_connected_to() {
    for text in ["tcp://127.0.0.1:*", "tcp://127.0.0.1:0", "tcp://*:*"] {
        let pull = socket(SocketType::Pull);
        let endpoint = pull.bind(text).await.unwrap();
        let Endpoint::Tcp { port, .. } = endpoint else {
            panic!("{endpoint}")
        };
        assert_ne!(port, 0);
        assert_eq!(pull.endpoints(), [endpoint]);
        let push = socket(SocketType::Push);
        push.connect(format!("tcp://127.0.0.1:{port}").as_str())
            .unwrap();
        send(&push, "x").await;
        assert_eq!(words(&pull).await, ["x"]);
    }
}

#[tokio::test]
async fn what_cannot_be_connected_to_is_an_error_at_once() {
    let push = socket(SocketType::Push);
    for text in [
        "tcp://*:5555",
        "tcp://127.0.0.1:0",
        "nonsense",
        "udp://x:1",
        "tcp://x",
        "inproc://",
        "",
    ] {
        assert!(push.connect(text).is_err(), "{text}");
    }
    assert!(
        push.disconnect(&"tcp://127.0.0.1:1".parse().unwrap())
            .is_err()
    );
}

#[test]
fn without_a_runtime_there_is_an_error_and_no_panic() {
    let push = Socket::new(SocketType::Push);
    assert!(matches!(
        push.connect("inproc://nowhere"),
        Err(Error::NoRuntime)
    ));
    assert!(matches!(push.try_send("x"), Err(SendError::Full(_))));
    let req = Socket::new(SocketType::Req);
    assert_eq!(req.try_recv(), Err(RecvError::Refused(Refusal::SendFirst)));
}

#[test]
fn a_peer_that_dies_leaves_what_it_has_sent() {
    use tokio::runtime::Builder;
    // One runs by itself, so that its handshakes are done.
    let ours = Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    // Over TCP the peer's reset may overtake what it has sent, and that is lost in the network.
    let (dealer, endpoint) = ours.block_on(bound(Via::Ipc, SocketType::Dealer, quick()));
    let theirs = Builder::new_current_thread().enable_all().build().unwrap();
    let peer = theirs.block_on(async {
        let peer = joined(SocketType::Dealer, quick(), &endpoint).await;
        for number in 0..50 {
            send(&peer, number.to_string()).await;
        }
        settle().await;
        peer
    });
    // Its streams end without a farewell.
    drop(theirs);
    drop(peer);
    ours.block_on(async {
        // They come back as an error, and what it has sent is read all the same.
        for _ in 0..5 {
            let _ = dealer.try_send("to the dead");
            settle().await;
        }
        for number in 0..50 {
            assert_eq!(words(&dealer).await, [number.to_string()]);
        }
    });
}
