//! What strangers may do to the broker's port, and what has to hold meanwhile: a good client and
//! a good worker are served during and after, the process stays up, its memory stays bounded, and
//! the counters tell what happened.

#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test of real processes reads the clock, and may fail"
)]

#[path = "raw_sockets/alone.rs"]
#[allow(dead_code, reason = "the sockets' tests use the rest")]
mod alone;
#[path = "support/guest.rs"]
#[allow(dead_code, reason = "the sockets' tests use the rest")]
mod guest;
#[path = "support/raw.rs"]
mod raw;
#[path = "hostile/secure.rs"]
mod secure;
#[path = "support/victim.rs"]
mod victim;

use std::collections::BTreeMap;
use std::io;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use raw::{BYE, CONFIG, CONNECT, ERROR, REPLY, Raw, S0, TASK};
use serde_json::Value;
use victim::Victim;

// Before and during the handshake.

#[test]
fn other_protocols_are_closed_at_once() {
    let attack = Attack::on(&["--handshake-timeout", "60s"]);
    let mut curve = raw::greeting();
    curve[12..17].copy_from_slice(b"CURVE");
    let mut zmtp2 = vec![0xff, 0, 0, 0, 0, 0, 0, 0, 1, 0x7f, 1, 5];
    zmtp2.extend_from_slice(&[0, 0]);
    let strangers: [&[u8]; 7] = [
        b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"\x01\x00",
        b"\xff\x00\x00\x00\x00\x00\x00\x00\x05\x00hello",
        &zmtp2,
        &curve,
        b"\x00",
    ];
    for bytes in strangers {
        let mut raw = attack.dial();
        raw.write(bytes).unwrap();
        assert!(raw.is_closed(SOON), "{bytes:?}");
    }
    attack.over(64);
}

#[test]
fn a_greeting_broken_off_anywhere_is_forgotten() {
    let mut attack = Attack::on(&["--handshake-timeout", "60s"]);
    let hello = [&raw::greeting()[..], &raw::ready("DEALER")].concat();
    for cut in 0..hello.len() {
        let mut raw = attack.dial();
        raw.write(&hello[..cut]).unwrap();
        raw.finish();
        assert!(raw.is_closed(SOON), "cut at {cut}");
    }
    attack.until("connections", |info| info["connections"] == Attack::OWN);
    attack.over(64);
}

#[test]
fn bytes_that_come_one_by_one_are_understood() {
    let attack = Attack::on(&[]);
    let mut raw = attack.dial();
    let task = raw::message(&[&raw::task(ECHO, 7, 5000), b"slowly"]);
    for byte in [&raw::greeting()[..], &raw::ready("REQ"), &task].concat() {
        raw.write(&[byte]).unwrap();
    }
    raw.take(64).unwrap();
    let parts = raw.recv(PATIENCE).unwrap();
    assert_eq!(S0::read(&parts[0]).code, 200);
    attack.over(64);
}

