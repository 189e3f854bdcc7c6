//! A wire between two network namespaces, limited by `tc tbf`.
//!
//! The namespaces have no names: they are held by descriptors of this process and by the processes that run
//! inside them, so the kernel removes them, and the wire, with the last of these, whatever happens to the run.

use std::fs::File;
use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::AsRawFd;
use std::process::Command;

use nix::sched::{CloneFlags, setns, unshare};
use overlane_proxy::Rate;

use crate::error::{BenchError, Outcome};

/// One end of the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    Near,
    Far,
}

impl End {
    /// Seen inside the namespaces only.
    fn address(self) -> Ipv4Addr {
        match self {
            Self::Near => Ipv4Addr::new(10, 231, 7, 1),
            Self::Far => Ipv4Addr::new(10, 231, 7, 2),
        }
    }
}

/// See the module's text.
#[derive(Debug)]
pub(super) struct Wire {
    home: File,
    near: File,
    far: File,
}

impl Wire {
    /// Makes it; on the main thread, which starts processes inside it.
    ///
    /// # Errors
    /// Why this process may not, or this machine cannot.
    pub(super) fn make(rate: Rate, queue_ms: u32) -> Result<Self, String> {
        let home = own_namespace()?;
        let made = Self::make_away(rate, queue_ms, &home);
        enter(&home)?;
        made
    }

    fn make_away(rate: Rate, queue_ms: u32, home: &File) -> Result<Self, String> {
        let [near, far] = [new_namespace()?, new_namespace()?];
        let home = home.try_clone().map_err(|error| error.to_string())?;
        let wire = Self { home, near, far };
        enter(&wire.near)?;
        let far = format!("/proc/{}/fd/{}", std::process::id(), wire.far.as_raw_fd());
        run(
            "ip",
            &[
                "link", "add", "wire", "type", "veth", "peer", "name", "wire", "netns", &far,
            ],
        )?;
        for end in [End::Near, End::Far] {
            enter(wire.namespace(end))?;
            let address = format!("{}/24", end.address());
            run("ip", &["address", "add", &address, "dev", "wire"])?;
            for device in ["lo", "wire"] {
                run("ip", &["link", "set", device, "up"])?;
            }
            let (rate, queue) = (format!("{}bit", rate.bits_per_s()), format!("{queue_ms}ms"));
            run(
                "tc",
                &[
                    "qdisc", "add", "dev", "wire", "root", "tbf", "rate", &rate, "burst", "32kb",
                    "latency", &queue,
                ],
            )?;
        }
        Ok(wire)
    }

    fn namespace(&self, end: End) -> &File {
        match end {
            End::Near => &self.near,
            End::Far => &self.far,
        }
    }

    /// Does `work` at one end: processes that it starts stay there. It gets the address of that end.
    pub(super) fn inside<T>(&self, end: End, work: impl FnOnce(IpAddr) -> T) -> Outcome<T> {
        let failed = |why: String| BenchError::Machine(format!("a network namespace: {why}"));
        enter(self.namespace(end)).map_err(failed)?;
        let done = work(IpAddr::V4(end.address()));
        enter(&self.home).map_err(failed)?;
        Ok(done)
    }
}

fn own_namespace() -> Result<File, String> {
    let path = "/proc/thread-self/ns/net";
    File::open(path).map_err(|error| format!("{path}: {error}"))
}

/// Moves this thread into a namespace that nobody had before.
fn new_namespace() -> Result<File, String> {
    unshare(CloneFlags::CLONE_NEWNET)
        .map_err(|errno| format!("making one: {}; run as root", errno.desc()))?;
    own_namespace()
}

fn enter(namespace: &File) -> Result<(), String> {
    setns(namespace, CloneFlags::CLONE_NEWNET)
        .map_err(|errno| format!("entering one: {}", errno.desc()))
}

fn run(program: &str, arguments: &[&str]) -> Result<(), String> {
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
