//! Nodes find each other by each strategy: five form a cluster, and one that appears later joins it.
//!
//! Name servers, the API server of Kubernetes and Rancher's metadata service are stand-ins, written from the documentation of
//! the real ones (`discovery/tests/servers/stand_in`); where unbound or dnsmasq are installed, they are asked, too.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use overlane::config::{DiscoveryConfig, MulticastGroup, OverlayChoice, Seed, StrategyChoice};
use overlane::{Event, MemberStatus};

use crate::nodes::{Member, agree, name};
use crate::real::name_server::{Kind, RealServer, Record};
use crate::stand_in::dns::{NameServer, Records};
use crate::stand_in::kubernetes::ApiServer;
use crate::stand_in::web::WebServer;
use crate::support::{GENEROUS, config, wait_for_event, wait_until};

/// How often it is looked, where it is polled.
pub(crate) const POLL: Duration = Duration::from_secs(1);
/// What a newcomer may take besides: the promise that is measured. Not asserted, as a loaded machine takes its time.
pub(crate) const BESIDES: Duration = Duration::from_secs(5);

pub(crate) fn discovery(strategy: StrategyChoice) -> DiscoveryConfig {
    DiscoveryConfig::new("test", strategy)
}

pub(crate) fn polled(strategy: StrategyChoice) -> DiscoveryConfig {
    discovery(strategy).poll_ms(u64::try_from(POLL.as_millis()).expect("a second"))
}

/// A port that is free on the addresses of all nodes.
pub(crate) fn free_port() -> u16 {
    loop {
        let first = TcpListener::bind((address(0), 0)).expect("a port");
        let port = first.local_addr().expect("an address").port();
        if (1..6).all(|number| TcpListener::bind((address(number), port)).is_ok()) {
            return port;
        }
    }
}

/// The address of a node: each has one of its own, as hosts have.
pub(crate) fn address(number: usize) -> IpAddr {
    let last = u8::try_from(11 + number).expect("a few nodes");
    Ipv4Addr::new(127, 0, 7, last).into()
}

fn listening(number: usize, port: u16) -> SocketAddr {
    SocketAddr::new(address(number), port)
}

fn node(number: usize, listen: SocketAddr, discovery: &DiscoveryConfig) -> Member {
    let config = config(&name(number))
        .listen(listen)
        .discover(discovery.clone());
    Member::start_with(config, OverlayChoice::FullMesh, &[])
}

/// Five nodes that start at a time, and a sixth later. `appear` is told of each node before it starts.
pub(crate) fn form(
    what: &str,
    discovery: impl Fn(usize) -> DiscoveryConfig,
    port: u16,
    appear: impl FnMut(usize),
) -> Vec<Member> {
    let start = |number: usize| node(number, listening(number, port), &discovery(number));
    form_with(what, start, appear)
}

/// The same, of nodes that `start` starts.
pub(crate) fn form_with(
    what: &str,
    start: impl Fn(usize) -> Member,
    mut appear: impl FnMut(usize),
) -> Vec<Member> {
    let begun = Instant::now();
    (0..5).for_each(&mut appear);
    let mut members: Vec<_> = (0..5).map(&start).collect();
    agree(&members);
    println!(
        "{what}: five nodes are one cluster after {:?}",
        begun.elapsed()
    );
    let begun = Instant::now();
    appear(5);
    members.push(start(5));
    agree(&members);
    let took = begun.elapsed();
    let is_kept = took <= POLL + BESIDES;
    println!(
        "{what}: the sixth joined after {took:?}, within {:?}: {is_kept}",
        POLL + BESIDES
    );
    members
}

#[test]
fn by_a_list() {
    let port = free_port();
    let hosts: Vec<Seed> = (0..5)
        .map(|number| listening(number, port).into())
        .collect();
    let listed = |_| discovery(StrategyChoice::Static).hosts(hosts.clone());
    let members = form("static", listed, port, |_| {});
    let metrics = members[0].node.metrics();
    assert_eq!(metrics.discoveries[0].places.len(), 5);
    assert!(metrics.identity_holds());
}

