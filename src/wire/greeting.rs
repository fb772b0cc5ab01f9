//! The 64 bytes with which every connection begins (RFC 23, "Greeting").

use super::Error;

/// What a peer says before anything else. Padding, filler and as-server are never validated:
/// real peers put an identity length and stray bytes there.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Greeting {
    /// Minor version: 0 has no PING and subscribes by message, 1 has both as commands.
    pub minor: u8,
    /// The security mechanism; both sides must name the same.
    pub mechanism: MechanismName,
    /// Whether the peer claims the server's role in the mechanism.
    pub as_server: bool,
}

/// A mechanism's name, padded with zeros to 20 bytes and compared whole.
#[derive(Clone, Copy, Eq, PartialEq)]
pub struct MechanismName([u8; 20]);

impl Greeting {
    /// Length on the wire.
    pub const LEN: usize = 64;

    /// The greeting's bytes. Sent at once: a peer that waits for ours in stages is served too.
    #[must_use]
    pub fn write(&self) -> [u8; Self::LEN] {
        let mut out = [0; Self::LEN];
        let head = [0xff, 0, 0, 0, 0, 0, 0, 0, 1, 0x7f, 3, self.minor];
        for (to, from) in out.iter_mut().zip(
            head.iter()
                .chain(&self.mechanism.0)
                .chain([&u8::from(self.as_server)]),
        ) {
            *to = *from;
        }
        out
    }

    /// Reads what has arrived of a greeting. `None` while it is incomplete and not yet wrong:
    /// a peer that speaks something else is refused at the first byte that says so.
    ///
    /// # Errors
    /// Anything but ZMTP 3 or later.
    pub fn read(bytes: &[u8]) -> Result<Option<Self>, Error> {
        if let Some(&first) = bytes.first()
            && first != 0xff
        {
            return Err(Error::NotZmtp { first });
        }
        if bytes.get(9).is_some_and(|last| last & 1 == 0) {
            return Err(Error::Unversioned);
        }
        if let Some(&major) = bytes.get(10)
            && major < 3
        {
            return Err(Error::OldRevision { major });
        }
        let Some(bytes) = bytes.first_chunk::<{ Self::LEN }>() else {
            return Ok(None);
        };
        let mut mechanism = [0; 20];
        mechanism.copy_from_slice(&bytes[12..32]);
        // A later revision promises to speak 3.1 to us (RFC 37, "Version Negotiation").
        let minor = if bytes[10] > 3 { 1 } else { bytes[11] };
        Ok(Some(Self {
            minor,
            mechanism: MechanismName(mechanism),
            as_server: bytes[32] & 1 != 0,
        }))
    }
}

impl MechanismName {
    /// No security (RFC 37, "The NULL Security Mechanism").
    pub const NULL: Self = Self::new(b"NULL");

    /// A name and a password in the clear (RFC 24).
    pub const PLAIN: Self = Self::new(b"PLAIN");
    /// Keys (RFC 25, RFC 26).
    pub const CURVE: Self = Self::new(b"CURVE");

    const fn new(name: &[u8]) -> Self {
        let mut bytes = [0; 20];
        let (head, _) = bytes.split_at_mut(name.len());
        head.copy_from_slice(name);
        Self(bytes)
    }
}

impl std::fmt::Debug for MechanismName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Display::fmt(self, f)
    }
}

impl std::fmt::Display for MechanismName {
    /// The name without its padding, unprintable bytes escaped.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let end = self.0.iter().position(|b| *b == 0).unwrap_or(self.0.len());
        let (name, _) = self.0.split_at(end);
        write!(f, "{}", name.escape_ascii())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OURS: Greeting = Greeting {
        minor: 1,
        mechanism: MechanismName::NULL,
        as_server: false,
    };

    #[test]
    fn a_greeting_cut_anywhere_waits_for_the_rest() {
        let bytes = OURS.write();
        for cut in 0..bytes.len() {
            assert_eq!(Greeting::read(&bytes[..cut]), Ok(None));
        }
        assert_eq!(Greeting::read(&bytes), Ok(Some(OURS)));
    }

    #[test]
    fn padding_filler_and_as_server_are_not_validated() {
        let mut bytes = OURS.write();
        bytes[1..9].copy_from_slice(&[0xaa; 8]);
        bytes[32] = 7;
        bytes[33..].fill(0xaa);
        assert_eq!(
            Greeting::read(&bytes),
            Ok(Some(Greeting {
                as_server: true,
                ..OURS
            }))
        );
    }

    #[test]
    fn other_protocols_are_refused_at_the_byte_that_tells() {
        assert_eq!(Greeting::read(b"G"), Err(Error::NotZmtp { first: b'G' }));
        assert_eq!(
            Greeting::read(&[0xff, 0, 0, 0, 0, 0, 0, 0, 1, 0x7e]),
            Err(Error::Unversioned)
        );
        for major in 0..3 {
            let bytes = [0xff, 0, 0, 0, 0, 0, 0, 0, 1, 0x7f, major];
            assert_eq!(Greeting::read(&bytes), Err(Error::OldRevision { major }));
        }
    }

    #[test]
    fn later_revisions_are_spoken_to_as_3_1() {
        let mut bytes = OURS.write();
        bytes[10] = 4;
        bytes[11] = 0;
        assert_eq!(Greeting::read(&bytes), Ok(Some(OURS)));
    }

    #[test]
    fn mechanism_names_are_compared_whole() {
        let mut bytes = OURS.write();
        bytes[17] = b'x';
        let odd = Greeting::read(&bytes).unwrap().unwrap();
        assert_ne!(odd.mechanism, MechanismName::NULL);
    }
}
