//! Faults, planted between the broker and the world: each falsifies one thing, always in the same
//! way. A simulation that does not find them is worth nothing.

use crate::ledger::Promise;

/// What is falsified.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Fault {
    /// Every third final reply of a worker is not heard.
    SwallowsFinals,
    /// A worker's final for a task that nobody waits for does not free its place.
    LosesCredits,
    /// A client that is gone is not forgotten.
    LeaksTasks,
    /// A worker that is gone is kept.
    KeepsTheDead,
    /// Who is silent counts as alive for ever.
    PitiesTheSilent,
    /// Workers are heard that say nothing.
    HearsVoices,
    /// What one client asks is put off for ever.
    ForgetsOneClient,
    /// A question comes in only after the next event.
    PutsOffQuestions,
    SwallowsAnnouncements,
    IgnoresCapacity,
    TakesOneMore,
    /// Every task may be repeated.
    RepeatsEverything,
    /// A reply with another's token counts as the other's.
    BelievesForgers,
    /// A late reply of a lost attempt counts as that of the next one.
    BelievesTheLate,
    DropsParts,
    IgnoresDrain,
    DrainsTooEarly,
    /// Connections that are there are taken for lost.
    LosesTheLiving,
    AcceptsTwins,
    ForgetsGoodbyes,
    DoublesAnswers,
    SwallowsAnswers,
    NeverExpires,
    Oversleeps,
    AnswersTheWrongClient,
    AnswersTheWrongNumber,
    GoesOnAfterTheEnd,
    SwapsWorkers,
    GivesToTheGone,
    RepeatsTokens,
    SwallowsCancels,
    MixesBodies,
    NeverShrinksTime,
    NeverReleases,
    SendsNoConfig,
    SendsNoPong,
    SendsNoBeats,
    LiesAboutTheStart,
    LiesAboutTheReason,
    ShortensGathered,
    SpeaksTheWrongLanguage,
    ClosesNobody,
    /// Workers may fail as often as they like.
    NeverEjects,
    /// Who is out of a service stays out.
    NeverReadmits,
    GivesToTheEjected,
    /// A refused task goes back to who refused it.
    GivesBackRefused,
    CountsRefusals,
    DoublesReceipts,
    /// A one-way task that comes to nothing is not counted.
    LosesOneways,
    TellsTheQuiet,
    /// Workers do not hear that they may send more.
    KeepsCredit,
    /// What clients allow is not heard.
    IgnoresCredit,
    /// Clients that count get parts like those that do not.
    SendsBeyondCredit,
    SwapsParts,
    /// A drain that is asked for is called off at once.
    TakesOnWhileDraining,
    /// Clients of a draining broker are told to come again.
    HidesTheDrain,
    PrefersWildcards,
    /// What operators set does not hold.
    IgnoresSettings,
}

impl Fault {
    pub(crate) const ALL: [Self; 58] = [
        Self::SwallowsFinals,
        Self::LosesCredits,
        Self::LeaksTasks,
        Self::KeepsTheDead,
        Self::PitiesTheSilent,
        Self::HearsVoices,
        Self::ForgetsOneClient,
        Self::PutsOffQuestions,
        Self::SwallowsAnnouncements,
        Self::IgnoresCapacity,
        Self::TakesOneMore,
        Self::RepeatsEverything,
        Self::BelievesForgers,
        Self::BelievesTheLate,
        Self::DropsParts,
        Self::IgnoresDrain,
        Self::DrainsTooEarly,
        Self::LosesTheLiving,
        Self::AcceptsTwins,
        Self::ForgetsGoodbyes,
        Self::DoublesAnswers,
        Self::SwallowsAnswers,
        Self::NeverExpires,
        Self::Oversleeps,
        Self::AnswersTheWrongClient,
        Self::AnswersTheWrongNumber,
        Self::GoesOnAfterTheEnd,
        Self::SwapsWorkers,
        Self::GivesToTheGone,
        Self::RepeatsTokens,
        Self::SwallowsCancels,
        Self::MixesBodies,
        Self::NeverShrinksTime,
        Self::NeverReleases,
        Self::SendsNoConfig,
        Self::SendsNoPong,
        Self::SendsNoBeats,
        Self::LiesAboutTheStart,
        Self::LiesAboutTheReason,
        Self::ShortensGathered,
        Self::SpeaksTheWrongLanguage,
        Self::ClosesNobody,
        Self::NeverEjects,
        Self::NeverReadmits,
        Self::GivesToTheEjected,
        Self::GivesBackRefused,
        Self::CountsRefusals,
        Self::DoublesReceipts,
        Self::LosesOneways,
        Self::TellsTheQuiet,
        Self::KeepsCredit,
        Self::IgnoresCredit,
        Self::SendsBeyondCredit,
        Self::SwapsParts,
        Self::TakesOnWhileDraining,
        Self::HidesTheDrain,
        Self::PrefersWildcards,
        Self::IgnoresSettings,
    ];

