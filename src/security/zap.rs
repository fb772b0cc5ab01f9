//! ZAP: what a server asks somebody else about a peer, and the answer (RFC 27). Messages to values
//! and back; who is asked, and for how long, is others' business.
//!
//! Messages are those of a DEALER: the first part is the empty delimiter, which REQ, REP and a
//! handler's ROUTER put there and take away. A reply that is not exactly what RFC 27 says is an
//! error, and an error lets nobody in.

use std::net::IpAddr;

use bytes::Bytes;
use zeroize::Zeroizing;

use super::curve::PublicKey;
use super::{Credentials, User, Verdict};
use crate::limits::Limits;
use crate::wire::{Message, Properties, PropertyError};

/// Where handlers are by RFC 27.
pub const ENDPOINT: &str = "inproc://zeromq.zap.01";

/// A question about one peer.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Request {
    /// The number by which the reply is known, of any bytes.
    pub id: Bytes,
    /// The domain for which the peer is judged, text; a handler may have rules for each. May be
    /// empty.
    pub domain: Bytes,
    /// Where the peer comes from; none over ipc and inproc.
    pub address: Option<IpAddr>,
    /// The routing id of the socket that asks (not of the peer, which has not said it yet); may be
    /// empty.
    pub identity: Bytes,
    /// What the peer shows.
    pub credentials: Credentials,
}

/// An answer.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Reply {
    /// The request's.
    pub id: Bytes,
    /// The decision.
    pub status: Status,
    /// Words for people, never interpreted.
    pub text: Bytes,
    /// What the handler calls the peer, at most 255 bytes; empty if it has no name for it.
    pub user_id: Bytes,
    /// Properties of the peer that the handler knows, in order.
    pub metadata: Vec<(Bytes, Bytes)>,
}

/// What a handler decides.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Status {
    /// 200: the peer may come in.
    Success,
    /// 300: nobody can say now.
    Later,
    /// 400: the peer may not come in.
    Denied,
    /// 500: the handler has failed.
    Failed,
}

/// A message that is no ZAP.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Not as many parts as there have to be.
    #[error("{count} parts, which is not what RFC 27 says")]
    Parts {
        /// How many, the delimiter included; 10 for all that are more.
        count: usize,
    },
    /// The first part is not empty.
    #[error("no empty delimiter in front")]
    Delimiter,
    /// Not version 1.0.
    #[error("not version 1.0")]
    Version,
    /// Not one of 200, 300, 400 and 500.
    #[error("a status that is none of 200, 300, 400 and 500")]
    Status,
    /// A name beyond 255 bytes.
    #[error("a User-Id of {len} bytes, limit {MAX_NAME}")]
    UserId {
        /// Its length.
        len: usize,
    },
    /// A list of properties that cannot be read.
    #[error(transparent)]
    Metadata(#[from] PropertyError),
    /// Neither empty nor the address of a host.
    #[error("an address that is none")]
    Address,
    /// A mechanism that is not known, or credentials that are not the mechanism's.
    #[error("credentials that are not the mechanism's")]
    Credentials,
}

impl Request {
    /// The message, delimiter included. PLAIN's password stands in it as it is.
    #[must_use]
    pub fn write(&self) -> Message {
        // A peer of a socket that listens on both families is known by the address it calls its own.
        let address = self
            .address
            .map(|address| address.to_canonical().to_string())
            .unwrap_or_default();
        let (mechanism, credentials): (_, &[&[u8]]) = match &self.credentials {
            Credentials::Nothing => (NULL, &[]),
            Credentials::Plain { user, password } => (PLAIN, &[user, password]),
            Credentials::Curve { key } => (CURVE, &[key.as_bytes()]),
        };
        let head: [&[u8]; 7] = [
            b"",
            VERSION,
            &self.id,
            &self.domain,
            address.as_bytes(),
            &self.identity,
            mechanism,
        ];
        Message::new(head.iter().chain(credentials))
    }

