//! Channels that keep their messages until they are acknowledged: what a cut connection, a peer that is
//! away and one that was started again make of them.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use crate::support::accounting::{all_acknowledged, check_accounting, counted};
use crate::support::payload::{self, Streams};
use crate::support::{
    Ends, GENEROUS, config, connect_through_proxy, pair_through_proxy, reliable, start,
    wait_for_event, wait_until,
};
use overlane::config::{ChannelConfig, OnRestart, Overflow, Reliability};
use overlane::{Event, Node, RecvError, SendError};
use overlane_proxy::Proxy;

fn guaranteed(name: &str) -> ChannelConfig {
    reliable(name).reliability(Reliability::Guaranteed)
}

/// Sends `each` numbered messages on three keys; waits where there is no room.
fn send_all(node: &Node, to: &str, each: u64, bytes: usize) {
    let channel = node.channel("data").expect("it is configured");
    let to = node.destination(to, "in").expect("names");
    for number in 0..each {
        for stream in 0..3 {
            let message = payload::numbered(stream, number, bytes);
            channel
                .send_blocking(&to.with_key(stream), message)
                .expect("the peer is away for a moment at most");
        }
    }
}

/// Reads an inbox until `messages` have come, each once and in order.
fn receive_all(inbox: &mut overlane::Inbox, streams: &mut Streams, messages: u64) {
    while streams.received() < messages {
        match inbox.recv_timeout(GENEROUS) {
            Ok(message) => drop(streams.take(message.payload())),
            Err(error) => panic!("{} of {messages} came: {error}", streams.received()),
        }
    }
}

/// Two nodes, the first of which dials through a proxy. Messages of different sizes, sent by both.
fn survive_cuts(channel: ChannelConfig, bytes: usize, each: u64) {
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let channel = channel.overflow(Overflow::Block);
    let mut random = fastrand::Rng::with_seed(seed);
    let (a, b, proxy) = pair_through_proxy(&channel);
    b.wait_connected("a", GENEROUS).expect("lanes come up");
    let (mut in_a, mut in_b) = (a.inbox("in").expect("free"), b.inbox("in").expect("free"));
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        // The cutting ends with the test, however that ends.
        let _ends = Ends(&over);
        let senders = [
            scope.spawn(|| send_all(&a, "b", each, bytes)),
            scope.spawn(|| send_all(&b, "a", each, bytes)),
        ];
        let readers = [
            scope.spawn(|| receive_all(&mut in_a, &mut Streams::default(), 3 * each)),
            scope.spawn(|| receive_all(&mut in_b, &mut Streams::default(), 3 * each)),
        ];
        let cutting = scope.spawn(|| {
            let mut cuts = 0;
            while !over.load(Ordering::Relaxed) {
                let before = proxy.bytes();
                proxy.cut_each_after(random.u64(500..400_000));
                let some = before + random.u64(1..300_000);
                while proxy.bytes() < some && !over.load(Ordering::Relaxed) {
                    // Often enough to cut in between, and the others get the cores.
                    thread::sleep(Duration::from_millis(1));
                }
                if random.bool() {
                    proxy.cut();
                    cuts += 1;
                }
            }
            cuts
        });
        senders
            .into_iter()
            .for_each(|thread| thread.join().expect("no panic"));
        readers
            .into_iter()
            .for_each(|thread| thread.join().expect("no panic"));
        over.store(true, Ordering::Relaxed);
        assert!(cutting.join().expect("no panic") > 0, "nothing was cut");
    });
    proxy.cut_each_after(0);
    let metrics = check_accounting(&[&a, &b]);
    for (metrics, peer) in metrics.iter().zip(["b", "a"]) {
        all_acknowledged(metrics, peer, "data", 3 * each);
        assert_eq!(counted(metrics, peer, "data").delivered, 3 * each);
    }
}

#[test]
fn cut_at_random_both_ways_every_message_comes_once_and_in_order() {
    survive_cuts(guaranteed("data"), 300, 4_000);
}

#[test]
fn large_messages_too_over_parallel_lanes() {
    let channel = guaranteed("data").parallelism(3);
    survive_cuts(channel, 100_000, 20);
}

#[test]
fn at_least_once_resumes_as_well() {
    let channel = reliable("data").reliability(Reliability::AtLeastOnce);
    survive_cuts(channel, 1_000, 1_000);
}

