//! A broker in a process of its own, for a benchmark to load.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use scale0::wire::Endpoint;

pub(crate) struct Broker {
    pub(crate) endpoint: Endpoint,
    pub(crate) process: Child,
}

impl Drop for Broker {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Broker {
    pub(crate) fn start() -> Self {
        Self::start_with(&[])
    }

    /// Told something besides where to listen.
    pub(crate) fn start_with(arguments: &[&str]) -> Self {
        let mut process = Command::new(env!("CARGO_BIN_EXE_scale0"))
            .args(["broker", "--bind", "tcp://127.0.0.1:0", "--log", "off"])
            .args(arguments)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(process.stderr.take().unwrap()).lines();
        let bound = lines.next().unwrap().unwrap();
        let endpoint = bound.strip_prefix("bound ").unwrap().parse().unwrap();
        Self { endpoint, process }
    }
}

/// Keeps a process (0 is this one) on these processors.
pub(crate) fn pin(pid: u32, processors: &[usize]) {
    let mut set = rustix::thread::CpuSet::new();
    processors.iter().for_each(|processor| set.set(*processor));
    let pids: Vec<u32> = match pid {
        0 => vec![0],
        pid => std::fs::read_dir(format!("/proc/{pid}/task"))
            .map(|tasks| {
                tasks
                    .filter_map(|task| task.ok()?.file_name().to_str()?.parse().ok())
                    .collect()
            })
            .unwrap_or_default(),
    };
    for pid in pids {
        let pid = i32::try_from(pid)
            .ok()
            .and_then(rustix::thread::Pid::from_raw);
        // With one processor there is nothing to choose.
        let _ = rustix::thread::sched_setaffinity(pid, &set);
    }
}
