//! What is wrong with a configuration is said with its place, its value and what would be right.

use crate::support::{FileText, environment, error_of, flags, load, sources};
use overlane::config::{Admin, ChannelConfig, Config};

fn assert_says(error: &str, parts: &[&str]) {
    for part in parts {
        assert!(error.contains(part), "{error:?} lacks {part:?}");
    }
}

fn file_error(text: &str) -> String {
    error_of(&sources(Some(&FileText::new(text)), &[], &[]))
}

fn conflict(config: &Config) -> String {
    config.validate().expect_err("a conflict").to_string()
}

#[test]
fn an_unknown_key_of_a_file_is_refused_with_the_nearest() {
    assert_says(
        &file_error("spin_su = 5"),
        &["key spin_su", "did you mean `spin_us`?"],
    );
    let nested = file_error("[channel.data]\nprioritty = 5");
    assert_says(
        &nested,
        &["key channel.data.prioritty", "did you mean `priority`?"],
    );
    let table = file_error("[chanel.data]\npriority = 5");
    assert_says(&table, &["key chanel", "did you mean `channel`?"]);
    let profile = file_error("[profile.production]\nshards = 1");
    assert_says(&profile, &["key profile.production", "dev, test, prod"]);
}

#[test]
fn an_unknown_variable_is_refused_with_the_nearest() {
    let error = error_of(&environment(&[("OVERLANE_SPINUS".into(), "5".into())]));
    assert_says(
        &error,
        &[
            "variable OVERLANE_SPINUS",
            "did you mean `OVERLANE_SPIN_US`?",
        ],
    );
    for name in ["OVERLANE_PORT", "OVERLANE_HOST"] {
        let error = error_of(&environment(&[(name.into(), "7400".into())]));
        assert_says(&error, &[name, "OVERLANE_LISTEN=127.0.0.1:7400"]);
    }
    let empty = error_of(&environment(&[("OVERLANE_SPINUS".into(), String::new())]));
    assert_says(&empty, &["did you mean `OVERLANE_SPIN_US`?"]);
    let error = error_of(&environment(&[("OVERLANE_".into(), "5".into())]));
    assert_says(&error, &["variable OVERLANE_:", "docs/tuning.md"]);
}

#[test]
fn an_unknown_flag_is_refused_with_the_nearest() {
    let command = overlane::config::augment(clap::Command::new("program"));
    let error = command
        .try_get_matches_from(["program", "--spin-uss", "5"])
        .expect_err("unknown");
    assert_says(&error.to_string(), &["--spin-uss", "--spin-us"]);
    let error = error_of(&flags(&["--channel", "data:paralelism=2"]));
    assert_says(
        &error,
        &[
            "flag --channel",
            "data.paralelism",
            "did you mean `parallelism`?",
        ],
    );
}

#[test]
fn a_flag_without_its_value_does_not_take_the_next_flag_for_it() {
    let command = || overlane::config::augment(clap::Command::new("program"));
    let error = command()
        .try_get_matches_from(["program", "--faults", "--spin-us", "5"])
        .expect_err("a value is missing");
    assert_says(
        &error.to_string(),
        &["--faults <VALUE>", "value is required"],
    );
    let error = error_of(&flags(&["--spin-us", "-5"]));
    assert_says(&error, &["flag --spin-us", "`-5`"]);
}

#[test]
fn a_key_of_the_other_scope_is_refused_with_its_place() {
    assert_says(
        &file_error("priority = 1"),
        &["a parameter of a channel", "[channel.NAME]"],
    );
    let error = error_of(&flags(&["--channel", "data:spin_us=2"]));
    assert_says(&error, &["a parameter of the node"]);
}

#[test]
fn a_mistake_in_a_profile_that_is_not_chosen_is_found_too() {
    let error = file_error("[profile.dev]\nspin_us = \"fast\"");
    assert_says(
        &error,
        &["key profile.dev.spin_us", "`fast`", "0 to 1000000"],
    );
}

#[test]
fn an_unknown_profile_is_refused_with_its_source() {
    let error = error_of(&flags(&["--profile", "prd"]));
    assert_says(&error, &["flag --profile", "`prd`", "did you mean `prod`?"]);
    let error = error_of(&environment(&[(
        "OVERLANE_PROFILE".into(),
        "staging".into(),
    )]));
    assert_says(
        &error,
        &["variable OVERLANE_PROFILE", "`staging`", "dev, test, prod"],
    );
}

#[test]
fn a_causal_channel_keeps_its_messages_and_has_one_lane_to_each_peer() {
    for (reliability, why) in [
        ("best_effort", "drops"),
        ("reliable", "lost with its connection"),
    ] {
        let channel = format!("data:ordering=causal,reliability={reliability}");
        let error = error_of(&flags(&["--channel", &channel]));
        assert_says(&error, &["ordering", reliability, why, "guaranteed"]);
    }
    let channel = "data:ordering=causal,reliability=guaranteed,parallelism=2";
    let error = error_of(&flags(&["--channel", channel]));
    assert_says(&error, &["ordering", "parallelism", "take parallelism 1"]);
}

