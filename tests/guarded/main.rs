//! Security as operators and users type it: keys, passwords, rights and warnings, between real
//! processes.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a test fails by panicking, says what it leaves out, and measures what is promised in seconds"
)]

mod cat;
mod foreign;
mod house;
mod keys;
mod passwords;
mod refusals;
mod secrets;

#[path = "../support/peers.rs"]
#[allow(dead_code, reason = "other tests start other peers")]
mod peers;
#[path = "../support/process.rs"]
#[allow(dead_code, reason = "shared with other tests, which use the rest")]
mod process;
