//! More connections, peers and handshakes than a node will have.

use std::net::{SocketAddr, TcpStream};
use std::process::{Command, Stdio};

use overlane::wire::CloseReason;
use socket2::{Domain, Socket, Type};

use crate::honest::Honest;
use crate::stranger::{Stranger, encoded, hello};
use crate::support::child::{in_child, limit, limits};
use crate::support::{reliable, wait_until};

#[test]
fn connections_over_the_limit_are_closed() {
    // Two of the five are the friend's.
    let honest = Honest::with(vec![reliable("data")], |config| {
        config
            .shards(1)
            .connections_max(5)
            .pending_handshakes_max(4)
    });
    let address = honest.target.local_addr();
    let mut held: Vec<_> = ["a", "b"]
        .map(|peer| Stranger::lane(address, hello(peer)))
        .into();
    held.push(Stranger::connect(address));
    let connections = || honest.connections();
    wait_until("all places are taken", connections, |count| *count == 5);
    for count in 1..=20 {
        let mut stranger = Stranger::connect(address);
        stranger.ends();
        honest.refused(CloseReason::TooManyHandshakes, count);
    }
    honest.goes_on();
    held.clear();
    wait_until("their places are free", connections, |count| *count == 2);
    drop(Stranger::lane(address, hello("c")));
    honest.finish();
}

#[test]
fn a_peer_too_many_is_refused() {
    let honest = Honest::start(|config| config.peers_max(3));
    let address = honest.target.local_addr();
    let _held = ["a", "b"].map(|peer| Stranger::lane(address, hello(peer)));
    for (count, peer) in ["c", "d", "e"].iter().enumerate() {
        let mut stranger = Stranger::connect(address);
        stranger.say(&encoded(&hello(peer)));
        assert_eq!(stranger.refusal(), CloseReason::TooManyPeers);
        honest.refused(CloseReason::TooManyPeers, count as u64 + 1);
    }
    drop(Stranger::lane(address, hello("a")));
    honest.finish();
}

/// Each has a good name, gets its lane and goes, or does not even wait for its lane.
#[test]
fn strangers_of_a_thousand_names_keep_no_place() {
    let honest = Honest::start(|config| config.peers_max(8));
    let address = honest.target.local_addr();
    for number in 0..1000 {
        let mut hello = hello(&format!("stranger-{number}"));
        hello.incarnation = u64::MAX;
        if number % 2 == 0 {
            drop(Stranger::lane(address, hello));
        } else {
            Stranger::connect(address).say(&encoded(&hello));
        }
    }
    // Whoever comes now is let in, under a name that a stranger had too, and with a smaller number.
    let newcomer = || {
        let mut stranger = Stranger::connect(address);
        stranger.say(&encoded(&hello("stranger-998")));
        stranger.is_welcome()
    };
    wait_until("a newcomer is let in", newcomer, |welcome| *welcome);
    assert!(
        honest.target.peers().len() <= 9,
        "the friend and eight more"
    );
    honest.finish();
}

/// Connects from that address of loopback.
fn connect_from(host: &str, to: SocketAddr) -> Stranger {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    let from: SocketAddr = format!("{host}:0").parse().expect("an address");
    socket.bind(&from.into()).expect("all of 127/8 is loopback");
    socket.connect(&to.into()).expect("the node listens");
    Stranger::from(socket.into())
}

/// They hold every place there is for ever; who comes then says Hello at once, and who came before them
/// from elsewhere takes its time.
#[test]
fn a_flood_of_silent_connections_keeps_nobody_out() {
    let honest = Honest::start(|config| {
        config
            .pending_handshakes_max(64)
            .handshake_deadline_ms(600_000)
    });
    let address = honest.target.local_addr();
    let good = encoded(&hello("patient"));
    let (first_half, second_half) = good.split_at(good.len() / 2);
    let mut patient = connect_from("127.0.0.2", address);
    patient.say(first_half);
    let _flood: Vec<_> = (0..500)
        .map(|_| connect_from("127.0.0.3", address))
        .collect();
    let dropped = || {
        let refused = honest.target.metrics().refused_connections;
        refused.get(&CloseReason::TooManyHandshakes).copied()
    };
    wait_until("there are too many", dropped, |count| *count >= Some(300));
    // From the address of the flood, even.
    for name in ["newcomer-1", "newcomer-2", "newcomer-3"] {
        let mut newcomer = connect_from("127.0.0.3", address);
        newcomer.say(&encoded(&hello(name)));
        assert!(newcomer.is_welcome());
    }
    patient.say(second_half);
    assert!(patient.is_welcome());
    honest.finish();
}

