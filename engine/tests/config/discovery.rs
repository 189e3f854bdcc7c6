//! Discoveries: from each source, what is wrong with one, the examples of the documentation, and topologies of libcluster.

use std::path::PathBuf;

use overlane::config::{
    Config, ConfigError, DISCOVERIES_MAX, DISCOVERY_PARAMETERS, DiscoveryConfig, OverlayChoice,
    StrategyChoice, strategies_of,
};

use crate::support::{FileText, environment, error_of, flags, load, sample, sources};

const OVERLAY: &str = "overlay = \"full_mesh\"\n";

fn of_file(text: &str) -> Vec<DiscoveryConfig> {
    let file = FileText::new(format!("{OVERLAY}{text}"));
    load(&sources(Some(&file), &[], &[])).discovery
}

fn file_error(text: &str) -> String {
    let file = FileText::new(format!("{OVERLAY}{text}"));
    error_of(&sources(Some(&file), &[], &[]))
}

/// What a strategy cannot do without.
fn needed(strategy: StrategyChoice) -> &'static [(&'static str, &'static str)] {
    match strategy {
        StrategyChoice::Static => &[("hosts", "a.example:7400")],
        StrategyChoice::HostsFile => &[("file", "/etc/hosts")],
        StrategyChoice::Dns | StrategyChoice::DnsSrv => &[("query", "nodes.example")],
        StrategyChoice::Kubernetes => &[("selector", "app=overlane")],
        StrategyChoice::KubernetesDns | StrategyChoice::KubernetesDnsSrv => {
            &[("service", "overlane")]
        }
        StrategyChoice::Multicast => &[("secret_file", "/etc/overlane/secret")],
        StrategyChoice::Local | StrategyChoice::Rancher => &[],
    }
}

/// Settings of a discovery that go with that value of that parameter.
fn around(parameter: &str, text: &str) -> Vec<(&'static str, String)> {
    let strategy = strategies_of(parameter)[0];
    let mut settings = vec![("strategy", strategy.word().to_owned())];
    if parameter == "strategy" {
        let strategy = StrategyChoice::ALL
            .iter()
            .find(|known| known.word() == text);
        settings.clear();
        settings.extend(
            needed(*strategy.expect("a strategy"))
                .iter()
                .map(|(key, value)| (*key, (*value).to_owned())),
        );
        return settings;
    }
    let is_instead = matches!(parameter, "secret_env" | "insecure");
    let needed = needed(strategy)
        .iter()
        .filter(|(key, _)| *key != parameter && !is_instead);
    settings.extend(needed.map(|(key, value)| (*key, (*value).to_owned())));
    match (parameter, text) {
        ("broadcast", _) => settings.push(("group", "192.168.1.255:45892".to_owned())),
        ("mode", "hostname") => settings.push(("service", "overlane".to_owned())),
        _ => {}
    }
    settings
}

#[test]
fn each_parameter_of_a_discovery_comes_from_file_environment_and_flag() {
    for parameter in DISCOVERY_PARAMETERS {
        let text = sample(parameter);
        let mut settings = around(parameter.name, &text);
        settings.push((parameter.name, text.clone()));
        let mut expected = DiscoveryConfig::new("test", StrategyChoice::Static);
        for (key, value) in &settings {
            let known = DISCOVERY_PARAMETERS.iter().find(|known| known.name == *key);
            assert_eq!(
                known.expect("a parameter").set(&mut expected, value),
                Ok(())
            );
        }
        let printed = expected.to_string();
        let flags_again = flags(&["--overlay", "full_mesh", "--discovery", &printed]);
        assert_eq!(
            load(&flags_again).discovery,
            [expected.clone()],
            "{printed}"
        );
        let expected = vec![expected];
        let lines: String = settings
            .iter()
            .map(|(key, value)| format!("{key} = \"{value}\"\n"))
            .collect();
        assert_eq!(
            of_file(&format!("[discovery.test]\n{lines}")),
            expected,
            "{lines}"
        );
        let printed = settings
            .iter()
            .map(|(key, value)| format!("{key}={}", value.replace(',', "+")));
        let definition = format!("test:{}", printed.collect::<Vec<_>>().join(","));
        let variables = [
            ("OVERLANE_OVERLAY".to_owned(), "full_mesh".to_owned()),
            ("OVERLANE_DISCOVERY".to_owned(), definition.clone()),
        ];
        assert_eq!(
            load(&environment(&variables)).discovery,
            expected,
            "{definition}"
        );
        let flags = flags(&["--overlay", "full_mesh", "--discovery", &definition]);
        assert_eq!(load(&flags).discovery, expected, "{definition}");
    }
}

