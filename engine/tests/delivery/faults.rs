//! Faults on purpose: what they drop, hold back and cut is accounted for like everything else, and gone when their time is over.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use overlane::config::{ChannelConfig, Ordering as Order, Overflow, Reliability};
use overlane::{
    Event, FAULT_DROPS_ALL, Fault, FaultCounts, FaultError, Node, Receipt, Reported, SendError,
};

use crate::support::accounting::{check_accounting, counted};
use crate::support::payload::{self, Streams};
use crate::support::{
    GENEROUS, best_effort, config, connect_both, counting_handler, reliable, start, wait_for_event,
    wait_until,
};

/// Longer than any test takes.
const LONG: Duration = Duration::from_secs(3600);

const ALL: [Reliability; 4] = [
    Reliability::BestEffort,
    Reliability::Reliable,
    Reliability::AtLeastOnce,
    Reliability::Guaranteed,
];

/// Two connected nodes with that channel, of which `a` takes faults.
fn pair(channel: &ChannelConfig) -> (Node, Node) {
    let node = |name| config(name).channel(channel.clone()).faults(true);
    let (a, b) = (start(node("a")), start(node("b")));
    connect_both(&a, &b);
    (a, b)
}

fn data(reliability: Reliability) -> ChannelConfig {
    reliable("data")
        .reliability(reliability)
        .overflow(Overflow::Block)
}

/// To `b`, on `data`.
fn on_data() -> Fault {
    Fault::lasting(LONG).peer("b").channel("data")
}

fn add(node: &Node, fault: Fault) -> u64 {
    node.add_fault(fault).expect("it is right")
}

fn done(node: &Node) -> FaultCounts {
    node.metrics().faults.done
}

/// Sends so many numbered messages from a thread of the application.
fn send_all(node: &Node, messages: u64) {
    let channel = node.channel("data").expect("it is configured");
    let to = node.destination("b", "in").expect("names");
    for number in 0..messages {
        let message = payload::numbered(0, number, 40);
        channel.send_blocking(&to, message).expect("the peer stays");
    }
}

/// What of them comes to `b`, in their order.
fn numbered_handler(node: &Node) -> Arc<Mutex<Streams>> {
    let streams: Arc<Mutex<Streams>> = Arc::default();
    let seen = Arc::clone(&streams);
    node.handle("in", move |_, message| {
        let mut streams = seen.lock().expect("no handler panics");
        streams.take_after_gap(message.payload());
    })
    .expect("free");
    streams
}

#[test]
fn what_is_dropped_is_reported_or_counted_on_channels_of_each_reliability() {
    for reliability in ALL {
        let (a, b) = pair(&data(reliability));
        let streams = numbered_handler(&b);
        let events = a.events();
        let id = add(&a, on_data().drop_ppm(FAULT_DROPS_ALL / 5).seed(11));
        send_all(&a, 2_000);
        let metrics = check_accounting(&[&a, &b]);
        let out = counted(&metrics[0], "b", "data");
        let dropped = metrics[0].faults.done.dropped;
        assert!((200..800).contains(&dropped), "{reliability:?}: {dropped}");
        assert_eq!(out.accepted, 2_000);
        let (settled, lost) = if reliability == Reliability::BestEffort {
            (out.sent, out.dropped)
        } else {
            (out.acknowledged, out.reported)
        };
        assert_eq!((settled, lost), (2_000 - dropped, dropped), "{out:#?}");
        let came = || streams.lock().expect("no handler panics").received();
        wait_until("the rest comes", came, |came| *came == 2_000 - dropped);
        if reliability != Reliability::BestEffort {
            let mut reported = 0;
            while reported < dropped {
                reported += wait_for_event(&events, "they are reported", |event| match event {
                    Event::Reported {
                        undelivered, why, ..
                    } if why.contains("fault on purpose") => Some(*undelivered),
                    _ => None,
                });
            }
            assert_eq!(reported, dropped);
        }
        a.remove_fault(id).expect("it is open");
        send_all_in_another_stream(&a, 500);
        let metrics = check_accounting(&[&a, &b]);
        assert_eq!(
            metrics[0].faults.done.dropped, dropped,
            "no more than before"
        );
        assert_eq!(metrics[0].faults.open, 0);
    }
}

fn send_all_in_another_stream(node: &Node, messages: u64) {
    let channel = node.channel("data").expect("it is configured");
    let to = node.destination("b", "in").expect("names");
    for number in 0..messages {
        let message = payload::numbered(1, number, 40);
        channel.send_blocking(&to, message).expect("the peer stays");
    }
}

