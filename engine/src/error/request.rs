//! How a request ended without a reply.

use super::send::SendError;
use crate::config::debug_as_message;

debug_as_message!(RequestError);

/// How a request ended without a reply.
#[derive(Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RequestError {
    /// It was not accepted.
    #[error(transparent)]
    Send(#[from] SendError),
    /// The node asked refused it: the request was not answered, and will not be.
    #[error("the request was refused: {why}")]
    Refused {
        /// What the node said, such as that it has no such mailbox.
        why: String,
    },
    /// No reply came by the deadline. The request may have been carried out.
    #[error("no reply came by the deadline; the request may have been carried out")]
    DeadlinePassed,
    /// The lane that the request went on ended before a reply came, or this node stopped. The request may
    /// have arrived.
    #[error(
        "the lane ended before a reply came: the peer is gone or was disconnected; the request may have been carried out"
    )]
    LaneEnded,
    /// It was accepted and did not reach the peer: it was surely not carried out, and can be sent again.
    #[error("the request was not delivered: {why}")]
    Undelivered {
        /// Why, in a sentence without a stop.
        why: &'static str,
    },
    /// There are too many open requests.
    #[error(
        "{requests_max} requests are open already: wait for replies, or ask with shorter deadlines"
    )]
    TooMany {
        /// The bound, of one node.
        requests_max: usize,
    },
}
