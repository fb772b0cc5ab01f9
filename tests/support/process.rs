//! Processes under test: started, listened to, waited for, and never left behind. Nothing is
//! decided by how long it takes: all waiting ends at what is waited for, or fails after a minute.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

/// A running process. Dropping it kills it.
pub(crate) struct Process {
    name: String,
    child: Child,
    stdin: Option<ChildStdin>,
    out: Arc<Output>,
    err: Arc<Output>,
    /// Lines of its stdout that were read already.
    read: usize,
}

/// How a process ended.
#[derive(Debug)]
pub(crate) struct Finished {
    /// `None` if a signal ended it.
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Process {
    pub(crate) fn start(command: &mut Command) -> Self {
        let name = format!("{command:?}");
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        Self {
            name,
            stdin: child.stdin.take(),
            out: Output::of(child.stdout.take().unwrap()),
            err: Output::of(child.stderr.take().unwrap()),
            child,
            read: 0,
        }
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Writes a line to its stdin.
    pub(crate) fn say(&mut self, line: &str) {
        let stdin = self.stdin.as_mut().unwrap();
        let said = writeln!(stdin, "{line}").and_then(|()| stdin.flush());
        said.unwrap_or_else(|error| panic!("{error}: {}", self.report()));
    }

    /// Its stdin ends.
    pub(crate) fn hush(&mut self) {
        self.stdin = None;
    }

    /// The next line of its stdout.
    pub(crate) fn line(&mut self) -> String {
        let n = self.read;
        self.read += 1;
        self.out
            .wait(|text| {
                text.split_inclusive('\n')
                    .nth(n)?
                    .strip_suffix('\n')
                    .map(str::to_owned)
            })
            .unwrap_or_else(|| panic!("no further line: {}", self.report()))
    }

    /// The next line of its stdout, if it is there already.
    pub(crate) fn try_line(&mut self) -> Option<String> {
        let text = self.out.text();
        let line = text.split_inclusive('\n').nth(self.read)?;
        let line = line.strip_suffix('\n')?.to_owned();
        self.read += 1;
        Some(line)
    }

    /// The first line of its stderr in which `text` stands; waits for it.
    pub(crate) fn stderr_line(&self, text: &str) -> String {
        let find = |all: &str| {
            let mut whole = all
                .split_inclusive('\n')
                .filter(|line| line.ends_with('\n'));
            whole
                .find(|line| line.contains(text))
                .map(|line| line.trim_end().to_owned())
        };
        self.err
            .wait(find)
            .unwrap_or_else(|| panic!("no `{text}` on stderr: {}", self.report()))
    }

    /// Sends it a signal: TERM, KILL, STOP.
    pub(crate) fn signal(&self, signal: &str) {
        let sent = Command::new("kill")
            .args(["-s", signal, &self.id().to_string()])
            .status();
        assert!(sent.unwrap().success(), "no {signal} for {}", self.name);
    }

    /// Its stdin ends; waits until the process has ended, too.
    pub(crate) fn finish(mut self) -> Finished {
        self.hush();
        self.end()
    }

    /// Waits until it has ended by itself, while its stdin is open.
    pub(crate) fn end(&mut self) -> Finished {
        let Some(status) = self.wait() else {
            panic!("it does not end: {}", self.report());
        };
        Finished {
            code: status.code(),
            stdout: self.out.end(),
            stderr: self.err.end(),
        }
    }

    fn wait(&mut self) -> Option<ExitStatus> {
        poll(|| self.child.try_wait().unwrap())
    }

    fn report(&self) -> String {
        format!(
            "{}\nstdout:\n{}\nstderr:\n{}",
            self.name,
            self.out.text(),
            self.err.text()
        )
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What a process has written so far.
#[derive(Default)]
struct Output {
    written: Mutex<Written>,
    more: Condvar,
}

#[derive(Default)]
struct Written {
    bytes: Vec<u8>,
    ended: bool,
}

impl Output {
    /// Reads a stream on a thread of its own, so that its process never waits for us.
    fn of(stream: impl Read + Send + 'static) -> Arc<Self> {
        let output = Arc::new(Self::default());
        let writer = Arc::clone(&output);
        std::thread::spawn(move || {
            let mut stream = BufReader::new(stream);
            loop {
                let mut line = Vec::new();
                let read = stream.read_until(b'\n', &mut line).unwrap_or(0);
                let mut written = writer.written.lock().unwrap();
                written.bytes.append(&mut line);
                written.ended = read == 0;
                writer.more.notify_all();
                if read == 0 {
                    return;
                }
            }
        });
        output
    }

    /// Waits for something that is found in it. `None`: it has ended without, or the time is over.
    fn wait<T>(&self, find: impl Fn(&str) -> Option<T>) -> Option<T> {
        let find = |written: &Written| find(&String::from_utf8_lossy(&written.bytes));
        let written = self.written.lock().unwrap();
        let pending = |written: &mut Written| find(written).is_none() && !written.ended;
        let (written, _) = self
            .more
            .wait_timeout_while(written, PATIENCE, pending)
            .unwrap();
        find(&written)
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.written.lock().unwrap().bytes).into_owned()
    }

    /// All of it, once its process has ended.
    fn end(&self) -> String {
        let written = self.written.lock().unwrap();
        let pending = |written: &mut Written| !written.ended;
        drop(
            self.more
                .wait_timeout_while(written, PATIENCE, pending)
                .unwrap(),
        );
        self.text()
    }
}

/// Looks again and again until there is something, for a minute at most.
pub(crate) fn poll<T>(mut look: impl FnMut() -> Option<T>) -> Option<T> {
    for _ in 0..PATIENCE.as_millis() / PAUSE.as_millis() {
        let seen = look();
        if seen.is_some() {
            return seen;
        }
        std::thread::sleep(PAUSE);
    }
    None
}

/// The program under test.
pub(crate) fn scale0() -> Command {
    Command::new(env!("CARGO_BIN_EXE_scale0"))
}

/// A broker on a port of its own.
pub(crate) struct Broker {
    pub(crate) process: Process,
    pub(crate) endpoint: String,
}

impl Broker {
    /// On loopback, with further arguments. Tasks wait long for their workers: tests start both in
    /// any order, on slow machines.
    pub(crate) fn start(arguments: &[&str]) -> Self {
        let patient = ["--wait-for-worker", "50s", "--default-ttl", "50s"];
        let arguments = [&patient, arguments].concat();
        Self::with(&[&["--bind", "tcp://127.0.0.1:0"], &*arguments].concat())
    }

    /// With these arguments only.
    pub(crate) fn with(arguments: &[&str]) -> Self {
        let process = Process::start(scale0().arg("broker").args(arguments));
        let bound = process.stderr_line("bound ");
        let endpoint = bound.trim_start_matches("bound ").to_owned();
        Self { process, endpoint }
    }

    /// What it tells of itself, as JSON.
    pub(crate) fn info(&self) -> serde_json::Value {
        let info = self.scale0("info").arg("--json").output().unwrap();
        serde_json::from_slice(&info.stdout).unwrap_or_else(|error| panic!("{error}: {info:?}"))
    }

    /// A command of the program that connects to it.
    pub(crate) fn scale0(&self, command: &str) -> Command {
        let mut scale0 = scale0();
        scale0.args([command, "--connect", &self.endpoint]);
        scale0
    }

    /// Waits until this many workers offer something.
    pub(crate) fn await_workers(&self, number: usize) {
        let there = poll(|| (self.info()["info"]["workers"] == number).then_some(()));
        assert!(there.is_some(), "{}", self.info());
    }
}

const PATIENCE: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(20);
