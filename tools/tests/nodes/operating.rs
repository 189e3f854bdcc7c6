//! Looking at nodes that run, having them read their configuration again, and what they tell a supervisor.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixDatagram;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::stop;
use crate::support::{GENEROUS, Home, RunningNode, text, until};

#[test]
fn top_shows_a_cluster_in_a_pipe() {
    let home = Home::new("top");
    let a = home.node("a", &[]);
    let address = a.address().to_string();
    let b = home.node("b", &["--join", &address]);
    let two = |members: &serde_json::Value| members.as_array().is_some_and(|all| all.len() == 2);
    until(
        "b has joined",
        || home.json(&["members", "--node", "a"]),
        two,
    );
    let shown = home.text(&["top", "--once", "--interval-ms", "100", "--node", "a"]);
    assert_eq!(shown.lines().count(), 30, "{shown}");
    for part in [
        "node a  cluster",
        "overlay full_mesh, epoch 0  2 members",
        "*channels (1, by channel)",
        "members (2, by member)",
    ] {
        assert!(shown.contains(part), "no {part} in:\n{shown}");
    }
    for first in ["messages", "a", "b"] {
        let has = |line: &str| line.split_whitespace().next() == Some(first);
        assert!(shown.lines().any(has), "no line of {first} in:\n{shown}");
    }
    let wide = ["--width", "200", "--height", "50"];
    let shown = home.text(
        &[
            &["top", "--once", "--interval-ms", "100", "--node", "b"],
            &wide[..],
        ]
        .concat(),
    );
    assert_eq!(shown.lines().count(), 50, "{shown}");
    let error = home.fails(2, &["top", "--node", "a"]);
    assert!(error.contains("--once prints one frame"), "{error}");
    home.fails(2, &["top", "--once", "--json", "--node", "a"]);
    home.fails(5, &["top", "--once", "--node", "c"]);
    stop(a);
    stop(b);
}

#[test]
fn a_node_reads_its_file_again_when_it_is_told_to() {
    let home = Home::new("reload");
    let file = home.0.join("overlane.toml");
    // In one step: a node that reads it meanwhile sees one of the two.
    let write = |text: &str| {
        let beside = home.0.join("next.toml");
        std::fs::write(&beside, text).expect("it can be written");
        std::fs::rename(&beside, &file).expect("the same folder");
    };
    write("[channel.data]\npriority = 4\n");
    let mut node = home.node("a", &["--overlay", "none"]);
    assert_eq!(home.text(&["reload"]), "nothing has changed\n");
    write("spin_us = 9\n[channel.data]\npriority = 3\n[channel.more]\n");
    assert_eq!(
        home.text(&["reload"]),
        "changed       channel.data.priority: medium -> 3\n\
         changed       channel.more: - -> added\n\
         needs restart spin_us: 50 -> 9\n"
    );
    write("[channel.data]\npriority = 33\n");
    let error = home.fails(2, &["reload"]);
    assert!(
        error.contains("overlane.toml") && error.contains("priority"),
        "{error}"
    );
    // The same by signal: what is wrong is told on standard error, and the node goes on.
    node.signal("HUP");
    write("spin_us = 9\n[channel.data]\npriority = 2\n");
    node.signal("HUP");
    let reloaded = node.says();
    let first = &reloaded["reloaded"]["changed"][0];
    assert_eq!(
        (&first["what"], &first["is"]),
        (&"channel.data.priority".into(), &"2".into()),
        "{reloaded}"
    );
    let channels = home.json(&["channel", "list"]);
    assert_eq!(channels.as_array().map(Vec::len), Some(1), "{channels}");
    stop(node);
}

