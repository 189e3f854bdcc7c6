//! The examples run and say what they should. `cargo test` builds them; for this file alone, build
//! them first: `cargo test -p overlane --examples --test examples`.

use std::path::PathBuf;
use std::process::Command;

/// Where cargo puts examples: beside the folder of this test's own program.
fn example(name: &str) -> PathBuf {
    let this = std::env::current_exe().expect("this program has a path");
    let target = this.ancestors().nth(2).expect("it lies in target/*/deps");
    target.join("examples").join(name)
}

fn says(name: &str, expected: &[&str]) {
    let program = example(name);
    let output = Command::new(&program)
        .output()
        .unwrap_or_else(|error| panic!("{}: {error}", program.display()));
    let said = String::from_utf8_lossy(&output.stdout);
    let failed = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}{failed}");
    for line in expected {
        assert!(said.contains(line), "`{line}` is not in {said}{failed}");
    }
}

#[test]
fn hello() {
    let accounts = "accepted 1, acknowledged 1, reported 0";
    says(
        "hello",
        &["alice says: hello, Bob", "drained: true", accounts],
    );
}

#[test]
fn heartbeat_beside_file() {
    says(
        "heartbeat_beside_file",
        &["file: 256 MiB in ", "beats meanwhile"],
    );
}

#[test]
fn request_reply() {
    says(
        "request_reply",
        &["1 squared is 1", "10 squared is 100", "nobody cubes"],
    );
}

#[test]
fn on_shard_echo() {
    says("on_shard_echo", &["200000 echoes in "]);
}
