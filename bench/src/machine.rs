//! What a host is, in a line: what every report of figures needs beside them; and what this process has of it.

use crate::error::{BenchError, Outcome};

/// Kernel and cores.
pub(crate) fn sentence() -> String {
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    format!("Linux {}, {cores} cores", kernel.trim())
}

/// Resident memory of this process.
pub(crate) fn resident_bytes() -> Outcome<u64> {
    let status = std::fs::read_to_string("/proc/self/status");
    let status = status.map_err(BenchError::system("reading /proc/self/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok());
    kib.map(|kib| kib * 1024).ok_or_else(|| {
        BenchError::Engine("/proc/self/status has no VmRSS; is /proc mounted?".to_owned())
    })
}
