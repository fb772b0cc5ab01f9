//! Shards, connections and peers in virtual time.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, HashMap, VecDeque};
use std::time::Duration;

use bytes::Bytes;
use scale0::broker::{Action, Event, PeerId};
use scale0::protocol::{Answer, Dialect, Id, Notice, Reading, Return, Wants, Word};
use scale0::spread::{Arrival, Letter, Shard, Spread};
use scale0::time::Time;
use scale0::wire::Message;

use super::Fault;
use super::books::{Books, SETTLED, Told};
use super::hands;
use super::plan::{Plan, SERVICES, Way, What};
use super::post::Mail;
use super::work::Job;
use crate::dice::{Dice, about};
use crate::ledger::{Broken, Checked, Promise, broken};

#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) enum Act {
    Happen(usize),
    Dial(usize),
    Letters(Shard, Shard),
    Moved(usize),
    Read(usize),
    Work(usize, Id),
    Credit(usize, u64),
    Beat(usize),
    Announce(usize),
    Clear(usize),
    Lose(usize),
    Look,
}

/// A connection.
#[derive(Debug)]
pub(super) struct Conn {
    pub(super) peer: usize,
    pub(super) shard: Shard,
    pub(super) id: Option<PeerId>,
    pub(super) held: bool,
    /// Shards that hold it back, by their letters.
    pub(super) holders: Vec<Shard>,
    pub(super) closing: bool,
    /// The peer has closed it.
    pub(super) gone: bool,
    pub(super) up: VecDeque<(Reading, Meant)>,
    pub(super) moving: Option<(Shard, Arrival)>,
    /// When a word of it was read last.
    pub(super) read: Time,
    /// When it was held back or let go last.
    pub(super) turned: Option<Time>,
}

#[derive(Clone, Debug)]
pub(super) enum Meant {
    Asked(u64, String, Way),
    Cancelled(u64),
    Announced(Vec<&'static str>, u16),
    Capacity(u16),
    Ping,
    Bye,
    Replied(Id),
    Refused(Id),
    Credit(u64, u16),
    Drain(u64),
    Undrain(u64),
    Other,
}

pub(super) struct World<'a> {
    pub(super) plan: &'a Plan,
    pub(super) now: Time,
    pub(super) spreads: Vec<Spread>,
    pub(super) places: Vec<(Vec<u32>, u32)>,
    pub(super) mail: Mail,
    pub(super) acts: BinaryHeap<Reverse<(Time, u64, Act)>>,
    pub(super) number: u64,
    pub(super) conns: Vec<Conn>,
    pub(super) by_id: HashMap<(Shard, PeerId), usize>,
    pub(super) peers: Vec<Option<usize>>,
    pub(super) stated: Vec<(Vec<&'static str>, u16)>,
    pub(super) books: Books,
    pub(super) serial: u64,
    pub(super) generation: u32,
    /// Questions that begin a drain (true) or call it off, with their time.
    pub(super) undrains: BTreeMap<u64, (bool, Time)>,
    pub(super) called_off: Time,
    pub(super) signalled: Option<Time>,
    pub(super) drained: Vec<bool>,
    /// Shards with a worker that they do not look at, though something has changed about it.
    pub(super) overlooked: BTreeMap<Shard, Time>,
    /// Tasks with workers.
    pub(super) jobs: BTreeMap<(usize, Id), Job>,
    pub(super) resting: bool,
    pub(super) fault: Option<Fault>,
    pub(super) story: bool,
    pub(super) wakes: u64,
}

/// Plays a plan to its end.
pub(crate) fn run(plan: &Plan, fault: Option<Fault>, story: bool) -> Option<Broken> {
    World::new(plan, fault, story).play().err()
}

impl<'a> World<'a> {
    fn new(plan: &'a Plan, fault: Option<Fault>, story: bool) -> Self {
        let spread = |shard: usize| {
            let mut seed = [0; 32];
            seed[..8].copy_from_slice(&plan.seed.to_be_bytes());
            seed[8] = shard as u8;
            let mut spread = Spread::new(plan.config.clone(), seed, shard, plan.shards);
            spread.set_room(plan.room);
            spread
        };
        let mut world = Self {
            plan,
            now: Time::ZERO,
            spreads: (0..plan.shards).map(spread).collect(),
            places: vec![(Vec::new(), 0); plan.shards],
            mail: Mail::new(plan.seed, plan.delay, fault),
            acts: BinaryHeap::new(),
            number: 0,
            conns: Vec::new(),
            by_id: HashMap::new(),
            // One more who asks at the end whether everybody who can work does.
            peers: vec![None; plan.peers.len() + 1],
            stated: plan
                .peers
                .iter()
                .map(|cast| (cast.offers.clone(), cast.capacity))
                .collect(),
            books: Books::of(plan),
            serial: 0,
            generation: 0,
            undrains: BTreeMap::new(),
            called_off: Time::ZERO,
            signalled: None,
            drained: vec![false; plan.shards],
            overlooked: BTreeMap::new(),
            jobs: BTreeMap::new(),
            resting: false,
            fault,
            story,
            wakes: 0,
        };
        for (index, (at, _)) in plan.script.iter().enumerate() {
            world.at(*at, Act::Happen(index));
        }
        world.at(Time::from_millis(100), Act::Look);
        world
    }

