//! What the parameters of the cluster's protocols must agree on.
//!
//! Called by `validate.rs`. A protocol lives with any of its single values; here is what would make it do
//! nothing, or the opposite of what is meant.

use super::choices::{OverlayChoice, TopologyMode};
use super::error::{ConfigError, Place};
use super::node::{Config, NODE_PARAMETERS, TopologyConfig};
use super::validate::conflict;
use super::workload::Workload;

impl Config {
    /// What the parameters of the protocols must agree on.
    pub(super) fn protocols(&self) -> Result<(), ConfigError> {
        self.views()?;
        self.keeping_broadcasts()?;
        self.detection()?;
        self.changing()?;
        self.rules_of_topology()
    }

    fn views(&self) -> Result<(), ConfigError> {
        let hyparview = &self.hyparview;
        self.ordered(
            ("hyparview_passive_walk_hops", hyparview.passive_walk_hops),
            ("hyparview_active_walk_hops", hyparview.active_walk_hops),
            "a newcomer becomes a spare on its walk, so at most as many hops before its end as it has",
        )?;
        if hyparview.xbot && hyparview.xbot_unbiased >= hyparview.active_max {
            return conflict(
                [
                    self.given("hyparview_xbot_unbiased"),
                    self.given("hyparview_active_max"),
                ],
                "leave at least one neighbor that can be replaced by a nearer one",
            );
        }
        let pub_sub = &self.pub_sub;
        self.ordered(
            ("pub_sub_lonely_every_ms", pub_sub.lonely_every_ms),
            ("pub_sub_announce_every_ms", pub_sub.announce_every_ms),
            "a lonely subscriber announces itself no more seldom than others",
        )
    }

    fn keeping_broadcasts(&self) -> Result<(), ConfigError> {
        let (plumtree, pub_sub) = (&self.plumtree, &self.pub_sub);
        let fresh = "what is young counts too, so allow at least as many bytes of it";
        self.ordered(
            ("plumtree_payload_bytes_max", plumtree.payload_bytes_max),
            ("plumtree_fresh_bytes_max", plumtree.fresh_bytes_max),
            fresh,
        )?;
        self.ordered(
            ("pub_sub_payload_bytes_max", pub_sub.payload_bytes_max),
            ("pub_sub_fresh_bytes_max", pub_sub.fresh_bytes_max),
            fresh,
        )?;
        self.ordered(
            ("plumtree_catch_up_for_ms", plumtree.catch_up_for_ms),
            ("plumtree_keep_for_ms", plumtree.keep_for_ms),
            "what is announced must be kept for those who ask for it",
        )?;
        self.ordered(
            ("plumtree_keep_for_ms", plumtree.keep_for_ms),
            ("plumtree_senders_for_ms", plumtree.senders_for_ms),
            "the number of a sender's last message must outlive the message, or it may be delivered twice",
        )
    }

    fn detection(&self) -> Result<(), ConfigError> {
        let membership = &self.membership;
        if membership.direct_wait_ms + membership.indirect_wait_ms > membership.probe_period_ms {
            return conflict(
                [
                    self.given("membership_direct_wait_ms"),
                    self.given("membership_indirect_wait_ms"),
                    self.given("membership_probe_period_ms"),
                ],
                "a probe must end, both waits together, before the next one begins",
            );
        }
        self.ordered(
            ("membership_grace_least_ms", membership.grace_least_ms),
            ("membership_grace_most_ms", membership.grace_most_ms),
            "a member that many accuse has no longer than one that only one accuses",
        )?;
        if membership.forget_after_ms < 10 * membership.grace_most_ms {
            return conflict(
                [
                    self.given("membership_forget_after_ms"),
                    self.given("membership_grace_most_ms"),
                ],
                "remember those that are gone for at least ten times the longest grace, or a node that was paused \
                 takes them for alive",
            );
        }
        let partitions = &self.partitions;
        self.ordered(
            ("partitions_settle_ms", partitions.settle_ms),
            ("partitions_window_ms", partitions.window_ms),
            "the sides of a partition are named within its window",
        )
    }

