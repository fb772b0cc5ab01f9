//! Signs of life: PING and its answer, the peer's own TTL, messages that do not grow.

use std::time::Duration;

use proptest::prelude::*;
use scale0::session::{Config, Error, Heartbeat};
use scale0::wire::{Message, Piece, SocketType};

use crate::rig::{End, command, frame, frames, header, opening, ping, pong};

const SECOND: Duration = Duration::from_secs(1);
const TICK: Duration = Duration::from_micros(1);
const BEAT: Heartbeat = Heartbeat {
    interval: SECOND,
    timeout: Duration::from_secs(3),
    ttl: Duration::from_secs(2),
};

fn config() -> Config {
    Config {
        heartbeat: Some(BEAT),
        ..Config::new(SocketType::Router)
    }
}

fn watched() -> End {
    End::open(config(), 1, SocketType::Dealer)
}

fn unwatched() -> End {
    End::open(Config::new(SocketType::Router), 1, SocketType::Dealer)
}

#[test]
fn a_ping_goes_out_after_the_interval_and_states_our_ttl() {
    let mut end = watched();
    end.pass(SECOND - TICK);
    assert_eq!(end.drain(), b"");
    end.pass(TICK);
    assert_eq!(end.drain(), ping(20, b""));
    // One at a time.
    end.pass(BEAT.timeout - TICK);
    assert_eq!(end.drain(), b"");
    assert_eq!(end.error, None);
}

#[test]
fn the_timeout_counts_from_when_the_ping_has_left() {
    let mut end = watched();
    end.session.send(end.now, &[Piece::Part(b"x")]).unwrap();
    end.pass(SECOND * 9);
    assert_eq!(end.error, None, "it has not left yet");
    let len = 3 + ping(20, b"").len();
    assert_eq!(end.session.waiting(), len, "and no other is queued");
    end.write(len - 1);
    end.pass(SECOND * 9);
    assert_eq!(end.error, None, "nor has its last byte");
    end.write(1);
    let left = end.now;
    assert_eq!(end.session.deadline(), Some(left + BEAT.timeout));
    end.pass(BEAT.timeout - TICK);
    assert_eq!(end.error, None);
    end.pass(TICK);
    assert_eq!(end.error, Some(Error::Silent));
}

#[test]
fn a_pong_that_overtakes_our_ping_does_not_start_its_time() {
    let mut end = watched();
    end.pass(SECOND);
    end.feed(&ping(0, b"abc"));
    let overtaking = pong(b"abc");
    assert_eq!(end.write(overtaking.len()), overtaking);
    end.pass(BEAT.timeout * 2);
    assert_eq!(end.error, None, "our PING has not left");
    assert_eq!(end.drain(), ping(20, b""));
    end.pass(BEAT.timeout);
    assert_eq!(end.error, Some(Error::Silent));
}

#[test]
fn anything_at_all_answers_a_ping() {
    for bytes in [
        pong(b""),
        frame(false, b"data"),
        command(b"ANY", b""),
        ping(0, b""),
        vec![0],
    ] {
        let mut end = watched();
        end.pass(SECOND);
        end.drain();
        end.pass(BEAT.timeout - TICK);
        end.feed(&bytes);
        end.drain();
        end.pass(SECOND - TICK);
        assert_eq!(end.error, None);
        assert_eq!(end.drain(), b"");
        end.pass(TICK);
        assert_eq!(end.drain(), ping(20, b""), "the interval begins anew");
        end.pass(BEAT.timeout);
        assert_eq!(end.error, Some(Error::Silent));
    }
}

#[test]
fn a_peer_that_talks_is_not_pinged() {
    let mut end = watched();
    for _ in 0..20 {
        end.pass(SECOND / 2);
        end.feed(&frame(false, b"x"));
    }
    assert_eq!(end.drain(), b"");
}

#[test]
fn a_peer_of_3_0_is_never_pinged() {
    let mut end = End::open(config(), 0, SocketType::Dealer);
    end.pass(SECOND * 100);
    end.session.watch(end.now, Some(BEAT));
    end.pass(SECOND * 100);
    assert_eq!((end.drain(), end.error), (vec![], None));
    assert_eq!(end.session.deadline(), None);
}

#[test]
fn nobody_is_pinged_before_ready() {
    let mut config = config();
    config.limits.handshake_time = SECOND * 100;
    let mut end = End::new(config);
    end.drain();
    let opening = opening(1, SocketType::Dealer);
    end.feed(&opening[..opening.len() - 1]);
    end.session.watch(end.now, Some(BEAT));
    end.drain();
    end.pass(SECOND * 50);
    assert_eq!((end.drain(), end.error.clone()), (vec![], None));
    end.feed(&opening[opening.len() - 1..]);
    end.pass(SECOND);
    assert_eq!(end.drain(), ping(20, b""));
}

