//! Counts what arrives, and tells the runner when counting begins and ends.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::child::say;
use crate::sockets::job::Job;

/// Lives in the receiving end. Ends its process when the measurement is over.
pub struct Meter {
    warm: Duration,
    run: Duration,
    /// Look at the clock once in so many messages.
    every: u32,
    until_look: u32,
    count: u64,
    began: Instant,
    phase: Phase,
    latencies: Vec<u32>,
}

#[derive(PartialEq)]
enum Phase {
    Silent,
    Warm,
    Measured,
}

impl Meter {
    pub fn new(job: &Job) -> Self {
        Self {
            warm: job.warm,
            run: job.run,
            every: if job.size > 4096 { 4 } else { 64 },
            until_look: 1,
            count: 0,
            began: Instant::now(),
            phase: Phase::Silent,
            latencies: Vec::new(),
        }
    }

    /// The same for what comes so seldom that the clock can be looked at each time.
    pub fn each(job: &Job) -> Self {
        Self {
            every: 1,
            ..Self::new(job)
        }
    }

    /// One message has arrived.
    pub fn tick(&mut self) {
        self.count += 1;
        self.until_look -= 1;
        if self.until_look == 0 {
            self.until_look = self.every;
            self.look(Instant::now());
        }
    }

    fn look(&mut self, now: Instant) {
        let passed = now - self.began;
        match self.phase {
            Phase::Silent => {
                self.phase = Phase::Warm;
                self.began = now;
            }
            Phase::Warm if passed >= self.warm => {
                say("begin");
                self.phase = Phase::Measured;
                self.began = Instant::now();
                self.count = 0;
                self.latencies.clear();
            }
            Phase::Measured if passed >= self.run => {
                self.latencies.sort_unstable();
                let at = |percent: usize| {
                    let place = self.latencies.len() * percent / 100;
                    self.latencies.get(place).copied().unwrap_or(0)
                };
                say(&format!(
                    "end {} {} {} {}",
                    self.count,
                    passed.as_nanos(),
                    at(50),
                    at(99)
                ));
                // The runner looks at our CPU time before it lets us go.
                let _ = std::io::stdin().read_line(&mut String::new());
                std::process::exit(0);
            }
            Phase::Warm | Phase::Measured => {}
        }
    }
}

/// Counts only once every one of many receivers has got something.
pub struct Crowd {
    meter: Meter,
    silent: usize,
}

impl Crowd {
    pub fn new(job: &Job) -> Self {
        Self {
            meter: Meter::new(job),
            silent: job.count,
        }
    }

    /// A message has arrived, for a receiver that knows by `new` whether it is its first.
    pub fn tick(&mut self, new: &mut bool) {
        if *new {
            *new = false;
            self.silent -= 1;
        }
        if self.silent == 0 {
            self.meter.tick();
        }
    }
}

/// Round trips, answered in the order they were asked.
pub struct Trips {
    meter: Meter,
    asked: VecDeque<Instant>,
}

impl Trips {
    pub fn new(job: &Job) -> Self {
        Self {
            meter: Meter::new(job),
            asked: VecDeque::with_capacity(job.window),
        }
    }

    pub fn asked(&mut self) {
        self.asked.push_back(Instant::now());
    }

    pub fn answered(&mut self) {
        if let Some(asked) = self.asked.pop_front() {
            let nanos = asked.elapsed().as_nanos();
            self.meter
                .latencies
                .push(u32::try_from(nanos).unwrap_or(u32::MAX));
        }
        self.meter.tick();
    }
}