#[test]
fn what_a_task_on_the_shard_sends_is_dropped_too_and_so_is_what_waits_for_a_lane() {
    let (a, b) = pair(&reliable("data"));
    let (handler, _) = counting_handler();
    b.handle("in", handler).expect("free");
    add(&a, on_data().drop_ppm(FAULT_DROPS_ALL));
    let (channel, to) = (
        a.channel("data").expect("it is configured"),
        a.destination("b", "in").expect("names"),
    );
    // There is no lane yet.
    channel.try_send(&to, b"first").expect("there is room");
    let sending = channel.clone();
    let there = to.clone();
    a.spawn_on_shard(0, move |shard| async move {
        let payloads = [&b"1"[..], b"2", b"3"];
        let sent = shard.send_many(&sending, &there, &payloads);
        assert_eq!(sent, Ok(3));
    })
    .expect("there is that shard");
    wait_until(
        "all are dropped",
        || done(&a).dropped,
        |dropped| *dropped == 4,
    );
    let metrics = check_accounting(&[&a, &b]);
    let out = counted(&metrics[0], "b", "data");
    assert_eq!((out.accepted, out.reported), (4, 4), "{out:#?}");
}

#[test]
fn who_waits_for_a_message_hears_that_it_was_dropped() {
    let (a, b) = pair(&data(Reliability::Guaranteed));
    b.handle("in", counting_handler().0).expect("free");
    add(&a, on_data().drop_ppm(FAULT_DROPS_ALL));
    let (channel, to) = (
        a.channel("data").expect("it is configured"),
        a.destination("b", "in").expect("names"),
    );
    let outcome = |mut receipt: Receipt| receipt.wait(GENEROUS).expect("it ends in time");
    let receipt = channel.try_send_with_receipt(&to, b"x").expect("room");
    match outcome(receipt) {
        Err(Reported::Undelivered { why }) => assert!(why.contains("fault on purpose"), "{why}"),
        other => panic!("{other:?}"),
    }
    check_accounting(&[&a, &b]);
}

#[test]
fn messages_are_held_back_in_order_and_within_the_bounds_of_their_lane() {
    const DELAY: Duration = Duration::from_millis(150);
    let channel = reliable("data").queue_messages_max(20_usize);
    let (a, b) = pair(&channel);
    let came: Arc<Mutex<Vec<(u64, Instant)>>> = Arc::default();
    let seen = Arc::clone(&came);
    b.handle("in", move |_, message| {
        let (_, number) = payload::read_numbered(message.payload());
        seen.lock()
            .expect("no panic")
            .push((number, Instant::now()));
    })
    .expect("free");
    add(&a, on_data().delay(DELAY));
    let (channel, to) = (
        a.channel("data").expect("it is configured"),
        a.destination("b", "in").expect("names"),
    );
    let mut sent = Vec::new();
    let mut refused = 0;
    while sent.len() < 60 {
        let number = sent.len() as u64;
        let now = Instant::now();
        match channel.try_send(&to, payload::numbered(0, number, 40)) {
            Ok(()) => sent.push(now),
            Err(unsent) => {
                assert_eq!(unsent.error, SendError::Full);
                refused += 1;
                std::thread::yield_now();
            }
        }
    }
    assert!(refused > 0, "the queue holds 20, and they wait");
    let metrics = check_accounting(&[&a, &b]);
    let came = came.lock().expect("no panic");
    assert_eq!(came.len(), 60);
    for (place, (number, at)) in came.iter().enumerate() {
        assert_eq!(*number, place as u64, "in order");
        let took = *at - sent[place];
        assert!(took >= DELAY, "{number} took {took:?}");
    }
    assert_eq!(metrics[0].faults.done.delayed, 60);
}

#[test]
fn what_is_held_back_goes_at_once_when_the_fault_is_removed() {
    let (a, b) = pair(&data(Reliability::Guaranteed).rate_messages_max(100_000_u64));
    let streams = numbered_handler(&b);
    let id = add(&a, on_data().delay(Duration::from_secs(60)));
    send_all(&a, 100);
    wait_until("they wait", || done(&a).delayed, |delayed| *delayed == 100);
    assert_eq!(streams.lock().expect("no panic").received(), 0);
    a.remove_fault(id).expect("it is open");
    let metrics = check_accounting(&[&a, &b]);
    assert_eq!(counted(&metrics[0], "b", "data").acknowledged, 100);
}

#[test]
fn the_newest_of_a_monotonic_channel_is_held_back_with_what_waits() {
    let (a, b) = pair(&data(Reliability::Reliable).ordering(Order::Monotonic));
    let mut inbox = b.inbox("in").expect("free");
    add(&a, on_data().delay(Duration::from_millis(100)));
    let channel = a.channel("data").expect("it is configured");
    let to = a.destination("b", "in").expect("names").with_key(7);
    for number in 0..100 {
        let message = payload::numbered(0, number, 40);
        channel.send_blocking(&to, message).expect("the peer stays");
    }
    let mut streams = Streams::default();
    while streams.next(0) < 100 {
        let message = inbox.recv_timeout(GENEROUS).expect("it comes");
        streams.take_after_gap(message.payload());
    }
    let metrics = check_accounting(&[&a, &b]);
    let out = counted(&metrics[0], "b", "data");
    assert_eq!(out.accepted, out.acknowledged + out.replaced, "{out:#?}");
    assert!(out.replaced > 0, "most waited: {out:#?}");
}

