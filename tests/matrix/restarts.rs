//! Either side is killed or dropped in mid-stream and made anew, with heartbeats on: messages flow
//! again, none comes in part or twice, subscriptions are made again. Messages that were on their
//! way are lost, as they are with libzmq.

use std::time::Duration;

use scale0::socket::{Event, Heartbeat, Message, Options, RecvError, Refusal, Socket, SocketType};
use tokio::time::{sleep, timeout};

use crate::conversation::{PATIENCE, event, line};
use crate::peers::Python;
use crate::process::Process;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn push_goes_on_when_its_pull_is_killed_and_comes_back() {
    let Some(python) = Python::find() else {
        return;
    };
    let mut first = start(&python, &["type=PULL", "mode=watch", BIND]);
    let endpoint = bound(&mut first);
    let push = socket(SocketType::Push);
    push.connect(&*endpoint).unwrap();
    let watching = async {
        let mut run = Run::default();
        run.watch(&mut first, 200).await;
        drop(first);
        let bind = format!("bind={endpoint}");
        let mut second = start(&python, &["type=PULL", "mode=watch", &bind]);
        assert_eq!(bound(&mut second), endpoint);
        run.watch(&mut second, 200).await;
    };
    beside(stream(&push, &[""]), watching).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pull_takes_no_part_of_what_a_killed_push_was_sending() {
    let Some(python) = Python::find() else {
        return;
    };
    let pull = socket(SocketType::Pull);
    let endpoint = pull.bind("tcp://127.0.0.1:*").await.unwrap();
    let connect = format!("connect={endpoint}");
    let mut run = Run::default();
    for life in 0..5_u32 {
        let from = format!("from={}", life * MANY);
        let killed = start(&python, &["type=PUSH", "mode=stream", &connect, &from]);
        run.until(&pull, life * MANY + 100).await;
        drop(killed);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn push_of_libzmq_finds_a_pull_that_was_made_anew() {
    let Some(python) = Python::find() else {
        return;
    };
    let pull = socket(SocketType::Pull);
    let endpoint = pull.bind("tcp://127.0.0.1:*").await.unwrap();
    let connect = format!("connect={endpoint}");
    let _push = start(&python, &["type=PUSH", "mode=stream", &connect]);
    let mut run = Run::default();
    run.until(&pull, 100).await;
    pull.close().await.unwrap();
    let pull = socket(SocketType::Pull);
    pull.bind(endpoint).await.unwrap();
    let goal = run.last.unwrap() + 500;
    run.until(&pull, goal).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sub_subscribes_again_when_its_pub_is_killed_and_comes_back() {
    let Some(python) = Python::find() else {
        return;
    };
    let words = ["type=PUB", "mode=stream", "topic=a,b"];
    let mut first = start(&python, &[&words[..], &[BIND]].concat());
    let endpoint = bound(&mut first);
    let sub = socket(SocketType::Sub);
    sub.connect(&*endpoint).unwrap();
    sub.subscribe("a").unwrap();
    sub.subscribe("not this").unwrap();
    sub.unsubscribe("not this").unwrap();
    let mut run = Run::of("a");
    run.until(&sub, 100).await;
    drop(first);
    let bind = format!("bind={endpoint}");
    let from = format!("from={MANY}");
    let _second = start(&python, &[&words[..], &[&bind, &from]].concat());
    run.until(&sub, MANY + 100).await;
    assert_eq!(sub.counters().ignored, 0, "only what was subscribed comes");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sub_of_libzmq_finds_a_pub_that_was_made_anew() {
    let Some(python) = Python::find() else {
        return;
    };
    for (kind, theirs) in [(SocketType::Pub, "SUB"), (SocketType::Xpub, "XSUB")] {
        let publisher = socket(kind);
        let endpoint = publisher.bind("tcp://127.0.0.1:*").await.unwrap();
        let (connect, theirs) = (format!("connect={endpoint}"), format!("type={theirs}"));
        let mut sub = start(&python, &[&theirs, "mode=watch", "topics=a,c", &connect]);
        assert_eq!(line(&mut sub), "connecting");
        let mut run = Run::of("a");
        beside(stream(&publisher, &["a", "b"]), run.watch(&mut sub, 100)).await;
        publisher.close().await.unwrap();
        let publisher = socket(kind);
        publisher.bind(endpoint).await.unwrap();
        // What was on its way may still come; then the numbers begin again.
        run.last = None;
        run.again = true;
        beside(stream(&publisher, &["a", "b"]), run.watch(&mut sub, 100)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn req_is_told_that_its_rep_was_killed_and_asks_the_next_one() {
    let Some(python) = Python::find() else {
        return;
    };
    let mut first = start(&python, &["type=REP", "mode=idle", BIND]);
    let endpoint = bound(&mut first);
    let req = socket(SocketType::Req);
    let mut monitor = req.monitor();
    req.connect(&*endpoint).unwrap();
    event(&mut monitor, |event| {
        matches!(event, Event::Opened { .. }).then_some(())
    })
    .await;
    req.send("asked").await.unwrap();
    drop(first);
    let lost = timeout(PATIENCE, req.recv()).await.unwrap();
    assert_eq!(lost.unwrap_err(), RecvError::Refused(Refusal::Lost));
    let bind = format!("bind={endpoint}");
    let mut second = start(&python, &["type=REP", "mode=echo", &bind]);
    assert_eq!(bound(&mut second), endpoint);
    req.send("asked again").await.unwrap();
    let reply = timeout(PATIENCE, req.recv()).await.unwrap().unwrap();
    assert_eq!(reply.first(), Some(&b"asked again"[..]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dealer_and_router_go_on_when_either_is_killed() {
    let Some(python) = Python::find() else {
        return;
    };
    let mut first = start(&python, &["type=ROUTER", "mode=echo", BIND]);
    let endpoint = bound(&mut first);
    let dealer = socket(SocketType::Dealer);
    dealer.connect(&*endpoint).unwrap();
    let watching = async {
        let mut run = Run::default();
        run.until(&dealer, 100).await;
        drop(first);
        let bind = format!("bind={endpoint}");
        let mut second = start(&python, &["type=ROUTER", "mode=echo", &bind]);
        assert_eq!(bound(&mut second), endpoint);
        let goal = run.last.unwrap() + 200;
        run.until(&dealer, goal).await;
    };
    beside(stream(&dealer, &[""]), watching).await;

    let router = socket(SocketType::Router);
    let endpoint = router.bind("tcp://127.0.0.1:*").await.unwrap();
    let connect = format!("connect={endpoint}");
    let mut run = Run::default();
    for life in 0..3_u32 {
        let from = format!("from={}", life * MANY);
        let words = [
            "type=DEALER",
            "mode=stream",
            "identity=same",
            &connect,
            &from,
        ];
        let killed = start(&python, &words);
        run.until(&router, life * MANY + 100).await;
        drop(killed);
    }
}

/// Numbers that must only grow: what comes twice or in another order makes them fall back.
#[derive(Default)]
struct Run {
    topic: &'static str,
    last: Option<u32>,
    /// The sender is another one, and once begins again.
    again: bool,
}

impl Run {
    fn of(topic: &'static str) -> Self {
        Self {
            topic,
            ..Self::default()
        }
    }

    fn take(&mut self, word: &str) {
        let number = word.strip_prefix(self.topic).map(str::parse);
        let Some(Ok(number)) = number else {
            panic!("not a whole message with `{}`: {word}", self.topic);
        };
        if self.last.is_some_and(|last| last >= number) {
            assert!(self.again, "{number} after {:?}", self.last);
            self.again = false;
        }
        self.last = Some(number);
    }

    /// Hears from theirs of so many messages.
    async fn watch(&mut self, process: &mut Process, many: usize) {
        let watch = async {
            for _ in 0..many {
                let said = loop {
                    match process.try_line() {
                        Some(said) => break said,
                        None => sleep(Duration::from_millis(2)).await,
                    }
                };
                self.take(&said);
            }
        };
        timeout(PATIENCE, watch).await.unwrap();
    }

    /// Receives until a message with at least this number.
    async fn until(&mut self, socket: &Socket, number: u32) {
        let receive = async {
            while self.last.is_none_or(|last| last < number) {
                let mut message = socket.recv().await.unwrap();
                if socket.kind() == SocketType::Router {
                    assert_eq!(message.first(), Some(&b"same"[..]));
                    message.skip(1);
                }
                let parts: Vec<&[u8]> = message.parts().collect();
                let [first, middle, last] = parts[..] else {
                    panic!("{} parts", parts.len());
                };
                assert!(first == last && middle == &MIDDLE[..], "in part");
                self.take(&String::from_utf8_lossy(first));
            }
        };
        timeout(PATIENCE, receive).await.unwrap();
    }
}

/// Sends numbered messages, for ever; the topics take turns.
async fn stream(socket: &Socket, topics: &[&str]) {
    for n in 0.. {
        let word = format!("{}{n}", topics[n % topics.len()]);
        let message = Message::new([word.as_bytes(), &MIDDLE, word.as_bytes()]);
        socket.send(message).await.unwrap();
        if n % 5 == 0 {
            sleep(Duration::from_millis(2)).await;
        }
    }
}

/// Until the second ends.
async fn beside(endless: impl Future<Output = ()>, act: impl Future<Output = ()>) {
    tokio::select! {
        () = endless => {}
        () = act => {}
    }
}

/// A socket of ours that drops what waits when it closes: its successor stands for itself.
fn socket(kind: SocketType) -> Socket {
    let second = Duration::from_secs(1);
    let options = Options {
        heartbeat: Some(Heartbeat {
            interval: Duration::from_millis(50),
            timeout: 10 * second,
            ttl: 10 * second,
        }),
        linger: Some(Duration::from_secs(30)),
        ..Options::default()
    };
    Socket::with(kind, options)
}

fn start(python: &Python, words: &[&str]) -> Process {
    let beat = ["heartbeat_ivl=50", "heartbeat_timeout=10000", "linger=0"];
    python.start("role.py", &[words, &beat].concat())
}

fn bound(process: &mut Process) -> String {
    line(process).strip_prefix("bound ").unwrap().to_owned()
}

const BIND: &str = "bind=tcp://127.0.0.1:*";
/// The numbers of one life stay below it.
const MANY: u32 = 1_000_000;
static MIDDLE: [u8; 20_000] = [b'm'; 20_000];
