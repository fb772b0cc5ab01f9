//! Names of services and workers.

use bytes::Bytes;

/// 0 to 255 bytes, most of them short: up to 30 live in the value itself, so that looking a
/// service up costs no allocation.
#[derive(Clone)]
pub struct Name(Store);

#[derive(Clone)]
enum Store {
    Short(u8, [u8; SHORT]),
    Long(Bytes),
}

/// Why bytes are not a service's name.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum NameError {
    /// No bytes.
    #[error("a service needs a name")]
    Empty,
    /// More than 255 bytes.
    #[error("service name of {len} bytes, limit 255")]
    TooLong {
        /// Its length.
        len: usize,
    },
    /// Not UTF-8.
    #[error("service name is not UTF-8")]
    NotText,
    /// A space, a control character or a semicolon.
    #[error(
        "service name holds byte {byte:#04x}; spaces, control characters and `;` are not allowed"
    )]
    Forbidden {
        /// That byte.
        byte: u8,
    },
    /// A character that stands for other names, where one is wanted.
    #[error("service name holds `{mark}`, which stands for any name and may only be offered")]
    Reserved {
        /// That character.
        mark: char,
    },
    /// Not exactly one version, of at least one character, behind the name.
    #[error("service name is not like `name@version`")]
    Version,
    /// Marks of a wildcard where they cannot stand.
    #[error(
        "`*` stands for a whole level between dots and `>` for all that follow, without a version: image.*, image.>"
    )]
    Wildcard,
}

impl Name {
    /// Takes at most 255 bytes as they are; what is beyond is cut.
    #[must_use]
    pub fn new(bytes: &[u8]) -> Self {
        let bytes = bytes.get(..255).unwrap_or(bytes);
        let mut short = [0; SHORT];
        match short.get_mut(..bytes.len()) {
            Some(place) => {
                place.copy_from_slice(bytes);
                // At most SHORT, as the place was found.
                Self(Store::Short(u8::try_from(bytes.len()).unwrap_or(0), short))
            }
            None => Self(Store::Long(Bytes::copy_from_slice(bytes))),
        }
    }

    /// A service's name as S0/1 allows it: 1 to 255 bytes of UTF-8 without spaces, control
    /// characters and `;`, perhaps with a version behind an `@`. The marks `*` and `>` are reserved.
    ///
    /// # Errors
    /// Says what is wrong with it.
    pub fn service(bytes: &[u8]) -> Result<Self, NameError> {
        check_length(bytes)?;
        if bytes.iter().all(|byte| is_plain(*byte)) {
            return Ok(Self::new(bytes));
        }
        let text = std::str::from_utf8(bytes).map_err(|_| NameError::NotText)?;
        if let Some(found) = text
            .chars()
            .find(|c| c.is_whitespace() || c.is_control() || *c == ';')
        {
            let mut utf8 = [0; 4];
            let byte = found.encode_utf8(&mut utf8).bytes().next().unwrap_or(0);
            return Err(NameError::Forbidden { byte });
        }
        if let Some(mark) = text.chars().find(|c| matches!(c, '*' | '>')) {
            return Err(NameError::Reserved { mark });
        }
        check_version(bytes)?;
        Ok(Self::new(bytes))
    }

    /// A service's name as Majordomo peers may use it: 1 to 255 bytes without control characters.
    ///
    /// # Errors
    /// Says what is wrong with it.
    pub fn majordomo(bytes: &[u8]) -> Result<Self, NameError> {
        check_length(bytes)?;
        match bytes.iter().find(|byte| byte.is_ascii_control()) {
            Some(&byte) => Err(NameError::Forbidden { byte }),
            None => Ok(Self::new(bytes)),
        }
    }

    /// The bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        match &self.0 {
            Store::Short(len, bytes) => bytes.get(..usize::from(*len)).unwrap_or_default(),
            Store::Long(bytes) => bytes,
        }
    }

    /// Whether there are no bytes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.as_bytes().is_empty()
    }

    /// The length for a one-byte length field.
    pub(crate) fn len_octet(&self) -> u8 {
        u8::try_from(self.as_bytes().len()).unwrap_or(u8::MAX)
    }

    /// Whether the broker keeps names of this kind for its own services.
    #[must_use]
    pub fn is_reserved(&self) -> bool {
        [&b"s0."[..], b"mmi."]
            .iter()
            .any(|prefix| self.as_bytes().starts_with(prefix))
    }
}

