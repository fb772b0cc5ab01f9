//! The checker's model of who is to be chosen: what was said of each service, what each worker has
//! shown, and for each policy what must be true of the one that got a task.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use scale0::broker::PeerId;
use scale0::protocol::{Id, Name, Offer, Policy};
use scale0::time::Time;
use scale0::wire::Message;

/// A worker in one service.
#[derive(Clone, Debug)]
pub(crate) struct Post {
    pub(crate) offer: Offer,
    /// When it last became ready for this service alone, as a rank.
    pub(crate) entered: u64,
    /// It could be given a task when last looked at.
    pub(crate) ready: bool,
    /// It may have let its turn pass since its rank was known.
    pub(crate) unsure: bool,
    pub(crate) standing: Standing,
    held: BTreeSet<Id>,
    fails: u32,
    /// Pauses in a row, the last one and when it was back from it.
    pauses: u32,
    last_pause: Duration,
    back: Time,
    /// Since when its share of turns grows.
    since: Time,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Standing {
    Good,
    Out { until: Time },
    Probing { token: Option<Id> },
}

/// What must become of a worker in a service.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Ruling {
    Out,
    Back,
}

/// Who may be given a task, with all that a policy looks at.
#[derive(Clone, Debug)]
pub(crate) struct Candidate {
    pub(crate) id: PeerId,
    order: u64,
    entered: u64,
    weight: u64,
    tasks: u64,
    /// Its share of turns still grows, or its place in the order is not known for that.
    pub(crate) slow: bool,
}

impl Post {
    pub(crate) fn new(now: Time) -> Self {
        Self {
            offer: Offer::default(),
            entered: 0,
            ready: false,
            unsure: false,
            standing: Standing::Good,
            held: BTreeSet::new(),
            fails: 0,
            pauses: 0,
            last_pause: Duration::ZERO,
            back: now,
            since: now,
        }
    }

    pub(crate) fn is_open(&self) -> bool {
        let trusted = matches!(
            self.standing,
            Standing::Good | Standing::Probing { token: None }
        );
        let room = self
            .offer
            .max
            .is_none_or(|max| self.held.len() < usize::from(max));
        trusted && room
    }

    pub(crate) fn take_up(&mut self, token: Id) {
        self.held.insert(token);
        if let Standing::Probing { token: probe } = &mut self.standing {
            *probe = Some(token);
        }
    }

    pub(crate) fn release(&mut self, token: Id) {
        self.held.remove(&token);
        if self.standing == (Standing::Probing { token: Some(token) }) {
            self.standing = Standing::Probing { token: None };
        }
    }

    /// What a task's end means for it.
    pub(crate) fn judge(
        &mut self,
        token: Id,
        good: bool,
        after: u32,
        may_go: bool,
    ) -> Option<Ruling> {
        if !self.held.contains(&token) {
            return None;
        }
        match self.standing {
            Standing::Good if good => self.fails = 0,
            Standing::Good => {
                self.fails += 1;
                return (self.fails >= after && may_go).then_some(Ruling::Out);
            }
            Standing::Probing { token: probe } if probe == Some(token) => {
                return Some(if good { Ruling::Back } else { Ruling::Out });
            }
            _ => {}
        }
        None
    }

    /// It is out from now on; for how long.
    pub(crate) fn eject(&mut self, now: Time, unit: Duration) -> Duration {
        if self.standing == Standing::Good && self.back + self.last_pause <= now {
            self.pauses = 0;
        }
        self.pauses += 1;
        self.fails = 0;
        self.last_pause = unit * self.pauses.min(30);
        self.standing = Standing::Out {
            until: now + self.last_pause,
        };
        self.last_pause
    }

    pub(crate) fn come_back(&mut self, now: Time) {
        (self.standing, self.fails) = (Standing::Good, 0);
        (self.back, self.since) = (now, now);
    }

    pub(crate) fn candidate(&self, id: PeerId, since: u64, tasks: usize, now: Time) -> Candidate {
        Candidate {
            id,
            order: since.max(self.entered),
            entered: self.entered,
            weight: self.offer.weight.into(),
            tasks: tasks as u64,
            slow: self.unsure || now.since(self.since) < self.offer.slow_start,
        }
    }
}

