//! How much the network loses, as far as this node's own pings tell.
//!
//! Owns one small counter. A ping that needed help although its target lives was lost, or slow; where
//! that is common, silence proves little and a probe asks for help more than once before it accuses.

/// How much one lost ping weighs against answered ones. 4: the counter stays at nothing while fewer than
/// one ping in five goes unanswered, which is a loss of one message in ten.
const LOST_WEIGHT: u8 = 4;
/// Most of the counter. 16: four lost pings in a row reach it, sixteen answered ones empty it.
const COUNT_MAX: u8 = 16;
/// Of which each part costs one wave of help more. 4: one lost ping asks for one, and two for two, until
/// as many pings were answered.
const COUNT_PER_WAVE: u8 = LOST_WEIGHT;

/// What became of this node's last pings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Loss {
    count: u8,
}

impl Loss {
    pub(super) const fn new() -> Self {
        Self { count: 0 }
    }

    /// Waves of help that a probe needs beyond the first, before its silence means something.
    pub(super) const fn waves(self) -> u32 {
        // Widening a small number.
        (self.count / COUNT_PER_WAVE) as u32
    }

    /// A ping was answered directly and in time.
    pub(super) const fn ping_answered(&mut self) {
        self.count = self.count.saturating_sub(1);
    }

    /// A ping was not, though its target lives.
    pub(super) const fn ping_lost(&mut self) {
        let count = self.count + LOST_WEIGHT;
        self.count = if count < COUNT_MAX { count } else { COUNT_MAX };
    }
}
