//! `overlane node`, and the commands that ask it, as a user runs them.

#[path = "nodes/operating.rs"]
mod operating;
#[path = "nodes/protected.rs"]
mod protected;
mod support;

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::process::Stdio;

use support::{Home, RunningNode, ends, next_line, text, until};

/// Nodes `a` and `b` that are connected, and what `a` was told to do it.
fn pair(home: &Home, more: &[&str]) -> (RunningNode, RunningNode) {
    // Connected by hand, and in no cluster.
    let more = [&["--overlay", "none"], more].concat();
    let (a, b) = (home.node("a", &more), home.node("b", &more));
    let address = b.address().to_string();
    let said = home.text(&["connect", "b", &address, "--node", "a", "--wait-s", "60"]);
    assert_eq!(said, "connected\n");
    (a, b)
}

fn stop(node: RunningNode) {
    let (code, last) = node.stop();
    assert_eq!((code, &last["drained"]), (Some(0), &true.into()), "{last}");
    let sum = |key: &str| last[key].as_u64().expect("a count");
    assert_eq!(
        sum("accepted"),
        sum("acknowledged") + sum("reported"),
        "{last}"
    );
}

#[test]
fn a_node_says_that_it_is_up_and_how_it_stopped() {
    let home = Home::new("up");
    let node = home.node("a", &[]);
    assert_eq!(node.up["node"], "a");
    assert_eq!(node.up["channels"], serde_json::json!(["messages"]));
    let folder = home.0.join("overlane");
    assert_eq!(node.socket(), folder.join("a.sock"));
    let mode = |path| {
        std::fs::metadata(path)
            .expect("it is there")
            .permissions()
            .mode()
            & 0o777
    };
    assert_eq!(
        (mode(&folder), mode(&folder.join("a.sock"))),
        (0o700, 0o600)
    );
    let status = home.json(&["status"]);
    assert_eq!(
        (&status["node"], &status["identity_holds"]),
        (&"a".into(), &true.into())
    );
    let said = home.text(&["status"]);
    assert!(said.contains("all accounted for"), "{said}");
    stop(node);
    assert!(!folder.join("a.sock").exists());
}

#[test]
fn nodes_are_found_by_name_by_path_and_where_there_is_one_by_themselves() {
    let home = Home::new("found");
    let error = home.fails(5, &["status"]);
    assert!(error.contains("start one with `overlane node`"), "{error}");
    let a = home.node("a", &[]);
    // What a dead process left is nobody.
    drop(UnixListener::bind(home.0.join("overlane/dead.sock")).expect("a free path"));
    assert_eq!(home.json(&["status"])["node"], "a");
    let b = home.node("b", &[]);
    let error = home.fails(2, &["status"]);
    assert!(error.contains("there are a, b"), "{error}");
    assert_eq!(home.json(&["status", "--node", "b"])["node"], "b");
    let path = b.socket().to_string_lossy().into_owned();
    assert_eq!(home.json(&["status", "--admin", &path])["node"], "b");
    let output = home
        .command(&["status", "--json"])
        .env("OVERLANE_ADMIN", &path)
        .output();
    assert!(text(&output.expect("it runs").stdout).contains("\"node\":\"b\""));
    assert!(
        home.fails(5, &["members", "--node", "c"])
            .contains("no node answers at")
    );
    home.fails(2, &["members", "--node", "../a"]);
    home.fails(2, &["members", "--node", "a", "--admin", &path]);
    home.fails(5, &["status", "--node", "dead"]);
    stop(a);
    stop(b);
}

#[test]
fn peers_are_connected_listed_pinged_and_parted_from() {
    let home = Home::new("peers");
    let (a, b) = pair(&home, &[]);
    let peers = home.json(&["peers", "--node", "a"]);
    assert_eq!(peers[0]["peer"], "b");
    assert_eq!(peers[0]["address"], b.address().to_string());
    let listed = home.text(&["peers", "--node", "a"]);
    let lines: Vec<_> = listed.lines().collect();
    assert!(
        lines[0].starts_with("node  state") && lines[1].starts_with("b     connected"),
        "{listed}"
    );

    let pings = home.json(&[
        "ping",
        "b",
        "--node",
        "a",
        "--count",
        "5",
        "--interval-ms",
        "0",
    ]);
    assert_eq!(
        (&pings["answered"], &pings["channel"]),
        (&5.into(), &"messages".into())
    );
    let figure = |key: &str| pings[key].as_f64().expect("a figure");
    assert!(
        0.0 < figure("min_us") && figure("min_us") <= figure("p50_us"),
        "{pings}"
    );
    assert!(
        figure("p50_us") <= figure("p99_us") && figure("p99_us") <= figure("max_us"),
        "{pings}"
    );
    let said = home.text(&["ping", "b", "--node", "a", "-n", "2", "--interval-ms", "1"]);
    assert_eq!(said.lines().count(), 3, "{said}");
    assert!(said.contains("2 of 2 answered; min "), "{said}");
    for words in [
        ["members"].as_slice(),
        &["topology", "show"],
        &["leave"],
        &["broadcast", "inbox", "x"],
    ] {
        let error = home.fails(2, &[words, &["--node", "a"]].concat());
        assert!(error.contains("the node is in no cluster"), "{error}");
    }
    let error = home.fails(1, &["ping", "c", "--node", "a", "-n", "1"]);
    assert!(error.contains("no lane to that peer"), "{error}");
    home.fails(2, &["ping", "b", "--node", "a", "--channel", "none"]);

    assert_eq!(
        home.text(&["disconnect", "b", "--node", "a"]),
        "disconnected\n"
    );
    let away = |peers: &serde_json::Value| peers[0]["connected"] == false;
    until("they part", || home.json(&["peers", "--node", "a"]), away);
    assert_eq!(home.text(&["forget", "b", "--node", "a"]), "forgotten\n");
    stop(a);
    stop(b);
}

