//! What clients and workers do with each other's time: they ask, die in the middle, freeze, and come
//! again. How a worker treats its tasks is told in `work`.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use scale0::time::Time;

use crate::dice::{Dice, about};
use crate::ledger::{Checked, Conn, Promise, broken};
use crate::line::Parcel;
use crate::offer::{Offer, Policy};
use crate::plan::{Appetite, Cast, Line, Mood, Stated, What, Wish};
use crate::speech::{Caps, Heard, Kind, More, Question, Said, Token, Tongue, Wants, Way, property};
use crate::told::{Asked, Meant};
use crate::work::Job;
use crate::world::{Act, World};

/// One process somewhere, with at most one connection at a time.
#[derive(Debug)]
pub(crate) struct Peer {
    pub(crate) tongue: Tongue,
    pub(crate) line: Line,
    pub(crate) hands: Option<Stated>,
    pub(crate) mood: Mood,
    appetite: Appetite,
    /// Parts of streams for which it has given no credit yet, with their bytes.
    taken: BTreeMap<Way, (u16, usize)>,
    /// As the broker has confirmed it: it sends parts by credit.
    pub(crate) paced: bool,
    pub(crate) conn: Option<Conn>,
    /// Timers of earlier sessions are void.
    pub(crate) life: u64,
    pub(crate) dials: u64,
    /// Dials without a word from the broker.
    pub(crate) failures: u32,
    pub(crate) frozen_until: Time,
    /// What a lock-step client asks next.
    pub(crate) backlog: VecDeque<Wish>,
    /// Questions without an answer, oldest first.
    pub(crate) open: BTreeMap<Way, Vec<u64>>,
    pub(crate) holding: BTreeMap<Token, Job>,
}

impl Peer {
    pub(crate) fn new(cast: &Cast) -> Self {
        Self {
            tongue: cast.tongue,
            line: cast.line,
            hands: cast.hands.clone(),
            mood: cast.mood,
            appetite: cast.appetite,
            taken: BTreeMap::new(),
            paced: false,
            conn: None,
            life: 0,
            dials: 0,
            failures: 0,
            frozen_until: Time::ZERO,
            backlog: VecDeque::new(),
            open: BTreeMap::new(),
            holding: BTreeMap::new(),
        }
    }

    /// It is a worker.
    pub(crate) fn works(&self) -> bool {
        self.hands.is_some()
    }

    /// Its connection is gone. What a worker has begun it finishes, though nobody counts on it.
    pub(crate) fn forget(&mut self) {
        self.conn = None;
        self.life += 1;
        self.open.clear();
        self.taken.clear();
        self.paced = false;
    }

    /// The process is gone, and all that it knew.
    pub(crate) fn die(&mut self) {
        self.holding.clear();
        self.backlog.clear();
    }
}

