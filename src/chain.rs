//! Ordered lists of small numbers, from whose middle anything is removed in constant time.
//!
//! One [`Chains`] holds the links of all nodes of one kind; each node is in one [`Chain`] of it
//! at most.

/// The links, by node.
#[derive(Debug, Default)]
pub(crate) struct Chains {
    links: Vec<Link>,
}

/// One list: its ends and its length.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Chain {
    first: u32,
    last: u32,
    len: u32,
}

#[derive(Clone, Copy, Debug)]
struct Link {
    before: u32,
    after: u32,
}

impl Default for Chain {
    fn default() -> Self {
        Self {
            first: NONE,
            last: NONE,
            len: 0,
        }
    }
}

impl Chain {
    pub(crate) fn len(&self) -> usize {
        self.len as usize
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub(crate) fn first(&self) -> Option<u32> {
        (self.first != NONE).then_some(self.first)
    }
}

impl Chains {
    /// Appends a node that is in no chain.
    pub(crate) fn push_back(&mut self, chain: &mut Chain, node: u32) {
        self.set(
            node,
            Link {
                before: chain.last,
                after: NONE,
            },
        );
        match self.links.get_mut(chain.last as usize) {
            Some(last) => last.after = node,
            None => chain.first = node,
        }
        chain.last = node;
        chain.len += 1;
    }

    /// Puts a node that is in no chain in front.
    pub(crate) fn push_front(&mut self, chain: &mut Chain, node: u32) {
        self.set(
            node,
            Link {
                before: NONE,
                after: chain.first,
            },
        );
        match self.links.get_mut(chain.first as usize) {
            Some(first) => first.before = node,
            None => chain.last = node,
        }
        chain.first = node;
        chain.len += 1;
    }

    /// Takes a node out of the chain it is in.
    pub(crate) fn remove(&mut self, chain: &mut Chain, node: u32) {
        let Some(&Link { before, after }) = self.links.get(node as usize) else {
            return;
        };
        match self.links.get_mut(before as usize) {
            Some(link) => link.after = after,
            None => chain.first = after,
        }
        match self.links.get_mut(after as usize) {
            Some(link) => link.before = before,
            None => chain.last = before,
        }
        chain.len -= 1;
    }

    /// Takes the first node out.
    pub(crate) fn pop_front(&mut self, chain: &mut Chain) -> Option<u32> {
        let first = chain.first()?;
        self.remove(chain, first);
        Some(first)
    }

    /// The nodes, first to last.
    pub(crate) fn iter(&self, chain: &Chain) -> impl Iterator<Item = u32> {
        let mut next = chain.first();
        std::iter::from_fn(move || {
            let node = next?;
            next = self
                .links
                .get(node as usize)
                .map(|link| link.after)
                .filter(|after| *after != NONE);
            Some(node)
        })
    }

    fn set(&mut self, node: u32, link: Link) {
        let index = node as usize;
        if index >= self.links.len() {
            self.links.resize(
                index + 1,
                Link {
                    before: NONE,
                    after: NONE,
                },
            );
        }
        if let Some(place) = self.links.get_mut(index) {
            *place = link;
        }
    }
}

/// No node has this number: tables stop below it.
const NONE: u32 = u32::MAX;

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use proptest::prelude::*;

    use crate::chain::{Chain, Chains};

    #[derive(Clone, Debug)]
    enum Step {
        Back(u32),
        Front(u32),
        Remove(u32),
        Pop,
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            (0..9u32).prop_map(Step::Back),
            (0..9u32).prop_map(Step::Front),
            (0..9u32).prop_map(Step::Remove),
            Just(Step::Pop),
        ];
        proptest::collection::vec(step, 0..60)
    }

    proptest! {
        #[test]
        fn a_chain_behaves_like_a_deque(steps in steps()) {
            let (mut chains, mut chain, mut model) = (Chains::default(), Chain::default(), VecDeque::new());
            for step in steps {
                match step {
                    Step::Back(n) if !model.contains(&n) => {
                        chains.push_back(&mut chain, n);
                        model.push_back(n);
                    }
                    Step::Front(n) if !model.contains(&n) => {
                        chains.push_front(&mut chain, n);
                        model.push_front(n);
                    }
                    Step::Remove(n) if model.contains(&n) => {
                        chains.remove(&mut chain, n);
                        model.retain(|m| *m != n);
                    }
                    Step::Pop => prop_assert_eq!(chains.pop_front(&mut chain), model.pop_front()),
                    _ => {}
                }
                prop_assert_eq!(chains.iter(&chain).collect::<VecDeque<_>>(), model.clone());
                prop_assert_eq!(chain.len(), model.len());
            }
        }
    }
}
