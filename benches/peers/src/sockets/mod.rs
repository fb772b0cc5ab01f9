//! Socket patterns side by side: scale0, libzmq and the pure-Rust peers in one run.
//!
//! `peers sockets` measures; `peers ROLE IMPL` is one end of a measurement, in a process of its
//! own.

mod case;
mod job;
mod knock;
mod meter;
mod omq;
mod ours;
mod raw;
mod run;
mod rzmq_rs;
mod session;
mod zeromq_rs;

pub use job::Job;
pub use run::run;

use crate::{Failure, child};

/// Plays one end until the runner ends it, or until it has measured.
pub fn role(job: &Job) -> Result<(), Failure> {
    child::settle(job.cpu)?;
    if job.implementation == "raw" {
        return raw::play(job);
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let play = async {
        if job.role == "knock" {
            return knock::play(job).await;
        }
        match job.implementation.as_str() {
            "scale0" => ours::play(job).await,
            "omq" => omq::play(job).await,
            "rzmq" => rzmq_rs::play(job).await,
            "session" => session::play(job).await,
            "zeromq" => zeromq_rs::play(job).await,
            other => Err(format!("no implementation {other}").into()),
        }
    };
    // Subscribers and who knocks are many in one process, as local tasks.
    match job.role.as_str() {
        "sub" | "knock" => tokio::task::LocalSet::new().block_on(&runtime, play),
        _ => runtime.block_on(play),
    }
}
