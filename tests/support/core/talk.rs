//! A broker among people with names. What goes in is a call, what comes out a line for each thing
//! said, so that a test reads as a conversation. Every talk is checked against all promises.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use scale0::broker::{Action, Config, Counters, Event, PeerId, Query, Snapshot};
use scale0::protocol::{
    Allowance, Announcement, Answer, Ask, Credit, Dialect, Id, Name, Notice, Offer, Ping, Portion,
    Reading, Refusal, Reply, Return, Status, Wants, Word,
};
use scale0::security::User;
use scale0::wire::{Endpoint, Message, push_property};

use super::rights::rules;
use super::{Rig, Turn, back, peer, transcript};

/// Named peers and their broker.
pub(crate) struct Talk {
    rig: Rig,
    names: Vec<&'static str>,
    generations: BTreeMap<&'static str, u32>,
    /// The newest token for a task, by its body.
    tokens: BTreeMap<String, Id>,
    /// Beats are told as well.
    pub(crate) beats: bool,
}

/// Nothing was said.
pub(crate) const SILENCE: [&str; 0] = [];

/// A task as a client asks for it; its body is its name.
pub(crate) fn task(body: &str, service: &str) -> Ask {
    Ask {
        back: back(Dialect::Scale0, 0),
        service: Name::from(service),
        ttl: Duration::ZERO,
        idempotent: false,
        wants: Wants::Answer,
        priority: 4,
        properties: Bytes::new(),
        body: Message::from(body),
    }
}

/// The same of which nobody wants the result.
pub(crate) fn oneway(n: u64, body: &str, service: &str) -> Ask {
    Ask {
        wants: Wants::Receipt,
        ..numbered(n, body, service)
    }
}

/// The same of which nobody wants to hear anything.
pub(crate) fn quiet(n: u64, body: &str, service: &str) -> Ask {
    Ask {
        wants: Wants::Nothing,
        ..numbered(n, body, service)
    }
}

/// The same with a number.
pub(crate) fn numbered(n: u64, body: &str, service: &str) -> Ask {
    Ask {
        back: back(Dialect::Scale0, n),
        ..task(body, service)
    }
}

/// The same that may be started again.
pub(crate) fn repeatable(body: &str, service: &str) -> Ask {
    Ask {
        idempotent: true,
        ..task(body, service)
    }
}

/// The same with so long to live.
pub(crate) fn brief(ttl: Duration, body: &str, service: &str) -> Ask {
    Ask {
        ttl,
        ..task(body, service)
    }
}

/// The same in a Majordomo dialect.
pub(crate) fn majordomo(dialect: Dialect, body: &str, service: &str) -> Ask {
    Ask {
        back: back(dialect, 0),
        ..task(body, service)
    }
}

/// The same with a property `Key`.
pub(crate) fn keyed(key: &str, body: &str, service: &str) -> Ask {
    let mut properties = Vec::new();
    push_property("Key", key.as_bytes(), &mut properties);
    Ask {
        properties: properties.into(),
        ..task(body, service)
    }
}

/// What an S0 worker announces: services with their attributes, split by spaces.
pub(crate) fn offers(services: &str, capacity: u16) -> Announcement {
    let offer = |text: &str| {
        let mut fields = text.split(';');
        let name = Name::from(fields.next().unwrap());
        Offer::with_attributes(name, fields.map(str::as_bytes)).unwrap()
    };
    Announcement {
        dialect: Dialect::Scale0,
        name: Name::default(),
        capacity,
        promise: Some(Duration::ZERO),
        deep: false,
        credit: false,
        offers: services.split_whitespace().map(offer).collect(),
    }
}

/// The same of one that counts credit.
pub(crate) fn counting(services: &str, capacity: u16) -> Announcement {
    Announcement {
        credit: true,
        ..offers(services, capacity)
    }
}

/// What a Majordomo worker announces.
pub(crate) fn ready(dialect: Dialect, service: &str) -> Announcement {
    Announcement {
        dialect,
        promise: None,
        ..offers(&format!("{service};idempotent"), 1)
    }
}

/// What a client says that understands what it did not ask for.
pub(crate) fn capable() -> Ping {
    Ping {
        capable: true,
        ..ping(Duration::ZERO)
    }
}

