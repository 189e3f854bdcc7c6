//! The configuration of a node as settings of the cluster's protocols: the only place that maps one to the other.
//!
//! Called once, when the cluster starts. Checks nothing: a configuration is checked before it gets here.

use std::time::Duration;

use overlane_overlays::protocols::Protocols;
use overlane_overlays::switching::{ConductorConfig, Overlays, SwitchConfig};
use overlane_overlays::{
    Limits, StoreConfig, atomic_broadcast, broadcast_kinds, broadcasts, causal_broadcast, direct,
    epidemic, failure_detector, full_mesh, hyparview, membership, partitions, plumtree, pub_sub,
};

use super::machine::MachineConfig;
use super::serving::ServingConfig;
use crate::config::Config;

const fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

impl MachineConfig {
    /// As a node is configured.
    pub(crate) fn of(config: &Config) -> Self {
        let switching = &config.switching;
        Self {
            switch: SwitchConfig {
                overlays: overlays(config),
                retire_after: ms(switching.retire_after_ms),
                join_every: ms(switching.join_every_ms),
                gather_for: ms(switching.gather_for_ms),
            },
            broadcasts: broadcasts(config),
            kinds: kinds(config),
            membership: members(config),
            conductor: ConductorConfig {
                prepare_max: ms(switching.prepare_max_ms),
                probe_every: ms(switching.probe_every_ms),
                members_per_server: config.client_server.members_per_server,
            },
            partitions: partitions::Config {
                window: ms(config.partitions.window_ms),
                settle: ms(config.partitions.settle_ms),
                lost_percent: config.partitions.lost_percent,
                lost_min: config.partitions.lost_min,
            },
            topology: config.topology.clone(),
            serving: ServingConfig {
                members_per_server: config.client_server.members_per_server,
                replace_after: ms(config.client_server.replace_after_ms),
            },
            summaries_every: ms(config.summaries.period_ms),
        }
    }
}

/// What the protocols of a node of that configuration go by, for simulations of it.
#[must_use]
pub fn protocols(config: &Config) -> Protocols {
    let MachineConfig {
        switch,
        broadcasts,
        membership,
        conductor,
        ..
    } = MachineConfig::of(config);
    Protocols {
        switch,
        broadcasts,
        membership,
        conductor,
    }
}

fn overlays(config: &Config) -> Overlays {
    Overlays {
        full_mesh: full_mesh::Config {
            period: ms(config.full_mesh.period_ms),
            redials_per_period_max: config.full_mesh.redials_per_period_max,
            peers_max: config.full_mesh.peers_max,
        },
        hyparview: views(config),
        servers_per_client: config.client_server.servers_per_client,
        clients_max: config.client_server.clients_max,
        pub_sub: topics(config),
    }
}

fn views(config: &Config) -> hyparview::Config {
    let set = &config.hyparview;
    let xbot = hyparview::XbotConfig {
        unbiased: set.xbot_unbiased,
        candidates: set.xbot_candidates,
        periods_between: set.xbot_periods,
    };
    hyparview::Config {
        active_max: set.active_max,
        passive_max: set.passive_max,
        active_walk_hops: set.active_walk_hops,
        passive_walk_hops: set.passive_walk_hops,
        shuffle_hops: set.shuffle_hops,
        shuffle_active: set.shuffle_active,
        shuffle_passive: set.shuffle_passive,
        period: ms(set.period_ms),
        silent_periods_max: set.silent_periods_max,
        answer_timeout: ms(set.answer_timeout_ms),
        lost_max: set.lost_max,
        lost_for: ms(set.lost_for_ms),
        far_percent: set.far_percent,
        xbot: set.xbot.then_some(xbot),
        partisan_deviations: false,
    }
}

