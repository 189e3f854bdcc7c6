//! Where a dial goes instead of to the peer's address: `testing` puts a proxy between two nodes in this way.
//!
//! Asked by a shard for each dial. Without the feature `testing` every dial goes where it is meant to.

use std::net::SocketAddr;

/// The way to an address.
#[cfg(feature = "testing")]
type Way = dyn Fn(SocketAddr) -> SocketAddr + Send + Sync;

/// See the module's text.
#[derive(Clone, Default)]
pub(crate) struct Detour {
    #[cfg(feature = "testing")]
    way: Option<std::sync::Arc<Way>>,
}

impl Detour {
    /// Dials go where that says.
    #[cfg(feature = "testing")]
    pub(crate) fn by(way: impl Fn(SocketAddr) -> SocketAddr + Send + Sync + 'static) -> Self {
        Self {
            way: Some(std::sync::Arc::new(way)),
        }
    }

    /// What is dialled to get to `address`.
    pub(crate) fn to(&self, address: SocketAddr) -> SocketAddr {
        #[cfg(feature = "testing")]
        if let Some(way) = &self.way {
            return way(address);
        }
        address
    }
}

impl std::fmt::Debug for Detour {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Detour")
    }
}
