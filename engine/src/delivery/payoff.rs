//! Whether compressing a lane's batches pays, found out as it runs.
//!
//! Owned by a lane that compresses. A batch that did not become a tenth smaller is sent as it is, and so are
//! the next few without a try: each time twice as many, up to [`SKIPPED_MAX`]. One that pays ends that. So
//! what cannot be compressed costs a try in 65 batches.

/// Batches that are sent without a try, at most, before the next one.
const SKIPPED_MAX: u32 = 64;

/// See the module's text.
#[derive(Debug)]
pub(crate) struct Payoff {
    /// Batches still to be sent without a try.
    skip: u32,
    /// How many after the next failure.
    next_skip: u32,
}

impl Default for Payoff {
    fn default() -> Self {
        Self {
            skip: 0,
            next_skip: 1,
        }
    }
}

impl Payoff {
    /// Whether to try it with the next batch; asked once for each.
    pub(crate) fn tries(&mut self) -> bool {
        let skips = self.skip > 0;
        self.skip = self.skip.saturating_sub(1);
        !skips
    }

    /// A batch became so small; `None` if it did not become smaller at all. Whether that is worth it.
    pub(crate) fn judge(&mut self, batch_bytes: usize, compressed_bytes: Option<usize>) -> bool {
        let pays = compressed_bytes.is_some_and(|bytes| bytes <= batch_bytes / 10 * 9);
        if pays {
            *self = Self::default();
        } else {
            self.skip = self.next_skip;
            self.next_skip = (self.next_skip * 2).min(SKIPPED_MAX);
        }
        pays
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many of so many batches are tried, none of which pays.
    fn tried(payoff: &mut Payoff, batches: u32) -> u32 {
        let mut tried = 0;
        for _ in 0..batches {
            if payoff.tries() {
                tried += 1;
                assert!(!payoff.judge(1000, Some(950)));
            }
        }
        tried
    }

    #[test]
    fn what_does_not_pay_is_tried_less_and_less_but_never_given_up() {
        let mut payoff = Payoff::default();
        // 1 + 1, 1 + 2, 1 + 4 and so on.
        assert_eq!(tried(&mut payoff, 2 + 3 + 5 + 9 + 17 + 33), 6);
        assert_eq!(tried(&mut payoff, 650), 10);
    }

    #[test]
    fn one_that_pays_ends_the_restraint() {
        let mut payoff = Payoff::default();
        tried(&mut payoff, 1000);
        while !payoff.tries() {}
        assert!(payoff.judge(1000, Some(900)));
        assert!(payoff.tries());
        assert!(!payoff.judge(1000, None));
        assert!(!payoff.tries());
        assert!(payoff.tries());
    }
}
