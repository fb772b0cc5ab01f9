//! The file of rules: TOML in, [`Access`] out, every error with its line; read again when it
//! changes.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::ops::Range;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde::Deserialize;
use toml::Spanned;

use super::shard::Shard;
use crate::broker::{Access, Rule, Who, Wildcard};

/// A file of rules that was read and found good.
#[derive(Clone, Debug)]
pub struct AccessFile {
    path: PathBuf,
    stamp: Option<Stamp>,
    access: Arc<Access>,
}

/// Why a file of rules is not taken.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AccessError {
    /// It cannot be read.
    #[error("{} cannot be read: {source}", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It says something that has no meaning.
    #[error("{}, line {line}: {text}", path.display())]
    Wrong {
        /// Which.
        path: PathBuf,
        /// Where, from 1.
        line: usize,
        /// What, and what is allowed there.
        text: String,
    },
}

impl AccessFile {
    /// Reads a file: UTF-8, at most 1 MiB, in the form that `spec/scale0.md` gives ("Rights").
    ///
    /// # Errors
    /// A file that cannot be read, or is not good to its end: then none of its rules counts.
    pub fn read(path: &Path) -> Result<Self, AccessError> {
        // Before the file is read: what changes meanwhile is a change.
        let stamp = Stamp::of(path);
        let text = contents(path).map_err(|source| AccessError::Read {
            path: path.to_owned(),
            source,
        })?;
        let access = parse(&text).map_err(|(line, text)| AccessError::Wrong {
            path: path.to_owned(),
            line,
            text,
        })?;
        Ok(Self {
            path: path.to_owned(),
            stamp,
            access: Arc::new(access),
        })
    }

    /// The rules.
    #[must_use]
    pub fn access(&self) -> &Arc<Access> {
        &self.access
    }
}

/// Looks after a file of rules for as long as it is let: once it has changed, and then stayed as it
/// is for a moment, it is read again. A file that is not good changes nothing.
pub(super) async fn watch(shard: Rc<RefCell<Shard>>, file: AccessFile) {
    let AccessFile { path, stamp, .. } = file;
    let (mut applied, mut before) = (stamp.clone(), stamp);
    loop {
        tokio::time::sleep(LOOK).await;
        // The disk may be slow, and the broker has no time for that.
        let (known, last, place) = (applied.clone(), before.clone(), path.clone());
        let looked = tokio::task::spawn_blocking(move || {
            let stamp = Stamp::of(&place);
            let changed = stamp != known && stamp == last;
            (stamp, changed.then(|| AccessFile::read(&place)))
        });
        // A panic while reading was printed, and changes nothing either.
        let Ok((stamp, read)) = looked.await else {
            continue;
        };
        before = stamp.clone();
        match read {
            None => {}
            Some(Ok(file)) => {
                tracing::info!(
                    file = %path.display(),
                    rules = file.access.rules().len(),
                    "the rules have changed"
                );
                applied = file.stamp;
                shard.borrow_mut().replace_access(file.access);
            }
            Some(Err(error)) => {
                tracing::error!(%error, "the former rules still hold");
                applied = stamp;
            }
        }
    }
}

/// What differs when a file was written or replaced; `None` of it if there is no file.
#[derive(Clone, Debug, Eq, PartialEq)]
struct Stamp {
    place: (u64, u64),
    len: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    fn of(path: &Path) -> Option<Self> {
        let metadata = std::fs::metadata(path).ok()?;
        Some(Self {
            place: (metadata.dev(), metadata.ino()),
            len: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        })
    }
}

fn contents(path: &Path) -> std::io::Result<String> {
    let mut text = String::new();
    let file = std::fs::File::open(path)?;
    file.take(MAX_FILE + 1).read_to_string(&mut text)?;
    if text.len() as u64 > MAX_FILE {
        return Err(std::io::Error::other(format!(
            "it has more than {MAX_FILE} bytes"
        )));
    }
    Ok(text)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
#[derive(Default)]
struct Contents {
    groups: BTreeMap<Spanned<String>, Vec<Spanned<String>>>,
    rule: Vec<Spanned<Entry>>,
}

/// One `[[rule]]`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    who: Spanned<Vec<Spanned<String>>>,
    #[serde(default)]
    offer: Vec<Spanned<String>>,
    #[serde(default)]
    call: Vec<Spanned<String>>,
    #[serde(default)]
    administer: Vec<Spanned<String>>,
}

/// Where something is wrong in the text, and what.
type Wrong = (Range<usize>, String);

/// The rules that a text means; or the line of its first error, and what is wrong there.
fn parse(text: &str) -> Result<Access, (usize, String)> {
    let contents: Contents = toml::from_str(text).map_err(|error| {
        let at = error.span().map_or(0, |span| span.start);
        (line(text, at), error.message().trim_end().to_owned())
    })?;
    contents
        .rules()
        .map(Access::new)
        .map_err(|(span, why)| (line(text, span.start), why))
}

fn line(text: &str, at: usize) -> usize {
    let before = text.bytes().take(at);
    1 + before.filter(|byte| *byte == b'\n').count()
}

