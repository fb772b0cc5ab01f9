//! From the first byte to READY.

use std::time::Duration;

use bytes::Bytes;
use scale0::limits::Limits;
use scale0::security;
use scale0::session::{Config, Error, Heard, Peer};
use scale0::time::Time;
use scale0::wire::{self, Metadata, Piece, SocketType, push_property};

use crate::rig::{End, Pair, command, frame, frames, greeting, opening, ping, ready};

const PAIRS: &str = "REQ-REP REQ-ROUTER REP-DEALER DEALER-DEALER DEALER-ROUTER ROUTER-ROUTER \
    PUB-SUB PUB-XSUB XPUB-SUB XPUB-XSUB PUSH-PULL PAIR-PAIR";

fn router() -> End {
    End::new(Config::new(SocketType::Router))
}

/// What a ROUTER says before anything is wrong.
fn hello() -> Vec<u8> {
    opening(1, SocketType::Router)
}

/// An ERROR as the peer reads it.
fn refusal(reason: &str) -> Vec<u8> {
    let len = u8::try_from(reason.len()).unwrap();
    command(b"ERROR", &[&[len], reason.as_bytes()].concat())
}

#[test]
fn all_121_pairs_of_socket_types_end_as_the_table_says() {
    let legal: Vec<_> = PAIRS.split(' ').filter_map(|p| p.split_once('-')).collect();
    for ours in SocketType::ALL {
        for theirs in SocketType::ALL {
            let (a, b) = (ours.name(), theirs.name());
            let mut pair = Pair::new(Config::new(ours), Config::new(theirs));
            pair.settle(usize::MAX);
            let open = legal.contains(&(a, b)) || legal.contains(&(b, a));
            assert_eq!(pair.a.session.is_open(), open, "{a}-{b}");
            assert_eq!(pair.b.session.is_open(), open, "{a}-{b}");
            let expected = (!open).then_some(Error::Incompatible { ours, theirs });
            assert_eq!(pair.a.error, expected);
            if open {
                let metadata = Metadata::of(theirs);
                let peer = Peer {
                    minor: 1,
                    metadata,
                    user: None,
                };
                assert_eq!(pair.a.heard, [Heard::Open(peer)]);
            }
        }
    }
}

#[test]
fn incompatible_types_are_told_with_an_error_after_ready() {
    let mut end = router();
    end.feed(&opening(1, SocketType::Pub));
    assert_eq!(
        end.drain(),
        [hello(), refusal("Invalid socket type")].concat()
    );
}

#[test]
fn a_peer_without_a_known_socket_type_is_told() {
    let mut unknown = Vec::new();
    push_property("Socket-Type", b"TEAPOT", &mut unknown);
    for metadata in [&b""[..], &unknown] {
        let mut end = router();
        end.feed(&greeting(1));
        end.feed(&command(b"READY", metadata));
        assert!(end.error.is_some() && end.heard.is_empty());
        assert_eq!(
            end.drain(),
            [hello(), refusal("Invalid socket type")].concat()
        );
    }
}

#[test]
fn identities_end_at_255_bytes_and_do_not_begin_with_zero() {
    let shake = |identity: &[u8]| {
        let metadata = Metadata {
            identity: Bytes::copy_from_slice(identity),
            ..Metadata::of(SocketType::Dealer)
        };
        let mut end = router();
        end.feed(&greeting(1));
        end.feed(&command(b"READY", &metadata.write()));
        end
    };
    for good in [&[][..], b"x", &[255; 255]] {
        let end = shake(good);
        let [Heard::Open(peer)] = &end.heard[..] else {
            panic!("{:?}", end.error);
        };
        assert_eq!(peer.metadata.identity, good);
    }
    for bad in [&[1; 256][..], &[0], b"\0abc"] {
        let mut end = shake(bad);
        let len = bad.len();
        let error = security::Error::Wire(wire::Error::BadIdentity { len });
        assert_eq!(end.error, Some(Error::Security(error)));
        assert_eq!(end.drain(), [hello(), refusal("Invalid identity")].concat());
    }
}

#[test]
fn identity_and_properties_arrive_as_they_were_set() {
    let config = Config {
        identity: Bytes::from("me"),
        properties: vec![(Bytes::from("X-Hello"), Bytes::from("world"))],
        ..Config::new(SocketType::Dealer)
    };
    let metadata = Metadata {
        kind: config.kind,
        identity: config.identity.clone(),
        others: config.properties.clone(),
    };
    let mut pair = Pair::new(config, Config::new(SocketType::Router));
    pair.settle(7);
    assert_eq!(
        pair.b.heard,
        [Heard::Open(Peer {
            minor: 1,
            metadata,
            user: None
        })]
    );
}

