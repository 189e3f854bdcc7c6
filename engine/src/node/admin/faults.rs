//! Requests about faults on purpose.

use std::time::Duration;

use crate::admin::{Answer, FaultReport, Refusal, Request};
use crate::faults::{Fault, FaultError};
use crate::node::Node;

pub(super) fn answer(node: &Node, request: Request) -> Result<Answer, Refusal> {
    match request {
        Request::AddFault {
            peer,
            channel,
            drop_ppm,
            delay_us,
            cut,
            lasts_ms,
            seed,
        } => {
            let fault = Fault {
                peer,
                channel,
                drop_ppm,
                delay: Duration::from_micros(delay_us),
                cut,
                lasts: Duration::from_millis(lasts_ms),
                seed,
            };
            let id = node.add_fault(fault).map_err(|error| refused(&error))?;
            Ok(Answer::FaultAdded { id })
        }
        Request::RemoveFault { id } => {
            node.remove_fault(id).map_err(|error| refused(&error))?;
            Ok(Answer::Done)
        }
        _ => {
            let open = node.faults();
            Ok(Answer::Faults(open.iter().map(FaultReport::of).collect()))
        }
    }
}

fn refused(error: &FaultError) -> Refusal {
    match error {
        FaultError::NotAllowed | FaultError::TooMany => Refusal::failed(error),
        _ => Refusal::invalid(error),
    }
}