    fn changing(&self) -> Result<(), ConfigError> {
        let switching = &self.switching;
        let right = "leave time for at least one try before the new overlay is given up";
        self.ordered(
            ("switching_probe_every_ms", switching.probe_every_ms),
            ("switching_prepare_max_ms", switching.prepare_max_ms),
            right,
        )?;
        self.ordered(
            ("switching_join_every_ms", switching.join_every_ms),
            ("switching_prepare_max_ms", switching.prepare_max_ms),
            right,
        )
    }

    fn rules_of_topology(&self) -> Result<(), ConfigError> {
        let topology = &self.topology;
        if topology.mode == TopologyMode::Auto && self.overlay == OverlayChoice::None {
            return conflict(
                [self.given("topology_mode"), self.given("overlay")],
                "choose an overlay to begin with; a node without one is in no cluster",
            );
        }
        let apart = "leave a gap between the two limits, or the overlay is switched to and fro between them";
        for (least, least_value, most, most_value) in [
            (
                "topology_mesh_below",
                topology.mesh_below,
                "topology_hyparview_above",
                topology.hyparview_above,
            ),
            (
                "topology_size_only_mesh_below",
                topology.size_only_mesh_below,
                "topology_size_only_hyparview_above",
                topology.size_only_hyparview_above,
            ),
            (
                "topology_size_only_mesh_below",
                topology.size_only_mesh_below,
                "topology_size_only_servers_above",
                topology.size_only_servers_above,
            ),
            (
                "topology_size_only_mesh_below",
                topology.size_only_mesh_below,
                "topology_hyparview_above",
                topology.hyparview_above,
            ),
            (
                "topology_mesh_below",
                topology.mesh_below,
                "topology_size_only_hyparview_above",
                topology.size_only_hyparview_above,
            ),
            (
                "topology_scale_mesh_below",
                topology.scale_mesh_below,
                "topology_scale_servers_below",
                topology.scale_servers_below,
            ),
        ] {
            // A limit of 0 is none.
            if most_value > 0 {
                self.ordered((least, least_value), (most, most_value), apart)?;
            }
        }
        self.ordered(
            ("topology_forecast_looks", topology.forecast_looks),
            (
                "topology_forecast_window_looks",
                topology.forecast_window_looks.into(),
            ),
            "look no further ahead than back",
        )?;
        for workload in &topology.workloads {
            self.under(workload)?;
        }
        Ok(())
    }

    /// The rules while a workload is chosen.
    ///
    /// # Errors
    /// A setting of it is none of the group `topology`, or does not go with the others.
    fn under(&self, workload: &Workload) -> Result<TopologyConfig, ConfigError> {
        let mut config = self.clone();
        // What it replaces is not checked again.
        config.topology.workloads.clear();
        for (key, value) in &workload.settings {
            let name = format!("topology_{key}");
            let refused = |right: String| ConfigError::Refused {
                place: Place::Code,
                key: format!("topology_workloads.{}.{key}", workload.name),
                value: value.clone(),
                right,
            };
            let known = NODE_PARAMETERS.iter().find(|known| known.name == name);
            let known =
                known.filter(|known| !matches!(known.name, "topology_workloads" | "topology_mode"));
            let parameter = known.ok_or_else(|| {
                refused("another parameter of [topology] than mode and workloads".to_owned())
            })?;
            parameter.set(&mut config, value).map_err(refused)?;
        }
        config.rules_of_topology()?;
        Ok(config.topology)
    }

    /// The first may not exceed the second.
    fn ordered<T: PartialOrd>(
        &self,
        (least, least_value): (&'static str, T),
        (most, most_value): (&'static str, T),
        right: &str,
    ) -> Result<(), ConfigError> {
        if least_value > most_value {
            return conflict([self.given(least), self.given(most)], right);
        }
        Ok(())
    }
}

impl TopologyConfig {
    /// Checks each value, and what they must agree on.
    ///
    /// # Errors
    /// As [`Config::validate`].
    pub fn validate(&self) -> Result<(), ConfigError> {
        self.in_a_cluster().validate()
    }

    /// With what a workload says in place of it.
    ///
    /// # Errors
    /// As [`validate`](Self::validate).
    pub(crate) fn under(&self, workload: &Workload) -> Result<Self, ConfigError> {
        self.in_a_cluster().under(workload)
    }

    /// A configuration around it, to be checked with.
    fn in_a_cluster(&self) -> Config {
        Config {
            overlay: OverlayChoice::FullMesh,
            topology: self.clone(),
            ..Config::default()
        }
    }
}
