//! Ways to members without a lane: the next node on each, asked for when they are needed and forgotten when they are not
//! used.
//!
//! A state machine without I/O, owned by the driver. Who has no way to a member asks its neighbors, who ask theirs, and so
//! on for some hops (*find*); whoever has a lane to the member answers along the way that the question came (*found*), and
//! all on it know two ways from then on: to the member, and to who asked; of ways with as many hops, one over a neighbor in the
//! node's own zone. What is relayed keeps both. As AODV does it
//! (Perkins and Royer, 1999), without its sequence numbers: a way that leads nowhere is asked for anew, and hops are
//! counted down, so that a loop ends. Bounded; it knows neither names nor lanes.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use overlane_overlays::Time;
use serde::{Deserialize, Serialize};

use crate::cluster::identity::NodeId;

/// Ways that are known at a time: the one that was not used for longest goes.
const WAYS_MAX: usize = 4_096;
/// How long one is known without use.
const WAY_FOR: Duration = Duration::from_secs(60);
/// Questions that are remembered, so that none is asked on twice.
const SEEN_MAX: usize = 4_096;
/// Questions of one neighbor that are asked on, in a second.
const FINDS_PER_SECOND_MAX: u32 = 256;

/// Who knows a way?
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::cluster) struct Find {
    pub(in crate::cluster) from: NodeId,
    /// Tells the questions of one node apart.
    pub(in crate::cluster) number: u64,
    pub(in crate::cluster) to: NodeId,
    /// Hops that it may still go, and has gone.
    pub(in crate::cluster) ttl: u8,
    pub(in crate::cluster) hops: u8,
}

/// A way is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::cluster) struct Found {
    /// Who asked.
    pub(in crate::cluster) from: NodeId,
    pub(in crate::cluster) to: NodeId,
    /// From whoever says it to the member.
    pub(in crate::cluster) hops: u8,
    /// Hops that the answer may still go.
    pub(in crate::cluster) ttl: u8,
}

/// What a question leads to.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::cluster) enum Asked {
    /// Nothing: it was heard of before, or has gone far enough.
    Nothing,
    /// The answer goes to who passed it on.
    Answer(Found),
    /// It is asked on.
    On(Find),
}

/// What an answer leads to.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::cluster) enum Told {
    Nothing,
    /// There is a way to that member from here.
    Known(NodeId),
    /// The answer goes on to that node.
    On(NodeId, Found),
}

/// The neighbor that something came from, or goes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::cluster) struct Via {
    pub(in crate::cluster) node: NodeId,
    /// It is in the zone of this node.
    pub(in crate::cluster) is_near: bool,
}

#[derive(Clone, Copy, Debug)]
struct Way {
    via: Via,
    hops: u8,
    used: Time,
}

impl Way {
    /// Less is better.
    const fn length(&self) -> (u8, bool) {
        (self.hops, !self.via.is_near)
    }
}

/// See the module's text.
#[derive(Debug)]
pub(in crate::cluster) struct RelayRouter {
    me: NodeId,
    ways: BTreeMap<NodeId, Way>,
    numbered: u64,
    seen: BTreeSet<(NodeId, u64)>,
    seen_in_order: VecDeque<(NodeId, u64)>,
    /// By neighbor: a second, and the questions asked on in it.
    asked_on: BTreeMap<NodeId, (u64, u32)>,
}

impl RelayRouter {
    /// `first` begins the numbers of its questions: another one in each life of the node.
    pub(in crate::cluster) fn new(me: NodeId, first: u64) -> Self {
        Self {
            me,
            ways: BTreeMap::new(),
            numbered: first,
            seen: BTreeSet::new(),
            seen_in_order: VecDeque::new(),
            asked_on: BTreeMap::new(),
        }
    }

    /// The next node on the way to a member, if one is known that `has_lane`.
    pub(in crate::cluster) fn way(
        &mut self,
        to: NodeId,
        now: Time,
        has_lane: impl Fn(NodeId) -> bool,
    ) -> Option<NodeId> {
        if has_lane(to) {
            return Some(to);
        }
        let way = self.ways.get_mut(&to)?;
        if now.since(way.used) > WAY_FOR || !has_lane(way.via.node) {
            self.ways.remove(&to);
            return None;
        }
        way.used = now;
        Some(way.via.node)
    }