#[test]
fn a_node_says_where_it_shows_itself() {
    let home = Home::new("http");
    let node = home.node("a", &["--http", "127.0.0.1:0"]);
    let address: SocketAddr = node.up["http"]
        .as_str()
        .expect("an address")
        .parse()
        .expect("an address");
    let mut stream = TcpStream::connect(address).expect("it listens");
    stream.set_read_timeout(Some(GENEROUS)).expect("a socket");
    stream
        .write_all(b"GET /api/status HTTP/1.1\r\n\r\n")
        .expect("it reads");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
    assert!(head.starts_with("HTTP/1.1 200 OK"), "{head}");
    let mut shown: serde_json::Value = serde_json::from_str(body).expect("JSON");
    let mut said = home.json(&["status"]);
    // It has gone on in between.
    shown["uptime_s"].take();
    said["uptime_s"].take();
    assert_eq!(shown, said, "the same as the command prints");
    stop(node);
    let error = home.fails(2, &["node", "--http", "0.0.0.0:7480"]);
    assert!(error.contains("http_token_file"), "{error}");
    let error = home.fails(2, &["node", "--http", "here"]);
    assert!(error.contains("off, or an address and port"), "{error}");
}

/// The same command as the process that a watchdog is meant for.
fn watched(command: &Command) -> Command {
    let mut shell = Command::new("sh");
    shell.args(["-c", "WATCHDOG_PID=$$ exec \"$0\" \"$@\""]);
    shell.arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => shell.env(name, value),
            None => shell.env_remove(name),
        };
    }
    if let Some(folder) = command.get_current_dir() {
        shell.current_dir(folder);
    }
    shell
}

#[test]
fn a_supervisor_hears_that_a_node_is_up_goes_on_reloads_and_stops() {
    let home = Home::new("notify");
    let path = home.0.join("notify");
    let supervisor = UnixDatagram::bind(&path).expect("a free path");
    supervisor
        .set_read_timeout(Some(GENEROUS))
        .expect("a socket");
    let hears = || {
        let mut words = [0; 1024];
        let bytes = supervisor.recv(&mut words).expect("it is told something");
        text(&words[..bytes])
    };
    let arguments = [
        "node",
        "--json",
        "--node-name",
        "a",
        "--listen",
        "127.0.0.1:0",
        "--overlay",
        "none",
    ];
    let mut command = watched(&home.command(&arguments));
    command
        .env("NOTIFY_SOCKET", &path)
        .env("WATCHDOG_USEC", "1000000");
    let node = RunningNode::start(command);
    let ready = hears();
    assert!(
        ready.starts_with("READY=1\n") && ready.contains("STATUS=up at 127.0.0.1:"),
        "{ready}"
    );
    for _ in 0..2 {
        assert_eq!(hears(), "WATCHDOG=1\n");
    }
    node.signal("HUP");
    let mut next = hears();
    while next == "WATCHDOG=1\n" {
        next = hears();
    }
    assert!(next.starts_with("RELOADING=1\nMONOTONIC_USEC="), "{next}");
    assert!(hears().starts_with("READY=1\n"));
    let (code, _) = node.stop();
    assert_eq!(code, Some(0));
    next = hears();
    while next == "WATCHDOG=1\n" {
        next = hears();
    }
    assert_eq!(next, "STOPPING=1\n");
    supervisor.set_nonblocking(true).expect("a socket");
    assert!(supervisor.recv(&mut [0; 64]).is_err(), "it says so once");
}

