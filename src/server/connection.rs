//! The tasks of the server: one that accepts at each endpoint, one for each connection.

use std::cell::RefCell;
use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::ReadBuf;
use tokio::sync::mpsc::UnboundedReceiver;

use super::panics::{caught, outcome};
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
        let served = async {
            // Our greeting goes out, and time runs.
            shard.borrow_mut().touched(id);
            serve(&shard, id, reader).await
        };
        match outcome(pin!(served)).await {
            // It has taken its place among all that are open along.
            Some(Served::Moved) => {}
            Some(Served::Over) => shard.borrow_mut().released(address),
            None => broken(&shard, id, address),
        }
    });
}

/// Nothing is left of a connection over which something panicked.
fn broken(shard: &Rc<RefCell<Shard>>, id: PeerId, address: Address) {
    // What follows a panic may panic again.
    let _ = caught(|| shard.borrow_mut().released(address));
    let _ = caught(|| {
        let mut shard = shard.borrow_mut();
        shard.finish(id, End::Panic);
        shard.remove(id);
    });
}

/// Takes what other threads hand over, for as long as it is let.
pub(super) async fn receive(shard: Rc<RefCell<Shard>>, mut inbox: UnboundedReceiver<Parcel>) {
    while let Some(parcel) = inbox.recv().await {
        match parcel {
            Parcel::Letters(from, letters) => shard.borrow_mut().read_letters(from, letters),
            Parcel::Stream(stream, address) => {
                let taken = shard.borrow_mut().take_stream(stream, address);
                if let Some((id, reader)) = taken {
                    begin(&shard, id, reader, address);
                }
            }
            Parcel::Moved(moved) => {
                let address = moved.address;
                let Some((id, reader, said)) = shard.borrow_mut().take_moved(*moved) else {
                    continue;
                };
                // What it has said is heard before anything that others say of it later.
                match caught(|| shard.borrow_mut().welcome(id, said)) {
                    Ok(()) => begin(&shard, id, reader, address),
                    Err(_) => broken(&shard, id, address),
                }
            }
            Parcel::Broken(id) => shard.borrow_mut().finish(id, End::Panic),
            Parcel::End => return,
        }
    }
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
            // Straight to where it stays; no more than a little at a time, so that whoever it is for
            // is written to meanwhile.
            room.set_limit(room.limit().min(LARGE));
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
/// Of a large message in one turn.
const LARGE: usize = 128 << 10;
/// Behind a large message: the headers of the next one, and little of it that is copied.
const HEADERS: usize = 4 << 10;
