//! `scale0 cat` on both sides of PLAIN and CURVE, with another one and with pyzmq.

use std::time::Duration;

use crate::house::{House, bound, key, within};
use crate::peers::Python;
use crate::process::{Process, poll};

const CURVE_SERVER: &str = "--curve-secret broker.key_secret --authorized-clients clients";
const CURVE_CLIENT: &str = "--curve-server-key broker.key --curve-secret ann.key_secret";
const PLAIN_SERVER: &str = "--plain users";
const PLAIN_CLIENT: &str = "--plain-user ann --plain-password-file password";
const FREE: &str = "tcp://127.0.0.1:0";

fn house() -> House {
    let house = House::of(&["ann"]);
    house.passwd("ann", "tulip");
    house.write("password", "tulip\n");
    house
}

#[test]
fn who_binds_and_who_serves_are_two_questions() {
    let house = house();
    for (server, client) in [(CURVE_SERVER, CURVE_CLIENT), (PLAIN_SERVER, PLAIN_CLIENT)] {
        for (binds, connects) in [(server, client), (client, server)] {
            let rep = house.start(&format!("cat rep --echo --bind {FREE} {binds}"));
            let endpoint = bound(&rep);
            let mut req = house.start(&format!("cat req --connect {endpoint} {connects}"));
            for line in ["hello", "and again"] {
                req.say(line);
                assert_eq!(req.line(), line);
            }
            let ended = req.finish();
            assert_eq!((ended.code, &*ended.stderr), (Some(0), ""), "{ended:?}");
        }
    }
}

#[test]
fn a_monitor_tells_who_was_let_in_who_was_not_and_who_was_cut_off() {
    let house = house();
    house.keygen("eve");
    let pull = house.start(&format!("cat pull --bind {FREE} {CURVE_SERVER} --monitor"));
    let endpoint = bound(&pull);
    let ann = house.start(&format!(
        "cat push --connect {endpoint} {CURVE_CLIENT} --monitor"
    ));
    let opened = pull.stderr_line("monitor: opened");
    assert!(opened.ends_with("user ann"), "{opened}");
    ann.stderr_line("monitor: opened");
    let stranger = "--curve-server-key broker.key --curve-secret eve.key_secret --linger 0";
    let stranger = stranger.replace("--linger 0", "--option linger=0");
    let eve = house.start(&format!(
        "cat push --connect {endpoint} {stranger} --monitor"
    ));
    let failed = eve.stderr_line("monitor: handshake-failed");
    assert!(failed.contains("400"), "{failed}");
    let failed = pull.stderr_line("monitor: handshake-failed");
    assert!(failed.contains("not allowed in"), "{failed}");
    within(Duration::from_secs(5), || {
        house.revoke("ann");
        pull.stderr_line("monitor: disconnected");
    });
    ann.stderr_line("monitor: disconnected");
    // She is told so when she comes back, and comes in once her key is there again.
    let failed = ann.stderr_line("monitor: handshake-failed");
    assert!(failed.contains("400"), "{failed}");
    house.admit("ann");
    let (mut ann, mut pull) = (ann, pull);
    ann.say("here again");
    assert_eq!(pull.line(), "here again");
}

#[test]
fn a_stranger_that_says_nothing_costs_nobody_a_message() {
    let house = house();
    let pull = house.start(&format!("cat pull --bind {FREE} {CURVE_SERVER}"));
    let endpoint = bound(&pull);
    // Without security, and with another mechanism: both keep trying.
    let others = ["".to_owned(), format!(" {PLAIN_CLIENT}")].map(|flags| {
        let other = format!("cat push --connect {endpoint} --monitor{flags}");
        let mut other = house.start(&other);
        other.say("stray");
        other.stderr_line("monitor: handshake-failed");
        other
    });
    let mut pull = pull;
    let mut ann = house.start(&format!("cat push --connect {endpoint} {CURVE_CLIENT}"));
    ann.say("hello");
    assert_eq!(pull.line(), "hello");
    drop(others);
    assert_eq!(pull.try_line(), None);
}

