//! When the broker may say no, and what it must say then.

use scale0::broker::{Overflow, Snapshot};

use super::{At, Checked, Ledger, Promise, Task, broken, must};
use crate::speech::Refusal;

impl Ledger {
    /// Whether a task may come to this end now.
    pub(super) fn may_fail(&self, serial: u64, refusal: Refusal) -> Checked {
        let task = &self.tasks[&serial];
        let offered = self.offered(&task.line);
        let late = task.deadline <= self.now;
        let long = late || self.patience_ends(task) <= self.now;
        let waiting = matches!(task.at, At::Queue | At::Orphaned);
        let fresh = task.at == At::Door;
        let over = self.draining.is_some_and(|at| at <= self.now);
        let most = self.config.max_attempts;
        let begun = task.attempts > 0;
        let exhausted = self.due.exhausted == Some(serial);
        let true_so = match refusal.code {
            404 => {
                (fresh && self.too_many_names(task))
                    || (waiting && !begun && !offered && (long || self.crowded_out(task)))
            }
            408 => waiting && !begun && late,
            409 => fresh && task.twin,
            413 => !task.parts.is_empty() || self.too_far_ahead(task),
            429 => fresh && self.open_of(task) > self.config.limits.client_tasks,
            499 => self.due.cancelled == Some(serial),
            502 => {
                let lost = task.at == At::Orphaned && (late || !task.may_restart(most));
                let alone = waiting && !offered && (long || self.crowded_out(task));
                begun && (over || lost || alone)
            }
            503 => {
                (fresh && (self.draining.is_some() || self.queue_is_full(task)))
                    || (over && !begun)
                    || exhausted
            }
            504 => begun && late,
            _ => false,
        };
        if !true_so {
            return broken(
                Promise::HonestRefusal,
                format!("{} is not true of {task:?}", refusal.code),
            );
        }
        let drains = self.draining.is_some() && !exhausted;
        must!(
            refusal.draining.is_none_or(|word| word == drains),
            HonestRefusal,
            "the word for a broker that drains, or not: {refusal:?}"
        );
        must!(
            refusal.not_executed.is_none_or(|flag| flag != begun),
            HonestRefusal,
            "after {} attempts: {refusal:?}",
            task.attempts
        );
        Ok(())
    }

    /// Its name was one too many when those left who served it.
    fn crowded_out(&self, task: &Task) -> bool {
        let names = self.names_waited_for(task).len();
        // Those that moved with it may have the same name, and have come first.
        let moved = self.due.moved.contains(&task.asked.serial);
        moved && names + 1 >= self.config.limits.awaited_names
    }

    /// More waits for its client than a worker may send ahead.
    fn too_far_ahead(&self, task: &Task) -> bool {
        let limit = self.config.limits.ahead;
        let weight = |part: &crate::speech::Frames| {
            part.iter().map(|frame| frame.len() + 9).sum::<usize>() + PART_COST
        };
        let waiting: usize = task.unsent.iter().map(weight).sum();
        !task.unsent.is_empty() && (self.tight || waiting >= limit)
    }

    /// A task that came in this turn was not refused.
    pub(super) fn taken_on(&mut self, serial: u64) -> Checked {
        let task = self.tasks.get_mut(&serial).expect("it is there");
        if task.at != At::Door {
            return Ok(());
        }
        task.at = At::Queue;
        let task = &self.tasks[&serial];
        must!(!task.twin, OneFinal, "two tasks of one number: {serial}");
        must!(
            self.draining.is_none(),
            Drain,
            "task {serial} is taken on while draining"
        );
        // Majordomo's clients cannot be refused; they are not read on. Others may be treated so.
        let works = self.parties[&task.conn].hand.is_some();
        let refuses = self.config.overflow == Overflow::Refuse;
        let told = task.asked.tongue.is_s0() && (works || refuses);
        let ours = self.open_of(task);
        must!(
            !told || ours <= self.config.limits.client_tasks,
            Limits,
            "task {serial} is number {ours} of its client"
        );
        Ok(())
    }

    fn open_of(&self, task: &Task) -> usize {
        let same = |other: &&u64| {
            let other = &self.tasks[other];
            other.conn == task.conn && !other.done
        };
        self.active.iter().filter(same).count()
    }

    /// By what the ledger can see; bytes count as well, and only low limits are met by them.
    fn queue_is_full(&self, task: &Task) -> bool {
        self.tight || self.waiting_for(&task.line) > self.config.limits.queue_tasks
    }

    fn waiting_for(&self, line: &str) -> usize {
        let waits = |serial: &&u64| {
            let task = &self.tasks[serial];
            matches!(task.at, At::Queue | At::Door) && task.line == line
        };
        self.active.iter().filter(waits).count()
    }

    fn too_many_names(&self, task: &Task) -> bool {
        let names = self.names_waited_for(task);
        !names.contains(&task.line.as_str()) && names.len() >= self.config.limits.awaited_names
    }

    /// Names without a worker that others ask for.
    fn names_waited_for(&self, task: &Task) -> Vec<&str> {
        let mut names: Vec<&str> = self
            .active
            .iter()
            .map(|serial| &self.tasks[serial])
            .filter(|other| other.asked.serial != task.asked.serial)
            .map(|other| other.line.as_str())
            .filter(|name| !self.offered(name))
            .collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    /// What is seen of the broker from outside stays below its limits.
    pub(super) fn sizes(&self, snapshot: &Snapshot) -> Checked {
        let limits = &self.config.limits;
        for service in &snapshot.services {
            let name = service.name.to_string();
            let beyond = |serial: &&u64| {
                let task = &self.tasks[serial];
                let blocks = self.config.overflow == Overflow::Block;
                let again = task.comes_again() || task.moved;
                let pressed = again || blocks || !task.asked.tongue.is_s0();
                pressed && task.at == At::Queue && task.line == name
            };
            let beyond = self.active.iter().filter(beyond).count();
            must!(
                service.queued <= limits.queue_tasks + beyond,
                Limits,
                "{} tasks wait for {name}, {beyond} of them beyond the limit",
                service.queued
            );
        }
        let held = self.parties.values().any(|party| party.held);
        must!(
            held || snapshot.held <= limits.held,
            Limits,
            "{} bytes held of {}",
            snapshot.held,
            limits.held
        );
        Ok(())
    }
}

/// At most, what the broker needs besides for a part that waits.
const PART_COST: usize = 400;
