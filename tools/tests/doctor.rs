//! `overlane doctor` on machines that are made unfit for real: limits, filters, ports, cores.

mod seccomp;

use std::net::TcpListener;
use std::process::{Command, Output};

/// The doctor, without the configuration that the tests themselves run under.
fn doctor() -> Command {
    clean(Command::new(env!("CARGO_BIN_EXE_overlane")))
}

/// The doctor under `prlimit` with that limit.
fn limited(limit: &str) -> Command {
    let mut command = Command::new("prlimit");
    command.arg(limit).arg(env!("CARGO_BIN_EXE_overlane"));
    clean(command)
}

fn clean(mut command: Command) -> Command {
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("OVERLANE_") {
            command.env_remove(name);
        }
    }
    command.current_dir(env!("CARGO_TARGET_TMPDIR"));
    command
}

/// Runs the doctor with those arguments; port 0, so that a node on this machine is no hindrance.
fn run(mut command: Command, arguments: &[&str]) -> Output {
    command
        .args(["doctor", "--listen", "127.0.0.1:0"])
        .args(arguments);
    command.output().expect("the doctor runs")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The one line of that check.
fn line(output: &Output, check: &str) -> String {
    let printed = text(&output.stdout);
    let found = printed
        .lines()
        .find(|line| line.split_whitespace().nth(1) == Some(check));
    found
        .unwrap_or_else(|| panic!("no {check} in {printed}"))
        .to_string()
}

/// Asserts the exit code and one sentence about the check that has all parts.
fn assert_fails(output: &Output, check: &str, parts: &[&str]) {
    let line = line(output, check);
    let code = if check == "configuration" { 2 } else { 3 };
    assert_eq!(output.status.code(), Some(code), "{line}");
    assert!(line.starts_with("FAIL"), "{line}");
    for part in parts {
        assert!(line.contains(part), "{line:?} lacks {part:?}");
    }
}

#[test]
fn a_fit_machine_passes_with_exit_code_0() {
    let output = run(
        doctor(),
        &[
            "--channel",
            "data:parallelism=2",
            "--peer",
            "b=127.0.0.1:7401",
        ],
    );
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stdout));
    assert!(line(&output, "configuration").contains("channels: 1, peers: 1, lanes to each: 3"));
    assert!(line(&output, "io_uring").starts_with("ok"));
}

#[test]
fn json_has_one_object_per_line_with_outcome_and_remedy() {
    let output = run(doctor(), &["--json", "--cores", "4095"]);
    assert_eq!(output.status.code(), Some(3));
    let objects: Vec<serde_json::Value> = text(&output.stdout)
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{line}: {error}")))
        .collect();
    assert_eq!(objects.len(), 11);
    for object in &objects {
        let keys = [&object["check"], &object["outcome"], &object["detail"]];
        assert!(keys.iter().all(|value| value.is_string()), "{object}");
        assert_eq!(
            object["outcome"] == "fail",
            object["remedy"].is_string(),
            "{object}"
        );
    }
}

#[test]
fn a_core_that_does_not_exist_fails() {
    let output = run(doctor(), &["--cores", "4095"]);
    assert_fails(
        &output,
        "cores",
        &["core 4095 does not exist", "take `cores` from"],
    );
}

#[test]
fn a_port_in_use_fails() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = taken.local_addr().expect("its address").to_string();
    let output = doctor()
        .args(["doctor", "--listen", &address])
        .output()
        .expect("the doctor runs");
    assert_fails(&output, "listen", &[&address, "in use", "ss -ltnp"]);
}

#[test]
fn an_address_of_another_host_fails() {
    let mut command = doctor();
    let output = command
        .args(["doctor", "--listen", "192.0.2.1:7400", "--insecure", "true"])
        .output();
    let output = output.expect("the doctor runs");
    assert_fails(&output, "listen", &["192.0.2.1:7400", "ip address"]);
}

