//! The cluster: who is a member, over which overlay they talk, and broadcasts to all of them.
//!
//! [`Cluster`] is what an application has of it. The protocols are state machines of `overlane_overlays`; here is what
//! runs them over real lanes. In the order of a message's way: [`handle`] takes an order, `orders` carries it, `resident`
//! (on the control shard) gives it to the `driver`, which runs the `machine` and says what is to be done; `resident`
//! sends `words` to control shards of other nodes, on the engine's own channel, or a `payload` on its channel.
//!
//! Beside the driver: `identity` (nodes as numbers), `book` (where they are), `strangers` (of whom that is not known yet),
//! `seeds` and `asking` (how a newcomer finds members), `discovered` (what discoveries find), `parted` (on which side of a
//! partition), `decisions` (what was decided there), `channels` (changes of channels on all nodes), `summaries` (what all nodes count), `relay` (messages that go
//! over others), `serving` (who is a server), `names` (as they travel), `timers`, `clock`, `view`, `tuning` (from
//! configuration to protocols), and `topology`: which overlay fits.

mod asking;
mod book;
mod broadcast_handle;
mod channel_handle;
mod channels;
mod clock;
mod counts;
mod decisions;
mod discovered;
mod driver;
mod error;
mod handle;
mod identity;
mod kind;
mod libcluster;
mod machine;
mod merging;
mod metrics_handle;
mod names;
mod orders;
mod outcome;
mod parted;
mod payload;
mod relay;
mod resident;
mod seeds;
mod serving;
mod strangers;
mod summaries;
#[cfg(test)]
mod tests;
mod timers;
mod topics;
mod topology;
mod topology_handle;
mod tuning;
mod view;
mod words;

use std::sync::Arc;

use crate::channel::Channel;
use crate::config::Config;
use crate::control::link::ControlLink;
use crate::error::StartError;
use crate::fabric::Fabric;
use crate::inbox::Inbox;
use crate::relay_book::RelayBook;
use crate::shard::command::CommandSender;
use crate::wire::Name;
use asking::Asker;
use clock::Clock;
use driver::{Driver, Identity};
use machine::MachineConfig;
use orders::ClusterState;
use overlane_overlays::membership::Fitness;
use relay::carrier::Carrier;
use resident::{ClusterResident, Parts};

pub use channels::{CHANGE_BYTES_MAX, CHANGED_MAX, ChannelChange, ChannelChangeReport};
pub use counts::{BroadcastCounts, KindCounts};
pub use decisions::{
    DECIDERS_MAX, DECISION_BYTES_MAX, DECISIONS_BYTES_MAX, DECISIONS_MAX, Decision,
};
pub use error::{
    AtomicError, BroadcastError, ChannelChangeError, ClusterError, ClusterMetricsError, EvictError,
    JoinError, LeaveError, SwitchError, TopicError,
};
pub use handle::{Cluster, Member, MemberStatus, OverlayView, Partition};
pub use kind::{BroadcastKind, UnknownKind};
pub use libcluster::{BadNodes, LibclusterTopology};
pub use overlane_overlays::AtomicOutcome;
pub use overlane_overlays::epoch::{OverlayKind, Step as OverlayStep, WhyBack};
pub use overlane_overlays::switching::{TrialFigures, TrialReport};
pub use resident::{HOPS_KEY, ORIGIN_KEY, TOPIC_KEY};
pub(crate) use summaries::{CHANNEL_FIGURES, Figure, NODE_FIGURES};
pub use summaries::{
    ChannelTotal, ClusterMetrics, FigureTotal, SUMMARY_BYTES_MAX, SummaryAge, fuzz_summary,
};
pub use topology::{
    Analysis, Blocked, Condition, Forecast, Measurements, MustBe, OrderedBy, OverlayTrial, PeerRtt,
    SwitchEnd, SwitchRecord, TopologyError, Trend, Verdict,
};
pub use tuning::protocols;

/// The mailbox in which control shards hear of payloads that are broadcast, on the payloads' channels.
pub(crate) const PAYLOADS: &str = "overlane.broadcast";

/// The mailbox in which they hear of messages that go over others, on the messages' channels.
pub(crate) const RELAYED: &str = "overlane.relay";

/// Has the control shard run the cluster's protocols from now on, if the configuration names an overlay. `words`,
/// `payloads` and `relayed` are the inboxes of its mailboxes.
pub(crate) fn start(
    fabric: &Arc<Fabric>,
    link: &Arc<ControlLink>,
    shards: &Arc<[CommandSender]>,
    words: Inbox,
    payloads: Inbox,
    relayed: Inbox,
) -> Result<Cluster, StartError> {
    let config = &fabric.config;
    let broken = |what: String| StartError::Machine {
        what,
        remedy: "correct the configuration".to_owned(),
    };
    let kind = config.overlay.kind();
    let control = fabric.channels.control();
    let (Some(first), Some(plan)) = (kind, control) else {
        return Err(broken("the configuration names no overlay".to_owned()));
    };
    let addresses = if config.advertise.is_empty() {
        vec![fabric.address]
    } else {
        config.advertise.clone()
    };
    let identity = Identity {
        name: config.node_name.as_str().into(),
        incarnation: fabric.incarnation,
        addresses,
        first,
        servers: config.servers.clone(),
        fitness: fitness(config),
        zone: config.zone.name().to_owned(),
        discoveries: config
            .discovery
            .iter()
            .map(|known| known.name.clone())
            .collect(),
    };
    let driver = Driver::new(identity, MachineConfig::of(config), fastrand::u64(..))
        .map_err(|error| broken(error.to_string()))?;
    let name = |text: &str| Name::new(text).map_err(|error| broken(error.to_string()));
    let asker = Asker {
        cluster: name(&config.cluster)?,
        node: name(&config.node_name)?,
        session: name(fabric.security.mode().word())?,
        security: Arc::clone(&fabric.security),
        incarnation: fabric.incarnation,
        terms: plan.terms.clone(),
    };
    let looking = Arc::clone(link);
    let (book, offers) = RelayBook::new(move || looking.look());
    let book = Arc::clone(fabric.relay.get_or_init(|| Arc::new(book)));
    let carrier = Carrier::new(Arc::clone(fabric), book, offers, relayed);
    let (state, orders) = ClusterState::new(driver.view(), &config.discovery);
    let cluster = Cluster::new(Arc::clone(fabric), Arc::clone(link), Arc::clone(&state));
    if !config.seeds.is_empty() {
        // The queue is empty, so there is room.
        let _ = cluster.begin_join(&config.seeds);
    }
    link.hand_over(Box::new(ClusterResident::new(Parts {
        fabric: Arc::clone(fabric),
        link: Arc::clone(link),
        clock: Clock::new(),
        driver,
        state,
        orders,
        asker,
        shards: Arc::clone(shards),
        control: Channel::new(Arc::clone(fabric), Arc::clone(&plan.entry)),
        words,
        payloads,
        carrier,
    })));
    Ok(cluster)
}

/// What a node says it is fit for.
fn fitness(config: &Config) -> Fitness {
    let cores = || std::thread::available_parallelism().map_or(1, usize::from);
    let capacity = config.capacity;
    Fitness {
        role: config.role.into(),
        capacity: capacity.unwrap_or_else(|| u16::try_from(cores()).unwrap_or(u16::MAX)),
    }
}
