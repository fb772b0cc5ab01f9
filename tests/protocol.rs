//! The languages on the broker's port: the vectors of `spec/vectors/s0` and `spec/vectors/mdp`
//! in both directions, and what holds for any bytes.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "tests, and helpers of tests"
)]

use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::Path;
use std::time::Duration;

use proptest::prelude::*;
use scale0::broker::{Action, Broker, Config, Event, PeerId};
use scale0::limits::Limits;
use scale0::protocol::scale0::{Header, HeaderError, Settings, command, flag};
use scale0::protocol::{
    self, Allowance, Answer, Assignment, Dialect, Id, Name, Notice, Offer, Portion, Reading,
    Return, Status, Wants, Word,
};
use scale0::time::Time;
use scale0::wire::{Builder, Endpoint, Message, Piece, Properties, SocketType, push_property};

// ------------------------------------------------------------------------------- the vectors

/// One message of a vector file.
#[derive(Clone, Debug)]
struct Vector {
    name: String,
    kind: SocketType,
    /// What it reads as, or what is written as it.
    text: String,
    reads: bool,
    message: Message,
}

fn vectors() -> Vec<Vector> {
    let mut found = Vec::new();
    for folder in ["s0", "mdp"] {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("spec/vectors")
            .join(folder);
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|extension| extension == "hex") {
                let file = path.file_stem().unwrap().to_string_lossy().into_owned();
                let text = std::fs::read_to_string(&path).unwrap();
                found.extend(
                    text.split("\n\n")
                        .filter_map(|block| parse_vector(&file, block)),
                );
            }
        }
    }
    assert!(
        found.len() > 250,
        "only {} vectors: where are the others?",
        found.len()
    );
    found
}

/// A block of lines: `name: value`, then one line per frame. See `spec/vectors/s0/README.md`.
fn parse_vector(file: &str, block: &str) -> Option<Vector> {
    let (mut name, mut kind, mut text) = (None, SocketType::Dealer, None);
    let mut frames = Vec::new();
    for line in block
        .lines()
        .map(|line| line.split('#').next().unwrap().trim())
    {
        match line.split_once(": ") {
            _ if line.is_empty() => {}
            Some(("vector", value)) => name = Some(format!("{file}: {value}")),
            Some(("from", value)) => kind = SocketType::read(value.as_bytes()).unwrap(),
            Some((verb @ ("read" | "write"), value)) => {
                text = Some((verb == "read", value.to_owned()));
            }
            Some(_) => panic!("{file}: what is {line}?"),
            None => frames.push(unhex(line)),
        }
    }
    let (reads, text) = text?;
    Some(Vector {
        name: name.unwrap(),
        kind,
        text,
        reads,
        message: Message::new(frames),
    })
}

fn unhex(text: &str) -> Vec<u8> {
    if text == "-" {
        return Vec::new();
    }
    let digits: Vec<u8> = text.bytes().filter(|byte| *byte != b' ').collect();
    let pairs = digits.chunks(2);
    pairs
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect()
}

fn hex(bytes: &[u8]) -> String {
    let mut out = String::new();
    for byte in bytes {
        write!(out, "{byte:02x}").unwrap();
    }
    if out.is_empty() { "-".to_owned() } else { out }
}

fn hexes(message: &Message) -> String {
    message.parts().map(hex).collect::<Vec<_>>().join(",")
}

fn word(dialect: Dialect) -> String {
    dialect.to_string().replace(' ', "-")
}

fn printable(name: &Name) -> String {
    name.as_bytes()
        .escape_ascii()
        .to_string()
        .replace(' ', "\\x20")
}

