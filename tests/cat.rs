//! `scale0 cat` as users meet it: every rule, between real processes.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test fails by panicking, and says what it leaves out"
)]

#[allow(dead_code, reason = "other tests start other peers")]
#[path = "support/peers.rs"]
mod peers;
#[allow(dead_code, reason = "other tests start brokers")]
#[path = "support/process.rs"]
mod process;

use std::io::Write;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use peers::Python;
use process::{Finished, Process, poll, scale0};
use tempfile::TempDir;

/// `scale0 cat` with these arguments.
fn cat(arguments: &[&str]) -> Process {
    Process::start(scale0().arg("cat").args(arguments))
}

/// One that binds to a free port, with further arguments; and where.
fn bind(kind: &str, arguments: &[&str]) -> (Process, String) {
    let process = cat(&[&[kind, "--bind", "tcp://127.0.0.1:0"], arguments].concat());
    let endpoint = bound(&process);
    (process, endpoint)
}

/// One that connects, with further arguments.
fn connect(kind: &str, endpoint: &str, arguments: &[&str]) -> Process {
    cat(&[&[kind, "--connect", endpoint], arguments].concat())
}

fn bound(process: &Process) -> String {
    let line = process.stderr_line("bound ");
    line.strip_prefix("bound ").unwrap().to_owned()
}

/// What a run to its end comes to, with this on stdin.
fn run(arguments: &[&str], input: &str) -> Finished {
    let mut process = cat(arguments);
    for line in input.lines() {
        process.say(line);
    }
    process.finish()
}

/// A usage error in one sentence: exit code 2, with this in it.
fn refused(arguments: &[&str], sentence: &str) {
    let ended = run(arguments, "");
    assert_eq!(ended.code, Some(2), "{arguments:?}: {ended:?}");
    assert!(ended.stderr.contains(sentence), "{arguments:?}: {ended:?}");
    assert_eq!(ended.stdout, "");
}

/// It has ended with exit code 0 and without a word on stderr but where it was bound.
fn quietly(ended: &Finished) {
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let mut words = ended
        .stderr
        .lines()
        .filter(|line| !line.starts_with("bound "));
    assert_eq!(words.next(), None, "{ended:?}");
}

/// A directory for ipc sockets, and one in it.
fn ipc() -> (TempDir, String) {
    let directory = tempfile::tempdir().unwrap();
    let endpoint = format!("ipc://{}/s", directory.path().display());
    (directory, endpoint)
}

#[test]
fn what_push_reads_pull_prints() {
    let (mut pull, endpoint) = bind("pull", &[]);
    let mut push = connect("PUSH", &endpoint, &[]);
    for line in ["hello", "", "grüße  ", "[\"a\"]"] {
        push.say(line);
        assert_eq!(pull.line(), line);
    }
    quietly(&push.finish());
}

#[test]
fn what_pub_reads_sub_prints_if_it_begins_with_a_topic() {
    let (mut publisher, endpoint) = bind("pub", &["--trace"]);
    let arguments = ["--subscribe", "a", "b", "--subscribe", "c", "--count", "3"];
    let mut sub = connect("sub", &endpoint, &arguments);
    publisher.stderr_line("topic \"c\"");
    for line in ["a1", "x", "b1", "", "c1", "a2"] {
        publisher.say(line);
    }
    assert_eq!([sub.line(), sub.line(), sub.line()], ["a1", "b1", "c1"]);
    quietly(&sub.finish());
}

#[test]
fn an_empty_topic_is_everything_and_no_topic_is_told_of() {
    let (mut publisher, endpoint) = bind("pub", &["--trace"]);
    let mut all = connect("sub", &endpoint, &["--subscribe", ""]);
    publisher.stderr_line("topic \"\"");
    publisher.say("");
    publisher.say("anything");
    assert_eq!([all.line(), all.line()], ["", "anything"]);
    let none = connect("sub", &endpoint, &[]);
    none.stderr_line("--subscribe");
}

