//! What a peer says of a lane's earlier connections.

use std::net::SocketAddr;

use overlane::config::Reliability;
use overlane::wire::endings::ENDINGS_RUNS_MAX;
use overlane::wire::{Ack, CloseReason, Endings, FrameKind, Hello, Parameter, Progress};

use overlane::{Node, Receipt, Reported};

use crate::honest::Honest;
use crate::stranger::{Stranger, encoded, hello, name};
use crate::support::accounting::counted;
use crate::support::{GENEROUS, drained, reliable, wait_until};

const SENT: u64 = 5;

fn guaranteed_hello(progress: Progress) -> Hello {
    let mut hello = hello("mallory");
    hello.terms.reliability = name("guaranteed");
    hello.progress = progress;
    hello
}

fn send_to_mallory(target: &Node) {
    let data = target.channel("data").expect("it is configured");
    let to = target.destination("mallory", "x").expect("names");
    for number in 0..SENT {
        data.try_send(&to, &[u8::try_from(number).expect("small")])
            .expect("the lane is up");
    }
}

/// Reads messages until that number has come.
fn reads_up_to(stranger: &mut Stranger, last: u64) -> Vec<u8> {
    let mut read = Vec::new();
    while read.last().copied() != u8::try_from(last).ok() {
        let (kind, _, body) = stranger.next_frame().expect("it is sent");
        if kind == FrameKind::Message {
            read.extend(body);
        }
    }
    read
}

/// What mallory says of itself, and of the target's log.
fn mine(peer_log: u64, processed: u64, refused: u64, endings: &str) -> Progress {
    Progress {
        log: 77,
        peer_log,
        processed,
        refused,
        endings: Endings::read(endings).expect("it can be read"),
    }
}

fn acknowledge(stranger: &mut Stranger, processed: u32) {
    let mut acks = Vec::new();
    let ack = Ack {
        processed,
        refused: 0,
        late: 0,
    };
    ack.append_to(&mut acks);
    stranger.say(&acks);
}

/// Mallory acknowledges the first message, and its lane ends.
fn acknowledges_one_and_goes(honest: &Honest, mut mallory: Stranger) {
    let lane = || honest.target.metrics();
    acknowledge(&mut mallory, 1);
    wait_until("one is acknowledged", lane, |metrics| {
        counted(metrics, "mallory", "data").acknowledged == 1
    });
    drop(mallory);
    wait_until("the lane has ended", lane, |metrics| {
        counted(metrics, "mallory", "data").lanes_up == 0
    });
}

#[test]
fn a_peer_that_has_processed_more_than_was_sent_is_refused_and_nothing_is_lost() {
    let channels = vec![reliable("data").reliability(Reliability::Guaranteed)];
    let honest = Honest::with(channels, |config| config);
    let address = honest.target.local_addr();
    let mine = |peer_log, processed| mine(peer_log, processed, 0, "");
    let (mut first, theirs) = Stranger::lane_and_progress(address, guaranteed_hello(mine(0, 0)));
    assert_ne!(theirs.log, 0, "the node keeps a log");
    assert_eq!((theirs.peer_log, theirs.processed), (0, 0));
    honest.up("mallory");
    send_to_mallory(&honest.target);
    assert_eq!(reads_up_to(&mut first, SENT - 1), [0, 1, 2, 3, 4]);
    acknowledges_one_and_goes(&honest, first);
    let forged = [SENT + 1, 1 << 32, u64::MAX];
    for processed in forged {
        let mut stranger = Stranger::connect(address);
        let hello = guaranteed_hello(mine(theirs.log, processed));
        assert_eq!(
            stranger.refused_after(&encoded(&hello)),
            CloseReason::BadResume
        );
    }
    honest.refused(CloseReason::BadResume, forged.len() as u64);
    // One that says how far it is gets the rest, and that alone.
    let hello = guaranteed_hello(mine(theirs.log, 3));
    let (mut last, again) = Stranger::lane_and_progress(address, hello);
    assert_eq!(again.log, theirs.log);
    assert_eq!(reads_up_to(&mut last, SENT - 1), [3, 4]);
    acknowledge(&mut last, 2);
    let metrics = drained(&honest.target);
    let out = counted(&metrics, "mallory", "data");
    assert_eq!((out.accepted, out.acknowledged), (SENT, SENT), "{out:#?}");
    honest.finish();
}

