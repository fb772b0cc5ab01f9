//! Patterns for services' names: `*` stands for any bytes, none included, the rest for itself.

use std::fmt;

use bytes::Bytes;

/// A pattern like `billing.*`. Matching reads each byte of a name once and steps back in the
/// pattern no further than it went forward, so a name of n bytes costs at most 2n comparisons,
/// whatever the pattern.
#[derive(Clone, Eq, PartialEq)]
pub struct Wildcard {
    text: Bytes,
    /// What stands in front of the first `*`; everything if there is none.
    head: Bytes,
    /// What stands between one `*` and the next.
    middle: Vec<Piece>,
    /// What stands behind the last `*`; `None` if there is none.
    tail: Option<Bytes>,
}

/// Why text is no pattern.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum WildcardError {
    /// It would match no name.
    #[error("a pattern needs at least one character; `*` stands for every name")]
    Empty,
    /// Names have at most 255 bytes.
    #[error("pattern of {len} bytes, limit 255")]
    TooLong {
        /// Its length.
        len: usize,
    },
    /// A control character, which no name may hold.
    #[error("pattern holds byte {byte:#04x}, which no name of a service may hold")]
    Forbidden {
        /// That byte.
        byte: u8,
    },
}

impl Wildcard {
    /// Takes 1 to 255 bytes without ASCII control characters.
    ///
    /// # Errors
    /// Says what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, WildcardError> {
        match text.len() {
            0 => return Err(WildcardError::Empty),
            1..=255 => {}
            len => return Err(WildcardError::TooLong { len }),
        }
        if let Some(byte) = text.bytes().find(u8::is_ascii_control) {
            return Err(WildcardError::Forbidden { byte });
        }
        let mut parts = text
            .split('*')
            .map(|part| Bytes::copy_from_slice(part.as_bytes()));
        let head = parts.next().unwrap_or_default();
        let mut middle: Vec<Bytes> = parts.collect();
        let tail = middle.pop();
        Ok(Self {
            text: Bytes::copy_from_slice(text.as_bytes()),
            head,
            // Two stars in a row are one.
            middle: middle
                .into_iter()
                .filter(|part| !part.is_empty())
                .map(Piece::new)
                .collect(),
            tail,
        })
    }

    /// Whether a name fits.
    #[must_use]
    pub fn matches(&self, name: &[u8]) -> bool {
        let Some(rest) = name.strip_prefix(&*self.head) else {
            return false;
        };
        let Some(tail) = &self.tail else {
            return rest.is_empty();
        };
        let Some(mut rest) = rest.strip_suffix(&**tail) else {
            return false;
        };
        // The leftmost place for each piece leaves the most room for those behind it.
        for piece in &self.middle {
            match piece.after(rest) {
                Some(left) => rest = left,
                None => return false,
            }
        }
        true
    }

    /// Whether some name that begins with `prefix` could fit.
    #[must_use]
    pub fn reaches(&self, prefix: &[u8]) -> bool {
        self.head.starts_with(prefix) || (self.tail.is_some() && prefix.starts_with(&self.head))
    }

    /// What stands in front of the first `*`.
    #[must_use]
    pub fn head(&self) -> &[u8] {
        &self.head
    }

    /// The pattern as it was written.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.text
    }
}

/// A piece to be found anywhere, with what a mismatch leaves of a match (Knuth, Morris, Pratt).
#[derive(Clone, Eq, PartialEq)]
struct Piece {
    bytes: Bytes,
    /// For each length of a match: how much of its end is a beginning of the piece again.
    borders: Vec<u8>,
}

impl Piece {
    fn new(bytes: Bytes) -> Self {
        let mut borders = Vec::with_capacity(bytes.len());
        let mut border = 0_u8;
        for (n, byte) in bytes.iter().enumerate() {
            if n > 0 {
                border = step(&bytes, &borders, border, *byte);
            }
            borders.push(border);
        }
        Self { bytes, borders }
    }

