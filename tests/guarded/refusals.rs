//! What contradicts itself is refused in one sentence, as flags and as keys of a file; and who is
//! open to strangers is told so.

use std::process::Command;

use crate::house::{House, bound, one_sentence};
use crate::process::{Finished, Process};

/// Ends with exit code 2, says these words, and listens nowhere.
fn refused(ended: &Finished, words: &[&str]) {
    assert_eq!((ended.code, &*ended.stdout), (Some(2), ""), "{ended:?}");
    assert!(!ended.stderr.contains("bound "), "{ended:?}");
    for word in words {
        assert!(ended.stderr.contains(word), "no `{word}`: {ended:?}");
    }
}

#[test]
fn a_broker_with_half_a_security_or_two_does_not_start() {
    let house = House::of(&["ann"]);
    house.passwd("ann", "secret");
    house.write("garbled", "metadata\ncurve\n");
    let cases: [(&[(&str, &str)], &str); 8] = [
        (
            &[("curve-secret", "broker.key_secret")],
            "curve-secret needs authorized-clients",
        ),
        (
            &[("authorized-clients", "clients")],
            "authorized-clients needs curve-secret",
        ),
        (
            &[("plain", "users"), ("curve-secret", "broker.key_secret")],
            "two mechanisms: choose one",
        ),
        (
            &[
                ("plain", "users"),
                ("curve-secret", "broker.key_secret"),
                ("authorized-clients", "clients"),
            ],
            "two mechanisms: choose one",
        ),
        (
            &[("plain", "users"), ("authorized-clients", "clients")],
            "two mechanisms: choose one",
        ),
        (
            &[
                ("curve-secret", "nowhere"),
                ("authorized-clients", "clients"),
            ],
            "nowhere",
        ),
        (
            &[
                ("curve-secret", "garbled"),
                ("authorized-clients", "clients"),
            ],
            "garbled",
        ),
        (
            // The public half alone makes no server.
            &[
                ("curve-secret", "broker.key"),
                ("authorized-clients", "clients"),
            ],
            "broker.key",
        ),
    ];
    for (settings, sentence) in cases {
        let flags: String = settings
            .iter()
            .map(|(name, value)| format!(" --{name} {value}"))
            .collect();
        let keys: String = settings
            .iter()
            .map(|(name, value)| format!("{name} = \"{value}\"\n"))
            .collect();
        house.write("scale0.toml", &keys);
        for words in [
            format!("broker --bind tcp://127.0.0.1:0{flags}"),
            format!("broker --check{flags}"),
            "broker --bind tcp://127.0.0.1:0 --config scale0.toml".to_owned(),
            "broker --check --config scale0.toml".to_owned(),
        ] {
            one_sentence(&house.run(&words), 2, &[sentence]);
        }
    }
}

#[test]
fn the_keys_of_the_settings_file_do_what_the_flags_do() {
    let house = House::of(&["ann"]);
    house.keygen("eve");
    house.write(
        "scale0.toml",
        "bind = \"tcp://127.0.0.1:0\"\ncurve-secret = \"broker.key_secret\"\nauthorized-clients = \"clients\"\n",
    );
    let checked = house.run("broker --check --config scale0.toml");
    assert_eq!(checked.code, Some(0), "{checked:?}");
    let broker = house.start("broker --config scale0.toml");
    let endpoint = bound(&broker);
    let info = |user| {
        house.run(&format!(
            "info --connect {endpoint} --curve-server-key broker.key --curve-secret {user}.key_secret"
        ))
    };
    assert_eq!(info("ann").code, Some(0));
    one_sentence(&info("eve"), 1, &["400"]);
}

