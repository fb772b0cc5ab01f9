//! Properties, the name-value lists of READY (RFC 37, "Metadata"). S0/1 headers use the same
//! encoding: name length (1 octet), name, value length (4 octets, big-endian), value.

use bytes::Bytes;

use super::{Error, SocketType};
use crate::limits::Limits;

/// Why a property list cannot be read.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum PropertyError {
    /// A name of no bytes.
    #[error("property without a name")]
    Nameless,
    /// A name beyond its length octet.
    #[error("property name of {len} bytes, limit 255")]
    NameTooLong {
        /// Its length.
        len: usize,
    },
    /// A name or value that claims more bytes than there are.
    #[error("property cut short, {left} bytes left")]
    Cut {
        /// Bytes from the property's beginning to the end of the list.
        left: usize,
    },
    /// A name that may stand there only once.
    #[error("property given twice")]
    Twice,
    /// More properties than allowed.
    #[error("more than {limit} properties")]
    TooMany {
        /// What is allowed.
        limit: usize,
    },
    /// More bytes of properties than allowed.
    #[error("{size} bytes of properties, limit {limit}")]
    TooLong {
        /// What there are.
        size: usize,
        /// What is allowed.
        limit: usize,
    },
}

/// A property list that has been checked to its end.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Properties<'a> {
    list: &'a [u8],
}

impl<'a> Properties<'a> {
    /// Checks a list of at most `most` properties.
    ///
    /// # Errors
    /// A nameless property, one that is cut short (leftover bytes included), too many.
    pub fn read(list: &'a [u8], most: usize) -> Result<Self, PropertyError> {
        let mut rest = list;
        let mut count = 0;
        while !rest.is_empty() {
            if count == most {
                return Err(PropertyError::TooMany { limit: most });
            }
            (_, rest) = split_property(rest)?;
            count += 1;
        }
        Ok(Self { list })
    }

    /// Takes a list that has been checked before.
    pub(crate) fn trusted(list: &'a [u8]) -> Self {
        Self { list }
    }

    /// The names and values, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&'a [u8], &'a [u8])> + use<'a> {
        let mut rest = self.list;
        std::iter::from_fn(move || {
            let (property, tail) = split_property(rest).ok()?;
            rest = tail;
            Some(property)
        })
    }

    /// The value of the first property of that name; case does not count in names.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<&'a [u8]> {
        self.iter()
            .find(|(n, _)| n.eq_ignore_ascii_case(name.as_bytes()))
            .map(|(_, value)| value)
    }

    /// The list as it stands on the wire.
    #[must_use]
    pub fn wire(&self) -> &'a [u8] {
        self.list
    }

    /// Whether there is no property.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }
}

/// Appends one property. A name is cut to 255 bytes and a value to 2^32 - 1, so that the list
/// stays one; whoever takes names from others checks them first.
pub fn push_property(name: &str, value: &[u8], out: &mut Vec<u8>) {
    let name = name.as_bytes();
    let name = name.get(..MAX_NAME).unwrap_or(name);
    let value = value.get(..u32::MAX as usize).unwrap_or(value);
    // Cut above: both lengths fit.
    out.push(u8::try_from(name.len()).unwrap_or(u8::MAX));
    out.extend_from_slice(name);
    let value_len = u32::try_from(value.len()).unwrap_or(u32::MAX);
    out.extend_from_slice(&value_len.to_be_bytes());
    out.extend_from_slice(value);
}

/// What a peer says of itself in READY.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Metadata {
    /// Its socket type.
    pub kind: SocketType,
    /// The identity it asks for; empty if none. A label, never a capability.
    pub identity: Bytes,
    /// All other properties, unknown ones included, in order.
    pub others: Vec<(Bytes, Bytes)>,
}

impl Metadata {
    /// Metadata with just a socket type.
    #[must_use]
    pub fn of(kind: SocketType) -> Self {
        Self {
            kind,
            identity: Bytes::new(),
            others: Vec::new(),
        }
    }

