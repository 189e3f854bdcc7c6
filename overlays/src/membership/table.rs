//! Every member that this node knows, in 256 buckets that can be compared by their sums.
//!
//! Buckets are copied on write: a clone of a table costs 256 counters, and tables that share their
//! history share their buckets. That makes the snapshots that a driver publishes cheap, and lets one
//! simulated process hold ten thousand tables of ten thousand members. Owns the sums that
//! anti-entropy compares; knows nothing of messages or rules.

use std::sync::Arc;

use serde::Serialize;

use super::record::{Details, Status, Version};
use crate::event::Peer;

/// Buckets of a table. The sums of all of them are one message of about 1 KiB.
pub const BUCKETS: usize = 256;
/// Most members in one bucket, so that what one message lists is bounded even if somebody chooses
/// identities that fall into one bucket. At 65,536 members a bucket has 256 on average.
pub const BUCKET_MEMBERS_MAX: usize = 1_024;

/// What the table holds of one member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry<P> {
    /// Who.
    pub peer: P,
    /// The version that `status` is about.
    pub version: Version,
    /// What is believed of it.
    pub status: Status,
    /// What it said of itself last.
    pub details: Arc<Details>,
}

/// Why an entry was not stored: the table, or the entry's bucket, has no room.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the member table is full; raise members_max or use fewer nodes")]
pub struct TableFull;

#[derive(Clone, Debug)]
struct Bucket<P> {
    /// Sorted by peer.
    entries: Vec<Entry<P>>,
    /// Sum over the live entries of the hash of (peer, version).
    sum: u64,
}

/// The members that one node knows, itself included.
#[derive(Clone, Debug)]
pub struct Table<P> {
    buckets: Vec<Arc<Bucket<P>>>,
    members_max: usize,
    known: usize,
    live: usize,
    sum: u64,
}

impl<P: Peer> Table<P> {
    /// A table without members that will hold at most `members_max`, dead ones included.
    #[must_use]
    pub fn new(members_max: usize) -> Self {
        let empty = Arc::new(Bucket {
            entries: Vec::new(),
            sum: 0,
        });
        Self {
            buckets: vec![empty; BUCKETS],
            members_max,
            known: 0,
            live: 0,
            sum: 0,
        }
    }

    /// Members that are alive or suspect.
    #[must_use]
    pub const fn live(&self) -> usize {
        self.live
    }

    /// All members known, those that are down or left included.
    #[must_use]
    pub const fn known(&self) -> usize {
        self.known
    }

    /// Equal on two nodes if, but for an unlikely collision, they agree on the live members and
    /// their versions.
    #[must_use]
    pub const fn sum(&self) -> u64 {
        self.sum
    }

    /// The same for each bucket, cut to 32 bits to save bytes: where two differ the next round looks
    /// again, with other sums.
    #[must_use]
    pub fn bucket_sums(&self) -> Vec<u32> {
        let sums = self.buckets.iter().map(|bucket| fold(bucket.sum));
        sums.collect()
    }

    /// What is known of one member.
    #[must_use]
    pub fn get(&self, peer: &P) -> Option<&Entry<P>> {
        let entries = &self.buckets[usize::from(bucket_of(peer))].entries;
        let found = entries
            .binary_search_by(|entry| entry.peer.cmp(peer))
            .ok()?;
        entries.get(found)
    }

    /// Stores an entry in the place of what was known of its member.
    ///
    /// # Errors
    /// [`TableFull`] if the member was unknown and there is no room; nothing was changed.
    pub fn set(&mut self, entry: Entry<P>) -> Result<(), TableFull> {
        let shared = &mut self.buckets[usize::from(bucket_of(&entry.peer))];
        let found = shared
            .entries
            .binary_search_by(|other| other.peer.cmp(&entry.peer));
        if found.is_err()
            && (self.known >= self.members_max || shared.entries.len() >= BUCKET_MEMBERS_MAX)
        {
            return Err(TableFull);
        }
        let bucket = Arc::make_mut(shared);
        let weight = weight_of(&entry);
        let live = usize::from(entry.status.is_live());
        let (old_weight, old_live) = match found {
            Ok(at) => {
                let old = std::mem::replace(&mut bucket.entries[at], entry);
                (weight_of(&old), usize::from(old.status.is_live()))
            }
            Err(at) => {
                self.known += 1;
                bucket.entries.reserve_exact(1);
                bucket.entries.insert(at, entry);
                (0, 0)
            }
        };
        let change = weight.wrapping_sub(old_weight);
        bucket.sum = bucket.sum.wrapping_add(change);
        self.sum = self.sum.wrapping_add(change);
        self.live = self.live + live - old_live;
        Ok(())
    }