#[test]
fn watching_begins_and_ends_when_it_is_asked() {
    let mut end = unwatched();
    end.pass(SECOND * 100);
    assert_eq!(end.session.deadline(), None);
    end.session.watch(end.now, Some(BEAT));
    end.pass(SECOND - TICK);
    assert_eq!(end.drain(), b"", "earlier silence does not count");
    end.pass(TICK);
    assert_eq!(end.drain(), ping(20, b""));
    end.session.watch(end.now, None);
    assert_eq!(end.session.deadline(), None);
    end.pass(SECOND * 100);
    end.session.watch(end.now, Some(BEAT));
    end.pass(SECOND);
    assert_eq!(end.drain(), ping(20, b""), "the old one is forgotten");
    // Asking for the same again changes nothing.
    end.pass(SECOND * 2);
    end.session.watch(end.now, Some(BEAT));
    end.pass(SECOND);
    assert_eq!(end.error, Some(Error::Silent));
}

#[test]
fn a_ping_that_still_waits_is_not_doubled() {
    let mut end = watched();
    for _ in 0..5 {
        end.pass(SECOND);
        assert_eq!(end.session.waiting(), ping(20, b"").len());
        end.session.watch(end.now, None);
        end.session.watch(end.now, Some(BEAT));
    }
    end.drain();
    end.pass(BEAT.timeout);
    assert_eq!(end.error, Some(Error::Silent));
}

#[test]
fn two_sessions_keep_each_other_alive() {
    let mut pair = crate::rig::Pair::new(config(), config());
    pair.settle(usize::MAX);
    let mut written = 0;
    for _ in 0..1000 {
        pair.a.pass(SECOND / 10);
        pair.b.pass(SECOND / 10);
        written += pair.a.session.waiting();
        pair.settle(usize::MAX);
        assert_eq!((&pair.a.error, &pair.b.error), (&None, &None));
    }
    assert!((500..2000).contains(&written), "{written} bytes");
}

#[test]
fn the_peers_own_ttl_is_kept_and_any_byte_voids_it() {
    for (ttl, span) in [
        (1, Duration::from_millis(100)),
        (5, Duration::from_millis(500)),
        (656, Duration::from_millis(65_600)),
        (u16::MAX, Duration::from_millis(6_553_500)),
    ] {
        let mut end = unwatched();
        end.feed(&ping(ttl, b""));
        end.drain();
        assert_eq!(end.session.deadline(), Some(end.now + span));
        end.pass(span - TICK);
        assert_eq!(end.error, None);
        // The next PING arms it anew.
        end.feed(&ping(ttl, b""));
        end.drain();
        end.pass(span - TICK);
        assert_eq!(end.error, None);
        end.pass(TICK);
        assert_eq!(end.error, Some(Error::Expired));
    }
    for bytes in [frame(false, b"x"), command(b"ANY", b""), ping(0, b"")] {
        let mut end = unwatched();
        end.feed(&ping(1, b""));
        end.feed(&bytes);
        end.drain();
        assert_eq!(end.session.deadline(), None);
        end.pass(SECOND * 100);
        assert_eq!(end.error, None);
    }
    let mut end = unwatched();
    end.feed(&[ping(1, b""), frame(false, b"x")].concat());
    end.drain();
    assert_eq!(end.session.deadline(), None, "in one segment as well");
}

#[test]
fn a_ttl_of_zero_is_none() {
    let mut end = unwatched();
    end.feed(&ping(0, b""));
    end.drain();
    assert_eq!(end.session.deadline(), None);
}

#[test]
fn our_ttl_is_never_more_than_65_seconds() {
    for (ttl, tenths) in [
        (Duration::ZERO, 0),
        (Duration::from_millis(99), 0),
        (Duration::from_millis(65_500), 655),
        (Duration::from_millis(65_600), 655),
        (Duration::MAX, 655),
    ] {
        let heartbeat = Some(Heartbeat { ttl, ..BEAT });
        let config = Config {
            heartbeat,
            ..config()
        };
        let mut end = End::open(config, 1, SocketType::Dealer);
        end.pass(SECOND);
        assert_eq!(end.drain(), ping(tenths, b""));
    }
}