    /// Something that `to` has sent came over `via`, after so many hops.
    pub(in crate::cluster) fn learn(&mut self, to: NodeId, via: Via, hops: u8, now: Time) {
        if to == self.me {
            return;
        }
        let used = now;
        let way = Way { via, hops, used };
        if let Some(known) = self.ways.get_mut(&to) {
            let is_same = known.via.node == via.node;
            let is_old = now.since(known.used) > WAY_FOR;
            if is_same || is_old || way.length() < known.length() {
                *known = way;
            }
            return;
        }
        if self.ways.len() >= WAYS_MAX {
            let oldest = self.ways.iter().min_by_key(|(_, way)| way.used);
            if let Some(oldest) = oldest.map(|(to, _)| *to) {
                self.ways.remove(&oldest);
            }
        }
        self.ways.insert(to, way);
    }

    /// Forgets the way to a member if there is no lane to its first node any more: another one is as good then as
    /// any.
    pub(in crate::cluster) fn forget_if_dead(
        &mut self,
        to: NodeId,
        has_lane: impl Fn(NodeId) -> bool,
    ) {
        let way = self.ways.get(&to);
        if way.is_some_and(|way| !has_lane(way.via.node)) {
            self.ways.remove(&to);
        }
    }

    /// The way to a member has led nowhere.
    pub(in crate::cluster) fn forget(&mut self, to: NodeId) {
        self.ways.remove(&to);
    }

    /// A question of this node's own, for all its neighbors.
    pub(in crate::cluster) fn find(&mut self, to: NodeId, ttl: u8) -> Find {
        self.numbered = self.numbered.wrapping_add(1);
        let find = Find {
            from: self.me,
            number: self.numbered,
            to,
            ttl,
            hops: 0,
        };
        self.is_new(&find);
        find
    }

    /// A neighbor asks, or asks on. `passes_on` says whether this node relays for others.
    pub(in crate::cluster) fn asked(
        &mut self,
        neighbor: Via,
        find: Find,
        now: Time,
        passes_on: bool,
        has_lane: impl Fn(NodeId) -> bool,
    ) -> Asked {
        if find.from == self.me || !self.is_new(&find) {
            return Asked::Nothing;
        }
        let hops = find.hops.saturating_add(1);
        self.learn(find.from, neighbor, hops, now);
        let is_lane = find.to != neighbor.node && has_lane(find.to);
        if find.to == self.me || (passes_on && is_lane) {
            return Asked::Answer(Found {
                from: find.from,
                to: find.to,
                hops: u8::from(find.to != self.me),
                ttl: hops.saturating_add(1),
            });
        }
        if !passes_on || find.ttl <= 1 || !self.may_ask_on(neighbor.node, now) {
            return Asked::Nothing;
        }
        Asked::On(Find {
            ttl: find.ttl - 1,
            hops,
            ..find
        })
    }

    /// A neighbor says that there is a way over it.
    pub(in crate::cluster) fn told(
        &mut self,
        neighbor: Via,
        found: Found,
        now: Time,
        has_lane: impl Fn(NodeId) -> bool,
    ) -> Told {
        let hops = found.hops.saturating_add(1);
        self.learn(found.to, neighbor, hops, now);
        if found.from == self.me {
            return Told::Known(found.to);
        }
        if found.ttl <= 1 {
            return Told::Nothing;
        }
        match self.way(found.from, now, has_lane) {
            Some(via) if via != neighbor.node => Told::On(
                via,
                Found {
                    hops,
                    ttl: found.ttl - 1,
                    ..found
                },
            ),
            _ => Told::Nothing,
        }
    }

    /// Whether a question was not heard before; it is remembered.
    fn is_new(&mut self, find: &Find) -> bool {
        let key = (find.from, find.number);
        if !self.seen.insert(key) {
            return false;
        }
        self.seen_in_order.push_back(key);
        if self.seen_in_order.len() > SEEN_MAX
            && let Some(oldest) = self.seen_in_order.pop_front()
        {
            self.seen.remove(&oldest);
        }
        true
    }

    /// Each question costs every node that hears it.
    fn may_ask_on(&mut self, neighbor: NodeId, now: Time) -> bool {
        let second = now.as_micros() / 1_000_000;
        // Of this second alone: those of neighbors that are gone go with it.
        self.asked_on.retain(|_, (of, _)| *of == second);
        let (_, count) = self.asked_on.entry(neighbor).or_insert((second, 0));
        *count += 1;
        *count <= FINDS_PER_SECOND_MAX
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: usize) -> NodeId {
        NodeId::of(&format!("n{number}"))
    }

    /// A neighbor in another zone.
    fn far(number: usize) -> Via {
        Via {
            node: id(number),
            is_near: false,
        }
    }

