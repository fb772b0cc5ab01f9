//! Where the rules of [`Access`] are applied: to tasks when they arrive, to offers when they are
//! announced and whenever the rules change. And who a client is, said to its workers.

use std::sync::Arc;
use std::time::Duration;

use super::access::{self, Access, Right};
use super::peer::Worker;
use super::{Broker, Fact, Leaving, PeerId};
use crate::protocol::scale0::add_user;
use crate::protocol::{
    Announcement, Answer, Ask, Dialect, Id, Name, Notice, Offer, Return, Status,
};
use crate::security::User;
use crate::wire::Message;

impl Broker {
    /// A connection is open; who it is stays so.
    pub(super) fn opened(&mut self, id: PeerId, user: Option<User>, local: bool) {
        self.meet(id);
        if let Some(peer) = self.peer_mut(id) {
            peer.local = local;
            peer.user = user
                .filter(|user| !access::is_anonymous(user))
                .map(Box::new);
        }
    }

    /// Whether the rules, if there are any, let a peer do this.
    pub(super) fn may(&self, id: PeerId, right: Right, service: &Name) -> bool {
        let Some(access) = &self.config.access else {
            return true;
        };
        // A version is the service's own affair.
        let bare = service.bare();
        access.allows(
            self.user(id),
            right,
            bare.as_ref().unwrap_or(service).as_bytes(),
        )
    }

    /// Whether a peer may change the broker through one of its own services: who may administer
    /// it, or without rules whoever is on this machine.
    pub(super) fn may_change(&self, id: PeerId, service: &Name) -> bool {
        match &self.config.access {
            Some(_) => self.may(id, Right::Administer, service),
            None => self.peer(id).is_some_and(|peer| peer.local),
        }
    }

    /// Refuses what the rules do not allow; nothing of it was done.
    pub(super) fn forbid(&mut self, id: PeerId, right: Right, ask: Ask) {
        self.forbidden(id, right, &ask.service);
        let text = self.reason(id, right, &ask.service.to_string());
        let answer = Answer::Error {
            status: Status::FORBIDDEN,
            not_executed: true,
            retry_after: Duration::ZERO,
            text,
        };
        self.decline(id, ask, Status::FORBIDDEN, answer);
    }

    /// Counts a refusal, and notes it if it is this peer's first for this service. What is noted is
    /// kept, so it is so much for each peer and no more.
    pub(super) fn forbidden(&mut self, id: PeerId, right: Right, service: &Name) {
        self.counters.forbidden += 1;
        let user = access::printable(self.user(id));
        let Some(peer) = self.peer_mut(id) else {
            return;
        };
        if peer.forbidden.len() < NOTED && peer.forbidden.insert((right, service.clone())) {
            self.note(Fact::Forbidden {
                peer: id,
                user,
                right,
                service: service.clone(),
            });
        }
    }

    /// Writes the client's name into its task, for the worker; nobody else can, for what they write
    /// there was removed. False if the header has no room for it.
    pub(super) fn sign(&self, id: PeerId, ask: &mut Ask) -> bool {
        self.user(id)
            .is_none_or(|user| add_user(ask, &access::title(user), &self.config.limits))
    }

    /// What a worker may offer of what it announces, and what it may not.
    pub(super) fn sift(&self, id: PeerId, announced: &Announcement) -> (Vec<Offer>, Vec<Name>) {
        let (allowed, refused): (Vec<Offer>, Vec<Offer>) = announced
            .offers
            .iter()
            .cloned()
            .partition(|offer| self.may(id, Right::Offer, &offer.service));
        let refused = refused.into_iter().map(|offer| offer.service).collect();
        (allowed, refused)
    }

    /// Counts offers that are refused, and tells their worker.
    pub(super) fn refuse_offers(&mut self, id: PeerId, dialect: Dialect, refused: &[Name]) {
        if refused.is_empty() {
            return;
        }
        for service in refused {
            self.forbidden(id, Right::Offer, service);
        }
        if dialect != Dialect::Scale0 {
            return self.tell(id, dialect, Notice::Unknown);
        }
        let text = self.reason(id, Right::Offer, &list(refused));
        let back = Return {
            dialect,
            envelope: Message::default(),
            id: Id::ZERO,
            whole: false,
        };
        let status = Status::FORBIDDEN;
        self.tell(id, dialect, Notice::Error { back, status, text });
    }

