//! Workers that fail, and workers that refuse (protocol sections 4 and 5).

use std::time::Duration;

use crate::rig::talk::{SILENCE, Talk, brief, numbered, offers, repeatable, task};

/// Two workers of `echo`: what u is given it answers with 500, so often.
fn failing(t: &mut Talk, times: u32) {
    for n in 0..times {
        let body = format!("bad {n}");
        // v is full, so it is u's turn.
        t.full("v", true);
        assert_eq!(
            t.asks("ann", task(&body, "echo")),
            [format!("u: TASK echo {body}")]
        );
        t.fails("u", &body, 500);
        t.full("v", false);
    }
}

fn pair() -> Talk {
    let mut t = Talk::new();
    t.announces("u", offers("echo sum", 4));
    t.announces("v", offers("echo", 4));
    t
}

fn ejected(t: &Talk) -> usize {
    let services = t.snapshot().services;
    services.iter().map(|service| service.ejected).sum()
}

#[test]
fn a_worker_that_fails_five_times_in_a_row_is_left_out_of_that_service() {
    let mut t = pair();
    failing(&mut t, 5);
    assert_eq!((ejected(&t), t.counters().ejected), (1, 1));
    assert_eq!(t.snapshot().workers[0].ejected, ["echo".into()]);
    for n in ["1", "2", "3"] {
        assert_eq!(
            t.asks("ann", task(n, "echo")),
            [format!("v: TASK echo {n}")]
        );
    }
    assert_eq!(
        t.asks("ann", task("4", "sum")),
        ["u: TASK sum 4"],
        "sum is another matter"
    );
}

#[test]
fn a_success_between_them_forgives_failures() {
    let mut t = pair();
    failing(&mut t, 4);
    t.full("v", true);
    t.asks("ann", task("good", "echo"));
    t.fails("u", "good", 422);
    t.full("v", false);
    failing(&mut t, 4);
    assert_eq!(ejected(&t), 0);
}

#[test]
fn after_its_pause_one_task_decides() {
    let mut t = pair();
    failing(&mut t, 5);
    assert_eq!(t.wait_ms(9_999), SILENCE);
    assert_eq!(ejected(&t), 1);
    t.wait_ms(1);
    t.full("v", true);
    assert_eq!(t.asks("ann", task("probe", "echo")), ["u: TASK echo probe"]);
    assert_eq!(
        t.asks("ann", task("next", "echo")),
        SILENCE,
        "one task and no more"
    );
    assert_eq!(
        t.replies("u", "probe", "ok"),
        ["ann: 200 ok", "u: TASK echo next"],
        "it is back"
    );
    assert_eq!(ejected(&t), 0);
}

#[test]
fn a_probe_that_fails_makes_the_next_pause_longer() {
    let mut t = pair();
    failing(&mut t, 5);
    t.wait_ms(10_000);
    failing(&mut t, 1);
    assert_eq!(t.counters().ejected, 2);
    t.wait_ms(19_999);
    t.full("v", true);
    assert_eq!(t.asks("ann", task("x", "echo")), SILENCE);
    assert_eq!(t.wait_ms(1), ["u: TASK echo x"]);
}

#[test]
fn who_was_good_for_long_begins_anew() {
    let mut t = pair();
    let probe = |t: &mut Talk, body: &str| {
        t.full("v", true);
        assert_eq!(
            t.asks("ann", task(body, "echo")),
            [format!("u: TASK echo {body}")]
        );
        t.replies("u", body, "");
        t.full("v", false);
    };
    failing(&mut t, 5);
    t.wait_ms(10_000);
    probe(&mut t, "first");
    failing(&mut t, 5);
    t.wait_ms(20_000);
    probe(&mut t, "second");
    t.wait_ms(20_000);
    failing(&mut t, 5);
    t.wait_ms(10_000);
    probe(&mut t, "third");
}

