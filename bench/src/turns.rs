//! Two pairs of nodes that are configured differently and take turns on the same cores: A B A B.
//!
//! Called by commands that say what one setting costs beside another. One figure moves with the machine, the two of a
//! turn move together. It starts the nodes and measures; what differs, and what is made of the windows, is the caller's.

use std::time::Duration;

use overlane::config::Config;

use crate::error::{BenchError, Outcome};
use crate::flags::PairFlags;
use crate::node::pair::NodePair;
use crate::node::protocol::SendOrder;
use crate::progress::Progress;
use crate::remote::site::Hosts;
use crate::sample::Window;

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
    order: &SendOrder,
    pair: &PairFlags,
) -> Outcome<[Vec<Window>; 2]> {
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
