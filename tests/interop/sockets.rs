//! What libzmq's sockets can be told to do, and the ways to reach a broker.

use std::net::TcpListener;

use serde_json::json;

use crate::peers::Python;
use crate::process::{Broker, poll};
use crate::{Client, worker};

#[test]
fn a_probe_is_not_mistaken_for_a_message() {
    let Some(python) = Python::find() else {
        return;
    };
    let broker = Broker::start(&[]);
    for (service, dialect) in [("a", "s0"), ("b", "mdp01")] {
        let _worker = worker(&python, &broker.endpoint, dialect, service, &["--probe"]);
        for options in [&["--probe"] as &[&str], &["--probe", "--req"]] {
            let mut client = Client::start(&python, &broker.endpoint, dialect, options);
            assert_eq!(
                client.call(service, &["x"]),
                json!(["x"]),
                "{dialect} {options:?}"
            );
        }
    }
    let counters = &broker.info()["info"]["counters"];
    assert_eq!(
        (&counters["unknown"], &counters["malformed"]),
        (&json!(0), &json!(0))
    );
}

#[test]
fn sockets_of_other_types_are_turned_away() {
    let Some(python) = Python::find() else {
        return;
    };
    let broker = Broker::start(&["--log", "debug"]);
    let _worker = worker(&python, &broker.endpoint, "s0", "echo", &[]);
    let turned_away = python.start("turned_away.py", &[&broker.endpoint]).finish();
    let kinds = ["SUB", "XSUB", "PUSH", "PULL", "PAIR", "REP", "PUB", "XPUB"];
    let expected = kinds.map(|kind| format!("{kind} turned away\n")).concat();
    assert_eq!(turned_away.stdout, expected, "{turned_away:?}");
    // libzmq turns itself away, too: that the broker does it is only to be seen here.
    for kind in kinds {
        let log = &broker.process;
        log.stderr_line(&format!("error={kind} cannot talk to ROUTER"));
    }
    let mut client = Client::start(&python, &broker.endpoint, "s0", &[]);
    assert_eq!(client.call("echo", &["x"]), json!(["x"]));
}

#[test]
fn zmtp_heartbeats_of_peers_are_answered() {
    let Some(python) = Python::find() else {
        return;
    };
    let broker = Broker::start(&[]);
    let mut idle = python.start("idle.py", &[&broker.endpoint]);
    assert_eq!(idle.line(), "connected");
    assert_eq!(
        idle.line(),
        "idle",
        "without PONGs it would have been cut after 3 s"
    );
    // Its PINGs state a TTL of 2 s: when it freezes, it is forgotten.
    let others = || broker.info()["info"]["connections"].as_u64().unwrap() - 1;
    assert_eq!(others(), 1);
    idle.signal("STOP");
    assert!(poll(|| (others() == 0).then_some(())).is_some());
}

#[test]
fn zmtp_heartbeats_disturb_no_message() {
    let Some(python) = Python::find() else {
        return;
    };
    let broker = Broker::start(&[]);
    let beat = ["--heartbeat", "100"];
    let _worker = worker(&python, &broker.endpoint, "mdp01", "echo", &beat);
    let mut client = Client::start(&python, &broker.endpoint, "s0", &beat);
    let large = "x".repeat(1 << 20);
    for id in 1..=20 {
        client.ask(id, "echo", &["head", &large, "", "tail"]);
    }
    for _ in 1..=20 {
        assert_eq!(client.reply()["body"], json!(["head", large, "", "tail"]));
    }
}

#[test]
fn peers_with_the_same_identity_live_side_by_side() {
    let Some(python) = Python::find() else {
        return;
    };
    let broker = Broker::start(&[]);
    let twin = ["--identity", "twin"];
    let workers =
        ["s0", "mdp01"].map(|dialect| worker(&python, &broker.endpoint, dialect, dialect, &twin));
    broker.await_workers(2);
    let mut clients = [
        ("s0", "s0"),
        ("s0", "mdp01"),
        ("mdp01", "s0"),
        ("mdp01", "mdp01"),
    ]
    .map(|(dialect, service)| {
        let client = Client::start(&python, &broker.endpoint, dialect, &twin);
        (client, service)
    });
    for round in 0..10 {
        for (n, (client, service)) in clients.iter_mut().enumerate() {
            client.ask(1, service, &[&format!("{round} of {n}")]);
        }
        for (n, (client, _)) in clients.iter_mut().enumerate() {
            assert_eq!(client.reply()["body"], json!([format!("{round} of {n}")]));
        }
    }
    // The end of one takes nothing from its twins.
    let [first, _second] = workers;
    drop(first);
    broker.await_workers(1);
    let [_, (last, service), ..] = &mut clients;
    assert_eq!(last.call(service, &["still"]), json!(["still"]));
}

#[test]
fn a_body_of_five_mebibytes_arrives() {
    let Some(python) = Python::find() else {
        return;
    };
    let broker = Broker::start(&[]);
    let _worker = worker(&python, &broker.endpoint, "mdp01", "echo", &[]);
    let large: String = ('a'..='z').cycle().take(5 << 20).collect();
    for dialect in ["s0", "mdp02"] {
        let mut client = Client::start(&python, &broker.endpoint, dialect, &[]);
        let body = client.call("echo", &[&large]);
        assert!(body == json!([large]), "{dialect}");
    }
}

#[test]
fn ipc_and_tcp_lead_to_the_same_broker() {
    let Some(python) = Python::find() else {
        return;
    };
    let directory = tempfile::tempdir().unwrap();
    let ipc = format!("ipc://{}/broker", directory.path().display());
    let broker = Broker::start(&["--bind", &ipc]);
    broker.process.stderr_line(&format!("bound {ipc}"));
    let _worker = worker(&python, &ipc, "mdp01", "echo", &[]);
    for endpoint in [&broker.endpoint, &ipc] {
        let mut client = Client::start(&python, endpoint, "s0", &[]);
        assert_eq!(client.call("echo", &["x"]), json!(["x"]));
    }
}

#[test]
fn ipv6_leads_to_the_broker() {
    let Some(python) = Python::find() else {
        return;
    };
    if TcpListener::bind("[::1]:0").is_err() {
        println!("left out: this machine has no IPv6 loopback");
        return;
    }
    let broker = Broker::with(&["--bind", "tcp://[::1]:0", "--wait-for-worker", "50s"]);
    assert!(
        broker.endpoint.starts_with("tcp://[::1]:"),
        "{}",
        broker.endpoint
    );
    let _worker = worker(&python, &broker.endpoint, "s0", "echo", &[]);
    let mut client = Client::start(&python, &broker.endpoint, "mdp01", &["--req"]);
    assert_eq!(client.call("echo", &["x"]), json!(["x"]));
}
