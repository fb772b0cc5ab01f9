//! Workers: announcements, turns, signs of life, the end (protocol sections 5 to 7).

use std::time::Duration;

use scale0::protocol::{Dialect, Ping, Return};
use scale0::wire::Message;

use crate::rig::back;
use crate::rig::talk::{SILENCE, Talk, brief, numbered, offers, ping, ready, repeatable, task};

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn the_worker_idle_longest_gets_the_next_task() {
    let mut t = Talk::new();
    for worker in ["u", "v", "w"] {
        t.announces(worker, offers("echo", 1));
    }
    assert_eq!(t.asks("ann", task("1", "echo")), ["u: TASK echo 1"]);
    assert_eq!(t.asks("ann", task("2", "echo")), ["v: TASK echo 2"]);
    t.replies("v", "2", "");
    t.replies("u", "1", "");
    assert_eq!(t.asks("ann", task("3", "echo")), ["w: TASK echo 3"]);
    assert_eq!(t.asks("ann", task("4", "echo")), ["v: TASK echo 4"]);
    assert_eq!(t.asks("ann", task("5", "echo")), ["u: TASK echo 5"]);
}

#[test]
fn workers_with_credit_left_take_turns_in_all_their_services() {
    let mut t = Talk::new();
    t.announces("v", offers("echo sum", 3));
    t.announces("w", offers("echo sum", 3));
    for (body, service, worker) in [
        ("1", "echo", "v"),
        ("2", "sum", "w"),
        ("3", "sum", "v"),
        ("4", "echo", "w"),
    ] {
        let said = t.asks("ann", task(body, service));
        assert_eq!(said, [format!("{worker}: TASK {service} {body}")]);
    }
    // A reply changes nothing while there is credit: the last task given decides.
    t.replies("w", "4", "");
    assert_eq!(t.asks("ann", task("5", "echo")), ["v: TASK echo 5"]);
}

#[test]
fn capacity_is_never_exceeded_and_lowering_it_takes_nothing_back() {
    let mut t = Talk::new();
    t.announces("wes", offers("echo", 3));
    for body in ["1", "2", "3", "4", "5"] {
        t.asks("ann", task(body, "echo"));
    }
    assert_eq!(t.snapshot().in_flight, 3);
    let lower = Ping {
        capacity: Some(1),
        ..ping(Duration::ZERO)
    };
    assert_eq!(t.pings("wes", lower), ["wes: PONG"]);
    assert_eq!(t.replies("wes", "1", ""), ["ann: 200 "]);
    assert_eq!(t.replies("wes", "2", ""), ["ann: 200 "]);
    assert_eq!(t.replies("wes", "3", ""), ["ann: 200 ", "wes: TASK echo 4"]);
    let raise = Ping {
        capacity: Some(2),
        ..ping(Duration::ZERO)
    };
    assert_eq!(t.pings("wes", raise), ["wes: PONG", "wes: TASK echo 5"]);
}

#[test]
fn a_paused_worker_is_announced_but_gets_nothing() {
    let mut t = Talk::new();
    t.announces("wes", offers("echo", 0));
    assert_eq!(t.asks("ann", task("x", "echo")), SILENCE);
    assert_eq!(t.wait_ms(29_999), SILENCE);
    assert_eq!(t.wait_ms(1), ["ann: 408 not executed"]);
}

#[test]
fn more_than_the_usual_tasks_at_once_take_a_deep_worker() {
    let mut t = Talk::with(|config| config.limits.worker_tasks = 1);
    t.announces("wes", offers("echo", 2));
    t.asks("ann", task("1", "echo"));
    assert_eq!(t.asks("ann", task("2", "echo")), SILENCE);
    let mut deep = offers("echo", 2);
    deep.deep = true;
    assert_eq!(
        t.announces("dan", deep),
        ["dan: CONFIG", "dan: TASK echo 2"]
    );
    assert_eq!(t.asks("ann", task("3", "echo")), ["dan: TASK echo 3"]);
}

