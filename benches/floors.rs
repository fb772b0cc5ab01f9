//! What the deciding floors cost, one step at a time: `cargo bench --bench floors`.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a benchmark may"
)]

mod scripts;

use std::io::IoSlice;

use divan::counter::{BytesCount, ItemsCount};
use divan::{Bencher, black_box};
use scale0::limits::Limits;
use scale0::pattern::{Bounds, Subscriptions};
use scale0::protocol::{Reading, read, scale0::Header};
use scale0::session::Heard;
use scale0::wire::{Message, Piece, SocketType};

use scripts::{NOW, Path, SPOKEN, Tongue, drain, pair, question, task_header};

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

/// Messages per measured round.
const BATCH: usize = 1000;

/// Bytes on the wire to messages, as many as fit a read.
#[divan::bench(args = [64, 1024, 65_536])]
fn decode(bencher: Bencher, size: usize) {
    let (mut dealer, mut router) = pair();
    let (header, body) = (task_header().frame(), Message::single(&vec![7; size]));
    let count = (BATCH * 64 / size.max(64)).max(4);
    for _ in 0..count {
        dealer
            .send(NOW, &[Piece::Part(&header), Piece::Parts(&body)])
            .unwrap();
    }
    let mut wire = Vec::new();
    drain(&mut dealer, &mut wire);
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
    let (header, body) = (task_header().frame(), Message::single(&vec![7; size]));
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

#[divan::bench]
fn s0_header_read(bencher: Bencher) {
    let (frame, limits) = (task_header().frame(), Limits::default());
    bencher.bench(|| black_box(Header::read(black_box(&frame), &limits).unwrap().id));
}

#[divan::bench]
fn s0_header_write(bencher: Bencher) {
    let mut out = Vec::with_capacity(64);
    bencher.bench_local(|| {
        out.clear();
        task_header().write(black_box(&mut out));
        out.len()
    });
}

/// A message told apart and read, by its dialect.
#[divan::bench(args = SPOKEN)]
fn sniff(bencher: Bencher, language: &str) {
    let message = question(language);
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
    let mut broker = scripts::broker(workers, capacity);
    let mut out = Vec::new();
    let body = Message::single(&[7; 64]);
    let mut id = 0;
    bencher.counter(ItemsCount::new(BATCH)).bench_local(|| {
        for _ in 0..BATCH {
            id += 1;
            scripts::decide(&mut broker, id, &body, &mut out);
        }
    });
}

/// The whole way of a task without the sockets, for so many clients, tasks that each has
/// outstanding, workers and their capacity.
#[divan::bench(args = [(Tongue::Scale0, 4, 128, 4, 128), (Tongue::Majordomo, 1, 64, 64, 1)])]
fn path(
    bencher: Bencher,
    (tongue, clients, window, workers, capacity): (Tongue, u32, u32, u32, u16),
) {
    let mut path = Path::new(tongue, clients, window, workers, capacity);
    let tasks = ItemsCount::new(path.tasks());
    bencher.counter(tasks).bench_local(|| path.round());
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
