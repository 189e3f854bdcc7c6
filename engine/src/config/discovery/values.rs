//! The values that only discoveries have: names, paths and lists that print as they are read.
//!
//! None holds what separates keys, discoveries or entries in flags and variables.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use super::super::allowed::{Allowed, Unit};
use super::super::seed::{Seed, SeedError};
use super::super::setting::Setting;

/// Longest text of such a value, in bytes.
const TEXT_BYTES_MAX: usize = 255;

/// Most entries of a list: a guess, more than anybody writes down.
const ENTRIES_MAX: usize = 64;

/// A text that is checked when it is read; empty stands for none.
macro_rules! texts {
    ($( $(#[doc = $doc:literal])+ pub struct $name:ident($is_right:path); )+) => {
        $(
            $(#[doc = $doc])+
            #[derive(Clone, Debug, Default, PartialEq, Eq)]
            pub struct $name(String);

            impl $name {
                /// As it is written.
                #[must_use]
                pub fn text(&self) -> &str {
                    &self.0
                }

                /// Whether there is none.
                #[must_use]
                pub const fn is_empty(&self) -> bool {
                    self.0.is_empty()
                }
            }

            impl<T: Into<String>> From<T> for $name {
                fn from(text: T) -> Self {
                    Self(text.into())
                }
            }

            impl Setting for $name {
                fn read(text: &str, unit: Unit, allowed: &Allowed) -> Result<Self, String> {
                    let text = text.trim();
                    let is_right = text.len() <= TEXT_BYTES_MAX && (text.is_empty() || $is_right(text));
                    is_right.then(|| Self(text.to_string())).ok_or_else(|| allowed.sentence(unit))
                }

                fn print(&self, _: Unit) -> String {
                    self.0.clone()
                }
            }
        )+
    };
}

texts! {
    /// A path.
    pub struct PathText(is_path);
    /// A name of DNS.
    pub struct HostName(is_host_name);
    /// A network interface, by name or by its address of version 4.
    pub struct Interface(is_interface);
    /// The name of an environment variable.
    pub struct VariableName(is_variable);
    /// Where a web service is: `http://` or `https://`, a host, and perhaps a port.
    pub struct BaseUrl(is_url);
}

fn is_path(text: &str) -> bool {
    text.contains('/')
        && !text.ends_with('/')
        && !text.contains([',', ';'])
        && !text.contains(char::is_control)
}

fn is_host_name(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    text.bytes().all(allowed) && !text.starts_with('.') && !text.contains("..")
}

fn is_interface(text: &str) -> bool {
    let allowed =
        |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b':' | b'@');
    // What the kernel allows for a name, and as much as an address has.
    text.len() <= 15 && text.bytes().all(allowed) && text != "." && text != ".."
}

fn is_variable(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    text.bytes().all(allowed) && !text.as_bytes()[0].is_ascii_digit()
}

fn is_url(text: &str) -> bool {
    let host = text
        .strip_prefix("http://")
        .or_else(|| text.strip_prefix("https://"));
    let allowed = |byte: u8| {
        byte.is_ascii_alphanumeric()
            || matches!(byte, b'-' | b'_' | b'.' | b':' | b'[' | b']' | b'/')
    };
    host.is_some_and(|host| !host.is_empty() && !host.ends_with('/') && host.bytes().all(allowed))
}

/// A label selector of Kubernetes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selector(String);

impl Selector {
    /// As Kubernetes reads it.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.0
    }
}

impl<T: Into<String>> From<T> for Selector {
    fn from(text: T) -> Self {
        Self(text.into())
    }
}

impl Setting for Selector {
    fn read(text: &str, unit: Unit, allowed: &Allowed) -> Result<Self, String> {
        let text = text.trim().replace('&', ",");
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./=!(), ".contains(&byte);
        // Spaces are part of `key in (a, b)` alone.
        let is_right = text.bytes().all(plain) && (!text.contains(' ') || text.contains("in ("));
        (is_right && text.len() <= TEXT_BYTES_MAX)
            .then_some(Self(text))
            .ok_or_else(|| allowed.sentence(unit))
    }

    fn print(&self, _: Unit) -> String {
        self.0.replace(',', "&")
    }
}

/// Places of nodes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hosts(Vec<Seed>);

impl Hosts {
    /// The places, in order.
    #[must_use]
    pub fn places(&self) -> &[Seed] {
        &self.0
    }
}

impl<T: Into<Vec<Seed>>> From<T> for Hosts {
    fn from(places: T) -> Self {
        Self(places.into())
    }
}

impl Setting for Hosts {
    fn read(text: &str, unit: Unit, allowed: &Allowed) -> Result<Self, String> {
        let read = |entry: &str| {
            let seed = entry.parse();
            seed.map_err(|wrong: SeedError| format!("{}; {wrong}", allowed.sentence(unit)))
        };
        entries(text, unit, allowed, read).map(Self)
    }

    fn print(&self, _: Unit) -> String {
        let places: Vec<_> = self.0.iter().map(Seed::place).collect();
        places.join("+")
    }
}

/// Name servers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NameServers(Vec<SocketAddr>);

impl NameServers {
    /// Their addresses, in the order in which they are asked.
    #[must_use]
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.0
    }
}

