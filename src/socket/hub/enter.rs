//! Who may come in, and who may stay.

use super::State;
use crate::auth::{self, Request};
use crate::security::{Credentials, User, Verdict};
use crate::session::Heard;
use crate::socket::monitor::Reason;
use crate::socket::pipe::{Link, Origin};

impl State {
    /// A handshake cannot go on before somebody says whether the peer may come in.
    pub(super) fn ask(&mut self, slot: u32, credentials: Credentials) {
        let (Some(pipe), Some(runtime)) = (self.pipes.get_mut(slot), &self.runtime) else {
            return;
        };
        let address = match pipe.origin {
            Origin::Accepted { address, .. } => address,
            Origin::Connected { .. } => None,
        };
        let connection = pipe.connection;
        let authenticator = self.options.authenticator.clone();
        let limit = self.options.limits.handshake_time;
        let request = Request {
            credentials,
            address,
        };
        let hub = self.hub.clone();
        let asked = runtime.spawn(async move {
            let verdict = auth::verdict(authenticator, request, limit).await;
            if let Some(hub) = hub.upgrade() {
                hub.lock().judged(slot, connection, verdict);
            }
        });
        pipe.asking = Some(asked.abort_handle());
    }

    /// The answer has come.
    fn judged(&mut self, slot: u32, connection: u64, verdict: Verdict) {
        self.now = self.clock.now();
        let Some(pipe) = self.pipes.get_mut(slot) else {
            return;
        };
        let Some(Link::Stream(stream)) = &mut pipe.link else {
            return;
        };
        // Numbers of pipes are used again, those of connections are not.
        if pipe.connection != connection {
            return;
        }
        pipe.asking = None;
        match stream.session.judge(self.now, verdict) {
            Ok(Some(Heard::Open(peer))) => {
                pipe.user = peer.user;
                self.opened(slot, &peer.metadata);
            }
            Ok(_) => {}
            Err(error) => return self.lose(slot, Reason::Session(error)),
        }
        self.flush(slot);
        self.attend(slot);
    }

    /// Cuts those off who would not be let in any more.
    pub(super) fn review(&mut self) {
        let Some(authenticator) = self.options.authenticator.clone() else {
            return;
        };
        if self.reviewed_at + auth::REVIEW > self.now {
            return;
        }
        self.reviewed_at = self.now;
        let stays = |user: &User| auth::stays(&*authenticator, user);
        let revoked: Vec<u32> = self
            .pipes
            .iter()
            .filter(|(_, pipe)| pipe.open && pipe.user.as_ref().is_some_and(|user| !stays(user)))
            .map(|(slot, _)| slot)
            .collect();
        for slot in revoked {
            self.lose(slot, Reason::Revoked);
        }
    }

    /// Somebody is in who may have to go.
    pub(super) fn review_soon(&mut self) {
        let at = self.now + auth::REVIEW;
        if self.wake_at.is_none_or(|wake| at < wake) {
            self.wake_at = Some(at);
            self.ready.wake_driver();
        }
    }

    /// Whether [`review`](Self::review) ever has something to do.
    pub(super) fn reviews(&self) -> bool {
        self.options.authenticator.is_some() && self.options.security.asks()
    }
}
