//! Whom the new overlay reaches: a probe goes out over its lanes alone, and answers come back by the way
//! the probe came.
//!
//! Each node passes a probe on once, to all its neighbors in that overlay, and answers for itself if it
//! lacks nothing there. Answers are gathered for a moment on the way, so that they cost a node about
//! one message per neighbor. What is lost is made up for by the next probe. At most two messages per
//! lane and probe: nothing beside the making of the lane.

use std::collections::BTreeSet;

use super::message::{Message, REACHED_MAX};
use super::switch::{Out, Switch, Timer};
use crate::epoch::{Epoch, Report};
use crate::event::{Event, Output, Peer};
use crate::time::Time;

/// Most nodes that wait at once to be passed on. 16,384: more than any cluster that this is built for.
const WAITING_MAX: usize = 1 << 14;

impl<P: Peer> Switch<P> {
    /// This node wants to know whom the overlay of an epoch reaches.
    pub(super) fn probe(&mut self, epoch: Epoch<P>, out: &mut Out<P>) {
        if let Some(slot) = self.slot_of(epoch) {
            let round = slot.probe.saturating_add(1);
            self.pass_probe_on(epoch, round, None, out);
        }
    }

    pub(super) fn on_probe(
        &mut self,
        now: Time,
        from: P,
        epoch: Epoch<P>,
        round: u32,
        out: &mut Out<P>,
    ) {
        if self.slot_of(epoch).is_some() {
            self.pass_probe_on(epoch, round, Some(from), out);
        } else {
            self.tell_state(now, from, out);
        }
    }

    fn pass_probe_on(&mut self, epoch: Epoch<P>, round: u32, from: Option<P>, out: &mut Out<P>) {
        let ready = self.is_ready(epoch);
        let me = self.me;
        let Some(slot) = self.slot_mut(epoch).filter(|slot| round > slot.probe) else {
            return;
        };
        slot.probe = round;
        slot.probed_by = from;
        let onward = slot.told.iter().copied();
        let to: Vec<P> = onward.filter(|peer| Some(*peer) != from).collect();
        if !to.is_empty() {
            let message = Message::Probe { epoch, round };
            out.push(Output::SendAll { to, message });
        }
        if ready {
            self.reached(epoch, vec![me], out);
        }
    }

    /// These were reached over this node, or are it.
    pub(super) fn reached(&mut self, epoch: Epoch<P>, peers: Vec<P>, out: &mut Out<P>) {
        let after = self.config.gather_for;
        let Some(slot) = self.slot_mut(epoch) else {
            return;
        };
        if slot.probed_by.is_none() {
            // It began here.
            if slot.probe > 0 {
                out.push(Output::Event(Event::Epoch(Report::Reached {
                    epoch,
                    peers,
                })));
            }
            return;
        }
        let id = Timer::PassOn { life: slot.life };
        if slot.reached.is_empty() && !peers.is_empty() {
            out.push(Output::SetTimer { id, after });
        }
        let room = WAITING_MAX.saturating_sub(slot.reached.len());
        slot.reached.extend(peers.into_iter().take(room));
    }

    /// Those reached over this node have been gathered for long enough.
    pub(super) fn pass_on_due(&mut self, life: u32, out: &mut Out<P>) {
        let Some(slot) = self.slot_of_life(life) else {
            return;
        };
        let epoch = slot.proposal.epoch;
        let reached: BTreeSet<P> = std::mem::take(&mut slot.reached);
        let Some(to) = slot.probed_by else {
            return;
        };
        let reached: Vec<P> = reached.into_iter().collect();
        for peers in reached.chunks(REACHED_MAX) {
            let message = Message::Reached {
                epoch,
                peers: peers.to_vec(),
            };
            out.push(Output::Send { to, message });
        }
    }
}
