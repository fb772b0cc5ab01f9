//! `spec/vectors/zmtp`, both ways: the bytes are heard as the file says, and what the file says
//! is written as those bytes.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that is surprised has failed"
)]

use std::fmt::Write;
use std::io::IoSlice;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use scale0::session::{Config, Heard, Session};
use scale0::time::Time;
use scale0::wire::{Command, Greeting, MechanismName, Message, Metadata, SocketType};

/// One file.
struct Vector {
    name: String,
    bytes: Vec<u8>,
    /// What has been said before: `nothing`, `greeting` or `ready`.
    after: String,
    ours: SocketType,
    /// `hears ..`, `fails ..` and `waits`, in order.
    outcome: Vec<String>,
    says: Vec<u8>,
    canonical: bool,
}

#[test]
fn every_vector_is_heard_as_its_file_says() {
    for vector in vectors() {
        assert_eq!(hear(&vector, &[]), expected(&vector), "{}", vector.name);
    }
}

#[test]
fn every_vector_cut_anywhere_is_heard_as_its_file_says() {
    for vector in vectors() {
        let expected = expected(&vector);
        for cut in 0..=vector.bytes.len() {
            assert_eq!(hear(&vector, &[cut]), expected, "{} at {cut}", vector.name);
        }
        let bytewise = vec![1; vector.bytes.len()];
        assert_eq!(hear(&vector, &bytewise), expected, "{}", vector.name);
    }
}

#[test]
fn what_a_canonical_vector_says_is_written_as_its_bytes() {
    let mut canonical = 0;
    for vector in vectors().iter().filter(|vector| vector.canonical) {
        let mut out = Vec::new();
        for line in &vector.outcome {
            let words: Vec<_> = line.split(' ').collect();
            match words[..] {
                ["hears", "greeting", ..] => {
                    let greeting = Greeting::read(&vector.bytes).unwrap().unwrap();
                    out.extend(greeting.write());
                }
                [
                    "hears",
                    "open",
                    kind,
                    "minor",
                    _,
                    "identity",
                    identity,
                    ref others @ ..,
                ] => {
                    let others = others.iter().filter_map(|other| other.split_once('='));
                    let metadata = Metadata {
                        kind: SocketType::read(kind.as_bytes()).unwrap(),
                        identity: hex(identity).into(),
                        others: others
                            .map(|(name, value)| (hex(name).into(), hex(value).into()))
                            .collect::<Vec<(Bytes, Bytes)>>(),
                    };
                    Command::write(Command::READY, &metadata.write(), &mut out);
                }
                ["hears", "message", ref parts @ ..] => {
                    out.extend_from_slice(Message::new(parts.iter().map(|part| hex(part))).wire());
                }
                ["hears", "command", name, data] => {
                    Command::write(name.as_bytes(), &hex(data), &mut out);
                }
                ["waits"] | ["fails", ..] => {}
                _ => panic!("{}: {line}", vector.name),
            }
        }
        assert_eq!(out, vector.bytes, "{}", vector.name);
        canonical += 1;
    }
    assert!(canonical > 40, "{canonical} canonical vectors");
}

/// Every vector of the folder; the format is explained in `spec/vectors/README.md`.
fn vectors() -> Vec<Vector> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("spec/vectors/zmtp");
    let entries = std::fs::read_dir(folder).unwrap();
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    let vectors: Vec<_> = paths.iter().map(|path| read(path)).collect();
    assert!(vectors.len() > 90, "{} vectors", vectors.len());
    vectors
}

fn read(path: &Path) -> Vector {
    let mut vector = Vector {
        name: path.file_name().unwrap().to_string_lossy().into_owned(),
        bytes: Vec::new(),
        after: "ready".to_owned(),
        ours: SocketType::Router,
        outcome: Vec::new(),
        says: Vec::new(),
        canonical: false,
    };
    for line in std::fs::read_to_string(path).unwrap().lines() {
        if let Some(line) = line.strip_prefix("#= ") {
            match line.split_once(' ').unwrap_or((line, "")) {
                ("after", state) => vector.after = state.to_owned(),
                ("ours", kind) => vector.ours = SocketType::read(kind.as_bytes()).unwrap(),
                ("says", bytes) => vector.says.extend(hex(bytes)),
                ("canonical", "") => vector.canonical = true,
                ("hears" | "fails" | "waits", _) => vector.outcome.push(line.to_owned()),
                _ => panic!("{}: {line}", vector.name),
            }
        } else if !line.starts_with('#') {
            line.split(' ')
                .for_each(|pair| vector.bytes.extend(hex(pair)));
        }
    }
    assert!(!vector.outcome.is_empty(), "{}", vector.name);
    vector
}

