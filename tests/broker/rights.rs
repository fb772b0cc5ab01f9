//! Rights: who may offer, call and administer what (protocol section "Rights").

use std::sync::Arc;

use bytes::Bytes;
use scale0::broker::{Action, Broker, Config, Event, Fact};
use scale0::limits::Limits;
use scale0::protocol::{Answer, Ask, Dialect, Id, Reading, Status, Word, read};
use scale0::security::User;
use scale0::time::Time;
use scale0::wire::{Message, Properties, SocketType, push_property};

use crate::rig::checker::{Checker, Promise};
use crate::rig::peer;
use crate::rig::rights::{KEY, rules, user};
use crate::rig::talk::{SILENCE, Talk, majordomo, numbered, offers, ready, repeatable, task};

fn under(lines: &str) -> Talk {
    let access = Some(Arc::new(rules(lines)));
    Talk::with(|config| config.access = access)
}

/// The user's name as a worker reads it in the task given to it.
fn signature(actions: &[Action]) -> Option<Bytes> {
    let properties = actions.iter().find_map(|action| match action {
        Action::Assign { task, .. } => Some(&task.properties),
        _ => None,
    });
    let wire = properties.expect("no task was given");
    let list = Properties::read(wire, 99).unwrap();
    let mut found: Vec<&[u8]> = list
        .iter()
        .filter(|(name, _)| name.eq_ignore_ascii_case(b"user"))
        .map(|(_, value)| value)
        .collect();
    assert!(found.len() < 2, "{found:?}");
    found.pop().map(Bytes::copy_from_slice)
}

/// A task of a user, with these properties, on its way to a worker.
fn given(user: Option<User>, ask: Ask) -> Vec<Action> {
    let mut broker = Broker::new(Config::default(), [7; 32]);
    let mut out = Vec::new();
    let mut tell = |event| {
        out.clear();
        broker.handle(Time::ZERO, event, &mut out);
        out.clone()
    };
    let heard = |place, word| Event::Heard {
        peer: peer(place),
        reading: Reading::Word(word),
    };
    tell(heard(0, Word::Announce(offers("echo", 1))));
    tell(Event::Opened {
        peer: peer(1),
        user,
        local: false,
    });
    tell(heard(1, Word::Ask(ask)))
}

#[test]
fn without_rules_everybody_may_do_everything() {
    let mut t = Talk::new();
    t.announces("wes", offers("echo", 1));
    assert_eq!(t.asks("ann", task("x", "echo")), ["wes: TASK echo x"]);
    assert_eq!(t.asks("ann", task("", "s0.info")), ["ann: (the info)"]);
    assert_eq!(t.counters().forbidden, 0);
}

#[test]
fn a_call_that_no_rule_allows_is_refused_before_anybody_has_it() {
    let mut t = under("wes offer *\nann call e*");
    t.opens("wes", user("wes"));
    t.opens("ann", user("ann"));
    t.announces("wes", offers("echo sum", 4));
    assert_eq!(
        t.asks("ann", numbered(1, "x", "echo")),
        ["wes: TASK echo x"]
    );
    assert_eq!(
        t.asks("ann", numbered(2, "y", "sum")),
        ["ann: #2 403 not executed"]
    );
    assert_eq!(t.asks("eve", task("z", "echo")), ["eve: 403 not executed"]);
    // Not even whether there is such a service.
    assert_eq!(
        t.asks("eve", task("z", "nothing")),
        ["eve: 403 not executed"]
    );
    let counters = t.counters();
    assert_eq!((counters.forbidden, counters.errors[&403]), (3, 3));
    assert_eq!(counters.tasks, 4);
}

#[test]
fn a_refusal_says_who_may_not_do_what() {
    let access = Some(Arc::new(rules("wes offer *")));
    let mut broker = Broker::new(
        Config {
            access,
            ..Config::default()
        },
        [7; 32],
    );
    let mut out = Vec::new();
    let event = Event::Heard {
        peer: peer(0),
        reading: Reading::Word(Word::Ask(task("x", "echo"))),
    };
    broker.handle(Time::ZERO, event, &mut out);
    let text = out.iter().find_map(|action| match action {
        Action::Answer {
            answer: Answer::Error { text, .. },
            ..
        } => Some(text.as_str()),
        _ => None,
    });
    assert_eq!(text, Some("no rule lets anonymous call echo"));
}

