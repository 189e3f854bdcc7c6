//! The keys of a state and their versions, so that any range can be compared by one number.
//!
//! Keys are ordered by a hash, so that ranges are about equally full. The whole is cut into sixteen
//! ranges, each of these into sixteen, and so on; each range that is not empty has the sum of the hashes of
//! its keys and versions, which a change updates in as many steps as there are levels: a Merkle tree whose
//! hashes are sums, so that they do not depend on the order of changes. Sums of 64 bits that are not
//! cryptographic: a node of the cluster that means ill can hide a difference, and could do worse.

use std::collections::BTreeMap;
use std::ops::Bound;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::hash::{fnv1a, mix};

/// Ranges in a range.
pub(super) const PARTS: u64 = 16;

/// Levels below the whole. 4: 65,536 ranges, of sixteen keys each in a state of a million.
pub(super) const DEPTH_MAX: u8 = 4;

/// A part of all keys: those whose hash begins with `4 * depth` bits that are `prefix`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Range {
    /// 0 is the whole.
    pub depth: u8,
    /// Less than `16^depth`.
    pub prefix: u64,
}

impl Range {
    pub(super) const WHOLE: Self = Self {
        depth: 0,
        prefix: 0,
    };

    /// The range of a depth that a hash lies in.
    const fn of(hash: u64, depth: u8) -> Self {
        let bits = 4 * depth as u32;
        let prefix = match hash.checked_shr(64 - bits) {
            Some(prefix) => prefix,
            None => 0,
        };
        Self { depth, prefix }
    }

    pub(super) fn parts(self) -> impl Iterator<Item = Self> {
        (0..PARTS).map(move |part| Self {
            depth: self.depth + 1,
            prefix: self.prefix << 4 | part,
        })
    }

    fn bounds(self) -> (Bound<Place>, Bound<Place>) {
        let width = 64 - 4 * u32::from(self.depth);
        let at = |prefix: u64| prefix.checked_shl(width).unwrap_or(0);
        let last = self.prefix + 1 == 1 << (64 - width);
        let end = if last {
            Bound::Unbounded
        } else {
            Bound::Excluded((at(self.prefix + 1), Bytes::new()))
        };
        (Bound::Included((at(self.prefix), Bytes::new())), end)
    }

    pub(super) fn has(self, key: &[u8]) -> bool {
        Self::of(place(key), self.depth) == self
    }
}

/// What is in a range.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Digest {
    /// Keys.
    pub keys: u64,
    /// Sum of the hashes of keys and versions.
    pub sum: u64,
}

/// Where a key stands among all: by its hash, and for one hash by itself.
type Place = (u64, Bytes);

/// The hash of a key.
fn place(key: &[u8]) -> u64 {
    mix(fnv1a(key))
}

/// What a key and its version add to the sums.
fn weight(place: u64, version: u64) -> u64 {
    mix(place.wrapping_add(mix(version)))
}

/// All keys.
#[derive(Debug, Default)]
pub(super) struct Index {
    versions: BTreeMap<Place, u64>,
    digests: BTreeMap<Range, Digest>,
}

impl Index {
    pub(super) fn len(&self) -> usize {
        self.versions.len()
    }

    pub(super) fn version(&self, key: &Bytes) -> Option<u64> {
        self.versions.get(&(place(key), key.clone())).copied()
    }

    pub(super) fn set(&mut self, key: Bytes, version: u64) {
        let place = place(&key);
        let before = self.versions.insert((place, key), version);
        for depth in 0..=DEPTH_MAX {
            let digest = self.digests.entry(Range::of(place, depth)).or_default();
            match before {
                Some(before) => digest.sum = digest.sum.wrapping_sub(weight(place, before)),
                None => digest.keys += 1,
            }
            digest.sum = digest.sum.wrapping_add(weight(place, version));
        }
    }

    pub(super) fn digest(&self, range: Range) -> Digest {
        self.digests.get(&range).copied().unwrap_or_default()
    }

    /// The keys of a range and their versions, in the order of their hashes.
    pub(super) fn items(&self, range: Range) -> impl Iterator<Item = (&Bytes, u64)> {
        let items = self.versions.range(range.bounds());
        items.map(|((_, key), version)| (key, *version))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(number: u32) -> Bytes {
        Bytes::copy_from_slice(&number.to_le_bytes())
    }

    #[test]
    fn sums_follow_from_what_is_there_and_not_from_how_it_came() {
        let (mut one, mut other) = (Index::default(), Index::default());
        for number in 0..1_000 {
            one.set(key(number), 1);
            one.set(key(number), u64::from(number));
            other.set(key(999 - number), u64::from(999 - number));
        }
        assert_eq!(one.digests, other.digests);
        other.set(key(5), 6);
        let differ = |range| one.digest(range) != other.digest(range);
        assert!(differ(Range::WHOLE));
        let (mut range, mut differing) = (Range::WHOLE, 0);
        while range.depth < DEPTH_MAX {
            let parts: Vec<Range> = range.parts().filter(|part| differ(*part)).collect();
            assert_eq!(parts.len(), 1);
            range = parts[0];
            differing += 1;
        }
        assert_eq!(differing, 4);
        assert!(range.has(&key(5)) && one.items(range).any(|(found, _)| *found == key(5)));
    }

    #[test]
    fn parts_have_all_of_a_range_and_nothing_twice() {
        let mut index = Index::default();
        for number in 0..2_000 {
            index.set(key(number), 7);
        }
        assert_eq!(index.items(Range::WHOLE).count(), 2_000);
        let mut ranges = vec![Range::WHOLE];
        for _ in 0..DEPTH_MAX {
            ranges = ranges.into_iter().flat_map(Range::parts).collect();
            let counts = ranges.iter().map(|range| {
                let items = index.items(*range);
                let count = items.inspect(|(key, _)| assert!(range.has(key))).count();
                assert_eq!(index.digest(*range).keys, count as u64);
                count
            });
            assert_eq!(counts.sum::<usize>(), 2_000);
        }
    }
}
