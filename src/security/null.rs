//! NULL: no authentication and no confidentiality, just an exchange of metadata (RFC 37).
//!
//! Both sides send READY as soon as both greetings are in; neither waits for the other's. Only a
//! side that asks about its peers by their addresses (RFC 27) waits with it for the answer.

use super::{Credentials, Error, Mechanism, Step, refused};
use crate::limits::Limits;
use crate::wire::{Command, MechanismName, Metadata};

/// One side of a NULL handshake.
#[derive(Debug)]
pub struct Null {
    ours: Metadata,
    limits: Limits,
    asks: bool,
    theirs: Option<Metadata>,
}

impl Null {
    /// A handshake that says `ours`.
    #[must_use]
    pub fn new(ours: Metadata, limits: Limits) -> Self {
        Self {
            ours,
            limits,
            asks: false,
            theirs: None,
        }
    }

    /// The same, and the peer is asked about.
    #[must_use]
    pub fn asking(ours: Metadata, limits: Limits) -> Self {
        Self {
            asks: true,
            ..Self::new(ours, limits)
        }
    }

    fn ready(&self, out: &mut Vec<u8>) {
        Command::write(Command::READY, &self.ours.write(), out);
    }
}

impl Mechanism for Null {
    fn name(&self) -> MechanismName {
        MechanismName::NULL
    }

    fn begin(&mut self, out: &mut Vec<u8>) -> Result<(), Error> {
        if !self.asks {
            self.ready(out);
        }
        Ok(())
    }

    fn hear(&mut self, command: &Command<'_>, _: &mut Vec<u8>) -> Result<Step, Error> {
        match command.name {
            Command::READY if self.asks => {
                self.theirs = Some(command.metadata(&self.limits)?);
                Ok(Step::Ask(Credentials::Nothing))
            }
            Command::READY => Ok(Step::Done(command.metadata(&self.limits)?)),
            Command::ERROR => Err(refused(command)),
            _ => Err(Error::unexpected(command)),
        }
    }

    fn admit(&mut self, out: &mut Vec<u8>) -> Result<Step, Error> {
        let theirs = self.theirs.take().ok_or(Error::Undecided)?;
        self.ready(out);
        Ok(Step::Done(theirs))
    }
}
