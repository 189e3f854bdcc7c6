//! `dns` and `dns_srv` against real name servers: dnsmasq and unbound, each where it is installed.

use std::net::IpAddr;

use crate::dns::{dns, dns_srv};
use crate::look_until;
use crate::real::name_server::{Kind, RealServer, Record};

const SERVICE: &str = "_overlane._tcp.example";

fn address(name: &str, ip: &str) -> Record {
    let ip: IpAddr = ip.parse().expect("an address");
    Record::address(name, ip)
}

#[test]
fn names_of_dnsmasq_come_and_go() {
    names_come_and_go(Kind::Dnsmasq);
}

#[test]
fn names_of_unbound_come_and_go() {
    let Some(server) = names_come_and_go(Kind::Unbound) else {
        return;
    };
    let mut services = dns_srv(server.address, SERVICE);
    let hosts = [
        address("n1.example", "10.0.0.1"),
        address("n2.example", "fd00::2"),
    ];
    let offered = |ports: &[(u16, &str)]| {
        let offered = ports.iter();
        let offered = offered.map(|(port, host)| Record::service(SERVICE, *port, host));
        [hosts.to_vec(), offered.collect()].concat()
    };
    server.set(&offered(&[(7401, "n1.example")]));
    look_until(&mut services, "one offers it", |found| {
        found == ["10.0.0.1:7401"]
    });
    server.set(&offered(&[(7402, "n1.example"), (7403, "n2.example")]));
    look_until(&mut services, "two offer it, elsewhere", |found| {
        found == ["10.0.0.1:7402", "[fd00::2]:7403"]
    });
    server.set(&offered(&[]));
    look_until(&mut services, "nobody offers it", |found| found.is_empty());
    // More than fit into one packet: it is asked by TCP.
    let many: Vec<_> = (0..200)
        .map(|last| address("nodes.example", &format!("10.0.1.{last}")))
        .collect();
    server.set(&many);
    let mut addresses = dns(server.address, "nodes.example");
    look_until(&mut addresses, "all of them", |found| found.len() == 200);
}

fn names_come_and_go(kind: Kind) -> Option<RealServer> {
    let offered = Record::service(SERVICE, 7401, "n1.example");
    let server = RealServer::start(kind, std::slice::from_ref(&offered))?;
    let mut addresses = dns(server.address, "nodes.example");
    // It takes a moment to listen.
    look_until(
        &mut addresses,
        "it answers that there is no such name",
        |found| found.is_empty(),
    );
    let first = address("nodes.example", "10.0.0.1");
    let second = address("nodes.example", "fd00::1");
    server.set(&[
        first,
        second,
        address("n1.example", "10.0.0.1"),
        offered.clone(),
    ]);
    look_until(&mut addresses, "both addresses are found", |found| {
        found == ["10.0.0.1:7400", "[fd00::1]:7400"]
    });
    let mut services = dns_srv(server.address, SERVICE);
    look_until(&mut services, "the service is found", |found| {
        found == ["10.0.0.1:7401"]
    });
    server.set(&[address("nodes.example", "10.0.0.2"), offered]);
    look_until(&mut addresses, "the other address is found", |found| {
        found == ["10.0.0.2:7400"]
    });
    look_until(&mut services, "its host is gone", |found| found.is_empty());
    server.set(&[]);
    look_until(&mut addresses, "the name is gone", |found| found.is_empty());
    Some(server)
}
