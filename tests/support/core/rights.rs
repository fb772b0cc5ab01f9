//! Rules as tests write them, and who is allowed what by the most naive reading of them.

use bytes::Bytes;
use proptest::prelude::*;
use scale0::broker::{Access, Right, Rule, Who, Wildcard};
use scale0::security::User;
use scale0::security::curve::PublicKey;

/// Rules by lines of three words: who, a right, a pattern. Who is `*`, `anonymous`, a name, or
/// `key` for [`KEY`].
pub(crate) fn rules(lines: &str) -> Access {
    let rule = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let who = match words[0] {
            "*" => Who::Everybody,
            "anonymous" => Who::Anonymous,
            "key" => Who::Key(KEY),
            name => Who::Name(Bytes::copy_from_slice(name.as_bytes())),
        };
        let mut rule = Rule {
            who: vec![who],
            ..Rule::default()
        };
        let patterns = match words[1] {
            "offer" => &mut rule.offer,
            "call" => &mut rule.call,
            "administer" => &mut rule.administer,
            other => panic!("`{other}` is no right"),
        };
        patterns.push(Wildcard::parse(words[2]).unwrap());
        rule
    };
    Access::new(
        lines
            .lines()
            .filter(|line| !line.trim().is_empty())
            .map(rule)
            .collect(),
    )
}

pub(crate) fn user(name: &str) -> User {
    User {
        name: Bytes::copy_from_slice(name.as_bytes()),
        key: None,
    }
}

pub(crate) const KEY: PublicKey = PublicKey::from_bytes([7; 32]);

/// Reads all rules, one by one, and tries each star with everything.
pub(crate) fn allowed(access: &Access, user: Option<&User>, right: Right, service: &[u8]) -> bool {
    let nobody = user.is_none_or(|user| {
        user.key.is_none() && (user.name.is_empty() || user.name == "anonymous")
    });
    access.rules().iter().any(|rule| {
        let meant = rule.who.iter().any(|who| match who {
            Who::Everybody => true,
            Who::Anonymous => nobody,
            Who::Name(name) => !nobody && user.is_some_and(|user| user.name == name),
            Who::Key(key) => user.is_some_and(|user| user.key == Some(*key)),
        });
        let patterns = match right {
            Right::Offer => &rule.offer,
            Right::Call => &rule.call,
            Right::Administer => &rule.administer,
        };
        meant
            && patterns
                .iter()
                .any(|pattern| fits(pattern.as_bytes(), service))
    })
}

fn fits(pattern: &[u8], name: &[u8]) -> bool {
    match pattern.split_first() {
        None => name.is_empty(),
        Some((b'*', rest)) => (0..=name.len()).any(|n| fits(rest, &name[n..])),
        Some((byte, rest)) => name.first() == Some(byte) && fits(rest, &name[1..]),
    }
}

/// Few rules about few people and the services of scripts.
pub(crate) fn any_rules() -> impl Strategy<Value = Access> {
    let who = prop_oneof![
        2 => Just(Who::Everybody),
        1 => Just(Who::Anonymous),
        2 => Just(Who::Name(Bytes::from_static(b"ann"))),
        1 => Just(Who::Name(Bytes::from_static(b"bob"))),
        1 => Just(Who::Key(KEY)),
    ];
    let pattern = || {
        let text = prop::sample::select(vec![
            "*",
            "resize",
            "*e*",
            "e*o",
            "echo",
            "s*m",
            "sum",
            "s0.*",
            "a name*most",
        ]);
        proptest::collection::vec(text.prop_map(|text| Wildcard::parse(text).unwrap()), 0..3)
    };
    let rule = (
        proptest::collection::vec(who, 1..3),
        pattern(),
        pattern(),
        pattern(),
    )
        .prop_map(|(who, offer, call, administer)| Rule {
            who,
            offer,
            call,
            administer,
        });
    proptest::collection::vec(rule, 0..5).prop_map(Access::new)
}

pub(crate) fn any_user() -> impl Strategy<Value = Option<User>> {
    let known = |name: &str, key| Just(Some(User { key, ..user(name) }));
    prop_oneof![
        Just(None),
        known("", None),
        known("ann", None),
        known("bob", None),
        known("ann", Some(KEY)),
        known("", Some(KEY)),
    ]
}
