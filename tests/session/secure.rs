//! PLAIN and CURVE: who gets in, and what nobody else can read or change.

use bytes::{BufMut as _, Bytes};
use proptest::prelude::*;
use scale0::security::curve::{KeyPair, SecretKey};
use scale0::security::{self, Credentials, Security, User, Verdict};
use scale0::session::{Config, Error, Heard, Heartbeat};
use scale0::wire::{Command, Greeting, MechanismName, Message, Metadata, Piece, SocketType};
use std::time::Duration;
use zeroize::Zeroizing;

use crate::rig::{End, Pair, command, frame, frames};

fn keys(seed: u8) -> KeyPair {
    KeyPair::new(SecretKey::from_bytes([seed; 32]))
}

fn config(kind: SocketType, security: Security) -> Config {
    Config {
        security,
        ..Config::new(kind)
    }
}

fn user() -> User {
    User {
        name: "ann".into(),
        key: None,
    }
}

fn plain_client() -> Security {
    Security::PlainClient {
        user: "admin".into(),
        password: Zeroizing::new(b"secret".to_vec()),
    }
}

fn curve_client(server: u8) -> Security {
    Security::CurveClient {
        own: keys(3),
        server: keys(server).public,
    }
}

/// A DEALER that connects to a ROUTER, which lets everybody in.
fn pair(client: Security, server: Security) -> Pair {
    let mut pair = Pair::new(
        config(SocketType::Dealer, client),
        config(SocketType::Router, server),
    );
    pair.b.verdict = Some(Verdict::Admit(user()));
    pair
}

fn plain() -> Pair {
    pair(plain_client(), Security::PlainServer)
}

fn curve() -> Pair {
    pair(curve_client(4), Security::CurveServer { own: keys(4) })
}

fn shaken(mut pair: Pair) -> Pair {
    pair.settle(usize::MAX);
    assert_eq!((&pair.a.error, &pair.b.error), (&None, &None));
    assert!(pair.a.session.is_open() && pair.b.session.is_open());
    pair.a.heard.clear();
    pair.b.heard.clear();
    pair
}

/// The greeting of a peer with that mechanism.
fn greeting(mechanism: MechanismName) -> Vec<u8> {
    Greeting {
        minor: 1,
        mechanism,
        as_server: false,
    }
    .write()
    .to_vec()
}

fn reason(text: &str) -> Vec<u8> {
    let len = u8::try_from(text.len()).unwrap();
    command(b"ERROR", &[&[len], text.as_bytes()].concat())
}

#[test]
fn both_mechanisms_tell_who_came_and_as_whom_it_was_let_in() {
    let shown = [
        Credentials::Plain {
            user: "admin".into(),
            password: Zeroizing::new(b"secret".to_vec()),
        },
        Credentials::Curve {
            key: keys(3).public,
        },
    ];
    for (mut pair, shown) in [plain(), curve()].into_iter().zip(shown) {
        pair.settle(usize::MAX);
        let [Heard::Asks(credentials), Heard::Open(peer)] = &pair.b.heard[..] else {
            panic!("{:?}", pair.b.heard);
        };
        assert_eq!(*credentials, shown);
        assert_eq!(peer.user, Some(user()));
        assert_eq!(peer.metadata.kind, SocketType::Dealer);
        let [Heard::Open(peer)] = &pair.a.heard[..] else {
            panic!("{:?}", pair.a.heard);
        };
        assert_eq!(
            (peer.metadata.kind, &peer.user),
            (SocketType::Router, &None)
        );
    }
}

