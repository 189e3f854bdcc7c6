//! The cluster as an application sees it: who is a member, which overlay carries, and what it can order.
//!
//! Reads views that the control shard publishes, and leaves orders for it. Waits only where its documentation
//! says so.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use crossbeam_channel::{RecvTimeoutError, Sender, bounded};
use event_listener::Listener;
use overlane_discovery::Report;
use overlane_overlays::epoch::OverlayKind;
use overlane_overlays::membership::{METADATA_BYTES_MAX, Status};

use super::error::{ClusterError, EvictError, JoinError, LeaveError, SwitchError};
use super::identity::NodeId;
use super::orders::{ClusterState, NotTaken, Order};
use super::outcome::SwitchOutcome;
use super::topology::OverlayTrial;
use super::view::View;
use crate::config::{NodeRole, Seed};
use crate::control::link::ControlLink;
use crate::deadline::deadline_in;
use crate::fabric::Fabric;
use crate::metrics::DiscoveryMetrics;
use crate::relay_book::RelayCounts;
use crate::threads;

/// The cluster that a node is in, or can join: see [`Node::cluster`](crate::Node::cluster). Cheap to clone,
/// usable from any thread.
#[derive(Clone, Debug)]
pub struct Cluster {
    pub(super) fabric: Arc<Fabric>,
    link: Arc<ControlLink>,
    pub(super) state: Arc<ClusterState>,
}

/// A node of the cluster, as this node knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Its name.
    pub name: String,
    /// Whether it is there.
    pub status: MemberStatus,
    /// The number of this start of the node: grows each time it starts.
    pub incarnation: u64,
    /// Where it is found, best first.
    pub addresses: Vec<SocketAddr>,
    /// What its application says of it: see [`Cluster::set_metadata`].
    pub metadata: Vec<u8>,
    /// Whether it is to be a server where servers are chosen.
    pub role: NodeRole,
    /// How much it can carry as one, compared with others.
    pub capacity: u16,
    /// The zone that it runs in; empty if it is in none.
    pub zone: String,
    /// It is this node itself.
    pub is_self: bool,
    /// The overlay connects this node to it.
    pub is_neighbor: bool,
}

/// What is believed of a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum MemberStatus {
    /// It answers, or nobody says otherwise.
    Alive,
    /// It does not answer somebody, and is down unless it says otherwise in time.
    Suspect,
    /// It did not say otherwise in time.
    Down,
    /// It said goodbye.
    Left,
}

impl MemberStatus {
    /// The word for it in listings and JSON.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Alive => "alive",
            Self::Suspect => "suspect",
            Self::Down => "down",
            Self::Left => "left",
        }
    }

    /// Part of the cluster: alive or suspect.
    #[must_use]
    pub const fn is_live(self) -> bool {
        matches!(self, Self::Alive | Self::Suspect)
    }
}

impl From<Status> for MemberStatus {
    fn from(status: Status) -> Self {
        match status {
            Status::Alive => Self::Alive,
            Status::Suspect => Self::Suspect,
            Status::Down => Self::Down,
            Status::Left => Self::Left,
        }
    }
}

/// The overlay as this node sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OverlayView {
    /// Grows with each switch; 0 is the one that the cluster began with.
    pub epoch: u64,
    /// Which overlay carries.
    pub kind: OverlayKind,
    /// Of a client-server overlay, its servers.
    pub servers: Vec<String>,
    /// The overlay that is being changed to, if one is.
    pub next: Option<OverlayKind>,
    /// To whom the overlay connects this node.
    pub neighbors: Vec<String>,
}

/// A partition of the cluster, as a node sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Partition {
    /// Members that this node reaches, itself among them, of those that were agreed on before.
    pub here: Vec<String>,
    /// Those that it does not reach.
    pub there: Vec<String>,
    /// Those that it reaches are more than half of both, or half of them and the member whose identity is the least
    /// is among them: no other side can say the same. Channels of `on_partition = halt` go on here.
    pub has_quorum: bool,
}

impl Cluster {
    pub(super) const fn new(
        fabric: Arc<Fabric>,
        link: Arc<ControlLink>,
        state: Arc<ClusterState>,
    ) -> Self {
        Self {
            fabric,
            link,
            state,
        }
    }

