//! MESSAGE, with the nonces of the test.

use super::*;

/// A server after READY, and the client's side of the cipher: the nonces are the test's.
fn open(nonce: u64) -> (Opener, [u8; 32]) {
    let (mut server, welcome) = welcoming(server(), &Hello::default());
    let mut initiate = Initiate::new(welcome);
    initiate.nonce = nonce;
    tell(&mut server, INITIATE_, &initiate.write()).unwrap();
    server.admit(&mut Vec::new()).unwrap();
    let key = shared(&keys(BRIEF).secret, &initiate.server);
    (server.channel().unwrap().1, key)
}

fn message(key: &[u8; 32], prefix: &[u8; 16], nonce: u64, inside: &[u8]) -> Vec<u8> {
    let mut body = b"\x07MESSAGE".to_vec();
    seal_short(key, prefix, nonce, inside, &mut body);
    body
}

/// [K2]: the counter goes on where INITIATE left it.
#[test]
fn the_nonces_of_messages_grow_from_that_of_the_initiate_on() {
    let (mut opener, key) = open(10);
    let mut at = |nonce| opener.open(&mut message(&key, MESSAGE_OF_CLIENT, nonce, b"\0"));
    for nonce in [0, 1, 2, 9, 10] {
        assert_eq!(at(nonce), Err(Error::Replayed), "{nonce}");
    }
    assert_eq!(at(11), Ok(Flags::default()));
    assert_eq!(at(11), Err(Error::Replayed));
    assert_eq!(at(1011), Ok(Flags::default()), "gaps are legal");
    assert_eq!(at(1010), Err(Error::Replayed));
    assert_eq!(at(u64::MAX - 1), Ok(Flags::default()));
    assert_eq!(at(u64::MAX), Err(Error::Exhausted));
    let (mut opener, key) = open(u64::MAX);
    let mut last = message(&key, MESSAGE_OF_CLIENT, u64::MAX, b"\0");
    assert_eq!(opener.open(&mut last), Err(Error::Replayed));
}

/// A nonce that comes with a false seal is not used up, so nobody can make an honest peer's
/// messages stale.
#[test]
fn a_forged_message_does_not_move_the_counter() {
    let (mut opener, key) = open(2);
    let mut forged = message(&[8; 32], MESSAGE_OF_CLIENT, u64::MAX - 1, b"\0");
    assert_eq!(opener.open(&mut forged), Err(sealed("MESSAGE")));
    let mut honest = message(&key, MESSAGE_OF_CLIENT, 3, b"\0");
    assert_eq!(opener.open(&mut honest), Ok(Flags::default()));
}

/// [K1], [K6]
#[test]
fn a_message_has_33_bytes_its_own_prefix_and_a_byte_of_flags() {
    let (_, key) = open(2);
    let good = message(&key, MESSAGE_OF_CLIENT, 3, b"\0");
    assert_eq!(good.len(), 33);
    for len in 0..33 {
        let error = open(2).0.open(&mut good[..len].to_vec()).unwrap_err();
        match len {
            0..8 => assert_eq!(error, Error::Clear),
            _ => assert_eq!(error, malformed("MESSAGE", len - 8)),
        }
    }
    let mut empty = message(&key, MESSAGE_OF_CLIENT, 3, b"");
    assert_eq!(open(2).0.open(&mut empty), Err(malformed("MESSAGE", 24)));
    // What the server itself has said does not come back as the client's.
    for prefix in [MESSAGE_OF_SERVER, INITIATE, READY, HELLO] {
        let mut body = message(&key, prefix, 3, b"\0");
        assert_eq!(open(2).0.open(&mut body), Err(sealed("MESSAGE")));
    }
    for name in [
        &b"\x05READY"[..],
        b"\x07MESSAGF",
        b"\x08MESSAGE",
        b"\x04PING",
    ] {
        let mut body = good.clone();
        body.splice(..8, name.iter().copied());
        assert_eq!(open(2).0.open(&mut body), Err(Error::Clear));
    }
}

/// [D3]: bits that mean nothing are passed over, 04 among them.
#[test]
fn two_bits_of_the_sealed_flags_count() {
    for bits in 0..=255_u8 {
        let (mut opener, key) = open(2);
        let flags = opener.open(&mut message(&key, MESSAGE_OF_CLIENT, 3, &[bits]));
        let expected = Flags {
            more: bits & 1 != 0,
            command: bits & 2 != 0,
        };
        assert_eq!(flags, Ok(expected));
    }
}
