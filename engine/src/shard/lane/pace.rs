//! Where a capped lane stands: what it has reserved of its peer's caps and of its channel's, and when it may go.
//!
//! Part of the lane, used by `shard::capped`. First the peer's caps are waited for, then the channel's: so a lane whose peer has
//! had enough holds back nothing of the channel's from others.

use std::sync::Arc;
use std::time::Instant;

use crate::delivery::rate::{Amount, Grant};
use crate::rates::{ChannelRates, SharedMeter};

/// What a lane may hand over now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::shard) enum Allowance {
    /// As much as its quantum allows.
    Quantum,
    /// So much of its messages, and no more chunks than one.
    Piece(Amount),
    /// Frames of its own alone: it waits for tokens, or for acknowledgements.
    NoMessages,
}

/// See the module's text.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    /// What the lanes to the peer share, and the most that is reserved at once; once it was asked for.
    meter: Option<(Arc<SharedMeter>, Amount)>,
    of_peer: Option<Grant>,
    of_channel: Option<Grant>,
    /// When the lane is looked at again, if that is set.
    pub(in crate::shard) wake: Option<Instant>,
}

impl Pace {
    /// The most that the lane sends at once.
    pub(in crate::shard) fn piece(&mut self, rates: &ChannelRates, peer: &Arc<str>) -> Amount {
        let (_, piece) = self.meter.get_or_insert_with(|| {
            let meter = rates.of_peer(peer);
            let piece = meter.piece().min(rates.channel.piece());
            (meter, piece)
        });
        *piece
    }

    /// Reserves `next`, unless something is reserved already. Returns when that may go, or when to ask again.
    pub(in crate::shard) fn reserve(
        &mut self,
        rates: &ChannelRates,
        next: Amount,
        now: Instant,
    ) -> Instant {
        let Some((meter, _)) = &self.meter else {
            return now;
        };
        let of_peer = self.of_peer.get_or_insert_with(|| meter.reserve(next, now));
        if of_peer.at > now {
            return of_peer.at;
        }
        let of_channel = self.of_channel.get_or_insert_with(|| {
            let granted = rates.channel.reserve(of_peer.amount, now);
            if granted.at > now {
                meter.postpone(of_peer, granted.at);
            }
            granted
        });
        of_channel.at
    }

    /// What may go by what was reserved.
    pub(in crate::shard) fn granted(&self) -> Option<Amount> {
        self.of_channel.as_ref().map(|grant| grant.amount)
    }

    /// In place of what was reserved, that went: the rest is given back.
    pub(in crate::shard) fn settle(&mut self, rates: &ChannelRates, sent: Amount) {
        if let Some((meter, _)) = &self.meter
            && let Some(grant) = self.of_peer.take()
        {
            meter.settle(&grant, sent);
        }
        if let Some(grant) = self.of_channel.take() {
            rates.channel.settle(&grant, sent);
        }
    }

    /// The caps have changed: what was reserved is void.
    pub(in crate::shard) fn forget(&mut self) {
        self.meter = None;
        self.of_peer = None;
        self.of_channel = None;
    }
}
