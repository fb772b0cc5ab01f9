//! Faults, planted between the broker and the world: each falsifies one thing, always in the same
//! way. A simulation that does not find them is worth nothing.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Duration;

use scale0::broker::{Action, Event, Fact, PeerId};
use scale0::protocol::{Answer, Dialect, Id, Notice, Reading, Status, Word};
use scale0::time::Time;
use scale0::wire::Message;

use crate::ledger::Promise;

/// What is falsified.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Fault {
    /// Every third final reply of a worker is not heard.
    SwallowsFinals,
    /// A worker's final for a task that nobody waits for does not free its place.
    LosesCredits,
    /// A client that is gone is not forgotten.
    LeaksTasks,
    /// A worker that is gone is kept.
    KeepsTheDead,
    /// Who is silent counts as alive for ever.
    PitiesTheSilent,
    /// Workers are heard that say nothing.
    HearsVoices,
    /// What one client asks is put off for ever.
    ForgetsOneClient,
    /// A question comes in only after the next event.
    PutsOffQuestions,
    SwallowsAnnouncements,
    IgnoresCapacity,
    TakesOneMore,
    /// Every task may be repeated.
    RepeatsEverything,
    /// A reply with another's token counts as the other's.
    BelievesForgers,
    /// A late reply of a lost attempt counts as that of the next one.
    BelievesTheLate,
    DropsParts,
    IgnoresDrain,
    DrainsTooEarly,
    /// Connections that are there are taken for lost.
    LosesTheLiving,
    AcceptsTwins,
    ForgetsGoodbyes,
    DoublesAnswers,
    SwallowsAnswers,
    NeverExpires,
    Oversleeps,
    AnswersTheWrongClient,
    AnswersTheWrongNumber,
    GoesOnAfterTheEnd,
    SwapsWorkers,
    GivesToTheGone,
    RepeatsTokens,
    SwallowsCancels,
    MixesBodies,
    NeverShrinksTime,
    NeverReleases,
    SendsNoConfig,
    SendsNoPong,
    SendsNoBeats,
    LiesAboutTheStart,
    LiesAboutTheReason,
    ShortensGathered,
    SpeaksTheWrongLanguage,
    ClosesNobody,
}

impl Fault {
    pub(crate) const ALL: [Self; 42] = [
        Self::SwallowsFinals,
        Self::LosesCredits,
        Self::LeaksTasks,
        Self::KeepsTheDead,
        Self::PitiesTheSilent,
        Self::HearsVoices,
        Self::ForgetsOneClient,
        Self::PutsOffQuestions,
        Self::SwallowsAnnouncements,
        Self::IgnoresCapacity,
        Self::TakesOneMore,
        Self::RepeatsEverything,
        Self::BelievesForgers,
        Self::BelievesTheLate,
        Self::DropsParts,
        Self::IgnoresDrain,
        Self::DrainsTooEarly,
        Self::LosesTheLiving,
        Self::AcceptsTwins,
        Self::ForgetsGoodbyes,
        Self::DoublesAnswers,
        Self::SwallowsAnswers,
        Self::NeverExpires,
        Self::Oversleeps,
        Self::AnswersTheWrongClient,
        Self::AnswersTheWrongNumber,
        Self::GoesOnAfterTheEnd,
        Self::SwapsWorkers,
        Self::GivesToTheGone,
        Self::RepeatsTokens,
        Self::SwallowsCancels,
        Self::MixesBodies,
        Self::NeverShrinksTime,
        Self::NeverReleases,
        Self::SendsNoConfig,
        Self::SendsNoPong,
        Self::SendsNoBeats,
        Self::LiesAboutTheStart,
        Self::LiesAboutTheReason,
        Self::ShortensGathered,
        Self::SpeaksTheWrongLanguage,
        Self::ClosesNobody,
    ];

