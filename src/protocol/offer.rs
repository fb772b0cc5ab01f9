//! What a worker says of one service: its name, and attributes that tell how to use it.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use super::Name;

/// One service of an [`Announcement`](super::Announcement). [`Default`] has no name and says
/// nothing.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Offer {
    /// Its name.
    pub service: Name,
    /// Its tasks may be started again after a worker's death.
    pub idempotent: bool,
    /// What the worker can do compared with others, 1 to [`MAX_WEIGHT`].
    pub weight: u16,
    /// How to choose among the service's workers.
    pub policy: Option<Policy>,
    /// For so long the worker's share of turns grows; zero is all of it at once.
    pub slow_start: Duration,
    /// Tasks of this service that the worker takes at once, 1 and up, within its capacity.
    pub max: Option<u16>,
    /// Time to live of tasks whose clients state none.
    pub ttl: Option<Duration>,
}

impl Default for Offer {
    fn default() -> Self {
        Self {
            service: Name::default(),
            idempotent: false,
            weight: 1,
            policy: None,
            slow_start: Duration::ZERO,
            max: None,
            ttl: None,
        }
    }
}

impl Offer {
    /// Reads the attributes behind a name, each `word` or `word=value`. Unknown ones are for a
    /// later broker and passed over.
    ///
    /// # Errors
    /// A sentence that names the service, the attribute and what is allowed.
    pub fn with_attributes<'a>(
        service: Name,
        fields: impl Iterator<Item = &'a [u8]>,
    ) -> Result<Self, String> {
        let mut offer = Self {
            service,
            ..Self::default()
        };
        let mut seen: [bool; ATTRIBUTES.len()] = [false; ATTRIBUTES.len()];
        for field in fields {
            let (word, value) = split(field);
            let Some(place) = ATTRIBUTES.iter().position(|known| known.as_bytes() == word) else {
                continue;
            };
            let twice = seen
                .get_mut(place)
                .is_some_and(|seen| std::mem::replace(seen, true));
            let read = if twice {
                Err("stands there twice".to_owned())
            } else {
                offer.read(word, value)
            };
            read.map_err(|why| {
                let field = Name::new(field);
                format!("service {}: attribute {field} {why}", offer.service)
            })?;
        }
        Ok(offer)
    }

    fn read(&mut self, word: &[u8], value: Option<&str>) -> Result<(), String> {
        if word == b"idempotent" {
            self.idempotent = true;
            return match value {
                None => Ok(()),
                Some(_) => Err("takes no value".to_owned()),
            };
        }
        let value = value.ok_or("needs a value")?;
        match word {
            b"version" => {
                let versioned = format!("{}@{value}", self.service);
                let named = self.service.bare().is_some() || self.service.is_wildcard();
                self.service = match Name::service(versioned.as_bytes()) {
                    Ok(service) if !named => service,
                    _ => return Err("is no version of this name".to_owned()),
                };
            }
            b"weight" => self.weight = number(value, MAX_WEIGHT)?,
            b"max" => self.max = Some(number(value, u16::MAX)?),
            b"policy" => self.policy = Some(value.parse().map_err(|error: NoPolicy| error.0)?),
            b"slow_start" => self.slow_start = span(value)?,
            b"ttl" => self.ttl = Some(some_time(value)?),
            _ => {}
        }
        Ok(())
    }
}

/// How the worker of a task is chosen among those with a free place.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Policy {
    /// `lru`: the one idle longest.
    #[default]
    Idle,
    /// `least`: the one with the fewest tasks for its weight.
    Least,
    /// `weighted`: all in turn, each as often as its weight says.
    Weighted,
    /// `hash`: the same one for the same property `Key`, as long as it has not much more to do
    /// than others.
    Hash,
    /// `p2c`: of two that chance names the one with fewer tasks for its weight.
    TwoChoices,
}

impl Policy {
    /// All of them, each with its word.
    const WORDS: [(Self, &'static str); 5] = [
        (Self::Idle, "lru"),
        (Self::Least, "least"),
        (Self::Weighted, "weighted"),
        (Self::Hash, "hash"),
        (Self::TwoChoices, "p2c"),
    ];

    /// Its word on the wire.
    #[must_use]
    pub fn word(self) -> &'static str {
        Self::WORDS
            .iter()
            .find(|(policy, _)| *policy == self)
            .map_or("lru", |(_, word)| word)
    }
}

impl fmt::Display for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// A word that is no [`Policy`]; its text says which ones are.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{0}")]
pub struct NoPolicy(String);

impl FromStr for Policy {
    type Err = NoPolicy;

    fn from_str(text: &str) -> Result<Self, NoPolicy> {
        let found = Self::WORDS.iter().find(|(_, word)| *word == text);
        found.map(|(policy, _)| *policy).ok_or_else(|| {
            let words: Vec<&str> = Self::WORDS.iter().map(|(_, word)| *word).collect();
            NoPolicy(format!("is no policy: use one of {}", words.join(", ")))
        })
    }
}

