//! Partial replies: under credit, held back for those who do not read, given up where a worker
//! runs away, cancelled at every point (protocol sections 3, 7 and 8).

use std::time::Duration;

use scale0::limits::Limits;
use scale0::protocol::{Dialect, Return, Word};
use scale0::wire::Message;

use crate::rig::back;
use crate::rig::talk::{
    SILENCE, Talk, brief, counting, majordomo, numbered, offers, ping, ready, repeatable, task,
};

/// So many lines of this.
fn times(n: usize, line: &str) -> Vec<String> {
    vec![line.to_owned(); n]
}

/// A client and a worker that both count, and its task number 1, "x".
fn counted() -> Talk {
    let mut t = Talk::new();
    t.announces("wes", counting("echo", 1));
    assert_eq!(t.counts("ann"), ["ann: PONG"]);
    t.asks("ann", numbered(1, "x", "echo"));
    t
}

#[test]
fn a_client_that_counts_gets_sixteen_parts_and_then_as_many_as_it_takes() {
    let mut t = counted();
    assert_eq!(t.bursts("wes", "x", 16, "p"), times(16, "ann: #1 200+ p"));
    // Nothing to tell: the worker knows that it has used all of it.
    assert_eq!(t.credits("ann", 1, 3, 0), ["wes: CREDIT x 3 0"]);
    assert_eq!(t.bursts("wes", "x", 3, "p"), times(3, "ann: #1 200+ p"));
    assert_eq!(t.replies("wes", "x", "end"), ["ann: #1 200 end"]);
    assert_eq!(t.credits("ann", 1, 3, 0), SILENCE, "the stream is over");
}

#[test]
fn bytes_count_as_messages_do_and_one_message_may_be_larger() {
    let mut t = counted();
    let large = "l".repeat(3 << 20);
    assert_eq!(t.streams("wes", "x", &large).len(), 1);
    // 2 MiB are owed.
    assert_eq!(t.credits("ann", 1, 0, 2048), ["wes: CREDIT x 0 2048"]);
    let mut u = counted();
    u.streams("wes", "x", &large);
    assert_eq!(
        u.streams("wes", "x", "p"),
        SILENCE,
        "not before they are paid"
    );
    assert_eq!(u.credits("ann", 1, 0, 2048), SILENCE);
    assert_eq!(
        u.credits("ann", 1, 0, 1),
        ["ann: #1 200+ p", "wes: CREDIT x 0 2049"]
    );
}

#[test]
fn what_a_worker_sends_without_credit_waits_and_goes_with_the_final_at_the_latest() {
    let mut t = Talk::new();
    t.announces("wes", offers("echo", 1));
    t.counts("ann");
    t.asks("ann", numbered(1, "x", "echo"));
    assert_eq!(t.bursts("wes", "x", 20, "p"), times(16, "ann: #1 200+ p"));
    assert!(t.snapshot().held > 0);
    assert_eq!(t.credits("ann", 1, 1, 0), ["ann: #1 200+ p"]);
    assert_eq!(
        t.replies("wes", "x", "end"),
        [
            "ann: #1 200+ p",
            "ann: #1 200+ p",
            "ann: #1 200+ p",
            "ann: #1 200 end"
        ]
    );
    assert_eq!(t.snapshot().held, 0);
}

#[test]
fn a_worker_that_runs_away_loses_the_task_and_keeps_its_place_until_it_answers() {
    let mut t = Talk::with(|config| config.limits.ahead = 10_000);
    t.announces("wes", offers("echo", 1));
    t.counts("ann");
    t.asks("ann", numbered(1, "x", "echo"));
    t.bursts("wes", "x", 16, "p");
    let body = "b".repeat(9000);
    assert_eq!(t.bursts("wes", "x", 2, &body), SILENCE);
    assert_eq!(t.streams("wes", "x", "p"), ["ann: #1 413", "wes: CANCEL x"]);
    assert_eq!(t.snapshot().in_flight, 1);
    assert_eq!(t.streams("wes", "x", "p"), SILENCE);
    assert_eq!(t.asks("ann", numbered(2, "y", "echo")), SILENCE);
    assert_eq!(t.replies("wes", "x", "late"), ["wes: TASK echo y"]);
}

