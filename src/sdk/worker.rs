//! Offering services.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::error::{BuildError, Failure};
use super::pace::Pace;
use super::reply::Outcome;
use super::speech::{Dialect, Job};
use super::station::Station;
use crate::limits::Limits;
use crate::net::Clock;
use crate::protocol::{Name, Offer, Status};
use crate::security::Security;
use crate::time::Time;
use crate::wire::{Endpoint, EndpointError, Message, Properties};

/// A task for a handler.
#[derive(Debug)]
pub struct Task {
    pub(super) service: Name,
    pub(super) deadline: Option<Time>,
    pub(super) clock: Clock,
    pub(super) job: Job,
    pub(super) partials: mpsc::Sender<Part>,
    /// How fast parts may go; none if they may go as they come.
    pub(super) pace: Option<Arc<Pace>>,
}

impl Task {
    /// The service that was asked for.
    #[must_use]
    pub fn service(&self) -> String {
        self.service.to_string()
    }

    /// The body: zero or more parts.
    #[must_use]
    pub fn body(&self) -> &Message {
        &self.job.body
    }

    /// The body, taken out.
    #[must_use]
    pub fn into_body(self) -> Message {
        self.job.body
    }

    /// The first part as text, what is not UTF-8 replaced; empty if there is none.
    #[must_use]
    pub fn text(&self) -> std::borrow::Cow<'_, str> {
        String::from_utf8_lossy(self.job.body.first().unwrap_or_default())
    }

    /// Which attempt this is, from 1: more than that means that a worker died over it.
    #[must_use]
    pub fn attempt(&self) -> u16 {
        self.job.attempt
    }

    /// Whether the client says that the task may be done more than once.
    #[must_use]
    pub fn is_idempotent(&self) -> bool {
        self.job.idempotent
    }

    /// Whether nobody will see the reply: one without a body will do.
    #[must_use]
    pub fn is_oneway(&self) -> bool {
        self.job.oneway
    }

    /// How much longer the client waits; `None` where the dialect does not say.
    #[must_use]
    pub fn ttl(&self) -> Option<Duration> {
        self.deadline
            .map(|deadline| self.clock.now().until(deadline))
    }

    /// A property that the client or the broker sent along; case does not count in names.
    #[must_use]
    pub fn property(&self, name: &str) -> Option<&[u8]> {
        Properties::trusted(&self.job.properties).find(name)
    }

    /// Sends a part of the reply ahead of the rest. Waits while the client does not take more (a
    /// scale0 broker tells), and while earlier parts of any task of this worker wait to be written.
    /// After it the broker will not give the task to another worker.
    ///
    /// Cancel safe: the part is sent whole or not at all.
    pub async fn partial(&self, body: impl Into<Message>) {
        let body = body.into();
        let ticket = match &self.pace {
            Some(pace) => Some(pace.ticket(body.payload()).await),
            None => None,
        };
        // If the connection is gone, so is this task, at its next await.
        if let Ok(permit) = self.partials.reserve().await {
            permit.send(self.part(Status::OK, body));
            if let Some(ticket) = ticket {
                ticket.punch();
            }
        }
    }

    /// Shows the client how far the work has come, in whatever words the two have agreed on; it is
    /// no part of the answer. Does not wait: where the client does not keep up, what it has missed
    /// is left out. After it the broker will not give the task to another worker.
    ///
    /// Clients that call by REQ or a Majordomo dialect do not see it.
    pub fn progress(&self, body: impl Into<Message>) {
        let body = body.into();
        let ticket = match &self.pace {
            Some(pace) => match pace.try_ticket(body.payload()) {
                Some(ticket) => Some(ticket),
                None => return,
            },
            None => None,
        };
        if self
            .partials
            .try_send(self.part(Status::PROGRESS, body))
            .is_ok()
            && let Some(ticket) = ticket
        {
            ticket.punch();
        }
    }

    fn part(&self, status: Status, body: Message) -> Part {
        Part {
            token: self.job.token.clone(),
            code: status.code(),
            body,
        }
    }
}

/// A partial reply.
#[derive(Debug)]
pub(super) struct Part {
    /// Names its task.
    pub(super) token: Bytes,
    pub(super) code: u16,
    pub(super) body: Message,
}

pub(super) type Handling = Pin<Box<dyn Future<Output = Result<Outcome, Failure>> + Send>>;
pub(super) type Handler = Arc<dyn Fn(Task) -> Handling + Send + Sync>;

/// A worker that is ready to run.
pub struct Worker {
    settings: WorkerBuilder,
}

