//! What clients and workers do: they ask, answer late or never, twice or in parts, die in the
//! middle, freeze, and come again.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use scale0::time::Time;

use crate::dice::{Dice, about};
use crate::ledger::{Checked, Conn, Promise, broken};
use crate::line::Parcel;
use crate::plan::{Cast, Line, Mood, Stated, What, Wish};
use crate::speech::{Given, Heard, Question, Said, Token, Tongue, Way};
use crate::told::{Asked, Meant};
use crate::world::{Act, World};

/// One process somewhere, with at most one connection at a time.
#[derive(Debug)]
pub(crate) struct Peer {
    pub(crate) tongue: Tongue,
    pub(crate) line: Line,
    hands: Option<Stated>,
    pub(crate) mood: Mood,
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
    holding: BTreeMap<Token, Job>,
}

#[derive(Debug)]
struct Job {
    serial: u64,
    steps: VecDeque<(u64, Deed)>,
}

/// One thing that a worker does with a task.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Deed {
    Part,
    Final(u16),
    /// The final once more.
    Again,
    /// A reply with a token that nobody was given.
    Stray,
    Crash,
    Bye,
}

impl Peer {
    pub(crate) fn new(cast: &Cast) -> Self {
        Self {
            tongue: cast.tongue,
            line: cast.line,
            hands: cast.hands.clone(),
            mood: cast.mood,
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
                let twice = [("echo".to_owned(), false), ("echo".to_owned(), true)];
                let frames = Tongue::S0.announce(&twice, 1, 0, false);
                self.say(peer, frames, Meant::AnnounceBadly);
            }
            What::Capacity(peer, capacity) => {
                let Some(stated) = &mut self.peers[peer].hands else {
                    return;
                };
                stated.capacity = capacity;
                let promise = stated.promise_ms;
                self.ping(peer, 0, promise, Some(capacity));
            }
            What::Ping(peer) => {
                let promise = self.peers[peer].hands.as_ref().map_or(0, |h| h.promise_ms);
                self.ping(peer, 77, promise, None);
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
                self.reply(peer, token, 0, 200, false);
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
        let mut body = vec![b"task".to_vec(), wish.serial.to_be_bytes().to_vec()];
        if wish.bytes > 0 {
            body.push(vec![b'.'; wish.bytes]);
        }
        let frames = tongue.ask(Question {
            way,
            service: &wish.service,
            ttl_ms: wish.ttl_ms,
            idempotent: wish.idempotent,
            priority: wish.priority,
            body: body.clone(),
        });
        self.peers[wish.peer]
            .open
            .entry(way)
            .or_default()
            .push(wish.serial);
        let asked = Asked {
            serial: wish.serial,
            tongue,
            way,
            service: wish.service,
            ttl_ms: wish.ttl_ms,
            idempotent: wish.idempotent,
            priority: wish.priority,
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

    fn ping(&mut self, peer: usize, id: u64, promise_ms: u32, capacity: Option<u16>) {
        let frames = Tongue::ping(id, promise_ms, capacity);
        let meant = Meant::Ping {
            id,
            promise_ms,
            capacity,
        };
        self.say(peer, frames, meant);
    }

    pub(crate) fn announce(&mut self, peer: usize) {
        let Some(stated) = self.peers[peer].hands.clone() else {
            return;
        };
        let frames = self.peers[peer].tongue.announce(
            &stated.offers,
            stated.capacity,
            stated.promise_ms,
            stated.deep,
        );
        self.say(peer, frames, Meant::Announce(stated));
    }

    fn goodbye(&mut self, number: usize) {
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

    fn crash(&mut self, peer: usize) {
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
            self.ping(number, 0, promise, None);
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
            Heard::Beat | Heard::Config { .. } | Heard::Pong(_) | Heard::Complaint(_) => {}
        }
        Ok(())
    }

    fn take_answer(&mut self, number: usize, said: &Said) -> Checked {
        if said.partial {
            return Ok(());
        }
        let peer = &mut self.peers[number];
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

    fn take_task(&mut self, number: usize, given: Given) {
        let serial = given
            .body
            .get(1)
            .and_then(|serial| serial.as_slice().try_into().ok())
            .map_or(0, u64::from_be_bytes);
        let peer = &mut self.peers[number];
        let mood = if self.resting {
            Mood::Prompt
        } else {
            peer.mood
        };
        let dice = Dice::of(self.plan.seed, &[about::WORK, serial, number as u64]);
        let steps = steps(dice, mood, peer.tongue);
        peer.holding.insert(given.token, Job { serial, steps });
        self.next_step(number, given.token);
    }

    fn take_cancel(&mut self, number: usize, token: Token) {
        let Some(job) = self.peers[number].holding.get_mut(&token) else {
            return;
        };
        let question = [about::CANCELLED, job.serial, number as u64];
        let mut dice = Dice::of(self.plan.seed, &question);
        if dice.percent(70) || job.steps.is_empty() {
            job.steps = VecDeque::from([(dice.between(50, 5_000), Deed::Final(499))]);
            self.next_step(number, token);
        }
    }

    fn next_step(&mut self, number: usize, token: Token) {
        let peer = &self.peers[number];
        let next = peer.holding.get(&token).and_then(|job| job.steps.front());
        if let Some((delay, _)) = next {
            let act = Act::Work(number, token);
            let at = self.now + Duration::from_micros(*delay);
            self.at(at, act);
        }
    }

    pub(crate) fn work(&mut self, number: usize, token: Token) {
        let peer = &mut self.peers[number];
        if peer.frozen_until > self.now {
            let thaws = peer.frozen_until;
            self.at(thaws, Act::Work(number, token));
            return;
        }
        let Some(job) = peer.holding.get_mut(&token) else {
            return;
        };
        let serial = job.serial;
        let Some((_, deed)) = job.steps.pop_front() else {
            return;
        };
        match deed {
            Deed::Part => self.reply(number, token, serial, 200, true),
            Deed::Final(code) => {
                let again = matches!(job.steps.front(), Some((_, Deed::Again)));
                self.peers[number].holding.remove(&token);
                self.reply(number, token, serial, code, false);
                if again {
                    self.reply(number, token, serial, code, false);
                }
                return;
            }
            Deed::Again => {}
            Deed::Stray => {
                let mut wrong = token;
                wrong[7] ^= 0x55;
                self.reply(number, wrong, serial, 200, false);
            }
            Deed::Crash => return self.crash(number),
            Deed::Bye => return self.goodbye(number),
        }
        self.next_step(number, token);
    }

    fn reply(&mut self, number: usize, token: Token, serial: u64, code: u16, partial: bool) {
        self.nonce += 1;
        let nonce = self.nonce;
        let tongue = self.peers[number].tongue;
        let mut dice = Dice::of(self.plan.seed, &[about::WORK, serial, nonce]);
        let mut body = vec![
            b"reply".to_vec(),
            serial.to_be_bytes().to_vec(),
            nonce.to_be_bytes().to_vec(),
        ];
        if dice.percent(15) {
            body.push(vec![b'+'; dice.between(50, 900) as usize]);
        }
        // RFC 7 has no parts.
        let partial = partial && !matches!(tongue, Tongue::Mdp01);
        let frames = tongue.reply(token, code, partial, body.clone());
        let meant = Meant::Reply {
            token,
            partial,
            body,
        };
        self.say(number, frames, meant);
    }

    /// Nothing goes wrong any more: who holds a task answers it.
    pub(crate) fn make_up(&mut self, number: usize) {
        let peer = &mut self.peers[number];
        peer.mood = Mood::Prompt;
        peer.backlog.clear();
        peer.frozen_until = Time::ZERO;
        let tokens: Vec<Token> = peer.holding.keys().copied().collect();
        for token in tokens {
            if let Some(job) = self.peers[number].holding.get_mut(&token) {
                job.steps = VecDeque::from([(500, Deed::Final(200))]);
            }
            self.next_step(number, token);
        }
        self.at(self.now, Act::Thaw(number));
    }
}

fn steps(mut dice: Dice, mood: Mood, tongue: Tongue) -> VecDeque<(u64, Deed)> {
    let mut steps = VecDeque::new();
    let done = Deed::Final(*dice.pick(&[200, 200, 200, 404, 500]));
    let soon = dice.between(30, 30_000);
    match mood {
        Mood::Prompt => steps.push_back((soon / 10, done)),
        Mood::Late => steps.push_back((dice.between(100_000, 7_000_000), done)),
        Mood::Never => {}
        Mood::Human => {
            let parts = |dice: &mut Dice, steps: &mut VecDeque<(u64, Deed)>| {
                for _ in 0..dice.between(1, 4) {
                    steps.push_back((dice.between(50, 100_000), Deed::Part));
                }
            };
            match dice.below(100) {
                0..50 => steps.push_back((soon, done)),
                50..66 => {
                    parts(&mut dice, &mut steps);
                    steps.push_back((soon, done));
                }
                66..74 => steps.push_back((dice.between(100_000, 7_000_000), done)),
                74..79 => steps.extend([(soon, done), (soon, Deed::Again)]),
                79..83 => {}
                83..88 => steps.extend([(soon, Deed::Stray), (soon, done)]),
                88..91 => {
                    parts(&mut dice, &mut steps);
                    steps.push_back((soon, Deed::Crash));
                }
                91..94 => steps.push_back((soon, Deed::Crash)),
                94..98 => steps.push_back((soon, Deed::Bye)),
                _ => parts(&mut dice, &mut steps),
            }
        }
    }
    if tongue == Tongue::Mdp01 {
        steps.retain(|(_, deed)| *deed != Deed::Part);
    }
    steps
}

/// Who must be awake for it.
fn subject(what: &What) -> Option<usize> {
    match what {
        What::Join(peer)
        | What::Announce(peer, _)
        | What::AnnounceBadly(peer)
        | What::Capacity(peer, _)
        | What::Ping(peer)
        | What::Bye(peer)
        | What::Forge(peer, _)
        | What::Garbage(peer) => Some(*peer),
        What::Ask(wish) => Some(wish.peer),
        _ => None,
    }
}
