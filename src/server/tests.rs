//! What only shows from inside a server.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Wake, Waker};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::runtime::{Builder, LocalOptions};

use super::panics::caught;
use super::shard::Shard;
use super::{Config, Error, Server};
use crate::broker::Action;
use crate::net::{Clock, Link, LinkError};
use crate::session::{self, Heard};
use crate::spread::{Letter, home};
use crate::time::Time;
use crate::wire::{
    Command, Endpoint, Greeting, MechanismName, Message, Metadata, Piece, SocketType,
};

/// Panics in whoever ends a turn, once.
struct Trap(Waker);

impl Wake for Trap {
    fn wake(self: Arc<Self>) {
        self.0.wake_by_ref();
        panic!("on purpose");
    }
}

async fn server() -> (Server, Rc<RefCell<Shard>>, Endpoint) {
    server_of(1).await
}

/// With so many threads; what is given is the first one's.
async fn server_of(threads: usize) -> (Server, Rc<RefCell<Shard>>, Endpoint) {
    let mut config = Config {
        endpoints: vec!["tcp://127.0.0.1:0".parse().unwrap()],
        threads,
        ..Config::default()
    };
    // No timer is earlier than those of a test's own.
    config.broker.limits.handshake_time = Duration::from_secs(3600);
    config.broker.limits.stall_time = Duration::from_secs(3600);
    config.broker.heartbeat = Duration::from_secs(3600);
    config.broker.majordomo_heartbeat = Duration::from_secs(3600);
    let server = Server::bind(config).await.unwrap();
    let endpoint = server.endpoints().next().unwrap().clone();
    let shard = Rc::clone(&server.shard);
    (server, shard, endpoint)
}

fn run(test: impl Future<Output = ()>) {
    let runtime = Builder::new_current_thread()
        .enable_all()
        .build_local(LocalOptions::default());
    let bounded = async { tokio::time::timeout(Duration::from_secs(60), test).await };
    runtime.unwrap().block_on(bounded).unwrap();
}

async fn open(endpoint: &Endpoint) -> Result<Link, LinkError> {
    let config = Arc::new(session::Config::new(SocketType::Dealer));
    Link::open(endpoint, config, Clock::start()).await
}

/// The waker of the task that ends the turns, once it waits.
async fn between_turns(shard: &Rc<RefCell<Shard>>) -> Waker {
    loop {
        if let Some(turn) = shard.borrow_mut().take_turn() {
            return turn;
        }
        tokio::task::yield_now().await;
    }
}

#[test]
#[allow(clippy::indexing_slicing, reason = "a test may")]
fn a_peer_whose_pings_state_shorter_and_shorter_ttls_leaves_no_timers_behind() {
    run(async {
        let (server, shard, endpoint) = server().await;
        tokio::task::spawn_local(server.run(std::future::pending()));
        let address = endpoint.to_string().replace("tcp://", "");
        let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
        let greeting = Greeting {
            minor: 1,
            mechanism: MechanismName::NULL,
            as_server: false,
        };
        let mut hello = greeting.write().to_vec();
        Command::write(
            Command::READY,
            &Metadata::of(SocketType::Dealer).write(),
            &mut hello,
        );
        stream.write_all(&hello).await.unwrap();
        // Theirs, and the header of their READY.
        let mut theirs = [0; Greeting::LEN + 2];
        stream.read_exact(&mut theirs).await.unwrap();
        let mut ready = vec![0; theirs[Greeting::LEN + 1].into()];
        stream.read_exact(&mut ready).await.unwrap();
        for tenths in (6000..6400_u16).rev() {
            let mut ping = Vec::new();
            Command::write(Command::PING, &tenths.to_be_bytes(), &mut ping);
            stream.write_all(&ping).await.unwrap();
            // Its answer: the broker has read this one by itself.
            stream.read_exact(&mut [0; 7]).await.unwrap();
        }
        assert!(shard.borrow().timers() < 100);
    });
}

#[test]
fn a_panic_in_one_connections_task_ends_that_connection_only() {
    run(async {
        let (server, shard, endpoint) = server().await;
        tokio::task::spawn_local(server.run(std::future::pending()));
        let mut first = open(&endpoint).await.unwrap();
        let turn = between_turns(&shard).await;
        shard.borrow_mut().set_turn(Arc::new(Trap(turn)).into());
        first.send(&[Piece::Part(b"x")]).unwrap();
        assert!(first.heard(usize::MAX).await.is_err(), "closed");
        assert_eq!(shard.borrow().connections(), (0, 0));
        let _second = open(&endpoint).await.unwrap();
        assert_eq!(shard.borrow().connections(), (1, 1));
    });
}

