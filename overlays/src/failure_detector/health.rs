//! How far this node trusts its own ears: Lifeguard's local health multiplier.
//!
//! Owns one small counter. The detector raises it when a failure may be this node's own fault, and
//! lowers it with every probe that succeeds; every wait is multiplied by what it says.

/// Worst health. 8: Lifeguard's S, chosen there by experiment.
const FAILURES_MAX: u8 = 8;

/// Recent failures that this node may have to blame on itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Health {
    failures: u8,
}

impl Health {
    pub(super) const fn new() -> Self {
        Self { failures: 0 }
    }

    pub(super) const fn failures(self) -> u8 {
        self.failures
    }

    /// 1 when all is well, 9 at worst.
    pub(super) const fn patience(self) -> u32 {
        // Widening a small number.
        self.failures as u32 + 1
    }

    pub(super) const fn is_worst(self) -> bool {
        self.failures == FAILURES_MAX
    }

    pub(super) const fn worsen(&mut self) {
        if self.failures < FAILURES_MAX {
            self.failures += 1;
        }
    }

    /// This node did not run: nothing that it believes is sure.
    pub(super) const fn give_up(&mut self) {
        self.failures = FAILURES_MAX;
    }

    pub(super) const fn improve(&mut self) {
        self.failures = self.failures.saturating_sub(1);
    }
}
