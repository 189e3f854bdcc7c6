//! Where a shard without work sleeps: a read of its eventfd through glommio.
//!
//! One eventfd is the doorbell of other threads and the completion signal of the data ring. glommio
//! waits for it together with its own timers and tasks, so these run as usual meanwhile.

use std::io;
use std::os::fd::{BorrowedFd, FromRawFd, IntoRawFd};

use glommio::io::BufferedFile;

/// The eventfd as glommio reads it.
pub(crate) struct Parking {
    file: BufferedFile,
}

impl Parking {
    /// Made on the shard's thread, inside its executor.
    pub(crate) fn new(eventfd: BorrowedFd<'_>) -> io::Result<Self> {
        let own = eventfd.try_clone_to_owned()?;
        // SAFETY: `own` is this function's own descriptor, given up to the file, which closes it.
        let file = unsafe { BufferedFile::from_raw_fd(own.into_raw_fd()) };
        Ok(Self { file })
    }

    /// Sleeps until the eventfd is signalled, and clears it.
    pub(crate) async fn wait(&self) -> io::Result<()> {
        self.file
            .read_at(0, 8)
            .await
            .map(drop)
            .map_err(io::Error::from)
    }

    /// Closes the descriptor; a file that is only dropped is closed by glommio behind one's back,
    /// which logs a warning for each shard.
    pub(crate) async fn close(self) {
        drop(self.file.close().await);
    }
}

impl std::fmt::Debug for Parking {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Parking")
    }
}
