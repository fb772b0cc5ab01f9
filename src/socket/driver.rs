//! The tasks of a socket: one that looks after it while its program is elsewhere, one for each
//! endpoint that it is bound to, one for each that it connects to.

use std::future::poll_fn;
use std::hash::{BuildHasher, RandomState};
use std::io::ErrorKind;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use tokio::io::ReadBuf;
use tokio::runtime::Handle;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

use super::hub::{Hub, connect_inproc};
use super::monitor::Event;
use super::pipe::Origin;
use crate::net::{self, Backoff, Listener, ReadHalf};
use crate::time::{Time, earliest};
use crate::wire::Endpoint;

/// Looks after a socket until it is closed: handshakes, heartbeats, the end of each turn.
pub(super) async fn drive(hub: Arc<Hub>, runtime: Handle) {
    let mut sleep = Box::pin(tokio::time::sleep(Duration::ZERO));
    let mut armed = None;
    // When to see after messages that the program leaves alone.
    let mut look_at: Option<Time> = None;
    // When to see after what somebody was woken for who does not come.
    let mut round_at: Option<Time> = None;
    let mut taken = 0;
    let farewells = Arc::new(Semaphore::new(FAREWELLS));
    poll_fn(|cx| {
        hub.ready.drive(cx.waker());
        loop {
            let mut state = hub.lock();
            state.tick();
            if hub.ready.any() {
                state.attend_all();
                state.note_unattended();
            }
            state.write_dirty();
            let now = state.clock.now();
            if look_at.is_some_and(|at| at <= now) {
                look_at = state.look_after(&mut taken).then(|| now + ATTENTION);
                state.write_dirty();
            } else if look_at.is_none() && state.is_unattended() {
                look_at = Some(now + ATTENTION);
            }
            if round_at.is_none_or(|at| at <= now) {
                round_at = Some(now + ROUND);
            }
            if state.pipes.len() == 0 {
                round_at = None;
            }
            let closing = state.finish();
            for reader in std::mem::take(&mut state.parting) {
                // In a crowd of those who are refused there is no time for politeness.
                if let Ok(place) = Arc::clone(&farewells).try_acquire_owned() {
                    runtime.spawn(part(reader, place));
                }
            }
            if state.is_over() {
                if let Some(closing) = &state.closing {
                    closing.done.notify_waiters();
                    closing.done.notify_one();
                }
                return Poll::Ready(());
            }
            let mut deadline = earliest(earliest(state.wake_at, look_at), closing);
            deadline = earliest(deadline, round_at);
            let mut astray = Vec::new();
            for (slot, at) in std::mem::take(&mut state.astray) {
                let Some(pipe) = state.pipes.get(slot) else {
                    continue;
                };
                if at <= now {
                    astray.push((slot, pipe.endpoint.clone()));
                } else {
                    deadline = earliest(deadline, Some(at));
                    state.astray.push((slot, at));
                }
            }
            let instant = deadline.map(|at| state.clock.instant(at));
            drop(state);
            for (slot, endpoint) in astray {
                if let Endpoint::Inproc { name } = endpoint {
                    connect_inproc(&hub, slot, &name);
                }
            }
            let Some(instant) = instant else {
                return Poll::Pending;
            };
            if armed != Some(instant) {
                armed = Some(instant);
                sleep.as_mut().reset(instant);
            }
            if sleep.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
            armed = None;
        }
    })
    .await;
}