#[test]
fn nobody_is_judged_while_we_do_not_read() {
    // Our PING is out, a message has begun, and the peer's TTL runs.
    let mut end = watched();
    end.pass(SECOND);
    end.drain();
    end.feed(&[frame(true, b"begun"), ping(5, b"")].concat());
    end.drain();
    end.session.reading(end.now, false);
    assert_eq!(end.session.deadline(), None);
    end.pass(SECOND * 1000);
    end.wake();
    assert_eq!((end.drain(), end.error.clone()), (vec![], None));
    end.session.reading(end.now, true);
    end.wake();
    assert_eq!(end.error, None);
    assert_eq!(end.session.deadline(), Some(end.now + SECOND));
    end.pass(SECOND);
    assert_eq!(end.drain(), ping(20, b""));
    end.pass(BEAT.timeout - TICK);
    assert_eq!(end.error, None);
    // Saying so twice does not help the peer.
    end.session.reading(end.now, true);
    end.pass(TICK);
    assert_eq!(end.error, Some(Error::Silent));
}

#[test]
fn an_unfinished_message_is_judged_again_from_when_we_read_again() {
    let mut end = unwatched();
    end.feed(&frame(true, b"begun"));
    end.session.reading(end.now, false);
    end.pass(SECOND * 1000);
    end.session.reading(end.now, true);
    end.pass(SECOND * 30 - TICK);
    assert_eq!(end.error, None);
    end.pass(TICK);
    assert_eq!(end.error, Some(Error::Trickle { bytes: 0 }));
}

#[test]
fn a_peer_that_takes_nothing_is_cut_even_if_we_do_not_read() {
    let mut end = unwatched();
    end.session.send(end.now, &[Piece::Part(b"x")]).unwrap();
    end.session.reading(end.now, false);
    end.pass(SECOND * 30);
    assert_eq!(end.error, Some(Error::Stalled { waiting: 3 }));
}

#[test]
fn a_message_must_grow() {
    for begin in [
        vec![0],
        vec![2, 0, 0],
        frame(true, b"x"),
        header(false, false, 1 << 20),
    ] {
        let mut end = unwatched();
        end.feed(&begin);
        end.pass(SECOND * 30 - TICK);
        assert_eq!(end.error, None);
        end.pass(TICK);
        assert_eq!(end.error, Some(Error::Trickle { bytes: 0 }));
    }
    // The limit itself is enough, one byte less is not.
    for (bytes, error) in [(1024, None), (1023, Some(Error::Trickle { bytes: 1023 }))] {
        let mut end = unwatched();
        end.feed(&header(false, false, 1 << 20));
        for _ in 0..8 {
            end.pass(SECOND);
            end.feed(&[0; 127]);
        }
        end.feed(&vec![0; bytes - 8 * 127]);
        end.pass(SECOND * 22);
        assert_eq!(end.error, error);
    }
}

#[test]
fn a_slow_but_steady_message_arrives() {
    let mut end = watched();
    let size = 20_000;
    end.feed(&header(false, false, size));
    for _ in 0..size / 50 {
        end.pass(SECOND);
        end.feed(&[7; 50]);
        end.drain();
    }
    assert_eq!(end.error, None);
    assert_eq!(end.messages().len(), 1);
    end.drain();
    end.session.watch(end.now, None);
    assert_eq!(end.session.deadline(), None);
}

#[test]
fn small_messages_that_never_end_with_a_segment_are_no_trickle() {
    // Each segment ends one message and begins the next: none is ever older than a second.
    let mut end = unwatched();
    let message = frame(false, b"tick");
    end.feed(&message[..3]);
    for n in 1..200 {
        end.pass(SECOND);
        end.feed(&[&message[3..], &message[..3]].concat());
        assert_eq!((end.error.clone(), end.messages().len()), (None, n));
    }
}

#[test]
fn commands_do_not_feed_an_unfinished_message() {
    for silent in [false, true] {
        let mut end = unwatched();
        end.feed(&frame(true, b"begun"));
        for _ in 0..29 {
            end.pass(SECOND);
            for _ in 0..100 {
                end.feed(&if silent {
                    vec![]
                } else {
                    ping(0, b"0123456789abcdef")
                });
            }
            end.drain();
        }
        assert_eq!(end.error, None);
        end.pass(SECOND);
        assert_eq!(end.error, Some(Error::Trickle { bytes: 0 }));
    }
}

#[test]
fn no_growth_demanded_is_no_deadline() {
    let mut config = Config::new(SocketType::Router);
    (config.limits.trickle, config.limits.trickle_time) = (0, Duration::ZERO);
    let mut end = End::open(config, 1, SocketType::Dealer);
    end.feed(&frame(true, b"begun"));
    assert_eq!(end.session.deadline(), None);
    end.wake();
    assert_eq!(end.error, None);
}

