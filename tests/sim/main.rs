//! A world around the broker, in virtual time: clients and workers of every dialect, slow and
//! broken lines, crashes, frozen processes, restarts. The broker and its codecs are the real ones,
//! everything else follows from one number.
//!
//! `SIM_SEEDS=100000 SIM_START=7 cargo test --test sim any_seed` goes on where the default ends.
//! `SIM_SEED=42 cargo test --test sim any_seed -- --nocapture` tells the whole story of one seed;
//! with `SIM_FAULT=SwallowsFinals` the broker lies in it.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "tests"
)]

#[path = "../support/core/mod.rs"]
#[allow(dead_code, reason = "the checker alone is used here")]
mod rig;

mod cast;
mod dice;
mod faults;
mod hearing;
mod host;
mod ledger;
mod liar;
mod line;
mod links;
mod mind;
mod offer;
mod peers;
mod plan;
mod script;
mod shards;
mod shrink;
mod speech;
mod told;
mod work;
mod world;

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use faults::Fault;
use ledger::{Broken, Promise};
use plan::Plan;
use shrink::shrink;
use world::{Watching, run};

/// A number from the environment.
fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// What a person needs to know of a seed that fails.
fn report(seed: u64, watching: Watching, broken: &Broken) -> String {
    let plan = Plan::of(seed);
    let (less, why) = shrink(&plan, watching, broken.promise);
    let told = run(
        &less,
        Watching {
            story: true,
            ..watching
        },
    );
    let broken = why.as_ref().unwrap_or(broken);
    let mut text = format!(
        "seed {seed} breaks {:?}: {}\n\ncast:\n",
        broken.promise, broken.why
    );
    for (number, cast) in plan.cast.iter().enumerate() {
        text += &format!("  {number}: {cast:?}\n");
    }
    text += &format!(
        "\nscript ({} of {} happenings are enough; until {}):\n",
        less.script.len(),
        plan.script.len(),
        plan::clock(plan.end)
    );
    for happening in &less.script {
        text += &format!("  {happening}\n");
    }
    text += "\nthe end of its story:\n";
    for line in told.story.iter().rev().take(80).rev() {
        text += line;
        text.push('\n');
    }
    text
}

/// Plays seeds on all processors; the lowest one that fails, if any does.
fn play(
    seeds: std::ops::Range<u64>,
    watching: impl Fn(u64) -> Watching + Sync,
) -> Option<(u64, Broken)> {
    first(seeds, |seed| run(&Plan::of(seed), watching(seed)).broken)
}

fn first(
    seeds: std::ops::Range<u64>,
    run: impl Fn(u64) -> Option<Broken> + Sync,
) -> Option<(u64, Broken)> {
    let next = AtomicU64::new(seeds.start);
    let found: Mutex<Option<(u64, Broken)>> = Mutex::new(None);
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds.end || found.lock().unwrap().is_some() {
                        return;
                    }
                    if let Some(broken) = run(seed) {
                        let mut found = found.lock().unwrap();
                        if found.as_ref().is_none_or(|(first, _)| seed < *first) {
                            *found = Some((seed, broken));
                        }
                    }
                }
            });
        }
    });
    found.into_inner().unwrap()
}

/// The checker of `tests/broker.rs` looks at some of the seeds too: it takes its time.
fn honest(seed: u64) -> Watching {
    Watching {
        core: seed.is_multiple_of(4),
        ..Watching::default()
    }
}

#[test]
fn any_seed_keeps_all_promises() {
    if let Some(seed) = setting("SIM_SEED") {
        let name = std::env::var("SIM_FAULT").unwrap_or_default();
        let fault = Fault::ALL
            .into_iter()
            .find(|fault| format!("{fault:?}") == name);
        let honest = |seed| Watching {
            fault,
            ..honest(seed)
        };
        let watching = Watching {
            story: true,
            ..honest(seed)
        };
        let outcome = run(&Plan::of(seed), watching);
        println!("{}", outcome.story.join("\n"));
        if let Some(broken) = outcome.broken {
            panic!("{}", report(seed, honest(seed), &broken));
        }
        return;
    }
    let start = setting("SIM_START").unwrap_or(0);
    let count = setting("SIM_SEEDS").unwrap_or(SEEDS);
    if let Some((seed, broken)) = play(start..start + count, honest) {
        panic!("{}", report(seed, honest(seed), &broken));
    }
}

