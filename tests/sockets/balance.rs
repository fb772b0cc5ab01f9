//! PUSH, PULL, DEALER and PAIR: turns, bounds, back-pressure (zmtp.md L1 to L6).

use std::future::Future;
use std::task::{Context, Waker};
use std::time::Duration;

use scale0::socket::{
    Event, Message, Options, Reason, SendError, Socket, SocketType, Transport, Unsent,
};

use crate::{
    Via, bound, ended, eventually, joined, opened, over, quick, recv, send, settle, socket, text,
    until, within, words,
};

over! { tcp ipc inproc:
    whole_messages_go_to_peers_in_turns
    dealers_take_turns_too
    every_peer_is_heard_once_per_round
    bounds_by_messages_hold_the_sender_back_and_lose_nothing
    bounds_by_bytes_hold_the_sender_back_and_lose_nothing
}
over! { tcp inproc:
    without_a_peer_send_waits_and_try_send_is_full
    a_peer_that_is_full_misses_its_turn
    an_unconnected_endpoint_takes_its_share
    with_immediate_only_connected_peers_take_a_share
    with_immediate_nothing_queues_for_a_peer_that_is_gone
    raising_a_bound_lets_a_waiting_sender_go_on
    lowering_a_bound_holds_back_at_once
    a_pair_has_one_peer_at_a_time
    a_pair_turned_away_does_not_spin
    of_what_waits_conflate_keeps_the_last
    conflating_senders_keep_the_last_for_those_who_come
}

fn parts(number: usize) -> Message {
    Message::new([number.to_string(), "middle".to_owned(), String::new()])
}

async fn turns(via: Via, out: SocketType, inward: SocketType) {
    let (sender, endpoint) = bound(via, out, quick()).await;
    let mut monitor = sender.monitor();
    let mut receivers = Vec::new();
    for _ in 0..3 {
        receivers.push(joined(inward, quick(), &endpoint).await);
        opened(&mut monitor).await;
    }
    for number in 0..12 {
        send(&sender, parts(number)).await;
    }
    let mut firsts = Vec::new();
    for receiver in &receivers {
        let mut numbers = Vec::new();
        for _ in 0..4 {
            let message = words(receiver).await;
            assert_eq!(message[1..], ["middle", ""]);
            numbers.push(message[0].parse::<usize>().unwrap());
        }
        let first = numbers[0];
        assert_eq!(numbers, [first, first + 3, first + 6, first + 9]);
        firsts.push(first);
    }
    firsts.sort_unstable();
    assert_eq!(firsts, [0, 1, 2]);
}

async fn whole_messages_go_to_peers_in_turns(via: Via) {
    turns(via, SocketType::Push, SocketType::Pull).await;
}

async fn dealers_take_turns_too(via: Via) {
    turns(via, SocketType::Dealer, SocketType::Dealer).await;
}

async fn every_peer_is_heard_once_per_round(via: Via) {
    let (pull, endpoint) = bound(via, SocketType::Pull, quick()).await;
    let mut pushes = Vec::new();
    for _ in 0..3 {
        pushes.push(joined(SocketType::Push, quick(), &endpoint).await);
    }
    for push in &pushes {
        send(push, "here").await;
    }
    for _ in 0..3 {
        recv(&pull).await;
    }
    for (name, push) in ["a", "b", "c"].into_iter().zip(&pushes) {
        for _ in 0..20 {
            send(push, Message::new([name, "more"])).await;
        }
    }
    settle().await;
    let mut heard = Vec::new();
    for _ in 0..60 {
        heard.push(words(&pull).await.remove(0));
    }
    for round in heard.chunks(3) {
        let mut round = round.to_vec();
        round.sort_unstable();
        assert_eq!(round, ["a", "b", "c"], "{heard:?}");
    }
}

/// Small buffers, so that the system holds little.
fn narrow() -> Transport {
    Transport {
        send_buffer: Some(64 << 10),
        receive_buffer: Some(64 << 10),
        ..Transport::default()
    }
}

