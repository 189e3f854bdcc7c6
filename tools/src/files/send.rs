//! `overlane send-file`: one file to a node that runs `receive-file`.

use std::fs::File;
use std::io::{Read, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use overlane::config::{Config, Flags, Printable};
use overlane::{Node, StreamWriter};

use super::{CHANNEL, Done, Header, PIECE_BYTES, configuration, is_file_name, progress, stop};
use crate::ending::{Ending, Failure, complain, ended, print};

/// Sends a file to a node that runs `overlane receive-file`, and waits until it is there, whole.
///
/// The transfer goes on over lost connections. Exits with 0 if the other side has the file, with 1 if it was refused,
/// broke off or came damaged, with 2 if the file cannot be read or the command line is wrong.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The file to send
    file: PathBuf,
    /// Who receives it, and where: NAME=ADDRESS
    #[arg(long, value_name = "NAME=ADDRESS", value_parser = receiver)]
    to: (String, SocketAddr),
    /// The name it gets there, without a directory [default: its own]
    #[arg(long = "as", value_name = "NAME")]
    name: Option<String>,
    /// The channel it goes on; made if the configuration has none of that name
    #[arg(long, value_name = "NAME", default_value = CHANNEL)]
    on: String,
    /// The mailbox that the receiver accepts files at
    #[arg(long, value_name = "NAME", default_value = "files")]
    mailbox: String,
    /// How long to wait for the receiver to be there, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 30)]
    wait_s: u64,
    /// Print the result as one JSON object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    flags: Flags,
}

fn receiver(text: &str) -> Result<(String, SocketAddr), String> {
    let right = || "NAME=ADDRESS, such as b=127.0.0.1:7400".to_owned();
    let (name, address) = text.split_once('=').ok_or_else(right)?;
    let address = address.parse().map_err(|_| right())?;
    Ok((name.to_owned(), address))
}

/// Sends it and prints what came of that.
pub(crate) fn run(arguments: Arguments) -> Ending {
    let json = arguments.json;
    match send(arguments) {
        Ok(done) if json => ended(print(&done.json()), Ending::Done),
        Ok(done) => ended(print(&done.sentence("sent", "to")), Ending::Done),
        Err(failure) => {
            complain(format_args!("overlane send-file: {}", failure.what));
            failure.ending
        }
    }
}

fn send(arguments: Arguments) -> Result<Done, Failure> {
    let (file, header) = opened(&arguments.file, arguments.name)?;
    let (peer, address) = arguments.to;
    let config = configuration(arguments.flags, &arguments.on, of_sender)?;
    let node = Node::start(config)?;
    let done = {
        let there = Duration::from_secs(arguments.wait_s);
        let bad = |error| Failure::new(Ending::BadInput, format_args!("{error}"));
        node.connect(&peer, address).map_err(bad)?;
        node.wait_connected(&peer, there)
            .map_err(|error| Failure::new(Ending::CheckFailed, error))?;
        let channel = node.channel(&arguments.on).map_err(bad)?;
        let to = node.destination(&peer, &arguments.mailbox).map_err(bad)?;
        let writer = channel.open_stream(&to)?;
        copy(file, &header, &peer, writer)
    };
    stop(node);
    done
}

/// A node for one file needs no name and no port that anybody knows.
fn of_sender(config: &mut Config) {
    let usual = Config::default();
    if config.node_name == usual.node_name {
        config.node_name = format!("send-file-{}", std::process::id());
    }
    if config.listen == usual.listen {
        config.listen.set_port(0);
    }
}

fn opened(path: &Path, name: Option<String>) -> Result<(File, Header), Failure> {
    let shown = path.to_string_lossy();
    let unreadable = |error| {
        let what = format!("{} cannot be read: {error}", Printable(&shown));
        Failure::new(Ending::BadInput, what)
    };
    let file = File::open(path).map_err(unreadable)?;
    let about = file.metadata().map_err(unreadable)?;
    if !about.is_file() {
        let what = format!("{} is no file", Printable(&shown));
        return Err(Failure::new(Ending::BadInput, what));
    }
    let own = path.file_name().unwrap_or_default().to_string_lossy();
    let name = name.unwrap_or_else(|| own.into_owned());
    if !is_file_name(&name) {
        let what = format!(
            "`{}` cannot be the name of the file there: give it one without directories with --as",
            Printable(&name)
        );
        return Err(Failure::new(Ending::BadInput, what));
    }
    let bytes = about.len();
    Ok((file, Header { name, bytes }))
}

fn copy(
    mut file: File,
    header: &Header,
    peer: &str,
    mut writer: StreamWriter,
) -> Result<Done, Failure> {
    let began = Instant::now();
    let failed = |error: std::io::Error| Failure::new(Ending::CheckFailed, error);
    let changed = || Failure::new(Ending::CheckFailed, "the file changed while it was sent");
    let bar = progress(&header.name, header.bytes);
    let mut hasher = blake3::Hasher::new();
    let mut piece = vec![0; PIECE_BYTES];
    let mut left = header.bytes;
    writer.write_all(header.line().as_bytes()).map_err(failed)?;
    while left > 0 {
        let most = PIECE_BYTES.min(usize::try_from(left).unwrap_or(PIECE_BYTES));
        let bytes = match file.read(&mut piece[..most]) {
            Ok(bytes) if bytes > 0 => bytes,
            Ok(_) => {
                writer.cancel("the file changed while it was sent");
                return Err(changed());
            }
            Err(error) => {
                writer.cancel("the file cannot be read");
                return Err(Failure::new(Ending::BadInput, error));
            }
        };
        hasher.update(&piece[..bytes]);
        writer.write_all(&piece[..bytes]).map_err(failed)?;
        left -= bytes as u64;
        bar.set_position(writer.progress().read);
    }
    let hash = hasher.finalize();
    writer.write_all(hash.as_bytes()).map_err(failed)?;
    writer.finish_blocking()?;
    bar.finish_and_clear();
    Ok(Done {
        file: header.name.clone(),
        peer: peer.to_owned(),
        bytes: header.bytes,
        seconds: began.elapsed().as_secs_f64(),
        blake3: hash.to_string(),
    })
}
