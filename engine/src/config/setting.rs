//! Text to value and back, for each type that a parameter can have.
//!
//! Called through the parameter tables. Every printed value reads back as the same value, and a
//! text that is refused comes back with the sentence that says what would be right.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;

use super::address::{check_listen, check_peer_address};
use super::allowed::{Allowed, Unit, number, quantity};
use super::seed::{Seed, SeedError};
use crate::wire::name::NAME_BYTES_MAX;

/// What stands for `None` in text: the engine or the kernel decides.
pub(super) const AUTO: &str = "auto";

/// A value that a parameter can hold.
pub(super) trait Setting: Sized {
    /// The value of a text, or what would have been right.
    fn read(text: &str, unit: Unit, allowed: &Allowed) -> Result<Self, String>;
    /// The text of a value.
    fn print(&self, unit: Unit) -> String;
    /// What is read, as the end of a sentence that starts with "expected".
    fn expected(unit: Unit, allowed: &Allowed) -> String {
        allowed.sentence(unit)
    }
}

macro_rules! number_settings {
    ($($kind:ty),+) => {
        $(
            impl Setting for $kind {
                fn read(text: &str, unit: Unit, allowed: &Allowed) -> Result<Self, String> {
                    number(text, unit)
                        .filter(|value| allowed.admits(*value))
                        .and_then(|value| Self::try_from(value).ok())
                        .ok_or_else(|| allowed.sentence(unit))
                }

                fn print(&self, unit: Unit) -> String {
                    u64::try_from(*self)
                        .map_or_else(|_| self.to_string(), |value| quantity(value, unit))
                }
            }
        )+
    };
}

number_settings!(u8, u16, u32, u64, usize);

impl<T: Setting> Setting for Option<T> {
    fn read(text: &str, unit: Unit, allowed: &Allowed) -> Result<Self, String> {
        if text.trim() == AUTO {
            return Ok(None);
        }
        T::read(text, unit, allowed)
            .map(Some)
            .map_err(|_| Self::expected(unit, allowed))
    }

    fn print(&self, unit: Unit) -> String {
        self.as_ref()
            .map_or_else(|| AUTO.to_string(), |value| value.print(unit))
    }

    fn expected(unit: Unit, allowed: &Allowed) -> String {
        format!("{AUTO} or {}", T::expected(unit, allowed))
    }
}

impl Setting for bool {
    fn read(text: &str, unit: Unit, allowed: &Allowed) -> Result<Self, String> {
        text.trim().parse().map_err(|_| allowed.sentence(unit))
    }

    fn print(&self, _: Unit) -> String {
        self.to_string()
    }
}

/// An address to listen on.
impl Setting for SocketAddr {
    fn read(text: &str, unit: Unit, allowed: &Allowed) -> Result<Self, String> {
        let right = || allowed.sentence(unit);
        let address = text.trim().parse().map_err(|_| right())?;
        check_listen(address).map_err(|wrong| format!("{}; {wrong}", right()))?;
        Ok(address)
    }

    fn print(&self, _: Unit) -> String {
        self.to_string()
    }
}

/// Names of nodes and clusters.
impl Setting for String {
    fn read(text: &str, unit: Unit, allowed: &Allowed) -> Result<Self, String> {
        if is_node_name(text) {
            Ok(text.to_string())
        } else {
            Err(allowed.sentence(unit))
        }
    }

    fn print(&self, _: Unit) -> String {
        self.clone()
    }
}

/// Paths of files; an empty text is none.
impl Setting for PathBuf {
    fn read(text: &str, unit: Unit, allowed: &Allowed) -> Result<Self, String> {
        let text = text.trim();
        // A word without a / is more likely a mistake than a file beside the program.
        let is_file =
            text.contains('/') && !text.ends_with('/') && !text.contains(char::is_control);
        if is_file || text.is_empty() {
            Ok(Self::from(text))
        } else {
            Err(allowed.sentence(unit))
        }
    }

    fn print(&self, _: Unit) -> String {
        self.to_string_lossy().into_owned()
    }
}

