//! Causal channels: no message is delivered before what it follows, whoever sent that, over cuts and restarts.

mod history;

mod lives;

use std::time::Duration;

use crate::support::accounting::{check_accounting, counted};
use crate::support::{
    GENEROUS, config, connect_both, connect_through_proxy, reliable, start, wait_for_event,
    wait_until,
};
use overlane::config::{ChannelConfig, ConfigBuilder, Ordering, Overflow, Reliability};
use overlane::{Event, Inbox, Node};
use overlane_proxy::Proxy;

fn causal() -> ChannelConfig {
    reliable("data")
        .reliability(Reliability::Guaranteed)
        .ordering(Ordering::Causal)
}

fn node(name: &str, channel: &ChannelConfig) -> ConfigBuilder {
    config(name).channel(channel.clone())
}

fn inbox(node: &Node) -> Inbox {
    node.inbox("in").expect("it is free")
}

fn send(from: &Node, to: &str, message: &str) {
    let to = from.destination(to, "in").expect("names");
    let channel = from.channel("data").expect("it is configured");
    channel
        .try_send(&to, message.as_bytes())
        .expect("there is room");
}

fn next(inbox: &mut Inbox) -> String {
    let message = inbox.recv_timeout(GENEROUS).expect("it comes");
    String::from_utf8_lossy(message.payload()).into_owned()
}

/// Three nodes. What `a` sends to `b` goes through the proxy; the others are directly connected.
fn triangle(channel: &ChannelConfig, shards: usize) -> (Node, Node, Node, Proxy) {
    let [a, b, c] = ["a", "b", "c"].map(|name| start(node(name, channel).shards(shards)));
    let proxy = connect_through_proxy(&a, &b);
    b.wait_connected("a", GENEROUS).expect("lanes come up");
    connect_both(&a, &c);
    connect_both(&b, &c);
    (a, b, c, proxy)
}

/// `a` sends `first` to `b`, which stays in the proxy, and then `second` to `c`, which comes.
fn hold_up_the_first(a: &Node, proxy: &Proxy, [in_b, in_c]: [&mut Inbox; 2]) {
    send(a, "b", "before");
    assert_eq!(next(in_b), "before");
    proxy.stall(true);
    send(a, "b", "first");
    send(a, "c", "second");
    assert_eq!(next(in_c), "second");
}

/// What `a` sends to `b` is late; what follows it, by way of `c`, is not.
fn late_message_goes_first(shards: usize) {
    let (a, b, c, proxy) = triangle(&causal(), shards);
    let (mut in_b, mut in_c) = (inbox(&b), inbox(&c));
    hold_up_the_first(&a, &proxy, [&mut in_b, &mut in_c]);
    send(&c, "b", "third");
    send(&c, "b", "fourth");
    let held = |node: &Node| counted(&node.metrics(), "c", "data").held_back;
    wait_until("both are held", || held(&b), |held| *held == 2);
    assert!(in_b.try_recv().is_none(), "nothing is delivered meanwhile");
    proxy.stall(false);
    let came: Vec<_> = (0..3).map(|_| next(&mut in_b)).collect();
    assert_eq!(came, ["first", "third", "fourth"]);
    check_accounting(&[&a, &b, &c]);
}

#[test]
fn a_message_that_is_late_is_delivered_before_what_follows_it() {
    late_message_goes_first(1);
}

#[test]
fn on_several_shards_too() {
    late_message_goes_first(3);
}

#[test]
fn a_message_that_is_cut_off_is_sent_again_and_goes_first() {
    let (a, b, c, proxy) = triangle(&causal(), 1);
    let (mut in_b, mut in_c) = (inbox(&b), inbox(&c));
    hold_up_the_first(&a, &proxy, [&mut in_b, &mut in_c]);
    send(&c, "b", "third");
    let held = |node: &Node| counted(&node.metrics(), "c", "data").held_back;
    wait_until("it is held", || held(&b), |held| *held == 1);
    proxy.cut();
    proxy.stall(false);
    assert_eq!([next(&mut in_b), next(&mut in_b)], ["first", "third"]);
    check_accounting(&[&a, &b, &c]);
}

#[test]
fn a_sender_that_has_too_much_on_hold_waits_and_the_others_do_not() {
    let channel = causal().hold_back_messages_max(4_usize);
    let (a, b, c, proxy) = triangle(&channel, 1);
    let (mut in_b, mut in_c) = (inbox(&b), inbox(&c));
    hold_up_the_first(&a, &proxy, [&mut in_b, &mut in_c]);
    for number in 0..100 {
        send(&c, "b", &number.to_string());
    }
    let held = |node: &Node| counted(&node.metrics(), "c", "data").held_back;
    wait_until("as many are held as may be", || held(&b), |held| *held == 4);
    proxy.stall(false);
    assert_eq!(next(&mut in_b), "first");
    for number in 0..100 {
        assert_eq!(next(&mut in_b), number.to_string());
    }
    check_accounting(&[&a, &b, &c]);
}

