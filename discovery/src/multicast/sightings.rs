//! Whose beacons came lately, and where they are. No I/O; time is handed in.
//!
//! Bounded by the guard, which stands before it: it holds no node that the guard does not.

use std::collections::BTreeMap;
use std::time::Duration;

use super::guard::SENDERS_MAX;
use super::packet::Beacon;
use crate::found::Place;

#[derive(Debug)]
struct Sighting {
    incarnation: u64,
    places: Vec<Place>,
    at: Duration,
}

/// See the module's text.
#[derive(Debug)]
pub(super) struct Sightings {
    nodes: BTreeMap<String, Sighting>,
    /// After so long without a beacon a node is not looked for any more.
    patience: Duration,
}

impl Sightings {
    pub(super) const fn new(patience: Duration) -> Self {
        Self {
            nodes: BTreeMap::new(),
            patience,
        }
    }

    /// That beacon came. True if the node was not there a moment ago, or is elsewhere now.
    pub(super) fn note(&mut self, beacon: &Beacon, now: Duration) -> bool {
        let listed = beacon.addresses.iter().copied();
        let places: Vec<_> = listed.filter_map(Place::of_address).collect();
        self.forget(now);
        let known = self.nodes.get(&beacon.node);
        let is_known = known
            .is_some_and(|known| known.incarnation == beacon.incarnation && known.places == places);
        if !is_known && known.is_none() && self.nodes.len() >= SENDERS_MAX {
            return false;
        }
        let sighting = Sighting {
            incarnation: beacon.incarnation,
            places,
            at: now,
        };
        self.nodes.insert(beacon.node.clone(), sighting);
        !is_known
    }

    /// Where nodes are whose beacons came lately.
    pub(super) fn places(&mut self, now: Duration) -> Vec<Place> {
        self.forget(now);
        let nodes = self.nodes.values();
        nodes
            .flat_map(|sighting| sighting.places.iter().cloned())
            .collect()
    }

    fn forget(&mut self, now: Duration) {
        let patience = self.patience;
        self.nodes
            .retain(|_, sighting| sighting.at + patience >= now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::multicast::packet::tests::beacon;

    const fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn texts(places: &[Place]) -> Vec<&str> {
        places.iter().map(Place::text).collect()
    }

    #[test]
    fn a_node_is_where_it_says() {
        let mut sightings = Sightings::new(at(6));
        assert!(sightings.note(&beacon(), at(0)));
        assert_eq!(
            texts(&sightings.places(at(0))),
            ["10.0.0.1:7400", "[fd00::1]:7401"]
        );
        let elsewhere = Beacon {
            addresses: vec![
                "0.0.0.0:7400".parse().unwrap(),
                "10.0.0.2:7400".parse().unwrap(),
            ],
            ..beacon()
        };
        assert!(sightings.note(&elsewhere, at(0)), "it moved");
        assert!(!sightings.note(&elsewhere, at(1)));
        assert_eq!(texts(&sightings.places(at(1))), ["10.0.0.2:7400"]);
    }

    #[test]
    fn a_node_that_says_nothing_is_not_looked_for_any_more() {
        let mut sightings = Sightings::new(at(6));
        sightings.note(&beacon(), at(0));
        assert_eq!(sightings.places(at(6)).len(), 2);
        assert!(sightings.places(at(7)).is_empty());
        assert!(sightings.note(&beacon(), at(8)), "it is back");
    }
}
