//! Changes of channels on all nodes: made at this node through the control shard's wishes, and answered to whoever ordered them.
//!
//! Called by the resident in each step, and for what the driver says. Whoever does not wait for an answer any more does not hear it.

use crossbeam_channel::Sender;

use super::{ClusterResident, Tell};
use crate::cluster::channels::ChannelChangeReport;
use crate::cluster::channels::applying::Made;
use crate::cluster::channels::orders::{OrderEnd, Tally};
use crate::cluster::driver::{Driver, Happening};
use crate::cluster::error::ChannelChangeError;

/// How an order ended, for whoever gave it.
type Answer = Result<ChannelChangeReport, ChannelChangeError>;

/// Who waits for the end of a change on all nodes.
#[derive(Debug, Default)]
pub(super) struct Ordered {
    waiting: Vec<(u64, Sender<Answer>)>,
    last: u64,
}

impl Ordered {
    /// Somebody waits from now on. The number by which the driver knows the order.
    pub(super) fn wait(&mut self, answer: Sender<Answer>) -> u64 {
        self.last += 1;
        self.waiting.push((self.last, answer));
        self.last
    }

    fn take(&mut self, token: u64) -> Option<Sender<Answer>> {
        let at = self.waiting.iter().position(|(known, _)| *known == token)?;
        Some(self.waiting.swap_remove(at).1)
    }
}

impl ClusterResident {
    /// Goes on with changes that are being made here.
    pub(super) fn change_channels(&mut self, tell: Tell<'_>) {
        let (ended, is_wish) = self.applying.turn(&self.fabric.channels);
        if is_wish || !ended.is_empty() {
            self.link.look();
        }
        for made in ended {
            let Made {
                channel,
                epoch,
                outcome,
            } = made;
            let happening = Happening::ChannelChanged {
                channel,
                epoch,
                outcome,
            };
            self.give(happening, tell);
        }
    }

    /// The driver says how an order ended.
    pub(super) fn order_ended(&mut self, token: u64, end: OrderEnd) {
        let Some(answer) = self.ordered.take(token) else {
            return;
        };
        let outcome = match end {
            OrderEnd::Refused(error) => Err(ChannelChangeError::Channel(error)),
            OrderEnd::Outrun { by } => Err(ChannelChangeError::Outrun { by: by.to_string() }),
            OrderEnd::TooLarge { bytes } => Err(ChannelChangeError::TooLarge { bytes }),
            OrderEnd::Full => Err(ChannelChangeError::TooMany),
            OrderEnd::Ended(tally) => Ok(report(&self.driver, tally)),
        };
        let _ = answer.send(outcome);
    }
}

/// With the names of members, in their order.
fn report(driver: &Driver, tally: Tally) -> ChannelChangeReport {
    let names = |ids: Vec<_>| {
        let mut names: Vec<_> = ids.into_iter().map(|id| driver.name_of(id)).collect();
        names.sort_unstable();
        names
    };
    let refused = tally.refused.into_iter();
    let mut refused: Vec<_> = refused.map(|(id, why)| (driver.name_of(id), why)).collect();
    refused.sort_unstable();
    ChannelChangeReport {
        epoch: tally.number,
        made: names(tally.made),
        refused,
        silent: names(tally.silent),
    }
}