#[test]
fn xpub_prints_subscriptions_and_xsub_takes_them() {
    let (mut xpub, endpoint) = bind("xpub", &[]);
    let mut xsub = connect("xsub", &endpoint, &[]);
    xsub.say("01news");
    assert_eq!(xpub.line(), "01news");
    xpub.say("news of today");
    xpub.say("other");
    xpub.say("news of tomorrow");
    assert_eq!(
        [xsub.line(), xsub.line()],
        ["news of today", "news of tomorrow"]
    );
    xsub.say("00news");
    assert_eq!(xpub.line(), "00news");
    let _sub = connect("sub", &endpoint, &["--subscribe", ""]);
    assert_eq!(xpub.line(), "01");
}

#[test]
fn subscriptions_are_their_bytes_in_json() {
    let (mut xpub, endpoint) = bind("xpub", &["--json"]);
    let mut xsub = connect("xsub", &endpoint, &["--json"]);
    xsub.say(r#"[{"hex":"01ff"}]"#);
    assert_eq!(xpub.line(), r#"[{"hex":"01ff"}]"#);
    xsub.say(r#"[{"hex":"0161"}]"#);
    assert_eq!(xpub.line(), r#"[{"hex":"0161"}]"#);
}

#[test]
fn req_and_rep_alternate() {
    let (mut rep, endpoint) = bind("rep", &[]);
    let mut req = connect("req", &endpoint, &[]);
    req.say("first");
    req.say("second");
    assert_eq!(rep.line(), "first");
    rep.say("1st");
    assert_eq!(req.line(), "1st");
    assert_eq!(rep.line(), "second");
    rep.say("2nd");
    assert_eq!(req.line(), "2nd");
    // There is no answer to wait for.
    quietly(&req.finish());
}

#[test]
fn req_waits_for_its_last_answer_when_stdin_has_ended() {
    let (mut rep, endpoint) = bind("rep", &[]);
    let mut req = connect("req", &endpoint, &[]);
    req.say("question");
    req.hush();
    assert_eq!(rep.line(), "question");
    rep.say("answer");
    assert_eq!(req.line(), "answer");
    quietly(&req.finish());
}

#[test]
fn rep_answers_the_last_request_it_counts() {
    let (mut rep, endpoint) = bind("rep", &["--count", "1"]);
    let mut req = connect("req", &endpoint, &["--count", "1"]);
    req.say("question");
    assert_eq!(rep.line(), "question");
    rep.say("answer");
    assert_eq!(req.line(), "answer");
    quietly(&rep.finish());
    quietly(&req.finish());
}

#[test]
fn pair_and_dealer_talk_both_ways_at_once() {
    for kind in ["pair", "dealer"] {
        let (mut one, endpoint) = bind(kind, &[]);
        let mut other = connect(kind, &endpoint, &[]);
        other.say("to one");
        assert_eq!(one.line(), "to one");
        one.say("to other");
        one.say("to other again");
        assert_eq!([other.line(), other.line()], ["to other", "to other again"]);
        other.say("and back");
        assert_eq!(one.line(), "and back");
    }
}

#[test]
fn a_router_prints_and_takes_routing_ids() {
    let (mut router, endpoint) = bind("router", &[]);
    let mut dealer = connect("dealer", &endpoint, &["--identity", "me"]);
    dealer.say("hello");
    assert_eq!(router.line(), "me\thello");
    router.say("me\tgood day");
    assert_eq!(dealer.line(), "good day");
    router.say("me\tone\t\tthree");
    assert_eq!(dealer.line(), "one\t\tthree");
}

#[test]
fn a_router_takes_automatic_ids_as_it_prints_them() {
    let (mut router, endpoint) = bind("router", &[]);
    let mut req = connect("req", &endpoint, &[]);
    req.say("hello");
    let line = router.line();
    let (id, rest) = line.split_once('\t').unwrap();
    assert_eq!((id.len(), rest), (10, "\thello"));
    assert!(id.starts_with("00"), "{id}");
    router.say(&format!("{id}\t\tgood day"));
    assert_eq!(req.line(), "good day");
}

#[test]
fn a_routing_id_that_reads_like_hex_is_a_text_first() {
    let (mut router, endpoint) = bind("router", &[]);
    let mut dealer = connect("dealer", &endpoint, &["--identity", "c1"]);
    dealer.say("hello");
    assert_eq!(router.line(), "c1\thello");
    router.say("c1\tgood day");
    assert_eq!(dealer.line(), "good day");
}

#[test]
fn what_a_router_cannot_route_is_noted_and_it_goes_on() {
    let (mut router, endpoint) = bind("router", &[]);
    let mut dealer = connect("dealer", &endpoint, &["--identity", "me"]);
    dealer.say("hello");
    assert_eq!(router.line(), "me\thello");
    router.say("nobody\thello");
    router.stderr_line("line 1: no peer has the routing id `nobody`");
    router.say("me\tgood day");
    assert_eq!(dealer.line(), "good day");
}

#[test]
fn json_has_every_frame_in_both_directions() {
    let (mut pull, endpoint) = bind("pull", &["--json"]);
    let mut push = connect("push", &endpoint, &["--json"]);
    for line in [
        r#"["hello"]"#,
        r#"[""]"#,
        r#"["a","",{"hex":"00ff"},"grüße \"\\"]"#,
    ] {
        push.say(line);
        assert_eq!(pull.line(), line);
    }
    push.say(r#"[{"hex":"6162"}]"#);
    assert_eq!(pull.line(), r#"["ab"]"#);
}

#[test]
fn text_is_printed_in_hex_where_it_is_not_printable() {
    let (mut pull, endpoint) = bind("pull", &[]);
    let mut push = connect("push", &endpoint, &["--json"]);
    push.say(r#"["head",{"hex":"00ff"},"a\tb"]"#);
    assert_eq!(pull.line(), "head\t00ff\t610962");
}

#[test]
fn a_line_that_is_no_message_is_told_by_number_and_the_next_one_sent() {
    let (mut pull, endpoint) = bind("pull", &["--json"]);
    let input = "[\"one\"]\nhello\n[\"two\"]\n[]\n";
    let push = run(&["push", "--connect", &endpoint, "--json"], input);
    assert_eq!(push.code, Some(1), "{push:?}");
    assert!(push.stderr.contains("line 2: this is no JSON"), "{push:?}");
    assert!(
        push.stderr
            .contains("line 4: a message has at least one frame"),
        "{push:?}"
    );
    assert_eq!([pull.line(), pull.line()], [r#"["one"]"#, r#"["two"]"#]);
}

#[test]
fn each_port_that_listens_is_told_in_a_line_of_its_own() {
    let (_directory, file) = ipc();
    let pull = cat(&[
        "pull",
        "--bind",
        "tcp://127.0.0.1:0",
        &file,
        "--bind",
        "tcp://127.0.0.1:*",
    ]);
    pull.stderr_line(&format!("bound {file}"));
    pull.signal("TERM");
    let ended = pull.finish();
    quietly(&ended);
    let bound: Vec<_> = ended.stderr.lines().collect();
    assert_eq!(bound.len(), 3, "{bound:?}");
    for line in [bound[0], bound[2]] {
        let port = line.strip_prefix("bound tcp://127.0.0.1:").unwrap();
        assert_ne!(port.parse::<u16>().unwrap(), 0);
    }
}

#[test]
fn several_endpoints_are_connected_to() {
    let (mut one, first) = bind("pull", &[]);
    let (mut two, second) = bind("pull", &[]);
    let mut push = cat(&["push", "--connect", &first, &second]);
    push.say("a");
    push.say("b");
    let mut lines = [one.line(), two.line()];
    lines.sort();
    assert_eq!(lines, ["a", "b"]);
}

#[test]
fn it_connects_before_there_is_something_to_connect_to() {
    let (_directory, endpoint) = ipc();
    let mut push = connect("push", &endpoint, &[]);
    push.say("early");
    let mut pull = cat(&["pull", "--bind", &endpoint]);
    assert_eq!(pull.line(), "early");
}

#[test]
fn count_is_of_sent_messages_for_those_that_send() {
    let (mut pull, endpoint) = bind("pull", &[]);
    let mut push = connect("push", &endpoint, &["--count", "2"]);
    push.say("a");
    push.say("b");
    assert_eq!([pull.line(), pull.line()], ["a", "b"]);
    quietly(&push.end());
    for kind in ["pub", "xpub"] {
        let (mut process, _) = bind(kind, &["--count", "1"]);
        process.say("a");
        quietly(&process.end());
    }
}

#[test]
fn count_is_of_received_messages_for_those_that_receive() {
    let (mut push, endpoint) = bind("push", &[]);
    let mut pull = connect("pull", &endpoint, &["--count", "2"]);
    push.say("a");
    push.say("b");
    assert_eq!([pull.line(), pull.line()], ["a", "b"]);
    quietly(&pull.end());

    let (mut router, endpoint) = bind("router", &["--count", "2"]);
    let mut dealer = connect("dealer", &endpoint, &["--identity", "me"]);
    dealer.say("a");
    assert_eq!(router.line(), "me\ta");
    for _ in 0..3 {
        router.say("me\tx");
        assert_eq!(dealer.line(), "x");
    }
    dealer.say("b");
    assert_eq!(router.line(), "me\tb");
    quietly(&router.end());

    let (mut xpub, endpoint) = bind("xpub", &[]);
    let mut xsub = connect("xsub", &endpoint, &["--subscribe", "a", "--count", "1"]);
    assert_eq!(xpub.line(), "01a");
    xsub.say("01b");
    assert_eq!(xpub.line(), "01b");
    xpub.say("b1");
    assert_eq!(xsub.line(), "b1");
    quietly(&xsub.end());
}

#[test]
fn count_is_of_sent_or_received_messages_for_dealer_and_pair() {
    for kind in ["dealer", "pair"] {
        let (mut one, endpoint) = bind(kind, &["--count", "2"]);
        let mut other = connect(kind, &endpoint, &["--count", "2"]);
        other.say("a");
        assert_eq!(one.line(), "a");
        one.say("b");
        assert_eq!(other.line(), "b");
        // Two received, two sent; one each was not enough.
        other.say("c");
        assert_eq!(one.line(), "c");
        quietly(&one.end());
        quietly(&other.end());
    }
}

#[test]
fn echo_answers_what_arrives_with_itself_and_counts_its_answers() {
    for kind in ["rep", "dealer", "router"] {
        let (mut echo, endpoint) = bind(kind, &["--echo", "--count", "2"]);
        let mut req = connect(
            if kind == "dealer" { "dealer" } else { "req" },
            &endpoint,
            &[],
        );
        for line in ["hello", "again"] {
            req.say(line);
            assert_eq!(req.line(), line, "{kind}");
        }
        let first = echo.line();
        assert!(first.ends_with("hello"), "{first}");
        quietly(&echo.end());
    }
    let (mut echo, endpoint) = bind("pair", &["--echo", "--json"]);
    let mut pair = connect("pair", &endpoint, &["--json"]);
    pair.say(r#"["a",{"hex":"00"}]"#);
    assert_eq!(pair.line(), r#"["a",{"hex":"00"}]"#);
    assert_eq!(echo.line(), r#"["a",{"hex":"00"}]"#);
}

#[test]
fn timeout_bounds_the_whole_run_with_exit_code_3() {
    let pull = run(
        &["pull", "--bind", "tcp://127.0.0.1:0", "--timeout", "100ms"],
        "",
    );
    assert_eq!((pull.code, &*pull.stdout), (Some(3), ""));
    assert!(
        pull.stderr.ends_with("scale0: not done within 100ms\n"),
        "{pull:?}"
    );
    // A queue that never empties, too.
    let (_directory, endpoint) = ipc();
    let push = run(
        &["push", "--connect", &endpoint, "--timeout", "100ms"],
        "a\n",
    );
    assert_eq!(push.code, Some(3), "{push:?}");
    // It is for the run, not for each message.
    let (mut push, endpoint) = bind("push", &[]);
    push.say("a");
    let pull = run(&["pull", "--connect", &endpoint, "--timeout", "1s"], "");
    assert_eq!((pull.code, &*pull.stdout), (Some(3), "a\n"));
}

#[test]
fn at_the_end_of_stdin_what_only_sends_flushes_and_ends() {
    let (_directory, endpoint) = ipc();
    let mut push = connect("push", &endpoint, &[]);
    for line in ["a", "b", "c"] {
        push.say(line);
    }
    push.hush();
    let mut pull = cat(&["pull", "--bind", &endpoint]);
    assert_eq!([pull.line(), pull.line(), pull.line()], ["a", "b", "c"]);
    quietly(&push.finish());
    quietly(&run(&["pub", "--connect", &endpoint], "a\n"));
}

#[test]
fn what_could_not_be_sent_within_linger_is_a_failure() {
    let (_directory, endpoint) = ipc();
    let linger = ["push", "--connect", &endpoint, "--option", "linger=50"];
    let push = run(&linger, "a\nb\n");
    assert_eq!(push.code, Some(1), "{push:?}");
    assert!(
        push.stderr.starts_with("scale0: ") && push.stderr.lines().count() == 1,
        "{push:?}"
    );
}

#[test]
fn at_the_end_of_stdin_the_others_keep_receiving() {
    for (kind, peer) in [("dealer", "dealer"), ("pair", "pair"), ("router", "dealer")] {
        let (mut process, endpoint) = bind(kind, &["--json"]);
        process.hush();
        let mut peer = connect(peer, &endpoint, &["--identity", "me"]);
        for text in ["a", "b"] {
            peer.say(text);
            assert!(process.line().ends_with(&format!("\"{text}\"]")), "{kind}");
        }
    }
    let (mut xpub, endpoint) = bind("xpub", &[]);
    xpub.hush();
    let mut xsub = connect("xsub", &endpoint, &["--subscribe", "a"]);
    assert_eq!(xpub.line(), "01a");
    xsub.hush();
    drop(xpub);
    let mut publisher = cat(&["xpub", "--bind", &endpoint]);
    assert_eq!(publisher.line(), "01a");
    publisher.say("a1");
    assert_eq!(xsub.line(), "a1");
}

/// A process of which nobody reads stdout, with a pipe of ours as its stdin. Killed when dropped.
struct Stalled(Child);

impl Drop for Stalled {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Stalled {
    fn start(arguments: &[&str]) -> Self {
        let mut command = scale0();
        command.arg("cat").args(arguments);
        let piped = command.stdin(Stdio::piped()).stdout(Stdio::piped());
        Self(piped.stderr(Stdio::null()).spawn().unwrap())
    }

    /// Feeds it as many lines on a thread of its own. Whether all were taken.
    fn feed(&mut self, lines: usize) -> Arc<AtomicBool> {
        let taken = Arc::new(AtomicBool::new(false));
        let (mut stdin, done) = (self.0.stdin.take().unwrap(), Arc::clone(&taken));
        std::thread::spawn(move || {
            let line = [&[b'x'; 1023][..], b"\n"].concat();
            // Whoever is killed takes no more.
            if (0..lines).all(|_| stdin.write_all(&line).is_ok()) {
                done.store(true, Ordering::SeqCst);
            }
        });
        taken
    }

    /// It sleeps: all that it will read of stdin now, it has read.
    fn sleeps(&self) -> bool {
        let ticks = || {
            let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.0.id())).unwrap();
            let fields: Vec<_> = stat
                .rsplit(") ")
                .next()
                .unwrap()
                .split(' ')
                .map(str::to_owned)
                .collect();
            (fields[0].clone(), fields[11].clone(), fields[12].clone())
        };
        let mut last = ticks();
        let mut same = 0;
        poll(|| {
            let now = ticks();
            same = if now == last && now.0 == "S" {
                same + 1
            } else {
                0
            };
            last = now;
            (same > 20).then_some(())
        })
        .is_some()
    }
}

#[test]
fn no_line_of_stdin_is_read_that_cannot_be_queued() {
    let (_directory, endpoint) = ipc();
    for kind in ["push", "dealer"] {
        let options = ["--option", "sndhwm=10", "--option", "reconnect_ivl=200"];
        let mut push = Stalled::start(&[&[kind, "--connect", &endpoint], &options[..]].concat());
        let taken = push.feed(2000);
        assert!(push.sleeps());
        assert!(!taken.load(Ordering::SeqCst), "{kind}");
        let (sink, count) = (if kind == "push" { "pull" } else { "dealer" }, "2000");
        let mut sink = cat(&[sink, "--bind", &endpoint, "--count", count]);
        let ended = sink.end();
        assert_eq!(ended.stdout.lines().count(), 2000);
        assert!(ended.stdout.lines().all(|line| line.len() == 1023));
    }
}

#[test]
fn no_message_is_read_while_stdout_is_full() {
    let (_directory, endpoint) = ipc();
    let small = ["--option", "rcvhwm=10", "--option", "sndhwm=10"];
    let pull = Stalled::start(&[&["pull", "--bind", &endpoint], &small[..]].concat());
    let mut push = Stalled::start(&[&["push", "--connect", &endpoint], &small[..]].concat());
    let taken = push.feed(16_384);
    assert!(push.sleeps() && pull.sleeps());
    assert!(!taken.load(Ordering::SeqCst));
}

#[test]
fn a_reader_that_has_gone_ends_it_quietly() {
    let (_directory, endpoint) = ipc();
    let mut push = Stalled::start(&["push", "--bind", &endpoint]);
    push.feed(usize::MAX);
    let mut pull = Command::new("sh");
    pull.args([
        "-c",
        "\"$0\" cat pull --connect \"$1\" | head -n 1; echo ended",
    ]);
    let mut pull = Process::start(pull.arg(scale0().get_program()).arg(&endpoint));
    assert_eq!(pull.line().len(), 1023);
    assert_eq!(pull.line(), "ended");
    quietly(&pull.finish());
}

#[test]
fn a_signal_ends_it_with_a_flush() {
    for signal in ["TERM", "INT"] {
        let (_directory, endpoint) = ipc();
        let mut push = connect("push", &endpoint, &["--monitor"]);
        push.say("a");
        // By the time it tries again, the line is in the queue.
        push.stderr_line("monitor: ");
        push.say("b");
        push.signal(signal);
        let mut pull = cat(&["pull", "--bind", &endpoint]);
        assert_eq!(pull.line(), "a");
        assert_eq!(push.end().code, Some(0));
        pull.signal(signal);
        quietly(&pull.end());
    }
}

#[test]
fn a_second_signal_ends_it_at_once() {
    let (_directory, endpoint) = ipc();
    let mut push = connect("push", &endpoint, &["--count", "1", "--monitor"]);
    push.say("a");
    // Before it is at work, a signal would just end the process.
    push.stderr_line("monitor: ");
    // Some of them may come as one.
    for _ in 0..20 {
        push.signal("TERM");
    }
    let push = push.finish();
    assert!(matches!(push.code, Some(0 | 1)), "{push:?}");
}

#[test]
fn usage_errors_exit_with_2_and_a_clear_sentence() {
    let at = ["--bind", "ipc:///nowhere/at/all"];
    refused(
        &["stream", at[0], at[1]],
        "possible values: REQ, REP, DEALER",
    );
    refused(&["pull"], "--bind");
    refused(&["pull", "--bind", "127.0.0.1:5"], "is no endpoint");
    refused(&["pull", at[0], at[1], "--subscribe", "a"], "SUB and XSUB");
    refused(&["pub", at[0], at[1], "--echo"], "does not answer");
    refused(&["pull", at[0], at[1], "--count", "0"], "--count");
    refused(&["pull", at[0], at[1], "--timeout", "soon"], "no duration");
    refused(&["pull", at[0], at[1], "--option", "sndhwm"], "sndhwm=10");
    refused(&["pull", at[0], at[1], "--option", "sendhwm=1"], "sendhwm");
    refused(&["pull", at[0], at[1], "--option", "sndhwm=many"], "many");
    let bind = run(&["pull", at[0], at[1]], "");
    assert_eq!((bind.code, &*bind.stdout), (Some(1), ""), "{bind:?}");
    assert_eq!(bind.stderr.lines().count(), 1, "{bind:?}");
}

#[test]
fn options_have_libzmqs_names_and_values() {
    let options = [
        "sndhwm=1",
        "rcvhwm=1",
        "linger=10",
        "maxmsgsize=100",
        "heartbeat_ivl=1000",
        "reconnect_ivl=10",
        "reconnect_ivl_max=100",
        "immediate=1",
    ];
    let options: Vec<_> = options
        .iter()
        .flat_map(|option| ["--option", option])
        .collect();
    let (mut pull, endpoint) = bind("pull", &options);
    let mut push = connect("push", &endpoint, &[]);
    push.say("short");
    assert_eq!(pull.line(), "short");
    let (mut router, endpoint) = bind("router", &["--option", "router_mandatory=0"]);
    router.say("nobody\thello");
    let mut dealer = connect("dealer", &endpoint, &["--identity", "me"]);
    dealer.say("a");
    assert_eq!(router.line(), "me\ta");
    router.say("me\tb");
    assert_eq!(dealer.line(), "b");
    router.signal("TERM");
    quietly(&router.finish());
}

#[test]
fn monitor_tells_events_and_nothing_else_changes() {
    let (mut pull, endpoint) = bind("pull", &["--monitor"]);
    let mut push = connect("push", &endpoint, &["--monitor", "--count", "1"]);
    push.say("a");
    assert_eq!(pull.line(), "a");
    pull.stderr_line("monitor: ");
    let push = push.finish();
    assert_eq!((push.code, &*push.stdout), (Some(0), ""));
    let events = push.stderr.lines();
    assert!(
        events.clone().count() > 0
            && push
                .stderr
                .lines()
                .all(|line| line.starts_with("monitor: ")),
        "{push:?}"
    );
}

#[test]
fn trace_explains_the_handshake_and_all_traffic() {
    let (mut pull, endpoint) = bind("pull", &["--trace"]);
    let mut push = connect("push", &endpoint, &["--count", "1"]);
    push.say("hello");
    assert_eq!(pull.line(), "hello");
    for line in [
        "in  greeting: ZMTP 3.1 | 0301",
        "out greeting: mechanism NULL | ",
        "in  command READY, ",
        "in    Socket-Type = \"PUSH\" | 0b 536f636b65742d54797065 ",
        "out   Socket-Type = \"PULL\" | ",
        "in  last part, 5 bytes: \"hello\" | 0005 68656c6c6f",
    ] {
        let line = pull.stderr_line(line);
        assert!(line.starts_with("trace: "), "{line}");
    }
    quietly(&push.finish());
}

#[test]
fn heartbeats_are_seen_in_the_trace() {
    let arguments = ["--trace", "--option", "heartbeat_ivl=20"];
    let (pair, endpoint) = bind("pair", &arguments);
    let _other = connect("pair", &endpoint, &[]);
    pair.stderr_line("out command PING, 7 bytes");
    pair.stderr_line("in  command PONG, 5 bytes");
}

#[test]
fn binary_routing_ids_and_topics_of_libzmq_come_and_go_in_hex() {
    let Some(python) = Python::find() else {
        return;
    };
    let (mut router, endpoint) = bind("router", &[]);
    let mut dealer = python.start("identity.py", &[&endpoint]);
    assert_eq!(router.line(), "01ff\thello");
    router.say("01ff\tgood day");
    assert_eq!(dealer.line(), "good day");
}
