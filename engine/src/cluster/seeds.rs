//! Seeds: nodes that a newcomer asks to be let in, and when it asks them again.
//!
//! A state machine without I/O. A seed may be known by its address alone; who is there is found out by asking
//! (`asking`). All seeds are tried at once: one that answers is enough, and one that cannot be found harms
//! nobody. While the node knows nobody they are tried again, after 1, 2, 4 up to 30 s; once it is a member, only
//! when less than half of them are live members, as after a partition that outlasted everybody's memory.
//! Driven by `driver`.

use std::net::SocketAddr;
use std::time::Duration;

use overlane_overlays::Time;

use super::identity::NodeId;

/// The first wait for the next attempt. 1 s: a guess, some dials.
const RETRY_FIRST: Duration = Duration::from_secs(1);
/// The longest. 30 s: a guess; a seed that comes back is found within it.
const RETRY_MAX: Duration = Duration::from_secs(30);
/// How often a member looks whether its seeds are members. 60 s: a guess, far above what a restart of a seed
/// takes.
const LOOK_AGAIN: Duration = Duration::from_secs(60);

/// A seed, and what came of it.
#[derive(Debug)]
struct Seed {
    /// As it was given: an address, or host and port.
    place: String,
    found: Option<NodeId>,
    /// Why it was not found when it was tried last.
    failure: Option<String>,
}

/// See the module's text.
#[derive(Debug)]
pub(super) struct Seeds {
    me: NodeId,
    seeds: Vec<Seed>,
    failures: u32,
    /// Times that something came of one of them.
    changes: u64,
    /// When they are tried, or looked at, next.
    next: Option<Time>,
}

impl Seeds {
    pub(super) const fn new(me: NodeId) -> Self {
        Self {
            me,
            seeds: Vec::new(),
            failures: 0,
            changes: 0,
            next: None,
        }
    }

    /// Ask at these places too, and at all of them at once.
    pub(super) fn add(&mut self, places: Vec<String>, now: Time) {
        for place in places {
            if !self.seeds.iter().any(|seed| seed.place == place) {
                self.seeds.push(Seed {
                    place,
                    found: None,
                    failure: None,
                });
            }
        }
        self.failures = 0;
        self.next = Some(now);
    }

    /// The node does not want to be a member any more.
    pub(super) fn clear(&mut self) {
        self.changes += 1;
        self.seeds.clear();
        self.next = None;
    }

    /// As long as this is the same, so is what can be told of them.
    pub(super) const fn changes(&self) -> u64 {
        self.changes
    }

    pub(super) const fn next(&self) -> Option<Time> {
        self.next
    }

    /// The places to ask now, if it is time. `is_joined` says whether the node is a member of anything,
    /// `is_member` whether a node is a live one.
    pub(super) fn due(
        &mut self,
        now: Time,
        is_joined: bool,
        is_member: impl Fn(NodeId) -> bool,
    ) -> Vec<String> {
        if self.next.is_none_or(|next| next > now) {
            return Vec::new();
        }
        let missing = self.seeds.iter().filter(|seed| {
            let found = seed.found;
            !found.is_some_and(|id| id == self.me || is_member(id))
        });
        let missing: Vec<_> = missing.map(|seed| seed.place.clone()).collect();
        if missing.is_empty() || (is_joined && missing.len() * 2 <= self.seeds.len()) {
            self.failures = 0;
            self.next = (!self.seeds.is_empty()).then(|| now + LOOK_AGAIN);
            return Vec::new();
        }
        let wait = RETRY_FIRST * 2_u32.pow(self.failures.min(5));
        self.failures = self.failures.saturating_add(1);
        self.next = Some(now + wait.min(RETRY_MAX));
        missing
    }

    /// That node is at that place.
    pub(super) fn found(&mut self, place: &str, id: NodeId) {
        self.changes += 1;
        if let Some(seed) = self.at(place) {
            seed.found = Some(id);
            seed.failure = None;
        }
    }

    /// Nobody was found there.
    pub(super) fn failed(&mut self, place: &str, why: String) {
        self.changes += 1;
        if let Some(seed) = self.at(place) {
            seed.failure = Some(why);
        }
    }

