//! Rules of access hold for services of every home, whoever's connection is where.

use std::path::Path;

use scale0::Client;
use scale0::sdk::CallError;

use crate::process::{Broker, Process};
use crate::{bounded, info, services};

/// Puts another file in this one's place, as a careful editor does.
fn replace(path: &Path, text: &str) {
    let fresh = path.with_extension("new");
    std::fs::write(&fresh, text).unwrap();
    std::fs::rename(&fresh, path).unwrap();
}

fn rules(offer: &[&str], call: &[&str]) -> String {
    format!(
        "[[rule]]\nwho = [\"*\"]\noffer = {offer:?}\ncall = {call:?}\nadminister = [\"s0.*\"]\n"
    )
}

async fn until_refused(client: &Client, service: &str) {
    loop {
        match client.call(service, "x").await {
            Ok(reply) => assert_eq!(reply.text(), "x"),
            Err(refused) => {
                let told = format!("403 forbidden: no rule lets anonymous call {service}");
                assert_eq!(refused.to_string(), told);
                assert!(matches!(refused, CallError::Refused { .. }));
                return;
            }
        }
    }
}

#[tokio::test]
async fn who_loses_the_right_to_a_service_of_another_home_is_refused_on_the_same_connection() {
    bounded(async {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("access.toml");
        std::fs::write(&path, rules(&["*"], &["*"])).unwrap();
        let broker = Broker::start(&["--threads", "2", "--access", path.to_str().unwrap()]);
        let services = services();
        let mut worker = broker.scale0("worker");
        worker.args(["--service", &services[0], &services[1], "--echo"]);
        let worker = Process::start(&mut worker);
        // Two clients: each is at home with one of the services.
        let clients = [(); 2].map(|()| Client::connect(&broker.endpoint).unwrap());
        for (n, client) in clients.iter().enumerate() {
            for service in [&services[n], &services[1 - n]] {
                assert_eq!(client.call(service, "x").await.unwrap().text(), "x");
            }
        }
        for allowed in [0, 1] {
            let (yes, no) = (&services[allowed], &services[1 - allowed]);
            replace(&path, &rules(&["*"], &[yes]));
            for client in &clients {
                until_refused(client, no).await;
            }
            // What was forbidden before is allowed as soon as the new rules are there.
            for client in &clients {
                assert_eq!(client.call(yes, "x").await.unwrap().text(), "x");
            }
        }
        let seen = info(&clients[0], "s0.info").await;
        assert_eq!(seen["counters"]["connections_accepted"], 3, "{seen}");

        // The worker keeps what it may still offer.
        replace(&path, &rules(&[&services[1]], &["*"]));
        loop {
            let seen = info(&clients[1], "s0.workers").await;
            let offered = &seen["workers"][0]["services"];
            if *offered == serde_json::json!([&services[1]]) {
                break;
            }
            tokio::task::yield_now().await;
        }
        for client in &clients {
            assert_eq!(client.call(&services[1], "x").await.unwrap().text(), "x");
            let there = client.call("mmi.service", services[0].as_str()).await;
            assert_eq!(there.unwrap().text(), "404");
        }
        drop(worker);
    })
    .await;
}
