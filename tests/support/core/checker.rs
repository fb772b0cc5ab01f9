//! A model of the broker's promises that knows nothing of how they are kept. It is told every
//! turn, event and actions, and reports the first broken promise as a value.

use std::collections::{BTreeMap, BTreeSet, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use scale0::broker::{Access, Action, Config, Event, Fact, Overflow, PeerId, Right, Snapshot};
use scale0::protocol::{
    Allowance, Announcement, Answer, Ask, Assignment, Dialect, Id, Name, Notice, Offer, Reading,
    Reply, Return, Status, Wants, Word,
};
use scale0::security::User;
use scale0::time::Time;
use scale0::wire::Message;

use scale0::protocol::Policy;

use super::choice::{Choices, Post, Ruling, Standing};
use super::{Turn, rights};

/// The promises of `scale0::broker`, by their numbers, and what else must hold.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Promise {
    OneFinal = 1,
    NothingAfterLost,
    Capacity,
    DeadlineAhead,
    SameActions,
    Limits,
    OneStart,
    RightClient,
    Rights,
    Credit,
    /// A client's tasks in their order, what is important first.
    Turns,
    /// No idle hands, balanced books, no surprises.
    Order,
}

#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Broken {
    pub(crate) promise: Promise,
    pub(crate) why: String,
}

type Checked = Result<(), Broken>;

fn broken(promise: Promise, why: impl Into<String>) -> Checked {
    Err(Broken {
        promise,
        why: why.into(),
    })
}

macro_rules! must {
    ($holds:expr, $promise:ident, $($why:tt)+) => {
        if !$holds {
            return broken(Promise::$promise, format!($($why)+));
        }
    };
}

#[derive(Debug, Default)]
struct Peer {
    user: Option<User>,
    local: bool,
    /// It understands what it did not ask for.
    capable: bool,
    lost: bool,
    closed: bool,
    held: bool,
    watched: bool,
    full: bool,
    /// It counts credit, as a client.
    credit: bool,
    worker: Option<Worker>,
    /// The newest announcement, until it is applied.
    stated: Option<Announcement>,
}

#[derive(Debug)]
struct Worker {
    dialect: Dialect,
    /// All that it wants to offer.
    said: Vec<Offer>,
    capacity: usize,
    offers: Vec<Offer>,
    deep: bool,
    credit: bool,
    suspect: bool,
    /// It was told to go elsewhere, and has offered nothing since.
    sent_away: bool,
    holding: BTreeMap<Id, usize>,
    /// When it last became ready or was given a task, as a rank.
    since: u64,
    /// It had room when last looked at.
    room: bool,
    /// One for each of its offers.
    posts: BTreeMap<Name, Post>,
}

#[derive(Debug)]
struct Task {
    peer: PeerId,
    back: Return,
    service: Name,
    /// The offer in whose queue it stands: its own name, or a wildcard.
    home: Name,
    /// It has been in another queue.
    moved: bool,
    idempotent: bool,
    priority: u8,
    arrived: Time,
    /// The value of its property `Key`.
    key: Option<Vec<u8>>,
    deadline: Time,
    at: At,
    attempts: u16,
    /// When its worker got it.
    given: Time,
    /// Who refused it, and until when they are not asked again.
    refusals: Vec<(PeerId, Time)>,
    /// It may be started again when its worker is lost, and when the one before was.
    again: bool,
    before: bool,
    /// A part of the reply has reached the client.
    streamed: bool,
    gathered: Vec<Message>,
    /// Parts that the client has not been sent.
    parts: VecDeque<Reply>,
    /// What the client still takes, if it counts.
    window: Option<Window>,
    /// What the worker still has, if it counts.
    up: Option<Window>,
    /// It has sent something beyond that.
    beyond: bool,
    /// It has sent something.
    begun: bool,
    /// It has its final answer, or nobody to give it to.
    done: bool,
    /// No rule allowed it when it came.
    forbidden: bool,
    wants: Wants,
    /// One-way, and nothing more is to be said of it.
    told: bool,
    /// Somebody offered its service when it came.
    welcome: bool,
}

/// Messages and bytes of bodies; below zero is owed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Window {
    messages: i64,
    bytes: i64,
}

impl Window {
    /// As `spec/scale0.md` has it.
    const INITIAL: Self = Self {
        messages: 16,
        bytes: 1_048_576,
    };
    /// What a worker is told at most.
    const MOST: Self = Self {
        messages: 1024,
        bytes: 4_194_304,
    };

    fn is_open(self) -> bool {
        self.messages > 0 && self.bytes > 0
    }

    fn take(&mut self, body: &Message) {
        self.messages -= 1;
        self.bytes -= body.parts().map(<[u8]>::len).sum::<usize>() as i64;
    }

    fn widen(&mut self, messages: u16, kib: u32) {
        self.messages += i64::from(messages);
        self.bytes += i64::from(kib) * 1024;
    }
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum At {
    /// Asked for in this turn; refused or taken on by its end.
    Door,
    Queue,
    Worker(PeerId),
    /// Its worker was lost in this turn.
    Orphaned,
    Over,
}

/// What this turn's event allows or demands.
#[derive(Debug, Default)]
struct Due {
    /// Other rules hold.
    rules: bool,
    fresh: Option<usize>,
    /// A question to the broker itself, or a malformed task: one answer.
    own: Option<(PeerId, Return, Name)>,
    /// What an operator wants to be set.
    set: Option<Message>,
    /// Workers whose standing must change, by what just happened.
    rulings: Vec<(PeerId, Name, Ruling)>,
    reply: Option<(usize, Reply)>,
    partial: Option<usize>,
    /// A task that must be over by the end of the turn.
    must_end: Option<usize>,
    cancel: Option<(PeerId, Id, Message)>,
    bye: Option<PeerId>,
    /// Whose connection is held back from now on.
    held: Option<PeerId>,
    /// Whose task was taken on beyond a limit.
    beyond: Option<PeerId>,
    /// Who refuses its task in this turn.
    refused: Option<PeerId>,
    /// A worker that is trusted again; it stands behind all that were served meanwhile.
    trusted: Option<PeerId>,
    /// A drain is called off.
    undrained: bool,
    /// The way back of a NEEDBROKER.
    need: Option<Return>,
    /// Workers that were told to go; their seats are taken from them.
    sent_away: BTreeSet<PeerId>,
    /// The task of the CANCEL that comes next: it tells unnumbered tasks apart.
    cancelled: Option<usize>,
}

#[derive(Debug)]
pub(crate) struct Checker {
    config: Config,
    access: Option<Arc<Access>>,
    peers: BTreeMap<PeerId, Peer>,
    tasks: Vec<Task>,
    by_body: BTreeMap<Message, usize>,
    tokens: HashSet<Id>,
    choices: Choices,
    rank: u64,
    /// When what is left is told that time is up.
    draining: Option<Time>,
    /// That cannot be called off any more.
    for_good: bool,
    dropped: u64,
    before: Option<Snapshot>,
    now: Time,
    due: Due,
}

impl Checker {
    pub(crate) fn new(config: Config) -> Self {
        Self {
            access: config.access.clone(),
            config,
            peers: BTreeMap::new(),
            tasks: Vec::new(),
            by_body: BTreeMap::new(),
            tokens: HashSet::new(),
            choices: Choices::default(),
            rank: 0,
            draining: None,
            for_good: false,
            dropped: 0,
            before: None,
            now: Time::ZERO,
            due: Due::default(),
        }
    }

    /// Who waits for what nobody offers any more goes where its name leads now.
    fn rehome(&mut self) {
        for index in 0..self.tasks.len() {
            let task = &self.tasks[index];
            let waits = matches!(task.at, At::Door | At::Queue | At::Orphaned);
            if task.done || !waits || self.offered(&task.home) {
                continue;
            }
            let home = self.resolve(&task.service);
            let task = &mut self.tasks[index];
            // Nobody is left whom it could be given to: all is forgiven.
            for (_, until) in &mut task.refusals {
                *until = self.now.min(*until);
            }
            task.moved |= task.home != home;
            task.home = home;
        }
    }

    /// By the most specific wildcard, if nobody offers the name itself.
    fn resolve(&self, asked: &Name) -> Name {
        if self.offered(asked) {
            return asked.clone();
        }
        let workers = self
            .peers
            .iter()
            .filter_map(|(id, peer)| Some((id, peer.worker.as_ref()?)));
        let offers = workers.flat_map(|(id, worker)| {
            let may = |offer: &&Offer| self.may(*id, Right::Offer, &offer.service);
            let ours = worker.dialect == Dialect::Scale0;
            worker.offers.iter().filter(may).filter(move |_| ours)
        });
        let fitting = offers
            .map(|offer| &offer.service)
            .filter(|name| name.is_wildcard() && name.serves(asked));
        fitting
            .min_by_key(|name| name.rank())
            .unwrap_or(asked)
            .clone()
    }