#[test]
fn a_verdict_against_the_peer_is_told_as_the_rfc_has_it() {
    let told = [
        (Verdict::Deny, security::Error::Denied, reason("400")),
        (Verdict::Later, security::Error::Undecided, Vec::new()),
        (Verdict::Fail, security::Error::Failed, reason("500")),
    ];
    for make in [plain, curve] {
        for (verdict, error, words) in told.clone() {
            let mut pair = make();
            pair.b.verdict = None;
            pair.settle(usize::MAX);
            pair.b.judge(verdict);
            assert_eq!(pair.b.error, Some(error.into()));
            let said = pair.b.drain();
            assert_eq!(said, words);
            pair.a.feed(&said);
            assert_eq!(pair.a.error.is_some(), !words.is_empty());
            assert!(!pair.b.session.is_open() && !pair.a.session.is_open());
        }
    }
}

#[test]
fn nothing_may_come_before_the_verdict_and_it_must_come_in_time() {
    for make in [plain, curve] {
        let mut pair = make();
        pair.b.verdict = None;
        pair.settle(usize::MAX);
        assert!(matches!(pair.b.heard[..], [Heard::Asks(_)]));
        pair.b.pass(Duration::from_secs(6));
        assert_eq!(pair.b.error, Some(Error::HandshakeTimeout));

        let mut pair = make();
        pair.b.verdict = None;
        pair.settle(usize::MAX);
        pair.b.feed(&command(
            b"INITIATE",
            &Metadata::of(SocketType::Dealer).write(),
        ));
        assert_eq!(pair.b.error, Some(Error::Impatient));
        // A verdict that comes too late changes nothing.
        pair.b.judge(Verdict::Admit(user()));
        assert_eq!(pair.b.error, Some(Error::Closed));
        assert!(!pair.b.session.is_open());
    }
}

#[test]
fn null_asks_about_the_address_if_it_is_told_to() {
    let mut pair = pair(Security::Null, Security::NullAsked);
    pair.b.verdict = None;
    pair.settle(usize::MAX);
    assert_eq!(pair.b.heard, [Heard::Asks(Credentials::Nothing)]);
    assert!(!pair.a.session.is_open(), "READY waits for the verdict");
    pair.b.judge(Verdict::Admit(user()));
    let pair = shaken(pair);
    assert!(pair.a.session.is_open());
}

#[test]
fn a_hello_of_plain_must_fill_its_frame() {
    let hello = |data: &[u8]| {
        let mut end = End::new(config(SocketType::Router, Security::PlainServer));
        end.feed(&greeting(MechanismName::PLAIN));
        end.feed(&command(b"HELLO", data));
        (end.error, end.heard)
    };
    for wrong in [
        &b""[..],
        b"\x05admin",
        b"\x05admin\x07secret",
        b"\x05admin\x05secret",
        b"\xffadmin\x06secret",
    ] {
        let (error, heard) = hello(wrong);
        let malformed = security::Error::Malformed {
            command: "HELLO",
            len: wrong.len(),
        };
        assert_eq!((error, heard), (Some(malformed.into()), Vec::new()));
    }
    let (error, heard) = hello(b"\x00\x00");
    assert_eq!(error, None);
    let nobody = Credentials::Plain {
        user: Bytes::new(),
        password: Zeroizing::default(),
    };
    assert_eq!(heard, [Heard::Asks(nobody)]);
}

#[test]
fn plain_goes_step_by_step() {
    // Each side in a state where the command is wrong.
    for (security, commands) in [
        (
            Security::PlainServer,
            &[&b"INITIATE"[..], b"WELCOME", b"READY", b"PING"][..],
        ),
        (
            plain_client(),
            &[b"HELLO", b"READY", b"INITIATE", b"SUBSCRIBE"],
        ),
        (
            Security::CurveServer { own: keys(4) },
            &[b"INITIATE", b"MESSAGE", b"READY"],
        ),
        (
            curve_client(4),
            &[b"HELLO", b"READY", b"MESSAGE", b"INITIATE"],
        ),
    ] {
        for name in commands {
            let mechanism = match security {
                Security::PlainServer | Security::PlainClient { .. } => MechanismName::PLAIN,
                _ => MechanismName::CURVE,
            };
            let mut end = End::new(config(SocketType::Router, security.clone()));
            end.feed(&greeting(mechanism));
            end.feed(&command(name, &Metadata::of(SocketType::Dealer).write()));
            let unexpected = security::Error::Unexpected {
                name: Bytes::copy_from_slice(name),
            };
            assert_eq!(end.error, Some(unexpected.into()));
            // No message either.
            let mut end = End::new(config(SocketType::Router, security.clone()));
            end.feed(&greeting(mechanism));
            end.feed(&frame(false, b"hello"));
            assert_eq!(end.error, Some(Error::Early));
        }
    }
}

