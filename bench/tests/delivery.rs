//! Short runs of the measurements of delivery: each ends well, and prints exactly its keys.

use std::process::{Command, Output};

use serde_json::Value;

fn bench(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_overlane-bench"))
        .args(arguments)
        .output()
        .expect("it starts")
}

fn objects(arguments: &[&str]) -> Vec<Value> {
    let output = bench(&[arguments, &["--json"]].concat());
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let text = String::from_utf8(output.stdout).expect("JSON is text");
    text.lines()
        .map(|line| serde_json::from_str(line).expect("one object a line"))
        .collect()
}

/// Exactly these keys, each above nothing.
fn has_figures(object: &Value, keys: &[&str]) {
    let known = object.as_object().expect("an object");
    assert_eq!(known.len(), keys.len(), "{object}");
    for key in keys {
        let figure = object[key].as_f64();
        assert!(figure.is_some_and(|value| value > 0.0), "{key}: {object}");
    }
}

#[test]
fn the_cost_of_a_guarantee_is_a_ratio() {
    let short = [
        "--seconds",
        "0.1",
        "--warm-up-seconds",
        "0.05",
        "--receiver-core",
        "0",
    ];
    for payload in ["64", "65536"] {
        let run = ["guarantee-cost", "--payload", payload];
        let objects = objects(&[&run[..], &short].concat());
        assert_eq!(objects.len(), 1);
        has_figures(&objects[0], &["ratio_to_reliable"]);
    }
}

#[test]
fn the_cost_of_a_setting_is_two_ratios() {
    let run = "setting-cost --setting recorder_entries --base 0 --beside 4096 --seconds 0.1 --warm-up-seconds 0.05 --receiver-core 0";
    let arguments: Vec<_> = run.split(' ').collect();
    let objects = objects(&arguments);
    assert_eq!(objects.len(), 1);
    has_figures(&objects[0], &["ratio_of_rates", "ratio_of_cpu"]);
}

#[test]
fn rules_cost_so_much_for_each_message() {
    let run = [
        "rules",
        "--rounds",
        "2",
        "--messages",
        "2000",
        "--rules",
        "3",
    ];
    let objects = objects(&run);
    assert_eq!(objects.len(), 1);
    let keys = [
        "plain_ns",
        "others_ruled_ns",
        "none_matches_ns",
        "last_matches_ns",
        "routed_ns",
        "envelope_ns",
        "envelope_last_matches_ns",
    ];
    has_figures(&objects[0], &keys);
}

#[test]
fn a_consumer_that_stops_gets_everything_when_it_reads_again() {
    let rates = ["--rate", "400", "--payload", "10000", "--others-rate", "20"];
    let run = ["slow-consumer", "--peers", "3", "--seconds", "3"];
    let objects = objects(&[&run[..], &rates].concat());
    let [result] = &objects[..] else {
        panic!("{objects:?}")
    };
    // Memory may not have grown at all.
    assert!(result["rss_growth_bytes"].is_u64(), "{result}");
    assert!(result["heap_growth_bytes"].is_u64(), "{result}");
    assert_eq!(result["budget_bytes"], 1_131_072, "{result}");
    assert!(
        result["others_p99_ratio"]
            .as_f64()
            .is_some_and(|ratio| ratio > 0.0)
    );
    assert_eq!(result.as_object().expect("an object").len(), 4, "{result}");
}

#[test]
fn a_stream_has_a_ratio_and_comes_as_it_was_sent() {
    // Many chunks and a part of one; a part of one; many small chunks on a channel without a log.
    let small = ["--stream-chunk-bytes", "4096"];
    let reliable = ["--channel", "data:reliability=reliable"];
    for (bytes, engine) in [
        ("20000001", &[][..]),
        ("1", &[]),
        ("500000", &[small, reliable].concat()),
    ] {
        let run = ["stream", "--rounds", "2", "--bytes", bytes];
        let objects = objects(&[&run[..], engine].concat());
        let [result] = &objects[..] else {
            panic!("{objects:?}")
        };
        let ratio = result["ratio_to_raw"].as_f64();
        // That of one byte may be rounded to nothing.
        assert!(ratio.is_some_and(|ratio| ratio >= 0.0), "{bytes}: {result}");
        assert_eq!(result["hash_ok"], true, "{bytes}: {result}");
        assert_eq!(result.as_object().expect("an object").len(), 2, "{result}");
    }
}