#[test]
fn a_worker_for_whom_much_waits_gets_no_more() {
    let mut t = Talk::new();
    t.announces("wes", offers("echo", 2));
    t.full("wes", true);
    assert_eq!(t.asks("ann", task("x", "echo")), SILENCE);
    assert_eq!(t.full("wes", false), ["wes: TASK echo x"]);
}

#[test]
fn a_worker_is_given_so_much_at_once_and_the_rest_when_it_has_taken_that() {
    let mut t = Talk::with(|config| config.limits.worker_outbox = 50);
    for n in ["1", "2", "3"] {
        t.asks("ann", task(&n.repeat(60), "echo"));
    }
    let first = t.announces("wes", offers("echo", 8));
    assert_eq!(
        first.iter().filter(|line| line.contains("TASK")).count(),
        1,
        "{first:?}"
    );
    assert_eq!(first.last().unwrap(), "gauge wes");
    assert_eq!(t.full("wes", false).len(), 2, "the next, and a gauge");
}

#[test]
fn much_may_wait_for_a_peer_before_it_becomes_a_worker() {
    let mut t = Talk::new();
    t.asks("wes", task("", "s0.info"));
    t.full("wes", true);
    t.announces("wes", offers("echo", 2));
    assert_eq!(t.asks("ann", task("x", "echo")), SILENCE);
    assert_eq!(t.full("wes", false), ["wes: TASK echo x"]);
}

#[test]
fn the_same_announcement_again_is_ignored() {
    let mut t = Talk::new();
    assert_eq!(t.announces("wes", offers("echo", 1)), ["wes: CONFIG"]);
    t.wait_ms(500);
    assert_eq!(t.announces("wes", offers("echo", 1)), SILENCE);
    assert_eq!(t.announces("wes", offers("echo", 2)), ["wes: CONFIG"]);
}

#[test]
fn of_announcements_in_a_hurry_the_newest_is_applied_at_the_intervals_end() {
    let mut t = Talk::new();
    t.announces("wes", offers("a", 1));
    assert_eq!(t.announces("wes", offers("b", 1)), SILENCE);
    assert_eq!(t.announces("wes", offers("c", 1)), SILENCE);
    assert_eq!(t.asks("ann", task("x", "a")), ["wes: TASK a x"]);
    assert_eq!(t.wait_ms(99), SILENCE);
    assert_eq!(t.wait_ms(1), ["wes: CONFIG"]);
    let names: Vec<_> = t.snapshot().workers[0].services.clone();
    assert_eq!(names, ["c".into()]);
    // Its task of a service it gave up is still its own.
    assert_eq!(t.replies("wes", "x", "X"), ["ann: 200 X"]);
}

#[test]
fn to_return_to_the_announcement_in_force_is_the_newest_word_too() {
    let mut t = Talk::new();
    t.announces("wes", offers("a", 1));
    t.announces("wes", offers("b", 1));
    t.announces("wes", offers("a", 1));
    assert_eq!(t.wait_ms(1000), SILENCE);
    assert_eq!(t.asks("ann", task("x", "a")), ["wes: TASK a x"]);
}

#[test]
fn a_capacity_said_after_an_announcement_outlives_its_delay() {
    let mut t = Talk::new();
    t.announces("wes", offers("a", 1));
    t.announces("wes", offers("a b", 4));
    let pause = Ping {
        capacity: Some(0),
        ..ping(Duration::ZERO)
    };
    t.pings("wes", pause);
    t.wait_ms(100);
    assert_eq!(t.asks("ann", task("x", "b")), SILENCE);
    assert_eq!(t.snapshot().workers[0].capacity, 0);
}

