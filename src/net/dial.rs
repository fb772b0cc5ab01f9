//! Connecting to an endpoint.

use std::io;

use tokio::net::{TcpStream, UnixStream};

use super::stream::{ReadHalf, WriteHalf, split_ipc, split_tcp};
use crate::wire::{Endpoint, Host};

/// Connects once. A name is tried at each of its addresses.
///
/// Cancel safe: dropping the future gives the attempt up.
///
/// # Errors
/// The system's, and `InvalidInput` for `tcp://*:…`, which is for binding only.
pub async fn dial(endpoint: &Endpoint) -> io::Result<(ReadHalf, WriteHalf)> {
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
        } => split_tcp(TcpStream::connect((*address, *port)).await?),
        Endpoint::Tcp {
            host: Host::Name(name),
            port,
        } => split_tcp(TcpStream::connect((name.as_str(), *port)).await?),
        Endpoint::Ipc { path } => Ok(split_ipc(UnixStream::connect(path).await?)),
        Endpoint::Abstract { name } => {
            // The system's own way to write such a name; tokio knows it.
            Ok(split_ipc(UnixStream::connect(format!("\0{name}")).await?))
        }
    }
}