/// Digits to bytes; `-` is none of them, `78*300` one of them three hundred times.
fn hex(digits: &str) -> Vec<u8> {
    if digits == "-" {
        return Vec::new();
    }
    if let Some((byte, times)) = digits.split_once('*') {
        return hex(byte).repeat(times.parse().unwrap());
    }
    assert!(digits.len().is_multiple_of(2), "{digits}");
    let pair = |at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap();
    (0..digits.len()).step_by(2).map(pair).collect()
}

/// What has to come out: one line after the other, and what the session says at the end.
fn expected(vector: &Vector) -> Vec<String> {
    let mut lines = Vec::new();
    for line in &vector.outcome {
        // A session tells nothing of a greeting, and of a command only that there was one; what
        // they hold is checked where the canonical ones are written.
        if line.starts_with("hears greeting") {
            let read = Greeting::read(&vector.bytes).unwrap().unwrap();
            let server = if read.as_server { "yes" } else { "no" };
            let text = format!(
                "hears greeting minor {} mechanism {} server {server}",
                read.minor, read.mechanism
            );
            assert_eq!(*line, text, "{}", vector.name);
        } else if line.starts_with("hears command") {
            lines.push("hears command".to_owned());
        } else if let Some(parts) = line.strip_prefix("hears message ") {
            let message = Message::new(parts.split(' ').map(hex));
            lines.push(format!("hears message {:02x?}", message.wire()));
        } else {
            lines.push(line.clone());
        }
    }
    lines.push(format!("says {:02x?}", vector.says));
    lines
}

/// The session's own account of the vector's bytes, given in pieces of these lengths.
fn hear(vector: &Vector, lens: &[usize]) -> Vec<String> {
    let mut session = Session::new(Time::ZERO, Arc::new(Config::new(vector.ours)), [0; 32]);
    let before = match &vector.after[..] {
        "nothing" => Vec::new(),
        "greeting" => greeting(),
        "ready" => [greeting(), ready(SocketType::Dealer)].concat(),
        state => panic!("{}: after {state}", vector.name),
    };
    let mut lines = Vec::new();
    feed(&mut session, &before, &mut lines);
    lines.clear();
    write(&mut session);

    let mut rest = &vector.bytes[..];
    let mut over = false;
    for len in lens.iter().copied().chain([usize::MAX]) {
        let (head, tail) = rest.split_at(len.min(rest.len()));
        over = over || feed(&mut session, head, &mut lines);
        rest = tail;
    }
    if !over && (session.partial() > 0 || !session.is_open()) {
        lines.push("waits".to_owned());
    }
    lines.push(format!("says {:02x?}", write(&mut session)));
    lines
}

/// True if the session is over.
fn feed(session: &mut Session, mut bytes: &[u8], lines: &mut Vec<String>) -> bool {
    loop {
        lines.push(match session.receive(Time::ZERO, &mut bytes) {
            Ok(None) => return false,
            Ok(Some(Heard::Sign | Heard::Subscription { .. } | Heard::Asks(_))) => {
                "hears command".to_owned()
            }
            Ok(Some(Heard::Message(message))) => {
                format!("hears message {:02x?}", message.wire())
            }
            Ok(Some(Heard::Open(peer))) => {
                let Metadata {
                    kind,
                    identity,
                    others,
                } = peer.metadata;
                let identity = digits(&identity);
                let mut line = format!("hears open {kind} minor {} identity ", peer.minor);
                line += if identity.is_empty() { "-" } else { &identity };
                for (name, value) in others {
                    write!(line, " {}={}", digits(&name), digits(&value)).unwrap();
                }
                line
            }
            Err(error) => {
                lines.push(format!("fails {error:?}"));
                return true;
            }
        });
    }
}

/// All that waits to be written. The greeting has been written already.
fn write(session: &mut Session) -> Vec<u8> {
    let mut out = Vec::new();
    loop {
        let mut slices = [IoSlice::new(&[]); 4];
        let filled = session.chunks(&mut slices);
        let once: Vec<u8> = slices[..filled].iter().flat_map(|s| s.to_vec()).collect();
        if once.is_empty() {
            return out;
        }
        session.wrote(Time::ZERO, once.len());
        out.extend(once);
    }
}

fn digits(bytes: &[u8]) -> String {
    let mut text = String::new();
    for byte in bytes {
        write!(text, "{byte:02x}").unwrap();
    }
    text
}

fn greeting() -> Vec<u8> {
    let greeting = Greeting {
        minor: 1,
        mechanism: MechanismName::NULL,
        as_server: false,
    };
    greeting.write().to_vec()
}

fn ready(kind: SocketType) -> Vec<u8> {
    let mut out = Vec::new();
    Command::write(Command::READY, &Metadata::of(kind).write(), &mut out);
    out
}