#[test]
fn an_announcement_is_taken_whole_or_not_at_all() {
    let mut t = Talk::with(|config| config.limits.services = 2);
    t.announces("wes", offers("a b", 1));
    t.wait_ms(200);
    assert_eq!(t.announces("wes", offers("a b c", 1)), ["wes: ERROR 413"]);
    assert_eq!(
        t.announces("wes", offers("c s0.info", 1)),
        ["wes: ERROR 400"]
    );
    assert_eq!(t.announces("wes", offers("c c", 1)), ["wes: ERROR 400"]);
    assert_eq!(t.snapshot().workers[0].services, ["a".into(), "b".into()]);
    assert_eq!(t.announces("val", offers("c", 1)), ["val: ERROR 413"]);
    assert_eq!(t.snapshot().workers.len(), 1);
    // What it gives up makes room for what it takes on.
    assert_eq!(t.announces("wes", offers("c d", 1)), ["wes: CONFIG"]);
    assert_eq!(t.announces("val", offers("c d", 1)), ["val: CONFIG"]);
    t.wait_ms(200);
    assert_eq!(t.announces("val", offers("c e", 1)), ["val: ERROR 413"]);
}

#[test]
fn no_services_means_no_more_tasks() {
    let mut t = Talk::new();
    t.announces("wes", offers("echo", 2));
    t.asks("ann", task("x", "echo"));
    t.wait_ms(200);
    t.announces("wes", offers("", 2));
    assert_eq!(t.asks("ann", task("y", "echo")), SILENCE);
    assert_eq!(t.replies("wes", "x", "X"), ["ann: 200 X"]);
    assert_eq!(t.wait_ms(2000), ["ann: 404 not executed"]);
}

#[test]
fn a_client_may_be_its_own_worker_and_go() {
    let mut t = Talk::new();
    t.announces("sol", offers("echo;idempotent", 1));
    assert_eq!(
        t.asks("sol", numbered(1, "x", "echo")),
        ["sol: TASK echo x"]
    );
    assert_eq!(t.replies("sol", "x", "X"), ["sol: #1 200 X"]);
    t.asks("sol", numbered(1, "y", "echo"));
    t.asks("sol", numbered(2, "z", "echo"));
    t.asks("ann", task("u", "echo"));
    t.announces("wes", offers("echo", 0));
    assert_eq!(t.loses("sol"), SILENCE);
    assert_eq!((t.snapshot().open, t.snapshot().queued), (1, 1));
}

#[test]
fn a_stranger_who_speaks_like_a_worker_is_asked_who_it_is_once_a_second() {
    let mut t = Talk::new();
    t.announces("wes", offers("echo", 1));
    t.asks("ann", task("x", "echo"));
    assert_eq!(t.replies("eve", "x", "X"), ["eve: who are you?"]);
    assert_eq!(t.beat("eve", Dialect::Scale0), SILENCE);
    assert_eq!(t.pings("eve", ping(SECOND)), ["eve: PONG"]);
    t.wait_ms(999);
    assert_eq!(t.beat("eve", Dialect::Scale0), SILENCE);
    t.wait_ms(1);
    assert_eq!(
        t.pings("eve", ping(SECOND)),
        ["eve: PONG", "eve: who are you?"]
    );
    // Who pings without a promise or a task does not believe to be a worker, nor does a client
    // that says what it is capable of, nor a REQ socket.
    assert_eq!(t.pings("ann", ping(Duration::ZERO)), ["ann: PONG"]);
    let capable = Ping {
        capable: true,
        ..ping(SECOND)
    };
    assert_eq!(t.pings("ann", capable), ["ann: PONG"]);
    let from_req = Ping {
        back: Return {
            envelope: Message::single(b""),
            whole: true,
            ..back(Dialect::Scale0, 0)
        },
        ..ping(SECOND)
    };
    assert_eq!(t.pings("req", from_req), ["req: PONG"]);
}

#[test]
fn one_clients_promise_is_not_the_end_of_all_behind_a_proxy() {
    let mut t = Talk::new();
    let behind = Ping {
        back: Return {
            envelope: Message::new([&b"client"[..], b""]),
            whole: true,
            ..back(Dialect::Scale0, 0)
        },
        ..ping(SECOND)
    };
    assert_eq!(t.pings("proxy", behind), ["proxy: PONG"]);
    assert_eq!(t.wait_ms(60_000), SILENCE);
}

