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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that is surprised has failed")]

    use super::*;
    use crate::wire::{self, SocketType};

    fn server() -> PlainServer {
        PlainServer::new(Metadata::of(SocketType::Router), Limits::default())
    }

    fn client() -> PlainClient {
        let ours = Metadata::of(SocketType::Dealer);
        PlainClient::new(b"admin", b"secret", ours, Limits::default())
    }

    fn tell(side: &mut dyn Mechanism, name: &[u8], data: &[u8]) -> (Result<Step, Error>, Vec<u8>) {
        let mut out = Vec::new();
        let step = side.hear(&Command { name, data }, &mut out);
        (step, out)
    }

    fn unexpected(name: &[u8]) -> Result<Step, Error> {
        let name = Bytes::copy_from_slice(name);
        Err(Error::Unexpected { name })
    }

    const HELLO: &[u8] = b"\x05admin\x06secret";
    const NAMES: [&[u8]; 6] = [
        Command::HELLO,
        Command::WELCOME,
        Command::INITIATE,
        Command::READY,
        b"MESSAGE",
        b"hello",
    ];

    #[test]
    fn a_server_says_nothing_of_itself_before_initiate() {
        let mut server = server();
        let mut out = Vec::new();
        server.begin(&mut out).unwrap();
        assert!(matches!(
            tell(&mut server, Command::HELLO, HELLO),
            (Ok(Step::Ask(_)), answer) if answer.is_empty()
        ));
        assert_eq!(server.admit(&mut out), Ok(Step::Continue));
        assert_eq!(out, b"\x04\x08\x07WELCOME");
        assert_eq!(server.admit(&mut out), Err(Error::Undecided), "once");
        let theirs = Metadata::of(SocketType::Dealer);
        let (step, ready) = tell(&mut server, Command::INITIATE, &theirs.write());
        assert_eq!(step, Ok(Step::Done(theirs)));
        assert!(ready.windows(6).any(|window| window == b"ROUTER"));
    }

    #[test]
    fn a_client_says_its_words_first_and_itself_when_it_is_welcome() {
        let (mut client, mut out) = (client(), Vec::new());
        client.begin(&mut out).unwrap();
        assert_eq!(out, b"\x04\x13\x05HELLO\x05admin\x06secret");
        let (step, initiate) = tell(&mut client, Command::WELCOME, b"");
        assert_eq!(step, Ok(Step::Continue));
        assert!(initiate.windows(6).any(|window| window == b"DEALER"));
        assert_eq!(client.admit(&mut out), Err(Error::Undecided));
    }

    #[test]
    fn each_command_is_heard_in_its_own_state_only() {
        for (state, right) in [Some(Command::HELLO), None, Some(Command::INITIATE)]
            .into_iter()
            .enumerate()
        {
            for name in NAMES.into_iter().filter(|name| Some(*name) != right) {
                let mut server = server();
                if state > 0 {
                    tell(&mut server, Command::HELLO, HELLO).0.unwrap();
                }
                if state > 1 {
                    server.admit(&mut Vec::new()).unwrap();
                }
                assert_eq!(tell(&mut server, name, HELLO).0, unexpected(name));
            }
        }
        for (state, right) in [Command::WELCOME, Command::READY].into_iter().enumerate() {
            for name in NAMES.into_iter().filter(|name| *name != right) {
                let mut client = client();
                if state > 0 {
                    tell(&mut client, Command::WELCOME, b"").0.unwrap();
                }
                assert_eq!(tell(&mut client, name, b"").0, unexpected(name));
            }
        }
    }

    #[test]
    fn a_welcome_is_empty() {
        for data in [&b"\0"[..], HELLO] {
            let malformed = Error::Malformed {
                command: "WELCOME",
                len: data.len(),
            };
            let (step, out) = tell(&mut client(), Command::WELCOME, data);
            assert_eq!((step, out), (Err(malformed), Vec::new()));
        }
    }

    #[test]
    fn words_of_255_bytes_pass_and_metadata_has_its_bounds() {
        let word = [b'x'; 255];
        let mut client = PlainClient::new(
            &word,
            &word,
            Metadata::of(SocketType::Dealer),
            Limits::default(),
        );
        let hello = client.hello.clone();
        let (step, _) = tell(&mut server(), Command::HELLO, &hello);
        let Ok(Step::Ask(Credentials::Plain { user, password })) = step else {
            panic!("{step:?}");
        };
        assert_eq!((&user[..], &password[..]), (&word[..], &word[..]));
        tell(&mut client, Command::WELCOME, b"").0.unwrap();
        let mut crowd = Metadata::of(SocketType::Router).write();
        for _ in 0..64 {
            wire::push_property("X-a", b"", &mut crowd);
        }
        let (step, _) = tell(&mut client, Command::READY, &crowd);
        assert!(matches!(step, Err(Error::Wire(_))), "{step:?}");
    }
}
