//! The end of a turn, and the end of all turns: what should have been done and was not.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use scale0::broker::Snapshot;
use scale0::time::Time;

use super::{At, Checked, Conn, Ledger, Party, must};

/// What is seen of the broker after a turn.
#[derive(Debug)]
pub(crate) struct After {
    pub(crate) woken: bool,
    pub(crate) deadline: Option<Time>,
    pub(crate) open: usize,
    pub(crate) held: usize,
    /// Now and then: it is not cheap.
    pub(crate) snapshot: Option<Snapshot>,
}

impl Ledger {
    pub(crate) fn end(&mut self, after: &After) -> Checked {
        self.answered_now()?;
        let most = self.config.max_attempts;
        if let Some(fresh) = self.due.fresh
            && self.tasks[&fresh].at == At::Door
            && !self.tasks[&fresh].done
        {
            self.taken_on(fresh)?;
        }
        for serial in &self.active {
            let task = self.tasks.get_mut(serial).expect("it is active");
            if task.at == At::Orphaned {
                must!(
                    task.may_restart(most) || !task.told,
                    OneWay,
                    "neither done nor counted as failed: {task:?}"
                );
                must!(
                    task.may_restart(most),
                    OneStart,
                    "kept for another start: {task:?}"
                );
                task.at = At::Queue;
            }
        }
        if let Some(conn) = self.due.trusted {
            self.rank += 1;
            let rank = self.rank;
            for post in self
                .hand(conn)
                .into_iter()
                .flat_map(|hand| hand.posts.values_mut())
            {
                post.since = rank;
            }
        }
        self.in_time(after)?;
        self.note_firsts();
        for party in self.parties.values_mut() {
            party.slowest = party.slowest.max(party.promise);
        }
        self.standings()?;
        self.receipts_given()?;
        self.flowing()?;
        self.moved_all()?;
        self.nobody_waits_for_nobody(after)?;
        self.note_crowds();
        self.no_idle_hands()?;
        for (conn, party) in &self.parties {
            self.heeded(*conn, party)?;
        }
        self.balance(after)
    }

    /// What this turn's event demands at once.
    fn answered_now(&self) -> Checked {
        let due = &self.due;
        let there = |conn: &Conn| {
            let party = &self.parties[conn];
            !party.lost && !party.closed
        };
        let own = due.own.filter(|(conn, ..)| there(conn));
        must!(
            own.is_none(),
            OneFinal,
            "no answer of the broker's own: {own:?}"
        );
        if let Some(serial) = due.must_end {
            must!(
                self.tasks[&serial].done,
                OneFinal,
                "its answer was given, but not passed on: {:?}",
                self.tasks[&serial]
            );
        }
        let cancels = due.cancels.iter().find(|(token, conn)| {
            let held = self.parties[conn]
                .hand
                .as_ref()
                .is_some_and(|hand| hand.holding.contains_key(*token));
            held && there(conn)
        });
        must!(
            cancels.is_none(),
            CancelTold,
            "a worker is not told: {cancels:?}"
        );
        let pong = due.pong.filter(|(conn, ..)| there(conn));
        must!(pong.is_none(), Alive, "no PONG: {pong:?}");
        let complaint = due.complaint.filter(there);
        must!(complaint.is_none(), Announced, "no ERROR to {complaint:?}");
        let config = due.config.iter().find(|conn| there(conn));
        must!(config.is_none(), Announced, "no CONFIG for {config:?}");
        let close = due.close.iter().find(|conn| there(conn));
        must!(close.is_none(), Limits, "{close:?} should have been closed");
        if let Some(conn) = due.bye {
            must!(
                self.parties[&conn].hand.is_none(),
                Alive,
                "{conn} said goodbye"
            );
        }
        Ok(())
    }

    fn in_time(&self, after: &After) -> Checked {
        let tick = self.now.as_micros() / 1000;
        for serial in &self.active {
            let task = &self.tasks[serial];
            let due = task.deadline.as_micros().div_ceil(1000);
            let late = if after.woken { tick >= due } else { tick > due };
            must!(
                task.done || !late || !task.told,
                OneWay,
                "neither done nor counted as failed: {task:?}"
            );
            must!(
                task.done || !late,
                OneFinal,
                "no answer by its deadline: {task:?}"
            );
        }
        must!(
            !after.woken || after.deadline.is_none_or(|at| at > self.now),
            DeadlineAhead,
            "woken at {:?}, next {:?}",
            self.now,
            after.deadline
        );
        self.drains_in_time()
    }

