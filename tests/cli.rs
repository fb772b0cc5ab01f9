//! The command line as users meet it.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test fails by panicking, and does not wait for ever"
)]

#[path = "support/process.rs"]
#[allow(dead_code, reason = "shared with other tests, which use the rest")]
mod process;
#[path = "support/raw.rs"]
#[allow(dead_code, reason = "shared with other tests, which use the rest")]
mod raw;

use std::io::Write;
use std::net::TcpListener;
use std::os::unix::fs::FileTypeExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use process::{Broker, Finished, Process, poll, scale0};
use raw::{Raw, S0};
use serde_json::Value;

fn run(command: &mut Command) -> Finished {
    Process::start(command).finish()
}

/// `scale0 call` with these arguments.
fn call(broker: &Broker, arguments: &[&str]) -> Finished {
    run(broker.scale0("call").args(arguments))
}

/// `scale0 worker` with these arguments.
fn worker(broker: &Broker, arguments: &[&str]) -> Process {
    Process::start(broker.scale0("worker").args(arguments))
}

/// A worker whose one service is a line of shell.
fn shell(broker: &Broker, service: &str, line: &str) -> Process {
    worker(broker, &["--service", service, "--", "sh", "-c", line])
}

/// `--check` of a settings file with this text.
fn check(text: &str, flags: &[&str]) -> Finished {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("scale0.toml");
    std::fs::write(&file, text).unwrap();
    let arguments = ["broker", "--check", "--config", file.to_str().unwrap()];
    run(scale0().args(arguments).args(flags))
}

#[test]
fn a_call_prints_each_part_of_the_reply_on_a_line_and_exits_with_0() {
    let broker = Broker::start(&[]);
    let _worker = worker(&broker, &["--service", "echo", "--echo"]);
    let call = call(&broker, &["echo", "hello"]);
    assert_eq!(
        (call.code, &*call.stdout, &*call.stderr),
        (Some(0), "hello\n", "")
    );
}

#[test]
fn bodies_and_commands_need_not_be_utf_8() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    let bytes = OsStr::from_bytes(b"\xff\xfe");
    let broker = Broker::start(&[]);
    // What comes on stdin, and what the command was started with.
    let line = "od -An -tx1; printf %s \"$1\" | od -An -tx1";
    let _worker = Process::start(
        broker
            .scale0("worker")
            .args(["--service", "hex", "--", "sh", "-c", line, "sh"])
            .arg(bytes),
    );
    let call = run(broker.scale0("call").arg("hex").arg(bytes));
    assert_eq!(call.stdout, " ff fe\n ff fe\n", "{call:?}");
}

#[test]
fn a_call_reads_its_body_from_stdin() {
    let broker = Broker::start(&[]);
    let _worker = worker(&broker, &["--service", "echo", "--echo"]);
    let mut call = Process::start(broker.scale0("call").args(["echo", "-"]));
    call.say("one");
    call.say("two");
    call.hush();
    assert_eq!([call.line(), call.line()], ["one", "two"]);
    assert_eq!(call.finish().code, Some(0));
}

#[test]
fn a_body_without_end_is_too_large_before_it_fills_the_memory() {
    let zeros = std::fs::File::open("/dev/zero").unwrap();
    let call = scale0().args(["call", "echo", "-"]).stdin(zeros).output();
    let call = call.unwrap();
    let stderr = String::from_utf8(call.stderr).unwrap();
    assert_eq!(call.status.code(), Some(2), "{stderr}");
    assert!(stderr.contains("16777216 bytes are allowed"), "{stderr}");
}

#[test]
fn a_call_that_failed_exits_with_1() {
    let broker = Broker::start(&[]);
    let _worker = shell(&broker, "fail", "echo sorry; exit 7");
    let call = call(&broker, &["fail"]);
    assert_eq!((call.code, &*call.stdout), (Some(1), ""));
    assert!(
        call.stderr.contains("500") && call.stderr.contains("sorry"),
        "{call:?}"
    );
    assert_eq!(call.stderr.lines().count(), 1, "{call:?}");
}

#[test]
fn what_cannot_be_meant_exits_with_2() {
    for arguments in [
        &[] as &[&str],
        &["nonsense"],
        &["call"],
        &["call", "echo", "--timeout", "soon"],
        &["call", "echo", "--timeout", "0s"],
        &["call", "echo", "--quiet"],
        &["call", "echo", "--priority", "0"],
        &["call", "echo", "--priority", "8"],
        &["info", "--timeout", "0ms"],
        &["call", "echo", "--connect", "nowhere"],
        &["call", "white space"],
        &["worker", "--service", "echo"],
        &["worker", "--echo"],
        &["worker", "--service", "echo", "--echo", "--", "cat"],
        &["worker", "--service", "echo", "--echo", "--capacity", "0"],
        &["worker", "--service", "echo", "--delay", "1s", "--", "cat"],
        &["worker", "--service", "s0.echo", "--echo"],
        &[
            "worker",
            "--service",
            "echo",
            "--echo",
            "--connect",
            "tcp://*:5555",
        ],
        &["call", "echo", "--connect", "tcp://127.0.0.1:0"],
        &["broker", "--heartbeat", "1ms"],
        &["broker", "--threads", "0"],
        &["broker", "--threads", "65"],
        &["broker", "--spin", "11ms"],
        &["broker", "--config", "/nonexistent/scale0.toml"],
    ] {
        let usage = run(scale0().args(arguments));
        assert_eq!(
            (usage.code, &*usage.stdout),
            (Some(2), ""),
            "{arguments:?}: {usage:?}"
        );
        assert!(!usage.stderr.is_empty(), "{arguments:?}");
    }
}

