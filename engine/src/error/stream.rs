//! How a stream ended before its end, or was not opened.

use std::io;

use super::send::SendError;
use crate::config::{Printable, debug_as_message};
use crate::wire::stream::CancelReason;

debug_as_message!(StreamError);

/// How a stream ended before its end, or was not opened.
#[derive(Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StreamError {
    /// It cannot be opened there: as a message could not be sent.
    #[error(transparent)]
    Send(#[from] SendError),
    /// Messages of the channel may be dropped, so a stream could not come whole.
    #[error(
        "channel {channel} may drop messages: a stream needs one whose reliability is not best_effort and whose overflow is reject or block"
    )]
    NotReliable {
        /// The channel.
        channel: String,
    },
    /// The channel's order is causal.
    #[error(
        "channel {channel} has causal order, in which the chunks of a stream have no place: take another channel"
    )]
    Causal {
        /// The channel.
        channel: String,
    },
    /// There are too many open streams to that peer.
    #[error(
        "{streams_max} streams to that peer are open already: finish some, or raise streams_max"
    )]
    TooMany {
        /// The bound.
        streams_max: usize,
    },
    /// The other node did not let it in, or found that what came is not what was sent.
    #[error("the other node refused the stream: {}", refusal(*.reason))]
    Refused {
        /// Why.
        reason: CancelReason,
    },
    /// The application at the other end has ended it.
    #[error("the other end cancelled the stream: {}", Printable(why))]
    Cancelled {
        /// What it said, or that it let go of it.
        why: String,
    },
    /// Its lane ended, and is not resumed: what was under way may have come or not.
    #[error("the lane of the stream ended: {why}")]
    LaneEnded {
        /// Why, in a sentence without a stop.
        why: &'static str,
    },
    /// What came is not what was sent.
    #[error("the checksum of the stream is wrong: what came is not what was sent; send it again")]
    ChecksumMismatch,
    /// It was finished or cancelled before.
    #[error("the stream was finished or cancelled: open another")]
    Over,
    /// A blocking call on a thread of the engine, in a handler or a task.
    #[error(
        "a blocking call of a stream on a thread of the engine would wait for itself: await it in a task on a shard, or use a thread of the application"
    )]
    WouldDeadlock,
}

/// What a refusal means, in a sentence without a stop.
fn refusal(reason: CancelReason) -> &'static str {
    match reason {
        CancelReason::Application => "its application ended it",
        CancelReason::Dropped => "its application let go of it",
        CancelReason::NobodyAccepts => "nobody accepts streams at that mailbox",
        CancelReason::TooMany => "it has streams_max open streams of this node",
        CancelReason::ChecksumMismatch => "the checksum is wrong, what came is not what was sent",
        CancelReason::Unknown => "it does not know the stream any more",
        CancelReason::NotReliable => "its channel may drop messages: see overflow",
    }
}

impl StreamError {
    /// What the other end said.
    pub(crate) fn cancelled(reason: CancelReason, why: &str) -> Self {
        match reason {
            CancelReason::Application => Self::Cancelled {
                why: why.to_owned(),
            },
            CancelReason::Dropped => Self::Cancelled {
                why: refusal(reason).to_owned(),
            },
            reason => Self::Refused { reason },
        }
    }
}

impl From<StreamError> for io::Error {
    fn from(error: StreamError) -> Self {
        let kind = match &error {
            StreamError::Send(SendError::Unreachable) => io::ErrorKind::NotConnected,
            StreamError::Cancelled { .. } | StreamError::LaneEnded { .. } => {
                io::ErrorKind::ConnectionReset
            }
            StreamError::Refused { .. } => io::ErrorKind::ConnectionRefused,
            StreamError::ChecksumMismatch => io::ErrorKind::InvalidData,
            StreamError::Over => io::ErrorKind::BrokenPipe,
            _ => io::ErrorKind::Other,
        };
        Self::new(kind, error)
    }
}
