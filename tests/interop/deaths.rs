//! Workers that die, freeze or are busy for long, and a broker that comes back.

use serde_json::json;

use crate::peers::Python;
use crate::process::{Broker, Process, poll};
use crate::{Client, DIALECTS, worker};

#[test]
fn an_idempotent_task_survives_the_death_of_its_worker() {
    let Some(python) = Python::find() else {
        return;
    };
    let broker = Broker::start(&[]);
    let mut client = Client::start(&python, &broker.endpoint, "s0", &[]);
    // To Majordomo workers all tasks are idempotent (RFC 7); S0 tasks say so themselves.
    for (dialect, idempotent) in [("s0", true), ("mdp01", false), ("mdp02", false)] {
        let mut doomed = worker(&python, &broker.endpoint, dialect, dialect, &["--gate"]);
        client.say(json!({"id": 1, "service": dialect, "body": ["x"], "idempotent": idempotent}));
        doomed.line();
        let mut heir = worker(&python, &broker.endpoint, "s0", dialect, &[]);
        doomed.signal("KILL");
        assert_eq!(heir.line(), "task 2", "{dialect}");
        let reply = client.reply();
        assert_eq!(reply["code"], 200, "{dialect}: {reply}");
        assert_eq!(reply["body"], json!(["x"]), "{dialect}: {reply}");
    }
}

#[test]
fn any_other_task_of_a_worker_that_dies_is_answered_with_502() {
    let Some(python) = Python::find() else {
        return;
    };
    let broker = Broker::start(&[]);
    let mut doomed = worker(&python, &broker.endpoint, "s0", "echo", &["--gate"]);
    let mut client = Client::start(&python, &broker.endpoint, "s0", &[]);
    client.ask(1, "echo", &["x"]);
    assert_eq!(doomed.line(), "task 1");
    let _idle = worker(&python, &broker.endpoint, "s0", "echo", &[]);
    broker.await_workers(2);
    doomed.signal("KILL");
    let reply = client.reply();
    assert_eq!(
        (&reply["code"], &reply["error"]),
        (&json!(502), &json!(true)),
        "{reply}"
    );
    assert_eq!(client.call("echo", &["y"]), json!(["y"]));
}

#[test]
fn a_frozen_worker_is_found_out_while_it_is_busy() {
    let Some(python) = Python::find() else {
        return;
    };
    let broker = Broker::start(&[]);
    let mut client = Client::start(&python, &broker.endpoint, "s0", &[]);
    let frozen = ["s0", "mdp01"].map(|dialect| {
        let mut frozen = worker(&python, &broker.endpoint, dialect, dialect, &["--gate"]);
        client.say(json!({"id": 1, "service": dialect, "body": [dialect], "idempotent": true}));
        frozen.line();
        // Its connection stays open; only ZMTP PING tells that nobody is there.
        frozen.signal("STOP");
        let mut heir = worker(&python, &broker.endpoint, "s0", dialect, &[]);
        assert_eq!(heir.line(), "task 2", "{dialect}");
        assert_eq!(client.reply()["body"], json!([dialect]));
        frozen
    });
    drop(frozen);
}

#[test]
fn a_busy_worker_that_cannot_beat_is_left_alone() {
    let Some(python) = Python::find() else {
        return;
    };
    // Silent and idle is dead after 1.4 s.
    let broker = Broker::start(&["--mdp-promise", "300ms", "--mdp-heartbeat", "200ms"]);
    let beat = ["--gate", "--beat", "100"];
    let mut client = Client::start(&python, &broker.endpoint, "mdp01", &["--req"]);
    let mut busy = worker(&python, &broker.endpoint, "mdp01", "long", &beat);
    client.ask(1, "long", &["x"]);
    busy.line();
    // One that is idle as long as the other is busy shows that the time is over.
    let idle = worker(&python, &broker.endpoint, "mdp01", "idle", &beat);
    broker.await_workers(2);
    idle.signal("STOP");
    broker.await_workers(1);
    assert_eq!(broker.info()["workers"][0]["state"], "busy");
    busy.say("");
    assert_eq!(client.reply()["body"], json!(["x"]));
    // It is as good as before.
    client.ask(2, "long", &["y"]);
    busy.line();
    busy.say("");
    assert_eq!(client.reply()["body"], json!(["y"]));
    assert_eq!(broker.info()["info"]["counters"]["retried"], 0);
}

#[test]
fn workers_and_clients_outlive_the_broker() {
    let Some(python) = Python::find() else {
        return;
    };
    // An address of its own, so that nobody takes the port while it is free.
    let mut broker = Broker::with(&["--bind", "tcp://127.0.0.2:0"]);
    let endpoint = broker.endpoint.clone();
    let mut workers = DIALECTS.map(|dialect| worker(&python, &endpoint, dialect, dialect, &[]));
    let mut clients = [
        ("s0", &[] as &[&str]),
        ("mdp01", &[]),
        ("mdp02", &[]),
        ("s0", &["--req"]),
    ]
    .map(|(dialect, options)| Client::start(&python, &endpoint, dialect, options));
    let mut sdk = broker.scale0("worker");
    sdk.args(["--service", "sdk", "--echo"]);
    let _sdk = Process::start(&mut sdk);
    broker.await_workers(6);
    let mut all = |round: &str| {
        for client in &mut clients {
            for service in DIALECTS.iter().chain(&["sdk"]) {
                assert_eq!(client.call(service, &[round]), json!([round]), "{service}");
            }
        }
    };
    all("before");
    broker.process.signal("KILL");
    assert_eq!(broker.process.finish().code, None);
    let patient = ["--wait-for-worker", "50s", "--default-ttl", "50s"];
    broker = Broker::with(&[&["--bind", &endpoint], &patient as &[&str]].concat());
    all("after");
    for worker in &mut workers {
        let lines = poll(|| (worker.line() == "again").then_some(()));
        assert!(lines.is_some());
    }
    drop(broker);
}
