//! A configuration file that is read again while the node is used: what it changes, and files that are wrong.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use overlane::admin::{Answer, RefusalKind, Request};
use overlane::config::{Admin, Config, ConfigBuilder, ConfigError, Flags, Sources};
use overlane::error::{NameError, ReloadError};
use overlane::{Node, NodeBuilder};

use crate::support::{self, Ends, GENEROUS, connect_both, drained, wait_until};
use crate::{Folder, ask, refused};

/// Reads channels, rules and rules for the topology from a file, and has the rest from the test.
fn read(base: &Config, file: &Path) -> Result<Config, ConfigError> {
    let flags = Flags {
        config: Some(file.to_string_lossy().into_owned()),
        ..Flags::default()
    };
    let sources = Sources {
        flags,
        ..Sources::default()
    };
    let read = sources.load()?;
    Ok(Config {
        channels: read.channels,
        rules: read.rules,
        spin_us: read.spin_us,
        peers: read.peers,
        ..base.clone()
    })
}

fn builder(config: ConfigBuilder, file: &Path) -> NodeBuilder {
    let base = config.build().expect("a valid configuration");
    let file = file.to_owned();
    let first = read(&base, &file).unwrap_or_else(|error| panic!("{error}"));
    Node::builder(first).reload_with(move || read(&base, &file))
}

fn write(file: &Path, text: &str) {
    std::fs::write(file, text).expect("it can be written");
}

fn file(folder: &Folder) -> PathBuf {
    folder.socket("overlane").with_extension("toml")
}

#[test]
fn a_file_that_changed_is_followed_and_what_needs_a_restart_is_told() {
    let folder = Folder::new();
    let (file, socket) = (file(&folder), folder.socket("a"));
    write(&file, "[channel.data]\npriority = 4\n[channel.old]\n");
    let config = support::config("a").admin(Admin::At(socket.clone()));
    let node = builder(config, &file).start().expect("it starts");
    let reload = Request::Reload { wait_ms: 10_000 };
    let nothing = Answer::Reloaded {
        changed: Vec::new(),
        needs_restart: Vec::new(),
    };
    assert_eq!(ask(&socket, &reload), nothing);

    let by_hand = |text: &str| Request::SetChannel {
        channel: text.to_owned(),
    };
    assert_eq!(ask(&socket, &by_hand("data:dscp=10")), Answer::Done);
    write(
        &file,
        "spin_us = 7\n[channel.data]\npriority = 2\nparallelism = 3\n[channel.new]\n[[rule]]\nchannel = \"new\"\nmessage_type = \"x\"\n\
         [peers]\nnobody = \"127.0.0.1:9\"\n",
    );
    let Answer::Reloaded {
        changed,
        needs_restart,
    } = ask(&socket, &reload)
    else {
        panic!("it was read again");
    };
    let names = |changes: &[overlane::config::Change]| -> Vec<String> {
        changes.iter().map(|change| change.what.clone()).collect()
    };
    assert_eq!(
        names(&changed),
        [
            "peers",
            "channel.data.priority",
            "channel.new",
            "channel.old",
            "rule"
        ]
    );
    assert_eq!(
        names(&needs_restart),
        ["spin_us", "channel.data.parallelism"]
    );
    let data = node.channel_config("data").expect("it is there");
    assert_eq!(
        (data.priority, data.parallelism, data.dscp),
        (2.into(), 1, Some(10))
    );
    assert!(matches!(
        node.channel("old"),
        Err(NameError::UnknownChannel { .. })
    ));
    let rules = node.metrics().rules;
    assert_eq!(rules.len(), 1, "{rules:?}");
    assert_eq!(rules[0].channel, "new");
    let known: Vec<_> = node
        .peers()
        .iter()
        .map(|peer| peer.peer.name().to_owned())
        .collect();
    assert_eq!(known, ["nobody"]);
    // What needs a restart was told once, and is what the file says: there is nothing new.
    assert_eq!(ask(&socket, &reload), nothing);

    write(&file, "[channel.data]\npriority = 9\n");
    let refusal = refused(&socket, &reload);
    assert_eq!(refusal.kind, RefusalKind::Invalid);
    assert!(
        refusal.text.contains("priority") && refusal.text.contains("overlane.toml"),
        "{refusal}"
    );
}

#[test]
fn a_node_without_a_source_says_so() {
    let node = support::start(support::config("a"));
    assert_eq!(node.reload(GENEROUS), Err(ReloadError::NoSource));
}

/// Files that are wrong in one way each.
const WRONG: [&str; 6] = [
    "[channel.data]\npriority = 9\n",
    "[channel.data\n",
    "chanel = 1\n[channel.data]\n",
    "[channel.data]\nhints = \"nowhere\"\n",
    "[channel.data]\n[[rule]]\nchannel = \"nowhere\"\n",
    "[channel.data]\nlow_watermark_percent = 90\n",
];

#[test]
fn a_thousand_reloads_half_of_them_wrong_lose_nothing_and_wrong_ones_change_nothing() {
    let folder = Folder::new();
    let file = file(&folder);
    let text = |round: usize| {
        let extra = if round.is_multiple_of(4) {
            "[channel.extra]\n"
        } else {
            ""
        };
        format!(
            "[channel.data]\npriority = {}\nreliability = \"guaranteed\"\noverflow = \"block\"\nsend_quantum_bytes = {}\n{extra}",
            1 + round % 7,
            65_536 + round
        )
    };
    write(&file, &text(0));
    let a = builder(support::config("a"), &file)
        .start()
        .expect("it starts");
    let b = builder(support::config("b"), &file)
        .start()
        .expect("it starts");
    connect_both(&a, &b);
    let (handler, delivered) = support::counting_handler();
    b.handle("in", handler).expect("a name");
    let ended = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let _ends = Ends(&ended);
        let sending = scope.spawn(|| {
            let to = a.destination("b", "in").expect("names");
            let data = a.channel("data").expect("it is there");
            let mut sent = 0_u64;
            while !ended.load(Ordering::Relaxed) {
                data.send_blocking(&to, b"a message of the traffic")
                    .expect("it is connected");
                sent += 1;
            }
            sent
        });
        for round in 1..=500 {
            write(&file, &text(round));
            let report = a
                .reload(GENEROUS)
                .unwrap_or_else(|error| panic!("round {round}: {error}"));
            assert!(
                report.needs_restart.is_empty() && !report.changed.is_empty(),
                "{report:?}"
            );
            let before = a.channel_config("data").expect("it is there");
            let wrong = WRONG[round % WRONG.len()];
            write(&file, wrong);
            let error = a.reload(GENEROUS).expect_err("it is wrong");
            assert!(matches!(error, ReloadError::Config(_)), "{wrong}: {error}");
            let after = a.channel_config("data").expect("it is there");
            assert_eq!(after, before, "{wrong}");
            assert_eq!(
                a.channel("extra").is_ok(),
                round.is_multiple_of(4),
                "{wrong}"
            );
        }
        ended.store(true, Ordering::Relaxed);
        let sent = sending.join().expect("it does not panic");
        println!("1,000 reloads while {sent} messages were sent");
        let metrics = drained(&a);
        let data = metrics.channel("b", "data").expect("it was used");
        assert_eq!(
            (data.accepted, data.acknowledged, data.reported),
            (sent, sent, 0)
        );
        wait_until(
            "all are delivered",
            || delivered.load(Ordering::Relaxed),
            |count| *count == sent,
        );
    });
}