/// A reading in the vectors' words; what has its usual value is not said.
fn describe(reading: &Reading) -> String {
    let mut out = Vec::new();
    let back = |out: &mut Vec<String>, back: &Return| {
        if !back.envelope.is_empty() {
            out.push(format!("envelope={}", hexes(&back.envelope)));
        }
        out.extend(back.whole.then(|| "whole".to_owned()));
        if back.id != Id::ZERO {
            out.push(format!("id={}", hex(&back.id.0)));
        }
    };
    let rest = |out: &mut Vec<String>, properties: &[u8], body: &Message| {
        if !properties.is_empty() {
            out.push(format!("properties={}", hex(properties)));
        }
        if !body.is_empty() {
            out.push(format!("body={}", hexes(body)));
        }
    };
    match reading {
        Reading::Nothing => out.push("nothing".to_owned()),
        Reading::Dead => out.push("dead".to_owned()),
        Reading::Unknown { proxied } => {
            out.push("unknown".to_owned());
            out.extend(proxied.then(|| "proxied".to_owned()));
        }
        Reading::Refused(refusal) => {
            assert!(!refusal.text.is_empty(), "a refusal without a word");
            out.push(format!("refused status={}", refusal.status.code()));
            out.extend(refusal.task.then(|| "task".to_owned()));
            back(&mut out, &refusal.back);
        }
        Reading::Word(Word::Ask(ask)) => {
            out.push(format!("ask dialect={}", word(ask.back.dialect)));
            back(&mut out, &ask.back);
            out.push(format!("service={}", printable(&ask.service)));
            if !ask.ttl.is_zero() {
                out.push(format!("ttl={}", ask.ttl.as_millis()));
            }
            out.extend(ask.idempotent.then(|| "idempotent".to_owned()));
            out.extend(ask.wants.is_oneway().then(|| "oneway".to_owned()));
            out.extend((ask.wants == Wants::Nothing).then(|| "quiet".to_owned()));
            if ask.priority != 4 {
                out.push(format!("priority={}", ask.priority));
            }
            rest(&mut out, &ask.properties, &ask.body);
        }
        Reading::Word(Word::Cancel(way)) => {
            out.push("cancel".to_owned());
            back(&mut out, way);
        }
        Reading::Word(Word::Credit(credit)) => {
            out.push("credit".to_owned());
            back(&mut out, &credit.back);
            let (messages, kib) = (credit.more.messages, credit.more.kib);
            out.push(format!("messages={messages} kib={kib}"));
        }
        Reading::Word(Word::Announce(announcement)) => {
            out.push(format!("announce dialect={}", word(announcement.dialect)));
            if !announcement.name.is_empty() {
                out.push(format!("name={}", printable(&announcement.name)));
            }
            out.push(format!("capacity={}", announcement.capacity));
            out.push(match announcement.promise {
                Some(promise) => format!("promise={}", promise.as_millis()),
                None => "promise=habit".to_owned(),
            });
            out.extend(announcement.deep.then(|| "deep".to_owned()));
            out.extend(announcement.credit.then(|| "credit".to_owned()));
            for offer in &announcement.offers {
                out.push(format!(
                    "offer={}{}",
                    printable(&offer.service),
                    attributes(offer)
                ));
            }
        }
        Reading::Word(Word::Reply(reply)) => {
            let token = hex(&reply.token.0);
            out.push(format!(
                "reply dialect={} token={token}",
                word(reply.dialect)
            ));
            out.push(format!("code={}", reply.code));
            out.extend(reply.partial.then(|| "partial".to_owned()));
            out.extend(reply.refuses.then(|| "refuses".to_owned()));
            if reply.ms != 0 {
                out.push(format!("ms={}", reply.ms));
            }
            rest(&mut out, &reply.properties, &reply.body);
        }
        Reading::Word(Word::Ping(ping)) => {
            out.push("ping".to_owned());
            back(&mut out, &ping.back);
            out.push(format!("promise={}", ping.promise.as_millis()));
            out.extend(ping.capacity.map(|capacity| format!("capacity={capacity}")));
            out.extend(ping.capable.then(|| "capable".to_owned()));
            out.extend(ping.credit.then(|| "credit".to_owned()));
        }
        Reading::Word(Word::NeedBroker(way)) => {
            out.push("need_broker".to_owned());
            back(&mut out, way);
        }
        Reading::Word(Word::Beat(dialect)) => out.push(format!("beat dialect={}", word(*dialect))),
        Reading::Word(Word::Bye(dialect)) => out.push(format!("bye dialect={}", word(*dialect))),
    }
    out.join(" ")
}

/// Those of an offer that are not what they usually are.
fn attributes(offer: &Offer) -> String {
    let mut text = String::new();
    if offer.idempotent {
        text += ";idempotent";
    }
    if offer.weight != 1 {
        text += &format!(";weight={}", offer.weight);
    }
    if let Some(policy) = offer.policy {
        text += &format!(";policy={policy}");
    }
    if !offer.slow_start.is_zero() {
        text += &format!(";slow_start={}", offer.slow_start.as_millis());
    }
    if let Some(max) = offer.max {
        text += &format!(";max={max}");
    }
    if let Some(ttl) = offer.ttl {
        text += &format!(";ttl={}", ttl.as_millis());
    }
    text
}

/// What is to be written, as a vector says it.
struct Item<'a>(Vec<&'a str>);

