//! The binary as a user runs it, with nodes: one short run of each measurement.

use std::process::{Command, Output};

fn bench(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_overlane-bench"))
        .args(arguments)
        .output()
        .expect("it starts")
}

fn objects(output: &Output) -> Vec<serde_json::Value> {
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let text = String::from_utf8(output.stdout.clone()).expect("JSON is text");
    text.lines()
        .map(|line| serde_json::from_str(line).expect("one object a line"))
        .collect()
}

/// Both nodes on one core: a test must pass on a machine with one.
const SHORT: [&str; 7] = [
    "--json",
    "--seconds",
    "0.05",
    "--warm-up-seconds",
    "0.05",
    "--receiver-core",
    "0",
];

fn short(arguments: &[&str]) -> Vec<serde_json::Value> {
    objects(&bench(&[arguments, &SHORT].concat()))
}

/// The kernel places the threads: no cores are given. Four threads of two processes share them, so that a
/// window is long enough for each to have its turn.
fn unplaced(arguments: &[&str]) -> Vec<serde_json::Value> {
    let window = ["--json", "--seconds", "0.3", "--warm-up-seconds", "0.05"];
    objects(&bench(&[arguments, &window].concat()))
}

#[test]
fn a_throughput_run_is_paired_with_raw_and_exact() {
    for producer in ["shard", "app"] {
        for payload in ["64", "65536"] {
            let objects = short(&["throughput", "--producer", producer, "--payload", payload]);
            let [result] = &objects[..] else {
                panic!("{objects:?}")
            };
            for key in [
                "messages_per_s",
                "mib_per_s",
                "raw_messages_per_s",
                "ratio_to_raw",
            ] {
                assert!(
                    result[key].as_f64().is_some_and(|value| value > 0.0),
                    "{key}: {result}"
                );
            }
            assert_eq!(result["accepted"], result["acknowledged"], "{result}");
            assert_eq!(result["accepted"], result["delivered"], "{result}");
            assert_eq!(result["reported"], 0, "{result}");
        }
    }
}

#[test]
fn a_latency_run_is_paired_with_raw() {
    for idle in ["spin", "park"] {
        let objects = short(&["latency", "--idle", idle]);
        let [result] = &objects[..] else {
            panic!("{objects:?}")
        };
        for key in ["p50_us", "p99_us", "p999_us", "raw_p50_us", "ratio_to_raw"] {
            assert!(
                result[key].as_f64().is_some_and(|value| value > 0.0),
                "{key}: {result}"
            );
        }
    }
}

#[test]
fn isolation_has_its_five_figures() {
    let objects = short(&["isolation", "--heartbeat-hz", "200"]);
    let [result] = &objects[..] else {
        panic!("{objects:?}")
    };
    for key in [
        "idle_p99_us",
        "loaded_p99_us",
        "shared_lane_p99_us",
        "bulk_mib_per_s",
        "bulk_alone_mib_per_s",
    ] {
        assert!(
            result[key].as_f64().is_some_and(|value| value > 0.0),
            "{key}: {result}"
        );
    }
}

#[test]
fn isolation_between_application_threads_has_plain_sockets_beside_it() {
    for loop_kind in ["open", "closed"] {
        let run = ["isolation", "--producer", "app", "--loop", loop_kind];
        let objects = unplaced(&run);
        let [result] = &objects[..] else {
            panic!("{objects:?}")
        };
        assert_eq!(result["producer"], "app");
        assert_eq!(result["loop"], loop_kind);
        assert_eq!(
            result["payload_bytes"],
            if loop_kind == "open" { 50 } else { 64 }
        );
        for key in [
            "idle_p50_us",
            "idle_p99_us",
            "loaded_p50_us",
            "loaded_p99_us",
            "loaded_p999_us",
            "loaded_from_due_p99_us",
            "shared_lane_p99_us",
            "bulk_mib_per_s",
            "bulk_alone_mib_per_s",
            "raw_loaded_p50_us",
            "raw_loaded_p99_us",
            "raw_loaded_p999_us",
            "raw_bulk_mib_per_s",
            "raw_bulk_alone_mib_per_s",
        ] {
            assert!(
                result[key].as_f64().is_some_and(|value| value > 0.0),
                "{key}: {result}"
            );
        }
    }
}

#[test]
fn throughput_from_a_thread_to_an_inbox_is_exact() {
    for payload in ["64", "65536", "1048576", "2000000"] {
        let run = ["throughput", "--producer", "app", "--consumer", "inbox"];
        let objects = unplaced(&[&run[..], &["--payload", payload]].concat());
        let [result] = &objects[..] else {
            panic!("{objects:?}")
        };
        assert_eq!(result["consumer"], "inbox");
        assert!(
            result["ratio_to_raw"].as_f64().is_some_and(|r| r > 0.0),
            "{result}"
        );
        assert_eq!(result["accepted"], result["acknowledged"], "{result}");
        assert_eq!(result["accepted"], result["delivered"], "{result}");
    }
}

#[test]
fn the_engine_of_application_threads_can_be_set_by_flags() {
    let run = ["isolation", "--producer", "app", "--loop", "closed"];
    let engine = ["--shards", "1", "--pin", "false", "--spin-us", "0"];
    let channel = [
        "--channel",
        "data:queue_bytes_max=128KiB,message_bytes_max=64KiB",
    ];
    unplaced(&[&run[..], &engine[..], &channel[..]].concat());
}

