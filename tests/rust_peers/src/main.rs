//! One socket of another Rust crate that plays a role: the words are explained in
//! `tests/matrix/role.rs`, the first one names the crate.

use std::collections::HashMap;
use std::io::Write;
use std::time::Duration;

use bytes::Bytes;
use rzmq::socket::options::{AUTO_DELIMITER, LAST_ENDPOINT, SUBSCRIBE};
use tokio::io::{AsyncBufReadExt, BufReader};
use zeromq::{Socket as _, SocketRecv, SocketSend};

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// A socket of any of the three.
enum Peer {
    Omq(omq_tokio::Socket),
    Rzmq(rzmq::Socket, #[allow(dead_code)] rzmq::Context),
    Zeromq(Zeromq),
}

enum Zeromq {
    Req(zeromq::ReqSocket),
    Rep(zeromq::RepSocket),
    Dealer(zeromq::DealerSocket),
    Router(zeromq::RouterSocket),
    Pub(zeromq::PubSocket),
    Sub(zeromq::SubSocket),
    Push(zeromq::PushSocket),
    Pull(zeromq::PullSocket),
}

impl Peer {
    async fn new(library: &str, words: &HashMap<String, String>) -> Result<Self, Failure> {
        let kind = words["type"].as_str();
        let peer = match library {
            "omq" => {
                use omq_tokio::SocketType::{Dealer, Pub, Pull, Push, Rep, Req, Router, Sub};
                let kind = match kind {
                    "REQ" => Req,
                    "REP" => Rep,
                    "DEALER" => Dealer,
                    "ROUTER" => Router,
                    "PUB" => Pub,
                    "SUB" => Sub,
                    "PUSH" => Push,
                    _ => Pull,
                };
                let socket = omq_tokio::Socket::new(kind, omq_tokio::Options::default());
                if kind == Sub {
                    socket.subscribe("").await?;
                }
                Self::Omq(socket)
            }
            "rzmq" => {
                use rzmq::SocketType::{Dealer, Pub, Pull, Push, Rep, Req, Router, Sub};
                let kind = match kind {
                    "REQ" => Req,
                    "REP" => Rep,
                    "DEALER" => Dealer,
                    "ROUTER" => Router,
                    "PUB" => Pub,
                    "SUB" => Sub,
                    "PUSH" => Push,
                    _ => Pull,
                };
                let context = rzmq::Context::new()?;
                let socket = context.socket(kind)?;
                match kind {
                    Dealer | Router => socket.set_option(AUTO_DELIMITER, false).await?,
                    Sub => socket.set_option_raw(SUBSCRIBE, b"").await?,
                    _ => {}
                }
                Self::Rzmq(socket, context)
            }
            "zeromq" => Self::Zeromq(match kind {
                "REQ" => Zeromq::Req(zeromq::ReqSocket::new()),
                "REP" => Zeromq::Rep(zeromq::RepSocket::new()),
                "DEALER" => Zeromq::Dealer(zeromq::DealerSocket::new()),
                "ROUTER" => Zeromq::Router(zeromq::RouterSocket::new()),
                "PUB" => Zeromq::Pub(zeromq::PubSocket::new()),
                "SUB" => Zeromq::Sub(zeromq::SubSocket::new()),
                "PUSH" => Zeromq::Push(zeromq::PushSocket::new()),
                _ => Zeromq::Pull(zeromq::PullSocket::new()),
            }),
            _ => return Err(format!("no {library}").into()),
        };
        Ok(peer)
    }

    async fn bind(&mut self, endpoint: &str) -> Result<String, Failure> {
        Ok(match self {
            Self::Omq(socket) => socket.bind(endpoint).await?.to_string(),
            Self::Rzmq(socket, _) => {
                socket.bind(endpoint).await?;
                let bound = String::from_utf8(socket.get_option(LAST_ENDPOINT).await?)?;
                bound.trim_end_matches('\0').to_owned()
            }
            Self::Zeromq(socket) => socket.meet(endpoint, true).await?,
        })
    }

    async fn connect(&mut self, endpoint: &str) -> Result<(), Failure> {
        match self {
            Self::Omq(socket) => drop(socket.connect(endpoint).await?),
            Self::Rzmq(socket, _) => socket.connect(endpoint).await?,
            Self::Zeromq(socket) => drop(socket.meet(endpoint, false).await?),
        }
        Ok(())
    }

    async fn send(&mut self, parts: Vec<Bytes>) -> Result<(), Failure> {
        match self {
            Self::Omq(socket) => socket.send(omq_tokio::Message::multipart(parts)).await?,
            Self::Rzmq(socket, _) => {
                let mut parts: Vec<_> = parts.into_iter().map(rzmq::Msg::from_bytes).collect();
                if parts.len() == 1 {
                    // The only way for its REQ, which has no messages of several parts.
                    return Ok(socket.send(parts.remove(0)).await?);
                }
                let most = parts.len() - 1;
                for part in &mut parts[..most] {
                    part.set_flags(rzmq::MsgFlags::MORE);
                }
                socket.send_multipart(parts).await?;
            }
            Self::Zeromq(socket) => {
                socket
                    .send(parts.try_into().map_err(|_| "no parts")?)
                    .await?
            }
        }
        Ok(())
    }