    /// Reads READY's data.
    ///
    /// # Errors
    /// A list that is malformed or beyond the limits, Socket-Type missing, unknown or given twice,
    /// Identity given twice, beyond 255 bytes or beginning with a zero byte.
    pub fn read(data: &[u8], limits: &Limits) -> Result<Self, Error> {
        if data.len() > limits.metadata {
            return Err(PropertyError::TooLong {
                size: data.len(),
                limit: limits.metadata,
            }
            .into());
        }
        let mut kind = None;
        let mut identity = None;
        let mut others = Vec::new();
        for (name, value) in Properties::read(data, limits.metadata_properties)?.iter() {
            if name.eq_ignore_ascii_case(SOCKET_TYPE.as_bytes()) {
                let found = SocketType::read(value).ok_or(Error::UnknownSocketType)?;
                once(&mut kind, found)?;
            } else if name.eq_ignore_ascii_case(IDENTITY.as_bytes()) {
                if value.len() > MAX_IDENTITY || value.first() == Some(&0) {
                    return Err(Error::BadIdentity { len: value.len() });
                }
                once(&mut identity, Bytes::copy_from_slice(value))?;
            } else {
                others.push((Bytes::copy_from_slice(name), Bytes::copy_from_slice(value)));
            }
        }
        let kind = kind.ok_or(Error::NoSocketType)?;
        Ok(Self {
            kind,
            identity: identity.unwrap_or_default(),
            others,
        })
    }

    /// READY's data. REQ, DEALER and ROUTER state their identity even when it is empty, as
    /// libzmq does.
    #[must_use]
    pub fn write(&self) -> Vec<u8> {
        let mut out = Vec::new();
        push_property(SOCKET_TYPE, self.kind.name().as_bytes(), &mut out);
        if self.kind.states_identity() {
            push_property(IDENTITY, &self.identity, &mut out);
        }
        for (name, value) in &self.others {
            if let Ok(name) = std::str::from_utf8(name) {
                push_property(name, value, &mut out);
            }
        }
        out
    }
}

fn once<T>(slot: &mut Option<T>, value: T) -> Result<(), PropertyError> {
    match slot.replace(value) {
        None => Ok(()),
        Some(_) => Err(PropertyError::Twice),
    }
}

type Property<'a> = (&'a [u8], &'a [u8]);

fn split_property(list: &[u8]) -> Result<(Property<'_>, &[u8]), PropertyError> {
    let cut = PropertyError::Cut { left: list.len() };
    let Some((&len, rest)) = list.split_first() else {
        return Err(cut);
    };
    if len == 0 {
        return Err(PropertyError::Nameless);
    }
    let (name, rest) = rest.split_at_checked(usize::from(len)).ok_or(cut.clone())?;
    let (len, rest) = rest.split_first_chunk::<4>().ok_or(cut.clone())?;
    // Compared as what it is before it becomes an index: no pointer arithmetic to overflow.
    let len = usize::try_from(u32::from_be_bytes(*len)).unwrap_or(usize::MAX);
    let (value, rest) = rest.split_at_checked(len).ok_or(cut)?;
    Ok(((name, value), rest))
}

const SOCKET_TYPE: &str = "Socket-Type";
const IDENTITY: &str = "Identity";
const MAX_NAME: usize = 255;
const MAX_IDENTITY: usize = 255;

#[cfg(test)]
mod tests {
    use super::*;

    fn list(properties: &[(&str, &[u8])]) -> Vec<u8> {
        let mut out = Vec::new();
        for (name, value) in properties {
            push_property(name, value, &mut out);
        }
        out
    }

    fn read(properties: &[(&str, &[u8])]) -> Result<Metadata, Error> {
        Metadata::read(&list(properties), &Limits::default())
    }

