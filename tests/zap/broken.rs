//! Handlers that are not there, hang, go, or say what they should not: nobody gets in, and who
//! asks next is served.

use scale0::security::Verdict;
use scale0::socket::zap::Status;
use scale0::socket::{Message, Router};

use crate::{Asked, Handler, SOON, admitted, ask, hasty, patient, places, plain, reply, verdict};
use crate::{with, within};

/// The next question is answered as ever.
async fn still_works(handler: &Handler, zap: &scale0::socket::Zap) {
    let decided = ask(zap, plain("ann", ""));
    let asked = handler.asked().await;
    handler.answer(&asked, Status::Success, "ann").await;
    assert_eq!(verdict(decided).await, admitted("ann"));
}

/// A good reply with one part replaced.
fn spoilt(asked: &Asked, place: usize, part: &[u8]) -> Message {
    let mut parts = reply(asked, Status::Success, "ann").write().into_parts();
    parts[place] = part.to_vec().into();
    Message::from(parts)
}

#[tokio::test]
async fn a_reply_that_is_not_the_rfcs_admits_nobody_and_ends_the_wait() {
    for place in places() {
        let handler = Handler::at(&place).await;
        let zap = patient(&handler.endpoint);
        let long = [b'a'; 256];
        let wrong: [(usize, &[u8]); 12] = [
            (1, b""),
            (1, b"1.1"),
            (1, b"2.0"),
            (3, b""),
            (3, b"20"),
            (3, b"201"),
            (3, b"2000"),
            (3, b"OK "),
            (3, b"000"),
            (5, &long),
            (6, b"\0"),
            (6, b"\x01a\xff\xff\xff\xff"),
        ];
        for (place, part) in wrong {
            let decided = ask(&zap, plain("ann", ""));
            let asked = handler.asked().await;
            handler.say(&asked, spoilt(&asked, place, part)).await;
            assert_eq!(verdict(decided).await, Verdict::Later, "{place}: {part:?}");
        }
        assert_eq!(zap.counters().malformed, 12);
        still_works(&handler, &zap).await;
    }
}

#[tokio::test]
async fn a_reply_of_too_few_or_too_many_parts_admits_nobody() {
    let handler = Handler::on_tcp().await;
    let zap = patient(&handler.endpoint);
    for count in [3, 4, 5, 6, 8, 9, 100] {
        let decided = ask(&zap, plain("ann", ""));
        let asked = handler.asked().await;
        let mut parts = reply(&asked, Status::Success, "ann").write().into_parts();
        parts.resize(count, bytes::Bytes::new());
        handler.say(&asked, parts.into()).await;
        assert_eq!(verdict(decided).await, Verdict::Later, "{count} parts");
    }
    still_works(&handler, &zap).await;
}

#[tokio::test]
async fn a_reply_to_nobody_is_ignored_and_the_deadline_ends_the_wait() {
    let handler = Handler::at("inproc://zap-to-nobody").await;
    let zap = with(&handler.endpoint, |config| config.deadline = SOON * 4);
    let decided = ask(&zap, plain("ann", ""));
    let asked = handler.asked().await;
    let id = String::from_utf8(asked.request.id.to_vec()).unwrap();
    let others = ["", "0", "999", "x", &format!("0{id}"), &format!("{id} ")];
    for other in others {
        let message = spoilt(&asked, 2, other.as_bytes());
        handler.say(&asked, message).await;
    }
    // No delimiter, or nothing at all behind it.
    handler.say(&asked, spoilt(&asked, 0, b"x")).await;
    handler.say(&asked, Message::single(b"")).await;
    assert_eq!(verdict(decided).await, Verdict::Later);
    // And the right one, too late.
    handler.answer(&asked, Status::Success, "ann").await;
    let next = ask(&zap, plain("ann", ""));
    let asked = handler.asked().await;
    handler.answer(&asked, Status::Denied, "").await;
    assert_eq!(verdict(next).await, Verdict::Deny);
    assert_eq!(zap.counters().ignored, 9);
    assert_eq!(zap.counters().malformed, 0);
    assert_eq!(zap.counters().unanswered, 1);
}