/// `word=value`; a value that is not text is none that anything here allows.
fn split(field: &[u8]) -> (&[u8], Option<&str>) {
    let mut halves = field.splitn(2, |byte| *byte == b'=');
    let word = halves.next().unwrap_or_default();
    let value = halves.next();
    (
        word,
        value.map(|value| std::str::from_utf8(value).unwrap_or("")),
    )
}

fn number(text: &str, most: u16) -> Result<u16, String> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    let number = text.parse().ok().filter(|_| digits);
    number
        .filter(|number| (1..=most).contains(number))
        .ok_or_else(|| format!("is out of range: 1 to {most} is allowed"))
}

/// A duration as people write it: digits and `ms`, `s`, `m` or `h`; a day at most.
fn span(text: &str) -> Result<Duration, String> {
    let wrong = || "is no duration: write it like 500ms, 10s, 1m or 1h".to_owned();
    let digits = text.find(|c: char| !c.is_ascii_digit()).ok_or_else(wrong)?;
    let (number, unit) = text.split_at(digits);
    let unit = match unit {
        "ms" => 1,
        "s" => 1000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return Err(wrong()),
    };
    let number: u64 = number.parse().map_err(|_| wrong())?;
    let span = Duration::from_millis(number.saturating_mul(unit));
    if span > MAX_SPAN {
        return Err("is too long: 24h is the most".to_owned());
    }
    Ok(span)
}

/// The same, and not nothing.
pub(crate) fn some_time(text: &str) -> Result<Duration, String> {
    let span = span(text)?;
    if span.is_zero() {
        return Err("is no time at all: 1ms is the least".to_owned());
    }
    Ok(span)
}

/// The largest weight; the least is 1.
pub const MAX_WEIGHT: u16 = 10_000;
const MAX_SPAN: Duration = Duration::from_secs(24 * 3600);
/// Every word that an attribute can be.
pub const ATTRIBUTES: [&str; 7] = [
    "idempotent",
    "weight",
    "version",
    "policy",
    "slow_start",
    "max",
    "ttl",
];

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Offer, String> {
        let fields = text.split(';').filter(|field| !field.is_empty());
        Offer::with_attributes(Name::from("echo"), fields.map(str::as_bytes))
    }

    #[test]
    fn a_version_becomes_part_of_the_name() {
        assert_eq!(read("version=1.4").unwrap().service, Name::from("echo@1.4"));
        for wrong in ["version", "version=", "version=a@b", "version=*"] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn every_attribute_says_one_thing() {
        let offer = read("weight=5;policy=least;idempotent;slow_start=10s;max=64;ttl=500ms");
        let meant = Offer {
            service: Name::from("echo"),
            idempotent: true,
            weight: 5,
            policy: Some(Policy::Least),
            slow_start: Duration::from_secs(10),
            max: Some(64),
            ttl: Some(Duration::from_millis(500)),
        };
        assert_eq!(offer, Ok(meant));
    }

    #[test]
    fn what_is_not_known_is_for_a_later_broker() {
        let plain = read("");
        for text in [
            "schema=http://x",
            "colour",
            "Weight=0",
            "weights=no",
            "=",
            ";;",
        ] {
            assert_eq!(read(text), plain, "{text}");
        }
    }

    #[test]
    fn a_bad_value_is_refused_with_one_clear_sentence() {
        for (text, says) in [
            ("weight=0", "1 to 10000"),
            ("weight=10001", "1 to 10000"),
            ("weight=+5", "1 to 10000"),
            ("weight=", "1 to 10000"),
            ("weight", "needs a value"),
            ("max=0", "1 to 65535"),
            ("policy=fastest", "lru, least, weighted, hash, p2c"),
            ("policy=LRU", "lru, least"),
            ("slow_start=10", "10s"),
            ("slow_start=25h", "24h"),
            ("slow_start=99999999999999999999s", "10s"),
            ("ttl=0s", "1ms is the least"),
            ("idempotent=yes", "takes no value"),
            ("weight=1;weight=2", "twice"),
        ] {
            let error = read(text).unwrap_err();
            assert!(
                error.starts_with("service echo: attribute ") && error.contains(says),
                "{text}: {error}"
            );
        }
    }

    #[test]
    fn bytes_that_are_no_text_are_no_value() {
        let fields = [&b"weight=\xff"[..]];
        let offer = Offer::with_attributes(Name::from("echo"), fields.into_iter());
        assert!(offer.is_err());
    }

    #[test]
    fn a_policy_is_written_as_it_is_read() {
        for (policy, word) in Policy::WORDS {
            assert_eq!(word.parse(), Ok(policy));
            assert_eq!(policy.to_string(), word);
        }
    }
}