impl<'a> Item<'a> {
    fn find(&self, key: &str) -> Option<&'a str> {
        self.0.iter().find_map(|word| {
            word.split_once('=')
                .filter(|(name, _)| *name == key)
                .map(|(_, value)| value)
        })
    }

    fn has(&self, flag: &str) -> bool {
        self.0.contains(&flag)
    }

    fn number<N: std::str::FromStr + Default>(&self, key: &str) -> N {
        self.find(key)
            .map_or_else(N::default, |value| value.parse().ok().unwrap())
    }

    fn millis(&self, key: &str) -> Duration {
        Duration::from_millis(self.number(key))
    }

    fn id(&self, key: &str) -> Id {
        self.find(key)
            .map_or(Id::ZERO, |value| Id(unhex(value).try_into().unwrap()))
    }

    fn bytes(&self, key: &str) -> Vec<u8> {
        self.find(key).map(unhex).unwrap_or_default()
    }

    fn text(&self, key: &str) -> String {
        String::from_utf8(self.bytes(key)).unwrap()
    }

    fn message(&self, key: &str) -> Message {
        self.find(key)
            .map(|value| value.split(',').map(unhex).collect())
            .unwrap_or_default()
    }

    fn endpoints(&self) -> Vec<Endpoint> {
        let listed = self.find("endpoints").map(|list| list.split(','));
        let parsed = listed.into_iter().flatten().map(|one| one.parse().unwrap());
        parsed.collect()
    }

    fn name(&self, key: &str) -> Name {
        Name::from(self.find(key).unwrap_or_default())
    }

    fn dialect(&self) -> Dialect {
        let wanted = self.find("dialect").unwrap();
        ALL.into_iter()
            .find(|dialect| word(*dialect) == wanted)
            .unwrap()
    }

    fn back(&self) -> Return {
        Return {
            dialect: self.dialect(),
            envelope: self.message("envelope"),
            id: self.id("id"),
            whole: false,
        }
    }

    fn write(&self) -> Option<Message> {
        let dialect = self.dialect();
        let notice = match self.0[0] {
            "assign" => {
                let task = Assignment {
                    token: self.id("token"),
                    attempt: self.number("attempt"),
                    ttl: self.millis("ttl"),
                    idempotent: self.has("idempotent"),
                    oneway: self.has("oneway"),
                    priority: self.find("priority").map_or(4, |n| n.parse().unwrap()),
                    service: self.name("service"),
                    properties: self.bytes("properties").into(),
                    body: self.message("body"),
                };
                return Some(protocol::assign(dialect, &task, put));
            }
            "answer" => {
                let answer = Answer::Reply {
                    code: self.number("code"),
                    partial: self.has("partial"),
                    ms: self.number("ms"),
                    properties: self.bytes("properties").into(),
                    body: self.message("body"),
                };
                return protocol::answer(&self.back(), &self.name("service"), &answer, None, put);
            }
            "error" => {
                let answer = Answer::Error {
                    status: match self.has("draining") {
                        true => Status::DRAINING,
                        false => Status::new(self.number("status")),
                    },
                    not_executed: self.has("not_executed"),
                    retry_after: self.millis("retry_after"),
                    text: self.text("text"),
                };
                let silence = self.find("silence").map(unhex);
                let service = self.name("service");
                return protocol::answer(&self.back(), &service, &answer, silence.as_deref(), put);
            }
            "cancel" => return protocol::cancel(dialect, self.id("token"), put),
            "complain" => Notice::Error {
                back: self.back(),
                status: Status::new(self.number("status")),
                text: self.text("text"),
            },
            "stranger" => Notice::Unknown,
            "bye" => Notice::Bye,
            "beat" => Notice::Beat {
                promise: self.millis("promise"),
            },
            "pong" => Notice::Pong {
                back: self.back(),
                capable: self.has("capable"),
            },
            "credit" => Notice::Credit(Allowance {
                token: self.id("token"),
                more: Portion {
                    messages: self.number("messages"),
                    kib: self.number("kib"),
                },
            }),
            "config" => Notice::Config(Settings {
                promise: self.millis("promise"),
                broker: self.name("broker"),
                max_message: self.number("max_message"),
                max_frames: self.number("max_frames"),
                failover: self.endpoints(),
            }),
            "change_broker" => Notice::ChangeBroker {
                back: self.back(),
                within: self.find("within").map(|_| self.millis("within")),
                endpoints: self.endpoints(),
            },
            other => panic!("what is {other}?"),
        };
        protocol::notify(dialect, &notice, put)
    }
}