    /// What stands behind its first place in `name`.
    fn after<'a>(&self, name: &'a [u8]) -> Option<&'a [u8]> {
        let mut matched = 0;
        for (n, byte) in name.iter().enumerate() {
            matched = step(&self.bytes, &self.borders, matched, *byte);
            if usize::from(matched) == self.bytes.len() {
                return name.get(n + 1..);
            }
        }
        None
    }
}

/// How much of the piece matches when `byte` follows a match of `matched` bytes.
fn step(piece: &[u8], borders: &[u8], mut matched: u8, byte: u8) -> u8 {
    loop {
        if piece.get(usize::from(matched)) == Some(&byte) {
            return matched + 1;
        }
        let Some(shorter) = matched.checked_sub(1) else {
            return 0;
        };
        matched = borders
            .get(usize::from(shorter))
            .copied()
            .unwrap_or_default();
    }
}

impl fmt::Display for Wildcard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&String::from_utf8_lossy(&self.text))
    }
}

impl fmt::Debug for Wildcard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Wildcard({self})")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn matches(pattern: &str, name: &str) -> bool {
        Wildcard::parse(pattern).unwrap().matches(name.as_bytes())
    }

    /// Tries everything.
    fn naive(pattern: &[u8], name: &[u8]) -> bool {
        match pattern.split_first() {
            None => name.is_empty(),
            Some((b'*', rest)) => (0..=name.len()).any(|n| naive(rest, &name[n..])),
            Some((byte, rest)) => name.first() == Some(byte) && naive(rest, &name[1..]),
        }
    }

    #[test]
    fn a_star_stands_for_any_bytes_and_nothing_else_does() {
        for (pattern, name, fits) in [
            ("echo", "echo", true),
            ("echo", "echo2", false),
            ("echo", "Echo", false),
            ("*", "echo", true),
            ("*", "a.b.c", true),
            ("billing.*", "billing.", true),
            ("billing.*", "billing.charge", true),
            ("billing.*", "billing", false),
            ("billing.*", "xbilling.charge", false),
            ("*.read", "a.read", true),
            ("*.read", "a.read.b", false),
            ("a*a", "a", false),
            ("a*a", "aa", true),
            ("a*b*a", "aba", true),
            ("a**b", "ab", true),
            ("*ab*ab*", "abab", true),
            ("*ab*ab*", "aab b", false),
            ("*aab*", "aaab", true),
            ("?.[a-z]", "x.y", false),
            ("größe*", "größe.m", true),
        ] {
            assert_eq!(matches(pattern, name), fits, "{pattern} {name}");
        }
        assert!(Wildcard::parse("*").unwrap().matches(b"\xff"));
    }

    #[test]
    fn what_is_no_pattern_is_refused() {
        assert_eq!(Wildcard::parse(""), Err(WildcardError::Empty));
        let long = "*".repeat(256);
        assert_eq!(
            Wildcard::parse(&long),
            Err(WildcardError::TooLong { len: 256 })
        );
        assert_eq!(
            Wildcard::parse("a\n"),
            Err(WildcardError::Forbidden { byte: b'\n' })
        );
    }

    #[test]
    fn what_a_pattern_reaches_is_told_by_its_head() {
        let reaches = |pattern| Wildcard::parse(pattern).unwrap().reaches(b"s0.");
        for pattern in ["*", "s*", "s0.*", "s0.info", "s0*"] {
            assert!(reaches(pattern), "{pattern}");
        }
        for pattern in ["s0", "billing.*", "s1.*", "x*s0.info"] {
            assert!(!reaches(pattern), "{pattern}");
        }
    }

    proptest! {
        #[test]
        fn any_pattern_matches_as_the_naive_one_does(
            pattern in "[ab*]{1,9}",
            name in "[ab]{0,14}",
        ) {
            prop_assert_eq!(
                matches(&pattern, &name),
                naive(pattern.as_bytes(), name.as_bytes())
            );
        }
    }
}
