//! What a program may choose about a socket.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::auth::Authenticator;
use crate::limits::Limits;
use crate::net::{Backoff, Keepalive, Transport};
use crate::pattern::{self, Handover, Verbose};
use crate::security::Security;
use crate::session::{self, Heartbeat};
use crate::wire::{Message, Metadata, SocketType};

/// All options of a socket, with defaults that are safe on a port open to strangers. The names in
/// brackets are libzmq's; [`set`](Self::set) takes those as text.
#[derive(Clone, Debug)]
pub struct Options {
    /// The name under which a ROUTER at the other end knows this socket: at most 255 bytes, the
    /// first not zero; empty for none (`ROUTING_ID`).
    pub identity: Bytes,
    /// ROUTER: the name of the peer that is connected to next, once; empty for the one it gives
    /// itself (`CONNECT_ROUTING_ID`). [`Socket::connect_as`](super::Socket::connect_as) says it
    /// more plainly.
    pub connect_as: Bytes,
    /// Messages that may wait to be sent to one peer; 0 for no such bound (`SNDHWM`). Over inproc
    /// they wait in one queue with what the other side may receive ahead, and the bounds of both
    /// sides add up.
    pub send_messages: usize,
    /// Bytes of them; one message more may go beyond.
    pub send_bytes: usize,
    /// Messages that are received from one peer ahead of the program; 0 for no such bound
    /// (`RCVHWM`). Beyond it the stream is not read, so that its sender has to wait. What one
    /// read has brought (64 KiB at most) may stand beyond it.
    pub receive_messages: usize,
    /// Bytes of them.
    pub receive_bytes: usize,
    /// How long a socket that is closed, or has disconnected from an endpoint, may take to send what
    /// waits; `None` is for ever (`LINGER`).
    pub linger: Option<Duration>,
    /// Messages wait only for peers that are connected (`IMMEDIATE`).
    pub immediate: bool,
    /// Of the messages that wait, in either direction, only the last one of each peer stays, and
    /// the bounds do not count (`CONFLATE`). What stands encoded for the stream already, 64 KiB at
    /// most, is not taken back.
    pub conflate: bool,
    /// What the pattern of the socket's type allows.
    pub pattern: pattern::Config,
    /// REQ, DEALER, ROUTER: an empty message greets each new peer, so that a ROUTER learns its
    /// name (`PROBE_ROUTER`).
    pub probe: bool,
    /// XPUB: sent to each new subscriber (`XPUB_WELCOME_MSG`).
    pub welcome: Option<Message>,
    /// Sent to each new peer (`HELLO_MSG`).
    pub hello: Option<Message>,
    /// Received as if from the peer when it is gone (`DISCONNECT_MSG`).
    pub disconnect: Option<Message>,
    /// Received as if from the peer when a connection made by this side is lost and will be made
    /// again (`HICCUP_MSG`).
    pub hiccup: Option<Message>,
    /// PINGs (`HEARTBEAT_IVL`, `HEARTBEAT_TIMEOUT`, `HEARTBEAT_TTL`). A timeout of zero is the
    /// interval.
    pub heartbeat: Option<Heartbeat>,
    /// When to connect again; `None` is never (`RECONNECT_IVL`, `RECONNECT_IVL_MAX`).
    /// An endpoint that is not connected to again is given up: what waits for it is dropped.
    pub reconnect: Option<Reconnect>,
    /// What gives an endpoint up, too (`RECONNECT_STOP`).
    pub stop: Stop,
    /// How long one attempt to connect may take; `None` leaves it to the system
    /// (`CONNECT_TIMEOUT`).
    pub connect_timeout: Option<Duration>,
    /// Properties for READY (`METADATA`); names begin with `X-`.
    pub metadata: Vec<(Bytes, Bytes)>,
    /// How streams are set up (`TCP_KEEPALIVE*`, `SNDBUF`, `RCVBUF`, `TOS`, `BACKLOG`).
    pub transport: Transport,
    /// Sizes of what comes (`MAXMSGSIZE`: `frame`), the time for handshakes (`HANDSHAKE_IVL`),
    /// the number of connections. What concerns brokers is not used, nor are `outbox` and
    /// `stall_time`: what waits is bounded by `send_messages` and `send_bytes`.
    pub limits: Limits,
    /// The mechanism over tcp and ipc, and our side of it; inproc has none.
    pub security: Security,
    /// Says who may come in, if the mechanism [asks](Security::asks). Without one nobody may.
    pub authenticator: Option<Arc<dyn Authenticator>>,
    /// Sees all bytes of all streams.
    pub tap: Option<Arc<dyn Tap>>,
}

