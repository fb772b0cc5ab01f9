//! The broker against a small model, over any history of its peers: every task gets exactly one
//! final answer, nothing is said to who is gone, no worker gets more than it can hold, deadlines
//! lie ahead, no worker gets what no rule lets it have, and at the end nothing is held.
#![cfg_attr(fuzzing, no_main)]

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use scale0::broker::{Access, Action, Broker, Config, Event, PeerId, Right, Rule, Who, Wildcard};
use scale0::limits::Limits;
use scale0::protocol::{
    Announcement, Answer, Ask, Credit, Dialect, Id, Name, Offer, Ping, Portion, Reading, Refusal,
    Reply, Return, Status, Wants, Word,
};
use scale0::security::User;
use scale0::time::Time;
use scale0::wire::Message;

pub fn run(data: &[u8]) {
    let mut model = Model::new();
    let mut bytes = Script(data);
    while !bytes.0.is_empty() {
        model.step(&mut bytes);
    }
    model.settle();
}

/// Reads past its end as zeros.
struct Script<'a>(&'a [u8]);

impl Script<'_> {
    fn next(&mut self) -> u8 {
        let (first, rest) = self.0.split_first().unwrap_or((&0, &[]));
        self.0 = rest;
        *first
    }
}

/// What names a task to its client: connection and id.
type Key = (PeerId, Id);

struct Model {
    broker: Broker,
    now: Time,
    generations: [u32; PEERS],
    met: BTreeSet<PeerId>,
    /// Who is somebody.
    known: BTreeSet<PeerId>,
    access: Option<std::sync::Arc<Access>>,
    closed: BTreeSet<PeerId>,
    held_back: BTreeSet<PeerId>,
    /// Tasks without a final answer.
    open: BTreeMap<Key, u32>,
    /// Attempts that were given out, and to whom.
    tokens: Vec<(PeerId, Id)>,
    drained: bool,
}

impl Model {
    fn new() -> Self {
        let limits = Limits {
            queue_tasks: 4,
            queue_bytes: 4096,
            client_tasks: 6,
            worker_tasks: 3,
            held: 16 << 10,
            message: 2048,
            services: 3,
            awaited_names: 2,
            ..Limits::default()
        };
        let config = Config {
            limits,
            ..Config::default()
        };
        Self {
            broker: Broker::new(config, [7; 32]),
            now: Time::ZERO,
            generations: [0; PEERS],
            met: BTreeSet::new(),
            known: BTreeSet::new(),
            access: None,
            closed: BTreeSet::new(),
            held_back: BTreeSet::new(),
            open: BTreeMap::new(),
            tokens: Vec::new(),
            drained: false,
        }
    }

    fn step(&mut self, bytes: &mut Script<'_>) {
        let what = bytes.next();
        let place = usize::from(bytes.next()) % PEERS;
        let peer = self.peer(place);
        let heard = matches!(what % 16, 0..=8 | 13 | 14);
        if heard && !self.is_read(peer) {
            return;
        }
        match what % 16 {
            0 | 1 => self.ask(peer, bytes),
            2 => self.announce(peer, bytes),
            3..=5 => self.reply(peer, bytes),
            6 => {
                let id = Id([bytes.next() % 4; 8]);
                self.hear(peer, Word::Cancel(numbered(id)));
            }
            7 => self.ping(peer, bytes),
            8 => {
                self.forget_client(peer);
                self.hear(peer, Word::Bye(Dialect::Scale0));
            }
            9 => self.lose(place),
            10 => self.wait(Duration::from_millis(u64::from(bytes.next()) * 20)),
            11 => self.wait_for_deadline(),
            12 => {
                let full = bytes.next() & 1 == 1;
                self.handle(Event::Full { peer, full });
            }
            13 => self.garbage(peer, bytes.next()),
            14 => self.hear(peer, Word::Beat(Dialect::Scale0)),
            _ => match bytes.next() {
                0 => self.handle(Event::Drain {
                    limit: Duration::from_secs(5),
                }),
                1 => self.rules(bytes),
                2 => self.open(peer, bytes.next()),
                3 => self.credit(peer, bytes),
                _ => self.handle(Event::Sign { peer }),
            },
        }
    }

