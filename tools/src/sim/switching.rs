//! Workload `switch`: one overlay in place of another while broadcasts flow.
//!
//! Prints the figures, then fails unless the change came about and every broadcast reached every node
//! exactly once.

use std::cell::RefCell;

use overlane_overlays::sim::switching::Experiment;

use super::layers::measure;
use super::own::{self, Own};
use super::{Arguments, SimError, span};

pub(super) fn run(arguments: &Arguments) -> Result<(), SimError> {
    let (from, to) = arguments.overlays();
    if from == to {
        return Err(SimError::Arguments("--from and --to must differ"));
    }
    let Own { protocols, servers } = Own::of_file(arguments.config.as_deref())?;
    let experiment = Experiment {
        nodes: arguments.nodes(),
        seed: arguments.seed,
        network: arguments.network.config()?,
        join_spacing: span(arguments.join_spacing()),
        from,
        to,
        interval: span(arguments.interval_ms),
        before_s: arguments.before_s(),
        protocols,
        servers,
    };
    let wrong = RefCell::new(None);
    let run = || {
        let figures = own::run(&experiment);
        wrong.replace(own::what_is_wrong(&figures));
        let events = figures.events;
        (figures, events)
    };
    measure(arguments, run, |figures| &figures.trace_hash)?;
    match wrong.into_inner() {
        None => Ok(()),
        Some(reason) => Err(SimError::Switch {
            seed: arguments.seed,
            reason,
        }),
    }
}
