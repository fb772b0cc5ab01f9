//! Parts of replies: in order, all of them, and no more than there is credit for.

use super::{At, Checked, Conn, Ledger, Promise, Task, broken, must};
use crate::speech::{Frames, More, Said, Token, Way};

/// What may still be sent of one stream over one hop.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Window {
    messages: i64,
    bytes: i64,
}

impl Window {
    /// Before any credit.
    pub(super) const FIRST: Self = Self {
        messages: 16,
        bytes: 1 << 20,
    };
    /// No worker is told more.
    const MOST: Self = Self {
        messages: 1024,
        bytes: 4 << 20,
    };

    pub(super) fn is_open(self) -> bool {
        self.messages > 0 && self.bytes > 0
    }

    pub(super) fn take(&mut self, body: &Frames) {
        let bytes: usize = body.iter().map(Vec::len).sum();
        self.messages -= 1;
        self.bytes -= i64::try_from(bytes).expect("it is small");
    }

    fn widen(&mut self, more: More) {
        self.messages += i64::from(more.messages);
        self.bytes += i64::from(more.kib) * 1024;
    }

    /// In what there is more of: the rest may be left of a time when there was more room.
    fn is_within(self, other: Self, more: More) -> bool {
        (more.messages == 0 || self.messages <= other.messages)
            && (more.kib == 0 || self.bytes <= other.bytes)
    }
}

impl Ledger {
    /// A client takes so many parts more.
    pub(super) fn credited(&mut self, conn: Conn, way: Way, more: More) {
        if let Some(serial) = self.by_way.get(&(conn, way))
            && let Some(task) = self.tasks.get_mut(serial)
            && let Some(down) = &mut task.down
        {
            down.widen(more);
        }
    }

    /// A worker is told so.
    pub(super) fn allowed(&mut self, conn: Conn, token: Token, more: More) -> Checked {
        let serial = self.hand(conn).and_then(|hand| hand.holding.get(&token));
        let Some(serial) = serial.copied() else {
            return broken(Promise::Credit, format!("{conn} gets credit for nothing"));
        };
        let held = self.is_held(serial);
        let task = self.tasks.get_mut(&serial).expect("it is held");
        let room = task.room(held);
        let Some(up) = task.up.as_mut().filter(|_| !task.done) else {
            return broken(
                Promise::Credit,
                format!("{conn} gets credit for task {serial}, and does not count"),
            );
        };
        up.widen(more);
        must!(
            up.is_within(room, more) && task.unsent.is_empty(),
            Credit,
            "{conn} may send {up:?} of task {serial}, its client takes {room:?}"
        );
        Ok(())
    }

    /// A part reaches its client.
    pub(super) fn streamed(&mut self, serial: u64, said: &Said) -> Checked {
        let last = (self.due.reply.as_ref()).is_some_and(|(replied, _)| *replied == serial);
        let held = self.is_held(serial);
        let task = self.tasks.get_mut(&serial).expect("it is open");
        let right = (task.unsent.pop_front()).is_some_and(|part| part == said.body);
        must!(
            right,
            Faithful,
            "nobody said this part of task {serial} now"
        );
        if let Some(down) = &mut task.down {
            // What waits when the final comes goes ahead of it.
            must!(
                down.is_open() || last || held,
                Credit,
                "a part of task {serial} goes beyond the credit of its client"
            );
            down.take(&said.body);
        }
        task.streamed = true;
        Ok(())
    }

    /// The task's client is not read.
    fn is_held(&self, serial: u64) -> bool {
        self.parties[&self.tasks[&serial].conn].held
    }

    /// What may be sent is sent, and who may send has heard of it.
    pub(super) fn flowing(&self) -> Checked {
        for serial in &self.active {
            let task = &self.tasks[serial];
            let client = &self.parties[&task.conn];
            let reads = !client.lost && !client.closed && !client.full;
            let held = client.held;
            let takes = reads && (held || task.down.is_none_or(Window::is_open));
            must!(
                task.unsent.is_empty() || task.done || !takes,
                Faithful,
                "parts of task {serial} are not passed on"
            );
            let At::Worker(worker, _) = task.at else {
                continue;
            };
            let there = !self.parties[&worker].lost && !self.parties[&worker].closed;
            let waits = !task.done && there && task.up.is_some_and(|up| !up.is_open());
            let taken = task.taken_at_once() || (takes && task.room(held).is_open());
            must!(
                !(waits && taken && task.unsent.is_empty()),
                Credit,
                "{worker} is left without credit for task {serial}"
            );
        }
        Ok(())
    }
}

impl Task {
    /// What its worker may be allowed at most. Of a client that is held back nothing is heard, its
    /// credit neither.
    fn room(&self, held: bool) -> Window {
        match self.down {
            Some(down) if !held && !self.taken_at_once() => Window {
                messages: down.messages.min(Window::MOST.messages),
                bytes: down.bytes.min(Window::MOST.bytes),
            },
            _ => Window::FIRST,
        }
    }

    /// Nobody is sent its parts as they come.
    pub(super) fn taken_at_once(&self) -> bool {
        self.asked.tongue.whole() || self.is_oneway()
    }
}
