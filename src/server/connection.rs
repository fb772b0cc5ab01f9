//! The tasks of the server: one that accepts at each endpoint, one for each connection.

use std::cell::RefCell;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::ReadBuf;

use super::shard::{Connection, End, LINGER, Shard};
use crate::broker::PeerId;
use crate::net::{Listener, ReadHalf};

/// Accepts connections for as long as it is let.
pub(super) async fn accept(shard: Rc<RefCell<Shard>>, listener: Listener) {
    let mut failing = false;
    loop {
        match listener.accept().await {
            Ok((reader, writer, address)) => {
                failing = false;
                let admitted = shard.borrow_mut().admit(writer, address);
                let Some(id) = admitted else {
                    continue;
                };
                let shard = Rc::clone(&shard);
                tokio::task::spawn_local(async move {
                    serve(&shard, id, reader).await;
                    shard.borrow_mut().released(address);
                });
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

/// Reads one connection to its end.
async fn serve(shard: &Rc<RefCell<Shard>>, id: PeerId, mut reader: ReadHalf) {
    loop {
        let next = poll_fn(|cx| poll(shard, id, &mut reader, cx)).await;
        match next {
            Next::Over => break,
            Next::Held => wait_held(shard, id, &reader).await,
        }
    }
    let over = shard.borrow_mut().remove(id);
    if let Some(connection) = over
        && connection.end.as_ref().is_some_and(End::lingers)
    {
        // The peer may never take the last words: a second is all it gets.
        let _ = tokio::time::timeout(LINGER, part(*connection, reader, shard)).await;
    }
}

enum Next {
    Over,
    Held,
}

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
        let mut buf = ReadBuf::new(&mut scratch);
        match reader.poll_read(cx, &mut buf) {
            Poll::Pending => break Poll::Pending,
            Poll::Ready(Err(error)) => shard.finish(id, End::Io(error)),
            Poll::Ready(Ok(())) if buf.filled().is_empty() => shard.finish(id, End::Eof),
            Poll::Ready(Ok(())) => {
                let filled = buf.filled().len();
                let full = filled == buf.capacity();
                let bytes = scratch.get(..filled).unwrap_or_default();
                shard.received(id, bytes);
                if full {
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
    let closed = async {
        loop {
            match reader.closed().await {
                Ok(false) => tokio::time::sleep(HELD_LOOK).await,
                Ok(true) | Err(_) => return,
            }
        }
    };
    tokio::select! {
        () = changed => {}
        () = closed => shard.borrow_mut().finish(id, End::Eof),
    }
}

/// Says what is left to say, closes our side, and waits for the peer's, so that the system does
/// not throw the last words away.
async fn part(connection: Connection, mut reader: ReadHalf, shard: &Rc<RefCell<Shard>>) {
    let Connection {
        mut session,
        writer,
        ..
    } = connection;
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