impl Contents {
    fn rules(self) -> Result<Vec<Rule>, Wrong> {
        if self.rule.is_empty() {
            // An editor may leave a file empty for a moment; that must not open every door.
            let text = "no [[rule]]: nobody could do anything; leave --access away to allow all";
            return Err((0..0, text.to_owned()));
        }
        let mut groups = BTreeMap::new();
        for (name, members) in self.groups {
            if WORDS.contains(&name.get_ref().as_str()) {
                let text = format!("`{}` has a meaning of its own", name.get_ref());
                return Err((name.span(), text));
            }
            let members: BTreeSet<Who> = members.iter().map(member).collect::<Result<_, _>>()?;
            groups.insert(name.into_inner(), members);
        }
        let mut left = MAX_NAMES;
        self.rule
            .into_iter()
            .map(|entry| {
                let span = entry.span();
                let rule = entry.into_inner().rule(span.clone(), &groups)?;
                left = left.checked_sub(rule.who.len()).ok_or_else(|| {
                    let text = format!("the rules name more than {MAX_NAMES} users in all");
                    (span, text)
                })?;
                Ok(rule)
            })
            .collect()
    }
}

impl Entry {
    fn rule(
        self,
        span: Range<usize>,
        groups: &BTreeMap<String, BTreeSet<Who>>,
    ) -> Result<Rule, Wrong> {
        if self.who.get_ref().is_empty() {
            let text = format!("`who` names nobody; {}", allowed_who());
            return Err((self.who.span(), text));
        }
        let mut who = BTreeSet::new();
        for name in self.who.get_ref() {
            match (name.get_ref().as_str(), groups.get(name.get_ref())) {
                ("*", _) => _ = who.insert(Who::Everybody),
                ("anonymous", _) => _ = who.insert(Who::Anonymous),
                (_, Some(group)) => who.extend(group.iter().cloned()),
                (_, None) => _ = who.insert(member(name)?),
            }
        }
        if self.offer.is_empty() && self.call.is_empty() && self.administer.is_empty() {
            let text = "a rule needs at least one of `offer`, `call` and `administer`: patterns of services' names";
            return Err((span, text.to_owned()));
        }
        Ok(Rule {
            who: who.into_iter().collect(),
            offer: self.offer.iter().map(service).collect::<Result<_, _>>()?,
            call: self.call.iter().map(service).collect::<Result<_, _>>()?,
            administer: self.administer.iter().map(own).collect::<Result<_, _>>()?,
        })
    }
}

/// A user's name or key.
fn member(text: &Spanned<String>) -> Result<Who, Wrong> {
    let name = text.get_ref();
    let wrong = |why: String| Err((text.span(), why));
    if WORDS.contains(&name.as_str()) {
        return wrong(format!("a group holds names and keys, not `{name}`"));
    }
    if name.is_empty() || name.len() > 255 {
        return wrong(format!(
            "a user's name has 1 to 255 bytes; {}",
            allowed_who()
        ));
    }
    // What looks like a key is one, so that nobody can take its rights by a name.
    Ok(match name.parse() {
        Ok(key) => Who::Key(key),
        Err(_) => Who::Name(Bytes::copy_from_slice(name.as_bytes())),
    })
}

/// A pattern for services of workers.
fn service(text: &Spanned<String>) -> Result<Wildcard, Wrong> {
    let pattern = wildcard(text)?;
    if OWN
        .iter()
        .any(|own| pattern.head().starts_with(own.as_bytes()))
    {
        let text_of = "names beginning with s0. and mmi. are the broker's own; what begins with s0. stands in `administer`";
        return Err((text.span(), format!("`{pattern}`: {text_of}")));
    }
    Ok(pattern)
}

/// A pattern for the broker's own services.
fn own(text: &Spanned<String>) -> Result<Wildcard, Wrong> {
    let pattern = wildcard(text)?;
    if !pattern.reaches(OWN[0].as_bytes()) {
        let text_of = "none of the broker's own services is called so; they are s0.info, s0.services, s0.workers and s0.queues, and `*` is all of them";
        return Err((text.span(), format!("`{pattern}`: {text_of}")));
    }
    Ok(pattern)
}

fn wildcard(text: &Spanned<String>) -> Result<Wildcard, Wrong> {
    Wildcard::parse(text.get_ref()).map_err(|error| (text.span(), error.to_string()))
}

fn allowed_who() -> &'static str {
    "allowed are a group, a user's name, a key in Z85, `anonymous` for who has not said who it is, and `*` for everybody"
}