#[test]
fn an_error_is_understood_in_libzmqs_spelling_too() {
    for error in [reason("400"), b"\x04\x09^RROR\x03400".to_vec()] {
        let mut end = End::new(config(SocketType::Dealer, plain_client()));
        end.feed(&greeting(MechanismName::PLAIN));
        end.feed(&error);
        let refused = security::Error::Refused {
            reason: "400".into(),
        };
        assert_eq!(end.error, Some(refused.into()));
    }
}

#[test]
fn another_mechanism_is_left_without_a_word() {
    let all = [
        MechanismName::NULL,
        MechanismName::PLAIN,
        MechanismName::CURVE,
    ];
    let ours = [
        Security::Null,
        Security::PlainServer,
        Security::CurveServer { own: keys(4) },
    ];
    for (security, own) in ours.into_iter().zip(all) {
        for theirs in all {
            let mut end = End::new(config(SocketType::Router, security.clone()));
            end.drain();
            end.feed(&greeting(theirs));
            let mismatch = (theirs != own).then_some(Error::Mechanism { theirs });
            assert_eq!(end.error, mismatch);
            if theirs != own {
                assert_eq!(end.drain(), b"");
            }
        }
    }
}

#[test]
fn who_knows_another_servers_key_gets_nowhere() {
    let mut pair = pair(curve_client(5), Security::CurveServer { own: keys(4) });
    pair.settle(usize::MAX);
    assert_eq!(
        pair.b.error,
        Some(security::Error::Sealed { command: "HELLO" }.into())
    );
    assert_eq!(pair.b.heard, []);
}

#[test]
fn types_that_do_not_go_together_are_told_before_ready() {
    for (client, server) in [
        (plain_client(), Security::PlainServer),
        (curve_client(4), Security::CurveServer { own: keys(4) }),
    ] {
        let mut pair = Pair::new(
            config(SocketType::Sub, client),
            config(SocketType::Router, server),
        );
        pair.b.verdict = Some(Verdict::Admit(user()));
        pair.settle(usize::MAX);
        let told = security::Error::Refused {
            reason: "Invalid socket type".into(),
        };
        assert_eq!(pair.a.error, Some(told.into()));
    }
}

/// Messages at the borders of every length and shape.
fn shapes() -> Vec<Message> {
    let mut all = Vec::new();
    for size in [
        0,
        1,
        222,
        223,
        255,
        256,
        8191,
        8192,
        65_536,
        73_000,
        1 << 20,
    ] {
        all.push(Message::single(&vec![7; size]));
        all.push(Message::new([vec![1; size], Vec::new(), vec![2; 300]]));
    }
    all.push(Message::new((0..100_u8).map(|n| vec![n; 64])));
    all
}

#[test]
fn sealed_messages_arrive_as_they_were_in_any_pieces() {
    for step in [usize::MAX, 70_000, 4096, 100] {
        let mut pair = shaken(curve());
        let sent = shapes();
        for message in &sent {
            let (now, parts) = (pair.a.now, Piece::Parts(message));
            pair.a
                .session
                .send(now, &[Piece::Part(b"head"), parts])
                .unwrap();
            pair.b.session.send(now, &[parts]).unwrap();
        }
        pair.settle(step);
        assert_eq!((&pair.a.error, &pair.b.error), (&None, &None));
        let headed: Vec<_> = sent.iter().map(|message| message.behind(b"head")).collect();
        assert!(pair.b.messages() == headed, "in steps of {step}");
        assert!(pair.a.messages() == sent, "in steps of {step}");
        assert_eq!(pair.a.session.partial() + pair.b.session.partial(), 0);
    }
}

