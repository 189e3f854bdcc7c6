//! Routing rules and hints: on which channel a message goes, by each way to send, while rules change, and what that does to
//! order and to what was promised.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;

use crate::support::accounting::check_accounting;
use crate::support::payload::{self, Streams};
use crate::support::{Ends, GENEROUS, best_effort, config, connect_both, reliable, start};
use futures_lite::future::block_on;
use overlane::config::{ChannelConfig, Overflow, Priority, Reliability, Rule};
use overlane::{Channel, Destination, Envelope, Inbox, Node, RuleMetrics, SendError, Unsent};

/// Channels of different priority and reliability; hints may move messages of `data`.
fn channels() -> [ChannelConfig; 4] {
    let block = |channel: ChannelConfig| channel.overflow(Overflow::Block);
    let hints = ["urgent", "sure"].map(String::from).to_vec();
    [
        block(reliable("data")).hints(hints),
        block(reliable("urgent")).priority(Priority::HIGH),
        block(reliable("sure")).reliability(Reliability::Guaranteed),
        best_effort("gossip").message_bytes_max(1000_usize),
    ]
}

struct Pair {
    a: Node,
    b: Node,
    inbox: Inbox,
    to: Destination,
}

impl Pair {
    fn new(rules: &[Rule]) -> Self {
        let node = |name, rules: &[Rule]| {
            let config = channels()
                .into_iter()
                .fold(config(name), |config, channel| config.channel(channel));
            let config = rules
                .iter()
                .cloned()
                .fold(config, |config, rule| config.rule(rule));
            start(config.shards(2))
        };
        let (a, b) = (node("a", rules), node("b", &[]));
        connect_both(&a, &b);
        let inbox = b.inbox_of("in", 1 << 20).expect("free");
        let to = a.destination("b", "in").expect("names");
        Self { a, b, inbox, to }
    }

    fn channel(&self, name: &str) -> Channel {
        self.a.channel(name).expect("it is configured")
    }

    /// The channel that the next message has come on.
    fn came_on(&mut self) -> String {
        let message = self.inbox.recv_timeout(GENEROUS).expect("it comes");
        message.channel().to_owned()
    }

    /// How often each rule has matched.
    fn matched(&self) -> Vec<u64> {
        let rules = self.a.metrics().rules;
        rules.iter().map(|rule| rule.matched).collect()
    }
}

fn rule(text: &str) -> Rule {
    Rule::read(text, &overlane::config::Place::Code).expect("a rule")
}

#[test]
fn the_first_rule_that_matches_chooses_where_no_channel_is_named() {
    let mut pair = Pair::new(&[
        rule("urgent:message_type=vote.*,peer=b"),
        rule("sure:metadata=tenant=7&region=eu"),
        rule("gossip:payload_bytes_max=100,peer=nobody"),
        rule("gossip:payload_bytes_max=100"),
        rule("data:payload_bytes_min=1000,payload_bytes_max=2000"),
    ]);
    let vote = Envelope::new("yes").message_type("vote.cast");
    let tenant = Envelope::new("7")
        .metadata("region", "eu")
        .metadata("tenant", "7");
    let partly = Envelope::new("7").metadata("tenant", "7");
    pair.a.send_blocking(&pair.to, vote).expect("accepted");
    assert_eq!(pair.came_on(), "urgent");
    pair.a.send_blocking(&pair.to, tenant).expect("accepted");
    assert_eq!(pair.came_on(), "sure");
    pair.a.send_blocking(&pair.to, partly).expect("accepted");
    assert_eq!(pair.came_on(), "gossip");
    for bytes in [1000, 1500, 2000] {
        pair.a
            .send_blocking(&pair.to, vec![7; bytes])
            .expect("accepted");
        assert_eq!(pair.came_on(), "data");
    }
    for bytes in [101, 999, 2001] {
        let Unsent { error, payload } = pair
            .a
            .try_send(&pair.to, vec![7; bytes])
            .expect_err("no rule");
        assert_eq!((error, payload.len()), (SendError::NoRule, bytes));
    }
    assert_eq!(pair.matched(), [1, 1, 0, 1, 3]);
    check_accounting(&[&pair.a, &pair.b]);
}

