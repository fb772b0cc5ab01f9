//! The runner: case by case, all brokers in turn, each repeat with a fresh process.

use std::path::PathBuf;
use std::time::Duration;

use super::case::{CONNECTIONS, Case, Kind, PACE};
use super::programs::Programs;
use super::report::Report;
use super::who::{Broker, Who};
use crate::Failure;
use crate::child::{self, Child};
use crate::load::{Idle, Job, Run};

/// What the command line asks for.
pub struct Plan {
    pub programs: Programs,
    pub brokers: Vec<Who>,
    cases: Vec<Case>,
    pub repeats: usize,
    pub warm: Duration,
    pub run: Duration,
    /// Where to write; a part of all, unless asked to, is only printed.
    pub out: Option<PathBuf>,
    pub quick: bool,
}

/// What one broker did in one case.
pub struct Line {
    pub case: Case,
    pub who: Who,
    pub outcome: Result<Outcome, String>,
}

#[derive(Clone, Copy, Debug, Default)]
pub struct Outcome {
    /// Medians; errors are summed up.
    pub run: Run,
    /// p99 / p50 of the repeat in which it was least: who else uses the machine makes it larger.
    pub tail: f64,
    /// Resident KiB before anybody came, and bytes for each idle connection.
    pub before: f64,
    pub each: f64,
}

pub fn brokers(words: &[String]) -> Result<(), Failure> {
    let plan = Plan::parse(words, &Who::ALL)?;
    let mut lines = Vec::new();
    for case in &plan.cases {
        eprintln!("{}: {}", case.name, case.title());
        let done = plan.measure_all(case);
        for line in &done {
            eprintln!("  {}", line.brief());
        }
        lines.extend(done);
    }
    Report::new(&plan, lines).write()
}

