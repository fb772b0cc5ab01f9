//! A client's tasks that have no answer yet, by how it names them.

use std::collections::HashMap;

use foldhash::fast::FixedState;

use super::task::Key;

/// Each key names one task. Finding one costs the same however many there are.
#[derive(Debug)]
pub(super) struct Asked(HashMap<Key, u32, FixedState>);

impl Asked {
    /// None yet. The numbers are the client's to choose: how they are hashed is not its to know.
    pub(super) fn new(hash: FixedState) -> Self {
        Self(HashMap::with_hasher(hash))
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn get(&self, key: &Key) -> Option<u32> {
        self.0.get(key).copied()
    }

    pub(super) fn insert(&mut self, key: Key, task: u32) {
        self.0.insert(key, task);
    }

    pub(super) fn remove(&mut self, key: &Key) {
        self.0.remove(key);
        if self.0.is_empty() && self.0.capacity() > KEEP {
            // A crowd has come and gone: give its memory back.
            self.0.shrink_to_fit();
        }
    }

    /// The tasks, in the order of their numbers: the same script is to bring the same actions.
    pub(super) fn tasks(&self) -> Vec<u32> {
        let mut tasks: Vec<u32> = self.0.values().copied().collect();
        tasks.sort_unstable();
        tasks
    }

    /// The same, and forgets them.
    pub(super) fn take(&mut self) -> Vec<u32> {
        let tasks = self.tasks();
        self.0.clear();
        self.0.shrink_to_fit();
        tasks
    }
}

/// Room that a client without tasks keeps.
const KEEP: usize = 32;
