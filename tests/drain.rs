//! Brokers that end while everybody works, and tasks that are only handed over: real processes.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test fails by panicking, and does not wait for ever"
)]

#[path = "support/process.rs"]
#[allow(dead_code, reason = "shared with other tests, which use the rest")]
mod process;
#[path = "support/raw.rs"]
#[allow(dead_code, reason = "shared with other tests, which use the rest")]
mod raw;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use process::{Broker, Finished, Process, poll, scale0};
use raw::Raw;
use scale0::Client;
use scale0::sdk::{CallError, ClientBuilder};
use tokio::task::JoinHandle;

/// A worker of its own process for the service `echo`.
fn echo(connect: &[&str], arguments: &[&str]) -> Process {
    let mut worker = scale0();
    worker.arg("worker");
    for endpoint in connect {
        worker.args(["--connect", endpoint]);
    }
    worker.args(["--service", "echo", "--echo"]).args(arguments);
    Process::start(&mut worker)
}

/// A worker whose one service, `wait`, echoes as soon as a file is there.
fn gated(broker: &Broker, gate: &Path) -> Process {
    let line = format!("until [ -e {} ]; do sleep 0.05; done; cat", gate.display());
    let arguments = ["--service", "wait", "--", "sh", "-c", &line];
    Process::start(broker.scale0("worker").args(arguments))
}

fn until(broker: &Broker, key: &str, value: u64) {
    let there = poll(|| (broker.info()["info"][key] == value).then_some(()));
    assert!(there.is_some(), "{key}: {}", broker.info());
}

fn drained(broker: &Broker, arguments: &[&str]) -> Finished {
    Process::start(broker.scale0("drain").args(arguments)).finish()
}

async fn soon<F: Future>(what: F) -> F::Output {
    let limit = Duration::from_secs(50);
    tokio::time::timeout(limit, what).await.unwrap()
}

/// Calls without end, until told so.
struct Callers {
    over: Arc<AtomicBool>,
    done: Arc<AtomicUsize>,
    running: Vec<JoinHandle<Result<(), CallError>>>,
}

impl Callers {
    fn start(builder: ClientBuilder, many: usize) -> Self {
        let client = builder.build().unwrap();
        let (over, done) = (Arc::<AtomicBool>::default(), Arc::<AtomicUsize>::default());
        let call = |n: usize| {
            let (client, over, done) = (client.clone(), Arc::clone(&over), Arc::clone(&done));
            tokio::spawn(async move {
                while !over.load(Ordering::Relaxed) {
                    let request = client.request("echo").idempotent(true);
                    let body = format!("{n} {}", done.load(Ordering::Relaxed));
                    let reply = request.body(body.clone()).call().await?;
                    assert_eq!(reply.text(), body);
                    done.fetch_add(1, Ordering::Relaxed);
                }
                Ok(())
            })
        };
        let running = (0..many).map(call).collect();
        Self {
            over,
            done,
            running,
        }
    }

