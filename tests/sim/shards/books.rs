//! What was promised over all shards together, and whether it is kept.

use std::collections::BTreeMap;
use std::time::Duration;

use scale0::protocol::{Id, Name, Status, Wants};
use scale0::time::Time;

use super::plan::{Plan, Way};
use super::work::WINDOW;
use crate::ledger::{Checked, Promise, broken};

macro_rules! must {
    ($holds:expr, $promise:ident, $($why:tt)+) => {
        if !$holds {
            return broken(Promise::$promise, format!($($why)+));
        }
    };
}

#[derive(Debug)]
pub(super) struct Task {
    conn: usize,
    service: Name,
    way: Way,
    /// A question to the broker itself.
    own: bool,
    deadline: Time,
    given_at: Option<Time>,
    /// Since when it waits, while it does.
    waits: Option<Time>,
    /// Somebody has refused it, and is to be left alone.
    rests: Time,
    attempts: usize,
    given: u64,
    again: bool,
    cancelled: Option<Time>,
    over: bool,
    /// Parts of its reply that have arrived.
    parts: u64,
    /// Parts that it still takes, if its client counts, and since when there are any.
    window: Option<u64>,
    opened: Time,
    /// Parts that it has taken without saying so.
    owed: u16,
    /// A part has come that it had given no credit for: only its final brings one along.
    beyond: Option<Time>,
}

/// What a client is told.
#[derive(Clone, Copy, Debug)]
pub(super) enum Told {
    Error(Status),
    /// The so-manieth part, of which task.
    Part(Option<u64>, Option<u64>),
    /// With the code, of which task, after how many parts.
    Final(u16, Option<u64>, Option<u64>),
}

/// A worker as it says it is; a change counts when everybody can know of it.
#[derive(Debug, Default)]
pub(super) struct Hand {
    pub(super) offers: Vec<Name>,
    former_offers: Vec<Name>,
    capacity: usize,
    former_capacity: usize,
    changed: Time,
    offered: Time,
    /// Since when it has room, and can be given tasks.
    room: Option<Time>,
    pub(super) holding: BTreeMap<Id, u64>,
    pub(super) prompt: bool,
    pub(super) clogged: bool,
    pub(super) majordomo: bool,
    announced: usize,
    configs: usize,
}

impl Task {
    /// Its client waits for a result.
    fn is_waited_for(&self) -> bool {
        !self.own && self.way.wants == Wants::Answer
    }
}

#[derive(Debug, Default)]
pub(super) struct Books {
    pub(super) tasks: BTreeMap<u64, Task>,
    pub(super) hands: BTreeMap<usize, Hand>,
    pings: BTreeMap<usize, (usize, usize)>,
    /// Who has said goodbye, and when.
    left: BTreeMap<usize, Time>,
    /// When it was last said to everybody that they drain, and that they need not.
    pub(super) drained: Option<Time>,
    pub(super) called_off: Option<Time>,
    pub(super) asked_to_drain: Option<Time>,
    /// Workers that fail are left out for a while: then they may be idle.
    pub(super) ejects: bool,
    /// A drain that cannot be called off.
    pub(super) for_good: bool,
}

/// After so long everybody knows, and everything has been looked at.
pub(super) const SETTLED: Duration = Duration::from_millis(700);
const GRACE: Duration = Duration::from_millis(400);
/// Whoever has refused a task is not asked again for so long.
const SKIPPED: Duration = Duration::from_secs(1);
/// Nobody waits so long who could be served.
const PATIENCE: Duration = Duration::from_millis(1200);

impl Books {
    pub(super) fn of(plan: &Plan) -> Self {
        Self {
            ejects: plan.config.eject_after < u32::MAX,
            ..Self::default()
        }
    }

    /// `counts` tells whether its client gives credit.
    pub(super) fn asked(
        &mut self,
        now: Time,
        serial: u64,
        (conn, counts): (usize, bool),
        service: &str,
        way: Way,
    ) {
        let ttl = match way.ttl_ms {
            0 => Duration::from_secs(3),
            ms => Duration::from_millis(ms),
        };
        let own = service.starts_with("s0.") || service.starts_with("mmi.");
        self.tasks.insert(
            serial,
            Task {
                conn,
                service: Name::from(service),
                way,
                own,
                deadline: now + ttl,
                given_at: None,
                waits: Some(now),
                rests: now,
                attempts: 0,
                given: 0,
                again: false,
                cancelled: None,
                // Nobody waits for an answer.
                over: way.wants == Wants::Nothing,
                parts: 0,
                window: (counts && way.wants == Wants::Answer && !own).then_some(WINDOW),
                opened: now,
                owed: 0,
                beyond: None,
            },
        );
    }