/// What was said of the services, and who got their tasks.
#[derive(Debug, Default)]
pub(crate) struct Choices {
    announced: BTreeMap<Name, (Option<PeerId>, Said)>,
    set: BTreeMap<Name, Said>,
    /// For a service and a key: this worker goes before that one.
    before: BTreeSet<(Name, Vec<u8>, PeerId, PeerId)>,
    turns: BTreeMap<Name, Turns>,
}

#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
struct Said {
    policy: Option<Policy>,
    ttl: Option<Duration>,
}

/// Turns that were taken while the same workers with the same weights stood ready.
#[derive(Debug, Default)]
struct Turns {
    of: BTreeMap<PeerId, (u64, u64)>,
    taken: BTreeMap<PeerId, u64>,
}

impl Choices {
    /// What somebody said of a service's policy.
    pub(crate) fn policy(&self, service: &Name) -> Option<Policy> {
        self.find(service, |said| said.policy)
    }

    pub(crate) fn ttl(&self, service: &Name) -> Option<Duration> {
        self.find(service, |said| said.ttl)
    }

    fn find<T>(&self, service: &Name, what: impl Fn(&Said) -> Option<T>) -> Option<T> {
        let set = self.set.get(service).and_then(&what);
        set.or_else(|| self.announced.get(service).and_then(|(_, said)| what(said)))
    }

    /// A worker offers a service, perhaps as the first.
    pub(crate) fn offered(&mut self, id: PeerId, offer: &Offer, first: bool) {
        let said = Said {
            policy: offer.policy,
            ttl: offer.ttl,
        };
        let (by, known) = self.announced.entry(offer.service.clone()).or_default();
        if first || *by == Some(id) {
            (*by, *known) = (Some(id), said);
        }
    }

    /// A worker no longer does, perhaps as the last.
    pub(crate) fn gave_up(&mut self, id: PeerId, service: &Name, last: bool) {
        if last {
            self.announced.remove(service);
        } else if let Some((by, _)) = self.announced.get_mut(service)
            && *by == Some(id)
        {
            *by = None;
        }
    }

    /// An operator said something that the broker took.
    pub(crate) fn set(&mut self, said: &Message) {
        let mut parts = said.parts();
        let service = Name::new(parts.next().unwrap());
        let known = self.set.entry(service).or_default();
        for part in parts {
            let (key, value) = std::str::from_utf8(part).unwrap().split_once('=').unwrap();
            match key {
                "policy" => known.policy = value.parse().ok(),
                _ => known.ttl = value.strip_suffix("ms").map(millis),
            }
        }
    }

    /// Whether this one may be given a task that these could be given.
    pub(crate) fn judge(
        &mut self,
        (service, policy): (&Name, Policy),
        key: Option<&[u8]>,
        id: PeerId,
        all: &[Candidate],
        refused: bool,
    ) -> Result<(), String> {
        let Some(chosen) = all.iter().find(|candidate| candidate.id == id) else {
            return Err(format!("{id:?} is not to have it: {all:?}"));
        };
        let slow = all.iter().any(|candidate| candidate.slow);
        let mut others = all.iter().filter(|other| !other.slow && other.id != id);
        match policy {
            _ if chosen.slow => Ok(()),
            Policy::Least => {
                let better = others.find(|other| {
                    let (theirs, ours) = (other.load(chosen), chosen.load(other));
                    (theirs, other.order) < (ours, chosen.order)
                });
                none(better, "has less to do", id)
            }
            Policy::TwoChoices if slow || refused || all.len() == 1 => Ok(()),
            Policy::TwoChoices => {
                let worst = others.all(|other| other.load(chosen) < chosen.load(other));
                if worst {
                    return Err(format!("of any two {id:?} has the most to do: {all:?}"));
                }
                Ok(())
            }
            Policy::Hash if key.is_some() && slow => Ok(()),
            Policy::Hash if key.is_some() => {
                self.at_home(service, key.unwrap_or_default(), chosen, all)
            }
            Policy::Weighted if slow || refused => {
                self.turns.remove(service);
                Ok(())
            }
            Policy::Weighted => self.turns.entry(service.clone()).or_default().take(id, all),
            Policy::Idle | Policy::Hash => {
                let idler = others.find(|other| other.order < chosen.order);
                none(idler, "has been idle longer", id)
            }
        }
    }

