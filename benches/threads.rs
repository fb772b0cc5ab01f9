//! What threads cost: `cargo bench --bench threads`.
//!
//! Eight services, a worker and a client for each, 32 tasks outstanding each; the broker has 1, 2
//! or 4 threads. CPU time per task says what the threads cost; how much more they do at once needs
//! more processors than a small machine has. Beside the common case, in which a connection has to
//! do with one service, there is the worst: every client asks for all services, and every worker
//! offers all.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    clippy::disallowed_methods
)]

#[allow(dead_code, reason = "each benchmark needs a part of it")]
mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use scale0::sdk::Dialect;
use scale0::{Client, Task, Worker};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use support::Broker;

const SERVICES: usize = 8;
const OUTSTANDING: usize = 32;
const WARM: Duration = Duration::from_millis(500);
const RUN: Duration = Duration::from_millis(2000);
const REPEATS: usize = 3;

/// Who has to do with what.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Load {
    OneEach(Dialect),
    AllOfAll,
}

const LOADS: [(&str, Load); 3] = [
    ("S0/1, one service each", Load::OneEach(Dialect::Scale0)),
    ("MDP/0.1, one service each", Load::OneEach(Dialect::Mdp01)),
    ("S0/1, all services each", Load::AllOfAll),
];

fn main() {
    println!("| load | threads | tasks/s | broker CPU µs/task | of one thread |");
    println!("|---|---|---|---|---|");
    for (name, load) in LOADS {
        let mut alone = None;
        for threads in [1, 2, 4] {
            let broker = Broker::start_with(&["--threads", &threads.to_string()]);
            let mut runs: Vec<(f64, f64)> = (0..REPEATS).map(|_| measure(&broker, load)).collect();
            runs.sort_by(|a, b| a.1.total_cmp(&b.1));
            let (rate, cost) = runs[REPEATS / 2];
            let base = *alone.get_or_insert(cost);
            println!(
                "| {name} | {threads} | {rate:.0} | {cost:.2} | {:.2} |",
                cost / base
            );
        }
    }
}

/// Tasks per second, and microseconds of the broker's processors for each.
fn measure(broker: &Broker, load: Load) -> (f64, f64) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let stop = CancellationToken::new();
        let done = Arc::new(AtomicU64::new(0));
        let mut all = JoinSet::new();
        let dialect = match load {
            Load::OneEach(dialect) => dialect,
            Load::AllOfAll => Dialect::Scale0,
        };
        for n in 0..SERVICES {
            let mut worker = Worker::builder(&broker.endpoint.to_string())
                .unwrap()
                .dialect(dialect);
            if dialect == Dialect::Scale0 {
                worker = worker.capacity(32);
            }
            let client = Client::builder(&broker.endpoint.to_string()).unwrap();
            let client = client.dialect(dialect).build().unwrap();
            for k in 0..SERVICES {
                if k == n || load == Load::AllOfAll {
                    let echo = async |task: Task| Ok(task.into_body());
                    worker = worker.service(&service(k), echo);
                }
            }
            let worker = worker.build().unwrap();
            let stopped = stop.clone().cancelled_owned();
            all.spawn(async move { drop(worker.run(stopped).await) });
            for k in 0..OUTSTANDING {
                let name = match load {
                    Load::AllOfAll => service(k % SERVICES),
                    Load::OneEach(_) => service(n),
                };
                let (client, done, stop) = (client.clone(), Arc::clone(&done), stop.clone());
                all.spawn(async move {
                    let asking = async {
                        loop {
                            if client.call(&name, "sixteen bytes...").await.is_ok() {
                                done.fetch_add(1, Ordering::Relaxed);
                            }
                        }
                    };
                    stop.run_until_cancelled(asking).await;
                });
            }
        }
        tokio::time::sleep(WARM).await;
        let pid = broker.process.id();
        let (before, used, began) = (done.load(Ordering::Relaxed), cpu(pid), Instant::now());
        tokio::time::sleep(RUN).await;
        let tasks = (done.load(Ordering::Relaxed) - before) as f64;
        let (used, took) = (cpu(pid) - used, began.elapsed());
        stop.cancel();
        while all.join_next().await.is_some() {}
        (tasks / took.as_secs_f64(), used.as_secs_f64() * 1e6 / tasks)
    })
}

/// CPU time that a process has used, all threads together.
fn cpu(pid: u32) -> Duration {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    let nanos = tasks.filter_map(|task| {
        let text = std::fs::read_to_string(task.ok()?.path().join("schedstat")).ok()?;
        text.split(' ').next()?.parse::<u64>().ok()
    });
    Duration::from_nanos(nanos.sum())
}

fn service(n: usize) -> String {
    format!("service-{n}")
}
