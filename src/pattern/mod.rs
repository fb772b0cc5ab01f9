//! Where a message goes and where one comes from: the rules of the eleven socket types, for peers
//! that are small numbers. What a peer is, and how bytes get to it, is for others to know.
//!
//! A socket type is a sentence out of a few words ([`row`] is the table): PUSH balances, ROUTER
//! takes turns and knows names. Each word is a file.

mod identity;
mod interest;
mod lockstep;
mod subscription;
mod table;
mod trie;
mod turns;
mod words;

pub use identity::Handover;
pub use interest::Interests;
pub use subscription::{Bounds, Change, Full, Subscriptions};
pub use table::{In, Out, row};
pub use turns::Turns;
pub use words::{Dropped, Ignored, Refusal, Taken, Unwelcome, Violation, Way, Welcome};

use std::collections::{BTreeSet, VecDeque};

use bytes::Bytes;

use crate::limits::Limits;
use crate::wire::{Message, SocketType};
use identity::Names;
use lockstep::{Answering, Asking, Reply};

/// What a program may choose about a pattern. The names in brackets are libzmq's.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Config {
    /// ROUTER: what cannot be routed is an error, not dropped (`ROUTER_MANDATORY`).
    pub mandatory: bool,
    /// ROUTER: who may take over a name (`ROUTER_HANDOVER`).
    pub handover: Handover,
    /// REQ: a new request may be sent before the last one is answered (`REQ_RELAXED`).
    pub relaxed: bool,
    /// REQ: requests carry an id, and only its own is an answer (`REQ_CORRELATE`).
    pub correlate: bool,
    /// XPUB: which subscriptions the program hears of (`XPUB_VERBOSE`, `XPUB_VERBOSER`).
    pub verbose: Verbose,
    /// XPUB: the program decides what a subscriber gets (`XPUB_MANUAL`).
    pub manual: bool,
    /// XPUB: and the next message goes to the last subscriber only
    /// (`XPUB_MANUAL_LAST_VALUE`).
    pub last_value: bool,
    /// XPUB: wait for slow subscribers instead of dropping their messages (`XPUB_NODROP`).
    pub no_drop: bool,
    /// PUB, XPUB, SUB: topics say what is *not* wanted (`INVERT_MATCHING`).
    pub invert: bool,
    /// XSUB: pass on every end, also of what was not subscribed to or still is, by another call
    /// (`XSUB_VERBOSE_UNSUBSCRIBE`).
    pub verbose_unsubscribe: bool,
    /// REP: how many parts an envelope may have, the empty one included.
    pub envelope: usize,
    /// PUB, XPUB: how many subscriptions are kept, and how long topics may be. Stays as it was at
    /// the beginning.
    pub bounds: Bounds,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            mandatory: false,
            handover: Handover::default(),
            relaxed: false,
            correlate: false,
            verbose: Verbose::default(),
            manual: false,
            last_value: false,
            no_drop: false,
            invert: false,
            verbose_unsubscribe: false,
            envelope: Limits::default().envelope,
            bounds: Bounds::default(),
        }
    }
}

/// See [`Config::verbose`].
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Verbose {
    /// A topic's first subscriber, and its last one's end.
    #[default]
    No,
    /// Every subscription, and the last one's end.
    Subscriptions,
    /// Every subscription and every end.
    All,
}

/// The pattern of one socket.
#[derive(Debug)]
pub struct Pattern {
    config: Config,
    out: Out,
    inward: In,
    exclusive: bool,
    members: BTreeSet<u32>,
    /// Peers with room, for types that balance.
    balance: Turns,
    names: Names,
    asking: Asking,
    answering: Answering,
    subscriptions: Subscriptions,
    /// XPUB_MANUAL: what subscribers asked for, whatever they get.
    asked_for: Subscriptions,
    interests: Interests,
    notices: VecDeque<Notice>,
    /// XPUB_MANUAL: whose notice was received last.
    last: Option<u32>,
    /// Whom alone the next message goes to.
    only: Option<u32>,
    targets: Vec<u32>,
}

#[derive(Debug)]
struct Notice {
    peer: Option<u32>,
    message: Message,
}

impl Pattern {
    /// A socket without peers. `first` is where request ids and automatic names begin; strangers
    /// should not be able to guess it.
    #[must_use]
    pub fn new(kind: SocketType, config: Config, first: u32) -> Self {
        let (out, inward) = row(kind);
        Self {
            config,
            out,
            inward,
            exclusive: matches!(kind, SocketType::Pair),
            members: BTreeSet::new(),
            balance: Turns::default(),
            names: Names::new(first),
            asking: Asking::new(first, config.correlate),
            answering: Answering::default(),
            subscriptions: Subscriptions::new(config.bounds),
            asked_for: Subscriptions::new(config.bounds),
            interests: Interests::new(),
            notices: VecDeque::new(),
            last: None,
            only: None,
            targets: Vec::new(),
        }
    }