#[test]
fn by_each_way_to_send_the_message_goes_where_the_rules_say() {
    let mut pair = Pair::new(&[rule("sure"), rule("urgent:named=data,message_type=vote")]);
    let router = pair.a.router();
    let (a, to) = (&pair.a, &pair.to);
    let vote = Envelope::new("yes").message_type("vote");
    a.try_send(to, vote).expect("accepted");
    block_on(a.send(to, vote)).expect("accepted");
    a.send_blocking(to, vote).expect("accepted");
    router.try_send(to, vote).expect("accepted");
    block_on(router.send(to, vote)).expect("accepted");
    router.send_blocking(to, vote).expect("accepted");
    let receipts = [
        router.try_send_with_receipt(to, vote),
        block_on(router.send_with_receipt(to, vote)),
        router.send_blocking_with_receipt(to, vote),
    ];
    for _ in 0..9 {
        assert_eq!(pair.came_on(), "sure");
    }
    let data = pair.channel("data");
    let to = &pair.to;
    data.try_send(to, vote).expect("accepted");
    block_on(data.send(to, vote)).expect("accepted");
    data.send_blocking(to, vote).expect("accepted");
    let more = [
        data.try_send_with_receipt(to, vote),
        block_on(data.send_with_receipt(to, vote)),
        data.send_blocking_with_receipt(to, vote),
    ];
    let all = data.send_to_all([to], vote).expect("accepted");
    assert_eq!((all.accepted, all.refused.len()), (1, 0));
    let all = data.broadcast(to.mailbox(), vote).expect("accepted");
    assert_eq!((all.accepted, all.refused.len()), (1, 0));
    for _ in 0..8 {
        assert_eq!(pair.came_on(), "urgent");
    }
    for receipt in receipts.into_iter().chain(more) {
        let mut receipt = receipt.expect("accepted");
        assert_eq!(receipt.wait(GENEROUS), Some(Ok(())));
    }
    data.try_send(&pair.to, "no vote").expect("accepted");
    assert_eq!(pair.came_on(), "data");
    assert_eq!(pair.matched(), [9, 8]);
    check_accounting(&[&pair.a, &pair.b]);
}

#[test]
fn rules_override_on_shards_and_many_at_once_too() {
    let mut pair = Pair::new(&[rule("urgent:named=data,payload_bytes_max=3")]);
    let data = pair.channel("data");
    let payloads: [&[u8]; 4] = [b"one", b"three", b"two", b"seven"];
    assert_eq!(data.send_many(&pair.to, &payloads), Ok(4));
    for shard in 0..2 {
        let (done, finished) = mpsc::channel();
        let (data, to) = (data.clone(), pair.to.clone());
        pair.a
            .spawn_on_shard(shard, move |shard| async move {
                shard.try_send(&data, &to, "one").expect("accepted");
                shard.send(&data, &to, "one").await.expect("accepted");
                shard.send(&data, &to, "three").await.expect("accepted");
                assert_eq!(shard.send_many(&data, &to, &[b"two", b"seven"]), Ok(2));
                done.send(()).expect("the test waits");
            })
            .expect("there is that shard");
        finished.recv_timeout(GENEROUS).expect("the task ends");
    }
    let mut came = Vec::new();
    for _ in 0..14 {
        let message = pair.inbox.recv_timeout(GENEROUS).expect("it comes");
        let expected = if message.payload().len() <= 3 {
            "urgent"
        } else {
            "data"
        };
        assert_eq!(message.channel(), expected);
        came.push(message.payload().len());
    }
    assert_eq!(came.iter().sum::<usize>(), 8 * 3 + 6 * 5);
    assert_eq!(pair.matched(), [8]);
    check_accounting(&[&pair.a, &pair.b]);
}

