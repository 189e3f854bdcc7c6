//! `overlane recording`: what the threads of a node did last, taken from one that runs, shown, and as a trace for Perfetto.

mod perfetto;
mod text;

use std::io::Read;
use std::path::{Path, PathBuf};

use clap::Subcommand;
use overlane::admin::{Answer, Request};
use overlane::{RECORDING_BYTES_MAX, Recording};

use crate::admin::{Target, unexpected};
use crate::ending::{Ending, Failure, print, told};
use crate::json;

/// Takes and shows recordings: what the threads of a node did in the last seconds, handlers that were slow and what waited behind them.
///
/// A node writes recordings by itself where its `recorder_dir` is set.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Takes a recording of a node that runs, and writes it to a file
    Dump {
        /// The file that is written
        file: PathBuf,
        #[command(flatten)]
        target: Target,
    },
    /// Shows a recording
    Show {
        /// The file
        file: PathBuf,
        /// Only what took that long or longer, in microseconds, and what has no length
        #[arg(long, value_name = "MICROSECONDS", default_value_t = 0)]
        longer_us: u32,
        /// Write it to that file as a trace, for ui.perfetto.dev
        #[arg(long, value_name = "FILE", conflicts_with = "json")]
        perfetto: Option<PathBuf>,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

pub(crate) fn run(arguments: &Arguments) -> Ending {
    let done = match &arguments.command {
        Command::Dump { file, target } => dump(file, target),
        Command::Show {
            file,
            longer_us,
            perfetto,
            json,
        } => show(file, *longer_us, perfetto.as_deref(), *json),
    };
    told("recording", done)
}

fn dump(file: &Path, target: &Target) -> Result<Ending, Failure> {
    let recording = match target.ask(&Request::Recording {})? {
        Answer::Recording(recording) => recording,
        other => return Err(unexpected(&other)),
    };
    write(file, &recording.encode())?;
    let entries: usize = recording.threads.iter().map(|it| it.entries.len()).sum();
    let object = serde_json::json!({"file": file, "entries": entries});
    target.print(&object, || {
        format!("{entries} entries written to {}\n", file.display())
    })
}

fn show(
    file: &Path,
    longer_us: u32,
    perfetto: Option<&Path>,
    as_json: bool,
) -> Result<Ending, Failure> {
    let recording = read(file)?;
    if let Some(to) = perfetto {
        write(to, &perfetto::trace(&recording))?;
        print(&format!("trace written to {}\n", to.display()))?;
    } else if as_json {
        print(&json::line(&recording))?;
    } else {
        print(&text::text(&recording, longer_us))?;
    }
    Ok(Ending::Done)
}

fn read(file: &Path) -> Result<Recording, Failure> {
    let wrong = |what: String| {
        let what = format!("{}: {what}", file.display());
        Failure::new(Ending::BadInput, what)
    };
    let opened = std::fs::File::open(file).map_err(|error| wrong(error.to_string()))?;
    let mut bytes = Vec::new();
    // One more than there may be: then it is known that there are more.
    let mut bounded = opened.take(RECORDING_BYTES_MAX as u64 + 1);
    bounded
        .read_to_end(&mut bytes)
        .map_err(|error| wrong(error.to_string()))?;
    Recording::decode(&bytes).map_err(|error| wrong(error.to_string()))
}

fn write(file: &Path, bytes: &[u8]) -> Result<(), Failure> {
    std::fs::write(file, bytes).map_err(|error| {
        let what = format!("{} cannot be written: {error}", file.display());
        Failure::new(Ending::NotWritten, what)
    })
}
