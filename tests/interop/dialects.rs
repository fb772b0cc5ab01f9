//! Any client reaches any worker, whatever each of them speaks.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::peers::Python;
use crate::process::Broker;
use crate::{Client, DIALECTS, worker};

/// The clients there are: a dialect and the socket's options.
const CLIENTS: [(&str, &[&str]); 9] = [
    ("s0", &[]),
    ("s0", &["--req"]),
    ("s0", &["--req", "--correlate"]),
    ("mdp01", &[]),
    ("mdp01", &["--req"]),
    ("mdp02", &[]),
    ("mdp02-delimited", &[]),
    ("mdp02-delimited", &["--req"]),
    ("zproto", &[]),
];

#[test]
fn every_client_reaches_every_worker() {
    let Some(python) = Python::find() else {
        return;
    };
    let broker = Broker::start(&[]);
    let _workers = DIALECTS.map(|dialect| worker(&python, &broker.endpoint, dialect, dialect, &[]));
    let mut clients = CLIENTS.map(|(dialect, options)| {
        let client = Client::start(&python, &broker.endpoint, dialect, options);
        (dialect, options, client)
    });
    let many = ["part"; 200];
    let bodies: [&[&str]; 6] = [
        &[],
        &[""],
        &["one"],
        &["a", "", "b"],
        &["", "\0\u{ff}"],
        &many,
    ];
    for (dialect, options, client) in &mut clients {
        for service in DIALECTS {
            for body in bodies {
                // A Majordomo message has a body, if only an empty one.
                let asked = if *dialect != "s0" && body.is_empty() {
                    &[""]
                } else {
                    body
                };
                let expected = if service != "s0" && body.is_empty() {
                    &[""]
                } else {
                    asked
                };
                let reply = client.call(service, asked);
                assert_eq!(reply, json!(expected), "{dialect} {options:?} to {service}");
            }
        }
    }
}

#[test]
fn a_dealer_may_have_many_requests_under_way() {
    let Some(python) = Python::find() else {
        return;
    };
    let broker = Broker::start(&[]);
    let _workers = ["s0", "mdp01", "zproto"]
        .map(|dialect| worker(&python, &broker.endpoint, dialect, "echo", &[]));
    let mut client = Client::start(&python, &broker.endpoint, "s0", &[]);
    for id in 1..=1000 {
        client.ask(id, "echo", &[&id.to_string()]);
    }
    let answered: BTreeSet<u64> = (1..=1000)
        .map(|_| {
            let reply = client.reply();
            let id = reply["id"].as_u64().unwrap();
            assert_eq!(reply["code"], 200, "{reply}");
            assert_eq!(reply["body"], json!([id.to_string()]), "{reply}");
            id
        })
        .collect();
    assert_eq!(answered, (1..=1000).collect());
    // None is left over when it ends.
    assert_eq!(client.process.finish().code, Some(0));
}

#[test]
fn a_req_socket_that_gave_a_request_up_never_takes_its_reply_for_another() {
    let Some(python) = Python::find() else {
        return;
    };
    for dialect in ["s0", "mdp01"] {
        let broker = Broker::start(&[]);
        let mut slow = worker(&python, &broker.endpoint, "s0", "slow", &["--gate"]);
        let _quick = worker(&python, &broker.endpoint, "mdp01", "quick", &[]);
        let options = ["--req", "--correlate"];
        let mut client = Client::start(&python, &broker.endpoint, dialect, &options);
        client.ask(1, "slow", &["first"]);
        assert_eq!(slow.line(), "task 1");
        assert_eq!(client.call("quick", &["second"]), json!(["second"]));
        slow.say("");
        let replied = || broker.info()["info"]["counters"]["replies"] == 2;
        assert!(crate::process::poll(|| replied().then_some(())).is_some());
        assert_eq!(client.call("quick", &["third"]), json!(["third"]));
    }
}

