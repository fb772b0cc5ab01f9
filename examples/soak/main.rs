//! A long day for a broker: `cargo run --release --example soak -- --minutes 10`, with `--seed S`
//! for another one and `--rate R` for more or fewer than 500 tasks a second.
//!
//! Clients and workers of several dialects come, ask, cancel, crash and stall while tasks of 0
//! bytes to 1 MiB go to and fro; the broker is a process of its own (this program again). At the
//! end each task must have had one end, everything must be given back, and the broker's memory must
//! not have grown. Prints a table; the exit code is 1 if a promise was broken.

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "a program speaks to its user, and this one's business is to look at the clock and to fail"
)]

mod run;

use std::process::{Command, ExitCode};
use std::time::Duration;

use scale0::server::{Config, Running, raise_descriptor_limit};

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    if words.first().is_some_and(|word| word == BROKER) {
        broker();
        return ExitCode::SUCCESS;
    }
    let options = match options(&words) {
        Ok(options) => options,
        Err(text) => {
            eprintln!(
                "{text}\nusage: soak [--minutes N | --seconds N] [--seed S] [--rate TASKS_PER_SECOND]"
            );
            return ExitCode::from(2);
        }
    };
    let mut broker = Command::new(std::env::current_exe().expect("this program's path"));
    broker.arg(BROKER);
    println!(
        "{:?}, seed {}, {} tasks a second",
        options.time, options.seed, options.rate
    );
    let report = run::run(options, broker);
    println!("{report}");
    ExitCode::from(u8::from(!report.broken.is_empty()))
}

fn options(words: &[String]) -> Result<run::Options, String> {
    let mut options = run::Options::default();
    for pair in words.chunks(2) {
        let [name, value] = pair else {
            return Err(format!("{} needs a value", pair.concat()));
        };
        let number: u64 = value.parse().map_err(|_| format!("{value} is no number"))?;
        match name.as_str() {
            "--minutes" => options.time = Duration::from_secs(number * 60),
            "--seconds" => options.time = Duration::from_secs(number),
            "--seed" => options.seed = number,
            "--rate" => options.rate = u32::try_from(number).map_err(|error| error.to_string())?,
            _ => return Err(format!("{name} is not known")),
        }
    }
    Ok(options)
}

/// The broker's role: until whoever started this closes its stdin.
fn broker() {
    raise_descriptor_limit();
    let mut config = Config {
        endpoints: vec!["tcp://127.0.0.1:0".parse().expect("an endpoint")],
        ..Config::default()
    };
    config.broker.limits.stall_time = run::STALL;
    let broker = Running::start(config).expect("a broker");
    eprintln!("bound {}", broker.endpoints()[0]);
    let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
}

/// The word that makes this program the broker.
const BROKER: &str = "broker";