    /// The same for the same key, as long as it has not too much to do.
    fn at_home(
        &mut self,
        service: &Name,
        key: &[u8],
        chosen: &Candidate,
        all: &[Candidate],
    ) -> Result<(), String> {
        let sum: u64 = 1 + all.iter().map(|candidate| candidate.tasks).sum::<u64>();
        let weights: u64 = all.iter().map(|candidate| candidate.weight).sum();
        let fits = |one: &&Candidate| one.tasks * 4 * weights < 5 * sum * one.weight;
        if !fits(&chosen) {
            return Err(format!("{:?} has too much to do: {all:?}", chosen.id));
        }
        for other in all
            .iter()
            .filter(fits)
            .filter(|other| other.id != chosen.id)
        {
            let pair = |a: &Candidate, b: &Candidate| (service.clone(), key.to_vec(), a.id, b.id);
            if self.before.contains(&pair(other, chosen)) {
                let (ours, theirs) = (chosen.id, other.id);
                return Err(format!(
                    "key {key:?} went to {theirs:?} before, not to {ours:?}"
                ));
            }
            self.before.insert(pair(chosen, other));
        }
        Ok(())
    }
}

impl Turns {
    /// Nobody is ahead of another by more than one turn of the other's.
    fn take(&mut self, id: PeerId, all: &[Candidate]) -> Result<(), String> {
        let of: BTreeMap<_, _> = all
            .iter()
            .map(|candidate| (candidate.id, (candidate.weight, candidate.entered)))
            .collect();
        if of != self.of {
            (self.of, self.taken) = (of, BTreeMap::new());
        }
        let taken = |id: &PeerId| self.taken.get(id).copied().unwrap_or(0);
        let weight = self.of.get(&id).map_or(1, |(weight, _)| *weight);
        for (other, (theirs, _)) in &self.of {
            if taken(&id) * theirs > (taken(other) + 1) * weight {
                let turns = &self.taken;
                return Err(format!(
                    "it is not {id:?}'s turn but {other:?}'s: {turns:?}"
                ));
            }
        }
        *self.taken.entry(id).or_default() += 1;
        Ok(())
    }
}

impl Candidate {
    /// What it would have to do with this task, on a scale on which the other's weight is counted.
    fn load(&self, other: &Self) -> u64 {
        (self.tasks + 1) * other.weight
    }
}

/// The value of a property `Key`.
pub(crate) fn key(properties: &[u8]) -> Option<Vec<u8>> {
    let mut rest = properties;
    while let Some((&len, tail)) = rest.split_first() {
        let (name, tail) = tail.split_at(len.into());
        let (size, tail) = tail.split_at(4);
        let size = u32::from_be_bytes(size.try_into().unwrap()) as usize;
        let (value, tail) = tail.split_at(size);
        if name.eq_ignore_ascii_case(b"key") {
            return Some(value.to_vec());
        }
        rest = tail;
    }
    None
}

fn millis(text: &str) -> Duration {
    Duration::from_millis(text.parse().unwrap())
}

fn none(better: Option<&Candidate>, why: &str, id: PeerId) -> Result<(), String> {
    match better {
        Some(better) => Err(format!("{:?} {why} than {id:?}", better.id)),
        None => Ok(()),
    }
}

/// A checker of turns that cannot fail proves nothing, and whole histories show other faults first.
#[test]
fn capacity_a_worker_that_takes_anothers_turns_is_seen() {
    let candidate = |place, weight| Candidate {
        id: super::peer(place),
        order: 0,
        entered: 0,
        weight,
        tasks: 0,
        slow: false,
    };
    let all = [candidate(0, 3), candidate(1, 1), candidate(2, 2)];
    let fair = [0, 2, 0, 1, 2, 0];
    let turns = |who: &[u32]| {
        let mut turns = Turns::default();
        (who.iter()).all(|place| turns.take(super::peer(*place), &all).is_ok())
    };
    assert!(turns(&[fair, fair, fair].concat()));
    for greedy in 0..3 {
        let again = [greedy; 5];
        assert!(!turns(&again), "{greedy} alone");
        let instead = fair.map(|place| if place == 1 { greedy } else { place });
        assert!(greedy == 1 || !turns(&[instead, instead, instead].concat()));
    }
}
