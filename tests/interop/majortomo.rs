//! majortomo, an MDP/0.2 of others, as it comes from its registry: its client and worker with our
//! broker, its broker with ours.

use crate::peers::Python;
use crate::process::{Broker, Process, scale0};
use crate::worker;

#[test]
fn its_client_and_its_worker_are_served() {
    let Some(python) = Python::find() else {
        return;
    };
    let broker = Broker::start(&[]);
    let at = ["-b", &broker.endpoint, "-n", "echo"];
    let worker = python.module("majortomo.echo", &[&at as &[&str], &["worker"]].concat());
    let client = ["client", "-m", "hello", "-t", "50", "-d", "0", "-r", "3"];
    let client = python
        .module("majortomo.echo", &[&at as &[&str], &client].concat())
        .finish();
    // As from its own broker: the body alone, without the service's name that RFC 18 wants.
    let replies = client.stdout.matches("Got response: [b'hello']").count();
    assert_eq!(replies, 3, "{client:?}");
    for dialect in ["s0", "mdp01", "mdp02", "mdp02-delimited", "majortomo"] {
        let mut call = broker.scale0("call");
        let call = Process::start(call.args(["--dialect", dialect, "echo", "from us"])).finish();
        assert_eq!(call.stdout, "from us\n", "{dialect}: {call:?}");
    }
    // It takes its leave when it is stopped.
    worker.signal("TERM");
    broker.await_workers(0);
}

#[test]
fn its_client_gets_partial_replies_as_they_come() {
    let Some(python) = Python::find() else {
        return;
    };
    let broker = Broker::start(&[]);
    let _worker = worker(
        &python,
        &broker.endpoint,
        "s0",
        "echo",
        &["--partials", "2"],
    );
    let mut client = python.start("majortomo_client.py", &[&broker.endpoint, "echo", "x", ""]);
    for part in [
        r#"["part 0", "x", ""]"#,
        r#"["part 1", "x", ""]"#,
        r#"["x", ""]"#,
    ] {
        assert_eq!(client.line(), part);
    }
    assert_eq!(client.finish().stdout.lines().count(), 3);
}

#[test]
fn our_client_and_our_worker_are_served_by_its_broker() {
    let Some(python) = Python::find() else {
        return;
    };
    let directory = tempfile::tempdir().unwrap();
    let endpoint = format!("ipc://{}/majortomo", directory.path().display());
    let _broker = python.module("majortomo.broker", &["-b", &endpoint]);
    let there = ["--connect", &endpoint, "--dialect", "majortomo"];
    let mut worker = scale0();
    worker
        .arg("worker")
        .args(there)
        .args(["--service", "echo", "--echo"]);
    let worker = Process::start(worker.args(["--capacity", "2"]));
    for body in ["hello", "echo", ""] {
        let mut call = scale0();
        call.arg("call").args(there).args(["echo", body]);
        let call = Process::start(&mut call).finish();
        assert_eq!(call.stdout, format!("{body}\n"), "{call:?}");
        assert_eq!(call.code, Some(0), "{call:?}");
    }
    let client = [
        "-b", &endpoint, "-n", "echo", "client", "-m", "theirs", "-t", "50", "-d", "0",
    ];
    let client = python.module("majortomo.echo", &client).finish();
    assert!(
        client.stdout.contains("Got response: [b'theirs']"),
        "{client:?}"
    );
    worker.signal("TERM");
    assert_eq!(worker.finish().code, Some(0));
}

#[test]
fn our_client_and_our_worker_are_served_by_a_broker_after_rfc_7() {
    let Some(python) = Python::find() else {
        return;
    };
    let mut broker = python.start("mdp01_broker.py", &[]);
    let endpoint = broker.line();
    let there = ["--connect", &endpoint, "--dialect", "mdp01"];
    let mut worker = scale0();
    worker
        .arg("worker")
        .args(there)
        .args(["--service", "echo", "other", "--echo"]);
    let worker = Process::start(&mut worker);
    for service in ["echo", "other", "echo"] {
        let mut call = scale0();
        call.arg("call").args(there).args([service, "hello"]);
        let call = Process::start(&mut call).finish();
        assert_eq!(call.stdout, "hello\n", "{call:?}");
    }
    worker.signal("TERM");
    assert_eq!([broker.line(), broker.line()], ["bye", "bye"]);
    assert_eq!(worker.finish().code, Some(0));
}
