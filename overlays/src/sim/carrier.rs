//! The overlays by name, each with a broadcast, as what membership and the fault mode run on.
//!
//! An experiment is written once as a [`Task`], generic over the overlay, and run on any of them.

use std::fmt;
use std::str::FromStr;

use super::NodeId;
use super::subject::Subject;
use crate::client_server::{self, ClientServer};
use crate::direct::{self, Direct};
use crate::epidemic::{self, Epidemic};
use crate::full_mesh::{self, FullMesh};
use crate::hyparview::{self, HyParView};
use crate::plumtree::{self, Plumtree};
use crate::pub_sub::{self, PubSub};
use crate::stack::Stack;

/// Makes the overlay of a node, with its broadcast.
pub type MakeCarrier<C> = Box<dyn FnMut(NodeId) -> C>;

/// An overlay with a broadcast.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Carrier {
    /// Full mesh and direct broadcast.
    FullMesh,
    /// HyParView and Plumtree.
    HyParView,
    /// Client-server and Plumtree. One node in fifty is a server, at least three, at most 64.
    ClientServer,
    /// Publish-subscribe, which has its own broadcast.
    PubSub,
    /// HyParView with near neighbors, and Plumtree.
    HyParViewXbot,
    /// HyParView and flooding.
    Epidemic,
}

/// Not the name of an overlay.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is no overlay; use full_mesh, hyparview, client_server, pub_sub, hyparview_xbot or epidemic"
)]
pub struct UnknownCarrier(String);

/// Something to be done with any overlay.
pub trait Task {
    /// What comes of it.
    type Output;

    /// Does it with one overlay.
    fn run<C: Subject + 'static>(self, make: MakeCarrier<C>) -> Self::Output;
}

impl Carrier {
    /// The overlays, each with what is usual on it.
    pub const ALL: [Self; 4] = [
        Self::FullMesh,
        Self::HyParView,
        Self::ClientServer,
        Self::PubSub,
    ];

    /// Those, and their variants.
    pub const EVERY: [Self; 6] = [
        Self::FullMesh,
        Self::HyParView,
        Self::ClientServer,
        Self::PubSub,
        Self::HyParViewXbot,
        Self::Epidemic,
    ];

    /// Its name on the command line and in results.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::FullMesh => "full_mesh",
            Self::HyParView => "hyparview",
            Self::ClientServer => "client_server",
            Self::PubSub => "pub_sub",
            Self::HyParViewXbot => "hyparview_xbot",
            Self::Epidemic => "epidemic",
        }
    }

    /// Runs a task with this overlay, for `nodes` nodes.
    pub fn run<T: Task>(self, nodes: NodeId, task: T) -> T::Output {
        match self {
            Self::FullMesh => {
                let config = full_mesh::Config {
                    peers_max: full_mesh::Config::default().peers_max.max(nodes as usize),
                    ..full_mesh::Config::default()
                };
                task.run(Box::new(move |node| {
                    let broadcast = Direct::new(node, direct::Config::default());
                    Stack::new(FullMesh::new(node, config.clone()), broadcast)
                }))
            }
            Self::HyParView => task.run(with_plumtree(|node| {
                HyParView::new(node, hyparview::Config::default())
            })),
            Self::ClientServer => {
                let servers = seeds(nodes);
                task.run(with_plumtree(move |node| {
                    let contacts = (0..servers).collect();
                    let config = if node < servers {
                        client_server::Config::server(contacts)
                    } else {
                        client_server::Config::client(contacts)
                    };
                    ClientServer::new(node, config)
                }))
            }
            Self::PubSub => task.run(Box::new(|node| {
                PubSub::new(node, pub_sub::Config::default())
            })),
            Self::HyParViewXbot => task.run(with_plumtree(|node| {
                let config = hyparview::Config {
                    xbot: Some(hyparview::XbotConfig::default()),
                    ..hyparview::Config::default()
                };
                HyParView::new(node, config)
            })),
            Self::Epidemic => task.run(Box::new(|node| {
                let overlay = HyParView::new(node, hyparview::Config::default());
                let broadcast = Epidemic::new(node, epidemic::Config::default());
                Stack::new(overlay, broadcast)
            })),
        }
    }
}

/// How many nodes, the first ones, are those that others are configured with: the servers of client-server.
#[must_use]
pub(super) fn seeds(nodes: NodeId) -> NodeId {
    (nodes / 50).clamp(3, 64)
}

fn with_plumtree<O>(
    mut overlay: impl FnMut(NodeId) -> O + 'static,
) -> MakeCarrier<Stack<O, Plumtree<NodeId>>> {
    Box::new(move |node| {
        let broadcast = Plumtree::new(node, plumtree::Config::default());
        Stack::new(overlay(node), broadcast)
    })
}

impl fmt::Display for Carrier {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

impl FromStr for Carrier {
    type Err = UnknownCarrier;

    fn from_str(name: &str) -> Result<Self, UnknownCarrier> {
        let found = Self::EVERY
            .into_iter()
            .find(|carrier| carrier.name() == name);
        found.ok_or_else(|| UnknownCarrier(name.into()))
    }
}