    fn play(&mut self) -> Checked {
        self.run_until(self.plan.end + Duration::from_millis(20))?;
        if let Some(at) = self.signalled {
            self.run_until(at + Duration::from_millis(3_500))?;
            if self.drained.contains(&false) {
                return broken(Promise::Drain, format!("{:?} are done", self.drained));
            }
            return Ok(());
        }
        self.tell(|| "* nothing more goes wrong".to_owned());
        self.resting = true;
        self.come_to_rest()?;
        if self.over() {
            return Ok(());
        }
        self.at_rest()?;
        self.probe()?;
        self.come_to_rest()?;
        self.at_rest()?;
        self.everybody_leaves()
    }

    /// Whoever is held back says the rest of it, and everybody has an answer.
    fn come_to_rest(&mut self) -> Checked {
        for _ in 0..100 {
            self.run_until(self.now + Duration::from_secs(4))?;
            let said = |conn: &Conn| conn.gone || conn.id.is_none() || conn.up.is_empty();
            if self.books.open(|_| true).is_empty()
                && self.books.all_done(self.now)
                && self.conns.iter().all(said)
            {
                break;
            }
        }
        // What was said last is still under way.
        self.run_until(self.now + SETTLED)
    }

    /// A drain that was not called off in time has ended, or will.
    fn over(&self) -> bool {
        self.drained.contains(&true)
    }

    fn at_rest(&mut self) -> Checked {
        let all = self.books.open(|_| true);
        if !all.is_empty() {
            return broken(Promise::OneFinal, format!("{all:?} have no answer"));
        }
        if let Some(held) = self
            .conns
            .iter()
            .position(|conn| conn.held && !conn.gone && !conn.closing && conn.id.is_some())
        {
            return broken(Promise::Released, format!("{held} is held back at rest"));
        }
        let alive = |conn: usize| self.conns[conn].id.is_some() && !self.conns[conn].gone;
        self.books.at_rest(alive)?;
        for (shard, spread) in self.spreads.iter().enumerate() {
            let seen = spread.broker().snapshot();
            let left = (seen.queued, seen.open, seen.held, seen.paused);
            if left != (0, 0, 0, 0) || seen.in_flight != 0 {
                return broken(
                    Promise::Books,
                    format!("shard {shard} holds {left:?}, {} in flight", seen.in_flight),
                );
            }
        }
        Ok(())
    }

    /// Every service that somebody prompt offers is asked for.
    fn probe(&mut self) -> Checked {
        let prober = self.peers.len() - 1;
        self.dial(prober)?;
        for service in SERVICES {
            let way = Way {
                idempotent: true,
                ttl_ms: 2_000,
                bytes: 0,
                wants: Wants::Answer,
            };
            self.ask(prober, service, way)?;
        }
        Ok(())
    }

