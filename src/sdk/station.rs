//! One connection of a worker at a time: announces, takes tasks, runs handlers, sends replies.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::mpsc;
use tokio::task::{AbortHandle, Id as RunId, JoinError, JoinSet};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::error::{BuildError, Failure};
use super::pace::Pace;
use super::reply::Outcome;
use super::route::Route;
use super::speech::{self, Job, Others, Presence, ToWorker};
use super::worker::{Part, Service, Task, WorkerBuilder};
use super::{HEARTBEAT, session_config};
use crate::net::{Backoff, Clock, Link, LinkError, entropy};
use crate::protocol::{Id, Name, Status};
use crate::security::Security;
use crate::session::{self, Heard};
use crate::time::{Time, earliest};
use crate::wire::{Builder, Endpoint, Message};

/// See the [module's description](self).
pub(super) struct Station {
    settings: WorkerBuilder,
    presence: Presence,
    config: Arc<session::Config>,
    clock: Clock,
    route: Route,
}

/// Why a connection is over.
enum Over {
    /// It is lost, or was of no use: connect again.
    Lost,
    /// It is lost after the broker had sent us away: connect elsewhere.
    Left,
    /// The broker does not want us: connect again, but not soon.
    Refused,
    /// The preferred endpoint answers again, or we are to go to another one that answers.
    Moved(Box<Link>),
    /// All is done.
    Stopped,
}

impl Station {
    pub(super) fn new(settings: WorkerBuilder) -> Result<Self, BuildError> {
        let presence = Presence {
            name: settings.name.clone(),
            capacity: settings.capacity,
            promise: settings.heartbeat,
            offers: settings
                .services
                .values()
                .map(|service| service.offer.clone())
                .collect(),
        };
        Ok(Self {
            presence,
            config: session_config(&settings.limits, settings.security.clone(), Some(HEARTBEAT)),
            clock: Clock::start(),
            route: Route::new(settings.endpoints.clone(), Backoff::new(entropy()?)),
            settings,
        })
    }

    pub(super) async fn run(mut self, stop: CancellationToken) {
        let mut ready = None;
        loop {
            let link = match ready.take() {
                Some(link) => link,
                None => {
                    let opened = tokio::select! {
                        opened = self.open() => opened,
                        () = stop.cancelled() => return,
                    };
                    match opened {
                        Some(link) => link,
                        None => continue,
                    }
                }
            };
            match Shift::new(&mut self, link).work(&stop).await {
                Over::Stopped => return,
                Over::Moved(link) => {
                    self.route.moved(self.clock.now());
                    ready = Some(*link);
                }
                over @ (Over::Lost | Over::Left | Over::Refused) => {
                    let pause = match over {
                        Over::Refused => self.route.refused(),
                        Over::Left => self.route.leave(self.clock.now()),
                        _ => {
                            tracing::info!("connection lost");
                            self.route.failed(self.clock.now())
                        }
                    };
                    tokio::select! {
                        () = tokio::time::sleep(pause) => {}
                        () = stop.cancelled() => return,
                    }
                }
            }
        }
    }

    /// One attempt to connect; after a failure it waits before it returns.
    async fn open(&mut self) -> Option<Link> {
        let endpoint = self.route.current()?.clone();
        match Link::open(&endpoint, Arc::clone(&self.config), self.clock).await {
            Ok(link) => {
                tracing::info!(%endpoint, "connected");
                self.route.connected(self.clock.now());
                Some(link)
            }
            Err(error) => {
                let is_news = match error.is_refusal() {
                    true => self.route.is_news_of_refusal(),
                    false => self.route.is_news(),
                };
                if is_news {
                    tracing::warn!(%endpoint, %error, "not connected, trying again");
                } else {
                    tracing::debug!(%endpoint, %error, "not connected");
                }
                let pause = if error.is_refusal() {
                    self.route.refused()
                } else {
                    self.route.failed(self.clock.now())
                };
                tokio::time::sleep(pause).await;
                None
            }
        }
    }
}