    /// Who would have to give its name up if `peer` [joined](Self::join) so.
    #[must_use]
    pub fn displaces(&self, peer: u32, identity: &Bytes, user: Option<&Bytes>) -> Option<u32> {
        let bearer = self.names.bearer_of(peer, identity)?;
        let may = self.names.may_take(bearer, user, self.config.handover);
        (self.out == Out::Route && may).then_some(bearer)
    }

    /// Lets a peer in that names itself `identity` (empty for no name) and has authenticated as
    /// `user`, if at all.
    ///
    /// # Errors
    /// It is to be turned away.
    pub fn join(
        &mut self,
        peer: u32,
        identity: &Bytes,
        user: Option<&Bytes>,
    ) -> Result<Welcome, Unwelcome> {
        if self.exclusive && self.members.iter().any(|member| *member != peer) {
            return Err(Unwelcome::Taken);
        }
        let mut welcome = Welcome::default();
        if self.out == Out::Route {
            let (name, displaced) = self
                .names
                .take(peer, identity, user, self.config.handover)
                .map_err(|_| Unwelcome::NameTaken)?;
            welcome = Welcome {
                name: Some(name),
                displaced,
            };
        }
        self.members.insert(peer);
        if self.balances() {
            self.balance.add(peer);
        }
        Ok(welcome)
    }

    /// A peer is gone, and its number free.
    pub fn leave(&mut self, peer: u32) {
        self.members.remove(&peer);
        self.balance.remove(peer);
        self.names.give_up(peer);
        self.asking.leave(peer);
        self.answering.leave(peer);
        if self.only == Some(peer) {
            self.only = None;
        }
        if self.last == Some(peer) {
            self.last = None;
        }
        for notice in &mut self.notices {
            if notice.peer == Some(peer) {
                notice.peer = None;
            }
        }
        self.unsubscribe_all(peer);
    }

    /// XPUB's program hears of all that it would hear of if the peer had cancelled each topic.
    fn unsubscribe_all(&mut self, peer: u32) {
        let tells = self.inward == In::Subscriptions;
        let manual = self.config.manual;
        let notices = &mut self.notices;
        let mut tell = |topic: &[u8]| {
            notices.push_back(Notice {
                peer: None,
                message: notice(false, topic),
            });
        };
        let every = manual || self.config.verbose == Verbose::All;
        if tells && every {
            let set = if manual {
                &self.asked_for
            } else {
                &self.subscriptions
            };
            set.topics(peer).for_each(&mut tell);
        }
        self.subscriptions.leave(peer, |topic| {
            if tells && !every {
                tell(topic);
            }
        });
        self.asked_for.leave(peer, |_| ());
    }

    /// A peer has no room for the time being.
    pub fn full(&mut self, peer: u32) {
        self.balance.remove(peer);
    }

    /// A peer has room again.
    pub fn room(&mut self, peer: u32) {
        if self.balances() && self.members.contains(&peer) {
            self.balance.add(peer);
        }
    }

    /// Whether a message could leave without waiting, as far as peers with room decide that.
    #[must_use]
    pub fn has_room(&self) -> bool {
        !self.balances() || !self.balance.is_empty()
    }

    /// REQ: begins a new request, if one may leave now; the last one is given up. Tells whether it
    /// may. What has come by then is no answer to it, and should be [heard](Self::hear) before it
    /// is sent.
    pub fn begin_to_ask(&mut self) -> bool {
        let may = self.out == Out::Ask
            && self.has_room()
            && (self.config.relaxed || !self.asking.is_waiting());
        if may {
            self.asking.abandon();
        }
        may
    }