#[tokio::test]
async fn the_first_reply_counts_and_what_follows_admits_neither_this_peer_nor_the_next() {
    for place in places() {
        let handler = Handler::at(&place).await;
        let zap = patient(&handler.endpoint);
        let first = ask(&zap, plain("eve", ""));
        let asked = handler.asked().await;
        handler.answer(&asked, Status::Denied, "").await;
        handler.answer(&asked, Status::Success, "eve").await;
        assert_eq!(verdict(first).await, Verdict::Deny);
        let second = ask(&zap, plain("eve", ""));
        let again = handler.asked().await;
        assert_ne!(again.request.id, asked.request.id);
        handler.answer(&asked, Status::Success, "eve").await;
        handler.answer(&again, Status::Denied, "").await;
        assert_eq!(verdict(second).await, Verdict::Deny);
        assert_eq!(zap.counters().ignored, 2);
    }
}

#[tokio::test]
async fn without_a_handler_nobody_gets_in() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    // It takes connections and never says a word.
    let mute = format!("tcp://{}", free.local_addr().unwrap());
    for nobody in [&mute, "inproc://zap-nobody", "ipc://@scale0-zap-nobody"] {
        let zap = hasty(&nobody.parse().unwrap());
        let decided = ask(&zap, plain("ann", ""));
        assert_eq!(verdict(decided).await, Verdict::Later, "{nobody}");
        assert_eq!(zap.counters().unanswered, 1);
    }
}

#[tokio::test]
async fn a_handler_that_goes_with_a_question_admits_nobody_and_may_come_back() {
    let handler = Handler::on_tcp().await;
    let endpoint = handler.endpoint.clone();
    let zap = with(&endpoint, |config| config.deadline = SOON * 8);
    let decided = ask(&zap, plain("ann", ""));
    let lost = handler.asked().await;
    within(handler.router.close()).await.unwrap();
    assert_eq!(verdict(decided).await, Verdict::Later);
    let handler = Handler::at(&endpoint.to_string()).await;
    let decided = ask(&zap, plain("bob", ""));
    let asked = handler.asked().await;
    assert_ne!(asked.request.id, lost.request.id);
    assert_eq!(asked.request.credentials, plain("bob", "").credentials);
    // It remembers its predecessor's question.
    let lost = Asked {
        from: asked.from.clone(),
        ..lost
    };
    handler.answer(&lost, Status::Success, "ann").await;
    handler.answer(&asked, Status::Denied, "").await;
    assert_eq!(verdict(decided).await, Verdict::Deny);
}

#[tokio::test]
async fn a_handler_that_never_reads_costs_each_peer_its_deadline_and_no_more() {
    let router = Router::new();
    let endpoint = router.bind("tcp://127.0.0.1:*").await.unwrap();
    let zap = with(&endpoint, |config| {
        config.deadline = SOON;
        config.outstanding = 20;
    });
    // What would fill any buffer, were it kept: 20 at a time, the others are turned away at once.
    let password = "x".repeat(255);
    let waiting: Vec<_> = (0..1000)
        .map(|_| ask(&zap, plain("ann", &password)))
        .collect();
    for decided in waiting {
        assert_eq!(verdict(decided).await, Verdict::Later);
    }
    assert_eq!(zap.counters().asked, 1000);
    assert_eq!(zap.counters().unanswered, 1000);
    let mut arrived = 0;
    while router.try_recv().unwrap().is_some() {
        arrived += 1;
    }
    assert!(arrived <= 20, "{arrived} questions");
}

#[tokio::test]
async fn who_waits_when_the_authenticator_ends_does_not_get_in() {
    let handler = Handler::on_tcp().await;
    let zap = patient(&handler.endpoint);
    let decided = ask(&zap, plain("ann", ""));
    let asked = handler.asked().await;
    // Made before, polled after.
    let late = scale0::auth::Authenticator::check(&zap, plain("ann", ""));
    drop(zap);
    handler.answer(&asked, Status::Success, "ann").await;
    assert_eq!(verdict(decided).await, Verdict::Later);
    assert_eq!(within(late).await, Verdict::Later);
}
