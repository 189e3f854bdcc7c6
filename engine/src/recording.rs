//! A recording: what the threads of a node did in the last seconds before it was taken, and the file that holds one.
//!
//! Taken by `Node::recording` and by the node itself (`recorder`), read by `overlane recording`. Plain values. The file is a mark, the
//! number of its format, and the rest in postcard; a file that is larger than a recording can be is not read.

use serde::{Deserialize, Serialize};

use crate::config::debug_as_message;

/// The most bytes of a file with a recording.
pub const RECORDING_BYTES_MAX: usize = 16 << 20;

/// The most entries that a recording has of all threads together: the newest. 50 bytes for each fit into a file.
pub const RECORDING_ENTRIES_MAX: usize = 200_000;

/// How a file begins.
const MARK: [u8; 8] = *b"ovl-rec\n";

/// The format that is written, and the only one that is read.
const FORMAT: u16 = 1;

/// What the threads of a node did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recording {
    /// The node.
    pub node: String,
    /// Its cluster.
    pub cluster: String,
    /// The number of this start of it.
    pub incarnation: u64,
    /// Version of the engine.
    pub overlane: String,
    /// Its process.
    pub pid: u32,
    /// Why it was taken.
    pub cause: String,
    /// When it was taken, in microseconds since 1970.
    pub taken_us: u64,
    /// Each data shard, then the control shard.
    pub threads: Vec<RecordedThread>,
}

/// What one thread did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordedThread {
    /// `shard N` or `control`.
    pub thread: String,
    /// Entries that were overwritten by newer ones since the node started.
    pub overwritten: u64,
    /// By when they began.
    pub entries: Vec<RecordedEntry>,
}

/// Something that a thread did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordedEntry {
    /// When it began, in microseconds since 1970.
    pub at_us: u64,
    /// What it was.
    pub what: Recorded,
}

/// What a thread did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Recorded {
    /// Short turns with work in them, one after the other, of about a millisecond.
    Turns {
        /// From the first to the last.
        took_us: u32,
        /// How many.
        turns: u32,
        /// How long they took together.
        busy_us: u32,
        /// The longest.
        longest_us: u32,
    },
    /// A turn of a millisecond or more; with it, tasks that ran behind it.
    LongTurn {
        /// How long it took.
        took_us: u32,
        /// Tasks of the application ran behind it.
        with_tasks: bool,
    },
    /// A handler held its shard for longer than it should.
    SlowHandler {
        /// For how long.
        took_us: u32,
        /// The mailbox whose handler it is.
        mailbox: String,
        /// Who sent the messages.
        from: String,
        /// On which channel.
        channel: String,
        /// How many it was given meanwhile, one after the other.
        messages: u32,
    },
    /// Messages that were handed over after a slow handler, and had waited behind it.
    Behind {
        /// The mailbox that they were for.
        mailbox: String,
        /// Who sent them.
        from: String,
        /// On which channel.
        channel: String,
        /// How many.
        messages: u32,
    },
    /// Messages of this node that waited to be sent behind a slow handler.
    UnsentBehind {
        /// Their channel.
        channel: String,
        /// Their bytes, as their ring counts them.
        bytes: u64,
    },
    /// A handler panicked.
    HandlerPanic {
        /// Its mailbox.
        mailbox: String,
    },
    /// A task of the application panicked.
    TaskPanic {},
    /// An event of the node: of a lane, a member, the overlay.
    Event {
        /// Which kind of event, as `overlane events` names it.
        event: String,
        /// What it says, as JSON; cut off after 4 KiB.
        said: String,
    },
}

impl Recorded {
    /// How long it took; none for what has no length.
    #[must_use]
    pub const fn took_us(&self) -> Option<u32> {
        match self {
            Self::Turns { took_us, .. }
            | Self::LongTurn { took_us, .. }
            | Self::SlowHandler { took_us, .. } => Some(*took_us),
            _ => None,
        }
    }
}

debug_as_message!(RecordingError);

/// Why bytes are no recording.
#[derive(Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RecordingError {
    /// There are more than a recording can have.
    #[error("{bytes} bytes are no recording: one has {RECORDING_BYTES_MAX} at most")]
    TooLarge {
        /// How many.
        bytes: usize,
    },
    /// They do not begin as one.
    #[error("the file is no recording of overlane: `overlane recording dump` makes one")]
    NoRecording,
    /// It is of another format.
    #[error(
        "the recording is of format {found}, and this version reads {FORMAT}: read it with the version of overlane that wrote it"
    )]
    OtherFormat {
        /// Which.
        found: u16,
    },
    /// It was cut off or altered.
    #[error("the recording is damaged: {what}")]
    Damaged {
        /// Where reading it failed.
        what: String,
    },
}

