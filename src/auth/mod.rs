//! Who may come in: a peer's credentials in, a verdict out.

mod authorized;
mod certificate;
mod file;
mod fixed;
mod key_file;
mod notice;
mod password;
#[cfg(feature = "passwords")]
mod passwords;
mod watch;

pub use authorized::Authorized;
pub use certificate::{Certificate, CertificateError, public_certificate, secret_certificate};
pub use file::FileError;
pub use fixed::Fixed;
pub use key_file::{KeyFileError, public_key, read_pair, read_public, write_pair};
pub use notice::Notice;
pub use password::{Password, PasswordError, read_password};
#[cfg(feature = "passwords")]
pub use passwords::{LineError, PasswordFileError, Passwords, set_password};

use std::fmt::Debug;
use std::future::{Future, poll_fn};
use std::net::IpAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

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

/// Asks an authenticator, and takes whatever goes wrong for a no: without one the peer is denied,
/// and a panic or `limit` running out end the handshake without a word.
pub(crate) async fn verdict(
    authenticator: Option<Arc<dyn Authenticator>>,
    request: Request,
    limit: Duration,
) -> Verdict {
    let Some(authenticator) = authenticator else {
        return Verdict::Deny;
    };
    // `check` itself is called by the first poll, for it may panic as well.
    let mut asked = std::pin::pin!(async { authenticator.check(request).await });
    let caught = poll_fn(|cx| {
        let polled = catch_unwind(AssertUnwindSafe(|| asked.as_mut().poll(cx)));
        polled.unwrap_or(Poll::Ready(Verdict::Later))
    });
    let answered = tokio::time::timeout(limit, caught).await;
    answered.unwrap_or(Verdict::Later)
}

/// Whether a user may stay; a panic is a no.
pub(crate) fn stays(authenticator: &dyn Authenticator, user: &User) -> bool {
    catch_unwind(AssertUnwindSafe(|| authenticator.admits_still(user))).unwrap_or(false)
}

/// How often those who are in are looked at again.
pub(crate) const REVIEW: Duration = Duration::from_secs(1);
