//! Pipes between sockets of one process: two bounded queues, and the names that sockets are
//! bound to. All sockets of a process share one space of names.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use bytes::Bytes;

use super::hub::Hub;
use super::ready::Bell;
use crate::wire::{Message, Metadata};

/// What goes through a pipe.
#[derive(Debug)]
pub(super) enum Item {
    Message(Message),
    Subscription { on: bool, topic: Bytes },
}

/// One side's hold on a pipe; dropping it ends the pipe for both.
#[derive(Debug)]
pub(super) struct End {
    out: Arc<Mutex<Queue>>,
    inward: Arc<Mutex<Queue>>,
    /// What the other side says of itself.
    pub(super) peer: Metadata,
}

#[derive(Debug, Default)]
struct Queue {
    items: VecDeque<Item>,
    messages: usize,
    bytes: usize,
    /// Zero for no bound.
    most: usize,
    most_bytes: usize,
    conflate: bool,
    closed: bool,
    reader: Option<Arc<Bell>>,
    writer: Option<Arc<Bell>>,
    /// The writer found it full.
    wanted: bool,
}

/// What one direction may hold: the bounds of both sides together.
#[derive(Clone, Copy, Debug)]
pub(super) struct Room {
    pub(super) messages: usize,
    pub(super) bytes: usize,
    pub(super) conflate: bool,
}

/// A pipe's two ends. Each side comes with its bell, what it says of itself, and the room in the
/// direction to it.
pub(super) fn pair(a: (Arc<Bell>, Metadata, Room), b: (Arc<Bell>, Metadata, Room)) -> (End, End) {
    let queue = |room: Room, reader: &Arc<Bell>, writer: &Arc<Bell>| {
        Arc::new(Mutex::new(Queue {
            most: room.messages,
            most_bytes: room.bytes,
            conflate: room.conflate,
            reader: Some(Arc::clone(reader)),
            writer: Some(Arc::clone(writer)),
            ..Queue::default()
        }))
    };
    let (to_a, to_b) = (queue(a.2, &a.0, &b.0), queue(b.2, &b.0, &a.0));
    let end_a = End {
        out: Arc::clone(&to_b),
        inward: Arc::clone(&to_a),
        peer: b.1,
    };
    let end_b = End {
        out: to_a,
        inward: to_b,
        peer: a.1,
    };
    (end_a, end_b)
}

impl End {
    /// Puts something in; whoever asked [`is_full`](Self::is_full) before knows that it fits.
    pub(super) fn push(&self, item: Item) {
        let mut queue = lock(&self.out);
        if queue.closed {
            return;
        }
        if queue.conflate && matches!(item, Item::Message(_)) {
            queue.items.retain(|item| !matches!(item, Item::Message(_)));
            (queue.messages, queue.bytes) = (0, 0);
        }
        if let Item::Message(message) = &item {
            queue.messages += 1;
            queue.bytes += message.wire().len();
        }
        queue.items.push_back(item);
        let bell = (queue.items.len() == 1).then(|| queue.reader.clone());
        drop(queue);
        if let Some(bell) = bell.flatten() {
            bell.ring();
        }
    }

    /// Whether nothing more fits; then the bell rings when half of it is gone.
    pub(super) fn is_full(&self) -> bool {
        let mut queue = lock(&self.out);
        let full = !queue.conflate
            && (queue.most > 0 && queue.messages >= queue.most || queue.bytes >= queue.most_bytes);
        queue.wanted |= full;
        full
    }

    /// Whether the other side is gone.
    pub(super) fn is_closed(&self) -> bool {
        lock(&self.inward).closed
    }

    /// The next thing that the other side has put in; `Err` if there is none and never will be.
    pub(super) fn pull(&self) -> Result<Option<Item>, Closed> {
        let mut queue = lock(&self.inward);
        let Some(item) = queue.items.pop_front() else {
            return if queue.closed { Err(Closed) } else { Ok(None) };
        };
        if let Item::Message(message) = &item {
            queue.messages -= 1;
            queue.bytes -= message.wire().len();
        }
        let room = queue.messages <= queue.most / 2 && queue.bytes <= queue.most_bytes / 2;
        let bell = (queue.wanted && room).then(|| {
            queue.wanted = false;
            queue.writer.clone()
        });
        drop(queue);
        if let Some(bell) = bell.flatten() {
            bell.ring();
        }
        Ok(Some(item))
    }
}

impl Drop for End {
    fn drop(&mut self) {
        for queue in [&self.out, &self.inward] {
            let mut queue = lock(queue);
            queue.closed = true;
            let bells = [queue.reader.take(), queue.writer.take()];
            drop(queue);
            for bell in bells.into_iter().flatten() {
                bell.ring();
            }
        }
        // What nobody will read needs no memory.
        let left = std::mem::take(&mut lock(&self.inward).items);
        drop(left);
    }
}

/// The other side is gone.
#[derive(Clone, Copy, Debug)]
pub(super) struct Closed;

/// A socket that connected to a name.
pub(super) type Waiting = (Weak<Hub>, u32);

#[derive(Debug, Default)]
struct Name {
    bound: Option<Weak<Hub>>,
    waiting: Vec<Waiting>,
}

static NAMES: Mutex<BTreeMap<String, Name>> = Mutex::new(BTreeMap::new());

/// Binds a name; returns those who wait for it. `None` if it is taken.
pub(super) fn bind(name: &str, hub: &Arc<Hub>) -> Option<Vec<Waiting>> {
    let mut names = lock(&NAMES);
    let entry = names.entry(name.to_owned()).or_default();
    if entry
        .bound
        .as_ref()
        .is_some_and(|old| old.strong_count() > 0)
    {
        return None;
    }
    entry.bound = Some(Arc::downgrade(hub));
    Some(std::mem::take(&mut entry.waiting))
}

/// Gives a name up.
pub(super) fn unbind(name: &str, hub: &Weak<Hub>) {
    let mut names = lock(&NAMES);
    if let Some(entry) = names.get_mut(name)
        && entry.bound.as_ref().is_some_and(|old| old.ptr_eq(hub))
    {
        entry.bound = None;
        if entry.waiting.is_empty() {
            names.remove(name);
        }
    }
}

/// Who is bound to a name; if nobody is, the caller waits until somebody will be.
pub(super) fn find(name: &str, who: &Waiting) -> Option<Arc<Hub>> {
    let mut names = lock(&NAMES);
    let entry = names.entry(name.to_owned()).or_default();
    let bound = entry.bound.as_ref().and_then(Weak::upgrade);
    if bound.is_none() {
        entry.waiting.retain(|(hub, slot)| {
            hub.strong_count() > 0 && !(hub.ptr_eq(&who.0) && *slot == who.1)
        });
        entry.waiting.push(who.clone());
    }
    bound
}

/// A socket waits for a name no more.
pub(super) fn forget(name: &str, who: &Waiting) {
    let mut names = lock(&NAMES);
    if let Some(entry) = names.get_mut(name) {
        entry
            .waiting
            .retain(|(hub, slot)| !(hub.ptr_eq(&who.0) && *slot == who.1));
        if entry.waiting.is_empty() && entry.bound.is_none() {
            names.remove(name);
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