/// Sends until nothing more goes, for good; how many went.
async fn fill(sender: &Socket, size: usize) -> usize {
    let mut sent = 0;
    let mut quiet = 0;
    while quiet < 5 {
        let body = vec![b'x'; size];
        match sender.try_send(Message::new([sent.to_string().into_bytes(), body])) {
            Ok(()) => {
                sent += 1;
                quiet = 0;
            }
            Err(SendError::Full(message)) => {
                assert_eq!(message.count(), 2, "the message comes back whole");
                quiet += 1;
                // The receiver reads ahead a little later than its stream has something.
                tokio::time::sleep(Duration::from_millis(15)).await;
            }
            Err(error) => panic!("{error}"),
        }
    }
    sent
}

/// `sender` is full with `sent` messages: a send waits, goes on when there is room, and all arrive.
async fn drain(sender: &Socket, receiver: &Socket, sent: usize) {
    let late = sender.send(Message::new([sent.to_string(), String::new()]));
    let mut late = std::pin::pin!(late);
    assert!(
        late.as_mut()
            .poll(&mut Context::from_waker(Waker::noop()))
            .is_pending()
    );
    let receive = async {
        for number in 0..=sent {
            let message = recv(receiver).await;
            assert_eq!(message.first(), Some(number.to_string().as_bytes()));
            assert_eq!(message.count(), 2);
        }
    };
    let (gone, ()) = within(async { tokio::join!(late, receive) }).await;
    gone.unwrap();
    assert_eq!(sender.counters().dropped_full, 0);
    assert_eq!(sender.counters().sent, sent as u64 + 1);
    assert_eq!(receiver.counters().received, sent as u64 + 1);
}

async fn bounds_by_messages_hold_the_sender_back_and_lose_nothing(via: Via) {
    for (ours, theirs) in [(1, 1), (5, 3)] {
        let options = Options {
            receive_messages: theirs,
            transport: narrow(),
            ..quick()
        };
        let (pull, endpoint) = bound(via, SocketType::Pull, options).await;
        let options = Options {
            send_messages: ours,
            transport: narrow(),
            ..quick()
        };
        let push = joined(SocketType::Push, options, &endpoint).await;
        let size = 256 << 10;
        let sent = fill(&push, size).await;
        // What the system's buffers take; one message is written and one is read in part.
        let (least, more) = match via {
            Via::Inproc => (ours + theirs, 0),
            _ => (ours, 6),
        };
        assert!(
            (least..=ours + theirs + more).contains(&sent),
            "{sent} for {ours} and {theirs}"
        );
        drain(&push, &pull, sent).await;
    }
}

async fn bounds_by_bytes_hold_the_sender_back_and_lose_nothing(via: Via) {
    let options = || Options {
        send_messages: 0,
        receive_messages: 0,
        send_bytes: 1 << 20,
        receive_bytes: 1 << 20,
        transport: narrow(),
        ..quick()
    };
    let (pull, endpoint) = bound(via, SocketType::Pull, options()).await;
    let push = joined(SocketType::Push, options(), &endpoint).await;
    let sent = fill(&push, 100 << 10).await;
    let more = if via == Via::Inproc { 0 } else { 8 };
    assert!((11..=22 + more).contains(&sent), "{sent} of 100 KiB");
    drain(&push, &pull, sent).await;
}

async fn without_a_peer_send_waits_and_try_send_is_full(via: Via) {
    let (push, endpoint) = bound(via, SocketType::Push, quick()).await;
    assert!(matches!(push.try_send("x"), Err(SendError::Full(_))));
    let pull = socket(SocketType::Pull);
    let later = async {
        settle().await;
        pull.connect(endpoint).unwrap();
    };
    let (sent, ()) = within(async { tokio::join!(push.send("y"), later) }).await;
    sent.unwrap();
    assert_eq!(words(&pull).await, ["y"]);
}

