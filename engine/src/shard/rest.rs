//! Lanes that nobody uses: found, and closed by both ends together, so that nothing is lost.
//!
//! A lane on which no message went for `lane_idle_ms` is proposed for closing. The peer agrees if the lane is
//! idle there too, and from then on sends nothing on it; what it accepts waits for the next connection.
//! The side that proposed then says Bye, unless it has sent a message since: that tells the peer, which
//! goes on. So a Bye for idleness finds nothing under way in either direction, and neither side ever waits for an inbox
//! of the other to say it. A message that comes meanwhile makes the lane anew when it has ended.
//!
//! The control lane is the last: it closes when nothing is between the two nodes any more, no lane, no request and no
//! stream, and neither of them keeps it. Then the peer is down, for idleness.
//!
//! Called by the turn for its deadline, and for the frames that say it (`control_frames`). Nodes of older
//! versions keep their lanes up, and are not asked: they have no control lane.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Core;
use super::inbound::Inbound;
use super::lane::Lane;
use super::quiet::Quiet;
use super::timers::Deadline;
use crate::fabric::Fabric;
use crate::peer::Peer;
use crate::wire::control::Rest;
use crate::wire::{CloseReason, FrameKind};

impl Core {
    fn lane_idle(&self) -> Option<Duration> {
        let idle_ms = self.fabric.config.lane_idle_ms;
        (idle_ms > 0).then(|| Duration::from_millis(idle_ms))
    }

    /// The lane is up: from now on it is looked at.
    pub(super) fn watch_for_rest(&mut self, lane: u32) {
        let state = &mut self.lanes[lane as usize];
        state.quiet = Quiet::new(self.now);
        let has_peer = state.state.connection().is_some();
        if let Some(idle) = self.lane_idle().filter(|_| has_peer) {
            self.look_again(lane, idle);
        }
    }

    fn look_again(&mut self, lane: u32, idle: Duration) {
        let at = self.now + idle / 2;
        self.lanes[lane as usize].quiet.look_at = Some(at);
        self.timers.set(at, Deadline::Rest { lane });
    }

    /// The lane has ended.
    pub(super) fn end_watch_for_rest(&mut self, lane: u32) {
        if let Some(at) = self.lanes[lane as usize].quiet.look_at.take() {
            self.timers.take_back(at, Deadline::Rest { lane });
        }
    }

    /// The time to look at a lane has come: proposes to close it if it is idle.
    pub(super) fn look_for_rest(&mut self, lane: u32) {
        let Some(idle) = self.lane_idle() else {
            return;
        };
        self.look_again(lane, idle);
        let Self {
            now, fabric, lanes, ..
        } = self;
        let state = &mut lanes[lane as usize];
        let Some(inbound) = state.link.inbound.take() else {
            return;
        };
        if is_idle(state, fabric, &inbound, idle, *now) && state.peer.has_control() {
            let put = state.log.put_on_links();
            let rest = Rest {
                proposal: state.quiet.propose(put),
                agreed: false,
            };
            let outbox = &mut state.log.outbox;
            outbox.push_control(FrameKind::Rest, rest.word(), &[]);
            self.mark_ready(lane);
        }
        self.lanes[lane as usize].link.inbound = Some(inbound);
    }

    /// The peer proposes to close the lane, or agrees.
    pub(super) fn hear_rest(&mut self, lane: u32, inbound: &mut Inbound, rest: Rest) {
        let Some(idle) = self.lane_idle() else {
            return;
        };
        let Self {
            now, fabric, lanes, ..
        } = self;
        let state = &mut lanes[lane as usize];
        if rest.agreed {
            let put = state.log.put_on_links();
            if state.quiet.is_agreed(rest.proposal, put) && state.state.is_resting_possible() {
                let actions = state.state.rest();
                self.carry_out(lane, actions);
            }
            return;
        }
        if is_idle(state, fabric, inbound, idle, *now) {
            state.state.agree_to_rest();
            inbound.is_quiet = true;
            let agreed = Rest {
                agreed: true,
                ..rest
            };
            let outbox = &mut state.log.outbox;
            outbox.push_control(FrameKind::Rest, agreed.word(), &[]);
            self.mark_ready(lane);
        }
    }

    /// A message came where none was expected: after an agreement the lane goes on, with what has been
    /// accepted meanwhile.
    ///
    /// # Errors
    /// The reason to end the lane, if the peer had said Bye.
    #[cold]
    pub(super) fn message_after_quiet(
        &mut self,
        lane: u32,
        inbound: &mut Inbound,
    ) -> Result<(), CloseReason> {
        if inbound.said_bye {
            return Err(CloseReason::AfterBye);
        }
        inbound.is_quiet = false;
        self.lanes[lane as usize].state.wake();
        self.send_held(lane);
        Ok(())
    }
}

/// Whether a lane may be closed: nothing has gone for so long, and nothing is under way.
fn is_idle(
    lane: &mut Lane,
    fabric: &Fabric,
    inbound: &Inbound,
    idle: Duration,
    now: Instant,
) -> bool {
    let received = inbound.ledger.delivered_total() + inbound.ledger.refused_total();
    let messages = lane.log.ledger.accepted() + received + lane.log.tally.receive_dropped;
    let has_been = lane.quiet.look(messages, now) >= idle;
    let is_settled = lane.log.is_drained() && lane.address().gate.is_unused();
    let is_read = inbound.blocked.is_none() && inbound.ledger.ack_deadline().is_none();
    let may_rest = has_been && is_settled && is_read && lane.state.may_rest();
    may_rest && (!lane.is_control() || is_alone(&lane.peer, fabric))
}

/// Whether the control lane is all that there is between this node and the peer.
fn is_alone(peer: &Arc<Peer>, fabric: &Fabric) -> bool {
    let lanes = peer.lanes_up() <= 1 && !peer.has_waiting();
    lanes && !fabric.requests.has_open(peer) && !fabric.streams.has_open(peer)
}
