//! Streams of a peer that keeps no rules: what it makes the node hold is bounded, and whatever no well-behaved
//! peer says ends the lane.

use std::thread;

use overlane::config;
use overlane::wire::stream::{CancelReason, STREAMS, Side, Word, data_mailbox};
use overlane::wire::{CloseReason, FrameKind};
use overlane::{StreamError, StreamReader, Streams};

use crate::honest::Honest;
use crate::stranger::{Stranger, good_frame, hello, name};
use crate::support::{GENEROUS, reliable, wait_until};

const ID: u64 = 77;
const WINDOW: usize = 8 << 10;

/// Mailbox 0 is that of words, mailbox 1 that of the stream's data.
fn mailboxes() -> Vec<u8> {
    let mut bytes = good_frame(FrameKind::Mailbox, 0, STREAMS.as_bytes());
    bytes.extend(good_frame(
        FrameKind::Mailbox,
        1,
        data_mailbox(ID).as_bytes(),
    ));
    bytes
}

fn word(word: &Word) -> Vec<u8> {
    good_frame(FrameKind::Message, 0, &word.encode())
}

fn open(id: u64) -> Vec<u8> {
    word(&Word::Open {
        id,
        mailbox: "files".into(),
    })
}

fn data(bytes: &[u8]) -> Vec<u8> {
    good_frame(FrameKind::Message, 1, bytes)
}

fn finish(bytes: u64, checksum: u64) -> Vec<u8> {
    word(&Word::Finish {
        id: ID,
        bytes,
        checksum,
    })
}

/// The next word that the node says.
fn hears(stranger: &mut Stranger) -> Option<Word> {
    loop {
        let (kind, _, body) = stranger.next_frame()?;
        if kind == FrameKind::Message {
            return Some(Word::decode(&body).expect("the node says words alone"));
        }
    }
}

/// A target that accepts streams, and a stranger with a lane that has opened one.
fn opened() -> (Honest, Streams, Stranger, StreamReader) {
    let honest = Honest::start(|config| config.stream_window_bytes(WINDOW).streams_max(4));
    let mut streams = honest.target.streams("files").expect("a name");
    let mut stranger = Stranger::lane(honest.target.local_addr(), hello("mallory"));
    stranger.say(&[mailboxes(), open(ID)].concat());
    let reader = streams.accept_timeout(GENEROUS).expect("it is let in");
    let window = hears(&mut stranger);
    let expected = Word::Window {
        id: ID,
        granted: WINDOW as u64,
        received: 0,
        read: 0,
    };
    assert_eq!(window, Some(expected));
    (honest, streams, stranger, reader)
}

fn broken(mut reader: StreamReader) {
    let outcome = loop {
        match reader.read_chunk_blocking() {
            Ok(Some(_)) => {}
            end => break end,
        }
    };
    assert!(
        matches!(outcome, Err(StreamError::LaneEnded { .. })),
        "{outcome:?}"
    );
}

#[test]
fn a_chunk_beyond_the_window_ends_the_lane() {
    let (honest, _streams, mut stranger, reader) = opened();
    stranger.say(&data(&[1; WINDOW]));
    stranger.say(&data(&[1]));
    stranger.ends();
    honest.closed("mallory", "data", CloseReason::BadStream, 1);
    broken(reader);
    honest.finish();
}

#[test]
fn words_and_chunks_that_cannot_be_end_the_lane() {
    let forged: [Vec<u8>; 6] = [
        good_frame(FrameKind::Message, 0, b"no word"),
        good_frame(FrameKind::Message, 0, &[]),
        open(ID),
        data(&[]),
        finish(1, 0),
        [finish(0, 0), finish(0, 0)].concat(),
    ];
    for said in forged {
        let (honest, _streams, mut stranger, _reader) = opened();
        stranger.say(&said);
        stranger.ends();
        honest.closed("mallory", "data", CloseReason::BadStream, 1);
        honest.finish();
    }
}

#[test]
fn a_wrong_checksum_is_told_to_both_ends_and_the_lane_goes_on() {
    let (honest, _streams, mut stranger, mut reader) = opened();
    stranger.say(&[data(b"hello"), finish(5, 1)].concat());
    assert_eq!(
        reader.read_chunk_blocking(),
        Ok(Some(bytes::Bytes::from_static(b"hello")))
    );
    let outcome = reader.read_chunk_blocking();
    assert_eq!(outcome, Err(StreamError::ChecksumMismatch));
    let said = hears(&mut stranger);
    assert!(
        matches!(
            said,
            Some(Word::Cancel {
                id: ID,
                by: Side::Reader,
                reason: CancelReason::ChecksumMismatch,
                ..
            })
        ),
        "{said:?}"
    );
    // What comes for it now is counted, and answered.
    stranger.say(&data(b"more"));
    let said = hears(&mut stranger);
    assert!(
        matches!(
            said,
            Some(Word::Cancel {
                id: ID,
                by: Side::Reader,
                reason: CancelReason::Unknown,
                ..
            })
        ),
        "{said:?}"
    );
    assert_eq!(honest.target.metrics().streams.late, 1);
    honest.finish();
}