    /// Forgets a member.
    pub fn remove(&mut self, peer: &P) {
        let shared = &mut self.buckets[usize::from(bucket_of(peer))];
        let Ok(at) = shared
            .entries
            .binary_search_by(|entry| entry.peer.cmp(peer))
        else {
            return;
        };
        let bucket = Arc::make_mut(shared);
        let old = bucket.entries.remove(at);
        let weight = weight_of(&old);
        bucket.sum = bucket.sum.wrapping_sub(weight);
        self.sum = self.sum.wrapping_sub(weight);
        self.known -= 1;
        self.live -= usize::from(old.status.is_live());
    }

    /// All entries, in the order of the ring: by bucket, then by peer.
    pub fn iter(&self) -> impl Iterator<Item = &Entry<P>> {
        self.buckets.iter().flat_map(|bucket| &bucket.entries)
    }

    /// The entries of one bucket, by peer.
    #[must_use]
    pub fn bucket(&self, index: u8) -> &[Entry<P>] {
        &self.buckets[usize::from(index)].entries
    }

    /// The members that are alive, and not suspect, in the order of the ring from `peer` on.
    ///
    /// Each member follows exactly one other, so if every node watches the first that follows it,
    /// every member is watched, also one that no overlay connects to anybody.
    pub fn following(&self, peer: P) -> impl Iterator<Item = P> {
        let start = usize::from(bucket_of(&peer));
        let own = &self.buckets[start].entries;
        let (before, after) = own.split_at(own.partition_point(|entry| entry.peer <= peer));
        let other_buckets = (1..BUCKETS)
            .map(move |step| (start + step) % BUCKETS)
            .flat_map(|index| &self.buckets[index].entries);
        after
            .iter()
            .chain(other_buckets)
            .chain(before)
            .filter(move |entry| entry.status == Status::Alive && entry.peer != peer)
            .map(|entry| entry.peer)
    }

    /// A live member near a random place of the ring, from a random number of 64 bits. Close to
    /// uniform, in a time that does not grow with the table.
    #[must_use]
    pub fn near(&self, random: u64) -> Option<P> {
        let start = usize::from(random.to_le_bytes()[0]);
        let skipped = random >> 8;
        for step in 0..BUCKETS {
            let entries = &self.buckets[(start + step) % BUCKETS].entries;
            let live = || entries.iter().filter(|entry| entry.status.is_live());
            let count = u64::try_from(live().count()).unwrap_or(u64::MAX);
            if count > 0 {
                let place = usize::try_from(skipped % count).unwrap_or(0);
                return live().nth(place).map(|entry| entry.peer);
            }
        }
        None
    }
}

/// The bucket that a member belongs to: the same on every node.
#[must_use]
pub fn bucket_of<P: Peer>(peer: &P) -> u8 {
    hash_of(peer).to_le_bytes()[7]
}

fn fold(sum: u64) -> u32 {
    let [a, b, c, d, e, f, g, h] = sum.to_le_bytes();
    u32::from_le_bytes([a, b, c, d]) ^ u32::from_le_bytes([e, f, g, h])
}

/// What a member adds to the sums. Suspicion and death are not part of it: a node that forgets the
/// dead sooner than its neighbor still agrees with it, so the dead do not keep the gossip busy.
fn weight_of<P: Peer>(entry: &Entry<P>) -> u64 {
    if entry.status.is_live() {
        hash_of(&(entry.peer, entry.version))
    } else {
        0
    }
}

/// A hash that is equal on every node, whatever built it: FNV-1a over the encoding, then mixed so
/// that sums of hashes of near values do not cancel out.
pub(crate) fn hash_of<T: Serialize>(value: &T) -> u64 {
    let mut buffer = [0_u8; 96];
    let encoded: &[u8] = match postcard::to_slice(value, &mut buffer) {
        Ok(encoded) => encoded,
        // An identity of more than 80 bytes: correct all the same, with an allocation.
        Err(_) => return postcard::to_stdvec(value).map_or(0, |bytes| mix(fnv1a(&bytes))),
    };
    mix(fnv1a(encoded))
}

fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

