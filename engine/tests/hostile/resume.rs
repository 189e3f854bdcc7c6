//! What a peer says of a lane's earlier connections.

use overlane::Node;
use overlane::config::Reliability;
use overlane::wire::{Ack, CloseReason, FrameKind, Hello, Progress};

use crate::honest::Honest;
use crate::stranger::{Stranger, encoded, hello, name};
use crate::support::accounting::counted;
use crate::support::{drained, reliable, wait_until};

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

#[test]
fn a_peer_that_has_processed_more_than_was_sent_is_refused_and_nothing_is_lost() {
    let channels = vec![reliable("data").reliability(Reliability::Guaranteed)];
    let honest = Honest::with(channels, |config| config);
    let address = honest.target.local_addr();
    let mine = |peer_log, processed| Progress {
        log: 77,
        peer_log,
        processed,
        refused: 0,
    };
    let (mut first, theirs) = Stranger::lane_and_progress(address, guaranteed_hello(mine(0, 0)));
    assert_ne!(theirs.log, 0, "the node keeps a log");
    assert_eq!((theirs.peer_log, theirs.processed), (0, 0));
    honest.up("mallory");
    send_to_mallory(&honest.target);
    assert_eq!(reads_up_to(&mut first, SENT - 1), [0, 1, 2, 3, 4]);
    let mut acks = Vec::new();
    let one = Ack {
        processed: 1,
        refused: 0,
        late: 0,
    };
    one.append_to(&mut acks);
    first.say(&acks);
    wait_until(
        "one is acknowledged",
        || honest.target.metrics(),
        |metrics| counted(metrics, "mallory", "data").acknowledged == 1,
    );
    drop(first);
    wait_until(
        "the lane has ended",
        || honest.target.metrics(),
        |metrics| counted(metrics, "mallory", "data").lanes_up == 0,
    );
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
    let mut acks = Vec::new();
    let two = Ack {
        processed: 2,
        refused: 0,
        late: 0,
    };
    two.append_to(&mut acks);
    last.say(&acks);
    let metrics = drained(&honest.target);
    let out = counted(&metrics, "mallory", "data");
    assert_eq!((out.accepted, out.acknowledged), (SENT, SENT), "{out:#?}");
    honest.finish();
}
