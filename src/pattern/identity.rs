//! Names and the peers that bear them: how ROUTER tells one peer from another (RFC 28).

use std::collections::HashMap;

use bytes::Bytes;

/// Who may take over a name whose bearer is still connected.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Handover {
    /// Nobody: the newcomer is turned away. libzmq's `ROUTER_HANDOVER=0`, except that there it
    /// stays connected and is never heard.
    #[default]
    Refuse,
    /// Who has authenticated as the same user. Without authentication that is nobody.
    SameUser,
    /// Anyone who says the name: libzmq's `ROUTER_HANDOVER=1`. A name is no proof of who somebody
    /// is, so this is for networks in which everybody is trusted.
    Any,
}

/// The names in use.
#[derive(Debug)]
pub(super) struct Names {
    by_name: HashMap<Bytes, u32>,
    bearers: Vec<Option<Bearer>>,
    next: u32,
}

#[derive(Debug)]
struct Bearer {
    name: Bytes,
    user: Option<Bytes>,
}

/// A name is taken, and its bearer keeps it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Taken;

impl Names {
    /// `first` is where automatic names begin: they should not be guessed from outside.
    pub(super) fn new(first: u32) -> Self {
        Self {
            by_name: HashMap::new(),
            bearers: Vec::new(),
            next: first,
        }
    }

    /// Gives `peer` the name it asks for, or an automatic one (a zero byte and four more) if it
    /// asks for none. With it, the peer that had to give the name up.
    pub(super) fn take(
        &mut self,
        peer: u32,
        wanted: &Bytes,
        user: Option<&Bytes>,
        policy: Handover,
    ) -> Result<(Bytes, Option<u32>), Taken> {
        let name = if wanted.is_empty() {
            self.automatic()
        } else {
            wanted.clone()
        };
        let before = self.bearer_of(peer, &name);
        if let Some(old) = before {
            if !self.may_take(old, user, policy) {
                return Err(Taken);
            }
            self.give_up(old);
        }
        self.give_up(peer);
        self.by_name.insert(name.clone(), peer);
        let index = peer as usize;
        if index >= self.bearers.len() {
            self.bearers.resize_with(index + 1, || None);
        }
        if let Some(place) = self.bearers.get_mut(index) {
            *place = Some(Bearer {
                name: name.clone(),
                user: user.cloned(),
            });
        }
        Ok((name, before))
    }

    /// Who bears a name, if that is another one than `peer`.
    pub(super) fn bearer_of(&self, peer: u32, name: &[u8]) -> Option<u32> {
        self.peer(name).filter(|bearer| *bearer != peer)
    }

    /// Whether who has authenticated as `user` may have the name of `bearer`.
    pub(super) fn may_take(&self, bearer: u32, user: Option<&Bytes>, policy: Handover) -> bool {
        match policy {
            Handover::Refuse => false,
            Handover::SameUser => {
                let old = self.bearer(bearer).and_then(|bearer| bearer.user.as_ref());
                user.is_some() && user == old
            }
            Handover::Any => true,
        }
    }

    /// A peer's name is free again.
    pub(super) fn give_up(&mut self, peer: u32) {
        let bearer = self.bearers.get_mut(peer as usize).and_then(Option::take);
        if let Some(bearer) = bearer {
            self.by_name.remove(&bearer.name);
        }
    }

    pub(super) fn name(&self, peer: u32) -> Option<&Bytes> {
        self.bearer(peer).map(|bearer| &bearer.name)
    }

    pub(super) fn peer(&self, name: &[u8]) -> Option<u32> {
        self.by_name.get(name).copied()
    }

    fn bearer(&self, peer: u32) -> Option<&Bearer> {
        self.bearers.get(peer as usize)?.as_ref()
    }

    fn automatic(&mut self) -> Bytes {
        loop {
            let [a, b, c, d] = self.next.to_be_bytes();
            self.next = self.next.wrapping_add(1);
            let name = [0, a, b, c, d];
            if !self.by_name.contains_key(&name[..]) {
                return Bytes::copy_from_slice(&name);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONE: Bytes = Bytes::new();

    #[test]
    fn automatic_names_differ_and_pass_over_those_in_use() {
        let mut names = Names::new(u32::MAX);
        let taken = Bytes::from_static(&[0, 0, 0, 0, 0]);
        names.take(9, &taken, None, Handover::Refuse).unwrap();
        let (a, _) = names.take(0, &NONE, None, Handover::Refuse).unwrap();
        let (b, _) = names.take(1, &NONE, None, Handover::Refuse).unwrap();
        assert_eq!(a, &[0, 255, 255, 255, 255][..]);
        assert_eq!(b, &[0, 0, 0, 0, 1][..]);
    }

    #[test]
    fn a_name_in_use_changes_hands_only_as_the_policy_says() {
        let name = Bytes::from("me");
        let [ann, bob] = ["ann", "bob"].map(Bytes::from);
        let cases = [
            (Handover::Refuse, Some(&ann), Some(&ann), false),
            (Handover::SameUser, None, None, false),
            (Handover::SameUser, Some(&ann), None, false),
            (Handover::SameUser, Some(&ann), Some(&bob), false),
            (Handover::SameUser, Some(&ann), Some(&ann), true),
            (Handover::Any, Some(&ann), None, true),
        ];
        for (policy, old, new, may) in cases {
            let mut names = Names::new(0);
            names.take(1, &name, old, policy).unwrap();
            let taken = names.take(2, &name, new, policy);
            assert_eq!(taken.is_ok(), may, "{policy:?} {old:?} {new:?}");
            assert_eq!(names.peer(b"me"), Some(if may { 2 } else { 1 }));
            // The old bearer's end must not take the name from the new one.
            names.give_up(1);
            assert_eq!(names.peer(b"me"), may.then_some(2));
        }
    }
}
