//! What is asked of us. Rates do not travel from machine to machine, so a mark is a ratio to an
//! anchor that is measured in the same run; what it was is what was first measured of both.

use super::case::Case;
use super::run::{Line, Outcome};
use super::who::Who;

/// Ours in a case, against an anchor's.
struct Mark {
    case: &'static str,
    ours: Who,
    what: What,
    /// At least (rates) or at most (all others) so much of the anchor's.
    ratio: f64,
    anchor: &'static str,
    of: Who,
}

#[derive(Clone, Copy, PartialEq)]
enum What {
    Rate,
    Cpu,
    P50,
}

/// Where both were measured first: our mark, and the anchor's figure.
fn marks() -> Vec<Mark> {
    let rate = |case, ours, mark: f64, anchor: f64| Mark {
        case,
        ours,
        what: What::Rate,
        ratio: mark / anchor,
        anchor: case,
        of: Who::Proxy,
    };
    let (mdp, s0) = (Who::Scale0Mdp, Who::Scale0);
    vec![
        rate("pipe16", mdp, 80_000.0, 66_900.0),
        rate("pipe64", mdp, 150_000.0, 93_900.0),
        rate("pipe512", mdp, 180_000.0, 292_000.0),
        rate("cap512", s0, 450_000.0, 292_000.0),
        Mark {
            what: What::Cpu,
            ratio: 2.2 / 3.4,
            ..rate("cap512", s0, 1.0, 1.0)
        },
        // First measured with 64 workers.
        Mark {
            anchor: "pipe512",
            ..rate("capfew", s0, 800_000.0, 292_000.0)
        },
        rate("conc64", mdp, 110_000.0, 72_600.0),
        rate("conc1000", mdp, 90_000.0, 57_300.0),
        rate("w1000", mdp, 110_000.0, 68_700.0),
        rate("1k", mdp, 80_000.0, 63_500.0),
        rate("64k", mdp, 18_000.0, 15_800.0),
        rate("1m", mdp, 1.0, 1.0),
        Mark {
            what: What::P50,
            // One after the other: the time of one is what the rate says.
            ratio: 180.0 / (1e6 / 4800.0),
            ..rate("lock64", s0, 1.0, 1.0)
        },
        Mark {
            what: What::P50,
            ratio: 65.0 / (1e6 / 4800.0),
            ..rate("lock64", Who::Scale0Spin, 1.0, 1.0)
        },
        Mark {
            what: What::Cpu,
            ratio: 1.5,
            ..rate("curve512", s0, 1.0, 1.0)
        },
    ]
}

const EACH: f64 = 5000.0;
const BEFORE: f64 = 12.0;
const TAIL: f64 = 3.0;

fn find<'a>(lines: &'a [Line], case: &str, who: Who) -> Option<&'a Outcome> {
    let mut lines = lines.iter();
    let line = lines.find(|line| line.case.name == case && line.who == who)?;
    line.outcome.as_ref().ok()
}

/// One row for each mark of which both sides were measured.
pub fn table(lines: &[Line]) -> Vec<String> {
    let mut rows = Vec::new();
    for mark in marks() {
        let (Some(ours), Some(theirs)) = (
            find(lines, mark.case, mark.ours),
            find(lines, mark.anchor, mark.of),
        ) else {
            continue;
        };
        let of = |outcome: &Outcome| match mark.what {
            What::Rate => outcome.run.rate,
            What::Cpu => outcome.run.cpu,
            What::P50 => outcome.run.p50,
        };
        let (what, at, holds): (_, _, fn(f64, f64) -> bool) = match mark.what {
            What::Rate => ("tasks/s", "at least", |is, asked| is >= asked),
            What::Cpu => ("broker CPU", "at most", |is, asked| is <= asked),
            What::P50 => ("p50", "at most", |is, asked| is <= asked),
        };
        let is = of(ours) / of(theirs);
        let anchor = match mark.anchor == mark.case {
            true => mark.of.name().to_owned(),
            false => format!("{} in {}", mark.of.name(), mark.anchor),
        };
        rows.push(format!(
            "| {} | {} | {what} of {anchor} | {at} {:.2} | {is:.2} | {} |",
            mark.case,
            mark.ours.name(),
            mark.ratio,
            verdict(holds(is, mark.ratio)),
        ));
    }
    for who in [Who::Scale0, Who::Scale0Mdp] {
        if let Some(outcome) = find(lines, "paced", who) {
            let is = outcome.run.p99 / outcome.run.p50;
            let least = outcome.tail;
            rows.push(format!(
                "| paced | {} | p99 / p50 (least of the repeats: {least:.2}) | below {TAIL} | {is:.2} | {} |",
                who.name(),
                verdict(is < TAIL),
            ));
        }
    }
    if let Some(outcome) = find(lines, "memory", Who::Scale0) {
        let (each, before) = (outcome.each, outcome.before / 1024.0);
        rows.push(format!(
            "| memory | scale0 | bytes per idle connection | at most {EACH} | {each:.0} | {} |",
            verdict(each <= EACH),
        ));
        rows.push(format!(
            "| memory | scale0 | MiB before them | below {BEFORE} | {before:.1} | {} |",
            verdict(before < BEFORE),
        ));
    }
    rows
}

fn verdict(holds: bool) -> &'static str {
    if holds { "holds" } else { "**does not hold**" }
}

/// Our best against the best of the others, who are brokers too.
pub fn best(lines: &[Line], case: &Case) -> Option<String> {
    let of = |ours: bool, value: &dyn Fn(&Outcome) -> f64| {
        let lines = lines.iter().filter(|line| line.case == *case);
        let some: Vec<(f64, Who)> = lines
            .filter(|line| line.who.is_ours() == ours && line.who != Who::Relay)
            .filter_map(|line| Some((value(line.outcome.as_ref().ok()?), line.who)))
            .collect();
        some.into_iter().max_by(|a, b| a.0.total_cmp(&b.0))
    };
    let rate = |outcome: &Outcome| outcome.run.rate;
    let cheap = |outcome: &Outcome| -outcome.run.cpu;
    let ((ours, _), (theirs, who)) = (of(true, &rate)?, of(false, &rate)?);
    let ((our_cpu, _), (their_cpu, cheapest)) = (of(true, &cheap)?, of(false, &cheap)?);
    case.flows().then(|| {
        format!(
            "| {} | {:.2} | {} | {:.2} | {} |",
            case.name,
            ours / theirs,
            who.name(),
            our_cpu / their_cpu,
            cheapest.name(),
        )
    })
}
