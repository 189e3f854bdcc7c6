//! `overlane-bench slow-consumer`: what one consumer that stops reading costs the node that sends to it, and
//! the other peers of that node.
//!
//! - flags.rs: what may be asked; protocol.rs: what the processes are asked
//! - sender.rs: the process of the sending node; receivers.rs: that of all the others
//! - run.rs: the run in its phases, and what it came to

mod flags;
pub(crate) mod protocol;
mod receivers;
mod run;
mod sender;

pub(crate) use flags::SlowConsumerFlags;
pub(crate) use run::run;

use crate::child::Parent;
use protocol::Specification;

/// Runs one of the two processes until the parent closes its pipe.
pub(crate) fn serve(mut parent: Parent) {
    match parent.next::<Specification>() {
        None => {}
        Some(Ok(Specification::Sender(settings))) => sender::serve(parent, &settings),
        Some(Ok(Specification::Receivers(settings))) => receivers::serve(parent, &settings),
        Some(Err(error)) => parent.answer::<()>(Err(error)),
    }
}
