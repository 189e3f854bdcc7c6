//! Where a shard without work sleeps: a read of its eventfd through glommio.
//!
//! One eventfd is the doorbell of other threads and the completion signal of the data ring. glommio
//! waits for it together with its own timers and tasks, so these run as usual meanwhile.

use std::io;
use std::os::fd::{BorrowedFd, FromRawFd, IntoRawFd};
use std::time::Duration;

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

/// Wakes the executor that it was started on a few times a second.
///
/// When glommio 0.9 has polled for I/O and its preemption timer has fired before it looks for the
/// first task to run, it takes the round for an idle one and sleeps, with tasks ready to run and,
/// on a shard that is awake, nobody to ring for them. A thread that is kept off its core at that
/// moment is enough. A pending timer ends such a sleep. There are two, out of step, because one of
/// them may itself be what the executor sleeps over.
#[derive(Debug)]
pub(crate) struct Heartbeat {
    beats: [glommio::Task<()>; 2],
}

/// The longest that a shard oversleeps, about. Waking up for nothing costs some 20 microseconds.
const BEAT_EVERY: Duration = Duration::from_millis(100);

impl Heartbeat {
    /// To be called on an executor.
    pub(crate) fn start() -> Self {
        let beat = |first: Duration| {
            glommio::spawn_local(async move {
                glommio::timer::sleep(first).await;
                loop {
                    glommio::timer::sleep(BEAT_EVERY).await;
                }
            })
        };
        Self {
            beats: [beat(Duration::ZERO), beat(BEAT_EVERY / 2)],
        }
    }

    /// Waits for its end: an executor does not free the tasks that it is dropped with.
    pub(crate) async fn stop(self) {
        for beat in self.beats {
            beat.cancel().await;
        }
    }
}
