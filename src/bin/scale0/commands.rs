//! What can be typed. Help, completions and the man page come from these definitions.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use clap_complete::Shell;
use scale0::protocol::ATTRIBUTES;
use scale0::wire::{Endpoint, EndpointError, Host};

use crate::cat::CatArguments;
use crate::logging::Logging;
use crate::security::ClientSecurity;
use crate::settings::Settings;
use crate::units::{Span, Wait};

/// A service broker that speaks ZeroMQ. Workers connect and announce the services they offer,
/// clients ask for a service by name, and each task goes to the worker that has been idle longest.
#[derive(Debug, Parser)]
#[command(
    name = "scale0",
    version,
    max_term_width = 100,
    propagate_version = true
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
    #[command(flatten)]
    pub(crate) log: Logging,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run a broker
    ///
    /// Serves S0/1, MDP/0.1, MDP/0.2 and MMI on every endpoint; each peer is told apart by what
    /// it says. SIGTERM or Ctrl-C lets it finish what it has and refuses new tasks; a second one
    /// ends it at once.
    Broker(Box<BrokerArguments>),
    /// Offer services to a broker
    ///
    /// Each task is answered by itself (--echo), or by a command: it gets the body on stdin (the
    /// parts joined), its stdout is the reply, its exit code decides between 200 and 500, and the
    /// task's deadline kills it with all that it has started. A worker that is itself killed with
    /// SIGKILL cannot do that: use SIGTERM.
    Worker(WorkerArguments),
    /// Call a service
    ///
    /// Prints the reply's parts, one per line; with --oneway nothing. Exit codes: 0 done, 1 failed,
    /// 2 usage, 3 no answer in time (408, 504), 4 no such service (404).
    Call(CallArguments),
    /// Show what a broker does
    ///
    /// Totals, services, workers and queues, as the broker itself tells them through its services
    /// s0.info, s0.services, s0.workers and s0.queues.
    Info(InfoArguments),
    /// Set how a broker runs a service
    ///
    /// What is set holds for all its workers, whatever they announce, until it is set to `-` or the
    /// broker ends. Asks the broker's own service s0.set: without rules (--access) only the
    /// broker's machine may. Prints what holds then, as JSON.
    Set(SetArguments),
    /// Let a broker finish, and wait until it has ended
    ///
    /// The broker takes no new tasks, sends clients and workers to other brokers if it knows any
    /// (`scale0 broker --failover`), answers the tasks it has within its --drain-timeout, says goodbye
    /// to its workers and ends. SIGTERM does the same. What it still waits for is printed whenever it
    /// changes. Without rules (`scale0 broker --access`) only who is on the broker's machine may
    /// do this; with them, who may administer s0.drain.
    ///
    /// Exit codes: 0 it has ended, 1 failed, 2 usage, 3 it has not ended within --timeout.
    Drain(DrainArguments),
    /// Be any ZeroMQ socket: stdin is sent, what arrives is printed
    ///
    /// Each line of stdin is one message of one frame, or with --json an array of frames. What
    /// arrives is printed in the same form, frames with a tab between them: as text where they are
    /// printable, in hex where they are not. A line of ROUTER is its frames with tabs between them,
    /// the routing id first. XPUB prints 01TOPIC and 00TOPIC for subscriptions that come and go,
    /// XSUB takes them. REQ and REP alternate between a line of stdin and a message; the other types that
    /// do both do both at once. At the end of stdin PUSH and PUB end when all is sent, REQ when it
    /// has its answer; the others keep receiving.
    ///
    /// Exit codes: 0 done, 1 failed (also: a line was no message, or could not be sent in time for
    /// LINGER), 2 usage, 3 not done within --timeout.
    Cat(Box<CatArguments>),
    /// Make a pair of CURVE keys
    ///
    /// With --out it writes two files in the form of CZMQ and pyzmq: NAME.key is the public key,
    /// for those who are to know its owner; NAME.key_secret has the secret key, too, and only its
    /// owner can read it (mode 0600). Files that exist are never overwritten. Without --out it
    /// prints the pair in Z85.
    ///
    /// A server has NAME.key_secret, and the NAME.key of each client in a directory. A client has
    /// its own NAME.key_secret, and the server's NAME.key.
    Keygen(KeygenArguments),
    /// Set a user's password in a file for servers with PLAIN
    ///
    /// The password is one line of stdin, without its end; on a terminal it is asked for twice and
    /// not shown. The file has a line USER:HASH for each user and is made if it is not there. Only
    /// its owner can read it afterwards (mode 0600), and at no time is it half written. The hash is
    /// Argon2id. To remove a user, delete its line.
    Passwd(PasswdArguments),
    /// Show what scale0 is, live, in less than 20 seconds
    ///
    /// Starts a broker, workers and clients of its own on loopback, adds workers, kills one in
    /// the middle of a task, and lets some leave.
    Demo(DemoArguments),
    /// Print a script that completes scale0's arguments in a shell
    Completions(CompletionsArguments),
    /// Print the man page, or write one page per command
    Man(ManArguments),
}

