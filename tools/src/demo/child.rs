//! A node of the demo: a process that this one started, and ends by its id.

use std::cell::OnceCell;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{self, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use overlane::OverlayKind;
use overlane::config::Printable;
use serde_json::Value;

use super::Happened;
use crate::ending::{Ending, Failure};

/// How long a node may take to be up on a busy machine.
const UP_WITHIN: Duration = Duration::from_secs(30);

/// How long it may take to end; its own stop has less.
const END_WITHIN: Duration = Duration::from_secs(20);

/// A node that this process started. Dropping it kills it, if it has not ended.
#[derive(Debug)]
pub(super) struct Child {
    pub(super) name: String,
    pub(super) socket: PathBuf,
    process: process::Child,
    up: Receiver<SocketAddr>,
    /// Where it listens, once that is known.
    address: OnceCell<SocketAddr>,
}

/// Where a node is started.
#[derive(Debug)]
pub(super) struct Place<'a> {
    /// Of its socket, and its working directory.
    pub(super) folder: &'a Path,
    pub(super) overlay: OverlayKind,
    /// A member of the cluster, if there is one.
    pub(super) seed: Option<SocketAddr>,
}

impl Child {
    pub(super) fn start(
        name: &str,
        place: &Place<'_>,
        tell: Sender<Happened>,
    ) -> Result<Self, Failure> {
        let failed = |error: std::io::Error| {
            let what = format!("{name} cannot be started: {error}");
            Failure::new(Ending::MachineLacks, what)
        };
        let socket = place.folder.join(format!("{name}.sock"));
        let program = std::env::current_exe().map_err(failed)?;
        let mut command = Command::new(program);
        for (variable, _) in std::env::vars_os() {
            // What is meant for nodes of the user is not meant for these.
            if variable.to_string_lossy().starts_with("OVERLANE_") {
                command.env_remove(variable);
            }
        }
        // Nor is a configuration file in the directory that the demo is started in.
        command.current_dir(place.folder);
        command.args(["node", "--json", "--shards", "1", "--stop-s", "5"]);
        command.args(["--listen", "127.0.0.1:0", "--cluster"]);
        command.arg(format!("demo-{}", process::id()));
        command.args(["--overlay", place.overlay.name()]);
        if let Some(seed) = place.seed {
            command.args(["--join", &seed.to_string()]);
        }
        command.args(["--parent", &process::id().to_string()]);
        command.args(["--node-name", name, "--admin"]).arg(&socket);
        let mut process = command
            // Ctrl-C is for the demo, which ends them in order.
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(failed)?;
        let output = process.stdout.take();
        let (to, up) = channel();
        let of_node = name.to_owned();
        std::thread::spawn(move || {
            if let Some(output) = output {
                read(BufReader::new(output), &of_node, &to, &tell);
            }
            // Nobody listens when the demo itself ends.
            let _ = tell.send(Happened::Ended(of_node));
        });
        Ok(Self {
            name: name.to_owned(),
            socket,
            process,
            up,
            address: OnceCell::new(),
        })
    }

    pub(super) fn pid(&self) -> u32 {
        self.process.id()
    }

    /// Waits until it is up, and says where it listens.
    pub(super) fn wait_up(&self) -> Result<SocketAddr, Failure> {
        if let Some(address) = self.address.get() {
            return Ok(*address);
        }
        let address = self.up.recv_timeout(UP_WITHIN).map_err(|error| {
            let what = match error {
                RecvTimeoutError::Timeout => "was not up in time",
                RecvTimeoutError::Disconnected => "did not start: what it says is above",
            };
            Failure::new(Ending::MachineLacks, format_args!("{} {what}", self.name))
        })?;
        Ok(*self.address.get_or_init(|| address))
    }

    /// As Ctrl-C does.
    pub(super) fn ask_to_end(&self) {
        if let Ok(pid) = i32::try_from(self.process.id()) {
            // It may have ended already.
            let _ = kill(Pid::from_raw(pid), Signal::SIGTERM);
        }
    }

    /// Waits for its end. False if it had to be killed, or something was wrong.
    pub(super) fn end(&mut self) -> bool {
        let deadline = Instant::now() + END_WITHIN;
        while Instant::now() < deadline {
            if let Ok(Some(status)) = self.process.try_wait() {
                return status.success();
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        false
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        if matches!(self.process.try_wait(), Ok(Some(_))) {
            return;
        }
        // Both fail only where it has ended meanwhile.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The first line says where it listens; the others are passed on.
fn read(output: impl BufRead, node: &str, up: &Sender<SocketAddr>, tell: &Sender<Happened>) {
    for line in output.lines().map_while(Result::ok) {
        let said: Value = serde_json::from_str(&line).unwrap_or_default();
        let address = said["address"].as_str().and_then(|text| text.parse().ok());
        let told = match address {
            Some(address) => up.send(address).is_ok(),
            None => tell.send(Happened::Said(node.to_owned(), line)).is_ok(),
        };
        if !told {
            break;
        }
    }
}

/// A message that a node printed, for people; what else it says they have been told.
pub(super) fn shown(node: &str, line: &str) -> Option<String> {
    let said: Value = serde_json::from_str(line).ok()?;
    let message = said.get("message")?;
    let word = |key: &str| {
        let text = message[key].as_str()?;
        Some(Printable(text).to_string())
    };
    let text = word("text").unwrap_or_else(|| format!("({} bytes)", message["bytes"]));
    let (mailbox, from) = (word("mailbox")?, word("from")?);
    Some(format!("{node}: {mailbox} from {from}: {text}\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_shown_and_the_rest_is_not() {
        let line = r#"{"message":{"from":"a","mailbox":"inbox","bytes":3,"text":"h\u001bi"}}"#;
        assert_eq!(
            shown("b", line).as_deref(),
            Some("b: inbox from a: h\\u{1b}i\n")
        );
        let line = r#"{"message":{"from":"a","mailbox":"inbox","bytes":3,"text":null}}"#;
        assert_eq!(
            shown("b", line).as_deref(),
            Some("b: inbox from a: (3 bytes)\n")
        );
        assert_eq!(shown("b", r#"{"joined":true}"#), None);
        assert_eq!(shown("b", "garbage"), None);
    }
}
