//! The runner: all implementations in turn, case by case, three times, and the table of medians.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::Failure;
use crate::child::Child;
use crate::sockets::case::{Case, Shape};

/// Ours first; then who it is compared with.
const ALL: [&str; 5] = [OURS, "libzmq", "omq", "rzmq", "zeromq"];
const OURS: &str = "scale0";
/// Who speaks CURVE.
const WITH_CURVE: [&str; 3] = [OURS, "libzmq", "omq"];
const PATIENCE: Duration = Duration::from_secs(8);

struct Plan {
    implementations: Vec<String>,
    /// Who plays the receiving end, if not the same implementation.
    far: Option<String>,
    cases: Vec<Case>,
    repeats: usize,
    warm: u64,
    run: u64,
    programs: Programs,
}

struct Programs {
    peers: PathBuf,
    libzmq: Option<PathBuf>,
}

/// One measurement.
#[derive(Clone, Copy, Debug, Default)]
struct Run {
    rate: f64,
    /// CPU µs per message of the end on processor 0, and of the one on 1.
    cpu: [f64; 2],
    p50: f64,
    p99: f64,
    /// KiB per idle connection.
    memory: f64,
}

pub fn run(words: &[String]) -> Result<(), Failure> {
    let plan = Plan::parse(words)?;
    println!(
        "| case | sockets | messages/s | MB/s | CPU µs/message, first end | second end | p50 µs | p99 µs | KiB/idle peer |"
    );
    println!("|---|---|---|---|---|---|---|---|---|");
    let mut ratios = Vec::new();
    for case in &plan.cases {
        let medians = plan.measure_all(case);
        for (name, median) in plan.implementations.iter().zip(&medians) {
            println!("{}", row(case, name, median));
        }
        ratios.push(ratio(case, &plan.implementations, &medians));
    }
    if plan.implementations.iter().any(|name| name == OURS) {
        println!(
            "\n| case | ours / best pure-Rust peer | ours / libzmq | CPU of both ends, ours / best pure-Rust peer | ours / libzmq |"
        );
        println!("|---|---|---|---|---|");
        ratios.iter().for_each(|line| println!("{line}"));
    }
    Ok(())
}

impl Plan {
    fn parse(words: &[String]) -> Result<Self, Failure> {
        let (mut quick, mut repeats, mut far) = (false, None, None);
        let (mut implementations, mut wanted) = (Vec::new(), Vec::new());
        let mut words = words.iter();
        while let Some(word) = words.next() {
            let mut value = || words.next().cloned().ok_or(format!("{word} wants a value"));
            match word.as_str() {
                "--quick" => quick = true,
                "--reps" => repeats = Some(value()?.parse()?),
                "--impl" => implementations.push(value()?),
                "--far" => far = Some(value()?),
                word if word.starts_with('-') => return Err(format!("no option {word}").into()),
                name => wanted.push(name.to_owned()),
            }
        }
        let programs = Programs::find()?;
        if implementations.is_empty() {
            implementations = ALL.map(str::to_owned).to_vec();
        }
        if programs.libzmq.is_none() {
            implementations.retain(|name| name != "libzmq");
        }
        let mut cases = Case::all();
        if !wanted.is_empty() {
            cases.retain(|case| wanted.iter().any(|name| is_of(&case.name(), name)));
        }
        if cases.is_empty() {
            let names: Vec<_> = Case::all().iter().map(Case::name).collect();
            return Err(format!("no such case; there are {}", names.join(" ")).into());
        }
        Ok(Self {
            implementations,
            far,
            cases,
            repeats: repeats.unwrap_or(if quick { 1 } else { 3 }),
            warm: if quick { 150 } else { 300 },
            run: if quick { 300 } else { 800 },
            programs,
        })
    }

    /// Interleaved: a slow minute of the machine hits all of them.
    fn measure_all(&self, case: &Case) -> Vec<Result<Run, String>> {
        let mut runs: Vec<Result<Vec<Run>, String>> = self
            .implementations
            .iter()
            .map(|_| Ok(Vec::new()))
            .collect();
        for _ in 0..self.repeats {
            for (name, runs) in self.implementations.iter().zip(&mut runs) {
                let Ok(done) = runs else { continue };
                match self.measure(case, name) {
                    Ok(run) => done.push(run),
                    Err(error) => *runs = Err(error.to_string()),
                }
            }
        }
        runs.into_iter()
            .map(|runs| {
                let mut runs = runs?;
                runs.sort_by(|a, b| a.rate.total_cmp(&b.rate));
                Ok(runs[runs.len() / 2])
            })
            .collect()
    }

    fn measure(&self, case: &Case, name: &str) -> Result<Run, Failure> {
        if case.shape == Shape::PubWait && name == "zeromq" {
            return Err("its publishers cannot wait".into());
        }
        if case.curve && !WITH_CURVE.contains(&name) {
            return Err("it has no CURVE".into());
        }
        let ends = case.shape.ends();
        let far = self.far.as_deref().unwrap_or(name);
        // The far end is the one on processor 1.
        let whose = |role: &str| match role {
            "crowd" => "raw",
            "knock" => OURS,
            role if role == ends.first => name,
            _ => far,
        };
        let mut binds = self.start(case, ends.binds, whose(ends.binds), ends.first, "0")?;
        let port = binds.expect("ready", PATIENCE)?;
        let empty = binds.memory();
        let mut connects =
            self.start(case, ends.connects, whose(ends.connects), ends.first, &port)?;
        let mut memory = 0.0;
        if case.shape == Shape::Router {
            connects.expect("open", PATIENCE)?;
            // Until what the handshakes needed has been freed, where it is.
            std::thread::sleep(Duration::from_millis(200));
            memory = binds.memory().saturating_sub(empty) as f64 / 1024.0 / case.count as f64;
            connects.go()?;
        }
        // The measuring end counts what arrives: the puller, or who connects.
        let pulls = case.shape == Shape::Push;
        let begun = if pulls { &mut binds } else { &mut connects }.expect("begin", PATIENCE);
        let before = [binds.cpu(), connects.cpu()];
        begun?;
        let ended = if pulls { &mut binds } else { &mut connects }.expect("end", PATIENCE);
        let after = [binds.cpu(), connects.cpu()];
        let ended = ended?;
        let numbers: Vec<f64> = ended
            .split(' ')
            .filter_map(|word| word.parse().ok())
            .collect();
        let [messages, nanos, p50, p99] = numbers[..] else {
            return Err(format!("end {ended}").into());
        };
        let per = |end: usize| (after[end] - before[end]).as_secs_f64() * 1e6 / messages.max(1.0);
        let cpu = match pulls {
            true => [per(1), per(0)],
            false => [per(0), per(1)],
        };
        Ok(Run {
            rate: messages / nanos * 1e9,
            cpu,
            p50: p50 / 1e3,
            p99: p99 / 1e3,
            memory,
        })
    }