fn put(pieces: &[Piece<'_>]) -> Message {
    let mut builder = Builder::default();
    for piece in pieces {
        match piece {
            Piece::Part(part) => builder.part(part),
            Piece::Parts(message) => builder.parts(message),
        }
    }
    builder.finish()
}

const ALL: [Dialect; 6] = [
    Dialect::Scale0,
    Dialect::Mdp01,
    Dialect::Mdp02,
    Dialect::Mdp02Delimited,
    Dialect::Zproto,
    Dialect::Majortomo,
];

fn read(message: &Message, kind: SocketType) -> Reading {
    protocol::read(message.clone(), kind, &Limits::default())
}

#[test]
fn every_vector_reads_as_it_says() {
    for vector in vectors().iter().filter(|vector| vector.reads) {
        let reading = read(&vector.message, vector.kind);
        assert_eq!(describe(&reading), vector.text, "{}", vector.name);
    }
}

#[test]
fn every_vector_is_written_as_it_says() {
    for vector in vectors().iter().filter(|vector| !vector.reads) {
        let item = Item(vector.text.split(' ').collect());
        assert_eq!(
            item.write(),
            Some(vector.message.clone()),
            "{}",
            vector.name
        );
    }
}

#[test]
fn a_header_that_can_be_read_is_written_back_to_the_byte() {
    let mut seen = BTreeSet::new();
    for vector in vectors() {
        for part in vector
            .message
            .parts()
            .filter(|part| part.starts_with(b"S0\x01"))
        {
            if let Ok(header) = Header::read(part, &Limits::default()) {
                assert_eq!(header.frame(), part, "{}", vector.name);
                seen.insert(header.command);
            }
        }
    }
    assert!((command::TASK..=command::CHANGEBROKER).all(|command| seen.contains(&command)));
}

#[test]
fn vectors_have_names_of_their_own() {
    let vectors = vectors();
    let names: BTreeSet<_> = vectors
        .iter()
        .map(|vector| (&vector.name, vector.reads))
        .collect();
    assert_eq!(names.len(), vectors.len());
}

// ----------------------------------------------------------------------------- what always holds

/// Frames of every kind that means something, and some that do not.
fn frame() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        4 => Just(Vec::new()),
        2 => proptest::collection::vec(any::<u8>(), 0..40),
        2 => prop::sample::select(vec![
            &b"MDPC01"[..], b"MDPW01", b"MDPC02", b"MDPW02", b"MDPC0X", b"MDPW0X", b"S0", b"S0\x01", b"\xaa\xa4", b"echo",
            b"\xaa\xa4\x01\x06MDPC02\x01\x04echo", b"\xaa\xa4\x07\x06MDPW02\x04", b"12345678",
        ]).prop_map(<[u8]>::to_vec),
        1 => (0..10u8).prop_map(|command| vec![command]),
        2 => (0..16u8, any::<[u8; 16]>(), proptest::collection::vec(any::<u8>(), 0..60)).prop_map(|(command, rest, tail)| {
            let mut frame = vec![b'S', b'0', 1, command];
            frame.extend_from_slice(&rest);
            frame.extend_from_slice(&tail);
            if let Some(name_len) = frame.get_mut(5) {
                *name_len &= 0x3f;
            }
            frame
        }),
    ]
}

fn message() -> impl Strategy<Value = Message> {
    proptest::collection::vec(frame(), 0..12).prop_map(Message::new)
}

fn kind() -> impl Strategy<Value = SocketType> {
    prop::sample::select(vec![
        SocketType::Req,
        SocketType::Dealer,
        SocketType::Router,
    ])
}

fn properties() -> impl Strategy<Value = Vec<u8>> {
    let name = "[!-~]{1,20}";
    let property = (name, proptest::collection::vec(any::<u8>(), 0..30));
    proptest::collection::vec(property, 0..=16).prop_map(|list| {
        let mut out = Vec::new();
        for (name, value) in list {
            push_property(&name, &value, &mut out);
        }
        out
    })
}

fn service() -> impl Strategy<Value = Vec<u8>> {
    "[a-z][a-z0-9.é]{0,40}".prop_map(String::into_bytes)
}

/// A routing id as libzmq makes them, or as people choose them.
fn routing_id() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        any::<[u8; 4]>().prop_map(|id| [&[0][..], &id].concat()),
        "[A-Za-z0-9 -]{1,40}".prop_map(String::into_bytes),
    ]
    .prop_filter("a header of a known language", |id| {
        !matches!(
            &id[..],
            b"MDPC01" | b"MDPW01" | b"MDPC02" | b"MDPW02" | b"MDPC0X" | b"MDPW0X"
        )
    })
}

