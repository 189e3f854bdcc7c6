//! What each statement makes of the table, of one node, and what two nodes make of each other's tables.

use std::sync::Arc;
use std::time::Duration;

use super::node::{Node, SECOND, alive, claim, compare, details, version};
use crate::event::{Command, Event, Input};
use crate::failure_detector as detector;
use crate::membership::message::{LISTED_GOAL, LISTED_MAX, STATEMENTS_MAX, WANTED_MAX};
use crate::membership::{
    ADDRESSES_MAX, BUCKETS, Claim, Config, Details, Listed, METADATA_BYTES_MAX, Message,
    NAME_BYTES_MAX, Statement, Status, ZONE_BYTES_MAX, bucket_of,
};
use crate::message::{self, encode};

#[test]
fn only_a_newer_version_revives_the_dead() {
    let ends = [
        (Claim::Down, Status::Down),
        (Claim::Left, Status::Left),
        (Claim::Suspect { by: 8 }, Status::Suspect),
    ];
    for (end, status) in ends {
        let mut node = Node::new(3);
        node.told(alive(7, version(1, 2)));
        node.told(claim(7, version(1, 2), Claim::Suspect { by: 9 }));
        node.told(claim(7, version(1, 2), end));
        node.events();
        for old in [version(1, 2), version(1, 1), version(0, 9)] {
            node.told(alive(7, old));
            node.supplied(alive(7, old));
            assert_eq!(node.belief(7), Some((version(1, 2), status)));
        }
        assert_eq!(node.events(), []);
        node.told(alive(7, version(1, 3)));
        assert_eq!(node.belief(7), Some((version(1, 3), Status::Alive)));
        assert_eq!(node.events(), [Event::MemberUp(7)]);
    }
}

#[test]
fn a_death_told_before_any_accusation_can_be_refuted_for_the_shortest_grace() {
    let shortest = Config::default().grace_least;
    for refutes in [false, true] {
        let mut node = Node::new(3);
        node.told(alive(7, version(1, 2)));
        node.events();
        let death = || claim(7, version(1, 2), Claim::Down);
        node.told(death());
        node.run(shortest - SECOND);
        node.told(death());
        assert_eq!(node.events(), [Event::MemberSuspect(7)]);
        if refutes {
            node.told(alive(7, version(1, 3)));
            assert_eq!(node.events(), [Event::MemberUp(7)]);
        }
        node.run(2 * SECOND);
        let (events, end) = if refutes {
            (vec![], (version(1, 3), Status::Alive))
        } else {
            let told = Event::MemberDown(7);
            (vec![told], (version(1, 2), Status::Down))
        };
        assert_eq!(node.events(), events);
        assert_eq!(node.belief(7), Some(end));
        assert_eq!(node.news, [], "it has nothing to tell of it");
    }
}

#[test]
fn a_goodbye_is_final_for_its_version_and_told_once() {
    let mut node = Node::new(3);
    node.told(alive(7, version(1, 0)));
    node.told(claim(7, version(1, 1), Claim::Left));
    node.told(claim(7, version(1, 1), Claim::Left));
    node.told(claim(7, version(1, 1), Claim::Down));
    node.told(claim(7, version(1, 1), Claim::Suspect { by: 8 }));
    assert_eq!(node.belief(7), Some((version(1, 1), Status::Left)));
    assert_eq!(node.events(), [Event::MemberUp(7), Event::MemberLeft(7)]);
    node.told(alive(8, version(1, 5)));
    node.told(claim(8, version(1, 4), Claim::Left));
    node.told(claim(8, version(1, 4), Claim::Down));
    assert_eq!(
        node.belief(8),
        Some((version(1, 5), Status::Alive)),
        "of before"
    );
}

#[test]
fn its_own_goodbye_is_newer_than_all_it_said() {
    let mut node = Node::new(3);
    node.input(Input::Command(Command::Leave));
    assert_eq!(node.news, [claim(3, version(1, 1), Claim::Left)]);
    node.received(9, Message::Accused(version(1, 1)));
    assert_eq!(node.sent, [], "who has left is silent");
}

