//! What a worker says of one service that it offers, and which names that serves: read from the
//! specification, not from `scale0::protocol`.

use crate::dice::Dice;

/// An offer, as CONNECT states it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Offer {
    pub(crate) name: String,
    pub(crate) idempotent: bool,
    pub(crate) policy: Option<Policy>,
    pub(crate) weight: u16,
    pub(crate) max: Option<u16>,
    pub(crate) slow_start_ms: u32,
}

/// How one of the ready workers is chosen.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) enum Policy {
    #[default]
    Idle,
    Least,
    Weighted,
    Hash,
    TwoChoices,
}

impl Policy {
    pub(crate) const ALL: [Self; 5] = [
        Self::Idle,
        Self::Least,
        Self::Weighted,
        Self::Hash,
        Self::TwoChoices,
    ];

    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Idle => "lru",
            Self::Least => "least",
            Self::Weighted => "weighted",
            Self::Hash => "hash",
            Self::TwoChoices => "p2c",
        }
    }
}

impl Offer {
    pub(crate) fn plain(name: String, idempotent: bool) -> Self {
        Self {
            name,
            idempotent,
            policy: None,
            weight: 1,
            max: None,
            slow_start_ms: 0,
        }
    }

    /// With some attributes, mostly none.
    pub(crate) fn any(name: String, dice: &mut Dice) -> Self {
        let idempotent = dice.percent(30);
        let policy = dice.percent(35).then(|| *dice.pick(&Policy::ALL));
        Self {
            policy,
            weight: if dice.percent(30) {
                dice.between(1, 9) as u16
            } else {
                1
            },
            max: dice.percent(15).then(|| dice.between(1, 3) as u16),
            slow_start_ms: if dice.percent(8) { 2_000 } else { 0 },
            ..Self::plain(name, idempotent)
        }
    }

    /// As it stands in CONNECT.
    pub(crate) fn text(&self) -> String {
        let mut text = self.name.clone();
        if self.idempotent {
            text += ";idempotent";
        }
        if let Some(policy) = self.policy {
            text += &format!(";policy={}", policy.word());
        }
        if self.weight != 1 {
            text += &format!(";weight={}", self.weight);
        }
        if let Some(max) = self.max {
            text += &format!(";max={max}");
        }
        if self.slow_start_ms > 0 {
            text += &format!(";slow_start={}ms", self.slow_start_ms);
        }
        text
    }
}

/// `name` of `name@version`.
pub(crate) fn bare(name: &str) -> Option<&str> {
    name.split_once('@').map(|(bare, _)| bare)
}

pub(crate) fn is_wildcard(name: &str) -> bool {
    name.split('.').any(|level| level == "*" || level == ">")
}

/// Whether a name fits a wildcard.
pub(crate) fn fits(wildcard: &str, name: &str) -> bool {
    if bare(name).is_some() {
        return false;
    }
    let mut levels = name.split('.');
    for level in wildcard.split('.') {
        match (level, levels.next()) {
            (_, None) => return false,
            (">", Some(_)) => return true,
            ("*", Some(_)) => {}
            (level, Some(there)) if level == there => {}
            _ => return false,
        }
    }
    levels.next().is_none()
}

/// Of two wildcards that fit a name the lesser one is the more specific.
pub(crate) fn rank(wildcard: &str) -> Vec<u8> {
    let rank = |level| match level {
        ">" => 2,
        "*" => 1,
        _ => 0,
    };
    wildcard.split('.').map(rank).collect()
}
