//! Names: versions, wildcards, and who gets what is asked for (protocol sections 3 and 5).

use scale0::protocol::Dialect;

use crate::rig::talk::{SILENCE, Talk, majordomo, offers, ready, task};

#[test]
fn a_version_is_asked_for_by_its_name_and_the_bare_name_reaches_all() {
    let mut t = Talk::new();
    t.announces("one", offers("echo@1", 1));
    t.announces("two", offers("echo@2", 1));
    assert_eq!(t.asks("ann", task("x", "echo@2")), ["two: TASK echo@2 x"]);
    assert_eq!(t.asks("ann", task("y", "echo")), ["one: TASK echo y"]);
    assert_eq!(t.asks("ann", task("z", "echo@2")), SILENCE);
    assert_eq!(t.replies("one", "y", ""), ["ann: 200 "]);
    assert_eq!(
        t.replies("two", "x", ""),
        ["ann: 200 ", "two: TASK echo@2 z"]
    );
}

#[test]
fn a_worker_without_a_version_serves_the_bare_name_alone() {
    let mut t = Talk::new();
    t.announces("wes", offers("echo", 2));
    assert_eq!(t.asks("ann", task("x", "echo@2")), SILENCE);
    assert_eq!(t.wait_ms(2000), ["ann: 404 not executed"]);
}

#[test]
fn the_most_specific_offer_gets_the_task() {
    let mut t = Talk::new();
    t.announces("all", offers(">", 9));
    t.announces("any", offers("image.>", 9));
    t.announces("one", offers("image.*", 9));
    t.announces("own", offers("image.resize", 9));
    for (asked, worker) in [
        ("image.resize", "own"),
        ("image.crop", "one"),
        ("image.a.b", "any"),
        ("image", "all"),
    ] {
        let said = t.asks("ann", task(asked, asked));
        assert_eq!(said, [format!("{worker}: TASK {asked} {asked}")]);
    }
}

#[test]
fn a_busy_service_is_waited_for_whatever_wildcards_have_room() {
    let mut t = Talk::new();
    t.announces("own", offers("image.resize", 1));
    t.announces("one", offers("image.*", 1));
    t.asks("ann", task("x", "image.resize"));
    assert_eq!(t.asks("ann", task("y", "image.resize")), SILENCE);
    // When the last of its own workers is gone there is no reason to wait.
    let said = t.loses("own");
    assert_eq!(said, ["ann: 502", "one: TASK image.resize y"]);
}

#[test]
fn what_waits_goes_to_a_wildcard_that_comes_and_back_when_it_leaves() {
    let mut t = Talk::new();
    t.asks("ann", task("x", "image.resize"));
    t.asks("bob", task("y", "image.crop"));
    t.announces("one", offers("image.*", 0));
    t.wait_ms(5000);
    assert_eq!(t.snapshot().services.len(), 1);
    t.loses("one");
    t.wait_ms(1000);
    let said = t.announces("own", offers("image.crop", 1));
    assert_eq!(said, ["own: CONFIG", "own: TASK image.crop y"]);
    assert_eq!(t.wait_ms(1000), ["ann: 404 not executed"]);
}

#[test]
fn a_majordomo_workers_name_means_itself() {
    let mut t = Talk::new();
    t.announces("wes", ready(Dialect::Mdp01, "image.*"));
    t.asks("ann", task("x", "image.resize"));
    assert_eq!(t.wait_ms(2000), ["ann: 404 not executed"]);
    let said = t.asks("bob", majordomo(Dialect::Mdp01, "y", "image.*"));
    assert_eq!(said, ["wes: TASK image.* y"]);
}

#[test]
fn what_changes_its_queue_goes_to_the_longest_idle() {
    let mut t = Talk::new();
    t.announces("all", offers(">", 1));
    for (body, service) in [
        ("w", "resize"),
        ("x", "resize"),
        ("y", "sum"),
        ("z", "resize"),
    ] {
        t.asks("ann", task(body, service));
    }
    t.announces("own", offers("resize", 1));
    t.wait_ms(1000);
    let said = t.announces("all", offers("resize *", 3));
    let expected = [
        "all: CONFIG",
        "own: TASK resize x",
        "all: TASK sum y",
        "all: TASK resize z",
    ];
    assert_eq!(said, expected);
}