#[derive(Clone, Debug)]
enum Op {
    Pass(u64),
    ToDeadline,
    Feed(Vec<u8>),
    Write(usize),
    Send(usize),
    Watch(Option<u64>),
    Read(bool),
}

fn op() -> impl Strategy<Value = Op> {
    let bytes = prop_oneof![
        2 => any::<u16>().prop_map(|ttl| ping(ttl % 40, b"c")),
        1 => Just(pong(b"")),
        1 => Just(frame(false, b"done")),
        1 => Just(frame(true, b"more")),
        1 => Just(frame(false, &[0; 2000])),
        1 => (0..2000usize).prop_map(|n| vec![0; n & !1]),
    ];
    prop_oneof![
        4 => (0..40_000u64).prop_map(Op::Pass),
        4 => Just(Op::ToDeadline),
        4 => bytes.prop_map(Op::Feed),
        3 => (0..50usize).prop_map(Op::Write),
        1 => Just(Op::Write(usize::MAX)),
        1 => (0..5000usize).prop_map(Op::Send),
        1 => prop::option::of(1..5000u64).prop_map(Op::Watch),
        1 => any::<bool>().prop_map(Op::Read),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn what_is_due_is_done_and_nothing_is_done_before_it_is_due(
        cut in 0..=opening(1, SocketType::Dealer).len(),
        minor in 0..2u8,
        ops in prop::collection::vec(op(), 1..60),
    ) {
        let mut end = End::new(config());
        let opening = opening(minor, SocketType::Dealer);
        end.feed(&opening[..cut]);
        let mut left = Some(opening[cut..].to_vec());
        for op in ops {
            match op {
                Op::Pass(millis) => end.now = end.now + Duration::from_millis(millis),
                Op::ToDeadline => end.now = end.session.deadline().unwrap_or(end.now).max(end.now),
                Op::Feed(bytes) => {
                    end.feed(&left.take().unwrap_or_default());
                    end.feed(&bytes);
                }
                Op::Write(n) => drop(end.write(n)),
                Op::Send(size) => {
                    let body = Message::single(&vec![1; size]);
                    let _ = end.session.send(end.now, &[Piece::Part(b"x"), Piece::Parts(&body)]);
                }
                Op::Watch(millis) => {
                    let heartbeat = millis.map(|millis| Heartbeat {
                        interval: Duration::from_millis(millis),
                        ..BEAT
                    });
                    end.session.watch(end.now, heartbeat);
                }
                Op::Read(on) => end.session.reading(end.now, on),
            }
            if end.error.is_some() {
                break;
            }
            let due = end.session.deadline();
            let waiting = end.session.waiting();
            // Asserts that the next deadline lies ahead.
            end.wake();
            if due.is_none_or(|due| due > end.now) {
                prop_assert_eq!(&end.error, &None, "woken early");
                prop_assert_eq!(end.session.waiting(), waiting);
                prop_assert_eq!(end.session.deadline(), due);
            }
            if end.error.is_some() {
                prop_assert_eq!(end.session.deadline(), None);
                break;
            }
        }
    }

    #[test]
    fn the_timeout_is_exact_whatever_overtakes_the_ping(
        queued in 0..3usize,
        steps in prop::collection::vec((1..40usize, any::<bool>()), 1..400),
    ) {
        let mut end = watched();
        for _ in 0..queued {
            end.session.send(end.now, &[Piece::Part(b"queued")]).unwrap();
        }
        // What waits does so since then; a kilobyte taken would count anew.
        let mut since = end.now + if queued > 0 { Duration::ZERO } else { SECOND };
        let mut taken = 0;
        end.pass(SECOND);
        let mut out = Vec::new();
        let left = |out: &[u8]| out.windows(7).any(|w| w == b"\x04PING\x00\x14");
        for (n, asks) in steps {
            end.now = end.now + Duration::from_millis(1);
            if asks {
                end.feed(&ping(0, &[u8::try_from(n).unwrap()]));
            }
            let written = end.write(n.min(3));
            taken += written.len();
            out.extend(written);
            if taken >= 1024 {
                (since, taken) = (end.now, 0);
            }
            let stall = since + Duration::from_secs(30);
            if left(&out) {
                let stall = (end.session.waiting() > 0).then_some(stall);
                let silent = end.now + BEAT.timeout;
                prop_assert_eq!(end.session.deadline(), Some(stall.unwrap_or(silent).min(silent)));
                break;
            }
            prop_assert_eq!(end.session.deadline(), Some(stall));
        }
        out.extend(end.drain());
        prop_assert_eq!(frames(&out).iter().filter(|(_, body)| body[..] == b"\x04PING\x00\x14"[..]).count(), 1);
    }
}