fn topics(config: &Config) -> pub_sub::Config {
    let set = &config.pub_sub;
    let broadcast = broadcast(config);
    pub_sub::Config {
        base_overlay: views(config),
        base_broadcast: broadcast.clone(),
        topic_overlay: hyparview::Config {
            active_max: set.topic_active_max,
            passive_max: set.topic_passive_max,
            ..views(config)
        },
        topic_broadcast: plumtree::Config {
            store: StoreConfig {
                messages_max: set.messages_max,
                payload_bytes_max: set.payload_bytes_max,
                fresh_bytes_max: set.fresh_bytes_max,
                senders_max: set.senders_max,
                ..broadcast.store
            },
            ..broadcast
        },
        topics_max: set.topics_max,
        topics_known_max: set.topics_known_max,
        announce_every: ms(set.announce_every_ms),
        lonely_every: ms(set.lonely_every_ms),
    }
}

fn broadcast(config: &Config) -> plumtree::Config {
    let set = &config.plumtree;
    plumtree::Config {
        announce_after: ms(set.announce_after_ms),
        catch_up_for: ms(set.catch_up_for_ms),
        optimization_threshold: set.optimization_threshold,
        store: StoreConfig {
            keep_for: ms(set.keep_for_ms),
            messages_max: set.messages_max,
            payload_bytes_max: set.payload_bytes_max,
            fresh_bytes_max: set.fresh_bytes_max,
            senders_max: set.senders_max,
            senders_for: ms(set.senders_for_ms),
        },
        missing_max: set.missing_max,
    }
}

/// A full mesh gathers, keeps and waits for as much as a tree.
fn broadcasts(config: &Config) -> broadcasts::Config {
    let tree = broadcast(config);
    broadcasts::Config {
        direct: direct::Config {
            tell_after: tree.announce_after,
            catch_up_for: tree.catch_up_for,
            store: tree.store.clone(),
            missing_max: tree.missing_max,
        },
        epidemic: epidemic::Config {
            fan_out: config.broadcast.epidemic_fan_out,
            ttl: config.broadcast.epidemic_ttl,
            store: tree.store.clone(),
        },
        plumtree: tree,
    }
}

fn kinds(config: &Config) -> broadcast_kinds::Config {
    let set = &config.broadcast;
    broadcast_kinds::Config {
        causal: causal_broadcast::Config {
            wait_max: ms(set.causal_wait_max_ms),
            hold_back: Limits {
                messages_max: set.causal_held_max,
                bytes_max: set.causal_held_bytes_max,
                ..Limits::default()
            },
            kept_messages_max: set.causal_kept_max,
            kept_bytes_max: set.causal_kept_bytes_max,
            ..causal_broadcast::Config::default()
        },
        atomic: atomic_broadcast::Config {
            rounds_own_max: set.atomic_rounds_max,
            rounds_per_peer_max: set.atomic_rounds_max,
            payload_bytes_max: set.atomic_bytes_max,
            vote_within: ms(set.atomic_vote_within_ms),
            ..atomic_broadcast::Config::default()
        },
    }
}

fn members(config: &Config) -> membership::Config {
    let set = &config.membership;
    membership::Config {
        detector: failure_detector::Config {
            period: ms(set.probe_period_ms),
            direct_wait: ms(set.direct_wait_ms),
            indirect_wait: ms(set.indirect_wait_ms),
            helpers: set.helpers,
            ring_every: set.ring_every,
        },
        grace_least: ms(set.grace_least_ms),
        grace_most: ms(set.grace_most_ms),
        forget_after: ms(set.forget_after_ms),
        revisit_every: set.revisit_every,
        beacon_every: set.beacon_every,
        members_max: set.members_max,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_those_that_the_protocols_give_reasons_for() {
        let of_config = MachineConfig::of(&Config::default());
        let of_protocols = MachineConfig {
            // Summaries are no protocol of the overlays: their default is the configuration's own.
            summaries_every: ms(Config::default().summaries.period_ms),
            ..MachineConfig::default()
        };
        assert_eq!(format!("{of_config:?}"), format!("{of_protocols:?}"));
    }
}
