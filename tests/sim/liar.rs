//! The faults of `faults` at work: what the broker hears and says is falsified on its way.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Duration;

use scale0::broker::{Action, Config, Event, Fact, PeerId};
use scale0::protocol::{Answer, Dialect, Id, Name, Notice, Reading, Status, Wants, Word};
use scale0::time::Time;
use scale0::wire::Message;

use crate::faults::Fault;

/// One fault at work, and what it must remember for it.
#[derive(Debug)]
pub(crate) struct Liar {
    fault: Fault,
    count: u64,
    put_off: Option<Event>,
    first_client: Option<PeerId>,
    clients: Vec<PeerId>,
    /// Clients that speak S0 from a DEALER.
    plain: Vec<PeerId>,
    workers: BTreeMap<PeerId, Dialect>,
    gone: Option<(PeerId, Dialect)>,
    /// Who was given a token, for which body.
    given: HashMap<Id, (PeerId, Message)>,
    newest: BTreeMap<Message, Id>,
    /// A later token of the same task, by the one that is told in its place.
    renamed: HashMap<Id, Id>,
    cancelled: HashSet<Id>,
    asked: BTreeMap<Message, (Duration, bool)>,
    twins: HashMap<(PeerId, Id), (Id, Message)>,
    last_body: Option<Message>,
    skip_cancel: bool,
    /// What workers announced.
    offers: BTreeMap<PeerId, Vec<Name>>,
    /// Who is out of what.
    ejected: Vec<(PeerId, Name)>,
    /// Who refused a task last, and how often that was done.
    refused: BTreeMap<Message, (PeerId, u16)>,
}

impl Liar {
    pub(crate) fn new(fault: Fault) -> Self {
        Self {
            fault,
            count: 0,
            put_off: None,
            first_client: None,
            clients: Vec::new(),
            plain: Vec::new(),
            workers: BTreeMap::new(),
            gone: None,
            given: HashMap::new(),
            newest: BTreeMap::new(),
            renamed: HashMap::new(),
            cancelled: HashSet::new(),
            asked: BTreeMap::new(),
            twins: HashMap::new(),
            last_body: None,
            skip_cancel: false,
            offers: BTreeMap::new(),
            ejected: Vec::new(),
            refused: BTreeMap::new(),
        }
    }

    /// What the broker is set to.
    pub(crate) fn config(&self, mut config: Config) -> Config {
        match self.fault {
            Fault::NeverEjects => config.eject_after = u32::MAX,
            Fault::NeverReadmits => config.eject_time *= LONG,
            _ => {}
        }
        config
    }

    /// Every so many times.
    fn every(&mut self, times: u64) -> bool {
        self.count += 1;
        self.count.is_multiple_of(times)
    }

    pub(crate) fn deadline(&self, at: Option<Time>) -> Option<Time> {
        match self.fault {
            Fault::Oversleeps => at.map(|at| at + Duration::from_millis(300)),
            _ => at,
        }
    }

    /// What the broker is told of an event.
    pub(crate) fn hear(&mut self, mut event: Event) -> Vec<Event> {
        if let Some(put_off) = self.put_off.take() {
            return vec![event, put_off];
        }
        match &mut event {
            Event::Heard {
                peer,
                reading: Reading::Word(word),
            } => {
                let speaker = *peer;
                let swallowed = self.hear_word(peer, word);
                if self.fault == Fault::PutsOffQuestions && matches!(word, Word::Ask(_)) {
                    self.put_off = Some(event);
                    return Vec::new();
                }
                if swallowed {
                    return Vec::new();
                }
                if let Some(call_off) = self.call_off(speaker, word) {
                    return vec![event, call_off];
                }
                if self.fault == Fault::LosesTheLiving
                    && self.workers.contains_key(&speaker)
                    && self.every(10)
                {
                    return vec![event, Event::Lost { peer: speaker }];
                }
            }
            Event::Lost { peer } => {
                let works = self.workers.contains_key(peer);
                let swallowed = match self.fault {
                    Fault::LeaksTasks => !works && self.clients.contains(peer),
                    Fault::KeepsTheDead => works,
                    _ => false,
                };
                if self.gone.is_some_and(|(gone, _)| gone == *peer) {
                    self.gone = None;
                }
                if swallowed {
                    return Vec::new();
                }
            }
            Event::Drain { .. } if self.fault == Fault::IgnoresDrain => return Vec::new(),
            Event::Woke if self.fault == Fault::PitiesTheSilent => {
                let sign = |peer: &PeerId| Event::Sign { peer: *peer };
                let signs = self.workers.keys().map(sign);
                return signs.chain([Event::Woke]).collect();
            }
            Event::Woke if self.fault == Fault::HearsVoices => {
                let voice = |peer: &PeerId| Event::Heard {
                    peer: *peer,
                    reading: Reading::Nothing,
                };
                let voices = self.workers.keys().map(voice);
                return voices.chain([Event::Woke]).collect();
            }
            _ => {}
        }
        vec![event]
    }