/// How long to wait before another attempt to connect: `first`, twice as long each time, `longest`
/// at most, each 30 % more or less so that a crowd does not come back in step.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Reconnect {
    /// Before the second attempt.
    pub first: Duration,
    /// Never longer than this, or than `first`.
    pub longest: Duration,
}

/// After what an endpoint is given up instead of connected to again. That
/// [`disconnect`](super::Socket::disconnect) does it goes without saying.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Stop {
    /// Nobody listens there.
    pub refused: bool,
    /// A handshake failed, whoever ended it.
    pub handshake_failed: bool,
}

/// Sees the bytes of a socket's streams, in order, as they are read and written. It is called on
/// the data path and has to be quick.
pub trait Tap: std::fmt::Debug + Send + Sync {
    /// Bytes of a connection, the number of which is that in the monitor's events.
    fn bytes(&self, connection: u64, inbound: bool, bytes: &[u8]);
}

impl Default for Options {
    fn default() -> Self {
        Self {
            identity: Bytes::new(),
            connect_as: Bytes::new(),
            send_messages: 1000,
            send_bytes: 64 << 20,
            receive_messages: 1000,
            receive_bytes: 64 << 20,
            linger: Some(Duration::from_secs(30)),
            immediate: false,
            conflate: false,
            pattern: pattern::Config {
                envelope: 64,
                ..pattern::Config::default()
            },
            probe: false,
            welcome: None,
            hello: None,
            disconnect: None,
            hiccup: None,
            heartbeat: None,
            reconnect: Some(Reconnect {
                first: Backoff::FIRST,
                longest: Backoff::LONGEST,
            }),
            stop: Stop::default(),
            connect_timeout: None,
            metadata: Vec::new(),
            transport: Transport::default(),
            limits: Limits {
                // A peer that does not read is the pattern's business here: wait, or drop.
                outbox: usize::MAX,
                stall_time: Duration::MAX,
                handshake_time: Duration::from_secs(30),
                ..Limits::default()
            },
            security: Security::Null,
            authenticator: None,
            tap: None,
        }
    }
}

impl Options {
    /// What sessions of such a socket have in common.
    pub(super) fn session(&self, kind: SocketType) -> Arc<session::Config> {
        Arc::new(session::Config {
            identity: self.identity.clone(),
            properties: self.metadata.clone(),
            security: self.security.clone(),
            heartbeat: self.heartbeat.map(|heartbeat| Heartbeat {
                timeout: match heartbeat.timeout {
                    Duration::ZERO => heartbeat.interval,
                    timeout => timeout,
                },
                ..heartbeat
            }),
            limits: Limits {
                outbox: usize::MAX,
                stall_time: Duration::MAX,
                ..self.limits.clone()
            },
            ..session::Config::new(kind)
        })
    }

    /// What such a socket says of itself.
    pub(super) fn says(&self, kind: SocketType) -> Metadata {
        Metadata {
            identity: self.identity.clone(),
            others: self.metadata.clone(),
            ..Metadata::of(kind)
        }
    }