#[test]
fn a_key_is_as_good_as_a_name() {
    let mut t = under("key offer echo\nkey call echo");
    let named = User {
        key: Some(KEY),
        ..user("val")
    };
    t.opens("val", named);
    assert_eq!(t.announces("val", offers("echo", 1)), ["val: CONFIG"]);
    assert_eq!(t.asks("val", task("x", "echo")), ["val: TASK echo x"]);
}

#[test]
fn a_worker_keeps_what_it_may_offer_and_is_told_of_the_rest() {
    let mut t = under("wes offer e*\n* call *");
    t.opens("wes", user("wes"));
    let said = t.announces("wes", offers("echo sum", 2));
    assert_eq!(said, ["wes: ERROR 403", "wes: CONFIG"]);
    assert_eq!(t.asks("ann", task("x", "echo")), ["wes: TASK echo x"]);
    assert_eq!(t.asks("ann", task("y", "sum")), SILENCE);
    assert_eq!(t.wait_ms(2000), ["ann: 404 not executed"]);
    assert_eq!(t.counters().forbidden, 1);
    // The same again is no news.
    assert_eq!(t.announces("wes", offers("echo sum", 2)), SILENCE);
}

#[test]
fn a_majordomo_worker_that_may_not_offer_its_service_is_sent_away() {
    for dialect in [Dialect::Mdp01, Dialect::Mdp02, Dialect::Zproto] {
        let mut t = under("* call *\n* offer sum");
        assert_eq!(
            t.announces("wes", ready(dialect, "echo")),
            ["wes: who are you?"]
        );
        assert_eq!(t.asks("ann", task("x", "echo")), SILENCE);
        assert_eq!(t.snapshot().workers, []);
        assert_eq!(t.counters().forbidden, 1);
    }
}

#[test]
fn a_majordomo_client_is_refused_in_the_way_of_its_dialect() {
    let mut t = under("* offer *");
    t.announces("wes", offers("echo", 1));
    // What the refusal becomes on the wire, silence as a rule, is the dialect's business.
    let said = t.asks("ann", majordomo(Dialect::Mdp01, "x", "echo"));
    assert_eq!(said, ["ann: 403 not executed"]);
}

#[test]
fn a_service_of_the_brokers_own_takes_the_right_to_administer() {
    let mut t = under("* call *\nann administer s0.i*\nbob administer *");
    t.opens("ann", user("ann"));
    t.opens("bob", user("bob"));
    assert_eq!(
        t.asks("eve", task("", "s0.info")),
        ["eve: 403 not executed"]
    );
    assert_eq!(t.asks("ann", task("", "s0.info")), ["ann: (the info)"]);
    assert_eq!(
        t.asks("ann", task("", "s0.workers")),
        ["ann: 403 not executed"]
    );
    assert_eq!(
        t.asks("bob", task("", "s0.workers")),
        ["bob: (the workers)"]
    );
    assert_eq!(
        t.asks("eve", task("", "s0.nothing")),
        ["eve: 403 not executed"]
    );
    assert_eq!(
        t.asks("bob", task("", "s0.nothing")),
        ["bob: 501 not executed"]
    );
    assert_eq!(t.counters().forbidden, 3);
}

#[test]
fn mmi_tells_of_a_service_to_those_only_who_may_call_or_offer_it() {
    let mut t = under("ann call echo\nwes offer echo");
    t.opens("ann", user("ann"));
    t.opens("wes", user("wes"));
    t.announces("wes", offers("echo", 1));
    assert_eq!(t.asks("ann", task("echo", "mmi.service")), ["ann: 200 200"]);
    assert_eq!(t.asks("wes", task("echo", "mmi.service")), ["wes: 200 200"]);
    assert_eq!(t.asks("eve", task("echo", "mmi.service")), ["eve: 200 403"]);
    assert_eq!(t.asks("ann", task("sum", "mmi.service")), ["ann: 200 403"]);
    assert_eq!(t.asks("eve", task("echo", "mmi.other")), ["eve: 200 501"]);
}

