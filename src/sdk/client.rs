//! Calling services by name.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};

use super::driver::{self, Command, Sink};
use super::error::{BuildError, CallError};
use super::ledger::Question;
use super::reply::Reply;
use super::speech::{self, Dialect};
use crate::limits::Limits;
use crate::net::{Clock, entropy};
use crate::protocol::{Name, Portion, Taken, Wants};
use crate::security::Security;
use crate::wire::{Endpoint, EndpointError, Message, Properties, PropertyError, push_property};

/// A client of a broker. Cheap to clone; all clones share one connection, which is made in the
/// background and made again when it is lost. It ends with the last clone and the last call.
#[derive(Clone, Debug)]
pub struct Client {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    commands: mpsc::UnboundedSender<Command>,
    permits: Arc<Semaphore>,
    next: AtomicU64,
    ttl: Duration,
    dialect: Dialect,
    limits: Limits,
    clock: Clock,
}

/// Settings of a [`Client`].
#[derive(Clone, Debug)]
pub struct ClientBuilder {
    pub(super) endpoints: Vec<Endpoint>,
    pub(super) dialect: Dialect,
    pub(super) limits: Limits,
    pub(super) security: Security,
    pub(super) gives_up: bool,
    pub(super) stays: bool,
    ttl: Duration,
    outstanding: usize,
}

impl ClientBuilder {
    /// Adds an endpoint that is used when those before it cannot be reached. After a good minute
    /// there the client goes back to the first, if that answers again.
    ///
    /// # Errors
    /// A text that is no endpoint.
    pub fn fallback(mut self, endpoint: &str) -> Result<Self, EndpointError> {
        self.endpoints.push(endpoint.parse()?);
        Ok(self)
    }

    /// The language of the broker; S0/1 unless told otherwise. With a Majordomo dialect calls
    /// wait for each other, for its replies carry no number, and a call that is given up costs a
    /// new connection.
    #[must_use]
    pub fn dialect(mut self, dialect: Dialect) -> Self {
        self.dialect = dialect;
        self
    }

    /// The time to live of calls that state none; 30 s unless told otherwise.
    #[must_use]
    pub fn default_ttl(mut self, ttl: Duration) -> Self {
        self.ttl = ttl;
        self
    }

    /// How many calls may be without an answer at once; more wait for their turn. 1024 unless told
    /// otherwise; a scale0 broker allows a client 4096.
    #[must_use]
    pub fn max_outstanding(mut self, calls: usize) -> Self {
        self.outstanding = calls.clamp(1, Semaphore::MAX_PERMITS);
        self
    }

    /// How the broker is to be spoken to, and who we are: NULL unless told otherwise. Servers'
    /// sides have no place here.
    #[must_use]
    pub fn security(mut self, security: Security) -> Self {
        self.security = security;
        self
    }

    /// Calls that wait to be sent end with [`CallError::NotAdmitted`] as soon as every endpoint was
    /// tried and one has refused this client: its key or password is not known, or its kind of socket
    /// is not wanted. Otherwise they wait until their time is up, for keys may be added.
    #[must_use]
    pub fn give_up_when_refused(mut self) -> Self {
        self.gives_up = true;
        self
    }

    /// Stays with its broker while that drains, as it should who looks into a broker. Other clients
    /// let their calls there finish and make new ones, and those it has refused, at the next
    /// endpoint: their own, or else the ones that the broker tells of. With PLAIN they follow it
    /// to endpoints of this machine only, for the password would go there in the clear.
    #[must_use]
    pub fn stay(mut self) -> Self {
        self.stays = true;
        self
    }

    /// Bounds of messages and connections.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Starts the client on the current tokio runtime. Does not wait for a connection: calls do.
    ///
    /// # Errors
    /// No tokio runtime, no randomness.
    pub fn build(self) -> Result<Client, BuildError> {
        let runtime = tokio::runtime::Handle::try_current().map_err(|_| BuildError::NoRuntime)?;
        let seed = entropy()?;
        let (commands, inbox) = mpsc::unbounded_channel();
        let shared = Shared {
            commands,
            permits: Arc::new(Semaphore::new(self.outstanding)),
            next: AtomicU64::new(1),
            ttl: self.ttl,
            dialect: self.dialect,
            limits: self.limits.clone(),
            clock: Clock::start(),
        };
        runtime.spawn(driver::run(self, seed, inbox));
        Ok(Client {
            shared: Arc::new(shared),
        })
    }
}

impl Client {
    /// A client of the broker at one endpoint, with default settings.
    ///
    /// # Errors
    /// A text that is no endpoint; no tokio runtime.
    pub fn connect(endpoint: &str) -> Result<Self, BuildError> {
        Self::builder(endpoint)?.build()
    }

    /// Settings for a client that prefers this endpoint.
    ///
    /// # Errors
    /// A text that is no endpoint.
    pub fn builder(endpoint: &str) -> Result<ClientBuilder, EndpointError> {
        Ok(ClientBuilder {
            endpoints: vec![endpoint.parse()?],
            dialect: Dialect::default(),
            security: Security::Null,
            gives_up: false,
            stays: false,
            limits: Limits::default(),
            ttl: Duration::from_secs(30),
            outstanding: 1024,
        })
    }

