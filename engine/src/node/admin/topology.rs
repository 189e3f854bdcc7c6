//! Requests about the topology of the cluster: what rules say and why, what became of switches, and the rules themselves.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::admin::{Answer, Refusal, Request};
use crate::cluster::{Cluster, TopologyError};
use crate::config::{Config, NODE_GROUPS, Parameter};

/// Before the name of each of its parameters.
const PREFIX: &str = "topology_";

pub(super) fn answer(cluster: &Cluster, request: Request) -> Result<Answer, Refusal> {
    match request {
        Request::Analysis {} => shown(&cluster.analyze().map_err(refused)?),
        Request::SwitchHistory {} => shown(&cluster.topology_history().map_err(refused)?),
        Request::SetTopologyRules { rules } => set(cluster, &rules),
        _ => rules(cluster),
    }
}

fn shown(value: &impl Serialize) -> Result<Answer, Refusal> {
    let value = serde_json::to_value(value).map_err(Refusal::failed)?;
    Ok(Answer::Topology(value))
}

/// The parameters of rules, and what they are called without the group.
fn parameters() -> impl Iterator<Item = (&'static str, &'static Parameter<Config>)> {
    let group = NODE_GROUPS.iter().filter(|group| group.name == "topology");
    let parameters = group.flat_map(|group| group.parameters);
    parameters.map(|known| {
        let name = known.name.strip_prefix(PREFIX);
        (name.unwrap_or(known.name), known)
    })
}

fn current(cluster: &Cluster) -> Result<Config, Refusal> {
    Ok(Config {
        topology: cluster.topology_rules().map_err(refused)?,
        ..Config::default()
    })
}

fn rules(cluster: &Cluster) -> Result<Answer, Refusal> {
    let config = current(cluster)?;
    let values = parameters().map(|(name, known)| (name, known.get(&config)));
    shown(&values.collect::<BTreeMap<_, _>>())
}

fn set(cluster: &Cluster, rules: &[String]) -> Result<Answer, Refusal> {
    let mut config = current(cluster)?;
    for rule in rules {
        let (name, value) = rule.split_once('=').ok_or_else(|| {
            Refusal::invalid(format!(
                "{rule} is no rule: say name=value, as hold_looks=3"
            ))
        })?;
        let name = name.trim();
        let plain = name.strip_prefix(PREFIX).unwrap_or(name);
        let known = parameters().find(|(known, _)| *known == plain);
        let Some((_, known)) = known else {
            let names: Vec<_> = parameters().map(|(name, _)| name).collect();
            let names = names.join(", ");
            return Err(Refusal::invalid(format!(
                "there is no rule {name}: there are {names}"
            )));
        };
        known
            .set(&mut config, value)
            .map_err(|right| Refusal::invalid(format!("{name} = {value}: {right}")))?;
    }
    cluster
        .set_topology_rules(config.topology)
        .map_err(refused)?;
    self::rules(cluster)
}

fn refused(error: TopologyError) -> Refusal {
    match error {
        TopologyError::Rules(_) => Refusal::invalid(error),
        error => Refusal::failed(error),
    }
}
