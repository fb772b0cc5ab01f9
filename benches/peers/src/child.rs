//! One end as a process: started, listened to, looked at from outside, and always ended.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{ChildStdout, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use rustix::process::{Resource, Rlimit, Signal};

use crate::Failure;

/// What a process may map. A publisher without a bound on bytes must not take the machine along.
const MEMORY: u64 = 6 << 30;

/// Called by each end first: one processor, many descriptors, bounded memory, no life of its own.
pub fn settle(cpu: usize) -> Result<(), Failure> {
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
    // Ahead of whatever else the machine does, where that is allowed (root, autogroups): a
    // compiler next door otherwise costs a sleeper 3 ms at each wake-up.
    let _ = rustix::process::setsid();
    let _ = std::fs::write("/proc/self/autogroup", "-15");
    let mut set = rustix::thread::CpuSet::new();
    set.set(cpu);
    // Where there is only one processor, both ends share it.
    let _ = rustix::thread::sched_setaffinity(None, &set);
    let files = rustix::process::getrlimit(Resource::Nofile).maximum;
    rustix::process::setrlimit(
        Resource::Nofile,
        Rlimit {
            current: files,
            maximum: files,
        },
    )?;
    rustix::process::setrlimit(
        Resource::As,
        Rlimit {
            current: Some(MEMORY),
            maximum: Some(MEMORY),
        },
    )?;
    Ok(())
}

/// `peers on PROCESSOR PROGRAM [WORD]...`: settles there and becomes the program.
pub fn become_other(words: &[String]) -> Result<(), Failure> {
    let [cpu, program, rest @ ..] = words else {
        return Err("a processor and a program are needed".into());
    };
    settle(cpu.parse()?)?;
    Err(Command::new(program).args(rest).exec().into())
}

pub struct Child {
    process: std::process::Child,
    lines: Receiver<String>,
}

impl Drop for Child {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Child {
    pub fn start(program: &Path, words: &[String]) -> Result<Self, Failure> {
        let mut process = Command::new(program)
            .args(words)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        let stdout = process.stdout.take().ok_or("no stdout")?;
        Ok(Self {
            process,
            lines: read(stdout),
        })
    }

    /// The rest of the line that begins with `word`.
    pub fn expect(&mut self, word: &str, within: Duration) -> Result<String, Failure> {
        let until = Instant::now() + within;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            match self.lines.recv_timeout(left) {
                Ok(line) => {
                    if let Some(rest) = line.strip_prefix(word) {
                        return Ok(rest.trim().to_owned());
                    }
                }
                Err(_) => return Err(self.complaint(word).into()),
            }
        }
    }

    pub fn has_ended(&mut self) -> bool {
        !matches!(self.process.try_wait(), Ok(None))
    }

    /// Ends it, and returns the last thing it said about what went wrong.
    pub fn complaint(&mut self, word: &str) -> String {
        let _ = self.process.kill();
        let mut text = String::new();
        if let Some(mut stderr) = self.process.stderr.take() {
            let _ = stderr.read_to_string(&mut text);
        }
        match text.lines().last() {
            Some(line) => line.to_owned(),
            None if word.is_empty() => "it says nothing".to_owned(),
            None => format!("no `{word}` in time"),
        }
    }

    /// Lets a process go on that waits for a line.
    pub fn go(&mut self) -> Result<(), Failure> {
        let stdin = self.process.stdin.as_mut().ok_or("no stdin")?;
        stdin.write_all(b"\n")?;
        Ok(stdin.flush()?)
    }

    /// CPU time used so far, all threads together.
    pub fn cpu(&self) -> Duration {
        cpu(self.process.id())
    }

    /// Resident memory that no file backs, in bytes.
    pub fn memory(&self) -> u64 {
        memory(self.process.id(), "RssAnon:")
    }

    pub fn id(&self) -> u32 {
        self.process.id()
    }
}

/// CPU time that a process has used so far, all threads together.
pub fn cpu(process: u32) -> Duration {
    let tasks = std::fs::read_dir(format!("/proc/{process}/task"));
    let nanos = tasks.into_iter().flatten().filter_map(|task| {
        let text = std::fs::read_to_string(task.ok()?.path().join("schedstat")).ok()?;
        text.split(' ').next()?.parse::<u64>().ok()
    });
    Duration::from_nanos(nanos.sum())
}

/// Resident memory of a process, in bytes: `RssAnon:` or `VmRSS:`.
pub fn memory(process: u32, kind: &str) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    text.lines()
        .find_map(|line| line.strip_prefix(kind))
        .and_then(|rest| rest.trim().strip_suffix(" kB")?.parse::<u64>().ok())
        .unwrap_or(0)
        * 1024
}

/// A line for the runner.
pub fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    // The runner is gone: then so are we, by the parent-death signal.
    let _ = writeln!(out, "{line}");
    let _ = out.flush();
}

fn read(stdout: ChildStdout) -> Receiver<String> {
    let (sender, lines) = channel();
    std::thread::spawn(move || {
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    lines
}