#[test]
fn the_channel_that_is_chosen_says_what_is_promised_and_refused() {
    let pair = Pair::new(&[rule("gossip"), rule("gossip:named=data")]);
    let data = pair.channel("data");
    let no_receipts = data
        .try_send_with_receipt(&pair.to, "x")
        .expect_err("best effort");
    assert_eq!(no_receipts, SendError::NoReceipts);
    let too_large = SendError::TooLarge {
        bytes: 1001,
        bytes_max: 1000,
    };
    let unsent = data
        .try_send(&pair.to, vec![7; 1001])
        .expect_err("too large");
    assert_eq!(
        (unsent.error, unsent.payload),
        (too_large.clone(), vec![7; 1001])
    );
    let unsent = pair
        .a
        .try_send(&pair.to, vec![7; 1001])
        .expect_err("too large");
    assert_eq!(unsent.error, too_large);
}

#[test]
fn rules_are_changed_while_messages_flow_and_each_goes_by_the_old_or_the_new() {
    let mut pair = Pair::new(&[]);
    assert_eq!(pair.a.try_send(&pair.to, "x"), Err(SendError::NoRule));
    assert_eq!(pair.a.metrics().rules, []);
    let error = pair
        .a
        .set_rules(&[rule("bulk")])
        .expect_err("no such channel");
    assert!(
        error
            .to_string()
            .contains("take one of data, urgent, sure, gossip"),
        "{error}"
    );
    let to_each = [[rule("data")], [rule("urgent")], [rule("sure")]];
    pair.a.set_rules(&to_each[0]).expect("right");
    const EACH: u64 = 3_000;
    let over = AtomicBool::new(false);
    let (a, to, changes) = (&pair.a, &pair.to, &AtomicUsize::new(0));
    thread::scope(|scope| {
        let _ends = Ends(&over);
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                let change = changes.fetch_add(1, Ordering::Relaxed) + 1;
                a.set_rules(&to_each[change % 3]).expect("right");
                thread::yield_now();
            }
        });
        let senders: [_; 2] = std::array::from_fn(|stream| {
            let over = &over;
            scope.spawn(move || {
                for number in 0..EACH {
                    let before = changes.load(Ordering::Relaxed);
                    let is_unchanged = || changes.load(Ordering::Relaxed) == before;
                    while number % 100 == 0 && is_unchanged() && !over.load(Ordering::Relaxed) {
                        thread::yield_now();
                    }
                    let message = payload::numbered(stream as u64, number, 40);
                    a.send_blocking(to, message).expect("some rule matches");
                }
            })
        });
        // On each channel the messages of one sender keep their order.
        let mut by_channel = [const { None::<Streams> }; 3];
        for _ in 0..2 * EACH {
            let message = pair.inbox.recv_timeout(GENEROUS).expect("it comes");
            let streams = by_channel[message.channel_index()].get_or_insert_default();
            streams.take_after_gap(message.payload());
        }
        senders
            .into_iter()
            .for_each(|sender| sender.join().expect("no panic"));
        let used = by_channel.iter().flatten().count();
        assert_eq!(used, 3, "rules led to every channel");
    });
    a.set_rules(&[]).expect("right");
    assert_eq!(a.try_send(to, "x"), Err(SendError::NoRule));
    check_accounting(&[&pair.a, &pair.b]);
}

#[test]
fn messages_of_a_key_keep_their_order_on_the_channel_that_rules_choose() {
    let mut pair = Pair::new(&[rule("urgent:named=data,message_type=vote")]);
    let data = pair.channel("data");
    for number in 0..2_000 {
        let stream = number % 2;
        let to = pair.to.with_key(stream);
        let message = payload::numbered(stream, number / 2, 40);
        if stream == 0 {
            let vote = Envelope::new(message).message_type("vote");
            data.send_blocking(&to, vote).expect("accepted");
        } else {
            data.send_blocking(&to, message).expect("accepted");
        }
    }
    let mut streams = Streams::default();
    for _ in 0..2_000 {
        let message = pair.inbox.recv_timeout(GENEROUS).expect("it comes");
        let (stream, _) = streams.take(message.payload());
        assert_eq!(
            message.channel(),
            ["urgent", "data"][usize::try_from(stream).expect("small")]
        );
    }
    check_accounting(&[&pair.a, &pair.b]);
}

