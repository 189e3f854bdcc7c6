//! The causes of a message on a causal channel: its own number, and which messages have to be delivered at which
//! nodes before it. An entry of a message's extension.
//!
//! Nodes stand there as numbers ([`node_number`]), as their names could be 255 bytes each. The value is checked when
//! the frame is decoded; afterwards it is read in place. What causes are good for is the channel's order
//! (`crate::causal`).

use std::collections::BTreeMap;

use crc_fast::CrcAlgorithm::Crc64Nvme;

/// The most bytes of one message's causes: about 90 messages of one life to different nodes. They leave a quarter of
/// an extension to what else stands in it.
pub const CAUSES_BYTES_MAX: usize = 1536;

const NUMBER_BYTES: usize = 8;
/// Of a group: the sender, its incarnation, how many needs follow.
const GROUP_BYTES: usize = 8 + 8 + 1;
const NEED_BYTES: usize = 8 + 8;

/// By what number a node stands in causes: the CRC-64/NVME of its name.
#[must_use]
pub fn node_number(name: &str) -> u64 {
    crc_fast::checksum(Crc64Nvme, name.as_bytes())
}

/// The first `count` messages of a sender's life to a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cause {
    /// Who sent them, by its number.
    pub sender: u64,
    /// The incarnation that sent them.
    pub incarnation: u64,
    /// To whom, by its number.
    pub to: u64,
    /// How many.
    pub count: u64,
}

/// The causes of a message. See the module's text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Causes<'a> {
    /// Which message of its sender's life to this receiver it is, counted from one.
    pub number: u64,
    value: &'a [u8],
}

impl<'a> Causes<'a> {
    /// Reads and checks a value; `None` if it is none that causes can have.
    pub(super) fn read(value: &'a [u8]) -> Option<Self> {
        let (number, groups) = take_u64(value)?;
        let mut rest = groups;
        while !rest.is_empty() {
            let needs = usize::from(*rest.get(GROUP_BYTES - 1)?);
            rest = rest.get(GROUP_BYTES + needs * NEED_BYTES..)?;
            if needs == 0 {
                return None;
            }
        }
        let is_within = number > 0 && value.len() <= CAUSES_BYTES_MAX;
        is_within.then_some(Self { number, value })
    }

    /// As they stand in the entry.
    #[must_use]
    pub const fn encoded(self) -> &'a [u8] {
        self.value
    }

    /// What has to be delivered before.
    pub fn needs(self) -> impl Iterator<Item = Cause> + use<'a> {
        let (mut rest, mut left) = (&self.value[NUMBER_BYTES..], 0_u8);
        let (mut sender, mut incarnation) = (0, 0);
        // Checked when this was read.
        std::iter::from_fn(move || {
            if left == 0 {
                (sender, rest) = take_u64(rest)?;
                (incarnation, rest) = take_u64(rest)?;
                (left, rest) = rest.split_first().map(|(left, rest)| (*left, rest))?;
            }
            let (to, after) = take_u64(rest)?;
            let (count, after) = take_u64(after)?;
            (rest, left) = (after, left - 1);
            Some(Cause {
                sender,
                incarnation,
                to,
                count,
            })
        })
    }
}

/// Causes in their encoding; `None` if they are too many for one message.
#[must_use]
pub fn encode_causes(number: u64, needs: impl IntoIterator<Item = Cause>) -> Option<Vec<u8>> {
    let mut groups: BTreeMap<(u64, u64), Vec<(u64, u64)>> = BTreeMap::new();
    for need in needs {
        let group = groups.entry((need.sender, need.incarnation)).or_default();
        group.push((need.to, need.count));
    }
    let mut value = Vec::with_capacity(NUMBER_BYTES + groups.len() * (GROUP_BYTES + NEED_BYTES));
    value.extend_from_slice(&number.to_le_bytes());
    for ((sender, incarnation), needs) in groups {
        for needs in needs.chunks(usize::from(u8::MAX)) {
            value.extend_from_slice(&sender.to_le_bytes());
            value.extend_from_slice(&incarnation.to_le_bytes());
            value.push(u8::try_from(needs.len()).unwrap_or(u8::MAX));
            for (to, count) in needs {
                value.extend_from_slice(&to.to_le_bytes());
                value.extend_from_slice(&count.to_le_bytes());
            }
        }
    }
    (value.len() <= CAUSES_BYTES_MAX).then_some(value)
}

