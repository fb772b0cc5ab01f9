//! How fast a handler's parts may go: as fast as its client takes them.

use std::sync::{Mutex, PoisonError};

use tokio::sync::Notify;

use crate::protocol::{Portion, Window};

/// What one task may still send in parts. Shared by its handler, which spends it, and the
/// connection, which hears of more.
#[derive(Debug)]
pub(super) struct Pace {
    window: Mutex<Window>,
    wider: Notify,
}

/// Credit for one part. It goes back unless the part is sent.
#[derive(Debug)]
pub(super) struct Ticket<'a> {
    pace: &'a Pace,
    bytes: usize,
    used: bool,
}

impl Pace {
    pub(super) fn new() -> Self {
        Self {
            window: Mutex::new(Window::INITIAL),
            wider: Notify::new(),
        }
    }

    /// Waits for credit for a part of so many bytes.
    ///
    /// Cancel safe: what is not used goes back.
    pub(super) async fn ticket(&self, bytes: usize) -> Ticket<'_> {
        loop {
            // Before the look, or what comes between the two would be missed.
            let wider = self.wider.notified();
            if let Some(ticket) = self.try_ticket(bytes) {
                return ticket;
            }
            wider.await;
        }
    }

    /// Credit for a part, if there is some now.
    pub(super) fn try_ticket(&self, bytes: usize) -> Option<Ticket<'_>> {
        self.with(|window| {
            let open = window.is_open();
            if open {
                window.take(bytes);
            }
            open
        })
        // Not `then_some`: a ticket that is dropped gives back what it never took.
        .then(|| Ticket {
            pace: self,
            bytes,
            used: false,
        })
    }

    /// The client takes more.
    pub(super) fn widen(&self, more: Portion) {
        self.with(|window| window.widen(more));
        self.wider.notify_waiters();
    }

    fn with<R>(&self, act: impl FnOnce(&mut Window) -> R) -> R {
        // Numbers only: a panic cannot leave them half changed.
        let mut window = self.window.lock().unwrap_or_else(PoisonError::into_inner);
        act(&mut window)
    }
}

impl Ticket<'_> {
    /// The part is sent.
    pub(super) fn punch(mut self) {
        self.used = true;
    }
}

impl Drop for Ticket<'_> {
    fn drop(&mut self) {
        if !self.used {
            self.pace.with(|window| window.give_back(self.bytes));
            self.pace.wider.notify_waiters();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use super::*;

    fn poll<F: Future>(future: std::pin::Pin<&mut F>) -> Poll<F::Output> {
        future.poll(&mut Context::from_waker(Waker::noop()))
    }

    fn spend_all(pace: &Pace) {
        while let Some(ticket) = pace.try_ticket(1) {
            ticket.punch();
        }
    }

    #[test]
    fn who_waits_goes_on_when_there_is_more() {
        let pace = Pace::new();
        spend_all(&pace);
        let mut waiting = pin!(pace.ticket(5));
        assert!(poll(waiting.as_mut()).is_pending());
        pace.widen(Portion {
            messages: 1,
            kib: 0,
        });
        assert!(poll(waiting.as_mut()).is_ready());
    }

    #[test]
    fn credit_that_comes_before_the_first_look_is_not_missed() {
        let pace = Pace::new();
        spend_all(&pace);
        let mut waiting = pin!(pace.ticket(5));
        pace.widen(Portion {
            messages: 1,
            kib: 0,
        });
        assert!(poll(waiting.as_mut()).is_ready());
    }

    #[test]
    fn a_part_that_is_given_up_takes_no_credit_along() {
        let pace = Pace::new();
        spend_all(&pace);
        pace.widen(Portion {
            messages: 1,
            kib: 1,
        });
        let first = pace.try_ticket(1 << 30).unwrap();
        assert!(pace.try_ticket(0).is_none());
        let mut waiting = pin!(pace.ticket(5));
        assert!(poll(waiting.as_mut()).is_pending());
        drop(first);
        let Poll::Ready(second) = poll(waiting.as_mut()) else {
            panic!("there is credit again");
        };
        second.punch();
        assert!(pace.try_ticket(0).is_none(), "used up");
    }
}
