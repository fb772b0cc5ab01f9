//! The broker's own services as JSON, for people and their tools.

use serde::Serialize;

use crate::broker::{PeerId, Query, ServiceState, Snapshot, WorkerState};
use crate::net::Address;
use crate::spread::Totals;
use crate::time::Time;

/// The answer to a query: one JSON object, keys in snake case, times in milliseconds.
pub(super) fn report(
    query: Query,
    snapshot: &Snapshot,
    totals: &Totals,
    now: Time,
    address: impl Fn(PeerId) -> Option<Address>,
) -> Vec<u8> {
    let json = match query {
        Query::Info => serde_json::to_vec(&info(snapshot, totals, now)),
        Query::Services => serde_json::to_vec(&Services {
            services: snapshot.services.iter().map(service).collect(),
        }),
        Query::Workers => serde_json::to_vec(&Workers {
            workers: snapshot
                .workers
                .iter()
                .map(|state| worker(state, address(state.peer)))
                .collect(),
        }),
        Query::Queues => serde_json::to_vec(&Queues {
            queued: snapshot.queued,
            in_flight: snapshot.in_flight,
            queues: snapshot.services.iter().map(queue).collect(),
        }),
        Query::Drain => serde_json::to_vec(&Drain {
            draining: snapshot.draining,
            drain_left_ms: snapshot.drain_left.as_millis(),
            queued: snapshot.queued,
            in_flight: snapshot.in_flight,
            open: snapshot.open,
        }),
    };
    // Strings and numbers only: this cannot fail.
    json.unwrap_or_default()
}

#[derive(Serialize)]
struct Info<'a> {
    version: &'a str,
    uptime_ms: u64,
    draining: bool,
    drain_left_ms: u128,
    connections: usize,
    workers: usize,
    services: usize,
    queued: usize,
    queued_bytes: usize,
    in_flight: usize,
    open: usize,
    held_bytes: usize,
    buffered_bytes: usize,
    paused: usize,
    counters: Counters<'a>,
}

#[derive(Serialize)]
struct Counters<'a> {
    tasks: u64,
    assigned: u64,
    replies: u64,
    partials: u64,
    own: u64,
    errors: &'a std::collections::BTreeMap<u16, u64>,
    receipts: u64,
    oneway_done: u64,
    oneway_parts: u64,
    parts_dropped: u64,
    oneway_failed: &'a std::collections::BTreeMap<u16, u64>,
    forbidden: u64,
    refused: u64,
    ejected: u64,
    retried: u64,
    poisoned: u64,
    orphaned: u64,
    late_replies: u64,
    forged_replies: u64,
    dropped: u64,
    malformed: u64,
    unknown: u64,
    dead_dialect: u64,
    workers_joined: u64,
    workers_left: u64,
    connections_accepted: u64,
    connections_refused: u64,
    handshakes_evicted: u64,
    handshakes_denied: u64,
    connections_revoked: u64,
    connections_cut: u64,
    commands_ignored: u64,
    messages_in: u64,
    bytes_in: u64,
    bytes_out: u64,
}

