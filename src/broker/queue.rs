//! The tasks that wait for one service, and whose turn it is.
//!
//! One client's tasks of one priority stand in a line, first come, first served. Lines of one
//! level take turns by what their tasks cost (deficit round robin, Shreedhar and Varghese 1995), so
//! that a client with a thousand tasks delays another's by one turn, not by a thousand. The level
//! is the priority, and rises by one for each second that a line's first task has been its first:
//! what is unimportant waits long, but not for ever.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::time::Duration;

use foldhash::fast::FixedState;

use super::PeerId;
use crate::chain::{Chain, Chains};
use crate::table::Table;
use crate::time::Time;

/// See the [module's description](self).
#[derive(Debug, Default)]
pub(super) struct Queue {
    len: usize,
    bytes: usize,
    by_owner: HashMap<Owner, u32, FixedState>,
    /// Lines in their turns, by level.
    rounds: [Chain; LEVELS],
    /// Lines in the order in which they are due to be looked at, whether they have risen.
    rising: Chain,
    /// Tasks in the order in which they came; those that come again stand in front.
    ages: Chain,
}

/// What all queues together keep of lines and of tasks.
#[derive(Debug, Default)]
pub(super) struct Lines {
    table: Table<Line>,
    /// By the task's number.
    waiting: Vec<Waiting>,
    tasks: Chains,
    ages: Chains,
    rounds: Chains,
    rising: Chains,
}

/// Whose line it is: a connection, for everything that comes over one has one reader, and a
/// priority from 1 to 7.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(super) struct Owner {
    pub(super) client: PeerId,
    pub(super) priority: u8,
}

#[derive(Debug)]
struct Line {
    owner: Owner,
    tasks: Chain,
    bytes: usize,
    /// What it may still spend in this turn, or has saved up for its first task.
    deficit: u32,
    level: usize,
    /// Since when its first task is the first.
    since: Time,
    /// When it was last looked at.
    seen: Time,
}

#[derive(Clone, Copy, Debug, Default)]
struct Waiting {
    line: u32,
    bytes: usize,
}

/// A task whose turn it is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Turn {
    pub(super) task: u32,
    /// Whose it is.
    pub(super) client: PeerId,
    /// Of its line: 0 to 6.
    pub(super) level: usize,
    /// Since when it is the first of its line.
    pub(super) since: Time,
}

impl Turn {
    /// The lower, the sooner, of the turns of several queues: what is of a higher level, then
    /// whose client had its `last` turn longer ago, then what has been the first of its line for longer.
    pub(super) fn order(&self, last: u64) -> impl Ord + use<> {
        (Reverse(self.level), last, self.since, self.task)
    }
}

impl Queue {
    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// What its tasks cost, in bytes.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Clients that wait, each counted once for each of its priorities.
    pub(super) fn lines(&self) -> usize {
        self.by_owner.len()
    }

    /// The task that has waited longest.
    pub(super) fn oldest(&self) -> Option<u32> {
        self.ages.first()
    }

    /// All tasks, those that have waited longest first.
    pub(super) fn oldest_first(&self, lines: &Lines) -> impl Iterator<Item = u32> {
        lines.ages.iter(&self.ages)
    }

    /// Puts a task of so many bytes at the end of its owner's line.
    pub(super) fn push(
        &mut self,
        lines: &mut Lines,
        now: Time,
        owner: Owner,
        task: u32,
        bytes: usize,
    ) {
        let number = self.enter(lines, now, owner, task, bytes);
        lines.ages.push_back(&mut self.ages, task);
        if let Some(line) = lines.table.get_mut(number) {
            lines.tasks.push_back(&mut line.tasks, task);
        }
    }

    /// Puts a task that was started before in front, and its owner's line in front of its level.
    pub(super) fn push_again(
        &mut self,
        lines: &mut Lines,
        now: Time,
        owner: Owner,
        task: u32,
        bytes: usize,
    ) {
        let number = self.enter(lines, now, owner, task, bytes);
        lines.ages.push_front(&mut self.ages, task);
        let price = price(bytes);
        if let Some(line) = lines.table.get_mut(number) {
            lines.tasks.push_front(&mut line.tasks, task);
            line.deficit = line.deficit.max(price);
            if let Some(round) = self.rounds.get_mut(line.level) {
                lines.rounds.remove(round, number);
                lines.rounds.push_front(round, number);
            }
        }
    }

