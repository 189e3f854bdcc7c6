//! What tests of commands share: nodes that run as processes, in a folder of the test, and commands that ask them.
#![allow(
    dead_code,
    unreachable_pub,
    reason = "each test binary uses a part of it"
)]

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

/// How long any condition may take on a loaded machine.
pub const GENEROUS: Duration = Duration::from_secs(60);

/// A folder that stands for the user's runtime directory, and goes with the test.
pub struct Home(pub PathBuf);

impl Home {
    /// Paths of sockets are short, those of build directories may not be.
    pub fn new(test: &str) -> Self {
        let path = std::env::temp_dir().join(format!("overlane-{test}-{}", std::process::id()));
        drop(fs::remove_dir_all(&path));
        fs::create_dir_all(&path).expect("it can be made");
        Self(path)
    }

    /// A command as a user runs it, without the configuration that the tests themselves run under.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_overlane"));
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("OVERLANE_") {
                command.env_remove(name);
            }
        }
        command.env("XDG_RUNTIME_DIR", &self.0).current_dir(&self.0);
        command.env_remove("RUST_LOG").args(arguments);
        command
    }

    /// Runs a command to its end.
    pub fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().expect("it runs")
    }

    /// Runs a command that must succeed, and what it prints.
    pub fn text(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        let (said, error) = (text(&output.stdout), text(&output.stderr));
        assert!(output.status.success(), "{arguments:?}: {said}{error}");
        said
    }

    /// Runs a command that must succeed and prints one JSON object or list.
    pub fn json(&self, arguments: &[&str]) -> Value {
        let said = self.text(&[arguments, &["--json"]].concat());
        serde_json::from_str(&said).unwrap_or_else(|error| panic!("{arguments:?}: {error}: {said}"))
    }

    /// Runs a command that must fail so; what it says.
    pub fn fails(&self, code: i32, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        let error = text(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {error}");
        error
    }

    /// Starts a node of that name on a free port.
    pub fn node(&self, name: &str, more: &[&str]) -> RunningNode {
        let arguments = ["node", "--json", "--node-name", name, "--shards", "1"];
        let listen = ["--listen", "127.0.0.1:0", "--cluster"];
        let cluster = self.0.file_name().expect("it has one").to_string_lossy();
        let arguments = [&arguments[..], &listen, &[&cluster], more].concat();
        RunningNode::start(self.command(&arguments))
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.0));
    }
}

pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A node that runs, killed when it is dropped.
pub struct RunningNode {
    pub process: Child,
    pub output: BufReader<ChildStdout>,
    /// The line that it printed when it was up.
    pub up: Value,
}

impl RunningNode {
    pub fn start(mut command: Command) -> Self {
        let mut process = command.stdout(Stdio::piped()).spawn().expect("it starts");
        let mut output = BufReader::new(process.stdout.take().expect("it is a pipe"));
        let up = next_line(&mut output);
        Self {
            process,
            output,
            up,
        }
    }

    pub fn address(&self) -> SocketAddr {
        let address = self.up["address"].as_str().expect("an address");
        address.parse().expect("an address")
    }

    pub fn socket(&self) -> &Path {
        Path::new(self.up["admin"].as_str().expect("a path"))
    }

    /// The next line that it prints.
    pub fn says(&mut self) -> Value {
        next_line(&mut self.output)
    }

    pub fn signal(&self, signal: &str) {
        send_signal(self.process.id(), signal);
    }

    /// Waits for its end: its exit code.
    pub fn ended(mut self) -> Option<i32> {
        self.process.wait().expect("it ends").code()
    }

    /// Asks it to end: its exit code, and the last that it prints.
    pub fn stop(mut self) -> (Option<i32>, Value) {
        self.signal("TERM");
        let mut last = String::new();
        self.output.read_to_string(&mut last).expect("text");
        let code = self.process.wait().expect("it ends").code();
        let last = last.lines().last().unwrap_or_default();
        (code, serde_json::from_str(last).unwrap_or_default())
    }
}

impl Drop for RunningNode {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

pub fn next_line(output: &mut impl BufRead) -> Value {
    let mut line = String::new();
    output.read_line(&mut line).expect("text");
    serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line:?}"))
}

pub fn send_signal(pid: u32, signal: &str) {
    let kill = Command::new("kill")
        .args([&format!("-{signal}"), &pid.to_string()])
        .status();
    assert!(kill.is_ok_and(|status| status.success()));
}

/// Waits until it has ended, and how.
pub fn ends(process: &mut Child, what: &str) -> Option<i32> {
    let deadline = Instant::now() + GENEROUS;
    while Instant::now() < deadline {
        if let Some(status) = process.try_wait().expect("it is a child") {
            return status.code();
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("{what} does not end");
}

/// Runs a command again until what it prints is so.
pub fn until(
    what: &str,
    mut state: impl FnMut() -> Value,
    holds: impl Fn(&Value) -> bool,
) -> Value {
    let deadline = Instant::now() + GENEROUS;
    loop {
        let now = state();
        if holds(&now) {
            return now;
        }
        assert!(
            Instant::now() < deadline,
            "{what} did not come true; at the end: {now}"
        );
    }
}