/// Our side's flags, and the words of theirs, for both sides of both mechanisms.
fn sides(house: &House) -> [(String, Vec<String>); 4] {
    let [server, ann] = ["broker", "ann"].map(|name| {
        let text = house.text(&format!("{name}.key_secret"));
        [key(&text, "public-key"), key(&text, "secret-key")]
    });
    let words = |words: &[String]| words.to_vec();
    let plain = ["user=ann".to_owned(), "password=tulip".to_owned()];
    [
        (
            CURVE_SERVER.to_owned(),
            words(&[
                "mechanism=curve-client".to_owned(),
                format!("server={}", server[0]),
                format!("public={}", ann[0]),
                format!("secret={}", ann[1]),
            ]),
        ),
        (
            CURVE_CLIENT.to_owned(),
            words(&[
                "mechanism=curve-server".to_owned(),
                format!("secret={}", server[1]),
            ]),
        ),
        (
            PLAIN_SERVER.to_owned(),
            [&["mechanism=plain-client".to_owned()][..], &plain].concat(),
        ),
        (
            PLAIN_CLIENT.to_owned(),
            [&["mechanism=plain-server".to_owned()][..], &plain].concat(),
        ),
    ]
}

fn role(python: &Python, words: &[&str], mechanism: &[String]) -> Process {
    let mechanism = mechanism.iter().map(String::as_str);
    let words: Vec<&str> = words.iter().copied().chain(mechanism).collect();
    python.start("role.py", &words)
}

#[test]
fn pyzmq_on_the_far_end_is_understood_on_either_side() {
    let Some(python) = Python::find() else {
        return;
    };
    let house = house();
    for (ours, theirs) in sides(&house) {
        // We bind, and it asks.
        let rep = house.start(&format!("cat rep --echo --bind {FREE} {ours}"));
        let connect = format!("connect={}", bound(&rep));
        // A DEALER, for libzmq's REQ cannot be a server: it takes the user that its own handler
        // names for a part of the reply.
        let shapes = "shapes=0x1,5x3,70000x2";
        let ask = ["type=DEALER", "delimiter=1", "mode=ask", shapes, &connect];
        let asked = role(&python, &ask, &theirs).finish();
        let lines: Vec<&str> = asked.stdout.lines().collect();
        let whole = ["connecting", "0x1", "5x3", "70000x2", "done"];
        assert_eq!(lines, whole, "{ours}: {asked:?}");
        // It binds, and we ask.
        let echo = ["type=REP", "mode=echo", "bind=tcp://127.0.0.1:*"];
        let mut echo = role(&python, &echo, &theirs);
        let line = echo.line();
        let endpoint = line.strip_prefix("bound ").unwrap();
        let mut req = house.start(&format!("cat req --connect {endpoint} {ours}"));
        req.say("hello");
        assert_eq!(req.line(), "hello", "{ours}");
        assert_eq!(req.finish().code, Some(0), "{ours}");
    }
}

#[test]
fn pyzmq_with_a_strangers_key_gets_nothing() {
    let Some(python) = Python::find() else {
        return;
    };
    let house = house();
    house.revoke("ann");
    let rep = house.start(&format!(
        "cat rep --echo --bind {FREE} {CURVE_SERVER} --monitor"
    ));
    let connect = format!("connect={}", bound(&rep));
    let [(_, words), ..] = sides(&house);
    let ask = ["type=REQ", "mode=ask", "shapes=5x1", &connect];
    let mut asks = role(&python, &ask, &words);
    assert_eq!(asks.line(), "connecting");
    rep.stderr_line("not allowed in");
    let more = poll(|| asks.try_line().or_else(|| Some(String::new())));
    assert_eq!(more.as_deref(), Some(""));
}
