//! Beacons over real sockets, on loopback: multicast of both versions, and broadcast.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use overlane_discovery::multicast::{Beacon, Multicast, Network};
use overlane_discovery::secret::Secrets;
use overlane_discovery::{Stop, Strategy};
use socket2::{Domain, Socket, Type};

use crate::{GENEROUS, look_until};

const PERIOD: Duration = Duration::from_millis(200);
const SECRET: &str = "a secret of these tests";

/// A port that nobody else uses now.
fn free_port() -> u16 {
    let socket = UdpSocket::bind("0.0.0.0:0").expect("a port");
    socket.local_addr().expect("an address").port()
}

fn on_loopback(group: &str) -> Network {
    Network {
        group: SocketAddr::new(group.parse().expect("a group"), free_port()),
        interface: Some("lo".to_owned()),
        ttl: 1,
        broadcast: false,
    }
}

fn node(network: &Network, name: &str, port: u16, secret: Option<&str>) -> Multicast {
    let beacon = Beacon {
        cluster: "c".into(),
        node: name.into(),
        incarnation: 1,
        addresses: vec![SocketAddr::from(([127, 0, 0, 1], port))],
        sequence: 0,
        time_ms: 0,
    };
    let secret = secret.map(|text| Secrets::read(text).expect("a secret"));
    Multicast::new(network.clone(), secret, beacon, PERIOD)
}

/// Two nodes that look at the same time, until each has found the other.
fn find_each_other(network: &Network, secret: Option<&str>) {
    std::thread::scope(|scope| {
        for (name, port, other) in [("a", 1, "127.0.0.1:2"), ("b", 2, "127.0.0.1:1")] {
            scope.spawn(move || {
                let mut this = node(network, name, port, secret);
                look_until(&mut this, name, |found| found == [other]);
                // The other one may not have heard of this one yet.
                let until = Instant::now() + 5 * PERIOD;
                while Instant::now() < until {
                    this.look(&Stop::default()).expect("it goes on");
                }
            });
        }
    });
}

#[test]
fn nodes_find_each_other_by_multicast_of_version_4() {
    find_each_other(&on_loopback("239.255.45.90"), Some(SECRET));
}

#[test]
fn nodes_find_each_other_by_multicast_of_version_6() {
    let network = on_loopback("ff02::4590");
    let mut alone = node(&network, "probe", 3, Some(SECRET));
    if let Err(why) = alone.look(&Stop::default()) {
        println!("skipped: this machine has no multicast of version 6 on its loopback: {why}");
        return;
    }
    drop(alone);
    find_each_other(&network, Some(SECRET));
}

#[test]
fn nodes_find_each_other_by_broadcast() {
    let network = Network {
        // Loopback's own broadcast address.
        broadcast: true,
        interface: None,
        ..on_loopback("127.255.255.255")
    };
    find_each_other(&network, None);
}

#[test]
fn who_has_another_secret_or_none_is_not_found_and_counted() {
    let network = on_loopback("239.255.45.91");
    let deadline = Instant::now() + GENEROUS;
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let (network, done) = (&network, &done);
        for (name, secret) in [("b", Some("another secret than that")), ("c", None)] {
            scope.spawn(move || {
                let mut other = node(network, name, 9, secret);
                while !done.load(Ordering::SeqCst) {
                    let found = other.look(&Stop::default()).expect("it goes on");
                    assert!(found.places().is_empty(), "{name} believes nobody");
                }
            });
        }
        let mut this = node(network, "a", 1, Some(SECRET));
        let mut refused = 0;
        while refused < 10 {
            let found = this.look(&Stop::default()).expect("it goes on");
            assert!(found.places().is_empty());
            refused += found.refusals();
            assert!(Instant::now() < deadline, "{refused} beacons were refused");
        }
        done.store(true, Ordering::SeqCst);
    });
}