#[test]
fn discoveries_are_merged_by_name_and_there_can_be_several() {
    let file = FileText::new(format!(
        "{OVERLAY}[discovery.a]\nstrategy = \"dns\"\nquery = \"a.example\"\n[discovery.b]\nstrategy = \"local\"\n"
    ));
    let config = load(&sources(
        Some(&file),
        &[],
        &[
            "--discovery",
            "a:poll_ms=200",
            "--discovery",
            "c:strategy=rancher",
        ],
    ));
    let names: Vec<_> = config
        .discovery
        .iter()
        .map(|known| known.name.as_str())
        .collect();
    assert_eq!(names, ["a", "b", "c"]);
    assert_eq!(config.discovery[0].poll_ms, Some(200));
    assert_eq!(config.discovery[0].query.text(), "a.example");
}

#[test]
fn a_mistake_in_a_discovery_is_said_with_what_is_right() {
    for (text, parts) in [
        (
            "[discovery.a]\nstrategy = \"dms\"",
            &[
                "line 3, key discovery.a.strategy: `dms`",
                "kubernetes_dns_srv",
            ][..],
        ),
        (
            "[discovery.a]\nstrategy = \"dns\"",
            &["discovery.a.query", "query = \"nodes.example\""],
        ),
        (
            "[discovery.a]\nstrategy = \"dns\"\nqueri = \"x\"",
            &["line 4", "did you mean `query`?"],
        ),
        (
            "[discovery.a]\nstrategy = \"local\"\nselector = \"app=x\"",
            &[
                "discovery.a.selector",
                "it is for strategy = kubernetes, and this one is local",
            ],
        ),
        (
            "[discovery.a]\nstrategy = \"multicast\"",
            &[
                "discovery.a.secret_file",
                "insecure = true",
                "send this node anywhere",
            ],
        ),
        (
            "[discovery.a]\nstrategy = \"multicast\"\nsecret_file = \"/a/b\"\ninsecure = true",
            &["discovery.a.insecure", "beacons are signed then"],
        ),
        (
            "[discovery.a]\nstrategy = \"multicast\"\nsecret_file = \"/a/b\"\nsecret_env = \"X\"",
            &["discovery.a.secret_env", "one place"],
        ),
        (
            "[discovery.a]\nstrategy = \"multicast\"\ninsecure = true\ngroup = \"10.0.0.255:1\"",
            &["discovery.a.group", "broadcast = true"],
        ),
        (
            "[discovery.a]\nstrategy = \"kubernetes\"\nselector = \"app=x\"\nmode = \"hostname\"",
            &["discovery.a.service", "headless Service"],
        ),
        (
            "[discovery.A]\nstrategy = \"local\"",
            &["`A` is not a value of discovery name", "a-z 0-9"],
        ),
        (
            "[discovery]\nstrategy = \"local\"",
            &[
                "key discovery.strategy",
                "put strategy under [discovery.NAME]",
            ],
        ),
        (
            "[discovery.a]\nstrategy = \"static\"\nhosts = [\"a\"]",
            &["`a` is no seed: give a port"],
        ),
    ] {
        let error = file_error(text);
        for part in parts {
            assert!(error.contains(part), "{text}\n{error}\nlacks {part}");
        }
    }
    let file = FileText::new("[discovery.a]\nstrategy = \"local\"");
    let error = error_of(&sources(Some(&file), &[], &[]));
    assert!(error.contains("choose an overlay"), "{error}");
}

#[test]
fn discoveries_in_code_are_bounded_and_their_names_unique() {
    let built = |names: &[String]| {
        let config = Config::builder().overlay(OverlayChoice::FullMesh);
        let local = |name: &String| DiscoveryConfig::new(name, StrategyChoice::Local);
        names
            .iter()
            .fold(config, |config, name| config.discover(local(name)))
            .build()
    };
    let names: Vec<_> = (0..=DISCOVERIES_MAX)
        .map(|number| format!("d{number}"))
        .collect();
    assert!(built(&names[1..]).is_ok());
    let many = built(&names).expect_err("too many");
    assert!(matches!(many, ConfigError::Conflict { .. }), "{many}");
    let twice = built(&["a".into(), "a".into()])
        .expect_err("twice")
        .to_string();
    assert!(twice.contains("another name"), "{twice}");
}

#[test]
fn each_strategy_has_an_example_in_the_documentation_and_each_example_is_right() {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../docs/discovery.md");
    let text = std::fs::read_to_string(path).expect("the documentation is there");
    let mut found = Vec::new();
    for section in text.split("\n## ").skip(1) {
        let title = section.lines().next().expect("a title");
        for block in section.split("```toml\n").skip(1) {
            let block = block.split("```").next().expect("an end");
            let discoveries = of_file(block);
            assert_eq!(discoveries.len(), 1, "{block}");
            assert_eq!(discoveries[0].strategy.word(), title);
            found.push(discoveries[0].strategy);
        }
    }
    for strategy in StrategyChoice::ALL {
        assert!(
            found.contains(strategy),
            "{} has no example",
            strategy.word()
        );
    }
}