#[test]
fn a_client_with_half_a_security_or_two_says_so() {
    let house = House::of(&["ann"]);
    house.write("password", "secret\n");
    house.write("empty", "");
    let server = "--curve-server-key broker.key";
    let plain = "--plain-user ann --plain-password-file password";
    for command in ["call", "info", "worker", "cat"] {
        let (command, rest) = match command {
            "call" => ("call", "echo x"),
            "worker" => ("worker --service echo", "--echo"),
            "cat" => ("cat push --connect tcp://127.0.0.1:1", ""),
            other => (other, ""),
        };
        for (flags, sentence) in [
            ("--curve-secret ann.key_secret", "--curve-server-key"),
            ("--curve-server-key nowhere", "nowhere"),
            (
                "--curve-server-key broker.key --curve-secret nowhere",
                "nowhere",
            ),
            (
                "--curve-server-key broker.key --curve-secret ann.key",
                "ann.key",
            ),
            ("--plain-user ann", "--plain-password-file"),
            ("--plain-password-file password", "--plain-user"),
            ("--plain-user ann --plain-password-file empty", "empty"),
            ("--plain-user ann --plain-password-file nowhere", "nowhere"),
            (&*format!("{server} {plain}"), "cannot be used with"),
        ] {
            let words = format!("{command} {flags} {rest}");
            refused(&house.run(words.trim()), &[sentence]);
        }
    }
    let cat = "cat pull --bind tcp://127.0.0.1:0";
    for (flags, sentence) in [
        ("--authorized-clients clients", "--curve-secret"),
        ("--curve-secret broker.key_secret", "--curve-server-key"),
        ("--allow-plain-remote", "--plain"),
    ] {
        refused(&house.run(&format!("{cat} {flags}")), &[sentence]);
    }
}

#[test]
fn a_key_may_be_typed_whatever_it_begins_with() {
    let house = House::of(&["ann"]);
    let door = house.broker("");
    let server = crate::house::key(&house.text("broker.key"), "public-key");
    let own = "--curve-secret ann.key_secret";
    let endpoint = &door.endpoint;
    for word in [
        vec!["--curve-server-key".to_owned(), server.clone()],
        vec![format!("--curve-server-key={server}")],
    ] {
        let mut info = house.scale0(&format!("info --connect {endpoint} {own}"));
        let ended = Process::start(info.args(word)).finish();
        assert_eq!(ended.code, Some(0), "{ended:?}");
    }
    // A minus is a character of Z85; this is a key, though nobody's.
    let minus = format!("-{}", "0".repeat(39));
    let words = format!("info --connect {endpoint} --timeout 500ms --curve-server-key {minus}");
    let ended = house.run(&words);
    assert_eq!(ended.code, Some(3), "{ended:?}");
}

#[test]
fn who_is_open_to_other_machines_without_security_is_told_so_once() {
    let house = House::of(&["ann"]);
    house.passwd("ann", "secret");
    let started = |words: &str| {
        let broker = house.start(words);
        bound(&broker);
        stopped(broker)
    };
    const WARNING: &str = "there is no security";
    let open = started("broker --bind tcp://0.0.0.0:0 tcp://127.0.0.1:0");
    assert_eq!(open.stderr.matches(WARNING).count(), 1, "{open:?}");
    let open = started("cat pull --bind tcp://0.0.0.0:0");
    assert_eq!(open.stderr.matches(WARNING).count(), 1, "{open:?}");
    let curve = "--curve-secret broker.key_secret --authorized-clients clients";
    for words in [
        "broker --bind tcp://127.0.0.1:0",
        &format!("broker --bind tcp://0.0.0.0:0 {curve}"),
        &format!("cat pull --bind tcp://0.0.0.0:0 {curve}"),
        "broker --bind tcp://0.0.0.0:0 --plain users --allow-plain-remote",
    ] {
        let quiet = started(words);
        assert!(!quiet.stderr.contains("warning"), "{quiet:?}");
        assert!(!quiet.stderr.contains("WARN"), "{quiet:?}");
    }
}

/// It ends well when it is told to stop.
fn stopped(mut process: Process) -> Finished {
    process.signal("TERM");
    let ended = process.end();
    assert_eq!(ended.code, Some(0), "{ended:?}");
    ended
}

#[test]
fn the_help_names_every_flag_of_security() {
    let server = [
        "--curve-secret",
        "--authorized-clients",
        "--plain",
        "--allow-plain-remote",
    ];
    let client = [
        "--curve-server-key",
        "--curve-secret",
        "--plain-user",
        "--plain-password-file",
    ];
    for (command, flags) in [
        ("broker", &[&server[..], &["--access"]].concat()),
        ("cat", &[server, client].concat()),
        ("worker", &client.to_vec()),
        ("call", &client.to_vec()),
        ("info", &client.to_vec()),
    ] {
        let help = Process::start(Command::new(env!("CARGO_BIN_EXE_scale0")).args([command, "-h"]));
        let help = help.finish().stdout;
        for flag in flags {
            assert!(help.contains(flag), "{command} {flag}: {help}");
        }
    }
}
