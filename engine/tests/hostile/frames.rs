//! Lanes that are up and say what no honest peer says.

use std::sync::atomic::Ordering;

use overlane::SendError;
use overlane::wire::{Ack, CloseReason, FrameKind};

use crate::honest::Honest;
use crate::stranger::{Stranger, frame, good_frame, gossip_hello, hello, letter};
use crate::support::{counting_handler, wait_until};

const MESSAGE: u8 = 1;
const MAILBOX: u8 = 2;
const ACK: u8 = 3;
const BYE: u8 = 4;
const PING: u8 = 5;
const PONG: u8 = 6;

const LIMIT: u32 = 1 << 20;
const LENGTH_MAX: u32 = (1 << 24) - 1;

/// Says each of `bytes` on a lane of its own, which ends for that reason.
pub(crate) fn assert_closed(honest: &Honest, reason: CloseReason, sayings: &[(&str, Vec<u8>)]) {
    let address = honest.target.local_addr();
    for (number, (what, bytes)) in sayings.iter().enumerate() {
        println!("{reason}: {what}");
        let mut stranger = Stranger::lane(address, hello("mallory"));
        stranger.say(bytes);
        stranger.ends();
        let count = u64::try_from(number).expect("a few") + 1;
        honest.closed("mallory", "data", reason, count);
    }
    honest.goes_on();
}

fn mailbox(id: u32, name: &[u8]) -> Vec<u8> {
    frame(MAILBOX, u32::try_from(name.len()).expect("short"), id, name)
}

#[test]
fn a_frame_over_the_limit_is_closed_before_its_body() {
    let honest = Honest::start(|config| config);
    // Headers alone. The last one is a word of 2^32 - 1: an optional frame of 16 MiB.
    let too_large = [
        ("one byte too many", frame(MESSAGE, LIMIT + 1, 0, &[])),
        (
            "all that a header can state",
            frame(MESSAGE, LENGTH_MAX, 0, &[]),
        ),
        ("an optional frame", frame(0x80, 4097, 0, &[])),
        ("a word of all ones", frame(0xff, LENGTH_MAX, u32::MAX, &[])),
    ];
    assert_closed(&honest, CloseReason::FrameTooLarge, &too_large);
    honest.finish();
}

#[test]
fn frames_of_the_least_and_the_largest_length_are_delivered() {
    let honest = Honest::start(|config| config);
    let mut inbox = honest.target.inbox_of("in", 4 << 20).expect("a mailbox");
    let mut stranger = Stranger::lane(honest.target.local_addr(), hello("alice"));
    stranger.say(&letter("in", &[]));
    let largest = vec![7; usize::try_from(LIMIT).expect("small")];
    stranger.say(&good_frame(FrameKind::Message, 0, &largest));
    stranger.say(&frame(0xff, 4096, u32::MAX, &[0; 4096]));
    stranger.say(&good_frame(FrameKind::Message, 0, b"last"));
    for expected in [&b""[..], &largest, b"last"] {
        let message = inbox
            .recv_timeout(crate::support::GENEROUS)
            .expect("it comes");
        assert!(
            message.payload() == expected,
            "{} bytes came",
            message.payload().len()
        );
    }
    honest.finish();
}

#[test]
fn a_frame_that_cannot_be_is_closed_by_its_header() {
    let honest = Honest::start(|config| config);
    let malformed = [
        ("a mailbox without a name", frame(MAILBOX, 0, 0, &[])),
        ("a name of 256 bytes", frame(MAILBOX, 256, 0, &[])),
        ("an ack of 1 byte", frame(ACK, 1, 0, &[])),
        ("an ack of 16 MiB", frame(ACK, LENGTH_MAX, 0, &[])),
        ("a bye with a body", frame(BYE, 1, 3, &[])),
        ("a ping with a body", frame(PING, 4, 3, &[])),
        ("a pong with a body", frame(PONG, LENGTH_MAX, 3, &[])),
    ];
    assert_closed(&honest, CloseReason::FrameMalformed, &malformed);
    honest.finish();
}

