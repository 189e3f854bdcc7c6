//! What reads the bytes of a lane, and where reading has stopped.
//!
//! Made by `receive` and `retry` for one piece of input, used by `frames`, and put back at the end. It decides about no
//! frame.

use std::time::Instant;

use super::Core;
use super::inbound::Inbound;
use super::landing::{LANDING_BYTES_MIN, Landing, StrayFragment};
use crate::io::operation::OperationKind;
use crate::wire::fragment::Fragment;
use crate::wire::frame::message_header;
use crate::wire::{CloseReason, FrameLimits, HEADER_BYTES};

/// Where reading stopped.
pub(super) enum Stop {
    /// All whole frames are read.
    Incomplete,
    /// An inbox has no room.
    Blocked,
    /// The slice of time is over.
    Paused,
}

impl Stop {
    /// Where reading stops behind a part that was read: nowhere, if that had to end for lack of bytes of its own.
    pub(super) fn unless_incomplete(self) -> Option<Self> {
        (!matches!(self, Self::Incomplete)).then_some(self)
    }
}

/// What reads a lane's bytes: its receiving half and its connection's landing, both taken out so that a
/// handler may send on the very same lane.
pub(super) struct Reader {
    pub(super) lane: u32,
    pub(super) inbound: Box<Inbound>,
    pub(super) landing: Option<Box<Landing>>,
    /// When to stop, if there is more.
    pub(super) until: Option<Instant>,
    /// What is read was compressed.
    pub(super) is_unpacking: bool,
}

impl Reader {
    /// What the frames that are read now may be.
    #[inline]
    pub(super) fn limits(&self) -> FrameLimits {
        let limits = self.inbound.limits;
        if self.is_unpacking {
            FrameLimits {
                codec: None,
                ..limits
            }
        } else {
            limits
        }
    }

    /// Takes the halves out of a lane and its connection.
    pub(super) fn take(core: &mut Core, lane: u32, until: Option<Instant>) -> Option<Self> {
        let state = &mut core.lanes[lane as usize];
        let inbound = state.link.inbound.take()?;
        let connection = state.state.connection();
        let landing = connection
            .and_then(|connection| core.connections.get(connection))
            .and_then(|connection| connection.landing.take());
        Some(Self {
            lane,
            inbound,
            landing,
            until,
            is_unpacking: false,
        })
    }

    /// Puts the halves back, notes what is owed, and ends the lane if the peer broke the rules.
    pub(super) fn finish(self, core: &mut Core, outcome: Result<Stop, CloseReason>) {
        let Self {
            lane,
            mut inbound,
            landing,
            ..
        } = self;
        let now = core.now;
        let state = &mut core.lanes[lane as usize];
        let due = inbound.ledger.ack_is_due(now);
        let ack_deadline = inbound.ledger.ack_deadline();
        let blocked = inbound.blocked;
        let landing_bytes = landing.as_ref().map_or(0, |landing| landing.filled_bytes());
        let is_filling = landing.as_ref().is_some_and(|landing| landing.is_filling());
        inbound.note_partial(now, landing_bytes);
        inbound.shrink_carry();
        state.link.inbound = Some(inbound);
        if let Some(connection) = state.state.connection()
            && let Some(carrier) = core.connections.get(connection)
        {
            carrier.landing = landing;
            if is_filling && carrier.lands() && carrier.receiving == Some(OperationKind::Receive) {
                core.call_off_receive(connection);
            }
        }
        let state = &mut core.lanes[lane as usize];
        if let Some(deadline) = ack_deadline {
            core.sending.owe_ack(lane, state, deadline);
        }
        if due {
            core.mark_ready(lane);
        }
        if let Some(mailbox) = blocked {
            core.note_blocked(lane, mailbox);
        }
        if let Err(reason) = outcome {
            core.end_lane(lane, reason);
        }
    }

    /// A fragment of a message begins.
    pub(super) fn begin_fragment(
        &mut self,
        core: &Core,
        fragment: &Fragment,
    ) -> Result<(), CloseReason> {
        let landing = self.landing.get_or_insert_with(|| Box::new(Landing::new()));
        let mut begun = Ok(());
        if let Some(first) = fragment.first {
            let header = message_header(first, fragment.word);
            let message_bytes = HEADER_BYTES + first.message_bytes as usize;
            let block = core.fabric.payloads.block(message_bytes);
            begun = landing.begin_message(block, &header);
        }
        begun
            .and_then(|()| landing.begin_fragment(fragment.bytes))
            .map_err(|StrayFragment| CloseReason::FrameMalformed)
    }

    /// The peer is told of fragments as they come, so that it need not wait for those of a message to go on.
    pub(super) fn end_fragment(&mut self, now: Instant) {
        let landing = self.landing.as_mut();
        if let Some(bytes) = landing.and_then(|landing| landing.end_fragment()) {
            let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
            self.inbound.ledger.fragment(bytes, now);
        }
    }

    /// Takes what belongs to the incomplete frame or fragment from the front of `bytes`; says how much.
    pub(super) fn fill_landing(&mut self, bytes: &[u8]) -> usize {
        let landing = self.landing.as_mut();
        landing.map_or(0, |landing| landing.fill_from(bytes))
    }

    /// The frame at the start of `bytes` is incomplete: from `LANDING_BYTES_MIN` up it lands, which takes
    /// all of `bytes`. False if it is too small for that.
    pub(super) fn land(&mut self, core: &Core, frame_bytes: usize, bytes: &[u8]) -> bool {
        if frame_bytes < LANDING_BYTES_MIN {
            return false;
        }
        let landing = self.landing.get_or_insert_with(|| Box::new(Landing::new()));
        landing.begin(core.fabric.payloads.block(frame_bytes));
        landing.fill_from(bytes);
        true
    }
}
