//! REQ and REP: test_spec_req, test_spec_rep, test_invalid_rep, test_req_correlate,
//! test_req_relaxed, [Q1] to [Q7], and odd questions and answers.

use std::time::Duration;

use scale0::socket::{Event, Reason, RecvError, Refusal, Socket, SocketType};

use crate::alone::{alone, peak};
use crate::oracle::{Good, try_recv};
use crate::peer::{Parts, Peer, bound, event, listener, message, peers, recv, soon, until};

/// A REQ, and a REP made by hand that it is connected with.
async fn asked(change: impl FnOnce(&mut scale0::socket::Options)) -> (Socket, Peer) {
    let (req, at) = bound(SocketType::Req, change).await;
    let mut rep = Peer::open(&at, SocketType::Rep).await;
    rep.ping().await;
    (req, rep)
}

fn words(parts: &[&[u8]]) -> Parts {
    parts.iter().map(|part| part.to_vec()).collect()
}

/// [Q1], test_spec_req: message_format.
#[tokio::test]
async fn a_request_stands_behind_an_empty_part() {
    let (req, mut rep) = asked(|_| {}).await;
    soon(req.send(scale0::socket::Message::new(["a", "bc"])))
        .await
        .unwrap();
    rep.expect(b"\x01\0\x01\x01a\0\x02bc").await;
    rep.write(b"\x01\0\x01\x00\0\x01z").await;
    assert_eq!(recv(&req).await, words(&[b"", b"z"]));
}

/// [Q1], test_req_correlate: ids of four bytes that count up, and only the right one is an answer.
#[tokio::test]
async fn with_correlation_only_the_same_id_is_an_answer() {
    let (req, mut rep) = asked(|options| {
        options.set("req_correlate", "1").unwrap();
    })
    .await;
    let mut last: Option<u32> = None;
    for _ in 0..3 {
        soon(req.send("question")).await.unwrap();
        let got = rep.recv().await;
        assert_eq!(
            (got[0].len(), &got[1..]),
            (4, &words(&[b"", b"question"])[..])
        );
        let id = u32::from_be_bytes(got[0][..].try_into().unwrap());
        assert!(last.is_none_or(|last| id == last.wrapping_add(1)));
        last = Some(id);
        for wrong in [id.wrapping_sub(1), id.wrapping_add(1), !id] {
            rep.send(&[&wrong.to_be_bytes()[..], b"", b"wrong"]).await;
        }
        rep.send(&[&b""[..], b"without an id"]).await;
        rep.send(&[&id.to_be_bytes()[..], b"", b"right"]).await;
        assert_eq!(recv(&req).await, [b"right"]);
    }
    assert_eq!(req.counters().ignored, 12);
}

/// [Q3]: what a peer has said before it was asked is no answer.
#[tokio::test]
async fn answers_that_came_before_the_question_are_stale() {
    for relaxed in [false, true] {
        let (req, mut rep) = asked(|options| options.pattern.relaxed = relaxed).await;
        rep.write(&message(&["", "stale"]).repeat(100)).await;
        rep.ping().await;
        soon(req.send("question")).await.unwrap();
        assert_eq!(rep.recv().await, words(&[b"", b"question"]));
        rep.send(&["", "fresh"]).await;
        assert_eq!(recv(&req).await, [b"fresh"]);
        // And once more behind the answer.
        rep.send(&["", "stale"]).await;
        rep.ping().await;
        soon(req.send("question")).await.unwrap();
        rep.recv().await;
        rep.send(&["", "fresh"]).await;
        assert_eq!(recv(&req).await, [b"fresh"]);
    }
}

/// [Q2], test_req_relaxed: the late answer to an abandoned question is not taken for the next
/// one's if it is there when that is asked.
#[tokio::test]
async fn a_relaxed_req_asks_again_and_hears_the_new_answer_only() {
    let (req, mut rep) = asked(|options| {
        options.set("req_relaxed", "1").unwrap();
        options.set("req_correlate", "1").unwrap();
    })
    .await;
    soon(req.send("first")).await.unwrap();
    let first = rep.recv().await;
    soon(req.send("second")).await.unwrap();
    let second = rep.recv().await;
    assert_ne!(first[0], second[0]);
    rep.send(&[&first[0][..], b"", b"late"]).await;
    rep.send(&[&second[0][..], b"", b"answer"]).await;
    assert_eq!(recv(&req).await, [b"answer"]);
}

/// [Q3]: only who was asked may answer.
#[tokio::test]
async fn only_the_peer_that_was_asked_may_answer() {
    let (req, at) = bound(SocketType::Req, |_| {}).await;
    let mut one = Peer::open(&at, SocketType::Rep).await;
    one.ping().await;
    let mut two = Peer::open(&at, SocketType::Rep).await;
    two.ping().await;
    for n in 0..4_u8 {
        let (asked, other) = if n % 2 == 0 {
            (&mut one, &mut two)
        } else {
            (&mut two, &mut one)
        };
        soon(req.send(&[n])).await.unwrap();
        assert_eq!(asked.recv().await, words(&[b"", &[n]]));
        other.send(&["", "forged"]).await;
        other.ping().await;
        asked.send(&[&b""[..], &[n, n]]).await;
        assert_eq!(recv(&req).await, [[n, n]]);
    }
}

