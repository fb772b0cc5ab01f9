//! What the eleven sockets promise, with this crate at both ends: each test over tcp, ipc and
//! inproc where the transport could make a difference.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::cast_possible_truncation,
    clippy::disallowed_methods,
    clippy::large_futures,
    reason = "a test may"
)]

mod ask;
mod balance;
mod cancel;
mod crowd;
mod life;
mod options;
mod publish;
mod route;
mod watch;

use std::future::Future;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use scale0::socket::{
    Endpoint, Event, Message, Monitor, Options, Reason, Reconnect, Socket, SocketType,
};

/// What connects the two ends.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Via {
    Tcp,
    Ipc,
    Inproc,
}

impl Via {
    /// An endpoint to bind, of which there is no other.
    pub(crate) fn any(self) -> String {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let next = NEXT.fetch_add(1, Ordering::Relaxed);
        match self {
            Self::Tcp => "tcp://127.0.0.1:*".to_owned(),
            Self::Ipc => format!("ipc://@scale0-sockets-{}-{next}", std::process::id()),
            Self::Inproc => format!("inproc://sockets-{next}"),
        }
    }

    /// An endpoint that nobody is bound to now, and that can be bound later.
    pub(crate) fn free(self) -> Endpoint {
        if self == Self::Tcp {
            let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
            let address = listener.local_addr().unwrap();
            return format!("tcp://{address}").parse().unwrap();
        }
        self.any().parse().unwrap()
    }
}

/// For each transport a test of each name, bounded in time.
macro_rules! over {
    (@one $via:ident $variant:ident: $($name:ident)*) => {
        mod $via {
            $(#[tokio::test]
            async fn $name() {
                crate::within(super::super::$name(crate::Via::$variant)).await;
            })*
        }
    };
    (tcp ipc: $($name:ident)*) => {
        mod streams {
            crate::over!(@one tcp Tcp: $($name)*);
            crate::over!(@one ipc Ipc: $($name)*);
        }
    };
    (tcp inproc: $($name:ident)*) => {
        mod within_and_without {
            crate::over!(@one tcp Tcp: $($name)*);
            crate::over!(@one inproc Inproc: $($name)*);
        }
    };
    (tcp ipc inproc: $($name:ident)*) => {
        mod everywhere {
            crate::over!(@one tcp Tcp: $($name)*);
            crate::over!(@one ipc Ipc: $($name)*);
            crate::over!(@one inproc Inproc: $($name)*);
        }
    };
}
pub(crate) use over;

/// Nothing here takes long; what hangs fails.
pub(crate) async fn within<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(30), what)
        .await
        .expect("done in time")
}

/// Quick to come back, short to linger.
pub(crate) fn quick() -> Options {
    Options {
        reconnect: Some(Reconnect {
            first: Duration::from_millis(5),
            longest: Duration::from_millis(20),
        }),
        ..Options::default()
    }
}

pub(crate) fn named(name: &str) -> Options {
    Options {
        identity: name.to_owned().into(),
        ..quick()
    }
}

pub(crate) fn socket(kind: SocketType) -> Socket {
    Socket::with(kind, quick())
}

/// A bound socket and its endpoint.
pub(crate) async fn bound(via: Via, kind: SocketType, options: Options) -> (Socket, Endpoint) {
    let socket = Socket::with(kind, options);
    let endpoint = socket.bind(via.any().as_str()).await.unwrap();
    (socket, endpoint)
}

/// A connected socket whose handshake is done.
pub(crate) async fn joined(kind: SocketType, options: Options, endpoint: &Endpoint) -> Socket {
    let socket = Socket::with(kind, options);
    let mut monitor = socket.monitor();
    socket.connect(endpoint.clone()).unwrap();
    opened(&mut monitor).await;
    socket
}

/// Waits for an event.
pub(crate) async fn until(monitor: &mut Monitor, mut is: impl FnMut(&Event) -> bool) -> Event {
    within(async {
        loop {
            let event = monitor.next().await.expect("the socket is there");
            if is(&event) {
                return event;
            }
        }
    })
    .await
}

pub(crate) async fn opened(monitor: &mut Monitor) -> Event {
    until(monitor, |event| matches!(event, Event::Opened { .. })).await
}

/// Waits for the end of a connection and tells why.
pub(crate) async fn ended(monitor: &mut Monitor) -> Reason {
    let is_end = |event: &Event| {
        matches!(
            event,
            Event::Disconnected { .. } | Event::HandshakeFailed { .. }
        )
    };
    match until(monitor, is_end).await {
        Event::Disconnected { reason, .. } | Event::HandshakeFailed { reason, .. } => reason,
        _ => unreachable!(),
    }
}

/// Lets everybody on this thread do what is to be done now.
pub(crate) async fn settle() {
    for _ in 0..300 {
        tokio::task::yield_now().await;
    }
}

/// Waits for what no event tells.
pub(crate) async fn eventually(what: &str, mut is: impl FnMut() -> bool) {
    let wait = async {
        while !is() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    let waited = tokio::time::timeout(Duration::from_secs(20), wait).await;
    assert!(waited.is_ok(), "never: {what}");
}

pub(crate) async fn recv(socket: &Socket) -> Message {
    within(socket.recv()).await.unwrap()
}

pub(crate) async fn send(socket: &Socket, message: impl Into<Message>) {
    within(socket.send(message)).await.unwrap();
}

/// A message's parts as text.
pub(crate) fn text(message: &Message) -> Vec<String> {
    let parts = message.parts();
    parts
        .map(|part| String::from_utf8_lossy(part).into_owned())
        .collect()
}

/// The next message, as text.
pub(crate) async fn words(socket: &Socket) -> Vec<String> {
    text(&recv(socket).await)
}
