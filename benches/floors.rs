//! What the deciding floors cost, one step at a time: `cargo bench --bench floors`.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a benchmark may"
)]

use std::io::IoSlice;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use divan::counter::{BytesCount, ItemsCount};
use divan::{Bencher, black_box};
use scale0::broker::{Action, Broker, Config, Event, PeerId};
use scale0::limits::Limits;
use scale0::pattern::{Bounds, Subscriptions};
use scale0::protocol::{
    Announcement, Ask, Dialect, Id, Name, Offer, Reading, Reply, Return, Word, read, scale0::Header,
};
use scale0::session::{self, Heard, Session};
use scale0::time::Time;
use scale0::wire::{Message, Piece, SocketType};

// The cipher is nobody's business outside: its file is measured as it stands.
#[allow(
    dead_code,
    unused_imports,
    reason = "its tests and its sessions are elsewhere"
)]
#[path = "../src/security/curve/cipher/mod.rs"]
mod cipher;

fn main() {
    divan::main();
}

const NOW: Time = Time::ZERO;
/// Messages per measured round.
const BATCH: usize = 1000;

/// Two sessions whose handshake is done.
fn pair() -> (Session, Session) {
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
    let bytes = drain(from);
    let mut input = &bytes[..];
    while to.receive(NOW, &mut input).unwrap().is_some() {}
}

/// Everything a session has to write.
fn drain(session: &mut Session) -> Vec<u8> {
    let mut all = Vec::new();
    loop {
        let mut slices = [IoSlice::new(&[]); 16];
        let filled = session.chunks(&mut slices);
        let written: usize = slices[..filled].iter().map(|slice| slice.len()).sum();
        if written == 0 {
            return all;
        }
        slices[..filled]
            .iter()
            .for_each(|slice| all.extend_from_slice(slice));
        session.wrote(NOW, written);
    }
}

/// Bytes on the wire to messages, as many as fit a read.
#[divan::bench(args = [64, 1024, 65_536])]
fn decode(bencher: Bencher, size: usize) {
    let (mut dealer, mut router) = pair();
    let (header, body) = (task_header(), Message::single(&vec![7; size]));
    let count = (BATCH * 64 / size.max(64)).max(4);
    for _ in 0..count {
        dealer
            .send(NOW, &[Piece::Part(&header), Piece::Parts(&body)])
            .unwrap();
    }
    let wire = drain(&mut dealer);
    bencher
        .counter(ItemsCount::new(count))
        .counter(BytesCount::new(wire.len()))
        .bench_local(|| {
            let mut input = &wire[..];
            let mut messages = 0;
            while let Some(heard) = router.receive(NOW, &mut input).unwrap() {
                messages += usize::from(matches!(black_box(heard), Heard::Message(_)));
            }
            assert_eq!(messages, count);
        });
}

/// Messages to bytes on the wire.
#[divan::bench(args = [64, 1024, 65_536])]
fn encode(bencher: Bencher, size: usize) {
    let (mut dealer, _) = pair();
    let (header, body) = (task_header(), Message::single(&vec![7; size]));
    let count = (BATCH * 64 / size.max(64)).max(4);
    bencher.counter(ItemsCount::new(count)).bench_local(|| {
        for _ in 0..count {
            dealer
                .send(NOW, &[Piece::Part(&header), Piece::Parts(&body)])
                .unwrap();
        }
        loop {
            let mut slices = [IoSlice::new(&[]); 16];
            let filled = dealer.chunks(&mut slices);
            let written: usize = slices[..filled].iter().map(|slice| slice.len()).sum();
            if written == 0 {
                break;
            }
            dealer.wrote(NOW, written);
        }
    });
}

fn task_header() -> Vec<u8> {
    Header {
        id: Id(*b"00000001"),
        ms: 30_000,
        name: b"echo",
        ..Header::of(1)
    }
    .frame()
}

#[divan::bench]
fn s0_header_read(bencher: Bencher) {
    let (frame, limits) = (task_header(), Limits::default());
    bencher.bench(|| black_box(Header::read(black_box(&frame), &limits).unwrap().id));
}

#[divan::bench]
fn s0_header_write(bencher: Bencher) {
    let mut out = Vec::with_capacity(64);
    bencher.bench_local(|| {
        out.clear();
        Header {
            id: Id(*b"00000001"),
            ms: 30_000,
            name: b"echo",
            ..Header::of(1)
        }
        .write(black_box(&mut out));
        out.len()
    });
}

