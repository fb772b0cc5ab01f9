//! Commands by hand against both sides: what an honest peer would never say. `[..]` are the
//! handles of `spec/zmtp.md`.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that is surprised has failed"
)]

mod both;
mod client;
mod message;
mod server;

use super::*;
use crate::limits::Limits;
use crate::security::{Credentials, Mechanism, Step};
use crate::wire::{self, Command, Header, Metadata, SocketType};

// ---- the two sides under test

fn keys(seed: u8) -> KeyPair {
    KeyPair::new(SecretKey::from_bytes([seed; 32]))
}

fn server_with(seed: u8) -> CurveServer {
    let ours = Metadata::of(SocketType::Router);
    CurveServer::new(keys(SERVER), ours, Limits::default(), [seed; 32])
}

fn server() -> CurveServer {
    server_with(2)
}

/// A client that has said HELLO, and what it said.
fn client() -> (CurveClient, Vec<u8>) {
    let ours = Metadata::of(SocketType::Dealer);
    let server = keys(SERVER).public;
    let mut client = CurveClient::new(keys(CLIENT), server, ours, Limits::default(), [1; 32]);
    let mut out = Vec::new();
    client.begin(&mut out).unwrap();
    (client, said(&out, b"HELLO"))
}

/// What a side makes of a command: a step, and what it answers.
fn tell(
    side: &mut dyn Mechanism,
    name: &[u8],
    data: &[u8],
) -> Result<(Step, Vec<u8>), (Error, Vec<u8>)> {
    let mut out = Vec::new();
    match side.hear(&Command { name, data }, &mut out) {
        Ok(step) => Ok((step, out)),
        Err(error) => Err((error, out)),
    }
}

/// The same for a command that is refused: nothing is answered, and nothing more is listened to.
fn refusal(side: &mut dyn Mechanism, name: &[u8], data: &[u8]) -> Error {
    let (error, out) = tell(side, name, data).unwrap_err();
    assert_eq!(out, b"", "an answer to what was refused");
    for (name, data) in [(HELLO_, Hello::default().write()), (INITIATE_, Vec::new())] {
        let again = tell(side, name, &data).unwrap_err();
        assert_eq!(again, (unexpected(name), Vec::new()), "after the end");
    }
    assert!(side.admit(&mut Vec::new()).is_err() && side.channel().is_none());
    error
}

/// The data of the one command that stands in `frame`.
fn said(frame: &[u8], name: &[u8]) -> Vec<u8> {
    let (header, len) = Header::read(frame).unwrap().unwrap();
    assert_eq!(header.size, (frame.len() - len) as u64);
    assert!(header.command && !header.more);
    let command = Command::read(&frame[len..]).unwrap();
    assert_eq!(command.name, name);
    command.data.to_vec()
}

fn unexpected(name: &[u8]) -> Error {
    Error::Unexpected {
        name: bytes::Bytes::copy_from_slice(name),
    }
}

fn malformed(command: &'static str, len: usize) -> Error {
    Error::Malformed { command, len }
}

fn sealed(command: &'static str) -> Error {
    Error::Sealed { command }
}

/// What two keys agree on. An attacker with a worthless key knows what comes of it: zeros.
fn shared(own: &SecretKey, theirs: &PublicKey) -> [u8; 32] {
    own.agree(theirs).map_or([0; 32], |shared| *shared)
}

// ---- a client by hand

/// HELLO, of which each field may be wrong.
struct Hello {
    version: [u8; 2],
    brief: PublicKey,
    prefix: [u8; 16],
    nonce: u64,
    inside: [u8; 64],
    /// Whom it is for.
    server: PublicKey,
}

impl Default for Hello {
    fn default() -> Self {
        Self {
            version: [1, 0],
            brief: keys(BRIEF).public,
            prefix: *HELLO,
            nonce: 1,
            inside: [0; 64],
            server: keys(SERVER).public,
        }
    }
}

impl Hello {
    fn write(&self) -> Vec<u8> {
        let mut data = self.version.to_vec();
        data.extend_from_slice(&[0; 72]);
        data.extend_from_slice(self.brief.as_bytes());
        let key = match is_worthless(&self.brief) {
            true => [0; 32],
            false => shared(&keys(BRIEF).secret, &self.server),
        };
        seal_short(&key, &self.prefix, self.nonce, &self.inside, &mut data);
        data
    }
}

