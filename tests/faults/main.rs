//! A bad day: processes that die, freeze, loop or do not read, links that break or are slow, floods
//! and storms. Real processes on both ends, libzmq's among them. Each time what is promised comes
//! out, the counters tell what happened, and nothing of it is left behind in the broker.
//!
//! `tests/hostile.rs` has what strangers may do on purpose, `tests/interop/deaths.rs` what becomes
//! of a single task.

#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test of real processes reads the clock, and may fail"
)]

mod brokers;
mod cable;
mod crowds;
mod partitions;
#[path = "../support/peers.rs"]
#[allow(dead_code, reason = "shared with other tests, which use the rest")]
mod peers;
#[path = "../support/process.rs"]
#[allow(dead_code, reason = "shared with other tests, which use the rest")]
mod process;
#[path = "../support/raw.rs"]
#[allow(dead_code, reason = "shared with other tests, which use the rest")]
mod raw;
mod readers;
mod scene;
mod staff;
mod workers;
