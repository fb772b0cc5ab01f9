//! Facts as log lines. Peers cannot flood the log: what each of their messages could cause is
//! written at debug level, and of the rest there are so many lines a second.

use std::time::Duration;

use super::shard::End;
use crate::broker::Fact;
use crate::net::Address;
use crate::protocol::Name;
use crate::session;
use crate::time::Time;

/// Lets so many lines a second pass, and counts what it leaves out.
#[derive(Debug, Default)]
pub(super) struct Gate {
    since: Time,
    passed: u32,
    left_out: u64,
}

impl Gate {
    /// Whether this fact may be written now.
    pub(super) fn passes(&mut self, fact: &Fact, now: Time) -> bool {
        if !is_loud(fact) {
            return true;
        }
        if self.since + Duration::from_secs(1) <= now {
            if self.left_out > 0 {
                tracing::warn!(lines = self.left_out, "too much to log: lines left out");
            }
            *self = Self {
                since: now,
                ..Self::default()
            };
        }
        self.passed += 1;
        let passes = self.passed <= LINES_PER_SECOND;
        self.left_out += u64::from(!passes);
        passes
    }
}

/// Whether a fact is written at all unless debugging is asked for.
fn is_loud(fact: &Fact) -> bool {
    !matches!(
        fact,
        Fact::TaskFailed { .. }
            | Fact::TaskRefused { .. }
            | Fact::StrayReply { .. }
            | Fact::Malformed { .. }
            | Fact::Paused { .. }
    )
}

pub(super) fn fact(fact: &Fact, address: Option<Address>) {
    let peer = Subject(address);
    match fact {
        Fact::WorkerJoined {
            dialect,
            name,
            services,
            capacity,
            ..
        } => {
            tracing::info!(%peer, %dialect, %name, services = list(services), capacity, "worker joined");
        }
        Fact::WorkerChanged {
            services, capacity, ..
        } => {
            tracing::info!(
                %peer,
                services = list(services),
                capacity,
                "worker changed its services"
            );
        }
        Fact::WorkerLeft { why, tasks, .. } => tracing::info!(%peer, %why, tasks, "worker left"),
        Fact::WorkerSuspect { .. } => {
            tracing::warn!(
                %peer,
                "worker let a deadline pass and is silent: it gets no new tasks"
            );
        }
        Fact::WorkerTrusted { .. } => tracing::info!(%peer, "worker spoke again: it gets tasks"),
        Fact::WorkerEjected { service, pause, .. } => {
            tracing::warn!(
                %peer,
                %service,
                ?pause,
                "worker failed too often in a row: it gets none of these tasks for a while"
            );
        }
        Fact::WorkerProbed { service, .. } => {
            tracing::info!(%peer, %service, "worker may show with one task that it can do them")
        }
        Fact::WorkerReturned { service, .. } => {
            tracing::info!(%peer, %service, "worker gets its tasks again")
        }
        Fact::TaskRefused { service, .. } => {
            tracing::debug!(%peer, %service, "worker refused a task: another is to have it")
        }
        Fact::ServiceSet { service, policy } => {
            tracing::info!(%service, %policy, "an operator has set how the service is run")
        }
        Fact::TaskRetried { service, attempt } => {
            tracing::info!(%service, attempt, "task given to another worker")
        }
        Fact::TaskPoisoned { service, attempts } => {
            tracing::warn!(%service, attempts, "task given up: it lost a worker each time");
        }
        Fact::TaskFailed { service, status } => {
            tracing::debug!(%service, %status, "task refused or given up")
        }
        Fact::OnewayFailed {
            back,
            service,
            status,
            ..
        } => {
            tracing::warn!(%peer, id = ?back.id, %service, %status, "one-way task given up");
        }
        Fact::StrayReply { forged, .. } => {
            tracing::debug!(%peer, forged, "reply to no task of this worker")
        }
        Fact::Malformed { text, .. } => tracing::debug!(%peer, text, "malformed message"),
        Fact::Forbidden {
            user,
            right,
            service,
            ..
        } => {
            tracing::warn!(%peer, %user, %right, %service, "forbidden: no rule allows it");
        }
        Fact::DeadDialect { .. } => {
            tracing::warn!(
                %peer,
                "a Majordomo dialect of 2012 that is not served: its messages are dropped"
            );
        }
        Fact::Paused { .. } => tracing::debug!(%peer, "not read until there is room"),
        Fact::Draining { tasks } => tracing::info!(tasks, "draining: no new tasks"),
        Fact::DrainCalledOff => tracing::info!("draining called off: new tasks are taken"),
        Fact::DrainOver { tasks } => {
            tracing::warn!(tasks, "the drain timeout is over: tasks are given up");
        }
    }
}

/// The end of a connection. Its usual ways are not worth a line.
pub(super) fn end(address: Address, end: &Option<End>) {
    match end {
        None | Some(End::Eof | End::Shutdown) => {
            tracing::debug!(peer = %address, "connection closed")
        }
        Some(End::Panic) => {
            tracing::error!(peer = %address, "connection closed: a bug of the broker's, see above");
        }
        Some(End::Io(error)) => tracing::debug!(peer = %address, %error, "connection broken"),
        Some(End::Broker) => tracing::info!(peer = %address, "connection closed by the broker"),
        Some(End::Evicted) => tracing::debug!(peer = %address, "handshake given up for newer ones"),
        Some(End::Revoked) => {
            tracing::info!(peer = %address, "connection closed: its user is not allowed in any more");
        }
        Some(End::Memory) => {
            tracing::warn!(peer = %address, "connection closed: its unfinished message was the largest")
        }
        Some(End::Session(error)) => match error {
            session::Error::Stalled { .. }
            | session::Error::OutboxFull { .. }
            | session::Error::Silent => {
                tracing::warn!(peer = %address, %error, "connection cut");
            }
            _ => tracing::debug!(peer = %address, %error, "connection closed"),
        },
    }
}

fn list(services: &[Name]) -> String {
    let mut text = String::new();
    for (n, service) in services.iter().enumerate() {
        if n == LISTED {
            text.push_str(" …");
            break;
        }
        if n > 0 {
            text.push(' ');
        }
        text.push_str(&service.to_string());
    }
    text
}

const LISTED: usize = 8;
/// A hundred workers that come at once are all named.
const LINES_PER_SECOND: u32 = 200;

/// Where a peer is, written only if a line is.
struct Subject(Option<Address>);

impl std::fmt::Display for Subject {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            Some(address) => address.fmt(f),
            None => f.write_str("gone"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_of_facts_is_cut_each_second() {
        let fact = Fact::Draining { tasks: 0 };
        let mut gate = Gate::default();
        let mut passed = |millis| {
            (0..1000)
                .filter(|_| gate.passes(&fact, Time::from_millis(millis)))
                .count()
        };
        assert_eq!(passed(0), LINES_PER_SECOND as usize);
        assert_eq!(passed(999), 0);
        assert_eq!(passed(1000), LINES_PER_SECOND as usize);
    }
}
