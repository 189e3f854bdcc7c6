//! Epochs of the overlay: which one is in force, which one is proposed, and how a change goes on.
//!
//! The words that [`crate::switching`] uses with the application, and its two halves with each other.
//! Decides nothing.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// An overlay by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum OverlayKind {
    /// [`crate::full_mesh`].
    FullMesh,
    /// [`crate::hyparview`].
    HyParView,
    /// [`crate::client_server`].
    ClientServer,
    /// [`crate::pub_sub`].
    PubSub,
}

impl OverlayKind {
    /// All of them.
    pub const ALL: [Self; 4] = [
        Self::FullMesh,
        Self::HyParView,
        Self::ClientServer,
        Self::PubSub,
    ];

    /// Its name in configuration, on the command line and in results.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::FullMesh => "full_mesh",
            Self::HyParView => "hyparview",
            Self::ClientServer => "client_server",
            Self::PubSub => "pub_sub",
        }
    }
}

impl fmt::Display for OverlayKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// Not the name of an overlay that can be switched to.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no overlay to switch to; use full_mesh, hyparview, client_server or pub_sub")]
pub struct UnknownOverlay(String);

impl FromStr for OverlayKind {
    type Err = UnknownOverlay;

    fn from_str(name: &str) -> Result<Self, UnknownOverlay> {
        let found = Self::ALL.into_iter().find(|kind| kind.name() == name);
        found.ok_or_else(|| UnknownOverlay(name.into()))
    }
}

/// Tells one configuration of the overlay from all others. The greater one wins, everywhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Epoch<P> {
    /// One more than any that its proposer knew of.
    pub number: u64,
    /// Who proposed it; nobody for the one that a node starts with.
    pub proposer: Option<P>,
    /// Drawn by its proposer, as one that was restarted may not know what it proposed before.
    pub nonce: u16,
}

impl<P> Epoch<P> {
    /// The one that a node starts with.
    pub const FIRST: Self = Self {
        number: 0,
        proposer: None,
        nonce: 0,
    };
}

/// An overlay that all nodes are to have.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proposal<P> {
    /// Its place in the order of all.
    pub epoch: Epoch<P>,
    /// Which overlay.
    pub kind: OverlayKind,
    /// Of a client-server overlay, who is a server; empty for others.
    pub servers: Vec<P>,
    /// It is to be tried on some nodes first; none: it is for all.
    pub trial: Option<Trial<P>>,
}

impl<P> Proposal<P> {
    /// The same for all nodes.
    #[must_use]
    pub fn for_all(self) -> Self {
        Self {
            trial: None,
            ..self
        }
    }
}

/// Where and for how long an overlay is tried before all nodes get it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trial<P> {
    /// The nodes that build it, its proposer among them: at most
    /// [`PART_MAX`](crate::switching::PART_MAX), in order.
    pub part: Vec<P>,
    /// For how many milliseconds it is measured, once all of them answer over it.
    pub span_ms: u32,
}

/// A sample of a trial: a message that finds out how an overlay carries to the nodes on which another one is tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sampling<P> {
    /// The overlay that carries it: the one that is tried, or the one in force.
    pub overlay: Epoch<P>,
    /// The one that is tried.
    pub trial: Epoch<P>,
    /// Which sample: the greater, the later.
    pub round: u32,
}

/// What is ordered of the half that runs overlays by the half that decides.
#[derive(Clone, Debug, PartialEq)]
pub enum Order<P> {
    /// Build this overlay next to the one that carries.
    Prepare {
        /// What to build.
        proposal: Proposal<P>,
        /// Live members other than this node: ways in.
        members: Vec<P>,
    },
    /// This overlay is in force: build it if it is not there, give up the one before after a while.
    Commit {
        /// What is in force.
        proposal: Proposal<P>,
        /// Live members other than this node: ways in.
        members: Vec<P>,
        /// This node had not prepared it: others may have closed the one before long ago.
        is_late: bool,
    },
    /// Give up the overlay that was being built.
    Abandon(Epoch<P>),
    /// Find out whom the overlay that is being built reaches from here. Answered by
    /// [`Report::Reached`], perhaps several times.
    Probe(Epoch<P>),
    /// Connect the overlay that is being built to that member, which it does not reach from here: it has grown in
    /// pieces.
    Link {
        /// The overlay.
        epoch: Epoch<P>,
        /// The member.
        to: P,
    },
    /// Find out how an overlay carries to the nodes of a trial. Answered by [`Report::Sampled`], once for each of them.
    Sample(Sampling<P>),
    /// A member came, or went, while an overlay is being built.
    Member {
        /// Who.
        peer: P,
        /// It is live now.
        live: bool,
    },
}

/// What is reported to the half that decides by the half that runs overlays.
#[derive(Clone, Debug, PartialEq)]
pub enum Report<P> {
    /// These nodes were reached by a probe over the new overlay alone, and have in it all that they need.
    Reached {
        /// Of the new overlay.
        epoch: Epoch<P>,
        /// Some of those reached.
        peers: Vec<P>,
    },
    /// A sample of a trial came to that node, and its answer came back.
    Sampled {
        /// The overlay that carried both.
        overlay: Epoch<P>,
        /// Which sample.
        round: u32,
        /// The node.
        peer: P,
        /// Hops to it.
        hops: u8,
        /// How often the sample before came to it.
        copies: u8,
    },
    /// Another node knows of something newer.
    Told {
        /// Who.
        by: P,
        /// What is in force there.
        current: Proposal<P>,
        /// What is being built there.
        next: Option<Proposal<P>>,
    },
    /// This node has in the new overlay all that it needs.
    Ready(Epoch<P>),
    /// The overlay of this epoch, no longer in force, is closed.
    Retired(Epoch<P>),
    /// Overlays connect this node to a peer otherwise than before.
    Linked {
        /// To whom.
        peer: P,
        /// By which.
        links: Links,
    },
}

/// Which overlays connect a node to a peer, as its broadcast sees them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Links {
    /// A full mesh, where all are neighbors of all.
    pub mesh: bool,
    /// Any other one.
    pub sparse: bool,
}

impl Links {
    /// These, and one of that overlay.
    #[must_use]
    pub fn with(self, kind: OverlayKind) -> Self {
        let is_mesh = kind == OverlayKind::FullMesh;
        Self {
            mesh: self.mesh || is_mesh,
            sparse: self.sparse || !is_mesh,
        }
    }
}

/// How far a change of the overlay has come on this node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Somebody proposed it; the new overlay is being built.
    Announced,
    /// This node has in the new overlay all that it needs.
    Prepared,
    /// All nodes of a trial were reached over the new overlay: it is measured from now on. Told by the proposer only.
    Trying,
    /// A trial went well: all nodes build the new overlay now.
    Adopted,
    /// Every live member was reached over the new overlay. Told by the proposer only.
    Verified,
    /// The new overlay is in force.
    Committed,
    /// The new overlay was given up; the old one goes on.
    RolledBack(WhyBack),
    /// The lanes of this epoch's overlay are closed: another one has been in force for a while.
    Retired,
}

/// Why a change of the overlay did not come about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum WhyBack {
    /// Not all members were reached in time.
    Deadline,
    /// Another change, with a greater epoch or done before, took its place.
    Overtaken,
    /// Its proposer is down, or left.
    ProposerGone,
    /// It was tried on a part of the nodes, and measured worse than the rules of the trial allow.
    TrialFailed,
    /// A node on which it was tried is down, or left.
    TrialNodeGone,
    /// The network was split while it was tried.
    Parted,
}
