//! Peers that do not read what they have asked for, and peers that take their time.

use std::time::{Duration, Instant};

use scale0::Client;

use crate::peers::Python;
use crate::process::Process;
use crate::raw::{self, Raw, S0};
use crate::scene::{Scene, number};
use crate::staff::{Gated, call_on, soon};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_of_libzmq_that_never_reads_is_cut_by_bytes_or_by_time_and_nobody_else_notices() {
    let Some(python) = Python::find() else {
        return;
    };
    for (flags, reason, bound) in [
        (
            ["--max-outbox", "4MiB", "--stall-timeout", "60s"],
            "bytes wait for the peer",
            // What one turn brings may stand beyond it.
            16 << 10,
        ),
        (
            ["--max-outbox", "1GiB", "--stall-timeout", "1s"],
            "the peer does not read",
            // All that it asked for: only time is against it.
            48 << 10,
        ),
    ] {
        let scene = Scene::on(&[&flags[..], &["--wait-for-worker", "50s"]].concat());
        let echo = Gated::new(scene.endpoint(), "echo", 16);
        echo.open();
        let client = Client::connect(scene.endpoint()).unwrap();
        scene.staffed(1);
        let arguments = [scene.endpoint(), "echo", "600"];
        let deaf = python.start("deaf.py", &arguments);
        let most = std::cell::Cell::new(0);
        let is_cut = || {
            let info = scene.info();
            most.set(most.get().max(number(&info["buffered_bytes"])));
            number(&info["counters"]["connections_cut"]) > 0
        };
        let took = soon(call_on(&client, "echo", is_cut)).await;
        let line = scene.broker.process.stderr_line(reason);
        assert!(line.contains("connection cut"), "{line}");
        let most = most.get() >> 10;
        println!("{} calls meanwhile, {most} KiB waited at most", took.len());
        assert!(most < bound, "{most} KiB");
        drop(deaf);
        assert!(
            took.iter().max() < Some(&Duration::from_secs(2)),
            "{took:?}"
        );
        drop((echo, client));
        scene.over(64);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_reads_slowly_gets_everything_and_slows_nobody() {
    let flags = ["--stall-timeout", "3s", "--wait-for-worker", "50s"];
    let scene = Scene::on(&flags);
    let echo = Gated::new(scene.endpoint(), "echo", 16);
    echo.open();
    let client = Client::connect(scene.endpoint()).unwrap();
    scene.staffed(1);
    let address = scene.address();
    // Far more than the system holds for it.
    let total = 200_u64;
    let slow = std::thread::spawn(move || {
        let mut raw = Raw::open(address).unwrap();
        let body = vec![3; 64 << 10];
        for id in 1..=total {
            raw.send(&[&raw::task("echo", id, 60_000), &body]).unwrap();
        }
        for n in 1..=total {
            let parts = raw
                .recv(Duration::from_secs(20))
                .unwrap_or_else(|error| panic!("{n}: {error}"));
            assert_eq!(
                (S0::read(&parts[0]).code, parts[1].len()),
                (200, body.len())
            );
            // Half a stall's time now and then, and little each time.
            let pause = if n % 50 == 0 { 1500 } else { 10 };
            std::thread::sleep(Duration::from_millis(pause));
        }
        assert!(raw.recv(Duration::from_millis(50)).is_err(), "nothing more");
    });
    let begun = Instant::now();
    let took = call_on(&client, "echo", || slow.is_finished()).await;
    slow.join().unwrap();
    println!("{} calls in {:?}", took.len(), begun.elapsed());
    assert!(
        took.iter().max() < Some(&Duration::from_secs(2)),
        "{took:?}"
    );
    assert_eq!(scene.count("connections_cut"), 0);
    drop((echo, client));
    scene.over(64);
}

#[test]
fn a_client_that_takes_little_at_a_time_is_not_cut_although_its_system_holds_much_for_it() {
    let scene = Scene::on(&["--stall-timeout", "2s", "--wait-for-worker", "50s"]);
    let mut echo = scene.broker.scale0("worker");
    echo.args(["--service", "echo", "--echo", "--capacity", "16"]);
    let echo = Process::start(&mut echo);
    scene.staffed(1);
    let mut raw = Raw::open(scene.address()).unwrap();
    let body = vec![5; 64 << 10];
    for id in 1..=300 {
        raw.send(&[&raw::task("echo", id, 60_000), &body]).unwrap();
    }
    // In four times the stall's time a tenth of what waits.
    for n in 0..16 {
        let parts = raw.recv(Duration::from_secs(10));
        assert!(parts.is_ok(), "{n}: {parts:?}");
        std::thread::sleep(Duration::from_millis(500));
    }
    let info = scene.info();
    assert_eq!(info["counters"]["connections_cut"], 0, "{info}");
    assert!(number(&info["buffered_bytes"]) > 1 << 20, "{info}");
    drop((raw, echo));
    scene.over(64);
}