    fn everybody_leaves(&mut self) -> Checked {
        self.tell(|| "* everybody leaves".to_owned());
        for peer in 0..self.peers.len() {
            self.cut(peer);
        }
        self.run_until(self.now + Duration::from_millis(600))?;
        for (shard, spread) in self.spreads.iter().enumerate() {
            let seen = spread.broker().snapshot();
            let guests = spread.guests();
            if guests > 0 || !seen.workers.is_empty() {
                let workers = seen.workers.len();
                return broken(
                    Promise::Books,
                    format!("shard {shard} keeps {guests} guests, {workers} workers"),
                );
            }
        }
        Ok(())
    }

    fn run_until(&mut self, end: Time) -> Checked {
        loop {
            let next = self.acts.peek().map(|Reverse((at, ..))| *at);
            let wakes = self.spreads.iter().enumerate();
            let wake = wakes
                .filter(|(shard, _)| !self.drained[*shard])
                .filter_map(|(shard, spread)| Some((spread.deadline()?, shard)))
                .min();
            let first = wake.filter(|(at, _)| next.is_none_or(|next| *at <= next));
            let Some(at) = first.map(|(at, _)| at).or(next).filter(|at| *at <= end) else {
                self.now = end;
                return Ok(());
            };
            self.wakes = if at > self.now { 0 } else { self.wakes + 1 };
            if self.wakes > 50_000 {
                return broken(Promise::DeadlineAhead, "time does not pass");
            }
            self.now = self.now.max(at);
            match first {
                Some((_, shard)) => self.event(shard, Event::Woke)?,
                None => {
                    if let Some(Reverse((_, _, act))) = self.acts.pop() {
                        self.act(act)?;
                    }
                }
            }
        }
    }

    fn act(&mut self, act: Act) -> Checked {
        match act {
            Act::Happen(index) => self.happen(index),
            Act::Dial(peer) => self.dial(peer),
            Act::Letters(from, to) => self.letters(from, to),
            Act::Moved(conn) => self.moved(conn),
            Act::Read(conn) => self.read(conn),
            Act::Work(conn, token) => self.work(conn, token),
            Act::Credit(conn, serial) => self.give_credit(conn, serial),
            Act::Beat(conn) => self.beat(conn),
            Act::Announce(conn) => {
                let peer = self.conns[conn].peer;
                match self.peers[peer] == Some(conn) {
                    true => self.announce(peer),
                    false => Ok(()),
                }
            }
            Act::Clear(conn) => {
                if let Some(hand) = self.books.hands.get_mut(&conn) {
                    hand.clogged = false;
                }
                self.books.look_for_room(self.now, conn);
                self.fill(conn, false)
            }
            Act::Lose(conn) => self.lose(conn),
            Act::Look => {
                self.after(250_000, Act::Look);
                if self.over() {
                    return Ok(());
                }
                self.look_at_jobs()?;
                self.books.look(self.now)
            }
        }
    }

