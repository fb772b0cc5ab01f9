use super::*;
use crate::wire::{Command, Message, Metadata, SocketType, push_property};

fn greeting(mechanism: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0xff, 0, 0, 0, 0, 0, 0, 0, 1, 0x7f, 3, 1];
    bytes.extend_from_slice(mechanism);
    bytes.resize(64, 0);
    bytes
}

fn command(name: &[u8], data: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    Command::write(name, data, &mut out);
    out
}

/// A dealer's side of a connection, up to its first messages.
fn dealer() -> Vec<u8> {
    let ready = command(b"READY", &Metadata::of(SocketType::Dealer).write());
    let message = Message::new(["", "hello"]);
    [&greeting(b"NULL")[..], &ready, message.wire()].concat()
}

fn explained(chunks: &[&[u8]]) -> Vec<String> {
    let mut lines = Vec::new();
    let mut explainer = Explainer::new();
    for chunk in chunks {
        explainer.hear(chunk, &mut |line| lines.push(line.to_owned()));
    }
    explainer.end(&mut |line| lines.push(line.to_owned()));
    lines
}

#[test]
fn a_conversation_is_told_line_by_line_with_its_bytes() {
    assert_eq!(
        explained(&[&dealer()]),
        [
            "greeting: signature | ff00000000000000017f",
            "greeting: ZMTP 3.1 | 0301",
            "greeting: mechanism NULL | 4e554c4c00000000000000000000000000000000",
            "greeting: as client, filler | 0000000000000000000000000000000000000000000000000000000000000000",
            "command READY, 41 bytes | 0429 055245414459",
            "  Socket-Type = \"DEALER\" | 0b 536f636b65742d54797065 00000006 4445414c4552",
            "  Identity = \"\" | 08 4964656e74697479 00000000 ",
            "part (MORE), 0 bytes: \"\" | 0100 ",
            "last part, 5 bytes: \"hello\" | 0005 68656c6c6f",
        ]
    );
}

#[test]
fn a_stream_cut_anywhere_gives_the_same_lines() {
    let mut curve = greeting(b"CURVE");
    curve.extend(command(b"HELLO", &[7; 194]));
    curve.extend(Message::new([&b"\x07MESSAGE123456789012345678901234567890"[..]]).wire());
    let long = Message::new([&b"x".repeat(300)[..], b"\x00\xff"]);
    let http = b"GET / HTTP/1.1\r\nHost: here\r\n\r\n".repeat(9);
    let old = [&greeting(b"NULL")[..10], b"\x01\x05rest\nof it"].concat();
    for stream in [[&dealer()[..], long.wire()].concat(), curve, http, old] {
        let whole = explained(&[&stream]);
        for cut in 0..stream.len() {
            let (head, tail) = stream.split_at(cut);
            assert_eq!(explained(&[head, tail]), whole, "cut at {cut}");
        }
        let single: Vec<_> = stream.chunks(1).collect();
        assert_eq!(explained(&single), whole);
    }
}

#[test]
fn commands_are_explained_by_name() {
    let lines = |name: &[u8], data: &[u8]| {
        let stream = [&dealer()[..], &command(name, data)].concat();
        explained(&[&stream])[9..].join("\n")
    };
    assert_eq!(
        lines(b"PING", b"\x00\x0fctx"),
        "command PING, 10 bytes | 040a 0450494e47\n  time to live 1.5 s | 000f\n  context \"ctx\" | 637478"
    );
    assert!(lines(b"PING", b"\x00\x00").ends_with("\n  no time to live | 0000"));
    assert!(lines(b"PING", b"\x00").ends_with("\n  not understood, 1 byte | 00"));
    assert!(lines(b"PONG", b"ctx").ends_with("\n  context \"ctx\" | 637478"));
    assert!(lines(b"SUBSCRIBE", b"news").ends_with("\n  topic \"news\" | 6e657773"));
    assert!(lines(b"CANCEL", b"").ends_with("\n  topic \"\" | "));
    assert!(lines(b"JOIN", b"\xff").ends_with("\n  group no text | ff"));
    assert!(lines(b"ERROR", b"\x03400").ends_with("\n  reason \"400\" | 03 343030"));
    assert!(lines(b"WHATEVER", b"1").ends_with("\n  data \"1\" | 31"));
    let misspelt = [&dealer()[..], b"\x04\x09^RROR\x03400"].concat();
    assert!(explained(&[&misspelt]).ends_with(&["  reason \"400\" | 03 343030".to_owned()]));
}

