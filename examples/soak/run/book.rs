//! What was asked, what was begun and what came of it: the books that have to balance.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use scale0::wire::Message;
use serde_json::Value;

/// How a task ended for its client.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) enum End {
    /// With the right answer.
    Answered,
    /// With a worker's failure, where one was to be expected.
    Failed,
    /// The broker refused it or gave it up, with this status.
    Refused(u16),
    /// Cancelled, and the broker said so (or nobody listened any more).
    Cancelled,
    /// Its client crashed, or never read.
    LeftBehind,
    /// Majordomo has no word for a task that failed.
    Silence,
}

/// One task: what it looks like follows from its number.
#[derive(Clone, Copy, Debug)]
pub(super) struct Task {
    pub(super) number: u64,
    pub(super) size: usize,
}

/// See the [module's description](self).
#[derive(Debug, Default)]
pub(super) struct Book {
    next: AtomicU64,
    ends: Mutex<BTreeMap<End, u64>>,
    begun: Mutex<Bits>,
    /// Begun by a worker of Majordomo, for whom every task may be done twice.
    lax: Mutex<Bits>,
    wrongs: Mutex<Vec<String>>,
}

#[derive(Debug, Default)]
struct Bits(Vec<u64>);

impl Bits {
    /// Sets one; true if it was set.
    fn set(&mut self, n: u64) -> bool {
        let (word, bit) = ((n / 64) as usize, 1 << (n % 64));
        if self.0.len() <= word {
            self.0.resize(word + 1, 0);
        }
        let was = self.0[word] & bit != 0;
        self.0[word] |= bit;
        was
    }

    fn has(&self, n: u64) -> bool {
        let word = self.0.get((n / 64) as usize);
        word.is_some_and(|word| word & (1 << (n % 64)) != 0)
    }
}

impl Task {
    /// Whether it may be done twice.
    pub(super) fn idempotent(self) -> bool {
        self.number.is_multiple_of(2)
    }

    /// Its number, and bytes of which each tells it, too.
    pub(super) fn body(self) -> Message {
        Message::new([
            &self.number.to_be_bytes()[..],
            &vec![self.number as u8; self.size],
        ])
    }

    /// Whether a reply is its own body, behind what was sent ahead of it.
    pub(super) fn is_answer(self, parts: &[Bytes]) -> bool {
        let [.., number, payload] = parts else {
            return false;
        };
        number[..] == self.number.to_be_bytes()
            && payload.len() == self.size
            && payload.iter().all(|byte| *byte == self.number as u8)
    }
}

impl Book {
    /// A task of this size, which is asked for now.
    pub(super) fn task(&self, size: usize) -> Task {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        Task { number, size }
    }

    /// A worker begins with a task of this number; `strict` says whether it keeps to one attempt.
    pub(super) fn begin(&self, body: &Message, strict: bool) {
        let Some(number) = body.first().and_then(|number| number.try_into().ok()) else {
            return self.wrong("a worker got a body that nobody sent".to_owned());
        };
        let task = Task {
            number: u64::from_be_bytes(number),
            size: body.parts().nth(1).unwrap_or_default().len(),
        };
        if !task.is_answer(&body.clone().into_parts()) {
            self.wrong(format!("a worker got task {} garbled", task.number));
        }
        if !strict {
            self.lax.lock().unwrap().set(task.number);
        }
        let again = self.begun.lock().unwrap().set(task.number);
        if again && !task.idempotent() && !self.lax.lock().unwrap().has(task.number) {
            self.wrong(format!(
                "task {} was begun twice and must not be",
                task.number
            ));
        }
    }

    pub(super) fn end(&self, end: End) {
        *self.ends.lock().unwrap().entry(end).or_default() += 1;
    }

    /// A promise was broken.
    pub(super) fn wrong(&self, what: String) {
        self.wrongs.lock().unwrap().push(what);
    }

    pub(super) fn asked(&self) -> u64 {
        self.next.load(Ordering::Relaxed)
    }

    pub(super) fn ends(&self) -> Vec<(End, u64)> {
        self.ends
            .lock()
            .unwrap()
            .iter()
            .map(|(end, count)| (*end, *count))
            .collect()
    }

    /// The first of them, and how many there are.
    pub(super) fn wrongs(&self) -> Vec<String> {
        let wrongs = self.wrongs.lock().unwrap();
        let mut some: Vec<String> = wrongs.iter().take(20).cloned().collect();
        if wrongs.len() > some.len() {
            some.push(format!("and {} more", wrongs.len() - some.len()));
        }
        some
    }

    /// Compares with what the broker has counted.
    pub(super) fn judge(&self, info: &Value, broken: &mut Vec<String>) {
        let ends = self.ends();
        let all: u64 = ends.iter().map(|(_, count)| count).sum();
        if all != self.asked() {
            broken.push(format!("{} tasks had {all} ends", self.asked()));
        }
        let number = |value: &Value| value.as_u64().unwrap_or_default();
        let counters = &info["counters"];
        let errors = counters["errors"].as_object();
        let errors: u64 = errors
            .into_iter()
            .flatten()
            .map(|(_, count)| number(count))
            .sum();
        let finals = number(&counters["replies"]) + errors;
        let gone = number(&counters["orphaned"]) + number(&counters["dropped"]);
        let tasks = number(&counters["tasks"]);
        if tasks != finals + gone {
            broken.push(format!(
                "the broker counts {tasks} tasks, {finals} finals, {gone} of others"
            ));
        }
        let heard = |end: &End| matches!(end, End::Answered | End::Failed | End::Refused(_));
        let heard: u64 = ends
            .iter()
            .filter(|(end, _)| heard(end))
            .map(|(_, count)| count)
            .sum();
        if heard > finals {
            broken.push(format!("{heard} finals were heard, {finals} were said"));
        }
        for counter in [
            "malformed",
            "unknown",
            "forged_replies",
            "dead_dialect",
            "dropped",
        ] {
            if counters[counter] != 0 {
                broken.push(format!("{counter} is {}, for nothing", counters[counter]));
            }
        }
        for (end, count) in ends {
            if let End::Refused(code) = end
                && !EXPECTED.contains(&code)
            {
                broken.push(format!(
                    "{count} tasks were refused with {code}, for nothing"
                ));
            }
        }
    }
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Answered => f.write_str("answered"),
            Self::Failed => f.write_str("failed as they should"),
            Self::Refused(code) => write!(f, "refused with {code}"),
            Self::Cancelled => f.write_str("cancelled"),
            Self::LeftBehind => f.write_str("left behind"),
            Self::Silence => f.write_str("Majordomo's silence"),
        }
    }
}

/// Nobody offers it; no time; too much; its worker crashed.
const EXPECTED: [u16; 6] = [404, 408, 429, 502, 503, 504];