    /// Decides where a message goes. `full` tells whether a peer has no room.
    pub fn send(&mut self, message: Message, full: impl Fn(u32) -> bool) -> Way {
        if message.is_empty() {
            return Way::Refused(message, Refusal::Empty);
        }
        match self.out {
            Out::Balance => {
                let Some(peer) = self.balance.front() else {
                    return Way::Wait(message);
                };
                self.balance.pass();
                Way::To {
                    peer,
                    head: None,
                    body: message,
                }
            }
            Out::Ask => {
                if self.asking.is_waiting() && !self.config.relaxed {
                    return Way::Refused(message, Refusal::ReceiveFirst);
                }
                let Some(peer) = self.balance.front() else {
                    return Way::Wait(message);
                };
                self.balance.pass();
                Way::To {
                    peer,
                    head: Some(self.asking.ask(peer)),
                    body: message,
                }
            }
            Out::Answer => match self.answering.answer() {
                None => Way::Refused(message, Refusal::ReceiveFirst),
                Some((None, _)) => Way::Dropped(Dropped::Gone),
                Some((Some(peer), _)) if full(peer) => Way::Dropped(Dropped::Full),
                Some((Some(peer), head)) => Way::To {
                    peer,
                    head: Some(head),
                    body: message,
                },
            },
            Out::Route => {
                let mut parts = message.parts();
                let peer = self.names.peer(parts.next().unwrap_or_default());
                let lone = parts.next().is_none();
                let mandatory = self.config.mandatory;
                match peer {
                    None if mandatory => Way::Refused(message, Refusal::Unroutable),
                    None => Way::Dropped(Dropped::Unroutable),
                    Some(_) if lone => Way::Refused(message, Refusal::Empty),
                    Some(peer) if full(peer) && mandatory => Way::Wait(message),
                    Some(peer) if full(peer) => Way::Dropped(Dropped::Full),
                    Some(peer) => {
                        let mut body = message;
                        body.skip(1);
                        Way::To {
                            peer,
                            head: None,
                            body,
                        }
                    }
                }
            }
            Out::Publish => {
                self.aim(message.first().unwrap_or_default());
                if self.config.no_drop && self.targets.iter().any(|peer| full(*peer)) {
                    return Way::Wait(message);
                }
                self.only = None;
                Way::Each(message)
            }
            Out::Upstream => {
                if let Some((on, topic)) = as_subscription(&message) {
                    let topic = Bytes::copy_from_slice(topic);
                    let tell = self.interest(on, &topic);
                    return Way::Subscription { on, topic, tell };
                }
                self.targets.clear();
                self.targets.extend(&self.members);
                Way::Each(message)
            }
            Out::Nothing => Way::Refused(message, Refusal::NoSender),
        }
    }

    /// The peers of [`Way::Each`].
    #[must_use]
    pub fn targets(&self) -> &[u32] {
        &self.targets
    }

    /// Whether the program may receive now.
    ///
    /// # Errors
    /// It may not; [`Refusal::Lost`] is told once.
    pub fn may_receive(&mut self) -> Result<(), Refusal> {
        match self.inward {
            In::Nothing | In::Quiet => Err(Refusal::NoReceiver),
            In::Reply if self.asking.take_lost() => Err(Refusal::Lost),
            In::Reply if !self.asking.is_waiting() => Err(Refusal::SendFirst),
            In::Request if self.answering.owes() => Err(Refusal::SendFirst),
            _ => Ok(()),
        }
    }

    /// Decides what becomes of a message from `peer`. REP hears the next request when it
    /// [may](Self::may_receive): an answer it owes would go to the new one's peer.
    pub fn hear(&mut self, peer: u32, message: Message) -> Taken {
        match self.inward {
            In::Turns => Taken::Message {
                from: None,
                body: message,
            },
            // Without a name the program would take the first part for one.
            In::Named => match self.names.name(peer) {
                None => Taken::Ignored(Ignored::Stale),
                from => Taken::Message {
                    from: from.cloned(),
                    body: message,
                },
            },
            In::Reply => match self.asking.hear(peer, message) {
                Reply::Body(body) => Taken::Message { from: None, body },
                Reply::Stale => Taken::Ignored(Ignored::Stale),
                Reply::Malformed => Taken::Close(Violation::NoReply),
            },
            In::Request => match self.answering.hear(peer, message, self.config.envelope) {
                Some(body) => {
                    if !self.members.contains(&peer) {
                        self.answering.leave(peer);
                    }
                    Taken::Message { from: None, body }
                }
                None => Taken::Ignored(Ignored::NoRequest),
            },
            In::Filter => {
                let first = message.first().unwrap_or_default();
                if self.interests.wants(first) == self.config.invert {
                    return Taken::Ignored(Ignored::Unwanted);
                }
                Taken::Message {
                    from: None,
                    body: message,
                }
            }
            In::Subscriptions | In::Quiet => match as_subscription(&message) {
                Some((on, topic)) => self.subscription(peer, on, topic),
                None if self.inward == In::Quiet => Taken::Ignored(Ignored::NoReceiver),
                None => Taken::Message {
                    from: None,
                    body: message,
                },
            },
            In::Nothing => Taken::Ignored(Ignored::NoReceiver),
        }
    }

