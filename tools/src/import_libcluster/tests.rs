//! Configurations of libcluster: those of its README and of its documentation, and shapes as they are found in public
//! repositories, typed anew with other names. Each imports, or it is said exactly why not.

use overlane::config::{DiscoveryConfig, Sources, StrategyChoice};
use proptest::prelude::*;

use super::check;
use super::elixir::topologies;
use super::print::printed;

/// What is printed for a text, with these variables, and whether it is whole.
fn import(text: &str, variables: &[(&str, &str)]) -> (String, bool) {
    let environment = |name: &str| {
        let known = variables.iter().find(|(known, _)| *known == name);
        known.map(|(_, value)| (*value).to_owned())
    };
    let found = topologies(text, &environment).expect("it can be parsed");
    printed("test.exs", &found)
}

/// The discoveries that come of it: what is printed is read as a configuration.
fn discoveries(text: &str, variables: &[(&str, &str)]) -> Vec<DiscoveryConfig> {
    let (printed, is_whole) = import(text, variables);
    assert!(is_whole, "{printed}");
    load(&printed)
}

fn load(printed: &str) -> Vec<DiscoveryConfig> {
    let name = format!(
        "import-{}-{:?}.toml",
        std::process::id(),
        std::thread::current().id()
    );
    let path = std::env::temp_dir().join(name);
    std::fs::write(&path, printed).expect("the temporary folder can be written");
    let sources = Sources {
        file_default: Some(path.clone()),
        ..Sources::default()
    };
    let config = sources.load();
    let _ = std::fs::remove_file(&path);
    config
        .unwrap_or_else(|error| panic!("{error}\n{printed}"))
        .discovery
}

fn one(text: &str) -> DiscoveryConfig {
    let mut all = discoveries(text, &[]);
    assert_eq!(all.len(), 1);
    all.remove(0)
}

fn places(discovery: &DiscoveryConfig) -> Vec<String> {
    discovery
        .hosts
        .places()
        .iter()
        .map(ToString::to_string)
        .collect()
}

#[test]
fn the_first_example_of_the_readme() {
    let text = r#"
defmodule MyApp.App do
  use Application

  def start(_type, _args) do
    topologies = [
      example: [
        strategy: Cluster.Strategy.Epmd,
        config: [hosts: [:"a@127.0.0.1", :"b@127.0.0.1"]],
      ]
    ]
    children = [
      {Cluster.Supervisor, [topologies, [name: MyApp.ClusterSupervisor]]},
      # ..other children..
    ]
    Supervisor.start_link(children, strategy: :one_for_one, name: MyApp.Supervisor)
  end
end
"#;
    let discovery = one(text);
    assert_eq!(
        (discovery.name.as_str(), discovery.strategy),
        ("example", StrategyChoice::Static)
    );
    assert_eq!(places(&discovery), ["127.0.0.1:7400"; 2]);
}

#[test]
fn the_second_example_of_the_readme_with_what_has_no_counterpart() {
    let text = r#"config :libcluster,
  topologies: [
    epmd_example: [
      # The selected clustering strategy. Required.
      strategy: Cluster.Strategy.Epmd,
      config: [hosts: [:"a@127.0.0.1", :"b@127.0.0.1"]],
      connect: {:net_kernel, :connect_node, []},
      disconnect: {:erlang, :disconnect_node, []},
      list_nodes: {:erlang, :nodes, [:connected]},
    ],
    # more topologies can be added ...
    gossip_example: [
      # ...
    ]
  ]
"#;
    let (printed, is_whole) = import(text, &[]);
    assert!(is_whole, "{printed}");
    for remark in [
        "# line 7: connect: no counterpart; nodes are connected by the engine",
        "# line 8: disconnect: no counterpart",
        "# line 9: list_nodes: no counterpart",
        "# line 6: hosts: an Erlang node has no port of its own: 7400 is taken for each",
    ] {
        assert!(printed.contains(remark), "{printed}");
    }
    assert_eq!(load(&printed).len(), 1);
}

