//! The load: clients that ask and workers that echo, all in one thread, cheap enough that the
//! broker between them is what is measured.
//!
//! One `epoll` loop; one read of what there is and one write of what it led to, per connection and
//! turn; requests prepared but for their numbers; nothing allocated per task.

mod buffer;
mod client;
mod conn;
mod histogram;
mod job;
mod pacer;
mod shared;
mod tally;
mod tongue;
mod zmtp;

pub use job::{Idle, Job};
pub use tally::Run;
pub use tongue::Tongue;

use std::cell::Cell;
use std::net::TcpStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::event::Timespec;
use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::fd::OwnedFd;
use scale0::net::Clock;
use scale0::session::Config;
use scale0::wire::SocketType;

use crate::{Failure, child, keys};
use client::{Client, STAMP};
use conn::{BLOCK, Conn};
use pacer::Pacer;
use shared::Shared;
use tally::Tally;
use tongue::{Meaning, Role};

/// What is asked for.
pub const SERVICE: &[u8] = b"echo";
/// How often workers promise to be heard; as zguide's and ours do.
pub const PROMISE: Duration = Duration::from_millis(2500);
/// How often it is looked who has been silent for long.
const SWEEP: Duration = Duration::from_millis(250);
const PATIENCE: Duration = Duration::from_secs(20);
/// New connections that are waited for together.
const BURST: usize = 64;
/// Services that one worker offers, of those that nobody asks for.
const OFFERED: usize = 200;
/// An idle client asks one thing first, so that the broker knows it.
const IDLE: u16 = u16::MAX;
/// Places of a client that asks by the clock: enough that it never has to wait for an answer.
const PACED: u16 = 2000;

struct Load {
    job: Job,
    poll: OwnedFd,
    conns: Vec<Conn>,
    dirty: Vec<usize>,
    scratch: Vec<u8>,
    events: Vec<epoll::Event>,
    body: Vec<u8>,
    beat: Vec<u8>,
    sweep: u64,
    shared: Shared,
    config: Option<Arc<Config>>,
    clock: Clock,
}

/// `peers load [--name value]...`: loads a broker, and says at the end what came of it. Without
/// anybody to ask it only holds what is idle.
pub fn play(words: &[String]) -> Result<(), Failure> {
    let job = Job::parse(words)?;
    child::settle(job.cpu)?;
    let mut load = Load::new(job)?;
    load.set_up()?;
    if load.job.clients == 0 {
        child::say("open");
        std::io::stdin().read_line(&mut String::new())?;
        let alive = load.conns.iter().filter(|conn| !conn.closed).count();
        child::say(&format!("end {alive}"));
        return Ok(());
    }
    let run = load.measure()?;
    child::say(&format!("end {}", run.write()));
    Ok(())
}

impl Load {
    fn new(job: Job) -> Result<Self, Failure> {
        let mut body: Vec<u8> = (b'a'..=b'z').cycle().take(job.size).collect();
        body[..STAMP].fill(0);
        let config = match job.curve {
            true => {
                let mut config = Config::new(SocketType::Dealer);
                config.security = keys::client()?;
                Some(Arc::new(config))
            }
            false => None,
        };
        // Long enough ago that all that is said to be past has a time.
        let start = Instant::now() - 2 * PROMISE;
        let shared = Shared {
            start,
            now: Cell::new(1),
            tally: Tally::default(),
            again: false,
            ready: 0,
            capacity: match job.tongue.is_patient() {
                true => u32::from(job.capacity),
                false => u32::MAX,
            },
        };
        Ok(Self {
            poll: epoll::create(epoll::CreateFlags::CLOEXEC)?,
            conns: Vec::new(),
            dirty: Vec::new(),
            scratch: vec![0; BLOCK],
            events: Vec::with_capacity(256),
            body,
            beat: job.tongue.beat(),
            sweep: 0,
            shared,
            config,
            clock: Clock::start(),
            job,
        })
    }

