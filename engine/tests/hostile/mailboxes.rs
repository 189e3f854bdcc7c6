//! Mailbox ids that are given to another name.

use std::sync::atomic::Ordering;

use overlane::wire::{CloseReason, FrameKind, VersionRange};

use crate::honest::Honest;
use crate::stranger::{Stranger, good_frame, hello, letter};
use crate::support::{counting_handler, wait_until};

fn mailbox(id: u32, name: &str) -> Vec<u8> {
    good_frame(FrameKind::Mailbox, id, name.as_bytes())
}

#[test]
fn messages_go_to_the_mailbox_that_their_id_stood_for_when_they_were_sent() {
    let honest = Honest::start(|config| config);
    let (first, to_first) = counting_handler();
    let (second, to_second) = counting_handler();
    honest.target.handle("first", first).expect("a mailbox");
    honest.target.handle("second", second).expect("a mailbox");
    let message = || good_frame(FrameKind::Message, 0, b"hello");
    let mut stranger = Stranger::lane(honest.target.local_addr(), hello("alice"));
    let said = [
        letter("first", b"hello"),
        message(),
        mailbox(0, "second"),
        message(),
        mailbox(0, "nowhere"),
        mailbox(0, "first"),
        message(),
    ];
    stranger.say(&said.concat());
    let came = || {
        (
            to_first.load(Ordering::Relaxed),
            to_second.load(Ordering::Relaxed),
        )
    };
    wait_until("the messages", came, |came| *came == (3, 1));
    honest.finish();
}

#[test]
fn names_without_messages_are_a_flood() {
    let honest = Honest::start(|config| config.control_frames_per_second_max(100));
    // Each with a message: as many as one likes.
    let named = |number: u32| {
        let name = format!("in-{number}");
        [mailbox(0, &name), good_frame(FrameKind::Message, 0, b"x")].concat()
    };
    let mut stranger = Stranger::lane(honest.target.local_addr(), hello("alice"));
    stranger.say(&(0..5000).flat_map(named).collect::<Vec<_>>());
    stranger.say(&good_frame(FrameKind::Ping, 7, &[]));
    let pong = Some((FrameKind::Pong, 7, Vec::new()));
    while let frame @ Some(_) = stranger.next_frame() {
        if frame == pong {
            break;
        }
        let (kind, ..) = frame.expect("the lane is up");
        assert_eq!(kind, FrameKind::Ack);
    }

    let mut flooder = Stranger::lane(honest.target.local_addr(), hello("mallory"));
    let names = (0..5000).flat_map(|number| mailbox(0, &format!("in-{number}")));
    flooder.say(&names.collect::<Vec<_>>());
    flooder.ends();
    honest.closed("mallory", "data", CloseReason::ControlFlood, 1);
    honest.finish();
}

#[test]
fn a_lane_of_version_1_gives_each_id_once() {
    let honest = Honest::start(|config| config);
    let mut old = hello("mallory");
    old.versions = VersionRange::only(1);
    let mut stranger = Stranger::lane(honest.target.local_addr(), old);
    stranger.say(&[mailbox(0, "a"), mailbox(0, "b")].concat());
    stranger.ends();
    honest.closed("mallory", "data", CloseReason::BadMailbox, 1);
    honest.finish();
}