#[test]
fn an_s0_worker_that_answers_nothing_gets_three_beats() {
    let mut t = Talk::new();
    t.beats = true;
    t.announces("wes", offers("echo", 1));
    assert_eq!(t.wait_ms(60_000), ["wes: beat"; 3]);
    t.beat("wes", Dialect::Scale0);
    assert_eq!(t.wait_ms(60_000), ["wes: beat"; 3]);
}

#[test]
fn a_worker_that_was_given_something_needs_no_beat() {
    let mut t = Talk::new();
    t.beats = true;
    t.announces("wes", offers("echo", 9));
    for body in ["1", "2", "3"] {
        t.wait_ms(2000);
        assert_eq!(
            t.asks("ann", task(body, "echo")),
            [format!("wes: TASK echo {body}")]
        );
    }
    assert_eq!(t.wait_ms(2499), SILENCE);
    assert_eq!(t.wait_ms(1), ["wes: beat"]);
}

#[test]
fn who_promised_to_be_heard_is_held_to_it() {
    let mut t = Talk::new();
    let promise = |ms| scale0::protocol::Announcement {
        promise: Some(Duration::from_millis(ms)),
        ..offers("echo", 1)
    };
    t.announces("wes", promise(1000));
    t.wait_ms(3000);
    // Any sign of life will do.
    t.sign("wes");
    assert_eq!(t.wait_ms(3499), SILENCE);
    assert_eq!(t.wait_ms(1), ["wes: BYE", "close wes"]);
    // Others may be silent as long as they like; promises are kept within reason.
    t.announces("val", promise(0));
    t.announces("uma", promise(1));
    t.asks("ann", task("", "s0.info"));
    assert_eq!(t.wait_ms(799), SILENCE);
    assert_eq!(t.wait_ms(1), ["uma: BYE", "close uma"]);
    assert_eq!(t.wait_ms(600_000), SILENCE);
    t.pings("ann", ping(Duration::from_secs(3600)));
    assert_eq!(t.wait_ms(180_499), SILENCE);
    assert_eq!(t.wait_ms(1), ["close ann"]);
}

#[test]
fn a_busy_worker_may_be_silent_and_is_held_to_its_promise_right_after() {
    let mut t = Talk::new();
    t.announces(
        "wes",
        scale0::protocol::Announcement {
            promise: Some(Duration::from_millis(100)),
            ..offers("echo", 1)
        },
    );
    t.asks("ann", task("x", "echo"));
    assert_eq!(t.wait_ms(3000), SILENCE);
    assert_eq!(t.replies("wes", "x", "X"), ["ann: 200 X"]);
    assert_eq!(t.wait_ms(799), SILENCE);
    assert_eq!(t.wait_ms(1), ["wes: BYE", "close wes"]);
}

#[test]
fn a_worker_that_lets_a_deadline_pass_in_silence_is_suspect_until_it_speaks() {
    let mut t = Talk::new();
    t.announces("wes", offers("echo", 2));
    t.asks("ann", brief(SECOND, "x", "echo"));
    assert_eq!(t.wait_ms(1000), ["ann: 504", "wes: CANCEL x"]);
    assert_eq!(t.wait_ms(4999), SILENCE);
    assert!(!t.snapshot().workers[0].suspect);
    t.wait_ms(1);
    assert!(t.snapshot().workers[0].suspect);
    assert_eq!(t.asks("ann", task("y", "echo")), SILENCE);
    // Its I/O thread alone proves nothing.
    assert_eq!(t.sign("wes"), SILENCE);
    assert_eq!(t.beat("wes", Dialect::Scale0), ["wes: TASK echo y"]);
    // It spoke, but does not answer: judged anew.
    t.wait_ms(29_000);
    assert!(t.snapshot().workers[0].suspect);
}