    /// What takes a drain back that was asked for.
    fn call_off(&self, peer: PeerId, word: &Word) -> Option<Event> {
        let Word::Ask(ask) = word else {
            return None;
        };
        if self.fault != Fault::TakesOnWhileDraining || ask.service.as_bytes() != b"s0.drain" {
            return None;
        }
        let mut ask = ask.clone();
        ask.service = Name::from("s0.undrain");
        ask.back.id = OURS;
        let reading = Reading::Word(Word::Ask(ask));
        Some(Event::Heard { peer, reading })
    }

    /// True if the broker is not told.
    fn hear_word(&mut self, peer: &mut PeerId, word: &mut Word) -> bool {
        match word {
            Word::Ask(ask) => {
                if !self.clients.contains(peer) {
                    self.clients.push(*peer);
                    if ask.back.dialect == Dialect::Scale0 && ask.back.envelope.is_empty() {
                        self.plain.push(*peer);
                    }
                }
                self.asked
                    .insert(ask.body.clone(), (ask.ttl, ask.idempotent));
                match self.fault {
                    Fault::RepeatsEverything => ask.idempotent = true,
                    Fault::AcceptsTwins if ask.back.id != Id::ZERO => {
                        self.count += 1;
                        let unique = Id((1 << 60 | self.count).to_be_bytes());
                        let original = (ask.back.id, ask.back.envelope.clone());
                        self.twins.insert((*peer, unique), original);
                        ask.back.id = unique;
                    }
                    Fault::TellsTheQuiet if ask.wants == Wants::Nothing => {
                        ask.wants = Wants::Receipt;
                    }
                    Fault::IgnoresSettings if ask.service.as_bytes() == b"s0.set" => {
                        let service = ask.body.first().unwrap_or_default().to_vec();
                        ask.body = Message::new([&service[..], b"policy=lru"]);
                    }
                    Fault::ForgetsOneClient => {
                        return *self.first_client.get_or_insert(*peer) == *peer;
                    }
                    _ => {}
                }
            }
            Word::Announce(announcement) => {
                let names = announcement
                    .offers
                    .iter()
                    .map(|offer| offer.service.clone());
                self.offers.insert(*peer, names.collect());
                match self.fault {
                    Fault::SwallowsAnnouncements => return self.every(3),
                    Fault::TakesOneMore if announcement.capacity > 0 => announcement.capacity += 1,
                    _ => {}
                }
            }
            Word::Credit(_) => return self.fault == Fault::IgnoresCredit,
            Word::Ping(ping) if self.fault == Fault::SendsBeyondCredit => ping.credit = false,
            Word::Ping(ping) if self.fault == Fault::IgnoresCapacity => ping.capacity = None,
            Word::Bye(_) if self.fault == Fault::ForgetsGoodbyes => {
                return self.workers.contains_key(peer);
            }
            Word::Reply(reply) => {
                if let Some(real) = self.renamed.get(&reply.token) {
                    reply.token = *real;
                }
                let holder = self.given.get(&reply.token).cloned();
                if let Some((holder, body)) = holder.clone().filter(|_| reply.refuses) {
                    let refused = self.refused.entry(body).or_insert((holder, 0));
                    *refused = (holder, refused.1 + 1);
                }
                match (self.fault, holder) {
                    (Fault::SwallowsFinals, _) if !reply.partial => return self.every(3),
                    (Fault::LosesCredits, _) if !reply.partial => {
                        return self.cancelled.contains(&reply.token);
                    }
                    (Fault::DropsParts, _) if reply.partial => return true,
                    (Fault::BelievesForgers, Some((holder, _)))
                        if self.workers.contains_key(&holder) =>
                    {
                        *peer = holder;
                    }
                    (Fault::BelievesTheLate, Some((_, body))) => {
                        let newest = self.newest.get(&body).copied();
                        if let Some(newest) = newest.filter(|newest| *newest != reply.token)
                            && let Some((holder, _)) = self.given.get(&newest)
                            && self.workers.contains_key(holder)
                        {
                            (reply.token, *peer) = (newest, *holder);
                        }
                    }
                    _ => {}
                }
            }
            _ => {}
        }
        false
    }

