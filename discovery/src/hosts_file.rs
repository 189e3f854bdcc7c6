//! A file with a host a line, read again when it has changed.
//!
//! The file is looked at rather than watched by the kernel: that also works where it is a link to a link, as
//! Kubernetes mounts a ConfigMap, and on file systems of a network.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use crate::found::{Failure, Found, Place};
use crate::{Stop, Strategy};

/// Largest file: a thousand hosts take 30 KiB.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// By what a file that has changed is told: device, number, bytes, and its time of change in seconds and nanoseconds.
type Stamp = (u64, u64, u64, i64, i64);

/// See the module's text.
#[derive(Debug)]
pub struct HostsFile {
    path: PathBuf,
    port: u16,
    /// What was read last, and from which file.
    read: Option<(Stamp, Found)>,
}

impl HostsFile {
    /// The hosts of that file; `port` is for those that name none.
    #[must_use]
    pub const fn new(path: PathBuf, port: u16) -> Self {
        Self {
            path,
            port,
            read: None,
        }
    }

    fn load(&mut self) -> Result<Found, Failure> {
        let failed = |error: io::Error| {
            Failure::new(format!(
                "the file {} cannot be read: {error}; make it a text file with a host a line",
                self.path.display()
            ))
        };
        let about = fs::metadata(&self.path).map_err(failed)?;
        let stamp = (
            about.dev(),
            about.ino(),
            about.len(),
            about.mtime(),
            about.mtime_nsec(),
        );
        if let Some((read, found)) = &self.read
            && *read == stamp
        {
            return Ok(found.clone());
        }
        let mut text = String::new();
        let file = File::open(&self.path).map_err(failed)?;
        file.take(FILE_BYTES_MAX + 1)
            .read_to_string(&mut text)
            .map_err(failed)?;
        let found = read_hosts(&text, self.port)
            .map_err(|wrong| Failure::new(format!("the file {}, {wrong}", self.path.display())))?;
        self.read = Some((stamp, found.clone()));
        Ok(found)
    }
}

impl Strategy for HostsFile {
    fn look(&mut self, _: &Stop) -> Result<Found, Failure> {
        self.load()
    }
}

/// The hosts of a text, one a line: `host`, `host:port`, or `'host'.` as in Erlang's `.hosts.erlang`. What follows a `#`
/// or a `%` is a remark.
///
/// # Errors
/// The line that is none of these.
pub fn read_hosts(text: &str, port: u16) -> Result<Found, String> {
    if text.len() as u64 > FILE_BYTES_MAX {
        return Err(format!(
            "which has more than {FILE_BYTES_MAX} bytes, is too large"
        ));
    }
    let mut found = Found::default();
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    for (number, line) in text.lines().enumerate() {
        let line = without_remark(line).trim();
        if line.is_empty() {
            continue;
        }
        let place = place(line, port).ok_or_else(|| {
            let shown: String = line.chars().take(64).collect();
            let number = number + 1;
            format!("line {number}: `{shown}` is no host; expected host, host:port or 'host'.")
        })?;
        found.add(place);
    }
    Ok(found)
}

/// What stands before a remark. A `%` within a word begins none: in an address it names an interface, and without that the address
/// would be another one.
fn without_remark(line: &str) -> &str {
    let mut before = ' ';
    let begins = |(_, character): &(usize, char)| {
        let is_percent = *character == '%' && (before.is_whitespace() || before == '.');
        let is_remark = *character == '#' || is_percent;
        before = *character;
        is_remark
    };
    let remark = line.char_indices().find(begins);
    remark.map_or(line, |(at, _)| &line[..at])
}

fn place(line: &str, port: u16) -> Option<Place> {
    if let Ok(address) = line.parse() {
        return Place::of_address(address);
    }
    if let Some(erlang) = line.strip_prefix('\'') {
        return Place::of_host(erlang.strip_suffix("'.")?, port);
    }
    match line.rsplit_once(':') {
        // An address of version 6 has colons of its own.
        Some((host, given)) if !host.contains(':') => Place::of_host(host, given.parse().ok()?),
        _ => Place::of_host(line, port),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(text: &str) -> Vec<String> {
        let found = read_hosts(text, 7400).unwrap();
        found.places().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn hosts_are_read_in_all_their_forms() {
        let text = "# the cluster\nb.example:7401\r\n\n 10.0.0.1 # first\nfd00::1\n[fd00::2]:9\n'c.example'.\nd\n";
        assert_eq!(
            texts(text),
            [
                "10.0.0.1:7400",
                "[fd00::1]:7400",
                "[fd00::2]:9",
                "b.example:7401",
                "c.example:7400",
                "d:7400"
            ]
        );
        assert_eq!(texts("\u{feff}a\r\n"), ["a:7400"]);
        assert!(texts("% nobody\n%% nor here").is_empty());
        assert_eq!(
            texts("'a'. % one\n'b'.% two\n[fe80::1%2]:9 % three"),
            ["[fe80::1%2]:9", "a:7400", "b:7400"]
        );
    }

    #[test]
    fn a_line_that_is_no_host_is_named() {
        for line in [
            "a b",
            "a:0",
            "a:x",
            "'a'",
            "0.0.0.0",
            "a:65536",
            "\u{1b}",
            // Where it is depends on the interface; which one is said by its number, as `[fe80::1%2]:7400`.
            "fe80::1",
            "fe80::1%eth0",
            "[fe80::1%eth0]:7400",
            "fd00::1%eth0",
        ] {
            let error = read_hosts(&format!("a\n{line}"), 1).unwrap_err();
            assert!(error.starts_with("line 2: "), "{line}: {error}");
        }
        assert!(read_hosts(&"a".repeat(2 << 20), 1).is_err());
    }

    #[test]
    fn the_file_is_read_again_when_it_has_changed() {
        let path = std::env::temp_dir().join(format!("overlane-hosts-{}", std::process::id()));
        let _ = fs::remove_file(&path);
        let stop = Stop::default();
        let mut strategy = HostsFile::new(path.clone(), 1);
        let error = strategy.look(&stop).unwrap_err().to_string();
        assert!(
            error.contains("cannot be read") && error.contains("a host a line"),
            "{error}"
        );
        for text in ["a", "a\nb", "c"] {
            fs::write(&path, text).unwrap();
            let found = strategy.look(&stop).unwrap();
            assert_eq!(found.places().len(), text.lines().count());
            assert_eq!(strategy.look(&stop).unwrap(), found);
        }
        fs::write(&path, "?").unwrap();
        assert!(strategy.look(&stop).is_err());
        let _ = fs::remove_file(&path);
    }
}