#[test]
fn a_goodbye_and_a_death_travel_by_exchange_the_one_as_such_the_other_as_a_suspicion() {
    for dead_begins in [false, true] {
        let (mut one, mut other) = (Node::new(1), Node::new(2));
        for node in [&mut one, &mut other] {
            for about in [7, 8, 9] {
                node.told(alive(about, version(1, 0)));
            }
        }
        one.told(claim(7, version(1, 1), Claim::Left));
        one.told_dead(8, version(1, 0));
        one.told(claim(9, version(1, 2), Claim::Down));
        if dead_begins {
            compare(&mut one, &mut other);
        } else {
            compare(&mut other, &mut one);
        }
        assert_eq!(other.belief(7), Some((version(1, 1), Status::Left)));
        assert_eq!(other.belief(8), Some((version(1, 0), Status::Suspect)));
        let suspicion = claim(8, version(1, 0), Claim::Suspect { by: 2 });
        assert!(other.news.contains(&suspicion), "{:?}", other.news);
        assert_eq!(
            other.belief(9),
            Some((version(1, 2), Status::Down)),
            "it refuted nothing of what is known here"
        );
    }
}

#[test]
fn one_exchange_makes_large_tables_equal_in_bounded_messages() {
    let (mut one, mut other) = (Node::new(1), Node::new(2));
    for about in 10..2_000 {
        one.told(alive(about, version(1, about % 2)));
        if about % 3 > 0 {
            other.told(alive(about, version(1, about % 5)));
        }
    }
    one.membership.exchange = None;
    one.sent.clear();
    other.sent.clear();
    one.input(Input::Below(Event::NeighborUp(2)));
    let mut listings = 0;
    for _ in 0..200 {
        let (from_one, from_other) = (
            std::mem::take(&mut one.sent),
            std::mem::take(&mut other.sent),
        );
        for (_, message) in from_one.iter().chain(&from_other) {
            if let Message::Listing { members, .. } = message {
                listings += 1;
                assert!(members.len() <= LISTED_GOAL, "{} members", members.len());
            }
        }
        for (_, message) in from_one {
            other.received(1, message);
        }
        for (_, message) in from_other {
            one.received(2, message);
        }
    }
    assert!(listings > 2_000 / LISTED_GOAL, "{listings} listings");
    assert_eq!(one.membership.table().sum(), other.membership.table().sum());
    assert_eq!(other.membership.table().live(), 1_992);
}

#[test]
fn the_dead_that_a_node_does_not_know_stay_unknown() {
    let (mut one, mut other) = (Node::new(1), Node::new(2));
    one.told(alive(7, version(1, 0)));
    one.told_dead(7, version(1, 0));
    one.told(alive(8, version(1, 0)));
    one.told(claim(8, version(1, 0), Claim::Left));
    compare(&mut other, &mut one);
    compare(&mut one, &mut other);
    assert_eq!((other.belief(7), other.belief(8)), (None, None));
    other.told(claim(9, version(1, 0), Claim::Down));
    assert_eq!(other.belief(9), None);
}

#[test]
fn an_exchange_brings_a_change_of_metadata_in_either_direction() {
    for changed_begins in [false, true] {
        let (mut one, mut other) = (Node::new(1), Node::new(2));
        compare(&mut one, &mut other);
        assert_eq!(other.belief(1), Some((version(1, 0), Status::Alive)));
        other.events();
        let metadata = Command::SetMetadata(b"zone=a".as_slice().into());
        one.input(Input::Command(metadata));
        if changed_begins {
            compare(&mut one, &mut other);
        } else {
            compare(&mut other, &mut one);
        }
        let entry = other.membership.table().get(&1).expect("known");
        assert_eq!(entry.version, version(1, 1));
        assert_eq!(entry.details.metadata, b"zone=a");
        assert!(other.events().contains(&Event::MemberChanged(1)));
        assert_eq!(
            one.membership.table().sum(),
            other.membership.table().sum(),
            "nothing differs any more"
        );
    }
}

