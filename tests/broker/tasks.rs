//! Clients' tasks: waiting, refusals, deadlines, retries (protocol sections 3 to 5).

use std::time::Duration;

use scale0::protocol::{Ask, Dialect, Id, Reading, Reply, Return, Word};
use scale0::wire::Message;

use crate::rig::back;
use crate::rig::talk::{SILENCE, Talk, brief, numbered, offers, oneway, repeatable, task};

#[test]
fn a_task_for_nobody_is_refused_after_the_time_to_wait_for_a_worker() {
    let mut t = Talk::new();
    assert_eq!(t.asks("ann", numbered(1, "x", "echo")), SILENCE);
    assert_eq!(t.wait_ms(1999), SILENCE);
    assert_eq!(t.wait_ms(1), ["ann: #1 404 not executed"]);
}

#[test]
fn a_short_life_ends_before_the_wait_for_a_worker_does() {
    let mut t = Talk::new();
    t.asks("ann", brief(Duration::from_millis(300), "x", "echo"));
    assert_eq!(t.wait_ms(299), SILENCE);
    assert_eq!(t.wait_ms(1), ["ann: 404 not executed"]);
}

#[test]
fn a_worker_that_comes_in_time_gets_what_waits_in_the_order_of_arrival() {
    let mut t = Talk::new();
    t.asks("ann", task("x", "echo"));
    t.wait_ms(1000);
    t.asks("bob", task("y", "sum"));
    t.wait_ms(500);
    t.asks("ann", task("z", "echo"));
    let said = t.announces("wes", offers("echo sum", 3));
    assert_eq!(
        said,
        [
            "wes: CONFIG",
            "wes: TASK echo x",
            "wes: TASK sum y",
            "wes: TASK echo z"
        ]
    );
}

#[test]
fn the_wait_for_a_worker_counts_from_the_later_of_arrival_and_its_leaving() {
    let mut t = Talk::new();
    t.announces("wes", offers("echo", 0));
    t.asks("ann", task("early", "echo"));
    t.wait_ms(5000);
    assert_eq!(t.loses("wes"), SILENCE);
    t.wait_ms(1500);
    t.asks("ann", task("late", "echo"));
    assert_eq!(t.wait_ms(499), SILENCE);
    assert_eq!(t.wait_ms(1), ["ann: 404 not executed"]);
    assert_eq!(t.wait_ms(1499), SILENCE);
    assert_eq!(t.wait_ms(1), ["ann: 404 not executed"]);
}

#[test]
fn a_worker_that_only_looked_in_makes_the_wait_begin_anew() {
    let mut t = Talk::new();
    t.asks("ann", task("x", "echo"));
    t.wait_ms(1000);
    t.announces("wes", offers("echo", 0));
    t.wait_ms(500);
    t.loses("wes");
    assert_eq!(t.wait_ms(1999), SILENCE);
    assert_eq!(t.wait_ms(1), ["ann: 404 not executed"]);
}

#[test]
fn a_task_that_waits_too_long_for_a_busy_worker_expires() {
    let mut t = Talk::new();
    t.announces("wes", offers("echo", 1));
    t.asks("ann", task("x", "echo"));
    t.asks("bob", brief(Duration::from_secs(10), "y", "echo"));
    assert_eq!(t.wait_ms(9999), SILENCE);
    assert_eq!(t.wait_ms(1), ["bob: 408 not executed"]);
}

#[test]
fn the_default_life_is_thirty_seconds_and_the_longest_a_day() {
    let mut t = Talk::new();
    t.announces("wes", offers("echo", 2));
    t.asks("ann", task("x", "echo"));
    t.asks("ann", brief(Duration::from_secs(1_000_000), "y", "echo"));
    assert_eq!(t.wait_ms(29_999), SILENCE);
    assert_eq!(t.wait_ms(1), ["ann: 504", "wes: CANCEL x"]);
    assert_eq!(t.replies("wes", "x", "late"), SILENCE);
    let day = Duration::from_secs(24 * 3600 - 30);
    assert_eq!(t.wait(day - Duration::from_millis(1)), SILENCE);
    assert_eq!(t.wait_ms(1), ["ann: 504", "wes: CANCEL y"]);
}

#[test]
fn a_longest_life_of_nothing_is_still_a_millisecond() {
    let mut t = Talk::with(|config| config.max_ttl = Duration::ZERO);
    t.asks("ann", task("x", "echo"));
    assert_eq!(t.wait_ms(1), ["ann: 404 not executed"]);
}

