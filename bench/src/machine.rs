//! What a host is, in a line: what every report of figures needs beside them.

/// Kernel and cores.
pub(crate) fn sentence() -> String {
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    format!("Linux {}, {cores} cores", kernel.trim())
}
