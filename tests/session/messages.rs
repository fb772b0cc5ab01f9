//! Messages from end to end: every shape, every cut, every flipped bit.

use proptest::prelude::*;
use scale0::session::{Config, Error, Heard};
use scale0::time::Time;
use scale0::wire::{self, Message, Piece, SocketType};

use crate::rig::{End, Pair, command, frame, frames, opening, ping, pong};

fn open_pair() -> Pair {
    let mut pair = Pair::new(
        Config::new(SocketType::Dealer),
        Config::new(SocketType::Router),
    );
    pair.settle(usize::MAX);
    pair.a.heard.clear();
    pair.b.heard.clear();
    pair
}

fn router() -> End {
    End::open(Config::new(SocketType::Router), 1, SocketType::Dealer)
}

/// A session with everything in it: short and long forms, needlessly long ones, commands between
/// parts, names nobody knows.
fn script() -> Vec<u8> {
    [
        opening(1, SocketType::Dealer),
        frame(false, b""),
        frame(false, b"hello"),
        ping(0, b"ctx"),
        frame(true, b"one"),
        ping(7, b"between"),
        command(b"WHAT", b"ever"),
        frame(true, b""),
        frame(false, &[3; 300]),
        vec![3, 0, 0, 0, 0, 0, 0, 0, 2, b'o', b'k'],
        vec![0xf9, 1, b'r'],
        frame(false, b"end"),
        pong(b""),
        frame(true, b"never"),
        frame(true, b"finished"),
    ]
    .concat()
}

/// All that can be seen of a session from outside.
type Seen = (Vec<Heard>, Option<Error>, Vec<u8>, usize, Option<Time>);

fn see(mut end: End) -> Seen {
    let out = end.drain();
    let deadline = end.session.deadline();
    (end.heard, end.error, out, end.session.partial(), deadline)
}

fn pieces(bytes: &[u8], lens: &[usize]) -> Seen {
    let mut end = End::new(Config::new(SocketType::Router));
    end.feed_in_pieces(bytes, lens);
    see(end)
}

#[test]
fn messages_of_every_shape_arrive_as_they_were_sent() {
    let sizes = [
        0,
        1,
        254,
        255,
        256,
        257,
        4095,
        4096,
        4097,
        8191,
        8192,
        8193,
        65_535,
        65_536,
        65_537,
        1 << 20,
    ];
    for step in [1 << 14, usize::MAX] {
        let mut pair = open_pair();
        let mut sent = Vec::new();
        for size in sizes {
            let body: Vec<u8> = (0..size).map(|n| u8::try_from(n % 251).unwrap()).collect();
            for parts in [1, 2, 3] {
                sent.push(Message::new(vec![&body; parts]));
            }
        }
        sent.push(Message::new(vec![b""; 1024]));
        sent.push(Message::new((0..=255u8).map(|n| vec![n; n.into()])));
        for message in &sent {
            let now = pair.a.now;
            pair.a.session.send(now, &[Piece::Parts(message)]).unwrap();
            pair.settle(step);
        }
        assert_eq!(pair.b.error, None);
        assert!(pair.b.messages() == sent);
        assert_eq!(pair.b.session.partial(), 0);
    }
}