#[test]
fn messages_are_sent_and_printed_where_they_come() {
    let home = Home::new("send");
    let (a, mut b) = pair(&home, &["--mailbox", "inbox", "--mailbox", "other"]);
    let said = home.text(&["send", "b", "inbox", "hello\u{1b}[2J", "--node", "a"]);
    assert_eq!(said, "delivered\n");
    let message = &b.says()["message"];
    assert_eq!(
        (&message["from"], &message["text"]),
        (&"a".into(), &"hello\u{1b}[2J".into())
    );
    let mut sending = home
        .command(&["send", "b", "other", "-", "--node", "a", "--json"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("it runs");
    let bytes = [0xff; 1000];
    sending
        .stdin
        .take()
        .expect("a pipe")
        .write_all(&bytes)
        .expect("it reads");
    let output = sending.wait_with_output().expect("it ends");
    assert!(
        text(&output.stdout).contains("\"outcome\":\"acknowledged\""),
        "{output:?}"
    );
    let message = &b.says()["message"];
    assert_eq!(
        (&message["bytes"], &message["mailbox"]),
        (&1000.into(), &"other".into())
    );
    assert!(message["text"].is_null());
    let error = home.fails(1, &["send", "b", "nobody", "x", "--node", "a"]);
    assert!(error.contains("no such mailbox"), "{error}");
    let error = home.fails(
        2,
        &[
            "send",
            "b",
            "inbox",
            "x",
            "--node",
            "a",
            "--channel",
            "none",
        ],
    );
    assert!(
        error.contains("the configured ones are messages"),
        "{error}"
    );
    stop(a);
    stop(b);
}

#[test]
fn channels_and_rules_are_changed_while_nodes_run() {
    let home = Home::new("channels");
    let (a, b) = pair(&home, &[]);
    let on_a = ["--node", "a"];
    let run = |arguments: &[&str]| home.text(&[arguments, &on_a].concat());
    assert_eq!(
        run(&["channel", "add", "bulk", "priority=low", "compression=lz4"]),
        "added\n"
    );
    assert_eq!(
        run(&["channel", "set", "bulk", "priority=high"]),
        "changed\n"
    );
    let listed = run(&["channel", "list"]);
    assert!(
        listed.contains("bulk      high      reliable     fifo      lz4"),
        "{listed}"
    );
    let all = run(&["channel", "list", "bulk"]);
    let changed: Vec<_> = all.lines().filter(|line| line.ends_with(" set")).collect();
    assert_eq!(changed.len(), 2, "{all}");
    for (arguments, said) in [
        (["channel", "add", "bulk"].as_slice(), "already"),
        (
            &["channel", "set", "bulk", "prioritty=1"],
            "did you mean `priority`?",
        ),
        (
            &["channel", "set", "bulk", "parallelism=2"],
            "remove the channel and add it again",
        ),
        (
            &["channel", "list", "none"],
            "those there are now are messages, bulk",
        ),
        (&["rules", "set", "none"], "none"),
    ] {
        let error = home.fails(2, &[arguments, &on_a].concat());
        assert!(error.contains(said), "{arguments:?}: {error} lacks {said}");
    }
    assert_eq!(run(&["rules", "set", "messages:peer=b"]), "replaced\n");
    assert_eq!(run(&["send", "b", "inbox", "x"]), "delivered\n");
    let rules = home.json(&["rules", "list", "--node", "a"]);
    assert_eq!(
        rules[0],
        serde_json::json!({"rule": "messages:peer=b", "channel": "messages", "matched": 1})
    );
    let said = run(&["channel", "remove", "bulk"]);
    assert_eq!(said, "removed; 0 messages reported, 0 dropped\n");
    stop(a);
    stop(b);
}

#[test]
fn metrics_say_what_became_of_every_message() {
    let home = Home::new("metrics");
    let (a, b) = pair(&home, &[]);
    for _ in 0..3 {
        home.text(&["send", "b", "inbox", "x", "--node", "a"]);
    }
    let metrics = home.json(&[
        "metrics",
        "--node",
        "a",
        "--peer",
        "b",
        "--channel",
        "messages",
    ]);
    let lane = &metrics["lanes"][0];
    assert_eq!(
        (&lane["accepted"], &lane["acknowledged"]),
        (&3.into(), &3.into()),
        "{lane}"
    );
    assert_eq!(metrics["lanes"].as_array().map(Vec::len), Some(1));
    assert_eq!(metrics["identity_holds"], true);
    assert_eq!(metrics["latency"]["messages"]["count"], 3);
    let said = home.text(&["metrics", "--node", "b"]);
    assert!(said.contains("all messages are accounted for"), "{said}");
    stop(a);
    stop(b);
}

#[test]
fn events_come_as_they_happen() {
    let home = Home::new("events");
    let a = home.node("a", &[]);
    let start = |arguments: &[&str]| {
        let mut process = home
            .command(&[&["events", "--node", "a", "--json"], arguments].concat())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("it runs");
        let mut errors = BufReader::new(process.stderr.take().expect("a pipe"));
        let mut line = String::new();
        errors.read_line(&mut line).expect("text");
        assert!(line.contains("from now on"), "{line}");
        let output = BufReader::new(process.stdout.take().expect("a pipe"));
        (process, output)
    };
    let (mut all, mut of_all) = start(&["--follow"]);
    let (mut one, mut of_one) = start(&["--kind", "channel_removed", "--timeout-s", "60"]);
    let (mut none, _) = start(&["--kind", "peer_up", "--timeout-s", "0"]);
    assert_eq!(ends(&mut none, "one that waits for nothing"), Some(1));
    home.text(&["channel", "add", "x", "--node", "a"]);
    home.text(&["channel", "remove", "x", "--node", "a"]);
    for kind in ["channel_added", "channel_removed"] {
        // A node that has just started may tell of itself in between.
        let event = loop {
            let event = next_line(&mut of_all);
            if event["event"] != "coordinator" {
                break event;
            }
        };
        assert_eq!(
            (&event["event"], &event["channel"]),
            (&kind.into(), &"x".into())
        );
    }
    assert_eq!(next_line(&mut of_one)["event"], "channel_removed");
    assert_eq!(ends(&mut one, "one that waits for an event"), Some(0));
    stop(a);
    let mut rest = String::new();
    of_all.read_to_string(&mut rest).expect("text");
    assert_eq!(ends(&mut all, "one that follows"), Some(0), "{rest}");
}

#[test]
fn a_second_node_of_a_name_is_refused_while_the_first_runs_and_replaces_it_when_it_is_dead() {
    let home = Home::new("second");
    let first = home.node("a", &[]);
    let error = home.fails(3, &["node", "--node-name", "a", "--listen", "127.0.0.1:0"]);
    assert!(error.contains("served by a process that runs"), "{error}");
    first.signal("KILL");
    let mut first = first;
    ends(&mut first.process, "a node that is killed");
    let again = home.node("a", &[]);
    assert_eq!(home.json(&["status"])["node"], "a");
    stop(again);
}

#[test]
fn a_node_without_an_admin_socket_and_one_with_a_bad_path() {
    let home = Home::new("off");
    let node = home.node("a", &["--admin", "off"]);
    assert!(node.up["admin"].is_null());
    assert!(!home.0.join("overlane").exists());
    stop(node);
    let long = "a".repeat(200);
    let error = home.fails(
        3,
        &["node", "--node-name", &long, "--listen", "127.0.0.1:0"],
    );
    assert!(error.contains("an address holds 107"), "{error}");
    let error = home.fails(2, &["node", "--admin", "socket"]);
    assert!(error.contains("a path with a / in it"), "{error}");
    let error = home.fails(2, &["node", "--spin-us", "fast"]);
    assert!(error.contains("flag --spin-us"), "{error}");
}

#[test]
fn a_folder_that_others_can_write_to_is_refused() {
    let home = Home::new("folder");
    let folder = home.0.join("overlane");
    std::fs::create_dir(&folder).expect("it can be made");
    std::fs::set_permissions(&folder, PermissionsExt::from_mode(0o777)).expect("it is ours");
    let error = home.fails(3, &["node", "--listen", "127.0.0.1:0"]);
    assert!(error.contains("not this user's alone"), "{error}");
}

#[test]
fn what_comes_from_elsewhere_does_not_command_a_terminal() {
    let home = Home::new("terminal");
    let (a, mut b) = pair(&home, &[]);
    let bad = "a\u{1b}[2J\u{9b}31m\u{202e}";
    home.text(&["send", "b", "inbox", bad, "--node", "a"]);
    let mut line = String::new();
    b.output.read_line(&mut line).expect("text");
    let is_shown = |text: &str| {
        !text
            .trim_end()
            .contains(|character: char| character.is_control() || character == '\u{202e}')
    };
    assert!(is_shown(&line), "{line:?}");
    for arguments in [
        [
            "rules",
            "set",
            &format!("messages:message_type={bad}"),
            "--node",
            "a",
        ]
        .as_slice(),
        &["channel", "add", bad, "--node", "a"],
        &["send", bad, "inbox", "x", "--node", "a"],
        &["members", "--node", bad],
    ] {
        let output = home.run(arguments);
        assert!(!output.status.success(), "{arguments:?}");
        for line in text(&output.stderr).lines() {
            assert!(is_shown(line), "{line:?}");
        }
    }
    stop(a);
    stop(b);
}
