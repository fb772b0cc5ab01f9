//! The side that knows the other's key.

use zeroize::Zeroizing;

use super::{
    COOKIE, Entropy, HELLO, INITIATE, KeyPair, Opener, PADDING, PublicKey, READY, Sealer, VERSION,
    VOUCHED, WELCOME, agree, channel, open_long, open_short, seal_long, seal_short,
};
use crate::limits::Limits;
use crate::security::{Error, Mechanism, Step, refused};
use crate::wire::{Command, MechanismName, Metadata};

/// The client's side of a CURVE handshake.
#[derive(Debug)]
pub struct CurveClient {
    own: KeyPair,
    server: PublicKey,
    ours: Metadata,
    limits: Limits,
    entropy: Entropy,
    /// The connection's own key pair.
    brief: KeyPair,
    state: State,
}

#[derive(Debug)]
enum State {
    Begin,
    /// What c' and S agree on.
    Welcome(Secret),
    /// What c' and S' agree on.
    Ready(Secret),
    /// The same, and the server's latest nonce.
    Done(Secret, u64),
    Over,
}

struct Secret(Zeroizing<[u8; 32]>);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(..)")
    }
}

impl CurveClient {
    /// A handshake that says `ours`, to the owner of the key `server` only.
    #[must_use]
    pub fn new(
        own: KeyPair,
        server: PublicKey,
        ours: Metadata,
        limits: Limits,
        seed: [u8; 32],
    ) -> Self {
        let mut entropy = Entropy::new(seed);
        let brief = entropy.pair();
        Self {
            own,
            server,
            ours,
            limits,
            entropy,
            brief,
            state: State::Begin,
        }
    }

    /// WELCOME: S' and a cookie, which only the owner of S can have written for us.
    fn welcomed(&mut self, with_s: &Secret, data: &[u8], out: &mut Vec<u8>) -> Result<(), Error> {
        const LEN: usize = 16 + 16 + 32 + COOKIE;
        if data.len() != LEN {
            return Err(Error::Malformed {
                command: "WELCOME",
                len: data.len(),
            });
        }
        let opened = open_long(&with_s.0, WELCOME, data);
        let opened = opened.ok_or(Error::Sealed { command: "WELCOME" })?;
        let Some((server, cookie)) = opened.split_first_chunk::<32>() else {
            return Err(Error::Sealed { command: "WELCOME" });
        };
        let server = PublicKey::from_bytes(*server);
        let shared = agree(&self.brief.secret, &server)?;

        let mut vouched = Vec::with_capacity(64);
        vouched.extend_from_slice(self.brief.public.as_bytes());
        vouched.extend_from_slice(self.server.as_bytes());
        let mut inside = Zeroizing::new(self.own.public.as_bytes().to_vec());
        let with_c = agree(&self.own.secret, &server)?;
        let nonce = self.entropy.bytes();
        seal_long(&with_c, VOUCHED, nonce, &vouched, &mut inside);
        inside.extend_from_slice(&self.ours.write());

        let mut data = cookie.to_vec();
        seal_short(&shared, INITIATE, 2, &inside, &mut data);
        Command::write(Command::INITIATE, &data, out);
        self.state = State::Ready(Secret(shared));
        Ok(())
    }
}

impl Mechanism for CurveClient {
    fn name(&self) -> MechanismName {
        MechanismName::CURVE
    }

    fn begin(&mut self, out: &mut Vec<u8>) -> Result<(), Error> {
        let shared = agree(&self.brief.secret, &self.server)?;
        let mut data = VERSION.to_vec();
        data.extend_from_slice(&[0; PADDING]);
        data.extend_from_slice(self.brief.public.as_bytes());
        seal_short(&shared, HELLO, 1, &[0; 64], &mut data);
        Command::write(Command::HELLO, &data, out);
        self.state = State::Welcome(Secret(shared));
        Ok(())
    }

    fn hear(&mut self, command: &Command<'_>, out: &mut Vec<u8>) -> Result<Step, Error> {
        match (
            std::mem::replace(&mut self.state, State::Over),
            command.name,
        ) {
            (State::Welcome(shared), Command::WELCOME) => {
                self.welcomed(&shared, command.data, out)?;
                Ok(Step::Continue)
            }
            (State::Ready(shared), Command::READY) => {
                let opened = open_short(&shared.0, READY, command.data);
                let (nonce, data) = opened.ok_or(Error::Sealed { command: "READY" })?;
                let theirs = Metadata::read(&data, &self.limits)?;
                self.state = State::Done(shared, nonce);
                Ok(Step::Done(theirs))
            }
            (State::Welcome(_) | State::Ready(_), Command::ERROR) => Err(refused(command)),
            _ => Err(Error::unexpected(command)),
        }
    }

    fn admit(&mut self, _: &mut Vec<u8>) -> Result<Step, Error> {
        Err(Error::Undecided)
    }

    fn channel(&mut self) -> Option<(Sealer, Opener)> {
        match std::mem::replace(&mut self.state, State::Over) {
            State::Done(shared, last) => Some(channel::of_client(&shared.0, 3, last)),
            _ => None,
        }
    }
}
