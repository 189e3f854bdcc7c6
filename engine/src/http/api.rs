//! `/api/...`: what the commands print with `--json`, at the same names.
//!
//! Called by `routes`. Only requests that change nothing have a path here.

use serde::Serialize;

use super::Exhibit;
use super::request::Head;
use super::response::Response;
use crate::admin::{Answer, Refusal, RefusalKind, Request};
use crate::config::Printable;

/// What is asked of the node, for a head.
type Ask = fn(&Head) -> Request;

/// What can be asked for, with the parameters that it takes.
const PATHS: &[(&str, &[&str], Ask)] = &[
    ("status", &[], |_| Request::Status {}),
    ("members", &[], |_| Request::Members {}),
    ("overlay", &[], |_| Request::Overlay {}),
    ("peers", &[], |_| Request::Peers {}),
    ("channels", &[], |_| Request::Channels {}),
    ("rules", &[], |_| Request::Rules {}),
    ("cluster", &[], |_| Request::ClusterMetrics {}),
    ("metrics", &["peer", "channel"], |head| Request::Metrics {
        peer: head.parameter("peer").map(str::to_owned),
        channel: head.parameter("channel").map(str::to_owned),
    }),
];

/// What rules say, and what became of switches; for the page.
const TOPOLOGY: &str = "topology";

/// The paths there are, for people.
pub(super) fn paths() -> String {
    let names = PATHS.iter().map(|(name, _, _)| *name).chain([TOPOLOGY]);
    format!("/api/{{{}}}", names.collect::<Vec<_>>().join(","))
}

/// Answers what stands behind `/api/`.
pub(super) fn answer(what: &str, head: &Head, exhibit: &dyn Exhibit) -> Response {
    if what == TOPOLOGY {
        let topology = exhibit.topology();
        return topology.map_or_else(not_answered, |topology| Response::json(200, &topology));
    }
    let Some((_, takes, request)) = PATHS.iter().find(|(name, _, _)| *name == what) else {
        return refused(404, &format!("there is {}", paths()));
    };
    let mut given = head.parameters.iter();
    if let Some((name, _)) = given.find(|(name, _)| !takes.contains(&name.as_str())) {
        let (name, takes) = (Printable(name), takes.join(", "));
        let text = format!("/api/{what} takes no parameter `{name}`: it takes [{takes}]");
        return refused(400, &text);
    }
    let answer = exhibit.answer(request(head));
    answer.map_or_else(not_answered, |answer| body(&answer))
}

fn not_answered(refused: Refusal) -> Response {
    let status = match refused.kind {
        RefusalKind::Stopping | RefusalKind::Busy => 503,
        RefusalKind::Failed => 500,
        _ => 400,
    };
    Response::json(status, &Refused { refused })
}

/// The answer without its kind, as commands print it.
fn body(answer: &Answer) -> Response {
    match answer {
        Answer::Status(status) => Response::json(200, status),
        Answer::Members(members) => Response::json(200, members),
        Answer::Overlay(overlay) => Response::json(200, overlay),
        Answer::Peers(peers) => Response::json(200, peers),
        Answer::Channels(channels) => Response::json(200, channels),
        Answer::Rules(rules) => Response::json(200, rules),
        Answer::Metrics(metrics) => Response::json(200, metrics),
        Answer::ClusterMetrics(metrics) => Response::json(200, metrics),
        other => Response::json(200, other),
    }
}

/// As the admin protocol says it.
#[derive(Serialize)]
struct Refused {
    refused: Refusal,
}

fn refused(status: u16, text: &str) -> Response {
    let refused = Refusal::new(RefusalKind::Invalid, text);
    Response::json(status, &Refused { refused })
}