    /// The promises of which one must be named when it is found.
    pub(crate) fn breaks(self) -> &'static [Promise] {
        match self {
            Self::SwallowsFinals | Self::DoublesAnswers | Self::AcceptsTwins => {
                &[Promise::OneFinal]
            }
            Self::NeverExpires | Self::GoesOnAfterTheEnd => &[Promise::OneFinal],
            // A credit is missed where a task could have had it, or when the books are compared.
            Self::LosesCredits => &[Promise::IdleHands, Promise::Books],
            Self::LeaksTasks => &[Promise::Books, Promise::NothingAfterLost],
            Self::KeepsTheDead => &[
                Promise::Books,
                Promise::NothingAfterLost,
                Promise::CancelTold,
                Promise::OneStart,
                Promise::HonestRefusal,
            ],
            Self::PitiesTheSilent | Self::HearsVoices => &[Promise::Alive],
            Self::ForgetsOneClient | Self::PutsOffQuestions => {
                &[Promise::IdleHands, Promise::Books, Promise::OneFinal]
            }
            Self::SwallowsAnnouncements => &[Promise::Announced],
            Self::IgnoresCapacity => &[Promise::Capacity, Promise::IdleHands, Promise::LongestIdle],
            Self::TakesOneMore => &[Promise::Capacity],
            Self::RepeatsEverything | Self::RepeatsTokens => &[Promise::OneStart],
            Self::BelievesForgers => &[Promise::Faithful],
            // Where nobody waited any more, it is a credit that is free too early.
            Self::BelievesTheLate => &[Promise::Faithful, Promise::Capacity, Promise::Books],
            Self::DropsParts => &[Promise::Faithful],
            Self::IgnoresDrain | Self::DrainsTooEarly => &[Promise::Drain],
            Self::LosesTheLiving => &[Promise::Alive],
            Self::ForgetsGoodbyes => &[Promise::Alive, Promise::Books, Promise::CancelTold],
            Self::SwallowsAnswers => &[
                Promise::OneFinal,
                Promise::Books,
                Promise::CancelTold,
                Promise::Drain,
                Promise::OneStart,
                Promise::IdleHands,
            ],
            Self::Oversleeps => &[
                Promise::OneFinal,
                Promise::Announced,
                Promise::Alive,
                Promise::Drain,
            ],
            Self::AnswersTheWrongClient | Self::AnswersTheWrongNumber => &[Promise::RightClient],
            Self::SwapsWorkers => &[Promise::LongestIdle, Promise::Capacity],
            Self::GivesToTheGone => &[Promise::Capacity],
            Self::SwallowsCancels => &[Promise::CancelTold],
            Self::MixesBodies => &[Promise::OneStart, Promise::Faithful],
            Self::NeverShrinksTime => &[Promise::TimeTold],
            Self::NeverReleases => &[Promise::Released],
            Self::SendsNoConfig => &[Promise::Announced],
            Self::SendsNoPong | Self::SendsNoBeats => &[Promise::Alive],
            Self::LiesAboutTheStart | Self::LiesAboutTheReason => &[Promise::HonestRefusal],
            Self::ShortensGathered => &[Promise::Faithful],
            Self::SpeaksTheWrongLanguage => &[Promise::Language],
            Self::ClosesNobody => &[Promise::Limits],
        }
    }
}

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
        }
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
                    Fault::ForgetsOneClient => {
                        return *self.first_client.get_or_insert(*peer) == *peer;
                    }
                    _ => {}
                }
            }
            Word::Announce(announcement) => match self.fault {
                Fault::SwallowsAnnouncements => return self.every(3),
                Fault::TakesOneMore if announcement.capacity > 0 => announcement.capacity += 1,
                _ => {}
            },
            Word::Ping(ping) if self.fault == Fault::IgnoresCapacity => ping.capacity = None,
            Word::Bye(_) if self.fault == Fault::ForgetsGoodbyes => {
                return self.workers.contains_key(peer);
            }
            Word::Reply(reply) => {
                if let Some(real) = self.renamed.get(&reply.token) {
                    reply.token = *real;
                }
                let holder = self.given.get(&reply.token).cloned();
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
                    _ => false,
                };
                if dropped {
                    return;
                }
            }
            Action::Hold { on: false, .. } if self.fault == Fault::NeverReleases => return,
            Action::Close { .. } if self.fault == Fault::ClosesNobody => return,
            Action::Note(fact) => self.speak_fact(fact),
            _ => {}
        }
        let early = self.fault == Fault::DrainsTooEarly
            && matches!(&action, Action::Note(Fact::Draining { tasks }) if *tasks > 0);
        out.push(action);
        if early {
            out.push(Action::Drained);
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
        let partial = matches!(answer, Answer::Reply { partial: true, .. });
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
            Fact::WorkerLeft { peer, why, .. } => {
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
