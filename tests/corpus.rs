//! Every input that a fuzz target was ever given on purpose, or broke on, is replayed; and so is
//! every vector of the specifications, by every target.

#![allow(
    unreachable_pub,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::duplicate_mod,
    reason = "tests may fail; the targets are public to cargo-fuzz"
)]

use std::path::{Path, PathBuf};

#[path = "../fuzz/fuzz_targets/broker.rs"]
mod broker;
#[path = "../fuzz/fuzz_targets/commands.rs"]
mod commands;
#[path = "../fuzz/fuzz_targets/curve_client.rs"]
mod curve_client;
#[path = "../fuzz/fuzz_targets/curve_server.rs"]
mod curve_server;
#[path = "../fuzz/fuzz_targets/explain.rs"]
mod explain;
#[path = "../fuzz/fuzz_targets/frames.rs"]
mod frames;
#[path = "../fuzz/fuzz_targets/greeting.rs"]
mod greeting;
#[path = "../fuzz/fuzz_targets/metadata.rs"]
mod metadata;
#[path = "../fuzz/fuzz_targets/pattern.rs"]
mod pattern;
#[path = "../fuzz/fuzz_targets/plain.rs"]
mod plain;
#[path = "../fuzz/fuzz_targets/s0_header.rs"]
mod s0_header;
#[path = "../fuzz/fuzz_targets/session.rs"]
mod session;
#[path = "../fuzz/fuzz_targets/sniff.rs"]
mod sniff;
#[path = "../fuzz/fuzz_targets/subscriptions.rs"]
mod subscriptions;

type Target = (&'static str, fn(&[u8]));

const TARGETS: [Target; 14] = [
    ("broker", broker::run),
    ("commands", commands::run),
    ("curve_client", curve_client::run),
    ("curve_server", curve_server::run),
    ("explain", explain::run),
    ("frames", frames::run),
    ("greeting", greeting::run),
    ("metadata", metadata::run),
    ("pattern", pattern::run),
    ("plain", plain::run),
    ("s0_header", s0_header::run),
    ("session", session::run),
    ("sniff", sniff::run),
    ("subscriptions", subscriptions::run),
];

#[test]
fn every_input_of_the_corpus_is_survived() {
    for (name, run) in TARGETS {
        let inputs = files(&root().join("fuzz/corpus").join(name));
        assert!(!inputs.is_empty(), "fuzz/corpus/{name} is empty");
        for path in inputs {
            eprintln!("{}", path.display());
            run(&std::fs::read(&path).unwrap());
        }
    }
}

proptest::proptest! {
    /// Changes of an honest peer's session, and raw bytes behind some of it.
    #[test]
    fn secured_sessions_survive_any_input(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..80)) {
        for run in [curve_client::run, curve_server::run, plain::run] {
            run(&bytes);
        }
    }
}

#[test]
fn every_vector_is_survived_by_every_target() {
    for path in files(&root().join("spec/vectors")) {
        let Some(bytes) = vector(&std::fs::read(&path).unwrap()) else {
            continue;
        };
        eprintln!("{}", path.display());
        for (_, run) in TARGETS {
            run(&bytes);
            // The first byte tells some targets how to cut or whom to be.
            run(&[&[1], &bytes[..]].concat());
        }
    }
}

#[test]
fn every_target_is_replayed_here() {
    let manifest = std::fs::read_to_string(root().join("fuzz/Cargo.toml")).unwrap();
    for path in files(&root().join("fuzz/fuzz_targets")) {
        let name = path.file_stem().unwrap().to_str().unwrap();
        assert!(TARGETS.iter().any(|(known, _)| *known == name), "{name}");
        assert!(manifest.contains(&format!("name = \"{name}\"")), "{name}");
    }
}

/// The bytes that a vector's lines spell; `None` for a file of another kind.
fn vector(text: &[u8]) -> Option<Vec<u8>> {
    let text = std::str::from_utf8(text).ok()?;
    let lines = text
        .lines()
        .map(|line| line.split('#').next().unwrap_or_default());
    let digits: Vec<u8> = lines
        .flat_map(str::bytes)
        .filter(|byte| !byte.is_ascii_whitespace())
        .collect();
    let octet = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    digits.chunks(2).map(octet).collect()
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// All files below a directory, in order; none if there is no such directory.
fn files(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory).into_iter().flatten() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.push(path);
        }
    }
    found.sort();
    found
}
