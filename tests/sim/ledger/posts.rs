//! Who serves which names, who of them has room, and in which queue a task stands.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use scale0::time::Time;

use super::standing::Standing;
use super::{At, Conn, Ledger, Party, Task};
use crate::offer::{Offer, Policy, bare, fits, is_wildcard, rank};
use crate::plan::Stated;

/// A worker's place in one service.
#[derive(Clone, Debug)]
pub(super) struct Post {
    /// Unlike that of any post before.
    pub(super) serial: u64,
    pub(super) offer: Offer,
    /// It may be given a task.
    pub(super) open: bool,
    /// When it last became ready or was given a task, as a rank.
    pub(super) since: u64,
    pub(super) standing: Standing,
    pub(super) fails: u32,
    pub(super) pauses: u32,
    pub(super) last_pause: Duration,
    pub(super) returned: Time,
    /// What must be noted of it in this turn.
    pub(super) verdict: Option<bool>,
    /// Turns that others had since it has been ready.
    pub(super) passed: BTreeMap<Conn, u32>,
}

/// What the worker said of a service that offered it first.
#[derive(Clone, Copy, Debug)]
pub(super) struct Announced {
    policy: Option<Policy>,
    by: Option<Conn>,
}

impl Ledger {
    /// A worker has what it announced, from now on.
    pub(super) fn take_posts(&mut self, conn: Conn, stated: &Stated) {
        let now = self.now;
        let s0 = self.parties[&conn].tongue.is_s0();
        let mut former = match self.hand(conn) {
            Some(hand) => std::mem::take(&mut hand.posts),
            None => return,
        };
        let mut posts = BTreeMap::new();
        for (name, offer) in served(stated, s0) {
            let alone = !self.posts_of(&name).any(|(other, ..)| other != conn);
            let kept = former.remove(&name);
            let announces = (kept.is_none() && alone)
                || (self.announced.get(&name)).is_some_and(|said| said.by == Some(conn));
            if announces {
                let said = Announced {
                    policy: offer.policy,
                    by: Some(conn),
                };
                self.announced.insert(name.clone(), said);
            }
            let mut post = kept.unwrap_or_else(|| {
                self.posts += 1;
                Post {
                    serial: self.posts,
                    offer: offer.clone(),
                    open: false,
                    since: 0,
                    standing: Standing::Good,
                    fails: 0,
                    pauses: 0,
                    last_pause: Duration::ZERO,
                    returned: now,
                    verdict: None,
                    passed: BTreeMap::new(),
                }
            });
            (post.offer, post.open) = (offer, false);
            posts.insert(name, post);
        }
        if let Some(hand) = self.hand(conn) {
            hand.posts = posts;
        }
        self.note_offers();
        self.forget_turns();
    }

    /// What is offered has changed: what waited for those who are gone goes where its name leads.
    pub(super) fn note_offers(&mut self) {
        let hands = self
            .parties
            .values()
            .filter_map(|party| party.hand.as_ref());
        let offers: BTreeSet<String> = hands.flat_map(|hand| hand.posts.keys().cloned()).collect();
        for gone in self.offers.difference(&offers) {
            self.left.insert(gone.clone(), self.now);
        }
        let there = |conn: Conn, name: &String| {
            let hand = self.parties.get(&conn)?.hand.as_ref()?;
            hand.posts.contains_key(name).then_some(())
        };
        self.announced.retain(|name, said| {
            said.by = said.by.filter(|conn| there(*conn, name).is_some());
            offers.contains(name)
        });
        self.offers = offers;
        self.relocate();
    }

    /// Tasks that wait for nobody look for others who serve them.
    pub(super) fn relocate(&mut self) {
        let now = self.now;
        let lost: Vec<u64> = self
            .active
            .iter()
            .copied()
            .filter(|serial| {
                let task = &self.tasks[serial];
                let waits = matches!(task.at, At::Queue | At::Orphaned) && !task.done;
                waits && !self.offers.contains(&task.line)
            })
            .collect();
        for serial in lost {
            let line = self.resolve(&self.tasks[&serial].asked.service);
            let known = self.active.iter().any(|other| {
                let other = &self.tasks[other];
                other.asked.serial != serial && other.line == line
            });
            let task = self.tasks.get_mut(&serial).expect("it is active");
            // In its new queue it begins to rise anew.
            task.first = None;
            task.refusals
                .iter_mut()
                .for_each(|(_, until)| *until = now.min(*until));
            // It may have been with a wildcard in between, which the same worker gave up.
            self.due.moved.insert(serial);
            if task.line == line {
                continue;
            }
            if !known && !self.offers.contains(&line) {
                self.left.insert(line.clone(), now);
            }
            (task.line, task.moved) = (line, true);
        }
    }

