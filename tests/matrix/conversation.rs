//! One conversation between a socket of ours and one of another implementation: somebody sends
//! every shape, and it comes whole, in order and once.

use std::time::Duration;

use scale0::socket::{Event, Message, Monitor, Socket, SocketType};
use tokio::task::block_in_place;
use tokio::time::timeout;

use crate::mechanism::Mechanism;
use crate::process::Process;
use crate::role::{Implementation, Shape, describe};

/// Which of the two sockets binds.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Binds {
    Ours,
    Theirs,
}

/// A conversation to be had.
pub(crate) struct Conversation<'a> {
    pub(crate) with: &'a Implementation,
    pub(crate) mechanism: Mechanism,
    pub(crate) ours: SocketType,
    pub(crate) theirs: SocketType,
    pub(crate) binds: Binds,
    /// Where to bind.
    pub(crate) endpoint: &'a str,
    pub(crate) shapes: &'a [Shape],
}

/// Whose turn it is to send, as the types have it.
#[derive(Clone, Copy, Debug)]
enum Flow {
    /// We ask, they echo.
    Ask,
    /// They ask, we echo.
    Echo,
    /// We send, they take.
    Send,
    /// They send, we take.
    Take,
}

impl Conversation<'_> {
    /// Has it, within a minute.
    pub(crate) async fn hold(&self) {
        let Self {
            ours,
            theirs,
            binds,
            mechanism,
            ..
        } = self;
        let name = format!("{ours:?}-{theirs:?}, {binds:?} bind, {mechanism:?}");
        println!("{name}");
        timeout(PATIENCE, self.talk())
            .await
            .unwrap_or_else(|_| panic!("{name}: it takes for ever"));
    }

    async fn talk(&self) {
        let mut options = self.mechanism.options();
        if self.ours == SocketType::Router {
            options.identity = "ours".into();
            options.pattern.mandatory = true;
        }
        let socket = Socket::with(self.ours, options);
        let mut process = self.meet(&socket).await;
        if matches!(self.ours, SocketType::Sub | SocketType::Xsub) {
            socket.subscribe("").unwrap();
        }
        match self.flow() {
            Flow::Ask => self.ask(&socket).await,
            Flow::Echo => {
                for _ in self.shapes {
                    let message = socket.recv().await.unwrap();
                    socket.send(message).await.unwrap();
                }
                self.said(&mut process);
            }
            Flow::Send => {
                if publishes(self.ours) {
                    synchronize(&socket, &mut process).await;
                }
                for shape in self.shapes {
                    socket.send(shape.message()).await.unwrap();
                }
                self.said(&mut process);
            }
            Flow::Take => {
                if publishes(self.theirs) {
                    assert_eq!(socket.recv().await.unwrap().first(), Some(&b"sync"[..]));
                    process.say("go");
                }
                let mut shapes = self.shapes.iter();
                while shapes.len() > 0 {
                    let message = socket.recv().await.unwrap();
                    if message.first() != Some(b"sync") {
                        assert_eq!(describe(&message), shapes.next().unwrap().to_string());
                    }
                }
                assert!(matches!(socket.try_recv(), Ok(None)), "once, and no more");
            }
        }
        socket.close().await.unwrap();
    }

    /// Both sockets, on their way to each other.
    async fn meet(&self, socket: &Socket) -> Process {
        let mut words = vec![
            format!("type={}", self.theirs.name()),
            format!(
                "shapes={}",
                self.shapes
                    .iter()
                    .map(ToString::to_string)
                    .collect::<Vec<_>>()
                    .join(",")
            ),
        ];
        words.extend(self.mechanism.words());
        words.extend(self.words().iter().map(|&word| word.to_owned()));
        match self.binds {
            Binds::Ours => {
                let endpoint = socket.bind(self.endpoint).await.unwrap();
                words.push(format!("connect={endpoint}"));
                let mut process = self.with.start(&words);
                assert_eq!(line(&mut process), "connecting");
                process
            }
            Binds::Theirs => {
                words.push(format!("bind={}", self.endpoint));
                let mut process = self.with.start(&words);
                let bound = line(&mut process);
                let endpoint = bound.strip_prefix("bound ").unwrap();
                socket.connect(endpoint).unwrap();
                process
            }
        }
    }

    fn flow(&self) -> Flow {
        use SocketType::{Dealer, Pair, Pub, Push, Rep, Req, Router, Xpub};
        match (self.ours, self.theirs) {
            (Req | Pair, _) | (Dealer, Rep | Dealer | Router) | (Router, Router) => Flow::Ask,
            (Rep | Router, _) => Flow::Echo,
            (Pub | Xpub | Push, _) => Flow::Send,
            _ => Flow::Take,
        }
    }

    fn words(&self) -> &'static [&'static str] {
        match (self.flow(), self.theirs) {
            (Flow::Ask, SocketType::Router) => &["mode=echo", "identity=theirs"],
            (Flow::Ask, _) => &["mode=echo"],
            (Flow::Echo, SocketType::Dealer) => &["mode=ask", "delimiter=1"],
            (Flow::Echo, _) => &["mode=ask"],
            (Flow::Send, _) => &["mode=take", "topics="],
            (Flow::Take, _) => &["mode=send"],
        }
    }

    async fn ask(&self, socket: &Socket) {
        let head: Vec<&str> = match (self.ours, self.theirs) {
            (SocketType::Router, _) => vec!["theirs"],
            (SocketType::Dealer, SocketType::Rep) => vec![""],
            _ => vec![],
        };
        let check = |mut message: Message, shape: &Shape| {
            let found: Vec<_> = message
                .parts()
                .take(head.len())
                .map(<[u8]>::to_vec)
                .collect();
            assert_eq!(
                found,
                head.iter().map(|part| part.as_bytes()).collect::<Vec<_>>()
            );
            message.skip(head.len());
            assert_eq!(describe(&message), shape.to_string());
        };
        for shape in self.shapes {
            let mut message = shape.message();
            for part in head.iter().rev() {
                message = message.behind(part.as_bytes());
            }
            while let Err(error) = socket.send(message).await {
                // ROUTER: until it is connected.
                message = error.into_message();
                tokio::task::yield_now().await;
            }
            if self.ours == SocketType::Req {
                check(socket.recv().await.unwrap(), shape);
            }
        }
        if self.ours != SocketType::Req {
            for shape in self.shapes {
                check(socket.recv().await.unwrap(), shape);
            }
        }
        assert!(self.ours == SocketType::Req || matches!(socket.try_recv(), Ok(None)));
    }

    /// They say that they have got every shape.
    fn said(&self, process: &mut Process) {
        for shape in self.shapes {
            assert_eq!(line(process), shape.to_string());
        }
        assert_eq!(line(process), "done");
    }
}

/// Publishes until their subscription has arrived.
pub(crate) async fn synchronize(socket: &Socket, process: &mut Process) {
    loop {
        socket.send("sync").await.unwrap();
        if let Some(line) = process.try_line() {
            return assert_eq!(line, "synced");
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// A line, while our sockets go on.
pub(crate) fn line(process: &mut Process) -> String {
    block_in_place(|| process.line())
}

/// The next event that `wanted` picks.
pub(crate) async fn event<T>(monitor: &mut Monitor, wanted: impl Fn(&Event) -> Option<T>) -> T {
    let wait = async {
        loop {
            let event = monitor.next().await.unwrap();
            if let Some(picked) = wanted(&event) {
                return picked;
            }
        }
    };
    timeout(PATIENCE, wait).await.unwrap()
}

fn publishes(kind: SocketType) -> bool {
    matches!(kind, SocketType::Pub | SocketType::Xpub)
}

pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
