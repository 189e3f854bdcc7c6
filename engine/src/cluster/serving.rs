//! Who is a server: the choice among members, and who of the servers is gone for how long.
//!
//! A state machine without I/O, owned by the driver. It reads the member list, notes who was suspected, and orders nothing: the
//! driver asks it at a switch to an overlay with servers, and while one of them is gone. Equal members come in the order of
//! their identities, so two nodes that know the same choose the same.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use overlane_overlays::Time;
use overlane_overlays::client_server::SERVERS_MAX;
use overlane_overlays::membership::{Entry, RoleWish, Status, Table};

use super::identity::NodeId;

/// Least servers that are chosen, if there are so many members. 3: one may fail, one be restarted.
const SERVERS_MIN: usize = 3;

/// Settings of the choice.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ServingConfig {
    /// Members for each server.
    pub(crate) members_per_server: usize,
    /// How long one is gone before another takes its place; zero: for ever.
    pub(crate) replace_after: Duration,
}

impl Default for ServingConfig {
    fn default() -> Self {
        Self {
            members_per_server: 50,
            replace_after: Duration::from_secs(30),
        }
    }
}

/// See the module's text.
#[derive(Debug)]
pub(super) struct Serving {
    config: ServingConfig,
    /// How often each member was suspected or found to be down, as this node saw it.
    losses: BTreeMap<NodeId, u8>,
    /// Servers that are no live members, and since when.
    gone: BTreeMap<NodeId, Time>,
    /// The driver's timer for them runs.
    is_timed: bool,
}

impl Serving {
    pub(super) const fn new(config: ServingConfig) -> Self {
        Self {
            config,
            losses: BTreeMap::new(),
            gone: BTreeMap::new(),
            is_timed: false,
        }
    }

    pub(super) const fn replace_after(&self) -> Duration {
        self.config.replace_after
    }

    /// A member did not answer somebody.
    pub(super) fn lost(&mut self, member: NodeId) {
        let losses = self.losses.entry(member).or_default();
        *losses = losses.saturating_add(1);
    }

    /// Forgets who is no member.
    pub(super) fn prune(&mut self, members: &Table<NodeId>) {
        self.losses.retain(|id, _| members.get(id).is_some());
    }

    /// Servers for all members, in order of their identities: as many as they need, and all that are to be servers. The zones
    /// take turns, each with its fittest, the one with the most members for each of its servers first. None if no member can
    /// be one.
    pub(super) fn choose(&self, members: &Table<NodeId>) -> Vec<NodeId> {
        let needed = members.live() / self.config.members_per_server.max(1);
        let candidates = self.candidates(members, &[]);
        let wish = |entry: &&Entry<NodeId>| entry.details.fitness.role == RoleWish::Server;
        let (mut chosen, mut others): (Vec<_>, VecDeque<_>) = (Vec::new(), VecDeque::new());
        for entry in candidates {
            if wish(&entry) {
                chosen.push(entry);
            } else {
                others.push_back(entry);
            }
        }
        chosen.truncate(SERVERS_MAX);
        let count = needed.clamp(SERVERS_MIN, SERVERS_MAX);
        let mut zones = Zones::of(members);
        for entry in &chosen {
            zones.serve(&entry.details.zone);
        }
        while chosen.len() < count {
            let zone = zones.neediest(others.iter().map(|entry| &*entry.details.zone));
            let next = others
                .iter()
                .position(|entry| Some(&*entry.details.zone) == zone);
            let Some(entry) = next.and_then(|at| others.remove(at)) else {
                break;
            };
            zones.serve(&entry.details.zone);
            chosen.push(entry);
        }
        sorted(chosen.into_iter().map(|entry| entry.peer))
    }

    /// The same servers with others in place of those that are gone, each of the same zone if there is one, as far as there are
    /// any. None if nobody can take a place.
    pub(super) fn replace(
        &self,
        members: &Table<NodeId>,
        servers: &[NodeId],
        gone: &[NodeId],
    ) -> Option<Vec<NodeId>> {
        let mut candidates = self.candidates(members, servers);
        let mut others = Vec::new();
        for id in gone {
            let zone = members.get(id).map(|entry| &*entry.details.zone);
            let alike = candidates
                .iter()
                .position(|entry| Some(&*entry.details.zone) == zone);
            if !candidates.is_empty() {
                others.push(candidates.remove(alike.unwrap_or(0)).peer);
            }
        }
        if others.is_empty() {
            return None;
        }
        let stay = servers.iter().copied().filter(|id| !gone.contains(id));
        Some(sorted(stay.chain(others)))
    }

