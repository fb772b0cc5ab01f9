//! How workers treat their tasks: at once, late or never, twice or in parts, well or badly; some
//! refuse, some wait for credit.

use std::collections::VecDeque;
use std::time::Duration;

use scale0::time::Time;

use crate::dice::{Dice, about};
use crate::plan::Mood;
use crate::speech::{Given, Kind, More, Token, Tongue};
use crate::told::Meant;
use crate::world::{Act, World};

/// A task at a worker.
#[derive(Debug)]
pub(crate) struct Job {
    serial: u64,
    steps: VecDeque<(u64, Deed)>,
    /// Parts that it may still send, if it counts them.
    window: Option<u64>,
    /// The next step waits for credit.
    blocked: bool,
}

/// One thing that a worker does with a task.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Deed {
    Part,
    /// A part that only shows how far it has come.
    Progress,
    Final(u16),
    /// Another is to have it.
    Refuse,
    /// The final once more.
    Again,
    /// A reply with a token that nobody was given.
    Stray,
    Crash,
    Bye,
}

impl World<'_> {
    pub(crate) fn take_task(&mut self, number: usize, given: Given) {
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
        let mut dice = Dice::of(self.plan.seed, &[about::WORK, serial, number as u64]);
        // Some count, and do not keep to it.
        let counts = peer.paced && dice.percent(90);
        let job = Job {
            serial,
            steps: steps(dice, mood, peer.tongue),
            window: counts.then_some(WINDOW),
            blocked: false,
        };
        peer.holding.insert(given.token, job);
        self.next_step(number, given.token);
    }

    pub(crate) fn take_cancel(&mut self, number: usize, token: Token) {
        let Some(job) = self.peers[number].holding.get_mut(&token) else {
            return;
        };
        // Nobody gives credit any more.
        job.window = None;
        if std::mem::take(&mut job.blocked) {
            job.steps.clear();
        }
        let question = [about::CANCELLED, job.serial, number as u64];
        let mut dice = Dice::of(self.plan.seed, &question);
        if dice.percent(70) || job.steps.is_empty() {
            job.steps = VecDeque::from([(dice.between(50, 5_000), Deed::Final(499))]);
            self.next_step(number, token);
        }
    }

    pub(crate) fn take_credit(&mut self, number: usize, token: Token, more: More) {
        let Some(job) = self.peers[number].holding.get_mut(&token) else {
            return;
        };
        if let Some(window) = &mut job.window {
            *window += u64::from(more.messages);
        }
        if std::mem::take(&mut job.blocked) {
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
        let part = |step: &(u64, Deed)| matches!(step.1, Deed::Part | Deed::Progress);
        if job.blocked {
            return;
        }
        if job.steps.front().is_some_and(part)
            && let Some(window) = &mut job.window
        {
            if *window == 0 {
                job.blocked = true;
                return;
            }
            *window -= 1;
        }
        let Some((_, deed)) = job.steps.pop_front() else {
            return;
        };
        match deed {
            Deed::Part => self.reply(number, token, serial, 200, Kind::Part),
            Deed::Progress => self.reply(number, token, serial, 102, Kind::Part),
            Deed::Refuse => {
                self.peers[number].holding.remove(&token);
                return self.reply(number, token, serial, 503, Kind::Refusal);
            }
            Deed::Final(code) => {
                let again = matches!(job.steps.front(), Some((_, Deed::Again)));
                self.peers[number].holding.remove(&token);
                self.reply(number, token, serial, code, Kind::Final);
                if again {
                    self.reply(number, token, serial, code, Kind::Final);
                }
                return;
            }
            Deed::Again => {}
            Deed::Stray => {
                let mut wrong = token;
                wrong[7] ^= 0x55;
                self.reply(number, wrong, serial, 200, Kind::Final);
            }
            Deed::Crash => return self.crash(number),
            Deed::Bye => return self.goodbye(number),
        }
        self.next_step(number, token);
    }

    pub(crate) fn reply(
        &mut self,
        number: usize,
        token: Token,
        serial: u64,
        code: u16,
        kind: Kind,
    ) {
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
        // Majordomo has neither a status nor a refusal, RFC 7 no parts.
        let (code, kind) = match (tongue, kind) {
            (tongue, kind) if tongue.is_s0() => (code, kind),
            (Tongue::Mdp01, _) | (_, Kind::Refusal) => (200, Kind::Final),
            (_, kind) => (200, kind),
        };
        let frames = tongue.reply(token, code, kind, body.clone());
        let meant = Meant::Reply {
            token,
            code,
            kind,
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
                job.blocked = false;
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
        Mood::Sick => steps.push_back((soon / 5, Deed::Final(500))),
        Mood::Unwilling if dice.percent(80) => steps.push_back((soon / 10, Deed::Refuse)),
        Mood::Unwilling => steps.push_back((soon, done)),
        Mood::Talkative => {
            let pace = *dice.pick(&[20, 500, 20_000]);
            for _ in 0..dice.between(3, 50) {
                let progress = dice.percent(15);
                let deed = if progress { Deed::Progress } else { Deed::Part };
                steps.push_back((dice.between(1, pace), deed));
            }
            steps.push_back((soon, done));
        }
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
                94..96 => steps.push_back((soon, Deed::Bye)),
                96..98 => steps.push_back((soon, Deed::Refuse)),
                98..99 => steps.extend([(soon, Deed::Part), (soon, Deed::Refuse)]),
                _ => parts(&mut dice, &mut steps),
            }
        }
    }
    if tongue == Tongue::Mdp01 {
        steps.retain(|(_, deed)| !matches!(deed, Deed::Part | Deed::Progress));
    }
    steps
}

/// Parts of a reply that may be sent before any credit.
const WINDOW: u64 = 16;
