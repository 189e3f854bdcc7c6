//! A recording of a node, put together and written: when somebody asks, and by itself when something is wrong.
//!
//! The thread for the latter is made where `recorder_dir` is set. It sleeps until a shard or the control shard wishes a recording,
//! writes one in ten seconds at most, and keeps as many files as `recorder_files_max` says.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crossbeam_channel::{Receiver, Sender, bounded, select_biased};

use super::Node;
use crate::admin::EventReport;
use crate::error::StartError;
use crate::events::Event;
use crate::fabric::Fabric;
use crate::recorder::track::{Entry, Handed, Track, What};
use crate::recorder::{Cause, Described};
use crate::recording::{
    RECORDING_BYTES_MAX, RECORDING_ENTRIES_MAX, Recorded, RecordedEntry, RecordedThread, Recording,
};

/// Between two files: what goes wrong a thousand times in a second is the same thing.
const PAUSE: Duration = Duration::from_secs(10);

/// How long what happens behind a cause is waited for, so that it is in the recording too: a turn or some.
const SETTLE: Duration = Duration::from_millis(20);

/// What is kept of an event: a partition of a thousand members names all of them.
const SAID_BYTES_MAX: usize = 4096;

/// The end of the names of files.
const SUFFIX: &str = ".recording";

impl Node {
    /// What the threads of the node did last, copied out; see `[recorder]` in `docs/tuning.md`. No shard is asked: it is there also when
    /// one hangs.
    #[must_use]
    pub fn recording(&self) -> Recording {
        take(&self.fabric, "asked for")
    }
}

/// An event as `overlane events` tells it.
pub(super) fn describe(event: &Event) -> Described {
    let report = EventReport::now(event);
    let mut said = serde_json::Value::Object(report.fields).to_string();
    said.truncate(said.floor_char_boundary(SAID_BYTES_MAX));
    Described {
        event: report.event,
        said,
    }
}

/// Puts a recording together.
fn take(fabric: &Fabric, cause: &str) -> Recording {
    let recorder = &fabric.recorder;
    let (now, since) = (
        Instant::now(),
        SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default(),
    );
    let taken_us = u64::try_from(since.as_micros()).unwrap_or(u64::MAX);
    let at_us = |at: Instant| {
        let ago = now.saturating_duration_since(at).as_micros();
        taken_us.saturating_sub(u64::try_from(ago).unwrap_or(u64::MAX))
    };
    // The control shard has its steps and the events.
    let each_max = RECORDING_ENTRIES_MAX / (recorder.shards().len() + 2);
    let of_track = |thread: String, track: &Track| {
        let (entries, overwritten) = track.newest(each_max);
        let entry = |entry: Entry| RecordedEntry {
            at_us: at_us(entry.at),
            what: recorded(&entry.what),
        };
        RecordedThread {
            thread,
            overwritten,
            entries: entries.into_iter().map(entry).collect(),
        }
    };
    let shards = recorder.shards().iter().enumerate();
    let shards = shards.map(|(index, track)| of_track(format!("shard {index}"), track));
    let mut threads: Vec<_> = shards.collect();
    let mut control = of_track("control".to_owned(), recorder.control());
    let (events, overwritten) = recorder.events();
    let left_out = events.len().saturating_sub(each_max);
    control.overwritten += overwritten + left_out as u64;
    for (at, event) in events.into_iter().skip(left_out) {
        let Described { event, said } = event;
        let what = Recorded::Event { event, said };
        let at_us = at_us(at);
        control.entries.push(RecordedEntry { at_us, what });
    }
    control.entries.sort_by_key(|entry| entry.at_us);
    threads.push(control);
    let mut recording = Recording {
        node: fabric.config.node_name.clone(),
        cluster: fabric.config.cluster.clone(),
        incarnation: fabric.incarnation,
        overlane: env!("CARGO_PKG_VERSION").to_owned(),
        pid: std::process::id(),
        cause: cause.to_owned(),
        taken_us,
        threads,
    };
    while recording.encode().len() > RECORDING_BYTES_MAX {
        recording.drop_older_half();
    }
    recording
}

fn recorded(what: &What) -> Recorded {
    match what {
        What::Turns {
            took_us,
            turns,
            busy_us,
            longest_us,
        } => Recorded::Turns {
            took_us: *took_us,
            turns: *turns,
            busy_us: *busy_us,
            longest_us: *longest_us,
        },
        What::LongTurn {
            took_us,
            with_tasks,
        } => Recorded::LongTurn {
            took_us: *took_us,
            with_tasks: *with_tasks,
        },
        What::SlowHandler { took_us, handed } => {
            let (mailbox, from, channel, messages) = names(handed);
            Recorded::SlowHandler {
                took_us: *took_us,
                mailbox,
                from,
                channel,
                messages,
            }
        }
        What::Behind(handed) => {
            let (mailbox, from, channel, messages) = names(handed);
            Recorded::Behind {
                mailbox,
                from,
                channel,
                messages,
            }
        }
        What::UnsentBehind { channel, bytes } => Recorded::UnsentBehind {
            channel: channel.to_string(),
            bytes: *bytes,
        },
        What::HandlerPanic(mailbox) => Recorded::HandlerPanic {
            mailbox: mailbox.to_string(),
        },
        What::TaskPanic => Recorded::TaskPanic {},
    }
}