/// A message told apart and read, by its dialect.
#[divan::bench(args = ["S0/1", "S0/1 REQ", "MDP/0.1", "MDP/0.2"])]
fn sniff(bencher: Bencher, dialect: &str) {
    let header = task_header();
    let message = match dialect {
        "S0/1" => Message::new([&header[..], b"body"]),
        "S0/1 REQ" => Message::new([&b""[..], &header, b"body"]),
        "MDP/0.1" => Message::new([&b""[..], b"MDPC01", b"echo", b"body"]),
        _ => Message::new([&b"MDPC02"[..], b"\x01", b"echo", b"body"]),
    };
    let limits = Limits::default();
    bencher
        .with_inputs(|| Message::new(message.parts()))
        .bench_values(|message| match read(message, SocketType::Dealer, &limits) {
            Reading::Word(word) => word,
            other => panic!("{other:?}"),
        });
}

/// One task through the broker's mind: asked, assigned, replied, answered; with so many workers.
#[divan::bench(args = [(1, 1), (64, 8), (1000, 1)])]
fn decide(bencher: Bencher, (workers, capacity): (u32, u16)) {
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
    let body = Message::single(&[7; 64]);
    let mut id = 0;
    bencher.counter(ItemsCount::new(BATCH)).bench_local(|| {
        for _ in 0..BATCH {
            id += 1;
            decide_one(&mut broker, id, &body, &mut out);
        }
    });
}

fn decide_one(broker: &mut Broker, id: u64, body: &Message, out: &mut Vec<Action>) {
    let back = Return {
        dialect: Dialect::Scale0,
        envelope: Message::default(),
        id: Id(id.to_be_bytes()),
        whole: false,
    };
    let ask = Ask {
        wants: scale0::protocol::Wants::Answer,
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
    broker.handle(
        NOW,
        Event::Heard {
            peer,
            reading: Reading::Word(word),
        },
        out,
    );
}

/// Who wants a message: one of so many peers, each with a topic of its own.
#[divan::bench(args = [1, 50, 10_000])]
fn matching(bencher: Bencher, topics: u32) {
    let mut all = Subscriptions::new(Bounds::default());
    for peer in 0..topics {
        let topic = format!("sensors.{peer:05}.");
        all.subscribe(peer, topic.as_bytes()).unwrap();
    }
    let mut out = Vec::new();
    // Each far from the one before.
    let firsts: Vec<String> = (0..1000)
        .map(|turn| format!("sensors.{:05}.temperature", turn * 7919 % topics))
        .collect();
    bencher.counter(ItemsCount::new(BATCH)).bench_local(|| {
        for first in &firsts {
            all.matching(black_box(first.as_bytes()), &mut out);
            assert_eq!(out.len(), 1);
        }
    });
}

/// Who wants a message that so many peers want, by one topic or by two of each.
#[divan::bench(args = [(50, 1), (50, 2), (10_000, 1), (10_000, 2)])]
fn matching_all(bencher: Bencher, (peers, topics): (u32, usize)) {
    let mut all = Subscriptions::new(Bounds::default());
    for peer in 0..peers {
        for topic in [&b"sensors."[..], b""].iter().take(topics) {
            all.subscribe(peer, topic).unwrap();
        }
    }
    let mut out = Vec::new();
    bencher.counter(ItemsCount::new(peers)).bench_local(|| {
        all.matching(black_box(b"sensors.00017.temperature"), &mut out);
        assert_eq!(out.len(), peers as usize);
    });
}

/// A topic that one more peer wants, and wants no more.
#[divan::bench(args = [1, 50, 10_000])]
fn subscribe_and_cancel(bencher: Bencher, topics: u32) {
    let mut all = Subscriptions::new(Bounds::default());
    for peer in 0..topics {
        let topic = format!("sensors.{peer:05}.");
        all.subscribe(peer, topic.as_bytes()).unwrap();
    }
    bencher.bench_local(|| {
        all.subscribe(topics, black_box(b"sensors.0001x")).unwrap();
        all.cancel(topics, black_box(b"sensors.0001x"))
    });
}

/// A message of CURVE is encrypted and proven.
#[divan::bench(args = [64, 1024, 65_536])]
fn seal(bencher: Bencher, size: usize) {
    let cipher = cipher::Cipher::agreed(&[1; 32], &[2; 16]);
    let mut message = vec![7; size];
    bencher
        .counter(BytesCount::new(size))
        .bench_local(|| cipher.seal([3; 8], black_box(&mut message)));
}

/// A message of CURVE is checked and decrypted.
#[divan::bench(args = [64, 1024, 65_536])]
fn open(bencher: Bencher, size: usize) {
    let cipher = cipher::Cipher::agreed(&[1; 32], &[2; 16]);
    let mut sealed = vec![7; size];
    let tag = cipher.seal([3; 8], &mut sealed);
    let mut message = sealed.clone();
    bencher.counter(BytesCount::new(size)).bench_local(|| {
        message.copy_from_slice(&sealed);
        assert!(cipher.open([3; 8], &tag, black_box(&mut message)));
    });
}
