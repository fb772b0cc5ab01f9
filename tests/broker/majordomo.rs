//! Majordomo peers: no numbers, no errors, no way to say "not now".

use std::time::Duration;

use scale0::broker::{Action, Broker, Config, Event};
use scale0::protocol::{Announcement, Dialect, Reading, Word};
use scale0::time::Time;
use scale0::wire::Message;

use crate::rig::peer;
use crate::rig::talk::{SILENCE, Talk, majordomo, offers, ready, task};

const ALL: [Dialect; 4] = [
    Dialect::Mdp01,
    Dialect::Mdp02,
    Dialect::Mdp02Delimited,
    Dialect::Zproto,
];

#[test]
fn any_client_reaches_any_worker() {
    for client in ALL {
        for worker in ALL {
            let mut t = Talk::new();
            t.announces("wes", ready(worker, "echo"));
            assert_eq!(
                t.asks("ann", majordomo(client, "x", "echo")),
                ["wes: TASK echo x"]
            );
            assert_eq!(t.asks("ann", majordomo(client, "y", "echo")), SILENCE);
            assert_eq!(
                t.replies("wes", "x", "X"),
                ["ann: 200 X", "wes: TASK echo y"]
            );
        }
    }
}

#[test]
fn a_majordomo_workers_tasks_may_be_repeated_whoever_asked() {
    let mut t = Talk::new();
    t.announces("wes", ready(Dialect::Mdp01, "echo"));
    t.asks("ann", task("x", "echo"));
    t.announces("val", ready(Dialect::Mdp02, "echo"));
    assert_eq!(t.loses("wes"), ["val: TASK echo x, attempt 2"]);
}

#[test]
fn partial_replies_are_passed_on_or_gathered_by_the_clients_dialect() {
    for (dialect, whole) in ALL.map(|dialect| (dialect, dialect == Dialect::Mdp01)) {
        let mut t = Talk::new();
        t.announces("wes", ready(Dialect::Mdp02, "echo"));
        t.asks("ann", majordomo(dialect, "x", "echo"));
        let part = t.streams("wes", "x", "a");
        let end = t.replies("wes", "x", "b");
        if whole {
            assert_eq!((part.len(), end), (0, vec!["ann: 200 a|b".to_owned()]));
        } else {
            assert_eq!(
                (part[0].as_str(), end[0].as_str()),
                ("ann: 200+ a", "ann: 200 b")
            );
        }
    }
}

#[test]
fn a_client_over_its_share_is_held_back_until_half_is_done() {
    let mut t = Talk::with(|config| config.limits.client_tasks = 4);
    t.announces("wes", offers("echo", 9));
    for body in ["1", "2", "3", "4"] {
        t.asks("ann", majordomo(Dialect::Mdp02, body, "echo"));
    }
    let said = t.asks("ann", majordomo(Dialect::Mdp02, "5", "echo"));
    assert_eq!(said, ["wes: TASK echo 5", "hold ann"]);
    t.replies("wes", "1", "");
    assert_eq!(t.replies("wes", "2", ""), ["ann: 200 "]);
    assert_eq!(t.replies("wes", "3", ""), ["ann: 200 ", "read ann"]);
}

#[test]
fn a_full_queue_holds_connections_back_and_lets_them_go_one_by_one() {
    let mut t = Talk::with(|config| config.limits.queue_tasks = 4);
    t.announces("wes", ready(Dialect::Mdp01, "echo"));
    for body in ["0", "1", "2", "3", "4"] {
        t.asks("ann", majordomo(Dialect::Mdp01, body, "echo"));
    }
    for client in ["bob", "cid", "dot"] {
        let said = t.asks(client, majordomo(Dialect::Mdp01, client, "echo"));
        assert_eq!(said, [format!("hold {client}")]);
    }
    t.loses("cid");
    // They take turns.
    for body in ["0", "1"] {
        assert!(
            !t.replies("wes", body, "")
                .iter()
                .any(|line| line.starts_with("read"))
        );
    }
    assert!(t.replies("wes", "bob", "").contains(&"read bob".to_owned()));
    assert!(t.replies("wes", "dot", "").contains(&"read dot".to_owned()));
    for body in ["2", "3", "4"] {
        t.replies("wes", body, "");
    }
    assert_eq!((t.snapshot().paused, t.snapshot().open), (0, 0));
}

