//! Which worker gets a task: policies, weights, slow start (protocol section 5).

use std::time::Duration;

use scale0::protocol::Policy;

use crate::rig::talk::{SILENCE, Talk, brief, keyed, offers, task};

/// Workers of one service, each with so many tasks at once that it always has room.
fn crowd(offered: &[(&'static str, &str)]) -> Talk {
    let mut t = Talk::new();
    for (name, offer) in offered {
        t.announces(name, offers(offer, 400));
    }
    t
}

/// Who is given the tasks of these numbers.
fn given(t: &mut Talk, numbers: std::ops::Range<u32>) -> Vec<String> {
    let each = numbers.map(|n| {
        let said = t.asks("ann", task(&n.to_string(), "echo"));
        assert_eq!(said.len(), 1, "{said:?}");
        said[0].split(':').next().unwrap().to_owned()
    });
    each.collect()
}

fn count(who: &[String], name: &str) -> usize {
    who.iter().filter(|given| *given == name).count()
}

#[test]
fn least_is_who_has_the_fewest_tasks_for_its_weight() {
    let mut t = crowd(&[("u", "echo;policy=least"), ("v", "echo;weight=3")]);
    assert_eq!(
        given(&mut t, 0..8),
        ["v", "v", "u", "v", "v", "v", "u", "v"],
        "by what they would have to do then, a third of it for v; who is idle longer where that is the same"
    );
    for n in ["0", "1", "3", "4", "5", "7"] {
        t.replies("v", n, "");
    }
    assert_eq!(
        given(&mut t, 8..11),
        ["v"; 3],
        "what is done weighs nothing"
    );
}

#[test]
fn least_knows_what_is_done() {
    let mut t = crowd(&[("u", "echo;policy=least"), ("v", "echo")]);
    assert_eq!(given(&mut t, 0..4), ["u", "v", "u", "v"]);
    t.replies("v", "1", "");
    t.replies("v", "3", "");
    assert_eq!(given(&mut t, 4..6), ["v", "v"]);
}

#[test]
fn least_counts_the_tasks_of_all_services() {
    let mut t = Talk::new();
    t.announces("u", offers("echo;policy=least sum", 9));
    t.announces("v", offers("echo", 9));
    t.asks("ann", task("a", "sum"));
    t.asks("ann", task("b", "sum"));
    assert_eq!(given(&mut t, 0..2), ["v", "v"]);
}

#[test]
fn weighted_turns_are_spread_by_weight() {
    let mut t = crowd(&[
        ("u", "echo;policy=weighted;weight=5"),
        ("v", "echo;weight=2"),
        ("w", "echo"),
    ]);
    let who = given(&mut t, 0..80);
    assert_eq!(
        [count(&who, "u"), count(&who, "v"), count(&who, "w")],
        [50, 20, 10]
    );
    // Who was away has no turns to make up for.
    t.full("w", true);
    let who = given(&mut t, 80..150);
    assert_eq!([count(&who, "u"), count(&who, "v")], [50, 20]);
    t.full("w", false);
    let who = given(&mut t, 150..166);
    assert!(count(&who, "w") <= 3, "{who:?}");
}

#[test]
fn weighted_turns_go_on_for_who_was_busy_while_the_policy_changed() {
    let mut t = crowd(&[("u", "echo;policy=weighted"), ("v", "echo")]);
    t.opens_here("op");
    given(&mut t, 0..100);
    t.full("v", true);
    t.sets("op", "echo", &["policy=lru"]);
    t.sets("op", "echo", &["policy=weighted"]);
    t.full("v", false);
    let who = given(&mut t, 100..120);
    // It waits for no turns that the others had before.
    assert!((9..=11).contains(&count(&who, "v")), "{who:?}");
}

#[test]
fn the_same_key_finds_the_same_worker() {
    let mut t = crowd(&[("u", "echo;policy=hash"), ("v", "echo"), ("w", "echo")]);
    let mut homes = std::collections::BTreeMap::new();
    let ask = |t: &mut Talk, key: &str, n: u32| {
        let body = format!("{key}{n}");
        let said = t.asks("ann", keyed(key, &body, "echo"));
        let who = said[0].split(':').next().unwrap().to_owned();
        let name = ["u", "v", "w"]
            .into_iter()
            .find(|name| *name == who)
            .unwrap();
        t.replies(name, &body, "");
        name
    };
    for n in 0..3 {
        for key in ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j"] {
            let who = ask(&mut t, key, n);
            assert_eq!(*homes.entry(key).or_insert(who), who, "{key}");
        }
    }
    let used: std::collections::BTreeSet<_> = homes.values().collect();
    assert_eq!(used.len(), 3, "{homes:?}");
    // When one goes, its keys alone find another.
    t.loses("v");
    for (key, home) in homes {
        let who = ask(&mut t, key, 9);
        assert!(who == home || home == "v" && who != "v", "{key}");
    }
}

#[test]
fn a_popular_key_is_shared_out() {
    let mut t = crowd(&[("u", "echo;policy=hash"), ("v", "echo"), ("w", "echo")]);
    for n in 0..60 {
        t.asks("ann", keyed("popular", &format!("{n}"), "echo"));
    }
    let mut held: Vec<usize> = t.snapshot().workers.iter().map(|w| w.in_flight).collect();
    held.sort();
    assert!(
        *held.last().unwrap() <= 25,
        "1.25 times its share: {held:?}"
    );
}

#[test]
fn without_a_key_the_one_idle_longest_is_chosen() {
    let mut t = crowd(&[("u", "echo;policy=hash"), ("v", "echo"), ("w", "echo")]);
    assert_eq!(given(&mut t, 0..6), ["u", "v", "w", "u", "v", "w"]);
}

#[test]
fn a_worker_keeps_its_keys_by_its_name() {
    let named = |name: &str| scale0::protocol::Announcement {
        name: name.into(),
        ..offers("echo;policy=hash", 9)
    };
    let mut t = Talk::new();
    t.announces("u", named("one"));
    t.announces("v", named("two"));
    let keys = ["a", "b", "c", "d", "e", "f"];
    let home = |t: &mut Talk, round: &str| -> Vec<bool> {
        let each = keys.iter().map(|key| {
            let body = format!("{key}{round}");
            let at_one = t.asks("ann", keyed(key, &body, "echo"))[0].starts_with("u");
            t.replies(if at_one { "u" } else { "v" }, &body, "");
            at_one
        });
        each.collect()
    };
    let before = home(&mut t, "x");
    t.loses("u");
    t.reborn("u");
    t.announces("u", named("one"));
    assert_eq!(home(&mut t, "y"), before);
}

#[test]
fn of_two_by_chance_the_one_with_less_to_do_is_chosen() {
    let mut t = crowd(&[("u", "echo;policy=p2c"), ("v", "echo")]);
    assert_eq!(
        count(&given(&mut t, 0..20), "u"),
        10,
        "both are drawn each time"
    );
    let mut t = crowd(&[
        ("u", "echo;policy=p2c"),
        ("v", "echo"),
        ("w", "echo"),
        ("x", "echo"),
    ]);
    let who = given(&mut t, 0..200);
    for name in ["u", "v", "w", "x"] {
        let share = count(&who, name);
        assert!((40..=60).contains(&share), "{name}: {share}");
    }
}

#[test]
fn the_first_workers_word_counts_until_nobody_offers_the_service() {
    let mut t = crowd(&[("u", "echo;policy=least"), ("v", "echo;policy=hash")]);
    let policy = |t: &Talk| t.snapshot().services[0].policy;
    assert_eq!(policy(&t), Policy::Least);
    t.loses("u");
    assert_eq!(policy(&t), Policy::Least, "what holds, holds on");
    t.wait_ms(200);
    t.announces("v", offers("echo;policy=p2c", 9));
    assert_eq!(policy(&t), Policy::Least, "it was not the first");
    t.loses("v");
    t.reborn("v");
    t.announces("v", offers("echo;policy=p2c", 9));
    assert_eq!(policy(&t), Policy::TwoChoices);
    t.wait_ms(200);
    t.announces("v", offers("echo;policy=weighted", 9));
    assert_eq!(
        policy(&t),
        Policy::Weighted,
        "the first may change its mind"
    );
}

#[test]
fn an_operators_word_goes_before_the_workers() {
    let mut t = Talk::new();
    t.opens_here("op");
    assert_eq!(
        t.sets("op", "echo", &["policy=least", "ttl=2s"]),
        [r#"op: 200 {"policy":"least","ttl_ms":2000}"#]
    );
    // It holds before the service is there, and for all its workers.
    t.announces("u", offers("echo;policy=hash;ttl=1s", 9));
    assert_eq!(t.snapshot().services[0].policy, Policy::Least);
    assert_eq!(
        t.sets("op", "echo", &["policy=-"]),
        [r#"op: 200 {"policy":"hash","ttl_ms":2000}"#]
    );
    assert_eq!(t.snapshot().services[0].policy, Policy::Hash);
    assert_eq!(
        t.sets("op", "echo", &["policy=p2c", "ttl=-"]),
        [r#"op: 200 {"policy":"p2c","ttl_ms":1000}"#]
    );
    assert_eq!(t.snapshot().services[0].policy, Policy::TwoChoices);
}

#[test]
fn ready_workers_keep_their_order_when_the_policy_changes() {
    let mut t = crowd(&[("u", "echo"), ("v", "echo"), ("w", "echo")]);
    t.opens_here("op");
    assert_eq!(given(&mut t, 0..1), ["u"]);
    for policy in ["weighted", "p2c", "least", "hash"] {
        t.sets("op", "echo", &[&format!("policy={policy}")]);
    }
    t.sets("op", "echo", &["policy=-"]);
    assert_eq!(given(&mut t, 1..4), ["v", "w", "u"]);
}

#[test]
fn what_cannot_be_set_is_said() {
    let mut t = Talk::new();
    t.opens_here("op");
    for wrong in [
        &["policy=best"] as &[&str],
        &["policy"],
        &["weight=3"],
        &["ttl=0s"],
        &["policy=least", "ttl=soon"],
        &[],
    ] {
        assert_eq!(
            t.sets("op", "echo", wrong),
            ["op: 400 not executed"],
            "{wrong:?}"
        );
    }
    assert_eq!(
        t.sets("op", "s0.info", &["policy=lru"]),
        ["op: 400 not executed"]
    );
    assert_eq!(t.sets("op", "", &["policy=lru"]), ["op: 400 not executed"]);
    t.announces("u", offers("echo", 1));
    assert_eq!(
        t.snapshot().services[0].policy,
        Policy::Idle,
        "not by halves"
    );
}

#[test]
fn only_who_is_on_the_machine_or_may_administer_sets_anything() {
    let mut t = Talk::new();
    t.opens_here("op");
    assert_eq!(
        t.sets("eve", "echo", &["policy=least"]),
        ["eve: 403 not executed"]
    );
    t.rules("op administer s0.set");
    assert_eq!(
        t.sets("op", "echo", &["policy=least"]),
        ["op: 403 not executed"]
    );
    t.opens("ops", crate::rig::rights::user("op"));
    assert_eq!(
        t.sets("ops", "echo", &["policy=least"]),
        [r#"ops: 200 {"policy":"least","ttl_ms":30000}"#]
    );
}

#[test]
fn what_is_set_is_bounded() {
    let mut t = Talk::with(|config| config.limits.services = 2);
    t.opens_here("op");
    t.sets("op", "a", &["policy=least"]);
    t.sets("op", "b", &["policy=least"]);
    assert_eq!(
        t.sets("op", "c", &["policy=least"]),
        ["op: 413 not executed"]
    );
    t.sets("op", "b", &["policy=-"]);
    assert_eq!(t.sets("op", "c", &["policy=least"]).len(), 1);
    assert_eq!(
        t.sets("op", "b", &["policy=least"]),
        ["op: 413 not executed"]
    );
}

#[test]
fn a_service_has_a_time_to_live_of_its_own() {
    let mut t = Talk::new();
    t.announces("u", offers("echo;ttl=500ms", 0));
    t.asks("ann", task("x", "echo"));
    t.asks("bob", brief(Duration::from_millis(600), "y", "echo"));
    assert_eq!(t.wait_ms(499), SILENCE);
    assert_eq!(t.wait_ms(1), ["ann: 408 not executed"]);
    assert_eq!(t.wait_ms(100), ["bob: 408 not executed"]);
}

#[test]
fn a_service_may_be_given_less_of_a_worker_than_all() {
    let mut t = Talk::new();
    t.announces("u", offers("echo;max=2 sum", 9));
    for n in ["1", "2", "3"] {
        t.asks("ann", task(n, "echo"));
    }
    assert_eq!(t.snapshot().in_flight, 2);
    assert_eq!(t.asks("ann", task("4", "sum")), ["u: TASK sum 4"]);
    assert_eq!(t.replies("u", "4", ""), ["ann: 200 "], "still two");
    assert_eq!(t.replies("u", "1", ""), ["ann: 200 ", "u: TASK echo 3"]);
    t.replies("u", "2", "");
    t.replies("u", "3", "");
    assert_eq!(t.asks("ann", task("5", "echo")), ["u: TASK echo 5"]);
}

#[test]
fn a_worker_that_starts_slowly_has_a_share_that_grows() {
    let mut t = crowd(&[("u", "echo")]);
    t.announces("v", offers("echo;slow_start=10s", 400));
    let mut shares = Vec::new();
    for _ in 0..5 {
        let first = shares.len() as u32 * 60;
        let who = given(&mut t, first..first + 60);
        shares.push(count(&who, "v"));
        t.wait_ms(2500);
    }
    // Of each turn of its own it takes 1 %, 25 %, 50 %, 75 % and all.
    let meant = [0.01, 0.25, 0.5, 0.75, 1.0].map(|part| 60.0 * part / (1.0 + part));
    for (share, meant) in shares.iter().zip(meant) {
        assert!(
            (*share as f64 - meant).abs() <= 1.5,
            "{shares:?}, not {meant}"
        );
    }
}

#[test]
fn a_slow_start_leaves_no_task_waiting() {
    for policy in ["lru", "least", "weighted", "p2c", "hash"] {
        let mut t = Talk::new();
        for name in ["u", "v", "w"] {
            t.announces(
                name,
                offers(&format!("echo;slow_start=1h;policy={policy}"), 9),
            );
        }
        for n in 0..9 {
            let ask = keyed(&n.to_string(), &n.to_string(), "echo");
            assert_eq!(t.asks("ann", ask).len(), 1, "{policy}");
        }
    }
}

#[test]
fn who_states_weights_means_them_and_versions_share_by_them() {
    let mut t = crowd(&[("old", "echo;weight=9"), ("new", "echo;version=2")]);
    t.opens_here("op");
    let policy = |t: &Talk| t.snapshot().services[0].policy;
    assert_eq!(policy(&t), Policy::Weighted);
    let canary = given(&mut t, 0..100)
        .iter()
        .filter(|who| *who == "new")
        .count();
    assert_eq!(canary, 10);
    t.sets("op", "echo", &["policy=lru"]);
    assert_eq!(policy(&t), Policy::Idle, "what is said goes before it");
    t.sets("op", "echo", &["policy=-"]);
    assert_eq!(policy(&t), Policy::Weighted);
    t.announces("new", offers("echo;version=2", 1));
    t.loses("old");
    assert_eq!(policy(&t), Policy::Idle, "nobody does any more");
}

#[test]
fn what_was_set_of_a_wildcard_can_be_taken_back() {
    let mut t = Talk::new();
    t.announces("wes", offers("image.*;policy=least", 9));
    t.opens_here("op");
    let policy = |t: &Talk| t.snapshot().services[0].policy;
    t.sets("op", "image.*", &["policy=p2c"]);
    assert_eq!(policy(&t), Policy::TwoChoices);
    t.sets("op", "image.*", &["policy=-"]);
    assert_eq!(policy(&t), Policy::Least);
}

#[test]
fn a_crowd_that_starts_slowly_leaves_the_turns_to_those_who_are_there() {
    for policy in ["lru", "least", "weighted", "p2c"] {
        let mut t = Talk::new();
        t.announces("old", offers(&format!("echo;policy={policy}"), 400));
        for n in 0..20 {
            let name: &'static str = format!("new{n}").leak();
            t.announces(name, offers("echo;slow_start=600s", 400));
        }
        let new = given(&mut t, 0..200)
            .iter()
            .filter(|who| *who != "old")
            .count();
        // Each has its first turn, and of the others 1 % at first.
        assert!(new <= 30, "{policy}: {new} of 200");
    }
}