    /// Enters the cluster through one of these places, besides those of the configuration, and waits until this node
    /// is a member among others. All of them are asked at once, and again until one lets this node in, also after
    /// the time is over.
    ///
    /// # Errors
    /// [`JoinError::TimedOut`] names the places where nobody was found, and why; [`JoinError::Closed`] once the
    /// node has stopped; [`JoinError::WouldDeadlock`] on a thread of the engine.
    pub fn join(&self, seeds: &[Seed], timeout: Duration) -> Result<(), JoinError> {
        self.begin_join(seeds).map_err(JoinError::from)?;
        self.wait_joined(timeout)
    }

    /// [`join`](Self::join) without waiting.
    ///
    /// # Errors
    /// [`ClusterError::Busy`] if a thousand orders wait, [`ClusterError::Closed`] once the node has stopped.
    pub fn begin_join(&self, seeds: &[Seed]) -> Result<(), ClusterError> {
        let places = seeds.iter().map(|seed| seed.place().to_owned());
        self.order(Order::Join(places.collect()))
    }

    /// Waits until this node is a member among others; at once if it is, or if it is the only seed there is.
    ///
    /// # Errors
    /// As [`join`](Self::join).
    pub fn wait_joined(&self, timeout: Duration) -> Result<(), JoinError> {
        let joins = self.state.joins();
        self.wait_for(timeout, |view| view.has_joined(joins))
            .map_err(|failure| match failure {
                WaitFailure::TimedOut => JoinError::TimedOut {
                    waited: timeout,
                    failures: self.state.view.load().seed_failures.clone(),
                },
                WaitFailure::Closed => JoinError::Closed,
                WaitFailure::WouldDeadlock => JoinError::WouldDeadlock,
            })
    }

    /// Says goodbye to everybody and waits until that has been said. The node goes on without a cluster; it cannot
    /// join again until it is started again. [`Node::stop`](crate::Node::stop) says goodbye by itself.
    ///
    /// # Errors
    /// [`LeaveError`]: others will find out that this node is gone.
    pub fn leave(&self, timeout: Duration) -> Result<(), LeaveError> {
        self.order(Order::Leave).map_err(LeaveError::from)?;
        self.wait_for(timeout, |view| view.has_left)
            .map_err(|failure| match failure {
                WaitFailure::TimedOut => LeaveError::TimedOut { waited: timeout },
                WaitFailure::Closed => LeaveError::Closed,
                WaitFailure::WouldDeadlock => LeaveError::WouldDeadlock,
            })
    }

    /// Has a member say goodbye to everybody, and waits until this node has heard that. It goes on without a cluster, and is told
    /// so ([`Event::Evicted`](crate::Event::Evicted)); it can join again once it is started again. Any member can evict
    /// any other. One that does not obey, because it is not reached, is found to be down in time.
    ///
    /// # Errors
    /// [`EvictError`].
    pub fn evict(&self, name: &str, timeout: Duration) -> Result<(), EvictError> {
        let id = NodeId::of(name);
        let view = self.state.view.load();
        let named = || name.to_owned();
        if id == view.me {
            return Err(EvictError::Itself);
        }
        let known = view.members.get(&id);
        let status = known.map(|known| MemberStatus::from(known.status));
        match status {
            None => return Err(EvictError::Unknown { name: named() }),
            Some(status) if !status.is_live() => {
                let (name, status) = (named(), status.word());
                return Err(EvictError::Gone { name, status });
            }
            Some(_) => {}
        }
        self.order(Order::Evict(named()))?;
        let is_gone = |view: &View| {
            view.members
                .get(&id)
                .is_none_or(|known| !known.status.is_live())
        };
        self.wait_for(timeout, is_gone)
            .map_err(|failure| match failure {
                WaitFailure::TimedOut => EvictError::TimedOut {
                    name: named(),
                    waited: timeout,
                },
                WaitFailure::Closed => EvictError::Closed,
                WaitFailure::WouldDeadlock => EvictError::WouldDeadlock,
            })
    }

    /// All members that this node knows, itself among them, those that are gone too until they are forgotten
    /// (10 minutes), by name.
    #[must_use]
    pub fn members(&self) -> Vec<Member> {
        let view = self.state.view.load();
        let mut members: Vec<_> = view
            .members
            .iter()
            .map(|entry| Member {
                name: entry.details.name.clone(),
                status: entry.status.into(),
                incarnation: entry.version.incarnation,
                addresses: entry.details.addresses.clone(),
                metadata: entry.details.metadata.clone(),
                role: entry.details.fitness.role.into(),
                capacity: entry.details.fitness.capacity,
                zone: entry.details.zone.clone(),
                is_self: entry.peer == view.me,
                is_neighbor: view.neighbors.contains_key(&entry.peer),
            })
            .collect();
        members.sort_unstable_by(|one, other| one.name.cmp(&other.name));
        members
    }