#[test]
fn a_hint_picks_the_sibling_that_has_what_is_hinted_and_is_like_the_channel_otherwise() {
    let mut pair = Pair::new(&[rule("data")]);
    let data = pair.channel("data");
    let plain = || Envelope::new("x");
    let cases = [
        (plain().priority(Priority::HIGH), "urgent"),
        (plain().reliability(Reliability::Guaranteed), "sure"),
        (plain().priority(Priority::MEDIUM), "data"),
        (
            plain().reliability(Reliability::Reliable).priority(4),
            "data",
        ),
        (
            plain().message_type("t").priority(1).deadline(GENEROUS),
            "urgent",
        ),
    ];
    for (message, expected) in cases {
        data.try_send(&pair.to, message).expect("accepted");
        assert_eq!(pair.came_on(), expected, "{message:?}");
        // Where a rule has chosen the channel, the same.
        pair.a.try_send(&pair.to, message).expect("accepted");
        assert_eq!(pair.came_on(), expected, "{message:?}");
    }
    let all = data
        .send_to_all([&pair.to], plain().priority(1))
        .expect("accepted");
    assert_eq!((all.accepted, all.refused.len()), (1, 0));
    assert_eq!(pair.came_on(), "urgent");
    let message = plain().message_type("t").metadata("k", "v").priority(1);
    data.try_send(&pair.to, message).expect("accepted");
    let message = pair.inbox.recv_timeout(GENEROUS).expect("it comes");
    assert_eq!(
        (message.message_type(), message.metadata("k")),
        (Some("t"), Some(&b"v"[..]))
    );
    drop(message);
    check_accounting(&[&pair.a, &pair.b]);
}

#[test]
fn a_hint_that_no_sibling_has_is_refused_with_what_to_do() {
    let pair = Pair::new(&[]);
    let refused = |channel: &str, priority, reliability| SendError::NoSuchHint {
        channel: channel.to_owned(),
        priority,
        reliability,
    };
    let data = pair.channel("data");
    // There is one of that priority, but it would not be as sure.
    let both = Envelope::new(vec![7])
        .priority(1)
        .reliability(Reliability::Guaranteed);
    let unsent = data.try_send(&pair.to, both).expect_err("no such sibling");
    assert_eq!(unsent.error, refused("data", 1, "guaranteed"));
    assert_eq!(unsent.payload, vec![7], "it comes back");
    let urgent = pair.channel("urgent");
    let error = urgent
        .send_blocking(&pair.to, Envelope::new("x").priority(4))
        .expect_err("it has no hints");
    assert_eq!(error, refused("urgent", 4, "reliable"));
    let text = error.to_string();
    assert!(text.contains("add one to its `hints`"), "{text}");
}

#[test]
fn an_override_comes_after_hints_and_has_the_last_word() {
    let mut pair = Pair::new(&[rule("sure:named=urgent"), rule("gossip:named=sure")]);
    let data = pair.channel("data");
    let message = Envelope::new("x").priority(1);
    data.try_send(&pair.to, message).expect("accepted");
    assert_eq!(
        pair.came_on(),
        "sure",
        "one rule decides, and no other after it"
    );
    let expected = RuleMetrics {
        rule: "sure:named=urgent".to_owned(),
        channel: "sure".to_owned(),
        matched: 1,
    };
    assert_eq!(pair.a.metrics().rules[0], expected);
    check_accounting(&[&pair.a, &pair.b]);
}
