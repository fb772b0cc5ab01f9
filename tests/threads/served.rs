//! Services of several homes, and who has to do with them.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use scale0::net::{Clock, Link};
use scale0::sdk::Dialect;
use scale0::server::{Config, Running};
use scale0::session;
use scale0::wire::{Message, Piece, SocketType};
use scale0::{Client, Task, Worker};
use tokio::sync::Notify;
use tokio::task::JoinSet;

use crate::{Run, THREADS, bounded, dismiss, hire, info, link, next, services, task, until};

fn broker_of(change: impl FnOnce(&mut Config)) -> (Running, String) {
    let mut config = Config {
        endpoints: vec!["tcp://127.0.0.1:0".parse().unwrap()],
        threads: THREADS,
        ..Config::default()
    };
    change(&mut config);
    let broker = Running::start(config).unwrap();
    let endpoint = broker.endpoints()[0].to_string();
    (broker, endpoint)
}

fn broker() -> (Running, String) {
    broker_of(|_| {})
}

fn echo(endpoint: &str, services: &[String], capacity: u16) -> Worker {
    let mut builder = Worker::builder(endpoint).unwrap().capacity(capacity);
    for service in services {
        builder = builder.service(service, async |task: Task| Ok(task.into_body()));
    }
    builder.build().unwrap()
}

#[tokio::test]
async fn one_place_serves_two_services_of_two_threads_and_never_two_tasks_at_once() {
    bounded(async {
        let (broker, endpoint) = broker();
        let services = services();
        let busy = Arc::new(AtomicUsize::new(0));
        let mut builder = Worker::builder(&endpoint).unwrap().capacity(1);
        for service in &services {
            let busy = Arc::clone(&busy);
            builder = builder.service(service, move |task: Task| {
                let busy = Arc::clone(&busy);
                async move {
                    assert_eq!(busy.fetch_add(1, Ordering::SeqCst), 0, "one at a time");
                    tokio::task::yield_now().await;
                    busy.fetch_sub(1, Ordering::SeqCst);
                    Ok(task.into_body())
                }
            });
        }
        let worker = hire(builder.build().unwrap());
        let mut calls = JoinSet::new();
        for service in &services {
            let client = Client::connect(&endpoint).unwrap();
            for n in 0..50 {
                let (client, service) = (client.clone(), service.clone());
                calls.spawn(async move {
                    let body = format!("{service} {n}");
                    let reply = client.call(&service, body.as_str()).await.unwrap();
                    assert_eq!(reply.text(), body);
                });
            }
        }
        while let Some(done) = calls.join_next().await {
            done.unwrap();
        }
        let client = Client::connect(&endpoint).unwrap();
        let workers = info(&client, "s0.workers").await;
        assert_eq!(workers["workers"].as_array().unwrap().len(), 1);
        assert_eq!(workers["workers"][0]["capacity"], 1);
        assert_eq!(workers["workers"][0]["done"], 100);
        assert!(
            workers["workers"][0]["address"]
                .as_str()
                .unwrap()
                .starts_with("tcp://")
        );
        dismiss(worker).await;
        broker.stop();
    })
    .await;
}

#[tokio::test]
async fn one_client_reaches_the_services_of_all_threads() {
    bounded(async {
        let (broker, endpoint) = broker();
        let services = services();
        let workers: Vec<Run> = services
            .iter()
            .map(|service| hire(echo(&endpoint, std::slice::from_ref(service), 4)))
            .collect();
        let mdp = Worker::builder(&endpoint).unwrap().dialect(Dialect::Mdp01);
        let mdp = mdp.service("majordomo", async |task: Task| Ok(task.into_body()));
        let mdp = hire(mdp.build().unwrap());
        let client = Client::connect(&endpoint).unwrap();
        for round in 0..20 {
            for service in services.iter().map(String::as_str).chain(["majordomo"]) {
                let body = format!("{service} {round}");
                let reply = client.call(service, body.as_str()).await.unwrap();
                assert_eq!(reply.text(), body);
            }
        }
        for service in &services {
            let there = client.call("mmi.service", service.as_str()).await.unwrap();
            assert_eq!(there.text(), "200");
            let body = Message::new([service.as_bytes(), b"policy=least"]);
            let set = client.call("s0.set", body).await.unwrap();
            assert!(set.text().contains("least"), "{}", set.text());
        }
        let nobody = client.call("mmi.service", "nobody").await.unwrap();
        assert_eq!(nobody.text(), "404");
        let all = info(&client, "s0.services").await;
        let named = |name: &str| {
            let mut all = all["services"].as_array().unwrap().iter();
            all.find(|service| service["name"] == name)
                .cloned()
                .unwrap()
        };
        for service in &services {
            assert_eq!(named(service)["done"], 20);
            assert_eq!(named(service)["policy"], "least");
        }
        let seen = info(&client, "s0.info").await;
        assert_eq!(seen["connections"], 4);
        assert_eq!(
            (&seen["workers"], &seen["services"]),
            (&3.into(), &3.into())
        );
        assert_eq!(seen["counters"]["tasks"], 60);
        assert_eq!(seen["counters"]["replies"], 60);
        assert_eq!(seen["counters"]["workers_joined"], 3);
        for worker in workers {
            dismiss(worker).await;
        }
        dismiss(mdp).await;
        broker.stop();
    })
    .await;
}

