//! One change of one channel, as nodes of a cluster say it to each other, and what orders two of them.
//!
//! Made by the node that orders it, read by every other one, held against its bounds before anything is done with it. It
//! says all that was ordered of the channel, not only what is new, so whoever was away needs the newest alone.

use std::fmt;

use overlane_overlays::message::at_most;
use overlane_overlays::{DecodeError, Peer};
use serde::{Deserialize, Serialize};

use crate::cluster::identity::NodeId;
use crate::config::CHANNELS_MAX;
use crate::wire::name::{NAME_BYTES_MAX, check_name};

/// Bytes of the parameters of one change, names and values: four times what all parameters with their defaults take.
pub const CHANGE_BYTES_MAX: usize = 8 << 10;
/// Channels of which it is kept what was ordered, removed ones too: twice as many as a node has, 1 MiB at most.
pub const CHANGED_MAX: usize = 2 * CHANNELS_MAX;
/// Parameters in one change: more than a channel has, for nodes of later versions.
const SETTINGS_MAX: usize = 128;
/// The longest that a removal may let channels drain.
const WAIT_MS_MAX: u64 = 600_000;
/// No number of an epoch, and of a channel's lives, is greater: there is always a next one.
const NUMBER_MAX: u64 = 1 << 62;
/// Most bytes of why a node did not make a change.
const WHY_BYTES_MAX: usize = 512;

/// Which of two changes of a channel counts: the one with the greater number; of two nodes that took the same one, that of the
/// greater identity, and of one node that was started again, the later.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(in crate::cluster) struct ChangeEpoch {
    pub(in crate::cluster) number: u64,
    pub(in crate::cluster) by: NodeId,
    pub(in crate::cluster) incarnation: u64,
}

/// Parameters and their values, as files have them.
pub(in crate::cluster) type Settings = Vec<(String, String)>;

/// What is to be of a channel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::cluster) enum Wanted {
    /// There is none: what it has accepted has so long.
    Absent { wait_ms: u64 },
    /// There is one with these values. If an order has added it, which had that epoch, that is all it is; otherwise each
    /// node has its own values of the rest.
    Present {
        added: Option<ChangeEpoch>,
        settings: Settings,
    },
}

/// See the module's text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::cluster) struct Change {
    pub(in crate::cluster) channel: String,
    pub(in crate::cluster) epoch: ChangeEpoch,
    /// The name of the node that ordered it.
    pub(in crate::cluster) by: String,
    /// How often a channel of that name was removed by an order before: one that is added again is another channel.
    pub(in crate::cluster) life: u64,
    pub(in crate::cluster) wanted: Wanted,
}

/// How a member did with a change, for the node that ordered it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::cluster) struct Answered {
    pub(in crate::cluster) channel: String,
    pub(in crate::cluster) epoch: ChangeEpoch,
    pub(in crate::cluster) member: NodeId,
    /// None if it is made there.
    pub(in crate::cluster) why_not: Option<String>,
}

/// Which changes a node knows, for a neighbor to compare.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::cluster) struct ChangeHeads {
    /// It is not to be answered with the other's own.
    pub(in crate::cluster) is_answer: bool,
    /// Of names that are not in the list, nothing up to this number is known any more.
    pub(in crate::cluster) forgotten: u64,
    pub(in crate::cluster) heads: Vec<(String, ChangeEpoch)>,
}

impl ChangeEpoch {
    const BYTES_MAX: usize = 10 + NodeId::BYTES_MAX + 10;

    /// The next one after that number.
    pub(in crate::cluster) fn after(number: u64, by: NodeId, incarnation: u64) -> Self {
        Self {
            number: (number + 1).min(NUMBER_MAX),
            by,
            incarnation,
        }
    }

    /// There is a next one.
    const fn is_within_bounds(&self) -> bool {
        self.number <= NUMBER_MAX
    }
}