/// Mallory gets five messages with receipts, acknowledges the first, and is cut off. Returns the number of the target's log.
fn five_with_receipts(honest: &Honest) -> (SocketAddr, u64, Vec<Receipt>) {
    let address = honest.target.local_addr();
    let (mut first, theirs) =
        Stranger::lane_and_progress(address, guaranteed_hello(mine(0, 0, 0, "")));
    honest.up("mallory");
    let data = honest.target.channel("data").expect("it is configured");
    let to = honest.target.destination("mallory", "x").expect("names");
    let receipts: Vec<_> = (0..SENT)
        .map(|number| {
            let payload = [u8::try_from(number).expect("small")];
            data.try_send_with_receipt(&to, &payload).expect("room")
        })
        .collect();
    let mut came = 0;
    while came < SENT {
        let (kind, ..) = first.next_frame().expect("it is sent");
        came += u64::from(kind == FrameKind::Message);
    }
    acknowledges_one_and_goes(honest, first);
    (address, theirs.log, receipts)
}

/// The same Hello with that value of `endings`, whatever it is.
fn with_value(mut hello: Hello, endings: &str) -> Hello {
    let stated = Parameter {
        name: name("endings"),
        mandatory: false,
        value: name(endings),
    };
    hello.unknown.insert(stated).expect("there is room");
    hello
}

/// The same Hello with its first parameter behind the one called `endings` replaced by that one once more.
fn stated_twice(hello: &Hello) -> Vec<u8> {
    let bytes = encoded(hello);
    let at = |text: &[u8]| {
        let mut windows = bytes.windows(text.len());
        windows
            .position(|window| window == text)
            .expect("it is there")
    };
    let (first, next) = (at(b"\x07endings"), at(b"\x09fragments"));
    let mut twice = bytes[..next].to_vec();
    twice.extend_from_slice(&bytes[first..]);
    let count = at(b"\x0ebody_bytes_max") - 1;
    twice[count] += 1;
    let body_bytes = u16::try_from(twice.len() - 8).expect("it is short");
    twice[6..8].copy_from_slice(&body_bytes.to_le_bytes());
    twice
}

#[test]
fn a_peer_that_tells_apart_what_cannot_be_is_refused_and_nothing_is_lost() {
    let channels = vec![reliable("data").reliability(Reliability::Guaranteed)];
    let honest = Honest::with(channels, |config| config);
    let (address, log, receipts) = five_with_receipts(&honest);
    let too_long = "d1r1".repeat(ENDINGS_RUNS_MAX / 2) + "d1";
    let three = |endings| guaranteed_hello(mine(log, 3, 1, endings));
    let malformed = [
        encoded(&with_value(three(""), &too_long)),
        encoded(&with_value(three(""), "d1d1r1")),
        encoded(&with_value(three(""), "d0r1")),
        encoded(&with_value(three(""), "d18446744073709551615r2")),
        encoded(&with_value(three(""), "everything")),
        // More than were processed, more refused than it counts, fewer.
        encoded(&three("d3r1")),
        encoded(&three("d1r2")),
        encoded(&three("d3")),
        stated_twice(&three("d2r1")),
    ];
    for hello in &malformed {
        let reason = Stranger::connect(address).refused_after(hello);
        assert_eq!(reason, CloseReason::HandshakeMalformed);
    }
    honest.refused(CloseReason::HandshakeMalformed, malformed.len() as u64);
    // The first was acknowledged as delivered, and now is the one that it refused.
    let reason = Stranger::connect(address).refused_after(&encoded(&three("r1d2")));
    assert_eq!(reason, CloseReason::BadResume);
    honest.refused(CloseReason::BadResume, 1);
    // What can be true is taken: each message ends as it says.
    let hello = guaranteed_hello(mine(log, SENT, 2, "d2r1l1d1"));
    let (last, again) = Stranger::lane_and_progress(address, hello);
    assert_eq!(again.log, log);
    let ended: Vec<_> = receipts
        .into_iter()
        .map(|mut receipt| receipt.wait(GENEROUS).expect("it ends"))
        .collect();
    assert!(
        matches!(
            ended[..],
            [
                Ok(()),
                Ok(()),
                Err(Reported::Refused),
                Err(Reported::Undelivered { .. }),
                Ok(()),
            ]
        ),
        "{ended:?}"
    );
    let metrics = drained(&honest.target);
    let out = counted(&metrics, "mallory", "data");
    assert_eq!((out.acknowledged, out.reported), (3, 2), "{out:#?}");
    assert_eq!((out.refused, out.refused_late), (2, 1));
    drop(last);
    honest.finish();
}
