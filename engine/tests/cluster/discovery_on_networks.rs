//! Nodes on hosts of their own find each other by multicast of either version and by broadcast, and hear nobody from a network
//! that is not theirs.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use overlane::config::{DiscoveryConfig, MulticastGroup, OverlayChoice, StrategyChoice};
use socket2::{Domain, Socket, Type};

use crate::discovery::{form_with, polled};
use crate::hosts::Hosts;
use crate::nodes::{Member, agree, name};
use crate::support::{Ends, GENEROUS, config, wait_until};

const PORT: u16 = 7400;
const BEACONS: u16 = 45_892;

fn group(text: &str) -> MulticastGroup {
    let ip: IpAddr = text.parse().expect("an address");
    SocketAddr::new(ip, BEACONS).into()
}

/// A file with the secret of the beacons.
fn secret_file(test: &str) -> PathBuf {
    let path = format!("beacons-{test}-{}", std::process::id());
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(path);
    std::fs::write(&path, "a secret of these beacons alone\n").expect("the folder can be written");
    path
}

fn multicast(test: &str, to: &str) -> DiscoveryConfig {
    polled(StrategyChoice::Multicast)
        .group(group(to))
        .interface("eth0")
        .secret_file(secret_file(test).to_string_lossy())
}

fn start(hosts: &Hosts, number: usize, address: IpAddr, discovery: &DiscoveryConfig) -> Member {
    start_at(hosts, number, SocketAddr::new(address, PORT), discovery)
}

fn start_at(
    hosts: &Hosts,
    number: usize,
    listen: SocketAddr,
    discovery: &DiscoveryConfig,
) -> Member {
    hosts.on(number, || {
        // What protects lanes is another test's business.
        let config = config(&name(number)).listen(listen).insecure(true);
        let config = config.discover(discovery.clone());
        Member::start_with(config, OverlayChoice::FullMesh, &[])
    })
}

#[test]
fn by_multicast_of_version_4_between_hosts() {
    let Some(hosts) = Hosts::new(6) else {
        return;
    };
    let discovery = multicast("v4", "239.255.45.95");
    form_with(
        "multicast of IPv4 between hosts",
        |number| start(&hosts, number, hosts.address(number), &discovery),
        |_| {},
    );
}

#[test]
fn by_multicast_of_version_6_between_hosts() {
    let Some(hosts) = Hosts::new(6) else {
        return;
    };
    let discovery = multicast("v6", "ff02::4595");
    form_with(
        "multicast of IPv6 between hosts",
        |number| start(&hosts, number, hosts.address_6(number), &discovery),
        |_| {},
    );
}

/// Without any address but those of the interface itself: which interface that is, each finds by where it heard of them.
#[test]
fn by_link_local_addresses_between_hosts() {
    let Some(hosts) = Hosts::new(2) else {
        return;
    };
    let discovery = multicast("link-local", "ff02::4596");
    let members: Vec<_> = (0..2)
        .map(|number| start_at(&hosts, number, hosts.link_local(number, PORT), &discovery))
        .collect();
    agree(&members);
}

#[test]
fn by_broadcast_between_hosts() {
    let Some(hosts) = Hosts::new(6) else {
        return;
    };
    let discovery = multicast("broadcast", "10.77.0.255").broadcast(true);
    form_with(
        "broadcast between hosts",
        |number| start(&hosts, number, hosts.address(number), &discovery),
        |_| {},
    );
}

/// The next beacon that comes to a host, which has that address, beside its node.
fn recorded(group: Ipv4Addr, at: IpAddr) -> Vec<u8> {
    let IpAddr::V4(at) = at else {
        panic!("it is of version 4");
    };
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, None).expect("a socket");
    socket.set_reuse_address(true).expect("a socket");
    socket
        .bind(&SocketAddr::from((group, BEACONS)).into())
        .expect("its port");
    socket
        .join_multicast_v4(&group, &at)
        .expect("it has that interface");
    socket.set_read_timeout(Some(GENEROUS)).expect("a socket");
    let mut buffer = vec![0; 2048];
    let socket = UdpSocket::from(socket);
    let bytes = socket.recv(&mut buffer).expect("one comes");
    buffer.truncate(bytes);
    buffer
}

/// A host in two networks of which one is the node's. In the other somebody replays the node's own beacons, those of others and
/// nonsense; that some other program of this host listens to the group there makes them no beacons for the node.
#[test]
fn what_comes_from_another_network_is_not_heard() {
    let Some(hosts) = Hosts::new(3) else {
        return;
    };
    let (here, there) = (Ipv4Addr::new(10, 88, 0, 1), Ipv4Addr::new(10, 88, 0, 2));
    hosts.wire([0, 2], "eth1", here);
    let ip = Ipv4Addr::new(239, 255, 45, 96);
    // By its address, as well as by its name, the interface is the one and no other.
    for interface in ["eth0".to_owned(), hosts.address(0).to_string()] {
        let discovery = multicast("replay", "239.255.45.96");
        let own = discovery.clone().interface(interface.as_str());
        let other_program = hosts.on(0, || {
            let socket = UdpSocket::bind(("0.0.0.0", 0)).expect("a port");
            socket
                .join_multicast_v4(&ip, &here)
                .expect("it has that interface");
            socket
        });
        let members = [
            start(&hosts, 0, hosts.address(0), &own),
            start(&hosts, 1, hosts.address(1), &discovery),
        ];
        agree(&members);
        let beacon = hosts.on(1, || recorded(ip, hosts.address(1)));
        let refused = || members[0].node.metrics().discoveries[0].refused;
        let before = refused();
        let over = AtomicBool::new(false);
        thread::scope(|scope| {
            let _ends = Ends(&over);
            scope.spawn(|| {
                hosts.on(2, || {
                    let socket = UdpSocket::bind((there, 0)).expect("its address");
                    socket.set_multicast_loop_v4(false).expect("a socket");
                    while !over.load(Ordering::Relaxed) {
                        for said in [beacon.as_slice(), b"nonsense"] {
                            socket.send_to(said, (ip, BEACONS)).expect("it is sent");
                        }
                        thread::yield_now();
                    }
                });
            });
            // Long enough for thousands of them: as long as the node's own take to be heard some times.
            let heard = || members[1].node.metrics().discoveries[0].looks;
            let enough = heard() + 2;
            wait_until("beacons go on", heard, |looks| *looks >= enough);
        });
        assert_eq!(refused(), before, "interface {interface}");
        drop(other_program);
    }
}