#[test]
fn a_client_that_does_not_read_holds_back_the_worker_and_no_other_client() {
    let mut t = Talk::new();
    t.announces("wes", counting("echo", 2));
    t.asks("ann", task("x", "echo"));
    t.asks("bob", task("y", "echo"));
    assert_eq!(t.bursts("wes", "x", 7, "p"), times(7, "ann: 200+ p"));
    assert_eq!(
        t.streams("wes", "x", "p"),
        ["ann: 200+ p", "wes: CREDIT x 8 0"],
        "its own connection is what counts"
    );
    t.full("ann", true);
    assert_eq!(t.bursts("wes", "x", 16, "p"), SILENCE);
    assert_eq!(
        t.bursts("wes", "y", 8, "q").last().map(String::as_str),
        Some("wes: CREDIT y 8 0"),
        "the other one goes on"
    );
    let mut expected = times(16, "ann: 200+ p");
    expected.push("wes: CREDIT x 16 0".to_owned());
    assert_eq!(t.full("ann", false), expected);
    // What fills it does not keep the final from it.
    t.full("ann", true);
    t.streams("wes", "x", "p");
    assert_eq!(
        t.replies("wes", "x", "end"),
        ["ann: 200+ p", "ann: 200 end"]
    );
}

#[test]
fn so_much_given_in_one_turn_that_a_client_may_be_full_is_gauged() {
    let mut t = Talk::with(|config| config.limits.worker_outbox = 10_000);
    t.announces("wes", offers("echo", 1));
    t.asks("ann", task("x", "echo"));
    let body = "b".repeat(6000);
    let part = format!("ann: 200+ {body}");
    assert_eq!(t.streams("wes", "x", &body), std::slice::from_ref(&part));
    assert_eq!(
        t.streams("wes", "x", &body),
        [part.clone(), "gauge ann".to_owned()]
    );
    assert_eq!(t.streams("wes", "x", &body), SILENCE);
    assert_eq!(t.full("ann", false), [part]);
}

#[test]
fn streams_of_one_client_go_on_in_turns() {
    let mut t = Talk::with(|config| config.limits.worker_outbox = 1000);
    t.announces("wes", offers("echo", 3));
    for (n, body) in [(1, "x"), (2, "y"), (3, "z")] {
        t.asks("ann", numbered(n, body, "echo"));
    }
    t.full("ann", true);
    let large = "l".repeat(1000);
    for body in ["x", "y", "z"] {
        t.bursts("wes", body, 2, &large);
    }
    let mut seen = Vec::new();
    for _ in 0..6 {
        let said = t.full("ann", false);
        assert_eq!(said.len(), 2, "{said:?}");
        assert_eq!(said[1], "gauge ann");
        seen.push(said[0].split(' ').nth(1).unwrap().to_owned());
    }
    assert_eq!(seen, ["#1", "#2", "#3", "#1", "#2", "#3"]);
}

#[test]
fn a_client_that_takes_one_answer_only_never_keeps_its_worker_waiting() {
    let mut t = Talk::new();
    t.announces("wes", counting("echo", 1));
    let mut ask = numbered(1, "x", "echo");
    ask.back = Return {
        envelope: Message::single(b""),
        whole: true,
        ..ask.back
    };
    t.counts("ann");
    t.asks("ann", ask);
    assert_eq!(t.bursts("wes", "x", 7, "p"), SILENCE);
    assert_eq!(t.streams("wes", "x", "p"), ["wes: CREDIT x 8 0"]);
    t.full("ann", true);
    assert_eq!(t.bursts("wes", "x", 8, "p"), ["wes: CREDIT x 8 0"]);
    let whole = format!("ann: #1 200 {}end", "p|".repeat(16));
    assert_eq!(t.replies("wes", "x", "end"), [whole]);
}

#[test]
fn progress_is_shown_to_who_sees_its_status_and_to_nobody_else() {
    let mut t = Talk::new();
    t.announces("wes", counting("echo", 3));
    t.asks("ann", numbered(1, "x", "echo"));
    let mut req = numbered(2, "y", "echo");
    req.back.envelope = Message::single(b"");
    req.back.whole = true;
    t.asks("req", req);
    t.asks("mdp", majordomo(Dialect::Mdp02, "z", "echo"));
    assert_eq!(t.progresses("wes", "x", "10 %"), ["ann: #1 102+ 10 %"]);
    for body in ["y", "z"] {
        for _ in 0..7 {
            assert_eq!(t.progresses("wes", body, "10 %"), SILENCE);
        }
        // It costs its worker nothing.
        assert_eq!(
            t.progresses("wes", body, "80 %"),
            [format!("wes: CREDIT {body} 8 0")]
        );
    }
    assert_eq!(t.replies("wes", "y", "Y"), ["req: #2 200 Y"]);
    assert_eq!(t.replies("wes", "z", "Z"), ["mdp: 200 Z"]);
}