#[test]
fn when_the_service_goes_its_held_connections_are_read_again() {
    let mut t = Talk::with(|config| config.limits.queue_tasks = 1);
    t.asks("ann", task("x", "echo"));
    assert_eq!(
        t.asks("bob", majordomo(Dialect::Mdp01, "y", "echo")),
        ["hold bob"]
    );
    let said = t.wait_ms(2000);
    assert!(said.contains(&"read bob".to_owned()), "{said:?}");
    assert_eq!(t.snapshot().services, []);
}

#[test]
fn who_was_held_back_for_want_of_room_goes_on_without_any_event() {
    let mut t = Talk::with(|config| config.limits.held = 10_000);
    t.announces("wes", offers("echo", 9));
    t.outside(10_000);
    for client in ["ann", "bob", "cid"] {
        let said = t.asks(client, majordomo(Dialect::Mdp02, client, "echo"));
        assert_eq!(
            said,
            [format!("wes: TASK echo {client}"), format!("hold {client}")]
        );
        t.replies("wes", client, "");
    }
    assert_eq!(t.wait_ms(1000), SILENCE);
    t.outside(0);
    assert_eq!(t.wait_ms(3), ["read ann", "read bob", "read cid"]);
}

#[test]
fn a_workers_connection_is_never_held_back() {
    let mut t = Talk::with(|config| config.limits.queue_tasks = 1);
    t.announces("wes", offers("other", 1));
    t.asks("ann", task("x", "echo"));
    assert_eq!(
        t.asks("wes", majordomo(Dialect::Mdp02, "y", "echo")),
        SILENCE
    );
    assert_eq!((t.counters().dropped, t.snapshot().queued), (1, 1));
}

#[test]
fn a_hundred_thousand_requests_before_the_first_reply_get_as_many_replies() {
    let mut broker = Broker::new(Config::default(), [1; 32]);
    let (client, worker) = (peer(0), peer(1));
    let now = Time::ZERO;
    let heard = |peer, word| Event::Heard {
        peer,
        reading: Reading::Word(word),
    };
    let mut actions = Vec::new();
    broker.handle(
        now,
        heard(worker, Word::Announce(ready(Dialect::Mdp01, "echo"))),
        &mut actions,
    );
    let ask = majordomo(Dialect::Mdp02, "x", "echo");
    let (mut asked, mut answered, mut held, mut most) = (0, 0, false, 0);
    let mut at_work = None;
    while answered < 100_000 {
        if !held && asked < 100_000 {
            asked += 1;
            broker.handle(now, heard(client, Word::Ask(ask.clone())), &mut actions);
        } else {
            // What was held back is in the client's own socket.
            let token = at_work
                .take()
                .expect("the worker is idle while requests wait");
            let reply = scale0::protocol::Reply {
                dialect: Dialect::Mdp01,
                token,
                code: 200,
                partial: false,
                refuses: false,
                ms: 0,
                properties: bytes::Bytes::new(),
                body: Message::default(),
            };
            broker.handle(now, heard(worker, Word::Reply(reply)), &mut actions);
        }
        for action in actions.drain(..) {
            match action {
                Action::Assign { task, .. } => at_work = Some(task.token),
                Action::Answer { .. } => answered += 1,
                Action::Hold { on, .. } => held = on,
                _ => {}
            }
        }
        most = most.max(broker.open_tasks());
    }
    assert_eq!(
        (asked, most),
        (100_000, Config::default().limits.client_tasks + 1)
    );
    assert_eq!((broker.open_tasks(), broker.held(), held), (0, 0, false));
}

