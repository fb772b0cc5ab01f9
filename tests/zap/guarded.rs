//! The whole way: a socket of ours that speaks PLAIN or CURVE, in front of it clients of ours and
//! of libzmq, behind it a handler.

use std::sync::Arc;

use bytes::Bytes;
use scale0::security::curve::{KeyPair, SecretKey};
use scale0::security::{self, Security};
use scale0::session;
use scale0::socket::zap::{Reply, Status};
use scale0::socket::{Endpoint, Event, Message, Options, Reason, Socket, SocketType, Zap};
use tokio::task::block_in_place;

use crate::peers::Python;
use crate::pyzmq::authenticator;
use crate::{Handler, patient, reply, within};

fn pair(number: u8) -> KeyPair {
    KeyPair::new(SecretKey::from_bytes([number; 32]))
}

fn curve_server() -> Security {
    Security::CurveServer { own: pair(1) }
}

fn curve_client(number: u8) -> Security {
    Security::CurveClient {
        own: pair(number),
        server: pair(1).public,
    }
}

fn plain_client(user: &str, password: &str) -> Security {
    Security::PlainClient {
        user: user.to_owned().into(),
        password: password.as_bytes().to_vec().into(),
    }
}

/// A REP that answers whoever comes in, for as long as the test runs.
async fn guarded(security: Security, zap: Zap) -> Endpoint {
    let rep = Socket::with(
        SocketType::Rep,
        Options {
            security,
            authenticator: Some(Arc::new(zap)),
            ..Options::default()
        },
    );
    let endpoint = rep.bind("tcp://127.0.0.1:*").await.unwrap();
    let mut monitor = rep.monitor();
    tokio::spawn(async move {
        let mut name = Bytes::new();
        loop {
            tokio::select! {
                event = monitor.next() => if let Some(Event::Opened { user, .. }) = event {
                    name = user.map(|user| user.name).unwrap_or_default();
                },
                asked = rep.recv() => {
                    let asked = asked.unwrap();
                    // The event may be behind the message.
                    while name.is_empty() {
                        if let Some(Event::Opened { user, .. }) = monitor.next().await {
                            name = user.map(|user| user.name).unwrap_or_default();
                        }
                    }
                    let words = [asked.first().unwrap(), b" from ", &name[..]].concat();
                    rep.send(words).await.unwrap();
                    name = Bytes::new();
                }
            }
        }
    });
    endpoint
}

/// What comes of it if a client of ours asks: an answer, or why it was not let in.
async fn asked(endpoint: &Endpoint, security: Security) -> Result<String, Reason> {
    let options = Options {
        security,
        ..Options::default()
    };
    let req = Socket::with(SocketType::Req, options);
    let mut monitor = req.monitor();
    req.connect(endpoint.clone()).unwrap();
    within(async {
        let answered = async {
            req.send("hello").await.unwrap();
            req.recv().await.unwrap()
        };
        let failed = async {
            loop {
                if let Event::HandshakeFailed { reason, .. } = monitor.next().await.unwrap() {
                    return reason;
                }
            }
        };
        tokio::select! {
            answer = answered => Ok(String::from_utf8(answer.first().unwrap().to_vec()).unwrap()),
            reason = failed => Err(reason),
        }
    })
    .await
}

fn is_told(outcome: &Result<String, Reason>, status: &str) -> bool {
    matches!(
        outcome,
        Err(Reason::Session(session::Error::Security(security::Error::Refused { reason })))
            if reason == status
    )
}

/// The line that a client of libzmq ends with.
fn libzmq(endpoint: &Endpoint, words: &[String]) -> Option<String> {
    let connect = format!("connect={endpoint}");
    let mut all = vec![connect.as_str()];
    all.extend(words.iter().map(String::as_str));
    block_in_place(|| Some(Python::find()?.start("secured.py", &all).line()))
}

fn plain_words(user: &str, password: &str) -> Vec<String> {
    vec![format!("user={user}"), format!("password={password}")]
}

