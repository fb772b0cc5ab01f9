//! The broker as a process, and what the system says of it.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// Killed when it is dropped.
#[derive(Debug)]
pub(super) struct Broker {
    child: Child,
    pub(super) endpoint: String,
    samples: Vec<Sample>,
}

/// Its memory at one time.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sample {
    /// Since the start.
    at: Duration,
    /// In KiB.
    pub(super) resident: u64,
}

impl Broker {
    pub(super) fn start(mut command: Command) -> Self {
        let mut child = command
            .stdin(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("a broker");
        let mut lines = BufReader::new(child.stderr.take().expect("its stderr")).lines();
        let line = lines.next().expect("a line").expect("a text");
        let endpoint = line.strip_prefix("bound ").expect("an endpoint").to_owned();
        // A pipe that nobody reads would hold it up.
        std::thread::spawn(move || lines.map_while(Result::ok).for_each(drop));
        Self {
            child,
            endpoint,
            samples: Vec::new(),
        }
    }

    fn file(&self, name: &str) -> String {
        format!("/proc/{}/{name}", self.child.id())
    }

    /// How many it has open.
    pub(super) fn descriptors(&self) -> usize {
        std::fs::read_dir(self.file("fd")).map_or(0, Iterator::count)
    }

    /// Looks at its memory, four times a second.
    pub(super) fn sample(&mut self, at: Duration) {
        if self.samples.last().is_some_and(|last| last.at + EVERY > at) {
            return;
        }
        let status = std::fs::read_to_string(self.file("status")).unwrap_or_default();
        let line = status.lines().find(|line| line.starts_with("VmRSS:"));
        let resident = line.and_then(|line| line.split_whitespace().nth(1)?.parse().ok());
        self.samples
            .extend(resident.map(|resident| Sample { at, resident }));
    }

    /// Stops it, if it has not stopped by itself, and gives the samples.
    pub(super) fn end(mut self, broken: &mut Vec<String>) -> Vec<Sample> {
        if let Ok(Some(status)) = self.child.try_wait() {
            broken.push(format!("the broker has ended: {status}"));
        }
        std::mem::take(&mut self.samples)
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Least squares over what comes after the warm-up, in KiB a second.
pub(super) fn slope(samples: &[Sample]) -> f64 {
    let warm = (samples.len() as f64 * WARM_UP) as usize;
    let points: Vec<(f64, f64)> = samples
        .iter()
        .skip(warm)
        .map(|sample| (sample.at.as_secs_f64(), sample.resident as f64))
        .collect();
    let n = points.len().max(1) as f64;
    let mean = |of: fn(&(f64, f64)) -> f64| points.iter().map(of).sum::<f64>() / n;
    let (x, y) = (mean(|point| point.0), mean(|point| point.1));
    let above: f64 = points
        .iter()
        .map(|point| (point.0 - x) * (point.1 - y))
        .sum();
    let below: f64 = points.iter().map(|point| (point.0 - x).powi(2)).sum();
    if below > 0.0 { above / below } else { 0.0 }
}

/// What the line through the rest may rise in all, in KiB. The allocator keeps what bursts took, and
/// one peer that does not read is a burst of 32 MiB: a short time shows no more than that there is
/// a bound.
pub(super) fn growth(time: Duration) -> f64 {
    if time < FAIR { 128_000.0 } else { 24_000.0 }
}

/// The part of the time in which memory may grow.
pub(super) const WARM_UP: f64 = 0.4;
/// In this time all kinds of bursts come during the warm-up.
const FAIR: Duration = Duration::from_secs(300);
const EVERY: Duration = Duration::from_millis(250);
