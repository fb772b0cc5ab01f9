//! What the tests of the broker's mind stand on: a rig that feeds it and writes down what goes in
//! and out, a checker that knows its promises, scripts for proptest and a talk for people.

pub(crate) mod checker;
pub(crate) mod choice;
pub(crate) mod player;
pub(crate) mod rights;
pub(crate) mod script;
pub(crate) mod talk;

use scale0::broker::{Action, Broker, Config, Event, PeerId, Snapshot};
use scale0::protocol::{Dialect, Id, Return};
use scale0::time::Time;
use scale0::wire::Message;

use checker::{Broken, Checker};

/// One event and all that came of it.
#[derive(Clone, Debug)]
pub(crate) struct Turn {
    pub(crate) now: Time,
    /// What the broker has been told of the caller's buffers since the turn before.
    pub(crate) outside: Vec<usize>,
    pub(crate) event: Event,
    pub(crate) actions: Vec<Action>,
    /// The next one, as told after the event.
    pub(crate) deadline: Option<Time>,
    pub(crate) snapshot: Snapshot,
}

/// A broker under observation.
pub(crate) struct Rig {
    pub(crate) config: Config,
    pub(crate) broker: Broker,
    pub(crate) checker: Checker,
    pub(crate) turns: Vec<Turn>,
    pub(crate) now: Time,
    outside: Vec<usize>,
}

impl Rig {
    pub(crate) fn new(config: Config) -> Self {
        Self {
            broker: Broker::new(config.clone(), SEED),
            checker: Checker::new(config.clone()),
            config,
            turns: Vec::new(),
            now: Time::ZERO,
            outside: Vec::new(),
        }
    }

    /// Tells the broker what waits in the caller's buffers.
    pub(crate) fn set_outside(&mut self, bytes: usize) {
        self.outside.push(bytes);
        self.broker.set_outside(bytes);
    }

    /// One event at the present time; its actions, or the first promise they break.
    pub(crate) fn turn(&mut self, event: Event) -> Result<Vec<Action>, Broken> {
        let outside = std::mem::take(&mut self.outside);
        let turn = take_turn(&mut self.broker, self.now, outside, event);
        let checked = self.checker.check(&turn);
        let actions = turn.actions.clone();
        self.turns.push(turn);
        checked.map(|()| actions)
    }
}

fn take_turn(broker: &mut Broker, now: Time, outside: Vec<usize>, event: Event) -> Turn {
    let mut actions = Vec::new();
    broker.handle(now, event.clone(), &mut actions);
    Turn {
        now,
        outside,
        event,
        actions,
        deadline: broker.deadline(),
        snapshot: broker.snapshot(),
    }
}

/// Feeds the events of a history to a fresh broker and compares what it does: promise 5.
pub(crate) fn replay(config: &Config, turns: &[Turn]) -> Result<(), Broken> {
    let mut broker = Broker::new(config.clone(), SEED);
    for (index, turn) in turns.iter().enumerate() {
        for &bytes in &turn.outside {
            broker.set_outside(bytes);
        }
        let again = take_turn(&mut broker, turn.now, Vec::new(), turn.event.clone());
        if again.actions != turn.actions || again.deadline != turn.deadline {
            return Err(Broken {
                promise: checker::Promise::SameActions,
                why: format!(
                    "turn {index}, {:?}: first {:?} {:?}, then {:?} {:?}",
                    turn.event, turn.actions, turn.deadline, again.actions, again.deadline
                ),
            });
        }
    }
    Ok(())
}

/// What happened, a line for each event and each action.
pub(crate) fn transcript(turns: &[Turn]) -> String {
    let mut text = String::new();
    for turn in turns {
        let at = turn.now.as_micros();
        text += &format!(
            "{:>5}.{:06} {:?}\n",
            at / 1_000_000,
            at % 1_000_000,
            turn.event
        );
        for action in &turn.actions {
            text += &format!("               -> {action:?}\n");
        }
    }
    text
}

pub(crate) fn peer(place: u32) -> PeerId {
    PeerId {
        place,
        generation: 0,
    }
}

/// A task's number; zero is none.
pub(crate) fn id(n: u64) -> Id {
    Id(n.to_be_bytes())
}

/// The way back to a client of this dialect on a socket that takes any number of messages.
pub(crate) fn back(dialect: Dialect, n: u64) -> Return {
    let envelope = match dialect {
        Dialect::Mdp01 | Dialect::Mdp02Delimited => Message::single(b""),
        _ => Message::default(),
    };
    Return {
        dialect,
        envelope,
        id: id(n),
        whole: dialect == Dialect::Mdp01,
    }
}

const SEED: [u8; 32] = [7; 32];