#[test]
fn a_link_that_is_cut_ends_and_none_can_be_made_until_the_fault_is_over() {
    let (a, b) = pair(&data(Reliability::Guaranteed));
    let streams = numbered_handler(&b);
    send_all(&a, 10);
    check_accounting(&[&a, &b]);
    let (at_a, at_b) = (a.events(), b.events());
    // All lanes, the engine's own too: the nodes do not see each other any more.
    let id = add(&a, Fault::lasting(LONG).peer("b").cut());
    for (events, peer) in [(&at_a, "b"), (&at_b, "a")] {
        wait_for_event(events, "the peer is gone", |event| match event {
            Event::PeerDown { peer: down, .. } => (down.name() == peer).then_some(()),
            _ => None,
        });
    }
    // Both ends dial in vain.
    let failed = || done(&a).dials_failed;
    wait_until("dials fail", failed, |failed| *failed >= 4);
    assert!(!a.peers().iter().any(|known| known.peer.is_connected()));
    assert!(done(&a).cut >= 1);
    a.remove_fault(id).expect("it is open");
    a.wait_connected("b", GENEROUS).expect("it is made again");
    b.wait_connected("a", GENEROUS).expect("it is made again");
    send_all_in_another_stream(&a, 10);
    let metrics = check_accounting(&[&a, &b]);
    let out = counted(&metrics[0], "b", "data");
    assert_eq!((out.accepted, out.acknowledged), (20, 20), "{out:#?}");
    assert_eq!(streams.lock().expect("no panic").received(), 20);
}

#[test]
fn what_is_kept_for_a_lane_that_is_cut_goes_out_when_the_fault_is_over_by_itself() {
    let (a, b) = pair(&data(Reliability::Guaranteed));
    let streams = numbered_handler(&b);
    send_all(&a, 10);
    check_accounting(&[&a, &b]);
    let events = a.events();
    // The control lane stays: messages are accepted.
    let fault = Fault::lasting(Duration::from_millis(300))
        .channel("data")
        .cut();
    let id = add(&a, fault);
    wait_for_event(&events, "the fault is told", |event| match event {
        Event::FaultAdded {
            id: told,
            fault,
            lasts,
        } => {
            assert_eq!(
                (&**fault, *lasts),
                ("cut to all peers on data", Duration::from_millis(300))
            );
            (*told == id).then_some(())
        }
        _ => None,
    });
    send_all_in_another_stream(&a, 10);
    let ended = wait_for_event(&events, "the fault is over", |event| match event {
        Event::FaultEnded { id: told, done, .. } => (*told == id).then_some(*done),
        _ => None,
    });
    assert_eq!(ended.cut, 1, "{ended:?}");
    assert!(a.faults().is_empty());
    assert_eq!(a.remove_fault(id), Err(FaultError::Unknown { id }));
    let metrics = check_accounting(&[&a, &b]);
    let out = counted(&metrics[0], "b", "data");
    assert_eq!((out.accepted, out.acknowledged), (20, 20), "{out:#?}");
    assert_eq!(streams.lock().expect("no panic").received(), 20);
}

#[test]
fn what_follows_a_dropped_message_of_a_causal_channel_does_not_wait_for_it() {
    let channel = data(Reliability::Guaranteed).ordering(Order::Causal);
    let (a, b) = pair(&channel);
    let mut inbox = b.inbox("in").expect("free");
    let id = add(&a, on_data().drop_ppm(FAULT_DROPS_ALL));
    let (channel, to) = (
        a.channel("data").expect("it is configured"),
        a.destination("b", "in").expect("names"),
    );
    for _ in 0..5 {
        channel.send_blocking(&to, b"lost").expect("the peer stays");
    }
    wait_until(
        "they are dropped",
        || done(&a).dropped,
        |dropped| *dropped == 5,
    );
    a.remove_fault(id).expect("it is open");
    let began = Instant::now();
    wait_until(
        "the fault is gone from the shard",
        || {
            let dropped = done(&a).dropped;
            channel
                .send_blocking(&to, b"after")
                .expect("the peer stays");
            inbox.recv_timeout(Duration::from_millis(500)).is_ok() && done(&a).dropped == dropped
        },
        |came| *came,
    );
    assert!(began.elapsed() < GENEROUS);
    check_accounting(&[&a, &b]);
}

#[test]
fn a_node_that_takes_no_faults_refuses_them_and_wrong_ones_are_refused_everywhere() {
    let closed = start(config("a").channel(best_effort("data")));
    assert_eq!(
        closed.add_fault(on_data().cut()),
        Err(FaultError::NotAllowed)
    );
    let open = start(config("b").channel(best_effort("data")).faults(true));
    let unknown = open.add_fault(on_data().channel("dat").cut());
    match unknown {
        Err(error @ FaultError::UnknownChannel { .. }) => {
            assert!(error.to_string().contains("data"), "{error}");
        }
        other => panic!("{other:?}"),
    }
    assert!(matches!(
        open.add_fault(on_data()),
        Err(FaultError::Invalid { .. })
    ));
    assert_eq!(open.remove_fault(7), Err(FaultError::Unknown { id: 7 }));
    assert!(open.faults().is_empty());
}