#[test]
fn the_examples_of_its_documentation() {
    let gossip = one(r#"
      config :libcluster,
        topologies: [
          gossip_example: [
            strategy: Elixir.Cluster.Strategy.Gossip,
            config: [
              port: 45892,
              if_addr: "0.0.0.0",
              multicast_if: "192.168.1.1",
              multicast_addr: "233.252.1.32",
              multicast_ttl: 1,
              secret: "somepassword"]]]"#);
    assert_eq!(gossip.strategy, StrategyChoice::Multicast);
    assert_eq!(gossip.group.address().to_string(), "233.252.1.32:45892");
    assert_eq!(gossip.interface.text(), "192.168.1.1");
    assert_eq!(gossip.secret_file.text(), "/etc/overlane/secret");
    let broadcast = one(r#"
      config :libcluster, topologies: [gossip_example: [strategy: Cluster.Strategy.Gossip, config: [
        port: 45892, if_addr: "0.0.0.0", multicast_addr: "255.255.255.255", broadcast_only: true]]]"#);
    assert!(broadcast.broadcast && broadcast.insecure);
    let kubernetes = one(r#"
      config :libcluster,
        topologies: [
          erlang_nodes_in_k8s: [
            strategy: Cluster.Strategy.Kubernetes,
            config: [
              mode: :ip,
              kubernetes_node_basename: "myapp",
              kubernetes_selector: "app=myapp,tier=web",
              kubernetes_namespace: "my_namespace",
              polling_interval: 10_000
            ]
          ]
        ]"#);
    assert_eq!(kubernetes.selector.text(), "app=myapp,tier=web");
    assert_eq!(
        (kubernetes.namespace.text(), kubernetes.poll_ms),
        ("my_namespace", Some(10_000))
    );
    let dns = one(
        r#"config :libcluster, topologies: [dns_poll_example: [strategy: Cluster.Strategy.DNSPoll, config: [
        polling_interval: 5_000, query: "my-app.example.com", node_basename: "my-app"]]]"#,
    );
    assert_eq!(
        (dns.strategy, dns.query.text()),
        (StrategyChoice::Dns, "my-app.example.com")
    );
}

/// Those of the README of its first version, which knew no topologies.
#[test]
fn the_examples_of_its_first_readme_are_told_what_has_become_of_them() {
    let text = r#"config :libcluster,
  strategy: Cluster.Strategy.Gossip,
  port: 45892,
  if_addr: {0,0,0,0},
  multicast_addr: {230,1,1,251},
  multicast_ttl: 1

config :libcluster,
  strategy: Cluster.Strategy.Kubernetes,
  kubernetes_selector: "app=myapp",
  kubernetes_node_basename: "myapp"

Supervisor.start_link(children, strategy: :one_for_one)
"#;
    let found = topologies(text, &|_| None).expect("it can be parsed");
    assert!(found.topologies.is_empty());
    assert_eq!(found.bare, [2, 9]);
    let beside =
        format!("{text}config :libcluster, topologies: [a: [strategy: Cluster.Strategy.Gossip]]\n");
    let (printed, is_whole) = import(&beside, &[]);
    assert!(!is_whole);
    let remark = "# line 2: a strategy that belongs to no topology, as in libcluster 1: expected `topologies: [name: [strategy: ";
    assert!(printed.contains(remark), "{printed}");
    assert_eq!(load(&printed).len(), 1);
}

#[test]
fn shape_1_gossip_without_a_config() {
    let discovery = one(
        "config :libcluster,\n  topologies: [\n    orders: [\n      # Required.\n      strategy: Cluster.Strategy.Gossip\n    ]\n  ]\n",
    );
    assert_eq!(discovery.group.address().to_string(), "233.252.1.32:45892");
    assert!(discovery.insecure);
}

#[test]
fn shape_2_kubernetes_dns_in_one_line_beside_another_environment() {
    let text = r#"# Dev
config :libcluster,
  topologies: [gossip: [strategy: Cluster.Strategy.Gossip, config: [port: 45892]]]
# Prod
config :libcluster,
  topologies: [k8s_dns: [strategy: Cluster.Strategy.Kubernetes.DNS,
    config: [service: "chat-headless", application_name: "chat", polling_interval: 3_000]]]
config :libcluster, topologies: []
"#;
    let all = discoveries(text, &[]);
    assert_eq!(all.len(), 2);
    assert_eq!(all[1].service.text(), "chat-headless");
    assert_eq!(
        (all[1].strategy, all[1].poll_ms),
        (StrategyChoice::KubernetesDns, Some(3_000))
    );
}

