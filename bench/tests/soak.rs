//! Short soaks: the identity exact under cuts and stalls, a receiver that is killed, and a run that fails.

use std::process::{Command, Output};

use serde_json::Value;

fn soak(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_overlane-bench"))
        .args(["soak", "--json"])
        .args(arguments)
        .output()
        .expect("it starts")
}

/// A machine that is busy with other tests pauses by itself.
const SHORT: [&str; 10] = [
    "--seconds",
    "3",
    "--rate",
    "5000",
    "--cuts",
    "6",
    "--stalls",
    "2",
    "--gap-ms-max",
    "60000",
];

fn result(arguments: &[&str]) -> Value {
    let output = soak(&[&SHORT, arguments].concat());
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let text = String::from_utf8(output.stdout).expect("JSON is text");
    serde_json::from_str(&text).expect("one object")
}

fn count(result: &Value, key: &str) -> u64 {
    let count = result[key].as_u64();
    count.unwrap_or_else(|| panic!("{key}: {result}"))
}

#[test]
fn what_is_kept_is_acknowledged_to_the_last_message() {
    for reliability in ["guaranteed", "at_least_once"] {
        let result = result(&["--reliability", reliability]);
        let accepted = count(&result, "accepted");
        assert!(accepted > 0, "{result}");
        assert_eq!(count(&result, "acknowledged"), accepted, "{result}");
        assert_eq!(count(&result, "delivered"), accepted, "{result}");
        for key in ["reported", "dropped", "duplicates", "out_of_order"] {
            assert_eq!(count(&result, key), 0, "{reliability}: {result}");
        }
    }
}

#[test]
fn what_is_not_kept_is_reported_or_dropped() {
    let reliable = result(&["--reliability", "reliable"]);
    assert!(count(&reliable, "acknowledged") > 0, "{reliable}");
    let best_effort = result(&["--reliability", "best_effort"]);
    assert!(count(&best_effort, "delivered") > 0, "{best_effort}");
    assert_eq!(count(&best_effort, "acknowledged"), 0, "{best_effort}");
}

#[test]
fn of_a_receiver_that_is_killed_every_message_is_delivered_or_reported() {
    let result = result(&["--kill-receiver", "--payload", "1000", "--senders", "3"]);
    let known = count(&result, "delivered") + count(&result, "reported");
    assert!(known >= count(&result, "accepted"), "{result}");
    assert_eq!(count(&result, "duplicates"), 0, "{result}");
}

#[test]
fn a_pause_that_nobody_is_told_of_fails_the_run() {
    let stall = [
        "--seconds",
        "4",
        "--rate",
        "1000",
        "--cuts",
        "0",
        "--stalls",
        "1",
    ];
    // The stall is a tenth of it at least.
    let output = soak(&[&stall[..], &["--stall-ms", "2000", "--gap-ms-max", "100"]].concat());
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{error}");
    assert!(error.contains("nobody was told why"), "{error}");
    let text = String::from_utf8_lossy(&output.stdout);
    let result: Value = serde_json::from_str(&text).expect("its figures are printed all the same");
    assert!(
        count(&result, "longest_unreported_gap_ms") > 100,
        "{result}"
    );
    assert_eq!(
        count(&result, "accepted"),
        count(&result, "delivered"),
        "{result}"
    );
}

#[test]
fn bad_flags_are_refused() {
    for (arguments, said) in [
        (["--rate", "0"], "--rate 0"),
        (["--seconds", "0"], "--seconds 0"),
        (["--payload", "15"], "--payload 15"),
        (["--senders", "65"], "--senders 65"),
        (["--reliability", "some"], "some"),
    ] {
        let output = soak(&arguments);
        let error = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {error}");
        assert!(error.contains(said), "{arguments:?}: {error}");
    }
}