/// What the client makes of WELCOME: S' and the cookie.
fn welcomed(answer: &[u8]) -> (PublicKey, Vec<u8>) {
    let data = said(answer, b"WELCOME");
    assert_eq!(data.len() + 8, 168);
    let key = shared(&keys(BRIEF).secret, &keys(SERVER).public);
    let inside = open_long(&key, WELCOME, &data).unwrap();
    let server = PublicKey::from_bytes(inside[..32].try_into().unwrap());
    (server, inside[32..].to_vec())
}

/// INITIATE, of which each field may be wrong.
struct Initiate {
    cookie: Vec<u8>,
    /// S'.
    server: PublicKey,
    prefix: [u8; 16],
    nonce: u64,
    /// C, as it is stated.
    key: PublicKey,
    vouch: Vec<u8>,
    metadata: Vec<u8>,
}

impl Initiate {
    fn new((server, cookie): (PublicKey, Vec<u8>)) -> Self {
        let (brief, long) = (keys(BRIEF).public, keys(SERVER).public);
        let with = shared(&keys(CLIENT).secret, &server);
        Self {
            cookie,
            server,
            prefix: *INITIATE,
            nonce: 2,
            key: keys(CLIENT).public,
            vouch: vouch(&with, VOUCHED, &brief, &long),
            metadata: Metadata::of(SocketType::Dealer).write(),
        }
    }

    fn write(&self) -> Vec<u8> {
        let mut inside = self.key.as_bytes().to_vec();
        inside.extend_from_slice(&self.vouch);
        inside.extend_from_slice(&self.metadata);
        let mut data = self.cookie.clone();
        let key = shared(&keys(BRIEF).secret, &self.server);
        seal_short(&key, &self.prefix, self.nonce, &inside, &mut data);
        data
    }
}

fn vouch(with: &[u8; 32], prefix: &[u8; 8], brief: &PublicKey, server: &PublicKey) -> Vec<u8> {
    let mut out = Vec::new();
    let inside = [*brief.as_bytes(), *server.as_bytes()].concat();
    seal_long(with, prefix, [9; 16], &inside, &mut out);
    out
}

/// A server that has said WELCOME, and what the client has of it.
fn welcoming(mut server: CurveServer, hello: &Hello) -> (CurveServer, (PublicKey, Vec<u8>)) {
    let (step, out) = tell(&mut server, HELLO_, &hello.write()).unwrap();
    assert_eq!(step, Step::Continue);
    (server, welcomed(&out))
}

/// What a server makes of an INITIATE that was changed.
fn initiate(change: impl FnOnce(&mut Initiate)) -> Result<Step, Error> {
    let (mut server, welcome) = welcoming(server(), &Hello::default());
    let mut initiate = Initiate::new(welcome);
    change(&mut initiate);
    tell(&mut server, INITIATE_, &initiate.write())
        .map(|(step, _)| step)
        .map_err(|(error, out)| {
            assert_eq!(out, b"");
            error
        })
}

fn asks() -> Result<Step, Error> {
    Ok(Step::Ask(Credentials::Curve {
        key: keys(CLIENT).public,
    }))
}

/// READY's or WELCOME's place for a server by hand.
struct Host {
    brief: KeyPair,
    /// C'.
    client: PublicKey,
}

impl Host {
    fn of(hello: &[u8]) -> Self {
        Self {
            brief: keys(HOST),
            client: PublicKey::from_bytes(hello[74..106].try_into().unwrap()),
        }
    }

    fn welcome(&self, prefix: &[u8; 8], brief: &PublicKey) -> Vec<u8> {
        let key = shared(&keys(SERVER).secret, &self.client);
        let inside = [brief.as_bytes().as_slice(), &[5; COOKIE]].concat();
        let mut data = Vec::new();
        seal_long(&key, prefix, [6; 16], &inside, &mut data);
        data
    }

    fn good_welcome(&self) -> Vec<u8> {
        self.welcome(WELCOME, &self.brief.public)
    }

    fn ready(&self, prefix: &[u8; 16], nonce: u64, metadata: &[u8]) -> Vec<u8> {
        let key = shared(&self.brief.secret, &self.client);
        let mut data = Vec::new();
        seal_short(&key, prefix, nonce, metadata, &mut data);
        data
    }

    fn good_ready(&self) -> Vec<u8> {
        self.ready(READY, 1, &Metadata::of(SocketType::Router).write())
    }
}

/// A client that has said INITIATE, and the server by hand.
fn initiating() -> (CurveClient, Host) {
    let (mut client, hello) = client();
    let host = Host::of(&hello);
    let (step, _) = tell(&mut client, WELCOME_, &host.good_welcome()).unwrap();
    assert_eq!(step, Step::Continue);
    (client, host)
}