    fn start(
        &self,
        case: &Case,
        role: &str,
        whose: &str,
        first: &str,
        port: &str,
    ) -> Result<Child, Failure> {
        let program = match whose {
            "libzmq" => self.programs.libzmq.as_deref().ok_or("libzmq is missing")?,
            _ => &self.programs.peers,
        };
        let cpu = if role == first { "0" } else { "1" };
        let mut words = vec![role.to_owned(), whose.to_owned()];
        for (name, value) in [
            ("--cpu", cpu.to_owned()),
            ("--port", port.to_owned()),
            ("--size", case.size.to_string()),
            ("--count", case.count.to_string()),
            ("--window", case.window.to_string()),
            ("--curve", u8::from(case.curve).to_string()),
            ("--warm", self.warm.to_string()),
            ("--run", self.run.to_string()),
        ] {
            words.extend([name.to_owned(), value]);
        }
        Child::start(program, &words)
    }
}

impl Programs {
    fn find() -> Result<Self, Failure> {
        let peers = std::env::current_exe()?;
        let libzmq = peers.with_file_name("peers-libzmq");
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("libzmq.c");
        let compiled = Command::new("cc")
            .args(["-O2", "-Wall", "-o"])
            .arg(&libzmq)
            .arg(source)
            .arg("-lzmq")
            .output();
        let libzmq = match compiled {
            Ok(output) if output.status.success() => Some(libzmq),
            Ok(output) => {
                let text = String::from_utf8_lossy(&output.stderr);
                let line = text.lines().next().unwrap_or_default();
                eprintln!(
                    "libzmq is left out, for its program does not compile (Debian: apt-get install gcc libzmq3-dev): {line}"
                );
                None
            }
            Err(error) => {
                eprintln!("libzmq is left out, for there is no C compiler `cc`: {error}");
                None
            }
        };
        Ok(Self { peers, libzmq })
    }
}

/// Whether a case is the wanted one, or of its family: `push` is all of `push-…`, and `pub-64` is
/// not `pub-64k-1`.
fn is_of(case: &str, wanted: &str) -> bool {
    case.strip_prefix(wanted)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
}

fn row(case: &Case, name: &str, median: &Result<Run, String>) -> String {
    let run = match median {
        Ok(run) => run,
        Err(error) => return format!("| {} | {name} | – | | | | | | ({error}) |", case.name()),
    };
    let trips = matches!(case.shape, Shape::Req | Shape::Dealer);
    let micros = |value: f64| {
        if trips {
            format!("{value:.0}")
        } else {
            String::new()
        }
    };
    let memory = match case.shape {
        Shape::Router => format!("{:.1}", run.memory),
        _ => String::new(),
    };
    format!(
        "| {} | {name} | {} | {:.0} | {:.3} | {:.3} | {} | {} | {memory} |",
        case.name(),
        rate(run.rate),
        run.rate * case.size as f64 / 1e6,
        run.cpu[0],
        run.cpu[1],
        micros(run.p50),
        micros(run.p99),
    )
}

fn rate(rate: f64) -> String {
    match rate {
        rate if rate >= 999_500.0 => format!("{:.2}M", rate / 1e6),
        rate if rate >= 10_000.0 => format!("{:.0}k", rate / 1e3),
        rate => format!("{rate:.0}"),
    }
}

fn ratio(case: &Case, names: &[String], medians: &[Result<Run, String>]) -> String {
    let of = |wanted: &dyn Fn(&str) -> bool| {
        names
            .iter()
            .zip(medians)
            .filter(|(name, _)| wanted(name))
            .filter_map(|(_, median)| median.as_ref().ok())
            .copied()
            .collect::<Vec<_>>()
    };
    let ours = of(&|name| name == OURS);
    let libzmq = of(&|name| name == "libzmq");
    let rust = of(&|name| name != OURS && name != "libzmq");
    let both = |run: &Run| run.cpu[0] + run.cpu[1];
    let most = |runs: &[Run]| runs.iter().map(|run| run.rate).max_by(f64::total_cmp);
    let least = |runs: &[Run]| runs.iter().map(both).min_by(f64::total_cmp);
    let divided = |ours: Option<f64>, theirs: Option<f64>| match (ours, theirs) {
        (Some(ours), Some(theirs)) => format!("{:.2}", ours / theirs),
        _ => "–".to_owned(),
    };
    format!(
        "| {} | {} | {} | {} | {} |",
        case.name(),
        divided(most(&ours), most(&rust)),
        divided(most(&ours), most(&libzmq)),
        divided(least(&ours), least(&rust)),
        divided(least(&ours), least(&libzmq)),
    )
}
