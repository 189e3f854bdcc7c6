//! The servers that a node knows, and how far it has come with each.
//!
//! Owns the bound on their number and the rule of who is forgotten: a name that only hearsay gave,
//! and that never answered, goes after a few tries; a server that once was one is tried for about an
//! hour, less and less often, and makes room for another at once; those that were configured are tried
//! for ever.

use std::collections::BTreeMap;

use rand::Rng;
use rand::seq::IteratorRandom;

use super::message::SERVERS_MAX;
use crate::event::{Peer, WhyDown};

/// Failed dials in a row after which a server that never answered is forgotten.
const FAILURES_MAX: u16 = 5;
/// The same for one that was a neighbor once. 600: with the waits between them about an hour.
const FAILURES_PROVEN_MAX: u16 = 600;
/// Most periods between two dials of a server that does not answer. 6: a guess; it is what the end of
/// a partition waits for.
const WAIT_PERIODS_MAX: u32 = 6;
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
    failures: u16,
    /// Periods until it is dialed again, if there is no need.
    wait: u32,
    /// Was a neighbor once.
    proven: bool,
    /// Named by the operator of this node.
    configured: bool,
}

impl Server {
    const fn is_forgotten(&self) -> bool {
        let most = if self.proven {
            FAILURES_PROVEN_MAX
        } else {
            FAILURES_MAX
        };
        !self.configured && self.failures >= most
    }
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

    /// Notes a server. `configured` is true for those that the node was told by its own operator. Where
    /// there is no room, the one that failed most makes it.
    pub(super) fn learn(&mut self, peer: P, configured: bool) {
        if let Some(server) = self.known.get_mut(&peer) {
            server.configured |= configured;
            return;
        }
        if self.known.len() >= SERVERS_MAX {
            let apart = self.known.iter().filter(|(_, server)| {
                server.link == Link::Apart && server.failures > 0 && !server.configured
            });
            let worst = apart.max_by_key(|(_, server)| server.failures);
            let Some(worst) = worst.map(|(peer, _)| *peer) else {
                return;
            };
            self.known.remove(&worst);
        }
        let server = Server {
            link: Link::Apart,
            failures: 0,
            wait: 0,
            proven: false,
            configured,
        };
        self.known.insert(peer, server);
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
                server.wait = 0;
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
        server.wait = ((1 << server.failures.min(16)) - 1).min(WAIT_PERIODS_MAX);
        server.failures = server.failures.saturating_add(1);
        if server.is_forgotten() {
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
    /// to the servers that work and clients spread evenly over them. Those that failed a moment ago
    /// only if `urgent`. Of those that are alike in that, the ones that are near come first.
    pub(super) fn choose_apart<R: Rng>(
        &self,
        most: usize,
        urgent: bool,
        is_near: impl Fn(P) -> bool,
        random: &mut R,
    ) -> Vec<P> {
        let mut chosen = Vec::new();
        for failures in 0..=FAILURES_MAX {
            for near in [true, false] {
                if chosen.len() >= most {
                    return chosen;
                }
                let apart = self.known.iter().filter(|(peer, server)| {
                    server.link == Link::Apart
                        && (urgent || server.wait == 0)
                        && server.failures.min(FAILURES_MAX) == failures
                        && is_near(**peer) == near
                });
                let peers = apart.map(|(peer, _)| *peer);
                chosen.extend(peers.sample(random, most - chosen.len()));
            }
        }
        chosen
    }

    /// A server that is near and could be dialed: one that has not failed since it last was a neighbor.
    pub(super) fn nearer<R: Rng>(&self, is_near: impl Fn(P) -> bool, random: &mut R) -> Option<P> {
        let apart = self.known.iter().filter(|(peer, server)| {
            server.link == Link::Apart && server.failures == 0 && is_near(**peer)
        });
        apart.map(|(peer, _)| *peer).choose(random)
    }

    /// A period is over: those to greet again, and those that have been silent for too long.
    pub(super) fn period_over(&mut self) -> (Vec<P>, Vec<P>) {
        let (mut again, mut silent) = (Vec::new(), Vec::new());
        for (peer, server) in &mut self.known {
            server.wait = server.wait.saturating_sub(1);
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