#[test]
fn a_call_without_an_answer_in_time_exits_with_3() {
    let broker = Broker::start(&[]);
    let _worker = worker(&broker, &["--service", "slow", "--echo", "--delay", "1h"]);
    // In the worker's hands, in the queue, and where no broker is.
    let late = call(&broker, &["slow", "x", "--timeout", "300ms"]);
    assert_eq!(late.code, Some(3), "{late:?}");
    assert!(late.stderr.contains("504"), "{late:?}");
    let _busy = Process::start(broker.scale0("call").args(["slow", "x"]));
    assert!(poll(|| (broker.info()["info"]["in_flight"] == 1).then_some(())).is_some());
    let late = call(&broker, &["slow", "x", "--timeout", "300ms"]);
    assert_eq!(late.code, Some(3), "{late:?}");
    assert!(late.stderr.contains("408"), "{late:?}");
    let nobody = [
        "call",
        "--connect",
        "ipc:///nonexistent/broker",
        "echo",
        "--timeout",
        "300ms",
    ];
    let call = run(scale0().args(nobody));
    assert_eq!(call.code, Some(3), "{call:?}");
    assert!(
        call.stderr.contains("not connected") && call.stderr.contains("No such file"),
        "{call:?}"
    );
    assert!(
        call.stderr.contains("\nscale0: no answer within 300ms: "),
        "{call:?}"
    );
}

#[test]
fn a_call_to_a_port_that_speaks_no_zeromq_says_so() {
    let call = |listener: &TcpListener, timeout: &str| {
        let endpoint = format!("tcp://{}", listener.local_addr().unwrap());
        let arguments = ["call", "--connect", &endpoint, "echo", "--timeout", timeout];
        (run(scale0().args(arguments)), endpoint)
    };
    // One that waits for the rest of the line, and one that answers in its own language.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let (late, endpoint) = call(&silent, "500ms");
    assert_eq!(late.code, Some(3), "{late:?}");
    let words = format!("{endpoint}: it takes connections, but does not answer as ZeroMQ does\n");
    assert!(late.stderr.ends_with(&words), "{late:?}");
    let web = TcpListener::bind("127.0.0.1:0").unwrap();
    let server = web.try_clone().unwrap();
    // Ends with this test's process.
    std::thread::spawn(move || {
        let mut kept = Vec::new();
        for stream in server.incoming() {
            let mut stream = stream.unwrap();
            let answer = b"HTTP/1.1 400 Bad Request\r\n\r\n";
            stream.write_all(answer).unwrap();
            kept.push(stream);
        }
    });
    let (late, endpoint) = call(&web, "1s");
    assert_eq!(late.code, Some(3), "{late:?}");
    let (warning, end) = late.stderr.split_once("\nscale0: ").unwrap();
    let why = "not ZMTP: the first byte is 0x48";
    assert!(warning.contains(why), "{late:?}");
    assert!(end.contains(&endpoint) && end.contains(why), "{late:?}");
}

#[test]
fn a_call_of_a_service_that_nobody_offers_exits_with_4() {
    let broker = Broker::with(&["--bind", "tcp://127.0.0.1:0", "--wait-for-worker", "100ms"]);
    let call = call(&broker, &["nothing", "x"]);
    assert_eq!(call.code, Some(4), "{call:?}");
    assert!(call.stderr.contains("404"), "{call:?}");
}

#[test]
fn a_call_goes_to_a_further_endpoint_if_the_first_cannot_be_reached() {
    let broker = Broker::start(&[]);
    let _worker = worker(&broker, &["--service", "echo", "--echo"]);
    let nobody = "ipc:///nonexistent/broker";
    let endpoints = ["call", "--connect", nobody, "--connect", &broker.endpoint];
    let call = run(scale0().args(endpoints).args(["echo", "hello"]));
    assert_eq!(call.stdout, "hello\n", "{call:?}");
}

#[test]
fn many_calls_are_counted_and_timed() {
    let broker = Broker::start(&[]);
    let _worker = worker(&broker, &["--service", "echo", "--echo", "--capacity", "4"]);
    let count = ["echo", "x", "--count", "500", "--concurrency", "8"];
    let report = call(&broker, &count);
    assert_eq!(report.code, Some(0), "{report:?}");
    assert!(report.stdout.starts_with("500 calls in "), "{report:?}");
    assert!(
        report.stdout.contains(" 0 failed\nlatency  p50 "),
        "{report:?}"
    );
    assert_eq!(broker.info()["info"]["counters"]["replies"], 500);
}

