//! Nobody is let in over PLAIN without the password, whatever is said to either side of it.
//! What an open session says nothing protects.
#![cfg_attr(fuzzing, no_main)]

use std::sync::LazyLock;

use scale0::security::{Credentials, Security};
use scale0::session::Heard;
use scale0::wire::SocketType;

#[path = "../support/secure.rs"]
#[allow(dead_code, reason = "the other targets use the rest")]
mod secure;

use secure::{PASSWORD, Scene, USER};

static SCENES: LazyLock<[Scene; 2]> = LazyLock::new(|| {
    let client = || {
        let security = Security::PlainClient {
            user: USER.into(),
            password: PASSWORD.to_vec().into(),
        };
        (SocketType::Dealer, security)
    };
    let server = || (SocketType::Router, Security::PlainServer);
    [
        Scene::new(server(), client()),
        Scene::new(client(), server()),
    ]
});

/// The first byte's second bit says which side is attacked.
pub fn run(data: &[u8]) {
    let side = data.first().map_or(0, |way| usize::from(way >> 1 & 1));
    let Some(victim) = SCENES[side].play(data) else {
        return;
    };
    let asked: Vec<&Credentials> = victim
        .heard
        .iter()
        .filter_map(|heard| match heard {
            Heard::Asks(credentials) => Some(credentials),
            _ => None,
        })
        .collect();
    let open = victim
        .heard
        .iter()
        .any(|heard| !matches!(heard, Heard::Asks(_)));
    match (side, &asked[..]) {
        (0, [Credentials::Plain { user, password }]) => {
            assert!(!open || user == USER && password[..] == *PASSWORD);
        }
        (0, []) => assert!(!open),
        (1, []) => {}
        _ => panic!("asked about {asked:?}"),
    }
}

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|data: &[u8]| run(data));