#[test]
fn a_handshake_has_one_deadline_whatever_trickles_in() {
    let attack = Attack::on(&["--handshake-timeout", "1s"]);
    let begun = Instant::now();
    let silent = attack.dial();
    let mut greeted = attack.dial();
    greeted.write(&raw::greeting()).unwrap();
    let mut trickling = attack.dial();
    let drip = std::thread::spawn(move || {
        for byte in raw::greeting() {
            if trickling.write(&[byte]).is_err() {
                break;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        assert!(trickling.is_closed(SOON));
        begun.elapsed()
    });
    for mut raw in [silent, greeted] {
        assert!(raw.is_closed(Duration::from_secs(4)));
        assert!(begun.elapsed() >= Duration::from_millis(900));
    }
    assert!(drip.join().unwrap() < Duration::from_secs(4));
    attack.over(64);
}

#[test]
fn a_handshake_of_too_many_bytes_is_cut() {
    let attack = Attack::on(&["--handshake-timeout", "60s"]);
    let early = raw::message(&[b"a message before READY"]);
    let mut crowd = b"\x05READY".to_vec();
    for _ in 0..65 {
        crowd.extend_from_slice(b"\x01x\x00\x00\x00\x00");
    }
    let crowd = [raw::long(4, crowd.len() as u64), crowd].concat();
    let hellos = [
        raw::long(4, 17 << 10),
        raw::long(4, 1 << 62),
        early,
        crowd,
        b"\x04\x06\x05HELLO".to_vec(),
        b"\x04\x00".to_vec(),
        raw::ready("SUB"),
        raw::ready("NOBODY"),
    ];
    for hello in hellos {
        let mut raw = attack.dial();
        raw.write(&raw::greeting()).unwrap();
        raw.write(&hello).unwrap();
        assert!(raw.is_closed(SOON), "{hello:?}");
    }
    attack.over(64);
}

#[test]
fn of_half_open_connections_the_oldest_go() {
    let flags = [
        "--max-pending-handshakes",
        "256",
        "--handshake-timeout",
        "60s",
    ];
    let mut attack = Attack::on(&flags);
    let mut crowd: Vec<Raw> = (0..CROWD).map(|_| attack.dial()).collect();
    let evicted = (CROWD - 256) as u64;
    attack.until("evictions", |info| {
        info["counters"]["handshakes_evicted"].as_u64() >= Some(evicted)
    });
    let info = attack.info();
    assert!(
        info["connections"].as_u64() <= Some(256 + Attack::OWN),
        "{info}"
    );
    assert!(crowd[0].is_closed(SOON), "the oldest");
    let newest = crowd.last_mut().unwrap();
    newest.shake("DEALER").expect("the newest");
    attack.over(96);
}

#[test]
fn connections_beyond_the_limit_are_refused_until_there_is_room() {
    let mut attack = Attack::on(&["--max-connections", "20"]);
    let room = 20 - Attack::OWN;
    let crowd: Vec<Raw> = (0..room).map(|_| attack.open()).collect();
    for _ in 0..30 {
        assert!(attack.dial().is_closed(SOON));
    }
    assert_eq!(attack.count("connections_refused"), 30);
    drop(crowd);
    attack.until("room", |info| info["connections"] == Attack::OWN);
    attack.open();
    attack.over(64);
}

// Lengths, parts and commands.

#[test]
fn a_length_beyond_the_limit_is_refused_by_its_header() {
    let attack = Attack::on(&[]);
    let limit = 16 << 20;
    let two_parts = [raw::message(&[b"x"]), raw::long(0, limit)].concat();
    let two_parts = [&[1], &two_parts[1..]].concat();
    let headers = [
        raw::long(0, 1 << 62),
        raw::long(0, i64::MAX as u64),
        raw::long(0, 1 << 63),
        raw::long(0, u64::MAX),
        raw::long(1, 1 << 62),
        raw::long(0, limit + 1),
        raw::long(4, (8 << 10) + 1),
        raw::long(4, u64::MAX),
        two_parts,
    ];
    for header in headers {
        let mut raw = attack.open();
        raw.write(&header).unwrap();
        assert!(raw.is_closed(SOON), "{header:?}");
    }
    attack.over(64);
}

#[test]
fn a_declared_length_costs_nothing_until_bytes_come() {
    let mut attack = Attack::on(&[]);
    let mut crowd: Vec<Raw> = (0..CROWD).map(|_| attack.open()).collect();
    for raw in &mut crowd {
        // 32 GB together.
        raw.write(&raw::long(0, 16 << 20)).unwrap();
        raw.write(b"so it begins").unwrap();
    }
    attack.until("bytes", |info| {
        info["buffered_bytes"].as_u64() >= Some(21 * CROWD as u64)
    });
    attack.over(128);
}

#[test]
fn a_message_has_1024_parts_at_most() {
    let attack = Attack::on(&[]);
    let mut raw = attack.open();
    let header = raw::task(ECHO, 1, 5000);
    let mut parts: Vec<&[u8]> = vec![b"p"; 1024];
    parts[0] = &header;
    raw.send(&parts).unwrap();
    let answer = raw.recv(PATIENCE).unwrap();
    assert_eq!((S0::read(&answer[0]).code, answer.len()), (200, 1024));
    parts.push(b"one too many");
    raw.send(&parts).unwrap();
    assert!(raw.is_closed(SOON));

    let mut endless = attack.open();
    let many = [1, 0].repeat(64 << 10);
    // Closed in the middle of it: the rest may find nobody.
    let _ = endless.write(&many);
    assert!(endless.is_closed(SOON));
    attack.over(64);
}

#[test]
fn of_unfinished_messages_the_largest_goes_when_there_is_too_much() {
    let mut attack = Attack::on(&["--max-bytes", "32MiB"]);
    let mut small = attack.open();
    small.write(&raw::long(1, 1000)).unwrap();
    small.write(&[0; 999]).unwrap();
    let address = attack.victim.address;
    let large: Vec<JoinHandle<bool>> = (0..16)
        .map(|_| {
            std::thread::spawn(move || {
                let mut raw = Raw::open(address).unwrap();
                let part = [raw::long(1, 256 << 10), vec![0; 256 << 10]].concat();
                for _ in 0..60 {
                    if raw.write(&part).is_err() {
                        return true;
                    }
                }
                raw.is_closed(Duration::from_millis(500))
            })
        })
        .collect();
    let cut = large.into_iter().map(|one| one.join().unwrap());
    let cut = cut.filter(|cut| *cut).count();
    assert!(cut >= 14, "{cut} of 16 were cut, 2 of 15 MiB fit");
    assert!(
        attack
            .victim
            .log()
            .contains("its unfinished message was the largest")
    );
    small.write(&[0]).unwrap();
    small.send(&[b"end"]).unwrap();
    attack.until("the small one's message", |info| {
        info["counters"]["unknown"] == 1
    });
    attack.over(160);
}

#[test]
fn pings_without_end_cost_one_pong() {
    let mut attack = Attack::on(&[]);
    let mut raw = attack.open();
    let pings = b"\x04\x17\x04PING\x00\x000123456789abcdef".repeat(4 << 10);
    for _ in 0..100 {
        raw.write(&pings).unwrap();
    }
    let sent = 100 * pings.len() as u64;
    attack.until("all are read", |info| {
        info["counters"]["bytes_in"].as_u64() >= Some(sent)
    });
    let info = attack.info();
    assert!(info["buffered_bytes"].as_u64() < Some(64 << 10), "{info}");
    attack.over(64);
}

#[test]
fn commands_that_mean_nothing_are_ignored_and_broken_ones_end_it() {
    let mut attack = Attack::on(&[]);
    let mut raw = attack.open();
    for harmless in [
        &b"\x04\x05\x04PONG"[..],
        b"\x04\x0b\x09SUBSCRIBEA",
        b"\x04\x08\x07UNKNOWN",
    ] {
        raw.write(harmless).unwrap();
    }
    let message = raw::message(&[&raw::task(ECHO, 1, 5000), b"body"]);
    let (head, tail) = message.split_at(message.len() - 6);
    raw.write(&[head, b"\x04\x05\x04PONG", tail].concat())
        .unwrap();
    assert_eq!(S0::read(&raw.recv(PATIENCE).unwrap()[0]).code, 200);
    assert_eq!(attack.count("commands_ignored"), 2, "PONG is known");
    for broken in [
        &b"\x04\x00"[..],
        b"\x04\x01\x00",
        b"\x04\x05\x05PING",
        b"\x05\x05\x04PONG",
        b"\x04\x05\x04PING",
        b"\x04\x07\x05ERROR\x00",
        b"\x04\x06\x05ERROR",
    ] {
        let mut raw = attack.open();
        raw.write(broken).unwrap();
        assert!(raw.is_closed(SOON), "{broken:?}");
    }
    attack.over(64);
}

#[test]
fn a_peer_that_is_gone_when_it_is_written_to_is_forgotten() {
    let mut attack = Attack::on(&[]);
    let address = attack.victim.address;
    // They outpace the broker, read none of its PONGs, and are gone, by a reset, while it still
    // reads what they said.
    let crowd: Vec<JoinHandle<()>> = (0..4)
        .map(|_| {
            std::thread::spawn(move || {
                let mut raw = Raw::open(address).unwrap();
                for _ in 0..32_000 {
                    raw.write(b"\x04\x07\x04PING\xff\xff").unwrap();
                }
            })
        })
        .collect();
    for one in crowd {
        one.join().unwrap();
    }
    attack.until("they are gone", |info| info["connections"] == Attack::OWN);
    attack.over(64);
}

// Messages.

#[test]
fn the_third_malformed_message_ends_it_and_nothing_after_it_counts() {
    let mut attack = Attack::on(&[]);
    let mut worker = attack.worker("watched", 1);
    let mut raw = attack.open();
    let malformed = raw::message(&[b"S0\x01\x04"]);
    let task = raw::message(&[&raw::task("watched", 1, 5000), b"afterwards"]);
    raw.write(&[malformed.repeat(3), task].concat()).unwrap();
    let codes: Vec<u16> = (0..4)
        .map(|_| S0::read(&raw.recv(PATIENCE).unwrap()[0]).code)
        .collect();
    assert_eq!(codes, [400, 400, 400, 444]);
    assert_eq!(
        raw.recv(PATIENCE).unwrap_err().kind(),
        io::ErrorKind::UnexpectedEof
    );
    assert_eq!(attack.count("malformed"), 3);
    let nothing = worker.recv(Duration::from_millis(300)).unwrap_err();
    assert_eq!(nothing.kind(), io::ErrorKind::TimedOut);
    attack.over(64);
}

#[test]
fn nobody_is_closed_for_what_another_behind_its_proxy_says() {
    let mut attack = Attack::on(&[]);
    let mut raw = attack.open();
    for n in 0..10 {
        raw.send(&[b"someone", b"", b"S0\x01\x04"]).unwrap();
        let answer = raw.recv(PATIENCE).unwrap();
        assert_eq!(answer[..2], [b"someone".to_vec(), Vec::new()]);
        assert_eq!(S0::read(&answer[2]).code, 400, "number {n}");
        raw.send(&[b"someone", b"", b"gibberish"]).unwrap();
    }
    assert_eq!(attack.call(&mut raw, ECHO, b"still here"), (REPLY, 200));
    assert_eq!(
        (attack.count("malformed"), attack.count("unknown")),
        (10, 10)
    );
    attack.over(64);
}

#[test]
fn unknown_languages_are_closed_without_a_word() {
    let mut attack = Attack::on(&[]);
    let greetings: [&[&[u8]]; 5] = [
        &[b"hello"],
        &[b"", b"MDPC03", b"echo"],
        &[b"MDPW02", b"\x09"],
        &[b"\xaa\xa4\x01\x06MDPC02\x01\xffecho"],
        &[b"", b"MDPW01"],
    ];
    for parts in greetings {
        let mut raw = attack.open();
        for _ in 0..3 {
            raw.send(parts).unwrap();
        }
        let end = raw.recv(SOON).unwrap_err();
        assert_eq!(end.kind(), io::ErrorKind::UnexpectedEof, "{parts:?}");
    }
    assert_eq!(attack.count("unknown"), 15);
    let mut old = attack.open();
    for _ in 0..50 {
        old.send(&[b"", b"MDPC0X", b"echo", b"2012"]).unwrap();
    }
    attack.until("they are counted", |info| {
        info["counters"]["dead_dialect"] == 50
    });
    assert!(!old.is_closed(Duration::from_millis(100)));
    attack.over(64);
}

#[test]
fn a_million_names_are_refused_at_once_beyond_the_first_thousand() {
    let mut attack = Attack::on(&["--wait-for-worker", "60s"]);
    let mut raw = attack.open();
    let mut writer = raw.twin().unwrap();
    let total = 1_000_000u64;
    let flood = std::thread::spawn(move || {
        let mut bytes = Vec::new();
        for id in 1..=total {
            bytes.extend(raw::message(&[&raw::task(
                &format!("name.{id}"),
                id,
                60_000,
            )]));
            if bytes.len() > 60_000 || id == total {
                writer.write(&bytes).unwrap();
                bytes.clear();
            }
        }
    });
    for _ in 0..total - 1000 {
        let parts = raw.recv(PATIENCE).unwrap();
        let answer = S0::read(&parts[0]);
        assert_eq!((answer.command, answer.code, answer.flags), (ERROR, 404, 1));
    }
    flood.join().unwrap();
    let info = attack.info();
    assert_eq!(info["queued"], 1000);
    assert!(info["held_bytes"].as_u64() < Some(1 << 20), "{info}");
    attack.over(128);
}

#[test]
fn an_id_under_way_is_not_taken_twice() {
    let attack = Attack::on(&[]);
    let mut worker = attack.worker("lazy", 8);
    let mut client = attack.open();
    for _ in 0..100 {
        client.send(&[&raw::task("lazy", 5, 60_000), b""]).unwrap();
    }
    let token = attack.token(&mut worker);
    for _ in 0..99 {
        let parts = client.recv(PATIENCE).unwrap();
        let answer = S0::read(&parts[0]);
        assert_eq!((answer.code, answer.flags, answer.id), (409, 1, 5));
    }
    attack.reply(&mut worker, token);
    let parts = client.recv(PATIENCE).unwrap();
    assert_eq!(S0::read(&parts[0]).command, REPLY);
    assert_eq!(
        attack.call(&mut client, "s0.info", b""),
        (REPLY, 200),
        "and nothing between"
    );
    attack.over(64);
}

#[test]
fn replies_to_tasks_of_others_are_counted_and_dropped() {
    let mut attack = Attack::on(&[]);
    let mut worker = attack.worker("secret", 1);
    let mut thief = attack.worker("other", 1);
    let mut client = attack.open();
    client
        .send(&[&raw::task("secret", 9, 60_000), b""])
        .unwrap();
    let token = attack.token(&mut worker);
    for _ in 0..100 {
        attack.reply(&mut thief, token);
    }
    for guess in 0..20_000u64 {
        attack.reply(
            &mut thief,
            (token & !0xffff_ffff) | guess.wrapping_mul(0x9e37_79b9),
        );
    }
    attack.until("all are counted", |info| {
        let counters = &info["counters"];
        counters["forged_replies"].as_u64() >= Some(100)
            && counters["late_replies"].as_u64().unwrap()
                + counters["forged_replies"].as_u64().unwrap()
                == 20_100
    });
    attack.reply(&mut worker, token);
    let answer = client.recv(PATIENCE).unwrap();
    assert_eq!(answer[1], b"done");
    attack.over(64);
}

#[test]
fn replies_of_strangers_are_answered_once_a_second_at_most() {
    let mut attack = Attack::on(&[]);
    let mut raw = attack.open();
    let begun = Instant::now();
    for id in 0..50_000 {
        attack.reply(&mut raw, id);
    }
    attack.until("all are counted", |info| {
        info["counters"]["late_replies"] == 50_000
    });
    let seconds = begun.elapsed().as_secs() + 1;
    let mut hints = 0;
    while let Ok(parts) = raw.recv(Duration::from_millis(50)) {
        assert_eq!(S0::read(&parts[0]).command, CONNECT);
        hints += 1;
    }
    assert!((1..=seconds).contains(&hints), "{hints} in {seconds} s");
    attack.over(64);
}

// Workers.

#[test]
fn announcements_without_end_are_applied_ten_times_a_second_and_the_last_one_counts() {
    let mut attack = Attack::on(&[]);
    let mut raw = attack.open();
    let begun = Instant::now();
    let rounds = 2000;
    for round in 0..rounds {
        let names: Vec<String> = (0..256)
            .map(|n| format!("flood.{}.{n}", round % 7))
            .collect();
        announce(&mut raw, &names);
    }
    announce(&mut raw, &["flood.last".to_owned()]);
    attack.until("the last one", |info| info["services"] == 2);
    let tenths = begun.elapsed().as_millis() / 100 + 2;
    let mut applied = 0;
    while let Ok(parts) = raw.recv(Duration::from_millis(50)) {
        if S0::read(&parts[0]).command == CONFIG {
            applied += 1;
        }
    }
    assert!(
        (1..=tenths).contains(&applied),
        "{applied} in {tenths} tenths of a second"
    );
    attack.over(64);
}

#[test]
fn services_are_bounded_and_questions_about_them_do_not_hold_up_others() {
    let mut attack = Attack::on(&[]);
    let mut workers = Vec::new();
    // One is the good worker's.
    for worker in 0..39 {
        let names: Vec<String> = (0..256).map(|n| format!("crowd.{worker}.{n}")).collect();
        workers.push(attack.open());
        announce(&mut workers[worker], &names);
        let parts = workers[worker].recv(PATIENCE).unwrap();
        assert_eq!(S0::read(&parts[0]).command, CONFIG);
    }
    let mut late = attack.open();
    let names: Vec<String> = (0..16).map(|n| format!("late.{n}")).collect();
    announce(&mut late, &names);
    let parts = late.recv(PATIENCE).unwrap();
    let refusal = S0::read(&parts[0]);
    assert_eq!((refusal.command, refusal.code), (ERROR, 413));
    assert!(String::from_utf8_lossy(&parts[1]).contains("late.15"));
    announce(&mut late, &names[..15]);
    let parts = late.recv(PATIENCE).unwrap();
    assert_eq!(S0::read(&parts[0]).command, CONFIG);
    assert_eq!(attack.info()["services"], 10_000);

    for service in ["s0.info", "s0.services", "s0.workers", "s0.queues"] {
        let mut raw = attack.open();
        let question = raw::message(&[&raw::task(service, 0, 0)]);
        // Nobody reads the answers: it may be cut.
        let _ = raw.write(&question.repeat(2000));
        assert_eq!(attack.call(&mut late, ECHO, b"meanwhile"), (REPLY, 200));
    }
    attack.over(256);
}

#[test]
fn joining_and_leaving_without_end_harms_nobody_else() {
    let attack = Attack::on(&[]);
    let mut raw = attack.open();
    let goodbye = S0 {
        command: BYE,
        ..S0::default()
    };
    let round = [
        raw::message(&[&raw::connect(1), b"here.and.gone"]),
        raw::message(&[&goodbye.write()]),
    ]
    .concat();
    for _ in 0..100 {
        raw.write(&round.repeat(50)).unwrap();
    }
    assert_eq!(attack.call(&mut raw, ECHO, b"all read"), (REPLY, 200));
    attack.over(64);
}

#[test]
fn a_worker_that_never_reads_gets_no_more_tasks_and_is_cut() {
    let flags = [
        "--max-worker-outbox",
        "256KiB",
        "--stall-timeout",
        "2s",
        "--wait-for-worker",
        "100ms",
    ];
    let mut attack = Attack::on(&flags);
    let worker = attack.worker("deaf", 512);
    let mut client = attack.open();
    let total = 400;
    let body = vec![0; 64 << 10];
    for id in 1..=total {
        client
            .send(&[&raw::task("deaf", id, 60_000), &body])
            .unwrap();
    }
    attack.until("all are there", |info| info["open"].as_u64() >= Some(total));
    let info = attack.info();
    assert!(info["queued"].as_u64() > Some(100), "{info}");
    // Its bound is looked at once in a turn, in which megabytes may come.
    assert!(info["buffered_bytes"].as_u64() < Some(8 << 20), "{info}");
    let mut answers = BTreeMap::new();
    for _ in 0..total {
        let parts = client.recv(PATIENCE).unwrap();
        let answer = S0::read(&parts[0]);
        assert!([404, 502].contains(&answer.code), "{answer:?}");
        assert_eq!(answers.insert(answer.id, answer.code), None, "two answers");
    }
    assert!(attack.victim.log().contains("the peer does not read"));
    drop(worker);
    attack.over(160);
}

#[test]
fn a_client_that_never_reads_is_cut_alone() {
    for flags in [
        ["--max-outbox", "4MiB", "--stall-timeout", "60s"],
        ["--max-outbox", "1GiB", "--stall-timeout", "1s"],
    ] {
        let attack = Attack::on(&flags);
        let mut deaf = attack.open();
        let body = vec![0; 64 << 10];
        let begun = Instant::now();
        let mut id = 0;
        // The system's own buffers take some megabytes first.
        let cut = loop {
            id += 1;
            if deaf.send(&[&raw::task(ECHO, id, 60_000), &body]).is_err() {
                break true;
            }
            if begun.elapsed() > PATIENCE * 2 {
                break false;
            }
            // All answers wait already, now it is a matter of time.
            if id > 400 {
                std::thread::sleep(Duration::from_millis(20));
            }
        };
        assert!(cut, "{flags:?}");
        attack.over(192);
    }
}

#[test]
fn a_begun_message_has_to_grow() {
    let attack = Attack::on(&[]);
    let mut half = attack.open();
    half.write(&raw::long(0, 1000)).unwrap();
    half.write(&[0; 500]).unwrap();
    let mut header = attack.open();
    header
        .write(&[1, 5, b'h', b'e', b'l', b'l', b'o', 2, 0])
        .unwrap();
    let mut loris = attack.open();
    loris.write(&raw::long(0, 1 << 20)).unwrap();
    let mut idle = attack.open();
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(34) && loris.write(b".").is_ok() {
        std::thread::sleep(Duration::from_millis(500));
    }
    for (name, raw) in [
        ("half", &mut half),
        ("header", &mut header),
        ("loris", &mut loris),
    ] {
        assert!(raw.is_closed(SOON), "{name}");
    }
    assert!(
        begun.elapsed() > Duration::from_secs(25),
        "an honest pause is no attack"
    );
    assert_eq!(
        attack.call(&mut idle, ECHO, b"no message begun"),
        (REPLY, 200)
    );
    attack.over(64);
}

// Too many tasks.

#[test]
fn tasks_beyond_the_bounds_are_refused_and_may_be_sent_again() {
    let flags = [
        "--max-queue-tasks",
        "112",
        "--max-client-tasks",
        "150",
        "--retry-after",
        "700ms",
    ];
    let mut attack = Attack::on(&flags);
    let worker = attack.worker("paused", 0);
    let refused = |raw: &mut Raw, expected, ids: std::ops::Range<u64>, service| {
        for id in ids.clone() {
            raw.send(&[&raw::task(service, id, 60_000), b"x"]).unwrap();
        }
        for _ in ids {
            let parts = raw.recv(PATIENCE).unwrap();
            let answer = S0::read(&parts[0]);
            assert_eq!(
                (answer.command, answer.code, answer.ms, answer.flags),
                (ERROR, expected, 700, 1)
            );
        }
    };
    // One client gets eight times what it leaves.
    let mut first = attack.open();
    for id in 1..=100 {
        first
            .send(&[&raw::task("paused", id, 60_000), b"x"])
            .unwrap();
    }
    refused(&mut first, 503, 101..1000, "paused");
    let mut holding = attack.worker("holding", 512);
    for id in 1001..=1050 {
        first
            .send(&[&raw::task("holding", id, 60_000), b"x"])
            .unwrap();
    }
    refused(&mut first, 429, 2000..3000, "holding");
    let mut second = attack.open();
    for id in 1..=11 {
        second
            .send(&[&raw::task("paused", id, 60_000), b"x"])
            .unwrap();
    }
    refused(&mut second, 503, 12..1000, "paused");
    let errors = &attack.info()["counters"]["errors"];
    assert_eq!(
        (&errors["429"], &errors["503"]),
        (&1000.into(), &(899 + 988).into())
    );
    attack.token(&mut holding);
    drop((first, second, worker));
    attack.until("nothing is left", |info| info["queued"] == 0);
    attack.over(64);
}

#[test]
fn tasks_beyond_what_may_be_held_are_refused() {
    let mut attack = Attack::on(&["--max-bytes", "32MiB"]);
    let worker = attack.worker("paused", 0);
    let address = attack.victim.address;
    // Unfinished messages of this size are left alone.
    let body = vec![1; 30 << 10];
    let mut codes = BTreeMap::<u16, u32>::new();
    let mut crowd = Vec::new();
    for _ in 0..4 {
        let mut raw = Raw::open(address).unwrap();
        for id in 1..=500 {
            let task = raw::task("paused", id, 60_000);
            raw.send(&[&task, &body]).unwrap();
        }
        crowd.push(raw);
    }
    for raw in &mut crowd {
        while let Ok(parts) = raw.recv(Duration::from_millis(300)) {
            *codes.entry(S0::read(&parts[0]).code).or_default() += 1;
        }
    }
    let refused = codes.get(&503).copied().unwrap_or_default();
    assert!((900..1000).contains(&refused), "{codes:?}");
    drop((crowd, worker));
    attack.until("all is given back", |info| info["held_bytes"] == 0);
    attack.over(128);
}

// Descriptors.

#[test]
fn without_descriptors_nobody_spins_and_those_who_are_there_are_served() {
    let mut attack = Attack::on(&[]);
    let pid = attack.victim.child.id().to_string();
    let open = std::fs::read_dir(format!("/proc/{pid}/fd"))
        .unwrap()
        .count();
    let limit = format!("--nofile={}", open + 5);
    let set = Command::new("prlimit")
        .args(["--pid", &pid, &limit])
        .status()
        .unwrap();
    assert!(set.success());
    let crowd: Vec<Raw> = (0..100).map(|_| attack.dial()).collect();
    attack.until("it has noticed", |_| true);
    let begun = Instant::now();
    let before = attack.victim.usage().ticks;
    while begun.elapsed() < Duration::from_secs(2) {
        attack.info();
        std::thread::sleep(Duration::from_millis(100));
    }
    let ticks = attack.victim.usage().ticks - before;
    assert!(ticks < 100, "{ticks} hundredths of a second in two seconds");
    assert!(
        attack
            .victim
            .log()
            .contains("cannot accept connections for now")
    );
    drop(crowd);
    // A place is free again, and the backlog holds only the dead.
    attack.open();
    attack.over(64);
}

#[test]
fn a_small_limit_of_descriptors_leaves_room_for_some() {
    for most in [64, 300] {
        let victim = Victim::with_descriptors(most, &[]);
        let mut attack = Attack::against(victim);
        let mut crowd: Vec<Raw> = (0..400).map(|_| attack.dial()).collect();
        let shake = |raw: &mut Raw| raw.shake("DEALER").is_ok();
        let open = crowd.iter_mut().map(shake).filter(|open| *open).count();
        assert!(
            (20..most as usize).contains(&open),
            "{open} with {most} descriptors"
        );
        assert!(attack.count("connections_refused") > 0);
        drop(crowd);
        attack.until("room", |info| info["connections"] == Attack::OWN);
        attack.open();
        attack.over(64);
    }
}

// The oracle.

/// A victim, and a good worker and a good client who are served all the time.
struct Attack {
    victim: Victim,
    /// For questions to the broker.
    desk: Raw,
    over: Arc<AtomicBool>,
    /// The good client wants nothing more of the good worker.
    served: Arc<AtomicBool>,
    client: JoinHandle<Result<Vec<Duration>, String>>,
    worker: JoinHandle<Result<(), String>>,
    before: Vec<Duration>,
}

impl Attack {
    /// Connections of its own.
    const OWN: u64 = 3;

    fn on(flags: &[&str]) -> Self {
        Self::against(Victim::start(flags))
    }

    fn against(victim: Victim) -> Self {
        scale0::server::raise_descriptor_limit();
        let address = victim.address;
        let mut worker = Raw::open(address).unwrap();
        worker.send(&[&raw::connect(16), ECHO.as_bytes()]).unwrap();
        let parts = worker.recv(PATIENCE).unwrap();
        assert_eq!(S0::read(&parts[0]).command, CONFIG);
        let over = Arc::new(AtomicBool::new(false));
        let served = Arc::new(AtomicBool::new(false));
        let worker = {
            let served = Arc::clone(&served);
            std::thread::spawn(move || work(worker, &served))
        };
        let mut client = Raw::open(address).unwrap();
        let before = (1..=CALLS)
            .map(|id| call(&mut client, id).unwrap())
            .collect();
        let client = {
            let over = Arc::clone(&over);
            std::thread::spawn(move || call_on(client, &over))
        };
        Self {
            desk: Raw::open(address).unwrap(),
            victim,
            over,
            served,
            client,
            worker,
            before,
        }
    }

    /// The good ones are still served, the broker is up, and never took more than `most` MiB.
    fn over(mut self, most: u64) {
        self.over.store(true, Ordering::Relaxed);
        let during = self.client.join().unwrap();
        self.served.store(true, Ordering::Relaxed);
        drop(self.desk);
        self.worker.join().unwrap().expect("the good worker");
        let during = during.expect("the good client");
        assert!(self.victim.is_up());
        let usage = self.victim.usage();
        let peak = usage.peak >> 10;
        println!(
            "{} calls, median {:?} before and {:?} during, worst {:?}; peak {peak} MiB, {} ms of CPU",
            during.len(),
            median(&self.before),
            median(&during),
            during.iter().max().unwrap(),
            usage.ticks * 10,
        );
        assert!(peak < most, "{peak} MiB, limit {most}");
    }

    fn dial(&self) -> Raw {
        Raw::dial(self.victim.address).unwrap()
    }

    fn open(&self) -> Raw {
        Raw::open(self.victim.address).unwrap()
    }

    /// A worker for one service, announced.
    fn worker(&self, service: &str, capacity: u16) -> Raw {
        let mut raw = self.open();
        raw.send(&[&raw::connect(capacity), service.as_bytes()])
            .unwrap();
        let parts = raw.recv(PATIENCE).unwrap();
        assert_eq!(S0::read(&parts[0]).command, CONFIG);
        raw
    }
}

impl Attack {
    /// The next task's token.
    fn token(&self, worker: &mut Raw) -> u64 {
        loop {
            let parts = worker.recv(PATIENCE).unwrap();
            let header = S0::read(&parts[0]);
            if header.command == TASK {
                return header.id;
            }
        }
    }

    fn reply(&self, worker: &mut Raw, token: u64) {
        let header = S0 {
            command: REPLY,
            code: 200,
            id: token,
            ..S0::default()
        };
        worker.send(&[&header.write(), b"done"]).unwrap();
    }

    /// One call over a connection that waits for nothing else: the answer's command and code.
    fn call(&self, raw: &mut Raw, service: &str, body: &[u8]) -> (u8, u16) {
        let id = u64::MAX;
        raw.send(&[&raw::task(service, id, 10_000), body]).unwrap();
        loop {
            let parts = raw.recv(PATIENCE).unwrap();
            let answer = S0::read(&parts[parts.len() - 1 - usize::from(parts.len() > 1)]);
            if answer.id == id {
                return (answer.command, answer.code);
            }
        }
    }

    fn info(&mut self) -> Value {
        self.desk.send(&[&raw::task("s0.info", 1, 10_000)]).unwrap();
        let parts = self.desk.recv(PATIENCE).unwrap();
        serde_json::from_slice(&parts[1]).unwrap()
    }

    fn count(&mut self, counter: &str) -> u64 {
        self.info()["counters"][counter].as_u64().unwrap()
    }

    /// Asks until it is so.
    fn until(&mut self, what: &str, is_so: impl Fn(&Value) -> bool) {
        let begun = Instant::now();
        loop {
            let info = self.info();
            if is_so(&info) {
                return;
            }
            assert!(begun.elapsed() < PATIENCE * 2, "{what}: {info}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

/// The good worker: echoes until the client is served, however long that one pauses.
fn work(mut raw: Raw, served: &AtomicBool) -> Result<(), String> {
    loop {
        let parts = match raw.recv(Duration::from_millis(200)) {
            Ok(parts) => parts,
            Err(error) if error.kind() == io::ErrorKind::TimedOut => {
                if served.load(Ordering::Relaxed) {
                    return Ok(());
                }
                continue;
            }
            Err(error) => return Err(error.to_string()),
        };
        let header = S0::read(&parts[0]);
        if header.command == TASK {
            let reply = S0 {
                command: REPLY,
                code: 200,
                id: header.id,
                ..S0::default()
            };
            let mut answer: Vec<&[u8]> = parts.iter().map(Vec::as_slice).collect();
            let reply = reply.write();
            answer[0] = &reply;
            raw.send(&answer).map_err(|error| error.to_string())?;
        }
    }
}

/// The good client: calls until it is over, and some more.
fn call_on(mut raw: Raw, over: &AtomicBool) -> Result<Vec<Duration>, String> {
    let mut took = Vec::new();
    let mut last = None;
    for id in CALLS + 1.. {
        took.push(call(&mut raw, id)?);
        if over.load(Ordering::Relaxed) && id >= *last.get_or_insert(id + CALLS) {
            break;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    Ok(took)
}

/// One good call. What the broker says it has not executed is sent again, as the protocol has it.
fn call(raw: &mut Raw, id: u64) -> Result<Duration, String> {
    let begun = Instant::now();
    let body = id.to_be_bytes();
    let failed = |error: io::Error| format!("call {id} after {:?}: {error}", begun.elapsed());
    while begun.elapsed() < PATIENCE {
        raw.send(&[&raw::task(ECHO, id, 10_000), &body])
            .map_err(failed)?;
        let parts = raw.recv(PATIENCE).map_err(failed)?;
        let answer = S0::read(&parts[0]);
        match (answer.command, answer.code, answer.id) {
            (REPLY, 200, own) if own == id && parts[1] == body => return Ok(begun.elapsed()),
            (ERROR, 503, own) if own == id && answer.flags & 1 == 1 => {
                std::thread::sleep(Duration::from_millis(50));
            }
            _ => return Err(format!("call {id}: {answer:?}")),
        }
    }
    Err(format!("call {id} was refused for {PATIENCE:?}"))
}

fn announce(raw: &mut Raw, services: &[String]) {
    let header = raw::connect(1);
    let mut parts: Vec<&[u8]> = vec![&header];
    parts.extend(services.iter().map(String::as_bytes));
    raw.send(&parts).unwrap();
}

fn median(times: &[Duration]) -> Duration {
    let mut times = times.to_vec();
    times.sort();
    times[times.len() / 2]
}

/// The good worker's service.
const ECHO: &str = "good.echo";
/// Calls before and after an attack.
const CALLS: u64 = 20;
/// Connections at once where one would do no harm.
const CROWD: usize = 2000;
const SOON: Duration = Duration::from_secs(5);
const PATIENCE: Duration = Duration::from_secs(10);
