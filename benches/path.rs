//! The whole path, over real sockets: `cargo bench --bench path`.
//!
//! One load generator (clients and echo workers in this process) against scale0's broker in its
//! own process, in S0/1 and in MDP/0.1; and, in the same run and by the same generator, against
//! peers that pip installs into `target/peers`: libzmq's `zmq_proxy` (which knows no services, no
//! liveness and no answers, and only forwards) and majortomo's broker (MDP/0.2, in Python). Last
//! `scale0 call --count` against `scale0 worker --echo`, as a user would measure.
//!
//! The broker has one processor to itself where there are two; what counts is its CPU time per
//! task, which other load on the machine disturbs least.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr
)]

mod support;

use std::cell::RefCell;
use std::process::Command;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use scale0::net::{Clock, Link};
use scale0::protocol::Id;
use scale0::protocol::scale0::{Header, command};
use scale0::session::{self, Heard};
use scale0::time::Time;
use scale0::wire::{Endpoint, Message, Piece, SocketType};
use tokio::task::LocalSet;

use support::{Broker, Tongue, cpu, peers, pin};

/// A load: how many of whom.
#[derive(Clone, Copy, Debug)]
struct Load {
    name: &'static str,
    clients: usize,
    window: usize,
    workers: usize,
    capacity: u16,
    size: usize,
}

const LOADS: [Load; 4] = [
    Load {
        name: "1 outstanding, 64 B",
        clients: 1,
        window: 1,
        workers: 16,
        capacity: 1,
        size: 64,
    },
    Load {
        name: "64 outstanding, 64 workers, 64 B",
        clients: 1,
        window: 64,
        workers: 64,
        capacity: 1,
        size: 64,
    },
    Load {
        name: "512 outstanding, 64 workers of capacity 8, 64 B",
        clients: 4,
        window: 128,
        workers: 64,
        capacity: 8,
        size: 64,
    },
    Load {
        name: "16 outstanding, 64 KiB",
        clients: 1,
        window: 16,
        workers: 16,
        capacity: 1,
        size: 65_536,
    },
];
const WARM: Duration = Duration::from_millis(500);
const RUN: Duration = Duration::from_millis(1500);
const REPEATS: usize = 3;

fn main() {
    let mut brokers = vec![
        Broker::scale0(Tongue::Scale0),
        Broker::scale0(Tongue::Mdp01),
    ];
    match peers() {
        Some(python) => brokers.extend([Broker::proxy(&python), Broker::majortomo(&python)]),
        None => eprintln!("no Python peers: they are left out"),
    }
    pin(0, &[1]);
    for broker in &brokers {
        pin(broker.process.id(), &[0]);
    }
    println!("| load | broker | tasks/s | broker CPU µs/task | p50 µs | p99 µs |");
    println!("|---|---|---|---|---|---|");
    for load in LOADS {
        // Interleaved: a slow minute of the machine hits all of them.
        let mut runs = vec![Vec::new(); brokers.len()];
        for _ in 0..REPEATS {
            for (broker, runs) in brokers.iter().zip(&mut runs) {
                if load.capacity == 1 || matches!(broker.tongue, Tongue::Scale0 | Tongue::Bare) {
                    runs.push(measure(broker, load));
                }
            }
        }
        for (broker, runs) in brokers.iter().zip(&runs) {
            if let Some(run) = median(runs) {
                println!(
                    "| {} | {} | {:.0} | {:.2} | {} | {} |",
                    load.name, broker.name, run.rate, run.cpu, run.p50, run.p99
                );
            }
        }
    }
    println!("\n{}", by_command(&brokers[0]));
}

#[derive(Clone, Copy, Debug)]
struct Run {
    rate: f64,
    cpu: f64,
    p50: u128,
    p99: u128,
}

fn median(runs: &[Run]) -> Option<Run> {
    let mut runs = runs.to_vec();
    runs.sort_by(|a, b| a.cpu.total_cmp(&b.cpu));
    runs.get(runs.len() / 2).copied()
}

#[derive(Debug, Default)]
struct Tally {
    measuring: bool,
    done: u64,
    latencies: Vec<Duration>,
}

fn measure(broker: &Broker, load: Load) -> Run {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(LocalSet::new().run_until(generate(broker, load)))
}