    /// Those of the servers that are gone, and for so long that they are to be replaced.
    pub(super) fn gone_too_long(
        &mut self,
        now: Time,
        members: &Table<NodeId>,
        servers: &[NodeId],
    ) -> Vec<NodeId> {
        let is_live = |id: &NodeId| members.get(id).is_some_and(|entry| entry.status.is_live());
        let gone: BTreeSet<_> = servers.iter().filter(|id| !is_live(id)).copied().collect();
        self.gone.retain(|id, _| gone.contains(id));
        for id in gone {
            self.gone.entry(id).or_insert(now);
        }
        let after = self.config.replace_after;
        let too_long = self
            .gone
            .iter()
            .filter(|(_, since)| now.since(**since) >= after);
        too_long.map(|(id, _)| *id).collect()
    }

    /// When those that are gone are to be looked at again, if a timer is to be set for that: when the first has been gone for
    /// too long, or as much later where that is past and nobody took its place.
    pub(super) fn set_timer(&mut self, now: Time) -> Option<Duration> {
        let first = *self.gone.values().min()?;
        if std::mem::replace(&mut self.is_timed, true) {
            return None;
        }
        let after = self.config.replace_after;
        let left = after.saturating_sub(now.since(first));
        Some(if left.is_zero() { after } else { left })
    }

    /// The timer is over.
    pub(super) const fn timer_is_over(&mut self) {
        self.is_timed = false;
    }

    /// Members that can be servers besides these, the fittest first: those that are to be servers, then the stable ones, those
    /// that can carry more, those that were started earlier.
    fn candidates<'a>(
        &self,
        members: &'a Table<NodeId>,
        besides: &[NodeId],
    ) -> Vec<&'a Entry<NodeId>> {
        let can = |entry: &&Entry<NodeId>| {
            let role = entry.details.fitness.role;
            let is_fit = entry.status == Status::Alive && role != RoleWish::Client;
            is_fit && !besides.contains(&entry.peer)
        };
        let mut candidates: Vec<_> = members.iter().filter(can).collect();
        candidates.sort_by_key(|entry| {
            let fitness = entry.details.fitness;
            let losses = self.losses.get(&entry.peer).copied().unwrap_or(0);
            (
                fitness.role != RoleWish::Server,
                losses,
                Reverse(fitness.capacity),
                entry.version.incarnation,
                entry.peer,
            )
        });
        candidates
    }
}

/// Members and servers of each zone. Those in no zone are one.
struct Zones<'a> {
    counts: BTreeMap<&'a str, (usize, usize)>,
}

impl<'a> Zones<'a> {
    fn of(members: &'a Table<NodeId>) -> Self {
        let mut counts = BTreeMap::<_, (usize, usize)>::new();
        for entry in members.iter().filter(|entry| entry.status.is_live()) {
            counts.entry(&*entry.details.zone).or_default().0 += 1;
        }
        Self { counts }
    }

    /// One server more is of that zone.
    fn serve(&mut self, zone: &str) {
        if let Some((_, servers)) = self.counts.get_mut(zone) {
            *servers += 1;
        }
    }

    /// Of these zones the one with the most members for each server that it would have then; the first of equals.
    fn neediest<'z>(&self, zones: impl Iterator<Item = &'z str>) -> Option<&'z str> {
        let need = |zone: &&str| {
            let (members, servers) = self.counts.get(zone).copied().unwrap_or_default();
            // Of members, in thousandths: no zone has so many that this overflows.
            members.saturating_mul(1_000) / (servers + 1)
        };
        zones.min_by_key(|zone| Reverse(need(zone)))
    }
}

fn sorted(servers: impl Iterator<Item = NodeId>) -> Vec<NodeId> {
    let servers: BTreeSet<_> = servers.collect();
    servers.into_iter().collect()
}