#[test]
fn flags_are_told_where_they_are_odd() {
    let line = |frame: &[u8]| explained(&[&dealer(), frame])[9].clone();
    assert_eq!(
        line(b"\x03\0\0\0\0\0\0\0\x01a"),
        "part (MORE LONG), 1 byte: \"a\" | 030000000000000001 61"
    );
    assert_eq!(
        line(b"\xf8\x01a"),
        "last part (reserved f8), 1 byte: \"a\" | f801 61"
    );
    assert_eq!(
        line(b"\x05\x05\x04PONG"),
        "command PONG (MORE), 5 bytes | 0505 04504f4e47"
    );
    assert_eq!(
        line(b"\x04\x02\x00x"),
        "command without a sound name, 2 bytes | 0402 0078"
    );
    let ready = [&greeting(b"NULL")[..], b"\x00\x06\x05READY"].concat();
    assert_eq!(
        explained(&[&ready])[4],
        "command READY (no COMMAND), 6 bytes | 0006 055245414459"
    );
}

#[test]
fn a_huge_frame_is_told_by_its_beginning_and_costs_nothing() {
    let mut explainer = Explainer::new();
    let mut lines = Vec::new();
    explainer.hear(&dealer(), &mut |_| {});
    let mut tell = |line: &str| lines.push(line.to_owned());
    explainer.hear(b"\x02\x7f\xff\xff\xff\xff\xff\xff\xff", &mut tell);
    for _ in 0..100 {
        explainer.hear(&[b'x'; 65_536], &mut tell);
        assert!(explainer.kept.capacity() <= 2 * SHOWN_COMMAND);
    }
    explainer.end(&mut tell);
    let shown = "x".repeat(64);
    assert_eq!(
        lines,
        [
            format!(
                "last part (LONG), 9223372036854775807 bytes: \"{shown}\"... | 027fffffffffffffff {}...",
                hex(shown.as_bytes())
            ),
            "ends within a frame, after 6553600 of 9223372036854775807 bytes".to_owned(),
        ]
    );
    let command = [&dealer()[..], b"\x06\0\0\0\0\x00\x10\0\0\x09SUBSCRIBE"].concat();
    let mut explainer = Explainer::new();
    explainer.hear(&command, &mut |_| {});
    for _ in 0..100 {
        explainer.hear(&[b'x'; 4096], &mut |_| {});
        assert!(explainer.kept.capacity() <= 2 * SHOWN_COMMAND);
    }
}

#[test]
fn a_text_cut_within_a_character_is_still_a_text() {
    let stream = [
        &dealer()[..],
        Message::single("ü".repeat(90).as_bytes()).wire(),
    ]
    .concat();
    let line = explained(&[&stream])[9].clone();
    assert!(
        line.contains(&format!("\"{}\"...", "ü".repeat(32))),
        "{line}"
    );
    let shifted = format!("a{}", "ü".repeat(90));
    let stream = [&dealer()[..], Message::single(shifted.as_bytes()).wire()].concat();
    let line = explained(&[&stream])[9].clone();
    assert!(
        line.contains(&format!("\"a{}\"...", "ü".repeat(31))),
        "{line}"
    );
}

#[test]
fn what_is_not_zmtp_is_told_and_shown_a_little() {
    let http = b"GET / HTTP/1.1\r\n".repeat(9);
    assert_eq!(
        explained(&[&http])[..2],
        [
            "not ZMTP: it would begin with ff",
            "  GET / HTTP/1.1\\r\\n | 474554202f20485454502f312e310d0a",
        ]
    );
    assert_eq!(explained(&[&http]).len(), 6);
    assert_eq!(explained(&[&http])[5], "and 80 bytes more");
    let huge = [&dealer()[..], &[2, 0xff, 0, 0, 0, 0, 0, 0, 0]].concat();
    assert!(explained(&[&huge])[9].starts_with("no frame can have 18374686479671623680 bytes"));
    let zmtp2 = [&greeting(b"NULL")[..10], b"\x01\x05"].concat();
    assert_eq!(
        explained(&[&zmtp2])[1..3],
        [
            "greeting: ZMTP 2.0 | 01",
            "the framing of ZMTP before 3.0 is not explained"
        ]
    );
}

#[test]
fn an_end_in_the_middle_is_told() {
    let whole = dealer();
    for cut in 1..whole.len() {
        let lines = explained(&[&whole[..cut]]);
        let told = lines.iter().any(|line| line.starts_with("ends within"));
        let between = [64, 107, 109].contains(&cut);
        assert_eq!(told, !between, "cut at {cut}: {lines:#?}");
    }
    assert!(explained(&[]).is_empty());
}

#[test]
fn old_subscriptions_are_known_by_who_sends_them() {
    let mut stream = greeting(b"NULL");
    stream.extend(command(b"READY", &Metadata::of(SocketType::Sub).write()));
    stream.extend(Message::single(b"\x01news").wire());
    stream.extend(Message::single(b"\x00news").wire());
    let lines = explained(&[&stream]);
    assert_eq!(
        lines[6..],
        [
            "last part, 5 bytes: subscribes to \"news\" | 0005 016e657773",
            "last part, 5 bytes: cancels \"news\" | 0005 006e657773",
        ]
    );
}

