//! The broker as a process: sockets, timers and logs around a [`Broker`](crate::broker::Broker).
//!
//! No hop: a connection's task reads what is there, decodes it, calls the broker in the same stack
//! frame and encodes the consequences straight into the other connections' outboxes; at the end of
//! the turn each of them is written once.
//!
//! With several threads each is such a server of its own, a shard ([`spread`](crate::spread)): a
//! service is at home in one of them, and a connection moves to the home of the first service that
//! it names. What concerns other shards is handed over at the end of a turn, in one piece.

mod access;
mod admin;
mod config;
mod connection;
mod crew;
mod descriptors;
mod door;
mod log;
mod panics;
mod shard;
#[cfg(test)]
mod tests;
mod thread;
mod wires;

pub use access::{AccessError, AccessFile};
pub use config::Config;
pub use descriptors::raise_descriptor_limit;
pub use thread::Running;

use std::cell::RefCell;
use std::future::Future;
use std::io;
use std::rc::Rc;
use std::time::Duration;

use tokio::task::JoinSet;

use crate::net::{BindError, Listener, Transport, entropy};
use crate::wire::Endpoint;
use crew::Crew;
use shard::{Common, Shard};

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
    crew: Crew,
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
        let common = Common::new(&config);
        let (crew, common) = Crew::gather(&config, common)?;
        let shard = Rc::new(RefCell::new(Shard::new(config, entropy()?, common)));
        Ok(Self {
            shard,
            crew,
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
            mut crew,
            listeners,
            drain_timeout,
            access,
        } = self;
        let mut receiving = crew
            .start()?
            .map(|inbox| tokio::task::spawn_local(connection::receive(Rc::clone(&shard), inbox)));
        // Tasks without an end of their own: without one of them the broker would look alive, and
        // be deaf.
        let mut standing = JoinSet::new();
        for listener in listeners {
            standing.spawn_local(connection::accept(Rc::clone(&shard), listener));
        }
        if let Some(file) = access {
            standing.spawn_local(access::watch(Rc::clone(&shard), file));
        }
        // A task among the connections' tasks: it has its turn after those that are ready.
        let mut turns = tokio::task::spawn_local(shard::turns(Rc::clone(&shard)));
        let mut all = std::pin::pin!(async {
            let turns = async { (&mut turns).await.map_err(|_| Error::Panicked) };
            let receiving = async {
                match &mut receiving {
                    Some(task) => task.await.map_err(|_| Error::Panicked),
                    None => std::future::pending().await,
                }
            };
            let standing = async {
                match standing.join_next().await {
                    Some(_) => Err(Error::Panicked),
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                ended = standing => ended,
                ended = async { tokio::try_join!(turns, crew.ended()).map(|_| ()) } => ended,
                ended = receiving => ended.and(Err(Error::Panicked)),
            }
        });
        tokio::select! {
            ended = &mut all => ended,
            () = shutdown => {
                shard.borrow_mut().drain(drain_timeout);
                all.await
            }
        }
    }
}