pub(crate) fn ping(promise: Duration) -> Ping {
    Ping {
        back: back(Dialect::Scale0, 0),
        promise,
        capacity: None,
        capable: false,
        credit: false,
    }
}

impl Talk {
    pub(crate) fn new() -> Self {
        Self::with(|_| {})
    }

    pub(crate) fn with(set: impl FnOnce(&mut Config)) -> Self {
        let mut config = Config::default();
        set(&mut config);
        Self {
            rig: Rig::new(config),
            names: Vec::new(),
            generations: BTreeMap::new(),
            tokens: BTreeMap::new(),
            beats: false,
        }
    }

    /// Who that is: the name's place is given at its first mention.
    pub(crate) fn id(&mut self, name: &'static str) -> PeerId {
        let place = self.names.iter().position(|known| *known == name);
        let place = place.unwrap_or_else(|| {
            self.names.push(name);
            self.names.len() - 1
        });
        PeerId {
            generation: self.generations.get(name).copied().unwrap_or(0),
            ..peer(place as u32)
        }
    }

    /// The next connection in this one's place goes by the same name.
    pub(crate) fn reborn(&mut self, name: &'static str) {
        *self.generations.entry(name).or_default() += 1;
    }

    pub(crate) fn asks(&mut self, who: &'static str, ask: Ask) -> Vec<String> {
        self.says(who, Word::Ask(ask))
    }

    pub(crate) fn cancels(&mut self, who: &'static str, n: u64) -> Vec<String> {
        self.says(who, Word::Cancel(back(Dialect::Scale0, n)))
    }

    pub(crate) fn announces(&mut self, who: &'static str, what: Announcement) -> Vec<String> {
        self.says(who, Word::Announce(what))
    }

    /// The final reply to the newest attempt of the task with this body.
    pub(crate) fn replies(&mut self, who: &'static str, to: &str, body: &str) -> Vec<String> {
        let token = self.token(to);
        self.says(who, Word::Reply(reply(token, body)))
    }

    /// A final reply with this code.
    pub(crate) fn fails(&mut self, who: &'static str, to: &str, code: u16) -> Vec<String> {
        let failed = Reply {
            code,
            ..reply(self.token(to), "")
        };
        self.says(who, Word::Reply(failed))
    }

    /// The worker gives the newest attempt of the task with this body back, for another.
    pub(crate) fn refuses(&mut self, who: &'static str, to: &str) -> Vec<String> {
        let refusal = Reply {
            code: 503,
            refuses: true,
            ..reply(self.token(to), "")
        };
        self.says(who, Word::Reply(refusal))
    }

    /// An operator sets something of a service.
    pub(crate) fn sets(&mut self, who: &'static str, service: &str, what: &[&str]) -> Vec<String> {
        let parts = std::iter::once(&service).chain(what);
        let ask = Ask {
            body: Message::new(parts),
            ..task("", "s0.set")
        };
        self.asks(who, ask)
    }

    /// A partial reply.
    pub(crate) fn streams(&mut self, who: &'static str, to: &str, body: &str) -> Vec<String> {
        let partial = Reply {
            partial: true,
            ..reply(self.token(to), body)
        };
        self.says(who, Word::Reply(partial))
    }

    /// So many parts in a row, all alike.
    pub(crate) fn bursts(
        &mut self,
        who: &'static str,
        to: &str,
        parts: usize,
        body: &str,
    ) -> Vec<String> {
        (0..parts)
            .flat_map(|_| self.streams(who, to, body))
            .collect()
    }

    /// A part that only shows progress.
    pub(crate) fn progresses(&mut self, who: &'static str, to: &str, body: &str) -> Vec<String> {
        let progress = Reply {
            partial: true,
            code: 102,
            ..reply(self.token(to), body)
        };
        self.says(who, Word::Reply(progress))
    }

    /// A client says that it counts credit.
    pub(crate) fn counts(&mut self, who: &'static str) -> Vec<String> {
        let introduction = Ping {
            capable: true,
            credit: true,
            ..ping(Duration::ZERO)
        };
        self.pings(who, introduction)
    }

    /// It takes more of the reply to its task of this number.
    pub(crate) fn credits(
        &mut self,
        who: &'static str,
        n: u64,
        messages: u16,
        kib: u32,
    ) -> Vec<String> {
        let back = back(Dialect::Scale0, n);
        let more = Portion { messages, kib };
        self.says(who, Word::Credit(Credit { back, more }))
    }