#[test]
fn after_a_part_there_is_no_second_attempt_but_a_part_nobody_saw_is_forgotten() {
    let mut t = Talk::new();
    t.announces("wes", counting("echo", 2));
    t.announces("val", counting("echo", 0));
    t.asks("ann", repeatable("x", "echo"));
    t.asks("bob", repeatable("y", "echo"));
    t.full("bob", true);
    t.streams("wes", "x", "p");
    t.streams("wes", "y", "p");
    assert_eq!(t.loses("wes"), ["ann: 502"]);
    t.wait_ms(200);
    assert_eq!(
        t.announces("val", counting("echo", 1)),
        ["val: CONFIG", "val: TASK echo y, attempt 2"]
    );
    assert_eq!(t.full("bob", false), SILENCE, "the first attempt's part");
    // The new worker begins with a window of its own.
    assert_eq!(t.bursts("val", "y", 7, "q"), times(7, "bob: 200+ q"));
    assert_eq!(
        t.streams("val", "y", "q"),
        ["bob: 200+ q", "val: CREDIT y 8 0"]
    );
    assert_eq!(t.replies("val", "y", "Y"), ["bob: 200 Y"]);
}

#[test]
fn credit_given_before_a_worker_has_the_task_is_not_lost() {
    let mut t = Talk::new();
    t.counts("ann");
    t.asks("ann", numbered(1, "x", "echo"));
    assert_eq!(t.credits("ann", 1, 20, 0), SILENCE);
    t.announces("wes", counting("echo", 1));
    assert_eq!(
        t.streams("wes", "x", "p"),
        ["ann: #1 200+ p", "wes: CREDIT x 20 0"]
    );
}

#[test]
fn credit_beyond_all_reason_lets_no_worker_send_without_end() {
    let mut t = counted();
    assert_eq!(
        t.credits("ann", 1, u16::MAX, u32::MAX),
        ["wes: CREDIT x 1008 3072"]
    );
    for _ in 0..99 {
        assert_eq!(t.credits("ann", 1, u16::MAX, u32::MAX), SILENCE);
    }
}

#[test]
fn credit_of_who_does_not_count_or_for_nothing_means_nothing() {
    let mut t = Talk::new();
    t.announces("wes", counting("echo", 3));
    t.asks("ann", numbered(1, "x", "echo"));
    t.counts("ann");
    assert_eq!(
        t.credits("ann", 1, 5, 5),
        SILENCE,
        "asked before it said so"
    );
    assert_eq!(t.credits("ann", 9, 5, 5), SILENCE);
    assert_eq!(t.credits("ann", 0, 5, 5), SILENCE);
    assert_eq!(t.credits("bob", 1, 5, 5), SILENCE, "another's task");
    t.asks("ann", numbered(2, "y", "echo"));
    t.cancels("ann", 2);
    assert_eq!(t.credits("ann", 2, 5, 5), SILENCE, "it is over");
    // Parts without a number cannot be counted.
    t.asks("ann", task("z", "echo"));
    assert_eq!(t.bursts("wes", "z", 8, "p").len(), 9);
}

#[test]
fn a_worker_that_does_not_count_is_never_told() {
    let mut t = Talk::new();
    t.announces("wes", offers("echo", 1));
    t.announces("old", ready(Dialect::Mdp02, "sum"));
    t.counts("ann");
    t.asks("ann", numbered(1, "x", "echo"));
    t.asks("ann", numbered(2, "y", "sum"));
    for (who, body) in [("wes", "x"), ("old", "y")] {
        let said = t.bursts(who, body, 16, "p");
        assert!(said.iter().all(|line| line.starts_with("ann")), "{said:?}");
    }
    assert_eq!(t.credits("ann", 1, 5, 0), SILENCE);
    assert_eq!(t.credits("ann", 2, 5, 0), SILENCE);
}

#[test]
fn goodbye_ends_the_counting() {
    let mut t = counted();
    assert_eq!(t.bye("ann"), ["wes: CANCEL x"]);
    t.replies("wes", "x", "");
    t.asks("ann", numbered(1, "y", "echo"));
    assert_eq!(t.credits("ann", 1, 9, 9), SILENCE);
}

/// Brings a task "x" of ann's, number 1, into each of its states. What else its end brings stands
/// behind the name.
fn states() -> Vec<(&'static str, Talk, bool)> {
    let mut queued = Talk::new();
    queued.announces("wes", counting("echo", 0));
    queued.counts("ann");
    queued.asks("ann", numbered(1, "x", "echo"));
    let assigned = counted();
    let mut streaming = counted();
    streaming.streams("wes", "x", "p");
    let mut waiting = counted();
    waiting.bursts("wes", "x", 16, "p");
    let mut beyond = counted();
    beyond.bursts("wes", "x", 18, "p");
    let mut unread = counted();
    unread.full("ann", true);
    unread.streams("wes", "x", "p");
    let mut retried = Talk::new();
    retried.announces("val", counting("echo;idempotent", 1));
    retried.counts("ann");
    retried.asks("ann", numbered(1, "x", "echo"));
    retried.announces("wes", counting("echo", 1));
    retried.loses("val");
    vec![
        ("queued", queued, false),
        ("assigned", assigned, true),
        ("streaming", streaming, true),
        ("waiting for credit", waiting, true),
        ("beyond its credit", beyond, true),
        ("held back", unread, true),
        ("retried", retried, true),
    ]
}

