//! Several brokers in one process: shards with letters between them that take their time, and
//! arrive in order from one shard to another and in any order across pairs. Workers with services
//! of several shards, clients of all of them, moves, drains, floods.
//!
//! The brokers and what stands between them are the real ones; peers say words, not bytes. What
//! one broker promises is judged by the ledger next door; here it is what all of them must keep
//! together, however long a letter takes.
//!
//! `SHARD_SEED=42 cargo test --test sim shards -- --nocapture` tells the story of one seed;
//! `SHARD_SEEDS` and `SHARD_START` go on where the default ends.

mod books;
mod faults;
mod hands;
mod plan;
mod post;
mod work;
mod world;

pub(crate) use faults::Fault;
pub(crate) use plan::Plan;
pub(crate) use world::run;