    /// What the world is told of an action.
    pub(crate) fn speak(&mut self, mut action: Action, out: &mut Vec<Action>) {
        match &mut action {
            Action::Assign { .. } => self.speak_task(&mut action),
            Action::Answer { .. } => return self.speak_answer(action, out),
            Action::Cancel { token, .. } => {
                self.cancelled.insert(*token);
                let shown = self.renamed.iter().find(|(_, real)| *real == token);
                if let Some((shown, _)) = shown {
                    *token = *shown;
                }
                if self.fault == Fault::SwallowsCancels || std::mem::take(&mut self.skip_cancel) {
                    return;
                }
            }
            Action::Tell { notice, .. } => {
                let dropped = match notice {
                    Notice::Config(_) => self.fault == Fault::SendsNoConfig,
                    Notice::Pong { .. } => self.fault == Fault::SendsNoPong,
                    Notice::Beat { .. } => self.fault == Fault::SendsNoBeats,
                    Notice::Credit(_) => self.fault == Fault::KeepsCredit,
                    _ => false,
                };
                if dropped {
                    return;
                }
            }
            Action::Hold { on: false, .. } if self.fault == Fault::NeverReleases => return,
            Action::Close { .. } if self.fault == Fault::ClosesNobody => return,
            Action::Query { back, .. } if back.id == OURS => return,
            Action::Note(Fact::OnewayFailed { .. }) if self.fault == Fault::LosesOneways => return,
            Action::Note(fact) => self.speak_fact(fact),
            _ => {}
        }
        let early = self.fault == Fault::DrainsTooEarly
            && matches!(&action, Action::Note(Fact::Draining { tasks }) if *tasks > 0);
        out.push(action);
        if early {
            out.push(Action::Drained { until: Time::ZERO });
        }
    }

    fn speak_task(&mut self, action: &mut Action) {
        let Action::Assign {
            peer,
            dialect,
            task,
        } = action
        else {
            return;
        };
        let former = self.newest.insert(task.body.clone(), task.token);
        self.given.insert(task.token, (*peer, task.body.clone()));
        match self.fault {
            Fault::RepeatsTokens => {
                if let Some(former) = former {
                    self.renamed.insert(former, task.token);
                    task.token = former;
                }
            }
            Fault::RepeatsEverything => {
                if let Some((_, idempotent)) = self.asked.get(&task.body) {
                    task.idempotent = *idempotent;
                }
            }
            Fault::SwapsWorkers => {
                let other = self
                    .workers
                    .iter()
                    .find(|(other, tongue)| **other != *peer && **tongue == *dialect);
                if let Some((other, _)) = other {
                    *peer = *other;
                }
            }
            Fault::GivesToTheGone => {
                if let Some((gone, tongue)) = self.gone {
                    (*peer, *dialect) = (gone, tongue);
                }
            }
            Fault::GivesToTheEjected => {
                let out = self.ejected.iter().find(|(_, name)| *name == task.service);
                if let Some((out, _)) = out {
                    (*peer, *dialect) = (*out, self.workers[out]);
                }
            }
            Fault::GivesBackRefused => {
                if let Some((refuser, _)) = self.refused.get(&task.body)
                    && self.workers.contains_key(refuser)
                {
                    (*peer, *dialect) = (*refuser, Dialect::Scale0);
                }
            }
            Fault::CountsRefusals => {
                let times = self.refused.get(&task.body).map_or(0, |(_, times)| *times);
                task.attempt += times;
            }
            Fault::PrefersWildcards => {
                let exact = |peer: &PeerId| {
                    let offers = self.offers.get(peer);
                    offers.is_some_and(|offers| offers.contains(&task.service))
                };
                let fits = |offer: &Name| offer.is_wildcard() && offer.serves(&task.service);
                let other = self.offers.iter().find(|(other, offers)| {
                    let there = self.workers.get(other) == Some(&Dialect::Scale0);
                    there && !exact(other) && offers.iter().any(fits)
                });
                if let Some((other, _)) = other.filter(|_| exact(peer)) {
                    (*peer, *dialect) = (*other, Dialect::Scale0);
                }
            }
            Fault::MixesBodies => {
                let other = self.last_body.replace(task.body.clone());
                task.body = other.unwrap_or_else(|| task.body.clone());
            }
            Fault::NeverShrinksTime => {
                if let Some((ttl, _)) = self.asked.get(&task.body)
                    && !ttl.is_zero()
                {
                    task.ttl = (*ttl).min(Duration::from_secs(8));
                }
            }
            _ => {}
        }
    }