    fn happen(&mut self, index: usize) -> Checked {
        if self.over() {
            return Ok(());
        }
        let what = self.plan.script[index].1.clone();
        self.tell(|| format!("* {what:?}"));
        match what {
            What::Join(peer) => self.dial(peer),
            What::Ask(peer, service, way) => self.ask(peer, service, way),
            What::Cancel(peer) => {
                let Some(conn) = self.peers[peer].filter(|_| !self.plan.peers[peer].majordomo)
                else {
                    return Ok(());
                };
                let Some(serial) = self.books.newest(conn) else {
                    return Ok(());
                };
                let word = Reading::Word(Word::Cancel(hands::back(false, serial)));
                self.say(peer, word, Meant::Cancelled(serial))
            }
            What::Announce(peer, offers, capacity) => {
                self.stated[peer] = (offers, capacity);
                self.announce(peer)
            }
            What::Capacity(peer, capacity) => {
                self.stated[peer].1 = capacity;
                let promise = self.plan.peers[peer].promise;
                let word = hands::ping(promise, Some(capacity));
                self.say(peer, word, Meant::Capacity(capacity))
            }
            What::Ping(peer) if self.plan.peers[peer].majordomo => Ok(()),
            What::Ping(peer) => {
                let word = hands::ping(self.plan.peers[peer].promise, None);
                self.say(peer, word, Meant::Ping)
            }
            What::Bye(peer) => {
                let dialect = hands::dialect(self.plan.peers[peer].majordomo);
                self.say(peer, Reading::Word(Word::Bye(dialect)), Meant::Bye)?;
                if let Some(conn) = self.peers[peer] {
                    self.after(300_000, Act::Announce(conn));
                }
                Ok(())
            }
            What::Cut(peer) => {
                self.cut(peer);
                self.after(200_000, Act::Dial(peer));
                Ok(())
            }
            What::Clog(peer, ms) => {
                let Some(conn) = self.peers[peer] else {
                    return Ok(());
                };
                if let Some(hand) = self.books.hands.get_mut(&conn) {
                    hand.clogged = true;
                }
                self.books.look_for_room(self.now, conn);
                self.after(ms * 1_000, Act::Clear(conn));
                self.fill(conn, true)
            }
            What::Info(peer) => self.own(peer, "s0.info"),
            What::Set(peer, service) => {
                if self.plan.peers[peer].majordomo {
                    return Ok(());
                }
                self.serial += 1;
                let (serial, word) = (self.serial, hands::set(self.serial, service));
                self.say(peer, word, asked(serial, "s0.set"))
            }
            What::Drain(peer) => self.own(peer, "s0.drain"),
            What::Undrain(peer) => self.own(peer, "s0.undrain"),
            What::Signal => {
                self.signalled.get_or_insert(self.now);
                self.books.asked_to_drain = Some(self.now);
                self.books.for_good = true;
                let limit = Duration::from_secs(2);
                self.event(0, Event::Drain { limit })
            }
        }
    }

    fn own(&mut self, peer: usize, service: &str) -> Checked {
        if self.plan.peers[peer].majordomo {
            return Ok(());
        }
        self.serial += 1;
        let serial = self.serial;
        let word = hands::ask(false, serial, service, NO_WAY);
        let meant = match service {
            "s0.drain" => Meant::Drain(serial),
            "s0.undrain" => Meant::Undrain(serial),
            _ => asked(serial, service),
        };
        self.say(peer, word, meant)
    }

    fn ask(&mut self, peer: usize, service: &str, way: Way) -> Checked {
        let majordomo = self.plan.peers.get(peer).is_some_and(|c| c.majordomo);
        self.serial += 1;
        let serial = self.serial;
        let way = match majordomo {
            true => Way { ttl_ms: 0, ..way },
            false => way,
        };
        let word = hands::ask(majordomo, serial, service, way);
        let meant = Meant::Asked(serial, service.to_owned(), way);
        self.say(peer, word, meant)
    }

    fn announce(&mut self, peer: usize) -> Checked {
        let Some(cast) = self.plan.peers.get(peer).filter(|c| !c.offers.is_empty()) else {
            return Ok(());
        };
        let (offers, capacity) = self.stated[peer].clone();
        let word = hands::announce(cast, &offers, capacity);
        self.say(peer, word, Meant::Announced(offers, capacity))
    }

