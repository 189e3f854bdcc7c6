//! The two ends of a stream: how much may be sent, what has come, and when it is whole. State machines
//! without I/O.
//!
//! [`Sending`] belongs to the node that writes, [`Receiving`] to the one that reads; each is owned by its
//! entry in the book of streams, which hands in what the other end said and carries out what comes back. They know counts and a
//! checksum, no bytes, no lanes, no clock. The lane below loses nothing and keeps the order, or it ends, and with it
//! the stream; so whatever does not fit is the other end's doing.

mod receiving;
mod sending;

pub use receiving::{Completion, Grant, Receiving};
pub use sending::{Sending, Stated};

/// The largest window that a reader can have.
pub const WINDOW_BYTES_MAX: u64 = 1 << 30;

/// What the checksum of a stream is made with: CRC-64/NVME, which costs less than a tenth of a copy where
/// the processor multiplies without carry.
pub(crate) fn new_checksum() -> crc_fast::Digest {
    crc_fast::Digest::new(crc_fast::CrcAlgorithm::Crc64Nvme)
}

/// What no well-behaved end of a stream says: the lane that brought it has to be closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    /// Data without a byte.
    #[error("a chunk of a stream is empty")]
    EmptyChunk,
    /// More data than the reader has granted.
    #[error("a stream has {bytes} bytes more than its window")]
    BeyondWindow {
        /// How many.
        bytes: u64,
    },
    /// Data, or another end, behind the end.
    #[error("a stream goes on after its end")]
    AfterFinish,
    /// The stated length is not what came.
    #[error("a stream of {received} bytes ends with the statement that it has {stated}")]
    WrongLength {
        /// What came.
        received: u64,
        /// What the writer says.
        stated: u64,
    },
    /// A window that takes back what was granted, says that more came than was sent, or is larger than any.
    #[error("a window of a stream cannot be: granted {granted}, received {received}, read {read}")]
    BadWindow {
        /// What it grants.
        granted: u64,
        /// What it says has come.
        received: u64,
        /// What it says was read.
        read: u64,
    },
    /// A message comes as a stream that is longer than the terms of its lane allow, or empty.
    #[error("a message of {bytes} bytes comes as a stream, where 1 to {bytes_max} are allowed")]
    BadLength {
        /// What the writer says.
        bytes: u64,
        /// The largest that may come.
        bytes_max: u64,
    },
    /// A stream is opened whose id is that of an open one.
    #[error("a stream is opened that is open already")]
    OpenedTwice,
    /// The reader is done with what was not all sent.
    #[error("the reader of a stream is done before its end was sent")]
    DoneTooEarly,
}

#[cfg(test)]
mod tests;