fn names(handed: &Handed) -> (String, String, String, u32) {
    let Handed {
        mailbox,
        from,
        channel,
        messages,
    } = handed;
    let name = |name: &Arc<str>| name.to_string();
    (name(mailbox), name(from), name(channel), *messages)
}

/// The thread that writes recordings by itself.
#[derive(Debug)]
pub(super) struct RecordingThread {
    handle: JoinHandle<()>,
    end: Sender<()>,
}

impl RecordingThread {
    /// Starts it, if there is a folder for what it writes.
    pub(super) fn start(fabric: &Arc<Fabric>) -> Result<Option<Self>, StartError> {
        let config = &fabric.config.recorder;
        if config.dir.as_os_str().is_empty() || config.entries == 0 {
            return Ok(None);
        }
        let failed = |what: String, remedy: &str| StartError::Machine {
            what,
            remedy: remedy.to_owned(),
        };
        std::fs::create_dir_all(&config.dir).map_err(|error| {
            let what = format!("recorder_dir is {}: {error}", config.dir.display());
            failed(what, "make the folder, or name another")
        })?;
        let (end, ended) = bounded(0);
        let fabric = Arc::clone(fabric);
        let thread = std::thread::Builder::new().name("overlane-recorder".to_owned());
        let handle = thread
            .spawn(move || run(&fabric, &ended))
            .map_err(|error| {
                let what = format!("recordings are not written: no thread could be made ({error})");
                failed(what, "raise the limit of threads (ulimit -u)")
            })?;
        Ok(Some(Self { handle, end }))
    }

    /// Writes what is wished by now, and ends it.
    pub(super) fn end(self) {
        drop(self.end);
        // One that panicked has said so in the log.
        drop(self.handle.join());
    }
}

fn run(fabric: &Fabric, ended: &Receiver<()>) {
    let wishes = fabric.recorder.wishes();
    let mut last = None;
    let mut follow = |cause: Cause| {
        if last.is_none_or(|last: Instant| last.elapsed() >= PAUSE) {
            last = Some(Instant::now());
            std::thread::sleep(SETTLE);
            write(fabric, cause);
        }
    };
    loop {
        select_biased! {
            recv(wishes) -> cause => {
                let Ok(cause) = cause else { return };
                follow(cause);
            }
            recv(ended) -> _ => return,
        }
    }
}

fn write(fabric: &Fabric, cause: Cause) {
    let config = &fabric.config.recorder;
    let recording = take(fabric, cause.sentence());
    let name = format!(
        "{}-{}-{}{SUFFIX}",
        recording.node,
        recording.taken_us / 1000,
        cause.word()
    );
    let path = config.dir.join(name);
    let written = write_whole(&path, &recording.encode())
        .and_then(|()| keep_newest(&config.dir, &recording.node, config.files_max));
    match written {
        Ok(()) => {
            tracing::warn!(path = %path.display(), "a recording was written: {}", cause.sentence())
        }
        Err(error) => {
            tracing::error!(path = %path.display(), %error, "a recording could not be written")
        }
    }
}

/// Whoever sees the file under its name sees all of it.
fn write_whole(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let unfinished = path.with_extension("unfinished");
    std::fs::write(&unfinished, bytes)?;
    std::fs::rename(&unfinished, path)
}

/// Removes the oldest recordings of a node beyond `files_max`.
fn keep_newest(folder: &Path, node: &str, files_max: usize) -> io::Result<()> {
    let mut files: Vec<(u64, PathBuf)> = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let middle = name
            .strip_prefix(node)
            .and_then(|rest| rest.strip_prefix('-'));
        let middle = middle.and_then(|rest| rest.strip_suffix(SUFFIX));
        // Not those of a node whose name begins with this one's.
        let time = middle.and_then(|middle| middle.split_once('-'));
        let time = time.filter(|(_, cause)| Cause::ALL.iter().any(|known| known.word() == *cause));
        if let Some(Ok(time)) = time.map(|(time, _)| time.parse()) {
            files.push((time, path));
        }
    }
    files.sort_unstable();
    let surplus = files.len().saturating_sub(files_max);
    for (_, path) in &files[..surplus] {
        std::fs::remove_file(path)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_files_of_a_node_stay_and_nothing_else_goes() {
        let folder = std::env::temp_dir().join(format!("overlane-keep-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("it can be made");
        let names = [
            "a-5-lane.recording",
            "a-10-turn.recording",
            "a-20-panic.recording",
            "a-b-1-lane.recording",
            "a-2-1-lane.recording",
            "b-1-lane.recording",
            "a-notes.txt",
        ];
        for name in names {
            std::fs::write(folder.join(name), b"x").expect("it can be written");
        }
        keep_newest(&folder, "a", 2).expect("it can be read");
        let left: Vec<_> = names
            .into_iter()
            .filter(|name| folder.join(name).exists())
            .collect();
        std::fs::remove_dir_all(&folder).expect("it is there");
        assert_eq!(left, names[1..]);
    }
}
