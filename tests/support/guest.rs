//! A peer that speaks a mechanism, over a stream of its own: a session says what it has to, as far
//! and as fast as the test lets it. And those who decide whether it may come in, in any mood.

use std::future::Future;
use std::io::{self, IoSlice};
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use scale0::auth::{Authenticator, Request};
use scale0::security::curve::{KeyPair, SecretKey};
use scale0::security::{Credentials, Security, User, Verdict};
use scale0::session::{Config, Error, Heard, Session};
use scale0::time::Time;
use scale0::wire::{Greeting, MechanismName, SocketType};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

pub(crate) fn keys(seed: u8) -> KeyPair {
    KeyPair::new(SecretKey::from_bytes([seed; 32]))
}

/// The server's side of CURVE.
pub(crate) fn curve_server() -> Security {
    Security::CurveServer { own: keys(SERVER) }
}

/// A client's side, with that key.
pub(crate) fn curve_client(own: u8) -> Security {
    Security::CurveClient {
        own: keys(own),
        server: keys(SERVER).public,
    }
}

pub(crate) fn plain_client(user: &str, password: &str) -> Security {
    Security::PlainClient {
        user: user.to_owned().into(),
        password: password.as_bytes().to_vec().into(),
    }
}

/// Greeting and HELLO of a CURVE client.
pub(crate) fn hello(own: u8) -> Vec<u8> {
    let mut session = session(curve_client(own));
    let greeting = Greeting {
        minor: 1,
        mechanism: MechanismName::CURVE,
        as_server: true,
    };
    let heard = session.receive(Time::ZERO, &mut &greeting.write()[..]);
    assert_eq!(heard, Ok(None));
    drain(&mut session)
}

fn session(security: Security) -> Session {
    let config = Config {
        security,
        ..Config::new(SocketType::Dealer)
    };
    Session::new(Time::ZERO, Arc::new(config), seed())
}

/// Different for each session; nobody has to be kept from guessing it here.
fn seed() -> [u8; 32] {
    static NEXT: AtomicUsize = AtomicUsize::new(1);
    let mut seed = [0; 32];
    let number = NEXT.fetch_add(1, Ordering::Relaxed).to_le_bytes();
    seed[..number.len()].copy_from_slice(&number);
    seed
}

fn drain(session: &mut Session) -> Vec<u8> {
    let mut out = Vec::new();
    loop {
        let mut slices = [IoSlice::new(&[]); 3];
        let filled = session.chunks(&mut slices);
        let bytes = slices[..filled].iter().flat_map(|slice| slice.iter());
        let bytes: Vec<u8> = bytes.copied().collect();
        if bytes.is_empty() {
            return out;
        }
        session.wrote(Time::ZERO, bytes.len());
        out.extend(bytes);
    }
}

/// One connection.
#[derive(Debug)]
pub(crate) struct Guest {
    pub(crate) stream: TcpStream,
    session: Session,
}

/// How a connection ended for its guest.
#[derive(Debug)]
pub(crate) enum End {
    /// Without a word.
    Closed,
    /// With words, or for what was said.
    Session(Error),
}

/// Connects from an address of this machine.
pub(crate) async fn dial_from(from: Ipv4Addr, at: SocketAddr) -> io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(SocketAddr::new(from.into(), 0))?;
    let dialed = tokio::time::timeout(PATIENCE, socket.connect(at)).await;
    dialed.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
}

impl Guest {
    /// Connects and says nothing yet.
    pub(crate) async fn dial(at: SocketAddr, security: Security) -> io::Result<Self> {
        Self::dial_from(Ipv4Addr::LOCALHOST, at, security).await
    }

    pub(crate) async fn dial_from(
        from: Ipv4Addr,
        at: SocketAddr,
        security: Security,
    ) -> io::Result<Self> {
        let stream = dial_from(from, at).await?;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream,
            session: session(security),
        })
    }

    /// Says what there is to say, in so many bytes at a time.
    pub(crate) async fn say(&mut self, step: usize) -> Result<(), End> {
        for piece in drain(&mut self.session).chunks(step) {
            self.stream
                .write_all(piece)
                .await
                .map_err(|_| End::Closed)?;
        }
        Ok(())
    }

    /// Takes what there is to say, for the test to say something else.
    pub(crate) fn mute(&mut self) -> Vec<u8> {
        drain(&mut self.session)
    }

    /// Says what there is to say and waits for what comes of it; `None` if more has to come.
    pub(crate) async fn turn(&mut self, step: usize) -> Result<Option<Heard>, End> {
        self.say(step).await?;
        let mut bytes = [0; 4 << 10];
        let read = tokio::time::timeout(PATIENCE, self.stream.read(&mut bytes)).await;
        let n = read
            .expect("an answer or an end")
            .map_err(|_| End::Closed)?;
        if n == 0 {
            return Err(End::Closed);
        }
        let mut input = &bytes[..n];
        let mut last = None;
        while let Some(heard) = self
            .session
            .receive(Time::ZERO, &mut input)
            .map_err(End::Session)?
        {
            last = Some(heard);
        }
        Ok(last)
    }

    /// The whole handshake.
    pub(crate) async fn shake(&mut self) -> Result<(), End> {
        self.shake_in_steps(usize::MAX).await
    }

    pub(crate) async fn shake_in_steps(&mut self, step: usize) -> Result<(), End> {
        while !self.session.is_open() {
            self.turn(step).await?;
        }
        Ok(())
    }

    /// Waits until the other side closes. Our own stays open all the while.
    pub(crate) async fn closed(&mut self) {
        let mut bytes = [0; 4 << 10];
        let end = async { while matches!(self.stream.read(&mut bytes).await, Ok(1..)) {} };
        tokio::time::timeout(PATIENCE, end)
            .await
            .expect("it is closed some time");
    }
}