#[test]
fn windows_that_cannot_be_end_the_lane_and_the_stream() {
    let window = |granted, received, read| {
        move |id| Word::Window {
            id,
            granted,
            received,
            read,
        }
    };
    let forged: [Box<dyn Fn(u64) -> Word>; 4] = [
        Box::new(window(100, 1, 0)),
        Box::new(window(100, 0, 1)),
        Box::new(window(u64::MAX, 0, 0)),
        Box::new(|id| Word::Done { id }),
    ];
    for forge in forged {
        let honest = Honest::start(|config| config);
        let mut stranger = Stranger::lane(honest.target.local_addr(), hello("mallory"));
        honest.up("mallory");
        let channel = honest.target.channel("data").expect("it is configured");
        let to = honest
            .target
            .destination("mallory", "files")
            .expect("names");
        let writer = channel.open_stream(&to).expect("the lane is up");
        let Some(Word::Open { id, mailbox }) = hears(&mut stranger) else {
            panic!("the stream is opened");
        };
        assert_eq!(&*mailbox, "files");
        let mut said = good_frame(FrameKind::Mailbox, 0, STREAMS.as_bytes());
        said.extend(word(&forge(id)));
        stranger.say(&said);
        stranger.ends();
        honest.closed("mallory", "data", CloseReason::BadStream, 1);
        let outcome = writer.finish_blocking();
        assert!(
            matches!(outcome, Err(StreamError::LaneEnded { .. })),
            "{outcome:?}"
        );
        honest.finish();
    }
}

#[test]
fn a_flood_of_streams_is_bounded_also_where_the_peer_reads_no_answer() {
    const OPENED: u64 = 50_000;
    let (honest, streams, mut stranger, _reader) = opened();
    let flooding = thread::spawn(move || {
        for id in ID + 1..ID + OPENED {
            if !stranger.say(&open(id)) {
                break;
            }
        }
        stranger
    });
    let refused = || honest.target.metrics().streams;
    let streams_now = wait_until("all are looked at", refused, |streams| {
        streams.refused == OPENED - 4
    });
    assert_eq!(streams_now.open_incoming, 4);
    let stranger = flooding.join().expect("it does not panic");
    let metrics = honest.target.metrics();
    let lane = metrics.channel("mallory", "data").expect("it is used");
    assert!(
        lane.queue_bytes <= (192 << 10) + (16 << 10) + 64,
        "answers are bounded: {lane:#?}"
    );
    honest.goes_on();
    drop((stranger, streams));
    let open = || honest.target.metrics().streams.open_incoming;
    wait_until("its streams end with its lane", open, |open| *open == 0);
    honest.finish();
}

const LARGE: u64 = 2 << 20;

/// A target that takes messages as streams, with a mailbox for them, and a stranger with a lane.
fn with_large() -> (Honest, Stranger) {
    let large = usize::try_from(LARGE).expect("it is small");
    let channel = reliable("data")
        .ordering(config::Ordering::Unordered)
        .large_bytes_max(large);
    let honest = Honest::with(vec![channel], |config| config.streams_max(4));
    let mut hello = hello("mallory");
    hello.terms.ordering = name("unordered");
    hello.terms.large_bytes_max = u32::MAX;
    let mut stranger = Stranger::lane(honest.target.local_addr(), hello);
    stranger.say(&mailboxes());
    (honest, stranger)
}

fn message(id: u64, bytes: u64) -> Vec<u8> {
    word(&Word::Message {
        id,
        bytes,
        mailbox: "echo".into(),
    })
}

#[test]
fn messages_that_come_as_streams_are_bounded_before_memory_is_taken() {
    let (honest, mut stranger) = with_large();
    stranger.say(&message(ID, LARGE));
    let window = Word::Window {
        id: ID,
        granted: LARGE,
        received: 0,
        read: 0,
    };
    assert_eq!(hears(&mut stranger), Some(window));
    // Nothing of it comes, and there is no room for another.
    for id in [ID + 1, ID + 2] {
        stranger.say(&message(id, 1));
        let refused = Word::Cancel {
            id,
            by: Side::Reader,
            reason: CancelReason::TooMany,
            why: "".into(),
        };
        assert_eq!(hears(&mut stranger), Some(refused));
    }
    assert_eq!(honest.target.metrics().streams.open_incoming, 1);
    drop(stranger);
    wait_until(
        "it is let go with its lane",
        || honest.target.metrics().streams,
        |streams| streams.open_incoming == 0,
    );
    assert_eq!(honest.target.metrics().streams.messages_delivered, 0);
    honest.finish();
}

#[test]
fn messages_as_streams_that_cannot_be_end_the_lane() {
    let one = message(ID, 3);
    let forged: [Vec<u8>; 6] = [
        message(ID, 0),
        message(ID, LARGE + 1),
        message(ID, u64::MAX),
        [&one[..], &one].concat(),
        [&one[..], &data(&[1; 4])].concat(),
        [&one[..], &data(&[1; 2]), &finish(2, 0)].concat(),
    ];
    for said in forged {
        let (honest, mut stranger) = with_large();
        stranger.say(&said);
        stranger.ends();
        honest.closed("mallory", "data", CloseReason::BadStream, 1);
        assert_eq!(honest.target.metrics().streams.messages_delivered, 0);
        honest.finish();
    }
}

#[test]
fn a_message_as_a_stream_with_another_checksum_is_not_handed_over() {
    let (honest, mut stranger) = with_large();
    stranger.say(&[message(ID, 3), data(&[1; 3]), finish(3, 7)].concat());
    let said: Vec<_> = (0..2).map(|_| hears(&mut stranger)).collect();
    let cancelled = said.into_iter().flatten().any(|word| {
        let reason = CancelReason::ChecksumMismatch;
        matches!(word, Word::Cancel { id: ID, by: Side::Reader, reason: why, .. } if why == reason)
    });
    assert!(cancelled);
    assert_eq!(honest.target.metrics().streams.messages_delivered, 0);
    honest.finish();
}
