//! What the system is asked to do for a stream.

use std::io;
use std::time::Duration;

use tokio::net::{TcpSocket, TcpStream};

/// How streams are set up. TCP streams never delay small messages (`TCP_NODELAY`), whatever
/// stands here. Applies to streams opened or accepted afterwards.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Transport {
    /// TCP: probes for peers that cannot be asked to answer a PING. `None` leaves it to the
    /// system, where they are off.
    pub keepalive: Option<Keepalive>,
    /// The system's send buffer, in bytes (`SO_SNDBUF`); `None` leaves its size to the system.
    pub send_buffer: Option<u32>,
    /// The system's receive buffer, in bytes (`SO_RCVBUF`).
    pub receive_buffer: Option<u32>,
    /// TCP over IPv4: type of service, the IP header's octet of that name.
    pub tos: Option<u8>,
    /// Connections that the system keeps until they are accepted.
    pub backlog: u32,
}

/// TCP's own probes. What is `None` is left to the system.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Keepalive {
    /// Before the first probe of a silent connection. Whole seconds.
    pub idle: Option<Duration>,
    /// Between probes. Whole seconds.
    pub interval: Option<Duration>,
    /// Unanswered probes after which the connection is broken.
    pub retries: Option<u32>,
}

impl Default for Transport {
    fn default() -> Self {
        Self {
            keepalive: Some(Keepalive::default()),
            send_buffer: None,
            receive_buffer: None,
            tos: None,
            backlog: 1024,
        }
    }
}

impl Default for Keepalive {
    /// A silent peer that is gone is found in 25 seconds.
    fn default() -> Self {
        Self {
            idle: Some(Duration::from_secs(10)),
            interval: Some(Duration::from_secs(5)),
            retries: Some(3),
        }
    }
}

impl Transport {
    /// What has to be set before there is a connection: the size of the buffers decides what the
    /// two ends agree on.
    pub(super) fn prepare(&self, socket: &TcpSocket) -> io::Result<()> {
        if let Some(size) = self.send_buffer {
            socket.set_send_buffer_size(size)?;
        }
        if let Some(size) = self.receive_buffer {
            socket.set_recv_buffer_size(size)?;
        }
        Ok(())
    }

    /// What is set on each connection.
    pub(super) fn apply(&self, stream: &TcpStream) -> io::Result<()> {
        stream.set_nodelay(true)?;
        let socket = socket2::SockRef::from(stream);
        if let Some(keepalive) = self.keepalive {
            let mut probes = socket2::TcpKeepalive::new();
            if let Some(idle) = keepalive.idle {
                probes = probes.with_time(idle);
            }
            if let Some(interval) = keepalive.interval {
                probes = probes.with_interval(interval);
            }
            if let Some(retries) = keepalive.retries {
                probes = probes.with_retries(retries);
            }
            socket.set_tcp_keepalive(&probes)?;
        }
        if let Some(tos) = self.tos
            && stream.local_addr()?.is_ipv4()
        {
            socket.set_tos_v4(u32::from(tos))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_not_said_of_probes_is_left_to_the_system() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap());
        let stream = stream.await.unwrap();
        let socket = socket2::SockRef::from(&stream);
        let found = || {
            (
                socket.tcp_keepalive_time().unwrap(),
                socket.tcp_keepalive_interval().unwrap(),
                socket.tcp_keepalive_retries().unwrap(),
            )
        };
        let systems = found();
        let with = |keepalive| Transport {
            keepalive: Some(keepalive),
            ..Transport::default()
        };
        let none = Keepalive {
            idle: None,
            interval: None,
            retries: None,
        };
        with(none).apply(&stream).unwrap();
        assert!(socket.keepalive().unwrap());
        assert_eq!(found(), systems);
        with(Keepalive::default()).apply(&stream).unwrap();
        let ours = (Duration::from_secs(10), Duration::from_secs(5), 3);
        assert_eq!(found(), ours);
    }
}
