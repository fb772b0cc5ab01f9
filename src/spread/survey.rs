//! What can be seen of all shards together: each is asked, and what they say is joined. Questions
//! that come while one round is under way are answered by the next.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use super::{Letter, Shard, Shards, Spread, is_guest, outer};
use crate::broker::{Action, PeerId, Query, ServiceState, Snapshot, WorkerState};
use crate::protocol::{Answer, Name, Return, Status};

/// What a shard counts besides its broker.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[allow(missing_docs, reason = "the names are those of `s0.info`")]
pub struct Totals {
    pub connections: usize,
    pub buffered: usize,
    pub accepted: u64,
    pub refused: u64,
    pub evicted: u64,
    pub denied: u64,
    pub revoked: u64,
    pub cut: u64,
    pub commands_ignored: u64,
    pub messages_in: u64,
    pub bytes_in: u64,
    pub bytes_out: u64,
}

impl Totals {
    fn add(&mut self, other: &Self) {
        self.connections += other.connections;
        self.buffered += other.buffered;
        self.accepted += other.accepted;
        self.refused += other.refused;
        self.evicted += other.evicted;
        self.denied += other.denied;
        self.revoked += other.revoked;
        self.cut += other.cut;
        self.commands_ignored += other.commands_ignored;
        self.messages_in += other.messages_in;
        self.bytes_in += other.bytes_in;
        self.bytes_out += other.bytes_out;
    }
}

/// What one shard says of itself.
#[derive(Clone, Debug)]
pub struct Report {
    snapshot: Snapshot,
    hands: Vec<Hand>,
    totals: Totals,
}

/// A worker as one shard sees it.
#[derive(Clone, Debug)]
struct Hand {
    owner: Shard,
    /// As its owner names it.
    peer: PeerId,
    address: Option<SocketAddr>,
    state: WorkerState,
}

/// What all shards say together.
#[derive(Clone, Debug)]
pub struct Joined {
    /// As if it were one broker's. Its workers' peers are places in `addresses`.
    pub snapshot: Snapshot,
    /// Where the workers are; none for a path of this machine.
    pub addresses: Vec<Option<SocketAddr>>,
    /// What they count besides.
    pub totals: Totals,
}

/// A question about the broker itself that can be answered now; see [`Spread::answer`].
#[derive(Clone, Debug)]
pub struct Answered {
    question: Question,
    /// What it wants to know.
    pub query: Query,
    /// From which this is told.
    pub joined: Arc<Joined>,
}

impl Answered {
    /// Whether the same answer fits both.
    #[must_use]
    pub fn is_like(&self, other: &Self) -> bool {
        self.query == other.query && Arc::ptr_eq(&self.joined, &other.joined)
    }
}

#[derive(Clone, Debug)]
struct Question {
    /// The shard with the asker's connection, if that is another one.
    owner: Option<Shard>,
    peer: PeerId,
    back: Return,
    service: Name,
    query: Query,
}

/// The questions of this shard's connections.
#[derive(Debug, Default)]
pub(super) struct Surveys {
    number: u64,
    missing: Shards,
    reports: Vec<Report>,
    /// They are answered by the round under way.
    asked: Vec<Question>,
    /// They came since.
    waiting: Vec<Question>,
    answered: Vec<Answered>,
}

impl Surveys {
    /// Nobody waits for an answer.
    pub(super) fn is_idle(&self) -> bool {
        self.asked.is_empty() && self.waiting.is_empty() && self.answered.is_empty()
    }

    pub(super) fn forget(&mut self, owner: Option<Shard>, peer: PeerId) {
        let others = |question: &Question| (question.owner, question.peer) != (owner, peer);
        self.asked.retain(others);
        self.waiting.retain(others);
    }
}

impl Spread {
    /// What this shard counts besides its broker. It is told before letters are read and questions
    /// are answered.
    pub fn set_totals(&mut self, totals: Totals) {
        self.totals = totals;
    }

    pub(super) fn survey(
        &mut self,
        owner: Option<Shard>,
        peer: PeerId,
        back: Return,
        service: Name,
        query: Query,
        out: &mut Vec<Action>,
    ) {
        let question = Question {
            owner,
            peer,
            back,
            service,
            query,
        };
        if self.surveys.waiting.len() >= MOST_QUESTIONS {
            let answer = Answer::Error {
                status: Status::UNAVAILABLE,
                not_executed: true,
                retry_after: Duration::from_secs(1),
                text: "too many ask about the broker at once".to_owned(),
            };
            return self.say(question, answer, out);
        }
        self.surveys.waiting.push(question);
        if self.surveys.missing.is_empty() {
            self.begin_survey();
        }
    }

    fn begin_survey(&mut self) {
        let surveys = &mut self.surveys;
        surveys.number += 1;
        surveys.missing = Shards::all(self.shards).without(self.me);
        surveys.reports.clear();
        surveys.asked = std::mem::take(&mut surveys.waiting);
        let number = surveys.number;
        self.post_all(|| Letter::Survey { number });
    }

    pub(super) fn surveyed(&mut self, from: Shard, number: u64, report: Report) {
        if number != self.surveys.number || !self.surveys.missing.contains(from) {
            return;
        }
        self.surveys.missing.set(from, false);
        self.surveys.reports.push(report);
        if !self.surveys.missing.is_empty() {
            return;
        }
        let own = self.report();
        let reports = std::mem::take(&mut self.surveys.reports);
        let joined = Arc::new(join(own, &reports));
        let asked = std::mem::take(&mut self.surveys.asked);
        let answered = asked.into_iter().map(|question| Answered {
            query: question.query,
            question,
            joined: Arc::clone(&joined),
        });
        self.surveys.answered.extend(answered);
        if !self.surveys.waiting.is_empty() {
            self.begin_survey();
        }
    }