async fn a_peer_that_is_full_misses_its_turn(via: Via) {
    let options = Options {
        send_messages: 2,
        transport: narrow(),
        ..quick()
    };
    let (push, endpoint) = bound(via, SocketType::Push, options).await;
    let options = Options {
        receive_messages: 1,
        transport: narrow(),
        ..quick()
    };
    let mut monitor = push.monitor();
    let slow = joined(SocketType::Pull, options.clone(), &endpoint).await;
    let fast = joined(SocketType::Pull, options, &endpoint).await;
    opened(&mut monitor).await;
    opened(&mut monitor).await;
    let total = 60;
    let sending = async {
        for number in 0..total {
            let body = vec![b'x'; 256 << 10];
            send(&push, Message::new([number.to_string().into_bytes(), body])).await;
        }
    };
    let receiving = async {
        let mut numbers = Vec::new();
        loop {
            match tokio::time::timeout(Duration::from_millis(500), fast.recv()).await {
                Ok(message) => numbers.push(text(&message.unwrap()).remove(0)),
                Err(_) => return numbers,
            }
        }
    };
    let ((), mut numbers) = within(async { tokio::join!(sending, receiving) }).await;
    assert!(numbers.len() >= total - 12, "{} of {total}", numbers.len());
    while numbers.len() < total {
        numbers.push(words(&slow).await.remove(0));
    }
    let mut numbers: Vec<usize> = numbers.iter().map(|n| n.parse().unwrap()).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, (0..total).collect::<Vec<_>>());
}

/// libzmq's test_immediate, part 1.
async fn an_unconnected_endpoint_takes_its_share(via: Via) {
    let (pull, live) = bound(via, SocketType::Pull, quick()).await;
    let push = socket(SocketType::Push);
    push.connect(via.free()).unwrap();
    push.connect(live).unwrap();
    for number in 0..10 {
        push.try_send(number.to_string()).unwrap();
    }
    for _ in 0..5 {
        recv(&pull).await;
    }
    push.configure(|options| options.linger = Some(Duration::ZERO));
    assert_eq!(within(push.close()).await, Err(Unsent { messages: 5 }));
    assert_eq!(pull.try_recv().unwrap(), None);
}

/// Part 2.
async fn with_immediate_only_connected_peers_take_a_share(via: Via) {
    let (pull, live) = bound(via, SocketType::Pull, quick()).await;
    let push = Socket::with(
        SocketType::Push,
        Options {
            immediate: true,
            ..quick()
        },
    );
    push.connect(via.free()).unwrap();
    if via == Via::Tcp {
        push.connect(live.clone()).unwrap();
        assert!(matches!(push.try_send("x"), Err(SendError::Full(_))));
    } else {
        push.connect(live.clone()).unwrap();
    }
    for number in 0..10 {
        send(&push, number.to_string()).await;
    }
    for number in 0..10 {
        assert_eq!(words(&pull).await, [number.to_string()]);
    }
}

/// Part 3.
async fn with_immediate_nothing_queues_for_a_peer_that_is_gone(via: Via) {
    let (pull, endpoint) = bound(via, SocketType::Pull, quick()).await;
    let options = Options {
        immediate: true,
        ..quick()
    };
    let push = joined(SocketType::Push, options, &endpoint).await;
    let mut monitor = push.monitor();
    send(&push, "one").await;
    assert_eq!(words(&pull).await, ["one"]);
    within(pull.close()).await.unwrap();
    ended(&mut monitor).await;
    assert!(matches!(push.try_send("two"), Err(SendError::Full(_))));
    let pull = socket(SocketType::Pull);
    pull.bind(endpoint).await.unwrap();
    send(&push, "three").await;
    assert_eq!(words(&pull).await, ["three"]);
}

async fn raising_a_bound_lets_a_waiting_sender_go_on(via: Via) {
    let options = Options {
        send_messages: 2,
        ..quick()
    };
    let push = Socket::with(SocketType::Push, options);
    push.connect(via.free()).unwrap();
    push.try_send("1").unwrap();
    push.try_send("2").unwrap();
    assert!(matches!(push.try_send("3"), Err(SendError::Full(_))));
    let raise = async {
        settle().await;
        push.configure(|options| options.send_messages = 5);
    };
    let (sent, ()) = within(async { tokio::join!(push.send("3"), raise) }).await;
    sent.unwrap();
    push.try_send("4").unwrap();
    push.try_send("5").unwrap();
    assert!(matches!(push.try_send("6"), Err(SendError::Full(_))));
    push.configure(|options| options.linger = Some(Duration::ZERO));
}

