//! Which of the workers with a free place gets a task.
//!
//! There is a choice only while no task of the service waits: when all are busy, whoever has a
//! place first takes what waits, whatever the policy. Finding one costs the same however many
//! workers there are (`lru`, `p2c`), or the logarithm of their number (`least`, `weighted`); `hash`
//! looks at every ready worker of the service.

use std::collections::BTreeSet;

use chacha20::ChaCha8Rng;
use chacha20::rand_core::{Rng, SeedableRng};

use super::Broker;
use super::post::{digest, mix};
use crate::protocol::Policy;
use crate::wire::Properties;

/// How a service chooses, and its ready posts as its policy wants them. All of them stand in the
/// service's ready list besides, longest idle first.
#[derive(Debug, Default)]
pub(super) struct Choice {
    pub(super) policy: Policy,
    /// By rank, then by how long they are idle.
    sorted: BTreeSet<(u64, u64, u32)>,
    /// In no order.
    loose: Vec<u32>,
    /// How far the turns have come, where they follow weights.
    pass: u64,
}

/// Chance, from the broker's seed.
#[derive(Debug)]
pub(super) struct Dice(ChaCha8Rng);

impl Dice {
    pub(super) fn new(seed: [u8; 32]) -> Self {
        let mut random = ChaCha8Rng::from_seed(seed);
        // Tokens are made of another stream: what is seen of one tells nothing of the other.
        random.set_stream(1);
        Self(random)
    }

    /// A number by which names are hashed, from a third stream.
    pub(super) fn hash_seed(seed: [u8; 32]) -> u64 {
        let mut random = ChaCha8Rng::from_seed(seed);
        random.set_stream(2);
        random.next_u64()
    }

    /// Below `sides`, which is not 0.
    fn roll(&mut self, sides: usize) -> usize {
        let sides = u64::try_from(sides).unwrap_or(u64::MAX).max(1);
        usize::try_from((u64::from(self.0.next_u32()) * sides) >> 32).unwrap_or(0)
    }
}

impl Broker {
    /// The ready worker that gets this task, by its post. None if all that are ready have refused
    /// it a moment ago.
    pub(super) fn choose(&mut self, service: u32, task: u32) -> Option<u32> {
        let now = self.now;
        let mut passed = Vec::new();
        let chosen = loop {
            let Some(node) = self.pick(service, task, &passed) else {
                // Nobody whose turn it is: better the first of those that start slowly than none.
                break passed.first().copied();
            };
            let takes = (self.posts.get_mut(node)).is_none_or(|post| post.takes_turn(now));
            if takes || passed.len() == MOST_PASSES {
                break Some(node);
            }
            self.go_behind(node);
            passed.push(node);
        };
        if let Some(node) = chosen {
            self.charge(service, node);
        }
        chosen
    }

    /// The best by the service's policy, those left aside that passed or have refused the task.
    fn pick(&mut self, service: u32, task: u32, passed: &[u32]) -> Option<u32> {
        let choice = &self.services.get(service)?.choice;
        match choice.policy {
            Policy::Idle => self.longest_idle(service, task, passed),
            Policy::Least | Policy::Weighted => {
                let sorted = choice.sorted.iter().map(|(_, _, node)| *node);
                sorted
                    .filter(|node| !passed.contains(node))
                    .find(|node| !self.has_refused(task, *node))
            }
            Policy::TwoChoices => self.one_of_two(service, task, passed),
            Policy::Hash => match self.key(task) {
                Some(key) => self.at_home(service, task, key, passed),
                None => self.longest_idle(service, task, passed),
            },
        }
    }

    /// Walks past a few at most: a task is refused so often and not more, and only so many pass.
    fn longest_idle(&self, service: u32, task: u32, passed: &[u32]) -> Option<u32> {
        let ready = &self.services.get(service)?.ready;
        self.ready
            .iter(ready)
            .filter(|node| !passed.contains(node))
            .find(|node| !self.has_refused(task, *node))
    }

    fn one_of_two(&mut self, service: u32, task: u32, passed: &[u32]) -> Option<u32> {
        let many = self.services.get(service)?.choice.loose.len();
        let (first, second) = if many < 2 {
            (0, 0)
        } else {
            let first = self.dice.roll(many);
            let second = self.dice.roll(many - 1);
            (first, second + usize::from(second >= first))
        };
        let loose = &self.services.get(service)?.choice.loose;
        let drawn = [first, second].into_iter().filter_map(|at| loose.get(at));
        let best = drawn
            .copied()
            .filter(|node| !passed.contains(node) && !self.has_refused(task, *node))
            .min_by_key(|node| (self.load(*node), self.stamp(*node)));
        // Neither may have it: chance had its turn.
        best.or_else(|| self.longest_idle(service, task, passed))
    }

    /// Rendezvous: of all that have not too much to do, the one that fits the key best. Too much is
    /// more than 1.25 times what would be its share, for its weight, if all that the ready ones
    /// have to do with this task were shared out. One of them is always below that.
    fn at_home(&self, service: u32, task: u32, key: u64, passed: &[u32]) -> Option<u32> {
        let ready = &self.services.get(service)?.ready;
        let posts = || {
            self.ready
                .iter(ready)
                .filter(|node| !passed.contains(node) && !self.has_refused(task, *node))
                .filter_map(|node| Some((node, self.posts.get(node)?)))
        };
        let tasks = |place| self.tasks_of(place) as u64;
        let (mut all, mut weights) = (1, 0);
        for (_, post) in posts() {
            all += tasks(post.peer.place);
            weights += u64::from(post.weight);
        }
        posts()
            .filter(|(_, post)| {
                let share = 5 * all * u64::from(post.weight);
                4 * tasks(post.peer.place) * weights < share
            })
            .max_by_key(|(_, post)| (mix(key ^ post.identity), std::cmp::Reverse(post.stamp)))
            .map(|(node, _)| node)
    }

