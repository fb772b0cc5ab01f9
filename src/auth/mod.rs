//! Who may come in: a peer's credentials in, a verdict out.

use std::fmt::Debug;
use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;

use crate::security::{Credentials, User, Verdict};

/// What is asked about one peer.
#[derive(Clone, Debug)]
pub struct Request {
    /// What the peer shows.
    pub credentials: Credentials,
    /// Where it comes from; none over ipc and inproc.
    pub address: Option<IpAddr>,
}

/// Decides who may come in.
///
/// Whoever asks sets a deadline, and takes a panic or a deadline that has passed for
/// [`Verdict::Later`]: nobody comes in by an authenticator's failure.
pub trait Authenticator: Debug + Send + Sync {
    /// Decides about one peer. The future is polled on the socket's runtime, so what takes
    /// processor time belongs elsewhere; it is dropped when the peer goes.
    fn check(&self, request: Request) -> Pin<Box<dyn Future<Output = Verdict> + Send>>;

    /// Whether a user that was admitted earlier would still be. Asked about each of them every
    /// second or so; who is not any more is cut off.
    fn admits_still(&self, user: &User) -> bool {
        let _ = user;
        true
    }
}
