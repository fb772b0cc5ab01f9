//! The side whose key is known, and which finds out who comes.

use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::{
    COOKIE, Entropy, HELLO, INITIATE, KeyPair, Opener, PADDING, PublicKey, READY, Sealer, VERSION,
    VOUCH, VOUCHED, WELCOME, agree, channel, open_long, open_short, seal_long, seal_short,
};
use crate::limits::Limits;
use crate::security::{Credentials, Error, Mechanism, Step, refused};
use crate::wire::{Command, MechanismName, Metadata};

/// The server's side of a CURVE handshake.
#[derive(Debug)]
pub struct CurveServer {
    own: KeyPair,
    ours: Metadata,
    limits: Limits,
    entropy: Entropy,
    state: State,
}

enum State {
    Hello,
    Initiate(Begun),
    Asked {
        shared: Zeroizing<[u8; 32]>,
        last: u64,
        theirs: Metadata,
    },
    Done {
        shared: Zeroizing<[u8; 32]>,
        last: u64,
    },
    Over,
}

/// After WELCOME.
struct Begun {
    /// C'.
    theirs: PublicKey,
    /// s' and S'.
    brief: KeyPair,
    /// The RFC has the server put all this into a cookie and forget it; a connection has to be
    /// remembered anyway. So the cookie is but 96 bytes that nobody can guess, good once.
    cookie: [u8; COOKIE],
    last: u64,
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Hello => "Hello",
            Self::Initiate(_) => "Initiate",
            Self::Asked { .. } => "Asked",
            Self::Done { .. } => "Done",
            Self::Over => "Over",
        })
    }
}

impl CurveServer {
    /// A handshake that says `ours` to whoever is let in.
    #[must_use]
    pub fn new(own: KeyPair, ours: Metadata, limits: Limits, seed: [u8; 32]) -> Self {
        Self {
            own,
            ours,
            limits,
            entropy: Entropy::new(seed),
            state: State::Hello,
        }
    }

    /// HELLO: a key for the connection, and the proof that its owner is there and knows ours.
    fn hello(&mut self, data: &[u8], out: &mut Vec<u8>) -> Result<Begun, Error> {
        const LEN: usize = 2 + PADDING + 32 + 8 + 16 + 64;
        let malformed = Error::Malformed {
            command: "HELLO",
            len: data.len(),
        };
        let sealed = Error::Sealed { command: "HELLO" };
        if data.len() != LEN || !data.starts_with(&VERSION) {
            return Err(malformed);
        }
        let rest = data.get(2 + PADDING..).unwrap_or_default();
        let (theirs, rest) = rest.split_first_chunk().ok_or(malformed)?;
        let theirs = PublicKey::from_bytes(*theirs);
        let shared = agree(&self.own.secret, &theirs)?;
        let (nonce, zeros) = open_short(&shared, HELLO, rest).ok_or(sealed.clone())?;
        if zeros[..] != [0; 64] {
            return Err(sealed);
        }
        let begun = Begun {
            theirs,
            brief: self.entropy.pair(),
            cookie: self.entropy.bytes(),
            last: nonce,
        };
        let mut inside = begun.brief.public.as_bytes().to_vec();
        inside.extend_from_slice(&begun.cookie);
        let mut data = Vec::new();
        let nonce = self.entropy.bytes();
        seal_long(&shared, WELCOME, nonce, &inside, &mut data);
        Command::write(Command::WELCOME, &data, out);
        Ok(begun)
    }

    /// INITIATE: the client's long-term key, and the proof that its owner has made the
    /// connection's key, for us.
    fn initiate(&self, begun: &Begun, data: &[u8]) -> Result<(State, PublicKey), Error> {
        let sealed = Error::Sealed {
            command: "INITIATE",
        };
        if data.len() < COOKIE + 8 + 16 + 32 + VOUCH {
            return Err(Error::Malformed {
                command: "INITIATE",
                len: data.len(),
            });
        }
        let (cookie, rest) = data.split_at(COOKIE);
        if !bool::from(cookie.ct_eq(&begun.cookie)) {
            return Err(sealed);
        }
        let shared = agree(&begun.brief.secret, &begun.theirs)?;
        let (nonce, inside) = open_short(&shared, INITIATE, rest).ok_or(sealed.clone())?;
        if nonce <= begun.last {
            return Err(Error::Replayed);
        }
        let (key, rest) = inside.split_first_chunk().ok_or(sealed.clone())?;
        let (vouch, metadata) = rest.split_at_checked(VOUCH).ok_or(sealed.clone())?;
        let key = PublicKey::from_bytes(*key);
        let with_c = agree(&begun.brief.secret, &key)?;
        let vouched = open_long(&with_c, VOUCHED, vouch).ok_or(sealed.clone())?;
        // Both halves: a vouch for another connection, or for another server, is none.
        let (brief, server) = vouched.split_first_chunk::<32>().ok_or(sealed.clone())?;
        let right = brief.ct_eq(begun.theirs.as_bytes())
            & server.ct_eq(self.own.public.as_bytes().as_slice());
        if !bool::from(right) {
            return Err(sealed);
        }
        let state = State::Asked {
            shared,
            last: nonce,
            theirs: Metadata::read(metadata, &self.limits)?,
        };
        Ok((state, key))
    }
}

impl Mechanism for CurveServer {
    fn name(&self) -> MechanismName {
        MechanismName::CURVE
    }

    fn begin(&mut self, _: &mut Vec<u8>) -> Result<(), Error> {
        Ok(())
    }

    fn hear(&mut self, command: &Command<'_>, out: &mut Vec<u8>) -> Result<Step, Error> {
        match (
            std::mem::replace(&mut self.state, State::Over),
            command.name,
        ) {
            (State::Hello, Command::HELLO) => {
                self.state = State::Initiate(self.hello(command.data, out)?);
                Ok(Step::Continue)
            }
            (State::Initiate(begun), Command::INITIATE) => {
                let (asked, key) = self.initiate(&begun, command.data)?;
                self.state = asked;
                Ok(Step::Ask(Credentials::Curve { key }))
            }
            (State::Hello | State::Initiate(_), Command::ERROR) => Err(refused(command)),
            _ => Err(Error::unexpected(command)),
        }
    }

    fn admit(&mut self, out: &mut Vec<u8>) -> Result<Step, Error> {
        let State::Asked {
            shared,
            last,
            theirs,
        } = std::mem::replace(&mut self.state, State::Over)
        else {
            return Err(Error::Undecided);
        };
        let mut data = Vec::new();
        seal_short(&shared, READY, 1, &self.ours.write(), &mut data);
        Command::write(Command::READY, &data, out);
        self.state = State::Done { shared, last };
        Ok(Step::Done(theirs))
    }

    fn channel(&mut self) -> Option<(Sealer, Opener)> {
        match std::mem::replace(&mut self.state, State::Over) {
            State::Done { shared, last } => Some(channel::of_server(&shared, 2, last)),
            _ => None,
        }
    }
}
