//! The worker and the client of `spec/scale0.md`, with the three lines that CURVE takes: pyzmq and
//! zeromq.js at a guarded broker.

use std::path::PathBuf;

use crate::house::{Door, House, key};
use crate::peers::{Node, Python};
use crate::process::{Finished, Process};

/// One of the programs of the specification, its socket with a user's keys.
fn program(house: &House, name: &str, user: &str) -> PathBuf {
    let spec = include_str!("../../spec/scale0.md");
    let (_, rest) = spec
        .split_once(&format!("<!-- run: {name} -->\n```"))
        .unwrap();
    let (_, rest) = rest.split_once('\n').unwrap();
    let (text, _) = rest.split_once("```").unwrap();
    let server = key(&house.text("broker.key"), "public-key");
    let own = house.text(&format!("{user}.key_secret"));
    let [public, secret] = ["public-key", "secret-key"].map(|name| key(&own, name));
    let (before, after, keys) = if name.ends_with(".py") {
        let keys = format!(
            "s.curve_serverkey = b\"{server}\"\ns.curve_publickey = b\"{public}\"\ns.curve_secretkey = b\"{secret}\"\n"
        );
        ("; s.connect(", "\ns.connect(", keys)
    } else {
        let keys = format!(
            "s.curveServerKey = \"{server}\"; s.curvePublicKey = \"{public}\"; s.curveSecretKey = \"{secret}\";"
        );
        ("; s.connect(", "; s.connect(", keys)
    };
    assert_eq!(text.matches(before).count(), 1, "{text}");
    let (head, tail) = after.split_at(1);
    let text = text.replace(before, &format!("{head}{keys}{tail}"));
    let path = house.path(&format!("{user}-{name}"));
    std::fs::write(&path, text).unwrap();
    path
}

fn is_answered(client: Process) {
    let Finished {
        code,
        stdout,
        stderr,
    } = client.finish();
    assert_eq!((code, &*stdout), (Some(0), "200 hello\n"), "{stderr}");
}

fn from_the_shell(door: &Door) {
    assert_eq!(door.call("ann", "echo hello").stdout, "hello\n");
}

#[test]
fn pyzmq_works_and_asks_over_curve() {
    let Some(python) = Python::find() else {
        return;
    };
    let house = House::of(&["ann", "bob"]);
    let door = house.broker("");
    let endpoint = [&*door.endpoint];
    let _worker = python.start(program(&house, "worker.py", "bob"), &endpoint);
    door.await_workers("ann", 1);
    is_answered(python.start(program(&house, "client.py", "ann"), &endpoint));
    from_the_shell(&door);
}

#[test]
fn zeromq_js_works_and_asks_over_curve() {
    let Some(node) = Node::find() else {
        return;
    };
    let house = House::of(&["ann", "bob"]);
    let door = house.broker("");
    let endpoint = [&*door.endpoint];
    let _worker = node.start(program(&house, "worker.js", "bob"), &endpoint);
    door.await_workers("ann", 1);
    is_answered(node.start(program(&house, "client.js", "ann"), &endpoint));
    from_the_shell(&door);
}
