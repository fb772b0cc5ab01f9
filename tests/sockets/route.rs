//! ROUTER (zmtp.md R1 to R11).

use std::collections::BTreeSet;
use std::time::Duration;

use scale0::socket::{
    Handover, Message, Options, PatternConfig, Reason, SendError, Socket, SocketType, Transport,
};

use crate::{
    Via, bound, ended, eventually, joined, named, opened, over, quick, recv, send, settle, socket,
    text, within, words,
};

over! { tcp ipc inproc:
    a_message_goes_to_the_peer_it_names
    automatic_ids_differ_and_are_fresh_after_a_reconnect
    a_probe_lets_routers_know_each_other
}
over! { tcp inproc:
    what_cannot_be_routed_is_dropped_and_counted
    mandatory_tells_what_cannot_be_routed
    mandatory_waits_for_room_and_loses_nothing
    mandatory_ends_its_wait_when_the_peer_goes
    without_mandatory_a_full_peer_misses_messages
    a_name_in_use_is_refused
    nobody_is_the_same_user_without_authentication
    a_name_is_handed_over_and_what_waited_keeps_it
    dealers_and_requests_probe_too
    other_types_do_not_probe
    a_hello_comes_first
    a_disconnect_message_comes_once_under_the_name
    a_hiccup_message_tells_of_a_lost_connection
    a_name_alone_is_no_message
}

fn mandatory() -> Options {
    Options {
        pattern: PatternConfig {
            mandatory: true,
            ..quick().pattern
        },
        ..quick()
    }
}

fn handing(handover: Handover) -> Options {
    Options {
        pattern: PatternConfig {
            handover,
            ..quick().pattern
        },
        ..quick()
    }
}

async fn a_message_goes_to_the_peer_it_names(via: Via) {
    let (router, endpoint) = bound(via, SocketType::Router, quick()).await;
    let mut peers = Vec::new();
    for name in ["a", "b", "c"] {
        let peer = joined(SocketType::Dealer, named(name), &endpoint).await;
        send(&peer, Message::new(["from", name])).await;
        peers.push((name, peer));
    }
    let mut heard = BTreeSet::new();
    for _ in 0..3 {
        let message = words(&router).await;
        assert_eq!(message[0], message[2]);
        heard.insert(message[0].clone());
    }
    assert_eq!(heard.len(), 3);
    for (name, peer) in &peers {
        send(&router, Message::new([name, "", "for you"])).await;
        assert_eq!(words(peer).await, ["", "for you"]);
    }
}

async fn automatic_ids_differ_and_are_fresh_after_a_reconnect(via: Via) {
    let (router, endpoint) = bound(via, SocketType::Router, quick()).await;
    let mut ids = BTreeSet::new();
    let first = joined(SocketType::Dealer, quick(), &endpoint).await;
    let second = joined(SocketType::Dealer, quick(), &endpoint).await;
    for peer in [&first, &second] {
        send(peer, "x").await;
        let id = recv(&router).await.into_parts().remove(0);
        assert_eq!((id.len(), id[0]), (5, 0));
        ids.insert(id);
    }
    drop(first);
    let again = joined(SocketType::Dealer, quick(), &endpoint).await;
    send(&again, "x").await;
    ids.insert(recv(&router).await.into_parts().remove(0));
    assert_eq!(ids.len(), 3);
}

async fn a_probe_lets_routers_know_each_other(via: Via) {
    let (bind, endpoint) = bound(via, SocketType::Router, named("bind")).await;
    let options = Options {
        probe: true,
        ..named("connect")
    };
    let connect = joined(SocketType::Router, options, &endpoint).await;
    assert_eq!(words(&bind).await, ["connect", ""]);
    send(&bind, Message::new(["connect", "hello"])).await;
    assert_eq!(words(&connect).await, ["bind", "hello"]);
    send(&connect, Message::new(["bind", "hello", "back"])).await;
    assert_eq!(words(&bind).await, ["connect", "hello", "back"]);
}

async fn what_cannot_be_routed_is_dropped_and_counted(via: Via) {
    let (router, endpoint) = bound(via, SocketType::Router, quick()).await;
    send(&router, Message::new(["nobody", "x"])).await;
    assert_eq!(router.counters().dropped_unroutable, 1);
    let _peer = joined(SocketType::Dealer, named("a"), &endpoint).await;
    send(&router, Message::new(["nobody", "x"])).await;
    assert_eq!(router.counters().dropped_unroutable, 2);
    assert_eq!(router.counters().sent, 0);
}