    /// Calls a service and waits for its answer. Partial replies are put in front of the final one,
    /// those that only show progress aside.
    ///
    /// Dropping the future cancels the task.
    ///
    /// # Errors
    /// See [`CallError`]; [`CallError::is_safe_to_repeat`] says whether to try again.
    pub async fn call(&self, service: &str, body: impl Into<Message>) -> Result<Reply, CallError> {
        self.request(service).body(body).call().await
    }

    /// Hands a task over of which nobody wants the result; done when the broker has taken charge of
    /// it. See [`Request::oneway`].
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn oneway(&self, service: &str, body: impl Into<Message>) -> Result<(), CallError> {
        self.request(service).body(body).oneway().await
    }

    /// A call with options.
    pub fn request(&self, service: &str) -> Request {
        Request {
            client: self.clone(),
            service: service.to_owned(),
            ttl: self.shared.ttl,
            idempotent: false,
            wants: Wants::Answer,
            priority: 0,
            properties: Vec::new(),
            misnamed: None,
            body: Message::default(),
        }
    }
}

/// A call that has not been made yet.
#[derive(Clone, Debug)]
#[must_use = "a request does nothing until it is called"]
pub struct Request {
    client: Client,
    service: String,
    ttl: Duration,
    idempotent: bool,
    wants: Wants,
    priority: u8,
    properties: Vec<u8>,
    /// Length of a property's name that is too long.
    misnamed: Option<usize>,
    body: Message,
}

impl Request {
    /// How long an answer is waited for.
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.ttl = ttl;
        self
    }

    /// The task may be started again: by the broker when its worker dies, by the client when the
    /// connection is lost.
    pub fn idempotent(mut self, idempotent: bool) -> Self {
        self.idempotent = idempotent;
        self
    }

    /// 1 (low) to 7 (high); 4 unless told otherwise.
    pub fn priority(mut self, priority: u8) -> Self {
        self.priority = priority.clamp(1, 7);
        self
    }

    /// A property for the worker; names are 1 to 255 bytes. There may be 16, and 4 KiB of them with
    /// the service's name; what is beyond is an error of the call.
    pub fn property(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        if name.len() > 255 {
            self.misnamed.get_or_insert(name.len());
        }
        push_property(name, value.as_ref(), &mut self.properties);
        self
    }

    /// The body: a text, bytes, or several parts.
    pub fn body(mut self, body: impl Into<Message>) -> Self {
        self.body = body.into();
        self
    }

    /// Makes the call and waits for its answer. Partial replies are put in front of the final one,
    /// those that only show progress aside.
    ///
    /// Dropping the future cancels the task.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn call(self) -> Result<Reply, CallError> {
        let reply = self.answered().await?;
        if reply.code >= 400 {
            Err(CallError::Failed(reply))
        } else {
            Ok(reply)
        }
    }

    /// Hands the task over: done when the broker has taken charge of it, which is at once where a
    /// worker offers the service, else when one takes it. From then on it is done within its time
    /// to live whether this client is there or not, its result is dropped, and if it comes to
    /// nothing only the broker's counters tell.
    ///
    /// Dropping the future cancels a task that the broker has not taken charge of yet.
    ///
    /// # Errors
    /// See [`CallError`]; [`CallError::NoOneWay`] in Majordomo's dialects.
    pub async fn oneway(mut self) -> Result<(), CallError> {
        self.wants = Wants::Receipt;
        self.answered().await.map(drop)
    }

    /// The same without a word from the broker: done when the task is written. Whether it arrives,
    /// and is not refused there, only the broker's counters tell.
    ///
    /// # Errors
    /// No connection within the time to live, or a task that cannot be sent.
    pub async fn quiet(mut self) -> Result<(), CallError> {
        self.wants = Wants::Nothing;
        self.answered().await.map(drop)
    }

    /// Makes the call and waits for its final answer.
    async fn answered(self) -> Result<Reply, CallError> {
        let (answer, answered) = oneshot::channel();
        let call = self
            .submit(Sink::Whole {
                answer,
                gathered: Vec::new(),
                size: 0,
                taken: Taken::default(),
            })
            .await?;
        let reply = answered.await.map_err(|_| CallError::Closed)?;
        call.done();
        reply
    }

    /// Makes the call and gives its replies as they come, the final one last. Among them may be
    /// some that only show progress ([`Reply::is_progress`]).
    ///
    /// The worker is never far ahead of whoever reads the stream: 16 replies or 1 MiB, whichever is
    /// reached first, where broker and worker count credit as those of this crate do. Where they do
    /// not, a stream that is not read ends with [`CallError::Overrun`].
    ///
    /// Dropping the stream cancels the task.
    ///
    /// # Errors
    /// The call could not be made. What happens later comes out of the stream.
    pub async fn stream(self) -> Result<Stream, CallError> {
        let (replies, arrived) = mpsc::unbounded_channel();
        let unread = Arc::new(AtomicUsize::new(0));
        let call = self
            .submit(Sink::Stream {
                replies,
                unread: Arc::clone(&unread),
            })
            .await?;
        Ok(Stream {
            call: Some(call),
            arrived,
            unread,
            taken: Taken::default(),
        })
    }

    async fn submit(self, sink: Sink) -> Result<Call, CallError> {
        let service = Name::service(self.service.as_bytes())?;
        let shared = &self.client.shared;
        if let Some(len) = self.misnamed {
            return Err(PropertyError::NameTooLong { len }.into());
        }
        let limits = &shared.limits;
        Properties::read(&self.properties, limits.properties)?;
        let began = shared.clock.now();
        let permit =
            tokio::time::timeout(self.ttl, Arc::clone(&shared.permits).acquire_owned()).await;
        let permit = permit.map_err(|_| CallError::Timeout {
            ttl: self.ttl,
            sent: false,
            trouble: None,
        })?;
        let permit = permit.map_err(|_| CallError::Closed)?;
        let id = shared.next.fetch_add(1, Ordering::Relaxed);
        let question = Question {
            service,
            // What it waited for its turn is gone.
            ttl: self.ttl.saturating_sub(shared.clock.now().since(began)),
            stated: self.ttl,
            idempotent: self.idempotent,
            wants: self.wants,
            priority: self.priority,
            properties: Bytes::from(self.properties),
            body: self.body,
        };
        speech::check(shared.dialect, &question, limits)?;
        let commands = shared.commands.clone();
        commands
            .send(Command::Ask { id, question, sink })
            .map_err(|_| CallError::Closed)?;
        Ok(Call {
            id,
            commands,
            done: false,
            _permit: permit,
        })
    }
}