#[test]
fn a_command_gets_the_body_and_its_output_is_the_reply() {
    let broker = Broker::start(&[]);
    let _upper = worker(&broker, &["--service", "upper", "--", "tr", "a-z", "A-Z"]);
    assert_eq!(call(&broker, &["upper", "hello"]).stdout, "HELLO\n");
    let _env = shell(
        &broker,
        "env",
        "cat >/dev/null; echo $SCALE0_SERVICE $SCALE0_ATTEMPT",
    );
    assert_eq!(call(&broker, &["env"]).stdout, "env 1\n");
    // Not every command reads what it is given.
    let _deaf = shell(&broker, "deaf", "exec <&-; echo done");
    let mut large = Process::start(broker.scale0("call").args(["deaf", "-"]));
    large.say(&"x".repeat(1 << 20));
    assert_eq!(large.finish().stdout, "done\n");
    let _missing = worker(
        &broker,
        &["--service", "missing", "--", "/nonexistent/command"],
    );
    let missing = call(&broker, &["missing", "x"]);
    assert_eq!(missing.code, Some(1));
    assert!(missing.stderr.contains("cannot be started"), "{missing:?}");
}

#[test]
fn a_command_that_fails_without_a_word_is_said_to_have_failed_how() {
    let broker = Broker::start(&[]);
    for (service, line, how) in [
        ("code", "exit 7", "exit code 7"),
        ("signal", "kill -9 $$", "killed by signal 9"),
        ("both", "echo why; kill -15 $$", "why\nkilled by signal 15"),
    ] {
        let worker = shell(&broker, service, line);
        let call = call(&broker, &[service]);
        let expected = format!("scale0: the worker answered 500: {how}\n");
        assert_eq!((call.code, call.stderr), (Some(1), expected));
        let logged = worker.stderr_line("command failed");
        let last = how.lines().last().unwrap();
        assert!(logged.contains(last), "{logged}");
    }
}

#[test]
fn a_command_that_writes_too_much_before_it_reads_fails_at_once() {
    let broker = Broker::start(&[]);
    let _worker = shell(&broker, "flood", "exec cat /dev/zero");
    broker.await_workers(1);
    let body = "a".repeat(1 << 20);
    let mut command = broker.scale0("call");
    let mut process = Process::start(command.args(["--timeout", "20s", "flood", "-"]));
    process.say(&body);
    process.hush();
    let finished = process.finish();
    assert_eq!(finished.code, Some(1), "{finished:?}");
}

#[test]
fn a_command_is_killed_with_all_it_started_when_its_time_is_over() {
    let broker = Broker::start(&[]);
    let directory = tempfile::tempdir().unwrap();
    let (file, line) = endless(directory.path());
    let _worker = shell(&broker, "endless", &line);
    let mut call = broker.scale0("call");
    let call = Process::start(call.args(["endless", "x", "--timeout", "5s"]));
    let ids = started(&file);
    assert_eq!(call.finish().code, Some(3));
    are_gone(&ids);
}

#[test]
fn a_command_is_killed_with_all_it_started_when_its_task_is_cancelled() {
    let broker = Broker::start(&[]);
    let directory = tempfile::tempdir().unwrap();
    let (file, line) = endless(directory.path());
    let _worker = shell(&broker, "endless", &line);
    let call = Process::start(broker.scale0("call").args(["endless", "x"]));
    let ids = started(&file);
    // Its client's leaving is what a CANCEL is for a worker.
    call.signal("KILL");
    are_gone(&ids);
    assert_eq!(broker.info()["info"]["workers"], 1);
}

#[test]
fn a_command_is_killed_with_all_it_started_when_its_worker_must_end_at_once() {
    let broker = Broker::start(&[]);
    let directory = tempfile::tempdir().unwrap();
    let (file, line) = endless(directory.path());
    let worker = shell(&broker, "endless", &line);
    let _call = Process::start(broker.scale0("call").args(["endless", "x"]));
    let ids = started(&file);
    worker.signal("TERM");
    assert!(poll(|| (broker.info()["workers"][0]["state"] == "drained").then_some(())).is_some());
    assert!(
        ids.iter().all(|id| lives(id)),
        "the first signal lets it finish"
    );
    worker.signal("TERM");
    assert_eq!(worker.finish().code, Some(1));
    are_gone(&ids);
}

/// A shell line that writes its own process id and its child's to a file and never ends.
fn endless(directory: &Path) -> (std::path::PathBuf, String) {
    let file = directory.join("ids");
    let line = format!(
        "sleep 1000 & echo $$ $! > {0}.new; mv {0}.new {0}; wait",
        file.display()
    );
    (file, line)
}

