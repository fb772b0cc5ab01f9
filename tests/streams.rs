//! Partial replies over real sockets: a client that does not read holds back its worker and nobody
//! else, and whatever ends a stream gives every place back.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::cast_possible_truncation,
    reason = "a test may"
)]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use scale0::net::{Clock, Link};
use scale0::protocol::Id;
use scale0::protocol::scale0::{Header, command, flag};
use scale0::sdk::{CallError, Dialect, Failure, Stream, WorkerBuilder};
use scale0::server::{Config, Running};
use scale0::session::{self, Heard};
use scale0::wire::{Endpoint, Message, Piece, SocketType};
use scale0::{Client, Task, Worker};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

fn broker_with(set: impl FnOnce(&mut Config)) -> (Running, String) {
    let mut config = Config {
        endpoints: vec!["tcp://127.0.0.1:0".parse().unwrap()],
        ..Config::default()
    };
    set(&mut config);
    let broker = Running::start(config).unwrap();
    let endpoint = broker.endpoints()[0].to_string();
    (broker, endpoint)
}

fn broker() -> (Running, String) {
    broker_with(|_| {})
}

/// A worker that runs until the test ends.
fn hire(builder: WorkerBuilder) -> JoinHandle<()> {
    let worker = builder.build().unwrap();
    tokio::spawn(async { worker.run(std::future::pending()).await.unwrap() })
}

fn worker(endpoint: &str) -> WorkerBuilder {
    Worker::builder(endpoint).unwrap()
}

/// Whatever this test waits for, it does not take so long.
async fn soon<F: Future>(what: F) -> F::Output {
    tokio::time::timeout(Duration::from_secs(30), what)
        .await
        .expect("it takes too long")
}

async fn ask(client: &Client, what: &str) -> serde_json::Value {
    let reply = soon(client.call(what, ())).await.unwrap();
    serde_json::from_str(&reply.text()).unwrap()
}

