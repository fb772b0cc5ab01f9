//! A neutral far end: ZMTP 3.0 over blocking or polled TCP with no socket library at all.
//!
//! Cheap enough that the other end is what is measured: `push`, `pull` and `sub` for streams, and
//! `crowd`: many DEALERs, idle first, each with one message outstanding once told to go.

use std::io::{BufRead as _, ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use rustix::event::epoll;

use crate::Failure;
use crate::child::say;
use crate::sockets::job::Job;
use crate::sockets::meter::{Crowd, Meter};

pub fn play(job: &Job) -> Result<(), Failure> {
    match job.role.as_str() {
        "push" => push(job),
        "pull" => pull(job),
        "sub" => sub(job),
        "crowd" => crowd(job),
        role => Err(format!("raw plays no {role}").into()),
    }
}

fn push(job: &Job) -> Result<(), Failure> {
    let mut stream = dial(job, b"PUSH")?;
    let mut block = Vec::new();
    while block.len() < 65_536 {
        frame(&mut block, 0, &job.payload());
    }
    loop {
        stream.write_all(&block)?;
    }
}

fn pull(job: &Job) -> Result<(), Failure> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    say(&format!("ready {}", listener.local_addr()?.port()));
    let (mut stream, _) = listener.accept()?;
    shake(&mut stream, b"PULL")?;
    let (mut walk, mut meter) = (Walk::default(), Meter::new(job));
    let mut input = vec![0; 1 << 18];
    loop {
        let read = stream.read(&mut input)?;
        if read == 0 {
            return Err("the peer closed".into());
        }
        for _ in 0..walk.messages(&input[..read]) {
            meter.tick();
        }
    }
}

fn sub(job: &Job) -> Result<(), Failure> {
    let poll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    let mut all = Vec::new();
    for place in 0..job.count {
        let mut stream = dial(job, b"SUB")?;
        stream.write_all(&[0, 1, 1])?;
        watch(&poll, &stream, place)?;
        all.push((stream, Walk::default(), true));
    }
    let mut crowd = Crowd::new(job);
    let mut input = vec![0; 1 << 18];
    let mut events = Vec::with_capacity(64);
    loop {
        events.clear();
        epoll::wait(&poll, rustix::buffer::spare_capacity(&mut events), None)?;
        for event in &events {
            let (stream, walk, new) = &mut all[usize::try_from(event.data.u64())?];
            match stream.read(&mut input) {
                Ok(0) => return Err("the peer closed".into()),
                Ok(read) => {
                    for _ in 0..walk.messages(&input[..read]) {
                        crowd.tick(new);
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

/// Connects all, says `open`, waits for a line on stdin, and then keeps one message of each peer
/// under way, with REQ's empty part in front, which every ROUTER passes on.
fn crowd(job: &Job) -> Result<(), Failure> {
    let poll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    let mut all = Vec::new();
    for place in 0..job.count {
        let stream = dial(job, b"DEALER")?;
        watch(&poll, &stream, place)?;
        all.push((stream, Walk::default()));
    }
    say("open");
    std::io::stdin().lock().read_line(&mut String::new())?;
    let mut message = Vec::new();
    frame(&mut message, 1, b"");
    frame(&mut message, 0, &job.payload());
    for (stream, _) in &mut all {
        stream.write_all(&message)?;
    }
    let mut meter = Meter::new(job);
    let mut input = vec![0; 1 << 16];
    let mut events = Vec::with_capacity(64);
    loop {
        events.clear();
        epoll::wait(&poll, rustix::buffer::spare_capacity(&mut events), None)?;
        for event in &events {
            let (stream, walk) = &mut all[usize::try_from(event.data.u64())?];
            match stream.read(&mut input) {
                Ok(0) => return Err("the peer closed".into()),
                Ok(read) => {
                    for _ in 0..walk.messages(&input[..read]) {
                        meter.tick();
                        stream.write_all(&message)?;
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

fn watch(poll: &impl std::os::fd::AsFd, stream: &TcpStream, place: usize) -> Result<(), Failure> {
    stream.set_nonblocking(true)?;
    let place = epoll::EventData::new_u64(place as u64);
    epoll::add(poll, stream, place, epoll::EventFlags::IN)?;
    Ok(())
}

fn dial(job: &Job, kind: &[u8]) -> Result<TcpStream, Failure> {
    let mut stream = TcpStream::connect(("127.0.0.1", job.port))?;
    shake(&mut stream, kind)?;
    Ok(stream)
}

/// Greeting and READY of both sides, NULL.
fn shake(stream: &mut TcpStream, kind: &[u8]) -> Result<(), Failure> {
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    let mut greeting = [0; 64];
    greeting[0] = 0xff;
    greeting[9] = 0x7f;
    greeting[10] = 3;
    greeting[12..16].copy_from_slice(b"NULL");
    stream.write_all(&greeting)?;
    stream.read_exact(&mut greeting)?;
    let mut ready = b"\x05READY\x0bSocket-Type\0\0\0".to_vec();
    ready.push(u8::try_from(kind.len())?);
    ready.extend_from_slice(kind);
    let mut hello = Vec::new();
    frame(&mut hello, 4, &ready);
    stream.write_all(&hello)?;
    let mut head = [0; 2];
    stream.read_exact(&mut head)?;
    let mut body = vec![0; usize::from(head[1])];
    stream.read_exact(&mut body)?;
    if !body.starts_with(b"\x05READY") {
        return Err("the peer refused".into());
    }
    Ok(())
}

fn frame(out: &mut Vec<u8>, flags: u8, body: &[u8]) {
    if let Ok(short) = u8::try_from(body.len()) {
        out.extend_from_slice(&[flags, short]);
    } else {
        out.push(flags | 2);
        out.extend_from_slice(&(body.len() as u64).to_be_bytes());
    }
    out.extend_from_slice(body);
}

/// Walks frame headers without copying bodies.
#[derive(Default)]
struct Walk {
    head: Vec<u8>,
    skip: u64,
    more: bool,
}

impl Walk {
    /// The messages that end in these bytes.
    fn messages(&mut self, mut bytes: &[u8]) -> u64 {
        let mut messages = 0;
        loop {
            let step = self.skip.min(bytes.len() as u64);
            self.skip -= step;
            bytes = &bytes[step as usize..];
            if bytes.is_empty() {
                return messages;
            }
            self.head.push(bytes[0]);
            bytes = &bytes[1..];
            let long = self.head[0] & 2 != 0;
            if self.head.len() < if long { 9 } else { 2 } {
                continue;
            }
            self.skip = self.head[1..]
                .iter()
                .fold(0, |len, byte| len << 8 | u64::from(*byte));
            self.more = self.head[0] & 1 != 0;
            // Counted with its header: what is measured is a stream.
            messages += u64::from(self.head[0] & 5 == 0);
            self.head.clear();
        }
    }
}
