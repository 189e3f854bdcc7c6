//! The main job where io_uring is forbidden, as by the default seccomp profiles of containers.

#[allow(dead_code, unreachable_pub, reason = "this test uses a part of it")]
#[path = "../../engine/tests/support/child.rs"]
mod child;

use std::os::unix::process::CommandExt;
use std::process::Command;

#[test]
fn the_main_job_accounts_for_everything_without_io_uring() {
    let folder = std::env::temp_dir().join(format!("overlane-bench-poll-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a temporary folder can be made");
    let mut bench = Command::new(env!("CARGO_BIN_EXE_overlane-bench"));
    bench.args(["--json", "--file-mib", "8", "--quiet-seconds", "0.3"]);
    bench.args(["--chunk-kib", "64", "--folder"]).arg(&folder);
    // A machine that is busy with other tests is slow, and heartbeats on it are late.
    bench.args(["--heartbeat-bound-us", "4000000000"]);
    bench.env_remove("OVERLANE_IO");
    let filter = || {
        for call in [
            libc::SYS_io_uring_setup,
            libc::SYS_io_uring_enter,
            libc::SYS_io_uring_register,
        ] {
            child::forbid(call, libc::EPERM);
        }
        Ok(())
    };
    // SAFETY: the closure makes system calls and allocates nothing, as is needed after a fork.
    unsafe { bench.pre_exec(filter) };
    let output = bench.output().expect("it starts");
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let text = String::from_utf8(output.stdout).expect("JSON is text");
    let mut channels = 0;
    for line in text.lines() {
        let object: serde_json::Value = serde_json::from_str(line).expect("one object a line");
        let test = object["test"].as_str().expect("each object has a name");
        if ["main-job-data", "main-job-coordination"].contains(&test) {
            channels += 1;
            assert_eq!(object["acknowledged"], object["accepted"], "{object}");
            assert_eq!(object["delivered"], object["accepted"], "{object}");
        }
    }
    assert_eq!(channels, 2, "{text}");
    std::fs::remove_dir_all(&folder).expect("its own folder can be removed");
}
