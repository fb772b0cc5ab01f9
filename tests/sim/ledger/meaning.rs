//! What peers say, booked as they mean it.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use super::{At, Conn, Ledger, Task};
use crate::plan::Stated;
use crate::speech::{Frames, Token, Way};
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
                partial,
                body,
            } => self.replied(conn, *token, *partial, body),
            Meant::Ping {
                id,
                promise_ms,
                capacity,
            } => {
                self.due.pong = Some((conn, Way { id: *id, via: 0 }));
                let party = self.party(conn);
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
                self.party(conn).promise = Duration::ZERO;
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
            self.due.own = Some((conn, asked.way));
            return;
        }
        let ttl = match asked.ttl_ms {
            0 => self.config.default_ttl,
            ms => Duration::from_millis(u64::from(ms)),
        };
        let twin = asked.way.id != 0 && self.by_way.contains_key(&(conn, asked.way));
        self.rank += 1;
        let task = Task {
            asked: asked.clone(),
            conn,
            rank: self.rank,
            arrived: self.now,
            deadline: self.now + ttl.min(self.config.max_ttl),
            at: At::Door,
            attempts: 0,
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
        if !twin {
            self.by_way.insert((conn, asked.way), asked.serial);
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

    fn replied(&mut self, conn: Conn, token: Token, partial: bool, body: &Frames) {
        let Some(hand) = self.hand(conn) else {
            return;
        };
        let Some(&serial) = hand.holding.get(&token) else {
            return;
        };
        if !partial {
            hand.holding.remove(&token);
            if hand.holding.is_empty() {
                let now = self.now;
                self.party(conn).busy = now;
            }
        }
        let task = self.tasks.get_mut(&serial).expect("it is held");
        if partial {
            if !task.done {
                if task.asked.tongue.whole() {
                    task.parts.extend(body.iter().cloned());
                } else {
                    task.unsent.push_back(body.clone());
                    self.due.partial = Some(serial);
                }
            }
            return;
        }
        if task.done {
            task.at = At::Over;
            self.active.remove(&serial);
        } else {
            self.due.must_end = Some(serial);
            self.due.reply = Some((serial, body.clone()));
        }
    }
}

/// What a stated interval counts as.
pub(super) fn promised(ms: u32) -> Duration {
    match ms {
        0 => Duration::ZERO,
        ms => Duration::from_millis(u64::from(ms.clamp(100, 60_000))),
    }
}