#[test]
fn too_few_open_files_for_the_peers_fail() {
    // Each has one lane always; those of channels come and go.
    let peers: Vec<String> = (0..64)
        .map(|number| format!("peer-{number}=127.0.0.1:{}", 7400 + number))
        .collect();
    let peers = peers.join(",");
    let arguments = ["--peer", &peers];
    let output = run(limited("--nofile=64:64"), &arguments);
    assert_fails(
        &output,
        "open_files",
        &["only 64 files", "64 configured peers", "ulimit -n"],
    );
    // The soft limit alone is no hindrance where a start may raise it.
    let output = run(limited("--nofile=64:1000"), &arguments);
    assert_fails(
        &output,
        "open_files",
        &["only 64 files", "raise_open_files"],
    );
    let raised = [&arguments[..], &["--raise-open-files", "true"]].concat();
    let output = run(limited("--nofile=64:1000"), &raised);
    assert!(
        !line(&output, "open_files").starts_with("FAIL"),
        "{}",
        text(&output.stdout)
    );
}

#[test]
fn too_little_lockable_memory_fails() {
    let output = run(limited("--memlock=65536:65536"), &["--io", "uring"]);
    assert_fails(&output, "memlock", &["only 64 KiB", "ulimit -l"]);
}

#[test]
fn too_little_memory_fails() {
    // Enough for the doctor itself.
    for (limit, how) in [("as", "ulimit -v"), ("data", "ulimit -d")] {
        let limit = format!("--{limit}=150000000:150000000");
        let output = run(limited(&limit), &["--shards", "2"]);
        assert_fails(&output, "memory", &["limited to 143 MiB", "2 shards", how]);
    }
}

#[test]
fn every_size_of_the_data_ring_passes_as_it_starts() {
    for entries in ["16", "32768"] {
        let output = run(doctor(), &["--data-ring-entries", entries]);
        assert!(line(&output, "io_uring").starts_with("ok"), "{entries}");
    }
}

#[test]
fn a_seccomp_filter_that_forbids_io_uring_warns_and_fails_who_wants_nothing_else() {
    let output = run(seccomp::forbid_io_uring(doctor()), &[]);
    let warning = line(&output, "io_uring");
    assert_eq!(output.status.code(), Some(0), "{warning}");
    assert!(warning.starts_with("warn"), "{warning}");
    for part in ["io_uring_setup is forbidden", "poll", "seccomp profile"] {
        assert!(warning.contains(part), "{warning:?} lacks {part:?}");
    }
    let output = run(seccomp::forbid_io_uring(doctor()), &["--io", "uring"]);
    assert_fails(
        &output,
        "io_uring",
        &["io_uring_setup is forbidden", "seccomp profile"],
    );
    let output = run(seccomp::forbid_io_uring(doctor()), &["--io", "poll"]);
    assert_eq!(output.status.code(), Some(0));
    assert!(line(&output, "io_uring").starts_with("ok"));
}

#[test]
fn a_bad_configuration_fails_by_its_place() {
    let output = run(doctor(), &["--spin-us", "fast"]);
    assert_fails(
        &output,
        "configuration",
        &["flag --spin-us", "`fast`", "0 to 1000000"],
    );
    let output = run(
        {
            let mut command = doctor();
            command.env("OVERLANE_SHARD", "2");
            command
        },
        &[],
    );
    assert_fails(
        &output,
        "configuration",
        &["OVERLANE_SHARD", "did you mean `OVERLANE_SHARDS`?"],
    );
}

#[test]
fn variables_that_kubernetes_sets_are_left_alone_with_a_hint() {
    let mut command = doctor();
    command
        .env("OVERLANE_SERVICE_HOST", "10.96.0.7")
        .env("OVERLANE_SERVICE_PORT", "7400")
        .env("OVERLANE_SERVICE_PORT_LANES", "7400")
        .env("OVERLANE_PORT", "tcp://10.96.0.7:7400")
        .env("OVERLANE_PORT_7400_TCP", "tcp://10.96.0.7:7400")
        .env("OVERLANE_PORT_7400_TCP_PROTO", "tcp")
        .env("OVERLANE_PORT_7400_TCP_PORT", "7400")
        .env("OVERLANE_PORT_7400_TCP_ADDR", "10.96.0.7")
        .env("OVERLANE_SHARDS", "");
    let output = run(command, &[]);
    let said = line(&output, "environment");
    assert_eq!(output.status.code(), Some(0), "{said}");
    for part in [
        "OVERLANE_PORT_7400_TCP_ADDR",
        "enableServiceLinks",
        "OVERLANE_SHARDS: empty",
    ] {
        assert!(said.contains(part), "{said:?} lacks {part:?}");
    }
}

