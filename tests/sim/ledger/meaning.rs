//! What peers say, booked as they mean it.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use super::{At, Conn, Ledger, Task, Window};
use crate::offer::Policy;
use crate::plan::Stated;
use crate::speech::{Frames, Kind, Token, Tongue, Wants, Way};
use crate::told::{Asked, Meant};

impl Ledger {
    pub(super) fn meant(&mut self, conn: Conn, meant: &Meant) {
        match meant {
            Meant::Nothing | Meant::Beat => {}
            Meant::Ask(asked) => self.asked(conn, asked),
            Meant::Cancel(way) => {
                if let Some(serial) = self.by_way.get(&(conn, *way)) {
                    self.due.must_end = Some(*serial);
                    self.due.cancelled = Some(*serial);
                }
            }
            Meant::Announce(stated) => self.announced(conn, stated),
            Meant::AnnounceBadly => {
                self.due.complaint = Some(conn);
                self.strike(conn);
            }
            Meant::Reply {
                token,
                code,
                kind,
                body,
            } => self.replied(conn, *token, *code, *kind, body),
            Meant::Credit(way, more) => self.credited(conn, *way, *more),
            Meant::NeedBroker(id) => self.due.broker = Some((conn, *id)),
            Meant::Ping {
                id,
                promise_ms,
                capacity,
                caps,
            } => {
                self.due.pong = Some((conn, Way { id: *id, via: 0 }, caps.is_some()));
                let party = self.party(conn);
                if let Some(caps) = caps {
                    (party.capable, party.counts) = (true, caps.credit);
                }
                party.promise = promised(*promise_ms);
                let pending = party.stated.as_mut().map(|(_, stated)| stated);
                let applied = party.hand.as_mut().map(|hand| &mut hand.stated);
                for stated in pending.into_iter().chain(applied) {
                    stated.promise_ms = *promise_ms;
                    stated.capacity = capacity.unwrap_or(stated.capacity);
                }
            }
            Meant::Bye => {
                self.due.bye = Some(conn);
                let party = self.party(conn);
                party.promise = Duration::ZERO;
                party.counts = false;
                self.drop_client(conn);
            }
            Meant::Garbage => self.strike(conn),
        }
    }

    /// So much nonsense closes a connection.
    fn strike(&mut self, conn: Conn) {
        let most = self.config.limits.strikes;
        let party = self.party(conn);
        party.strikes += 1;
        if party.strikes >= most {
            self.due.close.insert(conn);
        }
    }

    fn asked(&mut self, conn: Conn, asked: &Asked) {
        if asked.service.starts_with("s0.") || asked.service.starts_with("mmi.") {
            return self.own(conn, asked);
        }
        let ttl = match asked.ttl_ms {
            0 => self.config.default_ttl,
            ms => Duration::from_millis(u64::from(ms)),
        };
        let here = (conn, asked.way);
        let quiet = asked.wants == Wants::Nothing;
        let twin = !quiet && asked.way.id != 0 && self.by_way.contains_key(&here);
        // Only a number names a stream, and who gets one answer only has none.
        let counts = self.party(conn).counts;
        let streams = asked.tongue == Tongue::S0 && asked.way.id != 0;
        let counts = counts && streams && asked.wants == Wants::Answer;
        let line = self.resolve(&asked.service);
        // What comes to this queue later, by other ways, counts from here.
        if !self.offered(&line)
            && self
                .active
                .iter()
                .all(|other| self.tasks[other].line != line)
        {
            self.left.insert(line.clone(), self.now);
        }
        self.rank += 1;
        let task = Task {
            asked: asked.clone(),
            conn,
            rank: self.rank,
            arrived: self.now,
            deadline: self.now + ttl.min(self.config.max_ttl),
            at: At::Door,
            attempts: 0,
            line,
            moved: false,
            told: quiet,
            refusals: Vec::new(),
            post: (String::new(), 0),
            given: self.now,
            down: counts.then_some(Window::FIRST),
            up: None,
            again: false,
            streamed: false,
            parts: Frames::new(),
            unsent: VecDeque::new(),
            passed: BTreeMap::new(),
            done: false,
            since: self.now,
            first: None,
            twin,
        };
        if quiet {
            self.quiet.insert(here);
        } else if !twin {
            self.by_way.insert(here, asked.serial);
        }
        self.tasks.insert(asked.serial, task);
        self.active.insert(asked.serial);
        self.due.fresh = Some(asked.serial);
    }

