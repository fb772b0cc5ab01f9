//! Who is alive, by everybody's own promise: what a peer said it would do is what it is held to.

use std::time::Duration;

use super::offering::{RECONNECT_INTERVAL, clamp_promise};
use super::peer::patience;
use super::{Broker, Due, Fact, Leaving, PeerId};
use crate::protocol::{Dialect, Id, Notice, Ping};
use crate::time::earliest;

impl Broker {
    /// An S0 PING: a sign of life, perhaps a new promise or capacity, always answered.
    pub(super) fn pinged(&mut self, id: PeerId, ping: Ping) {
        let Ping {
            back,
            promise,
            capacity,
            capable,
            credit,
        } = ping;
        let token = back.id;
        let enveloped = !back.envelope.is_empty();
        self.tell(id, Dialect::Scale0, Notice::Pong { back, capable });
        // A worker's words carry no envelope. And behind a proxy others share the connection:
        // one client's promise must not be their end.
        if enveloped {
            return;
        }
        let Some(peer) = self.peer_mut(id) else {
            return;
        };
        let stated = clamp_promise(promise);
        let changed = peer.promise != stated;
        peer.promise = stated;
        if capable {
            peer.credit = credit;
        }
        let worker = peer.worker.as_deref_mut();
        let is_worker = worker.is_some();
        if let Some(worker) = worker
            && worker.dialect() == Dialect::Scale0
        {
            // An announcement that still waits to be applied is older than this.
            for announcement in std::iter::once(&mut worker.announcement).chain(&mut worker.next) {
                announcement.promise = Some(promise);
                announcement.capacity = capacity.unwrap_or(announcement.capacity);
            }
            self.settle(id.place);
        }
        if changed {
            self.look_after(id.place);
        }
        if capable {
            if let Some(peer) = self.peer_mut(id) {
                peer.capable = true;
            }
            self.redirect(id);
        }
        // Who names a task or beats like a worker believes to be one.
        if !is_worker && !capable && (token != Id::ZERO || !promise.is_zero()) {
            self.hint(id, Dialect::Scale0);
        }
    }

    /// A sign of life that wants no answer, unless a stranger gives it who believes to be known.
    pub(super) fn beat(&mut self, id: PeerId, dialect: Dialect) {
        if self.worker(id).is_none() {
            self.hint(id, dialect);
        }
    }

    /// An orderly end of everything that was between us; the connection may stay.
    pub(super) fn bye(&mut self, id: PeerId) {
        self.drop_client(id);
        self.remove_worker(id, Leaving::Bye);
        if let Some(peer) = self.peer_mut(id) {
            peer.promise = Duration::ZERO;
            peer.credit = false;
        }
    }

    /// Tells a stranger to announce itself, at most once a second.
    pub(super) fn hint(&mut self, id: PeerId, dialect: Dialect) {
        let now = self.now;
        let Some(peer) = self.peer_mut(id) else {
            return;
        };
        let due = peer.hinted.is_none_or(|last| last + HINT_INTERVAL <= now);
        if due && !peer.dead {
            peer.hinted = Some(now);
            self.tell(id, dialect, Notice::Unknown);
        }
    }

    /// A Majordomo dialect that died in 2012. Closing would make libzmq dial again at once, so
    /// the connection stays and its messages are dropped.
    pub(super) fn dead(&mut self, id: PeerId) {
        self.counters.dead_dialect += 1;
        self.remove_worker(id, Leaving::Confused);
        if let Some(peer) = self.peer_mut(id)
            && !std::mem::replace(&mut peer.dead, true)
        {
            self.note(Fact::DeadDialect { peer: id });
        }
    }

    /// Sets a peer's timer to the next thing that time does to it.
    pub(super) fn look_after(&mut self, place: u32) {
        let Some(peer) = self.peer_at(place) else {
            return;
        };
        let former = peer.timer;
        // Who is busy may be silent, but for how long after that counts from any moment.
        let busy = (!peer.promise.is_zero()).then(|| self.now + patience(peer.promise));
        let mut due = peer.silence_ends().or(busy);
        if let Some(worker) = peer.worker.as_deref() {
            let beat = (worker.told + self.interval(worker.dialect())).max(self.now + MIN_NAP);
            let next = worker
                .next
                .as_ref()
                .map(|_| worker.announced + RECONNECT_INTERVAL);
            let end = worker.suspect.map(|since| since + self.config.suspect_time);
            due = [Some(beat), next, end].into_iter().fold(due, earliest);
        }
        if let Some(former) = former {
            self.deadlines.clear(former);
        }
        let timer = due.map(|at| self.deadlines.set(at, Due::Peer(place)));
        if let Some(peer) = self.peer_at_mut(place) {
            peer.timer = timer;
        }
    }

    pub(super) fn peer_due(&mut self, place: u32) {
        let (now, suspect_time) = (self.now, self.config.suspect_time);
        let Some(peer) = self.peer_at_mut(place) else {
            return;
        };
        peer.timer = None;
        let id = peer.id;
        if peer.silence_ends().is_some_and(|end| end <= now) {
            return self.give_up_peer(id, Leaving::Silent);
        }
        if let Some(worker) = peer.worker.as_deref_mut() {
            if worker
                .suspect
                .is_some_and(|since| since + suspect_time <= now)
            {
                return self.give_up_peer(id, Leaving::Suspect);
            }
            if worker.announced + RECONNECT_INTERVAL <= now
                && let Some(next) = worker.next.take()
            {
                self.apply(id, next);
            }
            self.send_beat(id);
        }
        self.look_after(place);
    }

    /// Says goodbye to a peer that cannot be relied on, and closes its connection: if it lives
    /// after all, it will dial again.
    fn give_up_peer(&mut self, id: PeerId, why: Leaving) {
        let dialect = self.worker(id).map(super::peer::Worker::dialect);
        self.remove_worker(id, why);
        if let Some(dialect) = dialect {
            self.tell(id, dialect, Notice::Bye);
        }
        self.close(id);
    }

    /// A beat to a worker, if nothing else was said to it lately. Beats that nobody reads must
    /// not fill its pipe.
    fn send_beat(&mut self, id: PeerId) {
        let now = self.now;
        let Some(peer) = self.peer(id) else {
            return;
        };
        let (full, Some(worker)) = (peer.full, peer.worker.as_deref()) else {
            return;
        };
        let dialect = worker.dialect();
        let interval = self.interval(dialect);
        let most = match dialect {
            Dialect::Scale0 => S0_BEATS,
            _ if worker.tasks.is_empty() => u32::MAX,
            _ => MAJORDOMO_BEATS,
        };
        if worker.told + interval > now || worker.beats >= most || full {
            return;
        }
        if let Some(worker) = self.worker_mut(id) {
            worker.told = now;
            worker.beats += 1;
        }
        self.tell(id, dialect, Notice::Beat { promise: interval });
    }

    fn interval(&self, dialect: Dialect) -> Duration {
        if dialect.is_majordomo() {
            self.config.majordomo_heartbeat
        } else {
            self.config.heartbeat
        }
    }
}

/// A stranger is not told more often than this to announce itself.
const HINT_INTERVAL: Duration = Duration::from_secs(1);
/// S0 PINGs that may be unanswered.
const S0_BEATS: u32 = 3;
/// HEARTBEATs to a busy Majordomo worker that says nothing meanwhile.
const MAJORDOMO_BEATS: u32 = 10;
/// A beat that is overdue (its limit is reached) is looked after this much later.
const MIN_NAP: Duration = Duration::from_millis(500);