    fn now(&self) -> u64 {
        self.shared.look();
        self.shared.now.get()
    }

    /// Everybody comes: what is idle first.
    fn set_up(&mut self) -> Result<(), Failure> {
        let (job, idle) = (self.job.clone(), self.job.idle);
        let services: Vec<Vec<u8>> = (0..idle.services)
            .map(|n| format!("idle.{n}").into_bytes())
            .collect();
        let mut hellos = Vec::new();
        for some in services.chunks(OFFERED) {
            let names: Vec<&[u8]> = some.iter().map(Vec::as_slice).collect();
            hellos.push(job.tongue.hello(1, &names));
        }
        let rest = job.tongue.hello(1, &[b"rest"]);
        hellos.extend(std::iter::repeat_n(rest, idle.workers));
        self.open(Role::Worker, hellos.len(), |place, conn| {
            conn.hello.clone_from(&hellos[place]);
        })?;
        self.spread();
        let hello = job.tongue.hello(job.capacity, &[SERVICE]);
        self.open(Role::Worker, job.workers, |_, conn| {
            conn.hello.clone_from(&hello);
        })?;
        // The body is in each question once.
        let body = self.body.clone();
        let client = |service: &[u8], number: u16, places: u16| {
            let question = job.tongue.question(service, &body, usize::from(number));
            Some(Client::new(number, question, body.clone(), places))
        };
        let known = job.workers > 0;
        self.open(Role::Client, idle.clients, |_, conn| {
            if known {
                conn.client = client(SERVICE, IDLE, 1);
            }
        })?;
        if known {
            self.ask_all(1);
            self.until_answered(PATIENCE)?;
            self.forget();
        }
        if idle.queued > 0 {
            let hello = job.tongue.hello(1, &[b"busy"]);
            self.open(Role::Worker, 1, |_, conn| {
                conn.hello.clone_from(&hello);
                conn.hoards = true;
            })?;
            // Shared out evenly: places are numbered by 16 bits.
            let askers = idle.queued.div_ceil(10_000);
            let each = u16::try_from(idle.queued / askers)?;
            self.open(Role::Client, askers, |_, conn| {
                conn.client = client(b"busy", IDLE, each);
            })?;
            self.ask_all(usize::from(each));
            self.for_a_while(Duration::from_millis(500))?;
            // What they wait for is no loss.
            for conn in self
                .conns
                .iter_mut()
                .filter(|conn| conn.role == Role::Client)
            {
                conn.client = None;
            }
        }
        let places = if job.pace > 0 { PACED } else { job.window };
        self.open(Role::Client, usize::from(job.clients), |place, conn| {
            conn.client = client(SERVICE, place as u16, places);
        })?;
        match self.shared.tally.refused + self.shared.tally.wrong {
            0 => Ok(()),
            errors => Err(format!("{errors} tasks refused before the start").into()),
        }
    }

    /// Connects so many, waits until both sides know each other, and lets workers announce
    /// themselves.
    fn open(
        &mut self,
        role: Role,
        count: usize,
        prepare: impl Fn(usize, &mut Conn),
    ) -> Result<(), Failure> {
        let port = match role {
            Role::Client => self.job.front,
            Role::Worker => self.job.back,
        };
        for place in 0..count {
            let stream = TcpStream::connect(("127.0.0.1", port))?;
            let seal = self.config.as_ref().map(|config| (config, self.clock));
            let mut conn = Conn::open(stream, self.job.tongue, role, place, seal)?;
            prepare(place, &mut conn);
            let number = self.conns.len();
            let data = EventData::new_u64(number as u64);
            epoll::add(&self.poll, &conn.stream, data, EventFlags::IN)?;
            conn.dirty = true;
            self.dirty.push(number);
            if conn.ready {
                // Nothing is waited for.
                conn.out.extend_from_slice(&conn.hello);
                self.shared.ready += 1;
            }
            self.conns.push(conn);
            if place % BURST == BURST - 1 || place + 1 == count {
                let until = self.now() + PATIENCE.as_nanos() as u64;
                while self.shared.ready < self.conns.len() {
                    self.turn(Some(Duration::from_millis(20)))?;
                    if self.now() > until || self.shared.tally.closed > 0 {
                        return Err(format!(
                            "{} of {} connections are open",
                            self.shared.ready,
                            self.conns.len()
                        )
                        .into());
                    }
                }
            }
        }
        if count > 0 {
            // Until the broker has made room for them.
            self.for_a_while(Duration::from_millis(100))?;
        }
        Ok(())
    }