    /// Judges one turn. After the first broken promise the rest means nothing.
    pub(crate) fn check(&mut self, turn: &Turn) -> Checked {
        self.now = turn.now;
        self.due = Due::default();
        self.event(&turn.event);
        self.rehome();
        self.look_for_room();
        for (index, action) in turn.actions.iter().enumerate() {
            self.due.cancelled = turn.actions[index + 1..]
                .iter()
                .find(|next| !matches!(next, Action::Note(_) | Action::Hold { .. }))
                .and_then(|next| match next {
                    Action::Cancel { peer, token, .. } => {
                        self.worker(*peer)?.holding.get(token).copied()
                    }
                    _ => None,
                });
            self.rehome();
            self.action(action)?;
            self.look_for_room();
        }
        self.end_of_turn(turn)
    }

    /// When nothing is left to be done: all books balance.
    pub(crate) fn at_rest(&self, snapshot: &Snapshot) -> Checked {
        let open = self.tasks.iter().filter(|task| !task.done).count();
        must!(open == 0, OneFinal, "{open} tasks have no answer");
        let zero = [snapshot.open, snapshot.in_flight, snapshot.queued];
        must!(zero == [0; 3], Order, "something is left: {snapshot:?}");
        must!(
            snapshot.held == 0,
            Order,
            "{} bytes held for nothing",
            snapshot.held
        );
        must!(
            snapshot.paused == 0,
            Order,
            "connections held back for nothing"
        );
        Ok(())
    }

    /// Tasks that were asked for and may still be answered.
    pub(crate) fn open(&self) -> usize {
        self.tasks.iter().filter(|task| !task.done).count()
    }

    fn event(&mut self, event: &Event) {
        match event {
            Event::Opened { peer, user, local } => {
                let peer = self.peers.entry(*peer).or_default();
                (peer.user, peer.local) = (user.clone(), *local);
            }
            Event::Access { access } => {
                self.access = access.clone();
                self.due.rules = true;
            }
            Event::Heard { peer: id, reading } => {
                let peer = self.peers.entry(*id).or_default();
                if peer.lost || peer.closed {
                    return;
                }
                if let Some(worker) = &mut peer.worker
                    && std::mem::take(&mut worker.suspect)
                {
                    self.due.trusted = Some(*id);
                }
                self.heard(*id, reading);
            }
            Event::Lost { peer } => {
                self.drop_client(*peer);
                if let Some(peer) = self.peers.get_mut(peer) {
                    peer.lost = true;
                }
                self.drop_worker(*peer);
            }
            Event::Full { peer, full } => {
                if let Some(peer) = self.peers.get_mut(peer) {
                    peer.full = *full;
                }
            }
            Event::Drain { limit } => {
                self.draining.get_or_insert(self.now + *limit);
                self.for_good = true;
            }
            Event::Sign { .. } | Event::Woke => {}
        }
    }

    fn heard(&mut self, id: PeerId, reading: &Reading) {
        match reading {
            Reading::Word(Word::Ask(ask)) if ask.service.is_reserved() => {
                self.due.own = Some((id, ask.back.clone(), ask.service.clone()));
                if ask.service.as_bytes() == b"s0.set" {
                    self.due.set = Some(ask.body.clone());
                }
                if self.may_administer(id, &ask.service) {
                    self.administered(&ask.service);
                }
            }
            Reading::Word(Word::Ask(ask)) => self.asked(id, ask),
            Reading::Word(Word::Cancel(back)) if back.id != Id::ZERO => {
                self.due.cancel = Some((id, back.id, back.envelope.clone()));
                self.due.must_end = self.numbered(id, back);
            }
            Reading::Word(Word::Credit(credit)) if credit.back.id != Id::ZERO => {
                if let Some(index) = self.numbered(id, &credit.back)
                    && let Some(window) = &mut self.tasks[index].window
                {
                    window.widen(credit.more.messages, credit.more.kib);
                }
            }
            Reading::Word(Word::Announce(announcement)) => {
                if let Some(peer) = self.peers.get_mut(&id) {
                    peer.stated = Some(announcement.clone());
                }
            }
            Reading::Word(Word::Reply(reply)) => self.replied(id, reply),
            Reading::Word(Word::Ping(ping)) => {
                if ping.capable
                    && ping.back.envelope.is_empty()
                    && let Some(peer) = self.peers.get_mut(&id)
                {
                    (peer.capable, peer.credit) = (true, ping.credit);
                }
                if let Some(capacity) = ping.capacity
                    && ping.back.envelope.is_empty()
                    && let Some(peer) = self.peers.get_mut(&id)
                    && let Some(worker) = &mut peer.worker
                {
                    worker.capacity = usize::from(capacity);
                    if let Some(stated) = &mut peer.stated {
                        stated.capacity = capacity;
                    }
                }
            }
            Reading::Word(Word::NeedBroker(back)) => self.due.need = Some(back.clone()),
            Reading::Word(Word::Bye(_)) => {
                self.drop_client(id);
                if let Some(peer) = self.peers.get_mut(&id) {
                    peer.credit = false;
                }
                self.due.bye = Some(id);
            }
            Reading::Refused(refusal) if refusal.task => {
                self.due.own = Some((id, refusal.back.clone(), Name::default()));
            }
            _ => {}
        }
    }

    /// What an administrator's question changes.
    fn administered(&mut self, service: &Name) {
        match service.as_bytes() {
            b"s0.drain" => {
                self.draining
                    .get_or_insert(self.now + self.config.drain_time);
            }
            b"s0.undrain" if !self.for_good => {
                self.draining = None;
                self.due.undrained = true;
            }
            _ => {}
        }
    }

    /// A client's task of this number that has no answer yet.
    fn numbered(&self, id: PeerId, back: &Return) -> Option<usize> {
        self.tasks.iter().position(|task| {
            !task.done
                && !task.told
                && task.peer == id
                && task.back.id == back.id
                && task.back.envelope == back.envelope
        })
    }

    fn asked(&mut self, id: PeerId, ask: &Ask) {
        let ttl = if ask.ttl.is_zero() {
            self.choices
                .ttl(&self.resolve(&ask.service))
                .unwrap_or(self.config.default_ttl)
        } else {
            ask.ttl
        };
        let ttl = ttl.min(self.config.max_ttl).max(Duration::from_millis(1));
        let index = self.tasks.len();
        let forbidden = !self.may(id, Right::Call, &ask.service);
        let welcome = self.offered(&self.resolve(&ask.service));
        let named = ask.back.id != Id::ZERO && !ask.back.whole && !ask.wants.is_oneway();
        let counts = self.peers.get(&id).is_some_and(|peer| peer.credit);
        let counts = counts && named && ask.back.dialect == Dialect::Scale0;
        self.tasks.push(Task {
            peer: id,
            back: ask.back.clone(),
            service: ask.service.clone(),
            home: self.resolve(&ask.service),
            moved: false,
            idempotent: ask.idempotent,
            priority: ask.priority,
            arrived: self.now,
            key: super::choice::key(&ask.properties),
            deadline: self.now + ttl,
            at: At::Door,
            attempts: 0,
            given: self.now,
            refusals: Vec::new(),
            again: false,
            before: false,
            streamed: false,
            gathered: Vec::new(),
            parts: VecDeque::new(),
            window: counts.then_some(Window::INITIAL),
            up: None,
            beyond: false,
            begun: false,
            done: false,
            forbidden,
            wants: ask.wants,
            told: ask.wants == Wants::Nothing,
            welcome,
        });
        self.by_body.insert(ask.body.clone(), index);
        self.due.fresh = Some(index);
    }

