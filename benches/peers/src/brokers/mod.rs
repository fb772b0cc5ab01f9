//! Brokers side by side: ours, and those whose work it can do, under the same load in one run.
//!
//! `peers brokers` measures and writes a table and a chart; `peers idle` draws what is idle
//! against what a task costs.

mod case;
mod chart;
mod idle;
mod machine;
mod marks;
mod programs;
mod relay;
mod report;
mod run;
mod who;

pub use idle::idle;
pub use relay::play as relay;
pub use run::brokers;
