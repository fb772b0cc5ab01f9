//! Brokers in processes of their own, ours and those of others, for the benchmarks to load.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use scale0::wire::Endpoint;

/// What the generator speaks.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Tongue {
    Scale0,
    Mdp01,
    Majortomo,
    /// No protocol at all: a DEALER's envelope through a forwarder.
    Bare,
}

/// A broker in a process of its own.
pub(crate) struct Broker {
    pub(crate) name: &'static str,
    pub(crate) tongue: Tongue,
    pub(crate) clients: Endpoint,
    pub(crate) workers: Endpoint,
    pub(crate) process: Child,
}

impl Drop for Broker {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Broker {
    pub(crate) fn scale0(tongue: Tongue) -> Self {
        Self::scale0_with(tongue, &[])
    }

    /// Ours, told something besides where to listen.
    pub(crate) fn scale0_with(tongue: Tongue, arguments: &[&str]) -> Self {
        let mut process = Command::new(env!("CARGO_BIN_EXE_scale0"))
            .args(["broker", "--bind", "tcp://127.0.0.1:0", "--log", "off"])
            .args(arguments)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(process.stderr.take().unwrap()).lines();
        let bound = lines.next().unwrap().unwrap();
        let endpoint: Endpoint = bound.strip_prefix("bound ").unwrap().parse().unwrap();
        let name = if tongue == Tongue::Scale0 {
            "scale0, S0/1"
        } else {
            "scale0, MDP/0.1"
        };
        Self {
            name,
            tongue,
            clients: endpoint.clone(),
            workers: endpoint,
            process,
        }
    }

    pub(crate) fn proxy(python: &Path) -> Self {
        let (front, back) = (free_port(), free_port());
        let program = "import sys, zmq
c = zmq.Context(); f = c.socket(zmq.ROUTER); b = c.socket(zmq.DEALER)
for s in (f, b): s.sndhwm = s.rcvhwm = 0
f.bind(sys.argv[1]); b.bind(sys.argv[2]); print('ready', flush=True); zmq.proxy(f, b)";
        let process = start(python, program, &[&front, &back]);
        Self {
            name: "zmq_proxy (libzmq)",
            tongue: Tongue::Bare,
            process,
            clients: front,
            workers: back,
        }
    }

    pub(crate) fn majortomo(python: &Path) -> Self {
        let endpoint = free_port();
        let program = "import sys, logging; logging.disable(logging.CRITICAL)
from majortomo.broker import Broker
b = Broker(bind=sys.argv[1]); print('ready', flush=True); b.run()";
        let process = start(python, program, &[&endpoint]);
        Self {
            name: "majortomo (Python)",
            tongue: Tongue::Majortomo,
            process,
            clients: endpoint.clone(),
            workers: endpoint,
        }
    }
}

/// Runs a Python program that says when it is ready.
fn start(python: &Path, program: &str, endpoints: &[&Endpoint]) -> Child {
    let mut process = Command::new(python)
        .args(["-c", program])
        .args(endpoints.iter().map(ToString::to_string))
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(process.stdout.take().unwrap())
        .read_line(&mut line)
        .unwrap();
    assert_eq!(line, "ready\n", "a peer that does not start");
    process
}

fn free_port() -> Endpoint {
    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    format!("tcp://127.0.0.1:{port}").parse().unwrap()
}

/// A Python with the peers, installed once; `None` if there is no Python.
pub(crate) fn peers() -> Option<PathBuf> {
    let home = Path::new(env!("CARGO_TARGET_TMPDIR"))
        .parent()?
        .parent()?
        .join("bench-peers");
    let python = home.join("bin/python");
    let done = home.join("installed");
    if !done.exists() {
        let ok = |command: &mut Command| {
            command
                .stdout(Stdio::null())
                .status()
                .is_ok_and(|status| status.success())
        };
        let made = ok(Command::new("python3").args(["-m", "venv"]).arg(&home))
            && ok(Command::new(&python).args([
                "-m",
                "pip",
                "install",
                "--quiet",
                "pyzmq==27.3.0",
                "majortomo==0.2.0",
                "six==1.17.0",
            ]));
        if !made {
            return None;
        }
        std::fs::write(done, "").ok()?;
    }
    Some(python)
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

/// CPU time that a process has used, all threads together.
pub(crate) fn cpu(pid: u32) -> Duration {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    let nanos = tasks.filter_map(|task| {
        let text = std::fs::read_to_string(task.ok()?.path().join("schedstat")).ok()?;
        text.split(' ').next()?.parse::<u64>().ok()
    });
    Duration::from_nanos(nanos.sum())
}