#[test]
fn a_panic_over_a_stream_that_has_just_come_ends_that_connection_only() {
    run(async {
        let (server, shard, endpoint) = server().await;
        tokio::task::spawn_local(server.run(std::future::pending()));
        let turn = between_turns(&shard).await;
        shard.borrow_mut().set_turn(Arc::new(Trap(turn)).into());
        assert!(open(&endpoint).await.is_err(), "closed");
        assert_eq!(shard.borrow().connections(), (0, 0));
        let _second = open(&endpoint).await.unwrap();
        assert_eq!(shard.borrow().connections(), (1, 1));
    });
}

#[test]
#[allow(
    clippy::await_holding_refcell_ref,
    reason = "the task that accepts panics"
)]
fn a_listener_that_has_panicked_is_an_error_of_the_server() {
    run(async {
        let (server, shard, endpoint) = server().await;
        let running = tokio::task::spawn_local(server.run(std::future::pending()));
        drop(between_turns(&shard).await);
        let address = endpoint.to_string().replace("tcp://", "");
        let borrowed = shard.borrow_mut();
        let _stream = tokio::net::TcpStream::connect(address).await.unwrap();
        let ended = running.await.unwrap();
        drop(borrowed);
        assert!(matches!(ended, Err(Error::Panicked)));
    });
}

#[test]
#[allow(
    clippy::await_holding_refcell_ref,
    reason = "the task that needs it panics"
)]
fn a_panic_in_the_task_that_ends_the_turns_is_an_error_of_the_server() {
    run(async {
        let (server, shard, _) = server().await;
        let running = tokio::task::spawn_local(server.run(std::future::pending()));
        let turn = between_turns(&shard).await;
        let borrowed = shard.borrow_mut();
        turn.wake();
        let ended = running.await.unwrap();
        drop(borrowed);
        assert!(matches!(ended, Err(Error::Panicked)));
    });
}

/// A service that is at home there.
fn service(shard: usize) -> String {
    let mut names = (0..).map(|n| format!("service-{n}"));
    let at_home = |name: &String| home(&name.as_str().into(), 2) == shard;
    names.find(at_home).unwrap()
}

async fn send(link: &mut Link, parts: &[&[u8]]) {
    let pieces: Vec<Piece<'_>> = parts.iter().map(|part| Piece::Part(part)).collect();
    link.send(&pieces).unwrap();
    link.flush().await.unwrap();
}

/// The parts of the next message; none if the connection has ended.
async fn next(link: &mut Link) -> Option<Vec<Vec<u8>>> {
    loop {
        match link.heard(usize::MAX).await {
            Ok(Some(Heard::Message(message))) => {
                let parts = |message: &Message| message.parts().map(<[u8]>::to_vec).collect();
                return Some(parts(&message));
            }
            Ok(_) => {}
            Err(_) => return None,
        }
    }
}

async fn ask(link: &mut Link, service: &str, body: &str) {
    let mut head = b"S0\x01\x01\0".to_vec();
    head.push(u8::try_from(service.len()).unwrap());
    head.extend_from_slice(&[0; 6]);
    head.extend_from_slice(&1_u64.to_be_bytes());
    head.extend_from_slice(service.as_bytes());
    send(link, &[&head, body.as_bytes()]).await;
}

/// The body of a REPLY.
async fn reply(link: &mut Link) -> Option<String> {
    let parts = next(link).await?;
    assert_eq!(parts.first()?.get(3), Some(&2), "{parts:?}");
    Some(String::from_utf8_lossy(parts.get(1)?).into_owned())
}

/// Whether somebody offers it; who asks that first is read by its home from then on.
async fn status(link: &mut Link, service: &str) -> Option<String> {
    ask(link, "mmi.service", service).await;
    reply(link).await
}

/// A client whose connection is read there.
async fn client_at(endpoint: &Endpoint, shard: usize) -> Link {
    let mut link = open(endpoint).await.unwrap();
    assert!(status(&mut link, &service(shard)).await.is_some());
    link
}

