//! Whose broker, and how it is started.

use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::time::{Duration, Instant};

use super::programs::Programs;
use crate::child::Child;
use crate::load::Tongue;
use crate::{Failure, keys};

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Who {
    Scale0,
    Scale0Mdp,
    /// Looks for work for a while before it sleeps.
    Scale0Spin,
    Proxy,
    Nats,
    Gearmand,
    Majortomo,
    /// No broker: bytes from one connection to another.
    Relay,
}

impl Who {
    pub const ALL: [Self; 8] = [
        Self::Scale0,
        Self::Scale0Mdp,
        Self::Scale0Spin,
        Self::Proxy,
        Self::Nats,
        Self::Gearmand,
        Self::Majortomo,
        Self::Relay,
    ];

    /// The name to ask for it by.
    pub fn word(self) -> &'static str {
        match self {
            Self::Scale0 => "s0",
            Self::Scale0Mdp => "mdp",
            Self::Scale0Spin => "spin",
            Self::Proxy => "proxy",
            Self::Nats => "nats",
            Self::Gearmand => "gearmand",
            Self::Majortomo => "majortomo",
            Self::Relay => "relay",
        }
    }

    /// The name in tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Scale0 => "scale0 S0/1",
            Self::Scale0Mdp => "scale0 MDP/0.1",
            Self::Scale0Spin => "scale0 S0/1 --spin 200us",
            Self::Proxy => "zmq_proxy",
            Self::Nats => "nats-server",
            Self::Gearmand => "gearmand",
            Self::Majortomo => "majortomo",
            Self::Relay => "TCP relay",
        }
    }

    pub fn is_ours(self) -> bool {
        matches!(self, Self::Scale0 | Self::Scale0Mdp | Self::Scale0Spin)
    }

    pub fn tongue(self) -> Tongue {
        match self {
            Self::Scale0 | Self::Scale0Spin => Tongue::Scale0,
            Self::Scale0Mdp => Tongue::Mdp01,
            Self::Proxy => Tongue::Bare,
            Self::Nats => Tongue::Nats,
            Self::Gearmand => Tongue::Gearman,
            Self::Majortomo => Tongue::Majortomo,
            Self::Relay => Tongue::Raw,
        }
    }

    /// Whether its workers may be sent several tasks at once.
    pub fn has_capacity(self) -> bool {
        matches!(self, Self::Scale0 | Self::Proxy | Self::Nats | Self::Relay)
    }

    pub fn has_curve(self) -> bool {
        matches!(self, Self::Scale0 | Self::Proxy)
    }
}

/// A broker that listens.
pub struct Broker {
    pub process: Child,
    pub front: u16,
    pub back: u16,
}

/// The processor that the broker has to itself, with all its threads.
const PROCESSOR: &str = "0";
const PATIENCE: Duration = Duration::from_secs(10);
pub const SPIN: &str = "200us";

impl Broker {
    /// Starts one; `extra` are further words for ours.
    pub fn start(
        programs: &Programs,
        who: Who,
        curve: bool,
        extra: &[&str],
    ) -> Result<Self, Failure> {
        let front = free_port()?;
        let back = match who {
            Who::Proxy | Who::Relay => free_port()?,
            _ => front,
        };
        let words = words(programs, who, curve, extra, front, back)?;
        // By way of this program, which settles on the processor and becomes the other one.
        let mut all = vec!["on".to_owned(), PROCESSOR.to_owned()];
        all.extend(words);
        let mut process = Child::start(&programs.peers, &all)?;
        let until = Instant::now() + PATIENCE;
        if who == Who::Relay {
            // It would take a look for a client.
            process.expect("ready", PATIENCE)?;
            return Ok(Self {
                process,
                front,
                back,
            });
        }
        for port in [front, back] {
            while TcpStream::connect(("127.0.0.1", port)).is_err() {
                if process.has_ended() || Instant::now() > until {
                    return Err(format!("does not start: {}", process.complaint("")).into());
                }
                std::thread::sleep(Duration::from_millis(5));
            }
        }
        Ok(Self {
            process,
            front,
            back,
        })
    }
}

fn words(
    programs: &Programs,
    who: Who,
    curve: bool,
    extra: &[&str],
    front: u16,
    back: u16,
) -> Result<Vec<String>, Failure> {
    let text = |path: &Path| path.to_string_lossy().into_owned();
    let endpoint = |port: u16| format!("tcp://127.0.0.1:{port}");
    let missing = || format!("{} is not there", who.name());
    let mut words = Vec::new();
    let mut say = |more: &[&str]| words.extend(more.iter().map(|word| (*word).to_owned()));
    let (front_text, back_text) = (front.to_string(), back.to_string());
    match who {
        Who::Scale0 | Who::Scale0Mdp | Who::Scale0Spin => {
            say(&[&text(&programs.scale0), "broker", "--log", "error"]);
            say(&["--bind", &endpoint(front)]);
            say(extra);
            if who == Who::Scale0Spin {
                say(&["--spin", SPIN]);
            }
            if curve {
                let secret = programs.keys()?;
                say(&[
                    "--curve-secret",
                    &text(&secret),
                    "--authorized-clients",
                    "any",
                ]);
            }
        }
        Who::Proxy => {
            let proxy = programs.proxy.as_deref().ok_or_else(missing)?;
            say(&[&text(proxy), &endpoint(front), &endpoint(back)]);
            if curve {
                say(&[keys::SERVER_SECRET]);
            }
        }
        Who::Nats => {
            let nats = programs.nats.as_deref().ok_or_else(missing)?;
            say(&[&text(nats), "-a", "127.0.0.1", "-p", &front_text]);
            say(&["-l", "/dev/null"]);
        }
        Who::Gearmand => {
            let gearmand = programs.gearmand.as_deref().ok_or_else(missing)?;
            say(&[&text(gearmand), "-L", "127.0.0.1", "-p", &front_text]);
            say(&["-t", "1", "-l", "/dev/null"]);
            if rustix::process::getuid().is_root() {
                say(&["--user", "root"]);
            }
        }
        Who::Majortomo => {
            let python = programs.python.as_deref().ok_or_else(missing)?;
            let program = "import sys, logging; logging.disable(logging.CRITICAL)
from majortomo.broker import Broker
Broker(bind=sys.argv[1]).run()";
            say(&[&text(python), "-c", program, &endpoint(front)]);
        }
        Who::Relay => {
            say(&[&text(&programs.peers), "relay", &front_text, &back_text]);
        }
    }
    Ok(words)
}

fn free_port() -> Result<u16, Failure> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}
