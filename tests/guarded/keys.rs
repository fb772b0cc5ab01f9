//! CURVE: the five commands, and who comes in when keys come and go.

use std::fs;
use std::time::Duration;

use crate::house::{House, bound, one_sentence, within};
use crate::process::{Process, poll};

#[test]
fn the_five_commands_of_the_operators_page_work_as_they_stand_there() {
    let page = include_str!("../../spec/operating-security.md");
    let blocks = page.split("```sh\n").skip(1);
    let mut lines = blocks
        .take(2)
        .flat_map(|block| block.split("```").next().unwrap().lines());
    let mut next = || lines.next().unwrap().split('#').next().unwrap().trim();
    let house = House::new();
    let shell = |line: &str, endpoint: &str| {
        let mut sh = std::process::Command::new("sh");
        let line = line.replace("tcp://0.0.0.0:5555", "tcp://127.0.0.1:0");
        let line = line.replace("tcp://host:5555", endpoint);
        let line = match line.strip_prefix("scale0 ") {
            // In the place of the shell, so that its end is the program's.
            Some(rest) => format!("exec \"$0\" {rest}"),
            None => line,
        };
        sh.args(["-c", &line, env!("CARGO_BIN_EXE_scale0")]);
        Process::start(sh.current_dir(house.path("")))
    };
    for _ in 0..4 {
        let done = shell(next(), "").finish();
        assert_eq!(done.code, Some(0), "{done:?}");
    }
    let broker = shell(next(), "");
    let endpoint = bound(&broker);
    let _worker = shell(next(), &endpoint);
    // The broker waits two seconds for a service that is just coming.
    let call = next();
    let called = poll(|| {
        let called = shell(call, &endpoint).finish();
        (called.code != Some(4)).then_some(called)
    });
    let called = called.unwrap();
    assert_eq!((called.code, &*called.stdout), (Some(0), "HELLO\n"));
    assert_eq!(
        lines.next(),
        None,
        "there are five commands, and two of users"
    );
}

#[test]
fn a_stranger_is_told_in_one_sentence_long_before_its_time_is_up() {
    let house = House::of(&["ann"]);
    house.keygen("eve");
    let door = house.broker("");
    for command in ["call --timeout 50s echo x", "info --timeout 50s"] {
        let words = door.words(command.split(' ').next().unwrap(), "eve");
        let rest = command.split_once(' ').unwrap().1;
        let ended = within(Duration::from_secs(30), || {
            house.run(&format!("{words} {rest}"))
        });
        one_sentence(&ended, 1, &[&door.endpoint, "does not let us in", "400"]);
    }
    // The same for a key that is made for this run only.
    let words = format!(
        "call --connect {} --curve-server-key broker.key echo x",
        door.endpoint
    );
    one_sentence(&house.run(&words), 1, &["does not let us in: 400"]);
    assert_eq!(door.info("ann")["info"]["workers"], 0);
}

#[test]
fn a_strange_worker_is_told_and_works_as_soon_as_its_key_is_there() {
    let house = House::of(&["ann"]);
    house.keygen("bob");
    let door = house.broker("");
    let worker = door.worker("bob", "upper");
    let told = worker.stderr_line("not connected, trying again");
    assert!(told.contains("400"), "{told}");
    house.admit("bob");
    door.await_workers("ann", 1);
    assert_eq!(door.call("ann", "upper hello").stdout, "HELLO\n");
    assert_eq!(door.info("ann")["workers"][0]["services"][0], "upper");
}

#[test]
fn who_does_not_speak_to_the_server_it_means_gets_nowhere_and_is_told_why() {
    let house = House::of(&["ann"]);
    house.keygen("other");
    let door = house.broker("");
    let ann = format!(
        "call --connect {} --curve-secret ann.key_secret --timeout 2s echo x",
        door.endpoint
    );
    let wrong = house.run(&format!("{ann} --curve-server-key other.key"));
    assert_eq!(wrong.code, Some(3), "{wrong:?}");
    let last = wrong.stderr.lines().last().unwrap();
    assert!(last.contains("its key is another"), "{wrong:?}");
    // And without any security, or with another mechanism.
    let plain = format!("call --connect {} --timeout 2s echo x", door.endpoint);
    let none = house.run(&plain);
    assert_eq!(none.code, Some(3), "{none:?}");
    assert!(none.stderr.contains("CURVE"), "{none:?}");
}