#[test]
fn a_change_of_a_third_member_passes_from_table_to_table() {
    let (mut one, mut other) = (Node::new(1), Node::new(2));
    for node in [&mut one, &mut other] {
        node.told(alive(7, version(1, 0)));
    }
    let changed = Statement {
        claim: Claim::Alive(details(b"new")),
        ..alive(7, version(1, 1))
    };
    one.told(changed);
    compare(&mut other, &mut one);
    let entry = other.membership.table().get(&7).expect("known");
    assert_eq!(entry.details.metadata, b"new");
    assert_eq!(entry.version, version(1, 1));
}

#[test]
fn a_newer_life_ends_the_one_before_for_the_application() {
    let mut node = Node::new(3);
    node.told(alive(7, version(1, 5)));
    node.events();
    node.told(alive(7, version(2, 0)));
    assert_eq!(node.events(), [Event::MemberDown(7), Event::MemberUp(7)]);
    node.told_dead(7, version(2, 0));
    node.told(alive(7, version(3, 0)));
    let events = node.events();
    let suspected = Event::MemberSuspect(7);
    assert_eq!(
        events,
        [suspected, Event::MemberDown(7), Event::MemberUp(7)]
    );
}

/// A node with four neighbors that answer, of which one falls silent.
fn with_a_silent_neighbor() -> Node {
    let mut node = Node::new(3);
    for peer in [4, 5, 6, 7] {
        node.told(alive(peer, version(1, 0)));
        node.input(Input::Below(Event::NeighborUp(peer)));
    }
    node.events();
    node.news.clear();
    node
}

/// Runs, while everybody but 7 answers at once, and nobody hears 7. Ends with the span, or when `done`. Whom the
/// node probed meanwhile.
fn run_with_silence(node: &mut Node, span: Duration, done: impl Fn(&Node) -> bool) -> Vec<u32> {
    let mut probed = Vec::new();
    let end = node.now + span;
    while node.now < end && !done(node) {
        node.run(SECOND / 10);
        for (to, message) in std::mem::take(&mut node.sent) {
            let answer = match message {
                Message::Probe(detector::Message::Ping(number)) => {
                    // Number zero only asks the dead whether they are back.
                    probed.extend(Some(to).filter(|_| number != 0));
                    detector::Message::Ack(number)
                }
                Message::Probe(detector::Message::PingFor { number, target: 7 }) => {
                    detector::Message::Silent(number)
                }
                _ => continue,
            };
            if to != 7 {
                node.received(to, Message::Probe(answer));
            }
        }
    }
    probed
}

#[test]
fn a_suspect_that_nobody_buries_is_down_after_twice_the_longest_grace() {
    let mut node = with_a_silent_neighbor();
    for about in 10..30 {
        node.told(alive(about, version(1, 0)));
    }
    // One that this node has no reason to probe.
    let others: Vec<u32> = node.membership.table().following(3).collect();
    let far = others.into_iter().skip(6).find(|peer| *peer >= 10);
    let far = far.expect("many are no neighbors");
    node.input(Input::Below(Event::NeighborDown(7)));
    node.told(claim(7, version(1, 0), Claim::Left));
    node.told(claim(far, version(1, 0), Claim::Suspect { by: 5 }));
    node.events();
    run_with_silence(&mut node, 23 * SECOND, |_| false);
    assert_eq!(node.events(), []);
    run_with_silence(&mut node, 2 * SECOND, |_| false);
    assert_eq!(node.events(), [Event::MemberDown(far)]);
    assert_eq!(node.news, [], "its accuser tells it, not who heard of it");
}

