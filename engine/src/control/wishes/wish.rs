//! What is wanted of one peer, and how one wish becomes the next.
//!
//! Written in the book (`wishes`), carried to shards by the routes, and followed there by each lane. It knows
//! no peer and opens no connection.

use std::net::SocketAddr;
use std::ops::Deref;
use std::sync::Arc;

use crate::config::check_peer_address;
use crate::error::NameError;
use crate::wire::CloseReason;

/// Addresses that one peer may have. A host has a few: one or two networks, each with both versions of IP.
pub const ADDRESSES_MAX: usize = 8;

/// Where a peer is dialled: the first address that answers is taken. None, if that is left to the peer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Addresses(Arc<[SocketAddr]>);

impl Addresses {
    /// One address at least, each once.
    pub(crate) fn new(peer: &str, given: &[SocketAddr]) -> Result<Self, NameError> {
        if given.is_empty() || given.len() > ADDRESSES_MAX {
            return Err(NameError::Addresses {
                peer: peer.to_owned(),
                count: given.len(),
                addresses_max: ADDRESSES_MAX,
            });
        }
        let mut once: Vec<SocketAddr> = Vec::with_capacity(given.len());
        for address in given {
            check_peer_address(*address).map_err(|why| NameError::Address {
                address: *address,
                why,
            })?;
            if !once.contains(address) {
                once.push(*address);
            }
        }
        Ok(Self(once.into()))
    }

    fn have_one_of(&self, other: &Self) -> bool {
        self.iter().any(|address| other.contains(address))
    }
}

impl Deref for Addresses {
    type Target = [SocketAddr];

    fn deref(&self) -> &[SocketAddr] {
        &self.0
    }
}

/// What is wanted of one peer. A shard sees only the last of several wishes, so each carries the numbers
/// of the orders that must not be missed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Wish {
    /// Where it is dialled, when it is dialled.
    pub(crate) addresses: Addresses,
    /// Its control lane is dialled, and again when it ends.
    pub(crate) keep: bool,
    /// Messages to it are accepted although it is not connected, and connect it.
    pub(crate) reach: bool,
    /// Banned: its dials are refused.
    pub(crate) refused: bool,
    /// The last order that the lanes there were must end, and why.
    pub(crate) ending: u64,
    pub(crate) reason: CloseReason,
    /// The last order to dial at once, whatever a back-off says.
    pub(crate) dial: u64,
}

impl Wish {
    /// Nothing is wanted: the peer dials, or nobody does.
    pub(crate) fn none() -> Self {
        Self {
            addresses: Addresses::default(),
            keep: false,
            reach: false,
            refused: false,
            ending: 0,
            reason: CloseReason::Disconnected,
            dial: 0,
        }
    }

    /// Whether the peer keeps its place for it.
    pub(crate) fn is_something(&self) -> bool {
        self.keep || self.reach || self.refused
    }

    /// Whether that order ends the lanes, and none is to follow.
    pub(super) fn parts_by(&self, order: u64) -> bool {
        self.ending == order && !self.keep && !self.reach
    }

    /// Keep a connection to the peer, at one of those addresses. Lanes to other addresses end; what the
    /// peer itself has dialled stays, as long as no address was known.
    pub(super) fn keep(&mut self, addresses: Addresses, order: u64) {
        if !self.addresses.is_empty() && !self.addresses.have_one_of(&addresses) {
            self.ending = order;
            self.reason = CloseReason::Moved;
        }
        self.addresses = addresses;
        self.keep = true;
        self.refused = false;
        self.dial = order;
    }

    /// Connect when there is something to send, at one of those addresses. Lanes that there are lead to the
    /// peer, wherever that is said to be now, and stay as long as they are used.
    pub(super) fn reach(&mut self, addresses: Addresses, order: u64) {
        self.addresses = addresses;
        self.keep = false;
        self.reach = true;
        self.refused = false;
        self.dial = order;
    }

    /// Neither dial nor accept the peer.
    pub(super) fn ban(&mut self, order: u64) {
        self.end(order);
        self.refused = true;
    }

    /// End the lanes that there are; the peer may make new ones.
    pub(super) fn end(&mut self, order: u64) {
        self.release();
        self.ending = order;
        self.reason = CloseReason::Disconnected;
    }

    /// Want nothing any more; lanes end when they are idle.
    pub(crate) fn release(&mut self) {
        self.addresses = Addresses::default();
        self.keep = false;
        self.reach = false;
        self.refused = false;
    }
}
