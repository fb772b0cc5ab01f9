//! REQ and REP (zmtp.md Q1 to Q6).

use scale0::socket::{
    Message, Options, PatternConfig, Reason, RecvError, Refusal, SendError, Socket, SocketType,
};

use crate::{
    Via, bound, ended, joined, opened, over, quick, recv, send, settle, socket, text, within, words,
};

over! { tcp inproc:
    a_request_and_its_reply_alternate
    requests_go_to_repliers_in_turns
    a_request_has_an_empty_part_in_front
    a_correlated_request_has_an_id_and_only_that_is_answered
    a_relaxed_request_replaces_the_one_before
    a_reply_of_another_peer_is_not_taken
    a_request_whose_peer_is_gone_is_lost_and_the_next_one_works
    a_malformed_reply_ends_the_connection
    the_envelope_goes_back_as_it_came
    what_is_no_request_is_ignored_and_the_peer_stays
    an_endless_envelope_is_no_request
    an_answer_to_nobody_is_dropped_and_counted
}

fn refused(error: &SendError) -> Option<Refusal> {
    match error {
        SendError::Refused { reason, .. } => Some(*reason),
        _ => None,
    }
}

async fn a_request_and_its_reply_alternate(via: Via) {
    let (rep, endpoint) = bound(via, SocketType::Rep, quick()).await;
    let req = joined(SocketType::Req, quick(), &endpoint).await;
    let first = req.recv().await;
    assert_eq!(first, Err(RecvError::Refused(Refusal::SendFirst)));
    let early = rep.send("early").await.unwrap_err();
    assert_eq!(refused(&early), Some(Refusal::ReceiveFirst));
    assert_eq!(text(&early.into_message()), ["early"]);
    for number in 0..3 {
        send(&req, Message::new(["ask", &number.to_string()])).await;
        let twice = req.send("again").await.unwrap_err();
        assert_eq!(refused(&twice), Some(Refusal::ReceiveFirst));
        assert_eq!(req.try_recv(), Ok(None));
        assert_eq!(words(&rep).await, ["ask", &number.to_string()]);
        let twice = rep.try_recv();
        assert_eq!(twice, Err(RecvError::Refused(Refusal::SendFirst)));
        send(&rep, Message::new(["answer", &number.to_string()])).await;
        let twice = rep.send("again").await.unwrap_err();
        assert_eq!(refused(&twice), Some(Refusal::ReceiveFirst));
        assert_eq!(words(&req).await, ["answer", &number.to_string()]);
    }
}

async fn requests_go_to_repliers_in_turns(via: Via) {
    let req = socket(SocketType::Req);
    let mut monitor = req.monitor();
    let mut reps = Vec::new();
    for _ in 0..3 {
        let (rep, endpoint) = bound(via, SocketType::Rep, quick()).await;
        req.connect(endpoint).unwrap();
        opened(&mut monitor).await;
        reps.push(rep);
    }
    for round in 0..9 {
        send(&req, round.to_string()).await;
        let rep = &reps[round % 3];
        assert_eq!(words(rep).await, [round.to_string()]);
        send(rep, "done").await;
        assert_eq!(words(&req).await, ["done"]);
    }
}

async fn a_request_has_an_empty_part_in_front(via: Via) {
    let (dealer, endpoint) = bound(via, SocketType::Router, quick()).await;
    let req = joined(SocketType::Req, quick(), &endpoint).await;
    send(&req, Message::new(["a", "b"])).await;
    assert_eq!(words(&dealer).await[1..], ["", "a", "b"]);
}

fn correlating(relaxed: bool) -> Options {
    Options {
        pattern: PatternConfig {
            correlate: true,
            relaxed,
            ..quick().pattern
        },
        ..quick()
    }
}

async fn a_correlated_request_has_an_id_and_only_that_is_answered(via: Via) {
    let (router, endpoint) = bound(via, SocketType::Router, quick()).await;
    let req = joined(SocketType::Req, correlating(false), &endpoint).await;
    let mut ids = Vec::new();
    for _ in 0..2 {
        send(&req, "body").await;
        let request = recv(&router).await.into_parts();
        assert_eq!(request.len(), 4);
        assert_eq!(request[1].len(), 4);
        assert_eq!((&request[2][..], &request[3][..]), (&b""[..], &b"body"[..]));
        let answer =
            |id: &[u8], body: &str| Message::new([&request[0][..], id, b"", body.as_bytes()]);
        send(&router, answer(b"none", "wrong")).await;
        send(&router, answer(&request[1], "right")).await;
        assert_eq!(words(&req).await, ["right"]);
        ids.push(request[1].clone());
    }
    assert_ne!(ids[0], ids[1]);
    assert_eq!(req.counters().ignored, 2);
}

async fn a_relaxed_request_replaces_the_one_before(via: Via) {
    let (router, endpoint) = bound(via, SocketType::Router, quick()).await;
    let req = joined(SocketType::Req, correlating(true), &endpoint).await;
    send(&req, "one").await;
    send(&req, "two").await;
    for body in ["one", "two"] {
        let request = recv(&router).await;
        assert_eq!(text(&request)[3], body);
        send(&router, request).await;
    }
    assert_eq!(words(&req).await, ["two"]);
    // Connections survive what comes too late.
    send(&req, "three").await;
    let request = recv(&router).await;
    send(&router, request).await;
    assert_eq!(words(&req).await, ["three"]);
}