#[test]
fn who_does_not_answer_is_suspected_told_so_and_down_when_its_grace_is_over() {
    let mut node = with_a_silent_neighbor();
    run_with_silence(&mut node, 30 * SECOND, |node| !node.news.is_empty());
    let suspected = node.now;
    let suspicion = claim(7, version(1, 0), Claim::Suspect { by: 3 });
    assert!(node.news.contains(&suspicion), "{:?}", node.news);
    node.news.clear();
    run_with_silence(&mut node, 30 * SECOND, |node| {
        node.belief(7) == Some((version(1, 0), Status::Down))
    });
    let grace = node.now.since(suspected);
    assert!(grace >= 4 * SECOND, "{grace:?}");
    assert!(grace < 8 * SECOND, "its own probes confirm it: {grace:?}");
    assert_eq!(node.news, [claim(7, version(1, 0), Claim::Down)]);
    assert_eq!(node.membership.counters().accusations, 1);
    let told = [Event::MemberSuspect(7), Event::MemberDown(7)];
    assert_eq!(node.events(), told);
}

#[test]
fn a_suspect_that_its_accuser_hears_is_not_buried() {
    let mut node = with_a_silent_neighbor();
    run_with_silence(&mut node, 30 * SECOND, |node| !node.news.is_empty());
    for _ in 0..20 {
        run_with_silence(&mut node, SECOND, |_| false);
        node.sent.clear();
        node.received(7, Message::Probe(detector::Message::Ping(1)));
        let accused = (7, Message::Accused(version(1, 0)));
        assert!(node.sent.contains(&accused), "it is told again");
    }
    assert_eq!(node.belief(7), Some((version(1, 0), Status::Suspect)));
    assert_eq!(
        node.news.len(),
        1,
        "one suspicion, however often it is confirmed"
    );
}

#[test]
fn each_refutation_makes_the_next_accusation_wait_longer() {
    let mut node = with_a_silent_neighbor();
    let mut waits = Vec::new();
    for revision in 1..=5 {
        let begun = node.now;
        run_with_silence(&mut node, 200 * SECOND, |node| !node.news.is_empty());
        waits.push(node.now.since(begun));
        node.news.clear();
        node.told(alive(7, version(1, revision)));
    }
    assert!(node.membership.counters().held_back > 0);
    assert_eq!(node.membership.counters().accusations, 5);
    for (wait, least) in waits[1..].iter().zip([4, 8, 16, 32]) {
        assert!(*wait >= least * SECOND, "{waits:?}");
    }
    node.told(alive(7, version(2, 0)));
    let begun = node.now;
    run_with_silence(&mut node, 200 * SECOND, |node| !node.news.is_empty());
    let wait = node.now.since(begun);
    assert!(wait < 30 * SECOND, "another life has no record: {wait:?}");
}

#[test]
fn a_full_table_forgets_those_dead_for_longest_for_a_newcomer() {
    let config = Config {
        members_max: 4,
        ..Config::default()
    };
    let mut node = Node::with(3, config);
    for about in [4, 5, 6] {
        node.told(alive(about, version(1, 0)));
    }
    node.told(alive(7, version(1, 0)));
    assert_eq!(node.belief(7), None, "the living keep their place");
    assert_eq!(node.membership.counters().refused, 1);
    node.told_dead(5, version(1, 0));
    node.run(SECOND);
    node.told(claim(6, version(1, 0), Claim::Left));
    node.events();
    node.told(alive(7, version(1, 0)));
    assert_eq!(node.belief(5), None);
    assert_eq!(node.belief(6), Some((version(1, 0), Status::Left)));
    node.told(alive(8, version(1, 0)));
    assert_eq!(node.events(), [Event::MemberUp(7), Event::MemberUp(8)]);
    assert_eq!(node.membership.table().known(), 4);
    assert_eq!(node.membership.check(), Ok(()), "full is not too full");
}

#[test]
fn who_slept_buries_nobody_whose_grace_ended_meanwhile() {
    let mut node = with_a_silent_neighbor();
    run_with_silence(&mut node, 30 * SECOND, |node| !node.news.is_empty());
    node.told(claim(6, version(1, 0), Claim::Suspect { by: 5 }));
    node.sleep(120 * SECOND);
    node.events();
    run_with_silence(&mut node, 10 * SECOND, |_| false);
    assert_eq!(node.events(), []);
    assert_eq!(node.membership.counters().sleeps, 1);
    assert!(node.membership.patience() > 1, "it trusts itself least");
    node.told(alive(6, version(1, 1)));
    node.told(alive(7, version(1, 1)));
    assert_eq!(node.events(), [Event::MemberUp(6), Event::MemberUp(7)]);
}

