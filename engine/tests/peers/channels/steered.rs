//! Rules, hints and caps on channels that come and go.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use overlane::config::{ChannelConfig, Place, Priority, Reliability, Rule};
use overlane::{Attributes, Envelope, Inbox, Node, RateCaps, SendError};

use crate::channels::{LONG, channel, pair};
use crate::support::accounting::check_accounting;
use crate::support::{GENEROUS, config, connect_both, start, wait_until};

fn rule(text: &str) -> Rule {
    Rule::read(text, &Place::Code).expect("a rule")
}

/// Adds the same channel to both.
fn add(nodes: [&Node; 2], of: &ChannelConfig) {
    for node in nodes {
        node.add_channel(of.clone()).expect("there is room");
    }
}

fn came_on(inbox: &mut Inbox) -> String {
    let message = inbox.recv_timeout(GENEROUS).expect("it comes");
    message.channel().to_owned()
}

/// Two nodes of two shards with channel `base`, and an inbox on the second.
fn pair_with_inbox() -> (Node, Node, Inbox) {
    let node = |name| start(config(name).shards(2).channel(ChannelConfig::new("base")));
    let (a, b) = (node("a"), node("b"));
    let inbox = b.inbox("in").expect("free");
    connect_both(&a, &b);
    (a, b, inbox)
}

#[test]
fn caps_of_an_added_channel_are_kept_to_and_retuned() {
    let (a, b, count) = pair();
    let capped = channel("extra", Reliability::Reliable).rate_messages_max(100_u64);
    add([&a, &b], &capped);
    let extra = a.channel("extra").expect("it was added");
    assert_eq!(extra.rate_caps().messages_max, 100);
    let to = a.destination("b", "in").expect("names");
    let began = Instant::now();
    for _ in 0..40 {
        extra.try_send(&to, "x").expect("there is room");
    }
    wait_until(
        "all has come at the rate",
        || {
            let came = count.load(Ordering::Relaxed);
            let most = 10.0 + began.elapsed().as_secs_f64() * 100.0;
            #[expect(clippy::cast_precision_loss, reason = "at most 40")]
            let within = came as f64 <= most;
            assert!(within, "{came} came where {most} may have gone");
            came
        },
        |came| *came == 40,
    );
    // So slow that nothing of what comes now would go before the test gives up.
    let slow = RateCaps {
        messages_max: 1,
        ..RateCaps::default()
    };
    extra.set_rate_caps(slow);
    a.retune_channel("extra", |config| config.priority(Priority::HIGH))
        .expect("it can be retuned");
    assert_eq!(extra.rate_caps(), slow, "another parameter was retuned");
    for _ in 0..2_000 {
        extra.try_send(&to, "x").expect("there is room");
    }
    a.retune_channel("extra", |config| config.rate_messages_max(0_u64))
        .expect("it can be retuned");
    assert_eq!(extra.rate_caps(), RateCaps::default());
    wait_until(
        "what waited goes without a cap",
        || count.load(Ordering::Relaxed),
        |came| *came == 2_040,
    );
    check_accounting(&[&a, &b]);
}

#[test]
fn a_rule_chooses_a_channel_that_was_added() {
    let (a, b, mut inbox) = pair_with_inbox();
    let to = a.destination("b", "in").expect("names");
    let rules = [rule("extra"), rule("extra:named=base,message_type=vote")];
    let error = a.set_rules(&rules).expect_err("there is no such channel");
    assert!(error.to_string().contains("take one of base"), "{error}");
    add([&a, &b], &channel("extra", Reliability::Reliable));
    a.set_rules(&rules).expect("there is by now");
    a.try_send(&to, "x").expect("accepted");
    assert_eq!(came_on(&mut inbox), "extra");
    let base = a.channel("base").expect("it is configured");
    let vote = Envelope::new("yes").message_type("vote");
    base.try_send(&to, vote).expect("accepted");
    assert_eq!(came_on(&mut inbox), "extra");
    base.try_send(&to, "no vote").expect("accepted");
    assert_eq!(came_on(&mut inbox), "base");
    check_accounting(&[&a, &b]);
}