    fn replied(&mut self, id: PeerId, reply: &Reply) {
        let Some(worker) = self
            .peers
            .get_mut(&id)
            .and_then(|peer| peer.worker.as_mut())
        else {
            return;
        };
        let Some(&index) = worker.holding.get(&reply.token) else {
            return;
        };
        let task = &mut self.tasks[index];
        if reply.partial {
            if let Some(up) = &mut task.up {
                task.beyond |= !up.is_open();
                up.take(&reply.body);
                task.begun = true;
            }
            // Who sees no status would take it for a part of the answer.
            let shown =
                reply.code != 102 || task.back.dialect == Dialect::Scale0 && !task.back.whole;
            let shown = shown && !task.wants.is_oneway();
            if shown && !task.done && task.back.whole {
                task.gathered.push(reply.body.clone());
            } else if shown && !task.done {
                task.parts.push_back(reply.clone());
            }
            self.due.partial = Some(index);
            return;
        }
        worker.holding.remove(&reply.token);
        let parts = !task.gathered.is_empty() || !task.parts.is_empty();
        if reply.refuses && !task.done && !task.streamed && !parts {
            task.at = At::Queue;
            task.attempts -= 1;
            task.again = task.before;
            task.refusals.push((id, self.now + Duration::from_secs(1)));
            if task.refusals.len() == MOST_REFUSALS {
                self.due.must_end = Some(index);
            }
            let home = task.home.clone();
            if let Some(post) = worker.posts.get_mut(&home) {
                post.release(reply.token);
            }
            self.due.refused = Some(id);
            // Trusted again, it stands ready before another is chosen.
            if self.due.trusted.take().is_some() {
                self.rank += 1;
                worker.since = self.rank;
            }
            // Nobody is left whom it could be given to: all is forgiven.
            if !self.offered(&home) {
                for (_, until) in &mut self.tasks[index].refusals {
                    *until = self.now.min(*until);
                }
            }
            return;
        }
        let (service, waited) = (task.home.clone(), !task.done);
        if task.wants.is_oneway() {
            // Its end, of which nobody hears.
            (task.done, task.at) = (true, At::Over);
        } else if waited {
            self.due.must_end = Some(index);
        }
        self.due.reply = Some((index, reply.clone()));
        if waited {
            self.judge(id, &service, reply.token, reply.code < 500);
        }
        if let Some(post) = self.post_mut(id, &service) {
            post.release(reply.token);
        }
    }

    /// How a task ended for its worker, which may have to go or to come back for it.
    fn judge(&mut self, id: PeerId, service: &Name, token: Id, good: bool) {
        let may_go = !self.config.eject_time.is_zero() && {
            let (out, all) = self.out(service);
            (out + 1) * 2 <= all
        };
        let after = self.config.eject_after;
        let ruling = self
            .post_mut(id, service)
            .and_then(|post| post.judge(token, good, after, may_go));
        if let Some(ruling) = ruling {
            self.due.rulings.push((id, service.clone(), ruling));
        }
    }

    /// How many of a service's workers are out, and how many there are.
    fn out(&self, service: &Name) -> (usize, usize) {
        let workers = self.peers.values().filter_map(|peer| peer.worker.as_ref());
        let posts = workers.filter_map(|worker| worker.posts.get(service));
        let is_out = |post: &Post| post.standing != Standing::Good;
        posts.fold((0, 0), |(out, all), post| {
            (out + usize::from(is_out(post)), all + 1)
        })
    }

    /// Who states weights means them.
    fn policy(&self, service: &Name) -> Policy {
        let workers = self.peers.values().filter_map(|peer| peer.worker.as_ref());
        let mut posts = workers.filter_map(|worker| worker.posts.get(service));
        let unsaid = match posts.any(|post| post.offer.weight != 1) {
            true => Policy::Weighted,
            false => Policy::Idle,
        };
        self.choices.policy(service).unwrap_or(unsaid)
    }

    fn post_mut(&mut self, id: PeerId, service: &Name) -> Option<&mut Post> {
        let worker = self.peers.get_mut(&id)?.worker.as_mut()?;
        worker.posts.get_mut(service)
    }

    fn drop_client(&mut self, id: PeerId) {
        for task in self.tasks.iter_mut().filter(|task| task.peer == id) {
            if task.wants.is_oneway() {
                task.told = true;
                continue;
            }
            task.done = true;
            if !matches!(task.at, At::Worker(_)) {
                task.at = At::Over;
            }
        }
    }

    fn drop_worker(&mut self, id: PeerId) {
        let Some(peer) = self.peers.get_mut(&id) else {
            return;
        };
        peer.stated = None;
        let Some(worker) = peer.worker.take() else {
            return;
        };
        for index in worker.holding.into_values() {
            let task = &mut self.tasks[index];
            task.at = if task.done { At::Over } else { At::Orphaned };
            task.parts.clear();
            task.up = None;
        }
        for service in worker.posts.into_keys() {
            self.gave_up(id, &service);
        }
    }

    /// A worker no longer offers a service.
    fn gave_up(&mut self, id: PeerId, service: &Name) {
        let alone = !self.offered(service);
        self.choices.gave_up(id, service, alone);
        if alone {
            // Nobody is left whom it could be given to: all is forgiven, but to what is still
            // with a worker.
            let waits = |task: &&mut Task| !matches!(task.at, At::Worker(_));
            let of_this = self.tasks.iter_mut().filter(|task| task.home == *service);
            for task in of_this.filter(waits) {
                for (_, until) in &mut task.refusals {
                    *until = self.now.min(*until);
                }
            }
        }
    }

    /// A worker that has gained room stands behind all others.
    fn look_for_room(&mut self) {
        let most = self.config.limits.worker_tasks;
        for peer in self.peers.values_mut() {
            let full = peer.full;
            if let Some(worker) = &mut peer.worker {
                let room = worker.has_room(most) && !full;
                if room && !worker.room {
                    self.rank += 1;
                    worker.since = self.rank;
                }
                worker.room = room;
                for post in worker.posts.values_mut() {
                    let open = room && post.is_open();
                    if open && !post.ready {
                        self.rank += 1;
                        post.entered = self.rank;
                        post.unsure = false;
                    }
                    post.ready = open;
                }
            }
        }
    }

    fn action(&mut self, action: &Action) -> Checked {
        if let Some(id) = addressee(action) {
            let silent = self
                .peers
                .get(&id)
                .is_none_or(|peer| peer.lost || peer.closed);
            must!(!silent, NothingAfterLost, "{action:?}");
        }
        match action {
            Action::Assign {
                peer,
                dialect,
                task,
            } => self.assigned(*peer, *dialect, task),
            Action::Answer {
                peer,
                back,
                service,
                answer,
            } => self.answered(*peer, back, service, answer),
            Action::Query {
                peer,
                back,
                service,
                ..
            } => {
                let asked = self.due.own.take() == Some((*peer, back.clone(), service.clone()));
                must!(asked, RightClient, "nobody asked: {action:?}");
                must!(
                    self.may_administer(*peer, service),
                    Rights,
                    "no rule allows it: {action:?}"
                );
                Ok(())
            }
            Action::Gauge { peer } => {
                self.peers.entry(*peer).or_default().full = true;
                Ok(())
            }
            Action::Watch { peer, on } => {
                self.peers.entry(*peer).or_default().watched = *on;
                Ok(())
            }
            Action::Hold { peer, on } => {
                if *on {
                    self.due.held = Some(*peer);
                }
                let held = &mut self.peers.entry(*peer).or_default().held;
                let changes = std::mem::replace(held, *on) != *on;
                must!(changes, Order, "held or resumed twice: {action:?}");
                Ok(())
            }
            Action::Close { peer } => {
                self.drop_client(*peer);
                self.drop_worker(*peer);
                let peer = self.peers.entry(*peer).or_default();
                (peer.closed, peer.held, peer.watched) = (true, false, false);
                Ok(())
            }
            Action::Cancel { peer, token, .. } => {
                let task = self
                    .worker(*peer)
                    .and_then(|worker| worker.holding.get(token))
                    .map(|index| &self.tasks[*index]);
                must!(task.is_some(), Order, "a CANCEL for nothing: {action:?}");
                must!(
                    task.is_none_or(|task| task.done),
                    OneFinal,
                    "given up, but not answered: {task:?}"
                );
                Ok(())
            }
            Action::Drained { until } => {
                must!(
                    self.draining == Some(*until) && self.open() == 0,
                    OneFinal,
                    "drained too early"
                );
                self.for_good = true;
                Ok(())
            }
            Action::Note(Fact::OnewayFailed {
                peer,
                back,
                service,
                status,
            }) => self.came_to_nothing((*peer, back), service, *status),
            Action::Note(Fact::TaskFailed { service, status }) => {
                self.declined(service, *status);
                Ok(())
            }
            Action::Note(fact) => self.noted(fact),
            Action::Tell {
                peer,
                notice: Notice::ChangeBroker { back, within, .. },
                ..
            } => self.told_to_go(*peer, back, within.is_some()),
            Action::Tell {
                peer,
                notice: Notice::Credit(allowance),
                ..
            } => self.allowed(*peer, allowance),
            Action::Tell { .. } => Ok(()),
        }
    }