#[test]
fn after_a_long_sleep_a_node_tells_nobody_of_members_it_has_not_heard_of_since() {
    let mut node = with_a_silent_neighbor();
    let mut other = Node::new(20);
    node.sleep(400 * SECOND);
    node.run(SECOND / 100);
    assert_eq!(node.events(), [], "nobody is down for it");
    assert_eq!(node.membership.table().live(), 5);
    compare(&mut other, &mut node);
    assert_eq!((other.belief(4), other.belief(7)), (None, None));
    assert_eq!(other.belief(3), Some((version(1, 0), Status::Alive)));
    // One speaks, one is spoken of, one has died meanwhile and been forgotten, one changed.
    node.received(4, Message::Probe(detector::Message::Ping(1)));
    node.supplied(alive(5, version(1, 0)));
    let changed = Statement {
        claim: Claim::Alive(details(b"new")),
        ..alive(6, version(1, 3))
    };
    node.supplied(changed);
    node.events();
    compare(&mut node, &mut other);
    for about in [4, 5, 6] {
        assert!(other.belief(about).is_some(), "{about} is told of");
    }
    assert_eq!(other.belief(7), None);
    node.events();
    run_with_silence(&mut node, 50 * SECOND, |_| false);
    assert!(node.belief(7).is_some(), "there is time to hear of it");
    run_with_silence(&mut node, 15 * SECOND, |_| false);
    assert_eq!(node.belief(7), None);
    let downs = node.events();
    assert!(downs.contains(&Event::MemberDown(7)));
    assert!(
        !downs
            .iter()
            .any(|event| matches!(event, Event::MemberDown(4..=6)))
    );
}

#[test]
fn a_dead_member_that_answers_is_told_and_the_overlay_joins_it() {
    let mut node = Node::new(3);
    node.told(alive(7, version(1, 0)));
    node.told_dead(7, version(1, 0));
    node.received(7, Message::Probe(detector::Message::Ack(0)));
    assert_eq!(node.sent, [(7, Message::Accused(version(1, 0)))]);
    assert_eq!(node.joins, [7]);
    node.received(7, Message::Probe(detector::Message::Ping(0)));
    assert_eq!(node.joins, [7], "a ping alone may come from anybody");
}

/// Whom the next probes go to.
fn next_pings(node: &mut Node, span: Duration) -> Vec<u32> {
    node.sent.clear();
    node.run(span);
    let pings = node.sent.iter().filter_map(|(to, message)| match message {
        Message::Probe(detector::Message::Ping(_)) => Some(*to),
        _ => None,
    });
    pings.collect()
}

#[test]
fn those_whom_a_suspect_follows_look_for_themselves_and_nobody_else() {
    let node = || {
        let mut node = with_a_silent_neighbor();
        for about in 10..40 {
            node.told(alive(about, version(1, 0)));
        }
        node
    };
    let following: Vec<u32> = node().membership.table().following(3).collect();
    let stranger = |range: std::ops::Range<usize>| {
        let mut found = following[range].iter().filter(|peer| **peer >= 10);
        *found.next().expect("most are no neighbors")
    };
    let (near, far) = (stranger(1..4), stranger(5..30));
    for (suspect, looks) in [(near, true), (far, false)] {
        let mut node = node();
        node.told(claim(suspect, version(1, 0), Claim::Suspect { by: 5 }));
        let pinged = next_pings(&mut node, SECOND);
        assert_eq!(pinged.contains(&suspect), looks, "{pinged:?}");
    }
    let mut node = node();
    node.told(claim(near, version(1, 0), Claim::Suspect { by: 5 }));
    run_with_silence(&mut node, 3 * SECOND, |_| false);
    node.told(alive(near, version(1, 1)));
    node.told(claim(near, version(1, 1), Claim::Suspect { by: 5 }));
    let pinged = next_pings(&mut node, SECOND);
    assert!(
        !pinged.contains(&near),
        "one that refuted just now: {pinged:?}"
    );
}

