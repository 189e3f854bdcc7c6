//! Samples of a trial: how an overlay carries to the nodes on which another one is tried.
//!
//! A sample floods one overlay, as a broadcast without a tree would: in a full mesh straight from who sends it to the nodes
//! of the trial, over any other overlay from neighbor to neighbor. The nodes of the trial answer at once, and the answers go
//! back by the way that the sample came. Each sample costs a message per lane of the overlay at most, and an answer of
//! each node of the trial per hop; of each overlay only the last sample is remembered.

use super::message::Message;
use super::slot::Sample;
use super::switch::{Out, Switch};
use crate::epoch::{OverlayKind, Report, Sampling};
use crate::event::{Event, Output, Peer};
use crate::time::Time;

impl<P: Peer> Switch<P> {
    /// This node wants to know how an overlay carries to the nodes of a trial.
    pub(super) fn sample(&mut self, sampling: Sampling<P>, out: &mut Out<P>) {
        let part = self.slot_of(sampling.trial);
        let part = part.and_then(|slot| slot.proposal.trial.as_ref());
        let Some(part) = part.map(|trial| trial.part.clone()) else {
            return;
        };
        let Some(slot) = self.slot_mut(sampling.overlay) else {
            return;
        };
        let is_mesh = slot.proposal.kind == OverlayKind::FullMesh;
        let told = slot.told.iter().copied();
        let to: Vec<P> = told
            .filter(|peer| !is_mesh || part.contains(peer))
            .collect();
        slot.sample = Some(Sample {
            trial: sampling.trial,
            round: sampling.round,
            by: None,
            copies: 0,
        });
        send_on(sampling, 1, to, out);
    }

    pub(super) fn on_sample(
        &mut self,
        now: Time,
        from: P,
        sampling: Sampling<P>,
        hops: u8,
        out: &mut Out<P>,
    ) {
        let Sampling { trial, round, .. } = sampling;
        let me = self.me;
        let tries = self.slot_of(trial).is_some();
        let Some(slot) = self.slot_mut(sampling.overlay) else {
            return self.tell_state(now, from, out);
        };
        let before = match &mut slot.sample {
            Some(last) if (last.trial, last.round) == (trial, round) => {
                last.copies = last.copies.saturating_add(1);
                return;
            }
            Some(last) if (last.trial, last.round) > (trial, round) => return,
            Some(last) if last.trial == trial && last.round + 1 == round => last.copies,
            _ => 0,
        };
        slot.sample = Some(Sample {
            trial,
            round,
            by: Some(from),
            copies: 1,
        });
        // In a full mesh all have it from who sent it.
        if slot.proposal.kind != OverlayKind::FullMesh {
            let told = slot.told.iter().copied();
            let to = told.filter(|peer| *peer != from).collect();
            send_on(sampling, hops.saturating_add(1), to, out);
        }
        if tries {
            let message = Message::Sampled {
                sampling,
                peer: me,
                hops,
                copies: before,
            };
            out.push(Output::Send { to: from, message });
        }
    }

    /// A node of the trial has the sample, and this node is on the way that its answer takes.
    pub(super) fn on_sampled(
        &mut self,
        sampling: Sampling<P>,
        peer: P,
        (hops, copies): (u8, u8),
        out: &mut Out<P>,
    ) {
        let Sampling {
            overlay,
            trial,
            round,
        } = sampling;
        let sample = self.slot_of(overlay).and_then(|slot| slot.sample.as_ref());
        let sample = sample.filter(|last| (last.trial, last.round) == (trial, round));
        match sample.map(|last| last.by) {
            Some(Some(to)) => {
                let message = Message::Sampled {
                    sampling,
                    peer,
                    hops,
                    copies,
                };
                out.push(Output::Send { to, message });
            }
            Some(None) => out.push(Output::Event(Event::Epoch(Report::Sampled {
                overlay,
                round,
                peer,
                hops,
                copies,
            }))),
            None => {}
        }
    }
}

fn send_on<P: Peer>(sampling: Sampling<P>, hops: u8, to: Vec<P>, out: &mut Out<P>) {
    if !to.is_empty() {
        let message = Message::Sample { sampling, hops };
        out.push(Output::SendAll { to, message });
    }
}