/// The file of each is changed by itself, in the steps of a rotation: at no time does one lose the other, although a file is no secret for a while.
#[test]
fn nodes_find_each_other_while_their_secret_is_changed() {
    const NEW: &str = "the secret that comes after it";
    let network = on_loopback("239.255.45.94");
    let folder = std::env::temp_dir().join(format!("overlane-beacons-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder");
    let write = |name: &str, text: &str| std::fs::write(folder.join(name), text).expect("a file");
    let [mut a, mut b] = [("a", 1), ("b", 2)].map(|(name, port)| {
        write(name, SECRET);
        let node = node(&network, name, port, Some(SECRET));
        node.with_secret_file(folder.join(name))
    });
    let deadline = Instant::now() + GENEROUS;
    let mut beside = |refused_max: u64, what: &str| {
        // Longer than a node counts as there after its last beacon.
        let until = Instant::now() + 6 * PERIOD;
        let (mut both, mut refused) = (false, 0);
        while !both || Instant::now() < until {
            let found =
                [&mut a, &mut b].map(|node| node.look(&Stop::default()).expect("it goes on"));
            refused += found
                .iter()
                .map(overlane_discovery::Found::refusals)
                .sum::<u64>();
            both = found.iter().all(|found| found.places().len() == 1);
            assert!(Instant::now() < deadline, "{what}: {refused} were refused");
        }
        assert!(refused <= refused_max, "{what}: {refused} were refused");
    };
    beside(0, "both have the old one");
    let (one, other) = (format!("{SECRET}\n{NEW}"), format!("{NEW}\n{SECRET}"));
    for text in [one.as_str(), "too short", other.as_str(), NEW] {
        for name in ["a", "b"] {
            write(name, text);
            beside(0, text);
        }
    }
    // Who has the old one alone hears nobody, and nobody hears him.
    let mut late = node(&network, "late", 3, Some(SECRET));
    let mut refused = 0;
    while refused < 3 {
        let found =
            [&mut a, &mut late].map(|node| node.look(&Stop::default()).expect("it goes on"));
        assert!(found[1].places().is_empty() && found[0].places().len() <= 1);
        refused += found[0].refusals();
        assert!(Instant::now() < deadline, "{refused} were refused");
    }
    std::fs::remove_dir_all(&folder).expect("it is there");
}

/// A socket that hears a group on loopback beside the nodes, and can speak to it.
fn recorder(group: SocketAddr) -> UdpSocket {
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, None).expect("a socket");
    socket.set_reuse_address(true).expect("a socket");
    socket.bind(&group.into()).expect("the group's port");
    let (SocketAddr::V4(group), loopback) = (group, Ipv4Addr::LOCALHOST) else {
        panic!("a group of version 4");
    };
    socket
        .join_multicast_v4(group.ip(), &loopback)
        .expect("loopback");
    socket.set_multicast_if_v4(&loopback).expect("loopback");
    socket.set_read_timeout(Some(GENEROUS)).expect("a socket");
    socket.into()
}

#[test]
fn a_beacon_that_was_recorded_and_is_sent_again_counts_once() {
    let network = on_loopback("239.255.45.92");
    let recorder = recorder(network.group);
    let mut sender = node(&network, "b", 2, Some(SECRET));
    sender.look(&Stop::default()).expect("it speaks");
    let mut buffer = [0; 2_048];
    let length = recorder.recv(&mut buffer).expect("it is heard");
    drop(sender);
    let mut this = node(&network, "a", 1, Some(SECRET));
    this.look(&Stop::default()).expect("it listens");
    let deadline = Instant::now() + GENEROUS;
    let (mut found, mut refused) = (false, 0);
    while !found || refused < 3 {
        recorder
            .send_to(&buffer[..length], network.group)
            .expect("it is sent");
        let looked = this.look(&Stop::default()).expect("it goes on");
        found |= !looked.places().is_empty();
        refused += looked.refusals();
        assert!(
            Instant::now() < deadline,
            "found: {found}, refused: {refused}"
        );
    }
}

#[test]
fn an_interface_that_is_not_there_is_named() {
    let network = Network {
        interface: Some("nosuch0".to_owned()),
        ..on_loopback("239.255.45.93")
    };
    let error = node(&network, "a", 1, None).look(&Stop::default());
    let error = error.expect_err("there is none").to_string();
    assert!(
        error.contains("nosuch0") && error.contains("ip link"),
        "{error}"
    );
}