    fn announced(&mut self, conn: Conn, stated: &Stated) {
        let now = self.now;
        let party = self.party(conn);
        match &party.hand {
            Some(_) if !party.tongue.is_s0() => self.due.confused = Some(conn),
            Some(hand) if hand.stated == *stated => party.stated = None,
            _ => party.stated = Some((now, stated.clone())),
        }
    }

    fn replied(&mut self, conn: Conn, token: Token, code: u16, kind: Kind, body: &Frames) {
        let Some(hand) = self.hand(conn) else {
            return;
        };
        let Some(&serial) = hand.holding.get(&token) else {
            return;
        };
        if kind == Kind::Part {
            return self.said_part(serial, code, body);
        }
        hand.holding.remove(&token);
        if hand.holding.is_empty() {
            let now = self.now;
            self.party(conn).busy = now;
        }
        let task = self.tasks.get_mut(&serial).expect("it is held");
        let untouched = !task.streamed && task.parts.is_empty() && task.unsent.is_empty();
        if kind == Kind::Refusal && untouched && !task.done {
            return self.refused(conn, serial);
        }
        let done = task.done;
        if !done {
            let s0 = self.parties[&conn].tongue.is_s0();
            self.judge(conn, serial, !s0 || code < 500);
        }
        self.lay_down(conn, serial);
        let task = self.tasks.get_mut(&serial).expect("it is held");
        if done {
            task.at = At::Over;
            self.active.remove(&serial);
        } else if task.is_oneway() {
            self.counted.oneway_done += 1;
            self.conclude(serial);
        } else {
            self.due.must_end = Some(serial);
            self.due.reply = Some((serial, body.clone()));
        }
    }

    fn said_part(&mut self, serial: u64, code: u16, body: &Frames) {
        let task = self.tasks.get_mut(&serial).expect("it is held");
        if task.done {
            return;
        }
        if let Some(up) = &mut task.up {
            up.take(body);
        }
        let (whole, s0) = (task.asked.tongue.whole(), task.asked.tongue.is_s0());
        let progress = code == 102;
        if task.is_oneway() || (progress && (whole || !s0)) {
            return;
        }
        if whole {
            task.parts.extend(body.iter().cloned());
        } else {
            task.unsent.push_back(body.clone());
            self.due.partial = Some(serial);
        }
    }

    /// A worker wants another to have a task.
    fn refused(&mut self, conn: Conn, serial: u64) {
        self.counted.refused += 1;
        self.declined |= self.policy(&self.tasks[&serial].line) == Policy::Weighted;
        self.lay_down(conn, serial);
        let aside = self.now + SKIP_TIME;
        let task = self.tasks.get_mut(&serial).expect("it was held");
        task.attempts -= 1;
        task.refusals.push((conn, aside));
        task.at = At::Queue;
        if task.refusals.len() >= MOST_REFUSALS {
            self.due.must_end = Some(serial);
            self.due.exhausted = Some(serial);
        }
        self.relocate();
    }
}

/// For so long who refused a task is left aside.
const SKIP_TIME: Duration = Duration::from_secs(1);
/// So many refusals are its end.
const MOST_REFUSALS: usize = 32;

/// What a stated interval counts as.
pub(super) fn promised(ms: u32) -> Duration {
    match ms {
        0 => Duration::ZERO,
        ms => Duration::from_millis(u64::from(ms.clamp(100, 60_000))),
    }
}
