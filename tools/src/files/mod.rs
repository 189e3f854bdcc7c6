//! What `send-file` and `receive-file` share: the node that they start, and what a file looks like on a stream.
//!
//! A stream carries one line of JSON (name and length), the bytes of the file, and their BLAKE3 hash. Which of the
//! files is read or written is `send`'s and `receive`'s matter.

pub(crate) mod receive;
pub(crate) mod send;

use std::fmt;
use std::io::{self, Read};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use overlane::config::{Config, Flags, Printable, Sources};
use overlane::{Node, StreamError};
use serde::{Deserialize, Serialize};

use crate::ending::{Ending, Failure};

/// The channel that files go on, unless another is named: it is added where the configuration has none of that
/// name.
const CHANNEL: &str = "files";

/// What that channel is: bulk that goes on over lost connections.
const CHANNEL_PARAMETERS: &str = "priority=low,reliability=guaranteed,overflow=block";

/// The longest first line.
const HEADER_BYTES_MAX: usize = 4096;

/// Bytes of the hash behind the file.
const HASH_BYTES: usize = blake3::OUT_LEN;

/// Bytes read from or written to a file at a time.
const PIECE_BYTES: usize = 256 << 10;

/// Time to part from the other node in.
const PARTING: Duration = Duration::from_secs(10);

impl From<StreamError> for Failure {
    fn from(error: StreamError) -> Self {
        Self::new(Ending::CheckFailed, error)
    }
}

/// The first line of a stream.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Header {
    name: String,
    bytes: u64,
}

impl Header {
    fn line(&self) -> String {
        let text = serde_json::to_string(self).unwrap_or_default();
        format!("{text}\n")
    }

    /// Reads the first line, and no more.
    fn read(stream: &mut impl Read) -> io::Result<Self> {
        let mut line = Vec::new();
        let mut byte = [0];
        loop {
            stream.read_exact(&mut byte)?;
            if byte == *b"\n" {
                break;
            }
            line.push(byte[0]);
            if line.len() > HEADER_BYTES_MAX {
                return Err(malformed("its first line is too long"));
            }
        }
        let header: Self = serde_json::from_slice(&line).map_err(malformed)?;
        if !is_file_name(&header.name) {
            return Err(malformed(
                "its name is none that a file in a directory can have",
            ));
        }
        Ok(header)
    }
}

fn malformed(why: impl fmt::Display) -> io::Error {
    let what = format!("the other side does not send a file as this version does: {why}");
    io::Error::new(io::ErrorKind::InvalidData, what)
}

/// Whether a name from another node is that of a file in the directory it is put into, and nothing else.
fn is_file_name(name: &str) -> bool {
    let is_special = name.is_empty() || name == "." || name == "..";
    let has_path = name.contains(['/', '\\', '\0']);
    !is_special && !has_path && name.len() <= 200 && !name.contains(char::is_control)
}

/// The configuration of a node that carries files on `channel`; `own` are its defaults, under all that was given.
fn configuration(
    flags: Flags,
    channel: &str,
    own: impl FnOnce(&mut Config),
) -> Result<Config, Failure> {
    let bad = |error| Failure::new(Ending::BadInput, format_args!("{error}"));
    let mut sources = Sources::of_process(flags);
    let mut config = sources.load().map_err(bad)?;
    if config.channels.iter().all(|known| known.name != channel) {
        let added = format!("{channel}:{CHANNEL_PARAMETERS}");
        sources.flags.channels.insert(0, added);
        config = sources.load().map_err(bad)?;
    }
    own(&mut config);
    Ok(config)
}

fn stop(node: Node) {
    drop(node.stop(PARTING));
}

/// A progress line on standard error; nothing where that is no terminal.
fn progress(name: &str, bytes: u64) -> ProgressBar {
    let bar = ProgressBar::new(bytes);
    let template = "{prefix}  {bar:30} {bytes}/{total_bytes}  {binary_bytes_per_sec}  {eta}";
    let style = ProgressStyle::with_template(template).expect("the template is a constant");
    bar.set_style(style);
    bar.set_prefix(Printable(name).to_string());
    bar
}

/// What was sent or received, as it is told.
#[derive(Debug, Serialize)]
struct Done {
    file: String,
    peer: String,
    bytes: u64,
    seconds: f64,
    blake3: String,
}

impl Done {
    fn json(&self) -> String {
        let text = serde_json::to_string(self).unwrap_or_default();
        format!("{text}\n")
    }

    fn sentence(&self, verb: &str, from_or_to: &str) -> String {
        #[expect(clippy::cast_precision_loss, reason = "a rate to be read")]
        let rate = self.bytes as f64 / self.seconds.max(1e-9) / f64::from(1 << 20);
        format!(
            "{verb} {} {from_or_to} {}: {} bytes in {:.3} s, {rate:.1} MiB/s, blake3 {}\n",
            Printable(&self.file),
            Printable(&self.peer),
            self.bytes,
            self.seconds,
            self.blake3
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_goes_there_and_back_and_leaves_the_file_alone() {
        let header = Header {
            name: "a \"b\".txt".to_owned(),
            bytes: 5,
        };
        let stream = header.line() + "hello";
        let mut stream = stream.as_bytes();
        assert_eq!(Header::read(&mut stream).expect("it can be read"), header);
        assert_eq!(stream, b"hello");
    }

    #[test]
    fn names_that_lead_elsewhere_are_refused() {
        for name in [
            "",
            ".",
            "..",
            "a/b",
            "/etc/passwd",
            "a\\b",
            "a\u{1b}[2J",
            "a\nb",
        ] {
            let header = Header {
                name: name.to_owned(),
                bytes: 0,
            };
            assert!(
                Header::read(&mut header.line().as_bytes()).is_err(),
                "{name:?}"
            );
        }
        let endless = [b'x'; 2 * HEADER_BYTES_MAX];
        assert!(Header::read(&mut &endless[..]).is_err());
    }
}
