//! Who is alive keeps its lanes, however slow it is; who is gone loses them, however its end came.

#[path = "hostile/stranger.rs"]
#[allow(dead_code, reason = "most of what it can say is for other tests")]
mod stranger;
mod support;

use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

use overlane::config::{ConfigBuilder, Reliability};
use overlane::wire::CloseReason;
use overlane::{Event, Events, Inbox, Node, SendError};
use stranger::{Stranger, hello};
use support::accounting::{all_acknowledged, check_accounting, counted};
use support::process::{self, PeerProcess};
use support::{GENEROUS, config, counting_handler, reliable, start, wait_for_event, wait_until};

/// Short, and longer than a thread waits for its turn on a busy machine.
const IDLE_TIMEOUT_MS: u64 = 2000;

fn impatient(name: &str) -> ConfigBuilder {
    config(name)
        .idle_timeout_ms(IDLE_TIMEOUT_MS)
        .channel(reliable("data"))
        .channel(
            reliable("kept")
                .reliability(Reliability::Guaranteed)
                .resume_timeout_ms(300_u64),
        )
}

/// Not a test of its own: what the processes do that are stopped and killed. With the role `forks` it
/// has a child that keeps all its sockets.
#[test]
fn the_peer() {
    let Some(role) = process::role() else {
        return;
    };
    let node = start(impatient("b").cluster("liveness"));
    let (handler, count) = counting_handler();
    node.handle("in", handler).expect("a mailbox");
    if role == "forks" {
        thread::spawn(move || {
            wait_until(
                "a message",
                || count.load(Ordering::Relaxed),
                |count| *count > 0,
            );
            // SAFETY: the child does nothing but wait, which any process may do after a fork.
            let child = unsafe { libc::fork() };
            if child == 0 {
                loop {
                    // SAFETY: as above.
                    unsafe { libc::pause() };
                }
            }
            println!("has child {child}");
        });
    }
    process::serve(&node);
}

/// Sends a message each few milliseconds until the lane is down, and checks that everything that was
/// accepted is settled. Why the lane ended, and how many messages were on it.
fn talk_until_the_end(a: &Node, events: &Events) -> (CloseReason, u64) {
    let channel = a.channel("data").expect("it is configured");
    let to = a.destination("b", "in").expect("names");
    let mut accepted = 0;
    loop {
        match channel.try_send(&to, &[0; 50]) {
            Ok(()) => accepted += 1,
            Err(SendError::Unreachable) => break,
            Err(error) => panic!("{error}"),
        }
        assert!(accepted < 50_000, "the lane stays up");
        thread::sleep(Duration::from_millis(5));
    }
    let (reason, lost) = wait_for_event(events, "the end of the lane", |event| match event {
        Event::LaneDown {
            channel,
            reason,
            undelivered,
            unknown,
            ..
        } if **channel == *"data" => Some((*reason, undelivered + unknown)),
        _ => None,
    });
    let metrics = check_accounting(&[a]);
    let out = counted(&metrics[0], "b", "data");
    assert!(out.reported >= lost, "{out:#?}");
    (reason, lost)
}

fn connected_to(peer: &PeerProcess) -> (Node, Events) {
    let a = start(impatient("a").cluster("liveness"));
    let events = a.events();
    a.connect("b", peer.address).expect("a name");
    a.wait_connected("b", GENEROUS).expect("the lane comes up");
    let channel = a.channel("data").expect("it is configured");
    let to = a.destination("b", "in").expect("names");
    channel.try_send(&to, b"first").expect("there is room");
    wait_until(
        "it is acknowledged",
        || counted(&a.metrics(), "b", "data").acknowledged,
        |count| *count == 1,
    );
    (a, events)
}

#[test]
fn a_process_that_is_stopped_loses_its_lanes_and_gets_them_back_when_it_goes_on() {
    let peer = PeerProcess::start("stands still");
    let (a, events) = connected_to(&peer);
    peer.signal(libc::SIGSTOP);
    let (reason, lost) = talk_until_the_end(&a, &events);
    assert_eq!(reason, CloseReason::IdleTimeout);
    assert!(lost > 0, "messages were on their way");
    peer.signal(libc::SIGCONT);
    a.wait_connected("b", GENEROUS)
        .expect("the lane comes back");
}