    /// Reads what [`write`](Self::write) wrote, or another implementation: for programs that are
    /// handlers.
    ///
    /// # Errors
    /// Anything that is no request of RFC 27 with one of the three mechanisms; names and passwords
    /// beyond 255 bytes.
    pub fn read(message: &Message) -> Result<Self, Error> {
        let parts = parts(message)?;
        let [_, _, id, domain, address, identity, mechanism, shown @ ..] = parts.as_slice() else {
            return Err(Error::Parts { count: parts.len() });
        };
        let address = match *address {
            b"" => None,
            text => Some(read_address(text).ok_or(Error::Address)?),
        };
        let credentials = match (*mechanism, shown) {
            (NULL, []) => Credentials::Nothing,
            (PLAIN, [user, password]) if user.len() <= MAX_NAME && password.len() <= MAX_NAME => {
                Credentials::Plain {
                    user: Bytes::copy_from_slice(user),
                    password: Zeroizing::new(password.to_vec()),
                }
            }
            (CURVE, [key]) => Credentials::Curve {
                key: <[u8; 32]>::try_from(*key)
                    .map(PublicKey::from_bytes)
                    .map_err(|_| Error::Credentials)?,
            },
            _ => return Err(Error::Credentials),
        };
        Ok(Self {
            id: Bytes::copy_from_slice(id),
            domain: Bytes::copy_from_slice(domain),
            address,
            identity: Bytes::copy_from_slice(identity),
            credentials,
        })
    }
}

impl Reply {
    /// The message, delimiter included.
    #[must_use]
    pub fn write(&self) -> Message {
        let mut metadata = Vec::new();
        for (name, value) in &self.metadata {
            // What has no name that others could read cannot stand in the list.
            if let Ok(name) = std::str::from_utf8(name)
                && !name.is_empty()
            {
                crate::wire::push_property(name, value, &mut metadata);
            }
        }
        Message::new([
            b"",
            VERSION,
            &self.id[..],
            self.status.digits(),
            &self.text[..],
            &self.user_id[..],
            &metadata[..],
        ])
    }

    /// Reads exactly the seven parts of RFC 27, with metadata within the limits.
    ///
    /// # Errors
    /// Anything else.
    pub fn read(message: &Message, limits: &Limits) -> Result<Self, Error> {
        let parts = parts(message)?;
        let &[_, _, id, status, text, user_id, metadata] = parts.as_slice() else {
            return Err(Error::Parts { count: parts.len() });
        };
        let status = Status::read(status).ok_or(Error::Status)?;
        if user_id.len() > MAX_NAME {
            return Err(Error::UserId { len: user_id.len() });
        }
        if metadata.len() > limits.metadata {
            return Err(Error::Metadata(PropertyError::TooLong {
                size: metadata.len(),
                limit: limits.metadata,
            }));
        }
        let metadata = Properties::read(metadata, limits.metadata_properties)?
            .iter()
            .map(|(name, value)| (Bytes::copy_from_slice(name), Bytes::copy_from_slice(value)))
            .collect();
        Ok(Self {
            id: Bytes::copy_from_slice(id),
            status,
            text: Bytes::copy_from_slice(text),
            user_id: Bytes::copy_from_slice(user_id),
            metadata,
        })
    }

    /// The id of a reply that may be broken in every other way: whom it would be about.
    #[must_use]
    pub fn id_of(message: &Message) -> Option<&[u8]> {
        let mut parts = message.parts();
        parts.next().filter(|delimiter| delimiter.is_empty())?;
        parts.nth(1)
    }

    /// What becomes of a peer with these credentials. It is admitted under the handler's name for
    /// it; without one under PLAIN's name, which the handler has found to be true, or the key as
    /// Z85.
    #[must_use]
    pub fn verdict(&self, credentials: &Credentials) -> Verdict {
        match self.status {
            Status::Success => Verdict::Admit(self.user(credentials)),
            Status::Later => Verdict::Later,
            Status::Denied => Verdict::Deny,
            Status::Failed => Verdict::Fail,
        }
    }

    fn user(&self, credentials: &Credentials) -> User {
        let (own, key) = match credentials {
            Credentials::Nothing => (Bytes::new(), None),
            Credentials::Plain { user, .. } => (user.clone(), None),
            Credentials::Curve { key } => (Bytes::from(key.to_string()), Some(*key)),
        };
        User {
            name: match self.user_id.is_empty() {
                true => own,
                false => self.user_id.clone(),
            },
            key,
        }
    }
}