impl Plan {
    pub fn parse(words: &[String], all: &[Who]) -> Result<Self, Failure> {
        let (mut quick, mut repeats, mut scale0) = (false, None, None);
        let mut out = None;
        let (mut wanted, mut names) = (Vec::new(), Vec::new());
        let mut words = words.iter();
        while let Some(word) = words.next() {
            let mut value = || words.next().cloned().ok_or(format!("{word} wants a value"));
            match word.as_str() {
                "--quick" => quick = true,
                "--reps" => repeats = Some(value()?.parse()?),
                "--scale0" => scale0 = Some(value()?.into()),
                "--out" => out = Some(value()?.into()),
                "--case" => names.push(value()?),
                "--broker" => wanted.push(value()?),
                _ => return Err(format!("no option {word}").into()),
            }
        }
        if names.is_empty() && wanted.is_empty() && out.is_none() {
            out = Some(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../results"));
        }
        let mut brokers = all.to_vec();
        if !wanted.is_empty() {
            brokers.retain(|who| wanted.iter().any(|word| word == who.word()));
        }
        if brokers.is_empty() {
            let words: Vec<_> = all.iter().map(|who| who.word()).collect();
            return Err(format!("no such broker; there are {}", words.join(" ")).into());
        }
        let mut cases = Case::all();
        if !names.is_empty() {
            cases.retain(|case| names.iter().any(|name| name == case.name));
        }
        if cases.is_empty() {
            let names: Vec<_> = Case::all().iter().map(|case| case.name).collect();
            return Err(format!("no such case; there are {}", names.join(" ")).into());
        }
        let programs = Programs::find(scale0, &brokers)?;
        brokers.retain(|who| programs.has(*who));
        Ok(Self {
            programs,
            brokers,
            cases,
            repeats: repeats.unwrap_or(if quick { 1 } else { 3 }).max(1),
            warm: Duration::from_millis(if quick { 150 } else { 400 }),
            run: Duration::from_millis(if quick { 400 } else { 1200 }),
            out,
            quick,
        })
    }

    fn measure_all(&self, case: &Case) -> Vec<Line> {
        let suited = self.brokers.iter().copied().filter(|who| case.suits(*who));
        let mut all: Vec<(Who, Result<Vec<Outcome>, String>)> =
            suited.map(|who| (who, Ok(Vec::new()))).collect();
        for _ in 0..self.repeats * case.often() {
            for (who, done) in &mut all {
                let Ok(outcomes) = done else { continue };
                match self.measure(case, *who) {
                    Ok(outcome) => outcomes.push(outcome),
                    Err(error) => *done = Err(error.to_string()),
                }
            }
        }
        let line = |(who, done): (Who, Result<Vec<Outcome>, String>)| Line {
            case: *case,
            who,
            outcome: done.map(|outcomes| Outcome::median(&outcomes)),
        };
        all.into_iter().map(line).collect()
    }

    fn measure(&self, case: &Case, who: Who) -> Result<Outcome, Failure> {
        let broker = Broker::start(&self.programs, who, case.kind == Kind::Curve, &[])?;
        if case.kind == Kind::Memory {
            return self.hold(who, &broker);
        }
        let mut job = Job {
            tongue: who.tongue(),
            front: broker.front,
            back: broker.back,
            broker: broker.process.id(),
            clients: case.clients,
            // Bytes without frames go from each client to a worker of its own.
            workers: match who {
                Who::Relay => usize::from(case.clients),
                _ => case.workers,
            },
            window: case.window,
            capacity: match who.has_capacity() {
                true => case.capacity,
                false => 1,
            },
            size: case.size,
            curve: case.kind == Kind::Curve,
            warm: self.warm,
            run: self.run,
            ..Job::default()
        };
        let mut run = self.load(&job)?;
        if case.kind == Kind::Paced {
            // A fresh one, for the maximum has left its workers there.
            drop(broker);
            let broker = Broker::start(&self.programs, who, false, &[])?;
            (job.front, job.back) = (broker.front, broker.back);
            job.broker = broker.process.id();
            job.pace = (run.rate * PACE) as u64;
            run = self.load(&job)?;
        }
        Ok(Outcome {
            run,
            tail: run.p99 / run.p50.max(1.0),
            ..Outcome::default()
        })
    }

    /// Prints the table, and writes it and the chart where they belong.
    pub fn write(&self, name: &str, table: &str, chart: &str) -> Result<(), Failure> {
        print!("{table}");
        let Some(out) = &self.out else {
            return Ok(());
        };
        std::fs::create_dir_all(out)?;
        std::fs::write(out.join(name).with_extension("md"), table)?;
        std::fs::write(out.join(name).with_extension("svg"), chart)?;
        eprintln!("written: {name}.md and {name}.svg in {}", out.display());
        Ok(())
    }

    /// Runs one load to its end.
    pub fn load(&self, job: &Job) -> Result<Run, Failure> {
        let mut words = vec!["load".to_owned()];
        words.extend(job.words());
        let mut load = Child::start(&self.programs.peers, &words)?;
        Run::parse(&load.expect("end", job.warm + job.run + PATIENCE)?)
    }

    /// Memory with and without connections that do nothing.
    fn hold(&self, who: Who, broker: &Broker) -> Result<Outcome, Failure> {
        std::thread::sleep(SETTLED);
        let resident = || child::memory(broker.process.id(), "VmRSS:") as f64;
        let before = resident();
        let mut words = vec!["load".to_owned()];
        let job = Job {
            tongue: who.tongue(),
            front: broker.front,
            back: broker.back,
            clients: 0,
            workers: 0,
            idle: Idle {
                clients: CONNECTIONS,
                ..Idle::default()
            },
            ..Job::default()
        };
        words.extend(job.words());
        let mut load = Child::start(&self.programs.peers, &words)?;
        load.expect("open", PATIENCE)?;
        std::thread::sleep(SETTLED);
        let after = resident();
        load.go()?;
        let alive: usize = load.expect("end", PATIENCE)?.parse()?;
        let run = Run {
            lost: (CONNECTIONS - alive) as u64,
            ..Run::default()
        };
        Ok(Outcome {
            run,
            before: before / 1024.0,
            each: (after - before) / CONNECTIONS as f64,
            ..Outcome::default()
        })
    }
}

/// Until a broker has done what it does after its start, or after many have come.
const SETTLED: Duration = Duration::from_millis(700);
/// For everything that is set up before, and for answers that do not come.
const PATIENCE: Duration = Duration::from_secs(60);

impl Outcome {
    fn median(all: &[Self]) -> Self {
        let of = |value: &dyn Fn(&Self) -> f64| median(all.iter().map(value).collect());
        let sum = |value: &dyn Fn(&Run) -> u64| all.iter().map(|one| value(&one.run)).sum();
        Self {
            run: Run {
                rate: of(&|one| one.run.rate),
                cpu: of(&|one| one.run.cpu),
                own: of(&|one| one.run.own),
                p50: of(&|one| one.run.p50),
                p99: of(&|one| one.run.p99),
                rest: of(&|one| one.run.rest),
                lost: sum(&|run| run.lost),
                wrong: sum(&|run| run.wrong),
                refused: sum(&|run| run.refused),
                closed: sum(&|run| run.closed),
                over: sum(&|run| run.over),
            },
            tail: all.iter().map(|one| one.tail).fold(f64::INFINITY, f64::min),
            before: of(&|one| one.before),
            each: of(&|one| one.each),
        }
    }
}

pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}

impl Line {
    fn brief(&self) -> String {
        let name = self.who.name();
        match &self.outcome {
            Err(error) => format!("{name}: {error}"),
            Ok(Outcome { before, each, .. }) if self.case.kind == Kind::Memory => {
                format!("{name}: {before:.0} KiB, {each:.0} bytes each")
            }
            Ok(Outcome { run, .. }) => format!(
                "{name}: {:.0}/s, {:.2} µs, generator {:.2} µs, p50 {:.0} µs, p99 {:.0} µs, errors {}",
                run.rate,
                run.cpu,
                run.own,
                run.p50,
                run.p99,
                run.errors(),
            ),
        }
    }
}