async fn mandatory_tells_what_cannot_be_routed(via: Via) {
    let (router, endpoint) = bound(via, SocketType::Router, mandatory()).await;
    let mut monitor = router.monitor();
    let message = Message::new(["a", "x", "y"]);
    for error in [
        router.try_send(message.clone()).unwrap_err(),
        router.send(message.clone()).await.unwrap_err(),
    ] {
        assert!(matches!(error, SendError::Unroutable(_)), "{error}");
        assert_eq!(error.into_message(), message);
    }
    let peer = joined(SocketType::Dealer, named("a"), &endpoint).await;
    opened(&mut monitor).await;
    send(&router, message).await;
    assert_eq!(words(&peer).await, ["x", "y"]);
    drop(peer);
    ended(&mut monitor).await;
    let gone = router.try_send(Message::new(["a", "x"]));
    assert!(matches!(gone, Err(SendError::Unroutable(_))));
}

fn narrow(options: Options) -> Options {
    Options {
        send_messages: 1,
        receive_messages: 1,
        transport: Transport {
            send_buffer: Some(64 << 10),
            receive_buffer: Some(64 << 10),
            ..Transport::default()
        },
        ..options
    }
}

fn large(name: &str, number: usize) -> Message {
    let number = number.to_string();
    let parts = [name.as_bytes(), number.as_bytes(), &[7; 256 << 10], b"end"];
    Message::new(parts)
}

/// Sends until the peer is full for good; how many went.
async fn fill(router: &Socket, name: &str) -> usize {
    let (mut sent, mut quiet) = (0, 0);
    while quiet < 4 {
        match router.try_send(large(name, sent)) {
            Ok(()) => (sent, quiet) = (sent + 1, 0),
            Err(SendError::Full(message)) => {
                assert_eq!(message.count(), 4);
                quiet += 1;
                tokio::time::sleep(Duration::from_millis(15)).await;
            }
            Err(error) => panic!("{error}"),
        }
    }
    sent
}

async fn mandatory_waits_for_room_and_loses_nothing(via: Via) {
    let (router, endpoint) = bound(via, SocketType::Router, narrow(mandatory())).await;
    let mut monitor = router.monitor();
    let peer = joined(SocketType::Dealer, narrow(named("slow")), &endpoint).await;
    let other = joined(SocketType::Dealer, named("other"), &endpoint).await;
    opened(&mut monitor).await;
    opened(&mut monitor).await;
    let sent = fill(&router, "slow").await;
    assert!((2..10).contains(&sent), "{sent}");
    // Others are not held up.
    send(&router, Message::new(["other", "hello"])).await;
    assert_eq!(words(&other).await, ["hello"]);
    let receiving = async {
        for number in 0..=sent {
            let message = recv(&peer).await;
            assert_eq!(message.first(), Some(number.to_string().as_bytes()));
            assert_eq!(message.count(), 3);
        }
    };
    let (last, ()) =
        within(async { tokio::join!(router.send(large("slow", sent)), receiving) }).await;
    last.unwrap();
    assert_eq!(router.counters().dropped_full, 0);
}

async fn mandatory_ends_its_wait_when_the_peer_goes(via: Via) {
    let (router, endpoint) = bound(via, SocketType::Router, narrow(mandatory())).await;
    let mut monitor = router.monitor();
    let peer = joined(SocketType::Dealer, narrow(named("slow")), &endpoint).await;
    opened(&mut monitor).await;
    let sent = fill(&router, "slow").await;
    let leaving = async {
        settle().await;
        drop(peer);
    };
    let (last, ()) =
        within(async { tokio::join!(router.send(large("slow", sent)), leaving) }).await;
    // The end makes room, too, and then the last message may go with the connection.
    let unroutable = matches!(last, Err(SendError::Unroutable(_)));
    assert!(unroutable || last.is_ok());
}

async fn without_mandatory_a_full_peer_misses_messages(via: Via) {
    let (router, endpoint) = bound(via, SocketType::Router, narrow(quick())).await;
    let mut monitor = router.monitor();
    let peer = joined(SocketType::Dealer, narrow(named("slow")), &endpoint).await;
    opened(&mut monitor).await;
    for number in 0..50 {
        send(&router, large("slow", number)).await;
    }
    let counters = router.counters();
    assert_eq!(counters.sent + counters.dropped_full, 50);
    assert!(counters.dropped_full > 30, "{counters:?}");
    for number in 0..counters.sent {
        let message = recv(&peer).await;
        assert_eq!(message.count(), 3, "whole messages only");
        if number == 0 {
            assert_eq!(message.first(), Some(&b"0"[..]));
        }
    }
}

async fn refuses(via: Via, handover: Handover) {
    let (router, endpoint) = bound(via, SocketType::Router, handing(handover)).await;
    let mut monitor = router.monitor();
    let first = joined(SocketType::Dealer, named("me"), &endpoint).await;
    opened(&mut monitor).await;
    let second = socket_named("me");
    second.connect(endpoint).unwrap();
    let reason = ended(&mut monitor).await;
    assert!(matches!(reason, Reason::Unwelcome(_)), "{reason}");
    assert!(router.counters().rejected >= 1);
    send(&router, Message::new(["me", "x"])).await;
    assert_eq!(words(&first).await, ["x"]);
    drop(second);
}

fn socket_named(name: &str) -> Socket {
    Socket::with(SocketType::Dealer, named(name))
}