    /// Who may be told to go elsewhere, and when.
    fn told_to_go(&mut self, id: PeerId, back: &Return, go: bool) -> Checked {
        let asked = *back == self.due.need.clone().unwrap_or(back.clone());
        let drains = self.draining.is_some() && !self.config.failover.is_empty();
        must!(asked && (drains || !go), Order, "{id:?} is told to go");
        if self.due.need.take().is_some() {
            return Ok(());
        }
        must!(back.envelope.is_empty(), RightClient, "unasked: {back:?}");
        let Some(peer) = self.peers.get_mut(&id) else {
            return broken(Promise::Order, format!("{id:?} never spoke"));
        };
        let services: Vec<Name> = match &mut peer.worker {
            Some(worker) if worker.dialect == Dialect::Scale0 => {
                worker.sent_away = true;
                let homes = worker.homes();
                worker.offers.clear();
                homes.into_iter().map(|offer| offer.service).collect()
            }
            _ => {
                must!(peer.capable, Order, "{id:?} may not understand it");
                Vec::new()
            }
        };
        self.due.sent_away.insert(id);
        let mut waiting = self.tasks.iter().filter(|task| task.at == At::Queue);
        let left = waiting.find(|task| services.contains(&task.home));
        must!(left.is_none(), Order, "{id:?} is sent away from {left:?}");
        self.take_posts(id, self.rank);
        Ok(())
    }

