//! A checker that cannot fail proves nothing. Here an honest history is falsified in one place,
//! and the checker must name the promise that this breaks.

use std::time::Duration;

use scale0::broker::{Action, Config, Event, Fact, PeerId};
use scale0::protocol::{Allowance, Answer, Dialect, Name, Notice, Portion, Reading, Status, Word};
use scale0::time::Time;
use scale0::wire::Message;

use crate::rig::checker::{Broken, Checker, Promise};
use crate::rig::talk::{
    Talk, brief, counting, keyed, majordomo, numbered, offers, oneway, repeatable, task,
};
use crate::rig::{Turn, replay};

/// A history with something of everything.
fn history() -> (Config, Vec<Turn>) {
    let mut t = Talk::with(|config| {
        config.limits.client_tasks = 4;
        config.limits.queue_tasks = 4;
        config.limits.awaited_names = 1;
    });
    t.announces("wes", offers("echo", 1));
    t.announces("val", offers("echo;idempotent sum", 2));
    t.asks("ann", numbered(1, "one", "echo"));
    t.asks("bob", numbered(1, "two", "echo"));
    t.asks("ann", numbered(2, "three", "echo"));
    t.streams("val", "two", "half");
    t.replies("val", "two", "whole");
    t.replies("wes", "one", "done");
    t.asks("ann", brief(Duration::from_millis(50), "four", "echo"));
    t.wait_ms(60);
    t.asks("bob", numbered(3, "five", "sum"));
    t.asks("cid", majordomo(Dialect::Mdp02, "six", "nobody"));
    for n in 4..8 {
        t.asks("ann", numbered(n, &format!("ann {n}"), "echo"));
    }
    t.loses("val");
    t.announces("uma", offers("echo", 3));
    t.wait_ms(2500);
    t.asks("bob", repeatable("seven", "echo"));
    t.loses("bob");
    for _ in 0..3 {
        t.hears("eve", Reading::Unknown { proxied: false });
    }
    t.asks("dot", task("eight", "sum"));
    t.announces("zoe", offers("log", 1));
    t.asks("dot", oneway(9, "nine", "log"));
    t.replies("zoe", "nine", "dropped");
    t.asks("dot", oneway(10, "ten", "sum"));
    t.asks("dot", oneway(11, "eleven", "log"));
    t.wait_ms(40_000);
    t.into_history()
}

fn judge(config: &Config, turns: &[Turn]) -> Result<(), Broken> {
    let mut checker = Checker::new(config.clone());
    turns.iter().try_for_each(|turn| checker.check(turn))?;
    replay(config, turns)
}

/// Every place where `falsify` finds something to do must be told as that promise's violation.
fn caught(promise: Promise, falsify: impl Fn(&mut [Turn], usize, usize) -> bool) {
    caught_in(history(), promise, falsify);
}

fn caught_in(
    (config, honest): (Config, Vec<Turn>),
    promise: Promise,
    falsify: impl Fn(&mut [Turn], usize, usize) -> bool,
) {
    assert_eq!(judge(&config, &honest), Ok(()));
    let mut places = 0;
    for index in 0..honest.len() {
        // One place more than there are actions: what concerns the turn itself.
        for action in 0..=honest[index].actions.len() {
            let mut turns = honest.clone();
            if falsify(&mut turns, index, action) {
                places += 1;
                let found = judge(&config, &turns).map_err(|broken| broken.promise);
                let said = &honest[index];
                assert_eq!(
                    found,
                    Err(promise),
                    "turn {index}, action {action}: {said:#?}"
                );
            }
        }
    }
    assert!(places > 0, "nothing to falsify");
}

/// The same for a change of one action; what it returns stands in its place.
fn caught_in_actions(promise: Promise, falsify: impl Fn(&Action) -> Option<Vec<Action>>) {
    caught(promise, |turns, index, action| {
        let actions = &mut turns[index].actions;
        let Some(instead) = actions.get(action).and_then(&falsify) else {
            return false;
        };
        actions.splice(action..=action, instead);
        true
    });
}