#[test]
fn a_key_that_is_removed_cuts_a_worker_off_within_five_seconds() {
    let house = House::of(&["ann", "bob"]);
    let door = house.broker("");
    let worker = door.worker("bob", "upper");
    door.await_workers("ann", 1);
    within(Duration::from_secs(5), || {
        house.revoke("bob");
        door.await_workers("ann", 0);
    });
    // It comes back, is refused, and says so.
    let told = worker.stderr_line("refused");
    assert!(told.contains("400"), "{told}");
    assert_eq!(door.info("ann")["info"]["workers"], 0);
    house.admit("bob");
    door.await_workers("ann", 1);
}

#[test]
fn another_key_under_the_old_name_takes_the_place_of_the_first() {
    let house = House::of(&["ann", "bob"]);
    let door = house.broker("");
    let _old = door.worker("bob", "upper");
    door.await_workers("ann", 1);
    house.keygen("bob-2026");
    house.write("clients/bob.key", &house.text("bob-2026.key"));
    door.await_workers("ann", 0);
    let _new = door.worker("bob-2026", "upper");
    assert_eq!(door.call("ann", "upper x").stdout, "X\n");
    assert_eq!(door.info("ann")["info"]["workers"], 1);
}

#[test]
fn any_admits_everybody_who_knows_the_brokers_key() {
    let house = House::of(&[]);
    house.keygen("eve");
    let door = house.door("--curve-secret broker.key_secret --authorized-clients any");
    let _worker = door.worker("eve", "upper");
    assert_eq!(door.call("eve", "upper x").stdout, "X\n");
    let anonymous = format!(
        "call --connect {} --curve-server-key broker.key upper y",
        door.endpoint
    );
    assert_eq!(house.run(&anonymous).stdout, "Y\n");
}

#[test]
fn a_missing_and_an_empty_directory_admit_nobody_until_a_key_is_there() {
    let house = House::of(&["ann"]);
    let door = house.broker("");
    assert_eq!(door.info("ann")["info"]["workers"], 0);
    let refused = || poll(|| (door.call("ann", "echo x").code == Some(1)).then_some(()));
    house.revoke("ann");
    assert!(refused().is_some(), "an empty directory");
    fs::rename(house.path("clients"), house.path("clients.off")).unwrap();
    let said = door.process.stderr_line("clients cannot be read");
    assert!(said.contains("WARN"), "{said}");
    assert!(refused().is_some(), "no directory");
    fs::rename(house.path("clients.off"), house.path("clients")).unwrap();
    house.admit("ann");
    let back = poll(|| (house.run(&door.words("info", "ann")).code == Some(0)).then_some(()));
    assert!(back.is_some());
    // A directory that is missing from the start is no reason not to start.
    let late = house.door("--curve-secret broker.key_secret --authorized-clients later");
    late.process.stderr_line("later cannot be read");
    one_sentence(&late.call("ann", "echo x"), 1, &["400"]);
}

#[test]
fn rules_hold_for_keys_by_their_names() {
    let house = House::of(&["ann", "bob"]);
    let rules = "[groups]\nops = [\"ann\"]\n\
                 [[rule]]\nwho = [\"ops\"]\ncall = [\"*\"]\nadminister = [\"*\"]\n\
                 [[rule]]\nwho = [\"bob\"]\noffer = [\"upper\", \"billing.*\"]\n";
    house.write("access.toml", rules);
    let door = house.broker(" --access access.toml");
    let _worker = door.worker("bob", "upper");
    assert_eq!(door.call("ann", "upper hello").stdout, "HELLO\n");
    let forbidden = door.call("bob", "upper hello");
    one_sentence(&forbidden, 1, &["403", "no rule lets bob call upper"]);
    let info = house.run(&door.words("info", "bob"));
    one_sentence(&info, 1, &["403", "no rule lets bob administer s0.info"]);
    let offer = door.worker("ann", "lower");
    let told = offer.stderr_line("refused by the broker");
    assert!(told.contains("no rule lets ann offer lower"), "{told}");
    // The next version of the file counts without a restart.
    house.write(
        "access.toml",
        &rules.replace("offer =", "call = [\"upper\"]\noffer ="),
    );
    let may = poll(|| (door.call("bob", "upper x").stdout == "X\n").then_some(()));
    assert!(may.is_some());
}