#[test]
fn an_idle_majordomo_worker_gets_a_beat_every_second_and_has_eight() {
    let mut t = Talk::new();
    t.beats = true;
    t.announces("wes", ready(Dialect::Mdp01, "echo"));
    for _ in 0..20 {
        assert_eq!(t.wait_ms(2000), ["wes: beat"; 2]);
        assert_eq!(t.beat("wes", Dialect::Mdp01), SILENCE);
    }
    assert_eq!(t.wait_ms(7999), ["wes: beat"; 7]);
    assert_eq!(t.wait_ms(1), ["wes: BYE", "close wes"]);
}

#[test]
fn a_busy_majordomo_worker_gets_ten_beats_and_then_one_for_each_of_its_own() {
    let mut t = Talk::new();
    t.beats = true;
    t.announces("wes", ready(Dialect::Mdp01, "echo"));
    t.wait_ms(5000);
    let mut ask = task("x", "echo");
    ask.ttl = Duration::from_secs(600);
    t.asks("ann", ask);
    assert_eq!(t.wait_ms(60_000), ["wes: beat"; 10]);
    for _ in 0..3 {
        t.beat("wes", Dialect::Mdp01);
        assert_eq!(t.wait_ms(20_000), ["wes: beat"]);
    }
    t.beat("wes", Dialect::Mdp01);
    t.beat("wes", Dialect::Mdp01);
    assert_eq!(t.wait_ms(20_000), ["wes: beat"; 2]);
    t.replies("wes", "x", "X");
    assert_eq!(t.wait_ms(3000), ["wes: beat"; 3]);
}

#[test]
fn a_worker_for_whom_much_waits_gets_no_beat() {
    let mut t = Talk::new();
    t.beats = true;
    t.announces("wes", ready(Dialect::Zproto, "echo"));
    t.full("wes", true);
    assert_eq!(t.wait_ms(7000), SILENCE);
    t.full("wes", false);
    assert_eq!(t.wait_ms(500), ["wes: beat"]);
}

#[test]
fn a_stranger_is_disconnected_and_so_is_a_second_ready() {
    let mut t = Talk::new();
    assert_eq!(t.beat("wes", Dialect::Mdp01), ["wes: who are you?"]);
    assert_eq!(t.announces("wes", ready(Dialect::Mdp01, "echo")), SILENCE);
    t.asks("ann", task("x", "echo"));
    let said = t.announces("wes", ready(Dialect::Mdp01, "other"));
    assert_eq!(said, ["wes: who are you?"]);
    assert_eq!(t.snapshot().workers, []);
    assert_eq!(t.snapshot().queued, 1);
}

#[test]
fn the_brokers_own_names_are_not_for_majordomo_workers() {
    let mut t = Talk::new();
    let said = t.announces("wes", ready(Dialect::Mdp02, "mmi.service"));
    assert_eq!(said, ["wes: who are you?"]);
    assert_eq!(t.snapshot().workers, []);
}

#[test]
fn a_dead_dialect_is_dropped_and_the_connection_kept() {
    let mut t = Talk::new();
    t.announces("wes", ready(Dialect::Mdp02Delimited, "echo"));
    t.asks("ann", task("x", "echo"));
    for _ in 0..9 {
        assert_eq!(t.hears("wes", Reading::Dead), SILENCE);
    }
    assert_eq!(
        (t.counters().dead_dialect, t.snapshot().workers.len()),
        (9, 0)
    );
    assert_eq!(t.beat("wes", Dialect::Mdp02Delimited), SILENCE);
    let said = t.announces(
        "val",
        Announcement {
            capacity: 1,
            ..offers("echo", 1)
        },
    );
    assert_eq!(said[1..], ["val: TASK echo x, attempt 2"]);
}