/// Whether a byte may stand anywhere in a service's name: most names have no others.
fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_')
}

/// One `@` at most, and something on either side of it.
pub(super) fn check_version(bytes: &[u8]) -> Result<(), NameError> {
    let mut parts = bytes.split(|byte| *byte == b'@');
    let whole = parts.all(|part| !part.is_empty());
    if whole && bytes.iter().filter(|byte| **byte == b'@').count() <= 1 {
        Ok(())
    } else {
        Err(NameError::Version)
    }
}

fn check_length(bytes: &[u8]) -> Result<(), NameError> {
    match bytes.len() {
        0 => Err(NameError::Empty),
        1..=255 => Ok(()),
        len => Err(NameError::TooLong { len }),
    }
}

impl Default for Name {
    fn default() -> Self {
        Self::new(b"")
    }
}

impl From<&str> for Name {
    fn from(text: &str) -> Self {
        Self::new(text.as_bytes())
    }
}

impl PartialEq for Name {
    fn eq(&self, other: &Self) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl Eq for Name {}

impl Ord for Name {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.as_bytes().cmp(other.as_bytes())
    }
}

impl PartialOrd for Name {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl std::hash::Hash for Name {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.as_bytes().hash(state);
    }
}

impl std::borrow::Borrow<[u8]> for Name {
    fn borrow(&self) -> &[u8] {
        self.as_bytes()
    }
}

impl std::fmt::Display for Name {
    /// As text, what is not text escaped.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match std::str::from_utf8(self.as_bytes()) {
            Ok(text) if !text.chars().any(char::is_control) => f.write_str(text),
            _ => write!(f, "{}", self.as_bytes().escape_ascii()),
        }
    }
}

impl std::fmt::Debug for Name {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "\"{}\"", self.as_bytes().escape_ascii())
    }
}

const SHORT: usize = 30;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_any_length_keep_their_bytes() {
        for len in [0, 1, SHORT - 1, SHORT, SHORT + 1, 255] {
            let bytes = vec![b'x'; len];
            assert_eq!(Name::new(&bytes).as_bytes(), bytes);
            assert_eq!(usize::from(Name::new(&bytes).len_octet()), len);
        }
    }

    #[test]
    fn a_service_name_is_checked_at_the_door() {
        assert_eq!(Name::service(b""), Err(NameError::Empty));
        assert!(Name::service(&[b'x'; 255]).is_ok());
        assert_eq!(
            Name::service(&[b'x'; 256]),
            Err(NameError::TooLong { len: 256 })
        );
        assert_eq!(Name::service(b"\xff"), Err(NameError::NotText));
        for byte in [b' ', b'\n', 0, 0x7f, b';'] {
            assert_eq!(
                Name::service(&[b'a', byte]),
                Err(NameError::Forbidden { byte })
            );
        }
        for wrong in ["a@", "@2", "a@1@2"] {
            assert_eq!(Name::service(wrong.as_bytes()), Err(NameError::Version));
        }
        assert!(Name::service(b"image.resize@1.4").is_ok());
        for mark in ['*', '>'] {
            assert_eq!(
                Name::service(format!("a{mark}").as_bytes()),
                Err(NameError::Reserved { mark })
            );
        }
        assert!(Name::service("größe.image".as_bytes()).is_ok());
    }

    #[test]
    fn majordomo_names_may_hold_more() {
        assert!(Name::majordomo(b"my service; *@> \xff").is_ok());
        assert_eq!(
            Name::majordomo(b"a\x1f"),
            Err(NameError::Forbidden { byte: 0x1f })
        );
        assert_eq!(Name::majordomo(b""), Err(NameError::Empty));
    }

    #[test]
    fn the_brokers_own_prefixes_are_reserved() {
        assert!(Name::from("s0.info").is_reserved() && Name::from("mmi.service").is_reserved());
        assert!(!Name::from("s0").is_reserved() && !Name::from("xmmi.service").is_reserved());
    }
}
