//! Who may do what over an admin socket: the roles, and which of them each request needs.
//!
//! A node has up to two sockets, one for each role; who may open which is the kernel's matter (`socket`). Asked by the
//! connection before the desk hears of a request.

use super::answer::{Refusal, RefusalKind};
use super::request::Request;

/// What who asks over a socket may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Look: at what the node is, counts and tells.
    Read,
    /// Change the node and its cluster, and send in its name, besides.
    Admin,
}

impl Role {
    /// The mode of the socket's file: who may open it.
    pub(super) const fn mode(self) -> u32 {
        match self {
            Self::Read => 0o660,
            Self::Admin => 0o600,
        }
    }

    /// Whether this role is enough for a request.
    ///
    /// # Errors
    /// What to do instead.
    pub(super) fn allows(self, request: &Request) -> Result<(), Refusal> {
        if self >= request.needs() {
            return Ok(());
        }
        let text = "this socket is for looking alone (`admin_read`): what changes the node or sends is asked over its \
                    socket of `admin`, by the node's user or root";
        Err(Refusal::new(RefusalKind::NotAllowed, text))
    }
}

impl Request {
    /// The role that it needs. A ping makes a lane where there is none, and sends: it is no look.
    #[must_use]
    pub const fn needs(&self) -> Role {
        match self {
            Self::Status {}
            | Self::Peers {}
            | Self::Members {}
            | Self::Overlay {}
            | Self::Analysis {}
            | Self::SwitchHistory {}
            | Self::TopologyRules {}
            | Self::Events {}
            | Self::Metrics { .. }
            | Self::ClusterMetrics {}
            | Self::Channels {}
            | Self::ChannelChanges {}
            | Self::Parameters {}
            | Self::Recording {}
            | Self::Faults {}
            | Self::Rules {} => Role::Read,
            Self::SwitchOverlay { .. }
            | Self::SetTopologyRules { .. }
            | Self::Evict { .. }
            | Self::Leave { .. }
            | Self::Broadcast { .. }
            | Self::Publish { .. }
            | Self::Subscribe { .. }
            | Self::Unsubscribe { .. }
            | Self::Reload { .. }
            | Self::AddChannel { .. }
            | Self::SetChannel { .. }
            | Self::RemoveChannel { .. }
            | Self::AddClusterChannel { .. }
            | Self::SetClusterChannel { .. }
            | Self::RemoveClusterChannel { .. }
            | Self::SetRules { .. }
            | Self::AddFault { .. }
            | Self::RemoveFault { .. }
            | Self::Connect { .. }
            | Self::Disconnect { .. }
            | Self::Forget { .. }
            | Self::Ping { .. }
            | Self::Send { .. } => Role::Admin,
        }
    }
}
