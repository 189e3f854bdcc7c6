//! The ways between the nodes of a test cluster: a proxy for each direction in which one dials the other.
//!
//! A node's dials are led through them (`detour`); a proxy is made when it is dialled, or told something, first. It knows
//! no node, only where each listens.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use overlane_proxy::{Direction, Proxy};

/// Where nothing listens, so that a dial is refused.
const NOWHERE: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 1);

/// See the module's text.
#[derive(Debug, Default)]
pub(super) struct Links {
    ways: Mutex<Ways>,
}

#[derive(Debug, Default)]
struct Ways {
    /// Where each node listens.
    homes: BTreeMap<SocketAddr, usize>,
    /// By who dials, and whom.
    proxies: BTreeMap<(usize, usize), Proxy>,
    /// By both, the smaller number first: what their link is at, if it is not as at the start.
    states: BTreeMap<(usize, usize), State>,
}

/// What a link is at.
#[derive(Clone, Copy, Debug, Default)]
struct State {
    is_severed: bool,
    is_stalled: bool,
    delay: Duration,
}

impl State {
    fn apply(self, proxy: &Proxy, home: SocketAddr) {
        for direction in Direction::BOTH {
            proxy.set_delay(direction, self.delay);
        }
        proxy.set_target(if self.is_severed { NOWHERE } else { home });
        proxy.stall(self.is_stalled);
        if self.is_severed {
            proxy.cut();
        }
    }
}

impl Ways {
    fn home(&self, node: usize) -> Option<SocketAddr> {
        let mut homes = self.homes.iter();
        homes.find(|(_, at)| **at == node).map(|(home, _)| *home)
    }

    fn state(&self, one: usize, other: usize) -> State {
        let pair = (one.min(other), one.max(other));
        self.states.get(&pair).copied().unwrap_or_default()
    }

    /// The proxy by which one dials the other, if the other has been started.
    fn proxy(&mut self, from: usize, to: usize) -> Option<&Proxy> {
        let home = self.home(to)?;
        if !self.proxies.contains_key(&(from, to)) {
            let proxy = Proxy::start(home)
                .inspect_err(|error| tracing::error!(%error, "no proxy for a link could be made"))
                .ok()?;
            self.state(from, to).apply(&proxy, home);
            self.proxies.insert((from, to), proxy);
        }
        self.proxies.get(&(from, to))
    }
}

impl Links {
    /// That node listens there.
    pub(super) fn settle(&self, node: usize, home: SocketAddr) {
        self.lock().homes.insert(home, node);
    }

    /// What a node dials to get to that address.
    pub(super) fn way(&self, from: usize, address: SocketAddr) -> SocketAddr {
        let ways = &mut *self.lock();
        match ways.homes.get(&address).copied() {
            Some(to) if to != from => ways.proxy(from, to).map_or(NOWHERE, Proxy::address),
            // It is none of the cluster's.
            Some(_) | None => address,
        }
    }

    /// Everything is as at the start.
    pub(super) fn mend(&self) {
        let pairs: Vec<_> = self.lock().states.keys().copied().collect();
        for (one, other) in pairs {
            self.change(one, other, |state| *state = State::default());
        }
    }

    fn change(&self, one: usize, other: usize, change: impl FnOnce(&mut State)) {
        let ways = &mut *self.lock();
        let pair = (one.min(other), one.max(other));
        change(ways.states.entry(pair).or_default());
        self.each(ways, pair, |ways, proxy, home| ways.apply(proxy, home));
    }

    fn each(
        &self,
        ways: &Ways,
        (one, other): (usize, usize),
        act: impl Fn(State, &Proxy, SocketAddr),
    ) {
        let state = ways.state(one, other);
        for (from, to) in [(one, other), (other, one)] {
            if let (Some(proxy), Some(home)) = (ways.proxies.get(&(from, to)), ways.home(to)) {
                act(state, proxy, home);
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Ways> {
        self.ways.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The link between two nodes of a [`TestCluster`](super::TestCluster), whichever of them has dialled. What it is told
/// holds for the connections that there are and for those that are made later.
#[derive(Clone, Copy, Debug)]
pub struct Link<'a> {
    pub(super) links: &'a Links,
    pub(super) one: usize,
    pub(super) other: usize,
}

impl Link<'_> {
    /// Ends the connections that there are; what is on its way is lost. New ones can be made at once.
    pub fn cut(self) {
        let ways = self.links.lock();
        let act = |_: State, proxy: &Proxy, _: SocketAddr| proxy.cut();
        self.links.each(&ways, (self.one, self.other), act);
    }

    /// Ends the connections that there are, and lets none be made until [`mend`](Self::mend): both sides learn at once
    /// that there is no way.
    pub fn sever(self) {
        self.change(|state| state.is_severed = true);
    }

    /// Passes nothing on until [`mend`](Self::mend), and tells nobody: both sides find out by the silence
    /// (`idle_timeout_ms`), as they do of a network that loses everything.
    pub fn stall(self) {
        self.change(|state| state.is_stalled = true);
    }

    /// What is sent from now on comes out so much later, in both directions.
    pub fn delay(self, delay: Duration) {
        self.change(|state| state.delay = delay);
    }

    /// The link is as at the start.
    pub fn mend(self) {
        self.change(|state| *state = State::default());
    }

    /// Connections that have gone over it so far, and those that were lost on the way.
    #[must_use]
    pub fn connections(self) -> (u64, u64) {
        let ways = self.links.lock();
        let pairs = [(self.one, self.other), (self.other, self.one)];
        let proxies = pairs.iter().filter_map(|pair| ways.proxies.get(pair));
        proxies.fold((0, 0), |(made, cut), proxy| {
            let counts = proxy.counts();
            (made + counts.connections, cut + counts.cut)
        })
    }

    fn change(self, change: impl FnOnce(&mut State)) {
        self.links.change(self.one, self.other, change);
    }
}
