//! What the control shard runs besides its own work: the cluster, whose protocols want time, events and
//! a thread to run on.
//!
//! The control shard knows no more of it than this: it stands above channels and inboxes, which stand above the
//! control shard. Handed over once (`ControlLink::hand_over`), after the node has started.

use std::fmt::Debug;
use std::time::Instant;

use crate::events::Event;

/// See the module's text.
pub(crate) trait Resident: Debug + Send {
    /// Something happened on a shard. Told before subscribers hear of it.
    fn follow(&mut self, event: &Event);

    /// Does what there is to do, without waiting. `tell` publishes an event. True if there is more to do at once.
    fn step(&mut self, tell: &mut dyn FnMut(Event)) -> bool;

    /// When it wants a step at the latest; besides, it asks the control shard to look.
    fn next(&self) -> Option<Instant>;
}