async fn generate(broker: &Broker, load: Load) -> Run {
    let clock = Clock::start();
    let tally = Rc::new(RefCell::new(Tally::default()));
    let stop = tokio_util::sync::CancellationToken::new();
    let mut all = Vec::new();
    for _ in 0..load.workers {
        let link = open(&broker.workers, clock).await;
        all.push(tokio::task::spawn_local(work(
            link,
            broker.tongue,
            load.capacity,
            stop.clone(),
        )));
    }
    tokio::time::sleep(Duration::from_millis(100)).await;
    for _ in 0..load.clients {
        let link = open(&broker.clients, clock).await;
        all.push(tokio::task::spawn_local(ask(
            link,
            broker.tongue,
            load,
            clock,
            Rc::clone(&tally),
            stop.clone(),
        )));
    }
    tokio::time::sleep(WARM).await;
    let (began, before) = (clock.now(), cpu(broker.process.id()));
    tally.borrow_mut().measuring = true;
    tokio::time::sleep(RUN).await;
    let (took, used) = (clock.now().since(began), cpu(broker.process.id()) - before);
    tally.borrow_mut().measuring = false;
    stop.cancel();
    for task in all {
        task.await.unwrap();
    }
    let tally = &mut *tally.borrow_mut();
    tally.latencies.sort_unstable();
    let percentile = |percent: usize| {
        tally
            .latencies
            .get(tally.latencies.len() * percent / 100)
            .map_or(0, Duration::as_micros)
    };
    Run {
        rate: tally.done as f64 / took.as_secs_f64(),
        cpu: used.as_secs_f64() * 1e6 / (tally.done as f64).max(1.0),
        p50: percentile(50),
        p99: percentile(99),
    }
}

