//! `overlane sim` as a user runs it: what it prints, what it draws, and how it refuses.

use std::fs;
use std::process::{Command, Output};

use serde_json::Value;

fn sim(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_overlane"))
        .arg("sim")
        .args(arguments)
        .output()
        .expect("overlane can be started")
}

fn lines(output: &Output) -> Vec<Value> {
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8_lossy(&output.stdout);
    let lines = text.lines();
    lines
        .map(|line| serde_json::from_str(line).expect("a JSON object a line"))
        .collect()
}

#[test]
fn a_seed_gives_the_same_figures_each_time() {
    let arguments = ["--nodes", "60", "--broadcasts", "5", "--json", "--twice"];
    let figures = lines(&sim(&arguments)).remove(0);
    assert_eq!(figures["missed"], 0);
    assert_eq!(figures["connected"], true);
    let again = lines(&sim(&arguments)).remove(0);
    assert_eq!(figures["trace_hash"], again["trace_hash"]);
    let other = lines(&sim(&[&arguments[..], &["--seed", "8"]].concat())).remove(0);
    assert_ne!(figures["trace_hash"], other["trace_hash"]);
}

#[test]
fn each_broadcast_is_printed_before_the_figures_of_all() {
    let arguments = ["--nodes", "60", "--broadcasts", "5", "--each"];
    let rows = lines(&sim(&[&arguments[..], &["--json"]].concat()));
    assert_eq!(rows.len(), 6);
    for (index, row) in rows[..5].iter().enumerate() {
        assert_eq!(row["number"], index + 1);
        assert_eq!(row["missed"], 0);
    }
    let hops = rows[..5].iter().map(|row| row["last_hop"].as_u64());
    assert_eq!(hops.max(), Some(rows[5]["last_hop_max"].as_u64()));
    let text = sim(&arguments).stdout;
    let text = String::from_utf8_lossy(&text);
    assert!(
        text.starts_with("            number     reach_percent"),
        "{text}"
    );
}

#[test]
fn a_plot_is_drawn() {
    let path = concat!(env!("CARGO_TARGET_TMPDIR"), "/sim.svg");
    let arguments = ["--nodes", "60", "--broadcasts", "5", "--plot", path];
    assert!(sim(&arguments).status.success());
    assert!(fs::read_to_string(path).is_ok_and(|drawn| drawn.contains("<svg")));
}

#[test]
fn every_workload_runs_on_a_small_cluster() {
    for arguments in [
        "--workload broadcast --fail 30%",
        "--workload broadcast --spread flood --xbot",
        "--workload membership --loss 5%",
        "--workload partition --overlay full_mesh",
        "--workload pub-sub --overlay pub_sub",
        "--workload relay",
        "--workload turnover --overlay full_mesh --replacements 20 --renamed 50%",
        "--workload switch --from hyparview --to client_server --interval-ms 100",
        "--workload atomic --overlay full_mesh --fail 20% --broadcasts 20",
        "--workload anti-entropy --loss 5%",
        "--workload table --overlay hyparview --loss 5% --latency-max-ms 20",
        "--workload broadcast --fail 50% --dead-hosts silent --dial-timeout-ms 1000",
        "--workload faults --seeds 4 --dial-round-trips 3",
        "--dial-round-trips 2 --dial-failures 5% --one-way-loss 5% --broken-pairs 2%",
        "--payload-bytes 10000 --interval-ms 10 --lane-bytes-per-s 200000 --lane-queue-bytes 50000",
    ] {
        let words = arguments.split(' ').chain(["--nodes", "40", "--json"]);
        let output = sim(&words.collect::<Vec<_>>());
        assert_eq!(lines(&output).len(), 1, "{arguments}: {output:?}");
    }
}

#[test]
fn what_inputs_cost_is_told_for_each_phase() {
    let words = "--workload cpu --overlay client_server --nodes 40 --json";
    let rows = lines(&sim(&words.split(' ').collect::<Vec<_>>()));
    let phases: Vec<_> = rows.iter().map(|row| row["phase"].as_str()).collect();
    assert_eq!(
        phases,
        [Some("quiet"), Some("broadcasts"), Some("crashes")],
        "{rows:?}"
    );
    for row in rows {
        assert_eq!(row["overlay"], "client_server", "{row}");
        assert!(row["ns_per_event"].as_f64() > Some(1.0), "{row}");
    }
}

