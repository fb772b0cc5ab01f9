//! The broker's settings, as flags and as TOML keys of the same names.

use std::path::{Path, PathBuf};

use clap::Args;
use scale0::wire::Endpoint;
use serde::{Deserialize, Deserializer};

use crate::commands::{DEFAULT_ENDPOINT, target};
use crate::exit::Failed;
use crate::logging::{Format, Level};
use crate::security::{ServerSecurity, keep_plain_local};
use crate::units::{Beat, Count, Instant, Size, Span, Wait};

/// What an operator may set. Nothing set is what `spec/scale0.md` names as default.
#[derive(Args, Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub(crate) struct Settings {
    /// Where to listen: tcp://HOST:PORT, tcp://*:0, ipc://PATH; may be repeated [default: tcp://127.0.0.1:5555]
    #[arg(long, value_name = "ENDPOINT", num_args = 1..)]
    #[serde(deserialize_with = "endpoints")]
    pub(crate) bind: Vec<Endpoint>,
    /// CURVE: the file with the broker's own key pair, like broker.key_secret
    #[arg(long, value_name = "FILE", help_heading = "Security")]
    pub(crate) curve_secret: Option<PathBuf>,
    /// CURVE: a directory with the *.key files of those who may come in; `any` admits everybody
    #[arg(long, value_name = "DIR", help_heading = "Security")]
    pub(crate) authorized_clients: Option<PathBuf>,
    /// PLAIN: the file with users and their passwords, made by `scale0 passwd`
    #[arg(long, value_name = "FILE", help_heading = "Security")]
    pub(crate) plain: Option<PathBuf>,
    /// Let passwords be sent in the clear between machines
    #[arg(long, help_heading = "Security")]
    pub(crate) allow_plain_remote: bool,
    /// Who may offer, call and administer what: a TOML file of rules, read again when it changes; without it everybody may
    /// do everything
    #[arg(long, value_name = "FILE", help_heading = "Security")]
    pub(crate) access: Option<PathBuf>,
    /// What the broker calls itself [default: scale0]
    #[arg(long, value_name = "NAME", help_heading = "Timing and behaviour")]
    pub(crate) name: Option<String>,
    /// Time to live of tasks whose clients state none [default: 30s]
    #[arg(long, value_name = "D", help_heading = "Timing and behaviour")]
    pub(crate) default_ttl: Option<Wait>,
    /// The longest time to live; what is above is clamped [default: 24h]
    #[arg(long, value_name = "D", help_heading = "Timing and behaviour")]
    pub(crate) max_ttl: Option<Wait>,
    /// How long a task waits for a service that nobody offers [default: 2s]
    #[arg(long, value_name = "D", help_heading = "Timing and behaviour")]
    pub(crate) wait_for_worker: Option<Span>,
    /// How often one task may be started [default: 3]
    #[arg(long, value_name = "N", help_heading = "Timing and behaviour")]
    pub(crate) max_attempts: Option<Count<{ u16::MAX as u32 }>>,
    /// How often S0 workers hear from the broker at least, 100ms to 60s [default: 2500ms]
    #[arg(long, value_name = "D", help_heading = "Timing and behaviour")]
    pub(crate) heartbeat: Option<Beat>,
    /// The same for Majordomo workers [default: 1s]
    #[arg(long, value_name = "D", help_heading = "Timing and behaviour")]
    pub(crate) mdp_heartbeat: Option<Beat>,
    /// How often Majordomo workers count as having promised to be heard [default: 2500ms]
    #[arg(long, value_name = "D", help_heading = "Timing and behaviour")]
    pub(crate) mdp_promise: Option<Beat>,
    /// What Majordomo clients get instead of silence when there is only an error for them; {code} becomes its number
    #[arg(long, value_name = "TEXT", help_heading = "Timing and behaviour")]
    pub(crate) mdp_error_body: Option<String>,
    /// How long after its task's deadline a silent worker is still trusted [default: 5s]
    #[arg(long, value_name = "D", help_heading = "Timing and behaviour")]
    pub(crate) suspect_after: Option<Span>,
    /// How long a worker that is not trusted may stay silent [default: 1m]
    #[arg(long, value_name = "D", help_heading = "Timing and behaviour")]
    pub(crate) suspect_time: Option<Span>,
    /// What happens to tasks beyond a limit: `refuse` answers them with an error, `block` reads no more from their client
    /// until there is room [default: refuse]
    #[arg(long, value_name = "HOW", help_heading = "Timing and behaviour")]
    pub(crate) overflow: Option<Overflow>,
    /// Failures in a row (5xx, or no answer in time) after which a worker is left out of a service [default: 5]
    #[arg(long, value_name = "N", help_heading = "Timing and behaviour")]
    pub(crate) eject_after: Option<Count>,
    /// For how long it is, times the number of such pauses in a row; 0s leaves nobody out [default: 10s]
    #[arg(long, value_name = "D", help_heading = "Timing and behaviour")]
    pub(crate) eject_time: Option<Span>,
    /// What refused clients are told to wait [default: 1s]
    #[arg(long, value_name = "D", help_heading = "Timing and behaviour")]
    pub(crate) retry_after: Option<Span>,
    /// Other brokers that do the same work, the best first; may be repeated: workers, and clients that ask, are told of
    /// them, and are sent there when this broker drains
    #[arg(long, value_name = "ENDPOINT", num_args = 1.., help_heading = "Timing and behaviour", value_parser = target)]
    #[serde(deserialize_with = "endpoints")]
    pub(crate) failover: Vec<Endpoint>,
    /// How long tasks may take to finish, and peers to take their answers, after SIGTERM, Ctrl-C or `scale0 drain` [default: 30s]
    #[arg(long, value_name = "D", help_heading = "Timing and behaviour")]
    pub(crate) drain_timeout: Option<Span>,

    /// Threads that share the work, 1 to 64: each service is at home in one of them, found by the first level of its name.
    /// Limits of a client hold in each; those of services, awaited names and handshakes are split [default: 1]
    #[arg(long, value_name = "N", help_heading = "Timing and behaviour")]
    pub(crate) threads: Option<Count<{ MOST_THREADS }>>,
    /// How long the broker looks for more before it sleeps, up to 10ms: answers come sooner, for a processor for each thread
    /// that is busy meanwhile; where that does not help it is hardly tried [default: 0us]
    #[arg(long, value_name = "D", help_heading = "Timing and behaviour")]
    pub(crate) spin: Option<Instant>,

    /// How long a handshake may take [default: 5s]
    #[arg(long, value_name = "D", help_heading = "Limits")]
    pub(crate) handshake_timeout: Option<Wait>,
    /// How long a peer may read less than 1 KiB of what waits for it [default: 30s]
    #[arg(long, value_name = "D", help_heading = "Limits")]
    pub(crate) stall_timeout: Option<Wait>,
    /// One frame [default: 16MiB, or max-message if that is less]
    #[arg(long, value_name = "SIZE", help_heading = "Limits")]
    pub(crate) max_frame: Option<Size>,
    /// All parts of one message [default: 16MiB]
    #[arg(long, value_name = "SIZE", help_heading = "Limits")]
    pub(crate) max_message: Option<Size>,
    /// Parts of one message [default: 1024]
    #[arg(long, value_name = "N", help_heading = "Limits")]
    pub(crate) max_frames: Option<Count>,
    /// An S0 header frame [default: 4KiB]
    #[arg(long, value_name = "SIZE", help_heading = "Limits")]
    pub(crate) max_header: Option<Size>,
    /// Properties in an S0 header [default: 16]
    #[arg(long, value_name = "N", help_heading = "Limits")]
    pub(crate) max_properties: Option<Count>,
    /// Frames of an envelope [default: 8]
    #[arg(long, value_name = "N", help_heading = "Limits")]
    pub(crate) max_envelope: Option<Count>,
    /// Everything held: incoming, queued and outgoing [default: 1GiB]
    #[arg(long, value_name = "SIZE", help_heading = "Limits")]
    pub(crate) max_bytes: Option<Size>,
    /// What may wait to be written to one peer [default: 32MiB]
    #[arg(long, value_name = "SIZE", help_heading = "Limits")]
    pub(crate) max_outbox: Option<Size>,
    /// A worker with more than this waiting to be written to it gets no task, and a client no part
    /// of a reply [default: 4MiB]
    #[arg(long, value_name = "SIZE", help_heading = "Limits")]
    pub(crate) max_worker_outbox: Option<Size>,
    /// Parts of a reply that wait for their client to take them, if their worker does not count
    /// credit [default: 1MiB]
    #[arg(long, value_name = "SIZE", help_heading = "Limits")]
    pub(crate) max_ahead: Option<Size>,
    /// Tasks waiting for one service [default: 10000]
    #[arg(long, value_name = "N", help_heading = "Limits")]
    pub(crate) max_queue_tasks: Option<Count>,
    /// Bytes of the tasks waiting for one service [default: 256MiB]
    #[arg(long, value_name = "SIZE", help_heading = "Limits")]
    pub(crate) max_queue_bytes: Option<Size>,
    /// Tasks of one client, waiting or with a worker [default: 4096]
    #[arg(long, value_name = "N", help_heading = "Limits")]
    pub(crate) max_client_tasks: Option<Count>,
    /// Bytes of the tasks of one client [default: 128MiB]
    #[arg(long, value_name = "SIZE", help_heading = "Limits")]
    pub(crate) max_client_bytes: Option<Size>,
    /// Tasks without an answer, of all clients [default: 1000000]
    #[arg(long, value_name = "N", help_heading = "Limits")]
    pub(crate) max_tasks: Option<Count>,
    /// Tasks one worker may hold, whatever capacity it states [default: 512]
    #[arg(long, value_name = "N", help_heading = "Limits")]
    pub(crate) max_worker_tasks: Option<Count>,
    /// Services that are offered [default: 10000]
    #[arg(long, value_name = "N", help_heading = "Limits")]
    pub(crate) max_services: Option<Count>,
    /// Services of one worker [default: 256]
    #[arg(long, value_name = "N", help_heading = "Limits")]
    pub(crate) max_services_per_worker: Option<Count>,
    /// Names without a worker for which tasks may wait [default: 1000]
    #[arg(long, value_name = "N", help_heading = "Limits")]
    pub(crate) max_awaited_names: Option<Count>,
    /// Malformed messages after which a connection is closed [default: 3]
    #[arg(long, value_name = "N", help_heading = "Limits")]
    pub(crate) max_strikes: Option<Count>,
    /// Connections; the limit of open files less 256 if that is lower [default: 65536]
    #[arg(long, value_name = "N", help_heading = "Limits")]
    pub(crate) max_connections: Option<Count>,
    /// Connections whose handshake is not done [default: 4096]
    #[arg(long, value_name = "N", help_heading = "Limits")]
    pub(crate) max_pending_handshakes: Option<Count>,
    /// Connections from one address [default: no limit of its own]
    #[arg(long, value_name = "N", help_heading = "Limits")]
    pub(crate) max_connections_per_address: Option<Count>,

    /// In the file only: as a flag it is a global one.
    #[arg(skip)]
    pub(crate) log: Option<Level>,
    /// In the file only: as a flag it is a global one.
    #[arg(skip)]
    pub(crate) log_format: Option<Format>,
}

