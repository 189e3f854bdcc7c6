//! The binary as a user runs it, without nodes: refusals, exit codes, the raw limit.

use std::process::{Command, Output};

fn bench(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_overlane-bench"))
        .args(arguments)
        .output()
        .expect("it starts")
}

fn refused(arguments: &[&str]) -> String {
    let output = bench(arguments);
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    assert!(output.stdout.is_empty(), "{output:?}");
    String::from_utf8(output.stderr).expect("messages are text")
}

#[test]
fn bad_input_ends_with_exit_code_two_and_names_the_flag() {
    for (arguments, named) in [
        (&["throughput", "--payload", "0"][..], "--payload 0"),
        (
            &["throughput", "--payload", "99999999"],
            "--payload 99999999",
        ),
        (&["throughput", "--pairs", "2"], "--pairs 2"),
        (&["latency", "--payload", "3"], "--payload 3"),
        (&["latency", "--sender-core", "777"], "--sender-core 777"),
        (&["isolation", "--heartbeat-hz", "0"], "--heartbeat-hz 0"),
        (&["fan", "--peers", "1"], "--peers 1"),
        (&["rules", "--rules", "65"], "--rules 65"),
        (&["raw", "--seconds=-1"], "--seconds -1"),
        (&["--file", "/no/such/file"], "--file /no/such/file"),
        (&["--file-mib", "0"], "--file-mib 0"),
        (&["--chunk-kib", "4096"], "--chunk-kib 4096"),
        (
            &["throughput", "--listen", "127.0.0.1:1"],
            "--listen 127.0.0.1:1",
        ),
        (&["throughput", "--channel", "data:priority=99"], "priority"),
        (
            &["isolation", "--loop", "closed", "--heartbeat-hz", "9"],
            "--heartbeat-hz 9",
        ),
        (
            &["isolation", "--producer", "app", "--sender-core", "0"],
            "--sender-core 0",
        ),
        (&["isolation", "--shards", "1"], "--shards 1"),
        (&["throughput", "--consumer", "inbox"], "--producer app"),
        (&["nonsense"], "nonsense"),
    ] {
        let message = refused(arguments);
        assert!(message.contains(named), "{arguments:?}: {message}");
    }
}

#[test]
fn a_child_cannot_be_run_by_hand() {
    let message = refused(&["child", "raw", "1"]);
    assert!(message.contains("--help"), "{message}");
    refused(&["child", "node", "not-a-number"]);
}

/// A short run whose result is two lines or more.
const RAW: [&str; 8] = [
    "raw",
    "--json",
    "--seconds",
    "0.03",
    "--warm-up-seconds",
    "0.02",
    "--receiver-core",
    "0",
];

#[test]
fn a_result_that_cannot_be_written_ends_with_exit_code_four() {
    for arguments in [&RAW[..], &["--help"], &["--version"]] {
        let full = std::fs::File::options().write(true).open("/dev/full");
        let output = Command::new(env!("CARGO_BIN_EXE_overlane-bench"))
            .args(arguments)
            .stdout(full.expect("Linux has /dev/full"))
            .output()
            .expect("it starts");
        assert_eq!(output.status.code(), Some(4), "{arguments:?}: {output:?}");
        let message = String::from_utf8_lossy(&output.stderr);
        assert!(message.contains("standard output"), "{message}");
        assert_eq!(message.lines().count(), 1, "{message}");
    }
}

#[test]
fn a_reader_that_goes_is_no_fault() {
    for arguments in [&RAW[..], &["--help"]] {
        let (reader, writer) = std::io::pipe().expect("a pipe can be made");
        drop(reader);
        let output = Command::new(env!("CARGO_BIN_EXE_overlane-bench"))
            .args(arguments)
            .stdout(writer)
            .output()
            .expect("it starts");
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        assert!(output.stderr.is_empty(), "{output:?}");
    }
}

#[test]
fn a_closed_standard_error_does_not_change_the_exit_code() {
    let (reader, writer) = std::io::pipe().expect("a pipe can be made");
    drop(reader);
    let status = Command::new(env!("CARGO_BIN_EXE_overlane-bench"))
        .args(["raw", "--pairs", "1"])
        .stderr(writer)
        .status()
        .expect("it starts");
    assert_eq!(status.code(), Some(2));
}

#[test]
fn what_an_argument_holds_does_not_steer_the_terminal() {
    for arguments in [&["--file", "\u{1b}[31m"][..], &["\u{1b}[31m"]] {
        let message = refused(arguments);
        assert!(!message.contains('\u{1b}'), "{message:?}");
    }
}

#[test]
fn raw_prints_one_object_a_line_and_nothing_else() {
    let output = bench(&RAW);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(
        output.stderr.is_empty(),
        "no progress where there is no terminal: {output:?}"
    );
    let text = String::from_utf8(output.stdout).expect("JSON is text");
    let objects: Vec<serde_json::Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).expect("one object a line"))
        .collect();
    let tests: Vec<&str> = objects
        .iter()
        .filter_map(|object| object["test"].as_str())
        .collect();
    assert_eq!(
        tests,
        [
            "raw-throughput",
            "raw-ping-pong-blocking",
            "raw-ping-pong-busy"
        ]
    );
    assert!(
        objects[0]["messages_per_s"]
            .as_f64()
            .is_some_and(|rate| rate > 0.0),
        "{text}"
    );
    for ping_pong in &objects[1..] {
        assert!(
            ping_pong["p50_us"].as_f64().is_some_and(|p50| p50 > 0.0),
            "{text}"
        );
        assert!(ping_pong.get("messages_per_s").is_none(), "{text}");
    }
}