    /// Waits until so many more calls are done.
    async fn more(&self, calls: usize) {
        let most = self.done.load(Ordering::Relaxed) + calls;
        let enough = async {
            while self.done.load(Ordering::Relaxed) < most {
                let failed = self.running.iter().any(JoinHandle::is_finished);
                assert!(!failed, "a caller has stopped");
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        soon(enough).await;
    }

    /// No call has failed.
    async fn end(self) {
        self.over.store(true, Ordering::Relaxed);
        for caller in self.running {
            soon(caller).await.unwrap().unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_broker_takes_over_and_no_idempotent_call_fails() {
    for by_signal in [false, true] {
        let two = Broker::start(&[]);
        let one = Broker::start(&["--failover", &two.endpoint]);
        // One knows both brokers, one is told of the second by the first, one is there already.
        let _moving = echo(
            &[&one.endpoint, &two.endpoint],
            &["--capacity", "4", "--delay", "10ms"],
        );
        let _told = echo(&[&one.endpoint], &["--capacity", "4", "--delay", "10ms"]);
        let _there = echo(&[&two.endpoint], &["--capacity", "4", "--delay", "10ms"]);
        one.await_workers(2);
        two.await_workers(1);
        let knows = Client::builder(&one.endpoint).unwrap();
        let knows = Callers::start(knows.fallback(&two.endpoint).unwrap(), 6);
        let told = Callers::start(Client::builder(&one.endpoint).unwrap(), 6);
        knows.more(50).await;
        told.more(50).await;
        let mut one = one;
        if by_signal {
            one.process.signal("TERM");
        } else {
            let mut drain = one.scale0("drain");
            let drain = tokio::task::spawn_blocking(move || Process::start(&mut drain).finish());
            let drain = drain.await.unwrap();
            assert_eq!(drain.code, Some(0), "{drain:?}");
            assert!(drain.stdout.ends_with("has ended\n"), "{drain:?}");
        }
        let ended = tokio::task::spawn_blocking(move || one.process.end());
        let ended = ended.await.unwrap();
        assert_eq!(ended.code, Some(0), "{ended:?}");
        assert!(!ended.stderr.contains("given up"), "{ended:?}");
        knows.more(200).await;
        told.more(200).await;
        two.await_workers(3);
        knows.end().await;
        told.end().await;
    }
}

#[tokio::test]
async fn a_client_that_knows_another_broker_goes_there_when_its_own_says_no_more() {
    let directory = tempfile::tempdir().unwrap();
    let gate = directory.path().join("gate");
    let (one, two) = (Broker::start(&[]), Broker::start(&[]));
    let _slow = gated(&one, &gate);
    let _echo = echo(&[&two.endpoint], &[]);
    one.await_workers(1);
    two.await_workers(1);
    let client = Client::builder(&one.endpoint).unwrap();
    let client = client.fallback(&two.endpoint).unwrap().build().unwrap();
    let slow = tokio::spawn({
        let client = client.clone();
        async move { client.call("wait", "slow").await }
    });
    // So that the task is there before the drain begins.
    let (one, slow) = tokio::task::spawn_blocking(move || {
        until(&one, "in_flight", 1);
        one.process.signal("TERM");
        one.process.stderr_line("draining");
        (one, slow)
    })
    .await
    .unwrap();
    // Not idempotent: it was refused, and so it is safe.
    let reply = soon(client.call("echo", "elsewhere")).await.unwrap();
    assert_eq!(reply.text(), "elsewhere");
    std::fs::write(gate, "").unwrap();
    let reply = soon(slow).await.unwrap().unwrap();
    assert_eq!(
        reply.text(),
        "slow",
        "what was in flight ended where it was"
    );
    let mut one = one;
    let ended = tokio::task::spawn_blocking(move || one.process.end());
    assert_eq!(ended.await.unwrap().code, Some(0));
}

#[test]
fn drain_tells_what_it_waits_for_and_ends_with_the_broker() {
    let directory = tempfile::tempdir().unwrap();
    let gate = directory.path().join("gate");
    let broker = Broker::start(&[]);
    let _worker = gated(&broker, &gate);
    let calls = ["x", "y"].map(|body| {
        let call = Process::start(broker.scale0("call").args(["wait", body]));
        until(&broker, "open", if body == "x" { 1 } else { 2 });
        call
    });
    let mut drain = Process::start(&mut broker.scale0("drain"));
    let line = drain.line();
    assert!(
        line.starts_with("draining: 1 tasks in flight, 1 queued, "),
        "{line}"
    );
    let late = Process::start(broker.scale0("drain").args(["--timeout", "200ms"])).finish();
    assert_eq!(late.code, Some(3), "{late:?}");
    std::fs::write(gate, "").unwrap();
    for (call, body) in calls.into_iter().zip(["x\n", "y\n"]) {
        assert_eq!(call.finish().stdout, body);
    }
    let drain = drain.finish();
    assert_eq!(drain.code, Some(0), "{drain:?}");
    assert!(drain.stdout.ends_with(" has ended\n"), "{drain:?}");
    assert_eq!(broker.process.finish().code, Some(0));
}

#[test]
fn drain_needs_one_broker_that_is_there_and_lets_us() {
    let directory = tempfile::tempdir().unwrap();
    let rules = directory.path().join("rules.toml");
    std::fs::write(&rules, "[[rule]]\nwho = [\"*\"]\ncall = [\"*\"]\n").unwrap();
    let broker = Broker::start(&["--access", rules.to_str().unwrap()]);
    let refused = drained(&broker, &[]);
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(refused.stderr.contains("403"), "{refused:?}");
    let both = drained(&broker, &["--connect", "tcp://127.0.0.1:1"]);
    assert_eq!(both.code, Some(2), "{both:?}");
    broker.process.signal("TERM");
    let Broker {
        process, endpoint, ..
    } = broker;
    assert_eq!(process.finish().code, Some(0));
    let nobody = Process::start(scale0().args(["drain", "--connect", &endpoint])).finish();
    assert_eq!(nobody.code, Some(1), "{nobody:?}");
    assert!(nobody.stderr.contains(&endpoint), "{nobody:?}");
}

#[test]
fn other_brokers_have_to_be_such_that_one_can_connect_to_them() {
    for wrong in ["tcp://*:5555", "tcp://127.0.0.1:0", "tcp://127.0.0.1:5555"] {
        for by_file in [false, true] {
            let directory = tempfile::tempdir().unwrap();
            let file = directory.path().join("scale0.toml");
            let mut check = scale0();
            check.args(["broker", "--check"]);
            if by_file {
                std::fs::write(&file, format!("failover = \"{wrong}\"")).unwrap();
                check.args(["--config", file.to_str().unwrap()]);
            } else {
                check.args(["--failover", wrong]);
            }
            let checked = Process::start(&mut check).finish();
            assert_eq!(checked.code, Some(2), "{checked:?}");
            assert!(checked.stderr.contains("failover"), "{checked:?}");
        }
    }
}

#[test]
fn a_one_way_call_ends_when_the_broker_has_the_task() {
    let directory = tempfile::tempdir().unwrap();
    let gate = directory.path().join("gate");
    let broker = Broker::start(&[]);
    let _worker = gated(&broker, &gate);
    broker.await_workers(1);
    for _ in 0..2 {
        let call = Process::start(broker.scale0("call").args(["--oneway", "wait", "x"])).finish();
        assert_eq!((call.code, &*call.stdout), (Some(0), ""), "{call:?}");
    }
    assert_eq!(broker.info()["info"]["open"], 2, "its client has gone");
    std::fs::write(gate, "").unwrap();
    until(&broker, "open", 0);
    let info = broker.info();
    let counters = &info["info"]["counters"];
    assert_eq!(
        (&counters["receipts"], &counters["oneway_done"]),
        (&2.into(), &2.into())
    );
    assert_eq!(counters["orphaned"], 0);

    let brief = Broker::with(&["--bind", "tcp://127.0.0.1:0", "--wait-for-worker", "10ms"]);
    let nobody = Process::start(brief.scale0("call").args(["--oneway", "nobody"])).finish();
    assert_eq!(nobody.code, Some(4), "{nobody:?}");
    let majordomo = ["--oneway", "--dialect", "mdp01", "nobody"];
    let majordomo = Process::start(brief.scale0("call").args(majordomo)).finish();
    assert_eq!(majordomo.code, Some(2), "{majordomo:?}");
}

#[tokio::test]
async fn a_quiet_task_is_done_without_a_word() {
    let broker = Broker::start(&[]);
    let _worker = echo(&[&broker.endpoint], &[]);
    broker.await_workers(1);
    let client = Client::connect(&broker.endpoint).unwrap();
    for _ in 0..3 {
        soon(client.request("echo").quiet()).await.unwrap();
    }
    soon(client.oneway("echo", "x")).await.unwrap();
    drop(client);
    let counters = tokio::task::spawn_blocking(move || {
        let done = || {
            let info = broker.info();
            let counters = info["info"]["counters"].clone();
            (counters["oneway_done"] == 4).then_some(counters)
        };
        poll(done)
    });
    let counters = counters.await.unwrap().unwrap();
    assert_eq!(
        (&counters["receipts"], &counters["replies"]),
        (&1.into(), &0.into())
    );
}

/// A client to which an answer of this length is on its way, so long that no buffer of the system
/// holds it, and a broker that is told to drain. The client has not begun to read.
fn answered(arguments: &[&str]) -> (Broker, Raw) {
    let broker = Broker::start(arguments);
    let worker = echo(&[&broker.endpoint], &[]);
    broker.await_workers(1);
    let address = broker.endpoint.trim_start_matches("tcp://");
    let mut client = Raw::open(address.parse().unwrap()).unwrap();
    let task = raw::task("echo", 1, 0);
    client.send(&[&task, &vec![b'x'; ANSWER]]).unwrap();
    let replied = || (broker.info()["info"]["counters"]["replies"] == 1).then_some(());
    assert!(poll(replied).is_some());
    drop(worker);
    broker.process.signal("TERM");
    broker.process.stderr_line("draining");
    (broker, client)
}

#[test]
fn an_answer_that_is_read_slowly_arrives_whole_although_the_broker_drains() {
    let (mut broker, mut client) = answered(&["--drain-timeout", "50s"]);
    // Several seconds for all of it, and each time all that is there would be too quick.
    let mut seen = 0;
    while seen < ANSWER {
        seen += client.take(STEP.min(ANSWER - seen)).unwrap().len();
        std::thread::sleep(Duration::from_millis(20));
    }
    let read = Instant::now();
    assert!(client.is_closed(Duration::from_secs(20)));
    assert_eq!(broker.process.end().code, Some(0));
    assert!(read.elapsed() < Duration::from_secs(20), "it ends then");
}

#[test]
fn a_drain_does_not_wait_for_who_reads_nothing() {
    for arguments in [
        // Its time is up, or the client has stalled.
        ["--drain-timeout", "2s", "--stall-timeout", "1h"],
        ["--drain-timeout", "1h", "--stall-timeout", "2s"],
    ] {
        let (mut broker, _client) = answered(&arguments);
        assert_eq!(broker.process.end().code, Some(0));
    }
}

const ANSWER: usize = 15 << 20;
const STEP: usize = 64 << 10;
