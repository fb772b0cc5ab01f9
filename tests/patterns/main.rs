//! The rules of the socket patterns, against models that are too simple to be wrong.

#![allow(
    unreachable_pub,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests may fail; the model is public to the fuzz target"
)]

mod histories;
mod model;
mod rows;
mod subscriptions;
