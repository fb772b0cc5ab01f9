//! Binding endpoints and accepting connections.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use tokio::net::{TcpListener, TcpSocket, UnixListener, UnixStream};

use super::Transport;
use super::stream::{Address, ReadHalf, WriteHalf, split_ipc, split_tcp};
use crate::wire::{Endpoint, Host};

/// A bound endpoint. Dropping it unbinds, and removes the socket file of an ipc endpoint.
#[derive(Debug)]
pub struct Listener {
    socket: Socket,
    endpoint: Endpoint,
    transport: Transport,
}

#[derive(Debug)]
enum Socket {
    Tcp(TcpListener),
    Ipc(UnixListener, Option<SocketFile>),
}

/// The file of an ipc endpoint, as it was when it was bound.
#[derive(Debug)]
struct SocketFile {
    path: PathBuf,
    /// Device and inode. The inode is not given away as long as the socket is open.
    identity: Option<(u64, u64)>,
}

impl SocketFile {
    fn new(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            identity: identity(path),
        }
    }

    /// Whether it still lies at its path: somebody may have removed it, and another process have
    /// bound the same path since.
    fn is_there(&self) -> bool {
        self.identity.is_some() && self.identity == identity(&self.path)
    }
}

fn identity(path: &Path) -> Option<(u64, u64)> {
    use std::os::unix::fs::MetadataExt;
    let meta = std::fs::symlink_metadata(path).ok()?;
    Some((meta.dev(), meta.ino()))
}

/// Why an endpoint could not be bound.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BindError {
    /// Another process listens there.
    #[error("{endpoint} is in use by another process: stop it or bind another endpoint")]
    InUse {
        /// The endpoint.
        endpoint: Endpoint,
    },
    /// There is a file, and it is no socket: it may be precious.
    #[error("{endpoint} is a file that is no socket: remove it or bind another endpoint")]
    NoSocket {
        /// The endpoint.
        endpoint: Endpoint,
    },
    /// Something else.
    #[error("{endpoint} cannot be bound: {source}{}", advice(endpoint, source))]
    Other {
        /// The endpoint.
        endpoint: Endpoint,
        /// The system's reason.
        source: io::Error,
    },
}

/// What to change, behind a colon; nothing where that is not known.
fn advice(endpoint: &Endpoint, source: &io::Error) -> &'static str {
    use io::ErrorKind::{AddrNotAvailable, NotADirectory, NotFound, PermissionDenied};
    match (endpoint, source.kind()) {
        (Endpoint::Tcp { .. }, PermissionDenied) => {
            ": ports below 1024 are for privileged processes, choose a higher one"
        }
        (Endpoint::Tcp { .. }, AddrNotAvailable) => {
            ": bind an address that this machine has, or `*` for all of them"
        }
        (
            Endpoint::Tcp {
                host: Host::Name(_),
                ..
            },
            _,
        ) => ": bind a name that can be resolved here, an address, or `*`",
        (Endpoint::Ipc { .. }, NotFound | NotADirectory) => {
            ": create the directory first, or choose another path"
        }
        (Endpoint::Ipc { .. }, PermissionDenied) => {
            ": choose a directory that this user may write to"
        }
        _ => "",
    }
}

impl Listener {
    /// Binds. A port of 0 is chosen by the system; [`endpoint`](Self::endpoint) tells it. Of a
    /// name's addresses the first that can be bound is, and no other.
    ///
    /// # Errors
    /// The system refuses, or another process listens there. A socket file that nobody listens
    /// on any more is replaced.
    pub async fn bind(endpoint: &Endpoint, transport: &Transport) -> Result<Self, BindError> {
        let bound = match endpoint {
            Endpoint::Tcp { host, port } => bind_tcp(host, *port, transport).await,
            Endpoint::Ipc { path } => bind_ipc(Path::new(path)).await,
            Endpoint::Abstract { name } => bind_abstract(name),
            Endpoint::Inproc { .. } => Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "inproc connects sockets of one process",
            )),
        };
        let bound = bound.map(|(socket, endpoint)| Self {
            socket,
            endpoint,
            transport: *transport,
        });
        bound.map_err(|source| match source.kind() {
            io::ErrorKind::AddrInUse if is_no_socket(endpoint) => BindError::NoSocket {
                endpoint: endpoint.clone(),
            },
            io::ErrorKind::AddrInUse => BindError::InUse {
                endpoint: endpoint.clone(),
            },
            _ => BindError::Other {
                endpoint: endpoint.clone(),
                source,
            },
        })
    }

    /// The endpoint as it is bound, with its real port.
    #[must_use]
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// The next connection.
    ///
    /// # Errors
    /// The system's, of which running out of descriptors is the one to expect: it passes, and
    /// calling again at once would only spin.
    pub async fn accept(&self) -> io::Result<(ReadHalf, WriteHalf, Address)> {
        match &self.socket {
            Socket::Tcp(listener) => {
                let (stream, address) = listener.accept().await?;
                let (read, write) = split_tcp(stream, &self.transport)?;
                Ok((read, write, Address::Tcp(address)))
            }
            Socket::Ipc(listener, _) => {
                let (stream, _) = listener.accept().await?;
                let (read, write) = split_ipc(stream);
                Ok((read, write, Address::Ipc))
            }
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        if let Socket::Ipc(_, Some(file)) = &self.socket
            && file.is_there()
        {
            // Gone already, or not ours to remove: either way nothing is left to do.
            let _ = std::fs::remove_file(&file.path);
        }
    }
}

