//! The settings of all protocols that a node of a cluster runs, as one value.
//!
//! Made from a configuration by the engine, and by the simulator where nobody says otherwise: a simulation of somebody's own
//! cluster goes by the settings of its nodes.

use crate::switching::{ConductorConfig, SwitchConfig};
use crate::{broadcasts, membership};

/// See the module's text.
#[derive(Clone, Debug, Default)]
pub struct Protocols {
    /// Overlays, and how one is built beside another.
    pub switch: SwitchConfig,
    /// Broadcasts.
    pub broadcasts: broadcasts::Config,
    /// Membership and failure detection.
    pub membership: membership::Config,
    /// How a switch is decided.
    pub conductor: ConductorConfig,
}