#[test]
fn by_a_file_that_grows() {
    let port = free_port();
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("hosts-{port}"));
    let mut lines = String::from("# nodes\n");
    let file = path.to_string_lossy().into_owned();
    let members = form(
        "hosts_file",
        |_| polled(StrategyChoice::HostsFile).file(file.as_str()),
        port,
        |number| {
            lines += &format!("{}\n", address(number));
            std::fs::write(&path, &lines).expect("the temporary folder can be written");
        },
    );
    // All of them find the sixth in the file, too.
    for member in &members {
        let places = || member.node.metrics().discoveries[0].places.len();
        wait_until("the file is read again", places, |places| *places == 6);
    }
    let _ = std::fs::remove_file(&path);
}

/// The addresses of `nodes.example`, asked of that name server.
fn addresses_at(server: SocketAddr, port: u16) -> DiscoveryConfig {
    polled(StrategyChoice::Dns)
        .query("nodes.example")
        .server([server])
        .port(port)
}

#[test]
fn by_addresses_in_dns() {
    let (server, port) = (NameServer::start(), free_port());
    let mut addresses = Vec::new();
    let members = form(
        "dns",
        |_| addresses_at(server.address, port),
        port,
        |number| {
            addresses.push(address(number));
            server.set_addresses("nodes.example", &addresses);
        },
    );
    an_answer_that_lost_all_harms_nobody(&members, &server);
}

/// The name goes, and then the server: the cluster stays, and says that something is wrong.
fn an_answer_that_lost_all_harms_nobody(members: &[Member], server: &NameServer) {
    let places = || members[0].node.metrics().discoveries[0].places.len();
    wait_until("it has seen all six", places, |places| *places == 6);
    let events = members[0].node.events();
    server.remove("nodes.example");
    let why = wait_for_event(&events, "the answer that lost all", |event| match event {
        Event::DiscoveryFailed { why, .. } => Some(why.clone()),
        _ => None,
    });
    assert!(why.contains("lists no place any more"), "{why}");
    server.set_ill(true);
    let why = wait_for_event(&events, "the server that is ill", |event| match event {
        Event::DiscoveryFailed { why, .. } if why.contains("SERVFAIL") => Some(why.clone()),
        Event::MemberDown { .. } | Event::MemberLeft { .. } => panic!("{event:?}"),
        _ => None,
    });
    assert!(why.contains(&server.address.to_string()), "{why}");
    let counted = members[0].node.metrics().discoveries[0].clone();
    assert!(
        counted.failures >= 1 && counted.lost_all >= 1,
        "{counted:?}"
    );
    assert_eq!(counted.places.len(), 6, "what was found stays");
    assert!(counted.failure.is_some());
    agree(members);
}

#[test]
fn by_services_in_dns() {
    let (server, port) = (NameServer::start(), free_port());
    let mut services = Vec::new();
    form(
        "dns_srv",
        |_| {
            polled(StrategyChoice::DnsSrv)
                .query("_overlane._tcp.example")
                .server([server.address])
        },
        port,
        |number| {
            let host = format!("host-{number}.example");
            server.set_addresses(&host, &[address(number)]);
            services.push((port, host));
            let services = services.clone();
            server.set(
                "_overlane._tcp.example",
                Records {
                    ttl_s: 1,
                    addresses: Vec::new(),
                    services,
                },
            );
        },
    );
}

/// A name server as they are installed, where one is: unbound, all of whose records come and go, and dnsmasq.
#[test]
fn by_a_real_name_server() {
    let port = free_port();
    let mut records = Vec::new();
    if let Some(server) = RealServer::start(Kind::Unbound, &[]) {
        let members = form(
            "dns and dns_srv at unbound",
            |number| {
                match number % 2 {
                    0 => polled(StrategyChoice::Dns)
                        .query("nodes.example")
                        .port(port),
                    _ => polled(StrategyChoice::DnsSrv).query("_overlane._tcp.example"),
                }
                .server([server.address])
            },
            port,
            |number| {
                let host = format!("host-{number}.example");
                records.push(Record::address("nodes.example", address(number)));
                records.push(Record::address(&host, address(number)));
                records.push(Record::service("_overlane._tcp.example", port, &host));
                server.set(&records);
            },
        );
        // The names go, and the members stay. A node may have joined by what others found, before it found anything itself.
        let places = || members[0].node.metrics().discoveries[0].places.len();
        wait_until("it has seen all six", places, |places| *places == 6);
        server.set(&[]);
        let lost = || members[0].node.metrics().discoveries[0].lost_all;
        wait_until("the answer that lost all", lost, |lost| *lost > 0);
        agree(&members);
    }
    let port = free_port();
    let mut records = Vec::new();
    if let Some(server) = RealServer::start(Kind::Dnsmasq, &[]) {
        form(
            "dns at dnsmasq",
            |_| addresses_at(server.address, port),
            port,
            |number| {
                records.push(Record::address("nodes.example", address(number)));
                server.set(&records);
            },
        );
    }
}

