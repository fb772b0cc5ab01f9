//! Letters under way: in order from one shard to another, at their own pace. And what a fault
//! makes of them.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::time::Duration;

use scale0::broker::{Action, PeerId};
use scale0::protocol::{Answer, Notice, Reading, Status, Wants, Word};
use scale0::spread::{Letter, Shard};
use scale0::time::Time;

use super::Fault;
use crate::dice::Dice;

/// What is under way from one shard to another, with the time at which it arrives.
type Pair = VecDeque<(Time, Vec<Letter>)>;

#[derive(Debug)]
pub(super) struct Mail {
    seed: u64,
    delay: u64,
    fault: Option<Fault>,
    pairs: BTreeMap<(Shard, Shard), Pair>,
    posted: u64,
    /// Introductions that come behind what follows them.
    late: HashMap<(Shard, Shard), Letter>,
    peers: HashMap<Shard, PeerId>,
}

impl Mail {
    pub(super) fn new(seed: u64, delay: u64, fault: Option<Fault>) -> Self {
        Self {
            seed,
            delay,
            fault,
            pairs: BTreeMap::new(),
            posted: 0,
            late: HashMap::new(),
            peers: HashMap::new(),
        }
    }

    /// When they arrive.
    pub(super) fn post(
        &mut self,
        now: Time,
        from: Shard,
        to: Shard,
        letters: Vec<Letter>,
    ) -> Vec<(Time, Shard, Shard)> {
        let mut arrivals = Vec::new();
        let mut sent = Vec::new();
        let mut more = Vec::new();
        for letter in letters {
            self.falsify(from, to, letter, &mut sent, &mut more);
        }
        more.insert(0, (from, to, sent));
        for (from, to, letters) in more {
            if letters.is_empty() {
                continue;
            }
            self.posted += 1;
            let mut dice = Dice::of(self.seed, &[from as u64, to as u64, self.posted, 99]);
            let at = now + Duration::from_micros(dice.between(1, self.delay));
            let pair = self.pairs.entry((from, to)).or_default();
            let at = pair.back().map_or(at, |(last, _)| at.max(*last));
            pair.push_back((at, letters));
            arrivals.push((at, from, to));
        }
        arrivals
    }

    pub(super) fn take(&mut self, from: Shard, to: Shard) -> Vec<Letter> {
        let pair = self.pairs.get_mut(&(from, to));
        pair.and_then(VecDeque::pop_front)
            .map_or(Vec::new(), |(_, letters)| letters)
    }

    fn falsify(
        &mut self,
        from: Shard,
        to: Shard,
        letter: Letter,
        sent: &mut Vec<Letter>,
        more: &mut Vec<(Shard, Shard, Vec<Letter>)>,
    ) {
        let Some(fault) = self.fault else {
            return sent.push(letter);
        };
        let Some(letter) = falsify_streams(fault, letter) else {
            return;
        };
        let letter = match (fault, letter) {
            (Fault::LendsTwice, Letter::Lend { peer, slots }) => Letter::Lend {
                peer,
                slots: slots * 2,
            },
            (Fault::LosesSlots, Letter::Return { .. })
            | (Fault::NeverCallsBack, Letter::Recall { .. })
            | (Fault::HidesHunger, Letter::Hungry { .. })
            | (Fault::SwallowsLost, Letter::Lost { .. })
            | (Fault::SwallowsMarks, Letter::Marked { .. })
            | (Fault::NeverDone, Letter::Done { .. })
            | (Fault::StaysFull, Letter::Full { full: false, .. })
            | (Fault::SwallowsReports, Letter::Surveyed { .. })
            | (Fault::SwallowsUndrains, Letter::Undrain { .. })
            | (
                Fault::SwallowsDrains,
                Letter::Drain {
                    for_good: false, ..
                },
            )
            | (
                Fault::SwallowsCancels,
                Letter::Heard {
                    reading: Reading::Word(Word::Cancel(_)),
                    ..
                },
            ) => return,
            (Fault::SwallowsAssignments, Letter::Act(action))
                if matches!(*action, Action::Assign { .. }) =>
            {
                return;
            }
            (Fault::SwallowsAnswers, Letter::Act(action))
                if matches!(*action, Action::Answer { .. }) =>
            {
                return;
            }
            (
                Fault::AnswersTwice,
                Letter::Heard {
                    peer,
                    reading,
                    mute: true,
                },
            ) => Letter::Heard {
                peer,
                reading,
                mute: false,
            },
            (Fault::IntroducesLate, letter @ Letter::Opened { .. }) => {
                self.late.insert((from, to), letter);
                return;
            }
            (Fault::DoneTooEarly, letter @ Letter::Drain { number, .. }) => {
                more.push((to, 0, vec![Letter::Done { number }]));
                letter
            }
            (Fault::ConfusesPeers, Letter::Act(mut action)) => {
                let named = match &mut *action {
                    Action::Assign { peer, .. } | Action::Answer { peer, .. } => Some(peer),
                    _ => None,
                };
                if let Some(peer) = named {
                    let last = self.peers.insert(to, *peer).unwrap_or(*peer);
                    *peer = last;
                }
                Letter::Act(action)
            }
            (
                Fault::MisleadsReplies,
                Letter::Heard {
                    reading: Reading::Word(Word::Reply(_)),
                    peer,
                    mute,
                },
            ) => Letter::Heard {
                peer,
                reading: Reading::Nothing,
                mute,
            },
            (_, letter) => letter,
        };
        sent.push(letter);
        if let Some(late) = self.late.remove(&(from, to)) {
            sent.push(late);
        }
    }
}

/// The faults about parts, refusals and one-way tasks; `None` if the letter is lost.
fn falsify_streams(fault: Fault, mut letter: Letter) -> Option<Letter> {
    match &mut letter {
        Letter::Heard {
            reading: Reading::Word(word),
            ..
        } => match (fault, word) {
            (Fault::SwallowsCredits, Word::Credit(_)) => return None,
            (Fault::InflatesCredits, Word::Credit(credit)) => credit.more.messages *= 4,
            (Fault::HidesRefusals, Word::Reply(reply)) => reply.refuses = false,
            (Fault::AnswersTheQuiet, Word::Ask(ask)) if ask.wants == Wants::Nothing => {
                ask.wants = Wants::Answer;
            }
            _ => {}
        },
        Letter::Act(action) => match (fault, &**action) {
            (
                Fault::SwallowsAllowances,
                Action::Tell {
                    notice: Notice::Credit(_),
                    ..
                },
            ) => return None,
            (
                Fault::SwallowsParts | Fault::SwallowsReceipts,
                Action::Answer {
                    answer: Answer::Reply { partial, code, .. },
                    ..
                },
            ) => {
                let receipt = *code == Status::ACCEPTED.code();
                if *partial && fault == Fault::SwallowsParts
                    || receipt && fault == Fault::SwallowsReceipts
                {
                    return None;
                }
            }
            _ => {}
        },
        _ => {}
    }
    Some(letter)
}