#[test]
fn a_frame_of_an_unknown_mandatory_kind_is_closed() {
    let honest = Honest::start(|config| config);
    let free = (1..).find(|kind| FrameKind::from_code(*kind).is_none());
    let unknown = [
        ("zeros", vec![0; 64]),
        (
            "the first free kind",
            frame(free.expect("there are some"), 0, 0, &[]),
        ),
        ("the last mandatory kind", frame(0x7f, LENGTH_MAX, 0, &[])),
    ];
    assert_closed(&honest, CloseReason::UnknownFrame, &unknown);
    honest.finish();
}

#[test]
fn a_mailbox_against_the_rules_is_closed() {
    let honest = Honest::start(|config| config);
    let bad = [
        ("not from 0 on", mailbox(1, b"in")),
        ("the last id there is", mailbox(u32::MAX, b"in")),
        (
            "again, with a bad name",
            [mailbox(0, b"in"), mailbox(0, b"a\nb")].concat(),
        ),
        ("a hole", [mailbox(0, b"in"), mailbox(2, b"out")].concat()),
        ("not UTF-8", mailbox(0, b"\xff\xfe")),
        ("a control character", mailbox(0, b"a\nb")),
        (
            "a message before",
            good_frame(FrameKind::Message, 0, b"to nobody"),
        ),
        (
            "a message for the next",
            [mailbox(0, b"in"), frame(MESSAGE, 0, 1, &[])].concat(),
        ),
        (
            "a message for the last id there is",
            frame(MESSAGE, 0, u32::MAX, &[]),
        ),
    ];
    assert_closed(&honest, CloseReason::BadMailbox, &bad);
    honest.finish();
}

#[test]
fn a_mailbox_too_many_is_closed() {
    let honest = Honest::start(|config| config.mailboxes_per_lane_max(3));
    let announced = |count: u32| {
        (0..count)
            .flat_map(|id| mailbox(id, b"in"))
            .collect::<Vec<_>>()
    };
    assert_closed(
        &honest,
        CloseReason::BadMailbox,
        &[("a fourth", announced(4))],
    );
    let mut stranger = Stranger::lane(honest.target.local_addr(), hello("alice"));
    stranger.say(&[announced(3), good_frame(FrameKind::Ping, 5, &[])].concat());
    assert_eq!(
        stranger.next_frame(),
        Some((FrameKind::Pong, 5, Vec::new()))
    );
    honest.finish();
}

#[test]
fn an_ack_of_what_was_never_sent_is_closed() {
    let honest = Honest::start(|config| config);
    let ack = |processed, refused| {
        let mut bytes = Vec::new();
        Ack {
            processed,
            refused,
            late: 0,
        }
        .append_to(&mut bytes);
        bytes
    };
    let bad = [
        ("one message", ack(1, 0)),
        ("all there can be", ack(u32::MAX, 0)),
        ("half of all there can be", ack(1 << 31, 0)),
        ("a refusal of none", ack(0, 1)),
        ("all refused", ack(0, u32::MAX)),
    ];
    assert_closed(&honest, CloseReason::BadAck, &bad);
    // On a best-effort channel there is nothing to acknowledge.
    let mut stranger = Stranger::lane(honest.target.local_addr(), gossip_hello("mallory"));
    stranger.say(&ack(0, 0));
    stranger.ends();
    honest.closed("mallory", "gossip", CloseReason::BadAck, 1);
    honest.finish();
}

#[test]
fn acks_of_what_was_sent_are_taken_and_the_books_stay_exact() {
    let honest = Honest::start(|config| config);
    let mut stranger = Stranger::lane(honest.target.local_addr(), hello("alice"));
    let channel = honest.target.channel("data").expect("it is configured");
    honest.up("alice");
    let to = honest.target.destination("alice", "in").expect("names");
    for _ in 0..10 {
        channel.try_send(&to, b"hello").expect("there is room");
    }
    let mut came = 0;
    while came < 10 {
        came += u32::from(stranger.next_frame().expect("a frame").0 == FrameKind::Message);
    }
    let settled = || {
        let metrics = honest.target.metrics();
        let lane = metrics.channel("alice", "data").expect("it is up").clone();
        assert!(lane.identity_holds(), "{lane:#?}");
        (lane.acknowledged, lane.reported, lane.in_flight)
    };
    let mut bytes = Vec::new();
    Ack {
        processed: 4,
        refused: 1,
        late: 0,
    }
    .append_to(&mut bytes);
    stranger.say(&bytes);
    wait_until("the ack", settled, |settled| *settled == (3, 1, 6));
    // Behind an earlier one: the difference is 2^32 - 1 messages.
    bytes.clear();
    Ack {
        processed: 3,
        refused: 0,
        late: 0,
    }
    .append_to(&mut bytes);
    stranger.say(&bytes);
    stranger.ends();
    honest.closed("alice", "data", CloseReason::BadAck, 1);
    assert_eq!(settled(), (3, 7, 0));
    honest.finish();
}