#[test]
fn shape_3_names_of_nodes_made_of_variables_of_the_environment() {
    let text = r#"
if System.get_env("REPLICA") && System.get_env("MODE") != "true" do
  primary = System.get_env("PRIMARY", "server1")
  config :libcluster,
    topologies: [
      billing_cluster: [
        strategy: Cluster.Strategy.Epmd,
        config: [hosts: [:"billing@#{System.get_env("PRIMARY", "server1")}", :"replica@#{primary}"]]
      ]
    ]
end"#;
    let (printed, is_whole) = import(text, &[]);
    assert!(!is_whole, "a variable of the file is not followed");
    assert!(
        printed.contains("# line 8: hosts: only running the file would tell what"),
        "{printed}"
    );
    let known = text.replace("#{primary}", "server2");
    let found = discoveries(&known, &[("PRIMARY", "10.0.0.7")]);
    assert_eq!(places(&found[0]), ["10.0.0.7:7400", "server2:7400"]);
}

#[test]
fn shape_4_a_list_that_is_put_before_an_accumulator() {
    let text = r#"
topologies = Enum.reduce(strategies, [], fn strategy, acc ->
  case strategy do
    "DNS" ->
      [
        fly6pn: [
          strategy: Cluster.Strategy.DNSPoll,
          config: [
            polling_interval: 5_000,
            query: System.get_env("DNS_NODES"),
            node_basename: "app"
          ]
        ]
      ] ++ acc

    "EPMD" ->
      [
        dev: [
          strategy: Cluster.Strategy.Epmd,
          config: [hosts: [:"orange@127.0.0.1", :"pink@127.0.0.1"]],
          connect: {:net_kernel, :connect_node, []}
        ]
      ] ++ acc

    _ -> acc
  end
end)"#;
    let found = discoveries(text, &[("DNS_NODES", "app.internal")]);
    assert_eq!(found[0].query.text(), "app.internal");
    assert_eq!(found[1].hosts.places().len(), 2);
    let (printed, is_whole) = import(text, &[]);
    assert!(!is_whole);
    assert!(
        printed.contains("# line 10: query: only running the file would tell"),
        "{printed}"
    );
}

#[test]
fn shape_5_a_strategy_of_somebody_else() {
    let text = "gce_topology = [\n  gce: [\n    strategy: Ledger.Cluster.Strategy.GoogleComputeEngine,\n    config: [release_name: :ledger]\n  ]\n]\n";
    let (printed, is_whole) = import(text, &[]);
    assert!(!is_whole);
    let remark = "# line 2: gce Ledger.Cluster.Strategy.GoogleComputeEngine: no counterpart; expected a strategy of libcluster itself";
    assert!(printed.contains(remark), "{printed}");
}

#[test]
fn shape_6_the_nodes_of_this_host() {
    let local = one(
        "use Mix.Config\n\nconfig :libcluster,\n  topologies: [\n    localhost: [\n      strategy: Cluster.Strategy.LocalEpmd,\n      config: [\n        hosts: [\n          :hub_two@localhost\n        ]\n      ]\n    ]\n  ]\n",
    );
    assert_eq!(local.strategy, StrategyChoice::Local);
}

#[test]
fn shape_7_tuples_in_place_of_keywords() {
    let found = one(
        r#"config :shop, topologies: [{:k8s, [{:strategy, Cluster.Strategy.Kubernetes}, {:config, [kubernetes_selector: "app=shop"]}]}]"#,
    );
    assert_eq!(
        (found.name.as_str(), found.selector.text()),
        ("k8s", "app=shop")
    );
}

