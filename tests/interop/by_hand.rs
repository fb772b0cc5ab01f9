//! The programs that the specification prints are the ones that run here.

use crate::peers::{Node, Python};
use crate::process::{Broker, Process};

#[test]
fn the_python_programs_of_the_specification_run_as_they_stand() {
    let Some(python) = Python::find() else {
        return;
    };
    let programs = Programs::extract();
    let broker = Broker::start(&[]);
    let _worker = python.start(programs.path("worker.py"), &[&broker.endpoint]);
    broker.await_workers(1);
    is_answered(python.start(programs.path("client.py"), &[&broker.endpoint]));
}

#[test]
fn the_python_client_of_the_specification_runs_on_a_req_socket() {
    let Some(python) = Python::find() else {
        return;
    };
    let programs = Programs::extract();
    let client = std::fs::read_to_string(programs.path("client.py")).unwrap();
    assert_eq!(client.matches("zmq.DEALER").count(), 1);
    let req = programs.path("req.py");
    std::fs::write(&req, client.replace("zmq.DEALER", "zmq.REQ")).unwrap();
    let broker = Broker::start(&[]);
    let _worker = python.start(programs.path("worker.py"), &[&broker.endpoint]);
    broker.await_workers(1);
    is_answered(python.start(req, &[&broker.endpoint]));
}

#[test]
fn the_javascript_programs_of_the_specification_run_as_they_stand() {
    let Some(node) = Node::find() else {
        return;
    };
    let programs = Programs::extract();
    let broker = Broker::start(&[]);
    let _worker = node.start(programs.path("worker.js"), &[&broker.endpoint]);
    broker.await_workers(1);
    is_answered(node.start(programs.path("client.js"), &[&broker.endpoint]));
}

#[test]
fn the_programs_of_the_specification_understand_each_other_across_languages() {
    let (Some(python), Some(node)) = (Python::find(), Node::find()) else {
        return;
    };
    let programs = Programs::extract();
    let broker = Broker::start(&[]);
    let worker = python.start(programs.path("worker.py"), &[&broker.endpoint]);
    broker.await_workers(1);
    is_answered(node.start(programs.path("client.js"), &[&broker.endpoint]));
    drop(worker);
    broker.await_workers(0);
    let _worker = node.start(programs.path("worker.js"), &[&broker.endpoint]);
    broker.await_workers(1);
    is_answered(python.start(programs.path("client.py"), &[&broker.endpoint]));
}

fn is_answered(client: Process) {
    let client = client.finish();
    assert_eq!(client.stdout, "200 hello\n", "{client:?}");
    assert_eq!((client.code, &*client.stderr), (Some(0), ""), "{client:?}");
}

/// The specification's programs as files.
struct Programs(tempfile::TempDir);

impl Programs {
    fn extract() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mut names = Vec::new();
        for marked in SPECIFICATION.split("<!-- run: ").skip(1) {
            let (name, rest) = marked.split_once(" -->\n").unwrap();
            let (fence, rest) = rest.split_once('\n').unwrap();
            assert!(fence.starts_with("```"), "{name}: {fence}");
            let (program, _) = rest.split_once("\n```\n").unwrap();
            std::fs::write(directory.path().join(name), format!("{program}\n")).unwrap();
            names.push(name);
        }
        assert_eq!(names, ["worker.py", "client.py", "worker.js", "client.js"]);
        Self(directory)
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.0.path().join(name)
    }
}

const SPECIFICATION: &str = include_str!("../../spec/scale0.md");