/// Names of channels or nodes. The plus separates them where commas separate keys.
impl Setting for Vec<String> {
    fn read(text: &str, unit: Unit, allowed: &Allowed) -> Result<Self, String> {
        let text = text.replace('+', ",");
        let names: Self = entries(&text).map(str::to_string).collect();
        let mut distinct = names.clone();
        distinct.sort_unstable();
        distinct.dedup();
        if names.iter().all(|name| is_node_name(name)) && distinct.len() == names.len() {
            Ok(names)
        } else {
            Err(format!("{}, each once", allowed.sentence(unit)))
        }
    }

    fn print(&self, _: Unit) -> String {
        self.join("+")
    }
}

impl Setting for Vec<usize> {
    fn read(text: &str, unit: Unit, allowed: &Allowed) -> Result<Self, String> {
        entries(text)
            .map(|entry| entry.parse().map_err(|_| allowed.sentence(unit)))
            .collect()
    }

    fn print(&self, _: Unit) -> String {
        self.iter()
            .map(usize::to_string)
            .collect::<Vec<_>>()
            .join(",")
    }
}

impl Setting for Vec<Seed> {
    fn read(text: &str, unit: Unit, allowed: &Allowed) -> Result<Self, String> {
        let seeds = entries(text).map(|entry| {
            let seed = entry.parse();
            seed.map_err(|wrong: SeedError| format!("{}; {wrong}", allowed.sentence(unit)))
        });
        seeds.collect()
    }

    fn print(&self, _: Unit) -> String {
        let places: Vec<_> = self.iter().map(Seed::place).collect();
        places.join(",")
    }
}

/// Addresses at which others find this node.
impl Setting for Vec<SocketAddr> {
    fn read(text: &str, unit: Unit, allowed: &Allowed) -> Result<Self, String> {
        let addresses = entries(text).map(|entry| {
            let address = entry.parse().map_err(|_| allowed.sentence(unit))?;
            check_peer_address(address)
                .map_err(|wrong| format!("{}; {wrong}", allowed.sentence(unit)))?;
            Ok(address)
        });
        addresses.collect()
    }

    fn print(&self, _: Unit) -> String {
        let addresses: Vec<_> = self.iter().map(SocketAddr::to_string).collect();
        addresses.join(",")
    }
}

impl Setting for BTreeMap<String, SocketAddr> {
    fn read(text: &str, unit: Unit, allowed: &Allowed) -> Result<Self, String> {
        let mut peers = Self::new();
        for entry in entries(text) {
            let (name, address) = peer(entry).ok_or_else(|| allowed.sentence(unit))?;
            check_peer_address(address)
                .map_err(|wrong| format!("{}; {wrong}", allowed.sentence(unit)))?;
            if peers.insert(name, address).is_some() {
                return Err(format!("each peer once, but `{entry}` repeats a name"));
            }
        }
        Ok(peers)
    }

    fn print(&self, _: Unit) -> String {
        let entries = self
            .iter()
            .map(|(name, address)| format!("{name}={address}"));
        entries.collect::<Vec<_>>().join(",")
    }
}

/// The entries of a list that commas separate; an empty text is an empty list.
fn entries(text: &str) -> impl Iterator<Item = &str> {
    let text = text.trim();
    text.split(',')
        .map(str::trim)
        .filter(move |_| !text.is_empty())
}

/// `name=address`.
fn peer(entry: &str) -> Option<(String, SocketAddr)> {
    let (name, address) = entry.split_once('=')?;
    if !is_node_name(name) {
        return None;
    }
    Some((name.to_string(), address.trim().parse().ok()?))
}

/// Whether the text can name a node or a cluster: as a channel, and with capitals and `@`, as in `app@10.0.0.1`.
#[must_use]
pub fn is_node_name(text: &str) -> bool {
    let is_more = |byte: u8| byte.is_ascii_uppercase() || byte == b'@';
    let rest: String = text
        .chars()
        .filter(|c| !c.is_ascii() || !is_more(*c as u8))
        .collect();
    !text.is_empty() && text.len() <= NAME_BYTES_MAX && (rest.is_empty() || is_name(&rest))
}

/// Whether the text can name a channel.
#[must_use]
pub fn is_name(text: &str) -> bool {
    let allowed = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'.' | b'-');
    (1..=NAME_BYTES_MAX).contains(&text.len()) && text.bytes().all(allowed)
}
