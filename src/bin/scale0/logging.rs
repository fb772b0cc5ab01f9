//! Logs on stderr, as text for people or as JSON for machines.

use clap::{Args, ValueEnum};
use serde::Deserialize;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::fmt;

/// How much to log, and how.
#[derive(Args, Clone, Debug)]
pub(crate) struct Logging {
    /// How much to log on stderr [default: info for broker and worker, warn for others]
    #[arg(long, global = true, value_name = "LEVEL")]
    pub(crate) log: Option<Level>,
    /// How log lines are written [default: text]
    #[arg(long, global = true, value_name = "FORMAT")]
    pub(crate) log_format: Option<Format>,
}

/// How much is logged.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Level {
    /// Nothing
    Off,
    /// What needs somebody's attention now
    Error,
    /// What may need it
    Warn,
    /// Who comes and goes
    Info,
    /// What peers do wrong, connection by connection
    Debug,
    /// Everything
    Trace,
}

/// How a line looks.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Format {
    /// For people
    Text,
    /// One JSON object per line
    Json,
}

impl Logging {
    /// Starts logging; what was typed goes before `level`.
    pub(crate) fn start(&self, level: Level) {
        let level = match self.log.unwrap_or(level) {
            Level::Off => LevelFilter::OFF,
            Level::Error => LevelFilter::ERROR,
            Level::Warn => LevelFilter::WARN,
            Level::Info => LevelFilter::INFO,
            Level::Debug => LevelFilter::DEBUG,
            Level::Trace => LevelFilter::TRACE,
        };
        let lines = fmt()
            .with_max_level(level)
            .with_writer(std::io::stderr)
            // It would tell of a closed stderr on stderr, and panic over that.
            .log_internal_errors(false)
            .with_target(false);
        match self.log_format.unwrap_or(Format::Text) {
            Format::Text => {
                use std::io::IsTerminal;
                lines.with_ansi(std::io::stderr().is_terminal()).init();
            }
            Format::Json => lines.json().flatten_event(true).init(),
        }
    }
}