    /// The promises of which one must be named when it is found.
    pub(crate) fn breaks(self) -> &'static [Promise] {
        match self {
            Self::SwallowsFinals | Self::DoublesAnswers | Self::AcceptsTwins => {
                &[Promise::OneFinal]
            }
            Self::NeverExpires | Self::GoesOnAfterTheEnd => &[Promise::OneFinal],
            // A credit is missed where a task could have had it, or when the books are compared.
            Self::LosesCredits => &[Promise::IdleHands, Promise::Books],
            Self::LeaksTasks => &[Promise::Books, Promise::NothingAfterLost],
            Self::KeepsTheDead => &[
                Promise::Books,
                Promise::NothingAfterLost,
                Promise::CancelTold,
                Promise::OneStart,
                Promise::HonestRefusal,
            ],
            Self::PitiesTheSilent | Self::HearsVoices => &[Promise::Alive],
            Self::ForgetsOneClient | Self::PutsOffQuestions => {
                &[Promise::IdleHands, Promise::Books, Promise::OneFinal]
            }
            Self::SwallowsAnnouncements => &[Promise::Announced],
            Self::IgnoresCapacity => &[Promise::Capacity, Promise::IdleHands, Promise::LongestIdle],
            Self::TakesOneMore => &[Promise::Capacity],
            Self::RepeatsEverything | Self::RepeatsTokens => &[Promise::OneStart],
            Self::BelievesForgers => &[Promise::Faithful],
            // Where nobody waited any more, it is a credit that is free too early.
            Self::BelievesTheLate => &[Promise::Faithful, Promise::Capacity, Promise::Books],
            Self::DropsParts => &[Promise::Faithful],
            Self::IgnoresDrain | Self::DrainsTooEarly => &[Promise::Drain],
            Self::LosesTheLiving => &[Promise::Alive],
            Self::ForgetsGoodbyes => &[Promise::Alive, Promise::Books, Promise::CancelTold],
            Self::SwallowsAnswers => &[
                Promise::OneFinal,
                Promise::Books,
                Promise::CancelTold,
                Promise::Drain,
                Promise::OneStart,
                Promise::IdleHands,
            ],
            Self::Oversleeps => &[
                Promise::OneFinal,
                Promise::Announced,
                Promise::Alive,
                Promise::Drain,
            ],
            Self::AnswersTheWrongClient | Self::AnswersTheWrongNumber => &[Promise::RightClient],
            Self::SwapsWorkers => &[Promise::LongestIdle, Promise::Capacity],
            Self::GivesToTheGone => &[Promise::Capacity],
            Self::SwallowsCancels => &[Promise::CancelTold],
            Self::MixesBodies => &[Promise::OneStart, Promise::Faithful],
            Self::NeverShrinksTime => &[Promise::TimeTold],
            Self::NeverReleases => &[Promise::Released],
            Self::SendsNoConfig => &[Promise::Announced],
            Self::SendsNoPong | Self::SendsNoBeats => &[Promise::Alive],
            Self::LiesAboutTheStart | Self::LiesAboutTheReason => &[Promise::HonestRefusal],
            Self::ShortensGathered => &[Promise::Faithful],
            Self::SpeaksTheWrongLanguage => &[Promise::Language],
            Self::ClosesNobody => &[Promise::Limits],
            Self::NeverEjects | Self::NeverReadmits | Self::GivesToTheEjected => {
                &[Promise::Ejection]
            }
            Self::GivesBackRefused | Self::CountsRefusals => &[Promise::Refusals],
            Self::DoublesReceipts | Self::LosesOneways | Self::TellsTheQuiet => &[Promise::OneWay],
            Self::KeepsCredit | Self::SendsBeyondCredit => &[Promise::Credit],
            // What waits is missed, or that its worker is not told.
            Self::IgnoresCredit => &[Promise::Faithful, Promise::Credit],
            Self::SwapsParts => &[Promise::Faithful],
            Self::TakesOnWhileDraining => &[Promise::Drain],
            Self::HidesTheDrain => &[Promise::HonestRefusal],
            Self::PrefersWildcards => &[Promise::Names],
            // The one that should not have been chosen, or should have been.
            Self::IgnoresSettings => &[Promise::Choice, Promise::LongestIdle],
        }
    }
}
