//! The orderly end, and who is sent to another broker.

use std::time::Duration;

use super::{At, Checked, Conn, Ledger, must};
use crate::speech::Way;
use crate::told::Asked;

impl Ledger {
    /// A question to the broker itself, and what it changes.
    pub(super) fn own(&mut self, conn: Conn, asked: &Asked) {
        let mut refusal = None;
        match asked.service.as_str() {
            "s0.set" => {
                if let Some((service, policy)) = &asked.order {
                    match policy {
                        Some(policy) => self.set.insert(service.clone(), *policy),
                        None => self.set.remove(service),
                    };
                    self.forget_turns();
                }
            }
            "s0.drain" => {
                let end = self.now + self.config.drain_time;
                self.draining.get_or_insert(end);
            }
            "s0.undrain" if self.draining.is_none() => {}
            "s0.undrain" if self.for_good || self.drained => refusal = Some(503),
            "s0.undrain" => {
                self.draining = None;
                for (conn, party) in &mut self.parties {
                    if let Some(hand) = &mut party.hand
                        && std::mem::take(&mut hand.away)
                        && !hand.stated.offers.is_empty()
                    {
                        self.due.restored.insert(*conn);
                    }
                }
            }
            "s0.nothing" => refusal = Some(501),
            _ => {}
        }
        self.due.own = Some((conn, asked.way, refusal));
    }

    /// A peer hears of other brokers.
    pub(super) fn other_brokers(
        &mut self,
        conn: Conn,
        id: u64,
        go: bool,
        others: usize,
    ) -> Checked {
        let leaving = self.draining.is_some() && !self.drained;
        must!(
            others == self.config.failover.len(),
            Drain,
            "{others} other brokers are named"
        );
        if id != 0 {
            let asked = self.due.broker.take();
            must!(
                asked == Some((conn, id)) && go == (leaving && others > 0),
                Drain,
                "CHANGEBROKER, go: {go}, to {conn} that asked {asked:?}"
            );
            return Ok(());
        }
        let party = &self.parties[&conn];
        let works = party.hand.is_some() && party.tongue.is_s0();
        must!(
            leaving && go && others > 0 && (works || party.capable),
            Drain,
            "{conn} is sent away for nothing"
        );
        let Some(hand) = &party.hand else {
            return Ok(());
        };
        let waits = self.active.iter().find(|serial| {
            let task = &self.tasks[serial];
            let waits = task.at == At::Queue && !task.done;
            waits && hand.posts.contains_key(&task.line)
        });
        must!(
            waits.is_none() && !hand.away,
            Drain,
            "{conn} is sent away, and task {waits:?} waits"
        );
        if !hand.posts.is_empty() {
            self.due.sent.insert(conn);
        }
        if let Some(hand) = self.hand(conn) {
            hand.away = true;
        }
        Ok(())
    }

    /// A worker that was sent away has no services any more, or has them again. False if it is
    /// neither.
    pub(super) fn moves(&mut self, conn: Conn, services: &[String]) -> Result<bool, super::Broken> {
        if self.due.sent.remove(&conn) && services.is_empty() {
            if let Some(hand) = self.hand(conn) {
                hand.posts.clear();
            }
            self.note_offers();
            return Ok(true);
        }
        if self.due.restored.remove(&conn)
            && let Some(stated) = self.hand(conn).map(|hand| hand.stated.clone())
        {
            let same = stated.offers.iter().map(|offer| &offer.name).eq(services);
            if !same {
                let why = format!("{conn} has {services:?} back of {stated:?}");
                return Err(super::Broken {
                    promise: super::Promise::Drain,
                    why,
                });
            }
            self.take_posts(conn, &stated);
            return Ok(true);
        }
        Ok(false)
    }

    /// Everybody who is sent away or called back has heard of it.
    pub(super) fn moved_all(&self) -> Checked {
        let due = &self.due;
        must!(
            due.sent.is_empty() && due.restored.is_empty(),
            Drain,
            "not sent away: {:?}; not called back: {:?}",
            due.sent,
            due.restored
        );
        let asked = due.broker.filter(|(conn, _)| {
            let party = &self.parties[conn];
            !party.lost && !party.closed
        });
        must!(asked.is_none(), Drain, "no CHANGEBROKER to {asked:?}");
        Ok(())
    }

    pub(super) fn drains_in_time(&self) -> Checked {
        let Some(at) = self.draining else {
            return Ok(());
        };
        let late = at + Duration::from_millis(2) < self.now;
        let open = self.open();
        must!(
            self.drained || !(late || open == 0),
            Drain,
            "not drained, {open} tasks are open"
        );
        Ok(())
    }

    /// The broker's own answer.
    pub(super) fn own_answer(&mut self, here: (Conn, Way), error: Option<u16>) -> Option<Checked> {
        let (conn, way, refusal) = self.due.own.filter(|own| (own.0, own.1) == here)?;
        self.due.own = None;
        self.ended.insert(here);
        let right = || {
            must!(
                refusal == error,
                HonestRefusal,
                "{conn} asked for {way:?}, and is answered {error:?} instead of {refusal:?}"
            );
            Ok(())
        };
        Some(right())
    }
}
