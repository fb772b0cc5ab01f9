//! Tasks as workers get them.

use std::collections::VecDeque;

use scale0::time::millis;

use super::posts::held_at;
use super::standing::Standing;
use super::stream::Window;
use super::{At, Checked, Conn, Ledger, Promise, Task, broken, must};
use crate::offer::{bare, fits};
use crate::speech::{Frames, Given};

impl Ledger {
    pub(super) fn assigned(&mut self, conn: Conn, given: &Given) -> Checked {
        let most = self.config.max_attempts;
        let Some(serial) = serial_of(&given.body) else {
            return broken(Promise::Faithful, format!("no task of anybody: {given:?}"));
        };
        let Some(task) = self.tasks.get(&serial) else {
            return broken(Promise::Faithful, format!("nobody asked for task {serial}"));
        };
        must!(
            !task.done,
            OneStart,
            "task {serial} has its answer already, and is given to {conn}"
        );
        must!(
            !matches!(task.at, At::Worker(..)),
            OneStart,
            "task {serial} is with {:?} and given to {conn}",
            task.at
        );
        must!(
            task.at != At::Orphaned || task.may_restart(most),
            OneStart,
            "task {serial} may not be started again"
        );
        told_truly(task, given)?;
        let left = self.now.until(task.deadline);
        must!(
            !left.is_zero(),
            OneFinal,
            "task {serial} is given to {conn} when its time is up"
        );
        must!(
            given.ttl_ms.is_none_or(|ms| ms == millis(left)),
            TimeTold,
            "task {serial} has {left:?} left, told {:?} ms",
            given.ttl_ms
        );
        let repeatable = self.serves(conn, task)?;
        let again = task.asked.idempotent || repeatable || !self.parties[&conn].tongue.is_s0();
        self.chosen(conn, serial)?;
        self.in_turn(conn, serial)?;
        must!(
            self.tokens.insert(given.token),
            OneStart,
            "task {serial} has the token of another attempt"
        );
        self.taken_on(serial)?;
        self.passes(serial)?;
        self.turns(conn, serial)?;
        let now = self.now;
        let line = self.tasks[&serial].line.clone();
        let Some(hand) = self.hand(conn) else {
            return Ok(());
        };
        hand.holding.insert(given.token, serial);
        let counts = hand.stated.caps.credit;
        for post in hand.posts.values_mut() {
            post.open = false;
        }
        let post = hand.posts.get_mut(&line).expect("it serves it");
        if let Standing::Probing { task, .. } = &mut post.standing {
            *task = Some(serial);
        }
        let post = (line, post.serial);
        let task = self.tasks.get_mut(&serial).expect("it is there");
        task.at = At::Worker(conn, given.token);
        task.attempts += 1;
        task.again = again;
        task.parts.clear();
        task.unsent = VecDeque::new();
        (task.post, task.given) = (post, now);
        task.up = counts.then_some(Window::FIRST);
        Ok(())
    }

    /// Whether a worker serves a task and has room for it; if so, whether it may be repeated there.
    fn serves(&self, conn: Conn, task: &Task) -> Result<bool, super::Broken> {
        let serial = task.asked.serial;
        let no = |promise, why| Err(super::Broken { promise, why });
        let Some(hand) = self.parties[&conn].hand.as_ref() else {
            return no(Promise::Capacity, format!("{conn} is no worker"));
        };
        let name = task.asked.service.as_str();
        let Some(post) = hand.posts.get(&task.line) else {
            let serves =
                |offer: &str| offer == name || bare(offer) == Some(name) || fits(offer, name);
            let (promise, what) = if hand.posts.keys().any(|offer| serves(offer)) {
                (
                    Promise::Names,
                    "by another name, which others offer as it is",
                )
            } else {
                (Promise::Capacity, "not at all")
            };
            let line = &task.line;
            let why = format!("task {serial} waits for {line}; {conn} serves {name} {what}");
            return no(promise, why);
        };
        if !post.standing.is_open() {
            let standing = post.standing;
            let why = format!("{conn} is given task {serial} of {name} while {standing:?}");
            return no(Promise::Ejection, why);
        }
        if task.refused_by(conn, self.now) {
            let why = format!("task {serial} is given back to {conn}: {:?}", task.refusals);
            return no(Promise::Refusals, why);
        }
        let held = held_at(&hand.holding, &self.tasks, post);
        let most = post.offer.max.map_or(usize::MAX, usize::from);
        if !hand.room || held >= most {
            let why = format!(
                "{conn} has no room for task {serial}: {} of {}, of this service {held} of {most}, suspect {:?}",
                hand.holding.len(),
                hand.stated.capacity,
                hand.suspect
            );
            return no(Promise::Capacity, why);
        }
        Ok(post.offer.idempotent)
    }
}

/// What a worker is told of a task is what its client said.
fn told_truly(task: &Task, given: &Given) -> Checked {
    let (asked, serial) = (&task.asked, task.asked.serial);
    must!(
        given.body == asked.body,
        Faithful,
        "the body of task {serial} has changed"
    );
    let attempt = given.attempt.unwrap_or(task.attempts + 1);
    must!(
        attempt == task.attempts + 1 || task.refusals.is_empty(),
        Refusals,
        "task {serial} was refused, and is attempt {attempt} after {}",
        task.attempts
    );
    let told = [
        (attempt == task.attempts + 1, "attempt"),
        (
            (given.service.as_ref()).is_none_or(|name| *name == asked.service),
            "service",
        ),
        (
            given.idempotent.is_none_or(|flag| flag == asked.idempotent),
            "flag",
        ),
        (
            given.oneway.is_none_or(|flag| flag == task.is_oneway()),
            "way",
        ),
        (
            (given.properties.as_ref()).is_none_or(|all| *all == asked.properties),
            "property",
        ),
        (
            given.priority.is_none_or(|level| level == asked.priority),
            "priority",
        ),
    ];
    for (right, what) in told {
        must!(
            right,
            Faithful,
            "task {serial} has another {what}: {given:?}"
        );
    }
    Ok(())
}

/// The number in a task's body.
fn serial_of(body: &Frames) -> Option<u64> {
    match body.as_slice() {
        [word, serial, ..] if word == b"task" => {
            Some(u64::from_be_bytes(serial.as_slice().try_into().ok()?))
        }
        _ => None,
    }
}