    /// Other rules hold from now on. Tasks that were taken on stay; workers lose what they may no
    /// longer offer, and get back what they announced and may offer again.
    pub(super) fn replace_access(&mut self, access: Option<Arc<Access>>) {
        self.config.access = access;
        let workers: Vec<(PeerId, Dialect)> = self
            .peers
            .iter()
            .flatten()
            .filter(|peer| !peer.closing)
            .filter_map(|peer| Some((peer.id, peer.worker.as_deref()?.dialect())))
            .collect();
        // All of them first, so that no task goes from one that may not to another one.
        let losers = workers
            .iter()
            .filter(|(id, _)| !self.forfeited(*id).1.is_empty());
        let losers: Vec<(PeerId, Dialect)> = losers.copied().collect();
        for (id, _) in &losers {
            self.stand_down(id.place);
        }
        let mut losses = Vec::new();
        for &(id, dialect) in &losers {
            losses.push((id, dialect, self.unseat_forbidden(id)));
        }
        let stay = losses.iter().filter(|loss| !loss.1.is_majordomo());
        for (id, ..) in stay.clone() {
            self.note_change(*id);
        }
        let places: Vec<u32> = stay.map(|(id, ..)| id.place).collect();
        self.serve_all(&places);
        for (id, dialect, lost) in losses.iter().filter(|loss| !loss.1.is_majordomo()) {
            self.refuse_offers(*id, *dialect, lost);
            self.settle(id.place);
        }
        for (id, dialect, lost) in losses.iter().filter(|loss| loss.1.is_majordomo()) {
            self.remove_worker(*id, Leaving::Forbidden);
            self.refuse_offers(*id, *dialect, lost);
        }
        for (id, _) in workers {
            self.restore(id);
        }
    }

    /// What a worker offers and may offer still, and what it may no longer.
    fn forfeited(&self, id: PeerId) -> (Vec<Name>, Vec<Name>) {
        let held = self.worker(id).map(|worker| self.named(worker));
        let held = held.unwrap_or_default().into_iter();
        held.partition(|service| self.may(id, Right::Offer, service))
    }

    /// Takes the seats from a worker that it may no longer have; tells their services.
    fn unseat_forbidden(&mut self, id: PeerId) -> Vec<Name> {
        let (kept, lost) = self.forfeited(id);
        let Some(worker) = self.worker(id) else {
            return lost;
        };
        let mut offers = worker.announcement.offers.clone();
        offers.retain(|offer| kept.contains(&offer.service));
        self.place(id, &offers);
        lost
    }

    /// Gives a worker the seats that it announced and may have now.
    pub(super) fn restore(&mut self, id: PeerId) {
        let Some(worker) = self.worker(id) else {
            return;
        };
        let former = worker.seats.clone();
        let (allowed, _) = self.sift(id, &worker.announcement);
        if worker.sent_away {
            return;
        }
        // Beyond the bound of services it stays as it is until it announces something else.
        let dialect = worker.dialect();
        if allowed.len() == self.named(worker).len()
            || self
                .acceptable(&allowed, &allowed, &former, dialect)
                .is_err()
        {
            return;
        }
        self.place(id, &allowed);
        self.note_change(id);
        self.serve_all(&[id.place]);
        self.settle(id.place);
    }

    pub(super) fn note_change(&mut self, id: PeerId) {
        let Some(worker) = self.worker(id) else {
            return;
        };
        let services = self.named(worker);
        let capacity = worker.announcement.capacity;
        self.note(Fact::WorkerChanged {
            peer: id,
            services,
            capacity,
        });
    }

    /// What it offers by name, as far as it may.
    fn named(&self, worker: &Worker) -> Vec<Name> {
        let seats = worker.seats.iter().filter(|seat| !seat.by_version);
        seats.map(|seat| self.service_name(seat.service)).collect()
    }

    fn reason(&self, id: PeerId, right: Right, services: &str) -> String {
        if self.config.access.is_none() {
            return format!("without rules only peers on the broker's machine {right} {services}");
        }
        let user = access::printable(self.user(id));
        format!("no rule lets {user} {right} {services}")
    }

    fn user(&self, id: PeerId) -> Option<&User> {
        self.peer(id)?.user.as_deref()
    }
}

fn list(services: &[Name]) -> String {
    let named: Vec<String> = services.iter().take(LISTED).map(Name::to_string).collect();
    let mut text = named.join(" ");
    if services.len() > LISTED {
        text += &format!(" and {} more", services.len() - LISTED);
    }
    text
}

/// Refusals of one peer that the log hears of.
const NOTED: usize = 16;
/// Services that an ERROR names.
const LISTED: usize = 32;