impl Recording {
    /// As a file has it.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = MARK.to_vec();
        bytes.extend_from_slice(&FORMAT.to_le_bytes());
        // Plain values into memory: nothing of that can fail.
        postcard::to_extend(self, bytes).unwrap_or_default()
    }

    /// Leaves the newer half of each thread's entries: what has long names may not fit into a file otherwise.
    pub(crate) fn drop_older_half(&mut self) {
        for thread in &mut self.threads {
            let older = thread.entries.len().div_ceil(2);
            thread.entries.drain(..older);
            thread.overwritten += older as u64;
        }
    }

    /// Reads what a file has.
    ///
    /// # Errors
    /// [`RecordingError`], whatever the bytes are.
    pub fn decode(bytes: &[u8]) -> Result<Self, RecordingError> {
        if bytes.len() > RECORDING_BYTES_MAX {
            let bytes = bytes.len();
            return Err(RecordingError::TooLarge { bytes });
        }
        let rest = bytes.strip_prefix(&MARK);
        let rest = rest.ok_or(RecordingError::NoRecording)?;
        let damaged = |what: String| RecordingError::Damaged { what };
        let (format, rest) = rest
            .split_first_chunk()
            .ok_or_else(|| damaged("it ends in its head".to_owned()))?;
        let found = u16::from_le_bytes(*format);
        if found != FORMAT {
            return Err(RecordingError::OtherFormat { found });
        }
        let (recording, rest) =
            postcard::take_from_bytes(rest).map_err(|error| damaged(error.to_string()))?;
        if !rest.is_empty() {
            return Err(damaged(format!("{} bytes lie behind it", rest.len())));
        }
        Ok(recording)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recording() -> Recording {
        Recording {
            node: "a".to_owned(),
            cluster: "test".to_owned(),
            incarnation: 7,
            overlane: "0.1.0".to_owned(),
            pid: 1,
            cause: "asked for".to_owned(),
            taken_us: 1_000_000,
            threads: vec![RecordedThread {
                thread: "shard 0".to_owned(),
                overwritten: 0,
                entries: vec![RecordedEntry {
                    at_us: 999_000,
                    what: Recorded::HandlerPanic {
                        mailbox: "in".to_owned(),
                    },
                }],
            }],
        }
    }

    #[test]
    fn a_recording_goes_there_and_back() {
        let recording = recording();
        assert_eq!(Recording::decode(&recording.encode()), Ok(recording));
    }

    #[test]
    fn what_is_no_recording_is_refused_with_what_is_wrong() {
        let whole = recording().encode();
        for cut in 0..whole.len() {
            let error = Recording::decode(&whole[..cut]).expect_err("it is cut off");
            let said = if cut < MARK.len() {
                "no recording"
            } else {
                "damaged"
            };
            assert!(error.to_string().contains(said), "{cut}: {error}");
        }
        let mut longer = whole.clone();
        longer.push(0);
        let error = Recording::decode(&longer).expect_err("more lies behind it");
        assert!(error.to_string().contains("1 bytes lie behind"), "{error}");
        let mut other = whole;
        other[MARK.len()] = 9;
        let found = Recording::decode(&other);
        assert_eq!(found, Err(RecordingError::OtherFormat { found: 9 }));
        let error = Recording::decode(&vec![0; RECORDING_BYTES_MAX + 1]);
        assert!(matches!(error, Err(RecordingError::TooLarge { .. })));
    }

    #[test]
    fn the_newer_half_is_left_and_in_the_end_nothing() {
        let mut recording = recording();
        let entry = recording.threads[0].entries[0].clone();
        recording.threads[0].entries = (0..5)
            .map(|at_us| RecordedEntry {
                at_us,
                ..entry.clone()
            })
            .collect();
        recording.drop_older_half();
        let left = |recording: &Recording| {
            let thread = &recording.threads[0];
            let times = thread.entries.iter().map(|entry| entry.at_us);
            (times.collect::<Vec<_>>(), thread.overwritten)
        };
        assert_eq!(left(&recording), (vec![3, 4], 3));
        recording.drop_older_half();
        recording.drop_older_half();
        assert_eq!(left(&recording), (vec![], 5));
    }

    #[test]
    fn as_many_entries_as_may_be_fit_into_a_file() {
        let name = "n".repeat(12);
        let entry = RecordedEntry {
            at_us: 1_800_000_000_000_000,
            what: Recorded::SlowHandler {
                took_us: u32::MAX,
                mailbox: name.clone(),
                from: name.clone(),
                channel: name,
                messages: u32::MAX,
            },
        };
        let mut recording = recording();
        recording.threads[0].entries = vec![entry; RECORDING_ENTRIES_MAX];
        assert!(recording.encode().len() <= RECORDING_BYTES_MAX);
    }
}
