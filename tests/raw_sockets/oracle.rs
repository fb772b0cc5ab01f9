//! The good second peer: whatever others do to a socket, this one is served.

use std::time::{Duration, Instant};

use scale0::socket::{Endpoint, Message, Socket, SocketType};

use crate::peer::{Parts, Peer, parts, recv, soon, subscribe, until};

/// A well-behaved peer of the type that goes with the socket's.
#[derive(Debug)]
pub(crate) struct Good {
    at: Endpoint,
    /// None for PAIR, which has one peer at a time.
    peer: Option<Peer>,
    n: u32,
}

/// The type of peer that a socket type is tested with.
pub(crate) fn partner(kind: SocketType) -> SocketType {
    match kind {
        SocketType::Req => SocketType::Rep,
        SocketType::Rep => SocketType::Req,
        SocketType::Dealer => SocketType::Router,
        SocketType::Router => SocketType::Dealer,
        SocketType::Pub | SocketType::Xpub => SocketType::Sub,
        SocketType::Sub | SocketType::Xsub => SocketType::Pub,
        SocketType::Push => SocketType::Pull,
        SocketType::Pull => SocketType::Push,
        SocketType::Pair => SocketType::Pair,
    }
}

impl Good {
    /// Connects it, except for PAIR. SUB and XSUB subscribe to what it says.
    pub(crate) async fn new(socket: &Socket, at: &Endpoint) -> Self {
        let kind = socket.kind();
        if matches!(kind, SocketType::Sub | SocketType::Xsub) {
            socket.subscribe("good").unwrap();
        }
        let mut good = Self {
            at: at.clone(),
            peer: None,
            n: 0,
        };
        if kind != SocketType::Pair {
            good.peer = Some(good.open(kind).await);
        }
        good
    }

    async fn open(&self, kind: SocketType) -> Peer {
        let mut peer = Peer::open_as(&self.at, partner(kind), b"good").await;
        if matches!(kind, SocketType::Pub | SocketType::Xpub) {
            peer.write(&subscribe(b"good")).await;
        }
        peer.ping().await;
        peer
    }

    /// What the good peer gets next, besides what it is served.
    pub(crate) async fn next_is(&mut self, words: &[&str]) {
        let got = self.peer.as_mut().unwrap().recv().await;
        assert_eq!(got, words.iter().map(|w| w.as_bytes()).collect::<Vec<_>>());
    }

    /// A message, or a question and its answer, between the socket and this peer; whatever else
    /// the socket has to receive is passed over.
    pub(crate) async fn is_served(&mut self, socket: &Socket) {
        let since = Instant::now();
        let kind = socket.kind();
        self.n += 1;
        let words = vec![b"good".to_vec(), self.n.to_string().into_bytes()];
        let mut peer = match self.peer.take() {
            Some(peer) => peer,
            None => {
                // PAIR: whoever was there has to be forgotten first.
                until(|| socket.counters().peers == 0).await;
                self.open(kind).await
            }
        };
        match kind {
            SocketType::Pull | SocketType::Sub | SocketType::Xsub => {
                peer.send(&words).await;
                hears(socket, &words).await;
            }
            SocketType::Pair | SocketType::Dealer => {
                peer.send(&words).await;
                hears(socket, &words).await;
                reaches(socket, &mut peer, &words, &words).await;
            }
            SocketType::Push => reaches(socket, &mut peer, &words, &words).await,
            SocketType::Pub | SocketType::Xpub => {
                while kind == SocketType::Xpub && socket.try_recv().unwrap().is_some() {}
                socket.try_send(Message::new(&words)).unwrap();
                assert_eq!(soon(peer.recv()).await, words);
            }
            SocketType::Router => {
                peer.send(&words).await;
                let named = [vec![b"good".to_vec()], words.clone()].concat();
                hears(socket, &named).await;
                soon(socket.send(Message::new(&named))).await.unwrap();
                assert_eq!(peer.recv().await, words);
            }
            SocketType::Rep => {
                let asked = [vec![Vec::new()], words.clone()].concat();
                peer.send(&asked).await;
                while recv(socket).await != words {
                    soon(socket.send("to somebody else")).await.unwrap();
                }
                soon(socket.send(Message::new(&words))).await.unwrap();
                assert_eq!(peer.recv().await, asked);
            }
            SocketType::Req => {
                socket.configure(|options| options.pattern.relaxed = true);
                let asked = [vec![Vec::new()], words.clone()].concat();
                reaches(socket, &mut peer, &words, &asked).await;
                peer.send(&asked).await;
                assert_eq!(recv(socket).await, words);
                socket.configure(|options| options.pattern.relaxed = false);
            }
        }
        if kind == SocketType::Pair {
            peer.finish().await;
            peer.closed().await;
            until(|| socket.counters().peers == 0).await;
        } else {
            self.peer = Some(peer);
        }
        let took = since.elapsed();
        assert!(took < USUAL, "{kind:?}: the good peer waited {took:?}");
    }
}

/// The program receives that; others' messages may come before.
async fn hears(socket: &Socket, words: &Parts) {
    while recv(socket).await != *words {}
}

/// Messages are sent in turns until the good peer gets one.
async fn reaches(socket: &Socket, peer: &mut Peer, words: &Parts, arrives: &Parts) {
    soon(async {
        loop {
            socket.send(Message::new(words)).await.unwrap();
            if peer.hears_within(Duration::from_millis(50)).await {
                break;
            }
        }
    })
    .await;
    while peer.recv().await != *arrives {}
}

/// Whether a message is there already.
pub(crate) fn try_recv(socket: &Socket) -> Option<Parts> {
    socket.try_recv().unwrap().map(|message| parts(&message))
}

/// Far beyond what a round trip takes even when the machine is busy.
const USUAL: Duration = Duration::from_secs(5);