/// A history of two streams: a client and a worker that count, and a client that reads nothing for
/// a while.
fn streams() -> (Config, Vec<Turn>) {
    let mut t = Talk::new();
    t.announces("wes", counting("echo", 2));
    t.counts("ann");
    t.asks("ann", numbered(1, "one", "echo"));
    t.bursts("wes", "one", 20, "part");
    t.credits("ann", 1, 12, 0);
    t.credits("ann", 1, 30, 0);
    t.bursts("wes", "one", 40, "part");
    t.asks("bob", task("two", "echo"));
    t.bursts("wes", "two", 8, "more");
    t.full("bob", true);
    t.bursts("wes", "two", 12, "more");
    t.full("bob", false);
    t.bursts("wes", "two", 10, "more");
    t.replies("wes", "two", "end");
    t.replies("wes", "one", "end");
    t.into_history()
}

fn is_part(action: &Action) -> bool {
    matches!(
        action,
        Action::Answer {
            answer: Answer::Reply { partial: true, .. },
            ..
        }
    )
}

fn is_announcement(event: &Event) -> bool {
    let Event::Heard { reading, .. } = event else {
        return false;
    };
    matches!(reading, Reading::Word(Word::Announce(_)))
}

fn is_final(action: &Action) -> bool {
    matches!(action, Action::Answer { answer, .. }
        if !matches!(answer, Answer::Reply { partial: true, .. }))
}

/// A refusal at the door leaves no trace: without it the task counts as taken on.
fn ends_a_task(action: &Action) -> bool {
    is_final(action)
        && !matches!(action, Action::Answer { answer: Answer::Error { status, .. }, .. }
            if *status == Status::QUOTA)
}

#[test]
fn one_final_a_missing_answer_is_seen() {
    caught_in_actions(Promise::OneFinal, |action| {
        ends_a_task(action).then(Vec::new)
    });
}

#[test]
fn one_final_a_second_answer_is_seen() {
    caught_in_actions(Promise::OneFinal, |action| {
        is_final(action).then(|| vec![action.clone(), action.clone()])
    });
}

#[test]
fn one_final_a_part_after_the_end_is_seen() {
    caught_in_actions(Promise::OneFinal, |action| {
        let Action::Answer {
            peer,
            back,
            service,
            answer: Answer::Reply { .. },
        } = action
        else {
            return None;
        };
        let part = Action::Answer {
            peer: *peer,
            back: back.clone(),
            service: service.clone(),
            answer: Answer::Reply {
                code: 200,
                partial: true,
                ms: 0,
                properties: bytes::Bytes::new(),
                body: Message::from("more"),
            },
        };
        is_final(action).then(|| vec![action.clone(), part])
    });
}

#[test]
fn one_final_a_late_answer_is_seen() {
    caught(Promise::OneFinal, |turns, index, action| {
        let late = turns[index].actions.get(action).is_some_and(ends_a_task);
        if late && index + 1 < turns.len() {
            let answer = turns[index].actions.remove(action);
            turns[index + 1].actions.push(answer);
        }
        late && index + 1 < turns.len()
    });
}

#[test]
fn one_final_a_one_way_task_that_is_forgotten_is_seen() {
    caught_in_actions(Promise::OneFinal, |action| {
        matches!(action, Action::Note(Fact::OnewayFailed { .. })).then(Vec::new)
    });
}

#[test]
fn order_a_receipt_for_what_nobody_offers_is_seen() {
    caught_in_actions(Promise::Order, |action| {
        let mut accepted = action.clone();
        let Action::Answer { back, answer, .. } = &mut accepted else {
            return None;
        };
        *answer = Answer::Reply {
            code: 202,
            partial: false,
            ms: 0,
            properties: bytes::Bytes::new(),
            body: Message::default(),
        };
        // Never offered while it was there.
        (back.id.0[7] == 10).then(|| vec![accepted])
    });
}

#[test]
fn nothing_after_lost_words_to_a_lost_peer_are_seen() {
    let told = |action: &Action| match action {
        Action::Answer { peer, .. } | Action::Assign { peer, .. } | Action::Tell { peer, .. } => {
            Some(*peer)
        }
        _ => None,
    };
    let (config, honest) = history();
    // Whoever was told something is lost just before.
    for index in 0..honest.len() {
        let Some(peer) = honest[index].actions.iter().find_map(told) else {
            continue;
        };
        if is_announcement(&honest[index].event) {
            continue;
        }
        let mut turns = honest.clone();
        turns[index].event = Event::Lost { peer };
        let found = judge(&config, &turns).map_err(|broken| broken.promise);
        assert_eq!(
            found,
            Err(Promise::NothingAfterLost),
            "{:#?}",
            honest[index]
        );
    }
}

