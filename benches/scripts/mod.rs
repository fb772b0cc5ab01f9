//! What the deciding floors are measured with: fixed input, the same every time.

#![allow(
    clippy::cast_possible_truncation,
    reason = "places and frames are few and short here"
)]
#![allow(
    dead_code,
    unreachable_pub,
    reason = "each benchmark takes what it needs"
)]

mod path;

use std::io::IoSlice;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use scale0::broker::{Action, Broker, Config, Event, PeerId};
use scale0::protocol::{
    Announcement, Ask, Dialect, Id, Name, Offer, Reading, Reply, Return, Wants, Word,
    scale0::Header,
};
use scale0::session::{self, Session};
use scale0::time::Time;
use scale0::wire::{Message, SocketType};

pub use path::{Path, Tongue};

pub const NOW: Time = Time::ZERO;

/// Two sessions whose handshake is done: of a DEALER and of a ROUTER.
pub fn pair() -> (Session, Session) {
    let config = |kind| Arc::new(session::Config::new(kind));
    let mut dealer = Session::new(NOW, config(SocketType::Dealer), [0; 32]);
    let mut router = Session::new(NOW, config(SocketType::Router), [0; 32]);
    while !(dealer.is_open() && router.is_open()) {
        carry(&mut dealer, &mut router);
        carry(&mut router, &mut dealer);
    }
    (dealer, router)
}

fn carry(from: &mut Session, to: &mut Session) {
    let mut bytes = Vec::new();
    drain(from, &mut bytes);
    let mut input = &bytes[..];
    while to.receive(NOW, &mut input).unwrap().is_some() {}
}

/// Appends everything that a session has to write.
pub fn drain(session: &mut Session, out: &mut Vec<u8>) {
    loop {
        let mut slices = [IoSlice::new(&[]); 16];
        let filled = session.chunks(&mut slices);
        let written: usize = slices[..filled].iter().map(|slice| slice.len()).sum();
        if written == 0 {
            return;
        }
        slices[..filled]
            .iter()
            .for_each(|slice| out.extend_from_slice(slice));
        session.wrote(NOW, written);
    }
}

/// Of a task for `echo`.
pub fn task_header() -> Header<'static> {
    Header {
        id: Id(*b"00000001"),
        ms: 30_000,
        name: b"echo",
        ..Header::of(1)
    }
}

/// Languages that are told apart by their messages.
pub const SPOKEN: [&str; 4] = ["S0/1", "S0/1 REQ", "MDP/0.1", "MDP/0.2"];

/// A client's question in one of [`SPOKEN`].
pub fn question(language: &str) -> Message {
    let header = task_header().frame();
    match language {
        "S0/1" => Message::new([&header[..], b"body"]),
        "S0/1 REQ" => Message::new([&b""[..], &header, b"body"]),
        "MDP/0.1" => Message::new([&b""[..], b"MDPC01", b"echo", b"body"]),
        _ => Message::new([&b"MDPC02"[..], b"\x01", b"echo", b"body"]),
    }
}

/// A broker with so many workers of `echo`, at the places from 1.
pub fn broker(workers: u32, capacity: u16) -> Broker {
    let mut broker = Broker::new(Config::default(), [7; 32]);
    let mut out = Vec::new();
    for place in 1..=workers {
        let announcement = Announcement {
            dialect: Dialect::Scale0,
            name: Name::default(),
            capacity,
            promise: Some(Duration::from_secs(60)),
            deep: false,
            credit: false,
            offers: vec![Offer {
                service: Name::from("echo"),
                ..Offer::default()
            }],
        };
        say(&mut broker, place, Word::Announce(announcement), &mut out);
    }
    broker
}

/// One task from the question to the answer, by the client at place 0.
pub fn decide(broker: &mut Broker, id: u64, body: &Message, out: &mut Vec<Action>) {
    let back = Return {
        dialect: Dialect::Scale0,
        envelope: Message::default(),
        id: Id(id.to_be_bytes()),
        whole: false,
    };
    let ask = Ask {
        wants: Wants::Answer,
        back,
        service: Name::from("echo"),
        ttl: Duration::ZERO,
        idempotent: false,
        priority: 4,
        properties: Bytes::new(),
        body: body.clone(),
    };
    out.clear();
    say(broker, 0, Word::Ask(ask), out);
    let mut assigned = None;
    let mut taken = None;
    for action in out.drain(..) {
        match action {
            Action::Assign { peer, task, .. } => assigned = Some((peer, task)),
            // It has been given much: here it has always taken all of it.
            Action::Gauge { peer } => taken = Some(Event::Full { peer, full: false }),
            _ => {}
        }
    }
    if let Some(event) = taken {
        broker.handle(NOW, event, out);
    }
    let (worker, task) = assigned.unwrap();
    let reply = Reply {
        dialect: Dialect::Scale0,
        token: task.token,
        code: 200,
        partial: false,
        refuses: false,
        ms: 0,
        properties: Bytes::new(),
        body: task.body,
    };
    say(broker, worker.place, Word::Reply(reply), out);
    assert!(
        out.iter()
            .any(|action| matches!(action, Action::Answer { .. }))
    );
}

fn say(broker: &mut Broker, place: u32, word: Word, out: &mut Vec<Action>) {
    let peer = PeerId {
        place,
        generation: 0,
    };
    let reading = Reading::Word(word);
    broker.handle(NOW, Event::Heard { peer, reading }, out);
}