    /// The node that was found there does not let this one in.
    pub(super) fn refused(&mut self, id: NodeId, why: &str) {
        self.changes += 1;
        for seed in self.seeds.iter_mut().filter(|seed| seed.found == Some(id)) {
            seed.failure = Some(why.to_owned());
        }
    }

    fn at(&mut self, place: &str) -> Option<&mut Seed> {
        self.seeds.iter_mut().find(|seed| seed.place == place)
    }

    /// Whether all seeds are this node itself: then there is nobody to wait for.
    pub(super) fn are_this_node(&self) -> bool {
        self.seeds.iter().all(|seed| seed.found == Some(self.me))
    }

    /// Places where nobody was found, and why.
    pub(super) fn failures(&self) -> Vec<(String, String)> {
        let failed = self.seeds.iter().filter_map(|seed| {
            let why = seed.failure.clone()?;
            Some((seed.place.clone(), why))
        });
        failed.collect()
    }
}

/// Where a seed was found.
#[derive(Clone, Debug)]
pub(crate) struct SeedAnswer {
    /// As it was given.
    pub(crate) place: String,
    /// Who is there, and at which address; or why nobody is.
    pub(crate) found: Result<(String, SocketAddr), String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(seconds: u64) -> Time {
        Time::from_micros(seconds * 1_000_000)
    }

    fn seeds() -> Seeds {
        let mut seeds = Seeds::new(NodeId::of("me"));
        seeds.add(vec!["a:1".into(), "b:1".into(), "a:1".into()], at(0));
        seeds
    }

    #[test]
    fn they_are_tried_again_more_and_more_seldom_while_nobody_is_known() {
        let mut seeds = seeds();
        let tried = (0..=100).filter(|second| {
            let due = seeds.due(at(*second), false, |_| false);
            assert!(due.is_empty() || due == ["a:1", "b:1"]);
            !due.is_empty()
        });
        assert_eq!(tried.collect::<Vec<_>>(), [0, 1, 3, 7, 15, 31, 61, 91]);
    }

    #[test]
    fn a_member_tries_them_only_when_few_of_them_are_members() {
        let mut seeds = seeds();
        let (a, b) = (NodeId::of("a"), NodeId::of("b"));
        assert_eq!(seeds.due(at(0), false, |_| false).len(), 2);
        seeds.found("a:1", a);
        seeds.failed("b:1", "refused".into());
        assert_eq!(seeds.failures(), [("b:1".into(), "refused".into())]);
        // Half of them is enough.
        assert!(seeds.due(at(1), true, |id| id == a).is_empty());
        assert!(seeds.due(at(60), true, |_| false).is_empty());
        assert_eq!(seeds.due(at(61), true, |_| false).len(), 2);
        seeds.found("b:1", b);
        assert!(seeds.failures().is_empty());
        seeds.refused(b, "the name is taken");
        assert_eq!(seeds.failures().len(), 1);
        assert!(seeds.due(at(100), true, |_| true).is_empty());
    }

    #[test]
    fn a_node_that_is_its_own_only_seed_waits_for_nobody() {
        let mut seeds = Seeds::new(NodeId::of("me"));
        seeds.add(vec!["me:1".into()], at(0));
        assert!(!seeds.are_this_node());
        assert_eq!(seeds.due(at(0), false, |_| false), ["me:1"]);
        seeds.found("me:1", NodeId::of("me"));
        assert!(seeds.are_this_node());
        assert!(seeds.due(at(9), false, |_| false).is_empty());
    }

    #[test]
    fn what_can_be_told_of_them_changes_with_a_number() {
        let mut seeds = Seeds::new(NodeId::of("me"));
        seeds.add(vec!["a:1".to_owned()], at(0));
        let mut before = (seeds.changes(), seeds.failures());
        let steps: [fn(&mut Seeds); 4] = [
            |seeds| seeds.failed("a:1", "nobody".to_owned()),
            |seeds| seeds.found("a:1", NodeId::of("a")),
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
}
