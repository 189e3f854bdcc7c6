//! The table beside a map, its sums, its ring, its bounds.

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
fn members_in_doubt_are_no_part_of_the_sums_until_they_are_heard_of_again() {
    let mut table = filled(0..500);
    table.doubt_others(&7);
    assert_eq!(table.sum(), filled([7]).sum());
    assert_eq!(table.bucket_sums(), filled([7]).bucket_sums());
    assert_eq!((table.live(), table.known()), (500, 500));
    assert_eq!(
        (table.get_sure(&8), table.get_sure(&7).is_some()),
        (None, true)
    );
    table.remove(&9);
    table.set(entry(8, 2, Status::Alive)).expect("room");
    assert!(table.is_doubted(&8), "whatever this node makes of it");
    table.set(entry(8, 1, Status::Alive)).expect("room");
    for peer in 0..500 {
        table.trust(&peer);
    }
    let fresh = filled((0..500).filter(|peer| *peer != 9));
    assert_eq!(table.sum(), fresh.sum());
    assert_eq!(table.bucket_sums(), fresh.bucket_sums());
    assert!(table.doubted().is_empty());
}

#[test]
fn near_finds_nobody_who_is_suspect_or_dead() {
    let mut table = filled([3]);
    table.set(entry(4, 1, Status::Suspect)).expect("room");
    table.set(entry(5, 1, Status::Down)).expect("room");
    assert!((0..5_000_u64).all(|random| table.near(random) == Some(3)));
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
    assert_eq!(table.set(entry(3, 1, Status::Alive)), Err(TableFull::All));
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

#[test]
fn changes_grow_when_an_entry_does_not_stay_what_it_was_and_only_then() {
    let mut table = filled(0..3);
    let mut last = table.changes();
    let mut moved = |table: &Table<u32>| {
        let now = table.changes();
        let before = std::mem::replace(&mut last, now);
        assert!(now >= before);
        now > before
    };
    table.set(entry(9, 1, Status::Alive)).expect("room");
    assert!(moved(&table), "a newcomer");
    table.set(entry(9, 1, Status::Alive)).expect("room");
    assert!(!moved(&table), "the same once more");
    table.set(entry(9, 1, Status::Suspect)).expect("room");
    assert!(moved(&table), "another status");
    table.remove(&9);
    assert!(moved(&table), "gone");
    table.remove(&9);
    assert!(!moved(&table), "nobody to forget");
}