fn started(file: &Path) -> Vec<String> {
    let ids = poll(|| std::fs::read_to_string(file).ok()).unwrap();
    ids.split_whitespace().map(str::to_owned).collect()
}

fn lives(id: &str) -> bool {
    // A zombie is dead: its parent has not asked yet.
    std::fs::read_to_string(format!("/proc/{id}/stat")).is_ok_and(|stat| !stat.contains(") Z "))
}

fn are_gone(ids: &[String]) {
    assert_eq!(ids.len(), 2);
    let gone = || ids.iter().all(|id| !lives(id));
    assert!(poll(|| gone().then_some(())).is_some(), "{ids:?} live");
}

#[test]
fn a_worker_finishes_what_it_has_when_it_is_stopped() {
    let broker = Broker::start(&[]);
    let directory = tempfile::tempdir().unwrap();
    let gate = directory.path().join("gate");
    let worker = shell(&broker, "wait", &wait_for(&gate));
    let call = Process::start(broker.scale0("call").args(["wait", "x"]));
    assert!(poll(|| (broker.info()["info"]["in_flight"] == 1).then_some(())).is_some());
    worker.signal("TERM");
    assert!(poll(|| (broker.info()["workers"][0]["state"] == "drained").then_some(())).is_some());
    std::fs::write(gate, "").unwrap();
    assert_eq!(call.finish().stdout, "x\n");
    assert_eq!(worker.finish().code, Some(0));
    broker.await_workers(0);
}

/// A line of shell that echoes as soon as a file is there.
fn wait_for(gate: &Path) -> String {
    format!("until [ -e {} ]; do sleep 0.05; done; cat", gate.display())
}

#[test]
fn good_settings_pass_the_check() {
    let good = check(
        "bind = [\"tcp://127.0.0.1:0\", \"tcp://127.0.0.1:0\", \"ipc:///run/a\"]\nmax-bytes = \"2GiB\"",
        &[],
    );
    assert_eq!(good.code, Some(0), "{good:?}");
    let all = "the settings are good; the broker would listen on tcp://127.0.0.1:0 tcp://127.0.0.1:0 ipc:///run/a\n";
    assert_eq!(good.stdout, all);
}

#[test]
fn bad_settings_are_named_with_their_line_and_what_is_allowed() {
    for (text, words) in [
        (
            "name = \"x\"\nwait-for-workers = \"2s\"",
            ["line 2", "wait-for-worker"],
        ),
        ("default-ttl = \"soon\"", ["line 1", "500ms, 2s, 1m or 1h"]),
        ("\n\nheartbeat = \"1h\"", ["line 3", "100ms to 60s"]),
        ("max-frame = \"16 apples\"", ["line 1", "64KiB"]),
        ("max-attempts = 0", ["line 1", "1 to 65535"]),
        ("bind = \"tcp://127.0.0.1\"", ["line 1", "port"]),
        ("log = \"loud\"", ["line 1", "debug"]),
        ("default-ttl = \"0s\"", ["line 1", "1ms is the least"]),
        ("max-ttl = \"0ms\"", ["line 1", "1ms is the least"]),
        (
            "max-message = \"1KiB\"\nmax-frame = \"2KiB\"",
            ["max-frame is 2KiB", "max-message only 1KiB"],
        ),
        (
            "max-frame = \"32MiB\"",
            ["max-frame is 32MiB", "max-message only 16MiB"],
        ),
        (
            "bind = [\"tcp://127.0.0.1:1\", \"tcp://127.0.0.1:1\"]",
            ["tcp://127.0.0.1:1", "twice"],
        ),
        ("name = ", ["line 1", "scale0.toml"]),
    ] {
        let bad = check(text, &[]);
        assert_eq!((bad.code, &*bad.stdout), (Some(2), ""), "{text}: {bad:?}");
        assert!(
            words.iter().all(|word| bad.stderr.contains(word)),
            "{text}: {}",
            bad.stderr
        );
    }
}

#[test]
fn flags_go_before_the_file() {
    let file = "bind = \"tcp://127.0.0.1:1\"";
    assert!(check(file, &[]).stdout.contains("tcp://127.0.0.1:1\n"));
    let both = check(file, &["--bind", "tcp://127.0.0.1:2"]);
    assert!(
        both.stdout.ends_with(" listen on tcp://127.0.0.1:2\n"),
        "{both:?}"
    );
}

#[test]
fn a_file_alone_runs_a_broker() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("scale0.toml");
    let text = "bind = \"tcp://127.0.0.1:0\"\nwait-for-worker = \"50ms\"\nlog-format = \"json\"\n";
    std::fs::write(&file, text).unwrap();
    let broker = Broker::with(&["--config", file.to_str().unwrap()]);
    assert_eq!(call(&broker, &["nothing"]).code, Some(4));
}