#[test]
fn a_change_of_the_overlay_is_told_in_figures() {
    let words = "--workload switch --nodes 20 --from full_mesh --to hyparview --interval-ms 50";
    let words = words.split(' ').chain(["--json", "--twice"]);
    let figures = lines(&sim(&words.collect::<Vec<_>>())).remove(0);
    for (figure, value) in [("lost", 0), ("duplicates", 0), ("rolled_back", 0)] {
        assert_eq!(figures[figure], value, "{figures}");
    }
    assert_eq!(figures["switched"], true);
    for (less, more) in [("prepare_ms", "total_ms"), ("commit_spread_ms", "total_ms")] {
        assert!(figures[less].as_u64() < figures[more].as_u64(), "{figures}");
    }
    assert!(figures["broadcasts"].as_u64() > Some(400), "{figures}");
}

#[test]
fn a_change_that_does_not_come_about_is_a_failed_check() {
    // Nearly everything is lost, so nobody hears of it.
    let words = "--workload switch --nodes 5 --loss 97% --interval-ms 1000";
    let output = sim(&words.split(' ').collect::<Vec<_>>());
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(error.contains("seed 7:"), "{error}");
}

#[test]
fn what_makes_no_sense_is_refused_with_what_would() {
    for (arguments, said) in [
        ("--fail 150%", "150%"),
        ("--nodes 1", "2.."),
        ("--overlay ring", "hyparview"),
        ("--interval-ms -3", "-3"),
        ("--latency-min-ms 60", "--latency-max-ms"),
        ("--xbot --overlay full_mesh", "--overlay hyparview"),
        ("--workload switch --to ring", "client_server"),
        ("--workload switch --from pub_sub --to pub_sub", "differ"),
        (
            "--nodes 20 --broadcasts 1 --plot /nowhere/at/all.svg",
            "/nowhere/at/all.svg",
        ),
    ] {
        let output = sim(&arguments.split(' ').collect::<Vec<_>>());
        let error = String::from_utf8_lossy(&output.stderr);
        let code = if arguments.contains("plot") { 4 } else { 2 };
        assert_eq!(output.status.code(), Some(code), "{arguments}: {error}");
        assert!(error.contains(said), "{arguments}: {error}");
        assert!(
            output.stdout.is_empty() || arguments.contains("plot"),
            "{arguments}"
        );
    }
}

#[test]
fn a_switch_of_the_own_cluster_goes_by_its_configuration() {
    let folder = concat!(env!("CARGO_TARGET_TMPDIR"), "/sim-own");
    fs::create_dir_all(folder).expect("it can be made");
    let file = |name: &str, text: &str| {
        let path = format!("{folder}/{name}");
        fs::write(&path, text).expect("it can be written");
        path
    };
    let switch = |more: &[&str]| {
        let arguments = ["--nodes", "30", "--switch", "hyparview,full_mesh", "--json"];
        lines(&sim(&[&arguments[..], more].concat())).remove(0)
    };
    let default = switch(&[]);
    assert_eq!(
        (&default["from"], &default["to"]),
        (&"hyparview".into(), &"full_mesh".into())
    );
    assert_eq!(
        default["broadcasts"].as_u64().map(|count| count >= 20),
        Some(true),
        "{default}"
    );
    // A configuration that says nothing is the same, a file with other parameters is another cluster.
    let empty = file("empty.toml", "[channel.data]\n");
    let same = switch(&["--config", &empty]);
    assert_eq!(default["trace_hash"], same["trace_hash"]);
    let wide = file(
        "wide.toml",
        "overlay = \"hyparview\"\n[hyparview]\nactive_max = 9\n[channel.data]\n",
    );
    let other = switch(&["--config", &wide, "--at", "20s"]);
    assert_ne!(default["trace_hash"], other["trace_hash"]);
    assert_eq!(other["switched"], true, "{other}");
    let sent = |figures: &Value| figures["broadcasts"].as_u64().expect("a count");
    assert!(sent(&other) >= sent(&default) + 5, "{other}");
    let wrong = file("wrong.toml", "[hyparview]\nactive_max = \"many\"\n");
    for (arguments, said) in [
        (
            &["--switch", "hyparview,full_mesh", "--config", &wrong][..],
            "active_max",
        ),
        (
            &["--switch", "hyparview"],
            "such as hyparview,client_server",
        ),
        (&["--switch", "hyparview,hyparview"], "must differ"),
        (&["--config", &empty], "--switch"),
        (
            &["--switch", "hyparview,full_mesh", "--to", "pub_sub"],
            "--to",
        ),
    ] {
        let output = sim(arguments);
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(error.contains(said), "{error}");
    }
}