    fn dial(&mut self, peer: usize) -> Checked {
        if self.peers[peer].is_some() || self.over() {
            return Ok(());
        }
        let conn = self.conns.len();
        let mut dice = Dice::of(self.plan.seed, &[about::DELAY, conn as u64]);
        let shard = dice.below(self.plan.shards as u64) as usize;
        self.peers[peer] = Some(conn);
        self.conns.push(Conn {
            peer,
            shard,
            id: None,
            held: false,
            holders: Vec::new(),
            closing: false,
            gone: false,
            up: VecDeque::new(),
            moving: None,
            read: self.now,
            turned: None,
        });
        let id = self.seat(conn, shard);
        let opened = Event::Opened {
            peer: id,
            user: None,
            local: true,
        };
        self.event(shard, opened)?;
        self.after(500_000, Act::Beat(conn));
        let client = self.plan.peers.get(peer).filter(|c| c.offers.is_empty());
        if let Some(cast) = client.filter(|cast| !cast.majordomo && cast.credit) {
            self.say(peer, hands::hello(cast.credit), Meant::Ping)?;
        }
        self.announce(peer)
    }

    fn seat(&mut self, conn: usize, shard: Shard) -> PeerId {
        let (free, next) = &mut self.places[shard];
        let place = free.pop().unwrap_or_else(|| {
            *next += 1;
            *next - 1
        });
        self.generation += 1;
        let id = PeerId {
            place,
            generation: self.generation,
        };
        self.by_id.insert((shard, id), conn);
        (self.conns[conn].shard, self.conns[conn].id) = (shard, Some(id));
        id
    }

    fn unseat(&mut self, conn: usize) -> Option<PeerId> {
        let shard = self.conns[conn].shard;
        let id = self.conns[conn].id.take()?;
        self.by_id.remove(&(shard, id));
        self.places[shard].0.push(id.place);
        Some(id)
    }

    fn cut(&mut self, peer: usize) {
        if let Some(conn) = self.peers[peer].take() {
            self.conns[conn].gone = true;
            self.conns[conn].up.clear();
            self.books.client_gone(conn);
            self.after(50, Act::Lose(conn));
        }
    }

    /// The shard learns that a connection has ended.
    fn lose(&mut self, conn: usize) -> Checked {
        if self.conns[conn].moving.is_some() {
            self.after(100, Act::Lose(conn));
            return Ok(());
        }
        let shard = self.conns[conn].shard;
        let Some(peer) = self.unseat(conn) else {
            return Ok(());
        };
        let number = self.conns[conn].peer;
        if self.peers[number] == Some(conn) {
            self.peers[number] = None;
            self.after(150_000, Act::Dial(number));
        }
        self.conns[conn].gone = true;
        self.books.client_gone(conn);
        self.books.worker_gone(self.now, conn);
        self.event(shard, Event::Lost { peer })
    }

    fn fill(&mut self, conn: usize, full: bool) -> Checked {
        match self.conns[conn].id {
            Some(peer) => self.event(self.conns[conn].shard, Event::Full { peer, full }),
            None => Ok(()),
        }
    }

    pub(super) fn say(&mut self, peer: usize, reading: Reading, meant: Meant) -> Checked {
        let Some(conn) = self.peers[peer] else {
            return Ok(());
        };
        self.conns[conn].up.push_back((reading, meant));
        self.read(conn)
    }

    fn read(&mut self, conn: usize) -> Checked {
        loop {
            let there = &mut self.conns[conn];
            let ready = !there.held && there.moving.is_none() && !there.closing;
            let Some(id) = there.id.filter(|_| ready) else {
                return Ok(());
            };
            let shard = there.shard;
            if self.drained[shard] {
                return Ok(());
            }
            let Some((reading, meant)) = there.up.pop_front() else {
                return Ok(());
            };
            if let Some(to) = self.spreads[shard].moves_to(id, &reading) {
                self.tell(|| format!("{conn} moves from {shard} to {to}"));
                self.conns[conn].up.push_front((reading, meant));
                let mut out = Vec::new();
                let arrival = self.spreads[shard].leave(self.now, id, &mut out);
                self.unseat(conn);
                self.conns[conn].moving = arrival.map(|arrival| (to, arrival));
                let mut dice = Dice::of(self.plan.seed, &[about::END, conn as u64]);
                self.after(dice.between(1, self.plan.delay), Act::Moved(conn));
                return self.after_turn(shard, out);
            }
            self.conns[conn].read = self.now;
            self.mean(conn, &meant);
            self.tell(|| format!("{conn} says {reading:?}"));
            self.event(shard, Event::Heard { peer: id, reading })?;
        }
    }

