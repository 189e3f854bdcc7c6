//! Seeds: places where a newcomer asks to be let in, and when it asks there again.
//!
//! A state machine without I/O. A seed may be known by its address alone; who is there is found out by asking
//! (`asking`). Some are named by the configuration or by an application, others are found by discoveries, which name
//! other ones from time to time. Several are tried at once: one that answers is enough, and one that cannot be found
//! harms nobody. While the node knows nobody they are tried again, after 1, 2, 4 up to 30 s. Once it is a member, those
//! that were named are tried only when less than half of them are live members, as after a partition that outlasted
//! everybody's memory; those that were found whenever nobody knows a member there, as two halves of a cluster that
//! began apart find each other so. A place that is found no more is not tried any more, and that is all: it says nothing
//! about a member. Driven by `driver`.

use std::collections::{BTreeMap, BTreeSet};
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
/// How long a member leaves a place that was just found to itself. 2 s: a guess; whoever starts there finds the cluster
/// too, and is a member by then.
const FRESH_FOR: Duration = Duration::from_secs(2);
/// Most places that are tried at a time. 16: a guess; one that answers is enough, and a thousand nodes that each tried a
/// thousand places would be a storm.
const TRIED_MAX: usize = 16;

/// A seed, and what came of it.
#[derive(Debug)]
struct Seed {
    /// As it was given: an address, or host and port.
    place: String,
    /// The same, if it is an address.
    address: Option<SocketAddr>,
    /// The configuration or the application named it.
    is_named: bool,
    /// The discoveries that found it, by number.
    found_by: BTreeSet<usize>,
    found: Option<NodeId>,
    /// Why it was not found when it was tried last.
    failure: Option<String>,
}

/// A discovery, and what came of it.
#[derive(Debug, Default)]
struct Discovered {
    name: String,
    has_answered: bool,
    /// Why it did not answer when it looked last.
    failure: Option<String>,
}

/// See the module's text.
#[derive(Debug)]
pub(super) struct Seeds {
    me: NodeId,
    /// Where this node is.
    here: Vec<SocketAddr>,
    seeds: Vec<Seed>,
    discovered: BTreeMap<usize, Discovered>,
    failures: u32,
    /// Times that something came of one of them.
    changes: u64,
    /// Where those that are tried next begin.
    turn: usize,
    /// When they are tried, or looked at, next.
    next: Option<Time>,
}

/// What the driver knows of members.
pub(super) trait Members {
    /// Whether that node is a live one.
    fn is_member(&self, id: NodeId) -> bool;
    /// Whether a live one is there.
    fn is_member_at(&self, address: SocketAddr) -> bool;
}

impl Seeds {
    /// Of a node at those addresses, with discoveries of those names.
    pub(super) fn new(me: NodeId, here: Vec<SocketAddr>, discoveries: Vec<String>) -> Self {
        let discovered = discoveries.into_iter().map(|name| Discovered {
            name,
            ..Discovered::default()
        });
        Self {
            me,
            here,
            seeds: Vec::new(),
            discovered: discovered.enumerate().collect(),
            failures: 0,
            changes: 0,
            turn: 0,
            next: None,
        }
    }

    /// Ask at these places too, and at all of them at once.
    pub(super) fn add(&mut self, places: Vec<String>, now: Time) {
        for place in places {
            self.at_or_new(place).is_named = true;
        }
        self.failures = 0;
        self.next = Some(now);
    }

    /// A discovery finds these places now, and no others.
    pub(super) fn discovered(
        &mut self,
        discovery: usize,
        places: Vec<String>,
        now: Time,
        is_joined: bool,
    ) {
        let Some(known) = self.discovered.get_mut(&discovery) else {
            // The node has left.
            return;
        };
        self.changes += 1;
        known.has_answered = true;
        known.failure = None;
        for seed in &mut self.seeds {
            seed.found_by.remove(&discovery);
        }
        let before = self.seeds.len();
        for place in places {
            self.at_or_new(place).found_by.insert(discovery);
        }
        let has_fresh = self.seeds.len() > before;
        self.seeds
            .retain(|seed| seed.is_named || !seed.found_by.is_empty());
        if has_fresh {
            self.failures = 0;
            let soon = if is_joined { now + FRESH_FOR } else { now };
            self.next = Some(self.next.map_or(soon, |next| next.min(soon)));
        }
    }

    /// A discovery could not look, and why.
    pub(super) fn discovery_failed(&mut self, discovery: usize, why: String) {
        self.changes += 1;
        if let Some(known) = self.discovered.get_mut(&discovery) {
            known.failure = Some(why);
        }
    }

