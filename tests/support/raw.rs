//! A ZMTP peer by hand: bytes over a blocking stream, right or wrong as the test wants them.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

pub(crate) const TASK: u8 = 1;
pub(crate) const REPLY: u8 = 2;
pub(crate) const ERROR: u8 = 3;
pub(crate) const CONNECT: u8 = 4;
pub(crate) const CONFIG: u8 = 5;
pub(crate) const BYE: u8 = 9;

/// One connection.
pub(crate) struct Raw {
    stream: TcpStream,
    input: Vec<u8>,
}

/// A message's parts.
pub(crate) type Parts = Vec<Vec<u8>>;

impl Raw {
    /// Connects and says nothing.
    pub(crate) fn dial(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect_timeout(&address, PATIENCE)?;
        stream.set_nodelay(true)?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(Self {
            stream,
            input: Vec::new(),
        })
    }

    /// Connects and shakes hands as a DEALER.
    pub(crate) fn open(address: SocketAddr) -> io::Result<Self> {
        let mut raw = Self::dial(address)?;
        raw.shake("DEALER")?;
        Ok(raw)
    }

    /// Says greeting and READY, and reads the peer's.
    pub(crate) fn shake(&mut self, kind: &str) -> io::Result<()> {
        self.write(&[&greeting()[..], &ready(kind)].concat())?;
        self.take(65)?;
        let len = usize::from(self.take(1)?[0]);
        self.take(len)?;
        Ok(())
    }

    /// So many bytes of what the peer says.
    pub(crate) fn take(&mut self, n: usize) -> io::Result<Vec<u8>> {
        let until = Instant::now() + PATIENCE;
        while self.input.len() < n {
            self.read(until)?;
        }
        Ok(self.input.drain(..n).collect())
    }

    /// Another handle on the same stream, to write while this one reads.
    pub(crate) fn twin(&self) -> io::Result<Self> {
        Ok(Self {
            stream: self.stream.try_clone()?,
            input: Vec::new(),
        })
    }

    pub(crate) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)
    }

    pub(crate) fn send(&mut self, parts: &[&[u8]]) -> io::Result<()> {
        self.write(&message(parts))
    }

    /// The next message; PINGs before it are answered, other commands skipped.
    pub(crate) fn recv(&mut self, within: Duration) -> io::Result<Parts> {
        let until = Instant::now() + within;
        loop {
            if let Some((parts, taken)) = self.parse()? {
                self.input.drain(..taken);
                return Ok(parts);
            }
            self.read(until)?;
        }
    }

    fn parse(&mut self) -> io::Result<Option<(Parts, usize)>> {
        let (mut parts, mut at, mut pongs) = (Parts::new(), 0, 0);
        let whole = loop {
            let Some((flags, body)) = frame(&self.input[at..]) else {
                break None;
            };
            let end = at + body.end;
            let body = &self.input[at + body.start..end];
            if flags & 4 != 0 {
                if body.starts_with(b"\x04PING") {
                    pongs += 1;
                }
                self.input.drain(at..end);
                continue;
            }
            parts.push(body.to_vec());
            at = end;
            if flags & 1 == 0 {
                break Some((parts, at));
            }
        };
        for _ in 0..pongs {
            self.write(b"\x04\x05\x04PONG")?;
        }
        Ok(whole)
    }

    fn read(&mut self, until: Instant) -> io::Result<usize> {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        self.stream.set_read_timeout(Some(left))?;
        let mut bytes = [0; 64 << 10];
        match self.stream.read(&mut bytes) {
            Ok(0) => Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(n) => {
                self.input.extend_from_slice(&bytes[..n]);
                Ok(n)
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                Err(io::ErrorKind::TimedOut.into())
            }
            Err(error) => Err(error),
        }
    }

    /// Whether the peer closes within that time, whatever it says before.
    pub(crate) fn is_closed(&mut self, within: Duration) -> bool {
        let until = Instant::now() + within;
        loop {
            match self.read(until) {
                Ok(_) => self.input.clear(),
                Err(error) => return error.kind() != io::ErrorKind::TimedOut,
            }
        }
    }

    /// Ends our side of the stream.
    pub(crate) fn finish(&self) {
        // Closed by the other side already: that is as good.
        let _ = self.stream.shutdown(Shutdown::Write);
    }
}