    fn speak_answer(&mut self, mut action: Action, out: &mut Vec<Action>) {
        let Action::Answer {
            peer,
            back,
            service,
            answer,
        } = &mut action
        else {
            return;
        };
        if back.id == OURS {
            return;
        }
        let partial = matches!(answer, Answer::Reply { partial: true, .. });
        let receipt = matches!(answer, Answer::Reply { code: 202, .. });
        let error = matches!(answer, Answer::Error { .. });
        let own = service.is_reserved();
        if let Some((id, _)) = self.twins.get(&(*peer, back.id)) {
            back.id = *id;
        }
        let fault = self.fault;
        match fault {
            Fault::DoublesAnswers if !partial => out.push(Action::Answer {
                peer: *peer,
                back: back.clone(),
                service: service.clone(),
                answer: answer.clone(),
            }),
            Fault::DoublesReceipts if receipt => out.push(action.clone()),
            Fault::SwapsParts if partial => {
                // Two of one stream in a row.
                let here = |other: &Action| {
                    matches!(other, Action::Answer { peer: to, back: way, answer: Answer::Reply { partial: true, .. }, .. }
                        if to == peer && way == back)
                };
                if out.last().is_some_and(here) {
                    let at = out.len() - 1;
                    return out.insert(at, action);
                }
            }
            Fault::HidesTheDrain => {
                if let Answer::Error { status, .. } = answer
                    && *status == Status::DRAINING
                {
                    *status = Status::UNAVAILABLE;
                }
            }
            Fault::SwallowsAnswers if !partial && self.every(3) => return,
            Fault::NeverExpires => {
                if let Answer::Error { status, .. } = answer
                    && [Status::EXPIRED, Status::TIMEOUT].contains(status)
                {
                    self.skip_cancel = *status == Status::TIMEOUT;
                    return;
                }
            }
            Fault::AnswersTheWrongClient if !error && !own && self.plain.contains(peer) => {
                let other = self.plain.iter().rev().find(|other| *other != peer);
                if let Some(other) = other {
                    *peer = *other;
                }
            }
            Fault::AnswersTheWrongNumber if !error && !own => back.id.0[7] ^= 1,
            Fault::GoesOnAfterTheEnd if !partial && !error && !own => {
                let mut more = action.clone();
                if let Action::Answer {
                    back,
                    answer: Answer::Reply { partial, .. },
                    ..
                } = &mut more
                    && !back.whole
                {
                    *partial = true;
                    out.extend([action, more]);
                    return;
                }
            }
            Fault::LiesAboutTheStart => {
                if let Answer::Error { not_executed, .. } = answer {
                    *not_executed = !*not_executed;
                }
            }
            Fault::LiesAboutTheReason => {
                if let Answer::Error { status, .. } = answer {
                    *status = match *status {
                        Status::TIMEOUT => Status::WORKER_LOST,
                        Status::NO_SERVICE => Status::EXPIRED,
                        other => other,
                    };
                }
            }
            Fault::ShortensGathered if back.whole && !own => {
                if let Answer::Reply { body, .. } = answer
                    && body.count() > 4
                {
                    body.skip(1);
                }
            }
            Fault::SpeaksTheWrongLanguage => {
                back.dialect = match back.dialect {
                    Dialect::Mdp02 => Dialect::Zproto,
                    Dialect::Zproto => Dialect::Mdp02,
                    Dialect::Mdp01 => Dialect::Mdp02Delimited,
                    other => other,
                };
            }
            _ => {}
        }
        out.push(action);
    }

    fn speak_fact(&mut self, fact: &mut Fact) {
        match fact {
            Fact::WorkerJoined {
                peer,
                dialect,
                capacity,
                ..
            } => {
                self.workers.insert(*peer, *dialect);
                if self.gone.is_some_and(|(gone, _)| gone == *peer) {
                    self.gone = None;
                }
                if self.fault == Fault::TakesOneMore {
                    *capacity = capacity.saturating_sub(1);
                }
            }
            Fact::WorkerChanged { capacity, .. } if self.fault == Fault::TakesOneMore => {
                *capacity = capacity.saturating_sub(1);
            }
            Fact::WorkerEjected {
                peer,
                service,
                pause,
            } => {
                self.ejected.push((*peer, service.clone()));
                if self.fault == Fault::NeverReadmits {
                    *pause /= LONG;
                }
            }
            Fact::WorkerProbed { peer, service } | Fact::WorkerReturned { peer, service } => {
                self.ejected
                    .retain(|(out, name)| out != peer || name != service);
            }
            Fact::WorkerLeft { peer, why, .. } => {
                self.ejected.retain(|(out, _)| out != peer);
                self.offers.remove(peer);
                if let Some(dialect) = self.workers.remove(peer)
                    && *why == scale0::broker::Leaving::Bye
                {
                    self.gone = Some((*peer, dialect));
                }
            }
            _ => {}
        }
    }
}

/// The number of questions that nobody asked.
const OURS: Id = Id(*b"nobody's");
/// How much longer a pause is than it should be.
const LONG: u32 = 1_000;
