//! What the broker says, as those who hear it understand it, and what it does with connections.

use std::time::Duration;

use scale0::broker::{Fact, Leaving};
use scale0::time::millis;

use super::{At, Checked, Conn, Hand, Ledger, Promise, broken, must, promised};
use crate::speech::{Frames, Heard, Said};

impl Ledger {
    /// Something was written to a connection.
    pub(crate) fn said(&mut self, conn: Conn, heard: Result<Heard, String>) -> Checked {
        self.reachable(conn)?;
        let heard = match heard {
            Ok(heard) => heard,
            Err(why) => return broken(Promise::Language, why),
        };
        let now = self.now;
        if !matches!(heard, Heard::Answer(_) | Heard::Cancel(_))
            && let Some(hand) = self.hand(conn)
        {
            hand.told = now;
        }
        match heard {
            Heard::Task(given) => self.assigned(conn, &given)?,
            Heard::Answer(said) => self.answered(conn, &said)?,
            Heard::Cancel(token) => {
                let due = self.due.cancels.remove(&token);
                must!(
                    due == Some(conn),
                    CancelTold,
                    "a CANCEL of {token:?} for nothing"
                );
            }
            Heard::Unknown => {
                let party = self.party(conn);
                let known = party.hand.is_some() && party.tongue.is_s0();
                must!(!known, Announced, "{conn} is to announce itself again");
                if !party.tongue.is_s0() {
                    party.stated = None;
                }
            }
            Heard::Config { promise_ms } => {
                let due = self.due.config.remove(&conn);
                must!(due, Announced, "a CONFIG for nothing to {conn}");
                must!(
                    promise_ms == millis(self.config.heartbeat),
                    Announced,
                    "a promise of {promise_ms} ms"
                );
            }
            Heard::Beat => {
                let Some(hand) = self.hand(conn) else {
                    return broken(Promise::Alive, format!("a beat for {conn}, no worker"));
                };
                hand.beats += 1;
            }
            Heard::Pong(way, caps) => {
                let due = self.due.pong.take();
                let named = caps.is_some_and(|caps| caps.credit && caps.deep);
                must!(
                    due == Some((conn, way, named)) && caps.is_some() == named,
                    Alive,
                    "a PONG of {way:?} with {caps:?} to {conn}, not {due:?}"
                );
            }
            Heard::Credit(token, more) => self.allowed(conn, token, more)?,
            Heard::ChangeBroker { id, go, others } => self.other_brokers(conn, id, go, others)?,
            Heard::Bye => {}
            Heard::Complaint(code) => {
                let banned = code == 444 && self.due.close.contains(&conn);
                must!(
                    banned || (self.due.complaint.take() == Some(conn) && code == 400),
                    Announced,
                    "ERROR {code} to {conn} for nothing"
                );
            }
        }
        self.look_for_room();
        Ok(())
    }

    /// Nothing may be done with a connection that is gone.
    pub(crate) fn reachable(&self, conn: Conn) -> Checked {
        let gone = self
            .parties
            .get(&conn)
            .is_none_or(|party| party.lost || party.closed);
        must!(!gone, NothingAfterLost, "{conn} is gone");
        Ok(())
    }

    pub(crate) fn held(&mut self, conn: Conn, on: bool) -> Checked {
        self.reachable(conn)?;
        let before = std::mem::replace(&mut self.party(conn).held, on);
        must!(before != on, Released, "{conn} is held or let go twice");
        Ok(())
    }

    pub(crate) fn gauged(&mut self, conn: Conn) -> Checked {
        self.reachable(conn)?;
        self.party(conn).full = true;
        self.look_for_room();
        Ok(())
    }

    pub(crate) fn closed(&mut self, conn: Conn) -> Checked {
        self.reachable(conn)?;
        self.due.close.remove(&conn);
        let party = self.party(conn);
        (party.closed, party.held) = (true, false);
        self.drop_client(conn);
        self.drop_hand(conn);
        self.look_for_room();
        Ok(())
    }

    pub(crate) fn drained(&mut self) -> Checked {
        let open = self.open();
        must!(
            self.draining.is_some() && open == 0,
            Drain,
            "drained with {open} tasks open"
        );
        self.drained = true;
        Ok(())
    }

    /// What the broker notes for its log: when announcements hold, and who is given up.
    pub(crate) fn noted(&mut self, conn: Option<Conn>, fact: &Fact) -> Checked {
        let Some(conn) = conn else {
            return Ok(());
        };
        match fact {
            Fact::WorkerJoined {
                services, capacity, ..
            }
            | Fact::WorkerChanged {
                services, capacity, ..
            } => {
                let joins = matches!(fact, Fact::WorkerJoined { .. });
                let names: Vec<String> = services.iter().map(ToString::to_string).collect();
                if joins || !self.moves(conn, &names)? {
                    self.applied(conn, joins, &names, *capacity)?;
                }
            }
            Fact::WorkerLeft { why, .. } => {
                self.left(conn, *why)?;
                if matches!(why, Leaving::Silent | Leaving::Suspect) {
                    self.due.close.insert(conn);
                }
                self.drop_hand(conn);
            }
            Fact::WorkerSuspect { .. } => {
                let now = self.now;
                let stale = |serial: &u64| self.tasks[serial].done;
                let zombie = self.parties[&conn]
                    .hand
                    .as_ref()
                    .is_some_and(|hand| hand.holding.values().any(stale));
                must!(zombie, Alive, "{conn} is suspect for nothing");
                if let Some(hand) = self.hand(conn) {
                    hand.suspect = Some(now);
                }
            }
            Fact::WorkerEjected { service, pause, .. } => {
                self.ejected(conn, &service.to_string(), *pause)?;
            }
            Fact::WorkerProbed { service, .. } => self.probed(conn, &service.to_string())?,
            Fact::WorkerReturned { service, .. } => self.returned(conn, &service.to_string())?,
            _ => {}
        }
        self.look_for_room();
        Ok(())
    }

