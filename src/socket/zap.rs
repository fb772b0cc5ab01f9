//! An authenticator that asks a ZAP handler (RFC 27), over a DEALER of this crate.
//!
//! Existing handlers need no change: `zmq.auth` of pyzmq, CZMQ's `zauth` and their like, bound to
//! tcp or ipc; or one in this process, a [`Rep`](super::Rep) or [`Router`](super::Router) bound to
//! [`ENDPOINT`], which [`Request`] and [`Reply`] read and write for.
//!
//! Nobody comes in by a handler's failure: one that is not there, is slow, is gone, reads nothing
//! or says something else than RFC 27 allows admits nobody.

use std::collections::HashMap;
use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::oneshot;

use super::{Endpoint, Error, Heartbeat, Message, Options, Reconnect, Socket, SocketType};
use crate::auth::{self, Authenticator};
use crate::limits::Limits;
use crate::net::network;
use crate::security::Verdict;

pub use crate::security::zap::{ENDPOINT, Error as Malformed, Reply, Request, Status};

/// Asks a ZAP handler about each peer.
///
/// A decision counts for the connection it was asked for; RFC 27 knows no way to take it back.
///
/// Whoever connects over tcp sends PLAIN's passwords to the handler in clear text: connect over
/// loopback, ipc or inproc, or through something that encrypts.
#[derive(Debug)]
pub struct Zap {
    desk: Arc<Desk>,
    /// Hears the replies.
    ear: tokio::task::AbortHandle,
}

/// How a handler is asked.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Config {
    /// What the requests call the socket that asks; empty, as libzmq's, unless it has a routing id.
    pub identity: Bytes,
    /// How long a peer waits for an answer, the wait for a connection to the handler included.
    pub deadline: Duration,
    /// Questions that may be open at a time; a peer beyond that is told to come later.
    pub outstanding: usize,
    /// Those of them about peers of one address, or of one network of 64 bits in IPv6.
    pub per_address: usize,
}

/// What a [`Zap`] has counted.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct Counters {
    /// Questions, those that were never sent included.
    pub asked: u64,
    /// Questions without an answer: too many were open, or the deadline passed.
    pub unanswered: u64,
    /// Replies to a question that were not what RFC 27 says.
    pub malformed: u64,
    /// Replies to nothing: late, repeated or made up.
    pub ignored: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            identity: Bytes::new(),
            deadline: Duration::from_secs(5),
            outstanding: 256,
            per_address: 64,
        }
    }
}

impl Zap {
    /// Asks the handler at an endpoint, about peers of a domain. The handler need not be there yet
    /// and may come and go.
    ///
    /// # Errors
    /// The text is no endpoint that can be connected to, or there is no tokio runtime.
    pub fn connect<E>(endpoint: E, domain: impl Into<Bytes>) -> Result<Self, Error>
    where
        E: TryInto<Endpoint>,
        Error: From<E::Error>,
    {
        Self::with(endpoint, domain, Config::default())
    }

    /// The same, otherwise than by default.
    ///
    /// # Errors
    /// As there.
    pub fn with<E>(endpoint: E, domain: impl Into<Bytes>, config: Config) -> Result<Self, Error>
    where
        E: TryInto<Endpoint>,
        Error: From<E::Error>,
    {
        let socket = Socket::with(SocketType::Dealer, config.options());
        socket.connect(endpoint)?;
        let desk = Arc::new(Desk {
            socket,
            domain: domain.into(),
            config,
            open: Mutex::default(),
        });
        let listener = Arc::clone(&desk);
        let runtime = tokio::runtime::Handle::try_current().map_err(|_| Error::NoRuntime)?;
        let ear = runtime.spawn(async move {
            while let Ok(message) = listener.socket.recv().await {
                listener.hear(&message);
            }
        });
        Ok(Self {
            desk,
            ear: ear.abort_handle(),
        })
    }

    /// What it has counted.
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.desk.open().counters
    }
}

impl Drop for Zap {
    fn drop(&mut self) {
        self.ear.abort();
        // Nobody hears the answers any more: whoever waits for one need not wait longer.
        let mut open = self.desk.open();
        open.closed = true;
        open.questions.clear();
    }
}