    /// In whose queue a task of this name stands.
    pub(super) fn resolve(&self, name: &str) -> String {
        if self.offers.contains(name) {
            return name.to_owned();
        }
        let wildcards = self.offers.iter().filter(|offer| is_wildcard(offer));
        let fitting = wildcards.filter(|wildcard| fits(wildcard, name));
        let best = fitting.min_by_key(|wildcard| rank(wildcard));
        best.map_or(name, String::as_str).to_owned()
    }

    /// All who serve a line, ready or not.
    pub(super) fn posts_of<'a>(
        &'a self,
        line: &'a str,
    ) -> impl Iterator<Item = (Conn, &'a Party, &'a Post)> {
        self.parties.iter().filter_map(move |(conn, party)| {
            let post = party.hand.as_ref()?.posts.get(line)?;
            Some((*conn, party, post))
        })
    }

    /// Those that can take a task of it now.
    pub(super) fn eligible<'a>(
        &'a self,
        line: &'a str,
    ) -> impl Iterator<Item = (Conn, &'a Party, &'a Post)> {
        self.posts_of(line).filter(|(_, _, post)| post.open)
    }

    pub(super) fn offered(&self, line: &str) -> bool {
        self.offers.contains(line)
    }

    /// A worker that has gained room stands behind all others.
    pub(super) fn look_for_room(&mut self) {
        let most = self.config.limits.worker_tasks;
        let tasks = &self.tasks;
        self.rank += 1;
        for party in self.parties.values_mut() {
            let full = party.full;
            let Some(hand) = &mut party.hand else {
                continue;
            };
            let room = hand.has_room(most) && !full;
            hand.room = room;
            for post in hand.posts.values_mut() {
                let held = held_at(&hand.holding, tasks, post);
                let takes = post.offer.max.is_none_or(|max| held < usize::from(max));
                let open = room && takes && post.standing.is_open();
                if open && !post.open {
                    post.since = self.rank;
                    post.passed.clear();
                }
                post.open = open;
            }
        }
    }

    /// A worker may be asked again for what it refused, and the broker sees that at its next tick;
    /// or there are more of such tasks than it looks at; or who refused a turn by weight has it later.
    pub(crate) fn may_wait(&self, now: Time) -> bool {
        if self.declined || self.crowded.values().any(|until| *until > now) {
            return true;
        }
        let over =
            |until: Time| until <= now && until.as_micros().div_ceil(1000) * 1000 > now.as_micros();
        let waits = |task: &&Task| task.at == At::Queue && !task.done;
        let tasks = self.active.iter().map(|serial| &self.tasks[serial]);
        let mut refusals = tasks.filter(waits).flat_map(|task| &task.refusals);
        refusals.any(|(_, until)| over(*until))
    }

    /// How a service chooses. Who states weights means them.
    pub(super) fn policy(&self, line: &str) -> Policy {
        let announced = || self.announced.get(line)?.policy;
        let set = self.set.get(line).copied();
        let unsaid = || {
            let hands = self
                .parties
                .values()
                .filter_map(|party| party.hand.as_ref());
            let mut posts = hands.filter_map(|hand| hand.posts.get(line));
            match posts.any(|post| post.offer.weight != 1) {
                true => Policy::Weighted,
                false => Policy::default(),
            }
        };
        set.or_else(announced).unwrap_or_else(unsaid)
    }

    /// Nobody has had a turn yet.
    pub(super) fn forget_turns(&mut self) {
        let hands = self
            .parties
            .values_mut()
            .filter_map(|party| party.hand.as_mut());
        for post in hands.flat_map(|hand| hand.posts.values_mut()) {
            post.passed.clear();
        }
    }
}

/// Tasks that a worker was given for a post.
pub(super) fn held_at(
    holding: &BTreeMap<crate::speech::Token, u64>,
    tasks: &BTreeMap<u64, Task>,
    post: &Post,
) -> usize {
    let here = |serial: &&u64| tasks[serial].post.1 == post.serial;
    holding.values().filter(here).count()
}

/// What a worker serves by its offers: a version of a service serves its bare name too.
fn served(stated: &Stated, s0: bool) -> Vec<(String, Offer)> {
    let named = stated
        .offers
        .iter()
        .map(|offer| (offer.name.clone(), offer.clone()));
    let mut served: Vec<(String, Offer)> = named.collect();
    for offer in stated.offers.iter().filter(|_| s0) {
        if let Some(name) = bare(&offer.name)
            && served.iter().all(|(known, _)| known != name)
        {
            served.push((name.to_owned(), offer.clone()));
        }
    }
    served
}