impl Change {
    /// The most bytes of one, encoded.
    pub(in crate::cluster) const BYTES_MAX: usize = 2 * (2 + NAME_BYTES_MAX)
        + ChangeEpoch::BYTES_MAX
        + 10
        + 12
        + ChangeEpoch::BYTES_MAX
        + CHANGE_BYTES_MAX
        + SETTINGS_MAX * 4;

    /// Holds it against the bounds.
    pub(in crate::cluster) fn check(&self) -> Result<(), DecodeError> {
        let invalid = |field| DecodeError::Invalid { field };
        check_name(&self.channel).map_err(|_| invalid("channel"))?;
        check_name(&self.by).map_err(|_| invalid("name"))?;
        if NodeId::of(&self.by) != self.epoch.by || !self.epoch.is_within_bounds() {
            return Err(invalid("epoch"));
        }
        if self.life > NUMBER_MAX {
            return Err(invalid("life"));
        }
        match &self.wanted {
            Wanted::Absent { wait_ms } if *wait_ms > WAIT_MS_MAX => Err(invalid("wait")),
            Wanted::Absent { .. } => Ok(()),
            Wanted::Present { settings, .. } => {
                at_most(settings, SETTINGS_MAX, "settings")?;
                self.check_size().map_err(|_| invalid("settings"))
            }
        }
    }

    /// The bytes of its parameters, if they are too many.
    pub(in crate::cluster) fn check_size(&self) -> Result<(), usize> {
        match &self.wanted {
            Wanted::Present { settings, .. } if bytes_of(settings) > CHANGE_BYTES_MAX => {
                Err(bytes_of(settings))
            }
            _ => Ok(()),
        }
    }

    /// There is no such channel by it.
    pub(in crate::cluster) const fn is_removal(&self) -> bool {
        matches!(self.wanted, Wanted::Absent { .. })
    }
}

/// As the command line has it: what becomes of the channel.
impl fmt::Display for Wanted {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (verb, settings) = match self {
            Self::Absent { .. } => return formatter.write_str("remove"),
            Self::Present {
                added: Some(_),
                settings,
            } => ("add", settings),
            Self::Present {
                added: None,
                settings,
            } => ("set", settings),
        };
        formatter.write_str(verb)?;
        for (key, value) in settings {
            write!(formatter, " {key}={value}")?;
        }
        Ok(())
    }
}

impl Answered {
    /// The most bytes of one, encoded.
    pub(in crate::cluster) const BYTES_MAX: usize =
        2 + NAME_BYTES_MAX + ChangeEpoch::BYTES_MAX + NodeId::BYTES_MAX + 3 + WHY_BYTES_MAX;

    /// With as much of the reason as may be.
    pub(in crate::cluster) fn new(
        channel: &str,
        epoch: ChangeEpoch,
        member: NodeId,
        why_not: Option<&str>,
    ) -> Self {
        let bounded = |why: &str| why[..why.floor_char_boundary(WHY_BYTES_MAX)].to_owned();
        Self {
            channel: channel.to_owned(),
            epoch,
            member,
            why_not: why_not.map(bounded),
        }
    }
}

impl ChangeHeads {
    /// The most bytes of them, encoded.
    pub(in crate::cluster) const BYTES_MAX: usize =
        1 + 10 + 2 + CHANGED_MAX * (2 + NAME_BYTES_MAX + ChangeEpoch::BYTES_MAX);

    /// Holds them against the bounds.
    pub(in crate::cluster) fn check(&self) -> Result<(), DecodeError> {
        at_most(&self.heads, CHANGED_MAX, "heads")?;
        let mut epochs = self.heads.iter().map(|(_, epoch)| epoch);
        if self.forgotten > NUMBER_MAX || !epochs.all(ChangeEpoch::is_within_bounds) {
            return Err(DecodeError::Invalid { field: "epoch" });
        }
        Ok(())
    }
}

/// Bytes of names and values.
pub(in crate::cluster) fn bytes_of(settings: &Settings) -> usize {
    let bytes = settings.iter().map(|(key, value)| key.len() + value.len());
    bytes.sum()
}