#[test]
fn the_bound_line_has_the_real_port() {
    let broker = Broker::start(&[]);
    let port: u16 = broker
        .endpoint
        .strip_prefix("tcp://127.0.0.1:")
        .unwrap()
        .parse()
        .unwrap();
    assert_ne!(port, 0);
    assert_eq!(broker.info()["info"]["connections"], 1);
    broker.process.signal("TERM");
    let finished = broker.process.finish();
    assert!(!finished.stderr.contains("warning"), "{finished:?}");
    assert_eq!(finished.stdout, "");
}

#[test]
fn a_broker_that_others_can_reach_says_so() {
    let broker = Broker::with(&["--bind", "tcp://*:0"]);
    assert!(
        broker.endpoint.starts_with("tcp://0.0.0.0:"),
        "{}",
        broker.endpoint
    );
    let warning = broker.process.stderr_line("warning");
    assert!(warning.contains("other machines"), "{warning}");
}

#[test]
fn a_port_in_use_is_one_clear_sentence() {
    let broker = Broker::start(&[]);
    let second = run(scale0().args(["broker", "--bind", &broker.endpoint]));
    assert_eq!(second.code, Some(1));
    let sentence = format!(
        "scale0: {} is in use by another process: stop it or bind another endpoint\n",
        broker.endpoint
    );
    assert_eq!(second.stderr, sentence);
}

#[test]
fn an_endpoint_that_cannot_be_bound_is_named_with_what_to_change() {
    for (endpoint, advice) in [
        ("ipc:///nonexistent/broker", "create the directory first"),
        ("ipc:///dev/null/broker", "create the directory first"),
        // For documentation (RFC 5737): no machine has it.
        ("tcp://192.0.2.1:5555", "an address that this machine has"),
    ] {
        let failed = run(scale0().args(["broker", "--bind", endpoint]));
        assert_eq!(failed.code, Some(1), "{failed:?}");
        assert_eq!(failed.stderr.lines().count(), 1, "{failed:?}");
        for words in [endpoint, advice] {
            assert!(failed.stderr.contains(words), "{words}: {failed:?}");
        }
    }
}

#[test]
fn a_dead_brokers_ipc_socket_is_replaced_and_a_living_ones_is_not() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("broker");
    let endpoint = format!("ipc://{}", path.display());
    let first = Broker::with(&["--bind", &endpoint]);
    let refused = run(scale0().args(["broker", "--bind", &endpoint]));
    assert_eq!(refused.code, Some(1));
    assert!(
        refused.stderr.contains("in use by another process"),
        "{refused:?}"
    );
    assert_eq!(first.info()["info"]["workers"], 0);
    first.process.signal("KILL");
    first.process.finish();
    assert!(path.metadata().unwrap().file_type().is_socket());
    let second = Broker::with(&["--bind", &endpoint]);
    assert_eq!(second.info()["info"]["workers"], 0);
    // It takes its socket along when it ends.
    second.process.signal("TERM");
    assert_eq!(second.process.finish().code, Some(0));
    assert!(!path.exists());
    // What is no socket is nobody's to remove.
    std::fs::write(&path, "precious").unwrap();
    let refused = run(scale0().args(["broker", "--bind", &endpoint]));
    assert_eq!(refused.code, Some(1));
    assert!(refused.stderr.contains("no socket"), "{refused:?}");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "precious");
}

#[test]
fn a_stopped_broker_finishes_what_it_has_and_refuses_the_rest() {
    let broker = Broker::start(&[]);
    let directory = tempfile::tempdir().unwrap();
    let gate = directory.path().join("gate");
    let worker = shell(&broker, "wait", &wait_for(&gate));
    let first = Process::start(broker.scale0("call").args(["wait", "in flight"]));
    assert!(poll(|| (broker.info()["info"]["in_flight"] == 1).then_some(())).is_some());
    let second = Process::start(broker.scale0("call").args(["wait", "queued"]));
    assert!(poll(|| (broker.info()["info"]["queued"] == 1).then_some(())).is_some());
    broker.process.signal("TERM");
    broker.process.stderr_line("draining");
    let refused = call(&broker, &["wait", "new"]);
    assert_eq!(refused.code, Some(1));
    assert!(
        refused.stderr.contains("503") && refused.stderr.contains("draining"),
        "{refused:?}"
    );
    std::fs::write(gate, "").unwrap();
    assert_eq!(first.finish().stdout, "in flight\n");
    assert_eq!(second.finish().stdout, "queued\n");
    assert_eq!(broker.process.finish().code, Some(0));
    drop(worker);
}

#[test]
fn a_broker_says_how_many_tasks_its_drain_timeout_has_cost() {
    let broker = Broker::start(&["--drain-timeout", "200ms"]);
    let _worker = worker(&broker, &["--service", "slow", "--echo", "--delay", "1h"]);
    let calls = [(); 2].map(|()| Process::start(broker.scale0("call").args(["slow", "x"])));
    let there = || (broker.info()["info"]["open"] == 2).then_some(());
    assert!(poll(there).is_some());
    broker.process.signal("TERM");
    let finished = broker.process.finish();
    assert_eq!(finished.code, Some(0), "{finished:?}");
    let warnings: Vec<_> = (finished.stderr.lines())
        .filter(|line| line.contains("WARN"))
        .collect();
    assert_eq!(warnings.len(), 1, "{finished:?}");
    assert!(warnings[0].contains("tasks=2"), "{finished:?}");
    for call in calls {
        assert_eq!(call.finish().code, Some(1));
    }
}

