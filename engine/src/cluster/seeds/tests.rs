//! When seeds are asked, and which.

use std::net::SocketAddr;
use std::time::Duration;

use overlane_overlays::Time;

use super::{FRESH_FOR, Members, Seeds, TRIED_MAX};
use crate::cluster::identity::NodeId;

const fn at(seconds: u64) -> Time {
    Time::from_micros(seconds * 1_000_000)
}

/// Live members, by identity and by address.
#[derive(Default)]
struct Known(Vec<NodeId>, Vec<SocketAddr>);

impl Members for Known {
    fn is_member(&self, id: NodeId) -> bool {
        self.0.contains(&id)
    }

    fn is_member_at(&self, address: SocketAddr) -> bool {
        self.1.contains(&address)
    }
}

fn nobody() -> Known {
    Known::default()
}

fn names(names: &[&str]) -> Known {
    Known(
        names.iter().map(|name| NodeId::of(name)).collect(),
        Vec::new(),
    )
}

fn places(places: &[&str]) -> Vec<String> {
    places.iter().map(ToString::to_string).collect()
}

fn without(discoveries: &[&str]) -> Seeds {
    let here = vec!["10.0.0.9:1".parse().unwrap()];
    Seeds::new(NodeId::of("me"), here, places(discoveries))
}

fn seeds() -> Seeds {
    let mut seeds = without(&[]);
    seeds.add(places(&["a:1", "b:1", "a:1"]), at(0));
    seeds
}

#[test]
fn they_are_tried_again_more_and_more_seldom_while_nobody_is_known() {
    let mut seeds = seeds();
    let tried = (0..=100).filter(|second| {
        let due = seeds.due(at(*second), false, &nobody());
        assert!(due.is_empty() || due == ["a:1", "b:1"]);
        !due.is_empty()
    });
    assert_eq!(tried.collect::<Vec<_>>(), [0, 1, 3, 7, 15, 31, 61, 91]);
}

#[test]
fn a_member_tries_those_that_were_named_only_when_few_of_them_are_members() {
    let mut seeds = seeds();
    let (a, b) = (NodeId::of("a"), NodeId::of("b"));
    assert_eq!(seeds.due(at(0), false, &nobody()).len(), 2);
    seeds.found("a:1", a);
    seeds.failed("b:1", "refused".into());
    assert_eq!(seeds.failures(), [("b:1".into(), "refused".into())]);
    // Half of them is enough.
    assert!(seeds.due(at(1), true, &names(&["a"])).is_empty());
    assert!(seeds.due(at(60), true, &nobody()).is_empty());
    assert_eq!(seeds.due(at(61), true, &nobody()).len(), 2);
    seeds.found("b:1", b);
    assert!(seeds.failures().is_empty());
    seeds.refused(b, "the name is taken");
    assert_eq!(seeds.failures().len(), 1);
    assert!(seeds.due(at(100), true, &names(&["a", "b"])).is_empty());
}

#[test]
fn a_node_that_is_its_own_only_seed_waits_for_nobody() {
    let mut seeds = without(&[]);
    seeds.add(places(&["me:1"]), at(0));
    assert!(!seeds.are_this_node());
    assert_eq!(seeds.due(at(0), false, &nobody()), ["me:1"]);
    seeds.found("me:1", NodeId::of("me"));
    assert!(seeds.are_this_node());
    assert!(seeds.due(at(9), false, &nobody()).is_empty());
}

#[test]
fn an_address_of_this_node_is_never_asked() {
    let mut seeds = without(&["dns"]);
    seeds.discovered(0, places(&["10.0.0.9:1"]), at(0), false);
    assert!(seeds.due(at(0), false, &nobody()).is_empty());
    assert!(seeds.are_this_node());
}

#[test]
fn a_node_waits_until_each_discovery_has_answered() {
    let mut seeds = without(&["dns", "multicast"]);
    assert!(!seeds.are_this_node());
    seeds.discovered(0, Vec::new(), at(0), false);
    seeds.discovery_failed(1, "no network".into());
    assert!(!seeds.are_this_node(), "one has not answered");
    assert_eq!(
        seeds.failures(),
        [("discovery multicast".into(), "no network".into())]
    );
    seeds.discovered(1, Vec::new(), at(5), false);
    assert!(seeds.are_this_node(), "there is nobody");
    assert!(seeds.failures().is_empty());
}

