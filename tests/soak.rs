//! Ten seconds of `examples/soak`, with the program itself as the broker.

#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::print_stdout,
    reason = "a test of real processes reads the clock, and may fail"
)]

#[path = "../examples/soak/run/mod.rs"]
mod run;

use std::process::Command;
use std::time::Duration;

#[test]
fn ten_seconds_of_a_long_day_keep_every_promise() {
    let options = run::Options {
        time: Duration::from_secs(10),
        rate: 300,
        ..run::Options::default()
    };
    let mut broker = Command::new(env!("CARGO_BIN_EXE_scale0"));
    let stall = format!("{}s", run::STALL.as_secs());
    broker.args([
        "broker",
        "--bind",
        "tcp://127.0.0.1:0",
        "--stall-timeout",
        &stall,
    ]);
    let report = run::run(options, broker);
    println!("{report}");
    assert!(report.broken.is_empty(), "{report}");
}