async fn a_reply_of_another_peer_is_not_taken(via: Via) {
    let req = socket(SocketType::Req);
    let mut monitor = req.monitor();
    let mut routers = Vec::new();
    for _ in 0..2 {
        let options = Options {
            probe: false,
            ..quick()
        };
        let (router, endpoint) = bound(via, SocketType::Router, options).await;
        req.connect(endpoint).unwrap();
        opened(&mut monitor).await;
        routers.push(router);
    }
    let [asked, other] = &routers[..] else {
        unreachable!()
    };
    // One round with each, so that each knows its peer.
    let mut ids = Vec::new();
    for router in &routers {
        send(&req, "hello").await;
        let request = recv(router).await;
        ids.push(request.clone().into_parts()[0].clone());
        send(router, request).await;
        recv(&req).await;
    }
    send(&req, "for the first").await;
    let request = recv(asked).await;
    send(other, Message::new([&ids[1][..], b"", b"forged"])).await;
    settle().await;
    assert_eq!(req.try_recv(), Ok(None));
    send(asked, request).await;
    assert_eq!(words(&req).await, ["for the first"]);
}

async fn a_request_whose_peer_is_gone_is_lost_and_the_next_one_works(via: Via) {
    let (rep, endpoint) = bound(via, SocketType::Rep, quick()).await;
    let req = joined(SocketType::Req, quick(), &endpoint).await;
    send(&req, "one").await;
    assert_eq!(words(&rep).await, ["one"]);
    let closing = async {
        settle().await;
        within(rep.close()).await.unwrap();
    };
    let (lost, ()) = within(async { tokio::join!(req.recv(), closing) }).await;
    assert_eq!(lost, Err(RecvError::Refused(Refusal::Lost)));
    // It is told once.
    assert_eq!(req.try_recv(), Err(RecvError::Refused(Refusal::SendFirst)));
    let rep = socket(SocketType::Rep);
    rep.bind(endpoint).await.unwrap();
    send(&req, "two").await;
    assert_eq!(words(&rep).await, ["two"]);
    send(&rep, "answer").await;
    assert_eq!(words(&req).await, ["answer"]);
}

async fn a_malformed_reply_ends_the_connection(via: Via) {
    let (router, endpoint) = bound(via, SocketType::Router, quick()).await;
    let req = joined(SocketType::Req, quick(), &endpoint).await;
    let mut monitor = req.monitor();
    send(&req, "one").await;
    let id = recv(&router).await.into_parts().remove(0);
    send(&router, Message::new([&id[..], b"no", b"delimiter"])).await;
    let lost = within(req.recv()).await;
    assert_eq!(lost, Err(RecvError::Refused(Refusal::Lost)));
    assert_eq!(ended(&mut monitor).await, Reason::NoReply);
    opened(&mut monitor).await;
    send(&req, "two").await;
    let request = recv(&router).await;
    send(&router, request).await;
    assert_eq!(words(&req).await, ["two"]);
}

async fn the_envelope_goes_back_as_it_came(via: Via) {
    let (rep, endpoint) = bound(via, SocketType::Rep, quick()).await;
    let dealer = joined(SocketType::Dealer, quick(), &endpoint).await;
    send(&dealer, Message::new(["x", "y", "", "body", ""])).await;
    assert_eq!(words(&rep).await, ["body", ""]);
    send(&rep, Message::new(["answer", "more"])).await;
    assert_eq!(words(&dealer).await, ["x", "y", "", "answer", "more"]);
}

async fn what_is_no_request_is_ignored_and_the_peer_stays(via: Via) {
    let (rep, endpoint) = bound(via, SocketType::Rep, quick()).await;
    let dealer = joined(SocketType::Dealer, quick(), &endpoint).await;
    send(&dealer, Message::new(["no", "delimiter"])).await;
    send(&dealer, Message::new(["id", ""])).await;
    send(&dealer, Message::new(["", "good"])).await;
    assert_eq!(words(&rep).await, ["good"]);
    assert_eq!((rep.counters().ignored, rep.counters().peers), (2, 1));
}

async fn an_endless_envelope_is_no_request(via: Via) {
    let (rep, endpoint) = bound(via, SocketType::Rep, quick()).await;
    let dealer = joined(SocketType::Dealer, quick(), &endpoint).await;
    let enveloped = |hops: usize| {
        let hops = std::iter::repeat_n("hop", hops);
        hops.chain(["", "body"]).collect::<Message>()
    };
    send(&dealer, enveloped(64)).await;
    send(&dealer, enveloped(63)).await;
    assert_eq!(words(&rep).await, ["body"]);
    assert_eq!(rep.counters().ignored, 1);
    send(&rep, "answer").await;
    assert_eq!(words(&dealer).await.len(), 65);
}

async fn an_answer_to_nobody_is_dropped_and_counted(via: Via) {
    let (rep, endpoint) = bound(via, SocketType::Rep, quick()).await;
    let mut monitor = rep.monitor();
    let req = joined(SocketType::Req, quick(), &endpoint).await;
    send(&req, "one").await;
    assert_eq!(words(&rep).await, ["one"]);
    drop(req);
    ended(&mut monitor).await;
    send(&rep, "for nobody").await;
    assert_eq!(rep.counters().dropped_unroutable, 1);
    let twice = rep.try_send("again").unwrap_err();
    assert_eq!(refused(&twice), Some(Refusal::ReceiveFirst));
    let req: Socket = joined(SocketType::Req, quick(), &endpoint).await;
    send(&req, "two").await;
    assert_eq!(words(&rep).await, ["two"]);
    send(&rep, "answer").await;
    assert_eq!(words(&req).await, ["answer"]);
}
