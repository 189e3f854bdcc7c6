//! Every parameter from each source: file, profile, environment, flag; later ones win.

use overlane::config::{
    CHANNEL_PARAMETERS, ChannelConfig, Config, NODE_PARAMETERS, Preset, Profile, Reliability, flag,
    variable,
};
use proptest::prelude::*;

use crate::support::{FileText, environment, error_of, flags, load, sample, sources};

/// The default configuration with one parameter of the node changed.
fn node_with(values: &[(&str, &str)]) -> Config {
    let mut config = Config::default();
    for (name, text) in values {
        let parameter = NODE_PARAMETERS
            .iter()
            .find(|parameter| parameter.name == *name);
        assert_eq!(
            parameter.map(|parameter| parameter.set(&mut config, text)),
            Some(Ok(()))
        );
    }
    config
}

/// What a parameter makes no sense without.
fn companions(name: &str) -> &'static [(&'static str, &'static str)] {
    match name {
        "seeds" | "topology_mode" => &[("overlay", "hyparview")],
        "topology_size_only_servers_above" => &[("topology_size_only_mesh_below", "0")],
        "servers" => &[("overlay", "client_server")],
        "security" => &[("psk_secret_file", "/etc/overlane/secret")],
        "revoked" => PROTECTED,
        "trace_ca_file" | "trace_headers_file" => &[("trace_endpoint", "https://otlp.example")],
        "preset" => Preset::Small.values(),
        _ => &[],
    }
}

/// What makes a node that is not plain.
const PROTECTED: &[(&str, &str)] = &[
    ("security", "psk"),
    ("psk_secret_file", "/etc/overlane/secret"),
];

fn lines(values: &[(&str, &str)]) -> String {
    let line = |(name, text): &(&str, &str)| format!("{name} = \"{text}\"\n");
    values.iter().map(line).collect()
}

/// A node with the channels `data`, one parameter of which is changed, and `urgent`.
fn channel_with(name: &str, text: &str) -> Config {
    let mut channel = ChannelConfig::new("data");
    let parameter = CHANNEL_PARAMETERS
        .iter()
        .find(|parameter| parameter.name == name);
    assert_eq!(
        parameter.map(|parameter| parameter.set(&mut channel, text)),
        Some(Ok(()))
    );
    Config {
        channels: vec![channel, ChannelConfig::new("urgent")],
        ..Config::default()
    }
}

#[test]
fn each_node_parameter_comes_from_file_environment_and_flag() {
    for parameter in NODE_PARAMETERS {
        let name = parameter.name;
        let text = sample(parameter);
        let mut values = vec![(name, text.as_str())];
        values.extend(companions(name));
        let expected = node_with(&values);
        let beside = FileText::new(lines(companions(name)));
        let file = FileText::new(lines(&values));
        assert_eq!(
            load(&sources(Some(&file), &[], &[])),
            expected,
            "file {name} = {text}"
        );
        let variables = [(variable(name), text.clone())];
        assert_eq!(
            load(&sources(Some(&beside), &variables, &[])),
            expected,
            "variable {name} = {text}"
        );
        assert_eq!(
            load(&sources(Some(&beside), &[], &[&flag(name), &text])),
            expected,
            "flag {name} = {text}"
        );
    }
}

#[test]
fn each_channel_parameter_comes_from_file_environment_and_flag() {
    for parameter in CHANNEL_PARAMETERS {
        let name = parameter.name;
        // Any other size needs an unordered channel.
        let text = match name {
            "large_bytes_max" => "0".to_owned(),
            _ => sample(parameter),
        };
        let node = if name == "security" { PROTECTED } else { &[] };
        let expected = Config {
            channels: channel_with(name, &text).channels,
            ..node_with(node)
        };
        let beside = lines(node);
        let file = format!("{beside}[channel.data]\n{name} = \"{text}\"\n[channel.urgent]\n");
        let (file, beside) = (FileText::new(file), FileText::new(beside));
        assert_eq!(
            load(&sources(Some(&file), &[], &[])),
            expected,
            "file {name} = {text}"
        );
        let definition = format!("data:{name}={text}");
        let both = format!("{definition};urgent");
        let variables = [("OVERLANE_CHANNEL".to_string(), both)];
        assert_eq!(
            load(&sources(Some(&beside), &variables, &[])),
            expected,
            "variable {definition}"
        );
        assert_eq!(
            load(&sources(
                Some(&beside),
                &[],
                &["--channel", &definition, "--channel", "urgent"]
            )),
            expected,
            "flag {definition}"
        );
    }
}

