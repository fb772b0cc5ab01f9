//! PLAIN: a name and a password in the clear, for networks that are trusted otherwise (RFC 24).
//!
//! Lock-step: HELLO, WELCOME, INITIATE, READY. Neither side says what it is before the name and
//! the password were found good.

use bytes::Bytes;
use zeroize::Zeroizing;

use super::{Credentials, Error, Mechanism, Step, refused};
use crate::limits::Limits;
use crate::wire::{Command, MechanismName, Metadata};

/// The side that shows a name and a password.
pub struct PlainClient {
    hello: Zeroizing<Vec<u8>>,
    ours: Metadata,
    limits: Limits,
    welcome: bool,
}

/// The side that has them judged.
#[derive(Debug)]
pub struct PlainServer {
    ours: Metadata,
    limits: Limits,
    state: State,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum State {
    Hello,
    Asked,
    Initiate,
}

impl PlainClient {
    /// A handshake that shows `user` and `password`, of which it takes the first 255 bytes each.
    #[must_use]
    pub fn new(user: &[u8], password: &[u8], ours: Metadata, limits: Limits) -> Self {
        let mut hello = Zeroizing::new(Vec::with_capacity(2 * 256));
        for word in [user, password] {
            let word = word.get(..255).unwrap_or(word);
            hello.push(u8::try_from(word.len()).unwrap_or(u8::MAX));
            hello.extend_from_slice(word);
        }
        Self {
            hello,
            ours,
            limits,
            welcome: false,
        }
    }
}

impl std::fmt::Debug for PlainClient {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // What it shows is a secret.
        f.debug_struct("PlainClient")
            .field("ours", &self.ours)
            .field("welcome", &self.welcome)
            .finish_non_exhaustive()
    }
}

impl Mechanism for PlainClient {
    fn name(&self) -> MechanismName {
        MechanismName::PLAIN
    }

    fn begin(&mut self, out: &mut Vec<u8>) -> Result<(), Error> {
        Command::write(Command::HELLO, &self.hello, out);
        Ok(())
    }

    fn hear(&mut self, command: &Command<'_>, out: &mut Vec<u8>) -> Result<Step, Error> {
        match command.name {
            Command::WELCOME if !self.welcome => {
                if !command.data.is_empty() {
                    return Err(Error::Malformed {
                        command: "WELCOME",
                        len: command.data.len(),
                    });
                }
                self.welcome = true;
                Command::write(Command::INITIATE, &self.ours.write(), out);
                Ok(Step::Continue)
            }
            Command::READY if self.welcome => Ok(Step::Done(command.metadata(&self.limits)?)),
            Command::ERROR => Err(refused(command)),
            _ => Err(Error::unexpected(command)),
        }
    }

    fn admit(&mut self, _: &mut Vec<u8>) -> Result<Step, Error> {
        Err(Error::Undecided)
    }
}

impl PlainServer {
    /// A handshake that says `ours` to whoever is let in.
    #[must_use]
    pub fn new(ours: Metadata, limits: Limits) -> Self {
        Self {
            ours,
            limits,
            state: State::Hello,
        }
    }
}

impl Mechanism for PlainServer {
    fn name(&self) -> MechanismName {
        MechanismName::PLAIN
    }

    fn begin(&mut self, _: &mut Vec<u8>) -> Result<(), Error> {
        Ok(())
    }

    fn hear(&mut self, command: &Command<'_>, out: &mut Vec<u8>) -> Result<Step, Error> {
        match (self.state, command.name) {
            (State::Hello, Command::HELLO) => {
                let (user, password) = words(command.data).ok_or(Error::Malformed {
                    command: "HELLO",
                    len: command.data.len(),
                })?;
                self.state = State::Asked;
                Ok(Step::Ask(Credentials::Plain {
                    user: Bytes::copy_from_slice(user),
                    password: Zeroizing::new(password.to_vec()),
                }))
            }
            (State::Initiate, Command::INITIATE) => {
                let theirs = command.metadata(&self.limits)?;
                Command::write(Command::READY, &self.ours.write(), out);
                Ok(Step::Done(theirs))
            }
            (_, Command::ERROR) => Err(refused(command)),
            _ => Err(Error::unexpected(command)),
        }
    }

    fn admit(&mut self, out: &mut Vec<u8>) -> Result<Step, Error> {
        if self.state != State::Asked {
            return Err(Error::Undecided);
        }
        self.state = State::Initiate;
        Command::write(Command::WELCOME, &[], out);
        Ok(Step::Continue)
    }
}

/// HELLO's name and password; nothing may follow them.
fn words(data: &[u8]) -> Option<(&[u8], &[u8])> {
    let (&len, rest) = data.split_first()?;
    let (user, rest) = rest.split_at_checked(usize::from(len))?;
    let (&len, password) = rest.split_first()?;
    (password.len() == usize::from(len)).then_some((user, password))
}