    /// How often a task has been given to somebody.
    pub(super) fn attempts(&self, serial: u64) -> u64 {
        self.tasks.get(&serial).map_or(0, |task| task.given)
    }

    pub(super) fn holds(&self, conn: usize, token: Id) -> bool {
        let hand = self.hands.get(&conn);
        hand.is_some_and(|hand| hand.holding.contains_key(&token))
    }

    /// Parts that a client has taken of a reply, and has said nothing of.
    pub(super) fn owes(&self, serial: u64) -> u16 {
        self.tasks.get(&serial).map_or(0, |task| task.owed)
    }

    pub(super) fn pays(&mut self, serial: u64) -> u16 {
        let task = self.tasks.get_mut(&serial).filter(|task| !task.over);
        task.map_or(0, |task| std::mem::take(&mut task.owed))
    }

    /// A client takes so many parts more.
    pub(super) fn credited(&mut self, now: Time, serial: u64, more: u16) {
        if let Some(task) = self.tasks.get_mut(&serial)
            && let Some(window) = &mut task.window
        {
            if *window == 0 {
                task.opened = now;
            }
            *window += u64::from(more);
        }
    }

    /// Who waits for parts of this reply, if anybody has for long.
    pub(super) fn takes_parts(&self, serial: u64, long: impl Fn(Time) -> bool) -> Option<usize> {
        let task = self.tasks.get(&serial).filter(|task| !task.over)?;
        let open = task.window.is_none_or(|window| window > 0) && long(task.opened);
        (open && task.cancelled.is_none()).then_some(task.conn)
    }

    /// A worker hands a task on to another.
    pub(super) fn refused(&mut self, now: Time, conn: usize, token: Id) {
        let serial = self.free(now, conn, token);
        if let Some(task) = serial.and_then(|serial| self.tasks.get_mut(&serial)) {
            task.again = true;
            task.waits = Some(now);
            // Who has refused it is not asked again at once.
            task.rests = now + SKIPPED;
        }
    }

    pub(super) fn cancelled(&mut self, now: Time, serial: u64) {
        if let Some(task) = self.tasks.get_mut(&serial).filter(|task| !task.over) {
            task.cancelled.get_or_insert(now);
        }
    }

    /// The newest task of a connection that has no answer.
    pub(super) fn newest(&self, conn: usize) -> Option<u64> {
        let mut open = self.tasks.iter().rev();
        open.find(|(_, task)| task.conn == conn && !task.over && task.is_waited_for())
            .map(|(serial, _)| *serial)
    }

    /// An answer, or a part of one. `counts` tells whether only credit lets parts come.
    pub(super) fn answered(
        &mut self,
        now: Time,
        (conn, counts): (usize, bool),
        serial: u64,
        told: Told,
    ) -> Checked {
        let Some(task) = self.tasks.get_mut(&serial) else {
            return broken(Promise::RightClient, format!("nobody asked {serial}"));
        };
        must!(
            task.conn == conn,
            RightClient,
            "{serial} is answered to {conn}, not {}",
            task.conn
        );
        must!(
            task.way.wants != Wants::Nothing,
            OneWay,
            "nobody wants to hear of {serial}: {told:?}"
        );
        must!(!task.over, OneFinal, "{serial} is answered twice");
        must!(
            task.own || now <= task.deadline + GRACE,
            OneFinal,
            "{serial} is answered late"
        );
        let error = match told {
            Told::Part(body, nth) => {
                let right = body == Some(serial) && nth == Some(task.parts);
                must!(
                    right && task.is_waited_for(),
                    Faithful,
                    "{serial} has had {} parts, and now {told:?}",
                    task.parts
                );
                task.parts += 1;
                task.owed += 1;
                if let Some(window) = &mut task.window {
                    if *window == 0 && counts {
                        task.beyond.get_or_insert(now);
                    }
                    *window = window.saturating_sub(1);
                }
                return Ok(());
            }
            Told::Final(code, body, parts) => {
                let receipt = task.way.wants == Wants::Receipt && !task.own;
                must!(
                    task.own || receipt == (code == Status::ACCEPTED.code()),
                    OneWay,
                    "{serial} is answered with {code}"
                );
                must!(
                    task.own || code != Status::UNAVAILABLE.code(),
                    Refusals,
                    "{serial} is refused by a worker, which is for others to hear"
                );
                must!(
                    task.own || receipt || (body, parts) == (Some(serial), Some(task.parts)),
                    Faithful,
                    "{serial} is answered with {body:?} after {parts:?} parts, not {}",
                    task.parts
                );
                must!(
                    task.beyond.is_none_or(|at| at == now),
                    Credit,
                    "{serial} was sent parts beyond its credit"
                );
                None
            }
            Told::Error(status) => Some(status),
        };
        if error == Some(Status::DRAINING) && !task.own {
            let asked = self.asked_to_drain.is_some_and(|at| at <= now);
            let since = self.for_good
                || self.called_off.is_none_or(|off| {
                    self.asked_to_drain.is_some_and(|at| at >= off) || off + GRACE > now
                });
            must!(
                asked && since,
                HonestRefusal,
                "{serial} is refused as by a broker that drains"
            );
        }
        task.over = true;
        Ok(())
    }

