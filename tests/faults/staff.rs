//! Who works and who asks: the SDK in this process, where a test sees into every handler.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use scale0::sdk::{CallError, Failure, Reply};
use scale0::wire::Message;
use scale0::{Client, Task, Worker};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

/// A worker of ours whose tasks wait until they are let go, and are echoed then.
pub(crate) struct Gated {
    /// The beginnings of the bodies.
    begun: Arc<Mutex<Vec<String>>>,
    gate: Arc<Semaphore>,
    run: JoinHandle<()>,
}

impl Gated {
    pub(crate) fn new(endpoint: &str, service: &str, capacity: u16) -> Self {
        let (begun, gate) = (
            Arc::<Mutex<Vec<String>>>::default(),
            Arc::new(Semaphore::new(0)),
        );
        let (notes, waits) = (Arc::clone(&begun), Arc::clone(&gate));
        let handler = move |task: Task| {
            let begins = task.text().chars().take(16).collect();
            notes.lock().unwrap().push(begins);
            let waits = Arc::clone(&waits);
            async move {
                waits.acquire().await.unwrap().forget();
                Ok::<Message, Failure>(task.into_body())
            }
        };
        let worker = Worker::builder(endpoint).unwrap();
        let worker = worker.capacity(capacity).service(service, handler);
        let worker = worker.build().unwrap();
        let run = tokio::spawn(async move { worker.run(std::future::pending()).await.unwrap() });
        Self { begun, gate, run }
    }

    /// How many tasks it was ever given.
    pub(crate) fn begun(&self) -> usize {
        self.begun.lock().unwrap().len()
    }

    /// Of the tasks whose bodies are such ones: how often the one was begun that was most often.
    pub(crate) fn most_often(&self, is_one: impl Fn(&str) -> bool) -> usize {
        let mut counts = BTreeMap::<String, usize>::new();
        for begins in self
            .begun
            .lock()
            .unwrap()
            .iter()
            .filter(|text| is_one(text))
        {
            *counts.entry(begins.clone()).or_default() += 1;
        }
        counts.into_values().max().unwrap_or_default()
    }

    /// Waits until it was given so many.
    pub(crate) async fn has_begun(&self, tasks: usize) {
        eventually("begun tasks", || self.begun() >= tasks).await;
    }

    /// Lets tasks go, those that come included.
    pub(crate) fn open(&self) {
        self.let_go(100_000);
    }

    /// Lets so many tasks go.
    pub(crate) fn let_go(&self, tasks: usize) {
        self.gate.add_permits(tasks);
    }

    /// From now on they wait again.
    pub(crate) fn close(&self) {
        self.gate.forget_permits(usize::MAX);
    }
}

impl Drop for Gated {
    /// As if its process had died.
    fn drop(&mut self) {
        self.run.abort();
    }
}

/// A call on a task of its own.
pub(crate) fn ask(
    client: &Client,
    service: &str,
    body: impl Into<Message>,
    idempotent: bool,
) -> JoinHandle<Result<Reply, CallError>> {
    let request = client.request(service).ttl(PATIENCE).body(body);
    tokio::spawn(request.idempotent(idempotent).call())
}

/// Calls one after the other, each with its own answer, until `is_over`: how long each took.
pub(crate) async fn call_on(
    client: &Client,
    service: &str,
    is_over: impl Fn() -> bool,
) -> Vec<Duration> {
    let mut took = Vec::new();
    while !is_over() {
        let begun = Instant::now();
        let text = format!("call {}", took.len());
        let reply = client.call(service, text.as_str()).await.unwrap();
        assert_eq!(reply.text(), text);
        took.push(begun.elapsed());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    took
}

pub(crate) async fn eventually(what: &str, is_so: impl Fn() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < PATIENCE, "{what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Within a minute.
pub(crate) async fn soon<F: Future>(what: F) -> F::Output {
    tokio::time::timeout(PATIENCE, what).await.expect("in time")
}

pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
