//! Rules: who may offer, call or administer which services. Values only; where they are applied is
//! in `rights`.
//!
//! What no rule allows is denied. Rules only ever allow, so their order means nothing.

mod wildcard;

pub use wildcard::{Wildcard, WildcardError};

use std::collections::BTreeMap;
use std::fmt;

use bytes::Bytes;

use crate::protocol::Name;
use crate::security::User;
use crate::security::curve::PublicKey;

/// All rules, ready to be asked. Without a single rule it allows nothing.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Access {
    rules: Vec<Rule>,
    /// The rules that name somebody, by their places in `rules`.
    by_who: BTreeMap<Who, Vec<usize>>,
}

/// Allows some peers some things.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Rule {
    /// Any of these.
    pub who: Vec<Who>,
    /// Services whose tasks they may take.
    pub offer: Vec<Wildcard>,
    /// Services that they may ask for.
    pub call: Vec<Wildcard>,
    /// The broker's own services (`s0.info` and others) that they may ask.
    pub administer: Vec<Wildcard>,
}

/// Whom a rule is for.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Who {
    /// Every peer, those included that nobody knows.
    Everybody,
    /// Peers that have not said who they are, see [`is_anonymous`].
    Anonymous,
    /// The user of this name, however it came in.
    Name(Bytes),
    /// Whoever has this key's secret half.
    Key(PublicKey),
}

/// What can be allowed.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Right {
    /// To take tasks of a service.
    Offer,
    /// To ask for a service.
    Call,
    /// To ask one of the broker's own services.
    Administer,
}

impl Access {
    /// Takes any number of rules.
    #[must_use]
    pub fn new(rules: Vec<Rule>) -> Self {
        let mut by_who: BTreeMap<Who, Vec<usize>> = BTreeMap::new();
        for (number, rule) in rules.iter().enumerate() {
            for who in &rule.who {
                let numbers = by_who.entry(who.clone()).or_default();
                if numbers.last() != Some(&number) {
                    numbers.push(number);
                }
            }
        }
        Self { rules, by_who }
    }

    /// The rules, as they were given.
    #[must_use]
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// Whether any rule lets this user (`None`: a peer that nobody knows) do this with the service
    /// of this name.
    #[must_use]
    pub fn allows(&self, user: Option<&User>, right: Right, service: &[u8]) -> bool {
        let known = user.filter(|user| !is_anonymous(user));
        let by_name = known
            .filter(|user| !user.name.is_empty())
            .map(|user| Who::Name(user.name.clone()));
        let by_key = known.and_then(|user| user.key).map(Who::Key);
        let unknown = known.is_none().then_some(Who::Anonymous);
        [Some(Who::Everybody), unknown, by_name, by_key]
            .into_iter()
            .flatten()
            .filter_map(|who| self.by_who.get(&who))
            .flatten()
            .filter_map(|number| self.rules.get(*number))
            .any(|rule| rule.names(right, service))
    }
}

impl Rule {
    fn names(&self, right: Right, service: &[u8]) -> bool {
        let patterns = match right {
            Right::Offer => &self.offer,
            Right::Call => &self.call,
            Right::Administer => &self.administer,
        };
        patterns.iter().any(|pattern| pattern.matches(service))
    }
}

/// Whether a user is nobody in particular: one without a name and a key, and one without a key
/// whom an authenticator calls `anonymous`, as those do that let NULL peers in.
#[must_use]
pub fn is_anonymous(user: &User) -> bool {
    user.key.is_none() && (user.name.is_empty() || user.name == ANONYMOUS)
}

/// What a user is called towards workers and in the log: by name, or by the key (40 characters of
/// Z85) if it has none.
pub(super) fn title(user: &User) -> Bytes {
    match user.key {
        Some(key) if user.name.is_empty() => key.to_string().into(),
        _ => user.name.clone(),
    }
}

/// The same for people; `anonymous` for nobody in particular.
pub(super) fn printable(user: Option<&User>) -> Name {
    user.map_or(Name::from(ANONYMOUS), |user| Name::new(&title(user)))
}

impl fmt::Display for Right {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Offer => "offer",
            Self::Call => "call",
            Self::Administer => "administer",
        })
    }
}

const ANONYMOUS: &str = "anonymous";

#[cfg(test)]
mod tests {
    use super::*;

    fn user(name: &'static str, key: Option<u8>) -> User {
        User {
            name: Bytes::from_static(name.as_bytes()),
            key: key.map(|byte| PublicKey::from_bytes([byte; 32])),
        }
    }

    fn calls(who: Who, user: Option<&User>) -> bool {
        let rule = Rule {
            who: vec![who],
            call: vec![Wildcard::parse("echo").unwrap()],
            ..Rule::default()
        };
        let access = Access::new(vec![rule]);
        assert!(!access.allows(user, Right::Offer, b"echo"));
        assert!(!access.allows(user, Right::Administer, b"echo"));
        assert!(!access.allows(user, Right::Call, b"sum"));
        access.allows(user, Right::Call, b"echo")
    }

    #[test]
    fn without_a_rule_nothing_is_allowed() {
        let none = Access::default();
        assert!(!none.allows(None, Right::Call, b"echo"));
        assert!(!none.allows(Some(&user("ann", Some(1))), Right::Offer, b"echo"));
    }

    #[test]
    fn everybody_is_everybody_and_anonymous_is_who_nobody_knows() {
        let (nameless, called) = (user("", None), user("anonymous", None));
        let known = [
            user("ann", None),
            user("", Some(1)),
            user("anonymous", Some(1)),
        ];
        for peer in [None, Some(&nameless), Some(&called)] {
            assert!(calls(Who::Everybody, peer) && calls(Who::Anonymous, peer));
        }
        for peer in &known {
            assert!(calls(Who::Everybody, Some(peer)) && !calls(Who::Anonymous, Some(peer)));
        }
    }

    #[test]
    fn a_name_is_a_name_and_a_key_is_a_key() {
        let ann = || Who::Name(Bytes::from_static(b"ann"));
        let key = || Who::Key(PublicKey::from_bytes([1; 32]));
        assert!(
            calls(ann(), Some(&user("ann", None))) && calls(ann(), Some(&user("ann", Some(2))))
        );
        assert!(
            calls(key(), Some(&user("", Some(1)))) && calls(key(), Some(&user("bob", Some(1))))
        );
        assert!(!calls(ann(), None) && !calls(ann(), Some(&user("Ann", None))));
        assert!(!calls(key(), None) && !calls(key(), Some(&user("ann", Some(2)))));
        // Who calls itself like a key does not have it, and the empty name is nobody's.
        let text: &'static str = PublicKey::from_bytes([1; 32]).to_string().leak();
        assert!(!calls(key(), Some(&user(text, None))));
        assert!(!calls(Who::Name(Bytes::new()), Some(&user("", Some(1)))));
    }
}