#[test]
fn what_is_kept_until_it_is_acknowledged_cannot_be_dropped() {
    for reliability in ["at_least_once", "guaranteed"] {
        for overflow in ["drop_oldest", "drop_newest"] {
            let channel = format!("data:reliability={reliability},overflow={overflow}");
            let error = error_of(&flags(&["--channel", &channel]));
            assert_says(
                &error,
                &[
                    reliability,
                    overflow,
                    "cannot be dropped",
                    "reject or block",
                ],
            );
        }
    }
}

#[test]
fn the_low_watermark_is_below_the_high_one() {
    let channel = "data:high_watermark_percent=50,low_watermark_percent=50";
    let error = error_of(&flags(&["--channel", channel]));
    assert_says(
        &error,
        &[
            "low_watermark_percent",
            "high_watermark_percent",
            "50",
            "must be below",
        ],
    );
}

#[test]
fn priority_0_is_refused_as_the_engines_own() {
    let error = error_of(&flags(&["--channel", "data:priority=0"]));
    assert_says(
        &error,
        &[
            "`0`",
            "1 to 7",
            "reserved for the engine's own control channel",
        ],
    );
    let error = conflict(&Config {
        channels: vec![ChannelConfig::new("data").priority(0)],
        ..Config::default()
    });
    assert_says(&error, &["channel.data.priority", "reserved"]);
}

#[test]
fn a_bad_channel_name_is_refused_in_every_source() {
    for name in [
        "",
        "Data",
        "a b",
        "a/b",
        "ä",
        &"a".repeat(256),
        "overlane.control",
    ] {
        let in_code = Config {
            channels: vec![ChannelConfig::new(name)],
            ..Config::default()
        };
        assert_says(&conflict(&in_code), &["channel name"]);
        assert_says(
            &error_of(&flags(&["--channel", name])),
            &["flag --channel", "channel name"],
        );
        let in_file = file_error(&format!("[channel.\"{name}\"]\n"));
        assert_says(&in_file, &["channel name"]);
    }
}

#[test]
fn two_channels_of_one_name_are_refused() {
    let built = Config::builder()
        .channel(ChannelConfig::new("data"))
        .channel(ChannelConfig::new("data").priority(1))
        .build();
    assert_says(
        &built.expect_err("twice").to_string(),
        &["channel = data", "another name"],
    );
}

#[test]
fn values_that_do_not_agree_are_refused_with_both_and_their_places() {
    let file = FileText::new("receive_buffer_bytes = \"512KiB\"\n");
    let error = error_of(&sources(
        Some(&file),
        &[],
        &["--receive-quantum-bytes", "128KiB"],
    ));
    assert_says(
        &error,
        &[
            "receive_quantum_bytes = 128KiB (flag --receive-quantum-bytes)",
            &format!(
                "receive_buffer_bytes = 512KiB (file {}, line 1, key",
                file.path()
            ),
            "at least one receive buffer",
        ],
    );
}

#[test]
fn each_rule_between_values_is_enforced() {
    type Change = fn(&mut Config);
    let cases: [(Change, &str); 9] = [
        (
            |config| config.receive_quantum_bytes = 4096,
            "at least one receive buffer",
        ),
        (
            |config| config.send_quantum_bytes = 256 << 10,
            "the quantum of one lane",
        ),
        (
            |config| config.reconnect_base_ms = 6000,
            "must not exceed the longest",
        ),
        (|config| config.cores = vec![1, 0, 1], "name core 1 once"),
        (
            |config| (config.cores, config.shards) = (vec![0], 2),
            "at least as many cores as shards",
        ),
        (
            |config| config.pending_handshakes_max = 20_000,
            "allow no more of them",
        ),
        (
            |config| {
                (config.connections_max, config.pending_handshakes_max) = (3, 1);
                config.channels[0].parallelism = 2;
            },
            "allow a connection for each configured peer",
        ),
        (|config| config.peers_max = 1, "allow as many peers"),
        (|config| config.node_name = "b".into(), "not its own peer"),
    ];
    for (change, right) in cases {
        let address = "127.0.0.1:7001".parse().expect("an address");
        let mut config = Config::builder()
            .channel(ChannelConfig::new("data"))
            .peer("b", address)
            .peer("c", address)
            .build()
            .expect("right before the change");
        change(&mut config);
        assert_says(&conflict(&config), &[right]);
    }
}

