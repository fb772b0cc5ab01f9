//! What a generator is to do, as its command line says it.

use std::time::Duration;

use super::tongue::Tongue;
use crate::Failure;

#[derive(Clone, Debug)]
pub struct Job {
    pub tongue: Tongue,
    /// The processor to run on.
    pub cpu: usize,
    /// Where clients connect, and where workers do.
    pub front: u16,
    pub back: u16,
    /// The broker's process, whose CPU time is taken.
    pub broker: u32,
    pub clients: u16,
    pub workers: usize,
    /// Tasks that a client has outstanding.
    pub window: u16,
    /// Tasks that a worker takes at once.
    pub capacity: u16,
    /// Bytes of a body.
    pub size: usize,
    /// Sealed by CURVE.
    pub curve: bool,
    /// Tasks per second; 0: as many as there are answers.
    pub pace: u64,
    pub idle: Idle,
    /// Not measured yet after everything flows, and measured.
    pub warm: Duration,
    pub run: Duration,
}

/// What is there, and has nothing to do with the tasks that are measured.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Idle {
    pub clients: usize,
    pub workers: usize,
    pub services: usize,
    /// Tasks that wait for a worker that is busy for ever.
    pub queued: usize,
}

impl Default for Job {
    fn default() -> Self {
        Self {
            tongue: Tongue::Scale0,
            cpu: 1,
            front: 0,
            back: 0,
            broker: 0,
            clients: 1,
            workers: 1,
            window: 1,
            capacity: 1,
            size: 64,
            curve: false,
            pace: 0,
            idle: Idle::default(),
            warm: Duration::from_millis(400),
            run: Duration::from_millis(1200),
        }
    }
}

impl Job {
    pub fn parse(words: &[String]) -> Result<Self, Failure> {
        let mut job = Self::default();
        for pair in words.chunks(2) {
            let [name, value] = pair else {
                return Err(format!("{} wants a value", pair[0]).into());
            };
            let number = || value.parse::<u64>().map_err(|_| format!("{name} {value}"));
            let count = || number().map(|number| number as usize);
            let short =
                || number().and_then(|n| u16::try_from(n).map_err(|_| format!("{name} {n}")));
            match name.as_str() {
                "--tongue" => job.tongue = Tongue::parse(value)?,
                "--cpu" => job.cpu = count()?,
                "--front" => job.front = short()?,
                "--back" => job.back = short()?,
                "--broker" => job.broker = u32::try_from(number()?)?,
                "--clients" => job.clients = short()?,
                "--workers" => job.workers = count()?,
                "--window" => job.window = short()?,
                "--capacity" => job.capacity = short()?,
                "--size" => job.size = count()?,
                "--curve" => job.curve = number()? != 0,
                "--pace" => job.pace = number()?,
                "--idle-clients" => job.idle.clients = count()?,
                "--idle-workers" => job.idle.workers = count()?,
                "--services" => job.idle.services = count()?,
                "--queued" => job.idle.queued = count()?,
                "--warm" => job.warm = Duration::from_millis(number()?),
                "--run" => job.run = Duration::from_millis(number()?),
                _ => return Err(format!("no option {name}").into()),
            }
        }
        Ok(job)
    }

    /// What [`parse`](Self::parse) reads.
    pub fn words(&self) -> Vec<String> {
        [
            ("--tongue", self.tongue.name().to_owned()),
            ("--cpu", self.cpu.to_string()),
            ("--front", self.front.to_string()),
            ("--back", self.back.to_string()),
            ("--broker", self.broker.to_string()),
            ("--clients", self.clients.to_string()),
            ("--workers", self.workers.to_string()),
            ("--window", self.window.to_string()),
            ("--capacity", self.capacity.to_string()),
            ("--size", self.size.to_string()),
            ("--curve", u8::from(self.curve).to_string()),
            ("--pace", self.pace.to_string()),
            ("--idle-clients", self.idle.clients.to_string()),
            ("--idle-workers", self.idle.workers.to_string()),
            ("--services", self.idle.services.to_string()),
            ("--queued", self.idle.queued.to_string()),
            ("--warm", self.warm.as_millis().to_string()),
            ("--run", self.run.as_millis().to_string()),
        ]
        .into_iter()
        .flat_map(|(name, value)| [name.to_owned(), value])
        .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::{Idle, Job};

    #[test]
    fn a_job_is_read_as_it_is_written() {
        let job = Job {
            clients: 1000,
            size: 1 << 20,
            curve: true,
            idle: Idle {
                queued: 100_000,
                ..Idle::default()
            },
            ..Job::default()
        };
        let read = Job::parse(&job.words()).unwrap();
        assert_eq!(read.words(), job.words());
        assert!(Job::parse(&["--clients".to_owned()]).is_err());
        assert!(Job::parse(&["--clients".to_owned(), "70000".to_owned()]).is_err());
    }
}