fn info<'a>(snapshot: &'a Snapshot, totals: &Totals, now: Time) -> Info<'a> {
    let counters = &snapshot.counters;
    Info {
        version: env!("CARGO_PKG_VERSION"),
        uptime_ms: now.as_micros() / 1000,
        draining: snapshot.draining,
        drain_left_ms: snapshot.drain_left.as_millis(),
        connections: totals.connections,
        workers: snapshot.workers.len(),
        services: snapshot
            .services
            .iter()
            .filter(|service| service.workers > 0)
            .count(),
        queued: snapshot.queued,
        queued_bytes: snapshot.queued_bytes,
        in_flight: snapshot.in_flight,
        open: snapshot.open,
        held_bytes: snapshot.held,
        buffered_bytes: totals.buffered,
        paused: snapshot.paused,
        counters: Counters {
            tasks: counters.tasks,
            assigned: counters.assigned,
            replies: counters.replies,
            partials: counters.partials,
            own: counters.own,
            errors: &counters.errors,
            receipts: counters.receipts,
            oneway_done: counters.oneway_done,
            oneway_parts: counters.oneway_parts,
            parts_dropped: counters.parts_dropped,
            oneway_failed: &counters.oneway_failed,
            forbidden: counters.forbidden,
            refused: counters.refused,
            ejected: counters.ejected,
            retried: counters.retried,
            poisoned: counters.poisoned,
            orphaned: counters.orphaned,
            late_replies: counters.late_replies,
            forged_replies: counters.forged_replies,
            dropped: counters.dropped,
            malformed: counters.malformed,
            unknown: counters.unknown,
            dead_dialect: counters.dead_dialect,
            workers_joined: counters.workers_joined,
            workers_left: counters.workers_left,
            connections_accepted: totals.accepted,
            connections_refused: totals.refused,
            handshakes_evicted: totals.evicted,
            handshakes_denied: totals.denied,
            connections_revoked: totals.revoked,
            connections_cut: totals.cut,
            commands_ignored: totals.commands_ignored,
            messages_in: totals.messages_in,
            bytes_in: totals.bytes_in,
            bytes_out: totals.bytes_out,
        },
    }
}

#[derive(Serialize)]
struct Services {
    services: Vec<Service>,
}

#[derive(Serialize)]
struct Service {
    name: String,
    workers: usize,
    ready: usize,
    ejected: usize,
    policy: &'static str,
    queued: usize,
    in_flight: usize,
    done: u64,
}

fn service(state: &ServiceState) -> Service {
    Service {
        name: state.name.to_string(),
        workers: state.workers,
        ready: state.ready,
        ejected: state.ejected,
        policy: state.policy.word(),
        queued: state.queued,
        in_flight: state.in_flight,
        done: state.done,
    }
}

#[derive(Serialize)]
struct Workers {
    workers: Vec<Worker>,
}

#[derive(Serialize)]
struct Worker {
    name: String,
    address: String,
    dialect: String,
    services: Vec<String>,
    ejected: Vec<String>,
    capacity: usize,
    in_flight: usize,
    state: &'static str,
    silent_ms: u128,
    promise_ms: u128,
    done: u64,
}

fn worker(state: &WorkerState, address: Option<Address>) -> Worker {
    let situation = match state {
        WorkerState { suspect: true, .. } => "suspect",
        WorkerState { services, .. } if services.is_empty() => "drained",
        WorkerState { capacity: 0, .. } => "paused",
        WorkerState {
            services, ejected, ..
        } if ejected.len() == services.len() => "ejected",
        WorkerState {
            in_flight,
            capacity,
            ..
        } if in_flight >= capacity => "busy",
        _ => "ready",
    };
    Worker {
        name: state.name.to_string(),
        address: address
            .map(|address| address.to_string())
            .unwrap_or_default(),
        dialect: state.dialect.to_string(),
        services: state.services.iter().map(ToString::to_string).collect(),
        ejected: state.ejected.iter().map(ToString::to_string).collect(),
        capacity: state.capacity,
        in_flight: state.in_flight,
        state: situation,
        silent_ms: state.silent.as_millis(),
        promise_ms: state.promise.as_millis(),
        done: state.done,
    }
}

#[derive(Serialize)]
struct Drain {
    draining: bool,
    drain_left_ms: u128,
    queued: usize,
    in_flight: usize,
    open: usize,
}

#[derive(Serialize)]
struct Queues {
    queued: usize,
    in_flight: usize,
    queues: Vec<Queue>,
}

#[derive(Serialize)]
struct Queue {
    service: String,
    queued: usize,
    queued_bytes: usize,
    lines: usize,
    oldest_ms: u128,
    in_flight: usize,
    workers: usize,
}

fn queue(state: &ServiceState) -> Queue {
    Queue {
        service: state.name.to_string(),
        queued: state.queued,
        queued_bytes: state.queued_bytes,
        lines: state.lines,
        oldest_ms: state.oldest.as_millis(),
        in_flight: state.in_flight,
        workers: state.workers,
    }
}
