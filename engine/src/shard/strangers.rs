//! The connections whose Hello is not whole yet, by the address they come from: who is dropped when
//! there are too many.
//!
//! A flood from one address fills all places within milliseconds and holds them until the deadline. So
//! a newcomer always gets a place, and the address with the most pays for it with its oldest: whoever
//! says Hello at once is not there long enough to become that. A state machine without I/O; owned by
//! `Connections`.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::{IpAddr, Ipv6Addr};

/// See the module's text.
#[derive(Debug, Default)]
pub(super) struct Strangers {
    /// By connection: its origin, and its number in the order of arrival.
    all: HashMap<u32, (Origin, u64)>,
    by_origin: HashMap<Origin, BTreeMap<u64, u32>>,
    /// How many each origin has, the most at the end.
    by_count: BTreeSet<(usize, Origin)>,
    arrivals: u64,
}

/// Where a connection comes from: an address, or, as one host has so many, the first half of an IPv6
/// address. `None` if the kernel could not tell any more.
type Origin = Option<IpAddr>;

fn origin(address: Option<IpAddr>) -> Origin {
    address.map(|address| match address {
        IpAddr::V6(long) => match long.to_ipv4_mapped() {
            Some(short) => IpAddr::V4(short),
            None => IpAddr::V6(Ipv6Addr::from_bits(long.to_bits() & (u128::MAX << 64))),
        },
        short @ IpAddr::V4(_) => short,
    })
}

impl Strangers {
    pub(super) fn count(&self) -> usize {
        self.all.len()
    }

    pub(super) fn add(&mut self, connection: u32, address: Option<IpAddr>) {
        let origin = origin(address);
        let arrival = self.arrivals;
        self.arrivals += 1;
        self.all.insert(connection, (origin, arrival));
        let its = self.by_origin.entry(origin).or_default();
        self.by_count.remove(&(its.len(), origin));
        its.insert(arrival, connection);
        self.by_count.insert((its.len(), origin));
    }

    /// It is one no more. Whoever is none is left alone.
    pub(super) fn remove(&mut self, connection: u32) {
        let Some((origin, arrival)) = self.all.remove(&connection) else {
            return;
        };
        let Some(its) = self.by_origin.get_mut(&origin) else {
            return;
        };
        self.by_count.remove(&(its.len(), origin));
        its.remove(&arrival);
        if its.is_empty() {
            self.by_origin.remove(&origin);
        } else {
            self.by_count.insert((its.len(), origin));
        }
    }

    /// The oldest of the origin that has the most.
    pub(super) fn oldest_of_most(&self) -> Option<u32> {
        let (_, origin) = self.by_count.last()?;
        self.by_origin.get(origin)?.values().next().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> Option<IpAddr> {
        Some(text.parse().expect("an address"))
    }

    #[test]
    fn the_address_with_the_most_loses_its_oldest() {
        let mut strangers = Strangers::default();
        strangers.add(1, address("10.0.0.1"));
        for connection in 2..10 {
            strangers.add(connection, address("10.0.0.2"));
        }
        for dropped in 2..9 {
            assert_eq!(strangers.oldest_of_most(), Some(dropped));
            strangers.remove(dropped);
            strangers.remove(dropped);
        }
        assert_eq!(strangers.count(), 2);
        strangers.add(10, address("10.0.0.1"));
        assert_eq!(strangers.oldest_of_most(), Some(1));
        for connection in [1, 9, 10] {
            strangers.remove(connection);
        }
        assert_eq!((strangers.count(), strangers.oldest_of_most()), (0, None));
    }

    #[test]
    fn the_many_addresses_of_one_host_are_one_origin() {
        let mut strangers = Strangers::default();
        strangers.add(1, address("2001:db8::1"));
        strangers.add(2, address("2001:db8:1::1"));
        strangers.add(3, address("2001:db8::2:1"));
        assert_eq!(strangers.oldest_of_most(), Some(1));
        strangers.remove(1);
        strangers.remove(3);
        strangers.add(4, address("::ffff:10.0.0.1"));
        strangers.add(5, address("10.0.0.1"));
        assert_eq!(strangers.oldest_of_most(), Some(4));
    }
}
