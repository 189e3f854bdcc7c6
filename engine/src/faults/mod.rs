//! Faults on purpose: messages that are dropped or delayed, and links that are cut, as somebody ordered it.
//!
//! Here is what a fault is and what is counted of it; `book` has those that are open. Ordered by `Node::add_fault`, carried out by
//! shards (`shard::faults`), ended by the control shard when their time is over. Only a node with `faults = true` takes any.

pub(crate) mod book;

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::config::Printable;

/// Most faults that are open on a node at a time.
pub const FAULTS_MAX: usize = 64;

/// The longest that a fault lasts: a day.
pub const FAULT_LASTS_MAX: Duration = Duration::from_secs(86_400);

/// The longest that a fault delays a message: a minute.
pub const FAULT_DELAY_MAX: Duration = Duration::from_secs(60);

/// Parts that are all: [`Fault::drop_ppm`] of a fault that drops every message.
pub const FAULT_DROPS_ALL: u32 = 1_000_000;

/// A fault: where it is, what it does to the messages and links that this node sends on, and for how long.
///
/// Made by [`Fault::lasting`], changed by its setters, ordered by [`Node::add_fault`](crate::Node::add_fault). It does at least one of: drop, delay,
/// cut. Messages of this node to itself have no faults.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The peer whose lanes have it; none: all peers.
    pub peer: Option<String>,
    /// The channel whose lanes have it; none: all channels, the engine's own among them.
    pub channel: Option<String>,
    /// Messages that are dropped before they are sent, of a million. A dropped message ends as any that is not sent: reported as undelivered, on a
    /// best-effort channel counted as dropped. Chunks of streams are not dropped.
    pub drop_ppm: u32,
    /// By how much each message is held back before it is sent; their order stays. On a monotonic channel what waits goes out together. At most
    /// [`FAULT_DELAY_MAX`].
    pub delay: Duration,
    /// Whether links are cut, and none can be made: what a network that has failed does.
    pub cut: bool,
    /// For how long; at most [`FAULT_LASTS_MAX`].
    pub lasts: Duration,
    /// What decides which messages are dropped: the same for the same messages on a lane in the same order.
    pub seed: u64,
}

impl Fault {
    /// On all lanes, for so long, and doing nothing yet.
    #[must_use]
    pub const fn lasting(lasts: Duration) -> Self {
        Self {
            peer: None,
            channel: None,
            drop_ppm: 0,
            delay: Duration::ZERO,
            cut: false,
            lasts,
            seed: 0,
        }
    }

    /// Only on lanes to that peer.
    #[must_use]
    pub fn peer(mut self, peer: impl Into<String>) -> Self {
        self.peer = Some(peer.into());
        self
    }

    /// Only on lanes of that channel.
    #[must_use]
    pub fn channel(mut self, channel: impl Into<String>) -> Self {
        self.channel = Some(channel.into());
        self
    }

    /// Drops so many messages of a million.
    #[must_use]
    pub const fn drop_ppm(mut self, ppm: u32) -> Self {
        self.drop_ppm = ppm;
        self
    }

    /// Holds messages back for so long.
    #[must_use]
    pub const fn delay(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }

    /// Cuts links.
    #[must_use]
    pub const fn cut(mut self) -> Self {
        self.cut = true;
        self
    }

    /// Drops by that seed.
    #[must_use]
    pub const fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Whether its values are within their bounds.
    ///
    /// # Errors
    /// [`FaultError::Invalid`], which says what would be right.
    pub fn check(&self) -> Result<(), FaultError> {
        let invalid = |what: String| Err(FaultError::Invalid { what });
        if self.drop_ppm == 0 && self.delay.is_zero() && !self.cut {
            return invalid("it does nothing: give it a drop, a delay or a cut".to_owned());
        }
        if self.drop_ppm > FAULT_DROPS_ALL {
            return invalid(format!(
                "it drops {} messages of a million: at most {FAULT_DROPS_ALL}",
                self.drop_ppm
            ));
        }
        if self.delay > FAULT_DELAY_MAX {
            return invalid(format!(
                "it delays by {:?}: at most {FAULT_DELAY_MAX:?}",
                self.delay
            ));
        }
        if self.lasts.is_zero() || self.lasts > FAULT_LASTS_MAX {
            return invalid(format!(
                "it lasts {:?}: more than nothing, and at most {FAULT_LASTS_MAX:?}",
                self.lasts
            ));
        }
        Ok(())
    }

    /// Whether lanes to that peer of that channel have it.
    pub(crate) fn is_on(&self, peer: &str, channel: &str) -> bool {
        let is = |wanted: &Option<String>, name: &str| {
            wanted.as_ref().is_none_or(|wanted| wanted == name)
        };
        is(&self.peer, peer) && is(&self.channel, channel)
    }
}

