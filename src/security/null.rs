//! NULL: no authentication and no confidentiality, just an exchange of metadata (RFC 37).
//!
//! Both sides send READY as soon as both greetings are in; neither waits for the other's.

use bytes::Bytes;

use super::{Error, Mechanism, Step};
use crate::limits::Limits;
use crate::wire::{Command, MechanismName, Metadata};

/// One side of a NULL handshake.
#[derive(Debug)]
pub struct Null {
    ours: Metadata,
    limits: Limits,
}

impl Null {
    /// A handshake that says `ours`.
    #[must_use]
    pub fn new(ours: Metadata, limits: Limits) -> Self {
        Self { ours, limits }
    }
}

impl Mechanism for Null {
    fn name(&self) -> MechanismName {
        MechanismName::NULL
    }

    fn begin(&mut self, out: &mut Vec<u8>) {
        Command::write(Command::READY, &self.ours.write(), out);
    }

    fn hear(&mut self, command: &Command<'_>, _: &mut Vec<u8>) -> Result<Step, Error> {
        match command.name {
            Command::READY => Ok(Step::Done(command.metadata(&self.limits)?)),
            Command::ERROR => Err(Error::Refused {
                reason: Bytes::copy_from_slice(command.reason()?),
            }),
            _ => Err(Error::unexpected(command)),
        }
    }
}
