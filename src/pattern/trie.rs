//! A radix tree: values by topic, found by every text that a topic begins.
//!
//! Topics come from strangers, and may be as long and as deeply nested as they like: nothing here
//! recurses, not even drop (libzmq fell to that, CVE-2021-20236). Nodes lie side by side and name
//! each other by number.

use std::iter::successors;

/// Topics and their values.
///
/// Every node keeps its whole topic, not only what it adds to its parent's, so nodes are split and
/// merged without touching those below. A node without a value stands only where topics part, so
/// there are fewer of these than topics, and their bytes are fewer too.
#[derive(Debug)]
pub(super) struct Trie<V> {
    /// The first is the root, whose topic is empty; it is always there.
    nodes: Vec<Node<V>>,
    free: Vec<u32>,
}

#[derive(Debug)]
struct Node<V> {
    topic: Box<[u8]>,
    parent: u32,
    /// By the byte that follows this node's topic in theirs; ordered.
    children: Vec<(u8, u32)>,
    value: Option<V>,
}

impl<V> Node<V> {
    fn new(topic: &[u8], parent: u32) -> Self {
        Self {
            topic: topic.into(),
            parent,
            children: Vec::new(),
            value: None,
        }
    }

    fn child(&self, byte: u8) -> Option<u32> {
        let found = self.place_of(byte).ok()?;
        self.children.get(found).map(|(_, child)| *child)
    }

    fn place_of(&self, byte: u8) -> Result<usize, usize> {
        self.children.binary_search_by_key(&byte, |(byte, _)| *byte)
    }

    /// Sets, replaces or, with `None`, removes the child behind a byte.
    fn link(&mut self, byte: u8, child: Option<u32>) {
        match (self.place_of(byte), child) {
            (Ok(place), Some(child)) => {
                if let Some(link) = self.children.get_mut(place) {
                    link.1 = child;
                }
            }
            (Err(place), Some(child)) => self.children.insert(place, (byte, child)),
            (Ok(place), None) => {
                self.children.remove(place);
                give_back(&mut self.children);
            }
            (Err(_), None) => debug_assert!(false, "no child behind {byte}"),
        }
    }
}

impl<V> Trie<V> {
    pub(super) fn new() -> Self {
        Self {
            nodes: vec![Node::new(b"", ROOT)],
            free: Vec::new(),
        }
    }

