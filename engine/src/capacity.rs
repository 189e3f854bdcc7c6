//! Whether there is room for more to a destination, before anything is refused.
//!
//! Asked by senders on any thread. The gates of the lanes (`ring/gate`) know; nothing is reserved here.

use std::time::Duration;

use event_listener::{EventListener, Listener};

use crate::admission::{is_restrained, lane_offsets, partitioned};
use crate::channel::Channel;
use crate::deadline::deadline_in;
use crate::error::SendError;
use crate::message::Destination;
use crate::ring::gate::{Gate, GateState};
use crate::threads;

/// How much waits for a destination on a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Capacity {
    /// There is room.
    Ok,
    /// What waits has reached the high watermark (`high_watermark_percent`), and not come down to the low
    /// one (`low_watermark_percent`) since. Messages are accepted still, up to the bound.
    Overloaded,
}

impl Channel {
    /// Whether a sender should pause. Costs a look at two words. Where a message may take any of parallel
    /// lanes, there is room if one of them has some.
    ///
    /// # Errors
    /// [`SendError::Unreachable`], [`SendError::Closed`], [`SendError::ChannelRemoved`], [`SendError::Partitioned`],
    /// [`SendError::OtherNode`]: nothing would be accepted at all.
    pub fn capacity(&self, to: &Destination) -> Result<Capacity, SendError> {
        let mut refusal = SendError::Unreachable;
        let mut overloaded = false;
        if self.entry.is_removed() {
            return Err(SendError::ChannelRemoved);
        }
        if is_restrained(&self.entry, to.peer()) {
            return Err(partitioned(&self.entry));
        }
        let gates = self.gates_to(to)?;
        let offset = lane_offsets(&self.entry, to).start;
        match self.relay_room(to, offset) {
            Some(true) => return Ok(Capacity::Ok),
            Some(false) => return Ok(Capacity::Overloaded),
            None => {}
        }
        for gate in gates {
            match gate.state() {
                GateState::Open if gate.is_overloaded() => overloaded = true,
                GateState::Open => return Ok(Capacity::Ok),
                GateState::Down => {}
                GateState::Closed => refusal = SendError::Closed,
            }
        }
        if overloaded {
            Ok(Capacity::Overloaded)
        } else {
            Err(refusal)
        }
    }

    /// Waits until a sender may go on: at once if there is room, else until what waits has come down to the
    /// low watermark. In a task of any runtime.
    ///
    /// # Errors
    /// As [`capacity`](Self::capacity), also while it waits.
    pub async fn on_capacity(&self, to: &Destination) -> Result<(), SendError> {
        loop {
            let eased = self.listen_for_ease(to)?;
            if self.capacity(to)? == Capacity::Ok {
                return Ok(());
            }
            eased.await;
        }
    }

    /// [`on_capacity`](Self::on_capacity) for a thread that may block, for `timeout` at most: what it came to.
    ///
    /// # Errors
    /// As [`capacity`](Self::capacity); [`SendError::WouldDeadlock`] on a thread of the engine.
    pub fn wait_capacity(
        &self,
        to: &Destination,
        timeout: Duration,
    ) -> Result<Capacity, SendError> {
        if threads::is_own() {
            return Err(SendError::WouldDeadlock);
        }
        let deadline = deadline_in(timeout);
        loop {
            let eased = self.listen_for_ease(to)?;
            let capacity = self.capacity(to)?;
            if capacity == Capacity::Ok || eased.wait_deadline(deadline).is_none() {
                return self.capacity(to);
            }
        }
    }

    /// Of several lanes the first that eases is as good as any: each of them does in time.
    fn listen_for_ease(&self, to: &Destination) -> Result<EventListener, SendError> {
        let mut gates = self.gates_to(to)?;
        let gate = gates.next().ok_or(SendError::Unreachable)?;
        Ok(gate.listen_for_ease())
    }

    /// The gates of the lanes that the next message may take.
    fn gates_to<'t>(
        &self,
        to: &'t Destination,
    ) -> Result<impl Iterator<Item = &'t Gate> + use<'t>, SendError> {
        if to.home != self.home {
            return Err(SendError::OtherNode);
        }
        let lanes = lane_offsets(&self.entry, to);
        Ok(lanes.map(|offset| &to.peer.lane(offset).gate))
    }
}
