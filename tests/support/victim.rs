//! A broker of its own process, to be attacked.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};

/// Killed, by its own id, when the test is done with it.
pub(crate) struct Victim {
    pub(crate) child: Child,
    pub(crate) address: SocketAddr,
    log: Arc<Mutex<String>>,
}

/// What the system says of the process.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Usage {
    /// The most memory that was ever resident, in KiB.
    pub(crate) peak: u64,
    /// Processor time so far, in hundredths of a second.
    pub(crate) ticks: u64,
}

impl Victim {
    pub(crate) fn start(flags: &[&str]) -> Self {
        Self::launch(Command::new(BROKER), flags)
    }

    /// With this many file descriptors at most.
    pub(crate) fn with_descriptors(most: u32, flags: &[&str]) -> Self {
        let mut shell = Command::new("sh");
        shell.args(["-c", &format!("ulimit -n {most} && exec \"$0\" \"$@\"")]);
        shell.arg(BROKER);
        Self::launch(shell, flags)
    }

    fn launch(mut command: Command, flags: &[&str]) -> Self {
        command.args(["broker", "--bind", "tcp://127.0.0.1:0"]);
        let mut child = command.args(flags).stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let bound = lines.next().unwrap().unwrap();
        let address = bound.strip_prefix("bound tcp://").expect(&bound);
        let address = address.parse().unwrap();
        let log = Arc::new(Mutex::new(String::new()));
        let copy = Arc::clone(&log);
        // A pipe that nobody reads would hold the broker up.
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                let mut log = copy.lock().unwrap();
                log.push_str(&line);
                log.push('\n');
            }
        });
        Self {
            child,
            address,
            log,
        }
    }

    pub(crate) fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    pub(crate) fn is_up(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    pub(crate) fn usage(&self) -> Usage {
        let file = |name| {
            let path = format!("/proc/{}/{name}", self.child.id());
            std::fs::read_to_string(path).unwrap()
        };
        let status = file("status");
        let number = |key| {
            let line = status.lines().find(|line| line.starts_with(key)).unwrap();
            line.split_whitespace().nth(1).unwrap().parse().unwrap()
        };
        // The command's name, in brackets, may hold anything.
        let stat = file("stat");
        let fields: Vec<&str> = stat[stat.rfind(')').unwrap()..].split(' ').collect();
        Usage {
            peak: number("VmHWM:"),
            ticks: fields[12].parse::<u64>().unwrap() + fields[13].parse::<u64>().unwrap(),
        }
    }
}

impl Drop for Victim {
    fn drop(&mut self) {
        // Dead already: then there is nothing to stop.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

const BROKER: &str = env!("CARGO_BIN_EXE_scale0");
