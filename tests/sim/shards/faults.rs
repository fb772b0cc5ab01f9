//! Faults between the shards: a letter that is not posted, or says something else. Each must be
//! found, by the name of a promise that it breaks.

use crate::ledger::Promise;

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Fault {
    /// A slot is lent to two shards.
    LendsTwice,
    /// What is given back does not arrive.
    LosesSlots,
    NeverCallsBack,
    HidesHunger,
    /// Other shards do not hear that a connection has ended.
    SwallowsLost,
    /// A peer is heard of before it is introduced.
    IntroducesLate,
    /// One of two brokers that hold a connection back lets it go.
    ReleasesForAll,
    /// Nobody is told that what was posted has been read.
    SwallowsMarks,
    /// A shard says that it is done when it is told to drain.
    DoneTooEarly,
    NeverDone,
    SwallowsCancels,
    /// Other shards hear that a peer is full, not that it is no more.
    StaysFull,
    /// Two brokers answer one question.
    AnswersTwice,
    SwallowsReports,
    SwallowsAssignments,
    SwallowsAnswers,
    /// What is wanted of one peer is done to another.
    ConfusesPeers,
    /// Replies go to a shard that has not asked.
    MisleadsReplies,
    /// Other shards take new tasks while the first one drains.
    SwallowsDrains,
    SwallowsUndrains,
    /// What clients say of the parts that they take is not heard.
    SwallowsCredits,
    /// They take four times as many as they say.
    InflatesCredits,
    /// Workers do not hear that they may send more.
    SwallowsAllowances,
    SwallowsParts,
    /// A worker's refusal is taken for its answer.
    HidesRefusals,
    SwallowsReceipts,
    /// Who wants to hear nothing of a task is answered.
    AnswersTheQuiet,
}

impl Fault {
    pub(crate) const ALL: [Self; 27] = [
        Self::LendsTwice,
        Self::LosesSlots,
        Self::NeverCallsBack,
        Self::HidesHunger,
        Self::SwallowsLost,
        Self::IntroducesLate,
        Self::ReleasesForAll,
        Self::SwallowsMarks,
        Self::DoneTooEarly,
        Self::NeverDone,
        Self::SwallowsCancels,
        Self::StaysFull,
        Self::AnswersTwice,
        Self::SwallowsReports,
        Self::SwallowsAssignments,
        Self::SwallowsAnswers,
        Self::ConfusesPeers,
        Self::MisleadsReplies,
        Self::SwallowsDrains,
        Self::SwallowsUndrains,
        Self::SwallowsCredits,
        Self::InflatesCredits,
        Self::SwallowsAllowances,
        Self::SwallowsParts,
        Self::HidesRefusals,
        Self::SwallowsReceipts,
        Self::AnswersTheQuiet,
    ];

    /// The promises of which one must be named when it is found.
    pub(crate) fn breaks(self) -> &'static [Promise] {
        match self {
            Self::LendsTwice => &[Promise::Capacity],
            Self::LosesSlots | Self::HidesHunger | Self::StaysFull => &[Promise::IdleHands],
            // Somebody misses it, or its worker has stated less.
            Self::NeverCallsBack => &[Promise::IdleHands, Promise::Capacity],
            Self::SwallowsLost => &[Promise::Books, Promise::Drain],
            Self::IntroducesLate => &[
                Promise::OneFinal,
                Promise::IdleHands,
                Promise::Books,
                Promise::Drain,
            ],
            Self::ReleasesForAll => &[Promise::Limits],
            Self::SwallowsMarks => &[Promise::Released],
            Self::DoneTooEarly | Self::NeverDone => &[Promise::Drain],
            Self::SwallowsCancels => &[Promise::CancelTold],
            Self::AnswersTwice => &[Promise::OneFinal],
            // Or its shard ends without it.
            Self::SwallowsAnswers => &[Promise::OneFinal, Promise::Drain],
            Self::SwallowsReports => &[Promise::OneFinal, Promise::Drain],
            // It is missed, or its place.
            Self::SwallowsAssignments => &[Promise::OneFinal, Promise::IdleHands, Promise::Books],
            Self::ConfusesPeers => &[
                Promise::RightClient,
                Promise::Capacity,
                Promise::NothingAfterLost,
            ],
            Self::MisleadsReplies => &[Promise::IdleHands, Promise::OneFinal, Promise::Books],
            Self::SwallowsDrains => &[Promise::Drain],
            Self::SwallowsCredits | Self::InflatesCredits | Self::SwallowsAllowances => {
                &[Promise::Credit]
            }
            Self::SwallowsParts => &[Promise::Faithful],
            Self::HidesRefusals => &[Promise::Refusals],
            Self::SwallowsReceipts => &[Promise::OneFinal],
            Self::AnswersTheQuiet => &[Promise::OneWay],
            Self::SwallowsUndrains => &[Promise::Drain, Promise::HonestRefusal],
        }
    }
}
