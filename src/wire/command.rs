//! Command frames: a name with its length, then data that only the name explains (RFC 37).

use std::time::Duration;

use super::{Error, Header, Metadata};
use crate::limits::Limits;

/// A command's name and data. Names are case-sensitive.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Command<'a> {
    /// 1 to 255 bytes.
    pub name: &'a [u8],
    /// Everything after the name.
    pub data: &'a [u8],
}

/// PING: "answer, and count me dead after this long without a sign".
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Ping<'a> {
    /// Zero means no such limit.
    pub ttl: Duration,
    /// Echoed in the PONG; at most 16 bytes, what is beyond is cut off.
    pub context: &'a [u8],
}

impl<'a> Command<'a> {
    /// PLAIN and CURVE: the client begins.
    pub const HELLO: &'static [u8] = b"HELLO";
    /// PLAIN and CURVE: the server goes on.
    pub const WELCOME: &'static [u8] = b"WELCOME";
    /// PLAIN and CURVE: the client says what it is.
    pub const INITIATE: &'static [u8] = b"INITIATE";
    /// NULL and CURVE handshakes end with it; carries metadata.
    pub const READY: &'static [u8] = b"READY";
    /// A fatal refusal with a reason.
    pub const ERROR: &'static [u8] = b"ERROR";
    /// Heartbeat (ZMTP 3.1).
    pub const PING: &'static [u8] = b"PING";
    /// Its answer.
    pub const PONG: &'static [u8] = b"PONG";
    /// A subscriber wants a topic (ZMTP 3.1).
    pub const SUBSCRIBE: &'static [u8] = b"SUBSCRIBE";
    /// A subscriber wants it no more (ZMTP 3.1).
    pub const CANCEL: &'static [u8] = b"CANCEL";

    /// Reads a command frame's body.
    ///
    /// # Errors
    /// No name, or a name longer than the body.
    pub fn read(body: &'a [u8]) -> Result<Self, Error> {
        let malformed = Error::MalformedCommand { len: body.len() };
        match body.split_first() {
            Some((&len, rest)) if len > 0 => {
                let (name, data) = rest.split_at_checked(usize::from(len)).ok_or(malformed)?;
                Ok(Self { name, data })
            }
            _ => Err(malformed),
        }
    }

    /// Reads the data of PING.
    ///
    /// # Errors
    /// Data too short for a TTL. Nothing is ever read past the frame's end.
    pub fn ping(&self) -> Result<Ping<'a>, Error> {
        let Some((ttl, context)) = self.data.split_first_chunk::<2>() else {
            return Err(Error::ShortPing {
                len: 1 + self.name.len() + self.data.len(),
            });
        };
        let ttl = Duration::from_millis(u64::from(u16::from_be_bytes(*ttl)) * 100);
        Ok(Ping {
            ttl,
            context: context.get(..CONTEXT).unwrap_or(context),
        })
    }

    /// Reads the reason in ERROR.
    ///
    /// # Errors
    /// A reason whose length does not match the frame.
    pub fn reason(&self) -> Result<&'a [u8], Error> {
        match self.data.split_first() {
            Some((&len, reason)) if reason.len() == usize::from(len) => Ok(reason),
            _ => Err(Error::MalformedError {
                len: 1 + self.name.len() + self.data.len(),
            }),
        }
    }

    /// Reads the metadata in READY.
    ///
    /// # Errors
    /// See [`Metadata::read`].
    pub fn metadata(&self, limits: &Limits) -> Result<Metadata, Error> {
        Metadata::read(self.data, limits)
    }

    /// Appends a whole command frame.
    pub fn write(name: &[u8], data: &[u8], out: &mut Vec<u8>) {
        // Names are our own constants, far below 255 bytes.
        let len = u8::try_from(name.len()).unwrap_or(u8::MAX);
        let size = 1 + name.len() as u64 + data.len() as u64;
        Header {
            more: false,
            command: true,
            size,
        }
        .write(out);
        out.push(len);
        out.extend_from_slice(name);
        out.extend_from_slice(data);
    }

    /// Appends a PING frame. Its TTL travels in tenths of a second and is capped at 65.5 s,
    /// above which libzmq's arithmetic wraps around.
    pub fn write_ping(ttl: Duration, out: &mut Vec<u8>) {
        Self::write(Self::PING, &Self::ttl(ttl), out);
    }

    /// A PING's data without a context.
    #[must_use]
    pub fn ttl(ttl: Duration) -> [u8; 2] {
        u16::try_from(ttl.as_millis() / 100)
            .unwrap_or(u16::MAX)
            .min(MAX_TTL)
            .to_be_bytes()
    }

    /// Appends an ERROR frame; the reason is cut to 255 bytes.
    pub fn write_error(reason: &str, out: &mut Vec<u8>) {
        let reason = reason.as_bytes();
        let reason = reason.get(..255).unwrap_or(reason);
        let mut data = vec![u8::try_from(reason.len()).unwrap_or(u8::MAX)];
        data.extend_from_slice(reason);
        Self::write(Self::ERROR, &data, out);
    }
}

const CONTEXT: usize = 16;
const MAX_TTL: u16 = 655;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_must_be_there_and_fit() {
        assert_eq!(Command::read(&[]), Err(Error::MalformedCommand { len: 0 }));
        assert_eq!(
            Command::read(&[0, 1]),
            Err(Error::MalformedCommand { len: 2 })
        );
        assert_eq!(
            Command::read(b"\x05PING"),
            Err(Error::MalformedCommand { len: 5 })
        );
        assert_eq!(
            Command::read(b"\x04PING"),
            Ok(Command {
                name: b"PING",
                data: b""
            })
        );
    }

    #[test]
    fn a_ping_shorter_than_its_ttl_is_refused() {
        for body in [&b"\x04PING"[..], b"\x04PING\x00"] {
            let command = Command::read(body).unwrap();
            assert_eq!(command.ping(), Err(Error::ShortPing { len: body.len() }));
        }
    }

    #[test]
    fn a_context_beyond_16_bytes_is_cut() {
        let body = b"\x04PING\x00\x0aLOLzzzzzzzzzzzzzzzzzzzz";
        let ping = Command::read(body).unwrap().ping().unwrap();
        assert_eq!(ping.ttl, Duration::from_secs(1));
        assert_eq!(ping.context, b"LOLzzzzzzzzzzzzz");
    }

    #[test]
    fn ttl_does_not_wrap() {
        let ping = Command::read(b"\x04PING\xff\xff").unwrap().ping().unwrap();
        assert_eq!(ping.ttl, Duration::from_millis(6_553_500));
        let mut out = Vec::new();
        Command::write_ping(Duration::from_secs(7000), &mut out);
        assert_eq!(out, b"\x04\x07\x04PING\x02\x8f");
    }

    #[test]
    fn an_error_reason_must_fill_its_frame() {
        assert_eq!(
            Command::read(b"\x05ERROR\x03400").unwrap().reason(),
            Ok(&b"400"[..])
        );
        for body in [&b"\x05ERROR"[..], b"\x05ERROR\x04400", b"\x05ERROR\x02400"] {
            assert!(Command::read(body).unwrap().reason().is_err());
        }
    }
}
