//! Too much of one thing: names, namesakes, descriptors.

use std::collections::BTreeSet;
use std::net::TcpStream;
use std::process::Command;
use std::time::{Duration, Instant};

use scale0::Client;

use crate::peers::Python;
use crate::process::{Process, poll};
use crate::raw::{self, CONNECT, ERROR, REPLY, Raw, S0, TASK};
use crate::scene::{Scene, number};
use crate::staff::{Gated, ask, call_on, soon};

#[test]
fn a_flood_of_unknown_names_is_answered_in_time_and_leaves_none_behind() {
    let scene = Scene::on(&["--wait-for-worker", "1s"]);
    let mut raw = Raw::open(scene.address()).unwrap();
    let mut silent = Raw::open(scene.address()).unwrap();
    let begun = Instant::now();
    let (total, majordomo) = (1_000_000_u64, 20_000);
    let mut writer = raw.twin().unwrap();
    let flood = std::thread::spawn(move || {
        let mut bytes = Vec::new();
        for id in 1..=total {
            let name = format!("a.rather.long.name.that.nobody.has.ever.offered.{id}");
            bytes.extend(raw::message(&[&raw::task(&name, id, 60_000), b"please"]));
            if bytes.len() > 60_000 || id == total {
                writer.write(&bytes).unwrap();
                bytes.clear();
            }
        }
        for n in 0..majordomo {
            let name = format!("majordomo.{n}");
            silent
                .send(&[b"", b"MDPC01", name.as_bytes(), b"please"])
                .unwrap();
        }
        silent
    });
    let mut answered = BTreeSet::new();
    for _ in 0..total {
        let parts = raw.recv(Duration::from_secs(20)).unwrap();
        let answer = S0::read(&parts[0]);
        assert_eq!((answer.command, answer.code, answer.flags), (ERROR, 404, 1));
        assert!(answered.insert(answer.id), "{} twice", answer.id);
    }
    let silent = flood.join().unwrap();
    println!("{total} answers in {:?}", begun.elapsed());
    scene.until("Majordomo's, too", |all| {
        all["info"]["counters"]["errors"]["404"] == total + majordomo
    });
    scene.until("no name is kept", |all| {
        all["queues"]["queues"] == serde_json::json!([])
    });
    drop((raw, silent));
    scene.over(24);
}

#[test]
fn hundreds_of_libzmq_sockets_with_one_identity_live_side_by_side() {
    let Some(python) = Python::find() else {
        return;
    };
    let scene = Scene::on(&["--wait-for-worker", "50s"]);
    let workers: Vec<Process> = (0..2)
        .map(|_| {
            python.start(
                "worker.py",
                &[scene.endpoint(), "mdp02", "echo", "--identity", "the same"],
            )
        })
        .collect();
    scene.staffed(2);
    let arguments = [scene.endpoint(), "echo", "300", "4"];
    let mut namesakes = python.start("namesakes.py", &arguments);
    assert_eq!(namesakes.line(), "all");
    assert_eq!(namesakes.finish().code, Some(0));
    assert_eq!(scene.count("replies"), 1200);
    drop(workers);
    scene.over(24);
}

#[test]
fn nobody_gets_the_answer_of_a_namesake_that_has_gone() {
    let scene = Scene::on(&["--wait-for-worker", "50s"]);
    let mut worker = namesake(&scene);
    worker.send(&[&raw::connect(512), b"slow"]).unwrap();
    // CONFIG
    worker.recv(SOON).unwrap();
    let rounds: u64 = 300;
    let mut tokens = Vec::new();
    for _ in 0..rounds {
        // The first asks and goes; its successor asks under the same number.
        let mut gone = namesake(&scene);
        gone.send(&[&raw::task("slow", 1, 60_000), b"the first"])
            .unwrap();
        tokens.push(token(&mut worker));
        drop(gone);
        let mut heir = namesake(&scene);
        heir.send(&[&raw::task("slow", 1, 60_000), b"the second"])
            .unwrap();
        let second = token(&mut worker);
        for token in [tokens[tokens.len() - 1], second] {
            let reply = S0 {
                command: REPLY,
                code: 200,
                id: token,
                ..S0::default()
            };
            let body: &[u8] = if token == second { b"second" } else { b"first" };
            worker.send(&[&reply.write(), body]).unwrap();
        }
        let parts = heir.recv(SOON).unwrap();
        assert_eq!((S0::read(&parts[0]).id, &parts[1][..]), (1, &b"second"[..]));
        heir.send(&[&raw::task("s0.info", 2, 1000)]).unwrap();
        let parts = heir.recv(SOON).unwrap();
        assert_eq!(S0::read(&parts[0]).id, 2, "and nothing between");
    }
    drop(worker);
    let info = scene.over(16);
    let counters = &info["counters"];
    assert_eq!(number(&counters["tasks"]), 2 * rounds);
    let (replies, orphaned) = (number(&counters["replies"]), number(&counters["orphaned"]));
    assert_eq!(replies + orphaned, 2 * rounds, "{info}");
    assert!(
        (rounds..2 * rounds).contains(&replies) && orphaned > 0,
        "{info}"
    );
}