#[test]
fn the_greeting_waits_for_nobody_and_ready_for_the_greeting_alone() {
    let mut end = router();
    assert_eq!(end.drain(), greeting(1));
    let theirs = greeting(1);
    end.feed(&theirs[..63]);
    assert_eq!(end.drain(), b"");
    end.feed(&theirs[63..]);
    assert_eq!(end.drain(), ready(SocketType::Router));
}

#[test]
fn another_mechanism_is_closed_without_a_word() {
    for name in [
        &b"PLAIN"[..],
        b"CURVE",
        b"null",
        b"NULL\0x",
        b"NULLNULLNULLNULLNULL",
    ] {
        let mut theirs = greeting(1);
        theirs[12..32].fill(0);
        theirs[12..12 + name.len()].copy_from_slice(name);
        let mut end = router();
        end.feed(&theirs);
        assert!(
            matches!(end.error, Some(Error::Mechanism { .. })),
            "{name:?}"
        );
        assert_eq!(end.drain(), greeting(1));
    }
}

#[test]
fn other_protocols_are_closed_at_the_byte_that_tells_and_without_a_word() {
    let mut staged = greeting(1);
    for (at, byte) in [(0, b'G'), (9, 0x7e), (10, 2), (10, 0)] {
        let mut theirs = staged.clone();
        theirs[at] = byte;
        let mut end = router();
        end.feed(&theirs[..at]);
        assert_eq!(end.error, None);
        end.feed(&theirs[at..=at]);
        assert!(end.error.is_some(), "byte {at} = {byte}");
        assert_eq!(end.drain(), greeting(1));
    }
    staged[10] = 9;
    let mut end = router();
    end.feed(&staged);
    assert_eq!(end.error, None);
}

#[test]
fn no_message_is_taken_before_ready() {
    for early in [frame(false, b"x"), frame(true, b""), vec![0xf8, 0]] {
        let mut end = router();
        end.feed(&greeting(1));
        end.feed(&[early, ready(SocketType::Dealer)].concat());
        assert_eq!((end.error, end.heard), (Some(Error::Early), vec![]));
    }
}

#[test]
fn only_ready_and_error_belong_before_ready() {
    for name in [&b"PING"[..], b"SUBSCRIBE", b"HELLO", b"ready", b"RRROR"] {
        let mut end = router();
        end.feed(&greeting(1));
        end.feed(&command(name, &[0, 0]));
        let name = Bytes::copy_from_slice(name);
        let error = security::Error::Unexpected { name };
        assert_eq!(end.error, Some(Error::Security(error)));
        assert_eq!(end.drain(), hello());
    }
}

#[test]
fn handshake_commands_need_the_command_bit_and_no_more() {
    let plain = ready(SocketType::Dealer);
    for (flags, fine) in [(4, true), (0xfc, true), (0, false), (5, false), (1, false)] {
        let mut end = router();
        end.feed(&greeting(1));
        end.feed(&[&[flags], &plain[1..]].concat());
        assert_eq!(end.session.is_open(), fine, "flags {flags:#x}");
        assert_eq!(end.error.is_none(), fine, "flags {flags:#x}");
    }
    let long = [&[6, 0, 0, 0, 0, 0, 0, 0], &plain[1..]].concat();
    let mut end = router();
    end.feed(&greeting(1));
    end.feed(&long);
    assert!(end.session.is_open());
}

#[test]
fn ready_comes_once() {
    let mut end = router();
    end.feed(&opening(1, SocketType::Dealer));
    assert!(end.session.is_open());
    end.feed(&ready(SocketType::Dealer));
    assert_eq!(end.error, Some(Error::ReadyTwice));
}

#[test]
fn error_ends_the_session_in_the_handshake_and_after() {
    let reason = Bytes::from("no");
    let mut end = router();
    end.feed(&greeting(1));
    end.feed(&refusal("no"));
    let error = security::Error::Refused {
        reason: reason.clone(),
    };
    assert_eq!(end.error, Some(Error::Security(error)));
    assert_eq!(end.drain(), hello());

    let mut end = End::open(Config::new(SocketType::Router), 1, SocketType::Dealer);
    end.feed(&refusal("no"));
    assert_eq!(end.error, Some(Error::Refused { reason }));
    assert_eq!(end.drain(), b"");

    let mut end = End::open(Config::new(SocketType::Router), 1, SocketType::Dealer);
    end.feed(&command(b"ERROR", b"\x09short"));
    let error = wire::Error::MalformedError { len: 12 };
    assert_eq!(end.error, Some(Error::Wire(error)));
}

#[test]
fn what_follows_ready_in_the_same_segment_is_kept() {
    let mut end = router();
    end.feed(&[opening(0, SocketType::Req), frame(false, b"at once")].concat());
    assert_eq!(end.messages().len(), 1);
}