#[test]
fn nothing_after_lost_another_generation_is_another_peer() {
    let next = |peer: PeerId| PeerId {
        generation: peer.generation + 1,
        ..peer
    };
    caught_in_actions(Promise::NothingAfterLost, |action| {
        let mut other = action.clone();
        match &mut other {
            Action::Answer { peer, .. }
            | Action::Assign { peer, .. }
            | Action::Cancel { peer, .. }
            | Action::Tell { peer, .. }
            | Action::Watch { peer, .. }
            | Action::Close { peer } => *peer = next(*peer),
            _ => return None,
        }
        Some(vec![other])
    });
}

#[test]
fn nothing_after_lost_words_after_a_close_are_seen() {
    caught_in_actions(Promise::NothingAfterLost, |action| {
        let Action::Close { peer } = action else {
            return None;
        };
        let watch = Action::Watch {
            peer: *peer,
            on: false,
        };
        Some(vec![action.clone(), watch])
    });
}

#[test]
fn capacity_a_task_too_many_is_seen() {
    // While wes has its one task, it is given those of val too.
    caught_in_actions(Promise::Capacity, |action| {
        let mut too_many = action.clone();
        let Action::Assign { peer, task, .. } = &mut too_many else {
            return None;
        };
        peer.place = 0;
        let meanwhile = ["two", "three"].map(Message::from);
        meanwhile.contains(&task.body).then(|| vec![too_many])
    });
}

#[test]
fn capacity_a_worker_out_of_its_turn_is_seen() {
    let (config, honest) = history();
    let mut places = 0;
    for index in 0..honest.len() {
        let mut turns = honest.clone();
        let mut given = false;
        // While both were idle, the one that came later is given the task.
        for action in &mut turns[index].actions {
            if let Action::Assign { peer, task, .. } = action
                && task.body == Message::from("one")
            {
                peer.place += 1;
                given = true;
            }
        }
        if given {
            places += 1;
            let found = judge(&config, &turns).map_err(|broken| broken.promise);
            assert_eq!(found, Err(Promise::Capacity));
        }
    }
    assert_eq!(places, 1);
}

/// Three workers with much room and this policy, and tasks whose worker is known.
fn choices(policy: &str) -> (Config, Vec<Turn>) {
    let mut t = Talk::new();
    t.announces("u", offers(&format!("echo;policy={policy};weight=2"), 9));
    t.announces("v", offers("echo;weight=2", 9));
    t.announces("w", offers("echo;weight=2", 9));
    for n in 0..9 {
        t.asks("ann", keyed("key", &format!("{n}"), "echo"));
    }
    t.into_history()
}

/// How often it is seen that a task was given to another worker, and how often it was.
fn misled(policy: &str) -> (usize, usize) {
    let (config, honest) = choices(policy);
    assert_eq!(judge(&config, &honest), Ok(()));
    let (mut seen, mut all) = (0, 0);
    for index in 0..honest.len() {
        for other in 0..3 {
            let mut turns = honest.clone();
            let mut changed = false;
            for action in &mut turns[index].actions {
                if let Action::Assign { peer, .. } = action {
                    changed = peer.place != other;
                    peer.place = other;
                }
            }
            if changed {
                all += 1;
                let mut checker = Checker::new(config.clone());
                let found = turns.iter().try_for_each(|turn| checker.check(turn));
                let found = found.map_err(|broken| broken.promise);
                seen += usize::from(found == Err(Promise::Capacity));
            }
        }
    }
    (seen, all)
}

#[test]
fn capacity_a_worker_that_the_policy_does_not_name_is_seen() {
    for policy in ["lru", "least"] {
        let (seen, all) = misled(policy);
        assert_eq!((seen, all), (18, 18), "{policy}");
    }
    // Here more than one may be right, but not each of them each time.
    for policy in ["hash", "p2c"] {
        let (seen, all) = misled(policy);
        assert!(seen > 0, "{policy}: {seen} of {all}");
    }
}

