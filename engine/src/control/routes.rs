//! The route book: every peer this node knows, as an immutable snapshot with an epoch.
//!
//! Only the functions of `control/` write it; shards compare the epoch once a turn and adopt the
//! newest snapshot. It opens no connection: a route says what is wanted, shards make it so.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use crate::config::ChannelConfig;
use crate::error::NameError;
use crate::peer::{LaneAddress, Peer};
use crate::ring::gate::{Gate, GateState};
use crate::wire::CloseReason;

/// What is wanted of one peer. The counts tell a shard of orders that came and went between two
/// snapshots: it sees only the last one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Wish {
    /// Dial it there; without an address it is left to the peer to dial.
    pub(crate) address: Option<SocketAddr>,
    /// Disconnected by command: its lanes end, its dials are refused.
    pub(crate) refused: bool,
    /// How often the lanes that there were had to end, and why they had to last.
    pub(crate) endings: u64,
    pub(crate) reason: CloseReason,
    /// How often it was to be dialled at once, whatever a back-off says.
    pub(crate) dials: u64,
}

impl Wish {
    /// Nothing is wanted: the peer dials, or nobody does.
    pub(crate) const fn none() -> Self {
        Self {
            address: None,
            refused: false,
            endings: 0,
            reason: CloseReason::Disconnected,
            dials: 0,
        }
    }

    /// Keep lanes to the peer at that address. Lanes to another address end; what the peer itself has
    /// dialled stays, as long as no address was known.
    fn keep(&mut self, address: SocketAddr) {
        if self.address.is_some_and(|before| before != address) {
            self.endings += 1;
            self.reason = CloseReason::Moved;
        }
        self.address = Some(address);
        self.refused = false;
        self.dials += 1;
    }

    /// Neither dial nor accept the peer.
    fn ban(&mut self) {
        self.endings += u64::from(!self.refused);
        self.reason = CloseReason::Disconnected;
        self.address = None;
        self.refused = true;
    }
}

/// A peer and what is wanted of it.
#[derive(Clone, Debug)]
pub(crate) struct Route {
    pub(crate) peer: Arc<Peer>,
    pub(crate) wish: Wish,
}

/// All routes at one epoch.
#[derive(Debug, Default)]
pub(crate) struct Routes {
    pub(crate) epoch: u64,
    pub(crate) routes: Vec<Route>,
    by_name: HashMap<String, usize>,
}

impl Routes {
    pub(crate) fn find(&self, name: &str) -> Option<&Route> {
        self.by_name.get(name).map(|&index| &self.routes[index])
    }
}

/// The book. See the module's text.
#[derive(Debug)]
pub(crate) struct RouteBook {
    self_name: String,
    channels: Vec<ChannelConfig>,
    shards: u16,
    peers_max: usize,
    epoch: AtomicU64,
    current: RwLock<Arc<Routes>>,
    writing: Mutex<()>,
}

impl RouteBook {
    pub(crate) fn new(
        self_name: String,
        channels: Vec<ChannelConfig>,
        shards: u16,
        peers_max: usize,
    ) -> Self {
        Self {
            self_name,
            channels,
            shards,
            peers_max,
            epoch: AtomicU64::new(0),
            current: RwLock::new(Arc::default()),
            writing: Mutex::new(()),
        }
    }

    /// The epoch of the newest snapshot. One load: shards ask each turn.
    #[inline]
    pub(crate) fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::Acquire)
    }

    pub(crate) fn snapshot(&self) -> Arc<Routes> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// The peer of that name, known from now on if it was not.
    pub(crate) fn peer(&self, name: &str) -> Result<Arc<Peer>, NameError> {
        if let Some(route) = self.snapshot().find(name) {
            return Ok(Arc::clone(&route.peer));
        }
        self.change(name, |_| {})
    }

    /// Dial that peer there from now on.
    pub(crate) fn connect(&self, name: &str, address: SocketAddr) -> Result<Arc<Peer>, NameError> {
        self.change(name, |wish| wish.keep(address))
    }

    /// Neither dial nor accept that peer from now on.
    pub(crate) fn disconnect(&self, name: &str) -> Result<Arc<Peer>, NameError> {
        self.change(name, Wish::ban)
    }

    fn change(&self, name: &str, change: impl FnOnce(&mut Wish)) -> Result<Arc<Peer>, NameError> {
        check_name(name)?;
        let _writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let before = self.snapshot();
        let mut routes = before.routes.clone();
        let mut by_name = before.by_name.clone();
        let index = match by_name.get(name) {
            Some(&index) => index,
            None => {
                if routes.len() >= self.peers_max {
                    return Err(NameError::TooMany {
                        kind: "peers",
                        names_max: self.peers_max,
                        parameter: "peers_max",
                    });
                }
                by_name.insert(name.to_owned(), routes.len());
                routes.push(Route {
                    peer: self.make_peer(name, routes.len()),
                    wish: Wish::none(),
                });
                routes.len() - 1
            }
        };
        change(&mut routes[index].wish);
        let peer = Arc::clone(&routes[index].peer);
        let epoch = before.epoch + 1;
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(Routes {
            epoch,
            routes,
            by_name,
        });
        self.epoch.store(epoch, Ordering::Release);
        Ok(peer)
    }

    fn make_peer(&self, name: &str, index: usize) -> Arc<Peer> {
        let spread = fnv1a(name.as_bytes());
        let mut lanes = Vec::new();
        for (channel, config) in self.channels.iter().enumerate() {
            for lane in 0..config.parallelism {
                let offset = lanes.len() as u64;
                lanes.push(LaneAddress {
                    shard: u16::try_from((spread + offset) % u64::from(self.shards)).unwrap_or(0),
                    channel: u16::try_from(channel).unwrap_or(u16::MAX),
                    index: lane,
                    gate: Gate::new(
                        config.queue_messages_max as u64,
                        config.queue_bytes_max as u64,
                    ),
                });
            }
        }
        let index = u32::try_from(index).unwrap_or(u32::MAX);
        Arc::new(Peer::new(
            name.to_owned(),
            index,
            name == self.self_name,
            lanes.into_boxed_slice(),
        ))
    }

    /// The node stops: no gate opens again.
    pub(crate) fn close_all_gates(&self) {
        for route in &self.snapshot().routes {
            for lane in route.peer.lanes() {
                lane.gate.set_state(GateState::Closed);
            }
        }
    }
}

/// FNV-1a, 64 bits: spreads names over shards; it need not resist anybody.
fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

/// The form of node and mailbox names: that of every name on the wire.
pub(crate) fn check_name(name: &str) -> Result<(), NameError> {
    crate::wire::name::check_name(name).map_err(|error| NameError::malformed(name, &error))
}