/// Accepts streams at one endpoint for as long as it is let.
pub(super) async fn accept(hub: Arc<Hub>, listener: Listener) {
    let endpoint = listener.endpoint().clone();
    let mut failing = false;
    loop {
        match listener.accept().await {
            Ok((reader, writer, address)) => {
                failing = false;
                let mut state = hub.lock();
                state.admit(endpoint.clone(), reader, writer, address);
            }
            // Out of descriptors, mostly. The stream stays in the backlog; trying again at once
            // would spin.
            Err(error) => {
                if !std::mem::replace(&mut failing, true) {
                    hub.lock().report(&Event::AcceptFailed {
                        endpoint: endpoint.clone(),
                        reason: error.to_string(),
                    });
                }
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Connects a pipe to its endpoint, and again whenever its link is lost.
pub(super) async fn connect(hub: Arc<Hub>, slot: u32, endpoint: Endpoint, lost: Arc<Notify>) {
    let policy = hub.lock().options.reconnect;
    let waits = policy.unwrap_or(super::Reconnect {
        first: Backoff::FIRST,
        longest: Backoff::LONGEST,
    });
    let mut backoff = Backoff::between(waits.first.max(SHORTEST), waits.longest, seed());
    let mut unwanted = Backoff::between(REFUSED_FIRST, REFUSED_LONGEST, seed());
    loop {
        let (transport, limit, clock) = {
            let mut state = hub.lock();
            state.report(&Event::Connecting {
                endpoint: endpoint.clone(),
            });
            let limit = state.options.connect_timeout.unwrap_or(Duration::MAX);
            (state.options.transport, limit, state.clock)
        };
        let attempt = tokio::time::timeout(limit, net::dial(&endpoint, &transport)).await;
        let (mut refused, mut stop) = (false, policy.is_none());
        let reason = match attempt {
            Ok(Ok((reader, writer))) => {
                if !hub.lock().attach(slot, reader, writer) {
                    return;
                }
                let since = clock.now();
                lost.notified().await;
                if since + HEALTHY <= clock.now() {
                    backoff.succeeded();
                }
                let ended = how_it_ended(&hub, slot);
                refused = ended.refused;
                stop |= !ended.opened && stops(&hub).handshake_failed;
                LOST.to_owned()
            }
            Ok(Err(error)) => {
                stop |= error.kind() == ErrorKind::ConnectionRefused && stops(&hub).refused;
                error.to_string()
            }
            Err(_) => format!("no connection within {limit:?}"),
        };
        if stop {
            return hub.lock().give_up(slot, &reason);
        }
        let after = if refused {
            unwanted.failed()
        } else {
            unwanted.succeeded();
            backoff.failed()
        };
        hub.lock().report(&Event::Retrying {
            endpoint: endpoint.clone(),
            after,
            reason,
        });
        tokio::time::sleep(after).await;
    }
}

fn stops(hub: &Hub) -> super::Stop {
    hub.lock().options.stop
}

/// Of the last connection.
#[derive(Default)]
struct Ended {
    refused: bool,
    opened: bool,
}

fn how_it_ended(hub: &Hub, slot: u32) -> Ended {
    match hub.lock().pipes.get(slot).map(|pipe| &pipe.origin) {
        Some(&Origin::Connected {
            refused, opened, ..
        }) => Ended { refused, opened },
        _ => Ended::default(),
    }
}

/// Our side is closed; waits for the peer's, so that the system does not throw the last words
/// away.
async fn part(mut reader: ReadHalf, _place: OwnedSemaphorePermit) {
    let mut sink = vec![0; SINK];
    let end = async {
        loop {
            let mut buf = ReadBuf::new(&mut sink);
            let read = poll_fn(|cx| reader.poll_read(cx, &mut buf)).await;
            if read.is_err() || buf.filled().is_empty() {
                return;
            }
        }
    };
    let _ = tokio::time::timeout(FAREWELL, end).await;
}

/// Randomness for jitter and for names that should not be guessed: the system seeds it.
pub(super) fn random() -> u64 {
    RandomState::new().hash_one(0)
}

fn seed() -> [u8; 32] {
    let mut seed = [0; 32];
    for bytes in seed.chunks_exact_mut(8) {
        bytes.copy_from_slice(&random().to_le_bytes());
    }
    seed
}

/// How long a pipe's bell may go unheard: the one who was woken for it may be kept, as `select!`
/// keeps its other arms while one is at work.
const ROUND: Duration = Duration::from_millis(500);
/// Why there is no connection.
pub(super) const LOST: &str = "the connection is lost";
/// How long messages may lie before somebody looks behind them for a PING.
const ATTENTION: Duration = Duration::from_millis(10);
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// A link that held so long was a success.
const HEALTHY: Duration = Duration::from_secs(1);
const SHORTEST: Duration = Duration::from_millis(1);
/// Waits before a peer is asked again that has refused us.
const REFUSED_FIRST: Duration = Duration::from_secs(1);
const REFUSED_LONGEST: Duration = Duration::from_secs(30);
/// How long a peer may take to close its side.
const FAREWELL: Duration = Duration::from_secs(1);
/// How many of them there are at a time; the streams of others are closed at once.
const FAREWELLS: usize = 64;
const SINK: usize = 4 << 10;