    /// The nodes with a value whose topics begin `text`, shortest topic first. No more steps than
    /// `text` has bytes, or the longest topic.
    pub(super) fn along<'a>(&'a self, text: &'a [u8]) -> impl Iterator<Item = (u32, &'a V)> {
        successors(self.node(ROOT).map(|root| (ROOT, root)), |(_, node)| {
            self.step(node, text)
        })
        .filter_map(|(at, node)| Some((at, node.value.as_ref()?)))
    }

    /// The child that lies on the way to `text`, of which `node`'s topic is a prefix.
    fn step(&self, node: &Node<V>, text: &[u8]) -> Option<(u32, &Node<V>)> {
        let rest = text.get(node.topic.len()..)?;
        let at = node.child(*rest.first()?)?;
        let child = self.node(at)?;
        // Its first byte is known. Where topics differ byte by byte there is no more, and nothing
        // of the topic has to be fetched.
        let more = child.topic.get(node.topic.len() + 1..)?;
        let fits = more.is_empty() || rest.get(1..)?.starts_with(more);
        fits.then_some((at, child))
    }

    /// The node with just this topic and a value.
    pub(super) fn find(&self, topic: &[u8]) -> Option<u32> {
        let (at, _) = self.along(topic).last()?;
        (self.topic(at)? == topic).then_some(at)
    }

    pub(super) fn topic(&self, at: u32) -> Option<&[u8]> {
        self.node(at).map(|node| &*node.topic)
    }

    pub(super) fn value_mut(&mut self, at: u32) -> Option<&mut V> {
        self.node_mut(at)?.value.as_mut()
    }

    /// All topics, ordered as bytes.
    pub(super) fn topics(&self) -> impl Iterator<Item = &[u8]> {
        let mut ahead = vec![ROOT];
        std::iter::from_fn(move || {
            let node = self.node(ahead.pop()?)?;
            ahead.extend(node.children.iter().rev().map(|(_, child)| *child));
            Some(node)
        })
        .filter(|node| node.value.is_some())
        .map(|node| &*node.topic)
    }

    /// Puts a value under a topic, in place of the one that is there. `None` if no number is left
    /// to name a node.
    pub(super) fn insert(&mut self, topic: &[u8], value: V) -> Option<u32> {
        let at = self.reach(topic)?;
        self.node_mut(at)?.value = Some(value);
        Some(at)
    }

    /// The node with this topic, which is made if need be and then wants a value.
    fn reach(&mut self, topic: &[u8]) -> Option<u32> {
        let mut at = ROOT;
        loop {
            let node = self.node(at)?;
            let depth = node.topic.len();
            let Some(byte) = topic.get(depth) else {
                return Some(at);
            };
            let Some(next) = node.child(*byte) else {
                let leaf = self.add(Node::new(topic, at))?;
                self.node_mut(at)?.link(*byte, Some(leaf));
                return Some(leaf);
            };
            let child = self.node(next)?;
            let common = depth + common(topic.get(depth..)?, child.topic.get(depth..)?);
            at = match child.topic.get(common) {
                None => next,
                Some(parting) => self.split(at, next, common, *parting)?,
            };
        }
    }

    /// Puts a node between two, for the first `len` bytes of the lower one's topic, which goes on
    /// with `parting`.
    fn split(&mut self, upper: u32, lower: u32, len: usize, parting: u8) -> Option<u32> {
        let mut node = Node::new(self.topic(lower)?.get(..len)?, upper);
        node.link(parting, Some(lower));
        let byte = *node.topic.get(self.topic(upper)?.len())?;
        let middle = self.add(node)?;
        self.node_mut(lower)?.parent = middle;
        self.node_mut(upper)?.link(byte, Some(middle));
        Some(middle)
    }

    /// Takes a node's value, and gives back the nodes that stood for nothing else.
    pub(super) fn remove(&mut self, at: u32) -> Option<V> {
        let value = self.node_mut(at)?.value.take();
        self.tidy(at);
        value
    }

    fn tidy(&mut self, mut at: u32) -> Option<()> {
        while at != ROOT {
            let node = self.node(at)?;
            if node.value.is_some() || node.children.len() > 1 {
                return None;
            }
            let only = node.children.first().map(|(_, child)| *child);
            let parent = node.parent;
            let byte = *node.topic.get(self.topic(parent)?.len())?;
            if let Some(child) = only {
                self.node_mut(child)?.parent = parent;
            }
            self.node_mut(parent)?.link(byte, only);
            self.drop_node(at);
            at = parent;
        }
        Some(())
    }

    fn add(&mut self, node: Node<V>) -> Option<u32> {
        if let Some(at) = self.free.pop() {
            *self.node_mut(at)? = node;
            return Some(at);
        }
        let at = u32::try_from(self.nodes.len()).ok()?;
        self.nodes.push(node);
        Some(at)
    }

    fn drop_node(&mut self, at: u32) {
        if let Some(node) = self.node_mut(at) {
            *node = Node::new(b"", ROOT);
            self.free.push(at);
        }
        // Numbers cannot move while others use them. Nobody does when only the root is left.
        if self.free.len() + 1 == self.nodes.len() {
            self.free.clear();
            self.free.shrink_to(KEPT);
            self.nodes.truncate(1);
            self.nodes.shrink_to(KEPT);
        }
    }

    fn node(&self, at: u32) -> Option<&Node<V>> {
        self.nodes.get(at as usize)
    }

    fn node_mut(&mut self, at: u32) -> Option<&mut Node<V>> {
        self.nodes.get_mut(at as usize)
    }
}

fn common(one: &[u8], other: &[u8]) -> usize {
    one.iter().zip(other).take_while(|(a, b)| a == b).count()
}

/// Shrinks what has become much larger than it needs to be; seldom enough to cost nothing.
pub(super) fn give_back<T>(list: &mut Vec<T>) {
    if list.capacity() > 16 && list.len() < list.capacity() / 4 {
        list.shrink_to(list.len() * 2);
    }
}

