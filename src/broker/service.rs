//! One service: the workers that are ready for it and the tasks that wait for it.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::time::Duration;

use foldhash::fast::FixedState;

use super::PeerId;
use super::choice::Choice;
use super::deadline::Handle;
use super::queue::Queue;
use super::setting::Setting;
use crate::chain::Chain;
use crate::protocol::Name;
use crate::table::Table;
use crate::time::Time;

/// Exists while workers offer it or tasks want it.
#[derive(Debug)]
pub(super) struct Service {
    pub(super) name: Name,
    /// It stands for all services that fit its name and that nobody offers by their own.
    pub(super) wildcard: bool,
    /// Workers that offer it, ready or not.
    pub(super) workers: u32,
    /// Posts of the workers that have room, longest idle first. Empty while tasks wait.
    pub(super) ready: Chain,
    /// How one of them is chosen.
    pub(super) choice: Choice,
    /// What the worker said that offered it first, and which that is while it still does.
    pub(super) announced: Setting,
    pub(super) announcer: Option<PeerId>,
    /// Its posts that have another weight than all who state none.
    pub(super) weighted: u32,
    /// Time to live of tasks whose clients state none.
    pub(super) ttl: Option<Duration>,
    /// Posts of the workers that failed too often, by the end of their pause.
    pub(super) outcasts: BTreeSet<(Time, u32)>,
    /// Tasks that wait because those who are ready have refused them.
    pub(super) parked: Chain,
    /// Tasks that wait.
    pub(super) queue: Queue,
    /// Tasks with workers.
    pub(super) in_flight: u32,
    /// When the last worker left, or the service was first asked for.
    pub(super) empty_since: Time,
    /// When the first waiting task has waited long enough for a worker.
    pub(super) timer: Option<Handle>,
    /// Workers among them that other brokers have a part of.
    pub(super) sharers: BTreeSet<PeerId>,
    /// Connections held back because the queue is full.
    pub(super) paused: VecDeque<PeerId>,
    /// Final replies since the service exists.
    pub(super) done: u64,
}

impl Service {
    /// Tasks that wait.
    pub(super) fn waiting(&self) -> usize {
        self.queue.len() + self.parked.len()
    }
}

/// All services, by number and by name.
#[derive(Debug)]
pub(super) struct Services {
    table: Table<Service>,
    by_name: HashMap<Name, u32, FixedState>,
    /// Wildcards by what they are written like, the most specific of those that fit a name first.
    wildcards: BTreeMap<(Vec<u8>, Name), u32>,
    /// Services that somebody offers.
    offered: usize,
}

impl Services {
    /// None yet. The names are the peers' to choose: how they are hashed is not theirs to know.
    pub(super) fn new(hash: FixedState) -> Self {
        Self {
            table: Table::default(),
            by_name: HashMap::with_hasher(hash),
            wildcards: BTreeMap::new(),
            offered: 0,
        }
    }

    /// Whether a task for this name belongs to that service, as far as that can be told without a
    /// search.
    pub(super) fn is_at(&self, service: u32, name: &Name) -> bool {
        self.get(service).is_some_and(|service| {
            service.workers > 0 && !service.wildcard && service.name == *name
        })
    }

    pub(super) fn find(&self, name: &Name) -> Option<u32> {
        self.by_name.get(name).copied()
    }

    /// Where a task for this name belongs: with those who offer the very name, else with those who
    /// offer the most specific wildcard that it fits, else where it is waited for. `None` if that is
    /// nowhere yet.
    pub(super) fn resolve(&self, name: &Name) -> Option<u32> {
        let exact = self.find(name);
        if exact.is_some_and(|service| self.is_offered(service)) {
            return exact;
        }
        let mut fitting = self
            .wildcards
            .iter()
            .filter(|((_, wildcard), service)| self.is_offered(**service) && wildcard.serves(name));
        fitting.next().map(|(_, service)| *service).or(exact)
    }

    /// The wildcard of that name.
    pub(super) fn find_wildcard(&self, name: &Name) -> Option<u32> {
        self.wildcards.get(&(name.rank(), name.clone())).copied()
    }

    fn is_offered(&self, service: u32) -> bool {
        self.get(service).is_some_and(|service| service.workers > 0)
    }

    /// Wildcards there are.
    pub(super) fn wildcards(&self) -> usize {
        self.wildcards.len()
    }

    /// The service of that name, made if need be.
    pub(super) fn find_or_add(&mut self, name: &Name, now: Time) -> u32 {
        if let Some(service) = self.find(name) {
            return service;
        }
        let service = self.add(name, false, now);
        self.by_name.insert(name.clone(), service);
        service
    }

    /// The wildcard of that name, made if need be.
    pub(super) fn find_or_add_wildcard(&mut self, name: &Name, now: Time) -> u32 {
        if let Some(service) = self.find_wildcard(name) {
            return service;
        }
        let service = self.add(name, true, now);
        self.wildcards.insert((name.rank(), name.clone()), service);
        service
    }

    fn add(&mut self, name: &Name, wildcard: bool, now: Time) -> u32 {
        self.table.insert(Service {
            name: name.clone(),
            wildcard,
            workers: 0,
            ready: Chain::default(),
            choice: Choice::default(),
            announced: Setting::default(),
            announcer: None,
            weighted: 0,
            ttl: None,
            outcasts: BTreeSet::new(),
            parked: Chain::default(),
            queue: Queue::default(),
            in_flight: 0,
            empty_since: now,
            timer: None,
            sharers: BTreeSet::new(),
            paused: VecDeque::new(),
            done: 0,
        })
    }

    pub(super) fn get(&self, service: u32) -> Option<&Service> {
        self.table.get(service)
    }

    pub(super) fn get_mut(&mut self, service: u32) -> Option<&mut Service> {
        self.table.get_mut(service)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (u32, &Service)> {
        self.table.iter()
    }

    /// Forgets a service that nobody offers, wants or works on.
    pub(super) fn remove_unused(&mut self, service: u32) -> Option<Service> {
        let found = self.table.get(service)?;
        if found.workers > 0 || found.waiting() > 0 || found.in_flight > 0 {
            return None;
        }
        if found.wildcard {
            self.wildcards
                .remove(&(found.name.rank(), found.name.clone()));
        } else {
            self.by_name.remove(&found.name);
        }
        self.table.remove(service)
    }

    /// True if it is the first one.
    pub(super) fn worker_joined(&mut self, service: u32) -> bool {
        let Some(service) = self.table.get_mut(service) else {
            return false;
        };
        service.workers += 1;
        let first = service.workers == 1;
        self.offered += usize::from(first);
        first
    }

    /// True if it was the last one.
    pub(super) fn worker_left(&mut self, service: u32, now: Time) -> bool {
        let Some(service) = self.table.get_mut(service) else {
            return false;
        };
        service.workers -= 1;
        if service.workers > 0 {
            return false;
        }
        service.empty_since = now;
        (service.announced, service.announcer) = (Setting::default(), None);
        self.offered -= 1;
        true
    }

    /// Services that somebody offers.
    pub(super) fn offered(&self) -> usize {
        self.offered
    }

    /// Names that are only waited for.
    pub(super) fn awaited(&self) -> usize {
        self.table.len() - self.offered
    }
}
