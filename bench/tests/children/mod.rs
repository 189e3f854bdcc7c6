//! The child processes of a harness under test, and waiting for what becomes of them.

use std::fs;
use std::time::{Duration, Instant};

/// How long something may take on a loaded machine.
const WITHIN: Duration = Duration::from_secs(60);

/// Command lines of the child processes that the harness with this id started.
pub(crate) fn children_of(id: u32) -> Vec<String> {
    let processes = fs::read_dir("/proc").expect("/proc is mounted");
    let lines = processes.filter_map(|entry| {
        let line = fs::read_to_string(entry.ok()?.path().join("cmdline")).ok()?;
        Some(line.replace('\0', " ").trim_end().to_owned())
    });
    let own = format!(" {id}");
    lines
        .filter(|line| line.contains(" child ") && line.ends_with(&own))
        .collect()
}

/// Waits until `condition` holds, or fails with `what`.
pub(crate) fn wait_until(what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + WITHIN;
    while !condition() {
        assert!(Instant::now() < deadline, "{what} did not come");
        std::thread::sleep(Duration::from_millis(2));
    }
}
