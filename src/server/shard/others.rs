//! What the other threads have to do with this one: letters, connections that come and go, and
//! what is told of all together.

use std::net::SocketAddr;
use std::panic::resume_unwind;

use bytes::Bytes;

use super::super::{admin, panics::caught, wires::Parcel};
use super::{Connection, End, Leaving, Moved, Number, PeerId, Shard, ip_of};
use crate::broker::Event;
use crate::net::{Address, Carried, ReadHalf, WriteHalf};
use crate::protocol::{Answer, Reading, Status};
use crate::spread::{Answered, Arrival, Letter};
use crate::time::Time;
use crate::wire::Message;

impl Shard {
    /// Which of its streams this thread is to read, and which another: all in turn. None if it
    /// has nobody to share them with.
    pub(in super::super) fn next_reader(&mut self, turn: usize) -> Option<Number> {
        let wires = self.wires.as_ref()?;
        Some(turn % wires.to.len()).filter(|shard| *shard != wires.me)
    }

    /// Hands a stream that was let in to another thread.
    pub(in super::super) fn deal(
        &mut self,
        to: Number,
        reader: ReadHalf,
        writer: WriteHalf,
        address: Address,
    ) {
        let handed = Carried::pack(reader, writer).is_ok_and(|stream| {
            let parcel = Parcel::Stream(stream, address);
            self.wires
                .as_ref()
                .is_some_and(|wires| wires.hand(to, parcel))
        });
        if !handed {
            self.door().leave(ip_of(address));
        }
    }

    /// A connection goes as soon as its task lets it. What it says meanwhile is kept.
    pub(super) fn sends_away(&mut self, id: PeerId, to: Number, reading: Reading) {
        if let Some(connection) = self.connection(id) {
            connection.leaving = Some(Box::new(Leaving { to, reading }));
        }
    }

    /// Sends a connection to the thread where it is better off.
    pub(in super::super) fn depart(&mut self, id: PeerId, reader: ReadHalf) {
        let now = self.clock.now();
        let mut arrival = None;
        self.act_on(now, |spread, out| arrival = spread.leave(now, id, out));
        let Some(connection) = self.unseat(id) else {
            return;
        };
        let address = connection.address;
        let handed = self.pack(*connection, reader, arrival);
        self.open -= 1;
        if !handed {
            self.door().leave(ip_of(address));
        }
        self.wake_turn();
    }

    fn pack(&self, connection: Connection, reader: ReadHalf, arrival: Option<Arrival>) -> bool {
        let (Some(wires), Some(arrival), Some(leaving)) =
            (&self.wires, arrival, connection.leaving)
        else {
            return false;
        };
        let Ok(stream) = Carried::pack(reader, connection.writer) else {
            return false;
        };
        let moved = Moved {
            stream,
            address: connection.address,
            session: connection.session,
            kind: connection.kind,
            user: connection.user,
            rest: connection.rest,
            ignored: connection.ignored,
            arrival,
            reading: leaving.reading,
        };
        wires.hand(leaving.to, Parcel::Moved(Box::new(moved)))
    }

    /// A stream that another thread let in.
    pub(in super::super) fn take_stream(
        &mut self,
        stream: Carried,
        address: Address,
    ) -> Option<(PeerId, ReadHalf)> {
        let Ok((reader, writer)) = stream.unpack() else {
            self.door().leave(ip_of(address));
            return None;
        };
        Some((self.admit(writer, address)?, reader))
    }

    /// A connection comes over from another thread. What it says is to be heard at once.
    pub(in super::super) fn take_moved(
        &mut self,
        moved: Moved,
    ) -> Option<(PeerId, ReadHalf, Said)> {
        let address = moved.address;
        let Ok((reader, writer)) = moved.stream.unpack() else {
            self.door().leave(ip_of(address));
            return None;
        };
        self.open += 1;
        let id = self.make_place();
        let mut connection = Connection::new(id, address, moved.session, writer);
        connection.kind = moved.kind;
        connection.user = moved.user;
        connection.rest = moved.rest;
        connection.ignored = moved.ignored;
        self.seat(connection);
        Some((id, reader, (moved.arrival, moved.reading)))
    }

    /// A connection that came over has said this.
    pub(in super::super) fn welcome(&mut self, id: PeerId, (arrival, reading): Said) {
        let now = self.clock.now();
        self.act_on(now, |spread, out| spread.arrive(now, id, arrival, out));
        self.decide(now, Event::Heard { peer: id, reading });
        self.touched(id);
    }

    /// Letters of another thread's last turn.
    pub(in super::super) fn read_letters(&mut self, from: Number, letters: Vec<Letter>) {
        let now = self.clock.now();
        self.stirred = true;
        for letter in letters {
            if let Letter::Survey { .. } | Letter::Surveyed { .. } = letter {
                self.spread.set_totals(self.all_totals());
            }
            let subject = subject(&letter);
            let last = matches!(letter, Letter::Lost { .. });
            let read = caught(|| self.hear(now, from, letter));
            match (read, subject) {
                (Ok(()), _) => {}
                (Err(_), Some(Subject::Ours(id))) => self.finish(id, End::Panic),
                (Err(_), Some(Subject::Theirs(id))) => self.give_up(now, from, id, last),
                // What all shards have to know or do together would not hold in this one: rules
                // of access, a drain. Better no broker than one that lets in whom it should not.
                (Err(panic), None) => resume_unwind(panic),
            }
        }
        self.wake_turn();
    }