fn back_of(reading: &Reading) -> Option<&Return> {
    match reading {
        Reading::Word(Word::Ask(ask)) => Some(&ask.back),
        Reading::Word(Word::Cancel(back) | Word::NeedBroker(back)) => Some(back),
        Reading::Word(Word::Credit(credit)) => Some(&credit.back),
        Reading::Word(Word::Ping(ping)) => Some(&ping.back),
        Reading::Refused(refusal) => Some(&refusal.back),
        _ => None,
    }
}

fn body_of(reading: &mut Reading) -> Option<&mut Message> {
    match reading {
        Reading::Word(Word::Ask(ask)) => Some(&mut ask.body),
        Reading::Word(Word::Reply(reply)) => Some(&mut reply.body),
        _ => None,
    }
}

fn properties_of(reading: &Reading) -> &[u8] {
    match reading {
        Reading::Word(Word::Ask(ask)) => &ask.properties,
        Reading::Word(Word::Reply(reply)) => &reply.properties,
        _ => &[],
    }
}

fn task(name: &[u8], properties: &[u8]) -> Vec<u8> {
    let list = Properties::read(properties, 16).unwrap();
    Header {
        name,
        properties: list,
        ..Header::of(command::TASK)
    }
    .frame()
}

proptest! {
    #[test]
    fn any_message_has_a_reading_that_keeps_to_the_bounds(message in message(), kind in kind()) {
        let limits = Limits::default();
        let mut reading = read(&message, kind);
        if let Some(back) = back_of(&reading) {
            let envelope: Vec<_> = back.envelope.parts().collect();
            prop_assert!(envelope.len() <= limits.envelope);
            prop_assert_eq!(envelope.iter().position(|part| part.is_empty()), envelope.len().checked_sub(1));
            prop_assert!(message.parts().zip(&envelope).all(|(a, b)| a == *b), "it stands in front of the message");
            prop_assert!(!back.whole || !envelope.is_empty());
        }
        prop_assert!(Properties::read(properties_of(&reading), limits.properties).unwrap().find("user").is_none());
        if let Some(body) = body_of(&mut reading) {
            prop_assert!(message.wire().ends_with(body.wire()), "the body is the end of the message, untouched");
        }
    }

    #[test]
    fn a_vector_with_a_byte_changed_has_a_reading(n in any::<prop::sample::Index>(), at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let vectors = ALL_VECTORS.with(|vectors| vectors.clone());
        let vector = n.get(&vectors);
        let mut parts: Vec<Vec<u8>> = vector.message.parts().map(<[u8]>::to_vec).collect();
        let full: Vec<usize> = (0..parts.len()).filter(|n| !parts[*n].is_empty()).collect();
        if let Some(part) = full.first().map(|_| *at.get(&full)) {
            let place = at.index(parts[part].len());
            parts[part][place] = byte;
        }
        let _ = describe(&read(&Message::new(parts), vector.kind));
    }

    #[test]
    fn a_header_is_read_as_it_was_written(
        fields in any::<(u8, u8, u16, u32, [u8; 8])>(),
        name in proptest::collection::vec(any::<u8>(), 0..=255),
        list in properties(),
    ) {
        let (command, flags, code, ms, id) = fields;
        let properties = Properties::read(&list, 16).unwrap();
        let header = Header { command, flags, code, ms, id: Id(id), name: &name, properties };
        let frame = header.frame();
        prop_assert_eq!(Header::read(&frame, &Limits::default()), Ok(header));
    }

    #[test]
    fn a_header_cut_anywhere_is_refused(name in service(), list in properties()) {
        let frame = task(&name, &list);
        let mut ends = BTreeSet::from([20 + name.len()]);
        for (key, value) in Properties::read(&list, 16).unwrap().iter() {
            ends.insert(ends.last().unwrap() + 5 + key.len() + value.len());
        }
        for cut in 0..frame.len() {
            let reading = read(&Message::single(&frame[..cut]), SocketType::Dealer);
            let word = matches!(reading, Reading::Word(_));
            prop_assert_eq!(word, ends.contains(&cut), "cut at {}: {:?}", cut, reading);
        }
    }

    #[test]
    fn nobody_but_the_broker_says_user(before in properties(), case in any::<u8>(), value in any::<[u8; 3]>(), reply in any::<bool>()) {
        let before_count = Properties::read(&before, 16).unwrap().iter().count();
        prop_assume!(before_count < 16 && Properties::read(&before, 16).unwrap().find("user").is_none());
        let user: String = "user".chars().enumerate()
            .map(|(n, c)| if case >> n & 1 == 1 { c.to_ascii_uppercase() } else { c }).collect();
        let mut list = Vec::new();
        push_property(&user, &value, &mut list);
        list.extend_from_slice(&before);
        let header = Header {
            command: if reply { command::REPLY } else { command::TASK },
            name: b"echo",
            properties: Properties::read(&list, 16).unwrap(),
            ..Header::default()
        };
        let reading = read(&Message::single(&header.frame()), SocketType::Dealer);
        prop_assert_eq!(properties_of(&reading), &before[..]);
    }

    #[test]
    fn no_body_byte_changes_what_a_message_is(n in any::<prop::sample::Index>(), body in proptest::collection::vec(frame(), 0..6)) {
        let vectors: Vec<_> = ALL_VECTORS.with(|vectors| vectors.clone()).into_iter()
            .filter(|vector| body_of(&mut read(&vector.message, vector.kind)).is_some()).collect();
        let vector = n.get(&vectors);
        let mut expected = read(&vector.message, vector.kind);
        let place = body_of(&mut expected).unwrap();
        let head = vector.message.count() - place.count();
        *place = Message::new(&body);
        let changed = vector.message.parts().take(head).map(<[u8]>::to_vec).chain(body).collect();
        prop_assert_eq!(read(&changed, vector.kind), expected);
    }

    #[test]
    fn a_proxy_in_between_changes_nothing_but_the_envelope(
        n in any::<prop::sample::Index>(),
        ids in proptest::collection::vec(routing_id(), 1..=3),
    ) {
        // What has an envelope already, and room for more of it.
        let vectors: Vec<_> = ALL_VECTORS.with(|vectors| vectors.clone()).into_iter()
            .filter(|vector| back_of(&read(&vector.message, vector.kind)).is_some_and(|back| {
                !back.envelope.is_empty() && back.envelope.count() <= 5
            }))
            .collect();
        let vector = n.get(&vectors);
        let mut expected = read(&vector.message, vector.kind);
        let longer = |message: &Message| -> Message {
            ids.iter().map(Vec::as_slice).chain(message.parts()).map(<[u8]>::to_vec).collect()
        };
        match &mut expected {
            Reading::Word(Word::Ask(ask)) => (ask.back.envelope, ask.back.whole) = (longer(&ask.back.envelope), true),
            Reading::Word(Word::Cancel(back) | Word::NeedBroker(back)) => {
                (back.envelope, back.whole) = (longer(&back.envelope), true);
            }
            Reading::Word(Word::Credit(credit)) => {
                (credit.back.envelope, credit.back.whole) = (longer(&credit.back.envelope), true);
            }
            Reading::Word(Word::Ping(ping)) => ping.back.envelope = longer(&ping.back.envelope),
            Reading::Refused(refusal) => refusal.back.envelope = longer(&refusal.back.envelope),
            _ => unreachable!(),
        }
        prop_assert_eq!(read(&longer(&vector.message), SocketType::Dealer), expected);
    }

    #[test]
    fn an_answer_goes_back_through_the_same_envelope(message in message(), kind in kind(), body in message()) {
        let reading = read(&message, kind);
        let Reading::Word(Word::Ask(ask)) = &reading else { return Ok(()); };
        let answer = Answer::Reply { code: 200, partial: false, ms: 0, properties: b""[..].into(), body: body.clone() };
        let written = protocol::answer(&ask.back, &ask.service, &answer, None, put).unwrap();
        prop_assert!(written.parts().zip(ask.back.envelope.parts()).all(|(a, b)| a == b));
        let body = if body.is_empty() && ask.back.dialect.is_majordomo() { Message::single(b"") } else { body };
        prop_assert!(written.wire().ends_with(body.wire()));
    }

    #[test]
    fn a_token_comes_back_from_workers_of_every_dialect(token in any::<[u8; 8]>(), body in message(), n in 0..5_usize) {
        // The last is one of clients only.
        let dialect = ALL[n];
        let assignment = Assignment {
            token: Id(token),
            attempt: 1,
            ttl: Duration::from_secs(1),
            idempotent: false,
            oneway: false,
            priority: 4,
            service: Name::from("echo"),
            properties: b""[..].into(),
            body: body.clone(),
        };
        // Each worker as it is commonly written: the frames of the task, with another head.
        let task = protocol::assign(dialect, &assignment, put);
        let mut parts: Vec<Vec<u8>> = task.parts().map(<[u8]>::to_vec).collect();
        match dialect {
            Dialect::Scale0 => parts[0] = Header { id: Id(token), code: 200, ..Header::of(command::REPLY) }.frame(),
            Dialect::Mdp01 => parts[2] = vec![3],
            Dialect::Mdp02 => parts[1] = vec![4],
            Dialect::Mdp02Delimited | Dialect::Majortomo => parts[2] = vec![4],
            Dialect::Zproto => parts[0] = b"\xaa\xa4\x07\x06MDPW02\x04".to_vec(),
        }
        let reading = read(&Message::new(parts), SocketType::Dealer);
        let Reading::Word(Word::Reply(reply)) = reading else { panic!("{reading:?}") };
        let body = if body.is_empty() && dialect.is_majordomo() { Message::single(b"") } else { body };
        prop_assert_eq!((reply.token, reply.dialect, reply.body), (Id(token), dialect, body));
    }
}