#[test]
fn the_same_seed_tells_the_same_story() {
    let watching = Watching {
        story: true,
        ..Watching::default()
    };
    for seed in 0..20 {
        let (first, second) = (
            run(&Plan::of(seed), watching),
            run(&Plan::of(seed), watching),
        );
        assert!(first.turns > 20, "seed {seed} tells nothing");
        let differs = first.story.iter().zip(&second.story).find(|(a, b)| a != b);
        let same = differs.is_none() && first.story.len() == second.story.len();
        assert!(same, "{:?}, seed {seed}: {differs:?}", Promise::SameStory);
    }
}

#[test]
fn every_planted_fault_is_found_by_name() {
    let mut missed = Vec::new();
    for fault in Fault::ALL {
        let lying = |_| Watching {
            fault: Some(fault),
            ..Watching::default()
        };
        match play(0..FAULT_SEEDS, lying) {
            Some((seed, broken)) => {
                println!(
                    "{fault:?}: seed {seed}, {:?}: {}",
                    broken.promise, broken.why
                );
                if !fault.breaks().contains(&broken.promise) {
                    let report = report(seed, lying(seed), &broken);
                    missed.push(format!("{fault:?} is found as {report}"));
                }
            }
            None => missed.push(format!("{fault:?} is not found in {FAULT_SEEDS} seeds")),
        }
    }
    assert!(missed.is_empty(), "{}", missed.join("\n\n"));
}

#[test]
fn a_failing_script_is_cut_down_to_what_it_takes() {
    let watching = Watching {
        fault: Some(Fault::SwallowsFinals),
        ..Watching::default()
    };
    let (seed, broken) = play(0..FAULT_SEEDS, |_| watching).expect("it is found");
    let plan = Plan::of(seed);
    let (less, why) = shrink(&plan, watching, broken.promise);
    assert_eq!(why.unwrap().promise, broken.promise);
    // A worker, a client or two, and three questions.
    assert!(
        less.script.len() <= 8,
        "{} of {} are left",
        less.script.len(),
        plan.script.len()
    );
    assert!(run(&less, Watching::default()).broken.is_none());
}

#[test]
fn any_seed_keeps_all_promises_over_shards() {
    if let Some(seed) = setting("SHARD_SEED") {
        let name = std::env::var("SIM_FAULT").unwrap_or_default();
        let mut faults = shards::Fault::ALL.into_iter();
        let fault = faults.find(|fault| format!("{fault:?}") == name);
        let plan = shards::Plan::of(seed);
        println!("{plan:#?}");
        let broken = shards::run(&plan, fault, true);
        assert!(broken.is_none(), "seed {seed}: {broken:?}");
        return;
    }
    let start = setting("SHARD_START").unwrap_or(0);
    let count = setting("SHARD_SEEDS").unwrap_or(SEEDS);
    let found = first(start..start + count, |seed| {
        shards::run(&shards::Plan::of(seed), None, false)
    });
    assert!(found.is_none(), "{found:?}");
}

#[test]
fn every_fault_planted_between_shards_is_found_by_name() {
    let mut missed = Vec::new();
    for fault in shards::Fault::ALL {
        let lying = |seed| shards::run(&shards::Plan::of(seed), Some(fault), false);
        match first(0..SHARD_FAULT_SEEDS, lying) {
            Some((seed, broken)) => {
                println!(
                    "{fault:?}: seed {seed}, {:?}: {}",
                    broken.promise, broken.why
                );
                if !fault.breaks().contains(&broken.promise) {
                    missed.push(format!("{fault:?} is found as {broken:?} by seed {seed}"));
                }
            }
            None => missed.push(format!(
                "{fault:?} is not found in {SHARD_FAULT_SEEDS} seeds"
            )),
        }
    }
    assert!(missed.is_empty(), "{}", missed.join("\n"));
}

/// Some twenty seconds of one processor, in the profile of tests.
const SEEDS: u64 = 5_000;
/// Among so many a planted fault shows itself.
const FAULT_SEEDS: u64 = 300;
/// Many of them have one shard only, or nothing to do with a fault.
const SHARD_FAULT_SEEDS: u64 = 1_500;
