//! Secrets stand in files, and nowhere else: not in help, logs, traces, nor among arguments.

use crate::house::{House, bound, key};
use crate::process::{Finished, Process};

const PASSWORD: &str = "tulip-of-1637";

/// Neither as it is written, nor in hex, nor as the bytes that it stands for.
fn hides(text: &str, secrets: &[String], whose: &str) {
    for secret in secrets {
        let hex: String = secret.bytes().map(|byte| format!("{byte:02x}")).collect();
        for form in [secret, &hex] {
            assert!(!text.contains(form), "{whose}: {text}");
        }
    }
}

/// The secret keys of these, as text and as bytes in hex.
fn secrets(house: &House, names: &[&str]) -> Vec<String> {
    let texts = names.iter().map(|name| {
        let file = house.text(&format!("{name}.key_secret"));
        key(&file, "secret-key")
    });
    texts.flat_map(|z85| [bytes(&z85), z85]).collect()
}

/// Z85 in hex.
fn bytes(z85: &str) -> String {
    let digits =
        "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-:+=^!/*?&<>()[]{}@%$#";
    let value = |group: &[u8]| {
        group.iter().fold(0u32, |sum, digit| {
            let digit = digits.find(char::from(*digit)).unwrap();
            sum * 85 + u32::try_from(digit).unwrap()
        })
    };
    let words = z85.as_bytes().chunks(5).map(value);
    words.map(|word| format!("{word:08x}")).collect()
}

/// What other users of the machine see of it.
fn visible(process: &Process) -> String {
    let file = |name| {
        let bytes = std::fs::read(format!("/proc/{}/{name}", process.id())).unwrap();
        String::from_utf8_lossy(&bytes).into_owned()
    };
    file("cmdline") + &file("environ")
}

fn all(ended: &Finished) -> String {
    format!("{}{}", ended.stdout, ended.stderr)
}

fn stop(mut process: Process) -> String {
    process.signal("TERM");
    all(&process.end())
}

#[test]
fn no_log_and_no_argument_shows_a_key() {
    let house = House::of(&["ann", "bob"]);
    house.keygen("eve");
    let door = house.broker(" --log trace");
    let worker = door.words("worker --log trace", "bob");
    let worker = house.start(&format!("{worker} --service upper -- tr a-z A-Z"));
    door.await_workers("ann", 1);
    let called = door.call("ann", "--log trace upper hello");
    assert_eq!(called.stdout, "HELLO\n");
    let refused = door.call("eve", "--log trace upper hello");
    assert_eq!(refused.code, Some(1), "{refused:?}");
    let secrets = secrets(&house, &["broker", "ann", "bob", "eve"]);
    hides(&visible(&door.process), &secrets, "the broker's arguments");
    hides(&visible(&worker), &secrets, "the worker's arguments");
    for text in [
        all(&called),
        all(&refused),
        stop(worker),
        stop(door.process),
    ] {
        hides(&text, &secrets, "a log");
    }
}

#[test]
fn no_trace_shows_a_password_or_a_sealed_word() {
    let house = House::of(&["ann"]);
    house.passwd("ann", PASSWORD);
    house.write("password", PASSWORD);
    let hash = house.text("users").trim_end().to_owned();
    let (_, hash) = hash.split_once(':').unwrap();
    let mut hidden = secrets(&house, &["broker", "ann"]);
    hidden.extend([PASSWORD.to_owned(), hash.to_owned()]);
    for (server, client, mechanism) in [
        (
            "--plain users",
            "--plain-user ann --plain-password-file password",
            "PLAIN",
        ),
        (
            "--curve-secret broker.key_secret --authorized-clients clients",
            "--curve-server-key broker.key --curve-secret ann.key_secret",
            "CURVE",
        ),
    ] {
        let told = "--trace --monitor --log trace";
        let rep = house.start(&format!(
            "cat rep --echo --bind tcp://127.0.0.1:0 {server} {told}"
        ));
        let endpoint = bound(&rep);
        let mut req = house.start(&format!("cat req --connect {endpoint} {client} {told}"));
        req.say("a-word-that-is-sealed");
        assert_eq!(req.line(), "a-word-that-is-sealed");
        hides(&visible(&req), &hidden, mechanism);
        hides(&visible(&rep), &hidden, mechanism);
        let (req, rep) = (req.finish().stderr, stop(rep));
        for told in [&req, &rep] {
            assert!(told.contains(mechanism) && told.contains("HELLO"), "{told}");
            hides(told, &hidden, mechanism);
        }
        if mechanism == "CURVE" {
            hides(&req, &["a-word-that-is-sealed".to_owned()], mechanism);
        }
    }
}

#[test]
fn no_help_has_a_place_for_a_secret_on_the_command_line() {
    let house = House::new();
    for command in [
        "broker", "worker", "call", "info", "cat", "keygen", "passwd",
    ] {
        let help = house.run(&format!("{command} --help")).stdout;
        for flag in help
            .split_whitespace()
            .filter(|word| word.starts_with("--"))
        {
            let flag = flag.trim_matches(|c: char| !c.is_alphanumeric());
            assert!(flag != "password" && flag != "secret-key", "{command}");
        }
    }
    // What somebody types there all the same is not said again.
    let typed = house.run("call --plain-user ann --plain-password tulip-of-1637 echo x");
    assert_eq!(typed.code, Some(2), "{typed:?}");
}