    fn hear(&mut self, now: Time, from: Number, letter: Letter) {
        self.act_on(now, |spread, out| spread.hear(now, from, letter, out));
    }

    /// Something panicked over a letter about a connection of another thread. This one forgets
    /// it, as it would one of its own, and that one ends it.
    fn give_up(&mut self, now: Time, owner: Number, peer: PeerId, lost: bool) {
        if !lost {
            // What follows a panic may panic again.
            let _ = caught(|| self.hear(now, owner, Letter::Lost { peer }));
        }
        if let Some(wires) = &self.wires {
            // If that thread has ended, so has the connection.
            let _ = wires.hand(owner, Parcel::Broken(peer));
        }
    }

    /// The end of a turn, as far as other threads have to do with it. True if another one has to
    /// follow at once.
    pub(super) fn correspond(&mut self, now: Time) -> bool {
        if self.wires.is_none() {
            return false;
        }
        let mut more = true;
        // What is settled here may be written, and what is written may have to be settled.
        for _ in 0..ROUNDS {
            self.act_on(now, |spread, out| spread.settle(now, out));
            // Whoever asks a thousand times makes it look once.
            let mut replies: Vec<(Answered, Answer)> = Vec::new();
            let all = self.spread.take_answered();
            let any = !all.is_empty();
            for answered in all {
                let known = replies.iter().find(|(other, _)| other.is_like(&answered));
                let answer = match known {
                    Some((_, answer)) => answer.clone(),
                    None => {
                        let answer = reply(&answered, now);
                        replies.push((answered.clone(), answer.clone()));
                        answer
                    }
                };
                self.act_on(now, |spread, out| spread.answer(answered, answer, out));
            }
            // With the last question answered, what waited for that goes on.
            more = any || !self.dirty.is_empty();
            if !more {
                break;
            }
            self.flush(now);
        }
        let post = self.spread.take_post();
        if let Some(wires) = &self.wires {
            for (to, letters) in post {
                // A thread that has ended has said before that it needs nothing more.
                let _ = wires.hand(to, Parcel::Letters(self.number(), letters));
            }
        }
        more
    }

    fn number(&self) -> Number {
        self.wires.as_ref().map_or(0, |wires| wires.me)
    }

    /// Tells the broker what is held besides its tasks, by all threads together.
    pub(super) fn publish(&mut self) {
        let Some(wires) = &self.wires else {
            return self.spread.set_outside(self.buffered, 0);
        };
        let broker = self.spread.broker();
        let own = self.buffered + broker.held();
        let (bytes, tasks) = wires.gauge(own, broker.open_tasks());
        self.beside = bytes;
        self.spread.set_outside(self.buffered + bytes, tasks);
    }

    /// When to look whether other threads have made room, if that is waited for.
    pub(super) fn looks_for_room(&self, now: Time) -> Option<Time> {
        let waits = self.wires.is_some() && self.spread.broker().waits_for_room();
        waits.then(|| now + LOOK)
    }
}

/// What is told of all shards together.
fn reply(answered: &Answered, now: Time) -> Answer {
    let joined = &answered.joined;
    let place = |place: SocketAddr| Address::Tcp(place);
    let address = |id: PeerId| {
        let found = joined.addresses.get(id.place as usize)?;
        Some(found.map_or(Address::Ipc, place))
    };
    let report = admin::report(
        answered.query,
        &joined.snapshot,
        &joined.totals,
        now,
        address,
    );
    Answer::Reply {
        code: Status::OK.code(),
        partial: false,
        ms: 0,
        properties: Bytes::new(),
        body: Message::single(&report),
    }
}

/// With what a connection comes over, and what it said when it left.
type Said = (Arrival, Reading);

/// The connection that a letter is about.
enum Subject {
    /// One of the reader's own.
    Ours(PeerId),
    /// One of the writer's.
    Theirs(PeerId),
}

/// Whom a letter is about; none if it is about all that is.
fn subject(letter: &Letter) -> Option<Subject> {
    match letter {
        Letter::Opened { peer, .. }
        | Letter::Heard { peer, .. }
        | Letter::Sign { peer }
        | Letter::Lost { peer }
        | Letter::Full { peer, .. }
        | Letter::Lend { peer, .. }
        | Letter::Recall { peer, .. } => Some(Subject::Theirs(*peer)),
        Letter::Return { peer, .. } | Letter::Hungry { peer, .. } | Letter::Suspects { peer } => {
            Some(Subject::Ours(*peer))
        }
        Letter::Act(action) => action.peer().map(Subject::Ours),
        Letter::Access(_)
        | Letter::Drain { .. }
        | Letter::Undrain { .. }
        | Letter::Done { .. }
        | Letter::Finish { .. }
        | Letter::Last { .. }
        | Letter::Seen { .. }
        | Letter::Ready { .. }
        | Letter::Survey { .. }
        | Letter::Surveyed { .. }
        | Letter::Mark { .. }
        | Letter::Marked { .. } => None,
    }
}

/// Rounds at the end of a turn; what is left then has its turn at once.
const ROUNDS: usize = 4;
/// Other threads do not tell when they have room.
const LOOK: std::time::Duration = std::time::Duration::from_millis(5);
