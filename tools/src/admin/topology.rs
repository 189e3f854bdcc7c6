//! `overlane topology`: the overlay of a cluster, shown and switched; what rules say of it is printed by `judging`.

use std::time::Duration;

use clap::Subcommand;
use overlane::OverlayKind;
use overlane::admin::{Answer, BroadcastReport, OverlayReport, Request, TrialRequest, WAIT_MS_MAX};
use overlane::config::{Config, NODE_PARAMETERS, Printable};

use super::judging::{analysis, history, rules, show};
use super::{Target, unexpected};
use crate::ending::{Ending, Failure, told};
use crate::sim::own::{self, Live};
use crate::span::{parse_span, parse_whole_percent};

/// How long a trial is waited for where nobody says how long it is: the default of `topology_trial_s`.
const TRIAL_MS: u64 = 30_000;

/// Shows or switches the overlay: the rule for who connects to whom.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Shows the overlay as a node sees it
    Show {
        #[command(flatten)]
        target: Target,
    },
    /// Says what rules for switching the overlay would do now, and why, from what is measured
    Analyze {
        #[command(flatten)]
        target: Target,
    },
    /// Lists the last switches of the overlay: who ordered each, and how it ended
    History {
        #[command(flatten)]
        target: Target,
    },
    /// Shows or changes the rules for switching the overlay
    Rules {
        #[command(subcommand)]
        command: RulesCommand,
    },
    /// Gives all nodes another overlay while traffic flows; exits with 1 if it was given up, and the old one goes on
    Switch {
        /// full_mesh, hyparview, client_server or pub_sub
        overlay: OverlayKind,
        /// A member that is to be a server of client_server; can be given several times [default: the node chooses]
        #[arg(long = "server", value_name = "NODE")]
        servers: Vec<String>,
        #[command(flatten)]
        trial: TrialArguments,
        /// How long to wait until it is in force, the time of a trial left out
        #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=600))]
        wait_s: u64,
        /// Change nothing: simulate it, with the members, the round trips and the parameters of the node that is asked
        #[arg(long, conflicts_with_all = ["servers", "part"])]
        dry_run: bool,
        #[command(flatten)]
        target: Target,
    },
}

/// A trial on a part of the cluster.
#[derive(Debug, clap::Args)]
struct TrialArguments {
    /// Try it first on so many of the members, as 20%: they build it beside the overlay in force, both are measured, and by
    /// what topology_trial_* allow all get it or nobody
    #[arg(long = "trial", value_name = "PERCENT", value_parser = parse_whole_percent, group = "part")]
    percent: Option<u8>,
    /// Try it first on this member, the node that is asked and servers; can be given several times
    #[arg(long = "trial-on", value_name = "NODE", group = "part")]
    nodes: Vec<String>,
    /// How long to measure, from 1s to 10m [default: as topology_trial_s of the node says]
    #[arg(long = "for", value_name = "TIME", value_parser = parse_span, requires = "part")]
    span: Option<Duration>,
}

impl TrialArguments {
    fn request(self) -> Option<TrialRequest> {
        let is_trial = self.percent.is_some() || !self.nodes.is_empty();
        let millis = |span: Duration| u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
        is_trial.then(|| TrialRequest {
            nodes: self.nodes,
            percent: self.percent,
            for_ms: self.span.map(millis),
        })
    }
}

#[derive(Debug, Subcommand)]
enum RulesCommand {
    /// Shows the rules of a node and their values
    Show {
        #[command(flatten)]
        target: Target,
    },
    /// Changes rules of a node, from its next look on; give all members the same
    Set {
        /// What is to change
        #[arg(required = true, value_name = "NAME=VALUE")]
        rules: Vec<String>,
        #[command(flatten)]
        target: Target,
    },
}

pub(crate) fn run(arguments: Arguments) -> Ending {
    let (request, target) = match arguments.command {
        Command::Show { target } => (Request::Overlay {}, target),
        Command::Analyze { target } => {
            return told("topology", show(&Request::Analysis {}, &target, analysis));
        }
        Command::History { target } => {
            return told(
                "topology",
                show(&Request::SwitchHistory {}, &target, history),
            );
        }
        Command::Rules { command } => {
            let (request, target) = match command {
                RulesCommand::Show { target } => (Request::TopologyRules {}, target),
                RulesCommand::Set { rules, target } => {
                    (Request::SetTopologyRules { rules }, target)
                }
            };
            return told("topology", show(&request, &target, rules));
        }
        Command::Switch {
            overlay,
            dry_run: true,
            target,
            ..
        } => return told("topology", dry_run(overlay, &target)),
        Command::Switch {
            overlay,
            servers,
            trial,
            wait_s,
            dry_run: false,
            target,
        } => {
            let trial = trial.request();
            let tried_ms = trial
                .as_ref()
                .map_or(0, |trial| trial.for_ms.unwrap_or(TRIAL_MS));
            let request = Request::SwitchOverlay {
                overlay: overlay.to_string(),
                servers,
                trial,
                wait_ms: (wait_s * 1000 + tried_ms).min(WAIT_MS_MAX),
            };
            (request, target)
        }
    };
    told("topology", ask(&request, &target))
}

