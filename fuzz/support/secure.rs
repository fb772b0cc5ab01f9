//! A secured session whose peer's bytes somebody else chooses: raw ones, behind as much of an
//! honest handshake as is wanted, or an honest peer's own with changes. All that is drawn is
//! fixed, so the same input does the same.

use std::io::IoSlice;
use std::sync::Arc;

use scale0::security::curve::{KeyPair, SecretKey};
use scale0::security::{Credentials, Security, User, Verdict};
use scale0::session::{Config, Error, Heard, Session};
use scale0::time::Time;
use scale0::wire::{Header, Message, Piece, SocketType};

/// Who is attacked, what an honest peer would have said to it, and what it would have heard.
pub struct Scene {
    config: Arc<Config>,
    /// The greeting, then one frame each.
    honest: Vec<Vec<u8>>,
    heard: Vec<Heard>,
}

pub fn keys(seed: u8) -> KeyPair {
    KeyPair::new(SecretKey::from_bytes([seed; 32]))
}

impl Scene {
    /// `ours` is attacked, and `theirs` would be honest; each a socket type and its security.
    pub fn new(ours: (SocketType, Security), theirs: (SocketType, Security)) -> Self {
        let config = |(kind, security)| {
            Arc::new(Config {
                security,
                ..Config::new(kind)
            })
        };
        let config_of_victim = config(ours);
        let mut victim = Victim::new(&config_of_victim);
        let mut peer = Session::new(Time::ZERO, config(theirs), [1; 32]);
        let mut said = Vec::new();
        let mut sent = false;
        loop {
            let (up, down) = (drain(&mut peer), drain(&mut victim.session));
            if up.is_empty() && down.is_empty() {
                if sent {
                    break;
                }
                sent = true;
                for text in ["one", "two", "three"] {
                    let message = Message::single(text.as_bytes());
                    peer.send(Time::ZERO, &[Piece::Parts(&message)])
                        .expect("an honest handshake ends well");
                }
            }
            said.extend_from_slice(&up);
            victim.feed(&up);
            let mut down = &down[..];
            while let Ok(Some(heard)) = peer.receive(Time::ZERO, &mut down) {
                if matches!(heard, Heard::Asks(_)) {
                    peer.judge(Time::ZERO, Verdict::Admit(user()))
                        .expect("it has asked");
                }
            }
        }
        assert_eq!(victim.error, None);
        assert!(victim.heard.len() >= 4, "{:?}", victim.heard);
        Self {
            config: config_of_victim,
            honest: frames(&said),
            heard: victim.heard,
        }
    }

    /// Plays what the input says; returns the victim after it.
    ///
    /// The first byte is the way (even: raw bytes, odd: changes), the second how finely the stream
    /// is cut. Raw bytes follow as many honest frames as their own first byte says. Changes have
    /// four bytes each: what, which frame, where, and with what.
    pub fn play(&self, data: &[u8]) -> Option<Victim> {
        let (&[way, step], data) = data.split_first_chunk::<2>()?;
        let bytes = if way & 1 == 0 {
            let (&count, raw) = data.split_first()?;
            let honest = &self.honest[..usize::from(count).min(self.honest.len())];
            [&honest.concat()[..], raw].concat()
        } else {
            let mut all = self.honest.clone();
            for change in data.chunks_exact(4).take(64) {
                self.change(&mut all, [change[0], change[1], change[2], change[3]]);
            }
            all.concat()
        };
        let mut victim = Victim::new(&self.config);
        for piece in bytes.chunks(match step {
            0 => usize::MAX,
            step => usize::from(step),
        }) {
            victim.feed(piece);
        }
        Some(victim)
    }

    fn change(&self, all: &mut Vec<Vec<u8>>, [what, which, place, with]: [u8; 4]) {
        if all.is_empty() {
            return;
        }
        let which = usize::from(which) % all.len();
        let next = (which + 1) % all.len();
        let place = usize::from(place) % all[which].len().max(1);
        match what % 10 {
            0 => alter(&mut all[which], place, |byte| byte ^ 1 << (with & 7)),
            1 => alter(&mut all[which], place, |_| with),
            2 => all[which].truncate(place),
            3 => all[which].insert(place, with),
            4 => drop(all.remove(which)),
            5 => {
                let twice = all[which].clone();
                all.insert(which, twice);
            }
            6 => all.swap(which, next),
            // From the far end: the places that one byte does not reach.
            7 => {
                let place = all[which].len().saturating_sub(1 + place);
                alter(&mut all[which], place, |byte| byte ^ with);
            }
            // The end of one frame behind the beginning of another.
            8 => {
                let cut = usize::from(with).min(all[next].len());
                let tail = all[next].split_off(cut);
                all[which].truncate(place);
                all[which].extend(tail);
            }
            _ => all.push(self.honest[usize::from(with) % self.honest.len()].clone()),
        }
    }

