//! The reading end of a stream: what may come, what the writer is granted next, and whether all of it came.

use super::{Stated, Violation};

/// What to tell the writer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grant {
    /// It may write up to here.
    pub granted: u64,
    /// So much has come.
    pub received: u64,
    /// So much was read.
    pub read: u64,
}

/// How a stream ended whose last byte was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Completion {
    /// All of it came, as it was sent.
    Whole,
    /// What came is not what was sent.
    Mismatch,
}

/// See the module's text.
#[derive(Clone, Debug)]
pub struct Receiving {
    window: u64,
    granted: u64,
    received: u64,
    read: u64,
    stated: Option<Stated>,
}

impl Receiving {
    /// Nothing has come yet; `window` bytes are granted, and again whenever half of them are read.
    #[must_use]
    pub const fn new(window: u64) -> Self {
        Self {
            window,
            granted: window,
            received: 0,
            read: 0,
            stated: None,
        }
    }

    /// What the writer is granted now.
    #[must_use]
    pub const fn grant(&self) -> Grant {
        Grant {
            granted: self.granted,
            received: self.received,
            read: self.read,
        }
    }

    /// A chunk of so many bytes came.
    ///
    /// # Errors
    /// [`Violation`] if it may not.
    pub const fn came(&mut self, bytes: u64) -> Result<(), Violation> {
        if self.stated.is_some() {
            return Err(Violation::AfterFinish);
        }
        if bytes == 0 {
            return Err(Violation::EmptyChunk);
        }
        let room = self.granted - self.received;
        if bytes > room {
            let bytes = bytes - room;
            return Err(Violation::BeyondWindow { bytes });
        }
        self.received += bytes;
        Ok(())
    }

    /// The writer says that this was all.
    ///
    /// # Errors
    /// [`Violation`] if it was not, or it said so before.
    pub const fn finish(&mut self, stated: Stated) -> Result<(), Violation> {
        if self.stated.is_some() {
            return Err(Violation::AfterFinish);
        }
        if stated.bytes != self.received {
            return Err(Violation::WrongLength {
                received: self.received,
                stated: stated.bytes,
            });
        }
        self.stated = Some(stated);
        Ok(())
    }

    /// The application has read so many bytes. Returns what to tell the writer, once it is worth a word.
    pub const fn read(&mut self, bytes: u64) -> Option<Grant> {
        debug_assert!(
            self.read + bytes <= self.received,
            "more was read than came"
        );
        self.read += bytes;
        let next = self.read + self.window;
        if self.stated.is_some() || next - self.granted < self.window.div_ceil(2) {
            return None;
        }
        self.granted = next;
        Some(self.grant())
    }

    /// Bytes that came so far.
    #[must_use]
    pub const fn bytes_received(&self) -> u64 {
        self.received
    }

    /// Bytes that the application has read.
    #[must_use]
    pub const fn bytes_read(&self) -> u64 {
        self.read
    }

    /// The length of the stream, once its end has come.
    #[must_use]
    pub const fn length(&self) -> Option<u64> {
        match self.stated {
            Some(Stated { bytes, .. }) => Some(bytes),
            None => None,
        }
    }

    /// How it ended, once all of it was read; `checksum` is that of what was read.
    #[must_use]
    pub fn completion(&self, checksum: u64) -> Option<Completion> {
        let stated = self.stated.filter(|stated| stated.bytes == self.read)?;
        Some(if stated.checksum == checksum {
            Completion::Whole
        } else {
            Completion::Mismatch
        })
    }
}