    /// What a task is hashed by.
    fn key(&self, task: u32) -> Option<u64> {
        let properties = &self.tasks.get(task)?.properties;
        if properties.is_empty() {
            return None;
        }
        Properties::trusted(properties).find("Key").map(digest)
    }

    /// Where turns follow weights, a turn costs the less the heavier the worker is.
    fn charge(&mut self, service: u32, node: u32) {
        let Some(service) = self.services.get_mut(service) else {
            return;
        };
        let choice = &mut service.choice;
        if choice.policy != Policy::Weighted {
            return;
        }
        if let Some(post) = self.posts.get_mut(node) {
            choice.pass = choice.pass.max(post.rank);
            post.pass = post.rank.saturating_add(TURN / u64::from(post.weight));
        }
    }

    /// A worker that lets its turn pass stands behind its like.
    fn go_behind(&mut self, node: u32) {
        let Some(service) = self.posts.get(node).map(|post| post.service) else {
            return;
        };
        self.charge(service, node);
        self.leave_line(node);
        self.enter_line(node);
    }

    /// Puts a post, whose worker has room, at the end of its service's ready list.
    pub(super) fn enter_line(&mut self, node: u32) {
        self.stamps += 1;
        let stamp = self.stamps;
        if let Some(post) = self.posts.get_mut(node)
            && !std::mem::replace(&mut post.ready, true)
        {
            post.stamp = stamp;
            let service = post.service;
            if let Some(service) = self.services.get_mut(service) {
                self.ready.push_back(&mut service.ready, node);
            }
            self.file(node);
        }
    }

    /// Takes a post off its service's ready list, if it stands there.
    pub(super) fn leave_line(&mut self, node: u32) {
        if let Some(post) = self.posts.get_mut(node)
            && std::mem::replace(&mut post.ready, false)
        {
            let service = post.service;
            self.unfile(node);
            if let Some(service) = self.services.get_mut(service) {
                self.ready.remove(&mut service.ready, node);
            }
        }
    }

    /// A worker has more or less to do; its places in line stay.
    pub(super) fn weigh(&mut self, node: u32) {
        let Some(post) = self.posts.get(node).filter(|post| post.ready) else {
            return;
        };
        let least = (self.services.get(post.service))
            .is_some_and(|service| service.choice.policy == Policy::Least);
        if least && post.rank != self.load(node) {
            self.unfile(node);
            self.file(node);
        }
    }

    /// Another policy holds for a service.
    pub(super) fn set_policy(&mut self, number: u32, policy: Policy) {
        let Some(service) = self.services.get_mut(number) else {
            return;
        };
        if service.choice.policy == policy {
            return;
        }
        let ready: Vec<u32> = self.ready.iter(&service.ready).collect();
        service.choice = Choice {
            policy,
            // Who is not ready now keeps what it has had of its turns.
            pass: service.choice.pass,
            ..Choice::default()
        };
        for node in ready {
            if let Some(post) = self.posts.get_mut(node) {
                post.pass = 0;
            }
            self.file(node);
        }
    }

    /// Files a ready post as its service's policy wants it.
    fn file(&mut self, node: u32) {
        let policy = self.policy_at(node);
        if policy.is_none_or(|policy| matches!(policy, Policy::Idle | Policy::Hash)) {
            return;
        }
        let load = self.load(node);
        let Some(post) = self.posts.get_mut(node) else {
            return;
        };
        let Some(service) = self.services.get_mut(post.service) else {
            return;
        };
        let choice = &mut service.choice;
        match choice.policy {
            Policy::Idle | Policy::Hash => return,
            Policy::Least => post.rank = load,
            // Who was away has no turns to make up for.
            Policy::Weighted => post.rank = post.pass.max(choice.pass),
            Policy::TwoChoices => {
                post.position = choice.loose.len();
                return choice.loose.push(node);
            }
        }
        choice.sorted.insert((post.rank, post.stamp, node));
    }

    fn unfile(&mut self, node: u32) {
        let Some(post) = self.posts.get(node) else {
            return;
        };
        let (rank, stamp, position) = (post.rank, post.stamp, post.position);
        let Some(service) = self.services.get_mut(post.service) else {
            return;
        };
        let choice = &mut service.choice;
        if matches!(choice.policy, Policy::Idle | Policy::Hash) {
            return;
        }
        choice.sorted.remove(&(rank, stamp, node));
        if choice.loose.get(position) == Some(&node) {
            choice.loose.swap_remove(position);
            let moved = choice.loose.get(position).copied();
            if let Some(moved) = moved.and_then(|moved| self.posts.get_mut(moved)) {
                moved.position = position;
            }
        }
    }

    fn policy_at(&self, node: u32) -> Option<Policy> {
        let service = self.posts.get(node)?.service;
        Some(self.services.get(service)?.choice.policy)
    }

    fn load(&self, node: u32) -> u64 {
        self.posts
            .get(node)
            .map_or(u64::MAX, |post| post.load(self.tasks_of(post.peer.place)))
    }

    fn stamp(&self, node: u32) -> u64 {
        self.posts.get(node).map_or(u64::MAX, |post| post.stamp)
    }

    /// Tasks of the worker at a place, those of all its services.
    fn tasks_of(&self, place: u32) -> usize {
        self.peer_at(place)
            .and_then(|peer| peer.worker.as_deref())
            .map_or(0, |worker| worker.tasks.len())
    }
}

/// What a turn costs a worker of weight 1, in fractions that any weight leaves apart.
const TURN: u64 = 1 << 24;
/// Workers that start slowly and are asked for one task: the next one takes it.
const MOST_PASSES: usize = 64;
