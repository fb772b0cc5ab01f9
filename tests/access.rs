//! A broker with a file of rules, as operators and callers meet it.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

#[path = "support/process.rs"]
#[allow(dead_code, reason = "shared with other tests, which use the rest")]
mod process;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use process::{Broker, Finished, Process, poll, scale0};
use scale0::auth::Fixed;
use scale0::sdk::{CallError, Failure};
use scale0::security::Security;
use scale0::server::{AccessFile, Config, Running};
use scale0::{Client, Task, Worker};

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

fn shown(user: &'static str) -> Security {
    Security::PlainClient {
        user: user.into(),
        password: user.as_bytes().to_vec().into(),
    }
}

#[tokio::test]
async fn users_have_their_own_rights_and_workers_know_whom_they_serve() {
    let directory = tempfile::tempdir().unwrap();
    let text = "[groups]\nstaff = [\"wes\"]\n[[rule]]\nwho = [\"staff\"]\noffer = [\"who*\"]\n\
                [[rule]]\nwho = [\"ann\"]\ncall = [\"whoami\"]\n";
    let names = ["wes", "ann", "bob"].map(|name| (name, name));
    let deciding = scale0::broker::Config {
        wait_for_worker: Duration::from_secs(30),
        ..scale0::broker::Config::default()
    };
    let broker = Running::start(Config {
        broker: deciding,
        endpoints: vec!["tcp://127.0.0.1:0".parse().unwrap()],
        security: Security::PlainServer,
        authenticator: Some(Arc::new(Fixed::of(names))),
        access: Some(AccessFile::read(&file(&directory, text)).unwrap()),
        drain_timeout: Duration::from_secs(1),
        ..Config::default()
    })
    .unwrap();
    let endpoint = broker.endpoints()[0].to_string();
    let worker = Worker::builder(&endpoint)
        .unwrap()
        .security(shown("wes"))
        .service("whoami", async |task: Task| {
            let user = task.property("user").map(<[u8]>::to_vec);
            user.ok_or(Failure::new(500, "nobody"))
        })
        .build()
        .unwrap();
    let worker = tokio::spawn(worker.run(std::future::pending::<()>()));
    let client = |user| {
        let builder = Client::builder(&endpoint).unwrap();
        builder.security(shown(user)).build().unwrap()
    };
    let (ann, bob) = (client("ann"), client("bob"));
    let call = |client: &Client| {
        let request = client.request("whoami").property("User", "root");
        tokio::time::timeout(Duration::from_secs(30), request.call())
    };
    assert_eq!(call(&ann).await.unwrap().unwrap().text(), "ann");
    let refused = call(&bob).await.unwrap().unwrap_err();
    assert_eq!(
        refused.to_string(),
        "403 forbidden: no rule lets bob call whoami"
    );
    assert!(refused.is_safe_to_repeat(), "nobody has begun with it");
    assert_eq!((refused.code(), refused.retry_after()), (Some(403), None));
    assert!(matches!(refused, CallError::Refused { .. }));
    worker.abort();
}