/// The work on one connection.
struct Shift<'a> {
    station: &'a mut Station,
    link: Link,
    running: JoinSet<Result<Outcome, Failure>>,
    /// The tokens of the tasks that run.
    tokens: HashMap<RunId, Bytes>,
    begun: HashMap<Bytes, Begun>,
    /// Partial replies, each with its task's token.
    partials: (mpsc::Sender<Part>, mpsc::Receiver<Part>),
    /// Partial replies for a dialect that knows none.
    gathered: HashMap<Bytes, Builder>,
    /// Last time that something was sent.
    told: Time,
    /// The broker's own promise.
    promise: Duration,
    /// The broker counts credit.
    credit: bool,
    /// The attempt to reach the preferred endpoint, or another one.
    returning: Option<AbortOnDropHandle<Result<Link, LinkError>>>,
    /// The broker sends us away: when to try another endpoint.
    leaving: Option<Time>,
    parting: Option<Parting>,
    /// The broker has said ERROR.
    refused: bool,
}

/// A task whose handler runs.
struct Begun {
    abort: AbortHandle,
    /// How fast its parts may go; none if they may go as they come.
    pace: Option<Arc<Pace>>,
}

/// No more tasks are wanted on this connection.
struct Parting {
    /// Whatever runs has until then.
    until: Time,
    /// The broker knows: no task is on its way to us.
    agreed: bool,
    /// Where the work goes on; `None` when it ends.
    next: Option<Box<Link>>,
}

impl<'a> Shift<'a> {
    fn new(station: &'a mut Station, link: Link) -> Self {
        let now = station.clock.now();
        Self {
            station,
            link,
            running: JoinSet::new(),
            tokens: HashMap::new(),
            begun: HashMap::new(),
            partials: mpsc::channel(PARTIALS),
            gathered: HashMap::new(),
            told: now,
            promise: BROKER_PROMISE,
            credit: false,
            returning: None,
            leaving: None,
            parting: None,
            refused: false,
        }
    }

    async fn work(mut self, stop: &CancellationToken) -> Over {
        if self.announce().is_err() {
            return Over::Lost;
        }
        loop {
            if self.is_done() {
                return self.leave().await;
            }
            if self.link.push().is_err() {
                return Over::Lost;
            }
            let sleep = tokio::time::sleep_until(self.station.clock.instant(self.wake_at()));
            let full = HIGH_WATER.min(self.station.settings.limits.outbox);
            let room = self.link.waiting() < full;
            let stopping = (self.parting.as_ref()).is_some_and(|parting| parting.next.is_none());
            let went_on = tokio::select! {
                heard = self.link.heard(full) => self.hear(heard),
                Some(done) = self.running.join_next_with_id(), if room => self.finished(done),
                Some(part) = self.partials.1.recv(), if room => self.partial(part),
                () = stop.cancelled(), if !stopping => self.part(None),
                link = joined(&mut self.returning) => {
                    self.returning = None;
                    match link {
                        Some(link) if self.parting.is_none() => self.part(Some(Box::new(link))),
                        _ if self.leaving.is_some() => {
                            let pause = self.station.route.other_failed();
                            self.leaving = Some(self.station.clock.now() + pause);
                            Ok(())
                        }
                        _ => {
                            self.station.route.stayed(self.station.clock.now());
                            Ok(())
                        }
                    }
                }
                () = sleep => self.wake(self.station.clock.now()),
            };
            if went_on.is_err() {
                let next = self.parting.take().and_then(|parting| parting.next);
                return match next {
                    Some(link) => Over::Moved(link),
                    None if self.refused => Over::Refused,
                    None if self.leaving.is_some() => Over::Left,
                    None => Over::Lost,
                };
            }
        }
    }

    /// All services, or none when no more tasks are wanted.
    fn announce(&mut self) -> Result<(), Lost> {
        let dialect = self.station.settings.dialect;
        let link = &mut self.link;
        let mut presence = self.station.presence.clone();
        if self.parting.is_some() {
            presence.offers.clear();
        }
        speech::announce(dialect, &presence, |pieces| link.send(pieces)).map_err(|_| Lost)?;
        self.told = self.station.clock.now();
        Ok(())
    }

