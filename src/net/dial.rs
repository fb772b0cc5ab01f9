//! Connecting to an endpoint.

use std::io;
use std::net::SocketAddr;

use tokio::net::{TcpSocket, TcpStream, UnixStream};

use super::Transport;
use super::stream::{ReadHalf, WriteHalf, split_ipc, split_tcp};
use crate::wire::{Endpoint, Host};

/// Connects once. A name is tried at each of its addresses.
///
/// Cancel safe: dropping the future gives the attempt up.
///
/// # Errors
/// The system's, and `InvalidInput` for `tcp://*:…`, which is for binding only, and for inproc,
/// which is no stream.
pub async fn dial(endpoint: &Endpoint, transport: &Transport) -> io::Result<(ReadHalf, WriteHalf)> {
    match endpoint {
        Endpoint::Tcp {
            host: Host::Any, ..
        } => Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "`*` is no host to connect to",
        )),
        Endpoint::Tcp {
            host: Host::Address(address),
            port,
        } => {
            let stream = connect_tcp(SocketAddr::new(*address, *port), transport).await?;
            split_tcp(stream, transport)
        }
        Endpoint::Tcp {
            host: Host::Name(name),
            port,
        } => {
            let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
            for address in tokio::net::lookup_host((name.as_str(), *port)).await? {
                match connect_tcp(address, transport).await {
                    Ok(stream) => return split_tcp(stream, transport),
                    Err(error) => last = error,
                }
            }
            Err(last)
        }
        Endpoint::Ipc { path } => Ok(split_ipc(UnixStream::connect(path).await?)),
        Endpoint::Abstract { name } => {
            // The system's own way to write such a name; tokio knows it.
            Ok(split_ipc(UnixStream::connect(format!("\0{name}")).await?))
        }
        Endpoint::Inproc { .. } => Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "inproc connects sockets of one process",
        )),
    }
}

async fn connect_tcp(address: SocketAddr, transport: &Transport) -> io::Result<TcpStream> {
    let socket = if address.is_ipv4() {
        TcpSocket::new_v4()?
    } else {
        TcpSocket::new_v6()?
    };
    transport.prepare(&socket)?;
    socket.connect(address).await
}
