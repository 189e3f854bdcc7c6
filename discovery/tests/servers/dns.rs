//! `dns` and `dns_srv` against a stand-in for a name server.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use overlane_discovery::dns::{Dns, DnsSrv};
use overlane_discovery::resolver::Resolver;
use overlane_discovery::{Again, PLACES_MAX, Stop, Strategy};

use crate::stand_in::dns::{NameServer, Records};
use crate::{GENEROUS, texts, wait_until};

fn ip(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

pub(crate) fn dns(server: SocketAddr, name: &str) -> Dns {
    Dns::new(Resolver::new(vec![server]), name.to_owned(), 7400)
}

pub(crate) fn dns_srv(server: SocketAddr, name: &str) -> DnsSrv {
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
    wait_until("it is asked", || server.asked_by_udp() > 0);
    stop.stop();
    assert!(thread.join().expect("it does not panic"));
    assert!(
        server.asked_by_udp() < 4,
        "it would have asked four times in twelve seconds"
    );
}

/// A server that answers byte by byte keeps neither the next server waiting nor whoever stops.
#[test]
fn an_answer_by_tcp_that_does_not_come_to_its_end_is_let_go() {
    let (slow, well) = (NameServer::start(), NameServer::start());
    slow.set_slow(true);
    let many: Vec<_> = (0..200)
        .map(|last| IpAddr::from([10, 0, 1, last]))
        .collect();
    slow.set_addresses("nodes.example", &many);
    well.set_addresses("nodes.example", &[ip("10.0.0.1")]);
    let both = Resolver::new(vec![slow.address, well.address]);
    let mut strategy = Dns::new(both, "nodes.example".into(), 1);
    let found = strategy.look(&Stop::default()).expect("one answers");
    assert_eq!(texts(&found), ["10.0.0.1:1"]);
    let stop = std::sync::Arc::new(Stop::default());
    let stopped = std::sync::Arc::clone(&stop);
    let asked = slow.asked_by_tcp();
    let address = slow.address;
    let thread = std::thread::spawn(move || dns(address, "nodes.example").look(&stopped).is_err());
    wait_until("it is asked by TCP", || slow.asked_by_tcp() > asked);
    let begun = Instant::now();
    stop.stop();
    assert!(thread.join().expect("it does not panic"));
    println!("it ended {:?} after it was asked to", begun.elapsed());
    assert!(begun.elapsed() < GENEROUS);
}

/// More than fit into an answer of DNS at all, and more than a node wants to know.
#[test]
fn a_name_with_thousands_of_addresses_is_bounded() {
    let server = NameServer::start();
    let many: Vec<_> = (0..4_000_u32)
        .map(|number| IpAddr::from((0x0a00_0001 + number).to_be_bytes()))
        .collect();
    server.set_addresses("nodes.example", &many);
    let mut strategy = dns(server.address, "nodes.example");
    let found = strategy.look(&Stop::default()).expect("it answers");
    assert_eq!(found.places().len(), PLACES_MAX);
    // An answer has 64 KiB at most: of ten thousand a server sends those that fit, or none.
    let services = (0..1_500).map(|port| (7_000 + port, "n1.example".to_owned()));
    let services = services.collect();
    server.set(
        "_o._tcp.example",
        Records {
            ttl_s: 30,
            addresses: Vec::new(),
            services,
        },
    );
    server.set_addresses("n1.example", &[ip("10.0.0.1")]);
    let mut strategy = dns_srv(server.address, "_o._tcp.example");
    let found = strategy.look(&Stop::default()).expect("it answers");
    assert_eq!(found.places().len(), PLACES_MAX);
}