/// Flags, and where the body of the frame at the front lies.
fn frame(bytes: &[u8]) -> Option<(u8, std::ops::Range<usize>)> {
    let flags = *bytes.first()?;
    let (start, len) = if flags & 2 == 0 {
        (2, usize::from(*bytes.get(1)?))
    } else {
        let len = bytes.get(1..9)?.try_into().unwrap();
        (9, usize::try_from(u64::from_be_bytes(len)).unwrap())
    };
    (bytes.len() >= start + len).then_some((flags, start..start + len))
}

pub(crate) fn greeting() -> [u8; 64] {
    let mut bytes = [0; 64];
    bytes[0] = 0xff;
    bytes[9] = 0x7f;
    bytes[10..12].copy_from_slice(&[3, 1]);
    bytes[12..16].copy_from_slice(b"NULL");
    bytes
}

pub(crate) fn ready(kind: &str) -> Vec<u8> {
    let len = u8::try_from(kind.len()).unwrap();
    let mut body = b"\x05READY\x0bSocket-Type\0\0\0".to_vec();
    body.push(len);
    body.extend_from_slice(kind.as_bytes());
    let mut frame = vec![4, u8::try_from(body.len()).unwrap()];
    frame.extend_from_slice(&body);
    frame
}

/// A frame header in its long form.
pub(crate) fn long(flags: u8, size: u64) -> Vec<u8> {
    let mut bytes = vec![flags | 2];
    bytes.extend_from_slice(&size.to_be_bytes());
    bytes
}

pub(crate) fn message(parts: &[&[u8]]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (n, part) in parts.iter().enumerate() {
        let more = u8::from(n + 1 < parts.len());
        match u8::try_from(part.len()) {
            Ok(len) => bytes.extend_from_slice(&[more, len]),
            Err(_) => bytes.extend(long(more, part.len() as u64)),
        }
        bytes.extend_from_slice(part);
    }
    bytes
}

/// An S0 header; change what should be different.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct S0<'a> {
    pub(crate) command: u8,
    pub(crate) flags: u8,
    pub(crate) code: u16,
    pub(crate) ms: u32,
    pub(crate) id: u64,
    pub(crate) name: &'a [u8],
}

impl<'a> S0<'a> {
    pub(crate) fn write(&self) -> Vec<u8> {
        let mut bytes = vec![b'S', b'0', 1, self.command, self.flags];
        bytes.push(u8::try_from(self.name.len()).unwrap());
        bytes.extend_from_slice(&self.code.to_be_bytes());
        bytes.extend_from_slice(&self.ms.to_be_bytes());
        bytes.extend_from_slice(&self.id.to_be_bytes());
        bytes.extend_from_slice(self.name);
        bytes
    }

    pub(crate) fn read(bytes: &'a [u8]) -> Self {
        assert!(bytes.starts_with(b"S0\x01"), "no S0 header: {bytes:?}");
        Self {
            command: bytes[3],
            flags: bytes[4],
            code: u16::from_be_bytes([bytes[6], bytes[7]]),
            ms: u32::from_be_bytes(bytes[8..12].try_into().unwrap()),
            id: u64::from_be_bytes(bytes[12..20].try_into().unwrap()),
            name: &bytes[20..20 + usize::from(bytes[5])],
        }
    }
}

pub(crate) fn task(service: &str, id: u64, ms: u32) -> Vec<u8> {
    S0 {
        command: TASK,
        ms,
        id,
        name: service.as_bytes(),
        ..S0::default()
    }
    .write()
}

pub(crate) fn connect(capacity: u16) -> Vec<u8> {
    S0 {
        command: CONNECT,
        code: capacity,
        ..S0::default()
    }
    .write()
}

const PATIENCE: Duration = Duration::from_secs(10);
