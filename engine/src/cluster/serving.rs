//! Who is a server: the choice among members, and who of the servers is gone for how long.
//!
//! A state machine without I/O, owned by the driver. It reads the member list, notes who was suspected, and orders nothing: the
//! driver asks it at a switch to an overlay with servers, and while one of them is gone. Equal members come in the order of
//! their identities, so two nodes that know the same choose the same.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
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

    /// Servers for all members, in order of their identities: as many as they need, and all that are to be servers. None if no
    /// member can be one.
    pub(super) fn choose(&self, members: &Table<NodeId>) -> Vec<NodeId> {
        let needed = members.live() / self.config.members_per_server.max(1);
        let candidates = self.candidates(members, &[]);
        let wish = |entry: &&&Entry<NodeId>| entry.details.fitness.role == RoleWish::Server;
        let wished = candidates.iter().filter(wish).count();
        let count = needed.max(SERVERS_MIN).max(wished).min(SERVERS_MAX);
        sorted(candidates.into_iter().take(count).map(|entry| entry.peer))
    }

    /// The same servers with others in place of those that are gone, as far as there are any. None if nobody can take a place.
    pub(super) fn replace(
        &self,
        members: &Table<NodeId>,
        servers: &[NodeId],
        gone: &[NodeId],
    ) -> Option<Vec<NodeId>> {
        let others = self.candidates(members, servers).into_iter();
        let others: Vec<_> = others.map(|entry| entry.peer).take(gone.len()).collect();
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

fn sorted(servers: impl Iterator<Item = NodeId>) -> Vec<NodeId> {
    let servers: BTreeSet<_> = servers.collect();
    servers.into_iter().collect()
}
