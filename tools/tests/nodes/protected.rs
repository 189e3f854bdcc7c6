//! What `overlane node` says of its protection, and what it never says.

use std::process::Stdio;

use super::support::{Home, RunningNode, text};

/// A command that starts a node of that name on all addresses of this host.
fn command(home: &Home, name: &str, more: &[&str]) -> std::process::Command {
    let arguments = ["node", "--json", "--shards", "1", "--overlay", "none"];
    let listen = ["--listen", "0.0.0.0:0", "--node-name", name];
    home.command(&[&arguments[..], &listen, more].concat())
}

/// Starts it, asks it what it tells, and stops it: all that was printed by it and by those who asked.
fn said(home: &Home, name: &str, mut command: std::process::Command) -> String {
    let log = home.0.join(format!("{name}.log"));
    let file = std::fs::File::create(&log).expect("the folder can be written");
    command.stderr(Stdio::from(file));
    let node = RunningNode::start(command);
    let mut all = node.up.to_string();
    for looks in [
        &["status"][..],
        &["metrics"],
        &["peers"],
        &["channel", "list"],
    ] {
        all += &home.text(&[looks, &["--node", name]].concat());
    }
    let (code, last) = node.stop();
    assert_eq!(code, Some(0));
    all += &last.to_string();
    all + &std::fs::read_to_string(log).expect("text")
}

#[test]
fn a_node_that_is_not_protected_says_so_on_every_start_and_starts_only_when_told() {
    let home = Home::new("insecure");
    let output = command(&home, "a", &[]).output().expect("it runs");
    let error = text(&output.stderr);
    assert!(!output.status.success(), "{error}");
    for part in ["0.0.0.0", "security", "psk", "tls", "insecure"] {
        assert!(error.contains(part), "{part}: {error}");
    }
    for start in 1..=2 {
        let all = said(&home, "a", command(&home, "a", &["--insecure", "true"]));
        assert!(
            all.contains("lanes are not protected"),
            "start {start}: {all}"
        );
    }
}

/// With all that can be logged.
#[test]
fn a_secret_is_in_nothing_that_a_node_prints() {
    const SECRETS: [&str; 2] = ["a-secret-of-this-test-1", "a-secret-of-this-test-2"];
    let home = Home::new("secret");
    let file = home.0.join("secret");
    std::fs::write(&file, SECRETS.join("\n")).expect("the folder can be written");
    let file = file.to_string_lossy().into_owned();
    let psk = ["--security", "psk"];
    let mut by_file = command(
        &home,
        "a",
        &[&psk[..], &["--psk-secret-file", &file]].concat(),
    );
    by_file.env("RUST_LOG", "trace");
    let mut by_variable = command(&home, "b", &psk);
    by_variable.env("RUST_LOG", "trace");
    by_variable.env("OVERLANE_PSK_SECRET", SECRETS.join("\n"));
    for (name, command) in [("a", by_file), ("b", by_variable)] {
        let all = said(&home, name, command);
        assert!(
            all.contains("TRACE") || all.contains("DEBUG"),
            "it logs: {all}"
        );
        for secret in SECRETS {
            assert!(!all.contains(secret), "{name} tells its secret");
        }
    }
    // Nor does a file that is wrong show what is in it, and there is no flag for a secret.
    std::fs::write(&file, "too-short").expect("the folder can be written");
    let output = command(
        &home,
        "a",
        &[&psk[..], &["--psk-secret-file", &file]].concat(),
    )
    .output();
    let error = text(&output.expect("it runs").stderr);
    assert!(
        error.contains("9 bytes") && !error.contains("too-short"),
        "{error}"
    );
    let output = command(
        &home,
        "a",
        &[&psk[..], &["--psk-secret", SECRETS[0]]].concat(),
    )
    .output();
    assert_eq!(output.expect("it runs").status.code(), Some(2));
}
