//! What a node costs that does nothing: memory, processor time and descriptors, alone and with idle
//! peers. In processes of their own, so that nobody else's are in the count.

#[path = "hostile/stranger.rs"]
#[allow(dead_code, reason = "most of what it can say is for other tests")]
mod stranger;
mod support;

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::time::Duration;

use overlane::Node;
use overlane::config::{OverlayChoice, Preset};
use stranger::{Stranger, control_hello, hello, letter};
use support::child::{descriptors, in_child, own_bytes, threads};
use support::{best_effort, cluster, counting_handler, drained, io, reliable, wait_until};

/// A node as an application would have it: everything at its default, but one shard, any port and the backend that
/// is tested.
fn node() -> Node {
    let config = overlane::Config::builder()
        .name("idle")
        .cluster(cluster())
        .listen("127.0.0.1:0".parse().expect("an address"))
        .io(io())
        .shards(1)
        .channel(reliable("data"))
        .channel(best_effort("gossip"));
    Node::start(config.build().expect("a valid configuration")).expect("the node starts")
}

/// Processor time of this process so far.
fn processor_time() -> Duration {
    // SAFETY: plain numbers, for all of which zero is a value; the call fills them in.
    let usage = unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        assert_eq!(libc::getrusage(libc::RUSAGE_SELF, &raw mut usage), 0);
        usage
    };
    let time = |time: libc::timeval| {
        Duration::from_secs(time.tv_sec.unsigned_abs())
            + Duration::from_micros(time.tv_usec.unsigned_abs())
    };
    time(usage.ru_utime) + time(usage.ru_stime)
}

/// Memory that stays when nothing happens any more, in bytes: the least of some looks.
fn settled_bytes() -> usize {
    let looks = (0..20).map(|_| {
        std::thread::sleep(Duration::from_millis(100));
        own_bytes()
    });
    looks.min().expect("it looked")
}

#[test]
fn a_node_without_peers_costs_little_memory_and_no_time() {
    in_child(
        "a_node_without_peers_costs_little_memory_and_no_time",
        || {
            let before = own_bytes();
            let node = node();
            let bytes = settled_bytes() - before;
            println!("a node without peers: {bytes} bytes");
            let spent = processor_time();
            let seconds = 4;
            std::thread::sleep(Duration::from_secs(seconds));
            let spent = processor_time() - spent;
            println!("in {seconds} s without work: {spent:?} of processor time");
            println!("{:?}", descriptors());
            assert!(bytes <= 4 << 20, "{bytes} bytes");
            assert!(spent <= Duration::from_millis(seconds), "{spent:?}");
            drop(node);
        },
    );
}

/// Messages of the test below: 4 MB, more than any ring holds.
const MESSAGES: u64 = 4_000;

/// What a node in a cluster of its own takes, idle and for good: memory, threads, descriptors.
fn cost(preset: Preset) -> (usize, usize, usize) {
    let (bytes, running) = (own_bytes(), threads().len());
    let open = |open: BTreeMap<String, usize>| open.into_values().sum::<usize>();
    let opened = open(descriptors());
    let config = overlane::Config::builder()
        .name("idle")
        .cluster(cluster())
        .listen("127.0.0.1:0".parse().expect("an address"))
        .io(io())
        // As on a machine with four cores, wherever it runs.
        .shards(if preset == Preset::None { 4 } else { 0 })
        .overlay(OverlayChoice::HyParView)
        .preset(preset)
        .channel(reliable("data"))
        .channel(best_effort("gossip"));
    let config = config.build().expect("a valid configuration");
    let node = Node::start(config).expect("the node starts");
    // What grows with use: each ring is gone through twice.
    let (handler, count) = counting_handler();
    node.handle("in", handler).expect("a mailbox");
    let channel = node.channel("data").expect("it is configured");
    let to = node.destination(node.name(), "in").expect("names");
    for _ in 0..MESSAGES {
        while channel.try_send(&to, vec![7; 1_000]).is_err() {
            std::thread::yield_now();
        }
    }
    let came = || count.load(Ordering::Relaxed);
    wait_until("all messages", came, |came| *came == MESSAGES);
    let cost = (
        settled_bytes().saturating_sub(bytes),
        threads().len() - running,
        open(descriptors()) - opened,
    );
    println!("{preset:?}: {cost:?}");
    drained(&node);
    cost
}