#[test]
fn an_unknown_flag_is_refused_with_exit_code_2() {
    let output = run(doctor(), &["--spin-uss", "5"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(
        text(&output.stderr).contains("--spin-us"),
        "{}",
        text(&output.stderr)
    );
}

/// A folder with an authority and a certificate for node `a`, and the configuration of that node.
fn with_certificates(test: &str, days: &str) -> std::path::PathBuf {
    let folder = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join(test);
    drop(std::fs::remove_dir_all(&folder));
    let dir = folder.to_str().expect("a plain path");
    for arguments in [
        &["cert", "init", "--dir", dir][..],
        &["cert", "issue", "a", "--dir", dir, "--days", days],
    ] {
        let output = clean(Command::new(env!("CARGO_BIN_EXE_overlane")))
            .args(arguments)
            .output()
            .expect("it runs");
        assert!(output.status.success(), "{}", text(&output.stderr));
        if arguments.contains(&"issue") {
            std::fs::write(folder.join("a.toml"), &output.stdout).expect("it can be written");
        }
    }
    folder
}

#[test]
fn certificates_are_made_and_judged() {
    use std::os::unix::fs::PermissionsExt;
    let folder = with_certificates("certificates_are_made_and_judged", "365");
    let config = folder.join("a.toml");
    let config = config.to_str().expect("a plain path");
    for (file, mode) in [("authority.key", 0o600), ("a.key", 0o600), ("a.crt", 0o644)] {
        let about = folder.join(file).metadata().expect("it was made");
        assert_eq!(about.permissions().mode() & 0o777, mode, "{file}");
    }
    let checked = run(doctor(), &["--config", config]);
    for check in [
        "security",
        "key_file",
        "certificate_names",
        "certificate_expiry",
    ] {
        let line = line(&checked, check);
        assert!(line.starts_with("ok"), "{line}");
    }
    // Of the last day the seconds since it was issued are gone.
    let expiry = line(&checked, "certificate_expiry");
    let lasts = ["valid for 364 days", "valid for 365 days"];
    assert!(lasts.iter().any(|days| expiry.contains(days)), "{expiry}");
    assert_fails(
        &run(doctor(), &["--config", config, "--node-name", "b"]),
        "certificate_names",
        &["not for node b", "overlane cert issue b"],
    );
    let key = folder.join("a.key");
    std::fs::set_permissions(&key, PermissionsExt::from_mode(0o644)).expect("it is ours");
    let warned = line(&run(doctor(), &["--config", config]), "key_file");
    assert!(
        warned.starts_with("warn") && warned.contains("chmod 600"),
        "{warned}"
    );
    // Nothing is overwritten.
    let again = clean(Command::new(env!("CARGO_BIN_EXE_overlane")))
        .args([
            "cert",
            "issue",
            "a",
            "--dir",
            folder.to_str().expect("plain"),
        ])
        .output()
        .expect("it runs");
    assert_eq!(again.status.code(), Some(4));
    assert!(text(&again.stderr).contains("not overwritten"));
    let other = clean(Command::new(env!("CARGO_BIN_EXE_overlane")))
        .args(["cert", "issue", "a", "--dir", "nowhere-at-all"])
        .output()
        .expect("it runs");
    assert_eq!(other.status.code(), Some(2));
    assert!(text(&other.stderr).contains("overlane cert init"));
    std::fs::write(&key, "no key").expect("it is ours");
    assert_fails(
        &run(doctor(), &["--config", config]),
        "security",
        &["a.key", "private key"],
    );
}

#[test]
fn a_certificate_that_ends_soon_is_told() {
    let folder = with_certificates("a_certificate_that_ends_soon_is_told", "7");
    let config = folder.join("a.toml");
    let checked = run(
        doctor(),
        &["--config", config.to_str().expect("a plain path")],
    );
    let line = line(&checked, "certificate_expiry");
    let ends = ["in 7 days", "in 8 days"];
    assert!(
        line.starts_with("warn") && ends.iter().any(|days| line.contains(days)),
        "{line}"
    );
}