#[test]
fn never_more_than_half_of_a_services_workers_are_out() {
    let mut t = Talk::new();
    t.announces("u", offers("echo", 4));
    failing(&mut t, 9);
    assert_eq!(ejected(&t), 0, "the only one");
    t.announces("v", offers("echo", 4));
    failing(&mut t, 1);
    assert_eq!(ejected(&t), 1, "one of two");
    for n in 0..9 {
        t.asks("ann", task("x", "echo"));
        assert_eq!(t.fails("v", "x", 500), ["ann: 500 "], "{n}");
    }
    assert_eq!(ejected(&t), 1);
    // When the other one goes, it is back at once.
    t.asks("ann", repeatable("y", "echo"));
    assert_eq!(t.loses("v"), ["u: TASK echo y, attempt 2"]);
    assert_eq!(ejected(&t), 0);
}

#[test]
fn deadlines_count_unless_the_client_was_in_a_hurry() {
    let mut t = pair();
    t.full("v", true);
    let late = |t: &mut Talk, ms: u64| {
        t.asks("ann", brief(Duration::from_millis(ms), "late", "echo"));
        assert_eq!(t.wait_ms(ms), ["ann: 504", "u: CANCEL late"]);
        t.replies("u", "late", "");
    };
    for _ in 0..20 {
        late(&mut t, 999);
    }
    assert_eq!(ejected(&t), 0);
    for _ in 0..5 {
        late(&mut t, 1000);
    }
    assert_eq!(ejected(&t), 1);
}

#[test]
fn what_a_client_cancelled_says_nothing_of_the_worker() {
    let mut t = pair();
    t.full("v", true);
    for n in 1..9 {
        t.asks("ann", numbered(n, "x", "echo"));
        t.cancels("ann", n);
        t.fails("u", "x", 500);
    }
    assert_eq!(ejected(&t), 0);
}

#[test]
fn ejection_can_be_set_and_switched_off() {
    let mut t = Talk::with(|config| {
        config.eject_after = 2;
        config.eject_time = Duration::from_secs(1);
    });
    t.announces("u", offers("echo", 4));
    t.announces("v", offers("echo", 4));
    failing(&mut t, 2);
    assert_eq!(ejected(&t), 1);
    let mut t = Talk::with(|config| config.eject_time = Duration::ZERO);
    t.announces("u", offers("echo", 4));
    t.announces("v", offers("echo", 4));
    failing(&mut t, 20);
    assert_eq!(ejected(&t), 0);
}

#[test]
fn a_task_that_a_worker_refuses_goes_to_another_at_once() {
    let mut t = pair();
    assert_eq!(t.asks("ann", task("x", "echo")), ["u: TASK echo x"]);
    let first = t.token("x");
    assert_eq!(
        t.refuses("u", "x"),
        ["v: TASK echo x"],
        "still the first attempt"
    );
    assert_ne!(t.token("x"), first);
    assert_eq!(t.replies("v", "x", "X"), ["ann: 200 X"]);
    assert_eq!(t.counters().refused, 1);
}

#[test]
fn a_refused_task_waits_for_whoever_has_not_refused_it() {
    let mut t = Talk::new();
    t.announces("u", offers("echo", 4));
    t.announces("v", offers("echo", 1));
    t.asks("ann", task("first", "echo"));
    t.asks("ann", task("second", "echo"));
    assert_eq!(t.refuses("u", "first"), SILENCE, "v is busy");
    assert_eq!(t.snapshot().queued, 1);
    // Others do not wait behind it.
    assert_eq!(t.asks("ann", task("third", "echo")), ["u: TASK echo third"]);
    assert_eq!(
        t.replies("v", "second", ""),
        ["ann: 200 ", "v: TASK echo first"]
    );
}

#[test]
fn a_refuser_is_asked_again_after_a_second() {
    let mut t = Talk::new();
    t.announces("u", offers("echo", 4));
    t.asks("ann", task("x", "echo"));
    assert_eq!(t.refuses("u", "x"), SILENCE);
    assert_eq!(t.wait_ms(999), SILENCE);
    assert_eq!(t.wait_ms(1), ["u: TASK echo x"]);
    assert_eq!(t.replies("u", "x", "X"), ["ann: 200 X"]);
}

