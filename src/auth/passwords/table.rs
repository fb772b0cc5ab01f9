//! A file of passwords as values: `user:hash` on each line, comments behind `#`.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::hash::{Hash, HashError};

/// Who has which password.
#[derive(Debug, Default)]
pub(super) struct Table {
    /// In the order of their names.
    entries: Vec<Entry>,
}

/// A user's line.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) name: Bytes,
    pub(super) hash: Hash,
}

/// Why a line of a file of passwords says nothing.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{0}")]
pub struct LineError(Reason);

#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
enum Reason {
    #[error("not `user:hash`, as `scale0 passwd` writes it")]
    Form,
    #[error(
        "a user's name has 1 to {MAX_NAME} bytes of UTF-8 without `:` and control characters, no space at its ends and no `#` in front"
    )]
    Name,
    #[error(transparent)]
    Hash(#[from] HashError),
    #[error("a second password for a user of line {first}")]
    Twice { first: usize },
}

impl Table {
    /// Reads a file. Lines that say nothing, counted from one, admit nobody by themselves.
    pub(super) fn parse(bytes: &[u8]) -> (Self, Vec<(usize, LineError)>) {
        let mut lines: BTreeMap<&[u8], (usize, Hash)> = BTreeMap::new();
        let mut errors = Vec::new();
        for (number, line) in (1..).zip(bytes.split(|byte| *byte == b'\n')) {
            let read = match Line::read(line) {
                Line::Nothing => continue,
                Line::User { name, hash } => match (valid(name), lines.get(name)) {
                    (Err(error), _) => Err(error),
                    (Ok(()), Some((first, _))) => Err(LineError(Reason::Twice { first: *first })),
                    (Ok(()), None) => parse_hash(hash).map(|hash| (name, hash)),
                },
                Line::Junk => Err(LineError(Reason::Form)),
            };
            match read {
                Ok((name, hash)) => {
                    lines.insert(name, (number, hash));
                }
                Err(error) => errors.push((number, error)),
            }
        }
        let entries = lines.into_iter().map(|(name, (_, hash))| Entry {
            name: Bytes::copy_from_slice(name),
            hash,
        });
        let table = Self {
            entries: entries.collect(),
        };
        (table, errors)
    }

    pub(super) fn find(&self, name: &[u8]) -> Option<&Entry> {
        let at = self
            .entries
            .binary_search_by(|entry| entry.name.as_ref().cmp(name));
        self.entries.get(at.ok()?)
    }

    /// The entry at a place that is counted round and round; `None` only in an empty table.
    pub(super) fn pick(&self, at: u64) -> Option<&Entry> {
        let len = u64::try_from(self.entries.len()).ok()?;
        let at = usize::try_from(at.checked_rem(len)?).ok()?;
        self.entries.get(at)
    }

    /// The names of those whose password is another one now, or who are gone.
    pub(super) fn changed<'a>(&'a self, now: &'a Self) -> impl Iterator<Item = &'a Bytes> {
        let differ = |entry: &&Entry| {
            now.find(&entry.name)
                .is_none_or(|there| there.hash != entry.hash)
        };
        self.entries.iter().filter(differ).map(|entry| &entry.name)
    }
}

/// A file's text with this hash for a user, in the place of the one that was there or at the end.
/// All other lines stay what they are. Tells whether there was one.
///
/// # Errors
/// The name is none, or a line, counted from one, says nothing: this may be some other file.
pub(super) fn with_user(
    text: &[u8],
    user: &str,
    hash: &Hash,
) -> Result<(Vec<u8>, bool), (Option<usize>, LineError)> {
    valid(user.as_bytes()).map_err(|error| (None, error))?;
    let own = |line: &[u8]| match Line::read(line) {
        Line::User { name, .. } => name == user.as_bytes(),
        Line::Junk | Line::Nothing => false,
    };
    let entry = format!("{user}:{hash}\n");
    let mut out = Vec::with_capacity(text.len() + entry.len() + 1);
    let mut others = Vec::with_capacity(text.len());
    let mut replaced = false;
    for line in text.split_inclusive(|byte| *byte == b'\n') {
        if !own(line) {
            out.extend_from_slice(line);
            others.extend_from_slice(line);
            continue;
        }
        if !replaced {
            out.extend_from_slice(entry.as_bytes());
        }
        replaced = true;
        // The others keep their numbers.
        others.push(b'\n');
    }
    let (_, errors) = Table::parse(&others);
    if let Some((line, error)) = errors.into_iter().next() {
        return Err((Some(line), error));
    }
    if !replaced {
        if out.last().is_some_and(|last| *last != b'\n') {
            out.push(b'\n');
        }
        out.extend_from_slice(entry.as_bytes());
    }
    Ok((out, replaced))
}

enum Line<'a> {
    Nothing,
    User { name: &'a [u8], hash: &'a [u8] },
    Junk,
}

impl<'a> Line<'a> {
    fn read(line: &'a [u8]) -> Self {
        let line = line.trim_ascii();
        if line.is_empty() || line.starts_with(b"#") {
            return Self::Nothing;
        }
        let mut fields = line.splitn(2, |byte| *byte == b':');
        match (fields.next(), fields.next()) {
            (Some(name), Some(hash)) => Self::User { name, hash },
            _ => Self::Junk,
        }
    }
}

fn parse_hash(hash: &[u8]) -> Result<Hash, LineError> {
    let text = std::str::from_utf8(hash).map_err(|_| HashError::Form);
    text.and_then(Hash::parse)
        .map_err(|error| LineError(error.into()))
}