    /// Which tasks are the first of their line, and since when.
    fn note_firsts(&mut self) {
        let mut lines = BTreeSet::new();
        let mut waiting: Vec<&u64> = self.active.iter().collect();
        // Those that come again stand in front.
        waiting.sort_by_key(|serial| {
            let task = &self.tasks[serial];
            (!task.comes_again(), task.rank)
        });
        let mut firsts = BTreeSet::new();
        for serial in waiting {
            let task = &self.tasks[serial];
            let line = (task.conn, task.line.clone(), task.asked.priority);
            let fresh = !task.comes_again() && !task.moved;
            if task.at == At::Queue && !task.done && lines.insert(line) && fresh {
                firsts.insert(*serial);
            }
        }
        for serial in &self.active {
            let task = self.tasks.get_mut(serial).expect("it is active");
            if !firsts.contains(serial) {
                task.first = None;
            } else if task.first.is_none() {
                task.first = Some(self.now);
            }
        }
    }

    /// A service without workers lets its tasks wait for a while only.
    fn nobody_waits_for_nobody(&self, after: &After) -> Checked {
        // What came back after all that time is answered by the wake that comes at once.
        if after.deadline.is_some_and(|at| at <= self.now) {
            return Ok(());
        }
        for serial in &self.active {
            let task = &self.tasks[serial];
            must!(
                task.at != At::Queue
                    || task.done
                    || self.offers.contains(&task.line)
                    || self.now <= self.patience_ends(task) + TICK,
                OneFinal,
                "nobody offers its service, and it waits until {:?}: {task:?}",
                after.deadline
            );
        }
        Ok(())
    }

    /// Of the tasks that others have refused a worker that has room looks at a few only; what it
    /// has not seen then waits until one of those who refused it may be asked again.
    fn note_crowds(&mut self) {
        let mut parked: BTreeMap<&str, u32> = BTreeMap::new();
        for task in self.active.iter().map(|serial| &self.tasks[serial]) {
            if task.at == At::Queue && !task.refusals.is_empty() {
                *parked.entry(task.line.as_str()).or_default() += 1;
            }
        }
        let until = self.now + Duration::from_secs(1) + TICK;
        for (line, many) in parked {
            if many >= PARKED_LOOKS {
                self.crowded.insert(line.to_owned(), until);
            }
        }
    }

    fn no_idle_hands(&self) -> Checked {
        let mut busy: Vec<&str> = Vec::new();
        for serial in &self.active {
            let task = &self.tasks[serial];
            let line = task.line.as_str();
            if task.at != At::Queue || task.done || busy.contains(&line) {
                continue;
            }
            if task.refusals.is_empty() {
                busy.push(line);
            } else if self
                .crowded
                .get(line)
                .is_some_and(|until| *until > self.now)
            {
                continue;
            }
            let idle = self
                .eligible(line)
                .find(|(conn, ..)| !task.refused_since(*conn, self.now, TICK));
            must!(
                idle.is_none(),
                IdleHands,
                "{:?} has room, and task {serial} waits",
                idle.map(|(conn, ..)| conn)
            );
        }
        Ok(())
    }