    pub(super) fn given(
        &mut self,
        now: Time,
        conn: usize,
        serial: u64,
        (token, oneway): (Id, bool),
    ) -> Checked {
        let begun = self.drained;
        let Some(task) = self.tasks.get_mut(&serial) else {
            return broken(Promise::Faithful, format!("nobody asked {serial}"));
        };
        must!(
            task.way.wants.is_oneway() == oneway,
            OneWay,
            "{conn} is told that {serial} is one-way: {oneway}"
        );
        task.given += 1;
        let left = self.left.get(&conn).is_some_and(|at| *at + GRACE > now);
        let Some(hand) = self.hands.get_mut(&conn) else {
            if left {
                // Its goodbye is still under way to where that was decided.
                task.attempts += 1;
                task.again = true;
                return Ok(());
            }
            return broken(Promise::Capacity, format!("{conn} does not work"));
        };
        let fresh = hand.changed + SETTLED > now;
        let most = match fresh {
            true => hand.capacity.max(hand.former_capacity),
            false => hand.capacity,
        };
        let known = |offers: &[Name]| offers.iter().any(|offer| offer.serves(&task.service));
        // The same, and it has announced itself again since.
        let crossed = left && (hand.holding.len() >= most || !known(&hand.offers));
        must!(
            crossed || hand.holding.len() < most,
            Capacity,
            "{conn} has {} of {most} already",
            hand.holding.len()
        );
        let mut offers = hand.offers.iter();
        let offered = offers.any(|offer| offer.serves(&task.service))
            || fresh && hand.former_offers.iter().any(|o| o.serves(&task.service));
        must!(
            crossed || offered,
            Capacity,
            "{conn} does not offer {}",
            task.service
        );
        must!(
            !hand.holding.contains_key(&token),
            OneStart,
            "{token:?} was given to {conn} before"
        );
        must!(
            task.attempts == 0 || task.again,
            OneStart,
            "{serial} is given out again"
        );
        if let (Some(begun), Some(asked)) = (begun, task.waits)
            && task.attempts == 0
        {
            must!(
                asked < begun + GRACE,
                Drain,
                "{serial} was taken on while all drain"
            );
        }
        hand.holding.insert(token, serial);
        task.attempts += 1;
        task.again = task.way.idempotent || hand.majordomo || crossed;
        (task.given_at, task.waits) = (Some(now), None);
        self.look_for_room(now, conn);
        Ok(())
    }

    /// A worker has answered, and has room again.
    pub(super) fn free(&mut self, now: Time, conn: usize, token: Id) -> Option<u64> {
        let serial = self.hands.get_mut(&conn)?.holding.remove(&token);
        self.look_for_room(now, conn);
        serial
    }

    pub(super) fn announced(
        &mut self,
        now: Time,
        conn: usize,
        offers: &[&str],
        capacity: usize,
    ) -> &mut Hand {
        let hand = self.hands.entry(conn).or_default();
        if hand.changed + SETTLED <= now {
            hand.former_offers.clear();
        }
        hand.former_offers.append(&mut hand.offers);
        hand.offers = offers.iter().map(|offer| Name::from(*offer)).collect();
        hand.announced += 1;
        if hand.former_offers != hand.offers {
            hand.offered = now + GRACE;
        }
        self.states(now, conn, capacity);
        self.hands.entry(conn).or_default()
    }

    pub(super) fn states(&mut self, now: Time, conn: usize, capacity: usize) {
        if let Some(hand) = self.hands.get_mut(&conn) {
            let fresh = hand.changed + SETTLED > now;
            let before = if fresh { hand.former_capacity } else { 0 };
            hand.former_capacity = before.max(hand.capacity);
            hand.capacity = capacity;
            hand.changed = now;
            hand.room = None;
        }
        self.look_for_room(now, conn);
    }