#[test]
fn a_reply_in_the_very_millisecond_of_the_deadline_counts() {
    let mut t = Talk::new();
    t.announces("wes", offers("echo", 1));
    t.asks("ann", brief(Duration::from_millis(10), "x", "echo"));
    t.wait_ms(9);
    assert_eq!(t.replies("wes", "x", "X"), ["ann: 200 X"]);
    assert_eq!(t.wait_ms(100), SILENCE);
}

#[test]
fn a_second_task_of_the_same_number_is_refused_and_the_first_goes_on() {
    let mut t = Talk::new();
    t.announces("wes", offers("echo", 2));
    t.asks("ann", numbered(7, "x", "echo"));
    assert_eq!(
        t.asks("ann", numbered(7, "y", "echo")),
        ["ann: #7 409 not executed"]
    );
    assert_eq!(t.replies("wes", "x", "X"), ["ann: #7 200 X"]);
    // Free again.
    assert_eq!(
        t.asks("ann", numbered(7, "z", "echo")),
        ["wes: TASK echo z"]
    );
}

#[test]
fn another_client_or_another_envelope_may_use_the_same_number() {
    let mut t = Talk::new();
    let behind = |name: &str| Return {
        envelope: Message::new([name.as_bytes(), b""]),
        ..back(Dialect::Scale0, 7)
    };
    t.announces("wes", offers("echo", 9));
    assert_eq!(
        t.asks("ann", numbered(7, "x", "echo")),
        ["wes: TASK echo x"]
    );
    assert_eq!(
        t.asks("bob", numbered(7, "y", "echo")),
        ["wes: TASK echo y"]
    );
    for body in ["u", "v"] {
        let mut ask = numbered(7, body, "echo");
        ask.back = behind(body);
        assert_eq!(t.asks("proxy", ask), [format!("wes: TASK echo {body}")]);
    }
    assert_eq!(
        t.says("proxy", Word::Cancel(behind("u"))),
        ["proxy: #7 499", "wes: CANCEL u"]
    );
    assert_eq!(t.replies("wes", "v", "V"), ["proxy: #7 200 V"]);
}

#[test]
fn unnumbered_tasks_may_be_many_and_cannot_be_cancelled() {
    let mut t = Talk::new();
    t.announces("wes", offers("echo", 2));
    t.asks("ann", task("x", "echo"));
    t.asks("ann", task("y", "echo"));
    assert_eq!(t.cancels("ann", 0), SILENCE);
    assert_eq!(t.replies("wes", "y", "Y"), ["ann: 200 Y"]);
    assert_eq!(t.replies("wes", "x", "X"), ["ann: 200 X"]);
}

#[test]
fn a_cancelled_task_is_answered_once_and_its_worker_told() {
    let mut t = Talk::new();
    t.announces("wes", offers("echo", 1));
    t.asks("ann", numbered(1, "x", "echo"));
    t.asks("ann", numbered(2, "y", "echo"));
    assert_eq!(t.cancels("ann", 2), ["ann: #2 499 not executed"]);
    assert_eq!(t.cancels("ann", 1), ["ann: #1 499", "wes: CANCEL x"]);
    assert_eq!(t.cancels("ann", 1), SILENCE);
    assert_eq!(t.asks("ann", numbered(3, "z", "echo")), SILENCE);
    // Only its own final gives the worker its place back.
    assert_eq!(t.replies("wes", "x", "stopped"), ["wes: TASK echo z"]);
}

#[test]
fn a_task_whose_time_is_up_is_a_zombie_that_keeps_its_place() {
    let mut t = Talk::new();
    t.announces("wes", offers("echo", 1));
    t.asks("ann", brief(Duration::from_secs(1), "x", "echo"));
    assert_eq!(t.wait_ms(1000), ["ann: 504", "wes: CANCEL x"]);
    assert_eq!(t.asks("ann", task("y", "echo")), SILENCE);
    assert_eq!(t.snapshot().in_flight, 1);
    assert_eq!(t.replies("wes", "x", "late"), ["wes: TASK echo y"]);
    assert_eq!(t.replies("wes", "y", "Y"), ["ann: 200 Y"]);
    assert_eq!(t.snapshot().held, 0);
}