    /// How many members are live, this node among them.
    #[must_use]
    pub fn live(&self) -> usize {
        self.state.view.load().members.live()
    }

    /// Whether this node is a member among others, or the only one that there is to be.
    #[must_use]
    pub fn is_joined(&self) -> bool {
        let joins = self.state.joins();
        self.state.view.load().has_joined(joins)
    }

    /// The overlay that carries now.
    #[must_use]
    pub fn overlay(&self) -> OverlayView {
        let view = self.state.view.load();
        let servers = view.overlay.servers.iter();
        let neighbors = view.neighbors.values();
        OverlayView {
            epoch: view.overlay.epoch.number,
            kind: view.overlay.kind,
            servers: servers.map(|id| view.name(*id).to_string()).collect(),
            next: view.next_overlay.as_ref().map(|next| next.kind),
            neighbors: neighbors.map(ToString::to_string).collect(),
        }
    }

    /// The member that all who reach one another agree on, in each part of a cluster that has split another one. A hint
    /// for who does a thing that does no harm when two do it.
    #[must_use]
    pub fn coordinator(&self) -> Option<String> {
        let view = self.state.view.load();
        view.coordinator.map(|id| view.name(id).to_string())
    }

    /// The partition that lasts, if the cluster is parted as far as this node can tell.
    #[must_use]
    pub fn partition(&self) -> Option<Partition> {
        let view = self.state.view.load();
        let parted = view.parted.as_ref()?;
        let names = |names: &[Arc<str>]| names.iter().map(ToString::to_string).collect();
        Some(Partition {
            here: names(&parted.here),
            there: names(&parted.there),
            has_quorum: parted.has_quorum,
        })
    }

    /// Gives all nodes another overlay while traffic flows, and waits until it is in force here, or was given up.
    /// `servers` are names of members, for a client-server overlay; none: chosen among the members by their `role`, stability
    /// and `capacity`.
    ///
    /// # Errors
    /// [`SwitchError`] says why not; then the overlay is as before.
    pub fn switch_overlay(
        &self,
        kind: OverlayKind,
        servers: &[String],
        timeout: Duration,
    ) -> Result<OverlayView, SwitchError> {
        self.order_switch(kind, servers, None, timeout)
    }

    /// The same, tried on a part of the cluster first: some members build the overlay beside the one in force, samples go over
    /// both for a time, and by what `topology_trial_*` allow all members get it, or nobody does. Traffic stays on the overlay
    /// in force until then. `timeout` is for all of it. It is given up when one of these members is gone, the cluster
    /// is parted, or anybody orders another switch.
    ///
    /// # Errors
    /// [`SwitchError::RolledBack`] with [`WhyBack::TrialFailed`](crate::WhyBack::TrialFailed) if it measured worse;
    /// [`Event::OverlayTried`](crate::Event::OverlayTried) and [`topology_history`](Self::topology_history) say what was
    /// measured. Others as of [`switch_overlay`](Self::switch_overlay).
    pub fn try_overlay(
        &self,
        kind: OverlayKind,
        servers: &[String],
        trial: &OverlayTrial,
        timeout: Duration,
    ) -> Result<OverlayView, SwitchError> {
        self.order_switch(kind, servers, Some(trial.clone()), timeout)
    }

    fn order_switch(
        &self,
        kind: OverlayKind,
        servers: &[String],
        trial: Option<OverlayTrial>,
        timeout: Duration,
    ) -> Result<OverlayView, SwitchError> {
        if threads::is_own() {
            return Err(SwitchError::WouldDeadlock);
        }
        let (answer, answered) = bounded(1);
        let order = Order::Switch {
            kind,
            servers: servers.to_vec(),
            trial,
            answer,
        };
        self.order(order).map_err(SwitchError::from)?;
        match answered.recv_deadline(deadline_in(timeout)) {
            Ok(SwitchOutcome::Committed) => Ok(self.overlay()),
            Ok(other) => Err(other.error(kind)),
            Err(RecvTimeoutError::Timeout) => Err(SwitchError::TimedOut { waited: timeout }),
            Err(RecvTimeoutError::Disconnected) => Err(SwitchError::Closed),
        }
    }

