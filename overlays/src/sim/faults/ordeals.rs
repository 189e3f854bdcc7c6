//! What a cluster that is well has to bear without a mistake: news that some cannot hear, a goodbye, a
//! crash without a word while old messages still arrive.
//!
//! Nobody who lives may be told down in all of this, and nobody dead may be told up ([`Checks`]).
//!
//! [`Checks`]: crate::sim::checks::Checks

use std::time::Duration;

use rand::seq::IteratorRandom;

use super::trouble::{FaultRun, SECOND_COPY_MAX};
use super::{SECOND, SEED_NODES};
use crate::membership::Status;
use crate::sim::NodeId;
use crate::sim::network::{Death, NetworkConfig};
use crate::sim::subject::Subject;

/// How long one node hears nothing: long enough to miss what is broadcast, too short to be down.
const DEAF: Duration = Duration::from_secs(2);

impl<X: Subject> FaultRun<X> {
    pub(super) fn undergo_ordeals(&mut self) -> Result<(), String> {
        let dead = (0..self.world.node_count()).filter(|node| self.world.state(*node).is_none());
        let dead = dead.collect();
        self.world.observer.settle(dead);
        let with_members = self.world.running().all(|node| {
            let state = self.world.state(node);
            state.is_some_and(|state| state.members().is_some())
        });
        if with_members {
            for _ in 0..3 {
                self.news_that_one_misses()?;
            }
        }
        self.well_again()?;
        self.goodbye(with_members)?;
        self.crash_among_old_messages(with_members)?;
        self.well_again()?;
        Ok(())
    }

    /// A node that does not serve as the last seed node, if the cluster can spare one.
    fn any_dispensable(&mut self) -> Option<NodeId> {
        let running: Vec<NodeId> = self.world.running().collect();
        let last_seed = running.iter().filter(|node| **node < SEED_NODES).count() == 1;
        let dispensable = running
            .iter()
            .filter(|node| !(last_seed && **node < SEED_NODES));
        if running.len() > 2 {
            dispensable.choose(&mut self.random).copied()
        } else {
            None
        }
    }

    /// One node hears nothing for a moment, in which another one changes.
    fn news_that_one_misses(&mut self) -> Result<(), String> {
        let pair = self.world.running().sample(&mut self.random, 2);
        let [deaf, changed] = pair[..] else {
            return Ok(());
        };
        let count = self.world.node_count();
        let others = (0..count).map(|node| node != deaf).collect();
        let only = (0..count).map(|node| node == deaf).collect();
        self.world.cut(others, only);
        self.world.run_for(DEAF / 4);
        self.set_metadata(changed);
        self.world.run_for(DEAF * 3 / 4);
        self.world.heal();
        self.wait_for(self.plan.spread_max, |run| run.compare_members().err())?;
        Ok(())
    }

    fn goodbye(&mut self, with_members: bool) -> Result<(), String> {
        let Some(node) = self.any_dispensable() else {
            return Ok(());
        };
        self.world.observer.will_end(node);
        self.say_goodbye(node);
        if with_members {
            self.wait_for(self.plan.spread_max, |run| run.unaware(node, Status::Left))?;
        }
        Ok(())
    }

    /// A node starts again, so that others tell it all they know; some of these messages come a second
    /// time much later. Then another node ends without a word.
    fn crash_among_old_messages(&mut self, with_members: bool) -> Result<(), String> {
        self.world.set_network(NetworkConfig {
            duplication: 0.5,
            duplication_delay: SECOND_COPY_MAX,
            ..self.plan.network
        });
        if let Some(node) = self.any_dispensable() {
            self.world.observer.will_restart(node);
            self.end(node, Death::Refuses);
            self.restart(node);
        }
        self.world.run_for(5 * SECOND);
        if let Some(node) = self.any_dispensable() {
            self.world.observer.will_end(node);
            self.end(node, Death::Silent);
            if with_members {
                let told =
                    self.wait_for(self.plan.down_max, |run| run.unaware(node, Status::Down))?;
                self.down_ms = Some(told);
            }
        }
        self.world.set_network(self.plan.network);
        self.world.run_for(SECOND_COPY_MAX);
        Ok(())
    }
}
