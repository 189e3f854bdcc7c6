//! What came lately, so that it is known when it comes once more: the newest keys, in a bounded number.
//!
//! Owned by protocols whose messages can come twice by ways of which neither knows the other. Beyond its bound the oldest
//! key is forgotten; it must never hold more.

use std::collections::{BTreeSet, VecDeque};

/// See the module's text.
#[derive(Debug)]
pub(crate) struct Recent<K> {
    known: BTreeSet<K>,
    /// The same in the order in which they came.
    order: VecDeque<K>,
    most: usize,
}

impl<K: Copy + Ord> Recent<K> {
    /// Remembers that many keys.
    pub(crate) const fn new(most: usize) -> Self {
        Self {
            known: BTreeSet::new(),
            order: VecDeque::new(),
            most,
        }
    }

    pub(crate) fn has(&self, key: K) -> bool {
        self.known.contains(&key)
    }

    /// Notes a key. Whether it is new.
    pub(crate) fn note(&mut self, key: K) -> bool {
        if !self.known.insert(key) {
            return false;
        }
        if self.order.len() == self.most
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
        self.order.push_back(key);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_are_remembered_than_there_is_room_for() {
        const MOST: usize = 4_096;
        let mut told = Recent::new(MOST);
        for number in 0..MOST + 10 {
            assert!(told.note(number));
            assert!(!told.note(number));
        }
        assert_eq!((told.known.len(), told.order.len()), (MOST, MOST));
        assert!(!told.has(9) && told.has(10));
    }
}
