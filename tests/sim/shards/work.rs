//! What workers do with a task: parts, as far as they have credit, and an answer; or a refusal, so
//! that another gets it. And the credit that clients give for parts.

use std::time::Duration;

use scale0::protocol::{Allowance, Id, Portion};
use scale0::time::Time;

use super::hands;
use super::world::{Act, Meant, World};
use crate::dice::{Dice, about};
use crate::ledger::{Checked, Promise, broken};

/// A task with a worker.
#[derive(Debug)]
pub(super) struct Job {
    serial: u64,
    /// Parts that are left, and those that were sent.
    left: u64,
    sent: u64,
    refuses: bool,
    /// So many parts it may send, if it counts.
    window: Option<u64>,
    /// Since when it waits for credit.
    blocked: Option<Time>,
}

impl World<'_> {
    pub(super) fn begin(&mut self, conn: usize, serial: u64, token: Id) {
        let cast = &self.plan.peers[self.conns[conn].peer];
        let nth = self.books.attempts(serial);
        let mut dice = Dice::of(self.plan.seed, &[about::WORK, serial, conn as u64, nth]);
        let slow = !self.resting && dice.percent(cast.lazy);
        let us = if slow { 2_500_000 } else { dice.below(60_000) };
        let left = match dice.below(100) {
            0..15 => dice.between(1, 5),
            15..25 => dice.between(10, 60),
            _ => 0,
        };
        let s0 = !cast.majordomo;
        let refuses = s0 && !self.resting && dice.percent(8);
        let job = Job {
            serial,
            left: if s0 { left } else { 0 },
            sent: 0,
            refuses,
            window: (s0 && cast.credit).then_some(WINDOW),
            blocked: None,
        };
        self.jobs.insert((conn, token), job);
        self.after(us, Act::Work(conn, token));
    }

    pub(super) fn work(&mut self, conn: usize, token: Id) -> Checked {
        let peer = self.conns[conn].peer;
        let here = self.peers[peer] == Some(conn);
        let held = self.books.holds(conn, token);
        let Some(job) = self.jobs.get_mut(&(conn, token)).filter(|_| here && held) else {
            self.jobs.remove(&(conn, token));
            return Ok(());
        };
        let serial = job.serial;
        if job.refuses {
            self.jobs.remove(&(conn, token));
            return self.say(peer, hands::refusal(token), Meant::Refused(token));
        }
        if job.left == 0 {
            let sent = job.sent;
            self.jobs.remove(&(conn, token));
            let majordomo = self.plan.peers[peer].majordomo;
            let word = match self.books.ejects && !majordomo && !self.resting && serial % 3 == 0 {
                true => hands::failure(token, [serial, sent]),
                false => hands::reply(majordomo, token, [serial, sent]),
            };
            return self.say(peer, word, Meant::Replied(token));
        }
        if job.window == Some(0) {
            job.blocked.get_or_insert(self.now);
            return Ok(());
        }
        if let Some(window) = &mut job.window {
            *window -= 1;
        }
        let nth = job.sent;
        (job.left, job.sent) = (job.left - 1, job.sent + 1);
        let mut dice = Dice::of(self.plan.seed, &[about::WORK, serial, conn as u64, nth, 1]);
        self.after(dice.between(1, 2_000), Act::Work(conn, token));
        self.say(peer, hands::part(token, [serial, nth]), Meant::Other)
    }

    /// A worker may send more.
    pub(super) fn allowed(&mut self, conn: usize, allowance: &Allowance) -> Checked {
        let Some(job) = self.jobs.get_mut(&(conn, allowance.token)) else {
            return Ok(());
        };
        let Some(window) = &mut job.window else {
            let why = format!("{conn} is given credit, and does not count");
            return broken(Promise::Credit, why);
        };
        *window += u64::from(allowance.more.messages);
        self.go_on(conn, allowance.token);
        Ok(())
    }

    /// Nobody wants its result any more: it waits for nothing, and says so much.
    pub(super) fn called_off(&mut self, conn: usize, token: Id) {
        if let Some(job) = self.jobs.get_mut(&(conn, token)) {
            (job.window, job.left) = (None, 0);
            self.go_on(conn, token);
        }
    }

    fn go_on(&mut self, conn: usize, token: Id) {
        let job = self.jobs.get_mut(&(conn, token));
        if job.is_some_and(|job| job.blocked.take().is_some()) {
            self.after(20, Act::Work(conn, token));
        }
    }

    /// A client has taken parts, and says so after a while.
    pub(super) fn took_part(&mut self, conn: usize, serial: u64) {
        if self.books.owes(serial) == 1 {
            let slow = self.plan.peers.get(self.conns[conn].peer);
            let most = if slow.is_some_and(|cast| cast.lazy > 0) {
                300_000
            } else {
                20_000
            };
            let mut dice = Dice::of(self.plan.seed, &[about::CREDIT, serial, conn as u64]);
            self.after(dice.between(1, most), Act::Credit(conn, serial));
        }
    }

    pub(super) fn give_credit(&mut self, conn: usize, serial: u64) -> Checked {
        let peer = self.conns[conn].peer;
        let messages = self.books.pays(serial);
        if self.peers[peer] != Some(conn) || messages == 0 {
            return Ok(());
        }
        let more = Portion { messages, kib: 1 };
        let word = hands::credit(serial, more);
        self.say(peer, word, Meant::Credit(serial, messages))
    }

    /// No worker waits for credit that its client has given.
    pub(super) fn look_at_jobs(&self) -> Checked {
        let long = |since: Time| since + LONG <= self.now;
        for ((conn, token), job) in &self.jobs {
            let waits = job.blocked.is_some_and(long) && self.books.holds(*conn, *token);
            let Some(client) = self.books.takes_parts(job.serial, long).filter(|_| waits) else {
                continue;
            };
            let heard = |conn: usize| {
                let there = &self.conns[conn];
                let open = !there.gone && !there.closing && !there.held && there.moving.is_none();
                open && there.up.is_empty() && long(there.read) && there.turned.is_none_or(long)
            };
            if heard(*conn) && heard(client) {
                let serial = job.serial;
                let why = format!("{conn} waits for credit for {serial}, which {client} has given");
                return broken(Promise::Credit, why);
            }
        }
        Ok(())
    }
}

/// Parts that may be sent before any credit.
pub(super) const WINDOW: u64 = 16;
const LONG: Duration = Duration::from_millis(1200);