#[test]
fn a_client_with_too_many_tasks_is_told_so() {
    let mut t = Talk::with(|config| config.limits.client_tasks = 2);
    t.announces("wes", offers("echo", 1));
    t.asks("ann", task("x", "echo"));
    t.asks("ann", task("y", "echo"));
    assert_eq!(
        t.asks("ann", task("z", "echo")),
        ["ann: 429 not executed, again in 1s"]
    );
    assert_eq!(t.asks("bob", task("z", "echo")), SILENCE);
}

#[test]
fn a_full_queue_refuses_by_number_and_by_bytes() {
    let mut t = Talk::with(|config| config.limits.queue_tasks = 1);
    t.asks("ann", task("x", "echo"));
    assert_eq!(
        t.asks("bob", task("y", "echo")),
        ["bob: 503 not executed, again in 1s"]
    );
    assert_eq!(t.asks("bob", task("z", "sum")), SILENCE);

    let mut t = Talk::with(|config| config.limits.queue_bytes = 1000);
    let large = "x".repeat(900);
    assert_eq!(
        t.asks("ann", task(&large, "echo")),
        ["ann: 503 not executed, again in 1s"]
    );
    assert_eq!(t.asks("ann", task("x", "echo")), SILENCE);
}

#[test]
fn a_worker_with_room_makes_a_full_queue_no_obstacle() {
    let mut t = Talk::with(|config| config.limits.queue_tasks = 0);
    t.announces("wes", offers("echo", 1));
    assert_eq!(t.asks("ann", task("x", "echo")), ["wes: TASK echo x"]);
    assert_eq!(
        t.asks("ann", task("y", "echo")),
        ["ann: 503 not executed, again in 1s"]
    );
}

#[test]
fn what_the_caller_holds_counts_against_everything() {
    let mut t = Talk::with(|config| config.limits.held = 10_000);
    t.outside(9_900);
    assert_eq!(
        t.asks("ann", task("x", "echo")),
        ["ann: 503 not executed, again in 1s"]
    );
    t.outside(0);
    assert_eq!(t.asks("ann", task("x", "echo")), SILENCE);
}

#[test]
fn no_more_names_without_a_worker_are_waited_for_than_allowed() {
    let mut t = Talk::with(|config| config.limits.awaited_names = 1);
    t.asks("ann", task("x", "echo"));
    assert_eq!(t.asks("ann", task("y", "sum")), ["ann: 404 not executed"]);
    assert_eq!(t.asks("ann", task("z", "echo")), SILENCE);
    t.announces("wes", offers("echo", 1));
    assert_eq!(t.asks("ann", task("u", "sum")), SILENCE);
}

#[test]
fn a_lost_client_leaves_nothing_behind() {
    let mut t = Talk::new();
    t.announces("wes", offers("echo", 1));
    t.asks("ann", task("x", "echo"));
    t.asks("ann", task("y", "echo"));
    assert_eq!(t.loses("ann"), ["wes: CANCEL x"]);
    assert_eq!(t.counters().orphaned, 2);
    assert_eq!(t.replies("wes", "x", "X"), SILENCE);
    assert_eq!((t.snapshot().held, t.snapshot().queued), (0, 0));
}

#[test]
fn the_next_user_of_a_connections_number_gets_no_answer_of_the_former() {
    let mut t = Talk::new();
    t.announces("wes", offers("echo", 1));
    t.asks("ann", numbered(1, "x", "echo"));
    t.loses("ann");
    t.reborn("ann");
    t.asks("ann", numbered(1, "y", "echo"));
    assert_eq!(t.replies("wes", "x", "X"), ["wes: TASK echo y"]);
    assert_eq!(t.replies("wes", "y", "Y"), ["ann: #1 200 Y"]);
}

#[test]
fn a_repeatable_task_goes_to_the_next_worker_and_another_is_lost_with_its_own() {
    let mut t = Talk::new();
    t.announces("wes", offers("echo", 2));
    t.asks("ann", repeatable("x", "echo"));
    t.asks("ann", task("y", "echo"));
    t.announces("val", offers("echo", 1));
    assert_eq!(t.loses("wes"), ["ann: 502", "val: TASK echo x, attempt 2"]);
    assert_eq!(t.replies("val", "x", "X"), ["ann: 200 X"]);
}