#[test]
fn a_bad_value_of_each_node_parameter_names_source_value_and_range() {
    for parameter in NODE_PARAMETERS {
        let name = parameter.name;
        let right = parameter.expected();
        let file = FileText::new(format!("{name} = \"?!\"\n"));
        let places = [
            (
                sources(Some(&file), &[], &[]),
                format!("file {}, line 1, key {name}", file.path()),
            ),
            (
                environment(&[(variable(name), "?!".into())]),
                format!("variable {}", variable(name)),
            ),
            (flags(&[&flag(name), "?!"]), format!("flag {}", flag(name))),
        ];
        for (sources, place) in places {
            let error = error_of(&sources);
            for part in [place.as_str(), "`?!`", name, right.as_str()] {
                assert!(error.contains(part), "{error} lacks {part}");
            }
        }
    }
}

#[test]
fn a_bad_value_of_each_channel_parameter_names_source_value_and_range() {
    for parameter in CHANNEL_PARAMETERS {
        let name = parameter.name;
        let key = format!("channel.data.{name}");
        let right = parameter.expected();
        let file = FileText::new(format!("[channel.data]\n{name} = \"?!\"\n"));
        let definition = format!("data:{name}=?!");
        let variables = [("OVERLANE_CHANNEL".to_string(), definition.clone())];
        let places = [
            (
                sources(Some(&file), &[], &[]),
                format!("file {}, line 2, key {key}", file.path()),
            ),
            (
                environment(&variables),
                "environment variable OVERLANE_CHANNEL".to_string(),
            ),
            (
                flags(&["--channel", &definition]),
                "flag --channel".to_string(),
            ),
        ];
        for (sources, place) in places {
            let error = error_of(&sources);
            for part in [place.as_str(), "`?!`", &key, &right] {
                assert!(error.contains(part), "{error} lacks {part}");
            }
        }
    }
}

#[test]
fn a_preset_sets_what_nobody_else_does_wherever_it_is_given() {
    let text = "spin_us = 9\n[channel.data]\n[channel.bulk]\nring_bytes = \"1MiB\"\n";
    let file = FileText::new(text);
    let shards = [("OVERLANE_SHARDS".to_string(), "2".to_string())];
    let flags = ["--preset", "small", "--data-ring-entries", "512"];
    let config = load(&sources(Some(&file), &shards, &flags));
    // What is given counts, the default too.
    assert_eq!(
        (config.spin_us, config.shards, config.data_ring_entries),
        (9, 2, 512)
    );
    let rings: Vec<_> = (config.channels.iter())
        .map(|channel| (&*channel.name, channel.ring_bytes))
        .collect();
    assert!(rings.contains(&("data", 64 << 10)) && rings.contains(&("bulk", 1 << 20)));
    let others = Preset::Small.values().iter();
    let others =
        others.filter(|(name, _)| !["spin_us", "shards", "data_ring_entries"].contains(name));
    for (name, value) in others {
        let expected = node_with(&[(name, value)]);
        let mut parameters = NODE_PARAMETERS.iter();
        let parameter = parameters.find(|known| known.name == *name).expect("known");
        assert_eq!(parameter.get(&config), parameter.get(&expected), "{name}");
    }
    // What does not go together names the preset.
    let error = error_of(&sources(
        None,
        &[],
        &["--preset", "small", "--send-quantum-bytes", "128KiB"],
    ));
    for part in ["preset small", "turn_bytes_max", "--send-quantum-bytes"] {
        assert!(error.contains(part), "{error} lacks {part}");
    }
}

