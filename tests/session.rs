//! Sessions back to back and against hand-made bytes, in virtual time. `[..]` are the handles of
//! `spec/zmtp.md`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that is surprised has failed"
)]

#[path = "support/rig.rs"]
mod rig;

#[path = "session/handshake.rs"]
mod handshake;
#[path = "session/limits.rs"]
mod limits;
#[path = "session/messages.rs"]
mod messages;
#[path = "session/outbox.rs"]
mod outbox;
#[path = "session/pulse.rs"]
mod pulse;
#[path = "session/secure.rs"]
mod secure;
