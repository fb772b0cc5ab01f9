//! A bug that shows over one connection is not the others' business: a panic ends what it was
//! about, and no more.

use std::any::Any;
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::Poll;

/// Runs a future to its end; none if it panicked, after the panic was printed. What the shard
/// keeps of whomever it was about has to go.
pub(super) async fn outcome<T>(mut future: Pin<&mut impl Future<Output = T>>) -> Option<T> {
    poll_fn(|cx| match caught(|| future.as_mut().poll(cx)) {
        Ok(poll) => poll.map(Some),
        Err(_) => Poll::Ready(None),
    })
    .await
}

/// The same for what does not wait; gives the panic, for whoever cannot tell what it was about.
pub(super) fn caught<T>(deed: impl FnOnce() -> T) -> Result<T, Box<dyn Any + Send>> {
    // The broker goes on with what a panic has left half done, with one thread as with several: a
    // task whose words to others were lost is answered at its deadline at the latest.
    catch_unwind(AssertUnwindSafe(deed))
}