async fn open(endpoint: &Endpoint, clock: Clock) -> Link {
    let config = Arc::new(session::Config::new(SocketType::Dealer));
    loop {
        match Link::open(endpoint, Arc::clone(&config), clock).await {
            Ok(link) => return link,
            // A broker that has only just been started.
            Err(error) if clock.now() > Time::from_millis(5000) => panic!("{endpoint}: {error}"),
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
}

async fn ask(
    mut link: Link,
    tongue: Tongue,
    load: Load,
    clock: Clock,
    tally: Rc<RefCell<Tally>>,
    stop: tokio_util::sync::CancellationToken,
) {
    let body = vec![7; load.size];
    let mut began = vec![Time::ZERO; load.window];
    for (place, began) in began.iter_mut().enumerate() {
        *began = clock.now();
        send_task(&mut link, tongue, place, &body);
    }
    let mut turn = 0;
    loop {
        link.push().unwrap();
        let mut next = tokio::select! {
            heard = link.heard(usize::MAX) => heard.unwrap(),
            () = stop.cancelled() => return,
        };
        while let Some(heard) = next {
            if let Heard::Message(message) = heard {
                // Only S0 says which task it answers; elsewhere they are taken in turn.
                let place = match tongue {
                    Tongue::Scale0 => usize::from(message.first().unwrap()[19]),
                    _ => turn % load.window,
                };
                turn += 1;
                let now = clock.now();
                let mut tally = tally.borrow_mut();
                if tally.measuring {
                    tally.done += 1;
                    tally.latencies.push(now.since(began[place]));
                }
                began[place] = now;
                send_task(&mut link, tongue, place, &body);
            }
            next = link.heard_already().unwrap();
        }
    }
}

fn send_task(link: &mut Link, tongue: Tongue, place: usize, body: &[u8]) {
    let number = u8::try_from(place).unwrap();
    let header = Header {
        id: Id([1, 0, 0, 0, 0, 0, 0, number]),
        ms: 30_000,
        name: b"echo",
        ..Header::of(command::TASK)
    }
    .frame();
    let body = Piece::Part(body);
    match tongue {
        Tongue::Scale0 => link.send(&[Piece::Part(&header), body]),
        Tongue::Mdp01 => link.send(&[
            Piece::Part(b""),
            Piece::Part(b"MDPC01"),
            Piece::Part(b"echo"),
            body,
        ]),
        Tongue::Majortomo => link.send(&[
            Piece::Part(b""),
            Piece::Part(b"MDPC02"),
            Piece::Part(b"\x02"),
            Piece::Part(b"echo"),
            body,
        ]),
        Tongue::Bare => link.send(&[Piece::Part(b""), body]),
    }
    .unwrap();
}

/// An echo worker. Bare forwarding needs no words at all.
async fn work(
    mut link: Link,
    tongue: Tongue,
    capacity: u16,
    stop: tokio_util::sync::CancellationToken,
) {
    let hello = Header {
        code: capacity,
        ms: 60_000,
        ..Header::of(command::CONNECT)
    }
    .frame();
    let bye = Header::of(command::BYE).frame();
    let majordomo = |name, command, rest: &[Piece<'static>]| {
        let mut pieces = vec![Piece::Part(b""), Piece::Part(name), Piece::Part(command)];
        pieces.extend_from_slice(rest);
        pieces
    };
    match tongue {
        Tongue::Scale0 => link.send(&[Piece::Part(&hello), Piece::Part(b"echo")]),
        Tongue::Mdp01 => link.send(&majordomo(b"MDPW01", b"\x01", &[Piece::Part(b"echo")])),
        Tongue::Majortomo => link.send(&majordomo(b"MDPW02", b"\x01", &[Piece::Part(b"echo")])),
        Tongue::Bare => Ok(()),
    }
    .unwrap();
    loop {
        link.push().unwrap();
        let mut next = tokio::select! {
            heard = link.heard(usize::MAX) => heard.unwrap(),
            () = stop.cancelled() => break,
        };
        while let Some(heard) = next {
            if let Heard::Message(message) = heard {
                echo(&mut link, tongue, message);
            }
            next = link.heard_already().unwrap();
        }
    }
    match tongue {
        Tongue::Scale0 => link.send(&[Piece::Part(&bye)]),
        Tongue::Mdp01 => link.send(&majordomo(b"MDPW01", b"\x05", &[])),
        Tongue::Majortomo => link.send(&majordomo(b"MDPW02", b"\x06", &[])),
        Tongue::Bare => Ok(()),
    }
    .unwrap();
    link.flush().await.unwrap();
}

fn echo(link: &mut Link, tongue: Tongue, mut message: Message) {
    let parts: Vec<&[u8]> = message.parts().collect();
    let sent = match (tongue, &parts[..]) {
        (Tongue::Scale0, [header, ..]) if header[3] == command::TASK => {
            let id = Id(header[12..20].try_into().unwrap());
            let reply = Header {
                code: 200,
                id,
                ..Header::of(command::REPLY)
            }
            .frame();
            message.skip(1);
            link.send(&[Piece::Part(&reply), Piece::Parts(&message)])
        }
        (Tongue::Mdp01, [_, _, b"\x02", ..]) => {
            message.skip(3);
            link.send(&[
                Piece::Part(b""),
                Piece::Part(b"MDPW01"),
                Piece::Part(b"\x03"),
                Piece::Parts(&message),
            ])
        }
        (Tongue::Majortomo, [_, _, b"\x02", ..]) => {
            message.skip(3);
            link.send(&[
                Piece::Part(b""),
                Piece::Part(b"MDPW02"),
                Piece::Part(b"\x04"),
                Piece::Parts(&message),
            ])
        }
        (Tongue::Bare, _) => link.send(&[Piece::Parts(&message)]),
        // Heartbeats and settings.
        _ => Ok(()),
    };
    sent.unwrap();
}

/// What a user would type, against the first broker.
fn by_command(broker: &Broker) -> String {
    let endpoint = broker.clients.to_string();
    let scale0 = env!("CARGO_BIN_EXE_scale0");
    // As on any machine: everybody runs where there is room.
    pin(0, &[0, 1]);
    pin(broker.process.id(), &[0, 1]);
    let mut worker = Command::new(scale0)
        .args([
            "worker",
            "--connect",
            &endpoint,
            "--service",
            "bench",
            "--echo",
            "--capacity",
            "128",
            "--log",
            "off",
        ])
        .spawn()
        .unwrap();
    let call = |count: &str, concurrency: &str| {
        let call = Command::new(scale0)
            .args([
                "call",
                "--connect",
                &endpoint,
                "bench",
                "hello",
                "--count",
                count,
                "--concurrency",
                concurrency,
            ])
            .output()
            .unwrap();
        assert!(
            call.status.success(),
            "{}",
            String::from_utf8_lossy(&call.stderr)
        );
        String::from_utf8_lossy(&call.stdout).into_owned()
    };
    // Until the worker is there, calls wait for it.
    call("100", "1");
    let before = cpu(broker.process.id());
    let told = call("200000", "128");
    let used = cpu(broker.process.id()) - before;
    let _ = worker.kill();
    let _ = worker.wait();
    let each = used.as_secs_f64() * 1e6 / 200_000.0;
    format!(
        "`scale0 call bench hello --count 200000 --concurrency 128`, one `scale0 worker --echo --capacity 128`:\n{told}broker CPU {each:.2} µs per task"
    )
}