    /// Rules, or none, for who is somebody and who is not, by a bit for each service.
    fn rules(&mut self, bytes: &mut Script<'_>) {
        let patterns = |set: u8| {
            let named = (0..SERVICES).filter(|n| set & 1 << n != 0);
            named
                .map(|n| Wildcard::parse(&service(n).to_string()).expect("a name"))
                .collect()
        };
        let rules = [Who::Name("ann".into()), Who::Anonymous].map(|who| {
            let set = bytes.next();
            Rule {
                who: vec![who],
                offer: patterns(set),
                call: patterns(set >> 4),
                administer: Vec::new(),
            }
        });
        let on = bytes.next() & 3 != 0;
        let access = on.then(|| std::sync::Arc::new(Access::new(rules.into())));
        self.access.clone_from(&access);
        self.handle(Event::Access { access });
    }

    /// A connection opens, if it has said nothing yet.
    fn open(&mut self, peer: PeerId, who: u8) {
        if self.met.contains(&peer) {
            return;
        }
        let user = (who & 1 == 1).then(|| User {
            name: "ann".into(),
            key: None,
        });
        if user.is_some() {
            self.known.insert(peer);
        } else {
            self.known.remove(&peer);
        }
        let local = peer.place == 0;
        self.handle(Event::Opened { peer, user, local });
    }

    /// By the rules that hold now.
    fn may(&self, peer: PeerId, right: Right, service: &Name) -> bool {
        let ann = User {
            name: "ann".into(),
            key: None,
        };
        let user = self.known.contains(&peer).then_some(&ann);
        self.access
            .as_ref()
            .is_none_or(|access| access.allows(user, right, service.as_bytes()))
    }

    fn peer(&self, place: usize) -> PeerId {
        PeerId {
            place: place as u32,
            generation: self.generations[place],
        }
    }

    fn hear(&mut self, peer: PeerId, word: Word) {
        self.say(peer, Reading::Word(word));
    }

    fn say(&mut self, peer: PeerId, reading: Reading) {
        self.met.insert(peer);
        self.handle(Event::Heard { peer, reading });
    }

    /// The shell reads nothing from who is closed or held back.
    fn is_read(&self, peer: PeerId) -> bool {
        !self.closed.contains(&peer) && !self.held_back.contains(&peer)
    }

    fn ask(&mut self, peer: PeerId, bytes: &mut Script<'_>) {
        let flags = bytes.next();
        let idempotent = flags & 1 == 1;
        // Two of the places are Majordomo clients, and never workers.
        let majordomo = peer.place < 2;
        let id = if majordomo {
            Id::ZERO
        } else {
            Id([bytes.next() % 4; 8])
        };
        let back = Return {
            dialect: if majordomo {
                Dialect::Mdp01
            } else {
                Dialect::Scale0
            },
            whole: flags & 2 != 0,
            ..numbered(id)
        };
        let size = usize::from(bytes.next()) * 4;
        let ask = Ask {
            back,
            service: service(bytes.next()),
            ttl: Duration::from_millis(u64::from(bytes.next()) * 50),
            idempotent,
            wants: Wants::Answer,
            priority: 4,
            properties: bytes::Bytes::new(),
            body: Message::single(&vec![0; size]),
        };
        *self.open.entry((peer, id)).or_default() += 1;
        self.hear(peer, Word::Ask(ask));
    }

    fn announce(&mut self, peer: PeerId, bytes: &mut Script<'_>) {
        if peer.place < 2 {
            return;
        }
        let (set, capacity, promise) = (bytes.next(), bytes.next() % 5, bytes.next());
        let majordomo = set & 0x80 != 0;
        let offers = (0..SERVICES).filter(|n| set & 1 << n != 0);
        let offers: Vec<Offer> = offers
            .map(|n| Offer {
                service: service(n),
                idempotent: set & 0x40 != 0 || majordomo,
                ..Offer::default()
            })
            .take(if majordomo { 1 } else { usize::from(SERVICES) })
            .collect();
        let announcement = Announcement {
            dialect: if majordomo {
                Dialect::Mdp01
            } else {
                Dialect::Scale0
            },
            name: Name::default(),
            capacity: if majordomo { 1 } else { u16::from(capacity) },
            promise: (!majordomo).then(|| Duration::from_millis(u64::from(promise) * 10)),
            deep: capacity == 4,
            credit: set & 0x20 != 0 && !majordomo,
            offers,
        };
        self.hear(peer, Word::Announce(announcement));
    }