async fn a_name_in_use_is_refused(via: Via) {
    refuses(via, Handover::Refuse).await;
}

async fn nobody_is_the_same_user_without_authentication(via: Via) {
    refuses(via, Handover::SameUser).await;
}

async fn a_name_is_handed_over_and_what_waited_keeps_it(via: Via) {
    let options = Options {
        disconnect: Some("gone".into()),
        ..handing(Handover::Any)
    };
    let (router, endpoint) = bound(via, SocketType::Router, options).await;
    let mut monitor = router.monitor();
    let options = Options {
        reconnect: None,
        ..named("me")
    };
    let first = joined(SocketType::Dealer, options.clone(), &endpoint).await;
    opened(&mut monitor).await;
    for number in 0..3 {
        send(&first, number.to_string()).await;
    }
    // The router reads ahead when its program is elsewhere.
    tokio::time::sleep(Duration::from_millis(50)).await;
    let second = joined(SocketType::Dealer, options, &endpoint).await;
    assert_eq!(ended(&mut monitor).await, Reason::HandedOver);
    send(&router, Message::new(["me", "for the second"])).await;
    assert_eq!(words(&second).await, ["for the second"]);
    assert_eq!(first.try_recv(), Ok(None));
    send(&second, "3").await;
    for word in ["0", "1", "2", "gone", "3"] {
        assert_eq!(words(&router).await, ["me", word]);
    }
    // The end of the first takes nothing from the second.
    drop(first);
    settle().await;
    send(&router, Message::new(["me", "still"])).await;
    assert_eq!(words(&second).await, ["still"]);
}

async fn dealers_and_requests_probe_too(via: Via) {
    let (router, endpoint) = bound(via, SocketType::Router, quick()).await;
    for kind in [SocketType::Dealer, SocketType::Req] {
        let options = Options {
            probe: true,
            ..named("x")
        };
        let peer = joined(kind, options, &endpoint).await;
        assert_eq!(words(&router).await, ["x", ""]);
        send(&peer, "normal").await;
        assert_eq!(words(&router).await.last().unwrap(), "normal");
        let mut monitor = router.monitor();
        drop(peer);
        ended(&mut monitor).await;
    }
}

async fn other_types_do_not_probe(via: Via) {
    let (pull, endpoint) = bound(via, SocketType::Pull, quick()).await;
    let options = Options {
        probe: true,
        ..quick()
    };
    let push = joined(SocketType::Push, options, &endpoint).await;
    send(&push, "first").await;
    assert_eq!(words(&pull).await, ["first"]);
}

async fn a_hello_comes_first(via: Via) {
    let options = Options {
        hello: Some(Message::new(["hello", "you"])),
        ..quick()
    };
    let (router, endpoint) = bound(via, SocketType::Router, options.clone()).await;
    let dealer = Socket::with(SocketType::Dealer, options);
    dealer.connect(endpoint).unwrap();
    dealer.try_send("early").unwrap();
    assert_eq!(words(&dealer).await, ["hello", "you"]);
    assert_eq!(words(&router).await[1..], ["hello", "you"]);
    assert_eq!(words(&router).await[1..], ["early"]);
}

async fn a_disconnect_message_comes_once_under_the_name(via: Via) {
    let options = Options {
        disconnect: Some("gone".into()),
        ..quick()
    };
    let (router, endpoint) = bound(via, SocketType::Router, options).await;
    for name in ["a", "b"] {
        let peer = joined(SocketType::Dealer, named(name), &endpoint).await;
        send(&peer, "last words").await;
        within(peer.close()).await.unwrap();
        assert_eq!(words(&router).await, [name, "last words"]);
        assert_eq!(words(&router).await, [name, "gone"]);
    }
    assert_eq!(router.try_recv(), Ok(None));
}

async fn a_hiccup_message_tells_of_a_lost_connection(via: Via) {
    let (router, endpoint) = bound(via, SocketType::Router, quick()).await;
    let options = Options {
        hiccup: Some("hiccup".into()),
        ..named("me")
    };
    let dealer = joined(SocketType::Dealer, options, &endpoint).await;
    within(router.close()).await.unwrap();
    assert_eq!(words(&dealer).await, ["hiccup"]);
    let router = socket(SocketType::Router);
    router.bind(endpoint).await.unwrap();
    send(&dealer, "back").await;
    assert_eq!(words(&router).await, ["me", "back"]);
}

async fn a_name_alone_is_no_message(via: Via) {
    let (router, endpoint) = bound(via, SocketType::Router, mandatory()).await;
    let peer = joined(SocketType::Dealer, named("a"), &endpoint).await;
    eventually("known", || router.counters().peers == 1).await;
    let error = router.try_send("a").unwrap_err();
    assert!(matches!(error, SendError::Refused { .. }), "{error}");
    send(&router, Message::new(["a", "x"])).await;
    assert_eq!(text(&recv(&peer).await), ["x"]);
}