/// A call under way; dropping it cancels the task.
#[derive(Debug)]
struct Call {
    id: u64,
    commands: mpsc::UnboundedSender<Command>,
    done: bool,
    _permit: OwnedSemaphorePermit,
}

impl Call {
    fn done(mut self) {
        self.done = true;
    }

    /// More of the answer may come. After the final reply that goes nowhere.
    fn credit(&self, more: Portion) {
        let _ = self.commands.send(Command::Credit { id: self.id, more });
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        if !self.done {
            // A driver that is gone has nothing to cancel.
            let _ = self.commands.send(Command::Cancel { id: self.id });
        }
    }
}

/// The replies to one call. Ends after the final one, or after an error.
#[derive(Debug)]
pub struct Stream {
    call: Option<Call>,
    arrived: mpsc::UnboundedReceiver<Result<Reply, CallError>>,
    unread: Arc<AtomicUsize>,
    taken: Taken,
}

impl Stream {
    /// The next reply; `None` after the last.
    ///
    /// Cancel safe: nothing is lost when the future is dropped.
    pub async fn next(&mut self) -> Option<Result<Reply, CallError>> {
        std::future::poll_fn(|cx| self.poll(cx)).await
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Reply, CallError>>> {
        if self.call.is_none() {
            return Poll::Ready(None);
        }
        let Poll::Ready(next) = self.arrived.poll_recv(cx) else {
            return Poll::Pending;
        };
        let next = next.unwrap_or(Err(CallError::Closed));
        let last = match &next {
            Ok(reply) => {
                self.unread
                    .fetch_sub(driver::cost(reply), Ordering::Relaxed);
                if let Some(more) = self.taken.add(reply.body.payload())
                    && let Some(call) = &self.call
                {
                    call.credit(more);
                }
                reply.is_final()
            }
            Err(_) => true,
        };
        if last && let Some(call) = self.call.take() {
            call.done();
        }
        Poll::Ready(Some(match next {
            // What a part says is not the last word.
            Ok(reply) if last && reply.code >= 400 => Err(CallError::Failed(reply)),
            next => next,
        }))
    }
}

impl futures_core::Stream for Stream {
    type Item = Result<Reply, CallError>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.get_mut().poll(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_part_with_a_bad_code_is_a_part_and_the_final_reply_follows() {
        let (replies, arrived) = mpsc::unbounded_channel();
        let (commands, _inbox) = mpsc::unbounded_channel();
        let permits = Arc::new(Semaphore::new(1));
        let mut stream = Stream {
            call: Some(Call {
                id: 1,
                commands,
                done: false,
                _permit: permits.try_acquire_owned().unwrap(),
            }),
            arrived,
            unread: Arc::default(),
            taken: Taken::default(),
        };
        for (code, partial) in [(503, true), (200, true), (200, false)] {
            let reply = Reply {
                code,
                partial,
                ..Reply::default()
            };
            replies.send(Ok(reply)).unwrap();
        }
        let mut codes = Vec::new();
        while let Some(reply) = stream.next().await {
            codes.push(reply.unwrap().code());
        }
        assert_eq!(codes, [503, 200, 200]);
    }
}
