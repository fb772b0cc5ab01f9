//! Bytes by hand against the sockets of this process: what a peer may say, right or wrong, and
//! what the program gets of it. `[..]`, and the rows of `test_…`, are those of `spec/zmtp.md`.
//!
//! The oracle of everything hostile: a good second peer is served during and after.

#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that is surprised has failed"
)]

mod alone;
mod ask;
mod conversations;
mod crowds;
mod curve;
#[path = "../support/guest.rs"]
mod guest;
mod handshake;
mod heartbeats;
mod oracle;
mod peer;
mod publish;
mod queue;
#[path = "../support/raw.rs"]
#[allow(dead_code, reason = "the broker's tests use the rest")]
mod raw;
mod route;
mod secure;