#[test]
fn tasks_of_a_lost_worker_come_first_and_in_their_old_order() {
    let mut t = Talk::new();
    t.announces("wes", offers("echo;idempotent", 3));
    for body in ["a", "b", "c", "d"] {
        t.asks("ann", task(body, "echo"));
    }
    assert_eq!(t.loses("wes"), SILENCE);
    let said = t.announces("val", offers("echo", 9));
    let tasks = ["a, attempt 2", "b, attempt 2", "c, attempt 2", "d"];
    assert_eq!(
        said[1..],
        tasks.map(|task| format!("val: TASK echo {task}"))
    );
}

#[test]
fn tasks_of_a_lost_worker_are_shared_among_the_ready_ones() {
    let mut t = Talk::new();
    t.announces("wes", offers("echo;idempotent", 3));
    for body in ["a", "b", "c"] {
        t.asks("ann", task(body, "echo"));
    }
    t.announces("val", offers("echo", 3));
    t.announces("uma", offers("echo", 3));
    assert_eq!(
        t.loses("wes"),
        [
            "val: TASK echo a, attempt 2",
            "uma: TASK echo b, attempt 2",
            "val: TASK echo c, attempt 2"
        ]
    );
}

#[test]
fn three_attempts_and_no_more() {
    let mut t = Talk::new();
    t.asks("ann", repeatable("x", "echo"));
    for worker in ["wes", "val"] {
        t.announces(worker, offers("echo", 1));
        assert_eq!(t.loses(worker), SILENCE);
    }
    let said = t.announces("uma", offers("echo", 1));
    assert_eq!(said, ["uma: CONFIG", "uma: TASK echo x, attempt 3"]);
    assert_eq!(t.bye("uma"), ["ann: 502"]);
    assert_eq!((t.counters().poisoned, t.counters().retried), (1, 2));
}

#[test]
fn a_task_that_may_have_begun_is_never_called_not_executed() {
    let mut t = Talk::new();
    t.announces("wes", offers("echo", 1));
    t.asks("ann", repeatable("x", "echo"));
    t.loses("wes");
    assert_eq!(t.wait_ms(2000), ["ann: 502"]);

    t.announces("val", offers("echo", 1));
    t.asks("ann", brief(Duration::from_secs(4), "y", "echo"));
    let z = Ask {
        idempotent: true,
        ..brief(Duration::from_secs(4), "z", "echo")
    };
    t.asks("ann", z);
    t.announces("uma", offers("echo", 1));
    t.announces("uma", offers("echo", 0));
    t.wait_ms(200);
    assert_eq!(t.snapshot().queued, 0);
    t.loses("uma");
    assert_eq!(t.wait_ms(3800), ["ann: 504", "val: CANCEL y", "ann: 504"]);
}

#[test]
fn what_a_worker_promised_to_repeat_is_repeated_though_it_took_its_offer_back() {
    let mut t = Talk::new();
    t.announces("wes", offers("echo;idempotent", 1));
    t.asks("ann", task("x", "echo"));
    t.wait_ms(200);
    assert_eq!(t.announces("wes", offers("", 0)), ["wes: CONFIG"]);
    assert_eq!(t.bye("wes"), SILENCE);
    let said = t.announces("val", offers("echo", 1));
    assert_eq!(said[1..], ["val: TASK echo x, attempt 2"]);
}

#[test]
fn a_retried_task_that_nobody_can_do_any_more_does_not_wait_for_its_deadline() {
    let mut t = Talk::new();
    t.announces("wes", offers("echo", 1));
    t.asks("ann", repeatable("x", "echo"));
    t.wait_ms(200);
    t.announces("wes", offers("sum", 1));
    t.wait_ms(1000);
    t.loses("wes");
    assert_eq!(t.wait_ms(2000), ["ann: 502"]);
}

#[test]
fn a_task_of_which_a_part_was_passed_on_is_never_repeated() {
    let mut t = Talk::new();
    t.announces("wes", offers("echo;idempotent", 1));
    t.announces("val", offers("echo;idempotent", 1));
    t.asks("ann", repeatable("x", "echo"));
    assert_eq!(t.streams("wes", "x", "first"), ["ann: 200+ first"]);
    assert_eq!(t.streams("wes", "x", "second"), ["ann: 200+ second"]);
    assert_eq!(t.loses("wes"), ["ann: 502"]);
}

