//! One-way tasks: what their clients hear, and what becomes of them when nobody listens any more.

use std::time::Duration;

use scale0::protocol::{Ask, Dialect, Word};
use scale0::wire::Message;

use crate::rig::back;
use crate::rig::talk::{SILENCE, Talk, numbered, offers, oneway, quiet};

#[test]
fn a_one_way_task_is_accepted_at_once_and_its_reply_is_dropped() {
    let mut t = Talk::new();
    t.announces("wes", offers("echo", 1));
    assert_eq!(
        t.asks("ann", oneway(1, "x", "echo")),
        ["wes: TASK echo x", "ann: #1 202 "]
    );
    assert_eq!(
        t.asks("ann", oneway(2, "y", "echo")),
        ["ann: #2 202 "],
        "it waits, and is in good hands"
    );
    assert_eq!(t.streams("wes", "x", "half"), SILENCE);
    assert_eq!(t.replies("wes", "x", "X"), ["wes: TASK echo y"]);
    assert_eq!(t.replies("wes", "y", "Y"), SILENCE);
    let counters = t.counters();
    assert_eq!((counters.receipts, counters.oneway_done), (2, 2));
    assert_eq!((counters.oneway_parts, counters.replies), (1, 0));
    assert_eq!(t.snapshot().open, 0);
}

#[test]
fn a_quiet_one_is_not_answered_whatever_comes() {
    let mut t = Talk::with(|config| config.limits.client_tasks = 1);
    t.announces("wes", offers("echo", 1));
    assert_eq!(t.asks("ann", quiet(1, "x", "echo")), ["wes: TASK echo x"]);
    assert_eq!(t.asks("ann", quiet(2, "y", "echo")), SILENCE, "too many");
    assert_eq!(t.counters().errors[&429], 1);
    assert_eq!(t.replies("wes", "x", "X"), SILENCE);
    t.loses("wes");
    assert_eq!(t.asks("ann", quiet(3, "z", "echo")), SILENCE);
    assert_eq!(t.wait_ms(2000), SILENCE);
    assert_eq!(t.counters().oneway_failed[&404], 1);
    assert_eq!(t.counters().oneway_done, 1);
}

#[test]
fn a_one_way_task_for_nobody_is_a_404_like_any_other() {
    let mut t = Talk::new();
    assert_eq!(t.asks("ann", oneway(1, "x", "echo")), SILENCE);
    assert_eq!(t.wait_ms(2000), ["ann: #1 404 not executed"]);
    assert_eq!(t.counters().errors[&404], 1);
}

#[test]
fn one_that_waited_for_a_worker_is_accepted_when_it_is_given_to_one() {
    let mut t = Talk::new();
    t.asks("ann", oneway(1, "x", "echo"));
    t.asks("ann", oneway(2, "y", "echo"));
    assert_eq!(
        t.asks("ann", oneway(2, "z", "echo")),
        ["ann: #2 409 not executed"],
        "it is still in flight"
    );
    assert_eq!(
        t.announces("wes", offers("echo", 1)),
        ["wes: CONFIG", "wes: TASK echo x", "ann: #1 202 "]
    );
    assert_eq!(t.cancels("ann", 2), ["ann: #2 499 not executed"]);
    assert_eq!(t.cancels("ann", 1), SILENCE, "it is the broker's now");
    assert_eq!(t.replies("wes", "x", "X"), SILENCE);
}

#[test]
fn an_id_is_free_again_when_its_task_is_accepted() {
    let mut t = Talk::new();
    t.announces("wes", offers("echo", 2));
    t.asks("ann", oneway(1, "x", "echo"));
    assert_eq!(
        t.asks("ann", numbered(1, "y", "echo")),
        ["wes: TASK echo y"]
    );
    t.replies("wes", "x", "X");
    assert_eq!(t.replies("wes", "y", "Y"), ["ann: #1 200 Y"]);
}