#[test]
fn passwords_are_never_shown() {
    let password = "opensesame";
    let sound = command(b"HELLO", b"\x05admin\x0aopensesame");
    let lines = explained(&[&greeting(b"PLAIN"), &sound]);
    assert_eq!(
        lines[4..],
        [
            "command HELLO, 23 bytes | 0417 0548454c4c4f",
            "  user \"admin\" | 05 61646d696e",
            "  password of 10 bytes",
        ]
    );
    let hex = hex(password.as_bytes());
    let body = b"\x05HELLO\x05admin\x0aopensesame";
    let frames: [&[u8]; 9] = [
        &sound,
        // Without its flag, under another name, without a name, with false lengths.
        &[&[0, 23], &body[..]].concat(),
        &[&[1, 23], &body[..]].concat(),
        &command(b"hello", b"\x05admin\x0aopensesame"),
        &command(b"HELLO", b"\x05admin\x09opensesame"),
        &command(b"HELLO", b"\x05admin\x0bopensesame"),
        &command(b"HELLO", b"\xffadmin\x0aopensesame"),
        &[&[4, 11, 0], password.as_bytes()].concat(),
        // A length that does not hold, and what follows is no frame.
        &[&[2, 0xff, 0, 0, 0, 0, 0, 0, 0], &body[..], b"\n"].concat(),
    ];
    for mechanism in [&b"PLAIN"[..], b"PLAID", b""] {
        for frame in frames {
            for cut in 0..=frame.len() {
                let text = explained(&[&greeting(mechanism), &frame[..cut]]).join("\n");
                assert!(!text.contains(password), "{text}");
                assert!(!text.contains(&hex), "{text}");
            }
        }
    }
    // A peer that says HELLO where it should not.
    let text = explained(&[&dealer(), &sound]).join("\n");
    assert!(text.contains("HELLO") && !text.contains(&hex), "{text}");
}

#[test]
fn plain_and_curve_are_explained_by_name_and_size() {
    let mut metadata = Vec::new();
    push_property("Socket-Type", b"REQ", &mut metadata);
    let plain = [
        greeting(b"PLAIN"),
        command(b"WELCOME", b""),
        command(b"INITIATE", &metadata),
    ];
    let lines = explained(&plain.each_ref().map(Vec::as_slice));
    assert_eq!(lines[4], "command WELCOME, 8 bytes | 0408 0757454c434f4d45");
    assert!(lines[6].starts_with("  Socket-Type = \"REQ\" | "));
    let curve = [
        greeting(b"CURVE"),
        command(b"WELCOME", &[9; 160]),
        command(b"INITIATE", &[9; 300]),
        Message::single(&[&b"\x07MESSAGE"[..], &[9; 100]].concat())
            .wire()
            .to_vec(),
    ];
    let lines = explained(&curve.each_ref().map(Vec::as_slice));
    let starts = |n: usize, text: &str| assert!(lines[n].starts_with(text), "{}", lines[n]);
    starts(4, "command WELCOME, 168 bytes | 04a8 ");
    starts(5, "  nonce, 16 bytes | ");
    starts(6, "  box, 144 bytes | ");
    starts(8, "  cookie, 96 bytes | ");
    starts(9, "  nonce, 8 bytes | ");
    starts(10, "  box, 196 bytes | ");
    starts(11, "command MESSAGE (no COMMAND), 108 bytes | 006c ");
    starts(13, "  box, 92 bytes | ");
    assert_eq!(lines.len(), 14);
}

proptest::proptest! {
    #[test]
    fn whatever_comes_is_told_alike_however_it_is_cut(
        plain: bool,
        frames in proptest::collection::vec((0u8..16, proptest::collection::vec(0u8..130, 0..90)), 0..6),
        junk in proptest::collection::vec(0u8.., 0..80),
        step in 1usize..40,
    ) {
        let mut stream = greeting(if plain { b"PLAIN" } else { b"NULL" });
        stream.extend(command(b"READY", &Metadata::of(SocketType::Sub).write()));
        for (flags, body) in &frames {
            stream.push(flags & !2);
            stream.push(u8::try_from(body.len()).unwrap());
            stream.extend_from_slice(body);
        }
        stream.extend_from_slice(&junk);
        let pieces: Vec<_> = stream.chunks(step).collect();
        let whole = explained(&[&stream]);
        proptest::prop_assert!(whole.iter().all(|line| !line.contains(char::is_control)));
        proptest::prop_assert_eq!(explained(&pieces), whole);
    }
}