    pub(crate) fn pings(&mut self, who: &'static str, ping: Ping) -> Vec<String> {
        self.says(who, Word::Ping(ping))
    }

    pub(crate) fn beat(&mut self, who: &'static str, dialect: Dialect) -> Vec<String> {
        self.says(who, Word::Beat(dialect))
    }

    pub(crate) fn bye(&mut self, who: &'static str) -> Vec<String> {
        self.says(who, Word::Bye(Dialect::Scale0))
    }

    pub(crate) fn says(&mut self, who: &'static str, word: Word) -> Vec<String> {
        self.hears(who, Reading::Word(word))
    }

    /// Something that S0 knows but does not allow.
    pub(crate) fn blunders(&mut self, who: &'static str, back: Return, task: bool) -> Vec<String> {
        let refusal = Refusal {
            back,
            status: Status::MALFORMED,
            text: "no header".to_owned(),
            task,
        };
        self.hears(who, Reading::Refused(refusal))
    }

    pub(crate) fn hears(&mut self, who: &'static str, reading: Reading) -> Vec<String> {
        let peer = self.id(who);
        self.turn(Event::Heard { peer, reading })
    }

    /// A connection opens, of the user of this name.
    pub(crate) fn opens(&mut self, who: &'static str, user: User) -> Vec<String> {
        let peer = self.id(who);
        let (user, local) = (Some(user), false);
        self.turn(Event::Opened { peer, user, local })
    }

    /// A connection opens from the broker's own machine.
    pub(crate) fn opens_here(&mut self, who: &'static str) -> Vec<String> {
        let peer = self.id(who);
        let (user, local) = (None, true);
        self.turn(Event::Opened { peer, user, local })
    }

    pub(crate) fn needs_broker(&mut self, who: &'static str, n: u64) -> Vec<String> {
        self.says(who, Word::NeedBroker(back(Dialect::Scale0, n)))
    }

    /// Other rules hold; see [`rules`].
    pub(crate) fn rules(&mut self, lines: &str) -> Vec<String> {
        let access = Some(Arc::new(rules(lines)));
        self.turn(Event::Access { access })
    }

    pub(crate) fn loses(&mut self, who: &'static str) -> Vec<String> {
        let peer = self.id(who);
        self.turn(Event::Lost { peer })
    }

    pub(crate) fn full(&mut self, who: &'static str, full: bool) -> Vec<String> {
        let peer = self.id(who);
        self.turn(Event::Full { peer, full })
    }

    pub(crate) fn sign(&mut self, who: &'static str) -> Vec<String> {
        let peer = self.id(who);
        self.turn(Event::Sign { peer })
    }

    pub(crate) fn drains(&mut self, limit: Duration) -> Vec<String> {
        self.turn(Event::Drain { limit })
    }

    pub(crate) fn outside(&mut self, bytes: usize) {
        self.rig.set_outside(bytes);
    }

    /// Time passes; the broker is woken whenever it wants to be.
    pub(crate) fn wait(&mut self, span: Duration) -> Vec<String> {
        let end = self.rig.now + span;
        let mut said = Vec::new();
        while let Some(at) = self.rig.broker.deadline()
            && at <= end
        {
            self.rig.now = self.rig.now.max(at);
            said.extend(self.turn(Event::Woke));
        }
        self.rig.now = end;
        said
    }

    pub(crate) fn wait_ms(&mut self, ms: u64) -> Vec<String> {
        self.wait(Duration::from_millis(ms))
    }

    pub(crate) fn turn(&mut self, event: Event) -> Vec<String> {
        let actions = match self.rig.turn(event) {
            Ok(actions) => actions,
            Err(broken) => panic!("{broken:?}\n{}", transcript(&self.rig.turns)),
        };
        actions
            .iter()
            .filter_map(|action| self.line(action))
            .collect()
    }

    pub(crate) fn token(&self, body: &str) -> Id {
        self.tokens[body]
    }

    pub(crate) fn snapshot(&self) -> Snapshot {
        self.rig.broker.snapshot()
    }

    /// Bytes of all tasks.
    pub(crate) fn held(&self) -> usize {
        self.snapshot().held
    }

    pub(crate) fn counters(&self) -> Counters {
        self.snapshot().counters
    }