    fn moved(&mut self, conn: usize) -> Checked {
        let Some((shard, arrival)) = self.conns[conn].moving.take() else {
            return Ok(());
        };
        let id = self.seat(conn, shard);
        let mut out = Vec::new();
        self.spreads[shard].arrive(self.now, id, arrival, &mut out);
        self.after_turn(shard, out)?;
        self.read(conn)
    }

    fn mean(&mut self, conn: usize, meant: &Meant) {
        let now = self.now;
        let books = &mut self.books;
        match meant {
            Meant::Asked(serial, service, way) => {
                let cast = self.plan.peers.get(self.conns[conn].peer);
                let counts = cast.is_some_and(|cast| cast.credit && !cast.majordomo);
                books.asked(now, *serial, (conn, counts), service, *way);
            }
            Meant::Credit(serial, more) => books.credited(now, *serial, *more),
            Meant::Refused(token) => books.refused(now, conn, *token),
            Meant::Cancelled(serial) => books.cancelled(now, *serial),
            Meant::Announced(offers, capacity) => {
                let cast = &self.plan.peers[self.conns[conn].peer];
                let again = books.hands.contains_key(&conn);
                if cast.majordomo && again {
                    // The same again says nothing new.
                    return;
                }
                let hand = books.announced(now, conn, offers, usize::from(*capacity));
                (hand.prompt, hand.majordomo) = (cast.lazy == 0, cast.majordomo);
            }
            Meant::Capacity(capacity) => {
                books.pinged(conn);
                books.states(now, conn, usize::from(*capacity));
            }
            Meant::Ping => books.pinged(conn),
            Meant::Bye => {
                books.client_gone(conn);
                books.worker_gone(now, conn);
            }
            Meant::Replied(token) => {
                books.free(now, conn, *token);
            }
            Meant::Drain(serial) => {
                books.asked(now, *serial, (conn, false), "s0.drain", NO_WAY);
                books.asked_to_drain = Some(now);
                self.undrains.insert(*serial, (true, now));
            }
            Meant::Undrain(serial) => {
                books.asked(now, *serial, (conn, false), "s0.undrain", NO_WAY);
                // It may have its effect long before its answer is here.
                books.drained = None;
                self.called_off = now;
                self.undrains.insert(*serial, (false, now));
            }
            Meant::Other => {}
        }
    }

    fn event(&mut self, shard: Shard, event: Event) -> Checked {
        if self.drained[shard] {
            return Ok(());
        }
        let mut out = Vec::new();
        self.spreads[shard].handle(self.now, event, &mut out);
        self.after_turn(shard, out)
    }

    fn letters(&mut self, from: Shard, to: Shard) -> Checked {
        for letter in self.mail.take(from, to) {
            self.tell(|| format!("{from} -> {to}: {letter:?}"));
            if let Letter::Act(action) = &letter
                && let Action::Hold { peer, on } = **action
                && let Some(conn) = self.by_id.get(&(to, peer))
            {
                let holders = &mut self.conns[*conn].holders;
                holders.retain(|holder| *holder != from);
                if on {
                    holders.push(from);
                }
            }
            if self.drained[to] {
                continue;
            }
            let mut out = Vec::new();
            self.spreads[to].hear(self.now, from, letter, &mut out);
            if self.fault == Some(Fault::ReleasesForAll) {
                out.retain(|action| !matches!(action, Action::Hold { on: true, .. }));
            }
            self.after_turn(to, out)?;
        }
        let held = |conn: &Conn| conn.held || conn.holders.is_empty() || conn.id.is_none();
        if let Some(conn) = self.conns.iter().position(|conn| !held(conn)) {
            return broken(
                Promise::Limits,
                format!("{conn} is read while a shard holds it back"),
            );
        }
        Ok(())
    }