#[test]
fn the_smallest_ring_has_room_for_four_payloads_of_the_largest_inline_limit() {
    let mut config = Config {
        inline_bytes_max: 16 << 10,
        inbox_bytes: 64 << 10,
        channels: vec![ChannelConfig::new("data").ring_bytes(64 << 10)],
        ..Config::default()
    };
    assert_eq!(config.validate(), Ok(()));
    config.inline_bytes_max += 1;
    assert_says(&conflict(&config), &["inline_bytes_max", "64 to 16KiB"]);
    (config.inline_bytes_max, config.inbox_bytes) = (1024, 32 << 10);
    assert_says(&conflict(&config), &["inbox_bytes", "64KiB to 512MiB"]);
}

#[test]
fn more_channels_than_a_node_has_are_refused() {
    let channels = (0..65)
        .map(|number| ChannelConfig::new(format!("c{number}")))
        .collect();
    let error = conflict(&Config {
        channels,
        ..Config::default()
    });
    assert_says(&error, &["channels = 65", "at most 64"]);
}

#[test]
fn a_bad_path_of_the_admin_socket_is_refused() {
    let long = format!("/{}", "x".repeat(107));
    for text in ["on", "a.sock", "", "/run/", "/run/a\u{1b}.sock", &long] {
        let error = error_of(&flags(&["--admin", text]));
        let parts = ["flag --admin", "a path with a / in it", "1 to 107 bytes"];
        assert_says(&error, &parts);
    }
    let right = load(&flags(&["--admin", "off"]));
    assert_eq!(right.admin, Admin::Off);
}

#[test]
fn parameters_of_protocols_that_do_not_agree_are_refused_with_both() {
    for (values, right) in [
        (
            [
                "--hyparview-passive-walk-hops 7",
                "--hyparview-active-walk-hops 6",
            ],
            "on its walk",
        ),
        (
            ["--hyparview-xbot true", "--hyparview-xbot-unbiased 5"],
            "can be replaced by a nearer one",
        ),
        (
            [
                "--pub-sub-lonely-every-ms 2000",
                "--pub-sub-announce-every-ms 1999",
            ],
            "lonely subscriber",
        ),
        (
            [
                "--plumtree-payload-bytes-max 2MiB",
                "--plumtree-fresh-bytes-max 1MiB",
            ],
            "what is young",
        ),
        (
            [
                "--pub-sub-payload-bytes-max 2MiB",
                "--pub-sub-fresh-bytes-max 1MiB",
            ],
            "what is young",
        ),
        (
            [
                "--plumtree-catch-up-for-ms 3000",
                "--plumtree-keep-for-ms 2000",
            ],
            "must be kept",
        ),
        (
            [
                "--plumtree-keep-for-ms 3000",
                "--plumtree-senders-for-ms 2999",
            ],
            "delivered twice",
        ),
        (
            [
                "--membership-direct-wait-ms 500",
                "--membership-indirect-wait-ms 501",
            ],
            "before the next one begins",
        ),
        (
            [
                "--membership-grace-least-ms 5000",
                "--membership-grace-most-ms 4999",
            ],
            "only one accuses",
        ),
        (
            [
                "--membership-grace-most-ms 12000",
                "--membership-forget-after-ms 119999",
            ],
            "ten times",
        ),
        (
            ["--partitions-settle-ms 1001", "--partitions-window-ms 1000"],
            "within its window",
        ),
        (
            [
                "--switching-probe-every-ms 1001",
                "--switching-prepare-max-ms 1000",
            ],
            "at least one try",
        ),
        (
            [
                "--switching-join-every-ms 1001",
                "--switching-prepare-max-ms 1000",
            ],
            "at least one try",
        ),
    ] {
        let arguments: Vec<&str> = values.iter().flat_map(|value| value.split(' ')).collect();
        let error = error_of(&flags(&arguments));
        assert_says(&error, &[right]);
        for flag in arguments.iter().step_by(2) {
            let key = flag.trim_start_matches("--").replace('-', "_");
            if key != "hyparview_xbot" {
                assert_says(&error, &[&key]);
            }
        }
    }
}

#[test]
fn where_traces_go_is_a_url_and_certificates_are_for_https() {
    let error = file_error("[trace]\nendpoint = \"collector:4318\"");
    assert_says(
        &error,
        &[
            "trace.endpoint",
            "collector:4318",
            "such as http://127.0.0.1:4318",
        ],
    );
    let error = file_error("[trace]\nsample_ppm = 1000001");
    assert_says(&error, &["trace.sample_ppm", "from 0 to 1000000"]);
    let error = file_error("[trace]\nresource = \"team\"");
    assert_says(&error, &["trace.resource", "key=value"]);
    let text = "[trace]\nendpoint = \"http://127.0.0.1:4318\"\nca_file = \"/etc/overlane/ca.pem\"";
    assert_says(
        &file_error(text),
        &["ca_file", "name a receiver with https://"],
    );
    let headers = "headers_file = \"/etc/overlane/headers\"";
    for endpoint in ["off", "http://collector.example:4318"] {
        let text = format!("[trace]\nendpoint = \"{endpoint}\"\n{headers}");
        assert_says(&file_error(&text), &["headers_file", "on this host"]);
    }
}
