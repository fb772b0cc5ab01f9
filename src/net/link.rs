//! A session on a stream, for a program that has one peer at a time.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::ReadBuf;
use tokio::time::Sleep;

use super::{Clock, ReadHalf, Transport, WriteHalf, dial, entropy};
use crate::session::{self, Heard, Session};
use crate::time::Time;
use crate::wire::{Endpoint, Piece};

/// One connection to one peer.
#[derive(Debug)]
pub struct Link {
    clock: Clock,
    heard_at: Time,
    session: Session,
    reader: ReadHalf,
    writer: WriteHalf,
    input: Vec<u8>,
    /// Bytes of the input that the session has not taken yet.
    taken: usize,
    filled: usize,
    sleep: Pin<Box<Sleep>>,
    armed: Option<Time>,
}

/// Why there is no link, or no more.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LinkError {
    /// The stream could not be opened, or broke.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The session ended it.
    #[error(transparent)]
    Session(#[from] session::Error),
    /// The peer closed it.
    #[error("the peer closed the connection")]
    Closed,
    /// Connecting took too long.
    #[error("no connection within {limit:?}")]
    Timeout {
        /// What is allowed.
        limit: Duration,
    },
}

impl LinkError {
    /// Whether the peer said ERROR: we are not what it wants, and asking again soon would not
    /// change that. libzmq never comes back then.
    #[must_use]
    pub fn is_refusal(&self) -> bool {
        use crate::security;
        matches!(
            self,
            Self::Session(
                session::Error::Refused { .. }
                    | session::Error::Security(security::Error::Refused { .. })
            )
        )
    }
}

impl Link {
    /// Connects and shakes hands, within the limit for handshakes for each of the two.
    ///
    /// Cancel safe: dropping the future closes the connection.
    ///
    /// # Errors
    /// No connection, no agreement, or no time.
    pub async fn open(
        endpoint: &Endpoint,
        config: Arc<session::Config>,
        clock: Clock,
    ) -> Result<Self, LinkError> {
        let mut link = Self::dial(endpoint, config, clock).await?;
        link.shake().await?;
        Ok(link)
    }

    /// Connects, and leaves the handshake to [`shake`](Self::shake).
    ///
    /// Cancel safe: dropping the future gives the attempt up.
    ///
    /// # Errors
    /// No connection, or none in time.
    pub async fn dial(
        endpoint: &Endpoint,
        config: Arc<session::Config>,
        clock: Clock,
    ) -> Result<Self, LinkError> {
        let limit = config.limits.handshake_time;
        let dialed = tokio::time::timeout(limit, dial(endpoint, &Transport::default())).await;
        let (reader, writer) = dialed.map_err(|_| LinkError::Timeout { limit })??;
        let seed = entropy()?;
        let now = clock.now();
        Ok(Self {
            clock,
            heard_at: now,
            session: Session::new(now, config, seed),
            reader,
            writer,
            input: vec![0; INPUT],
            taken: 0,
            filled: 0,
            sleep: Box::pin(tokio::time::sleep(limit)),
            armed: None,
        })
    }

    /// Shakes hands; once, before anything else.
    ///
    /// # Errors
    /// No agreement, or no time.
    pub async fn shake(&mut self) -> Result<(), LinkError> {
        loop {
            if let Some(Heard::Open(_)) = self.heard(usize::MAX).await? {
                return Ok(());
            }
        }
    }

    /// Queues a message; [`heard`](Self::heard) or [`flush`](Self::flush) write it.
    ///
    /// # Errors
    /// The peer takes too little of what it is sent.
    pub fn send(&mut self, pieces: &[Piece<'_>]) -> Result<(), session::Error> {
        let now = self.clock.now();
        self.session.send(now, pieces)
    }

    /// Bytes waiting to be written.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.session.waiting()
    }

    /// When bytes last came from the peer: a large message is a sign of life before it is whole.
    #[must_use]
    pub fn heard_at(&self) -> Time {
        self.heard_at
    }

