//! Names of connections that have been, and are not kept any more.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher, RandomState};

/// Names that are remembered.
const MAX_NAMES: usize = 1 << 16;

/// The last names of connections that are not kept any more, as hashes: of 65,536 names, one in
/// 280 million million is mistaken for one of them.
#[derive(Debug, Default)]
pub(super) struct Forgotten {
    hasher: RandomState,
    order: VecDeque<u64>,
    /// Number of times that each hash is in `order`.
    hashes: HashMap<u64, u32>,
}

impl Forgotten {
    pub(super) fn insert(&mut self, name: &str) {
        let hash = self.hasher.hash_one(name);
        self.order.push_back(hash);
        *self.hashes.entry(hash).or_default() += 1;
        if self.order.len() > MAX_NAMES
            && let Some(oldest) = self.order.pop_front()
            && let Some(times) = self.hashes.get_mut(&oldest)
        {
            *times -= 1;
            if *times == 0 {
                self.hashes.remove(&oldest);
            }
        }
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.hashes.contains_key(&self.hasher.hash_one(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_names_are_remembered_and_no_others() {
        let mut forgotten = Forgotten::default();
        forgotten.insert("0");
        for n in 0..MAX_NAMES {
            forgotten.insert(&n.to_string());
        }
        assert!(forgotten.has("0"), "it is there twice");
        forgotten.insert("one more");
        assert!(!forgotten.has("0"));
        assert!(forgotten.has("1") && forgotten.has("one more"));
        assert!(!forgotten.has("never"));
        assert_eq!(forgotten.order.len(), MAX_NAMES);
        assert_eq!(forgotten.hashes.len(), MAX_NAMES);
    }
}
