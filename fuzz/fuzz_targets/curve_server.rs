//! A CURVE server hears nothing that its honest client has not said, whatever comes.
#![cfg_attr(fuzzing, no_main)]

use std::sync::LazyLock;

use scale0::security::Security;
use scale0::wire::SocketType;

#[path = "../support/secure.rs"]
#[allow(dead_code, reason = "the other targets use the rest")]
mod secure;

use secure::{CLIENT, SERVER, Scene, keys};

static SCENE: LazyLock<Scene> = LazyLock::new(|| {
    let server = Security::CurveServer { own: keys(SERVER) };
    let client = Security::CurveClient {
        own: keys(CLIENT),
        server: keys(SERVER).public,
    };
    Scene::new((SocketType::Router, server), (SocketType::Dealer, client))
});

pub fn run(data: &[u8]) {
    if let Some(victim) = SCENE.play(data) {
        SCENE.assert_honest(&victim);
    }
}

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|data: &[u8]| run(data));
