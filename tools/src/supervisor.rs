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
        let given = |name| std::env::var(name).ok();
        let (pid, micros) = (given("WATCHDOG_PID"), given("WATCHDOG_USEC"));
        Self {
            every: half_of_watchdog(pid.as_deref(), micros.as_deref(), std::process::id()),
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

/// Half of the time within which process `own` has to give a sign of life, as `WATCHDOG_PID` and `WATCHDOG_USEC` say. As with systemd's own
/// library, they are for whoever has them where no process is named.
fn half_of_watchdog(pid: Option<&str>, micros: Option<&str>, own: u32) -> Option<Duration> {
    let is_ours = pid.is_none_or(|pid| pid.parse() == Ok(own));
    let micros = micros?.parse::<u64>().ok()?;
    (is_ours && micros > 0).then(|| Duration::from_micros(micros / 2))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_watchdog_is_for_the_process_that_it_names_or_for_any() {
        let half = Some(Duration::from_secs(1));
        assert_eq!(half_of_watchdog(Some("7"), Some("2000000"), 7), half);
        assert_eq!(half_of_watchdog(None, Some("2000000"), 7), half);
        for (pid, micros) in [
            (Some("8"), Some("2000000")),
            (Some("x"), Some("2000000")),
            (None, Some("0")),
            (None, Some("-1")),
            (Some("7"), None),
        ] {
            assert_eq!(half_of_watchdog(pid, micros, 7), None, "{pid:?} {micros:?}");
        }
    }
}