/// Whether a name can stand in a file and be carried by PLAIN.
fn valid(name: &[u8]) -> Result<(), LineError> {
    let text = std::str::from_utf8(name).unwrap_or_default();
    let fits = (1..=MAX_NAME).contains(&text.len())
        && text.trim() == text
        && !text.starts_with('#')
        && !text.contains(|c: char| c == ':' || c.is_control());
    if fits {
        Ok(())
    } else {
        Err(LineError(Reason::Name))
    }
}

/// RFC 24: its length is one octet.
const MAX_NAME: usize = 255;

#[cfg(test)]
mod tests {
    use super::*;

    const HASH: &str =
        "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4";

    fn hash() -> Hash {
        Hash::parse(HASH).unwrap()
    }

    /// Another one.
    fn other() -> Hash {
        Hash::parse(&HASH.replace("t=2", "t=1")).unwrap()
    }

    fn names(table: &Table) -> Vec<&[u8]> {
        table.entries.iter().map(|entry| &*entry.name).collect()
    }

    #[test]
    fn users_comments_and_empty_lines_are_read() {
        let text = format!("# who\n\nzoe:{HASH}\n  alice smith:{HASH}\r\nжук:{HASH}");
        let (table, errors) = Table::parse(text.as_bytes());
        assert_eq!(errors, []);
        let expected = ["alice smith", "zoe", "жук"].map(str::as_bytes);
        assert_eq!(names(&table), expected);
        assert_eq!(table.find(b"zoe").unwrap().hash, hash());
        assert!(table.find(b"zo").is_none() && table.find(b"").is_none());
        let picked: Vec<_> = (0..4)
            .map(|at| table.pick(at).unwrap().name.clone())
            .collect();
        assert_eq!(picked[3], "alice smith");
        assert_eq!(picked[1], "zoe");
        assert!(Table::default().pick(7).is_none());
    }

    #[test]
    fn a_bad_line_admits_nobody_by_itself() {
        let large = HASH.replace("m=256", "m=1000000");
        let long = "n".repeat(256);
        let text = [
            format!("alice:{HASH}").into_bytes(),
            b"junk".to_vec(),
            b"bob:secret".to_vec(),
            format!("carol:{large}").into_bytes(),
            format!(":{HASH}").into_bytes(),
            format!("{long}:{HASH}").into_bytes(),
            format!("alice:{HASH}").into_bytes(),
            [b"\xff\xfe:", HASH.as_bytes()].concat(),
            [b"dave:", &b"\xff"[..]].concat(),
            format!("a\tb:{HASH}").into_bytes(),
            format!("e :{HASH}").into_bytes(),
            format!("zoe:{HASH}").into_bytes(),
        ]
        .join(&b'\n');
        let (table, errors) = Table::parse(&text);
        assert_eq!(names(&table), [&b"alice"[..], b"zoe"]);
        let lines: Vec<usize> = errors.iter().map(|(line, _)| *line).collect();
        assert_eq!(lines, [2, 3, 4, 5, 6, 7, 8, 9, 10, 11]);
        assert_eq!(errors[5].1, LineError(Reason::Twice { first: 1 }));
        for (_, error) in &errors {
            assert!(!error.to_string().contains("secret"), "{error}");
        }
    }

    #[test]
    fn who_changed_or_went_is_found() {
        let parse = |text: &str| Table::parse(text.as_bytes()).0;
        let before = parse(&format!("a:{HASH}\nb:{HASH}\nc:{HASH}"));
        let after = parse(&format!("b:{}\nc:{HASH}\nd:{HASH}", other()));
        let changed: Vec<_> = before.changed(&after).cloned().collect();
        assert_eq!(changed, ["a", "b"]);
    }

    #[test]
    fn a_user_is_added_or_exchanged_and_all_else_stays() {
        let text = format!("# who\nalice:{HASH}\n\nbob:{HASH}");
        let (added, replaced) = with_user(text.as_bytes(), "carol", &other()).unwrap();
        assert!(!replaced);
        let expected = format!("{text}\ncarol:{}\n", other());
        assert_eq!(String::from_utf8(added).unwrap(), expected);
        let (changed, replaced) = with_user(text.as_bytes(), "alice", &other()).unwrap();
        assert!(replaced);
        let expected = format!("# who\nalice:{}\n\nbob:{HASH}", other());
        assert_eq!(String::from_utf8(changed).unwrap(), expected);
        // A user's own line may be as bad as it likes, and stand there twice.
        let bad = "alice:x\nalice:y\n";
        let (mended, replaced) = with_user(bad.as_bytes(), "alice", &other()).unwrap();
        assert!(replaced);
        assert_eq!(mended, format!("alice:{}\n", other()).into_bytes());
        let (first, replaced) = with_user(b"", "alice", &other()).unwrap();
        assert!(!replaced);
        assert_eq!(first, mended);
    }

    #[test]
    fn neither_some_other_file_nor_a_bad_name_is_written() {
        let text = format!("alice:{HASH}\n127.0.0.1 localhost\n");
        let (line, _) = with_user(text.as_bytes(), "alice", &other()).unwrap_err();
        assert_eq!(line, Some(2));
        for name in ["", "a:b", "#a", " a", "a\n", "a\0b", &"n".repeat(256)] {
            let (line, error) = with_user(b"", name, &other()).unwrap_err();
            assert_eq!((line, error), (None, LineError(Reason::Name)), "{name:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_break_the_reader(bytes: Vec<u8>) {
            let _ = Table::parse(&bytes);
            let _ = Table::parse(&[b"a:$argon2id$v=19$", &*bytes].concat());
            if let Ok((written, _)) = with_user(&bytes, "alice", &hash()) {
                let (table, errors) = Table::parse(&written);
                proptest::prop_assert!(errors.is_empty() && table.find(b"alice").is_some());
            }
        }
    }
}