    /// Routers on a graph, and what is said between them, in order.
    struct World {
        routers: Vec<RelayRouter>,
        links: Vec<BTreeSet<usize>>,
        said: usize,
    }

    enum Said {
        Find(Find),
        Found(Found),
    }

    impl World {
        fn new(links: Vec<BTreeSet<usize>>) -> Self {
            let routers = (0..links.len()).map(|n| RelayRouter::new(id(n), 0));
            Self {
                routers: routers.collect(),
                links,
                said: 0,
            }
        }

        fn number(&self, of: NodeId) -> usize {
            (0..self.links.len()).find(|n| id(*n) == of).expect("known")
        }

        fn has_lane(&self, at: usize) -> impl Fn(NodeId) -> bool + use<> {
            let lanes: BTreeSet<_> = self.links[at].iter().map(|n| id(*n)).collect();
            move |to| lanes.contains(&to)
        }

        /// Asks, and lets all be said that follows. Whether a way was found.
        fn find(&mut self, from: usize, to: usize, ttl: u8) -> bool {
            let now = Time::ZERO;
            let find = self.routers[from].find(id(to), ttl);
            let mut queue: VecDeque<_> = self.links[from]
                .iter()
                .map(|n| (from, *n, Said::Find(find)))
                .collect();
            let mut is_known = false;
            while let Some((by, at, said)) = queue.pop_front() {
                self.said += 1;
                let lanes = self.has_lane(at);
                match said {
                    Said::Find(find) => {
                        match self.routers[at].asked(far(by), find, now, true, lanes) {
                            Asked::Nothing => {}
                            Asked::Answer(found) => queue.push_back((at, by, Said::Found(found))),
                            Asked::On(find) => {
                                let others = self.links[at].iter().filter(|n| **n != by);
                                queue.extend(others.map(|n| (at, *n, Said::Find(find))));
                            }
                        }
                    }
                    Said::Found(found) => match self.routers[at].told(far(by), found, now, lanes) {
                        Told::Nothing => {}
                        Told::Known(_) => is_known = true,
                        Told::On(via, found) => {
                            queue.push_back((at, self.number(via), Said::Found(found)));
                        }
                    },
                }
            }
            is_known
        }

        /// Something goes the ways from one node to another, and teaches each on it the way back. The hops; none if they
        /// end before.
        fn follow(&mut self, from: usize, to: usize) -> Option<usize> {
            let (mut at, mut hops) = (from, 0);
            while at != to {
                let lanes = self.has_lane(at);
                let via = self.routers[at].way(id(to), Time::ZERO, lanes)?;
                let before = std::mem::replace(&mut at, self.number(via));
                hops += 1;
                if !self.links[at].contains(&from) {
                    let gone = u8::try_from(hops).expect("few");
                    self.routers[at].learn(id(from), far(before), gone, Time::ZERO);
                }
                if hops > self.links.len() {
                    return None;
                }
            }
            Some(hops)
        }
    }

    fn random_graph(
        random: &mut fastrand::Rng,
        nodes: usize,
        extra: usize,
    ) -> Vec<BTreeSet<usize>> {
        let mut links = vec![BTreeSet::new(); nodes];
        let mut link = |one: usize, other: usize| {
            if one != other {
                links[one].insert(other);
                links[other].insert(one);
            }
        };
        for node in 1..nodes {
            link(node, random.usize(..node));
        }
        for _ in 0..extra {
            link(random.usize(..nodes), random.usize(..nodes));
        }
        links
    }

    /// The fewest hops between two nodes.
    fn distance(links: &[BTreeSet<usize>], from: usize, to: usize) -> usize {
        let (mut reached, mut hops) = (BTreeSet::from([from]), 0);
        while !reached.contains(&to) {
            reached = reached
                .iter()
                .flat_map(|n| links[*n].iter().copied().chain([*n]))
                .collect();
            hops += 1;
        }
        hops
    }

    #[test]
    fn a_way_is_found_both_ways_on_any_connected_graph_if_the_hops_suffice() {
        let seed = fastrand::u64(..);
        println!("seed {seed}");
        let mut random = fastrand::Rng::with_seed(seed);
        for _ in 0..60 {
            let nodes = random.usize(3..40);
            let links = random_graph(&mut random, nodes, nodes);
            let mut world = World::new(links.clone());
            for _ in 0..10 {
                let (from, to) = (random.usize(..nodes), random.usize(..nodes));
                if from == to || links[from].contains(&to) {
                    continue;
                }
                let far = distance(&links, from, to);
                assert!(world.find(from, to, 64));
                let there = world.follow(from, to).expect("a way");
                let back = world.follow(to, from).expect("a way back");
                assert!(there >= far && back >= far && there < nodes && back < nodes);
            }
        }
    }

