//! The workloads that there are: built in, and of the configuration.

use overlane_overlays::epoch::OverlayKind;

use crate::config::{TopologyConfig, Workload};

/// A built-in workload: its name, its overlay, and what of the rules is otherwise while it is chosen.
type BuiltIn = (
    &'static str,
    OverlayKind,
    &'static [(&'static str, &'static str)],
);

const BUILT_IN: &[BuiltIn] = &[
    // One hop to everybody.
    ("low_latency", OverlayKind::FullMesh, &[]),
    // Few copies of each broadcast at each node.
    ("high_throughput", OverlayKind::HyParView, &[]),
    // Seed 003: an overlay for each topic.
    ("event_driven", OverlayKind::PubSub, &[]),
    // Workers that come and go are clients; nothing is urgent.
    ("batch", OverlayKind::ClientServer, &[("cooldown_s", "900")]),
    // One hop to everybody, and what goes wrong is answered sooner.
    (
        "realtime",
        OverlayKind::FullMesh,
        &[("hold_looks", "1"), ("cooldown_s", "60")],
    ),
];

/// The workload of that name.
///
/// # Errors
/// The names that there are.
pub(super) fn find(name: &str, rules: &TopologyConfig) -> Result<Workload, Vec<String>> {
    let configured = rules
        .workloads
        .iter()
        .find(|workload| workload.name == name);
    let built_in = || {
        let found = BUILT_IN.iter().find(|(known, _, _)| *known == name)?;
        let (name, overlay, settings) = *found;
        let settings = settings.iter();
        Some(Workload {
            name: name.to_owned(),
            overlay,
            settings: settings
                .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
                .collect(),
        })
    };
    configured.cloned().or_else(built_in).ok_or_else(|| {
        let names = rules.workloads.iter().map(|workload| workload.name.clone());
        let built_in = BUILT_IN.iter().map(|(name, _, _)| (*name).to_owned());
        names.chain(built_in).collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn built_in_ones_agree_with_the_rules_and_configured_ones_come_first() {
        let mut rules = TopologyConfig::default();
        for (name, overlay, _) in BUILT_IN {
            let workload = find(name, &rules).expect("it is built in");
            assert_eq!(workload.overlay, *overlay);
            rules.under(&workload).expect("its settings are right");
        }
        let own = "batch=hyparview+look_s=5";
        rules.workloads = vec![own.parse().expect("it is one")];
        let workload = find("batch", &rules).expect("it is there");
        assert_eq!(workload.to_string(), own);
        assert_eq!(rules.under(&workload).expect("right").look_s, 5);
        let known = find("bach", &rules).expect_err("there is none");
        assert!(known.contains(&"realtime".to_owned()));
    }
}