    /// Everything that has been read.
    fn hear(&mut self, mut next: Result<Option<Heard>, LinkError>) -> Result<(), Lost> {
        loop {
            let heard = match next {
                Ok(Some(heard)) => heard,
                Ok(None) => return Ok(()),
                Err(error) => {
                    self.refused = error.is_refusal();
                    if self.refused {
                        tracing::warn!(%error, "refused, trying again later");
                    }
                    return Err(Lost);
                }
            };
            if let Heard::Message(message) = heard {
                self.message(message)?;
            }
            next = self.link.heard_already();
        }
    }

    fn message(&mut self, message: Message) -> Result<(), Lost> {
        let dialect = self.station.settings.dialect;
        match speech::hear_as_worker(dialect, message, &self.station.settings.limits) {
            ToWorker::Task(job) => self.begin(job),
            ToWorker::Cancel(token) => {
                if let Some(begun) = self.begun.get(&token) {
                    begun.abort.abort();
                }
                Ok(())
            }
            ToWorker::Credit(token, more) => {
                let begun = self.begun.get(&token);
                if let Some(pace) = begun.and_then(|begun| begun.pace.as_ref()) {
                    pace.widen(more);
                }
                Ok(())
            }
            ToWorker::Ping(id) => {
                self.told = self.station.clock.now();
                let link = &mut self.link;
                speech::pong(dialect, id, |pieces| link.send(pieces))
                    .unwrap_or(Ok(()))
                    .map_err(|_| Lost)
            }
            ToWorker::Unknown => self.announce(),
            ToWorker::Pong(id) => {
                if let Some(parting) = &mut self.parting {
                    parting.agreed |= id == PARTING;
                }
                Ok(())
            }
            ToWorker::Config {
                promise,
                credit,
                others: Others { endpoints, .. },
            } => {
                self.credit = credit;
                if !promise.is_zero() {
                    self.promise = promise;
                }
                self.learn(endpoints);
                Ok(())
            }
            ToWorker::ChangeBroker(Others { go, endpoints }) => {
                self.learn(endpoints);
                if go && self.leaving.is_none() && self.station.route.has_other() {
                    tracing::info!("the broker drains: going elsewhere");
                    self.leaving = Some(self.station.clock.now());
                }
                Ok(())
            }
            ToWorker::Bye => Err(Lost),
            ToWorker::Refused { status, text } => {
                tracing::warn!(%status, text, "refused by the broker");
                Ok(())
            }
            ToWorker::Beat | ToWorker::Nothing => Ok(()),
        }
    }

    /// A password goes nowhere in the clear because a broker says so.
    fn learn(&mut self, endpoints: Vec<Endpoint>) {
        let is_plain = matches!(self.station.settings.security, Security::PlainClient { .. });
        self.station.route.learn(endpoints, is_plain);
    }

    fn begin(&mut self, job: Job) -> Result<(), Lost> {
        let services = &self.station.settings.services;
        let found = match &job.service {
            Some(name) => services
                .get_key_value(name)
                .or_else(|| serving(services, name)),
            None => services.iter().next(),
        };
        let Some((name, service)) = found else {
            // We never offered it: a broker's slip, and its client's to know.
            return self.reply(
                &job.token,
                501,
                false,
                Message::from("no such service here"),
            );
        };
        let clock = self.station.clock;
        let token = job.token.clone();
        let pace = self.credit.then(|| Arc::new(Pace::new()));
        let task = Task {
            service: job.service.clone().unwrap_or_else(|| name.clone()),
            deadline: job.ttl.map(|ttl| clock.now() + ttl),
            clock,
            job,
            partials: self.partials.0.clone(),
            pace: pace.clone(),
        };
        let handler = Arc::clone(&service.handler);
        // Called in there, so that whatever panics is the task and not the worker.
        let abort = self.running.spawn(async move { handler(task).await });
        self.tokens.insert(abort.id(), token.clone());
        self.begun.insert(token, Begun { abort, pace });
        Ok(())
    }