/// [Q4], "odd replies to REQ": closed, the program hears that the request is lost, and can ask
/// again. Both when REQ is bound and when it connects.
#[tokio::test]
async fn a_malformed_reply_is_closed_and_req_goes_on() {
    let odd: [&[&[u8]]; 6] = [
        &[b"no delimiter"],
        &[b"no", b"delimiter"],
        &[b""],
        &[b"1234", b""],
        &[b"12345", b"", b"x"],
        &[b"1234", b"x", b"y"],
    ];
    for reply in odd {
        let (req, at) = bound(SocketType::Req, |_| {}).await;
        let mut monitor = req.monitor();
        let mut bad = Peer::open(&at, SocketType::Rep).await;
        bad.ping().await;
        soon(req.send("question")).await.unwrap();
        bad.recv().await;
        let (lost, ()) = tokio::join!(soon(req.recv()), async {
            // The program waits already.
            tokio::task::yield_now().await;
            bad.send(reply).await;
        });
        assert_eq!(
            lost.unwrap_err(),
            RecvError::Refused(Refusal::Lost),
            "{reply:?}"
        );
        bad.closed().await;
        let reason = event(&mut monitor, |event| match event {
            Event::Disconnected { reason, .. } => Some(reason.clone()),
            _ => None,
        })
        .await;
        assert_eq!(reason, Reason::NoReply);
        let mut good = Good::new(&req, &at).await;
        good.is_served(&req).await;
    }
    let (listener, at) = listener().await;
    let mut options = scale0::socket::Options::default();
    options.set("reconnect_ivl", "1").unwrap();
    options.set("reconnect_ivl_max", "0").unwrap();
    let req = Socket::with(SocketType::Req, options);
    req.connect(at.as_str()).unwrap();
    for reply in odd {
        let mut bad = Peer::accept(&listener).await;
        bad.shake(SocketType::Rep, b"").await;
        soon(req.send("question")).await.unwrap();
        bad.recv().await;
        bad.send(reply).await;
        let lost = soon(req.recv()).await;
        assert_eq!(
            lost.unwrap_err(),
            RecvError::Refused(Refusal::Lost),
            "{reply:?}"
        );
        bad.closed().await;
    }
    let mut rep = Peer::accept(&listener).await;
    rep.shake(SocketType::Rep, b"").await;
    soon(req.send("question")).await.unwrap();
    rep.recv().await;
    rep.send(&["", "answer"]).await;
    assert_eq!(recv(&req).await, [b"answer"]);
}

/// A peer that goes with the request, at any moment: the program hears it, and goes on.
#[tokio::test]
async fn a_req_whose_peer_goes_hears_it_and_goes_on() {
    let (req, at) = bound(SocketType::Req, |_| {}).await;
    for part_of_a_reply in [
        &b""[..],
        b"\x01",
        b"\x01\0",
        b"\x01\0\0\x05hel",
        b"\x01\0\x01\x01x",
    ] {
        let mut peer = Peer::open(&at, SocketType::Rep).await;
        peers(&req, 1).await;
        soon(req.send("question")).await.unwrap();
        peer.recv().await;
        peer.write(part_of_a_reply).await;
        peer.finish().await;
        let lost = soon(req.recv()).await.unwrap_err();
        assert_eq!(lost, RecvError::Refused(Refusal::Lost));
        peer.closed().await;
        assert_eq!(
            req.try_recv().unwrap_err(),
            RecvError::Refused(Refusal::SendFirst)
        );
    }
}

/// A REP that floods REQ with answers: they are bounded while nobody receives, and one counts.
#[test]
fn a_flood_of_answers_is_bounded_and_stale() {
    alone("ask::a_flood_of_answers_is_bounded_and_stale", || async {
        let (req, mut rep) = asked(|options| options.receive_messages = 100).await;
        let before = peak();
        let flood = message(&[&b""[..], &[b'x'; 10 << 10]]).repeat(10);
        let flooding = tokio::spawn(async move {
            let mut wrote = 0;
            while wrote < 64 << 20
                && tokio::time::timeout(Duration::from_millis(300), rep.try_write(&flood))
                    .await
                    .is_ok()
            {
                wrote += flood.len();
            }
            wrote
        });
        let wrote = soon(flooding).await.unwrap();
        assert!(wrote < 64 << 20, "REQ took all that nobody has asked for");
        let grown = peak() - before;
        assert!(grown < 24 << 10, "{grown} KiB");
        assert_eq!(req.counters().received, 0);
    });
}