#[test]
fn a_stream_has_a_table_that_says_what_was_carried() {
    let output = bench(&["stream", "--rounds", "1", "--bytes", "300000"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let text = String::from_utf8(output.stdout).expect("a table is text");
    for said in [
        "300 000 bytes in chunks of 262144, on a channel of reliability guaranteed",
        "ratio to raw",
        "BLAKE3 is the same at both ends: ",
    ] {
        assert!(text.contains(said), "{said}: {text}");
    }
}

#[test]
fn a_link_has_its_figures_in_namespaces_or_through_the_proxy() {
    let run = [
        "link",
        "--rate",
        "50mbit",
        "--rounds",
        "1",
        "--seconds",
        "1",
    ];
    for how in [&[][..], &["--proxy"]] {
        let objects = objects(&[&run[..], how].concat());
        assert_eq!(objects.len(), 1);
        let keys = [
            "link_utilisation",
            "base_rtt_us",
            "heartbeat_p99_us",
            "shared_lane_p99_us",
        ];
        has_figures(&objects[0], &keys);
        let used = objects[0]["link_utilisation"].as_f64();
        assert!(used.is_some_and(|used| used < 1.1), "{objects:?}");
    }
}

#[test]
fn the_matrix_has_a_cell_for_each_layout_and_number_of_senders() {
    let run = [
        "matrix",
        "--payload",
        "200000",
        "--rtt-ms",
        "2",
        "--senders",
        "2,5",
    ];
    let objects = objects(&[&run[..], &["--seconds", "1"]].concat());
    let layouts: Vec<_> = objects
        .iter()
        .map(|cell| {
            (
                cell["channels"].as_u64(),
                cell["lanes"].as_u64(),
                cell["senders"].as_u64(),
            )
        })
        .collect();
    let expected = [
        (1, 1, 2),
        (1, 1, 5),
        (1, 16, 2),
        (1, 16, 5),
        (4, 16, 2),
        (4, 16, 5),
    ];
    assert_eq!(
        layouts,
        expected.map(|(a, b, c)| (Some(a), Some(b), Some(c)))
    );
    for cell in &objects {
        assert!(
            cell["requests"]
                .as_u64()
                .is_some_and(|requests| requests > 0),
            "{cell}"
        );
        // The distance is there.
        assert!(
            cell["p50_ms"].as_f64().is_some_and(|p50| p50 >= 2.0),
            "{cell}"
        );
    }
}

#[test]
fn bad_flags_are_refused() {
    for (arguments, said) in [
        (&["guarantee-cost", "--payload", "0"][..], "--payload 0"),
        (&["guarantee-cost", "--pairs", "1"], "--pairs 1"),
        (
            &[
                "setting-cost",
                "--setting",
                "spin",
                "--base",
                "0",
                "--beside",
                "1",
            ],
            "--setting spin",
        ),
        (
            &[
                "setting-cost",
                "--setting",
                "spin_us",
                "--base",
                "0",
                "--beside",
                "x",
            ],
            "spin_us",
        ),
        (&["slow-consumer", "--peers", "1"], "--peers 1"),
        (&["slow-consumer", "--payload", "3"], "--payload 3"),
        (&["stream", "--bytes", "0"], "--bytes 0"),
        (&["stream", "--rounds", "0"], "--rounds 0"),
        (
            &["stream", "--channel", "data:reliability=best_effort"],
            "channel data may drop messages",
        ),
        (
            &[
                "stream",
                "--channel",
                "data:reliability=reliable,overflow=drop_oldest",
            ],
            "channel data may drop messages",
        ),
        (&["link", "--rate", "100"], "such as 100mbit"),
        (&["link", "--rounds", "0"], "--rounds 0"),
        (&["matrix", "--senders", "0"], "--senders 0"),
        (&["matrix", "--payload", "99999999"], "--payload 99999999"),
    ] {
        let output = bench(arguments);
        let error = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {error}");
        assert!(error.contains(said), "{arguments:?}: {error}");
    }
}