/// A connection whose identity others have, too.
fn namesake(scene: &Scene) -> Raw {
    let mut raw = Raw::dial(scene.address()).unwrap();
    let identity: [&[u8]; 3] = [b"\x08Identity", &[0, 0, 0, 8], b"the same"];
    let mut ready = raw::ready("DEALER");
    ready.extend(identity.concat());
    ready[1] = u8::try_from(ready.len() - 2).unwrap();
    raw.write(&[&raw::greeting()[..], &ready].concat()).unwrap();
    raw.take(65).unwrap();
    let len = raw.take(1).unwrap()[0];
    raw.take(len.into()).unwrap();
    raw
}

/// The next task's token.
fn token(worker: &mut Raw) -> u64 {
    loop {
        let parts = worker.recv(SOON).unwrap();
        let header = S0::read(&parts[0]);
        assert_ne!(header.command, CONNECT, "it was forgotten");
        if header.command == TASK {
            return header.id;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_comes_while_there_are_no_descriptors_is_served_once_there_are() {
    let Some(python) = Python::find() else {
        return;
    };
    let scene = Scene::on(&["--wait-for-worker", "50s"]);
    let echo = Gated::new(scene.endpoint(), "echo", 8);
    echo.open();
    let good = Client::connect(scene.endpoint()).unwrap();
    soon(good.call("echo", "before")).await.unwrap();
    let before = scene.usage();
    let limit = |most: usize| {
        let pid = scene.broker.process.id().to_string();
        // The hard limit stays, to come back to.
        let limit = format!("--nofile={most}:");
        let set = Command::new("prlimit")
            .args(["--pid", &pid, &limit])
            .status();
        assert!(set.unwrap().success());
    };
    limit(before.descriptors + 6);
    let crowd: Vec<TcpStream> = (0..60)
        .map(|_| TcpStream::connect(scene.address()).unwrap())
        .collect();
    scene
        .broker
        .process
        .stderr_line("cannot accept connections for now");
    let new = Client::connect(scene.endpoint()).unwrap();
    let late = ask(&new, "echo", "late", false);
    let mut theirs = python.start("client.py", &[scene.endpoint(), "mdp01", "--req"]);
    theirs.say(r#"{"id": 1, "service": "echo", "body": ["theirs"]}"#);
    let ticks = scene.usage().ticks;
    let begun = Instant::now();
    let took = call_on(&good, "echo", || begun.elapsed() > Duration::from_secs(2)).await;
    let spent = scene.usage().ticks - ticks;
    println!(
        "{} calls meanwhile, {spent} hundredths of a second of CPU",
        took.len()
    );
    assert!(spent < 100, "{spent} hundredths of a second in two seconds");
    assert!(
        took.iter().max() < Some(&Duration::from_secs(1)),
        "{took:?}"
    );
    assert!(
        !late.is_finished() && theirs.try_line().is_none(),
        "no place for them yet"
    );
    drop(crowd);
    assert_eq!(soon(late).await.unwrap().unwrap().text(), "late");
    assert!(theirs.line().contains("theirs"));
    assert_eq!(theirs.finish().code, Some(0));
    limit(1024);
    let back = poll(|| (scene.usage().descriptors <= before.descriptors + 1).then_some(()));
    assert!(back.is_some(), "{:?}", scene.usage());
    drop((echo, good, new));
    scene.over(16);
}

const SOON: Duration = Duration::from_secs(10);
