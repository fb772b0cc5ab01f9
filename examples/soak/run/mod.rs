//! The day itself: a morning, in which everybody comes; the day; an evening, in which clients get
//! their last answers, workers their last tasks, and everything is counted.

mod book;
mod broker;
mod clients;
mod dice;
mod words;
mod workers;

use std::fmt;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Duration, Instant};

use scale0::Client;
use serde_json::Value;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use book::{Book, End};
use broker::{Broker, Sample};
use dice::Dice;

/// How long and how much.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    /// From the first client to the last task.
    pub(crate) time: Duration,
    /// Another one is another day; the machine's own timing makes each day different all the same.
    pub(crate) seed: u64,
    /// Tasks a second, all clients together.
    pub(crate) rate: u32,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            time: Duration::from_secs(60),
            seed: 1,
            rate: 500,
        }
    }
}

/// What everybody shares.
struct World {
    endpoint: String,
    book: Book,
    /// Each task needs one.
    turns: Semaphore,
    stage: AtomicU8,
}

/// What came of it.
pub(crate) struct Report {
    /// Promises that were broken, in words.
    pub(crate) broken: Vec<String>,
    ends: Vec<(End, u64)>,
    asked: u64,
    last: Value,
    samples: Vec<Sample>,
    slope: f64,
    /// How long it took until all had their answers, all tasks were with nobody, all had gone.
    evening: [Duration; 3],
}

impl World {
    /// Waits until another task may be asked; false when no more are wanted.
    async fn turn(&self) -> bool {
        if let Ok(turn) = self.turns.acquire().await {
            turn.forget();
        }
        self.is_day()
    }

    /// Whether clients come and ask.
    fn is_day(&self) -> bool {
        self.stage.load(Ordering::Relaxed) == DAY
    }

    /// Whether workers stay.
    fn is_open(&self) -> bool {
        self.stage.load(Ordering::Relaxed) < NIGHT
    }

    /// Until `span` is over by day; by evening everybody stays until all is done.
    async fn shift(&self, span: Duration) {
        let end = Instant::now() + span;
        while self.is_open() && !(self.is_day() && end <= Instant::now()) {
            tokio::time::sleep(LOOK).await;
        }
    }
}

/// Spends a day with a broker, which `broker` starts: it says `bound ENDPOINT` on stderr, and
/// should cut who does not read for [`STALL`].
pub(crate) fn run(options: Options, broker: Command) -> Report {
    let runtime = tokio::runtime::Builder::new_multi_thread();
    let runtime = { runtime }.worker_threads(2).enable_all().build();
    runtime.expect("a runtime").block_on(day(options, broker))
}

async fn day(options: Options, command: Command) -> Report {
    let mut broker = Broker::start(command);
    let desk = Client::connect(&broker.endpoint).expect("a client");
    info(&desk, "s0.info").await;
    let descriptors = broker.descriptors();
    let world = Arc::new(World {
        endpoint: broker.endpoint.clone(),
        book: Book::default(),
        turns: Semaphore::new(0),
        stage: AtomicU8::new(DAY),
    });
    let mut dice = Dice::new(options.seed);
    let mut staff = workers::hire(&world, &mut dice);
    let mut guests = clients::invite(&world, &mut dice);
    let begun = Instant::now();
    let mut granted = 0;
    while begun.elapsed() < options.time {
        tokio::time::sleep(TICK).await;
        let due = begun.elapsed().as_millis() as usize * options.rate as usize / 1000;
        world.turns.add_permits(due - granted);
        granted = due;
        broker.sample(begun.elapsed());
    }

    let mut broken = Vec::new();
    world.stage.store(EVENING, Ordering::Relaxed);
    world.turns.add_permits(10_000);
    let since = Instant::now();
    ended(&mut guests, "clients", &mut broken).await;
    let answered = since.elapsed();
    let calm = settled(&desk, |info| {
        ["open", "queued", "in_flight"]
            .iter()
            .all(|key| info[key] == 0)
    });
    let evening = calm.await;
    let at_rest = since.elapsed();
    let workers = info(&desk, "s0.workers").await;
    let services = info(&desk, "s0.services").await;
    world.stage.store(NIGHT, Ordering::Relaxed);
    ended(&mut staff, "workers", &mut broken).await;
    let last = settled(&desk, |info| {
        info["connections"] == 1 && info["services"] == 0
    })
    .await;
    let gone = since.elapsed();
    credits(&evening, &workers, &services, &mut broken);
    empty(&last, &mut broken);
    world.book.judge(&last, &mut broken);
    // The last words of who has gone may take a second.
    let closing = Instant::now();
    while broker.descriptors() > descriptors {
        if closing.elapsed() > PATIENCE {
            let left = broker.descriptors();
            broken.push(format!("{left} descriptors, {descriptors} before"));
            break;
        }
        tokio::time::sleep(LOOK).await;
    }
    if options.time >= LONG && last["counters"]["connections_cut"] == 0 {
        broken.push("who did not read was not cut".to_owned());
    }
    let samples = broker.end(&mut broken);
    let slope = broker::slope(&samples);
    let span = options.time.mul_f64(1.0 - broker::WARM_UP).as_secs_f64();
    if slope * span > broker::growth(options.time) {
        broken.push(format!(
            "memory grew by {:.0} KiB in {span:.0} s",
            slope * span
        ));
    }
    broken.extend(world.book.wrongs());
    Report {
        broken,
        ends: world.book.ends(),
        asked: world.book.asked(),
        last,
        samples,
        slope,
        evening: [answered, at_rest, gone],
    }
}