#[test]
fn by_headless_services_of_kubernetes_in_dns() {
    let (server, port) = (NameServer::start(), free_port());
    let mut addresses = Vec::new();
    let service = |strategy| {
        polled(strategy)
            .service("overlane")
            .namespace("prod")
            .server([server.address])
    };
    let mut services = Vec::new();
    let strategies = |number: usize| match number % 2 {
        0 => service(StrategyChoice::KubernetesDns).port(port),
        _ => service(StrategyChoice::KubernetesDnsSrv).port_name("lanes"),
    };
    form(
        "kubernetes_dns and kubernetes_dns_srv",
        strategies,
        port,
        |number| {
            addresses.push(address(number));
            server.set_addresses("overlane.prod.svc.cluster.local", &addresses);
            let host = format!("overlane-{number}.overlane.prod.svc.cluster.local");
            server.set_addresses(&host, &[address(number)]);
            services.push((port, host));
            let services = services.clone();
            let name = "_lanes._tcp.overlane.prod.svc.cluster.local";
            server.set(
                name,
                Records {
                    ttl_s: 1,
                    addresses: Vec::new(),
                    services,
                },
            );
        },
    );
}

#[test]
fn by_the_api_of_kubernetes() {
    let port = free_port();
    let server = ApiServer::start(&PathBuf::from(env!("CARGO_TARGET_TMPDIR")), "cluster");
    let account = server.account().to_string_lossy().into_owned();
    let members = form(
        "kubernetes",
        |_| {
            polled(StrategyChoice::Kubernetes)
                .url(server.url())
                .account(account.as_str())
                .selector("app=overlane,tier in (core)")
                .port(port)
        },
        port,
        |number| {
            server.set(
                &format!("overlane-{number}"),
                &[&address(number).to_string()],
            )
        },
    );
    // A pod that is gone from the list is a member as long as it answers.
    server.set("overlane-3", &[]);
    let places = || members[0].node.metrics().discoveries[0].places.len();
    wait_until("the change is seen", places, |places| *places == 5);
    assert_eq!(members[0].status(&name(3)), Some(MemberStatus::Alive));
}

#[test]
fn by_the_metadata_of_rancher() {
    let port = free_port();
    let containers = Arc::new(Mutex::new(Vec::new()));
    let listed = Arc::clone(&containers);
    let server = WebServer::start(move |_, answering| {
        let containers: Vec<String> = listed.lock().expect("nobody panics").clone();
        answering.whole(
            200,
            &format!("{{\"containers\":[{}]}}", containers.join(",")),
        );
    });
    form(
        "rancher",
        |_| polled(StrategyChoice::Rancher).url(server.url()).port(port),
        port,
        |number| {
            let container = format!("{{\"ips\":[\"{}\"]}}", address(number));
            containers.lock().expect("nobody panics").push(container);
        },
    );
}

#[test]
fn by_admin_sockets_of_this_user() {
    let port = free_port();
    let folder = std::env::temp_dir().join(format!("overlane-local-{port}"));
    std::fs::create_dir(&folder).expect("a free path");
    let private = std::os::unix::fs::PermissionsExt::from_mode(0o700);
    std::fs::set_permissions(&folder, private).expect("it is ours");
    let local = polled(StrategyChoice::Local).directory(folder.to_string_lossy());
    let start = |number: usize| {
        let socket = folder.join(format!("{}.sock", name(number)));
        let config = config(&name(number)).admin(overlane::config::Admin::At(socket));
        Member::start_with(config.discover(local.clone()), OverlayChoice::FullMesh, &[])
    };
    let mut members: Vec<_> = (0..5).map(start).collect();
    agree(&members);
    let begun = Instant::now();
    members.push(start(5));
    agree(&members);
    println!("local: the sixth joined after {:?}", begun.elapsed());
    drop(members);
    let _ = std::fs::remove_dir_all(&folder);
}

