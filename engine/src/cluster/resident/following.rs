//! Orders of applications, and what they wait to hear of them.
//!
//! Called by the resident in each step. An order to the protocols is given to the driver; a question is answered from it.
//! Whoever does not wait for an answer any more does not hear it.

use std::sync::Arc;

use crossbeam_channel::{Receiver, Sender, bounded};
use overlane_overlays::epoch::{OverlayKind, Step};
use overlane_overlays::{AtomicOutcome, Command, MessageId, Payload, Refusal};

use super::{ClusterResident, Tell};
use crate::cluster::channels::orders::Wish;
use crate::cluster::counts::count;
use crate::cluster::discovered::Sighting;
use crate::cluster::driver::{Deed, Happening};
use crate::cluster::identity::NodeId;
use crate::cluster::kind::BroadcastKind;
use crate::cluster::orders::Order;
use crate::cluster::outcome::{AtomicEnd, SwitchOutcome};
use crate::cluster::payload::Sort;
use crate::cluster::topology::{OrderedBy, TopologyOrder, TrialPlan};
use crate::events::Event;

/// Who waits for the end of something.
#[derive(Debug, Default)]
pub(super) struct Awaited {
    /// Orders to switch the overlay, by the epoch that they led to.
    switching: Vec<(u64, Sender<SwitchOutcome>)>,
    /// How some of them ended: told once the view shows it.
    switched: Vec<(Sender<SwitchOutcome>, SwitchOutcome)>,
    /// Atomic broadcasts that have not ended.
    atomic: Vec<(MessageId, Sender<AtomicEnd>)>,
}

impl Awaited {
    /// The view shows now what has ended.
    pub(super) fn answer(&mut self) {
        for (answer, outcome) in self.switched.drain(..) {
            let _ = answer.send(outcome);
        }
    }
}

impl ClusterResident {
    pub(super) fn follow_orders(&mut self, tell: Tell<'_>) {
        while let Ok(order) = self.orders.try_recv() {
            self.state.taken(&order);
            let happening = match order {
                Order::Switch {
                    kind,
                    servers,
                    trial,
                    answer,
                } => {
                    let order = Happening::Switch {
                        kind,
                        servers: servers.iter().map(|name| NodeId::of(name)).collect(),
                        trial: trial.as_ref().map(TrialPlan::of),
                        by: OrderedBy::Hand,
                    };
                    self.switch(order, answer, tell);
                    continue;
                }
                Order::ChangeChannel {
                    channel,
                    operation,
                    within,
                    answer,
                } => Happening::ChangeChannel(Wish {
                    token: self.ordered.wait(answer),
                    channel,
                    operation,
                    within,
                }),
                Order::ChannelChanges(answer) => {
                    let _ = answer.send(self.driver.channel_changes());
                    continue;
                }
                Order::Summaries(answer) => {
                    let _ = answer.send(self.driver.summaries(self.clock.now()));
                    continue;
                }
                Order::Topology(order) => {
                    self.follow_topology(order, tell);
                    continue;
                }
                Order::Broadcast { kind, body, answer } => {
                    count(&self.state.counters.of(Sort::Broadcast(kind)).started);
                    let body = body.into();
                    self.broadcast(kind, body, answer, tell);
                    continue;
                }
                Order::Publish { topic, body } => {
                    count(&self.state.counters.of(Sort::Topic).started);
                    Happening::Publish { topic, body }
                }
                Order::Evict(name) => Happening::Evict(NodeId::of(&name)),
                Order::Decide(payload) => Happening::Decide(payload),
                Order::OnMerge(callback) => {
                    self.take_callback(callback);
                    continue;
                }
                Order::Discovered(sighting) => {
                    self.discovered(sighting, tell);
                    continue;
                }
                Order::Join(places) => Happening::Join(places),
                Order::Leave => Happening::Order(Command::Leave),
                Order::Subscribe(topic) => Happening::Order(Command::Subscribe(topic)),
                Order::Unsubscribe(topic) => Happening::Order(Command::Unsubscribe(topic)),
                Order::SetMetadata(metadata) => Happening::Order(Command::SetMetadata(metadata)),
            };
            self.give(happening, tell);
        }
    }

    fn discovered(&mut self, sighting: Sighting, tell: Tell<'_>) {
        let discovery = sighting.discovery;
        let happening = match sighting.found {
            Ok(places) => Happening::Discovered { discovery, places },
            Err(why) => Happening::DiscoveryFailed { discovery, why },
        };
        self.give(happening, tell);
        if let Some(event) = sighting.event {
            tell(event);
        }
    }