const ROOT: u32 = 0;
/// Nodes for which an empty tree keeps room.
const KEPT: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    impl<V> Trie<V> {
        /// Nodes in use, the root aside.
        pub(in super::super) fn size(&self) -> usize {
            self.nodes.len() - self.free.len() - 1
        }

        /// What must hold between any two calls.
        pub(in super::super) fn check(&self) {
            let mut seen = 0;
            let mut ahead = vec![ROOT];
            while let Some(at) = ahead.pop() {
                seen += 1;
                let node = &self.nodes[at as usize];
                let needed = at == ROOT || node.value.is_some() || node.children.len() > 1;
                assert!(needed, "{:?} stands for nothing", node.topic);
                assert!(node.children.is_sorted_by(|a, b| a.0 < b.0));
                for (byte, child) in &node.children {
                    let below = &self.nodes[*child as usize];
                    assert_eq!(below.parent, at);
                    assert!(below.topic.starts_with(&node.topic));
                    assert_eq!(below.topic[node.topic.len()], *byte);
                    ahead.push(*child);
                }
            }
            assert_eq!(seen, self.size() + 1, "nodes are lost, or free and in use");
        }
    }

    fn tree(topics: &[&str]) -> Trie<usize> {
        let mut trie = Trie::new();
        for (number, topic) in topics.iter().enumerate() {
            trie.insert(topic.as_bytes(), number);
            trie.check();
        }
        trie
    }

    fn along(trie: &Trie<usize>, text: &str) -> Vec<usize> {
        trie.along(text.as_bytes())
            .map(|(_, value)| *value)
            .collect()
    }

    #[test]
    fn a_text_finds_every_topic_that_begins_it_and_no_other() {
        let trie = tree(&["", "a", "abc", "abd", "abcdef", "b", "abcx"]);
        assert_eq!(along(&trie, ""), [0]);
        assert_eq!(along(&trie, "a"), [0, 1]);
        assert_eq!(along(&trie, "ab"), [0, 1]);
        assert_eq!(along(&trie, "abcde"), [0, 1, 2]);
        assert_eq!(along(&trie, "abcdefgh"), [0, 1, 2, 4]);
        assert_eq!(along(&trie, "abdc"), [0, 1, 3]);
        assert_eq!(along(&trie, "c"), [0]);
    }

    #[test]
    fn only_a_whole_topic_is_found() {
        let trie = tree(&["abc", "abd"]);
        assert!(trie.find(b"abc").is_some());
        for absent in ["", "a", "ab", "abcd", "x"] {
            assert_eq!(trie.find(absent.as_bytes()), None, "{absent}");
        }
    }

    #[test]
    fn topics_are_ordered_as_bytes() {
        let topics = ["b", "", "abc", "ab", "abb", "\u{ff}", "abcd", "a\0"];
        let mut sorted: Vec<&[u8]> = topics.iter().map(|topic| topic.as_bytes()).collect();
        sorted.sort_unstable();
        assert_eq!(tree(&topics).topics().collect::<Vec<_>>(), sorted);
    }

    #[test]
    fn a_removed_topic_leaves_the_others_and_no_node() {
        let topics = ["", "a", "abc", "abd", "abcdef", "b", "abcx", "zzzz"];
        for gone in topics {
            let mut trie = tree(&topics);
            let at = trie.find(gone.as_bytes()).unwrap();
            assert!(trie.remove(at).is_some());
            trie.check();
            for topic in topics {
                assert_eq!(trie.find(topic.as_bytes()).is_some(), topic != gone);
            }
        }
        let mut trie = tree(&topics);
        for topic in topics {
            trie.remove(trie.find(topic.as_bytes()).unwrap());
            trie.check();
        }
        assert_eq!(trie.size(), 0);
        assert_eq!(trie.nodes.len(), 1);
    }

    #[test]
    fn a_topic_may_be_long_and_topics_deeply_nested() {
        let text = vec![b'x'; 20_000];
        let mut trie = Trie::new();
        for len in 0..=2000 {
            trie.insert(&text[..len * 10], len);
        }
        assert_eq!(trie.along(&text).count(), 2001);
        assert_eq!(trie.topics().count(), 2001);
        for len in (0..=2000).rev().filter(|len| len % 2 == 0) {
            trie.remove(trie.find(&text[..len * 10]).unwrap());
        }
        trie.check();
        assert_eq!(trie.size(), 1000);
        drop(trie);
    }

    #[test]
    fn an_empty_tree_keeps_no_room_for_what_was() {
        let mut trie = Trie::new();
        for number in 0..10_000u32 {
            trie.insert(&number.to_be_bytes(), number);
        }
        for number in 0..10_000u32 {
            trie.remove(trie.find(&number.to_be_bytes()).unwrap());
        }
        assert!(trie.nodes.capacity() <= KEPT && trie.free.capacity() <= KEPT);
    }
}