    /// Sets an option by libzmq's name for it, in lower case and without `ZMQ_`, with a value as
    /// libzmq has it: milliseconds, bytes, counts, 0 or 1.
    ///
    /// # Errors
    /// There is no such option, or it does not take that value.
    pub fn set(&mut self, name: &str, value: &str) -> Result<(), OptionError> {
        let given = Given { name, value };
        match name {
            "routing_id" | "identity" => self.identity = given.name()?,
            "connect_routing_id" | "connect_rid" => self.connect_as = given.name()?,
            "sndhwm" => self.send_messages = given.count()?,
            "rcvhwm" => self.receive_messages = given.count()?,
            "linger" => self.linger = given.time_or_never()?,
            "immediate" => self.immediate = given.flag()?,
            "conflate" => self.conflate = given.flag()?,
            "router_mandatory" => self.pattern.mandatory = given.flag()?,
            "router_handover" => {
                self.pattern.handover = if given.flag()? {
                    Handover::Any
                } else {
                    Handover::Refuse
                }
            }
            "probe_router" => self.probe = given.flag()?,
            "req_relaxed" => self.pattern.relaxed = given.flag()?,
            "req_correlate" => self.pattern.correlate = given.flag()?,
            "xpub_verbose" => {
                self.pattern.verbose = if given.flag()? {
                    Verbose::Subscriptions
                } else {
                    Verbose::No
                }
            }
            "xpub_verboser" => {
                self.pattern.verbose = if given.flag()? {
                    Verbose::All
                } else {
                    Verbose::No
                }
            }
            "xpub_manual" => self.pattern.manual = given.flag()?,
            "xpub_manual_last_value" => {
                self.pattern.last_value = given.flag()?;
                self.pattern.manual = self.pattern.last_value;
            }
            "xpub_nodrop" => self.pattern.no_drop = given.flag()?,
            "xpub_welcome_msg" => self.welcome = given.message(),
            "xsub_verbose_unsubscribe" => self.pattern.verbose_unsubscribe = given.flag()?,
            "invert_matching" => self.pattern.invert = given.flag()?,
            "hello_msg" => self.hello = given.message(),
            "disconnect_msg" => self.disconnect = given.message(),
            "hiccup_msg" => self.hiccup = given.message(),
            "heartbeat_ivl" => {
                let interval = given.time()?;
                let old = self.heartbeat;
                self.heartbeat = (!interval.is_zero()).then(|| Heartbeat {
                    interval,
                    timeout: old.map_or(interval, |old| match old.timeout {
                        Duration::ZERO => interval,
                        timeout => timeout,
                    }),
                    ttl: old.map_or(Duration::ZERO, |old| old.ttl),
                });
            }
            "heartbeat_timeout" => {
                let timeout = given.time()?;
                self.heart().timeout = timeout;
            }
            "heartbeat_ttl" => {
                let ttl = given.time()?;
                if ttl > Duration::from_millis(6_553_599) {
                    return Err(given.takes("0 to 6553599 milliseconds"));
                }
                self.heart().ttl = ttl;
            }
            "reconnect_ivl" => {
                let first = given.time_or_never()?;
                let longest = self.reconnect.map_or(Backoff::LONGEST, |old| old.longest);
                self.reconnect = first.map(|first| Reconnect { first, longest });
            }
            "reconnect_ivl_max" => {
                let longest = given.time()?;
                if let Some(reconnect) = &mut self.reconnect {
                    reconnect.longest = longest;
                }
            }
            "reconnect_stop" => {
                let bits: u8 = given.number(0..=7)?;
                self.stop = Stop {
                    refused: bits & 1 > 0,
                    handshake_failed: bits & 2 > 0,
                };
            }
            "connect_timeout" => {
                let limit = given.time()?;
                self.connect_timeout = (!limit.is_zero()).then_some(limit);
            }
            "handshake_ivl" => {
                let limit = given.time()?;
                self.limits.handshake_time = if limit.is_zero() {
                    Duration::MAX
                } else {
                    limit
                };
            }
            "maxmsgsize" => {
                let most = match value {
                    "-1" => usize::MAX,
                    _ => given.count()?,
                };
                self.limits.frame = most;
                // libzmq bounds frames only; here the message is bounded, too.
                self.limits.message = self.limits.message.max(most);
            }
            "sndbuf" => self.transport.send_buffer = given.number_or_system(0..=1 << 30)?,
            "rcvbuf" => self.transport.receive_buffer = given.number_or_system(0..=1 << 30)?,
            "backlog" => self.transport.backlog = given.number(0..=1 << 20)?,
            "tos" => self.transport.tos = Some(given.number(0..=255)?),
            "tcp_keepalive" => {
                self.transport.keepalive = match value {
                    "1" => Some(self.transport.keepalive.unwrap_or_default()),
                    "0" | "-1" => None,
                    _ => return Err(given.takes("-1, 0 or 1")),
                }
            }
            "tcp_keepalive_idle" => {
                let idle = given.number_or_system(1..=32_767)?;
                self.probes(idle.is_some(), |probes| probes.idle = idle.map(seconds));
            }
            "tcp_keepalive_intvl" => {
                let interval = given.number_or_system(1..=32_767)?;
                self.probes(interval.is_some(), |probes| {
                    probes.interval = interval.map(seconds);
                });
            }
            "tcp_keepalive_cnt" => {
                let retries = given.number_or_system(1..=127)?;
                self.probes(retries.is_some(), |probes| probes.retries = retries);
            }
            "metadata" => {
                let (name, text) = value
                    .split_once(':')
                    .filter(|(name, _)| name.starts_with("X-") && name.len() <= 255)
                    .ok_or_else(|| given.takes("X-NAME:TEXT"))?;
                let property = (name, text);
                self.metadata.push((
                    Bytes::copy_from_slice(property.0.as_bytes()),
                    Bytes::copy_from_slice(property.1.as_bytes()),
                ));
            }
            _ => {
                return Err(OptionError::Unknown {
                    name: name.to_owned(),
                });
            }
        }
        Ok(())
    }