/// A sender, the proxy through which it dials, and a receiver that is stalled behind it with what was sent.
struct Stalled {
    sender: Node,
    events: overlane::Events,
    receiver: Node,
    inbox: overlane::Inbox,
    proxy: Proxy,
}

const BEFORE: u64 = 10;
const DURING: u64 = 20;

fn stalled(channel: &ChannelConfig) -> Stalled {
    let sender = start(config("a").channel(channel.clone()));
    let receiver = start(config("b").incarnation(1_u64).channel(channel.clone()));
    let proxy = connect_through_proxy(&sender, &receiver);
    let events = sender.events();
    let mut inbox = receiver.inbox("in").expect("free");
    send(&sender, 0..BEFORE);
    for number in 0..BEFORE {
        let message = inbox.recv_timeout(GENEROUS).expect("it comes");
        assert_eq!(message.payload(), number.to_le_bytes());
    }
    crate::support::drained(&sender);
    proxy.stall(true);
    send(&sender, BEFORE..BEFORE + DURING);
    Stalled {
        sender,
        events,
        receiver,
        inbox,
        proxy,
    }
}

fn send(node: &Node, numbers: std::ops::Range<u64>) {
    let channel = node.channel("data").expect("it is configured");
    let to = node.destination("b", "in").expect("names");
    for number in numbers {
        channel
            .try_send(&to, &number.to_le_bytes())
            .expect("there is room");
    }
}

/// The receiver's process is gone and another takes its place, behind the same address.
fn restart(stalled: Stalled, channel: &ChannelConfig) -> (Node, overlane::Events, Node, Proxy) {
    let Stalled {
        sender,
        events,
        receiver,
        inbox,
        proxy,
    } = stalled;
    wait_until(
        "all is sent",
        || sender.metrics(),
        |metrics| counted(metrics, "b", "data").in_flight == DURING,
    );
    proxy.cut();
    drop((inbox, receiver));
    let new = start(config("b").incarnation(2_u64).channel(channel.clone()));
    let address = Proxy::start(new.local_addr()).expect("a free port");
    sender.connect("b", address.address()).expect("a name");
    (sender, events, new, address)
}

#[test]
fn what_a_process_that_is_gone_may_have_got_is_reported_and_not_sent_to_its_successor() {
    let channel = guaranteed("data");
    let (sender, events, new, _proxy) = restart(stalled(&channel), &channel);
    let mut inbox = new.inbox("in").expect("free");
    let mut told = 0;
    wait_for_event(&events, "what is unknown is told", |event| {
        if let Event::Reported {
            unknown,
            undelivered,
            why,
            ..
        } = event
        {
            assert_eq!(*undelivered, 0);
            assert!(why.contains("started again"), "{why}");
            told += unknown;
        }
        (told == DURING).then_some(())
    });
    let next = BEFORE + DURING;
    send(&sender, next..next + 1);
    let message = inbox.recv_timeout(GENEROUS).expect("it comes");
    assert_eq!(message.payload(), next.to_le_bytes());
    let metrics = check_accounting(&[&sender]);
    let out = counted(&metrics[0], "b", "data");
    assert_eq!((out.acknowledged, out.reported), (BEFORE + 1, DURING));
    assert!(matches!(
        inbox.recv_timeout(Duration::ZERO),
        Err(RecvError::TimedOut)
    ));
}

#[test]
fn or_it_is_sent_to_its_successor_if_that_is_wanted() {
    let channel = reliable("data")
        .reliability(Reliability::AtLeastOnce)
        .on_restart(OnRestart::Resend);
    let (sender, _events, new, _proxy) = restart(stalled(&channel), &channel);
    let mut inbox = new.inbox("in").expect("free");
    for number in BEFORE..BEFORE + DURING {
        let message = inbox.recv_timeout(GENEROUS).expect("it comes");
        assert_eq!(message.payload(), number.to_le_bytes());
    }
    let metrics = check_accounting(&[&sender]);
    all_acknowledged(&metrics[0], "b", "data", BEFORE + DURING);
}

