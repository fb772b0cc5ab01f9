//! The tasks of the server: one that accepts at each endpoint, one for each connection.

use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::ReadBuf;
use tokio::sync::mpsc::UnboundedReceiver;

use super::shard::{Connection, End, LINGER, READ, Shard};
use super::wires::Parcel;
use crate::auth::{self, Authenticator, Request};
use crate::broker::PeerId;
use crate::net::{Address, Listener, ReadHalf};

/// Accepts connections for as long as it is let.
pub(super) async fn accept(shard: Rc<RefCell<Shard>>, listener: Listener) {
    let mut failing = false;
    let mut dealt = 0;
    loop {
        match listener.accept().await {
            Ok((reader, writer, address)) => {
                failing = false;
                let mut there = shard.borrow_mut();
                if !there.lets_in(address) {
                    continue;
                }
                dealt += 1;
                if let Some(to) = there.next_reader(dealt) {
                    there.deal(to, reader, writer, address);
                } else if let Some(id) = there.admit(writer, address) {
                    begin(&shard, id, reader, address);
                }
            }
            // Out of descriptors, mostly. The connection stays in the backlog; trying again at
            // once would spin.
            Err(error) => {
                if !std::mem::replace(&mut failing, true) {
                    tracing::warn!(endpoint = %listener.endpoint(), %error, "cannot accept connections for now");
                }
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Lets a connection have its task.
fn begin(shard: &Rc<RefCell<Shard>>, id: PeerId, reader: ReadHalf, address: Address) {
    let shard = Rc::clone(shard);
    tokio::task::spawn_local(async move {
        let ended = outcome(pin!(serve(&shard, id, reader))).await;
        let mut shard = shard.borrow_mut();
        match ended {
            // It has taken its place among all that are open along.
            Some(Served::Moved) => {}
            Some(Served::Over) => shard.released(address),
            None => {
                // First, for what follows a panic may panic again.
                shard.released(address);
                shard.finish(id, End::Panic);
                shard.remove(id);
            }
        }
    });
}

/// Takes what other threads hand over, for as long as it is let.
pub(super) async fn receive(shard: Rc<RefCell<Shard>>, mut inbox: UnboundedReceiver<Parcel>) {
    while let Some(parcel) = inbox.recv().await {
        let mut there = shard.borrow_mut();
        match parcel {
            Parcel::Letters(from, letters) => there.read_letters(from, letters),
            Parcel::Stream(stream, address) => {
                if let Some((id, reader)) = there.take_stream(stream, address) {
                    begin(&shard, id, reader, address);
                }
            }
            Parcel::Moved(moved) => {
                if let Some((id, reader, address)) = there.take_moved(*moved) {
                    begin(&shard, id, reader, address);
                }
            }
            Parcel::End => return,
        }
    }
}

/// Runs a future to its end; none if it panicked, after the panic was printed. One connection's
/// bug is not the others' business, but what the shard keeps of it has to go.
async fn outcome<T>(mut future: Pin<&mut impl Future<Output = T>>) -> Option<T> {
    poll_fn(|cx| {
        let polled = catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(cx)));
        polled.map_or(Poll::Ready(None), |poll| poll.map(Some))
    })
    .await
}

/// Reads one connection to its end. What is rare waits in a box of its own: all that an idle
/// connection's task could ever need would be most of its memory.
async fn serve(shard: &Rc<RefCell<Shard>>, id: PeerId, mut reader: ReadHalf) -> Served {
    loop {
        let next = poll_fn(|cx| poll(shard, id, &mut reader, cx)).await;
        match next {
            Next::Over => break,
            Next::Leaves => {
                shard.borrow_mut().depart(id, reader);
                return Served::Moved;
            }
            Next::Held => Box::pin(wait_held(shard, id, &reader)).await,
            Next::Asks(question) => Box::pin(ask(shard, id, &reader, *question)).await,
        }
    }
    let over = shard.borrow_mut().remove(id);
    if let Some(connection) = over
        && connection.end.as_ref().is_some_and(End::lingers)
    {
        // The peer may never take the last words: a second is all it gets.
        let parting = tokio::time::timeout(LINGER, part(connection, reader, shard));
        let _ = Box::pin(parting).await;
    }
    Served::Over
}

/// What became of a connection.
enum Served {
    Over,
    /// Another thread reads it from now on.
    Moved,
}

/// Lets somebody say whether the peer may come in.
async fn ask(shard: &Rc<RefCell<Shard>>, id: PeerId, reader: &ReadHalf, question: Question) {
    let (authenticator, request, limit) = question;
    // Dropping the question tells whoever answers it that the peer is gone.
    tokio::select! {
        verdict = auth::verdict(authenticator, request, limit) => {
            shard.borrow_mut().judged(id, verdict);
        }
        () = ended(shard, id) => {}
        () = hung_up(reader) => shard.borrow_mut().finish(id, End::Eof),
    }
}

enum Next {
    Over,
    /// To another thread.
    Leaves,
    Held,
    Asks(Box<Question>),
}

/// Whether a peer may come in: of whom that is asked, what, and how long the answer may take.
type Question = (Option<Arc<dyn Authenticator>>, Request, Duration);

/// One turn of a connection: everything that is there, up to a buffer full.
fn poll(
    shard: &Rc<RefCell<Shard>>,
    id: PeerId,
    reader: &mut ReadHalf,
    cx: &mut Context<'_>,
) -> Poll<Next> {
    let mut guard = shard.borrow_mut();
    let shard = &mut *guard;
    let rest = match shard.connection(id) {
        Some(connection) if !connection.held && connection.end.is_none() => shard.take_rest(id),
        _ => Vec::new(),
    };
    if !rest.is_empty() {
        shard.received(id, &rest);
    }
    let mut scratch = shard.take_scratch();
    let next = loop {
        let Some(connection) = shard.connection(id) else {
            break Poll::Ready(Next::Over);
        };
        if connection.end.is_some() {
            break Poll::Ready(Next::Over);
        }
        if connection.leaving.is_some() {
            break Poll::Ready(Next::Leaves);
        }
        if !connection
            .waker
            .as_ref()
            .is_some_and(|waker| waker.will_wake(cx.waker()))
        {
            connection.waker = Some(cx.waker().clone());
        }
        if connection.blocked && connection.writer.poll_ready(cx).is_ready() {
            connection.blocked = false;
            shard.touched(id);
            continue;
        }
        if connection.held {
            break Poll::Ready(Next::Held);
        }
        if let Some(credentials) = connection.asks.take() {
            let question = Box::new(shard.question(id, credentials));
            break Poll::Ready(Next::Asks(question));
        }
        if let Some(mut room) = connection.session.large() {
            // Straight to where it stays.
            match reader.poll_read_buf(cx, &mut room) {
                Poll::Pending => break Poll::Pending,
                Poll::Ready(Err(error)) => shard.finish(id, End::Io(error)),
                Poll::Ready(Ok(0)) => shard.finish(id, End::Eof),
                Poll::Ready(Ok(read)) => {
                    shard.received_large(id, read);
                    cx.waker().wake_by_ref();
                    break Poll::Pending;
                }
            }
            continue;
        }
        let behind = std::mem::take(&mut connection.behind_large);
        let room = if behind { HEADERS } else { READ };
        let mut buf = ReadBuf::new(scratch.get_mut(..room).unwrap_or_default());
        match reader.poll_read(cx, &mut buf) {
            Poll::Pending => break Poll::Pending,
            Poll::Ready(Err(error)) => shard.finish(id, End::Io(error)),
            Poll::Ready(Ok(())) if buf.filled().is_empty() => shard.finish(id, End::Eof),
            Poll::Ready(Ok(())) => {
                let filled = buf.filled().len();
                let full = filled == buf.capacity();
                let bytes = scratch.get(..filled).unwrap_or_default();
                shard.received(id, bytes);
                if full && !behind {
                    // There may be more, but others have waited.
                    cx.waker().wake_by_ref();
                    break Poll::Pending;
                }
            }
        }
    };
    shard.give_scratch(scratch);
    next
}

/// A connection that is held back is not read, but its end must not go unnoticed.
async fn wait_held(shard: &Rc<RefCell<Shard>>, id: PeerId, reader: &ReadHalf) {
    let changed = poll_fn(|cx| {
        let mut shard = shard.borrow_mut();
        let Some(connection) = shard.connection(id) else {
            return Poll::Ready(());
        };
        connection.waker = Some(cx.waker().clone());
        let writable = connection.blocked && connection.writer.poll_ready(cx).is_ready();
        if writable {
            connection.blocked = false;
            shard.touched(id);
            return Poll::Ready(());
        }
        if connection.held && connection.end.is_none() {
            Poll::Pending
        } else {
            Poll::Ready(())
        }
    });
    tokio::select! {
        () = changed => {}
        () = hung_up(reader) => shard.borrow_mut().finish(id, End::Eof),
    }
}

/// Waits until a connection is over for some reason of the broker's.
async fn ended(shard: &Rc<RefCell<Shard>>, id: PeerId) {
    poll_fn(|cx| {
        let mut shard = shard.borrow_mut();
        match shard.connection(id) {
            Some(connection) if connection.end.is_none() => {
                connection.waker = Some(cx.waker().clone());
                Poll::Pending
            }
            _ => Poll::Ready(()),
        }
    })
    .await;
}

/// Waits until the peer of a connection that is not read at present has closed it.
async fn hung_up(reader: &ReadHalf) {
    loop {
        match reader.closed().await {
            Ok(false) => tokio::time::sleep(HELD_LOOK).await,
            Ok(true) | Err(_) => return,
        }
    }
}

/// Says what is left to say, closes our side, and waits for the peer's, so that the system does
/// not throw the last words away.
async fn part(connection: Box<Connection>, mut reader: ReadHalf, shard: &Rc<RefCell<Shard>>) {
    let Connection {
        mut session,
        writer,
        ..
    } = *connection;
    loop {
        let now = shard.borrow().now();
        match writer.flush(now, &mut session) {
            Ok(true) => break,
            Ok(false) => {
                if poll_fn(|cx| writer.poll_ready(cx)).await.is_err() {
                    return;
                }
            }
            Err(_) => return,
        }
    }
    drop(writer);
    let mut sink = vec![0; SINK];
    loop {
        let mut buf = ReadBuf::new(&mut sink);
        let read = poll_fn(|cx| reader.poll_read(cx, &mut buf)).await;
        if read.is_err() || buf.filled().is_empty() {
            return;
        }
    }
}

const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
const HELD_LOOK: Duration = Duration::from_millis(500);
const SINK: usize = 4 << 10;
/// Behind a large message: the headers of the next one, and little of it that is copied.
const HEADERS: usize = 4 << 10;

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::task::{Wake, Waker};

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::runtime::{Builder, LocalOptions};

    use super::*;
    use crate::net::{Clock, Link, LinkError};
    use crate::server::{Config, Error, Server};
    use crate::session;
    use crate::wire::{Command, Endpoint, Greeting, MechanismName, Metadata, Piece, SocketType};

    /// Panics in whoever ends a turn, once.
    struct Trap(Waker);

    impl Wake for Trap {
        fn wake(self: Arc<Self>) {
            self.0.wake_by_ref();
            panic!("on purpose");
        }
    }

    async fn server() -> (Server, Rc<RefCell<Shard>>, Endpoint) {
        let mut config = Config {
            endpoints: vec!["tcp://127.0.0.1:0".parse().unwrap()],
            ..Config::default()
        };
        // No timer is earlier than those of a test's own.
        config.broker.limits.handshake_time = Duration::from_secs(3600);
        config.broker.limits.stall_time = Duration::from_secs(3600);
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
}
