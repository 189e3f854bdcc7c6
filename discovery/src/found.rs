//! What a strategy finds: places, and when it wants to look again.

use std::collections::BTreeSet;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// Most places of one strategy. A node needs one that answers; a thousand are found among many more.
pub const PLACES_MAX: usize = 1_024;

/// Longest host name, in bytes (RFC 1035).
const HOST_BYTES_MAX: usize = 253;

/// Where a node may be: an address, or a host name, and a port.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place(String);

impl Place {
    /// A host name, or an address, and a port; none if it is no host that can be dialled.
    #[must_use]
    pub fn of_host(host: &str, port: u16) -> Option<Self> {
        if let Ok(address) = host.parse::<IpAddr>() {
            return Self::of_address(SocketAddr::new(address, port));
        }
        let host = host.strip_suffix('.').unwrap_or(host);
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
        let is_host = !host.is_empty() && host.len() <= HOST_BYTES_MAX && host.bytes().all(allowed);
        (is_host && port > 0).then(|| Self(format!("{host}:{port}")))
    }

    /// An address; none if no host has it.
    #[must_use]
    pub fn of_address(address: SocketAddr) -> Option<Self> {
        let ip = address.ip().to_canonical();
        let is_broadcast = matches!(ip, IpAddr::V4(ip) if ip.is_broadcast());
        // A link-local address is somebody's on an interface alone.
        let lacks_interface = matches!(
            address,
            SocketAddr::V6(address) if address.ip().is_unicast_link_local() && address.scope_id() == 0
        );
        let is_host =
            !ip.is_unspecified() && !ip.is_multicast() && !is_broadcast && !lacks_interface;
        (is_host && address.port() > 0).then(|| Self(address.to_string()))
    }

    /// `host:port`, `address:port` or `[address]:port`.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Place {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// When a strategy wants to look again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Again {
    /// At the pace that is configured.
    #[default]
    ByPace,
    /// After that time, unless a pace is configured: so long the source says that its answer holds.
    Within(Duration),
    /// At once: looking waits for what is new.
    AtOnce,
}

/// What one look found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    places: BTreeSet<Place>,
    left_out: usize,
    refused: u64,
    /// When it wants to look again.
    pub again: Again,
}

impl Found {
    /// These places, as far as there is room for them.
    pub fn of(places: impl IntoIterator<Item = Place>) -> Self {
        let mut found = Self::default();
        for place in places {
            found.add(place);
        }
        found
    }

    /// Adds a place, if there is room.
    pub fn add(&mut self, place: Place) {
        if self.places.len() < PLACES_MAX {
            self.places.insert(place);
        } else if !self.places.contains(&place) {
            self.left_out = self.left_out.saturating_add(1);
        }
    }

    /// The same, with that wish for the next look.
    #[must_use]
    pub const fn again(mut self, again: Again) -> Self {
        self.again = again;
        self
    }

    /// The same, with so many answers that were not believed.
    #[must_use]
    pub const fn refused(mut self, refused: u64) -> Self {
        self.refused = refused;
        self
    }

    /// How many answers of others were not believed since the look before.
    #[must_use]
    pub const fn refusals(&self) -> u64 {
        self.refused
    }

    /// The places, each once.
    #[must_use]
    pub const fn places(&self) -> &BTreeSet<Place> {
        &self.places
    }

    /// How many found no room.
    #[must_use]
    pub const fn left_out(&self) -> usize {
        self.left_out
    }
}

/// Why a look found nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Failure(String);

impl Failure {
    /// What went wrong, and what would be right. Cut after 512 bytes: part of it may be a server's words.
    #[must_use]
    pub fn new(why: impl Into<String>) -> Self {
        let mut why = why.into();
        if let Some((at, _)) = why.char_indices().find(|(at, _)| *at >= 512) {
            why.truncate(at);
        }
        Self(
            why.chars()
                .map(|c| if c.is_control() { ' ' } else { c })
                .collect(),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_an_address_or_a_host_with_a_port() {
        for (host, text) in [
            ("10.0.0.1", "10.0.0.1:7400"),
            ("fd00::1", "[fd00::1]:7400"),
            ("node-1.example.", "node-1.example:7400"),
        ] {
            assert_eq!(Place::of_host(host, 7400).unwrap().text(), text);
        }
        for host in [
            "",
            ".",
            "0.0.0.0",
            "224.0.0.1",
            "255.255.255.255",
            "::",
            "fe80::1",
            "a b",
            "a\u{1b}",
            "a:1",
        ] {
            assert_eq!(Place::of_host(host, 7400), None, "{host}");
        }
        assert_eq!(Place::of_host("a", 0), None);
    }

    #[test]
    fn places_are_bounded_and_counted_beyond() {
        let places = (1..=2_000).filter_map(|port| Place::of_host("a", port));
        let found = Found::of(places);
        assert_eq!(found.places().len(), PLACES_MAX);
        assert_eq!(found.left_out(), 2_000 - PLACES_MAX);
    }

    #[test]
    fn a_failure_holds_no_more_than_a_line() {
        let failure = Failure::new("ä\n".repeat(10_000)).to_string();
        assert!(
            failure.len() <= 514 && !failure.contains('\n'),
            "{}",
            failure.len()
        );
    }
}
