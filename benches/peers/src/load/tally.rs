//! What is counted while tasks flow, and how it is told to whoever asked for it.

use std::time::Duration;

use super::histogram::Histogram;
use crate::Failure;

#[derive(Default)]
pub struct Tally {
    pub measuring: bool,
    pub done: u64,
    /// Answers to nothing that was asked, or not with the body that was sent.
    pub wrong: u64,
    /// Errors instead of answers.
    pub refused: u64,
    /// Connections that the broker has closed.
    pub closed: u64,
    /// Tasks given to a worker beyond what it takes at once.
    pub over: u64,
    pub latencies: Histogram,
}

/// One measurement.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Run {
    /// Tasks per second.
    pub rate: f64,
    /// CPU µs per task, of the broker and of the generator.
    pub cpu: f64,
    pub own: f64,
    pub p50: f64,
    pub p99: f64,
    /// No answer within two seconds after the end.
    pub lost: u64,
    pub wrong: u64,
    pub refused: u64,
    pub closed: u64,
    pub over: u64,
    /// The broker's share of a processor before there were tasks, in percent; only where something
    /// idle was there.
    pub rest: f64,
}

impl Tally {
    /// What it was in this time, with these CPU times of broker and generator.
    pub fn run(&self, took: Duration, cpu: [Duration; 2], lost: u64, rest: f64) -> Run {
        let each = |cpu: Duration| cpu.as_secs_f64() * 1e6 / (self.done as f64).max(1.0);
        Run {
            rate: self.done as f64 / took.as_secs_f64(),
            cpu: each(cpu[0]),
            own: each(cpu[1]),
            p50: self.latencies.at(0.50) / 1e3,
            p99: self.latencies.at(0.99) / 1e3,
            lost,
            wrong: self.wrong,
            refused: self.refused,
            closed: self.closed,
            over: self.over,
            rest,
        }
    }
}

impl Run {
    /// Everything that should not have been.
    pub fn errors(&self) -> u64 {
        self.lost + self.wrong + self.refused + self.closed + self.over
    }

    pub fn write(&self) -> String {
        format!(
            "{} {} {} {} {} {} {} {} {} {} {}",
            self.rate,
            self.cpu,
            self.own,
            self.p50,
            self.p99,
            self.rest,
            self.lost,
            self.wrong,
            self.refused,
            self.closed,
            self.over,
        )
    }

    /// What [`write`](Self::write) wrote.
    pub fn parse(line: &str) -> Result<Self, Failure> {
        let numbers = line.split(' ').map(str::parse::<f64>);
        let numbers: Vec<f64> = numbers.collect::<Result<_, _>>()?;
        let [
            rate,
            cpu,
            own,
            p50,
            p99,
            rest,
            lost,
            wrong,
            refused,
            closed,
            over,
        ] = numbers[..]
        else {
            return Err(format!("not the result of a run: {line}").into());
        };
        Ok(Self {
            rate,
            cpu,
            own,
            p50,
            p99,
            rest,
            lost: lost as u64,
            wrong: wrong as u64,
            refused: refused as u64,
            closed: closed as u64,
            over: over as u64,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::Run;

    #[test]
    fn a_run_is_read_as_it_is_written() {
        let run = Run {
            rate: 123_456.5,
            p99: 1.25,
            lost: 3,
            over: 4,
            ..Run::default()
        };
        assert_eq!(Run::parse(&run.write()).unwrap(), run);
        assert_eq!(run.errors(), 7);
        assert!(Run::parse("1 2 3").is_err());
    }
}