    #[test]
    fn a_name_too_long_does_not_spoil_the_list() {
        let mut list = Vec::new();
        push_property(&"n".repeat(300), b"1", &mut list);
        push_property("next", b"2", &mut list);
        let read = Properties::read(&list, 2).unwrap();
        assert_eq!(read.find(&"n".repeat(255)), Some(&b"1"[..]));
        assert_eq!(read.find("next"), Some(&b"2"[..]));
    }

    #[test]
    fn names_are_compared_without_case() {
        let metadata = read(&[
            ("socket-TYPE", b"DEALER"),
            ("IDENTITY", b"me"),
            ("X-Hello", b"world"),
        ])
        .unwrap();
        assert_eq!(metadata.kind, SocketType::Dealer);
        assert_eq!(metadata.identity, "me");
        assert_eq!(
            metadata.others,
            [(Bytes::from("X-Hello"), Bytes::from("world"))]
        );
    }

    #[test]
    fn socket_type_stands_there_exactly_once() {
        assert_eq!(read(&[]), Err(Error::NoSocketType));
        assert_eq!(
            read(&[("Socket-Type", b"TEAPOT")]),
            Err(Error::UnknownSocketType)
        );
        let twice = read(&[("Socket-Type", b"REQ"), ("socket-type", b"REQ")]);
        assert_eq!(twice, Err(Error::Property(PropertyError::Twice)));
    }

    #[test]
    fn an_identity_has_at_most_255_bytes_and_does_not_begin_with_zero() {
        let with = |identity: &[u8]| read(&[("Socket-Type", b"REQ"), ("Identity", identity)]);
        assert!(with(&[1; 255]).is_ok());
        assert_eq!(with(&[1; 256]), Err(Error::BadIdentity { len: 256 }));
        assert_eq!(with(&[0, 1]), Err(Error::BadIdentity { len: 2 }));
    }

    #[test]
    fn a_list_cut_anywhere_is_refused() {
        let whole = list(&[("Socket-Type", b"REQ"), ("a", b"bc")]);
        let boundary = list(&[("Socket-Type", b"REQ")]).len();
        for cut in 1..whole.len() {
            let read = Properties::read(&whole[..cut], 9);
            assert_eq!(read.is_ok(), cut == boundary, "cut at {cut}");
        }
    }

    #[test]
    fn lengths_beyond_the_list_and_empty_names_are_refused() {
        assert_eq!(
            Properties::read(b"\x01a\xff\xff\xff\xffx", 9),
            Err(PropertyError::Cut { left: 7 })
        );
        assert_eq!(
            Properties::read(b"\x00\x00\x00\x00\x00", 9),
            Err(PropertyError::Nameless)
        );
    }

    #[test]
    fn number_and_size_are_bounded() {
        let limits = Limits::default();
        let mut most = vec![("Socket-Type", &b"REQ"[..])];
        most.resize(limits.metadata_properties, ("x", b""));
        assert!(read(&most).is_ok());
        most.push(("x", b""));
        assert!(matches!(
            read(&most),
            Err(Error::Property(PropertyError::TooMany { .. }))
        ));

        let head = list(&[("Socket-Type", b"REQ"), ("x", b"")]).len();
        let fill = vec![0; limits.metadata - head];
        assert!(read(&[("Socket-Type", b"REQ"), ("x", &fill)]).is_ok());
        let fill = vec![0; limits.metadata - head + 1];
        assert!(matches!(
            read(&[("Socket-Type", b"REQ"), ("x", &fill)]),
            Err(Error::Property(PropertyError::TooLong { .. }))
        ));
    }

    #[test]
    fn what_is_written_is_read_back() {
        let metadata = Metadata {
            identity: Bytes::from("me"),
            others: vec![(Bytes::from("X-a"), Bytes::from("b"))],
            ..Metadata::of(SocketType::Dealer)
        };
        assert_eq!(
            Metadata::read(&metadata.write(), &Limits::default()),
            Ok(metadata)
        );
    }
}