/// See [`scale0::broker::Overflow`].
#[derive(Clone, Copy, Debug, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Overflow {
    /// Answered with an error at once
    Refuse,
    /// Their client is not read until there is room
    Block,
}

/// One endpoint, or a list of them.
fn endpoints<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<Endpoint>, D::Error> {
    #[derive(Deserialize)]
    #[serde(
        untagged,
        expecting = "an endpoint like \"tcp://127.0.0.1:5555\", or a list of them"
    )]
    enum OneOrMore {
        One(String),
        More(Vec<String>),
    }
    let texts = match OneOrMore::deserialize(from)? {
        OneOrMore::One(text) => vec![text],
        OneOrMore::More(texts) => texts,
    };
    texts
        .iter()
        .map(|text| text.parse().map_err(serde::de::Error::custom))
        .collect()
}

macro_rules! merge {
    ($over:ident, $under:ident: $($field:ident)*) => {
        Settings {
            bind: if $over.bind.is_empty() { $under.bind } else { $over.bind },
            failover: if $over.failover.is_empty() { $under.failover } else { $over.failover },
            allow_plain_remote: $over.allow_plain_remote || $under.allow_plain_remote,
            $($field: $over.$field.or($under.$field)),*
        }
    };
}

impl Settings {
    /// Reads a file.
    pub(crate) fn read(path: &Path) -> Result<Self, Failed> {
        let text = std::fs::read_to_string(path).map_err(|error| {
            Failed::Usage(format!("{} cannot be read: {error}", path.display()))
        })?;
        toml::from_str(&text).map_err(|error| Failed::Usage(format!("{}: {error}", path.display())))
    }