async fn lowering_a_bound_holds_back_at_once(via: Via) {
    let endpoint = via.free();
    let push = socket(SocketType::Push);
    push.connect(endpoint.clone()).unwrap();
    push.try_send("1").unwrap();
    push.try_send("2").unwrap();
    push.configure(|options| options.send_messages = 2);
    assert!(matches!(push.try_send("3"), Err(SendError::Full(_))));
    let pull = socket(SocketType::Pull);
    pull.bind(endpoint).await.unwrap();
    let receiving = async {
        for word in ["1", "2", "3"] {
            assert_eq!(words(&pull).await, [word]);
        }
    };
    let (sent, ()) = within(async { tokio::join!(push.send("3"), receiving) }).await;
    sent.unwrap();
}

async fn a_pair_has_one_peer_at_a_time(via: Via) {
    let (pair, endpoint) = bound(via, SocketType::Pair, quick()).await;
    let mut monitor = pair.monitor();
    let first = joined(SocketType::Pair, quick(), &endpoint).await;
    opened(&mut monitor).await;
    let second = socket(SocketType::Pair);
    second.connect(endpoint).unwrap();
    let reason = ended(&mut monitor).await;
    assert!(matches!(reason, Reason::Unwelcome(_)), "{reason}");
    assert!(pair.counters().rejected >= 1);
    send(&pair, "for the first").await;
    assert_eq!(words(&first).await, ["for the first"]);
    send(&first, "back").await;
    assert_eq!(words(&pair).await, ["back"]);
    within(first.close()).await.unwrap();
    // Its place is free for the one that keeps trying.
    let mut told = second.monitor();
    let is_end = |event: &Event| {
        matches!(
            event,
            Event::Disconnected {
                reason: Reason::Closed,
                ..
            }
        )
    };
    until(&mut monitor, is_end).await;
    opened(&mut monitor).await;
    drop(told.next().await);
    send(&pair, "for the second").await;
    assert_eq!(words(&second).await, ["for the second"]);
}

async fn a_pair_turned_away_does_not_spin(via: Via) {
    let (pair, endpoint) = bound(via, SocketType::Pair, quick()).await;
    let _first = joined(SocketType::Pair, quick(), &endpoint).await;
    let second = Socket::with(SocketType::Pair, Options::default());
    second.connect(endpoint).unwrap();
    eventually("turned away", || pair.counters().rejected > 0).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    let rejected = pair.counters().rejected;
    assert!(rejected <= 10, "{rejected} attempts in 300 ms");
}

async fn of_what_waits_conflate_keeps_the_last(via: Via) {
    let options = Options {
        conflate: true,
        ..quick()
    };
    let (pull, endpoint) = bound(via, SocketType::Pull, options).await;
    let push = joined(SocketType::Push, quick(), &endpoint).await;
    for number in 0..100 {
        send(&push, number.to_string()).await;
    }
    within(push.close()).await.unwrap();
    // All of it is there when the end of the stream is.
    eventually("the end", || pull.counters().peers == 0).await;
    assert_eq!(words(&pull).await, ["99"]);
    assert_eq!(pull.try_recv().unwrap(), None);
}

async fn conflating_senders_keep_the_last_for_those_who_come(via: Via) {
    let endpoint = via.free();
    let options = Options {
        conflate: true,
        send_messages: 1,
        ..quick()
    };
    let push = Socket::with(SocketType::Push, options);
    push.connect(endpoint.clone()).unwrap();
    for number in 0..100 {
        push.try_send(number.to_string()).unwrap();
    }
    let pull = socket(SocketType::Pull);
    pull.bind(endpoint).await.unwrap();
    assert_eq!(words(&pull).await, ["99"]);
    assert_eq!(push.counters().dropped_full, 99);
    within(push.close()).await.unwrap();
    eventually("the end", || pull.counters().peers == 0).await;
    assert_eq!(pull.try_recv().unwrap(), None);
}
