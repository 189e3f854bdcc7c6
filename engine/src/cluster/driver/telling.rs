//! What the protocols tell, as events and deliveries that name nodes.
//!
//! Called by `wants` for each event. It also notes where members are, and doubts the lanes of those that others suspect.

use std::sync::Arc;

use overlane_overlays::membership::Details;
use overlane_overlays::{AtomicOutcome, Delivery, Time};

use super::{Deed, Driver};
use crate::cluster::book::Source;
use crate::cluster::identity::NodeId;
use crate::cluster::kind::BroadcastKind;
use crate::cluster::machine::{MachineEvent, Readings as _};
use crate::cluster::payload::{Addressed, Sort};
use crate::events::Event;

impl Driver {
    pub(super) fn told(&mut self, event: MachineEvent, now: Time, out: &mut Vec<Deed>) {
        self.note(&event, now);
        self.note_servers(&event, now);
        self.follow_sides(&event, out);
        let event = match event {
            MachineEvent::MemberUp(id) => {
                let Some(incarnation) = self.learn_member(id, out) else {
                    return;
                };
                Event::MemberUp {
                    member: self.book.name(id),
                    incarnation,
                }
            }
            MachineEvent::MemberChanged(id) => {
                self.learn_member(id, out);
                Event::MemberChanged {
                    member: self.book.name(id),
                }
            }
            MachineEvent::MemberSuspect(id) => {
                self.doubt(id, now, out);
                Event::MemberSuspect {
                    member: self.book.name(id),
                }
            }
            MachineEvent::MemberDown(id) => {
                self.doubt(id, now, out);
                let member = self.book.name(id);
                self.release(Arc::clone(&member), out);
                Event::MemberDown { member }
            }
            MachineEvent::MemberLeft(id) => {
                let member = self.book.name(id);
                self.release(Arc::clone(&member), out);
                Event::MemberLeft { member }
            }
            MachineEvent::NeighborUp(id) => {
                self.compare_decisions(id, out);
                self.compare_changes(id, out);
                self.summaries.neighbor_up(id);
                self.neighbors += 1;
                Event::NeighborUp {
                    node: self.book.name(id),
                }
            }
            MachineEvent::NeighborDown(id) => {
                self.neighbors += 1;
                self.seek_company_later(now);
                Event::NeighborDown {
                    node: self.book.name(id),
                }
            }
            MachineEvent::Coordinator(id) => Event::Coordinator {
                member: self.book.name(id),
            },
            MachineEvent::Partitioned { here, there } => Event::Partitioned {
                here: self.names(here),
                there: self.names(there),
            },
            MachineEvent::Healed { missing } => Event::Healed {
                missing: self.names(missing),
            },
            MachineEvent::Switching { epoch, kind, step } => Event::Overlay {
                epoch: epoch.number,
                kind,
                step,
            },
            MachineEvent::Tried { epoch, report } => Event::OverlayTried {
                epoch: epoch.number,
                report: Arc::new(*report),
            },
            MachineEvent::Missed {
                sender,
                first,
                last,
                ..
            } => {
                let messages = (last - first).saturating_add(1);
                out.push(Deed::Missed {
                    sort: Sort::Broadcast(BroadcastKind::Causal),
                    messages,
                });
                Event::BroadcastsMissed {
                    sender: Some(self.book.name(sender)),
                    messages,
                }
            }
            MachineEvent::Atomic {
                sender,
                id,
                outcome,
            } => {
                let outcome = self.named(outcome);
                if sender == self.me {
                    let outcome = outcome.clone();
                    out.push(Deed::AtomicEnded { id, outcome });
                }
                Event::AtomicEnded {
                    sender: self.book.name(sender),
                    outcome,
                }
            }
            MachineEvent::Delivered(delivery) => return self.delivered(&delivery, out),
            MachineEvent::Refused { command, why } => {
                let command = Box::new(command);
                out.push(Deed::Refuse { command, why });
                return;
            }
            MachineEvent::Left => {
                self.has_left = true;
                Event::Left
            }
            // Of layers that this node does not have, and of the halves of a switch among themselves.
            MachineEvent::Written { .. }
            | MachineEvent::Relayed { .. }
            | MachineEvent::Epoch(_) => return,
        };
        out.push(Deed::Tell(event));
    }

    /// With the names of members.
    fn named(&self, outcome: AtomicOutcome<NodeId>) -> AtomicOutcome<Arc<str>> {
        match outcome {
            AtomicOutcome::Committed => AtomicOutcome::Committed,
            AtomicOutcome::Aborted { missing } => AtomicOutcome::Aborted {
                missing: missing.into_iter().map(|id| self.book.name(id)).collect(),
            },
            AtomicOutcome::Unknown => AtomicOutcome::Unknown,
        }
    }

    pub(super) fn names(&self, ids: Vec<NodeId>) -> Arc<[Arc<str>]> {
        ids.into_iter().map(|id| self.book.name(id)).collect()
    }

    /// Notes where a member is to be found. Its incarnation; none if it gave itself the name of another node.
    pub(super) fn learn_member(&mut self, id: NodeId, out: &mut Vec<Deed>) -> Option<u64> {
        let entry = self.machine.members().get(&id)?;
        let Details {
            name, addresses, ..
        } = &*entry.details;
        if NodeId::of(name) != id {
            return None;
        }
        self.book.learn(name, addresses, Source::Itself);
        let incarnation = entry.version.incarnation;
        if id != self.me && !self.kept.contains(&id) {
            self.reach(id, out);
        }
        Some(incarnation)
    }

    pub(super) fn delivered(&self, delivery: &Delivery<NodeId>, out: &mut Vec<Deed>) {
        let message = Addressed::read(&delivery.payload.body);
        // A topic carries publications alone.
        let fits = |message: &Addressed| delivery.topic.is_none() || message.sort == Sort::Topic;
        if let Some(message) = message.filter(fits) {
            let from = self.book.name(delivery.sender);
            out.push(Deed::Deliver {
                from,
                hops: delivery.hops,
                message,
            });
        }
    }
}
