//! What waits to be written: order, PONGs that overtake, peers that do not read.

use std::io::IoSlice;
use std::time::Duration;

use proptest::prelude::*;
use scale0::limits::Limits;
use scale0::session::{Config, Error};
use scale0::time::Time;
use scale0::wire::{Header, Message, Piece, SocketType};

use crate::rig::{End, command, frame, frames, greeting, ping, pong};

fn router() -> End {
    End::open(Config::new(SocketType::Router), 1, SocketType::Dealer)
}

fn send(end: &mut End, pieces: &[Piece<'_>]) -> Result<(), Error> {
    end.session.send(end.now, pieces)
}

/// A message that is copied, one that is shared, one of a copied and a shared piece.
fn queue_of_all_kinds(end: &mut End) -> Vec<u8> {
    let body = Message::new([vec![1; 4100], vec![2; 10]]);
    let shapes: [&[Piece<'_>]; 4] = [
        &[Piece::Part(b"small")],
        &[Piece::Parts(&body)],
        &[Piece::Part(b"head"), Piece::Part(b""), Piece::Parts(&body)],
        &[Piece::Part(b"small too")],
    ];
    let mut wire = Vec::new();
    for pieces in shapes {
        send(end, pieces).unwrap();
        for (n, piece) in pieces.iter().enumerate() {
            match piece {
                Piece::Part(part) => wire.extend(frame(n + 1 < pieces.len(), part)),
                Piece::Parts(parts) => wire.extend_from_slice(parts.wire()),
            }
        }
    }
    wire
}

/// The messages' bytes without the commands, and the commands' bodies with whether they stand
/// inside a message.
fn sort(wire: &[u8]) -> (Vec<u8>, Vec<(Vec<u8>, bool)>) {
    let (mut messages, mut commands, mut inside) = (Vec::new(), Vec::new(), false);
    for (header, body) in frames(wire) {
        if header.command {
            commands.push((body, inside));
        } else {
            messages.extend(frame(header.more, &body));
            inside = header.more;
        }
    }
    (messages, commands)
}

#[test]
fn a_pong_overtakes_the_queue_but_cuts_no_message() {
    let mut dry = router();
    let wire = queue_of_all_kinds(&mut dry);
    assert_eq!(dry.drain(), wire);
    // On and around every border of frames, and once within each.
    let mut places = vec![0, 1, 2];
    let mut at = 0;
    for (_, body) in frames(&wire) {
        places.push(at + body.len() / 2);
        at += Header::len_for(body.len()) + body.len();
        places.extend(at - 2..at + 3);
    }
    places.retain(|&place| place < wire.len());
    for written in places {
        let mut end = router();
        queue_of_all_kinds(&mut end);
        let mut out = end.write(written);
        end.feed(&ping(0, b"now"));
        out.extend(end.drain());
        let (messages, commands) = sort(&out);
        assert!(messages == wire, "after {written}");
        assert_eq!(commands, [(b"\x04PONGnow".to_vec(), false)]);
        let at = out.windows(4).position(|w| w == b"PONG").unwrap();
        // Behind what had begun: the largest message here has 4.1 KB.
        assert!(at < written + 4200, "after {written} at {at}");
        if written == 0 {
            assert_eq!(out[..10], pong(b"now"));
        }
    }
}

#[test]
fn a_flood_of_pings_costs_one_pong_in_line_and_one_behind() {
    let mut end = router();
    queue_of_all_kinds(&mut end);
    let before = end.session.waiting();
    let flood = |from: u16| -> Vec<u8> {
        (from..from + 1000)
            .flat_map(|n| ping(0, &n.to_be_bytes()))
            .collect()
    };
    end.feed(&flood(0));
    assert_eq!(end.session.waiting(), before + 9);
    // The first one gets in line and begins to leave.
    let mut out = end.write(1);
    end.feed(&flood(1000));
    end.feed(&flood(2000));
    assert_eq!(end.session.waiting(), before + 8 + 9);
    out.extend(end.drain());
    let (_, commands) = sort(&out);
    let bodies: Vec<_> = commands.into_iter().map(|(body, _)| body).collect();
    let answer = |n: u16| [b"\x04PONG", &n.to_be_bytes()[..]].concat();
    assert_eq!(bodies, [answer(999), answer(2999)]);
}

#[test]
fn a_ping_is_answered_with_its_context_cut_to_16_bytes() {
    let long: Vec<u8> = (0..40).collect();
    for len in [0, 1, 15, 16, 17, 40] {
        for minor in [0, 1] {
            let config = Config::new(SocketType::Router);
            let mut end = End::open(config, minor, SocketType::Dealer);
            end.feed(&ping(0, &long[..len]));
            assert_eq!(end.drain(), pong(&long[..len.min(16)]));
        }
    }
}

#[test]
fn a_pong_alone_is_written_too() {
    let mut end = router();
    for n in 0..3 {
        end.feed(&ping(0, &[n]));
        assert_eq!(end.write(3).len(), 3);
        end.feed(&ping(0, &[n, n]));
        let rest = end.drain();
        assert_eq!(rest, [&pong(&[n])[3..], &pong(&[n, n])].concat());
    }
}

#[test]
fn large_bodies_are_gathered_and_small_ones_lie_together() {
    let mut end = router();
    let body = Message::new([vec![1; 100_000]]);
    for _ in 0..3 {
        send(&mut end, &[Piece::Part(b"a"), Piece::Part(b"b")]).unwrap();
    }
    send(&mut end, &[Piece::Part(b"head"), Piece::Parts(&body)]).unwrap();
    let mut slices = [IoSlice::new(&[]); 8];
    assert_eq!(end.session.chunks(&mut slices), 2);
    assert_eq!(slices[1].as_ptr(), body.wire().as_ptr());
    assert_eq!(end.session.chunks(&mut []), 0);
}

#[test]
fn the_outbox_has_its_limit() {
    let mut config = Config::new(SocketType::Router);
    config.limits.outbox = 1000;
    let mut end = End::open(config, 1, SocketType::Dealer);
    send(&mut end, &[Piece::Part(&[0; 991])]).unwrap();
    assert_eq!(end.session.waiting(), 1000);
    // Exactly the limit may wait when a message comes; it is the one beyond that is refused.
    send(&mut end, &[Piece::Part(b"")]).unwrap();
    assert_eq!(end.session.waiting(), 1002);
    let limit = 1000;
    assert_eq!(
        send(&mut end, &[Piece::Part(b"")]),
        Err(Error::OutboxFull { limit })
    );
    assert_eq!(end.session.waiting(), 1002, "nothing queued");
    end.write(1);
    assert!(send(&mut end, &[Piece::Part(b"")]).is_err());
    end.write(1);
    assert_eq!(send(&mut end, &[Piece::Part(b"")]), Ok(()));
    assert!(end.session.is_open());
}

#[test]
fn a_peer_that_takes_nothing_or_next_to_nothing_is_cut() {
    let stall = Limits::default().stall_time;
    let tick = Duration::from_micros(1);
    let mut end = router();
    end.pass(stall * 3);
    assert_eq!(end.error, None, "nothing waits");
    send(&mut end, &[Piece::Part(b"waits")]).unwrap();
    let since = end.now;
    assert_eq!(end.session.deadline(), Some(since + stall));
    // Neither a byte, nor more of it, nor an attempt that fails is progress.
    end.pass(stall - tick);
    assert_eq!(end.write(1).len(), 1);
    send(&mut end, &[Piece::Part(b"more")]).unwrap();
    end.session.wrote(end.now, 0);
    assert_eq!(end.error, None);
    end.pass(tick);
    assert_eq!(end.error, Some(Error::Stalled { waiting: 12 }));
}

#[test]
fn a_slow_peer_that_takes_a_kilobyte_in_time_is_not_cut() {
    let stall = Limits::default().stall_time;
    let tick = Duration::from_micros(1);
    for (bytes, good) in [(1024, true), (1023, false)] {
        let mut end = router();
        send(&mut end, &[Piece::Part(&[7; 100_000])]).unwrap();
        for _ in 0..3 {
            end.pass(stall / 2);
            end.write(bytes / 2);
            end.pass(stall / 2 - tick);
            end.write(bytes - bytes / 2);
        }
        end.pass(tick * 3);
        assert_eq!(end.error.is_none(), good, "{bytes} bytes in each period");
    }
}

#[test]
fn a_peer_that_takes_all_has_the_whole_time_for_the_next() {
    let stall = Limits::default().stall_time;
    let mut end = router();
    for _ in 0..5 {
        send(&mut end, &[Piece::Part(b"little")]).unwrap();
        end.pass(stall / 2);
        end.drain();
        end.pass(stall / 3);
    }
    assert_eq!(end.error, None);
    send(&mut end, &[Piece::Part(b"little")]).unwrap();
    assert_eq!(end.session.deadline(), Some(end.now + stall));
}

#[test]
fn a_greeting_that_nobody_takes_stalls_too() {
    let mut config = Config::new(SocketType::Router);
    config.limits.stall_time = Duration::from_secs(2);
    let mut end = End::new(config);
    end.feed(&greeting(1));
    end.pass(Duration::from_secs(10));
    assert!(matches!(end.error, Some(Error::Stalled { .. })));
    assert_eq!(end.now - Duration::from_secs(10), Time::ZERO);
}

#[derive(Clone, Debug)]
enum Op {
    Send(Vec<(usize, bool)>),
    Ping(u8),
    Write(usize),
}

fn op() -> impl Strategy<Value = Op> {
    let size = prop_oneof![4 => 0..300usize, 2 => 4000..4200usize, 1 => 60_000..70_000usize];
    prop_oneof![
        3 => prop::collection::vec((size, any::<bool>()), 1..4).prop_map(Op::Send),
        3 => any::<u8>().prop_map(Op::Ping),
        2 => (0..4usize).prop_map(Op::Write),
        2 => (0..9000usize).prop_map(Op::Write),
        1 => (0..200_000usize).prop_map(Op::Write),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn whatever_is_queued_and_however_it_is_written_the_stream_is_whole(
        ops in prop::collection::vec(op(), 1..40),
    ) {
        let mut end = router();
        let (mut out, mut expected) = (Vec::new(), Vec::new());
        let mut asked: Vec<(usize, u8)> = Vec::new();
        for op in ops {
            match op {
                Op::Send(parts) => {
                    let bodies: Vec<_> = parts.iter().map(|&(size, _)| vec![9; size]).collect();
                    let messages: Vec<_> = bodies.iter().map(|body| Message::single(body)).collect();
                    let pieces: Vec<_> = parts
                        .iter()
                        .zip(bodies.iter().zip(&messages))
                        .map(|(&(_, share), (body, message))| match share {
                            true => Piece::Parts(message),
                            false => Piece::Part(body),
                        })
                        .collect();
                    send(&mut end, &pieces).unwrap();
                    expected.extend_from_slice(Message::new(&bodies).wire());
                }
                Op::Ping(n) => {
                    end.feed(&ping(0, &[n]));
                    asked.push((out.len(), n));
                }
                Op::Write(n) => {
                    let before = end.session.waiting();
                    let written = end.write(n);
                    prop_assert_eq!(written.len(), n.min(before));
                    prop_assert_eq!(end.session.waiting(), before - written.len());
                    out.extend(written);
                }
            }
        }
        out.extend(end.drain());
        let (messages, commands) = sort(&out);
        prop_assert!(messages == expected);
        prop_assert!(commands.iter().all(|(_, inside)| !inside));

        // PONGs come in the order of their PINGs, and the last PING is answered, soon.
        let mut rest = asked.iter();
        for (body, _) in &commands {
            prop_assert!(rest.any(|(_, n)| body[5..] == [*n]));
        }
        if let Some((at, n)) = asked.last() {
            prop_assert_eq!(&commands.last().unwrap().0[5..], &[*n][..]);
            let answered = out.len() - pong_from_end(&out);
            // One chunk, the message that ends it, and the PONG in line.
            prop_assert!(answered <= at + (64 << 10) + 4 * 70_100 + 16);
        }
    }
}

/// How far from the end of the stream its last PONG begins.
fn pong_from_end(wire: &[u8]) -> usize {
    let (mut at, mut found) = (0, 0);
    for (head, body) in frames(wire) {
        if head.command {
            found = at;
        }
        at += Header::len_for(body.len()) + body.len();
    }
    wire.len() - found
}

#[test]
fn what_was_queued_before_the_end_can_still_be_written() {
    let mut end = router();
    send(&mut end, &[Piece::Part(b"last words")]).unwrap();
    end.feed(&command(b"ERROR", b"\x02no"));
    assert!(end.error.is_some());
    assert_eq!(end.drain(), frame(false, b"last words"));
}
