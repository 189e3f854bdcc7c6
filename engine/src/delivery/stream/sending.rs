//! The writing end of a stream: how much may be sent now, and how far the other end is.

use super::{Violation, WINDOW_BYTES_MAX};

/// What the writer states behind its last chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stated {
    /// How long the stream was.
    pub bytes: u64,
    /// The checksum of all of it.
    pub checksum: u64,
}

/// See the module's text.
#[derive(Clone, Debug, Default)]
pub struct Sending {
    sent: u64,
    granted: u64,
    received: u64,
    read: u64,
    stated: bool,
    done: bool,
}

impl Sending {
    /// How many bytes may be sent now.
    #[must_use]
    pub const fn room(&self) -> u64 {
        if self.stated {
            0
        } else {
            self.granted - self.sent
        }
    }

    /// A chunk of so many bytes was put on the lane; at most [`room`](Self::room).
    pub const fn sent(&mut self, bytes: u64) {
        debug_assert!(bytes <= self.room(), "more than the window was sent");
        self.sent += bytes;
    }

    /// The last chunk is on the lane: what to state behind it.
    pub const fn finish(&mut self, checksum: u64) -> Stated {
        self.stated = true;
        Stated {
            bytes: self.sent,
            checksum,
        }
    }

    /// The reader says how far it is.
    ///
    /// # Errors
    /// [`Violation::BadWindow`] if it cannot be.
    pub const fn window(
        &mut self,
        granted: u64,
        received: u64,
        read: u64,
    ) -> Result<(), Violation> {
        let goes_on = granted >= self.granted && received >= self.received && read >= self.read;
        let is_true = read <= received && received <= self.sent;
        let is_bounded = granted >= read && granted - read <= WINDOW_BYTES_MAX;
        if !(goes_on && is_true && is_bounded) {
            return Err(Violation::BadWindow {
                granted,
                received,
                read,
            });
        }
        self.granted = granted;
        self.received = received;
        self.read = read;
        Ok(())
    }

    /// The reader has read all of it, and found it right.
    ///
    /// # Errors
    /// [`Violation::DoneTooEarly`] if not all of it was sent.
    pub const fn done(&mut self) -> Result<(), Violation> {
        if !self.stated {
            return Err(Violation::DoneTooEarly);
        }
        self.received = self.sent;
        self.read = self.sent;
        self.done = true;
        Ok(())
    }

    /// Bytes put on the lane so far.
    #[must_use]
    pub const fn bytes_sent(&self) -> u64 {
        self.sent
    }

    /// Bytes that have come to the other end, as far as it has said.
    #[must_use]
    pub const fn bytes_received(&self) -> u64 {
        self.received
    }

    /// Bytes that the other end's application has read, as far as it has said.
    #[must_use]
    pub const fn bytes_read(&self) -> u64 {
        self.read
    }

    /// Whether the reader has read all of it, and found it right.
    #[must_use]
    pub const fn is_done(&self) -> bool {
        self.done
    }
}
