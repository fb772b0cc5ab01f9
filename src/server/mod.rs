//! The broker as a process: sockets, timers and logs around a [`Broker`](crate::broker::Broker).
//!
//! One thread, no hop: a connection's task reads what is there, decodes it, calls the broker in
//! the same stack frame and encodes the consequences straight into the other connections'
//! outboxes; at the end of the turn each of them is written once.

mod access;
mod admin;
mod config;
mod connection;
mod descriptors;
mod log;
mod shard;
mod thread;

pub use access::{AccessError, AccessFile};
pub use config::Config;
pub use descriptors::raise_descriptor_limit;
pub use thread::Running;

use std::cell::RefCell;
use std::future::Future;
use std::io;
use std::rc::Rc;
use std::time::Duration;

use crate::net::{BindError, Listener, Transport, entropy};
use crate::wire::Endpoint;
use shard::Shard;

/// Why a server could not start, or not go on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// An endpoint could not be bound.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// The system has no randomness, or no runtime.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The task that ends each turn panicked: without it nothing is written any more.
    #[error("the broker has panicked: this is a bug")]
    Panicked,
}

/// A bound broker that does not serve yet. Lives on one thread, inside a tokio `LocalRuntime`.
#[derive(Debug)]
pub struct Server {
    shard: Rc<RefCell<Shard>>,
    listeners: Vec<Listener>,
    drain_timeout: Duration,
    access: Option<AccessFile>,
}

impl Server {
    /// Binds all endpoints of the configuration.
    ///
    /// # Errors
    /// One that cannot be bound.
    pub async fn bind(config: Config) -> Result<Self, Error> {
        let mut listeners = Vec::with_capacity(config.endpoints.len());
        for endpoint in &config.endpoints {
            listeners.push(Listener::bind(endpoint, &Transport::default()).await?);
        }
        let drain_timeout = config.drain_timeout;
        let access = config.access.clone();
        let shard = Rc::new(RefCell::new(Shard::new(config, entropy()?)));
        Ok(Self {
            shard,
            listeners,
            drain_timeout,
            access,
        })
    }

    /// The endpoints as they are bound, with their real ports.
    pub fn endpoints(&self) -> impl Iterator<Item = &Endpoint> {
        self.listeners.iter().map(Listener::endpoint)
    }

    /// Serves until `shutdown` is done, then drains: what is in flight or queued may finish
    /// within the drain timeout, new tasks are refused.
    ///
    /// # Errors
    /// [`Error::Panicked`]; the panic itself has been printed.
    pub async fn run(self, shutdown: impl Future<Output = ()>) -> Result<(), Error> {
        let Self {
            shard,
            listeners,
            drain_timeout,
            access,
        } = self;
        let accepting: Vec<_> = listeners
            .into_iter()
            .map(|listener| {
                tokio::task::spawn_local(connection::accept(Rc::clone(&shard), listener))
            })
            .collect();
        let watching =
            access.map(|file| tokio::task::spawn_local(access::watch(Rc::clone(&shard), file)));
        // A task among the connections' tasks: it has its turn after those that are ready.
        let mut turns = tokio::task::spawn_local(shard::turns(Rc::clone(&shard)));
        let ended = tokio::select! {
            ended = &mut turns => ended,
            () = shutdown => {
                shard.borrow_mut().drain(drain_timeout);
                turns.await
            }
        };
        for task in accepting.into_iter().chain(watching) {
            task.abort();
        }
        ended.map_err(|_| Error::Panicked)
    }
}