#[test]
fn partial_replies_are_gathered_for_a_client_that_takes_one_answer() {
    let mut t = Talk::new();
    t.announces("wes", offers("echo;idempotent", 1));
    let mut ask = task("x", "echo");
    ask.back.envelope = Message::single(b"");
    ask.back.whole = true;
    t.asks("req", ask);
    assert_eq!(t.streams("wes", "x", "first"), SILENCE);
    // Nothing was passed on, so it may be repeated, from the start.
    t.announces("val", offers("echo", 1));
    assert_eq!(t.loses("wes"), ["val: TASK echo x, attempt 2"]);
    assert_eq!(t.streams("val", "x", "a"), SILENCE);
    assert_eq!(t.streams("val", "x", "b"), SILENCE);
    assert_eq!(t.replies("val", "x", "c"), ["req: 200 a|b|c"]);
    assert_eq!(t.snapshot().held, 0);
}

#[test]
fn partial_replies_too_large_to_gather_end_the_task() {
    for (message, parts) in [(10, 1024), (1000, 2)] {
        let mut t = Talk::with(|config| {
            config.limits.message = message;
            config.limits.parts = parts;
        });
        t.announces("wes", offers("echo", 1));
        let mut ask = task("x", "echo");
        ask.back.whole = true;
        t.asks("req", ask);
        t.streams("wes", "x", "12345");
        let said = t.streams("wes", "x", "67890");
        if message == 10 {
            assert_eq!(said, ["req: 413", "wes: CANCEL x"]);
            assert_eq!(t.replies("wes", "x", "end"), SILENCE);
        } else {
            assert_eq!(t.replies("wes", "x", "end"), ["req: 413"]);
        }
        assert_eq!(t.asks("ann", task("y", "echo")), ["wes: TASK echo y"]);
    }
}

#[test]
fn a_reply_counts_only_from_the_worker_that_has_the_task() {
    let mut t = Talk::new();
    t.announces("wes", offers("echo", 1));
    t.asks("ann", task("x", "echo"));
    t.announces("eve", offers("echo", 1));
    assert_eq!(t.replies("eve", "x", "forged"), SILENCE);
    assert_eq!(t.counters().forged_replies, 1);
    let token = u64::from_be_bytes(t.token("x").0);
    for guess in [0, 1, token ^ 1, token ^ 1 << 63, !token] {
        let guess = Reply {
            dialect: Dialect::Scale0,
            token: Id(guess.to_be_bytes()),
            code: 200,
            partial: false,
            refuses: false,
            ms: 0,
            properties: bytes::Bytes::new(),
            body: Message::from("guessed"),
        };
        assert_eq!(t.says("wes", Word::Reply(guess)), SILENCE);
    }
    assert_eq!(t.counters().late_replies, 5);
    assert_eq!(t.replies("wes", "x", "X"), ["ann: 200 X"]);
    assert_eq!(t.replies("wes", "x", "again"), SILENCE);
}

#[test]
fn the_token_of_an_attempt_that_failed_is_void() {
    let mut t = Talk::new();
    t.announces("wes", offers("echo;idempotent", 1));
    t.asks("ann", task("x", "echo"));
    let old = t.token("x");
    t.bye("wes");
    t.wait_ms(200);
    t.announces("wes", offers("echo;idempotent", 1));
    assert_ne!(t.token("x"), old);
    let late = Reply {
        dialect: Dialect::Scale0,
        token: old,
        code: 200,
        partial: false,
        refuses: false,
        ms: 0,
        properties: bytes::Bytes::new(),
        body: Message::from("late"),
    };
    assert_eq!(t.says("wes", Word::Reply(late)), SILENCE);
    assert_eq!(t.replies("wes", "x", "X"), ["ann: 200 X"]);
}

#[test]
fn the_broker_answers_for_itself() {
    let mut t = Talk::new();
    for name in ["info", "services", "workers", "queues"] {
        let said = t.asks("ann", numbered(1, "", &format!("s0.{name}")));
        assert_eq!(said, [format!("ann: (the {name})")]);
    }
    assert_eq!(
        t.asks("ann", numbered(1, "", "s0.dead")),
        ["ann: #1 501 not executed"]
    );
    assert_eq!(t.asks("ann", task("echo", "mmi.service")), ["ann: 200 404"]);
    // To be asked for is not to be offered.
    t.asks("ann", task("x", "echo"));
    assert_eq!(t.asks("ann", task("echo", "mmi.service")), ["ann: 200 404"]);
    t.announces("wes", offers("echo", 0));
    assert_eq!(t.asks("ann", task("echo", "mmi.service")), ["ann: 200 200"]);
    assert_eq!(t.asks("ann", task("echo", "mmi.filter")), ["ann: 200 501"]);
    // "mmi." begins the name or means nothing.
    assert_eq!(t.asks("ann", task("z", "my.mmi.service")), SILENCE);
}

