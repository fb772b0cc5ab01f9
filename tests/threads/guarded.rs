//! Who has shown who that is stays so when the connection moves.

use std::time::Duration;

use scale0::sdk::Failure;
use scale0::security::Security;
use scale0::security::curve::KeyPair;
use scale0::{Client, Task, Worker};
use tokio::task::JoinSet;

use crate::house::{Door, House, key, one_sentence};
use crate::process::poll;
use crate::{bounded, hire, services};

/// The security of a user of the house.
fn curve(house: &House, user: &str) -> Security {
    let secret = key(&house.text(&format!("{user}.key_secret")), "secret-key");
    Security::CurveClient {
        own: KeyPair::new(secret.parse().unwrap()),
        server: key(&house.text("broker.key"), "public-key")
            .parse()
            .unwrap(),
    }
}

fn client(house: &House, door: &Door<'_>, user: &str) -> Client {
    let builder = Client::builder(&door.endpoint).unwrap();
    builder.security(curve(house, user)).build().unwrap()
}

/// Says who asks, and what.
fn worker(house: &House, door: &Door<'_>, services: &[String]) -> Worker {
    let mut builder = Worker::builder(&door.endpoint).unwrap().capacity(16);
    builder = builder.security(curve(house, "wes"));
    for service in services {
        builder = builder.service(service, async |task: Task| {
            let user = task.property("user").map(<[u8]>::to_vec);
            let mut told = user.ok_or(Failure::new(500, "nobody"))?;
            told.extend_from_slice(b" says ");
            told.extend_from_slice(task.text().as_bytes());
            Ok(told)
        });
    }
    builder.build().unwrap()
}

#[tokio::test]
async fn connections_move_with_their_ciphers_and_as_who_they_are() {
    bounded(async {
        let house = House::of(&["ann", "bob", "wes"]);
        let door = house.broker(" --threads 2");
        let services = services();
        // Whether alone or together, and wherever they were let in.
        let offers = [&services[..1], &services[1..], &services[..], &services[..]];
        let workers = offers.map(|offers| hire(worker(&house, &door, offers)));
        let mut calls = JoinSet::new();
        for n in 0..8_usize {
            let user = ["ann", "bob"][n / 2 % 2];
            let client = client(&house, &door, user);
            // All at once: the connection moves while what is sealed already lies behind.
            for m in 0..24_usize {
                let (client, service) = (client.clone(), services[(n + m) % 2].clone());
                calls.spawn(async move {
                    let body = format!("{n} {m} ").repeat(1 + m * 200);
                    let reply = client.call(&service, body.as_str()).await.unwrap();
                    assert_eq!(reply.text(), format!("{user} says {body}"));
                });
            }
        }
        while let Some(done) = calls.join_next().await {
            done.unwrap();
        }
        for worker in workers {
            crate::dismiss(worker).await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_key_that_is_gone_ends_its_connections_in_all_threads() {
    bounded(async {
        let house = House::of(&["ann", "bob", "wes"]);
        let door = house.broker(" --threads 2");
        let services = services();
        let workers = hire(worker(&house, &door, &services));
        let bob = client(&house, &door, "bob");
        let anns = [(); 4].map(|()| client(&house, &door, "ann"));
        // Two of them are at home in each thread.
        for (n, ann) in anns.iter().enumerate() {
            let reply = ann.call(&services[n % 2], "x").await.unwrap();
            assert_eq!(reply.text(), "ann says x");
        }
        house.revoke("ann");
        loop {
            let info = crate::info(&bob, "s0.info").await;
            let counters = &info["counters"];
            let back = counters["handshakes_denied"].as_u64().unwrap();
            // They come back in vain.
            if counters["connections_revoked"] == 4 && back >= 4 {
                break;
            }
            tokio::task::yield_now().await;
        }
        for ann in &anns {
            for service in &services {
                let request = ann.request(service).ttl(Duration::from_millis(100));
                assert!(request.call().await.is_err());
            }
        }
        for service in &services {
            let reply = bob.call(service, "x").await.unwrap();
            assert_eq!(reply.text(), "bob says x");
        }
        crate::dismiss(workers).await;
    })
    .await;
}

#[test]
fn passwords_let_in_by_every_thread_and_wrong_ones_by_none() {
    let house = House::new();
    for (user, password) in [("ann", "tulip of 1637"), ("bob", "a spade, a rake")] {
        house.passwd(user, password);
        house.write(user, &format!("{password}\n"));
    }
    let door = house.door("--threads 2 --plain users");
    let endpoint = &door.endpoint;
    let words = |command: &str, user: &str, file: &str| {
        format!("{command} --connect {endpoint} --plain-user {user} --plain-password-file {file}")
    };
    let services = services();
    let worker = words("worker", "bob", "bob");
    let _workers = [0, 1].map(|n| {
        let service = &services[n];
        house.start(&format!("{worker} --service {service} -- tr a-z A-Z"))
    });
    // Connections are dealt out in turn: both threads let somebody in for each service.
    for n in 0..4_usize {
        for service in [&services[n / 2], &services[1 - n / 2]] {
            let call = words("call --timeout 50s", "ann", "ann");
            let called = house.run(&format!("{call} {service} hello"));
            assert_eq!(called.stdout, "HELLO\n", "{called:?}");
        }
        let wrong = words("call --timeout 50s", "ann", "bob");
        let wrong = house.run(&format!("{wrong} {} hello", services[0]));
        one_sentence(&wrong, 1, &["does not let us in: 400"]);
    }
    let info = words("info --json", "ann", "ann");
    let denied = poll(|| {
        let info = house.run(&info);
        let info: serde_json::Value = serde_json::from_str(&info.stdout).unwrap();
        (info["info"]["counters"]["handshakes_denied"] == 4).then_some(())
    });
    assert!(denied.is_some());
}
