//! What a monitor is told of peers, and what it costs to turn one away.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that is surprised has failed"
)]

use std::future::Future;
use std::time::Duration;

use bytes::Bytes;
use scale0::limits::Limits;
use scale0::socket::{Event, Monitor, Options, Pull, Push, Req};

/// [N1]: `X-` properties are the program's own (METADATA).
#[tokio::test]
async fn what_a_peer_says_of_itself_is_told_over_every_transport() {
    let dir = tempfile::tempdir().unwrap();
    let ipc = format!("ipc://{}", dir.path().join("socket").display());
    for endpoint in ["tcp://127.0.0.1:*", &ipc, "inproc://says"] {
        let (pull, push) = (Pull::new(), Push::with(saying("X-Room", "kitchen")));
        let mut monitor = pull.monitor();
        let bound = pull.bind(endpoint).await.unwrap();
        push.connect(&bound).unwrap();
        let properties = until(&mut monitor, |event| match event {
            Event::Opened { properties, .. } => Some(properties),
            _ => None,
        });
        let said = (Bytes::from("X-Room"), Bytes::from("kitchen"));
        assert_eq!(soon(properties).await, [said], "{endpoint}");
    }
}

#[tokio::test]
async fn a_socket_of_this_process_that_does_not_fit_takes_no_place() {
    let pull = Pull::with(Options {
        limits: Limits {
            connections: 1,
            ..Options::default().limits
        },
        ..Options::default()
    });
    let mut monitor = pull.monitor();
    pull.bind("inproc://full").await.unwrap();
    let endpoint = pull.bind("tcp://127.0.0.1:*").await.unwrap();
    let misfit = Req::new();
    misfit.connect("inproc://full").unwrap();
    let failed = until(&mut monitor, |event| {
        matches!(event, Event::HandshakeFailed { .. }).then_some(())
    });
    soon(failed).await;
    assert_eq!(pull.counters().handshakes_failed, 1);
    let push = Push::new();
    push.connect(&endpoint).unwrap();
    push.send("fits").await.unwrap();
    let message = soon(pull.recv()).await.unwrap();
    assert_eq!(message.first(), Some(&b"fits"[..]));
    assert_eq!(pull.counters().rejected, 0);
}

fn saying(name: &'static str, value: &'static str) -> Options {
    Options {
        metadata: vec![(name.into(), value.into())],
        ..Options::default()
    }
}

async fn until<T>(monitor: &mut Monitor, mut is: impl FnMut(Event) -> Option<T>) -> T {
    loop {
        let event = monitor.next().await.unwrap();
        if let Some(found) = is(event) {
            return found;
        }
    }
}

async fn soon<T>(what: impl Future<Output = T>) -> T {
    let limit = Duration::from_secs(20);
    tokio::time::timeout(limit, what).await.unwrap()
}