#[test]
fn a_small_node_takes_less_memory_threads_and_descriptors() {
    in_child(
        "a_small_node_takes_less_memory_threads_and_descriptors",
        || {
            // The small one first: what the allocator keeps of it counts for the other, if at all.
            let small = cost(Preset::Small);
            let default = cost(Preset::None);
            assert!(small.0 < default.0, "memory: {small:?} {default:?}");
            assert!(small.1 < default.1, "threads: {small:?} {default:?}");
            assert!(small.2 < default.2, "descriptors: {small:?} {default:?}");
        },
    );
}

/// Peers of the test below; the table in `docs/benchmarks.md` has other numbers of them.
fn peers() -> u32 {
    let peers = std::env::var("IDLE_PEERS").ok();
    peers.map_or(200, |peers| peers.parse().expect("a number of peers"))
}

#[test]
fn an_idle_peer_costs_little_memory() {
    in_child("an_idle_peer_costs_little_memory", || {
        let bare = (own_bytes(), descriptors());
        let node = node();
        // Connected, and nothing is sent on any channel.
        let join = |number: u32| {
            let hello = control_hello(&format!("peer-{number}"));
            Stranger::lane(node.local_addr(), hello)
        };
        let lanes_up = |peers: u32| {
            let up = || {
                let lanes = node.metrics().lanes;
                lanes.iter().map(|lane| lane.lanes_up).sum::<u32>()
            };
            // Those that were first may have been given up for their silence.
            wait_until("all lanes", up, |lanes| *lanes >= peers);
        };
        let before = settled_bytes();
        let all: Vec<_> = (0..peers()).map(join).collect();
        lanes_up(peers());
        let with_peers = settled_bytes();
        let sockets = |open: &BTreeMap<String, usize>| open.get("socket").copied();
        println!(
            "{} idle peers: {} KiB above the bare process, {} KiB of them with the \
             first peer and after, {:?} sockets of both ends where there were {:?}",
            peers(),
            with_peers.saturating_sub(bare.0) >> 10,
            with_peers.saturating_sub(before) >> 10,
            sockets(&descriptors()),
            sockets(&bare.1),
        );
        let each = with_peers.saturating_sub(before) / peers() as usize;
        assert!(
            peers() < 100 || each <= 20 << 10,
            "{each} bytes for each peer"
        );
        drop(all);
    });
}

#[test]
fn an_acknowledgement_that_cannot_be_sent_keeps_no_shard_awake() {
    let name = "an_acknowledgement_that_cannot_be_sent_keeps_no_shard_awake";
    in_child(name, || {
        let node = node();
        node.handle("in", |_, _| {}).expect("a mailbox");
        let mut deaf = Stranger::lane(node.local_addr(), hello("deaf"));
        let lane = || node.metrics().channel("deaf", "data").cloned();
        wait_until("the lane", lane, |lane| {
            lane.as_ref().is_some_and(|lane| lane.lanes_up == 1)
        });
        // It reads nothing, so that a batch stays with the kernel.
        let channel = node.channel("data").expect("it is configured");
        let to = node.destination("deaf", "in").expect("names");
        for _ in 0..20 {
            while channel.try_send(&to, vec![7; 60_000]).is_ok() {}
            std::thread::sleep(Duration::from_millis(10));
        }
        deaf.say(&letter("in", b"acknowledge this"));
        wait_until("its message", lane, |lane| {
            lane.as_ref().is_some_and(|lane| lane.delivered == 1)
        });
        let turns = || node.metrics().shards[0].turns;
        let before = turns();
        std::thread::sleep(Duration::from_millis(400));
        let turns = turns() - before;
        println!("{turns} turns");
        assert!(turns < 200, "{turns} turns while nothing could be done");
        drop(deaf);
        drained(&node);
    });
}