#[test]
fn other_rules_take_services_away_and_give_them_back() {
    let mut t = under("* offer *\n* call *");
    t.announces("wes", offers("echo sum", 2));
    t.announces("val", offers("sum", 1));
    t.opens("ann", user("ann"));
    // Nothing changes for those who keep what they have.
    assert_eq!(t.rules("* offer *\nann call *"), SILENCE);
    assert_eq!(
        t.rules("* offer echo\nann call *"),
        ["wes: ERROR 403", "val: ERROR 403"]
    );
    assert_eq!(t.asks("ann", task("x", "echo")), ["wes: TASK echo x"]);
    assert_eq!(t.asks("ann", task("y", "sum")), SILENCE);
    assert_eq!(t.asks("bob", task("z", "echo")), ["bob: 403 not executed"]);
    assert_eq!(t.rules("* offer *\n"), ["wes: TASK sum y"]);
    assert_eq!(t.asks("ann", task("x", "echo")), ["ann: 403 not executed"]);
    assert_eq!(
        t.snapshot()
            .services
            .iter()
            .map(|s| s.workers)
            .sum::<usize>(),
        3
    );
}

#[test]
fn a_task_is_judged_when_it_arrives_and_not_again() {
    let mut t = under("* offer *\n* call *");
    t.announces("wes", offers("echo;idempotent", 1));
    t.asks("ann", repeatable("x", "echo"));
    t.asks("ann", task("y", "echo"));
    assert_eq!(t.rules("* offer *"), SILENCE);
    assert_eq!(
        t.replies("wes", "x", "X"),
        ["ann: 200 X", "wes: TASK echo y"]
    );
    t.announces("val", offers("echo", 1));
    assert_eq!(t.loses("wes"), ["val: TASK echo y, attempt 2"]);
}

#[test]
fn a_task_of_a_service_that_was_taken_away_is_finished_by_its_worker() {
    let mut t = under("* offer *\n* call *");
    t.announces("wes", offers("echo", 1));
    t.asks("ann", task("x", "echo"));
    assert_eq!(t.rules("* call *"), ["wes: ERROR 403"]);
    assert_eq!(t.replies("wes", "x", "X"), ["ann: 200 X"]);
    assert_eq!(t.asks("ann", task("y", "echo")), SILENCE);
}

#[test]
fn a_majordomo_workers_task_goes_to_one_that_may() {
    let mut t = under("* offer *\n* call *");
    t.opens("wes", user("wes"));
    t.opens("val", user("val"));
    t.opens("uma", user("uma"));
    t.announces("wes", ready(Dialect::Mdp01, "echo"));
    t.announces("val", ready(Dialect::Mdp01, "echo"));
    t.announces("uma", offers("echo", 1));
    t.asks("ann", task("x", "echo"));
    // `val` has been idle longest, and would be next.
    let said = t.rules("uma offer echo\n* call *");
    assert_eq!(
        said,
        [
            "uma: TASK echo x, attempt 2",
            "wes: who are you?",
            "val: who are you?"
        ]
    );
}

#[test]
fn the_rules_may_go_again() {
    let mut t = under("* offer echo");
    t.announces("wes", offers("echo sum", 2));
    assert_eq!(t.asks("ann", task("x", "sum")), ["ann: 403 not executed"]);
    assert_eq!(t.turn(Event::Access { access: None }), SILENCE);
    assert_eq!(t.asks("ann", task("y", "sum")), ["wes: TASK sum y"]);
}

#[test]
fn each_refusal_is_counted_and_the_log_hears_of_so_many() {
    let access = Some(Arc::new(rules("wes offer *")));
    let mut broker = Broker::new(
        Config {
            access,
            ..Config::default()
        },
        [7; 32],
    );
    let mut noted = 0;
    for round in 0..3 {
        for n in 0..40 {
            let mut out = Vec::new();
            let event = Event::Heard {
                peer: peer(0),
                reading: Reading::Word(Word::Ask(task("x", &format!("service-{n}")))),
            };
            broker.handle(Time::ZERO, event, &mut out);
            let notes = out
                .iter()
                .filter(|action| matches!(action, Action::Note(Fact::Forbidden { .. })));
            let notes = notes.count();
            assert!(round == 0 || notes == 0);
            noted += notes;
        }
    }
    assert_eq!((broker.snapshot().counters.forbidden, noted), (120, 16));
}