/// The descriptors that a test inherits differ from machine to machine, so the limit is met in the
/// harness or in the engine: both must say the same.
#[test]
fn what_the_machine_lacks_ends_with_exit_code_three() {
    for files in [8, 10, 12] {
        let few_files = format!(
            "ulimit -n {files}; exec {} latency --receiver-core 0",
            env!("CARGO_BIN_EXE_overlane-bench")
        );
        let output = Command::new("sh").args(["-c", &few_files]).output();
        let output = output.expect("there is a shell");
        let message = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(3), "{files}: {message}");
        assert!(message.contains("ulimit -n"), "{files}: {message}");
    }
}

#[test]
fn fan_has_a_result_for_one_peer_and_one_for_all() {
    let objects = short(&["fan", "--peers", "3"]);
    let tests: Vec<&str> = objects
        .iter()
        .filter_map(|object| object["test"].as_str())
        .collect();
    assert_eq!(tests, ["fan-1", "fan-3"]);
    for result in &objects {
        assert_eq!(result["accepted"], result["delivered"], "{result}");
    }
}

#[test]
fn nodes_form_a_cluster_and_broadcasts_come_to_each_once() {
    let short = ["--broadcasts", "4", "--json"];
    let run = |arguments: &[&str]| objects(&bench(&[arguments, &short].concat()));
    let [formed] = &run(&["cluster", "--nodes", "4", "--idle-seconds", "0"])[..] else {
        panic!("one object")
    };
    for (key, value) in [
        ("nodes", 4.0),
        ("reach_percent", 100.0),
        ("duplicates", 0.0),
    ] {
        assert_eq!(formed[key].as_f64(), Some(value), "{formed}");
    }
    let [flooded] = &run(&["broadcast", "--nodes", "3", "--payload", "1000"])[..] else {
        panic!("one object")
    };
    for (key, value) in [("broadcasts", 4.0), ("reach_percent", 100.0)] {
        assert_eq!(flooded[key].as_f64(), Some(value), "{flooded}");
    }
    let [churned] = &run(&[
        "churn",
        "--nodes",
        "4",
        "--kill",
        "30",
        "--seed",
        "1",
        "--overlay",
        "full_mesh",
    ])[..] else {
        panic!("one object")
    };
    for (key, value) in [
        ("killed", 1.0),
        ("reach_percent", 100.0),
        ("back_reach_percent", 100.0),
    ] {
        assert_eq!(churned[key].as_f64(), Some(value), "{churned}");
    }
}

#[test]
fn a_cluster_that_grows_and_shrinks_under_load_switches_once_each_way() {
    let arguments = [
        "auto",
        "--small",
        "3",
        "--large",
        "7",
        "--rate",
        "300",
        "--cooldown-s",
        "1",
        "--hold-seconds",
        "4",
        "--topology-size-only-mesh-below",
        "4",
        "--topology-size-only-hyparview-above",
        "5",
        "--topology-mesh-below",
        "4",
        "--topology-hyparview-above",
        "5",
        "--json",
    ];
    let [result] = &objects(&bench(&arguments))[..] else {
        panic!("one object")
    };
    let overlays = serde_json::json!(["hyparview", "full_mesh"]);
    assert_eq!(result["switches"], 2, "{result}");
    assert_eq!(result["overlays"], overlays, "{result}");
    assert_eq!(result["accepted"], result["delivered"], "{result}");
    assert_eq!(
        (&result["reported"], &result["duplicates"]),
        (&0.into(), &0.into())
    );
}

#[test]
fn what_is_relayed_between_clients_comes_once_and_is_answered() {
    let arguments = ["relay", "--nodes", "5", "--messages", "500", "--json"];
    let [relayed] = &objects(&bench(&arguments))[..] else {
        panic!("one object")
    };
    for (key, value) in [
        ("delivered", 1_500.0),
        ("duplicates", 0.0),
        ("reported", 0.0),
    ] {
        assert_eq!(relayed[key].as_f64(), Some(value), "{relayed}");
    }
    assert!(relayed["hops_max"].as_u64() >= Some(2), "{relayed}");
}

#[test]
fn an_overlay_is_switched_and_every_message_is_accounted_for() {
    let arguments = [
        "switch",
        "--nodes",
        "3",
        "--switches",
        "2",
        "--rate",
        "300",
        "--json",
    ];
    let [result] = &objects(&bench(&arguments))[..] else {
        panic!("one object")
    };
    assert_eq!(result["accepted"], result["acknowledged"], "{result}");
    assert_eq!(result["accepted"], result["delivered"], "{result}");
    for key in ["reported", "duplicates", "out_of_order", "rollbacks"] {
        assert_eq!(result[key].as_u64(), Some(0), "{key}: {result}");
    }
}

#[test]
fn a_node_that_is_stopped_for_a_while_is_found_out_and_back_and_nothing_is_lost() {
    let arguments = [
        "pause",
        "--nodes",
        "3",
        "--seconds",
        "1",
        "--rate",
        "300",
        "--json",
    ];
    let [result] = &objects(&bench(&arguments))[..] else {
        panic!("one object")
    };
    for key in ["reach_percent", "back_reach_percent"] {
        assert_eq!(result[key].as_f64(), Some(100.0), "{key}: {result}");
    }
    let sum = result["delivered"].as_u64() >= Some(1);
    assert!(sum, "{result}");
    for key in ["duplicates", "out_of_order"] {
        assert_eq!(result[key].as_u64(), Some(0), "{key}: {result}");
    }
    let ended = ["delivered", "reported"].map(|key| result[key].as_u64().expect("a count"));
    // What was processed before the stop may have been reported as unknown.
    assert!(
        ended[0] + ended[1] >= result["accepted"].as_u64().expect("a count"),
        "{result}"
    );
}
