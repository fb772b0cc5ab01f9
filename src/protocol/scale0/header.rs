//! The header frame of S0/1, and the numbers in it.

use std::time::Duration;

use crate::limits::Limits;
use crate::protocol::{Id, Portion};
use crate::wire::{Properties, PropertyError};

/// The header frame: 20 fixed bytes, a name, properties.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Header<'a> {
    /// What is meant.
    pub command: u8,
    /// Per command.
    pub flags: u8,
    /// Status, capacity or attempt, per command.
    pub code: u16,
    /// Milliseconds, per command.
    pub ms: u32,
    /// Task or token, echoed as it came.
    pub id: Id,
    /// Service, worker or reason, per command; at most 255 bytes.
    pub name: &'a [u8],
    /// To the end of the frame.
    pub properties: Properties<'a>,
}

/// Why a frame that begins with `S0` is no header.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum HeaderError {
    /// Another version of the protocol.
    #[error("S0 version {version} is not spoken here, 1 is")]
    Version {
        /// Byte 2 of the frame.
        version: u8,
    },
    /// Fewer bytes than the fixed part and the name need.
    #[error("header of {len} bytes, it needs {needed}")]
    Short {
        /// What there is.
        len: usize,
        /// What there has to be.
        needed: usize,
    },
    /// More bytes than allowed.
    #[error("header of {len} bytes, limit {limit}")]
    Long {
        /// What there is.
        len: usize,
        /// What is allowed.
        limit: usize,
    },
    /// A property list that cannot be read.
    #[error(transparent)]
    Property(#[from] PropertyError),
}

/// The commands, by number.
#[allow(missing_docs, reason = "the table in spec/scale0.md explains each")]
pub mod command {
    pub const TASK: u8 = 0x01;
    pub const REPLY: u8 = 0x02;
    pub const ERROR: u8 = 0x03;
    pub const CONNECT: u8 = 0x04;
    pub const CONFIG: u8 = 0x05;
    pub const PING: u8 = 0x06;
    pub const PONG: u8 = 0x07;
    pub const CANCEL: u8 = 0x08;
    pub const BYE: u8 = 0x09;
    pub const NEEDBROKER: u8 = 0x0a;
    pub const CHANGEBROKER: u8 = 0x0b;
    pub const CHUNK: u8 = 0x0c;
    pub const CREDIT: u8 = 0x0d;
}

/// Flag bits, each valid for the commands named.
pub mod flag {
    /// TASK: chunks follow. REPLY: more replies follow.
    pub const MORE: u8 = 0x01;
    /// REPLY with 503: the worker refuses the task, another is to have it.
    pub const REQUEUE: u8 = 0x02;
    /// TASK: may be started again after a worker's death.
    pub const IDEMPOTENT: u8 = 0x02;
    /// TASK: no result is wanted.
    pub const ONEWAY: u8 = 0x04;
    /// TASK with ONEWAY: nor is a word of the broker's.
    pub const QUIET: u8 = 0x08;
    /// TASK: to be stored.
    pub const DURABLE: u8 = 0x10;
    /// ERROR: no worker has begun with the task.
    pub const NOT_EXECUTED: u8 = 0x01;
    /// PING: `code` is a new capacity.
    pub const CAP: u8 = 0x01;
    /// TASK: where the priority's three bits begin.
    pub const PRIORITY_SHIFT: u8 = 5;
}

impl<'a> Header<'a> {
    /// Length of the fixed part.
    pub const FIXED: usize = FIXED;