/// What nodes tell each other of messages outside of messages: the first `count` of a sender's life to a node, which is
/// the one that says so, or, of its own messages, the one it is said to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Told {
    /// Who sent them, by its number.
    pub sender: u64,
    /// The incarnation that sent them.
    pub incarnation: u64,
    /// How many.
    pub count: u64,
}

const TOLD_BYTES: usize = 24;

/// The most that one frame tells: its body stays within what an optional frame may have.
pub const TOLD_MAX: usize = 170;

/// Whether a body of so many bytes is a list of [`Told`].
pub(super) const fn is_told(body_bytes: u32) -> bool {
    let bytes = body_bytes as usize;
    bytes > 0 && bytes.is_multiple_of(TOLD_BYTES) && bytes <= TOLD_BYTES * TOLD_MAX
}

impl Told {
    /// Reads the body of a frame that says so.
    pub fn read(body: &[u8]) -> impl Iterator<Item = Self> {
        body.chunks_exact(TOLD_BYTES).filter_map(|told| {
            let (sender, rest) = take_u64(told)?;
            let (incarnation, rest) = take_u64(rest)?;
            let (count, _) = take_u64(rest)?;
            Some(Self {
                sender,
                incarnation,
                count,
            })
        })
    }

    /// The body of a frame that says so; what is beyond [`TOLD_MAX`] is left out.
    #[must_use]
    pub fn body(told: impl IntoIterator<Item = Self>) -> Vec<u8> {
        let told = told.into_iter().take(TOLD_MAX);
        let words = told.flat_map(|told| [told.sender, told.incarnation, told.count]);
        words.flat_map(u64::to_le_bytes).collect()
    }
}

fn take_u64(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let (value, rest) = bytes.split_first_chunk()?;
    Some((u64::from_le_bytes(*value), rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cause(sender: u64, to: u64, count: u64) -> Cause {
        let incarnation = sender * 10;
        Cause {
            sender,
            incarnation,
            to,
            count,
        }
    }

    #[test]
    fn what_is_written_is_read() {
        let needs = [cause(1, 5, 7), cause(1, 6, 8), cause(2, 5, 9)];
        let value = encode_causes(3, needs).expect("they fit");
        let read = Causes::read(&value).expect("it was written so");
        assert_eq!(read.number, 3);
        assert_eq!(read.needs().collect::<Vec<_>>(), needs);
    }

    #[test]
    fn more_needs_than_a_group_has_are_two_groups_or_too_many() {
        let many = |count| (0..count).map(|to| cause(1, to, 1));
        let fits = (CAUSES_BYTES_MAX - NUMBER_BYTES - GROUP_BYTES) / NEED_BYTES;
        let fits = u64::try_from(fits).expect("it is small");
        let value = encode_causes(1, many(fits)).expect("they fit");
        let read = Causes::read(&value).expect("it was written so");
        assert!(read.needs().eq(many(fits)));
        assert_eq!(encode_causes(1, many(fits + 1)), None);
    }

    #[test]
    fn what_is_told_is_read_and_no_more_than_a_frame_has() {
        let told = |count| Told {
            sender: 1,
            incarnation: 2,
            count,
        };
        let body = Told::body((0..200).map(told));
        assert!(Told::read(&body).eq((0..170).map(told)));
        assert!(is_told(24) && is_told(24 * 170));
        assert!(![0, 8, 25, 24 * 171].into_iter().any(is_told));
    }

    #[test]
    fn no_other_value_is_read() {
        let value = encode_causes(3, [cause(1, 5, 7), cause(2, 5, 9)]).expect("they fit");
        for end in 0..value.len() {
            let is_group = end == 8 || end == 8 + GROUP_BYTES + NEED_BYTES;
            assert_eq!(Causes::read(&value[..end]).is_some(), is_group, "{end}");
        }
        let none = encode_causes(0, []).expect("it fits");
        assert_eq!(Causes::read(&none), None, "messages are counted from one");
        let mut empty = encode_causes(1, []).expect("it fits");
        empty.extend_from_slice(&[0; GROUP_BYTES]);
        assert_eq!(Causes::read(&empty), None, "a group has needs");
        let long = [1; CAUSES_BYTES_MAX + 1];
        assert_eq!(Causes::read(&long), None);
    }
}
