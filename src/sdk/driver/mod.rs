//! The task behind a [`Client`](super::Client): keeps one connection and the ledger of its calls.

mod links;
mod sink;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use tokio::sync::mpsc;

use super::client::ClientBuilder;
use super::error::CallError;
use super::ledger::{Ended, Ledger, Question};
use super::reply::Reply;
use super::route::Route;
use super::speech::{self, Dialect, Others, ToClient};
use super::{HEARTBEAT, session_config};
use crate::limits::Limits;
use crate::net::{Backoff, Clock, Link, LinkError};
use crate::protocol::{Portion, Status, Wants};
use crate::security::Security;
use crate::session::{self, Heard};
use crate::wire::Message;

use sink::Overrun;
pub(super) use sink::{Sink, cost};

/// What a client tells its driver.
#[derive(Debug)]
pub(super) enum Command {
    Ask {
        id: u64,
        question: Question,
        sink: Sink,
    },
    Cancel {
        id: u64,
    },
    /// Parts of a call's answer were read.
    Credit {
        id: u64,
        more: Portion,
    },
}

/// Runs until the client is gone and every call has ended.
pub(super) async fn run(
    settings: ClientBuilder,
    seed: [u8; 32],
    mut inbox: mpsc::UnboundedReceiver<Command>,
) {
    let ClientBuilder {
        endpoints,
        dialect,
        limits,
        security,
        gives_up,
        stays,
        ..
    } = settings;
    let is_plain = matches!(security, Security::PlainClient { .. });
    let is_curve = matches!(security, Security::CurveClient { .. });
    let clock = Clock::start();
    let window = if dialect.is_majordomo() {
        1
    } else {
        usize::MAX
    };
    let mut driver = Driver {
        clock,
        dialect,
        config: session_config(&limits, security, Some(HEARTBEAT)),
        full: HIGH_WATER.min(limits.outbox),
        limits,
        ledger: Ledger::new(window),
        route: Route::new(endpoints, Backoff::new(seed)),
        link: None,
        old: None,
        counted: [None; 2],
        next_number: 0,
        connecting: None,
        returning: false,
        dialed: Arc::default(),
        trouble: None,
        gives_up,
        is_curve,
        is_plain,
        follows: !stays && dialect == Dialect::Scale0,
        leaving: false,
        quiet: Vec::new(),
    };
    driver.connect(Duration::ZERO);
    let mut open = true;
    loop {
        driver.send();
        driver.end_quiet();
        if !open && driver.ledger.is_empty() {
            break;
        }
        // The end of a quiet task is that it is written.
        let full = match driver.quiet.is_empty() {
            true => driver.full,
            false => 1,
        };
        let wake = [driver.ledger.deadline(), driver.return_at()]
            .into_iter()
            .fold(None, crate::time::earliest);
        let sleep = tokio::time::sleep_until(clock.instant(wake.unwrap_or_default()));
        tokio::select! {
            command = inbox.recv(), if open => match command {
                Some(command) => {
                    driver.obey(command);
                    // Others that came meanwhile share a write.
                    for _ in 0..BATCH {
                        let Ok(command) = inbox.try_recv() else { break };
                        driver.obey(command);
                    }
                }
                None => open = false,
            },
            heard = heard(&mut driver.link, full) => driver.heard(Which::Current, heard),
            heard = heard(&mut driver.old, full) => driver.heard(Which::Old, heard),
            link = connected(&mut driver.connecting) => driver.connected(link),
            () = sleep, if wake.is_some() => driver.wake(),
        }
    }
    for sink in driver.ledger.close() {
        sink.finish(Err(CallError::Closed));
    }
    if let Some((_, mut link)) = driver.link.take() {
        // Cancels of the last calls; a broker that does not take them sees the connection end.
        let _ = tokio::time::timeout(Duration::from_secs(1), link.flush()).await;
    }
}

type Connecting = Pin<Box<dyn Future<Output = Result<Link, LinkError>> + Send>>;

struct Driver {
    clock: Clock,
    dialect: Dialect,
    config: Arc<session::Config>,
    /// Bytes that may wait to be written before calls wait instead.
    full: usize,
    limits: Limits,
    ledger: Ledger<Sink>,
    route: Route,
    /// The connection in use, and its number.
    link: Option<(u32, Link)>,
    /// The one before, as long as calls on it have no answer.
    old: Option<(u32, Link)>,
    /// The connections whose broker counts credit, the newest last.
    counted: [Option<u32>; 2],
    next_number: u32,
    connecting: Option<Connecting>,
    /// The attempt is for the preferred endpoint, while another is in use.
    returning: bool,
    /// The attempt under way has a stream, and waits for the handshake.
    dialed: Arc<AtomicBool>,
    /// Why there was no connection the last time that one was wanted.
    trouble: Option<String>,
    /// Calls do not wait where every endpoint refuses us.
    gives_up: bool,
    /// We know a key that the server has to have.
    is_curve: bool,
    /// Our password goes to whoever we talk to.
    is_plain: bool,
    /// We go where a broker that drains sends us.
    follows: bool,
    /// We are to go, as soon as the connection before this one is over.
    leaving: bool,
    /// Quiet tasks of which something may wait to be written, with the numbers of their connections.
    quiet: Vec<(u32, u64)>,
}