#[derive(Args, Debug)]
pub(crate) struct BrokerArguments {
    /// Read settings from this TOML file; its keys are the long flags, and flags go before it
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Only check the settings: say what is wrong, or that nothing is
    #[arg(long)]
    pub(crate) check: bool,
    #[command(flatten)]
    pub(crate) settings: Settings,
}

/// Where the broker is.
#[derive(Args, Clone, Debug)]
pub(crate) struct Connect {
    /// The broker's endpoint; may be repeated: further ones are used while those before them cannot
    /// be reached
    #[arg(long, value_name = "ENDPOINT", default_value = DEFAULT_ENDPOINT, value_parser = target)]
    pub(crate) connect: Vec<Endpoint>,
    #[command(flatten)]
    pub(crate) security: ClientSecurity,
}

#[derive(Args, Debug)]
#[command(group = clap::ArgGroup::new("work").required(true))]
pub(crate) struct WorkerArguments {
    #[command(flatten)]
    pub(crate) connect: Connect,
    /// A service to offer: a name, a version of it like echo@2, or a wildcard like image.* or image.>
    #[arg(long, value_name = "NAME", num_args = 1.., required = true)]
    pub(crate) service: Vec<String>,
    /// How many tasks to take at once
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) capacity: u16,
    /// What the worker calls itself in `scale0 info` [default: the machine's name and the process id]
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Option<String>,
    /// Tell the broker how to use this worker: weight=N (turns go by weight then, unless a policy
    /// is stated), policy=lru, least, weighted, hash or p2c, slow_start=D, max=N (tasks of one
    /// service at once), ttl=D, version=TEXT, idempotent; may be repeated, and holds for all its
    /// services
    #[arg(long, value_name = "KEY=VALUE", value_parser = attribute)]
    pub(crate) attribute: Vec<String>,
    /// An exit code of the command by which it refuses a task, so that another worker gets it
    #[arg(long, value_name = "CODE", requires = "command", value_parser = clap::value_parser!(u8).range(1..))]
    pub(crate) refuse_code: Option<u8>,
    /// Tasks may be given to another worker if this one dies over them
    #[arg(long)]
    pub(crate) idempotent: bool,
    /// The language of the broker
    #[arg(long, value_name = "DIALECT", default_value = "s0")]
    pub(crate) dialect: Dialect,
    /// How long tasks may take to finish after SIGTERM or Ctrl-C
    #[arg(long, value_name = "D", default_value = "30s")]
    pub(crate) drain_timeout: Span,
    /// Answer each task with its own body
    #[arg(long, group = "work")]
    pub(crate) echo: bool,
    /// With --echo: wait so long before each answer
    #[arg(long, value_name = "D", requires = "echo", conflicts_with = "command")]
    pub(crate) delay: Option<Span>,
    /// The command that answers tasks, and its arguments
    #[arg(last = true, group = "work", value_name = "COMMAND")]
    pub(crate) command: Vec<OsString>,
}

#[derive(Args, Debug)]
pub(crate) struct CallArguments {
    #[command(flatten)]
    pub(crate) connect: Connect,
    /// The service's name
    pub(crate) service: String,
    /// The body; `-` reads it from stdin
    #[arg(default_value = "")]
    pub(crate) body: OsString,
    /// How long to wait for an answer; the task's time to live
    #[arg(long, value_name = "D", default_value = "30s")]
    pub(crate) timeout: Wait,
    /// The task may be done more than once: it is repeated when a worker dies
    #[arg(long)]
    pub(crate) idempotent: bool,
    /// Only hand the task over: done when the broker has taken charge of it; its result is dropped
    #[arg(long)]
    pub(crate) oneway: bool,
    /// With --oneway: ask for no receipt; done when the task is on its way
    #[arg(long, requires = "oneway")]
    pub(crate) quiet: bool,
    /// How urgent the task is, from 1 to 7 [default: 4]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=7))]
    pub(crate) priority: Option<u8>,
    /// What the task is about: where the service's policy is hash, tasks with the same key go to
    /// the same worker
    #[arg(long, value_name = "TEXT")]
    pub(crate) key: Option<String>,
    /// Show on stderr what the worker says of its progress
    #[arg(long, conflicts_with = "count")]
    pub(crate) progress: bool,
    /// Call so many times, and print rate and latency instead of replies
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) count: Option<u64>,
    /// With --count: so many calls at once
    #[arg(long, value_name = "M", default_value_t = 1, requires = "count", value_parser = clap::value_parser!(u32).range(1..=4096))]
    pub(crate) concurrency: u32,
    /// The language of the broker
    #[arg(long, value_name = "DIALECT", default_value = "s0")]
    pub(crate) dialect: Dialect,
}

