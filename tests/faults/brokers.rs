//! A broker that is killed or frozen in the middle of everything.

use std::time::Duration;

use scale0::Client;
use scale0::sdk::CallError;

use crate::peers::Python;
use crate::scene::{Scene, number};
use crate::staff::{Gated, ask, eventually, soon};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_survive_the_death_of_the_broker_or_are_reported_as_unknown() {
    let Some(python) = Python::find() else {
        return;
    };
    // An address of its own, so that nobody takes the port while it is free.
    let mut scene = Scene::at("tcp://127.0.0.3:0", &PATIENT);
    let endpoint = scene.endpoint().to_owned();
    let gated = Gated::new(&endpoint, "gated", 100);
    let theirs = python.start("worker.py", &[&endpoint, "mdp02", "theirs"]);
    scene.staffed(2);
    let client = Client::connect(&endpoint).unwrap();
    let calls: Vec<_> = (0..60)
        .map(|n| (ask(&client, "gated", n.to_string(), n % 2 == 0), n))
        .collect();
    gated.has_begun(60).await;
    scene.broker.process.signal("KILL");
    assert_eq!(scene.broker.process.end().code, None);
    let (safe, unknown): (Vec<_>, Vec<_>) = calls.into_iter().partition(|(_, n)| n % 2 == 0);
    for (call, n) in unknown {
        let error = soon(call).await.unwrap().unwrap_err();
        assert!(matches!(error, CallError::Unknown), "{n}: {error}");
        assert!(!error.is_safe_to_repeat());
    }
    // What could not be sent waits: there is nothing unknown about it.
    let late = ask(&client, "theirs", "late", false);
    let scene = Scene::at(&endpoint, &PATIENT);
    scene.staffed(2);
    gated.open();
    for (call, n) in safe {
        assert_eq!(soon(call).await.unwrap().unwrap().text(), n.to_string());
    }
    assert_eq!(soon(late).await.unwrap().unwrap().text(), "late");
    assert_eq!(gated.begun(), 90, "thirty were sent again, thirty were not");
    let counters = &scene.info()["counters"];
    assert_eq!(
        (number(&counters["tasks"]), number(&counters["replies"])),
        (31, 31)
    );
    drop((gated, theirs, client));
    scene.over(16);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_dies_again_and_again_delays_calls_and_repeats_none_that_must_not_be() {
    let endpoint = {
        let scene = Scene::at("tcp://127.0.0.4:0", &PATIENT);
        scene.endpoint().to_owned()
    };
    let client = Client::connect(&endpoint).unwrap();
    let gated = Gated::new(&endpoint, "gated", 100);
    let (mut good, mut unknown) = (0, 0);
    for life in 0..5 {
        let scene = Scene::at(&endpoint, &PATIENT);
        scene.staffed(1);
        let calls: Vec<_> = (0..200)
            .map(|n| {
                let text = format!("{life}.{n}");
                (ask(&client, "gated", text, n % 2 == 0), n)
            })
            .collect();
        gated.let_go(30);
        scene.until("some are done", |all| {
            number(&all["info"]["counters"]["replies"]) >= 30
        });
        drop(scene);
        let scene = Scene::at(&endpoint, &PATIENT);
        gated.open();
        for (call, n) in calls {
            match soon(call).await.unwrap() {
                Ok(reply) => {
                    assert_eq!(reply.text(), format!("{life}.{n}"));
                    good += 1;
                }
                Err(CallError::Unknown) if n % 2 == 1 => unknown += 1,
                Err(error) => panic!("{n} in life {life}: {error}"),
            }
        }
        gated.close();
        drop(scene);
    }
    println!("{good} good, {unknown} unknown, {} begun", gated.begun());
    assert_eq!(good + unknown, 1000);
    let odd = |text: &str| text.ends_with(['1', '3', '5', '7', '9']);
    assert_eq!(gated.most_often(odd), 1);
    assert!(unknown >= 5 * 50, "half of what was with the worker");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_was_frozen_for_longer_than_its_workers_promise_first_hears_them() {
    let Some(python) = Python::find() else {
        return;
    };
    let scene = Scene::on(&PATIENT);
    let endpoint = scene.endpoint();
    // Two seconds of silence are too much for these, five for none of their patience with others.
    let mut busy = python.start("worker.py", &[endpoint, "s0", "busy", "--gate"]);
    let idle = ["s0", "mdp01", "mdp02", "zproto"]
        .map(|dialect| python.start("worker.py", &[endpoint, dialect, dialect, "--beat", "500"]));
    let ours = Gated::new(endpoint, "ours", 4);
    ours.open();
    let client = Client::connect(endpoint).unwrap();
    scene.staffed(6);
    let call = ask(&client, "busy", "x", false);
    assert_eq!(busy.line(), "task 1");
    scene.broker.process.signal("STOP");
    let meanwhile = ["s0", "mdp01", "mdp02", "zproto", "ours"]
        .map(|service| (ask(&client, service, service, false), service));
    tokio::time::sleep(Duration::from_secs(5)).await;
    scene.broker.process.signal("CONT");
    busy.say("");
    assert_eq!(soon(call).await.unwrap().unwrap().text(), "x");
    for (call, service) in meanwhile {
        assert_eq!(soon(call).await.unwrap().unwrap().text(), service);
    }
    let counters = &scene.info()["counters"];
    assert_eq!(number(&counters["workers_left"]), 0, "{counters}");
    assert_eq!(number(&counters["connections_cut"]), 0, "{counters}");
    drop((busy, idle, ours, client));
    scene.over(16);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_broker_that_stays_frozen_calls_are_unknown_in_time_and_safe_ones_wait() {
    let scene = Scene::on(&PATIENT);
    let gated = Gated::new(scene.endpoint(), "gated", 10);
    let client = Client::connect(scene.endpoint()).unwrap();
    let (safe, other) = (
        ask(&client, "gated", "safe", true),
        ask(&client, "gated", "other", false),
    );
    gated.has_begun(2).await;
    scene.broker.process.signal("STOP");
    let begun = std::time::Instant::now();
    let error = soon(other).await.unwrap().unwrap_err();
    assert!(matches!(error, CallError::Unknown), "{error}");
    assert!(
        begun.elapsed() < Duration::from_secs(12),
        "{:?}",
        begun.elapsed()
    );
    gated.open();
    scene.broker.process.signal("CONT");
    assert_eq!(soon(safe).await.unwrap().unwrap().text(), "safe");
    // What both connections asked for has come to its end there, too.
    eventually("nothing under way", || scene.info()["open"] == 0).await;
    let info = scene.info();
    let counters = &info["counters"];
    assert_eq!(number(&counters["tasks"]), 3, "{info}");
    drop((gated, client));
    scene.over(16);
}

const PATIENT: [&str; 4] = ["--wait-for-worker", "50s", "--default-ttl", "50s"];