    /// These settings, and where they say nothing, the others.
    pub(crate) fn over(self, under: Self) -> Self {
        merge!(self, under: curve_secret authorized_clients plain access name default_ttl max_ttl wait_for_worker max_attempts heartbeat mdp_heartbeat mdp_promise
            mdp_error_body suspect_after suspect_time overflow eject_after eject_time retry_after drain_timeout threads spin handshake_timeout stall_timeout max_frame
            max_message max_frames max_header max_properties max_envelope max_bytes max_outbox max_worker_outbox max_ahead
            max_queue_tasks max_queue_bytes max_client_tasks max_client_bytes max_tasks max_worker_tasks max_services max_services_per_worker
            max_awaited_names max_strikes max_connections max_pending_handshakes max_connections_per_address log log_format)
    }

    /// What they mean; an error if they contradict each other.
    pub(crate) fn config(&self) -> Result<scale0::server::Config, Failed> {
        let mut endpoints = self.bind.clone();
        if endpoints.is_empty() {
            endpoints.extend(DEFAULT_ENDPOINT.parse());
        }
        if let Some(twice) = twice(&endpoints) {
            let text = format!("bind names {twice} twice: once is enough");
            return Err(Failed::Usage(text));
        }
        let (security, authenticator) = ServerSecurity {
            curve_secret: self.curve_secret.as_deref(),
            authorized_clients: self.authorized_clients.as_deref(),
            plain: self.plain.as_deref(),
        }
        .read()?;
        keep_plain_local(&security, self.allow_plain_remote, &endpoints)?;
        let failover = self.others(&endpoints)?;
        let mut config = scale0::server::Config {
            endpoints,
            security,
            authenticator,
            majordomo_error_body: self.mdp_error_body.clone(),
            access: self
                .access
                .as_deref()
                .map(scale0::server::AccessFile::read)
                .transpose()
                .map_err(Failed::usage)?,
            ..scale0::server::Config::default()
        };
        set(
            &mut config.drain_timeout,
            self.drain_timeout.map(|Span(span)| span),
        );
        set(
            &mut config.threads,
            self.threads.map(|Count(threads)| threads as usize),
        );
        set(&mut config.spin, self.spin.map(|Instant(span)| span));

        let broker = &mut config.broker;
        broker.failover = failover;
        set(
            &mut broker.name,
            self.name.as_deref().map(scale0::protocol::Name::from),
        );
        set(
            &mut broker.default_ttl,
            self.default_ttl.map(|Wait(span)| span),
        );
        set(&mut broker.max_ttl, self.max_ttl.map(|Wait(span)| span));
        set(
            &mut broker.wait_for_worker,
            self.wait_for_worker.map(|Span(span)| span),
        );
        set(
            &mut broker.max_attempts,
            self.max_attempts
                .and_then(|Count(attempts)| u16::try_from(attempts).ok()),
        );
        set(&mut broker.heartbeat, self.heartbeat.map(|Beat(span)| span));
        set(
            &mut broker.majordomo_heartbeat,
            self.mdp_heartbeat.map(|Beat(span)| span),
        );
        set(
            &mut broker.majordomo_promise,
            self.mdp_promise.map(|Beat(span)| span),
        );
        set(
            &mut broker.suspect_after,
            self.suspect_after.map(|Span(span)| span),
        );
        set(
            &mut broker.suspect_time,
            self.suspect_time.map(|Span(span)| span),
        );
        set(
            &mut broker.overflow,
            self.overflow.map(|overflow| match overflow {
                Overflow::Refuse => scale0::broker::Overflow::Refuse,
                Overflow::Block => scale0::broker::Overflow::Block,
            }),
        );
        set(
            &mut broker.eject_after,
            self.eject_after.map(|Count(failures)| failures),
        );
        set(
            &mut broker.eject_time,
            self.eject_time.map(|Span(span)| span),
        );
        set(
            &mut broker.retry_after,
            self.retry_after.map(|Span(span)| span),
        );

        let limits = &mut broker.limits;
        set(
            &mut limits.handshake_time,
            self.handshake_timeout.map(|Wait(span)| span),
        );
        set(
            &mut limits.stall_time,
            self.stall_timeout.map(|Wait(span)| span),
        );
        set(&mut limits.frame, bytes(self.max_frame));
        set(&mut limits.message, bytes(self.max_message));
        if self.max_frame.is_none() {
            limits.frame = limits.frame.min(limits.message);
        }
        if limits.frame > limits.message {
            return Err(Failed::Usage(format!(
                "max-frame is {}, but max-message only {}: a message is one frame at least, raise max-message or lower max-frame",
                Size(limits.frame),
                Size(limits.message)
            )));
        }
        set(&mut limits.parts, count(self.max_frames));
        set(&mut limits.header, bytes(self.max_header));
        set(&mut limits.properties, count(self.max_properties));
        set(&mut limits.envelope, count(self.max_envelope));
        set(&mut limits.held, bytes(self.max_bytes));
        set(&mut limits.outbox, bytes(self.max_outbox));
        set(&mut limits.worker_outbox, bytes(self.max_worker_outbox));
        set(&mut limits.ahead, bytes(self.max_ahead));
        set(&mut limits.queue_tasks, count(self.max_queue_tasks));
        set(&mut limits.queue_bytes, bytes(self.max_queue_bytes));
        set(&mut limits.client_tasks, count(self.max_client_tasks));
        set(&mut limits.client_bytes, bytes(self.max_client_bytes));
        set(&mut limits.tasks, count(self.max_tasks));
        set(&mut limits.worker_tasks, count(self.max_worker_tasks));
        set(&mut limits.services, count(self.max_services));
        set(
            &mut limits.services_per_worker,
            count(self.max_services_per_worker),
        );
        set(&mut limits.awaited_names, count(self.max_awaited_names));
        set(
            &mut limits.strikes,
            self.max_strikes.map(|Count(strikes)| strikes),
        );
        set(&mut limits.connections, count(self.max_connections));
        set(
            &mut limits.pending_handshakes,
            count(self.max_pending_handshakes),
        );
        limits.connections_per_address = count(self.max_connections_per_address);
        Ok(config)
    }
}