#[test]
fn later_sources_win() {
    let file = FileText::new("spin_us = 1\n[profile.dev]\nspin_us = 2\n");
    let base = sources(Some(&file), &[], &[]);
    assert_eq!(load(&base).spin_us, 1);
    let profile = [("OVERLANE_PROFILE".to_string(), "dev".to_string())];
    assert_eq!(load(&sources(Some(&file), &profile, &[])).spin_us, 2);
    let variable = ("OVERLANE_SPIN_US".to_string(), "3".to_string());
    let both = [profile[0].clone(), variable];
    assert_eq!(load(&sources(Some(&file), &both, &[])).spin_us, 3);
    assert_eq!(
        load(&sources(Some(&file), &both, &["--spin-us", "4"])).spin_us,
        4
    );
}

#[test]
fn a_base_value_in_the_file_wins_over_a_built_in_profile() {
    let file = FileText::new("shards = 3\n");
    let config = load(&sources(Some(&file), &[], &["--profile", "test"]));
    assert_eq!(config.shards, 3);
    assert_eq!(config.listen.port(), 0, "not in the file, so the profile's");
}

#[test]
fn every_built_in_profile_is_valid_and_differs_as_documented() {
    for profile in Profile::ALL {
        let config = load(&flags(&["--profile", profile.name()]));
        for (name, value) in profile.differences() {
            let parameter = NODE_PARAMETERS
                .iter()
                .find(|parameter| parameter.name == *name);
            let parameter = parameter.unwrap_or_else(|| panic!("no parameter {name}"));
            assert_eq!(parameter.get(&config), *value, "{name}");
            assert_ne!(parameter.default_text(), *value, "{name} does not differ");
        }
    }
}

#[test]
fn channels_merge_by_name_over_all_sources() {
    let file = FileText::new(
        "[channel.data]\npriority = \"high\"\nparallelism = 2\n\
         [profile.dev.channel.data]\nparallelism = 3\n",
    );
    let variables = [
        ("OVERLANE_PROFILE".to_string(), "dev".to_string()),
        (
            "OVERLANE_CHANNEL".to_string(),
            "data:ring_bytes=128KiB; gossip:priority=low;".into(),
        ),
    ];
    let more = [
        "--channel",
        "gossip:reliability=best_effort",
        "--channel",
        "events",
    ];
    let config = load(&sources(Some(&file), &variables, &more));
    let expected = vec![
        ChannelConfig::new("data")
            .priority(1)
            .parallelism(3)
            .ring_bytes(128 << 10),
        ChannelConfig::new("gossip")
            .priority(6)
            .reliability(Reliability::BestEffort),
        ChannelConfig::new("events"),
    ];
    assert_eq!(config.channels, expected);
}

#[test]
fn peers_merge_by_name_and_the_node_itself_is_left_out() {
    let file = FileText::new(
        "node_name = \"a\"\n[peers]\na = \"127.0.0.1:7001\"\nb = \"127.0.0.1:7002\"\n",
    );
    let variables = [(
        "OVERLANE_PEERS".to_string(),
        "c=127.0.0.1:7003,d=127.0.0.1:7004".to_string(),
    )];
    let config = load(&sources(
        Some(&file),
        &variables,
        &["--peer", "b=127.0.0.1:8002"],
    ));
    let peers: Vec<String> = config
        .peers
        .iter()
        .map(|(name, address)| format!("{name}={address}"))
        .collect();
    assert_eq!(
        peers,
        ["b=127.0.0.1:8002", "c=127.0.0.1:7003", "d=127.0.0.1:7004"]
    );
}

#[test]
fn numbers_lists_and_truths_can_be_plain_toml() {
    let file = FileText::new("spin_us = 7\npin = false\nshards = 2\ncores = [0, 1]\n");
    let config = load(&sources(Some(&file), &[], &[]));
    assert_eq!(
        (config.spin_us, config.pin, config.cores),
        (7, Some(false), vec![0, 1])
    );
}

#[test]
fn an_empty_variable_counts_as_unset() {
    let file = FileText::new("spin_us = 7\nlisten = \"127.0.0.1:7999\"\n");
    let mut variables: Vec<(String, String)> = NODE_PARAMETERS
        .iter()
        .map(|parameter| (variable(parameter.name), " ".to_string()))
        .collect();
    for name in ["CHANNEL", "RULE", "PROFILE", "CONFIG"] {
        variables.push((format!("OVERLANE_{name}"), String::new()));
    }
    let sources = sources(Some(&file), &variables, &[]);
    let config = load(&sources);
    assert_eq!((config.spin_us, config.listen.port()), (7, 7999));
    let hints = sources.hints();
    assert_eq!(hints.len(), 1, "{hints:?}");
    for (name, _) in &variables {
        assert!(hints[0].contains(name.as_str()), "{hints:?} lacks {name}");
    }
}

