//! Two pairs of nodes that are configured differently and take turns on the same cores: A B A B.
//!
//! Called by commands that say what one setting costs beside another. One figure moves with the machine, the two of a
//! turn move together. It starts the nodes and measures; what differs, and what is made of the windows, is the caller's.

use std::time::Duration;

use overlane::config::Config;

use crate::error::{BenchError, Outcome};
use crate::flags::{Consumer, PairFlags, Producer};
use crate::node::pair::{NodePair, RECEIVER};
use crate::node::protocol::SendOrder;
use crate::pair::{Pair, Spread};
use crate::progress::Progress;
use crate::remote::site::Hosts;
use crate::sample::Window;
use crate::throughput;

/// One configuration, with its windows.
struct Side {
    nodes: NodePair,
    windows: Vec<Window>,
}

/// The windows of both configurations, in the order of `configs`; those of one place are neighbours in time.
pub(crate) fn take_turns(
    what: &'static str,
    hosts: &Hosts,
    configs: &[Config; 2],
    (payload_bytes, producer): (usize, Producer),
    pair: &PairFlags,
) -> Outcome<[Vec<Window>; 2]> {
    let order = &SendOrder {
        peers: vec![RECEIVER.to_owned()],
        channel: throughput::CHANNEL.to_owned(),
        payload_bytes,
        producer,
        consumer: Consumer::Handler,
        producer_core: None,
    };
    let (warm_up, measure) = (pair.warm_up(), pair.measure());
    let side = |config: &Config| {
        let nodes = NodePair::on_cores(hosts, config, pair.cores())?;
        Ok::<_, BenchError>(Side {
            nodes,
            windows: Vec::new(),
        })
    };
    let mut sides = [side(&configs[0])?, side(&configs[1])?];
    for side in &mut sides {
        side.nodes.stream(order, warm_up, Duration::ZERO)?;
    }
    let progress = Progress::of_steps(what, 2 * u64::from(pair.pairs));
    for _ in 0..pair.pairs {
        for side in &mut sides {
            side.windows
                .push(side.nodes.stream(order, warm_up, measure)?);
            progress.step();
        }
    }
    drop(progress);
    for side in &mut sides {
        side.nodes.settle()?;
    }
    Ok(sides.map(|side| side.windows))
}

/// That figure of `beside`, as a ratio to that of `base` in the same turn.
pub(crate) fn ratios(
    base: &[Window],
    beside: &[Window],
    figure: impl Fn(&Window) -> f64,
) -> Outcome<Spread> {
    let pairs: Vec<Pair> = { beside.iter().zip(base) }
        .map(|(beside, base)| Pair {
            ours: figure(beside),
            raw: figure(base),
        })
        .collect();
    Spread::of_ratios(&pairs).ok_or_else(nothing_arrived)
}

/// A figure of all windows of one configuration.
pub(crate) fn spread(windows: &[Window], figure: impl Fn(&Window) -> f64) -> Outcome<Spread> {
    Spread::of(windows.iter().map(figure)).ok_or_else(nothing_arrived)
}

/// Processor time of a message in all windows together, in nanoseconds.
pub(crate) fn cpu_ns_per_message(windows: &[Window]) -> f64 {
    let all = windows.iter().copied().fold(Window::default(), Window::and);
    all.per_message(all.cpu_ns())
}

fn nothing_arrived() -> BenchError {
    BenchError::CheckFailed("nothing arrived within a window; give longer --seconds".into())
}