    #[test]
    fn a_question_goes_no_further_than_it_may_and_everywhere_once() {
        let line: Vec<_> = (0..8_usize)
            .map(|n| {
                [n.wrapping_sub(1), n + 1]
                    .into_iter()
                    .filter(|n| *n < 8)
                    .collect()
            })
            .collect();
        let mut world = World::new(line);
        // The last but one answers for the last, whom it has a lane to.
        assert!(!world.find(0, 7, 5));
        assert!(world.find(0, 7, 6));
        assert_eq!(world.follow(0, 7), Some(7));
        let full: Vec<_> = (0..8)
            .map(|n| (0..8).filter(|m| *m != n).collect())
            .collect();
        let mut world = World::new(full);
        assert!(!world.find(0, 99, 64), "nobody has it");
        assert!(world.said <= 8 * 7, "each asks on once: {}", world.said);
    }

    #[test]
    fn a_way_is_forgotten_when_it_is_not_used_when_its_lane_is_gone_and_when_there_are_too_many() {
        let mut router = RelayRouter::new(id(0), 0);
        let second = |seconds| Time::ZERO + Duration::from_secs(seconds);
        router.learn(id(2), far(1), 2, second(0));
        assert_eq!(router.way(id(2), second(59), |to| to == id(1)), Some(id(1)));
        assert_eq!(
            router.way(id(2), second(118), |to| to == id(1)),
            Some(id(1))
        );
        assert_eq!(router.way(id(2), second(119), |_| false), None);
        assert_eq!(router.way(id(2), second(119), |to| to == id(1)), None);
        router.learn(id(2), far(1), 2, second(120));
        assert_eq!(router.way(id(2), second(181), |to| to == id(1)), None);
        for number in 0..WAYS_MAX + 10 {
            router.learn(id(number + 10), far(1), 2, second(200 + number as u64));
        }
        assert_eq!(router.ways.len(), WAYS_MAX);
        for number in 0..2 * SEEN_MAX {
            router.find(id(number), 4);
        }
        assert_eq!(
            (router.seen.len(), router.seen_in_order.len()),
            (SEEN_MAX, SEEN_MAX)
        );
    }

    #[test]
    fn a_neighbor_that_asks_without_end_is_not_asked_on_for() {
        let mut router = RelayRouter::new(id(0), 0);
        let ask = |router: &mut RelayRouter, number, now| {
            let find = Find {
                from: id(9),
                number,
                to: id(8),
                ttl: 9,
                hops: 0,
            };
            matches!(
                router.asked(far(1), find, now, true, |_| false),
                Asked::On(_)
            )
        };
        let asked_on = (0..1_000).filter(|number| ask(&mut router, *number, Time::ZERO));
        assert_eq!(asked_on.count(), 256);
        let later = Time::ZERO + Duration::from_secs(1);
        assert!(ask(&mut router, 1_000, later));
    }

    #[test]
    fn who_does_not_relay_answers_for_itself_alone() {
        let mut router = RelayRouter::new(id(0), 0);
        let find = |number, to| Find {
            from: id(9),
            number,
            to,
            ttl: 9,
            hops: 0,
        };
        let has_lane = |to| to == id(7);
        let asked = router.asked(far(1), find(1, id(7)), Time::ZERO, false, has_lane);
        assert_eq!(asked, Asked::Nothing);
        let asked = router.asked(far(1), find(2, id(0)), Time::ZERO, false, has_lane);
        assert!(matches!(asked, Asked::Answer(Found { hops: 0, .. })));
    }

    #[test]
    fn of_ways_with_as_many_hops_the_one_inside_the_zone_is_taken() {
        let mut router = RelayRouter::new(id(0), 0);
        let near = |number| Via {
            is_near: true,
            ..far(number)
        };
        let way = |router: &mut RelayRouter| router.way(id(9), Time::ZERO, |to| to != id(9));
        router.learn(id(9), far(1), 2, Time::ZERO);
        router.learn(id(9), far(2), 2, Time::ZERO);
        assert_eq!(way(&mut router), Some(id(1)));
        router.learn(id(9), near(3), 2, Time::ZERO);
        router.learn(id(9), far(1), 2, Time::ZERO);
        assert_eq!(way(&mut router), Some(id(3)));
        router.learn(id(9), near(4), 3, Time::ZERO);
        assert_eq!(way(&mut router), Some(id(3)), "not a longer one");
    }
}
