//! Draining: who asks for it, who is sent elsewhere, and when.

use std::time::Duration;

use scale0::protocol::Dialect;

use crate::rig::rights::user;
use crate::rig::script::others;
use crate::rig::talk::{SILENCE, Talk, capable, numbered, offers, oneway, ready, repeatable, task};

const LIMIT: Duration = Duration::from_secs(30);

/// With another broker that is known.
fn two() -> Talk {
    Talk::with(|config| config.failover = others())
}

#[test]
fn who_can_be_told_is_sent_elsewhere_before_anything_is_refused() {
    let mut t = two();
    t.announces("wes", offers("echo", 1));
    t.announces("mel", ready(Dialect::Mdp01, "echo"));
    t.pings("ann", capable());
    t.asks("bob", numbered(1, "x", "echo"));
    assert_eq!(
        t.drains(LIMIT),
        [
            "wes: go within 30s to tcp://other:5555",
            "ann: go within 30s to tcp://other:5555",
        ],
        "neither bob, of whom nothing is known, nor mel"
    );
    assert_eq!(
        t.asks("ann", numbered(1, "y", "echo")),
        ["ann: #1 503 not executed, again in 1s"]
    );
    t.wait_ms(1000);
    assert_eq!(
        t.pings("cid", capable()),
        ["cid: PONG", "cid: go within 29s to tcp://other:5555"]
    );
    assert_eq!(t.pings("cid", capable()), ["cid: PONG"], "once is enough");
    assert_eq!(
        t.replies("wes", "x", "X"),
        ["bob: #1 200 X", "wes: BYE", "mel: BYE", "drained"]
    );
}

#[test]
fn a_worker_stays_as_long_as_tasks_wait_for_it_and_gets_none_after_it_was_sent_away() {
    let mut t = two();
    t.announces("wes", offers("echo", 1));
    t.announces("val", offers("sum", 1));
    for body in ["x", "y"] {
        t.asks("ann", task(body, "echo"));
    }
    t.asks("ann", repeatable("z", "sum"));
    assert_eq!(
        t.drains(LIMIT),
        ["val: go within 30s to tcp://other:5555"],
        "nothing waits for val, whatever it has"
    );
    assert_eq!(
        t.replies("wes", "x", "X"),
        ["ann: 200 X", "wes: TASK echo y"]
    );
    // What val loses nobody does here any more.
    assert_eq!(t.loses("val"), SILENCE);
    t.announces("uma", offers("echo", 1));
    assert_eq!(
        t.replies("wes", "y", "Y"),
        ["ann: 200 Y", "wes: go within 30s to tcp://other:5555"]
    );
    assert_eq!(
        t.wait_ms(2000),
        ["ann: 502", "wes: BYE", "uma: BYE", "drained"]
    );
}

#[test]
fn a_worker_that_comes_during_a_drain_may_help_first() {
    let mut t = two();
    t.asks("ann", task("x", "echo"));
    t.drains(LIMIT);
    assert_eq!(
        t.announces("wes", offers("echo sum", 2)),
        [
            "wes: CONFIG",
            "wes: TASK echo x",
            "wes: go within 30s to tcp://other:5555"
        ]
    );
    // An empty announcement is the answer of one that moves.
    t.wait_ms(200);
    assert_eq!(t.announces("wes", offers("", 2)), ["wes: CONFIG"]);
    assert_eq!(
        t.replies("wes", "x", "X"),
        ["ann: 200 X", "wes: BYE", "drained"]
    );
}

#[test]
fn nobody_is_sent_anywhere_if_no_other_broker_is_known() {
    let mut t = Talk::new();
    t.announces("wes", offers("echo", 1));
    t.pings("ann", capable());
    t.asks("ann", task("x", "echo"));
    assert_eq!(t.drains(LIMIT), SILENCE);
    assert_eq!(t.needs_broker("ann", 3), ["ann: #3 there are []"]);
}

#[test]
fn who_asks_for_brokers_is_told_which_there_are() {
    let mut t = two();
    assert_eq!(
        t.needs_broker("ann", 0),
        ["ann: there are [tcp://other:5555]"]
    );
    t.announces("wes", offers("echo", 1));
    t.asks("bob", task("x", "echo"));
    t.drains(LIMIT);
    t.wait_ms(10_000);
    assert_eq!(
        t.needs_broker("ann", 7),
        ["ann: #7 go within 20s to tcp://other:5555"]
    );
}