#[test]
fn a_broker_that_looks_on_before_it_sleeps_answers_as_ever_and_ends() {
    let broker = Broker::start(&["--spin", "10ms"]);
    let _worker = worker(&broker, &["--service", "echo", "--echo"]);
    let count = ["echo", "x", "--count", "500", "--concurrency", "2"];
    let called = run(broker.scale0("call").args(count));
    assert_eq!(called.code, Some(0), "{called:?}");
    assert_eq!(broker.info()["info"]["open"], 0);
    broker.process.signal("TERM");
    assert_eq!(broker.process.finish().code, Some(0));
}

#[test]
fn a_second_signal_ends_the_broker_at_once() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("broker");
    let broker = Broker::with(&["--bind", &format!("ipc://{}", path.display())]);
    let _worker = worker(&broker, &["--service", "slow", "--echo", "--delay", "1h"]);
    let _call = Process::start(broker.scale0("call").args(["slow", "x"]));
    assert!(poll(|| (broker.info()["info"]["in_flight"] == 1).then_some(())).is_some());
    broker.process.signal("TERM");
    broker.process.stderr_line("draining");
    broker.process.signal("INT");
    assert_eq!(broker.process.finish().code, Some(1));
    assert!(!path.exists());
}

#[test]
fn info_prints_tables_for_people_and_json_for_machines() {
    let broker = Broker::start(&[]);
    let named = [
        "--service",
        "echo",
        "--echo",
        "--name",
        "Ada",
        "--capacity",
        "3",
    ];
    let _worker = worker(&broker, &named);
    assert_eq!(call(&broker, &["echo", "x"]).code, Some(0));
    let tables = run(&mut broker.scale0("info"));
    for word in [
        "SERVICES", "WORKERS", "QUEUES", "COUNTERS", "echo", "Ada", "S0/1",
    ] {
        assert!(tables.stdout.contains(word), "{word}: {}", tables.stdout);
    }
    let info = broker.info();
    let keys = |value: &Value| {
        value
            .as_object()
            .unwrap()
            .keys()
            .cloned()
            .collect::<Vec<_>>()
    };
    assert_eq!(keys(&info), ["info", "queues", "services", "workers"]);
    for key in [
        "version",
        "uptime_ms",
        "connections",
        "workers",
        "services",
        "queued",
        "in_flight",
    ] {
        assert!(info["info"].get(key).is_some(), "{key}: {info}");
    }
    let service = &info["services"][0];
    assert_eq!(
        (&service["name"], &service["done"]),
        (&"echo".into(), &1.into()),
        "{info}"
    );
    assert_eq!(
        (&service["workers"], &service["queued"]),
        (&1.into(), &0.into()),
        "{info}"
    );
    let worker = &info["workers"][0];
    assert_eq!(
        (&worker["name"], &worker["capacity"]),
        (&"Ada".into(), &3.into()),
        "{info}"
    );
    assert_eq!(
        (&worker["state"], &worker["in_flight"]),
        (&"ready".into(), &0.into()),
        "{info}"
    );
    assert_eq!(info["queues"]["queues"][0]["service"], "echo", "{info}");
    assert_eq!(info["info"]["counters"]["replies"], 1, "{info}");
}

#[test]
fn info_without_a_broker_exits_with_3() {
    let nobody = [
        "info",
        "--connect",
        "ipc:///nonexistent/broker",
        "--timeout",
        "200ms",
    ];
    let info = run(scale0().args(nobody));
    assert_eq!((info.code, &*info.stdout), (Some(3), ""), "{info:?}");
}

#[test]
fn a_json_log_has_one_object_a_line() {
    let broker = Broker::start(&["--log-format", "json"]);
    let _worker = worker(&broker, &["--service", "echo", "--echo"]);
    let joined = broker.process.stderr_line("worker joined");
    let joined: Value = serde_json::from_str(&joined).unwrap();
    assert_eq!(joined["level"], "INFO", "{joined}");
    assert_eq!(joined["dialect"], "S0/1", "{joined}");
    assert_eq!(joined["services"], "echo", "{joined}");
    broker.process.signal("TERM");
    let log = broker.process.finish().stderr;
    for line in log.lines().filter(|line| !line.starts_with("bound ")) {
        assert!(
            serde_json::from_str::<Value>(line).is_ok_and(|line| line.is_object()),
            "{line}"
        );
    }
}

