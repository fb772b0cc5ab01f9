//! A broker of its own process, looked at from outside: what it counts, and what it keeps of what
//! is over.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::Value;

use crate::process::{Broker, poll};

/// See the [module's description](self). Ends with [`over`](Self::over).
pub(crate) struct Scene {
    pub(crate) broker: Broker,
    before: Usage,
}

/// What the system says of a process.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Usage {
    /// Open file descriptors.
    pub(crate) descriptors: usize,
    /// Resident memory, in KiB.
    pub(crate) resident: u64,
    /// Processor time so far, in hundredths of a second.
    pub(crate) ticks: u64,
}

impl Scene {
    /// A broker on a port of its own.
    pub(crate) fn on(flags: &[&str]) -> Self {
        Self::at("tcp://127.0.0.1:0", flags)
    }

    /// A broker at an endpoint.
    pub(crate) fn at(endpoint: &str, flags: &[&str]) -> Self {
        let broker = Broker::with(&[&["--bind", endpoint], flags].concat());
        // What it opens once, for the first peer, belongs to it; the peer's own descriptor is gone
        // once its last words have had their time.
        broker.info();
        std::thread::sleep(LINGER);
        let before = Usage::of(broker.process.id());
        Self { broker, before }
    }

    pub(crate) fn endpoint(&self) -> &str {
        &self.broker.endpoint
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.endpoint()
            .trim_start_matches("tcp://")
            .parse()
            .unwrap()
    }

    pub(crate) fn usage(&self) -> Usage {
        Usage::of(self.broker.process.id())
    }

    /// `s0.info`.
    pub(crate) fn info(&self) -> Value {
        self.broker.info()["info"].take()
    }

    pub(crate) fn count(&self, counter: &str) -> u64 {
        number(&self.info()["counters"][counter])
    }

    /// Refusals with this status.
    pub(crate) fn errors(&self, code: u16) -> u64 {
        number(&self.info()["counters"]["errors"][code.to_string()])
    }

    /// Waits until it is so.
    pub(crate) fn until(&self, what: &str, is_so: impl Fn(&Value) -> bool) {
        let seen = poll(|| is_so(&self.broker.info()).then_some(()));
        assert!(seen.is_some(), "{what}: {}", self.broker.info());
    }

    /// Waits until this many workers offer something.
    pub(crate) fn staffed(&self, number: usize) {
        self.until("workers", |all| all["info"]["workers"] == number);
    }

    /// Waits until the worker of a service has a task.
    pub(crate) fn busy(&self, service: &str) {
        self.until("a busy worker", |all| {
            let workers = all["workers"].as_array().unwrap();
            workers.iter().any(|worker| {
                worker["services"][0] == service && worker["in_flight"].as_u64() > Some(0)
            })
        });
    }

    /// Everybody else has gone: nothing is left of them but `most` MiB of memory at most (what the
    /// allocator keeps for the next time), and each task had its end. Returns the last of `s0.info`.
    pub(crate) fn over(self, most: u64) -> Value {
        let empty = poll(|| {
            let info = self.info();
            let nothing = NOTHING.iter().all(|key| info[key] == 0);
            let alone = info["connections"] == 1 && number(&info["buffered_bytes"]) < GREETING;
            (nothing && alone).then_some(info)
        });
        let info = empty.unwrap_or_else(|| panic!("something is left: {}", self.broker.info()));
        balance(&info);
        let closed = poll(|| {
            let after = self.usage();
            (after.descriptors <= self.before.descriptors).then_some(after)
        });
        let after = closed.unwrap_or_else(|| panic!("{:?}, {:?}", self.before, self.usage()));
        let grown = after.resident.saturating_sub(self.before.resident);
        println!(
            "{grown} KiB more than before, {} ms of CPU",
            after.ticks * 10
        );
        assert!(grown < most << 10, "{:?}, {after:?}", self.before);
        info
    }
}

impl Usage {
    pub(crate) fn of(process: u32) -> Self {
        let file = |name| std::fs::read_to_string(format!("/proc/{process}/{name}")).unwrap();
        let status = file("status");
        let resident = status.lines().find(|line| line.starts_with("VmRSS:"));
        // The command's name, in brackets, may hold anything.
        let stat = file("stat");
        let fields: Vec<&str> = stat[stat.rfind(')').unwrap()..].split(' ').collect();
        let ticks = |n: usize| fields[n].parse::<u64>().unwrap();
        let descriptors = std::fs::read_dir(format!("/proc/{process}/fd")).unwrap();
        Self {
            descriptors: descriptors.count(),
            resident: resident
                .unwrap()
                .split_whitespace()
                .nth(1)
                .unwrap()
                .parse()
                .unwrap(),
            ticks: ticks(12) + ticks(13),
        }
    }
}

/// Each task that a broker was asked for has had one end, if none is open any more.
fn balance(info: &Value) {
    let counters = &info["counters"];
    let errors: u64 = counters["errors"]
        .as_object()
        .unwrap()
        .values()
        .map(number)
        .sum();
    let ends = ["replies", "orphaned", "dropped"].map(|counter| number(&counters[counter]));
    let ends = ends.iter().sum::<u64>() + errors;
    assert_eq!(number(&counters["tasks"]), ends, "ends of tasks: {info}");
}

pub(crate) fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or_default()
}

/// Zero when nobody is there but who asks.
const NOTHING: [&str; 8] = [
    "workers",
    "services",
    "queued",
    "queued_bytes",
    "in_flight",
    "open",
    "held_bytes",
    "paused",
];
/// The answer to who asks may stand behind one to the first word of its connection.
const GREETING: u64 = 64;
/// The broker waits a second for the last words of a connection to be taken.
const LINGER: Duration = Duration::from_millis(1200);