    /// Counts a task in; the number of its line.
    fn enter(
        &mut self,
        lines: &mut Lines,
        now: Time,
        owner: Owner,
        task: u32,
        bytes: usize,
    ) -> u32 {
        let number = match self.by_owner.get(&owner) {
            Some(&number) => number,
            None => self.open(lines, now, owner),
        };
        self.len += 1;
        self.bytes += bytes;
        if let Some(line) = lines.table.get_mut(number) {
            line.bytes += bytes;
        }
        lines.note(
            task,
            Waiting {
                line: number,
                bytes,
            },
        );
        number
    }

    fn open(&mut self, lines: &mut Lines, now: Time, owner: Owner) -> u32 {
        let level = base(owner);
        let number = lines.table.insert(Line {
            owner,
            tasks: Chain::default(),
            bytes: 0,
            deficit: 0,
            level,
            since: now,
            seen: now,
        });
        self.by_owner.insert(owner, number);
        if let Some(round) = self.rounds.get_mut(level) {
            lines.rounds.push_back(round, number);
        }
        lines.rising.push_back(&mut self.rising, number);
        number
    }

    /// Whose turn it is. Asked again without a change it says the same.
    pub(super) fn turn(&mut self, lines: &mut Lines, now: Time) -> Option<Turn> {
        self.rise(lines, now);
        let (level, round) = self
            .rounds
            .iter_mut()
            .enumerate()
            .rfind(|(_, round)| !round.is_empty())?;
        loop {
            let number = round.first()?;
            let alone = round.len() == 1;
            let line = lines.table.get_mut(number)?;
            let task = line.tasks.first()?;
            let price = price(lines.waiting.get(task as usize)?.bytes);
            if line.deficit < price {
                // Who is alone need not save up for it.
                line.deficit = if alone { price } else { line.deficit + QUANTUM };
            }
            if line.deficit >= price {
                return Some(Turn {
                    task,
                    client: line.owner.client,
                    level,
                    since: line.since,
                });
            }
            lines.rounds.remove(round, number);
            lines.rounds.push_back(round, number);
        }
    }

    /// The same for a worker that has other queues besides: if the client whose turn it is had its
    /// `last` one there later than the next in this round, that one goes first. Otherwise who asks
    /// in many queues would have as many turns.
    pub(super) fn turn_by(
        &mut self,
        lines: &mut Lines,
        now: Time,
        last: impl Fn(PeerId) -> u64,
    ) -> Option<Turn> {
        let turn = self.turn(lines, now)?;
        if last(turn.client) == 0 {
            return Some(turn);
        }
        let round = self.rounds.get_mut(turn.level)?;
        let mut two = lines.rounds.iter(round).take(2);
        let (first, second) = (two.next(), two.next());
        drop(two);
        let (Some(number), Some(second)) = (first, second) else {
            return Some(turn);
        };
        let line = lines.table.get_mut(second)?;
        let task = line.tasks.first()?;
        let price = price(lines.waiting.get(task as usize)?.bytes);
        let (client, since) = (line.owner.client, line.since);
        if last(client) >= last(turn.client) || line.deficit + QUANTUM < price {
            return Some(turn);
        }
        line.deficit = line.deficit.max(price);
        lines.rounds.remove(round, number);
        lines.rounds.push_back(round, number);
        Some(Turn {
            task,
            client,
            level: turn.level,
            since,
        })
    }

    /// Takes a task out whose turn it was.
    pub(super) fn serve(&mut self, lines: &mut Lines, now: Time, task: u32) {
        self.take(lines, now, task, true);
    }

    /// Takes a task out that waits no longer, wherever it stands.
    pub(super) fn remove(&mut self, lines: &mut Lines, now: Time, task: u32) {
        self.take(lines, now, task, false);
    }

    fn take(&mut self, lines: &mut Lines, now: Time, task: u32, served: bool) {
        let Some(&Waiting {
            line: number,
            bytes,
        }) = lines.waiting.get(task as usize)
        else {
            return;
        };
        let Some(line) = lines.table.get_mut(number) else {
            return;
        };
        let was_first = line.tasks.first() == Some(task);
        lines.tasks.remove(&mut line.tasks, task);
        lines.ages.remove(&mut self.ages, task);
        self.len -= 1;
        self.bytes -= bytes;
        line.bytes -= bytes;
        if served {
            line.deficit = line.deficit.saturating_sub(price(bytes));
        }
        let Some(next) = line.tasks.first() else {
            return self.close(lines, number);
        };
        if !was_first {
            return;
        }
        // Another task is the first now: its time begins.
        (line.since, line.seen) = (now, now);
        let former = std::mem::replace(&mut line.level, base(line.owner));
        let next = lines
            .waiting
            .get(next as usize)
            .map_or(0, |waiting| price(waiting.bytes));
        let goes_back = former != line.level || served && line.deficit < next;
        let level = line.level;
        if goes_back {
            self.walk(lines, number, former, level);
        }
        lines.rising.remove(&mut self.rising, number);
        lines.rising.push_back(&mut self.rising, number);
    }