#[derive(Args, Debug)]
pub(crate) struct InfoArguments {
    #[command(flatten)]
    pub(crate) connect: Connect,
    /// Print JSON instead of tables
    #[arg(long)]
    pub(crate) json: bool,
    /// How long to wait for the broker
    #[arg(long, value_name = "D", default_value = "5s")]
    pub(crate) timeout: Wait,
}

#[derive(Args, Debug)]
pub(crate) struct SetArguments {
    #[command(flatten)]
    pub(crate) connect: Connect,
    /// The service's name
    pub(crate) service: String,
    /// policy=lru, least, weighted, hash or p2c: which of the workers with room gets a task; ttl=D:
    /// time to live of tasks whose clients state none; `-` as a value takes back what was set
    #[arg(value_name = "KEY=VALUE", required = true)]
    pub(crate) settings: Vec<String>,
    /// How long to wait for the broker
    #[arg(long, value_name = "D", default_value = "5s")]
    pub(crate) timeout: Wait,
}

#[derive(Args, Debug)]
pub(crate) struct DrainArguments {
    #[command(flatten)]
    pub(crate) connect: Connect,
    /// How long to wait for the end of the broker; the drain goes on after that
    #[arg(long, value_name = "D", default_value = "1m")]
    pub(crate) timeout: Wait,
}

#[derive(Args, Debug)]
pub(crate) struct KeygenArguments {
    /// Write NAME.key and NAME.key_secret instead of printing the keys
    #[arg(long, value_name = "NAME")]
    pub(crate) out: Option<PathBuf>,
}

#[derive(Args, Debug)]
pub(crate) struct PasswdArguments {
    /// The file with the passwords
    #[arg(long, value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// The user, by a name of 1 to 255 bytes without `:` and control characters
    #[arg(long, value_name = "NAME")]
    pub(crate) user: String,
}

#[derive(Args, Debug)]
pub(crate) struct DemoArguments {}

#[derive(Args, Debug)]
pub(crate) struct CompletionsArguments {
    /// The shell
    pub(crate) shell: Shell,
}

#[derive(Args, Debug)]
pub(crate) struct ManArguments {
    /// Write scale0.1, scale0-broker.1 and so on into this directory
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
}

/// The language to speak to a broker.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub(crate) enum Dialect {
    /// S0/1, scale0's own
    S0,
    /// Majordomo 0.1 (RFC 7)
    Mdp01,
    /// Majordomo 0.2 (RFC 18)
    Mdp02,
    /// Majordomo 0.2 with an empty frame in front
    Mdp02Delimited,
    /// Majordomo 0.2 as the Python package majortomo speaks it
    Majortomo,
}

impl From<Dialect> for scale0::sdk::Dialect {
    fn from(typed: Dialect) -> Self {
        match typed {
            Dialect::S0 => Self::Scale0,
            Dialect::Mdp01 => Self::Mdp01,
            Dialect::Mdp02 => Self::Mdp02,
            Dialect::Mdp02Delimited => Self::Mdp02Delimited,
            Dialect::Majortomo => Self::Majortomo,
        }
    }
}

impl Connect {
    /// The preferred endpoint and the others, as the SDK's builders want them.
    pub(crate) fn split(&self) -> (String, Vec<String>) {
        let mut all = self.connect.iter().map(Endpoint::to_string);
        let first = all.next().unwrap_or_else(|| DEFAULT_ENDPOINT.to_owned());
        (first, all.collect())
    }
}

/// An endpoint to connect to. `*` and port 0 are for binding, and nobody would ever be there.
pub(crate) fn target(text: &str) -> Result<Endpoint, String> {
    let endpoint = text
        .parse()
        .map_err(|error: EndpointError| error.to_string())?;
    match &endpoint {
        Endpoint::Tcp { host, port } if *host == Host::Any || *port == 0 => Err(format!(
            "`{text}` is for binding only: name the host and its port, like {DEFAULT_ENDPOINT}"
        )),
        _ => Ok(endpoint),
    }
}

/// An attribute of a service. Brokers pass over words that they do not know, so that nobody would
/// ever hear of a slip of the finger; its value is looked at with the service's name.
fn attribute(text: &str) -> Result<String, String> {
    let word = text.split('=').next().unwrap_or_default();
    if ATTRIBUTES.contains(&word) {
        return Ok(text.to_owned());
    }
    let words = ATTRIBUTES.join(", ");
    Err(format!("`{word}` is no attribute: use one of {words}"))
}

/// Where brokers listen and others look for them.
pub(crate) const DEFAULT_ENDPOINT: &str = "tcp://127.0.0.1:5555";

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_definitions_are_consistent() {
        Cli::command().debug_assert();
    }
}