// ---- the way it should be

#[test]
fn commands_have_their_exact_sizes_and_nonces_and_show_nothing() {
    let ours = Metadata {
        identity: "the identity".into(),
        ..Metadata::of(SocketType::Dealer)
    };
    let long = ours.write().len();
    let (own, with) = (keys(CLIENT), keys(SERVER).public);
    let mut client = CurveClient::new(own.clone(), with, ours, Limits::default(), [1; 32]);
    let (mut hello, mut server) = (Vec::new(), server());
    client.begin(&mut hello).unwrap();
    assert_eq!((hello.len(), &hello[..2]), (202, b"\x04\xc8".as_slice()));
    assert_eq!(&hello[8..10], [1, 0]);
    assert_eq!(hello[10..82], [0; 72]);
    assert_eq!(hello[114..122], 1_u64.to_be_bytes());
    let (_, welcome) = tell(&mut server, HELLO_, &said(&hello, HELLO_)).unwrap();
    assert_eq!(
        (welcome.len(), &welcome[..2]),
        (170, b"\x04\xa8".as_slice())
    );
    let (_, initiate) = tell(&mut client, WELCOME_, &said(&welcome, WELCOME_)).unwrap();
    assert_eq!(initiate.len(), 9 + 257 + long);
    let data = said(&initiate, INITIATE_);
    assert_eq!(data[COOKIE..][..8], 2_u64.to_be_bytes());
    let shown = |bytes: &[u8], what: &[u8]| bytes.windows(what.len()).any(|w| w == what);
    assert!(!shown(&data, own.public.as_bytes()) && !shown(&data, b"identity"));
    let (step, out) = tell(&mut server, INITIATE_, &data).unwrap();
    assert_eq!(Ok(step), asks());
    assert_eq!(out, b"", "READY waits for the verdict");
    let mut ready = Vec::new();
    server.admit(&mut ready).unwrap();
    let data = said(&ready, READY_);
    assert_eq!(data[..8], 1_u64.to_be_bytes());
    assert!(!shown(&data, b"ROUTER"));
    assert!(matches!(
        tell(&mut client, READY_, &data),
        Ok((Step::Done(_), _))
    ));
    let ((mut up, _), (mut down, _)) = (client.channel().unwrap(), server.channel().unwrap());
    for (sealer, nonce) in [(&mut up, 3_u64), (&mut down, 2)] {
        let mut frame = Vec::new();
        sealer.seal(Flags::default(), [b"", b""], &mut frame);
        assert_eq!(frame.len(), 2 + 33);
        assert_eq!(frame[..10], *b"\x00\x21\x07MESSAGE");
        assert_eq!(frame[10..18], nonce.to_be_bytes());
    }
    assert!(client.channel().is_none() && server.channel().is_none());
}

fn gave_up() -> Error {
    Error::Refused {
        reason: "400".into(),
    }
}

fn is_worthless(key: &PublicKey) -> bool {
    worthless().contains(key)
}

/// Points of low order on the curve and its twist, in every way to write them: with those numbers
/// that are too large by the prime, and with the bit on top, which is not read.
fn worthless() -> Vec<PublicKey> {
    let hex = |text: &str| {
        let mut bytes = [0; 32];
        for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks(2)) {
            *byte = u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
        }
        bytes
    };
    let mut one = [0; 32];
    one[0] = 1;
    let near_prime = |first| {
        let mut bytes = [0xff; 32];
        (bytes[0], bytes[31]) = (first, 0x7f);
        bytes
    };
    let points = [
        [0; 32],
        one,
        hex("e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800"),
        hex("5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157"),
        near_prime(0xec),
        near_prime(0xed),
        near_prime(0xee),
    ];
    let mut all = Vec::new();
    for mut point in points {
        all.push(PublicKey::from_bytes(point));
        point[31] |= 0x80;
        all.push(PublicKey::from_bytes(point));
    }
    all
}

const SERVER: u8 = 4;
const CLIENT: u8 = 3;
const BRIEF: u8 = 11;
const HOST: u8 = 12;
const OTHER: u8 = 13;

const HELLO_: &[u8] = Command::HELLO;
const INITIATE_: &[u8] = Command::INITIATE;
const WELCOME_: &[u8] = Command::WELCOME;
const READY_: &[u8] = Command::READY;
const ERROR_: &[u8] = Command::ERROR;
const PING_: &[u8] = Command::PING;
const MESSAGE_: &[u8] = b"MESSAGE";
