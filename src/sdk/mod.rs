//! Clients and workers for Rust programs, on tokio.
//!
//! [`Client`] calls services by name; [`Worker`] offers them. Both speak S0/1 to a scale0 broker
//! and, where told so with [`Dialect`], Majordomo to other brokers. Both know
//! several endpoints and are connected to one at a time.
//!
//! ```no_run
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! use scale0::{Client, Task, Worker};
//!
//! let worker = Worker::builder("tcp://127.0.0.1:5555")?
//!     .service("upper", async |task: Task| Ok(task.text().to_uppercase()))
//!     .build()?;
//! tokio::spawn(worker.run(std::future::pending()));
//!
//! let client = Client::connect("tcp://127.0.0.1:5555")?;
//! let reply = client.call("upper", "hello").await?;
//! assert_eq!(reply.text(), "HELLO");
//! # Ok(()) }
//! ```

mod client;
mod driver;
mod error;
mod ledger;
mod pace;
mod reply;
mod route;
mod speech;
mod station;
mod worker;

pub use client::{Client, ClientBuilder, Request, Stream};
pub use error::{BuildError, CallError, Failure};
pub use reply::{Outcome, Reply};
pub use speech::Dialect;
pub use worker::{Task, Worker, WorkerBuilder};

use std::sync::Arc;
use std::time::Duration;

use crate::limits::Limits;
use crate::security::Security;
use crate::session::{self, Heartbeat};
use crate::wire::SocketType;

/// What clients and workers are on the wire: a DEALER. A body that fits what its sender may send
/// can be a little longer on its way from a broker, with another header in front: that is no
/// reason to close.
fn session_config(
    limits: &Limits,
    security: Security,
    heartbeat: Option<Heartbeat>,
) -> Arc<session::Config> {
    Arc::new(session::Config {
        limits: Limits {
            message: limits.message.saturating_add(limits.header),
            parts: limits.parts.saturating_add(limits.envelope),
            ..limits.clone()
        },
        security,
        heartbeat,
        ..session::Config::new(SocketType::Dealer)
    })
}

/// A broker that is frozen, or whose host is gone, is found out in 8 s at the latest.
const HEARTBEAT: Heartbeat = Heartbeat {
    interval: Duration::from_secs(2),
    timeout: Duration::from_secs(6),
    ttl: Duration::ZERO,
};
