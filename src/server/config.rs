//! What a server is told before it starts.

use std::sync::Arc;
use std::time::Duration;

use super::AccessFile;
use crate::auth::Authenticator;
use crate::broker;
use crate::security::Security;
use crate::wire::Endpoint;

/// The server's settings.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where to listen.
    pub endpoints: Vec<Endpoint>,
    /// The broker's own settings, its limits among them.
    pub broker: broker::Config,
    /// The mechanism at all endpoints, and our side of it.
    pub security: Security,
    /// Says who may come in, if the mechanism [asks](Security::asks). Without one nobody may.
    pub authenticator: Option<Arc<dyn Authenticator>>,
    /// Who may do what; none lets everybody do everything. It is read again when it changes. It
    /// goes before the rules in `broker`.
    pub access: Option<AccessFile>,
    /// What may still finish when the server is told to stop has this long. It goes before the time
    /// in `broker`.
    pub drain_timeout: Duration,
    /// How long to look for more before going to sleep, once something has come: answers come
    /// sooner, for a processor that is busy meanwhile. Zero for not at all.
    pub spin: Duration,
    /// So many threads share the work, each service at home in one of them: 1 to
    /// [`MOST_SHARDS`](crate::spread::MOST_SHARDS).
    pub threads: usize,
    /// What Majordomo clients get instead of silence when the broker has only an error for them;
    /// `{code}` stands for its three digits.
    pub majordomo_error_body: Option<String>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            endpoints: Vec::new(),
            broker: broker::Config::default(),
            security: Security::Null,
            authenticator: None,
            access: None,
            drain_timeout: Duration::from_secs(30),
            spin: Duration::ZERO,
            threads: 1,
            majordomo_error_body: None,
        }
    }
}