/// Settings of a [`Worker`].
#[derive(Clone)]
pub struct WorkerBuilder {
    pub(super) endpoints: Vec<Endpoint>,
    pub(super) dialect: Dialect,
    pub(super) limits: Limits,
    pub(super) security: Security,
    pub(super) name: Name,
    pub(super) capacity: u16,
    pub(super) heartbeat: Duration,
    pub(super) drain_timeout: Duration,
    pub(super) services: BTreeMap<Name, Service>,
    error: Option<Mistake>,
}

#[derive(Clone, Debug)]
enum Mistake {
    Name(crate::protocol::NameError),
    Service(String),
    Attribute(String, String),
}

/// One service of a worker.
#[derive(Clone)]
pub(super) struct Service {
    /// As it is announced: the name and its attributes.
    pub(super) offer: Bytes,
    pub(super) handler: Handler,
}

impl std::fmt::Debug for Worker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.settings.fmt(f)
    }
}

impl std::fmt::Debug for WorkerBuilder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Worker")
            .field("endpoints", &self.endpoints)
            .field("dialect", &self.dialect)
            .field("capacity", &self.capacity)
            .field("services", &self.services.keys().collect::<Vec<_>>())
            .finish_non_exhaustive()
    }
}

impl WorkerBuilder {
    /// Adds an endpoint that is used when those before it cannot be reached. After a good minute
    /// there the worker goes back to the first, if that answers again.
    ///
    /// # Errors
    /// A text that is no endpoint.
    pub fn fallback(mut self, endpoint: &str) -> Result<Self, EndpointError> {
        self.endpoints.push(endpoint.parse()?);
        Ok(self)
    }

    /// The language of the broker; S0/1 unless told otherwise. With a Majordomo dialect there is
    /// one connection for each service and each task at once.
    #[must_use]
    pub fn dialect(mut self, dialect: Dialect) -> Self {
        self.dialect = dialect;
        self
    }

    /// What the worker calls itself, for people who look into the broker; at most 255 bytes.
    #[must_use]
    pub fn name(mut self, name: &str) -> Self {
        self.name = Name::from(name);
        self
    }

    /// How many tasks it takes at once; 1 unless told otherwise.
    #[must_use]
    pub fn capacity(mut self, tasks: u16) -> Self {
        self.capacity = tasks.max(1);
        self
    }

    /// How often the broker hears from it at least; 100 ms to 60 s, 2.5 s unless told otherwise.
    #[must_use]
    pub fn heartbeat(mut self, interval: Duration) -> Self {
        self.heartbeat = interval.clamp(Duration::from_millis(100), Duration::from_secs(60));
        self
    }

    /// How long tasks may take to finish after the worker was told to stop; 30 s unless told
    /// otherwise.
    #[must_use]
    pub fn drain_timeout(mut self, limit: Duration) -> Self {
        self.drain_timeout = limit;
        self
    }

    /// How the broker is to be spoken to, and who we are: NULL unless told otherwise. Servers'
    /// sides have no place here.
    #[must_use]
    pub fn security(mut self, security: Security) -> Self {
        self.security = security;
        self
    }

    /// Bounds of messages and connections.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Adds a service: a name, a version of it like `echo@2` (which gets tasks for `echo` too), or a
    /// wildcard: `image.*` for `image.` and any one level behind it, `image.>` for any one or more.
    /// What was asked for is [`Task::service`]. The handler gets each task and returns the reply's body, or a [`Failure`].
    /// Its future is dropped at an await when the task is cancelled, its deadline passes, or the
    /// connection is lost: nobody waits for its result then. A handler that panics answers 500.
    #[must_use]
    pub fn service<F, Fut, T>(self, name: &str, handler: F) -> Self
    where
        F: Fn(Task) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<T, Failure>> + Send + 'static,
        T: Into<Outcome>,
    {
        self.add(name, "", handler)
    }

    /// Adds a service whose tasks may be done more than once: the broker gives them to another
    /// worker when this one dies.
    #[must_use]
    pub fn idempotent_service<F, Fut, T>(self, name: &str, handler: F) -> Self
    where
        F: Fn(Task) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<T, Failure>> + Send + 'static,
        T: Into<Outcome>,
    {
        self.add(name, ";idempotent", handler)
    }

    /// Tells the broker how to use this worker for a service that was added before: `weight=5`,
    /// `policy=least`, `slow_start=10s`, `max=64`, `ttl=2s` and others, see `spec/scale0.md`.
    /// [`build`](Self::build) refuses values that are wrong; words that are not known here are for a
    /// later broker to understand. Majordomo has none of them.
    #[must_use]
    pub fn attribute(mut self, service: &str, attribute: &str) -> Self {
        match self.services.get_mut(service.as_bytes()) {
            Some(service) if !attribute.contains(';') => {
                let mut offer = service.offer.to_vec();
                offer.push(b';');
                offer.extend_from_slice(attribute.as_bytes());
                service.offer = offer.into();
            }
            _ => {
                let mistake = Mistake::Attribute(service.to_owned(), attribute.to_owned());
                self.error.get_or_insert(mistake);
            }
        }
        self
    }

