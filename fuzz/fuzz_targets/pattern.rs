//! Each socket type against plain lists: any history of peers, messages and subscriptions. The
//! lists are those of the property tests.
#![cfg_attr(fuzzing, no_main)]

#[path = "../../tests/patterns/model.rs"]
mod model;

use model::{PEERS, Parts, Step, play};
use scale0::pattern::{Bounds, Config, Handover, Verbose};
use scale0::wire::SocketType;

pub fn run(data: &[u8]) {
    let mut bytes = Script(data);
    let kind = SocketType::ALL[usize::from(bytes.next()) % SocketType::ALL.len()];
    let config = bytes.config();
    let first = u32::from(bytes.next()).wrapping_sub(2);
    play(kind, config, first, std::iter::from_fn(|| bytes.step()));
}

/// Reads past its end as zeros.
struct Script<'a>(&'a [u8]);

impl Script<'_> {
    fn next(&mut self) -> u8 {
        let (first, rest) = self.0.split_first().unwrap_or((&0, &[]));
        self.0 = rest;
        *first
    }

    fn config(&mut self) -> Config {
        let (flags, words) = (self.next(), self.next());
        let flag = |bit: u8| flags >> bit & 1 == 1;
        Config {
            mandatory: flag(0),
            relaxed: flag(1),
            correlate: flag(2),
            manual: flag(3),
            last_value: flag(4),
            no_drop: flag(5),
            invert: flag(6),
            verbose_unsubscribe: flag(7),
            handover: [Handover::Refuse, Handover::SameUser, Handover::Any][usize::from(words % 3)],
            verbose: [Verbose::No, Verbose::Subscriptions, Verbose::All]
                [usize::from(words / 3 % 3)],
            envelope: usize::from(words >> 4 & 3) + 1,
            bounds: BOUNDS,
        }
    }

    /// One byte for what happens and to whom; `None` at the end.
    fn step(&mut self) -> Option<Step> {
        if self.0.is_empty() {
            return None;
        }
        let what = self.next();
        let peer = u32::from(what >> 4) % PEERS;
        let on = what >> 7 == 0;
        Some(match what % 16 {
            0 | 1 => {
                let user = (what % 16 == 1).then(|| self.next() % 2);
                Step::Join(peer, self.part(), user)
            }
            2 => Step::Leave(peer),
            3 => Step::Full(peer),
            4 => Step::Room(peer),
            5 => Step::Send(self.parts()),
            6 => Step::SendTo(peer, self.parts()),
            7 => Step::Hear(peer, self.parts()),
            8 => Step::Reply(peer, self.parts()),
            9 => Step::Subscription(peer, true, self.part()),
            10 => Step::Subscription(peer, false, self.part()),
            11 => Step::Interest(on, self.part()),
            12 => Step::Notice,
            13 => Step::Decide(on, self.part()),
            14 => Step::MayReceive,
            _ => Step::Configure(self.config()),
        })
    }

    /// One byte for how many.
    fn parts(&mut self) -> Parts {
        (0..self.next() % 6).map(|_| self.part()).collect()
    }

    /// One byte of length, and as many as there are.
    fn part(&mut self) -> Vec<u8> {
        let len = usize::from(self.next() % 16).min(self.0.len());
        let (part, rest) = self.0.split_at(len);
        self.0 = rest;
        part.to_vec()
    }
}

const BOUNDS: Bounds = Bounds {
    topic: 10,
    per_peer: 6,
    total: 20,
    bytes: 1000,
};

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|data: &[u8]| run(data));