#[test]
fn cancel_reaches_the_worker_in_every_state_and_frees_its_place_when_it_answers() {
    for (state, mut t, assigned) in states() {
        let said = t.cancels("ann", 1);
        if !assigned {
            assert_eq!(said, ["ann: #1 499 not executed"], "{state}");
            continue;
        }
        assert_eq!(said, ["ann: #1 499", "wes: CANCEL x"], "{state}");
        assert_eq!(t.cancels("ann", 1), SILENCE, "{state}");
        assert_eq!(t.credits("ann", 1, 9, 9), SILENCE, "{state}");
        assert_eq!(t.streams("wes", "x", "p"), SILENCE, "{state}");
        assert_eq!(t.full("ann", false), SILENCE, "{state}");
        let kept = t.snapshot();
        assert_eq!((kept.open, kept.in_flight), (0, 1), "{state}");
        assert_eq!(t.replies("wes", "x", "late"), SILENCE, "{state}");
        assert_eq!(t.snapshot().in_flight, 0, "{state}");
        assert_eq!(t.snapshot().held, 0, "{state}");
    }
}

#[test]
fn whatever_else_ends_a_stream_does_so_once_in_every_state() {
    type End = fn(&mut Talk) -> Vec<String>;
    let ends: [(&str, End, bool); 4] = [
        ("client lost", |t| t.loses("ann"), true),
        ("worker lost", |t| t.loses("wes"), false),
        ("worker says goodbye", |t| t.bye("wes"), false),
        ("deadline", |t| t.wait_ms(30_000), true),
    ];
    for (end, bring, answers) in ends {
        for (state, mut t, assigned) in states() {
            bring(&mut t);
            if answers && assigned {
                assert_eq!(t.replies("wes", "x", "late"), SILENCE, "{end}, {state}");
            }
            t.wait_ms(40_000);
            let rest = t.snapshot();
            assert_eq!(
                (rest.open, rest.in_flight, rest.held),
                (0, 0, 0),
                "{end}, {state}"
            );
        }
    }
}

#[test]
fn a_ping_with_its_tasks_token_keeps_a_late_worker_trusted_and_moves_no_deadline() {
    let late = |lease: bool| {
        let mut t = Talk::new();
        t.announces("wes", offers("echo", 2));
        t.asks("ann", brief(Duration::from_secs(1), "x", "echo"));
        assert_eq!(t.wait_ms(1000), ["ann: 504", "wes: CANCEL x"]);
        for _ in 0..8 {
            t.wait_ms(2000);
            if lease {
                let mut ping = ping(Duration::ZERO);
                ping.back = Return {
                    id: t.token("x"),
                    ..back(Dialect::Scale0, 0)
                };
                assert_eq!(t.says("wes", Word::Ping(ping)), ["wes: PONG"]);
            }
        }
        t.snapshot().workers[0].suspect
    };
    assert!(late(false));
    assert!(!late(true));
}

#[test]
fn what_may_wait_for_a_client_is_a_mebibyte() {
    assert_eq!(Limits::default().ahead, 1 << 20);
}

#[test]
fn a_client_that_is_held_back_gets_its_parts_though_its_credit_is_not_read() {
    let mut t = Talk::with(|config| {
        config.overflow = scale0::broker::Overflow::Block;
        config.limits.client_tasks = 1;
    });
    t.announces("wes", counting("echo", 1));
    t.counts("ann");
    t.asks("ann", numbered(1, "x", "echo"));
    t.bursts("wes", "x", 16, "p");
    // One task too many: nothing of what the client says now is heard, its credit included.
    let said = t.asks("ann", numbered(2, "y", "echo"));
    assert_eq!(said, ["hold ann", "wes: CREDIT x 16 0"]);
    let said = t.bursts("wes", "x", 16, "p");
    let parts = said.iter().filter(|line| *line == "ann: #1 200+ p");
    assert_eq!(parts.count(), 16, "{said:?}");
    assert_eq!(t.replies("wes", "x", "end")[0], "ann: #1 200 end");
}
