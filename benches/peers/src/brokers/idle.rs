//! What a task costs beside much that is idle: workers, clients, services, tasks that wait. The
//! cost of what is asked for may not grow with what is not.

use std::fmt::Write as _;

use super::chart::{Curve, curves};
use super::machine;
use super::run::{Plan, median};
use super::who::{Broker, Who};
use crate::Failure;
use crate::load::{Idle, Job, Run, Tongue};

/// What is idle, and how much of it.
struct Axis {
    what: &'static str,
    counts: &'static [usize],
    set: fn(&mut Idle, usize),
}

const AXES: [Axis; 4] = [
    Axis {
        what: "idle workers",
        counts: &[0, 100, 1000, 10_000],
        set: |idle, count| idle.workers = count,
    },
    Axis {
        what: "idle clients",
        counts: &[0, 100, 1000, 10_000],
        set: |idle, count| idle.clients = count,
    },
    Axis {
        what: "services",
        // One is that which is asked for.
        counts: &[1, 10, 100, 1000],
        set: |idle, count| idle.services = count - 1,
    },
    Axis {
        what: "queued tasks",
        counts: &[0, 1000, 10_000, 100_000],
        set: |idle, count| idle.queued = count,
    },
];

/// A broker that may hold as much.
const LIMITS: [&str; 8] = [
    "--max-queue-tasks",
    "200000",
    "--max-client-tasks",
    "200000",
    "--default-ttl",
    "1h",
    "--max-pending-handshakes",
    "20000",
];

/// What is asked of a change, in percent.
const MARK: f64 = 10.0;

struct Point {
    count: usize,
    runs: Vec<Run>,
}

pub fn idle(words: &[String]) -> Result<(), Failure> {
    let plan = Plan::parse(words, &[Who::Scale0])?;
    let mut all: Vec<Vec<Point>> = AXES
        .iter()
        .map(|axis| {
            let point = |count: &usize| Point {
                count: *count,
                runs: Vec::new(),
            };
            axis.counts.iter().map(point).collect()
        })
        .collect();
    for repeat in 1..=plan.repeats {
        eprintln!("repeat {repeat} of {}", plan.repeats);
        for (axis, points) in AXES.iter().zip(&mut all) {
            for point in points {
                let mut idle = Idle::default();
                (axis.set)(&mut idle, point.count);
                let run = measure(&plan, idle)?;
                eprintln!(
                    "  {} {}: {:.2} µs, {:.0}/s, at rest {:.1} %, errors {}",
                    point.count,
                    axis.what,
                    run.cpu,
                    run.rate,
                    run.rest,
                    run.errors()
                );
                point.runs.push(run);
            }
        }
    }
    write(&plan, &all)
}

/// 4 clients with 128 tasks outstanding each, 64 workers of capacity 8: so cheap by task that
/// whatever comes on top shows.
fn measure(plan: &Plan, idle: Idle) -> Result<Run, Failure> {
    let broker = Broker::start(&plan.programs, Who::Scale0, false, &LIMITS)?;
    let job = Job {
        tongue: Tongue::Scale0,
        front: broker.front,
        back: broker.back,
        broker: broker.process.id(),
        clients: 4,
        window: 128,
        workers: 64,
        capacity: 8,
        idle,
        warm: plan.warm,
        run: plan.run,
        ..Job::default()
    };
    plan.load(&job)
}

fn write(plan: &Plan, all: &[Vec<Point>]) -> Result<(), Failure> {
    let mut text = format!(
        "# What a task costs beside what is idle, {}\n\n",
        machine::date()
    );
    text += &plan.about("idle");
    text += "\n![broker CPU per task beside what is idle](idle.svg)\n\n";
    text += "What is measured, and how to read it: [peers/README.md](../peers/README.md#idle).\n\n";
    text += "| beside | broker CPU µs/task, median | least | change of the median | of the least | net of what is used at rest | broker CPU at rest, % | errors |\n|---|---:|---:|---:|---:|---:|---:|---|\n";
    // The first point of all axes is the same: nothing idle at all.
    let firsts = all.iter().filter_map(|points| points.first());
    let base: Vec<Run> = firsts.flat_map(|point| point.runs.clone()).collect();
    let base = figures(&base);
    let mut drawn = Vec::new();
    for (axis, points) in AXES.iter().zip(all) {
        for point in points {
            let (middle, least, net) = figures(&point.runs);
            let change = |is: f64, was: f64| {
                let percent = (is / was - 1.0) * 100.0;
                let text = format!("{percent:+.1} %");
                if percent < MARK {
                    text
                } else {
                    format!("**{text}**")
                }
            };
            let rest = median(point.runs.iter().map(|run| run.rest).collect());
            let errors: u64 = point.runs.iter().map(Run::errors).sum();
            let _ = writeln!(
                text,
                "| {} {} | {middle:.2} | {least:.2} | {} | {} | {} | {rest:.1} | {} |",
                super::report::grouped(point.count as f64),
                axis.what,
                change(middle, base.0),
                change(least, base.1),
                change(net, base.2),
                if errors > 0 {
                    format!("**{errors}**")
                } else {
                    String::new()
                },
            );
        }
        drawn.push(Curve {
            title: format!("beside {}: µs per task", axis.what),
            points: points
                .iter()
                .map(|point| {
                    let cpus = point.runs.iter().map(|run| run.cpu);
                    (point.count as f64, cpus.collect())
                })
                .collect(),
        });
    }
    let about = format!(
        "Broker CPU per task, {}, {}; solid: median, dashed: least of {}; the band is 10 % above and below nothing idle.",
        machine::date(),
        machine::machine(),
        plan.repeats
    );
    let title = "What a task costs beside what is idle";
    plan.write("idle", &text, &curves(title, &about, base.0, &drawn))
}

/// CPU per task: median, least, and median without what beats cost, which is used without tasks too.
fn figures(runs: &[Run]) -> (f64, f64, f64) {
    let cpus: Vec<f64> = runs.iter().map(|run| run.cpu).collect();
    let least = cpus.iter().copied().fold(f64::INFINITY, f64::min);
    (median(cpus), least, median(runs.iter().map(net).collect()))
}

/// CPU per task without what the broker uses at rest.
fn net(run: &Run) -> f64 {
    run.cpu - run.rest / 100.0 * 1e6 / run.rate.max(1.0)
}
