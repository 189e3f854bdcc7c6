//! The parameters of the protocols above the overlays: broadcast, membership, partitions, switching.
//!
//! Their defaults are those of `overlane_overlays`, which `cluster/tuning.rs` holds against these.

use super::super::allowed::{Allowed, Unit};
use super::super::parameter::{Group, Parameter, group};
use super::super::setting::Setting;
use super::Config;

group! {
    /// Plumtree: broadcasts along a tree, which announcements on the other links repair. How long it waits for what is
    /// no parameter: that follows from what a node measures.
    pub struct PlumtreeConfig in plumtree as PLUMTREE;
    /// How long announcements on the lazy links are gathered before they are sent.
    announce_after_ms: u64 = 50;
        Unit::Milliseconds, Allowed::Number(1, 60_000);
        origin "guess: about one hop of a wide area network";
        cost "higher sends fewer messages and repairs later";
    /// How far back a new neighbor is told of messages; two spreads if that is longer.
    catch_up_for_ms: u64 = 3_000;
        Unit::Milliseconds, Allowed::Number(0, 600_000);
        origin "guess: longer than a neighbor is replaced";
        cost "higher announces more to each new neighbor; lower loses broadcasts while the overlay is repaired";
    /// Hops that a lazy link must be shorter before it takes the place of the eager one.
    optimization_threshold: u16 = 2;
        Unit::Count("hops"), Allowed::Number(1, 1_000);
        origin "measured in the simulator (docs/simulation.md); the paper's 7 is for trees that many senders have a say in";
        cost "lower trades time for hops: a short path is not always a fast one";
    /// Most announced messages that are waited for at once.
    missing_max: usize = 4_096;
        Unit::Count("messages"), Allowed::Number(1, 1 << 20);
        origin "guess: bounds what a hostile neighbor can make a node remember";
        cost "higher is memory; lower ignores announcements sooner";
    /// How long a message is kept for neighbors that ask for it.
    keep_for_ms: u64 = 30_000;
        Unit::Milliseconds, Allowed::Number(100, 3_600_000);
        origin "guess: several repairs";
        cost "higher is memory; lower cannot repair what is late";
    /// Most messages kept; the oldest go first.
    messages_max: usize = 65_536;
        Unit::Count("messages"), Allowed::Number(16, 1 << 24);
        origin "guess: about 8 MiB without payloads";
        cost "higher is memory; lower cannot repair what is late";
    /// Most bytes of their payloads; those of the oldest go first.
    payload_bytes_max: usize = 16 << 20;
        Unit::Bytes, Allowed::Number(4096, 1 << 34);
        origin "guess";
        cost "higher is memory; lower cannot repair what is late";
    /// Most bytes of payloads while some are so young that neighbors may still have to ask for them.
    fresh_bytes_max: usize = 256 << 20;
        Unit::Bytes, Allowed::Number(4096, 1 << 36);
        origin "guess: some seconds of 64 KiB payloads at 500 per second";
        cost "higher is memory under load; lower cannot repair what is under way";
    /// Most senders of whom the number of the last message is kept.
    senders_max: usize = 4_096;
        Unit::Count("senders"), Allowed::Number(1, 1 << 20);
        origin "guess: about 160 KiB";
        cost "higher is memory; lower may deliver what is later than plumtree_keep_for_ms twice";
    /// How long that number is kept.
    senders_for_ms: u64 = 600_000;
        Unit::Milliseconds, Allowed::Number(1_000, 604_800_000);
        origin "guess: longer than a node is paused";
        cost "as plumtree_senders_max";
}