    /// Counts of this node's part in messages that go over others (channels with `reach = relay`).
    #[must_use]
    pub fn relay_counts(&self) -> RelayCounts {
        let book = self.fabric.relay.get();
        book.map(|book| book.counts()).unwrap_or_default()
    }

    /// Lets every member know that of this node: at most 512 bytes, the application's own.
    ///
    /// # Errors
    /// [`ClusterError`].
    pub fn set_metadata(&self, metadata: impl Into<Bytes>) -> Result<(), ClusterError> {
        let metadata = metadata.into();
        if metadata.len() > METADATA_BYTES_MAX {
            return Err(ClusterError::MetadataTooLarge {
                bytes: metadata.len(),
            });
        }
        self.order(Order::SetMetadata(metadata))
    }

    /// The discoveries of this node, in the order of the configuration: what they find, and how often they looked.
    #[must_use]
    pub fn discoveries(&self) -> Vec<DiscoveryMetrics> {
        self.state.discoveries.all()
    }

    /// Takes what came of a discovery's look. One for which there is no room is lost: the next look repeats it.
    pub(crate) fn discovered(&self, discovery: usize, report: Report) {
        if let Some(sighting) = self.state.discoveries.count(discovery, report) {
            let _ = self.order(Order::Discovered(sighting));
        }
    }

    pub(super) fn fabric(&self) -> &Fabric {
        &self.fabric
    }

    pub(super) fn view(&self) -> Arc<View> {
        self.state.view.load_full()
    }

    /// Wishes have changed.
    pub(super) fn look(&self) {
        self.link.look();
    }

    /// Leaves an order for the control shard.
    pub(super) fn order(&self, order: Order) -> Result<(), ClusterError> {
        self.state.order(order).map_err(|refused| match refused {
            NotTaken::Full => ClusterError::Busy,
            NotTaken::Ended => ClusterError::Closed,
        })?;
        self.link.look();
        Ok(())
    }

    /// Leaves a question for the control shard, and waits for its answer.
    pub(super) fn ask<T>(
        &self,
        question: impl FnOnce(Sender<T>) -> Order,
        patience: Duration,
    ) -> Result<T, Unanswered> {
        if threads::is_own() {
            return Err(Unanswered::WouldDeadlock);
        }
        let (answer, answered) = bounded(1);
        self.order(question(answer)).map_err(Unanswered::NotTaken)?;
        answered
            .recv_deadline(deadline_in(patience))
            .map_err(|error| match error {
                RecvTimeoutError::Timeout => Unanswered::TimedOut { waited: patience },
                RecvTimeoutError::Disconnected => Unanswered::Closed,
            })
    }

    pub(super) fn wait_for(
        &self,
        timeout: Duration,
        holds: impl Fn(&View) -> bool,
    ) -> Result<(), WaitFailure> {
        if threads::is_own() {
            return Err(WaitFailure::WouldDeadlock);
        }
        let deadline = deadline_in(timeout);
        loop {
            let changed = self.state.changed.listen();
            if holds(&self.state.view.load()) {
                return Ok(());
            }
            if self.fabric.has_ended() {
                return Err(WaitFailure::Closed);
            }
            if changed.wait_deadline(deadline).is_none() && Instant::now() >= deadline {
                return Err(WaitFailure::TimedOut);
            }
        }
    }
}

/// Why a question to the control shard was not answered.
pub(super) enum Unanswered {
    NotTaken(ClusterError),
    TimedOut { waited: Duration },
    Closed,
    WouldDeadlock,
}

/// For an error that has a variant for each reason, under its name, and takes what an order was refused for.
macro_rules! from_unanswered {
    ($error:ident) => {
        impl From<Unanswered> for $error {
            fn from(why: Unanswered) -> Self {
                match why {
                    Unanswered::NotTaken(error) => error.into(),
                    Unanswered::TimedOut { waited } => Self::TimedOut { waited },
                    Unanswered::Closed => Self::Closed,
                    Unanswered::WouldDeadlock => Self::WouldDeadlock,
                }
            }
        }
    };
}
pub(super) use from_unanswered;

/// Why a wait ended in vain.
pub(super) enum WaitFailure {
    TimedOut,
    Closed,
    WouldDeadlock,
}
