//! The file on its way: an application thread that reads and sends, another that receives and writes.
//!
//! This is how a program without shard tasks uses the engine: `send_blocking` and an `Inbox`. Each thread
//! keeps a `FileProgress` that the control thread reads.

use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use bytes::Bytes;
use overlane::{Channel, Destination, Inbox};

use super::file_message::{self, CHUNK_HEADER_BYTES, FileAssembly, FileStep};
use super::protocol::{FileProgress, Finished};
use crate::clock;
use crate::error::{BenchError, Outcome};

/// Mailbox of the file.
pub(crate) const FILE_MAILBOX: &str = "file";
/// The receiver looks this often whether the node still runs.
const RECEIVE_WITHIN: Duration = Duration::from_millis(500);

/// A transfer that runs on a thread of its own.
#[derive(Debug, Clone, Default)]
pub(crate) struct Transfer(Arc<Mutex<FileProgress>>);

impl Transfer {
    /// Begins to send `path` in chunks of `chunk_bytes`.
    pub(crate) fn send(
        path: PathBuf,
        hash: blake3::Hash,
        channel: Channel,
        to: Destination,
        chunk_bytes: usize,
    ) -> Outcome<Self> {
        let transfer = Self::default();
        transfer.run("file-sender", move |progress| {
            send_file(&path, &hash, &channel, &to, chunk_bytes, progress)
        })
    }

    /// Begins to receive a file into `path`.
    pub(crate) fn receive(path: PathBuf, inbox: Inbox) -> Outcome<Self> {
        let transfer = Self::default();
        transfer.run("file-receiver", move |progress| {
            receive_file(&path, inbox, progress)
        })
    }

    /// How far it is.
    pub(crate) fn progress(&self) -> FileProgress {
        self.state().clone()
    }

    fn run(
        self,
        name: &str,
        work: impl FnOnce(&Self) -> Outcome<Finished> + Send + 'static,
    ) -> Outcome<Self> {
        let own = self.clone();
        let thread = std::thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || {
                let outcome = work(&own);
                let mut state = own.state();
                match outcome {
                    Ok(finished) => state.finished = Some(finished),
                    Err(error) => state.fault = Some((error.exit(), error.to_string())),
                }
            });
        thread.map_err(BenchError::system("starting a thread"))?;
        Ok(self)
    }

    fn reach(&self, bytes: u64) {
        self.state().bytes = bytes;
    }

    fn state(&self) -> MutexGuard<'_, FileProgress> {
        self.0.lock().expect("no holder of the progress panics")
    }
}

fn send_file(
    path: &Path,
    hash: &blake3::Hash,
    channel: &Channel,
    to: &Destination,
    chunk_bytes: usize,
    progress: &Transfer,
) -> Outcome<Finished> {
    let mut failed = BenchError::file("read", path);
    let refused = |error: overlane::SendError| BenchError::Engine(error.to_string());
    let began_ns = clock::now_ns();
    let mut file = File::open(path).map_err(&mut failed)?;
    let bytes = file.metadata().map_err(&mut failed)?.len();
    channel
        .send_blocking(to, &file_message::start(bytes))
        .map_err(refused)?;
    let mut offset = 0;
    while offset < bytes {
        let left = usize::try_from(bytes - offset).unwrap_or(usize::MAX);
        let length = left.min(chunk_bytes);
        let mut message = Vec::with_capacity(CHUNK_HEADER_BYTES + length);
        message.extend_from_slice(&file_message::chunk_header(offset));
        let mut content = Read::take(&mut file, length as u64);
        let read = content.read_to_end(&mut message).map_err(&mut failed)?;
        if read < length {
            return Err(failed(std::io::ErrorKind::UnexpectedEof.into()));
        }
        channel
            .send_blocking(to, Bytes::from(message))
            .map_err(|unsent| refused(unsent.error))?;
        offset += length as u64;
        progress.reach(offset);
    }
    channel
        .send_blocking(to, &file_message::end(hash))
        .map_err(refused)?;
    Ok(Finished {
        began_ns,
        ended_ns: clock::now_ns(),
    })
}

fn receive_file(path: &Path, mut inbox: Inbox, progress: &Transfer) -> Outcome<Finished> {
    let mut failed = BenchError::file("write", path);
    let mut assembly = FileAssembly::default();
    let mut file = None;
    let (mut began_ns, mut bytes) = (0, 0);
    loop {
        let Ok(message) = inbox.recv_timeout(RECEIVE_WITHIN) else {
            continue;
        };
        let step = assembly.take(message.payload());
        match step.map_err(|fault| BenchError::CheckFailed(fault.to_string()))? {
            FileStep::Create => {
                began_ns = clock::now_ns();
                file = Some(File::create(path).map_err(&mut failed)?);
            }
            FileStep::Write(content) => {
                if let Some(file) = &mut file {
                    file.write_all(content).map_err(&mut failed)?;
                }
                bytes += content.len() as u64;
                progress.reach(bytes);
            }
            FileStep::Finished(_) => {
                return Ok(Finished {
                    began_ns,
                    ended_ns: clock::now_ns(),
                });
            }
        }
    }
}