    /// Questions that can be answered now.
    pub fn take_answered(&mut self) -> Vec<Answered> {
        std::mem::take(&mut self.surveys.answered)
    }

    /// The answer to one of them, put into words.
    pub fn answer(&mut self, answered: Answered, answer: Answer, out: &mut Vec<Action>) {
        self.say(answered.question, answer, out);
    }

    fn say(&mut self, question: Question, answer: Answer, out: &mut Vec<Action>) {
        let action = Action::Answer {
            peer: question.peer,
            back: question.back,
            service: question.service,
            answer,
        };
        match question.owner {
            Some(owner) => self.post(owner, Letter::Act(Box::new(action))),
            None => out.push(action),
        }
    }

    /// What this shard says of itself.
    pub(super) fn report(&self) -> Report {
        let mut snapshot = self.broker.snapshot();
        // They are counted where they are looked after.
        let counters = &mut snapshot.counters;
        counters.workers_joined -= self.guests.joined.min(counters.workers_joined);
        counters.workers_left -= self.guests.left.min(counters.workers_left);
        let workers = std::mem::take(&mut snapshot.workers);
        let hands = workers.into_iter().filter_map(|state| self.hand(state));
        Report {
            hands: hands.collect(),
            snapshot,
            totals: self.totals,
        }
    }

    fn hand(&self, mut state: WorkerState) -> Option<Hand> {
        if is_guest(state.peer) {
            let guest = self.guests.get(state.peer)?;
            return Some(Hand {
                owner: guest.owner,
                peer: guest.peer,
                address: guest.address,
                state,
            });
        }
        let peer = outer(state.peer);
        if let Some(capacity) = self.owned.capacity(peer) {
            state.capacity = capacity;
        }
        Some(Hand {
            owner: self.me,
            peer,
            address: self.owned.address(peer),
            state,
        })
    }
}

fn join(own: Report, others: &[Report]) -> Joined {
    let Report {
        mut snapshot,
        hands,
        mut totals,
    } = own;
    let mut services: BTreeMap<Name, ServiceState> = BTreeMap::new();
    let mut workers: BTreeMap<(Shard, PeerId), Hand> = BTreeMap::new();
    let own_services = std::mem::take(&mut snapshot.services);
    let all_services = others.iter().flat_map(|other| &other.snapshot.services);
    for state in own_services.iter().chain(all_services) {
        match services.get_mut(&state.name) {
            Some(known) => add_service(known, state),
            None => {
                services.insert(state.name.clone(), state.clone());
            }
        }
    }
    let all_hands = others.iter().flat_map(|other| &other.hands);
    for hand in hands.iter().chain(all_hands) {
        match workers.get_mut(&(hand.owner, hand.peer)) {
            Some(known) => add_worker(&mut known.state, &hand.state),
            None => {
                workers.insert((hand.owner, hand.peer), hand.clone());
            }
        }
    }
    for other in others {
        let there = &other.snapshot;
        snapshot.draining |= there.draining;
        snapshot.drain_left = snapshot.drain_left.max(there.drain_left);
        snapshot.queued += there.queued;
        snapshot.queued_bytes += there.queued_bytes;
        snapshot.in_flight += there.in_flight;
        snapshot.open += there.open;
        snapshot.held += there.held;
        snapshot.paused += there.paused;
        snapshot.counters.add(&there.counters);
        totals.add(&other.totals);
    }
    snapshot.services = services.into_values().collect();
    let mut addresses = Vec::with_capacity(workers.len());
    for (place, hand) in (0..).zip(workers.into_values()) {
        addresses.push(hand.address);
        let peer = PeerId {
            place,
            generation: 0,
        };
        snapshot.workers.push(WorkerState { peer, ..hand.state });
    }
    Joined {
        snapshot,
        addresses,
        totals,
    }
}

/// A service that is offered everywhere has the same workers everywhere.
fn add_service(known: &mut ServiceState, more: &ServiceState) {
    known.workers = known.workers.max(more.workers);
    known.ready = known.ready.max(more.ready);
    known.ejected = known.ejected.max(more.ejected);
    known.queued += more.queued;
    known.queued_bytes += more.queued_bytes;
    known.lines += more.lines;
    known.oldest = known.oldest.max(more.oldest);
    known.in_flight += more.in_flight;
    known.done += more.done;
}

/// What its owner says of a worker's capacity is more than any part of it.
fn add_worker(known: &mut WorkerState, more: &WorkerState) {
    known.capacity = known.capacity.max(more.capacity);
    known.in_flight += more.in_flight;
    known.done += more.done;
    known.suspect |= more.suspect;
    known.silent = known.silent.min(more.silent);
    known.promise = known.promise.max(more.promise);
    let news = |known: &[Name], more: &[Name]| -> Vec<Name> {
        let new = more.iter().filter(|name| !known.contains(name));
        new.cloned().collect()
    };
    known.services.extend(news(&known.services, &more.services));
    known.ejected.extend(news(&known.ejected, &more.ejected));
}

/// Questions about the broker itself that wait for the next round.
const MOST_QUESTIONS: usize = 4096;