    /// Forgets a line without tasks.
    fn close(&mut self, lines: &mut Lines, number: u32) {
        let Some(line) = lines.table.remove(number) else {
            return;
        };
        self.by_owner.remove(&line.owner);
        if let Some(round) = self.rounds.get_mut(line.level) {
            lines.rounds.remove(round, number);
        }
        lines.rising.remove(&mut self.rising, number);
        if self.by_owner.is_empty() {
            // A crowd has come and gone: give its memory back.
            self.by_owner = HashMap::default();
        }
    }

    /// Puts a line at the end of a level's round.
    fn walk(&mut self, lines: &mut Lines, number: u32, from: usize, to: usize) {
        if let Some(round) = self.rounds.get_mut(from) {
            lines.rounds.remove(round, number);
        }
        if let Some(round) = self.rounds.get_mut(to) {
            lines.rounds.push_back(round, number);
        }
    }

    /// Lets lines rise that have waited for a second or more since they were last looked at.
    fn rise(&mut self, lines: &mut Lines, now: Time) {
        while let Some(number) = self.rising.first()
            && let Some(line) = lines.table.get_mut(number)
            && line.seen + STEP <= now
        {
            line.seen = now;
            let steps = now.since(line.since).as_secs();
            let steps = usize::try_from(steps).unwrap_or(LEVELS);
            let to = (base(line.owner).saturating_add(steps)).min(LEVELS - 1);
            let from = std::mem::replace(&mut line.level, to);
            if from != to {
                self.walk(lines, number, from, to);
            }
            lines.rising.remove(&mut self.rising, number);
            lines.rising.push_back(&mut self.rising, number);
        }
    }

    /// Whether another task of so many bytes would leave its owner too much of a queue that may
    /// hold so many tasks and bytes: one line may take eight times what it leaves free (dynamic
    /// thresholds, Choudhury and Hahne 1998). So some room is left for those who come later,
    /// however few fill the rest.
    pub(super) fn is_crowded(
        &self,
        lines: &Lines,
        owner: Owner,
        bytes: usize,
        most_tasks: usize,
        most_bytes: usize,
    ) -> bool {
        let free_tasks = most_tasks.saturating_sub(self.len);
        let free_bytes = most_bytes.saturating_sub(self.bytes);
        // What is far from full need not be looked at.
        if free_tasks > most_tasks / SHARE && free_bytes > most_bytes / SHARE {
            return false;
        }
        let line = self
            .by_owner
            .get(&owner)
            .and_then(|number| lines.table.get(*number));
        line.is_some_and(|line| {
            line.tasks.len() >= SHARE.saturating_mul(free_tasks)
                || line.bytes + bytes > SHARE.saturating_mul(free_bytes)
        })
    }
}

impl Lines {
    fn note(&mut self, task: u32, waiting: Waiting) {
        let place = task as usize;
        if place >= self.waiting.len() {
            self.waiting.resize(place + 1, Waiting::default());
        }
        if let Some(there) = self.waiting.get_mut(place) {
            *there = waiting;
        }
    }
}

/// What a task costs its line: one for being there, and one for each 4 KiB.
fn price(bytes: usize) -> u32 {
    u32::try_from(1 + bytes / 4096).unwrap_or(u32::MAX)
}

/// The level at which a line begins.
fn base(owner: Owner) -> usize {
    usize::from(owner.priority).clamp(1, LEVELS) - 1
}

/// Priorities 1 to 7.
const LEVELS: usize = 7;
/// What a line gets in each round.
const QUANTUM: u32 = 1;
/// How long the first task of a line waits for each level that it rises.
const STEP: Duration = Duration::from_secs(1);
/// A line may take so many times what it leaves free.
const SHARE: usize = 8;

#[cfg(test)]
mod tests;
