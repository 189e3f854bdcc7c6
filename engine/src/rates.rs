//! The caps of a channel on this node: what its lanes share to keep to them, on whatever shard they are.
//!
//! One [`ChannelRates`] for each channel, held by its plan. Shards reserve at its meters, once for each batch of a capped
//! channel and never otherwise: the lock of a meter is held for a few additions. Applications change the caps while it runs. It
//! decides nothing: `delivery::rate` says what may go when, and `shard::capped` waits for it.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Instant;

use crate::delivery::rate::{Amount, Grant, Meter};

/// How much a channel of this node may send per second; 0 is no cap. Bytes are those of the frames of messages, headers
/// included, before compression.
///
/// A tenth of a second's worth may go at once after a pause; a message that is larger than that goes too, and what comes
/// after it waits accordingly. Messages of a node to itself, acknowledgements and the like are not capped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RateCaps {
    /// Bytes per second to all peers together.
    pub bytes_max: u64,
    /// Messages per second to all peers together.
    pub messages_max: u64,
    /// Bytes per second to each peer.
    pub peer_bytes_max: u64,
    /// Messages per second to each peer.
    pub peer_messages_max: u64,
}

impl RateCaps {
    fn is_none(self) -> bool {
        self == Self::default()
    }

    fn of_channel(self) -> Amount {
        Amount {
            bytes: self.bytes_max,
            messages: self.messages_max,
        }
    }

    fn of_peer(self) -> Amount {
        Amount {
            bytes: self.peer_bytes_max,
            messages: self.peer_messages_max,
        }
    }
}

/// A meter that several shards use.
#[derive(Debug)]
pub(crate) struct SharedMeter(Mutex<Meter>);

impl SharedMeter {
    fn new(per_second: Amount) -> Self {
        Self(Mutex::new(Meter::new(per_second, Instant::now())))
    }

    fn lock(&self) -> MutexGuard<'_, Meter> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// See [`Meter::reserve`].
    pub(crate) fn reserve(&self, amount: Amount, now: Instant) -> Grant {
        self.lock().reserve(amount, now)
    }

    /// See [`Meter::postpone`].
    pub(crate) fn postpone(&self, grant: &Grant, to: Instant) {
        self.lock().postpone(grant, to);
    }

    /// See [`Meter::settle`].
    pub(crate) fn settle(&self, grant: &Grant, sent: Amount) {
        self.lock().settle(grant, sent);
    }

    /// See [`Meter::piece`].
    pub(crate) fn piece(&self) -> Amount {
        self.lock().piece()
    }
}

/// See the module's text.
#[derive(Debug)]
pub(crate) struct ChannelRates {
    /// Whether there is any cap: all that a lane looks at where there is none.
    is_capped: AtomicBool,
    caps: Mutex<RateCaps>,
    /// Of all lanes of the channel.
    pub(crate) channel: SharedMeter,
    /// Of the lanes to each peer, as long as one of them is there.
    peers: Mutex<BTreeMap<Arc<str>, Weak<SharedMeter>>>,
}

impl ChannelRates {
    pub(crate) fn new(caps: RateCaps) -> Self {
        Self {
            is_capped: AtomicBool::new(!caps.is_none()),
            caps: Mutex::new(caps),
            channel: SharedMeter::new(caps.of_channel()),
            peers: Mutex::default(),
        }
    }

    /// Whether lanes have to ask.
    #[inline]
    pub(crate) fn is_capped(&self) -> bool {
        self.is_capped.load(Ordering::Relaxed)
    }

    pub(crate) fn caps(&self) -> RateCaps {
        *self.lock_caps()
    }

    /// What the lanes to a peer share.
    pub(crate) fn of_peer(&self, peer: &Arc<str>) -> Arc<SharedMeter> {
        let caps = self.lock_caps();
        let mut peers = self.lock_peers();
        if let Some(meter) = peers.get(peer).and_then(Weak::upgrade) {
            return meter;
        }
        peers.retain(|_, meter| meter.strong_count() > 0);
        let meter = Arc::new(SharedMeter::new(caps.of_peer()));
        peers.insert(Arc::clone(peer), Arc::downgrade(&meter));
        meter
    }

    /// Other caps from now on; the shards are to be told.
    pub(crate) fn set_caps(&self, caps: RateCaps) {
        let mut current = self.lock_caps();
        *current = caps;
        let now = Instant::now();
        self.channel.lock().retune(caps.of_channel(), now);
        for meter in self.lock_peers().values().filter_map(Weak::upgrade) {
            meter.lock().retune(caps.of_peer(), now);
        }
        self.is_capped.store(!caps.is_none(), Ordering::Relaxed);
    }

    fn lock_caps(&self) -> MutexGuard<'_, RateCaps> {
        self.caps.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock_peers(&self) -> MutexGuard<'_, BTreeMap<Arc<str>, Weak<SharedMeter>>> {
        self.peers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