/// Waits until everybody has gone. A panic of one of them is a promise broken.
async fn ended(all: &mut JoinSet<()>, who: &str, broken: &mut Vec<String>) {
    let gone = async {
        while let Some(one) = all.join_next().await {
            if let Err(error) = one {
                broken.push(format!("{who}: {error}"));
            }
        }
    };
    if tokio::time::timeout(PATIENCE, gone).await.is_err() {
        broken.push(format!("{} {who} do not come to an end", all.len()));
        all.abort_all();
    }
}

/// What a service of the broker's says of it.
async fn info(desk: &Client, service: &str) -> Value {
    let reply = desk.call(service, ()).await.expect("the broker answers");
    serde_json::from_slice(reply.body().first().unwrap_or_default()).expect("JSON")
}

/// `s0.info` as soon as it is so, or after a while.
async fn settled(desk: &Client, is_so: impl Fn(&Value) -> bool) -> Value {
    let begun = Instant::now();
    loop {
        let info = info(desk, "s0.info").await;
        if is_so(&info) || begun.elapsed() > PATIENCE {
            return info;
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// With nothing under way, every worker has room for all that it announced.
fn credits(info: &Value, workers: &Value, services: &Value, broken: &mut Vec<String>) {
    for key in ["open", "queued", "in_flight"] {
        if info[key] != 0 {
            broken.push(format!("{key} is {} with no client there", info[key]));
        }
    }
    let all = |value: &Value, key: &str| value[key].as_array().cloned().unwrap_or_default();
    for worker in all(workers, "workers") {
        if worker["in_flight"] != 0 || worker["state"] != "ready" {
            broken.push(format!("a worker's credit is not back: {worker}"));
        }
    }
    for service in all(services, "services") {
        if service["ready"] != service["workers"] {
            broken.push(format!("not all workers are ready: {service}"));
        }
    }
}

/// With nobody there, nothing is kept.
fn empty(info: &Value, broken: &mut Vec<String>) {
    let nothing = [
        "workers",
        "services",
        "queued_bytes",
        "held_bytes",
        "buffered_bytes",
        "paused",
    ];
    for key in nothing {
        if info[key] != 0 {
            broken.push(format!("{key} is {} with nobody there", info[key]));
        }
    }
    if info["connections"] != 1 {
        broken.push(format!("{} connections are left", info["connections"]));
    }
    let counters = &info["counters"];
    if counters["workers_joined"] != counters["workers_left"] {
        broken.push("workers that joined did not leave".to_owned());
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:>28} {:>10}", "tasks asked for", self.asked)?;
        for (end, count) in &self.ends {
            writeln!(f, "{:>28} {count:>10}", end.to_string())?;
        }
        let counters = &self.last["counters"];
        for key in COUNTERS {
            writeln!(
                f,
                "{:>28} {:>10}",
                format!("broker: {key}"),
                counters[key].to_string()
            )?;
        }
        writeln!(f, "{:>28} {}", "broker: errors", counters["errors"])?;
        let resident = |sample: Option<&Sample>| sample.map_or(0, |sample| sample.resident);
        let highest = self.samples.iter().max_by_key(|sample| sample.resident);
        writeln!(
            f,
            "{:>28} {} at first, {} at most, {} at last, {:+.1} a minute after the warm-up",
            "memory in KiB",
            resident(self.samples.first()),
            resident(highest),
            resident(self.samples.last()),
            self.slope * 60.0,
        )?;
        let tenths = (0..10).filter_map(|n| self.samples.get(self.samples.len() * n / 10));
        let tenths: Vec<String> = tenths.map(|sample| sample.resident.to_string()).collect();
        writeln!(f, "{:>28} {}", "each tenth of the time", tenths.join(" "))?;
        let [answered, at_rest, gone] = self.evening;
        writeln!(
            f,
            "{:>28} all answered after {answered:.1?}, at rest after {at_rest:.1?}, gone after {gone:.1?}",
            "the evening"
        )?;
        for broken in &self.broken {
            writeln!(f, "BROKEN: {broken}")?;
        }
        let verdict = match self.broken.len() {
            0 => "every promise was kept",
            _ => "promises were broken",
        };
        write!(f, "{verdict}")
    }
}

/// The broker cuts whoever does not read for so long.
pub(crate) const STALL: Duration = Duration::from_secs(2);

const DAY: u8 = 0;
const EVENING: u8 = 1;
const NIGHT: u8 = 2;
/// So long that everything happens at least once.
const LONG: Duration = Duration::from_secs(60);
const TICK: Duration = Duration::from_millis(20);
const LOOK: Duration = Duration::from_millis(50);
const PATIENCE: Duration = Duration::from_secs(60);
const COUNTERS: [&str; 16] = [
    "tasks",
    "assigned",
    "replies",
    "partials",
    "retried",
    "poisoned",
    "orphaned",
    "late_replies",
    "forged_replies",
    "dropped",
    "malformed",
    "workers_joined",
    "connections_accepted",
    "connections_cut",
    "messages_in",
    "bytes_in",
];