impl World<'_> {
    pub(crate) fn happen(&mut self, index: usize) {
        let what = self.plan.script[index].what.clone();
        self.tell(|| format!("   * {what:?}"));
        if let Some(peer) = subject(&what) {
            let thaws = self.peers[peer].frozen_until;
            if thaws > self.now {
                self.at(thaws, Act::Happen(index));
                return;
            }
        }
        match what {
            What::Join(peer) => self.dial(peer),
            What::Ask(wish) => self.wish(wish),
            What::Cancel(serial) => self.cancel(serial),
            What::Announce(peer, stated) => {
                self.peers[peer].hands = Some(stated);
                self.announce(peer);
            }
            What::AnnounceBadly(peer) => {
                let twice = [false, true].map(|flag| Offer::plain("echo".to_owned(), flag));
                let frames = Tongue::S0.announce(&twice, 1, 0, Caps::default());
                self.say(peer, frames, Meant::AnnounceBadly);
            }
            What::Capacity(peer, capacity) => {
                let Some(stated) = &mut self.peers[peer].hands else {
                    return;
                };
                stated.capacity = capacity;
                let promise = stated.promise_ms;
                self.ping(peer, 0, promise, Some(capacity), None);
            }
            What::Ping(peer) => {
                let promise = self.peers[peer].hands.as_ref().map_or(0, |h| h.promise_ms);
                self.ping(peer, 77, promise, None, None);
            }
            What::NeedBroker(peer) => {
                let frames = Tongue::need_broker(78);
                self.say(peer, frames, Meant::NeedBroker(78));
            }
            What::Bye(peer) => self.goodbye(peer),
            What::Cut(peer) => {
                self.cut(peer);
                self.dial_again(peer);
            }
            What::Crash(peer) => self.crash(peer),
            What::Vanish(peer) => self.vanish(peer),
            What::Freeze(peer, ms) => {
                let until = self.now + Duration::from_millis(ms);
                self.peers[peer].frozen_until = until;
                if let Some(conn) = self.peers[peer].conn {
                    self.mute(conn);
                }
                self.at(until, Act::Thaw(peer));
            }
            What::Mood(peer, mood) => self.peers[peer].mood = mood,
            What::Forge(peer, n) => {
                let tokens = self.ledger.tokens();
                let token = match tokens.len() {
                    0 => [9; 8],
                    len => tokens[n as usize % len],
                };
                self.reply(peer, token, 0, 200, Kind::Final);
            }
            What::Garbage(peer) => {
                self.say(peer, vec![b"what is this".to_vec()], Meant::Garbage);
            }
            What::Restart => self.stop_broker(),
            What::Drain(ms) => self.drain(Duration::from_millis(ms)),
        }
    }

    pub(crate) fn wish(&mut self, wish: Wish) {
        let peer = &mut self.peers[wish.peer];
        if peer.conn.is_none() {
            return;
        }
        if peer.tongue.one_at_a_time() && !peer.open.is_empty() {
            peer.backlog.push_back(wish);
            return;
        }
        self.ask(wish);
    }

    fn ask(&mut self, wish: Wish) {
        let way = Way {
            id: wish.id,
            via: wish.via,
        };
        let tongue = self.peers[wish.peer].tongue;
        let mut body = match &wish.order {
            Some((service, policy)) => vec![
                service.clone().into_bytes(),
                format!("policy={}", policy.map_or("-", Policy::word)).into_bytes(),
            ],
            None => vec![b"task".to_vec(), wish.serial.to_be_bytes().to_vec()],
        };
        if wish.bytes > 0 {
            body.push(vec![b'.'; wish.bytes]);
        }
        let key = |key: u64| property("Key", &format!("key {key}"));
        let properties = wish.key.map(key).unwrap_or_default();
        let frames = tongue.ask(Question {
            way,
            service: &wish.service,
            ttl_ms: wish.ttl_ms,
            idempotent: wish.idempotent,
            priority: wish.priority,
            wants: wish.wants,
            properties: &properties,
            body: body.clone(),
        });
        if wish.wants != Wants::Nothing {
            let open = &mut self.peers[wish.peer].open;
            open.entry(way).or_default().push(wish.serial);
        }
        let asked = Asked {
            serial: wish.serial,
            tongue,
            way,
            service: wish.service,
            ttl_ms: wish.ttl_ms,
            idempotent: wish.idempotent,
            priority: wish.priority,
            wants: wish.wants,
            properties,
            order: wish.order,
            body,
        };
        self.say(wish.peer, frames, Meant::Ask(Box::new(asked)));
    }

    fn cancel(&mut self, serial: u64) {
        let found = self.peers.iter().enumerate().find_map(|(number, peer)| {
            let way = peer.open.iter().find(|(_, all)| all.contains(&serial));
            Some((number, *way?.0))
        });
        if let Some((peer, way)) = found {
            let frames = self.peers[peer].tongue.cancel(way);
            self.say(peer, frames, Meant::Cancel(way));
        }
    }

    fn ping(
        &mut self,
        peer: usize,
        id: u64,
        promise_ms: u32,
        capacity: Option<u16>,
        caps: Option<Caps>,
    ) {
        let frames = Tongue::ping(id, promise_ms, capacity, caps);
        let meant = Meant::Ping {
            id,
            promise_ms,
            capacity,
            caps,
        };
        self.say(peer, frames, meant);
    }

    /// A client lets so many parts come as it has taken.
    pub(crate) fn give_credit(&mut self, number: usize, life: u64, way: Way) {
        let peer = &mut self.peers[number];
        if peer.life != life {
            return;
        }
        if let Some((messages, bytes)) = peer.taken.remove(&way) {
            let kib = bytes.div_ceil(1024) as u32;
            let more = More { messages, kib };
            self.say(
                number,
                Tongue::credit(way.id, more),
                Meant::Credit(way, more),
            );
        }
    }

    pub(crate) fn announce(&mut self, peer: usize) {
        let Some(stated) = self.peers[peer].hands.clone() else {
            return;
        };
        let frames = self.peers[peer].tongue.announce(
            &stated.offers,
            stated.capacity,
            stated.promise_ms,
            stated.caps,
        );
        self.say(peer, frames, Meant::Announce(stated));
    }

    pub(crate) fn goodbye(&mut self, number: usize) {
        let peer = &mut self.peers[number];
        peer.open.clear();
        // Some go on with what they have, and answer when nobody counts on it any more.
        let mut dice = Dice::of(self.plan.seed, &[about::END, number as u64, peer.dials]);
        if dice.percent(40) {
            peer.holding.clear();
        }
        let frames = peer.tongue.bye();
        self.say(number, frames, Meant::Bye);
        let life = self.peers[number].life;
        self.after_ms(300, Act::Announce(number, life));
    }

    pub(crate) fn crash(&mut self, peer: usize) {
        self.cut(peer);
        let peer_state = &mut self.peers[peer];
        peer_state.die();
        let mut dice = Dice::of(self.plan.seed, &[about::BACKOFF, peer as u64, 1_000_000]);
        let life = peer_state.life;
        self.after_ms(dice.between(100, 2_000), Act::Dial(peer, life));
    }

    /// The first words of a new session.
    pub(crate) fn begin_session(&mut self, peer: usize) {
        self.announce(peer);
        let state = &self.peers[peer];
        if state.tongue == Tongue::S0 && state.appetite != Appetite::Boundless {
            let promise = state.hands.as_ref().map_or(0, |hands| hands.promise_ms);
            let caps = Caps {
                credit: true,
                ..Caps::default()
            };
            self.ping(peer, 79, promise, None, Some(caps));
        }
        self.next_beat(peer);
        let backlog = self.peers[peer].backlog.pop_front();
        if let Some(wish) = backlog {
            self.ask(wish);
        }
    }

    fn next_beat(&mut self, number: usize) {
        let peer = &self.peers[number];
        let Some(stated) = &peer.hands else {
            return;
        };
        let every = match stated.promise_ms {
            _ if !peer.tongue.is_s0() => 1_000,
            0 => 5_000,
            promise => u64::from(promise) * 4 / 5,
        };
        let life = peer.life;
        self.after_ms(every, Act::Beat(number, life));
    }

    pub(crate) fn beat(&mut self, number: usize, life: u64) {
        let peer = &self.peers[number];
        if peer.life != life || peer.conn.is_none() {
            return;
        }
        if peer.frozen_until > self.now {
            let thaws = peer.frozen_until;
            self.at(thaws, Act::Beat(number, life));
            return;
        }
        let Some(stated) = &peer.hands else {
            return;
        };
        let promise = stated.promise_ms;
        if !peer.tongue.is_s0() {
            let frames = peer.tongue.beat();
            self.say(number, frames, Meant::Beat);
        } else if promise > 0 {
            self.ping(number, 0, promise, None, None);
        }
        self.next_beat(number);
    }

    /// A peer reads what the broker said.
    pub(crate) fn hear(&mut self, number: usize, parcel: &Parcel) -> Checked {
        let tongue = self.peers[number].tongue;
        let heard = match tongue.hear(&parcel.frames) {
            Ok(heard) => heard,
            Err(why) => return broken(Promise::Language, why),
        };
        self.tell(|| format!("   . {number} hears {heard:?}"));
        self.peers[number].failures = 0;
        match heard {
            Heard::Task(given) => self.take_task(number, given),
            Heard::Answer(said) => return self.take_answer(number, &said),
            Heard::Cancel(token) => self.take_cancel(number, token),
            Heard::Unknown | Heard::Bye => {
                if !tongue.is_s0() {
                    self.peers[number].holding.clear();
                }
                let life = self.peers[number].life;
                self.after_ms(60, Act::Announce(number, life));
            }
            Heard::Beat if tongue.is_s0() => {
                let frames = tongue.beat();
                self.say(number, frames, Meant::Beat);
            }
            Heard::Config { .. } => {
                let peer = &mut self.peers[number];
                peer.paced = peer.hands.as_ref().is_some_and(|hands| hands.caps.credit);
            }
            Heard::Credit(token, more) => self.take_credit(number, token, more),
            Heard::Beat | Heard::Pong(..) | Heard::Complaint(_) | Heard::ChangeBroker { .. } => {}
        }
        Ok(())
    }

    fn take_answer(&mut self, number: usize, said: &Said) -> Checked {
        let peer = &mut self.peers[number];
        if said.partial {
            let counts = peer.tongue == Tongue::S0 && said.way.id != 0;
            if let Appetite::Counting(ms) = peer.appetite
                && counts
            {
                let bytes: usize = said.body.iter().map(Vec::len).sum();
                let taken = peer.taken.entry(said.way).or_default();
                (taken.0, taken.1) = (taken.0 + 1, taken.1 + bytes);
                if taken.0 == 1 {
                    let question = [about::CREDIT, number as u64, said.way.id];
                    let mut dice = Dice::of(self.plan.seed, &question);
                    let act = Act::Credit(number, peer.life, said.way);
                    self.after_ms(dice.between(0, ms), act);
                }
            }
            return Ok(());
        }
        peer.taken.remove(&said.way);
        // A twin is refused, the older question stays.
        let twin = said.error.is_some_and(|error| error.code == 409);
        if let Some(all) = peer.open.get_mut(&said.way) {
            if twin {
                all.pop();
            } else {
                all.remove(0);
            }
            if all.is_empty() {
                peer.open.remove(&said.way);
            }
        }
        if peer.open.is_empty()
            && let Some(wish) = peer.backlog.pop_front()
        {
            self.ask(wish);
        }
        Ok(())
    }
}

/// Who must be awake for it.
fn subject(what: &What) -> Option<usize> {
    match what {
        What::Join(peer)
        | What::Announce(peer, _)
        | What::AnnounceBadly(peer)
        | What::Capacity(peer, _)
        | What::Ping(peer)
        | What::NeedBroker(peer)
        | What::Bye(peer)
        | What::Forge(peer, _)
        | What::Garbage(peer) => Some(*peer),
        What::Ask(wish) => Some(wish.peer),
        _ => None,
    }
}
