//! A failing script, cut down: pieces are taken out as long as the same promise breaks.

use crate::ledger::{Broken, Promise};
use crate::plan::Plan;
use crate::world::{Watching, run};

/// The shortest script that was found to break the promise, and how.
pub(crate) fn shrink(plan: &Plan, watching: Watching, promise: Promise) -> (Plan, Option<Broken>) {
    let mut best = plan.clone();
    let mut why = None;
    let mut runs = 0;
    let mut size = best.script.len().div_ceil(2);
    while size > 0 && runs < MOST_RUNS {
        let mut at = 0;
        let before = best.script.len();
        while at < best.script.len() && runs < MOST_RUNS {
            let mut less = best.clone();
            let end = (at + size).min(less.script.len());
            less.script.drain(at..end);
            runs += 1;
            match run(&less, watching).broken {
                Some(broken) if broken.promise == promise => {
                    best = less;
                    why = Some(broken);
                }
                _ => at = end,
            }
        }
        // Once more with the smallest pieces, until no single one can go.
        if size > 1 || best.script.len() == before {
            size /= 2;
        }
    }
    (best, why)
}

const MOST_RUNS: u32 = 3_000;