/// What lay in its socket is processed when it goes on, and counted, though nobody waits for that any more.
#[test]
fn a_process_that_gets_what_was_given_up_when_it_goes_on_is_met_again() {
    let peer = PeerProcess::start("stands still");
    let (a, events) = connected_to(&peer);
    let kept = a.channel("kept").expect("it is configured");
    let to = a.destination("b", "in").expect("names");
    let send = || wait_until("there is room", || kept.try_send(&to, b"x"), Result::is_ok);
    let acknowledged = |messages| {
        let count = || counted(&a.metrics(), "b", "kept").acknowledged;
        wait_until("it is acknowledged", count, |count| *count == messages)
    };
    drop(send());
    acknowledged(1);
    peer.signal(libc::SIGSTOP);
    let given_up = 5;
    for _ in 0..given_up {
        drop(send());
    }
    let mut told = 0;
    wait_for_event(&events, "what is unknown is told", |event| {
        if let Event::Reported {
            channel, unknown, ..
        } = event
            && **channel == *"kept"
        {
            told += unknown;
        }
        (told == given_up).then_some(())
    });
    peer.signal(libc::SIGCONT);
    drop(send());
    acknowledged(2);
    let metrics = check_accounting(&[&a]);
    assert_eq!(counted(&metrics[0], "b", "kept").reported, given_up);
}

/// Kills a process when dropped.
struct Orphan(i32);

impl Drop for Orphan {
    fn drop(&mut self) {
        // SAFETY: a system call without memory.
        unsafe { libc::kill(self.0, libc::SIGKILL) };
    }
}

#[test]
fn a_process_that_is_killed_while_its_child_keeps_the_sockets_loses_its_lanes() {
    let mut peer = PeerProcess::start("forks");
    let (a, events) = connected_to(&peer);
    let _child = Orphan(peer.says("has child ").parse().expect("a process number"));
    peer.kill();
    let (reason, lost) = talk_until_the_end(&a, &events);
    assert_eq!(reason, CloseReason::IdleTimeout);
    assert!(lost > 0, "messages were on their way");
}

/// Fills the channel to `peer` until it takes no more for a second, in which a kernel that makes room late
/// has made it; how many messages.
fn fill(node: &Node, peer: &str) -> u64 {
    let channel = node.channel("data").expect("it is configured");
    let to = node.destination(peer, "unread").expect("names");
    let (mut accepted, mut refused) = (0, 0);
    while refused < 500 {
        match channel.try_send(&to, vec![7; 100_000]) {
            Ok(()) => (accepted, refused) = (accepted + 1, 0),
            Err(error) => {
                assert_eq!(error.error, SendError::Full);
                refused += 1;
                thread::sleep(Duration::from_millis(2));
            }
        }
    }
    accepted
}

/// Waits until the nodes have given up a peer that says nothing: the idle timeout has passed.
fn wait_for_the_idle_timeout(nodes: &[Node], stranger: &str) {
    let silent = nodes
        .iter()
        .map(|node| Stranger::lane(node.local_addr(), hello(stranger)));
    let silent: Vec<_> = silent.collect();
    for node in nodes {
        let timeouts = || {
            let metrics = node.metrics();
            let lane = metrics.channel(stranger, "data");
            lane.and_then(|lane| lane.closes.get(&CloseReason::IdleTimeout).copied())
        };
        wait_until("the end of the silent lane", timeouts, |count| {
            *count == Some(1)
        });
    }
    drop(silent);
}

#[test]
fn readers_that_do_not_read_for_longer_than_the_idle_timeout_keep_their_lane() {
    let nodes = [start(impatient("a")), start(impatient("b"))];
    let [a, b] = &nodes;
    let unread = |node: &Node| node.inbox_of("unread", 64 << 10).expect("a mailbox");
    let mut inboxes = [unread(a), unread(b)];
    // One side dials, so that no connection ends before the one that is kept.
    a.connect("b", b.local_addr()).expect("a name");
    a.wait_connected("b", GENEROUS).expect("the lane comes up");
    b.wait_connected("a", GENEROUS).expect("the lane comes up");
    // First one direction stands still, then both.
    let mut accepted = [fill(a, "b"), 0];
    wait_for_the_idle_timeout(&nodes, "silent-1");
    wait_for_the_idle_timeout(&nodes, "silent-2");
    accepted[1] = fill(b, "a");
    wait_for_the_idle_timeout(&nodes, "silent-3");
    wait_for_the_idle_timeout(&nodes, "silent-4");
    for (node, peer) in [(a, "b"), (b, "a")] {
        let metrics = node.metrics();
        let lane = counted(&metrics, peer, "data");
        assert!(lane.closes.is_empty() && lane.lanes_up == 1, "{lane:#?}");
        assert!(lane.queue_messages > 0, "it stood still: {lane:#?}");
    }
    let read = |inbox: &mut Inbox| while inbox.try_recv().is_some() {};
    wait_until(
        "all is read after all",
        || {
            inboxes.iter_mut().for_each(read);
            a.metrics().is_drained() && b.metrics().is_drained()
        },
        |drained| *drained,
    );
    let metrics = check_accounting(&[a, b]);
    all_acknowledged(&metrics[0], "b", "data", accepted[0]);
    all_acknowledged(&metrics[1], "a", "data", accepted[1]);
}
