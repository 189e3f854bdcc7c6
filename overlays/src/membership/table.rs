//! Every member that this node knows, in 256 buckets that can be compared by their sums.
//!
//! Buckets are copied on write: a clone of a table costs 256 counters, and tables that share their
//! history share their buckets. That makes the snapshots that a driver publishes cheap, and lets one
//! simulated process hold ten thousand tables of ten thousand members. Owns the sums that
//! anti-entropy compares; knows nothing of messages or rules.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::record::{Details, Status, Version};
use crate::event::Peer;
use crate::hash::hash_of;

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

/// Why an entry was not stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the member table is full; raise members_max or use fewer nodes")]
pub enum TableFull {
    /// The table has no room.
    All,
    /// The entry's bucket has no room.
    Bucket,
}

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
    changes: u64,
    /// Members not heard of since this node slept: no part of the sums, and told to nobody.
    doubted: BTreeSet<P>,
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
            changes: 0,
            doubted: BTreeSet::new(),
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

    /// How often an entry was added, changed or removed: as long as this is the same, so is every entry.
    #[must_use]
    pub const fn changes(&self) -> u64 {
        self.changes
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

    /// Puts everybody but `me` in doubt: what the table says of them may be long out of date.
    pub fn doubt_others(&mut self, me: &P) {
        let others = self.iter().map(|entry| entry.peer);
        self.doubted = others.filter(|peer| peer != me).collect();
        self.sum = 0;
        for bucket in &mut self.buckets {
            let own = bucket.entries.iter().find(|entry| entry.peer == *me);
            let sum = own.map_or(0, weight_of);
            self.sum = self.sum.wrapping_add(sum);
            if bucket.sum != sum {
                Arc::make_mut(bucket).sum = sum;
            }
        }
    }

    /// Whether what the table says of this member may be long out of date.
    #[must_use]
    pub fn is_doubted(&self, peer: &P) -> bool {
        self.doubted.contains(peer)
    }

    /// The members in doubt.
    #[must_use]
    pub const fn doubted(&self) -> &BTreeSet<P> {
        &self.doubted
    }

    /// What is known of one member, unless it is in doubt.
    #[must_use]
    pub fn get_sure(&self, peer: &P) -> Option<&Entry<P>> {
        self.get(peer).filter(|_| !self.is_doubted(peer))
    }

    /// This member was heard of: it is in doubt no more.
    pub fn trust(&mut self, peer: &P) {
        if self.doubted.remove(peer) {
            let weight = self.get(peer).map_or(0, weight_of);
            self.sum = self.sum.wrapping_add(weight);
            let bucket = &mut self.buckets[usize::from(bucket_of(peer))];
            let bucket = Arc::make_mut(bucket);
            bucket.sum = bucket.sum.wrapping_add(weight);
        }
    }

    /// Stores an entry in the place of what was known of its member. One in doubt stays so.
    ///
    /// # Errors
    /// [`TableFull`] if the member was unknown and there is no room; nothing was changed.
    pub fn set(&mut self, entry: Entry<P>) -> Result<(), TableFull> {
        let shared = &mut self.buckets[usize::from(bucket_of(&entry.peer))];
        let found = shared
            .entries
            .binary_search_by(|other| other.peer.cmp(&entry.peer));
        if found.is_err() && self.known >= self.members_max {
            return Err(TableFull::All);
        }
        if found.is_err() && shared.entries.len() >= BUCKET_MEMBERS_MAX {
            return Err(TableFull::Bucket);
        }
        let bucket = Arc::make_mut(shared);
        let weigh = |entry: &Entry<P>| {
            if self.doubted.contains(&entry.peer) {
                0
            } else {
                weight_of(entry)
            }
        };
        let weight = weigh(&entry);
        let live = usize::from(entry.status.is_live());
        let (old_weight, old_live) = match found {
            Ok(at) => {
                let is_same = bucket.entries[at] == entry;
                self.changes += u64::from(!is_same);
                let old = std::mem::replace(&mut bucket.entries[at], entry);
                (weigh(&old), usize::from(old.status.is_live()))
            }
            Err(at) => {
                self.known += 1;
                self.changes += 1;
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
        let weight = if self.doubted.remove(peer) {
            0
        } else {
            weight_of(&old)
        };
        bucket.sum = bucket.sum.wrapping_sub(weight);
        self.sum = self.sum.wrapping_sub(weight);
        self.known -= 1;
        self.changes += 1;
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

    /// A member that is alive, and not suspect, near a random place of the ring, from a random number
    /// of 64 bits. Close to
    /// uniform, in a time that does not grow with the table.
    #[must_use]
    pub fn near(&self, random: u64) -> Option<P> {
        let start = usize::from(random.to_le_bytes()[0]);
        let skipped = random >> 8;
        for step in 0..BUCKETS {
            let entries = &self.buckets[(start + step) % BUCKETS].entries;
            let alive = || {
                let entries = entries.iter();
                entries.filter(|entry| entry.status == Status::Alive)
            };
            let count = u64::try_from(alive().count()).unwrap_or(u64::MAX);
            if count > 0 {
                let place = usize::try_from(skipped % count).unwrap_or(0);
                return alive().nth(place).map(|entry| entry.peer);
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

#[cfg(test)]
mod tests;
