//! Which messages of a lane have to keep their order: those with the same tag.
//!
//! A partition key is made into a tag where a message is accepted, and goes with it through the ring. Two
//! keys may share one: then their messages keep their order without need.

/// See the module's text. 15 bits, because that is what a record of the ring has room for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct OrderTag(u16);

/// Where a tag begins in the word of a record that it shares with the high half of a mailbox's number, which
/// stays below 2^16, and a flag in the last bit.
const SHIFT: u32 = 16;

/// What of that word is the mailbox's.
const MAILBOX_MASK: u32 = (1 << SHIFT) - 1;

const TAGS: u64 = 1 << 15;

impl OrderTag {
    /// Messages without a key keep their order among themselves.
    pub(crate) const WITHOUT_KEY: Self = Self(0);
    /// The chunks and words of streams.
    pub(crate) const STREAMS: Self = Self(1);

    /// That of a destination's key.
    #[inline]
    pub(crate) fn of(key: Option<u64>) -> Self {
        let Some(key) = key else {
            return Self::WITHOUT_KEY;
        };
        // Fibonacci hashing: the lane was picked by the low bits, so the high bits of the product tell more.
        let hash = key.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32;
        let tag = 2 + hash % (TAGS - 2);
        Self(u16::try_from(tag).unwrap_or(u16::MAX))
    }

    /// Puts it into a record's word, beside the high half of a mailbox's number.
    #[inline]
    pub(crate) fn beside(self, mailbox: u32) -> u32 {
        debug_assert!(mailbox <= MAILBOX_MASK, "a node has given out 2^48 numbers");
        u32::from(self.0) << SHIFT | mailbox
    }

    /// Takes both out of it again.
    #[inline]
    pub(crate) fn split(word: u32) -> (Self, u32) {
        let tag = u64::from(word >> SHIFT) % TAGS;
        (Self(u16::try_from(tag).unwrap_or(0)), word & MAILBOX_MASK)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_and_the_half_of_a_mailbox_share_a_word_and_leave_the_last_bit() {
        for key in [None, Some(0), Some(1), Some(77), Some(u64::MAX)] {
            let tag = OrderTag::of(key);
            for mailbox in [0, 1, MAILBOX_MASK] {
                let word = tag.beside(mailbox);
                assert_eq!(word >> 31, 0);
                assert_eq!(OrderTag::split(word), (tag, mailbox));
                assert_eq!(OrderTag::split(word | 1 << 31), (tag, mailbox));
            }
            assert_eq!(tag == OrderTag::WITHOUT_KEY, key.is_none());
        }
    }

    #[test]
    fn keys_in_a_row_have_tags_of_their_own() {
        let tags = (0..100).map(|key| OrderTag::of(Some(key * 4)));
        let tags: std::collections::BTreeSet<_> = tags.collect();
        assert!(tags.len() >= 99, "{}", tags.len());
    }
}