#[test]
fn the_log_says_which_worker_was_lost() {
    let broker = Broker::start(&[]);
    let worker = worker(&broker, &["--service", "echo", "--echo"]);
    let joined = broker.process.stderr_line("worker joined");
    let peer = joined.split(' ').find(|word| word.starts_with("peer="));
    worker.signal("KILL");
    let left = broker.process.stderr_line("worker left");
    assert!(left.contains(peer.unwrap()), "{joined}\n{left}");
}

#[test]
fn a_quiet_log_is_quiet() {
    let broker = Broker::start(&["--log", "off"]);
    let _worker = worker(&broker, &["--service", "echo", "--echo"]);
    broker.await_workers(1);
    broker.process.signal("TERM");
    let bound = format!("bound {}\n", broker.endpoint);
    assert_eq!(broker.process.finish().stderr, bound);
}

#[test]
fn version_completions_and_man_page_are_printed() {
    let version = run(scale0().arg("--version"));
    assert_eq!(
        version.stdout,
        concat!("scale0 ", env!("CARGO_PKG_VERSION"), "\n")
    );
    for (shell, word) in [
        ("bash", "complete -F _scale0"),
        ("zsh", "#compdef scale0"),
        ("fish", "complete -c scale0"),
    ] {
        let script = run(scale0().args(["completions", shell]));
        assert_eq!(script.code, Some(0));
        assert!(script.stdout.contains(word), "{shell}: {}", script.stdout);
        assert!(script.stdout.contains("drain-timeout"), "{shell}");
    }
    let page = run(scale0().arg("man"));
    assert!(page.stdout.contains(".TH scale0 1"), "{}", page.stdout);
    let directory = tempfile::tempdir().unwrap();
    let out = directory.path().join("man");
    assert_eq!(
        run(scale0().args(["man", "--out", out.to_str().unwrap()])).code,
        Some(0)
    );
    for page in [
        "scale0.1",
        "scale0-broker.1",
        "scale0-worker.1",
        "scale0-call.1",
    ] {
        assert!(out.join(page).exists(), "{page}");
    }
}

#[test]
fn man_pages_that_cannot_be_written_name_the_path() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let path = file.path().to_str().unwrap();
    let failed = run(scale0().args(["man", "--out", path]));
    assert_eq!(failed.code, Some(1), "{failed:?}");
    assert!(failed.stderr.contains(path), "{failed:?}");
}

#[test]
fn a_reader_that_has_gone_ends_a_command_without_a_word() {
    let broker = Broker::start(&[]);
    let _worker = worker(&broker, &["--service", "echo", "--echo"]);
    let at: &[&str] = &["--connect", &broker.endpoint];
    for (command, connect, arguments) in [
        ("info", at, &[] as &[&str]),
        ("info", at, &["--json"]),
        ("call", at, &["echo", "x"]),
        ("call", at, &["echo", "x", "--count", "3"]),
        ("man", &[], &[]),
        ("completions", &[], &["bash"]),
        ("broker", &[], &["--check"]),
        ("help", &[], &["broker"]),
    ] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let output = scale0()
            .arg(command)
            .args(connect)
            .args(arguments)
            .stdout(writer)
            .stderr(Stdio::piped())
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(
            (output.status.code(), &*said),
            (Some(0), ""),
            "{command} {arguments:?}"
        );
    }
}

#[test]
fn a_broker_goes_on_when_nobody_reads_its_log_any_more() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("broker");
    let endpoint = format!("ipc://{}", path.display());
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut broker = scale0()
        .args(["broker", "--bind", &endpoint, "--log", "debug"])
        .stderr(writer)
        .spawn()
        .unwrap();
    let at = ["--connect", &endpoint];
    let worker = ["worker", "--service", "echo", "--echo"];
    let _worker = Process::start(scale0().args(worker).args(at));
    let call = run(scale0().arg("call").args(at).args(["echo", "hello"]));
    let ended = broker.try_wait().unwrap();
    broker.kill().unwrap();
    broker.wait().unwrap();
    assert_eq!((&*call.stdout, ended), ("hello\n", None), "{call:?}");
}

#[test]
fn an_operator_sets_how_a_services_workers_are_chosen() {
    let broker = Broker::start(&[]);
    let offered = ["--service", "echo", "--echo", "--attribute", "policy=least"];
    let _worker = worker(&broker, &offered);
    broker.await_workers(1);
    let policy = || broker.info()["services"][0]["policy"].clone();
    assert_eq!(policy(), "least");
    let set = run(broker.scale0("set").args(["echo", "policy=p2c", "ttl=2s"]));
    let holds: Value = serde_json::from_str(&set.stdout).unwrap();
    assert_eq!(
        (set.code, &holds["policy"]),
        (Some(0), &"p2c".into()),
        "{set:?}"
    );
    assert_eq!((policy(), &holds["ttl_ms"]), ("p2c".into(), &2000.into()));
    let set = run(broker.scale0("set").args(["echo", "policy=-"]));
    assert_eq!((set.code, policy()), (Some(0), "least".into()), "{set:?}");
    let wrong = run(broker.scale0("set").args(["echo", "policy=best"]));
    assert_eq!(wrong.code, Some(2), "{wrong:?}");
    assert!(
        wrong.stderr.contains("lru, least, weighted, hash, p2c"),
        "{wrong:?}"
    );
    let nothing = run(broker.scale0("set").arg("echo"));
    assert_eq!(nothing.code, Some(2), "{nothing:?}");
}