    /// Reads a header frame.
    ///
    /// # Errors
    /// See [`HeaderError`]. That the frame begins with `S0` is the caller's to know.
    pub fn read(frame: &'a [u8], limits: &Limits) -> Result<Self, HeaderError> {
        if let Some(&version) = frame.get(2)
            && version != VERSION
        {
            return Err(HeaderError::Version { version });
        }
        let len = frame.len();
        if len > limits.header {
            return Err(HeaderError::Long {
                len,
                limit: limits.header,
            });
        }
        let Some((fixed, rest)) = frame.split_first_chunk::<FIXED>() else {
            return Err(HeaderError::Short {
                len,
                needed: Self::FIXED,
            });
        };
        let &[
            _,
            _,
            _,
            command,
            flags,
            name_len,
            c0,
            c1,
            m0,
            m1,
            m2,
            m3,
            i0,
            i1,
            i2,
            i3,
            i4,
            i5,
            i6,
            i7,
        ] = fixed;
        let name_len = usize::from(name_len);
        let Some((name, properties)) = rest.split_at_checked(name_len) else {
            return Err(HeaderError::Short {
                len,
                needed: Self::FIXED + name_len,
            });
        };
        Ok(Self {
            command,
            flags,
            code: u16::from_be_bytes([c0, c1]),
            ms: u32::from_be_bytes([m0, m1, m2, m3]),
            id: Id([i0, i1, i2, i3, i4, i5, i6, i7]),
            name,
            properties: Properties::read(properties, limits.properties)?,
        })
    }

    /// Appends the header frame's bytes.
    pub fn write(&self, out: &mut Vec<u8>) {
        let (fixed, name) = self.fixed();
        out.reserve(Self::FIXED + name.len() + self.properties.wire().len());
        out.extend_from_slice(&fixed);
        out.extend_from_slice(name);
        out.extend_from_slice(self.properties.wire());
    }

    /// The fixed part, and the name as it follows.
    fn fixed(&self) -> ([u8; FIXED], &'a [u8]) {
        let name = self.name.get(..255).unwrap_or(self.name);
        let name_len = u8::try_from(name.len()).unwrap_or(u8::MAX);
        let [c0, c1] = self.code.to_be_bytes();
        let [m0, m1, m2, m3] = self.ms.to_be_bytes();
        let [i0, i1, i2, i3, i4, i5, i6, i7] = self.id.0;
        let (command, flags) = (self.command, self.flags);
        #[rustfmt::skip]
        let fixed = [
            b'S', b'0', VERSION, command, flags, name_len, c0, c1, m0, m1, m2, m3,
            i0, i1, i2, i3, i4, i5, i6, i7,
        ];
        (fixed, name)
    }

    /// Shows the header frame's bytes; a short one costs no allocation.
    pub fn with_frame<R>(&self, see: impl FnOnce(&[u8]) -> R) -> R {
        let mut short = [0; SHORT];
        let (fixed, name) = self.fixed();
        let properties = self.properties.wire();
        let len = Self::FIXED + name.len() + properties.len();
        let Some(frame) = short.get_mut(..len) else {
            return see(&self.frame());
        };
        let (to_fixed, rest) = frame.split_at_mut(Self::FIXED);
        let (to_name, to_properties) = rest.split_at_mut(name.len());
        to_fixed.copy_from_slice(&fixed);
        to_name.copy_from_slice(name);
        to_properties.copy_from_slice(properties);
        see(frame)
    }

    /// A header with a command and nothing else.
    #[must_use]
    pub fn of(command: u8) -> Self {
        Self {
            command,
            ..Self::default()
        }
    }

    /// The header frame by itself.
    #[must_use]
    pub fn frame(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.write(&mut out);
        out
    }

    /// Whether a flag is set.
    #[must_use]
    pub fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    /// Whether `Caps` has this word.
    #[must_use]
    pub fn is_capable_of(&self, word: &str) -> bool {
        let caps = self.properties.find(CAPS).unwrap_or_default();
        caps.split(|b| *b == b' ')
            .any(|named| named == word.as_bytes())
    }

    /// What a CREDIT gives.
    #[must_use]
    pub fn portion(&self) -> Portion {
        Portion {
            messages: self.code,
            kib: self.ms,
        }
    }

    pub(super) fn promise(&self) -> Duration {
        Duration::from_millis(u64::from(self.ms))
    }
}

/// The property that names what its sender can do.
pub const CAPS: &str = "Caps";
/// In it: parts of replies go by credit.
pub const CREDIT: &str = "credit";

const FIXED: usize = 20;
/// What most headers need no more than.
const SHORT: usize = 96;
const VERSION: u8 = 1;