#[test]
fn a_peer_that_stays_away_is_given_up_and_each_message_reported() {
    let channel = guaranteed("data").resume_timeout_ms(300_u64);
    let Stalled {
        sender,
        events,
        receiver,
        inbox,
        proxy,
    } = stalled(&channel);
    wait_until(
        "all is sent",
        || sender.metrics(),
        |metrics| counted(metrics, "b", "data").in_flight == DURING,
    );
    drop(inbox);
    drop(receiver);
    drop(proxy);
    // Accepted while the peer is away: surely not delivered.
    let later = wait_until(
        "the lane has ended",
        || sender.metrics(),
        |metrics| counted(metrics, "b", "data").lanes_up == 0,
    );
    assert_eq!(counted(&later, "b", "data").reported, 0);
    send(&sender, 100..105);
    let (mut unknown_told, mut undelivered_told) = (0, 0);
    wait_for_event(&events, "all of them are told", |event| {
        if let Event::Reported {
            unknown,
            undelivered,
            ..
        } = event
        {
            unknown_told += unknown;
            undelivered_told += undelivered;
        }
        (unknown_told + undelivered_told == DURING + 5).then_some(())
    });
    assert_eq!((unknown_told, undelivered_told), (DURING, 5));
    let data = sender.channel("data").expect("it is configured");
    let to = sender.destination("b", "in").expect("names");
    wait_until(
        "nothing is accepted for it any more",
        || data.try_send(&to, b"x").err(),
        |refused| matches!(refused, Some(SendError::Unreachable)),
    );
    check_accounting(&[&sender]);
}

#[test]
fn the_log_is_bounded_and_a_slow_peer_makes_senders_wait() {
    let channel = guaranteed("data").log_bytes_max(100_000_usize);
    let Stalled {
        sender,
        receiver,
        mut inbox,
        proxy,
        ..
    } = stalled(&channel);
    let data = sender.channel("data").expect("it is configured");
    let to = sender.destination("b", "in").expect("names");
    let mut accepted = 0;
    while data.try_send(&to, &[1; 1_000]).is_ok() {
        accepted += 1;
    }
    assert!((90..=100).contains(&accepted), "{accepted} of 1,000 bytes");
    let full = data.try_send(&to, &[1; 1_000]);
    assert!(matches!(full, Err(SendError::Full)), "{full:?}");
    // A cut makes no room: nothing is acknowledged.
    proxy.cut();
    wait_until(
        "the lane has ended",
        || sender.metrics(),
        |metrics| counted(metrics, "b", "data").lanes_up == 0,
    );
    assert!(data.try_send(&to, &[1; 1_000]).is_err());
    proxy.stall(false);
    let messages = DURING + accepted;
    for _ in 0..messages {
        inbox.recv_timeout(GENEROUS).expect("it comes");
    }
    let metrics = check_accounting(&[&sender, &receiver]);
    all_acknowledged(&metrics[0], "b", "data", BEFORE + messages);
}

#[test]
fn one_that_is_told_to_part_reports_at_once() {
    let channel = guaranteed("data");
    let stalled = stalled(&channel);
    let sender = &stalled.sender;
    wait_until(
        "all is sent",
        || sender.metrics(),
        |metrics| counted(metrics, "b", "data").in_flight == DURING,
    );
    sender.disconnect("b").expect("a name");
    let metrics = crate::support::drained(sender);
    assert_eq!(counted(&metrics, "b", "data").reported, DURING);
}

#[test]
fn a_request_outlives_the_connection_that_it_was_sent_on() {
    let channel = guaranteed("data");
    let Stalled {
        sender,
        receiver,
        inbox,
        proxy,
        ..
    } = stalled(&channel);
    let answers = receiver.channel("data").expect("it is configured");
    receiver
        .handle(
            "asked",
            move |context: &mut overlane::ShardContext<'_>, message: overlane::Message<'_>| {
                let answer = [message.payload(), b" it is".as_slice()].concat();
                let to = message.reply_handle().expect("it is a request");
                context
                    .try_reply(&answers, &to, answer)
                    .expect("there is room");
            },
        )
        .expect("free");
    let data = sender.channel("data").expect("it is configured");
    let to = sender.destination("b", "asked").expect("names");
    thread::scope(|scope| {
        let asking = scope.spawn(|| data.request_blocking(&to, "so", GENEROUS));
        wait_until(
            "it is sent",
            || sender.metrics(),
            |metrics| counted(metrics, "b", "data").in_flight == DURING + 1,
        );
        proxy.cut();
        wait_until(
            "the lane has ended",
            || sender.metrics(),
            |metrics| counted(metrics, "b", "data").lanes_up == 0,
        );
        proxy.stall(false);
        let answer = asking.join().expect("no panic").expect("it is answered");
        assert_eq!(answer.payload(), b"so it is");
    });
    drop(inbox);
    check_accounting(&[&sender, &receiver]);
}
