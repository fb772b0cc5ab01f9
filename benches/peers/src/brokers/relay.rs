//! The floor: no protocol, only bytes from a client's connection to a worker's and back, the first
//! to the first, the second to the second. What any broker in one process has to do at least.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};

use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::fd::OwnedFd;

use crate::Failure;
use crate::child::say;

/// `peers relay FRONT BACK`: two ports.
pub fn play(words: &[String]) -> Result<(), Failure> {
    let [front, back] = words else {
        return Err("two ports are needed".into());
    };
    let mut relay = Relay {
        poll: epoll::create(epoll::CreateFlags::CLOEXEC)?,
        sides: [Vec::new(), Vec::new()],
        block: vec![0; 256 << 10],
    };
    let mut listeners = Vec::new();
    for (side, port) in [front, back].into_iter().enumerate() {
        let listener = TcpListener::bind(("127.0.0.1", port.parse()?))?;
        listener.set_nonblocking(true)?;
        let data = EventData::new_u64(LISTENS | side as u64);
        epoll::add(&relay.poll, &listener, data, EventFlags::IN)?;
        listeners.push(listener);
    }
    say("ready");
    let mut events = Vec::with_capacity(256);
    loop {
        events.clear();
        epoll::wait(
            &relay.poll,
            rustix::buffer::spare_capacity(&mut events),
            None,
        )?;
        for event in &events {
            let data = event.data.u64();
            let side = (data & 1) as usize;
            if data & LISTENS != 0 {
                relay.accept(side, &listeners[side])?;
            } else {
                relay.pass(side, (data >> 1) as usize)?;
            }
        }
    }
}

/// Marks a listener among the connections: `place << 1 | side`.
const LISTENS: u64 = 1 << 40;

struct Relay {
    poll: OwnedFd,
    sides: [Vec<End>; 2],
    block: Vec<u8>,
}

struct End {
    stream: TcpStream,
    /// What this end has not taken yet, or what came before it did.
    waits: Vec<u8>,
    full: bool,
    gone: bool,
}

impl Relay {
    fn accept(&mut self, side: usize, listener: &TcpListener) -> Result<(), Failure> {
        loop {
            let stream = match listener.accept() {
                Ok((stream, _)) => stream,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error.into()),
            };
            stream.set_nonblocking(true)?;
            stream.set_nodelay(true)?;
            let place = self.sides[side].len();
            let data = EventData::new_u64((place as u64) << 1 | side as u64);
            epoll::add(&self.poll, &stream, data, EventFlags::IN)?;
            self.sides[side].push(End {
                stream,
                waits: Vec::new(),
                full: false,
                gone: false,
            });
        }
    }

    /// What one end has sent goes to the other; that one may also just have got room.
    fn pass(&mut self, side: usize, place: usize) -> Result<(), Failure> {
        self.drain(side, place)?;
        let read = match self.sides[side][place].stream.read(&mut self.block) {
            Ok(0) => {
                let end = &mut self.sides[side][place];
                if !end.gone {
                    end.gone = true;
                    epoll::delete(&self.poll, &end.stream)?;
                }
                return Ok(());
            }
            Ok(read) => read,
            Err(_) => return Ok(()),
        };
        let Some(other) = self.sides[1 - side].get_mut(place) else {
            return Err("a client without a worker".into());
        };
        let mut written = 0;
        if other.waits.is_empty() {
            written = other.stream.write(&self.block[..read]).unwrap_or(0);
        }
        // Mostly nothing is left.
        other.waits.extend_from_slice(&self.block[written..read]);
        self.drain(1 - side, place)
    }

    fn drain(&mut self, side: usize, place: usize) -> Result<(), Failure> {
        let Some(end) = self.sides[side].get_mut(place) else {
            return Ok(());
        };
        let mut written = 0;
        while written < end.waits.len() {
            match end.stream.write(&end.waits[written..]) {
                Ok(n) => written += n,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(_) => written = end.waits.len(),
            }
        }
        end.waits.drain(..written);
        let full = !end.waits.is_empty();
        if !end.gone && full != end.full {
            end.full = full;
            let flags = match full {
                true => EventFlags::IN | EventFlags::OUT,
                false => EventFlags::IN,
            };
            let data = EventData::new_u64((place as u64) << 1 | side as u64);
            epoll::modify(&self.poll, &end.stream, data, flags)?;
        }
        Ok(())
    }
}
