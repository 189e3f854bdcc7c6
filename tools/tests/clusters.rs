//! Commands about the cluster, with nodes that form one by `--join`.

mod support;

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use serde_json::Value;
use support::{Home, RunningNode, ends, next_line, text, until};

/// So many nodes, `n1` and so on; all join through the first, and each has said that it has joined.
fn cluster(home: &Home, nodes: usize) -> Vec<RunningNode> {
    cluster_with(home, nodes, &[])
}

/// The same, with these arguments for each.
fn cluster_with(home: &Home, nodes: usize, more: &[&str]) -> Vec<RunningNode> {
    let mut all: Vec<RunningNode> = Vec::new();
    for number in 1..=nodes {
        let name = format!("n{number}");
        let Some(first) = all.first() else {
            all.push(home.node(&name, more));
            continue;
        };
        let seed = first.address().to_string();
        let mut node = home.node(&name, &[&["--join", &seed], more].concat());
        let joined = node.says();
        assert_eq!(joined["joined"], true, "{joined}");
        all.push(node);
    }
    for number in 1..=nodes {
        let name = format!("n{number}");
        let members = || home.json(&["members", "--node", &name]);
        until("all know all", members, |members| {
            statuses(members) == vec!["alive"; nodes]
        });
    }
    all
}

fn statuses(members: &Value) -> Vec<&str> {
    let members = members.as_array().expect("a list");
    members
        .iter()
        .filter_map(|member| member["status"].as_str())
        .collect()
}

#[test]
fn nodes_join_and_each_lists_all() {
    let home = Home::new("join");
    let nodes = cluster(&home, 3);
    let members = home.json(&["members", "--node", "n2"]);
    for (member, node) in members.as_array().expect("a list").iter().zip(&nodes) {
        assert_eq!(member["member"], node.up["node"]);
        assert_eq!(member["incarnation"], node.up["incarnation"]);
        assert_eq!(member["addresses"][0], node.up["address"]);
        assert_eq!(member["is_self"], member["member"] == "n2");
    }
    let listed = home.text(&["members", "--node", "n2"]);
    assert_eq!(listed.lines().count(), 4, "{listed}");
    assert_eq!(listed.matches("  itself").count(), 1, "{listed}");
    let status = home.json(&["status", "--node", "n3"]);
    let expected = serde_json::json!({"joined": true, "members": 3, "overlay": "full_mesh"});
    assert_eq!(status["in_cluster"], expected);
    for node in nodes {
        assert_eq!(node.stop().0, Some(0));
    }
}

#[test]
fn a_channel_is_changed_on_all_nodes_by_one_command() {
    let home = Home::new("channels");
    let nodes = cluster(&home, 3);
    let add = ["channel", "add", "orders", "priority=2", "--cluster"];
    let said = home.text(&[&add[..], &["--node", "n1"]].concat());
    assert_eq!(said, "change 1: made at 3 of 3 members\n");
    let set = ["channel", "set", "orders", "priority=3", "--cluster"];
    let done = home.json(&[&set[..], &["--node", "n2"]].concat());
    assert_eq!(done["made"], serde_json::json!(["n1", "n2", "n3"]));
    let listed = home.json(&["channel", "list", "orders", "--node", "n3"]);
    assert_eq!(listed["parameters"]["priority"], "3");
    let changes = home.text(&["channel", "changes", "--node", "n3"]);
    let [_, change] = changes.lines().collect::<Vec<_>>()[..] else {
        panic!("{changes}");
    };
    let words: Vec<_> = change.split_whitespace().collect();
    assert_eq!(words, ["orders", "2", "n2", "yes", "add", "priority=3"]);
    let error = home.fails(
        2,
        &[
            "channel",
            "set",
            "orders",
            "parallelism=3",
            "--cluster",
            "--node",
            "n1",
        ],
    );
    assert!(error.contains("as long as there is the channel"), "{error}");
    let removed = home.json(&["channel", "remove", "messages", "--node", "n3"]);
    assert_eq!(removed["done"], true);
    // n3 cannot make it, and the command says so.
    let set = ["channel", "set", "messages", "priority=4", "--cluster"];
    let said = home.run(&[&set[..], &["--node", "n1"]].concat());
    let (code, said) = (said.status.code(), text(&said.stdout));
    assert!(
        said.contains("n3 cannot: this node has no channel"),
        "{said}"
    );
    assert_eq!(code, Some(1));
    let remove = ["channel", "remove", "orders", "--cluster", "--node", "n1"];
    assert_eq!(home.text(&remove), "change 5: made at 3 of 3 members\n");
    for node in nodes {
        assert_eq!(node.stop().0, Some(0));
    }
}

