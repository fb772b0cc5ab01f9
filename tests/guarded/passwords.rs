//! PLAIN: users in a file, and passwords that do not leave the machine unless that is asked for.

use std::fs;
use std::time::Duration;

use crate::house::{Door, House, bound, one_sentence, within};
use crate::process::{Finished, Process, poll};

/// With users ann and bob, whose passwords lie in files of their names.
fn house() -> House {
    let house = House::new();
    for (user, password) in [("ann", "tulip of 1637"), ("bob", "a spade, a rake")] {
        house.passwd(user, password);
        house.write(user, &format!("{password}\n"));
    }
    house
}

/// The words of a command for a user whose password is in this file.
fn words(door: &Door, command: &str, user: &str, file: &str) -> String {
    let endpoint = &door.endpoint;
    format!("{command} --connect {endpoint} --plain-user {user} --plain-password-file {file}")
}

fn call(house: &House, door: &Door, user: &str, file: &str) -> Finished {
    let call = words(door, "call --timeout 50s", user, file);
    house.run(&format!("{call} upper hello"))
}

fn worker(house: &House, door: &Door, user: &str) -> Process {
    let worker = words(door, "worker", user, user);
    house.start(&format!("{worker} --service upper -- tr a-z A-Z"))
}

#[test]
fn users_with_their_passwords_come_in_and_nobody_else() {
    let house = house();
    let door = house.door("--plain users");
    let _worker = worker(&house, &door, "bob");
    assert_eq!(call(&house, &door, "ann", "ann").stdout, "HELLO\n");
    // A wrong password and an unknown user are told the same, to the byte.
    let wrong = call(&house, &door, "ann", "bob");
    one_sentence(&wrong, 1, &["does not let us in: 400"]);
    let unknown = call(&house, &door, "eve", "bob");
    assert_eq!((wrong.code, wrong.stderr), (unknown.code, unknown.stderr));
}

#[test]
fn another_password_and_a_line_that_is_gone_cut_off_who_came_in_by_them() {
    let house = house();
    let door = house.door("--plain users");
    let worker = worker(&house, &door, "bob");
    let info = words(&door, "info --json", "ann", "ann");
    let workers = || {
        let info = house.run(&info);
        let info: serde_json::Value = serde_json::from_str(&info.stdout).unwrap();
        info["info"]["workers"].as_u64().unwrap()
    };
    let there = |number| poll(|| (workers() == number).then_some(()));
    assert!(there(1).is_some());
    within(Duration::from_secs(10), || {
        house.passwd("bob", "a hoe");
        assert!(there(0).is_some());
    });
    assert!(worker.stderr_line("refused").contains("400"));
    house.write("bob", "a hoe\n");
    let _again = self::worker(&house, &door, "bob");
    assert!(there(1).is_some());
    let left: String = house
        .text("users")
        .lines()
        .filter(|line| !line.starts_with("bob:"))
        .map(|line| format!("{line}\n"))
        .collect();
    fs::write(house.path("users"), left).unwrap();
    assert!(there(0).is_some());
}

#[test]
fn passwords_are_not_taken_from_other_machines_unless_that_is_allowed() {
    let house = house();
    house.write("loose.toml", "bind = \"tcp://*:0\"\nplain = \"users\"\n");
    for words in [
        "broker --bind tcp://0.0.0.0:0 --plain users",
        "broker --bind tcp://127.0.0.1:0 tcp://[::]:0 --plain users",
        "broker --bind tcp://*:0 --plain users --check",
        "broker --config loose.toml",
        "broker --config loose.toml --check",
        "cat pull --bind tcp://0.0.0.0:0 --plain users",
    ] {
        let sentence = ["other machines", "in the clear", "allow-plain-remote"];
        one_sentence(&house.run(words), 2, &sentence);
    }
    for words in [
        "broker --bind tcp://0.0.0.0:0 --plain users --allow-plain-remote",
        "broker --config loose.toml --allow-plain-remote",
        "cat pull --bind tcp://0.0.0.0:0 --plain users --allow-plain-remote",
    ] {
        bound(&house.start(words));
    }
    house.write(
        "remote.toml",
        "bind = \"tcp://*:0\"\nplain = \"users\"\nallow-plain-remote = true\n",
    );
    assert_eq!(
        house.run("broker --check --config remote.toml").code,
        Some(0)
    );
    let ipc = format!("ipc://{}", house.path("socket").display());
    let local =
        format!("broker --check --plain users --bind {ipc} tcp://127.1.2.3:0 tcp://[::1]:0");
    assert_eq!(house.run(&local).code, Some(0));
}

#[test]
fn a_file_of_users_must_be_one_before_anybody_is_served() {
    let house = house();
    house.write("hosts", "127.0.0.1 localhost\n");
    for (file, sentence) in [
        ("hosts", "hosts line 1: not `user:hash`"),
        ("nowhere", "nowhere cannot be read"),
    ] {
        for check in ["", " --check"] {
            let words = format!("broker --bind tcp://127.0.0.1:0 --plain {file}{check}");
            one_sentence(&house.run(&words), 2, &[sentence]);
        }
    }
}
