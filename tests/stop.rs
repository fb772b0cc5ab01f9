//! Endpoints that are given up: RECONNECT_STOP and RECONNECT_IVL of -1. libzmq's
//! test_reconnect_options.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that is surprised has failed"
)]

use std::future::Future;
use std::time::Duration;

use scale0::socket::{
    Endpoint, Event, Monitor, Options, Pull, Push, Reason, RecvError, Refusal, Rep, Req, Router,
    SendError,
};

#[tokio::test]
async fn an_endpoint_where_nobody_listens_can_be_given_up() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("tcp://{}", listener.local_addr().unwrap());
    drop(listener);
    let push = Push::with(with("1"));
    let mut monitor = push.monitor();
    push.connect(&*endpoint).unwrap();
    push.send("waits").await.unwrap();
    given_up(&push).await;
    let counters = push.counters();
    assert_eq!(counters.dropped_lost, counters.sent);
    // Nobody is sought there any more, and the next endpoint is another matter.
    let pull = Pull::new();
    let bound = pull.bind("tcp://127.0.0.1:*").await.unwrap();
    push.connect(&bound).unwrap();
    push.send("arrives").await.unwrap();
    let message = soon(pull.recv()).await.unwrap();
    assert_eq!(message.first(), Some(&b"arrives"[..]));
    drop(push);
    let (mut attempts, mut given_up) = (0, Vec::new());
    while let Some(event) = soon(monitor.next()).await {
        attempts += u32::from(matches!(event, Event::Connecting { .. }));
        assert!(!matches!(event, Event::Retrying { .. }), "{event:?}");
        if let Event::GivenUp { endpoint, .. } = event {
            given_up.push(endpoint.to_string());
        }
    }
    assert_eq!(attempts, 2);
    assert_eq!(given_up, [endpoint]);
}

#[tokio::test]
async fn an_endpoint_whose_handshake_fails_can_be_given_up() {
    let router = Router::new();
    let bound = router.bind("tcp://127.0.0.1:*").await.unwrap();
    let push = Push::with(with("2"));
    let mut monitor = push.monitor();
    push.connect(&bound).unwrap();
    push.send("waits").await.unwrap();
    let failed = ended(&mut monitor).await;
    assert!(matches!(failed, Reason::Session(_)), "{failed:?}");
    told(&mut monitor, &bound).await;
    given_up(&push).await;
}

#[tokio::test]
async fn a_connection_that_was_there_comes_back_all_the_same() {
    let pull = Pull::new();
    let bound = pull.bind("tcp://127.0.0.1:*").await.unwrap();
    let push = Push::with(with("2"));
    push.connect(&bound).unwrap();
    push.send("first").await.unwrap();
    soon(pull.recv()).await.unwrap();
    let mut monitor = push.monitor();
    soon(pull.close()).await.unwrap();
    ended(&mut monitor).await;
    let pull = Pull::new();
    pull.bind(&bound).await.unwrap();
    push.send("second").await.unwrap();
    let message = soon(pull.recv()).await.unwrap();
    assert_eq!(message.first(), Some(&b"second"[..]));
}

#[tokio::test]
async fn without_reconnecting_a_lost_endpoint_takes_no_turns_and_no_question_waits_for_it() {
    let options = || {
        let mut options = Options::default();
        options.set("reconnect_ivl", "-1").unwrap();
        options
    };
    let pull = Pull::new();
    let bound = pull.bind("tcp://127.0.0.1:*").await.unwrap();
    let push = Push::with(options());
    let mut monitor = push.monitor();
    push.connect(&bound).unwrap();
    push.send("arrives").await.unwrap();
    soon(pull.recv()).await.unwrap();
    soon(pull.close()).await.unwrap();
    ended(&mut monitor).await;
    told(&mut monitor, &bound).await;
    given_up(&push).await;

    let rep = Rep::new();
    let bound = rep.bind("tcp://127.0.0.1:*").await.unwrap();
    let req = Req::with(options());
    req.connect(&bound).unwrap();
    req.send("anybody?").await.unwrap();
    soon(rep.recv()).await.unwrap();
    soon(rep.close()).await.unwrap();
    let lost = soon(req.recv()).await;
    assert_eq!(lost, Err(RecvError::Refused(Refusal::Lost)));
}

fn with(stop: &str) -> Options {
    let mut options = Options::default();
    options.set("reconnect_ivl", "5").unwrap();
    options.set("reconnect_stop", stop).unwrap();
    options
}

/// Until there is nobody left to send to: `try_send` finds no queue that would take it.
async fn given_up(push: &Push) {
    soon(async {
        while !matches!(push.try_send("nobody"), Err(SendError::Full(_))) {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

/// Next it is told that an endpoint is given up.
async fn told(monitor: &mut Monitor, gone: &Endpoint) {
    match soon(monitor.next()).await.unwrap() {
        Event::GivenUp { endpoint, .. } => assert_eq!(endpoint, *gone),
        other => panic!("{other:?}"),
    }
}

async fn ended(monitor: &mut Monitor) -> Reason {
    soon(async {
        loop {
            match monitor.next().await.unwrap() {
                Event::HandshakeFailed { reason, .. } | Event::Disconnected { reason, .. } => {
                    return reason;
                }
                _ => {}
            }
        }
    })
    .await
}

async fn soon<T>(what: impl Future<Output = T>) -> T {
    let limit = Duration::from_secs(20);
    tokio::time::timeout(limit, what).await.unwrap()
}
