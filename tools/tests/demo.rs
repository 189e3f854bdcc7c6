//! `overlane demo`: what it starts, what can be done with it, and that nothing of it is left.

mod support;

use std::collections::BTreeSet;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Stdio};

use serde_json::Value;
use support::{Home, ends, next_line, send_signal, until};

struct Demo {
    process: Child,
    output: BufReader<ChildStdout>,
    up: Value,
}

impl Demo {
    fn start(home: &Home, nodes: &str) -> Self {
        let mut process = home
            .command(&["demo", "--nodes", nodes, "--json"])
            .stdout(Stdio::piped())
            .spawn()
            .expect("it runs");
        let mut output = BufReader::new(process.stdout.take().expect("a pipe"));
        let up = next_line(&mut output);
        Self {
            process,
            output,
            up,
        }
    }

    fn pids(&self) -> Vec<u64> {
        let nodes = self.up["nodes"].as_array().expect("a list");
        nodes
            .iter()
            .filter_map(|node| node["pid"].as_u64())
            .collect()
    }

    fn folder(&self) -> PathBuf {
        let socket = self.up["nodes"][0]["admin"].as_str().expect("a path");
        Path::new(socket).parent().expect("a folder").to_owned()
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

/// Whether a process runs, and is not one that waits to be noticed as dead.
fn runs(pid: u64) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"));
    stat.is_ok_and(|stat| !stat.contains(") Z "))
}

fn nothing_runs(pids: &[u64]) {
    let running = || pids.iter().filter(|pid| runs(**pid)).count().into();
    until("all nodes have ended", running, |running| *running == 0);
}

#[test]
fn its_nodes_are_connected_its_commands_work_and_nothing_is_left() {
    let home = Home::new("demo");
    let mut demo = Demo::start(&home, "4");
    let pids = demo.pids();
    assert_eq!(pids.len(), 4);
    let commands = demo.up["try"].as_array().expect("a list");
    assert_eq!(commands.len(), 3);
    for command in commands {
        let words: Vec<_> = command.as_str().expect("text").split(' ').collect();
        let said = home.text(&words[1..]);
        match words[1] {
            "members" => assert_eq!(said.matches("  neighbor").count(), 3, "{said}"),
            "topology" => assert!(said.starts_with("overlay      hyparview"), "{said}"),
            _ => assert_eq!(said, "on its way to 3 members over messages\n"),
        }
    }
    let mut heard = BTreeSet::new();
    while heard.len() < 3 {
        let said = next_line(&mut demo.output);
        let message = &said["said"]["message"];
        if message["text"] == "hello" {
            assert_eq!(message["from"], "demo-1");
            heard.insert(said["node"].to_string());
        }
    }
    let folder = demo.folder();
    assert!(folder.exists());
    send_signal(demo.process.id(), "INT");
    assert_eq!(ends(&mut demo.process, "the demo"), Some(0));
    nothing_runs(&pids);
    assert!(!folder.exists(), "its folder is removed");
}

#[test]
fn nodes_end_with_a_demo_that_is_killed() {
    let home = Home::new("killed");
    let mut demo = Demo::start(&home, "2");
    let (pids, folder) = (demo.pids(), demo.folder());
    demo.process.kill().expect("it runs");
    drop(demo.process.wait());
    nothing_runs(&pids);
    drop(std::fs::remove_dir_all(folder));
}

#[test]
fn a_node_that_ends_by_itself_ends_the_demo() {
    let home = Home::new("ended");
    let mut demo = Demo::start(&home, "3");
    let (pids, folder) = (demo.pids(), demo.folder());
    send_signal(u32::try_from(pids[1]).expect("a process"), "KILL");
    assert_eq!(ends(&mut demo.process, "the demo"), Some(1));
    let mut rest = String::new();
    demo.output.read_to_string(&mut rest).expect("text");
    nothing_runs(&pids);
    assert!(!folder.exists());
}

#[test]
fn it_says_what_to_try_and_refuses_what_makes_no_sense() {
    let home = Home::new("words");
    for nodes in ["0", "101", "x"] {
        home.fails(2, &["demo", "--nodes", nodes]);
    }
    for (overlay, said) in [("client_server", "switch to it"), ("ring", "hyparview")] {
        let error = home.fails(2, &["demo", "--overlay", overlay]);
        assert!(error.contains(said), "{error}");
    }
    let mut process = home
        .command(&["demo", "--nodes", "2", "--overlay", "hyparview"])
        .stdout(Stdio::piped())
        .spawn()
        .expect("it runs");
    let mut output = BufReader::new(process.stdout.take().expect("a pipe"));
    let mut said = String::new();
    while !said.contains("Ctrl-C") {
        let read = std::io::BufRead::read_line(&mut output, &mut said).expect("text");
        assert!(read > 0, "{said}");
    }
    for part in [
        "2 nodes are up",
        "overlane members",
        "overlane topology switch full_mesh",
        "overlane broadcast inbox hello",
    ] {
        assert!(said.contains(part), "{said} lacks {part}");
    }
    send_signal(process.id(), "TERM");
    assert_eq!(ends(&mut process, "the demo"), Some(0));
}