#[test]
fn an_exchange_ends_with_its_own_lane_only() {
    for (lost, goes_on) in [(4, true), (20, false)] {
        let mut node = with_a_silent_neighbor();
        node.membership.exchange = None;
        node.input(Input::Below(Event::NeighborUp(20)));
        let sums = Message::Buckets {
            sums: vec![1; BUCKETS],
            members: 5_000,
        };
        node.received(20, sums);
        node.input(Input::Below(Event::NeighborDown(lost)));
        node.sent.clear();
        let answer = Message::Answer {
            statements: Vec::new(),
            wanted: Vec::new(),
            more: false,
        };
        node.received(20, answer);
        let listed = node
            .sent
            .iter()
            .any(|(to, message)| *to == 20 && matches!(message, Message::Listing { .. }));
        assert_eq!(listed, goes_on, "after the lane to {lost} was lost");
    }
}

#[test]
fn a_node_speaks_of_itself_twice_a_period_at_most_and_not_more_rarely() {
    let mut node = with_a_silent_neighbor();
    node.run(2 * SECOND);
    node.news.clear();
    for (after_ms, told) in [(0, 1), (100, 1), (350, 1), (100, 2)] {
        node.run(Duration::from_millis(after_ms));
        let metadata = Command::SetMetadata(after_ms.to_string().into_bytes().into());
        node.input(Input::Command(metadata));
        let own = node.news.iter().filter(|statement| statement.about == 3);
        assert_eq!(own.count(), told, "{after_ms} ms later");
    }
}

#[test]
fn the_longest_message_fits_its_bound_closely() {
    let details = Details {
        name: "n".repeat(NAME_BYTES_MAX),
        addresses: vec!["[ffff::ffff]:65535".parse().expect("address"); ADDRESSES_MAX],
        metadata: vec![255; METADATA_BYTES_MAX],
        zone: "z".repeat(ZONE_BYTES_MAX),
        ..Details::default()
    };
    let last = version(u64::MAX, u32::MAX);
    let statement = Statement {
        about: u64::MAX,
        version: last,
        claim: Claim::Alive(Arc::new(details)),
    };
    let answer = Message::Answer {
        statements: vec![statement; STATEMENTS_MAX],
        wanted: vec![u64::MAX; WANTED_MAX],
        more: true,
    };
    let listed = Listed {
        peer: u64::MAX,
        version: last,
        status: Status::Left,
    };
    let listing = Message::Listing {
        buckets: vec![255; BUCKETS],
        members: vec![listed; LISTED_MAX],
    };
    let longest = encode(&answer).len().max(encode(&listing).len());
    let bound = <Message<u64> as message::Message>::BYTES_MAX;
    assert!(longest <= bound, "{longest} bytes, {bound} allowed");
    // A peer may make us take no more than it can use: the slack is that of lengths and addresses.
    assert!(
        bound <= longest + longest / 20,
        "{longest} bytes, {bound} allowed"
    );
}

#[test]
fn what_says_nothing_new_of_a_node_is_not_refuted() {
    let mut node = Node::new(3);
    let metadata = Command::SetMetadata(b"x".to_vec().into());
    node.input(Input::Command(metadata));
    let own = Some((version(1, 1), Status::Alive));
    // Its own words come back, and what others said of it before them.
    node.told(alive(3, version(1, 1)));
    node.told(claim(3, version(1, 0), Claim::Suspect { by: 8 }));
    node.told(claim(3, version(1, 0), Claim::Down));
    node.supplied(claim(3, version(0, 9), Claim::Left));
    assert_eq!(node.belief(3), own);
    assert_eq!(node.membership.counters().refutations, 0);
    node.told(claim(3, version(1, 1), Claim::Suspect { by: 8 }));
    assert_eq!(node.belief(3), Some((version(1, 2), Status::Alive)));
    assert_eq!(node.membership.counters().refutations, 1);
}

