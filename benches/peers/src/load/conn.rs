//! One connection: what has come and makes no whole yet, and what waits to be written.

use std::io::{ErrorKind, IoSlice, Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Arc;

use scale0::net::Clock;
use scale0::session::{Config, Heard, Session};
use scale0::wire::Piece;

use super::buffer::Buffer;
use super::client::Client;
use super::tongue::{Meaning, Role, Tongue};
use super::zmtp::{self, Unit};
use crate::Failure;

pub struct Conn {
    pub stream: TcpStream,
    pub role: Role,
    tongue: Tongue,
    /// CURVE: words go through it on their way out and in.
    sealed: Option<Session>,
    greeted: bool,
    pub ready: bool,
    input: Buffer,
    pub out: Vec<u8>,
    written: usize,
    /// On the list of those to be flushed.
    pub dirty: bool,
    /// Waits until the stream takes more.
    pub full: bool,
    pub closed: bool,
    /// When it was last heard by the broker, to the turn.
    pub said: u64,
    pub client: Option<Client>,
    /// A worker's announcement.
    pub hello: Vec<u8>,
    /// Takes tasks and never answers.
    pub hoards: bool,
    /// Tasks taken since the last write: more than its capacity at once is the broker's fault.
    pub taken: u32,
}

/// How much is read at once.
pub const BLOCK: usize = 256 << 10;
/// A connection may not keep others waiting for longer than so many blocks.
const TURNS: usize = 8;

impl Conn {
    pub fn open(
        stream: TcpStream,
        tongue: Tongue,
        role: Role,
        number: usize,
        seal: Option<(&Arc<Config>, Clock)>,
    ) -> Result<Self, Failure> {
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        let opening = tongue.opening(role, number);
        let mut conn = Self {
            stream,
            role,
            tongue,
            sealed: None,
            greeted: !tongue.is_zmtp(),
            ready: opening.is_none(),
            input: Buffer::default(),
            out: opening.unwrap_or_default(),
            written: 0,
            dirty: false,
            full: false,
            closed: false,
            said: 0,
            client: None,
            hello: Vec::new(),
            hoards: false,
            taken: 0,
        };
        if let Some((config, clock)) = seal {
            // Keys of a measurement need not be secret.
            let mut seed = [0; 32];
            seed[..8].copy_from_slice(&(number as u64 + 1).to_le_bytes());
            seed[8] = role as u8;
            conn.sealed = Some(Session::new(clock.now(), Arc::clone(config), seed));
            conn.out.clear();
        }
        Ok(conn)
    }

    /// Reads what there is, and tells what it means, one by one. True at the end of the stream.
    pub fn read(
        &mut self,
        scratch: &mut [u8],
        size: usize,
        clock: Clock,
        mut each: impl FnMut(&mut Self, Meaning<'_>),
        mut now: impl FnMut(),
    ) -> Result<bool, Failure> {
        for _ in 0..TURNS {
            // Whole units are taken from the common block; only what is unfinished is kept.
            let mut input = std::mem::take(&mut self.input);
            let fresh = input.is_empty();
            let room = if fresh {
                &mut *scratch
            } else {
                input.room(BLOCK)
            };
            let wanted = room.len();
            let read = match self.stream.read(room) {
                Ok(0) => return Ok(true),
                Ok(read) => read,
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.input = input;
                    return Ok(false);
                }
                Err(error) if error.kind() == ErrorKind::ConnectionReset => return Ok(true),
                Err(error) => return Err(error.into()),
            };
            now();
            if fresh {
                let used = self.feed(&scratch[..read], size, clock, &mut each)?;
                if used < read {
                    input.put(&scratch[used..read]);
                }
            } else {
                input.grew(read);
                let used = self.feed(input.filled(), size, clock, &mut each)?;
                input.take(used);
            }
            self.input = input;
            if read < wanted {
                break;
            }
        }
        Ok(false)
    }

    fn feed(
        &mut self,
        bytes: &[u8],
        size: usize,
        clock: Clock,
        each: &mut impl FnMut(&mut Self, Meaning<'_>),
    ) -> Result<usize, Failure> {
        if let Some(mut session) = self.sealed.take() {
            let fed = self.unseal(&mut session, bytes, size, clock, each);
            self.sealed = Some(session);
            return fed.map(|()| bytes.len());
        }
        let mut used = 0;
        if !self.greeted {
            match bytes.first_chunk::<64>() {
                Some([0xff, _, _, _, _, _, _, _, _, 0x7f, 3, ..]) => used = 64,
                Some(_) => return Err("what answers speaks no ZMTP 3".into()),
                None => return Ok(0),
            }
            self.greeted = true;
        }
        while let Some(n) = self.tell(&bytes[used..], size, each)? {
            used += n;
        }
        Ok(used)
    }

    /// One unit; how long it was.
    fn tell(
        &mut self,
        bytes: &[u8],
        size: usize,
        each: &mut impl FnMut(&mut Self, Meaning<'_>),
    ) -> Result<Option<usize>, Failure> {
        let before = self.out.len();
        let mut out = std::mem::take(&mut self.out);
        let next = self.tongue.next(self.role, bytes, size, &mut out);
        self.out = out;
        let Some((meaning, used)) = next? else {
            return Ok(None);
        };
        if self.hoards && meaning == Meaning::Task {
            self.out.truncate(before);
        }
        each(self, meaning);
        Ok(Some(used))
    }

    fn unseal(
        &mut self,
        session: &mut Session,
        mut bytes: &[u8],
        size: usize,
        clock: Clock,
        each: &mut impl FnMut(&mut Self, Meaning<'_>),
    ) -> Result<(), Failure> {
        let now = clock.now();
        while let Some(heard) = session.receive(now, &mut bytes)? {
            match heard {
                Heard::Open(_) => each(self, Meaning::Ready),
                Heard::Message(message) => {
                    self.tell(message.wire(), size, each)?;
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Whether there is anything to write.
    pub fn waits(&self) -> bool {
        !self.out.is_empty()
            || self
                .sealed
                .as_ref()
                .is_some_and(|session| session.waiting() > 0)
    }

    /// Writes what waits; true if the stream has taken all of it.
    pub fn flush(&mut self, clock: Clock) -> Result<bool, Failure> {
        self.taken = 0;
        if let Some(session) = &mut self.sealed {
            seal(session, &mut self.out, clock)?;
            return flush_session(session, &mut self.stream, clock);
        }
        while self.written < self.out.len() {
            match self.stream.write(&self.out[self.written..]) {
                Ok(n) => self.written += n,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(error.into()),
            }
        }
        self.out.clear();
        self.written = 0;
        Ok(true)
    }
}

/// Hands over what waits in plain frames.
fn seal(session: &mut Session, out: &mut Vec<u8>, clock: Clock) -> Result<(), Failure> {
    let now = clock.now();
    let mut used = 0;
    while let Some((unit, n)) = zmtp::next(&out[used..])? {
        used += n;
        // The session answers PING itself.
        if let Unit::Message(message) = unit {
            let mut pieces = [Piece::Part(b""); 12];
            for (piece, body) in pieces.iter_mut().zip(message.bodies()) {
                *piece = Piece::Part(body);
            }
            session.send(now, &pieces[..message.count()])?;
        }
    }
    out.clear();
    Ok(())
}

fn flush_session(
    session: &mut Session,
    stream: &mut TcpStream,
    clock: Clock,
) -> Result<bool, Failure> {
    while session.waiting() > 0 {
        let mut slices = [IoSlice::new(&[]); 64];
        let count = session.chunks(&mut slices);
        match stream.write_vectored(&slices[..count]) {
            Ok(n) => session.wrote(clock.now(), n),
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(true)
}