/// Bytes to a session as a socket gives them: where the session wants them, if it says so.
fn read_in_place(end: &mut End, mut bytes: &[u8]) -> Result<Vec<Message>, Error> {
    let mut messages = Vec::new();
    while !bytes.is_empty() {
        let heard = if let Some(mut place) = end.session.large() {
            let (head, tail) = bytes.split_at(place.remaining_mut().min(bytes.len()).min(30_000));
            place.put_slice(head);
            bytes = tail;
            end.session.read_large(end.now, head.len())?
        } else {
            let (head, tail) = bytes.split_at(bytes.len().min(1000));
            let mut left = head;
            let heard = end.session.receive(end.now, &mut left)?;
            bytes = &bytes[bytes.len() - tail.len() - left.len()..];
            heard
        };
        match heard {
            None => {}
            Some(Heard::Message(message)) => messages.push(message),
            Some(other) => panic!("{other:?}"),
        }
    }
    Ok(messages)
}

#[test]
fn large_sealed_messages_may_be_read_to_where_they_stay() {
    for mut pair in [shaken(plain()), shaken(curve())] {
        let sent = shapes();
        for message in &sent {
            let (now, parts) = (pair.a.now, Piece::Parts(message));
            pair.a.session.send(now, &[parts]).unwrap();
        }
        let said = pair.a.drain();
        assert!(read_in_place(&mut pair.b, &said) == Ok(sent));
        assert_eq!(pair.b.session.partial(), 0);
    }
    let mut pair = shaken(curve());
    let large = Message::single(&[7; 100_000]);
    let now = pair.a.now;
    pair.a.session.send(now, &[Piece::Parts(&large)]).unwrap();
    let mut said = pair.a.drain();
    *said.last_mut().unwrap() ^= 1;
    let sealed = security::Error::Sealed { command: "MESSAGE" };
    assert_eq!(read_in_place(&mut pair.b, &said), Err(sealed.into()));
    assert!(!pair.b.session.is_open() && pair.b.session.large().is_none());
    assert_eq!(pair.b.session.partial(), 0);
}

#[test]
fn nothing_that_is_sealed_shows_and_no_flag_is_outside() {
    let mut pair = shaken(curve());
    let now = pair.a.now;
    let secret = Message::new([&b"attack"[..], b"at dawn"]);
    pair.a.session.send(now, &[Piece::Parts(&secret)]).unwrap();
    pair.a.session.subscribe(now, true, b"attack").unwrap();
    let said = pair.a.drain();
    assert!(!said.windows(6).any(|window| window == b"attack"));
    for (header, body) in frames(&said) {
        assert!(!header.more && !header.command);
        assert!(body.starts_with(b"\x07MESSAGE"));
    }
    pair.b.feed(&said);
    assert_eq!(pair.b.messages(), [secret]);
}

#[test]
fn commands_travel_sealed() {
    let mut publisher = config(SocketType::Xpub, Security::CurveServer { own: keys(4) });
    publisher.heartbeat = Some(Heartbeat {
        interval: Duration::from_secs(1),
        timeout: Duration::from_secs(1),
        ttl: Duration::ZERO,
    });
    let subscriber = config(SocketType::Sub, curve_client(4));
    let mut pair = Pair::new(subscriber, publisher);
    pair.b.verdict = Some(Verdict::Admit(user()));
    let mut pair = shaken(pair);
    let now = pair.a.now;
    pair.a.session.subscribe(now, true, b"news").unwrap();
    pair.settle(usize::MAX);
    let subscribed = Heard::Subscription {
        on: true,
        topic: "news".into(),
    };
    assert_eq!(pair.b.heard, [subscribed]);
    // PING and PONG keep it up.
    for _ in 0..20 {
        pair.a.pass(Duration::from_millis(500));
        pair.b.pass(Duration::from_millis(500));
        pair.settle(usize::MAX);
    }
    assert_eq!(pair.b.error, None);
    pair.b.pass(Duration::from_secs(1));
    pair.b.drain();
    pair.b.pass(Duration::from_secs(1));
    assert_eq!(pair.b.error, Some(Error::Silent));
}