async fn bind_tcp(host: &Host, port: u16, transport: &Transport) -> io::Result<(Socket, Endpoint)> {
    let addresses: Vec<SocketAddr> = match host {
        Host::Any => vec![SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), port)],
        Host::Address(address) => vec![SocketAddr::new(*address, port)],
        Host::Name(name) => tokio::net::lookup_host((name.as_str(), port))
            .await?
            .collect(),
    };
    let mut last = io::Error::new(io::ErrorKind::AddrNotAvailable, "the name has no address");
    for address in addresses {
        match listen_tcp(address, transport) {
            Ok(listener) => {
                let address = listener.local_addr()?;
                let endpoint = Endpoint::Tcp {
                    host: Host::Address(address.ip()),
                    port: address.port(),
                };
                return Ok((Socket::Tcp(listener), endpoint));
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn listen_tcp(address: SocketAddr, transport: &Transport) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() {
        TcpSocket::new_v4()?
    } else {
        TcpSocket::new_v6()?
    };
    // A restarted broker must not wait for the old connections' last packets.
    socket.set_reuseaddr(true)?;
    transport.prepare(&socket)?;
    socket.bind(address)?;
    socket.listen(transport.backlog)
}

async fn bind_ipc(path: &Path) -> io::Result<(Socket, Endpoint)> {
    let endpoint = Endpoint::Ipc {
        path: path.to_string_lossy().into_owned(),
    };
    let listener = match UnixListener::bind(path) {
        Err(error) if error.kind() == io::ErrorKind::AddrInUse && is_stale(path).await => {
            std::fs::remove_file(path)?;
            UnixListener::bind(path)?
        }
        bound => bound?,
    };
    Ok((Socket::Ipc(listener, Some(SocketFile::new(path))), endpoint))
}

/// Whether a path is a socket on which nobody listens any more: its process was killed.
/// One whose process is too busy to accept says "again" at once, and is alive.
async fn is_stale(path: &Path) -> bool {
    let refused = UnixStream::connect(path).await.err();
    is_socket(path) && refused.is_some_and(|error| error.kind() == io::ErrorKind::ConnectionRefused)
}

fn is_socket(path: &Path) -> bool {
    use std::os::unix::fs::FileTypeExt;
    std::fs::symlink_metadata(path).is_ok_and(|meta| meta.file_type().is_socket())
}

/// Whether something that is no socket has an endpoint's name.
fn is_no_socket(endpoint: &Endpoint) -> bool {
    matches!(endpoint, Endpoint::Ipc { path } if !is_socket(Path::new(path)))
}

fn bind_abstract(name: &str) -> io::Result<(Socket, Endpoint)> {
    use std::os::linux::net::SocketAddrExt;
    let address = std::os::unix::net::SocketAddr::from_abstract_name(name)?;
    let listener = std::os::unix::net::UnixListener::bind_addr(&address)?;
    listener.set_nonblocking(true)?;
    let listener = UnixListener::from_std(listener)?;
    let endpoint = Endpoint::Abstract {
        name: name.to_owned(),
    };
    Ok((Socket::Ipc(listener, None), endpoint))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn who_unbinds_leaves_the_socket_alone_that_another_has_bound_since() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("socket");
        let endpoint = Endpoint::Ipc {
            path: path.to_string_lossy().into_owned(),
        };
        let first = Listener::bind(&endpoint, &Transport::default())
            .await
            .unwrap();
        std::fs::remove_file(&path).unwrap();
        let second = Listener::bind(&endpoint, &Transport::default())
            .await
            .unwrap();
        drop(first);
        UnixStream::connect(&path).await.unwrap();
        drop(second);
        assert!(!path.exists());
    }

    #[tokio::test]
    async fn a_socket_whose_process_does_not_accept_is_in_use_and_keeps_nobody_waiting() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("socket");
        let socket = socket2::Socket::new(socket2::Domain::UNIX, socket2::Type::STREAM, None);
        let socket = socket.unwrap();
        let address = socket2::SockAddr::unix(&path).unwrap();
        socket.bind(&address).unwrap();
        socket.listen(0).unwrap();
        let mut crowd = Vec::new();
        while let Ok(stream) = UnixStream::connect(&path).await {
            crowd.push(stream);
        }
        let endpoint = Endpoint::Ipc {
            path: path.to_string_lossy().into_owned(),
        };
        let bound = Listener::bind(&endpoint, &Transport::default()).await;
        assert!(matches!(bound, Err(BindError::InUse { .. })));
    }
}
