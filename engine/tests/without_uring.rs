//! Where io_uring is forbidden, as by the default seccomp profiles of containers: nodes run on `poll`,
//! say so once, and keep every promise.

mod support;

use std::io::Write;
use std::sync::{Arc, Mutex};

use overlane::config::{ConfigBuilder, IoChoice, Overflow};
use overlane::{Backend, Message, Node, ShardContext};
use support::accounting::{all_acknowledged, check_accounting};
use support::child::{forbid, in_child};
use support::payload::{Streams, numbered};
use support::{best_effort, config, connect_both, reliable, start};

const MESSAGES: u64 = 20_000;
const GOSSIP: &[u8] = b"gossip";

/// The calls of io_uring, each of which a filter can forbid.
const CALLS: [libc::c_long; 3] = [
    libc::SYS_io_uring_setup,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
];

fn node(name: &str) -> Node {
    start(channels(config(name).io(IoChoice::Auto)))
}

fn channels(config: ConfigBuilder) -> ConfigBuilder {
    config
        .channel(reliable("data").overflow(Overflow::Block))
        .channel(best_effort("gossip"))
}

/// Two nodes send each other messages, of which some do not fit one receive buffer.
fn exchange(a: &Node, b: &Node) {
    for node in [a, b] {
        let make = |_| {
            let mut streams = Streams::default();
            move |_: &mut ShardContext<'_>, message: Message<'_>| {
                if message.payload() != GOSSIP {
                    streams.take(message.payload());
                }
            }
        };
        node.handle_with("in", make).expect("a mailbox");
    }
    connect_both(a, b);
    std::thread::scope(|scope| {
        for (from, to) in [(a, "b"), (b, "a")] {
            scope.spawn(move || {
                let (data, gossip) = (from.channel("data"), from.channel("gossip"));
                let (data, gossip) = (data.expect("configured"), gossip.expect("configured"));
                let to = from.destination(to, "in").expect("names");
                for number in 0..MESSAGES {
                    let bytes = if number % 1000 == 0 { 200_000 } else { 50 };
                    let payload = numbered(0, number, bytes);
                    data.send_blocking(&to, payload).expect("it is accepted");
                    // Best effort: what finds no room is dropped, and counted.
                    drop(gossip.try_send(&to, GOSSIP));
                }
            });
        }
    });
    let metrics = check_accounting(&[a, b]);
    all_acknowledged(&metrics[0], "b", "data", MESSAGES);
    all_acknowledged(&metrics[1], "a", "data", MESSAGES);
    for (metrics, peer) in metrics.iter().zip(["b", "a"]) {
        let lane = metrics.channel(peer, "data").expect("it was used");
        assert_eq!(lane.delivered, MESSAGES);
    }
}

#[test]
fn nodes_where_io_uring_is_forbidden_exchange_messages_and_account_for_them() {
    in_child(
        "nodes_where_io_uring_is_forbidden_exchange_messages_and_account_for_them",
        || {
            for call in CALLS {
                forbid(call, libc::EPERM);
            }
            let (a, b) = (node("a"), node("b"));
            assert_eq!((a.backend(), b.backend()), (Backend::Poll, Backend::Poll));
            exchange(&a, &b);
        },
    );
}

/// In a process of its own: filters add up.
fn falls_back_without(call: libc::c_long, test: &str) {
    in_child(test, || {
        forbid(call, libc::EPERM);
        assert_eq!(node("a").backend(), Backend::Poll);
    });
}

#[test]
fn without_setup_a_node_uses_poll() {
    falls_back_without(libc::SYS_io_uring_setup, "without_setup_a_node_uses_poll");
}

#[test]
fn without_enter_a_node_uses_poll() {
    falls_back_without(libc::SYS_io_uring_enter, "without_enter_a_node_uses_poll");
}

#[test]
fn without_register_a_node_uses_poll() {
    let call = libc::SYS_io_uring_register;
    falls_back_without(call, "without_register_a_node_uses_poll");
}

/// What the log is written to.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().expect("nobody panics").write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_node_that_falls_back_warns_once_what_it_costs() {
    in_child("a_node_that_falls_back_warns_once_what_it_costs", || {
        forbid(libc::SYS_io_uring_setup, libc::EPERM);
        let log = Log::default();
        let written = log.clone();
        tracing_subscriber::fmt()
            .with_max_level(tracing::Level::WARN)
            .with_ansi(false)
            .with_writer(move || log.clone())
            .init();
        let a = start(channels(config("a").shards(2).io(IoChoice::Auto)));
        assert_eq!(a.backend(), Backend::Poll);
        drop(a);
        let text = written.0.lock().expect("nobody panics").clone();
        let text = String::from_utf8(text).expect("a log is text");
        assert_eq!(text.lines().count(), 1, "{text}");
        for word in [
            "io_uring_setup is forbidden",
            "poll",
            "costs",
            "seccomp profile",
        ] {
            assert!(text.contains(word), "{word}: {text}");
        }
    });
}

#[test]
fn a_node_that_is_to_use_poll_touches_no_ring() {
    in_child("a_node_that_is_to_use_poll_touches_no_ring", || {
        // As filters do that end the process: here it would be seen by the error.
        for call in CALLS {
            forbid(call, libc::ENOTRECOVERABLE);
        }
        let a = start(channels(config("a").io(IoChoice::Poll)));
        assert_eq!(a.backend(), Backend::Poll);
        assert!(a.metrics().shards[0].turns > 0);
    });
}