    /// What comes of something that a shard was told.
    fn after_turn(&mut self, shard: Shard, mut out: Vec<Action>) -> Checked {
        self.spreads[shard].settle(self.now, &mut out);
        for action in std::mem::take(&mut out) {
            self.perform(shard, action)?;
        }
        for answered in self.spreads[shard].take_answered() {
            let seen = &answered.joined.snapshot;
            if seen.workers.len() != answered.joined.addresses.len() {
                return broken(Promise::Books, "a worker has no place");
            }
            self.spreads[shard].answer(answered, report(), &mut out);
        }
        self.spreads[shard].settle(self.now, &mut out);
        self.look_for_overlooked(shard)?;
        for action in out {
            self.perform(shard, action)?;
        }
        for (to, letters) in self.spreads[shard].take_post() {
            for (at, from, to) in self.mail.post(self.now, shard, to, letters) {
                self.at(at, Act::Letters(from, to));
            }
        }
        Ok(())
    }

    /// That a worker may be asked again is known at the next millisecond.
    fn look_for_overlooked(&mut self, shard: Shard) -> Checked {
        let Some(peer) = self.spreads[shard].overlooked() else {
            self.overlooked.remove(&shard);
            return Ok(());
        };
        let since = *self.overlooked.entry(shard).or_insert(self.now);
        if since + Duration::from_millis(1) <= self.now {
            return broken(
                Promise::Books,
                format!("shard {shard} does not look at {peer:?}, of which there is news"),
            );
        }
        Ok(())
    }