    /// Those who have come so far beat one after the other, as if they had come so.
    fn spread(&mut self) {
        let (now, count) = (self.now(), self.conns.len().max(1) as u64);
        for (place, conn) in self.conns.iter_mut().enumerate() {
            conn.said = now - PROMISE.as_nanos() as u64 * place as u64 / count;
        }
    }

    /// Clients so far ask nothing more, and want no answer.
    fn forget(&mut self) {
        self.conns.iter_mut().for_each(|conn| conn.client = None);
    }

    /// Every client asks so many times.
    fn ask_all(&mut self, times: usize) {
        let now = self.now();
        for (number, conn) in self.conns.iter_mut().enumerate() {
            let Some(client) = &mut conn.client else {
                continue;
            };
            for _ in 0..times {
                if !client.ask(now, &mut conn.out) {
                    break;
                }
            }
            mark(conn, number, &mut self.dirty);
        }
    }

    /// Those who came last ask what is due by now.
    fn ask_due(&mut self, pacer: &mut Pacer) {
        let clients = usize::from(self.job.clients);
        let first = self.conns.len() - clients;
        while let Some(due) = pacer.due(self.shared.now.get()) {
            let number = first + pacer.turn(clients);
            let conn = &mut self.conns[number];
            let client = conn.client.as_mut();
            if !client.is_some_and(|client| client.ask(due, &mut conn.out)) {
                return;
            }
            mark(conn, number, &mut self.dirty);
            pacer.asked();
        }
    }

    fn outstanding(&self) -> usize {
        let clients = self.conns.iter().filter_map(|conn| conn.client.as_ref());
        clients.map(Client::asked).sum()
    }

    fn until_answered(&mut self, patience: Duration) -> Result<(), Failure> {
        let until = self.now() + patience.as_nanos() as u64;
        while self.outstanding() > 0 && self.now() < until {
            self.turn(Some(Duration::from_millis(10)))?;
        }
        Ok(())
    }

    fn for_a_while(&mut self, time: Duration) -> Result<(), Failure> {
        let until = self.now() + time.as_nanos() as u64;
        while self.shared.now.get() < until {
            self.turn(Some(Duration::from_millis(10)))?;
            self.now();
        }
        Ok(())
    }

    fn measure(&mut self) -> Result<Run, Failure> {
        let broker = self.job.broker;
        let mut rest = 0.0;
        if self.job.idle != Idle::default() {
            // As long as it takes until every worker has beaten once.
            let (before, time) = (child::cpu(broker), PROMISE);
            self.for_a_while(time)?;
            rest = child::cpu(broker).saturating_sub(before).as_secs_f64() / time.as_secs_f64()
                * 100.0;
        }
        let own = std::process::id();
        let (warm, run) = (self.job.warm, self.job.run);
        let pace = self.job.pace;
        let mut pacer = Pacer::new(pace, self.now());
        if pace == 0 {
            self.shared.again = true;
            self.ask_all(usize::from(self.job.window));
        }
        self.flow(warm, &mut pacer)?;
        let (began, before) = (self.now(), [child::cpu(broker), child::cpu(own)]);
        self.shared.tally.measuring = true;
        self.flow(run, &mut pacer)?;
        self.shared.tally.measuring = false;
        let after = [child::cpu(broker), child::cpu(own)];
        let took = Duration::from_nanos(self.now() - began);
        if after[0] < before[0] {
            return Err("the broker has ended".into());
        }
        self.shared.again = false;
        self.until_answered(Duration::from_secs(2))?;
        let used = [after[0] - before[0], after[1] - before[1]];
        let lost = self.outstanding() as u64;
        Ok(self.shared.tally.run(took, used, lost, rest))
    }