    /// A peer subscribes to a topic, or ends that. Only PUB and XPUB keep it, and only while the
    /// peer is connected: it would cost the others memory, or pass to who gets the number next.
    pub fn subscription(&mut self, peer: u32, on: bool, topic: &[u8]) -> Taken {
        if self.out != Out::Publish {
            return Taken::Ignored(Ignored::NoReceiver);
        }
        if !self.members.contains(&peer) {
            return Taken::Ignored(Ignored::Stale);
        }
        let manual = self.config.manual && self.inward == In::Subscriptions;
        let set = if manual {
            &mut self.asked_for
        } else {
            &mut self.subscriptions
        };
        let change = if on {
            match set.subscribe(peer, topic) {
                Ok(change) => change,
                Err(_) => return Taken::Ignored(Ignored::Full),
            }
        } else {
            set.cancel(peer, topic)
        };
        let all = match self.config.verbose {
            Verbose::No => false,
            Verbose::Subscriptions => on,
            Verbose::All => true,
        };
        if self.inward == In::Subscriptions && (all || manual || change == Change::Topic) {
            self.notices.push_back(Notice {
                peer: Some(peer),
                message: notice(on, topic),
            });
        }
        Taken::Subscription
    }

    /// The next subscription that XPUB's program has not heard of: one part, 1 or 0 and the topic.
    pub fn notice(&mut self) -> Option<Message> {
        let notice = self.notices.pop_front()?;
        self.last = notice.peer;
        Some(notice.message)
    }

    /// How many [notices](Self::notice) wait.
    #[must_use]
    pub fn notices(&self) -> usize {
        self.notices.len()
    }

    /// XPUB_MANUAL: the program decides for the subscriber whose notice it received last that it
    /// gets `topic` from now on, or no more. False if that one is gone, or decides itself.
    ///
    /// # Errors
    /// A bound.
    pub fn decide(&mut self, on: bool, topic: &[u8]) -> Result<bool, Full> {
        let Some(peer) = self.last.filter(|_| self.config.manual) else {
            return Ok(false);
        };
        if on {
            self.subscriptions.subscribe(peer, topic)?;
            self.only = self.config.last_value.then_some(peer);
        } else {
            self.subscriptions.cancel(peer, topic);
        }
        Ok(true)
    }

    /// SUB and XSUB want a topic, or no more; true if the publishers have to be told.
    pub fn interest(&mut self, on: bool, topic: &[u8]) -> bool {
        if on {
            self.interests.subscribe(topic)
        } else {
            let verbose = self.config.verbose_unsubscribe && self.out == Out::Upstream;
            self.interests.cancel(topic) || verbose
        }
    }

    /// All that SUB and XSUB want, for a publisher that is new.
    #[must_use]
    pub fn interests(&self) -> &Interests {
        &self.interests
    }

    /// Topics that subscribers have, each counted for each subscriber.
    #[must_use]
    pub fn subscriptions(&self) -> usize {
        self.subscriptions.len()
    }

    /// REQ: whose answer is waited for.
    #[must_use]
    pub fn asked(&self) -> Option<u32> {
        self.asking.asked()
    }

    /// ROUTER: the name of a peer.
    #[must_use]
    pub fn name(&self, peer: u32) -> Option<&Bytes> {
        self.names.name(peer)
    }

    /// ROUTER: whether somebody has that name.
    #[must_use]
    pub fn knows(&self, name: &[u8]) -> bool {
        self.names.peer(name).is_some()
    }

    /// Applies options that may change while peers are connected.
    pub fn configure(&mut self, config: Config) {
        self.asking.correlate(config.correlate);
        self.config = Config {
            bounds: self.config.bounds,
            ..config
        };
    }

    fn balances(&self) -> bool {
        matches!(self.out, Out::Balance | Out::Ask)
    }

    /// Finds who gets a message with that first part.
    fn aim(&mut self, first: &[u8]) {
        if let Some(only) = self.only {
            self.targets.clear();
            if self.subscriptions.wants(only, first) != self.config.invert {
                self.targets.push(only);
            }
            return;
        }
        self.subscriptions.matching(first, &mut self.targets);
        if self.config.invert {
            let wanting: BTreeSet<u32> = self.targets.drain(..).collect();
            self.targets.extend(self.members.difference(&wanting));
        }
    }
}

/// A subscription in message form: one part, 1 or 0 and the topic (RFC 29).
fn as_subscription(message: &Message) -> Option<(bool, &[u8])> {
    let mut parts = message.parts();
    let (&on, topic) = parts.next()?.split_first()?;
    (on <= 1 && parts.next().is_none()).then_some((on == 1, topic))
}

fn notice(on: bool, topic: &[u8]) -> Message {
    let mut part = Vec::with_capacity(1 + topic.len());
    part.push(u8::from(on));
    part.extend_from_slice(topic);
    Message::single(&part)
}