/// What it does and where, without how long.
impl fmt::Display for Fault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts = Vec::new();
        if self.drop_ppm > 0 {
            let percent = f64::from(self.drop_ppm) / f64::from(FAULT_DROPS_ALL / 100);
            parts.push(format!("drop {percent} %"));
        }
        if !self.delay.is_zero() {
            parts.push(format!("delay {:?}", self.delay));
        }
        if self.cut {
            parts.push("cut".to_owned());
        }
        let named = |name: &Option<String>, all: &str| match name {
            Some(name) => Printable(name).to_string(),
            None => all.to_owned(),
        };
        write!(
            formatter,
            "{} to {} on {}",
            parts.join(", "),
            named(&self.peer, "all peers"),
            named(&self.channel, "all channels")
        )
    }
}

/// What a fault has done so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FaultCounts {
    /// Messages that were dropped.
    pub dropped: u64,
    /// Messages that were held back.
    pub delayed: u64,
    /// Links that were cut.
    pub cut: u64,
    /// Dials, of this node and of peers, that came to nothing.
    pub dials_failed: u64,
}

impl FaultCounts {
    /// Adds what another one has done.
    pub(crate) fn add(&mut self, other: &Self) {
        self.dropped += other.dropped;
        self.delayed += other.delayed;
        self.cut += other.cut;
        self.dials_failed += other.dials_failed;
    }
}

/// The faults of a node: those that are open, and what all since it started have done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FaultMetrics {
    /// Faults that are open.
    pub open: usize,
    /// What faults have done, those that have ended among them.
    pub done: FaultCounts,
}

/// A fault that is open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FaultStatus {
    /// By which it is removed.
    pub id: u64,
    /// What it is.
    pub fault: Fault,
    /// How long it still lasts.
    pub left: Duration,
    /// What it has done.
    pub done: FaultCounts,
}

/// Why a fault was not taken or not removed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FaultError {
    /// The node takes none.
    #[error("this node takes no faults: start it with `faults = true`, where they may be")]
    NotAllowed,
    /// A value is out of its bounds.
    #[error("a fault cannot be like that: {what}")]
    Invalid {
        /// What is wrong, and what would be right.
        what: String,
    },
    /// There is no channel of that name.
    #[error(
        "there is no channel named `{}`: those there are now are {known}",
        Printable(name)
    )]
    UnknownChannel {
        /// The name.
        name: String,
        /// The names there are.
        known: String,
    },
    /// As many as may be are open.
    #[error("{FAULTS_MAX} faults are open, and that is as many as may be: remove one first")]
    TooMany,
    /// There is no such fault; it may have ended.
    #[error("no fault {id} is open: it has ended, or there was none")]
    Unknown {
        /// Its number.
        id: u64,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_fault_says_what_it_does_and_where() {
        let fault = Fault::lasting(SECOND)
            .drop_ppm(55_000)
            .delay(Duration::from_millis(20))
            .cut();
        let everywhere = fault.to_string();
        assert_eq!(
            everywhere,
            "drop 5.5 %, delay 20ms, cut to all peers on all channels"
        );
        let fault = Fault::lasting(SECOND).cut().peer("b\u{1b}").channel("data");
        assert_eq!(fault.to_string(), "cut to b\\u{1b} on data");
    }

    #[test]
    fn what_does_nothing_or_too_much_is_no_fault() {
        let right = Fault::lasting(SECOND).drop_ppm(1);
        assert_eq!(right.check(), Ok(()));
        for (wrong, said) in [
            (Fault::lasting(SECOND), "does nothing"),
            (
                right.clone().drop_ppm(FAULT_DROPS_ALL + 1),
                "at most 1000000",
            ),
            (right.clone().delay(FAULT_DELAY_MAX + SECOND), "at most 60s"),
            (Fault::lasting(Duration::ZERO).cut(), "more than nothing"),
            (
                Fault::lasting(FAULT_LASTS_MAX + SECOND).cut(),
                "at most 86400s",
            ),
        ] {
            let error = wrong
                .check()
                .expect_err("it is out of its bounds")
                .to_string();
            assert!(error.contains(said), "{error} lacks {said}");
        }
    }

    #[test]
    fn a_fault_is_where_it_was_ordered() {
        let fault = Fault::lasting(SECOND).cut();
        assert!(fault.is_on("b", "data"));
        let of_peer = fault.clone().peer("b");
        assert!(of_peer.is_on("b", "data") && !of_peer.is_on("c", "data"));
        let of_lane = of_peer.channel("data");
        assert!(of_lane.is_on("b", "data") && !of_lane.is_on("b", "more"));
        assert!(!fault.channel("data").is_on("b", "more"));
    }
}