/// [K5]: a peer of ZMTP 3.0 is told of subscriptions by messages, in boxes as well.
#[test]
fn subscriptions_travel_sealed_in_the_older_form_too() {
    let publisher = config(SocketType::Xpub, Security::CurveServer { own: keys(4) });
    let mut pair = Pair::new(config(SocketType::Sub, curve_client(4)), publisher);
    pair.b.verdict = Some(Verdict::Admit(user()));
    // Nobody protects the greeting: this one says 3.0 to the subscriber.
    let mut greeting = pair.b.write(64);
    greeting[11] = 0;
    pair.a.feed(&greeting);
    let mut pair = shaken(pair);
    pair.a.session.subscribe(pair.a.now, true, b"news").unwrap();
    let said = pair.a.drain();
    assert!(!said.windows(4).any(|window| window == b"news"));
    pair.b.feed(&said);
    assert_eq!(pair.b.messages(), [Message::single(b"\x01news")]);
}

#[test]
fn a_flood_of_pings_costs_one_pong_at_a_time() {
    let mut pair = shaken(curve());
    // The DEALER's own session seals them.
    for n in 0..1000_u16 {
        pair.a
            .session
            .send(pair.a.now, &[Piece::Part(&n.to_be_bytes())])
            .unwrap();
    }
    let mut pings = shaken(pair_of_watchers());
    pings.a.pass(Duration::from_secs(100));
    let said = pings.a.drain();
    pings.b.feed(&said);
    assert!(
        pings.b.session.waiting() < 200,
        "{}",
        pings.b.session.waiting()
    );
    pair.settle(usize::MAX);
    assert_eq!(pair.b.messages().len(), 1000);
}

fn pair_of_watchers() -> Pair {
    let mut client = config(SocketType::Dealer, curve_client(4));
    client.heartbeat = Some(Heartbeat {
        interval: Duration::from_secs(1),
        timeout: Duration::from_secs(1000),
        ttl: Duration::ZERO,
    });
    let server = config(SocketType::Router, Security::CurveServer { own: keys(4) });
    let mut pair = Pair::new(client, server);
    pair.b.verdict = Some(Verdict::Admit(user()));
    pair
}

/// Frames that are not sealed, or sealed and played twice, end a sealed connection.
#[test]
fn clear_and_replayed_frames_end_a_sealed_connection() {
    let clear: Error = security::Error::Clear.into();
    for bytes in [
        frame(false, b"hello"),
        frame(true, b"\x07MESSAGE"),
        command(b"PING", &[0, 0]),
        command(b"SUBSCRIBE", b""),
        command(b"READY", b""),
    ] {
        let mut pair = shaken(curve());
        pair.b.feed(&bytes);
        assert_eq!(pair.b.error, Some(clear.clone()));
        assert_eq!(pair.b.heard, []);
    }
    let mut pair = shaken(curve());
    pair.a
        .session
        .send(pair.a.now, &[Piece::Part(b"once")])
        .unwrap();
    let said = pair.a.drain();
    pair.b.feed(&said);
    assert_eq!(pair.b.messages().len(), 1);
    pair.b.feed(&said);
    assert_eq!(pair.b.error, Some(security::Error::Replayed.into()));
    assert_eq!(pair.b.messages().len(), 1);
}

