//! The floors hold: a file names only what lies below it, the deciding floors touch no runtime,
//! and one file alone reads the clock.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test may fail"
)]

use std::path::{Path, PathBuf};

/// Bottom to top. Floors of one row do not know each other.
const FLOORS: [&[&str]; 12] = [
    &["limits", "time", "chain", "table"],
    &["wire"],
    &["security"],
    &["session"],
    &["pattern"],
    &["protocol"],
    &["broker"],
    &["spread"],
    &["net"],
    &["auth"],
    &["socket"],
    &["sdk", "server"],
];
/// Above all floors: the map, and the program, which stands on the library from outside.
const ROOFS: [&str; 2] = ["lib", "bin"];
/// The first row that may do things.
const DOING: usize = 8;
const CLOCK: &str = "net/clock.rs";

#[test]
fn no_file_imports_upward() {
    let mut wrong = Vec::new();
    for file in sources() {
        if ROOFS.contains(&file.floor.as_str()) {
            continue;
        }
        let Some(own) = row(&file.floor) else {
            wrong.push(format!("{}: stands on no known floor", file.name));
            continue;
        };
        for import in imports(&file.words, file.depth) {
            let below = row(&import).is_some_and(|row| row < own);
            if !below && import != file.floor {
                wrong.push(format!("{}: imports {import}", file.name));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn the_deciding_floors_touch_no_runtime() {
    let mut wrong = Vec::new();
    for file in sources() {
        let decides = row(&file.floor).is_some_and(|row| row < DOING);
        if !decides {
            continue;
        }
        for word in ["tokio", "tracing", "rand", "getrandom", "socket2"] {
            if file.words.iter().any(|found| found == word) {
                wrong.push(format!("{}: {word}", file.name));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn one_file_reads_the_clock() {
    let reads = |file: &Source| reads_clock(&file.words);
    let readers: Vec<String> = sources()
        .iter()
        .filter(|file| reads(file))
        .map(|file| file.name.clone())
        .collect();
    assert_eq!(readers, [CLOCK]);
}

#[test]
fn imports_are_found_in_every_form() {
    let found = |code: &str, depth| imports(&words(code), depth);
    assert_eq!(found("use crate::broker::Broker;", 2), ["broker"]);
    assert_eq!(
        found(
            "use crate::{limits::Limits, wire::{self, Header}, time};",
            2
        ),
        ["limits", "wire", "time"]
    );
    assert_eq!(found("let a = crate :: net::Clock::start();", 2), ["net"]);
    assert_eq!(found("use super::super::server;", 2), ["server"]);
    assert_eq!(found("use super::server;", 1), ["server"]);
    assert_eq!(found("use super::server;", 2), [""; 0]);
    assert_eq!(found("pub(crate) struct A;", 2), [""; 0]);
}

#[test]
fn comments_and_strings_are_no_code() {
    let code = "/// See [`crate::server`].\n//! crate::sdk\n/* crate::net /* crate::sdk */ crate::bin */\n\
        const A: &str = \"crate::net \\\" crate::net\"; const B: &str = r#\"crate::net \" \"#; const C: char = '\"'; fn d<'a>() {}";
    assert_eq!(imports(&words(code), 2), [""; 0]);
    assert!(
        words(code).ends_with(&["fn", "d", "<", "a", ">", "(", ")", "{", "}"].map(String::from))
    );
}

#[test]
fn every_way_to_read_the_clock_is_found() {
    for code in [
        "Instant::now()",
        "std::time::SystemTime :: now()",
        "begun.elapsed()",
        "UNIX_EPOCH",
    ] {
        assert!(reads_clock(&words(code)), "{code}");
    }
    assert!(!reads_clock(&words("// Instant::now()\nclock.now()")));
}

/// One file under `src/`, as the words that are code in it.
struct Source {
    /// Its path below `src/`.
    name: String,
    /// The directory or file directly below `src/`.
    floor: String,
    /// How far its module lies below the root.
    depth: usize,
    words: Vec<String>,
}

fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut paths = Vec::new();
    collect(&root, &mut paths);
    paths.sort();
    assert!(paths.len() > 50, "src/ is not where it was");
    let read = |path: PathBuf| {
        let below = path.strip_prefix(&root).unwrap();
        let name = below.to_str().unwrap().to_owned();
        let module = name.trim_end_matches(".rs").trim_end_matches("/mod");
        Source {
            floor: module.split('/').next().unwrap_or_default().to_owned(),
            depth: module.split('/').count(),
            words: words(&std::fs::read_to_string(&path).unwrap()),
            name,
        }
    };
    paths.into_iter().map(read).collect()
}

fn collect(directory: &Path, paths: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, paths);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            paths.push(path);
        }
    }
}

fn row(floor: &str) -> Option<usize> {
    FLOORS.iter().position(|row| row.contains(&floor))
}

/// What stands directly behind `crate::`, or behind enough `super::` to reach the root.
fn imports(words: &[String], depth: usize) -> Vec<String> {
    let mut found = Vec::new();
    let mut at = 0;
    while at < words.len() {
        let start = at;
        at += 1;
        let mut supers = 0;
        if words[start] == "super" {
            supers = 1;
            while words[at..].starts_with(&["::".to_owned(), "super".to_owned()]) {
                supers += 1;
                at += 2;
            }
        } else if words[start] != "crate" {
            continue;
        }
        let from_root = words[start] == "crate" || supers >= depth;
        if !from_root || words.get(at).is_none_or(|word| word != "::") {
            continue;
        }
        match words.get(at + 1).map(String::as_str) {
            Some("{") => found.extend(group(&words[at + 2..])),
            Some(name) => found.push(name.to_owned()),
            None => {}
        }
    }
    found
}

/// The first names of `{a, b::c, d::{e}}`, whose opening brace has been taken.
fn group(words: &[String]) -> Vec<String> {
    let mut names = Vec::new();
    let mut depth = 0;
    let mut first = true;
    for word in words {
        match word.as_str() {
            "{" => depth += 1,
            "}" if depth == 0 => break,
            "}" => depth -= 1,
            "," if depth == 0 => first = true,
            name if first => {
                names.push(name.to_owned());
                first = false;
            }
            _ => {}
        }
    }
    names
}

fn reads_clock(words: &[String]) -> bool {
    let clocks = ["Instant", "SystemTime"];
    let now = words
        .windows(3)
        .any(|three| clocks.contains(&three[0].as_str()) && three[1] == "::" && three[2] == "now");
    now || words
        .iter()
        .any(|word| word == "elapsed" || word == "UNIX_EPOCH")
}

/// Names, `::` and single marks. Comments, strings and character literals are left out.
fn words(code: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut rest = code;
    while let Some(first) = rest.chars().next() {
        let len = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            block_comment(rest)
        } else if let Some(len) = literal(rest) {
            len
        } else if first.is_alphanumeric() || first == '_' {
            let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_');
            words.push(rest[..end.unwrap_or(rest.len())].to_owned());
            end.unwrap_or(rest.len())
        } else if rest.starts_with("::") {
            words.push("::".to_owned());
            2
        } else {
            if !first.is_whitespace() && first != '\'' {
                words.push(first.to_string());
            }
            first.len_utf8()
        };
        rest = &rest[len..];
    }
    words
}

/// The length of a block comment; they nest.
fn block_comment(code: &str) -> usize {
    let mut depth = 0;
    let mut at = 0;
    while at < code.len() {
        if code[at..].starts_with("/*") {
            depth += 1;
            at += 2;
        } else if code[at..].starts_with("*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += code[at..].chars().next().map_or(1, char::len_utf8);
        }
    }
    code.len()
}

/// The length of a string or character literal at the front, if there is one.
fn literal(code: &str) -> Option<usize> {
    let raw = code.trim_start_matches('b').trim_start_matches('r');
    let prefix = code.len() - raw.len();
    let hashes = raw.len() - raw.trim_start_matches('#').len();
    if prefix > 0 && code[..prefix].ends_with('r') && raw[hashes..].starts_with('"') {
        let close = format!("\"{}", "#".repeat(hashes));
        let body = prefix + hashes + 1;
        return Some(body + code[body..].find(&close)? + close.len());
    }
    let quoted = code.strip_prefix('b').unwrap_or(code);
    let prefix = code.len() - quoted.len();
    if quoted.starts_with('"') {
        return closing(quoted, '"').map(|len| prefix + len);
    }
    // A lifetime has no closing quote behind one character.
    let inner = quoted.strip_prefix('\'')?;
    let is_char = inner.starts_with('\\') || inner.chars().nth(1) == Some('\'');
    is_char
        .then(|| closing(quoted, '\'').map(|len| prefix + len))
        .flatten()
}

/// Where a quoted literal ends, escapes skipped.
fn closing(code: &str, quote: char) -> Option<usize> {
    let mut escaped = false;
    for (at, c) in code.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            c if c == quote => return Some(at + c.len_utf8()),
            _ => {}
        }
    }
    None
}