/// What becomes of strangers.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Mood {
    Deny,
    Fail,
    Later,
    /// Admits them, after this long.
    Late(Duration),
    Never,
    Panic,
    PanicAtOnce,
}

/// Admits those it knows at once, whatever it does with others.
#[derive(Debug)]
pub(crate) struct Guard {
    mood: Mood,
    /// Questions about strangers, and how many of them nobody waits for any more.
    pub(crate) asked: Arc<AtomicUsize>,
    pub(crate) left: Arc<AtomicUsize>,
    revoked: Mutex<Vec<User>>,
    pub(crate) breaks_later: AtomicBool,
}

impl Guard {
    pub(crate) fn new(mood: Mood) -> Arc<Self> {
        Arc::new(Self {
            mood,
            asked: Arc::default(),
            left: Arc::default(),
            revoked: Mutex::default(),
            breaks_later: AtomicBool::new(false),
        })
    }

    pub(crate) fn revoke(&self, name: &str) {
        let user = user(name);
        self.revoked.lock().unwrap().push(user);
    }

    /// Nobody is revoked any more, and nothing breaks.
    pub(crate) fn pardon(&self) {
        self.revoked.lock().unwrap().clear();
        self.breaks_later.store(false, Ordering::Relaxed);
    }

    pub(crate) fn asked(&self) -> usize {
        self.asked.load(Ordering::Relaxed)
    }

    pub(crate) fn left(&self) -> usize {
        self.left.load(Ordering::Relaxed)
    }
}

/// Somebody who was let in under that name.
fn user(name: &str) -> User {
    User {
        name: name.to_owned().into(),
        key: None,
    }
}

impl Authenticator for Guard {
    fn check(&self, request: Request) -> Pin<Box<dyn Future<Output = Verdict> + Send>> {
        let known = match &request.credentials {
            Credentials::Plain { user, password } => {
                (user == "ann" && password[..] == *b"secret").then_some("ann")
            }
            Credentials::Curve { key } if *key == keys(ANN).public => Some("ann"),
            Credentials::Curve { key } if *key == keys(BOB).public => Some("bob"),
            _ => None,
        };
        if let Some(name) = known {
            return Box::pin(std::future::ready(Verdict::Admit(user(name))));
        }
        self.asked.fetch_add(1, Ordering::Relaxed);
        let (mood, leaving) = (self.mood, Leaving(Arc::clone(&self.left)));
        assert!(mood != Mood::PanicAtOnce, "on purpose, before the question");
        Box::pin(async move {
            let _leaving = leaving;
            match mood {
                Mood::Deny => Verdict::Deny,
                Mood::Fail => Verdict::Fail,
                Mood::Later => Verdict::Later,
                Mood::Late(time) => {
                    tokio::time::sleep(time).await;
                    Verdict::Admit(user("late"))
                }
                Mood::Never => std::future::pending().await,
                Mood::Panic | Mood::PanicAtOnce => {
                    tokio::task::yield_now().await;
                    panic!("on purpose, in the middle of a question");
                }
            }
        })
    }

    fn admits_still(&self, user: &User) -> bool {
        let breaks = self.breaks_later.load(Ordering::Relaxed);
        assert!(!breaks || user.name != "bob", "on purpose, about bob");
        !self.revoked.lock().unwrap().contains(user)
    }
}

struct Leaving(Arc<AtomicUsize>);

impl Drop for Leaving {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// Seeds of keys: the server's, those of two whom the guard knows, and a stranger's.
pub(crate) const SERVER: u8 = 4;
pub(crate) const ANN: u8 = 3;
pub(crate) const BOB: u8 = 5;
pub(crate) const STRANGER: u8 = 9;

const PATIENCE: Duration = Duration::from_secs(30);
