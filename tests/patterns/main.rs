//! The rules of the socket patterns, against models that are too simple to be wrong.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests may fail"
)]

mod subscriptions;
