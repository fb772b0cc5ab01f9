//! What one end is to do, as its command line says it.

use std::time::Duration;

use crate::Failure;

/// One end of a measurement.
#[derive(Clone, Debug)]
pub struct Job {
    /// push, pull, pub, pubwait, sub, req, rep, dealer, router, crowd (raw only), or knock
    /// (scale0 only).
    pub role: String,
    /// Whose sockets.
    pub implementation: String,
    /// The processor for all threads of this process.
    pub cpu: usize,
    /// Where to connect; who binds chooses a free port and says it.
    pub port: u16,
    /// Bytes in a message.
    pub size: usize,
    /// Sockets in this process (subscribers, idle peers).
    pub count: usize,
    /// Messages outstanding.
    pub window: usize,
    /// Sealed by CURVE, with the keys of [`crate::keys`].
    pub curve: bool,
    /// Not measured yet after everything flows.
    pub warm: Duration,
    /// Measured.
    pub run: Duration,
}

impl Job {
    /// `ROLE IMPL [--name value]...`
    pub fn parse(words: &[String]) -> Result<Self, Failure> {
        let [role, implementation, rest @ ..] = words else {
            return Err("ROLE and IMPL are needed".into());
        };
        let mut job = Self {
            role: role.clone(),
            implementation: implementation.clone(),
            cpu: 0,
            port: 0,
            size: 64,
            count: 1,
            window: 1,
            curve: false,
            warm: Duration::from_millis(300),
            run: Duration::from_millis(1000),
        };
        for pair in rest.chunks(2) {
            let [name, value] = pair else {
                return Err(format!("{} wants a value", pair[0]).into());
            };
            let number: u64 = value.parse().map_err(|_| format!("{name} {value}"))?;
            match name.as_str() {
                "--cpu" => job.cpu = usize::try_from(number)?,
                "--port" => job.port = u16::try_from(number)?,
                "--size" => job.size = usize::try_from(number)?,
                "--count" => job.count = usize::try_from(number)?,
                "--window" => job.window = usize::try_from(number)?,
                "--curve" => job.curve = number != 0,
                "--warm" => job.warm = Duration::from_millis(number),
                "--run" => job.run = Duration::from_millis(number),
                _ => return Err(format!("no option {name}").into()),
            }
        }
        Ok(job)
    }

    /// The endpoint to connect to.
    pub fn endpoint(&self) -> String {
        format!("tcp://127.0.0.1:{}", self.port)
    }

    /// The content of every message. Each message is made anew from it, as a program would that
    /// has something to say.
    pub fn payload(&self) -> Vec<u8> {
        vec![7; self.size]
    }

    /// How many messages a publisher sends before it lets its runtime turn. A publisher's send
    /// never waits, so on one thread somebody has to.
    pub fn burst(&self) -> usize {
        (1 << 20 >> self.size.max(1).ilog2()).clamp(1, 256)
    }
}