#[test]
fn the_third_malformed_message_is_the_last() {
    let mut t = Talk::new();
    let way = back(Dialect::Scale0, 5);
    assert_eq!(
        t.blunders("mal", way.clone(), true),
        ["mal: #5 400 not executed"]
    );
    assert_eq!(t.blunders("mal", way.clone(), false), ["mal: ERROR 400"]);
    assert_eq!(
        t.blunders("mal", way.clone(), false),
        ["mal: ERROR 400", "mal: ERROR 444", "close mal"]
    );
    assert_eq!(t.blunders("mal", way, false), SILENCE);

    assert_eq!(t.hears("max", Reading::Unknown { proxied: false }), SILENCE);
    assert_eq!(t.hears("max", Reading::Unknown { proxied: false }), SILENCE);
    assert_eq!(
        t.hears("max", Reading::Unknown { proxied: false }),
        ["close max"]
    );
}

#[test]
fn behind_a_proxy_nobody_is_closed_for_anothers_mistakes() {
    let mut t = Talk::new();
    let mut way = back(Dialect::Scale0, 5);
    way.envelope = Message::new([&b"client"[..], b""]);
    for _ in 0..9 {
        assert_eq!(
            t.blunders("proxy", way.clone(), false),
            ["proxy: ERROR 400"]
        );
        assert_eq!(
            t.hears("proxy", Reading::Unknown { proxied: true }),
            SILENCE
        );
    }
}

#[test]
fn whose_connection_is_being_closed_is_a_worker_no_more() {
    let mut t = Talk::new();
    t.announces("wes", offers("echo;idempotent", 2));
    t.asks("ann", task("x", "echo"));
    t.announces("val", offers("echo", 1));
    for _ in 0..2 {
        t.hears("wes", Reading::Unknown { proxied: false });
    }
    assert_eq!(
        t.hears("wes", Reading::Unknown { proxied: false }),
        ["close wes", "val: TASK echo x, attempt 2"]
    );
    assert_eq!(t.announces("wes", offers("echo", 2)), SILENCE);
    assert_eq!(t.asks("wes", task("y", "echo")), SILENCE);
    assert_eq!(t.snapshot().open, 1);
    assert_eq!(t.loses("wes"), SILENCE);
}

#[test]
fn a_client_with_too_large_tasks_is_told_so_and_others_are_served() {
    let mut t = Talk::with(|config| config.limits.client_bytes = 25_000);
    t.announces("wes", offers("echo", 1));
    let large = |n: u8| char::from(b'a' + n).to_string().repeat(10_000);
    t.asks("ann", task(&large(0), "echo"));
    assert_eq!(t.asks("ann", task(&large(1), "sum")), SILENCE);
    let told = "ann: 429 not executed, again in 1s";
    assert_eq!(t.asks("ann", task(&large(2), "sum")), [told]);
    assert_eq!(t.asks("bob", task(&large(3), "echo")), SILENCE);
    // An answer makes room; so does a one-way task's end, not its receipt.
    t.replies("wes", &large(0), "");
    t.asks("ann", oneway(1, &large(4), "echo"));
    assert_eq!(t.asks("ann", task(&large(5), "sum")), [told]);
    t.replies("wes", &large(3), "");
    t.replies("wes", &large(4), "");
    assert_eq!(t.asks("ann", task(&large(6), "sum")), SILENCE);
}

#[test]
fn the_broker_takes_so_many_tasks_and_no_more() {
    let mut t = Talk::with(|config| config.limits.tasks = 2);
    t.announces("wes", offers("echo", 1));
    t.asks("ann", task("x", "echo"));
    t.asks("bob", task("y", "echo"));
    let told = "cat: 503 not executed, again in 1s";
    assert_eq!(t.asks("cat", task("z", "echo")), [told]);
    t.replies("wes", "x", "");
    assert_eq!(t.asks("cat", task("z", "echo")), SILENCE);
}
