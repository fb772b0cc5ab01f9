//! Any message is some language's or none's, and what a language says is read back as it was.
#![cfg_attr(fuzzing, no_main)]

use std::time::Duration;

use scale0::limits::Limits;
use scale0::protocol::{
    self, Answer, Ask, Assignment, Dialect, Id, Name, Notice, Reading, Return, Status, Word,
};
use scale0::wire::{Builder, Message, Piece, SocketType};

pub fn run(data: &[u8]) {
    let Some((&kind, data)) = data.split_first() else {
        return;
    };
    let kind = if kind & 1 == 0 {
        SocketType::Dealer
    } else {
        SocketType::Req
    };
    let message = split(data);
    let limits = Limits::default();
    match protocol::read(message.clone(), kind, &limits) {
        Reading::Word(Word::Ask(ask)) => asked(&message, &ask, &limits),
        Reading::Word(Word::Cancel(back)) => returns(&message, &back),
        Reading::Word(Word::Credit(credit)) => returns(&message, &credit.back),
        Reading::Word(Word::Ping(ping)) => {
            returns(&message, &ping.back);
            let pong = Notice::Pong {
                back: ping.back.clone(),
                capable: ping.capable,
            };
            assert!(protocol::notify(ping.back.dialect, &pong, gather).is_some());
        }
        Reading::Word(Word::Announce(announcement)) => {
            assert!(announcement.offers.len() <= limits.services_per_worker);
        }
        Reading::Refused(refusal) => returns(&message, &refusal.back),
        _ => {}
    }
}

/// Length octets and parts; the last part has what is left.
fn split(mut data: &[u8]) -> Message {
    let mut parts = Vec::new();
    while let Some((&len, rest)) = data.split_first() {
        let (part, rest) = rest.split_at(usize::from(len).min(rest.len()));
        parts.push(part);
        data = rest;
    }
    if parts.is_empty() {
        parts.push(b"");
    }
    Message::new(parts)
}

fn asked(message: &Message, ask: &Ask, limits: &Limits) {
    returns(message, &ask.back);
    assert!((1..=255).contains(&ask.service.as_bytes().len()));
    assert!((1..=7).contains(&ask.priority));
    let body: Vec<&[u8]> = ask.body.parts().collect();
    let all: Vec<&[u8]> = message.parts().collect();
    assert!(all.ends_with(&body));
    let status = Status::UNAVAILABLE;
    let error = Answer::Error {
        status,
        not_executed: true,
        retry_after: Duration::from_millis(1),
        text: "no".to_owned(),
    };
    let said = protocol::answer(&ask.back, &ask.service, &error, None, gather);
    assert_eq!(said.is_some(), ask.back.dialect == Dialect::Scale0);
    let task = Assignment {
        oneway: ask.wants.is_oneway(),
        token: Id([1, 2, 3, 4, 5, 6, 7, 8]),
        attempt: 1,
        ttl: Duration::from_millis(77),
        idempotent: ask.idempotent,
        priority: ask.priority,
        service: ask.service.clone(),
        properties: ask.properties.clone(),
        body: ask.body.clone(),
    };
    for dialect in [
        Dialect::Mdp01,
        Dialect::Mdp02,
        Dialect::Mdp02Delimited,
        Dialect::Zproto,
    ] {
        protocol::assign(dialect, &task, gather);
    }
    if Name::service(ask.service.as_bytes()).is_err() {
        // A Majordomo client's name that S0/1 does not allow.
        return;
    }
    // A broker behind this one would read the same task.
    let passed_on = protocol::assign(Dialect::Scale0, &task, gather);
    match protocol::read(passed_on, SocketType::Dealer, limits) {
        Reading::Word(Word::Ask(again)) => {
            assert_eq!(
                (again.service, again.body, again.properties),
                (task.service, task.body, task.properties)
            );
            assert_eq!(
                (again.priority, again.idempotent, again.ttl),
                (ask.priority, ask.idempotent, task.ttl)
            );
            assert_eq!(again.wants.is_oneway(), task.oneway);
        }
        other => panic!("{other:?}"),
    }
}

/// An answer goes back through the frames by which the question came.
fn returns(message: &Message, back: &Return) {
    let came: Vec<&[u8]> = message.parts().collect();
    let envelope: Vec<&[u8]> = back.envelope.parts().collect();
    assert!(came.starts_with(&envelope));
    let empty = envelope.iter().position(|part| part.is_empty());
    assert_eq!(empty.map_or(0, |at| at + 1), envelope.len());
    let reply = Answer::Reply {
        code: 200,
        partial: false,
        ms: 0,
        properties: bytes::Bytes::new(),
        body: Message::single(b"body"),
    };
    let name = Name::from("service");
    let answer = protocol::answer(back, &name, &reply, None, gather);
    let answer = answer.expect("a reply is delivered in every language");
    let parts: Vec<&[u8]> = answer.parts().collect();
    assert!(parts.starts_with(&envelope) && parts.ends_with(&[b"body"]));
}

fn gather(pieces: &[Piece<'_>]) -> Message {
    let mut builder = Builder::default();
    for piece in pieces {
        match piece {
            Piece::Part(part) => builder.part(part),
            Piece::Parts(message) => builder.parts(message),
        }
    }
    builder.finish()
}

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|data: &[u8]| run(data));