    /// The next thing the peer says; or `None` once less than `full` bytes wait to be written, if
    /// it was not less before. Meanwhile writes what is queued and keeps the session's deadlines.
    ///
    /// Cancel safe: nothing is lost when the future is dropped.
    ///
    /// # Errors
    /// The end of the link.
    pub async fn heard(&mut self, full: usize) -> Result<Option<Heard>, LinkError> {
        let was_full = self.waiting() >= full;
        poll_fn(|cx| match self.poll_heard(cx) {
            Poll::Pending if was_full && self.waiting() < full => Poll::Ready(Ok(None)),
            heard => heard.map_ok(Some),
        })
        .await
    }

    /// The next thing the peer has said, if it has been read already.
    ///
    /// # Errors
    /// The end of the link.
    pub fn heard_already(&mut self) -> Result<Option<Heard>, LinkError> {
        let now = self.clock.now();
        let mut input = self.input.get(self.taken..self.filled).unwrap_or_default();
        let heard = self.session.receive(now, &mut input);
        self.taken = self.filled - input.len();
        Ok(heard?)
    }

    /// Writes what is queued as far as that goes without waiting.
    ///
    /// # Errors
    /// The end of the link.
    pub fn push(&mut self) -> Result<(), LinkError> {
        let now = self.clock.now();
        self.writer.flush(now, &mut self.session)?;
        Ok(())
    }

    /// Writes all that is queued.
    ///
    /// Cancel safe.
    ///
    /// # Errors
    /// The end of the link.
    pub async fn flush(&mut self) -> Result<(), LinkError> {
        poll_fn(|cx| {
            if self.poll_write(cx)? {
                Poll::Ready(Ok(()))
            } else {
                Poll::Pending
            }
        })
        .await
    }

    fn poll_heard(&mut self, cx: &mut Context<'_>) -> Poll<Result<Heard, LinkError>> {
        // What was heard is told before anything can go wrong with writing.
        if let Poll::Ready(heard) = self.poll_input(cx) {
            return Poll::Ready(heard);
        }
        // Whatever reading has led to (a PONG, a READY) is written before we wait.
        if let Err(error) = self.poll_write(cx) {
            return Poll::Ready(Err(error));
        }
        self.poll_deadline(cx).map(Err)
    }

    fn poll_input(&mut self, cx: &mut Context<'_>) -> Poll<Result<Heard, LinkError>> {
        loop {
            if let Some(heard) = self.heard_already()? {
                return Poll::Ready(Ok(heard));
            }
            (self.taken, self.filled) = (0, 0);
            let mut buf = ReadBuf::new(&mut self.input);
            match self.reader.poll_read(cx, &mut buf) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(read) => read?,
            }
            self.filled = buf.filled().len();
            if self.filled == 0 {
                return Poll::Ready(Err(LinkError::Closed));
            }
            self.heard_at = self.clock.now();
        }
    }

    /// True if all is written.
    fn poll_write(&mut self, cx: &mut Context<'_>) -> Result<bool, LinkError> {
        let now = self.clock.now();
        while !self.writer.flush(now, &mut self.session)? {
            match self.writer.poll_ready(cx) {
                Poll::Pending => return Ok(false),
                Poll::Ready(ready) => ready?,
            }
        }
        Ok(true)
    }

    fn poll_deadline(&mut self, cx: &mut Context<'_>) -> Poll<LinkError> {
        loop {
            let Some(at) = self.session.deadline() else {
                return Poll::Pending;
            };
            let now = self.clock.now();
            if at <= now {
                if let Err(error) = self.session.wake(now) {
                    return Poll::Ready(error.into());
                }
                match self.poll_write(cx) {
                    Ok(_) => continue,
                    Err(error) => return Poll::Ready(error),
                }
            }
            if self.armed != Some(at) {
                self.armed = Some(at);
                self.sleep.as_mut().reset(self.clock.instant(at));
            }
            match self.sleep.as_mut().poll(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(()) => self.armed = None,
            }
        }
    }
}

const INPUT: usize = 64 << 10;