impl<T: Into<Vec<SocketAddr>>> From<T> for NameServers {
    fn from(addresses: T) -> Self {
        Self(addresses.into())
    }
}

impl Setting for NameServers {
    fn read(text: &str, unit: Unit, allowed: &Allowed) -> Result<Self, String> {
        let read = |entry: &str| {
            let with_port = |ip: IpAddr| SocketAddr::new(ip, 53);
            let address = entry.parse().or_else(|_| entry.parse().map(with_port));
            let address = address.ok().filter(|address| address.port() > 0);
            address.ok_or_else(|| allowed.sentence(unit))
        };
        entries(text, unit, allowed, read).map(Self)
    }

    fn print(&self, _: Unit) -> String {
        let addresses: Vec<_> = self.0.iter().map(SocketAddr::to_string).collect();
        addresses.join("+")
    }
}

/// A list whose entries the plus separates where commas separate keys.
fn entries<T>(
    text: &str,
    unit: Unit,
    allowed: &Allowed,
    read: impl Fn(&str) -> Result<T, String>,
) -> Result<Vec<T>, String> {
    let text = text.trim();
    let entries = text
        .split(['+', ','])
        .map(str::trim)
        .filter(|_| !text.is_empty());
    let entries = entries.map(read).collect::<Result<Vec<_>, _>>()?;
    if entries.len() > ENTRIES_MAX {
        return Err(format!("{}, at most {ENTRIES_MAX}", allowed.sentence(unit)));
    }
    Ok(entries)
}

/// Where beacons go: a group of multicast or a broadcast address, and a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Group(SocketAddr);

impl Group {
    /// The address.
    #[must_use]
    pub const fn address(self) -> SocketAddr {
        self.0
    }
}

impl Default for Group {
    fn default() -> Self {
        Self(SocketAddr::from((Ipv4Addr::new(239, 255, 45, 89), 45_892)))
    }
}

impl From<SocketAddr> for Group {
    fn from(address: SocketAddr) -> Self {
        Self(address)
    }
}

impl Setting for Group {
    fn read(text: &str, unit: Unit, allowed: &Allowed) -> Result<Self, String> {
        let address: Option<SocketAddr> = text.trim().parse().ok();
        // That an address of version 4 is for broadcasts only its network knows.
        let can_be = |address: &SocketAddr| {
            address.port() > 0
                && !address.ip().is_unspecified()
                && (address.is_ipv4() || address.ip().is_multicast())
        };
        address
            .filter(can_be)
            .map(Self)
            .ok_or_else(|| allowed.sentence(unit))
    }

    fn print(&self, _: Unit) -> String {
        self.0.to_string()
    }
}
