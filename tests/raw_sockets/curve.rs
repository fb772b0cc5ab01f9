//! The rows of libzmq's test_security_curve, at a socket's stream.

use std::net::Ipv4Addr;

use scale0::security;
use scale0::socket::{Event, Options, Reason, Socket, SocketType};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::guest::{ANN, End, Guard, Guest, Mood, curve_client, dial_from, hello};
use crate::peer::{event, recv, soon};
use crate::raw;
use crate::secure::{Regular, address, another_gets_in, host};

/// invalid_hello_* and invalid_initiate_*, with their places in the frames.
#[tokio::test]
async fn a_handshake_that_is_wrong_in_one_place_is_closed_without_a_word() {
    use security::Error::{Malformed, Sealed, Unexpected};
    let guard = Guard::new(Mood::Deny);
    let (socket, at) = host(&guard, |_| {}).await;
    let mut good = Regular::ann(&at, "good");
    good.is_served(&socket).await;
    let malformed = |command, len| Malformed { command, len };
    let unexpected = |name: &'static str| Unexpected { name: name.into() };
    let initiate = Sealed {
        command: "INITIATE",
    };
    type Change = fn(&mut Vec<u8>);
    let rows: [(usize, Change, security::Error); 9] = [
        (1, |hello| shorten(hello, 199), malformed("HELLO", 193)),
        (1, |hello| hello[7] = b'X', unexpected("HELLX")),
        (1, |hello| hello[8] = 2, malformed("HELLO", 194)),
        (1, |hello| hello[9] = 1, malformed("HELLO", 194)),
        (
            2,
            |initiate| shorten(initiate, 256),
            malformed("INITIATE", 247),
        ),
        (2, |initiate| initiate[17] = b'X', unexpected("INITIATX")),
        (2, |initiate| initiate[9 + 30] ^= 1, initiate.clone()),
        (2, |initiate| initiate[9 + 150] ^= 1, initiate.clone()),
        (2, |initiate| initiate[9 + 256] ^= 1, initiate),
    ];
    for (turn, change, expected) in rows {
        let mut monitor = socket.monitor();
        // Admitted, if it were honest.
        let mut guest = Guest::dial(address(&at), curve_client(ANN)).await.unwrap();
        for _ in 0..turn {
            guest.turn(usize::MAX).await.unwrap();
        }
        let mut frame = guest.mute();
        change(&mut frame);
        guest.stream.write_all(&frame).await.unwrap();
        let end = guest.turn(usize::MAX).await;
        assert!(matches!(end, Err(End::Closed)), "{expected}: {end:?}");
        let reason = event(&mut monitor, |event| match event {
            Event::HandshakeFailed { reason, .. } => Some(reason.clone()),
            _ => None,
        })
        .await;
        assert_eq!(reason, Reason::Session(expected.into()));
        good.is_served(&socket).await;
    }
    assert_eq!(guard.asked(), 0);
    another_gets_in(&socket, &at).await;
}

/// Cuts a command frame's body to so many bytes.
fn shorten(frame: &mut Vec<u8>, body: u16) {
    match u8::try_from(body) {
        Ok(len) => {
            frame[1] = len;
            frame.truncate(2 + usize::from(len));
        }
        Err(_) => {
            frame[7..9].copy_from_slice(&body.to_be_bytes());
            frame.truncate(9 + usize::from(body));
        }
    }
}

/// null_client, plain_client, unauthenticated_message.
#[tokio::test]
async fn who_speaks_less_than_curve_is_closed_and_says_nothing_to_the_program() {
    let guard = Guard::new(Mood::Deny);
    let (socket, at) = host(&guard, |_| {}).await;
    let mut good = Regular::ann(&at, "good");
    good.is_served(&socket).await;
    let mut plain = raw::greeting();
    plain[12..17].copy_from_slice(b"PLAIN");
    let sneaky = raw::message(&[b"sneaky"]);
    let strangers = [
        [&raw::greeting()[..], &raw::ready("DEALER"), &sneaky].concat(),
        [&plain[..], &sneaky].concat(),
        [b"\x01\0\0", &sneaky[..]].concat(),
        [&hello(ANN)[..64], &raw::ready("DEALER"), &sneaky].concat(),
        [&hello(ANN)[..], &raw::ready("DEALER"), &sneaky].concat(),
        [&hello(ANN)[..], &sneaky].concat(),
    ];
    for said in strangers {
        let mut stream = dial_from(Ipv4Addr::LOCALHOST, address(&at)).await.unwrap();
        stream.write_all(&said).await.unwrap();
        let mut answer = Vec::new();
        // What was not read when it closed ends in a reset.
        let _ = soon(stream.read_to_end(&mut answer)).await;
        assert!(answer.len() <= 64 + 170, "{answer:?}");
        good.is_served(&socket).await;
    }
    assert_eq!(socket.try_recv().unwrap(), None);
    assert_eq!((socket.counters().peers, guard.asked()), (1, 0));
}

/// large_routing_id, CVE-2019-13132.
#[tokio::test]
async fn an_identity_of_255_bytes_passes_through_a_box() {
    let guard = Guard::new(Mood::Deny);
    let (socket, at) = host(&guard, |_| {}).await;
    let identity = vec![b'i'; 255];
    let options = Options {
        identity: identity.clone().into(),
        security: curve_client(ANN),
        ..Options::default()
    };
    let dealer = Socket::with(SocketType::Dealer, options);
    dealer.connect(at.clone()).unwrap();
    soon(dealer.send("hello")).await.unwrap();
    assert_eq!(recv(&socket).await, [&identity[..], b"hello"]);
}