/// The finaliser of splitmix64.
const fn mix(hash: u64) -> u64 {
    let hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    hash ^ (hash >> 31)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn entry(peer: u32, incarnation: u64, status: Status) -> Entry<u32> {
        Entry {
            peer,
            version: Version::first(incarnation),
            status,
            details: Arc::default(),
        }
    }

    fn filled(peers: impl IntoIterator<Item = u32>) -> Table<u32> {
        let mut table = Table::new(100_000);
        for peer in peers {
            table.set(entry(peer, 1, Status::Alive)).expect("room");
        }
        table
    }

    #[test]
    fn tables_with_the_same_live_members_have_the_same_sums_whatever_the_order() {
        let forward = filled(0..500);
        let mut backward = filled((0..500).rev());
        backward.set(entry(900, 7, Status::Down)).expect("room");
        assert_eq!(forward.sum(), backward.sum());
        assert_eq!(forward.bucket_sums(), backward.bucket_sums());
        assert_eq!((forward.live(), forward.known()), (500, 500));
        assert_eq!((backward.live(), backward.known()), (500, 501));
    }

    #[test]
    fn a_new_version_of_one_member_changes_the_sum_of_its_bucket_only() {
        let before = filled(0..500);
        let mut after = before.clone();
        after.set(entry(77, 2, Status::Alive)).expect("room");
        assert_ne!(before.sum(), after.sum());
        let (left, right) = (before.bucket_sums(), after.bucket_sums());
        let differing: Vec<usize> = (0..BUCKETS).filter(|at| left[*at] != right[*at]).collect();
        assert_eq!(differing, [usize::from(bucket_of(&77_u32))]);
    }

    #[test]
    fn a_clone_shares_the_buckets_that_did_not_change() {
        let before = filled(0..10_000);
        let mut after = before.clone();
        after.set(entry(77, 2, Status::Alive)).expect("room");
        let shared = before.buckets.iter().zip(&after.buckets);
        assert_eq!(
            shared
                .filter(|(left, right)| Arc::ptr_eq(left, right))
                .count(),
            BUCKETS - 1
        );
    }

    #[test]
    fn following_everybody_visits_every_live_member_once() {
        let mut table = filled(0..300);
        table.set(entry(5, 1, Status::Down)).expect("room");
        let mut visited = Vec::new();
        let mut at = 0;
        loop {
            at = table.following(at).next().expect("others live");
            visited.push(at);
            if at == 0 {
                break;
            }
        }
        visited.sort_unstable();
        let expected: Vec<u32> = (0..300).filter(|peer| *peer != 5).collect();
        assert_eq!(visited, expected);
    }

    #[test]
    fn an_entry_stays_small() {
        // A hundred million of them were the worst case of the largest simulation.
        assert!(size_of::<Entry<u32>>() <= 32);
    }

    #[test]
    fn nobody_follows_the_only_member() {
        assert_eq!(filled([3]).following(3).next(), None);
        assert_eq!(filled([]).near(12_345), None);
    }

    #[test]
    fn a_full_table_refuses_newcomers_and_still_takes_changes() {
        let mut table = Table::new(2);
        table.set(entry(1, 1, Status::Alive)).expect("room");
        table.set(entry(2, 1, Status::Alive)).expect("room");
        assert_eq!(table.set(entry(3, 1, Status::Alive)), Err(TableFull));
        assert_eq!(table.set(entry(2, 2, Status::Alive)), Ok(()));
        assert_eq!(table.known(), 2);
    }

    proptest! {
        #[test]
        fn the_table_agrees_with_a_map(
            steps in prop::collection::vec((0_u32..40, 0_u64..4, 0_u8..5), 0..200)
        ) {
            let mut table = Table::new(1_000);
            let mut model = BTreeMap::new();
            for (peer, incarnation, kind) in steps {
                let status = match kind {
                    0 => Status::Alive,
                    1 => Status::Suspect,
                    2 => Status::Down,
                    3 => Status::Left,
                    _ => {
                        table.remove(&peer);
                        model.remove(&peer);
                        continue;
                    }
                };
                table.set(entry(peer, incarnation, status)).expect("room");
                model.insert(peer, (incarnation, status));
            }
            let mut fresh = Table::new(1_000);
            for (peer, (incarnation, status)) in &model {
                fresh.set(entry(*peer, *incarnation, *status)).expect("room");
                prop_assert_eq!(table.get(peer), Some(&entry(*peer, *incarnation, *status)));
            }
            prop_assert_eq!(table.known(), model.len());
            prop_assert_eq!(table.live(), fresh.live());
            prop_assert_eq!(table.sum(), fresh.sum());
            prop_assert_eq!(table.bucket_sums(), fresh.bucket_sums());
        }
    }
}
