//! What an operator may set of the broker's decisions.

use std::sync::Arc;
use std::time::Duration;

use super::Access;
use crate::limits::Limits;
use crate::protocol::Name;
use crate::wire::Endpoint;

/// The broker's settings. [`Default`] is what `spec/scale0.md` names.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Config {
    /// What the broker calls itself in CONFIG.
    pub name: Name,
    /// Time to live of a task whose client states none.
    pub default_ttl: Duration,
    /// The longest time to live; what is above is clamped.
    pub max_ttl: Duration,
    /// How long a task waits for a service that nobody offers.
    pub wait_for_worker: Duration,
    /// How often one task may be started.
    pub max_attempts: u16,
    /// The interval that S0 workers are promised to hear from the broker.
    pub heartbeat: Duration,
    /// The same for Majordomo workers.
    pub majordomo_heartbeat: Duration,
    /// What a Majordomo worker counts as having promised.
    pub majordomo_promise: Duration,
    /// How long after its task's deadline a silent worker is still trusted.
    pub suspect_after: Duration,
    /// How long a suspect worker may stay silent before it is given up.
    pub suspect_time: Duration,
    /// What happens to a task that would break a bound.
    pub overflow: Overflow,
    /// Failures in a row after which a worker is left out of a service; see `eject_time`.
    pub eject_after: u32,
    /// For how long, times the number of such pauses in a row; zero leaves nobody out.
    pub eject_time: Duration,
    /// What a refused client is told to wait.
    pub retry_after: Duration,
    /// How long tasks may take to finish once an administrator has asked for a drain.
    pub drain_time: Duration,
    /// Other brokers that do the same work, the best first: told to workers, and to whoever asks
    /// or has to go.
    pub failover: Vec<Endpoint>,
    /// Who may do what; none lets everybody do everything. What holds later is told with
    /// [`Event::Access`](super::Event::Access).
    pub access: Option<Arc<Access>>,
    /// Bounds.
    pub limits: Limits,
}

/// What happens to the task of an S0 client that would break a bound. Majordomo has no word for
/// "not now": its clients are always held back.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Overflow {
    /// It is answered with 503 or 429 at once, and can safely be asked again.
    Refuse,
    /// It is taken on, and no more is read from its connection until there is room: whoever is on
    /// the other end of it waits, as with any slow ZeroMQ peer. A worker's connection is always
    /// read, for its replies; a task that comes over one is refused.
    Block,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            name: Name::from("scale0"),
            default_ttl: Duration::from_secs(30),
            max_ttl: Duration::from_secs(24 * 3600),
            wait_for_worker: Duration::from_secs(2),
            max_attempts: 3,
            heartbeat: Duration::from_millis(2500),
            majordomo_heartbeat: Duration::from_secs(1),
            majordomo_promise: Duration::from_millis(2500),
            suspect_after: Duration::from_secs(5),
            suspect_time: Duration::from_secs(60),
            overflow: Overflow::Refuse,
            eject_after: 5,
            eject_time: Duration::from_secs(10),
            retry_after: Duration::from_secs(1),
            drain_time: Duration::from_secs(30),
            failover: Vec::new(),
            access: None,
            limits: Limits::default(),
        }
    }
}
