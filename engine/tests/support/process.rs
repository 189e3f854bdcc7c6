//! A peer in a process of its own: the test's own program, run again with a variable set, so that it
//! can be killed or stopped as whole.

use std::io::{BufRead, BufReader, Lines};
use std::net::SocketAddr;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::thread;

use overlane::Node;

/// What the process is to be; set in it and nowhere else.
const ROLE: &str = "OVERLANE_TEST_ROLE";

/// The name of the test, in each program that starts such processes, which runs what they do.
const TEST: &str = "the_peer";

/// A peer that runs; killed when dropped.
#[derive(Debug)]
pub struct PeerProcess {
    process: Child,
    said: Lines<BufReader<ChildStdout>>,
    pub address: SocketAddr,
}

/// The role of this process, if it is one that [`PeerProcess::start`] started.
pub fn role() -> Option<String> {
    std::env::var(ROLE).ok()
}

/// Says where `node` listens, and lives until it is killed.
pub fn serve(node: &Node) -> ! {
    println!("listens on {}", node.local_addr());
    loop {
        thread::park();
    }
}

impl PeerProcess {
    /// Starts the process and waits until it listens.
    pub fn start(role: &str) -> Self {
        let program = std::env::current_exe().expect("this program has a path");
        let mut process = Command::new(program)
            .args(["--exact", TEST, "--nocapture"])
            .env(ROLE, role)
            .stdout(Stdio::piped())
            .spawn()
            .expect("it runs");
        let mut said = BufReader::new(process.stdout.take().expect("it is piped")).lines();
        let address = said_after(&mut said, "listens on ");
        Self {
            address: address.parse().expect("an address"),
            process,
            said,
        }
    }

    /// What it says next behind `word`.
    pub fn says(&mut self, word: &str) -> String {
        said_after(&mut self.said, word)
    }

    /// As `kill -9` does.
    pub fn kill(mut self) {
        self.process.kill().expect("it runs");
        self.process.wait().expect("it ends");
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: i32) {
        let pid = i32::try_from(self.process.id()).expect("a process number");
        // SAFETY: a system call without memory; the process is this one's child and not waited for.
        let sent = unsafe { libc::kill(pid, signal) };
        assert_eq!(sent, 0, "{}", std::io::Error::last_os_error());
    }
}

fn said_after(said: &mut Lines<BufReader<ChildStdout>>, word: &str) -> String {
    said.map_while(Result::ok)
        .find_map(|line| Some(line.split_once(word)?.1.to_owned()))
        .unwrap_or_else(|| panic!("the process says `{word}`"))
}

impl Drop for PeerProcess {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}