thread_local! {
    static ALL_VECTORS: Vec<Vector> = vectors();
}

#[test]
fn the_bounds_of_a_header_are_the_limits() {
    let limits = Limits {
        header: 40,
        properties: 1,
        envelope: 2,
        services_per_worker: 1,
        ..Limits::default()
    };
    let read = |message: Message| protocol::read(message, SocketType::Dealer, &limits);
    assert!(Header::read(&task(&[b'n'; 20], b""), &limits).is_ok());
    assert_eq!(
        Header::read(&task(&[b'n'; 21], b""), &limits),
        Err(HeaderError::Long { len: 41, limit: 40 })
    );
    let one = b"\x01a\0\0\0\0";
    assert!(Header::read(&task(b"n", one), &limits).is_ok());
    assert!(Header::read(&task(b"n", &one.repeat(2)), &limits).is_err());

    let header = task(b"n", b"");
    let two = Message::new([&b"\0"[..], b"", &header]);
    assert!(matches!(read(two), Reading::Word(Word::Ask(_))));
    let three = Message::new([&b"\0"[..], b"\0", b"", &header]);
    assert_eq!(read(three), Reading::Unknown { proxied: true });

    let connect = Header::of(command::CONNECT).frame();
    assert!(matches!(
        read(Message::new([&connect[..], b"a"])),
        Reading::Word(_)
    ));
    let Reading::Refused(refusal) = read(Message::new([&connect[..], b"a", b"b"])) else {
        panic!("two services");
    };
    assert_eq!(refusal.status, Status::TOO_LARGE);
    assert!(refusal.text.contains('b'), "{}", refusal.text);
}

