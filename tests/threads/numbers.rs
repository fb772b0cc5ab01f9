//! What the broker tells of itself is told of all threads together.

use std::process::Command;

use scale0::{Client, Task, Worker};
use serde_json::Value;
use tokio::task::JoinSet;

use crate::process::{Broker, Finished, Process, poll};
use crate::{bounded, dismiss, hire, services};

fn run(command: &mut Command) -> Finished {
    Process::start(command).finish()
}

/// What a list holds of this name.
fn named<'a>(list: &'a Value, name: &str) -> &'a Value {
    let mut all = list.as_array().unwrap().iter();
    let found = all.find(|one| one["name"] == name || one["service"] == name);
    found.unwrap_or_else(|| panic!("no {name}: {list}"))
}

fn echo(endpoint: &str, services: &[String]) -> Worker {
    let mut builder = Worker::builder(endpoint).unwrap().capacity(4);
    for service in services {
        builder = builder.service(service, async |task: Task| Ok(task.into_body()));
    }
    builder.build().unwrap()
}

#[tokio::test]
async fn the_numbers_of_all_threads_add_up_wherever_one_asks() {
    bounded(async {
        let broker = Broker::start(&["--threads", "2"]);
        let services = services();
        let endpoint = &broker.endpoint;
        let both = hire(echo(endpoint, &services));
        let one = hire(echo(endpoint, &services[1..]));
        let clients = [(); 2].map(|()| Client::connect(endpoint).unwrap());
        for (n, count) in [(0, 7), (1, 5)] {
            for _ in 0..count {
                let reply = clients[n].call(&services[n], "x").await.unwrap();
                assert_eq!(reply.text(), "x");
            }
        }
        // Nobody offers these; each waits at a home of its own.
        let waiting = services.clone().map(|service| format!("{service}.later"));
        let mut calls = JoinSet::new();
        for (n, count) in [(0, 1), (1, 2)] {
            for _ in 0..count {
                // From the other home.
                let (client, service) = (clients[1 - n].clone(), waiting[n].clone());
                calls.spawn(async move { client.call(&service, "late").await.unwrap() });
            }
        }
        for client in &clients {
            crate::until(client, |info| info["queued"] == 3 && info["workers"] == 2).await;
        }
        // Each command is a connection of its own, and the threads are dealt them in turn.
        let mut asked = 0_u64;
        for _ in 0..4 {
            // The one before may not have ended for the broker yet.
            let alone = poll(|| {
                asked += 1;
                let all = broker.info();
                (all["info"]["connections"] == 5).then_some(all)
            });
            let all = alone.expect("two clients, two workers, and who asks");
            let told = &all["info"];
            assert_eq!(told["services"], 2, "{all}");
            assert_eq!((&told["open"], &told["in_flight"]), (&3.into(), &0.into()));
            let counters = &told["counters"];
            assert_eq!(
                (&counters["tasks"], &counters["replies"]),
                (&15.into(), &12.into())
            );
            assert_eq!(counters["workers_joined"], 2, "{all}");
            assert_eq!(counters["connections_accepted"], 4 + asked, "{all}");
            for (n, workers, done) in [(0, 1, 7), (1, 2, 5)] {
                let service = named(&all["services"], &services[n]);
                assert_eq!(
                    (&service["workers"], &service["done"]),
                    (&workers.into(), &done.into())
                );
            }
            let workers = all["workers"].as_array().unwrap();
            let done = workers
                .iter()
                .map(|worker| worker["done"].as_u64().unwrap());
            assert_eq!((workers.len(), done.sum::<u64>()), (2, 12), "{all}");
        }
        let queues = crate::info(&clients[0], "s0.queues").await;
        assert_eq!(queues["queued"], 3, "{queues}");
        for (n, queued) in [(0, 1), (1, 2)] {
            assert_eq!(
                named(&queues["queues"], &waiting[n])["queued"],
                queued,
                "{queues}"
            );
        }
        // Settings of a service take hold at its home, wherever the command comes in.
        for service in services.iter().chain(&services) {
            let set = run(broker.scale0("set").args([service, "policy=least"]));
            assert_eq!(set.code, Some(0), "{set:?}");
        }
        let all = broker.info();
        for service in &services {
            assert_eq!(named(&all["services"], service)["policy"], "least", "{all}");
        }
        let late = hire(echo(endpoint, &waiting));
        while let Some(reply) = calls.join_next().await {
            assert_eq!(reply.unwrap().text(), "late");
        }
        for worker in [both, one, late] {
            dismiss(worker).await;
        }
    })
    .await;
}