#[test]
fn a_full_inbox_holds_what_follows_and_nothing_is_lost() {
    let channel = causal().overflow(Overflow::Block);
    let [a, b, c] =
        ["a", "b", "c"].map(|name| start(node(name, &channel).inbox_bytes(65_536_usize)));
    connect_both(&a, &b);
    connect_both(&a, &c);
    connect_both(&b, &c);
    let (mut in_b, mut in_c) = (inbox(&b), inbox(&c));
    let mut other = b.inbox("other").expect("it is free");
    let to = a.destination("b", "in").expect("names");
    let data = a.channel("data").expect("it is configured");
    for _ in 0..20 {
        data.send_blocking(&to, vec![7; 8000])
            .expect("there is room");
    }
    send(&a, "c", "second");
    assert_eq!(next(&mut in_c), "second");
    let to = c.destination("b", "other").expect("names");
    let channel = c.channel("data").expect("it is configured");
    channel.try_send(&to, b"third").expect("there is room");
    let held = |node: &Node| counted(&node.metrics(), "c", "data").held_back;
    wait_until("it is held", || held(&b), |held| *held == 1);
    assert!(
        other.try_recv().is_none(),
        "what it follows is not delivered"
    );
    for _ in 0..20 {
        assert_eq!(
            in_b.recv_timeout(GENEROUS).expect("it comes").payload(),
            [7; 8000]
        );
    }
    assert_eq!(next(&mut other), "third");
    check_accounting(&[&a, &b, &c]);
}

#[test]
fn what_does_not_come_is_given_up_told_and_refused_when_it_comes() {
    let (a, b, c, proxy) = triangle(&causal().hold_back_wait_ms(300_u64), 1);
    let (mut in_b, mut in_c) = (inbox(&b), inbox(&c));
    let (told_b, told_a) = (b.events(), a.events());
    hold_up_the_first(&a, &proxy, [&mut in_b, &mut in_c]);
    send(&c, "b", "third");
    assert_eq!(next(&mut in_b), "third", "without what it follows");
    let given_up = wait_for_event(&told_b, "the giving up", |event| match event {
        Event::GivenUp {
            channel,
            sender,
            messages,
            ..
        } => Some((channel.to_string(), sender.clone(), *messages)),
        _ => None,
    });
    assert_eq!(given_up, ("data".to_owned(), Some("a".into()), 1));
    assert_eq!(b.metrics().shards[0].given_up, 1);
    proxy.stall(false);
    let why = wait_for_event(&told_a, "the report", |event| match event {
        Event::Reported {
            undelivered: 1,
            why,
            ..
        } => Some(*why),
        _ => None,
    });
    assert!(why.contains("hold_back_wait_ms"), "{why}");
    send(&a, "b", "fourth");
    assert_eq!(next(&mut in_b), "fourth");
    let metrics = check_accounting(&[&a, &b, &c]);
    assert_eq!(counted(&metrics[0], "b", "data").refused, 1);
}

#[test]
fn what_a_deadline_ended_is_not_waited_for() {
    let (a, b, c, proxy) = triangle(&causal(), 1);
    let (mut in_b, mut in_c) = (inbox(&b), inbox(&c));
    send(&a, "b", "before");
    assert_eq!(next(&mut in_b), "before");
    check_accounting(&[&a]);
    proxy.cut();
    proxy.set_target("127.0.0.1:1".parse().expect("an address"));
    wait_until(
        "the lane is cut",
        || counted(&a.metrics(), "b", "data").lanes_up,
        |up| *up == 0,
    );
    let to = a.destination("b", "in").expect("names");
    let data = a.channel("data").expect("it is configured");
    let short = overlane::Envelope::new(&b"first"[..]).deadline(Duration::from_millis(20));
    data.try_send(&to, short).expect("there is room");
    wait_until(
        "it has expired",
        || counted(&a.metrics(), "b", "data").expired,
        |ended| *ended == 1,
    );
    send(&a, "c", "second");
    assert_eq!(next(&mut in_c), "second");
    send(&c, "b", "third");
    assert_eq!(next(&mut in_b), "third");
    assert_eq!(counted(&b.metrics(), "c", "data").held_back, 0);
    proxy.set_target(b.local_addr());
    check_accounting(&[&a, &b, &c]);
}

#[test]
fn replies_and_receipts_go_their_way() {
    let (a, b, _c, _proxy) = triangle(&causal(), 1);
    let mut in_b = inbox(&b);
    let data = a.channel("data").expect("it is configured");
    let to = a.destination("b", "in").expect("names");
    let receipt = data
        .try_send_with_receipt(&to, b"one")
        .expect("there is room");
    assert_eq!(next(&mut in_b), "one");
    futures_lite::future::block_on(receipt).expect("it is delivered");
    let nowhere = a.destination("b", "nowhere").expect("names");
    let request = data.request_blocking(&nowhere, b"two", GENEROUS);
    let refused = request.expect_err("there is no such mailbox").to_string();
    assert!(refused.contains("no such mailbox"), "{refused}");
    check_accounting(&[&a, &b]);
}

#[test]
fn streams_are_refused_where_order_is_causal() {
    let (a, _b, _c, _proxy) = triangle(&causal(), 1);
    let data = a.channel("data").expect("it is configured");
    let to = a.destination("b", "in").expect("names");
    let error = data
        .open_stream(&to)
        .expect_err("it has no streams")
        .to_string();
    assert!(error.contains("causal"), "{error}");
}
