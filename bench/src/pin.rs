//! Pins threads to cores, and says which cores there are.
//!
//! Raw and engine threads of one role get the same core: a ratio of differently placed threads would
//! compare the placements.

use core_affinity::CoreId;

use crate::error::{BenchError, Outcome};

/// Ends with a sentence for the user when this machine, or this process' mask, has no such core.
pub(crate) fn require_core(flag: &str, core: usize) -> Outcome<()> {
    let allowed = cores();
    if allowed.contains(&core) {
        return Ok(());
    }
    Err(BenchError::BadInput(format!(
        "{flag} {core}: this process may run on the cores {allowed:?} only; give one of those"
    )))
}

/// Keeps the calling thread on `core`.
pub(crate) fn pin_to(core: usize) -> Outcome<()> {
    if core_affinity::set_for_current(CoreId { id: core }) {
        return Ok(());
    }
    Err(BenchError::BadInput(format!(
        "cannot pin a thread to core {core}; give one of {:?}",
        cores()
    )))
}

fn cores() -> Vec<usize> {
    core_affinity::get_core_ids()
        .unwrap_or_default()
        .iter()
        .map(|core| core.id)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_core_that_does_not_exist_is_refused_by_flag_and_number() {
        let error = require_core("--sender-core", 100_000).unwrap_err();
        assert_eq!(error.exit(), crate::exit::Exit::Usage);
        assert!(
            error.to_string().starts_with("--sender-core 100000: "),
            "{error}"
        );
    }
}
