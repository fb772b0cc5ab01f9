//! What can be seen of the broker, as plain values.

use std::time::Duration;

use super::fact::Counters;
use super::{Broker, PeerId};
use crate::protocol::{Dialect, Name, Policy};

/// The broker at one moment.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Snapshot {
    /// It takes no new tasks.
    pub draining: bool,
    /// What is left of the time for that.
    pub drain_left: Duration,
    /// Tasks that wait for a worker.
    pub queued: usize,
    /// What they cost, in bytes.
    pub queued_bytes: usize,
    /// Tasks with workers, those that nobody waits for included.
    pub in_flight: usize,
    /// Tasks of both kinds whose client has no answer yet, and one-way tasks that are not done.
    pub open: usize,
    /// Bytes of all tasks.
    pub held: usize,
    /// Connections that are not read for the time being.
    pub paused: usize,
    /// By name.
    pub services: Vec<ServiceState>,
    /// By connection.
    pub workers: Vec<WorkerState>,
    /// Since the start.
    pub counters: Counters,
}

/// One service.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ServiceState {
    /// Its name.
    pub name: Name,
    /// Workers that offer it.
    pub workers: usize,
    /// Those with room for another task.
    pub ready: usize,
    /// How one of these is chosen.
    pub policy: Policy,
    /// Those that failed too often, and are out or must show that they can do it again.
    pub ejected: usize,
    /// Tasks that wait.
    pub queued: usize,
    /// What they cost, in bytes.
    pub queued_bytes: usize,
    /// Clients that wait, each counted once for each of its priorities.
    pub lines: usize,
    /// How long the oldest of them has waited.
    pub oldest: Duration,
    /// Tasks with workers.
    pub in_flight: usize,
    /// Final replies since the service exists.
    pub done: u64,
}

/// One worker.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct WorkerState {
    /// Its connection.
    pub peer: PeerId,
    /// What it calls itself; may be empty.
    pub name: Name,
    /// Its language.
    pub dialect: Dialect,
    /// What it offers.
    pub services: Vec<Name>,
    /// Those of them that it is out of, because it failed too often.
    pub ejected: Vec<Name>,
    /// Tasks it may hold.
    pub capacity: usize,
    /// Tasks it has.
    pub in_flight: usize,
    /// Not trusted with new tasks.
    pub suspect: bool,
    /// Since its last sign of life.
    pub silent: Duration,
    /// Its own promise; zero is none.
    pub promise: Duration,
    /// Final replies.
    pub done: u64,
}

impl Broker {
    /// What can be seen at the time last told. Walks everything: for people, not for every task.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        let mut services: Vec<ServiceState> = self
            .services
            .iter()
            .map(|(_, service)| self.service_state(service))
            .collect();
        services.sort_by(|a, b| a.name.cmp(&b.name));
        let workers: Vec<WorkerState> = self
            .peers
            .iter()
            .flatten()
            .filter_map(|peer| self.worker_state(peer))
            .collect();
        Snapshot {
            draining: self.drain.is_some(),
            drain_left: self.drain_left(),
            queued: services.iter().map(|service| service.queued).sum(),
            queued_bytes: services.iter().map(|service| service.queued_bytes).sum(),
            in_flight: services.iter().map(|service| service.in_flight).sum(),
            open: self.open,
            held: self.held,
            paused: self
                .peers
                .iter()
                .flatten()
                .filter(|peer| peer.paused.is_some())
                .count(),
            services,
            workers,
            counters: self.counters.clone(),
        }
    }

    /// Tasks that have no answer yet, and one-way tasks that are not done.
    #[must_use]
    pub fn open_tasks(&self) -> usize {
        self.open
    }

    fn service_state(&self, service: &super::service::Service) -> ServiceState {
        let first = service
            .queue
            .oldest()
            .and_then(|first| self.tasks.get(first));
        let parked = self.loads.iter(&service.parked);
        let parked = parked.filter_map(|task| Some(self.tasks.get(task)?.cost));
        let parked: usize = parked.sum();
        ServiceState {
            name: service.name.clone(),
            workers: service.workers as usize,
            ready: service.ready.len(),
            policy: service.choice.policy,
            ejected: service.outcasts.len(),
            queued: service.waiting(),
            queued_bytes: service.queue.bytes() + parked,
            lines: service.queue.lines(),
            oldest: first
                .map(|task| self.now.since(task.arrived))
                .unwrap_or_default(),
            in_flight: service.in_flight as usize,
            done: service.done,
        }
    }

    fn worker_state(&self, peer: &super::peer::Peer) -> Option<WorkerState> {
        let worker = peer.worker.as_deref()?;
        Some(WorkerState {
            peer: peer.id,
            name: worker.announcement.name.clone(),
            dialect: worker.dialect(),
            services: worker
                .seats
                .iter()
                .filter(|seat| !seat.by_version)
                .map(|seat| self.service_name(seat.service))
                .collect(),
            ejected: worker
                .seats
                .iter()
                .filter(|seat| self.is_out(seat.node))
                .map(|seat| self.service_name(seat.service))
                .collect(),
            capacity: worker.capacity(self.config.limits.worker_tasks),
            in_flight: worker.tasks.len(),
            suspect: worker.suspect.is_some(),
            silent: self.now.since(peer.heard),
            promise: peer.promise,
            done: worker.done,
        })
    }
}
