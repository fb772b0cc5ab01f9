//! pyzmq's `zmq.auth` decides, as it does for libzmq's sockets.

use scale0::security::curve::{PublicKey, SecretKey};
use scale0::security::{User, Verdict};
use scale0::socket::Zap;
use tokio::task::block_in_place;

use crate::peers::Python;
use crate::process::Process;
use crate::{admitted, ask, curve, plain, verdict};

/// An authenticator of pyzmq with these words, see `tests/support/peer/zap.py`, and where it is.
pub(crate) fn authenticator(words: &[&str]) -> Option<(Process, String)> {
    block_in_place(|| {
        let mut process = Python::find()?.start("zap.py", words);
        let endpoint = process.line();
        Some((process, endpoint))
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn zmq_auth_checks_passwords_for_us() {
    let words = ["domain=global", "user=admin:secret", "user=ann:pass word"];
    let Some((_process, endpoint)) = authenticator(&words) else {
        return;
    };
    let zap = Zap::connect(endpoint.as_str(), "global").unwrap();
    for (user, password, expected) in [
        ("admin", "secret", admitted("admin")),
        ("ann", "pass word", admitted("ann")),
        ("admin", "wrong", Verdict::Deny),
        ("admin", "", Verdict::Deny),
        ("nobody", "secret", Verdict::Deny),
        ("", "", Verdict::Deny),
    ] {
        let decided = verdict(ask(&zap, plain(user, password))).await;
        assert_eq!(decided, expected, "{user}:{password}");
    }
    let elsewhere = Zap::connect(endpoint.as_str(), "elsewhere").unwrap();
    let decided = verdict(ask(&elsewhere, plain("admin", "secret"))).await;
    assert_eq!(decided, Verdict::Deny, "another domain");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn zmq_auth_knows_keys_for_us() {
    let directory = tempfile::tempdir().unwrap();
    let known = SecretKey::from_bytes([1; 32]).public();
    let certificate = format!("metadata\ncurve\n    public-key = \"{known}\"\n");
    std::fs::write(directory.path().join("ann.key"), certificate).unwrap();
    let keys = format!("keys={}", directory.path().display());
    let Some((_process, endpoint)) = authenticator(&["domain=global", &keys]) else {
        return;
    };
    let zap = Zap::connect(endpoint.as_str(), "global").unwrap();
    let user = User {
        name: known.to_string().into(),
        key: Some(known),
    };
    let decided = verdict(ask(&zap, curve(known))).await;
    assert_eq!(decided, Verdict::Admit(user));
    for unknown in [
        SecretKey::from_bytes([2; 32]).public(),
        PublicKey::from_bytes([0; 32]),
    ] {
        assert_eq!(verdict(ask(&zap, curve(unknown))).await, Verdict::Deny);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn zmq_auth_judges_by_address_for_us() {
    let words = ["domain=global", "user=admin:secret", "deny=127.0.0.1"];
    let Some((_process, endpoint)) = authenticator(&words) else {
        return;
    };
    let zap = Zap::connect(endpoint.as_str(), "global").unwrap();
    let from = |last| scale0::auth::Request {
        address: Some([127, 0, 0, last].into()),
        ..plain("admin", "secret")
    };
    assert_eq!(verdict(ask(&zap, from(1))).await, Verdict::Deny);
    assert_eq!(verdict(ask(&zap, from(2))).await, admitted("admin"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_ask_zmq_auth_at_once() {
    let words = ["domain=global", "user=admin:secret"];
    let Some((_process, endpoint)) = authenticator(&words) else {
        return;
    };
    let zap = crate::with(&endpoint.parse().unwrap(), |config| {
        config.per_address = 200;
    });
    let waiting: Vec<_> = (0..200)
        .map(|n| match n % 2 {
            0 => (admitted("admin"), ask(&zap, plain("admin", "secret"))),
            _ => (Verdict::Deny, ask(&zap, plain("admin", "wrong"))),
        })
        .collect();
    for (expected, decided) in waiting {
        assert_eq!(verdict(decided).await, expected);
    }
}