#[tokio::test]
async fn a_connection_that_moves_while_it_talks_loses_nothing() {
    bounded(async {
        let (broker, endpoint) = broker();
        let services = services();
        let workers = hire(echo(&endpoint, &services, 64));
        let client = Client::connect(&endpoint).unwrap();
        for service in &services {
            client.call(service, "").await.unwrap();
        }
        let mut moving = JoinSet::new();
        for n in 0..40_usize {
            let (endpoint, services) = (endpoint.clone(), services.clone());
            moving.spawn(async move {
                let mut link = link(&endpoint).await;
                // All at once: what follows the first is on its way when the connection moves.
                for id in 0..100_u64 {
                    let first = usize::from(id > 0) * usize::try_from(id).unwrap();
                    let service = &services[(n + first) % THREADS];
                    let body = vec![7; usize::try_from(id).unwrap() * 40];
                    let frames = task(id + 1, service, &body);
                    let pieces: Vec<Piece<'_>> =
                        frames.iter().map(|frame| Piece::Part(frame)).collect();
                    link.send(&pieces).unwrap();
                }
                let mut open: Vec<u64> = (1..=100).collect();
                while !open.is_empty() {
                    let message = next(&mut link).await.unwrap();
                    let parts: Vec<&[u8]> = message.parts().collect();
                    let id = u64::from_be_bytes(parts[0][12..20].try_into().unwrap());
                    assert_eq!(parts[0][3], 2, "a REPLY");
                    let place = open.iter().position(|there| *there == id);
                    open.remove(place.expect("asked, and not answered before"));
                    assert_eq!(parts[1].len(), usize::try_from(id - 1).unwrap() * 40);
                }
            });
        }
        while let Some(done) = moving.join_next().await {
            done.unwrap();
        }
        until(&client, |info| info["connections"] == 2).await;
        dismiss(workers).await;
        broker.stop();
    })
    .await;
}

#[tokio::test]
async fn who_hangs_up_while_moving_is_forgotten_everywhere() {
    bounded(async {
        let (broker, endpoint) = broker();
        let services = services();
        for n in 0..100 {
            let mut link = link(&endpoint).await;
            let frames = task(1, &services[n % THREADS], b"x");
            let pieces: Vec<Piece<'_>> = frames.iter().map(|frame| Piece::Part(frame)).collect();
            link.send(&pieces).unwrap();
            link.flush().await.unwrap();
        }
        let client = Client::connect(&endpoint).unwrap();
        until(&client, |info| {
            info["connections"] == 1 && info["open"] == 0 && info["held_bytes"] == 0
        })
        .await;
        broker.stop();
    })
    .await;
}

#[tokio::test]
async fn connections_are_counted_for_all_threads_together() {
    bounded(async {
        let (broker, endpoint) = broker_of(|config| config.broker.limits.connections = 3);
        let links = [
            link(&endpoint).await,
            link(&endpoint).await,
            link(&endpoint).await,
        ];
        let config = Arc::new(session::Config::new(SocketType::Dealer));
        let fourth = Link::open(&endpoint.parse().unwrap(), config, Clock::start()).await;
        assert!(fourth.is_err(), "closed on arrival");
        drop(links);
        broker.stop();
    })
    .await;
}

#[tokio::test]
async fn a_drain_waits_for_the_tasks_of_all_threads() {
    bounded(async {
        let (broker, endpoint) = broker();
        let services = services();
        let (begun, go) = (Arc::new(AtomicUsize::new(0)), Arc::new(Notify::new()));
        let mut builder = Worker::builder(&endpoint).unwrap().capacity(8);
        for service in &services {
            let (begun, go) = (Arc::clone(&begun), Arc::clone(&go));
            builder = builder.service(service, move |task: Task| {
                let (begun, go) = (Arc::clone(&begun), Arc::clone(&go));
                async move {
                    begun.fetch_add(1, Ordering::SeqCst);
                    go.notified().await;
                    Ok(task.into_body())
                }
            });
        }
        let worker = hire(builder.build().unwrap());
        let client = Client::connect(&endpoint).unwrap();
        let mut calls = JoinSet::new();
        for service in &services {
            let (client, service) = (client.clone(), service.clone());
            calls.spawn(async move {
                client
                    .call(&service, "late")
                    .await
                    .unwrap()
                    .text()
                    .into_owned()
            });
        }
        while begun.load(Ordering::SeqCst) < THREADS {
            tokio::task::yield_now().await;
        }
        // A drain that is asked for holds for all, and can be called off.
        let asker = Client::builder(&endpoint).unwrap().stay().build().unwrap();
        let state = info(&asker, "s0.drain").await;
        assert_eq!(
            (&state["draining"], &state["open"]),
            (&true.into(), &2.into())
        );
        let state = info(&asker, "s0.undrain").await;
        assert_eq!(state["draining"], false);
        let stopped = tokio::task::spawn_blocking(move || broker.stop());
        until_draining(&asker).await;
        for _ in 0..THREADS {
            go.notify_one();
        }
        while let Some(reply) = calls.join_next().await {
            assert_eq!(reply.unwrap(), "late");
        }
        stopped.await.unwrap();
        let _ = worker.0.send(());
    })
    .await;
}

async fn until_draining(asker: &Client) {
    while info(asker, "s0.info").await["draining"] == false {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_server_that_is_dropped_ends_all_its_threads() {
    bounded(async {
        let (broker, endpoint) = broker();
        let mut link = link(&endpoint).await;
        tokio::task::spawn_blocking(move || drop(broker))
            .await
            .unwrap();
        assert!(next(&mut link).await.is_none(), "closed");
    })
    .await;
}