impl Settings {
    /// The other brokers, if they can be some.
    fn others(&self, own: &[Endpoint]) -> Result<Vec<Endpoint>, Failed> {
        // From a file they come unchecked.
        for endpoint in &self.failover {
            target(&endpoint.to_string())
                .map_err(|text| Failed::Usage(format!("failover: {text}")))?;
            if own.contains(endpoint) {
                let text = format!("failover names {endpoint}, which is this broker itself");
                return Err(Failed::Usage(text));
            }
        }
        if self.failover.len() > MOST_OTHERS {
            let text = format!("failover names more than {MOST_OTHERS} brokers");
            return Err(Failed::Usage(text));
        }
        Ok(self.failover.clone())
    }
}

/// Threads in one process.
const MOST_THREADS: u32 = 64;
/// Other brokers that are told of.
const MOST_OTHERS: usize = 16;

/// An endpoint that stands there twice. Those whose port the system chooses may.
fn twice(endpoints: &[Endpoint]) -> Option<&Endpoint> {
    let mut seen = std::collections::BTreeSet::new();
    endpoints
        .iter()
        .filter(|endpoint| !matches!(endpoint, Endpoint::Tcp { port: 0, .. }))
        .find(|endpoint| !seen.insert(*endpoint))
}

fn set<T>(place: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *place = value;
    }
}

