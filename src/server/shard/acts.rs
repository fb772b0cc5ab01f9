//! What the broker wants done, as far as connections are concerned.

use std::time::Duration;

use bytes::Bytes;

use super::super::{admin, log};
use super::{End, LINGER, Shard};
use crate::broker::{Action, PeerId, Query};
use crate::net::Address;
use crate::protocol::{self, Answer, Name, Notice, Return, Status};
use crate::session::{self, Heartbeat, Session};
use crate::spread::Totals;
use crate::time::Time;
use crate::wire::{Message, Piece};

impl Shard {
    pub(super) fn act(&mut self, now: Time, action: Action) {
        match action {
            Action::Assign {
                peer,
                dialect,
                task,
            } => {
                self.send(peer, |session| {
                    protocol::assign(dialect, &task, |pieces| session.send(now, pieces))
                });
            }
            Action::Answer {
                peer,
                back,
                service,
                answer,
            } => self.answer(now, peer, &back, &service, &answer),
            Action::Cancel {
                peer,
                dialect,
                token,
            } => self.send(peer, |session| {
                protocol::cancel(dialect, token, |pieces| session.send(now, pieces))
                    .unwrap_or(Ok(()))
            }),
            Action::Tell {
                peer,
                dialect,
                notice,
            } => self.send(peer, |session| {
                // What waits for it already is sign of life enough.
                if matches!(notice, Notice::Beat { .. }) && session.waiting() > 0 {
                    return Ok(());
                }
                protocol::notify(dialect, &notice, |pieces| session.send(now, pieces))
                    .unwrap_or(Ok(()))
            }),
            Action::Query {
                peer,
                back,
                service,
                query,
            } => {
                let body = self.report(query);
                let answer = Answer::Reply {
                    code: Status::OK.code(),
                    partial: false,
                    ms: 0,
                    properties: Bytes::new(),
                    body,
                };
                self.answer(now, peer, &back, &service, &answer);
            }
            Action::Watch { peer, on } => {
                if let Some(connection) = self.connection(peer) {
                    connection.session.watch(now, on.then_some(BUSY_HEARTBEAT));
                    self.touched(peer);
                }
            }
            Action::Gauge { peer } => {
                if let Some(connection) = self.connection(peer) {
                    connection.full = true;
                    self.touched(peer);
                }
            }
            Action::Hold { peer, on } => self.hold(now, peer, on),
            Action::Close { peer } => self.finish(peer, End::Broker),
            Action::Drained { until } => {
                // What is closed then still has its time to linger, and no more.
                self.drained = Some(now.max(until - LINGER));
                self.wake_turn();
            }
            Action::Note(fact) if self.gate.passes(&fact, now) => {
                let address = fact.peer().and_then(|id| self.address(id));
                log::fact(&fact, address);
            }
            Action::Note(_) => {}
        }
    }

    fn answer(&mut self, now: Time, peer: PeerId, back: &Return, service: &Name, answer: &Answer) {
        let substitute = match (answer, &self.majordomo_error_body) {
            (Answer::Error { status, .. }, Some(body)) => {
                Some(body.replace("{code}", &status.code().to_string()))
            }
            _ => None,
        };
        let silence = substitute.as_ref().map(String::as_bytes);
        self.send(peer, |session| {
            let send = |pieces: &[Piece<'_>]| session.send(now, pieces);
            protocol::answer(back, service, answer, silence, send).unwrap_or(Ok(()))
        });
    }

    /// Lets something be put into a connection's outbox.
    fn send(&mut self, id: PeerId, put: impl FnOnce(&mut Session) -> Result<(), session::Error>) {
        let Some(connection) = self.connection(id) else {
            return;
        };
        let put = put(&mut connection.session);
        match put {
            // All else is seen to when the turn ends: it is to be written then in any case.
            Ok(()) if connection.dirty => {}
            Ok(()) => self.touched(id),
            Err(error @ session::Error::OutboxFull { .. }) => self.finish(id, End::Session(error)),
            // Its session is over; its task will say so.
            Err(_) => {}
        }
    }

    fn hold(&mut self, now: Time, id: PeerId, on: bool) {
        let Some(connection) = self.connection(id) else {
            return;
        };
        connection.held = on;
        connection.session.reading(now, !on);
        if let Some(waker) = &connection.waker {
            waker.wake_by_ref();
        }
    }

    fn report(&mut self, query: Query) -> Message {
        let given = self.reports.iter().find(|(given, _)| *given == query);
        if let Some((_, report)) = given.filter(|_| query != Query::Drain) {
            return report.clone();
        }
        let snapshot = self.spread.broker().snapshot();
        let address = |id: PeerId| {
            let connection = self
                .connections
                .get(id.place as usize)?
                .connection
                .as_deref()?;
            Some(connection.address)
        };
        let now = self.clock.now();
        let totals = self.all_totals();
        let report = Message::single(&admin::report(query, &snapshot, &totals, now, address));
        self.reports.push((query, report.clone()));
        report
    }

    pub(super) fn all_totals(&self) -> Totals {
        Totals {
            connections: self.open,
            buffered: self.buffered,
            ..self.totals
        }
    }

    /// Where a peer is, or was if it is just being lost.
    fn address(&mut self, id: PeerId) -> Option<Address> {
        let lost = self.lost.filter(|(lost, _)| *lost == id);
        let here = self.connection(id).map(|connection| connection.address);
        here.or(lost.map(|(_, address)| address))
    }
}

/// A busy worker is asked every 2 s whether its process lives, and has 6 s to answer.
const BUSY_HEARTBEAT: Heartbeat = Heartbeat {
    interval: Duration::from_secs(2),
    timeout: Duration::from_secs(6),
    ttl: Duration::ZERO,
};