    async fn recv(&mut self) -> Result<Vec<Bytes>, Failure> {
        Ok(match self {
            Self::Omq(socket) => {
                let message = socket.recv().await?;
                message
                    .iter()
                    .map(|part| Bytes::copy_from_slice(part.as_ref()))
                    .collect()
            }
            Self::Rzmq(socket, _) => {
                let parts = socket.recv_multipart().await?;
                parts
                    .iter()
                    .map(|part| part.data_bytes().unwrap_or_default())
                    .collect()
            }
            Self::Zeromq(socket) => socket.recv().await?.into_vec(),
        })
    }
}

macro_rules! each {
    ($self:ident, $socket:ident => $act:expr; $($kind:ident)*) => {
        match $self {
            $(Self::$kind($socket) => $act,)*
            #[allow(unreachable_patterns)]
            _ => return Err("not with this type".into()),
        }
    };
}

impl Zeromq {
    async fn meet(&mut self, endpoint: &str, bind: bool) -> Result<String, Failure> {
        let at = each!(self, socket => if bind {
            socket.bind(endpoint).await?.to_string()
        } else {
            socket.connect(endpoint).await?;
            String::new()
        }; Req Rep Dealer Router Pub Sub Push Pull);
        if let Self::Sub(socket) = self {
            socket.subscribe("").await?;
        }
        Ok(at)
    }

    async fn send(&mut self, message: zeromq::ZmqMessage) -> Result<(), Failure> {
        let mut message = message;
        loop {
            let sent = each!(self, socket => socket.send(message).await; Req Rep Dealer Router Pub Push);
            match sent {
                // It does not wait for a peer that connects to it.
                Err(zeromq::ZmqError::ReturnToSender { message: back, .. }) => {
                    message = back;
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
                sent => return Ok(sent?),
            }
        }
    }

    async fn recv(&mut self) -> Result<zeromq::ZmqMessage, Failure> {
        Ok(each!(self, socket => socket.recv().await?; Req Rep Dealer Router Sub Pull))
    }
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> Result<(), Failure> {
    let mut arguments = std::env::args().skip(1);
    let library = arguments.next().ok_or("which crate?")?;
    let words: HashMap<String, String> = arguments
        .filter_map(|word| {
            let (name, value) = word.split_once('=')?;
            Some((name.to_owned(), value.to_owned()))
        })
        .collect();
    let mut peer = Peer::new(&library, &words).await?;
    match (words.get("bind"), words.get("connect")) {
        (Some(endpoint), _) => say(&format!("bound {}", peer.bind(endpoint).await?))?,
        (_, Some(endpoint)) => {
            peer.connect(endpoint).await?;
            say("connecting")?;
        }
        _ => return Err("bind or connect?".into()),
    }
    play(&mut peer, &words).await?;
    say("done")?;
    // Whatever the crate does when it is dropped, what was sent has to leave first: whoever
    // started us kills us when it has come.
    std::future::pending().await
}

async fn play(peer: &mut Peer, words: &HashMap<String, String>) -> Result<(), Failure> {
    let shapes: Vec<(usize, usize)> = words["shapes"]
        .split(',')
        .filter_map(|shape| {
            let (size, parts) = shape.split_once('x')?;
            Some((size.parse().ok()?, parts.parse().ok()?))
        })
        .collect();
    let pattern = Bytes::from(
        (0..1_usize << 16)
            .map(|i| ((i * 31 + (i >> 8) * 7) & 255) as u8)
            .collect::<Vec<u8>>()
            .repeat(3),
    );
    let head = usize::from(words.contains_key("delimiter"));
    let shaped = |(size, parts): (usize, usize)| {
        let body = (0..parts).map(|n| pattern.slice(n..n + size));
        std::iter::repeat_n(Bytes::new(), head)
            .chain(body)
            .collect::<Vec<_>>()
    };
    let describe = |message: &[Bytes]| {
        let size = message.first().map_or(0, Bytes::len);
        let whole = message
            .iter()
            .enumerate()
            .all(|(n, part)| *part == pattern[n..n + size]);
        let lens: Vec<usize> = message.iter().map(Bytes::len).collect();
        if whole {
            format!("{size}x{}", message.len())
        } else {
            format!("BAD {lens:?}")
        }
    };
    match words["mode"].as_str() {
        "echo" => loop {
            let message = peer.recv().await?;
            peer.send(message).await?;
        },
        "ask" => {
            for shape in shapes {
                peer.send(shaped(shape)).await?;
                let reply = peer.recv().await?;
                say(&describe(reply.get(head..).unwrap_or_default()))?;
            }
        }
        "send" => {
            if words["type"] == "PUB" {
                let mut lines = BufReader::new(tokio::io::stdin()).lines();
                let mut told = std::pin::pin!(lines.next_line());
                while tokio::time::timeout(Duration::from_millis(5), &mut told)
                    .await
                    .is_err()
                {
                    peer.send(vec![Bytes::from_static(b"sync")]).await?;
                }
            }
            for shape in shapes {
                peer.send(shaped(shape)).await?;
            }
        }
        "take" => {
            let (mut left, mut synced) = (shapes.len(), false);
            while left > 0 {
                let message = peer.recv().await?;
                if message == [&b"sync"[..]] {
                    if !synced {
                        say("synced")?;
                    }
                    synced = true;
                } else {
                    say(&describe(&message))?;
                    left -= 1;
                }
            }
        }
        mode => return Err(format!("no {mode}").into()),
    }
    Ok(())
}

fn say(line: &str) -> Result<(), Failure> {
    let mut out = std::io::stdout();
    writeln!(out, "{line}")?;
    Ok(out.flush()?)
}
