//! Workload `switch`: one overlay in place of another while broadcasts flow.
//!
//! Prints the figures, then fails unless the change came about and every broadcast reached every node
//! exactly once.

use std::cell::RefCell;

use overlane_overlays::sim::switching::{Experiment, Figures};

use super::layers::measure;
use super::output::Bar;
use super::{Arguments, SimError, span};

pub(super) fn run(arguments: &Arguments) -> Result<(), SimError> {
    if arguments.from == arguments.to {
        return Err(SimError::Arguments("--from and --to must differ"));
    }
    let experiment = Experiment {
        nodes: arguments.nodes(),
        seed: arguments.seed,
        network: arguments.network.config()?,
        join_spacing: span(arguments.join_spacing()),
        from: arguments.from,
        to: arguments.to,
        interval: span(arguments.interval_ms),
    };
    let wrong = RefCell::new(None);
    let run = || {
        let mut bar = Bar::new();
        let figures = experiment.run(&mut |stage, done, all| bar.show(stage, done, all));
        bar.finish();
        wrong.replace(what_is_wrong(&figures));
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

fn what_is_wrong(figures: &Figures) -> Option<String> {
    let Figures {
        lost, duplicates, ..
    } = figures;
    if let Some(violation) = &figures.violation {
        return Some(violation.clone());
    }
    if !figures.switched {
        return Some(format!("not all nodes have {} alone", figures.to));
    }
    (lost + duplicates > 0).then(|| format!("{lost} deliveries lost, {duplicates} repeated"))
}