#[test]
fn what_is_found_is_asked_at_once_and_what_is_gone_no_more() {
    let mut seeds = without(&["dns", "hosts"]);
    seeds.discovered(0, places(&["a:1", "b:1"]), at(0), false);
    assert_eq!(seeds.due(at(0), false, &nobody()), ["a:1", "b:1"]);
    // The same again does not shorten the wait; a new one does.
    seeds.discovered(0, places(&["a:1", "b:1"]), at(0), false);
    assert!(seeds.due(at(0), false, &nobody()).is_empty());
    seeds.discovered(1, places(&["b:1", "c:1"]), at(0), false);
    assert_eq!(seeds.due(at(0), false, &nobody()), ["a:1", "b:1", "c:1"]);
    // Found by another one still.
    seeds.discovered(0, places(&["d:1"]), at(0), false);
    assert_eq!(seeds.due(at(0), false, &nobody()), ["b:1", "c:1", "d:1"]);
    seeds.add(places(&["d:1"]), at(1));
    seeds.discovered(0, Vec::new(), at(1), false);
    assert_eq!(
        seeds.due(at(1), false, &nobody()),
        ["b:1", "c:1", "d:1"],
        "it is named, too"
    );
}

#[test]
fn a_member_asks_what_was_found_unless_a_member_is_there() {
    let mut seeds = without(&["dns"]);
    seeds.discovered(0, places(&["10.0.0.1:1", "10.0.0.2:1"]), at(0), true);
    assert!(
        seeds.due(at(0), true, &nobody()).is_empty(),
        "who starts there comes by itself"
    );
    let known = Known(Vec::new(), vec!["10.0.0.1:1".parse().unwrap()]);
    let soon = at(0) + FRESH_FOR;
    assert_eq!(seeds.due(soon, true, &known), ["10.0.0.2:1"]);
    // Half of a cluster that began apart: each half asks the other, however large.
    seeds.found("10.0.0.2:1", NodeId::of("b"));
    assert_eq!(
        seeds.due(soon + Duration::from_secs(1), true, &known),
        ["10.0.0.2:1"]
    );
    let both = Known(vec![NodeId::of("b")], known.1);
    assert!(
        seeds
            .due(soon + Duration::from_secs(100), true, &both)
            .is_empty()
    );
}

#[test]
fn of_many_places_some_are_asked_at_a_time_and_all_in_turn() {
    let mut seeds = without(&["dns"]);
    let many: Vec<_> = (1..=100).map(|port| format!("a:{port}")).collect();
    seeds.discovered(0, many.clone(), at(0), false);
    let mut asked = std::collections::BTreeSet::new();
    for round in 0..7 {
        let due = seeds.due(at(100 * round), false, &nobody());
        assert_eq!(due.len(), TRIED_MAX);
        asked.extend(due);
    }
    assert_eq!(asked.len(), many.len());
}

#[test]
fn who_has_left_looks_for_nobody() {
    let mut seeds = without(&["dns"]);
    seeds.discovered(0, places(&["a:1"]), at(0), false);
    seeds.clear();
    seeds.discovered(0, places(&["b:1"]), at(1), false);
    assert!(seeds.due(at(1), false, &nobody()).is_empty());
    assert_eq!(seeds.next(), None);
}

#[test]
fn what_can_be_told_of_them_changes_with_a_number() {
    let mut seeds = without(&["dns"]);
    seeds.add(vec!["a:1".to_owned()], at(0));
    let mut before = (seeds.changes(), seeds.failures());
    let steps: [fn(&mut Seeds); 6] = [
        |seeds| seeds.failed("a:1", "nobody".to_owned()),
        |seeds| seeds.found("a:1", NodeId::of("a")),
        |seeds| seeds.discovery_failed(0, "no server".to_owned()),
        |seeds| seeds.discovered(0, Vec::new(), at(1), false),
        |seeds| seeds.refused(NodeId::of("a"), "names are unique"),
        Seeds::clear,
    ];
    for step in steps {
        step(&mut seeds);
        let after = (seeds.changes(), seeds.failures());
        assert!(after.0 != before.0 && after.1 != before.1, "{after:?}");
        before = after;
    }
}