/// u fails until it is out, shows that it still does, comes back; v refuses a task.
fn failures() -> (Config, Vec<Turn>) {
    let mut t = Talk::with(|config| config.eject_after = 2);
    t.announces("u", offers("echo", 2));
    t.announces("v", offers("echo", 2));
    t.full("v", true);
    for n in ["a", "b"] {
        t.asks("ann", task(n, "echo"));
        t.fails("u", n, 500);
    }
    t.full("v", false);
    t.asks("ann", task("c", "echo"));
    t.wait_ms(10_000);
    t.full("v", true);
    t.asks("ann", task("d", "echo"));
    t.fails("u", "d", 500);
    t.wait_ms(20_000);
    t.asks("ann", task("e", "echo"));
    t.replies("u", "e", "");
    t.full("v", false);
    t.asks("ann", task("f", "echo"));
    t.refuses("u", "f");
    t.wait_ms(40_000);
    t.into_history()
}

#[test]
fn order_a_worker_that_is_out_too_long_or_not_at_all_is_seen() {
    let (config, honest) = failures();
    assert_eq!(judge(&config, &honest), Ok(()));
    let mut places = 0;
    for index in 0..honest.len() {
        for action in 0..honest[index].actions.len() {
            let Action::Note(fact) = &honest[index].actions[action] else {
                continue;
            };
            let standing = matches!(
                fact,
                Fact::WorkerEjected { .. }
                    | Fact::WorkerProbed { .. }
                    | Fact::WorkerReturned { .. }
            );
            if standing {
                places += 1;
                let mut turns = honest.clone();
                turns[index].actions.remove(action);
                let found = judge(&config, &turns).map_err(|broken| broken.promise);
                assert!(
                    matches!(found, Err(Promise::Order | Promise::Capacity)),
                    "without {fact:?}: {found:?}"
                );
                // Nor may it be told of another one.
                let mut turns = honest.clone();
                if let Action::Note(
                    Fact::WorkerEjected { peer, .. }
                    | Fact::WorkerProbed { peer, .. }
                    | Fact::WorkerReturned { peer, .. },
                ) = &mut turns[index].actions[action]
                {
                    peer.place = 1 - peer.place;
                }
                let found = judge(&config, &turns).map_err(|broken| broken.promise);
                assert!(
                    matches!(found, Err(Promise::Order | Promise::Capacity)),
                    "the other one, {fact:?}: {found:?}"
                );
            }
        }
    }
    // u fails, fails again, and shows what it can; v lets two deadlines pass.
    assert_eq!(places, 7);
}

#[test]
fn capacity_a_task_for_a_worker_that_is_out_or_refused_it_is_seen() {
    let (config, honest) = failures();
    let mut places = 0;
    for index in 0..honest.len() {
        let mut turns = honest.clone();
        let mut moved = false;
        for action in &mut turns[index].actions {
            if let Action::Assign { peer, task, .. } = action {
                let refused = peer.place == 1 && task.body == Message::from("f");
                let out = task.body == Message::from("c");
                if refused || out {
                    peer.place = 0;
                    moved = true;
                }
            }
        }
        if moved {
            places += 1;
            let found = judge(&config, &turns).map_err(|broken| broken.promise);
            assert_eq!(found, Err(Promise::Capacity));
        }
    }
    assert_eq!(places, 2);
}

#[test]
fn capacity_a_task_for_who_is_no_worker_is_seen() {
    caught_in_actions(Promise::Capacity, |action| {
        let mut astray = action.clone();
        let Action::Assign { peer, .. } = &mut astray else {
            return None;
        };
        // That is ann.
        peer.place = 2;
        Some(vec![astray])
    });
}

#[test]
fn deadline_ahead_one_that_is_past_is_seen() {
    for back in [0, 1, 1_000_000] {
        caught(Promise::DeadlineAhead, |turns, index, action| {
            let turn = &mut turns[index];
            let woke = turn.event == Event::Woke && action == 0;
            if woke {
                turn.deadline = Some(turn.now - Duration::from_micros(back));
            }
            woke
        });
    }
}

#[test]
fn same_actions_any_change_of_the_second_run_is_seen() {
    let (config, honest) = history();
    for index in 0..honest.len() {
        for action in 0..honest[index].actions.len() {
            let mut turns = honest.clone();
            turns[index].actions.remove(action);
            let found = replay(&config, &turns).map_err(|broken| broken.promise);
            assert_eq!(found, Err(Promise::SameActions));
        }
        let mut turns = honest.clone();
        turns[index].deadline = Some(Time::ZERO);
        let found = replay(&config, &turns).map_err(|broken| broken.promise);
        assert_eq!(found, Err(Promise::SameActions));
    }
}