    /// The node does not want to be a member any more.
    pub(super) fn clear(&mut self) {
        self.changes += 1;
        self.seeds.clear();
        self.discovered.clear();
        self.next = None;
    }

    /// As long as this is the same, so is what can be told of them.
    pub(super) const fn changes(&self) -> u64 {
        self.changes
    }

    pub(super) const fn next(&self) -> Option<Time> {
        self.next
    }

    /// The places to ask now, if it is time. `is_joined` says whether the node is a member of anything.
    pub(super) fn due(
        &mut self,
        now: Time,
        is_joined: bool,
        members: &impl Members,
    ) -> Vec<String> {
        if self.next.is_none_or(|next| next > now) {
            return Vec::new();
        }
        let missing: Vec<_> = self
            .seeds
            .iter()
            .map(|seed| !self.is_settled(seed, members))
            .collect();
        let of_named = || {
            self.seeds
                .iter()
                .zip(&missing)
                .filter(|(seed, _)| seed.is_named)
        };
        let named_missing = of_named().filter(|(_, missing)| **missing).count();
        let enough_named = is_joined && named_missing * 2 <= of_named().count();
        let wanted = self.seeds.iter().zip(&missing).filter(|(seed, missing)| {
            let is_needed = !(enough_named && seed.found_by.is_empty());
            **missing && is_needed
        });
        let wanted: Vec<_> = wanted.map(|(seed, _)| seed.place.clone()).collect();
        if wanted.is_empty() {
            self.failures = 0;
            self.next = (!self.seeds.is_empty()).then(|| now + LOOK_AGAIN);
            return Vec::new();
        }
        let wait = RETRY_FIRST * 2_u32.pow(self.failures.min(5));
        self.failures = self.failures.saturating_add(1);
        self.next = Some(now + wait.min(RETRY_MAX));
        self.in_turn(wanted)
    }

    /// Some of them, others each time.
    fn in_turn(&mut self, mut wanted: Vec<String>) -> Vec<String> {
        if wanted.len() <= TRIED_MAX {
            return wanted;
        }
        let begin = self.turn % wanted.len();
        self.turn = self.turn.wrapping_add(TRIED_MAX);
        wanted.rotate_left(begin);
        wanted.truncate(TRIED_MAX);
        wanted
    }

    /// Whether there is nothing to be asked at a place: this node is there, or a member.
    fn is_settled(&self, seed: &Seed, members: &impl Members) -> bool {
        let is_known = seed
            .found
            .is_some_and(|id| id == self.me || members.is_member(id));
        let is_known_at = |address| self.here.contains(&address) || members.is_member_at(address);
        is_known || seed.address.is_some_and(is_known_at)
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
            // Whoever was there before is not there now.
            seed.found = None;
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

    fn at_or_new(&mut self, place: String) -> &mut Seed {
        let known = self.seeds.iter().position(|seed| seed.place == place);
        let index = known.unwrap_or_else(|| {
            self.seeds.push(Seed {
                address: place.parse().ok(),
                place,
                is_named: false,
                found_by: BTreeSet::new(),
                found: None,
                failure: None,
            });
            self.seeds.len() - 1
        });
        &mut self.seeds[index]
    }

    /// Whether there is nobody to wait for: all seeds are this node itself, and all discoveries have answered.
    pub(super) fn are_this_node(&self) -> bool {
        let is_here = |seed: &Seed| {
            let is_own = |address| self.here.contains(&address);
            seed.found == Some(self.me) || seed.address.is_some_and(is_own)
        };
        self.seeds.iter().all(is_here) && self.discovered.values().all(|known| known.has_answered)
    }

    /// Who is at which place, as far as that is known.
    pub(super) fn places(&self) -> Vec<(String, Option<NodeId>)> {
        let places = self.seeds.iter();
        places
            .map(|seed| (seed.place.clone(), seed.found))
            .collect()
    }

    /// Places where nobody was found, and discoveries that could not look, and why.
    pub(super) fn failures(&self) -> Vec<(String, String)> {
        let seeds = self.seeds.iter().filter_map(|seed| {
            let why = seed.failure.clone()?;
            Some((seed.place.clone(), why))
        });
        let discoveries = self.discovered.values().filter_map(|known| {
            let why = known.failure.clone()?;
            Some((format!("discovery {}", known.name), why))
        });
        seeds.chain(discoveries).collect()
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
mod tests;