/// Waits until the broker says so.
async fn until(client: &Client, what: &str, holds: impl Fn(&serde_json::Value) -> bool) {
    soon(async {
        while !holds(&ask(client, what).await) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}

/// Sends parts of this size as fast as it may, and counts them.
fn flood(builder: WorkerBuilder, name: &str, size: usize) -> (WorkerBuilder, Arc<AtomicUsize>) {
    let sent = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&sent);
    let builder = builder.service(name, move |task: Task| {
        let count = Arc::clone(&count);
        async move {
            loop {
                task.partial(vec![0; size]).await;
                count.fetch_add(1, Ordering::SeqCst);
            }
            #[allow(unreachable_code, reason = "gives the closure its type")]
            Ok::<(), Failure>(())
        }
    });
    (builder, sent)
}

/// Waits until it has not changed for a while.
async fn settled(count: &AtomicUsize) -> usize {
    let mut before = usize::MAX;
    loop {
        let now = count.load(Ordering::SeqCst);
        if now == before {
            return now;
        }
        before = now;
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

async fn echo(task: Task) -> Result<Message, Failure> {
    Ok(task.into_body())
}

#[tokio::test]
async fn a_stream_that_is_not_read_holds_back_its_worker_and_nobody_else() {
    let (_broker, endpoint) = broker();
    let (builder, sent) = flood(worker(&endpoint).capacity(3), "flood", 1000);
    let _worker = hire(builder.service("echo", echo));
    let client = Client::connect(&endpoint).unwrap();
    let mut idle = soon(client.request("flood").stream()).await.unwrap();
    assert_eq!(soon(settled(&sent)).await, 16, "one window");
    let info = ask(&client, "s0.info").await;
    assert!(info["held_bytes"].as_u64() < Some(8 << 10), "{info}");
    assert_eq!(info["counters"]["errors"], serde_json::json!({}));
    // The same worker, client and connection serve others meanwhile.
    assert_eq!(soon(client.call("echo", "on")).await.unwrap().text(), "on");
    let mut read = soon(client.request("flood").stream()).await.unwrap();
    for _ in 0..1000 {
        soon(read.next()).await.unwrap().unwrap();
    }
    drop(read);
    // Eight were read of the first: as many follow.
    let before = soon(settled(&sent)).await;
    for _ in 0..8 {
        soon(idle.next()).await.unwrap().unwrap();
    }
    assert_eq!(soon(settled(&sent)).await, before + 8);
    drop(idle);
    until(&client, "s0.info", |info| info["in_flight"] == 0).await;
}

#[tokio::test]
async fn large_parts_are_held_back_by_their_bytes() {
    let (_broker, endpoint) = broker();
    let (builder, sent) = flood(worker(&endpoint), "flood", 700 << 10);
    let _worker = hire(builder);
    let client = Client::connect(&endpoint).unwrap();
    let mut stream = soon(client.request("flood").stream()).await.unwrap();
    assert_eq!(
        soon(settled(&sent)).await,
        2,
        "the second begins below a mebibyte"
    );
    for _ in 0..20 {
        soon(stream.next()).await.unwrap().unwrap();
    }
    let info = ask(&client, "s0.info").await;
    assert!(info["buffered_bytes"].as_u64() < Some(4 << 20), "{info}");
}

#[tokio::test]
async fn long_streams_arrive_whole_and_in_order_whatever_their_parts_sizes() {
    let (_broker, endpoint) = broker();
    let _worker = hire(
        worker(&endpoint)
            .capacity(4)
            .service("count", async |task: Task| {
                let size: usize = task.text().parse().unwrap();
                for n in 0..300_u32 {
                    let mut part = n.to_be_bytes().to_vec();
                    part.resize(4 + size, 0);
                    task.partial(part).await;
                }
                Ok("end")
            }),
    );
    let client = Client::connect(&endpoint).unwrap();
    let streams = [0, 1000, 40_000, 300_000].map(|size| {
        let request = client.request("count").body(size.to_string());
        tokio::spawn(async move {
            let mut stream = request.stream().await.unwrap();
            for n in 0..300_u32 {
                let part = stream.next().await.unwrap().unwrap();
                assert_eq!(part.body().first().unwrap()[..4], n.to_be_bytes());
            }
            assert_eq!(stream.next().await.unwrap().unwrap().text(), "end");
            assert!(stream.next().await.is_none());
        })
    });
    for stream in streams {
        soon(stream).await.unwrap();
    }
    // A plain call takes them as they come.
    let whole = soon(client.call("count", "1000")).await.unwrap();
    assert_eq!(whole.body().count(), 301);
}

#[tokio::test]
async fn progress_is_seen_in_a_stream_left_out_of_a_call_and_never_waits() {
    let (_broker, endpoint) = broker();
    let _worker = hire(worker(&endpoint).service("work", async |task: Task| {
        for n in 0..100 {
            task.progress(format!("{n} %"));
        }
        task.partial("part").await;
        Ok("end")
    }));
    let client = Client::connect(&endpoint).unwrap();
    let mut stream = soon(client.request("work").stream()).await.unwrap();
    let (mut shown, mut parts) = (Vec::new(), Vec::new());
    while let Some(reply) = soon(stream.next()).await {
        let reply = reply.unwrap();
        match reply.is_progress() {
            true => shown.push(reply.text().into_owned()),
            false => parts.push(reply.text().into_owned()),
        }
    }
    assert_eq!(parts, ["part", "end"]);
    // What there is credit for is shown, the rest is left out.
    assert!((1..=16).contains(&shown.len()), "{shown:?}");
    assert_eq!(shown[0], "0 %");
    let whole = soon(client.call("work", ())).await.unwrap();
    assert_eq!(whole.into_parts(), ["part", "end"]);
}

#[tokio::test]
async fn a_part_that_is_given_up_costs_no_credit() {
    let (_broker, endpoint) = broker();
    let _worker = hire(worker(&endpoint).service("shy", async |task: Task| {
        for _ in 0..100 {
            // Polled once at most: sent whole or not at all.
            let _ = tokio::time::timeout(Duration::ZERO, task.partial("p")).await;
        }
        for n in 0..100 {
            task.partial(n.to_string()).await;
        }
        Ok("end")
    }));
    let client = Client::connect(&endpoint).unwrap();
    let mut stream = soon(client.request("shy").stream()).await.unwrap();
    let mut seen = Vec::new();
    while let Some(reply) = soon(stream.next()).await {
        seen.push(reply.unwrap().text().into_owned());
    }
    seen.retain(|text| text != "p");
    assert_eq!(seen.len(), 101);
}

#[tokio::test]
async fn a_majordomo_worker_that_runs_away_loses_its_task_and_nobody_is_cut() {
    let (_broker, endpoint) = broker();
    let (builder, _) = flood(worker(&endpoint).dialect(Dialect::Mdp02), "flood", 64 << 10);
    let _flood = hire(builder);
    let client = Client::connect(&endpoint).unwrap();
    let mut stream = soon(client.request("flood").stream()).await.unwrap();
    // Nothing is read until it is over.
    until(&client, "s0.info", |info| {
        info["counters"]["errors"]["413"] == 1
    })
    .await;
    let mut parts = 0;
    let error = loop {
        match soon(stream.next()).await.unwrap() {
            Ok(_) => parts += 1,
            Err(error) => break error,
        }
    };
    assert_eq!((parts, error.code()), (16, Some(413)));
    assert!(!error.is_safe_to_repeat());
}

/// A client by hand, that reads or does not.
struct Hand(Link);

impl Hand {
    async fn open(endpoint: &str) -> Self {
        let endpoint: Endpoint = endpoint.parse().unwrap();
        let config = Arc::new(session::Config::new(SocketType::Dealer));
        Self(Link::open(&endpoint, config, Clock::start()).await.unwrap())
    }

    async fn ask(&mut self, service: &str, id: u64) {
        let header = Header {
            ms: 60_000,
            id: Id(id.to_be_bytes()),
            name: service.as_bytes(),
            ..Header::of(command::TASK)
        };
        self.say(&[Piece::Part(&header.frame())]).await;
    }

    async fn say(&mut self, pieces: &[Piece<'_>]) {
        self.0.send(pieces).unwrap();
        self.0.flush().await.unwrap();
    }

    /// The token of the next task.
    async fn task(&mut self) -> Id {
        loop {
            if let Some(Heard::Message(message)) = self.0.heard(usize::MAX).await.unwrap() {
                let limits = scale0::limits::Limits::default();
                let header = Header::read(message.first().unwrap(), &limits).unwrap();
                if header.command == command::TASK {
                    return header.id;
                }
            }
        }
    }

    /// Code and whether more follow, of the next answer.
    async fn hear(&mut self) -> (u16, bool) {
        loop {
            if let Some(Heard::Message(message)) = self.0.heard(usize::MAX).await.unwrap() {
                let limits = scale0::limits::Limits::default();
                let header = Header::read(message.first().unwrap(), &limits).unwrap();
                return (header.code, header.has(flag::MORE));
            }
        }
    }
}

#[tokio::test]
async fn a_client_that_reads_nothing_and_counts_nothing_fills_no_memory() {
    let (_broker, endpoint) = broker();
    let (builder, sent) = flood(worker(&endpoint).capacity(5), "flood", 64 << 10);
    let _worker = hire(builder.service("echo", echo));
    let mut deaf = Hand::open(&endpoint).await;
    for id in 1..=4 {
        deaf.ask("flood", id).await;
    }
    // The system's own buffers, 4 MiB in the broker, a window for each stream.
    soon(settled(&sent)).await;
    let client = Client::connect(&endpoint).unwrap();
    let info = soon(async {
        loop {
            let info = ask(&client, "s0.info").await;
            let buffered = info["buffered_bytes"].as_u64().unwrap();
            let held = info["held_bytes"].as_u64().unwrap();
            assert!(buffered < 8 << 20 && held <= 5 << 20, "{info}");
            // The system's buffers may have taken all of it a moment ago.
            if buffered > 1 << 20 {
                break info;
            }
        }
    })
    .await;
    assert_eq!(
        info["open"], 4,
        "nobody is cut, nothing is given up: {info}"
    );
    assert_eq!(soon(client.call("echo", "on")).await.unwrap().text(), "on");
    // It begins to read, and everything goes on.
    let before = sent.load(Ordering::SeqCst);
    for _ in 0..before + 100 {
        assert_eq!(soon(deaf.hear()).await, (200, true));
    }
    drop(deaf);
    until(&client, "s0.info", |info| info["in_flight"] == 0).await;
}

/// Tells when it is dropped.
struct Dropped(mpsc::UnboundedSender<()>);

impl Drop for Dropped {
    fn drop(&mut self) {
        let _ = self.0.send(());
    }
}

#[tokio::test]
async fn cancelling_a_stream_reaches_a_handler_that_waits_for_credit() {
    let (_broker, endpoint) = broker();
    let (dropped, mut drops) = mpsc::unbounded_channel();
    let (full, mut fulls) = mpsc::unbounded_channel();
    let _worker = hire(worker(&endpoint).service("wait", move |task: Task| {
        let guard = Dropped(dropped.clone());
        let full = full.clone();
        async move {
            let _guard = guard;
            for n in 0.. {
                if n == 16 {
                    full.send(()).unwrap();
                }
                task.partial("p").await;
            }
            Ok(())
        }
    }));
    let client = Client::connect(&endpoint).unwrap();
    for _ in 0..20 {
        let stream = soon(client.request("wait").stream()).await.unwrap();
        soon(fulls.recv()).await.unwrap();
        drop(stream);
        soon(drops.recv()).await.unwrap();
    }
    until(&client, "s0.workers", |workers| {
        workers["workers"][0]["in_flight"] == 0
    })
    .await;
}

#[tokio::test]
async fn a_ping_with_its_tasks_token_keeps_a_late_worker_trusted() {
    for lease in [true, false] {
        let (_broker, endpoint) = broker_with(|config| {
            config.broker.suspect_after = Duration::from_millis(400);
        });
        let mut late = Hand::open(&endpoint).await;
        let connect = Header {
            code: 2,
            ..Header::of(command::CONNECT)
        };
        late.say(&[Piece::Part(&connect.frame()), Piece::Part(b"late")])
            .await;
        let client = Client::connect(&endpoint).unwrap();
        let call = client.request("late").ttl(Duration::from_secs(1));
        let call = tokio::spawn(call.call());
        let token = soon(late.task()).await;
        assert_eq!(soon(call).await.unwrap().unwrap_err().code(), Some(504));
        if !lease {
            until(&client, "s0.workers", |workers| {
                workers["workers"][0]["state"] == "suspect"
            })
            .await;
            continue;
        }
        for _ in 0..30 {
            let ping = Header {
                id: token,
                ..Header::of(command::PING)
            };
            late.say(&[Piece::Part(&ping.frame())]).await;
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let workers = ask(&client, "s0.workers").await;
        let worker = &workers["workers"][0];
        assert_eq!(
            (&worker["in_flight"], &worker["state"]),
            (&1.into(), &"ready".into())
        );
    }
}

/// Counts its drops.
struct Ends(Arc<AtomicUsize>);

impl Drop for Ends {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

/// As many parts as the task says.
async fn race(task: Task) -> Result<&'static str, Failure> {
    let parts: usize = task.text().parse().unwrap();
    for n in 0..parts {
        task.partial(n.to_string()).await;
    }
    Ok("end")
}

/// Some number between 0 and `below`, by a generator that needs no seed from outside.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, below: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % below
    }
}

/// Reads so much of a stream; tells whether it came to its end.
async fn read(stream: &mut Stream, parts: u64) -> Option<Result<(), CallError>> {
    for _ in 0..parts {
        match stream.next().await {
            Some(Ok(reply)) if reply.is_final() => return Some(Ok(())),
            Some(Ok(_)) => {}
            Some(Err(error)) => return Some(Err(error)),
            None => panic!("a stream that ends without a final"),
        }
    }
    None
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hundreds_of_races_over_real_sockets_leave_nothing_behind() {
    let (_broker, endpoint) = broker();
    let steady = worker(&endpoint).name("steady").capacity(8);
    let (begun, ended) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (counted, counting) = (Arc::clone(&begun), Arc::clone(&ended));
    let steady = steady.idempotent_service("race", move |task: Task| {
        counted.fetch_add(1, Ordering::SeqCst);
        let ends = Ends(Arc::clone(&counting));
        async move {
            let _ends = ends;
            race(task).await
        }
    });
    let _steady = hire(steady);
    let clients = [(); 3].map(|()| Client::connect(&endpoint).unwrap());
    let all = (1..=8_u64).map(|seed| {
        let (clients, endpoint) = (clients.clone(), endpoint.clone());
        tokio::spawn(async move {
            let mut dice = Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
            let (mut ends, mut errors) = (0, 0);
            let mut brief = None;
            for round in 0..60 {
                if round % 10 == 0 {
                    // A worker that dies with whatever it has.
                    let dies = worker(&endpoint)
                        .capacity(2)
                        .idempotent_service("race", race);
                    if let Some(former) = brief.replace(hire(dies)) {
                        former.abort();
                    }
                }
                let client = &clients[dice.roll(3) as usize];
                let parts = dice.roll(60);
                let request = client.request("race").body(parts.to_string());
                let ttl = [5, 20, 10_000][dice.roll(3) as usize];
                let request = request.ttl(Duration::from_millis(ttl)).idempotent(true);
                // A time to live that is over before it is sent is an answer too.
                let Ok(mut stream) = request.stream().await else {
                    continue;
                };
                let within = Duration::from_millis(dice.roll(30));
                let some = dice.roll(70);
                match tokio::time::timeout(within, read(&mut stream, some)).await {
                    Ok(Some(Ok(()))) => ends += 1,
                    Ok(Some(Err(error))) => {
                        let code = error.code();
                        assert!(
                            matches!(code, None | Some(404 | 408 | 502 | 504)),
                            "{error}"
                        );
                        errors += 1;
                    }
                    // Given up while it runs.
                    Ok(None) | Err(_) => {}
                }
            }
            if let Some(last) = brief {
                last.abort();
            }
            (ends, errors)
        })
    });
    let mut ends = 0;
    for one in all.collect::<Vec<_>>() {
        ends += soon(one).await.unwrap().0;
    }
    assert!(ends > 5, "{ends} came to their end");
    let client = &clients[0];
    until(client, "s0.info", |info| {
        let left = ["open", "in_flight", "queued", "held_bytes"];
        left.iter().all(|key| info[key] == 0)
    })
    .await;
    until(client, "s0.workers", |workers| {
        let workers = workers["workers"].as_array().unwrap();
        workers.len() == 1 && workers[0]["in_flight"] == 0 && workers[0]["state"] == "ready"
    })
    .await;
    // No handler waits for credit that will never come.
    soon(async {
        while begun.load(Ordering::SeqCst) != ended.load(Ordering::SeqCst) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    assert_eq!(
        soon(client.call("race", "40"))
            .await
            .unwrap()
            .body()
            .count(),
        41
    );
}
