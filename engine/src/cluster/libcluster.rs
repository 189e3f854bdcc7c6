//! The calls that libcluster's users know, on the real cluster: `topologies`, `connect_nodes`, `disconnect_nodes`,
//! `list_nodes`.
//!
//! Where libcluster connects Erlang nodes by name, a node here is asked at a place and let in; what is disconnected loses its
//! lanes, and may be connected again by either side, as with Erlang. Built on the view and the orders of `handle`.

use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

use super::error::ClusterError;
use super::handle::{Cluster, WaitFailure};
use super::view::View;
use crate::config::{Seed, StrategyChoice, libcluster_module};

/// A discovery, as libcluster calls it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LibclusterTopology {
    /// Its name; `seeds` for those of the configuration.
    pub name: String,
    /// The module of libcluster that does the same.
    pub strategy: &'static str,
    /// Names of the live members that were found by it, this node left out.
    pub nodes: Vec<String>,
}

/// Nodes for which a call did not do what it should, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadNodes(pub Vec<(String, String)>);

impl fmt::Display for BadNodes {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let told: Vec<_> = self
            .0
            .iter()
            .map(|(node, why)| format!("{node}: {why}"))
            .collect();
        formatter.write_str(&told.join("; "))
    }
}

impl std::error::Error for BadNodes {}

impl Cluster {
    /// The discoveries of the configuration and its seeds, and whom each has found.
    #[must_use]
    pub fn topologies(&self) -> Vec<LibclusterTopology> {
        let config = &self.fabric().config;
        let view = self.view();
        let found_at = |places: BTreeSet<&str>| found_at(&view, &places);
        let mut topologies = Vec::new();
        if !config.seeds.is_empty() {
            topologies.push(LibclusterTopology {
                name: "seeds".to_owned(),
                strategy: libcluster_module(StrategyChoice::Static),
                nodes: found_at(config.seeds.iter().map(Seed::place).collect()),
            });
        }
        for (discovery, known) in config.discovery.iter().zip(self.discoveries()) {
            topologies.push(LibclusterTopology {
                name: known.name,
                strategy: libcluster_module(discovery.strategy),
                nodes: found_at(known.places.iter().map(String::as_str).collect()),
            });
        }
        topologies
    }

    /// Names of the live members, this node left out.
    #[must_use]
    pub fn list_nodes(&self) -> Vec<String> {
        let live = self.members().into_iter();
        let others = live.filter(|member| member.status.is_live() && !member.is_self);
        others.map(|member| member.name).collect()
    }

    /// Enters the cluster through each of these places, and waits until a live member is at each.
    ///
    /// # Errors
    /// [`BadNodes`]: those where none is after that time. This node goes on trying there.
    pub fn connect_nodes(&self, places: &[Seed], timeout: Duration) -> Result<(), BadNodes> {
        let all_are_bad = |why: &str| {
            let bad = places
                .iter()
                .map(|seed| (seed.place().to_owned(), why.to_owned()));
            Err(BadNodes(bad.collect()))
        };
        if let Err(error) = self.begin_join(places) {
            return all_are_bad(&error.to_string());
        }
        let is_there = |view: &View, seed: &Seed| {
            let places = BTreeSet::from([seed.place()]);
            !found_at(view, &places).is_empty() || is_self_at(view, seed)
        };
        let all = |view: &View| places.iter().all(|seed| is_there(view, seed));
        match self.wait_for(timeout, all) {
            Ok(()) => Ok(()),
            Err(WaitFailure::TimedOut) => {
                let view = self.view();
                let missing = places.iter().filter(|seed| !is_there(&view, seed));
                let why = |seed: &Seed| {
                    let mut failures = view.seed_failures.iter();
                    let failure = failures.find(|(place, _)| place == seed.place());
                    failure.map_or_else(
                        || "no member is there yet".to_owned(),
                        |(_, why)| why.clone(),
                    )
                };
                Err(BadNodes(
                    missing
                        .map(|seed| (seed.place().to_owned(), why(seed)))
                        .collect(),
                ))
            }
            Err(WaitFailure::Closed) => all_are_bad(&ClusterError::Closed.to_string()),
            Err(WaitFailure::WouldDeadlock) => {
                all_are_bad("a thread of the engine cannot wait; use begin_join and follow events")
            }
        }
    }

    /// Ends the lanes to these members. Either side may connect again, as the overlay wants it.
    ///
    /// # Errors
    /// [`BadNodes`]: those that are no live members. The others' lanes end all the same.
    pub fn disconnect_nodes(&self, names: &[&str]) -> Result<(), BadNodes> {
        let others = self.list_nodes();
        let mut bad = Vec::new();
        for name in names {
            let told = if others.iter().any(|other| other == name) {
                self.fabric()
                    .wishes
                    .forget(name)
                    .map_err(|error| error.to_string())
            } else {
                Err("no live member of that name but this one".to_owned())
            };
            bad.extend(told.err().map(|why| ((*name).to_owned(), why)));
        }
        self.look();
        if bad.is_empty() {
            Ok(())
        } else {
            Err(BadNodes(bad))
        }
    }
}

/// Names of live members at these places, this node left out.
fn found_at(view: &View, places: &BTreeSet<&str>) -> Vec<String> {
    let live = view
        .members
        .iter()
        .filter(|entry| entry.status.is_live() && entry.peer != view.me);
    let is_found = |entry: &&overlane_overlays::membership::Entry<_>| {
        let mut asked = view.seeds.iter();
        let by_asking =
            asked.any(|(place, id)| *id == Some(entry.peer) && places.contains(place.as_str()));
        let mut addresses = entry.details.addresses.iter();
        by_asking || addresses.any(|address| places.contains(address.to_string().as_str()))
    };
    let mut names: Vec<_> = live
        .filter(is_found)
        .map(|entry| entry.details.name.clone())
        .collect();
    names.sort_unstable();
    names
}

/// Whether this node itself is there.
fn is_self_at(view: &View, seed: &Seed) -> bool {
    let mut asked = view.seeds.iter();
    asked.any(|(place, id)| place == seed.place() && *id == Some(view.me))
}