fn curve_words(number: u8) -> Vec<String> {
    let own = pair(number);
    vec![
        format!("server={}", pair(1).public),
        format!("public={}", own.public),
        format!("secret={}", *own.secret.to_z85()),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn zmq_auth_guards_a_plain_socket_of_ours() {
    let words = ["domain=global", "user=admin:secret"];
    let Some((_process, handler)) = authenticator(&words) else {
        return;
    };
    let zap = Zap::connect(handler.as_str(), "global").unwrap();
    let endpoint = guarded(Security::PlainServer, zap).await;
    let good = asked(&endpoint, plain_client("admin", "secret")).await;
    assert_eq!(good.unwrap(), "hello from admin");
    for (user, password) in [("admin", "wrong"), ("nobody", "secret"), ("", "")] {
        let bad = asked(&endpoint, plain_client(user, password)).await;
        assert!(is_told(&bad, "400"), "{user}:{password}: {bad:?}");
    }
    let good = libzmq(&endpoint, &plain_words("admin", "secret")).unwrap();
    assert_eq!(good, "answered hello from admin");
    let bad = libzmq(&endpoint, &plain_words("admin", "wrong")).unwrap();
    assert!(bad.starts_with("HANDSHAKE_FAILED"), "{bad}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn zmq_auth_guards_a_curve_socket_of_ours() {
    let directory = tempfile::tempdir().unwrap();
    let known = pair(2).public;
    let certificate = format!("metadata\ncurve\n    public-key = \"{known}\"\n");
    std::fs::write(directory.path().join("ann.key"), certificate).unwrap();
    let keys = format!("keys={}", directory.path().display());
    let Some((_process, handler)) = authenticator(&["domain=global", &keys]) else {
        return;
    };
    let zap = Zap::connect(handler.as_str(), "global").unwrap();
    let endpoint = guarded(curve_server(), zap).await;
    let good = asked(&endpoint, curve_client(2)).await;
    assert_eq!(good.unwrap(), format!("hello from {known}"));
    let bad = asked(&endpoint, curve_client(3)).await;
    assert!(is_told(&bad, "400"), "{bad:?}");
    let good = libzmq(&endpoint, &curve_words(2)).unwrap();
    assert_eq!(good, format!("answered hello from {known}"));
    let bad = libzmq(&endpoint, &curve_words(3)).unwrap();
    assert_eq!(bad, "HANDSHAKE_FAILED_AUTH 400");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn zmq_auth_guards_a_null_socket_of_ours_by_address() {
    for (denied, comes_in) in [("127.0.0.1", false), ("127.0.0.2", true)] {
        let deny = format!("deny={denied}");
        let Some((_process, handler)) = authenticator(&["domain=global", &deny]) else {
            return;
        };
        let zap = Zap::connect(handler.as_str(), "global").unwrap();
        let endpoint = guarded(Security::NullAsked, zap).await;
        let outcome = asked(&endpoint, Security::Null).await;
        match comes_in {
            true => assert_eq!(outcome.unwrap(), "hello from anonymous"),
            false => assert!(is_told(&outcome, "400"), "{outcome:?}"),
        }
    }
}

#[tokio::test]
async fn a_handlers_words_and_silence_reach_the_peer_as_rfc_27_has_it() {
    let handler = Handler::on_tcp().await;
    for (server, client) in [
        (Security::PlainServer, plain_client("ann", "secret")),
        (curve_server(), curve_client(2)),
    ] {
        let endpoint = guarded(server, patient(&handler.endpoint)).await;
        type Say = fn(Reply) -> Message;
        let says: [(Say, Option<&str>); 5] = [
            (|reply| with_status(reply, Status::Denied), Some("400")),
            (|reply| with_status(reply, Status::Failed), Some("500")),
            (|reply| with_status(reply, Status::Later), None),
            (|reply| spoilt(&reply, 1, "1.1"), None),
            (|reply| spoilt(&reply, 3, "201"), None),
        ];
        for (number, (say, told)) in says.into_iter().enumerate() {
            let answer = async {
                let asked = handler.asked().await;
                let message = say(reply(&asked, Status::Success, "ann"));
                handler.say(&asked, message).await;
            };
            let (outcome, ()) = tokio::join!(asked(&endpoint, client.clone()), answer);
            match told {
                Some(status) => assert!(is_told(&outcome, status), "{number}: {outcome:?}"),
                None => assert!(
                    matches!(outcome, Err(Reason::Closed)),
                    "{number}: {outcome:?}"
                ),
            }
        }
        let answer = async {
            let asked = handler.asked().await;
            handler.answer(&asked, Status::Success, "ann").await;
        };
        let (outcome, ()) = tokio::join!(asked(&endpoint, client.clone()), answer);
        assert_eq!(outcome.unwrap(), "hello from ann");
    }
}

fn with_status(reply: Reply, status: Status) -> Message {
    Reply { status, ..reply }.write()
}

fn spoilt(reply: &Reply, place: usize, part: &str) -> Message {
    let mut parts = reply.write().into_parts();
    parts[place] = part.to_owned().into();
    parts.into()
}
