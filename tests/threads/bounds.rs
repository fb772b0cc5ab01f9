//! What is bounded for all threads together, and what in each.

use std::time::Duration;

use scale0::Client;
use scale0::net::Link;
use scale0::server::{Config, Running};
use scale0::wire::Piece;

use crate::{THREADS, bounded, info, link, next, services, task};

/// Whoever waits for a worker waits for the whole test.
fn broker_of(change: impl FnOnce(&mut Config)) -> (Running, String) {
    let mut config = Config {
        endpoints: vec!["tcp://127.0.0.1:0".parse().unwrap()],
        threads: THREADS,
        drain_timeout: Duration::ZERO,
        ..Config::default()
    };
    config.broker.wait_for_worker = Duration::from_secs(60);
    config.broker.default_ttl = Duration::from_secs(60);
    change(&mut config);
    let broker = Running::start(config).unwrap();
    let endpoint = broker.endpoints()[0].to_string();
    (broker, endpoint)
}

async fn ask(link: &mut Link, id: u64, service: &str) {
    let frames = task(id, service, b"x");
    let pieces: Vec<Piece<'_>> = frames.iter().map(|frame| Piece::Part(frame)).collect();
    link.send(&pieces).unwrap();
    link.flush().await.unwrap();
}

/// The status of the ERROR that comes next, and the id of its task.
async fn refusal(link: &mut Link) -> (u16, u64) {
    let message = next(link).await.unwrap();
    let head = message.parts().next().unwrap();
    assert_eq!(head[3], 3, "an ERROR");
    let status = u16::from_be_bytes(head[6..8].try_into().unwrap());
    (status, u64::from_be_bytes(head[12..20].try_into().unwrap()))
}

#[tokio::test]
async fn what_a_client_may_have_under_way_counts_in_each_thread() {
    bounded(async {
        let (broker, endpoint) = broker_of(|config| config.broker.limits.client_tasks = 1);
        let services = services();
        let mut link = link(&endpoint).await;
        // The same id, once in each.
        for service in &services {
            ask(&mut link, 1, service).await;
        }
        let client = Client::connect(&endpoint).unwrap();
        crate::until(&client, |info| info["queued"] == 2).await;
        for service in &services {
            ask(&mut link, 1, service).await;
            assert_eq!(refusal(&mut link).await, (409, 1));
            ask(&mut link, 2, service).await;
            assert_eq!(refusal(&mut link).await, (429, 2));
        }
        assert_eq!(info(&client, "s0.info").await["queued"], 2);
        broker.stop();
    })
    .await;
}

#[tokio::test]
async fn services_are_split_among_the_threads() {
    bounded(async {
        // Two of them in each thread.
        let (broker, endpoint) = broker_of(|config| config.broker.limits.services = 3);
        let mut workers = Vec::new();
        for service in services() {
            let names = [
                service.clone(),
                format!("{service}.b"),
                format!("{service}.c"),
            ];
            for (n, name) in names.into_iter().enumerate() {
                let mut worker = link(&endpoint).await;
                let parts: [&[u8]; 4] = [b"", b"MDPW01", b"\x01", name.as_bytes()];
                let pieces: Vec<Piece<'_>> = parts.map(Piece::Part).into();
                worker.send(&pieces).unwrap();
                worker.flush().await.unwrap();
                let client = Client::connect(&endpoint).unwrap();
                if n < 2 {
                    let there = || client.call("mmi.service", name.as_str());
                    while there().await.unwrap().text() != "200" {}
                    workers.push(worker);
                } else {
                    // It is told to go.
                    let gone = next(&mut worker).await;
                    let told = gone.map(|gone| gone.parts().nth(2).map(<[u8]>::to_vec));
                    assert!(told.is_none_or(|told| told.is_some_and(|told| told == b"\x05")));
                }
            }
        }
        let client = Client::connect(&endpoint).unwrap();
        assert_eq!(info(&client, "s0.info").await["services"], 4);
        broker.stop();
    })
    .await;
}

#[tokio::test]
async fn tasks_of_all_threads_are_counted_together() {
    bounded(async {
        let (broker, endpoint) = broker_of(|config| config.broker.limits.tasks = 2);
        let services = services();
        let mut links = [link(&endpoint).await, link(&endpoint).await];
        for (link, service) in links.iter_mut().zip(&services) {
            ask(link, 1, service).await;
        }
        let client = Client::connect(&endpoint).unwrap();
        // Both threads have answered this since, and so have said what they hold.
        crate::until(&client, |info| info["open"] == 2).await;
        crate::until(&client, |info| info["open"] == 2).await;
        for (link, service) in links.iter_mut().zip(&services) {
            ask(link, 2, service).await;
            assert_eq!(refusal(link).await, (503, 2));
        }
        broker.stop();
    })
    .await;
}