/// A Majordomo worker of the service that is at home there.
async fn worker_at(endpoint: &Endpoint, shard: usize) -> Link {
    let mut link = open(endpoint).await.unwrap();
    let offered = service(shard);
    send(&mut link, &[b"", b"MDPW01", b"\x01", offered.as_bytes()]).await;
    let mut client = client_at(endpoint, shard).await;
    while status(&mut client, &offered).await.unwrap() != "200" {}
    link
}

/// Its next request.
async fn request(worker: &mut Link) -> Vec<Vec<u8>> {
    let request = next(worker).await.unwrap();
    assert_eq!(request.get(2).map(Vec::as_slice), Some(&b"\x02"[..]));
    request
}

/// Gives a request's body back.
async fn echo(worker: &mut Link, mut request: Vec<Vec<u8>>) {
    *request.get_mut(2).unwrap() = b"\x03".to_vec();
    let parts: Vec<&[u8]> = request.iter().map(Vec::as_slice).collect();
    send(worker, &parts).await;
}

/// The first thread panics over the next connection that it has something to do for.
async fn set_trap(shard: &Rc<RefCell<Shard>>) {
    let turn = between_turns(shard).await;
    shard.borrow_mut().set_turn(Arc::new(Trap(turn)).into());
}

#[test]
fn a_panic_over_a_letter_about_another_threads_connection_ends_that_connection_only() {
    run(async {
        let (server, shard, endpoint) = server_of(2).await;
        tokio::task::spawn_local(server.run(std::future::pending()));
        let worker = worker_at(&endpoint, 0).await;
        let mut guilty = client_at(&endpoint, 1).await;
        let mut other = client_at(&endpoint, 1).await;
        set_trap(&shard).await;
        ask(&mut guilty, &service(0), "x").await;
        assert!(next(&mut guilty).await.is_none(), "closed");
        // The worker has not, and others are answered there as before.
        let there = status(&mut other, &service(0)).await;
        assert_eq!(there.unwrap(), "200");
        drop(worker);
        while status(&mut other, &service(0)).await.unwrap() != "404" {}
    });
}

#[test]
fn a_panic_over_a_letter_about_an_own_connection_ends_that_connection_only() {
    run(async {
        let (server, shard, endpoint) = server_of(2).await;
        tokio::task::spawn_local(server.run(std::future::pending()));
        let mut worker = worker_at(&endpoint, 1).await;
        let mut guilty = client_at(&endpoint, 0).await;
        let mut other = client_at(&endpoint, 0).await;
        ask(&mut guilty, &service(1), "x").await;
        let asked = request(&mut worker).await;
        set_trap(&shard).await;
        echo(&mut worker, asked).await;
        assert!(next(&mut guilty).await.is_none(), "closed");
        ask(&mut other, &service(1), "still here").await;
        let asked = request(&mut worker).await;
        echo(&mut worker, asked).await;
        assert_eq!(reply(&mut other).await.unwrap(), "still here");
        assert_eq!(shard.borrow().connections(), (1, 1));
    });
}

#[test]
fn a_panic_over_a_connection_that_has_just_moved_ends_that_connection_only() {
    run(async {
        let (server, shard, endpoint) = server_of(2).await;
        tokio::task::spawn_local(server.run(std::future::pending()));
        // Streams are dealt out in turn: this one to the other thread.
        let mut guilty = open(&endpoint).await.unwrap();
        let mut other = client_at(&endpoint, 0).await;
        assert_eq!(shard.borrow().connections(), (1, 1));
        set_trap(&shard).await;
        ask(&mut guilty, "mmi.service", &service(0)).await;
        assert!(next(&mut guilty).await.is_none(), "closed");
        assert_eq!(shard.borrow().connections(), (1, 1));
        assert_eq!(status(&mut other, &service(0)).await.unwrap(), "404");
    });
}

#[test]
fn a_panic_over_a_letter_that_is_about_no_connection_is_not_survived() {
    run(async {
        let (server, shard, endpoint) = server_of(2).await;
        tokio::task::spawn_local(server.run(std::future::pending()));
        let _there = client_at(&endpoint, 0).await;
        set_trap(&shard).await;
        let until = Time::ZERO;
        let letter = Letter::Act(Box::new(Action::Drained { until }));
        let read = caught(|| shard.borrow_mut().read_letters(1, vec![letter]));
        assert!(read.is_err(), "it ends who reads it, and so the process");
    });
}