    /// A handler has come to its end, by whatever way.
    fn finished(
        &mut self,
        done: Result<(RunId, Result<Outcome, Failure>), JoinError>,
    ) -> Result<(), Lost> {
        let mut refuses = false;
        let (run, code, body) = match done {
            Ok((run, Ok(Outcome { code, body }))) => (run, code, body),
            Ok((run, Err(failure))) => {
                refuses = failure.refuses;
                let Failure { code, body, .. } = Failure::new(failure.code, failure.body);
                (run, code, Message::from(body))
            }
            Err(error) if error.is_cancelled() => (error.id(), 499, Message::default()),
            Err(error) => (error.id(), 500, Message::from("the handler panicked")),
        };
        // What it sent ahead goes ahead.
        while let Ok(part) = self.partials.1.try_recv() {
            self.partial(part)?;
        }
        let Some(token) = self.tokens.remove(&run) else {
            return Ok(());
        };
        self.begun.remove(&token);
        let body = match self.gathered.remove(&token) {
            Some(mut builder) => {
                builder.parts(&body);
                builder.finish()
            }
            None => body,
        };
        if refuses && code == 503 {
            let dialect = self.station.settings.dialect;
            let link = &mut self.link;
            self.told = self.station.clock.now();
            let refused = speech::refuse(dialect, &token, &body, |pieces| link.send(pieces));
            if let Some(sent) = refused {
                return sent.map_err(|_| Lost);
            }
        }
        self.reply(&token, code, false, body)
    }

    fn partial(&mut self, part: Part) -> Result<(), Lost> {
        let Part { token, code, body } = part;
        let majordomo = self.station.settings.dialect.is_majordomo();
        // Without a status progress would be taken for a part of the answer.
        let lost = majordomo && code == Status::PROGRESS.code();
        if lost || !self.begun.contains_key(&token) {
            return Ok(());
        }
        if self.station.settings.dialect == speech::Dialect::Mdp01 {
            self.gathered.entry(token).or_default().parts(&body);
            return Ok(());
        }
        self.reply(&token, code, true, body)
    }

    /// Sends a reply. One that is more than a broker takes would cost the connection: its client
    /// gets 500 instead, and its handler is stopped.
    fn reply(
        &mut self,
        token: &Bytes,
        code: u16,
        partial: bool,
        body: Message,
    ) -> Result<(), Lost> {
        let WorkerBuilder {
            dialect, limits, ..
        } = &self.station.settings;
        let link = &mut self.link;
        let sent =
            speech::reply(
                *dialect,
                token,
                code,
                partial,
                &body,
                |pieces| match speech::excess(pieces, limits) {
                    None => link.send(pieces).map(|()| None),
                    excess => Ok(excess),
                },
            );
        self.told = self.station.clock.now();
        let Some((bytes, parts)) = sent.map_err(|_| Lost)? else {
            return Ok(());
        };
        if let Some(Begun { abort, .. }) = self.begun.remove(token) {
            self.tokens.remove(&abort.id());
            abort.abort();
        }
        let text = format!("a reply of {bytes} bytes in {parts} parts is more than a broker takes");
        tracing::warn!(bytes, parts, "a reply is more than a broker takes");
        self.reply(token, 500, false, Message::from(text.as_str()))
    }

    /// No more tasks: an empty announcement, and a capacity of 0, which counts at once and whose
    /// answer comes behind every task that was under way. Majordomo has no such words; a worker of
    /// its that is idle just says goodbye.
    fn part(&mut self, next: Option<Box<Link>>) -> Result<(), Lost> {
        let dialect = self.station.settings.dialect;
        self.parting = Some(Parting {
            until: self.station.clock.now() + self.station.settings.drain_timeout,
            agreed: dialect.is_majordomo(),
            next,
        });
        if dialect.is_majordomo() {
            return Ok(());
        }
        self.announce()?;
        let (promise, link) = (self.station.settings.heartbeat, &mut self.link);
        speech::pause(PARTING, promise, |pieces| link.send(pieces)).map_err(|_| Lost)
    }

    /// Whether nothing is left to do here, or no time to do it.
    fn is_done(&self) -> bool {
        self.parting.as_ref().is_some_and(|parting| {
            let late = parting.next.is_none() && parting.until <= self.station.clock.now();
            late || parting.agreed && self.running.is_empty()
        })
    }

    /// Says goodbye.
    async fn leave(&mut self) -> Over {
        let dialect = self.station.settings.dialect;
        let link = &mut self.link;
        // A broker that does not hear it sees the connection end.
        let _ = speech::bye(dialect, |pieces| link.send(pieces));
        let _ = tokio::time::timeout(FAREWELL, self.link.flush()).await;
        let next = self.parting.take().and_then(|parting| parting.next);
        next.map_or(Over::Stopped, Over::Moved)
    }