#[test]
fn shape_8_kubernetes_with_a_stateful_set() {
    let found = one(r#"
config :libcluster,
  topologies: [
    default: [
      strategy: Cluster.Strategy.Kubernetes,
      config: [
        mode: :hostname,
        kubernetes_ip_lookup_mode: :pods,
        kubernetes_service_name: "stock-headless",
        kubernetes_node_basename: "stock",
        kubernetes_selector: "app.kubernetes.io/name=stock",
        kubernetes_namespace: System.get_env("NAMESPACE") || "default"
      ]
    ]
  ]"#);
    assert_eq!(
        (found.service.text(), found.namespace.text()),
        ("stock-headless", "default")
    );
}

#[test]
fn shape_9_dns_srv_with_charlists_and_a_map() {
    let found = one(r#"
topologies = [
  srv: [
    strategy: Cluster.Strategy.Kubernetes.DNSSRV,
    config: %{service: 'game-headless', application_name: ~c"game", namespace: "prod", polling_interval: 10_000}
  ]
]"#);
    assert_eq!(
        (found.strategy, found.namespace.text()),
        (StrategyChoice::KubernetesDnsSrv, "prod")
    );
}

#[test]
fn shape_10_rancher_and_erlang_hosts_with_a_setting_that_is_wrong() {
    let text = r#"config :libcluster, topologies: [
  Rancher_One: [strategy: Cluster.Strategy.Rancher, config: [node_basename: "app", polling_intervall: 10_000]],
  hosts: [strategy: Cluster.Strategy.ErlangHosts, config: [timeout: 30_000]]]"#;
    let (printed, is_whole) = import(text, &[]);
    assert!(!is_whole);
    assert!(
        printed.contains(
            "# line 2: polling_intervall: no counterpart; did you mean `polling_interval`?"
        ),
        "{printed}"
    );
    assert!(printed.contains("[discovery.rancher_one]"), "{printed}");
    assert_eq!(load(&printed)[1].strategy, StrategyChoice::HostsFile);
}

#[test]
fn what_is_no_elixir_is_named_with_its_line() {
    let (printed, is_whole) = import(
        "config :libcluster,\n  topologies: [a: [strategy: Cluster.Strategy.Gossip]]\n)))\n",
        &[],
    );
    assert!(!is_whole);
    assert!(printed.contains("# line 3: no Elixir"), "{printed}");
}

/// The corpus of the fuzz target.
fn corpus() -> Vec<Vec<u8>> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/fuzz/corpus/libcluster");
    let entries = std::fs::read_dir(folder).expect("it is there");
    let files = entries.map(|entry| std::fs::read(entry.expect("an entry").path()));
    let mut files: Vec<_> = files.map(|file| file.expect("a readable file")).collect();
    files.sort();
    assert!(files.len() > 5, "it has lost its files");
    assert!(files.iter().all(|file| !file.is_empty()));
    files
}

#[test]
fn the_corpus_of_the_fuzz_target_is_imported_or_refused() {
    corpus().iter().for_each(|file| check::import(file));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_the_corpus_becomes_is_imported_or_refused(
        file in any::<prop::sample::Index>(),
        edits in prop::collection::vec((any::<prop::sample::Index>(), any::<char>(), any::<bool>()), 1..6),
    ) {
        let file = file.get(&corpus()).clone();
        let mut text: Vec<char> = String::from_utf8_lossy(&file).chars().collect();
        for (at, character, is_put_in) in edits {
            let at = at.index(text.len());
            if is_put_in {
                text.insert(at, character);
            } else {
                text[at] = character;
            }
        }
        check::import(text.into_iter().collect::<String>().as_bytes());
    }

    #[test]
    fn no_text_panics(text in any::<String>()) {
        import(&text, &[]);
    }

    #[test]
    fn no_configuration_that_was_damaged_panics(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<char>()), 1..8),
    ) {
        let text = r##"config :libcluster, topologies: [a: [strategy: Cluster.Strategy.Gossip, config: [port: 1, secret: "#{x}"]]]"##;
        let mut text: Vec<char> = text.chars().collect();
        for (index, character) in changes {
            let at = index.index(text.len());
            text[at] = character;
        }
        import(&text.into_iter().collect::<String>(), &[]);
    }

    #[test]
    fn no_depth_panics(depth in 0_usize..3_000, open in prop::sample::select(vec!["[a: ", "{", "(", "\"#{", "%{b: "])) {
        import(&open.repeat(depth), &[]);
    }
}
