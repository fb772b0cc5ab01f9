//! Which of the workers with room gets a task.

use super::posts::Post;
use super::turn::TICK;
use super::{Checked, Conn, Ledger, Party, must};
use crate::offer::Policy;

impl Ledger {
    /// The worker that the service's policy names, as far as that can be seen from outside.
    pub(super) fn chosen(&mut self, conn: Conn, serial: u64) -> Checked {
        let task = &self.tasks[&serial];
        let line = task.line.as_str();
        let now = self.now;
        let ready: Vec<(Conn, &Party, &Post)> = self
            .eligible(line)
            // Who may be asked again is asked at the broker's next tick.
            .filter(|(other, ..)| *other == conn || !task.refused_since(*other, now, TICK))
            .collect();
        // Who starts slowly lets turns pass.
        if ready.iter().any(|(.., post)| post.offer.slow_start_ms > 0) {
            return Ok(());
        }
        let key = &task.asked.properties;
        match self.policy(line) {
            Policy::Hash if !key.is_empty() => {
                let idle = |(_, party, _): &(Conn, &Party, &Post)| tasks_of(party) == 0;
                if ready.iter().all(idle) {
                    let who = ready.iter().map(|(conn, ..)| *conn).collect();
                    let question = (line.to_owned(), key.clone(), who);
                    let home = *self.homes.entry(question).or_insert(conn);
                    must!(
                        home == conn,
                        Choice,
                        "the key of task {serial} has fallen on {home}, now on {conn}"
                    );
                }
            }
            Policy::Idle | Policy::Hash => {
                let idlest = ready.iter().map(|(.., post)| post.since).min();
                let since = |who: &&(Conn, &Party, &Post)| Some(who.2.since) == idlest;
                must!(
                    ready.iter().filter(since).any(|(other, ..)| *other == conn),
                    LongestIdle,
                    "{:?} has been idle longer than {conn}",
                    ready.iter().find(since).map(|(other, ..)| other)
                );
            }
            Policy::Least => {
                let load = |(_, party, post): &(Conn, &Party, &Post)| {
                    ((tasks_of(party) as u64 + 1) << 32) / u64::from(post.offer.weight)
                };
                let least = ready.iter().min_by_key(|who| (load(who), who.2.since));
                let here = ready.iter().find(|(other, ..)| *other == conn);
                must!(
                    here.map(load) == least.map(load),
                    Choice,
                    "{:?} has less to do than {conn}",
                    least.map(|(other, ..)| other)
                );
            }
            Policy::Weighted | Policy::TwoChoices => {}
        }
        Ok(())
    }

    /// Where turns follow weights, nobody who is ready waits for more of them than is right.
    pub(super) fn turns(&mut self, conn: Conn, serial: u64) -> Checked {
        let task = &self.tasks[&serial];
        let line = task.line.clone();
        if self.policy(&line) != Policy::Weighted || !task.refusals.is_empty() {
            return Ok(());
        }
        let mut slow = self.posts_of(&line);
        if slow.any(|(.., post)| post.offer.slow_start_ms > 0) {
            return Ok(());
        }
        drop(slow);
        let hand = self.parties[&conn].hand.as_ref();
        let weight = hand.map_or(1, |hand| hand.posts[&line].offer.weight);
        for (other, party) in &mut self.parties {
            let hand = party.hand.as_mut().filter(|_| *other != conn);
            let post = hand.and_then(|hand| hand.posts.get_mut(&line));
            let Some(post) = post.filter(|post| post.open) else {
                continue;
            };
            let turns = post.passed.entry(conn).or_default();
            *turns += 1;
            let right = u32::from(weight.div_ceil(post.offer.weight)) + 2;
            must!(
                *turns <= right,
                Choice,
                "{conn} has {turns} turns at {line} while {other} waits for one, by weight {right}"
            );
        }
        Ok(())
    }
}

fn tasks_of(party: &Party) -> usize {
    party.hand.as_ref().map_or(0, |hand| hand.holding.len())
}