    /// The history so far and the configuration it was made under.
    pub(crate) fn into_history(self) -> (Config, Vec<Turn>) {
        (self.rig.config, self.rig.turns)
    }

    fn line(&mut self, action: &Action) -> Option<String> {
        let name = |peer: &PeerId| self.names[peer.place as usize];
        Some(match action {
            Action::Assign { peer, task, .. } => {
                let body = text(&task.body);
                let line = format!("{}: TASK {} {body}", name(peer), task.service);
                self.tokens.insert(body, task.token);
                match task.attempt {
                    1 => line,
                    n => format!("{line}, attempt {n}"),
                }
            }
            Action::Answer {
                peer, back, answer, ..
            } => {
                let number = match back.id {
                    Id::ZERO => String::new(),
                    Id(bytes) => format!("#{} ", u64::from_be_bytes(bytes)),
                };
                format!("{}: {number}{}", name(peer), spoken(answer))
            }
            Action::Cancel { peer, token, .. } => {
                let of = self.tokens.iter().find(|(_, known)| *known == token);
                format!(
                    "{}: CANCEL {}",
                    name(peer),
                    of.map_or("?", |(body, _)| body)
                )
            }
            Action::Tell { peer, notice, .. } => {
                let notice = match notice {
                    Notice::Unknown => "who are you?".to_owned(),
                    Notice::Config(_) => "CONFIG".to_owned(),
                    Notice::Beat { .. } if self.beats => "beat".to_owned(),
                    Notice::Beat { .. } => return None,
                    Notice::Pong { .. } => "PONG".to_owned(),
                    Notice::Credit(Allowance { token, more }) => {
                        let of = self.tokens.iter().find(|(_, known)| *known == token);
                        let of = of.map_or("?", |(body, _)| body);
                        format!("CREDIT {of} {} {}", more.messages, more.kib)
                    }
                    Notice::ChangeBroker {
                        back,
                        within,
                        endpoints,
                    } => moving(back, *within, endpoints),
                    Notice::Error { status, .. } => format!("ERROR {}", status.code()),
                    Notice::Bye => "BYE".to_owned(),
                };
                format!("{}: {notice}", name(peer))
            }
            Action::Query { peer, query, .. } => {
                let query = match query {
                    Query::Info => "info",
                    Query::Services => "services",
                    Query::Workers => "workers",
                    Query::Queues => "queues",
                    Query::Drain => "drain",
                };
                format!("{}: (the {query})", name(peer))
            }
            Action::Gauge { peer } => format!("gauge {}", name(peer)),
            Action::Hold { peer, on: true } => format!("hold {}", name(peer)),
            Action::Hold { peer, .. } => format!("read {}", name(peer)),
            Action::Close { peer } => format!("close {}", name(peer)),
            Action::Drained { .. } => "drained".to_owned(),
            Action::Watch { .. } | Action::Note(_) => return None,
        })
    }
}

fn moving(back: &Return, within: Option<Duration>, endpoints: &[Endpoint]) -> String {
    let number = match back.id {
        Id::ZERO => String::new(),
        Id(bytes) => format!("#{} ", u64::from_be_bytes(bytes)),
    };
    let others: Vec<String> = endpoints.iter().map(Endpoint::to_string).collect();
    match within {
        Some(within) => format!("{number}go within {within:?} to {}", others.join(" ")),
        None => format!("{number}there are [{}]", others.join(" ")),
    }
}

fn reply(token: Id, body: &str) -> Reply {
    Reply {
        dialect: Dialect::Scale0,
        token,
        code: 200,
        partial: false,
        refuses: false,
        ms: 0,
        properties: Bytes::new(),
        body: Message::from(body),
    }
}

fn spoken(answer: &Answer) -> String {
    match answer {
        Answer::Reply {
            code,
            partial,
            body,
            ..
        } => {
            let more = if *partial { "+" } else { "" };
            format!("{code}{more} {}", text(body))
        }
        Answer::Error {
            status,
            not_executed,
            retry_after,
            ..
        } => {
            let mut line = status.code().to_string();
            if *not_executed {
                line += " not executed";
            }
            if !retry_after.is_zero() {
                line += &format!(", again in {retry_after:?}");
            }
            line
        }
    }
}

fn text(body: &Message) -> String {
    let parts: Vec<_> = body.parts().map(String::from_utf8_lossy).collect();
    parts.join("|")
}
