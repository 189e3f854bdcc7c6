//! The servers that a node knows, and how far it has come with each.
//!
//! Owns the bound on their number and the rule of who is forgotten: a name that only hearsay gave,
//! and that never answered, goes after a few tries; a server that once was one is tried for ever.

use std::collections::BTreeMap;

use rand::Rng;
use rand::seq::IteratorRandom;

use super::message::SERVERS_MAX;
use crate::event::{Peer, WhyDown};

/// Failed dials in a row after which a server that never answered is forgotten.
const FAILURES_MAX: u8 = 5;
/// Periods that a dialed server has to answer the hello.
const SILENT_PERIODS_MAX: u8 = 3;

/// How far a node has come with a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Link {
    /// No lane.
    Apart,
    /// A lane was asked for.
    Dialing,
    /// There is a lane; the hello is not answered yet.
    Greeted {
        /// Periods since.
        periods: u8,
    },
    /// A neighbor.
    Neighbor,
}

#[derive(Debug)]
struct Server {
    link: Link,
    /// Dials or greetings that failed since it last was a neighbor.
    failures: u8,
    /// Was configured, or was a neighbor once.
    proven: bool,
}

/// The servers that one node knows.
#[derive(Debug)]
pub(super) struct Servers<P> {
    known: BTreeMap<P, Server>,
}

impl<P: Peer> Servers<P> {
    pub(super) const fn new() -> Self {
        Self {
            known: BTreeMap::new(),
        }
    }

    /// Notes a server. `proven` is true for those that the node was told by its own operator.
    pub(super) fn learn(&mut self, peer: P, proven: bool) {
        if let Some(server) = self.known.get_mut(&peer) {
            server.proven |= proven;
        } else if self.known.len() < SERVERS_MAX {
            let server = Server {
                link: Link::Apart,
                failures: 0,
                proven,
            };
            self.known.insert(peer, server);
        }
    }

    pub(super) fn link(&self, peer: &P) -> Option<Link> {
        self.known.get(peer).map(|server| server.link)
    }

    pub(super) fn set_link(&mut self, peer: &P, link: Link) {
        if let Some(server) = self.known.get_mut(peer) {
            server.link = link;
            if link == Link::Neighbor {
                server.proven = true;
                server.failures = 0;
            }
        }
    }

    /// The lane to a server is gone, or did not come about.
    pub(super) fn failed(&mut self, peer: &P, why: WhyDown) {
        let Some(server) = self.known.get_mut(peer) else {
            return;
        };
        server.link = Link::Apart;
        if why == WhyDown::Busy {
            return;
        }
        server.failures = server.failures.saturating_add(1);
        if !server.proven && server.failures >= FAILURES_MAX {
            self.known.remove(peer);
        }
    }

    pub(super) fn forget(&mut self, peer: &P) {
        self.known.remove(peer);
    }

    pub(super) fn with(&self, wanted: impl Fn(Link) -> bool) -> impl Iterator<Item = P> {
        let known = self.known.iter();
        known
            .filter(move |(_, server)| wanted(server.link))
            .map(|(peer, _)| *peer)
    }

    /// Some servers without a lane: at random among those that failed least, so that a client turns
    /// to the servers that work and clients spread evenly over them.
    pub(super) fn choose_apart<R: Rng>(&self, most: usize, random: &mut R) -> Vec<P> {
        let mut chosen = Vec::new();
        for failures in 0..=FAILURES_MAX {
            if chosen.len() >= most {
                break;
            }
            let apart = self.known.iter().filter(|(_, server)| {
                server.link == Link::Apart && server.failures.min(FAILURES_MAX) == failures
            });
            let peers = apart.map(|(peer, _)| *peer);
            chosen.extend(peers.sample(random, most - chosen.len()));
        }
        chosen
    }

    /// A period is over: those to greet again, and those that have been silent for too long.
    pub(super) fn period_over(&mut self) -> (Vec<P>, Vec<P>) {
        let (mut again, mut silent) = (Vec::new(), Vec::new());
        for (peer, server) in &mut self.known {
            if let Link::Greeted { periods } = &mut server.link {
                *periods += 1;
                if *periods < SILENT_PERIODS_MAX {
                    again.push(*peer);
                } else {
                    silent.push(*peer);
                }
            }
        }
        (again, silent)
    }
}
