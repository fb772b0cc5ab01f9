//! Whose turn it is: the worker idle longest, and of those who wait the one that is due.

use std::time::Duration;

use super::{At, Checked, Conn, Ledger, Party, must};

impl Ledger {
    /// The worker idle longest, and of one client's tasks the oldest.
    pub(super) fn in_turn(&self, conn: Conn, serial: u64) -> Checked {
        let task = &self.tasks[&serial];
        let since = |(_, party): &(Conn, &Party)| party.hand.as_ref().map(|h| h.since);
        let idlest = self.eligible(&task.asked.service).min_by_key(since);
        must!(
            idlest.is_some_and(|(idlest, _)| idlest == conn),
            LongestIdle,
            "{:?} has been idle longer than {conn}",
            idlest.map(|(idlest, _)| idlest)
        );
        let hand = self.parties[&conn].hand.as_ref();
        let offers = |name: &str| hand.is_some_and(|hand| hand.stated.offers(name).is_some());
        let waited = self.now.since(task.arrived).as_secs();
        for other in &self.active {
            let rival = &self.tasks[other];
            if *other == serial || rival.at != At::Queue || rival.done {
                continue;
            }
            must!(
                !(rival.same_line(task) && rival.rank < task.rank && task.attempts == 0),
                InOrder,
                "task {serial} is begun before task {other}"
            );
            must!(
                !(task.same_line(rival) && rival.attempts > 0 && rival.deadline > self.now),
                InOrder,
                "task {serial} is begun before task {other}, which comes again"
            );
            // It is looked at once a second, and may just have been.
            let risen = rival.first.map_or(0, |first| {
                let waited = self.now.since(first).saturating_sub(RISES);
                u64::from(rival.asked.priority) + waited.as_secs()
            });
            let level = u64::from(task.asked.priority) + self.now.since(task.arrived).as_secs();
            must!(
                risen.min(7) <= level.min(7)
                    || task.attempts > 0
                    || rival.asked.service != task.asked.service,
                InOrder,
                "task {serial} is begun before task {other}, which has risen to {risen}"
            );
            let above = u64::from(rival.asked.priority.saturating_sub(task.asked.priority));
            must!(
                waited >= above || !offers(&rival.asked.service),
                InOrder,
                "task {serial} is begun before task {other}, which is more important"
            );
        }
        Ok(())
    }

    /// A task is begun: those who wait behind it wait no longer than their turn.
    pub(super) fn passes(&mut self, serial: u64) -> Checked {
        let task = &self.tasks[&serial];
        if task.attempts > 0 {
            return Ok(());
        }
        let (conn, service) = (task.conn, task.asked.service.clone());
        let priority = task.asked.priority;
        let firsts: Vec<u64> = self
            .active
            .iter()
            .copied()
            .filter(|other| {
                let rival = &self.tasks[other];
                rival.at == At::Queue
                    && !rival.done
                    && rival.attempts == 0
                    && rival.conn != conn
                    && rival.asked.service == service
                    && rival.asked.priority == priority
                    && rival.first.is_some()
            })
            .collect();
        for first in firsts {
            let rival = self.tasks.get_mut(&first).expect("it is active");
            let times = rival.passed.entry(conn).or_default();
            *times += 1;
            must!(
                *times <= FAIR,
                FairTurns,
                "{times} tasks of {conn} are begun while task {first} waits for its turn"
            );
        }
        Ok(())
    }
}

/// What one client may be ahead of another, in tasks.
const FAIR: u32 = 3;
/// How late a task may rise.
const RISES: Duration = Duration::from_secs(1);