#[test]
fn the_overlay_is_switched_on_all_nodes_and_a_broadcast_comes_to_all() {
    let home = Home::new("switch");
    let mut nodes = cluster(&home, 3);
    let switched = home.json(&["topology", "switch", "hyparview", "--node", "n1"]);
    assert_eq!(
        (&switched["overlay"], &switched["epoch"]),
        (&"hyparview".into(), &1.into())
    );
    for name in ["n2", "n3"] {
        let show = || home.json(&["topology", "show", "--node", name]);
        let shown = until("it is in force", show, |shown| shown["epoch"] == 1);
        assert_eq!(
            (&shown["overlay"], &shown["members"]),
            (&"hyparview".into(), &3.into())
        );
        assert_eq!(shown["neighbors"].as_array().map(Vec::len), Some(2));
    }
    let error = home.fails(2, &["topology", "switch", "hyparview", "--node", "n1"]);
    assert!(error.contains("is the overlay already"), "{error}");
    let history = home.json(&["topology", "history", "--node", "n1"]);
    assert_eq!(
        (&history[0]["by"], &history[0]["end"]),
        (&"hand".into(), &"committed".into())
    );
    let said = home.text(&["topology", "analyze", "--node", "n1"]);
    assert!(
        said.starts_with("overlay hyparview") && said.contains("manual"),
        "{said}"
    );
    let rules = home.json(&["topology", "rules", "set", "hold_looks=4", "--node", "n1"]);
    assert_eq!(rules["hold_looks"], "4");
    let said = home.text(&["topology", "rules", "show", "--node", "n1"]);
    assert!(said.contains("hold_looks = 4\n"), "{said}");
    let error = home.fails(2, &["topology", "rules", "set", "hold=4", "--node", "n1"]);
    assert!(error.contains("there is no rule hold"), "{error}");
    let error = home.fails(2, &["topology", "switch", "ring", "--node", "n1"]);
    assert!(
        error.contains("full_mesh, hyparview, client_server or pub_sub"),
        "{error}"
    );
    let servers = [
        "topology",
        "switch",
        "client_server",
        "--server",
        "n1",
        "--node",
        "n2",
    ];
    let switched = home.json(&servers);
    assert_eq!(switched["servers"], serde_json::json!(["n1"]));

    let said = home.text(&["broadcast", "inbox", "to all", "--node", "n2"]);
    assert_eq!(said, "on its way to 2 members over messages\n");
    for (index, node) in nodes.iter_mut().enumerate() {
        if index != 1 {
            let message = &node.says()["message"];
            assert_eq!(
                (&message["from"], &message["text"]),
                (&"n2".into(), &"to all".into())
            );
        }
    }
    let started = home.json(&["topology", "show", "--node", "n2"]);
    assert_eq!(started["broadcasts_started"], 1);
    let all_or_none = [
        "broadcast",
        "inbox",
        "now",
        "--kind",
        "atomic",
        "--node",
        "n2",
    ];
    assert_eq!(
        home.text(&all_or_none),
        "delivered by 2 members over messages\n"
    );
    for (index, node) in nodes.iter_mut().enumerate() {
        if index != 1 {
            assert_eq!(node.says()["message"]["text"], "now");
        }
    }
    let error = home.fails(2, &["broadcast", "inbox", "x", "--kind", "total"]);
    assert!(
        error.contains("plain, causal, atomic or epidemic"),
        "{error}"
    );
    let said = home.text(&["subscribe", "weather", "--node", "n1"]);
    assert_eq!(said, "subscribed\n");
    let said = home.text(&["publish", "weather", "sun", "--node", "n2"]);
    assert_eq!(said, "on its way over messages\n");
    let message = &nodes[0].says()["message"];
    assert_eq!(
        (&message["from"], &message["text"], &message["topic"]),
        (&"n2".into(), &"sun".into(), &"weather".into())
    );
    assert_eq!(
        home.text(&["unsubscribe", "weather", "--node", "n1"]),
        "unsubscribed\n"
    );
    home.fails(2, &["unsubscribe", "weather", "--node", "n1"]);
    home.fails(
        2,
        &[
            "broadcast",
            "inbox",
            "x",
            "--channel",
            "none",
            "--node",
            "n2",
        ],
    );
    for node in nodes {
        assert_eq!(node.stop().0, Some(0));
    }
}

#[test]
fn a_node_that_leaves_ends_and_the_others_know_it_left() {
    let home = Home::new("leave");
    let mut nodes = cluster(&home, 3);
    let mut following = home
        .command(&[
            "events",
            "--kind",
            "member_left",
            "--json",
            "--timeout-s",
            "60",
            "--node",
            "n1",
        ])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it runs");
    let mut errors = BufReader::new(following.stderr.take().expect("a pipe"));
    errors.read_line(&mut String::new()).expect("text");
    assert_eq!(home.text(&["leave", "--node", "n3"]), "left\n");
    let mut gone = nodes.remove(2);
    assert_eq!(ends(&mut gone.process, "the node that left"), Some(0));
    let mut output = BufReader::new(following.stdout.take().expect("a pipe"));
    assert_eq!(next_line(&mut output)["member"], "n3");
    assert_eq!(ends(&mut following, "one that waits for it"), Some(0));
    for name in ["n1", "n2"] {
        let members = || home.json(&["members", "--node", name]);
        until("it left", members, |members| {
            statuses(members) == ["alive", "alive", "left"]
        });
    }
    assert_eq!(home.text(&["evict", "n2", "--node", "n1"]), "evicted\n");
    let mut evicted = nodes.remove(1);
    assert_eq!(
        ends(&mut evicted.process, "the node that was evicted"),
        Some(0)
    );
    let error = home.fails(2, &["evict", "n2", "--node", "n1"]);
    assert!(error.contains("n2 is left already"), "{error}");
    for node in nodes {
        assert_eq!(node.stop().0, Some(0));
    }
}