    fn wake_at(&self) -> Time {
        let beat = self.told + self.beat_interval();
        let parting = self.parting.as_ref().map(|parting| parting.until);
        let others = earliest(parting, self.return_at());
        let others = earliest(others, self.leave_at());
        beat.min(self.silence_ends()).min(others.unwrap_or(beat))
    }

    /// When a broker that says nothing is given up.
    fn silence_ends(&self) -> Time {
        self.link.heard_at() + self.promise * 3 + Duration::from_millis(500)
    }

    /// When to try the preferred endpoint again.
    fn return_at(&self) -> Option<Time> {
        let able = self.returning.is_none() && self.parting.is_none() && self.leaving.is_none();
        able.then(|| self.station.route.return_at()).flatten()
    }

    /// When to try another endpoint, because we are to go.
    fn leave_at(&self) -> Option<Time> {
        let able = self.returning.is_none() && self.parting.is_none();
        self.leaving.filter(|_| able)
    }

    fn dial(&mut self, endpoint: Endpoint) {
        let (config, clock) = (Arc::clone(&self.station.config), self.station.clock);
        let attempt = async move { Link::open(&endpoint, config, clock).await };
        self.returning = Some(AbortOnDropHandle::new(tokio::spawn(attempt)));
    }

    fn beat_interval(&self) -> Duration {
        if self.station.settings.dialect.is_majordomo() {
            self.station.settings.heartbeat.min(MAJORDOMO_BEAT)
        } else {
            self.station.settings.heartbeat
        }
    }

    fn wake(&mut self, now: Time) -> Result<(), Lost> {
        if self.silence_ends() <= now {
            return Err(Lost);
        }
        if self.return_at().is_some_and(|at| at <= now)
            && let Some(endpoint) = self.station.route.preferred().cloned()
        {
            self.dial(endpoint);
        }
        if self.leave_at().is_some_and(|at| at <= now) {
            match self.station.route.other().cloned() {
                Some(endpoint) => self.dial(endpoint),
                None => self.leaving = None,
            }
        }
        // The tasks here take too long for a move: back to work, and another try later.
        if (self.parting.as_ref())
            .is_some_and(|parting| parting.next.is_some() && parting.until <= now)
        {
            self.parting = None;
            self.leaving = None;
            self.station.route.stayed(now);
            self.announce()?;
        }
        if self.told + self.beat_interval() <= now {
            let settings = &self.station.settings;
            let link = &mut self.link;
            speech::beat(settings.dialect, settings.heartbeat, |pieces| {
                link.send(pieces)
            })
            .map_err(|_| Lost)?;
            self.told = now;
        }
        Ok(())
    }
}

/// The connection is of no more use.
#[derive(Debug)]
struct Lost;

async fn joined(
    returning: &mut Option<AbortOnDropHandle<Result<Link, LinkError>>>,
) -> Option<Link> {
    match returning {
        Some(handle) => handle.await.ok().and_then(Result::ok),
        None => std::future::pending().await,
    }
}

/// The service that serves a name without being it: a version, or the wildcard that fits best.
fn serving<'a>(
    services: &'a BTreeMap<Name, Service>,
    asked: &Name,
) -> Option<(&'a Name, &'a Service)> {
    let serve = services.iter().filter(|(offered, _)| offered.serves(asked));
    serve.min_by_key(|(offered, _)| (offered.is_wildcard(), offered.rank()))
}

/// Names the PING whose answer ends the flow of tasks.
const PARTING: Id = Id(*b"farewell");
/// Partial replies that wait to be written.
const PARTIALS: usize = 16;
/// Bytes that may wait to be written before handlers wait with their replies.
const HIGH_WATER: usize = 1 << 20;
/// A broker that has said nothing of itself counts as having promised this.
const BROKER_PROMISE: Duration = Duration::from_millis(2500);
/// Satisfies every Majordomo broker.
const MAJORDOMO_BEAT: Duration = Duration::from_secs(1);
const FAREWELL: Duration = Duration::from_secs(1);
