//! When the broker may say no, and what it must say then.

use scale0::broker::{Overflow, Snapshot};

use super::{At, Checked, Ledger, Promise, Task, broken, must};
use crate::speech::Refusal;

impl Ledger {
    /// Whether a task may come to this end now.
    pub(super) fn may_fail(&self, serial: u64, refusal: Refusal) -> Checked {
        let task = &self.tasks[&serial];
        let offered = self.offered(&task.asked.service);
        let late = task.deadline <= self.now;
        let long = late || self.patience_ends(task) <= self.now;
        let waiting = matches!(task.at, At::Queue | At::Orphaned);
        let fresh = task.at == At::Door;
        let over = self.draining.is_some_and(|at| at <= self.now);
        let most = self.config.max_attempts;
        let begun = task.attempts > 0;
        let true_so = match refusal.code {
            404 => (fresh && self.too_many_names(task)) || (waiting && !begun && !offered && long),
            408 => waiting && !begun && late,
            409 => fresh && task.twin,
            413 => !task.parts.is_empty() || !task.unsent.is_empty(),
            429 => fresh && self.open_of(task) > self.config.limits.client_tasks,
            499 => self.due.cancelled == Some(serial),
            502 => {
                let lost = task.at == At::Orphaned && (late || !task.may_restart(most));
                let alone = task.at == At::Queue && !offered && long;
                begun && (over || lost || alone)
            }
            503 => {
                (fresh && (self.draining.is_some() || self.queue_is_full(task))) || (over && !begun)
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
        must!(
            refusal.not_executed.is_none_or(|flag| flag != begun),
            HonestRefusal,
            "after {} attempts: {refusal:?}",
            task.attempts
        );
        Ok(())
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
        self.tight || self.waiting_for(&task.asked.service) > self.config.limits.queue_tasks
    }

    fn waiting_for(&self, service: &str) -> usize {
        let waits = |serial: &&u64| {
            let task = &self.tasks[serial];
            matches!(task.at, At::Queue | At::Door) && task.asked.service == service
        };
        self.active.iter().filter(waits).count()
    }

    fn too_many_names(&self, task: &Task) -> bool {
        let mut names: Vec<&str> = self
            .active
            .iter()
            .map(|serial| &self.tasks[serial])
            .filter(|other| other.asked.serial != task.asked.serial)
            .map(|other| other.asked.service.as_str())
            .filter(|name| !self.offered(name))
            .collect();
        names.sort_unstable();
        names.dedup();
        !names.contains(&task.asked.service.as_str())
            && names.len() >= self.config.limits.awaited_names
    }

    /// What is seen of the broker from outside stays below its limits.
    pub(super) fn sizes(&self, snapshot: &Snapshot) -> Checked {
        let limits = &self.config.limits;
        for service in &snapshot.services {
            let name = service.name.to_string();
            let beyond = |serial: &&u64| {
                let task = &self.tasks[serial];
                let blocks = self.config.overflow == Overflow::Block;
                let pressed = task.attempts > 0 || blocks || !task.asked.tongue.is_s0();
                pressed && task.at == At::Queue && task.asked.service == name
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