#[test]
fn same_actions_another_order_is_seen() {
    let (config, honest) = history();
    for index in 0..honest.len() {
        let mut turns = honest.clone();
        turns[index].actions.reverse();
        if turns[index].actions != honest[index].actions {
            let found = replay(&config, &turns).map_err(|broken| broken.promise);
            assert_eq!(found, Err(Promise::SameActions));
        }
    }
}

#[test]
fn limits_a_refusal_that_is_missing_is_seen() {
    caught_in_actions(Promise::Limits, |action| {
        (is_final(action) && !ends_a_task(action)).then(Vec::new)
    });
}

#[test]
fn limits_lower_ones_are_seen_to_be_broken() {
    let (config, honest) = history();
    let lower: [fn(&mut Config); 4] = [
        |config| config.limits.client_tasks = 1,
        |config| config.limits.queue_tasks = 0,
        |config| config.limits.held = 10,
        |config| config.limits.services = 1,
    ];
    for (index, lower) in lower.into_iter().enumerate() {
        let mut less = config.clone();
        lower(&mut less);
        let mut checker = Checker::new(less);
        let found = honest.iter().try_for_each(|turn| checker.check(turn));
        let found = found.map_err(|broken| broken.promise);
        assert_eq!(found, Err(Promise::Limits), "number {index}");
    }
}

#[test]
fn limits_sizes_that_grow_are_seen() {
    caught(Promise::Limits, |turns, index, action| {
        let services = &mut turns[index].snapshot.services;
        let there = action == 0 && !services.is_empty();
        if there {
            services[0].queued += 9;
        }
        there
    });
}

#[test]
fn one_start_a_task_given_to_two_workers_is_seen() {
    caught_in_actions(Promise::OneStart, |action| {
        let Action::Assign {
            peer,
            dialect,
            task,
        } = action
        else {
            return None;
        };
        let mut again = task.clone();
        again.attempt += 1;
        again.token.0[7] ^= 1;
        let again = Action::Assign {
            peer: PeerId {
                place: 1 - peer.place.min(1),
                ..*peer
            },
            dialect: *dialect,
            task: again,
        };
        // To a worker that is there.
        (peer.place < 2).then(|| vec![action.clone(), again])
    });
}

#[test]
fn one_start_a_task_that_was_never_to_be_repeated_is_seen() {
    // Its client had not allowed it, nor did the service: val's offer is made an ordinary one.
    caught(Promise::OneStart, |turns, index, action| {
        let last = action == turns[index].actions.len();
        if let Event::Heard {
            reading: Reading::Word(Word::Announce(announcement)),
            ..
        } = &mut turns[index].event
            && last
            && announcement.offers[0].idempotent
        {
            announcement.offers[0].idempotent = false;
            return true;
        }
        false
    });
}

#[test]
fn one_start_a_lie_about_what_was_executed_is_seen() {
    caught_in_actions(Promise::OneStart, |action| {
        let mut lie = action.clone();
        let Action::Answer {
            answer: Answer::Error { not_executed, .. },
            ..
        } = &mut lie
        else {
            return None;
        };
        *not_executed = !*not_executed;
        Some(vec![lie])
    });
}

#[test]
fn one_start_a_wrong_count_or_an_old_token_is_seen() {
    caught_in_actions(Promise::OneStart, |action| {
        let mut miscounted = action.clone();
        let Action::Assign { task, .. } = &mut miscounted else {
            return None;
        };
        task.attempt += 1;
        Some(vec![miscounted])
    });
    caught(Promise::OneStart, |turns, index, action| {
        let mut before = turns[..index].iter().flat_map(|turn| &turn.actions);
        let old = before.find_map(|action| match action {
            Action::Assign { task, .. } => Some(task.token),
            _ => None,
        });
        match (turns[index].actions.get_mut(action), old) {
            (Some(Action::Assign { task, .. }), Some(old)) => {
                task.token = old;
                true
            }
            _ => false,
        }
    });
}

#[test]
fn right_client_an_answer_to_another_is_seen() {
    // Another client that is there: wes, the first of all.
    caught_in_actions(Promise::RightClient, |action| {
        let mut astray = action.clone();
        let Action::Answer { peer, .. } = &mut astray else {
            return None;
        };
        peer.place = 0;
        Some(vec![astray])
    });
}

