//! What peers say, as the words that their messages would be read as.

use std::time::Duration;

use bytes::Bytes;
use scale0::protocol::{
    Announcement, Ask, Credit, Dialect, Id, Name, Offer, Ping, Portion, Reading, Reply, Return,
    Wants, Word,
};
use scale0::wire::Message;

use super::plan::{Cast, Way};

pub(super) fn dialect(majordomo: bool) -> Dialect {
    match majordomo {
        true => Dialect::Mdp02Delimited,
        false => Dialect::Scale0,
    }
}

/// Majordomo has no numbers: there a proxy's envelope tells tasks apart.
pub(super) fn back(majordomo: bool, serial: u64) -> Return {
    let way = serial.to_be_bytes();
    Return {
        dialect: dialect(majordomo),
        envelope: match majordomo {
            true => Message::new([&way[..], b""]),
            false => Message::default(),
        },
        id: if majordomo { Id::ZERO } else { Id(way) },
        whole: false,
    }
}

/// Which task an answer is for.
pub(super) fn serial(back: &Return) -> u64 {
    let envelope = back.envelope.first();
    let number = envelope.and_then(|way| Some(u64::from_be_bytes(way.try_into().ok()?)));
    number.unwrap_or(u64::from_be_bytes(back.id.0))
}

pub(super) fn numbered(body: &Message) -> Option<u64> {
    Some(u64::from_be_bytes(body.first()?.try_into().ok()?))
}

/// The second number of a reply: which part it is, or how many there were.
pub(super) fn counted(body: &Message) -> Option<u64> {
    Some(u64::from_be_bytes(body.parts().nth(1)?.try_into().ok()?))
}

pub(super) fn ask(majordomo: bool, serial: u64, service: &str, way: Way) -> Reading {
    let body = match service {
        "s0.info" | "s0.drain" | "s0.undrain" => Message::default(),
        _ => Message::new([serial.to_be_bytes().to_vec(), vec![0; way.bytes]]),
    };
    question(majordomo, serial, service, way, body)
}

pub(super) fn set(serial: u64, service: &str) -> Reading {
    let way = Way {
        idempotent: false,
        ttl_ms: 0,
        bytes: 0,
        wants: Wants::Answer,
    };
    let body = Message::new([service.as_bytes(), b"ttl=3s"]);
    question(false, serial, "s0.set", way, body)
}

fn question(majordomo: bool, serial: u64, service: &str, way: Way, body: Message) -> Reading {
    Reading::Word(Word::Ask(Ask {
        back: back(majordomo, serial),
        service: Name::from(service),
        ttl: Duration::from_millis(if majordomo { 0 } else { way.ttl_ms }),
        idempotent: way.idempotent,
        wants: way.wants,
        priority: 4,
        properties: Bytes::new(),
        body,
    }))
}

pub(super) fn announce(cast: &Cast, offers: &[&str], capacity: u16) -> Reading {
    let offer = |name: &&str| Offer {
        service: Name::from(*name),
        ..Offer::default()
    };
    Reading::Word(Word::Announce(Announcement {
        dialect: dialect(cast.majordomo),
        name: Name::default(),
        capacity,
        promise: (!cast.majordomo).then(|| Duration::from_millis(cast.promise)),
        deep: false,
        credit: cast.credit && !cast.majordomo,
        offers: offers.iter().map(offer).collect(),
    }))
}

pub(super) fn reply(majordomo: bool, token: Id, numbers: [u64; 2]) -> Reading {
    Reading::Word(Word::Reply(Reply {
        dialect: dialect(majordomo),
        token,
        code: 200,
        partial: false,
        refuses: false,
        ms: 0,
        properties: Bytes::new(),
        body: Message::new(numbers.map(u64::to_be_bytes)),
    }))
}

pub(super) fn part(token: Id, numbers: [u64; 2]) -> Reading {
    let mut word = reply(false, token, numbers);
    if let Reading::Word(Word::Reply(reply)) = &mut word {
        reply.partial = true;
    }
    word
}

pub(super) fn refusal(token: Id) -> Reading {
    let mut word = reply(false, token, [0; 2]);
    if let Reading::Word(Word::Reply(reply)) = &mut word {
        (reply.code, reply.refuses) = (503, true);
    }
    word
}

pub(super) fn failure(token: Id, numbers: [u64; 2]) -> Reading {
    let mut word = reply(false, token, numbers);
    if let Reading::Word(Word::Reply(reply)) = &mut word {
        reply.code = 500;
    }
    word
}

pub(super) fn credit(serial: u64, more: Portion) -> Reading {
    let back = back(false, serial);
    Reading::Word(Word::Credit(Credit { back, more }))
}

/// A client tells what it understands.
pub(super) fn hello(credit: bool) -> Reading {
    let mut word = ping(0, None);
    if let Reading::Word(Word::Ping(ping)) = &mut word {
        (ping.capable, ping.credit) = (true, credit);
    }
    word
}

pub(super) fn ping(promise: u64, capacity: Option<u16>) -> Reading {
    Reading::Word(Word::Ping(Ping {
        back: back(false, 0),
        promise: Duration::from_millis(promise),
        capacity,
        capable: false,
        credit: false,
    }))
}