#[test]
fn messages_of_a_rule_that_names_a_removed_channel_are_refused_until_it_is_there_again() {
    let (a, b, mut inbox) = pair_with_inbox();
    let to = a.destination("b", "in").expect("names");
    let router = a.router();
    let other = channel("other", Reliability::Reliable);
    add([&a, &b], &other);
    add([&a, &b], &channel("extra", Reliability::Reliable));
    a.set_rules(&[rule("extra"), rule("base:named=other")])
        .expect("right");
    router.try_send(&to, "x").expect("accepted");
    assert_eq!(came_on(&mut inbox), "extra");
    let old = a.channel("other").expect("it was added");
    old.try_send(&to, "x").expect("accepted");
    assert_eq!(came_on(&mut inbox), "base");

    for name in ["extra", "other"] {
        for node in [&a, &b] {
            node.remove_channel(name, LONG).expect("it is there");
        }
    }
    // Another one takes the place in the table, and nothing of theirs.
    add([&a, &b], &channel("new", Reliability::Reliable));
    assert_eq!(router.try_send(&to, "x"), Err(SendError::ChannelRemoved));
    assert_eq!(a.send_blocking(&to, "x"), Err(SendError::ChannelRemoved));
    assert_eq!(old.try_send(&to, "x"), Err(SendError::ChannelRemoved));
    let error = a.set_rules(&[rule("extra")]).expect_err("it is gone");
    assert!(
        error.to_string().contains("take one of base, new"),
        "{error}"
    );

    add([&a, &b], &channel("extra", Reliability::AtLeastOnce));
    add([&a, &b], &other);
    router.try_send(&to, "x").expect("accepted again");
    assert_eq!(came_on(&mut inbox), "extra");
    let again = a.channel("other").expect("it was added");
    again.try_send(&to, "x").expect("accepted");
    assert_eq!(came_on(&mut inbox), "base");
    assert_eq!(old.try_send(&to, "x"), Err(SendError::ChannelRemoved));
    let matched: Vec<_> = a.metrics().rules.iter().map(|rule| rule.matched).collect();
    assert_eq!(matched, [4, 2], "counted on, refused messages too");
    check_accounting(&[&a, &b]);
}

#[test]
fn hints_follow_the_channels_that_there_are() {
    let (a, b, mut inbox) = pair_with_inbox();
    let to = a.destination("b", "in").expect("names");
    let base = a.channel("base").expect("it is configured");
    let urgent = Envelope::with("x", Attributes::new().priority(Priority::HIGH));
    let with_hints = |config: ChannelConfig| config.hints(vec!["fast".to_owned()]);
    let error = a.retune_channel("base", with_hints);
    let error = error.expect_err("there is no such channel");
    assert!(error.to_string().contains("take one of base"), "{error}");
    let fast = channel("fast", Reliability::Reliable).priority(Priority::HIGH);
    add([&a, &b], &fast);
    a.retune_channel("base", with_hints).expect("there is");
    base.try_send(&to, urgent).expect("accepted");
    assert_eq!(came_on(&mut inbox), "fast");
    a.retune_channel("fast", |config| config.priority(6))
        .expect("it can be retuned");
    let refused = |error: &SendError| matches!(error, SendError::NoSuchHint { .. });
    assert!(
        base.try_send(&to, urgent)
            .is_err_and(|error| refused(&error))
    );
    a.retune_channel("base", |config| config.priority(Priority::HIGH))
        .expect("it can be retuned");
    base.try_send(&to, urgent).expect("it is like that itself");
    assert_eq!(came_on(&mut inbox), "base");
    a.remove_channel("fast", LONG).expect("it is there");
    let slow = Envelope::with("x", Attributes::new().priority(6));
    assert!(base.try_send(&to, slow).is_err_and(|error| refused(&error)));
    a.retune_channel("base", |config| config.floor_bytes(5_usize))
        .expect("hints that stay are not looked at");
    check_accounting(&[&a, &b]);
}

#[test]
fn a_channel_that_is_removed_reports_what_its_cap_has_kept() {
    let (a, b, count) = pair();
    let capped = channel("extra", Reliability::Reliable).rate_messages_max(10_u64);
    add([&a, &b], &capped);
    let extra = a.channel("extra").expect("it was added");
    let to = a.destination("b", "in").expect("names");
    for _ in 0..2_000 {
        extra.try_send(&to, "x").expect("there is room");
    }
    let deadline = Duration::from_millis(300);
    let removed = a.remove_channel("extra", deadline).expect("it is there");
    let came = count.load(Ordering::Relaxed);
    assert!(came < 2_000, "all {came} have come in spite of the cap");
    assert!(removed.reported >= 2_000 - came, "{removed:?}, {came} came");
    check_accounting(&[&a, &b]);
}