impl Status {
    fn read(digits: &[u8]) -> Option<Self> {
        match digits {
            b"200" => Some(Self::Success),
            b"300" => Some(Self::Later),
            b"400" => Some(Self::Denied),
            b"500" => Some(Self::Failed),
            _ => None,
        }
    }

    /// As they stand in a reply.
    #[must_use]
    pub fn digits(self) -> &'static [u8] {
        match self {
            Self::Success => b"200",
            Self::Later => b"300",
            Self::Denied => b"400",
            Self::Failed => b"500",
        }
    }
}

/// The parts of a message that begins as all of ZAP's do. However many there are, no more are
/// looked at than a request could have and one.
fn parts(message: &Message) -> Result<Vec<&[u8]>, Error> {
    let parts: Vec<&[u8]> = message.parts().take(MOST_PARTS + 1).collect();
    match parts.as_slice() {
        [delimiter, ..] if !delimiter.is_empty() => Err(Error::Delimiter),
        [_, version, ..] if *version != VERSION => Err(Error::Version),
        [_, _, ..] if parts.len() <= MOST_PARTS => Ok(parts),
        _ => Err(Error::Parts { count: parts.len() }),
    }
}

fn read_address(text: &[u8]) -> Option<IpAddr> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

const VERSION: &[u8] = b"1.0";
const NULL: &[u8] = b"NULL";
const PLAIN: &[u8] = b"PLAIN";
const CURVE: &[u8] = b"CURVE";
/// Seven, and PLAIN's two.
const MOST_PARTS: usize = 9;
/// As long as PLAIN's names may be.
const MAX_NAME: usize = 255;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const GOOD: [&[u8]; 7] = [b"", b"1.0", b"7", b"200", b"OK", b"ann", b""];

    fn read(parts: &[&[u8]]) -> Result<Reply, Error> {
        Reply::read(&Message::new(parts), &Limits::default())
    }

    fn with(place: usize, part: &[u8]) -> Result<Reply, Error> {
        let mut parts = GOOD.to_vec();
        parts[place] = part;
        read(&parts)
    }

    fn request(credentials: Credentials) -> Request {
        Request {
            id: Bytes::from_static(b"1"),
            domain: Bytes::from_static(b"global"),
            address: Some(IpAddr::from([127, 0, 0, 1])),
            identity: Bytes::new(),
            credentials,
        }
    }

    fn plain(user: &[u8], password: &[u8]) -> Credentials {
        Credentials::Plain {
            user: Bytes::copy_from_slice(user),
            password: Zeroizing::new(password.to_vec()),
        }
    }

    fn curve() -> Credentials {
        Credentials::Curve {
            key: PublicKey::from_bytes([0xff; 32]),
        }
    }

    #[test]
    fn a_request_is_the_rfcs_to_the_byte() {
        let parts = |credentials| request(credentials).write().into_parts();
        let head: [&[u8]; 6] = [b"", b"1.0", b"1", b"global", b"127.0.0.1", b""];
        let whole = |rest: &[&'static [u8]]| [&head[..], rest].concat();
        assert_eq!(parts(Credentials::Nothing), whole(&[b"NULL"]));
        assert_eq!(
            parts(plain(b"admin", b"secret")),
            whole(&[b"PLAIN", b"admin", b"secret"])
        );
        assert_eq!(parts(curve()), whole(&[b"CURVE", &[0xff; 32]]));
    }

    #[test]
    fn an_address_is_written_as_its_owner_knows_it() {
        let address = |address: Option<&str>| {
            let request = Request {
                address: address.map(|text| text.parse().unwrap()),
                ..request(Credentials::Nothing)
            };
            request.write().into_parts()[4].clone()
        };
        assert_eq!(address(None), "");
        assert_eq!(address(Some("::1")), "::1");
        assert_eq!(address(Some("::ffff:10.0.0.7")), "10.0.0.7");
    }

    #[test]
    fn a_good_reply_is_read_whole() {
        let mut metadata = Vec::new();
        crate::wire::push_property("X-Room", b"12", &mut metadata);
        let reply = with(6, &metadata).unwrap();
        assert_eq!(reply.id, "7");
        assert_eq!(reply.status, Status::Success);
        assert_eq!(reply.text, "OK");
        assert_eq!(reply.user_id, "ann");
        assert_eq!(reply.metadata, [("X-Room".into(), "12".into())]);
    }

    #[test]
    fn a_reply_that_is_not_the_rfcs_is_an_error() {
        assert!(read(&GOOD).is_ok());
        for count in 0..7 {
            let error = Err(Error::Parts { count });
            assert_eq!(read(&GOOD[..count]), error, "{count} parts");
        }
        for more in [8, 9, 10, 1000] {
            let mut parts = GOOD.to_vec();
            parts.resize(more, b"");
            let told = more.min(MOST_PARTS + 1);
            assert_eq!(read(&parts), Err(Error::Parts { count: told }));
        }
        assert_eq!(with(0, b" "), Err(Error::Delimiter));
        for version in [&b""[..], b"1", b"1.1", b"2.0", b"1.00", b" 1.0", b"1.0\0"] {
            assert_eq!(with(1, version), Err(Error::Version), "{version:?}");
        }
        for status in [
            &b""[..],
            b"2",
            b"20",
            b"2000",
            b"201",
            b"299",
            b"100",
            b"600",
            b"000",
            b"+20",
            b" 200",
            b"200 ",
            b"0xc8",
            b"\xc8\0",
            "２００".as_bytes(),
        ] {
            assert_eq!(with(3, status), Err(Error::Status), "{status:?}");
        }
        assert_eq!(with(5, &[b'a'; 256]), Err(Error::UserId { len: 256 }));
        assert!(with(5, &[b'a'; 255]).is_ok());
        for metadata in [
            &b"\0"[..],
            b"\0\0\0\0\0",
            b"\x01a",
            b"\x01a\xff\xff\xff\xff",
        ] {
            let read = with(6, metadata);
            assert!(matches!(read, Err(Error::Metadata(_))), "{metadata:?}");
        }
        let long = vec![0; Limits::default().metadata + 1];
        assert!(matches!(with(6, &long), Err(Error::Metadata(_))));
    }

    #[test]
    fn each_status_has_its_verdict() {
        let verdict = |status: &[u8]| with(3, status).unwrap().verdict(&Credentials::Nothing);
        let ann = User {
            name: "ann".into(),
            key: None,
        };
        assert_eq!(verdict(b"200"), Verdict::Admit(ann));
        assert_eq!(verdict(b"300"), Verdict::Later);
        assert_eq!(verdict(b"400"), Verdict::Deny);
        assert_eq!(verdict(b"500"), Verdict::Fail);
    }

    #[test]
    fn who_is_admitted_without_a_name_keeps_its_own() {
        let name = |user_id: &[u8], credentials: &Credentials| {
            let verdict = with(5, user_id).unwrap().verdict(credentials);
            let Verdict::Admit(user) = verdict else {
                panic!("{verdict:?}");
            };
            (user.name, user.key)
        };
        let key = PublicKey::from_bytes([0xff; 32]);
        let z85 = Bytes::from("%nSc0".repeat(8));
        assert_eq!(name(b"bob", &curve()), ("bob".into(), Some(key)));
        assert_eq!(name(b"", &curve()), (z85, Some(key)));
        assert_eq!(name(b"bob", &plain(b"ann", b"")), ("bob".into(), None));
        assert_eq!(name(b"", &plain(b"ann", b"")), ("ann".into(), None));
        assert_eq!(name(b"", &Credentials::Nothing), (Bytes::new(), None));
    }

    #[test]
    fn a_broken_reply_still_tells_whom_it_is_about() {
        let id = |parts: &[&[u8]]| {
            let message = Message::new(parts);
            Reply::id_of(&message).map(<[u8]>::to_vec)
        };
        assert_eq!(id(&[b"", b"9.9", b"7"]), Some(b"7".to_vec()));
        assert_eq!(id(&[b"", b"1.0"]), None);
        assert_eq!(id(&[b"x", b"1.0", b"7"]), None);
        assert_eq!(id(&[]), None);
    }

    #[test]
    fn a_request_that_is_not_the_rfcs_is_an_error() {
        let good = request(curve()).write().into_parts();
        let read = |parts: &[Bytes]| Request::read(&Message::new(parts));
        assert!(read(&good).is_ok());
        for count in 0..7 {
            assert_eq!(read(&good[..count]), Err(Error::Parts { count }));
        }
        assert_eq!(read(&good[..7]), Err(Error::Credentials));
        for (place, part, error) in [
            (0, "x", Error::Delimiter),
            (1, "1.1", Error::Version),
            (4, "localhost", Error::Address),
            (6, "NULL", Error::Credentials),
            (6, "PLAIN", Error::Credentials),
            (6, "curve", Error::Credentials),
            (7, "short", Error::Credentials),
        ] {
            let mut parts = good.clone();
            parts[place] = part.into();
            assert_eq!(read(&parts), Err(error), "{place}: {part}");
        }
        let long = [b'a'; 256];
        for credentials in [plain(&long, b""), plain(b"", &long)] {
            let message = request(credentials).write();
            assert_eq!(Request::read(&message), Err(Error::Credentials));
        }
    }

    fn short() -> impl Strategy<Value = Bytes> {
        prop::collection::vec(any::<u8>(), 0..20).prop_map(Bytes::from)
    }

    fn credentials() -> impl Strategy<Value = Credentials> {
        prop_oneof![
            Just(Credentials::Nothing),
            (short(), short()).prop_map(|(user, password)| plain(&user, &password)),
            any::<[u8; 32]>().prop_map(|key| Credentials::Curve {
                key: PublicKey::from_bytes(key)
            }),
        ]
    }

    /// A good reply with some parts replaced, often by others that mean something, and often not
    /// as many as there should be.
    fn nearly() -> impl Strategy<Value = Vec<Vec<u8>>> {
        let known = GOOD.map(<[u8]>::to_vec).to_vec();
        let part = prop_oneof![
            prop::sample::select(known.clone()),
            prop::collection::vec(any::<u8>(), 0..40),
        ];
        let replaced = prop::collection::vec((0..GOOD.len(), part), 0..4);
        let count = prop_oneof![Just(GOOD.len()), 0..12_usize];
        (replaced, count).prop_map(move |(replaced, count)| {
            let mut parts = known.clone();
            for (place, part) in replaced {
                parts[place] = part;
            }
            parts.resize(count, Vec::new());
            parts
        })
    }

    proptest! {
        #[test]
        fn requests_come_back_as_they_went(
            id in short(),
            domain in short(),
            address in prop::option::of(any::<[u8; 4]>()),
            identity in short(),
            credentials in credentials(),
        ) {
            let address = address.map(IpAddr::from);
            let request = Request { id, domain, address, identity, credentials };
            prop_assert_eq!(Request::read(&request.write()), Ok(request));
        }

        #[test]
        fn replies_come_back_as_they_went(
            id in short(),
            status in prop::sample::select(vec![
                Status::Success, Status::Later, Status::Denied, Status::Failed,
            ]),
            text in short(),
            user_id in short(),
            metadata in prop::collection::vec(("[a-z]{1,9}", short()), 0..5),
        ) {
            let metadata = metadata.into_iter().map(|(name, value)| (name.into(), value));
            let reply = Reply { id, status, text, user_id, metadata: metadata.collect() };
            prop_assert_eq!(Reply::read(&reply.write(), &Limits::default()), Ok(reply));
        }

        #[test]
        fn only_a_reply_to_the_letter_admits(parts in nearly()) {
            let message = Message::new(&parts);
            let admits = Reply::read(&message, &Limits::default())
                .is_ok_and(|reply| reply.status == Status::Success);
            if admits {
                // Said once more, in other words.
                prop_assert_eq!(parts.len(), 7);
                prop_assert!(parts[0].is_empty());
                prop_assert_eq!(&parts[1], b"1.0");
                prop_assert_eq!(&parts[3], b"200");
            }
            let _ = Request::read(&message);
            let _ = Reply::id_of(&message);
        }
    }
}