#[test]
fn topologies_of_libcluster_are_discoveries() {
    let found = of_file(
        r#"
[libcluster.topologies.fixed]
strategy = "Cluster.Strategy.Epmd"
config = { hosts = ["a@10.0.0.1", "b@node-2.example"], timeout = 30000 }
connect = ["net_kernel", "connect_node"]

[libcluster.topologies.lan]
strategy = "Elixir.Cluster.Strategy.Gossip"
[libcluster.topologies.lan.config]
multicast_addr = "239.1.2.3"
multicast_ttl = 2

[libcluster.topologies.k8s]
strategy = "Cluster.Strategy.Kubernetes"
config = { kubernetes_selector = "app=x", kubernetes_node_basename = "x", kubernetes_ip_lookup_mode = "pods", polling_interval = 7000 }
"#,
    );
    let places: Vec<_> = found[0]
        .hosts
        .places()
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(places, ["10.0.0.1:7400", "node-2.example:7400"]);
    assert_eq!(found[1].group.address().to_string(), "239.1.2.3:45892");
    assert!((found[1].ttl, found[1].insecure) == (2, true));
    assert_eq!(
        (found[2].selector.text(), found[2].poll_ms),
        ("app=x", Some(7_000))
    );
}

#[test]
fn a_mistake_in_a_topology_of_libcluster_is_said_with_its_line() {
    for (text, parts) in [
        (
            "[libcluster.topologies.a]\nstrategy = \"Cluster.Strategy.EC2\"",
            [
                "line 3, key libcluster.topologies.a.strategy",
                "Kubernetes.DNSSRV",
            ],
        ),
        (
            "[libcluster.topologies.a]\nconfig = {}",
            ["line 2", "strategy = \"Cluster.Strategy.NAME\""],
        ),
        (
            "[libcluster.topologies.a]\nstrategy = \"Cluster.Strategy.DNSPoll\"\n[libcluster.topologies.a.config]\nquerry = \"x\"",
            [
                "line 5, key libcluster.topologies.a.config.querry",
                "did you mean `query`?",
            ],
        ),
        (
            "[libcluster.a]\nx = 1",
            ["libcluster.a", "[libcluster.topologies.NAME]"],
        ),
        (
            "[libcluster.topologies.a]\nstrategy = \"Cluster.Strategy.Epmd\"\nconfig = { hosts = \"a@b\" }",
            ["line 4", "a list of nodes"],
        ),
    ] {
        let error = file_error(text);
        for part in parts {
            assert!(error.contains(part), "{text}\n{error}\nlacks {part}");
        }
    }
}

/// The text of a file of `docs/kubernetes`.
fn manifest(name: &str) -> String {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../docs/kubernetes")
        .join(name);
    std::fs::read_to_string(path).expect("the manifest is there")
}

#[test]
fn the_variables_of_the_stateful_set_are_a_configuration() {
    let text = manifest("statefulset.yaml");
    let lines: Vec<_> = text.lines().map(str::trim).collect();
    let mut variables: Vec<(String, String)> = lines
        .windows(2)
        .filter_map(|pair| {
            let name = pair[0].strip_prefix("- name: OVERLANE_")?;
            let value = pair[1].strip_prefix("value: ")?;
            let value = value.replace("$(POD_NAME)", "overlane-0");
            let value = value.replace("$(POD_IP)", "10.1.2.3");
            Some((format!("OVERLANE_{name}"), value))
        })
        .collect();
    assert!(text.contains("- name: OVERLANE_PSK_SECRET"));
    let secret = "what the Secret has".to_owned();
    variables.push(("OVERLANE_PSK_SECRET".to_owned(), secret));
    let config = load(&environment(&variables));
    assert_eq!(config.node_name, "overlane-0");
    assert_eq!(config.listen.to_string(), "10.1.2.3:7400");
    let pods = &config.discovery[0];
    assert_eq!(pods.strategy, StrategyChoice::Kubernetes);
    // The label that the Service and the pods have, the port of both, and the role.
    for name in ["statefulset.yaml", "service.yaml"] {
        let text = manifest(name);
        let label = pods.selector.text().replace('=', ": ");
        assert!(text.contains(&label) && text.contains("7400"), "{name}");
    }
    let role = manifest("rbac.yaml");
    for allowed in [
        "apiGroups: [\"discovery.k8s.io\"]",
        "resources: [\"endpointslices\"]",
        "verbs: [\"list\", \"watch\"]",
    ] {
        assert!(role.contains(allowed), "the role lacks {allowed}");
    }
}