impl Authenticator for Zap {
    fn check(&self, request: auth::Request) -> Pin<Box<dyn Future<Output = Verdict> + Send>> {
        let desk = Arc::clone(&self.desk);
        Box::pin(async move {
            let answer = tokio::time::timeout(desk.config.deadline, Desk::ask(&desk, request));
            answer.await.ok().flatten().unwrap_or_else(|| {
                desk.open().counters.unanswered += 1;
                Verdict::Later
            })
        })
    }
}

impl Config {
    fn options(&self) -> Options {
        Options {
            // A question waits at its asker until there is a handler, so that none is kept for
            // one who has long gone.
            immediate: true,
            send_messages: self.outstanding.max(1),
            receive_messages: self.outstanding.max(1),
            linger: Some(Duration::ZERO),
            reconnect: Some(Reconnect {
                first: Duration::from_millis(50),
                longest: Duration::from_secs(1),
            }),
            // A host that has gone without a word is noticed.
            heartbeat: Some(Heartbeat {
                interval: Duration::from_secs(5),
                timeout: Duration::from_secs(5),
                ttl: Duration::ZERO,
            }),
            limits: Limits {
                frame: REPLY,
                message: REPLY,
                ..Options::default().limits
            },
            ..Options::default()
        }
    }
}

/// Where questions go out and answers come in.
#[derive(Debug)]
struct Desk {
    socket: Socket,
    domain: Bytes,
    config: Config,
    open: Mutex<Open>,
}

#[derive(Debug, Default)]
struct Open {
    /// By request id.
    questions: HashMap<String, Question>,
    /// Of the last request; never used again, so that a late reply is nobody's.
    last: u64,
    /// There is nobody to hear answers.
    closed: bool,
    counters: Counters,
}

#[derive(Debug)]
struct Question {
    /// Whose crowd the peer is counted in.
    network: Option<IpAddr>,
    /// `None` for a reply that was malformed.
    answer: oneshot::Sender<Option<Reply>>,
}

impl Desk {
    fn open(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// `None` if there is no answer and will be none.
    async fn ask(desk: &Arc<Self>, request: auth::Request) -> Option<Verdict> {
        let (answer, reply) = oneshot::channel();
        let question = Question {
            network: request.address.map(network),
            answer,
        };
        let ticket = Ticket::take(desk, question)?;
        let asked = Request {
            id: Bytes::from(ticket.id.clone()),
            domain: desk.domain.clone(),
            address: request.address,
            identity: desk.config.identity.clone(),
            credentials: request.credentials,
        };
        desk.socket.send(asked.write()).await.ok()?;
        let verdict = match reply.await.ok()? {
            Some(reply) => reply.verdict(&asked.credentials),
            // Not the peer's fault: it is not told 400 or 500, after which some never come again.
            None => Verdict::Later,
        };
        Some(verdict)
    }

    fn hear(&self, message: &Message) {
        let mut open = self.open();
        let id = Reply::id_of(message).and_then(|id| std::str::from_utf8(id).ok());
        let Some(question) = id.and_then(|id| open.questions.remove(id)) else {
            open.counters.ignored += 1;
            return;
        };
        let reply = Reply::read(message, &Limits::default()).ok();
        if reply.is_none() {
            open.counters.malformed += 1;
        }
        // The peer may have gone in this moment.
        let _ = question.answer.send(reply);
    }
}

/// A question's place, free again however its asker ends.
struct Ticket {
    desk: Arc<Desk>,
    id: String,
}

impl Ticket {
    /// `None` if there is no place.
    fn take(desk: &Arc<Desk>, question: Question) -> Option<Self> {
        let mut open = desk.open();
        open.counters.asked += 1;
        let same = |other: &&Question| other.network == question.network;
        let crowded = question.network.is_some()
            && open.questions.values().filter(same).count() >= desk.config.per_address;
        if crowded || open.closed || open.questions.len() >= desk.config.outstanding {
            return None;
        }
        open.last += 1;
        let id = open.last.to_string();
        open.questions.insert(id.clone(), question);
        Some(Self {
            desk: Arc::clone(desk),
            id,
        })
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.desk.open().questions.remove(&self.id);
    }
}

/// Bytes of a reply: names, words and metadata.
const REPLY: usize = 64 << 10;
