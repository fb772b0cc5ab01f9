//! Heartbeats between ours and libzmq's: they cut nobody who lives, and everybody who does not.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use scale0::session;
use scale0::socket::{Event, Heartbeat, Options, Reason, Socket, SocketType, Tap};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::conversation::{event, line};
use crate::peers::Python;
use crate::process::Process;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_is_cut_in_two_seconds_of_silence_and_heartbeats() {
    use SocketType::{Dealer, Pair, Pub, Pull, Push, Rep, Req, Router, Sub};
    let mut silence = JoinSet::new();
    for (ours, theirs) in [
        (Dealer, Router),
        (Router, Dealer),
        (Req, Rep),
        (Rep, Req),
        (Pull, Push),
        (Push, Pull),
        (Sub, Pub),
        (Pub, Sub),
        (Pair, Pair),
    ] {
        let Some(python) = Python::find() else {
            return;
        };
        silence.spawn(async move {
            let tap = Arc::new(Count::default());
            let options = Options {
                tap: Some(Arc::clone(&tap) as Arc<dyn Tap>),
                ..beating(50, 5000, 5000)
            };
            // The timeouts are long so that a busy machine is not taken for a dead peer.
            let words = ["heartbeat_ivl=50", "heartbeat_timeout=5000"];
            let (socket, _process, mut monitor) =
                idle(&python, ours, theirs, options, &words).await;
            let gone = async { gone(&mut monitor).await };
            let cut = timeout(Duration::from_secs(2), gone).await;
            assert!(cut.is_err(), "{ours:?} lost {theirs:?}: {cut:?}");
            let (pings, pongs) = (&tap.pings, &tap.pongs);
            assert!(
                pings.load(Ordering::Relaxed) > 5,
                "{ours:?}: their PINGs come"
            );
            assert!(
                pongs.load(Ordering::Relaxed) > 5,
                "{ours:?}: ours are answered, or theirs"
            );
            drop(socket);
        });
    }
    while let Some(done) = silence.join_next().await {
        done.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frozen_peer_is_noticed_and_the_others_are_served() {
    let Some(python) = Python::find() else {
        return;
    };
    let words = ["mode=stream"];
    let options = beating(50, 500, 0);
    let kinds = (SocketType::Pull, SocketType::Push);
    let (pull, frozen, mut monitor) = idle(&python, kinds.0, kinds.1, options, &[]).await;
    let connect = format!("connect={}", pull.endpoints()[0]);
    let _other = python.start("role.py", &[&["type=PUSH", &*connect][..], &words].concat());
    let first = pull.recv().await.unwrap();
    assert_eq!(first.count(), 3);
    frozen.signal("STOP");
    let receiving = async {
        loop {
            pull.recv().await.unwrap();
        }
    };
    let reason = tokio::select! {
        () = receiving => panic!("it never ends"),
        reason = gone(&mut monitor) => reason,
    };
    assert!(
        matches!(reason, Reason::Session(session::Error::Silent)),
        "{reason:?}"
    );
    pull.recv().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_time_to_live_that_libzmq_states_and_breaks_ends_the_connection() {
    let Some(python) = Python::find() else {
        return;
    };
    let words = [
        "heartbeat_ivl=400",
        "heartbeat_ttl=100",
        "heartbeat_timeout=5000",
    ];
    let kinds = (SocketType::Router, SocketType::Dealer);
    let (_socket, _process, mut monitor) =
        idle(&python, kinds.0, kinds.1, Options::default(), &words).await;
    let reason = gone(&mut monitor).await;
    assert!(
        matches!(reason, Reason::Session(session::Error::Expired)),
        "{reason:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn libzmq_holds_us_to_the_time_to_live_that_we_state() {
    let Some(python) = Python::find() else {
        return;
    };
    let kinds = (SocketType::Dealer, SocketType::Router);
    let options = beating(400, 5000, 100);
    let (_socket, _process, mut monitor) = idle(&python, kinds.0, kinds.1, options, &[]).await;
    let reason = gone(&mut monitor).await;
    assert!(
        matches!(reason, Reason::Closed | Reason::Io(_)),
        "{reason:?}"
    );
}

/// A socket of ours, bound, and an idle one of theirs that is connected to it.
async fn idle(
    python: &Python,
    ours: SocketType,
    theirs: SocketType,
    options: Options,
    words: &[&str],
) -> (Socket, Process, scale0::socket::Monitor) {
    let socket = Socket::with(ours, options);
    let mut monitor = socket.monitor();
    let endpoint = socket.bind("tcp://127.0.0.1:*").await.unwrap();
    let (kind, connect) = (
        format!("type={}", theirs.name()),
        format!("connect={endpoint}"),
    );
    let mut process = python.start(
        "role.py",
        &[&[&*kind, &connect, "mode=idle"], words].concat(),
    );
    assert_eq!(line(&mut process), "connecting");
    event(&mut monitor, |event| {
        matches!(event, Event::Opened { .. }).then_some(())
    })
    .await;
    (socket, process, monitor)
}

async fn gone(monitor: &mut scale0::socket::Monitor) -> Reason {
    event(monitor, |event| match event {
        Event::Disconnected { reason, .. } => Some(reason.clone()),
        _ => None,
    })
    .await
}

fn beating(interval: u64, timeout: u64, ttl: u64) -> Options {
    let [interval, timeout, ttl] = [interval, timeout, ttl].map(Duration::from_millis);
    Options {
        heartbeat: Some(Heartbeat {
            interval,
            timeout,
            ttl,
        }),
        ..Options::default()
    }
}

/// Counts PINGs that come and PONGs that come or go.
#[derive(Debug, Default)]
struct Count {
    pings: AtomicUsize,
    pongs: AtomicUsize,
}

impl Tap for Count {
    fn bytes(&self, _connection: u64, inbound: bool, bytes: &[u8]) {
        let has = |name: &[u8]| {
            bytes
                .windows(name.len())
                .filter(|part| *part == name)
                .count()
        };
        if inbound {
            self.pings.fetch_add(has(b"\x04PING"), Ordering::Relaxed);
        }
        self.pongs.fetch_add(has(b"\x04PONG"), Ordering::Relaxed);
    }
}
