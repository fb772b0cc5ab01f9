//! Workers that fail: what the end of a task says of its worker, and who is left out, tried and
//! trusted again.

use std::time::Duration;

use scale0::time::Time;

use super::posts::Post;
use super::turn::TICK;
use super::{Checked, Conn, Ledger, must};

/// Whether a worker is trusted with the tasks of a service.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Standing {
    Good,
    Out {
        until: Time,
    },
    /// It gets one task.
    Probing {
        until: Time,
        task: Option<u64>,
    },
}

impl Standing {
    pub(super) fn is_open(self) -> bool {
        matches!(self, Self::Good | Self::Probing { task: None, .. })
    }

    fn until(self) -> Option<Time> {
        match self {
            Self::Good => None,
            Self::Out { until } | Self::Probing { until, .. } => Some(until),
        }
    }
}

impl Ledger {
    /// The post for which a task was given to its worker, if that is still there.
    fn post_of(&mut self, conn: Conn, serial: u64) -> Option<&mut Post> {
        let (name, number) = self.tasks[&serial].post.clone();
        let post = self.hand(conn)?.posts.get_mut(&name)?;
        (post.serial == number).then_some(post)
    }

    /// What the end of a task says of its worker.
    pub(super) fn judge(&mut self, conn: Conn, serial: u64, good: bool) {
        let line = self.tasks[&serial].post.0.clone();
        let workers = self.posts_of(&line).count();
        let out = self.outcasts(&line).count();
        let (after, never) = (self.config.eject_after, self.config.eject_time.is_zero());
        let Some(post) = self.post_of(conn, serial) else {
            return;
        };
        match post.standing {
            Standing::Good if good => post.fails = 0,
            Standing::Good => {
                post.fails += 1;
                if post.fails >= after && !never && (out + 1) * 2 <= workers {
                    post.verdict = Some(false);
                }
            }
            Standing::Probing { task, .. } if task == Some(serial) => post.verdict = Some(good),
            _ => {}
        }
    }

    /// A deadline has passed while a worker had the task.
    pub(super) fn judge_late(&mut self, conn: Conn, serial: u64) {
        let now = self.now;
        let given = self.tasks[&serial].given;
        let probe = self.post_of(conn, serial).is_some_and(
            |post| matches!(post.standing, Standing::Probing { task, .. } if task == Some(serial)),
        );
        if probe || now.since(given) >= FAIR_TIME {
            self.judge(conn, serial, false);
        }
    }

    /// A worker has a task no more. If it was to show something by it, another will have to do.
    pub(super) fn lay_down(&mut self, conn: Conn, serial: u64) {
        if let Some(post) = self.post_of(conn, serial)
            && let Standing::Probing { task, .. } = &mut post.standing
            && *task == Some(serial)
        {
            *task = None;
        }
    }

    fn outcasts<'a>(&'a self, line: &'a str) -> impl Iterator<Item = (Conn, Time)> + 'a {
        self.posts_of(line)
            .filter_map(|(conn, _, post)| Some((conn, post.standing.until()?)))
    }

    fn post(&mut self, conn: Conn, name: &str) -> Option<&mut Post> {
        self.hand(conn)?.posts.get_mut(name)
    }

    pub(super) fn ejected(&mut self, conn: Conn, name: &str, pause: Duration) -> Checked {
        let (now, unit) = (self.now, self.config.eject_time);
        let Some(post) = self.post(conn, name) else {
            return super::broken(
                super::Promise::Ejection,
                format!("{conn} does not serve {name}, and is out of it"),
            );
        };
        must!(
            post.verdict == Some(false),
            Ejection,
            "{conn} is out of {name} after {} failures",
            post.fails
        );
        if post.standing == Standing::Good && post.returned + post.last_pause <= now {
            post.pauses = 0;
        }
        post.pauses = (post.pauses + 1).min(30);
        must!(
            pause == unit * post.pauses,
            Ejection,
            "pause {} of {conn} at {name} is {pause:?}",
            post.pauses
        );
        (post.last_pause, post.fails, post.verdict) = (pause, 0, None);
        post.standing = Standing::Out { until: now + pause };
        self.counted.ejected += 1;
        let (out, workers) = (self.outcasts(name).count(), self.posts_of(name).count());
        must!(
            out * 2 <= workers,
            Ejection,
            "{out} of {workers} workers are out of {name}"
        );
        Ok(())
    }

    pub(super) fn probed(&mut self, conn: Conn, name: &str) -> Checked {
        let now = self.now;
        let Some(post) = self.post(conn, name) else {
            return Ok(());
        };
        let until = match post.standing {
            Standing::Out { until } if until <= now => until,
            standing => {
                return super::broken(
                    super::Promise::Ejection,
                    format!("{conn} is tried at {name} while {standing:?}"),
                );
            }
        };
        post.standing = Standing::Probing { until, task: None };
        Ok(())
    }

    pub(super) fn returned(&mut self, conn: Conn, name: &str) -> Checked {
        let now = self.now;
        let (out, workers) = (self.outcasts(name).count(), self.posts_of(name).count());
        let first = self.outcasts(name).map(|(_, until)| until).min();
        let Some(post) = self.post(conn, name) else {
            return Ok(());
        };
        let recalled = out * 2 > workers && post.standing.until() == first;
        must!(
            post.verdict == Some(true) || recalled,
            Ejection,
            "{conn} is back at {name} for nothing: {:?}",
            post.standing
        );
        (post.standing, post.verdict, post.fails) = (Standing::Good, None, 0);
        post.returned = now;
        Ok(())
    }

    /// What must have come of it by the end of a turn.
    pub(super) fn standings(&self) -> Checked {
        for (conn, party) in &self.parties {
            let hand = party.hand.as_ref();
            for (name, post) in hand.iter().flat_map(|hand| &hand.posts) {
                must!(
                    post.verdict.is_none(),
                    Ejection,
                    "{conn} should be out of {name}, or back: {post:?}"
                );
                let late = |standing| matches!(standing, Standing::Out { until } if until + TICK < self.now);
                must!(
                    !late(post.standing),
                    Ejection,
                    "{conn} does not come back to {name}: {:?}",
                    post.standing
                );
                if post.standing == Standing::Good {
                    continue;
                }
                let (out, workers) = (self.outcasts(name).count(), self.posts_of(name).count());
                must!(
                    out * 2 <= workers,
                    Ejection,
                    "{out} of {workers} workers are out of {name}"
                );
            }
        }
        Ok(())
    }
}

/// A deadline that passes sooner says nothing of the worker.
const FAIR_TIME: Duration = Duration::from_secs(1);