    /// Workers come and change by what they said last; facts tell when it was applied.
    fn noted(&mut self, fact: &Fact) -> Checked {
        match fact {
            Fact::WorkerJoined {
                peer,
                services,
                capacity,
                ..
            }
            | Fact::WorkerChanged {
                peer,
                services,
                capacity,
            } => {
                let joins = matches!(fact, Fact::WorkerJoined { .. });
                if services.is_empty() && self.due.sent_away.remove(peer) {
                    return Ok(());
                }
                self.rank += 1;
                let (rank, most) = (self.rank, self.config.limits.worker_tasks);
                let access = self.access.clone();
                let (id, rules) = (*peer, self.due.rules);
                let peer = self.peers.entry(id).or_default();
                let user = peer.user.clone();
                let may = |offer: &Offer| {
                    let bare = offer.service.bare();
                    let service = bare.as_ref().unwrap_or(&offer.service).as_bytes();
                    access.as_ref().is_none_or(|access| {
                        rights::allowed(access, user.as_ref(), Right::Offer, service)
                    })
                };
                // Other rules let it keep or give it back some of what it once said, and so does
                // the end of a drain.
                let undrained = self.due.undrained;
                if let Some(worker) = peer.worker.as_mut().filter(|_| rules || undrained) {
                    let mut offers = worker.said.clone();
                    offers.retain(|offer| services.contains(&offer.service));
                    let named = offers.iter().map(|offer| &offer.service).eq(services);
                    must!(
                        named && worker.capacity == usize::from(*capacity),
                        Order,
                        "not what it announced: {fact:?}, but {:?}",
                        worker.said
                    );
                    (worker.offers, worker.since) = (offers, rank);
                    worker.sent_away = false;
                    self.take_posts(id, rank);
                    return Ok(());
                }
                let Some(said) = peer.stated.take() else {
                    return broken(Promise::Order, format!("nobody announced: {fact:?}"));
                };
                let mut offers = said.offers.clone();
                offers.retain(may);
                must!(
                    offers.iter().map(|offer| &offer.service).eq(services)
                        && said.capacity == *capacity,
                    Order,
                    "not the newest announcement: {fact:?}, but {said:?}"
                );
                must!(
                    joins == peer.worker.is_none(),
                    Order,
                    "joined twice: {fact:?}"
                );
                let (holding, suspect, posts, away) = match peer.worker.take() {
                    Some(worker) => (
                        worker.holding,
                        worker.suspect,
                        worker.posts,
                        worker.sent_away,
                    ),
                    None => Default::default(),
                };
                let mut worker = Worker {
                    dialect: said.dialect,
                    capacity: usize::from(said.capacity),
                    offers,
                    said: said.offers.clone(),
                    deep: said.deep,
                    credit: said.credit,
                    suspect,
                    sent_away: away && said.offers.is_empty(),
                    holding,
                    since: rank,
                    room: false,
                    posts,
                };
                worker.room = worker.has_room(most) && !peer.full;
                peer.worker = Some(worker);
                self.take_posts(id, rank);
                Ok(())
            }
            Fact::WorkerLeft { peer, .. } => {
                self.drop_worker(*peer);
                Ok(())
            }
            Fact::WorkerEjected {
                peer,
                service,
                pause,
            } => {
                self.ruled(*peer, service, Ruling::Out)?;
                let (now, unit) = (self.now, self.config.eject_time);
                let Some(post) = self.post_mut(*peer, service) else {
                    return broken(Promise::Order, format!("no worker: {fact:?}"));
                };
                let meant = post.eject(now, unit);
                must!(*pause == meant, Order, "not {meant:?}: {fact:?}");
                Ok(())
            }
            Fact::WorkerProbed { peer, service } => {
                let now = self.now;
                let over = self.post_mut(*peer, service).is_some_and(|post| {
                    let over = matches!(post.standing, Standing::Out { until } if until <= now);
                    post.standing = Standing::Probing { token: None };
                    over
                });
                must!(over, Order, "its pause is not over: {fact:?}");
                Ok(())
            }
            Fact::WorkerReturned { peer, service } => {
                let (out, all) = self.out(service);
                // Either it has shown what it can, or too many are out.
                if out * 2 <= all || !self.due.rulings.is_empty() {
                    self.ruled(*peer, service, Ruling::Back)?;
                }
                let now = self.now;
                if let Some(post) = self.post_mut(*peer, service) {
                    post.come_back(now);
                }
                Ok(())
            }
            Fact::TaskRefused { peer, .. } => {
                let refused = self.due.refused.take() == Some(*peer);
                must!(refused, Order, "nobody did: {fact:?}");
                Ok(())
            }
            Fact::ServiceSet { service, policy } => {
                let Some(said) = self.due.set.take() else {
                    return broken(Promise::Order, format!("nobody said so: {fact:?}"));
                };
                self.choices.set(&said);
                let holds = self.policy(service);
                must!(*policy == holds, Order, "it is {holds}: {fact:?}");
                Ok(())
            }
            Fact::WorkerSuspect { peer } => {
                if let Some(worker) = self.peers.get_mut(peer).and_then(|p| p.worker.as_mut()) {
                    worker.suspect = true;
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// A worker has the posts of its offers, and no others.
    fn take_posts(&mut self, id: PeerId, rank: u64) {
        let Some(worker) = self
            .peers
            .get_mut(&id)
            .and_then(|peer| peer.worker.as_mut())
        else {
            return;
        };
        let offers = worker.homes();
        let offered: BTreeSet<Name> = offers.iter().map(|offer| offer.service.clone()).collect();
        let mut lost = Vec::new();
        worker.posts.retain(|service, _| {
            let kept = offered.contains(service);
            if !kept {
                lost.push(service.clone());
            }
            kept
        });
        for offer in offers {
            let others = self.out(&offer.service).1;
            let now = self.now;
            let Some(worker) = self
                .peers
                .get_mut(&id)
                .and_then(|peer| peer.worker.as_mut())
            else {
                return;
            };
            let held = worker.posts.contains_key(&offer.service);
            let post = worker
                .posts
                .entry(offer.service.clone())
                .or_insert_with(|| Post::new(now));
            post.offer = offer.clone();
            (post.entered, post.ready, post.unsure) = (rank, worker.room && post.is_open(), false);
            self.choices.offered(id, &offer, !held && others == 0);
        }
        for service in lost {
            self.gave_up(id, &service);
        }
    }

    /// A worker's standing changes as it must.
    fn ruled(&mut self, id: PeerId, service: &Name, ruling: Ruling) -> Checked {
        let found = (self.due.rulings.iter())
            .position(|ruled| (&ruled.0, &ruled.1, &ruled.2) == (&id, service, &ruling));
        must!(
            found.is_some(),
            Order,
            "{id:?} of {service}: {ruling:?}, but nothing speaks for it"
        );
        self.due.rulings.remove(found.unwrap_or_default());
        Ok(())
    }

    fn assigned(&mut self, id: PeerId, dialect: Dialect, given: &Assignment) -> Checked {
        let limits = self.config.limits.clone();
        let Some(&index) = self.by_body.get(&given.body) else {
            return broken(Promise::RightClient, format!("a task of nobody: {given:?}"));
        };
        let (at, service) = (self.tasks[index].at, self.tasks[index].service.clone());
        let home = self.tasks[index].home.clone();
        must!(
            self.may(id, Right::Offer, &service),
            Rights,
            "no rule lets {id:?} offer {service}"
        );
        let task = &self.tasks[index];
        must!(!task.done, OneStart, "it has its answer already: {given:?}");
        must!(
            !matches!(at, At::Worker(_)),
            OneStart,
            "another worker has it: {given:?}"
        );
        must!(
            task.attempts == 0 || task.may_restart(self.config.max_attempts),
            OneStart,
            "it may not be started again: {given:?}"
        );
        must!(
            given.attempt == task.attempts + 1,
            OneStart,
            "this is not attempt {}: {given:?}",
            given.attempt
        );
        must!(
            self.tokens.insert(given.token),
            OneStart,
            "an old token: {given:?}"
        );
        must!(
            given.ttl == self.now.until(task.deadline) && !given.ttl.is_zero(),
            OneFinal,
            "its time is up, or not told right: {given:?}"
        );
        must!(
            given.service == service,
            RightClient,
            "another service: {given:?}"
        );
        let Some(worker) = self.worker(id) else {
            return broken(Promise::Capacity, format!("no worker: {given:?} to {id:?}"));
        };
        must!(
            worker.dialect == dialect,
            Order,
            "it does not speak {dialect}"
        );
        let offer = worker.seat(&home);
        let Some(offer) = offer else {
            return broken(Promise::Capacity, format!("{id:?} does not offer {home}"));
        };
        let again = task.idempotent || offer.idempotent || dialect.is_majordomo();
        let holds = worker.holding.len();
        must!(
            worker.deep || holds < limits.worker_tasks,
            Limits,
            "{id:?} holds {holds} tasks, limit {}",
            limits.worker_tasks
        );
        must!(
            worker.room,
            Capacity,
            "{id:?} has no room: {holds} of {}, suspect {}",
            worker.capacity,
            worker.suspect
        );
        let counts = worker.credit;
        self.chosen(id, index)?;
        self.taken_on(index)?;
        self.in_turn(index, id)?;
        let now = self.now;
        let task = &mut self.tasks[index];
        task.at = At::Worker(id);
        task.attempts += 1;
        task.given = now;
        (task.before, task.again) = (task.again, again);
        task.gathered.clear();
        task.parts.clear();
        task.up = counts.then_some(Window::INITIAL);
        (task.beyond, task.begun) = (false, false);
        self.rank += 1;
        let rank = self.rank;
        if let Some(worker) = self
            .peers
            .get_mut(&id)
            .and_then(|peer| peer.worker.as_mut())
        {
            worker.holding.insert(given.token, index);
            worker.since = rank;
            for post in worker.posts.values_mut() {
                post.unsure = false;
            }
            if let Some(post) = worker.posts.get_mut(&home) {
                post.take_up(given.token);
            }
        }
        Ok(())
    }

    /// Whether the service's policy names this worker for a task.
    fn chosen(&mut self, id: PeerId, index: usize) -> Checked {
        let task = &self.tasks[index];
        let (service, key) = (task.home.clone(), task.key.clone());
        let refused = task.refusals.iter().any(|(_, until)| *until > self.now);
        let now = self.now;
        let candidates: Vec<_> = self
            .eligible_for(task)
            // Who is trusted again by this very message comes behind what it asks for.
            .filter(|(other, _)| *other == id || self.due.trusted != Some(*other))
            .filter_map(|(id, worker)| {
                let post = worker.posts.get(&service)?;
                Some(post.candidate(id, worker.since, worker.holding.len(), now))
            })
            .collect();
        let policy = self.policy(&service);
        let fits = self
            .choices
            .judge((&service, policy), key.as_deref(), id, &candidates, refused);
        if let Err(why) = fits {
            return broken(Promise::Capacity, why);
        }
        // Who starts slowly may have let its turn pass.
        for slow in candidates.iter().filter(|candidate| candidate.slow) {
            if let Some(post) = self.post_mut(slow.id, &service) {
                post.unsure = true;
            }
        }
        Ok(())
    }

    /// A task leaves its queue: not before an earlier one of its client, and not before a more
    /// important one unless it has waited a second for each level between.
    fn in_turn(&self, index: usize, to: PeerId) -> Checked {
        let task = &self.tasks[index];
        let offers = |home: &Name| {
            let worker = self.worker(to);
            let post = worker.and_then(|worker| worker.posts.get(home));
            post.is_some_and(Post::is_open)
        };
        let waited = self.now.since(task.arrived).as_secs();
        for (other, rival) in self.tasks.iter().enumerate() {
            // What others refused comes first, if it comes: for a second not to who refused it.
            let refused = |task: &Task| !task.refusals.is_empty();
            if other == index || rival.at != At::Queue || refused(task) || refused(rival) {
                continue;
            }
            let same = rival.peer == task.peer
                && rival.home == task.home
                && rival.priority == task.priority;
            let fresh = task.attempts + rival.attempts == 0 && !task.moved && !rival.moved;
            must!(
                !(same && fresh) || index < other,
                Turns,
                "{rival:?} came before {task:?}"
            );
            let above = u64::from(rival.priority.saturating_sub(task.priority));
            must!(
                waited >= above || !offers(&rival.home),
                Turns,
                "{rival:?} is more important than {task:?}"
            );
        }
        Ok(())
    }

    /// A task comes in; what it may come on top of.
    fn taken_on(&mut self, index: usize) -> Checked {
        if self.tasks[index].at != At::Door {
            return Ok(());
        }
        self.tasks[index].at = At::Queue;
        let task = &self.tasks[index];
        must!(!task.forbidden, Rights, "no rule allows it: {task:?}");
        must!(
            self.draining.is_none(),
            Limits,
            "a task is taken on while draining"
        );
        let twin = self.tasks.iter().enumerate().any(|(other, twin)| {
            other != index
                && !twin.done
                && !twin.told
                && twin.peer == task.peer
                && twin.back.id == task.back.id
                && twin.back.envelope == task.back.envelope
        });
        must!(
            task.back.id == Id::ZERO || task.told || !twin,
            OneFinal,
            "two tasks of one id under way"
        );
        let ours = self.client_open(task.peer);
        let of_this = |other: &&Task| other.at == At::Queue && other.home == task.home;
        let waiting = self.tasks.iter().filter(of_this).count();
        let busy = self.eligible(&task.home).next().is_none();
        let limits = &self.config.limits;
        let within = ours <= limits.client_tasks && !(busy && waiting > limits.queue_tasks);
        let worker = self.worker(task.peer).is_some();
        let told = task.back.dialect == Dialect::Scale0
            && (worker || self.config.overflow == Overflow::Refuse);
        if !within && !told {
            self.due.beyond = Some(task.peer);
        }
        must!(
            within || !told,
            Limits,
            "taken on as {ours} of {} of its client, {waiting} of {} in its queue: {task:?}",
            limits.client_tasks,
            limits.queue_tasks
        );
        if let Some(before) = &self.before {
            let known = before.services.iter().any(|s| s.name == task.home);
            let awaited = before.services.iter().filter(|s| s.workers == 0).count();
            must!(
                known || awaited < self.config.limits.awaited_names,
                Limits,
                "{awaited} names waited for, and one more"
            );
        }
        Ok(())
    }

    fn answered(&mut self, id: PeerId, back: &Return, service: &Name, answer: &Answer) -> Checked {
        if let Some((peer, way, name)) = &self.due.own
            && (*peer, way, name) == (id, back, service)
        {
            self.due.own = None;
            let refused =
                matches!(answer, Answer::Error { status, .. } if *status == Status::FORBIDDEN);
            let own = service.as_bytes().starts_with(b"s0.");
            must!(
                !own || refused != self.may_administer(id, service),
                Rights,
                "{service} of {id:?}: {answer:?}"
            );
            return Ok(());
        }
        let is_for =
            |task: &Task| task.peer == id && task.back == *back && task.service == *service;
        let of_this = self.tasks.iter().enumerate();
        let oneway = of_this.filter(|(_, task)| is_for(task) && task.wants == Wants::Receipt);
        if let Some((index, _)) = oneway.min_by_key(|(_, task)| task.done || task.told)
            && *answer == accepted()
        {
            return self.accepted(index);
        }
        let (index, last) = match answer {
            Answer::Reply { partial: true, .. } => {
                let next = |task: &Task| {
                    let said = |reply: &Reply| says(answer, reply, &reply.body);
                    is_for(task) && !task.done && task.parts.front().is_some_and(said)
                };
                let Some(index) = self.tasks.iter().position(next) else {
                    let over = |task: &Task| task.done || task.told;
                    let over = self.tasks.iter().any(|task| is_for(task) && over(task));
                    let promise = if over {
                        Promise::OneFinal
                    } else {
                        Promise::RightClient
                    };
                    return broken(promise, format!("no partial reply was said: {answer:?}"));
                };
                let full = self.peers.get(&id).is_some_and(|peer| peer.full);
                // What waits goes along with the final reply.
                let last = self.due.reply.as_ref().is_some_and(|r| r.0 == index);
                let held = self.is_held(id);
                let task = &mut self.tasks[index];
                task.streamed = true;
                must!(
                    !task.back.whole,
                    RightClient,
                    "it takes one answer only: {answer:?}"
                );
                let open = held || task.window.is_none_or(Window::is_open);
                must!(
                    last || open && !full,
                    Credit,
                    "{id:?} takes no part now, full {full}: {answer:?} for {task:?}"
                );
                if let Some(part) = task.parts.pop_front()
                    && let Some(window) = &mut task.window
                {
                    window.take(&part.body);
                }
                return Ok(());
            }
            Answer::Reply { .. } => {
                let Some((index, reply)) = &self.due.reply else {
                    return broken(
                        Promise::RightClient,
                        format!("no reply was said: {answer:?}"),
                    );
                };
                let task = &self.tasks[*index];
                must!(!task.done, OneFinal, "a second final answer: {answer:?}");
                must!(
                    task.parts.is_empty(),
                    Credit,
                    "parts are left behind: {answer:?} for {task:?}"
                );
                let parts = task.gathered.iter().chain([&reply.body]);
                let body: Message = parts.flat_map(Message::parts).collect();
                must!(
                    is_for(task) && says(answer, reply, &body),
                    RightClient,
                    "{answer:?} to {id:?}, for {task:?}"
                );
                (*index, true)
            }
            Answer::Error {
                status,
                not_executed,
                ..
            } => {
                let fits = |(_, task): &(usize, &Task)| is_for(task) && !task.done && !task.told;
                let of_this = self.tasks.iter().enumerate().filter(fits);
                let found = of_this
                    .filter(|(_, task)| self.may_fail(task, *status))
                    .min_by_key(|(index, task)| {
                        let replied = self.due.reply.as_ref().map(|(index, _)| *index);
                        (
                            task.at != At::Door,
                            self.due.cancelled != Some(*index),
                            replied != Some(*index),
                            self.due.partial != Some(*index),
                            matches!(task.at, At::Worker(_)),
                            task.deadline,
                            *index,
                        )
                    });
                let Some((index, task)) = found else {
                    let mut of_this = self.tasks.iter().filter(|task| is_for(task)).peekable();
                    let promise = if of_this.peek().is_none() {
                        Promise::RightClient
                    } else if of_this.all(|task| task.done || task.told) {
                        Promise::OneFinal
                    } else {
                        Promise::Order
                    };
                    return broken(promise, format!("no task may end so: {answer:?} to {id:?}"));
                };
                must!(
                    *not_executed == (task.attempts == 0),
                    OneStart,
                    "after {} attempts: {answer:?}",
                    task.attempts
                );
                (index, task.at != At::Door)
            }
        };
        if last {
            self.taken_on(index)?;
        }
        if let Answer::Error { status, .. } = answer
            && *status == Status::TIMEOUT
            && let At::Worker(worker) = self.tasks[index].at
        {
            self.late(worker, index);
        }
        let task = &mut self.tasks[index];
        task.done = true;
        if !matches!(task.at, At::Worker(_))
            || self.due.reply.as_ref().is_some_and(|r| r.0 == index)
        {
            task.at = At::Over;
        }
        Ok(())
    }

    /// A worker let a task's deadline pass.
    fn late(&mut self, id: PeerId, index: usize) {
        let (service, given) = (self.tasks[index].home.clone(), self.tasks[index].given);
        let holding = self.worker(id).map(|worker| &worker.holding);
        let token = holding
            .and_then(|holding| holding.iter().find(|(_, task)| **task == index))
            .map(|(token, _)| *token);
        let Some(token) = token else {
            return;
        };
        let fair = self.now.since(given) >= Duration::from_secs(1);
        let probe = self
            .post_mut(id, &service)
            .is_some_and(|post| post.standing == Standing::Probing { token: Some(token) });
        if fair || probe {
            self.judge(id, &service, token, false);
        }
    }

    /// A one-way task's client is told that the broker has taken charge of it.
    fn accepted(&mut self, index: usize) -> Checked {
        self.taken_on(index)?;
        let task = &mut self.tasks[index];
        must!(
            !task.done && !task.told,
            OneFinal,
            "accepted when it is over or its client knows: {task:?}"
        );
        must!(
            task.welcome || matches!(task.at, At::Worker(_)),
            Order,
            "accepted for a service that nobody offers: {task:?}"
        );
        task.told = true;
        Ok(())
    }

    /// A task that wants no word, and was not taken on.
    fn declined(&mut self, service: &Name, status: Status) {
        let Some(fresh) = self.due.fresh else {
            return;
        };
        let task = &self.tasks[fresh];
        if task.wants == Wants::Nothing
            && task.at == At::Door
            && task.service == *service
            && self.may_fail(task, status)
        {
            let task = &mut self.tasks[fresh];
            (task.done, task.at) = (true, At::Over);
        }
    }

    /// A one-way task that was taken on comes to nothing, and nobody hears of it.
    fn came_to_nothing(
        &mut self,
        whose: (PeerId, &Return),
        service: &Name,
        status: Status,
    ) -> Checked {
        if let Some(fresh) = self.due.fresh
            && self.tasks[fresh].told
        {
            self.taken_on(fresh)?;
        }
        let replied = self.due.reply.as_ref().map(|(index, _)| *index);
        let of_this = self.tasks.iter().enumerate().filter(|(_, task)| {
            let is_for = (task.peer, &task.back) == whose && task.service == *service;
            is_for && task.told && !task.done && self.may_fail(task, status)
        });
        let found = of_this.min_by_key(|(index, task)| {
            (
                task.at == At::Orphaned && task.may_restart(self.config.max_attempts),
                task.at != At::Orphaned,
                self.due.cancelled != Some(*index),
                replied != Some(*index),
                matches!(task.at, At::Worker(_)),
                // What is late is over at once; what nobody offers, some time after it came.
                task.deadline > self.now,
                match status {
                    Status::EXPIRED | Status::TIMEOUT => task.deadline,
                    _ => task.arrived,
                },
                *index,
            )
        });
        let Some((index, _)) = found else {
            let why = format!("no one-way task of {service} may end with {status}");
            return broken(Promise::Order, why);
        };
        if status == Status::TIMEOUT
            && let At::Worker(worker) = self.tasks[index].at
        {
            self.late(worker, index);
        }
        let task = &mut self.tasks[index];
        task.done = true;
        if !matches!(task.at, At::Worker(_)) {
            task.at = At::Over;
        }
        Ok(())
    }

    /// Whether a task may come to this end now.
    fn may_fail(&self, task: &Task, status: Status) -> bool {
        let offered = self.offered(&task.home);
        let late = task.deadline <= self.now;
        let waiting = matches!(task.at, At::Queue | At::Orphaned);
        let fresh = task.at == At::Door;
        let time_is_up = self.draining.is_some_and(|at| at <= self.now);
        if task.forbidden {
            return fresh && status == Status::FORBIDDEN;
        }
        match status {
            Status::NO_SERVICE => fresh || (waiting && task.attempts == 0 && !offered),
            Status::EXPIRED => waiting && task.attempts == 0 && late,
            Status::DUPLICATE => fresh && task.back.id != Id::ZERO,
            Status::QUOTA => fresh,
            Status::UNAVAILABLE => fresh || (waiting && task.refusals.len() >= MOST_REFUSALS),
            Status::DRAINING => {
                let drains = self.draining.is_some();
                (fresh && drains) || (time_is_up && task.attempts == 0)
            }
            Status::TOO_LARGE if task.back.whole => !fresh && !task.gathered.is_empty(),
            Status::TOO_LARGE => {
                let ahead = task.ahead();
                let crowded = self.config.limits.held < 1 << 20 && !task.parts.is_empty();
                let tolerated = task.up.is_some() && !task.beyond;
                crowded || (!tolerated && ahead.is_some_and(|a| a >= self.config.limits.ahead))
            }
            Status::CANCELLED => self
                .due
                .cancel
                .as_ref()
                .is_some_and(|(peer, id, envelope)| {
                    (task.peer, task.back.id) == (*peer, *id) && task.back.envelope == *envelope
                }),
            Status::WORKER_LOST => {
                let again = task.may_restart(self.config.max_attempts) && !late;
                let lost = task.at == At::Orphaned && !again;
                // One name more at least is that of the service that nobody offers any more.
                let waiting = self.tasks.iter().filter(|task| {
                    matches!(task.at, At::Queue | At::Orphaned) && !self.offered(&task.home)
                });
                let names: BTreeSet<&Name> = waiting.map(|task| &task.service).collect();
                let no_place = names.len() >= self.config.limits.awaited_names;
                let alone = !offered && (task.at == At::Queue || no_place);
                task.attempts > 0 && (time_is_up || lost || alone)
            }
            Status::TIMEOUT => task.attempts > 0 && late,
            _ => false,
        }
    }

    fn end_of_turn(&mut self, turn: &Turn) -> Checked {
        self.rehome();
        let snapshot = &turn.snapshot;
        let dropped = snapshot.counters.dropped;
        if let Some(fresh) = self.due.fresh
            && self.tasks[fresh].at == At::Door
            && !self.tasks[fresh].done
        {
            let (id, dialect) = (self.tasks[fresh].peer, self.tasks[fresh].back.dialect);
            if dropped > self.dropped && dialect.is_majordomo() && self.worker(id).is_some() {
                self.tasks[fresh].at = At::Over;
                self.tasks[fresh].done = true;
            } else {
                self.taken_on(fresh)?;
            }
        }
        must!(
            self.due
                .beyond
                .is_none_or(|peer| self.due.held == Some(peer)),
            Limits,
            "beyond a limit, and read on: {:?}",
            self.due.beyond
        );
        self.dropped = dropped;
        let own = self.due.own.take();
        let alive = |id: &PeerId| self.peers.get(id).is_some_and(|peer| !peer.closed);
        must!(
            own.as_ref().is_none_or(|(id, ..)| !alive(id)),
            OneFinal,
            "the broker's own answer is missing: {own:?}"
        );
        if let Some(id) = self.due.bye {
            must!(self.worker(id).is_none(), Order, "{id:?} said goodbye");
        }
        if let Some(index) = self.due.must_end {
            must!(
                self.tasks[index].done,
                OneFinal,
                "not answered: {:?}",
                self.tasks[index]
            );
        }
        for task in self.tasks.iter().filter(|task| !task.done) {
            must!(
                task.wants != Wants::Receipt || task.told || !(task.welcome || task.attempts > 0),
                OneFinal,
                "taken charge of, and its client is not told: {task:?}"
            );
        }
        for task in &mut self.tasks {
            if task.at == At::Orphaned && !task.done {
                must!(
                    task.may_restart(self.config.max_attempts),
                    OneStart,
                    "kept for another start: {task:?}"
                );
                task.at = At::Queue;
            }
        }
        must!(
            self.due.rulings.is_empty(),
            Order,
            "left as it was: {:?}",
            self.due.rulings
        );
        self.half_at_most(turn)?;
        if turn.event == Event::Woke {
            for task in self.tasks.iter().filter(|task| !task.done) {
                must!(
                    turn.now.as_micros() / 1000 < task.deadline.as_micros().div_ceil(1000),
                    OneFinal,
                    "past its deadline: {task:?}"
                );
            }
            must!(
                turn.deadline.is_none_or(|at| at > turn.now),
                DeadlineAhead,
                "woken at {:?}, next at {:?}",
                turn.now,
                turn.deadline
            );
        }
        if let Some(id) = self.due.trusted
            && let Some(worker) = self
                .peers
                .get_mut(&id)
                .and_then(|peer| peer.worker.as_mut())
        {
            self.rank += 1;
            worker.since = self.rank;
        }
        self.rights()?;
        self.credit()?;
        self.no_idle_hands()?;
        self.sizes(snapshot)?;
        self.books(snapshot)?;
        self.before = Some(snapshot.clone());
        Ok(())
    }

    /// Of each service half of the workers are out at most, and none for longer than it must.
    fn half_at_most(&self, turn: &Turn) -> Checked {
        for state in &turn.snapshot.services {
            let (out, all) = self.out(&state.name);
            must!(
                out * 2 <= all,
                Order,
                "{out} of {all} workers of {} are out",
                state.name
            );
            must!(
                state.ejected == out && state.policy == self.policy(&state.name),
                Order,
                "{out} are out, chosen by {}: {state:?}",
                self.policy(&state.name)
            );
        }
        let workers = self.peers.values().filter_map(|peer| peer.worker.as_ref());
        for (service, post) in workers.flat_map(|worker| &worker.posts) {
            let late =
                |until: Time| turn.now.as_micros() / 1000 >= until.as_micros().div_ceil(1000);
            must!(
                !matches!(post.standing, Standing::Out { until } if turn.event == Event::Woke && late(until)),
                Order,
                "out of {service} for too long: {post:?}"
            );
        }
        Ok(())
    }

    /// A worker is told that it may send more.
    fn allowed(&mut self, id: PeerId, allowance: &Allowance) -> Checked {
        let Allowance { token, more } = allowance;
        let holds = self.worker(id).and_then(|worker| worker.holding.get(token));
        let Some(&index) = holds else {
            return broken(
                Promise::Credit,
                format!("{id:?} has no such task: {allowance:?}"),
            );
        };
        let full = self.does_not_read(self.tasks[index].peer);
        let held = self.is_held(self.tasks[index].peer);
        let task = &mut self.tasks[index];
        must!(
            !task.done,
            Credit,
            "credit for what nobody waits for: {task:?}"
        );
        let room = match task.window {
            Some(window) if !held => window,
            _ => Window::INITIAL,
        };
        let Some(up) = &mut task.up else {
            return broken(Promise::Credit, format!("{id:?} does not count: {task:?}"));
        };
        up.widen(more.messages, more.kib);
        let fits = |more: bool, has: i64, room: i64, most: i64| !more || has <= room.min(most);
        let fits = fits(
            more.messages > 0,
            up.messages,
            room.messages,
            Window::MOST.messages,
        ) && fits(more.kib > 0, up.bytes, room.bytes, Window::MOST.bytes);
        let any = more.messages > 0 || more.kib > 0;
        must!(
            fits && any,
            Credit,
            "more than there is room for: {allowance:?}, {task:?}"
        );
        must!(
            !full || task.is_taken_at_once(),
            Credit,
            "its client does not read: {allowance:?}"
        );
        Ok(())
    }

    /// It is not read, so its credit is not heard either.
    fn is_held(&self, id: PeerId) -> bool {
        self.peers.get(&id).is_some_and(|peer| peer.held)
    }

    fn does_not_read(&self, id: PeerId) -> bool {
        self.peers.get(&id).is_none_or(|peer| peer.full)
    }

    /// No part waits that may go, and no worker for what it may have.
    fn credit(&self) -> Checked {
        for task in self.tasks.iter().filter(|task| !task.done) {
            if !matches!(task.at, At::Worker(_)) {
                continue;
            }
            let held = self.is_held(task.peer);
            let open = held || task.window.is_none_or(Window::is_open);
            let open = task.is_taken_at_once() || open && !self.does_not_read(task.peer);
            must!(
                !open || task.parts.is_empty(),
                Credit,
                "kept back for nothing: {task:?}"
            );
            must!(
                !open || task.up.is_none_or(Window::is_open),
                Credit,
                "its worker waits for nothing: {task:?}"
            );
            let room = task.window.filter(|_| !held).unwrap_or(Window::INITIAL);
            let due = |up: Window| {
                room.messages.min(Window::MOST.messages) - up.messages
                    >= Window::INITIAL.messages / 2
                    || room.bytes.min(Window::MOST.bytes) - up.bytes >= Window::INITIAL.bytes / 2
            };
            must!(
                !open || !task.begun || !task.up.is_some_and(due),
                Credit,
                "its worker should have been told that there is room: {task:?}"
            );
            must!(
                task.up.is_some() || task.ahead().is_none_or(|a| a < self.config.limits.ahead),
                Limits,
                "its worker is too far ahead: {task:?}"
            );
        }
        Ok(())
    }

    /// Workers have what rules let them have, and nothing else.
    fn rights(&self) -> Checked {
        let complete = self.due.rules && self.config.limits.services >= SERVICES;
        for (id, peer) in &self.peers {
            let Some(worker) = &peer.worker else {
                continue;
            };
            for offer in &worker.said {
                let may = self.may(*id, Right::Offer, &offer.service);
                let has = worker.offers.contains(offer);
                must!(may || !has, Rights, "{id:?} must not offer {offer:?}");
                must!(
                    has || !may || !complete || worker.sent_away,
                    Rights,
                    "{id:?} may offer {offer:?}"
                );
            }
        }
        Ok(())
    }

    /// By the rules as a person would read them.
    fn may(&self, id: PeerId, right: Right, service: &Name) -> bool {
        let user = self.peers.get(&id).and_then(|peer| peer.user.as_ref());
        let bare = service.bare();
        let service = bare.as_ref().unwrap_or(service).as_bytes();
        self.access
            .as_ref()
            .is_none_or(|access| rights::allowed(access, user, right, service))
    }

    /// For the broker's own services; those that change something are for its own machine
    /// where there are no rules.
    fn may_administer(&self, id: PeerId, service: &Name) -> bool {
        let local = self.peers.get(&id).is_some_and(|peer| peer.local);
        let changes = [&b"s0.drain"[..], b"s0.undrain", b"s0.set"].contains(&service.as_bytes());
        let here = local || !changes || self.access.is_some();
        here && self.may(id, Right::Administer, service)
    }

    fn no_idle_hands(&self) -> Checked {
        for task in self.tasks.iter().filter(|task| task.at == At::Queue) {
            let idle = self.eligible_for(task).next();
            must!(
                idle.is_none(),
                Order,
                "{:?} stands ready while {task:?} waits",
                idle.map(|(id, _)| id)
            );
        }
        Ok(())
    }

    /// Majordomo clients cannot be told no, and retried tasks come back whatever waits; all else
    /// stays below the limits.
    fn sizes(&self, snapshot: &Snapshot) -> Checked {
        let limits = &self.config.limits;
        let held = self.peers.values().filter(|peer| peer.held).count();
        for service in &snapshot.services {
            let of_this = |task: &&Task| task.at == At::Queue && task.home == service.name;
            let beyond = |task: &&Task| {
                let blocks = self.config.overflow == Overflow::Block;
                let came_back = task.attempts > 0 || !task.refusals.is_empty();
                came_back || task.moved || blocks || task.back.dialect.is_majordomo()
            };
            let beyond = self.tasks.iter().filter(of_this).filter(beyond).count();
            must!(
                service.queued <= limits.queue_tasks + beyond,
                Limits,
                "{} tasks wait for {}",
                service.queued,
                service.name
            );
            must!(
                beyond > 0 || service.queued_bytes <= limits.queue_bytes,
                Limits,
                "{} bytes wait for {}",
                service.queued_bytes,
                service.name
            );
        }
        // One-way tasks outlive the connection that was held back for them.
        let outlived = self.tasks.iter().any(|task| {
            let client = &self.peers[&task.peer];
            !task.done && task.wants.is_oneway() && (client.lost || client.closed)
        });
        must!(
            held > 0 || outlived || snapshot.held <= limits.held,
            Limits,
            "{} bytes held, limit {}",
            snapshot.held,
            limits.held
        );
        let offered = snapshot.services.iter().filter(|s| s.workers > 0).count();
        must!(
            offered <= limits.services,
            Limits,
            "{offered} services offered"
        );
        // One-way tasks outlive their client.
        let there = |(_, peer): &(&PeerId, &Peer)| !peer.lost && !peer.closed;
        for (id, peer) in self.peers.iter().filter(there) {
            let open = self.client_open(*id);
            must!(
                open <= limits.client_tasks + usize::from(peer.held),
                Limits,
                "{open} tasks of {id:?}"
            );
        }
        Ok(())
    }

    fn books(&self, snapshot: &Snapshot) -> Checked {
        let open = self.open();
        must!(
            snapshot.open == open,
            OneFinal,
            "{open} tasks have no answer, the broker knows of {}",
            snapshot.open
        );
        let count = |at: fn(&At) -> bool| self.tasks.iter().filter(|task| at(&task.at)).count();
        let queued = count(|at| *at == At::Queue);
        must!(
            snapshot.queued == queued,
            Order,
            "{queued} tasks wait: {snapshot:?}"
        );
        let with_workers: usize = self
            .peers
            .values()
            .filter_map(|peer| Some(peer.worker.as_ref()?.holding.len()))
            .sum();
        must!(
            snapshot.in_flight == with_workers,
            Order,
            "workers hold {with_workers} tasks, the broker knows of {}",
            snapshot.in_flight
        );
        must!(
            open + with_workers > 0 || snapshot.held == 0,
            Order,
            "{} bytes held for nothing",
            snapshot.held
        );
        let workers = self
            .peers
            .iter()
            .filter_map(|(id, p)| Some((*id, p.worker.as_ref()?)));
        let ours: Vec<_> = workers.map(|(id, w)| (id, w.holding.len())).collect();
        let mut theirs: Vec<_> = snapshot
            .workers
            .iter()
            .map(|w| (w.peer, w.in_flight))
            .collect();
        theirs.sort();
        must!(
            ours == theirs,
            Order,
            "workers {ours:?}, the broker knows {theirs:?}"
        );
        let held = self.peers.values().filter(|p| p.held && !p.lost).count();
        must!(
            held == snapshot.paused,
            Order,
            "{held} are held, not {}",
            snapshot.paused
        );
        for (id, peer) in self.peers.iter().filter(|(_, p)| !p.lost && !p.closed) {
            let busy = peer.worker.as_ref().is_some_and(|w| !w.holding.is_empty());
            must!(
                peer.watched == busy,
                Order,
                "{id:?} is watched: {}",
                peer.watched
            );
        }
        for service in &snapshot.services {
            let ready = self.eligible(&service.name).count();
            must!(
                service.ready == ready,
                Order,
                "{ready} workers have room for {}, not {}",
                service.name,
                service.ready
            );
        }
        Ok(())
    }

    fn worker(&self, id: PeerId) -> Option<&Worker> {
        self.peers.get(&id)?.worker.as_ref()
    }

    fn offered(&self, service: &Name) -> bool {
        self.peers.iter().any(|(id, peer)| {
            let worker = peer.worker.as_ref();
            worker.is_some_and(|worker| worker.seat(service).is_some())
                && self.may(*id, Right::Offer, service)
        })
    }

    /// Workers with room for a task of this service.
    fn eligible<'a>(&'a self, service: &'a Name) -> impl Iterator<Item = (PeerId, &'a Worker)> {
        self.peers.iter().filter_map(|(id, peer)| {
            let worker = peer.worker.as_ref()?;
            let offers = worker.seat(service).is_some();
            // One whose right is gone is told so a moment later.
            let open = worker.posts.get(service).is_some_and(|post| post.ready);
            let may = offers && worker.room && open && self.may(*id, Right::Offer, service);
            may.then_some((*id, worker))
        })
    }

    /// Those of them that have not refused it a moment ago.
    fn eligible_for<'a>(&'a self, task: &'a Task) -> impl Iterator<Item = (PeerId, &'a Worker)> {
        self.eligible(&task.home).filter(|(id, _)| {
            let refused = |(by, until): &(PeerId, Time)| by == id && *until > self.now;
            !task.refusals.iter().any(refused)
        })
    }

    fn client_open(&self, id: PeerId) -> usize {
        self.tasks
            .iter()
            .filter(|task| task.peer == id && !task.done && task.at != At::Door)
            .count()
    }
}

impl Worker {
    /// The queues from which it takes tasks, each as an offer of its own.
    fn homes(&self) -> Vec<Offer> {
        let mut homes = self.offers.clone();
        for offer in &self.offers {
            let Some(service) = offer.service.bare() else {
                continue;
            };
            let new = homes.iter().all(|home| home.service != service);
            if new && self.dialect == Dialect::Scale0 {
                let offer = offer.clone();
                homes.push(Offer { service, ..offer });
            }
        }
        homes
    }

    /// The offer by which it takes tasks from this queue: the name itself, or a version of it.
    fn seat(&self, home: &Name) -> Option<&Offer> {
        let own = self.offers.iter().find(|offer| offer.service == *home);
        let ours = self.dialect == Dialect::Scale0;
        let mut versions = self.offers.iter().filter(|_| ours);
        own.or_else(|| versions.find(|offer| offer.service.bare().as_ref() == Some(home)))
    }

    fn has_room(&self, most: usize) -> bool {
        let capacity = if self.deep {
            self.capacity
        } else {
            self.capacity.min(most)
        };
        !self.suspect && self.holding.len() < capacity
    }
}

impl Task {
    fn may_restart(&self, most: u16) -> bool {
        self.again && !self.streamed && self.attempts < most
    }

    /// What is not sent to a client as it comes needs no room there.
    fn is_taken_at_once(&self) -> bool {
        self.back.whole || self.wants.is_oneway()
    }

    /// What waited before the newest part, in bytes; an empty one is not free.
    fn ahead(&self) -> Option<usize> {
        let weight =
            |part: &Reply| part.body.wire().len() + part.properties.len() + size_of::<Reply>();
        let before = self.parts.len().checked_sub(1)?;
        Some(self.parts.iter().take(before).map(weight).sum())
    }
}

/// A task that was refused so often is refused to its client.
const MOST_REFUSALS: usize = 32;
/// What scripts know.
const SERVICES: usize = 10;

/// What the client of a one-way task hears.
fn accepted() -> Answer {
    Answer::Reply {
        code: 202,
        partial: false,
        ms: 0,
        properties: bytes::Bytes::new(),
        body: Message::default(),
    }
}

/// Whether an answer is what the worker said.
fn says(answer: &Answer, reply: &Reply, whole: &Message) -> bool {
    let Answer::Reply {
        code,
        partial,
        ms,
        properties,
        body,
    } = answer
    else {
        return false;
    };
    (*code, *partial, *ms) == (reply.code, reply.partial, reply.ms)
        && *properties == reply.properties
        && body == whole
}

/// To whom an action sends something, or whose connection it touches.
pub(crate) fn addressee(action: &Action) -> Option<PeerId> {
    match action {
        Action::Note(_) => None,
        _ => action.peer(),
    }
}
