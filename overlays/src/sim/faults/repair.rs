//! When a cluster is well: the overlay is one and the same from both ends, all know all, and payloads
//! reach everybody, for several rounds running.

use std::time::Duration;

use rand::seq::{IndexedRandom, IteratorRandom};

use super::trouble::FaultRun;
use crate::event::Command;
use crate::sim::NodeId;
use crate::sim::deliveries::numbered;
use crate::sim::graph::Graph;
use crate::sim::subject::Subject;

/// Good rounds running that make a cluster well.
const GOOD_ROUNDS: u32 = 5;
/// Time between two rounds.
const ROUND: Duration = Duration::from_secs(2);
/// How long a payload may take to all, and a publication to its subscribers.
const DELIVERY_MAX: Duration = Duration::from_secs(5);
/// How often is looked whether something has come about.
const LOOK_EVERY: Duration = Duration::from_millis(250);

impl<X: Subject> FaultRun<X> {
    /// Milliseconds until the cluster was well to stay so for all rounds.
    pub(super) fn well_again(&mut self) -> Result<u64, String> {
        let start = self.world.now();
        let deaths_due = start + self.plan.down_max;
        let (mut good, mut since) = (0, start);
        loop {
            self.world.run_for(ROUND);
            if good == 0 {
                since = self.world.now();
            }
            let round = self.check_whole();
            if self.world.observer.violation().is_some() {
                return Err("broken".into());
            }
            let now = self.world.now();
            if now >= deaths_due {
                self.check_the_dead()?;
            }
            match round {
                Ok(()) => good += 1,
                Err(unwell) if now.since(start) >= self.plan.repair_max => {
                    return Err(format!("after {:?} still {unwell}", self.plan.repair_max));
                }
                Err(_) => good = 0,
            }
            if good == GOOD_ROUNDS {
                let spent = since.since(start);
                return Ok(u64::try_from(spent.as_millis()).unwrap_or(u64::MAX));
            }
        }
    }

    /// Runs until something has come about, at most for a span: milliseconds it took.
    pub(super) fn wait_for(
        &mut self,
        most: Duration,
        mut missing: impl FnMut(&Self) -> Option<String>,
    ) -> Result<u64, String> {
        let start = self.world.now();
        loop {
            let spent = self.world.now().since(start);
            match missing(self) {
                None => return Ok(u64::try_from(spent.as_millis()).unwrap_or(u64::MAX)),
                Some(missing) if spent >= most => {
                    return Err(format!("after {most:?} still {missing}"));
                }
                Some(_) => self.world.run_for(LOOK_EVERY),
            }
        }
    }

    /// Nobody may believe any longer that a dead node lives.
    fn check_the_dead(&self) -> Result<(), String> {
        let down_max = self.plan.down_max;
        for node in self.world.running() {
            let Some(table) = self.world.state(node).and_then(X::members) else {
                return Ok(());
            };
            let live = table.iter().filter(|entry| entry.status.is_live());
            for entry in live {
                if self.world.state(entry.peer).is_none() {
                    let peer = entry.peer;
                    return Err(format!(
                        "after {down_max:?} {node} has not told {peer} down: {entry:?}"
                    ));
                }
            }
        }
        Ok(())
    }

    /// Says what is not well yet, if anything is not.
    fn check_whole(&mut self) -> Result<(), String> {
        self.check_graph()?;
        self.compare_members()?;
        self.check_broadcast()?;
        self.check_topics()
    }

    /// An edge that is being made or given up has one end for a moment.
    fn check_graph(&mut self) -> Result<(), String> {
        let before = Graph::of(&self.world).one_way_edges();
        if !before.is_empty() {
            self.world.run_for(LOOK_EVERY);
        }
        let graph = Graph::of(&self.world);
        let parts = graph.parts();
        if parts.len() > 1 {
            return Err(format!("split into {parts:?}"));
        }
        let after = graph.one_way_edges();
        match after.iter().find(|edge| before.contains(edge)) {
            Some((node, peer)) => Err(format!("one-sided: {node} has {peer} as its neighbor")),
            None => Ok(()),
        }
    }

    fn check_broadcast(&mut self) -> Result<(), String> {
        let running: Vec<NodeId> = self.world.running().collect();
        let Some(sender) = running.choose(&mut self.random).copied() else {
            return Ok(());
        };
        let number = self.world.observer.number(sender);
        let order = Command::Broadcast(numbered(number).into());
        self.world.command(sender, order);
        let others = || running.iter().filter(|node| **node != sender);
        self.wait_for(DELIVERY_MAX, |run| {
            let deaf = others().find(|node| !run.world.observer.has(**node, number))?;
            Some(format!("deaf: {deaf} lacks what {sender} broadcast"))
        })?;
        Ok(())
    }

    /// Only publish-subscribe has topics; elsewhere nobody knows of the subscriptions.
    fn check_topics(&mut self) -> Result<(), String> {
        if !X::has_topics() {
            return Ok(());
        }
        let mut sent = Vec::new();
        for (topic, subscribers) in self.subscribers.clone() {
            let Some(sender) = subscribers.iter().choose(&mut self.random).copied() else {
                continue;
            };
            let number = self.world.observer.number(sender);
            let order = Command::Publish(topic, numbered(number));
            self.world.command(sender, order);
            sent.push((topic, sender, number, subscribers));
        }
        self.wait_for(DELIVERY_MAX, |run| {
            let mut missing = sent
                .iter()
                .flat_map(|(topic, sender, number, subscribers)| {
                    let others = subscribers.iter().filter(move |node| *node != sender);
                    let deaf = others.filter(move |node| !run.world.observer.has(**node, *number));
                    deaf.map(move |node| format!("deaf: {node} lacks {topic} from {sender}"))
                });
            missing.next()
        })?;
        Ok(())
    }
}
