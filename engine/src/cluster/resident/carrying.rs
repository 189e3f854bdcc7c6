//! Turns for the carrier of what is relayed, and decisions of other nodes for the application.
//!
//! Called by the resident in each step, and for what the driver says. It waits for nobody but the application's callback.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Instant;

use super::{ClusterResident, Tell};
use crate::cluster::decisions::{Decision, MergeCallback};
use crate::cluster::driver::Happening;
use crate::cluster::relay::carrier::{Carrier, Turn};

impl ClusterResident {
    /// Gives the carrier a turn, and does what comes of it.
    pub(super) fn carry<T>(
        &mut self,
        tell: Tell<'_>,
        carry: impl FnOnce(&mut Carrier, &mut Turn<'_>) -> T,
    ) -> T {
        let mut turn = Turn {
            driver: &mut self.driver,
            now: self.clock.now(),
            instant: Instant::now(),
            waker: &self.waker,
            finds: Vec::new(),
            events: Vec::new(),
        };
        let carried = carry(&mut self.carrier, &mut turn);
        let Turn { finds, events, .. } = turn;
        for event in events {
            tell(event);
        }
        for (to, ttl) in finds {
            self.give(Happening::FindWay { to, ttl }, tell);
        }
        carried
    }

    /// The application says what it does with decisions of others: with what is kept of them first.
    pub(super) fn take_callback(&mut self, callback: MergeCallback) {
        self.merge = Some(callback);
        self.merge(self.driver.decisions_of_others());
    }

    /// The application takes what others have decided, once it has said how.
    pub(super) fn merge(&mut self, decisions: Vec<Decision>) {
        if decisions.is_empty() {
            return;
        }
        if let Some(MergeCallback(merge)) = &mut self.merge
            && catch_unwind(AssertUnwindSafe(|| merge(decisions))).is_err()
        {
            tracing::error!("the callback for decisions of other nodes panicked");
        }
    }
}
