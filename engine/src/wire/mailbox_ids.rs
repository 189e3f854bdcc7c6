//! Mailbox ids of one lane, the sending side: which id stands for which mailbox, and which is given
//! to the next.
//!
//! Owned by the sending half of a lane, one for each connection. Asked once per message, so the
//! mailbox used last is found by one comparison and any other by one look-up. At the limit the id
//! that was not used for the longest time is given to the new mailbox: its announcement has to go
//! out in its place among the messages, since the ones before it mean the old name. Memory is bounded
//! by the limit, however many mailboxes there are. It does not know names: the caller announces.
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

/// See the module's text. A mailbox is a number of the caller's that means one name for as long as
/// the connection lives.
#[derive(Clone, Debug)]
pub struct MailboxIds {
    /// By id; a list in order of use runs through them.
    entries: Vec<Entry>,
    by_mailbox: HashMap<u64, u32, BuildHasherDefault<NumberHasher>>,
    newest: u32,
    oldest: u32,
    limit: u32,
    reuses: bool,
}

/// An id that was given to a mailbox, and has to be announced before the next message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Assigned {
    /// It stood for nothing before: the announcement may go ahead of anything that is queued.
    New(u32),
    /// It stood for another mailbox: the announcement has to stay behind what is queued.
    Reused(u32),
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    mailbox: u64,
    newer: u32,
    older: u32,
}

/// The end of the list in either direction.
const NONE: u32 = u32::MAX;

impl MailboxIds {
    /// No ids yet, and at most `limit` of them; `reuses` if they can be announced again.
    #[must_use]
    pub fn new(limit: u32, reuses: bool) -> Self {
        Self {
            entries: Vec::new(),
            by_mailbox: HashMap::default(),
            newest: NONE,
            oldest: NONE,
            limit,
            reuses,
        }
    }

    /// The id of a mailbox that has one, which is then the one used last.
    #[inline]
    pub fn use_id(&mut self, mailbox: u64) -> Option<u32> {
        match self.entries.get(self.newest as usize) {
            Some(newest) if newest.mailbox == mailbox => Some(self.newest),
            Some(_) => self.use_older(mailbox),
            None => None,
        }
    }

    #[inline]
    fn use_older(&mut self, mailbox: u64) -> Option<u32> {
        let id = *self.by_mailbox.get(&mailbox)?;
        self.unlink(id);
        self.link_newest(id);
        Some(id)
    }

    /// Gives an id to a mailbox that has none; `None` if all are taken and none can be used again.
    pub fn assign(&mut self, mailbox: u64) -> Option<Assigned> {
        let next = u32::try_from(self.entries.len()).unwrap_or(NONE);
        let assigned = if next < self.limit {
            self.entries.push(Entry {
                mailbox,
                newer: NONE,
                older: NONE,
            });
            Assigned::New(next)
        } else if self.reuses && self.oldest != NONE {
            let oldest = self.oldest;
            self.unlink(oldest);
            let entry = &mut self.entries[oldest as usize];
            let before = std::mem::replace(&mut entry.mailbox, mailbox);
            self.by_mailbox.remove(&before);
            Assigned::Reused(oldest)
        } else {
            return None;
        };
        let (Assigned::New(id) | Assigned::Reused(id)) = assigned;
        self.by_mailbox.insert(mailbox, id);
        self.link_newest(id);
        Some(assigned)
    }

    /// How many ids were given.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether none was given.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    fn unlink(&mut self, id: u32) {
        let Entry { newer, older, .. } = self.entries[id as usize];
        match self.entries.get_mut(newer as usize) {
            Some(entry) => entry.older = older,
            None => self.newest = older,
        }
        match self.entries.get_mut(older as usize) {
            Some(entry) => entry.newer = newer,
            None => self.oldest = newer,
        }
    }

    fn link_newest(&mut self, id: u32) {
        let before = std::mem::replace(&mut self.newest, id);
        match self.entries.get_mut(before as usize) {
            Some(entry) => entry.newer = id,
            None => self.oldest = id,
        }
        let entry = &mut self.entries[id as usize];
        (entry.newer, entry.older) = (NONE, before);
    }
}

/// One multiplication: for numbers of this node's own, which nobody can make collide.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct NumberHasher(u64);

impl Hasher for NumberHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write_u64(&mut self, number: u64) {
        // 2^64 divided by the golden ratio spreads neighbours over the whole range.
        self.0 = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }

    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.write_u64(self.0 ^ u64::from(byte));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The same by the obvious means: a list, newest last.
    #[derive(Default)]
    struct Model {
        used: Vec<(u64, u32)>,
    }

    impl Model {
        fn use_id(&mut self, mailbox: u64) -> Option<u32> {
            let at = self.used.iter().position(|(held, _)| *held == mailbox)?;
            let pair = self.used.remove(at);
            self.used.push(pair);
            Some(pair.1)
        }

        fn assign(&mut self, mailbox: u64, limit: u32, reuses: bool) -> Option<Assigned> {
            let count = u32::try_from(self.used.len()).expect("few");
            let assigned = if count < limit {
                Assigned::New(count)
            } else if reuses && limit > 0 {
                Assigned::Reused(self.used.remove(0).1)
            } else {
                return None;
            };
            let (Assigned::New(id) | Assigned::Reused(id)) = assigned;
            self.used.push((mailbox, id));
            Some(assigned)
        }
    }

    proptest! {
        #[test]
        fn ids_go_to_new_mailboxes_in_the_order_of_their_last_use(
            limit in 0..6_u32,
            reuses in any::<bool>(),
            mailboxes in prop::collection::vec(0..9_u64, 0..200),
        ) {
            let (mut ids, mut model) = (MailboxIds::new(limit, reuses), Model::default());
            for mailbox in mailboxes {
                let known = ids.use_id(mailbox);
                prop_assert_eq!(known, model.use_id(mailbox));
                if known.is_none() {
                    let assigned = ids.assign(mailbox);
                    prop_assert_eq!(assigned, model.assign(mailbox, limit, reuses));
                }
                prop_assert!(ids.len() <= limit as usize);
                prop_assert_eq!(ids.by_mailbox.len(), ids.len());
            }
        }
    }

    #[test]
    fn memory_is_bounded_by_the_limit_not_by_the_mailboxes() {
        let mut ids = MailboxIds::new(16, true);
        for mailbox in 0..100_000 {
            assert_eq!(ids.use_id(mailbox), None);
            assert!(ids.assign(mailbox).is_some());
        }
        assert!(ids.entries.capacity() <= 32 && ids.by_mailbox.capacity() <= 64);
    }
}
