//! What a node tells the supervisor that started it, in systemd's protocol: that it is up, reloads, stops, and still goes on.
//!
//! Called by `overlane node`. Where NOTIFY_SOCKET is not set, nobody is told; a supervisor that cannot be told is no reason to end.

use std::time::Duration;

use overlane::Node;
use sd_notify::NotifyState;

use crate::ending::complain;

/// How often signals are looked for where nobody wants to hear that the node goes on: as good as never.
const NEVER: Duration = Duration::from_secs(86_400);

/// The supervisor of this process, if it has one.
#[derive(Debug)]
pub(crate) struct Supervisor {
    /// How often it wants to hear that the node goes on, halved.
    every: Option<Duration>,
}

impl Supervisor {
    /// As the environment tells it: WatchdogSec= of the unit becomes WATCHDOG_USEC.
    pub(crate) fn of_process() -> Self {
        let mut micros = 0;
        let is_watched = sd_notify::watchdog_enabled(false, &mut micros);
        Self {
            every: is_watched.then(|| Duration::from_micros(micros / 2)),
        }
    }

    /// When the next sign of life is due.
    pub(crate) fn patience(&self) -> Duration {
        self.every.unwrap_or(NEVER)
    }

    /// The node is up.
    pub(crate) fn ready(&self, node: &Node) {
        let status = format!("up at {}", node.local_addr());
        tell(&[NotifyState::Ready, NotifyState::Status(&status)]);
    }

    /// It reads its configuration again; [`ready`](Self::ready) ends that.
    pub(crate) fn reloading(&self) {
        match NotifyState::monotonic_usec_now() {
            Ok(now) => tell(&[NotifyState::Reloading, now]),
            Err(_) => tell(&[NotifyState::Reloading]),
        }
    }

    /// It stops.
    pub(crate) fn stopping(&self) {
        tell(&[NotifyState::Stopping]);
    }

    /// Gives a sign of life, if every shard gives one. A shard that hangs has the supervisor end the process.
    pub(crate) fn beat(&self, node: &Node) {
        let Some(every) = self.every else { return };
        match node.pulse(every / 2) {
            Ok(()) => tell(&[NotifyState::Watchdog]),
            Err(error) => complain(format_args!("overlane node: {error}")),
        }
    }
}

fn tell(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(false, state) {
        complain(format_args!(
            "overlane node: the socket of NOTIFY_SOCKET cannot be told: {error}"
        ));
    }
}
