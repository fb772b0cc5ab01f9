//! Tests that measure their process, or take something away from it, run alone: in a process of
//! their own, which is this program again.

use std::future::Future;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Runs `body` in a process in which nothing else runs. `name` is the test's, with its modules.
pub(crate) fn alone<F: Future<Output = ()>>(name: &str, body: impl FnOnce() -> F) {
    if std::env::var_os(MARK).is_some() {
        let runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = { runtime }.enable_all().build().unwrap();
        return runtime.block_on(body());
    }
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args([name, "--exact", "--nocapture", "--include-ignored"])
        .env(MARK, "1")
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let until = Instant::now() + LONGEST;
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            assert!(status.success(), "{name}: {status}, see above");
            return;
        }
        if Instant::now() > until {
            child.kill().unwrap();
            child.wait().unwrap();
            panic!("{name} is not done within {LONGEST:?}");
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// The most memory that this process ever had resident, in KiB.
pub(crate) fn peak() -> u64 {
    status("VmHWM:")
}

/// Memory that this process has resident, in KiB.
pub(crate) fn resident() -> u64 {
    status("VmRSS:")
}

fn status(key: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with(key)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// Descriptors that this process has open.
pub(crate) fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

const MARK: &str = "SCALE0_TEST_ALONE";
const LONGEST: Duration = Duration::from_secs(300);
