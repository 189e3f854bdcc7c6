//! Ctrl-C and its like: children ended, files of the run removed, and the exit code that shells expect.
//!
//! `main` installs it before any thread or child is started; child.rs and main_job/run_folder.rs
//! register what a run would leave behind. It never ends a process that this one did not start.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard};

use nix::errno::Errno;
use nix::sys::signal::{SigSet, Signal, kill};
use nix::sys::wait::waitpid;
use nix::unistd::Pid;

use crate::error::{BenchError, Outcome};

/// What an interrupted run would leave behind.
#[derive(Debug)]
pub(crate) struct Remains {
    children: Vec<Pid>,
    folders: Vec<PathBuf>,
}

static REMAINS: Mutex<Remains> = Mutex::new(Remains {
    children: Vec::new(),
    folders: Vec::new(),
});

/// Holds an interruption off while a child is started or a folder is made and registered.
pub(crate) fn remains() -> MutexGuard<'static, Remains> {
    REMAINS.lock().expect("no holder of the remains panics")
}

impl Remains {
    /// A child that has been started.
    pub(crate) fn add_child(&mut self, id: u32) {
        self.children.extend(pid(id));
    }

    /// A child that is about to be waited for: its id may be another process' afterwards.
    pub(crate) fn forget_child(&mut self, id: u32) {
        self.children.retain(|child| Some(*child) != pid(id));
    }

    /// A folder that is removed with all that is in it.
    pub(crate) fn add_folder(&mut self, path: &Path) {
        self.folders.push(path.to_owned());
    }

    /// A folder that the run has removed or wants to keep.
    pub(crate) fn forget_folder(&mut self, path: &Path) {
        self.folders.retain(|folder| folder != path);
    }

    /// Children are ended before the folders go, so that none writes into them afterwards.
    fn clear(&mut self) {
        for child in self.children.drain(..) {
            let ended = kill(child, Signal::SIGKILL).and_then(|()| waitpid(child, None));
            match ended {
                Ok(_) | Err(Errno::ESRCH | Errno::ECHILD) => {}
                Err(errno) => {
                    crate::shown::complain(format_args!("cannot end process {child}: {errno}"));
                }
            }
        }
        for folder in self.folders.drain(..) {
            if let Err(error) = std::fs::remove_dir_all(&folder) {
                crate::shown::complain(format_args!(
                    "cannot remove {}: {error}; remove it by hand",
                    folder.display()
                ));
            }
        }
    }
}

fn pid(id: u32) -> Option<Pid> {
    i32::try_from(id).ok().map(Pid::from_raw)
}

/// From now on an interruption clears what remains of the run and ends the process with 128 and the
/// signal's number. Must be called before other threads are started: they inherit that signals wait.
pub(crate) fn install() -> Outcome<()> {
    let signals = signals();
    signals
        .thread_block()
        .map_err(|errno| BenchError::system("blocking signals")(errno.into()))?;
    let waiting = std::thread::Builder::new().name("interrupt".into());
    let waiting = waiting.spawn(move || {
        if let Ok(signal) = signals.wait() {
            end(signal);
        }
    });
    waiting.map_err(BenchError::system("starting a thread"))?;
    Ok(())
}

#[expect(
    clippy::exit,
    reason = "the main thread waits for a child or a window to end"
)]
fn end(signal: Signal) {
    // Held until the end, so that nothing new is started.
    let mut remains = remains();
    remains.clear();
    crate::shown::complain(format_args!(
        "interrupted by {signal}; processes ended, files removed"
    ));
    std::process::exit(128 + signal as i32);
}

/// Children inherit that these wait: what a terminal sends to all of them is for the parent to act on.
fn signals() -> SigSet {
    [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP]
        .into_iter()
        .collect()
}