#[derive(Clone, Copy, Debug)]
enum Which {
    Current,
    Old,
}

async fn heard(link: &mut Option<(u32, Link)>, full: usize) -> Result<Option<Heard>, LinkError> {
    match link {
        Some((_, link)) => link.heard(full).await,
        None => std::future::pending().await,
    }
}

async fn connected(connecting: &mut Option<Connecting>) -> Result<Link, LinkError> {
    match connecting {
        Some(connecting) => connecting.await,
        None => std::future::pending().await,
    }
}

impl Driver {
    fn obey(&mut self, command: Command) {
        match command {
            Command::Ask { id, question, sink } => {
                self.ledger.submit(self.clock.now(), id, question, sink)
            }
            Command::Cancel { id } => {
                if let Some(number) = self.ledger.cancel(id) {
                    self.cancel_on(number, id);
                }
            }
            Command::Credit { id, more } => self.credit(id, more),
        }
    }

    /// Tells the broker that more parts of a call's answer may come, if it wants to know.
    fn credit(&mut self, id: u64, more: Portion) {
        let link = self.ledger.link_of(id);
        let counted = |number: &u32| self.counted.contains(&Some(*number));
        let Some(number) = link.filter(counted).filter(|_| more != Portion::default()) else {
            return;
        };
        let which = self.which(number);
        if let Some((_, link)) = self.place(which) {
            // A link that breaks over it says so when it is read.
            let _ = speech::credit(id, more, |pieces| link.send(pieces));
        }
    }

    fn which(&self, number: u32) -> Which {
        let current = self.link.as_ref().map(|(current, _)| *current);
        if current == Some(number) {
            Which::Current
        } else {
            Which::Old
        }
    }

    /// Tells the broker that nobody waits for a task any more. Where that cannot be said, the
    /// connection goes: its late answer would be taken for the next call's.
    fn cancel_on(&mut self, number: u32, id: u64) {
        let which = self.which(number);
        let dialect = self.dialect;
        let Some((_, link)) = self.place(which) else {
            return;
        };
        if speech::cancel(dialect, id, |pieces| link.send(pieces)).is_none() {
            self.renew(which);
        }
    }

    fn place(&mut self, which: Which) -> &mut Option<(u32, Link)> {
        match which {
            Which::Current => &mut self.link,
            Which::Old => &mut self.old,
        }
    }

    /// Sends what is to be sent.
    fn send(&mut self) {
        let now = self.clock.now();
        if self.leaving {
            return;
        }
        let Some((number, link)) = &mut self.link else {
            return;
        };
        let mut broken = false;
        while self.ledger.has_to_send() && link.waiting() < self.full {
            let Some((id, question, ttl)) = self.ledger.next_to_send(now, *number) else {
                break;
            };
            broken |=
                speech::ask(self.dialect, id, &question, ttl, |pieces| link.send(pieces)).is_err();
            if question.wants == Wants::Nothing {
                self.quiet.push((*number, id));
            }
        }
        broken |= link.push().is_err();
        if broken {
            self.lose(Which::Current);
        }
    }

    /// Ends quiet tasks once they are written: nothing more is heard of them. Before that they might
    /// be lost with the program that takes their end for its own.
    fn end_quiet(&mut self) {
        for (number, id) in std::mem::take(&mut self.quiet) {
            match self.place(self.which(number)) {
                Some((here, link)) if *here == number => {
                    if link.waiting() > 0 {
                        self.quiet.push((number, id));
                    } else if let Some(sink) = self.ledger.finish(id) {
                        sink.finish(Ok(Reply::default()));
                    }
                }
                // Lost with its connection: it was told so, or is sent again.
                _ => {}
            }
        }
    }

    /// Everything that has been read on a connection.
    fn heard(&mut self, which: Which, mut next: Result<Option<Heard>, LinkError>) {
        loop {
            match next {
                Ok(Some(Heard::Message(message))) => self.message(which, message),
                // A client is never asked who its broker is.
                Ok(Some(
                    Heard::Open(_) | Heard::Sign | Heard::Subscription { .. } | Heard::Asks(_),
                )) => {}
                Ok(None) => break,
                Err(error) => {
                    if matches!(which, Which::Current) {
                        self.note(&error);
                    }
                    if error.is_refusal() {
                        let endpoint = self.route.current().map(tracing::field::display);
                        tracing::warn!(endpoint, %error, "refused, trying again later");
                        return self.end(which, |driver, _| driver.refused(&error));
                    }
                    return self.lose(which);
                }
            }
            let Some((_, link)) = self.place(which) else {
                return;
            };
            next = link.heard_already();
        }
        if self
            .old
            .as_ref()
            .is_some_and(|(number, _)| self.ledger.on_link(*number) == 0)
        {
            self.old = None;
        }
        if self.leaving {
            self.leave();
        }
    }

