//! A ZMTP peer by hand, for sockets of the same process: bytes over a stream, right or wrong as
//! the test wants them. All waiting is bounded.

use std::future::Future;
use std::io;
use std::time::Duration;

use scale0::socket::{Endpoint, Event, Message, Monitor, Options, Socket, SocketType};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::raw;

/// A message's parts.
pub(crate) type Parts = Vec<Vec<u8>>;

/// One connection.
#[derive(Debug)]
pub(crate) struct Peer {
    pub(crate) stream: TcpStream,
    input: Vec<u8>,
}

impl Peer {
    /// Connects and says nothing.
    pub(crate) async fn dial(at: &Endpoint) -> Self {
        let address = at.to_string();
        let address = address.strip_prefix("tcp://").unwrap().to_owned();
        Self::on(soon(TcpStream::connect(address)).await.unwrap())
    }

    fn on(stream: TcpStream) -> Self {
        stream.set_nodelay(true).unwrap();
        Self {
            stream,
            input: Vec::new(),
        }
    }

    /// The next one that connects to us.
    pub(crate) async fn accept(listener: &TcpListener) -> Self {
        Self::on(soon(listener.accept()).await.unwrap().0)
    }

    /// Connects and shakes hands.
    pub(crate) async fn open(at: &Endpoint, kind: SocketType) -> Self {
        Self::open_as(at, kind, b"").await
    }

    /// Connects and shakes hands under a name.
    pub(crate) async fn open_as(at: &Endpoint, kind: SocketType, identity: &[u8]) -> Self {
        let mut peer = Self::dial(at).await;
        peer.shake(kind, identity).await;
        peer
    }

    /// Says greeting and READY, and reads the socket's own.
    pub(crate) async fn shake(&mut self, kind: SocketType, identity: &[u8]) {
        let mut hello = raw::greeting().to_vec();
        hello.extend(ready(kind, identity));
        self.write(&hello).await;
        self.greeted().await;
    }

    /// Reads greeting and READY; returns the latter's body.
    pub(crate) async fn greeted(&mut self) -> Vec<u8> {
        let greeting = self.take(64).await;
        assert_eq!(&greeting[..12], b"\xff\0\0\0\0\0\0\0\x01\x7f\x03\x01");
        let (flags, body) = self.frame().await;
        assert_eq!(flags & 4, 4, "READY is a command");
        assert!(body.starts_with(b"\x05READY"), "{body:?}");
        body
    }

    pub(crate) async fn write(&mut self, bytes: &[u8]) {
        soon(self.stream.write_all(bytes)).await.unwrap();
    }

    /// Writes to a socket that may have closed.
    pub(crate) async fn try_write(&mut self, bytes: &[u8]) -> io::Result<()> {
        soon(self.stream.write_all(bytes)).await
    }

    pub(crate) async fn send<P: AsRef<[u8]>>(&mut self, parts: &[P]) {
        self.write(&message(parts)).await;
    }

    /// So many bytes of what the socket says.
    pub(crate) async fn take(&mut self, n: usize) -> Vec<u8> {
        while self.input.len() < n {
            assert!(self.read().await.unwrap() > 0, "closed: {:?}", self.input);
        }
        self.input.drain(..n).collect()
    }

    /// The next bytes are these.
    pub(crate) async fn expect(&mut self, bytes: &[u8]) {
        let got = self.take(bytes.len()).await;
        assert_eq!(
            got.escape_ascii().to_string(),
            bytes.escape_ascii().to_string()
        );
    }

    async fn read(&mut self) -> io::Result<usize> {
        soon(self.stream.read_buf(&mut self.input)).await
    }

    /// Whether there is anything to read, or comes soon enough.
    pub(crate) async fn hears_within(&mut self, time: Duration) -> bool {
        !self.input.is_empty()
            || tokio::time::timeout(time, self.stream.read_buf(&mut self.input))
                .await
                .is_ok_and(|read| read.is_ok_and(|n| n > 0))
    }

    /// The next frame: flags and body.
    pub(crate) async fn frame(&mut self) -> (u8, Vec<u8>) {
        let flags = self.take(1).await[0];
        let len = if flags & 2 == 0 {
            usize::from(self.take(1).await[0])
        } else {
            let len = self.take(8).await;
            usize::try_from(u64::from_be_bytes(len.try_into().unwrap())).unwrap()
        };
        (flags, self.take(len).await)
    }