#[test]
fn faults_on_purpose_are_ordered_listed_told_and_removed() {
    let home = Home::new("fault");
    let none = home.node("none", &[]);
    let cut = ["fault", "add", "--cut", "--for", "30s", "--node", "none"];
    let error = home.fails(1, &cut);
    assert!(error.contains("faults = true"), "{error}");
    stop(none);
    let a = home.node("a", &["--faults", "true", "--overlay", "none"]);
    assert_eq!(home.text(&["fault", "list"]), "no fault is open\n");
    let add = [
        "fault",
        "add",
        "--peer",
        "b",
        "--channel",
        "messages",
        "--drop",
        "5%",
        "--delay",
        "20ms",
        "--cut",
        "--for",
        "10m",
        "--seed",
        "3",
    ];
    assert_eq!(
        home.text(&add),
        "fault 1 is open; overlane fault remove 1 ends it\n"
    );
    let open = &home.json(&["fault", "list"])[0];
    assert_eq!(
        (
            &open["fault"],
            &open["drop_ppm"],
            &open["delay_us"],
            &open["seed"]
        ),
        (
            &"drop 5 %, delay 20ms, cut to b on messages".into(),
            &50_000.into(),
            &20_000.into(),
            &3.into()
        ),
        "{open}"
    );
    let shown = home.text(&["fault", "list"]);
    assert!(shown.contains("cut to b on messages"), "{shown}");
    assert!(
        home.text(&["metrics"])
            .contains("faults on purpose: 1 open")
    );
    for (wrong, said) in [
        (&["fault", "add", "--for", "1s"][..], "does nothing"),
        (&["fault", "add", "--cut", "--for", "25h"], "at most 86400s"),
        (&["fault", "add", "--cut", "--for", "1"], "such as 20ms"),
        (&["fault", "add", "--cut"], "--for"),
        (
            &["fault", "add", "--cut", "--for", "1s", "--channel", "x"],
            "messages",
        ),
        (&["fault", "remove", "2"], "no fault 2 is open"),
    ] {
        let error = home.fails(2, wrong);
        assert!(error.contains(said), "{error}");
    }
    assert_eq!(home.text(&["fault", "remove", "1"]), "removed\n");
    assert_eq!(home.text(&["fault", "list"]), "no fault is open\n");
    stop(a);
}

#[test]
fn a_recording_is_taken_shown_and_made_a_trace() {
    let home = Home::new("recording");
    let a = home.node("a", &["--overlay", "none"]);
    let (file, trace) = (home.0.join("a.recording"), home.0.join("a.pftrace"));
    let (file, trace) = (file.to_string_lossy(), trace.to_string_lossy());
    let said = home.text(&["recording", "dump", &file]);
    assert!(said.contains("entries written to"), "{said}");
    let shown = home.text(&["recording", "show", &file]);
    assert!(shown.starts_with("node a of cluster "), "{shown}");
    for thread in ["shard 0: ", "control: "] {
        assert!(shown.contains(thread), "no {thread} in {shown}");
    }
    home.text(&["recording", "show", &file, "--perfetto", &trace]);
    let written = std::fs::read(&*trace).expect("it is written");
    assert!(written.len() > 100, "{} bytes", written.len());
    let error = home.fails(2, &["recording", "show", &trace]);
    assert!(error.contains("no recording of overlane"), "{error}");
    home.fails(2, &["recording", "show", "/nowhere"]);
    home.fails(4, &["recording", "dump", "/nowhere/a.recording"]);
    stop(a);
}

#[test]
fn a_node_that_is_told_to_end_is_a_lame_duck_first() {
    let home = Home::new("duck");
    let mut node = home.node(
        "a",
        &[
            "--http",
            "127.0.0.1:0",
            "--overlay",
            "none",
            "--lame-duck-ms",
            "1500",
        ],
    );
    let address: SocketAddr = node.up["http"]
        .as_str()
        .expect("an address")
        .parse()
        .expect("an address");
    let asked = |path: &str| {
        let mut stream = TcpStream::connect(address).expect("it listens");
        stream.set_read_timeout(Some(GENEROUS)).expect("a socket");
        write!(stream, "GET {path} HTTP/1.1\r\n\r\n").expect("it reads");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer");
        answer
    };
    assert!(asked("/readyz").starts_with("HTTP/1.1 200"));
    let told = Instant::now();
    node.signal("TERM");
    assert_eq!(node.says()["lame_duck_ms"], 1500);
    let answer = asked("/readyz");
    assert!(
        answer.starts_with("HTTP/1.1 503") && answer.contains("no new peers"),
        "{answer}"
    );
    assert!(asked("/healthz").starts_with("HTTP/1.1 200"));
    assert_eq!(node.says()["drained"], true);
    assert!(told.elapsed() >= Duration::from_millis(1500));
    assert_eq!(node.ended(), Some(0));
}