#[test]
fn a_lease_averts_suspicion_but_moves_no_deadline() {
    let mut t = Talk::new();
    t.announces("wes", offers("echo", 1));
    t.asks("ann", brief(SECOND, "x", "echo"));
    let lease = Ping {
        back: Return {
            id: t.token("x"),
            ..back(Dialect::Scale0, 0)
        },
        ..ping(Duration::ZERO)
    };
    t.wait_ms(900);
    t.pings("wes", lease.clone());
    assert_eq!(t.wait_ms(100), ["ann: 504", "wes: CANCEL x"]);
    for _ in 0..5 {
        t.wait_ms(4000);
        t.pings("wes", lease.clone());
    }
    assert!(!t.snapshot().workers[0].suspect);
}

#[test]
fn a_suspect_that_stays_silent_is_given_up() {
    let mut t = Talk::new();
    t.announces("wes", offers("echo", 2));
    t.asks("ann", brief(SECOND, "x", "echo"));
    t.asks("ann", brief(Duration::from_secs(300), "y", "echo"));
    t.wait_ms(6000);
    assert_eq!(t.wait_ms(59_999), SILENCE);
    assert_eq!(t.wait_ms(1), ["ann: 502", "wes: BYE", "close wes"]);
}

#[test]
fn a_suspect_that_says_goodbye_is_given_nothing_first() {
    let mut t = Talk::new();
    t.announces("wes", offers("echo", 2));
    t.asks("ann", brief(SECOND, "x", "echo"));
    t.wait_ms(6000);
    t.asks("ann", task("y", "echo"));
    assert_eq!(t.bye("wes"), SILENCE);
    assert_eq!(t.wait_ms(2000), ["ann: 404 not executed"]);
}

#[test]
fn draining_lets_what_is_there_finish_and_takes_nothing_new() {
    let mut t = Talk::new();
    t.announces("wes", offers("echo", 1));
    t.asks("ann", task("x", "echo"));
    t.asks("ann", task("y", "echo"));
    assert_eq!(t.drains(Duration::from_secs(30)), SILENCE);
    assert_eq!(
        t.asks("ann", task("z", "echo")),
        ["ann: 503 not executed, again in 1s"]
    );
    assert_eq!(t.asks("ann", task("", "s0.info")), ["ann: (the info)"]);
    assert_eq!(
        t.replies("wes", "x", "X"),
        ["ann: 200 X", "wes: TASK echo y"]
    );
    assert_eq!(
        t.replies("wes", "y", "Y"),
        ["ann: 200 Y", "wes: BYE", "drained"]
    );
    assert_eq!(t.wait_ms(60_000), SILENCE);
}

#[test]
fn draining_ends_at_its_limit() {
    let mut t = Talk::new();
    t.announces("wes", offers("echo", 1));
    t.asks("ann", repeatable("x", "echo"));
    t.asks("bob", task("y", "echo"));
    t.drains(SECOND);
    assert_eq!(t.wait_ms(999), SILENCE);
    assert_eq!(
        t.wait_ms(1),
        [
            "ann: 502",
            "wes: CANCEL x",
            "bob: 503 not executed, again in 1s",
            "wes: BYE",
            "drained"
        ]
    );
}

#[test]
fn draining_with_nothing_to_do_is_done_at_once_and_only_once() {
    let mut t = Talk::new();
    t.announces("wes", ready(Dialect::Mdp01, "echo"));
    assert_eq!(t.drains(SECOND), ["wes: BYE", "drained"]);
    assert_eq!(t.drains(SECOND), SILENCE);
    assert_eq!(t.wait_ms(2000), SILENCE);
}

#[test]
fn a_task_that_comes_back_to_nobody_waits_no_longer_for_those_who_came_later() {
    let mut t = Talk::new();
    t.announces("wes", offers("echo", 1));
    t.asks("ann", repeatable("x", "echo"));
    t.wait_ms(200);
    t.announces("wes", offers("sum", 1));
    t.wait_ms(1500);
    t.asks("bob", task("y", "echo"));
    t.wait_ms(1000);
    t.loses("wes");
    let said = t.wait_ms(10);
    assert!(
        said.iter().any(|line| line.starts_with("ann: 502")),
        "{said:?}"
    );
    let said = t.wait_ms(1000);
    assert!(
        said.iter().any(|line| line.starts_with("bob: 404")),
        "{said:?}"
    );
}