#[test]
fn the_clients_leaving_does_not_affect_its_one_way_tasks() {
    for goodbye in [true, false] {
        let mut t = Talk::new();
        t.announces("wes", offers("echo", 1));
        t.asks("ann", oneway(1, "x", "echo"));
        t.asks("ann", oneway(2, "y", "echo"));
        t.asks("ann", oneway(3, "z", "sum"));
        let said = if goodbye {
            t.bye("ann")
        } else {
            t.loses("ann")
        };
        assert_eq!(said, SILENCE);
        assert_eq!(t.replies("wes", "x", "X"), ["wes: TASK echo y"]);
        assert_eq!(
            t.announces("val", offers("sum", 1)),
            ["val: CONFIG", "val: TASK sum z"],
            "not even one that was not accepted yet"
        );
        t.replies("wes", "y", "Y");
        t.replies("val", "z", "Z");
        let counters = t.counters();
        assert_eq!((counters.oneway_done, counters.orphaned), (3, 0));
    }
}

#[test]
fn they_count_as_their_clients_until_they_are_done() {
    let mut t = Talk::with(|config| config.limits.client_tasks = 2);
    t.announces("wes", offers("echo", 1));
    t.asks("ann", oneway(1, "x", "echo"));
    t.asks("ann", oneway(2, "y", "echo"));
    let refused = ["ann: #3 429 not executed, again in 1s"];
    assert_eq!(t.asks("ann", oneway(3, "z", "echo")), refused);
    t.bye("ann");
    assert_eq!(t.asks("ann", oneway(3, "z", "echo")), refused);
    t.replies("wes", "x", "X");
    assert_eq!(t.asks("ann", oneway(3, "z", "echo")), ["ann: #3 202 "]);
}

#[test]
fn one_is_started_again_only_where_that_is_allowed() {
    let mut t = Talk::new();
    t.announces("wes", offers("echo", 2));
    t.asks("ann", oneway(1, "once", "echo"));
    let again = Ask {
        idempotent: true,
        ..oneway(2, "again", "echo")
    };
    t.asks("ann", again);
    t.loses("wes");
    assert_eq!(t.counters().oneway_failed[&502], 1);
    assert_eq!(
        t.announces("val", offers("echo", 2)),
        ["val: CONFIG", "val: TASK echo again, attempt 2"]
    );
    assert_eq!(t.replies("val", "again", "done"), SILENCE);
    assert_eq!(t.counters().receipts, 2, "once for each");
}

#[test]
fn one_that_kills_its_workers_and_one_that_runs_out_of_time_are_counted() {
    let mut t = Talk::with(|config| config.max_attempts = 2);
    t.announces("wes", offers("echo;idempotent", 1));
    t.announces("val", offers("echo;idempotent", 1));
    t.asks("ann", oneway(1, "poison", "echo"));
    t.loses("wes");
    t.loses("val");
    let counters = t.counters();
    assert_eq!((counters.poisoned, counters.oneway_failed[&502]), (1, 1));

    t.announces("uma", offers("echo", 1));
    let brief = |n, body| Ask {
        ttl: Duration::from_secs(1),
        ..oneway(n, body, "echo")
    };
    t.asks("ann", brief(2, "slow"));
    t.asks("ann", brief(3, "late"));
    assert_eq!(t.wait_ms(1000), ["uma: CANCEL slow"]);
    let failed = t.counters().oneway_failed;
    assert_eq!((failed[&504], failed[&408]), (1, 1));
    assert_eq!(t.replies("uma", "slow", "at last"), SILENCE);
    assert_eq!(t.counters().oneway_done, 0, "it was given up before");
}

#[test]
fn a_drain_waits_for_what_was_accepted() {
    let mut t = Talk::new();
    t.announces("wes", offers("echo", 1));
    t.asks("ann", oneway(1, "x", "echo"));
    assert_eq!(t.drains(Duration::from_secs(30)), SILENCE);
    assert_eq!(t.replies("wes", "x", "X"), ["wes: BYE", "drained"]);
}

#[test]
fn a_client_that_takes_one_answer_only_takes_the_receipt() {
    let mut t = Talk::new();
    t.announces("wes", offers("echo", 1));
    let mut back = back(Dialect::Scale0, 1);
    (back.envelope, back.whole) = (Message::single(b""), true);
    let ask = Ask {
        back,
        ..oneway(1, "x", "echo")
    };
    assert_eq!(
        t.says("req", Word::Ask(ask)),
        ["wes: TASK echo x", "req: #1 202 "]
    );
    assert_eq!(t.streams("wes", "x", "half"), SILENCE);
    assert_eq!(t.replies("wes", "x", "X"), SILENCE);
}