#[test]
fn a_worker_that_comes_takes_what_all_others_refused() {
    let mut t = Talk::new();
    t.announces("u", offers("echo", 4));
    t.asks("ann", task("x", "echo"));
    t.refuses("u", "x");
    assert_eq!(
        t.announces("w", offers("echo", 1)),
        ["w: CONFIG", "w: TASK echo x"]
    );
}

#[test]
fn the_32nd_refusal_is_the_last() {
    let names: Vec<&'static str> = (1..=33).map(|n| &*format!("w{n}").leak()).collect();
    let mut t = Talk::new();
    for &name in &names {
        t.announces(name, offers("echo", 1));
    }
    t.asks("ann", task("x", "echo"));
    for pair in names[..32].windows(2) {
        assert_eq!(
            t.refuses(pair[0], "x"),
            [format!("{}: TASK echo x", pair[1])]
        );
    }
    assert_eq!(
        t.refuses("w32", "x"),
        ["ann: 503 not executed, again in 1s"]
    );
    assert_eq!(
        t.snapshot().services[0].ready,
        33,
        "all have their places back"
    );
}

#[test]
fn a_refused_task_ends_like_any_other_that_waits() {
    let refused = |ttl: u64| {
        let mut t = Talk::new();
        t.announces("u", offers("echo", 4));
        let ask = scale0::protocol::Ask {
            ttl: Duration::from_millis(ttl),
            ..numbered(1, "x", "echo")
        };
        t.asks("ann", ask);
        assert_eq!(t.refuses("u", "x"), SILENCE);
        t
    };
    assert_eq!(refused(500).wait_ms(500), ["ann: #1 408 not executed"]);
    assert_eq!(refused(0).cancels("ann", 1), ["ann: #1 499 not executed"]);
    let mut t = refused(0);
    assert_eq!(t.loses("ann"), SILENCE);
    assert_eq!(
        (t.snapshot().open, t.snapshot().queued, t.held()),
        (0, 0, 0)
    );
    let mut t = refused(0);
    t.loses("u");
    assert_eq!(t.wait_ms(2000), ["ann: #1 404 not executed"]);
    let mut t = refused(0);
    t.drains(Duration::from_millis(100));
    assert_eq!(
        t.wait_ms(100),
        ["ann: #1 503 not executed, again in 1s", "u: BYE", "drained"]
    );
}

#[test]
fn a_refusal_after_a_part_of_the_reply_is_the_reply() {
    let mut t = pair();
    t.asks("ann", task("x", "echo"));
    t.streams("u", "x", "half");
    assert_eq!(t.refuses("u", "x"), ["ann: 503 "]);
}

#[test]
fn a_refusal_is_no_failure_and_costs_no_attempt() {
    let mut t = Talk::with(|config| config.max_attempts = 2);
    t.announces("u", offers("echo", 4));
    t.announces("v", offers("echo", 4));
    for n in 0..7 {
        let body = format!("{n}");
        t.asks("ann", task(&body, "echo"));
        t.refuses("u", &body);
        t.replies("v", &body, "");
        t.full("v", true);
        t.full("v", false);
    }
    assert_eq!(ejected(&t), 0);
    t.asks("ann", repeatable("x", "echo"));
    t.refuses("u", "x");
    assert_eq!(t.loses("v"), SILENCE, "the refuser is left aside");
    assert_eq!(t.wait_ms(1000), ["u: TASK echo x, attempt 2"]);
}

#[test]
fn a_refused_probe_is_followed_by_another() {
    let mut t = pair();
    failing(&mut t, 5);
    t.wait_ms(10_000);
    t.full("v", true);
    assert_eq!(t.asks("ann", task("x", "echo")), ["u: TASK echo x"]);
    assert_eq!(t.refuses("u", "x"), SILENCE);
    assert_eq!(t.asks("ann", task("y", "echo")), ["u: TASK echo y"]);
    t.replies("u", "y", "");
    assert_eq!(ejected(&t), 0);
}
