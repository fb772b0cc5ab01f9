//! A broker of several threads, over real sockets.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test may"
)]

mod bounds;
mod foreign;
mod guarded;
#[path = "../guarded/house.rs"]
#[allow(
    dead_code,
    clippy::disallowed_methods,
    reason = "shared with other tests, which use the rest, and measure how long they take"
)]
mod house;
mod numbers;
#[path = "../support/process.rs"]
#[allow(dead_code, reason = "shared with other tests, which use the rest")]
mod process;
mod rules;
mod served;

use std::sync::Arc;
use std::time::Duration;

use scale0::net::{Clock, Link};
use scale0::sdk::BuildError;
use scale0::session::{self, Heard};
use scale0::spread::home;
use scale0::wire::{Message, SocketType};
use scale0::{Client, Worker};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

pub(crate) const THREADS: usize = 2;

/// A service for each thread.
pub(crate) fn services() -> [String; THREADS] {
    std::array::from_fn(|shard| {
        let mut names = (0..).map(|n| format!("service-{n}"));
        let at_home = |name: &String| home(&name.as_str().into(), THREADS) == shard;
        names.find(at_home).unwrap()
    })
}

pub(crate) type Run = (oneshot::Sender<()>, JoinHandle<Result<(), BuildError>>);

pub(crate) fn hire(worker: Worker) -> Run {
    let (stop, stopped) = oneshot::channel::<()>();
    let run = tokio::spawn(worker.run(async { drop(stopped.await) }));
    (stop, run)
}

pub(crate) async fn dismiss((stop, run): Run) {
    stop.send(()).unwrap();
    run.await.unwrap().unwrap();
}

pub(crate) async fn bounded(test: impl Future<Output = ()>) {
    tokio::time::timeout(Duration::from_secs(60), test)
        .await
        .expect("it takes too long");
}

pub(crate) async fn info(client: &Client, service: &str) -> serde_json::Value {
    let reply = client.call(service, "").await.unwrap();
    serde_json::from_str(&reply.text()).unwrap()
}

/// Asks until the answer is as it should be; the time that the test may take bounds it.
pub(crate) async fn until(client: &Client, holds: impl Fn(&serde_json::Value) -> bool) {
    while !holds(&info(client, "s0.info").await) {
        tokio::task::yield_now().await;
    }
}

pub(crate) fn task(id: u64, service: &str, body: &[u8]) -> Vec<Vec<u8>> {
    let mut head = b"S0\x01\x01\0".to_vec();
    head.push(u8::try_from(service.len()).unwrap());
    head.extend_from_slice(&[0, 0, 0, 0, 0, 0]);
    head.extend_from_slice(&id.to_be_bytes());
    head.extend_from_slice(service.as_bytes());
    vec![head, body.to_vec()]
}

/// The next message; none when the connection has ended.
pub(crate) async fn next(link: &mut Link) -> Option<Message> {
    loop {
        match link.heard(usize::MAX).await {
            Ok(Some(Heard::Message(message))) => return Some(message),
            Ok(_) => {}
            Err(_) => return None,
        }
    }
}

pub(crate) async fn link(endpoint: &str) -> Link {
    let config = Arc::new(session::Config::new(SocketType::Dealer));
    let link = Link::open(&endpoint.parse().unwrap(), config, Clock::start()).await;
    link.unwrap()
}