#[test]
fn a_storm_of_connections_passes_a_small_ring() {
    // The completions of one turn are more than this ring holds.
    let honest = Honest::start(|config| config.data_ring_entries(16).pending_handshakes_max(4096));
    for _ in 0..5 {
        let connect = |_| TcpStream::connect(honest.target.local_addr()).expect("it listens");
        let strangers: Vec<_> = (0..500).map(connect).collect();
        honest.goes_on();
        drop(strangers);
    }
    honest.refused(CloseReason::PeerClosed, 2500);
    honest.finish();
}

#[test]
fn a_process_out_of_descriptors_goes_on_and_accepts_again() {
    in_child(
        "connections::a_process_out_of_descriptors_goes_on_and_accepts_again",
        || {
            limit(libc::RLIMIT_NOFILE, 100);
            let honest = Honest::with(vec![reliable("data")], |config| config.shards(1));
            let address = honest.target.local_addr();
            // All descriptors but one, which this end of a connection takes.
            let mut files = Vec::new();
            while let Ok(file) = std::fs::File::open("/dev/null") {
                files.push(file);
            }
            files.pop();
            let mut stranger = Stranger::connect(address);
            stranger.say(&encoded(&hello("alice")));
            honest.goes_on();
            let parks = || honest.target.metrics().shards[0].parks;
            let before = parks();
            // A shard that tries again at once what cannot be would never sleep.
            wait_until("the shard sleeps", parks, |parks| *parks > before + 3);
            drop(files);
            honest.up("alice");
            honest.finish();
        },
    );
}

/// Set to the address that the child is to connect to, and how often.
const IDLERS: &str = "OVERLANE_TEST_IDLERS";

/// What the child of the next test does: connects, says so, and waits until its input ends.
#[test]
fn idle_connections_of_another_process() {
    let Ok(wanted) = std::env::var(IDLERS) else {
        return;
    };
    let (address, count) = wanted.split_once('/').expect("an address and a count");
    let address: SocketAddr = address.parse().expect("an address");
    let count: usize = count.parse().expect("a count");
    let held: Vec<_> = (0..count)
        .map(|_| TcpStream::connect(address).expect("it listens"))
        .collect();
    std::io::copy(&mut std::io::stdin(), &mut std::io::sink()).expect("it can be read");
    drop(held);
}

#[test]
fn ten_thousand_idle_connections_do_not_stop_honest_ones() {
    let held = 10_000.min(most_descriptors().saturating_sub(500));
    let honest = Honest::start(|config| {
        config
            .shards(1)
            .handshake_deadline_ms(600_000)
            .pending_handshakes_max(held)
            .connections_max(held + 100)
    });
    // Of another process, so that each side has its own limit of descriptors.
    let mut child = Command::new(std::env::current_exe().expect("this program has a path"))
        .args([
            "connections::idle_connections_of_another_process",
            "--exact",
        ])
        .env(
            IDLERS,
            format!("{}/{}", honest.target.local_addr(), held + 50),
        )
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .expect("the child runs");
    honest.refused(CloseReason::TooManyHandshakes, 50);
    let connections = || honest.connections();
    // Two are the friend's lanes.
    wait_until("all are held", connections, |count| *count == held + 2);
    println!("{held} idle connections are held");
    honest.goes_on();
    drop(child.stdin.take());
    assert!(child.wait().expect("the child ends").success());
    honest.refused(CloseReason::PeerClosed, held as u64);
    wait_until("all are gone", connections, |count| *count == 2);
    drop(Stranger::lane(honest.target.local_addr(), hello("alice")));
    honest.finish();
}

/// How many descriptors this process may have once a start has raised its limit.
fn most_descriptors() -> usize {
    usize::try_from(limits(libc::RLIMIT_NOFILE).1).unwrap_or(usize::MAX)
}