/// Beginnings of the broker's own names.
const OWN: [&str; 2] = ["s0.", "mmi."];
/// In `who` these name no user and no group.
const WORDS: [&str; 2] = ["*", "anonymous"];
/// How often the file is looked at.
const LOOK: Duration = Duration::from_secs(1);
/// Bytes of a file.
const MAX_FILE: u64 = 1 << 20;
/// Users of all rules together, each counted in each of them.
const MAX_NAMES: usize = 100_000;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::Right;
    use crate::security::User;

    const KEY: &str = "Yne@$w-vo<fVvi]a<NY6T1ed:M$fCG*[IaLV{hID";

    fn named(name: &'static str) -> User {
        User {
            name: Bytes::from_static(name.as_bytes()),
            key: None,
        }
    }

    fn wrong(text: &str) -> String {
        let (line, why) = parse(text).unwrap_err();
        format!("line {line}: {why}")
    }

    #[test]
    fn a_file_means_what_it_says() {
        let text = format!(
            "[groups]\nops = [\"ann\", \"{KEY}\"]\n\n[[rule]]\nwho = [\"ops\"] # a group\noffer = [\"billing.*\"]\n\
             call = [\"*\"]\nadminister = [\"*\"]\n\n[[rule]]\nwho = [\"bob\", \"anonymous\"]\ncall = [\"echo\", \"sum\"]\n"
        );
        let access = parse(&text).unwrap();
        let (ann, bob) = (named("ann"), named("bob"));
        let key = User {
            name: Bytes::new(),
            key: KEY.parse().ok(),
        };
        for ops in [&ann, &key] {
            assert!(access.allows(Some(ops), Right::Offer, b"billing.charge"));
            assert!(access.allows(Some(ops), Right::Call, b"anything"));
            assert!(access.allows(Some(ops), Right::Administer, b"s0.info"));
            assert!(!access.allows(Some(ops), Right::Offer, b"echo"));
        }
        for other in [Some(&bob), None] {
            assert!(access.allows(other, Right::Call, b"sum"));
            assert!(!access.allows(other, Right::Call, b"billing.charge"));
            assert!(!access.allows(other, Right::Administer, b"s0.info"));
        }
        // A group's name is nobody's name.
        assert!(!access.allows(Some(&named("ops")), Right::Call, b"echo"));
    }

    #[test]
    fn an_error_names_the_line_and_what_is_allowed() {
        for (text, line, words) in [
            ("", 1, "no [[rule]]"),
            (
                "# nothing yet\n[groups]\nops = [\"ann\"]\n",
                1,
                "no [[rule]]",
            ),
            ("[[rule]]\nwho = [\"*\"]\ncalls = [\"*\"]\n", 3, "`call`"),
            ("[[rules]]\nwho = [\"*\"]\n", 1, "`groups` or `rule`"),
            ("[[rule]]\ncall = [\"*\"]\n", 1, "missing field `who`"),
            (
                "[[rule]]\nwho = \"ann\"\ncall = [\"*\"]\n",
                2,
                "expected a sequence",
            ),
            ("[[rule]]\nwho = []\ncall = [\"*\"]\n", 2, "a key in Z85"),
            (
                "[[rule]]\nwho = [\"\"]\ncall = [\"*\"]\n",
                2,
                "1 to 255 bytes",
            ),
            (
                "\n\n[[rule]]\nwho = [\"ann\"]\n",
                3,
                "`offer`, `call` and `administer`",
            ),
            (
                "[[rule]]\nwho = [\"ann\"]\ncall = [\n  \"a\",\n  \"\",\n]\n",
                5,
                "at least one character",
            ),
            (
                "[[rule]]\nwho = [\"ann\"]\ncall = [\"s0.info\"]\n",
                3,
                "`administer`",
            ),
            (
                "[[rule]]\nwho = [\"ann\"]\nadminister = [\"billing.*\"]\n",
                3,
                "s0.queues",
            ),
            (
                "[groups]\nops = [\"*\"]\n[[rule]]\nwho = [\"ops\"]\ncall = [\"*\"]\n",
                2,
                "names and keys",
            ),
            (
                "[groups]\nanonymous = [\"ann\"]\n[[rule]]\nwho = [\"ann\"]\ncall = [\"*\"]\n",
                2,
                "meaning of its own",
            ),
            ("[[rule]]\nwho = [\"ann\"\ncall = [\"*\"]\n", 3, ""),
        ] {
            let told = wrong(text);
            assert!(
                told.starts_with(&format!("line {line}: ")) && told.contains(words),
                "{text}\n{told}"
            );
        }
    }

    #[test]
    fn rules_that_name_too_many_are_refused_and_not_held() {
        let members = "\"u\",".repeat(3);
        let group: String = (0..2000).map(|n| format!("\"u{n}\",")).collect();
        let rules = "[[rule]]\nwho = [\"g\"]\ncall = [\"*\"]\n".repeat(51);
        let told = wrong(&format!(
            "[groups]\ng = [{group}]\ntwice = [{members}]\n{rules}"
        ));
        assert!(told.contains("100000 users"), "{told}");
    }

    #[test]
    fn a_file_that_is_too_long_or_missing_is_not_taken() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("access.toml");
        let error = AccessFile::read(&path).unwrap_err().to_string();
        assert!(error.contains("cannot be read"), "{error}");
        std::fs::write(&path, vec![b'#'; (1 << 20) + 1]).unwrap();
        let error = AccessFile::read(&path).unwrap_err().to_string();
        assert!(error.contains("more than 1048576 bytes"), "{error}");
    }
}
