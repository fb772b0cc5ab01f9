//! A broker on a thread of its own, for programs that want one inside.

use std::sync::mpsc;
use std::thread::JoinHandle;

use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::oneshot;

use super::{Config, Error, Server};
use crate::wire::Endpoint;

/// A broker that serves on its own thread. Dropping it stops it at once: connections are closed
/// without a drain.
#[derive(Debug)]
pub struct Running {
    endpoints: Vec<Endpoint>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Running {
    /// Binds and begins to serve.
    ///
    /// # Errors
    /// An endpoint that cannot be bound.
    pub fn start(config: Config) -> Result<Self, Error> {
        let (bound, started) = mpsc::channel();
        let (stop, stopped) = oneshot::channel();
        let thread = std::thread::Builder::new()
            .name("scale0-broker".to_owned())
            .spawn(move || {
                // Whoever started it waits for this answer, and is there to hear it.
                let _ = match Builder::new_current_thread()
                    .enable_all()
                    .build_local(LocalOptions::default())
                {
                    Ok(runtime) => {
                        runtime.block_on(serve(config, &bound, stopped));
                        Ok(())
                    }
                    Err(error) => bound.send(Err(error.into())),
                };
            })?;
        match started.recv() {
            Ok(Ok(endpoints)) => Ok(Self {
                endpoints,
                stop: Some(stop),
                thread: Some(thread),
            }),
            Ok(Err(error)) => Err(error),
            Err(_) => {
                Err(std::io::Error::other("the broker's thread ended before it began").into())
            }
        }
    }

    /// The endpoints as they are bound, with their real ports.
    #[must_use]
    pub fn endpoints(&self) -> &[Endpoint] {
        &self.endpoints
    }

    /// Drains and stops; returns when the thread has ended. Blocks.
    pub fn stop(mut self) {
        if let Some(stop) = self.stop.take() {
            // Its thread may have ended by itself.
            let _ = stop.send(());
        }
        self.join();
    }

    fn join(&mut self) {
        if let Some(thread) = self.thread.take() {
            // A panic of the broker's has been printed by its own thread.
            let _ = thread.join();
        }
    }
}

async fn serve(
    config: Config,
    bound: &mpsc::Sender<Result<Vec<Endpoint>, Error>>,
    stopped: oneshot::Receiver<()>,
) {
    match Server::bind(config).await {
        Ok(server) => {
            let endpoints = server.endpoints().cloned().collect();
            // The starter waits for this.
            let _ = bound.send(Ok(endpoints));
            let (abandoned, gone) = oneshot::channel();
            let shutdown = async move {
                if stopped.await.is_err() {
                    // Dropped, not stopped.
                    let _ = abandoned.send(());
                    std::future::pending::<()>().await;
                }
            };
            tokio::select! {
                ended = server.run(shutdown) => if let Err(error) = ended {
                    tracing::error!(%error, "the broker's thread ends");
                },
                // Nothing is said if it was stopped: it drains then.
                Ok(()) = gone => {}
            }
        }
        Err(error) => {
            let _ = bound.send(Err(error));
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.stop.take());
        self.join();
    }
}