    /// What was heard is what the honest peer has said, in its order; some of it may be missing.
    pub fn assert_honest(&self, victim: &Victim) {
        let mut rest = self.heard.iter();
        for heard in &victim.heard {
            let heard = plain(heard.clone());
            assert!(
                rest.any(|honest| plain(honest.clone()) == heard),
                "nobody has said {heard:?}"
            );
        }
    }
}

fn alter(frame: &mut [u8], place: usize, change: impl FnOnce(u8) -> u8) {
    if let Some(byte) = frame.get_mut(place) {
        *byte = change(*byte);
    }
}

/// Without what the greeting says, which nothing protects.
fn plain(mut heard: Heard) -> Heard {
    if let Heard::Open(peer) = &mut heard {
        peer.minor = 1;
    }
    heard
}

/// The session under attack. It lets in whoever shows what the honest peer shows.
pub struct Victim {
    session: Session,
    pub heard: Vec<Heard>,
    pub error: Option<Error>,
    came: usize,
}

impl Victim {
    fn new(config: &Arc<Config>) -> Self {
        Self {
            session: Session::new(Time::ZERO, Arc::clone(config), [2; 32]),
            heard: Vec::new(),
            error: None,
            came: 0,
        }
    }

    fn feed(&mut self, mut bytes: &[u8]) {
        self.came += bytes.len();
        while self.error.is_none() {
            match self.session.receive(Time::ZERO, &mut bytes) {
                Ok(Some(Heard::Asks(credentials))) => {
                    assert!(!self.session.is_open(), "open before the verdict");
                    let verdict = verdict(&credentials);
                    self.heard.push(Heard::Asks(credentials));
                    match self.session.judge(Time::ZERO, verdict) {
                        Ok(heard) => self.heard.extend(heard),
                        Err(error) => self.error = Some(error),
                    }
                }
                Ok(Some(heard)) => {
                    assert!(self.session.is_open(), "{heard:?} of nobody");
                    self.heard.push(heard);
                }
                Ok(None) => {
                    assert!(bytes.is_empty());
                    break;
                }
                Err(error) => self.error = Some(error),
            }
        }
        // What is kept came from the peer, and what is answered is no flood.
        assert!(self.session.partial() <= self.came + Header::MAX);
        assert!(self.session.waiting() < 4 << 10);
        if self.error.is_some() {
            assert!(!self.session.is_open());
            assert_eq!(self.session.deadline(), None);
            let mut more = &b"more"[..];
            let after = self.session.receive(Time::ZERO, &mut more);
            assert_eq!(after, Err(Error::Closed));
        }
    }
}

/// The honest peer alone comes in.
fn verdict(credentials: &Credentials) -> Verdict {
    let good = match credentials {
        Credentials::Plain { user, password } => user == USER && password[..] == *PASSWORD,
        Credentials::Curve { key } => *key == keys(CLIENT).public,
        Credentials::Nothing => false,
    };
    match good {
        true => Verdict::Admit(user()),
        false => Verdict::Deny,
    }
}

fn user() -> User {
    User {
        name: "ann".into(),
        key: None,
    }
}

fn drain(session: &mut Session) -> Vec<u8> {
    let mut out = Vec::new();
    loop {
        let mut slices = [IoSlice::new(&[]); 3];
        let filled = session.chunks(&mut slices);
        let bytes: Vec<u8> = slices[..filled]
            .iter()
            .flat_map(|slice| slice.iter())
            .copied()
            .collect();
        if bytes.is_empty() {
            return out;
        }
        session.wrote(Time::ZERO, bytes.len());
        out.extend(bytes);
    }
}

/// The greeting, then one frame each.
fn frames(said: &[u8]) -> Vec<Vec<u8>> {
    let (greeting, mut rest) = said.split_at(64);
    let mut all = vec![greeting.to_vec()];
    while let Ok(Some((header, len))) = Header::read(rest) {
        let end = len + usize::try_from(header.size).expect("it is here");
        all.push(rest[..end].to_vec());
        rest = &rest[end..];
    }
    all
}

/// Seeds of the long-term keys.
pub const SERVER: u8 = 4;
pub const CLIENT: u8 = 3;
pub const USER: &[u8] = b"admin";
pub const PASSWORD: &[u8] = b"secret";
