//! Stopping from where nobody can wait: in a task, in a handler, on another node's shard; and beside
//! a handler that does not return. The node ends all the same, and the report says what was left.

mod support;

use std::net::TcpStream;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use overlane::{Events, Node, UnfinishedCause};
use support::accounting::check_accounting;
use support::child::{in_child, limit};
use support::{GENEROUS, config, connect_both, ends, reliable, start, wait_until};

/// Longer than any test waits: a stop that needs it is found to hang.
const AGES: Duration = Duration::from_secs(3600);

fn node(name: &str) -> Node {
    start(config(name).channel(reliable("data")))
}

/// Waits for the end of a node of which nobody has a handle any more: its events end.
fn ended(events: Events) {
    ends("the node", move || while events.recv().is_ok() {});
}

#[test]
fn a_node_whose_last_handle_is_dropped_in_a_task_of_its_own_ends() {
    let node = Arc::new(node("a"));
    let events = node.events();
    let mut inbox = node.inbox("in").expect("a mailbox");
    let (go, gone) = std::sync::mpsc::channel();
    let last = Arc::clone(&node);
    node.spawn_on_shard(0, move |shard| async move {
        while gone.try_recv().is_err() {
            shard.yield_now().await;
        }
        drop(last);
    })
    .expect("the node runs");
    drop(node);
    go.send(()).expect("the task runs");
    ended(events);
    assert!(inbox.recv_blocking().is_err(), "its inboxes end too");
}

#[test]
fn a_node_whose_last_handle_is_dropped_in_a_handler_of_its_own_ends() {
    let node = Arc::new(node("a"));
    let events = node.events();
    let last = Mutex::new(Some(Arc::clone(&node)));
    let last = Arc::new(last);
    let (go, gone) = crossbeam_channel::bounded::<()>(0);
    node.handle("in", move |_, _| {
        // Nobody sends: the end of the other side says that the test has let go of its handle.
        let _ = gone.recv();
        drop(last.lock().expect("no panic").take());
    })
    .expect("a mailbox");
    let data = node.channel("data").expect("it is configured");
    let to = node.destination("a", "in").expect("names");
    data.try_send(&to, "x").expect("accepted");
    drop(node);
    drop(go);
    ended(events);
}

#[test]
fn a_stop_in_a_task_begins_and_says_that_it_did_not_wait() {
    let node = node("a");
    let events = node.events();
    let seat = Arc::new(Mutex::new(None));
    let taken = Arc::clone(&seat);
    let (tell, told) = std::sync::mpsc::channel();
    node.spawn_on_shard(0, move |shard| async move {
        let node: Node = loop {
            if let Some(node) = taken.lock().expect("no panic").take() {
                break node;
            }
            shard.yield_now().await;
        };
        tell.send(node.stop(AGES)).expect("the test waits");
    })
    .expect("the node runs");
    *seat.lock().expect("no panic") = Some(node);
    let report = told.recv_timeout(GENEROUS).expect("the stop comes back");
    assert!(!report.drained);
    let [shard] = report.unfinished[..] else {
        panic!("one shard: {report:#?}");
    };
    assert_eq!(
        (shard.shard, shard.cause),
        (0, UnfinishedCause::StoppedFromWithin)
    );
    ended(events);
}

#[test]
fn a_node_dropped_on_the_shard_of_another_ends() {
    let (a, b) = (node("a"), node("b"));
    connect_both(&a, &b);
    let events = b.events();
    a.spawn_on_shard(0, move |_| async move { drop(b) })
        .expect("the node runs");
    ended(events);
    let report = ends("the stop", move || a.stop(AGES));
    assert!(report.drained, "{report:#?}");
    assert!(report.metrics.identity_holds());
}

#[test]
fn a_stop_beside_a_handler_that_does_not_return_comes_back_and_says_so() {
    let (a, b) = (node("a"), node("b"));
    let held = Arc::new(Mutex::new(()));
    let wanted = Arc::clone(&held);
    let (tell, entered) = std::sync::mpsc::channel();
    b.handle("in", move |_, _| {
        tell.send(()).expect("the test waits");
        drop(wanted.lock());
    })
    .expect("a mailbox");
    let mut inbox = b.inbox("other").expect("a mailbox");
    connect_both(&a, &b);
    let events = b.events();
    let guard = held.lock().expect("no panic");
    let data = a.channel("data").expect("it is configured");
    data.try_send(&a.destination("b", "in").expect("names"), "x")
        .expect("accepted");
    entered.recv_timeout(GENEROUS).expect("the handler runs");
    let report = ends("the stop", move || b.stop(Duration::from_millis(100)));
    assert!(!report.drained);
    let [shard] = report.unfinished[..] else {
        panic!("one shard: {report:#?}");
    };
    assert_eq!((shard.shard, shard.cause), (0, UnfinishedCause::Stuck));
    assert!(
        inbox.recv_blocking().is_err(),
        "the node has stopped for its readers"
    );
    drop(guard);
    ended(events);
    check_accounting(&[&a]);
}

#[test]
fn a_stop_while_accepting_is_paused_for_want_of_descriptors_ends() {
    in_child(
        "a_stop_while_accepting_is_paused_for_want_of_descriptors_ends",
        || {
            let node = node("a");
            let before = node.metrics().shards[0].completions;
            limit(libc::RLIMIT_NOFILE, 200);
            let mut held = Vec::new();
            while let Ok(file) = std::fs::File::open("/dev/null") {
                held.push(file);
            }
            // One for this end of the connection; none for the other.
            held.pop();
            let stranger = TcpStream::connect(node.local_addr()).expect("it waits in the kernel");
            wait_until(
                "accepting fails",
                || node.metrics().shards[0].completions,
                |completions| *completions > before,
            );
            let report = ends("the stop", move || node.stop(AGES));
            assert!(report.drained && report.unfinished.is_empty());
            drop((stranger, held));
        },
    );
}
