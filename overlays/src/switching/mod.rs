//! One overlay in place of another while broadcasts flow, and no moment without one that carries.
//!
//! Two halves with the broadcast and the membership between them, which keep all that they know:
//!
//! - [`Switch`], the overlay at the bottom: runs up to two overlays side by side, each message with
//!   its epoch, and looks like one whose neighbors are those of both. `slot` is one of the two, `any`
//!   what it may be, `lives` how it begins and ends, `probing` how it finds out whom the new one reaches.
//! - [`Conductor`], the layer above membership: proposes, announces, commits, rolls back. The rules.
//!
//! - On a part of the nodes a new overlay can be tried first: `trying` are the rules of that, `part` chooses the nodes,
//!   `sampling` carries samples over both overlays, `measuring` counts what comes back, `trial` has the terms and the rule.
//!
//! A change goes like this. The proposer announces by broadcast; every node builds the new overlay
//! next to the old. The proposer probes the new overlay until all live members have answered over it,
//! then commits by broadcast; every node gives up the old one a while after that. If some do not
//! answer in time, or the proposer dies, the new one is given up. There is no lock and no vote: the
//! greatest epoch that anybody committed is in force, and who hears of it late, however late,
//! builds it then and follows (`docs/decisions/0018-switching-overlays.md`).

mod any;
mod conductor;
mod lives;
mod measuring;
mod message;
mod part;
mod probing;
mod sampling;
mod slot;
mod switch;
#[cfg(test)]
mod tests;
pub(crate) mod trial;
mod trying;

pub use any::{AnyMessage, AnyOverlay, AnyTimer, Overlays};
pub use conductor::{Conductor, ConductorConfig, ConductorTimer};
pub use message::Message;
pub use part::PART_MAX;
pub use switch::{Switch, SwitchConfig, Timer};
pub use trial::{TRIAL_MAX, TRIAL_MIN, TrialFigures, TrialReport, TrialRules, TrialTerms};
