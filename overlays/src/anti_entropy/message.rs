//! Messages of anti-entropy, and their bounds.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::index::{DEPTH_MAX, Digest, Range};
use crate::message::{self, DecodeError};

/// Most bytes of a key.
pub const KEY_BYTES_MAX: usize = 256;

/// Most bytes of a value. 64 KiB: a guess; what is larger belongs into a store of its own, and its name
/// or its hash here.
pub const VALUE_BYTES_MAX: usize = 64 * 1024;

/// Most ranges compared in one message: what becomes of sixteen that differ.
pub const RANGES_MAX: usize = 256;

/// Most keys listed or asked for in one message. 64: a guess; fewer mean more messages, more that keys
/// are listed which are the same.
pub const KEYS_MAX: usize = 64;

/// Values are gathered into one message until they have so many bytes.
pub const VALUES_BYTES: usize = 16 * 1024;

/// A key and its version.
pub type Item = (Bytes, u64);

/// A key, its version and its value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// At most [`KEY_BYTES_MAX`] bytes.
    pub key: Bytes,
    /// The greater one is the newer one.
    pub version: u64,
    /// At most [`VALUE_BYTES_MAX`] bytes.
    pub value: Bytes,
}

/// What two nodes say to each other about their states.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Message {
    /// What I have in these ranges.
    Compare(Vec<(Range, Digest)>),
    /// The keys that I have in a range that differs.
    Items {
        /// The range.
        range: Range,
        /// These are all of it.
        complete: bool,
        /// Keys and versions.
        items: Vec<Item>,
    },
    /// Send these keys.
    Want(Vec<Bytes>),
    /// Newer than what you have.
    Values(Vec<Entry>),
}

impl message::Message for Message {
    /// One value of the largest size, after others that had nearly filled the message.
    const BYTES_MAX: usize = 3 + VALUES_BYTES + 2 + KEY_BYTES_MAX + 10 + 3 + VALUE_BYTES_MAX;

    fn validate(&self) -> Result<(), DecodeError> {
        let check_key = |key: &Bytes| message::at_most(key, KEY_BYTES_MAX, "key");
        match self {
            Self::Compare(ranges) => {
                message::at_most(ranges, RANGES_MAX, "ranges")?;
                ranges.iter().try_for_each(|(range, _)| check(*range))
            }
            Self::Items { range, items, .. } => {
                check(*range)?;
                message::at_most(items, KEYS_MAX, "items")?;
                items.iter().try_for_each(|(key, _)| check_key(key))
            }
            Self::Want(keys) => {
                message::at_most(keys, KEYS_MAX, "keys")?;
                keys.iter().try_for_each(check_key)
            }
            Self::Values(entries) => entries.iter().try_for_each(|entry| {
                check_key(&entry.key)?;
                message::at_most(&entry.value, VALUE_BYTES_MAX, "value")
            }),
        }
    }
}

const fn check(range: Range) -> Result<(), DecodeError> {
    if range.depth <= DEPTH_MAX && range.prefix >> (4 * range.depth as u32) == 0 {
        Ok(())
    } else {
        Err(DecodeError::Invalid { field: "range" })
    }
}
