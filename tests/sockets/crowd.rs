//! Many at once: sockets, waiters, threads, and ends in the midst of it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use scale0::socket::{Message, Options, Req, Router, Socket, SocketType};

use crate::{
    Via, bound, eventually, joined, opened, over, quick, recv, send, socket, within, words,
};

over! { tcp ipc inproc:
    a_hundred_sockets_connect_while_being_closed
    many_may_wait_to_receive
}
over! { tcp inproc:
    a_thousand_sockets_are_served
    many_may_wait_to_send
}

/// libzmq's test_shutdown_stress.
async fn a_hundred_sockets_connect_while_being_closed(via: Via) {
    let options = Options {
        linger: Some(Duration::ZERO),
        ..quick()
    };
    for _ in 0..3 {
        let (publisher, endpoint) = bound(via, SocketType::Pub, options.clone()).await;
        let mut closing = Vec::new();
        for place in 0..100 {
            let sub = Socket::with(SocketType::Sub, options.clone());
            sub.connect(endpoint.clone()).unwrap();
            closing.push(tokio::spawn(async move {
                for _ in 0..place % 7 {
                    tokio::task::yield_now().await;
                }
                sub.close().await
            }));
        }
        for task in closing {
            within(task).await.unwrap().unwrap();
        }
        eventually("nobody left", || publisher.counters().peers == 0).await;
        within(publisher.close()).await.unwrap();
    }
}

async fn many_may_wait_to_receive(via: Via) {
    let (pull, endpoint) = bound(via, SocketType::Pull, quick()).await;
    let pull = Arc::new(pull);
    let got = Arc::new(AtomicUsize::new(0));
    let mut tasks = Vec::new();
    for _ in 0..50 {
        let (pull, got) = (Arc::clone(&pull), Arc::clone(&got));
        tasks.push(tokio::spawn(async move {
            for _ in 0..20 {
                pull.recv().await.unwrap();
                got.fetch_add(1, Ordering::Relaxed);
            }
        }));
    }
    let push = joined(SocketType::Push, quick(), &endpoint).await;
    for number in 0..1000 {
        send(&push, number.to_string()).await;
        if number % 100 == 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
    for task in tasks {
        within(task).await.unwrap();
    }
    assert_eq!(got.load(Ordering::Relaxed), 1000);
}

async fn many_may_wait_to_send(via: Via) {
    let options = || Options {
        send_messages: 2,
        receive_messages: 2,
        ..quick()
    };
    let (push, endpoint) = bound(via, SocketType::Push, options()).await;
    let push = Arc::new(push);
    let mut tasks = Vec::new();
    for task in 0..50 {
        let push = Arc::clone(&push);
        tasks.push(tokio::spawn(async move {
            for number in 0..20 {
                send(&push, Message::new([task.to_string(), number.to_string()])).await;
            }
        }));
    }
    let pull = joined(SocketType::Pull, options(), &endpoint).await;
    let mut next: BTreeMap<String, usize> = BTreeMap::new();
    for _ in 0..1000 {
        let message = words(&pull).await;
        let expected = next.entry(message[0].clone()).or_default();
        assert_eq!(message[1], expected.to_string());
        *expected += 1;
    }
    for task in tasks {
        within(task).await.unwrap();
    }
}

async fn a_thousand_sockets_are_served(via: Via) {
    // Two descriptors for each over tcp; the limit of the process may be low.
    let many = if via == Via::Tcp { 400 } else { 1000 };
    let (router, endpoint) = bound(via, SocketType::Router, quick()).await;
    let mut dealers = Vec::new();
    for _ in 0..many {
        let dealer = socket(SocketType::Dealer);
        dealer.connect(endpoint.clone()).unwrap();
        dealer.try_send("hello").unwrap();
        dealers.push(dealer);
    }
    for _ in 0..many {
        let message = recv(&router).await;
        send(&router, message).await;
    }
    for dealer in &dealers {
        assert_eq!(words(dealer).await, ["hello"]);
    }
    drop(dealers);
    eventually("all gone", || router.counters().peers == 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn requests_and_replies_on_many_threads() {
    for via in [Via::Tcp, Via::Ipc, Via::Inproc] {
        let router = Router::with(quick());
        let endpoint = router.bind(via.any().as_str()).await.unwrap();
        let serving = tokio::spawn(async move {
            for _ in 0..8 * 200 {
                let (id, message) = router.recv_from().await.unwrap();
                router.send_to(&id, message).await.unwrap();
            }
            router
        });
        let mut tasks = Vec::new();
        for task in 0..8 {
            let endpoint = endpoint.clone();
            tasks.push(tokio::spawn(async move {
                let req = Req::with(quick());
                req.connect(endpoint).unwrap();
                for number in 0..200 {
                    let body = format!("{task} {number}");
                    req.send(body.as_str()).await.unwrap();
                    let answer = req.recv().await.unwrap();
                    assert_eq!(answer.first(), Some(body.as_bytes()));
                }
            }));
        }
        for task in tasks {
            within(task).await.unwrap();
        }
        drop(within(serving).await.unwrap());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn pipelines_with_tight_bounds_on_many_threads() {
    for via in [Via::Tcp, Via::Ipc, Via::Inproc] {
        let options = || Options {
            send_messages: 3,
            receive_messages: 3,
            ..quick()
        };
        let (pull, endpoint) = bound(via, SocketType::Pull, options()).await;
        let mut tasks = Vec::new();
        for task in 0..4 {
            let endpoint = endpoint.clone();
            tasks.push(tokio::spawn(async move {
                let push = Socket::with(SocketType::Push, options());
                push.connect(endpoint).unwrap();
                for number in 0..2000 {
                    let message = Message::new([task.to_string(), number.to_string()]);
                    push.send(message).await.unwrap();
                }
                push.close().await.unwrap();
            }));
        }
        let mut next: BTreeMap<String, usize> = BTreeMap::new();
        for _ in 0..8000 {
            let message = words(&pull).await;
            let expected = next.entry(message[0].clone()).or_default();
            assert_eq!(message[1], expected.to_string(), "{via:?}");
            *expected += 1;
        }
        for task in tasks {
            within(task).await.unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn names_are_free_again_on_many_threads() {
    for via in [Via::Tcp, Via::Ipc, Via::Inproc] {
        let endpoint = via.free();
        let push = socket(SocketType::Push);
        push.connect(endpoint.clone()).unwrap();
        for round in 0..50 {
            let pull = socket(SocketType::Pull);
            let mut monitor = pull.monitor();
            within(pull.bind(endpoint.clone())).await.unwrap();
            if round % 10 == 0 {
                // What is sent before the last one's end is heard of may go down with it.
                opened(&mut monitor).await;
                send(&push, round.to_string()).await;
                assert_eq!(words(&pull).await, [round.to_string()], "{via:?}");
            }
            within(pull.close()).await.unwrap();
        }
    }
}
