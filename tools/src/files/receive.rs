//! `overlane receive-file`: files that come from nodes that run `send-file`.
//!
//! What comes goes into a file beside the one it will be, which gets its name when all of it is there and its hash
//! is right: nobody ever sees half a file under its name.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::Instant;

use overlane::config::{Flags, Printable};
use overlane::{Node, StreamReader};

use super::{CHANNEL, Done, HASH_BYTES, Header, PIECE_BYTES, configuration, progress, stop};
use crate::ending::{Ending, Failure, complain, ended, print};

/// Receives files that nodes send with `overlane send-file`, one after the other.
///
/// A file that is there already is refused, unless --overwrite is given. Exits with 0 once --count files are there, with
/// 1 if one did not come whole, with 4 if one could not be written.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The directory that files go into
    #[arg(long, value_name = "DIRECTORY", default_value = ".")]
    into: PathBuf,
    /// Files to receive; 0 goes on until the end of the program
    #[arg(long, value_name = "FILES", default_value_t = 1)]
    count: u64,
    /// Replace files that are there already
    #[arg(long)]
    overwrite: bool,
    /// The channel they come on; made if the configuration has none of that name
    #[arg(long, value_name = "NAME", default_value = CHANNEL)]
    on: String,
    /// The mailbox to accept files at
    #[arg(long, value_name = "NAME", default_value = "files")]
    mailbox: String,
    /// Print each file as one JSON object, one a line
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    flags: Flags,
}

/// Receives them and prints what came.
pub(crate) fn run(arguments: Arguments) -> Ending {
    match receive(arguments) {
        Ok(ending) => ending,
        Err(failure) => {
            complain(format_args!("overlane receive-file: {}", failure.what));
            failure.ending
        }
    }
}

fn receive(arguments: Arguments) -> Result<Ending, Failure> {
    let into = &arguments.into;
    if !into.is_dir() {
        let what = format!("{} is no directory", Printable(&into.to_string_lossy()));
        return Err(Failure::new(Ending::BadInput, what));
    }
    let config = configuration(arguments.flags, &arguments.on, |_| {})?;
    let node = Node::start(config)?;
    let streams = node.streams(&arguments.mailbox);
    let mut streams = streams.map_err(|error| Failure::new(Ending::BadInput, error))?;
    // On standard error, for whoever has to know the port that was taken.
    complain(format_args!(
        "overlane receive-file: {} at {} waits for files",
        node.name(),
        node.local_addr()
    ));
    let mut ending = Ending::Done;
    let mut came = 0;
    while arguments.count == 0 || came < arguments.count {
        let Ok(reader) = streams.accept_blocking() else {
            break;
        };
        came += 1;
        let told = match take(reader, into, arguments.overwrite) {
            Ok(done) if arguments.json => print(&done.json()),
            Ok(done) => print(&done.sentence("received", "from")),
            Err(failure) => {
                complain(format_args!("overlane receive-file: {}", failure.what));
                ending = failure.ending;
                continue;
            }
        };
        if told.is_err() {
            ending = ended(told, ending);
            break;
        }
    }
    stop(node);
    Ok(ending)
}

/// A file that is being received; removed again unless it is kept.
struct Partial {
    path: PathBuf,
    kept: bool,
}

impl Drop for Partial {
    fn drop(&mut self) {
        if !self.kept {
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn take(mut reader: StreamReader, into: &Path, overwrite: bool) -> Result<Done, Failure> {
    let peer = reader.from().name().to_owned();
    let failed = |error: io::Error| {
        let what = format!(
            "a file from {} did not come whole: {error}",
            Printable(&peer)
        );
        Failure::new(Ending::CheckFailed, what)
    };
    let header = match Header::read(&mut reader) {
        Ok(header) => header,
        Err(error) => {
            reader.cancel(&error.to_string());
            return Err(failed(error));
        }
    };
    let began = Instant::now();
    let target = into.join(&header.name);
    let written = write(&mut reader, &header, &target, overwrite);
    let hash = match written {
        Ok(hash) => hash,
        Err(Trouble::Stream(error)) => return Err(failed(error)),
        Err(Trouble::There) => {
            let what = format!(
                "{} is there already: see --overwrite",
                Printable(&header.name)
            );
            reader.cancel(&what);
            return Err(Failure::new(Ending::CheckFailed, what));
        }
        Err(Trouble::Damaged) => {
            let what = format!(
                "{} came damaged: its hash is wrong",
                Printable(&header.name)
            );
            reader.cancel(&what);
            return Err(Failure::new(Ending::CheckFailed, what));
        }
        Err(Trouble::File(error)) => {
            let what = format!("{} cannot be written: {error}", Printable(&header.name));
            reader.cancel(&what);
            return Err(Failure::new(Ending::NotWritten, what));
        }
    };
    // The end, which tells the sender that the file is there.
    let end = reader.read(&mut [0]).map_err(failed)?;
    if end > 0 {
        reader.cancel("there is more than the file");
        return Err(failed(io::Error::other("there is more than the file")));
    }
    Ok(Done {
        file: header.name,
        peer,
        bytes: header.bytes,
        seconds: began.elapsed().as_secs_f64(),
        blake3: hash.to_string(),
    })
}

/// Why a file did not get its name.
enum Trouble {
    Stream(io::Error),
    File(io::Error),
    There,
    Damaged,
}

fn write(
    reader: &mut StreamReader,
    header: &Header,
    target: &Path,
    overwrite: bool,
) -> Result<blake3::Hash, Trouble> {
    if !overwrite && target.symlink_metadata().is_ok() {
        return Err(Trouble::There);
    }
    let name = format!(".{}.{:016x}.part", header.name, reader.id());
    let path = target.with_file_name(name);
    let mut file = File::create_new(&path).map_err(Trouble::File)?;
    let mut partial = Partial { path, kept: false };
    let bar = progress(&header.name, header.bytes);
    let mut hasher = blake3::Hasher::new();
    let mut piece = vec![0; PIECE_BYTES];
    let mut left = header.bytes;
    while left > 0 {
        let most = PIECE_BYTES.min(usize::try_from(left).unwrap_or(PIECE_BYTES));
        let bytes = reader.read(&mut piece[..most]).map_err(Trouble::Stream)?;
        if bytes == 0 {
            return Err(Trouble::Stream(io::ErrorKind::UnexpectedEof.into()));
        }
        hasher.update(&piece[..bytes]);
        file.write_all(&piece[..bytes]).map_err(Trouble::File)?;
        left -= bytes as u64;
        bar.set_position(header.bytes - left);
    }
    let mut stated = [0; HASH_BYTES];
    reader.read_exact(&mut stated).map_err(Trouble::Stream)?;
    let hash = hasher.finalize();
    if hash.as_bytes() != &stated {
        return Err(Trouble::Damaged);
    }
    file.sync_all().map_err(Trouble::File)?;
    bar.finish_and_clear();
    name_it(&mut partial, target, overwrite)?;
    Ok(hash)
}

/// Gives a whole file its name.
fn name_it(partial: &mut Partial, target: &Path, overwrite: bool) -> Result<(), Trouble> {
    if overwrite {
        fs::rename(&partial.path, target).map_err(Trouble::File)?;
        partial.kept = true;
        return Ok(());
    }
    // A link is made only where nothing is, whoever else makes a file of that name at the same time.
    match fs::hard_link(&partial.path, target) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Err(Trouble::There),
        Err(error) => Err(Trouble::File(error)),
    }
}