    /// Lets tasks flow for this long.
    fn flow(&mut self, time: Duration, pacer: &mut Pacer) -> Result<(), Failure> {
        let until = self.now() + time.as_nanos() as u64;
        while self.shared.now.get() < until {
            if self.job.pace > 0 {
                self.ask_due(pacer);
                // Never asleep: a task that is due does not wait for a timer.
                self.turn(None)?;
                self.now();
            } else {
                self.turn(Some(Duration::from_millis(20)))?;
            }
        }
        Ok(())
    }

    /// One look at all connections; waits for at most so long.
    fn turn(&mut self, wait: Option<Duration>) -> Result<(), Failure> {
        self.flush()?;
        self.events.clear();
        let wait = Timespec::try_from(wait.unwrap_or_default())?;
        let room = rustix::buffer::spare_capacity(&mut self.events);
        match epoll::wait(&self.poll, room, Some(&wait)) {
            Ok(0) => {
                self.now();
            }
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        for place in 0..self.events.len() {
            let event = self.events[place];
            let number = event.data.u64() as usize;
            let conn = &mut self.conns[number];
            let shared = &mut self.shared;
            let (start, now) = (shared.start, Cell::new(0));
            let each = |conn: &mut Conn, meaning: Meaning<'_>| {
                shared.now.set(now.get());
                shared.heard(conn, meaning);
            };
            let look = || now.set(start.elapsed().as_nanos() as u64);
            let ended = conn.read(&mut self.scratch, self.job.size, self.clock, each, look)?;
            if now.get() > 0 {
                shared.now.set(now.get());
            }
            if ended && !conn.closed {
                conn.closed = true;
                shared.tally.closed += 1;
                epoll::delete(&self.poll, &conn.stream)?;
            }
            mark(conn, number, &mut self.dirty);
        }
        self.beat();
        self.flush()
    }

    /// One write for whatever a connection has to say.
    fn flush(&mut self) -> Result<(), Failure> {
        while let Some(number) = self.dirty.pop() {
            let conn = &mut self.conns[number];
            conn.dirty = false;
            if conn.closed {
                continue;
            }
            if conn.waits() {
                conn.said = self.shared.now.get();
            }
            let full = !conn.flush(self.clock)?;
            if full != conn.full {
                conn.full = full;
                let flags = match full {
                    true => EventFlags::IN | EventFlags::OUT,
                    false => EventFlags::IN,
                };
                let data = EventData::new_u64(number as u64);
                epoll::modify(&self.poll, &conn.stream, data, flags)?;
            }
        }
        Ok(())
    }

    /// Silent workers give a sign of life.
    fn beat(&mut self) {
        let now = self.shared.now.get();
        if now < self.sweep || self.beat.is_empty() {
            return;
        }
        self.sweep = now + SWEEP.as_nanos() as u64;
        let since = now.saturating_sub((PROMISE - SWEEP).as_nanos() as u64);
        for (number, conn) in self.conns.iter_mut().enumerate() {
            if conn.role == Role::Worker && conn.said < since && conn.ready {
                conn.out.extend_from_slice(&self.beat);
                mark(conn, number, &mut self.dirty);
            }
        }
    }
}

fn mark(conn: &mut Conn, number: usize, dirty: &mut Vec<usize>) {
    if !conn.dirty {
        conn.dirty = true;
        dirty.push(number);
    }
}