/// test_spec_rep: envelope; the depth at its limit and beyond [Q5].
#[tokio::test]
async fn the_envelope_goes_back_with_the_answer_up_to_its_limit() {
    let (rep, at) = bound(SocketType::Rep, |_| {}).await;
    let mut peer = Peer::open(&at, SocketType::Dealer).await;
    for depth in [1, 2, 3, 64] {
        let mut asked: Vec<Vec<u8>> = (1..depth).map(|n: u8| vec![n; 3]).collect();
        asked.push(Vec::new());
        let envelope = asked.clone();
        asked.extend(words(&[b"body", b""]));
        peer.send(&asked).await;
        assert_eq!(recv(&rep).await, words(&[b"body", b""]));
        soon(rep.send("reply")).await.unwrap();
        assert_eq!(peer.recv().await, [envelope, words(&[b"reply"])].concat());
    }
}

/// [Q5], "envelopes without end to REP".
#[tokio::test]
async fn requests_without_delimiter_or_body_or_end_are_dropped_and_the_connection_stays() {
    let (rep, at) = bound(SocketType::Rep, |_| {}).await;
    let mut good = Good::new(&rep, &at).await;
    let mut peer = Peer::open(&at, SocketType::Dealer).await;
    let endless = vec![b"hop".to_vec(); 64];
    let odd = [
        words(&[b"no delimiter"]),
        words(&[b"no", b"delimiter"]),
        words(&[b""]),
        words(&[b"no body", b""]),
        [endless, words(&[b"", b"body"])].concat(),
        vec![b"hop".to_vec(); 1024],
    ];
    for request in &odd {
        peer.send(request).await;
    }
    peer.send(&["", "a real one"]).await;
    assert_eq!(recv(&rep).await, [b"a real one"]);
    assert_eq!(rep.counters().ignored, odd.len() as u64);
    soon(rep.send("answered")).await.unwrap();
    assert_eq!(peer.recv().await, words(&[b"", b"answered"]));
    // Beyond the parts that any message may have: closed.
    peer.try_write(&message(&vec!["hop"; 1025])).await.unwrap();
    peer.closed().await;
    good.is_served(&rep).await;
}

/// [Q6]: whoever asked and went.
#[tokio::test]
async fn an_answer_to_a_requester_that_is_gone_is_dropped_and_rep_goes_on() {
    let (rep, at) = bound(SocketType::Rep, |_| {}).await;
    let mut good = Good::new(&rep, &at).await;
    for n in 1..=10 {
        let mut peer = Peer::open(&at, SocketType::Req).await;
        peer.send(&["", "question"]).await;
        assert_eq!(recv(&rep).await, [b"question"]);
        peer.finish().await;
        until(|| rep.counters().peers == 1).await;
        soon(rep.send("answer")).await.unwrap();
        assert_eq!(rep.counters().dropped_unroutable, n);
        good.is_served(&rep).await;
    }
}

/// A requester's unread requests go with it: REP does not work for the dead.
#[tokio::test]
async fn requests_of_a_peer_that_is_gone_are_not_received() {
    let (rep, at) = bound(SocketType::Rep, |_| {}).await;
    let mut good = Good::new(&rep, &at).await;
    let mut peer = Peer::open(&at, SocketType::Dealer).await;
    peer.write(&message(&["", "question"]).repeat(10)).await;
    peer.ping().await;
    peer.finish().await;
    until(|| rep.counters().peers == 1).await;
    assert_eq!(try_recv(&rep), None);
    good.is_served(&rep).await;
}

/// A requester that asks and never reads fills its own queue and nothing else.
#[test]
fn a_requester_that_never_reads_loses_answers_and_keeps_nobody_waiting() {
    alone(
        "ask::a_requester_that_never_reads_loses_answers_and_keeps_nobody_waiting",
        || async {
            let (rep, at) = bound(SocketType::Rep, |options| {
                options.send_messages = 50;
            })
            .await;
            let mut good = Good::new(&rep, &at).await;
            let mut peer = Peer::open(&at, SocketType::Dealer).await;
            let before = peak();
            let answer = vec![b'x'; 64 << 10];
            for n in 0..500 {
                peer.send(&["", "question"]).await;
                assert_eq!(recv(&rep).await, [b"question"]);
                soon(rep.send(&answer[..])).await.unwrap();
                if n % 50 == 0 {
                    good.is_served(&rep).await;
                }
            }
            assert!(rep.counters().dropped_full > 200, "{:?}", rep.counters());
            let grown = peak() - before;
            assert!(grown < 24 << 10, "{grown} KiB");
            good.is_served(&rep).await;
        },
    );
}

/// test_spec_rep: fair_queue_in. A requester that floods has one turn of two.
#[tokio::test]
async fn a_flooding_requester_has_its_turn_and_no_more() {
    let (rep, at) = bound(SocketType::Rep, |_| {}).await;
    let mut loud = Peer::open(&at, SocketType::Dealer).await;
    let mut quiet = Peer::open(&at, SocketType::Req).await;
    loud.write(&message(&["", "loud"]).repeat(500)).await;
    loud.ping().await;
    for _ in 0..20 {
        quiet.send(&["", "quiet"]).await;
        quiet.ping().await;
        let mut before = 0;
        while recv(&rep).await != [b"quiet"] {
            before += 1;
            soon(rep.send("answer")).await.unwrap();
        }
        assert!(before <= 1, "{before} before it");
        soon(rep.send("answer")).await.unwrap();
        quiet.recv().await;
    }
}
