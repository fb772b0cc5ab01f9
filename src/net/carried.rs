//! A stream on its way to another thread: no runtime watches it meanwhile.

use std::io;

use tokio::net::{TcpStream, UnixStream};

use super::stream::{ReadHalf, WriteHalf};

/// A connected stream of either transport, in no runtime.
#[derive(Debug)]
pub struct Carried(Stream);

#[derive(Debug)]
enum Stream {
    Tcp(std::net::TcpStream),
    Ipc(std::os::unix::net::UnixStream),
}

impl Carried {
    /// Takes a stream out of its runtime.
    ///
    /// # Errors
    /// The two are not halves of one stream, or the system refuses.
    pub fn pack(reader: ReadHalf, writer: WriteHalf) -> io::Result<Self> {
        let stream = match (reader, writer) {
            (ReadHalf::Tcp(reader), WriteHalf::Tcp(writer)) => {
                let stream = reader.reunite(writer).map_err(io::Error::other)?;
                Stream::Tcp(stream.into_std()?)
            }
            (ReadHalf::Ipc(reader), WriteHalf::Ipc(writer)) => {
                let stream = reader.reunite(writer).map_err(io::Error::other)?;
                Stream::Ipc(stream.into_std()?)
            }
            _ => return Err(io::ErrorKind::InvalidInput.into()),
        };
        Ok(Self(stream))
    }

    /// Puts it into the runtime of this thread.
    ///
    /// # Errors
    /// The system refuses.
    pub fn unpack(self) -> io::Result<(ReadHalf, WriteHalf)> {
        Ok(match self.0 {
            Stream::Tcp(stream) => {
                let (reader, writer) = TcpStream::from_std(stream)?.into_split();
                (ReadHalf::Tcp(reader), WriteHalf::Tcp(writer))
            }
            Stream::Ipc(stream) => {
                let (reader, writer) = UnixStream::from_std(stream)?.into_split();
                (ReadHalf::Ipc(reader), WriteHalf::Ipc(writer))
            }
        })
    }
}
