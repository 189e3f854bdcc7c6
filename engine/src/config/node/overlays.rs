//! The parameters of the overlays: who is connected to whom.
//!
//! Their defaults are those of `overlane_overlays`, which `cluster/tuning.rs` holds against these.

use overlane_overlays::hyparview::WALK_HOPS_MAX;

use super::super::allowed::{Allowed, Unit};
use super::super::parameter::{Group, Parameter, group};
use super::super::setting::Setting;
use super::{BOOLEAN, Config};

/// Longest walk, as a number of these tables.
const HOPS: Allowed = Allowed::Number(1, WALK_HOPS_MAX as u64);

group! {
    /// The full mesh: everybody is connected to everybody.
    pub struct FullMeshConfig in full_mesh as FULL_MESH;
    /// How often lost nodes are dialled again, and a sample of the neighbors is told to one of them.
    period_ms: u64 = 5_000;
        Unit::Milliseconds, Allowed::Number(100, 3_600_000);
        origin "guess: one message of at most 256 identities per node and period";
        cost "higher finds lost nodes later; lower sends more";
    /// Most lost nodes that are dialled in one period.
    redials_per_period_max: usize = 8;
        Unit::Count("nodes"), Allowed::Number(1, 1_024);
        origin "guess: half of 100 nodes does not dial the other half at once when a partition heals";
        cost "higher dials more at once; lower heals a large partition later";
    /// Most nodes that a node remembers, connected or lost.
    peers_max: usize = 1_024;
        Unit::Count("nodes"), Allowed::Number(2, 65_536);
        origin "beyond it, another overlay is better";
        cost "a lane, which is a socket at both ends, for each; beyond it newcomers are refused";
}

group! {
    /// HyParView: a few random neighbors each, and spares. Of `pub_sub` too, for the nodes of all topics.
    pub struct HyParViewConfig in hyparview as HYPARVIEW;
    /// Most neighbors: the lanes that the overlay keeps. Partisan's 6 counts the node itself.
    active_max: usize = 5;
        Unit::Count("nodes"), Allowed::Number(1, 64);
        origin "HyParView paper, section 5.1";
        cost "higher survives more deaths at once and broadcasts in fewer hops, with more lanes";
    /// Most spares, of which neighbors are replaced.
    passive_max: usize = 30;
        Unit::Count("nodes"), Allowed::Number(1, 4_096);
        origin "HyParView paper, section 5.1";
        cost "higher survives larger disasters; memory";
    /// Hops that the news of a newcomer walks.
    active_walk_hops: u8 = 6;
        Unit::Count("hops"), HOPS;
        origin "HyParView paper, section 5.1";
        cost "higher spreads newcomers better, with a message for each hop";
    /// Hops left on that walk where the newcomer becomes a spare.
    passive_walk_hops: u8 = 3;
        Unit::Count("hops"), HOPS;
        origin "HyParView paper, section 5.1";
        cost "as active_walk_hops, which it may not exceed";
    /// Hops that an exchange of spares walks.
    shuffle_hops: u8 = 6;
        Unit::Count("hops"), HOPS;
        origin "the paper leaves it open; as long as the other walk is usual";
        cost "higher mixes better, with a message for each hop";
    /// Neighbors in an exchange of spares.
    shuffle_active: usize = 3;
        Unit::Count("nodes"), Allowed::Number(0, 31);
        origin "HyParView paper, section 5.1";
        cost "higher makes larger messages and mixes sooner";
    /// Spares in it.
    shuffle_passive: usize = 4;
        Unit::Count("nodes"), Allowed::Number(0, 31);
        origin "HyParView paper, section 5.1";
        cost "higher makes larger messages and mixes sooner";
    /// How often spares are exchanged, neighbors given a sign of life, and views repaired.
    period_ms: u64 = 10_000;
        Unit::Milliseconds, Allowed::Number(100, 3_600_000);
        origin "the paper leaves it open; about one message per second and node";
        cost "higher repairs later; lower sends more";
    /// Periods without a sign of life after which a neighbor is dropped.
    silent_periods_max: u32 = 3;
        Unit::Count("periods"), Allowed::Number(1, 1_000);
        origin "guess: outlasts a lost message or two";
        cost "higher keeps a silent neighbor longer; lower drops one for a lost message";
    /// How long a node that was asked to be a neighbor may take to answer.
    answer_timeout_ms: u64 = 5_000;
        Unit::Milliseconds, Allowed::Number(10, 600_000);
        origin "guess: longer than a dial";
        cost "higher leaves a place empty longer; lower gives up slow nodes";
    /// Nodes remembered after their lane broke, one of which is tried each period.
    lost_max: usize = 8;
        Unit::Count("nodes"), Allowed::Number(0, 1_024);
        origin "guess: a view and a half";
        cost "higher dials more nodes that are gone; 0 leaves finding the other part of a split overlay to membership";
    /// How long such a node is tried.
    lost_for_ms: u64 = 3_600_000;
        Unit::Milliseconds, Allowed::Number(1_000, 604_800_000);
        origin "guess";
        cost "higher dials nodes that are gone for longer";
    /// Whether far neighbors are replaced by near ones (X-BOT).
    xbot: bool = false;
        Unit::None, BOOLEAN;
        origin "all neighbors are random in the paper";
        cost "true has shorter hops, with pings and exchanges of neighbors each period";
    /// With a zone: the least share of the neighbors that are of others, rounded up.
    far_percent: u8 = 20;
        Unit::Count("percent"), Allowed::Number(1, 90);
        origin "guess: one of five, so that four of five hops stay inside";
        cost "higher sends more between zones; lower leaves fewer lanes between them, and at least one for each node";
    /// With xbot: neighbors that are never replaced for being far.
    xbot_unbiased: usize = 1;
        Unit::Count("nodes"), Allowed::Number(0, 64);
        origin "X-BOT paper";
        cost "lower may let the overlay fall apart by distance; higher leaves less to be improved";
    /// With xbot: spares that are compared at a time.
    xbot_candidates: usize = 2;
        Unit::Count("nodes"), Allowed::Number(1, 64);
        origin "X-BOT paper";
        cost "higher finds near nodes sooner, with more pings";
    /// With xbot: periods between two attempts.
    xbot_periods: u32 = 1;
        Unit::Count("periods"), Allowed::Number(1, 10_000);
        origin "as often as spares are exchanged";
        cost "higher sends less and finds near nodes later";
}