    fn applied(&mut self, conn: Conn, joins: bool, services: &[String], capacity: u16) -> Checked {
        let now = self.now;
        let majordomo_promise = self.config.majordomo_promise;
        let party = self.party(conn);
        let Some((_, stated)) = party.stated.take() else {
            return broken(
                Promise::Announced,
                format!("{conn} did not announce {services:?}"),
            );
        };
        let names = stated.offers.iter().map(|offer| &offer.name);
        must!(
            names.eq(services) && stated.capacity == capacity,
            Announced,
            "{services:?} and capacity {capacity}, but {conn} said {stated:?}"
        );
        must!(
            joins == party.hand.is_none(),
            Announced,
            "{conn} joins twice, or changes before it has joined"
        );
        party.promise = if party.tongue.is_s0() {
            promised(stated.promise_ms)
        } else {
            majordomo_promise
        };
        let former = party.hand.take();
        let (holding, posts, suspect, beats) = former.map_or_else(Default::default, |hand| {
            (hand.holding, hand.posts, hand.suspect, hand.beats)
        });
        party.hand = Some(Hand {
            stated: stated.clone(),
            suspect,
            holding,
            posts,
            away: false,
            room: false,
            told: now,
            beats,
            applied: now,
        });
        party.busy = now;
        if party.tongue.is_s0() {
            self.due.config.insert(conn);
        }
        self.take_posts(conn, &stated);
        Ok(())
    }

    /// Nobody is given up without a reason.
    fn left(&self, conn: Conn, why: Leaving) -> Checked {
        let party = &self.parties[&conn];
        let now = self.now;
        let true_so = match why {
            Leaving::Bye => self.due.bye == Some(conn),
            Leaving::Lost => self.due.lost == Some(conn),
            Leaving::Silent => {
                let end = party.heard + party.promise * 3 + Duration::from_millis(500);
                let busy = party
                    .hand
                    .as_ref()
                    .is_some_and(|hand| !hand.holding.is_empty());
                !party.promise.is_zero() && !busy && end <= now
            }
            Leaving::Suspect => party
                .hand
                .as_ref()
                .and_then(|hand| hand.suspect)
                .is_some_and(|since| since + self.config.suspect_time <= now),
            Leaving::Confused => {
                self.due.confused == Some(conn) || party.closed || self.due.close.contains(&conn)
            }
            Leaving::Forbidden => false,
        };
        must!(true_so, Alive, "{conn} is given up without reason: {why}");
        Ok(())
    }

    /// A task's time is up; its worker may be to blame.
    pub(super) fn late(&mut self, serial: u64, code: u16) {
        if code == 504
            && let At::Worker(worker, _) = self.tasks[&serial].at
        {
            self.judge_late(worker, serial);
        }
    }

    fn answered(&mut self, conn: Conn, said: &Said) -> Checked {
        let here = (conn, said.way);
        let error = said.error.map(|error| error.code);
        if !said.partial
            && let Some(right) = self.own_answer(here, error)
        {
            return right;
        }
        if said.code == Some(202) {
            return self.receipt(conn, said);
        }
        let at_door = self
            .due
            .fresh
            .filter(|fresh| {
                let task = &self.tasks[fresh];
                task.twin && !task.done && (task.conn, task.asked.way) == here
            })
            .filter(|_| said.error.is_some());
        let replied = self.due.reply.as_ref().map(|(serial, _)| *serial);
        if said.error.is_none()
            && let Some(serial) = replied.or(self.due.partial)
        {
            let task = &self.tasks[&serial];
            let whose = (task.conn, task.asked.way);
            // Parts that have waited may go to others in the same turn.
            let waited = said.partial
                && (self.by_way.get(&here))
                    .is_some_and(|serial| !self.tasks[serial].unsent.is_empty());
            must!(
                whose == here || waited,
                RightClient,
                "the answer to task {serial} of {whose:?} goes to {here:?}"
            );
            must!(
                whose != here || !task.done,
                OneFinal,
                "task {serial} has its answer already"
            );
        }
        let Some(serial) = at_door.or(self.by_way.get(&here).copied()) else {
            let before = self.ended.contains(&here);
            let promise = if self.quiet.contains(&here) {
                Promise::OneWay
            } else if before {
                Promise::OneFinal
            } else {
                Promise::RightClient
            };
            return broken(promise, format!("nobody waits for {said:?} at {conn}"));
        };
        let task = &self.tasks[&serial];
        must!(
            said.service
                .as_ref()
                .is_none_or(|name| *name == task.asked.service),
            RightClient,
            "task {serial} is answered as one of another service: {said:?}"
        );
        if let Some(refusal) = said.error {
            self.may_fail(serial, refusal)?;
            self.late(serial, refusal.code);
            self.conclude(serial);
            return Ok(());
        }
        if said.partial {
            return self.streamed(serial, said);
        }
        let Some((_, last)) = self.due.reply.take() else {
            return broken(
                Promise::Faithful,
                format!("no attempt at task {serial} says {said:?}"),
            );
        };
        must!(
            task.unsent.is_empty(),
            Faithful,
            "parts of task {serial} were not passed on before its end"
        );
        let whole: Frames = task.parts.iter().chain(&last).cloned().collect();
        must!(
            whole == said.body,
            Faithful,
            "the answer to task {serial} is not what the worker said"
        );
        self.conclude(serial);
        Ok(())
    }
}