#[test]
fn a_worker_learns_who_asks() {
    let key = User {
        name: Bytes::new(),
        key: Some(KEY),
    };
    let both = User {
        key: Some(KEY),
        ..user("ann")
    };
    let nobody = Some(user(""));
    for (who, told) in [
        (None, None),
        (nobody, None),
        (Some(user("anonymous")), None),
        (Some(user("ann")), Some("ann".to_owned())),
        (Some(both), Some("ann".to_owned())),
        (Some(key), Some(KEY.to_string())),
    ] {
        let plain = given(who.clone(), task("x", "echo"));
        let old = given(who, majordomo(Dialect::Mdp01, "x", "echo"));
        assert_eq!(signature(&plain), told.clone().map(Bytes::from));
        assert_eq!(signature(&old), told.map(Bytes::from));
    }
}

/// A TASK as it comes from the wire.
fn from_wire(properties: &[u8]) -> Ask {
    let header = scale0::protocol::scale0::Header {
        name: b"echo",
        properties: Properties::read(properties, 16).unwrap(),
        ..scale0::protocol::scale0::Header::of(scale0::protocol::scale0::command::TASK)
    };
    let message = Message::new([&header.frame()[..], b"x"]);
    match read(message, SocketType::Dealer, &Limits::default()) {
        Reading::Word(Word::Ask(ask)) => ask,
        other => panic!("{other:?}"),
    }
}

#[test]
fn nobody_can_say_that_he_is_somebody_else() {
    for forged in ["User", "user", "USER", "uSeR"] {
        let mut properties = Vec::new();
        push_property(forged, b"root", &mut properties);
        push_property("Other", b"1", &mut properties);
        push_property(forged, b"admin", &mut properties);
        let anonymous = given(None, from_wire(&properties));
        assert_eq!(signature(&anonymous), None);
        let ann = given(Some(user("ann")), from_wire(&properties));
        assert_eq!(signature(&ann), Some(Bytes::from("ann")));
    }
}

#[test]
fn a_task_whose_header_would_grow_too_large_is_refused() {
    let limits = Limits::default();
    let list = |count: usize, size: usize| {
        let mut properties = Vec::new();
        for n in 0..count {
            push_property(&format!("p{n}"), &vec![b'.'; size], &mut properties);
        }
        properties
    };
    let refused = |properties: &[u8]| {
        let actions = given(Some(user("ann")), from_wire(properties));
        let status = actions.iter().find_map(|action| match action {
            Action::Answer {
                answer:
                    Answer::Error {
                        status,
                        not_executed: true,
                        ..
                    },
                ..
            } => Some(*status),
            _ => None,
        });
        assert_eq!(
            status.is_none(),
            actions
                .iter()
                .any(|action| matches!(action, Action::Assign { .. }))
        );
        status
    };
    assert_eq!(refused(&list(15, 1)), None);
    assert_eq!(refused(&list(16, 1)), Some(Status::MALFORMED));
    // The fixed part, the service's name, one property; then `User` and what `ann` is.
    let room = limits.header - 20 - 4 - (1 + 2 + 4) - (1 + 4 + 4 + 3);
    assert_eq!(refused(&list(1, room)), None);
    assert_eq!(refused(&list(1, room + 1)), Some(Status::MALFORMED));
}

#[test]
fn a_task_without_a_rule_would_be_seen() {
    let mut t = under("* offer *\nann call *\nann administer *");
    t.announces("wes", offers("echo", 1));
    t.opens("ann", user("ann"));
    t.asks("ann", task("x", "echo"));
    t.asks("ann", task("", "s0.info"));
    t.asks("eve", task("y", "echo"));
    let (config, turns) = t.into_history();
    for other in [
        "* offer *\nann administer *",
        "ann call *\nann administer *",
        "* offer *\nann call *",
        "* offer *\n* call *\nann administer *",
    ] {
        let access = Some(Arc::new(rules(other)));
        let mut checker = Checker::new(Config {
            access,
            ..config.clone()
        });
        let judged = turns.iter().try_for_each(|turn| checker.check(turn));
        assert!(judged.is_err(), "{other}");
        if !other.contains("* call") && other.contains("* offer") {
            assert_eq!(judged.unwrap_err().promise, Promise::Rights, "{other}");
        }
    }
    assert_eq!(turns.len(), 5);
    let _ = Id::ZERO;
}
