//! Clients behind `zmq.proxy`: many of them on one connection, told apart by their envelopes.

use std::collections::BTreeSet;

use crate::peers::Python;
use crate::process::{Broker, Process};
use crate::{Client, worker};

#[test]
fn clients_of_all_dialects_share_a_proxy() {
    let Some(python) = Python::find() else {
        return;
    };
    let broker = Broker::start(&[]);
    let mut echo = broker.scale0("worker");
    echo.args(["--service", "echo", "--echo", "--capacity", "8"]);
    let _echo = Process::start(&mut echo);
    let mut proxy = python.start("proxy.py", &[&broker.endpoint]);
    let front = proxy.line();
    let kinds: [(&str, &[&str]); 8] = [
        ("s0", &["--req"]),
        ("s0", &["--req", "--correlate"]),
        // Their ids are the same: only the envelope tells these two apart.
        ("s0", &["--envelope"]),
        ("s0", &["--envelope"]),
        ("mdp01", &[]),
        ("mdp01", &["--req"]),
        ("mdp02-delimited", &[]),
        ("mdp02-delimited", &["--req"]),
    ];
    let mut clients: Vec<_> = kinds
        .iter()
        .map(|(dialect, options)| Client::start(&python, &front, dialect, options))
        .collect();
    let text = |client, request| format!("{request} of client {client}");
    for request in 1..=REQUESTS {
        for (n, client) in clients.iter_mut().enumerate() {
            // With REQ_RELAXED a new request gives the last one up.
            if !kinds[n].1.contains(&"--correlate") {
                client.ask(request, "echo", &[&text(n, request)]);
            }
        }
    }
    for (n, client) in clients.iter_mut().enumerate() {
        let correlated = kinds[n].1.contains(&"--correlate");
        let replies: BTreeSet<String> = (1..=REQUESTS)
            .map(|request| {
                if correlated {
                    client.ask(request, "echo", &[&text(n, request)]);
                }
                let reply = client.reply();
                let body = reply["body"][0].as_str().unwrap();
                if let Some(id) = reply["id"].as_u64() {
                    assert_eq!(body, text(n, id), "{:?}", kinds[n]);
                }
                body.to_owned()
            })
            .collect();
        let expected = (1..=REQUESTS).map(|request| text(n, request)).collect();
        assert_eq!(replies, expected, "{:?}", kinds[n]);
    }
}

#[test]
fn partial_replies_come_through_a_proxy_whole() {
    let Some(python) = Python::find() else {
        return;
    };
    let broker = Broker::start(&[]);
    let _worker = worker(
        &python,
        &broker.endpoint,
        "mdp02",
        "echo",
        &["--partials", "1"],
    );
    let mut proxy = python.start("proxy.py", &[&broker.endpoint]);
    let front = proxy.line();
    // What sits behind a proxy may be a REQ socket, which takes one answer.
    for (dialect, options) in [("s0", &["--req"] as &[&str]), ("mdp01", &[])] {
        let mut client = Client::start(&python, &front, dialect, options);
        assert_eq!(
            client.call("echo", &["x"]),
            serde_json::json!(["part 0", "x", "x"])
        );
    }
}

const REQUESTS: u64 = 20;
