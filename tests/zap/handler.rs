//! A handler that does what it should: it is asked as RFC 27 says, and what it says counts.

use std::net::IpAddr;

use scale0::auth;
use scale0::security::{Credentials, User, Verdict, curve::PublicKey};
use scale0::socket::Rep;
use scale0::socket::zap::{Request, Status};

use crate::within;
use crate::{Handler, about, admitted, ask, curve, patient, places, plain, reply, verdict, with};

#[tokio::test]
async fn a_rep_that_is_a_handler_is_asked_and_heard_over_every_transport() {
    for place in places() {
        let rep = Rep::new();
        let endpoint = rep.bind(place.as_str()).await.unwrap();
        let zap = patient(&endpoint);
        for (status, expected) in [
            (Status::Success, admitted("ann")),
            (Status::Later, Verdict::Later),
            (Status::Denied, Verdict::Deny),
            (Status::Failed, Verdict::Fail),
        ] {
            let decided = ask(&zap, plain("admin", "secret"));
            // REP keeps the delimiter to itself.
            let message = within(rep.recv()).await.unwrap().behind(b"");
            let request = Request::read(&message).unwrap();
            assert_eq!(request.domain, "global");
            assert_eq!(request.identity, "");
            assert_eq!(request.address, Some(IpAddr::from([127, 0, 0, 1])));
            assert_eq!(request.credentials, plain("admin", "secret").credentials);
            let from = bytes::Bytes::new();
            let mut reply = reply(&crate::Asked { from, request }, status, "ann").write();
            reply.skip(1);
            within(rep.send(reply)).await.unwrap();
            assert_eq!(verdict(decided).await, expected, "{place}");
        }
        assert_eq!(zap.counters().asked, 4);
        assert_eq!(zap.counters().unanswered, 0);
    }
}

#[tokio::test]
async fn each_mechanism_shows_the_handler_its_credentials_and_gets_its_user() {
    let handler = Handler::on_tcp().await;
    let zap = patient(&handler.endpoint);
    let key = PublicKey::from_bytes([7; 32]);
    for (shown, user_id, name, known) in [
        (about(Credentials::Nothing), "anonymous", "anonymous", None),
        (plain("ann", "secret"), "", "ann", None),
        (curve(key), "bob", "bob", Some(key)),
        (curve(key), "", &key.to_string(), Some(key)),
    ] {
        let decided = ask(&zap, shown.clone());
        let asked = handler.asked().await;
        assert_eq!(asked.request.credentials, shown.credentials);
        handler.answer(&asked, Status::Success, user_id).await;
        let user = User {
            name: name.to_owned().into(),
            key: known,
        };
        assert_eq!(verdict(decided).await, Verdict::Admit(user));
    }
}

#[tokio::test]
async fn many_peers_wait_at_once_and_each_gets_its_own_answer() {
    for place in places() {
        let handler = Handler::at(&place).await;
        let zap = with(&handler.endpoint, |config| config.per_address = 200);
        let waiting: Vec<_> = (0..200)
            .map(|n| (n, ask(&zap, plain(&n.to_string(), ""))))
            .collect();
        let mut open = Vec::new();
        for _ in &waiting {
            open.push(handler.asked().await);
        }
        // The last first, and every third is refused.
        for asked in open.iter().rev() {
            let Credentials::Plain { user, .. } = &asked.request.credentials else {
                panic!("{asked:?}", asked = asked.request);
            };
            let user = String::from_utf8(user.to_vec()).unwrap();
            let number: u32 = user.parse().unwrap();
            let status = match number % 3 {
                0 => Status::Denied,
                _ => Status::Success,
            };
            handler.answer(asked, status, &format!("user {user}")).await;
        }
        for (n, decided) in waiting {
            let expected = match n % 3 {
                0 => Verdict::Deny,
                _ => admitted(&format!("user {n}")),
            };
            assert_eq!(verdict(decided).await, expected, "{n}");
        }
    }
}

#[tokio::test]
async fn open_questions_are_bounded_in_all_and_for_each_address() {
    let handler = Handler::on_tcp().await;
    let zap = with(&handler.endpoint, |config| {
        config.outstanding = 3;
        config.per_address = 2;
    });
    let from = |last| auth::Request {
        address: Some([127, 0, 0, last].into()),
        ..plain("ann", "")
    };
    let first = ask(&zap, from(1));
    let one = handler.asked().await;
    let second = ask(&zap, from(1));
    let two = handler.asked().await;
    // A third one of 127.0.0.1 has to wait its turn; 127.0.0.2 is somebody else.
    assert_eq!(verdict(ask(&zap, from(1))).await, Verdict::Later);
    let third = ask(&zap, from(2));
    let three = handler.asked().await;
    assert_eq!(verdict(ask(&zap, from(3))).await, Verdict::Later);
    assert_eq!(zap.counters().unanswered, 2);

    for (asked, decided) in [(one, first), (two, second), (three, third)] {
        handler.answer(&asked, Status::Success, "ann").await;
        assert_eq!(verdict(decided).await, admitted("ann"));
    }
    let again = ask(&zap, from(1));
    let asked = handler.asked().await;
    handler.answer(&asked, Status::Success, "ann").await;
    assert_eq!(verdict(again).await, admitted("ann"));
}

#[tokio::test]
async fn a_peer_that_goes_while_it_waits_leaves_its_place() {
    let handler = Handler::on_tcp().await;
    let zap = with(&handler.endpoint, |config| config.outstanding = 1);
    let gone = ask(&zap, plain("gone", ""));
    let unheard = handler.asked().await;
    gone.abort();
    assert!(within(gone).await.unwrap_err().is_cancelled());
    let decided = ask(&zap, plain("ann", ""));
    let asked = handler.asked().await;
    // What was asked for the one who is gone helps nobody.
    handler.answer(&unheard, Status::Success, "gone").await;
    handler.answer(&asked, Status::Denied, "").await;
    assert_eq!(verdict(decided).await, Verdict::Deny);
    assert_eq!(zap.counters().ignored, 1);
}

#[tokio::test]
async fn a_handler_may_come_late_and_hears_only_of_those_who_still_wait() {
    for place in places() {
        let handler = Handler::at(&place).await;
        let endpoint = handler.endpoint.clone();
        within(handler.router.close()).await.unwrap();
        let zap = patient(&endpoint);
        let gone = ask(&zap, plain("gone", ""));
        tokio::task::yield_now().await;
        let decided = ask(&zap, plain("ann", ""));
        tokio::task::yield_now().await;
        assert_eq!(zap.counters().asked, 2);
        gone.abort();
        assert!(within(gone).await.unwrap_err().is_cancelled());
        let handler = Handler::at(&endpoint.to_string()).await;
        let asked = handler.asked().await;
        assert_eq!(asked.request.credentials, plain("ann", "").credentials);
        handler.answer(&asked, Status::Success, "ann").await;
        assert_eq!(verdict(decided).await, admitted("ann"));
    }
}