#[test]
fn a_message_after_the_goodbye_is_closed() {
    let honest = Honest::start(|config| config);
    let (handler, count) = counting_handler();
    honest.target.handle("in", handler).expect("a mailbox");
    let bye = frame(BYE, 0, 3, &[]);
    let all = [letter("in", b"before"), bye, frame(MESSAGE, 0, 0, &[])].concat();
    assert_closed(&honest, CloseReason::AfterBye, &[("in one piece", all)]);
    assert_eq!(
        count.load(Ordering::Relaxed),
        1,
        "the message after it is not delivered"
    );
    honest.finish();
}

#[test]
fn a_goodbye_is_answered_and_both_sides_close() {
    let honest = Honest::start(|config| config);
    for (word, reason) in [
        (3, CloseReason::PeerStopped),
        (0, CloseReason::Unrecognised),
        (u32::MAX, CloseReason::Unrecognised),
    ] {
        let mut stranger = Stranger::lane(honest.target.local_addr(), hello(&format!("a{word}")));
        stranger.say(&frame(BYE, 0, word, &[]));
        let (kind, ..) = stranger.next_frame().expect("an answer");
        assert_eq!(kind, FrameKind::Bye);
        stranger.ends();
        honest.closed(&format!("a{word}"), "data", reason, 1);
    }
    honest.finish();
}

#[test]
fn frames_cut_off_anywhere_are_delivered_as_far_as_they_are_whole() {
    let honest = Honest::start(|config| config);
    let (handler, count) = counting_handler();
    honest.target.handle("in", handler).expect("a mailbox");
    let mut bytes = letter("in", b"one");
    let first_ends = bytes.len();
    bytes.extend(good_frame(FrameKind::Message, 0, b"two!"));
    let mut expected = 0;
    for cut in 0..=bytes.len() {
        let mut stranger = Stranger::lane(honest.target.local_addr(), hello("alice"));
        stranger.say(&bytes[..cut]);
        stranger.fall_silent();
        stranger.ends();
        expected += u64::from(cut >= first_ends) + u64::from(cut == bytes.len());
        honest.closed("alice", "data", CloseReason::PeerClosed, cut as u64 + 1);
        assert_eq!(
            count.load(Ordering::Relaxed),
            expected,
            "cut off after {cut} bytes"
        );
    }
    honest.finish();
}

#[test]
fn random_bytes_end_their_own_lane() {
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let honest = Honest::start(|config| config);
    let lanes = 100;
    for _ in 0..lanes {
        let mut stranger = Stranger::lane(honest.target.local_addr(), hello("mallory"));
        let mut bytes = vec![0; random.usize(8..20_000)];
        random.fill(&mut bytes);
        stranger.say(&bytes);
        stranger.fall_silent();
        stranger.ends();
    }
    let closes = || {
        let metrics = honest.target.metrics();
        let lane = metrics.channel("mallory", "data").expect("it was up");
        lane.closes.values().sum::<u64>()
    };
    wait_until("the end of all", closes, |closes| *closes == lanes);
    honest.finish();
}

#[test]
fn a_payload_over_the_limit_is_refused_to_the_sender() {
    let honest = Honest::start(|config| config);
    let channel = honest.target.channel("data").expect("it is configured");
    let to = honest.target.destination("friend", "back").expect("names");
    let bytes_max = channel.message_bytes_max();
    for bytes in [bytes_max + 1, 1 << 24, 1 << 25] {
        let refused = Err(SendError::TooLarge { bytes, bytes_max });
        let payload = vec![0; bytes];
        assert_eq!(channel.try_send(&to, &payload), refused);
        assert_eq!(channel.send_blocking(&to, &payload), refused);
        let to_itself = honest.target.destination("target", "echo").expect("names");
        assert_eq!(channel.try_send(&to_itself, &payload), refused);
    }
    honest.finish();
}