#[test]
fn majordomo_is_silent_where_it_has_no_word() {
    let answer = Answer::Error {
        status: Status::NO_SERVICE,
        not_executed: true,
        retry_after: Duration::ZERO,
        text: "no".to_owned(),
    };
    for dialect in ALL.into_iter().filter(|dialect| dialect.is_majordomo()) {
        let back = Return {
            dialect,
            envelope: Message::default(),
            id: Id::ZERO,
            whole: false,
        };
        let config = Settings {
            promise: Duration::ZERO,
            broker: Name::default(),
            max_message: 0,
            max_frames: 0,
            failover: Vec::new(),
        };
        assert_eq!(
            protocol::answer(&back, &Name::from("echo"), &answer, None, put),
            None
        );
        assert_eq!(protocol::cancel(dialect, Id([1; 8]), put), None);
        for notice in [
            Notice::Config(config),
            Notice::Pong {
                back: back.clone(),
                capable: true,
            },
            Notice::Credit(Allowance {
                token: Id([1; 8]),
                more: Portion {
                    messages: 1,
                    kib: 1,
                },
            }),
            Notice::ChangeBroker {
                back: back.clone(),
                within: None,
                endpoints: Vec::new(),
            },
            Notice::Error {
                back,
                status: Status::MALFORMED,
                text: String::new(),
            },
        ] {
            assert_eq!(protocol::notify(dialect, &notice, put), None, "{notice:?}");
        }
    }
}

#[test]
fn every_status_has_a_word_of_its_own() {
    let codes = [
        200, 400, 404, 408, 409, 413, 426, 429, 444, 499, 501, 502, 503, 504,
    ];
    let words: BTreeSet<_> = codes.map(|code| Status::new(code).word()).into();
    assert_eq!(words.len(), codes.len());
    assert!(!words.contains("error"), "the word of what is not known");
    assert_eq!(Status::new(599).word(), "error");
}

// ------------------------------------------------------------- messages in, messages out

/// A broker that hears messages and says messages, at times that the test names.
struct Table {
    broker: Broker,
    now: Time,
}

const ONE: PeerId = PeerId {
    place: 0,
    generation: 0,
};

impl Table {
    fn new() -> Self {
        Self {
            broker: Broker::new(Config::default(), [7; 32]),
            now: Time::ZERO,
        }
    }