    fn message(&mut self, which: Which, message: Message) {
        let only = self
            .dialect
            .is_majordomo()
            .then(|| self.ledger.only())
            .flatten();
        match speech::hear_as_client(self.dialect, message, &self.limits) {
            ToClient::Reply { id, reply } => {
                let Some(id) = id.or(only) else {
                    return;
                };
                if reply.partial {
                    self.partial(id, reply);
                } else if let Some(sink) = self.ledger.finish(id) {
                    sink.finish(Ok(reply));
                }
            }
            ToClient::Refused {
                id,
                status,
                not_executed,
                retry_after,
                text,
            } => {
                if self.goes_elsewhere(which, id, status, not_executed) {
                    return;
                }
                if let Some(sink) = self.ledger.finish(id) {
                    sink.finish(Err(CallError::Refused {
                        status,
                        text,
                        not_executed,
                        retry_after,
                    }));
                }
            }
            ToClient::ChangeBroker(Others { go, endpoints }) => {
                if self.follows && matches!(which, Which::Current) {
                    self.route.learn(endpoints, self.is_plain);
                    if go {
                        self.leave();
                    }
                }
            }
            ToClient::Pong { credit: true } => {
                if let Some((number, _)) = self.place(which) {
                    let number = Some(*number);
                    if !self.counted.contains(&number) {
                        let [_, last] = self.counted;
                        self.counted = [last, number];
                    }
                }
            }
            ToClient::Pong { .. } | ToClient::Nothing => {}
        }
    }

    /// The current broker takes no more calls. Those it has may end there, all others go to the next
    /// endpoint, if there is one.
    fn leave(&mut self) {
        if !self.route.has_other() {
            return;
        }
        // Two connections at a time are enough.
        self.leaving = self.old.is_some();
        if self.leaving {
            return;
        }
        let Some((number, link)) = self.link.take() else {
            return;
        };
        let endpoint = self.route.current().map(tracing::field::display);
        tracing::info!(endpoint, "the broker drains: going elsewhere");
        if self.ledger.on_link(number) > 0 {
            self.old = Some((number, link));
        }
        self.returning = false;
        let pause = self.route.leave(self.clock.now());
        self.connect(pause);
    }

    /// Whether a refused call is made again at another broker, because this one drains or was left.
    fn goes_elsewhere(
        &mut self,
        which: Which,
        id: u64,
        status: Status,
        not_executed: bool,
    ) -> bool {
        if !self.follows {
            return false;
        }
        if status == Status::DRAINING && matches!(which, Which::Current) && !self.leaving {
            self.leave();
        }
        let left = matches!(which, Which::Old) || self.leaving || self.link.is_none();
        match status {
            _ if !left => false,
            // What a broker without workers says is true of that one only.
            Status::DRAINING | Status::UNAVAILABLE | Status::NO_SERVICE if not_executed => {
                self.ledger.send_again(id, false)
            }
            Status::WORKER_LOST => self.ledger.send_again(id, true),
            _ => false,
        }
    }

    fn partial(&mut self, id: u64, reply: Reply) {
        let counted = (self.ledger.link_of(id)).is_some_and(|n| self.counted.contains(&Some(n)));
        let Some(sink) = self.ledger.partial(id) else {
            return;
        };
        match sink.partial(reply, &self.limits, counted) {
            Ok(more) => self.credit(id, more),
            Err(Overrun { limit }) => {
                let Some(Ended { who, sent, .. }) = self.ledger.end(id) else {
                    return;
                };
                who.finish(Err(CallError::Overrun { limit }));
                if let Some(number) = sent {
                    self.cancel_on(number, id);
                }
            }
        }
    }

    /// Does what time demands.
    fn wake(&mut self) {
        let now = self.clock.now();
        while let Some(Ended { id, who, ttl, sent }) = self.ledger.expire(now) {
            let trouble = match sent {
                Some(_) => None,
                None => self.trouble(),
            };
            who.finish(Err(CallError::Timeout {
                ttl,
                sent: sent.is_some(),
                trouble,
            }));
            if let Some(number) = sent {
                self.cancel_on(number, id);
            }
        }
        if self.return_at().is_some_and(|at| at <= now)
            && let Some(endpoint) = self.route.preferred().cloned()
        {
            self.returning = true;
            self.begin(endpoint, Duration::ZERO);
        }
    }
}

/// Commands taken in one go.
const BATCH: usize = 256;
/// The most that waits to be written before calls wait instead.
const HIGH_WATER: usize = 1 << 20;
