//! A node of the demo: a process that this one started, and ends by its id.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{self, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
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
}

impl Child {
    pub(super) fn start(
        name: &str,
        folder: &Path,
        tell: Sender<Happened>,
    ) -> Result<Self, Failure> {
        let failed = |error: std::io::Error| {
            let what = format!("{name} cannot be started: {error}");
            Failure::new(Ending::MachineLacks, what)
        };
        let socket = folder.join(format!("{name}.sock"));
        let program = std::env::current_exe().map_err(failed)?;
        let mut command = Command::new(program);
        for (variable, _) in std::env::vars_os() {
            // What is meant for nodes of the user is not meant for these.
            if variable.to_string_lossy().starts_with("OVERLANE_") {
                command.env_remove(variable);
            }
        }
        // Nor is a configuration file in the directory that the demo is started in.
        command.current_dir(folder);
        command.args(["node", "--json", "--shards", "1", "--stop-s", "5"]);
        command.args(["--listen", "127.0.0.1:0", "--cluster"]);
        command.arg(format!("demo-{}", process::id()));
        command.args(["--parent", &process::id().to_string()]);
        command.args(["--node-name", name, "--admin"]).arg(&socket);
        let mut process = command
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
        })
    }

    pub(super) fn pid(&self) -> u32 {
        self.process.id()
    }

    /// Waits until it is up, and says where it listens.
    pub(super) fn wait_up(&self) -> Result<SocketAddr, Failure> {
        self.up.recv_timeout(UP_WITHIN).map_err(|error| {
            let what = match error {
                RecvTimeoutError::Timeout => "was not up in time",
                RecvTimeoutError::Disconnected => "did not start: what it says is above",
            };
            Failure::new(Ending::MachineLacks, format_args!("{} {what}", self.name))
        })
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

/// A line of a node, for people.
pub(super) fn shown(node: &str, line: &str) -> String {
    let said: Value = serde_json::from_str(line).unwrap_or_default();
    let message = &said["message"];
    if message.is_null() {
        return format!("{node}: {}", Printable(line));
    }
    let word = |key: &str| {
        message[key]
            .as_str()
            .map(Printable)
            .map(|text| text.to_string())
    };
    let text = word("text").unwrap_or_else(|| format!("({} bytes)", message["bytes"]));
    format!(
        "{node}: {} from {}: {text}",
        word("mailbox").unwrap_or_default(),
        word("from").unwrap_or_default()
    )
}
