//! Signs of life, from both sides: our PINGs and their answers, the TTL that the peer stated,
//! and messages that begin but do not grow.

use std::time::Duration;

use super::Error;
use crate::limits::Limits;
use crate::time::{Time, earliest};

/// When a peer has to give signs of life.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Heartbeat {
    /// A PING goes out after this long without a byte from the peer.
    pub interval: Duration,
    /// The peer is dead if nothing at all comes for this long after a PING has left our outbox.
    pub timeout: Duration,
    /// The time to live that our PINGs state: after it the peer may count us dead. Zero for none.
    pub ttl: Duration,
}

/// The timers of one session.
#[derive(Debug)]
pub(super) struct Pulse {
    heartbeat: Option<Heartbeat>,
    heard: Time,
    ping: Ping,
    /// The peer's own promise, from its last PING; void with the next byte.
    expires: Option<Time>,
    /// A message has begun and not ended: since when this period runs, and its growth.
    growing: Option<(Time, usize)>,
    reading: bool,
}

#[derive(Debug)]
enum Ping {
    None,
    /// In the outbox.
    Queued,
    /// On its way since then.
    Sent(Time),
}

impl Pulse {
    pub(super) fn new(now: Time) -> Self {
        Self {
            heartbeat: None,
            heard: now,
            ping: Ping::None,
            expires: None,
            growing: None,
            reading: true,
        }
    }

    /// Any byte at all is a sign of life; a frame that trickles in is not silence.
    pub(super) fn heard(&mut self, now: Time) {
        self.heard = now;
        self.expires = None;
        if matches!(self.ping, Ping::Sent(_)) {
            self.ping = Ping::None;
        }
    }

    /// An unfinished message has just grown by so many bytes; `None` if there is none.
    pub(super) fn grew(&mut self, now: Time, by: Option<usize>) {
        self.growing = by.map(|bytes| match self.growing {
            Some((since, grown)) => (since, grown + bytes),
            None => (now, 0),
        });
    }

    /// The peer sent PING with this TTL.
    pub(super) fn promised(&mut self, now: Time, ttl: Duration) {
        self.expires = (!ttl.is_zero()).then(|| now + ttl);
    }

    pub(super) fn watch(&mut self, now: Time, heartbeat: Option<Heartbeat>) {
        if self.heartbeat.is_none() && heartbeat.is_some() {
            // The peer was not asked before: its silence counts from here. A PING that still
            // stands in the outbox will do.
            self.heard = now;
            if matches!(self.ping, Ping::Sent(_)) {
                self.ping = Ping::None;
            }
        }
        self.heartbeat = heartbeat;
    }

    pub(super) fn reading(&mut self, now: Time, reading: bool) {
        if reading && !self.reading {
            self.heard(now);
            self.growing = self.growing.map(|_| (now, 0));
        }
        self.reading = reading;
    }

    pub(super) fn ttl(&self) -> Duration {
        self.heartbeat
            .map_or(Duration::ZERO, |heartbeat| heartbeat.ttl)
    }

    /// A PING stands in the outbox.
    pub(super) fn pinged(&mut self) {
        self.ping = Ping::Queued;
    }

    /// No PING stands in the outbox any more.
    pub(super) fn ping_left(&mut self, now: Time) {
        if matches!(self.ping, Ping::Queued) {
            self.ping = Ping::Sent(now);
        }
    }

    /// Whether a PING is due; an error if the peer is out of time.
    pub(super) fn wake(&mut self, now: Time, limits: &Limits) -> Result<bool, Error> {
        if !self.reading {
            return Ok(false);
        }
        if self.expires.is_some_and(|at| at <= now) {
            return Err(Error::Expired);
        }
        if let Some((since, bytes)) = self.growing
            && limits.trickle > 0
            && since + limits.trickle_time <= now
        {
            if bytes < limits.trickle {
                return Err(Error::Trickle { bytes });
            }
            self.growing = Some((now, 0));
        }
        let Some(heartbeat) = self.heartbeat else {
            return Ok(false);
        };
        match self.ping {
            Ping::None => Ok(self.heard + heartbeat.interval <= now),
            Ping::Queued => Ok(false),
            Ping::Sent(at) if at + heartbeat.timeout <= now => Err(Error::Silent),
            Ping::Sent(_) => Ok(false),
        }
    }

    pub(super) fn deadline(&self, limits: &Limits) -> Option<Time> {
        if !self.reading {
            return None;
        }
        let ping = self.heartbeat.and_then(|heartbeat| match self.ping {
            Ping::None => Some(self.heard + heartbeat.interval),
            Ping::Queued => None,
            Ping::Sent(at) => Some(at + heartbeat.timeout),
        });
        // No growth demanded, no deadline for it.
        let growing = self.growing.filter(|_| limits.trickle > 0);
        let growing = growing.map(|(since, _)| since + limits.trickle_time);
        earliest(ping, earliest(self.expires, growing))
    }
}