#[test]
fn by_multicast_with_a_secret() {
    let socket = UdpSocket::bind("0.0.0.0:0").expect("a port");
    let group = SocketAddr::from((
        [239, 255, 45, 94],
        socket.local_addr().expect("an address").port(),
    ));
    drop(socket);
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("secret-{}", group.port()));
    std::fs::write(&path, "a secret of this test alone\n")
        .expect("the temporary folder can be written");
    let multicast = polled(StrategyChoice::Multicast)
        .group(MulticastGroup::from(group))
        .interface("lo")
        .secret_file(path.to_string_lossy());
    let members = form("multicast", |_| multicast.clone(), free_port(), |_| {});
    // One with another secret hears the others, believes nobody, and is not believed.
    let other = path.with_extension("other");
    std::fs::write(&other, "another secret of this test\n")
        .expect("the temporary folder can be written");
    let multicast = multicast.secret_file(other.to_string_lossy());
    let stranger = node(6, listening(6, 0), &multicast);
    let refused = || members[0].node.metrics().discoveries[0].refused;
    wait_until("its beacons are refused", refused, |refused| *refused > 2);
    assert!(stranger.node.metrics().discoveries[0].places.is_empty());
    assert_eq!(stranger.cluster().live(), 1);
    agree(&members);
    for path in [path, other] {
        let _ = std::fs::remove_file(path);
    }
}

#[test]
fn several_discoveries_at_once_of_which_one_fails() {
    let port = free_port();
    let nobody = TcpListener::bind("127.0.0.1:0")
        .and_then(|socket| socket.local_addr())
        .expect("a port");
    let start = |number: usize| {
        let hosts = vec![Seed::from(listening(0, port))];
        let config = config(&name(number))
            .listen(listening(number, port))
            .discover(DiscoveryConfig::new("list", StrategyChoice::Static).hosts(hosts))
            .discover(
                DiscoveryConfig::new("metadata", StrategyChoice::Rancher)
                    .url(format!("http://{nobody}")),
            );
        Member::start_with(config, OverlayChoice::HyParView, &[])
    };
    let members = [start(0), start(1)];
    agree(&members);
    let failed = || members[1].node.metrics().discoveries[1].failures;
    wait_until(
        "the failure is counted, again and again",
        failed,
        |failures| *failures > 1,
    );
    assert!(members[1].cluster().is_joined());
}

#[test]
fn a_node_alone_waits_for_its_discoveries_and_for_nobody_else() {
    let server = NameServer::start();
    server.set_ill(true);
    let dns = polled(StrategyChoice::Dns)
        .query("nodes.example")
        .server([server.address]);
    let member = node(0, SocketAddr::from(([127, 0, 0, 1], 0)), &dns);
    let error = member
        .cluster()
        .wait_joined(Duration::from_secs(10))
        .expect_err("the server is ill");
    assert!(
        error
            .to_string()
            .contains("discovery test: no name server said"),
        "{error}"
    );
    server.set_ill(false);
    member
        .cluster()
        .wait_joined(GENEROUS)
        .expect("there is nobody else");
}

#[test]
fn two_halves_that_began_apart_become_one_cluster() {
    let (server, port) = (NameServer::start(), free_port());
    let dns = |half: &str| {
        polled(StrategyChoice::Dns)
            .query(half)
            .server([server.address])
            .port(port)
    };
    let (left, right) = ([address(0), address(1)], [address(2), address(3)]);
    server.set_addresses("left.example", &left);
    server.set_addresses("right.example", &right);
    let half = |number: usize| {
        if number < 2 {
            "left.example"
        } else {
            "right.example"
        }
    };
    let members: Vec<_> = (0..4)
        .map(|number| node(number, listening(number, port), &dns(half(number))))
        .collect();
    agree(&members[..2]);
    agree(&members[2..]);
    server.set_addresses("left.example", &[left, right].concat());
    agree(&members);
}

#[test]
fn a_node_does_not_take_another_one_of_its_name_for_itself() {
    let port = free_port();
    let first = node(
        0,
        listening(0, port),
        &discovery(StrategyChoice::Static).hosts(vec![Seed::from(listening(1, port))]),
    );
    let hosts = vec![Seed::from(listening(0, port))];
    let config = config(&name(0)).listen(listening(2, port));
    let config = config.discover(discovery(StrategyChoice::Static).hosts(hosts));
    let second = Member::start_with(config, OverlayChoice::FullMesh, &[]);
    let error = second
        .cluster()
        .wait_joined(Duration::from_secs(10))
        .expect_err("the name is taken");
    assert!(error.to_string().contains("names are unique"), "{error}");
    drop(first);
}
