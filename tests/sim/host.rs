//! The broker's side as the server keeps it: what is read becomes an event, what comes of it
//! bytes. Every turn goes through the ledger.

use std::time::Duration;

use scale0::broker::{Action, Event, Fact};
use scale0::protocol::{self, Answer, Return, Status};
use scale0::wire::{Message, Piece};

use crate::ledger::{After, Broken, Checked, Conn, Promise, broken};
use crate::line::Parcel;
use crate::mind::Mind;
use crate::rig::checker::Checker;
use crate::rig::{self, Turn};
use crate::speech::{Frames, Way};
use crate::told::Meant;
use crate::world::{Act, Told, World};

impl World<'_> {
    pub(crate) fn stop_broker(&mut self) {
        if self.down {
            return;
        }
        self.births += 1;
        (self.down, self.draining) = (true, false);
        let seed = self.plan.seed.wrapping_add(self.births << 40);
        self.mind = Mind::new(self.plan.config.clone(), seed, self.watching.fault);
        self.ledger.restart();
        if self.checker.is_some() {
            self.checker = Some(Checker::new(self.plan.config.clone()));
        }
        self.pending.clear();
        self.by_id.clear();
        self.free.clear();
        for (place, conn) in self.places.iter_mut().enumerate() {
            *conn = None;
            self.generations[place] += 1;
            self.free.push(place as u32);
        }
        for conn in 0..self.links.len() {
            let link = &mut self.links[conn];
            let latency = self.peers[link.peer].line.latency_us;
            if std::mem::take(&mut link.known) {
                link.up.clear();
                self.at(
                    self.now + Duration::from_micros(latency),
                    Act::PeerLoses(conn),
                );
            }
        }
        self.after_ms(150, Act::Reborn);
    }

    pub(crate) fn drain(&mut self, limit: Duration) {
        if !self.down && !self.draining {
            self.draining = true;
            self.pending
                .push_back((Event::Drain { limit }, Told::Drain(limit)));
        }
    }

    pub(crate) fn decide(&mut self, event: Event, told: Told) -> Checked {
        self.pending.push_back((event, told));
        self.drain_pending()
    }

    pub(crate) fn drain_pending(&mut self) -> Checked {
        while let Some((event, told)) = self.pending.pop_front() {
            self.turn(event, told)?;
        }
        Ok(())
    }

    /// One event, all that comes of it, and whether that was right.
    fn turn(&mut self, event: Event, told: Told) -> Checked {
        self.turns += 1;
        self.tell(|| format!("{event:?}"));
        let now = self.now;
        let may_wait = self.ledger.may_wait(now);
        match &told {
            Told::Opened(conn) => self.ledger.opened(now, *conn, self.links[*conn].tongue),
            Told::Heard(conn, meant) => self.ledger.heard(now, *conn, meant),
            Told::Sign(conn) => self.ledger.sign(now, *conn),
            Told::Lost(conn) => self.ledger.lost(now, *conn),
            Told::Full(conn, full) => self.ledger.full(now, *conn, *full),
            Told::Drain(limit) => self.ledger.drain(now, *limit),
            Told::Woke => self.ledger.woke(now),
        }
        let actions = self.mind.handle(now, event.clone());
        for action in &actions {
            self.perform(action)?;
        }
        let woken = matches!(told, Told::Woke);
        let core_turn = self.checker.is_some();
        let snapshot = (core_turn || self.turns.is_multiple_of(16)).then(|| self.mind.snapshot());
        let deadline = self.mind.deadline();
        self.ledger.end(&After {
            woken,
            deadline,
            open: self.mind.open(),
            held: self.mind.held(),
            snapshot: snapshot.clone(),
        })?;
        if let (Some(checker), Some(snapshot)) = (&mut self.checker, snapshot) {
            let turn = Turn {
                now,
                outside: Vec::new(),
                event,
                actions,
                deadline,
                snapshot,
            };
            let checked = core(checker.check(&turn));
            // It lets no task wait between two of the broker's ticks, and has lost count then.
            if checked.is_err() && (may_wait || self.ledger.may_wait(now)) {
                self.checker = None;
            } else {
                checked?;
            }
        }
        if let Told::Lost(conn) = told
            && let Some(id) = self.links[conn].id
        {
            self.by_id.remove(&id);
        }
        self.flush();
        Ok(())
    }

    fn perform(&mut self, action: &Action) -> Checked {
        self.tell(|| format!("   -> {action:?}"));
        let conn = match rig::checker::addressee(action) {
            Some(peer) => match self.by_id.get(&peer) {
                Some(conn) => *conn,
                None => {
                    return broken(
                        Promise::NothingAfterLost,
                        format!("{peer:?} is nobody: {action:?}"),
                    );
                }
            },
            None => return self.remark(action),
        };
        let config = &self.plan.config;
        match action {
            Action::Assign { dialect, task, .. } => {
                let frames = protocol::assign(*dialect, task, frames);
                self.send(conn, frames)
            }
            Action::Answer {
                back,
                service,
                answer,
                ..
            } => {
                let silence = match answer {
                    Answer::Error { status, .. } => format!("error {}", status.code()),
                    Answer::Reply { .. } => String::new(),
                };
                let silence = Some(silence.as_bytes());
                match protocol::answer(back, service, answer, silence, frames) {
                    Some(frames) => self.send(conn, frames),
                    None => Ok(()),
                }
            }
            Action::Cancel { dialect, token, .. } => {
                match protocol::cancel(*dialect, *token, frames) {
                    Some(frames) => self.send(conn, frames),
                    None => Ok(()),
                }
            }
            Action::Tell {
                dialect, notice, ..
            } => match protocol::notify(*dialect, notice, frames) {
                Some(frames) => self.send(conn, frames),
                None => Ok(()),
            },
            Action::Query { back, service, .. } => {
                let report = Answer::Reply {
                    code: Status::OK.code(),
                    partial: false,
                    ms: 0,
                    properties: bytes::Bytes::new(),
                    body: Message::from(format!("{} knows itself", config.name)),
                };
                match protocol::answer(back, service, &report, None, frames) {
                    Some(frames) => self.send(conn, frames),
                    None => Ok(()),
                }
            }
            Action::Watch { on, .. } => {
                self.ledger.reachable(conn)?;
                self.links[conn].watched = *on;
                if *on {
                    self.begin_pulse(conn);
                }
                Ok(())
            }
            Action::Gauge { .. } => {
                self.ledger.gauged(conn)?;
                self.links[conn].full = true;
                self.dirty.push(conn);
                Ok(())
            }
            Action::Hold { on, .. } => {
                self.ledger.held(conn, *on)?;
                self.links[conn].held = *on;
                if !on {
                    self.at(self.now, Act::ToBroker(conn));
                }
                Ok(())
            }
            Action::Close { .. } => {
                self.ledger.closed(conn)?;
                self.links[conn].closing = true;
                self.at(self.now + Duration::from_millis(1), Act::BrokerLoses(conn));
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// What concerns no connection.
    fn remark(&mut self, action: &Action) -> Checked {
        match action {
            Action::Note(Fact::OnewayFailed {
                peer, back, status, ..
            }) => {
                // Its client may be gone.
                let whose = |link: &crate::links::Link| link.id == Some(*peer);
                let conn = self.links.iter().position(whose).unwrap_or(usize::MAX);
                self.ledger.oneway_failed(conn, way(back), status.code())
            }
            Action::Note(Fact::TaskFailed { status, .. }) => self.ledger.turned_away(status.code()),
            Action::Note(fact) => {
                let conn = fact.peer().and_then(|peer| self.by_id.get(&peer).copied());
                self.ledger.noted(conn, fact)
            }
            Action::Drained { .. } => {
                self.ledger.drained()?;
                self.draining = true;
                self.after_ms(20, Act::Stop);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// The broker says something to a connection.
    fn send(&mut self, conn: Conn, frames: Frames) -> Checked {
        let heard = self.links[conn].tongue.hear(&frames);
        self.ledger.said(conn, heard)?;
        let meant = Meant::Nothing;
        self.links[conn].down.put(Parcel { frames, meant });
        self.dirty.push(conn);
        Ok(())
    }

    /// Writes what has come together, and tells the broker who has become full by it.
    pub(crate) fn flush(&mut self) {
        let limits = &self.plan.config.limits;
        let (most, outbox) = (limits.worker_outbox, limits.outbox);
        let mut dirty = std::mem::take(&mut self.dirty);
        dirty.sort_unstable();
        dirty.dedup();
        for conn in dirty {
            let link = &mut self.links[conn];
            let arrivals = link.down.pump(self.now);
            let waiting = link.down.waiting();
            let full = if link.full {
                waiting > most / 2
            } else {
                waiting > most
            };
            let changed = std::mem::replace(&mut link.full, full) != full;
            let id = link.id.filter(|_| link.known && !link.closing);
            if let Some(peer) = id.filter(|_| changed) {
                let event = Event::Full { peer, full };
                self.pending.push_back((event, Told::Full(conn, full)));
            }
            if waiting > outbox && id.is_some() {
                self.at(self.now, Act::BrokerLoses(conn));
            }
            for at in arrivals {
                self.at(at, Act::ToPeer(conn));
            }
        }
        let known = self.links.iter().filter(|link| link.known);
        let outside = known.map(|link| link.down.waiting()).sum();
        self.mind.set_outside(outside);
    }
}

fn frames(pieces: &[Piece<'_>]) -> Frames {
    let mut frames = Frames::new();
    for piece in pieces {
        match piece {
            Piece::Part(part) => frames.push(part.to_vec()),
            Piece::Parts(parts) => frames.extend(parts.parts().map(<[u8]>::to_vec)),
        }
    }
    frames
}

pub(crate) fn core(checked: Result<(), rig::checker::Broken>) -> Checked {
    checked.map_err(|found| Broken {
        promise: Promise::Core,
        why: format!("{:?}: {}", found.promise, found.why),
    })
}

/// By what a client knows its task.
fn way(back: &Return) -> Way {
    let id = u64::from_be_bytes(back.id.0);
    let first = back
        .envelope
        .first()
        .and_then(|way| std::str::from_utf8(way).ok());
    let via = first.and_then(|way| way.strip_prefix("way ")?.parse().ok());
    Way {
        id,
        via: via.unwrap_or(0),
    }
}
