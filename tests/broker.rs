//! The broker's mind, held to its promises: scripts of random events under virtual time, talks
//! that show each rule, and acts of sabotage that show that the checker can see.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "tests"
)]

#[path = "support/core/mod.rs"]
mod rig;

#[path = "broker/choice.rs"]
mod choice;
#[path = "broker/drain.rs"]
mod drain;
#[path = "broker/failures.rs"]
mod failures;
#[path = "broker/majordomo.rs"]
mod majordomo;
#[path = "broker/names.rs"]
mod names;
#[path = "broker/oneway.rs"]
mod oneway;
#[path = "broker/queues.rs"]
mod queues;
#[path = "broker/rights.rs"]
mod rights;
#[path = "broker/sabotage.rs"]
mod sabotage;
#[path = "broker/streams.rs"]
mod streams;
#[path = "broker/tasks.rs"]
mod tasks;
#[path = "broker/workers.rs"]
mod workers;

use proptest::prelude::*;
use proptest::test_runner::Config as Runs;
use scale0::broker::Config;

use rig::checker::Promise;
use rig::player::Player;
use rig::rights::any_rules;
use rig::script::{Step, quick, races, steps, steps_under_rules, tight};
use rig::{replay, transcript};

fn keeps_all_promises(config: Config, script: &[Step]) -> Result<(), TestCaseError> {
    let mut player = Player::new(config.clone());
    let played = player.play(script);
    let played = played.and_then(|()| replay(&config, &player.rig.turns));
    played.map_err(|broken| {
        let number = broken.promise as u8;
        let name = match broken.promise {
            Promise::Order => "order".to_owned(),
            promise => format!("promise {number}, {promise:?}"),
        };
        let story = transcript(&player.rig.turns);
        TestCaseError::fail(format!("{name}: {}\n{story}", broken.why))
    })
}

proptest! {
    #![proptest_config(Runs {
        cases: Runs::default().cases.max(500),
        failure_persistence: None,
        max_shrink_iters: 20_000,
        ..Runs::default()
    })]

    #[test]
    fn any_script_keeps_all_promises(script in steps(80)) {
        keeps_all_promises(quick(), &script)?;
    }

    #[test]
    fn any_script_under_any_rules_keeps_all_promises(access in any_rules(), script in steps_under_rules(80)) {
        let access = Some(std::sync::Arc::new(access));
        keeps_all_promises(Config { access, ..quick() }, &script)?;
    }

    #[test]
    fn any_script_under_any_rules_keeps_all_promises_at_the_limits(
        config in tight(),
        script in steps_under_rules(60),
    ) {
        keeps_all_promises(config, &script)?;
    }

    #[test]
    fn any_script_keeps_all_promises_at_the_limits(config in tight(), script in steps(60)) {
        keeps_all_promises(config, &script)?;
    }
}

proptest! {
    #![proptest_config(Runs {
        cases: Runs::default().cases.max(10_000),
        failure_persistence: None,
        max_shrink_iters: 20_000,
        ..Runs::default()
    })]

    /// CANCEL, replies, parts, credit, losses and deadlines in every order: one answer each, and in
    /// the end every worker has all its places back.
    #[test]
    fn ten_thousand_races_end_with_one_answer_each_and_no_place_lost(script in races(24)) {
        keeps_all_promises(quick(), &script)?;
    }
}
