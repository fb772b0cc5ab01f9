//! Tasks of which nobody wants the result: one receipt or nothing, and then only a count.

use std::collections::BTreeMap;

use scale0::broker::Snapshot;

use super::{At, Checked, Conn, Ledger, Promise, Task, broken, must};
use crate::speech::{Refusal, Said, Wants, Way};

/// What the broker counts, as it was seen from outside.
#[derive(Debug, Default)]
pub(super) struct Counted {
    pub(super) receipts: u64,
    pub(super) oneway_done: u64,
    pub(super) oneway_failed: BTreeMap<u16, u64>,
    pub(super) refused: u64,
    pub(super) ejected: u64,
}

impl Task {
    pub(super) fn is_oneway(&self) -> bool {
        self.asked.wants != Wants::Answer
    }
}

impl Ledger {
    /// A task's client hears no more of it, and has its number back.
    pub(super) fn hears_no_more(&mut self, serial: u64) {
        let task = self.tasks.get_mut(&serial).expect("it is active");
        task.told = true;
        let here = (task.conn, task.asked.way);
        if self.by_way.get(&here) == Some(&serial) {
            self.by_way.remove(&here);
            self.ended.insert(here);
        }
    }

    /// Somebody is told that the broker has taken charge of a task.
    pub(super) fn receipt(&mut self, conn: Conn, said: &Said) -> Checked {
        let found = self.by_way.get(&(conn, said.way)).copied();
        let wants = |serial: &u64| self.tasks[serial].asked.wants == Wants::Receipt;
        let Some(serial) = found.filter(wants) else {
            return broken(
                Promise::OneWay,
                format!("nobody at {conn} waits for a receipt of {:?}", said.way),
            );
        };
        self.taken_on(serial)?;
        let task = &self.tasks[&serial];
        let given = matches!(task.at, At::Worker(..));
        must!(
            !task.told && (given || self.offered(&task.line)),
            OneWay,
            "nobody can do it yet: {task:?}"
        );
        must!(said.body.is_empty(), OneWay, "a receipt says {said:?}");
        self.counted.receipts += 1;
        self.hears_no_more(serial);
        Ok(())
    }

    /// A task that nobody waits for came to nothing.
    pub(crate) fn oneway_failed(&mut self, conn: Conn, way: Way, code: u16) -> Checked {
        let refusal = Refusal {
            code,
            not_executed: None,
            draining: None,
        };
        let here: Vec<u64> = self.active.iter().copied().collect();
        let found = here.into_iter().find(|serial| {
            let task = &self.tasks[serial];
            let ours = task.told && !task.done && (task.conn, task.asked.way) == (conn, way);
            ours && task.is_oneway() && self.may_fail(*serial, refusal).is_ok()
        });
        let Some(serial) = found else {
            return broken(
                Promise::OneWay,
                format!("no task of {conn}, {way:?}, fails with {code}"),
            );
        };
        *self.counted.oneway_failed.entry(code).or_default() += 1;
        self.late(serial, code);
        self.conclude(serial);
        Ok(())
    }

    /// A quiet task is refused in silence.
    pub(crate) fn turned_away(&mut self, code: u16) -> Checked {
        let Some(serial) = self.due.fresh else {
            return Ok(());
        };
        let task = &self.tasks[&serial];
        if task.asked.wants != Wants::Nothing || task.at != At::Door || task.done {
            return Ok(());
        }
        let refusal = Refusal {
            code,
            not_executed: None,
            draining: None,
        };
        self.may_fail(serial, refusal)?;
        self.conclude(serial);
        Ok(())
    }

    /// Who is to have a receipt has it, as soon as somebody can do the task.
    pub(super) fn receipts_given(&self) -> Checked {
        for serial in &self.active {
            let task = &self.tasks[serial];
            if task.asked.wants != Wants::Receipt || task.told || task.done {
                continue;
            }
            let given = matches!(task.at, At::Worker(..));
            let offered = self.due.fresh == Some(*serial) && self.offered(&task.line);
            must!(!given && !offered, OneWay, "no receipt for {task:?}");
        }
        Ok(())
    }

    pub(super) fn counts_agree(&self, snapshot: &Snapshot) -> Checked {
        let theirs = &snapshot.counters;
        let ours = &self.counted;
        must!(
            theirs.receipts == ours.receipts
                && theirs.oneway_done == ours.oneway_done
                && theirs.oneway_failed == ours.oneway_failed,
            OneWay,
            "{ours:?}, the broker counts {theirs:?}"
        );
        must!(
            theirs.refused == ours.refused && theirs.ejected == ours.ejected,
            Books,
            "{ours:?}, the broker counts {theirs:?}"
        );
        Ok(())
    }
}
