//! Being asked to end: Ctrl-C, SIGTERM and SIGHUP.
//!
//! Called by commands that run until then, before they start any other thread.

use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Instant;

use nix::sys::signal::{SigSet, Signal};

use crate::ending::{Ending, Failure};

/// One message when the process is asked to end. From then on the next signal ends it at once, as signals do.
///
/// Called before any other thread is started: they inherit that signals wait.
pub(crate) fn interruption() -> Result<Receiver<()>, Failure> {
    let (interrupt, interrupted) = channel();
    interrupts(interrupt, || ())?;
    Ok(interrupted)
}

/// The same into a channel that others send to as well.
pub(crate) fn interrupts<T: Send + 'static>(
    into: Sender<T>,
    what: impl FnOnce() -> T + Send + 'static,
) -> Result<(), Failure> {
    let mut what = Some(what);
    watch(move |_| {
        if let Some(what) = what.take() {
            // Nobody listens any more when the command has ended by itself.
            let _ = into.send(what());
        }
        Next::BySignal
    })
}

/// The same for a command that SIGHUP does not end: each of those is told by `hangup`, whatever else by `end`.
pub(crate) fn interrupts_and_hangups<T: Send + 'static>(
    into: Sender<T>,
    hangup: impl Fn() -> T + Send + 'static,
    end: impl Fn() -> T + Send + 'static,
) -> Result<(), Failure> {
    watch(move |signal| {
        let is_hangup = signal == Signal::SIGHUP;
        let _ = into.send(if is_hangup { hangup() } else { end() });
        if is_hangup {
            Next::Wait
        } else {
            Next::BySignal
        }
    })
}

/// What becomes of the next signal.
enum Next {
    /// It is told as well.
    Wait,
    /// It does what signals do.
    BySignal,
}

/// Tells each signal to `told`, as long as that wants the next.
fn watch(mut told: impl FnMut(Signal) -> Next + Send + 'static) -> Result<(), Failure> {
    let failed = |error: std::io::Error| {
        let what = format!("signals cannot be waited for: {error}");
        Failure::new(Ending::MachineLacks, what)
    };
    let signals: SigSet = [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP]
        .into_iter()
        .collect();
    signals
        .thread_block()
        .map_err(|errno| failed(errno.into()))?;
    let waiting = std::thread::Builder::new().name("interrupt".into());
    let started = waiting.spawn(move || {
        while let Ok(signal) = signals.wait() {
            if matches!(told(signal), Next::BySignal) {
                break;
            }
        }
        // This thread takes the next one, by its default action.
        let _ = signals.thread_unblock();
        std::thread::park();
    });
    started.map(drop).map_err(failed)
}

/// Says whether the time has come, and not an interruption before.
pub(crate) fn is_quiet_until(interrupted: &Receiver<()>, at: Instant) -> bool {
    let left = at.saturating_duration_since(Instant::now());
    interrupted.recv_timeout(left) == Err(RecvTimeoutError::Timeout)
}