    fn reply(&mut self, peer: PeerId, bytes: &mut Script<'_>) {
        let (which, flags) = (usize::from(bytes.next()), bytes.next());
        // Mostly a token of its own, sometimes somebody else's, used up, or made up.
        let own = |(holder, _): &&(PeerId, Id)| flags & 2 != 0 || *holder == peer;
        let held: Vec<Id> = self
            .tokens
            .iter()
            .filter(own)
            .map(|(_, token)| *token)
            .collect();
        let token = match held.len() {
            0 => Id([bytes.next(); 8]),
            len => held[which % len],
        };
        self.hear(
            peer,
            Word::Reply(Reply {
                dialect: Dialect::Scale0,
                token,
                code: 200,
                partial: flags & 1 == 1,
                refuses: flags & 9 == 8,
                ms: 0,
                properties: bytes::Bytes::new(),
                body: Message::single(&vec![1; usize::from(flags) * 4]),
            }),
        );
    }

    fn ping(&mut self, peer: PeerId, bytes: &mut Script<'_>) {
        let (flags, capacity) = (bytes.next(), bytes.next());
        self.hear(
            peer,
            Word::Ping(Ping {
                back: numbered(Id([flags & 1; 8])),
                promise: Duration::from_millis(u64::from(flags) * 10),
                capacity: (flags & 2 != 0).then_some(u16::from(capacity % 5)),
                capable: flags & 4 != 0,
                credit: flags & 8 != 0,
            }),
        );
    }

    fn credit(&mut self, peer: PeerId, bytes: &mut Script<'_>) {
        let back = numbered(Id([bytes.next() % 4; 8]));
        let more = Portion {
            messages: u16::from(bytes.next()),
            kib: u32::from(bytes.next()),
        };
        if self.is_read(peer) {
            self.hear(peer, Word::Credit(Credit { back, more }));
        }
    }

    fn garbage(&mut self, peer: PeerId, kind: u8) {
        let refusal = Refusal {
            back: numbered(Id([9; 8])),
            status: Status::MALFORMED,
            text: "no".to_owned(),
            task: kind & 8 != 0,
        };
        if matches!(kind % 4, 0) && refusal.task {
            *self.open.entry((peer, refusal.back.id)).or_default() += 1;
        }
        let reading = match kind % 4 {
            0 => Reading::Refused(refusal),
            1 => Reading::Unknown {
                proxied: kind & 4 != 0,
            },
            2 => Reading::Dead,
            _ => Reading::Nothing,
        };
        self.say(peer, reading);
    }

    fn lose(&mut self, place: usize) {
        let peer = self.peer(place);
        self.forget_client(peer);
        self.met.remove(&peer);
        self.tokens.retain(|(holder, _)| *holder != peer);
        self.handle(Event::Lost { peer });
        self.held_back.remove(&peer);
        self.generations[place] += 1;
    }

    /// Its tasks have no answer to wait for.
    fn forget_client(&mut self, peer: PeerId) {
        self.open.retain(|(asker, _), _| *asker != peer);
    }

    fn wait(&mut self, span: Duration) {
        let until = self.now + span;
        while let Some(at) = self.broker.deadline()
            && at <= until
        {
            self.wake(at);
        }
        self.now = until;
    }

    fn wait_for_deadline(&mut self) {
        if let Some(at) = self.broker.deadline() {
            self.wake(at);
        }
    }

    fn wake(&mut self, at: Time) {
        self.now = self.now.max(at);
        self.handle(Event::Woke);
        assert!(self.broker.deadline().is_none_or(|next| next > self.now));
    }