#[test]
fn a_listing_tells_of_deaths_but_of_none_in_an_earlier_version() {
    let cases = [
        (version(1, 1), Status::Left, (version(1, 1), Status::Left)),
        (version(1, 2), Status::Down, (version(1, 2), Status::Down)),
        (
            version(1, 1),
            Status::Down,
            (version(1, 1), Status::Suspect),
        ),
        (version(1, 0), Status::Down, (version(1, 1), Status::Alive)),
        (version(1, 0), Status::Left, (version(1, 1), Status::Alive)),
    ];
    for (version_listed, status, believed) in cases {
        let mut node = Node::new(3);
        node.told(alive(7, version(1, 1)));
        let listed = Listed {
            peer: 7,
            version: version_listed,
            status,
        };
        let listing = Message::Listing {
            buckets: vec![bucket_of(&7_u32)],
            members: vec![listed],
        };
        node.received(9, listing);
        assert_eq!(node.belief(7), Some(believed), "{listed:?}");
    }
}

#[test]
fn who_knows_little_lists_few_buckets_to_a_peer_that_knows_much() {
    let mut node = Node::new(3);
    node.input(Input::Below(Event::NeighborUp(9)));
    // A quarter of what one listing is to bring comes from each bucket.
    let members = LISTED_GOAL / 4 * BUCKETS;
    let sums = Message::Buckets {
        sums: vec![1; BUCKETS],
        members: u32::try_from(members).expect("few"),
    };
    node.received(9, sums);
    let listed = node.sent.iter().find_map(|(_, message)| match message {
        Message::Listing { buckets, .. } => Some(buckets.clone()),
        _ => None,
    });
    assert_eq!(listed, Some(vec![0, 1, 2, 3]));
}

#[test]
fn who_has_left_is_not_probed_though_it_is_still_a_neighbor() {
    let mut node = with_a_silent_neighbor();
    let probed = run_with_silence(&mut node, 10 * SECOND, |_| false);
    assert!(probed.contains(&7));
    let mut node = with_a_silent_neighbor();
    node.told(claim(7, version(1, 1), Claim::Left));
    let probed = run_with_silence(&mut node, 60 * SECOND, |_| false);
    assert!(!probed.is_empty() && !probed.contains(&7), "{probed:?}");
}

#[test]
fn who_refuted_a_death_gets_more_time_from_then_on_and_nobody_else() {
    let mut node = with_a_silent_neighbor();
    // One only changed, one restarted, one refuted.
    let changed = Statement {
        claim: Claim::Alive(details(b"new")),
        ..alive(4, version(1, 1))
    };
    node.told(changed);
    for about in [5, 6] {
        node.told_dead(about, version(1, 0));
    }
    node.told(alive(5, version(2, 0)));
    node.told(alive(6, version(1, 1)));
    let patience = [4, 5, 6].map(|peer| node.membership.detector.patience_with(&peer));
    assert_eq!(patience, [1, 1, 2]);
}

#[test]
fn one_of_two_that_misses_the_beacon_of_the_other_joins_it() {
    // The one whose turn it is to send beacons.
    let other = (8..100).find(|other| {
        let mut node = Node::new(3);
        node.told(alive(*other, version(1, 0)));
        let first = node.membership.table().iter().next();
        first.is_some_and(|first| first.peer == *other)
    });
    let other = other.expect("one of them is before this node");
    let mut node = Node::new(3);
    node.told(alive(other, version(1, 0)));
    run_with_silence(&mut node, 15 * SECOND, |_| false);
    assert_eq!(node.joins, [], "some may be lost");
    run_with_silence(&mut node, 200 * SECOND, |node| !node.joins.is_empty());
    assert_eq!(node.joins, [other]);
}
