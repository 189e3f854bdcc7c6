//! The protocols of a node of the cluster, put together: what stands on what.
//!
//! An overlay that can be switched, the broadcast that fits it, membership, the conductor of switches, over
//! membership partition detection and the local coordinator, and at the top the kinds of broadcast. Every node of a cluster has the same, or they
//! do not understand one another. All of it is state machines of `overlane_overlays`; [`super::driver`] runs it.

use std::time::Duration;

use overlane_overlays::broadcast_kinds::{self, BroadcastKinds};
use overlane_overlays::broadcasts::{self, Broadcasts};
use overlane_overlays::coordinator::Coordinator;
use overlane_overlays::epoch::{OverlayKind, Proposal};
use overlane_overlays::event::InputOf;
use overlane_overlays::membership::{self, Details, Membership, Table};
use overlane_overlays::message::DecodeError;
use overlane_overlays::partitions::{self, Partitions};
use overlane_overlays::switching::{Conductor, ConductorConfig, Switch, SwitchConfig};
use overlane_overlays::{Event, Message, MessageId, Overlay, Peer, Protocol, Stack};

use super::identity::NodeId;
use super::serving::ServingConfig;
use crate::config::TopologyConfig;

/// An overlay and what is broadcast over it.
type Carrier = Stack<Switch<NodeId>, Broadcasts<NodeId>>;
/// With a member list, and the rules by which the overlay is switched.
type Switchable = Stack<Stack<Carrier, Membership<NodeId>>, Conductor<NodeId>>;

/// With what they make of the member list.
type Watched = Stack<Stack<Switchable, Partitions<NodeId>>, Coordinator<NodeId>>;

/// All protocols of one node.
pub(super) type Machine = Stack<Watched, BroadcastKinds<NodeId>>;
/// What they say to their like on other nodes.
pub(super) type MachineMessage = <Machine as Protocol<NodeId>>::Message;
/// Names their timers.
pub(super) type MachineTimer = <Machine as Protocol<NodeId>>::Timer;
/// What happens to them.
pub(super) type MachineInput = InputOf<Machine, NodeId>;
/// What they tell.
pub(super) type MachineEvent = Event<NodeId>;

/// Settings of all protocols of a node.
#[derive(Clone, Debug, Default)]
pub(crate) struct MachineConfig {
    /// Of the overlays and how one takes the place of another.
    pub(crate) switch: SwitchConfig,
    /// Of the broadcast below all layers.
    pub(crate) broadcasts: broadcasts::Config,
    /// Of the kinds of broadcast above them.
    pub(crate) kinds: broadcast_kinds::Config,
    /// Of membership and its failure detector.
    pub(crate) membership: membership::Config,
    /// Of the decision to switch.
    pub(crate) conductor: ConductorConfig,
    /// Of partition detection.
    pub(crate) partitions: partitions::Config,
    /// Of rules for switching the overlay.
    pub(crate) topology: TopologyConfig,
    /// Of the choice of servers.
    pub(crate) serving: ServingConfig,
    /// How often members tell what they count; zero: never.
    pub(crate) summaries_every: Duration,
}

/// The protocols of a node that knows only itself, and begins with that overlay.
///
/// # Errors
/// [`DecodeError::Invalid`] names the part of `details` that is out of bounds.
pub(super) fn machine(
    me: NodeId,
    incarnation: u64,
    details: Details,
    kind: OverlayKind,
    servers: Vec<NodeId>,
    config: MachineConfig,
) -> Result<Machine, DecodeError> {
    let switch = Switch::new(me, kind, servers.clone(), config.switch);
    let carrier = Stack::new(switch, Broadcasts::new(me, kind, config.broadcasts));
    let membership = Membership::new(me, incarnation, details, config.membership)?;
    let conductor = Conductor::new(me, kind, servers, config.conductor);
    let switchable = Stack::new(Stack::new(carrier, membership), conductor);
    let partitions = Partitions::new(me, config.partitions);
    let watched = Stack::new(Stack::new(switchable, partitions), Coordinator::new(me));
    let kinds = BroadcastKinds::new(me, incarnation, config.kinds);
    Ok(Stack::new(watched, kinds))
}

/// What can be read off the protocols.
pub(super) trait Readings {
    /// Every member, as this node knows them; a clone is a cheap snapshot.
    fn members(&self) -> &Table<NodeId>;
    /// The overlay in force.
    fn overlay(&self) -> &Proposal<NodeId>;
    /// The overlay that is being changed to.
    fn next_overlay(&self) -> Option<&Proposal<NodeId>>;
    /// To whom the overlays connect this node.
    fn neighbors(&self) -> Vec<NodeId>;
    /// The member that all who reach one another agree on.
    fn coordinator(&self) -> Option<NodeId>;
    /// The last atomic broadcast of this node.
    fn last_atomic(&self) -> Option<MessageId>;
    /// Broadcasts of others that are known not to come here any more.
    fn given_up(&self) -> u64;
}

impl Readings for Machine {
    fn members(&self) -> &Table<NodeId> {
        self.lower.lower.lower.lower.upper.table()
    }

    fn overlay(&self) -> &Proposal<NodeId> {
        self.lower.lower.lower.upper.current()
    }

    fn next_overlay(&self) -> Option<&Proposal<NodeId>> {
        self.lower.lower.lower.upper.next()
    }

    fn neighbors(&self) -> Vec<NodeId> {
        self.lower.lower.lower.lower.lower.neighbors()
    }

    fn coordinator(&self) -> Option<NodeId> {
        self.lower.upper.coordinator()
    }

    fn last_atomic(&self) -> Option<MessageId> {
        self.upper.last_atomic()
    }

    fn given_up(&self) -> u64 {
        self.lower.lower.lower.lower.lower.upper.given_up()
    }
}

/// The most bytes of a message between protocols, tail included.
pub(super) const MACHINE_BYTES_MAX: usize = MachineMessage::BYTES_MAX;

const _: () = assert!(NodeId::BYTES_MAX == 10);