    fn add<F, Fut, T>(mut self, name: &str, attributes: &str, handler: F) -> Self
    where
        F: Fn(Task) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<T, Failure>> + Send + 'static,
        T: Into<Outcome>,
    {
        let parsed = match Name::offer(name.as_bytes()) {
            Ok(parsed) => parsed,
            Err(error) => {
                self.error.get_or_insert(Mistake::Name(error));
                return self;
            }
        };
        let handler: Handler = Arc::new(move |task| {
            let handling = handler(task);
            Box::pin(async move { handling.await.map(Into::into) })
        });
        let service = Service {
            offer: Bytes::from(format!("{name}{attributes}")),
            handler,
        };
        if self.services.insert(parsed, service).is_some() {
            self.error.get_or_insert(Mistake::Service(name.to_owned()));
        }
        self
    }

    /// Checks the settings.
    ///
    /// # Errors
    /// No service, the same one twice, a name that cannot be one, or an attribute with a value that
    /// no broker takes: it would refuse the worker for ever.
    pub fn build(self) -> Result<Worker, BuildError> {
        // What other brokers keep for themselves is theirs to say.
        let reserved = match self.dialect {
            Dialect::Scale0 => self.services.keys().find(|name| name.is_reserved()),
            _ => None,
        };
        match &self.error {
            Some(Mistake::Name(error)) => Err((*error).into()),
            Some(Mistake::Service(name)) => Err(BuildError::Twice(name.clone())),
            Some(Mistake::Attribute(service, attribute)) => Err(BuildError::Attribute {
                service: service.clone(),
                attribute: attribute.clone(),
            }),
            None if self.services.is_empty() => Err(BuildError::NoService),
            None if let Some(name) = reserved => Err(BuildError::Reserved(name.to_string())),
            None => {
                self.check_offers()?;
                Ok(Worker { settings: self })
            }
        }
    }

    /// Reads the offers as a broker does.
    fn check_offers(&self) -> Result<(), BuildError> {
        let mut seen = BTreeSet::new();
        for (name, service) in &self.services {
            let fields = service.offer.split(|byte| *byte == b';').skip(1);
            let offer = Offer::with_attributes(name.clone(), fields).map_err(BuildError::Offer)?;
            // An attribute may have made it another one's name.
            if let Some(twice) = seen.replace(offer.service) {
                return Err(BuildError::Twice(twice.to_string()));
            }
        }
        Ok(())
    }
}

impl Worker {
    /// Settings for a worker that prefers this endpoint.
    ///
    /// # Errors
    /// A text that is no endpoint.
    pub fn builder(endpoint: &str) -> Result<WorkerBuilder, EndpointError> {
        Ok(WorkerBuilder {
            endpoints: vec![endpoint.parse()?],
            dialect: Dialect::default(),
            limits: Limits::default(),
            security: Security::Null,
            name: Name::default(),
            capacity: 1,
            heartbeat: Duration::from_millis(2500),
            drain_timeout: Duration::from_secs(30),
            services: BTreeMap::new(),
            error: None,
        })
    }

    /// Works until `shutdown` is done; connects, and connects again when the connection is lost.
    /// Then it announces that it wants no more tasks, finishes those it has within the drain
    /// timeout, and says goodbye.
    ///
    /// Dropping the future ends it at once: its tasks are lost workers' tasks for the broker.
    ///
    /// # Errors
    /// The system has no randomness.
    pub async fn run(self, shutdown: impl Future<Output = ()>) -> Result<(), BuildError> {
        let stop = CancellationToken::new();
        let mut stations = JoinSet::new();
        for settings in split(self.settings) {
            let station = Station::new(settings)?;
            stations.spawn(station.run(stop.clone()));
        }
        let all = async { while stations.join_next().await.is_some() {} };
        tokio::pin!(all);
        tokio::select! {
            () = &mut all => {}
            () = shutdown => {
                stop.cancel();
                all.await;
            }
        }
        Ok(())
    }
}

/// The connections a worker needs: one, or in Majordomo's dialects one for each service and each
/// task at once.
fn split(settings: WorkerBuilder) -> Vec<WorkerBuilder> {
    if !settings.dialect.is_majordomo() {
        return vec![settings];
    }
    let mut all = Vec::new();
    for (name, service) in &settings.services {
        for _ in 0..settings.capacity {
            let services = BTreeMap::from([(name.clone(), service.clone())]);
            all.push(WorkerBuilder {
                services,
                capacity: 1,
                ..settings.clone()
            });
        }
    }
    all
}
