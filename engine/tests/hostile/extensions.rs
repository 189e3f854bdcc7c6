//! Frames with extensions: what is delivered, and what ends the lane.

use std::sync::atomic::Ordering;

use overlane::wire::extension::{EXTENSION_BYTES_MAX, EXTENSION_ENTRIES_MAX};
use overlane::wire::{CloseReason, VersionRange};

use crate::frames::assert_closed;
use crate::honest::Honest;
use crate::stranger::{Stranger, frame, hello, letter};
use crate::support::{best_effort, counting_handler, reliable, wait_until};

const EXTENDED_MESSAGE: u8 = 0x41;
const LIMIT: u32 = 1 << 20;

fn entry(entry_type: u8, value: &[u8]) -> Vec<u8> {
    let length = u16::try_from(value.len()).expect("short").to_le_bytes();
    [&[entry_type], &length[..], value].concat()
}

fn deadline() -> Vec<u8> {
    entry(0x81, &[250, 0, 0, 0])
}

/// A message to mailbox 0 with such an extension; its lengths are true.
fn message(entries: &[u8], payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(entries.len()).expect("short").to_le_bytes();
    let body = [&length, entries, payload].concat();
    let stated = u32::try_from(body.len()).expect("short");
    frame(EXTENDED_MESSAGE, stated, 0, &body)
}

#[test]
fn messages_with_an_extension_are_delivered() {
    let honest = Honest::start(|config| config);
    let (handler, count) = counting_handler();
    honest.target.handle("in", handler).expect("a mailbox");
    let mut stranger = Stranger::lane(honest.target.local_addr(), hello("alice"));
    let largest = vec![7; usize::try_from(LIMIT).expect("small")];
    for bytes in [
        letter("in", b"without"),
        message(&deadline(), b"with one"),
        message(&entry(0xf0, b"of a later version"), b"unknown and optional"),
        message(
            &entry(0x83, &[&b"\x01k"[..], &[0; 2043]].concat()),
            &largest,
        ),
    ] {
        stranger.say(&bytes);
    }
    let came = || count.load(Ordering::Relaxed);
    wait_until("the messages", came, |came| *came == 4);
    honest.finish();
}

#[test]
fn an_extension_over_its_limits_is_closed_before_its_body() {
    let honest = Honest::start(|config| config);
    let block = |bytes: usize| u16::try_from(bytes).expect("short").to_le_bytes();
    let over_limit = block(EXTENSION_BYTES_MAX + 1);
    let both_max = LIMIT + 2 + u32::try_from(EXTENSION_BYTES_MAX).expect("short");
    // Headers, and the length of the extension: the rest is not waited for.
    let too_large = [
        (
            "the extension",
            frame(EXTENDED_MESSAGE, 1 << 16, 0, &over_limit),
        ),
        (
            "the payload",
            frame(EXTENDED_MESSAGE, 2 + 7 + LIMIT + 1, 0, &block(7)),
        ),
        (
            "both together",
            frame(EXTENDED_MESSAGE, both_max + 1, 0, &[]),
        ),
    ];
    assert_closed(&honest, CloseReason::FrameTooLarge, &too_large);
    honest.finish();
}

#[test]
fn an_extension_that_cannot_be_is_closed() {
    let honest = Honest::start(|config| config);
    let metadata = entry(0x83, b"\x01k");
    let malformed = [
        ("the flag alone", frame(EXTENDED_MESSAGE, 0, 0, &[])),
        ("no entries", message(&[], b"x")),
        (
            "longer than the frame",
            frame(EXTENDED_MESSAGE, 3, 0, &[2, 0]),
        ),
        ("half an entry", message(&deadline()[..4], b"")),
        ("twice", message(&deadline().repeat(2), b"")),
        (
            "out of order",
            message(&[metadata.clone(), deadline()].concat(), b""),
        ),
        (
            "too many",
            message(&metadata.repeat(EXTENSION_ENTRIES_MAX + 1), b""),
        ),
        ("a control character", message(&entry(0x82, b"a\nb"), b"")),
        (
            "an ack of 3 bytes",
            frame(0x43, 12, 0, &[&[7, 0], &deadline()[..], b"abc"].concat()),
        ),
    ];
    assert_closed(&honest, CloseReason::FrameMalformed, &malformed);
    honest.finish();
}

#[test]
fn a_mandatory_entry_that_is_not_known_is_closed() {
    let honest = Honest::start(|config| config);
    let unknown = [
        ("the first free type", message(&entry(0x02, b"x"), b"")),
        ("zeros", message(&[0; 12], b"")),
    ];
    assert_closed(&honest, CloseReason::UnknownExtension, &unknown);
    honest.finish();
}

#[test]
fn a_lane_of_version_1_has_no_extensions() {
    let honest = Honest::start(|config| config);
    let mut old = hello("mallory");
    old.versions = VersionRange::only(1);
    let mut stranger = Stranger::lane(honest.target.local_addr(), old);
    stranger.say(&letter("in", b"first"));
    stranger.say(&message(&deadline(), b"x"));
    stranger.ends();
    honest.closed("mallory", "data", CloseReason::UnknownFrame, 1);
    honest.finish();
}

/// Each is answered by as much, and nobody reads or acknowledges the answers.
#[test]
fn refusals_of_requests_to_a_peer_that_does_not_read_are_bounded() {
    const REQUESTS: u64 = 2000;
    const QUEUE: usize = 100;
    let data = reliable("data").queue_messages_max(QUEUE);
    let channels = vec![
        data.unacknowledged_bytes_max(4096_usize),
        best_effort("gossip"),
    ];
    let honest = Honest::with(channels, |config| config);
    let mut mallory = Stranger::lane(honest.target.local_addr(), hello("mallory"));
    let mut said = letter("nowhere", b"first");
    for id in 0..REQUESTS {
        let request = entry(0x01, &[&id.to_le_bytes()[..], &[0]].concat());
        said.extend(message(&request, b"well?"));
    }
    mallory.say(&said);
    let counted = || {
        let metrics = honest.target.metrics();
        metrics.channel("mallory", "data").cloned()
    };
    let out = wait_until("all are read", counted, |lane| {
        lane.as_ref()
            .is_some_and(|lane| lane.bytes_received >= said.len() as u64)
    });
    let out = out.expect("it was used");
    assert!(
        out.queued <= QUEUE as u64 && out.accepted < REQUESTS / 2,
        "{out:#?}"
    );
    assert!(out.closes.is_empty(), "{out:#?}");
    honest.goes_on();
    honest.finish();
}
