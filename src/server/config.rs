//! What a server is told before it starts.

use std::time::Duration;

use crate::broker;
use crate::wire::Endpoint;

/// The server's settings.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where to listen.
    pub endpoints: Vec<Endpoint>,
    /// The broker's own settings, its limits among them.
    pub broker: broker::Config,
    /// What may still finish when the server is told to stop has this long.
    pub drain_timeout: Duration,
    /// What Majordomo clients get instead of silence when the broker has only an error for them;
    /// `{code}` stands for its three digits.
    pub majordomo_error_body: Option<String>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            endpoints: Vec::new(),
            broker: broker::Config::default(),
            drain_timeout: Duration::from_secs(30),
            majordomo_error_body: None,
        }
    }
}
