//! Causes that no node says: what they cost whoever says them, and that nobody else notices.

use overlane::config::{Ordering, Reliability};
use overlane::wire::causes::{Cause, encode_causes, node_number};
use overlane::wire::{CloseReason, FrameKind, Hello, Name};

use crate::honest::Honest;
use crate::stranger::{Stranger, frame, good_frame, hello};
use crate::support::{reliable, wait_until};

const HELD_MAX: usize = 100;

fn honest() -> Honest {
    let channel = reliable("causal")
        .reliability(Reliability::Guaranteed)
        .ordering(Ordering::Causal)
        .hold_back_messages_max(HELD_MAX);
    Honest::start(move |config| config.channel(channel.clone()))
}

fn causal_hello(node: &str) -> Hello {
    let mut hello = hello(node);
    hello.channel = Name::new("causal").expect("a name");
    hello.terms.reliability = Name::new("guaranteed").expect("a name");
    hello.terms.ordering = Name::new("causal").expect("a name");
    hello
}

/// A message to mailbox 0 with such causes.
fn message(causes: &[u8]) -> Vec<u8> {
    let length = |bytes: usize| u16::try_from(bytes).expect("short").to_le_bytes();
    let entry = [&[0x8a], &length(causes.len())[..], causes].concat();
    let body = [&length(entry.len())[..], &entry, b"held"].concat();
    frame(0x41, u32::try_from(body.len()).expect("short"), 0, &body)
}

#[test]
fn causes_that_cannot_be_end_the_lane() {
    let honest = honest();
    let wrong: [(&str, Vec<u8>); 6] = [
        ("of no message", message(&[0; 8])),
        ("without a number", message(&[1; 7])),
        (
            "a group without needs",
            message(&[&[1; 8][..], &[0; 17]].concat()),
        ),
        (
            "half a need",
            message(&[&[1; 8][..], &[1; 17], &[0; 15]].concat()),
        ),
        (
            "half of what is told",
            good_frame(FrameKind::Settled, 0, &[0; 23]),
        ),
        ("nothing asked", good_frame(FrameKind::AskSettled, 0, &[])),
    ];
    for (count, (what, bytes)) in (1..).zip(wrong) {
        println!("{what}");
        let mut mallory = Stranger::lane(honest.target.local_addr(), causal_hello("mallory"));
        mallory.say(&bytes);
        mallory.ends();
        honest.closed("mallory", "causal", CloseReason::FrameMalformed, count);
    }
    honest.finish();
}

#[test]
fn whoever_follows_what_nobody_sent_holds_so_much_and_no_more() {
    let honest = honest();
    let target = node_number(honest.target.name());
    let mut mallory = Stranger::lane(honest.target.local_addr(), causal_hello("mallory"));
    mallory.say(&good_frame(FrameKind::Mailbox, 0, b"in"));
    for number in 1..=2 * u64::try_from(HELD_MAX).expect("small") {
        let nobody = Cause {
            sender: 1,
            incarnation: 1,
            to: target,
            count: u64::MAX,
        };
        let causes = encode_causes(number, [nobody]).expect("it fits");
        mallory.say(&message(&causes));
    }
    let held = || {
        let metrics = honest.target.metrics();
        metrics
            .channel("mallory", "causal")
            .map_or(0, |lane| lane.held_back)
    };
    wait_until("as many are held as may be", held, |held| {
        *held == HELD_MAX as u64
    });
    honest.finish();
}