    fn perform(&mut self, shard: Shard, action: Action) -> Checked {
        self.tell(|| format!("   {shard}: {action:?}"));
        match action {
            Action::Drained { .. } => return self.ended(shard),
            Action::Note(_) => return Ok(()),
            _ => {}
        }
        let Some(peer) = action.peer() else {
            return Ok(());
        };
        let Some(&conn) = self.by_id.get(&(shard, peer)) else {
            return broken(
                Promise::NothingAfterLost,
                format!("{peer:?} is nobody: {action:?}"),
            );
        };
        let now = self.now;
        match action {
            Action::Assign { task, .. } => {
                let serial = hands::numbered(&task.body).unwrap_or(0);
                if !self.conns[conn].gone {
                    self.books
                        .given(now, conn, serial, (task.token, task.oneway))?;
                }
                self.begin(conn, serial, task.token);
                Ok(())
            }
            Action::Cancel { token, .. } => {
                self.called_off(conn, token);
                Ok(())
            }
            Action::Answer { back, answer, .. } => self.answer(conn, &back, &answer),
            Action::Tell {
                notice, dialect, ..
            } => self.told(conn, dialect, &notice),
            Action::Query { back, .. } => self.answer(conn, &back, &report()),
            Action::Hold { on, .. } => {
                if self.conns[conn].held == on {
                    return broken(Promise::Released, format!("{conn} is held {on} twice"));
                }
                self.conns[conn].held = on;
                self.conns[conn].turned = Some(now);
                if !on {
                    self.at(now, Act::Read(conn));
                }
                Ok(())
            }
            Action::Close { .. } => {
                self.conns[conn].closing = true;
                self.after(500, Act::Lose(conn));
                Ok(())
            }
            Action::Gauge { .. } => {
                self.after(100, Act::Clear(conn));
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn answer(&mut self, conn: usize, back: &Return, answer: &Answer) -> Checked {
        let serial = hands::serial(back);
        let (numbered, counted) = (hands::numbered, hands::counted);
        let told = match answer {
            Answer::Reply {
                partial: true,
                body,
                ..
            } => Told::Part(numbered(body), counted(body)),
            Answer::Reply { code, body, .. } => Told::Final(*code, numbered(body), counted(body)),
            Answer::Error { status, .. } => Told::Error(*status),
        };
        let error = matches!(told, Told::Error(_));
        let now = self.now;
        match self.undrains.remove(&serial) {
            Some((true, asked)) if !error && self.called_off < asked => {
                self.books.drained = Some(now);
            }
            // Somebody may have asked for another drain since.
            Some((false, asked)) if !error => {
                let again = self.books.asked_to_drain.is_some_and(|at| at >= asked);
                self.books.called_off = (!again).then_some(now);
            }
            _ => {}
        }
        if self.conns[conn].gone {
            return Ok(());
        }
        // Who is held back cannot be heard to give credit.
        let there = &self.conns[conn];
        let counts = !there.held && there.turned.is_none_or(|at| at + SETTLED <= now);
        self.books.answered(now, (conn, counts), serial, told)?;
        if let Told::Part(..) = told {
            self.took_part(conn, serial);
        }
        Ok(())
    }

    fn told(&mut self, conn: usize, dialect: Dialect, notice: &Notice) -> Checked {
        if self.conns[conn].gone {
            return Ok(());
        }
        let peer = self.conns[conn].peer;
        match notice {
            Notice::Credit(allowance) => self.allowed(conn, allowance),
            Notice::Config(_) => self.books.confirmed(conn),
            Notice::Pong { .. } => self.books.ponged(conn),
            Notice::Beat { .. } if dialect == Dialect::Scale0 => {
                self.say_later(peer, Reading::Word(Word::Beat(dialect)))
            }
            Notice::Unknown | Notice::Bye => {
                if dialect.is_majordomo() {
                    self.books.worker_gone(self.now, conn);
                }
                self.after(60_000, Act::Announce(conn));
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn say_later(&mut self, peer: usize, reading: Reading) -> Checked {
        if let Some(conn) = self.peers[peer] {
            self.conns[conn].up.push_back((reading, Meant::Other));
            self.after(20, Act::Read(conn));
        }
        Ok(())
    }

    fn beat(&mut self, conn: usize) -> Checked {
        let peer = self.conns[conn].peer;
        let Some(cast) = self.plan.peers.get(peer) else {
            return Ok(());
        };
        if self.peers[peer] != Some(conn) || cast.offers.is_empty() {
            return Ok(());
        }
        let every = match cast.promise {
            _ if cast.majordomo => 800,
            0 => 2_000,
            promise => promise * 4 / 5,
        };
        self.after(every * 1_000, Act::Beat(conn));
        if cast.majordomo {
            let beat = Reading::Word(Word::Beat(hands::dialect(true)));
            return self.say(peer, beat, Meant::Other);
        }
        let word = hands::ping(cast.promise, None);
        self.say(peer, word, Meant::Ping)
    }

    /// A shard closes its connections: all that its clients asked must be answered.
    fn ended(&mut self, shard: Shard) -> Checked {
        if self.books.asked_to_drain.is_none() {
            return broken(Promise::Drain, format!("shard {shard} ends unasked"));
        }
        let conns = &self.conns;
        let here = |conn: usize| conns[conn].shard == shard && conns[conn].id.is_some();
        let open = self.books.open(here);
        if !open.is_empty() {
            return broken(
                Promise::Drain,
                format!("shard {shard} ends, and {open:?} have no answer"),
            );
        }
        self.drained[shard] = true;
        Ok(())
    }

    fn at(&mut self, at: Time, act: Act) {
        self.number += 1;
        self.acts.push(Reverse((at, self.number, act)));
    }

    pub(super) fn after(&mut self, us: u64, act: Act) {
        self.at(self.now + Duration::from_micros(us), act);
    }

    fn tell(&self, line: impl FnOnce() -> String) {
        if self.story {
            println!("{:>9} {}", self.now.as_micros(), line());
        }
    }
}

fn asked(serial: u64, service: &str) -> Meant {
    Meant::Asked(serial, service.to_owned(), NO_WAY)
}

fn report() -> Answer {
    Answer::Reply {
        code: 200,
        partial: false,
        ms: 0,
        properties: Bytes::new(),
        body: Message::default(),
    }
}

const NO_WAY: Way = Way {
    idempotent: false,
    ttl_ms: 0,
    bytes: 0,
    wants: Wants::Answer,
};
const _: Duration = SETTLED;