    fn broadcast(
        &mut self,
        kind: BroadcastKind,
        payload: Payload,
        answer: Option<Sender<AtomicEnd>>,
        tell: Tell<'_>,
    ) {
        let order = match kind {
            BroadcastKind::Plain => Happening::Order(Command::Broadcast(payload)),
            BroadcastKind::Epidemic => Happening::Order(Command::Broadcast(payload.epidemically())),
            BroadcastKind::Causal => Happening::Order(Command::CausalBroadcast(payload)),
            BroadcastKind::Atomic => Happening::Atomic(payload),
        };
        let mut deeds = Vec::new();
        self.driver.handle(self.clock.now(), order, &mut deeds);
        if let Some(answer) = answer {
            let refusal = refusal_of(&deeds, |command| {
                matches!(command, Command::AtomicBroadcast { .. })
            });
            match (refusal, self.driver.last_atomic()) {
                (None, Some(id)) => self.awaited.atomic.push((id, answer)),
                (None, None) => {}
                (Some(why), _) => drop(answer.send(Err(why))),
            }
        }
        self.carry_out(deeds, tell);
    }

    /// An atomic broadcast of this node has ended.
    pub(super) fn atomic_ended(&mut self, id: MessageId, outcome: AtomicOutcome<Arc<str>>) {
        let mut waiting = self.awaited.atomic.iter();
        if let Some(at) = waiting.position(|(sent, _)| *sent == id) {
            let (_, answer) = self.awaited.atomic.swap_remove(at);
            let _ = answer.send(Ok(outcome));
        }
    }

    /// What is ordered and asked of the topology.
    fn follow_topology(&mut self, order: TopologyOrder, tell: Tell<'_>) {
        let now = self.clock.now();
        match order {
            TopologyOrder::Analyze(answer) => drop(answer.send(self.driver.analyze(now))),
            TopologyOrder::History(answer) => drop(answer.send(self.driver.switches(now))),
            TopologyOrder::Rules(answer) => drop(answer.send(self.driver.rules().clone())),
            TopologyOrder::SetRules(rules, answer) => {
                let _ = answer.send(self.driver.set_rules(now, *rules));
            }
            TopologyOrder::SetGauge(name, value, answer) => {
                let _ = answer.send(self.driver.set_gauge(name, value));
            }
            TopologyOrder::Workload(workload, answer) => {
                let wanted = self.driver.choose_workload(now, workload);
                let begun = wanted.map(|wanted| {
                    let (kind, by) = wanted?;
                    Some(self.begin_switch(kind, by, tell))
                });
                let _ = answer.send(begun);
            }
            TopologyOrder::FollowRules(answer) => {
                let wanted = self.driver.choose_by_rules(now);
                let begun = wanted.map(|(kind, by)| Some(self.begin_switch(kind, by, tell)));
                let _ = answer.send(begun);
            }
        }
    }

    /// Orders a switch. Its outcome comes out of the receiver.
    fn begin_switch(
        &mut self,
        kind: OverlayKind,
        by: OrderedBy,
        tell: Tell<'_>,
    ) -> Receiver<SwitchOutcome> {
        let (answer, outcome) = bounded(1);
        let order = Happening::Switch {
            kind,
            servers: Vec::new(),
            trial: None,
            by,
        };
        self.switch(order, answer, tell);
        outcome
    }

    fn switch(&mut self, order: Happening, answer: Sender<SwitchOutcome>, tell: Tell<'_>) {
        let mut deeds = Vec::new();
        self.driver.handle(self.clock.now(), order, &mut deeds);
        let refusal = refusal_of(&deeds, |command| {
            matches!(command, Command::SwitchOverlay { .. })
        });
        let Awaited {
            switching,
            switched,
            ..
        } = &mut self.awaited;
        match (refusal, self.driver.next_epoch()) {
            (Some(why), _) => switched.push((answer, SwitchOutcome::Refused(why))),
            (None, Some(epoch)) => switching.push((epoch, answer)),
            // A node alone has switched at once.
            (None, None) => switched.push((answer, SwitchOutcome::Committed)),
        }
        self.carry_out(deeds, tell);
    }

    /// Whoever ordered a switch learns how it ended.
    pub(super) fn answer_switch(&mut self, event: &Event) {
        let Event::Overlay { epoch, step, .. } = event else {
            return;
        };
        let outcome = match step {
            Step::Committed => SwitchOutcome::Committed,
            Step::RolledBack(why) => SwitchOutcome::RolledBack(*why),
            _ => return,
        };
        let Awaited {
            switching,
            switched,
            ..
        } = &mut self.awaited;
        let ended = switching.extract_if(.., |(ordered, _)| ordered == epoch);
        switched.extend(ended.map(|(_, answer)| (answer, outcome)));
    }
}

/// Why an order was refused, if it was.
fn refusal_of(deeds: &[Deed], is_order: impl Fn(&Command<NodeId>) -> bool) -> Option<Refusal> {
    deeds.iter().find_map(|deed| match deed {
        Deed::Refuse { command, why } => is_order(command).then_some(*why),
        _ => None,
    })
}