    /// What is said to the peer, and whether it is closed.
    fn hear(&mut self, frames: &[&[u8]]) -> (Vec<Message>, bool) {
        let reading = read(&Message::new(frames), SocketType::Dealer);
        self.handle(Event::Heard { peer: ONE, reading })
    }

    fn handle(&mut self, event: Event) -> (Vec<Message>, bool) {
        let mut actions = Vec::new();
        self.broker.handle(self.now, event, &mut actions);
        let mut closed = false;
        let mut said = Vec::new();
        for action in actions {
            match action {
                Action::Answer {
                    back,
                    service,
                    answer,
                    ..
                } => said.extend(protocol::answer(&back, &service, &answer, None, put)),
                Action::Tell {
                    dialect, notice, ..
                } => said.extend(protocol::notify(dialect, &notice, put)),
                Action::Assign { dialect, task, .. } => {
                    said.push(protocol::assign(dialect, &task, put));
                }
                Action::Close { .. } => closed = true,
                _ => {}
            }
        }
        (said, closed)
    }

    fn capacity(&self) -> usize {
        self.broker.snapshot().workers[0].capacity
    }
}

fn ids(said: &[Message]) -> Vec<(u8, u16, [u8; 8])> {
    let limits = Limits::default();
    let header = |message: &Message| {
        let frame = message
            .parts()
            .find(|part| part.starts_with(b"S0"))
            .unwrap();
        let header = Header::read(frame, &limits).unwrap();
        (header.command, header.code, header.id.0)
    };
    said.iter().map(header).collect()
}

fn connect(capacity: u16) -> Vec<u8> {
    Header {
        code: capacity,
        ..Header::of(command::CONNECT)
    }
    .frame()
}

#[test]
fn a_malformed_task_gets_one_answer_even_where_it_closes_the_connection() {
    let mut table = Table::new();
    let id = *b"00000001";
    let bad = Header {
        id: Id(id),
        name: b"no name",
        ..Header::of(command::TASK)
    }
    .frame();
    for _ in 0..2 {
        let (said, closed) = table.hear(&[&bad]);
        assert_eq!(
            (ids(&said), closed),
            (vec![(command::ERROR, 400, id)], false)
        );
    }
    let (said, closed) = table.hear(&[&bad]);
    let expected = vec![(command::ERROR, 400, id), (command::ERROR, 444, [0; 8])];
    assert_eq!((ids(&said), closed), (expected, true));
}

#[test]
fn a_ping_behind_an_envelope_is_answered_and_binds_nobody_else() {
    let mut table = Table::new();
    let ping = Header {
        ms: 1000,
        ..Header::of(command::PING)
    }
    .frame();
    let (said, _) = table.hear(&[b"client", b"", &ping]);
    assert_eq!(
        said,
        [Message::new([
            &b"client"[..],
            b"",
            &Header::of(command::PONG).frame()
        ])]
    );
    assert_eq!(
        table.broker.deadline(),
        None,
        "the connection promised nothing"
    );

    // From a worker of its own it is a promise.
    let (said, _) = table.hear(&[&ping]);
    assert_eq!(
        said.len(),
        2,
        "PONG, and CONNECT: who beats like a worker should be one"
    );
    assert!(table.broker.deadline().is_some());
}

#[test]
fn of_announcements_that_come_too_fast_the_newest_counts() {
    let mut table = Table::new();
    table.hear(&[&connect(4), b"echo"]);
    table.hear(&[&connect(9), b"echo"]);
    table.hear(&[&connect(4), b"echo"]);
    table.now = Time::from_millis(200);
    table.handle(Event::Woke);
    assert_eq!(table.capacity(), 4, "the first and the last are the same");

    // A PING that comes after an announcement is newer than it.
    table.now = Time::from_millis(400);
    table.hear(&[&connect(5), b"echo"]);
    table.hear(&[&connect(9), b"echo"]);
    let pause = Header {
        flags: flag::CAP,
        ..Header::of(command::PING)
    }
    .frame();
    table.hear(&[&pause]);
    assert_eq!(table.capacity(), 0);
    table.now = Time::from_millis(600);
    table.handle(Event::Woke);
    assert_eq!(table.capacity(), 0, "it paused");
}

#[test]
fn a_majordomo_worker_takes_one_task_at_a_time_whatever_it_says() {
    let mut table = Table::new();
    table.hear(&[b"", b"MDPW01", &[1], b"echo"]);
    let more = Header {
        code: 9,
        flags: flag::CAP,
        ..Header::of(command::PING)
    }
    .frame();
    table.hear(&[&more]);
    assert_eq!(table.capacity(), 1);
}
