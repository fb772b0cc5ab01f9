//! What a flood does to others: `cargo bench --bench turns`.
//!
//! Four workers of capacity 1 take 1 ms for a task. One client asks one thing at a time; how long
//! that takes is measured alone, and beside another client of the same service that keeps 64, 1000
//! or 10,000 tasks outstanding, and one whose tasks are large. There is no peer to compare with:
//! clients of other Majordomo brokers ask one thing at a time, and have nothing to share.
//!
//! The broker has one processor to itself where there are two.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    clippy::disallowed_methods
)]

mod support;

use std::time::{Duration, Instant};

use scale0::{Client, Task, Worker};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use support::{Broker, pin};

/// The other client: tasks that it keeps outstanding, and their size in bytes.
#[derive(Clone, Copy, Debug)]
struct Flood {
    outstanding: usize,
    size: usize,
}

const FLOODS: [Flood; 5] = [
    Flood {
        outstanding: 0,
        size: 0,
    },
    Flood {
        outstanding: 64,
        size: 64,
    },
    Flood {
        outstanding: 1000,
        size: 64,
    },
    Flood {
        outstanding: 10_000,
        size: 64,
    },
    Flood {
        outstanding: 256,
        size: 65_536,
    },
];
const WORKERS: usize = 4;
const WORK: Duration = Duration::from_millis(1);
const WARM: usize = 100;
const CALLS: usize = 1500;
/// What takes longer is not waited for.
const PATIENCE: Duration = Duration::from_secs(10);

fn main() {
    let broker = Broker::start();
    pin(0, &[1]);
    pin(broker.process.id(), &[0]);
    println!("| beside | p50 µs | p99 µs | of p99 alone |");
    println!("|---|---|---|---|");
    let mut alone = None;
    for flood in FLOODS {
        let beside = match flood.outstanding {
            0 => "nobody".to_owned(),
            many => format!("{many} tasks of {} B outstanding", flood.size),
        };
        let Some((p50, p99)) = measure(&broker, flood) else {
            println!("| {beside} | | more than {PATIENCE:?} | |");
            continue;
        };
        let base = *alone.get_or_insert(p99);
        let times = p99.as_secs_f64() / base.as_secs_f64();
        let (p50, p99) = (p50.as_micros(), p99.as_micros());
        println!("| {beside} | {p50} | {p99} | {times:.1} |");
    }
}

/// Half of the calls, and all but a hundredth, take no longer than this; none if one takes longer
/// than anybody would wait.
fn measure(broker: &Broker, flood: Flood) -> Option<(Duration, Duration)> {
    let stop = CancellationToken::new();
    // In a thread of its own: the operating system shares the processor out fairly, and what is
    // measured is the broker's doing.
    let flooding = std::thread::spawn({
        let endpoint = broker.endpoint.to_string();
        let stop = stop.clone();
        move || runtime().block_on(stop.run_until_cancelled(pour(&endpoint, flood)))
    });
    let took = runtime().block_on(ask(broker, &stop));
    stop.cancel();
    flooding.join().unwrap();
    took
}

/// Workers, and one client that asks one thing at a time.
async fn ask(broker: &Broker, stop: &CancellationToken) -> Option<(Duration, Duration)> {
    let mut workers = JoinSet::new();
    for _ in 0..WORKERS {
        let worker = Worker::builder(&broker.endpoint.to_string())
            .unwrap()
            .capacity(1)
            .service("work", async |task: Task| {
                tokio::time::sleep(WORK).await;
                Ok(task.into_body())
            });
        let worker = worker.build().unwrap();
        workers.spawn(worker.run(stop.clone().cancelled_owned()));
    }
    let client = Client::connect(&broker.endpoint.to_string()).unwrap();
    let mut took = Vec::with_capacity(CALLS);
    for call in 0..WARM + CALLS {
        let began = Instant::now();
        let answer = tokio::time::timeout(PATIENCE, client.call("work", "x")).await;
        if !matches!(answer, Ok(Ok(_))) {
            took.clear();
            break;
        }
        if call >= WARM {
            took.push(began.elapsed());
        }
    }
    drop(client);
    stop.cancel();
    while workers.join_next().await.is_some() {}
    took.sort_unstable();
    Some((
        *took.get(took.len() / 2)?,
        *took.get(took.len() * 99 / 100)?,
    ))
}

/// Keeps so many tasks outstanding, for ever. What is refused for being too much is asked again a
/// second later, as the refusal says.
async fn pour(endpoint: &str, flood: Flood) {
    let client = Client::builder(endpoint).unwrap();
    let client = client.max_outstanding(20_000).build().unwrap();
    let mut flooding = JoinSet::new();
    for _ in 0..flood.outstanding {
        let (client, body) = (client.clone(), vec![7; flood.size]);
        flooding.spawn(async move {
            loop {
                let call = client.request("work").ttl(Duration::from_secs(60));
                if call.body(body.clone()).call().await.is_err() {
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
            }
        });
    }
    while flooding.join_next().await.is_some() {}
}

fn runtime() -> tokio::runtime::Runtime {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder.enable_all().build().unwrap()
}
