//! Sessions back to back and against hand-made bytes, in virtual time. `[..]` are the handles of
//! `spec/zmtp.md`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that is surprised has failed"
)]

#[path = "support/rig.rs"]
mod rig;

#[path = "session/handshake.rs"]
mod handshake;
#[path = "session/limits.rs"]
mod limits;
#[path = "session/messages.rs"]
mod messages;
#[path = "session/outbox.rs"]
mod outbox;
#[path = "session/pulse.rs"]
mod pulse;

/// The document's tables promise a test for each row.
#[test]
fn every_test_that_the_document_names_is_there() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(root.join("spec/zmtp.md")).unwrap();
    let mut named = 0;
    for name in text.split('`').skip(1).step_by(2) {
        let path: Vec<_> = name.split("::").collect();
        let (file, test) = match path[..] {
            ["vectors", vector] if !vector.ends_with('*') => {
                (format!("spec/vectors/zmtp/{vector}.hex"), None)
            }
            ["wire", file, "tests", test] => (format!("src/wire/{file}.rs"), Some(test)),
            [
                "handshake" | "messages" | "limits" | "outbox" | "pulse",
                test,
            ] => (format!("tests/session/{}.rs", path[0]), Some(test)),
            _ => continue,
        };
        let held = std::fs::read_to_string(root.join(&file));
        let held = held.unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(
            test.is_none_or(|test| held.contains(&format!("fn {test}("))),
            "{name} is not in {file}"
        );
        named += 1;
    }
    assert!(named > 60, "{named} tests named");
}
