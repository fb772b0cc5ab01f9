//! Who is ready, and who is to be woken for it.
//!
//! A pipe that may have become readable or writable puts its number on a ring and wakes *one*
//! party: a program that waits to receive, else one that waits to send, else the driver. Whoever
//! it is serves the whole ring. So a message that the program waits for costs one wake-up, and no
//! task stands between the stream and the program. Who is woken and does not come holds the ring
//! up until the driver's next round, which is half a second away at most.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Wake, Waker};

/// The ring of one socket and those who wait for it.
#[derive(Debug, Default)]
pub(super) struct Ready {
    inner: Mutex<Inner>,
    /// Whether the ring holds something.
    any: AtomicBool,
    /// How many wait to receive.
    receiving: AtomicUsize,
}

#[derive(Debug, Default)]
struct Inner {
    ring: Vec<u32>,
    receivers: Waiters,
    senders: Waiters,
    driver: Option<Waker>,
    next_key: u64,
}

#[derive(Debug, Default)]
struct Waiters {
    list: Vec<(u64, Waker)>,
}

/// What a program waits for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Side {
    Receive,
    Send,
}

impl Ready {
    /// A pipe may have something to do.
    pub(super) fn push(&self, slot: u32) {
        let mut inner = self.lock();
        inner.ring.push(slot);
        self.any.store(true, Ordering::Release);
        let waker = self.baton(&mut inner);
        drop(inner);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    pub(super) fn any(&self) -> bool {
        self.any.load(Ordering::Acquire)
    }

    /// Moves the ring into `out`, which is empty.
    pub(super) fn take(&self, out: &mut Vec<u32>) {
        let mut inner = self.lock();
        std::mem::swap(&mut inner.ring, out);
        self.any.store(false, Ordering::Release);
    }

    /// Begins to wait, or goes on with it. False if the ring is not empty: then there is no time
    /// to sleep.
    pub(super) fn wait(&self, side: Side, key: &mut Option<u64>, waker: &Waker) -> bool {
        let mut inner = self.lock();
        let own = *key.get_or_insert_with(|| {
            inner.next_key += 1;
            inner.next_key
        });
        let waiters = inner.side(side);
        match waiters.list.iter_mut().find(|(key, _)| *key == own) {
            Some((_, old)) => old.clone_from(waker),
            None => waiters.list.push((own, waker.clone())),
        }
        self.count(&inner);
        inner.ring.is_empty()
    }

    /// Ends waiting. Who was woken and does nothing of it passes the baton on.
    pub(super) fn leave(&self, side: Side, key: Option<u64>) {
        let Some(own) = key else {
            return;
        };
        let mut inner = self.lock();
        let waiters = inner.side(side);
        let before = waiters.list.len();
        waiters.list.retain(|(key, _)| *key != own);
        let was_woken = waiters.list.len() == before;
        self.count(&inner);
        let waker = (was_woken || !inner.ring.is_empty())
            .then(|| self.baton(&mut inner))
            .flatten();
        drop(inner);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Whether a program waits to receive.
    pub(super) fn receiving(&self) -> bool {
        self.receiving.load(Ordering::Relaxed) > 0
    }

    /// There is something to receive.
    pub(super) fn wake_receiver(&self) {
        if !self.receiving() {
            return;
        }
        let mut inner = self.lock();
        let waker = inner.receivers.first();
        self.count(&inner);
        drop(inner);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// There is room for what waits to be sent, or a reason to look again.
    pub(super) fn wake_all(&self, side: Side) {
        let mut inner = self.lock();
        let woken = std::mem::take(&mut inner.side(side).list);
        self.count(&inner);
        drop(inner);
        for (_, waker) in woken {
            waker.wake();
        }
    }

    pub(super) fn wake_driver(&self) {
        let waker = self.lock().driver.clone();
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// The driver waits, too.
    pub(super) fn drive(&self, waker: &Waker) {
        let driver = &mut self.lock().driver;
        match driver {
            Some(old) => old.clone_from(waker),
            None => *driver = Some(waker.clone()),
        }
    }

    /// Who serves the ring next.
    fn baton(&self, inner: &mut Inner) -> Option<Waker> {
        let waker = inner.receivers.first().or_else(|| inner.senders.first());
        self.count(inner);
        waker.or_else(|| inner.driver.clone())
    }

    fn count(&self, inner: &Inner) {
        self.receiving
            .store(inner.receivers.list.len(), Ordering::Relaxed);
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn side(&mut self, side: Side) -> &mut Waiters {
        match side {
            Side::Receive => &mut self.receivers,
            Side::Send => &mut self.senders,
        }
    }
}

impl Waiters {
    fn first(&mut self) -> Option<Waker> {
        (!self.list.is_empty()).then(|| self.list.remove(0).1)
    }
}

/// What a pipe's stream wakes.
#[derive(Debug)]
pub(super) struct Bell {
    ready: Arc<Ready>,
    slot: u32,
    rung: AtomicBool,
}

impl Bell {
    pub(super) fn new(ready: &Arc<Ready>, slot: u32) -> Arc<Self> {
        Arc::new(Self {
            ready: Arc::clone(ready),
            slot,
            rung: AtomicBool::new(false),
        })
    }

    /// It is heard: the next ring is news.
    pub(super) fn heard(&self) {
        self.rung.store(false, Ordering::Release);
    }

    pub(super) fn ring(&self) {
        if !self.rung.swap(true, Ordering::AcqRel) {
            self.ready.push(self.slot);
        }
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.ring();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.ring();
    }
}