fn ask(request: &Request, target: &Target) -> Result<Ending, Failure> {
    match target.ask(request)? {
        Answer::Overlay(overlay) => target.print(&overlay, || text(&overlay)),
        other => Err(unexpected(&other)),
    }
}

/// Asks for what is to be simulated, and simulates.
fn dry_run(to: OverlayKind, target: &Target) -> Result<Ending, Failure> {
    let analysis = match target.ask(&Request::Analysis {})? {
        Answer::Topology(analysis) => analysis,
        other => return Err(unexpected(&other)),
    };
    let parameters = match target.ask(&Request::Parameters {})? {
        Answer::Parameters(parameters) => parameters,
        other => return Err(unexpected(&other)),
    };
    let failed = |what: String| Failure::new(Ending::CheckFailed, what);
    let measured = &analysis["measurements"];
    let members = measured["members"].as_u64().unwrap_or(0);
    if members < 2 {
        let what =
            format!("there are {members} members: nothing to switch, and nothing to simulate");
        return Err(failed(what));
    }
    let peers = measured["peers"].as_array().map_or(&[][..], Vec::as_slice);
    let each = |key: &str| {
        peers
            .iter()
            .filter_map(|peer| peer[key].as_u64())
            .collect::<Vec<_>>()
    };
    let (nearest, farthest) = (
        each("p50_us").into_iter().min(),
        each("p99_us").into_iter().max(),
    );
    let Some((nearest, farthest)) = nearest.zip(farthest) else {
        let what =
            "no round trip to a member is measured yet: try again when some pings have come back";
        return Err(failed(what.to_owned()));
    };
    let overlay = analysis["overlay"].as_str().unwrap_or_default();
    let overlay: OverlayKind = overlay.parse().map_err(|_| {
        failed(format!(
            "the node is in an overlay that is not known here: {}",
            Printable(overlay)
        ))
    })?;
    if overlay == to {
        let what = format!("the overlay is {to} already");
        return Err(Failure::new(Ending::BadInput, what));
    }
    let mut config = Config::default();
    for known in NODE_PARAMETERS {
        if let Some(value) = parameters.get(known.name)
            && value != "auto"
            && let Err(right) = known.set(&mut config, value)
        {
            let name = known.name;
            return Err(failed(format!(
                "{name} of the node is not understood: expected {right}"
            )));
        }
    }
    let live = Live {
        members: u32::try_from(members).unwrap_or(u32::MAX),
        overlay,
        config,
        rtt: (
            Duration::from_micros(nearest),
            Duration::from_micros(farthest.max(nearest)),
        ),
    };
    own::dry_run(&live, to, target.json)
}

/// Broadcasts of a kind, if there were any; of plain ones alone the sum says it all.
fn of_kind(counts: &BroadcastReport) -> Option<String> {
    let BroadcastReport {
        kind,
        started,
        delivered,
        missed,
        refused,
    } = counts;
    let happened = started + delivered + missed + refused > 0;
    (happened && kind != "plain").then(|| {
        format!(
            "{kind} {started} started, {delivered} delivered, {missed} missed, {refused} refused"
        )
    })
}

fn text(overlay: &OverlayReport) -> String {
    let listed = |names: &[String]| match names {
        [] => "none".to_owned(),
        names => names.join(", "),
    };
    let broadcasts = format!(
        "{} started, {} delivered, {} missed",
        overlay.broadcasts_started, overlay.broadcasts_delivered, overlay.broadcasts_missed
    );
    let mut lines = vec![
        ("overlay", overlay.overlay.clone()),
        ("epoch", overlay.epoch.to_string()),
        ("members", overlay.members.to_string()),
        ("neighbors", listed(&overlay.neighbors)),
        (
            "coordinator",
            overlay
                .coordinator
                .clone()
                .unwrap_or_else(|| "none".to_owned()),
        ),
        ("broadcasts", broadcasts),
    ];
    if overlay.broadcasts_given_up > 0 {
        lines.push(("given up", overlay.broadcasts_given_up.to_string()));
    }
    let kinds: Vec<_> = overlay.broadcasts.iter().filter_map(of_kind).collect();
    if !kinds.is_empty() {
        lines.push(("by kind", kinds.join("; ")));
    }
    if !overlay.topics.is_empty() {
        lines.push(("topics", listed(&overlay.topics)));
    }
    if !overlay.servers.is_empty() {
        lines.insert(2, ("servers", listed(&overlay.servers)));
    }
    if let Some(next) = &overlay.changing_to {
        lines.insert(1, ("changing to", next.clone()));
    }
    let line = |(name, value): &(&str, String)| format!("{name:<12} {}\n", Printable(value));
    lines.iter().map(line).collect()
}