group! {
    /// The kinds of broadcast: `plain` goes as `[plumtree]` says, in a full mesh too, where it needs no tree.
    pub struct BroadcastConfig in broadcast as BROADCAST;
    /// Neighbors that each node sends a new epidemic broadcast to.
    epidemic_fan_out: usize = 4;
        Unit::Count("neighbors"), Allowed::Number(1, 1_024);
        origin "the HyParView paper's: one less than its active view";
        cost "higher reaches more and sends as many more copies";
    /// Hops that an epidemic broadcast may make.
    epidemic_ttl: u16 = 32;
        Unit::Count("hops"), Allowed::Number(1, 1_024);
        origin "guess: four times what 10,000 nodes need";
        cost "lower reaches fewer; higher is of no use";
    /// The longest that a causal broadcast waits for what it depends on; then that is given up and told.
    causal_wait_max_ms: u64 = 10_000;
        Unit::Milliseconds, Allowed::Number(100, 600_000);
        origin "guess: above the repair of a broadcast tree";
        cost "higher delays what follows a lost message; lower gives up what is late";
    /// Most causal broadcasts held back; a quarter of them for one sender.
    causal_held_max: usize = 4_096;
        Unit::Count("messages"), Allowed::Number(4, 1 << 20);
        origin "guess: seconds of a busy cluster";
        cost "higher is memory; lower ends the longest wait sooner";
    /// Most bytes of their payloads; a quarter of them for one sender.
    causal_held_bytes_max: usize = 16 << 20;
        Unit::Bytes, Allowed::Number(1 << 20, 1 << 34);
        origin "guess: as much as plumtree_payload_bytes_max";
        cost "as broadcast_causal_held_max";
    /// Most causal broadcasts kept for those that miss them, until every live member has them.
    causal_kept_max: usize = 16_384;
        Unit::Count("messages"), Allowed::Number(16, 1 << 24);
        origin "guess: about 4 MiB without payloads";
        cost "higher is memory; lower cannot repair what is late";
    /// Most bytes of their payloads.
    causal_kept_bytes_max: usize = 16 << 20;
        Unit::Bytes, Allowed::Number(4096, 1 << 34);
        origin "guess: as much as plumtree_payload_bytes_max, whose memory they share";
        cost "as broadcast_causal_kept_max";
    /// How long the sender of an atomic broadcast waits until all say that they are ready.
    atomic_vote_within_ms: u64 = 5_000;
        Unit::Milliseconds, Allowed::Number(100, 600_000);
        origin "guess: many round trips, so that messages may be lost";
        cost "higher waits longer for a member that is slow or gone; lower gives up where members are slow";
    /// Most atomic broadcasts of this node under way at a time; others are prepared for as many of it.
    atomic_rounds_max: usize = 16;
        Unit::Count("broadcasts"), Allowed::Number(1, 4_096);
        origin "guess";
        cost "higher is memory on every member; lower refuses sooner";
    /// Most bytes of the payloads of atomic broadcasts under way, of all members together.
    atomic_bytes_max: usize = 16 << 20;
        Unit::Bytes, Allowed::Number(1 << 20, 1 << 34);
        origin "guess: 64 of the largest";
        cost "as broadcast_atomic_rounds_max";
}

group! {
    /// Membership and failure detection: who is a member, and who is down.
    pub struct MembershipConfig in membership as MEMBERSHIP;
    /// Time between two probes of a member.
    probe_period_ms: u64 = 1_000;
        Unit::Milliseconds, Allowed::Number(20, 600_000);
        origin "SWIM, and memberlist's LAN profile";
        cost "higher notices deaths later; lower sends more";
    /// How long a probed member may take to answer before others are asked to probe it.
    direct_wait_ms: u64 = 300;
        Unit::Milliseconds, Allowed::Number(5, 200_000);
        origin "six times a slow network, so that a repeated packet still makes it";
        cost "higher notices deaths later; lower asks others about members that are slow";
    /// How long those have who were asked.
    indirect_wait_ms: u64 = 600;
        Unit::Milliseconds, Allowed::Number(5, 200_000);
        origin "twice membership_direct_wait_ms: a helper can wait out its own ping and still say so";
        cost "higher notices deaths later; lower accuses members that are slow";
    /// How many others are asked.
    helpers: usize = 3;
        Unit::Count("members"), Allowed::Number(0, 64);
        origin "memberlist's LAN profile";
        cost "higher accuses fewer members falsely, with more messages";
    /// Every how many probes the member that follows on the ring is probed in the place of a neighbor.
    ring_every: u32 = 5;
        Unit::Count("probes"), Allowed::Number(1, 10_000);
        origin "guess";
        cost "it bounds how long a member that nobody has for a neighbor can be dead unseen";
    /// How long a member that enough others accuse has to refute it before it is down.
    grace_least_ms: u64 = 4_000;
        Unit::Milliseconds, Allowed::Number(20, 600_000);
        origin "memberlist's suspicion multiplier of 4 periods";
        cost "higher notices deaths later; lower tells members down that were paused";
    /// How long a member has that only one accuses.
    grace_most_ms: u64 = 12_000;
        Unit::Milliseconds, Allowed::Number(20, 3_600_000);
        origin "guess: three times membership_grace_least_ms";
        cost "as membership_grace_least_ms";
    /// How long a member that is gone is remembered.
    forget_after_ms: u64 = 600_000;
        Unit::Milliseconds, Allowed::Number(1_000, 604_800_000);
        origin "guess: far above the time in which everybody hears of a death";
        cost "higher remembers those that are gone for longer; a partition that lasts longer heals by its seeds alone";
    /// Every how many probes one of the members that are down is pinged.
    revisit_every: u32 = 10;
        Unit::Count("probes"), Allowed::Number(1, 10_000);
        origin "guess: n nodes together ping n/10 of them per period";
        cost "higher finds out later that a partition has healed; lower dials the dead more often";
    /// Every how many probes the first member broadcasts a sign of life.
    beacon_every: u32 = 5;
        Unit::Count("probes"), Allowed::Number(1, 10_000);
        origin "guess: an overlay that split is repaired after four times as long";
        cost "higher repairs a split overlay later; lower broadcasts more";
    /// Most members known, those that are gone included.
    members_max: usize = 65_536;
        Unit::Count("members"), Allowed::Number(2, 1 << 20);
        origin "five times the largest cluster that this is built for";
        cost "about 200 bytes each; others are refused";
}

