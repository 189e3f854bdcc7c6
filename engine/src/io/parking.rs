//! Where a shard without work sleeps: a read of its eventfd through glommio.
//!
//! One eventfd is the doorbell of other threads and the completion signal of the data ring. glommio
//! waits for it together with its own timers and tasks, so these run as usual meanwhile.

use std::io;
use std::os::fd::{BorrowedFd, FromRawFd, IntoRawFd};
use std::time::Duration;

use glommio::io::BufferedFile;

/// Longest time that an executor sleeps beside tasks that are ready; see [`bound_sleep`].
const SLEEP_MAX: Duration = Duration::from_millis(10);

/// The eventfd as glommio reads it.
pub(crate) struct Parking {
    file: BufferedFile,
    sleep_bound: glommio::Task<()>,
}

impl Parking {
    /// Made on the shard's thread, inside its executor.
    pub(crate) fn new(eventfd: BorrowedFd<'_>) -> io::Result<Self> {
        let own = eventfd.try_clone_to_owned()?;
        // SAFETY: `own` is this function's own descriptor, given up to the file, which closes it.
        let file = unsafe { BufferedFile::from_raw_fd(own.into_raw_fd()) };
        Ok(Self {
            file,
            sleep_bound: bound_sleep(),
        })
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
        self.sleep_bound.cancel().await;
    }
}

/// Keeps a timer set on this executor, as long as the task that it returns is there.
///
/// glommio 0.9 can sleep although tasks are ready: if its thread loses its core for as long as the
/// preemption timer, just before it turns to its queues, it takes the fired timer for "nothing to
/// do". Nothing would ever wake it: a shard that does not know that it sleeps answers no doorbell.
/// With a timer set, it goes on when that fires.
fn bound_sleep() -> glommio::Task<()> {
    glommio::spawn_local(async {
        loop {
            glommio::timer::sleep(SLEEP_MAX).await;
        }
    })
}

impl std::fmt::Debug for Parking {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Parking")
    }
}
