//! A ROUTER names the peers that it connects to [R9]. libzmq's test_connect_rid.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that is surprised has failed"
)]

use std::future::Future;
use std::time::Duration;

use scale0::socket::{
    Dealer, Endpoint, Error, Event, Options, Reconnect, Router, SendError, SocketType,
};

#[tokio::test]
async fn a_router_calls_the_peer_it_connects_to_as_it_likes_over_every_transport() {
    let dir = tempfile::tempdir().unwrap();
    let ipc = format!("ipc://{}", dir.path().join("socket").display());
    for endpoint in ["tcp://127.0.0.1:*", &ipc, "inproc://named"] {
        let dealer = Dealer::with(named("own"));
        let bound = dealer.bind(endpoint).await.unwrap();
        let router = Router::new();
        let mut monitor = router.monitor();
        router.connect_as(&bound, "alias").unwrap();
        opened(&mut monitor).await;
        talk(&router, &dealer, "alias").await;
    }
}

#[tokio::test]
async fn the_name_outlives_the_connection() {
    let dealer = Dealer::new();
    let bound = dealer.bind("tcp://127.0.0.1:*").await.unwrap();
    let router = Router::with(quick());
    let mut monitor = router.monitor();
    router.connect_as(&bound, "alias").unwrap();
    opened(&mut monitor).await;
    soon(dealer.close()).await.unwrap();
    let dealer = Dealer::with(named("another"));
    dealer.bind(&bound).await.unwrap();
    opened(&mut monitor).await;
    talk(&router, &dealer, "alias").await;
}

#[tokio::test]
async fn a_name_that_another_peer_has_or_will_have_is_an_error() {
    let router = Router::new();
    let mut monitor = router.monitor();
    let bound = router.bind("tcp://127.0.0.1:*").await.unwrap();
    let (there, nobody) = ("inproc://nobody-1", "inproc://nobody-2");
    router.connect_as(there, "promised").unwrap();
    let taken = router.connect_as(nobody, "promised");
    assert!(matches!(taken, Err(Error::NameTaken)), "{taken:?}");
    let dealer = Dealer::with(named("here"));
    dealer.connect(&bound).unwrap();
    opened(&mut monitor).await;
    let taken = router.connect_as(nobody, "here");
    assert!(matches!(taken, Err(Error::NameTaken)), "{taken:?}");
    for bad in [&b""[..], b"\0abc", &[b'x'; 256]] {
        let refused = router.connect_as(nobody, bad);
        assert!(matches!(refused, Err(Error::BadName)), "{refused:?}");
    }
    // What was given up is free again.
    let there: Endpoint = there.parse().unwrap();
    router.disconnect(&there).unwrap();
    router.connect_as(nobody, "promised").unwrap();
    talk(&router, &dealer, "here").await;
}

#[tokio::test]
async fn the_option_is_for_the_next_connection_alone() {
    let [first, second] = [Dealer::with(named("a")), Dealer::with(named("b"))];
    let mut options = quick();
    options.set("connect_routing_id", "alias").unwrap();
    options.set("router_mandatory", "1").unwrap();
    let router = Router::with(options);
    let mut monitor = router.monitor();
    for (dealer, name) in [(&first, "alias"), (&second, "b")] {
        let bound = dealer.bind("tcp://127.0.0.1:*").await.unwrap();
        router.connect(&bound).unwrap();
        opened(&mut monitor).await;
        talk(&router, dealer, name).await;
    }
    let unknown = router.send_to("a", "x").await;
    assert!(matches!(unknown, Err(SendError::Unroutable(_))));
}

/// There and back.
async fn talk(router: &Router, dealer: &Dealer, name: &str) {
    router.send_to(name, "ask").await.unwrap();
    let asked = soon(dealer.recv()).await.unwrap();
    assert_eq!(asked.first(), Some(&b"ask"[..]));
    dealer.send("answer").await.unwrap();
    let (from, answer) = soon(router.recv_from()).await.unwrap();
    assert_eq!(
        (&from[..], answer.first()),
        (name.as_bytes(), Some(&b"answer"[..]))
    );
}

async fn opened(monitor: &mut scale0::socket::Monitor) {
    soon(async {
        loop {
            if let Event::Opened { peer, .. } = monitor.next().await.unwrap() {
                assert_eq!(peer, SocketType::Dealer);
                return;
            }
        }
    })
    .await;
}

fn named(name: &'static str) -> Options {
    Options {
        identity: name.into(),
        ..quick()
    }
}

fn quick() -> Options {
    Options {
        reconnect: Some(Reconnect {
            first: Duration::from_millis(5),
            longest: Duration::from_millis(20),
        }),
        ..Options::default()
    }
}

async fn soon<T>(what: impl Future<Output = T>) -> T {
    let limit = Duration::from_secs(20);
    tokio::time::timeout(limit, what).await.unwrap()
}
