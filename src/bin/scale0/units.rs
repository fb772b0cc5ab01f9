//! Durations and sizes as people write them.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::de::{self, Deserialize, Deserializer, Visitor};

/// A duration: `500ms`, `2s`, `1m`, `1h`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Span(pub(crate) Duration);

/// A time to wait: a [`Span`] of 1 ms at least.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Wait(pub(crate) Duration);

/// A heartbeat interval: a [`Span`] from 100 ms to 60 s.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Beat(pub(crate) Duration);

/// A very short time: `0us` to `10ms`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Instant(pub(crate) Duration);

/// A number of bytes: `4096`, `64KiB`, `16MiB`, `1GiB`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Size(pub(crate) usize);

/// A number of things: 1 to `MAX`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Count<const MAX: u32 = { u32::MAX }>(pub(crate) u32);

impl FromStr for Span {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is no duration: write it like 500ms, 2s, 1m or 1h");
        let digits = text.find(|c: char| !c.is_ascii_digit()).ok_or_else(wrong)?;
        let (number, unit) = text.split_at(digits);
        let number: u64 = number.parse().map_err(|_| wrong())?;
        let millis = match unit {
            "ms" => 1,
            "s" => 1000,
            "m" => 60_000,
            "h" => 3_600_000,
            _ => return Err(wrong()),
        };
        let millis = number
            .checked_mul(millis)
            .filter(|millis| *millis <= MAX_MILLIS);
        let millis =
            millis.ok_or_else(|| format!("`{text}` is too long: 8760h, a year, is the most"))?;
        Ok(Self(Duration::from_millis(millis)))
    }
}

impl FromStr for Wait {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let Span(span) = text.parse()?;
        if span.is_zero() {
            return Err(format!("`{text}` is no time at all: 1ms is the least"));
        }
        Ok(Self(span))
    }
}

impl FromStr for Beat {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let Span(span) = text.parse()?;
        if (Duration::from_millis(100)..=Duration::from_secs(60)).contains(&span) {
            Ok(Self(span))
        } else {
            Err(format!(
                "`{text}` is no heartbeat interval: 100ms to 60s is allowed"
            ))
        }
    }
}

impl FromStr for Instant {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let digits = text.trim_end_matches(|c: char| !c.is_ascii_digit());
        let unit = match text.get(digits.len()..) {
            Some("us") => 1,
            Some("ms") => 1000,
            _ => 0,
        };
        let micros = (digits.parse().ok()).and_then(|number: u64| number.checked_mul(unit));
        micros
            .filter(|micros| unit > 0 && *micros <= MAX_INSTANT)
            .map(|micros| Self(Duration::from_micros(micros)))
            .ok_or_else(|| {
                format!("`{text}` is no time from 0us to 10ms: write it like 50us or 1ms")
            })
    }
}

impl FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is no size: write it like 4096, 64KiB, 16MiB or 1GiB");
        let digits = text
            .find(|c: char| !c.is_ascii_digit())
            .unwrap_or(text.len());
        let (number, unit) = text.split_at(digits);
        let number: usize = number.parse().map_err(|_| wrong())?;
        let factor = match unit {
            "" | "B" => 1,
            "KiB" => 1 << 10,
            "MiB" => 1 << 20,
            "GiB" => 1 << 30,
            _ => return Err(wrong()),
        };
        let bytes = number
            .checked_mul(factor)
            .filter(|bytes| *bytes > 0 && *bytes <= MAX_SIZE);
        bytes
            .map(Self)
            .ok_or_else(|| format!("`{text}` is out of range: 1 byte to 1024GiB is allowed"))
    }
}

impl<const MAX: u32> FromStr for Count<MAX> {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number = text.parse().ok().filter(|n| (1..=MAX).contains(n));
        number
            .map(Self)
            .ok_or_else(|| format!("`{text}` is out of range: a number from 1 to {MAX} is allowed"))
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = self.0.as_millis();
        match millis {
            0 => f.write_str("0ms"),
            _ if millis.is_multiple_of(3_600_000) => write!(f, "{}h", millis / 3_600_000),
            _ if millis.is_multiple_of(60_000) => write!(f, "{}m", millis / 60_000),
            _ if millis.is_multiple_of(1000) => write!(f, "{}s", millis / 1000),
            _ => write!(f, "{millis}ms"),
        }
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = self.0;
        let units = [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
        match units.iter().find(|(unit, _)| bytes.is_multiple_of(*unit)) {
            Some((unit, name)) => write!(f, "{}{name}", bytes / unit),
            None => write!(f, "{bytes}"),
        }
    }
}