#[test]
fn what_kubernetes_sets_for_a_service_of_that_name_is_left_alone() {
    let address = "10.96.0.7";
    let links = [
        ("SERVICE_HOST", address),
        ("SERVICE_PORT", "7400"),
        ("SERVICE_PORT_LANES", "7400"),
        ("PORT", "tcp://10.96.0.7:7400"),
        ("PORT_7400_TCP", "tcp://10.96.0.7:7400"),
        ("PORT_7400_TCP_PROTO", "tcp"),
        ("PORT_7400_TCP_PORT", "7400"),
        ("PORT_7400_TCP_ADDR", address),
        ("ADMIN_SERVICE_HOST", address),
        ("ADMIN_PORT", "udp://10.96.0.7:53"),
    ];
    let mut variables: Vec<_> = links
        .iter()
        .map(|(name, value)| (format!("OVERLANE_{name}"), (*value).to_string()))
        .collect();
    let sources = environment(&variables);
    assert_eq!(load(&sources), Config::default());
    let hints = sources.hints();
    assert_eq!(hints.len(), 1, "{hints:?}");
    assert!(
        hints[0].contains("OVERLANE_PORT_7400_TCP_ADDR"),
        "{hints:?}"
    );
    assert!(hints[0].contains("enableServiceLinks"), "{hints:?}");
    // A variable of the engine that is mistyped is found beside them.
    variables.push(("OVERLANE_SHARD".into(), "2".into()));
    assert!(error_of(&environment(&variables)).contains("did you mean `OVERLANE_SHARDS`?"));
}

#[test]
fn no_hint_is_given_where_nothing_is_left_alone() {
    let variables = [("OVERLANE_SPIN_US".to_string(), "5".to_string())];
    assert_eq!(environment(&variables).hints(), Vec::<String>::new());
}

#[test]
fn variables_of_others_are_left_alone() {
    let variables = [
        ("HOME".to_string(), "/".to_string()),
        ("OVERLANEX".into(), "1".into()),
    ];
    assert_eq!(load(&environment(&variables)), Config::default());
}

/// Lines of a file that are right or nearly so.
fn near_lines() -> impl Strategy<Value = Vec<String>> {
    let keys = NODE_PARAMETERS.iter().map(|parameter| parameter.name);
    let keys: Vec<&str> = keys
        .chain(CHANNEL_PARAMETERS.iter().map(|parameter| parameter.name))
        .collect();
    let value = "[0-9]{1,20}|\"[a-z0-9_.:=,KMiB]{0,12}\"|true|\\[[0-9, ]{0,5}\\]|1e9|\\{a=1\\}";
    let setting =
        (prop::sample::select(keys), value).prop_map(|(key, value)| format!("{key} = {value}"));
    let table = "\\[(peers|profile|channel|\\[rule\\])?(\\.[a-z]{1,4}){0,3}\\]";
    prop::collection::vec(prop_oneof![setting, table, ".{0,10}"], 0..8)
}

proptest! {
    #[test]
    fn no_file_panics(lines in near_lines()) {
        let file = FileText::new(lines.join("\n"));
        if let Err(error) = sources(Some(&file), &[], &[]).load() {
            prop_assert!(error.to_string().contains(&file.path()), "{error}");
        }
    }
}

#[test]
fn a_program_s_own_default_counts_less_than_all_that_is_given() {
    let spin_us = |arguments: &[&str], profile: Option<&str>| {
        let mut sources = flags(arguments);
        sources.defaults.push(("spin_us", "7".to_string()));
        sources.defaults.push(("shards", "5".to_string()));
        sources.flags.profile = profile.map(str::to_string);
        let config = load(&sources);
        (config.spin_us, config.shards)
    };
    assert_eq!(spin_us(&[], None), (7, 5));
    assert_eq!(spin_us(&["--spin-us", "50"], None), (50, 5));
    assert_eq!(spin_us(&[], Some("dev")), (7, 1));
}
