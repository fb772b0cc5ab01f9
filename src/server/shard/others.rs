//! What the other threads have to do with this one: letters, connections that come and go, and
//! what is told of all together.

use std::net::SocketAddr;

use bytes::Bytes;

use super::super::{admin, wires::Parcel};
use super::{Connection, Leaving, Moved, Number, PeerId, Shard, ip_of};
use crate::broker::Event;
use crate::net::{Address, Carried, ReadHalf, WriteHalf};
use crate::protocol::{Answer, Reading, Status};
use crate::spread::{Answered, Letter};
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

    fn pack(
        &self,
        connection: Connection,
        reader: ReadHalf,
        arrival: Option<crate::spread::Arrival>,
    ) -> bool {
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

    /// A connection comes over from another thread, and has said something.
    pub(in super::super) fn take_moved(
        &mut self,
        moved: Moved,
    ) -> Option<(PeerId, ReadHalf, Address)> {
        let address = moved.address;
        let Ok((reader, writer)) = moved.stream.unpack() else {
            self.door().leave(ip_of(address));
            return None;
        };
        let now = self.clock.now();
        self.open += 1;
        let id = self.make_place();
        let mut connection = Connection::new(id, address, moved.session, writer);
        connection.kind = moved.kind;
        connection.user = moved.user;
        connection.rest = moved.rest;
        connection.ignored = moved.ignored;
        self.seat(connection);
        self.act_on(now, |spread, out| {
            spread.arrive(now, id, moved.arrival, out)
        });
        let reading = moved.reading;
        self.decide(now, Event::Heard { peer: id, reading });
        self.touched(id);
        Some((id, reader, address))
    }

    /// Letters of another thread's last turn.
    pub(in super::super) fn read_letters(&mut self, from: Number, letters: Vec<Letter>) {
        let now = self.clock.now();
        self.stirred = true;
        for letter in letters {
            if let Letter::Survey { .. } | Letter::Surveyed { .. } = letter {
                self.spread.set_totals(self.all_totals());
            }
            self.act_on(now, |spread, out| spread.hear(now, from, letter, out));
        }
        self.wake_turn();
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

/// Rounds at the end of a turn; what is left then has its turn at once.
const ROUNDS: usize = 4;
/// Other threads do not tell when they have room.
const LOOK: std::time::Duration = std::time::Duration::from_millis(5);