    /// The next message; commands before it are skipped.
    pub(crate) async fn recv(&mut self) -> Parts {
        let mut parts = Parts::new();
        loop {
            let (flags, body) = self.frame().await;
            if flags & 4 == 0 {
                parts.push(body);
                if flags & 1 == 0 {
                    return parts;
                }
            }
        }
    }

    /// Waits until the socket closes; returns what it said before.
    pub(crate) async fn closed(&mut self) -> Vec<u8> {
        while matches!(self.read().await, Ok(1..)) {}
        std::mem::take(&mut self.input)
    }

    /// Ends our side of the stream.
    pub(crate) async fn finish(&mut self) {
        // Closed by the other side already: that is as good.
        let _ = self.stream.shutdown().await;
    }

    /// PING and PONG: all that was said before has been read, and the stream is open.
    pub(crate) async fn ping(&mut self) {
        self.write(b"\x04\x07\x04PING\0\0").await;
        loop {
            let (flags, body) = self.frame().await;
            if flags & 4 != 0 && body == b"\x04PONG" {
                return;
            }
        }
    }
}

/// READY with an identity, if it is not empty.
pub(crate) fn ready(kind: SocketType, identity: &[u8]) -> Vec<u8> {
    let mut body = raw::ready(&kind.to_string())[2..].to_vec();
    if !identity.is_empty() {
        body.extend_from_slice(b"\x08Identity");
        body.extend_from_slice(&u32::try_from(identity.len()).unwrap().to_be_bytes());
        body.extend_from_slice(identity);
    }
    command(&body)
}

/// A command frame.
pub(crate) fn command(body: &[u8]) -> Vec<u8> {
    let mut frame = match u8::try_from(body.len()) {
        Ok(len) => vec![4, len],
        Err(_) => raw::long(4, body.len() as u64),
    };
    frame.extend_from_slice(body);
    frame
}

pub(crate) fn subscribe(topic: &[u8]) -> Vec<u8> {
    command(&[b"\x09SUBSCRIBE", topic].concat())
}

pub(crate) fn cancel(topic: &[u8]) -> Vec<u8> {
    command(&[b"\x06CANCEL", topic].concat())
}

pub(crate) fn message<P: AsRef<[u8]>>(parts: &[P]) -> Vec<u8> {
    let parts: Vec<&[u8]> = parts.iter().map(AsRef::as_ref).collect();
    raw::message(&parts)
}

/// A socket that is bound to a free port.
pub(crate) async fn bound(
    kind: SocketType,
    change: impl FnOnce(&mut Options),
) -> (Socket, Endpoint) {
    let mut options = Options::default();
    change(&mut options);
    let socket = Socket::with(kind, options);
    let at = socket.bind("tcp://127.0.0.1:*").await.unwrap();
    (socket, at)
}

/// A port of ours, for sockets that connect.
pub(crate) async fn listener() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = format!("tcp://{}", listener.local_addr().unwrap());
    (listener, at)
}

/// What the program receives next.
pub(crate) async fn recv(socket: &Socket) -> Parts {
    parts(&soon(socket.recv()).await.unwrap())
}

pub(crate) fn parts(message: &Message) -> Parts {
    message.parts().map(<[u8]>::to_vec).collect()
}

/// The next event of which `pick` makes something.
pub(crate) async fn event<T>(monitor: &mut Monitor, pick: impl Fn(&Event) -> Option<T>) -> T {
    soon(async {
        loop {
            let event = monitor.next().await.expect("the socket is there");
            if let Some(picked) = pick(&event) {
                return picked;
            }
        }
    })
    .await
}

/// So many peers have done their handshakes.
pub(crate) async fn peers(socket: &Socket, many: u64) {
    until(|| socket.counters().peers == many).await;
}

/// Looks again and again until something is so.
pub(crate) async fn until(so: impl Fn() -> bool) {
    soon(async {
        while !so() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    })
    .await;
}

/// Whatever it is, it comes before this test is over.
pub(crate) async fn soon<F: Future>(future: F) -> F::Output {
    let bounded = tokio::time::timeout(PATIENCE, Box::pin(future)).await;
    bounded.expect("not within the time that a test may take")
}

/// Far more than anything takes, on a machine that is busy with other things.
const PATIENCE: Duration = Duration::from_secs(30);
