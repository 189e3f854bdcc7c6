//! A timer of which the earliest one set counts: for layers that look at all that is due at once.

use std::time::Duration;

use crate::event::Output;
use crate::time::Time;

/// By how much a timer may come early where a driver's clock rounds.
const ROUNDING: Duration = Duration::from_millis(1);

/// When the next timer comes. Drivers cannot cancel timers, so others may come too, later.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Alarm {
    at: Option<Time>,
}

impl Alarm {
    /// None is set.
    pub(crate) const fn new() -> Self {
        Self { at: None }
    }

    /// Sets the timer, unless one comes as early.
    pub(crate) fn within<P, M, T>(
        &mut self,
        now: Time,
        after: Duration,
        id: T,
        out: &mut Vec<Output<P, M, T>>,
    ) {
        if self.at.is_none_or(|at| now + after < at) {
            self.at = Some(now + after);
            out.push(Output::SetTimer { id, after });
        }
    }

    /// A timer came; perhaps one of those that were too late.
    pub(crate) fn came(&mut self, now: Time) {
        self.at = self.at.filter(|at| now + ROUNDING < *at);
    }
}
