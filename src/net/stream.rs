//! A connected stream of either transport, in two halves.

use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::BufMut;
use socket2::SockRef;
use tokio::io::{AsyncRead, Interest, ReadBuf};
use tokio::net::{TcpStream, UnixStream, tcp, unix};

use super::Transport;
use crate::session::Session;
use crate::time::Time;

/// Where a connection comes from or leads to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Address {
    /// Over TCP.
    Tcp(SocketAddr),
    /// Over a Unix domain socket of this machine.
    Ipc,
}

impl Address {
    /// Whether it is on this machine: loopback, or a path.
    #[must_use]
    pub fn is_local(&self) -> bool {
        match self {
            Self::Tcp(address) => address.ip().to_canonical().is_loopback(),
            Self::Ipc => true,
        }
    }
}

impl std::fmt::Display for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Tcp(address) => write!(f, "tcp://{address}"),
            Self::Ipc => f.write_str("ipc"),
        }
    }
}

/// The half that is read.
#[derive(Debug)]
pub enum ReadHalf {
    /// TCP.
    Tcp(tcp::OwnedReadHalf),
    /// Unix domain.
    Ipc(unix::OwnedReadHalf),
}

/// The half that is written. Dropping it ends our side of the stream.
#[derive(Debug)]
pub enum WriteHalf {
    /// TCP.
    Tcp(tcp::OwnedWriteHalf),
    /// Unix domain.
    Ipc(unix::OwnedWriteHalf),
}

/// Takes a TCP stream and sets it up.
///
/// # Errors
/// The system refuses an option.
pub(super) fn split_tcp(
    stream: TcpStream,
    transport: &Transport,
) -> io::Result<(ReadHalf, WriteHalf)> {
    transport.apply(&stream)?;
    let (read, write) = stream.into_split();
    Ok((ReadHalf::Tcp(read), WriteHalf::Tcp(write)))
}

pub(super) fn split_ipc(stream: UnixStream) -> (ReadHalf, WriteHalf) {
    let (read, write) = stream.into_split();
    (ReadHalf::Ipc(read), WriteHalf::Ipc(write))
}

impl ReadHalf {
    /// Reads what is there. A read that does not fill the buffer tells the runtime that there is
    /// no more, so the next call waits without asking the system again.
    ///
    /// # Errors
    /// The stream is broken.
    pub fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self {
            Self::Tcp(half) => Pin::new(half).poll_read(cx, buf),
            Self::Ipc(half) => Pin::new(half).poll_read(cx, buf),
        }
    }

    /// Reads what is there to a buffer that grows by it; returns how much that was.
    ///
    /// # Errors
    /// The stream is broken.
    pub fn poll_read_buf(
        &mut self,
        cx: &mut Context<'_>,
        buf: &mut impl BufMut,
    ) -> Poll<io::Result<usize>> {
        loop {
            let (ready, read) = match self {
                Self::Tcp(half) => {
                    let stream: &TcpStream = half.as_ref();
                    match stream.poll_read_ready(cx) {
                        Poll::Ready(Ok(())) => (Poll::Ready(Ok(())), stream.try_read_buf(buf)),
                        other => (other, Ok(0)),
                    }
                }
                Self::Ipc(half) => {
                    let stream: &UnixStream = half.as_ref();
                    match stream.poll_read_ready(cx) {
                        Poll::Ready(Ok(())) => (Poll::Ready(Ok(())), stream.try_read_buf(buf)),
                        other => (other, Ok(0)),
                    }
                }
            };
            match (ready, read) {
                (Poll::Pending, _) => return Poll::Pending,
                (Poll::Ready(Err(error)), _) => return Poll::Ready(Err(error)),
                (_, Err(error)) if error.kind() == io::ErrorKind::WouldBlock => {}
                (_, Err(error)) if error.kind() == io::ErrorKind::Interrupted => {}
                (_, read) => return Poll::Ready(read),
            }
        }
    }

    /// Waits until there is something to read or the peer has closed; true if it has closed,
    /// whatever it may have left to read.
    ///
    /// # Errors
    /// The stream is broken.
    pub async fn closed(&self) -> io::Result<bool> {
        let ready = match self {
            Self::Tcp(half) => half.ready(Interest::READABLE).await?,
            Self::Ipc(half) => half.ready(Interest::READABLE).await?,
        };
        Ok(ready.is_read_closed())
    }
}

impl WriteHalf {
    /// Writes what waits in the session's outbox as far as the stream takes it without waiting;
    /// true if nothing is left.
    ///
    /// # Errors
    /// The stream is broken.
    pub fn flush(&self, now: Time, session: &mut Session) -> io::Result<bool> {
        self.flush_seen(now, session, |_| {})
    }

    /// The same, and shows the bytes that the stream has taken.
    ///
    /// # Errors
    /// The stream is broken.
    pub fn flush_seen(
        &self,
        now: Time,
        session: &mut Session,
        mut seen: impl FnMut(&[u8]),
    ) -> io::Result<bool> {
        loop {
            let mut slices = [IoSlice::new(&[]); SLICES];
            let filled = session.chunks(&mut slices);
            let slices = slices.get(..filled).unwrap_or_default();
            let offered: usize = slices.iter().map(|slice| slice.len()).sum();
            if offered == 0 {
                return Ok(true);
            }
            match self.try_write(slices) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(n) => {
                    let mut left = n;
                    for slice in slices {
                        seen(slice.get(..left).unwrap_or(slice));
                        left = left.saturating_sub(slice.len());
                        if left == 0 {
                            break;
                        }
                    }
                    session.wrote(now, n);
                    // The stream is full: asking again would only cost a call.
                    if n < offered {
                        return Ok(false);
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Offers the stream what waits, once, although it has not said that it takes bytes again: the
    /// system says so when a good part of its buffer is free (on Linux a third of what may be
    /// megabytes), and a slow peer needs long for that. Whether a peer reads at all is known only
    /// after this.
    ///
    /// # Errors
    /// The stream is broken.
    pub fn offer(&self, now: Time, session: &mut Session) -> io::Result<()> {
        let mut slices = [IoSlice::new(&[]); SLICES];
        let filled = session.chunks(&mut slices);
        let slices = slices.get(..filled).unwrap_or_default();
        if slices.is_empty() {
            return Ok(());
        }
        let socket = match self {
            Self::Tcp(half) => SockRef::from(half.as_ref()),
            Self::Ipc(half) => SockRef::from(half.as_ref()),
        };
        match socket.send_vectored(slices) {
            Ok(n) => {
                session.wrote(now, n);
                Ok(())
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(()),
            Err(error) => Err(error),
        }
    }

    fn try_write(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        match (self, slices) {
            (Self::Tcp(half), [one]) => half.try_write(one),
            (Self::Ipc(half), [one]) => half.try_write(one),
            (Self::Tcp(half), many) => half.try_write_vectored(many),
            (Self::Ipc(half), many) => half.try_write_vectored(many),
        }
    }

    /// Waits until the stream takes bytes again.
    ///
    /// # Errors
    /// The stream is broken.
    pub fn poll_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Tcp(half) => half.as_ref().poll_write_ready(cx),
            Self::Ipc(half) => half.as_ref().poll_write_ready(cx),
        }
    }
}

/// Chunks per system call.
const SLICES: usize = 16;