#[test]
fn the_prose_of_the_rfc_may_set_the_command_flag_and_nobody_the_more_flag() {
    let mut pair = shaken(curve());
    pair.a
        .session
        .send(pair.a.now, &[Piece::Part(b"hello")])
        .unwrap();
    let mut said = pair.a.drain();
    said[0] |= 4;
    pair.b.feed(&said);
    assert_eq!(pair.b.messages(), [Message::single(b"hello")]);
    pair.a
        .session
        .send(pair.a.now, &[Piece::Part(b"hello")])
        .unwrap();
    let mut said = pair.a.drain();
    said[0] |= 1;
    pair.b.feed(&said);
    assert_eq!(pair.b.error, Some(security::Error::Clear.into()));
}

#[test]
fn a_sealed_frame_is_measured_before_anything_is_allocated() {
    for size in [u64::from(u32::MAX), 1 << 40, i64::MAX as u64] {
        let mut pair = shaken(curve());
        pair.b.feed(&crate::rig::header(false, false, size));
        assert!(matches!(pair.b.error, Some(Error::Wire(_))), "{size}");
        assert_eq!(pair.b.session.partial(), 0);
    }
    let mut server = config(SocketType::Router, Security::CurveServer { own: keys(4) });
    server.limits.message = 1000;
    server.limits.parts = 3;
    for sent in [Message::new([[0; 600], [0; 600]]), Message::new([b""; 4])] {
        let mut pair = Pair::new(config(SocketType::Dealer, curve_client(4)), server.clone());
        pair.b.verdict = Some(Verdict::Admit(user()));
        let mut pair = shaken(pair);
        pair.a
            .session
            .send(pair.a.now, &[Piece::Parts(&sent)])
            .unwrap();
        pair.settle(usize::MAX);
        assert!(
            matches!(pair.b.error, Some(Error::Wire(_))),
            "{:?}",
            pair.b.error
        );
    }
}

/// All that a client says in a session with two messages, and what the server heard of it.
fn said(make: fn() -> Pair) -> (Vec<u8>, Vec<Heard>) {
    let mut pair = make();
    let mut all = Vec::new();
    loop {
        let (ab, ba) = (pair.a.drain(), pair.b.drain());
        if ab.is_empty() && ba.is_empty() {
            break;
        }
        all.extend_from_slice(&ab);
        pair.b.feed(&ab);
        pair.a.feed(&ba);
    }
    for text in ["one", "two"] {
        pair.a
            .session
            .send(
                pair.a.now,
                &[Piece::Part(text.as_bytes()), Piece::Part(b"")],
            )
            .unwrap();
    }
    let ab = pair.a.drain();
    all.extend_from_slice(&ab);
    pair.b.feed(&ab);
    assert_eq!(pair.b.error, None);
    (all, pair.b.heard)
}

/// Without the one thing that comes from the greeting, which nobody protects: the minor version.
fn sealed(mut heard: Vec<Heard>) -> Vec<Heard> {
    for heard in &mut heard {
        if let Heard::Open(peer) = heard {
            peer.minor = 1;
        }
    }
    heard
}

/// The same server again: what it draws is the same, so what the client said fits.
fn server(make: fn() -> Pair) -> End {
    make().b
}

#[test]
fn a_session_that_is_cut_anywhere_is_the_same() {
    for make in [plain as fn() -> Pair, curve] {
        let (bytes, heard) = said(make);
        for cut in 0..=bytes.len() {
            let mut end = server(make);
            end.feed(&bytes[..cut]);
            end.feed(&bytes[cut..]);
            assert_eq!(end.error, None, "cut at {cut}");
            assert_eq!(end.heard, heard, "cut at {cut}");
        }
    }
}