#[test]
fn a_node_that_is_killed_is_found_to_be_down() {
    let home = Home::new("down");
    let nodes = cluster(&home, 3);
    nodes[1].signal("KILL");
    let members = || home.json(&["members", "--node", "n1"]);
    until("it is down", members, |members| {
        statuses(members) == ["alive", "down", "alive"]
    });
}

#[test]
fn a_join_that_finds_nobody_is_told_and_the_node_goes_on() {
    let home = Home::new("nobody");
    let node = home.node("a", &["--join", "127.0.0.1:9"]);
    let status = home.json(&["status"]);
    assert_eq!(status["in_cluster"]["joined"], false);
    assert!(home.text(&["status"]).contains("not joined yet"));
    assert_eq!(node.stop().0, Some(0));
    let error = home.fails(2, &["node", "--join", "nowhere"]);
    assert!(error.contains("`nowhere` is no seed"), "{error}");
    let error = home.fails(2, &["node", "--join", "127.0.0.1:9", "--overlay", "none"]);
    assert!(error.contains("--join needs an overlay"), "{error}");
}

#[test]
fn a_switch_is_simulated_with_what_a_node_measures_and_changes_nothing() {
    let home = Home::new("dry-run");
    let nodes = cluster_with(&home, 3, &["--topology-look-s", "1"]);
    until(
        "round trips are measured",
        || home.json(&["topology", "analyze", "--node", "n1"]),
        |analysis| {
            let peers = &analysis["measurements"]["peers"];
            peers.as_array().is_some_and(|peers| !peers.is_empty())
        },
    );
    let dry = [
        "topology",
        "switch",
        "hyparview",
        "--dry-run",
        "--node",
        "n1",
    ];
    let figures = home.json(&dry);
    assert_eq!(
        (
            &figures["nodes"],
            &figures["from"],
            &figures["to"],
            &figures["switched"]
        ),
        (
            &3.into(),
            &"full_mesh".into(),
            &"hyparview".into(),
            &true.into()
        ),
        "{figures}"
    );
    let overlay = home.json(&["topology", "show", "--node", "n1"]);
    assert_eq!(
        (&overlay["overlay"], &overlay["epoch"]),
        (&"full_mesh".into(), &0.into())
    );
    let same = [
        "topology",
        "switch",
        "full_mesh",
        "--dry-run",
        "--node",
        "n1",
    ];
    let error = home.fails(2, &same);
    assert!(error.contains("full_mesh already"), "{error}");
    for node in nodes {
        let (code, _) = node.stop();
        assert_eq!(code, Some(0));
    }
}

#[test]
fn metrics_of_the_cluster_are_those_of_its_members_added_up() {
    let home = Home::new("totals");
    let channel = [
        "--channel",
        "orders:reliability=guaranteed",
        "--mailbox",
        "inbox",
    ];
    let nodes = cluster_with(
        &home,
        3,
        &[&channel[..], &["--summaries-period-ms", "100"]].concat(),
    );
    for (from, to) in [("n1", "n2"), ("n2", "n3"), ("n3", "n1"), ("n1", "n3")] {
        home.text(&[
            "send",
            to,
            "inbox",
            "x",
            "--channel",
            "orders",
            "--node",
            from,
        ]);
    }
    let total = || home.json(&["metrics", "--cluster", "--node", "n2"]);
    let total = until("all four messages are in the sums", total, |total| {
        let figures = &total["channels"]["orders"]["figures"];
        let accepted = &figures["accepted"];
        total["covered"] == 3
            && accepted["sum"] == 4
            && accepted["max"] == 2
            && figures["acknowledged"]["sum"] == 4
    });
    assert_eq!(
        total["channels"]["orders"]["figures"]["accepted"]["max_at"],
        "n1"
    );
    let said = home.text(&["metrics", "--cluster", "--node", "n2"]);
    assert!(
        said.contains("3 of 3 members are in the sums; the oldest part is "),
        "{said}"
    );
    let row = said.lines().find(|line| line.starts_with("orders"));
    let row: Vec<_> = row.expect("a row").split_whitespace().collect();
    assert_eq!(row[..4], ["orders", "3", "4", "4"], "{said}");
    home.fails(2, &["metrics", "--cluster", "--peer", "n1", "--node", "n2"]);
    for node in nodes {
        assert_eq!(node.stop().0, Some(0));
    }
}
