//! The driver's connections: made, lost, and made again elsewhere.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::super::error::CallError;
use super::super::ledger::Ended;
use super::super::speech;
use super::{Driver, Which};
use crate::net::{Link, LinkError};
use crate::security;
use crate::session;
use crate::time::Time;
use crate::wire::Endpoint;

impl Driver {
    /// Begins to connect to the route's current endpoint after a pause.
    pub(super) fn connect(&mut self, pause: Duration) {
        if let Some(endpoint) = self.route.current().cloned() {
            self.begin(endpoint, pause);
        }
    }

    pub(super) fn begin(&mut self, endpoint: Endpoint, pause: Duration) {
        let (config, clock) = (Arc::clone(&self.config), self.clock);
        self.dialed = Arc::default();
        let dialed = Arc::clone(&self.dialed);
        self.connecting = Some(Box::pin(async move {
            tokio::time::sleep(pause).await;
            let mut link = Link::dial(&endpoint, config, clock).await?;
            dialed.store(true, Ordering::Relaxed);
            link.shake().await?;
            Ok(link)
        }));
    }

    /// An attempt has ended: for the current endpoint, or for the preferred one while another is
    /// in use.
    pub(super) fn connected(&mut self, link: Result<Link, LinkError>) {
        self.connecting = None;
        let returning = std::mem::take(&mut self.returning);
        let now = self.clock.now();
        match link {
            Ok(mut link) => {
                if returning {
                    self.route.moved(now);
                } else {
                    self.route.connected(now);
                }
                tracing::debug!(
                    endpoint = self.route.current().map(tracing::field::display),
                    "connected"
                );
                self.trouble = None;
                if !self.dialect.is_majordomo() {
                    // Before all tasks. A link that breaks over it says so when it is read.
                    let _ = speech::introduce(|pieces| link.send(pieces));
                }
                self.leaving = false;
                self.next_number += 1;
                let former = self.link.replace((self.next_number, link));
                if let Some((number, link)) = former
                    && self.ledger.on_link(number) > 0
                {
                    self.old = Some((number, link));
                }
            }
            Err(_) if self.link.is_some() => self.route.stayed(now),
            Err(error) => {
                self.note(&error);
                let endpoint = self.route.current().map(tracing::field::display);
                let is_news = match error.is_refusal() {
                    // Who gives up tells it to all who wait.
                    true => self.route.is_news_of_refusal() && !self.gives_up,
                    false => self.route.is_news(),
                };
                if is_news {
                    tracing::warn!(endpoint, %error, "not connected, trying again");
                } else {
                    tracing::debug!(endpoint, %error, "not connected");
                }
                let pause = if error.is_refusal() {
                    self.refused(&error)
                } else {
                    self.route.failed(now)
                };
                self.connect(pause);
            }
        }
    }

    /// Keeps why there is no connection to the current endpoint.
    pub(super) fn note(&mut self, error: &LinkError) {
        let endpoint = self.route.current();
        // That is how a server answers to what its key does not open.
        let silent = self.is_curve && matches!(error, LinkError::Closed);
        let hint = match silent && self.dialed.load(Ordering::Relaxed) {
            true => " in the handshake, as it does if its key is another than the one given here",
            false => "",
        };
        self.trouble = endpoint.map(|endpoint| format!("{endpoint}: {error}{hint}"));
    }

    /// The current endpoint does not want us: how long to wait before the next attempt.
    pub(super) fn refused(&mut self, error: &LinkError) -> Duration {
        let endpoint = self.route.current().map(Endpoint::to_string);
        let pause = self.route.refused();
        if self.gives_up && self.route.is_exhausted() {
            let endpoint = endpoint.unwrap_or_default();
            let reason = reason(error);
            for Ended { who, .. } in self.ledger.end_unsent() {
                let (endpoint, reason) = (endpoint.clone(), reason.clone());
                who.finish(Err(CallError::NotAdmitted { endpoint, reason }));
            }
        }
        pause
    }

    /// Why a call could not be sent, as far as that is known.
    pub(super) fn trouble(&self) -> Option<String> {
        if self.link.is_some() {
            return None;
        }
        let waits = match self.dialed.load(Ordering::Relaxed) {
            true => "it takes connections, but does not answer as ZeroMQ does",
            false => "not connected yet",
        };
        let endpoint = self.route.current();
        let now = || endpoint.map(|endpoint| format!("{endpoint}: {waits}"));
        self.trouble.clone().or_else(now)
    }

    /// When to try the preferred endpoint again.
    pub(super) fn return_at(&self) -> Option<Time> {
        let able = self.link.is_some() && self.connecting.is_none() && self.old.is_none();
        able.then(|| self.route.return_at()).flatten()
    }

    /// A connection is gone.
    pub(super) fn lose(&mut self, which: Which) {
        self.end(which, |driver, now| driver.route.failed(now));
    }

    /// A connection is given up for a new one to the same endpoint, which is not to blame.
    pub(super) fn renew(&mut self, which: Which) {
        self.end(which, |driver, _| driver.route.renewed());
    }

    /// A connection is over; `pause` says how long to wait before the next.
    pub(super) fn end(&mut self, which: Which, pause: impl FnOnce(&mut Self, Time) -> Duration) {
        let Some((number, _)) = self.place(which).take() else {
            return;
        };
        for Ended { who, .. } in self.ledger.lost(number) {
            who.finish(Err(CallError::Unknown));
        }
        if matches!(which, Which::Current) {
            self.leaving = false;
            // An attempt to return to the preferred endpoint goes on as the next connection.
            if self.connecting.is_none() {
                let pause = pause(self, self.clock.now());
                self.connect(pause);
            }
        }
    }
}

/// What a peer's ERROR says, in words.
fn reason(error: &LinkError) -> String {
    let said = match error {
        LinkError::Session(session::Error::Security(security::Error::Refused { reason })) => reason,
        LinkError::Session(session::Error::Refused { reason }) => reason,
        other => return other.to_string(),
    };
    match &said[..] {
        b"400" => "400, it does not know the key, or the user with this password".to_owned(),
        b"500" => "500, what decides there who may come in has failed".to_owned(),
        said => said.escape_ascii().to_string(),
    }
}