#[test]
fn right_client_a_changed_way_back_is_seen() {
    let changes: [fn(&mut Action); 3] = [
        |action| {
            if let Action::Answer { back, .. } = action {
                back.id.0[0] ^= 0x80;
            }
        },
        |action| {
            if let Action::Answer { back, .. } = action {
                back.envelope = Message::new(["elsewhere", ""]);
            }
        },
        |action| {
            if let Action::Answer { service, .. } = action {
                *service = Name::from("another");
            }
        },
    ];
    for change in changes {
        caught_in_actions(Promise::RightClient, |action| {
            let mut changed = action.clone();
            change(&mut changed);
            (changed != *action).then(|| vec![changed])
        });
    }
}

#[test]
fn right_client_anothers_body_is_seen() {
    caught_in_actions(Promise::RightClient, |action| {
        let mut changed = action.clone();
        let Action::Answer {
            answer: Answer::Reply { body, .. },
            ..
        } = &mut changed
        else {
            return None;
        };
        *body = Message::from("somebody else's");
        Some(vec![changed])
    });
}

#[test]
fn turns_a_task_that_overtakes_an_earlier_one_of_its_client_is_seen() {
    caught(Promise::Turns, |turns, index, action| {
        let tasks = turns[index].actions.iter_mut().skip(action);
        let mut of_ann = tasks.filter_map(|action| match action {
            Action::Assign { task, .. } if task.body.first()?.starts_with(b"ann ") => Some(task),
            _ => None,
        });
        let (Some(first), Some(second)) = (of_ann.next(), of_ann.next()) else {
            return false;
        };
        std::mem::swap(&mut first.body, &mut second.body);
        true
    });
}

#[test]
fn credit_a_part_that_is_kept_back_for_nothing_is_seen() {
    caught_in(streams(), Promise::Credit, |turns, index, action| {
        let turn = &mut turns[index];
        // The last of a turn: another one in its place would be somebody else's body.
        let last = turn.actions.iter().rposition(is_part) == Some(action);
        if last {
            turn.actions.remove(action);
        }
        last
    });
}

#[test]
fn credit_a_part_that_goes_without_is_seen() {
    let (_, honest) = streams();
    let any = honest.iter().flat_map(|turn| &turn.actions);
    let any: Vec<Action> = any.filter(|action| is_part(action)).cloned().collect();
    caught_in(streams(), Promise::Credit, |turns, index, action| {
        let turn = &mut turns[index];
        let kept = matches!(&turn.event, Event::Heard {
            reading: Reading::Word(Word::Reply(reply)), ..
        } if reply.partial && !turn.actions.iter().any(is_part));
        // The bodies of a stream are all alike: any part of ann's is the next, or else of bob's.
        let Event::Heard {
            reading: Reading::Word(Word::Reply(reply)),
            ..
        } = &turn.event
        else {
            return false;
        };
        let same = |part: &&Action| matches!(part, Action::Answer { answer: Answer::Reply { body, .. }, .. } if *body == reply.body);
        if kept && action == 0 {
            turn.actions.extend(any.iter().find(same).cloned());
        }
        kept && action == 0
    });
}

fn caught_in_allowances(falsify: impl Fn(&mut Allowance)) {
    caught_in(
        streams(),
        Promise::Credit,
        |turns, index, action| match turns[index].actions.get_mut(action) {
            Some(Action::Tell {
                notice: Notice::Credit(allowance),
                ..
            }) => {
                falsify(allowance);
                true
            }
            _ => false,
        },
    );
}

#[test]
fn credit_more_than_there_is_room_for_is_seen() {
    caught_in_allowances(|allowance| allowance.more.messages += 40);
    caught_in_allowances(|allowance| allowance.more.kib += 1024);
}

#[test]
fn credit_none_or_for_nothing_is_seen() {
    caught_in_allowances(|allowance| allowance.more = Portion::default());
    caught_in_allowances(|allowance| allowance.token.0[7] ^= 1);
}

#[test]
fn credit_a_worker_that_is_left_without_is_seen() {
    caught_in(streams(), Promise::Credit, |turns, index, action| {
        let turn = &mut turns[index];
        let told = turn.actions.get(action).is_some_and(|action| {
            matches!(
                action,
                Action::Tell {
                    notice: Notice::Credit(_),
                    ..
                }
            )
        });
        if told {
            turn.actions.remove(action);
        }
        told
    });
}
