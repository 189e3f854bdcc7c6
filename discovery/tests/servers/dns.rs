//! `dns` and `dns_srv` against a stand-in for a name server, and against dnsmasq where it is installed.

use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use overlane_discovery::dns::{Dns, DnsSrv};
use overlane_discovery::resolver::Resolver;
use overlane_discovery::{Again, Stop, Strategy};

use crate::stand_in::dns::{NameServer, Records};
use crate::{GENEROUS, look_until, texts};

fn ip(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

fn dns(server: SocketAddr, name: &str) -> Dns {
    Dns::new(Resolver::new(vec![server]), name.to_owned(), 7400)
}

fn dns_srv(server: SocketAddr, name: &str) -> DnsSrv {
    DnsSrv::new(Resolver::new(vec![server]), name.to_owned(), 7400)
}

#[test]
fn addresses_of_both_versions_come_and_go() {
    let server = NameServer::start();
    let stop = Stop::default();
    let mut strategy = dns(server.address, "Nodes.example");
    assert!(
        strategy
            .look(&stop)
            .expect("no such name")
            .places()
            .is_empty()
    );
    let records = Records {
        ttl_s: 17,
        addresses: vec![ip("10.0.0.1"), ip("fd00::1")],
        services: Vec::new(),
    };
    server.set("nodes.example", records);
    let found = strategy.look(&stop).expect("it answers");
    assert_eq!(texts(&found), ["10.0.0.1:7400", "[fd00::1]:7400"]);
    assert_eq!(found.again, Again::Within(Duration::from_secs(17)));
    server.set_addresses("nodes.example", &[ip("10.0.0.2")]);
    assert_eq!(
        texts(&strategy.look(&stop).expect("it answers")),
        ["10.0.0.2:7400"]
    );
    server.remove("nodes.example");
    assert!(
        strategy
            .look(&stop)
            .expect("no such name")
            .places()
            .is_empty()
    );
}

#[test]
fn an_answer_that_does_not_fit_is_asked_for_by_tcp() {
    let server = NameServer::start();
    let many: Vec<_> = (0..200)
        .map(|last| IpAddr::from([10, 0, 1, last]))
        .collect();
    server.set_addresses("nodes.example", &many);
    let mut strategy = dns(server.address, "nodes.example");
    let found = strategy.look(&Stop::default()).expect("it answers");
    assert_eq!(found.places().len(), many.len());
    assert_eq!(server.asked_by_tcp(), 1);
}

#[test]
fn services_are_found_with_their_ports() {
    let server = NameServer::start();
    let services = vec![
        (7401, "n1.example".to_owned()),
        (0, "n2.example".to_owned()),
    ];
    let name = "_overlane._tcp.example";
    let records = |services| Records {
        ttl_s: 30,
        addresses: Vec::new(),
        services,
    };
    server.set(name, records(services));
    server.set_addresses("n1.example", &[ip("10.0.0.1")]);
    server.set_addresses("n2.example", &[ip("10.0.0.2"), ip("fd00::2")]);
    let mut strategy = dns_srv(server.address, name);
    let found = strategy.look(&Stop::default()).expect("it answers");
    assert_eq!(
        texts(&found),
        ["10.0.0.1:7401", "10.0.0.2:7400", "[fd00::2]:7400"]
    );
    assert_eq!(
        found.again,
        Again::Within(Duration::from_secs(1)),
        "the least of all"
    );
    // A host that is not there any more takes the others nothing.
    server.remove("n1.example");
    assert_eq!(
        strategy
            .look(&Stop::default())
            .expect("it answers")
            .places()
            .len(),
        2
    );
}

#[test]
fn a_server_that_is_ill_is_a_failure_that_names_it_and_another_one_helps() {
    let (ill, well) = (NameServer::start(), NameServer::start());
    ill.set_ill(true);
    let error = dns(ill.address, "nodes.example").look(&Stop::default());
    let error = error.expect_err("it cannot answer").to_string();
    assert!(
        error.contains(&ill.address.to_string()) && error.contains("SERVFAIL"),
        "{error}"
    );
    well.set_addresses("nodes.example", &[ip("10.0.0.1")]);
    let both = Resolver::new(vec![ill.address, well.address]);
    let found = Dns::new(both, "nodes.example".into(), 1).look(&Stop::default());
    assert_eq!(texts(&found.expect("one answers")), ["10.0.0.1:1"]);
}

#[test]
fn a_silent_server_does_not_keep_whoever_stops_waiting() {
    let server = NameServer::start();
    server.set_silent(true);
    let stop = std::sync::Arc::new(Stop::default());
    let stopped = std::sync::Arc::clone(&stop);
    let address = server.address;
    let thread = std::thread::spawn(move || dns(address, "nodes.example").look(&stopped).is_err());
    let deadline = Instant::now() + GENEROUS;
    while server.asked_by_udp() == 0 {
        assert!(Instant::now() < deadline, "it was not asked");
        std::thread::yield_now();
    }
    stop.stop();
    assert!(thread.join().expect("it does not panic"));
    assert!(
        server.asked_by_udp() < 4,
        "it would have asked four times in twelve seconds"
    );
}

/// A dnsmasq of this test.
struct Dnsmasq {
    process: Child,
    hosts: PathBuf,
    address: SocketAddr,
}

impl Dnsmasq {
    /// None if it is not installed.
    fn start(name: &str, services: &[&str]) -> Option<Self> {
        let program = ["/usr/sbin/dnsmasq", "/usr/bin/dnsmasq"]
            .into_iter()
            .find(|path| fs::exists(path).unwrap_or(false))?;
        let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
        let hosts = folder.join(format!("hosts-{name}-{}", std::process::id()));
        fs::write(&hosts, "").expect("the temporary folder can be written");
        let port = std::net::UdpSocket::bind("127.0.0.1:0")
            .and_then(|socket| socket.local_addr())
            .expect("a port")
            .port();
        let mut command = Command::new(program);
        command
            .args([
                "--keep-in-foreground",
                "--no-resolv",
                "--no-hosts",
                "--conf-file=/dev/null",
                "--pid-file=",
            ])
            .args([
                "--listen-address=127.0.0.1",
                "--bind-interfaces",
                "--user=root",
                "--local-ttl=1",
                "--local=/example/",
            ])
            .arg(format!("--port={port}"))
            .arg(format!("--addn-hosts={}", hosts.display()))
            .args(
                services
                    .iter()
                    .map(|service| format!("--srv-host={service}")),
            )
            .stderr(Stdio::null());
        let process = command.spawn().expect("it is there");
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        Some(Self {
            process,
            hosts,
            address,
        })
    }

    fn set(&self, hosts: &str) {
        fs::write(&self.hosts, hosts).expect("the temporary folder can be written");
        let process = self.process.id().to_string();
        let told = Command::new("kill").args(["-HUP", &process]).status();
        assert!(told.expect("kill is there").success());
    }
}

impl Drop for Dnsmasq {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = fs::remove_file(&self.hosts);
    }
}

#[test]
fn names_of_a_real_server_come_and_go() {
    let service = "_overlane._tcp.example,n1.example,7401";
    let Some(server) = Dnsmasq::start("names", &[service]) else {
        println!("dnsmasq is not installed: only the stand-in was asked");
        return;
    };
    let mut addresses = dns(server.address, "nodes.example");
    // It takes a moment to listen.
    look_until(
        &mut addresses,
        "it answers that there is no such name",
        |found| found.is_empty(),
    );
    server.set("10.0.0.1 nodes.example n1.example\nfd00::1 nodes.example\n");
    look_until(&mut addresses, "both addresses are found", |found| {
        found == ["10.0.0.1:7400", "[fd00::1]:7400"]
    });
    let mut services = dns_srv(server.address, "_overlane._tcp.example");
    look_until(&mut services, "the service is found", |found| {
        found == ["10.0.0.1:7401"]
    });
    server.set("10.0.0.2 nodes.example\n");
    look_until(&mut addresses, "the other address is found", |found| {
        found == ["10.0.0.2:7400"]
    });
    server.set("");
    look_until(&mut addresses, "the name is gone", |found| found.is_empty());
}