#[test]
fn pieces_join_into_one_message_and_none_is_none() {
    let empty = Message::default();
    let two = Message::new(["c", "d"]);
    let big = Message::new([vec![1; 5000], vec![2; 300]]);
    let mut pair = open_pair();
    let now = pair.a.now;
    let cases: [(&[Piece<'_>], Vec<Vec<u8>>); 6] = [
        (&[], vec![]),
        (&[Piece::Parts(&empty)], vec![]),
        (
            &[Piece::Part(b"a"), Piece::Parts(&empty)],
            vec![b"a".to_vec()],
        ),
        (
            &[
                Piece::Part(b"a"),
                Piece::Part(b""),
                Piece::Parts(&empty),
                Piece::Parts(&two),
                Piece::Parts(&empty),
                Piece::Parts(&empty),
            ],
            vec![b"a".to_vec(), vec![], b"c".to_vec(), b"d".to_vec()],
        ),
        (
            &[Piece::Parts(&two), Piece::Parts(&big)],
            vec![b"c".to_vec(), b"d".to_vec(), vec![1; 5000], vec![2; 300]],
        ),
        (
            &[Piece::Parts(&big), Piece::Part(b"z")],
            vec![vec![1; 5000], vec![2; 300], b"z".to_vec()],
        ),
    ];
    for (sent, expected) in cases {
        pair.a.session.send(now, sent).unwrap();
        pair.settle(usize::MAX);
        let got: Vec<_> = pair.b.messages();
        pair.b.heard.clear();
        if expected.is_empty() {
            assert_eq!(got, []);
        } else {
            assert_eq!(got, [Message::new(expected)]);
        }
    }
}

#[test]
fn a_session_cut_anywhere_is_the_same_session() {
    let script = script();
    let whole = pieces(&script, &[]);
    assert_eq!(whole.1, None);
    assert_eq!(whole.0.len(), 9);
    for cut in 0..=script.len() {
        assert_eq!(pieces(&script, &[cut]), whole, "cut at {cut}");
    }
    assert_eq!(pieces(&script, &vec![1; script.len()]), whole);
}

#[test]
fn a_failing_session_cut_anywhere_fails_the_same() {
    let bad: [&[u8]; 5] = [
        &[5, 0],
        &[4, 1, 9],
        &[4, 5, 4, b'P', b'I', b'N', b'G'],
        &[2, 0x80, 0, 0, 0, 0, 0, 0, 0],
        &[1, 0, 4, 0],
    ];
    for end in bad {
        let script = [script(), end.to_vec()].concat();
        let whole = pieces(&script, &[]);
        assert!(whole.1.is_some(), "{end:?}");
        for cut in 0..=script.len() {
            let (heard, error, out, ..) = pieces(&script, &[cut]);
            assert_eq!(heard, whole.0, "cut at {cut}");
            assert_eq!(error, whole.1, "cut at {cut}");
            assert_eq!(out, whole.2, "cut at {cut}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_messages_in_any_pieces_arrive(
        shapes in prop::collection::vec(prop::collection::vec(size(), 1..5), 1..6),
        lens in prop::collection::vec(1..20_000usize, 0..80),
    ) {
        let sent: Vec<_> = shapes
            .iter()
            .map(|sizes| Message::new(sizes.iter().map(|&size| vec![7; size])))
            .collect();
        let mut bytes = opening(1, SocketType::Dealer);
        for message in &sent {
            bytes.extend_from_slice(message.wire());
        }
        let mut end = End::new(Config::new(SocketType::Router));
        end.feed_in_pieces(&bytes, &lens);
        prop_assert_eq!(&end.error, &None);
        prop_assert!(end.messages() == sent);
    }

    #[test]
    fn the_script_in_any_pieces_is_the_same_session(
        lens in prop::collection::vec(0..60usize, 0..40),
    ) {
        let script = script();
        prop_assert_eq!(pieces(&script, &lens), pieces(&script, &[]));
    }

    #[test]
    fn any_bytes_at_all_end_in_an_error_or_in_waiting(
        bytes in prop::collection::vec(any::<u8>(), 0..400),
        lens in prop::collection::vec(0..60usize, 0..20),
    ) {
        let mut whole = router();
        whole.feed(&bytes);
        let mut cut = router();
        cut.feed_in_pieces(&bytes, &lens);
        prop_assert!(whole.session.partial() <= bytes.len());
        prop_assert_eq!(&whole.heard, &cut.heard);
        prop_assert_eq!(&whole.error, &cut.error);
    }

    #[test]
    fn frames_of_any_kind_cut_anywhere_are_the_same(
        frames in prop::collection::vec(odd_frame(), 0..20),
        lens in prop::collection::vec(0..60usize, 0..20),
    ) {
        let bytes = frames.concat();
        let mut whole = router();
        whole.feed(&bytes);
        let mut cut = router();
        cut.feed_in_pieces(&bytes, &lens);
        prop_assert_eq!(&whole.heard, &cut.heard);
        prop_assert_eq!(&whole.error, &cut.error);
        prop_assert_eq!(whole.drain(), cut.drain());
    }
}

fn size() -> impl Strategy<Value = usize> {
    prop_oneof![
        8 => 0..600usize,
        3 => 8000..8400usize,
        1 => 65_000..66_000usize,
    ]
}

/// Frames that make sense more often than not.
fn odd_frame() -> impl Strategy<Value = Vec<u8>> {
    let body = prop::collection::vec(any::<u8>(), 0..40);
    prop_oneof![
        4 => (any::<bool>(), body.clone()).prop_map(|(more, body)| frame(more, &body)),
        1 => (any::<u16>(), body.clone()).prop_map(|(ttl, body)| ping(ttl, &body)),
        1 => body.clone().prop_map(|body| command(b"ANY", &body)),
        1 => (any::<u8>(), body.clone()).prop_map(|(flags, body)| {
            let len = u8::try_from(body.len()).unwrap();
            [&[flags & !2, len], &body[..]].concat()
        }),
        1 => (any::<u8>(), body).prop_map(|(flags, body)| {
            [&[flags | 2], &(body.len() as u64).to_be_bytes()[..], &body].concat()
        }),
    ]
}

/// Bits of the short session below that nobody reads, by the rules that say so.
fn unread_bits(session: &[u8]) -> Vec<(usize, u8)> {
    let mut bits = Vec::new();
    let mut add = |at: usize, mask: u8| {
        bits.extend(
            (0..8)
                .map(|bit| (at, 1 << bit))
                .filter(|(_, bit)| bit & mask != 0),
        );
    };
    (1..9).for_each(|at| add(at, 0xff)); // padding [W1]
    add(9, 0xfe); // all but the bit that tells ZMTP 1.0
    add(10, 0xfc); // later revisions speak 3.1 to us [D16]
    (32..64).for_each(|at| add(at, 0xff)); // as-server and filler [W3]
    let mut at = 64;
    while let Some(&[_, len]) = session.get(at..at + 2) {
        add(at, 0xf8); // reserved flags [F3]
        at += 2 + usize::from(len);
    }
    for name in ["Socket-Type", "Identity"] {
        let at = session
            .windows(name.len())
            .position(|w| w == name.as_bytes());
        for (n, byte) in name.bytes().enumerate() {
            if byte.is_ascii_alphabetic() {
                add(at.unwrap() + n, 0x20); // case does not count [D14]
            }
        }
    }
    bits.sort_unstable();
    bits
}

#[test]
fn a_flipped_bit_is_an_error_or_another_session() {
    let session = [
        opening(1, SocketType::Dealer),
        frame(false, b"hello"),
        frame(true, b"a"),
        frame(false, b"bc"),
        // At the end: a sign of life would hide its TTL, another PING its context.
        ping(9, b"y"),
    ]
    .concat();
    let plain = pieces(&session, &[]);
    assert_eq!(plain.1, None);
    let mut same = Vec::new();
    for at in 0..session.len() {
        for bit in (0..8).map(|n| 1 << n) {
            let mut flipped = session.clone();
            flipped[at] ^= bit;
            let seen = pieces(&flipped, &[]);
            assert!(
                seen.1.is_some() || seen.3 == 0 || seen.4.is_some(),
                "byte {at}, bit {bit:#x}: waits for ever"
            );
            if seen == plain {
                same.push((at, bit));
            }
        }
    }
    assert_eq!(same, unread_bits(&session));
}

#[test]
fn commands_between_parts_disturb_nothing() {
    let big = vec![5; 70_000];
    let mut bytes = Vec::new();
    for part in [&b"a"[..], b"", &big] {
        bytes.extend(frame(true, part));
        for _ in 0..3 {
            bytes.extend(ping(0, b"now"));
            bytes.extend(command(b"SUBSCRIBE", b"all"));
        }
    }
    bytes.extend(frame(false, b"last"));
    for step in [1, 1000, usize::MAX] {
        let mut end = router();
        let lens = vec![step; bytes.len() / step];
        end.feed_in_pieces(&bytes, &lens);
        assert_eq!(end.error, None);
        let message = Message::new([&b"a"[..], b"", &big, b"last"]);
        assert!(end.messages() == [message]);
        assert_eq!(end.heard.len(), 1 + 18);
    }
}

#[test]
fn commands_are_never_shown_as_messages() {
    let mut end = router();
    for name in [
        &b"SUBSCRIBE"[..],
        b"CANCEL",
        b"JOIN",
        b"ping",
        b"PONG",
        b"HELLO",
        &[0; 255],
    ] {
        end.feed(&command(name, b"topic"));
    }
    assert_eq!(end.error, None);
    assert_eq!(end.heard, vec![Heard::Sign; 7]);
    assert_eq!(end.session.ignored(), 6, "PONG is known");
    assert_eq!(end.drain(), b"");
}

#[test]
fn malformed_commands_end_the_session() {
    for body in [&b""[..], b"\0", b"\0PING", b"\x05PING", b"\xff"] {
        let mut end = router();
        let len = u8::try_from(body.len()).unwrap();
        end.feed(&[&[4, len], body].concat());
        let error = wire::Error::MalformedCommand { len: body.len() };
        assert_eq!(end.error, Some(Error::Wire(error)), "{body:?}");
    }
    for data in [&b""[..], b"\0"] {
        let mut end = router();
        end.feed(&command(b"PING", data));
        let error = wire::Error::ShortPing {
            len: 5 + data.len(),
        };
        assert_eq!(end.error, Some(Error::Wire(error)));
        assert_eq!(end.drain(), b"", "no PONG");
    }
    let mut end = router();
    end.feed(&[5, 5, 4]);
    let error = wire::Error::CommandWithMore;
    assert_eq!(end.error, Some(Error::Wire(error)));
}

#[test]
fn an_unfinished_message_is_never_told() {
    let all = [frame(true, b"a"), frame(true, b"b"), frame(false, b"end")].concat();
    for cut in 1..all.len() {
        let mut end = router();
        end.feed(&all[..cut]);
        assert_eq!((end.heard, end.error), (vec![], None));
        assert!(end.session.partial() > 0);
    }
    let mut end = router();
    end.feed(&[&all[..6], &[5, 0]].concat());
    assert_eq!(end.heard, []);
    assert!(end.error.is_some());
}

#[test]
fn short_frames_end_at_255_bytes_in_what_we_write() {
    let mut pair = open_pair();
    let now = pair.a.now;
    for size in [255, 256] {
        let body = vec![0; size];
        pair.a.session.send(now, &[Piece::Part(&body)]).unwrap();
    }
    let out = pair.a.drain();
    assert_eq!(out[..2], [0, 255]);
    assert_eq!(out[257..266], [2, 0, 0, 0, 0, 0, 0, 1, 0]);
    assert_eq!(frames(&out).len(), 2);
}
