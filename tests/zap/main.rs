//! `scale0::socket::Zap` in front of handlers: our own sockets, good and bad, and pyzmq's
//! `zmq.auth`. Whatever a handler does, nobody comes in whom it has not admitted.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test fails by panicking, and says what it leaves out"
)]

mod broken;
mod guarded;
mod handler;
#[path = "../support/peers.rs"]
#[allow(dead_code, reason = "shared with other tests, which use the rest")]
mod peers;
#[path = "../support/process.rs"]
#[allow(dead_code, reason = "shared with other tests, which use the rest")]
mod process;
mod pyzmq;

use std::future::Future;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use bytes::Bytes;
use scale0::auth::{self, Authenticator};
use scale0::security::{Credentials, User, Verdict, curve::PublicKey};
use scale0::socket::zap::{Config, Reply, Request, Status, Zap};
use scale0::socket::{Endpoint, Message, Router};

/// Nothing here takes long; what hangs fails.
pub(crate) async fn within<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(60), what)
        .await
        .expect("done in time")
}

/// Where a handler can be: an endpoint to bind of each kind.
pub(crate) fn places() -> [String; 3] {
    let process = std::process::id();
    [
        "tcp://127.0.0.1:*".to_owned(),
        format!("ipc://@scale0-zap-{process}-{}", number()),
        format!("inproc://zap-{}", number()),
    ]
}

fn number() -> u32 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

pub(crate) fn plain(user: &str, password: &str) -> auth::Request {
    about(Credentials::Plain {
        user: user.to_owned().into(),
        password: password.as_bytes().to_vec().into(),
    })
}

pub(crate) fn curve(key: PublicKey) -> auth::Request {
    about(Credentials::Curve { key })
}

pub(crate) fn about(credentials: Credentials) -> auth::Request {
    auth::Request {
        credentials,
        address: Some([127, 0, 0, 1].into()),
    }
}

pub(crate) fn admitted(name: &str) -> Verdict {
    Verdict::Admit(User {
        name: name.to_owned().into(),
        key: None,
    })
}

/// Patient: what is decided is decided by the handler, not by the clock.
pub(crate) fn patient(endpoint: &Endpoint) -> Zap {
    with(endpoint, |_| {})
}

/// Ends by its deadline, soon.
pub(crate) fn hasty(endpoint: &Endpoint) -> Zap {
    with(endpoint, |config| config.deadline = SOON)
}

pub(crate) fn with(endpoint: &Endpoint, change: impl FnOnce(&mut Config)) -> Zap {
    let mut config = Config {
        deadline: Duration::from_secs(60),
        ..Config::default()
    };
    change(&mut config);
    Zap::with(endpoint.clone(), "global", config).unwrap()
}

/// Asks in the background.
pub(crate) fn ask(zap: &Zap, request: auth::Request) -> tokio::task::JoinHandle<Verdict> {
    tokio::spawn(zap.check(request))
}

pub(crate) async fn verdict(asked: tokio::task::JoinHandle<Verdict>) -> Verdict {
    within(asked).await.unwrap()
}

/// A handler that answers as a test wants it to.
pub(crate) struct Handler {
    pub(crate) router: Router,
    pub(crate) endpoint: Endpoint,
}

/// A question, and whose it is.
pub(crate) struct Asked {
    pub(crate) from: Bytes,
    pub(crate) request: Request,
}

impl Handler {
    pub(crate) async fn at(place: &str) -> Self {
        let router = Router::new();
        let endpoint = router.bind(place).await.unwrap();
        Self { router, endpoint }
    }

    pub(crate) async fn on_tcp() -> Self {
        Self::at("tcp://127.0.0.1:*").await
    }

    pub(crate) async fn asked(&self) -> Asked {
        let (from, message) = within(self.router.recv_from()).await.unwrap();
        let request = Request::read(&message).unwrap();
        Asked { from, request }
    }

    /// Sends any message to whoever has asked.
    pub(crate) async fn say(&self, asked: &Asked, message: Message) {
        within(self.router.send_to(&asked.from, message))
            .await
            .unwrap();
    }

    pub(crate) async fn answer(&self, asked: &Asked, status: Status, user_id: &str) {
        self.say(asked, reply(asked, status, user_id).write()).await;
    }
}

pub(crate) fn reply(asked: &Asked, status: Status, user_id: &str) -> Reply {
    Reply {
        id: asked.request.id.clone(),
        status,
        text: "as you wish".into(),
        user_id: user_id.to_owned().into(),
        metadata: Vec::new(),
    }
}

/// For what has to end by the clock.
pub(crate) const SOON: Duration = Duration::from_millis(300);
