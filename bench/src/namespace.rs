//! Network namespaces without names: hosts of a run's own on one machine.
//!
//! They are held by descriptors of this process and by the processes that run inside them, so the kernel removes
//! them, and the wires between them, with the last of these, whatever happens to the run. Used by `link` and
//! `cluster`; processes are started in them on the main thread.

use std::fs::File;
use std::os::fd::AsRawFd;
use std::process::Command;

use nix::sched::{CloneFlags, setns, unshare};

/// A namespace.
#[derive(Debug)]
pub(crate) struct Namespace(File);

impl Namespace {
    /// That of this thread.
    pub(crate) fn own() -> Result<Self, String> {
        let path = "/proc/thread-self/ns/net";
        let file = File::open(path).map_err(|error| format!("{path}: {error}"))?;
        Ok(Self(file))
    }

    /// Moves this thread into one that nobody had before.
    pub(crate) fn new() -> Result<Self, String> {
        unshare(CloneFlags::CLONE_NEWNET)
            .map_err(|errno| format!("making one: {}; run as root", errno.desc()))?;
        Self::own()
    }

    /// Moves this thread into it.
    pub(crate) fn enter(&self) -> Result<(), String> {
        setns(&self.0, CloneFlags::CLONE_NEWNET)
            .map_err(|errno| format!("entering one: {}", errno.desc()))
    }

    /// How other programs can name it while this process lives.
    pub(crate) fn path(&self) -> String {
        format!("/proc/{}/fd/{}", std::process::id(), self.0.as_raw_fd())
    }

    /// The same one.
    pub(crate) fn again(&self) -> Result<Self, String> {
        let file = self.0.try_clone().map_err(|error| error.to_string())?;
        Ok(Self(file))
    }
}

/// Runs a program in the namespace of this thread.
pub(crate) fn run(program: &str, arguments: &[&str]) -> Result<(), String> {
    let output = Command::new(program).args(arguments).output();
    let output = output.map_err(|error| format!("{program}: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(format!(
        "{program} {}: {}",
        arguments.join(" "),
        said.trim()
    ))
}