    /// Announcements are applied, beats are sent, and silence has its end.
    fn heeded(&self, conn: Conn, party: &Party) -> Checked {
        if party.lost || party.closed {
            return Ok(());
        }
        let now = self.now;
        if let Some((at, stated)) = &party.stated {
            // Those who come too fast wait a little; the first one holds at once.
            let waits = party
                .hand
                .as_ref()
                .is_some_and(|hand| now <= hand.applied + RECONNECT);
            must!(
                waits,
                Announced,
                "{conn} is not heeded since {at:?}: {stated:?}"
            );
        }
        let Some(hand) = &party.hand else {
            return Ok(());
        };
        let majordomo = !party.tongue.is_s0();
        let interval = if majordomo {
            self.config.majordomo_heartbeat
        } else {
            self.config.heartbeat
        };
        let idle = hand.holding.is_empty();
        let beats = !party.full && (hand.beats < 3 || (majordomo && idle));
        must!(
            !beats || now <= hand.told.max(party.busy) + interval + NAP,
            Alive,
            "{conn} hears nothing since {:?}",
            hand.told
        );
        let patience = party.promise * 3 + Duration::from_millis(500);
        // It is looked after at each beat, and in time if it has been idle since.
        let end = (party.heard + patience).max(party.busy + interval + NAP) + TICK;
        must!(
            party.promise.is_zero() || !idle || now <= end,
            Alive,
            "{conn} is silent since {:?}, and kept",
            party.heard
        );
        // Who let a deadline pass and says nothing is not trusted for long.
        let grace = self.config.suspect_after;
        // By the slowest of its promises: one that it made before may have set the time.
        let silence = if party.slowest.is_zero() {
            grace
        } else {
            grace.max(party.slowest * 3 + Duration::from_millis(500))
        };
        let judged = (hand.holding.values())
            .map(|serial| &self.tasks[serial])
            .filter(|task| task.done)
            .map(|task| task.since.max(task.deadline) + grace)
            .min();
        let end = judged.map(|judged| {
            judged.max(party.spoke + silence) + silence.max(Duration::from_secs(1)) + TICK
        });
        must!(
            hand.suspect.is_some() || end.is_none_or(|end| now <= end),
            Alive,
            "{conn} says nothing since {:?}, and is trusted",
            party.spoke
        );
        if let Some(since) = hand.suspect {
            must!(
                now <= since + self.config.suspect_time + NAP,
                Alive,
                "{conn} is suspect since {since:?}, and kept"
            );
        }
        Ok(())
    }

    fn balance(&self, after: &After) -> Checked {
        let open = self.open();
        let told = |serial: &&u64| self.tasks[serial].told && !self.tasks[serial].done;
        let silent = self.active.iter().find(told).filter(|_| after.open < open);
        must!(
            silent.is_none(),
            OneWay,
            "{open} tasks are open, the broker says {}: task {silent:?} may be lost in silence",
            after.open
        );
        must!(
            after.open == open,
            Books,
            "{open} tasks are open, the broker says {}",
            after.open
        );
        let holding: usize = self
            .parties
            .values()
            .filter_map(|party| Some(party.hand.as_ref()?.holding.len()))
            .sum();
        must!(
            open + holding > 0 || after.held == 0,
            Books,
            "{} bytes held for nothing",
            after.held
        );
        let Some(snapshot) = &after.snapshot else {
            return Ok(());
        };
        must!(
            snapshot.in_flight == holding,
            Books,
            "workers hold {holding} tasks, the broker says {}",
            snapshot.in_flight
        );
        let workers = self.parties.values().filter(|p| p.hand.is_some()).count();
        must!(
            snapshot.workers.len() == workers,
            Books,
            "{workers} workers, the broker says {}",
            snapshot.workers.len()
        );
        self.counts_agree(snapshot)?;
        self.sizes(snapshot)
    }

    /// When nothing is left to be done.
    pub(crate) fn at_rest(&self, snapshot: &Snapshot) -> Checked {
        let open = self.open();
        must!(open == 0, OneFinal, "{open} tasks have no answer");
        must!(
            self.active.is_empty(),
            Books,
            "tasks are left: {:?}",
            self.active
        );
        let left = [
            snapshot.open,
            snapshot.in_flight,
            snapshot.queued,
            snapshot.held,
        ];
        must!(left == [0; 4], Books, "something is left: {snapshot:?}");
        let held: Vec<&Conn> = self
            .parties
            .iter()
            .filter(|(_, party)| party.held && !party.lost)
            .map(|(conn, _)| conn)
            .collect();
        must!(
            held.is_empty() && snapshot.paused == 0,
            Released,
            "held back for nothing: {held:?}, the broker says {}",
            snapshot.paused
        );
        let busy = snapshot.workers.iter().find(|worker| worker.in_flight > 0);
        must!(busy.is_none(), Books, "it has nothing: {busy:?}");
        Ok(())
    }
}

/// Tasks that others refused which a worker with room looks at.
const PARKED_LOOKS: u32 = 8;
/// After this an announcement holds, and what is timed has been looked after.
const RECONNECT: Duration = Duration::from_millis(102);
/// The broker looks after its peers at least so often.
const NAP: Duration = Duration::from_millis(1_100);
/// Deadlines come a little late, never early.
pub(super) const TICK: Duration = Duration::from_millis(2);