#[test]
fn a_command_may_refuse_a_task_so_that_another_worker_does_it() {
    let broker = Broker::start(&[]);
    let service = ["--service", "job", "--name", "busy", "--refuse-code", "75"];
    let _busy = worker(
        &broker,
        &[&service[..], &["--", "sh", "-c", "exit 75"]].concat(),
    );
    broker.await_workers(1);
    let _able = shell(&broker, "job", "echo done");
    broker.await_workers(2);
    for _ in 0..2 {
        let done = call(&broker, &["job"]);
        assert_eq!((done.code, &*done.stdout), (Some(0), "done\n"), "{done:?}");
    }
    let refused = broker.info()["info"]["counters"]["refused"].clone();
    assert!(refused.as_u64() >= Some(1), "{refused}");
}

#[test]
fn an_attribute_that_no_broker_takes_is_a_usage_error() {
    let offer = ["worker", "--service", "echo", "--echo", "--attribute"];
    for (attribute, says) in [
        (
            "weight=0",
            "service echo: attribute weight=0 is out of range: 1 to 10000",
        ),
        ("policy=best", "lru, least, weighted, hash, p2c"),
        ("ttl=0s", "1ms is the least"),
        ("polcy=lru", "`polcy` is no attribute: use one of "),
        ("weight=1;max=2", "one by one"),
    ] {
        let usage = run(scale0().args(offer).arg(attribute));
        assert_eq!((usage.code, &*usage.stdout), (Some(2), ""), "{usage:?}");
        assert!(usage.stderr.contains(says), "{usage:?}");
    }
    let twice = ["version=2", "--service", "echo@2"];
    let twice = run(scale0().args(offer).args(twice));
    assert_eq!(twice.code, Some(2), "{twice:?}");
}

#[test]
fn an_offer_that_the_broker_does_not_take_is_logged_by_the_worker() {
    let broker = Broker::start(&["--max-services-per-worker", "1"]);
    let worker = worker(&broker, &["--service", "echo", "one-more", "--echo"]);
    let line = worker.stderr_line("one-more");
    assert!(line.contains("limit 1"), "{line}");
}

#[test]
fn a_call_says_how_urgent_it_is_and_by_what_key_to_choose_a_worker() {
    let broker = Broker::start(&[]);
    let address = broker.endpoint.trim_start_matches("tcp://");
    let mut worker = Raw::open(address.parse().unwrap()).unwrap();
    worker.send(&[&raw::connect(100), b"job"]).unwrap();
    let mut task = || loop {
        let parts = worker.recv(Duration::from_secs(50)).unwrap();
        let header = S0::read(&parts[0]);
        if header.command == raw::TASK {
            // Its priority, whether it is one-way, and what stands behind the name.
            let properties = parts[0][20 + header.name.len()..].to_vec();
            return (header.flags >> 5, header.flags & 4 != 0, properties);
        }
    };
    let key = b"\x03Key\0\0\0\x05green";
    let urgent = ["--oneway", "--priority", "7", "--key", "green", "job", "x"];
    for (further, tasks) in [
        (&[] as &[&str], 1),
        (&["--quiet"], 1),
        (&["--quiet", "--count", "3"], 3),
    ] {
        let done = call(&broker, &[&urgent, further].concat());
        assert_eq!(done.code, Some(0), "{done:?}");
        for _ in 0..tasks {
            let (priority, oneway, properties) = task();
            assert_eq!((priority, oneway), (7, true), "{further:?}");
            assert!(properties.ends_with(key), "{properties:?}");
        }
    }
    // A receipt is only given to whoever asks for one.
    assert_eq!(broker.info()["info"]["counters"]["receipts"], 1);
    let _waits = Process::start(broker.scale0("call").args(["job", "x"]));
    let (priority, oneway, properties) = task();
    assert_eq!((priority, oneway), (4, false));
    assert!(!properties.ends_with(key), "{properties:?}");
}

#[test]
fn a_quiet_call_ends_when_all_of_its_task_is_written() {
    let broker = Broker::start(&[]);
    let _worker = worker(&broker, &["--service", "echo", "--echo"]);
    broker.await_workers(1);
    // More than the system takes at once.
    let mut call = broker.scale0("call");
    let mut call = Process::start(call.args(["--oneway", "--quiet", "echo", "-"]));
    call.say(&"x".repeat(12 << 20));
    assert_eq!(call.finish().code, Some(0));
    let done = || (broker.info()["info"]["counters"]["oneway_done"] == 1).then_some(());
    assert!(poll(done).is_some(), "{}", broker.info());
}