#[test]
fn an_eager_peer_gets_its_pong_behind_our_ready() {
    let mut end = router();
    end.feed(&[opening(1, SocketType::Dealer), ping(0, b"now")].concat());
    assert_eq!(
        end.drain(),
        [hello(), command(b"PONG", b"now")].concat(),
        "nothing had been written yet"
    );
    let mut end = router();
    let bytes = [opening(1, SocketType::Dealer), ping(0, b"now")].concat();
    end.feed(&bytes);
    let mut out = end.write(70);
    end.session.send(end.now, &[Piece::Part(b"hi")]).unwrap();
    out.extend(end.drain());
    let (ours, rest) = out.split_at(hello().len());
    assert_eq!(ours, hello());
    assert_eq!(frames(rest).len(), 2);
}

#[test]
fn nothing_is_sent_before_the_peers_ready() {
    let mut end = router();
    let send = |end: &mut End| end.session.send(end.now, &[Piece::Part(b"x")]);
    assert_eq!(send(&mut end), Err(Error::NotOpen));
    end.feed(&greeting(1));
    assert_eq!(send(&mut end), Err(Error::NotOpen));
    let ready = ready(SocketType::Dealer);
    end.feed(&ready[..ready.len() - 1]);
    assert_eq!(send(&mut end), Err(Error::NotOpen));
    assert_eq!(end.drain(), hello());
    end.feed(&ready[ready.len() - 1..]);
    assert_eq!(send(&mut end), Ok(()));
    assert_eq!(end.drain(), frame(false, b"x"));
}

#[test]
fn the_handshake_deadline_is_absolute_however_the_bytes_drip() {
    let limits = Limits::default();
    let end_at = Time::ZERO + limits.handshake_time;
    // 200 bytes of a READY that would take longer than there is time.
    let mut slow = greeting(1);
    let mut metadata = Metadata::of(SocketType::Dealer).write();
    push_property("X-Fill", &[7; 300], &mut metadata);
    slow.extend(command(b"READY", &metadata));
    let mut end = router();
    end.drain();
    for byte in slow {
        if end.error.is_some() {
            break;
        }
        assert!(!end.session.is_open());
        assert_eq!(end.session.deadline(), Some(end_at));
        end.feed(&[byte]);
        end.drain();
        end.pass(Duration::from_millis(20));
    }
    assert_eq!(end.error, Some(Error::HandshakeTimeout));
    assert_eq!(end.now, end_at);
    assert_eq!(end.drain(), b"", "a late peer is told nothing");

    let mut end = router();
    end.drain();
    end.now = end_at;
    end.now = end.now - Duration::from_micros(1);
    end.wake();
    end.feed(&opening(1, SocketType::Dealer));
    end.drain();
    assert!(end.session.is_open());
    assert_eq!(end.session.deadline(), None);
}

#[test]
fn a_slow_handshake_is_judged_by_its_own_deadline_alone() {
    let mut config = Config::new(SocketType::Router);
    config.limits.handshake_time = Duration::from_secs(100);
    let mut end = End::new(config);
    end.drain();
    end.feed(&opening(1, SocketType::Dealer)[..70]);
    end.drain();
    for _ in 0..99 {
        end.now = end.now + Duration::from_secs(1);
        end.wake();
        assert_eq!(end.error, None);
    }
    end.pass(Duration::from_secs(1));
    assert_eq!(end.error, Some(Error::HandshakeTimeout));
}

#[test]
fn handshake_bytes_are_capped_alike_wherever_they_are_cut() {
    let mut metadata = Metadata::of(SocketType::Dealer).write();
    push_property("X-Fill", &[7; 1000], &mut metadata);
    let all = [greeting(1), command(b"READY", &metadata)].concat();
    for (limit, fine) in [(all.len(), true), (all.len() - 1, false)] {
        let mut config = Config::new(SocketType::Router);
        config.limits.handshake = limit;
        for cut in 0..all.len() {
            let mut end = End::new(config.clone());
            end.feed(&all[..cut]);
            end.feed(&all[cut..]);
            assert_eq!(end.session.is_open(), fine, "cut at {cut}");
            let error = (!fine).then_some(Error::HandshakeTooLong { limit });
            assert_eq!(end.error, error, "cut at {cut}");
        }
        let mut end = End::new(config);
        end.feed_in_pieces(&all, &vec![1; all.len()]);
        assert_eq!(end.session.is_open(), fine);
    }
}

#[test]
fn a_closed_session_stays_closed_and_silent() {
    let mut end = router();
    end.feed(b"GET / HTTP/1.1\r\n");
    assert!(end.error.is_some());
    end.drain();
    for bytes in [&b""[..], b"x", &opening(1, SocketType::Dealer)] {
        let mut input = bytes;
        let again = end.session.receive(end.now, &mut input);
        assert_eq!(again, Err(Error::Closed));
    }
    assert_eq!(end.session.send(end.now, &[]), Err(Error::NotOpen));
    end.now = Time::from_millis(1_000_000);
    assert_eq!(end.session.wake(end.now), Ok(()));
    assert_eq!(end.session.deadline(), None);
    assert_eq!(end.drain(), b"");
}
