//! Seeds: where a node that joins a cluster finds members of it.
//!
//! Only the form is checked here. Whether a host name can be resolved is found out when the node joins, again
//! and again, as names come and go.

use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;

use super::address::check_peer_address;

/// Longest host name, in bytes (RFC 1035).
const HOST_BYTES_MAX: usize = 253;

/// A place to ask for a cluster: an address, or a host name and a port. The name of the node there need not
/// be known.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Seed(String);

/// Why a text names no seed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is no seed: {why}")]
pub struct SeedError {
    text: String,
    why: String,
}

impl Seed {
    /// As it was given: `host:port`, `address:port` or `[address]:port`.
    #[must_use]
    pub fn place(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Seed {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl From<SocketAddr> for Seed {
    fn from(address: SocketAddr) -> Self {
        Self(address.to_string())
    }
}

impl FromStr for Seed {
    type Err = SeedError;

    fn from_str(text: &str) -> Result<Self, SeedError> {
        let text = text.trim();
        match wrong(text) {
            None => Ok(Self(text.to_owned())),
            Some(why) => Err(SeedError {
                text: text.chars().take(HOST_BYTES_MAX).collect(),
                why,
            }),
        }
    }
}

/// What is wrong with it, if anything is.
fn wrong(text: &str) -> Option<String> {
    if let Ok(address) = text.parse::<SocketAddr>() {
        return check_peer_address(address).err();
    }
    let Some((host, port)) = text.rsplit_once(':') else {
        return Some("give a port, as in node-1.example:7400".to_owned());
    };
    let is_host = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
    if host.is_empty() || host.len() > HOST_BYTES_MAX || !host.bytes().all(is_host) {
        return Some("give a host name or an address, as in node-1.example:7400".to_owned());
    }
    match port.parse::<u16>() {
        Ok(0) | Err(_) => Some("the port is a number from 1 to 65535".to_owned()),
        Ok(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_is_an_address_or_a_host_with_a_port() {
        for right in [
            "127.0.0.1:7400",
            "[::1]:7400",
            "node-1.example:7400",
            " a:1 ",
        ] {
            assert_eq!(right.parse::<Seed>().unwrap().place(), right.trim());
        }
        for bad in [
            "",
            "a",
            "a:",
            "a:0",
            "a:65536",
            ":1",
            "a b:1",
            "0.0.0.0:1",
            "127.0.0.1:0",
            "a\u{1b}:1",
        ] {
            let error = bad.parse::<Seed>().unwrap_err().to_string();
            assert!(error.contains("is no seed: "), "{error}");
        }
    }
}
