//! `scale0::socket` with other implementations on the far end: every pair of socket types, both
//! ways of connecting, every edge of framing; restarts in mid-stream; heartbeats. Real processes,
//! real sockets. A mechanism is a parameter of every conversation.
//!
//! One test has to build three other implementations first, and runs only if it is asked for:
//! `cargo test --test matrix -- --ignored`.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test fails by panicking, and says what it leaves out"
)]

mod conversation;
mod foreign;
mod heartbeats;
mod mechanism;
#[path = "../support/peers.rs"]
#[allow(dead_code, reason = "shared with other tests, which use the rest")]
mod peers;
#[path = "../support/process.rs"]
#[allow(dead_code, reason = "shared with other tests, which use the rest")]
mod process;
mod pyzmq;
mod restarts;
mod role;