    fn handle(&mut self, event: Event) {
        let mut actions = Vec::new();
        self.broker.handle(self.now, event, &mut actions);
        let mut given = BTreeSet::new();
        for action in actions {
            match action {
                Action::Assign { peer, task, .. } => {
                    self.is_there(peer);
                    assert!(self.may(peer, Right::Offer, &task.service));
                    assert!(task.ttl > Duration::ZERO && task.attempt <= 3);
                    assert!(!self.tokens.iter().any(|(_, token)| *token == task.token));
                    self.tokens.push((peer, task.token));
                    given.insert(peer);
                }
                Action::Answer {
                    peer, back, answer, ..
                } => {
                    self.is_there(peer);
                    let partial = matches!(answer, Answer::Reply { partial: true, .. });
                    assert!(!(partial && back.whole));
                    self.answered((peer, back.id), partial);
                }
                Action::Close { peer } => {
                    self.is_there(peer);
                    assert!(self.closed.insert(peer), "closed twice");
                }
                // Not said to anybody: whom it concerns may be gone.
                Action::Hold { peer, on } => {
                    let changed = if on {
                        self.held_back.insert(peer)
                    } else {
                        self.held_back.remove(&peer)
                    };
                    assert!(changed, "held back twice, or let go twice");
                }
                Action::Cancel { peer, .. }
                | Action::Tell { peer, .. }
                | Action::Query { peer, .. }
                | Action::Gauge { peer }
                | Action::Watch { peer, .. } => self.is_there(peer),
                Action::Drained { .. } => assert!(!std::mem::replace(&mut self.drained, true)),
                Action::Note(_) => {}
            }
        }
        self.check(&given);
    }

    fn is_there(&self, peer: PeerId) {
        assert!(self.met.contains(&peer), "{peer:?} is gone");
    }

    fn answered(&mut self, key: Key, partial: bool) {
        let count = self
            .open
            .get_mut(&key)
            .expect("nobody asked for this answer");
        if !partial {
            *count -= 1;
            if *count == 0 {
                self.open.remove(&key);
            }
        }
    }

    fn check(&self, given: &BTreeSet<PeerId>) {
        let state = self.broker.snapshot();
        let limits = &self.broker.config().limits;
        for worker in &state.workers {
            assert!(
                !given.contains(&worker.peer) || worker.in_flight <= worker.capacity,
                "{worker:?}"
            );
        }
        assert_eq!(
            state.in_flight,
            state
                .workers
                .iter()
                .map(|worker| worker.in_flight)
                .sum::<usize>()
        );
        assert!(
            state
                .services
                .iter()
                .filter(|service| service.workers > 0)
                .count()
                <= limits.services
        );
        for service in &state.services {
            assert!(service.workers > 0 || service.queued > 0 || service.in_flight > 0);
            // What stands in no line was refused by those who are ready.
            assert!(service.lines == 0 || service.ready == 0, "{service:?}");
        }
        assert_eq!(state.open, self.broker.open_tasks());
        assert!(state.held >= state.queued_bytes);
    }

    /// Time alone brings every task to its end; when everybody is gone, nothing is left.
    fn settle(&mut self) {
        let closed = self.closed.clone();
        self.open.retain(|(peer, _), _| !closed.contains(peer));
        let end = self.now + Duration::from_secs(40);
        while !self.open.is_empty() && self.now < end {
            assert!(
                self.broker.deadline().is_some(),
                "{:?} wait for ever",
                self.open
            );
            self.wait_for_deadline();
            let closed = self.closed.clone();
            self.open.retain(|(peer, _), _| !closed.contains(peer));
        }
        assert!(self.open.is_empty(), "{:?} have no answer", self.open);
        for place in 0..PEERS {
            self.lose(place);
        }
        let state = self.broker.snapshot();
        assert_eq!(
            (
                state.held,
                state.open,
                state.queued,
                state.in_flight,
                state.paused
            ),
            (0, 0, 0, 0, 0)
        );
        assert!(state.services.is_empty() && state.workers.is_empty());
    }
}

fn numbered(id: Id) -> Return {
    Return {
        dialect: Dialect::Scale0,
        envelope: Message::default(),
        id,
        whole: false,
    }
}

fn service(number: u8) -> Name {
    Name::from(["a", "b", "c", "d"][usize::from(number % SERVICES)])
}

const PEERS: usize = 6;
const SERVICES: u8 = 4;

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|data: &[u8]| run(data));
