//! Fragments that no node sends: each costs its sender the connection; a message that was begun and is not
//! completed costs nobody else anything.

use overlane::wire::fragment::FirstFragment;
use overlane::wire::{CloseReason, FrameKind};

use crate::honest::Honest;
use crate::stranger::{Stranger, good_frame, hello, letter};

/// The first fragment of a message of so many bytes, with the first `bytes` of it.
fn first(message_bytes: usize, is_extended: bool, bytes: usize) -> Vec<u8> {
    let first = FirstFragment {
        message_bytes: u32::try_from(message_bytes).expect("31 bits"),
        is_extended,
    };
    let mut body = first.encode().to_vec();
    body.resize(body.len() + bytes, 7);
    good_frame(FrameKind::FirstFragment, 0, &body)
}

fn rest(bytes: usize) -> Vec<u8> {
    good_frame(FrameKind::Fragment, 0, &vec![7; bytes])
}

#[test]
fn fragments_against_the_rules_end_the_lane() {
    let malformed = CloseReason::FrameMalformed;
    let wrong: [(&str, Vec<u8>, CloseReason); 8] = [
        ("of no message", rest(10), malformed),
        (
            "a second message before the first is complete",
            [first(100, false, 10), first(100, false, 10)].concat(),
            malformed,
        ),
        (
            "more than the message",
            [first(100, false, 10), rest(91)].concat(),
            malformed,
        ),
        (
            "one after the last",
            [first(100, false, 10), rest(90), rest(1)].concat(),
            malformed,
        ),
        ("of an empty message", first(0, false, 0), malformed),
        (
            "without a byte",
            good_frame(FrameKind::Fragment, 0, &[]),
            malformed,
        ),
        (
            "of a message that is too large, before it comes",
            first((1 << 20) + 1, false, 1),
            CloseReason::FrameTooLarge,
        ),
        (
            "of a message whose extension is none",
            [first(100, true, 10), rest(90)].concat(),
            malformed,
        ),
    ];
    let honest = Honest::start(|config| config);
    let mut counts = std::collections::BTreeMap::new();
    for (what, bytes, reason) in wrong {
        println!("{what}");
        let mut mallory = Stranger::lane(honest.target.local_addr(), hello("mallory"));
        mallory.say(&letter("x", b"good"));
        mallory.say(&bytes);
        mallory.ends();
        let count = counts.entry(reason.to_string()).or_insert(0);
        *count += 1;
        honest.closed("mallory", "data", reason, *count);
    }
    honest.finish();
}

#[test]
fn a_lane_that_has_no_fragments_takes_none() {
    let honest = Honest::start(|config| config);
    let mut without = hello("mallory");
    without.terms.fragments = false;
    let mut mallory = Stranger::lane(honest.target.local_addr(), without);
    mallory.say(&first(100, false, 10));
    mallory.ends();
    honest.closed("mallory", "data", CloseReason::UnknownFrame, 1);
    honest.finish();
}

#[test]
fn an_acknowledgement_of_fragments_that_were_not_sent_ends_the_lane() {
    let honest = Honest::start(|config| config);
    let mut mallory = Stranger::lane(honest.target.local_addr(), hello("mallory"));
    honest.up("mallory");
    mallory.say(&good_frame(FrameKind::FragmentAck, 1, &[]));
    mallory.ends();
    honest.closed("mallory", "data", CloseReason::BadAck, 1);
    honest.finish();
}

#[test]
fn a_message_that_is_never_completed_holds_nobody_up() {
    let honest = Honest::start(|config| config);
    let mut mallory = Stranger::lane(honest.target.local_addr(), hello("mallory"));
    honest.up("mallory");
    mallory.say(&first(1 << 20, false, 1000));
    // Her own lane goes on, and so does everybody else.
    for _ in 0..3 {
        mallory.say(&letter("x", b"small"));
        honest.goes_on();
        mallory.say(&rest(10));
    }
    drop(mallory);
    honest.finish();
}