/// Reads a value from a TOML string, or from a number where plain numbers are allowed.
struct Text<T>(std::marker::PhantomData<T>, &'static str);

impl<T: FromStr<Err = String>> Visitor<'_> for Text<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.1)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
        text.parse().map_err(E::custom)
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<T, E> {
        number.to_string().parse().map_err(E::custom)
    }
}

macro_rules! from_toml {
    ($type:ty, $expecting:literal) => {
        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                from.deserialize_any(Text(std::marker::PhantomData, $expecting))
            }
        }
    };
}

from_toml!(Span, "a duration like \"500ms\", \"2s\", \"1m\" or \"1h\"");
from_toml!(Wait, "a duration from \"1ms\" on");
from_toml!(Beat, "a duration from \"100ms\" to \"60s\"");
from_toml!(Instant, "a time from \"0us\" to \"10ms\"");
from_toml!(Size, "a size like 4096, \"64KiB\", \"16MiB\" or \"1GiB\"");

impl<'de, const MAX: u32> Deserialize<'de> for Count<MAX> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(Text(std::marker::PhantomData, "a number from 1 on"))
    }
}

const MAX_MILLIS: u64 = 8760 * 3_600_000;
const MAX_INSTANT: u64 = 10_000;
const MAX_SIZE: usize = 1 << 40;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_people_write_them() {
        for (text, millis) in [
            ("500ms", 500),
            ("2s", 2000),
            ("1m", 60_000),
            ("1h", 3_600_000),
            ("0ms", 0),
        ] {
            let span: Span = text.parse().unwrap();
            assert_eq!(span.0, Duration::from_millis(millis));
            assert_eq!(span.to_string(), text);
        }
        for text in [
            "",
            "5",
            "s",
            "1.5s",
            "-1s",
            "1 s",
            "1d",
            "99999999999999999999s",
            "9999999h",
        ] {
            assert!(text.parse::<Span>().is_err(), "{text}");
        }
    }

    #[test]
    fn what_is_waited_is_not_nothing() {
        assert_eq!("1ms".parse(), Ok(Wait(Duration::from_millis(1))));
        for text in ["0s", "0ms", "0h"] {
            let error = text.parse::<Wait>().unwrap_err();
            assert!(error.contains("1ms is the least"), "{error}");
        }
    }

    #[test]
    fn a_heartbeat_has_its_range() {
        assert!("100ms".parse::<Beat>().is_ok() && "60s".parse::<Beat>().is_ok());
        assert!("99ms".parse::<Beat>().is_err() && "61s".parse::<Beat>().is_err());
    }

    #[test]
    fn an_instant_is_short() {
        for (text, micros) in [("0us", 0), ("50us", 50), ("1ms", 1000), ("10ms", 10_000)] {
            assert_eq!(text.parse(), Ok(Instant(Duration::from_micros(micros))));
        }
        for text in [
            "",
            "50",
            "us",
            "11ms",
            "10001us",
            "1s",
            "-1us",
            "1.5ms",
            "99999999999999999999us",
        ] {
            assert!(text.parse::<Instant>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_count_has_its_range() {
        assert_eq!("65535".parse(), Ok(Count::<65_535>(65_535)));
        for text in ["", "0", "-1", "65536", "many"] {
            let error = text.parse::<Count<65_535>>().unwrap_err();
            assert!(error.contains("1 to 65535"), "{error}");
        }
    }

    #[test]
    fn sizes_have_binary_units() {
        assert_eq!("64KiB".parse(), Ok(Size(65_536)));
        assert_eq!("1GiB".parse(), Ok(Size(1 << 30)));
        assert_eq!("7".parse(), Ok(Size(7)));
        for text in ["64KiB", "3GiB", "1025KiB", "1023"] {
            assert_eq!(text.parse::<Size>().unwrap().to_string(), text);
        }
        for text in ["", "KiB", "0", "1kb", "1.5MiB", "99999999GiB"] {
            assert!(text.parse::<Size>().is_err(), "{text}");
        }
    }
}