    pub(super) fn look_for_room(&mut self, now: Time, conn: usize) {
        let Some(hand) = self.hands.get_mut(&conn) else {
            return;
        };
        let able = !hand.clogged && hand.prompt && hand.holding.len() < hand.capacity;
        hand.room = if able {
            Some(hand.room.unwrap_or(now))
        } else {
            None
        };
    }

    pub(super) fn confirmed(&mut self, conn: usize) -> Checked {
        let Some(hand) = self.hands.get_mut(&conn) else {
            return broken(Promise::Announced, format!("{conn} announced nothing"));
        };
        hand.configs += 1;
        must!(
            hand.configs <= hand.announced,
            Announced,
            "{conn} is told more often than it announced"
        );
        Ok(())
    }

    pub(super) fn pinged(&mut self, conn: usize) {
        self.pings.entry(conn).or_default().0 += 1;
    }

    pub(super) fn ponged(&mut self, conn: usize) -> Checked {
        let (pings, pongs) = self.pings.entry(conn).or_default();
        *pongs += 1;
        must!(
            *pongs <= *pings,
            Alive,
            "{conn} is answered more often than it asked"
        );
        Ok(())
    }

    /// A worker is gone, or has said goodbye: what it had may be given to others.
    pub(super) fn worker_gone(&mut self, now: Time, conn: usize) {
        self.left.insert(conn, now);
        if let Some(hand) = self.hands.remove(&conn) {
            for serial in hand.holding.into_values() {
                if let Some(task) = self.tasks.get_mut(&serial) {
                    task.waits = Some(now);
                }
            }
        }
    }

    /// Nobody waits for its answers any more.
    pub(super) fn client_gone(&mut self, conn: usize) {
        self.pings.remove(&conn);
        for task in self.tasks.values_mut().filter(|task| task.conn == conn) {
            task.over = true;
        }
    }

    /// What takes too long.
    pub(super) fn look(&self, now: Time) -> Checked {
        for (serial, task) in self.tasks.iter().filter(|(_, task)| !task.over) {
            let late = if task.own { PATIENCE } else { GRACE };
            must!(
                now <= task.deadline + late,
                OneFinal,
                "{serial} has no answer"
            );
            must!(
                task.beyond.is_none_or(|at| at + GRACE > now),
                Credit,
                "{serial} is sent parts beyond its credit"
            );
            if let Some(at) = task.cancelled {
                must!(
                    now <= at + PATIENCE,
                    CancelTold,
                    "{serial} was cancelled, and is not over"
                );
            }
            let Some(since) = task.waits.filter(|_| !task.own) else {
                continue;
            };
            if since.max(task.rests) + PATIENCE > now {
                continue;
            }
            let named = |offer: &Name| offer.serves(&task.service) && !offer.is_wildcard();
            for (conn, hand) in &self.hands {
                let idle = hand.room.is_some_and(|since| since + PATIENCE <= now);
                // What came before may wait for a wildcard, and does so until it is served.
                let idle = idle && hand.offered <= since && !self.ejects;
                must!(
                    !(idle && hand.offers.iter().any(named)),
                    IdleHands,
                    "{serial} waits for {}, and {conn} is idle",
                    task.service
                );
            }
        }
        Ok(())
    }

    /// Nothing is left to be done, of one-way tasks either.
    pub(super) fn all_done(&self, now: Time) -> bool {
        let mut tasks = self.tasks.values();
        tasks.all(|task| {
            let oneway = task.way.wants.is_oneway();
            (task.over || task.own) && !(oneway && task.deadline + GRACE > now)
        })
    }

    /// Nothing is asked that has no answer.
    pub(super) fn open(&self, among: impl Fn(usize) -> bool) -> Vec<u64> {
        let open = self.tasks.iter().filter(|(_, task)| !task.over);
        open.filter(|(_, task)| among(task.conn))
            .map(|(serial, _)| *serial)
            .collect()
    }

    pub(super) fn at_rest(&self, alive: impl Fn(usize) -> bool) -> Checked {
        for (conn, (pings, pongs)) in self.pings.iter().filter(|(conn, _)| alive(**conn)) {
            must!(
                pings == pongs,
                Alive,
                "{conn} has had {pongs} of {pings} PONGs"
            );
        }
        for (conn, hand) in self.hands.iter().filter(|(conn, _)| alive(**conn)) {
            must!(
                hand.configs > 0 || hand.majordomo,
                Announced,
                "{conn} has had no CONFIG"
            );
        }
        Ok(())
    }
}
