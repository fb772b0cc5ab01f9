//! Whose turn it is: priorities, fair turns among clients, bounds and what happens beyond them
//! (protocol section 5).

use scale0::broker::Overflow;
use scale0::protocol::{Ask, Dialect};

use crate::rig::talk::{SILENCE, Talk, majordomo, numbered, offers, task};

fn important(priority: u8, body: &str, service: &str) -> Ask {
    Ask {
        priority,
        ..task(body, service)
    }
}

/// What a worker with room for one task gets, one after the other.
fn given(t: &mut Talk, worker: &'static str, first: &str) -> Vec<String> {
    let mut bodies = vec![first.to_owned()];
    loop {
        let last = bodies.last().unwrap().clone();
        let said = t.replies(worker, &last, "done");
        let Some(next) = said.iter().find_map(|line| line.split(" TASK ").nth(1)) else {
            return bodies;
        };
        bodies.push(next.split_once(' ').unwrap().1.to_owned());
    }
}

#[test]
fn a_client_with_many_tasks_delays_another_by_one_turn() {
    let mut t = Talk::new();
    t.announces("wes", offers("echo", 1));
    for body in ["a1", "a2", "a3", "a4"] {
        t.asks("ann", task(body, "echo"));
    }
    t.asks("bob", task("b1", "echo"));
    t.asks("cid", task("c1", "echo"));
    t.asks("bob", task("b2", "echo"));
    let order = ["a1", "a2", "b1", "c1", "a3", "b2", "a4"];
    assert_eq!(given(&mut t, "wes", "a1"), order);
}

#[test]
fn turns_are_shared_across_the_services_of_one_worker() {
    let mut t = Talk::new();
    t.announces("wes", offers("echo sum", 1));
    for body in ["a1", "a2", "a3"] {
        t.asks("ann", task(body, "echo"));
        t.wait_ms(1);
    }
    t.asks("bob", task("b1", "sum"));
    t.wait_ms(1);
    assert_eq!(given(&mut t, "wes", "a1"), ["a1", "b1", "a2", "a3"]);
}

#[test]
fn what_is_important_goes_first_and_the_rest_rises_by_a_level_a_second() {
    let mut t = Talk::new();
    t.announces("wes", offers("echo", 1));
    t.asks("ann", task("x", "echo"));
    t.asks("ann", important(1, "low", "echo"));
    t.asks("bob", task("middle", "echo"));
    t.asks("cid", important(7, "high", "echo"));
    assert_eq!(t.replies("wes", "x", "")[1..], ["wes: TASK echo high"]);
    t.wait_ms(3000);
    t.asks("dot", important(5, "later", "echo"));
    assert_eq!(t.replies("wes", "high", "")[1..], ["wes: TASK echo middle"]);
    assert_eq!(
        t.replies("wes", "middle", "")[1..],
        ["wes: TASK echo later"]
    );
    assert_eq!(t.replies("wes", "later", "")[1..], ["wes: TASK echo low"]);
}

#[test]
fn what_waits_long_enough_overtakes_what_is_more_important() {
    let mut t = Talk::new();
    t.announces("wes", offers("echo", 1));
    t.asks("ann", task("x", "echo"));
    t.asks("ann", important(1, "low", "echo"));
    t.wait_ms(6000);
    t.asks("bob", important(6, "high", "echo"));
    assert_eq!(t.replies("wes", "x", "")[1..], ["wes: TASK echo low"]);
}

#[test]
fn a_full_queue_has_room_left_for_those_who_come_later() {
    let mut t = Talk::with(|config| config.limits.queue_tasks = 90);
    t.announces("wes", offers("echo", 1));
    t.asks("ann", task("x", "echo"));
    let mut taken = 0;
    while t.asks("ann", task(&format!("ann {taken}"), "echo")) == SILENCE {
        taken += 1;
    }
    assert_eq!(taken, 80);
    let refused = t.asks("ann", task("one more", "echo"));
    assert_eq!(refused, ["ann: 503 not executed, again in 1s"]);
    assert_eq!(t.asks("bob", task("y", "echo")), SILENCE);
    assert_eq!(t.replies("wes", "x", "")[1..], ["wes: TASK echo ann 0"]);
    assert_eq!(t.replies("wes", "ann 0", "")[1..], ["wes: TASK echo y"]);
}

#[test]
fn a_client_beyond_its_limit_is_not_read_where_that_is_wanted() {
    let mut t = Talk::with(|config| {
        config.overflow = Overflow::Block;
        config.limits.client_tasks = 2;
    });
    t.announces("wes", offers("echo", 1));
    t.asks("ann", numbered(1, "x", "echo"));
    t.asks("ann", numbered(2, "y", "echo"));
    assert_eq!(t.asks("ann", numbered(3, "z", "echo")), ["hold ann"]);
    let said = t.replies("wes", "x", "done");
    assert_eq!(said, ["ann: #1 200 done", "wes: TASK echo y"]);
    let said = t.replies("wes", "y", "done");
    assert!(said.contains(&"read ann".to_owned()), "{said:?}");
}

#[test]
fn a_worker_that_asks_too_much_is_refused_even_then() {
    let mut t = Talk::with(|config| {
        config.overflow = Overflow::Block;
        config.limits.client_tasks = 1;
    });
    t.announces("wes", offers("echo", 1));
    t.asks("wes", numbered(1, "x", "sum"));
    let said = t.asks("wes", numbered(2, "y", "sum"));
    assert_eq!(said, ["wes: #2 429 not executed, again in 1s"]);
    t.asks("ann", majordomo(Dialect::Mdp01, "z", "echo"));
    assert_eq!(t.replies("wes", "z", "done"), ["ann: 200 done"]);
}

#[test]
fn who_asks_in_many_services_of_one_worker_has_no_more_turns_for_it() {
    let mut t = Talk::new();
    let services = ["a", "b", "c", "d", "e", "f"];
    t.announces("wes", offers(&services.join(" "), 1));
    for round in ["1", "2"] {
        for service in services {
            t.asks("flo", task(&format!("{service}{round}"), service));
        }
    }
    t.asks("ann", task("mine", "f"));
    // The worker is at a1. Each client has its next turn before any has another.
    let said = t.replies("wes", "a1", "");
    assert_eq!(said, ["flo: 200 ", "wes: TASK f mine"]);
    t.asks("ann", task("again", "f"));
    assert_eq!(t.replies("wes", "mine", "")[1], "wes: TASK b b1");
    assert_eq!(t.replies("wes", "b1", "")[1], "wes: TASK f again");
}