#[test]
fn partial_replies_arrive_in_every_dialect() {
    let Some(python) = Python::find() else {
        return;
    };
    let broker = Broker::start(&[]);
    let speakers = ["s0", "mdp02", "mdp02-delimited", "zproto"];
    let partials = ["--partials", "2"];
    let _workers =
        speakers.map(|dialect| worker(&python, &broker.endpoint, dialect, dialect, &partials));
    for (dialect, options) in CLIENTS {
        let mut client = Client::start(&python, &broker.endpoint, dialect, options);
        for service in speakers {
            client.ask(5, service, &["x"]);
            let whole = dialect == "mdp01" || options.contains(&"--req");
            if whole {
                let reply = client.reply();
                assert_eq!(reply["final"], true, "{dialect} {options:?}: {reply}");
                let expected = json!(["part 0", "x", "part 1", "x", "x"]);
                assert_eq!(reply["body"], expected, "{dialect} {options:?}");
                continue;
            }
            for (last, body) in [
                (false, json!(["part 0", "x"])),
                (false, json!(["part 1", "x"])),
                (true, json!(["x"])),
            ] {
                let reply = client.reply();
                assert_eq!(reply["final"], last, "{dialect} from {service}: {reply}");
                assert_eq!(reply["body"], body, "{dialect} from {service}");
            }
        }
    }
}

#[test]
fn a_cancelled_task_is_answered_once_and_its_worker_goes_on() {
    let Some(python) = Python::find() else {
        return;
    };
    for dialect in DIALECTS {
        let broker = Broker::start(&[]);
        let mut worker = worker(&python, &broker.endpoint, dialect, "echo", &["--gate"]);
        let mut client = Client::start(&python, &broker.endpoint, "s0", &[]);
        client.ask(7, "echo", &["never mind"]);
        worker.line();
        client.say(json!({"cancel": 7}));
        let reply = client.reply();
        assert_eq!(
            (&reply["id"], &reply["code"]),
            (&json!(7), &json!(499)),
            "{reply}"
        );
        client.ask(8, "echo", &["do"]);
        worker.say("");
        worker.line();
        worker.say("");
        let reply = client.reply();
        assert_eq!(
            (&reply["id"], &reply["body"]),
            (&json!(8), &json!(["do"])),
            "{reply}"
        );
        assert_eq!(client.process.finish().stdout.lines().count(), 2);
    }
}

#[test]
fn mmi_tells_in_every_dialect_what_is_offered() {
    let Some(python) = Python::find() else {
        return;
    };
    let broker = Broker::start(&[]);
    let _worker = worker(&python, &broker.endpoint, "mdp01", "there", &[]);
    broker.await_workers(1);
    for (dialect, options) in CLIENTS {
        let mut client = Client::start(&python, &broker.endpoint, dialect, options);
        let mut ask = |service, body| client.call(service, &[body]);
        assert_eq!(
            ask("mmi.service", "there"),
            json!(["200"]),
            "{dialect} {options:?}"
        );
        assert_eq!(
            ask("mmi.service", "nowhere"),
            json!(["404"]),
            "{dialect} {options:?}"
        );
        assert_eq!(
            ask("mmi.weather", "there"),
            json!(["501"]),
            "{dialect} {options:?}"
        );
        // To be asked about does not make a service.
        assert_eq!(
            ask("mmi.service", "nowhere"),
            json!(["404"]),
            "{dialect} {options:?}"
        );
    }
}

#[test]
fn a_majordomo_client_that_asks_a_hundred_thousand_times_gets_as_many_replies() {
    let Some(python) = Python::find() else {
        return;
    };
    let broker = Broker::start(&[]);
    let mut worker = broker.scale0("worker");
    worker.args(["--service", "echo", "--echo", "--capacity", "64"]);
    let _worker = crate::process::Process::start(&mut worker);
    let mut flood = python.start("flood.py", &[&broker.endpoint, "100000"]);
    assert_eq!(flood.line(), "100000 100000");
    let info = broker.info();
    assert_eq!(info["info"]["open"], 0, "{info}");
    assert_eq!(
        info["info"]["counters"]["errors"],
        Value::Object(Default::default()),
        "{info}"
    );
}