fn bytes(size: Option<Size>) -> Option<usize> {
    size.map(|Size(bytes)| bytes)
}

fn count(number: Option<Count>) -> Option<usize> {
    number.map(|Count(number)| number as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(text: &str) -> String {
        toml::from_str::<Settings>(text).unwrap_err().to_string()
    }

    #[test]
    fn an_error_names_the_line_and_what_is_allowed() {
        let unknown = error("name = \"b\"\nwait-for-workers = \"2s\"\n");
        assert!(
            unknown.contains("line 2") && unknown.contains("`wait-for-worker`"),
            "{unknown}"
        );
        let duration = error("default-ttl = \"soon\"");
        assert!(
            duration.contains("line 1") && duration.contains("500ms, 2s, 1m"),
            "{duration}"
        );
        let range = error("heartbeat = \"50ms\"");
        assert!(range.contains("100ms to 60s"), "{range}");
        let zero = error("max-attempts = 0");
        assert!(
            zero.contains("line 1") && zero.contains("1 to 65535"),
            "{zero}"
        );
        let endpoint = error("bind = [\"tcp://127.0.0.1\"]");
        assert!(
            endpoint.contains("line 1") && endpoint.contains("needs a port"),
            "{endpoint}"
        );
    }

    #[test]
    fn threads_are_one_to_sixty_four() {
        let zero = error("threads = 0");
        assert!(
            zero.contains("line 1") && zero.contains("1 to 64"),
            "{zero}"
        );
        assert!(error("threads = 65").contains("1 to 64"));
        let settings = toml::from_str::<Settings>("threads = 2").unwrap();
        assert_eq!(settings.config().unwrap().threads, 2);
        assert_eq!(Settings::default().config().unwrap().threads, 1);
        assert_eq!(MOST_THREADS as usize, scale0::spread::MOST_SHARDS);
    }

    #[test]
    fn a_smaller_message_makes_smaller_frames_unless_they_are_named() {
        let settings = |text| toml::from_str::<Settings>(text).unwrap();
        let config = settings("max-message = \"1MiB\"").config().unwrap();
        assert_eq!(config.broker.limits.frame, 1 << 20);
        let both = settings("max-message = \"1MiB\"\nmax-frame = \"2MiB\"");
        assert!(both.config().is_err());
    }

    #[test]
    fn flags_go_before_the_file() {
        let file: Settings =
            toml::from_str("bind = \"ipc:///a\"\ndefault-ttl = \"1s\"\nmax-bytes = 4096").unwrap();
        let flags = Settings {
            default_ttl: Some("2s".parse().unwrap()),
            ..Settings::default()
        };
        let config = flags.over(file).config().unwrap();
        assert_eq!(config.endpoints, ["ipc:///a".parse().unwrap()]);
        assert_eq!(config.broker.default_ttl, std::time::Duration::from_secs(2));
        assert_eq!(config.broker.limits.held, 4096);
    }
}