group! {
    /// Client-server: servers connected to each other, and clients to a few of them.
    pub struct ClientServerConfig in client_server as CLIENT_SERVER;
    /// Servers that a client is connected to at a time.
    servers_per_client: usize = 2;
        Unit::Count("servers"), Allowed::Number(1, 64);
        origin "one may fail without a gap";
        cost "higher is more lanes, which is what this overlay saves";
    /// Most clients of one server; others are sent on.
    clients_max: usize = 1_024;
        Unit::Count("clients"), Allowed::Number(1, 65_536);
        origin "guess: 16 MiB of buffers of lanes";
        cost "higher lets one server carry more; lower needs more servers";
    /// Members for each server, where a switch chooses the servers itself; at least 3 servers are chosen.
    members_per_server: usize = 50;
        Unit::Count("members"), Allowed::Number(1, 65_536);
        origin "guess";
        cost "higher loads each server more; lower has more servers, which are all connected to each other";
    /// How long a server is gone before another member takes its place; 0: never.
    replace_after_ms: u64 = 30_000;
        Unit::Milliseconds, Allowed::Number(0, 86_400_000);
        origin "guess: a process that is started again is back by then";
        cost "higher leaves clients with fewer servers for longer; lower switches for a restart";
}

group! {
    /// Publish-subscribe: HyParView for all, and another one for each topic.
    pub struct PubSubConfig in pub_sub as PUB_SUB;
    /// Most topics that a node subscribes to.
    topics_max: usize = 64;
        Unit::Count("topics"), Allowed::Number(1, 4_096);
        origin "guess: about 100 MiB of messages kept at worst, and 64 times the lanes of one overlay";
        cost "higher lets a node use more lanes and memory; lower refuses topics";
    /// Most topics of others of which a node remembers who is in them.
    topics_known_max: usize = 1_024;
        Unit::Count("topics"), Allowed::Number(1, 1 << 20);
        origin "guess: about 100 KiB";
        cost "higher is memory; lower forgets topics at random, and finding them takes an announcement";
    /// Most neighbors in one topic.
    topic_active_max: usize = 5;
        Unit::Count("nodes"), Allowed::Number(1, 64);
        origin "as hyparview_active_max";
        cost "as hyparview_active_max, for each topic";
    /// Most spares in one topic.
    topic_passive_max: usize = 30;
        Unit::Count("nodes"), Allowed::Number(1, 4_096);
        origin "as hyparview_passive_max";
        cost "as hyparview_passive_max, for each topic";
    /// Least time between two announcements of one topic, by all its subscribers together.
    announce_every_ms: u64 = 60_000;
        Unit::Milliseconds, Allowed::Number(1_000, 86_400_000);
        origin "guess: each is a broadcast to all nodes";
        cost "higher finds topics later; lower broadcasts more";
    /// How long a subscriber without neighbors in its topic waits before it announces itself again; doubled each time,
    /// up to announce_every_ms.
    lonely_every_ms: u64 = 5_000;
        Unit::Milliseconds, Allowed::Number(100, 86_400_000);
        origin "guess";
        cost "higher leaves a first subscriber alone longer; lower broadcasts more";
    /// Most messages of one topic kept for neighbors that ask for them.
    messages_max: usize = 4_096;
        Unit::Count("messages"), Allowed::Number(16, 1 << 24);
        origin "guess: less than plumtree_messages_max, as there is one for each topic";
        cost "as plumtree_messages_max, for each topic";
    /// Most bytes of their payloads.
    payload_bytes_max: usize = 1 << 20;
        Unit::Bytes, Allowed::Number(4096, 1 << 30);
        origin "guess: as messages_max";
        cost "as plumtree_payload_bytes_max, for each topic";
    /// Most bytes of payloads of one topic while some are so young that neighbors may still have to ask for them.
    fresh_bytes_max: usize = 16 << 20;
        Unit::Bytes, Allowed::Number(4096, 1 << 34);
        origin "guess: as messages_max";
        cost "as plumtree_fresh_bytes_max, for each topic";
    /// Most senders of one topic of whom the number of the last message is kept.
    senders_max: usize = 256;
        Unit::Count("senders"), Allowed::Number(1, 1 << 20);
        origin "guess: as messages_max";
        cost "as plumtree_senders_max, for each topic";
}