group! {
    /// Detection of partitions: when so many members are lost at once that the network has split.
    pub struct PartitionsConfig in partitions as PARTITIONS;
    /// Within what time losses count together.
    window_ms: u64 = 30_000;
        Unit::Milliseconds, Allowed::Number(100, 3_600_000);
        origin "twice as long as the deaths of four of five members take to be told (docs/simulation-layers.md)";
        cost "higher takes crashes one by one for a partition; lower does not see one that is told slowly";
    /// How long after the last loss the sides are named.
    settle_ms: u64 = 5_000;
        Unit::Milliseconds, Allowed::Number(10, 600_000);
        origin "of many deaths the next is told within 4 s";
        cost "higher tells a partition later; lower may name the sides before all losses are known";
    /// Share of the members whose loss within the window is a partition.
    lost_percent: usize = 20;
        Unit::Count("percent"), Allowed::Number(1, 100);
        origin "guess: above the loss of one rack of eight, below that of one zone of three";
        cost "higher misses smaller partitions; lower takes crashes for one";
    /// Losses that are a partition at least, however few members there are.
    lost_min: usize = 2;
        Unit::Count("members"), Allowed::Number(1, 65_536);
        origin "one is a crash";
        cost "as partitions_lost_percent";
}

group! {
    /// What members tell one another of what they count, so that each can show the whole cluster
    /// (docs/decisions/0063-metrics-of-the-whole-cluster.md).
    pub struct SummariesConfig in summaries as SUMMARIES;
    /// How often a node says what it counts, and passes on what others said; with more than 64 members it says so each
    /// so many times less often. 0: neither, and the node is missing in what others show of the cluster.
    period_ms: u64 = 10_000;
        Unit::Milliseconds, Allowed::Number(0, 3_600_000);
        origin "guess: as often as Prometheus scrapes";
        cost "lower is newer, and more bytes and wake-ups: about 1 KiB from each member in each period";
}

group! {
    /// Switching the overlay while traffic flows (docs/decisions/0018-switching-overlays.md).
    pub struct SwitchingConfig in switching as SWITCHING;
    /// How long a new overlay may take until all live members answer over it; then it is given up.
    prepare_max_ms: u64 = 60_000;
        Unit::Milliseconds, Allowed::Number(100, 3_600_000);
        origin "guess: some periods of HyParView, and as long as the deaths of many take to be told";
        cost "higher leaves two overlays side by side longer; lower gives up where members are slow";
    /// How often the proposer probes the new overlay.
    probe_every_ms: u64 = 1_000;
        Unit::Milliseconds, Allowed::Number(10, 600_000);
        origin "as often as nodes try to get into it";
        cost "higher commits later; lower sends more";
    /// How long the overlay before goes on beside the one in force.
    retire_after_ms: u64 = 5_000;
        Unit::Milliseconds, Allowed::Number(10, 3_600_000);
        origin "guess: longer than a commit takes to reach everybody, and what is under way to arrive";
        cost "higher keeps lanes longer; lower repairs more broadcasts after a switch";
    /// How often a node that lacks neighbors in a new overlay tries another way in.
    join_every_ms: u64 = 1_000;
        Unit::Milliseconds, Allowed::Number(10, 600_000);
        origin "guess: some round trips";
        cost "higher prepares later; lower sends more";
    /// How long answers to a probe are gathered before they are passed on.
    gather_for_ms: u64 = 50;
        Unit::Milliseconds, Allowed::Number(1, 60_000);
        origin "guess: the time of a lane or two";
        cost "higher verifies later; lower sends more";
}
