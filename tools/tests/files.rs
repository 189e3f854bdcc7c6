//! `overlane send-file` and `receive-file`: what arrives, what is refused, and how both end.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use overlane_proxy::Proxy;

/// A directory of a test, empty.
fn directory(name: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    drop(fs::remove_dir_all(&path));
    fs::create_dir_all(path.join("into")).expect("it can be made");
    path
}

fn overlane(test: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_overlane"));
    command
        .args(arguments)
        .args(["--cluster", test, "--shards", "1"]);
    command
}

/// A receiver of `count` files into a directory, and where it listens.
struct Receiver {
    child: Child,
    errors: BufReader<std::process::ChildStderr>,
    address: SocketAddr,
}

impl Receiver {
    fn start(test: &str, into: &Path, more: &[&str]) -> Self {
        let into = into.to_str().expect("a path in UTF-8");
        let mut child = overlane(test, &["receive-file", "--into", into, "--node-name", "b"])
            .args(["--listen", "127.0.0.1:0", "--json"])
            .args(more)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("it runs");
        let mut errors = BufReader::new(child.stderr.take().expect("it is a pipe"));
        let mut line = String::new();
        errors.read_line(&mut line).expect("it says where");
        let address = line
            .split_whitespace()
            .find_map(|word| word.parse().ok())
            .unwrap_or_else(|| panic!("no address in {line:?}"));
        Self {
            child,
            errors,
            address,
        }
    }

    /// Waits for its end: exit code, standard output and standard error.
    fn ends(mut self) -> (Option<i32>, String, String) {
        let (mut said, mut errors) = (String::new(), String::new());
        let output = self.child.stdout.take();
        let mut output = output.expect("it is a pipe");
        output.read_to_string(&mut said).expect("text");
        self.errors.read_to_string(&mut errors).expect("text");
        let status = self.child.wait().expect("it ends");
        (status.code(), said, errors)
    }
}

fn send(test: &str, file: &Path, address: SocketAddr, more: &[&str]) -> Output {
    let to = format!("b={address}");
    let file = file.to_str().expect("a path in UTF-8");
    overlane(test, &["send-file", file, "--to", &to])
        .args(more)
        .output()
        .expect("it runs")
}

fn error_of(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Contents that are different wherever they stand.
fn contents(bytes: usize) -> Vec<u8> {
    let words = (0_u64..).flat_map(|word| (word.wrapping_mul(0x9e37_79b9_7f4a_7c15)).to_le_bytes());
    words.take(bytes).collect()
}

fn files_in(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).expect("it is there");
    let names = entries.map(|entry| entry.expect("it can be read").file_name());
    let mut names: Vec<_> = names
        .map(|name| name.to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

#[test]
fn files_arrive_as_they_are_and_both_say_so() {
    let folder = directory("files-arrive");
    let into = folder.join("into");
    let receiver = Receiver::start("files-arrive", &into, &["--count", "2"]);
    for (name, bytes) in [("empty", 0), ("some.bin", 3_000_001)] {
        let file = folder.join(name);
        fs::write(&file, contents(bytes)).expect("there is room");
        let output = send("files-arrive", &file, receiver.address, &["--json"]);
        assert_eq!(output.status.code(), Some(0), "{}", error_of(&output));
        let said = String::from_utf8_lossy(&output.stdout);
        let hash = blake3::hash(&contents(bytes));
        for part in [
            format!("\"file\":\"{name}\""),
            format!("\"bytes\":{bytes}"),
            format!("\"blake3\":\"{hash}\""),
            "\"peer\":\"b\"".to_owned(),
        ] {
            assert!(said.contains(&part), "{said} lacks {part}");
        }
        assert!(fs::read(into.join(name)).expect("it is there") == contents(bytes));
    }
    let (code, said, errors) = receiver.ends();
    assert_eq!(code, Some(0), "{errors}");
    assert_eq!(said.lines().count(), 2, "{said}");
    assert_eq!(files_in(&into), ["empty", "some.bin"]);
}

#[test]
fn a_file_that_is_there_is_replaced_only_where_that_is_wanted() {
    let folder = directory("files-there");
    let (file, into) = (folder.join("x"), folder.join("into"));
    fs::write(&file, b"new").expect("there is room");
    fs::write(into.join("x"), b"old").expect("there is room");
    let receiver = Receiver::start("files-there", &into, &[]);
    let output = send("files-there", &file, receiver.address, &[]);
    assert_eq!(output.status.code(), Some(1));
    let error = error_of(&output);
    assert!(error.contains("x is there already"), "{error}");
    let (code, _, errors) = receiver.ends();
    assert_eq!(code, Some(1), "{errors}");
    assert_eq!(fs::read(into.join("x")).expect("it is there"), b"old");

    let receiver = Receiver::start("files-there", &into, &["--overwrite"]);
    let output = send("files-there", &file, receiver.address, &[]);
    assert_eq!(output.status.code(), Some(0), "{}", error_of(&output));
    assert_eq!(receiver.ends().0, Some(0));
    assert_eq!(fs::read(into.join("x")).expect("it is there"), b"new");
    assert_eq!(files_in(&into), ["x"]);
}

#[test]
fn a_transfer_goes_on_over_cut_connections() {
    const BYTES: usize = 30_000_000;
    let folder = directory("files-cut");
    let (file, into) = (folder.join("x"), folder.join("into"));
    fs::write(&file, contents(BYTES)).expect("there is room");
    let receiver = Receiver::start("files-cut", &into, &[]);
    let proxy = Proxy::start(receiver.address).expect("a free port");
    proxy.cut_each_after(8_000_000);
    let output = send("files-cut", &file, proxy.address(), &[]);
    assert_eq!(output.status.code(), Some(0), "{}", error_of(&output));
    let (code, _, errors) = receiver.ends();
    assert_eq!(code, Some(0), "{errors}");
    assert!(fs::read(into.join("x")).expect("it is there") == contents(BYTES));
}

#[test]
fn what_cannot_be_sent_or_received_is_told_with_its_exit_code() {
    let folder = directory("files-wrong");
    let nobody: SocketAddr = "127.0.0.1:9".parse().expect("an address");
    let missing = send("files-wrong", &folder.join("no"), nobody, &[]);
    assert_eq!(missing.status.code(), Some(2));
    assert!(error_of(&missing).contains("cannot be read"));
    let a_directory = send("files-wrong", &folder, nobody, &[]);
    assert_eq!(a_directory.status.code(), Some(2));
    let file = folder.join("x");
    fs::write(&file, b"x").expect("there is room");
    let elsewhere = send("files-wrong", &file, nobody, &["--as", "../x"]);
    assert_eq!(elsewhere.status.code(), Some(2), "{}", error_of(&elsewhere));
    let not_there = send("files-wrong", &file, nobody, &["--wait-s", "0"]);
    assert_eq!(not_there.status.code(), Some(1), "{}", error_of(&not_there));
    let into = folder.join("nowhere");
    let into = into.to_str().expect("a path in UTF-8");
    let output = overlane("files-wrong", &["receive-file", "--into", into]).output();
    assert_eq!(output.expect("it runs").status.code(), Some(2));
}