#[test]
fn an_administrator_drains_the_broker_by_a_question() {
    let mut t = Talk::with(|config| config.drain_time = Duration::from_secs(3));
    t.opens_here("ops");
    t.announces("wes", offers("echo", 1));
    t.asks("ann", task("x", "echo"));
    assert_eq!(t.asks("ops", task("", "s0.drain")), ["ops: (the drain)"]);
    assert_eq!(t.snapshot().drain_left, Duration::from_secs(3));
    assert_eq!(t.wait_ms(2999), SILENCE);
    assert_eq!(
        t.asks("ops", task("", "s0.drain")),
        ["ops: (the drain)"],
        "it goes on as it began"
    );
    assert_eq!(
        t.wait_ms(1),
        ["ann: 502", "wes: CANCEL x", "wes: BYE", "drained"]
    );
}

#[test]
fn a_drain_with_nothing_to_wait_for_is_answered_and_over() {
    let mut t = Talk::new();
    t.opens_here("ops");
    assert_eq!(
        t.asks("ops", task("", "s0.drain")),
        ["ops: (the drain)", "drained"]
    );
    assert_eq!(
        t.asks("ops", task("", "s0.undrain")),
        ["ops: 503 not executed"],
        "too late"
    );
}

#[test]
fn without_rules_only_peers_on_the_brokers_machine_may_drain_it() {
    for service in ["s0.drain", "s0.undrain"] {
        let mut t = Talk::new();
        t.opens("far", user("root"));
        assert_eq!(t.asks("far", task("", service)), ["far: 403 not executed"]);
        assert_eq!(t.asks("eve", task("", service)), ["eve: 403 not executed"]);
        assert_eq!(t.counters().forbidden, 2);
        assert!(!t.snapshot().draining);
        assert_eq!(t.asks("far", task("", "s0.info")), ["far: (the info)"]);
    }
}

#[test]
fn with_rules_whoever_may_administer_it_may_drain_and_nobody_else() {
    let mut t = Talk::new();
    t.rules("ann administer s0.drain\n* call *");
    t.opens("ann", user("ann"));
    t.opens_here("bob");
    assert_eq!(
        t.asks("bob", task("", "s0.drain")),
        ["bob: 403 not executed"]
    );
    assert_eq!(
        t.asks("ann", task("", "s0.drain")),
        ["ann: (the drain)", "drained"]
    );
}

#[test]
fn a_drain_that_was_asked_for_can_be_called_off_and_one_by_signal_cannot() {
    let mut t = two();
    t.opens_here("ops");
    t.announces("wes", offers("echo", 2));
    t.asks("ann", task("x", "echo"));
    assert_eq!(
        t.asks("ops", task("", "s0.undrain")),
        ["ops: (the drain)"],
        "nothing to call off"
    );
    assert_eq!(
        t.asks("ops", task("", "s0.drain")),
        ["wes: go within 30s to tcp://other:5555", "ops: (the drain)"]
    );
    t.asks("ann", task("y", "echo"));
    assert_eq!(t.asks("ops", task("", "s0.undrain")), ["ops: (the drain)"]);
    assert_eq!(
        t.asks("ann", task("z", "echo")),
        ["wes: TASK echo z"],
        "it is still there, and has its seat again"
    );
    assert_eq!(t.wait_ms(29_999), SILENCE, "nor does the old limit count");
    t.asks("ops", task("", "s0.drain"));
    t.drains(LIMIT);
    assert_eq!(
        t.asks("ops", task("", "s0.undrain")),
        ["ops: 503 not executed"]
    );
}

#[test]
fn a_worker_that_announces_itself_anew_gets_what_waits() {
    let mut t = two();
    t.announces("wes", offers("echo", 1));
    t.announces("val", offers("echo;idempotent", 1));
    t.asks("ann", task("x", "echo"));
    t.asks("ann", task("y", "echo"));
    t.drains(LIMIT);
    t.loses("val");
    t.wait_ms(200);
    assert_eq!(
        t.announces("wes", offers("echo", 2)),
        ["wes: CONFIG", "wes: TASK echo y, attempt 2"],
        "its own wish"
    );
}

#[test]
fn one_way_tasks_that_were_accepted_keep_their_workers() {
    let mut t = two();
    t.announces("wes", offers("echo", 1));
    t.asks("ann", oneway(1, "x", "echo"));
    t.asks("ann", oneway(2, "y", "echo"));
    t.loses("ann");
    assert_eq!(t.drains(LIMIT), SILENCE);
    assert_eq!(t.replies("wes", "x", "X"), ["wes: TASK echo y"]);
    assert_eq!(
        t.replies("wes", "y", "Y"),
        [
            "wes: go within 30s to tcp://other:5555",
            "wes: BYE",
            "drained"
        ]
    );
}
