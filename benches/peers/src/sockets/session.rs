//! scale0's session straight on its streams, with no socket above: what a socket of scale0 could
//! cost at least, and so what the socket's own part of the cost is.

use std::future::poll_fn;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};

use scale0::net::{Clock, Listener, ReadHalf, Transport, WriteHalf, dial};
use scale0::session::{Config, Heard, Session};
use scale0::time::Time;
use scale0::wire::{Endpoint, Message, Piece, SocketType};
use tokio::io::ReadBuf;

use crate::Failure;
use crate::child::say;
use crate::sockets::job::Job;
use crate::sockets::meter::{Crowd, Meter, Trips};

pub async fn play(job: &Job) -> Result<(), Failure> {
    let payload = job.payload();
    let fresh = || Message::single(&payload);
    match job.role.as_str() {
        "push" => {
            let mut line = connected(SocketType::Push, job).await?;
            loop {
                let now = line.clock.now();
                while line.session.waiting() < FULL {
                    line.send(now, &fresh())?;
                }
                poll_fn(|cx| line.poll_written(cx)).await?;
            }
        }
        "pull" => {
            let mut line = accepted(SocketType::Pull, &bound().await?).await?;
            let mut meter = Meter::new(job);
            loop {
                line.hear(|_, _| meter.tick()).await?;
            }
        }
        "pubwait" => {
            let listener = bound().await?;
            let mut lines = Vec::new();
            for _ in 0..job.count {
                lines.push(accepted(SocketType::Pub, &listener).await?);
            }
            loop {
                let Some(now) = lines.first().map(|line| line.clock.now()) else {
                    return Err("no subscribers".into());
                };
                while lines.iter().all(|line| line.session.waiting() < FULL) {
                    let message = fresh();
                    for line in &mut lines {
                        line.send(now, &message)?;
                    }
                }
                for line in &mut lines {
                    poll_fn(|cx| line.poll_written(cx)).await?;
                }
            }
        }
        "sub" => {
            let crowd = Rc::new(std::cell::RefCell::new(Crowd::new(job)));
            for _ in 0..job.count {
                let mut line = connected(SocketType::Sub, job).await?;
                let (crowd, mut new) = (Rc::clone(&crowd), true);
                tokio::task::spawn_local(async move {
                    let count = |_: &mut Session, _| crowd.borrow_mut().tick(&mut new);
                    let mut count = count;
                    while line.hear(&mut count).await.is_ok() {}
                });
            }
            std::future::pending().await
        }
        "dealer" => {
            let mut line = connected(SocketType::Dealer, job).await?;
            let mut trips = Trips::new(job);
            let now = line.clock.now();
            for _ in 0..job.window {
                trips.asked();
                line.send(now, &fresh())?;
            }
            line.writer.flush(now, &mut line.session)?;
            loop {
                line.hear(|session, _| {
                    trips.answered();
                    trips.asked();
                    // Never full: the window bounds it.
                    let _ = session.send(now, &[Piece::Parts(&fresh())]);
                })
                .await?;
            }
        }
        "router" => {
            let mut line = accepted(SocketType::Router, &bound().await?).await?;
            let now = line.clock.now();
            loop {
                line.hear(|session, message| {
                    let _ = session.send(now, &[Piece::Parts(&message)]);
                })
                .await?;
            }
        }
        role => Err(format!("the bare session plays no {role}").into()),
    }
}

/// A peer gets at most so much ahead of what the system takes.
const FULL: usize = 64 << 10;

struct Line {
    clock: Clock,
    session: Session,
    reader: ReadHalf,
    writer: WriteHalf,
    input: Vec<u8>,
}

async fn bound() -> Result<Listener, Failure> {
    let endpoint: Endpoint = "tcp://127.0.0.1:0".parse()?;
    let listener = Listener::bind(&endpoint, &Transport::default()).await?;
    let endpoint = listener.endpoint().to_string();
    let port = endpoint.rsplit(':').next().unwrap_or_default();
    say(&format!("ready {port}"));
    Ok(listener)
}

async fn accepted(kind: SocketType, listener: &Listener) -> Result<Line, Failure> {
    let (reader, writer, _) = listener.accept().await?;
    Line::open(kind, reader, writer).await
}

async fn connected(kind: SocketType, job: &Job) -> Result<Line, Failure> {
    let (reader, writer) = dial(&job.endpoint().parse()?, &Transport::default()).await?;
    Line::open(kind, reader, writer).await
}

impl Line {
    async fn open(kind: SocketType, reader: ReadHalf, writer: WriteHalf) -> Result<Self, Failure> {
        let clock = Clock::start();
        let mut config = Config::new(kind);
        config.limits.outbox = usize::MAX;
        let mut line = Self {
            clock,
            session: Session::new(clock.now(), Arc::new(config), [0; 32]),
            reader,
            writer,
            input: vec![0; 64 << 10],
        };
        line.writer.flush(clock.now(), &mut line.session)?;
        while !line.session.is_open() {
            line.hear(|_, _| {}).await?;
        }
        if kind == SocketType::Sub {
            line.session.subscribe(clock.now(), true, b"")?;
            line.writer.flush(clock.now(), &mut line.session)?;
        }
        Ok(line)
    }

    /// The clock is looked at once per turn: a look costs as much as all the rest of a send.
    fn send(&mut self, now: Time, message: &Message) -> Result<(), Failure> {
        Ok(self.session.send(now, &[Piece::Parts(message)])?)
    }

    /// One read; all messages in it; one write of what they led to.
    async fn hear(&mut self, mut each: impl FnMut(&mut Session, Message)) -> Result<(), Failure> {
        poll_fn(|cx| self.poll_hear(cx, &mut each)).await
    }

    fn poll_hear(
        &mut self,
        cx: &mut Context<'_>,
        each: &mut impl FnMut(&mut Session, Message),
    ) -> Poll<Result<(), Failure>> {
        let mut buf = ReadBuf::new(&mut self.input);
        match self.reader.poll_read(cx, &mut buf) {
            Poll::Pending => return Poll::Pending,
            Poll::Ready(read) => read?,
        }
        let filled = buf.filled().len();
        if filled == 0 {
            return Poll::Ready(Err("the peer closed".into()));
        }
        let now = self.clock.now();
        let mut input = &self.input[..filled];
        while let Some(heard) = self.session.receive(now, &mut input)? {
            if let Heard::Message(message) = heard {
                each(&mut self.session, message);
            }
        }
        self.writer.flush(now, &mut self.session)?;
        Poll::Ready(Ok(()))
    }

    fn poll_written(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.writer.flush(self.clock.now(), &mut self.session)? {
            match self.writer.poll_ready(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(ready) => ready?,
            }
        }
        Poll::Ready(Ok(()))
    }
}