    fn heart(&mut self) -> &mut Heartbeat {
        self.heartbeat.get_or_insert(Heartbeat {
            // Never, until an interval is set, too.
            interval: Duration::MAX,
            timeout: Duration::ZERO,
            ttl: Duration::ZERO,
        })
    }

    /// A figure turns probes on; leaving it to the system does not.
    fn probes(&mut self, on: bool, change: impl FnOnce(&mut Keepalive)) {
        if on {
            self.transport.keepalive.get_or_insert_default();
        }
        if let Some(probes) = &mut self.transport.keepalive {
            change(probes);
        }
    }
}

/// Why an option cannot be set so.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum OptionError {
    /// No option of that name.
    #[error("there is no option `{name}`: give libzmq's name in lower case, without `ZMQ_`")]
    Unknown {
        /// What was given.
        name: String,
    },
    /// Not a value of that option.
    #[error("option `{name}` takes {takes}, not `{value}`")]
    Value {
        /// The option.
        name: String,
        /// What was given.
        value: String,
        /// What is allowed.
        takes: String,
    },
}

#[derive(Clone, Copy)]
struct Given<'a> {
    name: &'a str,
    value: &'a str,
}

impl Given<'_> {
    fn takes(self, what: &str) -> OptionError {
        OptionError::Value {
            name: self.name.to_owned(),
            value: self.value.to_owned(),
            takes: what.to_owned(),
        }
    }

    fn name(self) -> Result<Bytes, OptionError> {
        if self.value.len() > 255 || self.value.starts_with('\0') {
            return Err(self.takes("at most 255 bytes, the first not zero"));
        }
        Ok(Bytes::copy_from_slice(self.value.as_bytes()))
    }

    fn flag(self) -> Result<bool, OptionError> {
        match self.value {
            "0" => Ok(false),
            "1" => Ok(true),
            _ => Err(self.takes("0 or 1")),
        }
    }

    fn number<N>(self, range: std::ops::RangeInclusive<u32>) -> Result<N, OptionError>
    where
        N: TryFrom<u32>,
    {
        let number = self.value.parse::<u32>().ok();
        number
            .filter(|number| range.contains(number))
            .and_then(|number| N::try_from(number).ok())
            .ok_or_else(|| self.takes(&format!("{} to {}", range.start(), range.end())))
    }

    fn count(self) -> Result<usize, OptionError> {
        let count = self.value.parse::<u32>().ok();
        count
            .and_then(|count| usize::try_from(count).ok())
            .ok_or_else(|| self.takes("a count from 0 to 4294967295"))
    }

    fn time(self) -> Result<Duration, OptionError> {
        let millis = self.value.parse::<u32>();
        millis
            .map(|millis| Duration::from_millis(u64::from(millis)))
            .map_err(|_| self.takes("milliseconds from 0 on"))
    }

    fn time_or_never(self) -> Result<Option<Duration>, OptionError> {
        match self.value {
            "-1" => Ok(None),
            _ => self
                .time()
                .map(Some)
                .map_err(|_| self.takes("milliseconds from 0 on, or -1")),
        }
    }

    fn number_or_system(
        self,
        range: std::ops::RangeInclusive<u32>,
    ) -> Result<Option<u32>, OptionError> {
        let takes = format!("-1, or {} to {}", range.start(), range.end());
        match self.value {
            "-1" => Ok(None),
            _ => self.number(range).map(Some).map_err(|_| self.takes(&takes)),
        }
    }

    fn message(self) -> Option<Message> {
        (!self.value.is_empty()).then(|| Message::from(self.value))
    }
}

fn seconds(count: u32) -> Duration {
    Duration::from_secs(u64::from(count))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_heartbeat_without_a_timeout_waits_for_its_interval_in_whatever_order_it_is_set() {
        let (interval, timeout) = (("heartbeat_ivl", "200"), ("heartbeat_timeout", "0"));
        for order in [[interval, timeout], [timeout, interval]] {
            let mut options = Options::default();
            for (name, value) in order {
                options.set(name, value).unwrap();
            }
            let session = options.session(SocketType::Pair);
            let heartbeat = session.heartbeat.unwrap();
            assert_eq!(heartbeat.timeout, Duration::from_millis(200));
        }
    }
}