#[test]
fn no_flipped_bit_lets_somebody_else_in_or_changes_a_sealed_message() {
    let (bytes, heard) = said(curve);
    for bit in 0..bytes.len() * 8 {
        let mut flipped = bytes.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        let mut end = server(curve);
        end.feed(&flipped);
        let count = end.heard.len();
        assert!(
            sealed(end.heard) == sealed(heard[..count].to_vec()),
            "bit {bit}"
        );
    }
    // PLAIN protects nothing; it only must not fall over.
    let (bytes, _) = said(plain);
    for bit in 0..bytes.len() * 8 {
        let mut flipped = bytes.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        server(plain).feed(&flipped);
    }
}

#[test]
fn the_client_takes_no_flipped_bit_from_its_server_either() {
    let mut pair = curve();
    let mut bytes = Vec::new();
    loop {
        let (ab, ba) = (pair.a.drain(), pair.b.drain());
        if ab.is_empty() && ba.is_empty() {
            break;
        }
        bytes.extend_from_slice(&ba);
        pair.b.feed(&ab);
        pair.a.feed(&ba);
    }
    pair.b
        .session
        .send(pair.b.now, &[Piece::Part(b"hello")])
        .unwrap();
    bytes.extend(pair.b.drain());
    let mut end = curve().a;
    end.feed(&bytes);
    assert_eq!((end.error, end.heard.len()), (None, 2));
    let heard = end.heard;
    for bit in 0..bytes.len() * 8 {
        let mut flipped = bytes.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        let mut end = curve().a;
        end.feed(&flipped);
        let count = end.heard.len();
        assert!(
            sealed(end.heard) == sealed(heard[..count].to_vec()),
            "bit {bit}"
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn frames_of_a_sealed_session_cannot_be_dropped_doubled_or_moved_within(
        order in proptest::collection::vec(0_usize..6, 0..12),
    ) {
        let mut pair = shaken(curve());
        let mut sealed = Vec::new();
        for n in 0..6_u8 {
            pair.a.session.send(pair.a.now, &[Piece::Part(&[n])]).unwrap();
            sealed.push(pair.a.drain());
        }
        // Gaps are legal: a nonce may only never come again, or after a greater one.
        let mut expected = Vec::new();
        let mut broken = false;
        for place in order {
            pair.b.feed(&sealed[place]);
            let message = Message::single(&[u8::try_from(place).unwrap()]);
            broken |= expected.last().is_some_and(|last: &Message| *last >= message);
            if !broken {
                expected.push(message);
            }
        }
        prop_assert_eq!(pair.b.messages(), expected);
        prop_assert_eq!(pair.b.error.is_some(), broken);
    }

    #[test]
    fn a_server_survives_any_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..600), name in 0_usize..4) {
        let name = [Command::HELLO, Command::INITIATE, Command::READY, b"MESSAGE"][name];
        for (make, mechanism) in [(plain as fn() -> Pair, MechanismName::PLAIN), (curve, MechanismName::CURVE)] {
            for mut end in [make().a, make().b] {
                end.feed(&greeting(mechanism));
                end.feed(&command(name, &bytes));
                end.feed(&bytes);
            }
        }
    }
}

#[test]
fn no_secret_is_ever_printed() {
    let secret = keys(3).secret.to_z85();
    let bytes = format!("{:?}", b"secret");
    for (client, server) in [
        (plain_client(), Security::PlainServer),
        (curve_client(4), Security::CurveServer { own: keys(3) }),
    ] {
        let mut pair = pair(client.clone(), server.clone());
        pair.b.verdict = None;
        let mut printed = format!("{client:?} {server:?}");
        for _ in 0..4 {
            printed += &format!("{pair:?}");
            let (ab, ba) = (pair.a.drain(), pair.b.drain());
            pair.b.feed(&ab);
            pair.a.feed(&ba);
        }
        for secret in [
            &secret[..],
            &bytes[1..bytes.len() - 1],
            "115, 101, 99, 114, 101, 116",
        ] {
            assert!(!printed.contains(secret), "{secret}");
        }
    }
}
