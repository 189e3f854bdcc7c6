//! Why bytes are no frame, and the reason that the lane they came on is closed with.

use super::kind::FrameKind;
use crate::wire::close::CloseReason;
use crate::wire::extension::ExtensionError;

/// A header that no well-behaved peer sends. The lane has to be closed: there is no way to find
/// the start of the next frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The body is larger than this lane accepts.
    #[error(
        "a frame of kind {kind:#04x} states {body_bytes} bytes and the limit is {limit_bytes}: \
         raise body_bytes_max of the channel on both nodes, or send smaller messages"
    )]
    TooLarge {
        /// The kind's byte in the header.
        kind: u8,
        /// The stated length of the body.
        body_bytes: u32,
        /// The largest length that would have been accepted.
        limit_bytes: u32,
    },
    /// The kind never has a body of this length.
    #[error("a {kind} frame states a body of {body_bytes} bytes but has {expected}")]
    BodyLength {
        /// What the frame is.
        kind: FrameKind,
        /// The stated length of the body.
        body_bytes: u32,
        /// The lengths that this kind can have, in words.
        expected: &'static str,
    },
    /// The kind is not known and not optional.
    #[error("frames of kind {kind:#04x} are not known here: run the same version on both nodes")]
    UnknownKind {
        /// The kind's byte in the header.
        kind: u8,
    },
    /// The frame is compressed, and the lane has no codec, or what the frame stands for is no frame of it.
    #[error(
        "a compressed frame where none can be: the lane's terms have no compression, or it is in another one"
    )]
    NotCompressed,
    /// The frame stands for more than its length allows.
    #[error(
        "a compressed frame of {compressed_bytes} bytes states that it stands for {batch_bytes}"
    )]
    Expansion {
        /// Its length.
        compressed_bytes: u32,
        /// What it says that it stands for.
        batch_bytes: u32,
    },
    /// The extension cannot be read.
    #[error(transparent)]
    Extension(#[from] ExtensionError),
}

impl DecodeError {
    /// The reason to close the lane with.
    #[must_use]
    pub const fn close_reason(&self) -> CloseReason {
        match self {
            Self::TooLarge { .. } => CloseReason::FrameTooLarge,
            Self::BodyLength { .. } => CloseReason::FrameMalformed,
            Self::UnknownKind { .. } => CloseReason::UnknownFrame,
            Self::NotCompressed | Self::Expansion { .. } => CloseReason::BadCompression,
            Self::Extension(error) => error.close_reason(),
        }
    }
}
