//! Whose turn it is of those who wait.

use std::time::Duration;

use super::{At, Checked, Conn, Ledger, must};

impl Ledger {
    /// Of one client's tasks the oldest, and of all the most important.
    pub(super) fn in_turn(&self, conn: Conn, serial: u64) -> Checked {
        let task = &self.tasks[&serial];
        // It was refused, and stands beside its queue.
        if !task.refusals.is_empty() {
            return Ok(());
        }
        let hand = self.parties[&conn].hand.as_ref();
        let offers = |line: &str| {
            let post = hand.and_then(|hand| hand.posts.get(line));
            post.is_some_and(|post| post.open)
        };
        let waited = self.now.since(task.arrived).as_secs();
        for other in &self.active {
            let rival = &self.tasks[other];
            let waits = rival.at == At::Queue && !rival.done && rival.refusals.is_empty();
            if *other == serial || !waits {
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
                risen.min(7) <= level.min(7) || task.attempts > 0 || rival.line != task.line,
                InOrder,
                "task {serial} is begun before task {other}, which has risen to {risen}"
            );
            let above = u64::from(rival.asked.priority.saturating_sub(task.asked.priority));
            must!(
                waited >= above || !offers(&rival.line),
                InOrder,
                "task {serial} is begun before task {other}, which is more important"
            );
        }
        Ok(())
    }

    /// A task is begun: those who wait behind it wait no longer than their turn.
    pub(super) fn passes(&mut self, serial: u64) -> Checked {
        let task = &self.tasks[&serial];
        if task.comes_again() || task.moved {
            return Ok(());
        }
        let (conn, line) = (task.conn, task.line.clone());
        let priority = task.asked.priority;
        let firsts: Vec<u64> = self
            .active
            .iter()
            .copied()
            .filter(|other| {
                let rival = &self.tasks[other];
                rival.at == At::Queue
                    && !rival.done
                    && !rival.comes_again()
                    && rival.conn != conn
                    && rival.line == line
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
