//! A broker with a file of rules, as operators and callers meet it.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

#[path = "support/process.rs"]
#[allow(dead_code, reason = "shared with other tests, which use the rest")]
mod process;

use std::path::{Path, PathBuf};
use std::process::Command;

use process::{Broker, Finished, Process, poll, scale0};

const ECHO_ONLY: &str = "[[rule]]\nwho = [\"*\"]\noffer = [\"*\"]\ncall = [\"echo\"]\n";
const ADMINISTER: &str = "[[rule]]\nwho = [\"anonymous\"]\nadminister = [\"*\"]\n";

fn run(command: &mut Command) -> Finished {
    Process::start(command).finish()
}

fn call(broker: &Broker, service: &str) -> Finished {
    run(broker.scale0("call").args([service, "x"]))
}

fn file(directory: &tempfile::TempDir, text: &str) -> PathBuf {
    let path = directory.path().join("access.toml");
    std::fs::write(&path, text).unwrap();
    path
}

/// Puts another file in this one's place, as a careful editor does.
fn replace(path: &Path, text: &str) {
    let fresh = path.with_extension("new");
    std::fs::write(&fresh, text).unwrap();
    std::fs::rename(&fresh, path).unwrap();
}

#[test]
fn rules_hold_from_the_start_and_change_with_their_file() {
    let directory = tempfile::tempdir().unwrap();
    let rules = file(&directory, &format!("{ECHO_ONLY}{ADMINISTER}"));
    let broker = Broker::start(&["--access", rules.to_str().unwrap()]);
    let _worker =
        Process::start(
            broker
                .scale0("worker")
                .args(["--service", "echo", "sum", "--echo"]),
        );
    broker.await_workers(1);
    assert_eq!(call(&broker, "echo").stdout, "x\n");
    let refused = call(&broker, "sum");
    assert_eq!((refused.code, &*refused.stdout), (Some(1), ""));
    assert_eq!(
        refused.stderr,
        "scale0: 403 forbidden: no rule lets anonymous call sum\n"
    );
    let counters = &broker.info()["info"]["counters"];
    assert_eq!(
        (&counters["forbidden"], &counters["errors"]["403"]),
        (&1.into(), &1.into())
    );
    broker.process.stderr_line("forbidden: no rule allows it");

    replace(&rules, &ECHO_ONLY.replace("echo", "sum"));
    assert!(poll(|| (call(&broker, "sum").stdout == "x\n").then_some(())).is_some());
    assert_eq!(call(&broker, "echo").code, Some(1));
    let info = run(broker.scale0("info").arg("--json"));
    assert_eq!(info.code, Some(1), "{info:?}");
    assert!(
        info.stderr
            .contains("403 forbidden: no rule lets anonymous administer s0.info"),
        "{info:?}"
    );

    replace(&rules, "[[rule]]\nwho = [\"*\"]\ncalls = [\"*\"]\n");
    let told = broker.process.stderr_line("the former rules still hold");
    assert!(
        told.contains("access.toml, line 3: unknown field `calls`"),
        "{told}"
    );
    assert_eq!(call(&broker, "sum").stdout, "x\n");
    assert_eq!(call(&broker, "echo").code, Some(1));

    // Neither does a file that is gone open anything, and the next good one counts.
    std::fs::remove_file(&rules).unwrap();
    broker.process.stderr_line("access.toml cannot be read");
    assert_eq!(call(&broker, "echo").code, Some(1));
    replace(&rules, ECHO_ONLY);
    assert!(poll(|| (call(&broker, "echo").stdout == "x\n").then_some(())).is_some());
}

#[test]
fn a_worker_hears_which_of_its_services_it_may_not_offer() {
    let directory = tempfile::tempdir().unwrap();
    let text =
        "[[rule]]\nwho = [\"*\"]\noffer = [\"echo\"]\ncall = [\"*\"]\nadminister = [\"*\"]\n";
    let rules = file(&directory, text);
    let broker = Broker::start(&["--access", rules.to_str().unwrap()]);
    let worker =
        Process::start(
            broker
                .scale0("worker")
                .args(["--service", "echo", "sum", "--echo"]),
        );
    let told = worker.stderr_line("refused by the broker");
    assert!(told.contains("no rule lets anonymous offer sum"), "{told}");
    assert_eq!(call(&broker, "echo").stdout, "x\n");
    let workers = &broker.info()["workers"];
    assert_eq!(
        workers[0]["services"],
        serde_json::json!(["echo"]),
        "{workers}"
    );
}

#[test]
fn a_file_that_is_not_good_is_told_at_the_start_and_by_the_check() {
    let directory = tempfile::tempdir().unwrap();
    let rules = file(&directory, "[[rule]]\nwho = [\"ann\"]\ncall = [\"\"]\n");
    let path = rules.to_str().unwrap();
    for flags in [&["--check"][..], &[]] {
        let told = run(scale0()
            .args(["broker", "--bind", "tcp://127.0.0.1:0", "--access", path])
            .args(flags));
        assert_eq!(told.code, Some(2), "{told:?}");
        assert!(
            told.stderr.contains("access.toml, line 3: a pattern needs"),
            "{told:?}"
        );
    }
    let missing = run(scale0().args(["broker", "--check", "--access", "/nonexistent/access.toml"]));
    assert_eq!(missing.code, Some(2), "{missing:?}");
    assert!(
        missing
            .stderr
            .contains("/nonexistent/access.toml cannot be read"),
        "{missing:?}"
    );
    // The setting is a key of the settings file, too.
    let settings = directory.path().join("scale0.toml");
    std::fs::write(&settings, format!("access = {path:?}\n")).unwrap();
    let check = ["broker", "--check", "--config", settings.to_str().unwrap()];
    assert_eq!(run(scale0().args(check)).code, Some(2));
    std::fs::write(&rules, ECHO_ONLY).unwrap();
    assert_eq!(run(scale0().args(check)).code, Some(0));
}
