//! The parameters of switching the overlay by rules and for workloads: thresholds, looks, cooldown.
//!
//! The rules themselves are in `cluster/topology/rules.rs`.

use super::super::allowed::{Allowed, Unit};
use super::super::choices::{RULE_SET_WORDS, RuleSet, TOPOLOGY_WORDS, TopologyMode};
use super::super::gauge_rule::GaugeRule;
use super::super::parameter::{Group, Parameter, group};
use super::super::setting::Setting;
use super::super::workload::Workload;
use super::Config;

/// A number of members at which something changes; 0 turns it off.
const MEMBERS: Allowed = Allowed::Number(0, 1 << 20);

group! {
    /// Rules for switching the overlay. The member of the least identity follows them; a rule has to hold for some looks in
    /// a row, and after a switch, or one that was given up, there is a pause. They can be changed while a node runs
    /// (`Cluster::set_topology_rules`).
    pub struct TopologyConfig in topology as TOPOLOGY;
    /// Whether the rules switch the overlay, or are only looked at by `Cluster::analyze`.
    mode: TopologyMode = TopologyMode::Manual;
        Unit::None, Allowed::Words(TOPOLOGY_WORDS);
        origin "whoever runs a cluster asks for changes of it";
        cost "auto builds another overlay beside the one in force when a rule says so";
    /// Which set of rules: default goes by size and by what is measured, scale by size alone.
    rules: RuleSet = RuleSet::Default;
        Unit::None, Allowed::Words(RULE_SET_WORDS);
        origin "a reason besides size saves switches that nobody needs";
        cost "scale switches whenever a limit is crossed";
    /// How often it is measured, and looked whether a rule holds.
    look_s: u64 = 60;
        Unit::Seconds, Allowed::Number(1, 86_400);
        origin "the monitoring interval of seed 003";
        cost "higher reacts later; lower sends more pings, and asks the shards for their counts more often";
    /// Looks in a row in which a rule has to hold before it is followed.
    hold_looks: u32 = 3;
        Unit::Count("looks"), Allowed::Number(1, 1_000);
        origin "guess: what lasts for three minutes is no spike";
        cost "higher reacts later; lower follows spikes";
    /// How long after a switch, whoever ordered it and however it ended, no rule is followed.
    cooldown_s: u64 = 300;
        Unit::Seconds, Allowed::Number(0, 604_800);
        origin "the cooldown of seed 003";
        cost "higher leaves an overlay that does not fit longer; lower may switch to and fro";
    /// How far beyond a limit of size the cluster must be to cross it, where one limit counts both ways (rules = scale).
    margin_percent: u64 = 10;
        Unit::Count("percent"), Allowed::Number(0, 90);
        origin "guess: a few nodes that come and go are no other size";
        cost "higher switches later; lower switches to and fro at a limit";
    /// How many looks ahead rules look, at where size and load lead to if they go on as they did; 0: they go by what is
    /// measured alone.
    forecast_looks: u32 = 0;
        Unit::Count("looks"), Allowed::Number(0, 120);
        origin "a switch ahead of time is one too many if it does not come to that";
        cost "higher switches earlier, and is wrong more often. At most topology_forecast_window_looks";
    /// With a forecast: looks that a trend goes back.
    forecast_window_looks: u16 = 10;
        Unit::Count("looks"), Allowed::Number(4, 120);
        origin "guess: what has gone on for ten minutes goes on for some";
        cost "higher is surer and later; lower takes shorter rises for trends";
    /// With a forecast: how much of the ups and downs in that window a straight line has to explain.
    forecast_fit_percent: u64 = 90;
        Unit::Count("percent"), Allowed::Number(50, 100);
        origin "a step explains 77 of 100, a spike and a flapping metric much less; growth in uneven steps more than 90";
        cost "higher foresees only the steadiest growth; lower takes steps and noise for trends";
    /// Share of the members on which rules try an overlay before all get it; 0: all get it at once. Switches that are ordered
    /// say it themselves.
    trial_percent: u8 = 0;
        Unit::Count("percent"), Allowed::Number(0, 100);
        origin "a trial delays each switch by its time, and costs lanes";
        cost "higher tries on more nodes: at least three, at most 64";
    /// How long a trial measures: 30 samples, each of which has the time to the next one to come back.
    trial_s: u64 = 30;
        Unit::Seconds, Allowed::Number(1, 600);
        origin "guess: a sample a second";
        cost "higher sees rarer trouble, and keeps two overlays side by side longer";
    /// In a trial, the least share of samples that is answered, of the share over the overlay in force.
    trial_reach_percent: u32 = 99;
        Unit::Count("percent"), Allowed::Number(1, 100);
        origin "guess: one of a hundred may come too late by chance";
        cost "higher gives up for less; lower adopts what loses more";
    /// In a trial, the longest round trip, 99 of 100, of the one over the overlay in force. One of at most
    /// topology_rtt_p99_us_max is never too long.
    trial_latency_percent: u32 = 400;
        Unit::Count("percent"), Allowed::Number(1, 100_000);
        origin "guess: a thousand nodes with five neighbors have four hops where a full mesh has one";
        cost "higher adopts slower overlays";
    /// In a trial, the most copies of a sample that come to a node, of those over the overlay in force.
    trial_load_percent: u32 = 1_000;
        Unit::Count("percent"), Allowed::Number(1, 100_000);
        origin "guess: twice the view of five, as a sample floods its overlay";
        cost "higher adopts overlays with more lanes";
    /// Members that are pinged in each look, of those that there is a lane to.
    sample_max: usize = 16;
        Unit::Count("members"), Allowed::Number(1, 256);
        origin "guess: the median of 16 tells a slow network from a slow node";
        cost "a small message there and back for each";
    /// default: below so many members a slow overlay gives way to a full mesh.
    mesh_below: u64 = 10;
        Unit::Count("members"), MEMBERS;
        origin "seed 003";
        cost "higher has more lanes; lower has more hops";
    /// default: above so many members a full mesh that is costly or unstable gives way to HyParView.
    hyparview_above: u64 = 20;
        Unit::Count("members"), MEMBERS;
        origin "seed 003";
        cost "as topology_mesh_below";
    /// default: above so many members an overlay that takes too much of the network, or too many hops, gives way to
    /// client-server.
    servers_above: u64 = 1_000;
        Unit::Count("members"), MEMBERS;
        origin "seed 003";
        cost "higher leaves the work to all nodes alike; lower leaves it to servers";
    /// default: below so many members any overlay but pub_sub gives way to a full mesh, for that alone; 0: never.
    size_only_mesh_below: u64 = 6;
        Unit::Count("members"), MEMBERS;
        origin "with a view of 5 all are connected to all then";
        cost "higher has more lanes; lower has more hops";
    /// default: above so many members a full mesh gives way to HyParView, for that alone; 0: never.
    size_only_hyparview_above: u64 = 100;
        Unit::Count("members"), MEMBERS;
        origin "seed 004: large clusters";
        cost "higher has more lanes; lower has more hops";
    /// default: above so many members any overlay gives way to client-server, for that alone; 0: never.
    size_only_servers_above: u64 = 0;
        Unit::Count("members"), MEMBERS;
        origin "servers are a choice, not a consequence of size";
        cost "as topology_servers_above";
    /// scale: below so many members a full mesh.
    scale_mesh_below: u64 = 10;
        Unit::Count("members"), MEMBERS;
        origin "seed 004";
        cost "as topology_mesh_below";
    /// scale: below so many members client-server, from so many on HyParView.
    scale_servers_below: u64 = 100;
        Unit::Count("members"), MEMBERS;
        origin "seed 004";
        cost "higher leaves the work to servers; lower leaves it to all nodes alike";
    /// Round trip to members, 99 of 100 pings, that is slow.
    rtt_p99_us_max: u64 = 20_000;
        Unit::Microseconds, Allowed::Number(1, 60_000_000);
        origin "guess: far above what hosts of one site need";
        cost "higher calls fewer clusters slow";
    /// Share of the lanes that the overlay wants, and of the members, that must be up and answer.
    connectivity_percent_min: u64 = 80;
        Unit::Count("percent"), Allowed::Number(0, 100);
        origin "guess: one of five neighbors";
        cost "higher calls more clusters badly connected";
    /// Lanes lost in a minute, by each node, that are unstable.
    lane_losses_max: u64 = 6;
        Unit::Count("lanes per minute"), Allowed::Number(0, 1 << 20);
        origin "guess: one each ten seconds";
        cost "higher calls fewer clusters unstable";
    /// Partitions in an hour that are too many.
    partitions_max: u64 = 2;
        Unit::Count("partitions per hour"), Allowed::Number(0, 1 << 20);
        origin "guess: one may be an accident";
        cost "higher calls fewer clusters unstable";
    /// Processor time of a node's process that is too much, in percent of one core.
    cpu_percent_max: u64 = 80;
        Unit::Count("percent"), Allowed::Number(1, 100_000);
        origin "guess: most of one shard";
        cost "higher leaves a costly full mesh longer. What the application computes counts too";
    /// Bytes per second of the network that a node is connected by; 0: not known.
    link_bytes: u64 = 0;
        Unit::Bytes, Allowed::Number(0, 1 << 40);
        origin "nobody can measure a link that is not full";
        cost "0 turns topology_bandwidth_percent_max off";
    /// Share of topology_link_bytes that is too much.
    bandwidth_percent_max: u64 = 70;
        Unit::Count("percent"), Allowed::Number(1, 100);
        origin "guess: room for repairs";
        cost "higher leaves less room";
    /// Hops of broadcasts, 99 of 100, that are too many.
    hops_max: u64 = 8;
        Unit::Count("hops"), Allowed::Number(1, 1_000);
        origin "guess: what a thousand nodes with five neighbors need, and a few";
        cost "higher takes slower broadcasts";
    /// Rules over gauges of the application, as `session_ms>500=full_mesh`, with commas between: the overlay for when
    /// the gauge is above the limit.
    gauges: Vec<GaugeRule> = Vec::new();
        Unit::None, Allowed::Described("gauges, limits and overlays such as session_ms>500=full_mesh");
        origin "only an application knows what its gauges mean";
        cost "none";
    /// Workloads by name, each with the overlay for it, and other values of this table while it is chosen, as
    /// `gaming=full_mesh+cooldown_s=60`, with commas between. A name of a built-in one replaces that.
    workloads: Vec<Workload> = Vec::new();
        Unit::None, Allowed::Described("names and overlays such as gaming=full_mesh+cooldown_s=60,feeds=pub_sub");
        origin "low_latency, high_throughput, event_driven, batch and realtime are built in";
        cost "none";
}
