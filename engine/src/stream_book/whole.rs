//! A message that comes as a stream, at the node that it is for: put together by the shard of its lane until it is
//! whole.
//!
//! Owned by its entry in the book of streams. Its memory is asked for when it is let in, after its length was held
//! against what the lane and its peer may have, and is touched as bytes come. It knows no lane and no mailbox's
//! receiver.

use bytes::Bytes;

use crate::delivery::stream::new_checksum;

/// See the module's text.
#[derive(Debug)]
pub(super) struct Whole {
    mailbox: Box<str>,
    bytes: usize,
    coming: Vec<u8>,
    checksum: crc_fast::Digest,
    /// All of it, until it is handed over.
    came: Option<Bytes>,
}

/// A message that has come.
#[derive(Clone, Debug)]
pub(crate) struct WholeMessage {
    pub(crate) mailbox: Box<str>,
    pub(crate) payload: Bytes,
}

impl Whole {
    /// One of so many bytes, of which none has come; `None` if there is no memory for it.
    pub(super) fn new(mailbox: &str, bytes: usize) -> Option<Self> {
        let mut coming = Vec::new();
        coming.try_reserve_exact(bytes).ok()?;
        Some(Self {
            mailbox: mailbox.into(),
            bytes,
            coming,
            checksum: new_checksum(),
            came: None,
        })
    }

    /// Its length.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// The next of its bytes, which are within its length.
    pub(super) fn put(&mut self, chunk: &[u8]) {
        self.checksum.update(chunk);
        self.coming.extend_from_slice(chunk);
    }

    /// What was put in so far, as a checksum.
    pub(super) fn checksum(&self) -> u64 {
        self.checksum.finalize()
    }

    /// All of it has come.
    pub(super) fn complete(&mut self) {
        self.came = Some(std::mem::take(&mut self.coming).into());
    }

    /// The message, once all of it has come.
    pub(super) fn message(&self) -> Option<WholeMessage> {
        let payload = self.came.clone()?;
        let mailbox = self.mailbox.clone();
        Some(WholeMessage { mailbox, payload })
    }

    /// It is not wanted any more.
    pub(super) fn forget(&mut self) {
        self.coming = Vec::new();
        self.came = None;
    }
}
